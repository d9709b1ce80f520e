"""Whatever a client sends to the emulated venue's account side, it is answered or left, and never breaks it."""

import json
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desk_client import MARKET, DeskClient
from liqshell.emulator.api.account_api import Response
from liqshell.emulator.api.account_faults import GARBAGE

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["linear", "BTCUSDT", "Buy", "Sell", "Limit", "Market", "PostOnly", "0", "0.010", "67000", "-1", "1e400", "nan", "", "Full"]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)
FIELDS = st.sampled_from(
    [
        "category",
        "symbol",
        "side",
        "orderType",
        "qty",
        "price",
        "timeInForce",
        "orderLinkId",
        "orderId",
        "stopLoss",
        "takeProfit",
        "triggerPrice",
        "triggerDirection",
        "reduceOnly",
        "positionIdx",
        "tpslMode",
        "request",
        "settleCoin",
        "trailingStop",
        "limit",
        "buyLeverage",
        "sellLeverage",
        "mode",
        "coin",
        "cursor",
    ]
)
OBJECTS = st.dictionaries(FIELDS, VALUES, max_size=8)
GOOD = st.just({"category": "linear", "symbol": "BTCUSDT", **MARKET})
ORDERS = st.builds(lambda good, odd: {**good, **odd}, GOOD, st.dictionaries(FIELDS, VALUES, max_size=2)) | OBJECTS
OPERATIONS = st.sampled_from(
    [
        "order.create",
        "order.amend",
        "order.cancel",
        "order.create-batch",
        "order.amend-batch",
        "order.cancel-batch",
        "auth",
        "subscribe",
        "unsubscribe",
        "ping",
        "x",
    ]
)
PATHS = st.sampled_from(
    [
        "/v5/order/create",
        "/v5/order/amend",
        "/v5/order/cancel",
        "/v5/order/cancel-all",
        "/v5/order/create-batch",
        "/v5/order/realtime",
        "/v5/order/history",
        "/v5/execution/list",
        "/v5/position/list",
        "/v5/position/trading-stop",
        "/v5/position/set-leverage",
        "/v5/position/switch-mode",
        "/v5/account/wallet-balance",
        "/v5/account/fee-rate",
        "/v5/market/kline",
        "/v5/market/tickers",
        "/v5/market/instruments-info",
        "/v5/user/query-api",
        "/v5/nowhere",
        "",
    ]
)
LEAN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fresh() -> DeskClient:
    from liqshell.emulator.exchange.rate_limits import Limits

    return DeskClient(limits=Limits(1e6, 10**9))


@LEAN
@given(requests=st.lists(st.tuples(OPERATIONS, ORDERS | VALUES, VALUES, VALUES), max_size=6))
def test_websocket_requests(requests: list[tuple[str, Any, Any, Any]]) -> None:
    client = fresh()
    trade, private = client.open("/v5/trade"), client.open("/v5/private")
    stamp = {"X-BAPI-TIMESTAMP": str(client.utc_ms()), "X-BAPI-RECV-WINDOW": "60000"}
    for op, one, req_id, header in requests:
        batch = {"category": "linear", "request": [one, one]}
        for body in (
            {"op": op, "args": [one], "reqId": req_id, "header": stamp},
            {"op": op, "args": [batch], "header": stamp},
            {"op": op, "args": one, "req_id": req_id, "header": header},
        ):
            for session in (trade, private):
                before = len(client.said)
                client.send(session, orjson.dumps(body))
                client.wait()
                assert len(client.said) > before  # everything on a socket is answered
    assert client.order(trade, "cancel", orderLinkId="x")["retCode"] == 110001
    client.exchange.truth(client.key.account)


@LEAN
@given(raw=st.binary(max_size=40) | st.sampled_from(GARBAGE))
def test_bytes_that_are_no_request(raw: bytes) -> None:
    client = fresh()
    for session in (client.open("/v5/trade"), client.open("/v5/private")):
        before = len(client.said)
        client.send(session, raw)
        client.wait()
        assert len(client.said) > before


@LEAN
@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=PATHS,
    body=ORDERS | VALUES,
    pairs=st.lists(st.tuples(FIELDS, st.text(max_size=6)), max_size=4),
    raw=st.none() | st.binary(max_size=10),
)
def test_rest_requests(method: str, path: str, body: Any, pairs: list[tuple[str, str]], raw: bytes | None) -> None:
    client = fresh()
    query = "&".join(f"{name}={value}" for name, value in pairs)
    text = query if method == "GET" else raw.decode("latin-1") if raw is not None else json.dumps(body)
    answer = client.request(method, path, text.encode("utf-8", "ignore").decode())
    assert isinstance(answer, Response) and answer.status in (200, 404) and isinstance(json.loads(answer.body)["retCode"], int)
    client.exchange.truth(client.key.account)
