"""The half-spread that a taker pays on each contract without a valid quote: configured, else from its quotes, else measured from its trades.

trade_spread.py has the estimate from trades.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.backtest.past_judge import judge_settings
from liqshell.backtest.trade_spread import Measured, measure
from liqshell.config.load import Config
from liqshell.config.sections import PaperConfig
from liqshell.fields import SCALE
from liqshell.report.text import number, seconds
from liqshell.run.pipeline import settings

BLOCK = 1 << 16  # of a long history so many quotes, evenly spread, are read


@dataclass(frozen=True)
class HalfSpread:
    """Of one contract. source: configured, quotes, trades or tick. share: the value for liqcore.SimVenue, None = by the last quotes, or one tick
    without quotes. bps: its approximate value on these data; None if unknown. n: what was measured (quotes, pairs of prints)."""

    symbol: str
    source: str
    share: float | None
    bps: float | None
    n: int
    told: str
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def shares(history: History) -> list[float | None]:
    """The half spreads for lc.SimVenue where none is configured; none for contracts with quotes in this part of the data."""
    measured = history.spreads or measure(history.tape)
    return [None if len(history.tape.quotes(n)["ts"]) else found.share for n, found in enumerate(measured)]


def settings_of(config: Config, history: History) -> dict[str, Any]:
    """pipeline.settings of a study: with the half-spread that the data show, and the judge that is asked. ConfigError if a policy asks a judge and
    none is configured."""
    judge = judge_settings(config, [i.symbol for i in history.instruments], len(history.rare(lc.Kind.VERDICT)))
    return settings(config, history.instruments, measured=shares(history)) | ({"judge": judge} if judge else {})


def of_history(paper: PaperConfig, history: History) -> list[HalfSpread]:
    """The half spread of each contract, its source, and the warnings."""
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
        return HalfSpread(
            symbol,
            "quotes",
            None,
            bps,
            count,
            f"half of the mean spread of the last 16 quotes at that moment; {number(bps)} bps, the median of {count:,} quotes",
        )
    if found.share is not None:
        return HalfSpread(
            symbol,
            "trades",
            found.share,
            found.share * 1e4,
            found.n,
            f"{number(found.share * 1e4)} bps: half of the median difference between neighbouring trades of buyers and sellers within "
            f"{found.window_s:g} s (n = {found.n:,})",
        )
    tick_bps = 1e4 / float(np.median(trades["price"])) if len(trades["ts"]) else None
    begins = f"one tick ({number(tick_bps)} bps): " if tick_bps is not None else "one tick: "
    return HalfSpread(
        symbol,
        "tick",
        None,
        tick_bps,
        found.n,
        begins + f"{found.n:,} pairs of trades of buyers and sellers within {seconds(found.window_s)} show no spread",
        f"{symbol} has no quotes and its trades show no spread, so takers pay one tick, which may be far too little. Set [paper] half_spread",
    )
