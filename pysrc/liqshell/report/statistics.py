"""The statistics of the report, without SciPy. Every rate and every mean has its interval, or None if n is too small for one.

Sources are named at each function. What guards against choosing the best of many is in overfit.py. Anything drawn at random is drawn by a seeded
generator, so that a report made twice is the same report.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LEVEL = 0.95
Z = 1.959963984540054
FEW = 30  # below this n the report says that it is little
DAYS_MIN = 10  # a bootstrap over fewer days would draw its interval from almost nothing
CLUSTERS_MIN = 5  # with fewer days or stretches, the correlation within one of them cannot be estimated
DRAWS = 2000
YEAR_DAYS = 365  # crypto markets do not close
HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): honest for small n and near 0 or 1."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = successes / n, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _poisson_cdf(n: int, mean: float) -> float:
    term = total = math.exp(-mean)
    for k in range(1, n + 1):
        term *= mean / k
        total += term
    return total


def poisson(n: int) -> tuple[float, float]:
    """95 % interval of a Poisson mean after n events were counted: exact (Garwood 1936) to n = 200, Byar's approximation beyond."""
    tail = (1 - LEVEL) / 2
    if n > 200:
        low = n * (1 - 1 / (9 * n) - Z / (3 * math.sqrt(n))) ** 3
        high = (n + 1) * (1 - 1 / (9 * (n + 1)) + Z / (3 * math.sqrt(n + 1))) ** 3
        return low, high

    def solve(k: int, wanted: float) -> float:
        low, high = 0.0, n + 10 * math.sqrt(n + 1) + 10
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if _poisson_cdf(k, middle) > wanted else (low, middle)
        return low

    return (solve(n - 1, 1 - tail) if n else 0.0), solve(n, tail)


def t_quantile(df: int) -> float:
    """Upper 2.5 % point of Student's t (Abramowitz and Stegun 26.7.5; exact for df 1 and 2)."""
    if df < 1:
        return math.inf
    if df == 1:
        return math.tan(math.pi * (LEVEL / 2))
    if df == 2:
        return LEVEL * math.sqrt(2 / (1 - LEVEL * LEVEL))
    z, g = Z, 1.0 / df
    return (
        z
        + (z**3 + z) / 4 * g
        + (5 * z**5 + 16 * z**3 + 3 * z) / 96 * g**2
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 * g**3
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160 * g**4
    )


def mean_test(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, mean, sd (n - 1), t statistic against 0, and the 95 % interval of the mean; None where n does not allow it."""
    n = len(values)
    mean = math.fsum(values) / n if n else None
    if n < 2 or mean is None:
        return {"n": n, "mean": mean, "sd": None, "t": None, "low": None, "high": None}
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    error = sd / math.sqrt(n)
    half = t_quantile(n - 1) * error
    return {"n": n, "mean": mean, "sd": sd, "t": mean / error if error > 0 else None, "low": mean - half, "high": mean + half}


def numbered(keys: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, int]:
    """A number from 0 for each key, in the order in which they first appear, and how many there are."""
    _, first, of = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[of], len(first)


def sums_of(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sum of each of `count` groups, rounded once, as math.fsum gives it. groups: rising."""
    sizes = np.bincount(groups, minlength=count)
    starts, out = np.cumsum(sizes) - sizes, np.zeros(count)
    some, pairs = sizes > 0, sizes == 2
    out[some] = values[starts[some]] + 0.0
    out[pairs] += values[starts[pairs] + 1]
    for k in np.flatnonzero(sizes > 2).tolist():
        out[k] = math.fsum(values[starts[k] : starts[k] + sizes[k]].tolist())
    return out


def clustered_mean(values: Sequence[float], clusters: Sequence[Any] | np.ndarray) -> dict[str, float | int | None]:
    """The mean and its t statistic where values of one cluster (a day) may move together: n, clusters, mean, error, t, low, high.

    Liang and Zeger's variance with the factor G / (G - 1), against Student's t with G - 1 degrees of freedom (Cameron, Miller 2015). With one value
    a cluster it is the plain t test. Needs CLUSTERS_MIN clusters; below them only n and the mean are given.
    """
    n = len(values)
    if n != len(clusters):
        raise ValueError(f"{n} values, {len(clusters)} clusters")
    of, count = numbered(clusters)
    mean = math.fsum(values) / n if n else None
    if count < CLUSTERS_MIN or mean is None:
        return {"n": n, "clusters": count, "mean": mean, "error": None, "t": None, "low": None, "high": None}
    sums = np.bincount(of, np.asarray(values, float) - mean, count)
    error = math.sqrt(count / (count - 1) * float(sums @ sums)) / n
    half = t_quantile(count - 1) * error
    return {
        "n": n,
        "clusters": count,
        "mean": mean,
        "error": error,
        "t": mean / error if error > 1e-12 * abs(mean) else None,
        "low": mean - half,
        "high": mean + half,
    }


def spaced_mean(values: Sequence[float], at_ns: Sequence[int] | np.ndarray, held_ns: int) -> dict[str, float | int | None]:
    """clustered_mean of what happened at at_ns and was held for held_ns at most: what of one cascade shares one price path.

    Clustered by UTC day; where those are fewer than CLUSTERS_MIN, by stretches of at least an hour and twice held_ns, so that what lies two stretches
    apart has no price in common; where even those are too few there is no interval. cluster_ns: how long the last clusters tried were.
    """
    mean: dict[str, float | int | None] = {}
    for span in (max(DAY_NS, 2 * held_ns), max(HOUR_NS, 2 * held_ns)):
        mean = clustered_mean(values, np.asarray(at_ns, np.int64) // span) | {"cluster_ns": span}
        if mean["low"] is not None:
            break
    return mean


def sharpe(returns: Sequence[float] | np.ndarray) -> float | None:
    """Mean over sd (n - 1) per period, not annualised; None where there is no spread."""
    values = np.asarray(returns, float)
    if len(values) < 2:
        return None
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return mean / sd if sd > 1e-12 * max(abs(mean), 1e-300) else None


def daily_sharpe(returns: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """Mean over sd of whole-day returns, x sqrt(365), with its 95 % interval (Lo 2002, independent returns) and, from DAYS_MIN days on, that of the
    stationary bootstrap, which allows days to depend on each other. None below two days."""
    n, daily = len(returns), sharpe(returns)
    out: dict[str, Any] = {"days": n, "value": None, "low": None, "high": None, "bootstrap_low": None, "bootstrap_high": None}
    if daily is None:
        return out
    half, year = t_quantile(n - 1) * math.sqrt((1 + daily * daily / 2) / n), math.sqrt(YEAR_DAYS)
    out |= {"value": daily * year, "low": (daily - half) * year, "high": (daily + half) * year}
    drawn = stationary_bootstrap(returns, seed=seed)
    if drawn is not None:
        mean, sd = drawn.mean(axis=1), drawn.std(axis=1, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(sd > 0, mean / sd, np.sign(mean) * np.inf)
        low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        if math.isfinite(low) and math.isfinite(high):
            out |= {"bootstrap_low": float(low) * year, "bootstrap_high": float(high) * year}
    return out


def stationary_bootstrap(values: Sequence[float], draws: int = DRAWS, block: float | None = None, seed: int = 0) -> np.ndarray | None:
    """`draws` resamples (draws, n) in blocks of geometric length (Politis, Romano 1994), which keep the dependence inside a block. block: mean length
    in days, by default n ** (1/3). None below DAYS_MIN values."""
    n = len(values)
    if n < DAYS_MIN:
        return None
    rng = np.random.default_rng(seed)
    fresh = rng.random((draws, n)) < 1 / max(1.0, block if block is not None else n ** (1 / 3))
    fresh[:, 0] = True
    at = rng.integers(0, n, (draws, n))
    last = np.maximum.accumulate(np.where(fresh, np.arange(n), 0), axis=1)  # where the running block began
    index = (np.take_along_axis(at, last, axis=1) + np.arange(n) - last) % n
    return np.asarray(values, float)[index]


def day_bootstrap(values: Sequence[float], days: Sequence[Any] | np.ndarray, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """95 % interval of the mean when whole days are drawn with replacement (cluster bootstrap). low and high are None below DAYS_MIN days, and `why`
    says so."""
    of, count = numbered(days)
    if count < DAYS_MIN:
        return {"low": None, "high": None, "days": count, "why": f"{count} day{'s' * (count != 1)} with trades, {DAYS_MIN} are needed"}
    sums, sizes = np.bincount(of, np.asarray(values, float), count), np.bincount(of, minlength=count)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)  # how often each day was drawn
    low, high = np.quantile((times * sums).sum(axis=1) / (times * sizes).sum(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high), "days": count, "why": ""}


def break_even(win: float, loss: float) -> float | None:
    """Win rate at which wins of `win` and losses of `loss` (both > 0, after costs) leave nothing; None where that is nowhere."""
    return loss / (win + loss) if win > 0 and loss >= 0 else None


def break_even_planned(take_profit: float, stop_loss: float, entry_fee: float, target_fee: float, stop_fee: float) -> float:
    """Win rate that a bracket needs by its own distances and fees (shares of price); 1 where even a win loses. The fade at 2 and 5.5 bps: 0.747."""
    win, loss = take_profit - entry_fee - target_fee, stop_loss + entry_fee + stop_fee
    if win <= 0:
        return 1.0
    return max(0.0, loss / (win + loss)) if win + loss > 0 else 0.0


def expected_shortfall(values: Sequence[float], level: float = 0.05) -> float | None:
    """Mean of the worst `level` of the values, the boundary value by its part (Acerbi, Tasche 2002). None where that is less than one value."""
    ordered = sorted(values)
    size = len(ordered) * level
    whole = math.floor(size + 1e-9)
    if whole < 1:
        return None
    rest = max(0.0, size - whole)
    return (math.fsum(ordered[:whole]) + (rest * ordered[whole] if rest > 1e-9 else 0.0)) / max(size, 1.0)


def drawdown(points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """The largest fall of an account from a peak, as a share of that peak, and the longest time below one. points: (ns, account) in order of time,
    the first before anything happened.

    share and value (money) of that fall; peak_ns, trough_ns, recovered_ns (None: the peak was not seen again); longest_ns: from a peak until it was
    seen again, or to the last point.
    """
    out: dict[str, Any] = {"value": 0.0, "share": 0.0, "peak_ns": None, "trough_ns": None, "recovered_ns": None, "longest_ns": 0}
    peak, peak_ns = (points[0][1], points[0][0]) if points else (0.0, 0)
    below, open_worst = False, False
    for ts, value in points:
        if value >= peak:
            if below:
                out["longest_ns"] = max(out["longest_ns"], ts - peak_ns)
            if open_worst:
                out["recovered_ns"] = ts
            peak, peak_ns, below, open_worst = value, ts, False, False
            continue
        below = True
        share = (peak - value) / peak if peak > 0 else 0.0
        if share > out["share"]:
            out |= {"value": peak - value, "share": share, "peak_ns": peak_ns, "trough_ns": ts, "recovered_ns": None}
            open_worst = True
    if below:
        out["longest_ns"] = max(out["longest_ns"], points[-1][0] - peak_ns)
    return out


def histogram(values: Sequence[float] | np.ndarray, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Counts of [edge, next edge); what lies below the first or at or above the last edge goes to an open bin there."""
    counts = np.bincount(np.searchsorted(edges, np.asarray(values, float), side="right"), minlength=len(edges) + 1)
    lows, highs = [None, *edges], [*edges, None]
    return [{"low": low, "high": high, "n": int(n)} for low, high, n in zip(lows, highs, counts, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, p50, p99 (nearest rank) and the largest."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return {"n": 0, "p50": None, "p99": None, "max": None}
    return {"n": n, "p50": ordered[(n - 1) // 2], "p99": ordered[min(n - 1, math.ceil(0.99 * n) - 1)], "max": ordered[-1]}
