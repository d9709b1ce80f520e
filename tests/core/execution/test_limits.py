"""Limits: every reason of risk on both sides, and that nothing leaves which breaks one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore import (
    LONG,
    SECOND,
    AuditKind,
    BracketState,
    Control,
    Engine,
    FeedState,
    Instrument,
    OrderStatus,
    Reason,
    Risk,
)
from liqcore.event import Action, Role
from markets import EAGER, START, Fade, market, paper
from scene import PRICE, SIDES, Scene


@SIDES
@pytest.mark.parametrize(
    ("reason", "policy", "limits"),
    [
        (Reason.RISK_NOTIONAL, {}, {"order_notional_max": 990.0}),
        (Reason.RISK_EXPOSURE, {}, {"exposure_max": 990.0}),
        (Reason.RISK_LEVERAGE, {}, {"leverage_max": 0.09}),
        (Reason.RISK_QTY, {"notional": 1.0}, {}),
        (Reason.RISK_QTY, {"notional": 9e14}, {}),
        (Reason.RISK_COLLAR, {"entry_offset": 0.03}, {}),
        (Reason.RISK_COLLAR, {"reference": 220_000}, {}),
        (Reason.RISK_COLLAR, {"reference": 180_000}, {}),
    ],
)
def test_a_limit_refuses_the_entry_and_says_which(side, reason, policy, limits):
    s = Scene(Fade(**policy), Risk(**limits))
    s.cascade(side)
    assert s.verdict() == reason
    assert s.engine.bracket(0)["state"] == BracketState.BRACKET_FLAT


@SIDES
def test_min_notional_of_the_venue(side):
    names = [Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_notional=1001.0)]
    s = Scene(names=names)
    s.cascade(side)
    assert s.verdict() == Reason.RISK_QTY


@SIDES
def test_open_brackets_and_exposure_of_all_instruments_count(side):
    s = Scene(risk=Risk(positions_max=1))
    s.enter(side)
    s.engine.drain(), s.records()
    s.cascade(side, index=1)
    assert s.verdict() == Reason.RISK_POSITIONS
    s = Scene(risk=Risk(exposure_max=1500.0))
    s.cascade(side)
    assert s.verdict() == Reason.OK
    s.cascade(-side, index=1)
    assert s.verdict() == Reason.RISK_EXPOSURE, "an entry that waits counts like a position"


@SIDES
def test_orders_a_minute(side):
    s = Scene(risk=Risk(orders_per_minute_max=1))
    s.cascade(side)
    assert s.verdict() == Reason.OK
    s.cascade(side, index=1)
    assert s.verdict() == Reason.RISK_RATE
    s.pass_time(121)
    s.records(), s.engine.drain()
    s.cascade(side, index=1)
    assert s.verdict() == Reason.OK


@SIDES
def test_stale_data_and_no_price(side):
    s = Scene(risk=Risk(data_age_max_s=1.0))
    s.trade()
    s.liquidation(side, after=0.0)
    s.liquidation(side, after=1.0)
    assert s.verdict() == Reason.OK
    s = Scene(risk=Risk(data_age_max_s=1.0))
    s.liquidation(side, after=1.0)
    s.liquidation(side, after=0.001)
    assert s.verdict() == Reason.RISK_STALE_DATA
    engine = Engine(["BTCUSDT"], EAGER, Fade())
    for n in range(20):
        engine.on_liquidation(START + n, START + n, 0, side, 2000.0, 1.0 + n)
    assert {r["reason"] for r in engine.audit.drain() if r["kind"] == AuditKind.AUDIT_RISK} == {Reason.NO_PRICE}


@SIDES
def test_halt_flatten_and_resume(side):
    s = Scene()
    s.engine.on_control(s.now, Control.CONTROL_HALT)
    s.cascade(side)
    assert s.verdict() == Reason.HALTED and s.engine.risk.halted == Reason.HALTED
    s.engine.on_control(s.now, Control.CONTROL_RESUME)
    s.pass_time(100)
    s.records()
    s.enter(side)
    (target,) = s.engine.drain()
    s.engine.on_control(s.now, Control.CONTROL_FLATTEN)
    requests = s.engine.drain()
    assert {(r.action.name, r.role) for r in requests} == {("ACTION_CANCEL", Role.ROLE_TARGET), ("ACTION_CREATE", Role.ROLE_CLOSE)}
    limits = [(r["phase"], r["reason"]) for r in s.records() if r["kind"] == AuditKind.AUDIT_LIMIT]
    assert limits == [(Control.CONTROL_FLATTEN, Reason.HALTED)] or limits == [(Control.CONTROL_HALT, Reason.HALTED)]


@SIDES
def test_halting_cancels_entries_that_wait(side):
    s = Scene()
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.engine.on_control(s.now, Control.CONTROL_HALT)
    (cancel,) = s.engine.drain()
    assert (cancel.action.name, cancel.id) == ("ACTION_CANCEL", entry.id)


@SIDES
def test_halting_takes_back_the_rest_of_an_entry_and_keeps_what_is_held(side):
    s = Scene()
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.engine.on_order(s.now, s.now, entry.stop_id, OrderStatus.ORDER_NEW)
    s.fill(entry, qty=entry.qty / 2)
    (target,) = s.engine.drain()
    s.engine.on_control(s.now, Control.CONTROL_HALT)
    (cancel,) = s.engine.drain()
    assert (cancel.action.name, cancel.id, target.role) == ("ACTION_CANCEL", entry.id, Role.ROLE_TARGET)
    assert s.engine.bracket(0)["state"] == BracketState.BRACKET_HOLDING and s.engine.bracket(0)["held"] > 0


@SIDES
def test_a_loss_limit_takes_back_the_resting_entries_of_other_instruments(side):
    s = Scene(Fade(notional=10_000.0, cooldown_s=1), Risk(daily_loss_max=0.01, weekly_loss_max=0.5))
    s.cascade(side, index=1)
    (resting,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, resting.id, OrderStatus.ORDER_NEW)
    s.lose(side, PRICE * (1 - 0.02 * side))
    assert s.engine.risk.halted == Reason.RISK_DAILY_LOSS
    cancels = [r["id"] for r in s.only(AuditKind.AUDIT_REQUEST) if r["phase"] == Action.ACTION_CANCEL]
    assert resting.id in cancels


@SIDES
def test_what_was_executed_but_not_yet_reported_counts_as_exposure(side):
    """The venue says that a cancelled entry had executed everything; until the fills come, the other instrument sees it as exposure."""
    s = Scene(None, Risk(exposure_max=1500.0))
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_CANCELLED, filled=entry.qty)
    s.records()
    s.cascade(side, index=1)
    assert s.verdict() == Reason.RISK_EXPOSURE
    s = Scene(None, Risk(exposure_max=1500.0))
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_CANCELLED)
    s.records()
    s.cascade(side, index=1)
    assert s.verdict() == Reason.OK, "nothing was executed: nothing is exposed"


@SIDES
def test_the_daily_loss_limit_latches_and_ends_with_the_day(side):
    s = Scene(Fade(notional=10_000.0, cooldown_s=1), Risk(daily_loss_max=0.01, weekly_loss_max=0.5))
    s.lose(side, PRICE * (1 - 0.02 * side))
    latch = next(r for r in s.only(AuditKind.AUDIT_LIMIT))
    assert latch["reason"] == Reason.RISK_DAILY_LOSS and latch["x"][0] >= latch["x"][1] == pytest.approx(100.0)
    assert latch["x"][2] == s.engine.account.equity
    s.pass_time(100)
    s.records()
    s.cascade(side)
    assert s.verdict() == Reason.RISK_DAILY_LOSS
    s.pass_time(86_400)
    (lifted,) = s.only(AuditKind.AUDIT_LIMIT)
    assert (lifted["reason"], lifted["phase"]) == (Reason.RISK_DAILY_LOSS, Control.CONTROL_RESUME)
    assert lifted["ts"] % (86_400 * SECOND) == 0
    s.cascade(side)
    assert s.verdict() == Reason.OK


@SIDES
def test_the_weekly_loss_limit_waits_for_a_person_and_then_counts_anew(side):
    s = Scene(Fade(notional=10_000.0, cooldown_s=1), Risk(daily_loss_max=0.5, weekly_loss_max=0.02))
    s.lose(side, PRICE * (1 - 0.03 * side))
    assert s.engine.risk.halted == Reason.RISK_WEEKLY_LOSS
    s.pass_time(86_400)
    s.records()
    s.cascade(side)
    assert s.verdict() == Reason.RISK_WEEKLY_LOSS, "a new day does not lift it"
    s.pass_time(7 * 86_400)
    assert s.engine.risk.halted == Reason.RISK_WEEKLY_LOSS, "nor does a new week"
    s = Scene(Fade(notional=10_000.0, cooldown_s=1), Risk(daily_loss_max=0.5, weekly_loss_max=0.02))
    s.lose(side, PRICE * (1 - 0.03 * side))
    s.pass_time(100)
    s.engine.on_control(s.now, Control.CONTROL_RESUME)
    s.records()
    s.cascade(side)
    assert s.verdict() == Reason.OK, "resumed in the same week: what was lost before is acknowledged"
    assert s.engine.account.week_start_equity == s.engine.account.equity


@SIDES
def test_an_open_loss_counts_before_an_entry(side):
    s = Scene(Fade(notional=10_000.0), Risk(daily_loss_max=0.01, exposure_max=1e6, leverage_max=100.0))
    s.enter(side)
    s.engine.drain()
    s.engine.on_ticker(s.now, s.now, 0, PRICE * (1 - 0.015 * side))
    s.records()
    s.trade()
    s.engine.on_ticker(s.now, s.now, 0, PRICE * (1 - 0.015 * side))
    s.liquidation(side, index=1)
    s.liquidation(side, index=1, after=0.5)
    assert s.verdict() == Reason.RISK_DAILY_LOSS


@SIDES
def test_a_requote_passes_risk_like_any_entry(side):
    """A post-only reject is answered by a new entry at a new price: only while every limit allows it."""

    def reject(s):
        s.cascade(side)
        (entry,) = s.engine.drain()
        s.records()
        s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_REJECTED, Reason.END_POST_ONLY)
        return [r["reason"] for r in s.only(AuditKind.AUDIT_RISK)], s.engine.drain()

    reasons, again = reject(Scene(Fade(requotes=2)))
    assert reasons == [Reason.OK] and [r.role for r in again] == [Role.ROLE_ENTRY]
    reasons, again = reject(Scene(Fade(requotes=2), Risk(orders_per_minute_max=1)))
    assert reasons == [Reason.RISK_RATE] and again == []
    reasons, again = reject(Scene(Fade(requotes=2), Risk(orders_per_signal_max=1)))
    assert reasons == [] and again == []
    s = Scene(Fade(requotes=2))
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.pass_time(2)
    s.records()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_REJECTED, Reason.END_POST_ONLY)
    assert [r["reason"] for r in s.only(AuditKind.AUDIT_RISK)] == [Reason.RISK_STALE_DATA] and s.engine.drain() == []


@SIDES
def test_no_requote_while_the_feed_is_down_or_was_since_the_entry(side):
    """Its connection was lost between the entry and the reject: the age of the data does not show that yet (fault simulation, seed 5011)."""
    for states in ((), (FeedState.FEED_DOWN,), (FeedState.FEED_DOWN, FeedState.FEED_UP), (FeedState.FEED_GAP,)):
        s = Scene(Fade(requotes=2))
        s.cascade(side)
        (entry,) = s.engine.drain()
        s.records()
        for state in states:
            s.now += 1_000_000
            s.engine.on_feed(s.now, s.now, state)
        s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_REJECTED, Reason.END_POST_ONLY)
        assert [r["reason"] for r in s.only(AuditKind.AUDIT_RISK)] == [Reason.UNCERTAIN if states else Reason.OK]
        assert len(s.engine.drain()) == (0 if states else 1)


def test_nothing_is_entered_while_nobody_takes_the_requests():
    s = Scene(Fade(cooldown_s=0, entry_ttl_s=0.5, requotes=0), Risk(orders_per_minute_max=1000))
    for _n in range(3000):
        s.cascade(LONG)
        entry = s.engine.bracket(0)["sequence"]
        s.engine.on_order(s.now, s.now, (entry << 12) | 1, OrderStatus.ORDER_REJECTED, Reason.END_VENUE)
        s.pass_time(61)
    taken = s.engine.drain()
    ids = [r.id for r in taken]
    assert len(ids) == len(set(ids)) <= 4096, "no request was overwritten"
    assert 2000 <= len(ids) < 3000


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.fixed_dictionaries(
        {
            "order_notional_max": st.sampled_from([300.0, 999.0, 5000.0]),
            "exposure_max": st.sampled_from([500.0, 1500.0, 4000.0]),
            "leverage_max": st.sampled_from([0.05, 0.15, 10.0]),
            "positions_max": st.integers(1, 3),
            "orders_per_minute_max": st.integers(1, 4),
            "orders_per_signal_max": st.integers(1, 4),
            "data_age_max_s": st.sampled_from([0.5, 5.0]),
            "collar": st.sampled_from([0.0004, 0.02]),
        }
    ),
    st.sampled_from([250.0, 900.0, 3000.0]),
)
def test_no_request_leaves_that_breaks_a_limit(seed, limits, notional):
    p = paper(Fade(notional=notional, requotes=3, cooldown_s=0), size=3, risk=limits)
    p.run(market(seed, 2500, 3, feed=True))
    prices, sent, open_now, cascades = {}, [], set(), {}
    for r in p.engine.audit.drain():
        x, index = r["x"], int(r["instrument"])
        if r["kind"] == AuditKind.AUDIT_RISK and r["reason"] == Reason.OK:
            assert x[2] + x[0] <= limits["exposure_max"] and x[2] + x[0] <= limits["leverage_max"] * x[5]
            prices[index] = r
        elif r["kind"] == AuditKind.AUDIT_REQUEST and r["phase"] == 1 and x[7] == Role.ROLE_ENTRY:
            assert index in prices and prices.pop(index)["ts"] == r["ts"], "every entry has its own verdict, of the same moment"
            assert x[0] * x[1] <= limits["order_notional_max"] * (1 + 1e-12)
            sent.append(int(r["ts"]))
            assert sum(t > sent[-1] - 60 * SECOND for t in sent) <= limits["orders_per_minute_max"]
            cascades[index, x[5]] = cascades.get((index, x[5]), 0) + 1
            open_now.add(index)
            assert len(open_now) <= limits["positions_max"]
            assert abs(x[0] / x[6] - 1.0) <= limits["collar"] + 1e-9
        elif r["kind"] == AuditKind.AUDIT_BRACKET and r["phase"] == BracketState.BRACKET_FLAT:
            open_now.discard(index)
    assert all(count <= limits["orders_per_signal_max"] for count in cascades.values())
