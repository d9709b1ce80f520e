"""The venue of a sweep: it processes requests and market events for the orders of one bracket, by the rules of SimVenue.

The venue's state of an order is the second half of an order_t. The entry is matched before all other orders.
"""

from libc.stdint cimport int64_t

from liqcore.sweep.records cimport (AMEND, CANCEL, CANCELLED, CLOSE, CREATE, DONE, END_POST_ONLY, END_REDUCE, END_VENUE, ENTRY, FILL, NEVER, NEW,
                                    REJECTED, REPORTS, STOP, TARGET, TRIGGERED, bracket_t, order_t, report_t, request_t, terms_t)
from liqcore.sweep.rows cimport columns_t, moved_last, taken_at, touch_at, wait_longer
from liqcore.sweep.terms cimport fee_of, notional_of


cdef inline report_t* report(const terms_t* g, bracket_t* s, int64_t kind, int64_t role, int64_t attempt, int64_t reason, int64_t now) noexcept nogil:
    """Send a report to the engine."""
    cdef report_t* e
    if s.reports_head - s.reports_tail >= REPORTS:
        s.lost += 1
        s.reports_tail += 1
    e = &s.reports[s.reports_head & (REPORTS - 1)]
    s.reports_head += 1
    e.ts = now + g.ack_latency
    e.kind = kind
    e.role = role
    e.attempt = attempt
    e.reason = reason
    return e


cdef inline void end_order(const terms_t* g, bracket_t* s, int64_t role, int64_t kind, int64_t reason, int64_t now) noexcept nogil:
    s.o[role].live = 0
    s.known = 0
    report(g, s, kind, role, s.o[role].made, reason, now)


cdef inline int64_t free_place(const bracket_t* s) noexcept nogil:
    """The first place at the venue without a live order. Orders that take are matched in the order of places."""
    cdef int64_t place = 0
    cdef int role
    cdef bint taken = True
    while taken:
        taken = False
        for role in range(ENTRY, CLOSE + 1):
            if s.o[role].live and s.o[role].place == place:
                taken = True
        place += taken
    return place


cdef inline void await_price(const terms_t* g, bracket_t* s, order_t* q, int64_t now) noexcept nogil:
    """The order takes at the next known price."""
    q.taking = 1
    q.wait = now + g.print_wait
    s.wait_at = min(s.wait_at, q.wait)
    s.known = 0


cdef inline void trigger(const terms_t* g, bracket_t* s, int64_t now) noexcept nogil:
    """Fire the stop if the last price has reached it, also when it is placed or moved there; it takes at the next known price."""
    if s.fired == 0 and s.last > 0 and (s.o[STOP].at - s.last) * s.side >= 0:
        s.fired = 1
        await_price(g, s, &s.o[STOP], now)
        report(g, s, TRIGGERED, STOP, 0, 0, now)


cdef inline void execute(const terms_t* g, bracket_t* s, int64_t role, int64_t price, int64_t lots, bint maker, int64_t now) noexcept nogil:
    """An execution of at most `lots`; a reduce-only order never turns the position."""
    cdef order_t* q = &s.o[role]
    cdef order_t* stop = &s.o[STOP]
    cdef report_t* e
    cdef int64_t held = s.position if s.position >= 0 else -s.position, other
    lots = held if role == STOP else min(lots, q.size - q.done)
    if role != ENTRY:
        lots = min(lots, held)
    if lots <= 0:
        return
    q.done += lots
    s.position += (s.side if role == ENTRY else -s.side) * lots
    e = report(g, s, FILL, role, q.made, 0, now)
    e.price = price
    e.lots = lots
    e.maker = maker
    e.fee = fee_of(g, price, lots, g.maker_fee if maker else g.taker_fee)
    if role == STOP or q.done >= q.size:
        q.live = 0
        s.known = 0
        if role == TARGET:                   # the others are never amended; their last fill is enough
            report(g, s, DONE, role, q.made, 0, now)
    if s.position == 0:
        for other in range(STOP, CLOSE + 1):
            if s.o[other].live:
                end_order(g, s, other, CANCELLED, END_REDUCE, now)
    elif role == ENTRY and stop.live == 0:
        stop.place = free_place(s)
        stop.live = 1
        stop.at = s.attached
        stop.made = stop.taking = 0
        s.fired = 0
        s.known = 0
        report(g, s, NEW, STOP, 0, 0, now).price = stop.at
        trigger(g, s, now)


cdef inline void take_now(const terms_t* g, bracket_t* s, int64_t role, int64_t price, int64_t lots, int64_t now) noexcept nogil:
    """An order takes. The rest of a market order, which only reduces, is cancelled."""
    execute(g, s, role, price, lots, False, now)
    if role != STOP and s.o[role].live and s.o[role].at == 0:
        end_order(g, s, role, CANCELLED, END_REDUCE, now)


cdef inline int64_t taker(const bracket_t* s, int turn) noexcept nogil:
    """The order that takes at a turn: the entry, then stop and close by their places."""
    return ENTRY if turn == 0 else STOP if (turn == 1) == (s.o[STOP].place < s.o[CLOSE].place) else CLOSE


cdef inline void end_waits(const columns_t* m, const terms_t* g, bracket_t* s) noexcept nogil:
    """End the waits of orders that found no price in time: see SimVenue.end_wait."""
    cdef int64_t now = s.wait_at, price, longer, role
    cdef int64_t order[3]
    cdef order_t* q
    cdef int turn
    s.wait_at = NEVER
    for turn in range(3):
        order[turn] = taker(s, turn)
    for turn in range(3):
        role = order[turn]
        q = &s.o[role]
        if q.live and q.taking and q.wait <= now:
            price = moved_last(m, g, s.side if role == ENTRY else -s.side, s.trade, s.quote)
            longer = wait_longer(m, g, price, s.trade, s.quote, now)
            if longer:
                q.wait = longer
            else:
                take_now(g, s, role, price, q.size, now)
        if q.live and q.taking:
            s.wait_at = min(s.wait_at, q.wait)


cdef inline void create(const columns_t* m, const terms_t* g, bracket_t* s, const request_t* a) noexcept nogil:
    cdef int64_t role = a.role, now = a.ts, reason = 0, known, near, touch, side
    cdef bint entry = role == ENTRY, market = a.price == 0, crosses
    cdef order_t* q = &s.o[role]
    side = s.side if entry else -s.side
    touch = touch_at(m, g, side, s.trade, s.quote, now)
    known = touch if touch else moved_last(m, g, side, s.trade, s.quote)
    near = known if a.passive else touch         # only a live quote shows that it takes; a passive order is refused if it might
    crosses = near > 0 and (near - a.price) * side <= 0
    if market and known == 0:
        reason = END_VENUE
    elif not entry and s.position * side >= 0:
        reason = END_REDUCE
    elif a.passive and crosses:
        reason = END_POST_ONLY
    elif entry and (a.qty < g.lots_min or notional_of(g, a.qty, known if market else a.price) < g.notional_min):
        reason = END_VENUE
    if reason:
        report(g, s, REJECTED, role, a.attempt, reason, now)
        return
    q.place = free_place(s)
    q.live = 1
    q.at = a.price
    q.size = a.qty
    q.done = 0
    q.made = a.attempt
    q.taking = 0
    s.known = 0
    if entry:
        s.attached = a.stop
    if role == TARGET or g.slow or (market and touch == 0):      # the engine does not wait for a NEW of the others
        report(g, s, NEW, role, a.attempt, 0, now)
    if market and touch == 0:
        await_price(g, s, q, now)
    elif market or crosses:
        take_now(g, s, role, touch, a.qty, now)


cdef inline void arrive(const columns_t* m, const terms_t* g, bracket_t* s, const request_t* a) noexcept nogil:
    """A request reaches the venue. One about an ended order is refused; the engine has the report of the end already and ignores it."""
    cdef order_t* q = &s.o[a.role]
    if a.action == CREATE:
        create(m, g, s, a)
        return
    if not q.live or q.made != a.attempt:
        return
    if a.action == CANCEL:
        end_order(g, s, a.role, CANCELLED, 0, a.ts)
    elif a.action == AMEND:
        q.at = a.price
        q.size = max(a.qty, q.done)
        s.known = 0
        if q.size == q.done and a.role != STOP:
            end_order(g, s, a.role, CANCELLED, 0, a.ts)
            return
        report(g, s, NEW, a.role, a.attempt, 0, a.ts)
        if a.role == STOP:
            trigger(g, s, a.ts)


cdef inline void match(const terms_t* g, bracket_t* s, int64_t role, int64_t trade, int64_t lots, int64_t now) noexcept nogil:
    """Match a resting limit with a trade, or (trade = 0) with the opposite quote."""
    cdef int64_t side = s.side if role == ENTRY else -s.side, at = s.o[role].at
    cdef int64_t opposite = s.ask if side > 0 else s.bid
    if trade > 0 and (trade - at) * side < 0:
        execute(g, s, role, at, s.o[role].size, True, now)
    elif trade == at and g.touch:
        execute(g, s, role, at, lots, True, now)
    elif trade == 0 and opposite > 0 and (opposite - at) * side < 0:
        execute(g, s, role, at, s.o[role].size, True, now)


cdef inline void meet(const columns_t* m, const terms_t* g, bracket_t* s, int64_t trade, int64_t lots, int64_t now) noexcept nogil:
    """Match the orders with a trade, or (trade = 0) a new quote: first those that take, then the others. Orders created here wait for the next
    event."""
    cdef bint waiting_stop = s.o[STOP].live and not s.fired, waiting_target = s.o[TARGET].live
    cdef bint waiting_entry = s.o[ENTRY].live and not s.o[ENTRY].taking, taking_stop = s.o[STOP].live and s.o[STOP].taking
    cdef int64_t order[3]
    cdef int64_t role, price
    cdef int turn
    for turn in range(3):
        order[turn] = taker(s, turn)
    for turn in range(3):
        role = order[turn]
        if s.o[role].live and s.o[role].taking and (role != STOP or taking_stop):
            price = taken_at(m, g, s.side if role == ENTRY else -s.side, s.trade, s.quote, trade > 0, now)
            if price > 0:
                take_now(g, s, role, price, s.o[role].size, now)
    if waiting_entry and s.o[ENTRY].live:
        match(g, s, ENTRY, trade, lots, now)
    if waiting_target and s.o[TARGET].live:
        match(g, s, TARGET, trade, lots, now)
    if waiting_stop and s.o[STOP].live and trade > 0:
        trigger(g, s, now)
