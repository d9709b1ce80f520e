"""The time over which each stream of a contract was complete: trades, quotes, and the values of tickers, each by itself. Liquidations are shown
without a verdict, because they are rare by nature.

    for by_stream in streams.of_tape(tape, start_ns, end_ns):       # one a contract
        by_stream["quotes"].covered_hours, by_stream["quotes"].gaps()
        streams.sentences(by_stream)                                # what must be said of it first

A row vouches for its stream for a time (`AGE_NS`), or until a mark of the feed says that its connection was interrupted. A quote also ends when a
trade contradicts it. It is the rule of liqcore's market.pxd: the share of quotes is the share of time in which an engine could trade against one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqshell.recording.marks import without

HOUR_NS = 3_600 * lc.SECOND
MINUTE_NS = 60 * lc.SECOND
#: bits of liqcore.event.Stream
BITS = {"liquidations": 1, "trades": 2, "quotes": 4, "mark": 8, "index": 16, "funding": 32, "open_interest": 64}
STREAMS = ("trades", "quotes", "mark", "index", "funding", "open_interest", "liquidations")
#: for how long a row vouches for its stream; a quote and a mark as in an engine, trades because busy contracts trade every minute, the slow ones
#: because venues that do not repeat them state them at least so often
AGE_NS = {
    "trades": MINUTE_NS,
    "quotes": 10 * lc.SECOND,
    "mark": MINUTE_NS,
    "index": MINUTE_NS,
    "funding": 15 * MINUTE_NS,
    "open_interest": 15 * MINUTE_NS,
}
TWINS = {"index": "mark", "open_interest": "funding"}  # streams of one age that most tickers state together
FIELDS = {"mark": "price", "index": "aux_price", "open_interest": "qty", "funding": "aux_qty"}  # of a ticker
THREADS = 4  # of_tape: NumPy lets other threads run while it works on arrays of millions of rows
SPREADS = 16  # quotes whose mean spread is the usual one
SHORT = 0.01  # of the time of trades: where quotes cover less by more than this, it is said first
Span = tuple[int, int]
Spans = NDArray[np.int64]  # rows of (from, to), in order, apart from one another


@dataclass(frozen=True)
class Held:
    """One stream of one contract in [start, end), ns. held: when it could be relied on. judged: whether `held` says something of the data, or only
    where its rows stand."""

    stream: str
    start: int
    end: int
    rows: int
    first: int  # ts_recv; 0 = no row
    last: int
    held: Spans
    judged: bool = True

    @property
    def covered_ns(self) -> int:
        return int((self.held[:, 1] - self.held[:, 0]).sum())

    @property
    def covered_hours(self) -> float:
        return self.covered_ns / HOUR_NS

    @property
    def share(self) -> float:
        """Of the whole time; 0 where there is none."""
        return self.covered_ns / (self.end - self.start) if self.end > self.start else 0.0

    def gaps(self, least_ns: int = MINUTE_NS) -> list[Span]:
        """Times of at least `least_ns` in which it did not hold; the time before its first row and after its last is among them."""
        edges = np.concatenate([[self.start], self.held.ravel(), [self.end]]).reshape(-1, 2)
        return [(a, b) for a, b in edges.tolist() if b - a >= max(least_ns, 1)]

    def as_dict(self, least_ns: int = MINUTE_NS) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rows": self.rows,
            "first": self.first,
            "last": self.last,
            "covered_hours": round(self.covered_hours, 4),
            "share": round(self.share, 6),
            "judged": self.judged,
            "gaps": self.gaps(least_ns),
        }


def of_tape(tape: lc.Tape, start_ns: int, end_ns: int, *, quote_age_ns: int = AGE_NS["quotes"]) -> list[dict[str, Held]]:
    """Every stream of every contract of a tape, in the order of its instruments; a stream of which there is no row holds at no time."""
    instruments = tape.rare["instrument"].copy()
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda n: _of_contract(tape, n, instruments, start_ns, end_ns, quote_age_ns), range(len(tape.instruments))))


def _of_contract(tape: lc.Tape, n: int, instruments: NDArray[np.int32], start_ns: int, end_ns: int, quote_age_ns: int) -> dict[str, Held]:
    rare = tape.rare
    own = np.flatnonzero((instruments == n) | (instruments < 0))
    mine = {name: rare[name][own] for name in ("kind", "flags", "ts_recv", *FIELDS.values())}
    marks = np.flatnonzero(mine["kind"] == int(lc.Kind.FEED))
    ticker = mine["kind"] == int(lc.Kind.TICKER)
    all_marks, place = rare[own[marks]], tape.place[own[marks]]
    stated_rows = {name: ticker & stated(mine, name) for name in FIELDS} | {"liquidations": mine["kind"] == int(lc.Kind.LIQUIDATION)}
    common, received = all_marks["instrument"] < 0, mine["ts_recv"]
    found: dict[str, Held] = {}
    feeds: dict[str, NDArray[np.bool_]] = {}
    for name in STREAMS:
        rows = np.flatnonzero(stated_rows[name]) if name in stated_rows else None
        columns = tape.trades(n) if name == "trades" else tape.quotes(n)
        ts = columns["ts"] if rows is None else received[rows]
        # how many rows of the stream stand before each mark: what concerns all contracts comes first at its moment
        stands = (
            np.searchsorted(rows, marks) if rows is not None else np.where(common, np.searchsorted(ts, all_marks["ts_recv"]), place[f"{name}_before"])
        )
        feed = (all_marks["flags"] == 0) | (all_marks["flags"] & BITS[name] != 0)
        feeds[name] = feed
        if (twin := TWINS.get(name)) and np.array_equal(stated_rows[name], stated_rows[twin]) and np.array_equal(feed, feeds[twin]):
            found[name] = replace(found[twin], stream=name)
            continue
        until = ts + (quote_age_ns if name == "quotes" else AGE_NS.get(name, 0))
        if name == "quotes":
            until = np.minimum(until, contradicted(tape.trades(n), columns))
        found[name] = _held(name, ts, _ended(until, all_marks[feed], stands[feed]), _lost(all_marks[feed], start_ns, end_ns), start_ns, end_ns)
    return found


def stated(tickers: NDArray[np.void] | Mapping[str, NDArray[Any]], name: str) -> NDArray[np.bool_]:
    """Which tickers state this: a rate of 0 is a rate, any other 0 is none."""
    stated_rows = tickers["flags"] & BITS[name] == 0
    return stated_rows if name == "funding" else stated_rows & (tickers[FIELDS[name]] > 0.0)


def contradicted(trades: Mapping[str, NDArray[Any]], quotes: Mapping[str, NDArray[Any]]) -> Spans:
    """When each quote was ended by a trade beyond it by more than the usual spread: the mean of the last 16; the end of time where none was.
    Columns as Tape has them."""
    out = np.full(len(quotes["ts"]), 1 << 62, np.int64)
    if not len(out) or not len(trades["ts"]):
        return out
    bid, ask, before = quotes["bid"], quotes["ask"], quotes["trades_before"]
    total = np.zeros(len(out) + 1, np.int64)
    np.cumsum(ask - bid, out=total[1:])
    of = np.repeat(np.arange(len(out)), np.diff(before, append=len(trades["ts"])))  # of each trade from the first quote on
    price = trades["price"][before[0] :]
    outside = np.flatnonzero((price > ask[of]) | (price < bid[of]))
    of, price = of[outside], price[outside].astype(np.int64)
    count = np.minimum(of + 1, SPREADS)
    bad = np.maximum(price - ask[of], bid[of] - price) * count > total[of + 1] - total[of + 1 - count]
    which, first = np.unique(of[bad], return_index=True)
    out[which] = trades["ts"][before[0] + outside[bad][first]]
    return out


def _lost(feed: NDArray[np.void], start: int, end: int) -> list[Span]:
    """The times known to lack data: from each DOWN to the next UP, and the past span that a GAP states."""
    out: list[Span] = []
    down: int | None = None
    for began, ts, state in zip(feed["ts_event"].tolist(), feed["ts_recv"].tolist(), feed["code"].tolist(), strict=True):
        since = max(start, min(began, ts))
        if state == lc.FeedState.FEED_DOWN:
            down = since if down is None else down
        elif state == lc.FeedState.FEED_GAP:
            out.append((since, ts))
        elif down is not None:
            out.append((down, ts))
            down = None
    return out + ([(down, end)] if down is not None else [])


def _ended(until: Spans, feed: NDArray[np.void], before: NDArray[np.int64]) -> Spans:
    """The same, if a mark of the feed ends the values before it."""
    breaks = feed["code"] != int(lc.FeedState.FEED_UP)
    if not breaks.any():
        return until
    ends = np.append(feed["ts_recv"][breaks], 1 << 62)
    return np.minimum(until, ends[np.searchsorted(before[breaks], np.arange(1, len(until) + 1), "left")])


def _held(name: str, ts: Spans, until: Spans, lost: Sequence[Span], start: int, end: int) -> Held:
    first, last = (int(ts[0]), int(ts[-1])) if len(ts) else (0, 0)
    if name not in AGE_NS:
        return Held(name, start, end, len(ts), first, last, np.zeros((0, 2), np.int64), False)
    until[:-1] = np.minimum(until[:-1], ts[1:])  # from then on the next row speaks
    spans = _union(np.clip(ts, start, end), np.clip(until, start, end, out=until))
    return Held(name, start, end, len(ts), first, last, np.array(without(spans.tolist(), lost), np.int64).reshape(-1, 2))


def union(spans: NDArray[np.int64]) -> Spans:
    """Spans in order of their beginnings, merged where they touch; empty ones are none."""
    return _union(spans[:, 0], spans[:, 1])


def _union(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Spans:
    some = ends > begins
    if not some.all():
        begins, ends = begins[some], ends[some]
    if not len(begins):
        return np.zeros((0, 2), np.int64)
    until = np.maximum.accumulate(ends)
    apart = np.flatnonzero(begins[1:] > until[:-1]) + 1
    return np.stack([begins[np.r_[0, apart]], until[np.r_[apart - 1, len(until) - 1]]], axis=1)


class Age:
    """How long the rows of a day hold by age alone, hour by hour, and when none does: for rows that come block by block and are not kept."""

    def __init__(self, name: str, start: int):
        self.age, self.start = AGE_NS.get(name, 0), start
        self.rows = self.first = self.last = 0
        self.held = [0] * 24  # ns of each hour
        self.dark: list[Span] = []  # of at least a minute, between rows

    def push(self, ts: NDArray[np.int64]) -> None:
        """Rows in order of time."""
        if not len(ts):
            return
        begin = last = self.last if self.rows else int(ts[0])
        if self.age:
            for n in np.flatnonzero(np.diff(ts, prepend=last) > self.age).tolist():  # few: each takes longer than the age
                last = int(ts[n - 1]) if n else last
                self._add(begin, last + self.age)
                begin = int(ts[n])
                if begin - last - self.age >= MINUTE_NS:
                    self.dark.append((last + self.age, begin))
            self._add(begin, int(ts[-1]))
        self.first = self.first if self.rows else int(ts[0])
        self.rows, self.last = self.rows + len(ts), int(ts[-1])

    def _add(self, begin: int, end: int) -> None:
        for hour in range((begin - self.start) // HOUR_NS, 24):
            low, high = self.start + hour * HOUR_NS, self.start + (hour + 1) * HOUR_NS
            if low >= end:
                return
            self.held[hour] += max(0, min(end, high) - max(begin, low))

    def as_dict(self) -> dict[str, Any]:
        """After the last row, which holds for its age, too."""
        if self.rows and self.age:
            self._add(self.last, self.last + self.age)
        return {"rows": self.rows, "first": self.first, "last": self.last, "held": self.held, "dark": self.dark}


def sentences(by_stream: Mapping[str, Held], name: str = "") -> list[str]:
    """Warnings about a contract's streams that come before all results; [] where quotes hold whenever there are trades, and where
    there are none at all (which other pages say). For how much of the traded time they hold is `quoted`."""
    trades, quotes = by_stream["trades"], by_stream["quotes"]
    if not trades.rows or not quotes.rows:
        return []
    return shortfalls(name, (trades.first, trades.last), (quotes.first, quotes.last))


def quoted(by_stream: Mapping[str, Held]) -> float:
    """The share of the traded time in which a quote held; 0 where nothing traded. Every page that states a share of quotes states this one."""
    traded = by_stream["trades"].covered_ns
    return shared_ns(by_stream["trades"].held, by_stream["quotes"].held) / traded if traded else 0.0


def shortfalls(name: str, trades: Span, quotes: Span) -> list[str]:
    """The same from the first and last row of each."""
    begins = f"{name}: " if name else ""
    out = []
    if trades[1] - quotes[1] >= MINUTE_NS:
        out.append(
            f"{begins}quotes end at {when(quotes[1])} while trades continue to {when(trades[1])}: "
            f"{_length(trades[1] - quotes[1])} without a quote to trade against"
        )
    if quotes[0] - trades[0] >= MINUTE_NS:
        out.append(f"{begins}quotes begin at {when(quotes[0])}, trades at {when(trades[0])}: {_length(quotes[0] - trades[0])} without a quote")
    return out


def when(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[s]")).replace("T", " ")


def _length(ns: int) -> str:
    minutes = ns / MINUTE_NS
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def shared_ns(one: np.ndarray, other: np.ndarray) -> int:
    """How long both hold. Spans in order and apart."""
    if not len(one) or not len(other):
        return 0
    until = np.concatenate([[0], np.cumsum(other[:, 1] - other[:, 0])])
    at = np.searchsorted(other[:, 0], one, "right")  # spans of the other that begin before each edge
    beyond = np.where(at > 0, np.maximum(0, other[np.maximum(at, 1) - 1, 1] - one), 0)
    held = until[at] - beyond
    return int((held[:, 1] - held[:, 0]).sum())
