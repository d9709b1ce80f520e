"""The input of the scorer: a store, a recording, or an event table of liquidations with open interest from other files."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import liqcore as lc
from liqshell import input_file
from liqshell.errors import ConfigError, DataError
from liqshell.event_columns import joined
from liqshell.formats.event_tables import is_table, read_tables
from liqshell.formats.reading import COMPLETENESS, SYNTHETIC, UNKNOWN
from liqshell.research.feature_rows import completeness, open_data
from liqshell.store.load import Store

MS = 1_000_000
CATALOGUE = "catalogue.sqlite"
TIME_COLUMNS = ("ts_ms", "t")


@dataclass(frozen=True)
class Market:
    """One contract: its events in order of ts_recv, and what is known of them."""

    name: str
    events: np.ndarray
    multiplier: float = 1.0
    completeness: str = "UNKNOWN"
    synthetic: bool = False
    notes: Sequence[str] = ()  # what a person should know of the data

    def of(self, kind: lc.Kind) -> np.ndarray:
        return self.events[self.events["kind"] == int(kind)]


def load(data: Path, symbols: Sequence[str] = (), interest: Sequence[str] = (), instruments: Path | None = None) -> list[Market]:
    """Contracts of DATA that have liquidations, prices and open interest. interest: SYMBOL=FILE, tables of open interest to merge (see
    read_interest). instruments: of contracts of a recording that does not say, as `liqcore import` takes it."""
    if not data.exists():
        raise ConfigError(str(data), "no such file or folder", "a store, a recording, or an event table")
    more = dict(_named(text) for text in interest)
    markets = (
        _store(data, symbols)
        if data.is_dir() and (data / CATALOGUE).exists()
        else _table(data, symbols)
        if data.is_file() and is_table(data)
        else _recording(data, symbols, instruments)
    )
    for symbol in more:
        if symbol not in {m.name for m in markets}:
            raise ConfigError(f"--interest {symbol}", "no such contract in the data", ", ".join(m.name for m in markets))
    return [_merged(m, read_interest(more[m.name])) if m.name in more else m for m in markets]


def _named(text: str) -> tuple[str, Path]:
    symbol, equals, file = text.partition("=")
    if not equals or not symbol or not file:
        raise ConfigError(f"--interest {text}", "not SYMBOL=FILE", "such as BTCUSDT=oi.csv.gz")
    return symbol, Path(file)


def _store(data: Path, symbols: Sequence[str]) -> list[Market]:
    store = Store(data)
    try:
        chosen = store.select(symbols, missing="gap")
        tape = store.tape_of(chosen)
        return [
            Market(i.symbol, tape.events(n), i.multiplier, i.completeness.name.removeprefix("COMPLETENESS_"), chosen.synthetic)
            for n, i in enumerate(tape.instruments)
        ]
    finally:
        store.close()


def _table(data: Path, symbols: Sequence[str]) -> list[Market]:
    table = read_tables([data])
    out = []
    for n, (symbol, venue) in enumerate(zip(table.symbols, table.venues, strict=True)):
        if not symbols or symbol in symbols:
            events = table.events[table.events["instrument"] == n].copy()
            events["instrument"] = 0
            out.append(Market(symbol, events, 1.0, COMPLETENESS.get(venue, UNKNOWN)))
    return _found(out, symbols, data)


def _recording(data: Path, symbols: Sequence[str], instruments: Path | None) -> list[Market]:
    """Any file that features read: with its contracts' multipliers, the class of its feed, and whether a generator made it."""
    opened = open_data([data], instruments=instruments)
    (rows,) = opened.parts
    out = []
    for n, i in enumerate(opened.instruments):
        events = rows[rows["instrument"] == n].copy()
        events["instrument"] = 0
        out.append(Market(i.symbol, events, i.multiplier, completeness(i).upper(), SYNTHETIC in opened.notes, opened.notes))
    return _found([m for m in out if not symbols or m.name in symbols], symbols, data)


def _found(markets: list[Market], symbols: Sequence[str], data: Path) -> list[Market]:
    missing = set(symbols) - {m.name for m in markets}
    if missing:
        raise ConfigError(str(data), f"no contract {', '.join(sorted(missing))}", ", ".join(m.name for m in markets) or "contracts")
    return markets


def read_interest(path: Path) -> np.ndarray:
    """Tickers of a table of open interest: columns ts_ms (or t), oi (base units), and mark (or oi_usd, then the price is oi_usd / oi)."""
    try:
        with input_file.text(path) as file:
            rows = list(csv.DictReader(input_file.lines(file, path)))
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as why:
        raise DataError(str(path), f"cannot be read: {why}", "a CSV file, plain or gzip") from None
    have = set(rows[0]) if rows else set()
    time = next((name for name in TIME_COLUMNS if name in have), None)
    if time is None or "oi" not in have or not have & {"mark", "oi_usd"}:
        raise DataError(str(path), f"columns {', '.join(sorted(have)) or 'none'}", "ts_ms (or t), oi, and mark (or oi_usd)")
    out = np.zeros(len(rows), lc.EVENT_DTYPE)
    for n, row in enumerate(rows):
        try:
            ts, oi = int(row[time]), float(row["oi"])
            price = float(row["mark"]) if "mark" in have else float(row["oi_usd"]) / oi
        except (ValueError, ZeroDivisionError, TypeError):
            raise DataError(f"{path}:{n + 2}", f"{row}", "a time in ms and numbers above 0") from None
        if not (0 < ts < 9_000_000_000_000 and 0 < oi < math.inf and 0 < price < math.inf):
            raise DataError(f"{path}:{n + 2}", f"{row}", "a time in ms and numbers above 0")
        out[n]["ts_event"] = out[n]["ts_recv"] = ts * MS
        out[n]["qty"], out[n]["price"] = oi, price
    out["kind"] = int(lc.Kind.TICKER)
    return out.take(np.argsort(out["ts_recv"], kind="stable"))


def _merged(market: Market, tickers: np.ndarray) -> Market:
    tickers = tickers.copy()
    tickers["qty"] /= market.multiplier  # a table has base units, an event what the venue counts in
    events = joined([market.events, tickers])
    return dataclasses.replace(market, events=events.take(np.argsort(events["ts_recv"], kind="stable")))
