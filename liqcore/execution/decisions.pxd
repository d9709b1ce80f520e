"""From signals to brackets: policies are asked; their intents of one moment are sorted, netted and approved; brackets are opened."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.execution.account cimport Account
from liqcore.audit cimport AuditRing
from liqcore.event cimport audit_t, market_t, signal_t
from liqcore.features.features cimport Features
from liqcore.instrument cimport instrument_t
from liqcore.policy cimport Policy, declined_t
from liqcore.execution.risk cimport Risk, ask_t
from liqcore.execution.order_state cimport RequestQueue, bracket_state_t
from liqcore.bracket_spec cimport bracket_t
from liqcore.execution.pending_decisions cimport PendingDecisions, waiting_t, intent_t

cdef class Decisions:
    cdef readonly tuple policies
    cdef Policy market_refresh            # called before each policy: a tape runner updates the market here
    cdef Features features
    cdef Risk risk
    cdef Account account
    cdef AuditRing audit
    cdef RequestQueue out
    cdef tuple instruments
    cdef tuple names             # of the detectors
    cdef list places             # of each policy: the places of its features, by name
    cdef instrument_t* inst      # these three are the engine's
    cdef market_t* market
    cdef bracket_state_t* slot
    cdef int count
    cdef uint8_t* listens_to          # per policy: 1 for each detector (by number) that it listens to
    cdef uint8_t* trades         # per policy: 1 for each instrument that it trades
    cdef intent_t* intents          # of this moment
    cdef int32_t* order          # their order of processing
    cdef PendingDecisions waiting
    cdef int intents_n
    cdef bint ripe               # a batch may be complete: resolve_intents() looks
    cdef int64_t batch           # number of the first question of this moment, 0 = none yet
    cdef str content             # of the question for the policy's latest bracket
    cdef dict contents           # of questions, canonical JSON, by the number of the intent (intent_t.asked)
    cdef int intents_max
    cdef int32_t* touched        # instruments whose deadlines may have changed
    cdef int touched_n
    cdef void point(self, instrument_t* inst, market_t* market, bracket_state_t* slot) noexcept
    cdef int on_signal(self, const signal_t* s, int64_t now) except -1
    cdef int ask(self, int p, const signal_t* s, int asks, int64_t now) except -1
    cdef audit_t* record_answer(self, int p, const signal_t* s, uint8_t reason, const declined_t* why, int64_t now) noexcept nogil
    cdef void size(self, ask_t* ask, const intent_t* w, int64_t reference) noexcept nogil
    cdef void defer(self, int p, const signal_t* s, int asks, int64_t due, const declined_t* why, int64_t now) noexcept nogil
    cdef int ask_policy(self, int p, const signal_t* s, bracket_t* b, int64_t now) except -1
    cdef void add_intent(self, int p, const signal_t* s, bracket_t* b, int64_t now) noexcept nogil
    cdef void leave(self, int p, const signal_t* s, const declined_t* why, int64_t now) noexcept nogil
    cdef void resolve_intents(self, int64_t now) noexcept nogil
    cdef void arrange(self) noexcept nogil
    cdef void net(self, int64_t now) noexcept nogil
    cdef void net_down(self, intent_t* w, const intent_t* other, double notional, int64_t now) noexcept nogil
    cdef void refuse_for(self, const intent_t* w, uint8_t reason, double value, const intent_t* other, int64_t now) noexcept nogil
    cdef void refuse(self, const intent_t* w, uint8_t reason, double value, int64_t now) noexcept nogil
    cdef void question(self, const intent_t* w, int64_t now) noexcept nogil
    cdef void enter(self, intent_t* w, bint heir, int64_t now) noexcept nogil
    cdef void replace(self, intent_t* w, int64_t reference, int64_t now) noexcept nogil
    cdef void promote_replacement(self, int32_t n, int64_t now) noexcept nogil
    cdef int timer(self, int32_t n, int64_t now) except -1
    cdef void verdict(self, int64_t number, uint8_t code, int confidence, int64_t now) noexcept nogil
    cdef void confirm(self, int k, int confidence, int64_t now) noexcept nogil
    cdef void release(self, int64_t now) noexcept nogil
    cdef int keep_content(self, int64_t asked, str content) except -1
    cdef void withdraw(self, int32_t n, int policy, uint8_t reason, int64_t now) noexcept nogil
    cdef void audit_judge(self, const waiting_t* x, uint8_t reason, uint8_t code, int64_t now) noexcept nogil
    cdef void touch(self, int32_t n) noexcept nogil
    cdef bytes save(self)
    cdef int load(self, bytes data) except -1

cdef tuple policies_of(object policy)
