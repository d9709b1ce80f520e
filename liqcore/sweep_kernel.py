"""The sweep's event loop (Numba): settings side by side, each bracket from its signal to flat, jumping from one market row that matters to the next.

Order of service, as in paper.pyx and engine.pyx: before a market event everything that is due by its time, each at its own moment: arrivals at the venue
first, then reports, then the engine's deadlines; a deadline that falls on the moment of a report is served just before it.
"""

import numpy as np
from numba import njit, prange

from liqcore.sweep_bracket import (
    deadline,
    entry_price,
    follow,
    forbidden,
    hear,
    lots_for,
    notional_of,
    place_entry,
    settle,
    timer,
    trade_gross,
    trail_due,
    trail_level,
    trails,
)
from liqcore.sweep_columns import BEYOND, FANOUT, NOWHERE, extreme, passage, rows_before
from liqcore.sweep_state import (
    AMEND,
    ARRIVALS,
    CREATE,
    END_MAX_HOLD,
    END_PHASE,
    END_POST_ONLY,
    END_STOP,
    END_TARGET,
    END_TTL,
    ENTRY,
    LIVE,
    NEVER,
    ORDER,
    REASON_STALE_DATA,
    REJECTED,
    REPORT,
    REPORTS,
    REQUEST,
    REQUESTS_RUNAWAY,
    STATE,
    STOP,
    TARGET,
)
from liqcore.sweep_venue import arrive, meet

DAY_NS = 86_400_000_000_000
BLOCK = 16                       # settings that a thread takes at a time


# ---- where in the market ----

@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _prices(m, s):
    """The last trade and the quotes that have been passed."""
    s.last = m.price[s.trade - 1] if s.trade > 0 else 0
    if s.quote > 0:
        s.bid = m.bid[s.quote - 1]
        s.ask = m.ask[s.quote - 1]
    else:
        s.bid = 0
        s.ask = 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _pass_to(m, s, t):
    """Everything before time t has been passed."""
    s.trade = rows_before(m.ts, s.trade, t)
    s.quote = rows_before(m.quote_ts, s.quote, t)
    _prices(m, s)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _fold_best(m, s, row):
    """The best price among trades up to `row` that were passed unseen."""
    if s.best_row < row:
        best = extreme(m.price, m.low, m.high, m.offsets, s.best_row, row, s.side)
        if (best - s.best) * s.side > 0:
            s.best = best
        s.best_row = row


@njit(cache=True, nogil=True, _nrt=False)
def _bounds(p, g, s, o):
    """Levels that a trade, and that a quote, must reach to matter: (trade below, trade above, ask below, bid above)."""
    below, above, ask_below, bid_above = NOWHERE, BEYOND, NOWHERE, BEYOND
    beyond = 0 if g.touch else 1
    for role in (ENTRY, TARGET):
        if o[role].live:
            at = o[role].at
            if (s.side > 0) == (role == ENTRY):
                below = max(below, at - beyond)
                ask_below = max(ask_below, at - 1)
            else:
                above = min(above, at + beyond)
                bid_above = min(bid_above, at + 1)
    if o[STOP].live and not s.fired:
        if s.side > 0:
            below = max(below, o[STOP].at)
        else:
            above = min(above, o[STOP].at)
    return below, above, ask_below, bid_above


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _look(m, g, p, s, o, due):
    """Find the next market row that matters; s.known = 0 where it only established that none comes before `due`."""
    trades, quotes = len(m.ts), len(m.quote_ts)
    _pass_to(m, s, s.seen)
    s.known = 1
    s.next_trade, s.next_quote = trades, quotes
    below, above, ask_below, bid_above = _bounds(p, g, s, o)
    if trails(p, s) and o[STOP].status == LIVE and o[STOP].asked == 0:
        _fold_best(m, s, s.trade)
        if trail_due(p, s, o):
            below = BEYOND
        elif s.side > 0:
            above = min(above, trail_level(p, s, o))
        else:
            below = max(below, trail_level(p, s, o))
    if o[STOP].live and s.fired:
        s.next_trade, s.next_quote = s.trade, s.quote
    else:
        if below == NOWHERE and above == BEYOND:
            pass
        elif s.trade < trades and m.ts[s.trade] >= due:
            s.known = 0
        else:
            row = s.trade
            stop = min(trades, (row | (FANOUT - 1)) + 1)
            while row < stop and m.price[row] > below and m.price[row] < above:
                row += 1
            if row == stop and row < trades:
                if m.ts[row] >= due:
                    s.known = 0
                    row = trades
                else:
                    row = passage(m.price, m.price, m.low, m.high, m.offsets, row, below, above)
            s.next_trade = row
        if s.quote >= quotes or ask_below == NOWHERE and bid_above == BEYOND:
            pass
        elif m.quote_ts[s.quote] >= due:
            s.known = 0
        else:
            row = s.quote
            stop = min(quotes, (row | (FANOUT - 1)) + 1)
            while row < stop and m.ask[row] > ask_below and m.bid[row] < bid_above:
                row += 1
            if row == stop and row < quotes:
                if m.quote_ts[row] >= due:
                    s.known = 0
                    row = quotes
                else:
                    row = passage(m.ask, m.bid, m.quote_low, m.quote_high, m.quote_offsets, row, ask_below, bid_above)
            s.next_quote = row
    s.next_ts = NEVER
    if s.next_trade < trades and (s.next_quote == quotes or s.next_trade < m.before[s.next_quote]):
        s.next_ts = m.ts[s.next_trade]
        s.next_quote = quotes
    elif s.next_quote < quotes:
        s.next_ts = m.quote_ts[s.next_quote]
        s.next_trade = trades


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _take(m, g, p, s, o, asked, said):
    """The market row that was looked for: the engine sees it first, the venue matches it next."""
    s.now = s.seen = s.next_ts
    s.known = 0
    row, lots = s.next_trade, 0
    if row < len(m.ts):
        s.trade = row + 1
        s.quote = rows_before(m.before, s.quote, row + 1)
        if trails(p, s):
            _fold_best(m, s, row)
            s.best_row = row + 1
            follow(g, p, s, o, asked, m.price[row])
        _prices(m, s)
        lots = max(m.lots[row], 1)
        meet(g, s, o, said, s.last, lots, s.now)
    else:
        s.quote = s.next_quote + 1
        s.trade = max(s.trade, m.before[s.next_quote])
        _prices(m, s)
        meet(g, s, o, said, 0, 0, s.now)


# ---- what is due ----

@njit(cache=True, nogil=True, _nrt=False)
def _leave(g, p, s, o, asked):
    """The cascade has reached the phase to leave at."""
    if s.active and s.end == 0:
        s.end = END_PHASE
        settle(g, p, s, o, asked)


@njit(cache=True, nogil=True, _nrt=False)
def _wakes(g, p, s, o, asked, phases, leave, limit):
    """Serve the engine's deadlines up to `limit`, timed signals first. Returns the exit signal that is still to come."""
    while s.active:
        due, signal = deadline(g, p, s, o), NEVER
        if leave >= 0 and phases[leave].timed:
            signal = phases[leave].ts
        if min(due, signal) > limit:
            break
        s.now = max(s.now, min(due, signal))
        s.seen = max(s.seen, s.now)
        if signal <= s.now:
            leave = -1
            _leave(g, p, s, o, asked)
        if deadline(g, p, s, o) <= s.now:
            timer(g, p, s, o, asked)
    return leave


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _hear(m, g, p, s, o, asked, e):
    """A report reaches the engine."""
    s.now = s.seen = e.ts
    last_seen = s.reference
    if p.trail:
        _pass_to(m, s, s.now)
        if trails(p, s):
            _fold_best(m, s, s.trade)
        s.known = 0
    if e.kind == REJECTED and e.role == ENTRY and e.reason == END_POST_ONLY and s.requotes < min(p.requotes, g.requotes_max):
        _pass_to(m, s, s.now)
        if s.trade > s.opened_at:
            last_seen = s.last
        fresh = m.ts[s.trade - 1]
        if s.quote > 0:
            fresh = max(fresh, m.quote_ts[s.quote - 1])
        entry, lots = entry_price(p, s.side, last_seen), o[ENTRY].qty
        if forbidden(g, lots, entry, s.last, notional_of(g, lots, entry), s.now - fresh > g.data_age_max):
            s.requotes = 9
    hear(g, p, s, o, asked, e, last_seen)
    s.best_row = s.trade


@njit(cache=True, nogil=True, _nrt=False)
def _live(m, g, p, s, o, asked, said, phases, leave):
    """Run an opened bracket until it is flat or the data ends. leave: row of `phases` at which it is to be left, or -1."""
    while s.active:
        arrival = asked[s.asked_tail & (ARRIVALS - 1)].ts if s.asked_tail < s.asked_head else NEVER
        report = said[s.said_tail & (REPORTS - 1)].ts if s.said_tail < s.said_head else NEVER
        wake, signal = deadline(g, p, s, o), NEVER
        if leave >= 0:
            if phases[leave].timed:
                wake = min(wake, phases[leave].ts)
            else:
                signal = phases[leave].ts
        due = min(arrival, report, wake)
        if not s.known:
            _look(m, g, p, s, o, due)
        if signal != NEVER and s.next_ts != NEVER:
            first = phases[leave].trade <= s.next_trade if s.next_trade < len(m.ts) else phases[leave].quote <= s.next_quote
            if not first:
                signal = NEVER               # the market row comes before it
        if due <= min(s.next_ts, signal):
            if due > g.end:
                return
            if arrival == due:
                a = asked[s.asked_tail & (ARRIVALS - 1)]
                s.asked_tail += 1
                s.seen = due
                if a.action == CREATE or a.action == AMEND and a.role == STOP:
                    _pass_to(m, s, due)
                arrive(g, s, o, said, a)
            elif report == due:
                if wake == due:
                    leave = _wakes(g, p, s, o, asked, phases, leave, due)
                if s.active:
                    e = said[s.said_tail & (REPORTS - 1)]
                    s.said_tail += 1
                    _hear(m, g, p, s, o, asked, e)
            else:
                leave = _wakes(g, p, s, o, asked, phases, leave, due)
        elif min(s.next_ts, signal) > g.end:
            return
        elif signal != NEVER:
            s.now = s.seen = signal
            leave = -1
            _leave(g, p, s, o, asked)
        else:
            _take(m, g, p, s, o, asked, said)


# ---- one setting ----

@njit(cache=True, nogil=True, _nrt=False)
def _begin(g, p, s, o, asked, call, lots):
    """Send the entry, its stop attached."""
    s.side, s.reference = call.side, call.reference
    s.entered = s.exited = s.best = s.best_row = s.ts_open = s.ts_exit = s.end = s.requotes = s.entry_maker = s.last_exit = s.entry_end = 0
    s.target_taker = s.executions = s.requests = s.position = s.fired = s.attached = s.asked_head = s.asked_tail = s.said_head = s.said_tail = 0
    s.entry_value = s.exit_value = s.fees = 0.0
    s.active = 1
    s.known = 0
    s.now = s.seen = call.ts
    s.trade, s.quote, s.opened_at = call.trade, call.quote, call.trade
    s.entry_deadline = call.ts + p.entry_ttl_ns
    s.hold_deadline = s.finished = NEVER
    for role in range(ENTRY, len(o)):
        q = o[role]
        q.status = q.asked = q.price = q.qty = q.filled = q.attempt = q.not_before = q.ts_asked = q.unknown = q.live = 0
        q.at = q.size = q.done = q.made = 0
    o[ENTRY].qty = lots
    place_entry(g, p, s, o, asked)


@njit(cache=True, nogil=True, _nrt=False)
def _exit_row(phases, call, exit_phase):
    """Row of the signal at which a bracket that answers `call` is left, or -1."""
    row = call.row + 1
    while exit_phase and row < len(phases) and phases[row].sequence == call.sequence:
        if phases[row].phase >= exit_phase:
            return row
        row += 1
    return -1


@njit(cache=True, nogil=True, _nrt=False)
def _after(call, s):
    """Does a signal come after the bracket has ended?"""
    if call.ts != s.finished or call.timed:
        return call.ts > s.finished
    return call.trade >= s.trade and call.quote >= s.quote


@njit(cache=True, nogil=True, _nrt=False)
def _count(g, s, r, day):
    """A bracket has ended. day: [day, its net so far, peak of the cumulative net]. Returns net."""
    if s.requests > REQUESTS_RUNAWAY:
        r.runaways += 1
    if s.entered == 0:
        if s.end == END_TTL:
            r.unfilled_ttl += 1
        elif s.end == END_POST_ONLY:
            r.unfilled_post_only += 1
        else:
            r.unfilled_other += 1
        return
    gross = trade_gross(g, s)
    net, hold = gross - s.fees, s.ts_exit - s.ts_open
    r.trades += 1
    r.filled += 1
    r.wins += net > 0.0
    r.entry_makers += s.entry_maker
    if s.end == END_TARGET:
        r.targets += 1
    elif s.end == END_STOP:
        r.stops += 1
    elif s.end == END_MAX_HOLD:
        r.max_holds += 1
    elif s.end == END_PHASE:
        r.phases += 1
    else:
        r.others += 1
    r.gross += gross
    r.fees += s.fees
    r.net += net
    r.net_squares += net * net
    r.hold_ns += hold
    r.hold_ns_max = max(r.hold_ns_max, hold)
    r.notional += (s.entry_value + s.exit_value) * g.tick * g.lot * g.multiplier
    day[2] = max(day[2], r.net)
    r.drawdown_max = max(r.drawdown_max, day[2] - r.net)
    today = float(s.finished // DAY_NS)
    if today != day[0]:
        r.daily_squares += day[1] * day[1]
        day[0], day[1] = today, 0.0
    day[1] += net


@njit(cache=True, nogil=True, _nrt=False)
def _note(g, s, call, t):
    """One row of the trade list."""
    t.signal, t.ts_signal, t.ts_open, t.ts_exit, t.lots = call.row, call.ts, s.ts_open, s.ts_exit, s.entered
    t.side, t.reason, t.entry_is_maker, t.open = s.side, s.end, s.entry_maker, s.active
    t.entry_price = s.entry_value / float(s.entered) * g.tick
    t.exit_price = s.exit_value / float(s.exited) * g.tick if s.exited > 0 else 0.0
    t.fees = s.fees
    t.ts_flat = 0 if s.active else s.finished
    t.gross = np.nan if s.active else trade_gross(g, s)
    t.net = t.gross - s.fees


@njit(cache=True, nogil=True, _nrt=False)
def _refuse(g, p, call, cooldown_until, r):
    """Lots of the entry that a signal leads to, or 0: it is refused, and counted."""
    if call.reason:
        r.refused_data += 1
        return 0
    if call.ts < cooldown_until:
        r.refused_cooldown += 1
        return 0
    if call.last <= 0:
        r.refused_data += 1
        return 0
    entry = entry_price(p, call.side, call.reference)
    lots = lots_for(g, p.notional, entry)
    why = forbidden(g, lots, entry, call.last, notional_of(g, lots, entry), call.stale)
    if why == REASON_STALE_DATA:
        r.refused_data += 1
    elif why:
        r.refused_risk += 1
    return 0 if why else lots


@njit(cache=True, nogil=True, _nrt=False)
def _setting(m, g, p, calls, phases, s, o, asked, said, r, trades, day):
    """All brackets of one setting, in order of time. Returns the number of trades, a left-open one included."""
    cooldown_until, k, n = 0, 0, 0
    day[0] = -1.0
    day[1] = day[2] = 0.0
    s.lost = 0
    while k < len(calls):
        call = calls[k]
        k += 1
        lots = _refuse(g, p, call, cooldown_until, r)
        if lots == 0:
            continue
        r.entries += 1
        _begin(g, p, s, o, asked, call, lots)
        _live(m, g, p, s, o, asked, said, phases, _exit_row(phases, call, p.exit_phase))
        if s.entered > 0:
            if n < len(trades):
                _note(g, s, call, trades[n])
            n += 1
        if s.active:
            r.refused_open += len(calls) - k
            r.filled += s.entered > 0
            r.open_side, r.open_lots, r.open_fees = s.side, s.entered - s.exited, s.fees
            r.open_price = s.entry_value / float(s.entered) * g.tick if s.entered > 0 else 0.0
            break
        if s.entered > 0:
            cooldown_until = s.finished + p.cooldown_ns
        _count(g, s, r, day)
        while k < len(calls) and not _after(calls[k], s):
            r.refused_open += 1
            k += 1
    r.daily_squares += day[1] * day[1]
    r.signals = len(calls)
    r.lost = s.lost
    return n


@njit(cache=True, nogil=True)
def _block(m, terms, grid, first, last, calls, phases, results, trades, counts):
    """Some settings one after the other, in a workspace of their own."""
    state, orders, day = np.zeros(1, STATE), np.zeros(5, ORDER), np.zeros(3)
    asked, said = np.zeros(ARRIVALS, REQUEST), np.empty(REPORTS, REPORT)
    for n in range(first, last):
        counts[n] = _setting(m, terms[0], grid[n], calls, phases, state[0], orders, asked, said, results[n], trades, day)


@njit(cache=True, nogil=True, parallel=True)
def run(m, terms, grid, calls, phases, results, trades, counts):
    """Every row of `grid` -> its row of `results`; counts: trades of each, one left open included. `trades` takes them where there is one setting."""
    for block in prange((len(grid) + BLOCK - 1) // BLOCK):
        _block(m, terms, grid, block * BLOCK, min((block + 1) * BLOCK, len(grid)), calls, phases, results, trades, counts)
