"""The bracket at a real venue, told by hand: somebody else reduces the position, outcomes are unknown and become known, news is old, reports overtake."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import ALARM, CANCELLED, DONE, NEW, REFUSED, REJECTED, STATE, TRIGGERED, UNKNOWN, Desk, S, both
from liqcore.audit import AuditKind
from liqcore.event import Action
from model_venue import CLOSE, ENTRY, STOP, TARGET

OUTSIDE = int(lc.Role.ROLE_OUTSIDE)


def outside(entry) -> int:
    """The id under which fills that are not ours are reported."""
    return (entry.id & ~0xFFF) | OUTSIDE


def say(desk: Desk, order: int, status: int, resting: float = 0.0, executed: float = 0.0, price: float = 0.0, ts: int | None = None) -> list:
    """A report with everything that a venue says."""
    desk.now += 1
    desk.engine.on_order(desk.now if ts is None else ts, desk.now, order, status, 0, resting, price, executed)
    return desk.collect()


def creates(requests) -> list:
    return [r.role for r in requests if r.action == Action.ACTION_CREATE]


def held_with_target(side, **bracket):
    desk = Desk(side, **bracket)
    entry = desk.enter()
    target = desk.requests[-1]
    desk.order(target.id, NEW)
    return desk, entry, target


# ---- somebody else ----


@both
def test_somebody_else_closes_all_of_it(side):
    desk, entry, target = held_with_target(side, cooldown_s=60)
    (cancel,) = desk.fill(outside(entry), 2490.0, entry.qty, maker=False)
    assert (cancel.action, cancel.id) == (Action.ACTION_CANCEL, target.id) and desk.alarms() == [ALARM.ALARM_OUTSIDE]
    desk.order(target.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.bracket(0)["end"] == lc.Reason.END_OUTSIDE
    assert desk.engine.account.position(0)["qty"] == 0.0 and desk.engine.risk.halted == lc.Reason.OK
    (trade,) = desk.kinds(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == lc.Reason.END_OUTSIDE and trade["x"][3] == pytest.approx((2490.0 - entry.price) * side * entry.qty)
    assert desk.engine.bracket(0)["cooldown_until"] == desk.now + 60 * S


@both
def test_somebody_else_takes_a_part_and_the_rest_is_closed_when_it_is_quiet(side):
    """The first piece decides; the close waits a second for the others, else it would ask for what is gone already."""
    desk, entry, target = held_with_target(side)
    assert creates(desk.fill(outside(entry), 2490.0, 0.1, maker=False)) == []
    desk.wait(0.5)
    desk.fill(outside(entry), 2490.0, 0.1, maker=False)
    (close,) = [r for r in desk.wait(0.5) if r.role == CLOSE]
    assert close.reduce_only and close.qty == pytest.approx(entry.qty - 0.2) and desk.alarms() == [ALARM.ALARM_OUTSIDE] * 2
    desk.fill(close.id, 2490.0, close.qty, maker=False)
    desk.order(target.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.account.position(0)["qty"] == 0.0
    assert desk.engine.bracket(0)["end"] == lc.Reason.END_OUTSIDE


@both
def test_somebody_else_while_the_entry_rests_takes_it_back(side):
    desk = Desk(side)
    entry = desk.enter(0.1)
    desk.order(desk.requests[-1].id, NEW)
    sent = desk.fill(outside(entry), 2490.0, 0.1, maker=False)
    assert {(r.role, r.action) for r in sent} == {(ENTRY, Action.ACTION_CANCEL), (TARGET, Action.ACTION_CANCEL)}
    assert desk.state == STATE.BRACKET_WINDING


@both
@pytest.mark.parametrize("explained", [True, False])
def test_what_somebody_else_sold_must_have_been_ours(side, explained):
    """Their fill may overtake our entry's; if that never comes, they have opened a position of their own: not ours, halt."""
    desk = Desk(side)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.fill(outside(entry), 2490.0, 0.1, maker=False)
    if explained:
        desk.fill(entry.id, entry.price, 0.1)
    desk.wait(1.5)
    assert (desk.engine.risk.halted == lc.Reason.HALTED) == (not explained) == (ALARM.ALARM_OVERFILL in desk.alarms())
    assert desk.engine.account.position(0)["qty"] == pytest.approx(0.0 if explained else -0.1 * side)


@both
def test_the_same_execution_under_another_name_counts_once(side):
    """The stream says whose order it was, a query afterwards may not."""
    desk, entry, _ = held_with_target(side)
    desk.fill(entry.stop_id, entry.stop, 0.1, maker=False, execution=77)
    desk.fill(outside(entry), entry.stop, 0.1, maker=False, execution=77)
    assert desk.held == pytest.approx(entry.qty - 0.1) and ALARM.ALARM_OUTSIDE not in desk.alarms()


# ---- unknown, and what it turns out to be ----


@both
def test_an_unknown_entry_that_never_existed_frees_the_slot(side):
    desk = Desk(side, cooldown_s=0)
    (entry,) = desk.liquidate()
    assert desk.order(entry.id, UNKNOWN) == [] and desk.engine.orders()[0]["unknown"]
    desk.wait(1.0)
    assert desk.liquidate() == []  # nothing new while it is unknown
    assert desk.order(entry.id, REJECTED, lc.Reason.END_VENUE) == []
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.orders() == []
    desk.wait(1.0)
    assert creates(desk.liquidate()) == [ENTRY]


@both
@pytest.mark.parametrize("asked", ["nothing", "cancel"])
def test_an_unknown_entry_that_was_filled(side, asked):
    desk = Desk(side, entry_ttl_s=20)
    (entry,) = desk.liquidate()
    desk.order(entry.id, UNKNOWN)
    if asked == "cancel":
        assert [r.action for r in desk.wait(20.0)] == [Action.ACTION_CANCEL]
        desk.wait(6.0)
    desk.order(entry.stop_id, NEW)
    assert creates(desk.fill(entry.id, entry.price, entry.qty)) == [TARGET]
    first = desk.engine.orders()[0]
    assert first["status"] == "ended" and not first["unknown"]
    assert desk.wait(5.0 - 1e-6) == [] and desk.held == pytest.approx(entry.qty)


@both
def test_an_unknown_close_is_not_repeated_and_is_at_once_when_it_never_existed(side):
    desk, entry, target = held_with_target(side, max_hold_s=60)
    close = [r for r in desk.wait(60.0) if r.role == CLOSE][0]
    desk.order(target.id, CANCELLED)
    desk.order(close.id, UNKNOWN)
    assert desk.wait(300.0) == []
    (again,) = desk.order(close.id, REJECTED, lc.Reason.END_VENUE)
    assert again.role == CLOSE and again.id != close.id and again.ts == desk.now
    assert desk.order(again.id, REJECTED, lc.Reason.END_VENUE) == []  # a plain refusal backs off
    assert creates(desk.wait(60.0)) == [CLOSE]


@both
def test_an_unknown_target_is_not_repeated(side):
    desk = Desk(side)
    desk.enter()
    target = desk.requests[-1]
    assert desk.wait(600.0) == [] and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    assert desk.order(target.id, REJECTED, lc.Reason.END_VENUE)[0].role == TARGET


@both
def test_a_refused_cancel_of_unknown_outcome_is_asked_again_and_watched_again(side):
    desk = Desk(side, entry_ttl_s=20)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.wait(20.0), desk.wait(5.0)
    assert desk.alarms() == [ALARM.ALARM_UNKNOWN]
    desk.order(entry.id, REFUSED, lc.Reason.END_VENUE)
    assert [r.action for r in desk.wait(0.2)] == [Action.ACTION_CANCEL] and not desk.engine.orders()[0]["unknown"]
    desk.wait(5.0)
    assert desk.alarms() == [ALARM.ALARM_UNKNOWN] * 2


# ---- old news, other sizes ----


@both
def test_old_news_does_not_confirm_an_amended_stop(side):
    """What looks like an answer is the state from before; when the refusal comes the belief must go back."""
    desk = Desk(side, take_profit=0, trail="0.01", stop_loss="0.02")
    entry = desk.enter()
    before = desk.engine.orders()[1]["price"]
    (amend,) = desk.trade(entry.price * (1 + side * 0.05))
    say(desk, entry.stop_id, NEW, price=before)
    assert desk.engine.orders()[1]["asked"] == "amend"
    desk.order(amend.id, REFUSED)
    assert desk.engine.orders()[1]["price"] == before
    desk.wait(0.2)
    (again,) = desk.trade(entry.price * (1 + side * 0.05))
    say(desk, entry.stop_id, NEW, price=again.price)
    stop = desk.engine.orders()[1]
    assert (stop["asked"], stop["price"]) == ("", again.price)


@both
def test_an_unknown_amend_of_the_stop_is_what_the_venue_says(side):
    desk = Desk(side, take_profit=0, trail="0.01", stop_loss="0.02")
    entry = desk.enter()
    before = desk.engine.orders()[1]["price"]
    desk.trade(entry.price * (1 + side * 0.05))
    desk.wait(5.0)
    say(desk, entry.stop_id, NEW, price=before)
    stop = desk.engine.orders()[1]
    assert (stop["asked"], stop["unknown"], stop["price"]) == ("", False, before)
    assert [r.role for r in desk.trade(entry.price * (1 + side * 0.05))] == [STOP]


@both
def test_old_news_does_not_confirm_an_amended_target(side):
    desk = Desk(side)
    entry = desk.enter(0.2)
    target = desk.requests[-1]
    say(desk, target.id, NEW, resting=0.2)
    desk.fill(target.id, target.price, 0.05)
    (amend,) = desk.fill(entry.id, entry.price, 0.1)
    assert (amend.action, amend.qty) == (Action.ACTION_AMEND, pytest.approx(0.3))
    assert say(desk, target.id, NEW, resting=0.15, executed=0.05) == []  # partly filled, as it was before
    assert desk.engine.orders()[2]["asked"] == "amend"
    assert say(desk, target.id, NEW, resting=0.25, executed=0.05) == []
    assert desk.engine.orders()[2]["asked"] == ""


@both
def test_a_target_that_the_venue_shrank_is_made_to_fit(side):
    desk = Desk(side)
    desk.enter()
    target = desk.requests[-1]
    say(desk, target.id, NEW, resting=target.qty)
    desk.fill(target.id, target.price, 0.1)
    (amend,) = say(desk, target.id, NEW, resting=0.05, executed=0.1)
    assert (amend.action, amend.qty) == (Action.ACTION_AMEND, pytest.approx(target.qty))
    late = say(desk, target.id, NEW, resting=0.05, executed=0.1, ts=desk.now - S)
    assert late == []


@both
def test_an_amend_refused_because_all_was_filled(side):
    desk = Desk(side)
    entry = desk.enter(0.1)
    target = desk.requests[-1]
    desk.order(target.id, NEW)
    desk.fill(entry.id, entry.price, 0.1)  # amended to 0.2, while the venue fills 0.1
    desk.fill(target.id, target.price, 0.1)
    (fresh,) = desk.order(target.id, REFUSED, lc.Reason.END_VENUE)
    assert fresh.role == TARGET and fresh.action == Action.ACTION_CREATE and fresh.qty == pytest.approx(0.1)


@both
@pytest.mark.parametrize("status", [DONE, CANCELLED])
def test_a_close_that_is_done_before_its_fills_are_heard_of(side, status):
    """Another close would sell what is sold; but what is known not to be sold must go."""
    desk, entry, target = held_with_target(side, max_hold_s=60)
    close = [r for r in desk.wait(60.0) if r.role == CLOSE][0]
    desk.order(target.id, CANCELLED)
    sold = entry.qty if status == DONE else 0.1
    rest = say(desk, close.id, status, executed=sold)
    if status == DONE:
        assert rest == [] and desk.wait(0.9) == []
        desk.fill(close.id, 2490.0, entry.qty, maker=False)
        assert desk.state == STATE.BRACKET_FLAT
    else:
        assert [(r.role, r.qty) for r in rest] == [(CLOSE, pytest.approx(entry.qty - 0.1))]


@both
def test_a_close_whose_fills_never_come_is_asked_again(side):
    """Perhaps they were counted under another name. Too much is refused by the venue; too little would be naked."""
    desk, entry, target = held_with_target(side, max_hold_s=60)
    close = [r for r in desk.wait(60.0) if r.role == CLOSE][0]
    desk.order(target.id, CANCELLED)
    desk.fill(outside(entry), 2490.0, 0.1, maker=False)  # what the close sold, named differently
    assert say(desk, close.id, CANCELLED, executed=0.1)[0].qty == pytest.approx(entry.qty - 0.2)
    desk, entry, target = held_with_target(side, max_hold_s=60)
    close = [r for r in desk.wait(60.0) if r.role == CLOSE][0]
    desk.order(target.id, CANCELLED)
    assert say(desk, close.id, DONE, executed=entry.qty) == []
    (again,) = desk.wait(1.0)
    assert again.role == CLOSE and again.qty == pytest.approx(entry.qty) and again.ts == desk.now


@both
def test_the_stop_goes_with_the_position_before_the_fill_is_heard_of(side):
    """The target took it all; the stop's end is reported first."""
    desk, entry, target = held_with_target(side)
    desk.order(entry.stop_id, CANCELLED)
    assert desk.wait(0.9) == []
    assert desk.fill(target.id, target.price, entry.qty) == [] and desk.state == STATE.BRACKET_FLAT
    assert desk.engine.bracket(0)["end"] == lc.Reason.END_TARGET and desk.alarms() == []


@both
def test_our_own_time_in_a_refusal_does_not_hide_the_end_of_a_stop(side):
    """A refusal that a gateway makes up carries our clock; the venue's, a second behind, says afterwards that the stop is gone."""
    desk = Desk(side, take_profit=0, trail="0.01", stop_loss="0.02")
    entry = desk.enter()
    (amend,) = desk.trade(entry.price * (1 + side * 0.05))
    told = desk.now
    desk.wait(2.0)
    desk.order(amend.id, REFUSED)
    desk.order(entry.stop_id, CANCELLED, ts=told + 1)
    assert CLOSE in [r.role for r in desk.wait(1.0)]


@both
def test_a_fired_stop_whose_rest_is_known_to_be_sold(side):
    desk, entry, target = held_with_target(side)
    desk.order(entry.stop_id, TRIGGERED)
    desk.fill(entry.stop_id, entry.stop, 0.1, maker=False)
    say(desk, entry.stop_id, DONE, executed=entry.qty)
    assert creates(desk.wait(0.9)) == []  # unprotected, but there is nothing left to sell
    desk.fill(entry.stop_id, entry.stop, entry.qty - 0.1, maker=False)
    desk.order(target.id, CANCELLED)
    assert desk.state == STATE.BRACKET_FLAT
