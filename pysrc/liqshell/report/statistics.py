"""The few statistics of the report, without SciPy. Every rate and every mean leaves here with its interval."""

import math
from collections.abc import Sequence

LEVEL = 0.95
Z = 1.959963984540054


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
    return (z + (z ** 3 + z) / 4 * g + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96 * g ** 2
            + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384 * g ** 3
            + (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160 * g ** 4)


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


def daily_sharpe(returns: Sequence[float]) -> dict[str, float | int | None]:
    """Mean over sd of whole-day returns, x sqrt(365), with its 95 % interval (Lo 2002, independent returns); None below two days."""
    test = mean_test(returns)
    n, mean, sd = len(returns), test["mean"], test["sd"]
    if n < 2 or not sd or mean is None:
        return {"days": n, "value": None, "low": None, "high": None}
    daily = mean / sd
    half = t_quantile(n - 1) * math.sqrt((1 + daily * daily / 2) / n)
    year = math.sqrt(365)
    return {"days": n, "value": daily * year, "low": (daily - half) * year, "high": (daily + half) * year}


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, p50, p99 (nearest rank) and the largest."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return {"n": 0, "p50": None, "p99": None, "max": None}
    return {"n": n, "p50": ordered[(n - 1) // 2], "p99": ordered[min(n - 1, math.ceil(0.99 * n) - 1)], "max": ordered[-1]}
