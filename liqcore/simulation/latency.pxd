"""Latency of a request to the venue and of a report back: constants, or measured samples drawn with a seed.

A draw is a pure function of (seed, order id, subject), never of earlier draws. So the same order has the same latency in every run: two runs that
differ in one order can be compared, and a tape runner that skips events has the draws of a run over all events.
"""

from libc.stdint cimport int64_t, uint64_t

cdef class Latency:
    cdef int64_t order_constant      # ns
    cdef int64_t ack_constant
    cdef int64_t* order_samples      # ns; NULL = constant
    cdef int64_t* ack_samples
    cdef int64_t order_count
    cdef int64_t ack_count
    cdef readonly int64_t seed
    cdef object _keep                # the arrays that the pointers point into
    cdef int64_t order_c(self, int64_t order, int64_t action) noexcept nogil
    cdef int64_t ack_c(self, int64_t order, int64_t report) noexcept nogil
