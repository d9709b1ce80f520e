"""The requirements of the scale gate: a second contract, a third and fourth, more size; each from live results of the latest days."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from liqshell.gate.evidence import Evidence
from liqshell.gate.items import FAIL, PASS, THIN, Item, inside, of_share
from liqshell.report.coverage import DAY_NS
from liqshell.report.statistics import spaced_mean
from liqshell.report.text import number, percent, plural

SCALE = "scale"
STEPS = (("scale.second", "A second contract", 7.0), ("scale.third", "A third and a fourth contract", 14.0), ("scale.size", "More size", 30.0))
STREAK = 5  # losses in a row, or a week that lost: no number is written
FILL_SHARE = 0.4
MONTH_DAYS = 30.0


def scale_items(live: Evidence) -> Iterator[Item]:
    """live: of the live runs; `results`: their earnings; `decided`: the outcomes of their resting entries."""
    end = max((end for spans in live.spans.values() for _, end in spans), default=0)
    days = max(live.days.values(), default=0.0)
    for id_, title, least in STEPS:
        yield _profit(id_, title, least, live, end, days)
    yield _streak(live, end)
    month = [filled for ts, filled in live.decided if ts > end - MONTH_DAYS * DAY_NS]
    yield of_share(
        "scale.fills",
        SCALE,
        "Resting entries are filled as before",
        f"at least {percent(FILL_SHARE, 0)} of those of {MONTH_DAYS:g} days; below that, a smaller size",
        sum(month),
        len(month),
        FILL_SHARE,
        note="With [limits] fill_rate_min a run reduces its entries by itself, from 20 entries on.",
    )


def _recent(live: Evidence, end: int, days: float) -> list[tuple[int, int, float, float]]:
    return [one for one in live.results if one[0] > end - days * DAY_NS]


def _profit(id_: str, title: str, least: float, live: Evidence, end: int, days: float) -> Item:
    """Profitable: the mean net result of a trade of these days is above zero with its whole interval."""
    found = _recent(live, end, least)
    test = spaced_mean([bps for _, _, _, bps in found], [ts for ts, _, _, _ in found], max((held for _, held, _, _ in found), default=0))
    low, high = test["low"], test["high"]
    verdict = inside(low, high, math.ulp(0.0), math.inf) if found else THIN
    measured = (
        (
            f"{number(math.fsum(net for _, _, net, _ in found), 2, True)} net in {plural(len(found), 'trade')}, "
            f"{number(test['mean'], 1, True)} bps each; {days:.1f} days covered"
        )
        if found
        else ""
    )
    return Item(
        id_,
        SCALE,
        title,
        f"the latest {least:g} days of live trading profitable beyond chance, after all costs",
        measured,
        verdict if days >= least or verdict == FAIL else THIN,
        len(found),
        test["mean"],
        low,
        high,
        unit="bps",
    )


def _streak(live: Evidence, end: int) -> Item:
    nets = [net for _, _, net, _ in live.results]
    week = math.fsum(net for _, _, net, _ in _recent(live, end, 7.0))
    lost = _losses(nets)
    verdict = THIN if len(nets) < STREAK else FAIL if lost >= STREAK or week < 0.0 else PASS
    return Item(
        "scale.streak",
        SCALE,
        "No losing streak",
        f"fewer than {STREAK} losses in a row now, and the latest week did not lose",
        f"{plural(lost, 'loss', 'losses')} in a row; the latest week {number(week, 2, True)}" if nets else "",
        verdict,
        len(nets),
        float(lost),
        unit="losses",
        note="After a losing streak a person must find what has changed; there is no growth.",
    )


def _losses(nets: Sequence[float]) -> int:
    """How many of the latest results are losses, without a gain between."""
    count = 0
    for net in reversed(nets):
        if net > 0.0:
            break
        count += 1
    return count
