"""The gateway and attached stops of which not everything is told, for longs and for shorts."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import both
from gateway_rig import PRICE, SYMBOL, Rig, S, at_rest, take_profit, take_stop_away
from liqcore.event import Role
from liqshell.emulator.exchange import Settings as VenueSettings
from liqshell.venues.effects import Channel
from liqshell.venues.reports import OrderState

STOP = Role.ROLE_STOP


def stop_row(rig: Rig, stop: OrderState, status: str) -> dict[str, str]:
    """A row of the order topic about an attached stop."""
    return {
        "category": "linear",
        "symbol": SYMBOL,
        "orderId": stop.order_id,
        "orderLinkId": "",
        "side": "Sell" if rig.side > 0 else "Buy",
        "orderStatus": status,
        "orderType": "Market",
        "stopOrderType": "StopLoss",
        "createType": "CreateByStopLoss",
        "qty": f"{stop.qty}",
        "price": "0",
        "triggerPrice": f"{stop.trigger}",
        "cumExecQty": "0",
        "leavesQty": f"{stop.qty}",
        "reduceOnly": True,
        "createdTime": str(stop.created_ms),
        "updatedTime": str(rig.venue_now // 1_000_000),
    }


@both
@pytest.mark.parametrize("lost", ["Deactivated", "Triggered"])
def test_a_stop_whose_end_was_never_heard_of_does_not_stand_in_for_the_next(side, lost):
    """The end of a bracket's stop was lost: the next bracket's stop is missed all the same when it goes (found by fault simulation, seed 20053)."""
    rig = Rig(side, cooldown_s=0.0)
    rig.on_push = lambda topic, rows: topic != "order" or not any(row["orderStatus"] == "Deactivated" for row in rows)
    kept = []
    rig.enter()
    rig.fill_entry()
    kept.extend(rig.gateway.stops._live[0].values())
    assert len(kept) == 1
    if lost == "Triggered":
        rig.frame(Channel.PRIVATE, {"topic": "order", "creationTime": 1, "data": [stop_row(rig, kept[0], "Triggered")]})
    take_profit(rig)
    at_rest(rig)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]
    rig.on_push = lambda topic, rows: topic != "order" or lost == "Deactivated"
    take_stop_away(rig)
    rig.wait(1.0)
    assert rig.truth()[1] == stop and rig.worst_naked_ns < S // 2
    assert rig.state() == lc.BracketState.BRACKET_HOLDING and rig.order_of(STOP)["status"] == "live"


@both
def test_a_stop_that_goes_without_a_word_shows_in_the_position(side):
    """Frames of orders are lost; the position's own says that it has no stop any more: that is reason enough to ask."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]
    rig.on_push = lambda topic, rows: topic != "order"
    take_stop_away(rig)
    rig.wait(1.0)
    assert rig.truth()[1] == stop and rig.worst_naked_ns < S
    assert rig.state() == lc.BracketState.BRACKET_HOLDING and rig.order_of(STOP)["status"] == "live"


@both
def test_a_stop_that_goes_while_no_frame_tells_of_it_is_missed_within_seconds(side):
    """Every private frame is lost on a connection that stands: what is held is asked for at a short period (found by fault simulation, seed 912)."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.wait(2.0)
    stop = rig.order_of(STOP)["price"]
    rig.on_push = lambda topic, rows: False
    take_stop_away(rig)
    rig.wait(7.0)
    assert rig.truth()[1] == stop and S < rig.worst_naked_ns < 6 * S


@both
def test_a_stop_that_was_triggered_in_vain_is_replaced_though_its_end_is_lost(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.frame(Channel.PRIVATE, {"topic": "order", "creationTime": 1, "data": [stop_row(rig, *rig.gateway.stops._live[0].values(), "Triggered")]})
    rig.on_push = lambda topic, rows: topic != "order"
    take_stop_away(rig)
    rig.wait(2.0)
    assert rig.truth()[1] != 0.0 and rig.worst_naked_ns < 2 * S


@both
@pytest.mark.parametrize("ours_left", [True, False])
def test_our_stop_that_closes_what_somebody_else_added_too(side, ours_left):
    """The attached stop is the whole position's: the engine counts its own part, and believes in nothing that the venue does not hold."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    ours = abs(rig.truth()[0])
    rig.exchange.manual_trade(rig.account, SYMBOL, "Buy" if side > 0 else "Sell", "0.01", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.0017 * side), 2))  # nobody quotes here: the next trade tells a market order's price
    rig.wait(1.0)
    assert abs(rig.truth()[0]) == pytest.approx(ours + 0.01)
    if not ours_left:
        take_profit(rig)
        rig.wait(1.0)
        assert abs(rig.truth()[0]) == 0.01 and rig.truth()[1] != 0.0
    for _ in range(3):
        rig.trade(round(PRICE * (1 - 0.008 * side), 2))
        rig.wait(1.0)
    rig.wait(60.0)
    at_rest(rig)
    assert rig.engine.account.position(0)["qty"] == 0.0
    rig.wait(200.0)
    assert rig.engine.account.position(0)["qty"] == 0.0


@both
def test_our_stop_that_closes_what_we_have_not_heard_of_yet(side):
    """Part of the entry's fills is told late: the stop's execution is larger than what the engine holds, and yet all ours."""
    rig = Rig(side, venue=VenueSettings(fills="queue"))
    entry = rig.enter()
    rig.trade(entry["price"], qty=0.2)
    rig.wait(0.2)
    heard = abs(rig.held())
    assert 0.0 < heard < 0.45
    rig.on_push = lambda topic, rows: topic != "execution" or rows[0]["stopOrderType"] == "StopLoss"
    rig.fill_entry(wait_s=0.1)
    assert abs(rig.truth()[0]) > heard == abs(rig.held())
    for _ in range(2):
        rig.trade(round(PRICE * (1 - 0.008 * side), 2))
    rig.wait(60.0)
    at_rest(rig)
    assert rig.engine.account.position(0)["qty"] == 0.0 and not rig.engine.risk.halted and not rig.alarms()
    assert rig.engine.account.equity == pytest.approx(rig.exchange.truth(rig.account)["equity"], abs=0.01)
