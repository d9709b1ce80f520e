"""Formulas about the best of many: probabilistic Sharpe ratio, expected maximum, minimum track record, probability of backtest overfitting. luck.py
decides the statements about a result.

    Lopez de Prado, Lipton, Zoonekynd (2026), How to Use the Sharpe Ratio, SSRN 5520741: PSR, minimum track record
    Bailey, Lopez de Prado (2014), The Deflated Sharpe Ratio: expected maximum
    Bailey, Borwein, Lopez de Prado, Zhu (2017), The Probability of Backtest Overfitting: CSCV

Sharpe ratios here are per period (a day), never annualised.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

EULER = 0.5772156649015329
NORMAL = NormalDist()
SPLITS, SPLITS_LEAST = 16, 10
WORK_MAX = 2e7  # ways x settings: beyond it fewer splits are used (10,000 settings: 12 splits, 924 ways, a second)
ROWS_MIN = 2  # of a block: a Sharpe ratio of fewer is none
CHUNK = 128


def moments(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """(skewness, kurtosis) as population moments; the normal distribution has (0, 3). (0, 3) where there is no spread."""
    centred = np.asarray(values, float)
    if not len(centred):
        return 0.0, 3.0
    centred = centred - centred.mean()
    variance = float(np.mean(centred**2))
    if variance <= 1e-24 * max(1e-300, float(np.max(np.abs(values))) ** 2):
        return 0.0, 3.0
    return float(np.mean(centred**3)) / variance**1.5, float(np.mean(centred**4)) / variance**2


def sharpe_error(value: float, n: int, skew: float, kurtosis: float) -> float:
    """Standard error of a Sharpe ratio estimated from n returns that need not be normal, where the true ratio is `value` (Mertens 2002)."""
    return math.sqrt(max(0.0, 1 - skew * value + (kurtosis - 1) / 4 * value * value) / n)


def probabilistic_sharpe(value: float, n: int, skew: float, kurtosis: float, benchmark: float = 0.0) -> float | None:
    """Probability that an estimate from n returns is at most `value` where the true Sharpe ratio is `benchmark`: near 1 the true one lies above. The
    error is that at the benchmark (2026), not at the estimate (2012)."""
    error = sharpe_error(benchmark, n, skew, kurtosis) if n > 0 else 0.0
    return NORMAL.cdf((value - benchmark) / error) if error > 0 else None


def track_record_needed(value: float, benchmark: float, skew: float, kurtosis: float, sure: float = 0.95) -> float | None:
    """Returns after which an estimate of `value` stands out from `benchmark` with probability `sure`: the minimum track record length. None where it
    never does."""
    return (NORMAL.inv_cdf(sure) * sharpe_error(benchmark, 1, skew, kurtosis) / (value - benchmark)) ** 2 if value > benchmark else None


def expected_maximum(trials: int, sd: float) -> float:
    """The best of `trials` independent Sharpe ratios that are all 0 in truth and scatter by `sd`: what must be beaten. An approximation by extreme
    value theory, good from about 10 trials on. Trials that resemble each other count for less, so the hurdle is on the careful side."""
    if trials < 2:
        return 0.0
    return sd * ((1 - EULER) * NORMAL.inv_cdf(1 - 1 / trials) + EULER * NORMAL.inv_cdf(1 - 1 / (trials * math.e)))


def overfitting(matrix: np.ndarray, splits: int = SPLITS) -> dict[str, Any]:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    matrix: (days, settings), the results of each day. The days are cut into `splits` blocks; for each way to choose half of them, the setting with
    the best Sharpe ratio there is ranked among all settings on the other half. pbo: share of the ways in which it lands in the lower half (a tie
    counts half). Near 0.5 the choice is worth nothing. slope: of the Sharpe ratio out of sample on that in sample. loss: share of the ways in which
    the chosen setting loses out of sample. Settings that never traded are left out. Fewer splits are used where there are few days; None where there
    are too few of either.
    """
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2:
        raise ValueError(f"matrix has {matrix.ndim} dimensions, 2 are needed: days and settings")
    if not np.isfinite(matrix).all():
        raise ValueError("the matrix holds values that are not finite")
    matrix = matrix[:, (matrix != 0.0).any(axis=0)]
    days, settings = matrix.shape
    splits = min(splits, days // ROWS_MIN) // 2 * 2
    while splits > SPLITS_LEAST and math.comb(splits, splits // 2) * settings > WORK_MAX:
        splits -= 2
    empty = {"pbo": None, "splits": splits, "days": days, "settings": settings, "ways": 0, "slope": None, "loss": None}
    if splits < 4 or settings < 2:
        return empty
    starts = np.arange(splits) * days // splits  # blocks differ by a day at most
    sizes = np.diff(starts, append=days).astype(float)
    sums, squares = np.add.reduceat(matrix, starts, axis=0), np.add.reduceat(matrix**2, starts, axis=0)
    ways = list(combinations(range(splits), splits // 2))
    chosen = np.zeros((len(ways), splits))
    for k, way in enumerate(ways):
        chosen[k, list(way)] = 1.0
    ranks, inside, outside, losses = [], [], [], []
    for first in range(0, len(ways), CHUNK):
        part = chosen[first : first + CHUNK]
        seen, unseen = (_sharpes(weights @ sums, weights @ squares, (weights @ sizes)[:, None]) for weights in (part, 1.0 - part))
        best = seen.argmax(axis=1)
        there = np.take_along_axis(unseen, best[:, None], axis=1)
        below, same = (unseen < there).sum(axis=1), (unseen == there).sum(axis=1)
        ranks.append((below + (same + 1) / 2) / (settings + 1))
        inside.append(np.take_along_axis(seen, best[:, None], axis=1)[:, 0])
        outside.append(there[:, 0])
        losses.append(np.take_along_axis((1.0 - part) @ sums, best[:, None], axis=1)[:, 0] < 0)
    rank, x, y = np.concatenate(ranks), np.concatenate(inside), np.concatenate(outside)
    spread = float(np.var(x))
    return {
        "pbo": float(np.mean(rank < 0.5) + np.mean(rank == 0.5) / 2),
        "splits": splits,
        "days": days,
        "settings": settings,
        "ways": len(ways),
        "slope": float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread > 1e-18 else None,
        "loss": float(np.mean(np.concatenate(losses))),
    }


def _sharpes(sums: np.ndarray, squares: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Sharpe ratios from sums over n days; 0 where a setting has no spread (it did not trade)."""
    mean = sums / n
    variance = np.maximum(squares / n - mean * mean, 0.0) * n / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-14 * squares / n, mean / np.sqrt(variance), 0.0)
