"""Recordings of frames: our own runs, the research plan's hourly files, cryptofeed's captures, plain JSON lines of frames. Those of Bybit, Binance
USD-M, OKX and Hyperliquid; a run may hold several venues.

A run of liqcore gives the events of the live engine in the same order, with the marks of the feed and the gaps that the sink found: a backtest of it
makes the same decisions. Nothing is changed in it. Of other recordings rows are refused and sorted like those of every other format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqshell.errors import DataError
from liqshell.formats.carried_state import unsaid
from liqshell.formats.continued_reading import Remembering, venues_of
from liqshell.formats.deep_book import DeepBook
from liqshell.formats.markets import BYBIT, UNREAD, adapter_of
from liqshell.formats.reading import CENSORED, FULL, UNKNOWN
from liqshell.formats.validate import Block
from liqshell.formats.venue_frames import VenueFrames, frame_counts
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.line_scan import LineScan
from liqshell.recording.lines import is_capture
from liqshell.recording.marks import Concern, concerns_of
from liqshell.recording.reader import Record
from liqshell.recording.recorder import END, FEED, GAP, IMAGE, META, REPORT, REST
from liqshell.venues.bybit.decoder import VENUE, PublicDecoder

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
        self._count = self._number = 0  # events in the buffer; of the last record
        self._scanned: dict[str, VenueFrames] | None = None  # the venues of the scan
        self.remember_nothing()
        self._meta = self._first()
        if self._meta is not None:
            self._begin(self._meta)

    @property
    def send_delay_ms(self) -> tuple[int, float, int]:
        count, total, most = self._sent
        return count, total / count if count else 0.0, most

    def _first(self) -> Record | None:
        """The settings of the run: its first line, for a later hour that of the first file in its folder."""
        files = [self._reader.files[0]]
        if files[0].parent.name == recording.FRAMES:
            files.insert(0, recording.read(files[0].parent).files[0])
        for file in files:
            record = next(iter(recording.read(file, self.options.venue)), None)
            if record is not None and record.stream == META:
                return record
        return None

    def _made_by(self) -> dict[str, Any]:
        """The market's description in the run.json beside the frames."""
        folder = self._reader.files[0].parent
        folder = folder.parent if folder.name == recording.FRAMES else folder
        try:
            return journal.load_manifest(folder)
        except DataError:
            return {}  # frames without their run: nothing is said

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
        self._venues = venues_of(found, self.path)

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
            lines[before : self._count] = self._number
            if self._count > BLOCK_EVENTS - 2 * FRAME_EVENTS_MAX:  # room for the longest record and a scan that may end with such a one
                yield Block(out[: self._count].copy(), lines[: self._count].copy())
                self._count = 0
        if self._count and self.contracts:  # of a file without contracts it says why, not where its gaps lie
            yield Block(out[: self._count].copy(), lines[: self._count].copy())
        self._conclude()

    def _scan(self, text: bytes, at: int) -> tuple[int, int]:
        """Lines of a run that hold frames, read in C from text[at] on, up to the first one that `_torn` and `_take` must read. The offset behind
        them, and their number."""
        if self._run is None or self._file is not self._reader.file or self._reader.tears > self._damages or self._owed or self._hole is not None:
            return at, 0
        if self._scanned is not self._venues:  # the settings came, or came again
            self._scanned = self._venues
            self._line_scan = LineScan([(name, one.decoder.scan, one.gap_ns) for name, one in self._venues.items()])
        scan, venues, first = self._line_scan, list(self._venues.values()), self._number
        scan.last[: len(venues)] = [one.frame_last for one in venues]
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
            self._lines[before : self._count] = self._number
            scan.last[scan.venue] = venue.frame_last
        for one, last in zip(venues, scan.last.tolist(), strict=False):
            one.frame_last = last
        return at, self._number - first

    def _meet(self, at: int, count: int) -> None:
        if count and self._run is None:
            self._met.update(self._instruments[at : at + count].tolist())

    def _take(self, record: Record, at: int) -> int:
        """Events of one record into the buffer from `at` on; how many."""
        if record.stream == META:
            self._begin(record)
        elif record.stream == FEED:
            return self._feed(record, at)
        elif record.stream == GAP:
            self._owed = True  # frames were dropped behind it
        elif record.stream not in (END, REPORT, IMAGE, recording.SKIP):
            return self._frame(record, at)
        return 0

    def _conclude(self) -> None:
        for damage in self._reader.damage:
            self.note(f"{Path(damage.file).name}: {damage.text}")
            self.counts["damaged places, lines lost"] += damage.lines_dropped
        if lost := sum(book.lost for book in self._books.values()):
            self.counts["frame not used: change of a book of which one before is missing"] += lost
        strange = any(what.startswith("frame not used: the exchange") for what in self.counts)
        if self._reader.damage and not self.findings.rows and not (strange and not self.contracts):
            raise DataError(str(self.path), self._reader.damage_text(), "a recording", "No line of it is readable")
        if not self.contracts:
            found = "; ".join(f"{count} x {what}" for what, count in self.counts.most_common(4))
            raise DataError(
                str(self.path),
                "no frame with a supported topic" + (f" ({found})" if found else ""),
                f"topics {', '.join(t + '*' for t in TOPICS)}, or frames of Binance, OKX or Hyperliquid",
            )

    def _frame(self, record: Record, at: int) -> int:
        """Events of one frame into the buffer from `at` on, behind a gap where the silence before it was too long; how many."""
        ts = record.ts_recv
        if record.source == recording.RAW:
            self._raw()
            ts += self.options.feed_latency_ns if ts else 0
        ts = ts or self._last  # an acknowledgement among raw frames: it stays behind the one before it
        self._last = ts
        if self._run is not None or record.exchange.lower() not in BYBIT:
            if record.exchange in UNREAD and self._run is None:
                self.counts[f"frame not used: {UNREAD[record.exchange]}"] += 1
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
            self._instruments[at : at + found] = instrument
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
        if self._kinds[at] == LIQUIDATION:  # a frame is of one kind
            self._note_sent(frame, int(self._out["ts_event"][at]))
        if polled:  # the answer to a poll says nothing about the stream
            return found
        before, venue.frame_last = venue.frame_last, ts
        if venue.gap_ns and before and ts - before > venue.gap_ns:
            marks = len(venue.marked)
            self._out[at + marks : at + marks + found] = self._out[at : at + found].copy()
            return found + self._mark(at, FEED_GAP, before, ts, [(n, 0) for n in venue.marked])
        return found

    def _venue(self, record: Record) -> VenueFrames:
        found = self._venues.get(record.exchange)
        if found is None and self._run is not None:
            if len(self._venues) == 1:
                return next(iter(self._venues.values()))
            raise DataError(str(self.path), f"a frame of {record.exchange!r}", f"frames of {', '.join(self._venues)}, as the settings say")
        if found is None:
            adapter = adapter_of(record.exchange, self.path)
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
            self.counts["frame not used: deeper book beside orderbook.1"] += 1
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
        self.note(f"raw frames without a time of receipt: the venue's time of sending + {self.options.feed_latency_ms:g} ms is used")

    def _contract(self, venue: str, symbol: str) -> int:
        return self.instrument(venue, symbol, completeness=FULL if venue == VENUE else UNKNOWN)

    def _decoder(self, venue: str, record: Record) -> tuple[PublicDecoder | None, int]:
        """Of Bybit's frames where no run names the contracts: one a symbol, because symbols are not known before they come; its index."""
        if not record.symbol or not record.stream.startswith(TOPICS):
            self.counts[f"frame not used: {record.stream.split('.')[0][:40] or 'without a topic'}"] += 1
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
            if state == lc.FeedState.FEED_DOWN and found.get("venue", name) == name:  # as live: a new connection begins with whole values
                venue.forget(marked)
                venue.frame_last = 0
        return self._mark(at, state, ts, record.ts_recv, marked)

    def _mark(self, at: int, state: int, ts_event: int, ts_recv: int, marked: Sequence[Concern] = ((-1, 0),)) -> int:
        self._last = max(self._last, ts_recv)  # as the sink: a mark never lies before what was seen
        for n, (instrument, streams) in enumerate(marked, at):
            self._out[n] = (ts_event, self._last, 0.0, 0.0, 0.0, 0.0, 0, instrument, FEED_KIND, 0, streams, int(state))
        return len(marked)

    def _note_sent(self, frame: bytes, ts_event: int) -> None:
        sent = _SENT.search(frame)
        if sent:
            delay = int(sent[1]) - ts_event // 1_000_000
            self._sent = [self._sent[0] + 1, self._sent[1] + delay, max(self._sent[2], delay)]


def _place(venue: str, name: str) -> str:
    """The key of a topic or symbol of one of Bybit's markets, because several markets use the same name."""
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
