"""The score of the map, and the scores of maps without information.

Only bins that the price came to are judged: no map is praised or blamed for the path. In each window these bins are ranked by what the map
predicted in them (0..1, ties in the middle); the score is the mean rank of the liquidated notional, 0.5 for a map without information. Two nulls,
both drawn from the same windows: `prices`, the predictions of a window shuffled among its bins; `moments`, the map of another moment (same contract
and side) moved to the present price. The second is the harder one: it knows how far from the price levels usually lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqshell.report.text import plural
from liqshell.research.maps.windows import Window

Floats = NDArray[np.float64]
RANKS = 5  # groups of the hit-rate table
LEVEL = 0.05  # a null is beaten below this p-value
WINDOWS_MIN = 20  # moments; fewer say nothing either way


@dataclass(frozen=True)
class Null:
    """Scores of maps that know nothing: their mean and central 95 %, and the share that is at least as good (one-sided p, never 0). p counts windows,
    not moments: where nothing is concluded it is not shown."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Score:
    """score with its 95 % interval, None where nothing is concluded; table: by fifth of predicted rank, best first. starts: different moments at
    which windows begin: what two sides or contracts show at one moment is one market. why: why nothing is concluded, "" where something is."""

    windows: int
    starts: int
    liquidations: int
    score: float
    low: float | None
    high: float | None
    prices: Null
    moments: Null
    table: list[dict[str, float]]
    why: str = ""

    @property
    def beats(self) -> dict[str, bool]:
        """Beyond chance by the draws of the null, and by the interval, which takes one moment as one observation."""
        least = -np.inf if self.low is None else self.low
        return {name: null.p < LEVEL and least > null.mean for name, null in (("prices", self.prices), ("moments", self.moments))}

    @property
    def verdict(self) -> str:
        """In words."""
        if self.low is None:
            return f"too few data for a result: {self.why}"
        text = (
            f"mean rank {self.score:.3f} (95 % {self.low:.3f} to {self.high:.3f}, {self.windows} windows at {self.starts} moments, 0.5 = no "
            "better than chance): "
        )
        if all(self.beats.values()):
            return text + "the map beats both nulls: on these data it predicts where liquidations come"
        if self.beats["prices"]:
            return text + (
                "the map beats shuffled prices but NOT the map of another moment: on these data it predicts the distance of liquidations "
                "from the price, and nothing of the particular moment"
            )
        return text + "the map does NOT beat the shuffled null: on these data its levels are no better than chance"

    def as_dict(self) -> dict[str, Any]:
        return {
            "windows": self.windows,
            "moments": self.starts,
            "liquidations": self.liquidations,
            "score": self.score,
            "interval": None if self.why else [self.low, self.high],
            "null": {
                name: {"mean": n.mean, "interval": None if self.why else [n.low, n.high], "p": None if self.why else n.p, "beaten": self.beats[name]}
                for name, n in (("prices", self.prices), ("moments", self.moments))
            },
            "ranks": self.table,
            "judged": not self.why,
            "verdict": self.verdict,
        }


def ranks(values: Floats) -> Floats:
    """Mid-ranks in (0, 1)."""
    order = np.sort(values)
    below, until = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return (below + until) / 2.0 / len(values)


def score_of(windows: Sequence[Window], *, by: str = "events", draws: int = 2000, seed: int = 1, why: str = "") -> Score:
    """by: 'events' weighs the liquidations of a window alike (with a tail index of 1 one print would decide), 'notional' by their size. A window
    counts as one whatever was liquidated in it. why: why nothing may be concluded, beside too few windows. ValueError where there is no window."""
    if not windows:
        raise ValueError("expected at least one window with predictions and liquidations")
    rng = np.random.default_rng(seed)
    shares = [_share(w, by) for w in windows]
    own = np.array([float(s @ ranks(w.predicted[: w.reached])) for w, s in zip(windows, shares, strict=True)])
    observed = float(own.mean())
    _, at = np.unique([w.start_ns for w in windows], return_inverse=True)
    count = int(at.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), draws)  # how often each moment was drawn
    low, high = np.quantile(drawn @ np.bincount(at, own) / (drawn @ np.bincount(at)), (0.025, 0.975))
    why = why or (f"{plural(len(windows), 'window')} at {plural(count, 'moment')}, {WINDOWS_MIN} moments are needed" if count < WINDOWS_MIN else "")
    return Score(
        len(windows),
        count,
        int(sum(w.events[: w.reached].sum() for w in windows)),
        observed,
        None if why else float(low),
        None if why else float(high),
        _null(observed, _shuffled(windows, shares, rng, draws)),
        _null(observed, _moved(windows, shares, rng, draws)),
        _table(windows, by),
        why,
    )


def pooled(windows: Mapping[str, Sequence[Window]], **options: Any) -> Score:
    """All contracts that can be judged by themselves together: many that cannot do not become one that can."""
    enough = [found for found in windows.values() if len({w.start_ns for w in found}) >= WINDOWS_MIN]
    why = "" if enough else f"no contract alone has windows at {WINDOWS_MIN} moments, and pooled ones are not more independent"
    return score_of([w for found in enough or windows.values() for w in found], why=why, **options)


def _share(window: Window, by: str) -> Floats:
    realised = (window.events if by == "events" else window.notional)[: window.reached]
    return realised / realised.sum()


def _null(observed: float, drawn: Floats) -> Null:
    low, high = np.quantile(drawn, (0.025, 0.975))
    # the tolerance: draws that are equal but for the order of summation count as at least as good
    return Null(float(drawn.mean()), float(low), float(high), float((1 + (drawn >= observed - 1e-12).sum()) / (1 + len(drawn))))


def _shuffled(windows: Sequence[Window], shares: list[Floats], rng: np.random.Generator, draws: int) -> Floats:
    total = np.zeros(draws)
    for window, share in zip(windows, shares, strict=True):
        total += rng.permuted(np.tile(ranks(window.predicted[: window.reached]), (draws, 1)), axis=1) @ share
    return total / len(windows)


def _moved(windows: Sequence[Window], shares: list[Floats], rng: np.random.Generator, draws: int) -> Floats:
    """Windows of one contract and side exchange their maps."""
    groups: dict[tuple[str, int], list[int]] = {}
    for n, window in enumerate(windows):
        groups.setdefault((window.contract, window.side), []).append(n)
    total = np.zeros(draws)
    for members in groups.values():
        # what the map of j would have scored in window i, then sums over random permutations
        table = np.array([[float(shares[i] @ ranks(windows[j].predicted[: windows[i].reached])) for j in members] for i in members])
        rows = np.arange(len(members))
        total += np.array([table[rows, rng.permutation(len(members))].sum() for _ in range(draws)])
    return total / len(windows)


def _table(windows: Sequence[Window], by: str) -> list[dict[str, float]]:
    """By fifth of rank: how many bins, which share of them saw a liquidation, which share of the liquidations they saw, and what chance would
    give."""
    bins, hits, realised = np.zeros(RANKS), np.zeros(RANKS), np.zeros(RANKS)
    for window in windows:
        group = np.minimum((ranks(window.predicted[: window.reached]) * RANKS).astype(int), RANKS - 1)
        seen = window.events[: window.reached]
        np.add.at(bins, group, 1.0)
        np.add.at(hits, group, seen > 0)
        np.add.at(realised, group, _share(window, by))
    chance = bins / bins.sum()
    return [
        {
            "rank": float(RANKS - g),
            "bins": float(bins[g]),
            "hit_rate": float(hits[g] / bins[g]) if bins[g] else 0.0,
            "share": float(realised[g] / len(windows)),
            "share_by_chance": float(chance[g]),
        }
        for g in reversed(range(RANKS))
    ]
