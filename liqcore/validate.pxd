"""Validation: an event is checked once, here. All later code relies on it."""

from libc.stdint cimport int64_t, uint8_t

from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

cdef enum:
    SUSPECTS = 5                   # this number of implausible prices that agree with each other is a new price level (a relisting, a split)

cdef uint8_t validate_event(const event_t* e, int64_t now, market_t* markets, const instrument_t* instruments, int count, double band) noexcept nogil
