"""Exact rolling quantile of the last N values, and a mergeable sketch over time slices.

C use: quantile_init once, quantile_push per value, quantile_value / quantile_reached on demand, quantile_free. Values must be positive and
finite (checked at the door, not here). Nothing is allocated after quantile_init. The kernel and the reason for its shape: quantile.h.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "quantile.h" nogil:
    enum:
        QUANTILE_WINDOW_MIN
        QUANTILE_WINDOW_MAX
        QUANTILE_BUCKETS
    ctypedef struct quantile_t:
        double* values
        int32_t window
        int32_t count
        int32_t slot
        int32_t cursor
        int32_t below
        int32_t rank
        double fraction
        double lower
        double upper
        double value
        double q
        uint8_t fresh
        uint8_t wide
    int32_t quantile_bucket(double x) noexcept
    size_t quantile_bytes(int32_t window) noexcept
    int quantile_allocate(quantile_t* s, double q, int32_t window) noexcept
    void quantile_free(quantile_t* s) noexcept
    void quantile_reset(quantile_t* s) noexcept
    void quantile_push(quantile_t* s, double x) noexcept
    double quantile_value(quantile_t* s) noexcept      # NaN while empty
    bint quantile_reached(quantile_t* s, double x) noexcept  # exactly x >= quantile_value(s); false while empty
    int quantile_count(const quantile_t* s) noexcept

cdef int quantile_init(quantile_t* s, double q, int window) except -1
cdef bytes quantile_save(const quantile_t* s)
cdef int quantile_load(quantile_t* s, bytes data) except -1


cdef class RollingQuantile:
    cdef quantile_t c
