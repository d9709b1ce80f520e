"""The account adapter and doctor against the emulated venue over sockets: two spellings of the same documents, each by another hand."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from test_bybit_orders import request
from yarl import URL

from account_client import trade
from liqcore.event import Action, OrderType
from liqcore.instrument import Instrument
from liqshell.config.load import loads
from liqshell.doctor import examine, gather
from liqshell.transport import Endpoint, tls_context
from liqshell.venues.bybit import orders as bybit_orders
from liqshell.venues.bybit import private_stream as bybit_private
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as answers
from liqshell.venues.bybit.decoder import ping_frame
from liqshell.venues.bybit.error_codes import outcome
from liqshell.venues.bybit.private_stream import Report, ReportKind, read_frame
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.signing import Keys, private_auth_frame, rest_headers, trade_auth_frame
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Standing

BOTH = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
SYMBOL = "BTCUSDT"


class Adapter:
    """The least driver that the pure functions need."""

    def __init__(self, client: Any) -> None:
        self.http, self.rest, self.ws = client.session, client.rest_url, client.ws_url
        self.keys, self.tls = Keys(client.key, client.secret), tls_context((client.emulator.ready().get("tls") or {}).get("ca", ""), self.rest)
        self.sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def call(self, made: Request) -> tuple[int, bytes, Any]:
        url = URL(self.rest + made.path + (f"?{made.query}" if made.query else ""), encoded=True)
        headers = rest_headers(self.keys, Endpoint(self.rest, self.tls), time.time_ns() // 1_000_000, made.query or made.body)
        async with self.http.request(made.method, url, data=made.body.encode() or None, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def do(self, made: Request, asked: Asked) -> answers.Verdict:
        status, body, _ = await self.call(made)
        return answers.interpret_reply(status, body, asked)

    async def get(self, made: Request, parse: Any) -> Any:
        _, body, _ = await self.call(made)
        found = parse(body)
        assert found.ok, found.reason
        return found.value

    async def socket(self, path: str, *frames: bytes) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(self.ws + path)
        for frame in frames:
            await socket.send_str(frame.decode())
        return socket


async def until(socket: aiohttp.ClientWebSocketResponse, wanted: Any) -> Report:
    """The first report that fits; every frame on the way must have been readable."""
    async with asyncio.timeout(120):
        while True:
            report = read_frame((await socket.receive()).data)
            assert report.kind != ReportKind.MALFORMED and not report.refused, report
            if wanted(report):
                return report


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def last_price(adapter: Adapter) -> float:
    while True:
        found = answers.parse_last_price((await adapter.call(bybit_rest.tickers(SYMBOL)))[1])
        if found.ok and found.value:
            return found.value
        await asyncio.sleep(0.02)


@BOTH
def test_a_trade_by_websocket_and_what_rest_says_of_it(side: int) -> None:
    async def conversation(client: Any) -> None:
        adapter = Adapter(client)
        private = await adapter.socket(
            "/v5/private",
            private_auth_frame(adapter.keys, Endpoint(adapter.ws), wall_ms()),
            bybit_private.subscribe_frame(),
            ping_frame(1),
        )
        assert (await until(private, lambda r: r.kind in (ReportKind.ACK, ReportKind.ACK_FAILED))).kind == ReportKind.ACK
        await until(private, lambda r: r.kind == ReportKind.ACK and r.operation == "subscribe")
        await until(private, lambda r: r.kind == ReportKind.PONG)
        orders = await adapter.socket("/v5/trade", trade_auth_frame(adapter.keys, Endpoint(adapter.ws), wall_ms()), bybit_private.trade_ping(1))
        assert (await until(orders, lambda r: r.kind in (ReportKind.ACK, ReportKind.ACK_FAILED))).operation == "auth"
        await until(orders, lambda r: r.kind == ReportKind.PONG)

        encoder = bybit_orders.order_encoder("rt", [Instrument(SYMBOL, tick_size="0.10", lot_size="0.001")])
        price = await last_price(adapter)
        stop = round(price * (1 - side * 0.1) * 10)
        frame = encoder.encode(request(id=0x1001, side=side, type=OrderType.ORDER_MARKET, price=0, qty=10, stop=stop), wall_ms())
        await orders.send_str(frame.decode())
        reply = (await until(orders, lambda r: r.kind == ReportKind.REPLY)).reply
        assert reply is not None and reply.code == 0 and outcome(reply.code, Asked.CREATE) == Outcome.ACCEPTED
        assert bybit_orders.parse_request_id(reply.request_id) == (Action.ACTION_CREATE, 7, 0x1001) and reply.link_id == "rt-1001"
        filled = await until(private, lambda r: any(o.link_id == "rt-1001" and o.standing == Standing.FILLED for o in r.orders))
        order = next(o for o in filled.orders if o.link_id == "rt-1001")
        assert (order.side, order.executed, order.market) == (side, 0.01, True)

        held = next(p for p in await adapter.get(bybit_rest.positions(SYMBOL), answers.parse_positions))
        assert (held.side, held.qty, held.stop_loss, held.index) == (side, 0.01, stop / 10, 0) and abs(held.entry / price - 1) < 0.01
        (every,) = await adapter.get(bybit_rest.positions(), answers.parse_positions)
        assert replace(every, mark=held.mark) == held  # the market has gone on meanwhile
        resting = await adapter.get(bybit_rest.open_orders(), answers.parse_orders)
        assert [(o.stop_kind, o.standing, o.trigger, o.side) for o in resting] == [("StopLoss", Standing.WAITING, stop / 10, -side)]
        (fill,) = await adapter.get(bybit_rest.executions(link_id="rt-1001", symbol=SYMBOL), answers.parse_executions)
        assert (fill.side, fill.qty, fill.kind, fill.maker, fill.order_id) == (side, 0.01, "Trade", False, order.order_id) and fill.fee > 0
        for made in (bybit_rest.order_now(SYMBOL, "rt-1001"), bybit_rest.order_past(SYMBOL, "rt-1001")):
            (found,) = await adapter.get(made, answers.parse_orders)
            assert (found.order_id, found.standing) == (order.order_id, Standing.FILLED)
        assert await adapter.get(bybit_rest.order_now(SYMBOL, "rt-9999"), answers.parse_orders) == ()

        moved = round(price * (1 - side * 0.08), 1)
        assert (await adapter.do(bybit_rest.trading_stop(SYMBOL, stop_loss=f"{moved:.1f}"), Asked.STOP)).outcome == Outcome.ACCEPTED
        await until(private, lambda r: any(p.stop_loss == moved for p in r.positions))
        # the same order by REST, out reduce-only
        verdict = await adapter.do(bybit_rest.create(SYMBOL, "rt-1002", -side, "0.010", reduce_only=True), Asked.CREATE)
        assert (verdict.outcome, verdict.link_id) == (Outcome.ACCEPTED, "rt-1002")
        await until(private, lambda r: any(p.symbol == SYMBOL and p.side == 0 for p in r.positions))
        assert (await adapter.get(bybit_rest.wallet(), answers.parse_wallet)).equity < 10_000.0
        await private.close()
        await orders.close()

    trade(conversation)


@BOTH
def test_what_becomes_of_requests(side: int) -> None:
    async def conversation(client: Any) -> None:
        adapter = Adapter(client)
        price = await last_price(adapter)
        far = f"{price * (1 - side * 0.03):.1f}"
        create = bybit_rest.create(SYMBOL, "q-1", side, "0.010", far, post_only=True)
        assert (await adapter.do(create, Asked.CREATE)).outcome == Outcome.ACCEPTED
        assert (await adapter.do(create, Asked.CREATE)).outcome == Outcome.LANDED  # the same id again: the first one is there
        amended = bybit_rest.amend(SYMBOL, "q-1", price=f"{price * (1 - side * 0.04):.1f}")
        assert (await adapter.do(amended, Asked.AMEND)).outcome == Outcome.ACCEPTED
        assert (await adapter.do(bybit_rest.cancel(SYMBOL, "q-1"), Asked.CANCEL)).outcome == Outcome.ACCEPTED
        for _ in range(100):
            if not await adapter.get(bybit_rest.open_orders(SYMBOL), answers.parse_orders):
                break
            await asyncio.sleep(0.02)
        assert (await adapter.do(bybit_rest.cancel(SYMBOL, "q-1"), Asked.CANCEL)).outcome == Outcome.GONE
        assert (await adapter.do(bybit_rest.amend(SYMBOL, "never", price=far), Asked.AMEND)).outcome == Outcome.GONE
        assert (
            await adapter.do(bybit_rest.create(SYMBOL, "q-2", -side, "0.010", reduce_only=True), Asked.CREATE)
        ).outcome == Outcome.DONE  # flat already
        assert (await adapter.do(bybit_rest.create(SYMBOL, "q-3", side, "900000"), Asked.CREATE)).outcome == Outcome.REJECTED
        assert (await adapter.do(bybit_rest.create("NOSUCHUSDT", "q-4", side, "1"), Asked.CREATE)).outcome in (Outcome.REJECTED, Outcome.HALT_SYMBOL)
        assert (await adapter.do(bybit_rest.set_leverage(SYMBOL, "7"), Asked.SETTING)).outcome == Outcome.DONE
        assert (await adapter.do(bybit_rest.set_leverage(SYMBOL, "7"), Asked.SETTING)).outcome == Outcome.DONE
        switch = Request("POST", "/v5/position/switch-mode", "", json.dumps({"category": "linear", "symbol": SYMBOL, "mode": 0}), "setting")
        assert (await adapter.do(switch, Asked.SETTING)).outcome == Outcome.DONE
        assert (await adapter.do(Request("GET", "/v5/no/such/path"), Asked.QUERY)).outcome == Outcome.FATAL
        _, body, headers = await adapter.call(bybit_rest.open_orders())
        assert {name.lower(): value for name, value in headers.items()}["x-bapi-limit"] == "50"
        adapter.keys = Keys(client.key, "notTheSecret00")
        verdict = await adapter.do(bybit_rest.wallet(), Asked.QUERY)
        assert verdict.outcome == Outcome.FATAL and client.key not in repr(verdict)

    trade(conversation)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_doctor_finds_an_emulated_account_healthy(tmp_path: Any, tls: bool) -> None:
    async def conversation(client: Any) -> None:
        line = client.emulator.ready()
        place = line["tls"] if tls else line
        ca = f"ca = '{place['ca']}'\n" if tls else ""
        config = loads(
            f"[feed]\nsymbols = ['BTCUSDT', 'SOLUSDT']\nrest = '{place['rest']}'\nws = '{place['ws']}'\n{ca}[run]\nout = '{tmp_path}/runs'\n"
            "[policy]\nnotional = 2000\n"
        )
        await last_price(Adapter(client))
        facts = await gather(config, Keys(client.key, client.secret), samples=5)
        assert facts.unsafe is None and facts.emulator == "SYNTHETIC" and facts.speed == client.emulator.config.speed
        checks = examine(config, facts)
        assert not [(check.id, check.text) for check in checks if check.verdict == "fail"], json.dumps(facts.missing)
        seen = {check.id for check in checks}
        assert {
            "venue",
            "clock",
            "latency",
            "disk",
            "symbols",
            "keys.withdraw",
            "keys.trade",
            "account",
            "wallet",
            "fees",
            "leverage",
            "positions",
            "orders",
            "dead_man",
            "limits",
            "config",
        } <= seen
        wrong = examine(config, await gather(config, Keys(client.key, "notTheSecret00"), samples=3))
        assert next(check for check in wrong if check.id == "keys").verdict == "fail"

    trade(conversation, tls=tls)
