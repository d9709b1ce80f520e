"""The guard: the last check of every request before it is sent, with its own limits, counters and kill word.

It does not rely on risk. An entry passes only if it is recent, well-formed, small, protected by a stop, near the market and within every limit. A
request that reduces or cancels always passes, unless its form contradicts its role or the venue's rate budget is used up. Some requests of a healthy
engine are refused without further effect: an entry that waited too long, a market that has moved past its stop or away from its price, a used-up
budget. A request that no healthy engine makes is a Breach, and latches: no entry passes until a person lifts it.

    budget      of requests to the venue: a sliding window; `rate_reserve` of `rate_max` are kept for what reduces, amends an exit or cancels
    as sent notional of entries counts from the moment of sending until the bracket is over, independent of reports

Cost: about 25 ns an entry, 10 ns anything else, and no memory. Every counter is plain data.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.engine cimport Engine
from liqcore.event cimport request_t
from liqcore.instrument cimport instrument_t

cdef enum:
    GUARD_LATER = 255        # check_c: not now, the budget is used up; check again later
    GUARD_RING = 256         # requests a second, and entries a minute, can be limited to at most this

cpdef enum Breach:           # each comment ends with the values `found` and `allowed`
    """The reason of a Guard's latch. `found` and `allowed` belong to it."""
    BREACH_NONE = 0
    BREACH_ADDRESS = 1       # an instrument, id or action that no valid request has; instrument, number of instruments
    BREACH_QTY = 2           # quantity, price or side is invalid; quantity in lots, 1
    BREACH_EXIT = 3          # marked as reducing, and no stop, target or close; role, 0
    BREACH_ENTRY = 4         # it can open a position, and is not a new entry order with a valid price for its type; role, that of an entry
    BREACH_NO_STOP = 5       # an entry without a stop; stop in ticks, 1
    BREACH_STOP_SIDE = 6     # a stop on the wrong side of the price by which the entry was sized; the stop, that price
    BREACH_NOTIONAL = 7      # one order, at the price by which it was sized; its notional, order_notional_max
    BREACH_OLD_BRACKET = 8   # an entry, decided just now, of a bracket before the one that entered last; sequence, that one's
    BREACH_PER_SIGNAL = 9    # entries of one bracket; their count with this one, orders_per_signal_max
    BREACH_REQUESTS = 10     # requests of any kind of one bracket; their count with this one, requests_per_bracket_max

cpdef enum Verdict:
    """The answer of Guard.check: send the request, never send it, or check it again later."""
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
    int32_t rate_reserve         # of them, not for entries
    int32_t orders_per_minute_max
    int32_t orders_per_signal_max
    int32_t requests_per_bracket_max

ctypedef struct guard_state_t:   # state that must survive the process, apart from the tracks
    int64_t latched_ns           # when
    int64_t entries_head         # of the ring below
    int64_t entry_times[256]
    uint8_t latched              # Reason, 0 = nothing
    uint8_t entries_off
    uint8_t breach               # Breach behind it, with its instrument and two numbers
    int32_t breach_instrument
    double found
    double allowed

ctypedef struct guard_track_t:   # one instrument
    int64_t sequence             # of the latest bracket; 0 = none
    int64_t last_entry           # id of the latest entry that passed; sending it again is not a second order
    double notional              # of the bracket's entries as sent
    int32_t entries
    int32_t requests
    int64_t entered_ns           # when the first of its entries passed

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
    cdef int64_t lowered_ns      # when a limit became stricter last
    cdef int64_t refused_by[256] # by Reason
    cdef int64_t sent_head       # of the ring below
    cdef int64_t sent_times[256]
    cdef const volatile int64_t* word
    cdef object word_owner
    cdef Engine engine
    cdef uint8_t check_c(self, const request_t* r, int64_t now, double last_price) noexcept nogil
    cdef uint8_t limit_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil
    cdef uint8_t entry_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil
    cdef uint8_t form_c(self, const request_t* r, int64_t now) noexcept nogil
    cdef uint8_t breach_c(self, const request_t* r, uint8_t breach, uint8_t reason, double found, double allowed, int64_t now) noexcept nogil
    cdef double others_c(self, int32_t instrument) noexcept nogil
    cdef void enter_c(self, const request_t* r, guard_track_t* t, int64_t now, double notional) noexcept nogil
    cdef void listed_c(self, int32_t instrument) noexcept nogil
    cdef void spend_c(self, int64_t now) noexcept nogil
