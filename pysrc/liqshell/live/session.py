"""One run from the first subscription to the last line of its journal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.clock import Clock
from liqshell.config import Config
from liqshell.errors import ConfigError
from liqshell.journal import FRAMES, Journal
from liqshell.live.account import LiveAccount
from liqshell.live.feed import VenueFeed
from liqshell.live.instruments import fetch_all
from liqshell.live.rest import tls_context
from liqshell.live.spin import Spin
from liqshell.marks import Concern, told
from liqshell.pipeline import LiveStart, Pipeline, settings
from liqshell.venue_clock import is_loopback
from liqshell.record import END, FEED, META, REPORT, REST, WS, Recorder
from liqshell.wire import FrameBuffer, WireClock

TICK_S = 0.002                  # of timers: deadlines are served at their own moment, whenever we look
HANG_UP_S = 1.5                 # for the feeds at the end; below the watchdog's patience, because nothing beats while we wait
HOUSEKEEPING_S = 0.1            # tap -> recorder, audit -> disk
_log = logging.getLogger("liqshell.live")


def _hash_of(folder: Path) -> str:
    """One fingerprint of a recording: of its files in order of name."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.jsonl.gz")):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class Session:
    """config: what to do. folder: where the run goes. clock: the market's clock, None = real time. labels: further keys of run.json (synthetic,
    seed). trade: False = record and recognise cascades only. account: trades at the venue instead of on paper.
    """

    def __init__(self, config: Config, folder: str | Path, clock: Clock | None = None, labels: dict[str, Any] | None = None, *,
                 trade: bool = True, account: LiveAccount | None = None):
        if not config.feed.symbols:
            raise ConfigError("[feed] symbols", "empty", "at least one symbol such as 'ETHUSDT'")
        self.config = config
        self.trade = trade
        self.account = account
        self.folder = Path(folder)
        self.speed = clock.speed if clock else 1.0
        self.wire_clock = WireClock(clock.speed, clock.market_ns, clock.wall_ns) if clock else WireClock()
        self.labels = labels or {}
        self.tls = tls_context(config.feed.ca, config.feed.rest_url, config.feed.ws_url, config.feed.private_url)
        self.pipeline: Pipeline | None = None
        self.config_hash = ""
        self.signals = 0
        self._stop = asyncio.Event()                # asked to end
        self._over = asyncio.Event()                # nothing more is to be done: the feed hangs up
        self._feeds: list[VenueFeed] = []
        self._spin = Spin() if config.run.spin else None
        self._recorder: Recorder | None = None
        self._data_hash: str | None = None

    def stop(self) -> None:
        """End the run in good order; safe to call from a signal handler."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def up(self) -> bool:
        """Every venue's feed delivers."""
        return bool(self._feeds) and not self.down

    @property
    def down(self) -> list[str]:
        """Venues whose feed does not deliver."""
        return [feed.source.venue for feed in self._feeds if not feed.up]

    @staticmethod
    def hash_of(values: dict[str, Any]) -> str:
        """Fingerprint of what decides what the engine does; what a run began with (equity, trades taken up) is no part of it."""
        decides = {key: value for key, value in values.items() if key not in ("equity", "restored", "resumed_ns")} if "restored" in values else values
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    async def run(self, until_ns: int | None = None, progress: Callable[[Session], None] | None = None) -> dict[str, Any]:
        """Run until stop(), or market time `until_ns`; the manifest. VenueError where the venue cannot be reached at the start, or the account cannot
        be reconciled."""
        instruments = await fetch_all(self.config.all_feeds())

        def values_of(start: LiveStart | None) -> dict[str, Any]:
            return settings(self.config, instruments, self.speed, self.trade, start)

        values = values_of(await self.account.open(self, instruments, values_of) if self.account else None)
        try:
            journal = self._open(values)
        except BaseException:
            await self._abandon()
            raise
        why: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._timers(until_ns, group))
                group.create_task(self._housekeeping(progress))
        except BaseExceptionGroup as several:
            why = _first(several)
        finally:
            try:
                if self.account:
                    await self.account.close(self._ended)
            finally:
                self._finish()
        if why is not None:
            raise why
        return journal.manifest

    async def _abandon(self) -> None:
        """The run could not begin: what was opened for it is closed."""
        try:
            if self.account:
                await self.account.close("")
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if "_journal" in vars(self):
                self._journal.close(ended="could not begin")

    def _open(self, values: dict[str, Any]) -> Journal:
        """Recorder first, then the venue's side: what the account says is recorded from its first word."""
        self.pipeline = Pipeline(values, self._on_signals, trust=True)
        self.started_ns, self._wall_ns = self.wire_clock.now_ns(), time.time_ns()
        self.config_hash = self.hash_of(values)
        self._ended = ""
        preset = self.config.preset_of()
        self._journal = Journal(self.folder, {
            "version": lc.__version__, "abi": lc.abi_version(), "mode": "live" if self.account else "paper", "venue": self.config.feed.venue,
            "environment": self._place(), "name": self.config.run.name,
            "seed": None, "synthetic": False, "speed": self.speed, "preset": preset.name, "evidence": f"{preset.grade}: {preset.evidence.strip()}",
            "grade": preset.grade, "config": self.config.as_dict(), "settings": values, "instruments": values["instruments"],
            "config_hash": self.config_hash, "started_ns": self.started_ns, "wall_started_ns": self._wall_ns} | self.labels)
        self._tap = FrameBuffer(on_full=self.drain)
        if self.config.record.enabled:
            self._recorder = Recorder(self.folder / FRAMES, exchange=self.config.feed.venue, flush_s=self.config.record.flush_s,
                                      fsync=self.config.record.fsync, on_alarm=lambda why: _log.error("recording: %s", why))
            self._recorder.mark(self.started_ns, META, values)
        for number, feed in enumerate(self.config.all_feeds()):
            self._feeds.append(VenueFeed(feed, self.pipeline.sources[feed.venue], self.wire_clock, self.speed,
                                         tls_context(feed.ca, feed.rest_url, feed.ws_url), self._tap if self._recorder else None, number,
                                         partial(self._mark_feed, feed.venue), self._over, self._spin))
        if self.account:
            self.account.bind()
        return self._journal

    def _place(self) -> str:
        """Where the orders go: an environment of the venue, this machine, or an address of one's own."""
        feed = self.config.feed
        return "loopback" if is_loopback(feed.rest_url) else feed.rest_url if feed.rest else feed.environment

    def _on_signals(self, signals: tuple[lc.Signal, ...]) -> None:
        self.signals += len(signals)

    # ---- what enters beside the frames ----

    def _mark_feed(self, venue: str, state: lc.FeedState, ts_event: int, ts_recv: int | None, concerns: tuple[Concern, ...], connection: str) -> None:
        """Into the engine and, in order with the frames, into the recording."""
        assert self.pipeline is not None
        now, source = self.wire_clock.now_ns() if ts_recv is None else ts_recv, self.pipeline.sources[venue]
        whole = concerns == tuple((n, 0) for n in source.instruments)
        self.drain()
        if self._recorder:
            self._recorder.mark(now, FEED, {"state": int(state), "ts_event": ts_event, "venue": venue, "connection": connection,
                                            **({} if whole else {"parts": told(concerns, source.symbols, source.first)})})
        self.pipeline.feed(state, ts_event, now, venue, concerns)

    def report(self, event: tuple[Any, ...]) -> None:
        """One event of the venue's or the operator's: the same. Not from within a frame, whose bytes the recorder does not have yet."""
        assert self.pipeline is not None
        self.drain()
        row = self.pipeline.report(event)
        if self._recorder:
            self._recorder.mark(int(np.frombuffer(row, lc.EVENT_DTYPE)["ts_recv"][0]), REPORT, {"row": row.hex()})

    def judge(self, question: int, judgment: lc.Judgment) -> None:
        """An outside verdict on a question of the engine (Engine.questions): it can only confirm or veto, and it is recorded, so that a replay
        decides the same. Late, repeated and unknown ones are counted and change nothing."""
        now = self.wire_clock.now_ns()
        self.report((now, now, 0.0, 0.0, 0.0, 0.0, question, -1, int(lc.Kind.VERDICT), 0, 0, int(judgment)))

    # ---- time ----

    async def _timers(self, until_ns: int | None, group: asyncio.TaskGroup) -> None:
        """Reconcile where there is an account, then let the feed in; serve deadlines between frames; end the run in good order."""
        assert self.pipeline is not None and self._feeds
        if self.account:
            begun = asyncio.ensure_future(self.account.begin())
            try:
                while not begun.done():
                    self._turn()
                    await asyncio.sleep(TICK_S)
            finally:
                begun.cancel()
            try:
                await begun
            except BaseException:
                self._over.set()
                raise
        feeds = [group.create_task(feed.run()) for feed in self._feeds]
        try:
            while not self._stop.is_set():
                now = self._turn()
                if until_ns is not None and now >= until_ns:
                    break
                await asyncio.sleep(TICK_S)
            if self.account:                  # while the feed still runs: exits that are decided now need prices
                self._stop.set()
                self._ended = await self.account.wind_down()
        finally:
            self._stop.set()
            self._over.set()
            for feed in self._feeds:
                feed.hang_up()
            await asyncio.wait(feeds, timeout=HANG_UP_S)
            for left in feeds:              # one that is in the middle of connecting to a venue that does not answer
                left.cancel()

    def _turn(self) -> int:
        """One turn of the loop; the time."""
        assert self.pipeline is not None
        now = self.wire_clock.now_ns()
        due = self.pipeline.next_deadline
        if due is not None and due <= now:
            self.pipeline.advance(now)
        if self.account:
            self.account.turn(now)
        return now

    async def _housekeeping(self, progress: Callable[[Session], None] | None) -> None:
        while not self._over.is_set():
            self.drain()
            self._journal.audit(self.pipeline.drain_audit())      # type: ignore[union-attr]
            if progress is not None:
                progress(self)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), HOUSEKEEPING_S)

    def drain(self) -> None:
        """From the tap to the recorder's queue."""
        if self._recorder is not None:
            for ts_recv, tag, raw in self._tap.drain_tagged():
                self._recorder.append(ts_recv, raw, self._feeds[tag >> 1].source.venue, REST if tag & 1 else WS)

    def _finish(self) -> None:
        """The last moment: what is due is served, the end is marked, everything is written."""
        assert self.pipeline is not None
        if self._spin is not None:
            self._spin.stop()
        now = self.wire_clock.now_ns()
        self.drain()
        if not self.account:
            self.pipeline.advance(now)                   # (an account has been left as it is: nothing may be asked for that nobody sends)
        recorded: dict[str, Any] = {"enabled": False}
        if self._recorder is not None:
            self._recorder.mark(self.pipeline.engine.now if self.account else now, END, {})
            whole = self._recorder.close()          # (it never raises: what it could not write it counts)
            self._data_hash = _hash_of(self.folder / FRAMES)
            recorded = {"enabled": True, "whole": whole, "lines": self._recorder.written, "dropped": self._recorder.dropped + self._tap.dropped}
        self._journal.audit(self.pipeline.drain_audit())
        more = {"account": self.account.as_dict(), "ended": self._ended} if self.account else {}
        self._journal.close(ended_ns=now, wall_ended_ns=time.time_ns(), counters=self.counters() | {"record": recorded}, latency=self.latency(),
                            data_hash=self._data_hash, **more)

    def counters(self) -> dict[str, Any]:
        """Frames, events, refusals, reconnects."""
        assert self.pipeline is not None and self._feeds
        engine, sink = self.pipeline.engine, self.pipeline.sink
        return {"frames": sink.frames, "events": engine.events, "gaps": sink.gaps, "refused": {r.name: n for r, n in engine.refused.items()},
                "decode": dict(self.pipeline.counters), "reconnects": sum(feed.reconnects for feed in self._feeds),
                "drops": [why for feed in self._feeds for why in feed.drops], "signals": self.signals, "venues": self.health()}

    def health(self) -> dict[str, Any]:
        """Each venue's feed: is it up, what its liquidations are worth (completeness), connections, polls."""
        return {feed.source.venue: feed.health() for feed in self._feeds}

    def latency(self) -> dict[str, Any]:
        """Frame -> engine done and frame -> order decided in wall microseconds; venue -> us in market milliseconds."""
        assert self.pipeline is not None
        found = self.pipeline.sink.latency()
        scale = {"step_ns": ("frame_to_step_us", 1e3), "order_ns": ("frame_to_order_us", 1e3), "delay_ns": ("feed_delay_ms", 1e6)}
        return {name: {key: value if key == "n" else round(value / unit, 3) for key, value in found[key_ns].items()}
                for key_ns, (name, unit) in scale.items()}


def _first(group: BaseExceptionGroup) -> BaseException:
    """The one that says what happened."""
    why: BaseException = group
    while isinstance(why, BaseExceptionGroup):
        why = why.exceptions[0]
    return why
