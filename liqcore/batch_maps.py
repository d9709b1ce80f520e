"""Both liquidation maps in Numba: written apart from density and pending, and equal to them to the bit.

Without what only people ask for (totals of what was added, faded, consumed). Under batch_detectors and batch_feature. Side 0 = longs, 1 = shorts.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from liqcore.batch_ladder import (
    NONE,
    Ladders,
    ladder_add,
    ladder_centre,
    ladder_edge,
    ladder_fade,
    ladder_filled,
    ladder_first,
    ladder_index,
    ladder_last,
    ladder_move,
    ladder_sum,
    ladder_take,
    ladder_value,
    ladders_of,
)
from liqcore.pending import liquidation_price

EMPTY = 1.0                      # quote currency: a cell with less counts as holding nothing


@njit(cache=True, nogil=True)
def _kept(ts, half_life_s, now):
    """What is left of an amount as of ts."""
    return np.exp2(-((now - ts) * 1e-9) / half_life_s) if half_life_s > 0.0 and now > ts else 1.0


# ---- realised ----

class Realised(NamedTuple):
    l: Ladders
    hot: NDArray[np.bool_]       # by slot
    t: NDArray[np.int64]         # as of, refreshed, first index of the hot cells, version
    threshold: NDArray[np.float64]
    half_life_s: float
    quantile: float
    floor: float
    refresh_ns: int
    occupied_min: int


def realised_of(config: Mapping[str, Any]) -> Realised:
    """A fresh map; config: DensityConfig.as_dict()."""
    return Realised(ladders_of(config["step"], config["bin_bps"], config["cells"]), np.zeros(config["cells"], np.bool_),
                    np.array([NONE, NONE, NONE, 1]), np.full(1, np.nan), float(config["half_life_s"]), config["quantile"], float(config["floor"]),
                    round(config["refresh_s"] * 1e9), config["occupied_min"])


@njit(cache=True, nogil=True)
def _refresh(d, now):
    """Decide anew which cells are hot."""
    l = d.l
    d.t[1], d.t[2] = now, NONE
    d.t[3] += 1
    d.hot[:] = False
    d.threshold[0] = math.nan
    amounts = l.cell[0] * l.scale[0] + l.cell[1] * l.scale[1]
    some = np.sort(amounts[amounts >= EMPTY])
    if some.size < max(d.occupied_min, 1):
        return
    d.threshold[0] = max(some[int(d.quantile * (some.size - 1))], d.floor)
    d.t[2] = l.low[0]
    d.hot[:] = amounts >= d.threshold[0]


@njit(cache=True, nogil=True)
def realise(d, now, side, price, notional):
    """One liquidation."""
    l, k, cells = d.l, 0 if side > 0 else 1, d.l.cell.shape[1]
    if d.t[0] == NONE:
        d.t[0] = now
    elif now > d.t[0]:
        if d.half_life_s > 0.0:
            keep = _kept(d.t[0], d.half_life_s, now)
            ladder_fade(l, 0, keep)
            ladder_fade(l, 1, keep)
        d.t[0] = now
    if d.t[1] == NONE:
        d.t[1] = now
    before = l.low[k]
    ladder_add(l, k, ladder_index(l, price), notional)
    if l.low[k] != before:                           # both sides keep the same window of prices
        if before == NONE:
            l.low[1 - k] = l.low[k]
        else:
            ladder_move(l, 1 - k, l.low[k] if l.low[k] < before else l.low[k] + cells - 1)
        _refresh(d, now)
    elif now - d.t[1] >= d.refresh_ns:
        _refresh(d, now)


@njit(cache=True, nogil=True)
def hot(d, index):
    return d.t[2] != NONE and d.t[2] <= index < d.t[2] + d.hot.size and d.hot[index & (d.hot.size - 1)]


@njit(cache=True, nogil=True)
def zone_at(d, index):
    """(low, high, longs, shorts, cells) of the zone around a hot cell."""
    first = last = index
    while hot(d, first - 1):
        first -= 1
    while hot(d, last + 1):
        last += 1
    return ladder_edge(d.l, first), ladder_edge(d.l, last + 1), ladder_sum(d.l, 0, first, last), ladder_sum(d.l, 1, first, last), last - first + 1


@njit(cache=True, nogil=True)
def place(d, price):
    return ladder_index(d.l, price)


@njit(cache=True, nogil=True)
def free_around(d, price):
    """Between which prices no zone lies, for a price that is in none."""
    low, high = 0.0, math.inf
    if d.t[2] == NONE:
        return low, high
    index = min(ladder_index(d.l, price), d.t[2] + d.hot.size) - 1
    while index >= d.t[2]:
        if hot(d, index):
            low = ladder_edge(d.l, index + 1)
            break
        index -= 1
    index = max(ladder_index(d.l, price), d.t[2] - 1) + 1
    while index < d.t[2] + d.hot.size:
        if hot(d, index):
            high = ladder_edge(d.l, index)
            break
        index += 1
    return low, high


# ---- estimated ----

class Estimated(NamedTuple):
    l: Ladders
    v: NDArray[np.float64]       # (side, 3): edge, taker volume, its value
    now: NDArray[np.float64]     # open interest, price, credit
    t: NDArray[np.int64]         # as of: levels, credit
    share: NDArray[np.float64]   # by tier
    ratio: NDArray[np.float64]   # (side, tier): liquidation price / entry price
    even: bool
    half_life_s: float
    credit_half_life_s: float


def estimated_of(config: Mapping[str, Any]) -> Estimated:
    """A fresh map; config: PendingConfig.as_dict()."""
    total = math.fsum(share for _, share in config["tiers"])
    ratio = [[liquidation_price(1.0, side, leverage, rate) for (leverage, _), rate in zip(config["tiers"], config["maintenance"], strict=True)]
             for side in (1, -1)]
    return Estimated(ladders_of(0.0, config["bin_bps"], config["cells"]), np.array([[0.0, 0.0, 0.0], [np.inf, 0.0, 0.0]]), np.zeros(3),
                     np.full(2, NONE), np.array([share / total for _, share in config["tiers"]]), np.array(ratio), config["split"] == "even",
                     float(config["half_life_s"]), float(config["credit_half_life_s"]))


@njit(cache=True, nogil=True)
def _settle(p, now):
    if now > p.t[1]:
        if p.now[2] > 0.0:
            p.now[2] *= _kept(p.t[1], p.credit_half_life_s, now)
        p.t[1] = now


@njit(cache=True, nogil=True)
def _cross(p, now, price):
    """The price is this; levels that it reached are consumed."""
    l = p.l
    p.now[1] = price
    if not (price <= p.v[0, 0] or price >= p.v[1, 0]):
        return
    _settle(p, now)
    if price <= p.v[0, 0]:
        index = ladder_first(l, price)
        p.now[2] += ladder_take(l, 0, index, ladder_index(l, p.v[0, 0]) + 1)
        index = ladder_filled(l, 0, index - 1, -1)
        p.v[0, 0] = ladder_centre(l, index) if index != NONE else 0.0
    if price >= p.v[1, 0]:
        index = ladder_last(l, price)
        p.now[2] += ladder_take(l, 1, ladder_index(l, p.v[1, 0]) - 1, index)
        index = ladder_filled(l, 1, index + 1, 1)
        p.v[1, 0] = ladder_centre(l, index) if index != NONE else math.inf


@njit(cache=True, nogil=True)
def traded(p, now, side, price, qty):
    """A trade; side: of the taker, qty: base units."""
    k = 0 if side > 0 else 1
    p.v[k, 1] += qty
    p.v[k, 2] += price * qty
    _cross(p, now, price)


@njit(cache=True, nogil=True)
def _open(p, k, qty):
    """New positions of one side."""
    l, price = p.l, p.now[1]
    entry = p.v[k, 2] / p.v[k, 1] if p.v[k, 1] > 0.0 else price
    for tier in range(p.share.size):
        amount = qty * p.share[tier]
        if amount <= 0.0:
            continue
        index = ladder_index(l, entry * p.ratio[k, tier])
        level = ladder_centre(l, index)
        if level >= price if k == 0 else level <= price:
            continue
        ladder_add(l, k, index, amount)
        p.v[k, 0] = max(p.v[k, 0], level) if k == 0 else min(p.v[k, 0], level)


@njit(cache=True, nogil=True)
def interested(p, now, interest):
    """Open interest is this, base units."""
    if p.t[0] != NONE and now > p.t[0] and p.half_life_s > 0.0:
        keep = _kept(p.t[0], p.half_life_s, now)
        ladder_fade(p.l, 0, keep)
        ladder_fade(p.l, 1, keep)
    p.t[0] = max(p.t[0], now)
    _settle(p, now)
    before, change = p.now[0], interest - p.now[0]
    if before > 0.0 and p.now[1] > 0.0:
        if change > 0.0:
            flow = p.v[0, 1] + p.v[1, 1]
            longs = 0.5 if p.even or flow <= 0.0 else p.v[0, 1] / flow
            _open(p, 0, change * longs)
            _open(p, 1, change * (1.0 - longs))
        elif change < 0.0:
            explained = min(p.now[2], -change)
            p.now[2] -= explained
            keep = interest / (before - explained)
            ladder_fade(p.l, 0, keep)
            ladder_fade(p.l, 1, keep)
    p.now[0] = interest
    p.v[:, 1:] = 0.0


# ---- whole arrays ----

@njit(cache=True, nogil=True)
def realised_near(d, ts, side, price, notional, last, at, before, share, below):
    """At increasing times: notional within `share` below or above the price `last` of that time (nan: not known)."""
    out = np.empty(at.size)
    i = 0
    for q in range(at.size):
        while i < ts.size and (ts[i] < at[q] if before else ts[i] <= at[q]):
            realise(d, ts[i], side[i], price[i], notional[i])
            i += 1
        low, high = (last[q] * (1.0 - share), last[q]) if below else (last[q], last[q] * (1.0 + share))
        if math.isnan(last[q]):
            out[q] = math.nan
            continue
        total = 0.0
        for k in range(2):
            total += ladder_sum(d.l, k, ladder_first(d.l, low), ladder_last(d.l, high))
        out[q] = (_kept(d.t[0], d.half_life_s, at[q]) if d.t[0] != NONE else 1.0) * total
    return out


@njit(cache=True, nogil=True)
def estimated_near(p, ts, side, price, qty, last, at, before, share, below):
    """The same of the estimated map: longs below, shorts above; nan before open interest is known. side 0: qty is open interest."""
    out = np.empty(at.size)
    i = 0
    for q in range(at.size):
        while i < ts.size and (ts[i] < at[q] if before else ts[i] <= at[q]):
            if side[i] == 0:
                interested(p, ts[i], qty[i])
            else:
                traded(p, ts[i], side[i], price[i], qty[i])
            i += 1
        if math.isnan(last[q]) or p.now[0] <= 0.0:
            out[q] = math.nan
            continue
        low, high = (last[q] * (1.0 - share), last[q]) if below else (last[q], last[q] * (1.0 + share))
        total = ladder_value(p.l, 0 if below else 1, ladder_first(p.l, low), ladder_last(p.l, high))
        out[q] = (_kept(p.t[0], p.half_life_s, at[q]) if p.t[0] != NONE else 1.0) * total
    return out
