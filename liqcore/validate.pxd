"""Validation: an event is checked once, here; after it all code trusts the event."""

from libc.stdint cimport int64_t, uint8_t

from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

cdef enum:
    SUSPECTS = 5                   # so many implausible prices that agree with each other are the new truth (a relisting, a split)

cdef uint8_t validate_event(const event_t* e, int64_t now, market_t* markets, const instrument_t* instruments, int count, double band) noexcept nogil
