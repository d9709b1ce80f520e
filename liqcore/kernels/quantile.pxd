"""Exact rolling quantile of the last N values, and a mergeable sketch over time slices.

C use: quantile_init once, quantile_push per value, quantile_value / quantile_reached on demand, quantile_free. Values must be positive and
finite (validation checks it, not this function). Nothing is allocated after quantile_init. quantile.h has the kernel and the reasons for its design.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "kernels/quantile.h" nogil:
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
        double q
        uint8_t wide
    int32_t quantile_bucket(double x) noexcept
    size_t quantile_bytes(int32_t window) noexcept
    int quantile_allocate(quantile_t* s, double q, int32_t window) noexcept
    void quantile_free(quantile_t* s) noexcept
    void quantile_reset(quantile_t* s) noexcept
    void quantile_push(quantile_t* s, double x) noexcept
    void quantile_run(quantile_t* s, const double* x, double* y, int64_t n) noexcept   # push each x, read each y
    double quantile_value(quantile_t* s) noexcept      # NaN while empty
    bint quantile_reached(quantile_t* s, double x) noexcept  # exactly x >= quantile_value(s); false while empty
    int quantile_count(const quantile_t* s) noexcept

cdef int quantile_init(quantile_t* s, double q, int window) except -1
cdef bytes quantile_save(const quantile_t* s)
cdef int quantile_load(quantile_t* s, bytes data) except -1

# the same functions by address, for liqcore.batch (Numba), which finds them in __pyx_capi__
cdef quantile_t* quantile_new(double q, int window) noexcept nogil
cdef void quantile_delete(quantile_t* s) noexcept nogil
cdef void quantile_push_address(quantile_t* s, double x) noexcept nogil
cdef double quantile_value_address(quantile_t* s) noexcept nogil


cdef class RollingQuantile:
    cdef quantile_t c


cdef class QuantileSketch:
    cdef uint32_t* counts            # slices x buckets; slice k is in row k mod slices
    cdef int64_t* totals             # per bucket, over all slices inside
    cdef int64_t newest              # index of the newest slice: floor(ts / slice_ns)
    cdef int64_t total
    cdef readonly int64_t slice_ns
    cdef readonly int slices
    cdef readonly double relative_error
    cdef readonly double default_quantile
    cdef int bits                    # 2**bits buckets an octave
    cdef int buckets
    cdef int base
    cdef int32_t _bucket(self, double x) noexcept nogil
    cdef void _roll(self, int64_t slice) noexcept nogil
    cdef void _clear(self) noexcept nogil
    cdef int64_t _slice(self, int64_t ts) noexcept nogil
    cdef double _quantile(self, double q) noexcept nogil
    cdef int64_t _count(self, int64_t slice, int64_t slot, int64_t bucket) noexcept nogil
    cdef int _merge(self, bytes data, bint replace) except -1
