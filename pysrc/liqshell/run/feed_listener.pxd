"""From socket bytes to the sink without a Python object: cimport this to plug a compiled sink or tap into a live feed."""

from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSTransport

from liqcore.event cimport event_t
from liqcore.codec.decode cimport Decoder
from liqshell.recording.frames cimport FrameTap

cdef enum:
    EVENTS_MAX = 4096             # rows of one frame; a frame with more goes to on_other, which has no limit
    MESSAGE_MAX = 16777216        # bytes of one message put together from fragments

cdef class WireClock:
    cdef readonly int64_t market_ns
    cdef readonly int64_t wall_ns
    cdef readonly double speed    # 0: plain CLOCK_REALTIME
    cdef readonly int64_t backsteps
    cdef int64_t last_ns
    cdef int64_t slew_ns          # where a backward step was found; 0 = none is being made up for
    cdef int64_t slew_monotonic
    cdef int64_t now_c(self) noexcept nogil
    cdef int64_t slew_c(self, int64_t realtime, int64_t monotonic) noexcept nogil

cdef class EventSink:
    # events and raw are valid only during the call; returns 0, or -1 with an exception set
    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1

cdef class FeedListener(WSListener):
    cdef readonly Decoder decoder
    cdef readonly EventSink sink
    cdef readonly FrameTap tap
    cdef readonly WireClock clock
    cdef readonly WSTransport transport
    cdef object _on_other
    cdef object _on_control
    cdef object _on_connected
    cdef object _on_disconnected
    cdef bytearray _partial       # fragments of a message that has not ended; None outside of one
    cdef event_t* _events
    cdef readonly bint broken     # the peer violated the protocol: nothing more is taken from this connection
    cdef readonly int64_t frames
    cdef readonly int64_t events
    cdef readonly int64_t others
    cdef readonly int64_t ts_last

    cdef int _message(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1
    cdef int _fragment(self, WSFrame frame) except -1
