"""Brackets: see bracket.pxd. Both sides run through the same lines; the price rules are in bracket_spec.pyx."""

from libc.string cimport memset

from liqcore.audit cimport AUDIT_BRACKET, AUDIT_FILL, AUDIT_ORDER, AUDIT_TRADE
from liqcore.event cimport *
from liqcore.instrument cimport lots_of, price_of, qty_of, ticks_of
from liqcore.execution.order_state cimport *
from liqcore.bracket_spec cimport bracket_prices, stop_price, target_price, trail_stop

cdef int64_t LATE_NS = 60000000000         # a fill that is older than this at its report is late

cdef void audit_state(bracket_state_t* s, const instrument_t* i, uint8_t reason, int64_t now, RequestQueue out) noexcept nogil:
    cdef audit_t* a = out.audit.put(now, AUDIT_BRACKET, reason, s.state, s.instrument, s.spec.side, s.entry.id)
    cdef int64_t deadline = bracket_deadline(s, out)
    a.of.bracket.entry_price = price_of(i, s.entry.price)
    a.of.bracket.target_price = price_of(i, s.target.price)
    a.of.bracket.stop_price = price_of(i, s.stop.price)
    a.of.bracket.qty = qty_of(i, s.entry.qty)
    a.of.bracket.filled = qty_of(i, s.entered)
    a.of.bracket.position = qty_of(i, bracket_position(s)) * s.spec.side
    a.of.bracket.deadline_s = (deadline - now) / 1e9 if deadline != NEVER else 0.0
    a.of.bracket.sequence = s.sequence


cdef void place_entry(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    cdef int64_t stop
    bracket_prices(&s.spec, s.reference, &s.entry.price, &stop)
    s.stop.price = stop
    s.stop.id = order_id(s.instrument, s.sequence, 0, ROLE_STOP)
    ask_create(s, &s.entry, ROLE_ENTRY, i, s.spec.entry_type, POST_ONLY if s.spec.entry_type == ORDER_LIMIT else 0, s.spec.side, stop,
               now, out)


cdef void bracket_open(bracket_state_t* s, const bracket_t* b, const instrument_t* i, int64_t reference, int64_t lots, int32_t signal_sequence,
                       int64_t now, RequestQueue out) noexcept nogil:
    """Send the entry with its stop attached. The slot must be FLAT, the bracket checked, the lots approved by risk."""
    cdef int64_t sequence = s.sequence + 1
    cdef int32_t instrument = s.instrument
    cdef int32_t head = s.executions_head
    memset(s, 0, <char*> &s.executions[0] - <char*> s)     # executions stay known: venues repeat old ones after a reconnect
    s.executions_head = head
    s.instrument = instrument
    s.sequence = sequence
    s.spec = b[0]
    s.reference = reference
    s.last = reference
    s.signal_sequence = signal_sequence
    s.entry.qty = lots
    s.state = BRACKET_ENTERING
    s.entry_deadline = now + b.entry_ttl_ns
    s.hold_deadline = NEVER
    place_entry(s, i, now, out)
    audit_state(s, i, OK, now, out)


cdef void finish(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """Flat, and no order is alive: record the outcome, and start the cooldown after a trade (an unfilled entry is not a trade)."""
    cdef audit_t* a
    cdef double gross, closed = <double> min(s.entered, s.exited)
    if s.end == OK:
        if s.entered > 0:
            s.end = END_TARGET if s.last_exit == ROLE_TARGET else END_STOP if s.last_exit == ROLE_STOP else END_VENUE
        else:
            s.end = END_TTL if now >= s.entry_deadline and s.entry_end != END_POST_ONLY else s.entry_end if s.entry_end else END_VENUE
    if s.entered > 0:
        gross = s.exit_value - s.entry_value
        if s.entered != s.exited:       # lots without an opposite fill have no result yet
            gross = s.exit_value / max(<double> s.exited, 1.0) * closed - s.entry_value / s.entered * closed
        gross = (gross * s.spec.side) * (<double> i.tick_mantissa / i.tick_power) * \
            (<double> i.lot_mantissa / i.lot_power) * i.multiplier
        a = out.audit.put(now, AUDIT_TRADE, s.end, 1 if s.spec.side > 0 else 0, s.instrument, s.spec.side, s.entry.id)
        a.of.trade.entry_price = s.entry_value / s.entered * i.tick
        a.of.trade.exit_price = s.exit_value / s.exited * i.tick if s.exited > 0 else 0.0
        a.of.trade.qty = qty_of(i, s.entered)
        a.of.trade.gross = gross
        a.of.trade.fees = s.fees
        a.of.trade.net = gross - s.fees
        a.of.trade.hold_s = (s.ts_exit - s.ts_open) / 1e9
        a.of.trade.entry_is_maker = s.entry_maker
        s.cooldown_until = now + s.spec.cooldown_ns
    s.state = BRACKET_FLAT
    audit_state(s, i, s.end, now, out)


cdef inline int64_t left_to_close(const bracket_state_t* s, int64_t now, RequestQueue out) noexcept nogil:
    """Lots for a close: the position, less executions of exits whose fill reports are late. If these reports take too long, it is the whole position:
    the venue refuses or reduces a close that is too large, but one that is too small would leave a position without a stop."""
    return bracket_position(s) - unheard(&s.stop, now, out) - unheard(&s.target, now, out) - unheard(&s.close, now, out)


cdef inline int64_t target_ticks(const bracket_state_t* s) noexcept nogil:
    """The take-profit's price, from the average entry price."""
    return target_price(s.spec.side, <int64_t> (s.entry_value / s.entered + 0.5), s.spec.take_profit, s.reference)


cdef inline bint target_misfits(const bracket_state_t* s) noexcept nogil:
    """Whether the target rests without a request on its way, but with another size than the position, or with another price than the average of a
    market entry's fills gives (the fills of a limit have one price)."""
    return s.target.status == O_LIVE and s.target.asked == ASKED_NOTHING and (
        s.target.qty - s.target.filled != bracket_position(s) or (s.spec.entry_type == ORDER_MARKET and s.target.price != target_ticks(s)))


cdef void reconcile_position(bracket_state_t* s, const instrument_t* i, int64_t position, int64_t now, RequestQueue out) noexcept nogil:
    """With a position: close it if the exit is decided, else keep the target at the size of the position."""
    cdef int8_t exit_side = -s.spec.side
    if s.end != OK:
        if s.state != BRACKET_LEAVING:
            s.state = BRACKET_LEAVING
            audit_state(s, i, s.end, now, out)
        ask_cancel(s, &s.target, i, exit_side, now, out)
        if not order_open(&s.close) and now >= s.close.not_before and left_to_close(s, now, out) > 0:
            if s.close.attempt == ATTEMPTS_MAX:
                alarm(s, ALARM_STUCK, qty_of(i, position), ATTEMPTS_MAX, s.close.id, now, out)
            elif s.close.attempt == 255:
                s.close.attempt = ATTEMPTS_MAX + 1      # after two hours of refusals ids start again: a position is never abandoned
            s.close.qty = min(left_to_close(s, now, out), i.lots_max)      # the venue's largest order may have become smaller since the entry
            s.close.price = 0
            ask_create(s, &s.close, ROLE_CLOSE, i, ORDER_MARKET, REDUCE_ONLY, exit_side, 0, now, out)
        return
    if s.spec.take_profit == 0:
        return
    if not order_pending(&s.target):
        if now < s.target.not_before:
            return
        if s.target.attempt < ATTEMPTS_MAX:
            s.target.qty = position
            s.target.price = target_ticks(s)
            ask_create(s, &s.target, ROLE_TARGET, i, ORDER_LIMIT, REDUCE_ONLY if s.target_taker else REDUCE_ONLY | POST_ONLY, exit_side, 0,
                       now, out)
        elif s.target.attempt == ATTEMPTS_MAX:
            s.target.attempt += 1
            alarm(s, ALARM_STUCK, qty_of(i, position), ATTEMPTS_MAX, s.target.id, now, out)
    elif target_misfits(s) and now >= s.target.not_before:
        s.target.before = s.target.qty
        s.target.qty = s.target.filled + position
        s.target.price = target_ticks(s)
        s.target.asked = ASKED_AMEND
        out.ask(now, s, &s.target, i, ACTION_AMEND, ORDER_LIMIT, REDUCE_ONLY, exit_side, 0)


cdef void reconcile_orders(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """Compare the known state with the wanted one and request the difference."""
    cdef int64_t position = bracket_position(s)
    if s.state == BRACKET_FLAT:
        return
    if position < 0:
        if not s.overfilled and not s.overfill_deadline:
            s.overfill_deadline = now + out.protect_ns      # the fill of an exit may be reported before that of the entry
        position = 0
    else:
        s.overfill_deadline = 0
    if order_open(&s.entry) and (s.end != OK or s.exited > 0 or now >= s.entry_deadline):
        ask_cancel(s, &s.entry, i, s.spec.side, now, out)
    if position > 0:
        reconcile_position(s, i, position, now, out)
        return
    if s.entered == 0 and s.exited == 0 and (s.entry.status != O_ENDED or draining(&s.entry)):
        return
    ask_cancel(s, &s.target, i, -s.spec.side, now, out)
    if order_pending(&s.entry) or order_pending(&s.target) or order_pending(&s.close) or s.overfill_deadline:
        if s.state != BRACKET_WINDING:
            s.state = BRACKET_WINDING
            audit_state(s, i, s.end, now, out)
        return
    finish(s, i, now, out)


cdef order_t* order_of(bracket_state_t* s, int role) noexcept nogil:
    if role == ROLE_ENTRY:
        return &s.entry
    if role == ROLE_STOP:
        return &s.stop
    if role == ROLE_TARGET:
        return &s.target
    return &s.close


cdef void move_stop(bracket_state_t* s, const instrument_t* i, int64_t price, int64_t now, RequestQueue out) noexcept nogil:
    """A stop never loosens: max() for a long, min() for a short."""
    if (price - s.stop.price) * s.spec.side <= 0 or s.stop.status != O_LIVE or s.stop.asked != ASKED_NOTHING or now < s.stop.not_before:
        return
    if s.stop.fired or bracket_position(s) < 0:       # more exits than entries so far: no position to protect
        return
    s.stop.before = s.stop.price
    s.stop.price = price
    s.stop.qty = bracket_position(s)
    s.stop.asked = ASKED_AMEND
    out.ask(now, s, &s.stop, i, ACTION_AMEND, ORDER_STOP_MARKET, REDUCE_ONLY, -s.spec.side, 0)


cdef void anchor_stop(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """The stop of a market entry counts from its fill price, not from the reference price."""
    if s.spec.entry_type == ORDER_MARKET and s.entered > 0 and s.end == OK:
        move_stop(s, i, stop_price(s.spec.side, <int64_t> (s.entry_value / s.entered + 0.5), s.spec.stop_loss), now, out)


cdef bint counted_before(bracket_state_t* s, int64_t key) noexcept nogil:
    """The venue may report the same execution twice, in any order, and again long after the bracket is over."""
    cdef int n
    for n in range(min(s.executions_head, EXECUTIONS_MAX)):
        if s.executions[n] >> 4 == key >> 4:    # independent of the order: stream and query may name different orders
            return True
    return False


cdef void remember(bracket_state_t* s, int64_t key) noexcept nogil:
    s.executions[s.executions_head & (EXECUTIONS_MAX - 1)] = key
    s.executions_head += 1
    if s.executions_head == 2 * EXECUTIONS_MAX:
        s.executions_head = EXECUTIONS_MAX
    s.executions_count += 1


cdef void on_entry_fill(bracket_state_t* s, const instrument_t* i, const event_t* e, int64_t ticks, int64_t lots, bint maker, int64_t now,
                        RequestQueue out) noexcept nogil:
    cdef bint first = s.entered == 0
    s.entered += lots
    s.entry_value += <double> ticks * <double> lots
    if first:
        s.ts_open = now
        # after a late report (a restart, an outage of the venue) the hold counts from the fill's own time; else the difference is latency only
        s.hold_deadline = (e.ts_event if now - e.ts_event > LATE_NS else now) + s.spec.max_hold_ns
        s.best = ticks
        s.entry_maker = maker
    else:
        s.entry_maker = s.entry_maker and maker
    if s.state == BRACKET_ENTERING or s.state == BRACKET_WINDING:
        s.state = BRACKET_HOLDING
        if s.stop.status != O_LIVE:
            s.protect_deadline = now + out.protect_ns
        audit_state(s, i, OK, now, out)
    if s.executions_count >= EXECUTIONS_MAX - 16 and s.end == OK and order_open(&s.entry) and s.entry.asked != ASKED_CANCEL:
        alarm(s, ALARM_EXECUTIONS, s.executions_count, EXECUTIONS_MAX, s.entry.id, now, out)
        ask_cancel(s, &s.entry, i, s.spec.side, now, out)


cdef void reopen(bracket_state_t* s, const instrument_t* i, const event_t* e, int64_t now, RequestQueue out) noexcept nogil:
    """A fill of an ended bracket. The position that it opened is closed at market and counted as a separate trade."""
    alarm(s, ALARM_LATE, e.price, e.qty, e.id, now, out)
    if s.exited > s.entered:        # unexplained exits: perhaps they closed this entry
        s.exit_value *= <double> (s.exited - s.entered) / <double> s.exited
        s.exited -= s.entered
    else:
        s.exited = 0
        s.exit_value = 0.0
    s.entered = 0
    s.entry_value = s.fees = 0.0
    s.end = END_VENUE
    s.state = BRACKET_WINDING


cdef void liquidated(bracket_state_t* s, const event_t* e, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """The venue closes the position by force. We close the rest, but only afterwards, because the venue refuses orders meanwhile."""
    if s.end != END_LIQUIDATED:
        s.end = END_LIQUIDATED
        s.protect_deadline = 0
        alarm(s, ALARM_LIQUIDATED, e.price, s.entry_value / s.entered * i.tick if s.entered > 0 else 0.0, e.id, now, out)
    s.close.not_before = max(s.close.not_before, now + out.protect_ns)      # after each refusal the wait grows


cdef void outsider(bracket_state_t* s, const event_t* e, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """Another party reduces our position: a person, another program, the venue's deleveraging. The position is no longer ours alone, so the rest is
    closed, after a time for further reports of the other party's trades."""
    alarm(s, ALARM_OUTSIDE, e.price, e.qty, e.id, now, out)
    if s.end == OK:
        s.end = END_OUTSIDE
        s.protect_deadline = 0
        s.close.not_before = max(s.close.not_before, now + out.protect_ns)


cdef int on_fill(bracket_state_t* s, const event_t* e, const instrument_t* i, order_t* o, int role, int64_t now, RequestQueue out) noexcept nogil:
    cdef int64_t ticks = ticks_of(i, e.price)
    cdef int64_t lots = lots_of(i, e.qty)
    cdef bint maker = (e.flags & FILL_MAKER) != 0
    cdef audit_t* a
    if lots <= 0:
        alarm(s, ALARM_FOREIGN, e.price, e.qty, e.id, now, out)
        return -1
    remember(s, (<int64_t> e.aux_qty << 4) | role)
    if s.state == BRACKET_FLAT:
        reopen(s, i, e, now, out)
    s.fees += e.aux_price
    if o.id == e.id:
        if o.status == O_SENT:
            o.status = O_LIVE
            if o.asked == ASKED_NOTHING:
                o.unknown = 0       # the fill answers the request whose answer was missing
        o.filled += lots
        if role == ROLE_STOP and o.fired and bracket_position(s) > lots:
            s.protect_deadline = now + out.protect_ns if s.end == OK else 0     # the stop works as a market order; each fill extends its time
        elif role == ROLE_STOP:
            # the stop has fired and no longer protects the rest
            o.status = O_ENDED
            o.ts_reported = max(o.ts_reported, e.ts_event)
        elif o.qty > 0 and o.filled >= o.qty:
            o.status = O_ENDED
            o.unknown = 0
    if role == ROLE_ENTRY:
        on_entry_fill(s, i, e, ticks, lots, maker, now, out)
    else:
        s.exited += lots
        s.exit_value += <double> ticks * <double> lots
        s.ts_exit = now
        s.last_exit = role
        if role == ROLE_STOP and bracket_position(s) > 0 and s.end == OK and s.protect_deadline == 0:
            s.protect_deadline = now + out.protect_ns
        elif role == ROLE_LIQUIDATION:
            liquidated(s, e, i, now, out)
        elif role == ROLE_OUTSIDE:
            outsider(s, e, i, now, out)
    a = out.audit.put(now, AUDIT_FILL, 0, e.code, s.instrument, s.spec.side if role == ROLE_ENTRY else -s.spec.side, e.id)
    a.of.fill.price = e.price
    a.of.fill.qty = e.qty
    a.of.fill.fee = e.aux_price
    a.of.fill.flags = e.flags
    a.of.fill.position = qty_of(i, bracket_position(s)) * s.spec.side
    a.of.fill.entry_price = s.entry_value / s.entered * i.tick if s.entered > 0 else 0.0
    a.of.fill.execution_id = e.aux_qty
    a.of.fill.role = role
    if role == ROLE_ENTRY:
        anchor_stop(s, i, now, out)
    return 1


cdef void on_refused(bracket_state_t* s, const instrument_t* i, order_t* o, int role, int64_t now, RequestQueue out) noexcept nogil:
    """An amend or a cancel was refused: the order is still alive, or it has ended and the report is late. Repeat at a falling rate."""
    cdef uint8_t asked = o.asked
    o.asked = ASKED_NOTHING
    o.unknown = 0
    if asked == ASKED_AMEND and role != ROLE_STOP:
        o.qty = o.before
        if o.filled >= o.qty:
            o.status = O_ENDED                              # the reason of the refusal
        ask_cancel(s, o, i, -s.spec.side, now, out)         # replace it, because its size is not certain
    elif asked != ASKED_NOTHING:
        if asked == ASKED_AMEND:
            o.price = o.before
        o.not_before = now + out.backoff(o.refusals)
        if o.refusals < 255:
            o.refusals += 1
        if o.refusals == ATTEMPTS_MAX:
            o.unknown = 1
            alarm(s, ALARM_UNKNOWN, o.refusals, ATTEMPTS_MAX, o.id, now, out)


cdef void on_alive(bracket_state_t* s, const event_t* e, const instrument_t* i, order_t* o, int role, bint newer, int64_t now,
                   RequestQueue out) noexcept nogil:
    """The venue reports the order as alive: the answer to a create, an amend or a query, or an unsolicited report, possibly an old one."""
    cdef bint was_live = o.status == O_LIVE
    cdef int64_t stated = ticks_of(i, e.price) if role == ROLE_STOP else lots_of(i, e.qty + e.aux_qty) if e.aux_qty > 0.0 else -1
    if o.status == O_ENDED:                 # the attached stop of a new position has the entry's price; requests about the last one do not count
        o.asked = ASKED_NOTHING
        o.unknown = 0
        if stated > 0:
            o.price = stated
    o.fired = e.code == ORDER_TRIGGERED or (o.fired and was_live)       # an amend may be confirmed after the trigger
    o.status = O_LIVE
    o.refusals = 0
    if o.asked != ASKED_AMEND or o.unknown or stated != o.before:         # equal to the value before the amend: not its answer
        if stated > 0 and (o.unknown or (was_live and newer and o.asked == ASKED_NOTHING)):
            if role == ROLE_STOP:
                o.price = stated
            elif role == ROLE_TARGET:
                o.qty = stated                # the venue shrinks an order that would reduce more than the position
        if o.asked == ASKED_AMEND or o.unknown:
            o.asked = ASKED_NOTHING         # also a cancel of unknown outcome: the venue was queried, and the order is alive
        o.unknown = 0
    if role == ROLE_STOP:
        s.protect_deadline = 0
        anchor_stop(s, i, now, out)


cdef void on_order(bracket_state_t* s, const event_t* e, const instrument_t* i, order_t* o, int role, int64_t now, RequestQueue out) noexcept nogil:
    """A status report. It can only move an order forward; a report older than the known state is ignored."""
    cdef uint8_t asked = o.asked
    cdef bint lost = o.unknown, newer = e.ts_event > o.ts_reported
    if o.id != e.id:
        return
    o.executed = max(o.executed, lots_of(i, e.aux_qty))
    if role == ROLE_STOP:
        # the attached stop ends with a position and is alive again, under the same id, with the next fill: the venue's time tells the later report
        if e.ts_event < o.ts_reported or (o.status == O_ENDED and e.code != ORDER_NEW):
            return
    elif o.status == O_ENDED:
        return
    if e.code == ORDER_NEW or e.code == ORDER_TRIGGERED:
        o.ts_reported = max(o.ts_reported, e.ts_event)      # from the venue's own reports only; refusals may have our own time
        on_alive(s, e, i, o, role, newer, now, out)
    elif e.code == ORDER_UNKNOWN:
        o.unknown = 1
        alarm(s, ALARM_UNKNOWN, 0.0, 0.0, o.id, now, out)
    elif e.code == ORDER_REFUSED or (e.code == ORDER_REJECTED and o.status == O_LIVE and asked != ASKED_NOTHING):
        on_refused(s, i, o, role, now, out)
    else:
        o.status = O_ENDED
        o.unknown = 0
        o.ts_reported = max(o.ts_reported, e.ts_event)
        if draining(o):
            o.ts_asked = now        # now the missing fills are awaited
        if role == ROLE_STOP:
            s.protect_deadline = now + out.protect_ns if bracket_position(s) > 0 and s.end == OK else 0
            if e.code == ORDER_REJECTED and bracket_position(s) > 0 and s.end == OK:
                s.end = END_UNPROTECTED
                alarm(s, ALARM_UNPROTECTED, 0.0, 0.0, o.id, now, out)
        elif role == ROLE_TARGET and e.flags == END_POST_ONLY:
            s.target_taker = 1
        elif role == ROLE_TARGET or role == ROLE_CLOSE:
            # it was not refused but lost: it is requested again at once
            o.not_before = now if o.filled > 0 or o.executed > 0 or asked == ASKED_CANCEL or lost else now + out.backoff(o.attempt)
        elif role == ROLE_ENTRY:
            s.entry_end = e.flags
            if (e.flags == END_POST_ONLY and s.requotes < s.spec.requotes_max and s.entered == 0 and s.end == OK
                    and asked != ASKED_CANCEL and now < s.entry_deadline):
                s.requotes += 1
                s.reference = s.last
                place_entry(s, i, now, out)
        if e.flags == END_LIQUIDATED:
            liquidated(s, e, i, now, out)


cdef int bracket_report(bracket_state_t* s, const event_t* e, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """A venue report (ORDER or FILL) for this instrument. 1 = a new execution, which the account must count; -1 = an execution that cannot be ours:
    trading must stop; 0 = anything else."""
    cdef int role = id_role(e.id)
    cdef int counted = 0
    cdef order_t* o
    cdef audit_t* a
    cdef bint ours = id_sequence(e.id) == (s.sequence & 0xFFFFFFF) and ROLE_ENTRY <= role <= ROLE_OUTSIDE and s.sequence > 0
    if e.kind == ORDER:
        a = out.audit.put(now, AUDIT_ORDER, e.flags, e.code, s.instrument, e.side, e.id)
        a.of.order.price = e.price
        a.of.order.qty = e.qty
        a.of.order.role = role
        if ours:
            o = order_of(s, role)
            a.of.order.latency_ms = (now - o.ts_asked) / 1e6 if o.ts_asked > 0 else 0.0
            on_order(s, e, i, o, role, now, out)
    elif counted_before(s, (<int64_t> e.aux_qty << 4) | role):
        return 0
    elif not ours:
        alarm(s, ALARM_FOREIGN, e.price, e.qty, e.id, now, out)
        return -1
    else:
        counted = on_fill(s, e, i, order_of(s, role), role, now, out)
    reconcile_orders(s, i, now, out)
    return counted


cdef void bracket_trade(bracket_state_t* s, const instrument_t* i, int64_t ticks, int64_t now, RequestQueue out) noexcept nogil:
    """A market trade while the bracket is open: the trail follows it."""
    cdef int64_t price
    s.last = ticks
    if s.spec.trail == 0 or bracket_position(s) <= 0 or s.end != OK:
        return
    if (ticks - s.best) * s.spec.side > 0:
        s.best = ticks
    if trail_stop(&s.spec, <int64_t> (s.entry_value / s.entered + 0.5), s.best, s.stop.price, &price):
        move_stop(s, i, price, now, out)


cdef void bracket_leave(bracket_state_t* s, const instrument_t* i, uint8_t reason, int64_t now, RequestQueue out) noexcept nogil:
    """Decide the exit (once): cancel the entry, close the position at market."""
    if s.state == BRACKET_FLAT or s.end != OK:
        return
    s.end = reason
    reconcile_orders(s, i, now, out)


cdef void bracket_withdraw(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """No further entry: cancel the entry order. A position stays, with its stop and target."""
    if s.state == BRACKET_FLAT or s.end != OK:
        return
    if s.entered == 0:
        bracket_leave(s, i, END_CONTROL, now, out)
    elif order_open(&s.entry):
        s.entry_deadline = min(s.entry_deadline, now)
        reconcile_orders(s, i, now, out)


cdef inline int64_t answer_deadline(const order_t* o, RequestQueue out) noexcept nogil:
    if o.unknown or not (o.status == O_SENT or (o.status == O_LIVE and o.asked != ASKED_NOTHING) or draining(o)):
        return NEVER
    return o.ts_asked + out.answer_ns


cdef void mark_unknown(bracket_state_t* s, order_t* o, int64_t now, RequestQueue out) noexcept nogil:
    """A request without an answer has an unknown outcome: the order stays open, counts as exposure, and is not sent again."""
    if now >= answer_deadline(o, out):
        o.unknown = 1
        alarm(s, ALARM_UNKNOWN, (now - o.ts_asked) / 1e9, out.answer_ns / 1e9, o.id, now, out)


cdef int bracket_timer(bracket_state_t* s, const instrument_t* i, int64_t now, RequestQueue out) noexcept nogil:
    """A deadline of this slot has passed. -1 = the venue's position cannot be ours: trading must stop."""
    cdef int verdict = 0
    if s.state == BRACKET_FLAT:
        return 0
    if s.overfill_deadline and now >= s.overfill_deadline:
        s.overfill_deadline = 0
        s.overfilled = 1
        verdict = -1
        alarm(s, ALARM_OVERFILL, qty_of(i, bracket_position(s)), 0.0, s.entry.id, now, out)
    if s.protect_deadline and now >= s.protect_deadline:
        s.protect_deadline = 0
        if s.end == OK and bracket_position(s) > 0:
            alarm(s, ALARM_UNPROTECTED, out.protect_ns / 1e9, 0.0, s.stop.id, now, out)
            s.end = END_UNPROTECTED
    if now >= s.hold_deadline and s.end == OK and bracket_position(s) > 0:
        s.end = END_MAX_HOLD
    mark_unknown(s, &s.entry, now, out)
    mark_unknown(s, &s.target, now, out)
    mark_unknown(s, &s.close, now, out)
    mark_unknown(s, &s.stop, now, out)
    reconcile_orders(s, i, now, out)
    return verdict


cdef int64_t late_fills_until(const bracket_state_t* s, RequestQueue out) noexcept nogil:
    """Time until which late fills are still awaited."""
    cdef int64_t t = 0
    if s.stop.executed > s.stop.filled:
        t = s.stop.ts_asked
    if s.target.executed > s.target.filled:
        t = max(t, s.target.ts_asked)
    if s.close.executed > s.close.filled:
        t = max(t, s.close.ts_asked)
    return t + out.protect_ns


cdef int64_t exit_deadline(const bracket_state_t* s, RequestQueue out) noexcept nogil:
    """When an exit that was refused, or that waits for late reports, is requested."""
    cdef int64_t t = NEVER
    if bracket_position(s) > 0 and s.end != OK and not order_open(&s.close):
        t = s.close.not_before if left_to_close(s, 0, out) > 0 else max(s.close.not_before, late_fills_until(s, out))
    if bracket_position(s) > 0 and s.end == OK and target_misfits(s):
        t = min(t, s.target.not_before)
    if bracket_position(s) > 0 and s.end == OK and s.spec.take_profit and not order_pending(&s.target) and s.target.attempt < ATTEMPTS_MAX:
        t = min(t, s.target.not_before)
    if (bracket_position(s) <= 0 or s.end != OK) and order_open(&s.target) and s.target.asked != ASKED_CANCEL:
        t = min(t, s.target.not_before)
    return t


cdef int64_t bracket_deadline(const bracket_state_t* s, RequestQueue out) noexcept nogil:
    """When bracket_timer must be called next."""
    cdef int64_t t = NEVER
    if s.state == BRACKET_FLAT:
        return NEVER
    if order_open(&s.entry) and s.entry.asked != ASKED_CANCEL:
        t = max(s.entry_deadline, s.entry.not_before) if s.end == OK and s.exited == 0 else s.entry.not_before
    if bracket_position(s) > 0 and s.end == OK:
        t = min(t, s.hold_deadline)
    if s.protect_deadline:
        t = min(t, s.protect_deadline)
    if s.overfill_deadline:
        t = min(t, s.overfill_deadline)
    t = min(t, exit_deadline(s, out))
    t = min(t, answer_deadline(&s.entry, out))
    t = min(t, answer_deadline(&s.target, out))
    t = min(t, answer_deadline(&s.close, out))
    return min(t, answer_deadline(&s.stop, out))
