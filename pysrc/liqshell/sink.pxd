from libc.stdint cimport int64_t

from liqcore.event cimport event_t
from liqcore.paper cimport Paper
from liqshell.wire cimport EventSink

cdef enum:
    LATENCY_BUCKETS = 640    # 64 octaves x 10: relative error below 7.2 %

cdef class PaperSink(EventSink):
    cdef readonly Paper paper
    cdef readonly int64_t gap_ns
    cdef readonly int64_t frames
    cdef readonly int64_t events
    cdef readonly int64_t gaps
    cdef int64_t last_recv
    cdef object on_signals
    cdef int64_t step_ns[640]        # histograms: frame decoded -> engine done, all frames
    cdef int64_t order_ns[640]       # the same, frames that made the engine ask for something
    cdef int64_t delay_ns[640]       # ts_recv - ts_event of liquidations (market time)
    cdef int take(self, const event_t* events, Py_ssize_t n) except -1
