"""Hawkes processes over whole arrays, offline: maximum likelihood by expectation-maximisation, and residuals (Numba). The intensity of a whole
stream is liqcore.kernels.hawkes.Hawkes.run.

fit() is for complete feeds. In a throttled feed the gaps are those of the throttle, not of the market (docs/detectors.md has the results there).
Each EM step is O(n) for exponential kernels, and never lowers the likelihood: Veen, Schoenberg (2008), with Ozaki's recursion (1979).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
KERNELS_MAX = 4


@dataclass(frozen=True)
class Fit:
    """A fitted process: intensity(t) = base_per_s + sum_j w_j sum_k branching[k] b_k exp(-b_k (t - t_j)), b_k = ln 2 / half_life_s[k]."""

    base_per_s: float
    branching: tuple[float, ...]  # by kernel, fastest first
    half_life_s: tuple[float, ...]
    log_likelihood: float
    log_likelihood_poisson: float  # of a constant rate
    events: int
    seconds: float
    steps: int  # of EM until convergence


@njit("float64(float64[::1], float64[::1], float64[::1], float64, float64, float64[::1], float64[::1], float64[:, ::1])", cache=True, nogil=True)
def _expect(ts, marks, before, seconds, base, branching, decay, out):
    """E-step. out[k]: expected children through kernel k, their total lag, and expected events it was exposed to (edge of the sample included).
    out[-1][0]: expected immigrants. Returns the log-likelihood. before: gap to the event before, s."""
    kernels = branching.size
    sums = np.zeros(kernels)  # of w exp(-b lag)
    lags = np.zeros(kernels)  # of w lag exp(-b lag)
    out[:] = 0.0
    log_likelihood = -base * seconds
    for i in range(ts.size):
        intensity = base
        for k in range(kernels):
            keep = np.exp(-decay[k] * before[i])
            lags[k] = (lags[k] + before[i] * sums[k]) * keep
            sums[k] *= keep
            intensity += branching[k] * decay[k] * sums[k]
        log_likelihood += np.log(intensity)
        out[kernels, 0] += base / intensity
        for k in range(kernels):
            weight = branching[k] * decay[k] / intensity
            out[k, 0] += weight * sums[k]
            out[k, 1] += weight * lags[k]
            left = seconds - ts[i]
            exposed = marks[i] * -np.expm1(-decay[k] * left)
            out[k, 2] += exposed
            out[k, 3] += marks[i] * left * np.exp(-decay[k] * left)
            log_likelihood -= branching[k] * exposed
            sums[k] += marks[i]
    return log_likelihood


def fit(
    ts: ArrayLike,
    marks: ArrayLike | None = None,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    half_life_s: tuple[float, ...] = (0.1, 3.0),
    steps_max: int = 5000,
    tolerance: float = 1e-9,
) -> Fit:
    """Fit base rate, branching ratios and half-lives of as many kernels as half_life_s has values (where the search begins).

    ts: times in s, not decreasing; marks: sizes of the excitation, scaled here to mean 1 (None: all alike); start_s, end_s: of the observation
    (None: the first and the last event). A fit needs at least 50 events. ValueError names what is wrong.
    """
    t = np.ascontiguousarray(ts, np.float64)
    if t.ndim != 1 or t.size < 50 or not np.isfinite(t).all() or (np.diff(t) < 0).any():
        raise ValueError(f"ts: expected at least 50 finite times that do not decrease, got {t.size}")
    if not 1 <= len(half_life_s) <= KERNELS_MAX or not all(0 < h < 1e6 for h in half_life_s):
        raise ValueError(f"half_life_s: expected 1 to {KERNELS_MAX} positive numbers of seconds, got {half_life_s!r}")
    first, last = t[0] if start_s is None else start_s, t[-1] if end_s is None else end_s
    w = np.ones(t.size) if marks is None else np.ascontiguousarray(marks, np.float64)
    if w.shape != t.shape or not (w > 0).all() or not np.isfinite(w).all():
        raise ValueError("marks: expected one positive finite number an event")
    if first > t[0] or last < t[-1] or last <= first:
        raise ValueError(f"expected all events between start_s and end_s, got {t[0]} .. {t[-1]} in {first} .. {last}")
    w = w / w.mean()
    t, seconds = t - first, float(last - first)
    before = np.diff(t, prepend=t[0])
    decay = np.log(2.0) / np.array(sorted(half_life_s), np.float64)
    branching = np.full(decay.size, 0.8 / decay.size)
    base = 0.2 * t.size / seconds
    out = np.empty((decay.size + 1, 4))
    previous = likelihood = -np.inf
    steps = 0
    for steps in range(1, steps_max + 1):
        likelihood = _expect(t, w, before, seconds, base, branching, decay, out)
        if likelihood - previous < tolerance * abs(likelihood) and steps > 20:
            break
        previous = likelihood
        base = out[-1, 0] / seconds
        # the decay's step: children / (their lags + what the end of the sample has cut off), its root taken at the present decay
        decay = out[:-1, 0] / np.maximum(out[:-1, 1] + branching * out[:-1, 3], 1e-12)
        branching = out[:-1, 0] / np.maximum(out[:-1, 2], 1e-300)
        decay = np.clip(decay, 1e-6, 1e6)
    order = np.argsort(-decay)
    rate = t.size / seconds
    return Fit(
        float(base),
        tuple(float(x) for x in branching[order]),
        tuple(float(np.log(2.0) / x) for x in decay[order]),
        float(likelihood),
        float(t.size * np.log(rate) - t.size),
        int(t.size),
        seconds,
        steps,
    )


@njit("float64[::1](float64[::1], float64[::1], float64, float64[::1], float64[::1])", cache=True, nogil=True)
def _compensator(before, marks, base, branching, decay):
    out = np.empty(before.size)
    sums = np.zeros(branching.size)
    for i in range(before.size):
        total = base * before[i]
        for k in range(branching.size):
            total += branching[k] * sums[k] * -np.expm1(-decay[k] * before[i])
            sums[k] = sums[k] * np.exp(-decay[k] * before[i]) + marks[i]
        out[i] = total
    return out


def residuals(of: Fit, ts: ArrayLike, marks: ArrayLike | None = None) -> Floats:
    """Expected events between each event and the one before: independent and exponential with mean 1 where the fit is right (Papangelou; Ogata
    1988)."""
    t = np.ascontiguousarray(ts, np.float64)
    w = np.ones(t.size) if marks is None else np.ascontiguousarray(marks, np.float64)
    w = w / w.mean()
    decay = np.log(2.0) / np.array(of.half_life_s)
    return _compensator(np.diff(t, prepend=t[0]), w, of.base_per_s, np.array(of.branching), decay)[1:]


def kolmogorov(residual: Floats) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance of residuals from the exponential distribution with mean 1, and its p-value (asymptotic with Stephens'
    correction)."""
    x = np.sort(1.0 - np.exp(-np.asarray(residual)))
    n = x.size
    grid = np.arange(1, n + 1) / n
    distance = float(max(np.max(grid - x), np.max(x - (grid - 1.0 / n))))
    z = distance * (np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n))
    terms = np.arange(1, 101)
    return distance, float(np.clip(2.0 * np.sum((-1.0) ** (terms - 1) * np.exp(-2.0 * terms**2 * z**2)), 0.0, 1.0))
