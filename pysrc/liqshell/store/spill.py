"""The events of one source file, as columns by partition, before they become Parquet. Small ones stay in memory. Large ones, and those that another
process reads, go to a temporary file by columns. Memory: one buffer for files of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell import private
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns, Events, joined, kinds_in, single
from liqshell.store.merge import in_order
from liqshell.store.partition import Key
from liqshell.store.rows import DAY_NS, OF_KIND, canonical, day_text, storable

BUFFER_BYTES = 448 << 20
SLICE_ROWS = 1 << 17  # of each cursor that are merged at once, and all others of their last moment
FILE = "columns"
_ALIGN = 8


@dataclass
class Chunk:
    """Some rows of a part, in order of ts_recv: in memory, or where each column stands in the file: name -> offset, or the one value of all rows."""

    rows: int
    events: EventColumns | None = None
    columns: dict[str, tuple[int, object]] = field(default_factory=dict)


@dataclass
class Part:
    """The rows of a source for one partition."""

    rows: int = 0
    first: int = 0  # ts_recv
    last: int = 0
    ordered: bool = True  # no chunk begins before the one in front of it ends
    chunks: list[Chunk] = field(default_factory=list)


class Spill:
    """add() chunks in the order of the file. `parts`: what is where. `spans`: first and last ts_recv of each contract and kind."""

    def __init__(self, folder: Path, buffer: int = 0):
        private.folder(folder.parent)
        folder.mkdir(private.FOLDER)  # never one that is there: its file would be appended to
        folder.chmod(private.FOLDER)
        self.folder = folder
        self.parts: dict[Key, Part] = {}
        self.spans: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.unusable: Counter[str] = Counter()  # rows that no partition can hold, by kind
        self.rows = 0
        self.held = 0  # bytes in memory
        self._buffer = buffer or BUFFER_BYTES
        self._end = 0  # of the file

    @property
    def bytes(self) -> int:
        return self.rows * EVENT_DTYPE.itemsize

    def add(self, venue: str, symbol: str, events: Events) -> None:
        kinds = kinds_in(events) if len(events) else []
        for kind in kinds:
            layout = OF_KIND.get(kind)
            rows = events.compress(events["kind"] == kind) if len(kinds) > 1 else events
            if layout is None:
                self.unusable["events of another kind"] += len(rows)
                continue
            good = storable(layout, rows)
            if not good.all():
                self.unusable[f"{layout.name} without a side or with an impossible time"] += int((~good).sum())
                rows = rows.compress(good)
            if len(rows):
                rows = canonical(layout, rows)
                self._by_day(venue, symbol, layout.name, EventColumns(len(rows), kind=kind, **{name: _own(rows, name) for name in layout.fields}))
        if self.held >= self._buffer:
            self.flush()

    def flush(self) -> None:
        """Everything that is in memory to the file."""
        try:
            with private.opened(self.folder / FILE, "ab") as file:
                for part in self.parts.values():
                    for chunk in part.chunks:
                        if chunk.events is not None:
                            chunk.columns = {name: self._write(file, chunk.events[name]) for name in chunk.events}
                            chunk.events = None
        except OSError as why:
            raise DataError(str(self.folder), f"cannot be written: {why.strerror or why}", "free space for the import's temporary files") from None
        self.held = 0

    def cursor(self, key: Key) -> Cursor:
        """The rows of a partition in the order of time; those of one moment as they came."""
        part = self.parts[key]
        pieces = (self._read(chunk) for chunk in part.chunks)
        return Cursor(pieces) if part.ordered else Cursors([Cursor([piece]) for piece in pieces])

    def _by_day(self, venue: str, symbol: str, kind: str, rows: EventColumns) -> None:
        ts = rows["ts_recv"]
        first, last = int(ts.min()) // DAY_NS, int(ts.max()) // DAY_NS
        for day in range(first, last + 1) if last - first < 8 else np.unique(ts // DAY_NS).tolist():
            mine = rows if first == last else rows.compress(ts // DAY_NS == day)
            if len(mine):
                self._keep(Key(venue, symbol, kind, day_text(day)), in_order(mine))

    def _keep(self, key: Key, rows: EventColumns) -> None:
        part = self.parts.setdefault(key, Part())
        low, high = int(rows["ts_recv"][0]), int(rows["ts_recv"][-1])
        part.ordered = part.ordered and low >= part.last
        part.first = min(part.first, low) if part.rows else low
        part.last = max(part.last, high)
        part.rows += len(rows)
        part.chunks.append(Chunk(len(rows), rows))
        self.rows += len(rows)
        self.held += sum(rows[name].nbytes for name in rows if single(rows[name]) is None)
        whole = (key.venue, key.symbol, key.kind)
        first, last = self.spans.get(whole, (low, high))
        self.spans[whole] = min(first, low), max(last, high)

    def _write(self, file: object, column: np.ndarray) -> tuple[int, object]:
        value = single(column)
        if value is not None:
            return -1, value
        at, size = self._end, column.nbytes
        file.write(np.ascontiguousarray(column).data)  # type: ignore[attr-defined]
        file.write(bytes(-size % _ALIGN))  # type: ignore[attr-defined]
        self._end += size + -size % _ALIGN
        return at, None

    def _read(self, chunk: Chunk) -> EventColumns:
        if chunk.events is not None:
            return chunk.events
        found = {
            name: value if at < 0 else np.memmap(self.folder / FILE, EVENT_DTYPE[name], "r", at, (chunk.rows,)).view(np.ndarray)
            for name, (at, value) in chunk.columns.items()
        }
        return EventColumns(chunk.rows, **found)


def _own(rows: Events, name: str) -> np.ndarray:
    """A read-only column: rows of EVENT_DTYPE stay their reader's."""
    column: np.ndarray = rows[name]
    return column if isinstance(rows, EventColumns) else column.copy()


class Cursor:
    """Rows of a partition in order of ts_recv, taken slice by slice: of a spill, or of a file that is there already."""

    def __init__(self, pieces: Iterable[Events]):
        self._pieces: Iterator[Events] = iter(pieces)
        self._held: Events = EventColumns(0)
        self._at = 0

    @property
    def next(self) -> int | None:
        """ts_recv of the next row, None at the end."""
        while self._at >= len(self._held):
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._held, self._at = piece, 0
        return int(self._held["ts_recv"][self._at])

    @property
    def reach(self) -> int | None:
        """The moment behind the next rows, as many as are merged at once; None at the end. A slice that ends there cuts no moment in two."""
        if self.next is None:
            return None
        return int(self._held["ts_recv"][min(self._at + SLICE_ROWS, len(self._held)) - 1]) + 1

    def take(self, end: int) -> Events:
        """All further rows before `end`."""
        out: list[Events] = []
        while (ts := self.next) is not None and ts < end:
            column = self._held["ts_recv"]
            stop = len(column) if column[-1] < end else self._at + int(np.searchsorted(column[self._at :], end, "left"))
            out.append(self._held[self._at : stop])
            self._at = stop
        return joined(out) if out else EventColumns(0)


class Cursors(Cursor):
    """Chunks that reach behind each other: what each has of a slice, in the order in which they came."""

    def __init__(self, of: list[Cursor]):
        super().__init__(())
        self._of = of

    @property
    def next(self) -> int | None:
        return min((ts for cursor in self._of if (ts := cursor.next) is not None), default=None)

    @property
    def reach(self) -> int | None:
        return reach(self._of)

    def take(self, end: int) -> Events:
        return in_order(joined([cursor.take(end) for cursor in self._of]))


def reach(cursors: Iterable[Cursor]) -> int | None:
    """Where the next slice of all of them ends, None where none has more."""
    return min((ts for cursor in cursors if (ts := cursor.reach) is not None), default=None)
