"""Orders at the emulated venue while no quote holds: what they wait for, what they are filled at, and what the venue's clock says about it."""

from __future__ import annotations

import pytest

import liqcore as lc
from exchange_floor import LONG, SHORT, Floor
from liqcore.event import Kind, Stream

both = pytest.mark.parametrize("side", [LONG, SHORT])
S = lc.SECOND


def floor_without(side: int, how: str = "age", **settings) -> Floor:
    """Bid 2499.99, ask 2500.01, a trade at 2500, no funding; then the quote ends."""
    floor = Floor(side, funding_interval_s=0.0, **settings)
    if how == "age":
        floor.now += 10 * S
    elif how == "feed":
        floor.put(kind=Kind.FEED, code=lc.FeedState.FEED_DOWN, instrument=-1)
    elif how == "gap of quotes":
        floor.put(kind=Kind.FEED, code=lc.FeedState.FEED_GAP, flags=Stream.STREAM_QUOTE)
    else:
        floor.trade(2499.9)  # further below the bid than the spread is wide
        floor.trade(2500.0)
    return floor


def paid(floor: Floor) -> float:
    floor.hear()
    return float(floor.rows["execution"][-1]["execPrice"])


@both
@pytest.mark.parametrize("how", ["age", "feed", "gap of quotes", "trade"])
def test_a_market_order_takes_the_first_later_trade_of_its_own_side(side, how):
    floor = floor_without(side, how)
    assert floor.create()[0] == 0 and floor.held == 0.0
    assert floor.exchange.next_ns == floor.now + 5 * S
    floor.trade(2500.3, aggressor=-1)  # somebody sold: not what a buyer would have paid
    assert floor.held == 0.0
    floor.trade(2500.4, aggressor=1)
    assert floor.held == 1.0 and paid(floor) == floor.price(2500.4) and floor.exchange.next_ns is None


@both
@pytest.mark.parametrize(("half_spread", "moved"), [(None, 0.02), (0.0, 0.01), (0.0001, 0.52)])
def test_where_no_such_trade_comes_it_pays_the_last_one_and_the_spread(side, half_spread, moved):
    """Of the other side, the last one lies a spread away. Measured: 0.02. Configured: twice 0.01 % of the last price, the half rounded up to a tick;
    at least a tick."""
    floor = floor_without(side, half_spread=half_spread)
    floor.create()
    due = floor.exchange.next_ns
    floor.trade(2500.2 if side == LONG else 2500 - 0.2, aggressor=-1)  # 2500.2 on either side
    floor.exchange.advance(due - 1)
    assert floor.held == 0.0
    floor.exchange.advance(due)
    assert floor.held == 1.0 and paid(floor) == pytest.approx(2500.2 + moved * side, abs=1e-9) and floor.exchange.next_ns is None


@both
def test_a_trade_of_its_own_side_that_has_passed_is_paid_with_a_tick_more(side):
    """It shows the price, and nobody can deal at it any more."""
    floor = floor_without(side)
    floor.trade(2500.2, aggressor=1)
    floor.create()
    floor.exchange.advance(floor.exchange.next_ns)
    assert floor.held == 1.0 and paid(floor) == pytest.approx(floor.price(2500.21), abs=1e-9)


@both
def test_a_quote_that_comes_while_it_waits_is_met(side):
    floor = floor_without(side)
    floor.create()
    floor.quote(2500.3, 2500.5)
    assert floor.held == 1.0 and paid(floor) == floor.price(2500.5) and floor.exchange.next_ns is None


@both
def test_a_stop_that_fires_without_a_quote_waits_too(side):
    floor = floor_without(side, print_wait_s=2.0)
    floor.quote(2499.99, 2500.01)
    floor.create(stopLoss=floor.text(2490.0))
    floor.trade(2489.0)  # contradicts the quote, and fires the stop
    assert floor.held == 1.0 and floor.exchange.next_ns == floor.now + 2 * S
    floor.trade(2489.2, aggressor=1)
    assert floor.held == 1.0
    floor.trade(2489.1, aggressor=-1)
    assert floor.held == 0.0 and paid(floor) == floor.price(2489.1) and floor.exchange.next_ns is None


@both
def test_the_clock_forgets_the_wait_of_an_order_that_has_gone(side):
    floor = floor_without(side)
    floor.quote(2499.99, 2500.01)
    floor.create()
    floor.now += 11 * S
    floor.limit(2500.5, floor.close, reduceOnly=True)
    floor.create(floor.close, reduceOnly=True)
    first = floor.exchange.next_ns
    floor.now += S
    floor.create(floor.close, qty="2")
    second = floor.now + 5 * S
    assert floor.exchange.next_ns == first < second
    floor.trade(2500.6, aggressor=1)  # the limit closes the position: nothing is left to reduce
    assert floor.held == 0.0 and floor.exchange.next_ns == second
    floor.exchange.advance(second)
    assert floor.held == -2.0 and floor.exchange.next_ns is None


@both
@pytest.mark.parametrize(("aggressor", "meets"), [(-1, 2500.02), (1, 2500.01)])
def test_post_only_is_judged_by_the_last_trade_and_what_lies_between(side, aggressor, meets):
    floor = floor_without(side)
    floor.trade(2500.0, aggressor=aggressor)
    floor.limit(meets)
    assert floor.states("L1") == ["Cancelled"] and floor.rows["order"][-1]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
    floor.limit(meets - 0.01)
    assert floor.states("L2") == ["New"]


@both
@pytest.mark.parametrize(("tif", "state"), [("GTC", "New"), ("IOC", "Cancelled"), ("FOK", "Cancelled")])
def test_a_limit_order_takes_from_no_quote_that_has_ended(side, tif, state):
    floor = floor_without(side)
    _, link = floor.limit(2500.5, timeInForce=tif)
    assert floor.states(link)[-1] == state and floor.held == 0.0 and floor.exchange.next_ns is None
    floor.quote(2499.99, 2500.01)
    floor.hear()
    assert floor.held == (1.0 if tif == "GTC" else 0.0)
    if tif == "GTC":
        assert paid(floor) == floor.price(2500.5) and floor.rows["execution"][-1]["isMaker"]


def test_other_streams_leave_the_quote_alone():
    floor = Floor()
    floor.put(kind=Kind.FEED, code=lc.FeedState.FEED_DOWN, flags=Stream.STREAM_TRADE | Stream.STREAM_MARK)
    floor.put(kind=Kind.FEED, code=lc.FeedState.FEED_UP)
    floor.put(kind=Kind.FEED, code=lc.FeedState.FEED_GAP, instrument=0)
    floor.create()
    assert floor.held == 1.0 and paid(floor) == 2500.01


def test_a_quote_holds_as_long_as_the_setting_says():
    for age, held in ((10.0, 1.0), (10.0 - 1e-6, 0.0)):
        floor = Floor(quote_age_s=age)
        floor.quote(2499.99, 2500.01)
        floor.now += 10 * S - 1000  # asking takes a microsecond
        floor.create()
        assert floor.held == held
