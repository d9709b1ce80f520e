"""One instrument at the simulated venue: what its market shows, our orders, our position. Plain data, and what follows from it alone."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t

from liqcore.instrument cimport TICKS_MAX, instrument_t, lots_of

cdef enum:
    NEVER = 0x7FFFFFFFFFFFFFFF
    AHEAD_UNKNOWN = 0x7FFFFFFFFFFFFFFF
    ORDERS_MAX = 16          # live orders of one instrument; one more is rejected

cdef enum:                   # SimVenue.fills
    FILLS_THROUGH = 0
    FILLS_TOUCH = 1
    FILLS_QUEUE = 2

ctypedef struct sim_order_t:
    int64_t id
    int64_t price            # ticks: limit, or trigger
    int64_t qty              # lots
    int64_t filled
    int64_t stop             # ticks: stop-loss to attach to the position
    int64_t since            # market event during which it came to be: it meets the next one
    int64_t ahead            # lots before us at our price (queue); AHEAD_UNKNOWN = nobody has shown us yet
    int32_t said             # reports so far: which of them a latency is drawn for
    int8_t side
    uint8_t type
    uint8_t flags
    uint8_t live
    uint8_t taking           # takes at the next price: a triggered stop, the rest of a market order
    uint8_t reason           # a close: Reason of the exit
    uint16_t reserved

ctypedef struct book_t:      # one instrument; plain data
    int64_t bid              # ticks, 0 = unknown
    int64_t ask
    int64_t bid_lots
    int64_t ask_lots
    int64_t last
    int64_t position         # lots, signed
    int64_t liquidation      # ticks: where the venue closes the position by force; 0 = never
    int32_t live             # orders, so that a tick without orders costs one compare
    int32_t liquidating      # the venue is at it: nothing else is accepted
    double mark              # last TICKER; 0 = unknown
    double rate              # of funding, last TICKER; 0 = unknown
    double cost              # ticks * lots of what is held
    int64_t opened           # id of the order that opened the position
    int64_t funding_at       # next settlement of this position; NEVER = nothing held
    sim_order_t orders[16]

cdef inline int64_t quantity(const instrument_t* i, double qty) noexcept nogil:
    """Lots of a market event; what is too much to count is as much as can be counted."""
    cdef int64_t lots = lots_of(i, qty)
    return lots if lots >= 0 else <int64_t> TICKS_MAX

cdef inline int64_t book_held(const book_t* b) noexcept nogil:
    """Lots held, positive whatever the side."""
    return b.position if b.position > 0 else -b.position

cdef uint8_t taker_reason(const sim_order_t* o) noexcept nogil
cdef int64_t queue_ahead(const book_t* b, const sim_order_t* o, bint hidden) noexcept nogil
cdef void book_move(book_t* b, int side, int64_t price, int64_t lots, double margin) noexcept nogil
cdef bint book_leaving(const book_t* b) noexcept nogil
cdef void book_bounds(const book_t* b, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil
