"""Features of recorded data as rows: their values at given times, read from a store, recordings or event files, and written as CSV or Parquet.

The events go through liqcore.Features in the order in which they were received, so each row holds what a live engine would have known then.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqcore.features.spec import nanoseconds, parse, plan
from liqshell import formats
from liqshell.errors import ConfigError, DataError
from liqshell.event_columns import joined
from liqshell.formats.reading import UNKNOWN, tick_for
from liqshell.input_file import address_of, regular
from liqshell.iso import written_ns
from liqshell.research.feature_walk import Data, Parts, Walk
from liqshell.store.rules import load_file

if TYPE_CHECKING:
    from liqshell.store import Store

TIMES_MAX = 10_000_000
SORTED_S = 3600.0  # how far a file may be out of order
DAY_NS = 86_400 * lc.SECOND
NEEDED = {int(lc.Kind.LIQUIDATION): "liquidations", int(lc.Kind.TRADE): "trades", int(lc.Kind.BBO): "quotes", int(lc.Kind.TICKER): "tickers"}
DIGITS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}  # of a plain number: seconds, ms, us, ns since 1970


@dataclass
class Rows:
    """values[t, instrument, feature] at times[t]; nan where not known then."""

    names: tuple[str, ...]
    instruments: tuple[lc.Instrument, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    about: list[dict[str, Any]]  # Features.describe()
    refused: dict[str, int]
    seen: frozenset[tuple[int, int]] = frozenset()  # (instrument, kind) of which there were events


# ---- times ----


def parse_time(text: str) -> int:
    """ISO text (UTC where it says no zone), or a number of seconds, ms, us or ns since 1970 -> ns."""
    text = text.strip()
    if re.fullmatch(r"\d+", text):
        if len(text) not in DIGITS:
            raise ConfigError(f"time {text!r}", f"a number of {len(text)} digits", "seconds (10 digits), ms (13), us (16) or ns (19) since 1970")
        return int(text) * DIGITS[len(text)]
    try:
        return written_ns(text)
    except ValueError:
        raise ConfigError(f"time {text!r}", "not a time", "YYYY-MM-DD, YYYY-MM-DDTHH:MM:SS (UTC), or ns since 1970") from None


def iso(ns: int) -> str:
    """2026-02-09T13:00:00Z; the fraction only where there is one."""
    whole = datetime.fromtimestamp(ns // lc.SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return whole + (f".{ns % lc.SECOND:09d}".rstrip("0") if ns % lc.SECOND else "") + "Z"


def times_of(at: Sequence[str], every: str, start: str, end: str, data: Data) -> NDArray[np.int64]:
    """The times asked for: a list, a file of one time a line (@FILE), or every so long on the grid of UTC time. ConfigError outside the data."""
    if bool(at) == bool(every):
        raise ConfigError("features", "both --at and --every" if at else "no time", "--at TIME… or --every 1m")
    if every:
        try:
            step = nanoseconds(every)
        except ValueError as why:
            raise ConfigError("--every", str(why)) from None
        first, last = parse_time(start) if start else data.start, parse_time(end) if end else data.end
        if step < 1 or (last - first) // step > TIMES_MAX:
            raise ConfigError("--every", f"more than {TIMES_MAX:,} times", "a longer step, or a shorter span with --start and --end")
        out: NDArray[np.int64] = np.arange(-(-first // step) * step, last + 1, step, dtype=np.int64)
        if not len(out):
            raise ConfigError("--every", f"no multiple of {every} between {iso(first)} and {iso(last)}", "a shorter step")
    else:
        if start or end:
            raise ConfigError("--start, --end", "given with --at", "--every", "--start and --end do not apply to times of --at")
        out = np.array([parse_time(text) for text in _listed(at)], np.int64)
    outside = out[(out < data.start) | (out > data.end)]
    if len(outside):
        raise ConfigError(
            f"time {iso(int(outside[0]))}",
            "outside the data",
            f"{iso(data.start)} to {iso(data.end)}",
            f"{len(outside)} of {len(out)} times are" if len(out) > 1 else "",
        )
    return np.unique(out)


def _listed(at: Sequence[str]) -> Iterator[str]:
    for text in at:
        if not text.startswith("@"):
            yield from (part for part in text.split(",") if part.strip())
            continue
        try:
            found = regular(text[1:], "a text file with one time a line", ConfigError).read_text()
            yield from (line.split(",")[0] for line in found.splitlines() if line.strip() and not line.startswith("#"))
        except OSError as why:
            raise ConfigError(f"--at {text}", f"cannot be read: {why.strerror}", "a text file with one time a line") from None


# ---- data ----


def open_data(paths: Sequence[Path], symbols: Sequence[str] = (), venue: str = "", instruments: Path | None = None) -> Data:
    """A store, or recordings and event files of any format that `liqcore import` reads. instruments: what such files do not say of their contracts,
    in the form of `liqcore import --instruments`. Empty or missing data is a DataError."""
    if not paths:
        raise ConfigError("features", "no data", "a store, a recording, or event files")
    if any(map(address_of, paths)):
        from liqshell.store.remote import local  # pyarrow

        paths = [local(path) for path in paths]
    for path in paths:
        if not path.exists():
            raise ConfigError(str(path), "no such file or folder", "a store, a recording, or event files")
    stores = [path for path in paths if path.is_dir() and (path / "catalogue.sqlite").is_file()]
    if stores and len(paths) > 1:
        raise ConfigError(str(stores[0]), "a store among other data", "one store alone, or files", "Import the files into it: `liqcore import`")
    if stores and instruments is not None:
        raise ConfigError("--instruments", "given with a store", "files", "A store has its contract rules: give them to `liqcore import`")
    given = load_file(instruments) if instruments is not None else {}
    found = _stored(stores[0], symbols) if stores else _files(paths, symbols, venue, given)
    if found.end < found.start:
        raise DataError(", ".join(map(str, paths)), "no events", "market data")
    return found


def _stored(folder: Path, symbols: Sequence[str]) -> Data:
    from liqshell import store  # pyarrow

    return of_store(store.open(folder), symbols)


def of_store(opened: Store, symbols: Sequence[str] = (), keep_bytes: int = 0) -> Data:
    """A store, day by day. keep_bytes: of days that stay in memory; the newest does."""
    from liqshell.store.assemble import holes

    whole = opened.select(symbols, missing="gap")
    days = range(whole.start, whole.end, DAY_NS)

    def tape(first: int) -> lc.Tape:
        return opened.tape_of(replace(whole, start=first, end=min(first + DAY_NS, whole.end)))

    def day(k: int) -> NDArray[np.void]:
        events = tape(days[k]).events()
        gaps = [holes(contract, days[k] - 1, days[k] + DAY_NS) for contract in whole.contracts] if k else []  # as a tape of all days has them
        for n, marks in enumerate(gaps):
            marks["instrument"] = n
        return np.concatenate([*gaps, events]) if any(map(len, gaps)) else events

    ends = tape(days[0]), tape(days[-1])
    notes = ["the times of receipt are modelled, not recorded"] if "modelled" in whole.received else []
    notes += ["SYNTHETIC data"] if whole.synthetic else []
    return Data(whole.instruments, Parts(days, day, keep_bytes), ends[0].start, ends[1].end, notes)


def _files(paths: Sequence[Path], symbols: Sequence[str], venue: str, given: dict[tuple[str, str], dict[str, Any]]) -> Data:
    """Files, all of them in memory and sorted there: 64 B an event."""
    options = formats.Options(
        venue=venue,
        limits=formats.Limits(window_s=SORTED_S),
        multipliers={key: float(about["multiplier"]) for key, about in given.items() if "multiplier" in about},
    )
    events: list[NDArray[np.void]] = []
    index: dict[tuple[str, str], int] = {}
    rules: dict[tuple[str, str], dict[str, Any]] = {}
    prices: dict[tuple[str, str], float] = {}
    notes: list[str] = []
    counts: Counter[str] = Counter()
    for path in [file for given in paths for file in (formats.files_of(given) if given.is_dir() and not _recording(given) else [given])]:
        with formats.read(path, options) as reading:
            for of, symbol, block in reading:
                if symbols and symbol not in symbols and f"{of}:{symbol}" not in symbols and symbol != formats.ALL:
                    continue
                rows = block.copy()
                if symbol == formats.ALL:
                    rows["instrument"] = -1
                else:
                    rows["instrument"] = index.setdefault((of, symbol), len(index))
                    rules[of, symbol] = reading.rules.get((of, symbol), {}) | given.get((of, symbol), {})
                    stated = rows["price"][rows["price"] > 0]
                    if len(stated):
                        prices.setdefault((of, symbol), float(stated[0]))
                events.append(rows)
            counts.update(reading.counts)
            notes += [note for note in reading.notes if note not in notes]
            if reading.received != "recorded" and (modelled := f"{path.name}: times of receipt are modelled, not recorded") not in notes:
                notes.append(modelled)
    missing = [name for name in symbols if not any(name in (symbol, f"{of}:{symbol}") for of, symbol in index)]
    if missing:
        there = ", ".join(f"{of}:{symbol}" for of, symbol in index)
        raise ConfigError("--symbols", f"no data of {', '.join(missing)}", there or "contracts of the data")
    if not index:
        raise DataError(", ".join(map(str, paths)), "no events", "market data")
    rows = joined(events)
    rows = rows.take(np.argsort(rows["ts_recv"], kind="stable"))
    notes += [f"rows that were skipped: {n}: {reason}" for reason, n in counts.most_common()]
    heard = set(rows["instrument"][np.isin(rows["kind"], (int(lc.Kind.LIQUIDATION), int(lc.Kind.FEED)))].tolist())
    for key, n in index.items():  # what a venue publishes says nothing of files without it: as in a store
        if not heard & {n, -1} and "completeness" not in given.get(key, {}):
            rules[key]["completeness"] = UNKNOWN
    return Data(
        tuple(_instrument(of, symbol, rules[of, symbol], prices.get((of, symbol), 1.0)) for of, symbol in index),
        [rows],
        int(rows["ts_recv"][0]),
        int(rows["ts_recv"][-1]),
        notes,
    )


def _recording(path: Path) -> bool:
    """A folder that is one recording, not a folder of files."""
    try:
        return formats.sniff(path) == "recording"
    except DataError:
        return False


def _instrument(venue: str, symbol: str, rules: dict[str, Any], price: float) -> lc.Instrument:
    """price: a first one."""
    return lc.Instrument(
        symbol,
        venue=venue,
        tick_size=tick_for(price),
        multiplier=float(rules.get("multiplier", 1.0)),
        completeness=lc.Completeness["COMPLETENESS_" + str(rules.get("completeness", "UNKNOWN")).upper()],
    )


# ---- rows ----


def rows_of(names: Sequence[str], data: Data, times: NDArray[np.int64]) -> Rows:
    """Every feature of every contract at each of the increasing times, that ns included."""
    walk = Walk(names, data, NEEDED)
    features = walk.features
    out = np.empty((len(times), len(data.instruments), len(features.names)))
    for k, ts in enumerate(times.tolist()):
        walk.to(ts)
        out[k] = features.table(ts)
    return Rows(
        features.names,
        data.instruments,
        times,
        out,
        features.describe(),
        {reason.name: n for reason, n in features.refused.items()},
        frozenset((int(n), kind) for kind in NEEDED for n in np.flatnonzero(walk.seen[:, kind])),
    )


def lacking(rows: Rows) -> list[str]:
    """One line for each kind of data that features are made of and contracts have none of: which names, and of whom."""
    out = []
    for kind, word in NEEDED.items():
        none = [
            n
            for n, i in enumerate(rows.instruments)
            if (n, kind) not in rows.seen and (kind != lc.Kind.LIQUIDATION or i.completeness == lc.Completeness.COMPLETENESS_UNKNOWN)
        ]  # else silence is 0
        names = [name for name in rows.names if kind in plan([name]).kinds and (not parse(name).asset or len(none) == len(rows.instruments))]
        if none and names:
            whose = ", ".join(rows.instruments[n].symbol for n in none)
            whom = "the data have none" if len(none) == len(rows.instruments) else f"there are none of {whose}"
            out.append(f"{', '.join(names)}: needs {word}, and {whom}: known less often, or never")
    return out


def censored(rows: Rows) -> list[str]:
    """One line for each contract whose liquidations are only a sample, with the features that this concerns."""
    marked: dict[str, list[str]] = {}
    for feature in rows.about:
        for key, of in feature["instruments"].items():
            if of.get("completeness") == "censored":
                marked.setdefault(key, []).append(feature["name"])
    return [f"CENSORED {key}: its feed shows a sample of the liquidations; concerns {', '.join(names)}" for key, names in marked.items()]


def completeness(instrument: lc.Instrument) -> str:
    return instrument.completeness.name.removeprefix("COMPLETENESS_").lower()


def lines(rows: Rows) -> Iterator[list[str]]:
    """The header, then one line a time and contract; '' where not known."""
    yield ["time", "ts", "contract", "completeness", *rows.names]
    for t, ts in enumerate(rows.times):
        for n, instrument in enumerate(rows.instruments):
            cells = ("" if math.isnan(x) else repr(float(x)) for x in rows.values[t, n])
            yield [iso(int(ts)), str(ts), instrument.key, completeness(instrument), *cells]


def write(rows: Rows, path: Path) -> None:
    """CSV or Parquet, by the name's ending; Parquet carries Features.describe() as metadata 'liqcore.features'."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            write_csv(rows, file)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        count, several = len(rows.times), len(rows.instruments)
        columns = {
            "ts": np.repeat(rows.times, several),
            "contract": [i.key for i in rows.instruments] * count,
            "completeness": [completeness(i) for i in rows.instruments] * count,
            **{name: rows.values[:, :, r].ravel() for r, name in enumerate(rows.names)},
        }
        pq.write_table(pa.table(columns).replace_schema_metadata({"liqcore.features": json.dumps(rows.about)}), path)
    else:
        raise ConfigError(f"--out {path}", f"ending {path.suffix!r}", "a name that ends with .csv or .parquet")


def write_csv(rows: Rows, file: IO[str]) -> None:
    csv.writer(file, lineterminator="\n").writerows(lines(rows))
