"""A backtest: configuration in, one run folder out, decided by the same engine as live.

folder = run_backtest(load("fade.toml"))     # run.json, audit.bin, study.json
make_report(folder)
"""

from liqshell.backtest.history import History, load_history
from liqshell.backtest.run import run_backtest

__all__ = ["History", "load_history", "run_backtest"]
