"""The known market of one instrument, and how long its values are valid.

Each stream has the time of its last receipt and one rule of validity. A mark and an index are valid until their connection is interrupted or they are
too old, an open interest until its connection is interrupted. A funding rate is the one last stated. A quote ends

- when it is older than the `quote_age_ns` of the market's owner,
- when its connection is down or has dropped data (FEED),
- when the next one is crossed, locked or has one side only,
- when a trade contradicts it: the trade lies beyond bid or ask by more than the mean spread of the last 16 quotes. For a second this is only a doubt,
because in a flush trades often arrive before the quote that follows them: the quote is not used, but entries are not refused.

The next quote is valid again. All users of a price use these functions: engine, risk, guard, simulated and emulated venue, tape runner and sweep.
"""

from libc.math cimport rint
from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport (BBO, FEED, FEED_GAP, SPREADS, STREAM_FUNDING, STREAM_INDEX, STREAM_LIQUIDATION, STREAM_MARK, STREAM_OPEN_INTEREST,
                            STREAM_QUOTE, STREAM_TRADE, event_t, market_t)
from liqcore.instrument cimport SCALE, instrument_t, ticks_of

cdef enum:
    QUOTE_AGE_NS = 10000000000       # default: venues repeat an unchanged quote every 3 s, or a quiet contract has none to repeat
    QUOTE_DOUBT_NS = 1000000000      # time in which a quote may follow a trade that contradicts the last one
    STATE_AGE_NS = 60000000000       # of a mark or an index: venues state it every second, at the latest every ten


cdef inline bint quote_alive(const market_t* m, int64_t now) noexcept nogil:
    """Whether bid and ask are valid, for fills, sizes and checks."""
    return now <= m.quote_until


cdef inline bint quote_ended(const market_t* m, int64_t now) noexcept nogil:
    """There have been quotes, and the last one is no longer valid. False if there has never been one: then trades are the only known prices."""
    return m.quotes > 0 and now > m.quote_until and now > m.quote_doubt


cdef inline bint mark_alive(const market_t* m, int64_t now) noexcept nogil:
    return m.ts_mark > 0 and not m.broken & STREAM_MARK and now - m.ts_mark <= <int64_t> STATE_AGE_NS


cdef inline bint index_alive(const market_t* m, int64_t now) noexcept nogil:
    return m.ts_index > 0 and not m.broken & STREAM_INDEX and now - m.ts_index <= <int64_t> STATE_AGE_NS


cdef inline bint last_holds(const market_t* m) noexcept nogil:
    """Whether the stream of trades was not interrupted since the last trade. The caller limits its age, because quiet contracts trade seldom."""
    return m.last > 0.0 and not m.broken & STREAM_TRADE


cdef inline double known_price(const market_t* m, int64_t now) noexcept nogil:
    """The reference price for orders: the last trade, or the mark if the stream of trades was interrupted since; 0 = neither is valid."""
    return m.last if last_holds(m) else m.mark if mark_alive(m, now) else 0.0


cdef inline int32_t ticker_states(const event_t* e) noexcept nogil:
    """Which Streams a TICKER states."""
    return ((STREAM_MARK if e.price > 0.0 else 0) | (STREAM_INDEX if e.aux_price > 0.0 else 0)
            | (STREAM_OPEN_INTEREST if e.qty > 0.0 else 0) | STREAM_FUNDING) & ~<int32_t> e.flags


cdef inline int64_t usual_spread(const market_t* m, double tick, int64_t* count) noexcept nogil:
    """Sum of the spreads (ticks) of the latest quotes, and their number. The mean is the usual spread."""
    cdef int64_t total = 0
    cdef int k
    count[0] = m.quotes if m.quotes < SPREADS else <int64_t> SPREADS
    for k in range(<int> count[0]):
        total += <int64_t> rint(m.spreads[k] / tick)
    return total


cdef inline bint contradicts(const market_t* m, double price, double tick) noexcept nogil:
    """Whether a trade at this price, outside of bid and ask, contradicts the quote."""
    cdef int64_t count, total = usual_spread(m, tick, &count)
    return <int64_t> rint((price - m.ask if price > m.ask else m.bid - price) / tick) * count > total


cdef inline int64_t last_ticks(const market_t* m, const instrument_t* i) noexcept nogil:
    """The last trade; 0 = none."""
    return ticks_of(i, m.last) if m.last > 0.0 else 0


cdef inline int64_t touch(const market_t* m, const instrument_t* i, int side, int64_t now) noexcept nogil:
    """Ticks at which a buyer (side 1) or seller (-1) would take now; 0 = no live quote."""
    if not quote_alive(m, now):
        return 0
    return ticks_of(i, m.ask if side > 0 else m.bid)


cdef inline int64_t moved_last(const market_t* m, const instrument_t* i, int side, int64_t share) noexcept nogil:
    """Price for a buyer or seller without a valid quote: the last trade, moved against the order; 0 = there was none.

    The last trade is half a spread from the middle, on the side of its aggressor. A taker of the other side pays half a spread beyond the middle, so
    for him the trade is moved by the whole spread. If the aggressor was of the order's own side, it is moved by one tick, because its price has
    passed. share: the half-spread in parts of SCALE of the price; -1 = half of the usual spread of the latest quotes, or a tick if there never was
    one."""
    cdef int64_t last = last_ticks(m, i), count, half = 1
    if last <= 0:
        return 0
    if m.last_side == side:
        return max(last + side, <int64_t> 1)
    if share >= 0:
        half = (last * share + SCALE - 1) // SCALE
    elif m.quotes > 0:
        half = usual_spread(m, i.tick, &count)
        half = (half + 2 * count - 1) // (2 * count)
    return max(last + side * max(2 * half, <int64_t> 1), <int64_t> 1)


cdef inline double funding_price(const market_t* m, int side, int64_t now) noexcept nogil:
    """Settlement price of funding for a position of this side: the mark if it is valid or not older than the last trade, else that trade. If there
    was neither, the quote that would close the position."""
    cdef double price = m.mark if mark_alive(m, now) or m.ts_mark >= m.ts_trade else m.last
    return price if price > 0.0 else m.bid if side > 0 else m.ask


cdef inline void market_trade(market_t* m, const event_t* e, double tick) noexcept nogil:
    m.last = m.good = e.price
    m.last_side = e.side
    m.ts_trade = e.ts_recv
    m.broken &= ~STREAM_TRADE
    if e.ts_recv <= m.quote_until and (e.price > m.ask or e.price < m.bid) and contradicts(m, e.price, tick):
        m.quote_until = 0
        m.quote_doubt = e.ts_recv + QUOTE_DOUBT_NS


cdef inline void market_quote(market_t* m, const event_t* e, int64_t age_ns) noexcept nogil:
    m.bid = m.good = e.price
    m.bid_qty = e.qty
    m.ask = e.aux_price
    m.ask_qty = e.aux_qty
    m.ts_quote = e.ts_recv
    m.quote_until = e.ts_recv + age_ns
    m.quote_doubt = 0
    m.spreads[m.quotes & (SPREADS - 1)] = e.aux_price - e.price
    m.quotes += 1
    m.broken &= ~STREAM_QUOTE


cdef inline void market_ticker(market_t* m, const event_t* e) noexcept nogil:
    """Values that a ticker does not state keep their value and age."""
    cdef int32_t states = ticker_states(e)
    if states & STREAM_MARK:
        m.mark = e.price
        m.ts_mark = e.ts_recv
    if states & STREAM_INDEX:
        m.index = e.aux_price
        m.ts_index = e.ts_recv
    if states & STREAM_OPEN_INTEREST:
        m.open_interest = e.qty
        m.ts_open_interest = e.ts_recv
    if states & STREAM_FUNDING:
        m.funding = e.aux_qty
        m.ts_funding = e.ts_recv
    m.broken &= ~states


cdef inline void market_liquidation(market_t* m, const event_t* e) noexcept nogil:
    m.good = e.price
    m.ts_liquidation = e.ts_recv
    m.broken &= ~STREAM_LIQUIDATION


cdef inline bint no_market(const event_t* e) noexcept nogil:
    """Whether a quote is crossed, locked or without a side. Validation refuses it, and the quote before it ends."""
    return e.kind == BBO and not 0.0 < e.price < e.aux_price


cdef inline void quotes_interrupted(event_t* e) noexcept nogil:
    """Such a quote in the form of a tape: a FEED event that ends the quote before it."""
    e.kind, e.code, e.flags, e.side, e.id = FEED, FEED_GAP, STREAM_QUOTE, 0, 0
    e.price = e.qty = e.aux_price = e.aux_qty = 0.0


cdef inline void market_broken(market_t* m, uint8_t streams) noexcept nogil:
    """A connection was lost, or dropped data: the values of these Streams (0 = all) are not valid until their next event."""
    m.broken |= streams if streams else 0xFF
    if streams == 0 or streams & STREAM_QUOTE:
        m.quote_until = m.quote_doubt = 0
