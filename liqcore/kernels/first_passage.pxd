"""First passage: the first row of a price column at or beyond a level, in O(log n), by a pyramid of minima and maxima (64 rows a block, then 64
blocks a block, and so on). So the cost of a backtest and a sweep grows with trades of the strategy, not with ticks.

A pyramid has a low and a high column of equal length: for trades both are the price; for quotes low is the ask and high is the bid, so that "at or
below" finds an offer at the level and "at or above" a bid.
"""

from libc.stdint cimport int32_t, int64_t

cdef extern from "kernels/passage.h" nogil:
    enum:
        PASSAGE_LEVELS           # 64**6 rows: more than fit in memory
    ctypedef struct pyramid_t:   # points into arrays that the owner keeps alive
        int64_t count[6]         # rows of each level; count[0] = rows of the column
        const int32_t* low[6]    # minima; level 0 is the column itself
        const int32_t* high[6]   # maxima
        int32_t levels
    # first row in [start, stop) with low <= level, or stop
    int64_t first_below(const pyramid_t* p, int64_t start, int64_t stop, int64_t level) noexcept
    # first row in [start, stop) with high >= level, or stop
    int64_t first_above(const pyramid_t* p, int64_t start, int64_t stop, int64_t level) noexcept
    # first row in [start, stop) with low <= `low` or high >= `high`, or stop
    int64_t first_outside(const pyramid_t* p, int64_t start, int64_t stop, int64_t low, int64_t high) noexcept
    # first row in [start, stop) with ts >= t, or stop; ts must not decrease. Rows near `start` cost least
    int64_t rows_before(const int64_t* ts, int64_t start, int64_t stop, int64_t t) noexcept
    # a hint that a row will be read soon
    void passage_prefetch(const void* address) noexcept
    void pyramid_level(const int32_t* low, const int32_t* high, int64_t count, int32_t* low_out, int32_t* high_out) noexcept

cdef class Passage:
    cdef pyramid_t c
    cdef readonly dict index     # low, high, offsets: the levels above the column, concatenated
    cdef readonly object low     # the columns
    cdef readonly object high
    cdef _point(self, dict index)
    cdef _build(self)
    cdef int _range(self, int64_t start, int64_t stop) except -1
