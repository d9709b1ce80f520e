"""Named point-in-time features, `group.name@window:transform`, of all instruments of an engine: fed by every event, read at any moment.

push_c takes every accepted market event of a kind in `wants` in order of ts_recv, after its market was updated; while `without_data` is not 0,
first_event_c takes every market event before.
read_c returns the value known at `now`, which is not before the last event. A reading does not change later readings: samples on the time grid have
the value known just before their own moment, whenever they are computed. feed_c reports the state of the feed of an instrument's streams. open_c,
save_c and load_c are in state.pxd, the computation of values in value.pxd.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport event_t, market_t
from liqcore.features.value cimport FeatureValues

cdef class Features(FeatureValues):
    cdef void first_event_c(self, const event_t* e) noexcept nogil
    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil
    cdef void feed_c(self, int32_t n, uint8_t code, uint8_t streams, int64_t now) noexcept nogil
    cdef void until(self, int32_t n, int64_t now) noexcept nogil
    cdef void turned(self, int32_t n, int stream, int64_t now) noexcept nogil
    cdef void stream_began(self, int32_t n, int stream, int64_t now) noexcept nogil
    cdef void stand(self, int32_t n, int64_t now) noexcept nogil
    cdef void enter(self, int32_t n, int fed, int64_t ts, double x, double y) noexcept nogil
    cdef void lose(self, int32_t n, int32_t streams, int64_t now) noexcept nogil
    cdef void push_all(self, const event_t* first, Py_ssize_t count) noexcept nogil
    cdef void feed(self, const event_t* e) noexcept nogil
    cdef int _opened(self) except -1
    cdef int64_t _time(self, object ts) except -1
    cdef int _feature(self, object name) except -1
    cdef int _instrument(self, object instrument) except -1
