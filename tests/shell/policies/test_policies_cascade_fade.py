"""Cascade-fade goes against more than $5M of one side: what it does after a long and after a short flush."""

import pytest
from test_policies_dollar import MILLION, burst

from liqcore import Reason
from stage import BOTH, PRICE, Stage


@BOTH
def test_cascade_fade_goes_against(side):
    """After longs were flushed for more than $5M it BUYS, after shorts it SELLS: at market, once the cascade slows; out at 15 minutes at the latest."""
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side)
    assert s.asked == [], "not while it runs"
    s.wait(100)
    ((at, way, terms),) = s.asked
    assert way == side, "longs flushed -> buy; shorts flushed -> sell"
    assert at == pytest.approx(60 + 92.0, abs=0.5), "when the volume inside 90 s had fallen by 60 %"
    assert (terms["max_hold_s"], terms["stop_loss"], terms["take_profit"], terms["notional"]) == (900.0, 0.02, 0.0, 2000.0)
    s.wait(900, price=PRICE * (1 - 0.0001 * side))
    ((why, way, *_, held),) = s.trades
    assert (why, way) == (Reason.END_MAX_HOLD, side) and held == pytest.approx(900.0, abs=1.0), "15 minutes"
    assert s.left == []


@BOTH
def test_cascade_fade_wants_nothing_before_a_price_is_known(side):
    """A feed may begin with liquidations, and a control moves them before the first trade: no wish without a price, and no price divided by zero."""

    class Unpriced(Stage):
        def tick(self, price=None):
            pass

    s = Unpriced("cascade-fade")
    s.wait(60)
    burst(s, side)
    s.wait(1000)
    assert any(name == "cascade-fade" and phase == "DECELERATING" for name, phase, *_ in s.said), "it would be asked"
    assert s.asked == [] and s.trades == [] and s.left == []


@BOTH
def test_cascade_fade_takes_its_reversion_from_5_minutes_on(side):
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side)
    s.wait(100)
    asked_at = s.asked[0][0]
    s.wait(800, price=PRICE * (1 + 0.0005 * side))
    assert s.left == [480.0], "better from the start, but the first bar 300 s after 152 ends at 480"
    ((why, way, *_),) = s.trades
    assert (why, way) == (Reason.END_POLICY, side) and 300.0 <= s.left[0] - asked_at <= 360.0


@BOTH
def test_cascade_fade_is_stopped_by_more_liquidations_of_the_same_side(side):
    """More of the same side -> out; as many of the other side -> stays."""
    for more, leaves in ((side, True), (-side, False)):
        s = Stage("cascade-fade")
        s.wait(60)
        burst(s, side)
        s.wait(110)
        burst(s, more, count=3, usd=0.2 * MILLION)
        s.wait(5)
        assert bool(s.left) is leaves
        assert [(t[0], t[1]) for t in s.trades] == ([(Reason.END_POLICY, side)] if leaves else [])


def trickle(stage, side, seconds, every=5.0):
    """Small liquidations of one side, one every so often: what a large market never is without."""
    for _ in range(int(seconds / every)):
        stage.forced(side, 100.0)
        stage.wait(every)


@BOTH
def test_cascade_fade_sees_and_is_stopped_though_small_liquidations_never_cease(side):
    """A liquidation of $100 every 5 s hides neither the second cascade of the hour, smaller than the first, nor the $500,000 in 10 s that stop the trade."""
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side, usd=3 * MILLION)
    trickle(s, side, 1800)
    assert [way for _, way, _ in s.asked] == [side] and s.left == []
    burst(s, side)
    trickle(s, side, 110)
    assert [way for _, way, _ in s.asked] == [side, side], "the second is one of its own"
    burst(s, side, count=3, usd=0.2 * MILLION)
    s.wait(5)
    assert len(s.left) == 1 and [(t[0], t[1]) for t in s.trades][1:] == [(Reason.END_POLICY, side)]


@BOTH
def test_cascade_fade_leaves_when_the_same_cascade_is_active_again(side):
    """It slowed, we went against it, and it goes on above its peak: that is "cascade continues", not another entry."""
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side)
    s.wait(100)
    assert len(s.asked) == 1
    s.forced(side, 7 * MILLION)
    s.wait(2)
    assert len(s.asked) == 1 and s.left == [s.said[-1][3]] and [(t[0], t[1]) for t in s.trades] == [(Reason.END_POLICY, side)]


@BOTH
def test_cascade_fade_keeps_the_rule_of_the_trade_that_is_open(side):
    """A cascade of the other side while it holds neither adds nor turns the rules of leaving round: price that went AGAINST the trade is no better price,
    and more of the side that was faded still is the stop."""
    for after, leaves in ((None, []), (side, [Reason.END_POLICY])):
        s = Stage("cascade-fade")
        s.wait(60)
        burst(s, side)
        s.wait(100)
        burst(s, -side)
        s.wait(100)
        assert [way for _, way, _ in s.asked] == [side] and s.unmet == [("own wishes out, at most", 1.0, 0.0)]
        s.wait(400, price=PRICE * (1 - 0.002 * side))  # worse; for a trade of the other side it would be better
        assert s.left == []
        if after is not None:
            burst(s, after, count=3, usd=0.2 * MILLION)
            s.wait(5)
        assert [t[0] for t in s.trades] == leaves


@BOTH
def test_a_wish_is_forgotten_with_the_position_that_may_have_come_of_it(side):
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side)
    s.wait(100)
    s.wait(1200, price=PRICE * (1 - 0.0001 * side), every=5)
    burst(s, side)
    s.wait(100)
    assert len(s.asked) == 2 and s.left == [], "the second cascade is one of its own"
