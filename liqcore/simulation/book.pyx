"""One instrument at the simulated venue: see book.pxd."""

from numbers import Real

from libc.math cimport ceil, floor

from liqcore.argument cimport several
from liqcore.event cimport *
from liqcore.instrument cimport SCALE
from liqcore.market cimport touch


cdef list shares_of(object half_spread, int count):
    """One half-spread for all instruments, or one for each, in parts of SCALE."""
    found = [half_spread] * count if half_spread is None or isinstance(half_spread, (Real, str, dict)) else several(half_spread, "half_spread")
    if len(found) != count:
        raise ValueError(f"half_spread: expected one share or one for each of {count} instruments, got {len(found)}")
    return [share_of(share) for share in found]


cdef int64_t share_of(object half_spread) except -2:
    """A half-spread in parts of SCALE; -1 for None."""
    if half_spread is None:
        return -1
    if not isinstance(half_spread, Real) or not 0.0 <= half_spread <= 0.1:
        raise ValueError(f"half_spread: expected a share of the price from 0 to 0.1 (0.0001 = 1 bp) or None, got {half_spread!r}")
    return round(half_spread * SCALE)


cdef uint8_t taker_reason(const sim_order_t* o) noexcept nogil:
    """FillReason of an order that takes."""
    if (o.id & 15) == ROLE_LIQUIDATION:
        return FILL_LIQUIDATED
    if o.type == ORDER_STOP_MARKET:
        return FILL_STOP
    if (o.id & 15) == ROLE_CLOSE:
        return FILL_TIMEOUT if o.reason == END_MAX_HOLD else FILL_CLOSE
    return FILL_CROSS


cdef int64_t queue_ahead(const market_t* m, const instrument_t* i, const sim_order_t* o, bint hidden, int64_t now) noexcept nogil:
    """Quantity before a new order at this price, by the present quote. 0 if there was never a quote. If the last quote has ended it is unknown, as
    for a level behind the best."""
    cdef int64_t best
    if m.quotes == 0:
        return 0
    best = touch(m, i, -o.side, now)
    if best and (best - o.price) * o.side < 0:
        return 0
    if best == o.price:
        return shown(m, i, -o.side)
    return <int64_t> AHEAD_UNKNOWN if hidden else 0


cdef int64_t quote_meets(const market_t* m, const instrument_t* i, sim_order_t* o, int fills, bint hidden, uint8_t* reason,
                         int64_t now) noexcept nogil:
    """Lots of a resting limit order that the present quote fills, 0 = none; the queue before it shrinks to the shown quantity."""
    cdef int64_t opposite = touch(m, i, o.side, now)
    if (opposite - o.price) * o.side < 0:
        reason[0] = FILL_THROUGH
        return o.qty
    if fills != FILLS_QUEUE:
        return 0
    if opposite == o.price:         # no opposite offer can rest at our price beside our order
        reason[0] = FILL_QUEUE
        return o.qty
    if o.ahead > 0:
        o.ahead = min(o.ahead, queue_ahead(m, i, o, hidden, now))
    return 0


cdef void book_move(book_t* b, int side, int64_t price, int64_t lots, double margin) noexcept nogil:
    """Update the position after an execution: its average cost, and its liquidation price at a loss of `margin` of that (0 = never)."""
    cdef int64_t before = b.position
    b.position += side * lots
    if b.position == 0:
        b.cost = 0.0
        b.liquidation = 0
        b.liquidating = 0
        return
    if before * side >= 0:
        b.cost += <double> price * <double> lots
    elif b.position * side > 0:
        b.cost = <double> price * <double> book_held(b)
    else:
        b.cost = b.cost / <double> before * <double> b.position
        return                          # less of it at the same average price
    if margin > 0.0:
        # tolerance of a millionth of a tick for binary fractions, then rounded towards the entry: never later than stated
        if b.position > 0:
            b.liquidation = max(<int64_t> ceil(b.cost / <double> b.position * (1.0 - margin) - 1e-6), <int64_t> 1)
        else:
            b.liquidation = <int64_t> floor(b.cost / <double> -b.position * (1.0 + margin) + 1e-6)


cdef bint book_leaving(const book_t* b) noexcept nogil:
    """Whether an order is closing the position at the next price."""
    cdef int k
    for k in range(ORDERS_MAX):
        if b.orders[k].live and b.orders[k].taking and b.orders[k].flags & REDUCE_ONLY:
            return True
    return False


cdef sim_order_t* book_order(book_t* b, int64_t id) noexcept nogil:
    """The live order of this id; NULL = none."""
    cdef int k
    for k in range(ORDERS_MAX):
        if b.orders[k].live and b.orders[k].id == id:
            return &b.orders[k]
    return NULL


cdef void book_wait(book_t* b) noexcept nogil:
    """The time at which the first wait ends."""
    cdef int k
    b.wait_next = NEVER
    for k in range(ORDERS_MAX):
        if b.orders[k].live and b.orders[k].taking:
            b.wait_next = min(b.wait_next, b.orders[k].wait)


cdef void order_bounds(const sim_order_t* o, int direction, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil:
    """Narrow the range of events that may be skipped (SimVenue.bounds) by one live order; direction: of a stop's trigger, 1 = fires above."""
    cdef int64_t beyond = 1 if fills == FILLS_THROUGH else 0
    if o.taking or (fills == FILLS_QUEUE and o.type == ORDER_LIMIT and o.ahead > 0):
        every[0] = True             # a quote with less quantity at its level shrinks the queue
    if o.type == ORDER_STOP_MARKET:
        if direction > 0:
            high[0] = min(high[0], o.price)
        else:
            low[0] = max(low[0], o.price)
    elif o.side > 0:
        low[0] = max(low[0], o.price - beyond)
    else:
        high[0] = min(high[0], o.price + beyond)


cdef void book_bounds(const book_t* b, int fills, int64_t* low, int64_t* high, bint* every) noexcept nogil:
    """See SimVenue.bounds."""
    cdef int k
    low[0] = -1
    high[0] = NEVER
    every[0] = False
    for k in range(ORDERS_MAX if b.live else 0):
        if b.orders[k].live:
            order_bounds(&b.orders[k], b.orders[k].side, fills, low, high, every)
    if b.liquidation:               # trades count while no mark is valid
        if b.position > 0:
            low[0] = max(low[0], b.liquidation)
        else:
            high[0] = min(high[0], b.liquidation)
