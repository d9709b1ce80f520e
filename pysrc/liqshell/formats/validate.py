"""The checks of market data during reading, and their results. Every dropped row is counted.

Refused: no number, not above 0, no side, a crossed or one-sided book (a mark in its place ends the quote before), a time before 2009 (another
unit), a price far from its neighbours, a quantity far above all that the contract has seen, the same trade id again.
Sorted: rows that come late by at most `window_s`. Later ones are an error: a file without order has no meaning.
Noted only: silence per contract and kind (`gaps`), identical rows that carry no id, receipt long before or after the event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from liqcore.event import FeedState, Kind, Stream
from liqshell.backstops import BACKSTOP
from liqshell.errors import DataError
from liqshell.event_columns import Events, joined, rows_of

SHOWN_MAX = 5  # refused rows that are named; all are counted
GAPS_MAX = 1000  # gaps that are kept; all are counted
IDS_KEPT = 200_000  # of a contract, for finding an id again in the next block
TIME_MIN = 1_230_940_800_000_000_000  # 2009: nothing that is traded here is older; a smaller time is of another unit
TIME_MAX = 0x4000000000000000
EARLY, LATE = "time before 2009: another unit?", "time after 2116: another unit?"
DELAY_ODD_NS = 3_600_000_000_000  # receipt this far from the event is worth a word
SPIKE_ROWS = 2  # neighbours on either side that a price is judged by
SIZES_KEPT = 5  # prints of a size that make it one that there is
SIZES_MIN = 20  # prints of a contract before any can be too large
REFUSED_SHARE_MAX = 0.5  # a file of which more is refused is not what it was taken for
REFUSED_ROWS_MIN = 20
_PRINTS = np.isin(np.arange(256), (int(Kind.TRADE), int(Kind.LIQUIDATION), int(Kind.DELEVERAGE), BACKSTOP))
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Limits:
    """band: factor between a price and its neighbours from which on it is a mistake. size_band: the same between a quantity and the fifth largest of
    its contract; in the captures that we have (36 contracts and kinds, cascades among them) no print is above 44 times. window_s: how late a row may
    come and still be put in its place. gap_s: silence of a contract that is noted, by kind of event."""

    band: float = 10.0
    size_band: float = 1000.0
    window_s: float = 10.0
    gap_s: dict[int, float] = field(default_factory=lambda: {int(Kind.TRADE): 300.0, int(Kind.BBO): 60.0, int(Kind.TICKER): 300.0})


def refuse_most(file: str, rows: int, refused: int, passed: int, counts: Counter[str], shown: Sequence[str]) -> None:
    """DataError where most rows of a file had to be refused."""
    if refused > REFUSED_SHARE_MAX * rows and (rows >= REFUSED_ROWS_MIN or not passed):
        reasons = ", ".join(f"{count} x {reason}" for reason, count in counts.most_common(5))
        raise DataError(file, f"{refused} of {rows} rows are invalid: {reasons}", "market data of this format", "\n".join(["First rows:", *shown]))


class Block(NamedTuple):
    """Rows on their way in. lines: where each is from (line or row of the file), or the first's where they follow one another. ids: identify a row
    among duplicates, 0 = no id."""

    events: Events
    lines: np.ndarray | int = 0
    ids: np.ndarray | None = None

    def line(self, row: int) -> int:
        return self.lines + row if isinstance(self.lines, int) else int(self.lines[row])


class Gap(NamedTuple):
    """Nothing of a kind came between start and end (ts_recv, ns)."""

    instrument: int
    kind: int
    start: int
    end: int


@dataclass
class Findings:
    """The findings of one file. rows: handed in; passed: handed on; kinds: of these, by kind of event."""

    file: str
    rows: int = 0
    passed: int = 0
    kinds: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    gaps: list[Gap] = field(default_factory=list)
    gaps_all: int = 0

    def refuse(self, reason: str, line: int, text: str = "", rows: int = 1) -> None:
        """Count rows that are not handed on; the first of all are shown."""
        self.refused += rows
        self.counts[reason] += rows
        self.show(reason, line, text)

    def show(self, reason: str, line: int, text: str = "") -> None:
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(f"{self.file}:{line}: {reason}" + (f": {text[:120]}" if text else ""))


def groups(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
    """(key, where its rows are) of each key, from the smallest; rows in order. One sort, however many keys there are."""
    if len(keys) and (keys == keys[0]).all():
        yield int(keys[0]), slice(None)
    elif len(keys):
        order = _by_key(keys)
        for rows in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            yield int(keys[rows[0]]), rows


def _by_key(keys: np.ndarray) -> np.ndarray:
    """The order of the keys, equal ones as they were. NumPy sorts numbers of 16 bits by their digits, several times as fast as others."""
    least, most = int(keys.min()), int(keys.max())
    return np.argsort((keys - least).astype(np.uint16) if most - least < 1 << 16 else keys, kind="stable")


class Sizes:
    """The sizes of a contract: its largest trades and liquidations so far. A print that is `band` times the fifth largest is a mistake, unless
    there are five of that size; the first prints of a contract are not judged. Files are judged by it; who feeds an Engine may do so, too."""

    def __init__(self, band: float = Limits.size_band):
        self.band = band
        self._largest: dict[int, np.ndarray] = {}
        self._seen: dict[int, int] = {}

    def absurd(self, events: Events, good: np.ndarray | None = None) -> np.ndarray:
        """Which trades and liquidations of EVENT_DTYPE rows are larger than can be, as a mask; the others are remembered. good: a mask of the rows
        that nothing else is wrong with, None = all."""
        bad = np.zeros(len(events), bool)
        kinds = events["kind"]
        prints = ((kinds == int(Kind.TRADE)) | (kinds == int(Kind.LIQUIDATION))) & (events["qty"] > 0.0)
        rows = np.flatnonzero(prints if good is None else prints & good)
        if not len(rows):
            return bad
        qty, instruments = events["qty"][rows], events["instrument"][rows]
        for n, mine in groups(instruments):
            sizes, before = qty[mine], self._largest.get(n, qty[:0])
            seen = self._seen.get(n, 0) + len(sizes)
            larger = sizes[sizes > before[0]] if len(before) == SIZES_KEPT else sizes
            largest = np.sort(np.concatenate([before, np.partition(larger, max(len(larger) - SIZES_KEPT, 0))[-SIZES_KEPT:]]))[-SIZES_KEPT:]
            if seen >= SIZES_MIN and largest[-1] > self.band * largest[0]:
                most = self.band * float(largest[0])
                bad[rows[mine][sizes > most]] = True
                seen -= int(np.count_nonzero(sizes > most))
                largest = largest[largest <= most]
            self._largest[n], self._seen[n] = largest, seen
        return bad


class Validator:
    """Blocks in, validated blocks out, each contract in order of ts_recv. faithful: count what is wrong, change nothing."""

    def __init__(self, findings: Findings, limits: Limits, faithful: bool = False):
        self.findings = findings
        self.limits = limits
        self.faithful = faithful
        self.unique = False  # the reader has told doubles apart, by the ids of the venue
        self.censored: set[int] = set()  # instruments whose feed has one liquidation a second: the same row again is a double
        self._waiting: dict[int, Events] = {}  # by contract: the rows of the last window, before which one may still come
        self._top: dict[int, int] = {}  # latest ts_recv
        self._price: dict[int, float] = {}
        self._sizes = Sizes(limits.size_band)
        self._ids: dict[tuple[int, int], np.ndarray] = {}
        self._last: dict[tuple[int, int], int] = {}  # ts_recv, by kind and contract

    def push(self, block: Block) -> Iterator[Events]:
        found = self.findings
        found.rows += len(block.events)
        if not len(block.events):
            return
        good = np.ones(len(block.events), bool)
        block = self._no_market(block, good)
        self._values(block, good)
        self._band(block, good)
        absurd = self._sizes.absurd(block.events, good)
        self._mark(block, good, absurd, f"quantity more than {self.limits.size_band:g} times the largest of its contract")
        if not self.unique:
            self._doubles(block, good)
        delay = np.abs(block.events["ts_recv"] - block.events["ts_event"]) > DELAY_ODD_NS
        if odd := int(np.count_nonzero(delay & good & (block.events["kind"] != int(Kind.FEED)))):
            found.counts["kept: received more than an hour from the event"] += odd
        if not good.all():
            lines = np.arange(block.lines, block.lines + len(good)) if isinstance(block.lines, int) else block.lines
            block = Block(block.events.compress(good), lines[good])
        yield from self._order(block)

    def finish(self) -> Iterator[Events]:
        """Emits the rows that are still held back. DataError where most of the file had to be refused."""
        found = self.findings
        for n in sorted(self._waiting):
            yield self._handed(self._waiting.pop(n))
        refuse_most(found.file, found.rows, found.refused, found.passed, found.counts, found.shown)

    # ---- values

    def _mark(self, block: Block, good: np.ndarray, bad: np.ndarray, reason: str) -> None:
        """Refuse (or, faithful, count) the rows that are bad and were good until now."""
        bad &= good
        count = int(np.count_nonzero(bad))
        if not count:
            return
        first = int(np.argmax(bad))
        e = rows_of(block.events[first : first + 1])[0]
        text = f"price {e['price']:g}, qty {e['qty']:g}, side {e['side']}, ts_event {e['ts_event']}"
        if self.faithful:
            self.findings.counts[f"kept: {reason}"] += count
            self.findings.show(f"kept: {reason}", block.line(first), text)
            return
        good &= ~bad
        self.findings.refuse(reason, block.line(first), text, count)
        for row in np.flatnonzero(bad)[1:SHOWN_MAX]:
            self.findings.show(reason, block.line(int(row)))

    def _values(self, block: Block, good: np.ndarray) -> None:
        e = block.events
        kind, price, qty, aux_price, aux_qty = e["kind"], e["price"], e["qty"], e["aux_price"], e["aux_qty"]
        finite = np.isfinite(price) & np.isfinite(qty) & np.isfinite(aux_price) & np.isfinite(aux_qty)
        self._mark(block, good, ~finite, "not a number")
        times = [e["ts_event"], e["ts_recv"]]
        self._mark(block, good, np.minimum(*times) < TIME_MIN, EARLY)
        self._mark(block, good, np.maximum(*times) >= TIME_MAX, LATE)
        print_ = _PRINTS[kind]
        book, ticker = kind == int(Kind.BBO), kind == int(Kind.TICKER)
        with np.errstate(invalid="ignore"):
            self._mark(block, good, print_ & (e["side"] == 0), "no side")
            lower_price, lower_qty = np.minimum(price, aux_price), np.minimum(qty, aux_qty)
            bad = (print_ & (price <= 0)) | (ticker & (lower_price < 0))
            self._mark(block, good, bad, "price not above 0")
            bad = (print_ & (qty <= 0)) | (book & (lower_qty < 0)) | (ticker & (qty < 0))
            self._mark(block, good, bad, "quantity not above 0")
            self._mark(block, good, book & (aux_price > self.limits.band * price), f"an ask more than {self.limits.band:g} times the bid")

    def _no_market(self, block: Block, good: np.ndarray) -> Block:
        """Quotes that cannot be traded against: refused, with a FEED mark in the place of each, because the quote before no longer holds."""
        e = block.events
        book = good & (e["kind"] == int(Kind.BBO))
        empty = book & (np.minimum(e["price"], e["aux_price"]) <= 0)
        crossed = book & ~empty & (e["price"] >= e["aux_price"])
        marks = empty | crossed
        if not marks.any():
            return block
        kept = good.copy()
        self._mark(block, good, empty, "a side of the book without a price")
        self._mark(block, good, crossed, "crossed book")
        if self.faithful:
            return block
        good[:] = kept
        events = e.copy()
        said = {"kind": int(Kind.FEED), "code": int(FeedState.FEED_GAP), "flags": int(Stream.STREAM_QUOTE)}
        for name in ("price", "qty", "aux_price", "aux_qty", "id", "side", *said):
            events[name] = np.where(marks, np.array(said.get(name, 0), events[name].dtype), events[name])
        return block._replace(events=events)

    def _band(self, block: Block, good: np.ndarray) -> None:
        """Prices, alone or two of them, far from those before and after. A level that holds is no mistake, however far the jump."""
        e = block.events
        priced = good & (e["kind"] <= int(Kind.BBO)) & (e["price"] > 0)
        rows = np.flatnonzero(priced)
        if not len(rows):
            return
        instruments = e["instrument"][rows]
        bad = np.zeros(len(e), bool)
        for n, own in groups(instruments):
            mine = rows[own]
            price = e["price"][mine]
            before = self._price.get(n)
            chain = np.concatenate(([before], price)) if before is not None else price
            ratio = chain[1:] / chain[:-1]
            jumps = np.flatnonzero((ratio > self.limits.band) | (ratio < 1.0 / self.limits.band))
            suspects = np.unique(np.concatenate([jumps, jumps + 1])) if len(jumps) else jumps
            for at in suspects.tolist():
                around = np.concatenate([chain[max(at - SPIKE_ROWS, 0) : at], chain[at + 1 : at + 1 + SPIKE_ROWS]])
                near = int(np.count_nonzero((around <= chain[at] * self.limits.band) & (around >= chain[at] / self.limits.band)))
                row = at - (before is not None)
                if row >= 0 and near < 2 <= len(around) - near:
                    bad[mine[row]] = True
            kept = price[~bad[mine]]
            if len(kept):
                self._price[n] = float(kept[-1])
        self._mark(block, good, bad, f"price more than {self.limits.band:g} times its neighbours, or less than their 1/{self.limits.band:g}")

    # ---- doubles

    def _doubles(self, block: Block, good: np.ndarray) -> None:
        e = block.events
        for kind in (int(Kind.TRADE), int(Kind.LIQUIDATION)):
            of_kind = good & (e["kind"] == kind)
            if not of_kind.any():
                continue
            named = of_kind & (block.ids != 0) if block.ids is not None else np.zeros(len(e), bool)
            if named.any():
                bad, rows = np.zeros(len(e), bool), np.flatnonzero(named)
                for n, own in groups(e["instrument"][rows]):
                    bad[rows[own]] = self._seen((n, kind), block.ids[rows[own]])  # type: ignore[index]
                self._mark(block, good, bad, "the same id again")
            rows = np.flatnonzero(of_kind & ~named)
            if len(rows):
                self._twins(block, good, rows, kind)

    def _seen(self, key: tuple[int, int], ids: np.ndarray) -> np.ndarray:
        """Which ids were there before, in this block or the one before it."""
        old = self._ids.get(key, ids[:0])
        again: np.ndarray
        if (len(ids) < 2 or bool((ids[1:] > ids[:-1]).all())) and (not len(old) or ids[0] > old.max()):
            again = np.zeros(len(ids), bool)  # the usual case: ids that grow
        else:
            together = np.concatenate([old, ids])
            rising = np.sort(together)  # many times as fast as the order of the ids, which is needed of the repeated ones only
            several = rising[1:][rising[1:] == rising[:-1]]
            repeated = np.flatnonzero(several[np.searchsorted(several[:-1], together)] == together) if len(several) else several
            seen_before = np.zeros(len(together), bool)
            seen_before[repeated] = True
            seen_before[repeated[np.unique(together[repeated], return_index=True)[1]]] = False
            again = seen_before[-len(ids) :]
        self._ids[key] = np.concatenate([old, ids])[-IDS_KEPT:] if len(ids) < IDS_KEPT else ids[-IDS_KEPT:].copy()
        return again

    def _twins(self, block: Block, good: np.ndarray, rows: np.ndarray, kind: int) -> None:
        """Rows without an id that say the same as another. Two fills may be alike, so they are kept, but for feeds with one liquidation a second."""
        e = block.events
        mixed = e["instrument"][rows].astype(np.uint64)
        for name in ("ts_event", "price", "qty"):
            mixed = (mixed ^ np.ascontiguousarray(e[name][rows]).view(np.uint64)) * _PRIME
            mixed ^= mixed >> np.uint64(29)
        mixed ^= e["side"][rows].astype(np.uint64) & np.uint64(3)
        again = self._seen((-1, kind), mixed)
        if not again.any():
            return
        if kind == int(Kind.LIQUIDATION) and self.censored:
            bad = np.zeros(len(e), bool)
            bad[rows[again & np.isin(e["instrument"][rows], list(self.censored))]] = True
            self._mark(block, good, bad, "the same liquidation again, of a feed that has one a second")
            again &= good[rows] & ~bad[rows]
        if count := int(np.count_nonzero(again)):
            self.findings.counts["kept: a row like another, without an id"] += count

    # ---- order

    def _order(self, block: Block) -> Iterator[Events]:
        """Each contract by itself: files of several contracts may hold one after the other."""
        if not len(block.events):
            return
        instruments = block.events["instrument"]
        if self.faithful or (instruments == instruments[0]).all():
            yield from self._order_one(int(instruments[0]), block)
            return
        for n in np.unique(instruments).tolist():
            rows = np.flatnonzero(instruments == n)
            lines = rows + block.lines if isinstance(block.lines, int) else block.lines[rows]
            yield from self._order_one(n, Block(block.events.take(rows), lines))

    def _order_one(self, instrument: int, block: Block) -> Iterator[Events]:
        events, found = block.events, self.findings
        ts = events["ts_recv"]
        tops = np.maximum(np.maximum.accumulate(ts), self._top.get(instrument, 0))
        count = int(np.count_nonzero(ts < tops))
        found.late += count
        if self.faithful:
            if count:
                found.counts["kept: ts_recv went back"] += count
            yield self._handed(events)
            return
        self._top[instrument] = top = int(tops[-1])
        window = round(self.limits.window_s * 1e9)
        if count:
            found.counts["sorted: ts_recv went back"] += count
            by = tops - ts
            if int(by.max()) > window:
                row = int(np.argmax(by > window))
                raise DataError(
                    f"{found.file}:{block.line(row)}",
                    f"the time goes back by {by[row] / 1e9:.3f} s",
                    f"rows of a contract in order of receipt, or late by at most {self.limits.window_s:g} s",
                    "Sort the file by time",
                )
        waiting = self._waiting.pop(instrument, None)
        if waiting is not None and not count and ts[0] <= top - window:
            yield self._handed(waiting)  # all of it comes first: nothing to be joined and copied
        elif waiting is not None:
            events = joined([waiting, events])
        if count:
            events = events.take(np.argsort(events["ts_recv"], kind="stable"))
        cut = int(np.searchsorted(events["ts_recv"], top - window, side="left"))
        if cut < len(events):
            self._waiting[instrument] = events[cut:].copy()
        if cut:
            yield self._handed(events[:cut])

    def _handed(self, events: Events) -> Events:
        """Book what goes out, and the silences in it."""
        found, limits = self.findings, self.limits.gap_s
        found.passed += len(events)
        if not len(events):
            return events
        pairs = events["instrument"].astype(np.int64) << 8 | events["kind"]
        ts = events["ts_recv"]
        if (pairs != pairs[0]).any():
            order = _by_key(pairs)
            pairs, ts = pairs[order], ts[order]
        starts = np.flatnonzero(np.diff(pairs, prepend=pairs[0] - 1))  # of each kind of a contract
        sizes = np.diff(starts, append=len(pairs))
        keys = [(pair & 0xFF, pair >> 8) for pair in pairs[starts].tolist()]
        before = np.concatenate([ts[:1], ts[:-1]])
        before[starts] = [self._last.get(key, first) for key, first in zip(keys, ts[starts].tolist(), strict=True)]
        silent = np.array([limits.get(kind, np.inf) * 1e9 for kind, _ in keys])
        for at in np.flatnonzero(ts - before > np.repeat(silent, sizes)).tolist():
            found.gaps_all += 1
            if len(found.gaps) < GAPS_MAX:
                kind, n = keys[int(np.searchsorted(starts, at, "right")) - 1]
                found.gaps.append(Gap(n, kind, int(before[at]), int(ts[at])))
        self._last.update(zip(keys, ts[starts + sizes - 1].tolist(), strict=True))
        for (kind, _), rows in zip(keys, sizes.tolist(), strict=True):
            found.kinds[kind] += rows
        return events
