"""One instrument at a simulated venue: our orders, our position. Plain data, and functions of it and the market (market.pxd) alone.

Whether and how much an order fills is decided here, for the simulated venue (venue.pyx) and for the emulated one (matcher.pyx)."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t

from liqcore.event cimport FILL_PRINT, FILL_QUEUE, FILL_THROUGH, FILL_TOUCH, ORDER_LIMIT, ORDER_STOP_MARKET, market_t
from liqcore.instrument cimport TICKS_MAX, instrument_t, lots_of
from liqcore.market cimport touch

cdef enum:
    NEVER = 0x7FFFFFFFFFFFFFFF
    AHEAD_UNKNOWN = 0x7FFFFFFFFFFFFFFF
    WAIT_AGAIN_NS = 1000000000   # least time until an order that found no price tries again
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
    int64_t since            # number of the market event during which it was created; it meets the next one
    int64_t ahead            # lots before us at our price (queue); AHEAD_UNKNOWN = the level has not been shown yet
    int64_t wait             # ns: while it takes, end of its wait for a quote or trade with its price
    int32_t report_count             # reports so far; the latency of a report is drawn by this number
    int8_t side
    uint8_t type
    uint8_t flags
    uint8_t live
    uint8_t taking           # takes at the next price: a triggered stop, the rest of a market order
    uint8_t reason           # a close: Reason of the exit
    uint16_t reserved

ctypedef struct book_t:      # one instrument; plain data
    int64_t position         # lots, signed
    int64_t liquidation      # ticks: where the venue closes the position by force; 0 = never
    int32_t live             # number of live orders, so that an event without orders costs one comparison
    int32_t liquidating      # the venue is closing the position: no order is accepted
    double cost              # ticks * lots of the position
    int64_t opened           # id of the order that opened the position
    int64_t funding_at       # next settlement of this position; NEVER = nothing held
    int64_t wait_next        # the earliest end of a wait, or before it; NEVER = none waits
    sim_order_t orders[16]

cdef inline int64_t quantity(const instrument_t* i, double qty) noexcept nogil:
    """Lots of a market event, limited to the largest number that fits."""
    cdef int64_t lots = lots_of(i, qty)
    return lots if lots >= 0 else <int64_t> TICKS_MAX

cdef inline int64_t book_held(const book_t* b) noexcept nogil:
    """Lots of the position, positive for both sides."""
    return b.position if b.position > 0 else -b.position

cdef inline bint book_crosses(int64_t touch, int64_t price, int side) noexcept nogil:
    """A limit order at this price would take liquidity."""
    return touch > 0 and (touch - price) * side <= 0

cdef inline int64_t shown(const market_t* m, const instrument_t* i, int side) noexcept nogil:
    """Lots in the last quote for a buyer (side 1) or seller."""
    return quantity(i, m.ask_qty if side > 0 else m.bid_qty)

cdef inline int64_t taker_price(const market_t* m, const instrument_t* i, int side, int64_t trade, int aggressor, int64_t now,
                                uint8_t* flags) noexcept nogil:
    """Price of an order that takes, at a trade (ticks) or, with trade = 0, at the present quote; 0 = it waits on. With a live quote: that, or the
    trade if it is worse. Without: the trade, if its aggressor was of the order's own side."""
    cdef int64_t near = touch(m, i, side, now)
    flags[0] = 0
    if near:
        return trade if trade and (trade - near) * side > 0 else near
    if trade and aggressor == side:
        flags[0] = FILL_PRINT
        return trade
    return 0

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

cdef int64_t share_of(object half_spread) except -2
cdef list shares_of(object half_spread, int count)
cdef uint8_t taker_reason(const sim_order_t* o) noexcept nogil
cdef int64_t queue_ahead(const market_t* m, const instrument_t* i, const sim_order_t* o, bint hidden, int64_t now) noexcept nogil
cdef int64_t quote_meets(const market_t* m, const instrument_t* i, sim_order_t* o, int fills, bint hidden, uint8_t* reason,
                         int64_t now) noexcept nogil
cdef void order_bounds(const sim_order_t* o, int direction, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil
cdef void book_move(book_t* b, int side, int64_t price, int64_t lots, double margin) noexcept nogil
cdef bint book_leaving(const book_t* b) noexcept nogil
cdef sim_order_t* book_order(book_t* b, int64_t id) noexcept nogil
cdef void book_wait(book_t* b) noexcept nogil
cdef void book_bounds(const book_t* b, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil
