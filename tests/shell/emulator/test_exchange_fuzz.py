"""Whatever a client sends to the emulated venue is answered with a code: nothing is raised, and the books still agree."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_floor import Floor
from liqshell.emulator.exchange.exchange import OPERATIONS, ORDERS, READS, WRITES

NAMES = [
    "category",
    "symbol",
    "side",
    "orderType",
    "qty",
    "price",
    "timeInForce",
    "orderLinkId",
    "orderId",
    "reduceOnly",
    "closeOnTrigger",
    "positionIdx",
    "triggerPrice",
    "triggerDirection",
    "triggerBy",
    "stopLoss",
    "takeProfit",
    "tpslMode",
    "slTriggerBy",
    "tpTriggerBy",
    "tpOrderType",
    "tpLimitPrice",
    "slSize",
    "tpSize",
    "trailingStop",
    "activePrice",
    "slippageToleranceType",
    "slippageTolerance",
    "limit",
    "cursor",
    "startTime",
    "endTime",
    "settleCoin",
    "baseCoin",
    "orderFilter",
    "openOnly",
    "buyLeverage",
    "sellLeverage",
    "mode",
    "coin",
    "request",
    "accountType",
    "stopOrderType",
    "orderStatus",
]
WORDS = [
    "",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "--5",
    "²",
    "٣",
    "1e9",
    "nan",
    "inf",
    "0.1",
    "0.2",
    "2490",
    "2500.5",
    "99999999999999999999",
    "1.0000001",
    "linear",
    "inverse",
    "ETHUSDT",
    "BTCUSDT",
    "USDT",
    "Buy",
    "Sell",
    "Limit",
    "Market",
    "GTC",
    "IOC",
    "FOK",
    "PostOnly",
    "Full",
    "Partial",
    "LastPrice",
    "MarkPrice",
    "TickSize",
    "Percent",
    "1.5",
    "true",
    "UNIFIED",
    "Order",
    "StopOrder",
    "page_3",
    "page_x",
    "L1",
    "L2",
    "é",
]
GOOD = {
    "category": "linear",
    "symbol": "ETHUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.1",
    "price": "2490",
    "positionIdx": 0,
    "buyLeverage": "5",
    "sellLeverage": "5",
    "mode": 3,
    "orderLinkId": "L1",
}
scalars = st.one_of(st.sampled_from(WORDS), st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, width=32))
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(NAMES), scalars, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(NAMES), scalars, max_size=8), max_size=3),
)
fields = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)


@given(st.lists(st.tuples(st.sampled_from([*OPERATIONS, *READS, *WRITES, *ORDERS]), fields, st.booleans()), max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_request_is_answered(requests):
    floor = Floor(equity=50_000.0)
    floor.enter("1", stopLoss="2400")
    for what, given_fields, mostly_good in requests:
        floor.now += 1000
        wish = (GOOD if mostly_good else {}) | given_fields
        if what in OPERATIONS:
            code, text, data, extra = floor.exchange.order(what, [wish], floor.account, floor.now)
            orjson.dumps([data, extra])
        elif what in READS:
            code, text, data = floor.exchange.rest("GET", what, urlencode({k: str(v) for k, v in wish.items()}), b"", floor.account, floor.now)
            orjson.dumps(data)
        else:
            code, text, data = floor.exchange.rest("POST", what, "", orjson.dumps(wish), floor.account, floor.now)
        assert isinstance(code, int) and (text or code == 0)
    floor.trade(2480.0)
    floor.trade(2380.0)
    orjson.dumps([row for _, _, _, rows in floor.exchange.take() for row in rows])
    money = sum(float(row["execPnl"]) - float(row["execFee"]) for _, row in floor.account.executions)
    assert abs(floor.truth["balance"] - 50_000.0 - money) < 1e-4


@given(st.binary(max_size=40), st.text(max_size=20), st.lists(scalars, max_size=3))
@settings(max_examples=40, deadline=None)
def test_bodies_queries_and_arguments_of_any_shape(body, query, args):
    floor = Floor()
    for path in (*WRITES, *ORDERS):
        assert isinstance(floor.exchange.rest("POST", path, query, body, floor.account, floor.now)[0], int)
    for path in READS:
        assert isinstance(floor.exchange.rest("GET", path, query, body, floor.account, floor.now)[0], int)
    for operation in (*OPERATIONS, query):
        assert floor.exchange.order(operation, args, floor.account, floor.now)[0] in (10001, 10404)
