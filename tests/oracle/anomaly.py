"""Plain-Python oracle of the segment anomaly."""

from dataclasses import dataclass

from oracle.said import NS, Said, Segments, added


@dataclass
class AnomalyOracle:
    segment_s: float = 300.0
    baseline: int = 288
    min_segments: int = 12
    z_min: float = 3.0
    z_normal: float = 1.0
    purity: float = 0.75
    floor_usd: float = 50_000.0

    def __post_init__(self):
        self.segments = Segments(round(self.segment_s * NS), self.baseline, self.min_segments)
        self.rows: list[tuple[int, float]] = []  # (side, notional) of the running segment
        self.active, self.side, self.first, self.sequence, self.price, self.until = False, 0, 0, 0, 0.0, 0
        self.ambiguous = False  # a decision hung on a rounding error

    def of(self, side: int) -> float:
        return added(x for s, x in self.rows if s == side)

    def z(self) -> tuple[float, float]:
        mean, std = self.segments.mean_std()
        if not self.segments.known() or std == 0.0:
            return 0.0, 0.0
        current = added(self.segments.values)
        z = (current - mean) / std
        return z, 1e-12 * abs(z) + self.segments.error() * (1.0 + abs(z)) / std + 1e-15 * (current + mean) / std

    def say(self, ts: int, phase: str, z: float, error: float) -> Said:
        self.active = phase == "ACTIVE"
        return Said(
            ts,
            self.first,
            phase,
            self.side,
            len(self.rows),
            self.of(1),
            self.of(-1),
            self.z_min,
            z,
            self.price,
            added(self.segments.values),
            self.sequence,
            ts < self.until,
            error,
        )

    def judge(self, ts: int) -> list[Said]:
        out = []
        z, error = self.z()
        self.ambiguous |= error > 0.0 and min(abs(z - self.z_min), abs(z - self.z_normal), abs(z)) <= error
        total = self.of(1) + self.of(-1)
        side = 1 if self.of(1) >= self.of(-1) else -1
        pure = total > 0.0 and self.of(side) / total > self.purity
        if self.active and not (z >= self.z_normal and pure and side == self.side):
            out.append(self.say(ts, "EXHAUSTED", z, error))
        if not self.active and z >= self.z_min and z > 0.0 and pure and total >= self.floor_usd:
            self.side, self.first, self.sequence = side, ts - self.segments.segment_ns, self.sequence + 1
            out.append(self.say(ts, "ACTIVE", z, error))
        return out

    def advance(self, ts: int) -> list[Said]:
        out = []
        while (self.active or self.rows) and (due := self.segments.ends()) is not None and due <= ts:
            out += self.judge(due)
            self.segments.advance(due)
            self.rows = []
        return out

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        self.price = price
        if self.segments.open(ts):
            self.segments.push(ts, notional)
            self.rows.append((side, notional))
        return out

    def uncertain(self, until: int) -> None:
        self.segments.cut()
        self.rows, self.active, self.until = [], False, until
