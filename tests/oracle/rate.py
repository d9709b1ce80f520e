"""Plain-Python oracle of the event-rate detector."""

from dataclasses import dataclass

from oracle.said import NS, Inside, Said, Segments


@dataclass
class RateOracle:
    window_s: float = 60.0
    sigma: float = 3.0
    sigma_normal: float = 1.0
    baseline: int = 360
    min_segments: int = 30
    floor_per_minute: float = 5.0
    window_events: int = 2048

    def __post_init__(self):
        window_ns = round(self.window_s * NS)
        self.inside, self.segments = Inside(window_ns, self.window_events), Segments(window_ns, self.baseline, self.min_segments)
        self.active, self.side, self.first, self.sequence, self.price, self.until = False, 0, 0, 0, 0.0, 0
        self.bound = self.normal = 0.0
        self.ambiguous = False

    def say(self, ts: int, phase: str, count: int) -> Said:
        self.active = phase == "ACTIVE"
        longs, shorts = self.inside.of(1), self.inside.of(-1)
        if longs != shorts:
            self.side = 1 if longs > shorts else -1
        mean, std = self.segments.mean_std()
        z = (count - mean) / std if std > 0.0 else 0.0
        error = self.segments.error() * (1.0 + abs(z)) / std + 1e-12 * (1.0 + abs(z)) if std > 0.0 else 0.0
        per_minute = 60.0 / self.window_s
        return Said(
            ts,
            self.first,
            phase,
            self.side,
            count,
            longs,
            shorts,
            self.bound * per_minute,
            z,
            self.price,
            self.inside.total(),
            self.sequence,
            ts < self.until,
            error,
            1e-9 * per_minute * (1.0 + self.bound),
        )

    def due(self) -> int | None:
        """When somebody leaves: then all that is inside is known. Nobody leaves a full window; how many are inside is known when a segment ends."""
        expiry = self.inside.next_expiry()
        return min(expiry, self.segments.ends()) if self.inside.full() else expiry

    def advance(self, ts: int) -> list[Said]:
        out = []
        while self.active and (due := self.due()) is not None and due <= ts:
            self.inside.advance(due)
            count = len(self.segments.values) if self.inside.full() else len(self.inside.rows)
            self.ambiguous |= abs(count - self.normal) <= 1e-9 * (1.0 + self.bound) and count != self.normal
            if count == 0 or count <= self.normal:
                self.segments.advance(due)
                out.append(self.say(due, "EXHAUSTED", count))
            elif self.inside.full():
                self.segments.advance(due)
        return out

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        self.price = price
        self.inside.push(ts, side, notional)
        self.segments.push(ts, 1.0)
        mean, std = self.segments.mean_std()
        if self.active or not self.segments.known() or std == 0.0:
            return out
        bound, count = mean + self.sigma * std, len(self.inside.rows)
        if self.inside.full():
            count = max(count, len(self.segments.values))
        self.ambiguous |= abs(count - bound) <= 1e-9 * (1.0 + bound)
        if count > bound and count * (60.0 / self.window_s) >= self.floor_per_minute:
            self.bound, self.normal = bound, mean + self.sigma_normal * std
            self.ambiguous |= abs(self.normal - round(self.normal)) <= 1e-9 * (1.0 + bound)
            self.side, self.first, self.sequence = side, self.inside.rows[0][0], self.sequence + 1
            out.append(self.say(ts, "ACTIVE", count))
        return out

    def uncertain(self, until: int) -> None:
        self.inside.rows, self.active, self.until = [], False, until
        self.segments.cut()
