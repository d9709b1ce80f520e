"""The sources of events: a store, or the recordings of runs, which are followed while they are written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqshell import private
from liqshell.errors import ConfigError, DataError, LiqshellError
from liqshell.recording import journal, packing
from liqshell.recording import reader as recording
from liqshell.recording.feeds import use_venues
from liqshell.recording.lines import Lines
from liqshell.research.feature_rows import of_store
from liqshell.research.feature_walk import Data, Parts, place
from liqshell.run.recorded_events import Decoding
from liqshell.service.checkpoints import Checkpoints
from liqshell.service.ledger import Ledger
from liqshell.service.problems import Problem
from liqshell.service.scratch import Scratch
from liqshell.store.load import Store

KEEP_BYTES = 1 << 30  # of days of a store in memory
HOUR_NS = 3_600 * lc.SECOND
USEFUL = np.array(
    [int(lc.Kind.LIQUIDATION) <= k <= int(lc.Kind.TICKER) or k == int(lc.Kind.FEED) or k >= int(lc.Kind.DELEVERAGE) for k in range(256)]
)


@dataclass
class Dataset:
    """Events and what is known of them. name: of the run, "" = a store. prefixes: of each part, what the data up to its end are known by. folder: of
    the run. complete: ns up to which nothing can come any more. began: the first day of each contract in a store, by its key."""

    name: str
    data: Data
    ledger: Ledger
    prefixes: list[str]
    synthetic: bool
    received: str
    folder: Path
    complete: int = 0
    began: dict[str, str] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)  # liqshell.service.series.Series by names
    answers: dict[Any, Any] = field(default_factory=dict)  # liqshell.service.answers.Held of the newest time
    lock: threading.Lock = field(default_factory=threading.Lock)  # of these two

    def prefix_at(self, ts: int) -> str:
        """The key that a state of features at ts depends on."""
        return self.prefixes[min(place(self.data.bounds, ts), len(self.prefixes) - 1)]


class StoreSource:
    """A store. An import makes a new Dataset of it; states and ledgers of the days before its first change stay good."""

    def __init__(self, folder: Path, saved: Checkpoints):
        self.folder, self._saved = folder, saved
        self._stamp: tuple[int, int] = (0, 0)
        self._lock = threading.Lock()
        self.dataset = self._open()

    def refresh(self) -> None:
        """Look whether something was imported."""
        with self._lock:
            if self._look() != self._stamp:
                self.dataset = self._open()

    def close(self) -> None:
        """Nothing is open."""

    def _look(self) -> tuple[int, int]:
        found = (self.folder / "catalogue.sqlite").stat()
        return found.st_mtime_ns, found.st_size

    def _day(self, parts: Sequence[NDArray[np.void]], stamp: tuple[int, int], k: int) -> NDArray[np.void]:
        """Of the store as it was when it was opened; an answer that goes on over an import cannot have a day that the import changed."""
        try:
            return parts[k]
        except (LiqshellError, OSError, ValueError) as why:
            if self._look() == stamp:
                raise
            raise Problem("not-ready", "an import has changed the data meanwhile: ask again", ((b"retry-after", b"1"),)) from why

    def _open(self) -> Dataset:
        self._stamp = self._look()
        opened = Store(self.folder)
        data, whole = of_store(opened, keep_bytes=KEEP_BYTES), opened.select(missing="gap")
        held: dict[int, list[tuple[str, ...]]] = {}
        began: dict[str, str] = {}
        for key, content in opened.catalogue.partitions().items():
            name = f"{key.venue}:{key.symbol}"
            began[name] = min(key.day, began.get(name, key.day))
            held.setdefault(place(data.bounds, key.start), []).append((key.venue, key.symbol, key.kind, key.day, content.fingerprint))
        opened.close()  # the days are read from their files, by whichever thread
        data.parts = Parts(data.bounds, partial(self._day, data.parts, self._stamp), keep_bytes=None)
        prefixes, before = [], repr([i.as_dict() for i in data.instruments])
        for k in range(len(data.parts)):
            before = hashlib.sha256(f"{before}{sorted(held.get(k, ()))}".encode()).hexdigest()[:32]
            prefixes.append(before)
        stamp = journal.code_hash()
        ledger = Ledger(
            data,
            lambda part: self._saved.ledger(f"{stamp}{prefixes[part]}"),
            lambda part, state: self._saved.write_ledger(f"{stamp}{prefixes[part]}", state),
        )
        received = whole.received[0] if len(whole.received) == 1 else "mixed" if whole.received else "unknown"
        return Dataset("", data, ledger, prefixes, whole.synthetic, received, self.folder, data.end, began)


class Tail(recording.Reader):
    """The lines of a run's recording as they are written. What is damaged is read around, as a reader of the whole does; a member without an end is
    one that is being written, until there is something behind it."""

    def __init__(self, frames: Path):
        super().__init__(frames)
        self._place, self._of = packing.Place(), Lines(frames)
        self._bad = recording.BadLines(self, frames)

    def records(self) -> Iterator[recording.Record]:
        """Those that have been added since the last call."""
        files = packing.frame_files(self.path)
        for file in files[files.index(self.file) if self.file in files else 0 :]:
            if file != self.file:
                self._bad.conclude()
                self.file, self._place, self._of, self._bad, self.lines = file, packing.Place(), Lines(file), recording.BadLines(self, file), 0
            self._place.ended = file != files[-1]
            if self._place.ended or file.stat().st_size >= packing.MAGIC_BYTES:
                yield from self._records(self._of, self._joined(file, self._place), self._bad, self.lines)


class RunSource:
    """The recording of one run, read from its beginning and then followed. Hours that have ended lie in files of their own."""

    def __init__(self, folder: Path, spill: Path, manifest: Mapping[str, Any]):
        self.folder = folder
        self._tail, self._decoding = Tail(folder / journal.FRAMES), Decoding(folder)
        self._whole = recording.Continuity(self._tail)
        self._failed: DataError | None = None
        self._spill = Path(tempfile.mkdtemp(prefix="events-", dir=private.folder(spill)))
        self._bounds: list[int] = []
        self._arrays: list[np.ndarray] = []
        self._room = np.zeros(1 << 12, lc.EVENT_DTYPE)
        self._count = self._last = 0
        self._manifest = manifest
        self.started = _started(folder)
        self._lock = threading.Lock()
        self.dataset: Dataset | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read what was written since."""
        with self._lock:
            if self._failed is not None:
                raise self._failed
            try:
                self._refresh()
            except DataError as why:  # not what comes behind it either: something would be missing in between
                self._failed = why
                raise

    def _refresh(self) -> None:
        into = self._decoding.collector
        for number, record in enumerate(self._tail.records()):
            self._decoding.enter(record, self._whole.broken())
            self._last = max(self._last, record.ts_recv)
            if number % 1024 == 1023:
                self._take(into)
        self._take(into)
        if self.dataset is None and self._decoding.values is not None:
            self._begin(self._decoding.values)
        if self.dataset is not None and self._arrays:
            data = self.dataset.data
            data.start, data.end = self._bounds[0], int(self._arrays[-1]["ts_recv"][-1])
            if self._decoding.ended_ns:
                data.end = max(data.end, self._decoding.ended_ns)
                self.dataset.complete = data.end
            else:
                self.dataset.complete = min(self._last - 1, data.end)  # events of that very ns may follow

    def close(self) -> None:
        shutil.rmtree(self._spill, ignore_errors=True)

    def _begin(self, values: Mapping[str, Any]) -> None:
        instruments = tuple(lc.Instrument(**fields) for fields in values["instruments"])
        prefix = hashlib.sha256(f"{self.folder} {self._manifest.get('started_ns')} {values}".encode()).hexdigest()[:32]
        data = Data(instruments, Parts(self._bounds, self._arrays.__getitem__, keep_bytes=None), 0, -1)
        self.dataset = Dataset(self.folder.name, data, Ledger(data), [prefix], bool(self._manifest.get("synthetic")), "recorded", self.folder)

    def _take(self, into: Any) -> None:
        """Events of the frames into hours."""
        events = into.rows[: into.count]
        events = events[USEFUL[events["kind"]]]
        into.count = 0
        while len(events):
            hour = int(events["ts_recv"][0]) // HOUR_NS
            if not self._bounds or hour > self._bounds[-1] // HOUR_NS:
                self._settle()
                self._arrays.append(self._room[:0])  # first: a bound without its events would be read
                self._bounds.append(int(events["ts_recv"][0]) if not self._bounds else hour * HOUR_NS)
            high = int(np.searchsorted(events["ts_recv"], (hour + 1) * HOUR_NS))
            self._append(events[:high])
            events = events[high:]

    def _append(self, events: np.ndarray) -> None:
        need = self._count + len(events)
        if need > len(self._room):
            room = np.zeros(2 * need, lc.EVENT_DTYPE)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : need] = events
        self._count = need
        self._arrays[-1] = self._room[:need]

    def _settle(self) -> None:
        """The hour is over: its events go to disk and are mapped from there."""
        if self._arrays and self._count:
            path = self._spill / f"{len(self._arrays)}.npy"
            np.save(path, self._arrays[-1])
            os.chmod(path, private.FILE)
            self._arrays[-1] = np.load(path, mmap_mode="r")
        self._room, self._count = np.zeros(1 << 12, lc.EVENT_DTYPE), 0


class Library:
    """The data of a service: one store, or runs by name. A request without a run's name gets the newest run."""

    def __init__(self, path: Path, state: Path):
        path = path.resolve()  # a folder that is called "." has a name, too
        self.path, self.state = path, state
        self.saved = Checkpoints(state)
        self._sources: dict[str, StoreSource | RunSource] = {}
        self._newest = ""
        self.is_store = (path / "catalogue.sqlite").is_file()
        if not path.is_dir():
            raise ConfigError(str(path), "no such folder", "a store, a run, or a folder of runs")
        if not self.is_store and not self.runs():
            raise ConfigError(str(path), "neither a store nor a run nor a folder of runs", "the output of `liqcore import` or `liqcore live`")
        if (newest := next(reversed(self.runs().values()), None)) is not None:
            use_run(newest)
        self.scratch = Scratch(state)

    def runs(self) -> dict[str, Path]:
        """Folders with a recording of a run, the oldest first."""
        if self.is_store:
            return {}
        found = [
            (started, folder)
            for folder in (self.path, *self.path.iterdir())
            if (folder / journal.MANIFEST).is_file() and (folder / journal.FRAMES).is_dir() and (started := _started(folder)) >= 0
        ]
        return {folder.name: folder for _, folder in sorted(found)}

    def get(self, name: str = "") -> Dataset:
        """Of the run of this name. KeyError where there is none."""
        runs = {"": self.path} if self.is_store else self.runs()
        self._newest = next(reversed(runs), "")
        name = name or self._newest
        if name not in runs:
            raise KeyError(name)
        if name in self._sources:
            self._sources[name].refresh()
        else:
            self._sources[name] = (
                StoreSource(self.path, self.saved) if self.is_store else RunSource(runs[name], self.scratch.folder, journal.load_manifest(runs[name]))
            )
        found = self._sources[name].dataset
        if found is None:
            raise DataError(str(self.path), f"run {name} has no frames yet", "a recording with frames", "Try again in a second")
        return found

    def opened(self, name: str) -> Dataset | None:
        """The same where it is open already, or None. Without a name: the one that stood for all when that was last looked at."""
        source = self._sources.get(name or self._newest)
        return source.dataset if source is not None else None

    def refresh(self) -> None:
        """Follow what is open."""
        runs = self.runs()
        if not self.is_store:
            self._newest = next(reversed(runs), "")
        first: DataError | OSError | None = None
        for name, source in list(self._sources.items()):
            if isinstance(source, RunSource) and source.started != (_started(runs[name]) if name in runs else -1):
                del self._sources[name]  # deleted, or another run of its name: opened anew when it is asked for
                source.close()
                continue
            try:
                source.refresh()
            except (DataError, OSError) as why:  # the others are followed
                first = first or why
        if first is not None:
            raise first

    def end(self) -> None:
        """Computations for an answer stop soon."""
        self.saved.ended = True

    def close(self) -> None:
        for source in self._sources.values():
            source.close()
        self.saved.close()
        self.scratch.close()


def use_run(folder: Path) -> None:
    """Say at the start, not to the first client, that a run is of a venue of the user's whose code nobody has named."""
    told = journal.load_manifest(folder).get("settings")
    if isinstance(told, dict) and told.get("feeds"):
        use_venues(told, folder)


def _started(folder: Path) -> int:
    """When a run began by the wall clock, ns; -1 where its run.json cannot be read. The time of a generated market may be years away."""
    try:
        return _read_started(folder, (folder / journal.MANIFEST).stat().st_mtime_ns)
    except OSError:
        return -1


@lru_cache(4096)
def _read_started(folder: Path, _stamp: int) -> int:
    try:
        about = journal.load_manifest(folder)
        return int(about.get("wall_started_ns") or about.get("started_ns") or 0)
    except (DataError, TypeError, ValueError):
        return -1
