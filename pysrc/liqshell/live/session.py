"""The live run: sockets, timers and signals around a pipeline. Paper trading on a real or emulated public feed.

No await stands between the bytes of a frame and the engine: the compiled listener calls the sink in the read callback. What follows (recording,
audit to disk, progress) happens on a timer afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import json
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import picows

import liqcore as lc
from liqshell.clock import NS, Clock
from liqshell.config import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.journal import FRAMES, Journal
from liqshell.pipeline import Pipeline, settings
from liqshell.record import END, FEED, META, Recorder
from liqshell.venues import bybit, bybit_instruments
from liqshell.wire import FeedListener, FrameBuffer, WireClock

TICK_S = 0.002                  # of timers: deadlines are served at their own moment, whenever we look
HOUSEKEEPING_S = 0.1            # tap -> recorder, audit -> disk
ACK_TIMEOUT_S = 10.0
PAGES_MAX = 100                 # of the instrument list; a venue that never ends it would hold the start for ever
RECONNECT_S = (0.2, 30.0)       # first and longest pause, with full jitter
REST_TIMEOUT_S = 10.0
_log = logging.getLogger("liqshell.live")


async def fetch_instruments(rest: str, symbols: tuple[str, ...]) -> tuple[lc.Instrument, ...]:
    """The venue's own filters of the configured symbols. VenueError where it does not answer, ConfigError for a symbol that it does not trade."""
    found: dict[str, lc.Instrument] = {}
    cursor = ""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_TIMEOUT_S)) as session:
            for _ in range(PAGES_MAX):
                async with session.get(rest + bybit_instruments.instruments_path(cursor)) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise VenueError(rest, f"HTTP {answer.status}: {body[:200]!r}", "the list of instruments")
                page = bybit_instruments.parse_instruments(body)
                found |= {i.symbol: i for i in page.instruments}
                cursor = page.cursor
                if not cursor:
                    break
    except (aiohttp.ClientError, TimeoutError, ValueError) as why:
        raise VenueError(rest, f"no list of instruments: {type(why).__name__} {why}", "", "Check [feed] and the network") from None
    problems = []
    for symbol in symbols:
        if symbol not in found:
            near = difflib.get_close_matches(symbol, found, 1)
            problems.append(ConfigError(f"feed.symbols: {symbol}", "the venue does not trade it", f"such as {near[0]!r}" if near else ""))
    if problems:
        raise ConfigError("[feed] symbols", problems=problems)
    return tuple(found[symbol] for symbol in symbols)


def _hash_of(folder: Path) -> str:
    """One fingerprint of a recording: of its files in order of name."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.jsonl.gz")):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class Session:
    """One run from the first subscription to the last line of its journal.

    config: what to do. folder: where the run goes. clock: the market's clock, None = real time. labels: further keys of run.json (synthetic, seed).
    trade: False = record and recognise cascades only.
    """

    def __init__(self, config: Config, folder: str | Path, clock: Clock | None = None, labels: dict[str, Any] | None = None, *,
                 trade: bool = True):
        if not config.feed.symbols:
            raise ConfigError("[feed] symbols", "empty", "at least one symbol such as 'ETHUSDT'")
        self.config = config
        self.trade = trade
        self.folder = Path(folder)
        self.speed = clock.speed if clock else 1.0
        self.wire_clock = WireClock(clock.speed, clock.market_ns, clock.wall_ns) if clock else WireClock()
        self.labels = labels or {}
        self.pipeline: Pipeline | None = None
        self.reconnects = 0
        self.drops: deque[str] = deque(maxlen=20)
        self.signals = 0
        self.up = False
        self._stop = asyncio.Event()
        self._acks: set[str] = set()
        self._lost: asyncio.Event = asyncio.Event()
        self._listener: FeedListener | None = None
        self._recorder: Recorder | None = None
        self._data_hash: str | None = None

    def stop(self) -> None:
        """End the run in good order; safe to call from a signal handler."""
        self._stop.set()

    async def run(self, until_ns: int | None = None, progress: Callable[["Session"], None] | None = None) -> dict[str, Any]:
        """Run until stop(), or market time `until_ns`; the manifest. VenueError where the venue cannot be reached at the start."""
        instruments = await fetch_instruments(self.config.feed.rest_url, self.config.feed.symbols)
        values = settings(self.config, instruments, self.speed, self.trade)
        self.pipeline = Pipeline(values, self._on_signals, trust=True)
        self.started_ns, wall_ns = self.wire_clock.now_ns(), time.time_ns()
        preset = self.config.preset_of()
        journal = Journal(self.folder, {
            "version": lc.__version__, "abi": lc.abi_version(), "mode": "paper", "venue": self.config.feed.venue, "name": self.config.run.name,
            "seed": None, "synthetic": False, "speed": self.speed, "preset": preset.name, "evidence": f"{preset.grade}: {preset.evidence.strip()}",
            "grade": preset.grade, "config": self.config.as_dict(), "settings": values, "instruments": values["instruments"],
            "config_hash": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(), "started_ns": self.started_ns,
            "wall_started_ns": wall_ns} | self.labels)
        tap = FrameBuffer(on_full=self._drain)
        if self.config.record.enabled:
            self._recorder = Recorder(self.folder / FRAMES, exchange=self.config.feed.venue, flush_s=self.config.record.flush_s,
                                      fsync=self.config.record.fsync, on_alarm=lambda why: _log.error("recording: %s", why))
            self._recorder.mark(self.started_ns, META, values)
        self._tap, self._journal = tap, journal
        try:
            async with asyncio.TaskGroup() as group:
                feed = group.create_task(self._feed())
                group.create_task(self._timers(until_ns, feed))
                group.create_task(self._housekeeping(progress))
        finally:
            self._finish(wall_ns)
        return journal.manifest

    def _on_signals(self, signals: tuple[lc.Signal, ...]) -> None:
        self.signals += len(signals)

    # ---- the feed ----

    async def _feed(self) -> None:
        """Connect, subscribe, watch; again after every loss, with jitter, until the run ends."""
        attempt = 0
        url = self.config.feed.ws_url + "/v5/public/linear"
        while not self._stop.is_set():
            self._lost = asyncio.Event()
            try:
                async with asyncio.timeout(REST_TIMEOUT_S):
                    transport, listener = await picows.ws_connect(self._make_listener, url, enable_auto_pong=True)
                assert isinstance(listener, FeedListener)
                self._listener = listener
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
        assert self.pipeline is not None
        return FeedListener(self.pipeline.decoder.scan, self.pipeline.sink, self._on_other, tap=self._tap if self._recorder else None,
                            clock=self.wire_clock, on_disconnected=lambda transport: self._lost.set())

    async def _stay(self, transport: picows.WSTransport) -> bool:
        """Subscribe and stay until the connection is lost, silent, or the run ends. True if it was good for anything."""
        assert self._listener is not None
        frames = bybit.subscribe_frames(self.config.feed.symbols)
        self._acks = {req_id for req_id, _ in frames}
        for _, frame in frames:
            transport.send(picows.WSMsgType.TEXT, frame)
        beat_s = max(bybit.PING_INTERVAL_S / self.speed, 0.25)
        stale_ns = int(max(self.config.feed.stale_after_s, self.speed) * NS)     # at least a second of the wall
        opened = pinged = time.monotonic()
        sequence = 0
        good = False
        while not self._stop.is_set() and not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), 0.05)
            now = time.monotonic()
            if not self.up and not self._acks:
                good = self.up = True
                self._mark_feed(lc.FeedState.FEED_UP, self.wire_clock.now_ns())
            elif self._acks and now - opened > ACK_TIMEOUT_S:
                _log.warning("no answer to %s", ", ".join(sorted(self._acks)))
                break
            if now - pinged >= beat_s:
                sequence, pinged = sequence + 1, now
                transport.send(picows.WSMsgType.TEXT, bybit.ping_frame(sequence))
            if self._listener.ts_last and self.wire_clock.now_ns() - self._listener.ts_last > stale_ns:
                _log.warning("feed silent for more than %.1f s of market time, not even a pong: reconnecting", stale_ns / NS)
                break
        transport.disconnect()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(transport.wait_disconnected(), 1.0)
        return good

    def _on_other(self, raw: bytes, ts_recv: int) -> None:
        """Acks, pongs, and what the scanner does not know."""
        assert self.pipeline is not None
        frame = self.pipeline.other(raw, ts_recv)
        if frame.kind == bybit.FrameKind.ACK:
            self._acks.discard(frame.req_id)
        elif frame.kind == bybit.FrameKind.ACK_FAILED:
            self._acks.discard(frame.req_id)
            _log.error("subscription refused: %s", frame.detail)
            self._resubscribe(frame)
        elif frame.kind == bybit.FrameKind.MALFORMED and self.pipeline.counters["malformed"] <= 10:
            _log.warning("malformed frame: %s: %s", frame.reason, frame.detail)

    def _resubscribe(self, refused: bybit.Frame) -> None:
        """One unknown topic makes the venue refuse a whole request: ask again for the others."""
        symbol = refused.req_id.removeprefix("sub-")
        named = {topic.rpartition(".")[0] for topic in refused.topics}
        rest = [topic for topic in bybit.TOPICS if topic not in named]
        if named and rest and symbol in self.config.feed.symbols and self._listener is not None and self._listener.transport is not None:
            for req_id, frame in bybit.subscribe_frames([symbol], rest):
                self._acks.add(req_id)
                self._listener.transport.send(picows.WSMsgType.TEXT, frame)

    def _down(self) -> None:
        if self.up:
            self.up = False
            self._mark_feed(lc.FeedState.FEED_DOWN, self._listener.ts_last if self._listener else 0)

    def _mark_feed(self, state: lc.FeedState, ts_event: int) -> None:
        """Into the engine and, in order with the frames, into the recording."""
        assert self.pipeline is not None
        now = self.wire_clock.now_ns()
        self._drain()
        if self._recorder:
            self._recorder.mark(now, FEED, {"state": int(state), "ts_event": ts_event})
        self.pipeline.feed(state, ts_event, now)

    # ---- time ----

    async def _timers(self, until_ns: int | None, feed: asyncio.Task[None]) -> None:
        """Serve deadlines between frames, and end the run."""
        assert self.pipeline is not None
        while not self._stop.is_set():
            now = self.wire_clock.now_ns()
            due = self.pipeline.next_deadline
            if due is not None and due <= now:
                self.pipeline.advance(now)
            if until_ns is not None and now >= until_ns:
                break
            await asyncio.sleep(TICK_S)
        self._stop.set()
        self._lost.set()
        await asyncio.wait([feed], timeout=5.0)

    async def _housekeeping(self, progress: Callable[["Session"], None] | None) -> None:
        while not self._stop.is_set():
            self._drain()
            self._journal.audit(self.pipeline.drain_audit())      # type: ignore[union-attr]
            if progress is not None:
                progress(self)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), HOUSEKEEPING_S)

    def _drain(self) -> None:
        """From the tap to the recorder's queue."""
        if self._recorder is not None:
            for ts_recv, raw in self._tap.drain():
                self._recorder.append(ts_recv, raw)

    def _finish(self, wall_ns: int) -> None:
        """The last moment: what is due is served, the end is marked, everything is written."""
        assert self.pipeline is not None
        now = self.wire_clock.now_ns()
        self._drain()
        self.pipeline.advance(now)
        recorded: dict[str, Any] = {"enabled": False}
        if self._recorder is not None:
            self._recorder.mark(now, END, {})
            whole = self._recorder.close()          # (it never raises: what it could not write it counts)
            self._data_hash = _hash_of(self.folder / FRAMES)
            recorded = {"enabled": True, "whole": whole, "lines": self._recorder.written, "dropped": self._recorder.dropped + self._tap.dropped}
        self._journal.audit(self.pipeline.drain_audit())
        self._journal.close(ended_ns=now, wall_ended_ns=time.time_ns(), counters=self.counters() | {"record": recorded}, latency=self.latency(),
                            data_hash=self._data_hash)

    def counters(self) -> dict[str, Any]:
        """Frames, events, refusals, reconnects."""
        assert self.pipeline is not None
        engine, sink = self.pipeline.engine, self.pipeline.sink
        return {"frames": sink.frames, "events": engine.events, "gaps": sink.gaps, "refused": {r.name: n for r, n in engine.refused.items()},
                "decode": dict(self.pipeline.counters), "reconnects": self.reconnects, "drops": list(self.drops), "signals": self.signals}

    def latency(self) -> dict[str, Any]:
        """Frame -> engine done and frame -> order decided in wall microseconds; venue -> us in market milliseconds."""
        assert self.pipeline is not None
        found = self.pipeline.sink.latency()
        scale = {"step_ns": ("frame_to_step_us", 1e3), "order_ns": ("frame_to_order_us", 1e3), "delay_ns": ("feed_delay_ms", 1e6)}
        return {name: {key: value if key == "n" else round(value / unit, 3) for key, value in found[key_ns].items()}
                for key_ns, (name, unit) in scale.items()}
