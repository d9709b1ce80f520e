"""The bracket: exact prices, and its life told by hand with reports that are late, repeated, out of order or missing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import Action
from model_venue import CLOSE, ENTRY, TARGET
from oracle.bracket import entry_ticks, fixed_trail, original_trail, stop_ticks, target_ticks

S = lc.SECOND
T0 = 1_700_000_000 * S
LONG, SHORT = int(lc.LONG), int(lc.SHORT)
NEW, REJECTED, CANCELLED, TRIGGERED, DONE, UNKNOWN, REFUSED = (lc.OrderStatus(n) for n in range(1, 8))
STATE, ALARM = lc.BracketState, lc.Alarm


class Answer(lc.Policy):
    """The same bracket for the liquidated side, at ACTIVE."""

    def __init__(self, **bracket):
        self.brackets = {side: lc.Bracket(side, **bracket) for side in (LONG, SHORT)}

    def on_signal(self, signal, market):
        return self.brackets[signal.side] if signal.phase == lc.Phase.ACTIVE else None


FADE = {"stop_loss": "0.0025", "take_profit": "0.0015", "entry_offset": "0.0015", "notional": 1000.0}
ETH = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")
WIDE = {"order_notional_max": 1e9, "exposure_max": 1e9, "leverage_max": 1000.0, "orders_per_minute_max": 1000, "data_age_max_s": 1e6,
        "collar": 1.0, "daily_loss_max": 1.0, "weekly_loss_max": 1.0}


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
        self.liquidate()            # warms the detector up
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

    def fill(self, order, price, qty, maker=True, fee=0.0, execution=None, ts=None) -> list:
        self.now += 1
        self.execution += 1
        self.engine.on_fill(self.now if ts is None else ts, self.now, order, price, qty, fee, execution or self.execution, maker)
        return self.collect()

    def enter(self, fill: float | None = None):
        """Signal, ack, and a fill (None = all) with the stop confirmed; returns the entry request."""
        entry, = self.liquidate()
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


# ---- prices ----

GOLDEN = [("ETHUSDT", LONG, 2500.0, "0.0015", "0.0015", ("2496.25", "2500.00", "2490.01")),
          ("SOLUSDT", SHORT, 180.0, "0.0015", "0.0015", ("180.27", "180.00", "180.72")),
          # the other sides of S2-12, and the BTC override of S2-11, by hand
          ("ETHUSDT", SHORT, 2500.0, "0.0015", "0.0015", ("2503.75", "2500.00", "2510.00")),
          ("SOLUSDT", LONG, 180.0, "0.0015", "0.0015", ("179.73", "180.00", "179.29")),
          ("BTCUSDT", LONG, 64000.0, "0.001", "0.005", ("63936.0", "64255.6", "63776.2")),
          ("BTCUSDT", SHORT, 64000.0, "0.001", "0.005", ("64064.0", "63743.7", "64224.1"))]


@pytest.mark.parametrize(("symbol", "side", "reference", "offset", "profit", "expected"), GOLDEN)
def test_golden_prices(symbol, side, reference, offset, profit, expected):
    instrument = lc.Instrument(symbol, tick_size="0.1" if symbol == "BTCUSDT" else "0.01", lot_size="0.001")
    bracket = lc.Bracket(side, entry_offset=offset, take_profit=profit, stop_loss="0.0025", notional=1000.0)
    prices = bracket.prices(instrument, reference)
    assert (prices["entry"], prices["take_profit"], prices["stop_loss"]) == expected


fractions = st.integers(0, 50_000_000).map(lambda n: Fraction(n, 10 ** 8))


def text(fraction: Fraction) -> str:
    return f"{fraction.numerator * (10 ** 8 // fraction.denominator)}e-8"


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([LONG, SHORT]), st.integers(2, 2 ** 35 - 1), fractions, fractions.filter(bool), fractions,
       st.sampled_from(["0.01", "0.05", "1", "0.00001", "0.5"]))
def test_prices_are_fraction_arithmetic(side, reference, offset, stop, profit, tick):
    instrument = lc.Instrument("X", tick_size=tick, lot_size="1")
    bracket = lc.Bracket(side, entry_offset=text(offset), take_profit=text(profit), stop_loss=text(stop), notional=1.0)
    entry = entry_ticks(side, reference, offset)
    prices = bracket.prices(instrument, instrument.price(reference))
    assert prices["entry"] == instrument.price_text(entry)
    assert prices["stop_loss"] == instrument.price_text(stop_ticks(side, entry, stop))
    assert prices["take_profit"] == instrument.price_text(target_ticks(side, entry, profit, reference))
    assert (reference - entry) * side >= 0                                                  # never crosses its reference
    assert (entry - stop_ticks(side, entry, stop)) * side <= entry * stop                   # never risks more than stated
    assert abs(entry - reference * (1 - side * offset)) < 1                                 # never off by a tick


@pytest.mark.parametrize(("side", "peak"), [(LONG, 120.0), (SHORT, 80.0)])
def test_c8_original_trail_loosens_the_stop(side, peak):
    """Regression fixture of C8: with trail 2 %, fall 3 %, entry 100, the original keeps the stop at the last line however far the price ran."""
    assert original_trail(side, peak, 100.0, 0.02, 0.03) == pytest.approx(97.0 if side > 0 else 103.0)
    assert fixed_trail(side, peak, 100.0, 0.02, 0.03) == pytest.approx(117.6 if side > 0 else 81.6)
    desk = Desk(side, price=100.0, entry="market", entry_offset=0, stop_loss="0.03", take_profit=0, trail="0.02")
    entry = desk.enter()
    amend = desk.trade(peak)
    assert [r.action for r in amend] == [Action.ACTION_AMEND] and amend[0].price == pytest.approx(fixed_trail(side, peak, 100.0, 0.02, 0.03))


# ---- the life of one trade, by hand, both sides ----

both = pytest.mark.parametrize("side", [LONG, SHORT])


@both
def test_entry_target_stop_sizes(side):
    """Partial fills: the stop is attached, the target is placed at the first and amended to the filled size at the second (C17)."""
    desk = Desk(side)
    entry, = desk.liquidate()
    assert entry.post_only and not entry.reduce_only and entry.side == side and entry.stop
    desk.order(entry.id, NEW)
    desk.order(entry.stop_id, NEW)
    target, = desk.fill(entry.id, entry.price, 0.1)
    assert (target.role, target.qty, target.side, target.post_only, target.reduce_only) == (TARGET, 0.1, -side, True, True)
    assert desk.fill(entry.id, entry.price, 0.2) == []          # the create is not answered yet: nothing is amended blindly
    amend, = desk.order(target.id, NEW)
    assert (amend.action, amend.qty, amend.id) == (Action.ACTION_AMEND, pytest.approx(0.3), target.id)
    desk.order(target.id, NEW)
    cancel, = desk.fill(target.id, target.price, 0.3)
    assert (cancel.action, cancel.id) == (Action.ACTION_CANCEL, entry.id) and desk.state == STATE.BRACKET_WINDING
    desk.order(entry.id, CANCELLED, filled=0.3)
    assert desk.state == STATE.BRACKET_FLAT and desk.held == 0.0
    trade, = desk.kinds(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == lc.Reason.END_TARGET and trade["x"][2] == pytest.approx(0.3) and trade["x"][3] > 0


@both
def test_fill_reported_after_the_cancel(side):
    """CANCELLED overtakes the FILL that came before it at the venue: nobody is reported flat early (part 6)."""
    desk = Desk(side, entry_ttl_s=10)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    cancel, = desk.wait(10.0)
    assert cancel.action == Action.ACTION_CANCEL
    desk.order(entry.id, CANCELLED, filled=0.1)
    assert desk.state != STATE.BRACKET_FLAT
    desk.order(entry.stop_id, NEW)
    requests = desk.fill(entry.id, entry.price, 0.1)
    assert desk.held == pytest.approx(0.1 * side if False else 0.1) and [r.role for r in requests] == [TARGET]
    assert desk.engine.account.position(0)["qty"] == pytest.approx(0.1 * side) and desk.engine.risk.halted == lc.Reason.OK
    desk.fill(requests[0].id, requests[0].price, 0.1)
    assert desk.state == STATE.BRACKET_FLAT and desk.alarms() == []


@both
def test_missing_fill_alarms_and_counts_as_exposure(side):
    desk = Desk(side, entry_ttl_s=10)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED, filled=entry.qty)
    desk.wait(6.0)
    assert desk.alarms() == [ALARM.ALARM_UNKNOWN] and desk.state == STATE.BRACKET_ENTERING
    desk.liquidate()                                            # a second signal is refused (S2-14c) and cannot enter
    assert len(desk.kinds(AuditKind.AUDIT_RISK)) == 2 and desk.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.BRACKET_OPEN


@both
def test_late_fill_of_a_venue_that_does_not_say_how_much(side):
    """Without cumulative quantities a fill can come when all looked over: it is counted, alarmed and closed, never ignored."""
    desk = Desk(side, entry_ttl_s=10)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT
    close, = desk.fill(entry.id, entry.price, 0.1)
    assert (close.role, close.qty, close.side, close.reduce_only) == (CLOSE, 0.1, -side, True)
    assert desk.engine.account.position(0)["qty"] == pytest.approx(0.1 * side) and desk.alarms() == [ALARM.ALARM_LATE]
    desk.fill(close.id, entry.price, 0.1, maker=False)
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.account.position(0)["qty"] == 0.0


@both
def test_repeated_executions_after_the_end_change_nothing(side):
    """A venue repeats recent executions after a reconnect, also those of brackets that are over."""
    desk = Desk(side, cooldown_s=0)
    entry = desk.enter()
    target = desk.requests[-1]
    desk.fill(target.id, target.price, entry.qty)
    for again in range(2):
        desk.fill(entry.id, entry.price, entry.qty, execution=1)
        desk.fill(target.id, target.price, entry.qty, execution=2)
        assert desk.alarms() == [] and desk.engine.risk.halted == lc.Reason.OK and desk.held == 0.0
        if not again:
            desk.wait(1.0)
            desk.execution = 10
            assert len(desk.liquidate()) == 1       # the next bracket is open when they come again


@both
def test_foreign_fill_alarms_and_halts(side):
    desk = Desk(side, cooldown_s=0)
    entry = desk.enter()
    desk.fill(entry.id + (1 << 12), 2500.0, 1.0)                # the id of a bracket that never was, while one is open
    assert desk.alarms() == [ALARM.ALARM_FOREIGN] and desk.engine.risk.halted == lc.Reason.HALTED
    assert desk.held == pytest.approx(entry.qty)


@both
def test_refused_cancel_is_repeated_ever_more_rarely(side):
    """A cancel that is refused means: already filled, already gone, or a rate limit. It must not become a storm."""
    desk = Desk(side, entry_ttl_s=10)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    sent = len(desk.wait(10.0))
    for _ in range(600):                                        # answers come after 100 ms, for a minute
        sent += len(desk.order(entry.id, REFUSED, lc.Reason.END_VENUE))
        sent += len(desk.wait(0.1))
    assert 5 < sent < 25 and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT


@both
def test_refused_cancel_before_the_ack_is_not_a_rejected_entry(side):
    """The cancel overtook the create: the entry is believed alive until the venue says otherwise (L8)."""
    desk = Desk(side, entry_ttl_s=0.5)
    entry, = desk.liquidate()
    cancel, = desk.wait(0.5)
    desk.order(cancel.id, REFUSED, lc.Reason.END_VENUE)
    assert desk.state == STATE.BRACKET_ENTERING
    desk.order(entry.id, NEW)
    again = desk.wait(1.0)
    assert [r.action for r in again] == [Action.ACTION_CANCEL]
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT


@both
def test_cancel_of_unknown_outcome_is_asked_again_only_after_the_venue_was(side):
    desk = Desk(side, entry_ttl_s=10)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    assert desk.wait(100.0) == [] and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    cancel, = desk.order(entry.id, NEW)                         # the venue was asked: it lives
    assert cancel.action == Action.ACTION_CANCEL
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT


@both
def test_unknown_entry_is_never_sent_again_and_counts_as_exposure(side):
    instruments = [ETH, lc.Instrument("SOLUSDT", tick_size="0.01", lot_size="0.1")]
    config = lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=0.001, decay_s=0.001)
    engine = lc.Engine(instruments, config, Answer(**FADE), limits(exposure_max=1500.0), equity=100_000.0)
    now = T0
    for n, price in ((0, 2500.0), (1, 180.0)):
        engine.on_trade(now, now, n, 1, price, 1.0)
        engine.on_liquidation(now, now, n, side, price, 10.0)
    engine.on_liquidation(now + S, now + S, 0, side, 2500.0, 10.0)
    entry, = engine.drain()
    engine.on_order(now + S, now + S, entry.id, UNKNOWN)
    engine.advance(now + 60 * S)
    engine.on_liquidation(now + 61 * S, now + 61 * S, 1, side, 180.0, 10.0)
    records = engine.audit.drain()
    assert engine.drain() == []
    verdict = records[records["kind"] == AuditKind.AUDIT_RISK][-1]
    assert verdict["reason"] == lc.Reason.RISK_EXPOSURE and verdict["x"][2] == pytest.approx(entry.qty * entry.price)


@both
def test_stop_cancelled_by_the_venue_is_closed_within_two_seconds(side):
    desk = Desk(side)
    entry = desk.enter()
    assert desk.wait(30.0) == []
    desk.order(entry.stop_id, CANCELLED)
    closing = desk.wait(1.0)
    assert [(r.role, r.action) for r in closing] == [(TARGET, Action.ACTION_CANCEL), (CLOSE, Action.ACTION_CREATE)]
    assert closing[1].qty == pytest.approx(entry.qty) and closing[1].reduce_only and ALARM.ALARM_UNPROTECTED in desk.alarms()


@both
def test_stop_confirmation_older_than_its_end_protects_nobody(side):
    """CANCELLED overtakes NEW: believing the NEW would leave the position naked."""
    desk = Desk(side)
    entry, = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.fill(entry.id, entry.price, entry.qty)
    early = desk.now + 1
    desk.order(entry.stop_id, CANCELLED, ts=early + 10)
    desk.order(entry.stop_id, NEW, ts=early)
    assert CLOSE in [r.role for r in desk.wait(2.0)]


@both
def test_stop_that_dies_and_lives_again_under_its_id(side):
    """A target takes the first part, the stop goes with it, the entry's next fill brings it back: reports of the two lives in either order."""
    for swapped in (False, True):
        desk = Desk(side)
        entry = desk.enter(0.1)
        target = desk.requests[-1]
        desk.order(target.id, NEW)
        desk.fill(target.id, target.price, 0.1)
        lives = [(CANCELLED, desk.now + 10), (NEW, desk.now + 20)]
        for status, ts in reversed(lives) if swapped else lives:
            desk.order(entry.stop_id, status, ts=ts)
        desk.fill(entry.id, entry.price, 0.1)
        assert desk.state == STATE.BRACKET_HOLDING
        desk.wait(5.0)
        assert ALARM.ALARM_UNPROTECTED not in desk.alarms(), swapped


@both
def test_what_a_fired_stop_leaves_over_is_closed(side):
    """A triggered stop is executed in part and its rest is gone: the rest of the position may not wait for max hold."""
    desk = Desk(side)
    entry = desk.enter()
    desk.order(entry.stop_id, TRIGGERED)
    desk.fill(entry.stop_id, entry.stop, round(entry.qty - 0.1, 3), maker=False)
    closing = desk.wait(1.5)
    assert [(r.role, r.qty) for r in closing if r.role == CLOSE] == [(CLOSE, pytest.approx(0.1))]


@both
def test_stop_rejected_flattens_at_once(side):
    desk = Desk(side)
    entry, = desk.liquidate()
    desk.fill(entry.id, entry.price, entry.qty)
    close = desk.order(entry.stop_id, REJECTED, lc.Reason.END_VENUE)
    assert CLOSE in [r.role for r in close] and ALARM.ALARM_UNPROTECTED in desk.alarms()


@both
def test_position_is_never_abandoned(side):
    """An hour of rejects: the close is tried for ever, at a falling rate, with one alarm; then the venue is back."""
    desk = Desk(side, max_hold_s=60)
    entry = desk.enter()
    pending = desk.wait(60.0)
    closes, start = [], desk.now
    while desk.now < start + 3600 * S:
        for r in pending:
            if r.role == CLOSE:
                closes.append(desk.now)
                pending += desk.order(r.id, REJECTED, lc.Reason.END_VENUE)
            elif r.action == Action.ACTION_CANCEL:
                desk.order(r.id, CANCELLED)
        pending = desk.wait(0.1)
    assert 100 < len(closes) < 200 and max(b - a for a, b in zip(closes, closes[1:])) < 31 * S
    assert desk.alarms().count(ALARM.ALARM_STUCK) == 1
    ids = [r.id for r in desk.requests if r.role == CLOSE]
    assert len(set(ids)) == len(ids)
    while not pending:
        pending = desk.wait(1.0)
    desk.fill(pending[-1].id, entry.price, entry.qty, maker=False)
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.account.position(0)["qty"] == 0.0


@both
def test_partly_executed_close_goes_on_at_once(side):
    desk = Desk(side, max_hold_s=60)
    entry = desk.enter()
    close = [r for r in desk.wait(60.0) if r.role == CLOSE][0]
    desk.fill(close.id, entry.price, 0.1, maker=False)
    again, = desk.order(close.id, CANCELLED, filled=0.1)
    assert again.role == CLOSE and again.qty == pytest.approx(entry.qty - 0.1) and again.id != close.id


@both
def test_overfill_alarms_and_halts_unless_late_fills_explain_it(side):
    for explained in (True, False):
        desk = Desk(side)
        entry = desk.enter(0.1)
        desk.fill(entry.stop_id, entry.stop, 0.3, maker=False)  # the stop closed all three lots; the entry's second fill is late
        assert desk.alarms() == []
        if explained:
            desk.fill(entry.id, entry.price, 0.2)
        desk.wait(2.0)
        assert (ALARM.ALARM_OVERFILL in desk.alarms()) == (not explained)
        assert (desk.engine.risk.halted == lc.Reason.HALTED) == (not explained)
        desk.order(entry.id, CANCELLED, filled=0.3 if explained else 0.1)
        for r in desk.requests:
            if r.role == TARGET and r.action == Action.ACTION_CREATE:
                desk.order(r.id, CANCELLED)
        assert desk.state == STATE.BRACKET_FLAT
        assert desk.engine.account.position(0)["qty"] == pytest.approx(0.0 if explained else -0.2 * side)


@both
def test_refused_amend_of_a_trailing_stop_is_tried_again(side):
    """The belief goes back to the price that the venue has; otherwise the same price would never be asked for again."""
    desk = Desk(side, take_profit=0, trail="0.01", stop_loss="0.02")
    entry = desk.enter()
    far = entry.price * (1 + side * 0.05)
    amend, = desk.trade(far)
    assert desk.order(amend.id, REFUSED, lc.Reason.END_VENUE) == []
    assert desk.trade(far) == []                                # not at once
    desk.wait(0.2)
    again, = desk.trade(far)
    assert again.price == amend.price and (again.price - entry.stop) * side > 0


@both
def test_target_that_would_cross_is_placed_as_a_plain_limit(side):
    desk = Desk(side)
    desk.enter()
    first = desk.requests[-1]
    second, = desk.order(first.id, REJECTED, lc.Reason.END_POST_ONLY)
    assert first.post_only and not second.post_only and second.reduce_only and second.price == first.price and second.id != first.id


@both
def test_target_refused_for_ever_leaves_stop_and_max_hold(side):
    desk = Desk(side, max_hold_s=600)
    desk.enter()
    for _ in range(100):
        for r in desk.requests[-1:]:
            if r.role == TARGET:
                desk.order(r.id, REJECTED, lc.Reason.END_VENUE)
        desk.wait(1.0)
    assert sum(r.role == TARGET for r in desk.requests) == 6 and desk.alarms() == [ALARM.ALARM_STUCK]
    assert CLOSE in [r.role for r in desk.wait(600.0)]


@both
def test_flatten_while_entry_and_target_are_out(side):
    desk = Desk(side)
    entry = desk.enter(0.1)
    desk.now += 1
    desk.engine.on_control(desk.now, lc.Control.CONTROL_FLATTEN)
    sent = {(r.role, r.action) for r in desk.collect()}
    assert (ENTRY, Action.ACTION_CANCEL) in sent and (CLOSE, Action.ACTION_CREATE) in sent
    desk.fill(entry.id, entry.price, 0.1)                       # the entry is filled once more on its way out
    close = [r for r in desk.requests if r.role == CLOSE][-1]
    again, = desk.fill(close.id, entry.price, 0.1, maker=False)
    assert again.role == CLOSE and again.qty == pytest.approx(0.1)


@both
def test_cooldown_runs_from_flat_and_only_after_a_trade(side):
    desk = Desk(side, entry_ttl_s=10, cooldown_s=300)
    entry, = desk.liquidate()
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED)
    entry = desk.enter()                                        # at once: what never filled is not a trade
    desk.wait(100.0)
    target = [r for r in desk.requests if r.role == TARGET][-1]
    desk.fill(target.id, target.price, entry.qty)
    flat = desk.now
    assert desk.engine.bracket(0)["cooldown_until"] == flat + 300 * S
    desk.now = flat + 300 * S - 10
    desk.trade(2500.0)
    assert desk.liquidate() == []
    assert desk.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.COOLDOWN
    desk.wait(1.0)
    assert len(desk.liquidate()) == 1


@both
def test_no_new_requote_than_allowed(side):
    desk = Desk(side, requotes=1)
    first, = desk.liquidate()
    desk.trade(2490.0)
    second, = desk.order(first.id, REJECTED, lc.Reason.END_POST_ONLY)
    assert second.role == ENTRY and second.id != first.id and second.price == pytest.approx(2486.26 if side > 0 else 2493.74, abs=0.011)
    assert desk.order(second.id, REJECTED, lc.Reason.END_POST_ONLY) == []
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.bracket(0)["end"] == lc.Reason.END_POST_ONLY
