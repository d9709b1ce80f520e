"""`liqcore forward`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import of_file


def forward(
    config: Path,
    /,
    *,
    out: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=())] = (),
    full: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Walk forward: parameters of [sweep] chosen on one span, judged on the next, again and again; what of the result is left out of sample.

    The choice never sees the span that it is judged on, nor the embargo before it. Everything that was tried is counted in the trial log.

    Parameters
    ----------
    config
        TOML file with [data], a grid in [sweep.policy] or [sweep.detector], and [forward].
    out
        Folder for the run; by default [run] out / name and a digest of settings and data, replaced when run again.
    set_
        Changes to the file, such as forward.train_days=14.
    full
        Also the delays and controls of `liqcore backtest`.
    json_
        Print the summary as one JSON object instead of the report.
    """
    from liqshell.backtest import load_history, run_backtest
    from liqshell.config.load import load
    from liqshell.progress import Bar
    from liqshell.report import make_report, print_report

    loaded = load(config, [*set_, *([] if full else ["backtest.study=false"])])
    with Bar("forward", quiet=json_) as bar:
        bar.show("loading", 0.0)
        with of_file(config):
            history = load_history(loaded)
        folder = run_backtest(loaded, out, bar.show, f"{config.stem}-forward", forward=True, history=history)
        bar.show("report", 1.0)
        report = make_report(folder, tape=history.tape)
    if json_:
        print(json.dumps(report.figures | {"folder": str(folder), "report": str(report.html)}, default=str))
    else:
        print_report(report.summary)
        print(f"Report: {report.html}")
    return 0
