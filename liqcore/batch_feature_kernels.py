"""The searches under batch_feature, in Numba: exact sums by prefix, courses of values, candles, cascades, and what a history says."""

import math

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from liqcore.batch import (
    _quantile_delete,
    _quantile_new,
    _quantile_push,
    _quantile_value,
)

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
NOTIONAL_MAX = 2.0 ** 40             # as in window.h


@njit(cache=True, nogil=True, inline="always")
def _fixed(x):
    """x in units of 2**-64 as (high, low) 64-bit words: window.window_integer. 0 <= x <= 2**40."""
    high = math.floor(x)
    rest = (x - high) * 18446744073709551616.0          # exact: a power of two
    return uint64(high), uint64(rest)


@njit(cache=True, nogil=True, inline="always")
def _double(high, low):
    """(high, low) * 2**-64 in one rounding, to nearest even: window.window_double."""
    if high == 0:
        if low >> uint64(63):
            low, high = (low >> uint64(1)) | (low & uint64(1)), uint64(1)
        return float(np.int64(low)) * (2.0 ** -63 if high else 2.0 ** -64)
    zeros = uint64(0)
    while (high << zeros) >> uint64(63) == 0:
        zeros += uint64(1)
    top = (high << zeros) | (low >> (uint64(64) - zeros)) if zeros else high
    rest = (low << zeros) != 0
    lead = (top >> uint64(1)) | (top & uint64(1)) | uint64(rest)
    return float(np.int64(lead)) * 2.0 ** (1 - np.int64(zeros))


@njit(cache=True, nogil=True)
def _prefixes(x):
    """Running sums and counts per side: high[side, n], low[side, n], count[side, n] of the first n entries; side 0 = positive."""
    high = np.zeros((2, x.size + 1), np.uint64)
    low = np.zeros((2, x.size + 1), np.uint64)
    count = np.zeros((2, x.size + 1), np.int64)
    for i in range(x.size):
        for s in range(2):
            high[s, i + 1], low[s, i + 1], count[s, i + 1] = high[s, i], low[s, i], count[s, i]
        s = 0 if x[i] > 0 else 1
        h, lo = _fixed(min(abs(x[i]), NOTIONAL_MAX))
        low[s, i + 1] += lo
        high[s, i + 1] += h + uint64(low[s, i + 1] < lo)
        count[s, i + 1] += 1
    return high, low, count


@njit(cache=True, nogil=True, inline="always")
def _between(high, low, s, a, b):
    """The exact sum of the entries a to b - 1 of a side."""
    lo = low[s, b] - low[s, a]
    return high[s, b] - high[s, a] - uint64(low[s, b] < low[s, a]), lo


@njit(cache=True, nogil=True)
def _sums(high, low, a, b):
    """Rows (both, long, short, long - short)."""
    out = np.empty((a.size, 4))
    for i in range(a.size):
        h0, l0 = _between(high, low, 0, a[i], b[i])
        h1, l1 = _between(high, low, 1, a[i], b[i])
        both = l0 + l1
        out[i, 0] = _double(h0 + h1 + uint64(both < l0), both)
        out[i, 1] = _double(h0, l0)
        out[i, 2] = _double(h1, l1)
        if h0 > h1 or (h0 == h1 and l0 >= l1):
            out[i, 3] = _double(h0 - h1 - uint64(l0 < l1), l0 - l1)
        else:
            out[i, 3] = -_double(h1 - h0 - uint64(l1 < l0), l1 - l0)
    return out


@njit(cache=True, nogil=True)
def _maxima(x, a, b):
    """Of abs(x) in [a, b): both bounds do not go back."""
    out = np.zeros(a.size)
    queue = np.empty(x.size + 1, np.int64)
    first = last = at = 0
    for i in range(a.size):
        while at < b[i]:
            while last > first and abs(x[queue[last - 1]]) <= abs(x[at]):
                last -= 1
            queue[last] = at
            last += 1
            at += 1
        while first < last and queue[first] < a[i]:
            first += 1
        out[i] = min(abs(x[queue[first]]), NOTIONAL_MAX) if first < last else 0.0
    return out


class Sums:
    """Entries (ts, signed x) whose sums over any stretch are exact."""

    def __init__(self, ts: Times, x: Floats) -> None:
        self.ts, self.x = ts, np.ascontiguousarray(x, np.float64)
        self.high, self.low, self.count = _prefixes(self.x)

    def read(self, name: str, start: Times, at: Times, before: bool, window_ns: int) -> Floats:
        """A feature of the entries from `start` to `at`."""
        a, b = np.searchsorted(self.ts, start), np.searchsorted(self.ts, at, "left" if before else "right")
        if name in ("liq_count", "trade_count", "liq_rate"):
            count = (self.count[:, b] - self.count[:, a]).sum(0)
            return count * 6e10 / window_ns if name == "liq_rate" else count.astype(np.float64)
        if name == "liq_max":
            return _maxima(self.x, a, b)
        both, long, short, net = _sums(self.high, self.low, a, b).T
        if name in ("liq_volume", "volume"):
            return both
        if name in ("liq_long_volume", "buy_volume"):
            return long
        if name in ("liq_short_volume", "sell_volume"):
            return short
        if name == "ofi":
            return net
        if name == "liq_long_share":
            return np.where(both > 0, long / both, 0.5)
        return np.where(both > 0, (short - long if name == "liq_imbalance" else long - short) / both, 0.0)


class Course:
    """A value after each of the times, nan where it is not known."""

    def __init__(self, ts: Times, values: Floats) -> None:
        self.ts, self.values = ts, np.ascontiguousarray(values, np.float64)
        gap = np.isnan(self.values)
        self.gaps = np.maximum.accumulate(np.where(gap, np.arange(ts.size), -1)) if ts.size else np.zeros(0, np.int64)

    def at(self, at: Times, before: bool) -> Floats:
        k = np.searchsorted(self.ts, at, "left" if before else "right")
        return np.where(k > 0, self.values[np.maximum(k - 1, 0)], np.nan) if self.ts.size else np.full(at.size, np.nan)

    def spread(self, start: Times, at: Times, before: bool) -> Floats:
        """Highest minus lowest of what stood from start on, the value then included."""
        return _spreads(self.values, np.maximum(np.searchsorted(self.ts, start) - 1, 0), np.searchsorted(self.ts, at, "left" if before else "right"))


@njit(cache=True, nogil=True)
def _spreads(values, a, b):
    out = np.empty(a.size)
    for i in range(a.size):
        high = low = np.nan
        for k in range(a[i], b[i]):
            if not high >= values[k]:
                high = values[k]
            if not low <= values[k]:
                low = values[k]
        out[i] = high - low
    return out


@njit(cache=True, nogil=True)
def _ends(ts, values, first, count, step, sums):
    """Over the slot ends of each window: sums = 1: the mean; 0: root of the summed squared log returns from what stood before."""
    out = np.empty(first.size)
    for i in range(first.size):
        k = np.searchsorted(ts, first[i] * step)
        last = values[k - 1] if k > 0 else np.nan
        total = 0.0
        for slot in range(first[i], first[i] + count):
            while k < ts.size and ts[k] < (slot + 1) * step:
                k += 1
            x = values[k - 1] if k > 0 else np.nan
            if sums:
                total += x
            elif x != last:
                r = math.log(x / last)
                total += r * r
            last = x
        out[i] = total / count if sums else math.sqrt(total)
    return out


def mean_ends(course: Course, first: Times, count: int, step: int) -> Floats:
    """Mean of what stood at the ends of the complete slots of each window."""
    return _ends(course.ts, course.values, first, count, step, 1)


def realised(course: Course, first: Times, count: int, step: int) -> Floats:
    """Root of the summed squared log returns between the slot ends of each window."""
    return _ends(course.ts, course.values, first, count, step, 0)


@njit(cache=True, nogil=True)
def _correlations(ts_a, high_a, low_a, ts_b, high_b, low_b, first, count, step):
    out = np.empty(first.size)
    a, b = np.empty(count), np.empty(count)
    for i in range(first.size):
        mean_a = mean_b = aa = bb = ab = 0.0
        for k in range(count):
            for x, ts, high, low in ((a, ts_a, high_a, low_a), (b, ts_b, high_b, low_b)):
                p, q = np.searchsorted(ts, (first[i] + k) * step), np.searchsorted(ts, (first[i] + k + 1) * step)
                h0, l0 = _between(high, low, 0, p, q)
                h1, l1 = _between(high, low, 1, p, q)
                both = l0 + l1
                x[k] = _double(h0 + h1 + uint64(both < l0), both)
            mean_a += a[k]
            mean_b += b[k]
        mean_a /= count
        mean_b /= count
        for k in range(count):
            x, y = a[k] - mean_a, b[k] - mean_b
            aa += x * x
            bb += y * y
            ab += x * y
        out[i] = ab / math.sqrt(aa * bb) if aa > 0.0 and bb > 0.0 else np.nan
    return out


def correlations(a: Sums, b: Sums, first: Times, count: int, step: int) -> Floats:
    """Pearson's, of the slot sums of two streams over each window's complete slots."""
    return _correlations(a.ts, a.high, a.low, b.ts, b.high, b.low, first, count, step)


@njit(cache=True, nogil=True)
def _bar(ts, values, gaps, width, bar):
    """open, high, low, close; of a bar without a value: what stood before it. Values before a gap inside it do not count."""
    p, q = np.searchsorted(ts, bar * width), np.searchsorted(ts, (bar + 1) * width)
    if q == 0:
        return np.nan, np.nan, np.nan, np.nan
    high = low = np.nan
    begin = max(p, gaps[q - 1] + 1)
    opened = values[begin] if begin < q else values[q - 1]
    close = values[q - 1]
    for k in range(begin, q):
        if not high >= values[k]:
            high = values[k]
        if not low <= values[k]:
            low = values[k]
    if begin >= q:
        high = low = close
    return opened, high, low, close


@njit(cache=True, nogil=True)
def _bars(ts, values, gaps, width, bar, back):
    out = np.full((bar.size, 5), np.nan)
    for i in range(bar.size):
        if bar[i] < back:
            continue
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = _bar(ts, values, gaps, width, bar[i] - 1)
        if back == 1:
            continue
        total = 0.0
        for k in range(bar[i] - 14, bar[i]):
            _, high, low, _ = _bar(ts, values, gaps, width, k)
            close = _bar(ts, values, gaps, width, k - 1)[3]
            total += np.nan if np.isnan(close) else max(high - low, abs(high - close), abs(low - close))
        out[i, 4] = total / 14
    return out


def bars(course: Course, width: int, bar: Times, back: int) -> Floats:
    """Rows (open, high, low, close, average true range) of the bar before each; the last only where back is 15."""
    return _bars(course.ts, course.values, course.gaps, width, bar, back)


@njit(cache=True, nogil=True)
def _bursts(ts, x, gap_ns, at, before):
    seen, flag, size = np.zeros(at.size, np.int64), np.zeros(at.size), np.zeros(at.size)
    state = _quantile_new(0.95, 1000)
    if state == 0:
        raise MemoryError("no memory for a rolling quantile")
    k = count = last = 0
    total = 0.0
    for i in range(at.size):
        while k < ts.size and (ts[k] < at[i] or (ts[k] == at[i] and not before)):
            notional = abs(x[k])
            if notional == 0.0:                      # a gap
                count, total = 0, 0.0
                k += 1
                continue
            large = seen[i] >= 100 and notional >= _quantile_value(state)
            _quantile_push(state, notional)
            seen[i] += 1
            if large:
                if count > 0 and ts[k] - last > gap_ns:
                    count, total = 0, 0.0
                count += 1
                total += notional
                last = ts[k]
            k += 1
        if count >= 2 and at[i] - last <= gap_ns:
            flag[i], size[i] = 1.0, total
        if i + 1 < at.size:
            seen[i + 1] = seen[i]
    _quantile_delete(state)
    return seen, flag, size


def burst_states(chain: tuple[Times, Floats], gap_ns: int, at: Times, before: bool) -> tuple[NDArray[np.int64], Floats, Floats]:
    """(liquidations so far, 1 while a cascade runs, its notional) at increasing times. chain: (times, notionals), 0 marks a gap."""
    return _bursts(*chain, gap_ns, at, before)


@njit(cache=True, nogil=True)
def quote_ends(kind, bid, ask, ts, tick, age_ns):
    """After each row the spread in basis points, and until when the quote holds: market.pxd. kind: event.Kind; FEED: quotes are interrupted."""
    spreads, count = np.zeros(16, np.int64), 0
    out, until = np.full(ts.size, np.nan), np.zeros(ts.size, np.int64)
    holds, low, high, now = 0, 0.0, 0.0, np.nan
    for i in range(ts.size):
        if kind[i] == 3:
            low, high, holds = bid[i], ask[i], ts[i] + age_ns
            spreads[count & 15] = np.int64(np.rint((high - low) / tick))
            count += 1
            now = (high - low) / ((high + low) * 0.5) * 1e4
        elif kind[i] != 2:
            holds = 0
        elif holds and (bid[i] > high or bid[i] < low):
            beyond = bid[i] - high if bid[i] > high else low - bid[i]
            if np.int64(np.rint(beyond / tick)) * min(count, 16) > spreads[:min(count, 16)].sum():
                holds = 0
        out[i], until[i] = now, holds
    return out, until


@njit(cache=True, nogil=True)
def _judge(code, a, b, history, now, least, apart, moments, reach_ns):
    """What the samples a[i] to b[i] - 1 say; nan where fewer than `least` of them are known. apart: where fewer independent ones are."""
    out = np.full(a.size, np.nan)
    for i in range(a.size):
        count, below, total, square = 0, 0, 0.0, 0.0
        small = most = np.nan
        free, latest = 0, 0
        for k in range(a[i], b[i]):
            x = history[k]
            if math.isnan(x):
                continue
            if free == 0 or (moments[k] - moments[latest] >= reach_ns if reach_ns else x != history[latest]):
                free, latest = free + 1, k
            count += 1
            total += x
            below += 2 if x < now[i] else 1 if x == now[i] else 0
            if not small <= x:
                small = x
            if not most >= x:
                most = x
        if (free if apart else count) < least:
            continue
        mean = total / count
        for k in range(a[i], b[i]):
            x = history[k]
            if not math.isnan(x):
                square += (x - mean) * (x - mean)
        std = math.sqrt(square / count)
        if code == 0:
            out[i] = np.nan if math.isnan(now[i]) else (now[i] - mean) / std if std > 0.0 else 0.0
        elif code == 1:
            out[i] = mean
        elif code == 2:
            out[i] = std
        elif code == 3:
            out[i] = most
        elif code == 4:
            out[i] = small
        elif code == 5:
            out[i] = below / (2.0 * count) if not math.isnan(now[i]) else np.nan
        else:
            out[i] = count if code == 6 else free
    return out


def judge(transform: str, a: NDArray[np.int64], b: NDArray[np.int64], history: Floats, now: Floats, least: int, apart: bool, moments: Times,
          reach_ns: int) -> Floats:
    """A transform of `now` by the samples [a, b) of its history, which were taken at `moments`."""
    return _judge(("zscore", "mean", "std", "max", "min", "rank", "n", "n_eff").index(transform), a, b, history, now, least, apart, moments, reach_ns)
