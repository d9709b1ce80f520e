"""One bracket of a sweep from its signal to flat (Numba), jumping from one market row that matters to the next.

Order of service, as in paper.pyx and engine.pyx: before a market event everything that is due by its time, each at its own moment: arrivals at the
venue first, then reports, then the engine's deadlines; a deadline that falls on the moment of a report is served just before it.
"""

import numpy as np

from numba_sweep.bracket import (
    bracket_report,
    deadline,
    follow,
    reconcile_orders,
    timer,
    trail_due,
    trail_level,
    trails,
)
from numba_sweep.columns import (
    BEYOND,
    FANOUT,
    NOWHERE,
    closed_at,
    extreme,
    first_outside,
    passage,
    quote_ended,
    rows_before,
)
from numba_sweep.state import (
    AMEND,
    ARRIVALS,
    CLOSE,
    CREATE,
    END_PHASE,
    END_POST_ONLY,
    ENTRY,
    LIVE,
    NEVER,
    REJECTED,
    REPORTS,
    STOP,
    TARGET,
    compiled,
    inlined,
)
from numba_sweep.terms import entry_price, forbidden, notional_of
from numba_sweep.venue import arrive, end_waits, meet

# ---- where in the market ----


@inlined
def _prices(m, s):
    """The last trade and the quotes that have been passed."""
    s.last = m.price[s.trade - 1] if s.trade > 0 else 0
    if s.quote > 0:
        s.bid = m.bid[s.quote - 1]
        s.ask = m.ask[s.quote - 1]
    else:
        s.bid = 0
        s.ask = 0


@inlined
def _pass_to(m, s, t):
    """Everything before time t has been passed."""
    s.trade = rows_before(m.ts, s.trade, t)
    s.quote = rows_before(m.quote_ts, s.quote, t)
    _prices(m, s)


@inlined
def _fold_best(m, s, row):
    """The best price among trades up to `row` that were passed unseen."""
    if s.best_row < row:
        best = extreme(m.price, m.low, m.high, m.offsets, s.best_row, row, s.side)
        if (best - s.best) * s.side > 0:
            s.best = best
        s.best_row = row


@compiled
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


@inlined
def _look(m, g, p, s, o, due):
    """Find the next market row that matters; s.known = 0 where it only established that none comes before `due`."""
    trades, quotes = len(m.ts), len(m.quote_ts)
    _pass_to(m, s, s.seen)
    s.known = 1
    s.next_trade, s.next_quote = trades, quotes
    below, above, ask_below, bid_above = _bounds(p, g, s, o)
    if trails(p, s) and o[STOP].status == LIVE and o[STOP].asked == 0 and o[STOP].triggered == 0:
        _fold_best(m, s, s.trade)
        if trail_due(p, s, o):
            below = BEYOND
        elif s.side > 0:
            above = min(above, trail_level(p, s, o))
        else:
            below = max(below, trail_level(p, s, o))
    if s.wait_at != NEVER and ((o[STOP].live and s.fired) or (o[ENTRY].live and o[ENTRY].taking) or (o[CLOSE].live and o[CLOSE].taking)):
        s.next_trade, s.next_quote = s.trade, s.quote
    else:
        if below == NOWHERE and above == BEYOND:
            pass
        elif s.trade < trades and m.ts[s.trade] >= due:
            s.known = 0
        else:
            row = s.trade
            stop = min(trades, (row | (FANOUT - 1)) + 1)
            row = first_outside(m.price, m.price, row, stop, below, above)
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
            row = first_outside(m.ask, m.bid, row, stop, ask_below, bid_above)
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


@inlined
def _take(m, g, p, s, o, asked, reports):
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
        meet(m, g, s, o, reports, s.last, lots, m.side[row], s.now)
    else:
        s.quote = s.next_quote + 1
        s.trade = max(s.trade, m.before[s.next_quote])
        _prices(m, s)
        meet(m, g, s, o, reports, 0, 0, 0, s.now)


# ---- what is due ----


@compiled
def _leave(g, p, s, o, asked):
    """The cascade has reached the phase to leave at."""
    if s.active and s.end == 0:
        s.end = END_PHASE
        reconcile_orders(g, p, s, o, asked)


@compiled
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


@inlined
def _on_report(m, g, p, s, o, asked, e):
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
        ended = quote_ended(m, g, s.trade, s.quote, s.now, 0)
        entry, lots = entry_price(p, s.side, last_seen), o[ENTRY].qty
        stale = s.now - m.ts[s.trade - 1] > g.data_age_max
        cut = np.searchsorted(m.cut_ts, s.now - g.order_latency - g.ack_latency) < np.searchsorted(m.cut_ts, s.now)
        shut = cut or len(m.closed) > 0 and closed_at(m, s.now)
        if shut or forbidden(g, lots, entry, s.last, notional_of(g, lots, entry), ended, stale) > 0:
            s.requotes = 9
    bracket_report(g, p, s, o, asked, e, last_seen)
    s.best_row = s.trade


@compiled
def live(m, g, p, s, o, asked, reports, phases, leave):
    """Run an opened bracket until it is flat or the data ends. leave: row of `phases` at which it is to be left, or -1."""
    wake = deadline(g, p, s, o)
    while s.active:
        arrival = asked[s.asked_tail & (ARRIVALS - 1)].ts if s.asked_tail < s.asked_head else NEVER
        report = reports[s.reports_tail & (REPORTS - 1)].ts if s.reports_tail < s.reports_head else NEVER
        timed, signal = NEVER, NEVER
        if leave >= 0:
            if phases[leave].timed:
                timed = phases[leave].ts
            else:
                signal = phases[leave].ts
        alarm = min(wake, timed)
        due = min(arrival, report, alarm, s.wait_at)
        if due > s.seen:  # else it is due now, before whatever the market brings
            if not s.known:
                _look(m, g, p, s, o, due)
            if signal != NEVER and s.next_ts != NEVER:
                first = phases[leave].trade <= s.next_trade if s.next_trade < len(m.ts) else phases[leave].quote <= s.next_quote
                if not first:
                    signal = NEVER  # the market row comes before it
            if min(due, s.next_ts, signal) > g.end:
                return
            if signal < due:
                s.now = s.seen = signal
                leave = -1
                _leave(g, p, s, o, asked)
                wake = deadline(g, p, s, o)
                continue
            if s.next_ts < due:
                _take(m, g, p, s, o, asked, reports)
                if g.slow:
                    wake = deadline(g, p, s, o)
                continue
        if arrival == due:
            a = asked[s.asked_tail & (ARRIVALS - 1)]
            s.asked_tail += 1
            s.seen = due
            if a.action == CREATE or a.action == AMEND and a.role == STOP:
                _pass_to(m, s, due)
            arrive(m, g, s, o, reports, a)
            continue
        if s.wait_at == due:
            s.seen = due
            _pass_to(m, s, due)
            s.known = 0
            end_waits(m, g, s, o, reports)
            continue
        if alarm == due:  # also one that falls on the moment of a report
            leave = _wakes(g, p, s, o, asked, phases, leave, due)
        if report == due and s.active:
            e = reports[s.reports_tail & (REPORTS - 1)]
            s.reports_tail += 1
            _on_report(m, g, p, s, o, asked, e)
        wake = deadline(g, p, s, o)
