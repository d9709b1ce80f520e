"""The result of a gate for one requirement, and the verdict on a number with an interval."""

from __future__ import annotations

from dataclasses import dataclass

from liqshell.report.statistics import poisson, wilson
from liqshell.report.text import interval, percent
from liqshell.report.verdicts import ABOVE, BELOW, CLAIMED, Measured

PASS, FAIL, THIN = "pass", "fail", "not enough data"


@dataclass(frozen=True, slots=True)
class Item:
    """One requirement. id: stable, for programs. source: its gate, paper, live or scale. required: in words. measured: in words, "" where nothing
    was. n: of what is counted; value, low, high: the number and its 95 % interval in `unit` ("share": 0..1), None where it is no number. note: the
    context that a reader needs."""

    id: str
    source: str
    title: str
    required: str
    measured: str
    verdict: str
    n: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    unit: str = ""

    @property
    def interval(self) -> str:
        """The 95 % interval as a person reads it, a dash where there is none."""
        if self.unit == "share":
            return interval(self.low, self.high, percent)
        return interval(self.low, self.high) + (f" {self.unit}" if self.unit and self.low is not None and self.high is not None else "")


def inside(low: float | None, high: float | None, least: float, most: float) -> str:
    """Pass if the whole interval lies within [least, most], fail if none of it does; otherwise there is too little data."""
    return {CLAIMED: PASS, BELOW: FAIL, ABOVE: FAIL}.get(Measured(low, low, high, least=0).against(least, most), THIN)


def share_inside(k: int, n: int, least: float, most: float = 1.0) -> tuple[str, float | None, float | None, float | None]:
    """(verdict, share, low, high) of k in n."""
    if not n:
        return THIN, None, None, None
    low, high = wilson(k, n)
    return inside(low, high, least, most), k / n, low, high


def of_share(id: str, source: str, title: str, required: str, k: int, n: int, least: float, most: float = 1.0, note: str = "") -> Item:
    """The requirement that the share of k in n is from least to most."""
    verdict, value, low, high = share_inside(k, n, least, most)
    return Item(id, source, title, required, f"{percent(value)}, {k} of {n}" if n else "", verdict, n, value, low, high, note, "share")


def flawless(faults: int, n: int, least: int) -> str:
    """One fault fails, whatever n; none passes from `least` cases on."""
    return FAIL if faults else PASS if n >= least else THIN


def counted(faults: int, n: int) -> tuple[float, float | None, float | None]:
    """(faults, low, high): how many another n cases would lead one to expect, by the Poisson interval of the count."""
    return (float(faults), *(poisson(faults) if n else (None, None)))
