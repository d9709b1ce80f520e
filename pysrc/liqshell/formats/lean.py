"""LEAN's zips of one day of a contract: bars of quotes, and its tables of funding rates (margin interest).

A row of quotes: milliseconds since midnight, bid open, high, low, close and last size, ask likewise. What is known when a bar ends is its close: it
becomes a quote at the end of the bar, not at its beginning. Bars of trades are refused: they hold no trade with its side and time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from liqcore.event import Kind
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns
from liqshell.formats import compression, delimited
from liqshell.formats.delimited import INTEGER, NUMBER, TEXT, Layout
from liqshell.formats.reading import Reading, blank
from liqshell.formats.validate import Block
from liqshell.iso import written_ns
from liqshell.recording.streams import BITS

BAR_NS = {"second": 1_000_000_000, "minute": 60_000_000_000, "hour": 3_600_000_000_000}
DAY_MS = 86_400_000
VENUES = {"binance": "binance_um", "bybit": "bybit", "dydx": "dydx"}
_MEMBER = re.compile(r"(\d{8})_([^\W_A-Z]{2,30})_(second|minute|hour)_(quote|trade)(?:_\w+)?\.csv")
_FUNDING = re.compile(r"\d{8} \d\d:\d\d:\d\d,-?\d+(?:\.\d+)?")
_NAME = re.compile(rf"(?:(?:{'|'.join(VENUES)})_)?(?:margin_interest_)?([^\W_A-Z]{{2,30}})\.csv")
_QUOTES = Layout(
    ("ms", *(f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close", "size"))),
    {"ms": INTEGER, "bid_close": NUMBER, "bid_size": NUMBER, "ask_close": NUMBER, "ask_size": NUMBER},
    header=False,
)


def sniff(path: Path, first: str) -> bool:
    return (
        any(_MEMBER.fullmatch(name) for name in compression.members(path))
        if not path.is_dir() and not first.startswith("{") and _is_zip(path)
        else _FUNDING.fullmatch(first) is not None
    )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == compression.ZIP


class Lean(Reading):
    """The venue is the folder or the beginning of the file's name; if neither names it, the caller gives it."""

    format = "lean"
    received = "modelled"

    def prepare(self) -> None:
        names = compression.members(self.path)
        self._funding = not names
        found = _MEMBER.fullmatch(names[0]) if len(names) == 1 else None
        if found is None and not self._funding or self._funding and not _FUNDING.fullmatch(delimited.first_line(self.path)):
            raise DataError(
                str(self.path),
                f"a zip of {', '.join(names[:3])}" if names else "no table of funding rates",
                "one file such as 20221213_btcusdt_minute_quote_perp.csv, or rows such as 20221213 00:00:00,0.0001",
            )
        if found is not None and found[4] == "trade":
            raise DataError(
                str(self.path),
                f"bars of trades: each is the sum of a {found[3]}, without the times and sides of its trades",
                "trades, or bars of quotes",
                "Use the quote file of the same day",
            )
        self._bar_ns = BAR_NS[found[3]] if found is not None else 0
        self._midnight = _midnight(self.path, found[1]) if found is not None else 0
        named = _NAME.fullmatch(self.path.name.lower())
        symbol = self.options.symbol or (found[2] if found is not None else named[1] if named else "").upper()
        parts = re.split(r"[_.]", self.path.name.lower())[:1] + [folder.name.lower() for folder in list(self.path.absolute().parents)[:6]]
        venue = self.options.venue or next((VENUES[word] for word in parts if word in VENUES), "")
        if not symbol or not venue:
            raise DataError(
                str(self.path),
                f"neither the file nor its folders give the {'venue' if symbol else 'symbol'}",
                "a folder such as cryptofuture/binance/minute/btcusdt",
                f"Give it: --{'venue' if symbol else 'symbol'}",
            )
        if venue == "binance_um" and symbol.endswith("USD") and not self.options.symbol:
            venue, symbol = "binance_cm", f"{symbol}_PERP"
        self._mine = self.instrument(venue, symbol)
        self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")
        if not self._funding:
            self.note("quotes are the closes of bars, at the end of each bar")

    def blocks(self) -> Iterator[Block]:
        if self._funding:
            yield from self._rates()
            return
        for columns in delimited.read(self.path, _QUOTES):
            events = blank(columns.rows, int(Kind.BBO))
            ms = columns.integers("ms")
            events["ts_event"] = np.where((ms >= 0) & (ms < DAY_MS), self._midnight + ms * 1_000_000 + self._bar_ns, 0)
            for field, name in (("price", "bid_close"), ("qty", "bid_size"), ("aux_price", "ask_close"), ("aux_qty", "ask_size")):
                events[field] = columns.numbers(name)
            yield self._done(events, columns.line)

    def _rates(self) -> Iterator[Block]:
        for columns in delimited.read(self.path, Layout(("time", "rate"), {"time": TEXT, "rate": NUMBER}, header=False)):
            events = blank(columns.rows, int(Kind.TICKER))
            events["aux_qty"] = columns.numbers("rate")
            events["flags"] = BITS["mark"] | BITS["index"] | BITS["open_interest"]
            times = np.zeros(columns.rows, np.int64)
            for row, text in enumerate(columns.texts("time")):
                try:
                    times[row] = written_ns(text)
                except (ValueError, OverflowError):
                    raise DataError(f"{self.path}:{columns.line + row}", f"{text[:40]!r}", "a time such as 20221213 08:00:00") from None
            events["ts_event"] = times
            yield self._done(events, columns.line)

    def _done(self, events: EventColumns, line: int) -> Block:
        events["ts_recv"] = np.where(events["ts_event"] > 0, events["ts_event"] + self.options.feed_latency_ns, 0)
        events["instrument"] = self._mine
        return Block(events, line)


def _midnight(path: Path, day: str) -> int:
    try:
        return int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    except ValueError:
        raise DataError(str(path), f"the day {day}", "a date such as 20221213") from None
