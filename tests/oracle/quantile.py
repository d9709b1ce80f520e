"""Rolling quantile and sketch in plain Python: a sorted list, and a dictionary per slice."""

import math
from bisect import bisect_left, insort
from collections import Counter, deque


class RollingQuantile:
    """NumPy's 'linear' method (Hyndman & Fan type 7) over the last `window` values, in NumPy's order of arithmetic."""

    def __init__(self, quantile=0.95, window=1000):
        self.q, self.inside, self.sorted = quantile, deque(maxlen=window), []

    def push(self, x):
        if len(self.inside) == self.inside.maxlen:
            del self.sorted[bisect_left(self.sorted, self.inside[0])]
        self.inside.append(x)
        insort(self.sorted, x)
        return self.value

    @property
    def value(self):
        n = len(self.sorted)
        if n == 0:
            return math.nan
        index = (n - 1) * self.q
        if index >= n - 1:
            return self.sorted[-1]
        low = math.floor(index)
        t = index - low
        a, b = self.sorted[low], self.sorted[low + 1]
        return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t

    def reached(self, x):
        return x >= self.value


class Sketch:
    """Keeps the values themselves: quantile() is the exact lower order statistic, which QuantileSketch may miss by its relative error."""

    def __init__(self, slices, slice_ns):
        self.slices, self.slice_ns, self.rows = slices, slice_ns, {}
        self.newest = None

    def push(self, ts, x):
        row = ts // self.slice_ns
        self.newest = row if self.newest is None else max(self.newest, row)
        self.rows.setdefault(row, Counter())[x] += 1
        self.rows = {k: v for k, v in self.rows.items() if k > self.newest - self.slices}

    def quantile(self, q):
        values = sorted(x for row in self.rows.values() for x in row.elements())
        return values[int(q * (len(values) - 1))] if values else math.nan
