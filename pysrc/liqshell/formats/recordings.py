"""Recordings of frames: our own runs, S4's hourly files, cryptofeed's captures, plain JSON lines of frames. Those of Bybit, Binance USD-M, OKX and
Hyperliquid; a run may hold several venues.

A run of ours gives the events that the live engine was given, in that order, with the marks of the feed and the gaps that the sink found: a backtest
of it decides as live did. Nothing is changed in it. Of other recordings rows are refused and sorted like those of every other format.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqcore.event import EVENT_DTYPE, FeedState
from liqshell.errors import DataError
from liqshell.formats.carried_state import UNHEARD, Carried, DeepBook, unsaid
from liqshell.formats.markets import BYBIT, UNREAD, adapter_of
from liqshell.formats.reading import CENSORED, FULL, UNKNOWN, Reading
from liqshell.formats.validate import Block
from liqshell.recording import journal, reader as recording
from liqshell.recording.line_scan import LineScan
from liqshell.recording.lines import is_capture
from liqshell.recording.marks import Concern, Standing, concerns_of
from liqshell.recording.reader import Record
from liqshell.recording.recorder import END, FEED, GAP, IMAGE, META, REPORT, REST
from liqshell.venues.adapter import Adapter
from liqshell.venues.bybit.decoder import VENUE, PublicDecoder
from liqshell.venues.frames import TICKER, Frame, FrameKind

# The frames of one venue in a recording: its decoder, and which contract of the reading each of its symbols is.
# The contracts of a run are known from its settings. Those of other recordings come up while it is read: the decoder is made anew for each new
# one, with the ticker values that were known. .
TICKERS = sum(TICKER.values())       # the streams that tickers state


class VenueFrames:
    """adapter: of the venue. symbols, first: the contracts of a run, and which number the first of them has there; () = they come up.
    place(symbol): number of a new contract in the reading. gap_ns: silence that means missing data, 0 = none does."""

    def __init__(self, adapter: Adapter, symbols: Sequence[str] = (), first: int = 0, *, place: Callable[[str], int] | None = None, gap_ns: int = 0,
                 alone: bool = True):
        self.adapter, self.gap_ns, self.frame_last = adapter, gap_ns, 0
        self.marked = (-1,) if alone else tuple(range(first, first + len(symbols)))
        self.each = tuple(range(first, first + len(symbols)))
        self.decoder = adapter.decoder(symbols, first)
        self._place = place
        self._places: np.ndarray = np.zeros(0, np.int32)
        self._known: Mapping[tuple[str, str], np.void] = {}
        self._pattern, self._named, self._strange = re.compile(adapter.symbol), adapter.names_in, set[str]()

    def remember(self, tickers: Mapping[tuple[str, str], np.void]) -> None:
        """What earlier files have said, by (venue, symbol): also of contracts that are still to come up."""
        self._known = tickers
        self._recall(self.decoder.symbols)

    def _recall(self, symbols: Sequence[str]) -> None:
        for n, symbol in enumerate(self.decoder.symbols):
            if symbol in symbols and (self.adapter.venue, symbol) in self._known:
                self.decoder.carried[n] = self._known[self.adapter.venue, symbol]

    def forget(self, marked: Sequence[Concern]) -> None:
        """What tickers have said of these contracts: a connection was lost."""
        lost = [n for n, streams in marked if not streams or streams & TICKERS]
        self.decoder.forget(None if -1 in lost else lost)

    def decode(self, frame: bytes, ts_recv: int, out: np.ndarray) -> tuple[int, Frame | None]:
        """Events of a frame into out (their number), and what the frame was where it took the general way."""
        if self._place is not None:
            self._meet(frame)
        found = self.decoder.decode(frame, ts_recv, out)
        frame_info = None if isinstance(found, int) else found
        count = found if isinstance(found, int) else len(found.events)
        if count and self._place is not None:
            out["instrument"][:count] = self._places[out["instrument"][:count]]
        return count, frame_info

    def _meet(self, frame: bytes) -> None:
        known = self.decoder.symbols
        named = [raw.decode("utf-8", "replace") for raw in (self._named.findall(frame) if self._named else ())]
        new = dict.fromkeys(name for name in named if name not in self._strange and name not in known)
        fit = [name for name in new if self._pattern.fullmatch(name)]
        self._strange.update(name for name in new if name not in fit)
        if not fit or not self._of_use(frame):
            return
        before = self.decoder.carried
        self.decoder = self.adapter.decoder((*known, *fit))
        self.decoder.carried[:len(known)] = before[:len(known)]
        self._recall(fit)
        assert self._place is not None
        self._places = np.array([*self._places, *(self._place(name) for name in fit)], np.int32)

    def _of_use(self, frame: bytes) -> bool:
        """Whether a frame that names new contracts holds events at all: those of other channels make no contract."""
        symbols = tuple(dict.fromkeys(raw.decode("utf-8", "replace") for raw in self._named.findall(frame))) if self._named else ()
        trial = self.adapter.decoder(tuple(name for name in symbols if self._pattern.fullmatch(name)))
        return trial.scan.decode(frame, 0, np.zeros(FRAME_EVENTS_MAX, EVENT_DTYPE)) > 0 or bool(trial.read(frame, 0).events)


def frame_counts(frame_info: Frame) -> dict[str, int]:
    """What a frame was, for counters: nothing for what is as it should be."""
    out = {f"row of no use: {reason}": count for reason, count in frame_info.dropped.items()}
    if frame_info.kind not in (FrameKind.EVENTS, FrameKind.ACK, FrameKind.PONG) and not frame_info.dropped:
        out[f"frame {frame_info.kind.name.lower()}" + (f": {frame_info.reason}" if frame_info.reason else "")] = 1
    return out


# A reading that knows what the files before its own have said, see formats/carried_state.py.
# Whoever reads the files of a recording one after the other hands it on. Whoever reads one of them by itself looks back: over as many of the
# files before it as it takes until everything has been said again, or to the first.
class Remembering(Reading):
    """A reading that knows what the files before its own have said. Subclasses read records: `_begin`, `_take` and `_mark`."""

    _meta: Record | None                        # the settings of the run
    _reader: recording.Reader

    def remember_nothing(self) -> None:
        """Before anything is read."""
        self._decoders: dict[tuple[str, str], tuple[PublicDecoder, int]] = {}      # of Bybit's contracts, where no run names them
        self._venues: dict[str, VenueFrames] = {}                       # of a run all venues, else all but Bybit
        self._books: dict[str, DeepBook] = {}
        self._shallow: set[str] = set()         # symbols of which orderbook.1 was seen
        self._run: dict[str, Any] | None = None
        self._last = self._damages = 0          # ts_recv of the last record; damaged places that are marked
        self._sent = [0, 0, 0]
        self._before: Carried | None = None     # what is known at the head of the file; None = to be looked for
        self._file: Path | None = None          # that the last record was from
        self._owed = False                      # marks: something is missing before the next record
        self._met: set[int] = set()             # contracts of which the present file had events
        self._hole: dict[tuple[str, str], dict[str, Any]] | None = None     # a mark for these: hours are missing before this file
        self._standing = Standing()
        self._looking = False                   # back: what is not said stands as such in the decoders

    def _begin(self, record: Record) -> None:
        raise NotImplementedError

    def _take(self, record: Record, at: int) -> int:
        raise NotImplementedError

    def _mark(self, at: int, state: int, ts_event: int, ts_recv: int, marked: Sequence[Concern] = ((-1, 0),)) -> int:
        raise NotImplementedError

    def after(self, before: Carried) -> None:
        """To be read behind another file of the same recording. Without it, what was said before is looked for in the files beside this one."""
        self._before = before

    @property
    def carried(self) -> Carried:
        """What the next file has to know; after the last event."""
        torn = self._owed or self._reader.tears > self._damages
        if torn:
            self._lose()
        tickers = {name: decoder.carried[0].copy() for name, (decoder, _) in self._decoders.items()}
        for venue in (venue for venue in self._venues.values() if venue.decoder.carries):
            tickers |= {(venue.adapter.venue, symbol): venue.decoder.carried[n].copy() for n, symbol in enumerate(venue.decoder.symbols)}
        if self._before is not None:            # contracts of which this file says nothing
            tickers = self._before.tickers | tickers
        frames = {name: venue.frame_last for name, venue in self._venues.items()}
        return Carried(self._reader.files[-1], self._last, torn, self._run is not None, tickers, frames, {**self._books}, frozenset(self._shallow),
                       self._whose(), dict(self._standing.down))

    def _whose(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {self.contracts[n]: dict(self.rules[self.contracts[n]]) for n in sorted(self._met) if n >= 0}

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
        self._owed, self._standing = before.torn, Standing(before.down)
        if not recording.follows(file, before.path):
            self._hole = before.met if self._run is None else None
            self._owed = self._owed or self._run is not None and not recording.adjoins(file, before.path)
            self._lose()

    def _look_back(self, files: list[Path]) -> Carried | None:
        """What the files before this one say: of as many as it takes until all has been said, twice as many each time."""
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
                self._owed = self._owed or self._run is not None and not recording.adjoins(file, before)
                self._lose()
            before, reader, self._damages, self._met = file, recording.read(file, self.options.venue), 0, set()
            try:
                for record in reader:
                    self._torn(reader, record, 0)
                    self._meet(0, self._take(record, 0))
            except DataError:                   # that file is refused when its turn comes
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
        self._venues = venues_of(self._run) if self._run is not None else {}
        if self._run is None:
            self.contracts, self._index, self._rules = [], {}, {}
            self.validator.censored.clear()

    def _torn(self, reader: recording.Reader, record: Record, at: int) -> int:
        """The marks where something could not be read before this record, or where an hour is missing between two files; how many events. What is
        missing was not said, so nothing is known from the last record before it to the first one behind it."""
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
        if not record.ts_recv or record.stream == recording.SKIP:       # it does not say where what is missing ends
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
        """What is not down already, and stays so."""
        if self._run is None:
            return self._standing.up((-1,), (-1,))
        return tuple(one for venue in self._venues.values() for one in self._standing.up(venue.marked, venue.each))

    def _meet(self, at: int, count: int) -> None:
        """Remember which contracts the events from `at` on are of: subclasses know where they stand."""
        raise NotImplementedError

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


def _apart(file: Path, before: Path) -> bool:
    """Whether hours of the same recording are missing between two files."""
    mine, theirs = recording.hour_of(file), recording.hour_of(before)
    return mine is not None and theirs is not None and mine[0] == theirs[0] and mine[1] > theirs[1] + 1


BLOCK_EVENTS = 1 << 18
FRAME_EVENTS_MAX = 4096
LIQUIDATION, FEED_KIND, FEED_GAP = int(lc.Kind.LIQUIDATION), int(lc.Kind.FEED), int(lc.FeedState.FEED_GAP)
TOPICS = ("allLiquidation.", "liquidation.", "publicTrade.", "orderbook.1.", "tickers.")
_SENT = re.compile(rb'"(?:ts|E)"\s*:\s*(\d{13})[,}]')
_SYMBOL = re.compile(r"[!-~]{1,31}")
_RULES = ("tick_size", "lot_size", "multiplier", "min_qty", "max_qty", "min_notional")


class Recordings(Remembering):
    """The frames of a file, or of the folder of a run.

    send_delay_ms: (liquidation frames, mean, most) of the venue's time of sending less the time of the first event in the frame
    """

    format = "recording"

    def prepare(self) -> None:
        self._reader = recording.read(self.path, self.options.venue)
        self._out = np.zeros(BLOCK_EVENTS, lc.EVENT_DTYPE)
        self._instruments, self._kinds = self._out["instrument"], self._out["kind"]
        self._lines = np.zeros(BLOCK_EVENTS, np.int64)
        self._count = self._number = 0              # events in the buffer; of the last record
        self._scanned: dict[str, VenueFrames] | None = None     # the venues of the scan
        self.remember_nothing()
        self._meta = self._first()
        if self._meta is not None:
            self._begin(self._meta)

    @property
    def send_delay_ms(self) -> tuple[int, float, int]:
        count, total, most = self._sent
        return count, total / count if count else 0.0, most

    def _first(self) -> Record | None:
        """The settings of the run: its first line, which for a later hour stands in the first file of its folder."""
        files = [self._reader.files[0]]
        if files[0].parent.name == recording.FRAMES:
            files.insert(0, recording.read(files[0].parent).files[0])
        for file in files:
            record = next(iter(recording.read(file, self.options.venue)), None)
            if record is not None and record.stream == META:
                return record
        return None

    def _made_by(self) -> dict[str, Any]:
        """What the run.json beside the frames says of the market."""
        folder = self._reader.files[0].parent
        folder = folder.parent if folder.name == recording.FRAMES else folder
        try:
            return journal.load_manifest(folder)
        except DataError:
            return {}                           # frames without their run: nothing is said

    def _begin(self, record: Record) -> None:
        """Settings of a run: contracts in the order that live had."""
        found = _object(record, str(self.path))
        try:
            contracts = [(str(fields["venue"]), str(fields["symbol"]), fields) for fields in found["instruments"]]
        except (KeyError, TypeError):
            raise DataError(str(self.path), "the settings of the run name no instruments", "the form that a run of liqcore writes") from None
        for venue, symbol, fields in contracts:
            said = {name: fields[name] for name in _RULES if fields.get(name) not in (None, 0)}
            said["completeness"] = lc.Completeness(int(fields.get("completeness", 0))).name.removeprefix("COMPLETENESS_")
            self.instrument(venue, symbol, **said)
        made_by = self._made_by()
        if made_by.get("synthetic"):
            self.synthetic(seed for seed in made_by.get("market_seeds") or () if isinstance(seed, int))
        self._run = found
        self.validator.faithful = True
        self._venues = venues_of(found)

    def blocks(self) -> Iterator[Block]:
        self._warm()
        out, lines = self._out, self._lines
        self._count = self._number = 0
        self._reader.scan = self._scan
        for record in self._reader:
            self._number += 1
            before = self._count
            self._count += self._torn(self._reader, record, self._count)
            taken = self._take(record, self._count)
            self._meet(self._count, taken)
            self._count += taken
            lines[before:self._count] = self._number
            if self._count > BLOCK_EVENTS - 2 * FRAME_EVENTS_MAX:       # room for the longest record and a scan that may end with such a one
                yield Block(out[:self._count].copy(), lines[:self._count].copy())
                self._count = 0
        if self._count and self.contracts:          # of a file without contracts it says why, not where its gaps lie
            yield Block(out[:self._count].copy(), lines[:self._count].copy())
        self._conclude()

    def _scan(self, text: bytes, at: int) -> tuple[int, int]:
        """Lines of a run that hold frames, read in C from text[at] on, up to the first one that wants a closer look: as `_torn` and `_take` read
        them. The offset behind them, and their number."""
        if self._run is None or self._file is not self._reader.file or self._reader.tears > self._damages or self._owed or self._hole is not None:
            return at, 0
        if self._scanned is not self._venues:       # the settings came, or came again
            self._scanned = self._venues
            self._line_scan = LineScan([(name, one.decoder.scan, one.gap_ns) for name, one in self._venues.items()])
        scan, venues, first = self._line_scan, list(self._venues.values()), self._number
        scan.last[:len(venues)] = [one.frame_last for one in venues]
        while True:
            scan.run(text, at, self._out, self._lines, self._count, self._number + 1)
            at, self._count, self._number = scan.at, scan.rows, self._number + scan.lines
            if scan.lines:
                self._last = scan.ts
            if scan.found < 0:
                break
            venue, before = venues[scan.venue], self._count
            venue.frame_last = int(scan.last[scan.venue])
            self._count += self._placed(venue, scan.frame(text), False, scan.ts, before, scan.found)
            self._lines[before:self._count] = self._number
            scan.last[scan.venue] = venue.frame_last
        for one, last in zip(venues, scan.last.tolist(), strict=False):
            one.frame_last = last
        return at, self._number - first

    def _meet(self, at: int, count: int) -> None:
        if count and self._run is None:
            self._met.update(self._instruments[at:at + count].tolist())

    def _take(self, record: Record, at: int) -> int:
        """Events of one record into the buffer from `at` on; how many."""
        if record.stream == META:
            self._begin(record)
        elif record.stream == FEED:
            return self._feed(record, at)
        elif record.stream == GAP:
            self._owed = True                       # frames were dropped behind it
        elif record.stream not in (END, REPORT, IMAGE, recording.SKIP):
            return self._frame(record, at)
        return 0

    def _conclude(self) -> None:
        for damage in self._reader.damage:
            self.note(f"{Path(damage.file).name}: {damage.text}")
            self.counts["damaged places, lines lost"] += damage.lines_dropped
        if lost := sum(book.lost for book in self._books.values()):
            self.counts["frame of no use: change of a book of which one before is missing"] += lost
        strange = any(what.startswith("frame of no use: the exchange") for what in self.counts)
        if self._reader.damage and not self.findings.rows and not (strange and not self.contracts):
            raise DataError(str(self.path), self._reader.damage_text(), "a recording", "No line of it is readable")
        if not self.contracts:
            found = "; ".join(f"{count} x {what}" for what, count in self.counts.most_common(4))
            raise DataError(str(self.path), "no frame with a supported topic" + (f" ({found})" if found else ""),
                            f"topics {', '.join(t + '*' for t in TOPICS)}, or frames of Binance, OKX or Hyperliquid")

    def _frame(self, record: Record, at: int) -> int:
        """Events of one frame into the buffer from `at` on, behind a gap where the silence before it was too long; how many."""
        ts = record.ts_recv
        if record.source == recording.RAW:
            self._raw()
            ts += self.options.feed_latency_ns if ts else 0
        ts = ts or self._last                       # an acknowledgement among raw frames: it stays behind the one before it
        self._last = ts
        if self._run is not None or record.exchange.lower() not in BYBIT:
            if record.exchange in UNREAD and self._run is None:
                self.counts[f"frame of no use: {UNREAD[record.exchange]}"] += 1
                return 0
            return self._of_venue(self._venue(record), record, ts, at)
        venue = BYBIT[record.exchange.lower()]
        if record.symbol and not _SYMBOL.fullmatch(record.symbol):
            self.counts["frame malformed: symbol"] += 1
            return 0
        if record.stream.startswith("orderbook."):
            if not record.stream.startswith("orderbook.1."):
                return self._deep(venue, record, ts, at)
            self._shallow.add(_place(venue, record.symbol))
        decoder, instrument = self._decoder(venue, record)
        if decoder is None:
            return 0
        found = decoder.decode(record.frame, ts, self._out[at:])
        if not isinstance(found, int):
            self.counts.update(frame_counts(found))
            found = len(found.events)
        if not found:
            return 0
        if instrument >= 0:
            self._instruments[at:at + found] = instrument
        if self._kinds[at] == LIQUIDATION:
            self._note_sent(record.frame, int(self._out["ts_event"][at]))
        return found

    def _of_venue(self, venue: VenueFrames, record: Record, ts: int, at: int) -> int:
        """The same, of a venue of a run, or of another venue than Bybit."""
        found, frame_info = venue.decode(record.frame, ts, self._out[at:])
        if frame_info is not None:
            self.counts.update(frame_counts(frame_info))
        return self._placed(venue, record.frame, record.source == REST, ts, at, found) if found else 0

    def _placed(self, venue: VenueFrames, frame: bytes, polled: bool, ts: int, at: int, found: int) -> int:
        """Of a frame whose events stand in the buffer from `at` on: how many they are, with the gap before them where there is one."""
        if self._kinds[at] == LIQUIDATION:          # a frame is of one kind
            self._note_sent(frame, int(self._out["ts_event"][at]))
        if polled:                                  # the answer to a poll says nothing about the stream
            return found
        before, venue.frame_last = venue.frame_last, ts
        if venue.gap_ns and before and ts - before > venue.gap_ns:
            marks = len(venue.marked)
            self._out[at + marks:at + marks + found] = self._out[at:at + found].copy()
            return found + self._mark(at, FEED_GAP, before, ts, [(n, 0) for n in venue.marked])
        return found

    def _venue(self, record: Record) -> VenueFrames:
        found = self._venues.get(record.exchange)
        if found is None and self._run is not None:
            if len(self._venues) == 1:
                return next(iter(self._venues.values()))
            raise DataError(str(self.path), f"a frame of {record.exchange!r}", f"frames of {', '.join(self._venues)}, as the settings say")
        if found is None:
            try:
                adapter = adapter_of(record.exchange)
            except ValueError as why:
                raise DataError(str(self.path), str(why), "frames of a venue that has a decoder", "Convert them into an event table") from None
            completeness = adapter.completeness.name.removeprefix("COMPLETENESS_")
            found = VenueFrames(adapter, place=lambda symbol: self.instrument(adapter.venue, symbol, completeness=completeness))
            found.remember({} if self._looking or self._before is None else self._before.tickers)
            self._venues[record.exchange] = found
            if adapter.venue == "okx" and not self.options.multipliers:
                self.note("OKX counts in contracts: the notional of linear ones needs their multiplier (ctVal x ctMult)")
        return found

    def _deep(self, venue: str, record: Record, ts: int, at: int) -> int:
        """A frame of a deeper book, which live does not subscribe to: the quote that it makes, unless the contract has quotes of its own."""
        if not record.symbol or _place(venue, record.symbol) in self._shallow:
            self.counts["frame of no use: deeper book beside orderbook.1"] += 1
            return 0
        name = _place(venue, record.stream)
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = DeepBook()
            self.note(f"quotes are the best levels of {record.stream.rpartition('.')[0]}")
        try:
            event = book.event(record.frame, ts, self._contract(venue, record.symbol))
        except ValueError:
            self.counts["frame malformed: deeper book"] += 1
            return 0
        if event is None:
            return 0
        self._out[at] = event
        return 1

    def _raw(self) -> None:
        self.received = "modelled"
        self.note(f"raw frames without a time of receipt: the venue's time of sending + {self.options.feed_latency_ms:g} ms stands for it")

    def _contract(self, venue: str, symbol: str) -> int:
        return self.instrument(venue, symbol, completeness=FULL if venue == VENUE else UNKNOWN)

    def _decoder(self, venue: str, record: Record) -> tuple[PublicDecoder | None, int]:
        """Of Bybit's frames where no run names the contracts: one a symbol, because symbols are not known before they come; its index."""
        if not record.symbol or not record.stream.startswith(TOPICS):
            self.counts[f"frame of no use: {record.stream.split('.')[0][:40] or 'without a topic'}"] += 1
            return None, -1
        name = venue, record.symbol
        found = self._decoders.get(name)
        if found is None:
            found = self._decoders[name] = PublicDecoder((record.symbol,)), self._contract(venue, record.symbol)
            if self._looking:
                found[0].carried[:] = unsaid(1)
            elif self._before is not None and name in self._before.tickers:
                found[0].carried[0] = self._before.tickers[name]
        if record.stream.startswith("liquidation."):
            self.rules[name]["completeness"] = CENSORED
            self.note("topic liquidation.*: at most one liquidation a second and contract")
        return found

    def _feed(self, record: Record, at: int) -> int:
        found = _object(record, str(self.path))
        try:
            state, ts = lc.FeedState(found["state"]), int(found.get("ts_event", record.ts_recv))
        except (KeyError, ValueError, TypeError):
            raise DataError(str(self.path), f"feed mark {record.frame[:60]!r}", '{"state": 1, 2 or 3}') from None
        own = self._venues.get(found.get("venue", ""))
        marked: tuple[Concern, ...] = ((-1, 0),)
        if own is not None:
            marked = concerns_of(found, own.marked, own.decoder.symbols, own.decoder.first)
        each = (-1,) if self._run is None else own.each if own is not None else tuple(range(len(self.contracts)))
        self._standing.take(state, marked, each)
        for name, venue in self._venues.items():
            if state == lc.FeedState.FEED_DOWN and found.get("venue", name) == name:     # as live: a new connection begins with whole values
                venue.forget(marked)
                venue.frame_last = 0
        return self._mark(at, state, ts, record.ts_recv, marked)

    def _mark(self, at: int, state: int, ts_event: int, ts_recv: int, marked: Sequence[Concern] = ((-1, 0),)) -> int:
        self._last = max(self._last, ts_recv)       # as the sink: a mark never lies before what was seen
        for n, (instrument, streams) in enumerate(marked, at):
            self._out[n] = (ts_event, self._last, 0.0, 0.0, 0.0, 0.0, 0, instrument, FEED_KIND, 0, streams, int(state))
        return len(marked)

    def _note_sent(self, frame: bytes, ts_event: int) -> None:
        sent = _SENT.search(frame)
        if sent:
            delay = int(sent[1]) - ts_event // 1_000_000
            self._sent = [self._sent[0] + 1, self._sent[1] + delay, max(self._sent[2], delay)]


def _place(venue: str, name: str) -> str:
    """What a topic or symbol of one of Bybit's markets is known by: they use one name for several."""
    return name if venue == VENUE else f"{venue}:{name}"


def _object(record: Record, where: str) -> dict[str, Any]:
    try:
        found = orjson.loads(record.frame)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DataError(where, f"a mark of the recorder is not an object: {record.frame[:60]!r}", "the form that a run writes")
    return found


def sniff(path: Path, first: str) -> bool:
    """A folder with recordings, lines of JSON objects, or of a collector."""
    if path.is_dir():
        return True
    return first.startswith(("{", "[{")) or first == "[" or is_capture(first.encode())
