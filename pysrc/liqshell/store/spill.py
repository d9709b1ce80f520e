"""The events of one source file, sorted into one plain file a partition, before they become Parquet. Memory: one buffer, whatever the file's size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell import private
from liqshell.errors import DataError
from liqshell.store.partition import Key
from liqshell.store.rows import DAY_NS, OF_KIND, canonical, day_text, storable

BUFFER_BYTES = 96 << 20


@dataclass
class Part:
    """What a source gives to one partition."""

    file: str
    rows: int = 0
    first: int = 0              # ts_recv
    last: int = 0
    ordered: bool = True        # ts_recv never goes back


class Spill:
    """add() chunks in the order of the file, then close(). `parts`: what is where. `spans`: first and last ts_recv of each contract and kind."""

    def __init__(self, folder: Path):
        private.folder(folder.parent)
        folder.mkdir(private.FOLDER)            # never one that is there: its parts would be appended to
        folder.chmod(private.FOLDER)
        self.folder = folder
        self.parts: dict[Key, Part] = {}
        self.spans: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.unusable: Counter[str] = Counter()         # rows that no partition can hold, by kind
        self.rows = 0
        self._buffer: dict[Key, list[np.ndarray]] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        return self.rows * EVENT_DTYPE.itemsize

    def add(self, venue: str, symbol: str, events: np.ndarray) -> None:
        kinds = events["kind"]
        for kind in np.flatnonzero(np.bincount(kinds, minlength=1)):
            mine = kinds == kind
            layout = OF_KIND.get(int(kind))
            if layout is None:
                self.unusable["events of another kind"] += int(mine.sum())
                continue
            rows = events if mine.all() else events[mine]
            good = storable(layout, rows)
            if not good.all():
                self.unusable[f"{layout.name} without a side or with an impossible time"] += int((~good).sum())
                rows = rows[good]
            if len(rows):
                self._by_day(venue, symbol, layout.name, canonical(layout, rows))
        if self._bytes >= BUFFER_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()

    def rows_of(self, key: Key) -> np.ndarray:
        """The rows of a partition as a mapped file, in the order in which they came."""
        part = self.parts[key]
        return np.memmap(self.folder / part.file, EVENT_DTYPE, "r", shape=(part.rows,)).view(np.ndarray)

    def _by_day(self, venue: str, symbol: str, kind: str, rows: np.ndarray) -> None:
        ts = rows["ts_recv"]
        first, last = int(ts.min()) // DAY_NS, int(ts.max()) // DAY_NS
        for day in range(first, last + 1) if last - first < 8 else np.unique(ts // DAY_NS).tolist():
            mine = rows if first == last else rows[ts // DAY_NS == day]
            if len(mine):
                self._keep(Key(venue, symbol, kind, day_text(day)), mine)

    def _keep(self, key: Key, rows: np.ndarray) -> None:
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Part(f"{len(self.parts):05}")
        ts = rows["ts_recv"]
        low, high = int(ts.min()), int(ts.max())
        part.ordered = part.ordered and low >= part.last and bool((ts[1:] >= ts[:-1]).all())
        part.first = min(part.first, low) if part.rows else low
        part.last = max(part.last, high)
        part.rows += len(rows)
        self.rows += len(rows)
        whole = (key.venue, key.symbol, key.kind)
        first, last = self.spans.get(whole, (low, high))
        self.spans[whole] = min(first, low), max(last, high)
        rows = rows.copy()
        rows["instrument"] = 0
        self._buffer.setdefault(key, []).append(rows)
        self._bytes += rows.nbytes

    def _flush(self) -> None:
        for key, pieces in self._buffer.items():
            try:
                with private.opened(self.folder / self.parts[key].file, "ab") as file:
                    for piece in pieces:
                        piece.tofile(file)
            except OSError as why:
                raise DataError(str(self.folder), f"cannot be written: {why.strerror or why}", "space for the import's temporary files") from None
        self._buffer.clear()
        self._bytes = 0


class Cursor:
    """Rows of a partition in order of ts_recv, taken slice by slice: of a spill, or of a file that is there already."""

    def __init__(self, pieces: object, ordered: bool = True):
        self._pieces = iter(pieces)                     # type: ignore[call-overload]
        self._held = np.zeros(0, EVENT_DTYPE)
        self._order: np.ndarray | None = None
        self._at = 0
        self._more = True
        self._fill()
        if not ordered:                                 # 8 bytes a row, for the files that need it
            self._order = np.argsort(self._held["ts_recv"], kind="stable")
            self._ts = self._held["ts_recv"][self._order]

    @property
    def next(self) -> int | None:
        """ts_recv of the next row, None at the end."""
        while self._at >= len(self._held) and self._more:
            self._fill()
        if self._at >= len(self._held):
            return None
        return int(self._held["ts_recv"][self._at] if self._order is None else self._ts[self._at])

    def take(self, end: int) -> np.ndarray:
        """All further rows before `end`."""
        out: list[np.ndarray] = []
        while (ts := self.next) is not None and ts < end:
            column = self._held["ts_recv"] if self._order is None else self._ts
            stop = self._at + int(np.searchsorted(column[self._at:], end, "left"))
            out.append(np.array(self._held[self._at:stop] if self._order is None else self._held[self._order[self._at:stop]]))
            self._at = stop
        return out[0] if len(out) == 1 else np.concatenate(out) if out else np.zeros(0, EVENT_DTYPE)

    def _fill(self) -> None:
        piece = next(self._pieces, None)
        self._more = piece is not None
        if piece is not None:
            self._held, self._at = piece, 0
