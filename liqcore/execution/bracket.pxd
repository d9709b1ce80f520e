"""The life of one trade: entry, attached stop, take-profit, time limits. Driven by venue reports in any order, duplicated or late.

The machine is declarative: reports and timers only change the known state. reconcile_orders() compares it with the wanted state and requests the
difference, with one outstanding request per order. So all decisions are in one place and do not depend on the order of reports.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport event_t
from liqcore.instrument cimport instrument_t
from liqcore.execution.order_state cimport BRACKET_FLAT, EXECUTIONS_MAX, RequestQueue, id_role, order_t, bracket_position, bracket_state_t
from liqcore.bracket_spec cimport bracket_t

cdef void bracket_open(bracket_state_t* s, const bracket_t* b, const instrument_t* i, int64_t reference, int64_t lots, int32_t signal_sequence,
                       int64_t now, RequestQueue out) noexcept nogil
cdef int bracket_report(bracket_state_t* s, const event_t* e, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil
cdef void bracket_trade(bracket_state_t* s, const instrument_t* i, int64_t ticks, int64_t now, RequestQueue out) noexcept nogil
cdef void bracket_withdraw(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil
cdef void bracket_leave(bracket_state_t* s, const instrument_t* i, uint8_t reason, int64_t now, RequestQueue out) noexcept nogil
cdef int bracket_timer(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil
cdef int64_t bracket_deadline(const bracket_state_t* s, RequestQueue out) noexcept nogil
