"""The life of a bracket in a sweep (Numba): what the engine believes, wants and asks for. The rules are those of bracket.pyx, as far as a venue that
always answers, and answers in order, can lead."""

from numba import njit

from liqcore.sweep_state import (
    AMEND,
    ANSWER_NS,
    ARRIVALS,
    ATTEMPTS_MAX,
    BACKOFF_MAX_NS,
    BACKOFF_NS,
    CANCEL,
    CLOSE,
    CREATE,
    END_MAX_HOLD,
    END_POST_ONLY,
    END_STOP,
    END_TARGET,
    END_TTL,
    END_VENUE,
    ENDED,
    ENTRY,
    EXECUTIONS_MAX,
    FILL,
    LIVE,
    NEVER,
    NEW,
    NONE,
    REASON_COLLAR,
    REASON_NOTIONAL,
    REASON_QTY,
    REASON_STALE_DATA,
    SCALE,
    SENT,
    STOP,
    TARGET,
)
from liqcore.sweep_venue import price_of, qty_of

MARKET = 2


# ---- prices: exact integers ----

@njit(cache=True, nogil=True, _nrt=False)
def _scaled(ticks, fraction, up):
    product = ticks * (SCALE + fraction)
    return (product + SCALE - 1) // SCALE if up else product // SCALE


@njit(cache=True, nogil=True, _nrt=False)
def entry_price(p, side, reference):
    """A resting entry gives no more than it must."""
    if p.entry_type == MARKET:
        return reference
    return _scaled(reference, -p.entry_offset, 0) if side > 0 else _scaled(reference, p.entry_offset, 1)


@njit(cache=True, nogil=True, _nrt=False)
def stop_price(side, fill, fraction):
    """Never risk more than stated."""
    return _scaled(fill, -fraction, 1) if side > 0 else _scaled(fill, fraction, 0)


@njit(cache=True, nogil=True, _nrt=False)
def _target_price(side, fill, fraction, reference):
    """Rounded towards the price that the entry was offset from."""
    product = fill * (SCALE + side * fraction)
    return _scaled(fill, side * fraction, 1 if product < reference * SCALE else 0)


@njit(cache=True, nogil=True, _nrt=False)
def lots_for(g, notional, ticks):
    """The wanted notional in whole lots, at most the venue's largest order; -1 where that is no quantity."""
    price = price_of(g, ticks) * g.multiplier
    if price <= 0.0:
        return -1
    lots = notional / price / g.lot
    if not lots < 34359738368.0:
        return -1
    return min(int(lots * (1.0 + 1e-12)), g.lots_max)


@njit(cache=True, nogil=True, _nrt=False)
def forbidden(g, lots, entry, last, notional, stale):
    """The first limit that an entry would break, or 0."""
    if lots < g.lots_min or notional < g.notional_min:
        return REASON_QTY
    if notional > g.notional_max:
        return REASON_NOTIONAL
    if stale:
        return REASON_STALE_DATA
    price, at = price_of(g, entry), price_of(g, last)
    if price > at * (1.0 + g.collar) or price < at * (1.0 - g.collar):
        return REASON_COLLAR
    return 0


# ---- requests ----

@njit(cache=True, nogil=True, _nrt=False)
def _open(q):
    return q.status == SENT or q.status == LIVE


@njit(cache=True, nogil=True, _nrt=False)
def _ask(g, s, o, asked, action, role, market, passive, stop):
    q = o[role]
    a = asked[s.asked_head & (ARRIVALS - 1)]
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


@njit(cache=True, nogil=True, _nrt=False)
def _ask_create(g, s, o, asked, role, market, passive, stop):
    """A new order in the place of the ended one, under the number of the next attempt."""
    q = o[role]
    if q.status != NONE:
        q.attempt += 1
    q.filled = 0
    q.status = SENT
    q.asked = 0
    q.unknown = 0
    _ask(g, s, o, asked, CREATE, role, market, passive, stop)


@njit(cache=True, nogil=True, _nrt=False)
def _ask_cancel(g, s, o, asked, role):
    q = o[role]
    if _open(q) and q.asked != CANCEL and s.now >= q.not_before:
        q.asked = CANCEL
        _ask(g, s, o, asked, CANCEL, role, False, 0, 0)


@njit(cache=True, nogil=True, _nrt=False)
def place_entry(g, p, s, o, asked):
    market = p.entry_type == MARKET
    o[ENTRY].price = entry_price(p, s.side, s.reference)
    o[STOP].price = stop_price(s.side, o[ENTRY].price, p.stop_loss)
    _ask_create(g, s, o, asked, ENTRY, market, 0 if market else 1, o[STOP].price)


# ---- what is wanted ----

@njit(cache=True, nogil=True, _nrt=False)
def _settle_held(g, p, s, o, asked, held):
    """While something is held: close it if the exit is decided, else keep the target at the size of the position."""
    target, close = o[TARGET], o[CLOSE]
    if s.end:
        _ask_cancel(g, s, o, asked, TARGET)
        if not _open(close) and s.now >= close.not_before:
            close.qty = held
            close.price = 0
            _ask_create(g, s, o, asked, CLOSE, True, 0, 0)
        return
    if p.take_profit == 0:
        return
    if not _open(target):
        if s.now < target.not_before:
            return
        if target.attempt < ATTEMPTS_MAX:
            target.qty = held
            target.price = _target_price(s.side, int(s.entry_value / s.entered + 0.5), p.take_profit, s.reference)
            _ask_create(g, s, o, asked, TARGET, False, 1 - s.target_taker, 0)
        elif target.attempt == ATTEMPTS_MAX:
            target.attempt += 1
    elif target.status == LIVE and target.asked == 0 and target.qty - target.filled != held:
        target.qty = target.filled + held
        target.asked = AMEND
        _ask(g, s, o, asked, AMEND, TARGET, False, 0, 0)


@njit(cache=True, nogil=True, _nrt=False)
def settle(g, p, s, o, asked):
    """Compare what is believed with what is wanted and ask for the difference; s.finished when nothing is left."""
    if not s.active:
        return
    held = s.entered - s.exited
    entry = o[ENTRY]
    if _open(entry) and (s.end or s.exited > 0 or s.now >= s.entry_deadline):
        _ask_cancel(g, s, o, asked, ENTRY)
    if held > 0:
        _settle_held(g, p, s, o, asked, held)
        return
    if s.entered == 0 and s.exited == 0 and entry.status != ENDED:
        return
    _ask_cancel(g, s, o, asked, TARGET)
    if _open(entry) or _open(o[TARGET]) or _open(o[CLOSE]):
        return
    if s.end == 0:
        if s.entered > 0:
            s.end = END_TARGET if s.last_exit == TARGET else END_STOP if s.last_exit == STOP else END_VENUE
        elif s.now >= s.entry_deadline and s.entry_end != END_POST_ONLY:
            s.end = END_TTL
        else:
            s.end = s.entry_end if s.entry_end else END_VENUE
    s.active = 0
    s.finished = s.now


# ---- stops ----

@njit(cache=True, nogil=True, _nrt=False)
def _move_stop(g, s, o, asked, price):
    """A stop never loosens."""
    q = o[STOP]
    if (price - q.price) * s.side <= 0 or q.status != LIVE or q.asked:
        return
    q.price = price
    q.qty = s.entered - s.exited
    q.asked = AMEND
    _ask(g, s, o, asked, AMEND, STOP, False, 0, 0)


@njit(cache=True, nogil=True, _nrt=False)
def _anchor(g, p, s, o, asked):
    """A market entry's stop counts from the price that it was filled at."""
    if p.entry_type == MARKET and s.entered > 0 and s.end == 0:
        _move_stop(g, s, o, asked, stop_price(s.side, int(s.entry_value / s.entered + 0.5), p.stop_loss))


@njit(cache=True, nogil=True, _nrt=False)
def trails(p, s):
    return p.trail > 0 and s.active and s.entered > s.exited and s.end == 0


@njit(cache=True, nogil=True, _nrt=False)
def trail_due(p, s, o):
    """Would the trail move the stop? An amend must be worth a tenth of the trail's distance."""
    price = stop_price(s.side, s.best, p.trail)
    return (price - o[STOP].price) * s.side * 10 >= _scaled(s.best, p.trail, 1) - s.best


@njit(cache=True, nogil=True, _nrt=False)
def trail_level(p, s, o):
    """A price that a trade must reach before the trail can move the stop: a bound, reached before the rule of trail_due is met."""
    at, tenfold = o[STOP].price, 10 * SCALE
    if s.side > 0:
        return max(s.best + 1, 10 * (at - 1) * SCALE // (tenfold - 11 * p.trail) + 1)
    return min(s.best - 1, -(-10 * (at + 1) * SCALE // (tenfold + 11 * p.trail)) - 1)


@njit(cache=True, nogil=True, _nrt=False)
def follow(g, p, s, o, asked, trade):
    """A trade while something is held: the trail follows it."""
    if (trade - s.best) * s.side > 0:
        s.best = trade
    if trail_due(p, s, o):
        _move_stop(g, s, o, asked, stop_price(s.side, s.best, p.trail))


# ---- what is heard ----

@njit(cache=True, nogil=True, _nrt=False)
def _hear_fill(g, p, s, o, asked, e):
    q, role = o[e.role], e.role
    s.fees += e.fee
    s.executions += 1
    if role == STOP or q.attempt == e.attempt:
        if q.status == SENT:
            q.status = LIVE
        q.filled += e.lots
        if role == STOP:
            q.status = ENDED
        elif q.qty > 0 and q.filled >= q.qty:
            q.status = ENDED
            q.unknown = 0
    if role != ENTRY:
        s.exited += e.lots
        s.exit_value += float(e.price) * float(e.lots)
        s.ts_exit = s.now
        s.last_exit = role
        return
    if s.entered == 0:
        s.ts_open = s.now
        s.hold_deadline = s.now + p.max_hold_ns
        s.best = e.price
        s.entry_maker = e.maker
    elif not e.maker:
        s.entry_maker = 0
    s.entered += e.lots
    s.entry_value += float(e.price) * float(e.lots)
    if s.executions >= EXECUTIONS_MAX - 16 and s.end == 0:
        _ask_cancel(g, s, o, asked, ENTRY)
    _anchor(g, p, s, o, asked)


@njit(cache=True, nogil=True, _nrt=False)
def _hear_end(g, p, s, o, asked, role, reason, last_seen):
    q = o[role]
    was_asked = q.asked
    q.status = ENDED
    q.unknown = 0
    if role == TARGET and reason == END_POST_ONLY:
        s.target_taker = 1
    elif role == TARGET or role == CLOSE:
        if q.filled > 0 or was_asked == CANCEL:
            q.not_before = s.now
        else:
            q.not_before = s.now + min(BACKOFF_NS << min(q.attempt, 12), BACKOFF_MAX_NS)
    elif role == ENTRY:
        s.entry_end = reason
        if (reason == END_POST_ONLY and s.requotes < min(p.requotes, g.requotes_max) and s.entered == 0 and s.end == 0
                and was_asked != CANCEL and s.now < s.entry_deadline):
            s.requotes += 1
            s.reference = last_seen
            place_entry(g, p, s, o, asked)


@njit(cache=True, nogil=True, _nrt=False)
def hear(g, p, s, o, asked, e, last_seen):
    """One report of the venue, then what follows from it. last_seen: the last trade since the bracket was opened, or its reference."""
    q = o[e.role]
    if e.kind == FILL:
        _hear_fill(g, p, s, o, asked, e)
    elif e.role == STOP:
        # the attached stop dies with a position and lives again with the next fill
        if e.kind == NEW:
            q.status = LIVE
            if q.asked == AMEND or q.unknown:
                q.asked = 0
            q.unknown = 0
            _anchor(g, p, s, o, asked)
        elif q.status != ENDED:
            q.status = ENDED
            q.unknown = 0
    elif q.attempt == e.attempt and q.status != ENDED:
        if e.kind == NEW:
            q.status = LIVE
            if q.asked == AMEND or q.unknown:
                q.asked = 0
            q.unknown = 0
        else:
            _hear_end(g, p, s, o, asked, e.role, e.reason, last_seen)
    settle(g, p, s, o, asked)


# ---- time ----

@njit(cache=True, nogil=True, _nrt=False)
def _answer_deadline(q):
    if q.unknown or not (q.status == SENT or (q.status == LIVE and q.asked)):
        return NEVER
    return q.ts_asked + ANSWER_NS


@njit(cache=True, nogil=True, _nrt=False)
def deadline(g, p, s, o):
    """When the engine must look at the bracket next."""
    if not s.active:
        return NEVER
    due, held = NEVER, s.entered > s.exited
    if _open(o[ENTRY]) and o[ENTRY].asked != CANCEL and s.end == 0 and s.exited == 0:
        due = s.entry_deadline
    if held and s.end == 0:
        due = min(due, s.hold_deadline)
        if p.take_profit and not _open(o[TARGET]) and o[TARGET].attempt < ATTEMPTS_MAX:
            due = min(due, o[TARGET].not_before)
    elif held and not _open(o[CLOSE]):
        due = min(due, o[CLOSE].not_before)
    if g.slow:
        for role in (ENTRY, STOP, TARGET, CLOSE):
            due = min(due, _answer_deadline(o[role]))
    return due


@njit(cache=True, nogil=True, _nrt=False)
def timer(g, p, s, o, asked):
    """A deadline has passed."""
    if s.now >= s.hold_deadline and s.end == 0 and s.entered > s.exited:
        s.end = END_MAX_HOLD
    if g.slow:
        for role in (ENTRY, STOP, TARGET, CLOSE):
            if s.now >= _answer_deadline(o[role]):
                o[role].unknown = 1
    settle(g, p, s, o, asked)


@njit(cache=True, nogil=True, _nrt=False)
def trade_gross(g, s):
    """Gross result of a bracket that is flat, operation for operation as the engine's."""
    return (s.exit_value - s.entry_value) * s.side * (float(g.tick_mantissa) / g.tick_power) * (float(g.lot_mantissa) / g.lot_power) * g.multiplier


@njit(cache=True, nogil=True, _nrt=False)
def notional_of(g, lots, ticks):
    return qty_of(g, lots) * g.multiplier * price_of(g, ticks)
