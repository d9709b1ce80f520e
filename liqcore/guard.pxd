"""The guard: the last question in the last hop, asked of every request that is about to leave, with limits, counters and a kill word of its own.

It trusts nothing that risk has said. An entry passes only if it is sane, small, protected by a stop, near the market and within every limit; what
reduces or cancels passes always, unless it is not what it says it is or the venue's rate budget is used up. The first limit that an entry breaks
latches: no entry passes until a person lifts it, because the engine's own limits should have refused it before.

    budget      of requests to the venue: a sliding window; `rate_reserve` of `rate_max` are kept for what reduces, amends an exit or cancels
    as sent     notional of entries counts from the moment of sending until the bracket is over, whatever has been heard of it

Cost: about 25 ns an entry, 10 ns anything else, and no memory. Every counter is plain data.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.engine cimport Engine
from liqcore.event cimport request_t
from liqcore.instrument cimport instrument_t

cdef enum:
    GUARD_LATER = 255        # check_c: not now, the budget is used up; it may be asked again
    GUARD_RING = 256         # requests a second, and entries a minute, can be limited to at most this

cpdef enum Verdict:
    PASS = 0
    REFUSE = 1
    LATER = 2

ctypedef struct guard_limits_t:
    double order_notional_max
    double total_notional_max    # of all entries of brackets that are not over, as sent
    double collar                # distance of an entry's price from the last trade, share
    int64_t rate_window_ns
    int64_t entry_age_ns         # from an entry's decision to its sending
    int32_t rate_max             # requests in a window
    int32_t rate_reserve         # of them not for entries
    int32_t orders_per_minute_max
    int32_t orders_per_signal_max
    int32_t requests_per_bracket_max

ctypedef struct guard_state_t:   # what must survive the process, apart from the tracks
    int64_t latched_ns           # when
    int64_t entries_head         # of the ring below
    int64_t entry_times[256]
    uint8_t latched              # Reason, 0 = nothing
    uint8_t entries_off

ctypedef struct guard_track_t:   # one instrument
    int64_t sequence             # of the bracket that was seen last; 0 = none
    int64_t last_entry           # id of the entry that passed last: sending it again is no second order
    double notional              # of the bracket's entries as sent
    int32_t entries
    int32_t requests

cdef class Guard:
    cdef readonly tuple instruments
    cdef readonly int64_t passed
    cdef readonly int64_t later
    cdef guard_limits_t limits
    cdef guard_state_t state
    cdef guard_track_t* tracks
    cdef instrument_t* inst
    cdef int32_t* active         # instruments with notional > 0
    cdef int active_count
    cdef int count
    cdef int64_t refused_by[256] # by Reason
    cdef int64_t sent_head       # of the ring below
    cdef int64_t sent_times[256]
    cdef const volatile int64_t* word
    cdef object word_owner
    cdef Engine engine
    cdef uint8_t check_c(self, const request_t* r, int64_t now, double last_price) noexcept nogil
    cdef uint8_t limit_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil
    cdef uint8_t form_c(self, const request_t* r, double last_price) noexcept nogil
    cdef double others_c(self, int32_t instrument) noexcept nogil
    cdef void enter_c(self, const request_t* r, guard_track_t* t, int64_t now, double notional) noexcept nogil
    cdef void listed_c(self, int32_t instrument) noexcept nogil
    cdef void spend_c(self, int64_t now) noexcept nogil
