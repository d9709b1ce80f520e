"""Market data of other programs, and our own, as one stream of events. The format of a file is recognised by its content.

    formats.sniff(path)                   # "tardis", "binance", ... ; DataError where it is none of ours
    with formats.read(path) as reading:   # see reading.Reading
        for venue, symbol, events in reading: ...

One module a format, with `sniff(path, first_line) -> bool` and its Reading.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from liqshell.errors import DataError
from liqshell.formats import compression, delimited, table_rows
from liqshell.formats.hyperliquid_fills import is_hourly
from liqshell.formats.reading import ALL, FEED_LATENCY_MS, Options, Reading
from liqshell.formats.validate import Findings, Gap, Limits, Sizes
from liqshell.input_file import regular
from liqshell.recording import reader as recording

if TYPE_CHECKING:
    from liqshell.formats.carried_state import Carried

__all__ = ["ALL", "FEED_LATENCY_MS", "FORMATS", "Findings", "Gap", "Limits", "Options", "Reading", "Sizes", "files_of", "read", "refuse_own", "sniff"]

# in the order of asking: the ones that are surest of themselves first
FORMATS = {
    "parquet": "Parquet with our columns",
    "hftbacktest": "hftbacktest's npz",
    "hyperliquid_fills": "fills of a Hyperliquid node: node_fills_by_block, node_fills",
    "lean": "LEAN's zips of quote bars, and its funding rates",
    "columns": "tables of a known layout, or any with a column map",
    "recording": "recordings of frames: liqcore's runs, hourly files, captures of cryptofeed and of hftbacktest's collector, raw frames, REST pages",
    "tardis": "CSV of tardis.dev",
    "binance": "Binance's public archives: aggTrades, trades, bookTicker, liquidationSnapshot",
    "bybit_trades": "Bybit's public trade archives",
    "event_table": "event tables of ours",
}
_MODULES = {"recording": "recordings"}
_READERS = {
    "parquet": "Parquet",
    "hftbacktest": "HftBacktest",
    "hyperliquid_fills": "NodeFills",
    "lean": "Lean",
    "columns": "Mapped",
    "recording": "Recordings",
    "tardis": "Tardis",
    "binance": "Binance",
    "bybit_trades": "BybitTrades",
    "event_table": "EventTable",
}
_CAPTURE = re.compile(r".+\.ws\.\d+(\.\d+)?")  # cryptofeed's: BYBIT.ws.1.0
# what liqcore itself writes: the name of the file, what stands in its first bytes, and what it is
_OWN = (
    ("run.json", b'"abi"', "the settings of a run"),
    ("audit.bin", b"", "the audit of a run"),
    ("image.bin", b"", "the state of a live run"),
    ("truth.json", b'"start_ns"', "the cascades of a generated market"),
    ("report.json", b'"report_version"', "the report of a run"),
    ("report.html", b"<!doctype", "the report of a run"),
    ("trades.csv", b"n,symbol,side,cascade,signal_ns,", "the positions of a run"),
    ("gate.json", b'"rehearsal"', "the judgement of `liqcore gate`"),
    ("trials.jsonl", b'"settings"', "the trial log"),
)
SUFFIXES = (*recording.SUFFIXES, ".csv", ".csv.gz", ".csv.zst", ".zip", ".npz", ".npy", ".parquet", ".lz4", ".gz")


def sniff(path: str | Path) -> str:
    """The name of the format of a file, or of a folder of recordings. DataError where it is none that is known, or cannot be read."""
    path = Path(path)
    if not path.exists():
        raise DataError(str(path), "no such file or folder", "market data", "Check the path")
    if not path.is_dir():
        regular(path, "market data")
        refuse_own(path)
    first = "" if path.is_dir() or _binary(path) else delimited.first_line(path)
    for name in FORMATS:
        if _module(name).sniff(path, first):
            return name
    if path.is_file() and not path.stat().st_size:
        raise DataError(str(path), "an empty file", "market data")
    begins = f"; it begins {first[:60]!r}" if first else ""
    if path.is_file():
        table_rows.refuse_encoding(path, compression.head(path, 1 << 12))
    raise DataError(
        str(path), f"no known format{begins}", "; ".join(FORMATS.values()), "For a table, `liqcore columns FILE` proposes a map of its columns"
    )


def refuse_own(path: Path) -> None:
    """DataError where a file is of a run, a report or a study, and none of a market."""
    for name, mark, what in _OWN:
        if path.name == name and mark in compression.head(path, 1 << 12):
            raise DataError(
                str(path),
                f"{what}, an output of liqcore",
                "market data",
                f"The recording is in the folder {recording.FRAMES} of the run: give the folder of the run",
            )


def is_named(path: Path) -> bool:
    """Whether a file has the name of market data."""
    return path.name.lower().endswith(SUFFIXES) or _CAPTURE.fullmatch(path.name) is not None or is_hourly(path)


def files_of(folder: str | Path) -> list[Path]:
    """Files in a folder and its folders that could be market data, in the order of their names. Of the folder of a run its recording only."""
    folder = Path(folder)
    frames = folder / recording.FRAMES
    if frames.is_dir():
        return sorted(path for path in frames.iterdir() if path.is_file() and path.name.endswith(recording.SUFFIXES))
    out: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            out += files_of(path)
        elif is_named(path):
            out.append(path)
    return out


def read(path: str | Path, options: Options | None = None, format: str = "", before: Carried | None = None) -> Reading:
    """A reading of the file, of the given format or of the one that it looks like. DataError where it is none; ConfigError where what reads it is
    not installed. Rows are read when the reading is iterated.

    before: `carried` of the reading of the hourly file before this one. Without it a file of a recording looks back into the files beside it."""
    name = format or ("columns" if options is not None and options.columns is not None else sniff(path))
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    found: Reading = getattr(_module(name), _READERS[name])(path, options)
    if before is not None:
        found.after(before)
    return found


def _module(name: str) -> ModuleType:
    return import_module(f"liqshell.formats.{_MODULES.get(name, name)}")


def _binary(path: Path) -> bool:
    """Parquet, and zips of several files, are not looked into for a first line of text."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "a file") from None
    return magic == compression.PARQUET or len(compression.members(path)) > 1
