"""Sums, counts and maxima of the liquidations of the last horizon, per side, exact after any number of updates.

C use: window_init once; window_push per event and window_advance per wake-up; read the sums, counts and maxima. An entry is inside while
ts_now - ts <= horizon_ns. Time never goes back: an earlier ts counts as the current one (validation refuses such events).

Why integers. A running floating sum drifts, and even a compensated one is inexact after one print of 1e9. Here each notional becomes an integer
multiple of 2**-64 in 128 bits. Adding and later removing it leaves no error, and a reading is the true sum, rounded once: the same bits as math.fsum
of the entries inside, for notionals of at least 2**-12 (2.4e-4). Smaller ones each lose the part below 2**-64 (5e-20).
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "kernels/window.h" nogil:
    const double WINDOW_NOTIONAL_MAX                   # 2**40: larger notionals count as this (validation and the Python class refuse them)
    enum:
        WINDOW_CAPACITY_MAX                            # 2**22
    ctypedef struct window_t:
        int64_t horizon_ns
        int64_t now
        int64_t pushed                                 # entries since reset
        int64_t expired                                # of those, no longer inside
        int64_t dropped                                # of those, pushed out early because the ring was full: raise the capacity if not 0
        uint32_t mask
        int64_t* ts
        double* notional
    int window_allocate(window_t* w, int64_t horizon_ns, int32_t capacity) noexcept
    void window_free(window_t* w) noexcept
    void window_reset(window_t* w) noexcept
    void window_push(window_t* w, int64_t ts, int side, double notional) noexcept   # side: LONG = +1, SHORT = -1
    void window_advance(window_t* w, int64_t ts) noexcept
    double window_long(const window_t* w) noexcept     # sums, quote currency
    double window_short(const window_t* w) noexcept
    double window_total(const window_t* w) noexcept
    int window_count(const window_t* w) noexcept
    int window_long_count(const window_t* w) noexcept
    int window_short_count(const window_t* w) noexcept
    double window_long_max(window_t* w) noexcept # 0 if there is none
    double window_short_max(window_t* w) noexcept
    int64_t window_next_expiry(const window_t* w) noexcept     # first ns at which the oldest entry is outside; INT64_MAX when empty
    int64_t window_falls(window_t* w, double level) noexcept   # the first expiry after which the total is below `level`; INT64_MAX = none

cdef int window_init(window_t* w, int64_t horizon_ns, int capacity) except -1
cdef bytes window_save(const window_t* w)
cdef int window_load(window_t* w, bytes data) except -1

# the same functions by address, for liqcore.batch (Numba), which finds them in __pyx_capi__
cdef window_t* window_new(int64_t horizon_ns, int capacity) noexcept nogil
cdef void window_delete(window_t* w) noexcept nogil
cdef void window_push_address(window_t* w, int64_t ts, int side, double notional) noexcept nogil
cdef void window_read_address(window_t* w, double* out) noexcept nogil


cdef class Window:
    cdef window_t c
