"""z-scores in plain Python: sums by segment in a dictionary, exact two-pass mean and population std."""

import math
from collections import deque


def moments(values):
    """Mean and population std with fsum, two passes."""
    n = len(values)
    if n == 0:
        return 0.0, 0.0
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / n)


class SegmentZ:
    def __init__(self, segment_ns, baseline=288, min_segments=12):
        self.segment_ns, self.baseline, self.min_segments, self.sums, self.first, self.now = segment_ns, baseline, min_segments, {}, None, None

    def push(self, ts, x):
        self.now = ts // self.segment_ns
        self.first = self.now if self.first is None else self.first
        self.sums[self.now] = self.sums.get(self.now, 0.0) + x
        return self.value

    @property
    def completed(self):
        return [self.sums.get(k, 0.0) for k in range(max(self.first, self.now - self.baseline), self.now)]

    @property
    def value(self):
        done = self.completed
        if len(done) < self.min_segments or len(set(done)) == 1:
            return 0.0
        mean, std = moments(done)
        return (self.sums[self.now] - mean) / std


class RollingZ:
    def __init__(self, window):
        self.inside = deque(maxlen=window)

    def push(self, x):
        self.inside.append(x)
        mean, std = moments(self.inside)
        return 0.0 if len(set(self.inside)) == 1 else (x - mean) / std


class EwZ:
    """All values and their ages, weighed anew each time."""

    def __init__(self, half_life_ns, min_count=12):
        self.half_life_ns, self.min_count, self.seen = half_life_ns, min_count, []

    def moments(self, ts):
        weights = [0.5 ** ((ts - t) / self.half_life_ns) for t, _ in self.seen]
        total = math.fsum(weights)
        mean = math.fsum(w * x for w, (_, x) in zip(weights, self.seen, strict=True)) / total
        return mean, math.sqrt(math.fsum(w * (x - mean) ** 2 for w, (_, x) in zip(weights, self.seen, strict=True)) / total)

    def push(self, ts, x):
        z = 0.0
        if len(self.seen) >= self.min_count and len({x for _, x in self.seen}) > 1:
            mean, std = self.moments(self.seen[-1][0])
            z = (x - mean) / std
        self.seen.append((ts, x))
        return z
