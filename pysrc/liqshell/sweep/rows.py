"""From a row of a sweep to its backtest, and back: `liqcore backtest CONFIG --row SWEEP:ROW`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from markupsafe import Markup

from liqshell import private
from liqshell.config.load import Config
from liqshell.errors import ConfigError
from liqshell.pages import link
from liqshell.recording import journal
from liqshell.sweep.parts import PLAN
from liqshell.sweep.table import shown

ROWS, PAGE, TABLE = "rows", "sweep.html", "sweep.parquet"


def command(folder: Path, row: int | str) -> str:
    """The command line."""
    return f"liqcore backtest CONFIG --row {folder}:{row}"


def folder_of(sweep: Path, row: int) -> Path:
    """Where the backtest of a row is left, unless --out says otherwise."""
    return sweep / ROWS / f"{row}"


def place(sweep: Path, row: int) -> Markup:
    """The number of a row on the page of its sweep, which leads to its backtest where there is one."""
    report = folder_of(sweep, row) / "report.html"
    return _anchor(sweep, row, report) if report.is_file() else _unlinked(row)


def _unlinked(row: int) -> Markup:
    """The text of the page that `keep` replaces by the link."""
    return Markup("<!--row-->{0:,}<!--{0}-->").format(row)


def _anchor(sweep: Path, row: int, report: Path) -> Markup:
    return link(os.path.relpath(report, sweep), f"{row:,}")


def named(text: str) -> tuple[Path, int]:
    """SWEEP:ROW as folder and row. ConfigError where it is neither."""
    folder, colon, row = text.rpartition(":")
    if not colon or not row.isdigit() or not (Path(folder) / PLAN).is_file() or not (Path(folder) / TABLE).is_file():
        raise ConfigError(f"--row {text}", "not a row of a finished sweep", "SWEEP:ROW, the folder of a sweep and the number of a row on its page")
    return Path(folder), int(row)


def setting_of(config: Config, sweep: Path, row: int) -> tuple[Config, dict[str, Any]]:
    """The configuration with the setting of a row, and what run.json of its backtest keeps of the sweep. ConfigError where the grid of the
    configuration is not that of the sweep."""
    import pyarrow.parquet as pq

    from liqshell.sweep.run import grid_of

    cells = grid_of(config)
    names = list(cells[0].named)
    found = pq.read_table(sweep / TABLE)
    symbols = found["symbol"].to_pylist()
    if symbols.count(symbols[0]) != len(cells) or not set(names) <= set(found.column_names) or not row < len(cells):
        raise ConfigError(
            f"--row {sweep}:{row}",
            f"the sweep has {symbols.count(symbols[0])} settings, [sweep] of the configuration {len(cells)}",
            "the configuration of that sweep and one of its rows",
        )
    if any(found[name][row].as_py() != shown(name, cells[row].named[name]) for name in names):
        raise ConfigError(f"--row {sweep}:{row}", "a setting that differs from the configuration's grid", "the configuration of that sweep")
    at = len(symbols) - len(cells) + row
    source = {"folder": str(sweep.resolve()), "row": row, "net": found["net"][at].as_py(), "trades": found["trades"][at].as_py()}
    source["by"] = found.schema.metadata[b"liqcore.by"].decode()
    return config.with_setting(cells[row]), source


def keep(run: Path, sweep: Path, row: int, source: dict[str, Any]) -> None:
    """The run says which row it is, and the page of the sweep leads to its report."""
    journal.update(run, sweep=source | {"page": os.path.relpath(sweep / PAGE, run)})
    page = sweep / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if (before := _unlinked(row)) in text:
        private.write(page, text.replace(before, _anchor(sweep, row, run / "report.html")))
