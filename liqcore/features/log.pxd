"""Memory of the past, for readings of values known some time ago: changes with their times, and values of candle features.

A log stores entries from number `low` to `total`. A lag may use the latest `room` of them: log_at() finds the place of a time, and the value is
unknown if more than `room` entries came since.
"""

from libc.math cimport NAN
from libc.stdint cimport INT64_MAX, int64_t

ctypedef struct log_t:
    int64_t* ts                  # of receipt; they never go back
    double* x
    double* y                    # NULL where one number is enough
    int64_t mask                 # capacity - 1, where capacity is a power of two; -1 = not needed
    int64_t room                 # number of latest entries that a lag may use; below the capacity
    int64_t low                  # the first entry still stored
    int64_t total                # entries so far
    int64_t keep_ns              # the longest lag
    int64_t lost                 # entries dropped from `room` before the longest lag had passed

ctypedef struct bar_cell_t:      # value of a candle feature while one candle ran
    int64_t bar                  # its number; -1 = none yet
    int64_t until                # unknown from here on, because data was missing
    double x

ctypedef struct bars_t:          # the same of the latest `size` candles
    bar_cell_t* cells
    int64_t size
    int64_t lag_ns               # the longest lag


cdef inline bint alike(double a, double b) noexcept nogil:
    """Equal, or both nan."""
    return a == b or (a != a and b != b)


cdef inline int64_t log_at(const log_t* l, int64_t t) noexcept nogil:
    """Number of entries up to and including t; at least `low`."""
    cdef int64_t low = l.low, high = l.total, middle
    while low < high:
        middle = (low + high) >> 1
        if l.ts[middle & l.mask] <= t:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline double log_x(const log_t* l, int64_t at) noexcept nogil:
    """The value of the entry before a place; nan if there was none."""
    return l.x[(at - 1) & l.mask] if at > l.low else NAN


cdef inline bint log_full(const log_t* l) noexcept nogil:
    """Whether the next entry overwrites the first."""
    return l.total - l.low > l.mask


cdef inline bint log_loses(const log_t* l, int64_t ts) noexcept nogil:
    """Whether an entry at ts drops one from `room` that the longest lag still needs."""
    cdef int64_t at = l.total - l.room
    return at >= l.low and ts - l.ts[at & l.mask] < l.keep_ns


cdef inline void log_add(log_t* l, int64_t ts, double x, double y) noexcept nogil:
    cdef int64_t at = l.total & l.mask
    l.lost += log_loses(l, ts)
    if log_full(l):
        l.low += 1
    l.ts[at] = ts
    l.x[at] = x
    if l.y != NULL:
        l.y[at] = y
    l.total += 1


cdef inline void log_set(log_t* l, int64_t ts, double x) noexcept nogil:
    """Log a value from ts on: the last one of this ns counts. An unchanged value is not logged."""
    cdef int64_t last = (l.total - 1) & l.mask
    if l.total > l.low and l.ts[last] == ts:
        l.total -= 1             # an earlier value of the same ns cannot have been read
        l.lost -= log_loses(l, ts)
    if not alike(log_x(l, l.total), x):
        log_add(l, ts, x, 0.0)


cdef inline double bars_at(const bars_t* b, int64_t bar, int64_t t) noexcept nogil:
    cdef const bar_cell_t* cell = &b.cells[bar % b.size]
    return cell.x if cell.bar == bar and t < cell.until else NAN


cdef inline void bars_set(bars_t* b, int64_t bar, double x) noexcept nogil:
    b.cells[bar % b.size] = bar_cell_t(bar=bar, until=INT64_MAX, x=x)


cdef inline void bars_break(bars_t* b, int64_t bar, int64_t now) noexcept nogil:
    """Data is missing: the value of the running candle is unknown from now on."""
    cdef bar_cell_t* cell = &b.cells[bar % b.size]
    if cell.bar == bar:
        cell.until = min(cell.until, now)
