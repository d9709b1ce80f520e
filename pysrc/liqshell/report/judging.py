"""Evaluation of a judge: the value of its answers against controls without information, and the conclusion.

Each question has a shadow bracket, the trade that it would have been by itself, so confirmed and vetoed ones are compared without what limits, places
and cooldowns make of them. A judge adds value if the entries that it confirmed did better than those that it refused: the interval of that
difference, with standard errors by UTC day of the question (Liang, Zeger 1986), lies above 0. A losing strategy gains by any refusal, so the saved
sum alone is no evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from liqshell.report.statistics import CLUSTERS_MIN, DAY_NS, DRAWS, FEW, clustered_mean, mean_test, numbered, t_quantile, wilson
from liqshell.report.verdicts import warned

#: what a confidence says, read as the chance that the trade ends with a gain
CHANCE = {1: 1 / 3, 2: 1 / 2, 3: 2 / 3}
DAYS_LEAST = 8  # with fewer the standard errors of a difference are too small
VALUES_MAX = 1 << 20  # of random draws that are in memory at once


def of_run(meta: dict[str, Any], judged: Any) -> dict[str, Any] | None:
    """report.json's "judge"; None for a run without a judge. answered: questions by status; evaluation: summarise(), None of a run
    that was no backtest."""
    found = meta.get("judge")
    if not isinstance(found, dict):
        return None
    return {
        "kind": found.get("kind"),
        "contaminated": bool(found.get("contaminated")),
        "answered": found.get("answered") or {},
        "evaluation": summarise(judged),
    }


def summarise(judged: Any) -> dict[str, Any] | None:
    """The value of the answers; None if it cannot be computed. judged: study.Judged."""
    if not judged:
        return None
    entered = np.array([action == "enter" for action in judged["action"]], bool)
    answered = np.array([action is not None for action in judged["action"]], bool)
    could = np.array(judged["enterable"], bool)
    net = np.array([math.nan if x is None else x for x in judged["net"]])
    bps = np.array([math.nan if x is None else x for x in judged["net_bps"]])
    days = np.array(judged["asked_ns"], np.int64) // DAY_NS
    groups = {"confirmed": entered, "vetoed": answered & ~entered & could, "unjudged": ~answered & could}
    rows = [{"what": name, "questions": int(which.sum()), **_group(bps[which], net[which], days[which])} for name, which in groups.items()]
    known = np.isfinite(bps) & answered & could
    difference = against(bps[known], entered[known], days[known])
    out: dict[str, Any] = {
        "questions": len(entered),
        "statuses": dict(sorted(Counter(judged["status"]).items())),
        "contaminated": judged["contaminated"],
        "only_held": int((~could).sum()),
        "groups": rows,
        "difference": difference,
        "controls": _controls(judged, entered, could, bps, net, days),
        "brier": _brier(np.array(judged["confidence"]), entered & np.isfinite(net), net),
        "drift_bps": _numbers(judged["drift_bps"]),
        "waited_s": _quantiles(judged["waited_s"]),
        "saved": -float(np.nansum(net[groups["vetoed"]])),
        "cost": math.fsum(judged["cost"]),
        "cost_per_entry": math.fsum(judged["cost"]) / int(entered.sum()) if entered.any() else None,
    }
    return out | {"adds": _adds(difference), "verdict": verdict(out)}


def against(bps: np.ndarray, entered: np.ndarray, days: np.ndarray) -> dict[str, Any]:
    """Mean of the confirmed less mean of the vetoed, bps, with its 95 % interval: a regression on one dummy, errors by day, Student's t with days - 1
    degrees of freedom and the factor for few clusters. None where there are too few of either, or too few days."""
    n, yes = len(bps), int(entered.sum())
    out: dict[str, Any] = {"n": n, "confirmed": yes, "vetoed": n - yes, "days": 0, "mean_bps": None, "low_bps": None, "high_bps": None, "t": None}
    if not yes or yes == n:
        return out
    of, count = numbered(days.tolist())
    mean = float(bps[entered].mean() - bps[~entered].mean())
    out |= {"days": count, "mean_bps": mean}
    # days on which both, or either, was said carry the information; each side needs several of them
    sides = [len(set(days[which].tolist())) for which in (entered, ~entered)]
    if count < DAYS_LEAST or min(sides) < CLUSTERS_MIN or n < FEW:
        return out
    rest = np.where(entered, bps - bps[entered].mean(), bps - bps[~entered].mean())
    weight = np.where(entered, 1.0 / yes, -1.0 / (n - yes))
    sums = np.bincount(of, rest * weight, count)
    error = math.sqrt(count / (count - 1) * (n - 1) / (n - 2) * float(sums @ sums))
    half = t_quantile(min(min(sides), count) - 1) * error
    return out | {"low_bps": mean - half, "high_bps": mean + half, "t": mean / error if error > 0.0 else None}


def _group(bps: np.ndarray, net: np.ndarray, days: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(bps)
    found = clustered_mean(bps[known].tolist(), days[known].tolist())
    return {
        "n": int(known.sum()),
        "mean_bps": found["mean"],
        "low_bps": found["low"],
        "high_bps": found["high"],
        "net": float(np.nansum(net)),
        "won": int((net[known] > 0.0).sum()),
    }


def _controls(judged: Any, entered: np.ndarray, could: np.ndarray, bps: np.ndarray, net: np.ndarray, days: np.ndarray) -> list[dict[str, Any]]:
    """The judge and the controls on the same questions. agrees: with the judge, a share with its interval. Random draws enter as many."""
    known = np.isfinite(bps) & could
    answers = {
        "the judge": entered,
        "always yes": could,
        "always no": np.zeros(len(could), bool),
        "rules": np.array(judged["rules"], bool),
        "rules, shuffled news": np.array(judged["shuffled"], bool),
    }
    rows = []
    for name, says in answers.items():
        which, same = says & known, int((says == entered)[could].sum())
        low, high = wilson(same, int(could.sum()))
        rows.append(
            {
                "who": name,
                "entered": int((says & could).sum()),
                **_group(bps[which], net[which], days[which]),
                "agrees": same / int(could.sum()) if could.any() else None,
                "agrees_low": low,
                "agrees_high": high,
            }
        )
    drawn = _at_random(net[known], bps[known], int((entered & known).sum()), judged["seed"])
    return [
        *rows,
        {
            "who": "random, as many",
            "entered": int((entered & known).sum()),
            "n": int((entered & known).sum()),
            "agrees": None,
            "agrees_low": None,
            "agrees_high": None,
            "won": None,
            **drawn,
        },
    ]


def _at_random(net: np.ndarray, bps: np.ndarray, count: int, seed: int) -> dict[str, Any]:
    """The result of as many random entries: the mean and the 95 % range of the draws."""
    if not count:
        return {"mean_bps": None, "low_bps": None, "high_bps": None, "net": 0.0}
    draw = np.random.default_rng([seed, 4])
    at_once = max(1, VALUES_MAX // len(bps))
    found = np.concatenate(
        [draw.permuted(np.tile(bps, (min(at_once, DRAWS - n), 1)), axis=1)[:, :count].mean(axis=1) for n in range(0, DRAWS, at_once)]
    )
    low, high = np.quantile(found, [0.025, 0.975]).tolist()
    return {"mean_bps": float(bps.mean()), "low_bps": low, "high_bps": high, "net": float(net.mean() * count)}


def _brier(confidence: np.ndarray, which: np.ndarray, net: np.ndarray) -> dict[str, Any]:
    """Mean squared distance between what the confidence says (CHANCE) and whether the trade gained; beside it that of the base rate alone, which a
    confidence that knows something beats. Of what was confirmed."""
    won = (net[which] > 0.0).astype(float)
    if not len(won):
        return {"n": 0, "score": None, "base": None, "levels": []}
    said = np.array([CHANCE.get(int(c), 0.5) for c in confidence[which]])
    levels = []
    for level in (3, 2, 1):
        mine = won[confidence[which] == level]
        low, high = wilson(int(mine.sum()), len(mine))
        levels.append({"confidence": level, "n": len(mine), "won": float(mine.mean()) if len(mine) else None, "low": low, "high": high})
    return {"n": len(won), "score": float(((said - won) ** 2).mean()), "base": float(((won.mean() - won) ** 2).mean()), "levels": levels}


def _numbers(values: Sequence[float | None]) -> dict[str, Any]:
    found = mean_test([x for x in values if x is not None])
    return {"n": found["n"], "mean": found["mean"], "low": found["low"], "high": found["high"]}


def _quantiles(values: Sequence[float | None]) -> dict[str, Any]:
    known = [x for x in values if x is not None]
    return {"n": len(known), **{name: float(np.quantile(known, q)) if known else None for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}}


def _adds(difference: dict[str, Any]) -> bool | None:
    """Whether the judge adds value; None if unknown."""
    return None if difference["low_bps"] is None else bool(difference["low_bps"] > 0.0)


def verdict(found: dict[str, Any]) -> str:
    """One sentence."""
    d = found["difference"]
    begin = warned(found["contaminated"])
    told = f"{d['confirmed']} confirmed and {d['vetoed']} vetoed questions with a result"
    if _adds(d) is None:
        return (
            f"{begin}The data cannot show whether the judge adds anything: {told} on {d['days']} days; at least {FEW} on {DAYS_LEAST} days are "
            f"needed, and {CLUSTERS_MIN} days with each."
        )
    interval = f"{d['mean_bps']:+.1f} bps (95 %: {d['low_bps']:+.1f} to {d['high_bps']:+.1f})"
    if _adds(d):
        return f"{begin}Confirmed trades did better than vetoed ones by {interval}: {told}."
    worse = " It did worse." if d["high_bps"] < 0.0 else ""
    return f"{begin}The judge adds nothing: confirmed less vetoed trades is {interval}, {told}.{worse}"
