"""`liqcore import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from liqshell import formats
from liqshell.errors import ConfigError
from liqshell.formats import column_map
from liqshell.formats.column_map import ColumnMap
from liqshell.formats.reading import FEED_LATENCY_MS
from liqshell.progress import Bar
from liqshell.recording import reader as recording
from liqshell.store.importer import Outcome, fill
from liqshell.store.load import Store


def import_(
    files: Annotated[tuple[Path, ...], Parameter(negative=())],
    /,
    *,
    store: Path,
    venue: str = "",
    symbol: str = "",
    instruments: Path | None = None,
    columns: Path | None = None,
    feed_latency_ms: float = FEED_LATENCY_MS,
    jobs: int = 1,
    overlap: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Import recordings and vendor files into a store, and report its content. Exit status 1 if a file could not be imported.

    Reads own recordings and the research plan's hourly files (JSON lines, gzip or not), captures of cryptofeed and hftbacktest, fills of a
    Hyperliquid node, Tardis CSV, the public archives of Binance and Bybit, LEAN's quote bars, event tables, and any table by a column map. Files
    already in the store are skipped, so after an interruption the same command continues; a file is in the store completely or not at all. An
    unreadable file is named and skipped.

    Parameters
    ----------
    files
        Files, or folders of them.
    store
        Folder of the store; created if missing.
    venue
        Of files without one: bybit, binance_um, okx ...
    symbol
        Of files without one.
    instruments
        TOML file with tick_size, lot_size, multiplier, completeness of contracts: a table ["venue:SYMBOL"] each. Missing values are inferred.
    columns
        TOML file with the meaning of the columns, as `liqcore columns FILE` proposes it: for any CSV, JSON lines or Parquet.
    feed_latency_ms
        For files without a time of receipt: ts_recv = ts_event + this.
    jobs
        Processes that read files.
    overlap
        Also import files that contradict the store's data of the same time, and keep both records.
    quiet
        No progress bar and no tables.
    """
    if not 1 <= jobs <= 64:
        raise ConfigError("--jobs", str(jobs), "1 to 64")
    from liqshell.store import page, quality, rules

    given = rules.load_file(instruments) if instruments is not None else {}
    options = _options(venue, symbol, feed_latency_ms, given, column_map.load(columns) if columns is not None else None)
    with Bar("import", quiet) as bar:
        outcome = fill(
            store,
            _expanded(files),
            options,
            jobs=jobs,
            overlap=overlap,
            given=given,
            notify=lambda name, done, total: bar.show(name, 0.8 * done / max(total, 1)),
        )
        at = Store(store)
        at.make_columns(jobs, lambda what, done: bar.show(what, 0.8 + 0.2 * done))
    report = quality.data_report(at)
    page.save(report, store)
    if not quiet:
        from liqshell.store.terminal import show

        show(report)
    _summary(outcome, store)
    return 1 if outcome.broken else 0


def _options(
    venue: str, symbol: str, feed_latency_ms: float, given: dict[tuple[str, str], dict[str, Any]], columns: ColumnMap | None
) -> formats.Options:
    try:
        return formats.Options(
            venue=venue,
            symbol=symbol,
            feed_latency_ms=feed_latency_ms,
            columns=columns,
            multipliers={name: float(about["multiplier"]) for name, about in given.items() if "multiplier" in about},
        )
    except ValueError as why:
        raise ConfigError("import", str(why)) from None


def _expanded(files: tuple[Path, ...]) -> list[Path]:
    """Folders -> the files in them, by name, so that hourly files come in order of time; each file once."""
    out: dict[Path, None] = {}
    for path in files:
        if path.is_dir():
            out |= dict.fromkeys(_inside(path))
        else:
            out[path] = None
    return list(out)


def _inside(folder: Path) -> list[Path]:
    """The recording of a run, or every file below the folder whose name is that of market data."""
    if (folder / recording.FRAMES).is_dir():
        return list(recording.Reader(folder).files)
    found = sorted(
        p for p in folder.rglob("*") if p.is_file() and formats.is_named(p) and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    if not found:
        raise ConfigError(str(folder), "no file of market data in this folder", f"files that end with {', '.join(formats.SUFFIXES)}")
    return found


def _summary(outcome: Outcome, store: Path) -> None:
    rows = sum(source.rows for source in outcome.imported)
    duplicates = sum(source.duplicates for source in outcome.imported)
    print(
        f"imported {len(outcome.imported)} files, {rows:,} rows"
        + (f", {duplicates:,} of them already in the store" if duplicates else "")
        + f"; {len(outcome.known)} files already imported; {len(outcome.broken)} not imported because of errors"
    )
    for source in outcome.imported:
        for note in source.notes:
            print(f"note: {Path(source.name).name}: {note}", file=sys.stderr)
    if outcome.broken:
        print(f"NOT IMPORTED:\n{outcome.refusals()}", file=sys.stderr)
    print(f"report: {store / 'report.html'}")
