"""Pending decisions: a policy that asked to be asked again, an intent that waits for an outside verdict, an intent that waits for the close of a
bracket."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport signal_t
from liqcore.bracket_spec cimport bracket_t

cdef enum:                       # waiting_t.what
    WAIT_ASK = 1                 # the policy is asked again at `due`
    WAIT_VERDICT = 2             # the judge must confirm before `due`
    WAIT_FLAT = 3                # the weaker bracket of the instrument must be closed before `due`; at most one an instrument
    WAIT_BATCH = 4               # confirmed: entered with the others of its batch, at `due` at the latest; no `due`: now

ctypedef struct intent_t:          # a bracket that a policy wants
    bracket_t b
    signal_t s                   # the signal that it answers
    double notional              # quote currency, after netting
    int64_t asked                # audit sequence of its answer, which is its number
    int32_t policy               # its place, from 0
    int32_t asks                 # how often the policy has deferred this signal

ctypedef struct waiting_t:
    intent_t w                     # of WAIT_ASK only signal, policy and asks
    int64_t due
    int64_t since
    int64_t number               # of the question
    int64_t what
    int64_t batch                # number of the first question of its moment

ctypedef struct tally_t:         # of questions
    int64_t last                 # number
    int64_t asked
    int64_t confirmed
    int64_t vetoed
    int64_t unjudged             # no valid verdict in time
    int64_t ignored              # verdicts that were late, repeated, or to an unknown question

cdef class PendingDecisions:
    cdef waiting_t* each         # in the order in which they came
    cdef int size
    cdef int capacity
    cdef int count
    cdef int64_t* next_due       # per instrument
    cdef tally_t tally
    cdef waiting_t* add(self, int what, const intent_t* w, int64_t due, int64_t now) noexcept nogil
    cdef void remove(self, int k) noexcept nogil
    cdef void schedule(self, int32_t n) noexcept nogil
    cdef int find(self, int what, int32_t n, int policy) noexcept nogil
    cdef int find_due(self, int32_t n, int64_t now) noexcept nogil
    cdef int find_question(self, int64_t number) noexcept nogil
    cdef bint confirmed(self) noexcept nogil
    cdef int next_confirmed(self) noexcept nogil
    cdef void mark(self, int32_t n, uint8_t flag) noexcept nogil
    cdef void forget(self) noexcept nogil
    cdef bytes save(self)
    cdef int load(self, bytes data, int policies, bint batches) except -1
