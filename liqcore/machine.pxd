"""The only path of an event: door, clocks, kernels, detector, policy, risk, bracket. No clock, no I/O, no allocation per event."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.account cimport Account
from liqcore.answers cimport Answers
from liqcore.audit cimport AuditRing
from liqcore.bank cimport Bank
from liqcore.detect cimport CascadeConfig
from liqcore.event cimport event_t, market_t, request_t, signal_t
from liqcore.feature cimport Features
from liqcore.instrument cimport instrument_t
from liqcore.intake cimport Intake
from liqcore.risk cimport Risk
from liqcore.sides cimport side_check_t
from liqcore.slot cimport Outbox, slot_t

ctypedef struct clock_t:         # the engine's plain part
    int64_t now                  # ns: ts_recv of the latest event, or the deadline being served
    int64_t events
    int64_t refused[32]          # by Reason
    int64_t halt_heeded          # the halt (Reason) that resting entries have been withdrawn for

# For those who keep a copy of the trades outside the process (a state image), written in C before each send. Plain data, no pointers:
#   engine.slot[n]              slot_t (slot.pxd), one per instrument; changed by reports, deadlines and signals of instrument n only
#   engine.account.ledger       ledger_t; engine.account.positions[n]: position_t (account.pxd)
#   engine.risk.latch           latch_t (risk.pxd)
#   engine.clock.now, .halt_heeded
# Engine.trade_restore() takes them back, packed as trades.pyx says.
cdef class Machine(Intake):
    cdef readonly tuple instruments
    cdef readonly CascadeConfig config       # of the first cascade among the detectors, or None
    cdef readonly Features features
    cdef Bank bank
    cdef Answers answers
    cdef dict known_features     # name -> (place in features, whether every policy may read it)
    cdef uint32_t wants          # kinds of events that detectors or features want, one bit (1 << Kind) each
    cdef readonly Risk risk
    cdef readonly Account account
    cdef readonly AuditRing audit
    cdef Outbox out
    cdef clock_t clock
    cdef int count
    cdef double band
    cdef int64_t quote_age_ns    # a quote holds for so long
    cdef readonly double patience
    cdef instrument_t* inst
    cdef market_t* market
    cdef slot_t* slot
    cdef int64_t* due            # next deadline per instrument
    cdef int64_t due_next        # and of them all
    cdef side_check_t* side_checks
    cdef int32_t* venue_of
    cdef int venues
    cdef signal_t* said          # signals of the present call, for those who ask from Python
    cdef int said_count
    cdef int said_capacity
    cdef int64_t said_lost
    cdef int step_c(self, const event_t* e) except -1
    cdef int advance_c(self, int64_t now) except -1
    cdef request_t* next_request(self) noexcept nogil
    cdef int refuse(self, const event_t* e, uint8_t reason) noexcept nogil
    cdef int moment(self, int64_t due) except -1
    cdef void time_out(self, int n) noexcept nogil
    cdef int64_t deadline(self, int32_t n) noexcept nogil
    cdef void find_next(self) noexcept nogil
    cdef void reschedule_touched(self) noexcept nogil
    cdef int64_t wake(self) noexcept nogil
    cdef int on_report(self, const event_t* e) except -1
    cdef void judge_requote(self, slot_t* s, const instrument_t* i) noexcept nogil
    cdef int on_liquidation_c(self, const event_t* e) except -1
    cdef int observe(self, const event_t* e, double notional) except -1
    cdef int hear(self, int count) except -1
    cdef int speak(self, const signal_t* s) except -1
    cdef void heed_halt(self) noexcept nogil
    cdef void control_c(self, const event_t* e) noexcept nogil
    cdef void on_feed_c(self, const event_t* e) noexcept nogil
    cdef void reschedule(self, int32_t n) noexcept nogil
    cdef void after_requests(self, int64_t since) noexcept nogil
