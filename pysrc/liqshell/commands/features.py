"""`liqcore features`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqcore.features.spec import parse, split_names
from liqshell.errors import ConfigError, check_output
from liqshell.name_lists import Names

ROWS_SHOWN = 200


def features(
    data: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    /,
    *,
    features: Annotated[tuple[str, ...], Parameter(name=["--features", "-f"], negative=(), consume_multiple=True)] = (),
    at: Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)] = (),
    every: str = "",
    start: str = "",
    end: str = "",
    symbols: Names = (),
    venue: str = "",
    instruments: Path | None = None,
    out: Path | None = None,
) -> int:
    """Compute features of recorded data at given times, from the data known at each time: a table, or a CSV or Parquet file.

    DATA is a store, a recording, or event files of any kind that `liqcore import` reads. An empty cell was not known at that time. docs/features.md
    explains the names; without --at and --every they are only checked and printed in full.

    Parameters
    ----------
    data
        A store, recordings, event files.
    features
        Names such as liquidations.liq_imbalance@15m:zscore, separated by commas; :n and :n_eff in place of :zscore give the number of samples.
    at
        Times: ISO (UTC) or since 1970 in s, ms, us or ns, separated by commas; @FILE = one a line.
    every
        Instead of --at: at every multiple of this time, such as 1m.
    start
        With --every: first time; default: the begin of the data.
    end
        With --every: last time; default: the end of the data.
    symbols
        Contracts, separated by commas; default: all. Others are not read, so name BTC too if a feature needs it.
    venue
        Of files without one.
    instruments
        TOML file of contracts as `liqcore import` takes it: the multiplier of raw OKX frames, which count in contracts.
    out
        FILE.csv or FILE.parquet instead of the table.
    """
    from liqshell.research import feature_rows

    full = _names(features)
    if not data and not at and not every:
        print("\n".join(full))
        return 0
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out}", f"ending {out.suffix!r}", "a name that ends with .csv or .parquet")
    check_output("--out", out)
    source = feature_rows.open_data(data, symbols, venue, instruments)
    rows = feature_rows.rows_of(full, source, feature_rows.times_of(at, every, start, end, source))
    refused = [f"refused events: {n}: {reason}" for reason, n in rows.refused.items()]
    for note in [*source.notes, *refused, *feature_rows.lacking(rows), *feature_rows.censored(rows)]:
        print(note, file=sys.stderr)
    if out is not None:
        feature_rows.write(rows, out)
        print(f"{len(rows.times)} times x {len(rows.instruments)} contracts x {len(rows.names)} features: {out}")
    elif sys.stdout.isatty():
        _show(rows)
    else:
        feature_rows.write_csv(rows, sys.stdout)
    return 0


def _names(features: Sequence[str]) -> list[str]:
    """The full names; names that can never be known are reported."""
    names = [name for text in features for name in split_names(text)]
    if not names:
        raise ConfigError("--features", "no names", "one or more such as liquidations.liq_volume@1m", "docs/features.md lists them")
    try:
        full = [parse(name).text for name in names]
    except ValueError as why:
        raise ConfigError("--features", str(why)) from None
    for name in full:
        if never := parse(name).never:
            print(never, file=sys.stderr)
    return full


def _show(rows: object) -> None:
    """For a person: numbers in six digits."""
    from rich.console import Console
    from rich.text import Text

    from liqshell.fitted import Table
    from liqshell.research import feature_rows

    assert isinstance(rows, feature_rows.Rows)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("time", "contract", *rows.names):
        table.add_column(Text(name), justify="left" if name in ("time", "contract") else "right", overflow="fold")
    cells = list(feature_rows.lines(rows))[1:]
    for line in cells[:ROWS_SHOWN]:
        table.add_row(line[0], Text(line[2], style="yellow" if line[3] == "censored" else ""), *(f"{float(x):.6g}" if x else "–" for x in line[4:]))
    console = Console()
    console.print(table)
    if len(cells) > ROWS_SHOWN:
        console.print(f"… {len(cells) - ROWS_SHOWN} more; --out FILE.csv or .parquet writes all of them")
