"""The bracket: exact prices, and its life told by hand with reports that are late, repeated, out of order or missing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.bracket import entry_ticks, fixed_trail, original_trail, profit_trail_ticks, stop_ticks, target_ticks

import liqcore as lc
from desk import ALARM, CANCELLED, ETH, FADE, LONG, NEW, REFUSED, SHORT, STATE, T0, UNKNOWN, Answer, Desk, S, both, limits
from liqcore.audit import AuditKind
from liqcore.event import Action
from model_venue import CLOSE, TARGET

pytestmark = pytest.mark.core

# ---- prices ----

GOLDEN = [
    ("ETHUSDT", LONG, 2500.0, "0.0015", "0.0015", ("2496.25", "2500.00", "2490.01")),
    ("SOLUSDT", SHORT, 180.0, "0.0015", "0.0015", ("180.27", "180.00", "180.72")),
    # the other sides of the guide's example, and its numbers for BTC, by hand
    ("ETHUSDT", SHORT, 2500.0, "0.0015", "0.0015", ("2503.75", "2500.00", "2510.00")),
    ("SOLUSDT", LONG, 180.0, "0.0015", "0.0015", ("179.73", "180.00", "179.29")),
    ("BTCUSDT", LONG, 64000.0, "0.001", "0.005", ("63936.0", "64255.6", "63776.2")),
    ("BTCUSDT", SHORT, 64000.0, "0.001", "0.005", ("64064.0", "63743.7", "64224.1")),
]


@pytest.mark.parametrize(("symbol", "side", "reference", "offset", "profit", "expected"), GOLDEN)
def test_golden_prices(symbol, side, reference, offset, profit, expected):
    instrument = lc.Instrument(symbol, tick_size="0.1" if symbol == "BTCUSDT" else "0.01", lot_size="0.001")
    bracket = lc.Bracket(side, entry_offset=offset, take_profit=profit, stop_loss="0.0025", notional=1000.0)
    prices = bracket.prices(instrument, reference)
    assert (prices["entry"], prices["take_profit"], prices["stop_loss"]) == expected


fractions = st.integers(0, 50_000_000).map(lambda n: Fraction(n, 10**8))


def text(fraction: Fraction) -> str:
    return f"{fraction.numerator * (10**8 // fraction.denominator)}e-8"


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([LONG, SHORT]),
    st.integers(2, 2**35 - 1),
    fractions,
    fractions.filter(bool),
    fractions,
    st.sampled_from(["0.01", "0.05", "1", "0.00001", "0.5"]),
)
def test_prices_are_fraction_arithmetic(side, reference, offset, stop, profit, tick):
    instrument = lc.Instrument("X", tick_size=tick, lot_size="1")
    bracket = lc.Bracket(side, entry_offset=text(offset), take_profit=text(profit), stop_loss=text(stop), notional=1.0)
    entry = entry_ticks(side, reference, offset)
    prices = bracket.prices(instrument, instrument.price(reference))
    assert prices["entry"] == instrument.price_text(entry)
    assert prices["stop_loss"] == instrument.price_text(stop_ticks(side, entry, stop))
    assert prices["take_profit"] == instrument.price_text(target_ticks(side, entry, profit, reference))
    assert (reference - entry) * side >= 0  # never crosses its reference
    assert (entry - stop_ticks(side, entry, stop)) * side <= entry * stop  # never risks more than stated
    assert abs(entry - reference * (1 - side * offset)) < 1  # never off by a tick


@pytest.mark.parametrize(("side", "peak"), [(LONG, 120.0), (SHORT, 80.0)])
def test_c08_original_trail_loosens_the_stop(side, peak):
    """The published formula: with trail 2 %, fall 3 %, entry 100, the original keeps the stop at the last line however far the price ran."""
    assert original_trail(side, peak, 100.0, 0.02, 0.03) == pytest.approx(97.0 if side > 0 else 103.0)
    assert fixed_trail(side, peak, 100.0, 0.02, 0.03) == pytest.approx(117.6 if side > 0 else 81.6)
    desk = Desk(side, price=100.0, entry="market", entry_offset=0, stop_loss="0.03", take_profit=0, trail="0.02")
    desk.enter()
    amend = desk.trade(peak)
    assert [r.action for r in amend] == [Action.ACTION_AMEND] and amend[0].price == pytest.approx(fixed_trail(side, peak, 100.0, 0.02, 0.03))


@pytest.mark.parametrize(("side", "peak", "stop"), [(LONG, 120.0, 119.6), (SHORT, 80.0, 80.4)])
def test_c8_trail_on_profit(side, peak, stop):
    """The text of the written system says "of the peak profit": with trail 2 % of a profit of 20 the stop gives back 0.4."""
    desk = Desk(side, price=100.0, entry="market", entry_offset=0, stop_loss="0.03", take_profit=0, trail="0.02", trail_basis="profit")
    desk.enter()
    assert desk.trade(100.0 - side * 1.0) == []  # no profit, nothing to give back: the fallback stands
    amend = desk.trade(peak)
    assert [r.action for r in amend] == [Action.ACTION_AMEND] and amend[0].price == pytest.approx(stop)
    assert profit_trail_ticks(side, 10_000, round(peak * 100), Fraction("0.02")) == round(stop * 100)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_trail_of_profit_begins_with_a_least_profit(side):
    """Entry 100, trail 50 % of the profit from 1 % on: at 100.99 the fallback stands, at 101.00 half of it is kept, and it goes on from there. Without
    a least profit half of one tick would be a stop."""
    terms = {"price": 100.0, "entry": "market", "entry_offset": 0, "stop_loss": "0.03", "take_profit": 0, "trail": "0.5", "trail_basis": "profit"}
    desk = Desk(side, trail_from="0.01", **terms)
    desk.enter()
    for gain, stop in ((0.01, None), (0.5, None), (0.99, None), (1.0, 0.5), (2.0, 1.0), (1.5, None)):
        amends = desk.trade(100.0 + side * gain)
        assert [a.price for a in amends] == ([] if stop is None else [pytest.approx(100.0 + side * stop)])
        for amend in amends:
            desk.order(amend.id, NEW)
    desk = Desk(side, **terms)
    desk.enter()
    assert [a.price for a in desk.trade(100.0 + side * 0.02)] == [pytest.approx(100.0 + side * 0.01)]


def test_a_least_profit_is_of_a_trail_of_profit():
    with pytest.raises(ValueError, match="trail_from without a trail of profit"):
        lc.Bracket(LONG, stop_loss="0.03", notional=100.0, trail="0.02", trail_from="0.01")
    a, b = (lc.Bracket(LONG, stop_loss="0.03", notional=100.0, trail="0.02", trail_basis="profit", trail_from=x) for x in ("0.01", "0.02"))
    assert a != b and a == a.turned(LONG)


@settings(deadline=None, max_examples=80)
@given(
    side=st.sampled_from([LONG, SHORT]),
    basis=st.sampled_from(["price", "profit"]),
    trail=st.integers(1, 4999),
    walk=st.lists(st.integers(-60, 60), max_size=40),
    refuse=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_a_stop_never_loosens(side, basis, trail, walk, refuse):
    """Whatever the price does and whichever amend is refused, a stop that was confirmed is never followed by a looser one, and what is asked for is
    the oracle's price: max() of trail and fallback for a long, min() for a short."""
    share = Fraction(trail, 10_000)
    desk = Desk(
        side, price=100.0, entry="market", entry_offset=0, stop_loss="0.03", take_profit=0, trail=str(float(share)), trail_basis=basis, max_hold_s=1e6
    )
    desk.enter()
    price = best = 10_000
    stop = stop_ticks(side, 10_000, Fraction("0.03"))
    for step, refused in zip(walk, refuse, strict=False):
        price = max(price + step, 5000)
        if (price - stop) * side <= 0:
            break
        best = max(best, price) if side > 0 else min(best, price)
        amends = desk.trade(price / 100)
        wanted = stop_ticks(side, best, share) if basis == "price" else profit_trail_ticks(side, 10_000, best, share)
        assert len(amends) <= 1
        for amend in amends:
            asked = round(amend.price * 100)
            assert asked == wanted and (asked - stop) * side > 0
            desk.order(amend.id, REFUSED if refused else NEW)
            if refused:
                desk.wait(31.0)
            else:
                stop = asked
    assert round(float(desk.engine.orders(0)[1]["price"]) * 100) == stop


# ---- the life of one trade, by hand, both sides ----


@both
def test_entry_target_stop_sizes(side):
    """Partial fills: the stop is attached, the target is placed at the first and amended to the filled size at the second."""
    desk = Desk(side)
    (entry,) = desk.liquidate()
    assert entry.post_only and not entry.reduce_only and entry.side == side and entry.stop
    desk.order(entry.id, NEW)
    desk.order(entry.stop_id, NEW)
    (target,) = desk.fill(entry.id, entry.price, 0.1)
    assert (target.role, target.qty, target.side, target.post_only, target.reduce_only) == (TARGET, 0.1, -side, True, True)
    assert desk.fill(entry.id, entry.price, 0.2) == []  # the create is not answered yet: nothing is amended blindly
    (amend,) = desk.order(target.id, NEW)
    assert (amend.action, amend.qty, amend.id) == (Action.ACTION_AMEND, pytest.approx(0.3), target.id)
    desk.order(target.id, NEW)
    (cancel,) = desk.fill(target.id, target.price, 0.3)
    assert (cancel.action, cancel.id) == (Action.ACTION_CANCEL, entry.id) and desk.state == STATE.BRACKET_WINDING
    desk.order(entry.id, CANCELLED, filled=0.3)
    assert desk.state == STATE.BRACKET_FLAT and desk.held == 0.0
    (trade,) = desk.kinds(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == lc.Reason.END_TARGET and trade["x"][2] == pytest.approx(0.3) and trade["x"][3] > 0


@both
def test_the_target_of_a_market_entry_counts_from_the_average_of_its_fills(side):
    """Stop and take-profit from avg_price. A market order that eats into the book fills at several prices; the target is asked for at the
    first of them and follows the average, as the stop does; a stop's rule of never loosening is not its."""
    desk = Desk(side, price=100.0, entry="market", entry_offset=0, stop_loss="0.008", take_profit="0.02")
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.order(entry.stop_id, NEW)
    (target,) = desk.fill(entry.id, 100.0, entry.qty / 2, maker=False)
    assert target.price == pytest.approx(100.0 + side * 2.0)
    desk.fill(entry.id, 100.0 + side * 1.0, entry.qty / 2, maker=False)  # a worse price
    (amend,) = desk.order(target.id, NEW)
    assert (amend.id, amend.qty, amend.price) == (target.id, pytest.approx(entry.qty), pytest.approx(102.51 if side > 0 else 97.51))
    assert desk.order(target.id, NEW) == []  # as wanted: nothing more is asked
    desk.fill(target.id, amend.price, entry.qty)
    (trade,) = desk.kinds(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == lc.Reason.END_TARGET and trade["x"][3] == pytest.approx(entry.qty * abs(amend.price - (100.0 + side * 0.5)))


@both
@pytest.mark.parametrize(("heard_after_s", "closes_after_s"), [(50.0, 600.0), (400.0, 200.0), (3000.0, 0.0)])
def test_max_hold_of_a_fill_that_was_heard_of_late_counts_from_the_fill(side, heard_after_s, closes_after_s):
    """Max hold after a restart or an outage: the position has been held since its fill, not since we heard of it."""
    desk = Desk(side, entry_ttl_s=86_400, max_hold_s=600)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.order(entry.stop_id, NEW)
    filled = desk.now
    desk.wait(heard_after_s)
    desk.fill(entry.id, entry.price, entry.qty, ts=filled)
    if closes_after_s:
        assert CLOSE not in [r.role for r in desk.wait(closes_after_s - 1.0)] and desk.state == STATE.BRACKET_HOLDING
    closing = desk.wait(1.0)
    assert [(r.role, r.qty) for r in closing if r.role == CLOSE] == [(CLOSE, pytest.approx(entry.qty))]
    assert desk.engine.bracket(0)["end"] == lc.Reason.END_MAX_HOLD


@both
def test_fill_reported_after_the_cancel(side):
    """CANCELLED overtakes the FILL that came before it at the venue: nobody is reported flat early (part 6)."""
    desk = Desk(side, entry_ttl_s=10)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    (cancel,) = desk.wait(10.0)
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
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED, filled=entry.qty)
    desk.wait(6.0)
    assert desk.alarms() == [ALARM.ALARM_UNKNOWN] and desk.state == STATE.BRACKET_ENTERING
    desk.liquidate()  # a second signal is refused and cannot enter
    assert len(desk.kinds(AuditKind.AUDIT_RISK)) == 2 and desk.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.BRACKET_OPEN


@both
def test_late_fill_of_a_venue_that_does_not_say_how_much(side):
    """Without cumulative quantities a fill can come when all looked over: it is counted, alarmed and closed, never ignored."""
    desk = Desk(side, entry_ttl_s=10)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT
    (close,) = desk.fill(entry.id, entry.price, 0.1)
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
            assert len(desk.liquidate()) == 1  # the next bracket is open when they come again


@both
def test_foreign_fill_alarms_and_halts(side):
    desk = Desk(side, cooldown_s=0)
    entry = desk.enter()
    desk.fill(entry.id + (1 << 12), 2500.0, 1.0)  # the id of a bracket that never was, while one is open
    assert desk.alarms() == [ALARM.ALARM_FOREIGN] and desk.engine.risk.halted == lc.Reason.HALTED
    assert desk.held == pytest.approx(entry.qty)


@both
def test_refused_cancel_is_repeated_ever_more_rarely(side):
    """A cancel that is refused means: already filled, already gone, or a rate limit. It must not become a storm."""
    desk = Desk(side, entry_ttl_s=10)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    sent = len(desk.wait(10.0))
    for _ in range(600):  # answers come after 100 ms, for a minute
        sent += len(desk.order(entry.id, REFUSED, lc.Reason.END_VENUE))
        sent += len(desk.wait(0.1))
    assert 5 < sent < 25 and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    desk.order(entry.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT


@both
def test_refused_cancel_before_the_ack_is_not_a_rejected_entry(side):
    """The cancel overtook the create: the entry is believed alive until the venue says otherwise."""
    desk = Desk(side, entry_ttl_s=0.5)
    (entry,) = desk.liquidate()
    (cancel,) = desk.wait(0.5)
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
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(10.0)
    assert desk.wait(100.0) == [] and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    (cancel,) = desk.order(entry.id, NEW)  # the venue was asked: it lives
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
    (entry,) = engine.drain()
    engine.on_order(now + S, now + S, entry.id, UNKNOWN)
    engine.advance(now + 60 * S)
    engine.on_liquidation(now + 61 * S, now + 61 * S, 1, side, 180.0, 10.0)
    records = engine.audit.drain()
    assert engine.drain() == []
    verdict = records[records["kind"] == AuditKind.AUDIT_RISK][-1]
    assert verdict["reason"] == lc.Reason.RISK_EXPOSURE and verdict["x"][2] == pytest.approx(entry.qty * entry.price)


@both
@pytest.mark.parametrize("refused_first", [True, False])
def test_the_stop_of_a_second_position_is_where_the_entry_put_it(side, refused_first):
    """The attached stop ends with a position while an amend of it is on its way; the rest of the entry is filled, and the venue attaches it again at
    the entry's price. The trail moves that one, and does not wait for the answer to the amend of the first (found by a seed of the sweep)."""
    desk = Desk(side, price=100.0, entry_offset="0.001", stop_loss="0.03", take_profit="0.02", trail="0.01")
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.alive(entry)
    (target,) = desk.fill(entry.id, entry.price, 0.1)
    desk.order(target.id, NEW)
    (amend,) = desk.trade(100.0 + side * 1.5)
    assert (amend.action, amend.id) == (Action.ACTION_AMEND, entry.stop_id)
    (cancel,) = desk.fill(target.id, target.price, 0.1)
    assert (cancel.action, cancel.id) == (Action.ACTION_CANCEL, entry.id)
    desk.order(entry.stop_id, CANCELLED, lc.Reason.END_REDUCE_ONLY)
    if refused_first:
        desk.order(entry.stop_id, REFUSED, lc.Reason.END_VENUE)
    desk.fill(entry.id, entry.price, 0.2)
    desk.alive(entry)
    if not refused_first:
        desk.order(entry.stop_id, REFUSED, lc.Reason.END_VENUE, ts=desk.now - 2)  # the venue had refused it before the second fill
    again = [r for r in desk.trade(100.0 + side * 1.6) if r.id == entry.stop_id]
    expected = fixed_trail(side, 100.0 + side * 1.6, 100.0, 0.01, 0.03)
    assert [r.action for r in again] == [Action.ACTION_AMEND] and again[0].price == pytest.approx(expected, abs=0.011)
