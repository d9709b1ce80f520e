"""Named point-in-time features, `group.name@window:transform`, of all instruments of an engine: fed by every event, read at any moment.

push_c takes every accepted market event in order of ts_recv; read_c answers what was known at `now`, which is not before the last event. Reading
changes nothing that a later reading could see: samples on the time grid are taken at their own moment, whenever somebody looks, and hold what was
known just before it. gap_c says that data of an instrument is missing up to now, down_c that it is from now on, until gap_c is called: an engine
calls down_c when a feed goes down, gap_c when it comes back or has a gap. open_c, save_c and load_c are in feature_state.pxd.
"""

from libc.stdint cimport int32_t, int64_t

from liqcore.event cimport event_t, market_t
from liqcore.feature_formulas cimport known_t
from liqcore.feature_kernels cimport track_t
from liqcore.feature_state cimport FeatureState, base_t

cdef class Features(FeatureState):
    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil
    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil
    cdef void gap_c(self, int32_t instrument, int64_t now) noexcept nogil
    cdef void down_c(self, int32_t instrument, int64_t now) noexcept nogil
    cdef void start(self, int64_t now) noexcept nogil
    cdef void sample(self, int32_t n, int64_t now) noexcept nogil
    cdef void sample_across(self, int64_t now) noexcept nogil
    cdef void ticker(self, const event_t* e, known_t* k, track_t* t) noexcept nogil
    cdef void feed(self, const event_t* e) noexcept nogil
    cdef double value(self, int32_t b, int32_t n, int64_t now) noexcept nogil
    cdef double value_across(self, const base_t* b, int32_t n, int64_t now) noexcept nogil
    cdef int _opened(self) except -1
    cdef int64_t _moment(self, object ts) except -1
    cdef int _feature(self, object name) except -1
    cdef int _instrument(self, object instrument) except -1
