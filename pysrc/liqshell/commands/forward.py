"""`liqcore forward`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def forward(
    config: Path,
    /,
    *,
    out: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=())] = (),
    full: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Walk forward: choose parameters of [sweep] on one span, test them on the next, repeatedly; shows what remains of the result out of sample.

    The choice uses neither its test span nor the embargo before it. Every setting counts in the trial log.

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
    from liqshell.commands.backtest import report_of
    from liqshell.config.load import load

    loaded = load(config, [*set_, *([] if full else ["backtest.study=false"])])
    report_of(loaded, config, out, f"{config.stem}-forward", json_, lambda folder: None, forward=True)
    return 0
