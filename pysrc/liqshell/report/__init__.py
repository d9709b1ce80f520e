"""The result of a run: a terminal report, one self-contained HTML page, report.json, and trades.csv and trades.parquet, all from the folder of the
run.

    report = make_report("runs/demo")          # writes report.html, report.json, trades.csv, trades.parquet
    print_report(report.summary)
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liqcore import Tape
from liqshell import private
from liqshell.report import desk
from liqshell.report.drawing import drawing
from liqshell.report.figures import summarise
from liqshell.report.html import page
from liqshell.report.ledger import read_ledger
from liqshell.report.prices import read_paths, tape_paths
from liqshell.report.run import Run, load_run
from liqshell.report.study import load_study
from liqshell.report.terminal import print_report


@dataclass(frozen=True)
class Report:
    """The files written, and their numbers."""

    html: Path
    json: Path
    csv: Path
    parquet: Path
    summary: dict[str, Any]

    @property
    def figures(self) -> dict[str, Any]:
        """The content of report.json: the summary without the list of trades."""
        return {key: value for key, value in self.summary.items() if key != "trades"}


def make_report(run: Run | str | Path, out: str | Path | None = None, tape: Tape | None = None) -> Report:
    """Write report.html, report.json, trades.csv and trades.parquet of a run (a folder, or what load_run gave) into `out`, by default the run's own
    folder.

    tape: the liqcore.Tape of a backtest, for the price path; without it the recorded frames are read, if there are any. study.json is read where the
    run left one. DataError names the file at fault where the folder is not one of a run.
    """
    run = run if isinstance(run, Run) else load_run(run)
    folder = Path(out) if out is not None else run.folder
    private.folder(folder)
    study = load_study(run.folder)
    ledger = read_ledger(run)
    paths = read_paths(run, ledger) if tape is None else tape_paths(run, ledger, tape)
    for n, (ts, price) in paths.last.items():  # open positions are marked at the last trade that was seen
        if ts >= ledger.marks.get(n, (0, 0.0))[0]:
            ledger.marks[n] = (ts, price)
    summary = summarise(run, ledger, study)
    summary["desk"] = desk.tables(run, ledger, paths, summary)
    drawn = drawing(run, ledger, paths)
    summary["drawing"] = {"trades": paths.trades, "problem": " ".join(filter(None, (paths.problem, drawn.pop("left_out"))))}
    report = Report(folder / "report.html", folder / "report.json", folder / "trades.csv", folder / "trades.parquet", summary)
    private.write(report.html, page(summary, drawn))
    private.write(report.json, _as_json(report.figures))
    summary["trades"].write_csv(report.csv)
    summary["trades"].write_parquet(report.parquet)
    return report


def _as_json(figures: dict[str, Any]) -> str:
    """One line a key and one a row of a table: to be read and compared by eye. The trades are in files of their own."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    parts = []
    for key, value in figures.items():
        rows = isinstance(value, list) and len(value) > 1
        parts.append(f"{line(key)}: " + ("[\n " + ",\n ".join(map(line, value)) + "]" if rows else line(value)))
    return "{" + ",\n".join(parts) + "}\n"


__all__ = ["Report", "Run", "load_run", "make_report", "print_report", "summarise"]
