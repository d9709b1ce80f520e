"""What many verdicts come to, and what of it must not be."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from martingales.campaign import HALF_BPS, POLICIES, QUOTES, TAKERS, Cell, Verdict

CLAIMED_MAX, FOUND_MIN = 0.05, 0.90
UNBIASED_BPS, ERROR_MAX_BPS = 1.0, 0.3
WHOLE_RUN = 100  # markets of a cell from which on nothing is allowed for chance
UNLIKELY = 1e-4  # by chance, in a smaller run
SURE = 0.95  # of a deflated Sharpe


def claimed(v: Verdict) -> bool:
    """An edge beyond its controls. Of those who take, a deflated Sharpe above 95 % too: they pay the spread, so there is none. Those who rest are
    paid it on such a market, where nobody knows more than they do; that is true, their controls are paid it as well, and it is no edge."""
    return v.edge or v.policy in TAKERS and v.deflated is not None and v.deflated > SURE


def found(v: Verdict) -> bool:
    """A planted edge: claimed where it is more than it costs, else told from chance by the report's words."""
    return v.edge if v.case.cell == Cell("free", 1, "whole") else v.better


def groups(verdicts: Iterable[Verdict], planted: bool) -> dict[tuple[Cell, str], list[Verdict]]:
    out: dict[tuple[Cell, str], list[Verdict]] = defaultdict(list)
    for v in verdicts:
        if bool(v.case.planted) is planted:
            out[v.case.cell, v.policy].append(v)
    return dict(out)


@dataclass(frozen=True)
class Mean:
    """Mean of trades in bps, and its error where the trades of one market may move together."""

    n: int
    value: float
    error: float


def pooled(one: list[Verdict], other: list[Verdict] | None = None) -> Mean:
    """The mean of all trades; with `other`, how much more it is than the other's, market by market the same path."""
    parts = [p for p in (one, other) if p is not None]
    sums = [Counter({v.case.seed: math.fsum(v.bps) for v in p}) for p in parts]
    sizes = [Counter({v.case.seed: len(v.bps) for v in p}) for p in parts]
    totals = [sum(size.values()) for size in sizes]
    means = [math.fsum(s.values()) / max(1, n) for s, n in zip(sums, totals, strict=True)]
    seeds = sorted(set().union(*sums))
    pulls = [[(s[k] - m * size[k]) / max(1, n) for s, size, m, n in zip(sums, sizes, means, totals, strict=True)] for k in seeds]
    around = math.fsum((p[0] - (p[1] if other is not None else 0.0)) ** 2 for p in pulls)
    return Mean(min(totals), means[0] - (means[1] if other is not None else 0.0), math.sqrt(around * len(seeds) / max(1, len(seeds) - 1)))


def unlikely(k: int, n: int, share: float, above: bool) -> bool:
    """Whether k of n would be so far off by chance less often than UNLIKELY where the truth is `share`."""
    ways = range(k, n + 1) if above else range(k + 1)
    return math.fsum(math.comb(n, j) * share**j * (1 - share) ** (n - j) for j in ways) < UNLIKELY


def gaps(verdicts: list[Verdict]) -> dict[tuple[str, int, str], Mean]:
    """(policy, half of the spread, quotes) -> mean of a trade less that with whole quotes, without fees."""
    free = groups(verdicts, planted=False)
    return {
        (policy, half, quotes): pooled(free[Cell("free", half, quotes), policy], free[Cell("free", half, "whole"), policy])
        for policy in POLICIES
        for half in HALF_BPS
        for quotes in QUOTES
        if quotes != "whole" and (Cell("free", half, quotes), policy) in free
    }


def problems(verdicts: list[Verdict]) -> list[str]:
    """What the issue does not allow. In a run of fewer than WHOLE_RUN markets, only what chance cannot explain."""
    out = []
    for planted, judge, limit in ((False, claimed, CLAIMED_MAX), (True, found, FOUND_MIN)):
        for (cell, policy), those in groups(verdicts, planted).items():
            n, k = len(those), sum(map(judge, those))
            off = k > limit * n if not planted else k < limit * n
            if off and (n >= WHOLE_RUN or unlikely(k, n, limit, not planted)):
                out.append(
                    f"{cell}, {policy}: {'found' if planted else 'claimed'} in {k} of {n}, {limit:.0%} is the {'least' if planted else 'most'}"
                )
    whole = len({v.case.seed for v in verdicts}) >= WHOLE_RUN
    for (policy, half, quotes), gap in gaps(verdicts).items():
        if quotes == "thin":
            continue  # what is left of them is true, and old: reported, not judged
        if abs(gap.value) > UNBIASED_BPS + (0.0 if whole else 4 * gap.error):
            out.append(f"{policy}, {half} bps, quotes {quotes}: {gap.value:+.2f} bps a trade more than with whole quotes (error {gap.error:.2f})")
        if whole and gap.error > ERROR_MAX_BPS:
            out.append(f"{policy}, {half} bps, quotes {quotes}: too few trades to tell: error {gap.error:.2f} bps")
    return out


def table(verdicts: list[Verdict]) -> str:
    """For people."""
    heads = ("edge", "DSR>95%", "quote", "print", "moved")
    rows = [f"{'cell':27}{'policy':16}{'trades':>7}{'bps':>9}{'error':>7}{'claimed':>9}" + "".join(f"{head:>8}" for head in heads)]
    for planted in (False, True):
        rows += ["", "with a reversal planted: found"] if planted else []
        for (cell, policy), those in sorted(groups(verdicts, planted).items(), key=lambda item: (str(item[0][0]), item[0][1])):
            mean, n = pooled(those), len(those)
            sure = sum(v.deflated is not None and v.deflated > SURE for v in those)
            judged = sum(map(found if planted else claimed, those))
            how = sum((Counter(v.fills) for v in those), Counter())
            total = max(1, sum(how.values()))
            rows.append(
                f"{str(cell):27}{policy:16}{mean.n:7}{mean.value:9.2f}{mean.error:7.2f}{judged:5}/{n:<3}{sum(v.edge for v in those):8}{sure:8}"
                + "".join(f"{how[key] / total:8.1%}" for key in ("quote", "print", "moved"))
            )
    rows += ["", "mean of a trade less that with whole quotes, bps:"]
    rows += [
        f"{policy:16}{half:2} bps  quotes {quotes:6}{gap.value:+9.2f}  error {gap.error:.2f}"
        for (policy, half, quotes), gap in gaps(verdicts).items()
    ]
    return "\n".join(rows)


def as_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "seed": v.case.seed,
            "cell": str(v.case.cell),
            "planted": v.case.planted,
            "policy": v.policy,
            "trades": len(v.bps),
            "edge": v.edge,
            "mean_bps": math.fsum(v.bps) / len(v.bps) if v.bps else None,
            "better": v.better,
            "deflated": v.deflated,
            "runs": v.runs,
            "fills": v.fills,
        }
        for v in verdicts
    ]
