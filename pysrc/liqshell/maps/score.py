"""The score of the map, and whether maps that know nothing would have had it.

Only bins that the price came to are judged: no map is praised or blamed for the path. In each window these bins are ranked by what the map
predicted in them (0..1, ties in the middle); the score is the mean rank of what was liquidated, 0.5 for a map that knows nothing. Two nulls, both
drawn from the same windows: `prices`, the predictions of a window shuffled among its bins; `moments`, the map of another moment (same contract and
side) moved to the present price. The second is the harder one: it knows how far from the price levels usually lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqshell.maps.windows import Window

Floats = NDArray[np.float64]
RANKS = 5                        # groups of the hit-rate table
LEVEL = 0.05                     # a null is beaten below this p-value
WINDOWS_MIN = 20                 # fewer say nothing either way


@dataclass(frozen=True)
class Null:
    """Scores of maps that know nothing: their mean and central 95 %, and the share that is at least as good (one-sided p, never 0)."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Score:
    """score with its 95 % interval over windows; table: by fifth of predicted rank, best first."""

    windows: int
    liquidations: int
    score: float
    low: float
    high: float
    prices: Null
    moments: Null
    table: list[dict[str, float]]

    @property
    def beats(self) -> dict[str, bool]:
        return {"prices": self.prices.p < LEVEL, "moments": self.moments.p < LEVEL}

    @property
    def verdict(self) -> str:
        """In words."""
        if self.windows < WINDOWS_MIN:
            return f"too little data to say anything: {self.windows} windows, at least {WINDOWS_MIN} are needed"
        if all(self.beats.values()):
            return "the map beats both nulls: on this data it knows something about where liquidations come"
        if self.beats["prices"]:
            return ("the map beats shuffled prices but NOT the map of another moment: on this data it knows how far from the price liquidations lie, "
                    "and nothing of the particular moment")
        return "the map does NOT beat the shuffled null: on this data its levels are no better than chance"

    def as_dict(self) -> dict[str, Any]:
        return {"windows": self.windows, "liquidations": self.liquidations, "score": self.score, "interval": [self.low, self.high],
                "null": {name: {"mean": n.mean, "interval": [n.low, n.high], "p": n.p, "beaten": self.beats[name]}
                         for name, n in (("prices", self.prices), ("moments", self.moments))},
                "ranks": self.table, "verdict": self.verdict}


def ranks(values: Floats) -> Floats:
    """Mid-ranks in (0, 1)."""
    order = np.sort(values)
    below, until = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return (below + until) / 2.0 / len(values)


def score_of(windows: Sequence[Window], *, by: str = "events", draws: int = 2000, seed: int = 1) -> Score:
    """by: 'events' weighs the liquidations of a window alike (with a tail index of 1 one print would decide), 'notional' by their size. A window
    counts as one whatever was liquidated in it. ValueError where there is no window."""
    if not windows:
        raise ValueError("expected at least one window with predictions and liquidations")
    rng = np.random.default_rng(seed)
    shares = [_share(w, by) for w in windows]
    own = np.array([float(s @ ranks(w.predicted[:w.reached])) for w, s in zip(windows, shares, strict=True)])
    observed = float(own.mean())
    resampled = own[rng.integers(0, len(own), (draws, len(own)))].mean(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Score(len(windows), int(sum(w.events[:w.reached].sum() for w in windows)), observed, float(low), float(high),
                 _null(observed, _shuffled(windows, shares, rng, draws)), _null(observed, _moved(windows, shares, rng, draws)), _table(windows, by))


def _share(window: Window, by: str) -> Floats:
    realised = (window.events if by == "events" else window.notional)[:window.reached]
    return realised / realised.sum()


def _null(observed: float, drawn: Floats) -> Null:
    low, high = np.quantile(drawn, (0.025, 0.975))
    # the tolerance: draws that are equal but for the order of summation count as at least as good
    return Null(float(drawn.mean()), float(low), float(high), float((1 + (drawn >= observed - 1e-12).sum()) / (1 + len(drawn))))


def _shuffled(windows: Sequence[Window], shares: list[Floats], rng: np.random.Generator, draws: int) -> Floats:
    total = np.zeros(draws)
    for window, share in zip(windows, shares, strict=True):
        total += rng.permuted(np.tile(ranks(window.predicted[:window.reached]), (draws, 1)), axis=1) @ share
    return total / len(windows)


def _moved(windows: Sequence[Window], shares: list[Floats], rng: np.random.Generator, draws: int) -> Floats:
    """Windows of one contract and side exchange their maps."""
    groups: dict[tuple[str, int], list[int]] = {}
    for n, window in enumerate(windows):
        groups.setdefault((window.contract, window.side), []).append(n)
    total = np.zeros(draws)
    for members in groups.values():
        # what the map of j would have scored in window i, then sums over random permutations
        table = np.array([[float(shares[i] @ ranks(windows[j].predicted[:windows[i].reached])) for j in members] for i in members])
        rows = np.arange(len(members))
        total += np.array([table[rows, rng.permutation(len(members))].sum() for _ in range(draws)])
    return total / len(windows)


def _table(windows: Sequence[Window], by: str) -> list[dict[str, float]]:
    """By fifth of rank: how many bins, which share of them saw a liquidation, which share of the liquidations they saw, and what chance would
    give."""
    bins, hits, realised = np.zeros(RANKS), np.zeros(RANKS), np.zeros(RANKS)
    for window in windows:
        group = np.minimum((ranks(window.predicted[:window.reached]) * RANKS).astype(int), RANKS - 1)
        seen = window.events[:window.reached]
        np.add.at(bins, group, 1.0)
        np.add.at(hits, group, seen > 0)
        np.add.at(realised, group, _share(window, by))
    chance = bins / bins.sum()
    return [{"rank": float(RANKS - g), "bins": float(bins[g]), "hit_rate": float(hits[g] / bins[g]) if bins[g] else 0.0,
             "share": float(realised[g] / len(windows)), "share_by_chance": float(chance[g])} for g in reversed(range(RANKS))]
