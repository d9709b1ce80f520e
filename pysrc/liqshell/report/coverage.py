"""The time covered by the data: gaps, covered hours, whole days, and rates per covered hour."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from liqcore.event import Completeness
from liqshell.recording.marks import outages, union
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.statistics import DAY_NS as DAY_NS
from liqshell.report.statistics import HOUR_NS as HOUR_NS
from liqshell.report.statistics import poisson, wilson
from liqshell.report.stories import Ledger

COVERED_LEAST = 0.5  # of a day: below it the day is one without data, not one without trades


def gaps(run: Run, ledger: Ledger, instrument: int) -> list[tuple[int, int]]:
    """Spans (ns) in which the instrument's feed is known to have been incomplete."""
    marks = (
        (max(run.started_ns, ts - round(max(0.0, missed_s) * 1e9)), ts, state, streams)
        for ts, n, state, missed_s, streams in ledger.feed
        if n in (-1, instrument)
    )
    return union(outages(marks, run.ended_ns))


def covered_hours(run: Run, ledger: Ledger, instrument: int) -> float:
    """Market time that the feed covered."""
    missing = sum(end - start for start, end in gaps(run, ledger, instrument))
    return max(0.0, (run.ended_ns - run.started_ns - missing) / HOUR_NS)


def liquidation_hours(run: Run, ledger: Ledger, parts: Sequence[dict[str, Any]]) -> list[float]:
    """Market time that the feed of liquidations covered, of each instrument. Data without any liquidation of a contract cover none, unless the feed's
    completeness is known: files of trades say nothing about liquidations. parts: of origin.data."""
    unknown = COMPLETENESS[Completeness.COMPLETENESS_UNKNOWN]
    return [0.0 if part["liquidations"] == 0 and part["completeness"] == unknown else covered_hours(run, ledger, n) for n, part in enumerate(parts)]


def rate(count: int, hours: float) -> dict[str, float | int | None]:
    """Events per covered hour with the 95 % Poisson interval."""
    if hours <= 0:
        return {"n": count, "hours": hours, "per_hour": None, "low": None, "high": None}
    low, high = poisson(count)
    return {"n": count, "hours": hours, "per_hour": count / hours, "low": low / hours, "high": high / hours}


def share(count: int, n: int) -> dict[str, float | int | None]:
    low, high = wilson(count, n)
    return {"k": count, "n": n, "share": count / n if n else None, "low": low if n else None, "high": high if n else None}


def calendar(start_ns: int, end_ns: int, missing: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, float, float]]:
    """(day since 1970, share of it that the data covered, hours of it) for each UTC day that a span touches. missing: gaps of each instrument."""
    rows = []
    for day in range(start_ns // DAY_NS, (end_ns - 1) // DAY_NS + 1) if end_ns > start_ns else ():
        begin, end = max(day * DAY_NS, start_ns), min((day + 1) * DAY_NS, end_ns)
        lost = sum(max(0, min(b, end) - max(a, begin)) for spans in missing for a, b in spans) / max(1, len(missing))
        rows.append((day, 1 - lost / (end - begin), (end - begin) / HOUR_NS))
    return rows


def is_whole(covered: float, hours: float) -> bool:
    """Whether a UTC day counts as a day of results: a piece of a day is none, nor is one without data."""
    return covered >= COVERED_LEAST and hours == 24.0


def whole(found: Sequence[tuple[int, float, float]], first_day: int, days: int) -> np.ndarray:
    """Of so many UTC days from first_day on, which count: of calendar()."""
    out = np.zeros(days, bool)
    for day, covered, hours in found:
        if 0 <= day - first_day < days:
            out[day - first_day] = is_whole(covered, hours)
    return out


def whole_days(run: Run, ledger: Ledger) -> list[tuple[int, bool]]:
    """Days of 24 h from the start: (start in ns, whether the data covered enough of it, averaged over the instruments)."""
    count = int((run.ended_ns - run.started_ns) // DAY_NS)
    missing = [0.0] * count
    for n in range(len(run.instruments)):
        for start, end in gaps(run, ledger, n):
            first, last = (start - run.started_ns) // DAY_NS, (end - run.started_ns - 1) // DAY_NS
            for k in range(max(0, first), min(last + 1, count)):
                begin = run.started_ns + k * DAY_NS
                missing[k] += (min(end, begin + DAY_NS) - max(start, begin)) / DAY_NS / len(run.instruments)
    return [(run.started_ns + k * DAY_NS, 1 - part >= COVERED_LEAST) for k, part in enumerate(missing)]
