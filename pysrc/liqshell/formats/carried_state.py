"""The state of a reader between two files of a recording: ticker values, which changes leave out, the books that changes are applied to, and the last
time of each stream.

`UNSAID` marks a value that the files read so far do not contain, see formats/continued_reading.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind
from liqshell.formats.deep_book import DeepBook
from liqshell.recording.streams import BITS, FIELDS

UNSAID = 3.0e-300  # no price, size or rate: still there after a file has been read = the file did not say it
UNHEARD = -1  # the same of the time of the last frame
SILENT = 4  # hours without any ticker of a contract: there are none in this recording


@dataclass(frozen=True)
class Carried:
    """At the end of `path`. run: the recording is a run of liqcore, whose last file may hold no event. tickers: (venue, symbol) -> the decoder's row
    of it. frames: venue -> when its last frame was received, ns. books: by topic. shallow: the symbols that have quotes of their own. torn: the file
    ends in a place that could not be read. down: instrument -> Stream bits. met: the contracts of which the last file had events, and what is known
    of each."""

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
        """True if the files before the ones read, this many, cannot change the state."""
        missing = [sum(row[name] == UNSAID for name in FIELDS.values()) for row in self.tickers.values()]
        return (
            not any(missing if files < SILENT else [n for n in missing if n < len(FIELDS)])
            and UNHEARD not in self.frames.values()
            and all(book.known for book in self.books.values())
        )

    def or_unknown(self) -> Carried:
        """The same with unknown for open values."""
        return replace(
            self, tickers={name: known(row) for name, row in self.tickers.items()}, frames={name: max(ts, 0) for name, ts in self.frames.items()}
        )


def unsaid(rows: int) -> np.ndarray:
    """Rows of a decoder in which every value is still open."""
    out = np.zeros(rows, EVENT_DTYPE)
    out["kind"] = int(Kind.TICKER)
    for name in FIELDS.values():
        out[name] = UNSAID
    return out


def known(row: np.void) -> np.void:
    """The same row with unknown for open values."""
    out = row.copy()
    for name, field_name in FIELDS.items():
        if out[field_name] == UNSAID:
            out[field_name] = 0.0
            out["flags"] |= BITS[name]
    return out
