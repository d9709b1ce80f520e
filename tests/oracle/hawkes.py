"""The Hawkes kernel in plain Python: every sum over all events since the start, every bin and every sample of the history kept."""

import math

SLICES, BUCKETS, FIT_PRIOR = 30, 128, 20.0


class Hawkes:
    """One group of `instruments`; the settings are those of liqcore.kernels.hawkes.HawkesConfig.as_dict()."""

    def __init__(self, instruments, **config):
        self.__dict__.update(config)
        self.instruments = instruments
        self.n = self.fast + self.slow + self.cross
        self.events = []  # (ts, instrument, side, mark)
        self.own = [_Own(self.n) for _ in range(instruments)]
        self.fast_decay, self.slow_decay, self.base_decay = (math.log(2.0) / s for s in (self.fast_s, self.slow_s, self.base_s))

    def total(self, now, side, instrument, decay, marked):
        return math.fsum(
            (mark if marked else 1.0) * math.exp(-decay * (now - ts) * 1e-9)
            for ts, i, s, mark in self.events
            if s == side and instrument in (None, i)
        )

    def counted(self, now, side, instrument):
        """Own and all events of the baseline, and its seconds."""
        own, everything = (self.total(now, side, i, self.base_decay, False) for i in (instrument, None))
        age = (now - self.events[0][0]) * 1e-9 if self.events else 0.0
        return own, everything, -math.expm1(-self.base_decay * age) / self.base_decay

    def rate(self, now, side, instrument=0):
        own, _, seconds = self.counted(now, side, instrument)
        return (own + self.prior_events) / (seconds + self.prior_events / (self.prior_per_min / 60.0))

    def excited(self, now, side, instrument):
        own, everything, _ = self.counted(now, side, instrument)
        share = (own + self.prior_events) / (everything + self.prior_events * self.instruments)
        return (
            self.fast * self.fast_decay * self.total(now, side, instrument, self.fast_decay, True)
            + self.slow * self.slow_decay * self.total(now, side, instrument, self.slow_decay, True)
            + self.cross * share * self.slow_decay * self.total(now, side, None, self.slow_decay, True)
        )

    def intensity(self, now, side, instrument=0):
        return (1.0 - self.n) * self.rate(now, side, instrument) + self.excited(now, side, instrument)

    def push(self, ts, side, notional, instrument=0):
        own = self.own[instrument]
        bin_ns = round(self.bin_s * 1e9)
        own.close(ts // bin_ns, self)
        first = not self.events
        caused = own.fit * (0.0 if first else self.excited(ts, side, instrument)) / self.n
        immigrant = (self.prior_per_min / 60.0 if first else self.rate(ts, side, instrument)) * (1.0 - own.fit)
        own.fit += max(1.0 / self.fit_events, 1.0 / (own.events + FIT_PRIOR)) * (caused / (caused + immigrant) - own.fit)
        own.fit = min(max(own.fit, 0.001), 0.999)
        raw = notional**self.size_power
        mark = min(raw / own.mark_mean, self.mark_max) if own.events else 1.0
        own.events += 1
        step = max(1e-3, 1.0 / own.events)
        own.mark_mean += step * (raw - own.mark_mean)
        own.size_mean += step * (notional - own.size_mean)
        own.in_bin += 1
        self.events.append((ts, instrument, side, mark))

    def branching(self, estimate, instrument=0):
        own = self.own[instrument]
        return math.nan if not own.events else own.fit if estimate == "fit" else own.counts

    def percentile(self, estimate, instrument=0):
        own, value = self.own[instrument], self.branching(estimate, instrument)
        if math.isnan(value) or own.bin is None or own.bin - own.first_bin < math.ceil(self.history_min_s / self.bin_s):
            return math.nan
        per_slice = max(round(self.history_s * 1e9) // SLICES // round(self.bin_s * 1e9), 1)
        newest = (own.bin - 1) // per_slice
        inside = [_bucket(s[estimate]) for b, s in own.samples if b // per_slice > newest - SLICES and not math.isnan(s[estimate])]
        at = _bucket(value)
        return (sum(b < at for b in inside) + 0.5 * sum(b == at for b in inside)) / len(inside) if inside else math.nan


def _bucket(n):
    return min(max(int(n * BUCKETS), 0), BUCKETS - 1)


class _Own:
    def __init__(self, n):
        self.fit, self.counts, self.events, self.mark_mean, self.size_mean = n, math.nan, 0, 0.0, 0.0
        self.bin = self.first_bin = None
        self.in_bin, self.done, self.samples = 0, [], []

    def close(self, bin_, config):
        """Bins before `bin_` are complete; the estimates change where a bin with events ends, and hold through empty ones."""
        if self.bin is None:
            self.bin = self.first_bin = bin_
        if bin_ == self.bin:
            return
        self.done += [self.in_bin] + [0] * (bin_ - self.bin - 1)
        complete = self.bin - self.first_bin + 1  # with the one that just ended; empty ones after it count from the next on
        seen = self.done[:complete]
        keep = 2.0 ** (-config.bin_s / config.branching_s)
        weights = [keep ** (complete - 1 - k) for k in range(complete)]
        total = math.fsum(weights)
        mean = math.fsum(w * c for w, c in zip(weights, seen, strict=True)) / total
        second = math.fsum(w * c * c for w, c in zip(weights, seen, strict=True)) / total
        if complete >= 30:
            variance = second - mean * mean
            self.counts = 1.0 - math.sqrt(mean / variance) if variance > mean else 0.0
        self.samples += [(b, {"fit": self.fit, "counts": self.counts}) for b in range(self.bin, bin_)]
        self.bin, self.in_bin = bin_, 0


def mean_horizon(fast, slow, cross, fast_decay, slow_decay, horizon_s, base, own, share, group_base, group):
    """Expected events within the horizon: the linear system of both intensities, in small explicit steps with Richardson extrapolation.

    own, group: (fast, slow) sums of marks at the start.
    """

    def walk(steps):
        h, (f, s), (gf, gs), total = horizon_s / steps, own, group, 0.0
        for _ in range(steps):
            mine = base + fast * fast_decay * f + slow * slow_decay * s + cross * share * slow_decay * gs
            all_ = group_base + fast * fast_decay * gf + (slow + cross) * slow_decay * gs
            total += mine * h
            f, s = f + h * (mine - fast_decay * f), s + h * (mine - slow_decay * s)
            gf, gs = gf + h * (all_ - fast_decay * gf), gs + h * (all_ - slow_decay * gs)
        return total

    rough, fine, finest = walk(20_000), walk(40_000), walk(80_000)
    a, b = 2 * fine - rough, 2 * finest - fine
    return (4 * b - a) / 3


def simulate(rng, base, fast, slow, fast_decay, slow_decay, horizon_s, marks=None):
    """Times (s) of a two-kernel Hawkes process by Ogata's thinning; marks: a function of rng, mean 1, or None."""
    times, sizes, t, f, s = [], [], 0.0, 0.0, 0.0
    while True:
        bound = base + fast * fast_decay * f + slow * slow_decay * s
        step = rng.expovariate(bound)
        t += step
        if t >= horizon_s:
            return times, sizes
        f, s = f * math.exp(-fast_decay * step), s * math.exp(-slow_decay * step)
        if rng.random() * bound <= base + fast * fast_decay * f + slow * slow_decay * s:
            mark = marks(rng) if marks else 1.0
            times.append(t)
            sizes.append(mark)
            f, s = f + mark, s + mark


def expected(kernel: Hawkes, now, side, horizon_s, instrument=0):
    """Events of one side expected within the horizon: the exponential of the matrix of the linear system, by scaling and squaring."""
    import numpy as np

    own, everything, seconds = kernel.counted(now, side, instrument)
    prior = kernel.prior_events
    rate = 1.0 / (seconds + prior / (kernel.prior_per_min / 60.0)) * (1 - kernel.n)
    share = (own + prior) / (everything + prior * kernel.instruments)
    a, b = kernel.fast * kernel.fast_decay, kernel.slow * kernel.slow_decay
    c, (d, e) = kernel.cross * kernel.slow_decay, (kernel.fast_decay, kernel.slow_decay)
    mine = np.array([a, b, 0.0, c * share, rate * (own + prior), 0.0])  # intensity as a row: own f, s, group f, s, 1, events
    group = np.array([0.0, 0.0, a, b + c, rate * (everything + prior * kernel.instruments), 0.0])
    m = np.array([mine, mine, group, group, np.zeros(6), mine]) - np.diag([d, e, d, e, 0.0, 0.0])
    squarings = max(0, int(np.ceil(np.log2(np.abs(m).max() * horizon_s))) + 4)
    step, power, term = m * horizon_s / 2**squarings, np.eye(6), np.eye(6)
    for k in range(1, 16):
        term = term @ step / k
        power = power + term
    for _ in range(squarings):
        power = power @ power
    start = [kernel.total(now, side, i, decay, True) for i in (instrument, None) for decay in (d, e)]
    return float((power @ np.array([*start, 1.0, 0.0]))[5])
