"""The last good market data of one instrument: what the door let in, each kind of event its own fields."""

from liqcore.event cimport event_t, market_t


cdef inline void market_trade(market_t* m, const event_t* e) noexcept nogil:
    m.last = m.good = e.price
    m.ts_trade = e.ts_recv


cdef inline void market_bbo(market_t* m, const event_t* e) noexcept nogil:
    m.bid = m.good = e.price
    m.bid_qty = e.qty
    m.ask = e.aux_price
    m.ask_qty = e.aux_qty
    m.ts_bbo = e.ts_recv


cdef inline void market_ticker(market_t* m, const event_t* e) noexcept nogil:
    """A ticker without a mark price (0) leaves the last one."""
    if e.price > 0.0:
        m.mark = e.price
    m.index = e.aux_price
    m.open_interest = e.qty
    m.funding = e.aux_qty
    m.ts_ticker = e.ts_recv
