"""The spot price that the emulated markets settle on: a walk of its own, or the emulator's contract BTCUSDT."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from liqshell.emulator.market.market_state import SymbolState

NS = 1_000_000_000
HOUR = 3600 * NS
SYMBOL = "BTCUSDT"


class Spot(Protocol):
    def price(self, now: int) -> float: ...
    def candles(self, now: int, count: int) -> list[tuple[int, float, float]]:
        """(start, open, close) of the last `count` hours, oldest first; the last is the running one."""


class Walk:
    """A driftless walk with one price a second; it depends on the seed only. volatility: of the log price in an hour."""

    def __init__(self, seed: int, start: int, price: float = 64_000.0, volatility: float = 0.006, past_hours: int = 72):
        self.seed, self._first, self._step = seed, start // HOUR - past_hours, volatility / 60.0
        self._paths: list[np.ndarray] = []
        self._at = np.log(price)

    def _path(self, hour: int) -> np.ndarray:
        """Log prices at the seconds 0 to 3600 of an hour."""
        while len(self._paths) <= hour - self._first:
            moves = np.random.default_rng([self.seed, 7, self._first + len(self._paths)]).normal(0.0, self._step, 3600)
            path = self._at + np.concatenate([[0.0], np.cumsum(moves)])
            self._at = path[-1]
            self._paths.append(path)
        return self._paths[max(hour - self._first, 0)]

    def price(self, now: int) -> float:
        return round(float(np.exp(self._path(now // HOUR)[now % HOUR // NS])), 2)

    def candles(self, now: int, count: int) -> list[tuple[int, float, float]]:
        hours = range(max(now // HOUR - count + 1, self._first), now // HOUR + 1)
        # the last price of an hour is that of its last second
        return [(hour * HOUR, self.price(hour * HOUR), self.price(min(now, (hour + 1) * HOUR - NS))) for hour in hours]


class OfContract:
    """The price of the emulator's own contract, so that a flush there also occurs here."""

    def __init__(self, state: SymbolState):
        self._state = state

    def price(self, now: int) -> float:
        found = self.candles(now, 1)
        return found[-1][2] if found else 0.0

    def candles(self, now: int, count: int) -> list[tuple[int, float, float]]:
        rows = self._state.bars.rows(HOUR // 1_000_000, now // 1_000_000, limit=count)
        return [(int(row[0]) * 1_000_000, float(row[1]), float(row[4])) for row in rows]
