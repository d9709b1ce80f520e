"""`liqcore verify`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from liqshell.errors import ConfigError


def verify(run: Path, *, out: Path | None = None) -> int:
    """Grade the contracts of a backtest as "verified" on which a preset covered its costs on your own recording.

    No other command gives this grade. A contract needs: a recording with measured times of receipt, 30 trades, a gain beyond chance after all
    costs, entries that did better than the controls, live quotes for its trades, and a result that holds after correction for the settings tried on
    these data. Exit status 1 if a contract is not verified.

    Parameters
    ----------
    run
        Folder of a finished backtest, with its controls.
    out
        The folder of runs that get the grade ([run] out); by default that of the backtest.
    """
    from liqshell import grades
    from liqshell.gate.verify import assess

    rows = assess(run)
    if not rows:
        raise ConfigError(str(run), "no contract was traded", "a backtest with traded contracts")
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
