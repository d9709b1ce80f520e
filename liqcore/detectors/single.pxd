"""One detector on one instrument without an engine, so without validation and policy; for research, tests and bots that use the signals only."""

from libc.stdint cimport int64_t

from liqcore.detectors.detector cimport Detector
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.instrument cimport Instrument

cdef enum:
    FRESH_MAX = 128

cdef class Standalone:
    cdef readonly Detector detector
    cdef readonly Instrument instrument
    cdef readonly int64_t now
    cdef market_t market
    cdef list emitted               # signals not yet returned; those of `fresh`, which is filled without the GIL, follow them
    cdef signal_t fresh[FRESH_MAX]
    cdef int fresh_n
    cdef bint running            # a thread runs its loop, without the GIL
    cdef int idle(self) except -1
    cdef int gather(self) except -1
    cdef int keep(self, const signal_t* s, int count) except -1 nogil
    cdef int pass_time(self, int64_t ts) except -1 nogil
    cdef int feed(self, const event_t* e) except -1 nogil
