"""Entries of a study in the trial log: the market and each setting, both by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liqshell import private
from liqshell.backtest.history import HOUR_NS, History
from liqshell.backtest.trial_log import TRIALS, Market, TrialLog, Trials, Tried
from liqshell.config.load import Config
from liqshell.config.study_sections import Setting
from liqshell.errors import LiqshellError
from liqshell.report.study import trades_of
from liqshell.run.pipeline import settings

DAILY = "tried.npy"  # (UTC days, settings), float32: daily net results of all that were tried on this data
DAY_NS = 24 * HOUR_NS
HOURLY_NS = 3 * DAY_NS  # a shorter span is told by the hour too
NO_SETTING = ("version", "abi", "instruments")  # of pipeline.settings: what is no choice of the user


def market_of(history: History) -> Market:
    """The data of a study by content: trades of each contract, by whole days (and hours of a short span)."""
    pieces = set()
    lengths = [("d", DAY_NS)] + ([("h", HOUR_NS)] if history.end_ns - history.start_ns <= HOURLY_NS else [])
    for n, instrument in enumerate(history.instruments):
        trades = history.tape.trades(n)
        ts, price = np.ascontiguousarray(trades["ts"]), np.ascontiguousarray(trades["price"])
        for letter, length in lengths:
            edges = np.arange(-(-history.start_ns // length) * length, history.end_ns + 1, length)
            cuts = np.searchsorted(ts, edges)
            for k in range(len(edges) - 1):
                if cuts[k] < cuts[k + 1]:
                    digest = hashlib.blake2b(f"{instrument.venue} {instrument.symbol} {edges[k]}".encode(), digest_size=8)
                    digest.update(ts[cuts[k] : cuts[k + 1]].tobytes())
                    digest.update(price[cuts[k] : cuts[k + 1]].tobytes())
                    pieces.add(letter + digest.hexdigest())
    first, last = history.start_ns // DAY_NS, history.end_ns // DAY_NS
    return Market(
        history.fingerprint,
        history.source,
        tuple(i.symbol for i in history.instruments),
        history.start_ns,
        history.end_ns,
        frozenset(pieces),
        first,
        last - first + 1,
    )


def identities(config: Config, history: History, cells: Sequence[Setting]) -> np.ndarray:
    """A number (uint64) for each setting of a grid: the sum of the hashes of all that it decides, so that one that is written out and one that is the
    default, or comes from another grid, have the same. Each value of each axis is looked at once, whatever the size of the grid."""
    base = _sum(config, history)
    known: dict[tuple[str, type, Any], int] = {}
    out = np.empty(len(cells), np.uint64)
    for n, cell in enumerate(cells):
        total = base
        for name, value in cell.named.items():
            key = name, type(value), value
            if key not in known:
                known[key] = _sum(config.with_setting(Setting.of({name: value})), history) - base
            total += known[key]
        out[n] = total & 0xFFFF_FFFF_FFFF_FFFF
    return out


def _sum(config: Config, history: History) -> int:
    """Without what the data say: the half-spread that was measured is none of the user's choices."""
    values = {name: value for name, value in settings(config, history.instruments).items() if name not in NO_SETTING}
    return sum(int.from_bytes(hashlib.blake2b(f"{path}={leaf}".encode(), digest_size=8).digest(), "little") for path, leaf in _leaves("", values))


def _leaves(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in _leaves(f"{path}.{name}", inner)]
    if isinstance(value, list | tuple):
        return [leaf for n, inner in enumerate(value) for leaf in _leaves(f"{path}.{n}", inner)]
    return [(path, json.dumps(value, default=str))]


def days_net(audit: np.ndarray, history: History) -> np.ndarray:
    """Net result of the closed trades of each UTC day that the span touches."""
    market_days = history.end_ns // DAY_NS - history.start_ns // DAY_NS + 1
    found = trades_of(audit, history.multipliers)
    at = np.array(found["closed_ns"], np.int64) // DAY_NS - history.start_ns // DAY_NS
    return np.bincount(np.clip(at, 0, market_days - 1), np.array(found["net"]), market_days)


def log_trials(config: Config, history: History, what: str, each: np.ndarray, grid: dict[str, Any], daily: np.ndarray | None = None) -> Tried:
    """Append what was tried; all that was tried on this data so far. daily: (UTC days of the span, settings). A log that cannot be written is
    reported as a problem: no result is lost."""
    log, market = TrialLog.of(config), market_of(history)
    wrong = []
    if daily is not None and len(daily) != market.days:
        wrong.append(f"the daily results have {len(daily)} days and the data {market.days}: the trial log counts the settings without them")
        daily = None
    try:
        log.add(Trials(what, market, each, len(each), grid), daily)
    except (OSError, LiqshellError) as why:
        wrong.append(f"the trial log {log.path} cannot be written ({why}): it does not count this run")
    found = log.tried(market)
    return Tried(max(found.n, len(each)), found.each, found.daily, (*wrong, *found.problems))


def grid_of(config: Config) -> dict[str, Any]:
    """The axes of [sweep] as the log shows them."""
    return {name: [str(value) for value in values] for name, values in config.sweep.axes.items()}


def summary(found: Tried, own: np.ndarray, folder: Path) -> dict[str, Any]:
    """Trials of study.json. own: the setting of the run, whose folder takes the daily results of all that were tried, as far as they are kept."""
    out: dict[str, Any] = {"n": found.n, "source": f"{TRIALS}: settings tried on this data", "problems": list(found.problems)}
    at = np.flatnonzero(found.each == own[0])
    if not len(at):
        return out
    with private.opened(folder / DAILY, "wb") as file:
        np.save(file, found.daily)
    return out | {"daily": DAILY, "own": int(at[0])}
