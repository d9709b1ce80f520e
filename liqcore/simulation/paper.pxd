"""The driver that connects an engine and the simulated venue, event by event: paper trading, replay, and the slow path of a backtest."""

from libc.stdint cimport int64_t

from liqcore.engine cimport Engine
from liqcore.event cimport event_t
from liqcore.simulation.venue cimport SimVenue

cdef enum:                       # order of service at one moment
    SERVE_ARRIVAL = 1            # a request reaches the venue
    SERVE_FUNDING = 2
    SERVE_WAIT = 3               # an order's wait for a price ends
    SERVE_REPORT = 4             # a report of the venue reaches the engine
    SERVE_DEADLINE = 5           # the engine's own

cdef class Paper:
    cdef readonly Engine engine
    cdef readonly SimVenue venue
    cdef int step_c(self, const event_t* e) except -1
    cdef int hand_in_c(self, const event_t* e) except -1
    cdef int advance_c(self, int64_t now) except -1
    cdef int64_t next_c(self, int* what) noexcept nogil
    cdef int serve_c(self, int what) except -1
    cdef void pump(self) noexcept nogil
