"""The compiled sending of requests: each is checked, stored, encoded and sent within the call of the event that caused it."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from picows.picows cimport WSTransport

from liqcore.codec.encode cimport OrderEncoder
from liqcore.engine cimport Engine
from liqcore.event cimport request_t
from liqcore.guard cimport Guard
from liqshell.state.image cimport Image

cdef enum:
    HEADROOM = 16            # bytes before a frame's payload in which picows writes the header
    SENT_RING = 2048         # more than the engine's requests of one step: take() is called long before it is full

cpdef enum Fate:             # the result of a request's dispatch
    SENT = 1                 # passed to the socket; the venue's result is not known
    REFUSED = 2              # by the guard: it will never be sent
    LATER = 3                # not sent, and may be sent another way or at another time; Why has the reason

cpdef enum Why:              # of LATER, and of SENT in doubt
    NOTHING = 0
    BUDGET = 1               # the guard's budget of requests is used up for the moment
    DOWN = 2                 # the order-entry connection is down
    NO_FORM = 3              # the venue has no websocket message for it (moving an attached stop)
    DOUBT = 4                # the socket raised during the send: a part may have been sent (SENT: query the venue)

cdef struct sent_t:
    request_t request
    int64_t ts               # ns: when it was dispatched
    uint8_t fate
    uint8_t why
    uint8_t reason

cdef class Wire:
    cdef int send_c(self, const char* data, Py_ssize_t n) except -1

cdef class PicowsWire(Wire):
    cdef public WSTransport transport
    cdef char* _buffer
    cdef Py_ssize_t _room

cdef class Dispatch:
    cdef readonly Engine engine
    cdef readonly Guard guard
    cdef readonly OrderEncoder encoder
    cdef readonly Image image
    cdef readonly Wire wire
    cdef readonly int64_t sent
    cdef readonly int64_t refused
    cdef readonly int64_t later
    cdef public int64_t offset_ms
    cdef public object on_waiting
    cdef object _wall_ms
    cdef char* _frame
    cdef sent_t* _ring
    cdef int64_t _head
    cdef int64_t _tail
    cdef int pump_c(self, int64_t now) except -1
    cdef int hop(self, sent_t* s, int64_t now) except -1
    cdef int save_c(self, int32_t instrument) except -1
    cdef int64_t wall_ms(self) except -1
