"""The venue of a sweep (Numba): what becomes of the orders of one bracket when requests arrive and the market moves. The rules are those of SimVenue.

At the venue an order is the latter half of an ORDER record; the entry stands before all others in the order of matching.
"""

from numba_sweep.columns import moved_last, quote_alive, trades_stopped
from numba_sweep.state import (
    AMEND,
    CANCEL,
    CANCELLED,
    CLOSE,
    CREATE,
    DONE,
    END_POST_ONLY,
    END_REDUCE,
    END_VENUE,
    ENTRY,
    FILL,
    NEVER,
    NEW,
    REJECTED,
    REPORTS,
    STOP,
    TARGET,
    TRIGGERED,
    WAIT_AGAIN_NS,
    compiled,
)
from numba_sweep.terms import price_of, qty_of


@compiled
def _report(g, s, reports, kind, role, attempt, reason, now):
    """A report leaves for the engine; returns its place."""
    if s.reports_head - s.reports_tail >= REPORTS:
        s.lost += 1
        s.reports_tail += 1
    at = s.reports_head & (REPORTS - 1)
    e = reports[at]
    s.reports_head += 1
    e.ts = now + g.ack_latency
    e.kind = kind
    e.role = role
    e.attempt = attempt
    e.reason = reason
    return at


@compiled
def _end(g, s, o, reports, role, kind, reason, now):
    o[role].live = 0
    s.known = 0
    _report(g, s, reports, kind, role, o[role].made, reason, now)


@compiled
def _free_place(o):
    """The first place at the venue that no live order has: what takes is met in the order of places."""
    place, taken = 0, True
    while taken:
        taken = False
        for role in (ENTRY, STOP, TARGET, CLOSE):
            if o[role].live and o[role].place == place:
                taken = True
        place += taken
    return place


@compiled
def _wait(g, s, q, now):
    """The order takes at the next price that is known."""
    q.taking = 1
    q.wait = now + g.print_wait
    s.wait_at = min(s.wait_at, q.wait)
    s.known = 0


@compiled
def _trigger(g, s, o, reports, now):
    """The stop fires when the last price has reached it, also when it is placed or moved there; it takes at the next price that is known."""
    if s.fired == 0 and s.last > 0 and (o[STOP].at - s.last) * s.side >= 0:
        s.fired = 1
        _wait(g, s, o[STOP], now)
        _report(g, s, reports, TRIGGERED, STOP, 0, 0, now)


@compiled
def _execute(g, s, o, reports, role, price, lots, maker, now):
    """An execution of at most `lots`; what only reduces never turns the position."""
    q = o[role]
    held = abs(s.position)
    lots = held if role == STOP else min(lots, q.size - q.done)
    if role != ENTRY:
        lots = min(lots, held)
    if lots <= 0:
        return
    q.done += lots
    s.position += (s.side if role == ENTRY else -s.side) * lots
    e = reports[_report(g, s, reports, FILL, role, q.made, 0, now)]
    e.price = price
    e.lots = lots
    e.maker = maker
    e.fee = price_of(g, price) * qty_of(g, lots) * g.multiplier * (g.maker_fee if maker else g.taker_fee)
    if role == STOP or q.done >= q.size:
        q.live = 0
        s.known = 0
        if role == TARGET:  # the others are never amended: their last fill says it all
            _report(g, s, reports, DONE, role, q.made, 0, now)
    if s.position == 0:
        for other in (STOP, TARGET, CLOSE):
            if o[other].live:
                _end(g, s, o, reports, other, CANCELLED, END_REDUCE, now)
    elif role == ENTRY and o[STOP].live == 0:
        place = _free_place(o)
        stop = o[STOP]
        stop.live = 1
        stop.at = s.attached
        stop.made = stop.taking = 0
        stop.place = place
        s.fired = 0
        s.known = 0
        reports[_report(g, s, reports, NEW, STOP, 0, 0, now)].price = stop.at
        _trigger(g, s, o, reports, now)


@compiled
def _take_now(g, s, o, reports, role, price, lots, now):
    """An order takes. What a market order leaves, because it only reduces, is cancelled."""
    _execute(g, s, o, reports, role, price, lots, 0, now)
    if role != STOP and o[role].live and o[role].at == 0:
        _end(g, s, o, reports, role, CANCELLED, END_REDUCE, now)


@compiled
def end_waits(m, g, s, o, reports):
    """Orders that have waited long enough for a price: see SimVenue.end_wait."""
    now = s.wait_at
    s.wait_at = NEVER
    stop_first = o[STOP].place < o[CLOSE].place
    for turn in range(3):
        role = ENTRY if turn == 0 else STOP if (turn == 1) == stop_first else CLOSE
        q = o[role]
        if q.live and q.taking and q.wait <= now:
            price = moved_last(m, g, s, s.side if role == ENTRY else -s.side)
            if quote_alive(m, g, s.trade, s.quote, now, 0):
                q.wait = m.quote_ts[s.quote - 1] + g.quote_age + 1
            elif price == 0 or trades_stopped(m, s.trade, now):
                q.wait = now + max(g.print_wait, WAIT_AGAIN_NS)
            else:
                _take_now(g, s, o, reports, role, price, q.size, now)
        if q.live and q.taking:
            s.wait_at = min(s.wait_at, q.wait)


@compiled
def _create(m, g, s, o, reports, a):
    now, role, entry = a.ts, a.role, a.role == ENTRY
    side = s.side if entry else -s.side
    touch = 0
    if quote_alive(m, g, s.trade, s.quote, now, 0):
        touch = s.ask if side > 0 else s.bid
    known = touch if touch else moved_last(m, g, s, side)
    market = a.price == 0
    near = known if a.passive else touch  # that it takes is known of a live quote only; that it might is enough to refuse it
    crosses = near > 0 and (near - a.price) * side <= 0
    reason = 0
    if market and known == 0:
        reason = END_VENUE
    elif not entry and s.position * side >= 0:
        reason = END_REDUCE
    elif a.passive and crosses:
        reason = END_POST_ONLY
    elif entry and (a.qty < g.lots_min or qty_of(g, a.qty) * g.multiplier * price_of(g, known if market else a.price) < g.notional_min):
        reason = END_VENUE
    if reason:
        _report(g, s, reports, REJECTED, role, a.attempt, reason, now)
        return
    q = o[role]
    q.place = _free_place(o)
    q.live = 1
    q.at = a.price
    q.size = a.qty
    q.done = 0
    q.made = a.attempt
    q.taking = 0
    s.known = 0
    if entry:
        s.attached = a.stop
    if role == TARGET or g.slow or (market and touch == 0):  # that others are there changes nothing but what is waited for
        _report(g, s, reports, NEW, role, a.attempt, 0, now)
    if market and touch == 0:
        _wait(g, s, q, now)
    elif market or crosses:
        _take_now(g, s, o, reports, role, touch, a.qty, now)


@compiled
def arrive(m, g, s, o, reports, a):
    """A request reaches the venue. One about an order that has ended is refused, which the engine, told of the end before, passes over."""
    if a.action == CREATE:
        _create(m, g, s, o, reports, a)
        return
    q = o[a.role]
    if not q.live or q.made != a.attempt:
        return
    if a.action == CANCEL:
        _end(g, s, o, reports, a.role, CANCELLED, 0, a.ts)
    elif a.action == AMEND:
        q.at = a.price
        q.size = max(a.qty, q.done)
        s.known = 0
        if q.size == q.done and a.role != STOP:
            _end(g, s, o, reports, a.role, CANCELLED, 0, a.ts)
            return
        _report(g, s, reports, NEW, a.role, a.attempt, 0, a.ts)
        if a.role == STOP:
            _trigger(g, s, o, reports, a.ts)


@compiled
def _match(g, s, o, reports, role, trade, lots, now):
    """A resting limit against a trade, or (trade = 0) against the opposite quote."""
    side = s.side if role == ENTRY else -s.side
    at = o[role].at
    opposite = s.ask if side > 0 else s.bid
    if trade > 0 and (trade - at) * side < 0:
        _execute(g, s, o, reports, role, at, o[role].size, 1, now)
    elif trade == at and g.touch:
        _execute(g, s, o, reports, role, at, lots, 1, now)
    elif trade == 0 and opposite > 0 and (opposite - at) * side < 0:
        _execute(g, s, o, reports, role, at, o[role].size, 1, now)


@compiled
def _taken_at(m, g, s, side, trade, aggressor, now):
    """Where an order that takes meets a trade or, with trade = 0, the present quote; 0 = it goes on waiting."""
    near = s.ask if side > 0 else s.bid
    if trade == 0:
        return near
    if quote_alive(m, g, s.trade, s.quote, now, s.trade):
        return trade if (trade - near) * side > 0 else near
    return trade if aggressor == side else 0


@compiled
def meet(m, g, s, o, reports, trade, lots, aggressor, now):
    """The orders meet a trade, or (trade = 0) a new quote: those that take first, then the others. What comes to be here waits."""
    waiting_stop = o[STOP].live and not s.fired
    waiting_target = o[TARGET].live
    waiting_entry = o[ENTRY].live and not o[ENTRY].taking
    taking_stop, stop_first = o[STOP].live and o[STOP].taking, o[STOP].place < o[CLOSE].place
    for turn in range(3):
        role = ENTRY if turn == 0 else STOP if (turn == 1) == stop_first else CLOSE
        if o[role].live and o[role].taking and (role != STOP or taking_stop):
            price = _taken_at(m, g, s, s.side if role == ENTRY else -s.side, trade, aggressor, now)
            if price > 0:
                _take_now(g, s, o, reports, role, price, o[role].size, now)
    if waiting_entry and o[ENTRY].live:
        _match(g, s, o, reports, ENTRY, trade, lots, now)
    if waiting_target and o[TARGET].live:
        _match(g, s, o, reports, TARGET, trade, lots, now)
    if waiting_stop and o[STOP].live and trade > 0:
        _trigger(g, s, o, reports, now)
