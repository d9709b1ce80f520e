"""Settings side by side (Numba): one bracket after the other, and what comes of them."""

import numpy as np
from numba import njit, prange

from numba_sweep import bracket as sweep_bracket
from numba_sweep import columns as sweep_columns
from numba_sweep import state as sweep_state
from numba_sweep import terms as sweep_terms
from numba_sweep import venue as sweep_venue
from numba_sweep import walk as sweep_walk
from numba_sweep.bracket import place_entry
from numba_sweep.state import (
    ARRIVALS,
    END_MAX_HOLD,
    END_PHASE,
    END_POST_ONLY,
    END_STOP,
    END_TARGET,
    END_TTL,
    ENTRY,
    NEVER,
    ORDER,
    REASON_QUOTE_ENDED,
    REASON_STALE_DATA,
    REPORT,
    REPORTS,
    REQUEST,
    REQUESTS_RUNAWAY,
    STATE,
    compiled,
    fingerprint,
)
from numba_sweep.terms import (
    entry_price,
    forbidden,
    lots_for,
    notional_of,
    trade_gross,
)
from numba_sweep.walk import live

DAY_NS = 86_400_000_000_000
BLOCK = 256  # settings that a thread takes at a time, at most
STRETCH = 32  # calls that one setting goes on for before the next one has its turn: what they read stays in the cache


# ---- one setting ----


@compiled
def _begin(g, p, s, o, asked, call, lots):
    """Send the entry, its stop attached."""
    s.side, s.reference = call.side, call.reference
    s.entered = s.exited = s.best = s.best_row = s.ts_open = s.ts_exit = s.end = s.requotes = s.entry_maker = s.last_exit = s.entry_end = 0
    s.target_taker = s.executions = s.requests = s.position = s.fired = s.attached = s.asked_head = s.asked_tail = s.reports_head = s.reports_tail = 0
    s.entry_value = s.exit_value = s.fees = 0.0
    s.active = 1
    s.known = 0
    s.now = s.seen = call.ts
    s.trade, s.quote, s.opened_at = call.trade, call.quote, call.trade
    s.entry_deadline = call.ts + p.entry_ttl_ns
    s.hold_deadline = s.finished = s.wait_at = NEVER
    for role in range(ENTRY, len(o)):
        q = o[role]
        q.status = q.asked = q.price = q.qty = q.filled = q.attempt = q.not_before = q.ts_asked = q.unknown = q.triggered = q.live = 0
        q.at = q.size = q.done = q.made = q.taking = q.wait = q.place = 0
    o[ENTRY].qty = lots
    place_entry(g, p, s, o, asked)


@compiled
def _exit_row(phases, call, exit_phase):
    """Row of the signal at which a bracket that answers `call` is left, or -1."""
    row = call.row + 1
    while exit_phase and row < len(phases) and phases[row].sequence == call.sequence:
        if phases[row].phase >= exit_phase:
            return row
        row += 1
    return -1


@compiled
def _after(call, s):
    """Does a signal come after the bracket has ended?"""
    if call.ts != s.finished or call.timed:
        return call.ts > s.finished
    return call.trade >= s.trade and call.quote >= s.quote


@compiled
def _count(g, s, r, day, daily):
    """A bracket has ended. day: [day, its net so far, peak of the cumulative net, first day of the tape]; daily: net by day, or empty."""
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
    if len(daily):
        daily[min(int(today - day[3]), len(daily) - 1)] += net  # what ends after the last day belongs to it


@compiled
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


@compiled
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
    if call.closed:
        r.refused_risk += 1
        return 0
    entry = entry_price(p, call.side, call.reference)
    lots = lots_for(g, p.notional, entry)
    why = forbidden(g, lots, entry, call.last, notional_of(g, lots, entry), call.ended, call.stale)
    if why == REASON_STALE_DATA or why == REASON_QUOTE_ENDED:
        r.refused_data += 1
    elif why:
        r.refused_risk += 1
    return 0 if why else lots


@compiled
def _setting(m, g, p, calls, phases, s, o, asked, reports, r, trades, day, daily, at, until):
    """Brackets of one setting, in order of time, whose calls come before number `until`. at: [next call, end of the cooldown, trades]."""
    k, cooldown_until, n = at[0], at[1], at[2]
    s.lost = 0
    while k < until:
        call = calls[k]
        k += 1
        lots = _refuse(g, p, call, cooldown_until, r)
        if lots == 0:
            continue
        r.entries += 1
        _begin(g, p, s, o, asked, call, lots)
        live(m, g, p, s, o, asked, reports, phases, _exit_row(phases, call, p.exit_phase))
        if s.entered > 0:
            if n < len(trades):
                _note(g, s, call, trades[n])
            n += 1
        if s.active:
            r.refused_open += len(calls) - k
            r.filled += s.entered > 0
            r.open_side, r.open_lots, r.open_fees = s.side, s.entered - s.exited, s.fees
            r.open_price = s.entry_value / float(s.entered) * g.tick if s.entered > 0 else 0.0
            k = len(calls)
            break
        if s.entered > 0:
            cooldown_until = s.finished + p.cooldown_ns
        _count(g, s, r, day, daily)
        while k < len(calls) and not _after(calls[k], s):
            r.refused_open += 1
            k += 1
    r.lost += s.lost
    at[0], at[1], at[2] = k, cooldown_until, n


@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _block(m, terms, grid, first, last, calls, phases, results, trades, counts, first_day, daily):
    """Some settings, stretch by stretch of the calls, in a workspace of their own."""
    state, orders = np.zeros(1, STATE), np.zeros(5, ORDER)
    asked, reports = np.zeros(ARRIVALS, REQUEST), np.empty(REPORTS, REPORT)
    days, at = np.zeros((last - first, 4)), np.zeros((last - first, 3), np.int64)
    days[:, 0], days[:, 3] = -1.0, first_day
    until = 0
    while until < len(calls):
        until = min(until + STRETCH, len(calls))
        for n in range(first, last):
            _setting(
                m,
                terms[0],
                grid[n],
                calls,
                phases,
                state[0],
                orders,
                asked,
                reports,
                results[n],
                trades,
                days[n - first],
                daily[n],
                at[n - first],
                until,
            )
    for n in range(first, last):
        day, r = days[n - first], results[n]
        r.daily_squares += day[1] * day[1]
        r.signals = len(calls)
        counts[n] = at[n - first, 2]


def _entry(made_of):
    @njit(cache=True, nogil=True, parallel=True)
    def run(m, terms, grid, calls, phases, results, trades, counts, first_day, daily, size):
        """Every row of `grid` -> its row of `results`; counts: trades of each, one left open included. `trades` takes those of a single setting.
        daily: (settings, days from first_day on) takes the net result of each day; (settings, 0) = not asked for. size: settings that a thread takes
        at a time."""
        if made_of < 0:
            return
        for block in prange((len(grid) + size - 1) // size):
            _block(m, terms, grid, block * size, min((block + 1) * size, len(grid)), calls, phases, results, trades, counts, first_day, daily)

    return run


run = _entry(fingerprint(*map(vars, (sweep_state, sweep_columns, sweep_terms, sweep_venue, sweep_bracket, sweep_walk)), globals()))
