"""Warm-up: an engine with a run's settings that learns from recorded data and does not trade.

    warmer = Warmer(values)                     # settings of the run that is about to begin
    warmer.resume(learnt, "runs/learnt/eth.bin")    # optional: from here on
    warmer.tail(learnt)                         # what its recording holds behind that place
    warmer.run(folder); warmer.events(parts, instruments)       # or whole recordings, or market events of a store, oldest first
    learnt = warmer.close()

It is the pipeline of a live run that may order nothing: features, detectors and policies see what a run that had gone on would have shown them, and
what the policies want is refused. Between two parts, and behind the last one, the feed is down: what was missed is a gap, as after a lost connection.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.marks import Standing, concerns_of
from liqshell.recording.recorder import FEED, GAP, HOUR_NS, IMAGE, META, REPORT
from liqshell.recording.streams import when
from liqshell.run import replay
from liqshell.run.pipeline import GATEWAY, Pipeline
from liqshell.run.venue_source import source_named
from liqshell.state.learnt import Learnt, Venues, decode, take

LOOK_RECORDS = 4096  # between two looks at whether to go on
KNOWN_RECORDS = 16  # between two looks at what is known, until all is
HOLES_MAX = 1000  # that are remembered one by one
ALL = -1
NOTHING = 1e-9  # largest order, quote currency


class Stopped(Exception):
    """The caller no longer waits for it."""


def policies_of(values: dict[str, Any]) -> Any:
    """Of settings: what decides what policies, and detectors and features of the user's, remember."""
    code = {
        f"{what} {one['name']}": one["sha256"]
        for what, found in (("detector", values.get("detectors")), ("feature", values.get("own_features")))
        for one in found or ()
        if "sha256" in one
    }
    return {"policies": values["policies"], "rule_sha256": values.get("rule_sha256", ""), **({"code_sha256": code} if code else {})}


def venues_of(pipeline: Pipeline) -> Venues:
    """Where each venue's decoder stands."""
    return {
        venue: (source.sink.last_ts_recv if source.sink is not None else 0, source.decoder.carried.tobytes())
        for venue, source in pipeline.sources.items()
    }


def known_of(engine: lc.Engine, known: dict[str, dict[str, int]], now: int) -> bool:
    """Into `known`: since when the threshold of each contract and cascade detector is known, seen at `now`: as late as the look, so look often.
    Whether all are."""
    every = True
    for detector in (d for d in engine.detectors if d.kind == "cascade"):
        for n, instrument in enumerate(engine.instruments):
            if detector.name in known.get(instrument.key, {}):
                continue
            if detector.threshold(n) == detector.threshold(n):
                known.setdefault(instrument.key, {})[detector.name] = now
            else:
                every = False
    return every


class Warmer:
    """values: settings of a run (pipeline.settings). stopping: asked now and then; where it says True, Stopped is raised."""

    def __init__(self, values: dict[str, Any], stopping: Callable[[], bool] = lambda: False):
        self._values = {key: value for key, value in values.items() if key != "learnt"}
        self._stopping = stopping
        # not by a gate: our event would be the first input of its features
        limits = self._values["limits"] | {"order_notional_max": NOTHING}
        self.pipeline = Pipeline(self._values | {"venue": GATEWAY, "restored": "", "resumed_ns": 0, "limits": limits}, trust=True)
        self.since_ns = self.end_ns = 0
        self.holes: list[list[int]] = []
        self.known: dict[str, dict[str, int]] = {}
        self.notes: list[str] = []  # what a person should know
        self._data_ns = 0  # receipt of the last frame
        self._damages = 0
        self._lost = False  # the feed is down since the part before
        self._all = False  # thresholds are known

    # ---- what it learns from ----

    def resume(self, learnt: Learnt, where: str) -> None:
        """Continue from that state; call it first. DataError where it is of another configuration, or damaged."""
        engine = self.pipeline.engine
        learnt.fit(policies_of(self._values), engine, where)
        if set(learnt.venues) - set(self.pipeline.sources):
            raise DataError(where, f"it has decoders of {', '.join(learnt.venues)}", f"of {', '.join(self.pipeline.sources)}")
        for venue, (last, carried) in learnt.venues.items():
            source = self.pipeline.sources[venue]
            if len(carried) != source.decoder.carried.nbytes:
                raise DataError(where, f"ticker values of {len(carried)} bytes", f"{source.decoder.carried.nbytes} bytes")
            source.decoder.carried[:] = np.frombuffer(carried, lc.EVENT_DTYPE)
            if last and source.sink is not None:  # a row without a price: from then on the venue's silences count
                source.sink.rows(np.array([(last, last, 0.0, 0.0, 0.0, 0.0, 0, 0, int(lc.Kind.TIMER), 0, 0, 0)], lc.EVENT_DTYPE))
        learnt.apply(engine, where)
        head = learnt.head
        self.since_ns, self.end_ns, self._data_ns = int(head["since_ns"]), learnt.until_ns, learnt.until_ns
        self._lost = not head["run"]  # taken by close()
        self.holes, self.known = [list(hole) for hole in head.get("holes", ())], {key: dict(page) for key, page in head.get("known_ns", {}).items()}

    def tail(self, learnt: Learnt) -> None:
        """What the run that it was taken of has recorded since. Where that cannot be found nothing is learnt of it, and `notes` says so."""
        place, folder = int(learnt.head.get("mark", 0)), Path(learnt.head["run"])
        if learnt.head.get("ended"):
            return
        if not place:
            self.notes.append(f"events after {when(self.end_ns)} UTC are not recorded")
            return
        try:
            reader = recording.read(folder / journal.FRAMES)
        except DataError as why:
            self.notes.append(f"the recording after {when(self.end_ns)} UTC is missing: {why}")
            return
        first = learnt.until_ns // HOUR_NS
        reader.files = [file for file in reader.files if (hour := recording.hour_of(file)) is None or hour[1] >= first]
        records = iter(reader)
        if any(record.stream == IMAGE and replay.object_of(record.frame, folder).get("n") == place for record in records):
            self._records(records, reader, folder)
        else:
            self.notes.append(f"the recording after {when(self.end_ns)} UTC is missing: {folder} has no mark {place}")

    def run(self, folder: Path) -> None:
        """The whole recording of a run, or of `liqcore record`. DataError where it is none. It begins with what that run began with, where nothing
        has been learnt yet and it fits."""
        reader = recording.read(folder)
        records = iter(reader)
        first = next(records, None)
        if first is None or first.stream != META:
            raise DataError(str(folder), "does not begin with the settings of a run", "the folder of a run made by liqcore")
        if first.ts_recv < self.end_ns:
            raise DataError(
                str(folder),
                f"it begins at {when(first.ts_recv)} UTC, before the end of the learnt state ({when(self.end_ns)} UTC)",
                "runs in sequence, without overlap",
            )
        page = replay.object_of(first.frame, folder)
        if page.get("learnt") and not self.since_ns:
            try:
                before = decode(base64.b64decode(page["learnt"]), str(folder))
                self.resume(before, str(folder))
            except DataError as why:
                self.notes.append(f"the learnt state at the begin of that run is not used: {why}")
        self._begin(first.ts_recv)
        self._records(records, reader, folder)

    def began_alike(self, folder: Path) -> bool:
        """Whether a run began with something that fits this configuration."""
        try:
            first = next(iter(recording.read(folder)), None)
            page = replay.object_of(first.frame, folder) if first is not None and first.stream == META else {}
            if page.get("learnt"):
                decode(base64.b64decode(page["learnt"]), str(folder)).fit(policies_of(self._values), self.pipeline.engine)
                return True
        except (DataError, ValueError):
            pass
        return False

    def events(self, parts: Iterable[np.ndarray], instruments: Sequence[lc.Instrument], where: str) -> None:
        """Market events in the order of receipt, marks of the feed among them; other contracts are left out. DataError where none is ours."""
        engine = self.pipeline.engine
        place = {i.key: n for n, i in enumerate(engine.instruments)}
        index = np.array([place.get(i.key, ALL - 1) for i in instruments] + [ALL], np.int32)  # the last one: all contracts
        if not (index[:-1] >= 0).any():
            raise DataError(where, f"contracts {', '.join(i.key for i in instruments)[:200]}", f"some of {', '.join(place)}")
        begun = False
        for part in parts:
            rows = part.copy()
            rows["instrument"] = index[part["instrument"]]
            rows = rows[rows["instrument"] >= ALL]
            if not len(rows):
                continue
            if not begun:
                if rows["ts_recv"][0] < self.end_ns:
                    raise DataError(
                        where,
                        f"it begins at {when(int(rows['ts_recv'][0]))} UTC, before the end of the learnt state ({when(self.end_ns)} UTC)",
                        "data behind it",
                    )
                self._begin(int(rows["ts_recv"][0]))
                begun = True
            at = 0
            while at < len(rows):
                step = LOOK_RECORDS if self._all else KNOWN_RECORDS
                engine.run(rows[at : at + step])
                at += step
                self._look()
            self._data_ns = int(rows["ts_recv"][-1])
        self._lose()

    # ---- what it has learnt ----

    def close(self, head: dict[str, Any] | None = None) -> Learnt:
        """The learnt state in a form with which a run can begin: the feed is down, no gate is closed, and no policy waits except those that answered
        Later."""
        engine = self.pipeline.engine
        self._lose()
        self._control(lc.Control.CONTROL_PAUSE, ALL, lc.Gate.GATE_START, engine.now)  # withdraws whatever waits to enter
        for n in range(len(engine.instruments)):
            for gate in engine.gates(n):
                self._control(lc.Control.CONTROL_READY, n, gate, engine.now)
        return take(
            engine,
            {},
            {
                "since_ns": self.since_ns,
                "until_ns": self.end_ns,
                "holes": self.holes[-HOLES_MAX:],
                "known_ns": self.known,
                "policies": policies_of(self._values),
                "run": "",
                **(head or {}),
            },
        )

    # ---- inside ----

    def _control(self, order: lc.Control, instrument: int, gate: lc.Gate, ts: int) -> None:
        self.pipeline.report((ts, ts, 0.0, 0.0, 0.0, 0.0, 0, instrument, int(lc.Kind.CONTROL), 0, int(gate), int(order)))

    def _begin(self, ts: int) -> None:
        """A new part; ts: its first moment."""
        self._lost = False
        if self.since_ns:
            self.holes.append([self.end_ns, ts])
        else:
            self.since_ns = ts

    def _records(self, records: Iterable[recording.Record], reader: recording.Reader, where: Path) -> None:
        """To the end of a recording, and the feed is lost."""
        sources, whole, standing = self.pipeline.sources, recording.Continuity(reader), Standing()
        owed = False
        for number, record in enumerate(records, 1):
            if number % LOOK_RECORDS == 0:
                self._look()
            owed = whole.broken() or owed
            if owed and record.ts_recv and record.stream != recording.SKIP:  # frames are missing before it: for so long, what is up is down
                for source in sources.values():
                    source.forget(((-1, 0),))
                for state, ts in ((lc.FeedState.FEED_DOWN, min(self._data_ns + 1, record.ts_recv)), (lc.FeedState.FEED_UP, record.ts_recv)):
                    self._mark(state, ts, standing)
            owed = record.stream == GAP  # and behind this one
            if record.stream in (META, REPORT):  # of its own account
                continue
            mark = replay.object_of(record.frame, where) if record.stream == FEED else {}
            venue = mark.get("venue", "") if record.stream == FEED else record.exchange
            if record.exchange != "liqcore" or record.stream == FEED:
                if venue and venue not in sources:  # this run does not listen to it
                    continue
                self._data_ns = record.ts_recv
            if mark:
                of = source_named(sources, venue, str(where))
                standing.take(mark["state"], concerns_of(mark, of.instruments, of.symbols, of.first), of.each)
            replay.enter(self.pipeline, record, where)
            if not self._all and number % KNOWN_RECORDS == 0:
                self._look()
        self.notes += [text for text in [reader.damage_text()] if text]
        self._lose()

    def _look(self) -> None:
        if self._stopping():
            raise Stopped
        self._all = self._all or known_of(self.pipeline.engine, self.known, self.pipeline.engine.now)

    def _mark(self, state: lc.FeedState, ts: int, standing: Standing | None = None) -> None:
        """Of all feeds; standing: of what is not down by it."""
        for venue, source in self.pipeline.sources.items():
            concerns = None if standing is None else standing.up(source.instruments, source.each)
            self.pipeline.feed(state, self._data_ns, max(ts, self.pipeline.engine.now), venue, concerns)

    def _lose(self) -> None:
        """The end of a part: from the last thing that is known of it, the feed is down."""
        engine = self.pipeline.engine
        known_of(engine, self.known, engine.now)
        if not self._lost:
            self._mark(lc.FeedState.FEED_DOWN, engine.now)
            self._lost = True
        self.end_ns = engine.now
