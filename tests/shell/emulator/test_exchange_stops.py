"""What protects positions at the emulated venue: attached and set stops, partial ones, trailing, and that none outlives its position."""

from __future__ import annotations

import pytest

from exchange_floor import LONG, SHORT, Floor

both = pytest.mark.parametrize("side", [LONG, SHORT])


def partly(side: int, **settings) -> Floor:
    """An entry for 2 of which 0.5 has been executed, with a stop-loss."""
    floor = Floor(side, fills="touch", **settings)
    floor.limit(2499.5, qty="2", stopLoss=floor.text(2490.0), takeProfit=floor.text(2510.0))
    floor.quote(2499.5, 2499.52)  # the market comes down to it
    floor.trade(2499.5, qty=0.5)
    floor.hear()
    return floor


@both
def test_the_stop_is_there_with_the_first_partial_fill_and_follows_the_size(side):
    floor = partly(side)
    assert floor.held == 0.5 and floor.kind("StopLoss")["qty"] == "0.5" and floor.kind("TakeProfit")["qty"] == "0.5"
    first = floor.kind("StopLoss")["orderId"]
    floor.trade(2499.5, qty=0.7)
    floor.hear()
    assert floor.kind("StopLoss")["qty"] == "1.2" and floor.kind("StopLoss")["orderId"] == first
    floor.create(floor.close, qty="0.4", reduceOnly=True)
    assert floor.kind("StopLoss")["qty"] == "0.8" and floor.truth["positions"]["ETHUSDT", 0]["stop_qty"] == 0.8
    floor.trade(2489.0)
    floor.trade(2488.0)
    floor.hear()
    assert floor.held == 0.0 and floor.kind("StopLoss")["orderStatus"] == "Filled"
    assert floor.kind("TakeProfit")["orderStatus"] == "Deactivated" and floor.kind("TakeProfit")["cancelType"] == "CancelByTpSlTsClear"
    assert floor.truth["orders"] == [] and floor.kind("StopLoss")["cumExecQty"] == "1.6"  # the rest of the entry was filled on the way down


@both
def test_an_amended_stop_is_not_put_back_by_the_next_partial_fill(side):
    floor = partly(side)
    assert floor.stop(stopLoss=floor.text(2495.0)) == 0
    floor.trade(2499.5, qty=0.5)
    assert floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == floor.price(2495.0)


@both
def test_a_trade_through_entry_and_stop_takes_both(side):
    floor = Floor(side)
    floor.limit(2499.5, stopLoss=floor.text(2490.0))
    floor.trade(2485.0)
    floor.hear()
    assert floor.held == 1.0 and floor.kind("StopLoss")["orderStatus"] == "Triggered"
    floor.quote(2484.0, 2484.5)
    floor.hear()
    assert floor.held == 0.0 and floor.rows["execution"][-1]["execPrice"].rstrip("0").rstrip(".") == f"{floor.price(2484.0):g}"


@both
def test_the_take_profit_of_a_position(side):
    floor = Floor(side)
    floor.enter(takeProfit=floor.text(2510.0))
    floor.trade(2510.0)
    floor.trade(2511.0)
    floor.hear()
    assert floor.held == 0.0 and floor.kind("TakeProfit")["orderStatus"] == "Filled" and floor.rows["execution"][-1]["stopOrderType"] == "TakeProfit"


@both
def test_stops_on_the_wrong_side_are_refused(side):
    floor = Floor(side)
    assert floor.limit(2499.0, stopLoss=floor.text(2499.5))[0] == 10001 and floor.limit(2499.0, takeProfit=floor.text(2498.0))[0] == 10001
    assert floor.stop(stopLoss=floor.text(2490.0)) == 10001  # nothing is held
    floor.enter()
    last = 2499.4
    assert floor.stop(stopLoss=floor.text(last + 0.1)) == 10001 and floor.stop(takeProfit=floor.text(last - 0.1)) == 10001
    assert floor.stop(stopLoss=floor.text(2490.0), positionIdx=1) == 10001
    assert floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == 0.0


@both
@pytest.mark.parametrize("replaced", [False, True])
def test_trading_stop_sets_moves_and_removes(side, replaced):
    floor = Floor(side, stops_replace=replaced)
    floor.enter()
    assert floor.stop(stopLoss=floor.text(2490.0), takeProfit=floor.text(2520.0)) == 0
    first = floor.kind("StopLoss")["orderId"]
    assert floor.stop(stopLoss=floor.text(2490.0)) == 34040 and floor.stop() == 34040
    assert floor.stop(stopLoss=floor.text(2492.0)) == 0
    assert (floor.kind("StopLoss")["orderId"] != first) is replaced
    assert floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == floor.price(2492.0) and floor.truth["positions"]["ETHUSDT", 0]["stop_qty"] == 1.0
    position = floor.get("/v5/position/list")["list"][0]
    assert float(position["stopLoss"]) == floor.price(2492.0) and float(position["takeProfit"]) == floor.price(2520.0)
    assert floor.stop(stopLoss="0") == 0 and floor.kind("StopLoss")["orderStatus"] == "Deactivated"
    assert floor.get("/v5/position/list")["list"][0]["stopLoss"] == "" and floor.stop(stopLoss="0") == 34040
    assert floor.stop(stopLoss=floor.text(2490.0), slTriggerBy="MarkPrice") == 0
    floor.trade(2480.0)
    assert floor.kind("StopLoss")["orderStatus"] == "Untriggered" and floor.held == 1.0
    floor.ticker(2489.0)
    floor.quote(2480.0, 2480.5)
    floor.hear()
    assert floor.held == 0.0


@both
def test_a_stop_may_be_cancelled_or_amended_as_an_order(side):
    floor = Floor(side)
    floor.enter(stopLoss=floor.text(2490.0))
    order = floor.kind("StopLoss")["orderId"]
    assert floor.ask("order.amend", orderId=order, triggerPrice=floor.text(2493.0))[0] == 0
    assert floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == floor.price(2493.0)
    assert floor.ask("order.amend", orderId=order, qty="0.5")[0] == 10001  # its quantity is the position's
    assert floor.ask("order.cancel", orderId=order)[0] == 0
    assert floor.kind("StopLoss")["orderStatus"] == "Deactivated" and floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == 0.0


@both
def test_trailing_stop(side):
    floor = Floor(side)
    floor.enter()
    assert floor.stop(trailingStop="10") == 0 and floor.stop(trailingStop="10") == 34040
    for price in (2505.0, 2520.0, 2511.0, 2515.0):
        floor.trade(price)
    floor.hear()
    assert (
        floor.held == 1.0 and floor.kind("TrailingStop")["orderStatus"] == "Untriggered" and float(floor.rows["position"][-1]["trailingStop"]) == 10.0
    )
    floor.trade(2510.0)  # ten behind the best
    floor.hear()
    assert floor.kind("TrailingStop")["orderStatus"] == "Triggered" and float(floor.kind("TrailingStop")["triggerPrice"]) == floor.price(2510.0)
    floor.trade(2509.0)
    assert floor.held == 0.0 and floor.truth["orders"] == []


@both
def test_trailing_stop_waits_for_its_activation_price(side):
    floor = Floor(side)
    floor.enter()
    assert floor.stop(trailingStop="10", activePrice=floor.text(2530.0)) == 0
    for price in (2520.0, 2505.0, 2529.9):
        floor.trade(price)
    floor.hear()
    assert floor.held == 1.0 and floor.kind("TrailingStop")["orderStatus"] == "Untriggered"
    floor.trade(2531.0)
    floor.trade(2522.0)
    assert floor.held == 1.0
    floor.trade(2521.0)
    floor.trade(2521.0)
    floor.hear()
    assert floor.held == 0.0
    floor.enter()
    assert floor.stop(trailingStop="5") == 0 and floor.stop(trailingStop="0") == 0
    assert floor.kind("TrailingStop")["orderStatus"] == "Deactivated"


@both
def test_partial_stops_of_an_entry(side):
    floor = Floor(side, fills="touch")
    _, link = floor.limit(
        2499.5,
        qty="2",
        stopLoss=floor.text(2490.0),
        takeProfit=floor.text(2510.0),
        tpslMode="Partial",
        tpOrderType="Limit",
        tpLimitPrice=floor.text(2509.5),
    )
    floor.trade(2499.5, qty=0.5)
    floor.trade(2499.5, qty=0.5)
    floor.hear()
    stop, target = floor.kind("PartialStopLoss"), floor.kind("PartialTakeProfit")
    assert (stop["qty"], target["qty"], target["orderType"], stop["parentOrderLinkId"]) == ("1", "1", "Limit", link)
    floor.quote(2510.0, 2510.1)
    floor.trade(2510.0)  # triggers, and sells at 2509.5 or better: at once at the quote
    floor.hear()
    assert floor.kind("PartialTakeProfit")["orderStatus"] == "Filled" and floor.kind("PartialStopLoss")["orderStatus"] == "Deactivated"
    assert floor.held == 0.0 and float(floor.rows["execution"][-1]["execPrice"]) == floor.price(2510.0)


@both
def test_a_limit_take_profit_meets_no_quote_that_its_own_trigger_contradicts(side):
    """The trade that triggers it lies further below the bid than the spread is wide: that bid is not there any more. It rests, and a live quote fills it."""
    floor = Floor(side, fills="touch")
    floor.limit(
        2499.5, stopLoss=floor.text(2490.0), takeProfit=floor.text(2510.0), tpslMode="Partial", tpOrderType="Limit", tpLimitPrice=floor.text(2509.5)
    )
    floor.trade(2499.4)
    floor.quote(2510.4, 2510.5)
    floor.trade(2510.0)
    floor.hear()
    assert (
        floor.held == 1.0
        and floor.kind("PartialTakeProfit")["orderStatus"] == "New"
        and floor.kind("PartialStopLoss")["orderStatus"] == "Deactivated"
    )
    floor.quote(2509.6, 2509.7)
    floor.hear()
    assert floor.held == 0.0 and floor.kind("PartialTakeProfit")["orderStatus"] == "Filled"
    assert float(floor.rows["execution"][-1]["execPrice"]) == floor.price(2509.5) and floor.rows["execution"][-1]["isMaker"]


@both
def test_partial_stops_set_by_hand(side):
    floor = Floor(side)
    floor.enter("2")

    def stop(**fields):
        return floor.stop(tpslMode="Partial", **fields)

    low, high = floor.text(2490.0), floor.text(2510.0)
    assert (
        stop(stopLoss=low, slSize="3") == 10001 and stop(stopLoss=low, takeProfit=high, slSize="1", tpSize="2") == 10001 and stop(slSize="1") == 10001
    )
    for _ in range(10):
        assert stop(stopLoss=low, takeProfit=high, slSize="0.1", tpSize="0.1") == 0
    assert stop(stopLoss=low, slSize="0.1") == 110061
    floor.trade(2489.0)
    floor.trade(2488.0)
    floor.hear()
    assert floor.held == pytest.approx(1.0) and floor.truth["orders"] == []


@both
def test_turning_the_position_clears_its_stops(side):
    floor = Floor(side, equity=100_000.0)
    floor.enter(stopLoss=floor.text(2490.0))
    floor.create(floor.close, qty="3", stopLoss=floor.text(2520.0))
    assert floor.held == -2.0
    stops = [o for o in floor.truth["orders"] if o["kind"] == "StopLoss"]
    assert len(stops) == 1 and stops[0]["side"] == side and stops[0]["qty"] == 2.0 and stops[0]["trigger"] == floor.price(2520.0)
    last = list(floor.rows["execution"])[-1]
    assert last["closedSize"] == "1" and last["execQty"] == "3"


@both
def test_attached_stops_can_be_amended_before_the_fill(side):
    floor = Floor(side)
    _, link = floor.limit(2499.5, stopLoss=floor.text(2490.0))
    assert floor.amend(link, stopLoss=floor.text(2492.0)) == 0 and floor.amend(link, stopLoss=floor.text(2499.6)) == 10001
    assert floor.amend(link, takeProfit=floor.text(2503.0)) == 0 and floor.amend(link, takeProfit="0") == 0
    floor.trade(2499.4)
    held = floor.truth["positions"]["ETHUSDT", 0]
    assert held["stop_loss"] == floor.price(2492.0) and held["take_profit"] == 0.0


@both
def test_a_market_stop_whose_cap_is_passed_leaves_the_position_open(side):
    """The venue's stop is an IOC order with a cap: in a gap it may end unfilled. The position is then without protection, and says so."""
    floor = Floor(side, slippage=0.001)
    floor.enter(stopLoss=floor.text(2490.0))
    floor.quote(2489.5, 2490.5)
    floor.trade(2490.0)
    floor.quote(2480.0, 2481.0)
    floor.hear()
    assert floor.held == 1.0 and floor.kind("StopLoss")["orderStatus"] == "Cancelled" and floor.truth["positions"]["ETHUSDT", 0]["stop_qty"] == 0.0
    assert floor.get("/v5/position/list")["list"][0]["stopLoss"] == ""


@both
def test_the_two_stops_of_a_pair_end_together(side):
    """As on the real venue: cancelling one of a pair that came with an entry takes the other one along."""
    floor = Floor(side)
    floor.create(stopLoss=floor.text(2490.0), takeProfit=floor.text(2510.0), tpslMode="Partial")
    target = floor.kind("PartialTakeProfit")
    assert floor.ask("order.cancel", orderId=target["orderId"])[0] == 0
    assert floor.truth["orders"] == [] and floor.held == 1.0
    assert {floor.kind(kind)["orderStatus"] for kind in ("PartialTakeProfit", "PartialStopLoss")} == {"Deactivated"}
    assert floor.ask("order.cancel", orderId=floor.kind("PartialStopLoss")["orderId"])[0] == 110001
    assert floor.rows["position"][-1]["tpslMode"] == "Full"
