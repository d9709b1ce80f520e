"""What the sweep reads of a market: columns and their pyramids, and the searches over them (Numba).

Prices are integer ticks. The pyramids are those of Tape.index (passage.pxd says what they are); the searches are written out once more here, for both
directions at once and without reference counts: several run for every trade of every setting.
"""

from typing import NamedTuple

import numpy as np

from liqcore.sweep_state import compiled, inlined
from liqcore.tape import Tape

FANOUT_BITS = 6
FANOUT = 1 << FANOUT_BITS
NOWHERE = -1                     # a level that no price reaches from above
BEYOND = (1 << 31) - 1           # and one that none reaches from below


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


def columns(tape: Tape, instrument: int) -> Columns:
    """The columns of one instrument of a tape, with the pyramids that the tape keeps."""
    trades, quotes, index = tape.trades(instrument), tape.quotes(instrument), tape.index(instrument)
    over, over_quotes = index["trades"], index["quotes"]
    return Columns(trades["ts"], trades["price"], trades["lots"], over["low"], over["high"], over["offsets"], quotes["ts"], quotes["bid"],
                   quotes["ask"], quotes["trades_before"], over_quotes["low"], over_quotes["high"], over_quotes["offsets"])


@compiled
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


@inlined
def first_outside(low, high, row, stop, below, above):
    """First of the rows [row, stop) with low <= below or high >= above, or stop."""
    a, b = np.int32(below), np.int32(above)
    while row < stop and low[row] > a and high[row] < b:
        row += 1
    return row


@compiled
def passage(low0, high0, low, high, offsets, row, below, above):
    """First row from the start `row` of a block on with low0 <= below or high0 >= above, or len(low0)."""
    n, level, block, levels = len(low0), 1, row >> FANOUT_BITS, len(offsets) - 1
    while True:                              # climb while whole blocks are passed
        first, size = offsets[level - 1], offsets[level] - offsets[level - 1]
        stop = min(size, (block | (FANOUT - 1)) + 1)
        block = first_outside(low, high, first + block, first + stop, below, above) - first
        if block < stop:
            break
        if block >= size or level == levels:
            return n
        block >>= FANOUT_BITS
        level += 1
    while level > 1:                         # and come down to the row
        level -= 1
        first, block = offsets[level - 1], block << FANOUT_BITS
        block = first_outside(low, high, first + block, min(first + block + FANOUT, offsets[level]), below, above) - first
    row = block << FANOUT_BITS
    return first_outside(low0, high0, row, min(row + FANOUT, n), below, above)


@compiled
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
