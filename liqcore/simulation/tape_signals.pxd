"""Signals of a tape: the detectors alone, over the rare events of a tape. The market is updated only where it is read."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.simulation.columns cimport rare_t, strip_t
from liqcore.detectors.cascade cimport CascadeConfig, cascade_t
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.instrument cimport instrument_t

ctypedef struct spot_t:          # place of the event behind a signal
    rare_t place
    int64_t gaps                 # interruptions of the quotes of its instrument before it

ctypedef struct detector_cursor_t:           # one instrument
    cascade_t cascade
    market_t market
    int64_t due
    int64_t trades               # rows that are in `market`
    int64_t quotes
    int64_t gaps                 # interruptions of its quotes so far
    uint8_t calm                 # validation accepts everything: its state and the market's last price, which the tape has, are not updated
    const int64_t* odd_trades    # rows that validation must check; ends with INT64_MAX
    const int64_t* odd_quotes

cdef class TapeDetector:
    cdef readonly tuple instruments
    cdef readonly CascadeConfig config
    cdef int count
    cdef double band
    cdef int64_t event_age_max   # ns; older events make STALE signals
    cdef instrument_t* inst
    cdef detector_cursor_t* cursors
    cdef const strip_t* strips
    cdef const event_t* rare
    cdef const rare_t* place
    cdef int64_t rare_n
    cdef int64_t end
    cdef int64_t at              # next rare event
    cdef int64_t now
    cdef int64_t due_next
    cdef signal_t* out
    cdef spot_t* where           # of each signal in `out`; -1 in all = a deadline caused it
    cdef int64_t emitted
    cdef int64_t room
    cdef list _keep
    cdef void point(self, const strip_t* strips, const event_t* rare, const rare_t* place, int64_t rare_n, int64_t end) noexcept
    cdef int odd(self, int n, tuple rows, bint calm) except -1
    cdef void reschedule(self, int32_t n) noexcept nogil
    cdef void serve(self, int64_t until) noexcept nogil
    cdef void catch_up(self, int32_t n, int64_t trades, int64_t quotes) noexcept nogil
    cdef double last_price(self, const event_t* e) noexcept nogil
    cdef void on_liquidation(self, const event_t* e) noexcept nogil
    cdef void on_feed(self, const event_t* e) noexcept nogil
    cdef bint run(self) noexcept nogil
    cdef tuple listen(self)
