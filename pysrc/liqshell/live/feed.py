"""The public feed of one venue: its connections, which subscribe, watch and reconnect after every loss, and its polls by REST.

Each connection has its own marks: its loss concerns only the contracts and streams that it carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

import liqcore as lc
from liqcore.event import Stream
from liqshell.config.sections import FeedConfig
from liqshell.errors import VenueError
from liqshell.live.node import POLL_S, NodeTail
from liqshell.live.spin import Spin
from liqshell.live.stream import Stream as Socket
from liqshell.live.stream import Surroundings, Tee
from liqshell.recording.marks import Concern
from liqshell.recording.recorder import REST, Recorder
from liqshell.recording.streams import BITS
from liqshell.run.feed_listener import WireClock
from liqshell.run.sink import ConnectionSink
from liqshell.run.venue_source import Source
from liqshell.venues.adapter import ALL_STREAMS, Poll

POLL_TIMEOUT_S = 5.0
POLL_EVERY_MIN_S = 0.05  # wall: a rehearsal at high speed must not flood its venue
POLL_BYTES_MAX = 8 << 20
Mark = Callable[[lc.FeedState, int, int | None, tuple[Concern, ...], str], None]
_log = logging.getLogger("liqshell.live")


class VenueFeed:
    """mark(state, ts_event, ts_recv, concerns, connection): called when a connection has come up or gone down, or was silent while others spoke; whom
    it concerns, and its name. ts_recv: of the frame that ended a silence, None = now. recorder: gets every data message and every answer to a poll;
    None = nothing is kept. stop: the run's end. spin: reads the sockets without being woken, or
    None. only: bits of the Streams to ask for. tee: what to put before the sink of each connection. VenueError where the venue allows fewer
    connections than the symbols need."""

    def __init__(
        self,
        config: FeedConfig,
        source: Source,
        clock: WireClock,
        speed: float,
        tls: ssl.SSLContext | None,
        recorder: Recorder | None,
        mark: Mark,
        stop: asyncio.Event,
        spin: Spin | None = None,
        only: int = ALL_STREAMS,
        tee: Callable[[ConnectionSink], Tee] | None = None,
    ):
        self.config, self.source, self.clock, self.speed = config, source, clock, speed
        self.tls, self.stop = tls, stop
        self.drops: deque[str] = deque(maxlen=20)
        self.polled = self.poll_failures = 0
        self._mark = mark
        self._polls_tap = recorder.tap(source.venue, REST) if recorder is not None else None
        tap = recorder.tap(source.venue) if recorder is not None else None
        try:
            plan = source.adapter.plan(config.symbols, config.ws_url, only, config.every)
        except ValueError as why:
            raise VenueError(config.ws_url, str(why), "", "Name fewer symbols") from None
        self._polls = source.adapter.polls(config.symbols) if only & Stream.STREAM_OPEN_INTEREST else ()
        most = source.adapter.limits.connections_max
        if most and len(plan) > most:
            raise VenueError(config.ws_url, f"{len(config.symbols)} symbols need {len(plan)} connections", f"at most {most}", "Name fewer symbols")
        self._concerns = source.concerns(plan)
        self._node = NodeTail(Path(config.node), config.symbols) if config.node else None
        self.node_up = self._node is None
        assert source.sink is not None
        sinks = [ConnectionSink(source.sink, source.gap_ns if one.sure else 0, partial(self._silent, n)) for n, one in enumerate(plan)]
        around = Surroundings(source, clock, speed, tls, stop, spin, config.stale_after_s, self.changed, self.lost)
        self.streams = [Socket(around, one, tap, n, tee(sink) if tee else sink) for n, (one, sink) in enumerate(zip(plan, sinks, strict=True))]

    def hang_up(self) -> None:
        """Look at the end of the run now."""
        for stream in self.streams:
            stream.hang_up()

    def renew(self, symbols: Sequence[str]) -> None:
        """Subscribe anew what is asked for about these contracts: the connections that carry them are opened again."""
        ours = self.source.symbols
        wanted = {-1, *(self.source.first + ours.index(name) for name in symbols if name in ours)}  # -1: a connection that carries all
        for stream in self.streams:
            if any(n in wanted for n, _ in self._concerns[stream.number]):
                stream.renew(f"{', '.join(symbols)[:80]} subscribed again")

    async def run(self) -> None:
        """Until the end of the run."""
        gap_s = self.source.adapter.limits.connect_interval_s
        async with asyncio.TaskGroup() as group:
            for n, stream in enumerate(self.streams):
                group.create_task(stream.run(n * gap_s))
            if self._polls:
                group.create_task(self._poll_all(self._polls))
            if self._node is not None:
                group.create_task(self._follow(self._node))

    @property
    def up(self) -> bool:
        """A venue is up while all its connections are, and the node's files grow where it has one."""
        return self.node_up and all(one.up for one in self.streams)

    @property
    def reconnects(self) -> int:
        """Of all connections."""
        return sum(stream.reconnects for stream in self.streams)

    def lost(self, stream: Socket, why: str, was_up: bool) -> None:
        """A connection has gone down, or did not come up."""
        if not self.stop.is_set():
            self.drops.append(f"{stream.name}: {why}" if len(self.streams) > 1 else why)
        if was_up:
            self.changed(stream)

    def changed(self, stream: Socket) -> None:
        """A connection has come up or gone down."""
        concerns = self._concerns[stream.number]
        if not stream.up:
            return self._mark(lc.FeedState.FEED_DOWN, stream.ts_last, None, concerns, stream.name)
        missing, rest = self.source.split(concerns, stream.refused)
        if missing:  # what the venue does not give is not up with the others
            self._mark(lc.FeedState.FEED_DOWN, self.clock.now_ns(), None, missing, stream.name)
        if rest:
            self._mark(lc.FeedState.FEED_UP, self.clock.now_ns(), None, rest, stream.name)
        return None

    def _silent(self, number: int, ts_event: int, ts_recv: int) -> None:
        """A connection sends again after a silence in which others sent and in which data was certain."""
        stream = self.streams[number]
        stream.gaps += 1
        self._mark(lc.FeedState.FEED_GAP, ts_event, ts_recv, self._concerns[number], stream.name)

    def health(self) -> dict[str, Any]:
        """For run.json, status lines and the report."""
        adapter, sink = self.source.adapter, self.source.sink
        assert sink is not None
        return {
            "up": self.up,
            "completeness": "FULL"
            if self._node is not None
            else adapter.completeness.name.removeprefix("COMPLETENESS_")
            if adapter.liquidations
            else "NONE",
            "symbols": len(self.config.symbols),
            "watched": self.source.watched,
            "frames": sink.frames,
            "events": sink.events,
            "gaps": sink.gaps,
            "late": sink.late.count if sink.late is not None else 0,
            "reconnects": self.reconnects,
            "drops": list(self.drops),
            "polled": self.polled,
            "poll_failures": self.poll_failures,
            "decode": dict(self.source.counters),
            "unknown_keys": self.source.decoder.scan.unknown,
            "unknown_key": self.source.decoder.scan.unknown_key,
            "refused": sorted({what for stream in self.streams for what in stream.refused}),
            "connections": {
                stream.name: {"up": stream.up, "reconnects": stream.reconnects, "frames": stream.frames, "gaps": stream.gaps}
                for stream in self.streams
            },
            **({} if self._node is None else {"node": {"up": self.node_up, "lines": self._node.lines, "unread": self._node.unread}}),
        }

    # ---- the files of a node ----

    async def _follow(self, node: NodeTail) -> None:
        """Its liquidations enter as answers to polls do: they are no sign of life of the connections. Every block of the venue has fills, so a file
        that has not grown for `stale_after_s` is one that was lost."""
        ts_last = self.clock.now_ns()
        self._node_is(False, ts_last)
        logged = False
        while not self.stop.is_set():
            lines, why = node.lines, ""
            try:
                frames = node.read()
            except OSError as wrong:
                frames, why = [], str(wrong)
                if not logged:
                    _log.warning("%s: the files of the node cannot be read: %s", self.source.venue, why)
            logged, now = bool(why), self.clock.now_ns()
            if node.lines > lines:
                ts_last = now
                if not self.node_up:
                    self._node_is(True, now)
            elif self.node_up and now - ts_last > self.config.stale_after_s * lc.SECOND:
                self._node_is(False, ts_last)
            for frame in frames:
                ts_recv = self.clock.now_ns()
                try:
                    self.source.other(frame, ts_recv, polled=True)
                finally:
                    if self._polls_tap is not None:
                        self._polls_tap.keep(frame, ts_recv)
            await self._sleep(POLL_S if node.lines == lines else 0.0)
        node.close()

    def _node_is(self, up: bool, ts_event: int) -> None:
        self.node_up = up
        self._mark(
            lc.FeedState.FEED_UP if up else lc.FeedState.FEED_DOWN,
            ts_event,
            None,
            tuple((n, BITS["liquidations"]) for n in self.source.instruments),
            "node",
        )

    # ---- polls ----

    async def _poll_all(self, polls: tuple[Poll, ...]) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=POLL_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()) as http,
            asyncio.TaskGroup() as group,
        ):
            for n, poll in enumerate(polls):
                group.create_task(self._poll(http, poll, n / len(polls)))

    async def _poll(self, http: aiohttp.ClientSession, poll: Poll, phase: float) -> None:
        """One question at its pace. phase: share of its interval by which it begins later than the first, so that they do not come in bursts."""
        every_s = max(poll.every_s / self.speed, POLL_EVERY_MIN_S)
        await self._sleep(phase * every_s)
        logged = False
        while not self.stop.is_set():
            why = await self._ask(http, poll)
            if why:
                self.poll_failures += 1
                if not logged:
                    _log.warning("%s: poll %s failed: %s", self.source.venue, poll.name, why)
            logged = bool(why)
            await self._sleep(every_s * (4.0 if why else 1.0))

    async def _ask(self, http: aiohttp.ClientSession, poll: Poll) -> str:
        """Ask once; why there was no answer, "" where there was. Nothing waits between the last byte and the engine."""
        request = poll.request
        try:
            async with http.request(
                request.method,
                self.config.rest_url + request.path,
                data=request.body or None,
                ssl=self.tls or True,
                allow_redirects=False,
                headers={"Content-Type": "application/json"} if request.body else None,
            ) as answer:
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
