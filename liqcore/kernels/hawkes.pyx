"""The Hawkes kernel in Python, its horizons and its snapshots: see hawkes.pxd for the formula."""

import math

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport NAN, exp, expm1, fmax, fmin, pow, sqrt
from libc.stdint cimport INT64_MIN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.snapshot cimport pack, unpack

cdef double NOTIONAL_MAX = 1099511627776.0      # 2**40, as in all kernels
cdef double MARK_MEMORY = 1e-3                  # the mean mark and size have a memory of about 1000 events
cdef int COUNT_BINS_MIN = 30
cdef double FIT_PRIOR = 20.0                    # weight of the configured branching ratio, in events
cdef double FIT_MIN = 0.001                     # the estimate cannot leave 0 or 1
cdef double FIT_MAX = 0.999
cdef int64_t TIME_MAX = 0x4000000000000000
cdef int32_t BINS_MAX = 1 << 30
SNAPSHOT_NAME = b"liqcore-hawkes-1\n"


# ---- one excitation ----

cdef inline void decay_to(excitation_t* x, const hawkes_config_t* g, int64_t now) noexcept nogil:
    """Let an excitation decay until now."""
    cdef double dt, keep
    if now <= x.ts:
        return
    dt = (now - x.ts) * 1e-9
    keep = exp(-g.base_decay * dt)
    x.fast *= exp(-g.fast_decay * dt)
    x.slow *= exp(-g.slow_decay * dt)
    x.count *= keep
    x.elapsed = x.elapsed * keep + (1.0 - keep) / g.base_decay
    x.ts = now


cdef inline double branching_of(const hawkes_config_t* g) noexcept nogil:
    return g.fast + g.slow + g.cross


cdef inline double excitation_rate(const hawkes_config_t* g, const excitation_t* own, const excitation_t* all, double share) noexcept nogil:
    """The part of the intensity caused by past events; both excitations as of the same time."""
    return (g.fast * g.fast_decay * own.fast + g.slow * g.slow_decay * own.slow) + g.cross * g.slow_decay * share * all.slow


cdef inline double share_of(const hawkes_config_t* g, const excitation_t* own, const hawkes_group_t* group, const excitation_t* all) noexcept nogil:
    """Share of the group's events that are of this instrument; both as of the same time."""
    return (own.count + g.prior_events) / (all.count + g.prior_events * group.instruments)


cdef inline double rate_of(const hawkes_config_t* g, const excitation_t* own, const excitation_t* all) noexcept nogil:
    """Events a second. The prior counts as prior_events earlier events."""
    return (own.count + g.prior_events) / (all.elapsed + g.prior_events / g.prior_rate)


# ---- branching ratio ----

cdef void _slices(hawkes_t* h, int64_t slice) noexcept nogil:
    """Make `slice` the newest: slices older than the history leave the totals."""
    cdef int64_t s
    cdef int which, b, row
    if h.slice == INT64_MIN or slice - h.slice >= HISTORY_SLICES:
        memset(h.total, 0, sizeof(h.total))
        memset(h.history, 0, sizeof(h.history))
    else:
        for s in range(h.slice + 1, slice + 1):
            row = <int> (s % HISTORY_SLICES)
            for which in range(2):
                for b in range(HISTORY_BUCKETS):
                    h.total[which][b] -= h.history[which][row][b]
                    h.history[which][row][b] = 0
    h.slice = slice


cdef inline int bucket_of(double n) noexcept nogil:
    cdef int b = <int> (n * HISTORY_BUCKETS)
    return 0 if b < 0 else (b if b < HISTORY_BUCKETS else HISTORY_BUCKETS - 1)


cdef void _remember(hawkes_t* h, const hawkes_config_t* g, int64_t first, int64_t last) noexcept nogil:
    """Add the present estimates to the history for the bins first..last."""
    cdef int64_t per_slice = g.slice_ns // g.bin_ns, slice, until
    cdef int n, which, b
    cdef double value
    if last - first >= per_slice * HISTORY_SLICES:
        first = last - per_slice * HISTORY_SLICES + 1
    while first <= last:
        slice = first // per_slice
        until = min(last, (slice + 1) * per_slice - 1)
        if slice > h.slice:
            _slices(h, slice)
        n = <int> (until - first + 1)
        for which in range(2):
            value = h.fit if which == BRANCHING_FIT else h.counts
            if value == value:
                b = bucket_of(value)
                h.history[which][slice % HISTORY_SLICES][b] += <uint16_t> n
                h.total[which][b] += <uint32_t> n
        first = until + 1


cdef void _close(hawkes_t* h, const hawkes_config_t* g, int64_t bin) noexcept nogil:
    """Complete the running bin and the empty ones up to `bin`. The estimates change only here, so empty bins repeat them."""
    cdef double keep, mean, variance
    cdef int64_t empty = bin - h.bin - 1
    h.first = h.first * g.bin_keep + h.in_bin
    h.second = h.second * g.bin_keep + (<double> h.in_bin) * h.in_bin
    h.weight = h.weight * g.bin_keep + 1.0
    h.bins += 1
    if h.bins >= COUNT_BINS_MIN and h.first > 0.0:
        mean = h.first / h.weight
        variance = h.second / h.weight - mean * mean
        h.counts = 1.0 - sqrt(mean / variance) if variance > mean else 0.0
    _remember(h, g, h.bin, bin - 1)
    h.bins = <int32_t> min(h.bins + empty, <int64_t> BINS_MAX)
    if empty > 0:
        keep = pow(g.bin_keep, <double> empty)
        h.first *= keep
        h.second *= keep
        h.weight = h.weight * keep + (1.0 - keep) / (1.0 - g.bin_keep)
    h.bin = bin
    h.in_bin = 0


# ---- horizons ----

cdef void _slope(const hawkes_config_t* g, double z, const double* y, double* out) noexcept nogil:
    """Derivatives of (fast, slow, base, group fast, group slow, group base) by the remaining time: of the mean if z < 0 (z = 1 and no logarithm),
    else of log E[z**N]."""
    cdef double own = y[0] + y[1], all = y[3] + y[4]
    cdef double gain = 1.0 + own if z < 0.0 else z * exp(own) - 1.0
    out[0] = g.fast_decay * (g.fast * gain - y[0])
    out[1] = g.slow_decay * (g.slow * gain - y[1])
    out[2] = gain
    out[3] = g.fast_decay * (g.fast * all - y[3])
    out[4] = g.slow_decay * ((g.slow + g.cross) * all - y[4] + g.cross * gain)
    out[5] = all


cdef void _integrate(const hawkes_config_t* g, double horizon_s, double z, double* out) noexcept nogil:
    """Runge-Kutta 4: small steps while the fast kernel decays, then the largest stable ones."""
    cdef double y[6]
    cdef double k[4][6]
    cdef double at[6]
    cdef double t = 0.0, step, fastest = fmax(g.fast_decay, g.slow_decay)
    cdef int i
    memset(y, 0, sizeof(y))
    while t < horizon_s:
        step = fmin((0.02 if t * fastest < 30.0 else 0.25) / fastest, horizon_s - t)
        if step <= 1e-12 * horizon_s:
            break
        _slope(g, z, y, k[0])
        for i in range(6):
            at[i] = y[i] + 0.5 * step * k[0][i]
        _slope(g, z, at, k[1])
        for i in range(6):
            at[i] = y[i] + 0.5 * step * k[1][i]
        _slope(g, z, at, k[2])
        for i in range(6):
            at[i] = y[i] + step * k[2][i]
        _slope(g, z, at, k[3])
        for i in range(6):
            y[i] += step / 6.0 * (k[0][i] + 2.0 * k[1][i] + 2.0 * k[2][i] + k[3][i])
        t += step
    out[0], out[1], out[2], out[3], out[4], out[5] = y[2], y[0], y[1], y[5], y[3], y[4]


cdef int hawkes_plan(hawkes_plan_t* out, const hawkes_config_t* g, double horizon_s, double large_share) except -1:
    """Prepare the readings of one horizon (s); large_share: of the events, 0 < share <= 1. It costs some thousand Runge-Kutta steps, so not per
    event.

    Mean: exact. Probability of no large event: exact for the instrument's own kernels (the generating function of a Hawkes process with exponential
    kernels solves a Riccati equation), by the mean for the group's effect; both with the marks of future events at their mean, 1.
    """
    if not 1e-3 <= horizon_s <= 86_400.0:
        raise ValueError(f"horizon_s: expected 0.001 to 86400, got {horizon_s!r}")
    if not 0.0 < large_share <= 1.0:
        raise ValueError(f"large_share: expected a share of the events above 0 and at most 1, got {large_share!r}")
    memset(out, 0, sizeof(hawkes_plan_t))
    out.horizon_s = horizon_s
    out.large_share = large_share
    _integrate(g, horizon_s, -1.0, out.mean)
    _integrate(g, horizon_s, 1.0 - large_share, out.quiet)
    return 0


cdef class HawkesConfig:
    """Settings of the Hawkes kernel; the defaults are the shape found by maximum likelihood on full public feeds (docs/detectors.md).

    fast, slow, cross: branching ratios; their sum stays below 1. fast_s, slow_s: half-lives. size_power: 0 counts events alike, 0.5 weighs them by
    the square root of their size; mark_max: the largest weight. base_s: half-life of the event rate that is the baseline; prior_per_min,
    prior_events: the assumed rate of one side before any data, and its weight in events. bin_s, branching_s: bin width and half-life of the estimate
    from counts; fit_events: memory of the fit; history_s: span of the percentiles (30 slices); history_min_s: least span for them to be known.
    """

    def __init__(self, *, double fast=0.59, double slow=0.25, double cross=0.05, double fast_s=0.06, double slow_s=3.0, double size_power=0.5,
                 double mark_max=10.0, double base_s=21_600.0, double prior_per_min=0.5, double prior_events=10.0, double bin_s=60.0,
                 double branching_s=7_200.0, double fit_events=300.0, double history_s=2_592_000.0, double history_min_s=21_600.0):
        for name, value, low, high in (("fast", fast, 0.0, 1.0), ("slow", slow, 0.0, 1.0), ("cross", cross, 0.0, 1.0), ("fast_s", fast_s, 1e-4, 1e4),
                                       ("slow_s", slow_s, 1e-3, 1e5), ("size_power", size_power, 0.0, 1.0), ("mark_max", mark_max, 1.0, 1e6),
                                       ("base_s", base_s, 60.0, 1e8), ("prior_per_min", prior_per_min, 1e-6, 1e6),
                                       ("prior_events", prior_events, 1.0, 1e6), ("bin_s", bin_s, 0.1, 1e5), ("branching_s", branching_s, 1.0, 1e8),
                                       ("fit_events", fit_events, 10.0, 1e9), ("history_s", history_s, 60.0, 1e9),
                                       ("history_min_s", history_min_s, 0.0, 1e9)):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value!r}")
        if not 0.001 < fast + slow + cross < 0.999:
            raise ValueError("fast + slow + cross: expected more than 0.001 and less than 0.999 (else the process explodes), "
                             f"got {fast + slow + cross!r}")
        if not fast_s < slow_s:
            raise ValueError(f"fast_s: expected less than slow_s ({slow_s!r}), got {fast_s!r}")
        self.c.fast, self.c.slow, self.c.cross = fast, slow, cross
        self.c.fast_decay, self.c.slow_decay, self.c.base_decay = (math.log(2.0) / s for s in (fast_s, slow_s, base_s))
        self.c.size_power = size_power
        self.c.mark_max = mark_max
        self.c.prior_rate = prior_per_min / 60.0
        self.c.prior_events = prior_events
        self.c.bin_keep = 2.0 ** (-bin_s / branching_s)
        self.c.fit_step = 1.0 / fit_events
        self.c.bin_ns = round(bin_s * 1e9)
        self.c.slice_ns = max(round(history_s * 1e9) // HISTORY_SLICES // self.c.bin_ns, 1) * self.c.bin_ns
        if self.c.slice_ns // self.c.bin_ns > 65_535:
            raise ValueError(f"history_s: expected at most {30 * 65_535 * bin_s:g} (65535 bins a slice), got {history_s!r}; or widen bin_s")
        self.c.history_bins_min = <int32_t> min(math.ceil(history_min_s / bin_s), BINS_MAX)
        self._given = {"fast": fast, "slow": slow, "cross": cross, "fast_s": fast_s, "slow_s": slow_s, "size_power": size_power, "mark_max": mark_max,
                       "base_s": base_s, "prior_per_min": prior_per_min, "prior_events": prior_events, "bin_s": bin_s, "branching_s": branching_s,
                       "fit_events": fit_events, "history_s": history_s, "history_min_s": history_min_s}

    @property
    def branching(self):
        """fast + slow + cross: all children of an average event."""
        return branching_of(&self.c)

    def as_dict(self) -> dict:
        """Everything that recreates it: HawkesConfig(**c.as_dict())."""
        return dict(self._given)

    def __eq__(self, other):
        return isinstance(other, HawkesConfig) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash(tuple(self._given.values()))

    def __repr__(self):
        return "HawkesConfig(" + ", ".join(f"{k}={v!r}" for k, v in self._given.items()) + ")"


cdef class Hawkes:
    """Excitation of `groups` (a group number per instrument; an int = that many instruments in one group), each liquidated side on its own.

    push(ts, side, notional, instrument=0) per liquidation, in order of time; readers take the time of the reading, which is not before the last
    event. Memory: 18 kB an instrument, constant. The cost of an event does not depend on the number of instruments.
    """

    def __cinit__(self, groups=1, HawkesConfig config=None):
        cdef int n
        given = [0] * groups if isinstance(groups, int) else [int(k) for k in groups]
        if not 0 < len(given) <= 100_000 or min(given) < 0 or max(given) >= len(given):
            raise ValueError(f"groups: expected 1 to 100000 instruments, each with the number of its group from 0, got {groups!r}")
        self.config = HawkesConfig() if config is None else config
        self.g = self.config.c
        self.instruments = len(given)
        self.groups = max(given) + 1
        self.h = <hawkes_t*> calloc(self.instruments, sizeof(hawkes_t))
        self.group = <hawkes_group_t*> calloc(self.groups, sizeof(hawkes_group_t))
        if self.h == NULL or self.group == NULL:
            raise MemoryError(f"no memory for the excitation of {self.instruments} instruments of {sizeof(hawkes_t)} B")
        for n in range(self.instruments):
            self.h[n].group = given[n]
            self.group[given[n]].instruments += 1
        self.reset()

    def __init__(self, groups=1, HawkesConfig config=None):
        pass

    def __dealloc__(self):
        free(self.h)
        free(self.group)

    def reset(self):
        """Forget everything."""
        cdef int n, k
        self.now = INT64_MIN
        for n in range(self.instruments):
            k = self.h[n].group
            memset(&self.h[n], 0, sizeof(hawkes_t))
            self.h[n].group = k
            self.h[n].bin = self.h[n].slice = INT64_MIN
            self.h[n].fit = branching_of(&self.g)
            self.h[n].counts = NAN
        for n in range(self.groups):
            k = self.group[n].instruments
            memset(&self.group[n], 0, sizeof(hawkes_group_t))
            self.group[n].instruments = k
            self.group[n].side[0].ts = self.group[n].side[1].ts = INT64_MIN

    # ---- C level ----

    cdef void push_c(self, int32_t n, int64_t now, int8_t side, double notional) noexcept nogil:
        """One liquidation. It changes later readings, but not its own mark."""
        cdef hawkes_config_t* g = &self.g
        cdef hawkes_t* h = &self.h[n]
        cdef hawkes_group_t* group = &self.group[h.group]
        cdef excitation_t* own = &h.side[side < 0]
        cdef excitation_t* all = &group.side[side < 0]
        cdef double raw, mark, caused, rate, step
        cdef int64_t bin
        if now > self.now:
            self.now = now
        now = max(now, group.side[0].ts, group.side[1].ts)      # time does not go back within a group; a follower's group is behind the others
        if all.ts == INT64_MIN:
            group.side[0].ts = group.side[1].ts = now       # both sides of a group begin at its first event
        decay_to(own, g, now)
        decay_to(all, g, now)
        bin = now // g.bin_ns
        if bin != h.bin:
            if h.bin != INT64_MIN:
                _close(h, g, bin)
            else:
                h.bin = bin
        caused = h.fit * excitation_rate(g, own, all, share_of(g, own, group, all))
        rate = rate_of(g, own, all) * branching_of(g) * (1.0 - h.fit)
        h.fit += fmax(g.fit_step, 1.0 / (h.events + FIT_PRIOR)) * (caused / (caused + rate) - h.fit)
        h.fit = fmin(fmax(h.fit, FIT_MIN), FIT_MAX)
        # a square root is correctly rounded on every machine, and cheaper than a power
        raw = sqrt(notional) if g.size_power == 0.5 else pow(notional, g.size_power)
        mark = fmin(raw / h.mark_mean, g.mark_max) if h.events > 0 else 1.0
        h.events += 1
        step = fmax(MARK_MEMORY, 1.0 / h.events)
        h.mark_mean += step * (raw - h.mark_mean)
        h.size_mean += step * (notional - h.size_mean)
        h.in_bin += 1
        own.fast += mark
        own.slow += mark
        own.count += 1.0
        all.fast += mark
        all.slow += mark
        all.count += 1.0

    cdef double intensity_c(self, int32_t n, int8_t side, int64_t now) noexcept nogil:
        cdef hawkes_t* h = &self.h[n]
        cdef excitation_t own = h.side[side < 0], all = self.group[h.group].side[side < 0]
        if all.ts == INT64_MIN:
            return (1.0 - branching_of(&self.g)) * self.g.prior_rate
        decay_to(&own, &self.g, now)
        decay_to(&all, &self.g, now)
        return ((1.0 - branching_of(&self.g)) * rate_of(&self.g, &own, &all)
                + excitation_rate(&self.g, &own, &all, share_of(&self.g, &own, &self.group[h.group], &all)))

    cdef double rate_c(self, int32_t n, int8_t side, int64_t now) noexcept nogil:
        cdef hawkes_t* h = &self.h[n]
        cdef excitation_t own = h.side[side < 0], all = self.group[h.group].side[side < 0]
        if all.ts == INT64_MIN:
            return self.g.prior_rate
        decay_to(&own, &self.g, now)
        decay_to(&all, &self.g, now)
        return rate_of(&self.g, &own, &all)

    cdef double _project(self, const double* k, int32_t n, int side, int64_t now) noexcept nogil:
        """The reading of one side's state with the coefficients k."""
        cdef hawkes_config_t* g = &self.g
        cdef hawkes_t* h = &self.h[n]
        cdef hawkes_group_t* group = &self.group[h.group]
        cdef excitation_t own = h.side[side < 0], all = group.side[side < 0]
        cdef double base = 1.0 - branching_of(g), seen
        if all.ts == INT64_MIN:
            return base * g.prior_rate * (k[0] + k[3])
        decay_to(&own, g, now)
        decay_to(&all, g, now)
        seen = all.elapsed + g.prior_events / g.prior_rate
        return (base * rate_of(g, &own, &all) * k[0] + own.fast * k[1] + own.slow * k[2]
                + share_of(g, &own, group, &all) * (base * (all.count + g.prior_events * group.instruments) / seen * k[3]
                                                    + all.fast * k[4] + all.slow * k[5]))

    cdef double expected_c(self, const hawkes_plan_t* p, int32_t n, int8_t side, int64_t now) noexcept nogil:
        return self._project(p.mean, n, side, now)

    cdef double next_large_c(self, const hawkes_plan_t* p, int32_t n, int8_t side, int64_t now) noexcept nogil:
        if side == 0:
            return -expm1(self._project(p.quiet, n, 1, now) + self._project(p.quiet, n, -1, now))
        return -expm1(self._project(p.quiet, n, side, now))

    cdef double branching_c(self, int32_t n, int which) noexcept nogil:
        if self.h[n].events == 0:
            return NAN
        return self.h[n].fit if which == BRANCHING_FIT else self.h[n].counts

    cdef double percentile_c(self, int32_t n, int which) noexcept nogil:
        """Share of the history below the present value; values in the same bucket count half."""
        cdef hawkes_t* h = &self.h[n]
        cdef double value = self.branching_c(n, which)
        cdef int64_t below = 0, total = 0
        cdef int b, at
        if value != value or h.bins < self.g.history_bins_min:
            return NAN
        at = bucket_of(value)
        for b in range(HISTORY_BUCKETS):
            below += h.total[which][b] if b < at else 0
            total += h.total[which][b]
        return (below + 0.5 * h.total[which][at]) / total if total > 0 else NAN

    cdef void gap_c(self, int32_t n) noexcept nogil:
        self.h[n].bin = INT64_MIN
        self.h[n].in_bin = 0

    cdef bytes save_c(self, int32_t n):
        return pack(SNAPSHOT_NAME, [repr(self.config).encode(), (<char*> &self.h[n])[:sizeof(hawkes_t)], str(self.now).encode()])

    cdef int load_c(self, int32_t n, bytes data) except -1:
        cdef list parts = unpack(SNAPSHOT_NAME, data, "Hawkes")
        cdef hawkes_t h
        if len(parts) != 3 or len(parts[1]) != <Py_ssize_t> sizeof(hawkes_t):
            raise ValueError("Hawkes snapshot: of another version of liqcore")
        if parts[0] != repr(self.config).encode():
            raise ValueError(f"Hawkes snapshot: it is of {parts[0].decode(errors='replace')}, this one is {self.config!r}")
        memcpy(&h, <const char*> <bytes> parts[1], sizeof(hawkes_t))
        if h.group != self.h[n].group:
            raise ValueError(f"Hawkes snapshot: of an instrument of group {h.group}, this one is in group {self.h[n].group}")
        self.h[n] = h
        self.now = <int64_t> int(parts[2])       # the time of all instruments, also if it lies in the past
        return 0

    cdef bytes save_groups_c(self):
        return pack(SNAPSHOT_NAME, [repr(self.config).encode(), (<char*> self.group)[:self.groups * sizeof(hawkes_group_t)]])

    cdef int load_groups_c(self, bytes data) except -1:
        cdef list parts = unpack(SNAPSHOT_NAME, data, "Hawkes")
        if len(parts) != 2 or len(parts[1]) != <Py_ssize_t> (self.groups * sizeof(hawkes_group_t)) or parts[0] != repr(self.config).encode():
            raise ValueError(f"Hawkes snapshot: it is not of {self.groups} groups with {self.config!r}")
        for n in range(self.groups):
            if (<hawkes_group_t*> PyBytes_AS_STRING(parts[1]))[n].instruments != self.group[n].instruments:
                raise ValueError(f"Hawkes snapshot: group {n} has another number of instruments")
        memcpy(self.group, PyBytes_AS_STRING(parts[1]), self.groups * sizeof(hawkes_group_t))
        return 0

    # ---- Python ----

    cdef int _checked(self, instrument, side, ts) except -1:
        if not 0 <= instrument < self.instruments:
            raise ValueError(f"instrument: expected 0 to {self.instruments - 1}, got {instrument!r}")
        if side not in (1, -1):
            raise ValueError(f"side: expected 1 (long) or -1 (short), got {side!r}")
        if not max(self.now, 0) <= ts < TIME_MAX:
            raise ValueError(f"ts: expected at least {max(self.now, 0)} ns (time does not go back, and begins in 1970), got {ts}")
        return instrument

    def push(self, int64_t ts, int side, double notional, int instrument=0):
        """One liquidation. ValueError, and no change, for a bad side, a notional outside (0, 2**40], or a ts before the latest one."""
        self._checked(instrument, side, ts)
        if not 0.0 < notional <= NOTIONAL_MAX:
            raise ValueError(f"notional: expected a number above 0 and at most {NOTIONAL_MAX:.0f}, got {notional!r}")
        self.push_c(instrument, ts, side, notional)

    def intensity(self, int64_t ts, int side, int instrument=0):
        """Events a second at ts, after all pushed events."""
        return self.intensity_c(self._checked(instrument, side, ts), side, ts)

    def rate(self, int64_t ts, int side, int instrument=0):
        """Events a second over the last hours (base_s), with the prior: the baseline of the intensity."""
        return self.rate_c(self._checked(instrument, side, ts), side, ts)

    def expected(self, int64_t ts, int side, double horizon_s=15.0, int instrument=0):
        """Events expected within the horizon: the mean of the model, given the past events."""
        cdef hawkes_plan_t p
        self._checked(instrument, side, ts)
        hawkes_plan(&p, &self.g, horizon_s, 1.0)
        return self.expected_c(&p, instrument, side, ts)

    def expected_notional(self, int64_t ts, int side, double horizon_s=15.0, int instrument=0):
        """expected() x the mean size of about the last 1000 events, quote currency."""
        return self.expected(ts, side, horizon_s, instrument) * self.h[instrument].size_mean

    def next_large(self, int64_t ts, int side=0, double horizon_s=15.0, double large_share=0.05, int instrument=0):
        """Probability that one of the largest `large_share` of events (0.05: at or above P95) comes within the horizon; side 0: on either side."""
        cdef hawkes_plan_t p
        self._checked(instrument, side or 1, ts)
        hawkes_plan(&p, &self.g, horizon_s, large_share)
        return self.next_large_c(&p, instrument, side, ts)

    def branching(self, str estimate="fit", int instrument=0):
        """The branching ratio, 'fit' or 'counts' (see hawkes.pxd); nan while not known. Do not judge by its level: see percentile."""
        return self.branching_c(self._checked(instrument, 1, max(self.now, 0)), _estimate(estimate))

    def percentile(self, str estimate="fit", int instrument=0):
        """The percentile of the branching ratio in its own history, 0..1; nan before history_min_s."""
        return self.percentile_c(self._checked(instrument, 1, max(self.now, 0)), _estimate(estimate))

    def run(self, ts, side, notional, instrument=None):
        """Push whole arrays (ts int64 ns, side, notional; instrument: all 0 if None); returns, as float64 columns after each event: intensity of
        its side, rate of its side, branching 'fit', branching 'counts'. Shape (n, 4). ValueError, and no change, as in push."""
        cdef const int64_t[::1] t = np.ascontiguousarray(ts, np.int64)
        cdef const int8_t[::1] s = np.ascontiguousarray(side, np.int8)
        cdef const double[::1] x = np.ascontiguousarray(notional, np.float64)
        cdef const int32_t[::1] i = np.ascontiguousarray(np.zeros(len(t)) if instrument is None else instrument, np.int32)
        cdef Py_ssize_t k, count = t.shape[0]
        cdef int64_t before = self.now
        if not count == s.shape[0] == x.shape[0] == i.shape[0]:
            raise ValueError(f"expected arrays of one length, got {count}, {s.shape[0]}, {x.shape[0]}, {i.shape[0]}")
        for k in range(count):
            self._checked(i[k], s[k], t[k])
            if t[k] < before or not 0.0 < x[k] <= NOTIONAL_MAX:
                raise ValueError(f"event {k}: expected times that do not go back and notionals above 0 and at most {NOTIONAL_MAX:.0f}, "
                                 f"got {t[k]} ns, {x[k]!r}")
            before = t[k]
        out = np.empty((count, 4))
        cdef double[:, ::1] y = out
        for k in range(count):
            self.push_c(i[k], t[k], s[k], x[k])
            y[k, 0] = self.intensity_c(i[k], s[k], t[k])
            y[k, 1] = self.rate_c(i[k], s[k], t[k])
            y[k, 2] = self.branching_c(i[k], BRANCHING_FIT)
            y[k, 3] = self.branching_c(i[k], BRANCHING_COUNTS)
        return out

    def snapshot(self) -> bytes:
        return pack(SNAPSHOT_NAME, [self.save_groups_c(), *(self.save_c(n) for n in range(self.instruments))])

    def restore(self, bytes data):
        """Continue from a snapshot of the same configuration; ValueError, and no change, otherwise."""
        cdef list parts = unpack(SNAPSHOT_NAME, data, "Hawkes")
        cdef bytes before = self.snapshot()
        if len(parts) != self.instruments + 1:
            raise ValueError(f"Hawkes snapshot: it is of {len(parts) - 1} instruments, expected {self.instruments}")
        try:
            self._restore(parts)
        except ValueError:
            self._restore(unpack(SNAPSHOT_NAME, before, "Hawkes"))
            raise

    def _restore(self, list parts):
        self.now = INT64_MIN
        self.load_groups_c(parts[0])
        for n, part in enumerate(parts[1:]):
            self.load_c(n, part)

    def __sizeof__(self):
        return object.__sizeof__(self) + self.instruments * sizeof(hawkes_t) + self.groups * sizeof(hawkes_group_t)


def _estimate(str name) -> int:
    if name not in ("counts", "fit"):
        raise ValueError(f"estimate: expected 'counts' or 'fit', got {name!r}")
    return name == "fit"
