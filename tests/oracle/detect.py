"""Plain-Python oracle of the cascade detector: lists, numpy.quantile and nothing clever. Written from the definition, not from the kernel."""

import math
from dataclasses import dataclass, field
from statistics import pstdev

import numpy as np

DECAY_CAPACITY = 2048  # liquidations remembered for the rolling notional; in a denser burst the oldest give way
SEGMENTS_MIN = 30  # completed segments before a z-score is more than 0


@dataclass
class Said:
    ts: int
    phase: str
    side: int
    count: int
    long_notional: float
    short_notional: float
    threshold: float
    sequence: int
    price: float
    rolling: float
    score: float
    z: float
    z_error: float  # what the kernel's z may be off by: rounding of mean and current sum, in standard deviations


@dataclass
class CascadeOracle:
    quantile: float = 0.95
    window_events: int = 1000
    window_ns: int = 60_000_000_000
    min_events: int = 2
    warmup: int = 100
    refresh_ns: int = 0
    anchored: bool = False
    floor: float = 0.0
    decay_ns: int = 10_000_000_000
    fall: float = 0.6
    segment_ns: int = 60_000_000_000
    baseline: int = 288
    values: list = field(default_factory=list)
    recent: list = field(default_factory=list)  # (ts, notional) of the decay window
    seen: int = 0
    refreshed: int | None = None
    learnt: float = 0.0
    phase: str = "IDLE"
    count: int = 0
    sequence: int = 0
    first: int = 0
    last: int = 0
    last_side: int = 0
    longs: list = field(default_factory=list)
    shorts: list = field(default_factory=list)
    peak: float = 0.0
    threshold: float = 0.0
    price: float = 0.0
    sums: dict = field(default_factory=dict)  # notional per time segment
    lapsed: int = 0  # cascades given up before they were ACTIVE

    def z(self, ts: int) -> tuple[float, float]:
        """Of the running segment against the completed ones since the first value, empty ones as 0; and its error bound."""
        now = ts // self.segment_ns
        done = [self.sums.get(k, 0.0) for k in range(max(min(self.sums), now - self.baseline), now)]
        if len(done) < min(SEGMENTS_MIN, self.baseline) or (std := pstdev(done)) == 0.0:
            return 0.0, 0.0
        mean, current = math.fsum(done) / len(done), self.sums.get(now, 0.0)
        return (current - mean) / std, 1e-10 * (1.0 + (current + mean) / std + max(done) / std)

    def rolling(self, ts: int) -> float:
        self.recent = [(t, x) for t, x in self.recent if ts - t <= self.decay_ns]
        return math.fsum(x for _, x in self.recent)

    def say(self, ts: int, phase: str) -> Said:
        self.phase = phase
        long_notional, short_notional = sum(self.longs), sum(self.shorts)
        side = 1 if long_notional > short_notional else -1 if short_notional > long_notional else self.last_side
        total = long_notional + short_notional
        score = 10.0 * (1.0 - self.threshold / total) if total > self.threshold else 0.0
        return Said(
            ts,
            phase,
            side,
            self.count,
            long_notional,
            short_notional,
            self.threshold,
            self.sequence,
            self.price,
            self.rolling(ts),
            score,
            *self.z(ts),
        )

    def end(self) -> int:
        return (self.first if self.anchored else self.last) + self.window_ns + 1

    def deadline(self) -> int | None:
        if self.phase == "IDLE":
            return None
        if self.phase == "ACTIVE" and self.recent:
            return min(self.end(), self.recent[0][0] + self.decay_ns + 1)
        return self.end()

    def advance(self, ts: int) -> list[Said]:
        out = []
        while (due := self.deadline()) is not None and due <= ts:
            rolling = self.rolling(due)
            if due >= self.end():
                if self.phase == "BUILDING":
                    self.lapsed += 1
                else:
                    out.append(self.say(due, "EXHAUSTED"))
                self.phase = "IDLE"
            elif self.phase == "ACTIVE" and rolling < (1.0 - self.fall) * self.peak:
                out.append(self.say(due, "DECELERATING"))
        return out

    def is_large(self, ts: int, notional: float) -> bool:
        if self.seen < self.warmup:
            return False
        if self.refresh_ns == 0 or self.refreshed is None or ts - self.refreshed >= self.refresh_ns:
            self.learnt = float(np.quantile(self.values[-self.window_events :], self.quantile))
            self.refreshed = ts
        if notional >= max(self.learnt, self.floor):
            self.threshold = max(self.learnt, self.floor)
            return True
        return False

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        large = self.is_large(ts, notional)
        self.values.append(notional)
        self.seen += 1
        self.recent = [*self.recent, (ts, notional)][-DECAY_CAPACITY:]
        self.sums[ts // self.segment_ns] = self.sums.get(ts // self.segment_ns, 0.0) + notional
        self.price = price
        rolling = self.rolling(ts)
        if large:
            if self.phase == "IDLE":
                self.sequence += 1
                self.count, self.longs, self.shorts, self.first = 0, [], [], ts
            self.last, self.last_side = ts, side
            self.count += 1
            (self.longs if side > 0 else self.shorts).append(notional)
            if self.phase == "IDLE" and self.min_events > 1:
                out.append(self.say(ts, "BUILDING"))
            elif self.phase in ("IDLE", "BUILDING") and self.count >= self.min_events:
                self.peak = rolling
                out.append(self.say(ts, "ACTIVE"))
            elif self.phase == "DECELERATING" and rolling >= (1.0 - self.fall) * self.peak:
                out.append(self.say(ts, "ACTIVE"))
        if self.phase in ("ACTIVE", "DECELERATING"):
            self.peak = max(self.peak, rolling)
        return out
