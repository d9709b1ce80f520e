"""The one task of the simulator's and the sweep's figures: a seeded day of one perpetual future, and the rule that every engine trades on it.

The day: `trades` trades, the spread always one tick, 400,000 moves of the quote by one tick, 10,000 liquidations, nine tenths of them in 400 bursts.
In a burst the market is twelve times as busy and the quote drifts against the liquidated side; for 90 s after it the quote drifts back by part of that.
Sizes of liquidations are log-normal with a Pareto tail. The moves come from their own random numbers, so a day of 100 M trades has the price path of
one of 1 M; fewer trades than that make a shorter day of the same kind. None of this is a claim about real markets: it is work of a known kind, the
same for everybody.

Every move of the quote is made by a trade that takes the level. So an order that waits away from the market is filled by the same row whether a model
wants a trade at its price, an empty queue or an opposite quote there: on this day all fill models but "strictly beyond" mean the same, and every
engine must make the same trades.

Needs NumPy only: rivals that live in another Python read the same file.

Times. Trades and quotes stand on a grid of 7 ns, liquidations one ns beside it, and no latency or time limit of the task is a multiple of 7 ns: no
order arrives at the very moment of a tick, where engines differ about what comes first and all are right.
"""

from dataclasses import dataclass

import numpy as np

FULL = 1_000_000  # trades from which on it is a whole day
SEED = 20261121
START = 1_772_409_600_000_000_000 // 7 * 7 + 7  # ns UTC, on the grid; a Monday
DAY_NS = 86_400_000_000_000
TICK, LOT = 0.1, 1.0
PRICE = 20_000  # ticks at the start of the day
MOVES = 400_000
BURSTS, FORCED = 400, 10_000
QUIET_NS = 75 * 60 * 10**9
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
        out[
            Setting(
                int(r.integers(5, 31)) * 10_000,
                int(r.integers(5, 41)) * 10_000,
                int(r.integers(10, 51)) * 10_000,
                int(r.integers(2, 31)) * 60,
                int(r.integers(2, 31)) * 60,
                int(r.integers(1, 11)) * 60,
            )
        ] = None
    return list(out)


def detectors(count: int) -> list[Detector]:
    """`count` different detector settings; the first is the task's own."""
    grid = [
        Detector(round(q, 4), w, s)
        for s in (60, 30, 90, 20, 120)
        for w in (1000, 500, 250, 2000)
        for q in (0.95, 0.94, 0.96, 0.93, 0.97, 0.92, 0.98, 0.91, 0.9, 0.88)
    ]
    if count > len(grid):
        raise ValueError(f"detectors: there are {len(grid)}, asked for {count}")
    return grid[:count]


@dataclass(frozen=True)
class Day:
    """Columns. Prices in ticks, quantities in lots, times in ns; `trades_before`, `quotes_before`: where a row stands among the others."""

    trades: dict[str, np.ndarray]  # ts, price, lots, side (+1 bought)
    quotes: dict[str, np.ndarray]  # ts, bid, ask, bid_lots, ask_lots, trades_before
    forced: dict[str, np.ndarray]  # ts, side (+1 long closed), price (quote currency), notional, trades_before, quotes_before
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


def _bursts(r: np.random.Generator, span: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start (ns of the day), length, side. Nothing is forced in the last 75 minutes: every trade of the task's settings ends within the day."""
    count = max(round(BURSTS * span / DAY_NS) // 2, 1)
    start = np.sort(r.uniform(0.01 * span, max(span - QUIET_NS, 0.5 * span), 2 * count))
    return start, r.uniform(6.0, 20.0, 2 * count) * SECOND, r.permutation(np.repeat([1, -1], count))


def _clock(start: np.ndarray, length: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative activity at knots of time: 1 in quiet times, 12 within a burst."""
    knots = np.unique(np.concatenate([[0.0, span], start, np.minimum(start + length, span)]))
    middle = (knots[1:] + knots[:-1]) / 2
    at = np.searchsorted(start, middle, side="right") - 1
    inside = (at >= 0) & (middle < start[at] + length[at])
    return np.concatenate([[0.0], np.cumsum(np.diff(knots) * np.where(inside, 12.0, 1.0))]), knots


def _path(r: np.random.Generator, t: np.ndarray, start: np.ndarray, length: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The bid after each move."""
    at = np.searchsorted(start, t, side="right") - 1
    since = np.where(at >= 0, t - start[at], np.inf)
    bias = np.where(since < length[at], -0.30, np.where(since < length[at] + 90 * SECOND, 0.10, 0.0)) * side[at]
    step = np.where(r.random(len(t)) < 0.5 + bias / 2, 1, -1)
    step[0] = 0
    return (PRICE + np.cumsum(step)).astype(np.int32)


def _forced(r: np.random.Generator, start: np.ndarray, length: np.ndarray, side: np.ndarray, span: float) -> tuple[np.ndarray, ...]:
    """Liquidations: time of the day in ns, side, notional."""
    count = round(FORCED * span / DAY_NS)
    lone = count // 10
    which = np.sort(r.integers(0, len(start), count - lone))
    t = np.concatenate([start[which] + length[which] * r.beta(1.2, 2.5, len(which)), r.uniform(0.0, start[-1], lone)])
    who = np.concatenate([np.where(r.random(len(which)) < 0.97, side[which], -side[which]), r.choice([1, -1], lone)])
    notional = np.exp(r.normal(np.log(900.0), 1.6, count))
    tail = r.random(count) < 0.1
    notional = np.where(tail, np.minimum(8_000.0 * r.random(count) ** (-1 / 1.1), 4e6), notional)
    order = np.argsort(t, kind="stable")
    return t[order], who[order], np.round(np.maximum(notional[order], 5.0), 2)


def day(trades: int = 2_000_000, seed: int = SEED) -> Day:
    """The seeded day with `trades` trades (at least 1,000)."""
    if trades < 1_000:
        raise ValueError(f"day: expected at least 1,000 trades, got {trades}")
    r = np.random.default_rng(seed)
    span = DAY_NS * min(1.0, trades / FULL)
    moves = round(MOVES * span / DAY_NS)
    start, length, side = _bursts(r, span)
    activity, knots = _clock(start, length, span)
    forced_t, forced_side, notional = _forced(r, start, length, side, span)
    when = np.interp(np.sort(r.random(moves)) * activity[-1], activity, knots)
    when[0] = 0.0
    bid = _path(r, when, start, length, side)
    sizes = r.integers(20, 400, (2, moves), dtype=np.int32)
    t = np.cumsum(r.exponential(1.0, trades - moves + 2))
    t = np.interp(t[:-1] * (activity[-1] / t[-1]), activity, knots)  # the trades that move nothing
    before = np.searchsorted(t, when)
    at = before + 2 * np.arange(moves)  # rows: the quotes; the row before each but the first is the trade that made it
    is_quote, is_taker = np.zeros(len(t) + 2 * moves - 1, bool), np.zeros(len(t) + 2 * moves - 1, bool)
    is_quote[at], is_taker[at[1:] - 1] = True, True
    ts = np.empty(len(is_quote))
    ts[is_quote], ts[is_taker], ts[~(is_quote | is_taker)] = when, when[1:], t
    ts = _grid(ts)
    taker = is_taker[~is_quote]
    in_force = (np.cumsum(is_quote, dtype=np.int32) - 1)[~is_quote]
    bought = r.integers(0, 2, trades, dtype=np.int8)
    bought[taker] = np.diff(bid) > 0
    quotes = {"ts": ts[is_quote], "bid": bid, "ask": bid + np.int32(1), "bid_lots": sizes[0], "ask_lots": sizes[1]}
    deals = {
        "ts": ts[~is_quote],
        "price": bid[in_force] + bought,
        "side": 2 * bought - 1,
        "lots": 1 + r.integers(0, 64, trades, dtype=np.uint8).astype(np.int32) ** 2 // 64,
    }
    quotes["trades_before"] = np.searchsorted(deals["ts"], quotes["ts"]).astype(np.int64)
    # one ns beside the grid a liquidation never stands at the time of a tick
    forced = {"ts": np.maximum.accumulate(_grid(forced_t)) + 1, "side": forced_side.astype(np.int8), "notional": notional}
    forced["price"] = np.round(bid[np.maximum(np.searchsorted(quotes["ts"], forced["ts"]) - 1, 0)] * TICK, 1)
    for name, part in (("trades_before", deals), ("quotes_before", quotes)):
        forced[name] = np.searchsorted(part["ts"], forced["ts"]).astype(np.int64)
    return Day(deals, quotes, forced)
