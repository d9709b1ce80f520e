"""Event tables: CSV files of liquidations -> one array of EVENT_DTYPE in time order.

Columns: ts_ms, symbol, position (long | short: the side that was closed by force), price, qty_base, notional_usd; `venue` is
optional, others are ignored, the order is free. notional_usd becomes aux_price of the event, which the engine takes as the reported
notional where it is above 0. A table has one time only, so receipt is modelled: ts_event = ts_ms, ts_recv = that + latency_ms.
Rows that cannot be used are skipped, counted by reason and the first few named.
"""

import csv
import gzip
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell import input_file
from liqshell.errors import DataError
from liqshell.formats.validate import EARLY, LATE, TIME_MAX, TIME_MIN, refuse_most

COLUMNS = ("ts_ms", "symbol", "position", "price", "qty_base", "notional_usd")
FEED_LATENCY_MS = 50.0  # venue to us, where a source has no time of receipt: a usual value for a host in the region of the venue
SHOWN_MAX = 5  # skipped rows that are named; all are counted
TS_MS_MAX = TIME_MAX // 1_000_000
INSTRUMENTS_MAX = 100_000
LENIENT = "surrogateescape"  # a byte that is not UTF-8 costs its row, if it stands in a column that is read
NOT_UTF8 = "not UTF-8 text"
_SIDES = {"long": int(Side.LONG), "short": int(Side.SHORT)}


@dataclass
class Table:
    """The rows read. `symbols[i]` and `venues[i]` name the contract of events whose instrument is i; `skipped` counts rows by reason."""

    events: np.ndarray
    symbols: list[str]
    venues: list[str]  # '' where the table has no venue column
    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)  # the first few skipped rows, by file and line


class _Columns:
    """Growing columns, shared by all files of a table."""

    def __init__(self) -> None:
        self.ts, self.price, self.qty, self.notional = array("q"), array("d"), array("d"), array("d")
        self.instrument, self.side = array("i"), array("b")
        self.index: dict[tuple[str, str], int] = {}  # (venue, symbol): thresholds never mix venues
        self.rows = 0
        self.skipped: Counter[str] = Counter()
        self.shown: list[str] = []

    def skip(self, file: Path, line: int, reason: str, detail: str) -> None:
        """Count a row that is not taken; detail: what stands there. Text that is not UTF-8 is the reason of whatever else is wrong with it."""
        if not _is_utf8(detail):
            reason = NOT_UTF8
        self.skipped[reason] += 1
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(f"{file}:{line}: {reason}: {detail[:120] if detail.isprintable() else repr(detail[:120])}")


def _is_utf8(text: str) -> bool:
    """Whether all that a text was read from is UTF-8: LENIENT makes halves of characters of other bytes."""
    return text.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in text)


def is_table(path: str | Path) -> bool:
    """Whether the file starts like a CSV with a header, whatever its columns; False for JSON lines and for what is not text."""
    with input_file.text(path, errors=LENIENT) as stream:
        try:
            first = next((line for line in iter(partial(stream.readline, 65_536), "") if line.strip()), "").strip()
        except (OSError, EOFError, zlib.error):
            return False
    return "," in first and _is_utf8(first) and not first.startswith(("{", "["))


def read_tables(paths: Sequence[str | Path], latency_ms: float = FEED_LATENCY_MS) -> Table:
    """All rows of all files, merged and sorted by time; rows of one time keep the order of the files and of the lines. latency_ms: from the
    time that a row states to its receipt, which no table states.

    Raises DataError where a file cannot be read, its header lacks a column, most of its rows cannot be used, or no file has a row.
    """
    columns = _Columns()
    for path in paths:
        rows, passed, skipped = columns.rows, len(columns.ts), columns.skipped.copy()
        _read(Path(path), columns)
        refused = columns.skipped - skipped
        refuse_most(str(path), columns.rows - rows, refused.total(), len(columns.ts) - passed, refused, columns.shown)
    if not columns.ts:
        raise DataError(", ".join(map(str, paths)), "no usable row: the files have no rows", "liquidations with position long or short")
    venues, symbols = zip(*columns.index, strict=True)
    return Table(_events(columns, round(latency_ms * 1e6)), list(symbols), list(venues), columns.rows, columns.skipped, columns.shown)


def _events(columns: _Columns, latency_ns: int) -> np.ndarray:
    ts = np.frombuffer(columns.ts, np.int64)
    order = np.argsort(ts, kind="stable")
    events = np.zeros(len(ts), EVENT_DTYPE)
    events["ts_event"] = ts[order]
    events["ts_recv"] = events["ts_event"] + latency_ns
    events["price"] = np.frombuffer(columns.price)[order]
    events["qty"] = np.frombuffer(columns.qty)[order]
    events["aux_price"] = np.frombuffer(columns.notional)[order]
    events["instrument"] = np.frombuffer(columns.instrument, np.int32)[order]
    events["side"] = np.frombuffer(columns.side, np.int8)[order]
    events["kind"] = int(Kind.LIQUIDATION)
    return events


def _read(path: Path, columns: _Columns) -> None:
    with input_file.text(path, errors=LENIENT) as stream:
        reader = csv.reader(input_file.lines(stream, path))
        try:
            header = next((row for row in reader if any(map(str.strip, row))), None)
            _rows(path, reader, _places(path, header), columns)
        except (EOFError, zlib.error, gzip.BadGzipFile) as why:
            raise DataError(f"{path}:{reader.line_num}", f"the gzip file is damaged or incomplete: {why}", "a whole file", "Fetch it again") from None
        except csv.Error as why:
            raise DataError(f"{path}:{reader.line_num}", f"not CSV: {why}", "comma-separated columns") from None


def _places(path: Path, header: list[str] | None) -> tuple[int, ...]:
    """Positions of COLUMNS and of venue (-1 = none) in the header."""
    if header is None:
        raise DataError(str(path), "the file is empty", f"a header with {', '.join(COLUMNS)}")
    found = [name.strip() for name in header]
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        what = f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)} (found: {', '.join(found)[:200]})"
        raise DataError(f"{path}:1", what, f"a header with {', '.join(COLUMNS)}", "Rename or derive the columns; position is the liquidated side")
    twice = [name for name in COLUMNS if found.count(name) > 1]
    if twice:
        raise DataError(f"{path}:1", f"column {', '.join(twice)} appears twice", "each column once")
    return (*map(found.index, COLUMNS), found.index("venue") if "venue" in found else -1)


def _rows(path: Path, reader: Any, places: tuple[int, ...], columns: _Columns) -> None:
    at_ts, at_symbol, at_position, at_price, at_qty, at_notional, at_venue = places
    width, finite = max(places) + 1, math.isfinite
    index, sides = columns.index, _SIDES
    for row in reader:
        if not row:
            continue
        columns.rows += 1
        if len(row) < width:
            columns.skip(path, reader.line_num, "too few columns", ",".join(row))
            continue
        side = sides.get(row[at_position])
        if side is None:
            side = sides.get(row[at_position].strip().lower())
            if side is None:
                columns.skip(path, reader.line_num, "position is neither long nor short", f"'{row[at_position]}'")
                continue
        try:
            price, qty = float(row[at_price]), float(row[at_qty])
            notional = float(row[at_notional]) if row[at_notional] else 0.0
            ts = _nanoseconds(row[at_ts])
        except ValueError:
            columns.skip(path, reader.line_num, "not a number", ",".join(row))
            continue
        if not (price > 0.0 and qty > 0.0 and notional >= 0.0 and finite(price) and finite(qty) and finite(notional)):
            columns.skip(path, reader.line_num, "out of range", ",".join(row))
            continue
        if not TIME_MIN <= ts < TIME_MAX:
            columns.skip(path, reader.line_num, EARLY if ts < TIME_MIN else LATE, ",".join(row))
            continue
        symbol = row[at_symbol].strip()
        key = (row[at_venue].strip() if at_venue >= 0 else "", symbol)
        instrument = index.get(key)
        if instrument is None:
            if reason := _odd_name(*key) or ("too many symbols" if len(index) >= INSTRUMENTS_MAX else ""):
                columns.skip(path, reader.line_num, reason, ",".join(row))
                continue
            instrument = index[key] = len(index)
        columns.ts.append(ts)
        columns.price.append(price)
        columns.qty.append(qty)
        columns.notional.append(notional)
        columns.instrument.append(instrument)
        columns.side.append(side)


def _odd_name(venue: str, symbol: str) -> str:
    """Why these cannot name a contract; "" where they can. A table need not say the venue."""
    if not symbol:
        return "no symbol"
    if not input_file.is_name(symbol):
        return "symbol is no name of a contract"
    return "" if not venue or input_file.is_name(venue) else "venue is no name of a venue"


def _nanoseconds(text: str) -> int:
    """Milliseconds with or without decimals -> ns, exactly (a double would lose the last digits). ValueError for what is no number."""
    try:
        return int(text) * 1_000_000
    except ValueError:
        pass
    value = float(text)
    if math.isnan(value):
        raise ValueError(text)
    if not 0 <= value <= TS_MS_MAX:
        return TIME_MAX if value > 0 else -1
    left, _, decimals = text.strip().partition(".")
    if left.isdigit() and (decimals.isdigit() or not decimals):
        return int(left) * 1_000_000 + int((decimals + "000000")[:6])
    return round(value) * 1_000_000  # 1.7e12: exponents carry no sub-millisecond digits
