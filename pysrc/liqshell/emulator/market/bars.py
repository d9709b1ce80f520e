"""Candles of one price: synthetic ones before the market begins, and those of the market since. One row a minute, without gaps: a minute without
trades has a flat candle at the last close.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.random_draws import Draws, Floats, on_grid

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
PAST_MINUTES = 14 * DAY_MINUTES  # how far back the made-up past reaches
KEPT = PAST_MINUTES + DAY_MINUTES  # rows; when they are full, the oldest day goes
BURSTS = 1.7  # bursts of volatility make a minute so much wider than the calm noise alone
COLUMNS = 7  # start ms, open, high, low, close, volume, turnover
Past = Callable[[float, int], Floats]  # (price that the past ends at, ms of the minute after it) -> rows


class Day(NamedTuple):
    """The last 24 hours of minutes, the running one included. before: the price 24 hours ago; hour: an hour ago."""

    high: float
    low: float
    before: float
    hour: float
    volume: float
    turnover: float


class MadePast:
    """What a generated market did before it began, SYNTHETIC as the rest: a walk back from the first price, as rough as the market itself, the same
    for the same seed. Contracts share a part of their moves, as they do later. basis_bps: a price beside the traded one, such as the index."""

    def __init__(self, contract: Contract, seed: int, basis_bps: float = 0.0) -> None:
        self.contract, self.seed, self.basis_bps = contract, seed, basis_bps

    def __call__(self, price: float, before_ms: int) -> Floats:
        c, n = self.contract, PAST_MINUTES
        common, own, basis = Draws(self.seed, "past"), Draws(self.seed, c.symbol + " past"), Draws(self.seed, c.symbol + " basis")
        minute = 60.0**0.5 * BURSTS * 1e-4
        moves = c.beta * 0.42 * minute * common.normal(n) + c.volatility_bps * minute * own.normal(n)
        ends = price * on_grid(np.exp(np.concatenate([[0.0], -np.cumsum(moves)])))  # newest first: after 0, 1, 2, ... minutes back
        reach = np.abs(moves) + 0.5 * minute * (c.beta * 0.42 + c.volatility_bps)
        above, below = own.uniform(n) * reach * 0.6, own.uniform(n) * reach * 0.6
        hour = (before_ms // MINUTE_MS - 1 - np.arange(n)) % DAY_MINUTES / 60.0
        busy = 1.0 + 0.6 * on_grid(np.cos((hour - 15.0) * np.pi / 12.0))
        usd = c.trades_per_s * 60.0 * c.trade_size_median * 3.0 * busy * on_grid(np.exp(0.6 * own.normal(n)))
        if self.basis_bps:
            ends = ends * (1.0 + self.basis_bps * 1e-4 * np.concatenate([[0.0], basis.normal(n)]))
        tick = 1.0 / c.tick_power
        close, open_ = (np.maximum(np.rint(x / tick), 1.0) * tick for x in (ends[:-1], ends[1:]))
        high = np.rint(np.maximum(open_, close) * (1.0 + above) / tick) * tick
        low = np.maximum(np.rint(np.minimum(open_, close) * (1.0 - below) / tick), 1.0) * tick
        high, low = np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close))
        volume = np.maximum(np.rint(usd / close * c.lot_power), 1.0) / c.lot_power
        rows = np.column_stack([before_ms - MINUTE_MS * (1 + np.arange(n)), open_, high, low, close, volume, volume * (high + low + close) / 3.0])
        return np.ascontiguousarray(rows[::-1])


class Bars:
    """Minutes of one price. decimals: of its text; lots: of quantities, None = there are none (a mark, an index). past: of a generated market; None =
    nothing is known of the time before the first price, as in a recording."""

    def __init__(self, decimals: int, lots: int | None, past: Past | None = None) -> None:
        self.decimals, self.lots, self._past = decimals, lots, past
        self._rows: NDArray[np.float64] = np.zeros((0, COLUMNS))  # whole minutes
        self._n = 0
        self._now: list[float] = []  # the running minute; volume 0 and nothing traded: flat
        self._first: tuple[float, int] | None = None  # what the past ends at, while it has not been made
        self._day: tuple[int, float, float, float, float] = (-1, 0.0, 0.0, 0.0, 0.0)  # rows, high, low, volume, turnover of the whole minutes
        self._traded = False

    def push(self, t_ms: int, price: float, qty: float = 0.0) -> None:
        """A price at a time; qty: what was traded at it."""
        start = t_ms - t_ms % MINUTE_MS
        now = self._now
        if not now:
            self._first = (price, start) if self._past is not None else None
            self._now, self._traded = [start, price, price, price, price, qty, qty * price], True
            return
        if start > now[0]:
            self._close(start)
            now = self._now
        if not self._traded:
            now[1:5] = [price] * 4
            self._traded = True
        now[2], now[3], now[4] = max(now[2], price), min(now[3], price), price
        now[5] += qty
        now[6] += qty * price

    def _close(self, start: int) -> None:
        """The minute that runs is the one that begins at `start`: those before are over."""
        count = (start - int(self._now[0])) // MINUTE_MS
        flat = np.zeros((count, COLUMNS))
        flat[0] = self._now
        flat[1:, 0] = self._now[0] + MINUTE_MS * np.arange(1, count)
        flat[1:, 1:5] = self._now[4]
        self._append(flat[-KEPT + DAY_MINUTES :])
        self._now, self._traded = [start, *[self._now[4]] * 4, 0.0, 0.0], False

    def _append(self, rows: Floats) -> None:
        if self._n + len(rows) > KEPT:
            kept = self._rows[max(self._n + len(rows) - KEPT + DAY_MINUTES - 1, 0) : self._n].copy()
            self._rows[: len(kept)], self._n = kept, len(kept)
            self._day = (-1, 0.0, 0.0, 0.0, 0.0)
        if self._n + len(rows) > len(self._rows):
            more = np.zeros((min(max(2 * len(self._rows), self._n + len(rows), 64), KEPT), COLUMNS))
            more[: self._n] = self._rows[: self._n]
            self._rows = more
        self._rows[self._n : self._n + len(rows)] = rows
        self._n += len(rows)

    def _remember(self) -> None:
        """Make the past, when it is asked for first."""
        if self._first is not None and self._past is not None:
            price, start = self._first
            self._first = None
            lived = self._rows[: self._n].copy()
            self._rows, self._n = self._past(price, start), PAST_MINUTES
            self._append(lived)

    @property
    def known(self) -> bool:
        """Whether there is any price."""
        return bool(self._now)

    def day(self, now_ms: int) -> Day:
        """The last 24 hours; ask only when something is known."""
        self._remember()
        start = now_ms - now_ms % MINUTE_MS
        if start > self._now[0]:
            self._close(start)
        n, now = self._n, self._now
        first = max(n - DAY_MINUTES + 1, 0)
        if self._day[0] != n:
            rows = self._rows[first:n]
            self._day = (
                n,
                float(rows[:, 2].max(initial=0.0)),
                float(rows[:, 3].min(initial=float("inf"))),
                float(rows[:, 5].sum()),
                float(rows[:, 6].sum()),
            )
        _, high, low, volume, turnover = self._day
        hour = self._rows[n - 59, 1] if n >= 59 else self._rows[0, 1] if n else now[1]
        return Day(max(high, now[2]), min(low, now[3]), float(self._rows[first, 1]) if n else now[1], float(hour), volume + now[5], turnover + now[6])

    def rows(self, interval_ms: int, now_ms: int, start: int | None = None, end: int | None = None, limit: int = 200, offset_ms: int = 0) -> Floats:
        """Candles, oldest first: the last `limit` that begin by `end`; with `start` and no `end` the first `limit` from the one that holds `start`.
        offset_ms: where candles begin within multiples of the interval."""
        if not self._now:
            return np.zeros((0, COLUMNS))
        self._remember()
        minute = now_ms - now_ms % MINUTE_MS
        if minute > self._now[0]:
            self._close(minute)
        last = int(self._now[0]) if end is None else min(int(self._now[0]), end)
        first = int(self._rows[0, 0]) if self._n else int(self._now[0])
        low = first if start is None else max(first, start - (start - offset_ms) % interval_ms)
        top = last - (last - offset_ms) % interval_ms
        if start is not None and end is None:
            top = min(top, low - (low - offset_ms) % interval_ms + (limit - 1) * interval_ms)
        low = max(low, top - (limit - 1) * interval_ms)
        i, j = max(low - first, 0) // MINUTE_MS, (top + interval_ms - first) // MINUTE_MS
        if j <= i:
            return np.zeros((0, COLUMNS))
        found = self._rows[i : min(j, self._n)]
        if j > self._n:
            found = np.concatenate([found, [self._now]])
        return _merged(found, interval_ms, offset_ms)

    def klines(self, interval_ms: int, now_ms: int, start: int | None = None, end: int | None = None, limit: int = 200) -> list[list[str]]:
        """The same newest first, as texts: start, open, high, low, close, and where there are quantities volume, turnover."""
        out = []
        for row in self.rows(interval_ms, now_ms, start, end, limit)[::-1].tolist():
            texts = [str(int(row[0])), *(f"{x:.{self.decimals}f}" for x in row[1:5])]
            out.append(texts if self.lots is None else [*texts, f"{row[5]:.{self.lots}f}", f"{row[6]:.4f}"])
        return out


def _merged(minutes: Floats, interval_ms: int, offset_ms: int) -> Floats:
    """Minutes as longer candles."""
    starts = minutes[:, 0] - (minutes[:, 0] - offset_ms) % interval_ms
    at = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1]]))
    out = np.empty((len(at), COLUMNS))
    out[:, 0], out[:, 1] = starts[at], minutes[at, 1]
    out[:, 2], out[:, 3] = np.maximum.reduceat(minutes[:, 2], at), np.minimum.reduceat(minutes[:, 3], at)
    out[:, 4] = minutes[np.append(at[1:], len(minutes)) - 1, 4]
    out[:, 5], out[:, 6] = np.add.reduceat(minutes[:, 5], at), np.add.reduceat(minutes[:, 6], at)
    return out
