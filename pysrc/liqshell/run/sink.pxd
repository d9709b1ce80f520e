from libc.stdint cimport int32_t, int64_t

from liqcore.engine cimport Engine
from liqcore.event cimport event_t
from liqcore.simulation.paper cimport Paper
from liqshell.run.dispatch cimport Dispatch
from liqshell.run.feed_listener cimport EventSink

cdef enum:
    LATENCY_BUCKETS = 640    # 64 octaves x 10: relative error below 7.2 %

cdef struct pulse_t:         # of one contract in one bin of time: see PULSE_DTYPE
    double high
    double low
    double last
    int64_t ts_liquidation
    int32_t trades
    int32_t liquidations

cdef class EngineSink(EventSink):
    cdef readonly Engine engine
    cdef readonly int64_t gap_ns
    cdef readonly int64_t frames
    cdef readonly int64_t events
    cdef readonly int64_t gaps
    cdef int64_t last_recv
    cdef object on_signals
    cdef int64_t step_ns[640]        # histograms: frame decoded -> engine done, all frames
    cdef int64_t order_ns[640]       # the same, frames that made the engine ask for something
    cdef int64_t delay_ns[640]       # ts_recv - ts_event of liquidations (market time)
    cdef int step_c(self, const event_t* e) except -1
    cdef int advance_c(self, int64_t ts) except -1
    cdef int64_t next_c(self) except? -1
    cdef int take(self, const event_t* events, Py_ssize_t n) except -1
    cdef int pass_c(self, const event_t* events, Py_ssize_t n) except -1
    cdef int mark_c(self, int instrument, int state, int64_t ts_event, int64_t ts_recv, int streams) except -1
    cdef int report_c(self, const event_t* e) except -1
    cdef int emit_signals(self) except -1

cdef class PaperSink(EngineSink):
    cdef readonly Paper paper

cdef class LiveSink(EngineSink):
    cdef public Dispatch dispatch
    cdef readonly int64_t reports
    cdef int pump(self) except -1

cdef class LateWatch:
    cdef readonly int64_t late_ns
    cdef readonly int64_t count      # how often trades began to be late
    cdef int64_t until               # they are late, or were a moment ago; 0 = they are not
    cdef int64_t usual_ns[2]         # shortest way of a trade from the venue to us in this period, and in the one before
    cdef int64_t usual_since
    cdef int update(self, const event_t* events, Py_ssize_t n) noexcept nogil

cdef class VenueSink(EventSink):
    cdef readonly EngineSink sink
    cdef readonly int64_t gap_ns
    cdef readonly int first
    cdef readonly int count
    cdef readonly bint watched       # and its gates are not closed yet
    cdef readonly int64_t frames
    cdef readonly int64_t events
    cdef readonly int64_t gaps
    cdef int64_t last_recv
    cdef int64_t gap_recv            # when a silence of the whole venue was marked last
    cdef readonly LateWatch late     # None = not watched
    cdef object on_pulse
    cdef pulse_t* pulses
    cdef int64_t pulse_ns
    cdef int64_t pulse_since         # begin of the bin that is being filled; 0 = none yet
    cdef int begin(self, int64_t ts_recv) except -1
    cdef int take(self, const event_t* events, Py_ssize_t n) except -1
    cdef int mark(self, int state, int64_t ts_event, int64_t ts_recv) except -1
    cdef int width(self) noexcept
    cdef int time(self, const event_t* events, Py_ssize_t n) except -1
    cdef int gate(self, int instrument, int code, int gate, int64_t ts_recv) except -1
    cdef int feel(self, const event_t* events, Py_ssize_t n) except -1

cdef class ConnectionSink(EventSink):
    cdef readonly VenueSink venue
    cdef public int64_t gap_ns
    cdef object on_gap
    cdef int64_t last_recv
    cdef int on_receipt(self, int64_t ts_recv) except -1
