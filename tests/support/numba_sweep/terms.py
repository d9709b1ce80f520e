"""Prices, quantities and limits of a sweep (Numba): exact integers, and floating point in the order of instrument.pxd, terms.pyx and risk.pyx."""

from numba_sweep.state import (
    REASON_COLLAR,
    REASON_NOTIONAL,
    REASON_QTY,
    REASON_QUOTE_ENDED,
    REASON_STALE_DATA,
    SCALE,
    compiled,
)

MARKET = 2


@compiled
def price_of(g, ticks):
    return float(ticks * g.tick_mantissa) / g.tick_power


@compiled
def qty_of(g, lots):
    return float(lots * g.lot_mantissa) / g.lot_power


@compiled
def scaled(ticks, fraction, up):
    product = ticks * (SCALE + fraction)
    return (product + SCALE - 1) // SCALE if up else product // SCALE


@compiled
def entry_price(p, side, reference):
    """A resting entry gives no more than it must."""
    if p.entry_type == MARKET:
        return reference
    return scaled(reference, -p.entry_offset, 0) if side > 0 else scaled(reference, p.entry_offset, 1)


@compiled
def stop_price(side, fill, fraction):
    """Never risk more than stated."""
    return scaled(fill, -fraction, 1) if side > 0 else scaled(fill, fraction, 0)


@compiled
def target_price(side, fill, fraction, reference):
    """Rounded towards the price that the entry was offset from."""
    product = fill * (SCALE + side * fraction)
    return scaled(fill, side * fraction, 1 if product < reference * SCALE else 0)


@compiled
def lots_for(g, notional, ticks):
    """The wanted notional in whole lots, at most the venue's largest order; -1 where that is no quantity."""
    price = price_of(g, ticks) * g.multiplier
    if price <= 0.0:
        return -1
    lots = notional / price / g.lot
    if not lots < 34359738368.0:
        return -1
    return min(int(lots * (1.0 + 1e-12)), g.lots_max)


@compiled
def forbidden(g, lots, entry, last, notional, ended, stale):
    """The first limit that an entry would break, or 0."""
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


@compiled
def trade_gross(g, s):
    """Gross result of a bracket that is flat, operation for operation as the engine's."""
    return (s.exit_value - s.entry_value) * s.side * (float(g.tick_mantissa) / g.tick_power) * (float(g.lot_mantissa) / g.lot_power) * g.multiplier


@compiled
def notional_of(g, lots, ticks):
    return qty_of(g, lots) * g.multiplier * price_of(g, ticks)
