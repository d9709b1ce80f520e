"""hftbacktest's npz (its version 2 and later): trades, and the best bid and ask from its depth events. ts_event = exch_ts, ts_recv = local_ts.
Where it has rows of a bookTicker (103 the bid, 104 the ask), these are the quotes from the first of them on.

Rows marked for the local side (LOCAL_EVENT) are what a trader received, in that order; the others repeat them in the order of the exchange. The array
does not name its market: venue and symbol come from the name of the file (btcusdt_20240808.npz) or from the caller.
"""

from __future__ import annotations

import re
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from liqcore.event import Kind, Side
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns
from liqshell.formats.book import ASK, BID, REPEAT_NS, Top
from liqshell.formats.compression import ZIP, members, opened
from liqshell.formats.markets import MARKETS
from liqshell.formats.reading import Reading
from liqshell.formats.validate import Block
from liqshell.venues.adapters import BY_NAME

DEPTH, TRADE, CLEAR, SNAPSHOT, BBO = 1, 2, 3, 4, 5
TICKER_BID, TICKER_ASK = 103, 104  # of hftbacktest's converters, with opt "b"
ALL_DEPTH = (DEPTH, CLEAR, SNAPSHOT, BBO)
LOCAL, BUY, SELL = 1 << 30, 1 << 29, 1 << 28
KIND = 0xFF
FIELDS = {"ev": "u8", "exch_ts": "i8", "local_ts": "i8", "px": "f8", "qty": "f8"}
BLOCK_ROWS = 1 << 18
MESSAGE_BLOCKS = 16  # no message is as long
ROWS_MAX = 1 << 40
# what may stand before the contract in the name of a file
_VENUES = sorted({*BY_NAME, *MARKETS, "binancefutures", "binancespot", "bybit_spot"}, key=len, reverse=True)
_NAME = re.compile(rf"(?:(?:{'|'.join(_VENUES)})_)?(\w*?[^\W\d_]{{3,}}\w*?)[_-]?\d{{8}}", re.IGNORECASE)
NPY = b"\x93NUMPY"


def sniff(path: Path, first: str) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        magic = stream.read(6)
    return magic == NPY or magic[:4] == ZIP and any(name.endswith(".npy") for name in members(path))


class HftBacktest(Reading):
    format = "hftbacktest"

    def prepare(self) -> None:
        names = members(self.path)
        self._member = ""
        if names:
            arrays = [name for name in names if name.endswith(".npy")]
            if "data.npy" not in arrays and len(arrays) != 1:
                raise DataError(str(self.path), f"the arrays {', '.join(arrays[:5])}", "one array, or one with the name data")
            self._member = "data.npy" if "data.npy" in arrays else arrays[0]
        with opened(self.path, self._member) as stream:
            self._dtype, self._rows = self._header(stream)
        named = _NAME.match(self.path.stem)
        symbol = self.options.symbol or (named[1].upper() if named else "")
        if not symbol:
            raise DataError(
                str(self.path),
                "neither the file nor its name gives the contract",
                "a name such as btcusdt_20240808.npz",
                "Rename it, or give symbol=...",
            )
        if not self.options.venue:
            self.note("the file does not say its venue: taken as binance_um")
        self._mine = self.instrument(self.options.venue or "binance_um", symbol)

    def _header(self, stream: IO[bytes]) -> tuple[np.dtype, int]:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # a header as Python 2 wrote it
                shape, fortran, dtype = read(stream)
        except (ValueError, SyntaxError, TypeError, UnicodeDecodeError, tokenize.TokenError) as why:
            raise DataError(str(self.path), f"not an array of NumPy ({str(why)[:100]})", "hftbacktest's npz") from None
        names = dtype.names or ()
        kinds = {name: dtype[name].str[1:] for name in names}
        wrong = [name for name, kind in FIELDS.items() if kinds.get(name) != kind]
        if wrong or len(shape) != 1 or fortran or dtype.hasobject or not 0 <= shape[0] < ROWS_MAX:
            raise DataError(
                str(self.path),
                f"an array of {dtype if dtype.names is None else ', '.join(names)} with shape {shape}",
                f"rows of {', '.join(FIELDS)}",
                "Files of hftbacktest 1 are not supported: convert them" if dtype == np.float64 else "",
            )
        return dtype, int(shape[0])

    def blocks(self) -> Iterator[Block]:
        self._best = [0.0] * 4  # of the bookTicker; a price of 0 is not known yet
        self._last_quote: tuple[float, ...] = ()
        book = Top()
        last: tuple[float, ...] = ()
        with opened(self.path, self._member) as stream:
            self._header(stream)
            start, rest = 0, np.zeros(0, self._dtype)
            while start < self._rows:
                read = start + len(rest)
                rows = np.concatenate([rest, self._taken(stream, read, min(BLOCK_ROWS, self._rows - read))])
                # a message ends where the time of receipt changes; cut in two it would be told half done
                cut = len(rows)
                if read + BLOCK_ROWS < self._rows and cut < MESSAGE_BLOCKS * BLOCK_ROWS:
                    changes = np.flatnonzero(np.diff(rows["local_ts"]))
                    cut = int(changes[-1]) + 1 if len(changes) else 0
                block, last = self._events(rows[:cut], start, book, last)
                yield block
                rest, start = rows[cut:], start + cut

    def _taken(self, stream: IO[bytes], start: int, count: int) -> np.ndarray:
        data = stream.read(count * self._dtype.itemsize)
        if len(data) != count * self._dtype.itemsize:
            raise DataError(
                f"{self.path}:row {start + len(data) // self._dtype.itemsize}",
                "the array ends here",
                f"{self._rows} rows",
                "Fetch it or create it again",
            )
        return np.frombuffer(data, self._dtype)

    def _events(self, rows: np.ndarray, start: int, book: Top, last: tuple[float, ...]) -> tuple[Block, tuple[float, ...]]:
        flags = rows["ev"]
        local = np.flatnonzero((flags & np.uint64(LOCAL)) != 0)
        if len(rows) > len(local):
            self.counts["rows of the exchange's side only"] += len(rows) - len(local)
        kind = (flags[local] & np.uint64(KIND)).astype(np.uint8)
        depth, ticker = np.isin(kind, ALL_DEPTH), (kind == TICKER_BID) | (kind == TICKER_ASK)
        first = int(np.argmax(ticker)) if ticker.any() and not any(self._best) else len(kind) if not any(self._best) else 0
        if other := int(np.count_nonzero(~((kind == TRADE) | depth | ticker))):
            self.counts["rows not used: orders, fills, events of users"] += other
        beside = int(np.count_nonzero(depth[first:]))
        if beside:
            self.counts["depth beside a bookTicker"] += beside
        places, quotes, last = _tops(rows, local[depth], beside, book, last)
        mine, of_ticker = self._tickers(rows, local[ticker])
        places, quotes = np.concatenate([places, mine]), np.concatenate([quotes, of_ticker])
        kept = np.sort(np.concatenate([local[kind == TRADE], places]))
        out = EventColumns(len(kept), kind=int(Kind.TRADE), instrument=self._mine, ts_event=rows["exch_ts"][kept], ts_recv=rows["local_ts"][kept])
        said = {"side": _sides(rows["ev"][kept]), "price": rows["px"][kept], "qty": rows["qty"][kept]}
        if len(places):
            at = np.searchsorted(kept, places)
            said |= {name: np.zeros(len(kept)) for name in ("aux_price", "aux_qty")}
            for n, name in enumerate(("price", "qty", "aux_price", "aux_qty")):
                said[name][at] = quotes[:, n]
            said["side"][at] = 0
            out["kind"] = np.where(np.isin(np.arange(len(kept)), at), int(Kind.BBO), int(Kind.TRADE))
        for name, column in said.items():
            out[name] = column
        return Block(out, start + kept), last

    def _tickers(self, rows: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that complete a bookTicker, and its values, if they are new or must be sent again."""
        places: list[int] = []
        quotes: list[list[float]] = []
        columns = rows["ev"][at] & np.uint64(KIND), rows["px"][at], rows["qty"][at], rows["local_ts"][at]
        found = list(zip(at.tolist(), *(column.tolist() for column in columns), strict=True))
        for n, (place, kind, price, size, stamp) in enumerate(found):
            half = 0 if kind == TICKER_BID else 2
            self._best[half : half + 2] = price, size
            following = found[n + 1] if n + 1 < len(found) else None
            if following is not None and following[4] == stamp and not (kind == TICKER_ASK and following[1] == TICKER_BID):
                continue
            quote = (*self._best, stamp // REPEAT_NS)
            if self._best[0] > 0.0 and self._best[2] > 0.0 and quote != self._last_quote:
                self._last_quote = quote
                places.append(place)
                quotes.append(self._best[:])
        return np.array(places, np.int64), np.array(quotes, np.float64).reshape(-1, 4)


def _sides(flags: np.ndarray) -> np.ndarray:
    """Side.LONG of the buyer's."""
    return np.where(flags & np.uint64(BUY), int(Side.LONG), np.where(flags & np.uint64(SELL), -int(Side.LONG), 0)).astype(np.int8)


def _tops(rows: np.ndarray, at: np.ndarray, beside: int, book: Top, last: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """The rows after which the best levels have changed or must be sent again, and the levels. A message is the depth rows of one local_ts: within it
    the book is half done. beside: so many of the last rows do not count, because a bookTicker came before them."""
    stamps = rows["local_ts"][at]
    ends = np.append(stamps[1:] != stamps[:-1], True)[: len(at) - beside].tolist() if len(at) else []
    at, stamps = at[: len(at) - beside], stamps[: len(at) - beside]
    flags = rows["ev"][at]
    places: list[int] = []
    quotes: list[tuple[float, ...]] = []
    columns = at, flags & np.uint64(KIND), _sides(flags), rows["px"][at], rows["qty"][at], stamps
    for place, kind, side, price, size, stamp, end in zip(*(column.tolist() for column in columns), ends, strict=True):
        if kind == CLEAR:
            for half in (BID, ASK) if side == 0 else (BID if side > 0 else ASK,):
                book.drop(half, price if side else 0.0)
        elif side and price > 0.0:
            if kind == BBO:
                book.drop(BID if side > 0 else ASK, 0.0)
            book.set(BID if side > 0 else ASK, price, size)
        if end:
            best = book.best()
            if best is not None and (*best, stamp // REPEAT_NS) != last:
                last = *best, stamp // REPEAT_NS
                places.append(place)
                quotes.append(best)
    return np.array(places, np.int64), np.array(quotes, np.float64).reshape(-1, 4), last
