"""One sweep: data and configuration in, a folder with the table, the pictures and the numbers out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.sweep import RESULT_DTYPE
from liqshell.backtest.answers import Answers
from liqshell.backtest.half_spread import of_history, settings_of
from liqshell.backtest.history import History, load_history
from liqshell.backtest.swept import grids_of, heard, parts_of, venue_of, why_not
from liqshell.config import Config
from liqshell.errors import ConfigError
from liqshell.report.quotes import coverage
from liqshell.study import Setting
from liqshell.sweep import cluster
from liqshell.sweep.parts import Parts
from liqshell.sweep.table import ALL, columns, shown, write_parquet
from liqshell.sweep.walked import Walks
from liqshell.sweep.walked import run as run_walks
from liqshell.sweep.work import Unit, Work, units_of
from liqshell.trials import TrialLog, Trials, digest_of, sharpe_sums

KERNEL, BACKTEST = "kernel", "backtest"
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Swept:
    """A finished sweep. table: columns, one row per symbol and setting (and their sums). seconds: where the time went. by: kernel or backtest; why:
    what the kernel does not know. quoted, half_spread, said: of the data, as in report.json."""

    folder: Path
    config: Config
    settings: list[Setting]
    table: dict[str, np.ndarray]
    symbols: tuple[str, ...]
    seconds: dict[str, float]
    days: int
    fingerprint: str
    tried: int
    computed: int
    synthetic: bool
    by: str = KERNEL
    why: str = ""
    quoted: float | None = None
    half_spread: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)

    @property
    def total(self) -> str:
        """The symbol whose rows stand for the whole."""
        return ALL if len(self.symbols) > 1 else self.symbols[0]


def run_sweep(config: Config, out: str | Path | None = None, *, restart: bool = False, address: str | None = None, tell: Tell | None = None) -> Swept:
    """Compute what is missing of the sweep in the folder, by default [run] out / name or "sweep". address: None = here, '' = Ray on this machine,
    else a running cluster. tell(what, share done) is called now and then."""
    tell = tell or (lambda what, done: None)
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
        began = time.perf_counter()

    tell("loading", 0.0)
    history = load_history(config)
    lap("load")
    cells = grid_of(config)
    tell("which way", 0.0)
    plan = plan_of(config, history, cells)
    count, kernel = len(history.instruments), plan["by"] == KERNEL
    deciders, rows = len(plan["deciders"]), len(plan["policies"])
    units = units_of(deciders, count, rows, config.sweep.unit) if kernel else units_of(1, 1, len(cells), 1)
    parts = Parts(Path(out) if out is not None else Path(config.run.out) / (config.run.name or "sweep"), plan, len(units), restart)
    missing = parts.missing()
    lap("plan")
    if missing:
        work = make_work(config, history, plan, cells, sorted({units[n].detector for n in missing}), tell) if kernel else \
            walks_of(config, history, cells)
        lap("signals")
        compute(work, [units[n] for n in missing], parts, address, config.sweep.workers, tell)
    lap("sweep")
    if kernel:
        found = [np.concatenate([parts.load(u.number, RESULT_DTYPE, u.last - u.first) for u in units if u.detector == d and u.instrument == n])
                 for n in range(count) for d in range(deciders)]
        by_symbol = [np.concatenate(found[n * deciders:(n + 1) * deciders]) for n in range(count)]
    else:
        each = np.stack([parts.load(u.number, RESULT_DTYPE, count) for u in units])
        by_symbol = [each[:, n] for n in range(count)]
    symbols = tuple(i.symbol for i in history.instruments)
    days = int(by_symbol[0]["days"][0]) if len(by_symbol[0]) else 0
    table = columns(list(zip(symbols, by_symbol, strict=True)), cells, days)
    write_parquet(table, parts.folder / "sweep.parquet", {"data": history.fingerprint, "version": lc.__version__, "by": plan["by"]})
    lap("table")
    tried = log_trials(config, history, cells, table, symbols)
    return Swept(parts.folder, config, cells, table, symbols, seconds, days, history.fingerprint, tried, len(missing), history.synthetic, plan["by"],
                 plan["why"], coverage(history.parts), [one.as_dict() for one in of_history(config.paper, history)],
                 [line for part in history.parts for line in part["said"]])


def grid_of(config: Config) -> list[Setting]:
    """All cells; ConfigError where there are none or too many."""
    size = config.sweep.size
    if not config.sweep.axes:
        raise ConfigError("[sweep]", "nothing is varied", "lists of values in [sweep.policy] or [sweep.detector]",
                          "For example: [sweep.policy] take_profit = [0.001, 0.0015, 0.002]")
    if size > config.sweep.settings_max:
        raise ConfigError("[sweep]", f"{size:,} settings", f"at most sweep.settings_max ({config.sweep.settings_max:,})", "Make the grid coarser")
    return list(config.sweep.settings())


def plan_of(config: Config, history: History, cells: list[Setting]) -> dict[str, Any]:
    """Everything that decides the results, as JSON values. Cells come with what decides first, so the table is deciders x brackets. by: which way it
    is computed; why: what the kernel does not know."""
    deciders, policies = parts_of(cells)
    values = settings_of(config, history)
    why = why_not(config, values, [i.symbol for i in history.instruments])
    if not why and config.sweep.by != BACKTEST:
        # the first and the last bracket: a policy might look at its own numbers
        why = next((found for policy in (policies[0], policies[-1]) if (found := _asked(config, history, deciders[0], policy))), "")
    if why and config.sweep.by == KERNEL:
        raise ConfigError("sweep.by", f"'kernel', which knows nothing of {why}", "'auto' or 'backtest'")
    by = BACKTEST if why or config.sweep.by == BACKTEST else KERNEL
    return {"settings": values, "data": history.fingerprint, "deciders": [d.named for d in deciders], "policies": policies, "unit": config.sweep.unit,
            "by": by, "why": why}


def _asked(config: Config, history: History, decider: Setting, policy: dict[str, Any]) -> str:
    return heard(config, history, dataclasses.replace(decider, policy=policy))[1]


def make_work(config: Config, history: History, plan: dict[str, Any], cells: list[Setting], wanted: list[int], tell: Tell) -> Work:
    """Signals and answers of the wanted deciders, and the grid of each symbol."""
    answers: list[list[Answers]] = []
    deciders, policies = parts_of(cells)
    for n, decider in enumerate(deciders):
        tell(f"signals of detector {n + 1} of {len(deciders)}", n / len(deciders))
        found, why = heard(config, history, decider) if n in wanted else ([], "")
        if why:
            raise ConfigError("sweep.by", f"with {decider.named}, {why}", "answers that are always the bracket of [policy]",
                              "Set [sweep] by = 'backtest'")
        answers.append(found)
    grids = [grid.rows for grid in grids_of(config, [i.symbol for i in history.instruments], policies)]
    return Work([i.as_dict() for i in history.instruments], {"tape": history.tape}, grids, answers, venue_of(plan["settings"], history.end_ns))


def walks_of(config: Config, history: History, cells: list[Setting]) -> Walks:
    """One backtest a cell."""
    each = [settings_of(config.with_setting(cell), history) for cell in cells]
    return Walks([i.as_dict() for i in history.instruments], {"tape": history.tape}, each, (history.start_ns, history.end_ns))


def compute(work: Work | Walks, units: list[Unit], parts: Parts, address: str | None, workers: int, tell: Tell) -> None:
    """Every unit, kept as it ends."""
    done = 0

    def keep(unit: Unit, rows: np.ndarray) -> None:
        nonlocal done
        parts.save(unit.number, rows)
        done += 1
        tell(f"{done} of {len(units)} units", done / len(units))

    if address is not None:
        cluster.run(work, units, keep, address)
        return
    if isinstance(work, Walks):
        tell("the first setting", 0.0)
        run_walks(work, units, keep, workers)
        return
    tell("the first unit (the kernel is compiled when it is used for the first time on a machine)", 0.0)
    for unit in units:
        keep(unit, work.compute(unit, threads=workers or None))


def log_trials(config: Config, history: History, cells: list[Setting], table: dict[str, np.ndarray], symbols: tuple[str, ...]) -> int:
    """Every setting is a trial: what is later said of the best one has to know how many there were."""
    log = TrialLog.of(config)
    ratios = table["sharpe"][table["symbol"] == symbols[0]] / 365.0 ** 0.5
    log.add(Trials("sweep", history.fingerprint, history.source, symbols, history.start_ns, history.end_ns, len(cells),
                   digest_of([s.named for s in cells]),
                   {k: [shown(k, v) for v in values] for k, values in config.sweep.axes.items()}, **sharpe_sums(ratios.tolist())))
    return log.count(history.fingerprint, history.source, symbols, history.start_ns, history.end_ns).n

