"""The real backtest on such markets, judged as the report judges it.

A cell is (fees, half of the spread, what there is of quotes); in each, every policy is run on every seeded market. An edge is claimed where the report
would say "An edge beyond its controls": liqshell.report.robust.controls is asked, on controls that liqshell.backtest.variants has run. A control is
left out only where the verdict cannot be an edge any more whatever it would give: after a loss, or once another control did as well.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from liqcore import AuditKind
from liqshell.backtest import variants
from liqshell.backtest.half_spread import settings_of
from liqshell.backtest.history import HOUR_NS, History
from liqshell.backtest.spread import spread
from liqshell.config.load import Config, loads
from liqshell.report.overfit import probabilistic_sharpe
from liqshell.report.robust import controls
from liqshell.report.statistics import sharpe, spaced_mean
from liqshell.report.study import trades_of
from martingales.market import QUOTES, history, path

FEES = {"free": (0.0, 0.0), "fees": (0.0002, 0.00055)}
HALF_BPS = (1, 8)
DRAWS = 19  # beating all of them has a chance of 1 in 20
ORDER = ("inverted_side", "random_side", "random_time", "every_30_min")
PLANTED_BPS = 3.0
FOLLOW = f"{Path(__file__).with_name('policies.py')}:Follow"
CONFIG = """
[detector]
quantile = 0.9
window_events = 200
warmup = 20
floor = 50000
window_s = 30
min_events = 2
[policy]
rule = "{rule}"
entry = "{entry}"
entry_offset = {offset}
take_profit = {profit}
stop_loss = {stop}
entry_ttl_s = 200
max_hold_s = 45
cooldown_s = 0
notional = 1000
requotes = 0
[limits]
daily_loss_max = 0.9
weekly_loss_max = 0.9
data_age_max_s = 20
[paper]
equity = 10000
maker_fee = {maker}
taker_fee = {taker}
funding_interval_s = 0
[backtest]
random_draws = {draws}
"""


#: name -> what [policy] says where half the spread is so many bps. The entry of the post-only fade lies beyond the whole spread as seen from the last
#: print: else the side of that print would decide whether an order rests inside of the spread or at its edge, and with it what a maker is paid. That
#: is no knowledge, and yet not the same for the inverted side
POLICIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "post-only fade": lambda half: {
        "rule": "",
        "entry": "post_only",
        "offset": (2 * half + 1) / 1e4,
        "profit": (2 * half + 10) / 1e4,
        "stop": (2 * half + 10) / 1e4,
    },
    "market fade": lambda half: {"rule": "", "entry": "market", "offset": 0, "profit": 0, "stop": 0.01},
    "market follow": lambda half: {"rule": FOLLOW, "entry": "market", "offset": 0, "profit": 0, "stop": (2 * half + 4) / 1e4},
}
TAKERS = ("market fade", "market follow")


@dataclass(frozen=True)
class Cell:
    fees: str
    half_bps: int
    quotes: str

    def __str__(self) -> str:
        return f"{self.fees}, {self.half_bps} bps, quotes {self.quotes}"


CELLS = [Cell(*c) for c in itertools.product(FEES, HALF_BPS, QUOTES)]


@dataclass(frozen=True)
class Case:
    """One market in one cell. planted: bps that come back after every cascade."""

    seed: int
    cell: Cell
    planted: float = 0.0


@dataclass
class Verdict:
    """What one policy came to in one case. edge: as the report says it; better: than its controls, be it a gain or a loss."""

    case: Case
    policy: str
    bps: list[float] = field(repr=False)
    edge: bool
    better: bool
    deflated: float | None
    runs: int
    fills: dict[str, int]


@lru_cache(4)
def configured(policy: str, fees: str, half_bps: float) -> Config:
    maker, taker = FEES[fees]
    return loads(CONFIG.format(**POLICIES[policy](half_bps), maker=maker, taker=taker, draws=DRAWS).replace('rule = ""\n', ""))


@lru_cache(1)
def walked(seed: int, planted: float) -> Any:
    return path(seed, planted)


@lru_cache(1)
def market(seed: int, planted: float, half_bps: int, quotes: str) -> History:
    return history(walked(seed, planted), half_bps, quotes)


def daily_returns(found: dict[str, Any], where: History, equity: float) -> np.ndarray:
    """Net result of the closed trades of each whole day of 24 h from the start, over the equity at its beginning."""
    days = int((where.end_ns - where.start_ns) // (24 * HOUR_NS))
    at = (np.array(found["closed_ns"], np.int64) - where.start_ns) // (24 * HOUR_NS)
    nets = np.bincount(at[at < days], np.array(found["net"])[at < days], max(days, 1))[:days]
    before = equity + np.concatenate([[0.0], np.cumsum(nets)[:-1]]) if days else np.zeros(0)
    return nets / np.where(before > 0, before, np.nan)


def judge(case: Case, policy: str) -> Verdict:
    """Run, then as many controls as the verdict needs."""
    config = configured(policy, case.cell.fees, case.cell.half_bps)
    where = market(case.seed, case.planted, case.cell.half_bps, case.cell.quotes)
    values = settings_of(config, where)
    audit = variants.trade(values, where)
    found = trades_of(audit, where.multipliers)
    real = spaced_mean(found["return_bps"], found["closed_ns"], round(max(found["held_s"], default=0.0) * 1e9))  # as report.results.per_trade
    told, runs = verdict_of(real, values, where, config, bool(case.planted))
    days = daily_returns(found, where, config.paper.equity)
    ratio = sharpe(days)
    return Verdict(
        case,
        policy,
        found["return_bps"],
        bool(told["edge"]),
        "No edge" not in told["verdict"] and real["mean"] is not None,
        None if ratio is None else probabilistic_sharpe(ratio, len(days), 0.0, 3.0),
        runs,
        fills_of(audit),
    )


def verdict_of(real: dict[str, Any], values: dict[str, Any], where: History, config: Config, losses_too: bool) -> tuple[dict[str, Any], int]:
    """The report's word on the controls, and how many runs it took. losses_too: whether "better than its controls and still a loss" is asked for."""
    told: dict[str, Any] = {"edge": False, "verdict": "No edge: a loss"}
    done: list[Any] = []
    if real["mean"] is None or real["mean"] <= 0 and not losses_too:
        return told, 0
    runs = 0
    for kind in ORDER:
        draws: list[Any] = []
        done.append({"kind": kind, "seed": config.run.seed, "draws": draws})
        for k in range(variants.count_of(kind, DRAWS)):
            draw = variants.draw_of(kind, values, where, config.run.seed, k)
            draws.append(variants.outcome(variants.trade(draw.values, draw.history, draw.wrap), where))
            runs += 1
            lost = draws[-1]["mean_bps"] is not None and draws[-1]["mean_bps"] >= real["mean"]
            if lost and kind in ("random_side", "random_time"):
                break
        told = controls({"controls": done}, real) or told
        if told["verdict"].startswith("No edge"):
            break
    return told, runs


def fills_of(audit: np.ndarray) -> dict[str, int]:
    """Taker fills by the rule that priced them. What the flags of a fill mean: liqcore.event.FillFlag."""
    flags = audit["x"][audit["kind"] == AuditKind.AUDIT_FILL][:, 3].astype(np.int64)
    taken = flags[flags & 1 == 0]
    return {"quote": int((taken & 6 == 0).sum()), "print": int((taken & 2 > 0).sum()), "moved": int((taken & 4 > 0).sum())}


def judged(_: None, case: Case) -> list[Verdict]:
    """A planted edge is asked of the market fade, which meets all of it in every cell."""
    return [judge(case, policy) for policy in (POLICIES if not case.planted else ("market fade",))]


def cases(seed: int) -> list[Case]:
    """One market in every cell, in an order in which little is made twice; then, with an edge in it, in those that have whole quotes."""
    cells = sorted(CELLS, key=lambda c: (c.half_bps, c.quotes, c.fees))
    return [Case(seed, cell) for cell in cells] + [Case(seed, cell, PLANTED_BPS) for cell in cells if cell.quotes == "whole"]


def campaign(
    markets: Iterable[int], workers: int = 1, seconds_max: float = math.inf, tell: Callable[[int, float], None] = lambda seed, seconds: None
) -> list[Verdict]:
    """Whole markets, one after the other, as long as there is time. tell(seed, seconds so far) is called after each."""
    began = time.perf_counter()
    out: list[Verdict] = []
    for seed in markets:
        for _, found in spread(judged, None, cases(seed), workers):
            out += found
        tell(seed, time.perf_counter() - began)
        if time.perf_counter() - began > seconds_max:
            break
    return out
