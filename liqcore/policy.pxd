"""Input and answers of a policy. Policies see market data only, never fills, so the signals and brackets of a data set are computed once."""

from libc.stdint cimport int32_t, int64_t

from liqcore.event cimport Signal, market_t, signal_t
from liqcore.features.features cimport Features
from liqcore.instrument cimport Instrument, instrument_t
from liqcore.bracket_spec cimport Bracket, bracket_t

cdef enum:                   # return values of on_signal_c
    ANSWER_NOTHING = 0       # no trade; call decline_c() before it to name the condition
    ANSWER_BRACKET = 1       # `out` is filled
    ANSWER_LEAVE = 2
    ANSWER_LATER = 3         # Policy.later_ns is set

cdef enum:
    CONDITION_BYTES = 32     # the name of a condition, UTF-8

ctypedef struct declined_t:  # the condition that was not met
    double value             # nan = not known
    double threshold         # nan = there is none
    char name[32]            # zero-padded; empty = no condition was named

cdef class Declined:
    cdef declined_t c

cdef class Leave:
    cdef readonly Declined why

cdef class Later:
    cdef readonly int64_t at_ns
    cdef readonly Declined why

cdef class Market:
    cdef const market_t* c
    cdef readonly Instrument instrument
    cdef readonly int64_t now
    cdef readonly str detector
    cdef Features features
    cdef dict places         # of the features that the policy may read, by name
    cdef int32_t index       # of the instrument
    cdef void show(self, int64_t now, str detector, int32_t index, Features features, dict places)

cdef class Policy:
    cdef Market view
    cdef int64_t later_ns    # when to ask again, if the answer is ANSWER_LATER
    cdef declined_t declined # the condition, if the answer is no bracket; the engine empties it before the call
    cdef int decline_c(self, const char* name, double value, double threshold) noexcept nogil
    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1
    cdef str question_c(self, const signal_t* s, const market_t* m, Instrument instrument)
