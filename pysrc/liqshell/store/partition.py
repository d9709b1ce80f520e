"""One Parquet file: the rows of one contract, kind and UTC day, in order of ts_recv. It is written front to back, read in slices, and never held in
memory as a whole.

The fingerprint covers the content: the columns and their contract. Two stores with the same rows have the same fingerprints, independent of
the files and of the version of pyarrow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liqshell import private
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns, Events, joined
from liqshell.recording import streams
from liqshell.store.grid import Grid
from liqshell.store.rows import (
    BEFORE,
    DAY_NS,
    FORMAT,
    HOUR_NS,
    LAYOUT,
    Layout,
    day_number,
    from_arrow,
    to_arrow,
)

GROUP_ROWS = 1 << 19  # of a row group: what a write or a read holds at once (32 MB as events)
SILENCE_NS = 60_000_000_000  # a pause from this length on is written down
SILENCES_MAX = 2000  # of one partition; the longest are kept
_META = b"liqcore"
_DAMAGED = (OSError, pa.ArrowException, KeyError, ValueError, IndexError)


def folder_name(name: str) -> str:
    """A venue or symbol as a folder: BTC/USDT -> BTC%2FUSDT."""
    text = quote(name, safe="@+:-_.")
    return "%2E" + text[1:] if text.startswith(".") else text


@dataclass(frozen=True, order=True)
class Key:
    """Names a partition."""

    venue: str
    symbol: str
    kind: str
    day: str  # YYYY-MM-DD, UTC, of ts_recv

    @property
    def layout(self) -> Layout:
        return LAYOUT[self.kind]

    def file(self, root: Path) -> Path:
        return root / folder_name(self.venue) / folder_name(self.symbol) / self.kind / f"{self.day}.parquet"

    @property
    def start(self) -> int:
        return day_number(self.day) * DAY_NS


@dataclass
class Content:
    """The description of a partition's content, kept in the catalogue."""

    fingerprint: str = ""
    rows: int = 0
    first: int = 0  # ts_recv, ns
    last: int = 0
    hours: list[int] = field(default_factory=lambda: [0] * 24)
    silences: list[tuple[int, int]] = field(default_factory=list)  # (from, to) in ns: no row of this kind
    busiest: int = 0  # most rows in one second of ts_event
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)  # of streams.Age; {} of what an earlier version wrote
    price: dict[str, Any] = field(default_factory=dict)
    qty: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    format: int = 1  # of the file: see rows.py

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Writer:
    """push() slices in order, then close(). The file is complete only then."""

    def __init__(self, path: Path, key: Key, sources: Sequence[str] = ()):
        self.key = key
        self.content = Content()
        self._path = path
        self._sources = sorted(sources)
        self._hash = hashlib.sha256(json.dumps([key.layout.format, key.venue, key.symbol, key.kind, key.day]).encode())
        self._waiting: list[Events] = []
        self._rows = 0
        self._grids: dict[str, list[Grid]] = {"price": [], "qty": []}
        self._second = (-1, 0)
        self._ages = {
            name: streams.Age(name, key.start) for name in (streams.FIELDS if key.kind == "tickers" else (key.kind,)) if name in streams.STREAMS
        }
        private.folder(path.parent)
        private.opened(path, "wb").close()  # pyarrow keeps the mode of a file that is there
        layout = key.layout
        labels = [layout.label] if layout.label else []
        self._writer = pq.ParquetWriter(
            path,
            layout.schema,
            compression="zstd",
            compression_level=1,
            write_statistics=True,
            version="2.6",
            use_dictionary=[*labels, *(number.column for number in layout.numbers)],  # a day has few different prices and sizes
            column_encoding=dict.fromkeys(("ts_event", "ts_recv", "id"), "DELTA_BINARY_PACKED"),
        )
        self._beside = ThreadPoolExecutor(2)  # one encodes a group, one describes it, while the next one is gathered
        self._working: list[Future[None]] = []

    def push(self, events: Events) -> None:
        if not len(events):
            return
        self._waiting.append(events)
        self._rows += len(events)
        if self._rows >= GROUP_ROWS:
            rows = joined(self._waiting)
            while len(rows) >= GROUP_ROWS:
                self._group(rows[:GROUP_ROWS])
                rows = rows[GROUP_ROWS:]
            self._waiting, self._rows = ([rows.copy()] if len(rows) else []), len(rows)

    def close(self) -> Content:
        if self._rows:
            self._group(joined(self._waiting))
            self._waiting, self._rows = [], 0
        self._settle()
        self._beside.shutdown()
        content = self.content
        content.fingerprint = self._hash.hexdigest()[:32]
        for name, age in self._ages.items():
            found = age.as_dict()
            found["dark"] = sorted(sorted(found["dark"], key=lambda s: s[0] - s[1])[:SILENCES_MAX])
            content.streams[name] = found
        for name, grids in self._grids.items():
            setattr(content, name, Grid.sum(grids).as_dict())
        about = {
            "format": self.key.layout.format,
            **asdict(self.key),
            "rows": content.rows,
            "fingerprint": content.fingerprint,
            "sources": self._sources,
        }
        self._writer.add_key_value_metadata({_META: json.dumps(about).encode()})
        self._writer.close()
        content.bytes, content.format = self._path.stat().st_size, self.key.layout.format
        return content

    def abandon(self) -> None:
        self._beside.shutdown()
        self._writer.close()
        self._path.unlink(missing_ok=True)

    def _group(self, events: Events) -> None:
        batch = to_arrow(self.key.layout, events)
        self._settle()
        self._working = [self._beside.submit(self._writer.write_batch, batch, row_group_size=GROUP_ROWS), self._beside.submit(self._describe, events)]

    def _settle(self) -> None:
        """Wait for the group before."""
        for work in self._working:
            work.result()

    def _describe(self, events: Events) -> None:
        for name in self.key.layout.fields:
            self._hash.update(np.ascontiguousarray(events[name]).data)
        self._measure(events)

    def _measure(self, events: Events) -> None:
        content, ts = self.content, np.ascontiguousarray(events["ts_recv"])
        before = content.last if content.rows else int(ts[0])
        for hour, count in enumerate(np.bincount((ts - self.key.start) // HOUR_NS, minlength=24)):
            content.hours[hour] += int(count)
        pause = np.diff(ts, prepend=before)
        for n in np.flatnonzero(pause >= SILENCE_NS):
            content.silences.append((int(ts[n] - pause[n]), int(ts[n])))
        if len(content.silences) > SILENCES_MAX:
            content.silences = sorted(sorted(content.silences, key=lambda s: s[0] - s[1])[:SILENCES_MAX])
        if not content.rows:
            content.first = int(ts[0])
        content.rows += len(ts)
        content.last = int(ts[-1])
        self._busiest(events)
        for name, age in self._ages.items():
            age.push(ts[streams.stated(events, name)] if name in streams.FIELDS else ts)
        for name, fields in (("price", self.key.layout.prices), ("qty", self.key.layout.quantities)):
            self._grids[name] += [Grid.of(events[field]) for field in fields]

    def _busiest(self, events: Events) -> None:
        each = events["ts_event"] // 1_000_000_000
        starts = np.flatnonzero(np.diff(each, prepend=each[0] - 1))  # of runs, which are few: rows mostly come in order
        seconds, which = np.unique(each[starts], return_inverse=True)
        counts = np.bincount(which, np.diff(starts, append=len(each)))
        last, count = self._second
        counts[seconds == last] += count  # a second across two row groups
        self.content.busiest = max(self.content.busiest, int(counts.max()))
        self._second = int(seconds[-1]), int(counts[-1])


def about(path: Path) -> dict[str, Any]:
    """The description that a partition contains."""
    try:
        found = json.loads((pq.read_metadata(path).metadata or {})[_META])
        if found["format"] > FORMAT:
            raise DataError(str(path), f"format {found['format']}", f"{FORMAT} or less", "It was written by a newer liqcore: upgrade")
        return dict(found)
    except _DAMAGED as why:
        raise damaged(path, why) from None


def read(path: Path, key: Key, start: int = 0) -> Iterator[np.ndarray]:
    """The rows from ts_recv `start` on as EVENT_DTYPE, one row group after the other."""
    return (events.rows() for events in columns(path, key, start))


def columns(path: Path, key: Key, start: int = 0) -> Iterator[EventColumns]:
    """The same as columns."""
    try:
        with pq.ParquetFile(path) as file:
            layout = _layout(path, key, file)
            for group in range(file.num_row_groups):
                if start > 0:
                    last = file.metadata.row_group(group).column(1).statistics
                    if last is not None and last.has_min_max and last.max_raw < start:
                        continue
                events = from_arrow(layout, file.read_row_group(group))
                yield events[np.searchsorted(events["ts_recv"], start, "left") :] if start > 0 else events
    except _DAMAGED as why:
        raise damaged(path, why) from None


def _layout(path: Path, key: Key, file: pq.ParquetFile) -> Layout:
    """Of the columns that the file has: ours, or those of the format before."""
    found = file.schema_arrow.remove_metadata()
    for layout in (key.layout, BEFORE.get(key.kind, key.layout)):
        if found.equals(layout.schema):
            return layout
    raise DataError(str(path), "other columns than a partition of " + key.kind, ", ".join(key.layout.schema.names))


def is_before(path: Path, key: Key) -> bool:
    """True for a partition of the previous format, which has no mark for values that were not stated."""
    try:
        with pq.ParquetFile(path) as file:
            return _layout(path, key, file) is not key.layout
    except _DAMAGED as why:
        raise damaged(path, why) from None


def fingerprint(path: Path, key: Key) -> str:
    """Of what is in the file now, read anew."""
    layout = BEFORE[key.kind] if is_before(path, key) else key.layout
    digest = hashlib.sha256(json.dumps([layout.format, key.venue, key.symbol, key.kind, key.day]).encode())
    for events in columns(path, key):
        for name in layout.fields:
            digest.update(np.ascontiguousarray(events[name]).data)
    return digest.hexdigest()[:32]


def damaged(path: Path, why: BaseException) -> DataError:
    return DataError(
        str(path),
        f"cannot be read as a partition ({str(why).splitlines()[0] if str(why) else type(why).__name__})",
        "a Parquet file written by `liqcore import`",
        "Delete it, run `liqcore data STORE --rebuild`, then import the files of that day again",
    )
