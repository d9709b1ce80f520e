"""The market of a run: cheap, and dense in cascades that end in every way that matters to a bracket.

Of each hour nine tenths are calm (a trade and a quote a second); the rest are episodes: a flush of one-sided liquidations that moves the price, then
one of several ends: a snap-back (targets fill), a further slide (stops), nothing (time limits), a gap through every stop, a whipsaw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind
from liqshell.emulator.market.contracts import Contract, contracts_of

from .clock import NS

SYMBOLS = ("ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
ENDS = ("snap", "slide", "nothing", "gap", "whipsaw")
HOUR_NS = 3600 * NS
STEP_NS = 200_000_000  # of an episode's grid; a calm second is one step
EPISODE_S = (40, 90)
EPISODES = (3, 8)  # of a symbol in an hour
CALM_AFTER_S, CALM_MAX = 25.0, 12
FLUSH_S, AGAIN_S = 8.0, 34.0
TRADE_USD = 700.0  # median of a trade: of the size of our orders, so that they fill in pieces


@dataclass(frozen=True, slots=True)
class Hour:
    """rows: EVENT_DTYPE, ts_event = the venue's time, in order. times, starts: the distinct times, and the first row of each (one more at the end).
    calm: of each time, the end of the stretch of times from there on that may be told at once where nobody holds or wants anything."""

    rows: np.ndarray
    times: list[int]
    starts: list[int]
    calm: list[int]
    last: np.ndarray  # log price of each symbol at the end


@cache
def contracts(count: int) -> tuple[Contract, ...]:
    return contracts_of(SYMBOLS[:count])


def _episode(draw: np.random.Generator, side: int, steps: int) -> np.ndarray:
    """Log price relative to the start of an episode, on the grid; side = of the positions that are closed by force."""
    t = np.arange(steps) * (STEP_NS / NS)
    depth = draw.uniform(0.003, 0.012)
    path = -side * depth * np.minimum(t / FLUSH_S, 1.0)
    after = np.clip((t - FLUSH_S) / max(t[-1] - FLUSH_S, 1.0), 0.0, 1.0)
    end = ENDS[int(draw.integers(len(ENDS)))]
    if end == "snap":
        path += side * depth * draw.uniform(0.5, 1.2) * np.minimum(after * 3, 1.0)
    elif end == "slide":
        path -= side * depth * draw.uniform(0.5, 1.5) * after
    elif end == "gap":
        path -= side * draw.uniform(0.01, 0.03) * (after > draw.uniform(0.05, 0.5))
    elif end == "whipsaw":
        path += depth * draw.uniform(0.3, 0.8) * np.sin(after * draw.uniform(6, 25))
    return path + np.cumsum(draw.normal(0, 1.2e-4, steps))


def _starts(draw: np.random.Generator, episodes: int) -> np.ndarray:
    starts = np.sort(draw.uniform(5, 3600 - EPISODE_S[1] - 5, episodes))
    return starts[np.concatenate([[True], np.diff(starts) > EPISODE_S[1] + 10])]


def _grid(draw: np.random.Generator, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    """Times of one symbol in ns from the start of the hour, its log price there relative to the start, and (first, last, side) of the episodes."""
    times, steps, marks, at, now_s = [], [], [], 0, 0.0
    for start in [*starts, 3600.0]:
        calm = np.arange(np.ceil(now_s), np.floor(start))
        if len(calm):
            times.append((calm * NS).astype(np.int64))
            steps.append(draw.normal(0, 8e-5, len(calm)))
            at += len(calm)
        if start == 3600.0:
            break
        count = int(draw.uniform(*EPISODE_S) * NS / STEP_NS)
        side = int(draw.choice([1, -1]))
        path = _episode(draw, side, count)
        first = int(np.floor(start) * NS)
        flush, again = int(FLUSH_S * NS / STEP_NS), int(AGAIN_S * NS / STEP_NS)
        marks.append((at, at + flush, side))
        if again + 2 * flush < count and draw.random() < 0.7:  # an aftershock: a cascade of its own
            other = int(draw.choice([1, -1]))
            path[again:] -= other * draw.uniform(0.002, 0.006) * np.minimum(np.arange(count - again) / flush, 1.0)
            marks.append((at + again, at + again + flush, other))
        times.append(first + np.arange(count, dtype=np.int64) * STEP_NS)
        steps.append(np.diff(path, prepend=0.0))
        at += count
        now_s = (first + count * STEP_NS) / NS
    return np.concatenate(times), np.cumsum(np.concatenate(steps)), marks


def _rows(draw: np.random.Generator, contract: Contract, n: int, log_price: float, starts: np.ndarray) -> tuple[np.ndarray, float]:
    """The events of one symbol in an hour, ts_event from its start."""
    times, path, marks = _grid(draw, starts)
    path += log_price + np.float64(np.log(contract.price) - log_price) * 0.3 * np.linspace(0.0, 1.0, len(path))  # pulled back: prices stay prices
    tick = 1.0 / contract.tick_power
    middle = np.round(np.exp(path) / tick)
    count = len(times)
    bbo, trade = np.zeros(count, EVENT_DTYPE), np.zeros(count, EVENT_DTYPE)
    size = np.maximum(np.exp(draw.normal(np.log(TRADE_USD), 1.3, (3, count))) / np.exp(path), 1.0 / contract.lot_power)
    size = np.round(size * contract.lot_power) / contract.lot_power
    bbo["kind"], bbo["price"], bbo["aux_price"] = Kind.BBO, (middle - 1) * tick, (middle + 1) * tick
    bbo["qty"], bbo["aux_qty"] = size[0], size[1]
    side = draw.choice([1, -1], count)
    trade["kind"], trade["side"], trade["price"], trade["qty"] = Kind.TRADE, side, (middle + side) * tick, size[2]
    tickers = bbo[::5].copy()
    tickers["kind"], tickers["price"], tickers["aux_price"], tickers["qty"], tickers["aux_qty"] = Kind.TICKER, middle[::5] * tick, 0.0, 0.0, 1e-4
    parts, stamps = [bbo, trade, tickers], [times, times, times[::5]]
    calm = np.flatnonzero(draw.random(count) < 0.05)
    flush = [np.sort(draw.integers(first, last, int(draw.integers(6, 20)))) for first, last, _ in marks]
    where = np.concatenate([calm, *flush]).astype(np.int64)
    forced = np.zeros(len(where), EVENT_DTYPE)
    forced["kind"], forced["price"] = Kind.LIQUIDATION, middle[where] * tick
    forced["side"] = np.concatenate([draw.choice([1, -1], len(calm)), *(np.full(len(f), side) for f, (_, _, side) in zip(flush, marks, strict=True))])
    usd = np.exp(draw.normal(np.log(500.0), 1.0, len(where))) * np.where(np.arange(len(where)) < len(calm), 1.0, 100.0)
    forced["qty"] = np.maximum(np.round(usd / np.exp(path[where]) * contract.lot_power), 1.0) / contract.lot_power
    parts.append(forced)
    stamps.append(times[where])
    rows, at = np.concatenate(parts), np.concatenate(stamps)
    rows["ts_event"], rows["instrument"] = at, n
    for name in ("price", "aux_price"):  # exact decimals, as a venue's text would give
        rows[name] = np.round(rows[name], contract.tick_decimals)
    return rows, float(path[-1])


def _calm(times: np.ndarray, episodes: list[np.ndarray]) -> list[int]:
    """Ends of calm stretches: far from every episode, and short enough."""
    busy = np.zeros(len(times), bool)
    for starts in episodes:
        for start_s in starts:
            busy |= (times >= (start_s - 3) * NS) & (times <= (start_s + EPISODE_S[1] + CALM_AFTER_S) * NS)
    n = np.arange(len(times))
    following = np.minimum.accumulate(np.where(busy, n, len(times))[::-1])[::-1]  # the next busy one
    return np.where(busy, n + 1, np.minimum(np.maximum(following, n + 1), n + CALM_MAX)).tolist()


def damaged(r: Random, rows: np.ndarray) -> np.ndarray:
    """The rows, and behind them one or two that no venue should send: to be refused, or not to be traded on."""
    out = np.concatenate([rows, rows[[r.randrange(len(rows)) for _ in range(r.randint(1, 2))]]])
    for row in out[len(rows) :]:
        how = r.choice(("price", "qty", "crossed", "old", "stranger"))
        if how == "price":
            row["price"] *= r.choice((0.0, -1.0, np.nan, np.inf, 1000.0, 0.001))
        elif how == "qty":
            row["qty"] = r.choice((-1.0, np.nan, np.inf, 1e17))
        elif how == "crossed":
            row["kind"], row["aux_price"], row["aux_qty"] = Kind.BBO, row["price"] * 0.9, 1.0
        elif how == "old":
            row["ts_event"] -= 10 * NS
        else:
            row["instrument"] = r.choice((-2, 99))
    return out


def hour(seed: int, number: int, symbols: int, last: np.ndarray | None = None, start_ns: int = 0) -> Hour:
    """Hour `number` of a seed's market. last: of the hour before, None = the contracts' own prices."""
    draw = np.random.default_rng([seed, number, 77])
    found = contracts(symbols)
    last = np.log([c.price for c in found]) if last is None else last
    # all symbols at once, as on bad days, or each for itself
    together = _starts(draw, int(draw.integers(*EPISODES))) if draw.random() < 0.5 else None
    starts_s = [_starts(draw, int(draw.integers(*EPISODES))) if together is None else together for _ in found]
    parts, ends = zip(*(_rows(draw, c, n, float(last[n]), starts_s[n]) for n, c in enumerate(found)), strict=True)
    rows = np.concatenate(parts)
    order = np.argsort(rows["ts_event"], kind="stable")
    rows = rows[order]
    rows["ts_event"] += start_ns + number * HOUR_NS
    rows["ts_recv"] = rows["ts_event"]
    times, starts = np.unique(rows["ts_event"], return_index=True)
    calm = _calm(times - start_ns - number * HOUR_NS, starts_s)
    return Hour(rows, times.tolist(), [*starts.tolist(), len(rows)], [min(end, len(times)) for end in calm], np.array(ends))
