"""From signals to brackets: policies are asked, what they want at one moment is put in order, netted and judged, and the brackets are opened."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.account cimport Account
from liqcore.audit cimport AuditRing
from liqcore.event cimport audit_t, market_t, signal_t
from liqcore.feature cimport Features
from liqcore.instrument cimport instrument_t
from liqcore.policy cimport Policy
from liqcore.risk cimport Risk, ask_t
from liqcore.slot cimport Outbox, slot_t
from liqcore.terms cimport bracket_t
from liqcore.waiting cimport Waiting, waiting_t, wish_t

cdef class Answers:
    cdef readonly tuple policies
    cdef Policy usher            # is called before each policy is asked: a walk brings the market up
    cdef Features features
    cdef Risk risk
    cdef Account account
    cdef AuditRing audit
    cdef Outbox out
    cdef tuple instruments
    cdef tuple names             # of the detectors
    cdef list places             # of each policy: where its features stand, by name
    cdef instrument_t* inst      # these three are the engine's
    cdef market_t* market
    cdef slot_t* slot
    cdef int count
    cdef uint8_t* hears          # per policy: 1 for each detector (by number) that it listens to
    cdef uint8_t* trades         # per policy: 1 for each instrument that it trades
    cdef wish_t* wishes          # of this moment
    cdef int32_t* order          # and in which order they are judged
    cdef Waiting waiting
    cdef int wishes_n
    cdef int wishes_max
    cdef int32_t* touched        # instruments whose deadlines may have changed
    cdef int touched_n
    cdef void point(self, instrument_t* inst, market_t* market, slot_t* slot) noexcept
    cdef int hear(self, const signal_t* s, int64_t now) except -1
    cdef int ask(self, int p, const signal_t* s, int asks, int64_t now) except -1
    cdef audit_t* say(self, int p, const signal_t* s, uint8_t reason, int64_t now) noexcept nogil
    cdef void size(self, ask_t* ask, const wish_t* w, int64_t reference) noexcept nogil
    cdef void put_off(self, int p, const signal_t* s, int asks, int64_t due, int64_t now) noexcept nogil
    cdef int ask_policy(self, int p, const signal_t* s, bracket_t* b, int64_t now) except -1
    cdef void wish(self, int p, const signal_t* s, bracket_t* b, int64_t now) noexcept nogil
    cdef void leave(self, int p, const signal_t* s, int64_t now) noexcept nogil
    cdef void settle(self, int64_t now) noexcept nogil
    cdef void arrange(self) noexcept nogil
    cdef void net(self, int64_t now) noexcept nogil
    cdef void lessen(self, wish_t* w, double notional, int64_t now) noexcept nogil
    cdef void refuse(self, const wish_t* w, uint8_t reason, double value, int64_t now) noexcept nogil
    cdef void question(self, const wish_t* w, int64_t now) noexcept nogil
    cdef void enter(self, wish_t* w, bint heir, int64_t now) noexcept nogil
    cdef void replace(self, wish_t* w, int64_t reference, int64_t now) noexcept nogil
    cdef void succeed(self, int32_t n, int64_t now) noexcept nogil
    cdef int timer(self, int32_t n, int64_t now) except -1
    cdef void verdict(self, int64_t number, uint8_t code, int64_t now) noexcept nogil
    cdef void withdraw(self, int32_t n, int policy, uint8_t reason, int64_t now) noexcept nogil
    cdef void audit_judge(self, const waiting_t* x, uint8_t reason, uint8_t code, int64_t now) noexcept nogil
    cdef void touch(self, int32_t n) noexcept nogil
    cdef bytes save(self)
    cdef int load(self, bytes data) except -1

cdef tuple policies_of(object policy)
