"""`liqcore compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


def compare(
    data: Path,
    /,
    *,
    policies: Annotated[str, Parameter(name=("--policies", "--presets"))] = "",
    out: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=())] = (),
    quick: Annotated[bool, Parameter(negative=())] = False,
    workers: Annotated[int, Parameter(validator=Number(gte=0, lte=1024))] = 0,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Compare presets on the same data and events, each with its controls: one page, compare.json, compare.csv, events.csv.

    Also shows the results of fade and follow on identical events, entries of several presets at the same moment, and how often the conditions of
    each rule are met. An interrupted comparison keeps its finished parts and continues.

    Parameters
    ----------
    data
        A configuration with [data] (of its [policy] only the size of a trade is used), or data: a store, the folder of a run.
    policies
        Presets, separated by commas; default: all that ship.
    out
        Folder of the results; by default [run] out / NAME-compare.
    set_
        Changes to the configuration, such as paper.maker_fee=0.
    quick
        Omit delays and controls. The page says so.
    workers
        Processes, 0 = one a core.
    json_
        Print compare.json instead of the table.
    """
    from liqshell.progress import Bar
    from liqshell.research.compare import page, plan, run_compare
    from liqshell.research.compare.terminal import show

    config = plan.read(data, [*set_, *(["backtest.study=false"] if quick else [])])
    wanted = [name.strip() for name in policies.split(",") if name.strip()]
    with Bar("compare", quiet=json_) as bar:
        found = run_compare(config, wanted, out, workers=workers, notify=bar.show)
    summary = page.write(found)
    if json_:
        print((found.folder / "compare.json").read_text(encoding="utf-8"), end="")
    else:
        show(summary)
        for name, why in found.failed.items():
            print(f"not run: {name}: {why}")
        print(f"Page: {found.folder / 'compare.html'}")
    return 0 if found.rows else 1
