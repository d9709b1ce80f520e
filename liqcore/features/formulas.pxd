"""The formulas of the features. Each is a function of one instrument's kernels at one time; nan = not known."""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t

from liqcore.kernels.realised_map cimport density_t
from liqcore.event cimport (STREAM_FUNDING, STREAM_INDEX, STREAM_MARK, STREAM_OPEN_INTEREST, STREAM_QUOTE, STREAM_TRADE, STREAM_VENUE, event_t)
from liqcore.features.kernels cimport candles_t, history_t, sums_t, track_t
from liqcore.kernels.estimated_map cimport pending_t

cdef enum Formula:
    LIQ_VOLUME, LIQ_LONG, LIQ_SHORT, LIQ_COUNT, LIQ_RATE, LIQ_MAX, LIQ_IMBALANCE, LIQ_SHARE, LIQ_FLAG, LIQ_SIZE, LIQ_CORRELATION
    FLOW_OFI, FLOW_IMBALANCE, FLOW_VOLUME, FLOW_BUY, FLOW_SELL, FLOW_COUNT, FLOW_SPREAD
    PRICE_LAST, PRICE_MARK, PRICE_BASIS, PRICE_RETURN, PRICE_RANGE, PRICE_OPEN, PRICE_HIGH, PRICE_LOW, PRICE_CLOSE
    VOLATILITY_REALISED, VOLATILITY_ATR, VOLATILITY_NATR, FUNDING_NOW, FUNDING_MEAN, OI_NOW, OI_VALUE, OI_CHANGE
    HAWKES_LONG, HAWKES_SHORT, HAWKES_BRANCHING, HAWKES_LARGE, PENDING_BELOW, PENDING_ABOVE, REALISED_BELOW, REALISED_ABOVE
    REALISED_LONG_BELOW, REALISED_LONG_ABOVE, REALISED_SHORT_BELOW, REALISED_SHORT_ABOVE
    RISK_DISTANCE, RISK_POOL, RISK_DRAWDOWN, RISK_UP, RISK_DOWN, RISK_DELEVERAGED

cdef enum Transform:
    NONE, ZSCORE, MEAN, STD, MAX, MIN, RANK, LAG, CHANGE, COUNT, APART

cdef enum:                       # streams by number: the bits of event.Stream. Deleveragings are interrupted with the liquidations
    OF_FORCED, OF_TRADE, OF_QUOTE, OF_MARK, OF_INDEX, OF_FUNDING, OF_INTEREST, OF_VENUE, OF_DELEVERAGED, STREAMS

ctypedef struct known_t:         # the latest values of one instrument; nan = not known
    double last
    double mark
    double index
    double oi
    double funding
    double bid
    double bid_qty
    double ask
    double ask_qty
    double buy_max               # of the venue: its price limits
    double sell_min
    double pool                  # its insurance pool: balance, share lost, distance to deleveraging
    double drawdown
    double distance
    int64_t quote_until          # as in market.pxd
    int64_t since[STREAMS]       # ns: the stream is complete from here on; NEVER = unknown, or without an event
    int64_t ts_stated[STREAMS]        # ns: time of its feed's last UP or GAP; NEVER = none
    int64_t due                  # ns: next sample of its own histories
    int32_t down                 # bits of event.Stream: their feed is down
    int32_t silent               # bits of event.Stream: `since` is NEVER
    int32_t follows              # the next quote follows bid and ask directly: none between them is missing

cdef double value_sums(int32_t formula, const sums_t* w, int64_t window_ns) noexcept nogil
cdef double value_track(int32_t formula, const track_t* t) noexcept nogil
cdef double value_candles(int32_t formula, const candles_t* c, int64_t since) noexcept nogil
cdef double value_state(int32_t formula, const known_t* k, int64_t now) noexcept nogil
cdef double value_pending(const pending_t* p, double half_life_s, double price, double share, int side, int64_t now) noexcept nogil
cdef double value_density(const density_t* d, double half_life_s, double price, double share, int32_t formula, int64_t now) noexcept nogil
cdef double history_transform(const history_t* h, int32_t transform, int64_t least, bint apart, int64_t index, double x) noexcept nogil


cdef inline bint whole(const sums_t* w, int64_t since) noexcept nogil:
    """Whether the data of the window is complete."""
    return w.slot >= w.slots and (w.slot - w.slots) * w.step_ns >= since


cdef inline bint stands(const track_t* t, int64_t since) noexcept nogil:
    """Whether the data of the window is complete, and the value at its beginning known."""
    return t.slot >= t.slots and (t.slot - t.slots) * t.step_ns > since


cdef inline int64_t whole_since(const known_t* k, int32_t streams) noexcept nogil:
    """The time since which several streams are complete."""
    cdef int64_t since = 0
    cdef int s
    for s in range(STREAMS):
        if streams >> s & 1:
            since = max(since, k.since[s])
    return since


cdef inline void forget(known_t* k, int32_t streams) noexcept nogil:
    """The values of these streams are no longer valid (market.market_broken)."""
    if streams & STREAM_TRADE:
        k.last = NAN
    if streams & STREAM_MARK:
        k.mark = NAN
    if streams & STREAM_INDEX:
        k.index = NAN
    if streams & STREAM_FUNDING:
        k.funding = NAN
    if streams & STREAM_OPEN_INTEREST:
        k.oi = NAN
    if streams & STREAM_VENUE:
        k.buy_max = k.sell_min = k.pool = k.drawdown = k.distance = NAN
    if streams & STREAM_QUOTE:
        k.bid = k.bid_qty = k.ask = k.ask_qty = NAN
        k.quote_until = 0
        k.follows = 0


cdef inline double bid_flow(const known_t* k, const event_t* e) noexcept nogil:
    """Order flow of a new best bid (Cont, Kukanov, Stoikov 2014): its quantity if it is not lower, less that of the old bid if it is not higher.
    Written as products, because the branches are unpredictable. Both sides enter one by one: their sum is exact."""
    return e.qty * (e.price >= k.bid) - k.bid_qty * (e.price <= k.bid)


cdef inline double ask_flow(const known_t* k, const event_t* e) noexcept nogil:
    return k.ask_qty * (e.aux_price >= k.ask) - e.aux_qty * (e.aux_price <= k.ask)
