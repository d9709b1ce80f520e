"""Settings side by side (see kernel.pxd): the calls one after another, and for each call the settings that are free to answer it."""

import numpy as np

from libc.math cimport NAN
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from liqcore.sweep.columns import Columns
from liqcore.sweep.grid import GRID_DTYPE
from liqcore.sweep.records import CALL, PHASES, RESULT_DTYPE, TERMS, TRADE_DTYPE

from liqcore.kernels.first_passage cimport Passage, passage_prefetch
from liqcore.sweep.life cimport begin, exit_row, live
from liqcore.sweep.records cimport (ARRIVALS, DAY_NS, END_MAX_HOLD, END_PHASE, END_POST_ONLY, END_STOP, END_TARGET, END_TTL, LIMIT_ENTRY,
                                    NEVER, REASON_QUOTE_ENDED, REASON_STALE_DATA, REPORTS, REQUESTS_RUNAWAY, trade_t)
from liqcore.sweep.rows cimport quote_ended
from liqcore.sweep.tables cimport (closes_at, entry_t, first_exit, is_sooner, make_close, make_entry, make_stop, make_target,
                                   not_entered, open_call, outcome, outcome_t)
from liqcore.sweep.terms cimport entry_price, forbidden, gross_of, lots_for, traded_of

cdef enum:
    AHEAD = 6                    # settings whose cache lines are prefetched
    SLOTS = 64                   # spans of time for each call: the call of a moment is found without a search

for _dtype, _size in ((GRID_DTYPE, sizeof(setting_t)), (TERMS, sizeof(terms_t)), (CALL, sizeof(call_t)), (PHASES, sizeof(phase_t)),
                      (RESULT_DTYPE, sizeof(result_t)), (TRADE_DTYPE, sizeof(trade_t))):
    assert _dtype.itemsize == _size, _dtype


cdef void* address(object array) except? NULL:
    cdef size_t at = array.ctypes.data
    return <void*> at


cdef object room(Py_ssize_t n, size_t size):
    """Zeroed memory for n records, aligned to a cache line."""
    out = np.zeros(max(n, 1) * size + 64, np.uint8)
    return out[-out.ctypes.data % 64:]


# ---- results of a bracket ----

cdef inline void count(int64_t finished, int64_t hold, double gross, double fees, double net, double notional, trial_t* t, result_t* r,
                       double* daily, int64_t days, int64_t first_day) noexcept nogil:
    """Count an entered bracket that is flat. notional: of both sides."""
    t.wins += net > 0.0
    t.gross += gross
    t.fees += fees
    t.net += net
    t.notional += notional
    t.net_squares += net * net
    t.hold_ns += hold
    t.hold_ns_max = max(t.hold_ns_max, hold)
    t.peak = max(t.peak, t.net)
    t.drawdown_max = max(t.drawdown_max, t.peak - t.net)
    if finished >= t.midnight:
        r.daily_squares += t.today * t.today
        t.midnight, t.today = (finished // <int64_t> DAY_NS + 1) * <int64_t> DAY_NS, 0.0
    t.today += net
    if days:
        daily[min(finished // <int64_t> DAY_NS - first_day, days - 1)] += net     # trades that end after the last day count for it


cdef inline void count_end(int64_t end, trial_t* t, result_t* r) noexcept nogil:
    if END_TTL <= end <= END_MAX_HOLD:
        t.ended[end - END_TTL] += 1
    elif end == END_PHASE:
        r.phases += 1
    else:
        r.others += 1


cdef inline void count_unfilled(int64_t end, trial_t* t, result_t* r) noexcept nogil:
    if end == END_TTL:
        t.ended[0] += 1
    elif end == END_POST_ONLY:
        r.unfilled_post_only += 1
    else:
        r.unfilled_other += 1


cdef inline void refuse(int64_t why, result_t* r) noexcept nogil:
    if why == REASON_STALE_DATA or why == REASON_QUOTE_ENDED:
        r.refused_data += 1
    else:
        r.refused_risk += 1


cdef inline int64_t call_flaw(const call_t* call) noexcept nogil:
    """The reason why no setting may answer a call, or 0."""
    return REASON_STALE_DATA if call.last <= 0 else -1 if call.closed else 0


cdef void sum_up(const block_t* b, const trial_t* t, result_t* r) noexcept nogil:
    """Compute the totals: every call was answered or refused, every answer has ended or is open."""
    r.unfilled_ttl, r.targets, r.stops, r.max_holds = t.ended[0], t.ended[1], t.ended[2], t.ended[3]
    r.trades = r.targets + r.stops + r.max_holds + r.phases + r.others
    r.filled += r.trades
    r.entry_makers += r.trades
    r.entries += r.trades + r.unfilled_ttl + r.unfilled_post_only + r.unfilled_other
    r.wins, r.hold_ns, r.hold_ns_max = t.wins, t.hold_ns, t.hold_ns_max
    r.gross, r.fees, r.net, r.notional = t.gross, t.fees, t.net, t.notional
    r.net_squares, r.drawdown_max = t.net_squares, t.drawdown_max
    r.daily_squares += t.today * t.today
    r.refused_data += t.cooled >> 32
    r.refused_cooldown = (t.cooled & <int64_t> 0xFFFFFFFF) - (t.cooled >> 32)
    r.signals = b.calls_n
    r.refused_open = r.signals - r.entries - r.refused_cooldown - r.refused_data - r.refused_risk


# ---- one bracket by itself ----

cdef inline void run_alone(block_t* b, int64_t k, const setting_t* p, int64_t lots) noexcept nogil:
    """Run one bracket event by event."""
    begin(b.g, p, &b.bracket, &b.calls[k], lots)
    live(b.m, b.g, p, &b.bracket, b.phases, exit_row(b.phases, b.phases_n, &b.calls[k], p.exit_phase))


cdef inline int64_t lots_of(const terms_t* g, const setting_t* p, const call_t* call, int64_t* why) noexcept nogil:
    cdef int64_t entry = entry_price(p, call.side, call.reference), lots = lots_for(g, p.notional, entry)
    why[0] = forbidden(g, lots, entry, call.last, call.ended, call.stale)
    return lots


cdef inline void left_open(const terms_t* g, const bracket_t* s, result_t* r) noexcept nogil:
    r.entries += 1
    r.filled += s.entered > 0
    r.open_side, r.open_lots, r.open_fees = s.side, s.entered - s.exited, s.fees
    r.open_price = s.entry_value / <double> s.entered * g.tick if s.entered > 0 else 0.0


cdef inline int64_t call_at(const block_t* b, int64_t ts) noexcept nogil:
    """The first call at `ts` or later; ts: not before the first call."""
    cdef int64_t at = b.slot[min((ts - b.call_ts[0]) >> b.slot_bits, b.slots)]
    while b.call_ts[at] < ts:
        at += 1
    return at


cdef inline int64_t after(const block_t* b, int64_t k, int64_t finished, const bracket_t* s) noexcept nogil:
    """The first call behind number k and after the end of a bracket. s: the bracket, which decides for a call at the moment of its end."""
    cdef const call_t* call
    k = max(k + 1, call_at(b, finished))
    while k < b.calls_n and b.call_ts[k] == finished:
        call = &b.calls[k]
        if not call.timed and call.trade >= s.trade and call.quote >= s.quote:
            break
        k += 1
    return k


cdef inline int64_t cool(const block_t* b, int64_t k, int64_t until, trial_t* t) noexcept nogil:
    """The first call from number k on at `until` or later; calls before it are refused."""
    cdef int64_t next = max(k, call_at(b, until))
    t.cooled += b.passed[next] - b.passed[k]
    return next


cdef int64_t answer_alone(block_t* b, int64_t k, int64_t i, int64_t lots) noexcept nogil:
    """One setting answers one call, event by event. Returns the next call that it can answer."""
    cdef trial_t* t = &b.trials[i]
    cdef result_t* r = &b.results[t.row]
    cdef bracket_t* s = &b.bracket
    cdef int64_t next
    cdef double gross
    run_alone(b, k, &b.settings[t.row], lots)
    r.lost += s.lost
    if s.active:
        left_open(b.g, s, r)
        return b.calls_n
    if s.requests > REQUESTS_RUNAWAY:
        r.runaways += 1
    next = after(b, k, s.finished, s)
    if s.entered == 0:
        count_unfilled(s.end, t, r)
        return next
    gross = gross_of(b.g, s.side, s.entry_value, s.exit_value)
    count(s.finished, s.ts_exit - s.ts_open, gross, s.fees, gross - s.fees, traded_of(b.g, s.entry_value, s.exit_value), t, r,
          &b.daily[t.row * b.days], b.days, b.first_day)
    count_end(s.end, t, r)
    r.entry_makers -= s.entry_maker == 0
    return cool(b, next, s.finished + t.cooldown, t)


# ---- one call for all settings ----

cdef inline int64_t moment(block_t* b, int64_t k, int64_t i, int64_t lots, int64_t finished) noexcept nogil:
    """As `after`. For a call at the very moment of the bracket's end, the market rows before the end decide; only a run event by event knows them."""
    cdef int64_t next = max(k + 1, call_at(b, finished))
    if b.call_ts[next] == finished:
        run_alone(b, k, &b.settings[b.trials[i].row], lots)
        return after(b, k, finished, &b.bracket)
    return next


cdef int64_t answer_general(block_t* b, int64_t k, int64_t i) noexcept nogil:
    cdef int64_t why, lots = lots_of(b.g, &b.settings[b.trials[i].row], &b.calls[k], &why)
    if why:
        refuse(why, &b.results[b.trials[i].row])
        return k + 1
    return answer_alone(b, k, i, lots)


cdef void need_target(block_t* b, int64_t row, const entry_t* e) noexcept nogil:
    """A row of the targets, computed at its first use."""
    if b.targets[row].call != b.opening.call:
        make_target(b.m, b.g, b.take_profits[row], &b.calls[b.opening.call - 1], &b.opening, e, b.levels + b.levels_mask + 1, b.levels_mask,
                    &b.targets[row])


cdef void need_stop(block_t* b, int64_t row, const entry_t* e) noexcept nogil:
    if b.stops[row].call != b.opening.call:
        make_stop(b.m, b.g, b.stop_losses[row], &b.calls[b.opening.call - 1], &b.opening, e, b.levels, b.levels_mask, &b.stops[row])


cdef void make_exits(block_t* b, const group_t* group, const entry_t* e) noexcept nogil:
    """Compute all targets and stops of a group at once, because computing each at its first use mispredicts branches."""
    cdef int64_t row
    for row in range(group.target, group.targets_end):
        need_target(b, row, e)
    for row in range(group.stop, group.stops_end):
        need_stop(b, row, e)


cdef int64_t answer(block_t* b, int64_t k, int64_t i, const entry_t* e) noexcept nogil:
    """One setting enters by the tables. Returns the next call that it can answer."""
    cdef trial_t* t = &b.trials[i]
    cdef const setting_t* p = &b.settings[t.row]
    cdef result_t* r = &b.results[t.row]
    cdef exit_t* close = &b.closes[t.close]
    cdef const exit_t* x
    cdef outcome_t out
    if not_entered(b.g, p, &b.calls[k], e, &out):
        if out.finished > b.g.end:
            return answer_alone(b, k, i, e.lots)
        k = moment(b, k, i, e.lots, out.finished)
        count_unfilled(out.end, t, r)
        return k
    if e.odd:
        return answer_alone(b, k, i, e.lots)
    need_target(b, t.target, e)
    need_stop(b, t.stop, e)
    x = first_exit(&b.targets[t.target], &b.stops[t.stop])
    if x.ts >= closes_at(b.g, p, e) and close.call != b.opening.call:
        make_close(b.m, b.g, t.hold, &b.calls[k], &b.opening, e, close)
    outcome(b.g, p, e, &b.targets[t.target], &b.stops[t.stop], close, x, &out)
    if out.end == 0 or out.finished > b.g.end:
        return answer_alone(b, k, i, e.lots)
    k = moment(b, k, i, e.lots, out.finished)
    t.ended[out.end - END_TTL] += 1
    count(out.finished, out.x.ts - e.ts, out.x.gross, out.x.fees, out.x.net, out.x.notional, t, r, &b.daily[t.row * b.days], b.days,
          b.first_day)
    return cool(b, k, out.finished + t.cooldown, t)


cdef void answer_free(block_t* b, int64_t k, int64_t free, const entry_t* e) noexcept nogil:
    """The free settings answer a call with an entry that is filled at once and completely, or not at all. It does the same as `answer`, in fewer
    steps for the usual cases. Common values are read once."""
    cdef block_t c = b[0]
    cdef const call_t* call = &c.calls[k]
    cdef int64_t number = c.opening.call, opened = e.ts, end = c.g.end, ack = c.g.ack_latency, round_trip = ack + c.g.order_latency
    cdef int64_t lapse = opened - call.ts - c.g.order_latency, lapsed = call.ts + round_trip, n, i, next, until, finished
    cdef bint sooner, late
    cdef trial_t* t
    cdef exit_t* target
    cdef exit_t* stop
    cdef exit_t* close
    cdef const exit_t* x
    for n in range(free):
        i = c.free[n]
        t = &c.trials[c.free[n + AHEAD]]
        passage_prefetch(&t.ttl)
        passage_prefetch(&t.hold_ns)
        passage_prefetch(&t.peak)
        t = &c.trials[i]
        if t.ttl <= lapse:
            finished = lapsed + t.ttl
            next = call_at(&c, finished)
            if (finished > end) | (c.call_ts[next] == finished):
                c.waits[i] = <int32_t> answer(b, k, i, e)
                continue
            t.ended[0] += 1
            c.waits[i] = <int32_t> next
            continue
        target, stop, close = &c.targets[t.target], &c.stops[t.stop], &c.closes[t.close]
        if (target.call != number) | (stop.call != number):
            need_target(b, t.target, e)
            need_stop(b, t.stop, e)
        sooner = is_sooner(target, stop)
        x = target if sooner else stop
        finished = x.ts + ack
        late = x.ts >= opened + t.hold + round_trip
        if late & (close.call != number):
            make_close(c.m, c.g, t.hold, call, &b.opening, e, close)
        if (late ^ 1) & ((x.plain == 0) | (x.ts >= opened + t.hold)) | (late & close.waits):
            c.waits[i] = <int32_t> answer(b, k, i, e)
            continue
        x = <const exit_t*> close if late else x
        finished = x.ts + ack
        next = call_at(&c, finished)
        if (finished > end) | (c.call_ts[next] == finished):
            c.waits[i] = <int32_t> answer(b, k, i, e)
            continue
        until = call_at(&c, finished + t.cooldown)
        t.cooled += c.passed[until] - c.passed[next]
        t.ended[END_MAX_HOLD - END_TTL if late else 2 - sooner] += 1
        count(finished, x.ts - opened, x.gross, x.fees, x.net, x.notional, t, &c.results[t.row], &c.daily[t.row * c.days], c.days, c.first_day)
        c.waits[i] = <int32_t> until


cdef void refuse_all(block_t* b, int64_t k, int64_t free, int64_t why) noexcept nogil:
    cdef int64_t n
    for n in range(free):
        refuse(why, &b.results[b.trials[b.free[n]].row])
        b.waits[b.free[n]] = <int32_t> k + 1


cdef inline void answer_call(block_t* b, int64_t k, const group_t* group) noexcept nogil:
    """The free settings of a group, which have the same entry, answer one call."""
    cdef const call_t* call = &b.calls[k]
    cdef entry_t e
    cdef int64_t i, n, free = 0, why = call_flaw(call)
    for i in range(group.first, group.last):
        b.free[free] = <int32_t> i
        free += b.waits[i] <= k
    if free == 0:
        return
    if call.reason or why:
        refuse_all(b, k, free, REASON_STALE_DATA if call.reason else why)
    elif b.trials[group.first].general:
        for n in range(free):
            b.waits[b.free[n]] = <int32_t> answer_general(b, k, b.free[n])
    else:
        if b.opening.call != k + 1:
            open_call(b.m, b.g, call, k + 1, b.life_max, &b.opening)
        make_entry(b.m, b.g, &b.settings[b.trials[group.first].row], call, &b.opening, &e)
        if e.why:
            refuse_all(b, k, free, e.why)
        elif e.rejected or e.odd:
            for n in range(free):
                b.waits[b.free[n]] = <int32_t> answer(b, k, b.free[n], &e)
        else:
            if e.ts != NEVER and free > 2 * max(group.targets_end - group.target, group.stops_end - group.stop):
                make_exits(b, group, &e)
            answer_free(b, k, free, &e)


cdef void answer_all(block_t* b) noexcept nogil:
    cdef int64_t k, i
    for k in range(b.calls_n):
        for i in range(b.groups_n):
            answer_call(b, k, &b.groups[i])
    for i in range(b.n):
        sum_up(b, &b.trials[i], &b.results[b.trials[i].row])


# ---- rows of the tables ----

cdef int32_t number(int64_t a, int64_t b, int64_t* pairs, int32_t* numbers, int64_t mask, int32_t* known) noexcept nogil:
    """The number of a pair among those seen so far. pairs, numbers: an open hash table of mask + 1 places; numbers are stored plus one."""
    cdef int64_t at = <int64_t> ((<uint64_t> a * 0x9E3779B97F4A7C15u ^ <uint64_t> b * 0x2545F4914F6CDD1Du) >> 20) & mask
    while numbers[at]:
        if pairs[2 * at] == a and pairs[2 * at + 1] == b:
            return numbers[at] - 1
        at = (at + 1) & mask
    known[0] += 1
    numbers[at] = known[0]
    pairs[2 * at], pairs[2 * at + 1] = a, b
    return known[0] - 1


cdef class Numbers:
    """Pairs of integers, numbered from 0 in order of their first use."""

    cdef object _pairs
    cdef object _numbers
    cdef int64_t* pairs
    cdef int32_t* numbers
    cdef int64_t mask
    cdef int32_t known

    def __init__(self, Py_ssize_t most):
        self.mask = (1 << (2 * most).bit_length()) - 1
        self._pairs, self._numbers = np.empty(2 * (self.mask + 1), np.int64), np.zeros(self.mask + 1, np.int32)
        self.pairs, self.numbers = <int64_t*> address(self._pairs), <int32_t*> address(self._numbers)

    cdef int32_t of(self, int64_t a, int64_t b) noexcept nogil:
        return number(a, b, self.pairs, self.numbers, self.mask, &self.known)


cdef int64_t number_rows(block_t* b, const int64_t* which, bint shared) except -1:
    """Set the terms, group and table rows of each setting. Returns the number of stops or targets."""
    cdef int64_t i, notional, n = b.n, ttl_max = 0, hold_max = 0
    cdef Numbers amounts = Numbers(n), entries = Numbers(n), targets = Numbers(n), stops = Numbers(n), closes = Numbers(n)
    cdef const setting_t* p
    cdef trial_t* t
    cdef group_t* group = b.groups - 1
    with nogil:
        for i in range(n):
            p, t = &b.settings[which[i]], &b.trials[i]
            memcpy(&notional, &p.notional, sizeof(notional))
            t.row = which[i]
            t.general = not shared or b.g.slow != 0 or p.entry_type != LIMIT_ENTRY or p.trail != 0 or p.exit_phase != 0
            t.ttl, t.hold, t.cooldown = p.entry_ttl_ns, p.max_hold_ns, p.cooldown_ns
            ttl_max, hold_max = max(ttl_max, t.ttl), max(hold_max, t.hold)
            t.entry = entries.of(amounts.of(p.entry_offset, notional), p.requotes)
            if i == 0 or t.entry != (t - 1).entry or t.general != (t - 1).general:
                group += 1
                group.first = <int32_t> i
                group.target = group.targets_end = targets.known
                group.stop = group.stops_end = stops.known
            t.target = targets.of(t.entry, p.take_profit)
            t.stop = stops.of(t.entry, p.stop_loss)
            t.close = closes.of(t.entry, p.max_hold_ns)
            b.take_profits[t.target], b.stop_losses[t.stop] = p.take_profit, p.stop_loss
            group.last, group.targets_end, group.stops_end = <int32_t> i + 1, targets.known, stops.known
    b.groups_n, b.life_max = group - b.groups + 1, ttl_max + hold_max
    return max(targets.known, stops.known)


cdef void fill_slots(const block_t* b, int32_t* slot) noexcept nogil:
    cdef int64_t n, k = 0
    for n in range(b.slots + 1):
        while k < b.calls_n and b.call_ts[k] < b.call_ts[0] + (n << b.slot_bits):
            k += 1
        slot[n] = <int32_t> k


# ---- Python interface ----

cdef class Market:
    """The columns of one instrument, for settings to run over."""

    def __init__(self, columns):
        cdef Passage trades = Passage(columns.price, index=columns.index, trusted=True)
        cdef Passage quotes = Passage(columns.ask, columns.bid, index=columns.quote_index, trusted=True)
        cdef columns_t* m = &self.m
        self.columns = columns
        m.over_trades, m.over_quotes = trades.c, quotes.c
        m.trades, m.quotes = len(columns.ts), len(columns.quote_ts)
        m.gaps, m.stops, m.edges = len(columns.gap_ts), len(columns.stop_ts), len(columns.closed)
        m.ts = <const int64_t*> address(columns.ts)
        m.price = <const int32_t*> address(columns.price)
        m.lots = <const int32_t*> address(columns.lots)
        m.side = <const signed char*> address(columns.side)
        m.quote_ts = <const int64_t*> address(columns.quote_ts)
        m.bid = <const int32_t*> address(columns.bid)
        m.ask = <const int32_t*> address(columns.ask)
        m.before = <const int64_t*> address(columns.before)
        m.rank = <const int32_t*> address(columns.rank)
        self._alive = (trades, quotes)
        m.gap_ts = <const int64_t*> address(columns.gap_ts)
        m.gap_trades = <const int64_t*> address(columns.gap_trades)
        m.gap_quotes = <const int64_t*> address(columns.gap_quotes)
        m.stop_ts = <const int64_t*> address(columns.stop_ts)
        m.stop_trades = <const int64_t*> address(columns.stop_trades)
        m.cuts, m.cut_ts = len(columns.cut_ts), <const int64_t*> address(columns.cut_ts)
        m.closed = <const int64_t*> address(columns.closed)

    def ended_at(self, terms, const int64_t[::1] trades, const int64_t[::1] quotes, const int64_t[::1] ts, const int64_t[::1] places):
        """Whether at each of some moments there had been quotes and the last one was no longer valid."""
        cdef const terms_t* g = <const terms_t*> address(terms)
        cdef Py_ssize_t n, count = len(ts)
        cdef int64_t[::1] out
        found = np.zeros(count, np.int64)
        out = found
        with nogil:
            for n in range(count):
                out[n] = quote_ended(&self.m, g, trades[n], quotes[n], ts[n], places[n])
        return found

    def sweep(self, terms, settings, calls, phases, results, int64_t first_day, daily, bint shared=True, which=None):
        """Rows of GRID_DTYPE -> rows of RESULT_DTYPE, which must be zero but for `days`. daily: (settings, days from first_day on), to which each
        day's net is added; (settings, 0) = not needed. shared: False runs every bracket by itself, with the same result. which: the rows to run
        (int64), fastest with those of one entry beside each other; None = all."""
        cdef block_t b
        cdef int64_t n
        which = np.arange(len(settings)) if which is None else np.ascontiguousarray(which, np.int64)
        n = len(which)
        passed = np.concatenate([[0], np.cumsum(1 + ((calls["reason"] != 0).astype(np.int64) << 32))])
        exits, trials, groups = room(3 * n, sizeof(exit_t)), room(n, sizeof(trial_t)), room(n, sizeof(group_t))
        waits, free, fractions = np.zeros(n, np.int32), np.zeros(n + AHEAD, np.int32), np.empty(2 * n, np.int64)
        workspace = self._fill(&b, terms, settings, calls, phases)
        b.n, b.opening.call = n, 0
        b.passed = <const int64_t*> address(passed)
        b.targets = <exit_t*> address(exits)
        b.stops, b.closes = b.targets + n, b.targets + 2 * n
        b.results, b.trials, b.waits = <result_t*> address(results), <trial_t*> address(trials), <int32_t*> address(waits)
        b.daily, b.days, b.first_day = <double*> address(daily), daily.shape[1], first_day
        b.groups, b.take_profits, b.free = <group_t*> address(groups), <int64_t*> address(fractions), <int32_t*> address(free)
        b.stop_losses = b.take_profits + n
        b.levels_mask = (1 << min(10, (2 * number_rows(&b, <const int64_t*> address(which), shared)).bit_length())) - 1
        levels = room(2 * (b.levels_mask + 1), sizeof(level_t))
        b.levels = <level_t*> address(levels)
        with nogil:
            answer_all(&b)
        del workspace

    def trades_of(self, terms, setting, calls, phases, trades):
        """Write the entered brackets of one setting as rows of TRADE_DTYPE; returns their number."""
        cdef block_t b
        cdef trade_t* out = <trade_t*> address(trades)
        cdef bracket_t* s = &b.bracket
        cdef const call_t* call
        cdef int64_t k = 0, n = 0, lots, why, cooldown_until = 0
        workspace = self._fill(&b, terms, setting, calls, phases)
        with nogil:
            while k < b.calls_n:
                call = &b.calls[k]
                lots = lots_of(b.g, b.settings, call, &why)
                if call.reason or call.ts < cooldown_until or call_flaw(call) or why:
                    k += 1
                    continue
                run_alone(&b, k, b.settings, lots)
                if s.entered > 0:
                    note(b.g, s, call, &out[n])
                    n += 1
                    cooldown_until = s.finished + b.settings.cooldown_ns
                if s.active:
                    break
                k = after(&b, k, s.finished, s)
        del workspace
        return n

    cdef object _fill(self, block_t* b, terms, settings, calls, phases):
        """Returns the objects that must live as long as the block."""
        for array, dtype in ((terms, TERMS), (settings, GRID_DTYPE), (calls, CALL), (phases, PHASES)):
            if array.dtype != dtype or not array.flags.c_contiguous:
                raise TypeError(f"expected a contiguous array of {dtype.names}, got {array.dtype}")
        b.m, b.g = &self.m, <const terms_t*> address(terms)
        b.settings, b.n = <const setting_t*> address(settings), len(settings)
        b.calls, b.calls_n = <const call_t*> address(calls), len(calls)
        b.phases, b.phases_n = <const phase_t*> address(phases), len(phases)
        ts = np.append(calls["ts"], <int64_t> NEVER)
        first, last = (int(ts[0]), int(ts[len(ts) - 2])) if len(calls) else (0, 0)
        b.slot_bits = ((last - first) // max(1, SLOTS * len(calls))).bit_length()
        b.slots = (last - first >> b.slot_bits) + 1
        slots = np.empty(b.slots + 1, np.int32)
        asked, reports = room(ARRIVALS, sizeof(request_t)), room(REPORTS, sizeof(report_t))
        b.call_ts, b.slot = <const int64_t*> address(ts), <const int32_t*> address(slots)
        fill_slots(b, <int32_t*> b.slot)
        b.bracket.asked, b.bracket.reports = <request_t*> address(asked), <report_t*> address(reports)
        return ts, slots, asked, reports


cdef void note(const terms_t* g, const bracket_t* s, const call_t* call, trade_t* t) noexcept nogil:
    """One row of the trade list."""
    t.signal, t.ts_signal, t.ts_open, t.ts_exit, t.lots = call.row, call.ts, s.ts_open, s.ts_exit, s.entered
    t.side, t.reason, t.entry_is_maker, t.open = <signed char> s.side, <unsigned char> s.end, s.entry_maker != 0, s.active != 0
    t.entry_price = s.entry_value / <double> s.entered * g.tick
    t.exit_price = s.exit_value / <double> s.exited * g.tick if s.exited > 0 else 0.0
    t.fees = s.fees
    t.ts_flat = 0 if s.active else s.finished
    t.gross = <double> NAN if s.active else gross_of(g, s.side, s.entry_value, s.exit_value)
    t.net = t.gross - s.fees
