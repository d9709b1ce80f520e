"""Price ladders: see price_ladder.pxd. C level only; EstimatedPending and RealisedDensity are made of them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef struct ladder_image_t:      # `count` pairs of (index, cell) follow, by index, only cells that are not empty
    double step
    double scale
    int64_t low
    int32_t cells
    int32_t logarithmic
    int64_t count

cdef struct ladder_cell_t:
    int64_t index
    double amount

cdef int64_t INDEX_MAX = 1 << 52  # of ladder_index


cdef int ladder_init(ladder_t* l, double step, bint logarithmic, int cells) except -1:
    """Allocate. cells: a power of two. ValueError, MemoryError."""
    memset(l, 0, sizeof(ladder_t))
    if not (1e-9 <= step <= (0.5 if logarithmic else 1e9)):
        raise ValueError(f"step: expected 1e-9 to {0.5 if logarithmic else 1e9:g}, got {step!r}")
    if not (LADDER_CELLS_MIN <= cells <= LADDER_CELLS_MAX) or cells & (cells - 1):
        raise ValueError(f"cells: expected a power of two from {int(LADDER_CELLS_MIN)} to {int(LADDER_CELLS_MAX)}, got {cells}")
    l.cell = <double*> calloc(<size_t> cells + cells // BLOCK_CELLS, sizeof(double))
    if l.cell == NULL:
        raise MemoryError(f"no memory for {cells} price cells")
    l.block = l.cell + cells
    l.step = step
    l.cells = cells
    l.logarithmic = logarithmic
    ladder_reset(l)
    return 0


cdef void ladder_free(ladder_t* l) noexcept nogil:
    free(l.cell)
    memset(l, 0, sizeof(ladder_t))


cdef void ladder_reset(ladder_t* l) noexcept nogil:
    memset(l.cell, 0, (<size_t> l.cells + l.cells // BLOCK_CELLS) * sizeof(double))
    l.scale = 1.0
    l.low = INT64_MIN


cdef void _block(ladder_t* l, int32_t block) noexcept nogil:
    """Sum a block anew. Nothing is ever subtracted, so no rounding error stays after an amount has left."""
    cdef double total = 0.0
    cdef int32_t slot
    for slot in range(block * BLOCK_CELLS, (block + 1) * BLOCK_CELLS):
        total += l.cell[slot]
    l.block[block] = total


cdef double ladder_take(ladder_t* l, int64_t first, int64_t last) noexcept nogil:
    """Empty the cells first..last (both inside the range); returns their amount."""
    cdef double total = 0.0
    cdef int64_t index
    cdef int32_t slot
    if l.low == INT64_MIN:
        return 0.0
    first, last = max(first, l.low), min(last, l.low + l.cells - 1)
    for index in range(first, last + 1):
        slot = <int32_t> (index & (l.cells - 1))
        total += l.cell[slot]
        l.cell[slot] = 0.0
        if slot % BLOCK_CELLS == BLOCK_CELLS - 1 or index == last:
            _block(l, slot // BLOCK_CELLS)
    return total * l.scale


cdef double ladder_move(ladder_t* l, int64_t index) noexcept nogil:
    """Shift the ring by the least distance that brings `index` inside; returns the amount that left at the other end."""
    cdef double gone
    cdef int64_t low = index if index < l.low else index - l.cells + 1
    if low < l.low:
        gone = ladder_take(l, max(low + l.cells, l.low), l.low + l.cells - 1)
    else:
        gone = ladder_take(l, l.low, min(low, l.low + l.cells) - 1)
    l.low = low
    return gone


cdef void ladder_rescale(ladder_t* l) noexcept nogil:
    """Bring the common factor back to 1, before amount / scale could overflow."""
    cdef int32_t slot, block
    for slot in range(l.cells):
        l.cell[slot] *= l.scale
    for block in range(l.cells // BLOCK_CELLS):
        _block(l, block)
    l.scale = 1.0


cdef double ladder_sum(const ladder_t* l, int64_t first, int64_t last) noexcept nogil:
    """The amount in the cells first..last."""
    cdef double total = 0.0
    cdef int64_t index
    cdef int32_t slot
    if l.low == INT64_MIN:
        return 0.0
    first, last = max(first, l.low), min(last, l.low + l.cells - 1)
    index = first
    while index <= last:
        slot = <int32_t> (index & (l.cells - 1))
        if slot % BLOCK_CELLS == 0 and index + BLOCK_CELLS - 1 <= last:
            total += l.block[slot // BLOCK_CELLS]
            index += BLOCK_CELLS
        else:
            total += l.cell[slot]
            index += 1
    return total * l.scale


cdef double ladder_value(const ladder_t* l, int64_t first, int64_t last) noexcept nogil:
    """Sum of amount x centre price over the cells first..last: the notional of quantities."""
    cdef double total = 0.0, price, ratio
    cdef int64_t index
    cdef int32_t slot
    if l.low == INT64_MIN:
        return 0.0
    first, last = max(first, l.low), min(last, l.low + l.cells - 1)
    ratio = exp(l.step) if l.logarithmic else 1.0
    index = first
    price = ladder_centre(l, index)
    while index <= last:
        slot = <int32_t> (index & (l.cells - 1))
        if slot % BLOCK_CELLS == 0 and l.block[slot // BLOCK_CELLS] == 0.0:
            index += BLOCK_CELLS                     # an empty block is skipped; the ring wraps at a block's edge, because both are powers of two
            price = ladder_centre(l, index)
            continue
        total += l.cell[slot] * price
        price = price * ratio if l.logarithmic else price + l.step
        index += 1
    return total * l.scale


cdef int64_t ladder_next(const ladder_t* l, int64_t index, double least) noexcept nogil:
    """The first cell at or above `index` with more than `least`; INT64_MIN if there is none."""
    cdef int64_t last
    cdef int32_t slot
    if l.low == INT64_MIN:
        return INT64_MIN
    index, last = max(index, l.low), l.low + l.cells - 1
    while index <= last:
        slot = <int32_t> (index & (l.cells - 1))
        if slot % BLOCK_CELLS == 0 and l.block[slot // BLOCK_CELLS] * l.scale <= least:
            index += BLOCK_CELLS
            continue
        if l.cell[slot] * l.scale > least:
            return index
        index += 1
    return INT64_MIN


cdef int64_t ladder_previous(const ladder_t* l, int64_t index, double least) noexcept nogil:
    """The first cell at or below `index` with more than `least`; INT64_MIN if there is none."""
    cdef int32_t slot
    if l.low == INT64_MIN:
        return INT64_MIN
    index = min(index, l.low + l.cells - 1)
    while index >= l.low:
        slot = <int32_t> (index & (l.cells - 1))
        if slot % BLOCK_CELLS == BLOCK_CELLS - 1 and l.block[slot // BLOCK_CELLS] * l.scale <= least:
            index -= BLOCK_CELLS
            continue
        if l.cell[slot] * l.scale > least:
            return index
        index -= 1
    return INT64_MIN


cdef bytes ladder_save(const ladder_t* l):
    cdef ladder_image_t head
    cdef ladder_cell_t row
    cdef int64_t index
    cdef list rows = []
    memset(&head, 0, sizeof(head))
    head.step = l.step
    head.scale = l.scale
    head.low = l.low
    head.cells = l.cells
    head.logarithmic = l.logarithmic
    for index in range(l.low, l.low + l.cells) if l.low != INT64_MIN else ():
        if l.cell[index & (l.cells - 1)] != 0.0:
            row.index = index
            row.amount = l.cell[index & (l.cells - 1)]
            rows.append(PyBytes_FromStringAndSize(<char*> &row, sizeof(row)))
    head.count = len(rows)
    # block sums depend on the order of the amounts, so they are part of the state: else a restored map would differ in the last bits
    return (PyBytes_FromStringAndSize(<char*> &head, sizeof(head)) + b"".join(rows)
            + PyBytes_FromStringAndSize(<char*> l.block, l.cells // BLOCK_CELLS * sizeof(double)))


cdef int ladder_load(ladder_t* l, bytes data, str what) except -1:
    """ValueError, and no change, unless the bytes are an image of the same cells."""
    cdef ladder_image_t head
    cdef ladder_cell_t row
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef Py_ssize_t blocks = l.cells // BLOCK_CELLS * sizeof(double), expected
    cdef int64_t i, previous
    cdef double total
    if PyBytes_GET_SIZE(data) < <Py_ssize_t> sizeof(head):
        raise ValueError(f"{what} snapshot: it is cut short")
    memcpy(&head, at, sizeof(head))
    if head.step != l.step or head.cells != l.cells or head.logarithmic != l.logarithmic:
        raise ValueError(f"{what} snapshot: it has {head.cells} cells of {head.step!r}, this one {l.cells} of {l.step!r}")
    if not (0 <= head.count <= head.cells) or not (0.0 < head.scale < INFINITY) or (
            head.low == INT64_MIN and head.count) or (head.low != INT64_MIN and not -INDEX_MAX <= head.low <= INDEX_MAX):
        raise ValueError(f"{what} snapshot: {head.count} cells from {head.low}, factor {head.scale!r}, cannot be")
    expected = <Py_ssize_t> (sizeof(head) + head.count * sizeof(row) + blocks)
    if PyBytes_GET_SIZE(data) != expected:
        raise ValueError(f"{what} snapshot: expected {expected} bytes, got {len(data)}")
    previous = head.low - 1
    for i in range(head.count):
        memcpy(&row, at + sizeof(head) + i * sizeof(row), sizeof(row))
        if not (previous < row.index < head.low + head.cells) or not (0.0 < row.amount < INFINITY):
            raise ValueError(f"{what} snapshot: cell {row.index} with {row.amount!r} is out of order or out of range")
        previous = row.index
    for i in range(l.cells // BLOCK_CELLS):
        memcpy(&total, at + expected - blocks + i * sizeof(double), sizeof(double))
        if not (0.0 <= total < INFINITY):
            raise ValueError(f"{what} snapshot: the sum of block {i} is {total!r}")
    ladder_reset(l)
    for i in range(head.count):
        memcpy(&row, at + sizeof(head) + i * sizeof(row), sizeof(row))
        l.cell[row.index & (l.cells - 1)] = row.amount
    memcpy(l.block, at + expected - blocks, blocks)
    l.scale = head.scale
    l.low = head.low
    return 0
