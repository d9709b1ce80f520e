"""Plain-Python oracle of bars: a signal at every multiple of the period after the first event."""

from dataclasses import dataclass

from oracle.said import NS, Said, added


@dataclass
class BarsOracle:
    period_s: float = 60.0

    def __post_init__(self):
        self.period_ns = round(self.period_s * NS)
        self.rows: list[tuple[int, float]] = []
        self.ends, self.sequence, self.price, self.until = None, 0, 0.0, 0

    def advance(self, ts: int) -> list[Said]:
        out = []
        while self.ends is not None and self.ends <= ts:
            longs, shorts = added(x for s, x in self.rows if s > 0), added(x for s, x in self.rows if s < 0)
            total = longs + shorts
            self.sequence += 1
            out.append(
                Said(
                    self.ends,
                    self.ends - self.period_ns,
                    "ACTIVE",
                    0,
                    len(self.rows),
                    longs,
                    shorts,
                    0.0,
                    (shorts - longs) / total if total > 0.0 else 0.0,
                    self.price,
                    total,
                    self.sequence,
                    self.ends < self.until,
                )
            )
            self.rows = []
            self.ends += self.period_ns
        return out

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        self.price = price
        self.rows.append((side, notional))
        if self.ends is None:
            self.ends = (ts // self.period_ns + 1) * self.period_ns
        return out

    def uncertain(self, until: int) -> None:
        self.until = until
