"""Order entry at the emulated venue: what is taken, what becomes of it, and every code of what is not; long and short."""

from __future__ import annotations

import pytest

from exchange_floor import LONG, SHORT, Floor

both = pytest.mark.parametrize("side", [LONG, SHORT])


@both
def test_an_entry_and_its_stop(side):
    floor = Floor(side)
    code, link = floor.limit(2496.25, qty="0.2", stopLoss=floor.text(2490.01))
    assert code == 0 and floor.states(link) == ["New"]
    floor.trade(2496.2)
    floor.hear()
    assert floor.states(link) == ["New", "Filled"] and floor.held == 0.2
    stop = floor.kind("StopLoss")
    assert (stop["orderStatus"], stop["orderLinkId"], stop["side"], stop["qty"], stop["triggerPrice"]) == (
        "Untriggered",
        "",
        floor.close,
        "0.2",
        floor.text(2490.01),
    )
    assert stop["reduceOnly"] and stop["closeOnTrigger"] and stop["createType"] == "CreateByStopLoss"
    assert stop["triggerDirection"] == (2 if side == LONG else 1)
    assert floor.rows["position"][-1]["stopLoss"] == floor.text(2490.01)
    fill = floor.rows["execution"][-1]
    assert fill["isMaker"] and float(fill["execFee"]) == pytest.approx(0.2 * floor.price(2496.25) * 0.0002) and fill["closedSize"] == "0"
    floor.trade(2490.0)
    floor.hear()
    assert floor.kind("StopLoss")["orderStatus"] == "Triggered" and floor.held == 0.2
    floor.trade(2489.0)
    floor.hear()
    assert floor.kind("StopLoss")["orderStatus"] == "Filled" and floor.held == 0.0
    out = floor.rows["execution"][-1]
    assert not out["isMaker"] and out["closedSize"] == "0.2" and out["orderLinkId"] == "" and out["stopOrderType"] == "StopLoss"
    assert float(out["execPnl"]) == pytest.approx(0.2 * (2489.0 - 2496.25))
    assert floor.rows["position"][-1]["side"] == "" and floor.rows["position"][-1]["size"] == "0"


@both
def test_post_only_that_would_take_is_acknowledged_and_then_cancelled(side):
    for status in ("Cancelled", "Rejected"):
        floor = Floor(side, post_only_status=status)
        code, link = floor.limit(2500.01)
        assert code == 0 and floor.states(link) == [status] and floor.held == 0.0
        assert floor.rows["order"][-1]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
        _, link = floor.limit(2499.0)
        assert floor.amend(link, price=floor.text(2501.0)) == 0 and floor.states(link) == ["New", status]


@both
def test_time_in_force(side):
    floor = Floor(side, taker="walk")
    _, link = floor.limit(2499.0, timeInForce="IOC")
    assert floor.states(link) == ["Cancelled"] and floor.rows["order"][-1]["rejectReason"] == "EC_NoImmediateQtyToFill"
    _, link = floor.limit(2501.0, timeInForce="IOC", qty="7")  # five are shown
    assert floor.states(link) == ["PartiallyFilled", "Cancelled"] and floor.held == 5.0
    row = floor.rows["order"][-1]
    assert row["cumExecQty"] == "5" and row["leavesQty"] == "0" and row["avgPrice"] == floor.text(2500.01)
    _, link = floor.limit(2501.0, timeInForce="FOK", qty="7")
    assert floor.states(link) == ["Cancelled"] and floor.rows["order"][-1]["rejectReason"] == "EC_CancelForNoFullFill" and floor.held == 5.0
    _, link = floor.limit(2501.0, timeInForce="FOK", qty="5")
    assert floor.states(link) == ["Filled"] and floor.held == 10.0
    _, link = floor.limit(2501.0, timeInForce="GTC", qty="7")  # what is left rests
    assert floor.states(link) == ["PartiallyFilled"] and floor.truth["orders"][0]["left"] == 2.0


@both
def test_a_market_order_is_an_ioc_with_a_cap(side):
    empty = Floor(side, quotes=False)
    code, link = empty.create(qty="1")
    assert code == 0 and empty.states(link) == ["Cancelled"] and empty.rows["order"][-1]["rejectReason"] == "EC_NoImmediateQtyToFill"
    floor = Floor(side, taker="walk", slippage=0.001)
    _, link = floor.create(qty="7")
    row = floor.rows["order"][-1]
    assert row["orderStatus"] == "PartiallyFilled" and row["timeInForce"] == "IOC" and row["orderType"] == "Market" and floor.held == 5.0
    floor.quote(2501.0, 2501.5, far_qty=1.0)
    assert floor.held == 6.0
    floor.quote(2509.0, 2510.0)  # beyond the cap
    floor.hear()
    assert floor.states(link)[-1] == "Cancelled" and floor.held == 6.0 and floor.rows["order"][-1]["cumExecQty"] == "6"
    assert floor.create(slippageToleranceType="Percent", slippageTolerance="11")[0] == 110108
    assert floor.create(slippageToleranceType="TickSize", slippageTolerance="10")[0] == 0


@both
def test_reduce_only(side):
    floor = Floor(side)
    assert floor.limit(2510.0, floor.close, reduceOnly=True)[0] == 110017
    floor.enter("1")
    code, link = floor.limit(2503.0, floor.close, qty="3", reduceOnly=True)
    assert code == 0
    assert floor.limit(2498.0, floor.open, reduceOnly=True)[0] == 110017  # the other side has nothing to reduce
    floor.trade(2503.5)
    floor.hear()
    assert floor.held == 0.0 and floor.states(link) == ["New", "PartiallyFilled", "Cancelled"]
    assert floor.rows["order"][-1]["cancelType"] == "CancelByReduceOnly" and floor.rows["order"][-1]["cumExecQty"] == "1"
    floor = Floor(side, reduce_only_total=True)
    floor.enter("1")
    _, first = floor.limit(2503.0, floor.close, qty="0.6", reduceOnly=True)
    _, second = floor.limit(2503.0, floor.close, qty="0.6", reduceOnly=True)
    assert [row["qty"] for row in floor.rows["order"] if row["orderLinkId"] == second] == ["0.4"]
    assert floor.limit(2503.0, floor.close, qty="0.6", reduceOnly=True)[0] == 110017
    assert floor.cancel(first) == 0


@both
def test_quantity_zero_closes_all(side):
    floor = Floor(side)
    assert floor.create(floor.close, qty="0", reduceOnly=True, closeOnTrigger=True)[0] == 110017
    floor.enter("1.3")
    assert floor.create(floor.close, qty="0", reduceOnly=True, closeOnTrigger=True)[0] == 0
    assert floor.held == 0.0
    assert floor.create(qty="0")[0] == 10001


@both
def test_a_closed_position_takes_its_reduce_only_orders_along(side):
    for survives in (True, False):
        floor = Floor(side, conditional_survives=survives)
        floor.enter("1")
        _, target = floor.limit(2510.0, floor.close, reduceOnly=True)
        _, stop = floor.create(floor.close, triggerPrice=floor.text(2450.0), triggerDirection=2 if side == LONG else 1, reduceOnly=True)
        floor.create(floor.close, qty="1", reduceOnly=True)
        assert floor.held == 0.0 and floor.states(target) == ["New", "Cancelled"]
        assert floor.states(stop) == (["Untriggered"] if survives else ["Untriggered", "Deactivated"])
        if survives:  # and finds nothing when its time comes
            floor.trade(2449.0)
            floor.hear()
            assert floor.states(stop) == ["Untriggered", "Triggered", "Cancelled"] and floor.held == 0.0


@both
def test_link_ids(side):
    floor = Floor(side)
    code, link = floor.limit(2490.0, orderLinkId="run_1-ab")
    assert code == 0 and floor.limit(2491.0, orderLinkId="run_1-ab")[0] == 110072
    assert floor.cancel(link) == 0 and floor.limit(2491.0, orderLinkId="run_1-ab")[0] == 110072  # for ever
    for wrong in ("a" * 37, "a b", "a.b", "ä"):
        assert floor.limit(2490.0, orderLinkId=wrong)[0] == 10001
    assert floor.limit(2490.0, orderLinkId="a" * 36)[0] == 0 and floor.limit(2490.0, orderLinkId="")[0] == 0


@both
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"category": "spot"}, 10001),
        ({"symbol": "NOPE"}, 10001),
        ({"side": "buy"}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"qty": ""}, 10001),
        ({"qty": "0.001"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "1e3"}, 10001),
        ({"price": "2490.001"}, 10001),
        ({"price": ""}, 10001),
        ({"price": "abc"}, 10001),
        ({"timeInForce": "GTX"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"positionIdx": 3}, 10001),
        ({"qty": "99999999"}, 10001),
        ({"qty": "0"}, 10001),
        ({"tpslMode": "Half", "stopLoss": "1"}, 10001),
        ({"triggerPrice": "2400"}, 10001),
        ({"reduceOnly": True, "stopLoss": "2400"}, 10001),
        ({"qty": "0.001", "price": "90"}, 10001),
        ({"qty": "41"}, 110007),
    ],
)
def test_refusals(side, fields, code):
    floor = Floor(side)
    assert floor.create(**({"price": floor.text(2490.0), "timeInForce": "PostOnly"} | fields))[0] == code
    assert floor.truth["orders"] == [] and "order" not in floor.rows and "wallet" not in floor.rows


@both
def test_limits_of_price_and_size(side):
    floor = Floor(side, equity=1e9)
    assert floor.limit(2630.0, timeInForce="GTC")[0] == 110003  # 5 % beyond the mark
    assert floor.limit(2620.0, timeInForce="GTC")[0] == 0
    assert floor.limit(2380.0 if side == LONG else 2499.0)[0] == 0
    floor = Floor(LONG)
    assert floor.limit(499.0, qty="0.01")[0] == 110094 and floor.limit(500.0, qty="0.01")[0] == 0
    assert floor.exchange.rules.price_limits(floor.exchange.index["ETHUSDT"]) == (262_500, 237_500)
    floor.exchange.halted.add("ETHUSDT")
    assert floor.limit(2490.0)[0] == 110074


@both
def test_margin(side):
    floor = Floor(side, equity=1000.0)  # 10x: about 9,900 after fees
    assert floor.limit(2490.0, qty="2")[0] == 0
    assert floor.limit(2490.0, qty="2")[0] == 110007  # the first reserves half
    assert floor.limit(2510.0, floor.close, qty="2")[0] == 0  # the other side needs no more than the worse of the two
    floor = Floor(side, equity=1000.0)
    floor.enter("3")
    assert floor.limit(2490.0, qty="2")[0] == 110007
    assert floor.limit(2510.0, floor.close, qty="3")[0] == 0  # reduces
    assert floor.amend(f"L{floor.links}", qty="12") == 110007 and floor.truth["orders"][0]["qty"] == 3.0
    assert floor.create(floor.close, qty="8")[0] == 110007 and floor.held == 3.0
    assert floor.create(floor.close, qty="3")[0] == 0 and floor.held == 0.0


@both
def test_number_of_orders(side):
    floor = Floor(side, equity=1e8, orders_max=5, conditional_max=2)
    direction = 2 if side == LONG else 1
    for k in range(5):
        assert floor.limit(2490.0 - k)[0] == 0
    assert floor.limit(2490.0)[0] == 110020
    assert floor.create(triggerPrice=floor.text(2400.0), triggerDirection=direction)[0] == 0
    assert floor.create(triggerPrice=floor.text(2400.0), triggerDirection=direction)[0] == 0
    assert floor.create(triggerPrice=floor.text(2400.0), triggerDirection=direction)[0] == 110009
    assert floor.cancel("L1") == 0 and floor.limit(2490.0)[0] == 0
    assert floor.exchange.books.resting == 7
    floor.exchange.books.resting = 8000  # of everybody, in all symbols
    assert floor.ask("order.create", symbol="BTCUSDT", side="Buy", orderType="Limit", price="60000", qty="0.1")[0] == 110020


@both
def test_conditional_orders(side):
    floor = Floor(side)
    rise, fall = (1, 2) if side == LONG else (2, 1)
    wrong = {1: 110092, 2: 110093}
    assert floor.create(triggerPrice=floor.text(2490.0), triggerDirection=rise)[0] == wrong[rise]
    assert floor.create(triggerPrice=floor.text(2510.0), triggerDirection=fall)[0] == wrong[fall]
    available = floor.truth["available"]
    _, link = floor.limit(2509.0, triggerPrice=floor.text(2510.0), triggerDirection=rise, timeInForce="GTC")
    assert floor.truth["available"] == available, "conditional orders reserve no margin"
    assert floor.rows["order"][-1]["stopOrderType"] == "Stop" and floor.states(link) == ["Untriggered"]
    floor.quote(2511.0, 2511.5)
    floor.trade(2510.0)
    floor.hear()
    assert floor.states(link) == ["Untriggered", "Triggered", "New"] and floor.truth["available"] < available
    floor.trade(2508.0)
    floor.hear()
    assert floor.states(link)[-1] == "Filled" and floor.held == 1.0


@both
@pytest.mark.parametrize("by", ["MarkPrice", "IndexPrice"])
def test_triggers_by_mark_and_index(side, by):
    floor = Floor(side)
    floor.ticker(2500.0, index=2500.0)
    rise = 1 if side == LONG else 2
    _, link = floor.create(qty="1", triggerPrice=floor.text(2510.0), triggerDirection=rise, triggerBy=by)
    floor.trade(2511.0)
    floor.ticker(**({"mark": 2509.9, "index": 2512.0} if by == "MarkPrice" else {"mark": 2512.0, "index": 2509.9}))
    floor.hear()
    assert floor.states(link) == ["Untriggered"]
    floor.ticker(**({"mark": 2510.0, "index": 2500.0} if by == "MarkPrice" else {"mark": 2500.0, "index": 2510.0}))
    floor.hear()
    assert floor.states(link) == ["Untriggered", "Triggered"]
    floor.quote(2510.5, 2511.0)
    floor.hear()
    assert floor.states(link)[-1] == "Filled" and floor.rows["execution"][-1]["execPrice"].rstrip("0").rstrip(".") == f"{floor.price(2511.0):g}"


@both
def test_a_conditional_order_without_margin_is_cancelled_when_it_triggers(side):
    floor = Floor(side, equity=1000.0)
    _, link = floor.create(qty="3", triggerPrice=floor.text(2510.0), triggerDirection=1 if side == LONG else 2)
    floor.limit(2490.0, qty="3")
    floor.trade(2511.0)
    floor.hear()
    assert floor.states(link) == ["Untriggered", "Cancelled"] and floor.held == 0.0


@both
def test_cancel_and_amend_of_what_has_ended(side):
    floor = Floor(side)
    assert floor.cancel("nobody") == 110001 and floor.amend("nobody", qty="2") == 110001 and floor.ask("order.cancel")[0] == 10001
    link = floor.enter()
    assert floor.cancel(link) == 110001 and floor.amend(link, qty="2") == 110001
    floor = Floor(side, ended_codes=True)
    filled, (_, ended) = floor.enter(), floor.limit(2490.0)
    assert floor.cancel(ended) == 0 and floor.rows["order"][-1]["cancelType"] == "CancelByUser"
    assert (floor.cancel(filled), floor.cancel(ended), floor.amend(ended, qty="2")) == (110008, 110010, 110010)


@both
def test_a_cancel_that_races_the_fill_says_filled_twice(side):
    floor = Floor(side, filled_twice_s=1.0)
    link = floor.enter()
    assert floor.cancel(link) == 0 and floor.states(link) == ["New", "Filled", "Filled"]
    last = floor.rows["order"][-1]
    assert (last["cancelType"], last["rejectReason"], last["cumExecQty"]) == ("CancelByUser", "EC_OrigClOrdIDDoesNotExist", "1")
    assert len(floor.rows["execution"]) == 1 and floor.cancel(link) == 110001


@both
def test_amend(side):
    floor = Floor(side, fills="queue", equity=100_000.0)
    _, link = floor.limit(2499.99, qty="2")
    assert floor.amend(link, qty="1.5") == 0 and floor.amend(link, price=floor.text(2499.0)) == 0
    row = floor.rows["order"][-1]
    assert (row["qty"], row["price"], row["orderStatus"]) == ("1.5", floor.text(2499.0).rstrip("0").rstrip("."), "New")
    assert floor.amend(link) == 10001 and floor.amend(link, qty="0") == 10001 and floor.amend(link, triggerPrice="2000") == 10001
    floor.quote(2499.0, 2499.5, near_qty=0.0)
    floor.trade(2499.0, qty=0.5)
    floor.hear()
    assert floor.states(link)[-1] == "PartiallyFilled" and floor.amend(link, qty="0.5") == 10001 and floor.amend(link, qty="0.6") == 0
    assert floor.amend(link, price=floor.text(2650.0)) == 110003 and floor.truth["orders"][0]["price"] == floor.price(2499.0)
    assert floor.cancel(link) == 0
    assert floor.rows["order"][-1]["orderStatus"] == "Cancelled" and floor.rows["order"][-1]["cumExecQty"] == "0.5"


def test_order_id_wins_over_link_id():
    floor = Floor()
    _, one = floor.limit(2490.0)
    _, two = floor.limit(2491.0)
    first = floor.truth["orders"][0]["order_id"]
    assert floor.ask("order.cancel", orderId=first, orderLinkId=two)[1]["orderLinkId"] == one


@both
def test_cancel_all(side):
    floor = Floor(side, equity=100_000.0)
    floor.enter("1", stopLoss=floor.text(2450.0))
    floor.limit(2490.0)
    floor.create(triggerPrice=floor.text(2400.0), triggerDirection=2 if side == LONG else 1)
    assert floor.post("/v5/order/cancel-all", symbol="")[0] == 10001
    assert len(floor.post("/v5/order/cancel-all", orderFilter="Order")[1]["list"]) == 1
    assert len(floor.post("/v5/order/cancel-all", orderFilter="StopOrder", stopOrderType="Stop")[1]["list"]) == 1
    assert floor.truth["positions"]["ETHUSDT", 0]["stop_loss"] == floor.price(2450.0)
    floor.limit(2490.0)
    assert len(floor.post("/v5/order/cancel-all", symbol="", settleCoin="USDT")[1]["list"]) == 2  # the position's stop with it
    assert floor.truth["orders"] == [] and floor.truth["positions"]["ETHUSDT", 0]["stop_qty"] == 0.0


@both
def test_batches(side):
    floor = Floor(side, equity=100_000.0)
    one = {"symbol": "ETHUSDT", "side": floor.open, "orderType": "Limit", "qty": "1", "price": floor.text(2490.0)}
    now = floor.now
    code, _, data, extra = floor.exchange.order(
        "order.create-batch",
        [
            {
                "category": "linear",
                "request": [
                    one | {"orderLinkId": "b1"},
                    one | {"orderLinkId": "b1"},
                    one | {"orderLinkId": "b2", "qty": "x"},
                    one | {"orderLinkId": "b3"},
                ],
            }
        ],
        floor.account,
        now,
    )
    assert code == 0 and [c["code"] for c in extra["list"]] == [0, 110072, 10001, 0]
    assert [bool(row["orderId"]) for row in data["list"]] == [True, False, False, True]
    code, _, result = floor.exchange.rest(
        "POST",
        "/v5/order/cancel-batch",
        "",
        b'{"category":"linear","request":[{"symbol":"ETHUSDT","orderLinkId":"b1"},{"symbol":"ETHUSDT","orderLinkId":"b9"}]}',
        floor.account,
        now,
    )
    assert code == 0 and [c["code"] for c in result["retExtInfo"]["list"]] == [0, 110001] and [o["link_id"] for o in floor.truth["orders"]] == ["b3"]
    many = [{"category": "linear", "request": [one] * 21}]
    assert floor.exchange.order("order.create-batch", many, floor.account, now)[0] == 10001
    assert floor.exchange.order("order.create", [one, one], floor.account, now)[0] == 10001
    assert floor.exchange.order("order.replace", [one], floor.account, now)[0] == 10404


@both
def test_hedge_mode(side):
    floor = Floor(side, equity=100_000.0)
    assert floor.post("/v5/position/switch-mode", mode=0)[0] == 110025
    _, link = floor.limit(2490.0)
    assert floor.post("/v5/position/switch-mode", mode=3)[0] == 110028
    floor.cancel(link)
    floor.enter()
    assert floor.post("/v5/position/switch-mode", mode=3)[0] == 110024
    floor.create(floor.close)
    assert floor.post("/v5/position/switch-mode", mode=3)[0] == 0
    assert floor.limit(2490.0)[0] == 10001 and floor.limit(2490.0, positionIdx=0)[0] == 10001
    mine, other = (1, 2) if side == LONG else (2, 1)
    assert floor.create(positionIdx=mine)[0] == 0 and floor.create(floor.close, positionIdx=other)[0] == 0
    positions = floor.truth["positions"]
    assert positions["ETHUSDT", mine]["qty"] == side and positions["ETHUSDT", other]["qty"] == -side
    assert floor.create(floor.close, positionIdx=mine, qty="3")[0] == 0  # closes, never turns
    assert ("ETHUSDT", mine) not in floor.truth["positions"] and floor.create(floor.close, positionIdx=mine)[0] == 110017
    assert [row["positionIdx"] for row in floor.get("/v5/position/list")["list"]] == [1, 2]


def test_leverage():
    floor = Floor(equity=1000.0)

    def leverage(x, y=None):
        return floor.post("/v5/position/set-leverage", buyLeverage=x, sellLeverage=y or x)[0]

    assert leverage("10") == 110043 and leverage("5") == 0 and leverage("5", "6") == 10001 and leverage("101") == 110013 and leverage("x") == 10001
    assert floor.limit(2490.0, qty="2.2")[0] == 110007
    assert leverage("20") == 0 and floor.limit(2490.0, qty="2.2")[0] == 0
    assert leverage("2") == 110012 and floor.get("/v5/position/list")["list"][0]["leverage"] == "20"


def test_pre_check_creates_nothing():
    floor = Floor()
    fields = {"side": "Buy", "orderType": "Limit", "qty": "1", "price": "2490", "orderLinkId": "x"}
    code, result = floor.post("/v5/order/pre-check", **fields)
    assert code == 0 and result["postImrE4"] > result["preImrE4"] == 0 and floor.truth["orders"] == []
    assert floor.post("/v5/order/pre-check", **(fields | {"qty": "100"}))[0] == 110007


@both
def test_every_operation_pushes_the_position(side):
    floor = Floor(side)
    _, link = floor.limit(2490.0)
    assert len(floor.last["position"]) == 1 and len(floor.last["wallet"]) == 1
    floor.amend(link, qty="2")
    assert len(floor.last["position"]) == 1
    floor.cancel(link)
    assert len(floor.last["position"]) == 1 and floor.last["position"][0]["seq"] == -1
    floor.account.topics -= {"position", "wallet"}
    floor.limit(2490.0)
    assert set(floor.last) == {"order"}
