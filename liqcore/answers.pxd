"""From signals to brackets: policies are asked, what they want at one moment is put in order, netted and judged, and the brackets are opened."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.account cimport Account
from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.feature cimport Features
from liqcore.instrument cimport instrument_t
from liqcore.policy cimport Policy
from liqcore.risk cimport Risk
from liqcore.slot cimport Outbox, slot_t
from liqcore.terms cimport bracket_t

ctypedef struct wish_t:          # a bracket that a policy wants
    bracket_t b
    signal_t s                   # that it answers
    double notional              # quote currency: what is wanted, less what was netted
    int32_t policy               # its place, from 0
    int32_t reserved

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
    cdef int wishes_n
    cdef int wishes_max
    cdef int32_t* touched        # instruments whose deadlines may have changed
    cdef int touched_n
    cdef void point(self, instrument_t* inst, market_t* market, slot_t* slot) noexcept
    cdef int hear(self, const signal_t* s, int64_t now) except -1
    cdef int ask(self, int p, const signal_t* s, int64_t now) except -1
    cdef int ask_policy(self, int p, const signal_t* s, bracket_t* b, int64_t now) except -1
    cdef void wish(self, int p, const signal_t* s, bracket_t* b, int64_t now) noexcept nogil
    cdef void leave(self, int p, const signal_t* s, int64_t now) noexcept nogil
    cdef void settle(self, int64_t now) noexcept nogil
    cdef void arrange(self) noexcept nogil
    cdef void net(self, int64_t now) noexcept nogil
    cdef void lessen(self, wish_t* w, double notional, int64_t now) noexcept nogil
    cdef void judge(self, wish_t* w, int64_t now) noexcept nogil
    cdef void touch(self, int32_t n) noexcept nogil
    cdef bytes save(self)
    cdef int load(self, bytes data) except -1

cdef tuple policies_of(object policy)
