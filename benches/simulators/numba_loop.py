"""The same loop in Numba: every row once, sizes in a sorted window."""

from pathlib import Path

import numpy as np
from numba import njit

from benches import market
from benches.simulators import rule
from benches.simulators.rows import BOUGHT, FORCED, QUOTE, SOLD, merged
from benches.simulators.task import Outcome, Run

PACKAGE = "numba"
NOTE = "no latency, no queue"
FLAT, PENDING, HOLDING = range(3)
NEVER = 1 << 62
entry_price, stop_price, target_price = njit(rule.entry_price), njit(rule.stop_price), njit(rule.target_price)


def export(day: market.Day, folder: Path) -> None:
    np.savez(folder / "numba.npz", **merged(day))


def prepare(folder: Path, latency_s: float) -> Run:
    with np.load(folder / "numba.npz") as z:
        rows = tuple(z[k] for k in ("ts", "kind", "a", "b"))

    def run(s: market.Setting, d: market.Detector | None = None) -> Outcome:
        d = d or market.Detector()
        times = np.array([d.window_s, s.ttl_s, s.hold_s, s.cooldown_s]) * market.SECOND
        return Outcome(
            *trade(*rows, s.offset, s.take_profit, s.stop_loss, times, d.quantile, d.window_events, d.warmup, market.TICK, market.MAKER, market.TAKER)
        )

    run(market.Setting())
    return run


@njit
def slide(ordered, count, old, new, full):
    """Keep the sorted window while `new` enters and, when it is full, `old` leaves."""
    if full:
        at = np.searchsorted(ordered[:count], old)
        ordered[at : count - 1] = ordered[at + 1 : count]
        count -= 1
    at = np.searchsorted(ordered[:count], new)
    for k in range(count, at, -1):
        ordered[k] = ordered[k - 1]
    ordered[at] = new
    return count + 1


@njit
def quantile(ordered, count, q):
    """NumPy's linear interpolation."""
    index = (count - 1) * q
    low = int(index)
    if low + 1 >= count:
        return ordered[count - 1]
    share, a, b = index - low, ordered[low], ordered[low + 1]
    return b - (b - a) * (1.0 - share) if share >= 0.5 else a + (b - a) * share


@njit
def reached(kind, price, bid, ask, side, level):
    if kind == QUOTE:
        return ask <= level if side > 0 else bid >= level
    return kind == (SOLD if side > 0 else BOUGHT) and (level - price) * side >= 0


@njit
def trade(ts_, kind_, a_, b_, offset, profit, loss, times, q, size, warmup, tick, maker_fee, taker_fee):
    ordered, ring, seen, count = np.empty(size + 1), np.empty(size), 0, 0
    state, side, entry, stop, target, reference = FLAT, 0, 0, 0, 0, 0
    deadline, cooldown_until, triggered, trades, net = NEVER, 0, False, 0, 0.0
    last, bid, ask, chain, forced, large_before = 0, 0, 0, 0, 0.0, -NEVER
    for i in range(len(ts_)):
        ts, kind, a = ts_[i], kind_[i], np.int64(a_[i])
        if ts >= deadline:
            if state == HOLDING:
                out = bid if side > 0 else ask
                net += ((out - entry) * side - entry * maker_fee - out * taker_fee) * tick
                trades += 1
                cooldown_until = deadline + times[3]
            state, deadline = FLAT, NEVER
        if kind == FORCED:
            notional = b_[i]
            large = seen >= warmup and notional >= quantile(ordered, count, q)
            count = slide(ordered, count, ring[seen % size], notional, seen >= size)
            ring[seen % size] = notional
            seen += 1
            if not large:
                continue
            if ts - large_before > times[0]:
                chain, forced = 0, 0.0
            chain, forced, large_before = chain + 1, forced + a * notional, ts
            if chain == 2 and state == FLAT and ts >= cooldown_until and last > 0:
                state, side, reference, deadline = PENDING, 1 if forced > 0 else -1, last, ts + times[1]
                entry = entry_price(side, reference, offset)
            continue
        if kind == QUOTE:
            bid, ask = a, np.int64(b_[i])
        else:
            last = a
        if state == FLAT:
            continue
        if state == PENDING:
            if reached(kind, a, bid, ask, side, entry):
                state, deadline = HOLDING, ts + times[2]
                stop, target = stop_price(side, entry, loss), target_price(side, entry, profit, reference)
                triggered = (last - stop) * side <= 0
            continue
        if triggered:
            out, fee = (bid if side > 0 else ask), taker_fee
        elif reached(kind, a, bid, ask, -side, target):
            out, fee = target, maker_fee
        else:
            triggered = kind != QUOTE and (last - stop) * side <= 0
            continue
        net += ((out - entry) * side - entry * maker_fee - out * fee) * tick
        trades += 1
        state, deadline, cooldown_until = FLAT, NEVER, ts + times[3]
    return trades, net
