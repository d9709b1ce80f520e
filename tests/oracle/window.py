"""The time window in plain Python: a deque, summed with fsum each time it is asked."""

import math
from collections import deque


class Window:
    def __init__(self, horizon_ns, capacity=4096):
        self.horizon_ns, self.capacity, self.inside, self.dropped = horizon_ns, capacity, deque(), 0

    def advance(self, ts):
        while self.inside and ts - self.inside[0][0] > self.horizon_ns:
            self.inside.popleft()

    def push(self, ts, side, notional):
        self.advance(ts)
        if len(self.inside) == self.capacity:
            self.inside.popleft()
            self.dropped += 1
        self.inside.append((ts, side, notional))

    def row(self):
        """long, short, total, long_count, short_count, long_max, short_max, dropped."""
        longs = [x for _, side, x in self.inside if side > 0]
        shorts = [x for _, side, x in self.inside if side < 0]
        return [
            math.fsum(longs),
            math.fsum(shorts),
            math.fsum(longs + shorts),
            len(longs),
            len(shorts),
            max(longs, default=0.0),
            max(shorts, default=0.0),
            self.dropped,
        ]
