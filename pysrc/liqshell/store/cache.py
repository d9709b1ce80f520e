"""Strips of days: made from partitions by the engine's own validation, and made again when their sources have changed.

Validation keeps the last good price of a contract. So that a result does not depend on where a range begins, the strip of a day is always made
the same way: the builder first reads the last hour of the day before, where the store has it. A range is a sequence of days and is not stored: the
process that needs it joins them.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.kernels.first_passage import rows_before_ts
from liqshell.event_columns import joined
from liqshell.store.catalogue import CACHE
from liqshell.store.merge import in_order
from liqshell.store.partition import Content, Key, folder_name, read
from liqshell.store.remote import Remote
from liqshell.store.rows import DAY_NS, HOUR_NS, LAYOUTS, day_number, day_text
from liqshell.store.rules import Rules
from liqshell.store.spill import Cursor, reach
from liqshell.store.strip import Stale, Strip, StripWriter, open_strip, together

BAND = 10.0  # of validation, as in lc.Engine
WARMUP_NS = HOUR_NS
VERSION = 2
Rare = tuple[np.ndarray, np.ndarray, int, int]  # rare events, their places, and what is to be added to these: trades and quotes before


@dataclass(frozen=True)
class Contract:
    """One contract of a store: where its partitions are and what they hold."""

    root: Path
    venue: str
    symbol: str
    rules: Rules
    contents: Mapping[Key, Content]
    remote: Remote | None = None  # of a store elsewhere: it fetches partitions

    def file(self, key: Key) -> Path:
        """Where a partition is, here."""
        return key.file(self.root) if self.remote is None else self.remote.partition(key, self.contents[key])

    def days(self) -> list[str]:
        return sorted({key.day for key in self.contents})

    def of_day(self, day: str) -> list[Key]:
        """The partitions of a day in the order in which their events enter at one moment."""
        return [key for layout in LAYOUTS if (key := Key(self.venue, self.symbol, layout.name, day)) in self.contents]

    def rows(self, kind: str) -> Iterator[np.ndarray]:
        """EVENT_DTYPE rows of one kind in order of receipt, a row group at a time; also of what no tape has ("backstops", "deleveragings")."""
        for key in sorted(key for key in self.contents if key.kind == kind):
            yield from read(self.file(key), key)

    def _digest(self, *what: Any) -> str:
        instrument = self.rules.instrument.as_dict()
        return hashlib.sha256(json.dumps([VERSION, lc.abi_version(), BAND, instrument, *what], default=str).encode()).hexdigest()[:32]

    def day_key(self, day: str) -> str:
        """Names what the strip of a day is made from."""
        before = day_text(day_number(day) - 1)
        return self._digest("day", [[key.kind, self.contents[key].fingerprint] for which in (before, day) for key in self.of_day(which)])

    def day_file(self, day: str) -> Path:
        return self.root / CACHE / folder_name(self.venue) / folder_name(self.symbol) / f"{day}.strip"

    def day_strip(self, day: str) -> Strip:
        """The mapped strip of a day; made where there is none that is good."""
        path, key = self.day_file(day), self.day_key(day)
        try:
            return open_strip(path, key)
        except Stale:
            self._make_day(day, path, key)
            return open_strip(path, key)

    def has_day(self, day: str) -> bool:
        """Is there a strip of this day that is good?"""
        try:
            open_strip(self.day_file(day), self.day_key(day))
        except Stale:
            return False
        return True

    def range_columns(self, start: int, end: int, aside: Path | None = None) -> tuple[dict[str, Any], dict[str, Any], list[Rare]] | None:
        """Trades, quotes and rare events, day by day, of start <= ts_recv < end; None where the store has no event of that time. The columns of a
        whole day are those of its mapped strip; else the parts of days are put behind each other for this process, in memory or aside (see
        strip.together)."""
        days = self._days_in(start, end)
        if not days:
            return None
        if len(days) == 1 and start <= day_number(days[0]) * DAY_NS and (day_number(days[0]) + 1) * DAY_NS <= end:
            strip = self.day_strip(days[0])
            return strip.trades, strip.quotes, [(strip.rare, strip.place, 0, 0)]
        parts = [_cut(self.day_strip(day), start, end) for day in days]
        trades_before = quotes_before = 0
        rare: list[Rare] = []
        for trades, quotes, events, place, first_trade, first_quote in parts:
            quotes["trades_before"] = quotes["trades_before"] + (trades_before - first_trade)
            rare.append((events, place, trades_before - first_trade, quotes_before - first_quote))
            trades_before, quotes_before = trades_before + len(trades["ts"]), quotes_before + len(quotes["ts"])
        return _together([part[0] for part in parts], aside), _together([part[1] for part in parts], aside), rare

    def range_files(self, start: int, end: int) -> list[Path]:
        """The strips of start <= ts_recv < end, where they are."""
        return [self.day_file(day) for day in self._days_in(start, end)]

    def _days_in(self, start: int, end: int) -> list[str]:
        return [day for day in self.days() if day_number(day) * DAY_NS < end and (day_number(day) + 1) * DAY_NS > start]

    def _make_day(self, day: str, path: Path, key: str) -> None:
        """Events of the day -> columns. Refused and rounded rows are counted in the header."""
        builder = lc.TapeBuilder([self.rules.instrument], band=BAND)
        start = day_number(day) * DAY_NS
        before = day_text(day_number(day) - 1)
        for events in self._events(before, start - WARMUP_NS, start):
            builder.push(events)
        builder.take()
        refused, off_grid = dict(builder.refused), dict(builder.off_grid)
        counts = {k.kind: self.contents[k].rows for k in self.of_day(day)}
        trades, quotes = counts.pop("trades", 0), counts.pop("quotes", 0)
        writer = StripWriter(path, trades, quotes, quotes + sum(counts.values()))  # a quote that is crossed on the grid is a mark
        try:
            for events in self._events(day, start, start + DAY_NS):
                builder.push(events)
                part = builder.take()
                writer.append(part["strips"][0]["trades"], part["strips"][0]["quotes"], part["rare"], part["place"])
            writer.finish(
                {
                    "key": key,
                    "symbol": self.symbol,
                    "venue": self.venue,
                    "days": [day, day],
                    "refused": _more(builder.refused, refused),
                    "off_grid": _more(builder.off_grid, off_grid),
                }
            )
        except BaseException:
            writer.abandon()
            raise

    def _events(self, day: str, start: int, end: int) -> Iterator[np.ndarray]:
        """All kinds of a day in the order of the engine, slice by slice."""
        cursors = [Cursor(read(self.file(key), key, start)) for key in self.of_day(day)]
        while (stop := reach(cursors)) is not None:
            pieces = [piece for cursor in cursors if len(piece := cursor.take(min(stop, end)))]
            if not pieces:
                return
            yield in_order(joined(pieces))


def _together(parts: list[dict[str, np.ndarray]], aside: Path | None) -> dict[str, np.ndarray]:
    return {name: together([part[name] for part in parts], aside) for name in parts[0]}


def _cut(strip: Strip, start: int, end: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray, int, int]:
    """The rows of start <= ts_recv < end, and the places of the first trade and quote in the strip: all places count from the start of the strip."""
    trades, quotes = strip.trades["ts"], strip.quotes["ts"]
    t0, t1 = (rows_before_ts(trades, 0, len(trades), ts) for ts in (start, end))
    q0, q1 = (rows_before_ts(quotes, 0, len(quotes), ts) for ts in (start, end))
    r0, r1 = rows_before(strip.rare, start), rows_before(strip.rare, end)
    return (
        {name: column[t0:t1] for name, column in strip.trades.items() if name != "index"},
        {name: column[q0:q1] for name, column in strip.quotes.items() if name != "index"},
        strip.rare[r0:r1],
        strip.place[r0:r1],
        t0,
        q0,
    )


def rows_before(events: np.ndarray, ts: int) -> int:
    """How many events in order of time are before ts. np.searchsorted would copy the column out of the rows, every page of a mapped file."""
    return bisect_left(range(len(events)), ts, key=events["ts_recv"].__getitem__)


def _more(now: Mapping[Any, int], before: Mapping[Any, int]) -> dict[str, int]:
    return {str(getattr(what, "name", what)): count - before.get(what, 0) for what, count in now.items() if count > before.get(what, 0)}
