"""What the oracles of the detectors beside the cascade say, and what they share."""

import math
from dataclasses import dataclass, field

CAPACITY = 2048              # liquidations remembered by a window; in a denser burst the oldest give way
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
    z_error: float = 0.0     # what the kernel's z may be off by
    threshold_error: float = 0.0


@dataclass
class Inside:
    """(ts, side, notional) of the last horizon_ns, oldest first."""

    horizon_ns: int
    rows: list = field(default_factory=list)

    def advance(self, ts: int) -> None:
        self.rows = [row for row in self.rows if ts - row[0] <= self.horizon_ns]

    def push(self, ts: int, side: int, notional: float) -> None:
        self.advance(ts)
        self.rows = [*self.rows, (ts, side, notional)][-CAPACITY:]

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
