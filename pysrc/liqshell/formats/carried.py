"""What the reader of a recording knows at the end of one file and has to know at the head of the next: what tickers have said, which their changes
leave out, the books that changes are applied to, and when a stream last spoke.

Whoever reads the files of a recording one after the other hands it on. Whoever reads one of them by itself looks back: over as many of the files
before it as it takes until everything has been said again, or to the first. `UNSAID` stands meanwhile for what the files that are read have not said.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE, FeedState, Kind
from liqshell import recording
from liqshell.errors import DataError
from liqshell.formats.deep_book import DeepBook
from liqshell.formats.reading import Reading
from liqshell.formats.venue_frames import VenueFrames
from liqshell.recording import Record
from liqshell.streams import BITS, FIELDS
from liqshell.venues.adapters import adapter_of
from liqshell.venues.bybit import VENUE, PublicDecoder

UNSAID = 3.0e-300               # no price, size or rate: still there after a file has been read = the file did not say it
UNHEARD = -1                    # the same of the time of the last frame
SILENT = 4                      # hours without any ticker of a contract: there are none in this recording


@dataclass(frozen=True)
class Carried:
    """At the end of `path`. run: it is of a run of ours, whose last file may hold no event. tickers: (venue, symbol) -> the decoder's row of it.
    frames: venue -> when its last frame was received, ns. books: by topic. shallow: the symbols that have quotes of their own. torn: the file ends in
    a place that could not be read."""

    path: Path
    last: int = 0
    torn: bool = False
    run: bool = False
    tickers: dict[tuple[str, str], np.void] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    books: dict[str, DeepBook] = field(default_factory=dict)
    shallow: frozenset[str] = frozenset()

    def settled(self, files: int) -> bool:
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


class Remembering(Reading):
    """A reading that knows what the files before its own have said. Subclasses read records: `_begin`, `_take` and `_mark`."""

    _meta: Record | None                        # the settings of the run
    _reader: recording.Reader

    def remember_nothing(self) -> None:
        """Before anything is read."""
        self._decoders: dict[str, tuple[PublicDecoder, int]] = {}      # of Bybit's contracts, where no run names them
        self._venues: dict[str, VenueFrames] = {}                       # of a run all venues, else all but Bybit
        self._books: dict[str, DeepBook] = {}
        self._shallow: set[str] = set()         # symbols of which orderbook.1 was seen
        self._run: dict[str, Any] | None = None
        self._last = self._damages = 0          # ts_recv of the last record; damaged places that are marked
        self._sent = [0, 0, 0]
        self._before: Carried | None = None     # what is known at the head of the file; None = to be looked for
        self._file: Path | None = None          # that the last record was from
        self._owed = False                      # a mark: the file before this one ends in a place that could not be read
        self._looking = False                   # back: what is not said stands as such in the decoders

    def _begin(self, record: Record) -> None:
        raise NotImplementedError

    def _take(self, record: Record, at: int) -> int:
        raise NotImplementedError

    def _mark(self, at: int, state: int, ts_event: int, ts_recv: int) -> int:
        raise NotImplementedError

    def after(self, before: Carried) -> None:
        """To be read behind another file of the same recording. Without it, what was said before is looked for in the files beside this one."""
        self._before = before

    @property
    def carried(self) -> Carried:
        """What the next file has to know; after the last event."""
        torn = len(self._reader.damage) > self._damages
        if torn:
            self._lose()
        tickers = {(VENUE, symbol): decoder.carried[0].copy() for symbol, (decoder, _) in self._decoders.items()}
        for venue in (venue for venue in self._venues.values() if venue.decoder.carries):
            tickers |= {(venue.adapter.venue, symbol): venue.decoder.carried[n].copy() for n, symbol in enumerate(venue.decoder.symbols)}
        if self._before is not None:            # contracts of which this file says nothing
            tickers = self._before.tickers | tickers
        frames = {name: venue.frame_last for name, venue in self._venues.items()}
        return Carried(self._reader.files[-1], self._last, torn, self._run is not None, tickers, frames, {**self._books}, frozenset(self._shallow))

    def _warm(self) -> None:
        """A later hour begins where the one before it ended: with what tickers had said by then, the books, and the time of the last frame."""
        file = self._reader.files[0]
        if self._before is None:
            self._before = self._look_back(recording.earlier(file))
        if self._before is None:
            return
        before = self._before
        if self._meta is not None:
            self._begin(self._meta)             # the decoders anew
        self._last, self._books, self._shallow = before.last, copy.deepcopy(before.books), set(before.shallow)
        for name, venue in self._venues.items():
            venue.frame_last = before.frames.get(name, 0)
            venue.remember(before.tickers)
        self._owed = before.torn
        if not recording.follows(file, before.path):
            self._lose()

    def _look_back(self, files: list[Path]) -> Carried | None:
        """What the files before this one say: of as many as it takes until all has been said, twice as many each time."""
        aside = dict(self.counts), list(self.notes), self.received
        found, reach = None, 1
        self._looking = True
        while files and (found is None or not found.settled(reach // 2) and reach < 2 * len(files)):
            found = self._passed(files[-reach:])
            reach *= 2
        self._looking = False
        self._start()
        self.counts.clear()
        self.counts.update(aside[0])
        self.notes, self.received, self._sent = aside[1], aside[2], [0, 0, 0]
        return found.or_unknown() if found is not None else None

    def _passed(self, files: Sequence[Path]) -> Carried:
        """What is known after these files, of which nothing else is wanted."""
        self._start()
        if self._meta is not None:
            self._begin(self._meta)
            for venue in self._venues.values():
                venue.decoder.carried[:] = unsaid(len(venue.decoder.carried))
                venue.frame_last = UNHEARD
        before: Path | None = None
        for file in files:
            if before is not None and not recording.follows(file, before):
                self._lose()
            before, reader, self._damages = file, recording.read(file), 0
            try:
                for record in reader:
                    self._torn(reader, record, 0)
                    self._take(record, 0)
            except DataError:                   # that file is refused when its turn comes
                self._lose()
            self._owed = len(reader.damage) > self._damages
            if self._owed:
                self._lose()
        found = replace(self.carried, path=files[-1], torn=self._owed)
        self._owed = False
        return found

    def _start(self) -> None:
        """As if nothing of the market had been read."""
        self._decoders, self._books, self._shallow, self._last, self._damages = {}, {}, set(), 0, 0
        self._file, self._owed = None, False
        self._venues = venues_of(self._run) if self._run is not None else {}
        if self._run is None:
            self.contracts, self._index, self._rules = [], {}, {}
            self.validator.censored.clear()

    def _torn(self, reader: recording.Reader, record: Record, at: int) -> int:
        """The mark where something could not be read before this record, or where an hour is missing between two files; how many events."""
        file, self._file = self._file, reader.file
        torn = self._owed or len(reader.damage) > self._damages
        if not torn and (file is None or file == self._file or self._run is None or _on(self._file, file)):
            return 0
        self._lose()
        if not torn:
            return 0                            # the silence is found by the times of the frames
        self._damages, self._owed = len(reader.damage), False
        return self._mark(at, int(FeedState.FEED_GAP), self._last, record.ts_recv)

    def _lose(self) -> None:
        """Something was missed: what was known is so no longer, until it is said again."""
        for decoder, _ in self._decoders.values():
            decoder.forget()
        for venue in self._venues.values():
            venue.decoder.forget()
        for book in self._books.values():
            book.forget()
        if self._before is not None:
            self._before = replace(self._before, tickers={})


def venues_of(settings: dict[str, Any]) -> dict[str, VenueFrames]:
    """The feeds of a run by venue; one from before there were several has one."""
    symbols = [str(fields["symbol"]) for fields in settings["instruments"]]
    feeds = settings.get("feeds") or [{"venue": settings["instruments"][0].get("venue") or VENUE, "first": 0, "count": len(symbols),
                                       "gap_ns": settings.get("gap_ns", 0)}]
    return {one["venue"]: VenueFrames(adapter_of(one["venue"]), symbols[one["first"]:one["first"] + one["count"]], one["first"],
                                      gap_ns=int(one["gap_ns"]), alone=len(feeds) == 1) for one in feeds}


def _on(file: Path | None, before: Path) -> bool:
    """Whether nothing is missing between two files of a run, as far as their names say."""
    return file is None or recording.hour_of(file) is None or recording.follows(file, before)
