"""One detector on one instrument without an engine: no door, no policy; for research, tests and bots that want the signals only."""

from libc.stdint cimport int64_t

from liqcore.detector cimport Detector
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.instrument cimport Instrument

cdef class Standalone:
    cdef readonly Detector detector
    cdef readonly Instrument instrument
    cdef readonly int64_t now
    cdef market_t market
    cdef list said
    cdef int keep(self, const signal_t* s, int count) except -1
    cdef int pass_time(self, int64_t ts) except -1
    cdef int feed(self, const event_t* e) except -1
