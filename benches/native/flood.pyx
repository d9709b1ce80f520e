"""The loop of a session over frames of several venues, without sockets."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from liqcore.engine cimport Engine
from liqcore.event cimport event_t
from liqcore.codec.decode cimport Decoder


@cython.final
cdef class VenuesLoop:
    """Frames of several venues through their decoders into one engine. frames: (number of the venue, bytes), walked round and round. What the shapes hand
    back goes to `general(venue, frame, ts_recv) -> array of events`. The clock of the loop goes on by step_ns a frame."""
    cdef list decoders, frames
    cdef Engine engine
    cdef object general
    cdef int64_t now, step_ns
    cdef Py_ssize_t at
    cdef event_t out[512]
    cdef public Py_ssize_t by_shape, by_general, events, signals

    def __init__(self, list decoders, list frames, Engine engine, general, int64_t now, int64_t step_ns):
        self.decoders, self.frames, self.engine, self.general, self.now, self.step_ns = decoders, frames, engine, general, now, step_ns

    def run(self, Py_ssize_t n):
        cdef Py_ssize_t i, k
        cdef int got, venue
        cdef bytes frame
        cdef const event_t* found
        cdef size_t address
        for i in range(n):
            venue, frame = <tuple> self.frames[self.at]
            self.now += self.step_ns
            got = (<Decoder> self.decoders[venue]).decode_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), self.now, self.out, 512)
            found = self.out
            if got >= 0:
                self.by_shape += 1
            else:
                self.by_general += 1
                events = self.general(venue, frame, self.now)
                got = <int> len(events)
                address = events.ctypes.data
                found = <const event_t*> address
            if self.engine is not None:
                for k in range(got):
                    self.engine.step_c(&found[k])
                if self.engine.emitted_count:
                    self.signals += len(self.engine.take())
                if not i & 1023:
                    self.engine.audit.drain()
            self.events += got
            self.at = self.at + 1 if self.at + 1 < len(self.frames) else 0
