"""Outcomes of the brackets that answer one call, computed once for all settings that share them.

A policy sees market data only, so the outcome of a bracket does not depend on what its setting did before. Of the brackets of one call

- the first fill depends on the entry alone (offset, notional, requotes),
- the target's fill on entry and take profit, the stop's on entry and stop loss, the close's on entry and hold.

Each is a row of a table, computed at its first use; `outcome` combines the four. The tables are for post-only entries without trail or exit by phase,
at a venue with its usual latency. Other cases (a partial fill, a bracket that is open at the end of the data) are left to life.pxd, which runs any
bracket event by event. A test compares both.

Places in the market count rows of both kinds together: `order` is twice the number of rows before an event, plus one if the event is the next row
itself. So the end of an order's wait comes before that row.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

from liqcore.kernels.first_passage cimport first_above, first_below, rows_before
from liqcore.sweep.life cimport may_requote
from liqcore.sweep.records cimport (END_MAX_HOLD, END_POST_ONLY, END_STOP, END_TARGET, END_TTL, NEVER, call_t, setting_t, terms_t)
from liqcore.sweep.rows cimport columns_t, moved_last, quotes_before, taken_at, touch_at, wait_longer
from liqcore.sweep.terms cimport entry_price, fee_of, forbidden, gross_of, lots_for, stop_price, target_price, traded_of

cdef enum:
    REQUOTES = 4                 # post-only rejections of one entry, at most

ctypedef struct place_t:         # number of rows of the market before the place
    int64_t trade
    int64_t quote

ctypedef struct opening_t:       # of one call, for all entries: when the first order arrives
    int64_t call                 # which call it was made for, counted from 1
    place_t at
    int64_t near                 # a passive order must not reach this price
    place_t horizon              # rows before the last close can arrive

ctypedef struct entry_t:
    int64_t why                  # reason of its refusal, or 0
    int64_t lots
    int64_t reference
    int64_t price
    int64_t rejected             # number of post-only rejections, including the last attempt
    int64_t heard[4]             # times of their reports
    bint last                    # the last attempt was rejected too
    bint odd                     # left to life.pxd
    bint by_quote                # a quote filled it
    int64_t ts                   # first fill; NEVER = none before the longest time to live
    place_t filled               # right after it
    place_t target               # when a target arrives
    int64_t near                 # a passive target must not reach this price
    double value
    double fee

ctypedef struct exit_t:          # a target, a stop or a close, with its outcome: 64 bytes, a cache line
    int32_t call
    int8_t plain                 # if reported before the end of the hold, it ends the bracket at that moment
    int8_t odd                   # left to life.pxd
    int8_t again                 # a target that was rejected as post-only, and goes out again as one that may take
    int8_t waits                 # a close that found no price
    int64_t ts                   # execution; NEVER = none before the horizon
    int64_t order
    int64_t price
    double gross
    double fees
    double net
    double notional              # of both sides

ctypedef struct level_t:         # the first time that the market reaches a price: 64 bytes
    int32_t call
    int8_t by_quote
    int64_t price
    int64_t start                # searched from this number of rows of both kinds on
    place_t after                # right after it; behind the horizon = it does not
    int64_t ts                   # of a target: when; of a stop: when, in which order and where it executes
    int64_t order
    int64_t at

ctypedef struct outcome_t:
    int64_t end                  # END_*; 0 = life.pxd decides
    int64_t finished
    const exit_t* x              # of a bracket that is entered


cdef inline void worth(const terms_t* g, int64_t side, const entry_t* e, double rate, exit_t* x) noexcept nogil:
    """side: of the bracket; rate: fee of the exit."""
    cdef double value = <double> x.price * <double> e.lots
    x.gross = gross_of(g, side, e.value, value)
    x.fees = e.fee + fee_of(g, x.price, e.lots, rate)
    x.net = x.gross - x.fees
    x.notional = traded_of(g, e.value, value)


cdef inline int64_t near_of(const columns_t* m, const terms_t* g, int64_t side, place_t at, int64_t now) noexcept nogil:
    cdef int64_t touch = touch_at(m, g, side, at.trade, at.quote, now)
    return touch if touch else moved_last(m, g, side, at.trade, at.quote)


cdef inline place_t place_at(const columns_t* m, place_t start, int64_t ts) noexcept nogil:
    cdef place_t at
    at.trade = rows_before(m.ts, start.trade, m.trades, ts)
    at.quote = rows_before(m.quote_ts, start.quote, m.quotes, ts)
    return at


# ---- entries ----

cdef inline void open_call(const columns_t* m, const terms_t* g, const call_t* call, int64_t number, int64_t life_max, opening_t* out) noexcept nogil:
    """life_max: the longest time to live and hold of all settings."""
    out.call = number
    out.at.trade, out.at.quote = call.trade, call.quote
    out.at = place_at(m, out.at, call.ts + g.order_latency)
    out.near = near_of(m, g, call.side, out.at, call.ts + g.order_latency)
    out.horizon = place_at(m, out.at, call.ts + life_max + 2 * g.order_latency + g.ack_latency)


cdef inline void requote(const columns_t* m, const terms_t* g, const setting_t* p, const call_t* call, entry_t* e, place_t* at,
                         int64_t near) noexcept nogil:
    """Send the entry again at a new price while the venue rejects it because it would take. Sets `at` to the place where it rests."""
    cdef int64_t arrives = call.ts + g.order_latency, heard, most = min(p.requotes, g.requotes_max), reference
    while near > 0 and (near - e.price) * call.side <= 0:
        heard = arrives + g.ack_latency
        e.heard[e.rejected] = heard
        e.rejected += 1
        e.last = e.rejected > most
        if e.last:
            return
        at[0] = place_at(m, at[0], heard)
        reference = m.price[at.trade - 1] if at.trade > call.trade else e.reference
        if not may_requote(m, g, p, e.lots, call.side, reference, at.trade, at.quote, heard):
            e.last = True
            return
        e.reference = reference
        e.price = entry_price(p, call.side, reference)
        if e.price <= 0:
            e.odd = True
            e.ts = 0
            return
        arrives = heard + g.order_latency
        at[0] = place_at(m, at[0], arrives)
        near = near_of(m, g, call.side, at[0], arrives)


cdef inline int64_t first_fill(const columns_t* m, const terms_t* g, int64_t side, int64_t price, place_t at, place_t stop, place_t* after,
                               bint* by_quote) noexcept nogil:
    """Time of the trade or quote that fills a resting limit (side 1 buys), and the place right after it; NEVER = not before `stop`."""
    cdef int64_t beyond = 0 if g.touch else 1, trade, quote, until = stop.quote
    if side > 0:
        trade = first_below(&m.over_trades, at.trade, stop.trade, price - beyond)
    else:
        trade = first_above(&m.over_trades, at.trade, stop.trade, price + beyond)
    if trade < stop.trade:
        until = quotes_before(m, trade)
    quote = first_below(&m.over_quotes, at.quote, until, price - 1) if side > 0 else first_above(&m.over_quotes, at.quote, until, price + 1)
    by_quote[0] = quote < until
    if by_quote[0]:
        after.quote = quote + 1
        after.trade = max(at.trade, m.before[quote])
        return m.quote_ts[quote]
    if trade < stop.trade:
        after.trade, after.quote = trade + 1, until
        return m.ts[trade]
    return NEVER


cdef inline bint is_partial(const columns_t* m, const terms_t* g, int64_t price, int64_t lots, bint by_quote, place_t after) noexcept nogil:
    """Whether the fill is partial: a trade at the limit itself fills only the traded quantity."""
    return g.touch and not by_quote and m.price[after.trade - 1] == price and max(<int64_t> m.lots[after.trade - 1], <int64_t> 1) < lots


cdef inline void make_entry(const columns_t* m, const terms_t* g, const setting_t* p, const call_t* call, const opening_t* opening,
                            entry_t* e) noexcept nogil:
    """p: any setting with this entry."""
    cdef place_t at = opening.at
    cdef bint by_quote
    cdef int64_t heard
    e.reference = call.reference
    e.price = entry_price(p, call.side, call.reference)
    e.lots = lots_for(g, p.notional, e.price)
    e.why = forbidden(g, e.lots, e.price, call.last, call.ended, call.stale)
    e.rejected = 0
    e.last = e.odd = False
    e.ts = NEVER
    if e.why:
        return
    requote(m, g, p, call, e, &at, opening.near)
    if e.last or e.odd:
        return
    e.ts = first_fill(m, g, call.side, e.price, at, opening.horizon, &e.filled, &by_quote)
    e.by_quote = by_quote
    if e.ts == NEVER:
        return
    e.odd = is_partial(m, g, e.price, e.lots, by_quote, e.filled)
    heard = e.ts + g.ack_latency
    e.target = place_at(m, e.filled, heard + g.order_latency)
    e.near = near_of(m, g, -call.side, e.target, heard + g.order_latency)
    e.value = <double> e.price * <double> e.lots
    e.fee = fee_of(g, e.price, e.lots, g.maker_fee)


# ---- exits ----

cdef inline void take_from(const columns_t* m, const terms_t* g, int64_t side, place_t at, int64_t wait, exit_t* x) noexcept nogil:
    """Time and price of an order that takes (side 1 buys) from a place on, or by the last price after a wait until `wait`."""
    cdef int64_t ts, longer
    cdef bint quote
    x.ts = x.order = NEVER
    while True:
        quote = at.quote < m.quotes and m.before[at.quote] <= at.trade
        ts = m.quote_ts[at.quote] if quote else m.ts[at.trade] if at.trade < m.trades else <int64_t> NEVER
        if min(ts, wait) > g.end:
            x.order = NEVER
            return
        x.order = 2 * (at.trade + at.quote) + (ts < wait)
        if wait <= ts:
            x.price = moved_last(m, g, side, at.trade, at.quote)
            longer = wait_longer(m, g, x.price, at.trade, at.quote, wait)
            if longer == 0:
                x.ts = wait
                return
            wait = longer
            continue
        if quote:
            at.quote += 1
        else:
            at.trade += 1
        x.price = taken_at(m, g, side, at.trade, at.quote, not quote, ts)
        if x.price > 0:
            x.ts = ts
            return


cdef inline level_t* level_of(level_t* levels, int64_t mask, int64_t number, int64_t price, int64_t start) noexcept nogil:
    """The level of a price. It is reset unless it is of this call, was searched from `start` or before, and ends after `start`."""
    cdef level_t* l = &levels[price & mask]
    if l.call != number or l.price != price or start < l.start or start >= l.after.trade + l.after.quote:
        l.call, l.price, l.start = <int32_t> number, price, start
        l.after.trade = l.after.quote = -1
    return l


cdef inline void fire(const columns_t* m, const terms_t* g, int64_t side, int64_t until, level_t* l) noexcept nogil:
    """Find the row at which a stop that is alive from a trade on fires, before row `until`, and its execution."""
    cdef place_t at
    cdef exit_t x
    at.trade = first_below(&m.over_trades, l.start, until, l.price) if side > 0 else first_above(&m.over_trades, l.start, until, l.price)
    l.after.trade, l.after.quote = at.trade + 1, 0
    x.ts = x.order = NEVER
    x.price = 0
    if at.trade < until:
        at.quote = quotes_before(m, at.trade)
        at.trade += 1
        take_from(m, g, -side, at, m.ts[at.trade - 1] + g.print_wait, &x)
    l.ts, l.order, l.at = x.ts, x.order, x.price


cdef inline void make_stop(const columns_t* m, const terms_t* g, int64_t stop_loss, const call_t* call, const opening_t* opening, const entry_t* e,
                           level_t* levels, int64_t mask, exit_t* x) noexcept nogil:
    """The stop is alive from the fill on, and fires at once if the last trade has already reached it. All live stops of one level fire at the same
    row, whatever their entry, because only trades count."""
    cdef int64_t level = stop_price(call.side, e.price, stop_loss)
    cdef level_t* l = level_of(levels, mask, opening.call, level, max(e.filled.trade - 1, <int64_t> 0))
    if l.after.trade < 0:
        fire(m, g, call.side, opening.horizon.trade, l)
    x.call = <int32_t> opening.call
    x.ts, x.order, x.price = l.ts, l.order, l.at
    if l.after.trade > opening.horizon.trade:
        return
    if l.after.trade <= e.filled.trade and e.by_quote:   # reached before the quote that filled the entry
        take_from(m, g, -call.side, e.filled, e.ts + g.print_wait, x)
    x.plain = x.order & 1 and x.ts - e.ts >= 2 * (g.ack_latency + g.order_latency)
    worth(g, call.side, e, g.taker_fee, x)


cdef inline void make_target(const columns_t* m, const terms_t* g, int64_t take_profit, const call_t* call, const opening_t* opening,
                             const entry_t* e, level_t* levels, int64_t mask, exit_t* x) noexcept nogil:
    """All live targets of one price are filled at the same row, whatever their entry."""
    cdef int64_t side = -call.side, now = e.ts + g.ack_latency + g.order_latency, touch
    cdef place_t at = e.target
    cdef level_t* l
    cdef bint by_quote
    x.call = <int32_t> opening.call
    x.ts = x.order = NEVER
    x.odd = x.again = False
    x.plain = True
    if take_profit == 0:
        return
    x.price = target_price(call.side, e.price, take_profit, e.reference)
    if x.price <= 0:
        x.odd, x.plain = True, False
        x.ts = x.order = 0
        return
    if e.near > 0 and (e.near - x.price) * side <= 0:
        x.again = True
        now += g.ack_latency + g.order_latency
        at = place_at(m, at, now)
        touch = touch_at(m, g, side, at.trade, at.quote, now)
        if touch > 0 and (touch - x.price) * side <= 0:
            x.ts, x.order, x.price = now, 2 * (at.trade + at.quote), touch
            worth(g, call.side, e, g.taker_fee, x)
            return
    l = level_of(levels, mask, opening.call, x.price, at.trade + at.quote)
    if l.after.trade < 0:
        l.after = opening.horizon
        l.after.trade += 1
        l.ts = first_fill(m, g, side, x.price, at, opening.horizon, &l.after, &by_quote)
        l.by_quote = by_quote
    x.ts = l.ts
    if x.ts == NEVER:
        return
    x.order = 2 * (l.after.trade + l.after.quote - 1) + 1
    x.odd = is_partial(m, g, x.price, e.lots, l.by_quote, l.after)
    x.plain = not x.odd
    worth(g, call.side, e, g.maker_fee, x)


cdef inline void make_close(const columns_t* m, const terms_t* g, int64_t max_hold_ns, const call_t* call, const opening_t* opening, const entry_t* e,
                            exit_t* x) noexcept nogil:
    cdef int64_t now = e.ts + g.ack_latency + max_hold_ns + g.order_latency
    cdef place_t at
    at.trade = rows_before(m.ts, e.target.trade, opening.horizon.trade, now)
    at.quote = rows_before(m.quote_ts, e.target.quote, opening.horizon.quote, now)
    x.call = <int32_t> opening.call
    x.price = touch_at(m, g, -call.side, at.trade, at.quote, now)
    x.waits = x.price == 0
    x.ts, x.order = now, 2 * (at.trade + at.quote)
    if x.waits:
        take_from(m, g, -call.side, at, now + g.print_wait, x)
    worth(g, call.side, e, g.taker_fee, x)


# ---- one bracket ----

cdef inline bint not_entered(const terms_t* g, const setting_t* p, const call_t* call, const entry_t* e, outcome_t* out) noexcept nogil:
    """Whether the bracket ends without a fill; sets its end."""
    cdef int64_t n, deadline = call.ts + p.entry_ttl_ns
    for n in range(e.rejected):
        if e.heard[n] >= deadline or (e.last and n == e.rejected - 1):
            out.end, out.finished = END_POST_ONLY, e.heard[n]
            return True
    if e.ts >= deadline + g.order_latency:
        out.end, out.finished = END_TTL, deadline + g.order_latency + g.ack_latency
        return True
    return False


cdef inline bint is_sooner(const exit_t* target, const exit_t* stop) noexcept nogil:
    """Whether the target comes before the stop. At the same row, and so the same time, an order that takes comes first."""
    return (target.order < stop.order) | ((target.order == stop.order) & (target.ts < stop.ts))


cdef inline const exit_t* first_exit(const exit_t* target, const exit_t* stop) noexcept nogil:
    return target if is_sooner(target, stop) else stop


cdef inline int64_t closes_at(const terms_t* g, const setting_t* p, const entry_t* e) noexcept nogil:
    """Arrival time of the close at the end of the hold."""
    return e.ts + g.ack_latency + p.max_hold_ns + g.order_latency


cdef inline void outcome(const terms_t* g, const setting_t* p, const entry_t* e, const exit_t* target, const exit_t* stop, const exit_t* close,
                         const exit_t* x, outcome_t* out) noexcept nogil:
    """Outcome of an entered bracket. x: first_exit. close: used only if x does not come before closes_at. If a stop's wait ends at the very moment of
    the target's arrival, life.pxd decides."""
    cdef int64_t heard = e.ts + g.ack_latency, arrives = heard + g.order_latency, deadline = heard + p.max_hold_ns
    out.end = 0
    if x.ts < e.ts + p.max_hold_ns and x.plain:
        out.finished = x.ts + g.ack_latency
        out.end = END_TARGET if x == target else END_STOP
    elif x.ts < closes_at(g, p, e):
        if x == target and target.odd or x == stop and not x.order & 1 and (x.ts == arrives or x.ts == target.ts):
            return
        out.finished = x.ts + g.ack_latency
        out.end = END_TARGET if x == target else END_STOP
        if x == stop and p.take_profit:      # the target's answer may still be on its way
            if x.ts < arrives:
                out.finished = max(out.finished, arrives + g.ack_latency)
            elif target.again and arrives + g.ack_latency < deadline and x.ts < arrives + g.ack_latency + g.order_latency:
                out.finished = max(out.finished, arrives + 2 * g.ack_latency + g.order_latency)
        if x.ts + g.ack_latency >= deadline: # the close was sent, and is refused
            out.end = END_MAX_HOLD
            out.finished = max(out.finished, closes_at(g, p, e) + g.ack_latency)
    else:
        x = close
        if close.waits and (stop.order < close.order or (stop.order == close.order and stop.ts < close.ts)):
            x = stop
        if x.ts == NEVER:
            return
        out.end = END_MAX_HOLD
        out.finished = x.ts + g.ack_latency
    out.x = x
