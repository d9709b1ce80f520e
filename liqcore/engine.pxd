"""The engine: the only path of an event through validation, clocks, kernels, detectors, policies, risk and brackets, and its Python interface. No
clock, no I/O, no allocation per event."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.execution.account cimport Account
from liqcore.execution.decisions cimport Decisions
from liqcore.audit cimport AuditRing
from liqcore.detectors.detector_set cimport DetectorSet
from liqcore.detectors.cascade cimport CascadeConfig
from liqcore.event cimport event_t, market_t, request_t, signal_t
from liqcore.features.features cimport Features
from liqcore.instrument cimport instrument_t
from liqcore.execution.risk cimport Risk
from liqcore.execution.side_check cimport side_check_t
from liqcore.execution.order_state cimport RequestQueue, bracket_state_t
from liqcore.timetable cimport Timetable

ctypedef struct clock_t:         # the engine's plain part
    int64_t now                  # ns: ts_recv of the latest event, or the deadline being served
    int64_t events
    int64_t refused[32]          # by Reason
    int64_t halt_applied          # the halt (Reason) for which resting entries have been withdrawn

# For programs that keep a copy of the trades outside the process (a state image), written in C before each send. Plain data, no pointers:
#   engine.slot[n]              bracket_state_t (order_state.pxd), one per instrument; changed by reports, deadlines and signals of instrument n only
#   engine.account.ledger       ledger_t; engine.account.positions[n]: position_t (account.pxd)
#   engine.risk.latch           latch_t (risk.pxd)
# engine.clock.now, .halt_applied
# Engine.trade_restore() restores them, packed by execution/trade_snapshot.pyx.
cdef class Engine:
    cdef dict index              # instrument by name
    cdef readonly tuple instruments
    cdef readonly CascadeConfig config       # of the first cascade among the detectors, or None
    cdef readonly Features features
    cdef DetectorSet detector_set
    cdef Decisions answers
    cdef dict known_features     # name -> (place in features, whether every policy may read it)
    cdef uint32_t wants          # kinds of events that detectors or features want, one bit (1 << Kind) each
    cdef readonly Risk risk
    cdef readonly Account account
    cdef readonly Timetable timetable
    cdef readonly AuditRing audit
    cdef RequestQueue out
    cdef clock_t clock
    cdef int count
    cdef bytes identity          # part of each snapshot; None before the first
    cdef double band
    cdef int64_t quote_age_ns    # largest age of a valid quote
    cdef readonly double patience
    cdef instrument_t* inst
    cdef market_t* market
    cdef bracket_state_t* slot
    cdef int64_t* due            # next deadline per instrument
    cdef int64_t due_next        # the earliest of them
    cdef int64_t hours_next      # when the timetable is asked again
    cdef int64_t turn            # the earlier of hours_next and the end of the day; 0 = no event yet
    cdef side_check_t* side_checks
    cdef int32_t* venue_of
    cdef int venues
    cdef signal_t* emitted          # signals of the present call, for the return value in Python
    cdef int emitted_count
    cdef int emitted_capacity
    cdef int64_t emitted_lost
    cdef readonly bint strict    # an event that validation refuses raises at the call
    cdef uint8_t refusal         # Reason of the last refusal by validation
    cdef int step_c(self, const event_t* e) except -1
    cdef int advance_c(self, int64_t now) except -1
    cdef request_t* next_request(self) noexcept nogil
    cdef int refuse(self, const event_t* e, uint8_t reason) noexcept nogil
    cdef int run_deadlines(self, int64_t due) except -1
    cdef void time_out(self, int n) noexcept nogil
    cdef int64_t deadline(self, int32_t n) noexcept nogil
    cdef void find_next(self) noexcept nogil
    cdef void reschedule_touched(self) noexcept nogil
    cdef int64_t wake(self) noexcept nogil
    cdef void turned(self) noexcept nogil
    cdef void over(self, int32_t n) noexcept nogil
    cdef void turn_over(self) noexcept nogil
    cdef void keep_hours(self) noexcept nogil
    cdef int32_t closed_by(self, int gate, int32_t n) noexcept nogil
    cdef void set_gate(self, int gate, int32_t n, int32_t window) noexcept nogil
    cdef void return_to(self) noexcept nogil
    cdef int on_report(self, const event_t* e) except -1
    cdef void approve_requote(self, bracket_state_t* s, const instrument_t* i) noexcept nogil
    cdef int on_liquidation_c(self, const event_t* e) except -1
    cdef int observe(self, const event_t* e, double notional) except -1
    cdef int on_signals(self, int count) except -1
    cdef int emit_signal(self, const signal_t* s) except -1
    cdef void apply_halt(self) noexcept nogil
    cdef void control_c(self, const event_t* e) noexcept nogil
    cdef void on_feed_c(self, const event_t* e) noexcept nogil
    cdef void want(self) noexcept nogil
    cdef void reschedule(self, int32_t n) noexcept nogil
    cdef void finish(self, int64_t since) noexcept nogil
    cdef void after_requests(self, int64_t since) noexcept nogil
    cdef object enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                      double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code)
    cdef int _index(self, object instrument) except? -1
    cdef tuple take(self)
    cdef int check_times(self, const event_t* e, str where) except -1
    cdef object refused_call(self, const event_t* e)
    cdef tuple strictly(self, const event_t* e, Py_ssize_t n)
    cdef int _known(self, object instrument) except -1
    cdef bytes _identity(self)
