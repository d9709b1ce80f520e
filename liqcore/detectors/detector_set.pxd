"""The detectors of one engine: each event goes to the detectors that want it, each deadline to its detector."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.audit cimport AuditRing
from liqcore.detectors.cascade cimport CascadeDetector
from liqcore.event cimport event_t, market_t, signal_t

cdef class DetectorSet:
    cdef readonly tuple detectors
    cdef readonly CascadeDetector cascade    # the first cascade among them, or None
    cdef readonly uint32_t wants             # union of the detectors' `wants`
    cdef readonly int64_t window_ns          # the longest of the detectors
    cdef uint8_t basis                       # NotionalBasis of the notional passed to all: that of the first detector with one
    cdef bint based                          # some detector has a basis
    cdef int size
    cdef int count
    cdef PyObject** each
    cdef uint32_t* want                      # of each
    cdef int64_t* window                     # of each, ns
    cdef uint8_t* mark                       # of each: flags of all its signals
    cdef uint8_t* censored                   # per instrument: SIGNAL_CENSORED or 0
    cdef uint8_t* phases                     # per detector and instrument: the phase of its last signal
    cdef int64_t* whole_since                # per instrument: the time since which the feed has been complete; NEVER = it is down
    cdef signal_t* emitted                      # of the present call
    cdef int push(self, const event_t* e, double notional, const market_t* m, uint8_t flags) noexcept nogil
    cdef int timer(self, int32_t n, int64_t now) noexcept nogil
    cdef int fail(self) except -1
    cdef int64_t deadline(self, int32_t n) noexcept nogil
    cdef bint uncertain(self, int32_t n, int64_t now) noexcept nogil
    cdef bint feed(self, int32_t n, uint8_t code, int64_t now) noexcept nogil
    cdef int finish(self, int k, int first, int last, int64_t now) noexcept nogil
    cdef list save(self)
    cdef int load(self, list parts) except -1
