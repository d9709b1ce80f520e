"""A stage for one preset: the real engine on the simulated venue, one contract, events by hand. What it did is told in words and numbers."""

import numpy as np
import pytest

from liqcore import EVENT_DTYPE, LONG, SECOND, SHORT, AuditKind, FeedState, Instrument, Reason
from liqcore.audit import declined, named
from liqcore.event import Kind
from liqshell.config.load import loads
from liqshell.policies.ruled import LEAVE, PHASE_IS
from liqshell.run.pipeline import make_paper, settings

START = 1_772_452_800 * SECOND  # a Monday, 12:00 UTC: a multiple of the hour
PRICE = 50_000.0
BOTH = pytest.mark.parametrize("side", [LONG, SHORT], ids=["long", "short"])


class Stage:
    """Time moves when told. Prices: `price` is what is traded at until it is changed; a trade and a quote every `every` seconds of waiting."""

    def __init__(self, preset, extra="", symbols=("BTCUSDT",), funding=0.0, limits=True):
        text = f"[policy]\npreset = '{preset}'\n{extra}"
        if limits:  # sizes of the rules are what is tested, not the account's limits
            text += "\n[limits]\norder_notional_max = 1e9\nexposure_max = 1e9\nleverage_max = 1000\n"
        self.config = loads(text, "stage.toml")
        self.values = settings(self.config, [Instrument(s, tick_size="0.1", lot_size="0.001", min_qty="0.001") for s in symbols])
        self.paper = make_paper(self.values)
        self.engine = self.paper.engine
        self.price, self.funding, self.interest = PRICE, funding, 100_000.0
        self.now = START
        self.story, self.said = [], []
        self.push(Kind.FEED, instrument=-1, code=FeedState.FEED_UP)
        self.tick()

    # ---- what happens ----

    def push(self, kind, **fields):
        row = np.zeros(1, EVENT_DTYPE)
        row["kind"], row["ts_recv"], row["ts_event"] = kind, self.now, self.now
        for name, value in fields.items():
            row[name] = value
        self._heard(self.paper.run(row))

    def _heard(self, signals):
        names = [d.name for d in self.engine.detectors]
        self.said += [(names[s.detector - 1], s.phase.name, int(s.side), (s.ts - START) / SECOND) for s in signals]
        self.story += list(self.engine.audit.drain())

    def tick(self, price=None):
        """A trade, a quote around it, and a ticker."""
        self.price = price or self.price
        self.push(Kind.TRADE, price=self.price, qty=1.0, side=LONG)
        self.push(Kind.BBO, price=self.price - 0.1, qty=5.0, aux_price=self.price + 0.1, aux_qty=5.0)
        self.push(Kind.TICKER, price=self.price, aux_price=self.price, qty=self.interest, aux_qty=self.funding)

    def wait(self, seconds, price=None, every=0.5):
        """Time passes with a tick every so often; the price, where one is given, holds from the next tick on."""
        end = self.now + round(seconds * SECOND)
        self.price = price or self.price
        while self.now < end:
            self.now = min(self.now + round(every * SECOND), end)
            self._heard(self.paper.advance(self.now))
            self.tick()

    def until(self, seconds, **options):
        """Wait until so many seconds after the start."""
        self.wait(seconds - (self.now - START) / SECOND, **options)

    def forced(self, side, usd, price=None):
        """A liquidation: the position of `side` is closed by force."""
        price = price or self.price * (1 - 0.001 * side)
        self.push(Kind.LIQUIDATION, side=side, price=price, qty=usd / price)

    # ---- what it did ----

    def records(self, kind):
        return [r for r in self.story if r["kind"] == kind]

    @property
    def asked(self):
        """Brackets that the policy asked for: (seconds since the start, side, {name: number})."""
        out = []
        for r in self.records(AuditKind.AUDIT_POLICY):
            if r["reason"] == Reason.OK:
                said = named(r)
                names = ("entry_offset", "take_profit", "stop_loss", "notional", "entry_ttl_s", "max_hold_s")
                terms = {name: float(said[name]) for name in names} | {
                    "reference": float(said["reference_price"]),
                    "confidence": int(said["confidence"]),
                }
                out.append(((int(r["ts"]) - START) / SECOND, int(r["side"]), terms))
        return out

    @property
    def unmet(self):
        """Conditions of an entry for which the policy wanted nothing, in the end: (name, value, threshold)."""
        answers = [declined(r["x"]) for r in self.records(AuditKind.AUDIT_POLICY) if r["reason"] == Reason.NO_TRADE]
        return [found for found in answers if found is not None and not found[0].startswith((PHASE_IS, LEAVE))]

    @property
    def risk(self):
        """Verdicts of risk on what was asked for."""
        return [Reason(int(r["reason"])) for r in self.records(AuditKind.AUDIT_RISK)]

    @property
    def left(self):
        """When the policy said to leave, seconds since the start."""
        return [(int(r["ts"]) - START) / SECOND for r in self.records(AuditKind.AUDIT_POLICY) if r["reason"] == Reason.POLICY_LEAVE]

    @property
    def trades(self):
        """Trades that are over: (reason, side, entry, exit, seconds held)."""
        return [
            (Reason(int(r["reason"])), int(r["side"]), float(r["x"][0]), float(r["x"][1]), float(r["x"][6]))
            for r in self.records(AuditKind.AUDIT_TRADE)
        ]

    @property
    def held(self):
        """The position, base units; negative = short."""
        return self.engine.account.position(0)["qty"]

    @property
    def entry(self):
        """Mean price of what is held."""
        return self.engine.account.position(0)["entry_price"]

    def order(self, role):
        """Price of the order of a role that is not over (for a stop: its trigger), 0 where there is none."""
        found = [order["price"] for order in self.engine.orders(0) if order["role"] == role and order["status"] != "ended"]
        return found[0] if found else 0.0
