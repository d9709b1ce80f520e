"""A signal of higher confidence closes the open bracket first, then opens its own; the same for both sides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.answers import Place

import liqcore as lc
from desk import CANCELLED, NEW, STATE, both, limits
from liqcore.event import Action, Role
from script import Play, Script, bracket

pytestmark = pytest.mark.core

FILLED = pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["resting", "partly filled", "filled"])


def opened(side, share, confidence=5, risk=None, **over):
    """A desk with an open bracket, its entry filled to a share; -> desk, entry."""
    desk = Play(side, Script(), risk=risk)
    (entry,) = desk.wish(bracket(side, confidence=confidence, **over))
    desk.order(entry.id, NEW)
    if share:
        desk.order(entry.stop_id, NEW)
        desk.fill(entry.id, entry.price, round(entry.qty * share, 3))
    return desk, entry


def close_all(desk, entry, share, mark):
    """The venue does what was asked since `mark`: cancels die, the close fills. -> what was asked in answer to the last report."""
    out = []
    asked = desk.requests[mark:]
    for r in asked:
        if r.action == Action.ACTION_CANCEL:
            out = desk.order(r.id, CANCELLED)
    for r in asked + out:
        if r.role == Role.ROLE_CLOSE and r.action == Action.ACTION_CREATE:
            out = desk.fill(r.id, 2500.0, r.qty, maker=False)
    return out


@both
@FILLED
@pytest.mark.parametrize("turn", [1, -1], ids=["same side", "other side"])
def test_a_stronger_one_takes_the_place(side, share, turn):
    desk, entry = opened(side, share, cooldown_s=3600)
    mark = len(desk.requests)
    desk.wish(bracket(side * turn, confidence=6, replaces=True))
    asked = desk.requests[mark:]
    assert desk.reasons()[-1] == "REPLACING"
    assert {(r.role, r.action) for r in asked} >= ({(Role.ROLE_ENTRY, Action.ACTION_CANCEL)} if share < 1 else set())
    assert ((Role.ROLE_CLOSE, Action.ACTION_CREATE) in {(r.role, r.action) for r in asked}) == (share > 0)
    out = close_all(desk, entry, share, mark)
    (new,) = [r for r in out if r.role == Role.ROLE_ENTRY]
    assert new.action == Action.ACTION_CREATE and new.side == side * turn and new.ts == desk.now
    assert desk.ended() == ["END_REPLACED"] and desk.reasons()[-1] == "OK" and desk.state == STATE.BRACKET_ENTERING


@both
@FILLED
@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"confidence": 6}, "BRACKET_OPEN"),
        ({"confidence": 5, "replaces": True}, "WEAKER"),
        ({"confidence": 4, "replaces": True}, "WEAKER"),
        ({"confidence": 9, "replaces": True, "notional": 1e7}, "RISK_NOTIONAL"),
    ],
)
def test_who_may_not(side, share, wish, reason):
    """Not one that does not say so, none that is not stronger, and none that risk would refuse: nothing is closed for it."""
    desk, _ = opened(side, share, risk=limits(order_notional_max=1e6))
    mark = len(desk.requests)
    assert desk.wish(bracket(side, **wish)) == [] and len(desk.requests) == mark and desk.reasons()[-1] == reason and desk.ended() == []


@both
@FILLED
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("halt", "HALTED"),
        ("gate", "NOT_READY"),
        ("gap", "UNCERTAIN"),
        ("time", "BRACKET_OPEN"),
        ("leave", "POLICY_LEAVE"),
        ("stale", "RISK_STALE_DATA"),
    ],
)
def test_what_comes_between(side, share, what, reason):
    """A halt, a closed gate, a gap of the feed, too long a wait, the policy itself, or risk when the place is free: the old one is closed, no new one."""
    desk, entry = opened(side, share, risk=limits(data_age_max_s=3.0))
    mark = len(desk.requests)
    desk.wish(bracket(side, confidence=6, replaces=True))
    asked = desk.requests[mark:]
    if what == "halt":
        desk.engine.on_control(desk.now, lc.Control.CONTROL_HALT)
        desk.engine.on_control(desk.now, lc.Control.CONTROL_RESUME)
    elif what == "gate":
        desk.engine.on_control(desk.now, lc.Control.CONTROL_PAUSE, lc.Gate.GATE_CLOCK)
        desk.engine.on_control(desk.now, lc.Control.CONTROL_READY, lc.Gate.GATE_CLOCK)
    elif what == "gap":
        desk.engine.on_feed(desk.now, desk.now, lc.FeedState.FEED_GAP)
    elif what == "time":
        desk.wait(4.98)
        assert "BRACKET_OPEN" not in desk.reasons()
        desk.wait(0.01)
    elif what == "leave":
        desk.wish(lc.Leave())
    elif what == "stale":
        desk.wait(3.5)
    desk.collect()
    desk.requests = desk.requests[:mark] + asked
    out = close_all(desk, entry, share, mark)
    assert not [r for r in out if r.role == Role.ROLE_ENTRY] and desk.reasons()[-1] == reason and desk.state == STATE.BRACKET_FLAT
    assert desk.ended() == ["END_REPLACED"]


@both
def test_a_place_that_waits_is_in_the_snapshot(side):
    desk, entry = opened(side, 0.0)
    mark = len(desk.requests)
    desk.wish(bracket(side, confidence=6, replaces=True))
    data, desk.engine = desk.engine.snapshot(), desk.fresh()
    desk.engine.restore(data)
    assert desk.engine.snapshot() == data
    (new,) = close_all(desk, entry, 0.0, mark)
    assert new.role == Role.ROLE_ENTRY and desk.ended() == ["END_REPLACED"]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([1, -1]),
    st.lists(st.one_of(st.tuples(st.just("wish"), st.integers(1, 4), st.booleans()), st.just(("flat", 0, False))), max_size=25),
)
def test_places_are_the_oracles(side, story):
    """Any order of wishes and closings, entries that never fill: who opens, who waits, who is refused and why."""
    desk, place = Play(side, Script()), Place()
    live = None  # the entry that rests
    for what, confidence, replaces in story:
        mark = len(desk.requests)
        if what == "wish":
            expected = place.wish(confidence, replaces)
            desk.wish(bracket(side, confidence=confidence, replaces=replaces, entry_ttl_s=1e6), later_s=0.002)
            assert desk.reasons()[-1] == expected
        elif live is not None and place.open is not None:
            opens = place.flat()
            desk.order(live.id, CANCELLED)
            assert (desk.reasons()[-1] == "OK") == opens or not opens
            assert any(r.role == Role.ROLE_ENTRY and r.action == Action.ACTION_CREATE for r in desk.requests[mark:]) == opens
            live = None
        for r in desk.requests[mark:]:
            if r.role == Role.ROLE_ENTRY and r.action == Action.ACTION_CREATE:
                live = r
        assert (desk.state == STATE.BRACKET_FLAT) == (place.open is None)
