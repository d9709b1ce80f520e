"""One instrument at a simulated venue: what its market shows, our orders, our position. Plain data, and what follows from it alone.

When an order fills, and how much of it, is decided here, for the simulated venue (simulate) and for the emulated one (matcher) alike."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t

from liqcore.event cimport FILL_QUEUE, FILL_THROUGH, FILL_TOUCH, ORDER_LIMIT, ORDER_STOP_MARKET, event_t
from liqcore.instrument cimport TICKS_MAX, instrument_t, lots_of, ticks_of

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

cdef inline void book_quote(book_t* b, const instrument_t* i, const event_t* e, bint sized) noexcept nogil:
    """A BBO becomes the quote."""
    b.bid = ticks_of(i, e.price)
    b.ask = ticks_of(i, e.aux_price)
    if sized:
        b.bid_lots = quantity(i, e.qty)
        b.ask_lots = quantity(i, e.aux_qty)

cdef inline int64_t book_touch(const book_t* b, int side) noexcept nogil:
    """The price at which a buyer (side 1) or seller would take now; 0 = unknown."""
    if side > 0:
        return b.ask if b.ask else b.last
    return b.bid if b.bid else b.last

cdef inline bint book_crosses(int64_t touch, int64_t price, int side) noexcept nogil:
    """A limit order at this price would take liquidity."""
    return touch > 0 and (touch - price) * side <= 0

cdef inline int64_t book_shown(const book_t* b, int side) noexcept nogil:
    """Lots shown to a buyer (side 1) or seller."""
    return b.ask_lots if side > 0 else b.bid_lots

cdef inline int64_t taker_price(const book_t* b, int side, int64_t trade) noexcept nogil:
    """Where an order that takes at the next price meets it: the opposite quote, or the trade where that is worse."""
    cdef int64_t price = b.ask if side > 0 else b.bid
    if price == 0:
        price = b.last
    return trade if trade and (trade - price) * side > 0 else price

cdef inline bint trigger_reached(int64_t last, int64_t price, int direction) noexcept nogil:
    """The last price is at or beyond a trigger that waits for a rise (direction 1) or a fall (-1)."""
    return last != 0 and (last - price) * direction >= 0

cdef inline int64_t trade_meets(sim_order_t* o, int fills, int64_t trade, int64_t lots, int aggressor, uint8_t* reason) noexcept nogil:
    """Lots of a resting limit order that a trade (ticks, lots) may fill, <= 0 = none; the queue before it shrinks."""
    cdef int64_t ahead = o.ahead
    if (trade - o.price) * o.side < 0:
        reason[0] = FILL_THROUGH
        return o.qty
    if trade != o.price or fills == FILLS_THROUGH:
        return 0
    if fills == FILLS_TOUCH:
        reason[0] = FILL_TOUCH
        return lots
    if aggressor == o.side or ahead == AHEAD_UNKNOWN:       # the aggressor comes from the other side
        return 0
    o.ahead = ahead - lots if ahead > lots else 0
    reason[0] = FILL_QUEUE
    return lots - ahead

cdef uint8_t taker_reason(const sim_order_t* o) noexcept nogil
cdef int64_t queue_ahead(const book_t* b, const sim_order_t* o, bint hidden) noexcept nogil
cdef int64_t quote_meets(const book_t* b, sim_order_t* o, int fills, bint hidden, uint8_t* reason) noexcept nogil
cdef void order_bounds(const sim_order_t* o, int direction, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil
cdef void book_move(book_t* b, int side, int64_t price, int64_t lots, double margin) noexcept nogil
cdef bint book_leaving(const book_t* b) noexcept nogil
cdef void book_bounds(const book_t* b, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil
