"""Validation: see validate.pxd. Its only state is the implausible prices that later ones may confirm.

Kernels and accounts never see what it refuses.
"""

from liqcore.event cimport *
from liqcore.instrument cimport TICKS_MAX
from liqcore.kernels.window cimport WINDOW_NOTIONAL_MAX

cdef double ORDERS_MAX = 100.0     # a forced order above this number of the venue's largest orders is a mistake


cdef uint8_t plausible(market_t* m, double price, double band) noexcept nogil:
    """Whether a price is within the band of the last good price, or confirmed by enough implausible prices that agree with it."""
    if m.good == 0.0 or (price <= m.good * band and price * band >= m.good):
        m.suspects = 0
        return OK
    if m.suspects > 0 and price <= m.suspect * 1.5 and price * 1.5 >= m.suspect:
        m.suspects += 1
    else:
        m.suspects = 1
    m.suspect = price
    if m.suspects < SUSPECTS:
        return BAD_BAND
    m.suspects = 0
    return OK


cdef inline bint on_grid(const instrument_t* i, double price) noexcept nogil:
    """ticks_of(price) > 0, without rounding."""
    return 0.5 < price / i.tick < <double> TICKS_MAX


cdef inline bint beyond_orders(double qty, const instrument_t* i) noexcept nogil:
    """Whether a quantity is impossible for orders of this contract, if the venue states its largest order."""
    return i.lots_max < <int64_t> TICKS_MAX - 1 and qty > ORDERS_MAX * i.lot * <double> i.lots_max


cdef uint8_t price_qty(const event_t* e, market_t* m, const instrument_t* i, double band) noexcept nogil:
    """The rules of events that carry prices."""
    if not (e.price * 0.0 + e.qty * 0.0 + e.aux_price * 0.0 + e.aux_qty * 0.0 == 0.0):      # 0 where all are finite, else nan
        return BAD_PRICE
    if e.kind == TICKER:
        if e.price < 0.0 or e.aux_price < 0.0:
            return BAD_PRICE
        if e.qty < 0.0:
            return BAD_QTY
        return plausible(m, e.price, band) if e.price > 0.0 else OK
    # a liquidation's price is never placed as an order: it need not be on the tick grid (bankruptcy prices often are not)
    if e.price <= 0.0 or (e.kind != LIQUIDATION and not on_grid(i, e.price)):
        return BAD_PRICE
    if e.kind == BBO:
        if e.aux_price <= e.price:
            return BAD_BOOK
        if not on_grid(i, e.aux_price):      # it is above the bid, which is on the grid
            return BAD_PRICE
        # an empty side of the book: there is no offer at ten times the bid
        if e.aux_price > e.price * band:
            return BAD_BAND
        if e.qty < 0.0 or e.aux_qty < 0.0:
            return BAD_QTY
        return plausible(m, e.price, band)
    if e.qty <= 0.0 or e.qty > 1e15:
        return BAD_QTY
    if e.kind == FUNDING:     # about our position, too: every amount paid counts
        return OK if e.side == LONG or e.side == SHORT else BAD_SIDE
    if e.kind == FILL:        # an unusual fill is still about our position: the bracket machine handles it
        return OK if 0.0 <= e.aux_qty < 9007199254740992.0 else BAD_QTY
    if e.side != LONG and e.side != SHORT:
        return BAD_SIDE
    if e.kind == LIQUIDATION and e.aux_qty < 0.0:
        return BAD_PRICE
    if e.kind == LIQUIDATION and (e.aux_price < 0.0 or e.aux_price > WINDOW_NOTIONAL_MAX
                                  or not 0.0 < e.qty * i.multiplier * e.price <= WINDOW_NOTIONAL_MAX
                                  or beyond_orders(e.qty, i)):
        return BAD_QTY
    return plausible(m, e.price, band)


cdef uint8_t validate_venue_event(const event_t* e, const instrument_t* instruments, int count) noexcept nogil:
    """The rules of events about the venue, not the market. They do not change the price that later ones are compared with."""
    if not 0 <= e.instrument < count:
        return BAD_INSTRUMENT
    if not (e.price * 0.0 + e.qty * 0.0 + e.aux_price * 0.0 + e.aux_qty * 0.0 == 0.0):
        return BAD_PRICE
    if e.kind == DELEVERAGE:
        if e.price <= 0.0:
            return BAD_PRICE
        if e.side != LONG and e.side != SHORT:
            return BAD_SIDE
        return OK if (0.0 < e.qty <= 1e15 and 0.0 <= e.aux_price <= WINDOW_NOTIONAL_MAX
                      and 0.0 < e.qty * instruments[e.instrument].multiplier * e.price <= WINDOW_NOTIONAL_MAX) else BAD_QTY
    if e.code == STATES_LIMITS:
        if e.price < 0.0 or e.aux_price < 0.0:
            return BAD_PRICE
        return OK if e.price == 0.0 or e.aux_price <= e.price else BAD_BOOK
    if e.code != STATES_POOL or e.flags >= POOL_NO_BALANCE + POOL_NO_DRAWDOWN + POOL_NO_DISTANCE:
        return BAD_CODE                     # unknown bits, or no value is stated
    return OK if 0.0 <= e.aux_price <= 1.0 and e.aux_qty >= 0.0 else BAD_QTY


cdef uint8_t validate_event(const event_t* e, int64_t now, market_t* markets, const instrument_t* instruments, int count, double band) noexcept nogil:
    """The first fault of an event, or OK."""
    if e.ts_recv < now or not 0 <= e.ts_recv < TIME_MAX or not 0 <= e.ts_event < TIME_MAX:
        return BAD_TIME
    if e.kind == TIMER:
        return OK
    if e.kind == FEED or e.kind == CONTROL:
        if e.instrument != ALL_INSTRUMENTS and not 0 <= e.instrument < count:
            return BAD_INSTRUMENT
        if e.kind == CONTROL and (e.code == CONTROL_PAUSE or e.code == CONTROL_READY):
            return OK if GATE_START <= e.flags <= GATE_LATE else BAD_CODE
        if e.kind == CONTROL and e.code == CONTROL_LOWER:
            if not LIMIT_ORDER_NOTIONAL <= e.flags <= LIMIT_COLLAR or e.instrument != ALL_INSTRUMENTS:
                return BAD_CODE
            return OK if 0.0 < e.price <= 1e12 else BAD_PRICE
        return OK if 1 <= e.code <= 3 else BAD_CODE
    if e.kind == VERDICT and e.instrument != ALL_INSTRUMENTS:
        return BAD_INSTRUMENT
    if e.kind == VERDICT:
        if not JUDGE_CONFIRM <= e.code <= JUDGE_FAILED or e.id <= 0:
            return BAD_CODE
        return OK if e.aux_qty == 0.0 or e.aux_qty == 1.0 or e.aux_qty == 2.0 or e.aux_qty == 3.0 else BAD_QTY
    if e.kind < LIQUIDATION or e.kind > FUNDING:
        return validate_venue_event(e, instruments, count) if e.kind == DELEVERAGE or e.kind == VENUE_STATE else BAD_KIND
    if not 0 <= e.instrument < count:
        return BAD_INSTRUMENT
    if e.kind == ORDER:
        return OK if 1 <= e.code <= ORDER_REFUSED else BAD_CODE
    return price_qty(e, &markets[e.instrument], &instruments[e.instrument], band)
