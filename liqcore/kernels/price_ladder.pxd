"""Amounts by price: a ring of price cells that follows the market, with sums over ranges and one common factor for forgetting.

A cell is a point: all amounts in it count at its centre. Cells are `step` wide in quote currency, or in the logarithm of the price. The ring
holds the cells [low, low + cells); an amount outside moves it, and the amount that leaves at the far end is returned to the caller. Adding is O(1), a
sum over n cells is O(n / 64 + 128), fading all cells is O(1): cells hold amount / scale.
"""

from libc.math cimport exp, floor, log
from libc.stdint cimport INT64_MIN, int32_t, int64_t

cdef enum:
    BLOCK_CELLS = 64
    LADDER_CELLS_MIN = 128
    LADDER_CELLS_MAX = 65536

ctypedef struct ladder_t:
    double* cell             # ring; the whole allocation starts here
    double* block            # sums of BLOCK_CELLS cells each
    double step              # width of a cell: quote currency, or natural logarithm of a price ratio
    double scale             # amount = cell * scale
    int64_t low              # first index inside; INT64_MIN before the first amount
    int32_t cells            # a power of two
    int32_t logarithmic

cdef int ladder_init(ladder_t* l, double step, bint logarithmic, int cells) except -1
cdef void ladder_free(ladder_t* l) noexcept nogil
cdef void ladder_reset(ladder_t* l) noexcept nogil
cdef double ladder_move(ladder_t* l, int64_t index) noexcept nogil
cdef void ladder_rescale(ladder_t* l) noexcept nogil
cdef double ladder_sum(const ladder_t* l, int64_t first, int64_t last) noexcept nogil
cdef double ladder_value(const ladder_t* l, int64_t first, int64_t last) noexcept nogil
cdef double ladder_take(ladder_t* l, int64_t first, int64_t last) noexcept nogil
cdef int64_t ladder_next(const ladder_t* l, int64_t index, double least) noexcept nogil
cdef int64_t ladder_previous(const ladder_t* l, int64_t index, double least) noexcept nogil
cdef bytes ladder_save(const ladder_t* l)
cdef int ladder_load(ladder_t* l, bytes data, str what) except -1


cdef inline int64_t ladder_index(const ladder_t* l, double price) noexcept nogil:
    """The cell that a positive price falls into; beyond 2**52 cells, where neighbours can no longer be told apart, all prices share the last one."""
    cdef double cell = (log(price) if l.logarithmic else price) / l.step
    if cell >= 4503599627370496.0:                   # tested before the floor, which then needs no call
        return 1 << 52
    return <int64_t> floor(cell) if cell > -4503599627370496.0 else -(1 << 52)


cdef inline double ladder_edge(const ladder_t* l, int64_t index) noexcept nogil:
    """The lower edge of a cell."""
    return exp(index * l.step) if l.logarithmic else index * l.step


cdef inline double ladder_centre(const ladder_t* l, int64_t index) noexcept nogil:
    """The price that a cell stands for."""
    return exp((index + 0.5) * l.step) if l.logarithmic else (index + 0.5) * l.step


cdef inline int64_t ladder_first(const ladder_t* l, double price) noexcept nogil:
    """The lowest cell whose centre is at or above a price."""
    cdef int64_t index = ladder_index(l, price)
    return index if ladder_centre(l, index) >= price else index + 1


cdef inline int64_t ladder_last(const ladder_t* l, double price) noexcept nogil:
    """The highest cell whose centre is at or below a price."""
    cdef int64_t index = ladder_index(l, price)
    return index if ladder_centre(l, index) <= price else index - 1


cdef inline double ladder_total(const ladder_t* l) noexcept nogil:
    cdef double total = 0.0
    cdef int32_t block
    for block in range(l.cells // BLOCK_CELLS):
        total += l.block[block]
    return total * l.scale


cdef inline double ladder_add(ladder_t* l, int64_t index, double amount) noexcept nogil:
    """Add to a cell; returns the amount that left at the far end."""
    cdef double gone = 0.0
    cdef int32_t slot
    if l.low == INT64_MIN:
        l.low = index - (l.cells >> 1)
    elif index < l.low or index >= l.low + l.cells:
        gone = ladder_move(l, index)
    slot = <int32_t> (index & (l.cells - 1))
    amount /= l.scale
    l.cell[slot] += amount
    l.block[slot // BLOCK_CELLS] += amount
    return gone


cdef inline void ladder_fade(ladder_t* l, double keep) noexcept nogil:
    """Every amount becomes keep (0..1) times itself."""
    l.scale *= keep
    if l.scale < 1e-100:
        ladder_rescale(l)
