"""The tick and lot size of prices and quantities, if the source does not state them.

A price of 1,872.35 lies on a grid of two decimals. Decimals are counted exactly: p is on the grid of d decimals where rint(p * 10**d) / 10**d is p,
because a correctly rounded division gives the double nearest to the decimal, and so does whoever read the number from text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

DECIMALS_MAX = 12
UNFIT = DECIMALS_MAX + 1  # key of values that fit no grid: averages, floats with noise
OUTLIERS = 0.001  # share of values that a grid may leave out; they are rounded at loading, and counted
STEPS_MIN = 200  # least number of values for a common divisor; fewer may all be multiples of 5 by chance
UNITS_MAX = 1 << 31  # prices and quantities are loaded as int32
PIECE = 1 << 15  # values whose intermediate results stay in the processor's cache
_POWERS = np.array([10.0**d for d in range(DECIMALS_MAX + 1)])


@dataclass
class Grid:
    """How many of the values need how many decimals, and their greatest common divisor in units of the last one."""

    counts: dict[int, int]
    divisors: dict[int, int]
    largest: float = 0.0

    @staticmethod
    def of(values: np.ndarray) -> Grid:
        return Grid.sum(Grid._of(values[n : n + PIECE]) for n in range(0, len(values), PIECE))

    @staticmethod
    def _of(values: np.ndarray) -> Grid:
        counts: dict[int, int] = {}
        divisors: dict[int, int] = {}
        left = values[(values > 0.0) & (values < np.inf)]
        largest = float(left.max()) if len(left) else 0.0
        for decimals in range(DECIMALS_MAX + 1):
            if not len(left):
                break
            scaled = np.rint(left * _POWERS[decimals])
            fits = (scaled / _POWERS[decimals] == left) & (scaled < 2.0**53)
            if count := int(np.count_nonzero(fits)):
                counts[decimals] = count
                divisors[decimals] = _divisor(scaled[fits])
                left = left[~fits]
        if len(left):
            counts[UNFIT] = len(left)
        return Grid(counts, divisors, largest)

    @staticmethod
    def sum(grids: Iterable[Grid]) -> Grid:
        out = Grid({}, {})
        for grid in grids:
            for decimals, count in grid.counts.items():
                out.counts[decimals] = out.counts.get(decimals, 0) + count
            for decimals, divisor in grid.divisors.items():
                out.divisors[decimals] = math.gcd(out.divisors.get(decimals, 0), divisor)
            out.largest = max(out.largest, grid.largest)
        return out

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def noisy(self) -> bool:
        """Whether more than a thousandth of the values are on no grid at all: quotients and averages."""
        return self.counts.get(UNFIT, 0) > self.total * OUTLIERS

    def step(self) -> Decimal | None:
        """The coarsest step of 1, 2, 2.5 or 5 times a power of ten that all but a thousandth of the values stand on; None without values."""
        total = self.total
        if not total:
            return None
        covered, decimals = 0, 0
        for decimals in sorted(self.counts):
            covered += self.counts[decimals]
            if covered >= total * (1.0 - OUTLIERS):
                break
        if decimals == UNFIT:  # no grid: as fine as int32 allows
            decimals = DECIMALS_MAX
        while decimals > 0 and self.largest * 10.0**decimals * 4.0 >= UNITS_MAX * self._units(decimals):  # room for a fourfold price
            decimals -= 1
        units = self._units(decimals)
        while decimals > 0 and units % 10 == 0:  # 0.001, not 0.001000
            units, decimals = units // 10, decimals - 1
        return Decimal(units).scaleb(-decimals)

    def _units(self, decimals: int) -> int:
        """The step of the values that need no more decimals, in units of the last one."""
        divisor = 0
        for d, value in self.divisors.items():
            if d <= decimals:
                divisor = math.gcd(divisor, value * 10 ** (decimals - d))
        return _round_down(divisor if self.total >= STEPS_MIN else 1)

    def as_dict(self) -> dict[str, object]:
        counts, divisors = ({str(d): of[d] for d in sorted(of)} for of in (self.counts, self.divisors))
        return {"counts": counts, "divisors": divisors, "largest": self.largest}

    @staticmethod
    def load(found: dict[str, dict[str, int]]) -> Grid:
        counts, divisors = ({int(d): n for d, n in found[name].items()} for name in ("counts", "divisors"))
        return Grid(counts, divisors, float(found["largest"]))  # type: ignore[arg-type]


def _divisor(values: np.ndarray) -> int:
    """The greatest common divisor of whole numbers. That of the first ones is a multiple of it, and mostly 1: then the others need not be divided."""
    first = int(np.gcd.reduce(values[:256].astype(np.int64)))
    return first if first == 1 else int(np.gcd.reduce(values.astype(np.int64)))


def _round_down(divisor: int) -> int:
    """The largest of 1, 2, 2.5, 5 times a power of ten that divides; 1 where none does."""
    best = 1
    power = 1
    while divisor and power <= divisor:
        for step in (power, power * 2, power * 5 // 2 if power >= 10 else 0, power * 5):
            if step and divisor % step == 0:
                best = max(best, step)
        power *= 10
    return best
