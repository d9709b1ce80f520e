# cython: language_level=3, embedsignature=False
"""Loops around detectors: what one costs inside the engine's call, without the engine."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.detectors.detector cimport SIGNALS_MAX, Detector
from liqcore.event cimport event_t, market_t, signal_t


@cython.final
cdef class DetectorLoop:
    """One detector of one instrument over prepared liquidations, its deadlines served; time goes on from round to round."""
    cdef Detector detector
    cdef event_t* events
    cdef Py_ssize_t count, at
    cdef int64_t span
    cdef readonly int64_t signals

    def __init__(self, Detector detector, instrument, events):
        raw = events.tobytes()
        self.detector = detector
        detector.open_c((instrument,))
        self.count = len(events)
        self.events = <event_t*> calloc(self.count, sizeof(event_t))
        memcpy(self.events, PyBytes_AS_STRING(raw), self.count * sizeof(event_t))
        self.span = self.events[self.count - 1].ts_recv - self.events[0].ts_recv + 1_000_000_000
        self.run(min(self.count, 20_000))

    def __dealloc__(self):
        free(self.events)

    def run(self, Py_ssize_t n):
        cdef Py_ssize_t i
        cdef event_t* e
        cdef market_t m
        cdef signal_t out[SIGNALS_MAX]
        cdef int64_t due
        memset(&m, 0, sizeof(m))
        with nogil:
            for i in range(n):
                e = &self.events[self.at]
                due = self.detector.deadline_c(0)
                while due <= e.ts_recv:
                    self.signals += self.detector.timer_c(0, due, out)
                    due = self.detector.deadline_c(0)
                self.signals += self.detector.push_c(e, e.qty * e.price, &m, 0, out)
                e.ts_recv += self.span
                self.at = self.at + 1 if self.at + 1 < self.count else 0
