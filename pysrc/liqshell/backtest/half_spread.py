"""What a taker pays for the spread of each contract where no quote holds: configured, else known from its quotes, else measured from its trades.

The estimate from trades: a buyer's print and a seller's print that follow each other closely lie a spread apart, whatever the middle did in between
as often up as down. So the half-spread is half of the median of

    (price bought - price sold) / (their mean)      over neighbouring prints of opposite aggressors, at most a second apart

with its sign: the median of the absolute difference would take the middle's own movement for spread. Where a second holds too few pairs ten are
taken, then sixty. A market that follows its flow makes the estimate smaller than what is quoted (the effective spread, less what prints move).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import liqcore as lc
from liqshell.config import Config
from liqshell.pipeline import settings
from liqshell.report.text import number, seconds
from liqshell.sections import PaperConfig
from liqshell.toml import SCALE

if TYPE_CHECKING:
    from liqshell.backtest.history import History

WINDOWS_S = (1.0, 10.0, 60.0)
MEASURED_MIN = 50                    # pairs: the median of fewer is off by more than a fifth too often
BLOCKS, BLOCK = 64, 1 << 16          # of a long history so many pieces, evenly spread, are read
SHARE_MAX = 0.1                      # what [paper] half_spread may be


class Measured(NamedTuple):
    """From trades. share: of price, None = they do not tell. n: pairs of prints."""

    share: float | None
    n: int
    window_s: float


@dataclass(frozen=True)
class HalfSpread:
    """Of one contract. source: configured, quotes, trades or tick. share: as liqcore.SimVenue is told it, None = by its last quotes, where it has
    none one tick. bps: what that is on these data, about; None where nobody knows. n: what was measured (quotes, pairs of prints)."""

    symbol: str
    source: str
    share: float | None
    bps: float | None
    n: int
    told: str
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def from_trades(trades: Mapping[str, np.ndarray]) -> Measured:
    """The half-spread that the columns ts, price, side of lc.Tape.trades show. None where there are fewer than MEASURED_MIN pairs, or buyers do not
    pay more than sellers get."""
    count = len(trades["ts"])
    starts = range(0, count, BLOCK) if count <= BLOCKS * BLOCK else np.linspace(0, count - BLOCK, BLOCKS).astype(np.int64).tolist()
    parts = [_pairs(*(np.asarray(trades[name][at:at + BLOCK + 1]) for name in ("ts", "price", "side"))) for at in starts]
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


def shares(history: History) -> list[float | None]:
    """What lc.SimVenue is told of each contract where nothing is configured: nothing where this part of the data has quotes of it."""
    measured = history.spreads or measure(history.tape)
    return [None if len(history.tape.quotes(n)["ts"]) else found.share for n, found in enumerate(measured)]


def settings_of(config: Config, history: History) -> dict[str, Any]:
    """pipeline.settings of a study: with the half-spread that the data show."""
    return settings(config, history.instruments, measured=shares(history))


def of_history(paper: PaperConfig, history: History) -> list[HalfSpread]:
    """What each contract is charged with, where that is from, and what there is to be warned of."""
    return [_of(paper, history, n, found) for n, found in enumerate(history.spreads or measure(history.tape))]


def _of(paper: PaperConfig, history: History, n: int, found: Measured) -> HalfSpread:
    instrument, quotes, trades = history.instruments[n], history.tape.quotes(n), history.tape.trades(n)
    symbol = instrument.symbol
    if paper.half_spread is not None:
        share = paper.half_spread / SCALE
        return HalfSpread(symbol, "configured", share, share * 1e4, 0, f"{number(share * 1e4)} bps, as configured ([paper] half_spread)")
    if len(quotes["ts"]):
        step = max(1, len(quotes["ts"]) // BLOCK)
        bid, ask = (quotes[name][::step].astype(np.float64) for name in ("bid", "ask"))
        bps = float(np.median((ask - bid) / (ask + bid))) * 1e4
        count = len(quotes["ts"])
        return HalfSpread(symbol, "quotes", None, bps, count,
                          f"half of the mean spread of the last 16 quotes at that moment; {number(bps)} bps, the median of {count:,} quotes")
    if found.share is not None:
        return HalfSpread(symbol, "trades", found.share, found.share * 1e4, found.n,
                          f"{number(found.share * 1e4)} bps: half of the median difference between neighbouring prints that were bought and sold "
                          f"within {found.window_s:g} s (n = {found.n:,})")
    tick_bps = 1e4 / float(np.median(trades["price"])) if len(trades["ts"]) else None
    said = f"one tick ({number(tick_bps)} bps): " if tick_bps is not None else "one tick: "
    return HalfSpread(symbol, "tick", None, tick_bps, found.n,
                      said + f"{found.n:,} pairs of prints bought and sold within {seconds(found.window_s)} show no spread",
                      f"{symbol} has no quotes and its trades show no spread: takers pay one tick, which may be far too little. "
                      "Set [paper] half_spread")


__all__ = ["HalfSpread", "Measured", "from_trades", "measure", "of_history", "settings_of", "shares"]
