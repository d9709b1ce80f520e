"""The events of a recorded run, as its sink passed them to the engine: frames and marks of the recorder, read without an engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import DataError
from liqshell.recording import reader as recording
from liqshell.recording.marks import Standing, concerns_of
from liqshell.recording.recorder import END, FEED, GAP, IMAGE, META, REPORT, REST
from liqshell.run.pipeline import SIMULATED, foretold
from liqshell.run.replay import object_of
from liqshell.run.sink import LateWatch
from liqshell.run.venue_source import Source, source_named, sources_of

BLOCK = 1 << 16


@dataclass(frozen=True)
class Recorded:
    """What a recording held. values: the settings of the run, None for other recordings. events: market events and feed marks in the order
    of receipt, as the sink of the run handed them to its engine. ended_ns: its end mark, 0 = cut off."""

    values: dict[str, Any] | None
    events: np.ndarray
    ended_ns: int
    damage: str
    frames: int
    unread: Counter[str] = field(default_factory=Counter)


class Collector:
    """Events of frames in one growing array, in the order in which the run's sink stepped them, with the marks that it made itself."""

    def __init__(self) -> None:
        self.rows = np.zeros(BLOCK, lc.EVENT_DTYPE)
        self.count = 0
        self.now = 0

    def keep(self, events: np.ndarray) -> None:
        """The next ones."""
        need = self.count + len(events)
        if need > len(self.rows):
            rows = np.zeros(max(2 * len(self.rows), need), lc.EVENT_DTYPE)
            rows[: self.count] = self.rows[: self.count]
            self.rows = rows
        self.rows[self.count : need] = events
        self.count = need

    def mark(self, kind: lc.Kind, code: int, ts_event: int, ts_recv: int, instruments: tuple[int, ...], flags: int = 0) -> None:
        """One event without a price for each of these instruments."""
        self.now = max(self.now, ts_recv)
        self.keep(np.array([(ts_event, self.now, 0.0, 0.0, 0.0, 0.0, 0, n, int(kind), 0, flags, code) for n in instruments], lc.EVENT_DTYPE))

    def report(self, line: dict[str, Any], paper: bool) -> None:
        """The inputs of a run beside its feeds. Of a run with an account only the judge's word: the rest was the account's, which a backtest has of
        its own."""
        row = np.frombuffer(bytes.fromhex(line["row"]), lc.EVENT_DTYPE)
        if foretold(row) and (paper or row["kind"][0] == int(lc.Kind.VERDICT)):
            self.now = max(self.now, int(row["ts_recv"][0]))
            self.keep(row)


class VenueReplay:
    """What liqshell.run.sink.VenueSink does with the frames of one venue."""

    def __init__(self, source: Source, collector: Collector):
        self.source, self.collector = source, collector
        self.last_recv = 0  # of the last frame with events, 0 = none since the feed came up
        self.watched = source.watched
        self._standing = Standing()
        self.late = LateWatch(source.late_ns) if source.late_ns else None

    def begin(self, ts_recv: int) -> None:
        """A venue that is watched only: its gates close before anything else."""
        if self.watched:
            self.watched = False
            first = self.source.first
            self.collector.mark(
                lc.Kind.CONTROL,
                int(lc.Control.CONTROL_PAUSE),
                ts_recv,
                ts_recv,
                tuple(range(first, first + len(self.source.symbols))),
                int(lc.Gate.GATE_SYMBOL),
            )

    def feed(self, mark: dict[str, Any], ts_recv: int) -> None:
        self.begin(ts_recv)
        concerns = concerns_of(mark, self.source.instruments, self.source.symbols, self.source.first)
        self._standing.take(mark["state"], concerns, self.source.each)
        if mark["state"] == lc.FeedState.FEED_DOWN:
            self.last_recv = 0
            self.source.forget(concerns)
        for n, streams in concerns:
            self.collector.mark(lc.Kind.FEED, mark["state"], mark["ts_event"], ts_recv, (n,), streams)

    def missing(self, state: lc.FeedState, ts: int) -> None:
        """One end of what the recording does not have: whatever is up is down for as long."""
        self.source.forget(((-1, 0),))
        for n, streams in self._standing.up(self.source.instruments, self.source.each):
            self.collector.mark(lc.Kind.FEED, int(state), ts, ts, (n,), streams)

    def take(self, frame: bytes, ts_recv: int, polled: bool) -> bool:
        """One frame; False where it held no event."""
        events = self.source.events(frame, ts_recv)
        if not len(events):
            return False
        self.begin(ts_recv)
        if not polled:
            if self.last_recv and ts_recv - self.last_recv > self.source.gap_ns:
                self.collector.mark(lc.Kind.FEED, int(lc.FeedState.FEED_GAP), self.last_recv, ts_recv, self.source.instruments)
            self.last_recv = ts_recv
            if self.late is not None and (code := self.late.frame(events)):
                self.collector.mark(lc.Kind.CONTROL, code, ts_recv, ts_recv, self.source.instruments, int(lc.Gate.GATE_LATE))
        self.collector.keep(events)
        self.collector.now = max(self.collector.now, ts_recv)
        return True


class Decoding:
    """The records of one recording, one after the other, into a Collector. where: for errors; trust: see read_events."""

    def __init__(self, where: str | Path, *, trust: bool = False):
        self.where, self.trust = where, trust
        self.values: dict[str, Any] | None = None
        self.collector = Collector()
        self.replays: dict[str, VenueReplay] = {}
        self.ended_ns = self.frames = self._last = 0  # _last: ts_recv of the last frame or mark
        self._owed = False  # marks: something is missing before the next record

    def enter(self, record: recording.Record, broken: bool = False) -> None:
        """The next one. broken: something is missing before it (recording.Continuity). DataError where the recording is none of a run."""
        if record.stream == META:
            self._begin(record)
        elif not self.replays:
            raise DataError(str(self.where), "does not begin with the settings of a run", "a recording made by liqcore", "Name [data] symbols")
        self._missing(record, broken)
        if record.stream == FEED:
            self._last = max(self._last, record.ts_recv)
            mark = object_of(record.frame, self.where)
            source_named(self.replays, mark.get("venue", ""), str(self.where)).feed(mark, record.ts_recv)
        elif record.stream == END:
            self.ended_ns = record.ts_recv
        elif record.stream == REPORT:
            paper = self.values is not None and self.values.get("venue", SIMULATED) == SIMULATED
            self.collector.report(object_of(record.frame, self.where), paper)
        elif record.stream == GAP:
            self._owed = True  # frames were dropped behind it
        elif record.stream not in (META, IMAGE, recording.SKIP):
            self.frames += 1
            self._last = max(self._last, record.ts_recv)
            source_named(self.replays, record.exchange, str(self.where)).take(record.frame, record.ts_recv, record.source == REST)

    def _missing(self, record: recording.Record, broken: bool) -> None:
        """As liqshell.formats: nothing is known from the last record before what is missing to the first one behind it."""
        self._owed = self._owed or broken
        if self._owed and record.ts_recv and record.stream != recording.SKIP:
            self._owed = False
            since = min(self._last + 1, record.ts_recv) if self._last else record.ts_recv
            for state, ts in ((lc.FeedState.FEED_DOWN, since), (lc.FeedState.FEED_UP, record.ts_recv)):
                for one in self.replays.values():
                    one.missing(state, ts)

    def _begin(self, record: recording.Record) -> None:
        """With the settings of a run."""
        if self.values is not None:
            raise DataError(str(self.where), "two runs in one recording", "one", "Name the folders of the runs one by one")
        self.values = object_of(record.frame, self.where)
        sources = sources_of(self.values, None, self.where, trust=self.trust)
        self.replays = {venue: VenueReplay(source, self.collector) for venue, source in sources.items()}


def read_events(path: str | Path, *, trust: bool = False) -> Recorded:
    """Events of the recording of a run of ours. trust: see recording.feeds.use_venues. DataError where it is none."""
    reader = recording.read(path)
    decoding, whole = Decoding(path, trust=trust), recording.Continuity(reader)
    for record in reader:
        decoding.enter(record, whole.broken())
    if not decoding.replays:
        raise DataError(str(path), "the recording is empty", "a recording made by liqcore")
    unread: Counter[str] = sum((one.source.unread for one in decoding.replays.values()), Counter())
    into = decoding.collector
    return Recorded(decoding.values, into.rows[: into.count], decoding.ended_ns, reader.damage_text(), decoding.frames, unread)
