"""The account side of the emulated venue over real sockets: order entry, private stream, signed REST, TLS, distance."""

import asyncio
import json
import ssl
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest

from account_client import AccountClient, trade
from liqshell.emulator.server import Config, serve

BOTH = pytest.mark.parametrize("side", ["Buy", "Sell"])


async def price(client: AccountClient, symbol: str = "BTCUSDT") -> tuple[float, float]:
    while True:
        book = (await client.rest("GET", "/v5/market/orderbook", f"category=linear&symbol={symbol}"))["result"]
        if book["b"] and book["a"]:
            return float(book["b"][0][0]), float(book["a"][0][0])
        await asyncio.sleep(0.01)


@BOTH
def test_a_round_trip(side: str) -> None:
    """In with a stop attached, out reduce-only; the stream tells every step, and REST agrees."""

    async def conversation(client: AccountClient) -> None:
        private, orders = await client.private(), await client.socket("/v5/trade", expires_as_text=True)
        bid, ask = await price(client)
        stop = f"{bid * (0.9 if side == 'Buy' else 1.1):.1f}"
        ack = await orders.order(
            "create", symbol="BTCUSDT", side=side, orderType="Market", qty="0.010", orderLinkId="in-1", stopLoss=stop, tpslMode="Full"
        )
        assert ack["retCode"] == 0 and ack["op"] == "order.create" and ack["data"]["orderLinkId"] == "in-1"
        assert ack["header"]["X-Bapi-Limit"] == "10" and ack["header"]["X-Bapi-Limit-Status"] == "9" and "Traceid" in ack["header"]
        filled = await private.row("order", orderLinkId="in-1", orderStatus="Filled")
        assert filled["side"] == side and filled["cumExecQty"] == "0.01"
        await asyncio.sleep(0.05)
        held = (await client.rest("GET", "/v5/position/list", "category=linear&symbol=BTCUSDT"))["result"]["list"][0]
        assert held["side"] == side and held["size"] == "0.01" and float(held["stopLoss"]) == float(stop)
        resting = (await client.rest("GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT"))["result"]["list"]
        assert [one["stopOrderType"] for one in resting] == ["StopLoss"]
        other = "Sell" if side == "Buy" else "Buy"
        out = await client.rest(
            "POST",
            "/v5/order/create",
            {
                "category": "linear",
                "symbol": "BTCUSDT",
                "side": other,
                "orderType": "Market",
                "qty": "0.010",
                "reduceOnly": True,
                "orderLinkId": "out-1",
            },
        )
        assert out["retCode"] == 0 and out["result"]["orderLinkId"] == "out-1"
        await private.row("position", symbol="BTCUSDT", size="0")
        executions = (await client.rest("GET", "/v5/execution/list", "category=linear&symbol=BTCUSDT"))["result"]["list"]
        assert sorted(one["orderLinkId"] for one in executions) == ["in-1", "out-1"]
        wallet = (await client.rest("GET", "/v5/account/wallet-balance", "accountType=UNIFIED"))["result"]["list"][0]
        assert 0.0 < 10_000.0 - float(wallet["totalEquity"]) < 5.0  # two taker fees and a little slippage
        assert client.emulator.status()["unread"] == 0

    trade(conversation)


def test_create_amend_cancel_and_what_the_stream_says() -> None:
    async def conversation(client: AccountClient) -> None:
        private, orders = await client.private("order"), await client.socket("/v5/trade")
        bid, _ = await price(client)
        first = f"{bid * 0.97:.1f}"
        assert (await orders.order("create", symbol="BTCUSDT", side="Buy", orderType="Limit", qty="0.010", price=first, orderLinkId="a"))[
            "retCode"
        ] == 0
        assert (await private.row("order", orderLinkId="a", orderStatus="New"))["price"] == f"{float(first):g}"
        second = f"{bid * 0.98:.1f}"
        assert (await orders.order("amend", symbol="BTCUSDT", orderLinkId="a", price=second))["retCode"] == 0
        assert float((await private.row("order", orderLinkId="a"))["price"]) == float(second)
        assert (await orders.order("create", symbol="BTCUSDT", side="Buy", orderType="Limit", qty="0.010", price=first, orderLinkId="a"))[
            "retCode"
        ] == 110072
        assert (await orders.order("cancel", symbol="BTCUSDT", orderLinkId="a"))["retCode"] == 0
        assert (await private.row("order", orderLinkId="a", orderStatus="Cancelled"))["cancelType"] == "CancelByUser"
        assert (await orders.order("cancel", symbol="BTCUSDT", orderLinkId="a"))["retCode"] == 110001

    trade(conversation)


def test_either_clock_may_stamp_at_any_speed() -> None:
    """Foreign clients stamp UTC, whatever the speed; a client on the market's clock stamps that. Each is answered in its own clock."""

    async def conversation(client: AccountClient) -> None:
        utc = await client.rest("GET", "/v5/position/list", "category=linear&symbol=BTCUSDT")
        assert utc["retCode"] == 0 and abs(utc["time"] - time.time_ns() // 1_000_000) < 5_000
        clock = client.emulator.clock
        client.now_ms, client.lead_ms = lambda: clock.now_ns() // 1_000_000, 5_000 * 500
        market = await client.rest("GET", "/v5/position/list", "category=linear&symbol=BTCUSDT")
        assert market["retCode"] == 0 and abs(market["time"] - client.now_ms()) < 5_000 * 500
        assert (await (await client.socket("/v5/trade")).order("cancel", symbol="BTCUSDT", orderLinkId="x"))["retCode"] == 110001
        client.now_ms = lambda: time.time_ns() // 1_000_000 - 60_000
        assert (await client.rest("GET", "/v5/position/list", "category=linear&symbol=BTCUSDT"))["retCode"] == 10002

    trade(conversation, speed=500.0)


def test_the_signature_covers_what_was_sent() -> None:
    async def conversation(client: AccountClient) -> None:
        for query in ("category=linear&symbol=BTCUSDT", "symbol=BTCUSDT&category=linear", "symbol=BTCUSDT&category=linear&orderLinkId=a%2Cb%3D"):
            assert (await client.rest("GET", "/v5/order/realtime", query))["retCode"] == 0
        status, headers, body = await client.raw("GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT")
        assert status == 200 and headers["X-Bapi-Limit"] == "50" and headers["X-Bapi-Limit-Status"] == "46"
        assert abs(int(headers["X-Bapi-Limit-Reset-Timestamp"]) - time.time_ns() // 1_000_000) < 5_000
        body = '{ "category":"linear",\n "symbol" : "BTCUSDT", "orderLinkId":"none"}'
        assert (await client.rest("POST", "/v5/order/cancel", body))["retCode"] == 110001
        assert (await client.raw("GET", "/v5/nowhere", ""))[0] == 404
        client.secret = "another"
        assert (await client.rest("GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT"))["retCode"] == 10004

    trade(conversation, speed=1.0)


@pytest.mark.skipif(find_spec("trustme") is None, reason="trustme is not installed")
def test_the_tls_port() -> None:
    async def run() -> None:
        async with await serve(Config(seed=3, symbols=("BTCUSDT",), parameters={"warmup_hours": 0.1}, tls=True)) as emulator:
            line = emulator.ready()
            ca = line["tls"]["ca"]  # type: ignore[index]
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca))
            async with aiohttp.ClientSession(connector=connector) as session:
                client = AccountClient(session, emulator, tls=True)
                assert client.rest_url.startswith("https://localhost:") and client.ws_url.startswith("wss://localhost:")
                assert (await client.rest("GET", "/v5/account/wallet-balance", "accountType=UNIFIED"))["retCode"] == 0
                await (await client.private("wallet")).send({"op": "ping"})
            async with aiohttp.ClientSession() as stranger:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await stranger.get(client.rest_url + "/v5/market/time")
        assert not Path(ca).exists()

    asyncio.run(run())


def test_a_venue_that_is_far_away() -> None:
    async def conversation(client: AccountClient) -> None:
        orders = await client.socket("/v5/trade")
        begin = time.monotonic()
        assert (await orders.order("cancel", symbol="BTCUSDT", orderLinkId="x"))["retCode"] == 110001
        assert time.monotonic() - begin > 0.079  # there and back
        begin = time.monotonic()
        await client.rest("GET", "/v5/market/time")
        assert time.monotonic() - begin > 0.079

    trade(conversation, latency_s=0.04, loss=0.01)


def test_two_accounts_do_not_see_one_another() -> None:
    async def conversation(client: AccountClient) -> None:
        other = AccountClient(client.session, client.emulator)
        second = client.emulator.ready()["accounts"][1]  # type: ignore[index]
        other.key, other.secret = second["api_key"], second["api_secret"]
        mine, theirs = await client.private(), await other.private()
        assert (
            await client.rest(
                "POST", "/v5/order/create", {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.010"}
            )
        )["retCode"] == 0
        await mine.row("execution", symbol="BTCUSDT")
        with pytest.raises(TimeoutError):
            await theirs.next(timeout=0.1)
        assert float((await other.rest("GET", "/v5/account/wallet-balance", "accountType=UNIFIED"))["result"]["list"][0]["totalEquity"]) == 10_000.0

    trade(conversation, accounts=2)


def test_the_command_offers_a_funded_account() -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "liqshell",
        "emulate",
        "--seed",
        "7",
        "--speed",
        "10",
        "--symbols",
        "BTCUSDT",
        "--equity",
        "2500",
        "--faults",
        '{"kind": "error", "code": 10016, "booked": 0, "operation": "create", "count": 1, "duration_s": 1e8}',
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = json.loads(process.stdout.readline())
            again = Config(seed=7)
            assert line["api_key"].startswith("emu") and len(line["api_secret"]) == 36 and again.seed == 7

            class Place:
                def ready(self) -> dict:
                    return line

            async def talk() -> None:
                async with aiohttp.ClientSession() as session:
                    client = AccountClient(session, Place())  # type: ignore[arg-type]
                    wallet = (await client.rest("GET", "/v5/account/wallet-balance", "accountType=UNIFIED"))["result"]["list"][0]
                    assert float(wallet["totalEquity"]) == 2500.0
                    body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
                    assert [(await client.rest("POST", "/v5/order/create", body))["retCode"] for _ in range(2)] == [10016, 0]

            asyncio.run(talk())
        finally:
            process.kill()


# ---- faults over sockets


async def fault(client: AccountClient, **spec: object) -> None:
    async with client.session.post(client.emulator.rest + "/emulator/fault", json=spec) as answer:
        assert answer.status == 200, await answer.text()


def test_faults_that_tear_connections() -> None:
    async def conversation(client: AccountClient) -> None:
        private, orders = await client.private(), await client.socket("/v5/trade")
        await fault(client, kind="drop", channel="trade")
        with pytest.raises(ConnectionError):
            await orders.next()
        await private.send({"op": "ping"})
        assert (await private.next())["op"] == "pong"  # the other one lives
        await fault(client, kind="refuse", channel="rest", duration_s=200)
        with pytest.raises(aiohttp.ClientError):
            await client.rest("GET", "/v5/market/time")
        await fault(client, kind="maintenance", duration_s=1e6)
        with pytest.raises(ConnectionError):
            await private.next()
        assert (await client.raw("GET", "/v5/market/time"))[0] == 503
        with pytest.raises(aiohttp.ClientError):
            await client.socket("/v5/private")

    trade(conversation, speed=100.0)


def test_an_answer_that_is_lost_leaves_the_client_waiting() -> None:
    async def conversation(client: AccountClient) -> None:
        orders = await client.socket("/v5/trade")
        await price(client)
        await fault(client, kind="lose_ack", operation="create", duration_s=1e6)
        body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
        for request in (client.rest("POST", "/v5/order/create", body), orders.order("create", **{k: v for k, v in body.items() if k != "category"})):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await request
        async with client.session.get(client.emulator.rest + "/emulator/account") as answer:
            truth = (await answer.json())[client.key]
        assert truth["positions"]["BTCUSDT"]["qty"] == 0.002
        status = client.emulator.status()
        assert status["struck"] == {"lose_ack": 2} and client.secret not in json.dumps(status)

    trade(conversation)


def test_half_open_over_a_socket() -> None:
    async def conversation(client: AccountClient) -> None:
        private, orders = await client.private(), await client.socket("/v5/trade")
        await fault(client, kind="half_open", channel="private", duration_s=0)
        assert (
            await client.rest(
                "POST", "/v5/order/create", {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
            )
        )["retCode"] == 0
        await private.ws.ping()
        with pytest.raises(TimeoutError):
            await private.next(timeout=0.3)
        assert not private.ws.closed and (await orders.order("cancel", symbol="BTCUSDT", orderLinkId="x"))["retCode"] == 110001

    trade(conversation)


def test_waiting_for_a_client_does_not_hold_the_stream_back() -> None:
    """Accounts may connect while market time stands still; what they are told later is not late by as long as they waited."""

    async def conversation(client: AccountClient) -> None:
        orders, private = await client.socket("/v5/trade"), await client.private("order")
        await asyncio.sleep(0.3)  # 30 s of market time, if it did not stand
        public = await client.session.ws_connect(client.ws_url + "/v5/public/linear")
        await public.send_str('{"op":"subscribe","args":["publicTrade.BTCUSDT"]}')
        bid, _ = await price(client)
        assert (await orders.order("create", symbol="BTCUSDT", side="Buy", orderType="Limit", qty="0.010", price=f"{bid * 0.97:.1f}"))["retCode"] == 0
        ahead = max(session.due_ns for session in client.emulator.desk.sessions) - client.emulator.now_ns()
        assert ahead < 5_000_000_000  # a few ms of the wall
        await private.row("order", orderStatus="New")
        await public.close()

    trade(conversation, speed=100.0, wait_for_client=True)
