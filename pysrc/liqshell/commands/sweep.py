"""`liqcore sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import of_file


def sweep(
    config: Path,
    /,
    *,
    out: Path | None = None,
    restart: Annotated[bool, Parameter(negative=())] = False,
    cluster: Annotated[bool, Parameter(negative=())] = False,
    address: str = "",
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run every setting of the [sweep] grid on recorded data: a table, stability maps, and the best rows with their neighbours.

    After an interruption the same command continues.

    Parameters
    ----------
    config
        Configuration with [data] and [sweep].
    out
        Folder of the results; by default [run] out / name.
    restart
        Delete the content of the folder and begin again.
    cluster
        Compute on Ray: one on this machine, or that of --address. The results are the same.
    address
        A running Ray cluster, such as 'ray://host:10001' or 'auto'. Implies --cluster.
    set_
        One value of the configuration, such as 'policy.take_profit=0.002'; may be repeated.
    json_
        Print the summary as JSON instead of tables.
    """
    from liqshell.config.load import load
    from liqshell.progress import Bar
    from liqshell.sweep.page import print_sweep, write_sweep
    from liqshell.sweep.run import run_sweep

    with Bar("sweep", quiet=json_) as bar, of_file(config):
        swept = run_sweep(load(config, set_), out, restart=restart, address=(address or "") if cluster or address else None, notify=bar.show)
    summary = write_sweep(swept)
    if json_:
        print((swept.folder / "summary.json").read_text(), end="")
    else:
        print_sweep(swept, summary)
    return 0
