"""A detector that is a Python class: the engine's calls go to one object of the class for each instrument."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.event cimport signal_t

ctypedef struct python_state_t:      # plain: a snapshot is a copy
    double price                 # of the last trade, or of the latest event if no trade is known
    int64_t ts_start             # of the running episode
    int64_t deadline
    int64_t uncertain_until
    int32_t sequence
    int8_t side
    uint8_t phase
    uint8_t flags                # of the latest event

cdef class PythonDetector(Detector):
    cdef readonly object rule    # the class
    cdef list instruments
    cdef list each               # its objects, one for each instrument
    cdef list timers             # calls of on_timer since the latest event, for each instrument
    cdef list since              # when that event was
    cdef int emit(self, int32_t n, int64_t now, uint8_t flags, object answer, signal_t* out) except -1
    cdef int look_ahead(self, int32_t n, int64_t now) except -1
    cdef int check_pace(self, int32_t n, int64_t now) except -1
    cdef int blame(self, object why, str method) noexcept
    cdef object owned(self, object why, str method)
