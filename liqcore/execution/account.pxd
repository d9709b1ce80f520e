"""Positions, fees, funding, profit and loss. Only venue reports change them, never requests."""

from libc.stdint cimport int32_t, int64_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t
from liqcore.instrument cimport instrument_t

ctypedef struct position_t:
    int64_t lots             # signed: > 0 long
    double value             # signed cost of the position in ticks * lots
    double realized          # gross profit and loss, quote currency
    double fees
    double funding           # paid (positive) or received
    double mark              # price that the position is valued at: mark price, else last trade
    int64_t funded           # ns: the latest settlement counted

ctypedef struct ledger_t:    # plain data
    double equity_start
    double day_equity        # at the start of the UTC day
    double week_equity       # at the start of the UTC week (Monday)
    int64_t day_ends         # ns; 0 = no event seen yet
    int64_t week_ends

cdef class Account:
    cdef ledger_t ledger
    cdef position_t* positions
    cdef instrument_t* instruments
    cdef int count
    cdef void fill(self, int32_t instrument, int side, int64_t ticks, int64_t lots, double fee) noexcept nogil
    cdef void clear_owner(self, int32_t instrument) noexcept nogil
    cdef void fund(self, const event_t* e, int64_t id, int64_t now, AuditRing audit) noexcept nogil
    cdef void mark(self, int32_t instrument, double price) noexcept nogil
    cdef double equity_now(self) noexcept nogil
    cdef double unrealized(self, int32_t instrument) noexcept nogil
    cdef double exposure_of(self, int32_t instrument) noexcept nogil
    cdef int roll(self, int64_t now) noexcept nogil
