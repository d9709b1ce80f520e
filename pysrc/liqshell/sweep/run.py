"""One sweep: data and configuration in, a folder with the table, the pictures and the numbers out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest import trials
from liqshell.backtest.answers import Answers
from liqshell.backtest.half_spread import of_history, settings_of
from liqshell.backtest.history import History, load_history
from liqshell.backtest.origin import Origin
from liqshell.backtest.past_judge import asks_anew, contaminated, refuse_model
from liqshell.backtest.spread import spread
from liqshell.backtest.sweep_kernel import answers_for, days_of, grids_of, parts_of, venue_of, why_not
from liqshell.config.load import Config
from liqshell.config.study_sections import Setting
from liqshell.errors import ConfigError
from liqshell.report.coverage import DAY_NS, calendar, whole
from liqshell.report.quotes import by_contract, coverage
from liqshell.sweep import cluster
from liqshell.sweep.by_backtest import Walks
from liqshell.sweep.parts import Parts
from liqshell.sweep.table import ALL, columns, write_parquet
from liqshell.sweep.work import Unit, Work, kept_dtype, units_of

KERNEL, BACKTEST = "kernel", "backtest"
Notify = Callable[[str, float], None]


@dataclass(frozen=True)
class Swept:
    """A finished sweep. table: columns, one row per symbol and setting (and their sums). daily: net result, (UTC days, settings), of all symbols
    together; whole: which of these days count as days of results, see report.coverage. tried: how many settings were ever tried on this data;
    others: daily results of those beside this grid; problems: of the trial log. seconds: where the time went. by: kernel or
    backtest; why: what the kernel does not know. quoted, half_spread, said: of the data, as in report.json; lacking: what
    else it has not. contaminated: see liqshell.backtest.past_judge."""

    folder: Path
    config: Config
    settings: list[Setting]
    table: dict[str, np.ndarray]
    daily: np.ndarray
    symbols: tuple[str, ...]
    seconds: dict[str, float]
    whole: np.ndarray
    fingerprint: str
    tried: int
    computed: int
    synthetic: bool
    by: str = KERNEL
    why: str = ""
    quoted: float | None = None
    half_spread: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)
    others: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    problems: tuple[str, ...] = ()
    market_seeds: tuple[int, ...] = ()
    lacking: Sequence[str] = ()
    contaminated: bool = False

    @property
    def days(self) -> int:
        """Whole days that the data covered."""
        return int(self.whole.sum())

    @property
    def total(self) -> str:
        """The symbol whose rows are the totals."""
        return ALL if len(self.symbols) > 1 else self.symbols[0]


def _of_kernel(parts: Parts, units: Sequence[Unit], dtype: np.dtype, count: int, deciders: int) -> list[np.ndarray]:
    """Results of each contract, all deciders one after the other: a unit holds some settings of one contract and decider."""
    found = [
        np.concatenate([parts.load(u.number, dtype, u.last - u.first) for u in units if u.detector == d and u.instrument == n])
        for n in range(count)
        for d in range(deciders)
    ]
    return [np.concatenate(found[n * deciders : (n + 1) * deciders]) for n in range(count)]


def _of_walks(parts: Parts, units: Sequence[Unit], dtype: np.dtype, count: int) -> list[np.ndarray]:
    """Results of each contract: a unit holds all contracts of one setting."""
    each = np.stack([parts.load(u.number, dtype, count) for u in units])
    return [each[:, n] for n in range(count)]


def run_sweep(
    config: Config, out: str | Path | None = None, *, restart: bool = False, address: str | None = None, notify: Notify | None = None
) -> Swept:
    """Compute what is missing of the sweep in the folder, by default [run] out / name or "sweep". address: None = here, '' = Ray on this machine,
    else a running cluster. notify(what, share done) is called now and then."""
    notify, seconds = notify or (lambda what, done: None), dict[str, float]()
    began = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
        began = time.perf_counter()

    notify("loading", 0.0)
    refuse_model(config, "sweep")
    history = load_history(config)
    lap("load")
    cells = grid_of(config)
    notify("which way", 0.0)
    plan, first = plan_of(config, history, cells)
    count, kernel = len(history.instruments), plan["by"] == KERNEL
    deciders, rows = len(plan["deciders"]), len(plan["policies"])
    units = units_of(deciders, count, rows, config.sweep.unit) if kernel else units_of(1, 1, len(cells), 1)
    parts = Parts(Path(out) if out is not None else Path(config.run.out) / (config.run.name or "sweep"), plan, len(units), restart)
    missing = parts.missing()
    lap("plan")
    if missing:
        work = (
            make_work(config, history, plan, cells, sorted({units[n].detector for n in missing}), notify, first)
            if kernel
            else walks_of(config, history, cells)
        )
        lap("signals")
        compute(config, history, work, [units[n] for n in missing], parts, address, notify)
    lap("sweep")
    days = days_of(history.start_ns, history.end_ns)
    dtype = kept_dtype(days)
    by_symbol = _of_kernel(parts, units, dtype, count, deciders) if kernel else _of_walks(parts, units, dtype, count)
    symbols = tuple(i.symbol for i in history.instruments)
    daily = np.sum([rows["daily"] for rows in by_symbol], axis=0).T
    counted = whole(calendar(history.start_ns, history.end_ns, [part["gaps"] for part in history.parts]), history.start_ns // DAY_NS, days)
    table = columns(list(zip(symbols, by_symbol, strict=True)), cells, counted)
    write_parquet(table, parts.folder / "sweep.parquet", {"data": history.fingerprint, "version": lc.__version__, "by": plan["by"]})
    lap("table")
    each = trials.identities(config, history, cells)
    known = trials.log_trials(config, history, "sweep", each, trials.grid_of(config), daily)
    return Swept(
        parts.folder,
        config,
        cells,
        table,
        daily,
        symbols,
        seconds,
        counted,
        history.fingerprint,
        known.n,
        len(missing),
        history.synthetic,
        plan["by"],
        plan["why"],
        coverage(history.parts),
        [one.as_dict() for one in of_history(config.paper, history)],
        ([told] if (told := by_contract(history.parts)) else []) + [line for part in history.parts for line in part["said"]],
        known.daily[:, ~np.isin(known.each, each)],
        known.problems,
        history.market_seeds,
        history.problems,
        asks_anew(config, symbols) and contaminated(config),
    )


def grid_of(config: Config) -> list[Setting]:
    """All cells; ConfigError where there are none or too many."""
    size = config.sweep.size
    if not config.sweep.axes:
        raise ConfigError(
            "[sweep]",
            "nothing is varied",
            "lists of values in [sweep.policy] or [sweep.detector]",
            "For example: [sweep.policy] take_profit = [0.001, 0.0015, 0.002]",
        )
    if size > config.sweep.settings_max:
        raise ConfigError("[sweep]", f"{size:,} settings", f"at most sweep.settings_max ({config.sweep.settings_max:,})", "Make the grid coarser")
    return list(config.sweep.settings())


def plan_of(config: Config, history: History, cells: list[Setting]) -> tuple[dict[str, Any], list[Answers]]:
    """Everything that decides the results, as JSON values. Cells come with what decides first, so the table is deciders x brackets. by: which way it
    is computed; why: what the kernel does not know. Also the answers of the first decider, if the kernel can compute them."""
    first: list[Answers] = []
    deciders, policies = parts_of(cells)
    values = settings_of(config, history)
    why = why_not(config, values, [i.symbol for i in history.instruments])
    if not why and config.sweep.by != BACKTEST:
        for policy in (policies[0], policies[-1]):  # the first and the last bracket: a policy might look at its own numbers
            found, why = answers_for(config, history, dataclasses.replace(deciders[0], policy=policy))
            if not why and first and any(not np.array_equal(one.sides, other.sides) for one, other in zip(first, found, strict=True)):
                why = "a policy whose entry depends on the numbers of its own bracket"
            if why:
                break
            first = found
    if why and config.sweep.by == KERNEL:
        raise ConfigError("sweep.by", f"'kernel', which does not support {why}", "'auto' or 'backtest'")
    by = BACKTEST if why or config.sweep.by == BACKTEST else KERNEL
    return {
        "settings": values,
        "data": history.fingerprint,
        "deciders": [d.named for d in deciders],
        "policies": policies,
        "unit": config.sweep.unit,
        "by": by,
        "why": why,
    }, first if by == KERNEL else []


def make_work(
    config: Config, history: History, plan: dict[str, Any], cells: list[Setting], wanted: list[int], notify: Notify, first: list[Answers]
) -> Work:
    """Signals and answers of the wanted deciders, and the grid of each symbol. first: answers of the first decider, as far as they are known."""
    answers: list[list[Answers]] = []
    deciders, policies = parts_of(cells)
    for n, decider in enumerate(deciders):
        notify(f"signals of detector {n + 1} of {len(deciders)}", n / len(deciders))
        found, why = (first, "") if first and n == 0 else answers_for(config, history, decider) if n in wanted else ([], "")
        if why:
            raise ConfigError(
                "sweep.by", f"with {decider.named}, {why}", "a policy that always answers with the bracket of [policy]", "Set [sweep] by = 'backtest'"
            )
        answers.append(found)
    grids = [grid.rows for grid in grids_of(config, [i.symbol for i in history.instruments], policies)]
    return Work(history.tape, grids, answers, venue_of(plan["settings"], history.end_ns), history.start_ns)


def walks_of(config: Config, history: History, cells: list[Setting]) -> Walks:
    """One backtest a cell."""
    each = [settings_of(config.with_setting(cell), history) for cell in cells]
    return Walks(history.tape, each, (history.start_ns, history.end_ns))


def compute(config: Config, history: History, work: Work | Walks, units: list[Unit], parts: Parts, address: str | None, notify: Notify) -> None:
    """Every unit, kept as it ends."""
    done = 0

    def keep(unit: Unit, rows: np.ndarray) -> None:
        nonlocal done
        parts.save(unit.number, rows)
        done += 1
        notify(f"{done} of {len(units)} units", done / len(units))

    if address is not None:
        cluster.run(work, units, Origin.of(config, history), keep, address)
        return
    if isinstance(work, Walks):
        notify("the first setting", 0.0)
        for unit, rows in spread(Walks.compute, work, units, config.sweep.workers):
            keep(unit, rows)
        return
    notify("the first unit", 0.0)
    for unit in units:
        keep(unit, work.compute(unit, threads=config.sweep.workers or None))
