"""Prices, quantities and limits of a sweep: exact integers, and floating point in the order of instrument.pxd, bracket_spec.pyx and risk.pyx."""

from libc.stdint cimport int64_t

from liqcore.sweep.records cimport (MARKET_ENTRY, REASON_COLLAR, REASON_NOTIONAL, REASON_QTY, REASON_QUOTE_ENDED, REASON_STALE_DATA, SCALE,
                                    setting_t, terms_t)

cdef inline double price_of(const terms_t* g, int64_t ticks) noexcept nogil:
    return <double> (ticks * g.tick_mantissa) / g.tick_power


cdef inline double qty_of(const terms_t* g, int64_t lots) noexcept nogil:
    return <double> (lots * g.lot_mantissa) / g.lot_power


cdef inline double fee_of(const terms_t* g, int64_t price, int64_t lots, double rate) noexcept nogil:
    return price_of(g, price) * qty_of(g, lots) * g.multiplier * rate


cdef inline int64_t scaled(int64_t ticks, int64_t fraction, bint up) noexcept nogil:
    """Of a price that is not negative; fraction is at least -SCALE / 2."""
    cdef int64_t product = ticks * (<int64_t> SCALE + fraction)
    return (product + <int64_t> SCALE - 1) // <int64_t> SCALE if up else product // <int64_t> SCALE


cdef inline int64_t entry_price(const setting_t* p, int64_t side, int64_t reference) noexcept nogil:
    """A resting entry is rounded away from the market."""
    if p.entry_type == MARKET_ENTRY:
        return reference
    return scaled(reference, -p.entry_offset, False) if side > 0 else scaled(reference, p.entry_offset, True)


cdef inline int64_t stop_price(int64_t side, int64_t fill, int64_t fraction) noexcept nogil:
    """Rounded towards the entry, so that the risk is never above the stated one."""
    return scaled(fill, -fraction, True) if side > 0 else scaled(fill, fraction, False)


cdef inline int64_t target_price(int64_t side, int64_t fill, int64_t fraction, int64_t reference) noexcept nogil:
    """Rounded towards the price that the entry was offset from."""
    return scaled(fill, side * fraction, fill * (<int64_t> SCALE + side * fraction) < reference * <int64_t> SCALE)


cdef inline int64_t lots_for(const terms_t* g, double notional, int64_t ticks) noexcept nogil:
    """The wanted notional in whole lots, at most the venue's largest order; -1 if that is no valid quantity."""
    cdef double price = price_of(g, ticks) * g.multiplier, lots
    if price <= 0.0:
        return -1
    lots = notional / price / g.lot
    if not lots < 34359738368.0:
        return -1
    return min(<int64_t> (lots * (1.0 + 1e-12)), g.lots_max)


cdef inline double notional_of(const terms_t* g, int64_t lots, int64_t ticks) noexcept nogil:
    return qty_of(g, lots) * g.multiplier * price_of(g, ticks)


cdef inline int forbidden(const terms_t* g, int64_t lots, int64_t entry, int64_t last, bint ended, bint stale) noexcept nogil:
    """The first limit that an entry would break, or 0."""
    cdef double notional = notional_of(g, lots, entry), price, at
    if lots < g.lots_min or notional < g.notional_min:
        return REASON_QTY
    if notional > g.notional_max:
        return REASON_NOTIONAL
    if ended:
        return REASON_QUOTE_ENDED
    if stale:
        return REASON_STALE_DATA
    price, at = price_of(g, entry), price_of(g, last)
    if price > at * (1.0 + g.collar) or price < at * (1.0 - g.collar):
        return REASON_COLLAR
    return 0


cdef inline double gross_of(const terms_t* g, int64_t side, double entry_value, double exit_value) noexcept nogil:
    """Gross result of a bracket that is flat, operation for operation as the engine's."""
    return (exit_value - entry_value) * <double> side * g.tick * g.lot * g.multiplier


cdef inline double traded_of(const terms_t* g, double entry_value, double exit_value) noexcept nogil:
    return (entry_value + exit_value) * g.tick * g.lot * g.multiplier
