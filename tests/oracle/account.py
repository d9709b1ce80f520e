"""Plain-Python oracle of the account: average cost in exact fractions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction


class AccountOracle:
    """One instrument; `unit` = tick * lot * multiplier as a fraction, prices in ticks."""

    def __init__(self, equity, unit: Fraction):
        self.start, self.unit = Fraction(equity), unit
        self.lots, self.cost, self.realized, self.fees, self.mark = 0, Fraction(0), Fraction(0), Fraction(0), Fraction(0)

    def fill(self, side: int, ticks: int, lots: int, fee: float) -> None:
        self.fees += Fraction(fee)
        signed = side * lots
        if self.lots * signed < 0:
            closed = min(abs(signed), abs(self.lots)) * (1 if signed > 0 else -1)
            average = self.cost / self.lots
            self.realized += (average - ticks) * closed * self.unit
            self.cost += average * closed
            self.lots += closed
            signed -= closed
        self.lots += signed
        self.cost += ticks * signed
        if self.mark == 0:
            self.mark = Fraction(ticks)

    @property
    def unrealized(self) -> Fraction:
        return (self.mark * self.lots - self.cost) * self.unit

    @property
    def equity(self) -> Fraction:
        return self.start + self.realized - self.fees + self.unrealized


def day_of(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d")


def week_of(ns: int) -> str:
    """The Monday that its week began with."""
    day = datetime.fromtimestamp(ns // 10**9, UTC)
    return (day - timedelta(days=day.weekday())).strftime("%Y-%m-%d")
