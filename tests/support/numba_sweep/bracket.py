"""The life of a bracket in a sweep (Numba): what the engine believes, wants and asks for. The rules are those of bracket.pyx, as far as a venue that
always answers, and answers in order, can lead."""

from numba_sweep.state import (
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
    LATE_NS,
    LIVE,
    NEVER,
    NEW,
    NONE,
    SCALE,
    SENT,
    STOP,
    TARGET,
    TRIGGERED,
    compiled,
)
from numba_sweep.terms import MARKET, entry_price, scaled, stop_price, target_price

# ---- requests ----


@compiled
def _open(q):
    return q.status == SENT or q.status == LIVE


@compiled
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


@compiled
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


@compiled
def _ask_cancel(g, s, o, asked, role):
    q = o[role]
    if _open(q) and q.asked != CANCEL and s.now >= q.not_before:
        q.asked = CANCEL
        _ask(g, s, o, asked, CANCEL, role, False, 0, 0)


@compiled
def place_entry(g, p, s, o, asked):
    market = p.entry_type == MARKET
    o[ENTRY].price = entry_price(p, s.side, s.reference)
    o[STOP].price = stop_price(s.side, o[ENTRY].price, p.stop_loss)
    _ask_create(g, s, o, asked, ENTRY, market, 0 if market else 1, o[STOP].price)


# ---- what is wanted ----


@compiled
def _reconcile_position(g, p, s, o, asked, held):
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
            target.price = target_price(s.side, int(s.entry_value / s.entered + 0.5), p.take_profit, s.reference)
            _ask_create(g, s, o, asked, TARGET, False, 1 - s.target_taker, 0)
        elif target.attempt == ATTEMPTS_MAX:
            target.attempt += 1
    elif target.status == LIVE and target.asked == 0 and target.qty - target.filled != held:
        target.qty = target.filled + held
        target.asked = AMEND
        _ask(g, s, o, asked, AMEND, TARGET, False, 0, 0)


@compiled
def reconcile_orders(g, p, s, o, asked):
    """Compare what is believed with what is wanted and ask for the difference; s.finished when nothing is left."""
    if not s.active:
        return
    held = s.entered - s.exited
    entry = o[ENTRY]
    if _open(entry) and (s.end or s.exited > 0 or s.now >= s.entry_deadline):
        _ask_cancel(g, s, o, asked, ENTRY)
    if held > 0:
        _reconcile_position(g, p, s, o, asked, held)
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


@compiled
def _move_stop(g, s, o, asked, price):
    """A stop never loosens."""
    q = o[STOP]
    if (price - q.price) * s.side <= 0 or q.status != LIVE or q.asked or q.triggered:
        return
    q.price = price
    q.qty = s.entered - s.exited
    q.asked = AMEND
    _ask(g, s, o, asked, AMEND, STOP, False, 0, 0)


@compiled
def _anchor(g, p, s, o, asked):
    """A market entry's stop counts from the price that it was filled at."""
    if p.entry_type == MARKET and s.entered > 0 and s.end == 0:
        _move_stop(g, s, o, asked, stop_price(s.side, int(s.entry_value / s.entered + 0.5), p.stop_loss))


@compiled
def trails(p, s):
    return p.trail > 0 and s.active and s.entered > s.exited and s.end == 0


@compiled
def trail_due(p, s, o):
    """Would the trail move the stop? An amend must be worth a tenth of the trail's distance."""
    price = stop_price(s.side, s.best, p.trail)
    return (price - o[STOP].price) * s.side * 10 >= scaled(s.best, p.trail, 1) - s.best


@compiled
def trail_level(p, s, o):
    """A price that a trade must reach before the trail can move the stop: a bound, reached before the rule of trail_due is met."""
    at, tenfold = o[STOP].price, 10 * SCALE
    if s.side > 0:
        return max(s.best + 1, 10 * (at - 1) * SCALE // (tenfold - 11 * p.trail) + 1)
    return min(s.best - 1, -(-10 * (at + 1) * SCALE // (tenfold + 11 * p.trail)) - 1)


@compiled
def follow(g, p, s, o, asked, trade):
    """A trade while something is held: the trail follows it."""
    if (trade - s.best) * s.side > 0:
        s.best = trade
    if trail_due(p, s, o):
        _move_stop(g, s, o, asked, stop_price(s.side, s.best, p.trail))


# ---- what is heard ----


@compiled
def _on_fill(g, p, s, o, asked, e):
    q, role = o[e.role], e.role
    s.fees += e.fee
    s.executions += 1
    if role == STOP or q.attempt == e.attempt:
        if q.status == SENT:
            q.status = LIVE
            if q.asked == 0:
                q.unknown = 0
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
        s.hold_deadline = s.now + p.max_hold_ns - (g.ack_latency if g.ack_latency > LATE_NS else 0)
        s.best = e.price
        s.entry_maker = e.maker
    elif not e.maker:
        s.entry_maker = 0
    s.entered += e.lots
    s.entry_value += float(e.price) * float(e.lots)
    if s.executions >= EXECUTIONS_MAX - 16 and s.end == 0:
        _ask_cancel(g, s, o, asked, ENTRY)
    _anchor(g, p, s, o, asked)


@compiled
def _on_ended(g, p, s, o, asked, role, reason, last_seen):
    q = o[role]
    was_asked, lost = q.asked, q.unknown
    q.status = ENDED
    q.unknown = 0
    if role == TARGET and reason == END_POST_ONLY:
        s.target_taker = 1
    elif role == TARGET or role == CLOSE:
        if q.filled > 0 or was_asked == CANCEL or lost:
            q.not_before = s.now
        else:
            q.not_before = s.now + min(BACKOFF_NS << min(q.attempt, 12), BACKOFF_MAX_NS)
    elif role == ENTRY:
        s.entry_end = reason
        if (
            reason == END_POST_ONLY
            and s.requotes < min(p.requotes, g.requotes_max)
            and s.entered == 0
            and s.end == 0
            and was_asked != CANCEL
            and s.now < s.entry_deadline
        ):
            s.requotes += 1
            s.reference = last_seen
            place_entry(g, p, s, o, asked)


@compiled
def bracket_report(g, p, s, o, asked, e, last_seen):
    """One report of the venue, then what follows from it. last_seen: the last trade since the bracket was opened, or its reference."""
    q = o[e.role]
    if e.kind == FILL:
        _on_fill(g, p, s, o, asked, e)
    elif e.role == STOP:
        # the attached stop dies with a position and lives again with the next fill
        if e.kind == NEW or e.kind == TRIGGERED:
            if q.status == ENDED:  # of a new position: where the entry put it
                q.asked = 0
                q.price = e.price
            q.status = LIVE
            if q.asked == AMEND or q.unknown:
                q.asked = 0
            q.unknown = 0
            q.triggered = e.kind == TRIGGERED
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
            _on_ended(g, p, s, o, asked, e.role, e.reason, last_seen)
    reconcile_orders(g, p, s, o, asked)


# ---- time ----


@compiled
def _answer_deadline(q):
    if q.unknown or not (q.status == SENT or (q.status == LIVE and q.asked)):
        return NEVER
    return q.ts_asked + ANSWER_NS


@compiled
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


@compiled
def timer(g, p, s, o, asked):
    """A deadline has passed."""
    if s.now >= s.hold_deadline and s.end == 0 and s.entered > s.exited:
        s.end = END_MAX_HOLD
    if g.slow:
        for role in (ENTRY, STOP, TARGET, CLOSE):
            if s.now >= _answer_deadline(o[role]):
                o[role].unknown = 1
    reconcile_orders(g, p, s, o, asked)
