"""The prices of a taker at given moments, by the rule of the simulated venue, for studies over columns without an engine.

Where a quote holds (liqshell.recording.streams: by its age, unless a trade contradicts it or the feed broke), at that quote. Where none does, a buyer
pays what the next comes to: a quote, or a trade of a buyer; and where neither comes within `print_wait_s`, what the last trade shows
(liqcore/market.pxd): a tick more than the last buyer paid, or what the last seller got and a whole spread more. Sellers the same on the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.recording import streams

STALE_NS = 120 * lc.SECOND  # a last trade older than that is no price
UNIT = 100_000_000  # liqcore takes a half-spread in units of 1e-8


@dataclass(frozen=True)
class Touch:
    """Prices at each moment, nan where there is none. live: whether a quote held then; else bid and ask are of the next quote or of prints."""

    bid: np.ndarray
    ask: np.ndarray
    live: np.ndarray

    @property
    def known(self) -> np.ndarray:
        return np.isfinite(self.bid) & np.isfinite(self.ask)


def held_of(history: History, n: int) -> Mapping[str, streams.Held]:
    """Over which time each stream of a contract held."""
    found: Mapping[str, streams.Held] = (history.held or streams.of_tape(history.tape, history.start_ns, history.end_ns))[n]
    return found


def inside(spans: np.ndarray, times: np.ndarray) -> np.ndarray:
    """True for each time in one of the spans, which are in order and disjoint."""
    if not len(spans):
        return np.zeros(len(times), bool)
    at = np.searchsorted(spans[:, 0], times, "right") - 1
    return (at >= 0) & (times < spans[np.maximum(at, 0), 1])


def touch(history: History, n: int, times: np.ndarray, half_spread: Any = None, print_wait_s: float = 5.0) -> Touch:
    """The prices at which a contract's takers would have been filled, for each time (ns). half_spread, print_wait_s: as of lc.SimVenue."""
    tick, quotes, trades = float(history.instruments[n].tick_size), history.tape.quotes(n), history.tape.trades(n)
    at = np.searchsorted(quotes["ts"], times, "right") - 1
    live = inside(held_of(history, n)["quotes"].held, times) & (at >= 0)
    bid, ask = np.full(len(times), np.nan), np.full(len(times), np.nan)
    bid[live], ask[live] = quotes["bid"][at[live]] * tick, quotes["ask"][at[live]] * tick
    bare = np.flatnonzero(~live)
    if len(bare) and len(trades["ts"]):
        share = half_spread[n] if isinstance(half_spread, list | tuple) else half_spread
        for side, out in ((-1, bid), (1, ask)):
            out[bare] = _without(side, times[bare], quotes, trades, share, round(print_wait_s * lc.SECOND)) * tick
    return Touch(bid, ask, live)


def _without(side: int, times: np.ndarray, quotes: Mapping[str, Any], trades: Mapping[str, Any], share: float | None, wait_ns: int) -> np.ndarray:
    """Ticks at which a taker of this side deals that met no live quote."""
    never = np.int64(1 << 62)
    own = np.flatnonzero(trades["side"] == side)
    print_at, quote_at = np.searchsorted(trades["ts"][own], times, "right"), np.searchsorted(quotes["ts"], times, "right")
    print_ts = np.where(print_at < len(own), _taken(trades["ts"][own], print_at), never)
    quote_ts = np.where(quote_at < len(quotes["ts"]), _taken(quotes["ts"], quote_at), never)
    deadline = times + wait_ns
    last_at = np.searchsorted(trades["ts"], deadline, "right") - 1
    last = _taken(trades["price"], last_at).astype(np.int64)
    spread = 2 * _half(last, np.searchsorted(quotes["ts"], deadline, "right"), quotes, share)
    moved = np.maximum(1, last + side * np.where(_taken(trades["side"], last_at) == side, 1, np.maximum(1, spread)))
    out = np.where((last_at >= 0) & (deadline - _taken(trades["ts"], last_at) <= STALE_NS), moved, np.nan)
    out = np.where(print_ts <= deadline, _taken(trades["price"][own], print_at), out)
    opposite = quotes["ask"] if side > 0 else quotes["bid"]
    return np.where((quote_ts <= deadline) & (quote_ts <= print_ts), _taken(opposite, quote_at), out)


def _taken(column: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The rows at these places, any where there is none."""
    return column[np.clip(at, 0, len(column) - 1)] if len(column) else np.zeros(len(at), np.int64)


def _half(last: np.ndarray, seen: np.ndarray, quotes: Mapping[str, Any], share: float | None) -> np.ndarray:
    """The half-spread in whole ticks, rounded up, after `seen` quotes: a share of the last trade; else half of the mean spread of the last 16
    quotes; else one tick."""
    if share is not None:
        return (last * round(share * UNIT) + UNIT - 1) // UNIT
    count = np.minimum(seen, streams.SPREADS)
    total = np.concatenate([[0], np.cumsum(quotes["ask"].astype(np.int64) - quotes["bid"])])
    spread = total[seen] - total[seen - count]
    return np.where(count > 0, (spread + 2 * count - 1) // np.maximum(2 * count, 1), 1)
