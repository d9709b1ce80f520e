"""A desk for tests of brackets and risk: an engine that is made to answer, with its requests and records kept."""

from __future__ import annotations

import pytest

import liqcore as lc
from liqcore.audit import AuditKind

S = lc.SECOND
T0 = 1_700_000_000 * S
LONG, SHORT = int(lc.LONG), int(lc.SHORT)
NEW, REJECTED, CANCELLED, TRIGGERED, DONE, UNKNOWN, REFUSED = (lc.OrderStatus(n) for n in range(1, 8))
STATE, ALARM = lc.BracketState, lc.Alarm

both = pytest.mark.parametrize("side", [LONG, SHORT])


class Answer(lc.Policy):
    """The same bracket for the liquidated side, at ACTIVE."""

    def __init__(self, **bracket):
        self.brackets = {side: lc.Bracket(side, **bracket) for side in (LONG, SHORT)}

    def on_signal(self, signal, market):
        return self.brackets[signal.side] if signal.phase == lc.Phase.ACTIVE else None


FADE = {"stop_loss": "0.0025", "take_profit": "0.0015", "entry_offset": "0.0015", "notional": 1000.0}
ETH = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")
WIDE = {
    "order_notional_max": 1e9,
    "exposure_max": 1e9,
    "leverage_max": 1000.0,
    "orders_per_minute_max": 1000,
    "data_age_max_s": 1e6,
    "collar": 1.0,
    "daily_loss_max": 1.0,
    "weekly_loss_max": 1.0,
}


def limits(**over) -> lc.Risk:
    return lc.Risk(**(WIDE | over))


class Desk:
    """An engine whose signals are forced and whose requests are kept: equal liquidations, each one large after the first; the last one's cascade is
    over after a millisecond."""

    def __init__(self, side: int = LONG, instrument: lc.Instrument = ETH, price: float = 2500.0, risk: lc.Risk | None = None, **bracket):
        self.side, self.instrument, self.price = side, instrument, price
        window = {"window_s": 0.001} if not bracket.get("exit_phase") else {"window_s": 60.0}
        config = lc.CascadeConfig(warmup=1, min_events=1, window_events=2, decay_s=0.001 if "exit_phase" not in bracket else 30.0, **window)
        self.engine = lc.Engine([instrument], config, Answer(**(FADE | bracket)), risk or limits(), equity=100_000.0)
        self.now, self.records, self.requests, self.execution = T0, [], [], 0
        self.trade(price)
        self.liquidate()  # warms the detector up
        self.wait(1.0)

    def collect(self) -> list:
        out = self.engine.drain()
        self.requests += out
        self.records += list(self.engine.audit.drain())
        return out

    def wait(self, seconds: float) -> list:
        self.now += round(seconds * 1e9)
        self.engine.advance(self.now)
        return self.collect()

    def trade(self, price: float) -> list:
        self.now += 1
        self.engine.on_trade(self.now, self.now, 0, 1, price, 1.0)
        return self.collect()

    def liquidate(self) -> list:
        self.now += 1
        self.engine.on_liquidation(self.now, self.now, 0, self.side, self.price, 10.0)
        return self.collect()

    def order(self, order, status, reason=0, filled=0.0, ts=None) -> list:
        self.now += 1
        self.engine.on_order(self.now if ts is None else ts, self.now, order, status, reason, filled=filled)
        return self.collect()

    def alive(self, entry) -> list:
        """The venue attaches the stop of an entry, and says where."""
        self.now += 1
        self.engine.on_order(self.now, self.now, entry.stop_id, NEW, price=entry.stop)
        return self.collect()

    def fill(self, order, price, qty, maker=True, fee=0.0, execution=None, ts=None) -> list:
        self.now += 1
        self.execution += 1
        self.engine.on_fill(self.now if ts is None else ts, self.now, order, price, qty, fee, execution or self.execution, maker)
        return self.collect()

    def enter(self, fill: float | None = None):
        """Signal, ack, and a fill (None = all) with the stop confirmed; returns the entry request."""
        (entry,) = self.liquidate()
        self.order(entry.id, NEW)
        qty = entry.qty if fill is None else fill
        if qty:
            self.order(entry.stop_id, NEW)
            self.fill(entry.id, entry.price or self.price, qty)
        return entry

    @property
    def state(self):
        return self.engine.bracket(0)["state"]

    @property
    def held(self):
        return self.engine.bracket(0)["held"]

    def kinds(self, kind) -> list:
        return [r for r in self.records if r["kind"] == kind]

    def alarms(self) -> list:
        return [ALARM(int(r["phase"])) for r in self.kinds(AuditKind.AUDIT_ALARM)]
