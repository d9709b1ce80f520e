"""The life of one trade: entry, attached stop, take-profit, time limits. Driven by venue reports in any order, duplicated or late.

The machine is declarative: reports and timers only change what is believed; settle() compares that with what is wanted and asks the venue
for the difference, one outstanding request per order. So there is one place that decides, whatever happened before it.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport event_t
from liqcore.instrument cimport instrument_t
from liqcore.slot cimport BRACKET_FLAT, EXECUTIONS_MAX, Outbox, id_role, order_t, slot_position, slot_t
from liqcore.terms cimport bracket_t

cdef void bracket_open(slot_t* s, const bracket_t* b, const instrument_t* i, int64_t reference, int64_t lots, int32_t signal_sequence,
                       int64_t now, Outbox out) noexcept nogil
cdef int bracket_report(slot_t* s, const event_t* e, const instrument_t* i, int64_t now, Outbox out) noexcept nogil
cdef void bracket_trade(slot_t* s, const instrument_t* i, int64_t ticks, int64_t now, Outbox out) noexcept nogil
cdef void bracket_withdraw(slot_t* s, const instrument_t* i, int64_t now, Outbox out) noexcept nogil
cdef void bracket_leave(slot_t* s, const instrument_t* i, uint8_t reason, int64_t now, Outbox out) noexcept nogil
cdef int bracket_timer(slot_t* s, const instrument_t* i, int64_t now, Outbox out) noexcept nogil
cdef int64_t bracket_deadline(const slot_t* s, Outbox out) noexcept nogil
