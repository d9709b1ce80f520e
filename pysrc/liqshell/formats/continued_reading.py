"""A reading that begins with the state of the files before its own, see formats/carried_state.py.

A reader of the files of a recording in order passes the state on. A reader of one file alone looks back over the files before it until every
value is known, or to the first file.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from liqcore.event import FeedState
from liqshell.errors import DataError
from liqshell.formats.carried_state import UNHEARD, Carried, unsaid
from liqshell.formats.deep_book import DeepBook
from liqshell.formats.markets import adapter_of
from liqshell.formats.reading import Reading
from liqshell.formats.venue_frames import VenueFrames
from liqshell.recording import reader as recording
from liqshell.recording.feeds import use_venues
from liqshell.recording.marks import Concern, Standing
from liqshell.recording.reader import Record
from liqshell.venues.bybit.decoder import PublicDecoder


class Remembering(Reading):
    """A reading that begins with the state of the files before its own. Subclasses read records: `_begin`, `_take` and `_mark`."""

    _meta: Record | None  # the settings of the run
    _reader: recording.Reader

    def remember_nothing(self) -> None:
        """Before anything is read."""
        self._decoders: dict[tuple[str, str], tuple[PublicDecoder, int]] = {}  # of Bybit's contracts, where no run names them
        self._venues: dict[str, VenueFrames] = {}  # of a run all venues, else all but Bybit
        self._books: dict[str, DeepBook] = {}
        self._shallow: set[str] = set()  # symbols of which orderbook.1 was seen
        self._run: dict[str, Any] | None = None
        self._last = self._damages = 0  # ts_recv of the last record; damaged places that are marked
        self._sent = [0, 0, 0]
        self._before: Carried | None = None  # what is known at the head of the file; None = to be looked for
        self._file: Path | None = None  # that the last record was from
        self._owed = False  # marks: something is missing before the next record
        self._met: set[int] = set()  # contracts of which the present file had events
        self._hole: dict[tuple[str, str], dict[str, Any]] | None = None  # a mark for these: hours are missing before this file
        self._standing = Standing()
        self._looking = False  # back: what is not said stands as such in the decoders

    def _begin(self, record: Record) -> None:
        raise NotImplementedError

    def _take(self, record: Record, at: int) -> int:
        raise NotImplementedError

    def _mark(self, at: int, state: int, ts_event: int, ts_recv: int, marked: Sequence[Concern] = ((-1, 0),)) -> int:
        raise NotImplementedError

    def after(self, before: Carried) -> None:
        """To be read behind another file of the same recording. Without it, the earlier values are searched in the files beside this one."""
        self._before = before

    @property
    def carried(self) -> Carried:
        """The state for the next file, after the last event."""
        torn = self._owed or self._reader.tears > self._damages
        if torn:
            self._lose()
        tickers = {name: decoder.carried[0].copy() for name, (decoder, _) in self._decoders.items()}
        for venue in (venue for venue in self._venues.values() if venue.decoder.carries):
            tickers |= {(venue.adapter.venue, symbol): venue.decoder.carried[n].copy() for n, symbol in enumerate(venue.decoder.symbols)}
        if self._before is not None:  # contracts of which this file says nothing
            tickers = self._before.tickers | tickers
        frames = {name: venue.frame_last for name, venue in self._venues.items()}
        return Carried(
            self._reader.files[-1],
            self._last,
            torn,
            self._run is not None,
            tickers,
            frames,
            {**self._books},
            frozenset(self._shallow),
            self._whose(),
            dict(self._standing.down),
        )

    def _whose(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {self.contracts[n]: dict(self.rules[self.contracts[n]]) for n in sorted(self._met) if n >= 0}

    def _warm(self) -> None:
        """A later hour begins with the state at the end of the previous one: ticker values, books, and the time of the last frame."""
        file = self._reader.files[0]
        if self._before is None:
            self._before = self._look_back(recording.earlier(file))
        if self._before is None:
            return
        before = self._before
        if self._meta is not None:
            self._begin(self._meta)  # the decoders anew
        self._last, self._books, self._shallow = before.last, copy.deepcopy(before.books), set(before.shallow)
        for name, venue in self._venues.items():
            venue.frame_last = before.frames.get(name, 0)
            venue.remember(before.tickers)
        self._owed, self._standing = before.torn, Standing(before.down)
        if not recording.follows(file, before.path):
            self._hole = before.met if self._run is None else None
            self._owed = self._owed or self._run is not None and not recording.adjoins(file, before.path)
            self._lose()

    def _look_back(self, files: list[Path]) -> Carried | None:
        """The state by the files before this one: reads twice as many each time, until every value is known."""
        aside = dict(self.counts), list(self.notes), self.received
        found, reach = None, 1
        self._looking = True
        while files and (found is None or not found.is_complete(reach // 2) and reach < 2 * len(files)):
            found = self._passed(files[-reach:])
            reach *= 2
        self._looking = False
        self._start()
        self.counts.clear()
        self.counts.update(aside[0])
        self.notes, self.received, self._sent = aside[1], aside[2], [0, 0, 0]
        return found.or_unknown() if found is not None else None

    def _passed(self, files: Sequence[Path]) -> Carried:
        """Reads these files for their state; their events are not used."""
        self._start()
        if self._meta is not None:
            self._begin(self._meta)
            for venue in self._venues.values():
                venue.decoder.carried[:] = unsaid(len(venue.decoder.carried))
                venue.frame_last = UNHEARD
        before: Path | None = None
        for file in files:
            if before is not None and not recording.follows(file, before):
                self._owed = self._owed or self._run is not None and not recording.adjoins(file, before)
                self._lose()
            before, reader, self._damages, self._met = file, recording.read(file, self.options.venue), 0, set()
            try:
                for record in reader:
                    self._torn(reader, record, 0)
                    self._meet(0, self._take(record, 0))
            except DataError:  # that file is refused when its turn comes
                self._lose()
            self._owed = self._owed or reader.tears > self._damages
            if self._owed:
                self._lose()
        found = replace(self.carried, path=files[-1], torn=self._owed)
        self._owed = False
        return found

    def _start(self) -> None:
        """As if nothing of the market had been read."""
        self._decoders, self._books, self._shallow, self._last, self._damages = {}, {}, set(), 0, 0
        self._file, self._owed, self._met, self._hole, self._standing = None, False, set(), None, Standing()
        self._venues = venues_of(self._run, self.path) if self._run is not None else {}
        if self._run is None:
            self.contracts, self._index, self._rules = [], {}, {}
            self.validator.censored.clear()

    def _torn(self, reader: recording.Reader, record: Record, at: int) -> int:
        """The marks where something could not be read before this record, or where an hour is missing between two files; how many events. The lost
        part is unknown, so no value is known from the last record before it to the first one after it."""
        file, self._file = self._file, reader.file
        if file != self._file:
            if file is not None and self._file is not None and self._run is None and _apart(self._file, file):
                self._hole = self._whose()
                self._lose()
            elif file is not None and self._file is not None and self._run is not None and not recording.adjoins(self._file, file):
                self._owed = True
            self._met = set()
        self._owed, self._damages = self._owed or reader.tears > self._damages, reader.tears
        if self._owed:
            self._lose()
        if not record.ts_recv or record.stream == recording.SKIP:  # it does not say where what is missing ends
            return 0
        marks = 0
        if self._hole is not None:
            marked = tuple((self.instrument(*name, **rules), 0) for name, rules in self._hole.items())
            self._hole = None
            marks = self._missing(at, record.ts_recv, marked or ((-1, 0),)) if self._last else 0
        if self._owed:
            self._owed = False
            marks += self._missing(at + marks, record.ts_recv, self._up())
        return marks

    def _missing(self, at: int, ts_recv: int, marked: Sequence[Concern]) -> int:
        """The marks of what is missing before ts_recv, in the buffer from `at` on; how many. A store has marks before all else of their moment, so
        the first one stands behind the moment of the last record."""
        since = min(self._last + 1, ts_recv) if self._last else ts_recv
        down = self._mark(at, int(FeedState.FEED_DOWN), since, since, marked)
        return down + self._mark(at + down, int(FeedState.FEED_UP), ts_recv, ts_recv, marked)

    def _up(self) -> tuple[Concern, ...]:
        """The parts that are up and stay up."""
        if self._run is None:
            return self._standing.up((-1,), (-1,))
        return tuple(one for venue in self._venues.values() for one in self._standing.up(venue.marked, venue.each))

    def _meet(self, at: int, count: int) -> None:
        """Remember which contracts the events from `at` on are of: subclasses know where they stand."""
        raise NotImplementedError

    def _lose(self) -> None:
        """Data was missed: each known value is unknown until it is received again."""
        for decoder, _ in self._decoders.values():
            decoder.forget()
        for venue in self._venues.values():
            venue.decoder.forget()
        for book in self._books.values():
            book.forget()
        if self._before is not None:
            self._before = replace(self._before, tickers={})


def venues_of(settings: dict[str, Any], where: str | Path) -> dict[str, VenueFrames]:
    """The feeds of a run by venue. where: what has these settings, for messages."""
    symbols = [str(fields["symbol"]) for fields in settings["instruments"]]
    feeds = use_venues({"gap_ns": 0} | settings, where)
    return {
        one["venue"]: VenueFrames(
            adapter_of(one["venue"], where),
            symbols[one["first"] : one["first"] + one["count"]],
            one["first"],
            gap_ns=int(one["gap_ns"]),
            alone=len(feeds) == 1,
        )
        for one in feeds
    }


def _apart(file: Path, before: Path) -> bool:
    """Whether hours of the same recording are missing between two files."""
    mine, theirs = recording.hour_of(file), recording.hour_of(before)
    return mine is not None and theirs is not None and mine[0] == theirs[0] and mine[1] > theirs[1] + 1
