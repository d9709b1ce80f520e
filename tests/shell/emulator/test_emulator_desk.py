"""The account side of the emulated venue without sockets: who may, in which shape, how often."""

import hashlib
import hmac
import json

import pytest

from desk_client import ENTRY, MARKET, MS, NS, SYMBOLS, DeskClient, sign
from liqshell.emulator.api.account_api import Ending, Request, Response


def test_auth_takes_expiry_as_number_and_text_and_refuses_the_rest() -> None:
    client = DeskClient()
    key, secret = client.key.key, client.key.secret
    for expires in (client.utc_ms() + 1_000, str(client.utc_ms() + 10_000)):
        session = client.open("/v5/private", auth=False)
        reply = client.ask(session, {"op": "auth", "args": [key, expires, sign(secret, f"GET/realtime{expires}")]})
        assert reply == {"success": True, "ret_msg": "", "op": "auth", "conn_id": session.conn_id}
        assert not client.ask(session, {"op": "auth", "args": [key, expires, sign(secret, f"GET/realtime{expires}")]})["success"]
    late, soon = client.utc_ms() - 1, client.utc_ms() + 5_000
    for args, code in (
        ([key, late, sign(secret, f"GET/realtime{late}")], 10004),
        ([key, soon, sign("other", f"GET/realtime{soon}")], 10004),
        (["nobody", soon, "x"], 10003),
        ([key, "soon", "x"], 10001),
        ([key], 10001),
        ("x", 10001),
        (None, 10001),
    ):
        private, trade = client.open("/v5/private", auth=False), client.open("/v5/trade", auth=False)
        refused = client.ask(private, {"op": "auth", "args": args, "req_id": 7})
        assert refused["success"] is False and refused["ret_msg"] and refused["req_id"] == 7
        refused = client.ask(trade, {"op": "auth", "args": args, "reqId": "a"})
        assert refused["retCode"] == code and refused["reqId"] == "a" and refused["connId"] == trade.conn_id
    assert client.desk.refused[10003] == 2
    session = client.open("/v5/trade")
    assert client.ask(session, {"op": "auth", "args": [key, soon, sign(secret, f"GET/realtime{soon}")]})["retCode"] == 20001


def test_pings_have_the_three_shapes() -> None:
    client = DeskClient()
    private, trade = client.open("/v5/private", auth=False), client.open("/v5/trade", auth=False)
    pong = client.ask(private, {"op": "ping", "req_id": "a"})
    assert pong["op"] == "pong" and pong["req_id"] == "a" and len(pong["args"][0]) == 13 and pong["conn_id"] == private.conn_id
    assert "req_id" not in client.ask(private, {"op": "ping"})
    pong = client.ask(trade, {"op": "ping"})
    assert pong["op"] == "pong" and pong["retCode"] == 0 and len(pong["data"][0]) == 13 and pong["connId"] == trade.conn_id and "reqId" not in pong


def test_subscriptions_of_the_private_stream() -> None:
    client = DeskClient()
    session = client.open("/v5/private", auth=False)
    assert client.ask(session, {"op": "subscribe", "args": ["order"]})["ret_msg"] == "Request not authorized"
    session = client.open("/v5/private")
    for req_id in ("5c1b5cbe-3dcc", 12, None):
        request = {"op": "subscribe", "args": ["order", "execution"]} | ({} if req_id is None else {"req_id": req_id})
        reply = client.ask(session, request)
        assert reply["success"] and reply.get("req_id") == req_id and ("req_id" in reply) == (req_id is not None)
    mixed = client.ask(session, {"op": "subscribe", "args": ["order", "order.linear"], "req_id": "m"})
    assert not mixed["success"] and mixed["req_id"] == "m"
    unknown = client.ask(session, {"op": "subscribe", "args": ["wallet", "nonsense"], "req_id": "u"})
    assert unknown["ret_msg"] == "error:handler not found,topic:nonsense"
    assert session.topics == {"order", "execution"}  # one bad topic fails its whole batch
    assert client.frames(session) == []  # no snapshot on subscribe
    for bad in (b"{", b"[]", b'{"op":"order.create"}', b'{"op":5}'):
        client.send(session, bad)
        client.wait()
    assert not json.loads(client.said[-1][2])["success"]


def test_topics_by_category_and_the_fast_executions() -> None:
    client = DeskClient()
    one, many, trade = (
        client.private("order.linear", "execution.fast.linear"),
        client.private("order", "execution.fast", "wallet"),
        client.open("/v5/trade"),
    )
    client.order(trade, "create", **MARKET)
    client.order(trade, "create", **ENTRY, orderLinkId="rest")
    client.quote("BTCUSDT", 67_800.0)
    client.wait()
    assert {frame["topic"] for frame in client.frames(one)} == {"order.linear", "execution.fast.linear"}
    assert {frame["topic"] for frame in client.frames(many)} == {"order", "execution.fast", "wallet"}
    taker, maker = client.rows(many, "execution.fast")
    assert not taker["isMaker"] and maker["isMaker"] and maker["orderLinkId"] == "" and "execFee" not in maker
    client.send(many, {"op": "unsubscribe", "args": ["order"]})
    before = len(client.rows(many, "order"))
    client.order(trade, "create", **MARKET)
    assert len(client.rows(many, "order")) == before


def test_refusals_of_the_order_socket() -> None:
    client = DeskClient()
    stranger = client.open("/v5/trade", auth=False)
    assert client.order(stranger, "create", **MARKET)["retCode"] == 10003
    trade = client.open("/v5/trade")
    assert client.order(trade, "destroy")["retCode"] == 10404
    assert client.order(trade, "cancel", req_id="same", orderLinkId="x")["retCode"] == 110001
    assert client.order(trade, "cancel", req_id="same", orderLinkId="x")["retCode"] == 20006
    for header, code in (
        ({"X-BAPI-TIMESTAMP": str(client.utc_ms() - 5_200)}, 10002),
        ({"X-BAPI-TIMESTAMP": client.utc_ms() + 1_100}, 10002),
        ({"x-bapi-timestamp": str(client.utc_ms() + 900), "X-BAPI-RECV-WINDOW": "100"}, 110001),
        ({}, 10001),
        ({"Referer": "x"}, 10001),
        ({"X-BAPI-TIMESTAMP": "soon"}, 10001),
    ):
        body = {
            "reqId": f"h{code}{len(header)}{header}"[:36],
            "op": "order.cancel",
            "header": header,
            "args": [{"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "x"}],
        }
        assert client.ask(trade, body)["retCode"] == code, header
    for args in ([], [{}, {}], {}, ["x"], None):
        body = {"op": "order.create", "header": {"X-BAPI-TIMESTAMP": str(client.utc_ms())}, "args": args}
        reply = client.ask(trade, body)
        assert reply["retCode"] == 10001 and "reqId" not in reply
    assert client.ask(trade, {"reqId": "x" * 37, "op": "order.create", "header": {}, "args": [{}]})["retCode"] == 10001
    client.key.trade = False
    assert client.order(trade, "create", **MARKET)["retCode"] == 10005
    assert client.ask(trade, b"not JSON")["retCode"] == 10001


def test_rest_refusals() -> None:
    client = DeskClient()
    path, query = "/v5/position/list", "category=linear&symbol=BTCUSDT"
    assert client.rest("GET", path, query)["retCode"] == 0
    bare = client.request("GET", path, query, signed=False)
    assert isinstance(bare, Response) and bare.status == 401
    stamp = client.utc_ms()
    for offset, window, code in ((-5_100, "5000", 10002), (-4_900, "5000", 0), (+900, "5000", 0), (+1_100, "60000", 10002), (-5_100, "8000", 0)):
        assert client.rest("GET", path, query, stamp_ms=client.utc_ms() + offset, window=window)["retCode"] == code, (offset, window)
    assert client.rest("GET", path, query, secret="other")["retCode"] == 10004
    assert client.rest("GET", path, query, headers={"X-BAPI-API-KEY": "nobody"})["retCode"] == 10003
    lower = {
        "x-bapi-api-key": client.key.key,
        "x-bapi-timestamp": str(stamp),
        "x-bapi-recv-window": "60000",
        "x-bapi-sign": sign(client.key.secret, f"{stamp}{client.key.key}60000{query}").upper(),
    }
    assert client.rest("GET", path, query, signed=False, headers=lower)["retCode"] == 0
    missing = client.request("GET", "/v5/nowhere")
    assert isinstance(missing, Response) and missing.status == 404 and json.loads(missing.body)["retCode"] == 10017
    assert client.rest("POST", "/v5/order/create", "{")["retCode"] == 10001
    assert client.rest("POST", "/v5/order/create", "[]")["retCode"] == 10001
    client.key.trade = False
    assert client.rest("POST", "/v5/order/create", {"category": "linear"})["retCode"] == 10005
    client.key.ips = ("192.0.2.7",)
    assert client.rest("GET", path, query)["retCode"] == 10010 and client.rest("GET", path, query, ip="192.0.2.7")["retCode"] == 0
    client.key.ips, client.key.valid = (), False
    assert client.rest("GET", path, query)["retCode"] == 10003
    assert client.rest("GET", "/v5/market/time", signed=False)["result"]["timeNano"].startswith(str(client.now)[:9])


@pytest.mark.parametrize("speed", [1.0, 50.0])
def test_limits_are_per_account_and_endpoint_in_a_rolling_second(speed: float) -> None:
    client = DeskClient(speed=speed, ack_delay_s=(0.0, 0.0))
    trade = client.open("/v5/trade")
    # requests at once: the eleventh of a rolling second is refused, whichever way it comes
    start = client.now
    replies = [client.order(trade, "cancel", seconds=0.004 / speed, orderLinkId="x") for _ in range(9)]
    assert [reply["header"]["X-Bapi-Limit-Status"] for reply in replies] == [str(9 - k) for k in range(9)]
    answer = client.request(
        "POST", "/v5/order/cancel", json.dumps({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "x"}), seconds=0.004 / speed
    )
    assert isinstance(answer, Response) and answer.headers["X-Bapi-Limit-Status"] == "0"
    refused = client.order(trade, "cancel", seconds=0.004 / speed, orderLinkId="x")
    assert refused["retCode"] == 10006 and client.now - start < NS
    reset_ms = int(refused["header"]["X-Bapi-Limit-Reset-Timestamp"])
    assert abs(reset_ms - (client.desk.times.utc(start + NS) // MS)) <= 10
    assert client.order(trade, "create", seconds=0.004 / speed, **MARKET)["retCode"] == 0  # another endpoint has its own
    client.wait(1.0 / speed)
    assert client.order(trade, "cancel", orderLinkId="x")["retCode"] == 110001


def test_a_batch_draws_a_unit_an_order_and_is_cut_at_the_edge() -> None:
    client = DeskClient()
    trade = client.open("/v5/trade")

    def batch(n: int, ticket: str) -> dict:
        return client.ask(
            trade,
            {
                "reqId": ticket,
                "op": "order.create-batch",
                "header": {"X-BAPI-TIMESTAMP": str(client.utc_ms())},
                "args": [{"category": "linear", "request": [{"symbol": "BTCUSDT", **ENTRY, "orderLinkId": f"{ticket}-{k}"} for k in range(n)]}],
            },
        )

    first, second = batch(7, "a"), batch(5, "b")
    assert [one["code"] for one in first["retExtInfo"]["list"]] == [0] * 7
    assert [one["code"] for one in second["retExtInfo"]["list"]] == [0, 0, 0, 10006, 10006] and len(second["data"]["list"]) == 5
    assert batch(1, "c")["retCode"] == 10006
    assert client.order(trade, "create", **ENTRY)["retCode"] == 0  # its own bucket
    assert len(client.orders()) == 11


def test_too_many_requests_of_an_address() -> None:
    client = DeskClient()
    codes = [client.request("GET", "/v5/market/time", signed=False, seconds=0.004) for _ in range(601)]
    assert all(isinstance(code, Response) and code.status == 200 for code in codes[:600])
    assert isinstance(codes[600], Response) and codes[600].status == 403
    assert client.rest("GET", "/v5/market/time", signed=False, ip="192.0.2.9")["retCode"] == 0


def test_the_ack_delay_and_the_order_of_answers() -> None:
    client = DeskClient(ack_delay_s=(0.005, 0.009), stream_delay_s=(0.0, 0.0))
    trade, private = client.open("/v5/trade"), client.private("order")
    start, before = client.now, len(client.said)
    for k in range(5):
        client.send(
            trade,
            {
                "reqId": f"a{k}",
                "op": "order.create",
                "header": {"X-BAPI-TIMESTAMP": str(client.utc_ms())},
                "args": [{"category": "linear", "symbol": "BTCUSDT", **ENTRY}],
            },
        )
    client.wait(0.05)
    acks = [(at, json.loads(what)["reqId"]) for at, to, what in client.said[before:] if to is trade]
    assert [name for _, name in acks] == [f"a{k}" for k in range(5)]  # in order, each after the delay
    assert all(5 * MS <= at - start <= 9 * MS for at, _ in acks)
    assert all(at - start < MS for at, to, _ in client.said[before:] if to is private)


def test_connections_that_say_nothing_are_cut() -> None:
    client = DeskClient()
    short, long = client.open("/v5/private", max_active_s=5.0), client.open("/v5/trade")
    client.wait(29.0)
    client.send(long, {"op": "ping"})
    assert client.wait(5.0)[-1] is Ending.CLOSE and not short.alive and long.alive
    client.wait(620.0)
    assert not long.alive


def test_the_same_seed_says_the_same_to_the_byte() -> None:
    def run() -> list[bytes]:
        client = DeskClient(
            {"kind": "reorder_private", "jitter_s": 0.1, "duration_s": 100}, {"kind": "lose_ack", "probability": 0.3, "duration_s": 100}, seed=11
        )
        trade, _ = client.open("/v5/trade"), client.private()
        for k in range(8):
            client.send(
                trade,
                {
                    "reqId": f"a{k}",
                    "op": "order.create",
                    "header": {"X-BAPI-TIMESTAMP": str(client.utc_ms())},
                    "args": [{"category": "linear", "symbol": SYMBOLS[k % 2], **(MARKET if k % 2 == 0 else MARKET | {"side": "Sell"})}],
                },
            )
            client.wait(0.05)
        return [what for _, _, what in client.said]

    assert run() == run()


def test_a_batch_that_is_too_large_is_refused_as_a_whole() -> None:
    """Not cut at the rate limit first: the venue looks at the request before it counts its orders."""
    client = DeskClient()
    trade = client.open("/v5/trade")
    orders = [{"symbol": "BTCUSDT", **ENTRY, "orderLinkId": f"big-{k}"} for k in range(21)]
    reply = client.ask(
        trade,
        {
            "reqId": "big",
            "op": "order.create-batch",
            "header": {"X-BAPI-TIMESTAMP": str(client.utc_ms())},
            "args": [{"category": "linear", "request": orders}],
        },
    )
    assert reply["retCode"] == 10001 and client.orders() == []
    assert client.rest("POST", "/v5/order/create-batch", {"category": "linear", "request": orders})["retCode"] == 10001 and client.orders() == []


def test_bytes_that_are_no_text_are_answered() -> None:
    client = DeskClient()
    body = '{"category":"linear","symbol":"\udcff"}'
    stamp = str(client.utc_ms())
    right = hmac.new(client.key.secret.encode(), f"{stamp}{client.key.key}5000{body}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def ask(method: str, path: str, query: str = "", **headers: str) -> tuple[int, bytes]:
        made = {"X-BAPI-API-KEY": client.key.key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000", **headers}
        client.tickets += 1
        client.desk.request(client.tickets, Request(method, path, query, body.encode("utf-8", "surrogateescape"), made), client.now)
        answer = next(what for what in client.wait() if isinstance(what, Response))
        return answer.status, answer.body

    for sign_, code in ((right, 10001), ("0" * 64, 10004), ("\udcff", 10004)):
        status, answer = ask("POST", "/v5/order/create", **{"X-BAPI-SIGN": sign_})
        assert status == 200 and json.loads(answer)["retCode"] == code
    assert ask("GET", "/v5/market/tickers", "category=linear&symbol=\udcff")[0] == 400
    assert ask("GET", "/v5/market/\udcff")[0] == 400


def test_a_halt_that_names_no_symbol_is_about_all() -> None:
    client = DeskClient({"kind": "halt", "duration_s": 5})
    trade = client.open("/v5/trade")
    assert [
        client.order(trade, "create", **{**ENTRY, "symbol": symbol, "price": price})["retCode"]
        for symbol, price in (("BTCUSDT", "67900.0"), ("ETHUSDT", "1990.00"))
    ] == [110074, 110074]
    client.wait(6.0)
    assert client.order(trade, "create", **ENTRY)["retCode"] == 0
