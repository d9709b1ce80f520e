"""One window of the scorer: the map at its start, by distance from the price, and the liquidations until its end. Point in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqcore.kernels.estimated_map import EstimatedPending, PendingConfig
from liqshell.research.maps.load import Market

Floats = NDArray[np.float64]
FRESH_NS = 60 * lc.SECOND  # a last price is no older than this, or a liquidation lies at its own


@dataclass(frozen=True)
class Setting:
    """every_s: time between maps, which is also the window's length (windows do not overlap); range_pct: distance looked at; bin_bps: width of a bin;
    at: where a liquidation lies, 'last' price of the market or 'reported'; warmup_s: of a map before it is scored."""

    every_s: float = 900.0
    range_pct: float = 5.0
    bin_bps: float = 10.0
    at: str = "last"
    warmup_s: float = 3600.0

    @property
    def width(self) -> float:
        return float(np.log1p(self.bin_bps / 1e4))

    @property
    def bins(self) -> int:
        return int(np.ceil(-np.log1p(-self.range_pct / 100.0) / self.width))


@dataclass(frozen=True)
class Window:
    """One side of one window. predicted: notional by bin of distance, nearest first; events, notional: realised in it; reached: bins that the price
    came to."""

    contract: str
    start_ns: int
    side: int
    predicted: Floats
    events: Floats
    notional: Floats
    reached: int
    outside: int  # liquidations of the side on the other side of the starting price, or beyond the range


def windows_of(market: Market, config: PendingConfig, setting: Setting) -> list[Window]:
    """Every window of a contract with liquidations of the side and predictions of the map."""
    events, forced = market.events, market.of(lc.Kind.LIQUIDATION)
    if not len(forced):
        return []
    step = round(setting.every_s * 1e9)
    first = int(events["ts_recv"][0]) + round(setting.warmup_s * 1e9)
    starts = np.arange(-(-max(first, int(forced["ts_recv"][0]) - step) // step) * step, int(forced["ts_recv"][-1]) + 1, step)
    prices = events[(events["kind"] == int(lc.Kind.TRADE)) | (events["kind"] == int(lc.Kind.TICKER)) & (events["price"] > 0)]
    where, amount = _places(forced, prices, setting.at), _amounts(forced, market.multiplier)
    made, done, out = EstimatedPending(config), 0, []
    for start in starts.tolist():
        known = int(np.searchsorted(events["ts_recv"], start, side="right"))
        made.run(events[done:known], market.multiplier)
        done = known
        before = int(np.searchsorted(prices["ts_recv"], start, side="right"))
        if not before:
            continue
        price = float(prices["price"][before - 1])
        a, b = np.searchsorted(forced["ts_recv"], (start, start + step), side="right")
        until = int(np.searchsorted(prices["ts_recv"], start + step, side="right"))
        for side in (1, -1):
            own = np.flatnonzero(forced["side"][a:b] == side) + a
            if len(own):
                path = np.concatenate([prices["price"][before:until], where[own]])
                window = _window(market.name, start, side, price, made, where[own], amount[own], path, setting)
                if window.predicted.any() and window.events.any() and window.reached > 1:
                    out.append(window)
    return out


def _window(
    name: str, start: int, side: int, price: float, made: EstimatedPending, where: Floats, amount: Floats, path: Floats, setting: Setting
) -> Window:
    bins, width = setting.bins, setting.width
    low, high = (price * np.exp(-bins * width), price) if side > 0 else (price, price * np.exp(bins * width))
    predicted, events, notional = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for level, value in made.levels(side, low, high):
        at = int(side * np.log(price / level) / width)
        if 0 <= at < bins:
            predicted[at] += value
    distance = np.floor(side * np.log(price / where) / width).astype(int)
    inside = (distance >= 0) & (distance < bins)
    np.add.at(events, distance[inside], 1.0)
    np.add.at(notional, distance[inside], amount[inside])
    reached = int(np.clip(np.floor((side * np.log(price / path)).max() / width) + 1, 0, bins))
    return Window(name, start, side, predicted, events, notional, reached, int((~inside).sum()))


def _places(forced: np.ndarray, prices: np.ndarray, at: str) -> Floats:
    """The price of each liquidation: the last known price at its receipt if that is fresh, else its own."""
    own: Floats = forced["price"].astype(np.float64)
    if at == "reported" or not len(prices):
        return own
    last = np.searchsorted(prices["ts_recv"], forced["ts_recv"], side="right") - 1
    fresh = (last >= 0) & (forced["ts_recv"] - prices["ts_recv"][np.maximum(last, 0)] <= FRESH_NS)
    return np.where(fresh, prices["price"][np.maximum(last, 0)], own)


def _amounts(forced: np.ndarray, multiplier: float) -> Floats:
    return np.where(forced["aux_price"] > 0, forced["aux_price"], forced["price"] * forced["qty"] * multiplier)
