"""First passage for Numba code: the searches of liqcore.passage over the same flat arrays, row for row the same answers.

column: int32 ticks (level 0). low, high, offsets: the upper levels as Passage.index and Tape.index give them, one behind the other: level k + 1 is
low[offsets[k]:offsets[k + 1]]. Rows are [start, stop); where there is none the answer is stop. Compiled code is cached on disk.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, inline="always")
def _hit_below(values, first, end, level):
    """The first of [first, end) at or below, or end: a loop without a branch that the compiler makes vectors of, then the search if there is one."""
    found = np.int32(0)
    for k in range(first, end):
        found |= np.int32(values[k] <= level)
    if found == 0:
        return end
    k = first
    while values[k] > level:
        k += 1
    return k


@njit(cache=True, nogil=True, inline="always")
def _hit_above(values, first, end, level):
    found = np.int32(0)
    for k in range(first, end):
        found |= np.int32(values[k] >= level)
    if found == 0:
        return end
    k = first
    while values[k] < level:
        k += 1
    return k


@njit(cache=True, nogil=True)
def first_below(column, low, offsets, start, stop, level):
    """First row in [start, stop) with column <= level, or stop."""
    if start >= stop:
        return stop
    height = 0
    i = start
    while True:
        entries = ((stop - 1) >> (6 * height)) + 1
        end = min((i | 63) + 1, entries)
        if height == 0:
            hit = _hit_below(column, i, end, level)
        else:
            base = offsets[height - 1]
            hit = _hit_below(low, base + i, base + end, level) - base
        if hit < end:
            break
        if end == entries:
            return stop
        i = end >> 6
        height += 1
    while height > 0:                       # an entry that reaches beyond stop may have its hit there: then there is none
        height -= 1
        end = min((hit + 1) << 6, ((stop - 1) >> (6 * height)) + 1)
        if height == 0:
            hit = _hit_below(column, hit << 6, end, level)
        else:
            base = offsets[height - 1]
            hit = _hit_below(low, base + (hit << 6), base + end, level) - base
        if hit == end:
            return stop
    return hit


@njit(cache=True, nogil=True)
def first_above(column, high, offsets, start, stop, level):
    """First row in [start, stop) with column >= level, or stop."""
    if start >= stop:
        return stop
    height = 0
    i = start
    while True:
        entries = ((stop - 1) >> (6 * height)) + 1
        end = min((i | 63) + 1, entries)
        if height == 0:
            hit = _hit_above(column, i, end, level)
        else:
            base = offsets[height - 1]
            hit = _hit_above(high, base + i, base + end, level) - base
        if hit < end:
            break
        if end == entries:
            return stop
        i = end >> 6
        height += 1
    while height > 0:
        height -= 1
        end = min((hit + 1) << 6, ((stop - 1) >> (6 * height)) + 1)
        if height == 0:
            hit = _hit_above(column, hit << 6, end, level)
        else:
            base = offsets[height - 1]
            hit = _hit_above(high, base + (hit << 6), base + end, level) - base
        if hit == end:
            return stop
    return hit


@njit(cache=True, nogil=True)
def rows_before(ts, start, stop, t):
    """First row in [start, stop) with ts >= t, or stop; ts does not fall. Doubling steps from start, then halving."""
    if start >= stop or ts[start] >= t:
        return min(start, stop)
    step = 1
    low = start
    while low + step < stop and ts[low + step] < t:
        low += step
        step <<= 1
    high = min(low + step, stop)
    while high - low > 1:
        middle = low + (high - low) // 2
        if ts[middle] < t:
            low = middle
        else:
            high = middle
    return high
