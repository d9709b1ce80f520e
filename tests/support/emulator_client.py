"""A conversation with an emulator over real sockets, for tests."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp

from liqshell.clock import Clock
from liqshell.emulator.server import Config, Emulator, serve

SYMBOLS = ("BTCUSDT", "SOLUSDT")
ALL = [f"{kind}.{symbol}" for kind in ("allLiquidation", "publicTrade", "orderbook.1", "tickers") for symbol in SYMBOLS]


class Client:
    """A plain websocket client that keeps what it was sent."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session, self.emulator = session, emulator
        self.frames: list[dict] = []

    async def connect(self, **options: object) -> "Client":
        self.ws = await self.session.ws_connect(self.emulator.ws + "/v5/public/linear", **options)
        return self

    async def request(self, body: object) -> dict:
        await self.ws.send_str(body if isinstance(body, str) else json.dumps(body))
        return await self.next(lambda frame: "topic" not in frame)

    async def subscribe(self, topics: list[str]) -> None:
        assert (await self.request({"op": "subscribe", "args": topics}))["success"]

    async def next(self, wanted: Callable[[dict], bool] = lambda frame: True, timeout: float = 20.0) -> dict:
        async with asyncio.timeout(timeout):
            while True:
                received = await self.ws.receive()
                if received.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(received.type)
                frame = json.loads(received.data)
                self.frames.append(frame)
                if wanted(frame):
                    return frame

    async def rest(self, path: str) -> dict:
        async with self.session.get(self.emulator.rest + path) as response:
            assert response.status == 200 and response.headers["X-Liqcore-Market"] == self.emulator.label
            return await response.json()


def talk(conversation: Callable[[Client], Awaitable[None]], **options: object) -> None:
    """Run a conversation with a fresh emulator of two symbols."""

    async def run() -> None:
        config = Config(**{"seed": 1, "speed": 200.0, "symbols": SYMBOLS, "parameters": {"warmup_hours": 0.5}, **options})
        async with await serve(config) as emulator, aiohttp.ClientSession() as session:
            await conversation(await Client(session, emulator).connect())

    asyncio.run(run())


async def drain(client: Client) -> None:
    """Read until the market has ended and nothing more comes. On a busy machine one silence means little: what was sent may not have been read yet."""
    silent = 0
    while silent < 3:
        try:
            await client.next(timeout=0.2)
            silent = 0
        except TimeoutError:
            silent += client.emulator.finished.is_set() and not client.emulator.faults.next_ns


async def watch_pauses(clock: Clock, pauses: list[tuple[int, int]]) -> None:
    """Note when this process was away for more than 10 ms of the wall: on a busy machine the feed is then silent for no fault of its own."""
    before = clock.now_ns()
    while True:
        await asyncio.sleep(0.002)
        now = clock.now_ns()
        if clock.to_wall(now - before) > 10_000_000:
            pauses.append((before, now))
        before = now


def away(pauses: list[tuple[int, int]], start: int, end: int) -> int:
    """Market time of [start, end] in which this process did not run, ns."""
    return sum(max(0, min(end, until) - max(start, since)) for since, until in pauses)
