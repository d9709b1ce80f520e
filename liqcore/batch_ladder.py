"""The price ladder in Numba: written apart from ladder.pyx, and equal to it to the bit. batch_maps is made of it; k: 0 = longs, 1 = shorts."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 64                       # cells that are summed together, as in ladder.pxd
NONE = np.iinfo(np.int64).min
INDEX_MAX = 2.0 ** 52            # of a cell, either way


class Ladders(NamedTuple):
    """The ladders of both sides."""

    cell: NDArray[np.float64]    # (side, cells): amount / scale, at index & (cells - 1)
    block: NDArray[np.float64]   # (side, cells / BLOCK)
    scale: NDArray[np.float64]   # (side,)
    low: NDArray[np.int64]       # (side,): first index inside; NONE = nothing yet
    step: float                  # quote currency, or natural logarithm
    logarithmic: bool


def ladders_of(step: float, bin_bps: float, cells: int) -> Ladders:
    return Ladders(np.zeros((2, cells)), np.zeros((2, cells // BLOCK)), np.ones(2), np.full(2, NONE),
                   step if step > 0.0 else math.log1p(bin_bps / 1e4), not step > 0.0)


@njit(cache=True, nogil=True)
def ladder_index(l, price):
    return math.floor(min(max((math.log(price) if l.logarithmic else price) / l.step, -INDEX_MAX), INDEX_MAX))


@njit(cache=True, nogil=True)
def ladder_edge(l, index):
    return math.exp(index * l.step) if l.logarithmic else index * l.step


@njit(cache=True, nogil=True)
def ladder_centre(l, index):
    return math.exp((index + 0.5) * l.step) if l.logarithmic else (index + 0.5) * l.step


@njit(cache=True, nogil=True)
def ladder_first(l, price):
    """The lowest cell whose centre is at or above a price."""
    index = ladder_index(l, price)
    return index if ladder_centre(l, index) >= price else index + 1


@njit(cache=True, nogil=True)
def ladder_last(l, price):
    index = ladder_index(l, price)
    return index if ladder_centre(l, index) <= price else index - 1


@njit(cache=True, nogil=True)
def _inside(l, k, first, last):
    """The part of first..last that the ladder holds."""
    if l.low[k] == NONE:
        return 0, -1
    return max(first, l.low[k]), min(last, l.low[k] + l.cell.shape[1] - 1)


@njit(cache=True, nogil=True)
def _sum_block(l, k, block):
    total = 0.0
    for slot in range(block * BLOCK, (block + 1) * BLOCK):
        total += l.cell[k, slot]
    l.block[k, block] = total


@njit(cache=True, nogil=True)
def ladder_take(l, k, first, last):
    """Empty the cells; returns their amount."""
    total, mask = 0.0, l.cell.shape[1] - 1
    first, last = _inside(l, k, first, last)
    for index in range(first, last + 1):
        slot = index & mask
        total += l.cell[k, slot]
        l.cell[k, slot] = 0.0
        if slot % BLOCK == BLOCK - 1 or index == last:
            _sum_block(l, k, slot // BLOCK)
    return total * l.scale[k]


@njit(cache=True, nogil=True)
def ladder_move(l, k, index):
    """Shift the window by as little as brings index inside."""
    cells = l.cell.shape[1]
    low = index if index < l.low[k] else index - cells + 1
    if low < l.low[k]:
        ladder_take(l, k, low + cells, l.low[k] + cells - 1)
    else:
        ladder_take(l, k, l.low[k], low - 1)
    l.low[k] = low


@njit(cache=True, nogil=True)
def ladder_add(l, k, index, amount):
    cells = l.cell.shape[1]
    if l.low[k] == NONE:
        l.low[k] = index - cells // 2
    elif index < l.low[k] or index >= l.low[k] + cells:
        ladder_move(l, k, index)
    slot = index & (cells - 1)
    l.cell[k, slot] += amount / l.scale[k]
    l.block[k, slot // BLOCK] += amount / l.scale[k]


@njit(cache=True, nogil=True)
def ladder_fade(l, k, keep):
    l.scale[k] *= keep
    if l.scale[k] < 1e-100:
        for slot in range(l.cell.shape[1]):
            l.cell[k, slot] *= l.scale[k]
        for block in range(l.block.shape[1]):
            _sum_block(l, k, block)
        l.scale[k] = 1.0


@njit(cache=True, nogil=True)
def ladder_sum(l, k, first, last):
    total, mask = 0.0, l.cell.shape[1] - 1
    index, last = _inside(l, k, first, last)
    while index <= last:
        slot = index & mask
        if slot % BLOCK == 0 and index + BLOCK - 1 <= last:
            total += l.block[k, slot // BLOCK]
            index += BLOCK
        else:
            total += l.cell[k, slot]
            index += 1
    return total * l.scale[k]


@njit(cache=True, nogil=True)
def ladder_value(l, k, first, last):
    """Sum of amount x price of the cells."""
    total, mask = 0.0, l.cell.shape[1] - 1
    index, last = _inside(l, k, first, last)
    if index > last:
        return 0.0
    ratio = math.exp(l.step)
    price = ladder_centre(l, index)
    while index <= last:
        slot = index & mask
        if slot % BLOCK == 0 and l.block[k, slot // BLOCK] == 0.0:
            index += BLOCK
            price = ladder_centre(l, index)
            continue
        total += l.cell[k, slot] * price
        price = price * ratio if l.logarithmic else price + l.step
        index += 1
    return total * l.scale[k]


@njit(cache=True, nogil=True)
def ladder_filled(l, k, index, step):
    """The first cell from index on, up (step 1) or down (-1), that holds anything; NONE."""
    mask = l.cell.shape[1] - 1
    low, high = _inside(l, k, NONE, np.iinfo(np.int64).max)
    index = max(index, low) if step > 0 else min(index, high)
    while low <= index <= high:
        if l.cell[k, index & mask] * l.scale[k] > 0.0:
            return index
        index += step
    return NONE
