"""The Hawkes kernel in Numba: the formulas of hawkes.pxd, written apart from hawkes.pyx and equal to it to the bit.

A State holds the instruments' excitation and, in the rows after them, that of their groups; `push` and the readers work on it. Under
batch_hawkes, batch_detectors and batch_feature.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SLICES, BUCKETS = 30, 128        # of a history, as in hawkes.pxd
COUNTS, FIT = 0, 1               # hawkes.BranchingEstimate
NONE = np.iinfo(np.int64).min
LEARNT = np.dtype([("mark_mean", "f8"), ("size_mean", "f8"), ("first", "f8"), ("second", "f8"), ("weight", "f8"), ("fit", "f8"), ("counts", "f8"),
                   ("events", "i8"), ("bin", "i8"), ("slice", "i8"), ("in_bin", "i8"), ("bins", "i8")])


class Shape(NamedTuple):
    """HawkesConfig as the formulas want it: rates in 1/s, times in ns."""

    fast: float
    slow: float
    cross: float
    fast_decay: float
    slow_decay: float
    base_decay: float
    size_power: float
    mark_max: float
    prior_rate: float
    prior_events: float
    bin_keep: float
    fit_step: float
    bin_ns: int
    slice_bins: int
    bins_min: int


class State(NamedTuple):
    ts: NDArray[np.int64]            # (rows, side): as of when; rows = instruments, then groups; side 0 = long
    sums: NDArray[np.float64]        # (rows, side, 4): fast, slow, count, elapsed
    learnt: NDArray[np.void]         # LEARNT of each instrument
    total: NDArray[np.uint32]        # (instruments, estimate, bucket)
    history: NDArray[np.uint16]      # (instruments, estimate, slice, bucket)
    group: NDArray[np.int64]         # row of each instrument's group
    members: NDArray[np.int64]       # instruments in the group of each row


def shape_of(config: Mapping[str, Any]) -> Shape:
    """config: HawkesConfig.as_dict()."""
    fast_decay, slow_decay, base_decay = (math.log(2.0) / config[name] for name in ("fast_s", "slow_s", "base_s"))
    bin_ns = round(config["bin_s"] * 1e9)
    return Shape(config["fast"], config["slow"], config["cross"], fast_decay, slow_decay, base_decay, config["size_power"], config["mark_max"],
                 config["prior_per_min"] / 60.0, config["prior_events"], 2.0 ** (-config["bin_s"] / config["branching_s"]),
                 1.0 / config["fit_events"], bin_ns, max(round(config["history_s"] * 1e9) // SLICES // bin_ns, 1),
                 min(math.ceil(config["history_min_s"] / config["bin_s"]), 1 << 30))


def state_of(groups: Sequence[int], g: Shape) -> State:
    """Fresh; groups: of each instrument the number of its group, from 0."""
    count = len(groups)
    rows = count + max(groups) + 1
    group = np.array(groups, np.int64) + count
    learnt = np.zeros(count, LEARNT)
    learnt["bin"] = learnt["slice"] = NONE
    learnt["fit"], learnt["counts"] = g.fast + g.slow + g.cross, np.nan
    ts = np.zeros((rows, 2), np.int64)
    ts[count:] = NONE
    return State(ts, np.zeros((rows, 2, 4)), learnt, np.zeros((count, 2, BUCKETS), np.uint32), np.zeros((count, 2, SLICES, BUCKETS), np.uint16),
                 group, np.bincount(group, minlength=rows).astype(np.int64))


# ---- excitation ----

@njit(cache=True, nogil=True)
def _aged(s, g, row, k, now):
    """(fast, slow, count, elapsed) of a row's side as of now."""
    fast, slow, count, elapsed = s.sums[row, k, 0], s.sums[row, k, 1], s.sums[row, k, 2], s.sums[row, k, 3]
    if now > s.ts[row, k]:
        dt = (now - s.ts[row, k]) * 1e-9
        keep = math.exp(-g.base_decay * dt)
        fast *= math.exp(-g.fast_decay * dt)
        slow *= math.exp(-g.slow_decay * dt)
        count *= keep
        elapsed = elapsed * keep + (1.0 - keep) / g.base_decay
    return fast, slow, count, elapsed


@njit(cache=True, nogil=True)
def _set(s, row, k, now, aged, mark):
    """The side is as of now, and one event more."""
    s.sums[row, k, 0], s.sums[row, k, 1] = aged[0] + mark, aged[1] + mark
    s.sums[row, k, 2], s.sums[row, k, 3] = aged[2] + 1.0, aged[3]
    s.ts[row, k] = now


@njit(cache=True, nogil=True)
def _branching(g):
    return g.fast + g.slow + g.cross


@njit(cache=True, nogil=True)
def _share(g, own, all_, members):
    return (own[2] + g.prior_events) / (all_[2] + g.prior_events * members)


@njit(cache=True, nogil=True)
def _excited(g, own, all_, share):
    return (g.fast * g.fast_decay * own[0] + g.slow * g.slow_decay * own[1]) + g.cross * g.slow_decay * share * all_[1]


@njit(cache=True, nogil=True)
def _rate(g, own, all_):
    return (own[2] + g.prior_events) / (all_[3] + g.prior_events / g.prior_rate)


# ---- branching ratio ----

@njit(cache=True, nogil=True)
def _bucket(x):
    return min(max(int(x * BUCKETS), 0), BUCKETS - 1)


@njit(cache=True, nogil=True)
def _turn(s, n, newest):
    """Slices that are older than the history leave the totals."""
    h = s.learnt[n]
    if h["slice"] == NONE or newest - h["slice"] >= SLICES:
        s.total[n] = 0
        s.history[n] = 0
    else:
        for one in range(h["slice"] + 1, newest + 1):
            row = one % SLICES
            for which in range(2):
                for b in range(BUCKETS):
                    s.total[n, which, b] -= s.history[n, which, row, b]
                    s.history[n, which, row, b] = 0
    h["slice"] = newest


@njit(cache=True, nogil=True)
def _remember(s, g, n, first, last):
    """Of the bins first..last the estimates are what they are now."""
    h = s.learnt[n]
    first = max(first, last - g.slice_bins * SLICES + 1)
    while first <= last:
        at = first // g.slice_bins
        until = min(last, (at + 1) * g.slice_bins - 1)
        if at > h["slice"]:
            _turn(s, n, at)
        for which in range(2):
            value = h["fit"] if which == FIT else h["counts"]
            if not math.isnan(value):
                s.history[n, which, at % SLICES, _bucket(value)] += until - first + 1
                s.total[n, which, _bucket(value)] += until - first + 1
        first = until + 1


@njit(cache=True, nogil=True)
def _close(s, g, n, bin_):
    """The running bin and the empty ones before bin_ are complete."""
    h = s.learnt[n]
    inside, empty = float(h["in_bin"]), bin_ - h["bin"] - 1
    h["first"] = h["first"] * g.bin_keep + inside
    h["second"] = h["second"] * g.bin_keep + inside * inside
    h["weight"] = h["weight"] * g.bin_keep + 1.0
    h["bins"] += 1
    if h["bins"] >= 30 and h["first"] > 0.0:
        mean = h["first"] / h["weight"]
        variance = h["second"] / h["weight"] - mean * mean
        h["counts"] = 1.0 - math.sqrt(mean / variance) if variance > mean else 0.0
    _remember(s, g, n, h["bin"], bin_ - 1)
    h["bins"] = min(h["bins"] + empty, 1 << 30)
    if empty > 0:
        keep = math.pow(g.bin_keep, float(empty))
        h["first"] *= keep
        h["second"] *= keep
        h["weight"] = h["weight"] * keep + (1.0 - keep) / (1.0 - g.bin_keep)
    h["bin"], h["in_bin"] = bin_, 0


# ---- one event, and what is read ----

@njit(cache=True, nogil=True)
def push(s, g, n, now, side, notional):
    """One liquidation of instrument n."""
    k, row = 0 if side > 0 else 1, s.group[n]
    h = s.learnt[n]
    if s.ts[row, k] == NONE:
        s.ts[row, 0] = s.ts[row, 1] = now
    own, all_ = _aged(s, g, n, k, now), _aged(s, g, row, k, now)
    bin_ = now // g.bin_ns
    if h["bin"] == NONE:
        h["bin"] = bin_
    elif bin_ != h["bin"]:
        _close(s, g, n, bin_)
    caused = h["fit"] * _excited(g, own, all_, _share(g, own, all_, s.members[row]))
    rate = _rate(g, own, all_) * _branching(g) * (1.0 - h["fit"])
    h["fit"] += max(g.fit_step, 1.0 / (h["events"] + 20.0)) * (caused / (caused + rate) - h["fit"])
    h["fit"] = min(max(h["fit"], 0.001), 0.999)
    raw = math.sqrt(notional) if g.size_power == 0.5 else math.pow(notional, g.size_power)
    mark = min(raw / h["mark_mean"], g.mark_max) if h["events"] > 0 else 1.0
    h["events"] += 1
    step = max(1e-3, 1.0 / h["events"])
    h["mark_mean"] += step * (raw - h["mark_mean"])
    h["size_mean"] += step * (notional - h["size_mean"])
    h["in_bin"] += 1
    _set(s, n, k, now, own, mark)
    _set(s, row, k, now, all_, mark)


@njit(cache=True, nogil=True)
def gap(s, n):
    """Data of n is missing: the running bin does not count."""
    s.learnt[n]["bin"], s.learnt[n]["in_bin"] = NONE, 0


@njit(cache=True, nogil=True)
def intensity(s, g, n, k, now):
    """Events / s of side k."""
    row = s.group[n]
    if s.ts[row, k] == NONE:
        return (1.0 - _branching(g)) * g.prior_rate
    own, all_ = _aged(s, g, n, k, now), _aged(s, g, row, k, now)
    return (1.0 - _branching(g)) * _rate(g, own, all_) + _excited(g, own, all_, _share(g, own, all_, s.members[row]))


@njit(cache=True, nogil=True)
def rate(s, g, n, k, now):
    """Events / s of side k over the last hours."""
    row = s.group[n]
    if s.ts[row, k] == NONE:
        return g.prior_rate
    return _rate(g, _aged(s, g, n, k, now), _aged(s, g, row, k, now))


@njit(cache=True, nogil=True)
def project(s, g, plan, n, k, now):
    """The linear reading `plan` of side k."""
    row, base = s.group[n], 1.0 - _branching(g)
    if s.ts[row, k] == NONE:
        return base * g.prior_rate * (plan[0] + plan[3])
    own, all_ = _aged(s, g, n, k, now), _aged(s, g, row, k, now)
    seen = all_[3] + g.prior_events / g.prior_rate
    return (base * _rate(g, own, all_) * plan[0] + own[0] * plan[1] + own[1] * plan[2]
            + _share(g, own, all_, s.members[row]) * (base * (all_[2] + g.prior_events * s.members[row]) / seen * plan[3]
                                                     + all_[0] * plan[4] + all_[1] * plan[5]))


@njit(cache=True, nogil=True)
def percentile(s, g, n, which):
    """Where the branching ratio stands in its own history; nan while not known."""
    h = s.learnt[n]
    value = h["fit"] if which == FIT else h["counts"]
    if h["events"] == 0 or math.isnan(value) or h["bins"] < g.bins_min:
        return math.nan
    at, total = _bucket(value), s.total[n, which].sum()
    return (s.total[n, which, :at].sum() + 0.5 * s.total[n, which, at]) / total if total > 0 else math.nan


# ---- horizons ----

@njit(cache=True, nogil=True)
def _slope(g, z, y, out):
    own, all_ = y[0] + y[1], y[3] + y[4]
    gain = 1.0 + own if z < 0.0 else z * math.exp(own) - 1.0
    out[0] = g.fast_decay * (g.fast * gain - y[0])
    out[1] = g.slow_decay * (g.slow * gain - y[1])
    out[2] = gain
    out[3] = g.fast_decay * (g.fast * all_ - y[3])
    out[4] = g.slow_decay * ((g.slow + g.cross) * all_ - y[4] + g.cross * gain)
    out[5] = all_


@njit(cache=True, nogil=True)
def plan_of(g, horizon_s, z):
    """What a horizon asks of the state: z = -1 the mean of events, else the logarithm of E[z**N] (Runge-Kutta 4)."""
    y, k = np.zeros(6), np.zeros((4, 6))
    t, fastest = 0.0, max(g.fast_decay, g.slow_decay)
    while t < horizon_s:
        step = min((0.02 if t * fastest < 30.0 else 0.25) / fastest, horizon_s - t)
        if step <= 1e-12 * horizon_s:
            break
        _slope(g, z, y, k[0])
        _slope(g, z, y + 0.5 * step * k[0], k[1])
        _slope(g, z, y + 0.5 * step * k[1], k[2])
        _slope(g, z, y + step * k[2], k[3])
        for i in range(6):
            y[i] += step / 6.0 * (k[0, i] + 2.0 * k[1, i] + 2.0 * k[2, i] + k[3, i])
        t += step
    return np.array([y[2], y[0], y[1], y[5], y[3], y[4]])


# ---- whole arrays ----

@njit(cache=True, nogil=True)
def excitations(s, g, ts, who, side, notional):
    """Push all; of each event, just after it: intensity and rate of its side, branching ratio by fit and by counts."""
    out = np.empty((ts.size, 4))
    for i in range(ts.size):
        n, k = who[i], 0 if side[i] > 0 else 1
        push(s, g, n, ts[i], side[i], notional[i])
        out[i, 0], out[i, 1] = intensity(s, g, n, k, ts[i]), rate(s, g, n, k, ts[i])
        out[i, 2], out[i, 3] = s.learnt[n]["fit"], s.learnt[n]["counts"]
    return out


@njit(cache=True, nogil=True)
def readings(s, g, ts, who, side, notional, at, before, what, quiet):
    """(instruments, times): a reading of every instrument at increasing times. side 0: a gap. before: what comes at a time is not yet known then.

    what: 0, 1 = events / min of a side, 2 = percentile of the fit, 3 = probability of a large event (quiet: its plan).
    """
    out = np.empty((s.learnt.size, at.size))
    i = 0
    for q in range(at.size):
        while i < ts.size and (ts[i] < at[q] if before else ts[i] <= at[q]):
            if side[i] == 0:
                gap(s, who[i])
            else:
                push(s, g, who[i], ts[i], side[i], notional[i])
            i += 1
        for n in range(s.learnt.size):
            if what < 2:
                out[n, q] = 60.0 * intensity(s, g, n, what, at[q])
            elif what == 2:
                out[n, q] = percentile(s, g, n, FIT)
            else:
                out[n, q] = -math.expm1(project(s, g, quiet, n, 0, at[q]) + project(s, g, quiet, n, 1, at[q]))
    return out
