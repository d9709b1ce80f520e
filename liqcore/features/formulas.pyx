"""The formulas of the features: see formulas.pxd; spec.py defines each."""

from libc.math cimport exp2

from liqcore.kernels.realised_map cimport density_between
from liqcore.features.kernels cimport *
from liqcore.kernels.estimated_map cimport pending_between

#: names by number, in the order of the enums
FORMULAS = tuple((
    "liquidations.liq_volume liquidations.liq_long_volume liquidations.liq_short_volume liquidations.liq_count liquidations.liq_rate "
    "liquidations.liq_max liquidations.liq_imbalance liquidations.liq_long_share liquidations.liq_cascade_flag liquidations.liq_cascade_size "
    "liquidations.liq_correlation flow.ofi flow.trade_imbalance flow.volume flow.buy_volume flow.sell_volume flow.trade_count flow.spread_bps "
    "price.last price.mark price.basis price.return price.range price.open price.high price.low price.close volatility.realised volatility.atr "
    "volatility.natr funding.funding funding.funding_avg oi.oi oi.oi_value oi.oi_change "
    "hawkes.intensity_long hawkes.intensity_short hawkes.branching hawkes.next_large map.pending_below map.pending_above map.realised_below "
    "map.realised_above "
    "map.realised_long_below map.realised_long_above map.realised_short_below map.realised_short_above "
    "risk.adl_distance risk.pool risk.pool_drawdown risk.limit_up_bps risk.limit_down_bps risk.deleveraged").split())
TRANSFORMS = ("", "zscore", "mean", "std", "max", "min", "rank", "lag", "change", "n", "n_eff")


cdef double value_sums(int32_t formula, const sums_t* w, int64_t window_ns) noexcept nogil:
    cdef double total
    cdef int64_t count = w.count[0] + w.count[1]
    if formula == LIQ_VOLUME or formula == FLOW_VOLUME or formula == RISK_DELEVERAGED:
        return sums_total(w)
    if formula == LIQ_LONG or formula == FLOW_BUY:
        return sums_long(w)
    if formula == LIQ_SHORT or formula == FLOW_SELL:
        return sums_short(w)
    if formula == LIQ_COUNT or formula == FLOW_COUNT:
        return <double> count
    if formula == LIQ_RATE:
        return count * 6e10 / window_ns
    if formula == LIQ_MAX:
        return sums_max(w)
    if formula == FLOW_OFI:
        return sums_net(w)
    total = sums_total(w)
    if formula == LIQ_SHARE:
        return sums_long(w) / total if total > 0.0 else 0.5
    if formula == LIQ_IMBALANCE:
        return (sums_short(w) - sums_long(w)) / total if total > 0.0 else 0.0
    return (sums_long(w) - sums_short(w)) / total if total > 0.0 else 0.0      # FLOW_IMBALANCE


cdef double value_track(int32_t formula, const track_t* t) noexcept nogil:
    if t.value != t.value:
        return NAN
    if formula == PRICE_RANGE:
        return track_spread(t) / t.value if track_before(t) == track_before(t) else NAN
    if formula == VOLATILITY_REALISED:
        return track_realised(t)
    return t.value / track_before(t) - 1.0                                     # PRICE_RETURN, OI_CHANGE


cdef double value_candles(int32_t formula, const candles_t* c, int64_t since) noexcept nogil:
    cdef int64_t bars = ATR_BARS + 1 if formula == VOLATILITY_ATR or formula == VOLATILITY_NATR else 1
    if c.bar < bars or (c.bar - bars) * c.step_ns < since:
        return NAN
    if formula == PRICE_OPEN:
        return c.done.open
    if formula == PRICE_HIGH:
        return c.done.high
    if formula == PRICE_LOW:
        return c.done.low
    if formula == PRICE_CLOSE:
        return c.done.close
    return candles_atr(c) if formula == VOLATILITY_ATR else candles_atr(c) / c.done.close


cdef double value_venue(int32_t formula, const known_t* k) noexcept nogil:
    if formula == RISK_DISTANCE:
        return k.distance
    if formula == RISK_POOL:
        return k.pool
    if formula == RISK_DRAWDOWN:
        return k.drawdown
    return (k.buy_max / k.last - 1.0) * 1e4 if formula == RISK_UP else (1.0 - k.sell_min / k.last) * 1e4


cdef double value_state(int32_t formula, const known_t* k, int64_t now) noexcept nogil:
    if formula == FLOW_SPREAD:
        return (k.ask - k.bid) / ((k.ask + k.bid) * 0.5) * 1e4 if now <= k.quote_until else NAN
    if formula == PRICE_LAST:
        return k.last
    if formula == PRICE_MARK:
        return k.mark
    if formula == PRICE_BASIS:
        return k.mark / k.index - 1.0
    if formula == FUNDING_NOW:
        return k.funding
    if formula >= RISK_DISTANCE:
        return value_venue(formula, k)
    return k.oi if formula == OI_NOW else k.oi * k.mark


cdef inline double kept(int64_t ts, double half_life_s, int64_t now) noexcept nogil:
    """The rest of an amount at ts after fading. Maps fade at their inputs, so reading changes nothing."""
    return exp2(-((now - ts) * 1e-9) / half_life_s) if half_life_s > 0.0 and 0 <= ts < now else 1.0


cdef double value_pending(const pending_t* p, double half_life_s, double price, double share, int side, int64_t now) noexcept nogil:
    """Longs below the price (side 1), shorts above it (-1)."""
    if price != price or p.interest <= 0.0:
        return NAN
    return kept(p.ts, half_life_s, now) * (pending_between(p, price * (1.0 - share), price, 1) if side > 0
                                           else pending_between(p, price, price * (1.0 + share), -1))


cdef double value_density(const density_t* d, double half_life_s, double price, double share, int32_t formula, int64_t now) noexcept nogil:
    """Notional of one liquidated side or both, below the price or above it."""
    cdef bint below = formula == REALISED_BELOW or formula == REALISED_LONG_BELOW or formula == REALISED_SHORT_BELOW
    cdef int side = 0 if formula <= REALISED_ABOVE else 1 if formula <= REALISED_LONG_ABOVE else -1
    if price != price:
        return NAN
    return kept(d.ts, half_life_s, now) * (density_between(d, price * (1.0 - share), price, side) if below
                                           else density_between(d, price, price * (1.0 + share), side))


cdef double history_transform(const history_t* h, int32_t transform, int64_t least, bint apart, int64_t index, double x) noexcept nogil:
    """A transform of the whole history; known if `least` samples are known (apart: independent samples)."""
    cdef const course_t* c = &h.course
    if (c.apart if apart else c.count) < least:
        return NAN
    if transform == ZSCORE:
        return NAN if x != x else (x - c.mean) / c.std if c.std > 0.0 else 0.0
    if transform == RANK:
        return history_rank(h, index, x) if x == x else NAN
    if transform == COUNT or transform == APART:
        return <double> (c.count if transform == COUNT else c.apart)
    return c.mean if transform == MEAN else c.std if transform == STD else c.most if transform == MAX else c.least
