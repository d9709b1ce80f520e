"""The bracket's exits told by hand: stops that die, closes that are refused, overfills, operators, cooldowns."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import ALARM, CANCELLED, NEW, REFUSED, REJECTED, STATE, TRIGGERED, Desk, S, both
from liqcore.audit import AuditKind
from liqcore.event import Action
from model_venue import CLOSE, ENTRY, TARGET

pytestmark = pytest.mark.core


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
def test_a_stop_that_nobody_confirms_is_no_stop(side):
    """The entry is filled and the venue is silent about its attached stop: closed at market a second after the fill, not later and not before."""
    desk = Desk(side)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    filled = desk.fill(entry.id, entry.price, entry.qty)
    assert [r.role for r in filled] == [TARGET]
    assert desk.wait(1.0 - 1e-9) == []
    assert CLOSE in [r.role for r in desk.wait(1e-9)] and ALARM.ALARM_UNPROTECTED in desk.alarms()


@both
def test_stop_confirmation_older_than_its_end_protects_nobody(side):
    """CANCELLED overtakes NEW: believing the NEW would leave the position naked."""
    desk = Desk(side)
    (entry,) = desk.liquidate()
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
    (entry,) = desk.liquidate()
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
    assert 100 < len(closes) < 200 and max(b - a for a, b in zip(closes, closes[1:], strict=False)) < 31 * S
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
    (again,) = desk.order(close.id, CANCELLED, filled=0.1)
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
        # exits only reduce: what nobody explained was somebody else's, and is no position (nor exposure, nor profit) of ours
        assert desk.engine.account.position(0)["qty"] == pytest.approx(0.0)


@both
def test_refused_amend_of_a_trailing_stop_is_tried_again(side):
    """The belief goes back to the price that the venue has; otherwise the same price would never be asked for again."""
    desk = Desk(side, take_profit=0, trail="0.01", stop_loss="0.02")
    entry = desk.enter()
    far = entry.price * (1 + side * 0.05)
    (amend,) = desk.trade(far)
    assert desk.order(amend.id, REFUSED, lc.Reason.END_VENUE) == []
    assert desk.trade(far) == []  # not at once
    desk.wait(0.2)
    (again,) = desk.trade(far)
    assert again.price == amend.price and (again.price - entry.stop) * side > 0


@both
def test_target_that_would_cross_is_placed_as_a_plain_limit(side):
    desk = Desk(side)
    desk.enter()
    first = desk.requests[-1]
    (second,) = desk.order(first.id, REJECTED, lc.Reason.END_POST_ONLY)
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
    desk.fill(entry.id, entry.price, 0.1)  # the entry is filled once more on its way out
    close = [r for r in desk.requests if r.role == CLOSE][-1]
    (again,) = desk.fill(close.id, entry.price, 0.1, maker=False)
    assert again.role == CLOSE and again.qty == pytest.approx(0.1)


@both
def test_cooldown_runs_from_flat_and_only_after_a_trade(side):
    desk = Desk(side, entry_ttl_s=10, cooldown_s=300)
    (entry,) = desk.liquidate()
    desk.wait(10.0)
    desk.order(entry.id, CANCELLED)
    entry = desk.enter()  # at once: what never filled is not a trade
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
    (first,) = desk.liquidate()
    desk.trade(2490.0)
    (second,) = desk.order(first.id, REJECTED, lc.Reason.END_POST_ONLY)
    assert second.role == ENTRY and second.id != first.id and second.price == pytest.approx(2486.26 if side > 0 else 2493.74, abs=0.011)
    assert desk.order(second.id, REJECTED, lc.Reason.END_POST_ONLY) == []
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.bracket(0)["end"] == lc.Reason.END_POST_ONLY


@both
def test_a_bracket_that_asks_without_end_halts_entries(side):
    """A trail whose every amend is confirmed could ask for ever; past 600 requests of one bracket nothing more is entered, and the trail goes on."""
    desk = Desk(side, trail="0.002", take_profit=0, max_hold_s=1e6)
    desk.enter()
    price, asked = desk.price, 0
    for _ in range(700):
        price *= 1.0 + 0.001 * side
        sent = desk.trade(round(price, 2))
        asked += len(sent)
        for r in sent:
            desk.order(r.id, NEW)
    assert asked > 650 and desk.held > 0
    (latched,) = desk.kinds(AuditKind.AUDIT_LIMIT)
    assert lc.Reason(latched["reason"]) == lc.Reason.RISK_PER_SIGNAL and (latched["x"][0], latched["x"][1]) == (601.0, 600.0)
