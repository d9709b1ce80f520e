"""The life of a bracket in a sweep: the engine's known state, wanted state and requests. The rules are those of execution/bracket.pyx, for a venue
that always answers and answers in order."""

from libc.stdint cimport int64_t

from liqcore.sweep.records cimport (AMEND, ANSWER_NS, ARRIVALS, ATTEMPTS_MAX, BACKOFF_MAX_NS, BACKOFF_NS, CANCEL, CLOSE, CREATE, END_MAX_HOLD,
                                    END_POST_ONLY, END_STOP, END_TARGET, END_TTL, END_VENUE, ENDED, ENTRY, EXECUTIONS_MAX, FILL, LATE_NS, LIVE,
                                    MARKET_ENTRY, NEVER, NEW, NONE, SCALE, SENT, STOP, TARGET, TRIGGERED, bracket_t, order_t, report_t, request_t,
                                    setting_t, terms_t)
from liqcore.sweep.terms cimport entry_price, scaled, stop_price, target_price

# ---- requests ----

cdef inline bint is_open(const order_t* q) noexcept nogil:
    return q.status == SENT or q.status == LIVE


cdef inline void ask(const terms_t* g, bracket_t* s, int64_t action, int64_t role, bint market, int64_t passive, int64_t stop) noexcept nogil:
    cdef order_t* q = &s.o[role]
    cdef request_t* a = &s.asked[s.asked_head & (ARRIVALS - 1)]
    s.asked_head += 1
    if s.asked_head - s.asked_tail > ARRIVALS:
        s.lost += 1
    a.ts = s.now + g.order_latency
    a.action = action
    a.role = role
    a.attempt = q.attempt
    a.price = 0 if market else q.price
    a.qty = q.qty
    a.stop = stop
    a.passive = passive
    q.ts_asked = s.now
    s.requests += 1


cdef inline void ask_create(const terms_t* g, bracket_t* s, int64_t role, bint market, int64_t passive, int64_t stop) noexcept nogil:
    """A new order in place of the ended one, with the number of the next attempt."""
    cdef order_t* q = &s.o[role]
    if q.status != NONE:
        q.attempt += 1
    q.filled = 0
    q.status = SENT
    q.asked = 0
    q.unknown = 0
    ask(g, s, CREATE, role, market, passive, stop)


cdef inline void ask_cancel(const terms_t* g, bracket_t* s, int64_t role) noexcept nogil:
    cdef order_t* q = &s.o[role]
    if is_open(q) and q.asked != CANCEL and s.now >= q.not_before:
        q.asked = CANCEL
        ask(g, s, CANCEL, role, False, 0, 0)


cdef inline void place_entry(const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    cdef bint market = p.entry_type == MARKET_ENTRY
    s.o[ENTRY].price = entry_price(p, s.side, s.reference)
    s.o[STOP].price = stop_price(s.side, s.o[ENTRY].price, p.stop_loss)
    ask_create(g, s, ENTRY, market, 0 if market else 1, s.o[STOP].price)


# ---- wanted state ----

cdef inline int64_t mean_entry(const bracket_t* s) noexcept nogil:
    return <int64_t> (s.entry_value / <double> s.entered + 0.5)


cdef inline void reconcile_position(const terms_t* g, const setting_t* p, bracket_t* s, int64_t held) noexcept nogil:
    """With a position: close it if the exit is decided, else keep the target at the size of the position."""
    cdef order_t* target = &s.o[TARGET]
    cdef order_t* close = &s.o[CLOSE]
    if s.end:
        ask_cancel(g, s, TARGET)
        if not is_open(close) and s.now >= close.not_before:
            close.qty = held
            close.price = 0
            ask_create(g, s, CLOSE, True, 0, 0)
        return
    if p.take_profit == 0:
        return
    if not is_open(target):
        if s.now < target.not_before:
            return
        if target.attempt < ATTEMPTS_MAX:
            target.qty = held
            target.price = target_price(s.side, mean_entry(s), p.take_profit, s.reference)
            ask_create(g, s, TARGET, False, 1 - s.target_taker, 0)
        elif target.attempt == ATTEMPTS_MAX:
            target.attempt += 1
    elif target.status == LIVE and target.asked == 0 and target.qty - target.filled != held:
        target.qty = target.filled + held
        target.asked = AMEND
        ask(g, s, AMEND, TARGET, False, 0, 0)


cdef inline void reconcile_orders(const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    """Compare the known state with the wanted one and request the difference; sets s.finished when nothing is left."""
    cdef int64_t held = s.entered - s.exited
    cdef order_t* entry = &s.o[ENTRY]
    if not s.active:
        return
    if is_open(entry) and (s.end or s.exited > 0 or s.now >= s.entry_deadline):
        ask_cancel(g, s, ENTRY)
    if held > 0:
        reconcile_position(g, p, s, held)
        return
    if s.entered == 0 and s.exited == 0 and entry.status != ENDED:
        return
    ask_cancel(g, s, TARGET)
    if is_open(entry) or is_open(&s.o[TARGET]) or is_open(&s.o[CLOSE]):
        return
    if s.end == 0:
        if s.entered > 0:
            s.end = END_TARGET if s.last_exit == TARGET else END_STOP if s.last_exit == STOP else END_VENUE
        elif s.now >= s.entry_deadline and s.entry_end != END_POST_ONLY:
            s.end = END_TTL
        else:
            s.end = s.entry_end if s.entry_end else <int64_t> END_VENUE
    s.active = 0
    s.finished = s.now


# ---- stops ----

cdef inline void move_stop(const terms_t* g, bracket_t* s, int64_t price) noexcept nogil:
    """A stop never loosens."""
    cdef order_t* q = &s.o[STOP]
    if (price - q.price) * s.side <= 0 or q.status != LIVE or q.asked or q.triggered:
        return
    q.price = price
    q.qty = s.entered - s.exited
    q.asked = AMEND
    ask(g, s, AMEND, STOP, False, 0, 0)


cdef inline void anchor(const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    """The stop of a market entry counts from its fill price."""
    if p.entry_type == MARKET_ENTRY and s.entered > 0 and s.end == 0:
        move_stop(g, s, stop_price(s.side, mean_entry(s), p.stop_loss))


cdef inline bint trails(const setting_t* p, const bracket_t* s) noexcept nogil:
    return p.trail > 0 and s.active and s.entered > s.exited and s.end == 0


cdef inline bint trail_due(const setting_t* p, const bracket_t* s) noexcept nogil:
    """Whether the trail would move the stop, by at least a tenth of the trail's distance."""
    cdef int64_t price = stop_price(s.side, s.best, p.trail)
    return (price - s.o[STOP].price) * s.side * 10 >= scaled(s.best, p.trail, True) - s.best


cdef inline int64_t trail_level(const setting_t* p, const bracket_t* s) noexcept nogil:
    """A price that a trade must reach before the trail can move the stop. It is a bound, reached before trail_due is true."""
    cdef int64_t at = s.o[STOP].price, tenfold = 10 * <int64_t> SCALE, most
    if s.side > 0:
        most = 10 * (at - 1) * <int64_t> SCALE
        return max(s.best + 1, most // (tenfold - 11 * p.trail) + 1) if most >= 0 else s.best + 1
    most = tenfold + 11 * p.trail
    return min(s.best - 1, (10 * (at + 1) * <int64_t> SCALE + most - 1) // most - 1)


cdef inline void follow(const terms_t* g, const setting_t* p, bracket_t* s, int64_t trade) noexcept nogil:
    """A trade during a position: the trail follows it."""
    if (trade - s.best) * s.side > 0:
        s.best = trade
    if trail_due(p, s):
        move_stop(g, s, stop_price(s.side, s.best, p.trail))


# ---- reports ----

cdef inline void on_fill(const terms_t* g, const setting_t* p, bracket_t* s, const report_t* e) noexcept nogil:
    cdef order_t* q = &s.o[e.role]
    s.fees += e.fee
    s.executions += 1
    if e.role == STOP or q.attempt == e.attempt:
        if q.status == SENT:
            q.status = LIVE
            if q.asked == 0:
                q.unknown = 0
        q.filled += e.lots
        if e.role == STOP:
            q.status = ENDED
        elif q.qty > 0 and q.filled >= q.qty:
            q.status = ENDED
            q.unknown = 0
    if e.role != ENTRY:
        s.exited += e.lots
        s.exit_value += <double> e.price * <double> e.lots
        s.ts_exit = s.now
        s.last_exit = e.role
        return
    if s.entered == 0:
        s.ts_open = s.now
        s.hold_deadline = s.now + p.max_hold_ns - (g.ack_latency if g.ack_latency > <int64_t> LATE_NS else 0)
        s.best = e.price
        s.entry_maker = e.maker
    elif not e.maker:
        s.entry_maker = 0
    s.entered += e.lots
    s.entry_value += <double> e.price * <double> e.lots
    if s.executions >= EXECUTIONS_MAX - 16 and s.end == 0:
        ask_cancel(g, s, ENTRY)
    anchor(g, p, s)


cdef inline void on_ended(const terms_t* g, const setting_t* p, bracket_t* s, int64_t role, int64_t reason, int64_t last_seen) noexcept nogil:
    cdef order_t* q = &s.o[role]
    cdef int64_t was_asked = q.asked, lost = q.unknown
    q.status = ENDED
    q.unknown = 0
    if role == TARGET and reason == END_POST_ONLY:
        s.target_taker = 1
    elif role == TARGET or role == CLOSE:
        if q.filled > 0 or was_asked == CANCEL or lost:
            q.not_before = s.now
        else:
            q.not_before = s.now + min(<int64_t> BACKOFF_NS << min(q.attempt, <int64_t> 12), <int64_t> BACKOFF_MAX_NS)
    elif role == ENTRY:
        s.entry_end = reason
        if (reason == END_POST_ONLY and s.requotes < min(p.requotes, g.requotes_max) and s.entered == 0 and s.end == 0
                and was_asked != CANCEL and s.now < s.entry_deadline):
            s.requotes += 1
            s.reference = last_seen
            place_entry(g, p, s)


cdef inline void on_stop(const terms_t* g, const setting_t* p, bracket_t* s, const report_t* e) noexcept nogil:
    """The attached stop ends with a position and is alive again with the next fill."""
    cdef order_t* q = &s.o[STOP]
    if e.kind == NEW or e.kind == TRIGGERED:
        if q.status == ENDED:                # of a new position: at the entry's price
            q.asked = 0
            q.price = e.price
        q.status = LIVE
        if q.asked == AMEND or q.unknown:
            q.asked = 0
        q.unknown = 0
        q.triggered = e.kind == TRIGGERED
        anchor(g, p, s)
    elif q.status != ENDED:
        q.status = ENDED
        q.unknown = 0


cdef inline void bracket_report(const terms_t* g, const setting_t* p, bracket_t* s, const report_t* e, int64_t last_seen) noexcept nogil:
    """Process one report of the venue and its effects. last_seen: the last trade since the bracket was opened, or its reference."""
    cdef order_t* q = &s.o[e.role]
    if e.kind == FILL:
        on_fill(g, p, s, e)
    elif e.role == STOP:
        on_stop(g, p, s, e)
    elif q.attempt == e.attempt and q.status != ENDED:
        if e.kind == NEW:
            q.status = LIVE
            if q.asked == AMEND or q.unknown:
                q.asked = 0
            q.unknown = 0
        else:
            on_ended(g, p, s, e.role, e.reason, last_seen)
    reconcile_orders(g, p, s)


# ---- time ----

cdef inline int64_t answer_deadline(const order_t* q) noexcept nogil:
    if q.unknown or not (q.status == SENT or (q.status == LIVE and q.asked)):
        return NEVER
    return q.ts_asked + <int64_t> ANSWER_NS


cdef inline int64_t deadline(const terms_t* g, const setting_t* p, const bracket_t* s) noexcept nogil:
    """The bracket's next deadline."""
    cdef int64_t due = NEVER
    cdef int role
    cdef bint held = s.entered > s.exited
    if not s.active:
        return due
    if is_open(&s.o[ENTRY]) and s.o[ENTRY].asked != CANCEL and s.end == 0 and s.exited == 0:
        due = s.entry_deadline
    if held and s.end == 0:
        due = min(due, s.hold_deadline)
        if p.take_profit and not is_open(&s.o[TARGET]) and s.o[TARGET].attempt < ATTEMPTS_MAX:
            due = min(due, s.o[TARGET].not_before)
    elif held and not is_open(&s.o[CLOSE]):
        due = min(due, s.o[CLOSE].not_before)
    if g.slow:
        for role in range(ENTRY, CLOSE + 1):
            due = min(due, answer_deadline(&s.o[role]))
    return due


cdef inline void timer(const terms_t* g, const setting_t* p, bracket_t* s) noexcept nogil:
    """Process a deadline that has passed."""
    cdef int role
    if s.now >= s.hold_deadline and s.end == 0 and s.entered > s.exited:
        s.end = END_MAX_HOLD
    if g.slow:
        for role in range(ENTRY, CLOSE + 1):
            if s.now >= answer_deadline(&s.o[role]):
                s.o[role].unknown = 1
    reconcile_orders(g, p, s)
