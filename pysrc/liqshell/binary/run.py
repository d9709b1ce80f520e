"""The desk on real sockets, with its recording: books and trades of this hour's and the next hour's market, resolutions, spot candles, fires.

The recording contains every input of the desk in order, so `replay` gives the same lines. Messages of a socket go to the recorder and to the desk in
one step, without a queue between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

import liqcore as lc
from liqshell import private
from liqshell.binary.account import Account
from liqshell.binary.desk import HELD, OUT, RULES, SPOT, VENUE, Desk, Settings
from liqshell.binary.fires import Follower
from liqshell.clock import NS, Clock, MarketTime
from liqshell.errors import ConfigError, DataError, VenueError
from liqshell.policies.hourly import HOUR
from liqshell.recording.recorder import END, META, REST, WS, Recorder
from liqshell.state.lock import Lock
from liqshell.web import AGENT, Web

BINARY = "liqcore.binary"  # a line of ours: {"fire": ..}, {"down": ..} or {"report": ..}
LINES, FRAMES = "bets.log", "frames"  # JSON lines; a name that is no recording's
SERIES = {"BTCUSDT": "10114"}  # Gamma's ids of the hourly series
AHEAD_NS, BEHIND_NS = 600 * NS, 600 * NS
LIST_S, KLINES_S, CLOSED_S, PING_S, FIRST_BOOK_S, SILENT_S = 60.0, 30.0, 60.0, 10.0, 8.0, 30.0  # market seconds
REST_S, TURN_S, RECONNECT_S = 5.0, 0.01, (0.2, 20.0)  # wall seconds
_log = logging.getLogger("liqshell.binary")


@dataclass(frozen=True)
class Places:
    """Where the parts of the venue live, and the spot market that it settles on."""

    gamma: str = "https://gamma-api.polymarket.com"
    clob: str = "https://clob.polymarket.com"
    market_ws: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    spot: str = "https://api.binance.com"
    spot_ws: str = "wss://stream.binance.com:9443/stream"

    @classmethod
    def at(cls, base: str) -> Places:
        """All at one address, as an emulator has them; "" = the real ones. ConfigError where it is no address of the web."""
        if base and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", base):
            raise ConfigError("the address of the venue", base[:200], "such as http://127.0.0.1:8080, without user name")
        base = base.rstrip("/")
        ws = "ws" + base.removeprefix("http")
        return cls(base, base, ws + "/ws/market", base, ws + "/stream") if base else cls()


class RealTime:
    """UTC as the system has it, also after the machine has slept; BinaryRun takes care that it does not run back."""

    speed = 1.0

    def now_ns(self) -> int:
        return time.time_ns()


class BinaryRun:
    """folder: new, of the run. state: file that keeps bets over restarts. follow: a run whose fires are bet on, None = nothing is bet. clock: of an
    emulated venue. account: where orders go, where the settings say that they do; it is opened already."""

    def __init__(
        self,
        settings: Settings,
        places: Places,
        folder: Path,
        *,
        state: Path | None = None,
        follow: Follower | None = None,
        clock: Clock | None = None,
        account: Account | None = None,
    ):
        if not settings.paper and account is None:
            raise ConfigError("bets", "real orders without an account", "paper, or an account")
        if settings.symbol not in SERIES:
            raise ConfigError("symbol", settings.symbol, " or ".join(SERIES), "Only series with a known rule are supported")
        self.clock: MarketTime = clock or RealTime()
        # at a fast clock half a second of the wall is minutes of the market: nothing is stale before it could have come
        least = 0.5 * self.clock.speed if self.clock.speed > 1.0 else 0.0
        self.settings = settings = replace(settings, spot_age_s=max(settings.spot_age_s, least), book_age_s=max(settings.book_age_s, least))
        self.places, self.folder, self.follow, self.account = places, Path(folder), follow, account
        self.state = state
        self._stop = asyncio.Event()
        self._wanted: set[str] = set()
        self._subscribed: set[str] = set()
        self._book_due: dict[str, int] = {}
        self._renewed: Counter[str] = Counter()
        self._asked: Counter[int] = Counter()  # hour -> how often who is paid was asked
        self._last = 0
        self._tasks: set[asyncio.Future[Any]] = set()
        self._failed: BaseException | None = None
        self.reconnects = 0
        private.folder(self.folder)
        if any(self.folder.iterdir()):
            raise ConfigError(str(self.folder), "this folder is not empty", "a new folder for the run")
        self._lock = Lock(self.state.with_suffix(".held")) if self.state is not None else None
        try:
            self._kept = self._load()
            self.desk = Desk(settings, self._kept)
        except BaseException:
            self.release()
            raise

    def stop(self) -> None:
        """End in good order."""
        self._stop.set()

    def release(self) -> None:
        """Let another process have the state; `run` does it at its end."""
        if self._lock is not None:
            self._lock.close()

    async def run(self, until_ns: int | None = None) -> dict[str, Any]:
        """Until stop() or market time; counts. VenueError where the venue does not answer at the start."""
        self._lines = private.opened(self.folder / LINES, encoding="utf-8")
        with Recorder(self.folder / FRAMES, exchange=VENUE, meta={"kind": "binary"}) as self._recorder:
            self._recorder.mark(
                self._now(),
                META,
                {
                    "binary": RULES,
                    "version": lc.__version__,
                    "settings": asdict(self.settings),
                    "state": self._kept,
                    "place": self.places.clob,
                    "speed": self.clock.speed,
                },
            )
            bases = (self.places.gamma, self.places.clob, self.places.spot)
            self._gamma, self._clob, self._spot = (Web(base, AGENT, bytes_max=8 << 20) for base in bases)
            try:
                await self._first()
                if self.account is not None:
                    self._spawn(self.account.run())
                async with asyncio.TaskGroup() as group:
                    for work in (
                        self._poll(LIST_S, self._list),
                        self._poll(KLINES_S, self._klines),
                        self._poll(CLOSED_S, self._closed),
                        self._market_stream(),
                        self._spot_stream(),
                        self._turns(until_ns),
                    ):
                        group.create_task(work)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                if self.account is not None:
                    await self.account.close()
                now = self._now()
                self.desk.advance(now)
                self._recorder.mark(now, END, {})
                self._write()
                self._lines.close()
                self.release()
                for web in (self._gamma, self._clob, self._spot):
                    await web.close()
        if self._failed is not None:
            raise self._failed
        return {
            "markets": len(self.desk.markets),
            "bets": len(self.desk.bets),
            "malformed": self.desk.malformed,
            "refused": len(self.desk.refused),
            "reconnects": self.reconnects,
            "lines": self._recorder.written,
            "equity": float(self.desk.equity),
        }

    def report(self, found: dict[str, Any]) -> None:
        """Takes the account's report of a bet; it is recorded and stored before this returns."""
        self._tell("report", found)
        self._write()

    # ---- inside ----

    def _load(self) -> dict[str, Any] | None:
        if self.state is None or not self.state.exists():
            return None
        try:
            found = json.loads(self.state.read_text())
            if not isinstance(found, dict):
                raise ValueError("no object")
            return found
        except (OSError, ValueError) as why:
            raise DataError(str(self.state), f"cannot be read: {why}", "the state file of a run", "Move it only if no bet is open") from None

    def _now(self) -> int:
        self._last = max(self._last, self.clock.now_ns())
        return self._last

    def _hear(self, exchange: str, source: str, raw: bytes) -> None:
        now = self._now()
        self._recorder.append(now, raw, exchange, source)
        self.desk.frame(now, exchange, source, raw)

    def _tell(self, what: str, about: Any) -> None:
        """what: the desk's "report", "down" or "fire"."""
        now = self._now()
        self._recorder.mark(now, BINARY, {what: about})
        getattr(self.desk, what)(now, about)

    def _write(self) -> None:
        """Lines to the file, and the state where something that it has may have changed."""
        if not self.desk.lines:
            return
        self._recorder.flush()  # what led to them is kept before they are: a replay of a killed run has all of its lines
        lines, self.desk.lines = self.desk.lines, []
        if self.state is not None and any(line["kind"] in ("bet", "settled", "alarm") for line in lines):
            draft = self.state.with_suffix(".new")
            private.write(draft, json.dumps(self.desk.snapshot()))
            os.replace(draft, self.state)
        for line in lines:
            if line["kind"] in ("alarm", "refused"):
                _log.error("%s", line)
            self._lines.write(json.dumps(line, sort_keys=True) + "\n")
        self._lines.flush()

    async def _turns(self, until_ns: int | None) -> None:
        """Serve deadlines, fires, orders; end everything."""
        while not self._stop.is_set() and (until_ns is None or self._now() < until_ns):
            for event in self.follow.news() if self.follow is not None else ():
                self._tell(
                    "fire",
                    {"side": event.side, "ts": event.ts, "contract": event.contract}
                    if event.kind == "fire"
                    else {"exhausted": event.side, "ts": event.ts, "contract": event.contract, "side": 0},
                )
            self.desk.advance(self._now())
            self._write()  # the state knows of an order before the venue does
            requests, self.desk.requests = self.desk.requests, []
            for request in requests:
                assert self.account is not None
                self._spawn(self.account.send(request))
            now = self._now()
            self._wanted = {
                token
                for market in self.desk.markets.values()
                if market.start_ns - AHEAD_NS <= now < market.end_ns + BEHIND_NS
                for token in (market.up, market.down)
            }
            await asyncio.sleep(TURN_S)
        self.stop()

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (why := task.exception()) is not None:
            _log.error("the run ends: %s: %s", type(why).__name__, why)
            self._failed = self._failed or why
            self.stop()

    async def _pause(self, market_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(market_s / self.clock.speed, TURN_S))

    async def _ask(self, web: Web, target: str, exchange: str) -> bool:
        """One question; its answer goes to recording and desk."""
        reply = await web.ask("GET", target, asyncio.get_running_loop().time() + REST_S)
        if reply.status == 200:
            self._hear(exchange, REST, reply.body)
        else:
            _log.warning("%s%s: %s", web.base, target[:80], reply.why or f"HTTP {reply.status}")
        return reply.status == 200

    async def _first(self) -> None:
        for work, where in ((self._list, self.places.gamma), (self._klines, self.places.spot)):
            if not await work():
                # not "ADDRESS: no": a path that ends like the name of a secret would have the next word masked
                raise VenueError(
                    "the hourly markets", f"no answer from {where}", "the list of markets and the spot candles", "Check the network", passing=True
                )

    async def _poll(self, every_s: float, work: Callable[[], Awaitable[bool]]) -> None:
        while not self._stop.is_set():
            await self._pause(every_s)
            await work()

    async def _list(self) -> bool:
        query = {"series_id": SERIES[self.settings.symbol], "closed": "false", "limit": 100}
        return await self._ask(self._gamma, "/events?" + urlencode(query), VENUE)

    async def _klines(self) -> bool:
        return await self._ask(self._spot, "/api/v3/klines?" + urlencode({"symbol": self.settings.symbol, "interval": "1h", "limit": 48}), SPOT)

    async def _closed(self) -> bool:
        """Markets whose hour is over and whose winner is not known: those with bets first, the others in turns, so that hours without an answer do
        not block queries about others."""
        now = self._now()
        over: dict[int, str] = {one.start_ns: one.condition for one in self.desk.markets.values() if now - 24 * HOUR < one.end_ns <= now}
        over |= {bet.hour: bet.condition for bet in self.desk.bets if bet.state in (*OUT, *HELD) and bet.hour + HOUR <= now}
        bets = {bet.hour for bet in self.desk.bets}
        unsaid = (hour for hour in over if hour not in self.desk.said or hour in self.desk.early | self.desk.unclear)
        left = sorted(unsaid, key=lambda hour: (self._asked[hour], hour not in bets, -hour))[:3]
        for hour in left:
            self._asked[hour] += 1
        return all([await self._ask(self._gamma, "/markets?" + urlencode({"condition_ids": over[hour], "closed": "true"}), VENUE) for hour in left])

    async def _stay(self, name: str, url: str, work: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]]) -> None:
        """Connect again after every loss."""
        attempt = 0
        async with aiohttp.ClientSession(headers=AGENT, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while not self._stop.is_set():
                try:
                    async with asyncio.timeout(10.0):
                        socket = await session.ws_connect(url, max_msg_size=8 << 20, autoping=True)
                    async with socket:
                        attempt = 0
                        await work(socket)
                    why = "the connection ended"
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    why = f"{type(error).__name__}: {error}"
                if self._stop.is_set():
                    return
                self._tell("down", name)
                self.reconnects += 1
                attempt += 1
                pause = random.uniform(0.0, min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(attempt, 10)))
                _log.warning("%s lost (%s), next try in %.2f s", name, why, pause)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, exchange: str, turn: Callable[[], Awaitable[bool]] | None) -> None:
        """Frames until the socket ends, is silent, or turn() says no. turn is asked after each frame and at least every 20 ms."""
        heard = self._now()
        silent_ns = max(SILENT_S, 2.0 * self.clock.speed) * NS
        while not self._stop.is_set() and (turn is None or await turn()):
            try:
                message = await socket.receive(timeout=0.02)
            except TimeoutError:
                if self._now() - heard > silent_ns:
                    return
                continue
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                heard = self._now()
                self._hear(exchange, WS, message.data.encode() if isinstance(message.data, str) else message.data)
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                return

    async def _market_stream(self) -> None:
        while not self._wanted and not self._stop.is_set():  # nothing to ask for between two series
            await asyncio.sleep(TURN_S)
        await self._stay(VENUE, self.places.market_ws, self._market_socket)

    async def _market_socket(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._subscribed = set(self._wanted)
        self._book_due = dict.fromkeys(self._subscribed, self._now())
        await socket.send_json({"assets_ids": sorted(self._subscribed), "type": "market", "custom_feature_enabled": True})
        pinged = self._now()

        async def turn() -> bool:
            nonlocal pinged
            new, old = self._wanted - self._subscribed, self._subscribed - self._wanted
            for tokens, operation in ((new, "subscribe"), (old, "unsubscribe")):
                if tokens:
                    await socket.send_json({"assets_ids": sorted(tokens), "operation": operation})
            now = self._now()
            self._book_due |= dict.fromkeys(new, now)
            self._subscribed = set(self._wanted)
            if now - pinged > PING_S * NS:
                pinged = now
                await socket.send_str("PING")
            return await self._books_come(now)

        await self._read(socket, VENUE, turn)

    async def _books_come(self, now: int) -> bool:
        """A token without a whole book is asked for by REST. One of the running hour that has none then either has the connection opened again, twice
        at most: others may be well, and a market may be made before its book."""
        patience = max(FIRST_BOOK_S, 1.0 * self.clock.speed) * NS
        for token in self._subscribed & self.desk.books.keys():
            if self.desk.books[token].known:
                self._book_due.pop(token, None)
                continue
            since = self._book_due.setdefault(token, now)
            if since > 0 and now - since > patience / 4:
                self._book_due[token] = -since
                self._spawn(self._ask(self._clob, "/book?" + urlencode({"token_id": token}), VENUE))
            elif since < 0 and now + since > patience:
                self._book_due.pop(token)
                begun = any(token in (one.up, one.down) and one.start_ns <= now < one.end_ns for one in self.desk.markets.values())
                if begun and self._renewed[token] < 2:
                    self._renewed[token] += 1
                    _log.warning("no book of %s…: connects again", token[:12])
                    return False
        return True

    async def _spot_stream(self) -> None:
        name = self.settings.symbol.lower()
        url = f"{self.places.spot_ws}?streams={name}@kline_1h/{name}@aggTrade"
        await self._stay(SPOT, url, lambda socket: self._read(socket, SPOT, None))
