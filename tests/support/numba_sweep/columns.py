"""The columns of a market as Numba reads them, the searches over them, and whether a quote holds.

The searches are written out once more here, for both directions at once and without reference counts.
"""

from typing import NamedTuple

import numpy as np

from numba_sweep.state import SCALE, compiled, inlined

FANOUT_BITS = 6
FANOUT = 1 << FANOUT_BITS
NOWHERE = -1  # a level that no price reaches from above
BEYOND = (1 << 31) - 1  # and one that none reaches from below
SPREADS = 16  # quotes whose spread is remembered
QUOTE_DOUBT_NS = 1_000_000_000


class Columns(NamedTuple):
    """One instrument. `low`, `high`: the levels above the column, flat; level k (1, 2, ...) begins at offsets[k - 1]."""

    ts: np.ndarray
    price: np.ndarray
    lots: np.ndarray
    side: np.ndarray  # aggressor
    low: np.ndarray
    high: np.ndarray
    offsets: np.ndarray
    quote_ts: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    before: np.ndarray  # trades before this quote
    quote_low: np.ndarray
    quote_high: np.ndarray
    quote_offsets: np.ndarray
    gap_ts: np.ndarray  # when the stream of quotes was interrupted
    gap_trades: np.ndarray  # trades and quotes before it
    gap_quotes: np.ndarray
    stop_ts: np.ndarray  # when the stream of trades was
    stop_trades: np.ndarray
    cut_ts: np.ndarray  # when the stream of liquidations was
    closed: np.ndarray  # no entries: from, to, from, to, ... (Timetable.closed)


def columns(m) -> Columns:
    """Of liqcore.sweep.columns.Columns."""

    def fixed(column):
        """Read-only: one type of it, so that the kernel is compiled once and not again for a tape that was made in another way."""
        column = column.view()
        column.flags.writeable = False
        return column

    over, over_quotes = (tuple(fixed(index[name]) for name in ("low", "high", "offsets")) for index in (m.index, m.quote_index))
    dense = (m.ts, m.price, m.lots, m.side, *over, m.quote_ts, m.bid, m.ask, m.before, *over_quotes)
    return Columns(*map(fixed, dense), m.gap_ts, m.gap_trades, m.gap_quotes, m.stop_ts, m.stop_trades, m.cut_ts, m.closed)


@compiled
def rows_before(ts, start, t):
    """First row from `start` on with ts >= t, or len(ts); gallops, because what is asked for is usually near."""
    n = len(ts)
    if start >= n or ts[start] >= t:
        return start
    low, step = start, 1  # ts[low] < t
    while low + step < n and ts[low + step] < t:
        low += step
        step <<= 1
    high = min(low + step, n)  # ts[high] >= t, or the end
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
    while True:  # climb while whole blocks are passed
        first, size = offsets[level - 1], offsets[level] - offsets[level - 1]
        stop = min(size, (block | (FANOUT - 1)) + 1)
        block = first_outside(low, high, first + block, first + stop, below, above) - first
        if block < stop:
            break
        if block >= size or level == levels:
            return n
        block >>= FANOUT_BITS
        level += 1
    while level > 1:  # and come down to the row
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


@compiled
def outside(m, row, stop, below, above):
    """First trade of the rows [row, stop) at or below `below`, or at or above `above`; stop = none."""
    end = min(stop, (row | (FANOUT - 1)) + 1)
    row = first_outside(m.price, m.price, row, end, below, above)
    if row < end or end == stop:
        return row
    return min(passage(m.price, m.price, m.low, m.high, m.offsets, end, below, above), stop)


@compiled
def interrupted(m, quote, now, place):
    """Whether the stream of quotes was interrupted after the last of `quote` quotes. place: of an interruption at `now` itself, it comes before this
    number of trades has been; 0 = nothing that was received at `now` has been."""
    k = np.searchsorted(m.gap_quotes, quote)
    if k == len(m.gap_ts) or m.gap_quotes[k] != quote:
        return False
    return m.gap_ts[k] < now or (m.gap_ts[k] == now and m.gap_trades[k] < place)


@compiled
def closed_at(m, now):
    """Whether the timetable forbids an entry."""
    return np.searchsorted(m.closed, now, side="right") & 1 == 1


@compiled
def trades_stopped(m, trade, now):
    """Whether the stream of trades was interrupted before `now` and after the last of `trade` trades."""
    k = np.searchsorted(m.stop_trades, trade)
    return k < len(m.stop_ts) and m.stop_trades[k] == trade and m.stop_ts[k] < now


@compiled
def quote_alive(m, g, trade, quote, now, place):
    """Whether the last of `quote` quotes holds when `trade` trades have been: the rule of market.pxd."""
    row = quote - 1
    if row < 0 or now - m.quote_ts[row] > g.quote_age or (len(m.gap_ts) and interrupted(m, quote, now, place)):
        return False
    return contradiction(m, trade, quote) == trade


@compiled
def contradiction(m, trade, quote):
    """The first of `trade` trades that contradicts the last of `quote` quotes; `trade` = none."""
    row = quote - 1
    first, bid, ask = m.before[row], m.bid[row], m.ask[row]
    if first >= trade or outside(m, first, trade, bid - 1, ask + 1) == trade:
        return trade
    total, count = usual_spread(m, quote)
    beyond = total // count + 1
    return outside(m, first, trade, bid - beyond, ask + beyond)


@compiled
def quote_ended(m, g, trade, quote, now, place):
    """Whether there were quotes and the last one no longer holds: the rule of market.pxd for entries, which lets pass for a second what only a trade
    contradicts."""
    if quote == 0 or quote_alive(m, g, trade, quote, now, place):
        return False
    if len(m.gap_ts) and interrupted(m, quote, now, place):
        return True
    row = contradiction(m, trade, quote)
    return row == trade or m.ts[row] - m.quote_ts[quote - 1] > g.quote_age or now - m.ts[row] > QUOTE_DOUBT_NS


@compiled
def usual_spread(m, quote):
    """Sum of the spreads of the latest of `quote` quotes, and how many they are."""
    total, count = 0, min(quote, SPREADS)
    for row in range(quote - count, quote):
        total += m.ask[row] - m.bid[row]
    return total, count


@compiled
def moved_last(m, g, s, side):
    """Where no quote holds: what a buyer or seller would meet by the last trade, moved against the order; 0 = there was none: see market.pxd."""
    if s.last <= 0:
        return 0
    if m.side[s.trade - 1] == side:
        return max(s.last + side, 1)
    half = 1
    if g.half_spread >= 0:
        half = (s.last * g.half_spread + SCALE - 1) // SCALE
    elif s.quote > 0:
        total, count = usual_spread(m, s.quote)
        half = (total + 2 * count - 1) // (2 * count)
    return max(s.last + side * max(2 * half, 1), 1)
