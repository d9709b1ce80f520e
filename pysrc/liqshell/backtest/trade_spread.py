"""The half-spread estimated from the trades of a tape.

The estimate from trades: a buyer's trade and a seller's trade in quick succession differ by one spread on average, because the mid moves up as often
as down between them. So the half-spread is half of the median of

    (price bought - price sold) / (their mean)      over neighbouring prints of opposite aggressors, at most a second apart

with its sign: the median of the absolute difference would take the middle's own movement for spread. Where a second holds too few pairs ten are
taken, then sixty. A market that follows its flow makes the estimate smaller than what is quoted (the effective spread, less what prints move).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

import liqcore as lc

WINDOWS_S = (1.0, 10.0, 60.0)
MEASURED_MIN = 50  # pairs: the median of fewer is off by more than a fifth too often
BLOCKS, BLOCK = 64, 1 << 16  # of a long history so many pieces, evenly spread, are read
SHARE_MAX = 0.1  # what [paper] half_spread may be


class Measured(NamedTuple):
    """From trades. share: of price, None = unknown. n: pairs of prints."""

    share: float | None
    n: int
    window_s: float


def from_trades(trades: Mapping[str, np.ndarray]) -> Measured:
    """The half-spread that the columns ts, price, side of lc.Tape.trades show. None where there are fewer than MEASURED_MIN pairs, or buyers do not
    pay more than sellers get."""
    count = len(trades["ts"])
    starts = range(0, count, BLOCK) if count <= BLOCKS * BLOCK else np.linspace(0, count - BLOCK, BLOCKS).astype(np.int64).tolist()
    parts = [_pairs(*(np.asarray(trades[name][at : at + BLOCK + 1]) for name in ("ts", "price", "side"))) for at in starts]
    gap, spread = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (np.zeros(0), np.zeros(0))
    for window_s in WINDOWS_S:
        near = spread[gap <= window_s * lc.SECOND]
        if len(near) >= MEASURED_MIN:
            half = float(np.median(near)) / 2.0
            return Measured(half if 0.0 < half <= SHARE_MAX else None, len(near), window_s)
    return Measured(None, len(spread[gap <= WINDOWS_S[-1] * lc.SECOND]), WINDOWS_S[-1])


def _pairs(ts: np.ndarray, price: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time between neighbouring prints of opposite aggressors, and how much more was paid than got."""
    at = np.flatnonzero(side[1:] == -side[:-1])
    before, after = price[at].astype(np.float64), price[at + 1].astype(np.float64)
    return ts[at + 1] - ts[at], (after - before) * side[at + 1] * 2.0 / (before + after)


def measure(tape: lc.Tape) -> tuple[Measured, ...]:
    """Of every contract, whether it has quotes or not; rounded as lc.SimVenue takes it."""
    found = (from_trades(tape.trades(n)) for n in range(len(tape.instruments)))
    return tuple(one._replace(share=round(one.share, 8) or None) if one.share is not None else one for one in found)
