"""Named point-in-time features, `group.name@window:transform`, of all instruments of an engine: fed by every event, read at any moment.

push_c takes every accepted market event in order of ts_recv; read_c answers what was known at `now`, which is not before the last event. Reading
changes nothing that a later reading could see: samples on the time grid are taken at their own moment, whenever somebody looks.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from liqcore.event cimport event_t, market_t

cdef class Features:
    cdef readonly tuple names        # canonical, in the order asked for
    cdef readonly uint32_t wants     # one bit (1 << Kind) for each kind of event that they need
    cdef int open_c(self, tuple instruments) except -1
    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil
    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil
    cdef void gap_c(self, int32_t instrument, int64_t now) noexcept nogil
    cdef bytes save_c(self)
    cdef int load_c(self, bytes data) except -1
