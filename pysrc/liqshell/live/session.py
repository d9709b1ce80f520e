"""One run from the first subscription to the last line of its journal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.clock import Clock
from liqshell.config.load import Config
from liqshell.config.sections import FeedConfig
from liqshell.errors import ConfigError, VenueError
from liqshell.grades import contracts_of, together
from liqshell.judge.asked import rows_of
from liqshell.judge.build import make_judge
from liqshell.live.account import LiveAccount
from liqshell.live.coverage import QuoteCoverage
from liqshell.live.feed import VenueFeed
from liqshell.live.instruments import ListWatch, resolve
from liqshell.live.judging import Judging, RunTime, refuse_unanswered
from liqshell.live.learnt_keeper import Keeper, Warmth
from liqshell.live.patience import Patience
from liqshell.live.run_context import RunContext
from liqshell.live.silence import Silence
from liqshell.live.spin import Spin
from liqshell.live.start import PATIENCE_S
from liqshell.recording.journal import FRAMES, Journal, code_hash
from liqshell.recording.marks import Concern, parts_of
from liqshell.recording.packing import frame_files
from liqshell.recording.recorder import END, FEED, META, REPORT, Recorder
from liqshell.run.feed_listener import WireClock
from liqshell.run.pipeline import LiveStart, Pipeline, hash_of, settings
from liqshell.run.view_page import ViewWriter
from liqshell.transport import is_loopback, tls_context
from liqshell.venues.adapter import InstrumentPage
from liqshell.venues.effects import Level, Notice

TICK_S = 0.002  # of timers: deadlines are served at their own moment, whenever we look
LIST_S = 1.5  # for the list of contracts while our trades are open
PATIENT_S = 60.0  # of --start-patience, from which on a first try is cut short
LOST_S = 1.5  # for its first try without open trades; a later one may take as long as the request itself
HANG_UP_S = 1.5  # for the feeds at the end; below the watchdog's patience, because nothing beats while we wait
INVERTED = 0.5  # share of liquidations on the right side, below which the side check halts (liqcore/execution/side_check.pyx)
SEEN = ("mode", "name", "venue", "environment", "started_ns", "config_hash", "synthetic")  # of run.json, on the view page
HOUSEKEEPING_S = 0.1  # audit -> disk
_log = logging.getLogger("liqshell.live")


def _hash_of(folder: Path) -> str:
    """One fingerprint of a recording: of its files in order of name."""
    digest = hashlib.sha256()
    for file in frame_files(folder):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class Session:
    """config: what to do. folder: where the run goes. clock: the market's clock, None = real time. labels: further keys of run.json (synthetic,
    seed). trade: False = record and recognise cascades only. account: trades at the venue instead of on paper. keeper: with what it
    begins, and where it keeps what it learns; None = it begins cold and leaves nothing. start_patience_s: for how long a start goes on asking a venue
    that cannot answer.
    """

    def __init__(
        self,
        config: Config,
        folder: str | Path,
        clock: Clock | None = None,
        labels: dict[str, Any] | None = None,
        *,
        trade: bool = True,
        account: LiveAccount | None = None,
        keeper: Keeper | None = None,
        start_patience_s: float = PATIENCE_S,
    ):
        if not config.feed.symbols:
            raise ConfigError("[feed] symbols", "empty", "at least one symbol such as 'ETHUSDT'")
        self.config = config
        self.trade = trade
        self.account = account
        self.keeper = keeper
        self.warmth: Warmth | None = None
        self.folder = Path(folder)
        self.speed = clock.speed if clock else 1.0
        self.wire_clock = WireClock(clock.speed, clock.market_ns, clock.wall_ns) if clock else WireClock()
        self.labels = labels or {}
        self.tls = tls_context(config.feed.ca, config.feed.rest_url, config.feed.ws_url, config.feed.private_url)
        self.pipeline: Pipeline | None = None
        self.config_hash = ""
        self.signals = 0
        self.halted_by = ""  # in words, where it is known
        self._stop = asyncio.Event()  # asked to end
        self.start_patience = Patience(start_patience_s, self._stop.is_set)
        self._over = asyncio.Event()  # nothing more is to be done: the feed hangs up
        self._feeds: list[VenueFeed] = []
        self._lists: dict[str, ListWatch] = {}
        self._spin = Spin() if config.run.spin else None
        self._recorder: Recorder | None = None
        self._silence: Silence | None = None
        self._data_hash: str | None = None
        self._judging: Judging | None = None
        if trade:
            refuse_unanswered(config)

    def stop(self) -> None:
        """End the run in good order; safe to call from a signal handler."""
        self._stop.set()

    @property
    def up(self) -> bool:
        """Every venue's feed delivers."""
        return bool(self._feeds) and not self.down

    @property
    def down(self) -> list[str]:
        """Venues whose feed does not deliver."""
        return [feed.source.venue for feed in self._feeds if not feed.up]

    async def run(self, until_ns: int | None = None, progress: Callable[[Session], None] | None = None) -> dict[str, Any]:
        """Run until stop(), or market time `until_ns`; the manifest. VenueError where the venue cannot be reached at the start, or the account cannot
        be reconciled. ConfigError, before anybody is asked, where something is missing for the judge."""
        self._judging = self._make_judging()
        try:
            return await self._run(until_ns, progress)
        finally:
            if self._judging is not None:
                await self._judging.judge.close()

    async def _run(self, until_ns: int | None, progress: Callable[[Session], None] | None) -> dict[str, Any]:
        self.config, instruments = await self._contracts()
        learnt = await self._learnt(settings(self.config, instruments, self.speed, self.trade))

        def values_of(start: LiveStart | None) -> dict[str, Any]:
            return settings(self.config, instruments, self.speed, self.trade, start) | learnt

        values = values_of(await self.account.open(self._context(), instruments, values_of) if self.account else None)
        try:
            journal = self._open(values)
        except BaseException:
            await self._abandon()
            raise
        why: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                timers = group.create_task(self._timers(until_ns, group))
                group.create_task(self._housekeeping(progress))
                if self._judging is not None:
                    asking = group.create_task(self._judging.run())
                    timers.add_done_callback(lambda _: asking.cancel())
        except BaseExceptionGroup as several:
            why = _first(several)
        finally:
            try:
                if self.account:
                    await self.account.close(self._ended)
            finally:
                self._finish(why is None)
        if why is not None:
            raise why
        return journal.manifest

    def _heed(self, question: int, judgment: lc.Judgment, confidence: int) -> int | None:
        """A verdict of the configured judge; one that comes while the run ends enters nothing any more."""
        return None if self._stop.is_set() else self.judge(question, judgment, confidence)

    def _make_judging(self) -> Judging | None:
        """The judge of the configuration; None without one."""
        if not self.trade or self.config.judge.kind in (None, "none"):
            return None
        judge = make_judge(self.config.judge, self.config.news, RunTime(self.wire_clock, self.speed), self.config.run.out, rows=rows_of)
        return Judging(judge, lambda: self.pipeline.engine if self.pipeline and not self._stop.is_set() else None, self._heed, self.folder)

    def _context(self) -> RunContext:
        return RunContext(self.folder, self.wire_clock, self.speed, self.tls, self.start_patience, self.stop, self._stop.is_set, self.report)

    async def _contracts(self) -> tuple[Config, tuple[lc.Instrument, ...]]:
        """The venues' contracts, asked for while they may be answered. Where trades of ours are open they are not waited for: those of the run before
        do, until the gateway has read the list."""
        kept = self.account.kept() if self.account else None
        if kept is None:
            # an answer that is lost must not cost the time that a slow one may take: where there is time to ask again, and the list is short
            first = self.start_patience.left_s > PATIENT_S and not any(feed.whole for feed in self.config.all_feeds())
            limits = iter((LOST_S, 2.0 * LOST_S) if first else ())
            return await self.start_patience.ask(lambda: self._list(next(limits, None)))
        try:
            return await asyncio.wait_for(resolve(self.config), LIST_S)
        except (VenueError, TimeoutError) as why:
            if isinstance(why, VenueError) and not why.passing:
                raise
            text = str(why) or "no list of instruments in time"
            self.start_patience.report_progress(f"{text}: open trades are supervised with the contract data of the last run")
            return kept

    async def _list(self, limit_s: float | None) -> tuple[Config, tuple[lc.Instrument, ...]]:
        """One try."""
        try:
            return await asyncio.wait_for(resolve(self.config), limit_s)
        except TimeoutError:
            raise VenueError(
                self.config.feed.rest_url, f"no list of instruments within {limit_s:g} s", "", "Check [feed] and the network", passing=True
            ) from None

    async def _learnt(self, values: dict[str, Any]) -> dict[str, Any]:
        """Takes the learnt state named in the settings: the run begins with it."""
        if self.keeper is None:
            return {}
        begun = await asyncio.to_thread(self.keeper.open, values, self.wire_clock.now_ns(), self.folder, self._stop.is_set)
        return {"learnt": begun.text} if begun.text else {}

    async def _abandon(self) -> None:
        """The run could not begin: what was opened for it is closed."""
        try:
            if self.account:
                await self.account.close("")
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if self.keeper is not None:
                self.keeper.end(None)
            if "_journal" in vars(self):
                self._journal.close(ended="could not begin")

    def _open(self, values: dict[str, Any]) -> Journal:
        """Recorder first, then the venue's side: what the account says is recorded from its first word."""
        self.pipeline = Pipeline(values, self._on_signals, trust=True)
        self.started_ns, self._wall_ns = self.wire_clock.now_ns(), time.time_ns()
        self.config_hash = hash_of(values)
        self.warmth = Warmth(self.pipeline)
        if self.keeper is not None:
            self.keeper.bind(values, self.folder, self.started_ns)
        self._ended = ""
        contracts = contracts_of(self.config, values)
        names, grade, evidence = together(contracts)
        self._journal = Journal(
            self.folder,
            {
                "version": lc.__version__,
                "abi": lc.abi_version(),
                "mode": "live" if self.account else "paper",
                "venue": self.config.feed.venue,
                "environment": self._place(),
                "name": self.config.run.name,
                "seed": None,
                "synthetic": False,
                "speed": self.speed,
                "preset": names,
                "evidence": evidence,
                "grade": grade,
                "contracts": contracts,
                "config": self.config.as_dict(),
                "settings": _without_images(values),
                "instruments": values["instruments"],
                "config_hash": self.config_hash,
                "code_hash": code_hash(),
                "started_ns": self.started_ns,
                "wall_started_ns": self._wall_ns,
            }
            | ({"warm": self.keeper.begun.as_dict()} if self.keeper is not None else {})
            | self.labels,
        )
        self._coverage = QuoteCoverage(len(self.pipeline.engine.instruments))
        if self.config.record.enabled:
            self._recorder = Recorder(
                self.folder / FRAMES,
                exchange=self.config.feed.venue,
                flush_s=self.config.record.flush_s,
                fsync=self.config.record.fsync,
                on_alarm=lambda why: _log.error("recording: %s", why),
            )
            self._recorder.mark(self.started_ns, META, values)
        for feed in self.config.all_feeds():
            self._open_feed(feed, self.pipeline)
        self._silence = Silence(self.pipeline.sources, self.pipeline.instruments, self._mark_silence, self._alarm)
        if self.account:
            self.account.bind(self.pipeline, self.config_hash)
        self._view = ViewWriter(self.folder, self.pipeline.engine, {key: self._journal.manifest[key] for key in SEEN}, self.status)
        return self._journal

    def _open_feed(self, feed: FeedConfig, pipeline: Pipeline) -> None:
        self._feeds.append(
            VenueFeed(
                feed,
                pipeline.sources[feed.venue],
                self.wire_clock,
                self.speed,
                tls_context(feed.ca, feed.rest_url, feed.ws_url),
                self._recorder,
                partial(self._mark_feed, feed.venue),
                self._over,
                self._spin,
            )
        )
        watched = [pipeline.instruments[n] for n in pipeline.sources[feed.venue].instruments]
        self._lists[feed.venue] = ListWatch(
            feed, tls_context(feed.ca, feed.rest_url), self.speed, self._over, feed.symbols, partial(self._listed, feed, self._feeds[-1]), watched
        )

    def status(self) -> dict[str, Any]:
        """For those who watch: the feeds, the account and what was counted so far."""
        assert self.pipeline is not None
        account = self.pipeline.engine.account
        return {
            "feeds": self.health(),
            "frames": self.pipeline.sink.frames,
            "events": self.pipeline.engine.events,
            "signals": self.signals,
            "halted_by": self.halted_by,
            "equity": account.equity,
            "latency": self.latency(),
        } | ({"account": self.account.as_dict()} if self.account else {})

    def _place(self) -> str:
        """Where the orders go: an environment of the venue, this machine, or an address of one's own."""
        feed = self.config.feed
        return "loopback" if is_loopback(feed.rest_url) else feed.rest_url if feed.rest else feed.environment

    def _on_signals(self, signals: tuple[lc.Signal, ...]) -> None:
        self.signals += len(signals)

    # ---- what enters beside the frames ----

    def _mark_feed(self, venue: str, state: lc.FeedState, ts_event: int, ts_recv: int | None, concerns: tuple[Concern, ...], connection: str) -> None:
        """A connection's state has changed. ts_recv: None = now."""
        now = self.wire_clock.now_ns() if ts_recv is None else ts_recv
        if self._silence is not None:
            self._silence.marked(state, concerns, now)
        self._put_mark(venue, state, ts_event, concerns, connection, now)

    def _mark_silence(self, venue: str, state: lc.FeedState, ts_event: int, concerns: tuple[Concern, ...], connection: str) -> None:
        """Liquidations have stopped, or come again: known now."""
        self._put_mark(venue, state, ts_event, concerns, connection, self.wire_clock.now_ns())

    def _put_mark(self, venue: str, state: lc.FeedState, ts_event: int, concerns: tuple[Concern, ...], connection: str, now: int) -> None:
        """Into the engine and, in order with the frames, into the recording."""
        assert self.pipeline is not None
        source = self.pipeline.sources[venue]
        whole = concerns == tuple((n, 0) for n in source.instruments)
        if self._recorder:
            self._recorder.mark(
                now,
                FEED,
                {
                    "state": int(state),
                    "ts_event": ts_event,
                    "venue": venue,
                    "connection": connection,
                    **({} if whole else {"parts": parts_of(concerns, source.symbols, source.first)}),
                },
            )
        self.pipeline.feed(state, ts_event, now, venue, concerns)

    def _alarm(self, text: str) -> None:
        """Something that a person should know now."""
        if self.account:
            self.account.notice(Notice(Level.ALARM, "stopped", text))
        else:
            _log.error("ALARM: %s", text)

    def report(self, event: tuple[Any, ...]) -> None:
        """One event of the venue's or the operator's: the same. Not from within a frame, whose bytes the recorder does not have yet."""
        assert self.pipeline is not None
        row = self.pipeline.report(event)
        if self._recorder:
            self._recorder.mark(int(np.frombuffer(row, lc.EVENT_DTYPE)["ts_recv"][0]), REPORT, {"row": row.hex()})

    def _listed(self, feed: FeedConfig, line: VenueFeed, gone: dict[str, str], back: list[str], page: InstrumentPage) -> None:
        """The venue's list has changed: no entries on what does not trade as it did. What trades again is subscribed anew, as old subscriptions of it
        may stay silent. Of what is traded with an account the gateway looks at the list, and closes the entries itself."""
        assert self.pipeline is not None
        source = self.pipeline.sources[feed.venue]
        for names, control in ((gone, lc.Control.CONTROL_PAUSE), (dict.fromkeys(back, "it trades again"), lc.Control.CONTROL_READY)):
            for name, why in names.items():
                text = f"no entries on it: {why}" if names is gone else why
                _log.log(logging.ERROR if names is gone else logging.INFO, "%s:%s %s", feed.venue, name, text)
                if not source.watched and not self.account:
                    now, gate, n = self.wire_clock.now_ns(), int(lc.Gate.GATE_SYMBOL), source.first + source.symbols.index(name)
                    self.report((now, now, 0.0, 0.0, 0.0, 0.0, 0, n, int(lc.Kind.CONTROL), 0, gate, int(control)))
        if back:
            line.renew(back)
        new = [one.symbol for one in page.instruments if one.symbol not in feed.exclude and feed.quote in ("", page.quotes.get(one.symbol, ""))]
        if new and feed.every:
            _log.warning("%s lists %s: added at the next start", feed.venue, ", ".join(sorted(new)))

    def judge(self, question: int, judgment: lc.Judgment, confidence: int = 0) -> int:
        """An outside verdict on a question of the engine (Engine.questions): it can only confirm or not, and it is recorded, so that a replay
        decides the same. confidence: 1 to 3 and it waits for the others of its batch; 0 = not stated, see Engine.on_verdict. Late, repeated and
        unknown ones are counted and change nothing. The time of the event, ns."""
        now = self.wire_clock.now_ns()
        self.report((now, now, 0.0, 0.0, 0.0, float(confidence), question, -1, int(lc.Kind.VERDICT), 0, 0, int(judgment)))
        return now

    # ---- time ----

    async def _timers(self, until_ns: int | None, group: asyncio.TaskGroup) -> None:
        """Reconcile where there is an account, with the feed from the first moment: open trades are supervised meanwhile. Serve deadlines between
        frames; end the run in good order."""
        assert self.pipeline is not None and self._feeds
        begun = asyncio.ensure_future(self.account.begin()) if self.account else None  # its first step closes the gates, before any frame
        feeds = [group.create_task(work) for work in (*(feed.run() for feed in self._feeds), *(watch.run() for watch in self._lists.values()))]
        try:
            while not self._stop.is_set():
                now = self._turn()
                if begun is not None and begun.done():
                    begun.result()
                    begun = None
                if until_ns is not None and now >= until_ns:
                    break
                await asyncio.sleep(TICK_S)
            if self.account:  # while the feed still runs: exits that are decided now need prices
                self._stop.set()
                self._ended = await self.account.wind_down()
        finally:
            if begun is not None:
                begun.cancel()
                await asyncio.gather(begun, return_exceptions=True)
            self._stop.set()
            self._over.set()
            for feed in self._feeds:
                feed.hang_up()
            await asyncio.wait(feeds, timeout=HANG_UP_S)
            for left in feeds:  # one that is in the middle of connecting to a venue that does not answer
                left.cancel()

    def _turn(self) -> int:
        """One turn of the loop; the time."""
        assert self.pipeline is not None
        now = self.wire_clock.now_ns()
        self._coverage.look(self.pipeline.engine, now)
        due = self.pipeline.next_deadline
        if due is not None and due <= now:
            self.pipeline.advance(now)
        if self._silence is not None:
            self._silence.turn()
        if self.account:
            self.account.turn(now)
        return now

    async def _housekeeping(self, progress: Callable[[Session], None] | None) -> None:
        while not self._over.is_set():
            rows = self.pipeline.drain_audit()  # type: ignore[union-attr]
            self._journal.audit(rows)
            self._on_alarms(rows)
            if self.keeper is not None and self.pipeline is not None:
                self.keeper.turn(self.pipeline, self._recorder, self.wire_clock.now_ns())
            self._view.publish(self.wire_clock.now_ns())
            if progress is not None:
                progress(self)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), HOUSEKEEPING_S)

    def _on_alarms(self, rows: np.ndarray) -> None:
        """Alarms of the side check: reported at once; one that halts entries stays in the status line."""
        alarms = lc.audit.view(rows, lc.AuditKind.AUDIT_ALARM)
        for row in alarms[alarms["phase"] == int(lc.Alarm.ALARM_SIDE)]:
            agree, sample = float(row["value"]), int(row["sample"])
            n, inverted = int(row["instrument"]), agree < INVERTED
            text = (
                f"side check: of the last {sample} liquidations of this venue {agree:.0%} had their price on the right side of the mark price "
                f"or fill; expected at least 90 %{': the sides are inverted; entries are halted until an operator resumes' if inverted else ''}"
            )
            symbol = self.pipeline.instruments[n].symbol if self.pipeline is not None and n >= 0 else ""
            self.halted_by = "the side check" if inverted else self.halted_by
            if self.account:
                self.account.notice(Notice(Level.ALARM, "halted" if inverted else "side check", text, symbol))
            else:
                _log.error("ALARM: %s: %s", symbol, text)

    def _finish(self, good: bool) -> None:
        """The last moment: what is due is served, the end is marked, everything is written. good: nothing failed."""
        assert self.pipeline is not None
        if self._spin is not None:
            self._spin.stop()
        now = self.wire_clock.now_ns()
        if not self.account:
            self.pipeline.advance(now)  # (an account has been left as it is: no request may be made that is not sent)
        recorded: dict[str, Any] = {"enabled": False}
        if self._recorder is not None:
            self._recorder.mark(self.pipeline.engine.now if self.account else now, END, {})
            whole = self._recorder.close()  # (it never raises: what it could not write it counts)
            self._data_hash = _hash_of(self.folder / FRAMES)
            recorded = {"enabled": True, "whole": whole, "lines": self._recorder.written, "dropped": self._recorder.dropped}
        self._journal.audit(self.pipeline.drain_audit())
        more: dict[str, Any] = {"account": self.account.as_dict(), "ended": self._ended} if self.account else {}
        if self.keeper is not None:
            self.keeper.end(self.pipeline if good else None)
            more["warm"] = self.keeper.as_dict()
        if self._judging is not None:
            more["judge"] = self._judging.as_dict() | {"kind": self.config.judge.kind}
        self._view.close()
        self._journal.close(
            ended_ns=now,
            wall_ended_ns=time.time_ns(),
            counters=self.counters() | {"record": recorded},
            latency=self.latency(),
            data_hash=self._data_hash,
            **more,
        )

    def counters(self) -> dict[str, Any]:
        """Frames, events, refusals, reconnects."""
        assert self.pipeline is not None and self._feeds
        engine, sink = self.pipeline.engine, self.pipeline.sink
        return {
            "frames": sink.frames,
            "events": engine.events,
            "gaps": sink.gaps,
            "refused": {r.name: n for r, n in engine.refused.items()},
            "decode": dict(self.pipeline.counters),
            "reconnects": sum(feed.reconnects for feed in self._feeds),
            "drops": [why for feed in self._feeds for why in feed.drops],
            "signals": self.signals,
            "venues": self.health(),
            "quotes": self._coverage.as_dict(engine.instruments),
        }

    def health(self) -> dict[str, Any]:
        """Each venue's feed: is it up, what its liquidations are worth (completeness), which of them stopped when, which contracts trade no more,
        connections, polls."""
        gone = {venue: {"not_trading": sorted(one.gone), "why": dict(sorted(one.gone.items()))} for venue, one in self._lists.items()}
        return {
            feed.source.venue: feed.health()
            | {"suspect": self._silence.health(feed.source.venue) if self._silence else []}
            | gone.get(feed.source.venue, {})
            for feed in self._feeds
        }

    @property
    def suspect(self) -> list[str]:
        """Contracts whose liquidations have stopped though their market goes on."""
        return [name for feed in self._feeds for name in self._silence.suspects(feed.source.venue)] if self._silence else []

    def latency(self) -> dict[str, Any]:
        """Frame -> engine done and frame -> order decided in wall microseconds; venue -> us in market milliseconds."""
        assert self.pipeline is not None
        found = self.pipeline.sink.latency()
        scale = {"step_ns": ("frame_to_step_us", 1e3), "order_ns": ("frame_to_order_us", 1e3), "delay_ns": ("feed_delay_ms", 1e6)}
        return {
            name: {key: value if key == "n" else round(value / unit, 3) for key, value in found[key_ns].items()}
            for key_ns, (name, unit) in scale.items()
        }


def _without_images(values: dict[str, Any]) -> dict[str, Any]:
    """Settings for run.json: what was learnt stands in the recording; here, which it was."""
    return values | {"learnt": "sha256 " + hashlib.sha256(values["learnt"].encode()).hexdigest()} if "learnt" in values else values


def _first(group: BaseExceptionGroup) -> BaseException:
    """The one that says what happened."""
    why: BaseException = group
    while isinstance(why, BaseExceptionGroup):
        why = why.exceptions[0]
    return why
