"""The one task of the simulator's and the sweep's figures: a seeded day of one perpetual future, and the rule that every engine trades on it.

The day: `trades` trades, the spread always one tick, about 400,000 moves of the quote (their number and size do not grow with the trades, so a day of
100 M trades has the same price path as one of 2 M), 10,000 liquidations, nine tenths of them in 400 bursts. In a burst the market is twelve times as
busy and the quote drifts against the liquidated side; for 90 s after it the quote drifts back by part of that. Sizes of liquidations are log-normal
with a Pareto tail. None of this is a claim about real markets: it is work of a known kind, the same for everybody.

Needs NumPy only: rivals that live in another Python read the same file.

Times. Trades and quotes stand on a grid of 7 ns, liquidations one ns beside it, and no latency or time limit of the task is a multiple of 7 ns: no
order arrives at the very moment of a tick, where engines differ about what comes first and all are right.
"""

from dataclasses import dataclass

import numpy as np

SEED = 20261121
START = 1_772_409_600_000_000_000 // 7 * 7 + 7      # ns UTC, on the grid; a Monday
DAY_NS = 86_400_000_000_000
TICK, LOT = 0.1, 1.0
PRICE = 20_000                                       # ticks at the start of the day
MOVES = 400_000
BURSTS, FORCED = 400, 10_000
BUSY_NS = DAY_NS - 75 * 60 * 10**9                  # nothing is forced after: every trade of the task's settings ends within the day
SCALE = 10**8
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Setting:
    """One execution setting. Fractions in 1e-8 of price, times in s; every order is one lot."""

    offset: int = 150_000
    take_profit: int = 150_000
    stop_loss: int = 250_000
    ttl_s: int = 1800
    hold_s: int = 1800
    cooldown_s: int = 300


@dataclass(frozen=True)
class Detector:
    quantile: float = 0.95
    window_events: int = 1000
    window_s: int = 60
    warmup: int = 100


MAKER, TAKER = 0.0002, 0.00055


def settings(count: int, seed: int = SEED) -> list[Setting]:
    """`count` different settings around the task's; the first is the task's own."""
    r = np.random.default_rng(seed)
    out = {Setting(): None}
    while len(out) < count:
        out[Setting(int(r.integers(5, 31)) * 10_000, int(r.integers(5, 41)) * 10_000, int(r.integers(10, 51)) * 10_000,
                    int(r.integers(2, 31)) * 60, int(r.integers(2, 31)) * 60, int(r.integers(1, 11)) * 60)] = None
    return list(out)


def detectors(count: int) -> list[Detector]:
    """`count` different detector settings; the first is the task's own."""
    grid = [Detector(round(q, 4), w, s) for s in (60, 30, 90, 20, 120) for w in (1000, 500, 250, 2000)
            for q in (0.95, 0.94, 0.96, 0.93, 0.97, 0.92, 0.98, 0.91, 0.9, 0.88)]
    if count > len(grid):
        raise ValueError(f"detectors: there are {len(grid)}, asked for {count}")
    return grid[:count]


@dataclass(frozen=True)
class Day:
    """Columns. Prices in ticks, quantities in lots, times in ns; `trades_before`, `quotes_before`: where a row stands among the others."""

    trades: dict[str, np.ndarray]          # ts, price, lots, side (+1 bought)
    quotes: dict[str, np.ndarray]          # ts, bid, ask, bid_lots, ask_lots, trades_before
    forced: dict[str, np.ndarray]          # ts, side (+1 long closed), price (quote currency), notional, trades_before, quotes_before
    tick: float = TICK
    lot: float = LOT

    @property
    def rows(self) -> int:
        return sum(len(part["ts"]) for part in (self.trades, self.quotes, self.forced))


def _grid(t: np.ndarray) -> np.ndarray:
    """Times in ns of the day, rising strictly, on the grid."""
    slot = (t / 7.0).astype(np.int64)
    if len(slot):
        room = np.arange(len(slot))
        slot -= room
        np.maximum.accumulate(slot, out=slot)
        slot += room
    return START + 7 * slot


def _busy(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bursts: start (ns of the day), length, side."""
    start = np.sort(r.uniform(0.01 * DAY_NS, BUSY_NS, BURSTS))
    return start, r.uniform(6.0, 20.0, BURSTS) * SECOND, r.permutation(np.repeat([1, -1], BURSTS // 2))


def _clock(start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative activity at knots of time: 1 in quiet times, 12 within a burst."""
    knots = np.unique(np.concatenate([[0.0, DAY_NS], start, np.minimum(start + length, DAY_NS)]))
    middle = (knots[1:] + knots[:-1]) / 2
    at = np.searchsorted(start, middle, side="right") - 1
    inside = (at >= 0) & (middle < start[at] + length[at])
    return np.concatenate([[0.0], np.cumsum(np.diff(knots) * np.where(inside, 12.0, 1.0))]), knots


def _path(r: np.random.Generator, t: np.ndarray, start: np.ndarray, length: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The bid after each move."""
    at = np.searchsorted(start, t, side="right") - 1
    since = np.where(at >= 0, t - start[at], np.inf)
    bias = np.where(since < length[at], -0.30, np.where(since < length[at] + 90 * SECOND, 0.10, 0.0)) * side[at]
    size = max(1.0, (MOVES / max(len(t), 1)) ** 0.5)
    step = np.where(r.random(len(t)) < 0.5 + bias / 2, 1, -1) * (int(size) + (r.random(len(t)) < size - int(size)))
    step[:1] = 0
    return PRICE + np.cumsum(step)


def _forced(r: np.random.Generator, start: np.ndarray, length: np.ndarray, side: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Liquidations: time of the day in ns, side, notional."""
    lone = count // 10
    which = np.sort(r.integers(0, BURSTS, count - lone))
    t = np.concatenate([start[which] + length[which] * r.beta(1.2, 2.5, len(which)), r.uniform(0.0, BUSY_NS, lone)])
    who = np.concatenate([np.where(r.random(len(which)) < 0.97, side[which], -side[which]), r.choice([1, -1], lone)])
    notional = np.exp(r.normal(np.log(900.0), 1.6, count))
    tail = r.random(count) < 0.1
    notional = np.where(tail, np.minimum(8_000.0 * r.random(count) ** (-1 / 1.1), 4e6), notional)
    order = np.argsort(t, kind="stable")
    return t[order], who[order], np.round(np.maximum(notional[order], 5.0), 2)


def day(trades: int = 2_000_000, seed: int = SEED) -> Day:
    """The seeded day with `trades` trades."""
    r = np.random.default_rng(seed)
    start, length, side = _busy(r)
    activity, knots = _clock(start, length)
    moves = min(MOVES, max(2 * trades // 5, 1))
    forced_t, forced_side, notional = _forced(r, start, length, side, FORCED if trades >= 100_000 else trades // 10)
    # the moves come first and from their own numbers, so that days of different size have the same price path
    when = np.interp(np.sort(r.random(moves)) * activity[-1], activity, knots)
    bid = _path(r, when, start, length, side)
    sizes = r.integers(20, 400, (2, moves), dtype=np.int32)
    t = np.cumsum(r.exponential(1.0, trades + 1))
    t = np.interp(t[:-1] * (activity[-1] / t[-1]), activity, knots)
    when[0] = 0.0
    before = np.searchsorted(t, when)                 # trades before each quote
    ts = np.empty(trades + moves)
    is_quote = np.zeros(trades + moves, bool)
    is_quote[before + np.arange(moves)] = True
    ts[is_quote], ts[~is_quote] = when, t
    ts = _grid(ts)
    bought = r.integers(0, 2, trades, dtype=np.int8)
    in_force = np.repeat(np.arange(moves, dtype=np.int32), np.diff(np.append(before, trades)))
    price = bid.astype(np.int32)[in_force] + bought
    quotes = {"ts": ts[is_quote], "bid": bid.astype(np.int32), "ask": bid.astype(np.int32) + np.int32(1), "bid_lots": sizes[0],
              "ask_lots": sizes[1], "trades_before": before.astype(np.int64)}
    deals = {"ts": ts[~is_quote], "price": price, "lots": 1 + r.integers(0, 64, trades, dtype=np.uint8).astype(np.int32) ** 2 // 64,
             "side": 2 * bought - 1}
    # a liquidation is shown to us after its burst has moved the price; one ns beside the grid it never stands at the time of a tick
    at = np.searchsorted(quotes["ts"], _grid(forced_t))
    forced = {"ts": np.maximum.accumulate(_grid(forced_t)) + 1, "side": forced_side.astype(np.int8), "notional": notional,
              "price": np.round(bid[np.maximum(at - 1, 0)] * TICK, 1)}
    forced["trades_before"] = np.searchsorted(deals["ts"], forced["ts"]).astype(np.int64)
    forced["quotes_before"] = np.searchsorted(quotes["ts"], forced["ts"]).astype(np.int64)
    return Day(deals, quotes, forced)

