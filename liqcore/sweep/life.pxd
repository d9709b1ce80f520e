"""One bracket of a sweep from its signal to flat, event by event, jumping from one market row that matters to the next.

Order of service, as in paper.pyx and engine.pyx: before a market event all actions up to its time are served, each at its own moment: arrivals at the
venue, then reports, then the engine's deadlines. A deadline at the moment of a report is served just before it.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from liqcore.kernels.first_passage cimport first_outside, rows_before
from liqcore.sweep.bracket cimport (bracket_report, deadline, follow, place_entry, reconcile_orders, timer, trail_due, trail_level, trails)
from liqcore.sweep.records cimport (AMEND, ARRIVALS, CLOSE, CREATE, END_PHASE, END_POST_ONLY, ENTRY, LIVE, NEVER, REJECTED, REPORTS, STOP, TARGET,
                                    bracket_t, call_t, order_t, phase_t, report_t, request_t, setting_t, terms_t)
from liqcore.sweep.rows cimport closed_at, columns_t, cut_since, quote_ended, quotes_before
from liqcore.sweep.terms cimport entry_price, forbidden
from liqcore.sweep.venue cimport arrive, end_waits, meet

cdef enum:
    NOWHERE = -1                 # a level that no price reaches from above
    BEYOND = 0x7FFFFFFF          # a level that no price reaches from below

# ---- position in the market ----

cdef inline void look_around(const columns_t* m, bracket_t* s) noexcept nogil:
    """Read the last trade and quote before the position."""
    s.last = m.price[s.trade - 1] if s.trade > 0 else 0
    s.bid = m.bid[s.quote - 1] if s.quote > 0 else 0
    s.ask = m.ask[s.quote - 1] if s.quote > 0 else 0


cdef inline void pass_to(const columns_t* m, bracket_t* s, int64_t t) noexcept nogil:
    """Move the position to time t, behind everything before it."""
    s.trade = rows_before(m.ts, s.trade, m.trades, t)
    s.quote = rows_before(m.quote_ts, s.quote, m.quotes, t)
    look_around(m, s)


cdef inline int64_t extreme(const columns_t* m, int64_t row, int64_t stop, int64_t side) noexcept nogil:
    """Highest (side > 0) or lowest price of the trades [row, stop), which must not be empty."""
    cdef int64_t best = m.price[row]
    cdef int level
    while row < stop:
        level = 0
        while level + 1 < m.over_trades.levels and row & ((<int64_t> 1 << 6 * (level + 1)) - 1) == 0 \
                and row + (<int64_t> 1 << 6 * (level + 1)) <= stop:
            level += 1
        if side > 0:
            best = max(best, <int64_t> m.over_trades.high[level][row >> 6 * level])
        else:
            best = min(best, <int64_t> m.over_trades.low[level][row >> 6 * level])
        row += <int64_t> 1 << 6 * level
    return best


cdef inline void fold_best(const columns_t* m, bracket_t* s, int64_t row) noexcept nogil:
    """Update the best price by trades up to `row` that were skipped."""
    cdef int64_t best
    if s.best_row < row:
        best = extreme(m, s.best_row, row, s.side)
        if (best - s.best) * s.side > 0:
            s.best = best
        s.best_row = row


cdef inline void bounds(const terms_t* g, const bracket_t* s, int64_t* below, int64_t* above, int64_t* ask_below, int64_t* bid_above) noexcept nogil:
    """Levels that a trade or a quote must reach to matter."""
    cdef int64_t beyond = 0 if g.touch else 1, at
    cdef int role
    below[0] = ask_below[0] = NOWHERE
    above[0] = bid_above[0] = BEYOND
    for role in range(ENTRY, TARGET + 1):
        if role != STOP and s.o[role].live:
            at = s.o[role].at
            if (s.side > 0) == (role == ENTRY):
                below[0] = max(below[0], at - beyond)
                ask_below[0] = max(ask_below[0], at - 1)
            else:
                above[0] = min(above[0], at + beyond)
                bid_above[0] = min(bid_above[0], at + 1)
    if s.o[STOP].live and not s.fired:
        if s.side > 0:
            below[0] = max(below[0], s.o[STOP].at)
        else:
            above[0] = min(above[0], s.o[STOP].at)


cdef inline void look(const columns_t* m, const terms_t* g, const setting_t* p, bracket_t* s, int64_t due) noexcept nogil:
    """Find the next market row that matters. s.known = 0 if it only found that there is none before `due`."""
    cdef int64_t below, above, ask_below, bid_above, stop
    pass_to(m, s, s.seen)
    s.known = 1
    s.next_trade, s.next_quote = m.trades, m.quotes
    bounds(g, s, &below, &above, &ask_below, &bid_above)
    if trails(p, s) and s.o[STOP].status == LIVE and s.o[STOP].asked == 0 and s.o[STOP].triggered == 0:
        fold_best(m, s, s.trade)
        if trail_due(p, s):
            below = BEYOND
        elif s.side > 0:
            above = min(above, trail_level(p, s))
        else:
            below = max(below, trail_level(p, s))
    if s.wait_at != NEVER and ((s.o[STOP].live and s.fired) or (s.o[ENTRY].live and s.o[ENTRY].taking) or (s.o[CLOSE].live and s.o[CLOSE].taking)):
        s.next_trade, s.next_quote = s.trade, s.quote
    else:
        if not (below == NOWHERE and above == BEYOND):
            s.next_trade = row_of(m, s, due, below, above)
        if not (ask_below == NOWHERE and bid_above == BEYOND):
            s.next_quote = quote_of(m, s, due, ask_below, bid_above)
    s.next_ts = NEVER
    if s.next_trade < m.trades and (s.next_quote == m.quotes or s.next_trade < m.before[s.next_quote]):
        s.next_ts = m.ts[s.next_trade]
        s.next_quote = m.quotes
    elif s.next_quote < m.quotes:
        s.next_ts = m.quote_ts[s.next_quote]
        s.next_trade = m.trades


cdef inline int64_t row_of(const columns_t* m, bracket_t* s, int64_t due, int64_t below, int64_t above) noexcept nogil:
    """The next trade that matters: first the rest of a block, then beyond it only if `due` is later."""
    cdef int64_t stop = min(m.trades, (s.trade | 63) + 1), row
    if s.trade >= m.trades:
        return m.trades
    if m.ts[s.trade] >= due:
        s.known = 0
        return m.trades
    row = first_outside(&m.over_trades, s.trade, stop, below, above)
    if row < stop or row == m.trades:
        return row
    if m.ts[row] >= due:
        s.known = 0
        return m.trades
    return first_outside(&m.over_trades, row, m.trades, below, above)


cdef inline int64_t quote_of(const columns_t* m, bracket_t* s, int64_t due, int64_t below, int64_t above) noexcept nogil:
    """The same for quotes."""
    cdef int64_t stop = min(m.quotes, (s.quote | 63) + 1), row
    if s.quote >= m.quotes:
        return m.quotes
    if m.quote_ts[s.quote] >= due:
        s.known = 0
        return m.quotes
    row = first_outside(&m.over_quotes, s.quote, stop, below, above)
    if row < stop or row == m.quotes:
        return row
    if m.quote_ts[row] >= due:
        s.known = 0
        return m.quotes
    return first_outside(&m.over_quotes, row, m.quotes, below, above)


cdef inline void take(const columns_t* m, const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    """Process the market row that look() found: first the engine, then the venue."""
    cdef int64_t row = s.next_trade
    s.now = s.seen = s.next_ts
    s.known = 0
    if row < m.trades:
        s.trade = row + 1
        s.quote = quotes_before(m, row)
        if trails(p, s):
            fold_best(m, s, row)
            s.best_row = row + 1
            follow(g, p, s, m.price[row])
        look_around(m, s)
        meet(m, g, s, s.last, max(<int64_t> m.lots[row], <int64_t> 1), s.now)
    else:
        s.quote = s.next_quote + 1
        s.trade = max(s.trade, m.before[s.next_quote])
        look_around(m, s)
        meet(m, g, s, 0, 0, s.now)


# ---- deadlines ----

cdef inline void leave_phase(const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    """The cascade has reached the exit phase."""
    if s.active and s.end == 0:
        s.end = END_PHASE
        reconcile_orders(g, p, s)


cdef inline int64_t wakes(const terms_t* g, const setting_t* p, bracket_t* s, const phase_t* phases, int64_t leave, int64_t limit) noexcept nogil:
    """Serve the engine's deadlines up to `limit`, timed signals first. Returns the exit signal that is still to come."""
    cdef int64_t due, signal
    while s.active:
        due, signal = deadline(g, p, s), <int64_t> NEVER
        if leave >= 0 and phases[leave].timed:
            signal = phases[leave].ts
        if min(due, signal) > limit:
            break
        s.now = max(s.now, min(due, signal))
        s.seen = max(s.seen, s.now)
        if signal <= s.now:
            leave = -1
            leave_phase(g, p, s)
        if deadline(g, p, s) <= s.now:
            timer(g, p, s)
    return leave


cdef inline bint may_requote(const columns_t* m, const terms_t* g, const setting_t* p, int64_t lots, int64_t side, int64_t reference, int64_t trade,
                             int64_t quote, int64_t now) noexcept nogil:
    """Whether an entry that counts from `reference` may be sent at `now`, at the report of the last try's rejection. The feed must have been whole
    since that try."""
    if closed_at(m, now) or cut_since(m, now - g.order_latency - g.ack_latency, now):
        return False
    return forbidden(g, lots, entry_price(p, side, reference), m.price[trade - 1], quote_ended(m, g, trade, quote, now, 0),
                     now - m.ts[trade - 1] > g.data_age_max) == 0


cdef inline void on_report(const columns_t* m, const terms_t* g, const setting_t* p, bracket_t* s, const report_t* e) noexcept nogil:
    """A report reaches the engine."""
    cdef int64_t last_seen = s.reference
    s.now = s.seen = e.ts
    if p.trail:
        pass_to(m, s, s.now)
        if trails(p, s):
            fold_best(m, s, s.trade)
        s.known = 0
    if e.kind == REJECTED and e.role == ENTRY and e.reason == END_POST_ONLY and s.requotes < min(p.requotes, g.requotes_max):
        pass_to(m, s, s.now)
        if s.trade > s.opened_at:
            last_seen = s.last
        if not may_requote(m, g, p, s.o[ENTRY].qty, s.side, last_seen, s.trade, s.quote, s.now):
            s.requotes = 9
    bracket_report(g, p, s, e, last_seen)
    s.best_row = s.trade


cdef inline void begin(const terms_t* g, const setting_t* p, bracket_t* s, const call_t* call, int64_t lots) noexcept nogil:
    """Send the entry, its stop attached."""
    cdef request_t* asked = s.asked
    cdef report_t* reports = s.reports
    memset(s, 0, sizeof(bracket_t))
    s.asked, s.reports = asked, reports
    s.side, s.reference = call.side, call.reference
    s.active = 1
    s.now = s.seen = call.ts
    s.trade, s.quote, s.opened_at = call.trade, call.quote, call.trade
    s.entry_deadline = call.ts + p.entry_ttl_ns
    s.hold_deadline = s.finished = s.wait_at = NEVER
    s.o[ENTRY].qty = lots
    place_entry(g, p, s)


cdef inline int64_t exit_row(const phase_t* phases, int64_t n, const call_t* call, int64_t exit_phase) noexcept nogil:
    """Row of the signal at which a bracket that answers `call` exits, or -1."""
    cdef int64_t row = call.row + 1
    while exit_phase and row < n and phases[row].sequence == call.sequence:
        if phases[row].phase >= exit_phase:
            return row
        row += 1
    return -1


cdef inline void live(const columns_t* m, const terms_t* g, const setting_t* p, bracket_t* s, const phase_t* phases, int64_t leave) noexcept nogil:
    """Run an opened bracket until it is flat or the data end. leave: row of `phases` at which it exits, or -1."""
    cdef int64_t wake = deadline(g, p, s), arrival, report, timed, signal, alarm, due
    cdef const request_t* a
    cdef const report_t* e
    while s.active:
        a = &s.asked[s.asked_tail & (ARRIVALS - 1)]
        e = &s.reports[s.reports_tail & (REPORTS - 1)]
        arrival = a.ts if s.asked_tail < s.asked_head else <int64_t> NEVER
        report = e.ts if s.reports_tail < s.reports_head else <int64_t> NEVER
        timed = phases[leave].ts if leave >= 0 and phases[leave].timed else <int64_t> NEVER
        signal = phases[leave].ts if leave >= 0 and not phases[leave].timed else <int64_t> NEVER
        alarm = min(wake, timed)
        due = min(min(arrival, report), min(alarm, s.wait_at))
        if due > s.seen:                     # else it is due now, before the next market event
            if not s.known:
                look(m, g, p, s, due)
            if signal != NEVER and s.next_ts != NEVER and not (phases[leave].trade <= s.next_trade if s.next_trade < m.trades
                                                               else phases[leave].quote <= s.next_quote):
                signal = NEVER               # the market row comes before it
            if min(min(due, s.next_ts), signal) > g.end:
                return
            if signal < due:
                s.now = s.seen = signal
                leave = -1
                leave_phase(g, p, s)
                wake = deadline(g, p, s)
                continue
            if s.next_ts < due:
                take(m, g, p, s)
                if g.slow:
                    wake = deadline(g, p, s)
                continue
        if arrival == due:
            s.asked_tail += 1
            s.seen = due
            if a.action == CREATE or a.action == AMEND and a.role == STOP:
                pass_to(m, s, due)
            arrive(m, g, s, a)
            continue
        if s.wait_at == due:
            s.seen = due
            pass_to(m, s, due)
            s.known = 0
            end_waits(m, g, s)
            continue
        if alarm == due:                     # also at the moment of a report
            leave = wakes(g, p, s, phases, leave, due)
        if report == due and s.active:
            s.reports_tail += 1
            on_report(m, g, p, s, e)
        wake = deadline(g, p, s)
