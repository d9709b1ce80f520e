"""What is remembered of the past, for readings of what was known some time ago: changes with their times, and what candles said.

A log shows the latest `room` entries of something; older ones go, and that is known: `past_from` says since which entry nothing is missing. Whoever
reads asks for the place of a time, and how many entries have come since.
"""

from libc.math cimport NAN
from libc.stdint cimport INT64_MAX, int64_t

ctypedef struct log_t:
    int64_t* ts                  # of receipt; they never go back
    double* x
    double* y                    # NULL where one number is enough
    int64_t mask                 # entries that fit - 1, a power of two less one; -1 = nobody asked for it
    int64_t room                 # the latest ones that a lag looks at; fewer than fit
    int64_t low                  # the first entry that is still here
    int64_t total                # entries so far
    int64_t keep_ns              # how long they are asked for
    int64_t lost                 # entries that went out of its sight before that

ctypedef struct bar_cell_t:      # what a candle feature said while one candle ran
    int64_t bar                  # its number; -1 = none yet
    int64_t until                # from here on it was not known any more: data was missing
    double x

ctypedef struct bars_t:          # the same of the latest `size` candles
    bar_cell_t* cells
    int64_t size
    int64_t lag_ns               # the longest that is asked for


cdef inline bint alike(double a, double b) noexcept nogil:
    """Any nan is nan."""
    return a == b or (a != a and b != b)


cdef inline int64_t log_at(const log_t* l, int64_t t) noexcept nogil:
    """How many entries came up to t, that ns included; at least `low`."""
    cdef int64_t low = l.low, high = l.total, middle
    while low < high:
        middle = (low + high) >> 1
        if l.ts[middle & l.mask] <= t:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline double log_x(const log_t* l, int64_t at) noexcept nogil:
    """The entry before a place; nan where there was none."""
    return l.x[(at - 1) & l.mask] if at > l.low else NAN


cdef inline bint log_full(const log_t* l) noexcept nogil:
    """The next entry takes the place of the first."""
    return l.total - l.low > l.mask


cdef inline bint log_loses(const log_t* l, int64_t ts) noexcept nogil:
    """An entry at ts puts the one `room` before it out of sight, though the longest lag still asks for what came after it."""
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
    """A value from ts on, as it is after all that comes at that ns; nothing where it has not changed."""
    cdef int64_t last = (l.total - 1) & l.mask
    if l.total > l.low and l.ts[last] == ts:
        l.total -= 1             # what was said earlier at the same ns, nobody can have read
        l.lost -= log_loses(l, ts)
    if not alike(log_x(l, l.total), x):
        log_add(l, ts, x, 0.0)


cdef inline double bars_at(const bars_t* b, int64_t bar, int64_t t) noexcept nogil:
    cdef const bar_cell_t* cell = &b.cells[bar % b.size]
    return cell.x if cell.bar == bar and t < cell.until else NAN


cdef inline void bars_set(bars_t* b, int64_t bar, double x) noexcept nogil:
    b.cells[bar % b.size] = bar_cell_t(bar=bar, until=INT64_MAX, x=x)


cdef inline void bars_break(bars_t* b, int64_t bar, int64_t now) noexcept nogil:
    """Data is missing: what the running candle said is not known from now on."""
    cdef bar_cell_t* cell = &b.cells[bar % b.size]
    if cell.bar == bar:
        cell.until = min(cell.until, now)
