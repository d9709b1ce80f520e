"""The values of features: from the kernels, from samples of histories, and from some time ago. See features.pxd for the inputs."""

from libc.stdint cimport int32_t, int64_t

from liqcore.features.log cimport log_t
from liqcore.features.state cimport FeatureState, base_t, reader_t

cdef class FeatureValues(FeatureState):
    cdef void start(self, int64_t now) noexcept nogil
    cdef void sample(self, int32_t n, int64_t now) noexcept nogil
    cdef void sample_across(self, int64_t now) noexcept nogil
    cdef void take(self, int32_t row, int fed, int64_t ts, double x, double y) noexcept nogil
    cdef void keep(self, int32_t n, int fed, int64_t ts, double x, double y) noexcept nogil
    cdef void keep_print(self, int32_t n, int64_t ts, double x) noexcept nogil
    cdef void take_next(self, int32_t row, int fed, const log_t* l, int64_t* cursor) noexcept nogil
    cdef void take_print(self, int f, const log_t* l, int64_t* cursor) noexcept nogil
    cdef void roll(self, int32_t n, int column, int64_t now) noexcept nogil
    cdef void roll_bar(self, int32_t n, int column, int64_t bar) noexcept nogil
    cdef double value(self, int32_t b, int32_t row, int64_t now) noexcept nogil
    cdef double value_across(self, const base_t* f, int32_t row, int64_t now) noexcept nogil
    cdef void ended(self, int32_t n, int64_t now) noexcept nogil
    cdef double stood(self, int state, int32_t n, int64_t t, int64_t room) noexcept nogil
    cdef bint follow(self, const base_t* f, const reader_t* r, int32_t n, int64_t t) noexcept nogil
    cdef bint follow_prints(self, const reader_t* r, int32_t n, int64_t t) noexcept nogil
    cdef double lagged(self, const reader_t* r, int32_t n, int64_t now) noexcept nogil
    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil
    cdef double computed(self, int feature, int32_t instrument, int64_t now) noexcept
    cdef double known_c(self, int feature, int32_t instrument, int64_t now) except? -1.0
    cdef int raise_failure(self) except -1
