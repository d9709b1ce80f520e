"""What people write first: one loop over all rows, a deque of sizes, numpy.percentile at every liquidation."""

from collections import deque
from pathlib import Path

import numpy as np

from benches import market
from benches.simulators.rows import merged
from benches.simulators.rule import entry_price, stop_price, target_price
from benches.simulators.task import Outcome, Run

PACKAGE = ""
NOTE = "no latency, no queue"
QUOTE, SOLD, BOUGHT, FORCED = range(4)
FLAT, PENDING, HOLDING = range(3)
NEVER = 1 << 62


def export(day: market.Day, folder: Path) -> None:
    np.savez(folder / "plain.npz", **merged(day))


def prepare(folder: Path, latency_s: float) -> Run:
    with np.load(folder / "plain.npz") as z:
        rows = list(zip(*(z[k].tolist() for k in ("ts", "kind", "a", "b")), strict=True))
    return lambda s, d=None: outcome(trade(rows, s, d or market.Detector()))


def outcome(trades: list[tuple]) -> Outcome:
    net = 0.0
    for _, side, entry, _, exit_price, maker in trades:
        fees = entry * market.MAKER + exit_price * (market.MAKER if maker else market.TAKER)
        net += ((exit_price - entry) * side - fees) * market.TICK
    return Outcome(len(trades), net)


class Cascades:
    """The second large liquidation of a chain."""

    def __init__(self, d: market.Detector):
        self.d, self.sizes = d, deque(maxlen=d.window_events)
        self.chain, self.forced, self.before = 0, 0.0, -NEVER

    def push(self, ts: int, side: int, notional: float) -> int:
        """The side on which more was closed, or 0 when there is nothing to say."""
        large = len(self.sizes) >= self.d.warmup and notional >= np.percentile(self.sizes, 100 * self.d.quantile)
        self.sizes.append(notional)
        if not large:
            return 0
        if ts - self.before > self.d.window_s * market.SECOND:
            self.chain, self.forced = 0, 0.0
        self.chain, self.forced, self.before = self.chain + 1, self.forced + side * notional, ts
        return (1 if self.forced > 0 else -1) if self.chain == 2 else 0


def trade(rows, s: market.Setting, d: market.Detector) -> list[tuple]:
    """(time of entry, side, entry in ticks, time of exit, exit in ticks, the exit was the target) of every trade."""
    cascades = Cascades(d)
    state, side, entry, stop, target, reference, opened = FLAT, 0, 0, 0, 0, 0, 0
    deadline, cooldown_until, triggered, trades = NEVER, 0, False, []
    last = bid = ask = 0
    ttl, hold, cooldown = (x * market.SECOND for x in (s.ttl_s, s.hold_s, s.cooldown_s))
    for ts, kind, a, b in rows:
        if ts >= deadline:
            if state == HOLDING:
                trades.append((opened, side, entry, deadline, bid if side > 0 else ask, False))
                cooldown_until = deadline + cooldown
            state, deadline = FLAT, NEVER
        if kind == FORCED:
            said = cascades.push(ts, a, b)
            if said and state == FLAT and ts >= cooldown_until and last:
                state, side, reference, deadline = PENDING, said, last, ts + ttl
                entry = entry_price(side, reference, s.offset)
            continue
        if kind == QUOTE:
            bid, ask = a, b
        else:
            last = a
        if state == FLAT:
            continue
        if state == PENDING:
            if reached(kind, a, bid, ask, side, entry):
                state, opened, deadline = HOLDING, ts, ts + hold
                stop, target = stop_price(side, entry, s.stop_loss), target_price(side, entry, s.take_profit, reference)
                triggered = (last - stop) * side <= 0
            continue
        if triggered:
            out, maker = (bid if side > 0 else ask), False
        elif reached(kind, a, bid, ask, -side, target):
            out, maker = target, True
        else:
            triggered = kind != QUOTE and (last - stop) * side <= 0
            continue
        trades.append((opened, side, entry, ts, out, maker))
        state, deadline, cooldown_until = FLAT, NEVER, ts + cooldown
    return trades


def reached(kind, price, bid, ask, side, level) -> bool:
    """Does this row fill an order to buy (side > 0) or to sell at `level`?"""
    if kind == QUOTE:
        return ask <= level if side > 0 else bid >= level
    return kind == (SOLD if side > 0 else BOUGHT) and (level - price) * side >= 0
