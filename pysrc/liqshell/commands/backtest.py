"""`liqcore backtest`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from liqshell.errors import of_file


def backtest(
    config: Path,
    /,
    *,
    out: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=())] = (),
    row: str = "",
    quick: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run a configuration on recorded data, with the same decisions as live, and write a run folder and a report.

    The same events are then traded again with other reaction delays, and by controls without knowledge (other side, random side, random time, every
    30
    minutes). A result that the controls reach, too, is not an edge.

    Parameters
    ----------
    config
        TOML file of a live run, with [data]; errors name file, key, allowed range and the nearest right name.
    out
        Folder for the run; by default [run] out / name and a digest of settings and data, replaced when run again.
    set_
        Changes to the file, such as policy.take_profit=0.002.
    row
        A row of a sweep by this configuration, SWEEP:ROW: its setting, left in SWEEP/rows/ROW. The page of the sweep then leads to its report.
    quick
        Omit delays and controls. The report says so.
    json_
        Print the summary as one JSON object instead of the report.
    """
    from liqshell.config.load import load
    from liqshell.sweep import rows

    loaded = load(config, [*set_, *(["backtest.study=false"] if quick else [])])
    of_sweep = rows.named(row) if row else None
    source: dict[str, Any] = {}
    if of_sweep:
        loaded, source = rows.setting_of(loaded, *of_sweep)
        out = out or rows.folder_of(*of_sweep)
    report_of(loaded, config, out, config.stem, json_, lambda folder: rows.keep(folder, *of_sweep, source) if of_sweep else None)
    return 0


def report_of(loaded: Any, config: Path, out: Path | None, name: str, json_: bool, keep: Callable[[Path], object], forward: bool = False) -> None:
    """Run it, or walk forward, and show its report. keep: what is left in the folder besides."""
    from liqshell.backtest import load_history, run_backtest
    from liqshell.progress import Bar
    from liqshell.report import make_report, print_report

    with Bar("forward" if forward else "backtest", quiet=json_) as bar:
        bar.show("loading", 0.0)
        with of_file(config):
            history = load_history(loaded)
        folder = run_backtest(loaded, out, bar.show, name, forward=forward, history=history)
        keep(folder)
        bar.show("report", 1.0)
        report = make_report(folder, tape=history.tape)
    if json_:
        print(json.dumps(report.figures | {"folder": str(folder), "report": str(report.html)}, default=str))
    else:
        print_report(report.summary)
        print(f"Report: {report.html}")
