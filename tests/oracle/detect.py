"""Plain-Python oracle of the cascade detector: lists, numpy.quantile and nothing clever. Written from DESIGN.md 4, not from the kernel."""

import math
from dataclasses import dataclass, field

import numpy as np


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
    values: list = field(default_factory=list)
    recent: list = field(default_factory=list)      # (ts, notional) of the decay window
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

    def rolling(self, ts: int) -> float:
        self.recent = [(t, x) for t, x in self.recent if ts - t <= self.decay_ns]
        return math.fsum(x for _, x in self.recent)

    def say(self, ts: int, phase: str) -> Said:
        self.phase = phase
        long_notional, short_notional = sum(self.longs), sum(self.shorts)
        side = 1 if long_notional > short_notional else -1 if short_notional > long_notional else self.last_side
        return Said(ts, phase, side, self.count, long_notional, short_notional, self.threshold, self.sequence)

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
                if self.phase != "BUILDING":
                    out.append(self.say(due, "EXHAUSTED"))
                self.phase = "IDLE"
            elif self.phase == "ACTIVE" and rolling < (1.0 - self.fall) * self.peak:
                out.append(self.say(due, "DECELERATING"))
        return out

    def is_large(self, ts: int, notional: float) -> bool:
        if self.seen < self.warmup:
            return False
        if self.refresh_ns == 0 or self.refreshed is None or ts - self.refreshed >= self.refresh_ns:
            self.learnt = float(np.quantile(self.values[-self.window_events:], self.quantile))
            self.refreshed = ts
        if notional >= max(self.learnt, self.floor):
            self.threshold = max(self.learnt, self.floor)
            return True
        return False

    def push(self, ts: int, side: int, notional: float) -> list[Said]:
        out = self.advance(ts)
        large = self.is_large(ts, notional)
        self.values.append(notional)
        self.seen += 1
        self.recent.append((ts, notional))
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
