"""What the sweep reads of a market: columns and their pyramids, and the searches over them (Numba).

Prices are integer ticks. A pyramid holds, above a column, the minima and maxima of its blocks of 64 rows, of 64 such blocks, and so on, so that the first
row at or beyond a level is found in O(log n). For trades both columns are the price; for quotes low is the ask and high is the bid.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

FANOUT_BITS = 6
FANOUT = 1 << FANOUT_BITS
NOWHERE = -1                     # a level that no price reaches from above
BEYOND = 1 << 40                 # and one that none reaches from below


class Columns(NamedTuple):
    """One instrument. `low`, `high`: the levels above the column, flat; level k (1, 2, ...) begins at offsets[k - 1]."""

    ts: np.ndarray
    price: np.ndarray
    lots: np.ndarray
    low: np.ndarray
    high: np.ndarray
    offsets: np.ndarray
    quote_ts: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    before: np.ndarray           # trades before this quote
    quote_low: np.ndarray
    quote_high: np.ndarray
    quote_offsets: np.ndarray


@njit(cache=True, nogil=True, _nrt=False)
def _fold(low, high, out_low, out_high):
    for block in range(len(out_low)):
        first = block << FANOUT_BITS
        last = min(first + FANOUT, len(low))
        a, b = low[first], high[first]
        for row in range(first + 1, last):
            a = min(a, low[row])
            b = max(b, high[row])
        out_low[block], out_high[block] = a, b


def pyramid(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minima, maxima and offsets of the levels above two columns of equal length."""
    sizes = []
    n = len(low)
    while n > 1:
        n = (n + FANOUT - 1) >> FANOUT_BITS
        sizes.append(n)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64), dtype=np.int64)])
    lows, highs = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int32)
    for level, size in enumerate(sizes):
        at = slice(offsets[level], offsets[level] + size)
        _fold(low, high, lows[at], highs[at])
        low, high = lows[at], highs[at]
    return lows, highs, offsets


def columns(trades: dict, quotes: dict) -> Columns:
    """Columns of an instrument from the dicts of Tape.trades and Tape.quotes."""
    ts, price, lots = (np.ascontiguousarray(trades[k], d) for k, d in (("ts", np.int64), ("price", np.int32), ("lots", np.int32)))
    quote_ts, bid, ask, before = (np.ascontiguousarray(quotes[k], d) for k, d in
                                  (("ts", np.int64), ("bid", np.int32), ("ask", np.int32), ("trades_before", np.int64)))
    return Columns(ts, price, lots, *pyramid(price, price), quote_ts, bid, ask, before, *pyramid(ask, bid))


@njit(cache=True, nogil=True, _nrt=False)
def rows_before(ts, start, t):
    """First row from `start` on with ts >= t, or len(ts); gallops, because what is asked for is usually near."""
    n = len(ts)
    if start >= n or ts[start] >= t:
        return start
    low, step = start, 1                     # ts[low] < t
    while low + step < n and ts[low + step] < t:
        low += step
        step <<= 1
    high = min(low + step, n)                # ts[high] >= t, or the end
    while high - low > 1:
        middle = (low + high) >> 1
        if ts[middle] < t:
            low = middle
        else:
            high = middle
    return high


@njit(cache=True, nogil=True, _nrt=False)
def passage(low0, high0, low, high, offsets, start, below, above):
    """First row from `start` on with low0 <= below or high0 >= above, or len(low0)."""
    n = len(low0)
    row = start
    stop = min(n, (row | (FANOUT - 1)) + 1)
    while row < stop:
        if low0[row] <= below or high0[row] >= above:
            return row
        row += 1
    if row >= n:
        return n
    level, block, levels = 1, row >> FANOUT_BITS, len(offsets) - 1
    while True:                              # climb while whole blocks are passed
        first, size = offsets[level - 1], offsets[level] - offsets[level - 1]
        stop = min(size, (block | (FANOUT - 1)) + 1)
        while block < stop and low[first + block] > below and high[first + block] < above:
            block += 1
        if block < stop:
            break
        if block >= size or level == levels:
            return n
        block >>= FANOUT_BITS
        level += 1
    while level > 1:                         # and come down to the row
        level -= 1
        first = offsets[level - 1]
        block <<= FANOUT_BITS
        while low[first + block] > below and high[first + block] < above:
            block += 1
    row = block << FANOUT_BITS
    while low0[row] > below and high0[row] < above:
        row += 1
    return row


@njit(cache=True, nogil=True, _nrt=False)
def extreme(price, low, high, offsets, start, stop, side):
    """Highest (side > 0) or lowest price of rows [start, stop), which must not be empty."""
    best = price[start]
    row = start
    while row < stop:
        level = 0
        while level < len(offsets) - 1 and row & ((1 << (FANOUT_BITS * (level + 1))) - 1) == 0 and row + (1 << (FANOUT_BITS * (level + 1))) <= stop:
            level += 1
        if level == 0:
            best = max(best, price[row]) if side > 0 else min(best, price[row])
        else:
            at = offsets[level - 1] + (row >> (FANOUT_BITS * level))
            best = max(best, high[at]) if side > 0 else min(best, low[at])
        row += 1 << (FANOUT_BITS * level)
    return best
