"""Quotes and marks that no longer hold, by hand and for both sides: nothing is traded against them, and what takes without a quote meets later prints."""

from __future__ import annotations

import pytest
from test_paper import Floor, both
from test_simulate import T0, S

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import FeedState, FillFlag, FillReason, Reason, Role, Stream

OWN, OTHER = +1, -1  # aggressors: of the side that we enter with, and of the other
ASK, PRINT, MOVED = 0, int(FillFlag.FILL_PRINT), int(FillFlag.FILL_MOVED)
TAKES = {"entry": "market", "entry_offset": 0, "take_profit": 0}


def fills(floor: Floor) -> list:
    """(role, price as for a long, flags)"""
    return [(int(r["x"][7]), round(floor.price(r["x"][0]), 2), int(r["x"][3])) for r in floor.kinds(AuditKind.AUDIT_FILL)]


def verdict(floor: Floor) -> int:
    """What risk says of an entry now."""
    before = len(floor.kinds(AuditKind.AUDIT_RISK))
    floor.liquidate()
    (found,) = floor.kinds(AuditKind.AUDIT_RISK)[before:]
    return int(found["reason"])


def feed(floor: Floor, state: FeedState, streams: int = 0, instrument: int = 0) -> None:
    floor.put(kind=lc.Kind.FEED, code=int(state), flags=streams, instrument=instrument)


def arriving_late(side: int, **venue) -> Floor:
    """A market entry that was decided on a live quote and arrives 20 ms after it has ended."""
    floor = Floor(side, venue=venue, **TAKES)
    floor.wait((T0 + 10 * S - 3 * 10**7 - floor.now) / S)
    assert verdict(floor) == Reason.OK
    floor.wait(0.1)
    assert floor.fills() == [] and len(floor.paper.venue.orders(0)) == 1
    return floor


def holding(side: int, **options) -> Floor:
    """Long (or short) 0.40 at 2496.25, a stop at 2490.01; the print that filled it has ended the quote."""
    floor = Floor(side, **({"take_profit": 0} | options))
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)
    floor.wait(1.0)
    assert fills(floor) == [(Role.ROLE_ENTRY, 2496.25, FillFlag.FILL_MAKER)]
    return floor


# ---- when a quote ends ----


@both
@pytest.mark.parametrize(("age_ns", "expected"), [(10 * S, Reason.OK), (10 * S + 1, Reason.QUOTE_ENDED)])
def test_a_quote_holds_through_its_age(side, age_ns, expected):
    floor = Floor(side)
    floor.quote(2499.99, 2500.01)
    floor.now += age_ns - 1  # the next event is a nanosecond later
    assert verdict(floor) == expected


@both
@pytest.mark.parametrize(
    ("price", "expected"), [(2500.03, Reason.OK), (2500.04, Reason.QUOTE_ENDED), (2499.97, Reason.OK), (2499.96, Reason.QUOTE_ENDED)]
)
def test_a_print_beyond_it_by_more_than_the_usual_spread_ends_it(side, price, expected):
    floor = Floor(side)  # bid and ask are two ticks apart
    floor.trade(price)
    floor.wait(1.1)  # for so long, a quote that follows may still explain it
    assert verdict(floor) == expected
    floor.quote(2499.99, 2500.01)
    floor.wait(0.01)  # the next cascade
    assert verdict(floor) == (Reason.OK if expected else Reason.BRACKET_OPEN), "the next quote holds again"


@both
@pytest.mark.parametrize(("after_ns", "expected"), [(1, Reason.OK), (S, Reason.OK), (S + 1, Reason.QUOTE_ENDED)])
def test_such_a_print_is_a_doubt_for_a_second_and_the_quote_is_met_by_nobody(side, after_ns, expected):
    """Trades of a flush are heard of before the quote that follows them: entries may be decided, and meet what comes, not the quote that was."""
    floor = Floor(side, **TAKES)
    floor.trade(2495.0)
    floor.now += after_ns - 1  # the next event is a nanosecond later
    assert verdict(floor) == expected
    floor.wait(0.1)
    assert floor.fills() == []
    floor.trade(2494.0, aggressor=OTHER)
    floor.trade(2494.5, aggressor=OWN)
    floor.wait(0.1)
    assert fills(floor) == ([(Role.ROLE_ENTRY, 2494.5, PRINT)] if expected == Reason.OK else [])


@both
def test_a_gap_of_the_quotes_ends_the_doubt(side):
    floor = Floor(side)
    floor.trade(2495.0)
    feed(floor, FeedState.FEED_GAP, int(Stream.STREAM_QUOTE))
    assert verdict(floor) == Reason.QUOTE_ENDED


@both
def test_the_usual_spread_is_the_mean_of_the_last_sixteen(side):
    """A quote of 40 ticks among fifteen of 2: 70 / 16 = 4.375 ticks; after one more quote it is forgotten."""
    for more, beyond, expected in ((15, 4, Reason.OK), (15, 5, Reason.QUOTE_ENDED), (16, 2, Reason.OK), (16, 3, Reason.QUOTE_ENDED)):
        floor = Floor(side)
        floor.quote(2499.80, 2500.20)
        for _ in range(more):
            floor.quote(2499.99, 2500.01)
        floor.trade(2500.01 + beyond / 100)
        floor.wait(1.1)
        assert verdict(floor) == expected, (more, beyond)


@both
@pytest.mark.parametrize(
    ("state", "streams", "ended"),
    [
        (FeedState.FEED_GAP, Stream.STREAM_QUOTE, True),
        (FeedState.FEED_DOWN, Stream.STREAM_QUOTE | Stream.STREAM_TRADE, True),
        (FeedState.FEED_GAP, Stream.STREAM_TRADE, False),
        (FeedState.FEED_DOWN, Stream.STREAM_MARK | Stream.STREAM_FUNDING, False),
        (FeedState.FEED_UP, Stream.STREAM_QUOTE, False),
    ],
)
def test_an_interruption_of_its_own_connection_ends_it(side, state, streams, ended):
    for instrument in (0, -1):
        floor = Floor(side)
        feed(floor, state, int(streams), instrument)
        assert verdict(floor) == (Reason.QUOTE_ENDED if ended else Reason.OK)
        if ended:
            feed(floor, FeedState.FEED_UP, int(streams), instrument)
            floor.wait(0.01)  # the next cascade
            assert verdict(floor) == Reason.QUOTE_ENDED, "a connection that is back has said nothing yet"
            floor.quote(2499.99, 2500.01)
            floor.wait(0.01)
            assert verdict(floor) == Reason.OK


@both
def test_a_feed_mark_without_streams_is_about_all_of_them(side):
    floor = holding(side)
    floor.quote(2496.24, 2496.26)
    feed(floor, FeedState.FEED_DOWN)
    floor.trade(2490.0)
    floor.trade(2489.0, aggressor=OWN)
    floor.trade(2488.0, aggressor=OTHER)
    floor.wait(1.0)
    assert fills(floor)[1:] == [(Role.ROLE_STOP, 2488.0, PRINT)]


# ---- what takes without a live quote ----


@both
def test_a_market_order_waits_for_somebody_of_its_own_side(side):
    floor = arriving_late(side)
    floor.trade(2500.50, aggressor=OTHER)
    floor.trade(2500.70, aggressor=OWN)
    floor.wait(1.0)
    assert fills(floor) == [(Role.ROLE_ENTRY, 2500.70, PRINT)]
    assert floor.fills()[0][3:] == (False, FillReason.FILL_CROSS)


@both
@pytest.mark.parametrize(("venue", "price"), [({}, 2500.52), ({"half_spread": 0.0001}, 2501.02), ({"half_spread": 0.0}, 2500.51)])
def test_where_nobody_comes_it_fills_a_spread_away_from_the_other_sides_last_trade(side, venue, price):
    """Half of the spread, measured: a tick. Configured: a share of the last price (25.005 ticks, rounded up). At least a tick from a trade that has
    passed."""
    floor = arriving_late(side, **venue)
    floor.trade(2500.50, aggressor=OTHER)
    floor.wait(4.8)
    assert floor.fills() == []
    floor.wait(0.3)
    ((role, at, flags),) = fills(floor)
    assert (role, flags) == (Role.ROLE_ENTRY, MOVED) and at == pytest.approx(price, abs=0.0201 if venue.get("half_spread") else 1e-9)
    assert int(floor.kinds(AuditKind.AUDIT_FILL)[0]["ts"]) == int(floor.kinds(AuditKind.AUDIT_REQUEST)[0]["ts"]) + 5 * S + S // 10


@both
def test_a_quote_that_comes_meanwhile_is_met(side):
    floor = arriving_late(side)
    floor.quote(2500.30, 2500.32)
    floor.wait(1.0)
    assert fills(floor) == [(Role.ROLE_ENTRY, 2500.32, ASK)]


@both
def test_data_of_trades_alone_are_traded_by_prints_and_by_a_tick(side):
    """Never quoted: entries are allowed, and of the spread nothing is known but the tick."""
    for own, expected in ((True, (Role.ROLE_ENTRY, 2500.20, PRINT)), (False, (Role.ROLE_ENTRY, 2500.12, MOVED))):
        floor = Floor(side, quotes=False, **TAKES)
        assert verdict(floor) == Reason.OK
        floor.trade(2500.15, aggressor=OWN)  # it is still on its way: a print that has passed
        floor.wait(0.2)
        floor.trade(2500.10, aggressor=OTHER)
        if own:
            floor.trade(2500.20, aggressor=OWN)
        floor.wait(6.0)
        assert fills(floor) == [expected]


@both
def test_print_wait_is_a_setting(side):
    floor = arriving_late(side, print_wait_s=0.5)
    floor.wait(0.6)
    assert fills(floor) == [(Role.ROLE_ENTRY, 2500.02, MOVED)]


@both
def test_where_the_last_trade_was_by_the_own_side_it_is_a_tick_away(side):
    """It was a print of our own side, but it has passed: while the order was under way."""
    floor = Floor(side, quotes=False, venue={"half_spread": 0.0001}, **TAKES)
    assert verdict(floor) == Reason.OK
    floor.trade(2500.50, aggressor=OWN)
    floor.wait(6.0)
    assert fills(floor) == [(Role.ROLE_ENTRY, 2500.51, MOVED)]


@both
def test_walking_takes_of_own_prints_what_they_traded_and_the_rest_is_moved(side):
    floor = arriving_late(side, taker="walk")
    floor.trade(2500.50, 0.1, aggressor=OWN)
    floor.trade(2500.40, 0.1, aggressor=OTHER)
    floor.trade(2500.60, 0.05, aggressor=OWN)
    floor.trade(2500.20, 1.0, aggressor=OTHER)
    floor.wait(6.0)
    found = [(round(floor.price(r["x"][0]), 2), round(r["x"][1], 2), int(r["x"][3])) for r in floor.kinds(AuditKind.AUDIT_FILL)]
    assert found == [(2500.50, 0.1, PRINT), (2500.60, 0.05, PRINT), (2500.22, 0.25, MOVED)]


@both
def test_a_stop_that_fires_without_a_quote_waits_as_well(side):
    floor = holding(side)
    floor.trade(2490.0, aggressor=OTHER)  # beyond the trigger: it fires here, and the print itself has passed
    floor.trade(2485.0, aggressor=OWN)
    assert floor.paper.venue.orders(0)[0]["triggered"]
    floor.trade(2484.0, aggressor=OTHER)
    floor.wait(1.0)
    assert fills(floor)[1:] == [(Role.ROLE_STOP, 2484.0, PRINT)]


@both
def test_a_wait_that_ends_while_a_quote_holds_goes_on_until_it_does_not(side):
    floor = holding(side)
    floor.quote(2490.00, 2490.02)
    quoted = floor.now
    floor.trade(2490.0)  # fires; no event after it
    floor.wait(9.9)
    assert len(fills(floor)) == 1
    floor.wait(1.0)
    assert fills(floor)[1:] == [(Role.ROLE_STOP, 2489.99, MOVED)]
    assert int(floor.kinds(AuditKind.AUDIT_FILL)[-1]["ts"]) == quoted + 10 * S + 1 + S // 20


@both
def test_a_forced_close_of_ours_waits_as_well(side):
    floor = holding(side, venue={"leverage": 50.0, "funding_interval_s": 0.0}, stop_loss="0.1")
    floor.ticker(2450.0)
    floor.trade(2452.0, aggressor=OWN)
    floor.trade(2451.0, aggressor=OTHER)
    floor.wait(1.0)
    assert fills(floor)[1:] == [(Role.ROLE_LIQUIDATION, 2451.0, PRINT)]


@both
def test_max_hold_without_a_quote(side):
    floor = holding(side, max_hold_s=20)
    floor.wait(19.2)
    floor.trade(2497.0, aggressor=OWN)
    floor.trade(2496.9, aggressor=OTHER)
    floor.wait(1.0)
    assert fills(floor)[1:] == [(Role.ROLE_CLOSE, 2496.9, PRINT)] and floor.fills()[1][4] == FillReason.FILL_TIMEOUT


# ---- what rests without a live quote ----


@both
def test_a_target_is_neither_crossed_nor_filled_by_a_dead_quote(side):
    """The quote of long ago lies beyond the target: it neither crosses it nor fills it."""
    floor = holding(side, take_profit="0.0005")  # 2497.50; the quote that has ended: 2499.99 to 2500.01
    order = [o for o in floor.paper.venue.orders(0) if o["id"] & 15 == Role.ROLE_TARGET]
    assert len(order) == 1 and len(fills(floor)) == 1
    floor.trade(2497.60, aggressor=OWN)
    floor.wait(1.0)
    ((role, price, flags),) = fills(floor)[1:]
    assert (role, flags) == (Role.ROLE_TARGET, FillFlag.FILL_MAKER) and price == pytest.approx(2497.50, abs=0.0101)


@both
@pytest.mark.parametrize(
    ("last", "aggressor", "refused"), [(2496.24, OTHER, False), (2496.23, OTHER, True), (2496.25, OWN, False), (2496.24, OWN, True)]
)
def test_post_only_is_judged_by_the_last_trade_and_the_spread(side, last, aggressor, refused):
    """Buy at 2496.25, half a spread is a tick: the ask is thought to be a spread above what a seller got, and a tick above what a buyer paid."""
    floor = Floor(side, quotes=False)
    floor.liquidate()
    floor.trade(last, aggressor=aggressor)
    floor.wait(0.2)
    rejects = [r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["reason"] == Reason.END_POST_ONLY]
    assert (len(rejects) == 1) is refused and (len(floor.paper.venue.orders(0)) == 0) is refused


@both
def test_a_requote_is_an_entry_and_needs_a_live_quote(side):
    floor = Floor(side, requotes=1)
    floor.liquidate()
    floor.quote(2490.0, 2490.02)
    floor.wait(0.06)  # refused on arrival
    feed(floor, FeedState.FEED_GAP, int(Stream.STREAM_QUOTE))  # and the quote has ended by the time this is known
    floor.wait(1.0)
    assert len([r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["reason"] == Reason.END_POST_ONLY]) == 1
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == Reason.QUOTE_ENDED and floor.paper.venue.orders(0) == []


@both
@pytest.mark.parametrize(("hidden", "expected"), [("wait", None), ("none", 0.0)])
def test_the_queue_behind_an_ended_quote_is_not_to_be_seen(side, hidden, expected):
    floor = Floor(side, "queue", venue={"hidden": hidden})
    floor.quote(2496.25, 2496.27, bid_qty=3.0)
    floor.trade(2496.26)
    floor.quote(2499.99, 2500.01)
    floor.trade(2500.0)
    floor.liquidate()
    feed(floor, FeedState.FEED_GAP, int(Stream.STREAM_QUOTE))
    floor.wait(0.2)
    (order,) = floor.paper.venue.orders(0)
    assert order["ahead"] == expected


# ---- marks ----


@both
@pytest.mark.parametrize("how", ["old", "broken"])
def test_a_mark_that_no_longer_holds_leaves_the_judgement_to_trades(side, how):
    floor = holding(side, venue={"leverage": 50.0, "funding_interval_s": 0.0}, stop_loss="0.1")
    floor.ticker(2496.0)
    floor.trade(2400.0)
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [Role.ROLE_STOP], "a mark that holds decides"
    if how == "old":
        floor.wait(60.0)
    else:
        feed(floor, FeedState.FEED_GAP, int(Stream.STREAM_MARK))
    floor.trade(2399.0)
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [Role.ROLE_LIQUIDATION]


@both
def test_a_ticker_that_does_not_state_a_mark_judges_nothing(side):
    floor = holding(side, venue={"leverage": 50.0, "funding_interval_s": 0.0}, stop_loss="0.1")
    floor.put(kind=lc.Kind.TICKER, price=floor.price(2400.0), flags=int(Stream.STREAM_MARK), aux_qty=0.0001)
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [Role.ROLE_STOP]


@both
def test_funding_is_settled_at_a_price_that_holds(side):
    hour = 3600 * S
    moment = (T0 // hour + 1) * hour
    for wait_s, price in ((30, 2510.0), (90, 2496.5)):  # how old the mark is
        floor = holding(side, venue={"funding_interval_s": 3600.0}, stop_loss="0.1", max_hold_s=40_000)
        floor.wait((moment - floor.now) / S - wait_s)
        floor.ticker(2510.0, 0.001)
        floor.trade(2496.5)
        floor.wait(wait_s + 1.0)
        (paid,) = floor.kinds(AuditKind.AUDIT_FUNDING)
        assert round(paid["x"][0], 2) == round(floor.price(price), 2) and paid["x"][3] == 0.001
