"""A contract: tick, lot, multiplier, limits. Internally prices of orders are integer ticks and quantities integer lots."""

from libc.math cimport fabs, floor, rint
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

cdef enum:
    TICKS_MAX = 34359738368  # 2**35: price in ticks, and quantity in lots, stay below: products with SCALE fit in int64 plus sign
    SCALE = 100000000        # fractions (offsets, take-profit, ...) are integers in units of 1e-8, so that tick arithmetic is exact

ctypedef struct instrument_t:
    int64_t tick_mantissa    # tick size = tick_mantissa / 10**tick_decimals, exactly
    int64_t lot_mantissa
    double tick_power        # 10.0**tick_decimals
    double lot_power
    double tick              # nearest double of the tick size
    double lot
    double multiplier        # base units of one qty unit (contract value); 1 where quantities are in base
    double notional_min      # venue minimum, quote currency
    int64_t lots_min
    int64_t lots_max
    int32_t tick_decimals
    int32_t lot_decimals
    uint8_t completeness     # Completeness of its liquidation feed

cdef inline double price_of(const instrument_t* i, int64_t ticks) noexcept nogil:
    """Price of a tick count: the double nearest to the exact decimal (one correctly rounded division)."""
    return <double> (ticks * i.tick_mantissa) / i.tick_power

cdef inline double qty_of(const instrument_t* i, int64_t lots) noexcept nogil:
    return <double> (lots * i.lot_mantissa) / i.lot_power

cdef inline int64_t ticks_of(const instrument_t* i, double price) noexcept nogil:
    """Nearest tick; -1 if the price is not finite, not positive or beyond TICKS_MAX ticks."""
    cdef double t = price / i.tick
    return <int64_t> rint(t) if 0.0 < t < <double> TICKS_MAX else -1

cdef inline int64_t lots_of(const instrument_t* i, double qty) noexcept nogil:
    """Nearest lot, for quantities in reports of the venue; -1 as in ticks_of."""
    cdef double l = qty / i.lot
    return <int64_t> rint(l) if 0.0 <= l < <double> TICKS_MAX else -1

cdef inline int64_t lots_floor(const instrument_t* i, double qty) noexcept nogil:
    """Largest lot count not above qty (tolerance 1e-12, for binary fractions), for quantities that we compute."""
    cdef double l = qty / i.lot
    return <int64_t> floor(l * (1.0 + 1e-12)) if 0.0 <= l < <double> TICKS_MAX else -1

cdef inline int64_t scale_ticks(int64_t ticks, int64_t fraction, int up) noexcept nogil:
    """ticks * (1 + fraction / SCALE) in exact integers, rounded up (up = 1), down (up = 0) or to nearest, half up (up = 2)."""
    # ticks < 2**35 and SCALE + fraction < 2**28 (fractions stay below 1.6): the product fits in int64
    cdef int64_t product = ticks * (<int64_t> SCALE + fraction)
    if up == 1:
        return (product + SCALE - 1) // SCALE
    if up == 2:
        return (product + SCALE // 2) // SCALE
    return product // SCALE

cdef class Instrument:
    cdef instrument_t c
    cdef readonly str symbol
    cdef readonly str venue
    cdef readonly str tick_size
    cdef readonly str lot_size
    cdef readonly str asset

cdef tuple instruments_of(object given, bint named)
