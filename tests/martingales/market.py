"""One seeded market: the path that all its variants share, and the variants as histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History, described

START = 1_772_409_600  # seconds; a midnight
CASCADES, GAP_S = 300, 1200  # a little more than four days
TICKS_PER_BPS = 100  # price 10,000, tick 0.01
MID = 10_000 * 100  # ticks
VOLATILITY = 1.2  # bps a square root of a second
QUIET, BUSY = 0.3, 3.0  # trades a second, far from a cascade and about it
BUSY_FROM_S, BUSY_S = -30, 300  # about the first liquidation of a cascade
SAME_SIDE = 0.6  # the next trade is by an aggressor of the same side as the last
FORCED = (6, 12)  # large liquidations of a cascade
REVERSAL_S = 30.0  # in which what was planted comes back
GRID_NS = 10_000  # between any two of the times at which something happens
KNOWN_NS = 1_000  # the trade comes so much after its quote, the report of a liquidation so much after its trade
THIN = 100
QUOTES = ("whole", "none", "cut", "thin")
INSTRUMENT = lc.Instrument("BTCUSDT", tick_size="0.01", lot_size="0.0001")


@dataclass(frozen=True)
class Path:
    """What happened, at rising times: the mid moved, and somebody traded. forced: side of the position that was closed by this trade, 0 = none."""

    ts: np.ndarray
    mid: np.ndarray  # ticks, after the move
    aggressor: np.ndarray
    forced: np.ndarray
    noise: np.ndarray  # small liquidations: (ts, side) of nobody in particular

    @property
    def end_ns(self) -> int:
        return START * lc.SECOND + CASCADES * GAP_S * lc.SECOND


def path(seed: int, reversal_bps: float = 0.0, busy: float = BUSY) -> Path:
    """reversal_bps: so much of the price comes back after every cascade, against the side that was traded by force."""
    r = np.random.default_rng([seed, 13])
    span = CASCADES * GAP_S
    begun = np.arange(CASCADES) * GAP_S + 600 + r.integers(0, 300, CASCADES)
    closed = r.choice([1, -1], CASCADES)
    sizes = r.integers(*FORCED, CASCADES)
    which = np.repeat(np.arange(CASCADES), sizes)
    first = np.cumsum(sizes) - sizes
    waits = np.cumsum(r.exponential(0.6, len(which)))
    at = begun[which] + waits - waits[first][which]
    quiet = r.uniform(0, span, r.poisson(QUIET * span))
    count = r.poisson((busy - QUIET) * BUSY_S, CASCADES)
    rushed = np.repeat(begun + BUSY_FROM_S, count) + r.uniform(0, BUSY_S, count.sum())
    every = np.arange(0.0, span, 5.0)  # somebody quotes and trades at least so often: a whole feed has no silences
    seconds = np.concatenate([at, quiet, rushed, every])
    order = np.argsort(seconds, kind="stable")
    ns = (np.maximum(seconds[order], 0) * lc.SECOND).astype(np.int64) // GRID_NS
    ns = np.arange(len(ns)) + np.maximum.accumulate(ns - np.arange(len(ns)))  # strictly rising
    forced = np.concatenate([closed[which], np.zeros(len(seconds) - len(which), np.int64)])[order]
    steps = r.normal(0.0, VOLATILITY * TICKS_PER_BPS, len(ns)) * np.sqrt(np.diff(ns, prepend=ns[0]) * (GRID_NS / lc.SECOND))
    mid = MID + np.cumsum(np.round(steps)).astype(np.int64)
    if reversal_bps:
        over = at[np.append(first[1:], len(at)) - 1]
        mid += planted(ns * (GRID_NS / lc.SECOND), over, closed, reversal_bps)
    free = np.where(np.cumsum(r.random(len(ns)) >= SAME_SIDE) % 2 == 0, 1, -1)
    noise = np.empty(r.poisson(span / 60), [("ts", "i8"), ("side", "i8")])
    noise["ts"] = np.sort(r.uniform(0, span, len(noise)) * lc.SECOND).astype(np.int64) + START * lc.SECOND
    noise["side"] = r.choice([1, -1], len(noise))
    return Path(ns * GRID_NS + START * lc.SECOND, mid, np.where(forced, -forced, free), forced, noise)


def planted(seconds: np.ndarray, over: np.ndarray, closed: np.ndarray, bps: float) -> np.ndarray:
    """Ticks that come back until each moment, evenly over REVERSAL_S after each cascade is over."""
    out = np.zeros(len(seconds))
    done = np.concatenate([[0.0], np.cumsum(closed * bps * TICKS_PER_BPS)])
    n = np.searchsorted(over, seconds, side="right")
    running = np.where(n > 0, np.clip((seconds - over[n - 1]) / REVERSAL_S, 0.0, 1.0), 1.0)
    out = done[np.maximum(n - 1, 0)] + np.where(n > 0, (done[n] - done[np.maximum(n - 1, 0)]) * running, 0.0)
    return np.round(out).astype(np.int64)


def history(p: Path, half_bps: float, quotes: str) -> History:
    """The path as it is seen where half the spread is half_bps, and of the quotes there are `quotes`: of QUOTES."""
    half, tick = round(half_bps * TICKS_PER_BPS), float(INSTRUMENT.tick_size)
    n = len(p.ts)
    trades = np.zeros(n, lc.EVENT_DTYPE)
    trades["ts_recv"], trades["kind"], trades["side"], trades["qty"] = p.ts + KNOWN_NS, int(lc.Kind.TRADE), p.aggressor, 1.0
    trades["price"] = np.round((p.mid + half * p.aggressor) * tick, 2)
    kept = {"whole": np.ones(n, bool), "none": np.zeros(n, bool), "cut": p.ts < (p.ts[0] + p.end_ns) // 2, "thin": np.arange(n) % THIN == 0}[quotes]
    shown = np.zeros(int(kept.sum()), lc.EVENT_DTYPE)
    shown["ts_recv"], shown["kind"], shown["qty"], shown["aux_qty"] = p.ts[kept], int(lc.Kind.BBO), 5.0, 5.0
    shown["price"], shown["aux_price"] = (np.round((p.mid[kept] + way * half) * tick, 2) for way in (-1, 1))
    large = p.forced != 0
    forced = np.zeros(int(large.sum()) + len(p.noise), lc.EVENT_DTYPE)
    forced["kind"], forced["qty"] = int(lc.Kind.LIQUIDATION), 1.0
    forced["ts_recv"] = np.concatenate([p.ts[large] + 2 * KNOWN_NS, p.noise["ts"]])
    forced["side"] = np.concatenate([p.forced[large], p.noise["side"]])
    forced["price"] = np.concatenate([trades["price"][large], np.full(len(p.noise), MID * tick)])
    forced["aux_price"] = np.where(np.arange(len(forced)) < large.sum(), 100_000.0, 500.0)
    events = np.concatenate([shown, trades, forced])
    events = events[np.argsort(events["ts_recv"], kind="stable")]
    events["ts_event"] = events["ts_recv"]
    name = f"martingale {half_bps:g} bps, quotes {quotes}"
    return described(History(lc.Tape.of(INSTRUMENT, events), START * lc.SECOND, p.end_ns, name, "martingale", True))
