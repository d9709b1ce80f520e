"""Bybit's public trade archives (public.bybit.com/trading and /spot): CSV, gzip, one contract and day a file.

Futures: timestamp (seconds with decimals), symbol, side, size, price, tickDirection, trdMatchID, ...; spot: id, timestamp (ms), price, volume, side.
`side` is the taker's. No time of receipt: ts_recv = ts_event + feed latency. Some old files have their newest trade first; they are read whole and
turned round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from liqcore.event import Kind, Side
from liqshell.errors import DataError
from liqshell.formats import delimited
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT, Columns, Layout
from liqshell.formats.reading import SYMBOL, Reading, blank
from liqshell.formats.validate import Block

FUTURES = {"timestamp": NUMBER, "symbol": LABEL, "side": LABEL, "size": NUMBER, "price": NUMBER, "trdMatchID": TEXT}
SPOT = {"id": INTEGER, "timestamp": INTEGER, "price": NUMBER, "volume": NUMBER, "side": LABEL}
TURNED_ROWS_MAX = 50_000_000  # of a file in falling order: it must fit in memory
TAKER = {"buy": int(Side.LONG), "sell": int(Side.SHORT)}
_NAME = re.compile(rf"({SYMBOL}?)[_-]?\d{{4}}-\d\d")


# a first line that is a row already: the columns that it has
_FUTURES_NAMES = delimited.columns_of("timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI")
_SPOT_NAMES = ("id", "timestamp", "price", "volume", "side", "rpi")
_FUTURES_ROW = re.compile(r"\d{10}(?:\.\d+)?,[A-Z0-9-]{3,30},(?:Buy|Sell),[0-9.]+,[0-9.]+,[A-Za-z]+,[0-9a-fA-F-]{8,40}(?:,[^,]*){3,4}")
_SPOT_ROW = re.compile(r"\d+,\d{13},[0-9.]+,[0-9.]+,(?:buy|sell)(?:,\d)?")


def _names(first: str) -> tuple[tuple[str, ...], bool]:
    """The columns of a file, and whether its first line is a header."""
    for row, names in ((_FUTURES_ROW, _FUTURES_NAMES), (_SPOT_ROW, _SPOT_NAMES)):
        if row.fullmatch(first):
            return names[: first.count(",") + 1], False
    return delimited.columns_of(first), True


def sniff(path: Path, first: str) -> bool:
    names, _ = _names(first)
    return not delimited.missing(tuple(FUTURES), names) or not delimited.missing(tuple(SPOT), names)


class BybitTrades(Reading):
    format = "bybit_trades"
    received = "modelled"

    def prepare(self) -> None:
        names, header = _names(delimited.first_line(self.path))
        self._futures = not delimited.missing(tuple(FUTURES), names)
        wanted = FUTURES if self._futures else SPOT
        if lacking := delimited.missing(tuple(wanted), names):
            raise DataError(f"{self.path}:1", f"no column {', '.join(lacking)}", "the header of a trade archive of Bybit")
        self.layout = Layout(names, wanted, header)
        self._mine = -1
        if not self._futures:
            named = _NAME.match(self.path.name)
            symbol = self.options.symbol or (named[1] if named else "")
            if not symbol:
                raise DataError(
                    str(self.path),
                    "neither the file nor its name gives the market",
                    "a name such as BTCUSDT_2025-05-19.csv.gz",
                    "Rename it, or give symbol=...",
                )
            self._mine = self.instrument(self.options.venue or "bybit_spot", symbol)
        self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")

    def blocks(self) -> Iterator[Block]:
        waiting: list[Block] = []
        falling: bool | None = None
        rows = 0
        for columns in delimited.read(self.path, self.layout):
            block = self._trades(columns)
            if falling is None:
                ts = block.events["ts_event"]
                falling = bool(ts[0] > ts[-1])
            if not falling:
                yield block
                continue
            rows += columns.rows
            if rows > TURNED_ROWS_MAX:
                raise DataError(str(self.path), f"more than {TURNED_ROWS_MAX} rows, the newest first", "rows in rising order", "Sort it by time")
            waiting.append(block)
        if waiting:
            self.note("the newest trade was first: the order was reversed")
        while waiting:
            events, lines, ids = waiting.pop()
            assert isinstance(lines, int) and ids is not None
            yield Block(events[::-1], np.arange(lines, lines + len(events))[::-1], ids[::-1])

    def _trades(self, columns: Columns) -> Block:
        events = blank(columns.rows, int(Kind.TRADE))
        if self._futures:
            # a double of 1.7e9 s is good to 0.12 us: rounding to whole microseconds gives back what was written
            seconds = columns.numbers("timestamp")
            events["ts_event"] = np.rint(np.where((seconds > 0) & (seconds < 4e9), seconds, 0.0) * 1e6).astype(np.int64) * 1000
            index, symbols = columns.labels("symbol")
            venue = self.options.venue or "bybit"
            table = np.array([self.instrument(venue, self.options.symbol or word) if word else -1 for word in symbols], np.int32)
            events["instrument"] = table[index]
            _, ids = columns.ids("trdMatchID")
        else:
            ts = columns.integers("timestamp")
            events["ts_event"] = np.where((ts > 0) & (ts < 1 << 43), ts, 0) * 1_000_000
            events["instrument"] = self._mine
            # numbered from 1 in each file: no id of the venue
            ids = columns.integers("id").astype(np.uint64)
        events["ts_recv"] = events["ts_event"] + self.options.feed_latency_ns
        events["price"], events["qty"] = columns.numbers("price"), columns.numbers("size" if self._futures else "volume")
        events["side"] = columns.mapped("side", TAKER)
        return Block(events, columns.line, ids)
