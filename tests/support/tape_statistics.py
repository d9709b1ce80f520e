"""Statistics of a liquidation tape, as the public studies of real tapes state them. Pauses above 30 min (recorder off) are left out."""

from dataclasses import dataclass

import numpy as np

PAUSE_S = 1_800.0
CLUSTER_GAP_S = 10.0
CLUSTER_EVENTS = 5


@dataclass(frozen=True)
class Tape:
    """Statistics of one symbol; see `measure`."""

    gaps_1s: float  # share of gaps <= 1 s
    hill: float  # tail index of the largest tenth
    fano: float  # variance / mean of the counts of active minutes
    clustered_events: float  # share of events in clusters: gaps < 10 s, at least 5 events
    clustered_value: float
    one_sided: float  # share of clusters of which at least 90 % are one side
    same_side: float  # next event on the same side
    thinned_events: float  # kept by "the largest per symbol and second"
    thinned_value: float


def measure(t_s: np.ndarray, side: np.ndarray, notional: np.ndarray) -> Tape:
    """t_s sorted seconds, side +-1, notional in USD."""
    gaps = np.diff(t_s)
    active = gaps < PAUSE_S
    largest = np.sort(notional)[::-1]
    tail = len(notional) // 10
    clock = np.concatenate([[0.0], np.cumsum(np.where(active, gaps, 0.0))])
    minutes = np.bincount((clock // 60.0).astype(int))
    groups = np.split(np.arange(len(t_s)), np.flatnonzero(gaps >= CLUSTER_GAP_S) + 1)
    clusters = [group for group in groups if len(group) >= CLUSTER_EVENTS]
    per_second: dict[int, float] = {}
    for second, value in zip(np.floor(t_s).astype(int).tolist(), notional.tolist(), strict=True):
        per_second[second] = max(per_second.get(second, 0.0), value)
    return Tape(
        gaps_1s=float(np.mean(gaps[active] <= 1.0)),
        hill=float(1.0 / np.mean(np.log(largest[:tail] / largest[tail]))),
        fano=float(minutes.var() / minutes.mean()),
        clustered_events=sum(map(len, clusters)) / len(t_s),
        clustered_value=float(sum(notional[c].sum() for c in clusters) / notional.sum()),
        one_sided=float(np.mean([abs(side[c].mean()) >= 0.8 for c in clusters])),
        same_side=float(np.mean(side[1:] == side[:-1])),
        thinned_events=len(per_second) / len(t_s),
        thinned_value=float(sum(per_second.values()) / notional.sum()),
    )


def cascades(t_s: np.ndarray, notional: np.ndarray) -> int:
    """Cascades by the simplest rule: two events at or above the P95 of the last 1000 (once there are 100) within 60 s, chained."""
    count, run, last = 0, 0, -np.inf
    for i in range(100, len(t_s)):
        if notional[i] >= np.quantile(notional[max(0, i - 1000) : i], 0.95):
            run = run + 1 if t_s[i] - last <= 60.0 else 1
            last = t_s[i]
            count += run == 2
    return count
