"""Walk-forward: parameters chosen on one span, judged on the next, again and again.

    |---------- train ----------|- embargo -|--- test ---|
                 |---------- train ----------|- embargo -|--- test ---|        rolling; anchored keeps the first start

A setting is chosen by what it did with signals of the train span; its trades may end inside the embargo, which is long enough for all of them, and
nothing behind the embargo is read until the choice is made. Each span starts with a fresh account and fresh limits: a week's loss limit of one span
would decide for all the spans after it. The detector of a test has learnt from the train span before it, as it would have live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest import sweep_kernel, variants
from liqshell.backtest.half_spread import settings_of
from liqshell.backtest.history import HOUR_NS, History
from liqshell.backtest.past_judge import refuse_model
from liqshell.config.load import Config
from liqshell.config.study_sections import ForwardConfig, Setting
from liqshell.errors import ConfigError
from liqshell.fields import SCALE
from liqshell.report.statistics import sharpe
from liqshell.report.study import Fold, Forward, Outcome, Trades, trades_of
from liqshell.report.text import plural

DAY_NS = 24 * HOUR_NS
SWEEP_FROM = 500  # settings: below, the engine itself is fast enough
SLACK_NS = 60 * lc.SECOND  # of the embargo: latency and the market order that closes at max hold


@dataclass(frozen=True)
class Span:
    """One fold in time, ns, [start, end)."""

    train: tuple[int, int]
    test: tuple[int, int]


@dataclass(frozen=True)
class Result:
    """Result of one setting on the signals of one span. value: the objective, None where it does not exist; daily: net per day of the span, gross:
    before fees and funding."""

    outcome: Outcome
    trades: Trades
    value: float | None
    daily: np.ndarray
    gross: np.ndarray


@dataclass(frozen=True)
class Daily:
    """Results of every setting on the days of all test spans, (days, settings), net and before fees and funding."""

    net: np.ndarray
    gross: np.ndarray


def embargo_of(config: Config, symbols: Sequence[str]) -> int:
    """ns between train and test: as configured, at least what the longest-lived trade of the settings that run needs. A value that the grid varies is
    that of the grid: what [policy] or a symbol says is then never traded."""
    grid = config.sweep.policy
    policies = [config.policy_for(symbol) for symbol in symbols]
    hold = max(grid.max_hold_s or (p.max_hold_s for p in policies))
    ttl = max(grid.entry_ttl_s or (p.entry_ttl_s for p in policies))
    long = max(hold + ttl, _look_back(config, symbols))
    least = round(long * lc.SECOND) + SLACK_NS
    wanted = round(config.forward.embargo_s * lc.SECOND)
    if wanted and wanted < least - SLACK_NS:
        raise ConfigError(
            "forward.embargo_s",
            f"found {config.forward.embargo_s:g}",
            f"at least max_hold_s + entry_ttl_s, and the longest window, of the grid ({long:g})",
            "With a shorter one, trades of the train span end in the test span; 0 chooses the minimum",
        )
    return wanted or least


def _look_back(config: Config, symbols: Sequence[str]) -> float:
    """Seconds of the longest window of a detector that runs."""
    grid, own = config.sweep.detector, config.detector_values()
    out = [0.0, *(grid.window_s or (own.window_s,)), *(grid.decay_s or (own.decay_s,))]
    for name, values in config.detectors_for(symbols).items():
        varied = config.sweep.detectors.get(name, {})
        out += [float(value) for key in {*values, *varied} if key.endswith("window_s") for value in varied.get(key, (values.get(key),)) if value]
    return max(out)


def spans_of(start_ns: int, end_ns: int, forward: ForwardConfig, embargo_ns: int) -> list[Span]:
    """The folds that fit, in order. ConfigError where none does."""
    train, test = round(forward.train_days * DAY_NS), round(forward.test_days * DAY_NS)
    out: list[Span] = []
    split = start_ns + train
    while split + embargo_ns + test <= end_ns and len(out) < forward.folds_max:
        out.append(Span((start_ns if forward.scheme == "anchored" else split - train, split), (split + embargo_ns, split + embargo_ns + test)))
        split += test
    if not out:
        have, need = (end_ns - start_ns) / DAY_NS, (train + embargo_ns + test) / DAY_NS
        raise ConfigError(
            "[forward]",
            f"the data spans {have:.2f} days",
            f"at least train_days + embargo + test_days = {need:.2f} days",
            "Shorten the spans or name more data",
        )
    return out


def objective_of(name: str, outcome: Outcome, daily: np.ndarray) -> float | None:
    """The number by which settings are compared."""
    if name == "sharpe":
        return sharpe(daily)
    return outcome["mean_bps"] if name == "mean_bps" else outcome["net"]


def part_of(history: History, span: tuple[int, int], warm_ns: int, embargo_ns: int) -> History:
    """The data that the evaluation of a span may read: from warm_ns (the detector learns) to embargo_ns after it (trades end)."""
    return history.between(warm_ns, min(span[1] + embargo_ns, history.end_ns))


def days_in(span: tuple[int, int]) -> int:
    """Days of 24 h of a span; a shorter one is a day of its own."""
    return max(1, round((span[1] - span[0]) / DAY_NS))


def evaluate(config: Config, part: History, setting: Setting, span: tuple[int, int]) -> Result:
    """Trade the signals of `span` with one setting over a part of the data."""
    values = settings_of(config.with_setting(setting), part)
    audit = variants.trade(values, part, lambda inner: variants.Within(inner, *span))
    outcome, trades = variants.outcome(audit, part), trades_of(audit, part.multipliers)
    days = days_in(span)
    # those that end in the embargo belong to the last day
    at = np.clip((np.array(trades["closed_ns"], np.int64) - span[0]) // DAY_NS, 0, days - 1)
    daily = np.bincount(at, np.array(trades["net"]), days)
    gross = np.bincount(at, lc.audit.view(audit, lc.AuditKind.AUDIT_TRADE)["gross"], days)
    return Result(outcome, trades, objective_of(config.sweep.objective, outcome, daily), daily, gross)


def choose(results: Sequence[Result], trades_min: int) -> int | None:
    """Index of the setting with the best objective among those with enough trades; the first of equals. None where there is none."""
    best, found = -np.inf, None
    for n, result in enumerate(results):
        if result.outcome["trades"] >= trades_min and result.value is not None and result.value > best:
            best, found = result.value, n
    return found


def walk_forward(config: Config, history: History, done: Callable[[str, float], None]) -> tuple[Forward, Daily | None, list[str]]:
    """All folds; the daily results where every setting was judged on the test spans too; and what went wrong."""
    refuse_model(config, "walk forward")
    cells = list(config.sweep.settings())
    if len(cells) < 2:
        raise ConfigError(
            "[sweep]",
            "no grid" if not config.sweep.axes else "a grid of one setting",
            "at least two settings for a choice",
            "For example [sweep.policy] take_profit = [0.001, 0.0015, 0.002]",
        )
    symbols = [i.symbol for i in history.instruments]
    embargo_ns = embargo_of(config, symbols)
    spans = spans_of(history.start_ns, history.end_ns, config.forward, embargo_ns)
    by_sweep, problems = _by_sweep(config, history, len(cells), symbols)
    jury = _Jury(config, history, cells, embargo_ns, by_sweep, len(spans), done)
    folds: list[Fold] = []
    days: list[Daily] = []
    for number, span in enumerate(spans, 1):
        what = f"fold {number} of {len(spans)}"
        train = jury.all(span.train, span.train[0], f"{what}: train")
        best = choose(train, config.forward.trades_min)
        if best is None:
            problems.append(
                f"{what}: no setting made {plural(config.forward.trades_min, 'trade')} on the train span, so there is no choice and no trade"
            )
        # from here on the choice is made, and the test span may be read
        test = jury.all(span.test, span.train[0], f"{what}: test", daily=True) if config.forward.judge_all else None
        chosen = None if best is None else (jury.one(best, span.train, span.train[0], train), jury.one(best, span.test, span.train[0], test))
        folds.append(_fold(span, cells, test, best, chosen))
        if test is not None:
            days.append(Daily(np.stack([result.daily for result in test], axis=1), np.stack([result.gross for result in test], axis=1)))
    forward: Forward = {"objective": config.sweep.objective, "scheme": config.forward.scheme, "embargo_s": embargo_ns / 1e9, "folds": folds}
    daily = Daily(np.concatenate([d.net for d in days]), np.concatenate([d.gross for d in days])) if days else None
    return forward, daily, problems


def _by_sweep(config: Config, history: History, count: int, symbols: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the sweep judges the grid, and the notes about it."""
    if config.forward.by == "backtest" or config.forward.by == "auto" and count < SWEEP_FROM:
        return False, []
    why = sweep_kernel.why_not(config, settings_of(config, history), symbols)
    why += (", " if why else "") + "[sweep] objective = 'sharpe'" if config.sweep.objective == "sharpe" else ""
    why = why or sweep_kernel.answers_for(config, history, Setting())[1]
    if why and config.forward.by == "sweep":
        raise ConfigError("forward.by", f"'sweep', which does not support {why}", "'auto' or 'backtest'")
    note = (
        "the sweep kernel compared the settings, every symbol alone, without account limits and funding; the chosen setting then ran with all of them"
    )
    return not why, [] if why else [note]


class _Jury:
    """Judges settings on spans, all or one, and counts what it has done."""

    def __init__(
        self,
        config: Config,
        history: History,
        cells: Sequence[Setting],
        embargo_ns: int,
        by_sweep: bool,
        folds: int,
        done: Callable[[str, float], None],
    ):
        self.config, self.history, self.cells, self.embargo_ns, self.by_sweep = config, history, cells, embargo_ns, by_sweep
        self.values = settings_of(config, history)
        self.runs = folds * len(cells) * (2 if config.forward.judge_all else 1)
        self.count = 0
        self.done = done

    def _ran(self, what: str, count: int) -> None:
        self.count += count
        self.done(what, min(1.0, self.count / self.runs))

    def all(self, span: tuple[int, int], warm_ns: int, what: str, daily: bool = False) -> list[Result]:
        """Every setting. daily: the sweep keeps its days too; the engine always does."""
        part = part_of(self.history, span, warm_ns, self.embargo_ns)
        if self.by_sweep:
            found, net, gross = sweep_kernel.outcomes(self.config, self.values, part, self.cells, span, days_in(span) if daily else 0)
            self._ran(what, len(self.cells))
            return [
                Result(o, NO_TRADES, objective_of(self.config.sweep.objective, o, net[:, n]), net[:, n], gross[:, n]) for n, o in enumerate(found)
            ]
        out = []
        for cell in self.cells:
            out.append(evaluate(self.config, part, cell, span))
            self._ran(what, 1)
        return out

    def one(self, cell: int, span: tuple[int, int], warm_ns: int, known: Sequence[Result] | None) -> Result:
        """One setting, by the engine. known: what is already known of all."""
        if known is not None and not self.by_sweep:
            return known[cell]
        return evaluate(self.config, part_of(self.history, span, warm_ns, self.embargo_ns), self.cells[cell], span)


NO_TRADES: Trades = {"closed_ns": [], "net": [], "return_bps": []}
_NOTHING: Outcome = {"entries": 0, "trades": 0, "wins": 0, "gross": 0.0, "fees": 0.0, "funding": 0.0, "net": 0.0, "notional": 0.0, "mean_bps": None}


def _fold(span: Span, cells: Sequence[Setting], test: Sequence[Result] | None, best: int | None, chosen: tuple[Result, Result] | None) -> Fold:
    """chosen: the setting `best` on the train and on the test span. test: all settings on the test span, where they were run."""
    fold: Fold = {
        "train": span.train,
        "test": span.test,
        "settings": len(cells),
        "chosen": {},
        "train_value": None,
        "test_value": None,
        "train_outcome": _NOTHING,
        "test_outcome": _NOTHING,
        "test_trades": NO_TRADES,
    }
    if best is None or chosen is None:
        return fold
    before, after = chosen
    fold |= {
        "chosen": {key: plain(key, value) for key, value in cells[best].named.items()},
        "train_value": before.value,
        "test_value": after.value,
        "train_outcome": before.outcome,
        "test_outcome": after.outcome,
        "test_trades": after.trades,
    }
    own = test[best].value if test is not None else None
    others = [result.value for n, result in enumerate(test or ()) if n != best and result.value is not None]
    if others and own is not None:
        fold["test_rank"] = float(np.mean([(own > v) + 0.5 * (own == v) for v in others]))
    return fold


FRACTIONS = {"entry_offset", "take_profit", "stop_loss", "trail", "quantile", "fall"}


def plain(key: str, value: Any) -> float | str:
    """A value of a setting as the configuration writes it."""
    return value / SCALE if key.rpartition(".")[2] in FRACTIONS else value
