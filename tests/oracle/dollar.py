"""Plain-Python oracle of the dollar window: lists, fsum, one lane a side."""

from dataclasses import dataclass

from oracle.said import NS, Inside, Said, added


class Lane:
    def __init__(self, side: int):
        self.side, self.phase, self.spent, self.peak = side, "IDLE", False, 0.0
        self.prints: list[tuple[int, int, float]] = []  # of the episode, both sides
        self.first = self.last = self.sequence = 0


@dataclass
class DollarOracle:
    min_usd: float = 50_000.0
    window_s: float = 90.0
    trigger_usd: float = 5_000_000.0
    fall: float = 0.6
    silence_s: float = 60.0
    rearm: float = 0.5
    window_events: int = 2048

    def __post_init__(self):
        self.window_ns, self.silence_ns = round(self.window_s * NS), round(self.silence_s * NS)
        self.inside, self.lanes = Inside(self.window_ns, self.window_events), {side: Lane(side) for side in (1, -1)}
        self.sequence, self.price, self.until = 0, 0.0, 0

    def say(self, lane: Lane, ts: int, phase: str) -> Said:
        lane.phase = phase
        volume = self.inside.of(lane.side)
        return Said(
            ts,
            lane.first,
            phase,
            lane.side,
            sum(side == lane.side for _, side, _ in lane.prints),
            added(x for _, side, x in lane.prints if side > 0),
            added(x for _, side, x in lane.prints if side < 0),
            self.trigger_usd,
            volume / self.trigger_usd,
            self.price,
            volume,
            lane.sequence,
            ts < self.until,
        )

    def due(self, lane: Lane) -> int | None:
        if lane.phase == "IDLE":
            return None
        if lane.phase == "BUILDING":
            return lane.last + self.window_ns + 1
        ends = lane.last + self.silence_ns + 1
        expiry = self.inside.next_expiry()
        return min(ends, expiry) if expiry is not None else ends

    def advance(self, ts: int) -> list[Said]:
        out = []
        while (due := min((d for lane in self.lanes.values() if (d := self.due(lane)) is not None), default=None)) is not None and due <= ts:
            self.inside.advance(due)
            for lane in self.lanes.values():
                if lane.phase == "BUILDING" and due > lane.last + self.window_ns:
                    lane.phase = "IDLE"
                elif lane.phase in ("ACTIVE", "DECELERATING") and due > lane.last + self.silence_ns:
                    out.append(self.say(lane, due, "EXHAUSTED"))
                    lane.phase, lane.spent = "IDLE", True
                else:
                    if lane.phase == "ACTIVE" and self.inside.of(lane.side) < (1.0 - self.fall) * lane.peak:
                        out.append(self.say(lane, due, "DECELERATING"))
                    if lane.phase == "DECELERATING" and self.inside.of(lane.side) < self.rearm * self.trigger_usd:
                        out.append(self.say(lane, due, "EXHAUSTED"))
                        lane.phase, lane.spent = "IDLE", True
        return out

    def push(self, ts: int, side: int, notional: float, price: float = 0.0) -> list[Said]:
        out = self.advance(ts)
        self.price = price
        if notional < self.min_usd:
            return out
        lane, other = self.lanes[side], self.lanes[-side]
        self.inside.advance(ts)
        if lane.spent and self.inside.of(side) < self.rearm * self.trigger_usd:
            lane.spent = False
        self.inside.push(ts, side, notional)
        if other.phase != "IDLE":
            other.prints.append((ts, side, notional))
        if lane.spent and sum(row[2] for row in reversed(list(self.inside.rows)) if row[1] == side and row[0] > lane.last) > self.trigger_usd:
            lane.spent = False
        if lane.spent:
            return out
        if lane.phase == "IDLE":
            self.sequence += 1
            lane.first, lane.sequence, lane.prints = ts, self.sequence, [(ts, side, notional)]
            out.append(self.say(lane, ts, "BUILDING"))
        else:
            lane.prints.append((ts, side, notional))
        lane.last = ts
        volume = self.inside.of(side)
        if lane.phase == "BUILDING" and volume > self.trigger_usd:
            if ts - lane.first > self.window_ns:
                start = next(n for n, row in enumerate(self.inside.rows) if row[1] == side)
                lane.prints = list(self.inside.rows[start:])
                lane.first = lane.prints[0][0]
            out.append(self.say(lane, ts, "ACTIVE"))
            lane.peak = volume
        elif lane.phase == "DECELERATING" and volume > lane.peak:
            out.append(self.say(lane, ts, "ACTIVE"))
        if lane.phase in ("ACTIVE", "DECELERATING"):
            lane.peak = max(lane.peak, volume)
        return out

    def uncertain(self, until: int) -> None:
        self.inside.rows = []
        self.until = until
        for lane in self.lanes.values():
            lane.phase, lane.spent = "IDLE", False
