"""`liqcore verify`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from liqshell.errors import ConfigError


def verify(run: Path, *, out: Path | None = None) -> int:
    """Give the grade "verified" to the contracts of a backtest on which a preset earned its costs on your own recording.

    Nothing else gives that grade. A contract needs: a recording with measured times of receipt, 30 trades, a gain beyond chance after all costs,
    entries that did better than the controls, live quotes for what was traded, and a result that survives the number of settings that were tried
    on these data. Exit status 1 where a contract is not verified.

    Parameters
    ----------
    run
        Folder of a finished backtest, with its controls.
    out
        The folder of runs whose configurations are to know it ([run] out); by default the one that the backtest lies in.
    """
    from liqshell import grades
    from liqshell.gate.verify import assess

    rows = assess(run)
    if not rows:
        raise ConfigError(str(run), "no contract was traded", "a backtest of contracts that are traded")
    shown = Table(title=f"{run.name}: verified on your own recording?", title_justify="left")
    for name in ("contract", "preset", "trades", "bps a trade (95 %)", "verdict"):
        shown.add_column(name, overflow="fold")
    for row in rows:
        low, high = row["low_bps"], row["high_bps"]
        interval = f"{row['mean_bps']:+.1f} ({low:+.1f} to {high:+.1f})" if low is not None else "–"
        state = "not yet: " + "; ".join(row["missing"]) if row["missing"] else "verified"
        shown.add_row(row["symbol"], row["preset"], f"{row['trades']:,}", interval, state)
    Console().print(shown)
    good = [{key: value for key, value in row.items() if key != "missing"} for row in rows if not row["missing"]]
    if good:
        print(f"Written: {grades.keep(out or run.resolve().parent, good)}")
    return 0 if len(good) == len(rows) else 1
