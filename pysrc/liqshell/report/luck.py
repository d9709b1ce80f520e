"""Whether the best of many settings is more than luck, from the daily net results of all of them.

Two tests; an edge is stated only if both confirm it:

    superior    Hansen (2005), A Test for Superior Predictive Ability: the joint distribution of all settings, by a stationary bootstrap of whole days
                (Politis, Romano 1994). Settings that resemble each other count for less, because they are drawn together.
    by_shape    how often the best of so many would show such a t if all had the shape of all: what the winner never met, a gap through its stop,
                others did. The distribution is pooled over all settings, each measured by its own scale.

A deflated Sharpe ratio is shown in addition. Everything that is drawn is drawn by a seeded generator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from liqshell.report.overfit import expected_maximum, moments, probabilistic_sharpe, sharpe_error, track_record_needed

LEVEL = 0.05  # of both tests
DAYS_MIN = 20  # below, daily results say nothing of a best one
DRAWS = 1000  # of the bootstrap
SINGLE = 200_000  # of the pooled shape
LAGS = 5  # days over which results may hang together
BLOCK = 2.0  # mean length of a run of days that is drawn together; LAGS are in the error already
SPREAD_MIN = 0.2  # of a resample, in parts of the sample's own: days that are drawn again and again have next to none
HITS = 100  # draws as good as the result after which it is clear that it is luck
FEW_HITS = 10  # ... where the first test has found luck already
SURE, SURELY = 10, 0.5  # ... and the other way: it is clear that it is not, where even so many more would give less than half of LEVEL
DRAWN, ACROSS = 128, 256  # resamples and settings that are computed at once: what fits a cache
SHAPES = 4096  # draws of the pooled shape at once
KNOWN = 0.5  # of all settings that were tried: with the daily results of fewer no edge is called
#: what assess() says where there are days enough
_SAID = (
    "best t edge p_superior p_shape autocorrelation_factor independent sharpe_daily skew kurtosis hurdle_daily deflated days_needed worst worst_all"
)
ALIKE = 0.5  # settings whose daily results correlate by so much count as one trial


def errors_grow(daily: np.ndarray) -> float:
    """Factor (at least 1) on the variance of a mean over days that hang together, by the autocorrelation of all settings pooled. A single setting of
    some weeks does not show it; hundreds do. daily: (days, settings)."""
    days = len(daily)
    centred = daily - daily.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred[:, spread > 0] / spread[spread > 0]
    if not scaled.size:
        return 1.0
    factor = 1.0
    for lag in range(1, min(LAGS, days - 1) + 1):
        # a sample's autocorrelation is too low by 1 / (days - 1)
        found = float((scaled[:-lag] * scaled[lag:]).sum()) / (scaled.shape[1] * (days - lag)) + 1.0 / (days - 1)
        factor += 2.0 * (1.0 - lag / days) * (found if lag == 1 else max(found, 0.0))
    return max(1.0, factor)


def resamples(days: int, draws: int, block: float, rng: np.random.Generator) -> np.ndarray:
    """How often each day is drawn: (draws, days), by a stationary bootstrap with runs of mean length `block` that go round the end."""
    at = rng.integers(0, days, (draws, days))
    fresh = rng.random((draws, days)) < 1.0 / block
    for day in range(1, days):
        at[:, day] = np.where(fresh[:, day], at[:, day], (at[:, day - 1] + 1) % days)
    counts = np.zeros((draws, days))
    np.add.at(counts, (np.arange(draws)[:, None], at), 1.0)
    return counts


def t_values(daily: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """t of the mean day of each setting; -inf where it has no spread. factor: of errors_grow."""
    days = len(daily)
    spread = daily.std(axis=0, ddof=1)
    known = spread > 1e-9 * np.abs(daily).max(axis=0, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, daily.mean(axis=0) / spread * math.sqrt(days / factor), -np.inf)


def superior(
    daily: np.ndarray, t: np.ndarray, *, of: int | None = None, draws: int = DRAWS, hits: int = HITS, block: float = BLOCK, seed: int = 1
) -> float:
    """Hansen's consistent p-value: how often the best of all settings would show such a t if none had an edge. Each resample is measured by its own
    spread, which keeps the level also in some weeks of skewed days. daily: (days, settings); t: of t_values. of: the setting that is asked about, by
    default the one with the largest t. hits: so many draws that are as good end it early (Besag, Clifford 1991)."""
    days = len(daily)
    known = np.flatnonzero(np.isfinite(t))
    best = float(t[known].max(initial=0.0)) if of is None else float(t[of])
    if not best > 0.0:
        return 1.0
    counts = resamples(days, draws, block, np.random.default_rng(seed)).astype(np.float32)
    # settings that are far too bad to be the best one by luck do not raise the hurdle
    shift = np.where(t >= -math.sqrt(2.0 * math.log(math.log(max(days, 3)))), 0.0, t)[known].astype(np.float32)
    centred = daily[:, known] - daily[:, known].mean(axis=0)
    unit = (centred / centred.std(axis=0, ddof=1)).astype(np.float32)
    squares, above, done = unit * unit, 0, 0
    for first in range(0, draws, DRAWN):
        part = counts[first : first + DRAWN]
        most = np.zeros(len(part), np.float32)
        for at in range(0, len(known), ACROSS):
            mean, own = part @ unit[:, at : at + ACROSS], part @ squares[:, at : at + ACROSS]
            mean /= days
            own -= days * mean * mean
            own /= days - 1
            np.maximum(own, SPREAD_MIN**2, out=own)
            mean *= math.sqrt(days)
            mean /= np.sqrt(own, out=own)
            mean += shift[at : at + ACROSS]
            np.maximum(most, mean.max(axis=1), out=most)
        above, done = above + int((most >= best).sum()), done + len(part)
        if above >= hits:
            break
    return (1 + above) / (done + 1)


def pooled(daily: np.ndarray) -> np.ndarray:
    """Days of all settings around their own mean, each setting measured by its own usual day (three quarters of its days lie within 1)."""
    centred = daily - daily.mean(axis=0)
    usual = np.quantile(np.abs(centred), 0.75, axis=0)
    out = (centred[:, usual > 0] / usual[usual > 0]).ravel()
    return out - out.mean() if len(out) else out


def by_shape(
    daily: np.ndarray, t: np.ndarray, trials: float, *, of: int | None = None, draws: int = SINGLE, hits: int = HITS, seed: int = 1
) -> float:
    """How often the best of `trials` settings would show such a t, if the days of each were drawn from the days of all. of: as in superior. hits:
    so many draws that are as good end it early, and so do so few that nothing can change any more."""
    days, best, shape = len(daily), float(t.max(initial=0.0)) if of is None else float(t[of]), pooled(daily).astype(np.float32)
    if not best > 0.0 or not len(shape):
        return 1.0
    rng, above, done, bound = np.random.default_rng(seed), 0, 0, np.float32(best / math.sqrt(days))
    while done < draws and above < hits:
        drawn = shape[rng.integers(0, len(shape), (min(SHAPES, draws - done), days))]
        mean = drawn.sum(axis=1) / days
        spread = np.sqrt(np.maximum(np.einsum("ij,ij->i", drawn, drawn) - days * mean * mean, 0.0) / (days - 1))
        above, done = above + int((mean >= bound * spread).sum()), done + len(drawn)
        if trials * (above + SURE) < LEVEL * SURELY * done:
            break
    return 1.0 - (1.0 - (1 + above) / (done + 1)) ** trials


def independent(daily: np.ndarray, t: np.ndarray) -> int:
    """How many different things were tried: from the best setting on, who correlates with one before by ALIKE counts with it."""
    order = np.argsort(-t, kind="stable")
    order = order[np.isfinite(t[order])]
    if not len(order):
        return 0
    centred = daily[:, order] - daily[:, order].mean(axis=0)
    unit = (centred / np.sqrt((centred * centred).sum(axis=0))).astype(np.float32)
    count = 0
    while unit.shape[1]:
        near = unit[:, :ACROSS].T @ unit >= ALIKE
        free = np.ones(unit.shape[1], bool)
        for n in range(len(near)):
            if free[n]:
                count += 1
                free &= ~near[n]
                free[n] = False
        free[: len(near)] = False
        unit = unit[:, free]
    return count


def assess(daily: np.ndarray, tried: int = 0, *, of: int | None = None, seed: int = 1) -> dict[str, Any]:
    """The statistical assessment of the best setting, or of the setting `of`.

    daily: net result of each day and setting, (days, settings). tried: settings that were ever tried on these data, where they are more. edge: None
    where there are too few days or trades to say, or the results of less than KNOWN of all that were tried. best: index of the setting that is
    judged. worst, worst_all: the worst day of that setting and of all. Sharpe ratios are per day.
    """
    daily = np.asarray(daily, float)
    days, settings = daily.shape
    out: dict[str, Any] = {
        "days": days,
        "settings": settings,
        "tried": max(tried, settings),
    } | dict.fromkeys(_SAID.split())
    if days < DAYS_MIN or not settings:
        return out
    factor = errors_grow(daily)
    t = t_values(daily, factor)
    best = int(np.argmax(t)) if of is None else of
    if not np.isfinite(t[best]):
        return out
    trials = max(tried, len({own.tobytes() for own in np.ascontiguousarray(daily[:, np.isfinite(t)].T)}))
    p = superior(daily, t, of=of, seed=seed)
    q = by_shape(daily, t, trials, of=of, hits=HITS if p < LEVEL else FEW_HITS, seed=seed)
    edge = bool(max(p, q) < LEVEL)
    out |= {
        "best": best,
        "t": float(t[best]),
        "edge": None if edge and settings < KNOWN * trials else edge,
        "p_superior": p,
        "p_shape": q,
        "autocorrelation_factor": factor,
        "worst": float(daily[:, best].min()),
        "worst_all": float(daily.min()),
    }
    return out | _deflated(daily, t, best, tried)


def assess_best(daily: np.ndarray, others: np.ndarray, tried: int = 0) -> dict[str, Any]:
    """assess() of the best setting of a grid, where other settings were tried on the same days: they count, and only the grid's may be the best."""
    every = np.concatenate([daily, others], axis=1) if len(others) == len(daily) and others.size else daily
    first = int(np.argmax(t_values(daily))) if daily.size and len(daily) >= DAYS_MIN else None
    return assess(every, tried, of=first) | {"settings": daily.shape[1]}


def _deflated(daily: np.ndarray, t: np.ndarray, best: int, tried: int) -> dict[str, Any]:
    """Figures beside the two tests: the daily Sharpe ratio, its hurdle, and the moments of all settings' days."""
    days, settings = daily.shape
    skew, kurtosis = moments(pooled(daily))
    value, sharpes = float(t[best]) / math.sqrt(days), t[np.isfinite(t)] / math.sqrt(days)
    error = sharpe_error(0.0, days, skew, kurtosis)
    count = independent(daily, t) * max(1.0, tried / settings)
    # settings that differ in cost and edge scatter for other reasons than luck: no more than the sampling error is luck
    hurdle = expected_maximum(round(count), min(error, float(sharpes.std(ddof=1)) if len(sharpes) > 1 else error))
    return {
        "independent": round(count),
        "sharpe_daily": value,
        "skew": skew,
        "kurtosis": kurtosis,
        "hurdle_daily": hurdle,
        "deflated": probabilistic_sharpe(value, days, skew, kurtosis, hurdle),
        "days_needed": track_record_needed(value, hurdle, skew, kurtosis, 1.0 - LEVEL),
    }
