"""Market data of others, and our own, as one stream of events. Which format a file is in is told by its content.

    formats.sniff(path)                   # "tardis", "binance", ... ; DataError where it is none of ours
    with formats.read(path) as reading:   # see reading.Reading
        for venue, symbol, events in reading: ...

One module a format, with `sniff(path, first_line) -> bool` and `read(path, options) -> Reading`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from liqshell import recording
from liqshell.errors import DataError
from liqshell.formats import delimited, unpack
from liqshell.formats.reading import ALL, FEED_LATENCY_MS, Options, Reading
from liqshell.formats.validate import Findings, Gap, Limits

if TYPE_CHECKING:
    from liqshell.formats.carried import Carried

__all__ = ["ALL", "FEED_LATENCY_MS", "FORMATS", "Findings", "Gap", "Limits", "Options", "Reading", "files_of", "read", "sniff"]

# in the order of asking: the ones that are surest of themselves first
FORMATS = {
    "parquet": "Parquet with our columns",
    "hftbacktest": "hftbacktest's npz",
    "recording": "recordings of frames: liqcore's runs, S4's hourly files, raw frames",
    "tardis": "CSV of tardis.dev",
    "binance": "Binance's public archives: aggTrades, trades, bookTicker, liquidationSnapshot",
    "bybit_trades": "Bybit's public trade archives",
    "event_table": "event tables of ours",
}
_MODULES = {"recording": "recordings"}
SUFFIXES = (*recording.SUFFIXES, ".csv", ".csv.gz", ".csv.zst", ".zip", ".npz", ".npy", ".parquet", ".gz")


def sniff(path: str | Path) -> str:
    """The name of the format of a file, or of a folder of recordings. DataError where it is none that is known, or cannot be read."""
    path = Path(path)
    if not path.exists():
        raise DataError(str(path), "no such file or folder", "market data", "Check the path")
    first = "" if path.is_dir() or _binary(path) else delimited.first_line(path)
    for name in FORMATS:
        if _module(name).sniff(path, first):
            return name
    if path.is_file() and not path.stat().st_size:
        raise DataError(str(path), "an empty file", "market data")
    begins = f"; it begins {first[:60]!r}" if first else ""
    raise DataError(str(path), f"no format that is known{begins}", "; ".join(FORMATS.values()))


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
        elif path.name.endswith(SUFFIXES):
            out.append(path)
    return out


def read(path: str | Path, options: Options | None = None, format: str = "", before: Carried | None = None) -> Reading:
    """A reading of the file, of the given format or of the one that it looks like. DataError where it is none; ConfigError where what reads it is
    not installed. Rows are read when the reading is iterated.

    before: `carried` of the reading of the hourly file before this one. Without it a file of a recording looks back into the files beside it."""
    name = format or sniff(path)
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    found: Reading = _module(name).read(Path(path), options or Options())
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
    return magic == unpack.PARQUET or len(unpack.members(path)) > 1
