"""The public feed of one venue: its connections, each of which connects, subscribes, watches and comes back after every loss, and its polls by REST.

Each connection has marks of its own: its loss concerns the contracts and the streams that it carries, and no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp

import liqcore as lc
from liqshell.errors import VenueError
from liqshell.live.spin import Spin
from liqshell.live.stream import Stream
from liqshell.marks import Concern
from liqshell.sections import FeedConfig
from liqshell.sink import ConnectionSink
from liqshell.source import Source
from liqshell.venues.adapter import Poll
from liqshell.wire import FrameBuffer, TaggedTap, WireClock

POLL_TIMEOUT_S = 5.0
POLL_EVERY_MIN_S = 0.05         # wall: a rehearsal at high speed must not flood its venue
POLL_BYTES_MAX = 8 << 20
Mark = Callable[[lc.FeedState, int, int | None, tuple[Concern, ...], str], None]
_log = logging.getLogger("liqshell.live")


class VenueFeed:
    """mark(state, ts_event, ts_recv, concerns, connection): called when a connection has come up or gone down, or was silent while others spoke; whom
    it concerns, and its name. ts_recv: of the frame that ended a silence, None = now. buffer: gets every data message and every answer to a poll,
    tagged 2 * number, and 2 * number + 1 for polls; None = nothing is kept. stop: the run's end. spin: reads the sockets without being woken, or
    None. VenueError where the venue allows fewer connections than the symbols need."""

    def __init__(self, config: FeedConfig, source: Source, clock: WireClock, speed: float, tls: ssl.SSLContext | None, buffer: FrameBuffer | None,
                 number: int, mark: Mark, stop: asyncio.Event, spin: Spin | None = None):
        self.config, self.source, self.clock, self.speed = config, source, clock, speed
        self.tls, self.stop, self.spin = tls, stop, spin
        self.drops: deque[str] = deque(maxlen=20)
        self.polled = self.poll_failures = 0
        self._mark = mark
        self._polls_tap: TaggedTap | None = buffer.tagged(2 * number + 1) if buffer is not None else None
        tap = buffer.tagged(2 * number) if buffer is not None else None
        plan = source.adapter.plan(config.symbols, config.ws_url)
        most = source.adapter.limits.connections_max
        if most and len(plan) > most:
            raise VenueError(config.ws_url, f"{len(config.symbols)} symbols need {len(plan)} connections", f"at most {most}", "Name fewer symbols")
        self._concerns = source.concerns(plan)
        assert source.sink is not None
        sinks = [ConnectionSink(source.sink, source.gap_ns if one.sure else 0, partial(self._silent, n)) for n, one in enumerate(plan)]
        self.streams = [Stream(self, one, tap, n, sink) for n, (one, sink) in enumerate(zip(plan, sinks, strict=True))]

    def hang_up(self) -> None:
        """Look at the end of the run now."""
        for stream in self.streams:
            stream.hang_up()

    async def run(self) -> None:
        """Until the end of the run."""
        gap_s = self.source.adapter.limits.connect_interval_s
        async with asyncio.TaskGroup() as group:
            for n, stream in enumerate(self.streams):
                group.create_task(stream.run(n * gap_s))
            polls = self.source.adapter.polls(self.config.symbols)
            if polls:
                group.create_task(self._poll_all(polls))

    @property
    def up(self) -> bool:
        """A venue is up while all its connections are."""
        return all(one.up for one in self.streams)

    @property
    def reconnects(self) -> int:
        """Of all connections."""
        return sum(stream.reconnects for stream in self.streams)

    def lost(self, stream: Stream, why: str, was_up: bool) -> None:
        """A connection has gone down, or did not come up."""
        if not self.stop.is_set():
            self.drops.append(f"{stream.name}: {why}" if len(self.streams) > 1 else why)
        if was_up:
            self.changed(stream)

    def changed(self, stream: Stream) -> None:
        """A connection has come up or gone down."""
        state, ts_event = (lc.FeedState.FEED_UP, self.clock.now_ns()) if stream.up else (lc.FeedState.FEED_DOWN, stream.ts_last)
        self._mark(state, ts_event, None, self._concerns[stream.number], stream.name)

    def _silent(self, number: int, ts_event: int, ts_recv: int) -> None:
        """A connection speaks again after a silence in which others spoke, and in which something was sure to come."""
        stream = self.streams[number]
        stream.gaps += 1
        self._mark(lc.FeedState.FEED_GAP, ts_event, ts_recv, self._concerns[number], stream.name)

    def health(self) -> dict[str, Any]:
        """For run.json, status lines and the report."""
        adapter, sink = self.source.adapter, self.source.sink
        assert sink is not None
        return {
            "up": self.up, "completeness": adapter.completeness.name.removeprefix("COMPLETENESS_") if adapter.liquidations else "NONE",
            "symbols": len(self.config.symbols), "watched": self.source.watched, "frames": sink.frames, "events": sink.events, "gaps": sink.gaps,
            "reconnects": self.reconnects, "drops": list(self.drops), "polled": self.polled, "poll_failures": self.poll_failures,
            "decode": dict(self.source.counters), "refused": sorted({what for stream in self.streams for what in stream.refused}),
            "connections": {stream.name: {"up": stream.up, "reconnects": stream.reconnects, "frames": stream.frames, "gaps": stream.gaps}
                            for stream in self.streams}}

    # ---- polls ----

    async def _poll_all(self, polls: tuple[Poll, ...]) -> None:
        async with (aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=POLL_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()) as http,
                    asyncio.TaskGroup() as group):
            for n, poll in enumerate(polls):
                group.create_task(self._poll(http, poll, n / len(polls)))

    async def _poll(self, http: aiohttp.ClientSession, poll: Poll, phase: float) -> None:
        """One question at its pace. phase: share of its interval by which it begins later than the first, so that they do not come in bursts."""
        every_s = max(poll.every_s / self.speed, POLL_EVERY_MIN_S)
        await self._sleep(phase * every_s)
        told = False
        while not self.stop.is_set():
            why = await self._ask(http, poll)
            if why:
                self.poll_failures += 1
                if not told:
                    _log.warning("%s: poll %s failed: %s", self.source.venue, poll.name, why)
            told = bool(why)
            await self._sleep(every_s * (4.0 if why else 1.0))

    async def _ask(self, http: aiohttp.ClientSession, poll: Poll) -> str:
        """Ask once; why there was no answer, "" where there was. Nothing waits between the last byte and the engine."""
        request = poll.request
        try:
            async with http.request(request.method, self.config.rest_url + request.path, data=request.body or None, ssl=self.tls or True,
                                    allow_redirects=False, headers={"Content-Type": "application/json"} if request.body else None) as answer:
                body = await answer.read()
                if answer.status != 200 or len(body) > POLL_BYTES_MAX:
                    return f"HTTP {answer.status}, {len(body)} bytes"
        except (aiohttp.ClientError, TimeoutError, OSError) as why:
            return f"{type(why).__name__}: {why}"
        ts_recv = self.clock.now_ns()
        try:
            self.source.other(body, ts_recv, polled=True)
        finally:
            if self._polls_tap is not None:
                self._polls_tap.keep(body, ts_recv)
        self.polled += 1
        return ""

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
