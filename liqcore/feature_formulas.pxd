"""What is read from the kernels: a formula a feature. Every one is a function of one instrument's kernels at one time; nan = not known."""

from libc.math cimport NAN, fabs
from libc.stdint cimport int32_t, int64_t

from liqcore.density cimport density_t
from liqcore.event cimport event_t
from liqcore.feature_kernels cimport candles_t, history_t, sums_push, sums_t, track_t
from liqcore.pending cimport pending_t

cdef enum Formula:
    LIQ_VOLUME, LIQ_LONG, LIQ_SHORT, LIQ_COUNT, LIQ_RATE, LIQ_MAX, LIQ_IMBALANCE, LIQ_SHARE, LIQ_FLAG, LIQ_SIZE, LIQ_CORRELATION
    FLOW_OFI, FLOW_IMBALANCE, FLOW_VOLUME, FLOW_BUY, FLOW_SELL, FLOW_COUNT, FLOW_SPREAD
    PRICE_LAST, PRICE_MARK, PRICE_BASIS, PRICE_RETURN, PRICE_RANGE, PRICE_OPEN, PRICE_HIGH, PRICE_LOW, PRICE_CLOSE
    VOLATILITY_REALISED, VOLATILITY_ATR, VOLATILITY_NATR, FUNDING_NOW, FUNDING_MEAN, OI_NOW, OI_VALUE, OI_CHANGE
    HAWKES_LONG, HAWKES_SHORT, HAWKES_BRANCHING, HAWKES_LARGE, PENDING_BELOW, PENDING_ABOVE, REALISED_BELOW, REALISED_ABOVE

cdef enum Transform:
    NONE, ZSCORE, MEAN, STD, MAX, MIN, RANK, LAG, CHANGE

ctypedef struct known_t:         # the latest of one instrument; nan = not known
    double last
    double mark
    double index
    double oi
    double funding
    double bid
    double bid_qty
    double ask
    double ask_qty
    int64_t since                # ns: from here on nothing is missing
    int64_t due                  # ns: next sample of its own histories

cdef double value_sums(int32_t formula, const sums_t* w, int64_t window_ns) noexcept nogil
cdef double value_track(int32_t formula, const track_t* t) noexcept nogil
cdef double value_candles(int32_t formula, const candles_t* c, const known_t* k) noexcept nogil
cdef double value_state(int32_t formula, const known_t* k) noexcept nogil
cdef double value_pending(const pending_t* p, double half_life_s, double price, double share, int side, int64_t now) noexcept nogil
cdef double value_density(const density_t* d, double half_life_s, double price, double share, int side, int64_t now) noexcept nogil
cdef double judged(const history_t* h, int32_t transform, int64_t index, double x) noexcept nogil


cdef inline bint whole(const int64_t slot, const int64_t count, const int64_t step_ns, const known_t* k) noexcept nogil:
    """Nothing of the window is missing."""
    return slot >= count and (slot - count) * step_ns >= k.since


cdef inline bint stands(const track_t* t, const known_t* k) noexcept nogil:
    """Nothing of the window is missing, nor what stood when it began."""
    return t.slot >= t.slots and (t.slot - t.slots) * t.step_ns > k.since


cdef inline void forget(known_t* k) noexcept nogil:
    k.last = k.mark = k.index = k.oi = k.funding = k.bid = k.bid_qty = k.ask = k.ask_qty = NAN


cdef inline void quote_flow(sums_t* w, const known_t* k, const event_t* e, double multiplier) noexcept nogil:
    """What a new best bid and ask say of the flow of orders (Cont, Kukanov, Stoikov 2014). Both sides enter one by one: their sum is exact."""
    cdef double bid, ask
    if k.bid != k.bid:                  # nothing to compare with
        return
    bid = e.qty - k.bid_qty if e.price == k.bid else e.qty if e.price > k.bid else -k.bid_qty
    ask = k.ask_qty - e.aux_qty if e.aux_price == k.ask else k.ask_qty if e.aux_price > k.ask else -e.aux_qty
    if bid != 0.0:
        sums_push(w, e.ts_recv, 1 if bid > 0.0 else -1, fabs(bid) * multiplier)
    if ask != 0.0:
        sums_push(w, e.ts_recv, 1 if ask > 0.0 else -1, fabs(ask) * multiplier)
