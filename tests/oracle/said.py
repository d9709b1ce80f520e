"""What the oracles of the detectors beside the cascade say, and what they share."""

import math
from dataclasses import dataclass, field

NS = 1_000_000_000


@dataclass
class Said:
    ts: int
    ts_start: int
    phase: str
    side: int
    count: int
    long_notional: float
    short_notional: float
    threshold: float
    z: float
    price: float
    rolling: float
    sequence: int
    uncertain: bool
    z_error: float = 0.0  # what the kernel's z may be off by
    threshold_error: float = 0.0


@dataclass
class Inside:
    """(ts, side, notional) of the last horizon_ns, oldest first, at most `capacity`: in a denser burst the oldest give way."""

    horizon_ns: int
    capacity: int
    rows: list = field(default_factory=list)
    dropped: int = 0

    def advance(self, ts: int) -> None:
        self.rows = [row for row in self.rows if ts - row[0] <= self.horizon_ns]

    def push(self, ts: int, side: int, notional: float) -> None:
        self.advance(ts)
        self.dropped += len(self.rows) == self.capacity
        self.rows = [*self.rows, (ts, side, notional)][-self.capacity :]

    def full(self) -> bool:
        return len(self.rows) == self.capacity

    def of(self, side: int) -> float:
        return math.fsum(x for _, s, x in self.rows if s == side)

    def total(self) -> float:
        return math.fsum(x for *_, x in self.rows)

    def next_expiry(self) -> int | None:
        return self.rows[0][0] + self.horizon_ns + 1 if self.rows else None


def added(values) -> float:
    """One after the other, as a running sum is made; sum() compensates from Python 3.12 on."""
    total = 0.0
    for x in values:
        total += x
    return total


@dataclass
class Segments:
    """Sums of equal time segments; those that the start or a gap has cut are neither learnt nor judged."""

    segment_ns: int
    baseline: int
    min_segments: int
    done: list = field(default_factory=list)
    running: int | None = None
    values: list = field(default_factory=list)
    whole_from: int = 0
    was_cut: bool = True

    def cut(self) -> None:
        self.running, self.values, self.was_cut = None, [], True

    def open(self, ts: int) -> bool:
        if self.was_cut:
            self.was_cut, self.running = False, ts // self.segment_ns + 1
            self.whole_from = self.running * self.segment_ns
        return ts >= self.whole_from

    def advance(self, ts: int) -> None:
        segment = ts // self.segment_ns
        if self.running is not None and segment > self.running:
            empty = min(segment - self.running - 1, self.baseline)
            self.done = [*self.done, added(self.values), *[0.0] * empty][-self.baseline :]
            self.running, self.values = segment, []

    def push(self, ts: int, x: float) -> None:
        if self.open(ts):
            self.advance(ts)
            self.values.append(x)

    def ends(self) -> int | None:
        return None if self.running is None else (self.running + 1) * self.segment_ns

    def known(self) -> bool:
        return len(self.done) >= self.min_segments

    def mean_std(self) -> tuple[float, float]:
        """Of the completed segments; population."""
        if not self.done or all(x == self.done[0] for x in self.done):
            return (self.done[0] if self.done else 0.0), 0.0
        mean = math.fsum(self.done) / len(self.done)
        return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in self.done) / len(self.done))

    def error(self) -> float:
        """What the kernel's mean and std may be off by: its rounding grows with the largest value inside."""
        return 1e-10 * max(self.done, default=0.0)
