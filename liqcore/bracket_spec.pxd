"""The terms of a trade: the intent of a policy (Bracket), the prices that follow from it, and the rules that it must obey."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport signal_t

cpdef enum TrailBasis:
    TRAIL_PRICE = 0             # the trail is a share of the best price since the fill
    TRAIL_PROFIT = 1            # the trail is a share of the best profit since the fill

cdef enum:                      # the action for a grade of the news (bracket_t.with_news, .without_news)
    GIVES_ENTRY = 0             # the entry, with the bracket's confidence; 1 to 3: with this confidence at most
    GIVES_HOLD = 4              # no entry: look on
    GIVES_NOTHING = 5           # no entry
    ANY_CONFIDENCE = 255

ctypedef struct bracket_t:      # the intent of a policy; fractions in units of 1e-8 (instrument.SCALE)
    int64_t reference           # ticks: the price that the entry offset counts from; 0 = last trade
    int64_t entry_offset        # below the reference for a buy, above for a sell
    int64_t take_profit         # from the fill price; 0 = none
    int64_t stop_loss           # from the fill price; required
    int64_t trail               # how much of the best price, or of the best profit, a trailing stop gives back; 0 = none
    int64_t entry_ttl_ns
    int64_t max_hold_ns
    int64_t cooldown_ns         # from the moment the trade is flat
    int64_t judge_ns            # an outside judge must confirm within this time, else there is no entry; 0 = no judge
    double notional             # quote currency per trade
    double equity_share         # if > 0: notional = equity_share * equity
    int32_t confidence
    int8_t side                 # LONG buys
    uint8_t entry_type          # OrderType: ORDER_LIMIT (post-only) or ORDER_MARKET
    uint8_t exit_phase          # leave when the cascade reaches this Phase; 0 = stay
    uint8_t requotes_max        # post-only rejects answered with a new price
    uint8_t replaces            # 1 = an open bracket of lower confidence is closed first, then this one opens
    uint8_t trail_basis         # TrailBasis
    uint8_t with_news           # action for the judge's grade "supports": GIVES_*, or a confidence from 1 to 3
    uint8_t without_news        # action for its grade "none". "contradicts" is never an entry
    int32_t trail_from          # share of the entry price, in 1e-8: a trail of profit begins when the best profit has reached it; 0 = with any profit

cdef void bracket_prices(const bracket_t* b, int64_t reference, int64_t* entry, int64_t* stop) noexcept nogil
cdef dict outcomes_of(const bracket_t* b)
cdef int64_t target_price(int8_t side, int64_t fill, int64_t fraction, int64_t reference) noexcept nogil
cdef int64_t stop_price(int8_t side, int64_t fill, int64_t fraction) noexcept nogil
cdef bint trail_stop(const bracket_t* b, int64_t entry, int64_t best, int64_t stop, int64_t* price) noexcept nogil
cdef int judge_cap(const bracket_t* b) noexcept nogil
cdef int check_bracket(const bracket_t* b) noexcept nogil
cdef void audit_answer(const bracket_t* b, const signal_t* s, double reference, uint8_t reason, int policy, int64_t now,
                       AuditRing audit) noexcept nogil

cdef class Bracket:
    cdef bracket_t c
