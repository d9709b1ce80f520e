"""The public feed: connect, subscribe, watch; again after every loss, with jitter, until the run ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable

import picows

import liqcore as lc
from liqshell.clock import NS
from liqshell.live.spin import Spin
from liqshell.pipeline import Pipeline
from liqshell.sections import FeedConfig
from liqshell.venues import bybit
from liqshell.wire import FeedListener, FrameTap, WireClock

ACK_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
RECONNECT_S = (0.2, 30.0)       # first and longest pause, with full jitter
_log = logging.getLogger("liqshell.live")


class PublicFeed:
    """mark(state, ts_event): called when the feed has come up or gone down. tap: sees every data message, or None. stop: the run's end.
    spin: reads the socket without being woken, or None."""

    def __init__(self, config: FeedConfig, pipeline: Pipeline, clock: WireClock, speed: float, tls: ssl.SSLContext | None, tap: FrameTap | None,
                 mark: Callable[[lc.FeedState, int], None], stop: asyncio.Event, spin: Spin | None = None):
        self.config = config
        self.up = False
        self.reconnects = 0
        self.drops: deque[str] = deque(maxlen=20)
        self._pipeline = pipeline
        self._clock = clock
        self._speed = speed
        self._tls = tls
        self._tap = tap
        self._mark = mark
        self._stop = stop
        self._spin = spin
        self._acks: set[str] = set()
        self._lost = asyncio.Event()
        self._listener: FeedListener | None = None

    def hang_up(self) -> None:
        """Look at the end of the run now."""
        self._lost.set()

    async def run(self) -> None:
        attempt = 0
        url = self.config.ws_url + "/v5/public/linear"
        while not self._stop.is_set():
            self._lost.clear()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    transport, listener = await picows.ws_connect(self._make_listener, url, enable_auto_pong=True, max_redirects=0,
                                                                  ssl_context=self._tls if url.startswith("wss:") else None)
                assert isinstance(listener, FeedListener)
                self._listener = listener
                if self._spin is not None:
                    self._spin.watch(transport)
                    self._spin.start()
                attempt = 0 if await self._stay(transport) else attempt + 1
                reason = "the connection ended"
            except (OSError, picows.WSError, TimeoutError) as why:
                attempt += 1
                reason = f"{type(why).__name__}: {why}"
            self._down()
            if self._stop.is_set():
                return
            self.reconnects += 1
            pause = random.uniform(0.0, min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(attempt, 10)))
            self.drops.append(reason)
            _log.warning("feed lost (%s), next try in %.2f s", reason, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    def _make_listener(self) -> FeedListener:
        return FeedListener(self._pipeline.decoder.scan, self._pipeline.sink, self._on_other, tap=self._tap, clock=self._clock,
                            on_disconnected=lambda transport: self._lost.set())

    async def _stay(self, transport: picows.WSTransport) -> bool:
        """Subscribe and stay until the connection is lost, silent, or the run ends. True if it was good for anything."""
        assert self._listener is not None
        frames = bybit.subscribe_frames(self.config.symbols)
        self._acks = {req_id for req_id, _ in frames}
        for _, frame in frames:
            transport.send(picows.WSMsgType.TEXT, frame)
        beat_s = max(bybit.PING_INTERVAL_S / self._speed, 0.25)
        stale_ns = int(max(self.config.stale_after_s, self._speed) * NS)     # at least a second of the wall
        opened = pinged = time.monotonic()
        sequence = 0
        good = False
        while not self._stop.is_set() and not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), 0.05)
            now = time.monotonic()
            if not self.up and not self._acks:
                good = self.up = True
                self._mark(lc.FeedState.FEED_UP, self._clock.now_ns())
            elif self._acks and now - opened > ACK_TIMEOUT_S:
                _log.warning("no answer to %s", ", ".join(sorted(self._acks)))
                break
            if now - pinged >= beat_s:
                sequence, pinged = sequence + 1, now
                transport.send(picows.WSMsgType.TEXT, bybit.ping_frame(sequence))
            if self._listener.ts_last and self._clock.now_ns() - self._listener.ts_last > stale_ns:
                _log.warning("feed silent for more than %.1f s of market time, not even a pong: reconnecting", stale_ns / NS)
                break
        if self._spin is not None:
            self._spin.forget(transport)
        transport.disconnect()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(transport.wait_disconnected(), 1.0)
        return good

    def _on_other(self, raw: bytes, ts_recv: int) -> None:
        """Acks, pongs, and what the scanner does not know."""
        frame = self._pipeline.other(raw, ts_recv)
        if frame.kind == bybit.FrameKind.ACK:
            self._acks.discard(frame.req_id)
        elif frame.kind == bybit.FrameKind.ACK_FAILED:
            self._acks.discard(frame.req_id)
            _log.error("subscription refused: %s", frame.detail)
            self._resubscribe(frame)
        elif frame.kind == bybit.FrameKind.MALFORMED and self._pipeline.counters["malformed"] <= 10:
            _log.warning("malformed frame: %s: %s", frame.reason, frame.detail)

    def _resubscribe(self, refused: bybit.Frame) -> None:
        """One unknown topic makes the venue refuse a whole request: ask again for the others."""
        symbol = refused.req_id.removeprefix("sub-")
        named = {topic.rpartition(".")[0] for topic in refused.topics}
        rest = [topic for topic in bybit.TOPICS if topic not in named]
        if named and rest and symbol in self.config.symbols and self._listener is not None and self._listener.transport is not None:
            for req_id, frame in bybit.subscribe_frames([symbol], rest):
                self._acks.add(req_id)
                self._listener.transport.send(picows.WSMsgType.TEXT, frame)

    def _down(self) -> None:
        if self.up:
            self.up = False
            self._mark(lc.FeedState.FEED_DOWN, self._listener.ts_last if self._listener else 0)
