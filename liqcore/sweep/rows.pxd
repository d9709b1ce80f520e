"""The market of a sweep: columns with their pyramids, and the validity of quotes by the rules of market.pxd."""

from libc.stdint cimport int8_t, int32_t, int64_t

from liqcore.event cimport SPREADS
from liqcore.market cimport QUOTE_DOUBT_NS
from liqcore.kernels.first_passage cimport first_outside, pyramid_t, rows_before
from liqcore.sweep.records cimport SCALE, WAIT_AGAIN_NS, terms_t

ctypedef struct columns_t:       # one instrument: see columns.py
    int64_t trades
    const int64_t* ts
    const int32_t* price
    const int32_t* lots
    const int8_t* side           # aggressor
    pyramid_t over_trades
    int64_t quotes
    const int64_t* quote_ts
    const int32_t* bid
    const int32_t* ask
    const int64_t* before        # trades before this quote
    const int32_t* rank          # number of quotes before trade row 64 k; the last entry is the number of all quotes
    pyramid_t over_quotes        # low = ask, high = bid
    int64_t gaps                 # interruptions of the quotes
    const int64_t* gap_ts
    const int64_t* gap_trades
    const int64_t* gap_quotes
    int64_t stops                # interruptions of the trades
    const int64_t* stop_ts
    const int64_t* stop_trades
    int64_t cuts                 # interruptions of the liquidations
    const int64_t* cut_ts
    int64_t edges                # no entries: from, to, from, to, ...
    const int64_t* closed


cdef inline int64_t quotes_before(const columns_t* m, int64_t trade) noexcept nogil:
    """Number of quotes before the existing trade row `trade`."""
    return rows_before(m.before, m.rank[trade >> 6], m.rank[(trade >> 6) + 1], trade + 1)


cdef inline bint interrupted(const columns_t* m, int64_t quote, int64_t now, int64_t place) noexcept nogil:
    """Whether the stream of quotes was interrupted after the last of `quote` quotes. place: an interruption at `now` itself counts if it is before
    this number of trades; 0 = no event received at `now` counts."""
    cdef int64_t k = rows_before(m.gap_quotes, 0, m.gaps, quote)
    if k == m.gaps or m.gap_quotes[k] != quote:
        return False
    return m.gap_ts[k] < now or (m.gap_ts[k] == now and m.gap_trades[k] < place)


cdef inline bint closed_at(const columns_t* m, int64_t now) noexcept nogil:
    """Whether the timetable forbids an entry."""
    return m.edges > 0 and rows_before(m.closed, 0, m.edges, now + 1) & 1


cdef inline bint cut_since(const columns_t* m, int64_t ts, int64_t now) noexcept nogil:
    """Whether the stream of liquidations was interrupted at `ts` or later, and before `now`."""
    return m.cuts > 0 and rows_before(m.cut_ts, 0, m.cuts, ts) < rows_before(m.cut_ts, 0, m.cuts, now)


cdef inline bint trades_stopped(const columns_t* m, int64_t trade, int64_t now) noexcept nogil:
    """Whether the stream of trades was interrupted before `now` and after the last of `trade` trades."""
    cdef int64_t k = rows_before(m.stop_trades, 0, m.stops, trade)
    return k < m.stops and m.stop_trades[k] == trade and m.stop_ts[k] < now


cdef inline int64_t usual_spread(const columns_t* m, int64_t quote, int64_t* count) noexcept nogil:
    """Sum of the spreads of the latest of `quote` quotes, and their number."""
    cdef int64_t total = 0, row
    count[0] = min(quote, <int64_t> SPREADS)
    for row in range(quote - count[0], quote):
        total += m.ask[row] - m.bid[row]
    return total


cdef inline int64_t contradiction(const columns_t* m, int64_t trade, int64_t quote) noexcept nogil:
    """The first of `trade` trades that contradicts the last of `quote` quotes; `trade` = none."""
    cdef int64_t row = quote - 1, first = m.before[row], bid = m.bid[row], ask = m.ask[row], beyond, count
    if first >= trade or first_outside(&m.over_trades, first, trade, bid - 1, ask + 1) == trade:
        return trade
    beyond = usual_spread(m, quote, &count)
    beyond = beyond // count + 1
    return first_outside(&m.over_trades, first, trade, bid - beyond, ask + beyond)


cdef inline bint quote_alive(const columns_t* m, const terms_t* g, int64_t trade, int64_t quote, int64_t now, int64_t place) noexcept nogil:
    """Whether the last of `quote` quotes is valid after `trade` trades."""
    if quote == 0 or now - m.quote_ts[quote - 1] > g.quote_age or (m.gaps and interrupted(m, quote, now, place)):
        return False
    return contradiction(m, trade, quote) == trade


cdef inline bint quote_ended(const columns_t* m, const terms_t* g, int64_t trade, int64_t quote, int64_t now, int64_t place) noexcept nogil:
    """Whether there were quotes and the last one is no longer valid: the rule for entries, which for a second accepts a quote that only a trade
    contradicts."""
    cdef int64_t row
    if quote == 0 or quote_alive(m, g, trade, quote, now, place):
        return False
    if m.gaps and interrupted(m, quote, now, place):
        return True
    row = contradiction(m, trade, quote)
    return row == trade or m.ts[row] - m.quote_ts[quote - 1] > g.quote_age or now - m.ts[row] > QUOTE_DOUBT_NS


cdef inline int64_t touch_at(const columns_t* m, const terms_t* g, int64_t side, int64_t trade, int64_t quote, int64_t now) noexcept nogil:
    """Price at which a buyer (side 1) or seller takes at `now`, before events received then; 0 = no valid quote."""
    if not quote_alive(m, g, trade, quote, now, 0):
        return 0
    return m.ask[quote - 1] if side > 0 else m.bid[quote - 1]


cdef inline int64_t moved_last(const columns_t* m, const terms_t* g, int64_t side, int64_t trade, int64_t quote) noexcept nogil:
    """Price for a buyer or seller without a valid quote: the last trade, moved against the order; 0 = there was none: see market.pxd."""
    cdef int64_t last = m.price[trade - 1] if trade > 0 else 0, half = 1, count
    if last <= 0:
        return 0
    if m.side[trade - 1] == side:
        return max(last + side, <int64_t> 1)
    if g.half_spread >= 0:
        half = (last * g.half_spread + <int64_t> SCALE - 1) // <int64_t> SCALE
    elif quote > 0:
        half = usual_spread(m, quote, &count)
        half = (half + 2 * count - 1) // (2 * count)
    return max(last + side * max(2 * half, <int64_t> 1), <int64_t> 1)


cdef inline int64_t taken_at(const columns_t* m, const terms_t* g, int64_t side, int64_t trade, int64_t quote, bint by_trade,
                             int64_t now) noexcept nogil:
    """Price of an order that takes, at the last of `trade` trades (by_trade) or of `quote` quotes; 0 = it waits on."""
    cdef int64_t near = 0, last
    if quote > 0:
        near = m.ask[quote - 1] if side > 0 else m.bid[quote - 1]
    if not by_trade:
        return near
    last = m.price[trade - 1]
    if quote_alive(m, g, trade, quote, now, trade):
        return last if (last - near) * side > 0 else near
    return last if m.side[trade - 1] == side else 0


cdef inline int64_t wait_longer(const columns_t* m, const terms_t* g, int64_t price, int64_t trade, int64_t quote, int64_t now) noexcept nogil:
    """An order has waited for a price until `now`. Returns the end of its further wait, or 0: it takes at `price`, the moved last trade."""
    if quote_alive(m, g, trade, quote, now, 0):
        return m.quote_ts[quote - 1] + g.quote_age + 1
    if price == 0 or trades_stopped(m, trade, now):
        return now + max(g.print_wait, <int64_t> WAIT_AGAIN_NS)
    return 0
