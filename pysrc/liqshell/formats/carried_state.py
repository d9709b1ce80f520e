"""What the reader of a recording knows at the end of one file and has to know at the head of the next: what tickers have said, which their changes
leave out, the books that changes are applied to, and when a stream last spoke.

`UNSAID` stands for what the files that were read have not said, see formats/recordings.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from liqcore.event import EVENT_DTYPE, Kind
from liqshell.formats.book import ASK, BID, REPEAT_NS, Top
from liqshell.recording.streams import BITS, FIELDS

# Bybit's deeper books (orderbook.50, .200, ...) in recordings of others: their best levels as quotes, where no orderbook.1 was recorded.
# A snapshot begins the book, a delta changes levels (size 0: gone). Update ids grow by one; after a missing one the book is not known until the
# next snapshot.
_KIND = int(Kind.BBO)


class DeepBook:
    """One contract's book. lost: deltas that could not be applied because one before them, or the snapshot, is missing."""

    def __init__(self) -> None:
        self._top = Top()
        self._update = -1                   # id of the last frame; -1: the book is not known
        self._last: tuple[float, ...] = ()          # the best levels that were given, and when
        self.lost = 0

    @property
    def known(self) -> bool:
        return self._update >= 0

    def forget(self) -> None:
        """Changes were missed: nothing is known before the next snapshot."""
        self._update = -1

    def event(self, frame: bytes, ts_recv: int, instrument: int) -> tuple | None:
        """A row of EVENT_DTYPE where the best levels are others now, or are to be said again. ValueError where the frame is no book."""
        try:
            message = orjson.loads(frame)
            data, snapshot = message["data"], message["type"] == "snapshot"
            update, ts = int(data["u"]), int(message.get("cts", message["ts"])) * 1_000_000
            levels = [(side, float(price), float(size)) for side, key in ((BID, "b"), (ASK, "a")) for price, size in data[key]]
        except (orjson.JSONDecodeError, KeyError, TypeError, OverflowError, AttributeError) as why:
            raise ValueError(f"no book: {why}") from None
        if not 0 <= ts < 1 << 62 or not 0 <= update < 1 << 62 or not all(0.0 < price < inf and 0.0 <= size < inf
                                                                             for _, price, size in levels):
            raise ValueError("no book: a time, number, price or size that cannot be")
        if snapshot:
            self._top.clear()
        elif update != self._update + 1 or self._update < 0:
            self._update = -1
            self.lost += 1
            return None
        self._update = update
        for level in levels:
            self._top.set(*level)
        best = self._top.best()
        if best is None or (*best, ts_recv // REPEAT_NS) == self._last:
            return None
        self._last = *best, ts_recv // REPEAT_NS
        return ts, ts_recv, *best, update, instrument, _KIND, 0, 0, 0


UNSAID = 3.0e-300               # no price, size or rate: still there after a file has been read = the file did not say it
UNHEARD = -1                    # the same of the time of the last frame
SILENT = 4                      # hours without any ticker of a contract: there are none in this recording


@dataclass(frozen=True)
class Carried:
    """At the end of `path`. run: it is of a run of ours, whose last file may hold no event. tickers: (venue, symbol) -> the decoder's row of it.
    frames: venue -> when its last frame was received, ns. books: by topic. shallow: the symbols that have quotes of their own. torn: the file ends in
    a place that could not be read. down: instrument -> Stream bits. met: the contracts of which the last file had events,
    and what is known of each."""

    path: Path
    last: int = 0
    torn: bool = False
    run: bool = False
    tickers: dict[tuple[str, str], np.void] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    books: dict[str, DeepBook] = field(default_factory=dict)
    shallow: frozenset[str] = frozenset()
    met: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    down: dict[int, int] = field(default_factory=dict)

    def is_complete(self, files: int) -> bool:
        """Whether what lies before the files that were read, so many, can change nothing."""
        missing = [sum(row[name] == UNSAID for name in FIELDS.values()) for row in self.tickers.values()]
        return (not any(missing if files < SILENT else [n for n in missing if n < len(FIELDS)]) and UNHEARD not in self.frames.values()
                and all(book.known for book in self.books.values()))

    def or_unknown(self) -> Carried:
        """The same where what was not said is unknown."""
        return replace(self, tickers={name: known(row) for name, row in self.tickers.items()},
                       frames={name: max(ts, 0) for name, ts in self.frames.items()})


def unsaid(rows: int) -> np.ndarray:
    """Rows of a decoder of which every value is still to be said."""
    out = np.zeros(rows, EVENT_DTYPE)
    out["kind"] = int(Kind.TICKER)
    for name in FIELDS.values():
        out[name] = UNSAID
    return out


def known(row: np.void) -> np.void:
    """The same row where what was not said is unknown."""
    out = row.copy()
    for name, field_name in FIELDS.items():
        if out[field_name] == UNSAID:
            out[field_name] = 0.0
            out["flags"] |= BITS[name]
    return out
