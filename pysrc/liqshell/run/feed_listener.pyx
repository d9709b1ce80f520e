"""The compiled end of a public feed: websocket frame -> events -> sink, in one crossing and with no Python object for a recognised frame.

picows calls `on_ws_frame` in C for every frame it finds in the read buffer. The payload goes to `liqcore.codec.decode`; recognised frames reach the
`EventSink` as an array of event_t; others (acks, other topics, unusual shapes) reach `on_other` as bytes, for a general parser. Recording comes after
the sink, so that it never delays an order. A frame is also recorded if the sink raised, because it is needed to find the cause.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

import numpy as np
from picows import WSCloseCode, WSProtocolError

from liqcore.event import EVENT_DTYPE

from liqcore.event cimport event_t
from liqcore.codec.decode cimport Decoder
from liqshell.recording.frames cimport FrameTap


cdef inline int64_t _read_clock(int clock) noexcept nogil:
    cdef timespec t
    clock_gettime(clock, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


@cython.final
cdef class WireClock:
    """Time of receipt, ns UTC, read in C.

    With speed 0 it is CLOCK_REALTIME. With a speed it is market time, market_ns + (CLOCK_MONOTONIC - wall_ns) * speed:
    `WireClock(**clock.as_dict())` reads the same as that `liqshell.clock.Clock`. It never goes back, because the engine refuses events whose ts_recv
    does. It never stops either, because deadlines wait for it: after a backward step of the system clock it runs at nine tenths of the pace until the
    clock has caught up. `backsteps` counts such steps. Share one instance between all connections of an engine.
    """

    def __init__(self, speed=0.0, market_ns=0, wall_ns=0):
        if not 0.0 <= speed < 1e6:
            raise ValueError(f"WireClock: speed must lie in 0 (real time) .. 1e6, got {speed!r}")
        if not speed and (market_ns or wall_ns):
            raise ValueError("WireClock: an origin without a speed; give speed=1.0 for market time at the pace of the wall")
        self.speed = speed
        self.market_ns = market_ns
        self.wall_ns = wall_ns
        self.backsteps = 0
        self.last_ns = self.slew_ns = self.slew_monotonic = 0

    cdef int64_t now_c(self) noexcept nogil:
        cdef int64_t t
        if self.speed == 0.0:
            t = _read_clock(CLOCK_REALTIME)
        else:
            t = _read_clock(CLOCK_MONOTONIC) - self.wall_ns
            t = self.market_ns + (t if self.speed == 1.0 else <int64_t> (<double> t * self.speed))
        if t < self.last_ns or self.slew_ns:
            return self.slew_c(t, _read_clock(CLOCK_MONOTONIC))
        self.last_ns = t
        return t

    cdef int64_t slew_c(self, int64_t realtime, int64_t monotonic) noexcept nogil:
        cdef int64_t t
        if self.slew_ns == 0:
            self.slew_ns, self.slew_monotonic = self.last_ns, monotonic
            self.backsteps += 1
        t = self.slew_ns + (monotonic - self.slew_monotonic) * 9 // 10
        if realtime >= t:
            self.slew_ns = 0
            t = realtime
        self.last_ns = max(self.last_ns, t)
        return self.last_ns

    def read(self, int64_t realtime, int64_t monotonic):
        """now_ns() for given readings (ns) of the system's clocks: for simulations, and to test it. Only with speed 0."""
        if realtime < self.last_ns or self.slew_ns:
            return self.slew_c(realtime, monotonic)
        self.last_ns = realtime
        return realtime

    def monotonic_at(self, int64_t due):
        """While a backward step is being made up for: the reading of the monotonic clock at which it says `due` at the latest; else None."""
        return self.slew_monotonic + (due - self.slew_ns) * 10 // 9 + 1 if self.slew_ns else None

    def now_ns(self):
        """Time now, ns UTC (market time if the clock is scaled)."""
        return self.now_c()


cdef class EventSink:
    """The destination of decoded events. Cython: override on_events_c. Python: override on_events, which costs one array and one bytes object a
    frame."""

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        rows = np.empty(n, dtype=EVENT_DTYPE)
        cdef char[::1] view = rows.view("S1").view(np.int8)
        memcpy(&view[0], events, n * sizeof(event_t))
        self.on_events(rows, PyBytes_FromStringAndSize(raw, raw_n), ts_recv)
        return 0

    def on_events(self, events, raw, ts_recv):
        """One frame's events (EVENT_DTYPE, a copy that may be kept), its raw bytes, and its time of receipt in ns."""
        raise NotImplementedError("EventSink: override on_events in Python or on_events_c in Cython")


@cython.final
cdef class FeedListener(WSListener):
    """A picows listener that feeds one connection's frames to a decoder and a sink.

    decoder: liqcore.codec.decode.Decoder of the venue. sink: gets the events of each recognised frame. clock: WireClock, by default real time.
    tap: gets every data message after the sink (or on_other) has returned or raised.
    on_other(raw: bytes, ts_recv: int): data messages that the decoder does not recognise; it may feed the sink's engine itself.
    on_control(transport, msg_type, payload: bytes): PING (only where picows does not answer by itself), PONG and CLOSE. Without it a CLOSE
    is answered and the connection ends, and the others are ignored.
    on_connected(transport), on_disconnected(transport): as picows' own.
    An exception of a callback or the sink ends the connection (picows, disconnect_on_exception) after the tap has received the frame. picows still
    delivers the frames that it has already read, so a sink that must not continue must refuse them itself.
    Final, with callables instead of methods to override: an overridable method would cost a dictionary lookup a frame.
    """

    def __cinit__(self, *args, **kwargs):
        self._events = <event_t*> PyMem_RawMalloc(EVENTS_MAX * sizeof(event_t))
        if self._events == NULL:
            raise MemoryError("FeedListener: no memory for the event buffer")

    def __init__(self, Decoder decoder not None, EventSink sink not None, on_other, *, on_control=None, on_connected=None,
                 on_disconnected=None, FrameTap tap=None, WireClock clock=None):
        self.decoder = decoder
        self.sink = sink
        self.tap = tap
        self.clock = clock if clock is not None else WireClock()
        self._on_other = on_other
        self._on_control = on_control
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self.transport = None
        self._partial = None
        self.broken = False
        self.frames = self.events = self.others = self.ts_last = 0

    def __dealloc__(self):
        PyMem_RawFree(self._events)

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self._partial = None
        self.broken = False
        if self._on_connected is not None:
            self._on_connected(transport)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.transport = None
        if self._on_disconnected is not None:
            self._on_disconnected(transport)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if self.broken:
            return                                # picows still hands over what it had read when the peer broke the protocol
        if frame.msg_type == WSMsgType.TEXT and frame.fin and self._partial is None:
            self._message(frame.payload_ptr, frame.payload_size, self.clock.now_c())
        elif frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY or frame.msg_type == WSMsgType.CONTINUATION:
            self._fragment(frame)
        elif self._on_control is not None:
            self._on_control(transport, frame.msg_type, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    cdef int _message(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        cdef int n
        self.frames += 1
        self.ts_last = ts_recv
        try:
            n = self.decoder.decode_c(raw, raw_n, ts_recv, self._events, EVENTS_MAX)
            if n > 0:
                self.events += n
                self.sink.on_events_c(self._events, n, raw, raw_n, ts_recv)
            elif n < 0:
                self.others += 1
                self._on_other(PyBytes_FromStringAndSize(raw, raw_n), ts_recv)
        finally:
            if self.tap is not None:
                self.tap.on_frame_c(raw, raw_n, ts_recv)
        return 0

    cdef int _fragment(self, WSFrame frame) except -1:
        """Binary messages, and messages sent in pieces: rare on these feeds, so plain code. Control frames may come between the pieces."""
        cdef bytearray whole
        if (frame.msg_type == WSMsgType.CONTINUATION) != (self._partial is not None):
            self.broken = True
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "continuation frame out of place")
        if self._partial is None:
            self._partial = bytearray()
        if len(self._partial) + frame.payload_size > MESSAGE_MAX:
            self._partial = None
            self.broken = True
            raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, f"message in fragments is larger than {MESSAGE_MAX} bytes")
        self._partial += frame.get_payload_as_bytes()
        if frame.fin:
            whole = self._partial
            self._partial = None
            self._message(PyByteArray_AS_STRING(whole), len(whole), self.clock.now_c())
        return 0

    def feed(self, raw, ts_recv=None):
        """Hand in one message as if the socket had delivered it: replay of recorded frames, fault injection.

        raw: bytes or a writable or read-only buffer. ts_recv: ns, as recorded; None = now. Returns the number of events that reached the
        sink, or -1 if the frame went to on_other.
        """
        cdef const unsigned char[::1] view = raw
        cdef int64_t events = self.events
        cdef int64_t others = self.others
        cdef const char* start = ""
        if view.shape[0]:
            start = <const char*> &view[0]
        self._message(start, view.shape[0], self.clock.now_c() if ts_recv is None else ts_recv)
        return -1 if self.others > others else self.events - events
