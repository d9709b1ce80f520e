"""Tables of other programs by a column map: CSV, JSON lines and Parquet. The map is given (`Options.columns`) or known for the layout
(known_columns.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import Side
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns, joined
from liqshell.formats import known_columns
from liqshell.formats.column_map import KINDS, NUMBERS, TIMES, UNITS, Column, ColumnMap
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT, Columns
from liqshell.formats.reading import Reading, blank
from liqshell.formats.table_rows import rows_of, timestamps_of
from liqshell.formats.validate import TIME_MIN, Block
from liqshell.iso import all_ns, written_ns
from liqshell.recording.streams import BITS, FIELDS, when

TIME_LIKELY = 4_102_444_800_000_000_000  # 2100: nothing recorded is younger; a larger time is of a finer unit than said
MIXED_SHARE = 0.05  # of rows whose times are in another unit: from there on the file has two
SORTED_ROWS_MAX = 50_000_000  # of a file in no order: it must fit in memory
BACK_NS = 10_000_000_000  # rows this late begin another part of a file; fewer are merely late
QUOTES = ("USDT", "USDC", "USD", "BUSD", "FDUSD", "_PERP", "-SWAP")  # names that end so need no suffix
PARTS_MAX = 1000  # a file with more is in no order at all
TEMPLATE = "`liqcore columns FILE` shows the meaning of each column"
_SIDES = {
    "buy": "buy",
    "b": "buy",
    "bid": "buy",
    "buyer": "buy",
    "sell": "sell",
    "a": "sell",
    "ask": "sell",
    "seller": "sell",
    "long": "long",
    "short": "short",
    "1": "buy",
    "+1": "buy",
    "-1": "sell",
    "true": "true",
    "false": "false",
    "0": "false",
}
# kind -> whose side -> what a word of it means: the aggressor's side of a trade, the position of a liquidation. A forced order is a taker: where it
# sold, its maker bought, and a long was closed
_LONG, _SHORT = int(Side.LONG), int(Side.SHORT)
_FORCED = {"sell": _LONG, "buy": _SHORT}
_MEANING = {
    "trade": {"taker": {"buy": _LONG, "sell": _SHORT}, "maker": {"true": _SHORT, "false": _LONG, "buy": _SHORT, "sell": _LONG}},
    "liquidation": {
        "taker": _FORCED,
        "order": _FORCED,
        "maker": {"true": _LONG, "false": _SHORT, "buy": _LONG, "sell": _SHORT},
        "position": {"long": _LONG, "short": _SHORT, "buy": _LONG, "sell": _SHORT, "true": _LONG, "false": _SHORT},
    },
}


def sniff(path: Path, first: str) -> bool:
    return not path.is_dir() and known_columns.find(path, first) is not None


class Mapped(Reading):
    """One file. The caller gives what the map leaves open (venue, symbol)."""

    format = "columns"

    def prepare(self) -> None:
        found = self.options.columns
        if found is None:
            known = known_columns.find(self.path)
            if known is None:
                raise DataError(str(self.path), "no map of its columns", "a table with a known layout, or --columns map.toml", TEMPLATE)
            found = known.map
            for note in known.notes:
                self.note(note)
        self.map: ColumnMap = found
        self._typed = timestamps_of(self.path) & {entry.column for name, entry in found.read.items() if name in TIMES}
        self._check_names()
        if "recv" not in found.columns:
            self.received = "modelled"
            self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")
        elif "time" not in found.columns:
            self.note("no time of the event: the time of receipt is used")
        self._first = True
        self._places: dict[tuple[str, str], int] = {}

    def _check_names(self) -> None:
        for name, said in (("venue", self.options.venue), ("symbol", self.options.symbol)):
            if name not in self.map.columns and not said:
                raise DataError(
                    str(self.path), f"neither the file nor the map gives the {name}", f"{name} = {{value = ...}} in the map, or --{name}", TEMPLATE
                )

    def _types(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for name, entry in self.map.read.items():
            if name in TIMES:
                kind = INTEGER if entry.column in self._typed or entry.unit in ("us", "ns") else TEXT if entry.unit == "iso" else NUMBER
            else:
                kind = TEXT if name == "id" else LABEL if name in ("side", "venue", "symbol", "where") else NUMBER
            if out.setdefault(entry.column, kind) != kind:
                raise DataError(str(self.path), f"column {entry.column!r} has two meanings in the map", "each column once", "Mend the map")
        return out

    def blocks(self) -> Iterator[Block]:
        made = (self._block(columns) for columns in rows_of(self.path, self._types(), self.map.header, self.map.delimiter))
        if not self.map.sort:
            yield from made
            return
        parts: list[Block] = []
        for block in made:
            parts.append(block)
            if sum(len(part.events) for part in parts) > SORTED_ROWS_MAX:
                raise DataError(str(self.path), f"more than {SORTED_ROWS_MAX} unordered rows", "rows in time order", "Sort it by time")
        if parts:
            events = joined([part.events for part in parts])
            lines = np.concatenate([np.arange(len(part.events)) + part.lines for part in parts])
            ids = np.concatenate([part.ids for part in parts]) if parts[0].ids is not None else None
            kept = self._once(events)
            order = kept[np.argsort(events["ts_recv"][kept], kind="stable")]
            yield Block(events.take(order), lines[order], ids[order] if ids is not None else None)

    def _once(self, events: EventColumns) -> np.ndarray:
        """If the time goes back, a second recorder overlapped the first: rows that an earlier part holds as often are left out."""
        part = np.concatenate([[0], np.cumsum(np.diff(events["ts_recv"]) < -BACK_NS)]) if len(events) else np.zeros(0, np.int64)
        if not len(part) or not part[-1] or part[-1] > PARTS_MAX:
            return np.arange(len(events))
        rows = events.rows()
        said: dict[bytes, int] = {}
        kept: list[int] = []
        for number in range(int(part[-1]) + 1):
            mine: dict[bytes, int] = {}
            for row in np.flatnonzero(part == number).tolist():
                key = rows[row].tobytes()
                mine[key] = mine.get(key, 0) + 1
                if mine[key] > said.get(key, 0):
                    kept.append(row)
            said = {key: max(said.get(key, 0), mine.get(key, 0)) for key in said.keys() | mine.keys()}
        if again := len(events) - len(kept):
            self.counts["the same row again, where the time of the file goes back"] += again
            self.note("the time of the file goes back, as if two recorders wrote it: the rows are sorted, and equal rows count once")
        return np.array(kept, np.int64)

    # ---- rows to events

    def _block(self, columns: Columns) -> Block:
        events = blank(columns.rows, int(KINDS[self.map.kind]))
        times = {name: self._times(columns, entry) for name, entry in self.map.columns.items() if name in TIMES}
        events["ts_event"] = times["time"] if "time" in times else times["recv"]
        modelled = np.where(events["ts_event"] > 0, events["ts_event"] + self.options.feed_latency_ns, 0)
        events["ts_recv"] = times.get("recv", modelled)
        events["instrument"] = self._instruments(columns)
        self._numbers(columns, events)
        if "side" in self.map.columns:
            events["side"] = self._sides(columns, self.map.columns["side"])
        ids = None
        if "id" in self.map.columns:
            numbers, ids = columns.ids(self.map.columns["id"].column)
            events["id"] = self.kept_ids(numbers)
        self._first = False
        if "where" not in self.map.columns:
            return Block(events, columns.line, ids)
        wanted = self.map.columns["where"]
        kept = np.flatnonzero(columns.mapped(wanted.column, {wanted.value.strip().lower(): 1}))
        self.counts[f"rows left out by the map: {wanted.column} is not {wanted.value}"] += len(events) - len(kept)
        return Block(events.take(kept), columns.line + kept, ids[kept] if ids is not None else None)

    def _numbers(self, columns: Columns, events: EventColumns) -> None:
        said = {name: columns.numbers(entry.column) for name, entry in self.map.read.items() if name in NUMBERS[self.map.kind]}
        for name, values in said.items():
            if field := NUMBERS[self.map.kind][name]:
                events[field] = np.nan_to_num(values, nan=0.0) if name in ("notional", "limit") or self.map.kind == "ticker" else values
        if self.map.kind == "ticker":
            for stream, field in FIELDS.items():
                name = "funding" if stream == "funding" else stream
                unsaid = np.isnan(said[name]) if name in said else np.ones(len(events), bool)
                if name != "funding":
                    unsaid |= events[field] == 0.0
                events["flags"] = events["flags"] | np.where(unsaid, BITS[stream], 0).astype(np.uint8)
        elif "size" not in said and "notional" in said:
            self.note("no column of sizes: size = notional / price")
            with np.errstate(divide="ignore", invalid="ignore"):
                events["qty"] = said["notional"] / (said["price"] * self._sizes(events))
        elif self._first and {"notional", "size"} <= said.keys():
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.nanmedian(said["notional"] / (said["price"] * said["size"] * self._sizes(events))) if len(events) else 1.0
            if np.isfinite(ratio) and not 0.67 < ratio < 1.5:
                self.note(f"notional is {ratio:.3g} times price x size: is the size in contracts? Then set contract_size")

    def _sizes(self, events: EventColumns) -> np.ndarray:
        """The value of one unit of size, by row."""
        sizes: np.ndarray = np.array([float(self.rules[name].get("multiplier", 1.0)) for name in self.contracts])[events["instrument"]]
        return sizes

    def _sides(self, columns: Columns, entry: Column) -> np.ndarray:
        words = _SIDES if not entry.words else {word.strip().lower(): meaning for word, meaning in entry.words.items()}
        meaning = _MEANING[self.map.kind][entry.of]
        return columns.mapped(entry.column, {word: meaning[means] for word, means in words.items() if means in meaning})

    def _instruments(self, columns: Columns) -> np.ndarray:
        venue, venues = self._names_of(columns, "venue", self.options.venue)
        symbol, symbols = self._names_of(columns, "symbol", self.options.symbol)
        pair = venue.astype(np.int64) * len(symbols) + symbol
        table = np.zeros(len(venues) * len(symbols), np.int32)
        for code in np.unique(pair).tolist():
            name = venues[code // len(symbols)], symbols[code % len(symbols)]
            if not all(name):
                row = int(np.argmax(pair == code))
                raise DataError(
                    f"{self.path}:{columns.line + row}",
                    f"no {'symbol' if name[0] else 'venue'}",
                    "the contract of each row",
                    "Correct the map or the file",
                )
            if name not in self._places:
                size = self.map.contract_size.get(name[1], self.map.contract_size.get(""))
                said: dict[str, Any] = {} if size is None else {"multiplier": size}
                self._places[name] = self.instrument(*name, **said)
            table[code] = self._places[name]
        return np.asarray(table[pair])

    def _names_of(self, columns: Columns, name: str, said: str) -> tuple[np.ndarray, list[str]]:
        """(index of the word of each row, words)"""
        entry = self.map.columns.get(name)
        if said or entry is None or not entry.column:
            return np.zeros(columns.rows, np.int64), [said or (entry.value if entry is not None else "")]
        index, words = columns.labels(entry.column)
        names = [entry.names.get(word.strip(), word.strip()) for word in words]
        suffix = entry.suffix
        return index.astype(np.int64), [word + suffix if word and suffix and not word.endswith((suffix, *QUOTES)) else word for word in names]

    # ---- times

    def _times(self, columns: Columns, entry: Column) -> np.ndarray:
        """ns; 0 where there is none. DataError if the unit cannot be the stated one."""
        if entry.column in self._typed:
            return columns.integers(entry.column)
        if entry.unit == "iso":
            return self._written(columns, entry)
        values = columns.integers(entry.column) if entry.unit in ("us", "ns") else columns.numbers(entry.column, missing=0.0)
        if self._first:
            self._check_values(columns, entry, values)
        self._mixed(columns, entry, values)
        return nanoseconds(values, entry.unit)

    def _check_values(self, columns: Columns, entry: Column, values: np.ndarray) -> None:
        some = np.sort(values[(values > 0) & np.isfinite(values)])
        middle = float(some[len(some) // 2]) if len(some) else 0.0
        if not middle or TIME_MIN <= middle * UNITS[entry.unit] < TIME_LIKELY:
            return
        row = int(np.argmax(values == some[len(some) // 2]))
        likely = [unit for unit, ns in UNITS.items() if TIME_MIN <= middle * ns < TIME_LIKELY]
        what = f"{entry.column}: {middle:.0f} in {entry.unit} is in {_year(middle * UNITS[entry.unit])}"
        hint = "It is not a time since 1970 in any unit"
        if likely:
            hint = f'In {likely[0]} it is {when(int(middle * UNITS[likely[0]]))}: set unit = "{likely[0]}"'
        raise DataError(f"{self.path}:{columns.line + row}", what, "a time from 2009 to 2100", hint)

    def _mixed(self, columns: Columns, entry: Column, values: np.ndarray) -> None:
        """A row of a wrong time costs that row; many that another unit would make right mean that the file has two units."""
        ns = values.astype(np.float64) * UNITS[entry.unit]
        strange = np.flatnonzero((ns > 0) & ~((ns >= TIME_MIN) & (ns < TIME_LIKELY)))
        if len(strange) <= len(values) * MIXED_SHARE:
            return
        for unit, size in UNITS.items():
            fit = strange[(ns[strange] / UNITS[entry.unit] * size >= TIME_MIN) & (ns[strange] / UNITS[entry.unit] * size < TIME_LIKELY)]
            if len(fit) > len(values) * MIXED_SHARE:
                what = f"{entry.column}: {len(fit)} of {len(values)} rows are not in {entry.unit} but in {unit}, such as {values[fit[0]]:.0f}"
                raise DataError(f"{self.path}:{columns.line + int(fit[0])}", what, "times of one unit", "Convert them to one unit, or split the file")

    def _written(self, columns: Columns, entry: Column) -> np.ndarray:
        texts = columns.texts(entry.column)
        if (at_once := all_ns(texts, entry.zone)) is not None:
            return at_once
        out = np.zeros(columns.rows, np.int64)
        for row, text in enumerate(texts):
            if text and not text.isspace():
                try:
                    out[row] = written_ns(text, entry.zone)
                except (ValueError, OverflowError):
                    unit = _unit_of(float(text)) if text.strip().replace(".", "", 1).isdecimal() else ""
                    raise DataError(
                        f"{self.path}:{columns.line + row}",
                        f"{entry.column}: {text[:40]!r}",
                        "a time such as 2024-08-05T00:00:00Z",
                        f'As a number it is in {unit}: set unit = "{unit}"' if unit else "Mend the map",
                    ) from None
        return out


def nanoseconds(values: np.ndarray, unit: str) -> np.ndarray:
    """Numbers of a unit to ns; 0 where they cannot be a time. Doubles of seconds are good to a microsecond, of milliseconds to all that they say."""
    if values.dtype.kind == "i":
        most = (1 << 62) // UNITS[unit]
        return np.where((values > 0) & (values < most), values, 0) * UNITS[unit]
    fit = np.where((values > 0) & (values < (1 << 62) / UNITS[unit]), values, 0.0)
    micros = np.rint(fit * (UNITS[unit] // 1000)) if unit == "s" else np.rint(np.floor(fit) * 1000.0) + np.rint((fit - np.floor(fit)) * 1000.0)
    return micros.astype(np.int64) * 1000


def _unit_of(value: float) -> str:
    return next((unit for unit, ns in UNITS.items() if TIME_MIN <= value * ns < TIME_LIKELY), "s")


def _year(ns: float) -> str:
    return f"the year {1970 + ns / 31_556_952e9:,.0f}"
