"""A raw client of an emulated account over real sockets, for tests: aiohttp, and signatures of its own."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from desk_client import sign
from liqshell.emulator.server import Config, Emulator, serve


class AccountClient:
    """REST and any number of websockets of one account. now_ms: the clock that it stamps with."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator, now_ms: Callable[[], int] | None = None, tls: bool = False) -> None:
        self.session, self.emulator = session, emulator
        line: Any = emulator.ready()
        place = line["tls"] if tls else line
        self.rest_url, self.ws_url, self.key, self.secret = place["rest"], place["ws"], line["api_key"], line["api_secret"]
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.requests = 0
        self.lead_ms = 5_000  # of its clock, until a signature for a websocket expires

    async def socket(self, path: str, expires_as_text: bool = False) -> "Socket":
        """An authenticated websocket."""
        socket = Socket(await self.session.ws_connect(self.ws_url + path), self)
        expires: int | str = self.now_ms() + self.lead_ms
        await socket.send(
            {"op": "auth", "args": [self.key, str(expires) if expires_as_text else expires, sign(self.secret, f"GET/realtime{expires}")]}
        )
        reply = await socket.next(lambda frame: frame.get("op") == "auth")
        assert reply.get("success", reply.get("retCode") == 0), reply
        return socket

    async def private(self, *topics: str) -> "Socket":
        socket = await self.socket("/v5/private")
        await socket.send({"op": "subscribe", "args": list(topics or ("order", "execution", "position", "wallet"))})
        assert (await socket.next(lambda frame: frame.get("op") == "subscribe"))["success"]
        return socket

    async def raw(self, method: str, path: str, text: str = "", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of a signed request. text: query or body, sent and signed as it is."""
        stamp = str(self.now_ms())
        made = {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(self.secret, f"{stamp}{self.key}5000{text}"),
            "Content-Type": "application/json",
            **headers,
        }
        from yarl import URL

        url = URL(self.rest_url + path + (f"?{text}" if method == "GET" and text else ""), encoded=True)
        async with self.session.request(method, url, data=text.encode() if method == "POST" else None, headers=made) as answer:
            return answer.status, answer.headers, await answer.read()

    async def rest(self, method: str, path: str, text: str | Mapping[str, Any] = "") -> dict[str, Any]:
        _, _, body = await self.raw(method, path, text if isinstance(text, str) else json.dumps(text))
        return json.loads(body)


class Socket:
    """One websocket that keeps what it was sent."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, client: AccountClient) -> None:
        self.ws, self.client = ws, client
        self.frames: list[dict[str, Any]] = []

    async def send(self, body: Mapping[str, Any]) -> None:
        await self.ws.send_str(json.dumps(body))

    async def next(self, wanted: Callable[[dict[str, Any]], bool] = lambda frame: True, timeout: float = 20.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout):
            while True:
                received = await self.ws.receive()
                if received.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(received.type)
                frame = json.loads(received.data)
                self.frames.append(frame)
                if wanted(frame):
                    return frame

    async def row(self, topic: str, timeout: float = 20.0, **fields: Any) -> dict[str, Any]:
        """The next row of a topic with these values."""

        def fits(row: Mapping[str, Any]) -> bool:
            return all(row.get(name) == value for name, value in fields.items())

        frame = await self.next(lambda frame: frame.get("topic") == topic and any(map(fits, frame["data"])), timeout)
        return next(filter(fits, frame["data"]))

    async def order(self, op: str, **fields: Any) -> dict[str, Any]:
        """An order operation and its answer."""
        client = self.client
        client.requests += 1
        number = f"r{client.requests}"
        await self.send(
            {"reqId": number, "op": f"order.{op}", "header": {"X-BAPI-TIMESTAMP": str(client.now_ms())}, "args": [{"category": "linear", **fields}]}
        )
        return await self.next(lambda frame: frame.get("reqId") == number)


def trade(conversation: Callable[[AccountClient], Awaitable[None]], **options: Any) -> None:
    """Run a conversation with a fresh emulator."""

    async def run() -> None:
        config = Config(**{"seed": 3, "speed": 20.0, "symbols": ("BTCUSDT", "SOLUSDT"), "parameters": {"warmup_hours": 0.3}, **options})
        async with await serve(config) as emulator, aiohttp.ClientSession() as session:
            await conversation(AccountClient(session, emulator))

    asyncio.run(run())
