"""Plain-Python oracle of the imbalance detector."""

from dataclasses import dataclass

from oracle.said import NS, Inside, Said


@dataclass
class ImbalanceOracle:
    window_s: float = 300.0
    share: float = 0.7
    normal: float = 0.6
    floor_usd: float = 100_000.0
    min_events: int = 5
    window_events: int = 8192

    def __post_init__(self):
        self.inside = Inside(round(self.window_s * NS), self.window_events)
        self.active, self.side, self.first, self.sequence, self.price, self.until = False, 0, 0, 0, 0.0, 0

    def share_of(self, side: int) -> float:
        total = self.inside.total()
        return self.inside.of(side) / total if total > 0.0 else 0.5

    def say(self, ts: int, phase: str) -> Said:
        self.active = phase == "ACTIVE"
        return Said(
            ts,
            self.first,
            phase,
            self.side,
            len(self.inside.rows),
            self.inside.of(1),
            self.inside.of(-1),
            self.share,
            self.share_of(self.side),
            self.price,
            self.inside.total(),
            self.sequence,
            ts < self.until,
        )

    def end(self, ts: int) -> list[Said]:
        over = self.active and (not self.inside.rows or self.share_of(self.side) <= self.normal)
        return [self.say(ts, "EXHAUSTED")] if over else []

    def advance(self, ts: int) -> list[Said]:
        out = []
        while self.active and (due := self.inside.next_expiry()) is not None and due <= ts:
            self.inside.advance(due)
            out += self.end(due)
        return out

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        self.price = price
        self.inside.push(ts, side, notional)
        out += self.end(ts)
        if not self.active and len(self.inside.rows) >= self.min_events and self.inside.total() >= self.floor_usd:
            dominant = 1 if self.inside.of(1) >= self.inside.of(-1) else -1
            if self.share_of(dominant) > self.share:
                self.side, self.first, self.sequence = dominant, self.inside.rows[0][0], self.sequence + 1
                out.append(self.say(ts, "ACTIVE"))
        return out

    def uncertain(self, until: int) -> None:
        self.inside.rows, self.active, self.until = [], False, until
