"""Market history as columns, the input of a backtest and a sweep. Prices are integer ticks, quantities integer lots, times ns of receipt.

A trade has 17 bytes, a quote 32. Liquidations, tickers and feed marks are rare and are stored as events. The columns may be memory-mapped files.

Order. Events of one instrument are in order of receipt. `trades_before` of a quote, and `trades_before` and `quotes_before` of a rare event, are its
place among the dense columns. Between instruments the order is by ts_recv; at equal times ALL_INSTRUMENTS comes first, then the lower index. So a
tape has exactly one order, that of Tape.events().
"""

from libc.stdint cimport int8_t, int32_t, int64_t
from libc.string cimport memset

from liqcore.event cimport BBO, SPREADS, STREAM_QUOTE, STREAM_TRADE, TRADE, event_t, market_t
from liqcore.instrument cimport instrument_t, price_of, qty_of, ticks_of
from liqcore.market cimport QUOTE_DOUBT_NS, usual_spread
from liqcore.kernels.first_passage cimport first_outside, pyramid_t

cdef extern from "simulation/flaws.h" nogil:
    enum:                   # faults of columns
        FLAW_TIME
        FLAW_PRICE
        FLAW_LOTS
        FLAW_SIDE
        FLAW_BEFORE         # trades_before decreases or exceeds the number of trades
        FLAW_PLACE          # trades_before contradicts the times

cdef enum:
    QUOTE_FLAWS = 8         # shift of the flaws of quotes, to the left of those of trades

ctypedef struct trades_t:
    int64_t n
    const int64_t* ts            # ts_recv, ns, never decreasing
    const int32_t* price         # ticks
    const int32_t* lots          # quantities above 2**31 - 1 lots have this value
    const int8_t* side           # aggressor: +1 bought, -1 sold
    pyramid_t index

ctypedef struct quotes_t:
    int64_t n
    const int64_t* ts
    const int32_t* bid           # ticks
    const int32_t* ask
    const int32_t* bid_lots
    const int32_t* ask_lots
    const int64_t* trades_before # trades of the instrument that came before this quote
    pyramid_t index              # low = ask, high = bid

ctypedef struct strip_t:         # the dense history of one instrument
    trades_t trades
    quotes_t quotes
    double price_min             # of the prices that validation compares: trades, bids, liquidations, marks; inf and 0 if there is none
    double price_max
    double ask_max
    int64_t unsound              # liquidations and tickers that validation refuses in any state

ctypedef struct rare_t:          # place of a rare event in the dense history of its instrument (0, 0 for ALL_INSTRUMENTS)
    int64_t trades_before
    int64_t quotes_before

cdef inline void trade_event(const strip_t* s, const instrument_t* i, int32_t n, int64_t row, event_t* e) noexcept nogil:
    """A trade as the engine's event, bit for bit that of Tape.events()."""
    memset(e, 0, sizeof(event_t))
    e.ts_event = e.ts_recv = s.trades.ts[row]
    e.price = price_of(i, s.trades.price[row])
    e.qty = qty_of(i, s.trades.lots[row])
    e.instrument = n
    e.kind = TRADE
    e.side = s.trades.side[row]


cdef inline void quote_event(const strip_t* s, const instrument_t* i, int32_t n, int64_t row, event_t* e) noexcept nogil:
    memset(e, 0, sizeof(event_t))
    e.ts_event = e.ts_recv = s.quotes.ts[row]
    e.price = price_of(i, s.quotes.bid[row])
    e.qty = qty_of(i, s.quotes.bid_lots[row])
    e.aux_price = price_of(i, s.quotes.ask[row])
    e.aux_qty = qty_of(i, s.quotes.ask_lots[row])
    e.instrument = n
    e.kind = BBO


cdef inline bint quote_is_next(const strip_t* s, int64_t trade, int64_t quote) noexcept nogil:
    """Whether row `quote` of one instrument comes before row `trade`. One of them may be beyond the end."""
    return quote < s.quotes.n and s.quotes.trades_before[quote] <= trade


cdef inline void contradict(const strip_t* s, const instrument_t* i, market_t* m, int64_t first, int64_t stop) noexcept nogil:
    """End the quote of m if one of the trades [first, stop) contradicts it: see market.pxd."""
    cdef int64_t bid = ticks_of(i, m.bid), ask = ticks_of(i, m.ask), count, beyond
    if first_outside(&s.trades.index, first, stop, bid - 1, ask + 1) == stop:
        return
    beyond = usual_spread(m, i.tick, &count)
    beyond = beyond // count + 1
    first = first_outside(&s.trades.index, first, stop, bid - beyond, ask + beyond)
    if first < stop and s.trades.ts[first] <= m.quote_until:
        m.quote_until = 0
        m.quote_doubt = s.trades.ts[first] + QUOTE_DOUBT_NS


cdef inline void fold_market(const strip_t* s, const instrument_t* i, market_t* m, int64_t t0, int64_t t1, int64_t q0, int64_t q1,
                             int64_t quote_age_ns) noexcept nogil:
    """Update the market by trades [t0, t1) and quotes [q0, q1), all of which validation accepts. Only the last trade, the last quote, the latest
    spreads and a trade that contradicts the last quote have an effect."""
    cdef int64_t q
    if q1 > q0:
        m.bid = price_of(i, s.quotes.bid[q1 - 1])
        m.bid_qty = qty_of(i, s.quotes.bid_lots[q1 - 1])
        m.ask = price_of(i, s.quotes.ask[q1 - 1])
        m.ask_qty = qty_of(i, s.quotes.ask_lots[q1 - 1])
        m.ts_quote = s.quotes.ts[q1 - 1]
        m.quote_until = m.ts_quote + quote_age_ns
        m.quote_doubt = 0
        q = max(q0, q1 - <int64_t> SPREADS)
        m.quotes += q - q0
        for q in range(q, q1):
            m.spreads[m.quotes & (SPREADS - 1)] = price_of(i, s.quotes.ask[q]) - price_of(i, s.quotes.bid[q])
            m.quotes += 1
        m.broken &= ~STREAM_QUOTE
        m.good = m.bid
        m.suspects = 0
    if t1 > t0:
        m.last = price_of(i, s.trades.price[t1 - 1])
        m.last_side = s.trades.side[t1 - 1]
        m.ts_trade = s.trades.ts[t1 - 1]
        m.broken &= ~STREAM_TRADE
        m.suspects = 0
        if q1 == q0 or s.quotes.trades_before[q1 - 1] < t1:
            m.good = m.last
        q = max(t0, s.quotes.trades_before[q1 - 1]) if q1 > q0 else t0
        if m.quote_until and q < t1:
            contradict(s, i, m, q, t1)


cdef inline void rank_quotes(const strip_t* s, int32_t* out) noexcept nogil:
    """Number of quotes before each 64th trade row, then the number of all quotes. out: zeroed."""
    cdef int64_t quote, block
    for quote in range(s.quotes.n):
        out[(s.quotes.trades_before[quote] >> 6) + 1] = <int32_t> quote + 1
    for block in range(1, (s.trades.n >> 6) + 1):
        out[block] = max(out[block], out[block - 1])
    out[(s.trades.n >> 6) + 1] = <int32_t> s.quotes.n


cdef int64_t pyramid_min(const pyramid_t* p) noexcept nogil
cdef int64_t pyramid_max(const pyramid_t* p) noexcept nogil
cdef int strip_flaws(const strip_t* s, int64_t first, int64_t last) noexcept nogil
cdef int64_t rare_flaw(const event_t* e, const rare_t* at, int64_t n, const strip_t* strips, rare_t* last, int count) noexcept nogil
cdef int64_t merge(const strip_t* s, const instrument_t* i, int32_t n, const event_t* rare, const rare_t* place, const int64_t* which, int64_t rares,
                   event_t* out) noexcept nogil
cdef bint in_band(const strip_t* s, const instrument_t* i, const market_t* m, double band) noexcept nogil
cdef tuple search_odd(const strip_t* s, const instrument_t* i, const event_t* rare, const rare_t* place, object which, const market_t* before,
                      double band)


cdef inline bint rare_before(const event_t* a, const event_t* b) noexcept nogil:
    """Whether a comes before b in the order of a tape; False if time and instrument are equal."""
    return a.ts_recv < b.ts_recv if a.ts_recv != b.ts_recv else a.instrument < b.instrument
