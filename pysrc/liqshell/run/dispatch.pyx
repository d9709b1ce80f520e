"""The compiled sending of requests: see dispatch.pxd.

A request passes four steps in one C call: the guard (an independent second set of limits, with the kill word), the state image (so that a restart
knows the sent requests), the encoder, the wire. Nothing here waits or repeats. The result of every request is in a ring that the gateway drains.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from picows.picows cimport WSMsgType, WSTransport
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from liqcore.codec.encode cimport OrderEncoder
from liqcore.engine cimport Engine
from liqcore.event cimport OK, ROLE_STOP, request_t
from liqcore.guard cimport GUARD_LATER, Guard
from liqcore.market cimport known_price
from liqcore.execution.order_state cimport id_role
from liqshell.state.image cimport Image

from liqcore.event import Reason


Sent = namedtuple("Sent", "ts fate why reason id action type side flags instrument price qty stop cause decided end")


cdef class Wire:
    """The destination of order-entry frames. Python: override send(frame) -> whether it was sent. Cython: override send_c (1 = sent, 0 = the wire is
    down)."""

    cdef int send_c(self, const char* data, Py_ssize_t n) except -1:
        return 1 if self.send(PyBytes_FromStringAndSize(data, n)) else 0

    def send(self, frame):
        """Send one message; False if the wire is down and nothing was sent. After an exception the outcome is unknown."""
        raise NotImplementedError("Wire: override send in Python or send_c in Cython")


cdef class PicowsWire(Wire):
    """A picows connection. `transport` is set when the venue has accepted the login, and None before. A send makes no Python object."""

    def __cinit__(self):
        self._room = 4096
        self._buffer = <char*> PyMem_RawMalloc(HEADROOM + self._room)
        if self._buffer == NULL:
            raise MemoryError("no memory for a frame")

    def __dealloc__(self):
        PyMem_RawFree(self._buffer)

    cdef int send_c(self, const char* data, Py_ssize_t n) except -1:
        if self.transport is None or self.transport.is_disconnected or self.transport.is_close_frame_sent:
            return 0
        if n > self._room:
            self.transport.send(WSMsgType.TEXT, PyBytes_FromStringAndSize(data, n))
            return 1
        memcpy(self._buffer + HEADROOM, data, n)          # picows masks the payload in place
        self.transport.send_reuse_external_buffer(WSMsgType.TEXT, self._buffer + HEADROOM, n)
        return 1

    def send(self, frame):
        """Send one message; False if the connection is down."""
        cdef const unsigned char[::1] view = frame
        return bool(self.send_c(<const char*> &view[0], view.shape[0])) if view.shape[0] else False


cdef object sent_of(const sent_t* s):
    cdef const request_t* r = &s.request
    return Sent(s.ts, Fate(s.fate), Why(s.why), Reason(s.reason), r.id, r.action, r.type, r.side, r.flags, r.instrument, r.price, r.qty, r.stop,
                r.cause, r.ts, r.reserved)


cdef class Dispatch:
    """Checks, stores, encodes and sends the requests of an engine.

    guard: liqcore.Guard; image: the state image; either None in tests only. wire: the destination of frames. wall_ms: the venue's clock for the time
    stamp of a message as a callable, None = this machine's; offset_ms (venue - us) is added to either and kept by the gateway.
    on_waiting(): called, at most once until take(), when results wait: schedule a call of take(), do not call it within.
    """

    def __cinit__(self, Engine engine not None, Guard guard, OrderEncoder encoder not None, Image image, Wire wire not None, wall_ms=None):
        self._frame = <char*> PyMem_RawMalloc(encoder.size_max)
        self._ring = <sent_t*> PyMem_RawMalloc(SENT_RING * sizeof(sent_t))
        if self._frame == NULL or self._ring == NULL:
            raise MemoryError("no memory for the requests in flight")
        memset(self._ring, 0, SENT_RING * sizeof(sent_t))

    def __init__(self, Engine engine not None, Guard guard, OrderEncoder encoder not None, Image image, Wire wire not None, wall_ms=None):
        if encoder.symbols != tuple([i.symbol for i in engine.instruments]):
            raise ValueError("Dispatch: engine and encoder must be made with the same instruments in the same order")
        if guard is not None and guard.instruments != engine.instruments:
            raise ValueError("Dispatch: engine and guard must be made with the same instruments in the same order")
        self.engine = engine
        self.guard = guard
        self.encoder = encoder
        self.image = image
        self.wire = wire
        self._wall_ms = wall_ms

    def __dealloc__(self):
        PyMem_RawFree(self._frame)
        PyMem_RawFree(self._ring)

    cdef int64_t wall_ms(self) except -1:
        cdef timespec t
        if self._wall_ms is not None:
            return <int64_t> self._wall_ms() + self.offset_ms
        clock_gettime(CLOCK_REALTIME, &t)
        return <int64_t> t.tv_sec * 1000 + t.tv_nsec // 1000000 + self.offset_ms

    cdef int pump_c(self, int64_t now) except -1:
        """Dispatch every waiting request of the engine, in order. Returns their number."""
        cdef request_t* r
        cdef sent_t* s
        cdef int count = 0
        while self._head - self._tail < SENT_RING:        # the ring is full because take() was not called; the rest waits in the engine
            r = self.engine.next_request()
            if r == NULL:
                break
            s = &self._ring[self._head & (SENT_RING - 1)]
            s.request = r[0]
            self.hop(s, now)
            self._head += 1
            count += 1
        if count and self._head - self._tail == count and self.on_waiting is not None:
            self.on_waiting()
        return count

    cdef int hop(self, sent_t* s, int64_t now) except -1:
        """Dispatch one request; its result goes into s."""
        cdef request_t* r = &s.request
        cdef int n, went
        s.ts = now
        s.why, s.reason = NOTHING, OK
        # the stop is attached to the entry: at the venue it belongs to the position and has no id of ours to be amended by
        n = -1 if id_role(r.id) == ROLE_STOP else self.encoder.encode_c(r, self.wall_ms(), self._frame, self.encoder.size_max)
        if self.guard is not None:
            s.reason = self.guard.check_c(r, now, known_price(&self.engine.market[r.instrument], now))
        if self.image is not None:         # before the send, and also if nothing is sent: a restart must find the engine's present state
            self.image.save_c(self.engine, r.instrument)
        if s.reason == GUARD_LATER:
            s.fate, s.why, s.reason = LATER, BUDGET, OK
        elif s.reason != OK:
            s.fate = REFUSED
        elif n < 0:
            s.fate, s.why = LATER, NO_FORM
        else:
            try:
                went = self.wire.send_c(self._frame, n)
                s.fate, s.why = (SENT, NOTHING) if went else (LATER, DOWN)
            except Exception:          # a part may have been sent: the outcome is unknown, the venue is queried, and later requests continue
                s.fate, s.why = SENT, DOUBT
        if s.fate == SENT:
            self.sent += 1
        elif s.fate == REFUSED:
            self.refused += 1
        else:
            self.later += 1
        return 0

    cdef int save_c(self, int32_t instrument) except -1:
        """Store the state of an instrument after a report without requests."""
        if self.image is not None:
            self.image.save_c(self.engine, instrument)
        return 0

    def pump(self, int64_t now) -> int:
        """Dispatch every waiting request of the engine; returns their number. now: ns, engine time."""
        return self.pump_c(now)

    def again(self, sent, int64_t now):
        """Try a request with the result LATER again, through the same steps. Returns its new Sent, which take() does not repeat."""
        cdef sent_t s
        memset(&s, 0, sizeof(s))
        s.request.ts = sent.decided
        s.request.id = sent.id
        s.request.price = sent.price
        s.request.qty = sent.qty
        s.request.stop = sent.stop
        s.request.cause = sent.cause
        s.request.instrument = sent.instrument
        s.request.side = sent.side
        s.request.action = sent.action
        s.request.type = sent.type
        s.request.flags = sent.flags
        s.request.reserved = sent.end
        if not 0 <= s.request.instrument < self.engine.count:
            raise ValueError(f"Dispatch.again: no instrument {sent.instrument}")
        self.hop(&s, now)
        return sent_of(&s)

    @property
    def waiting(self) -> int:
        """Number of results that take() would return."""
        return self._head - self._tail

    def take(self) -> list:
        """The result of every request since the last call, oldest first, as Sent."""
        out = []
        while self._tail < self._head:
            out.append(sent_of(&self._ring[self._tail & (SENT_RING - 1)]))
            self._tail += 1
        return out
