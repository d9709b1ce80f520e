"""The engine's state of one instrument's orders, and the queue of its requests: see order_state.pxd."""

from libc.stdlib cimport calloc, free

from liqcore.audit cimport AUDIT_ALARM, AUDIT_REQUEST
from liqcore.event cimport *
from liqcore.instrument cimport price_of, qty_of

from liqcore import event as schema

# After a fill a stop must be confirmed within 1 s. Closing at market then stays inside the 2 s that a position may be without one.
cdef int64_t PROTECT_NS = 1000000000
cdef int64_t ANSWER_NS = 5000000000        # a request without an answer for 5 s has an unknown outcome
cdef int64_t BACKOFF_NS = 100000000        # pause after a first refusal; doubles with every further one
cdef int64_t BACKOFF_MAX_NS = 30000000000


cdef class RequestQueue:
    def __cinit__(self, AuditRing audit, int64_t capacity=1024, double patience=1.0):
        if capacity < 16 or capacity & (capacity - 1):
            raise ValueError(f"request capacity: expected a power of two >= 16, got {capacity}")
        if not 1.0 <= patience <= PATIENCE_MAX:
            raise ValueError(f"patience: expected a factor from 1 to {int(PATIENCE_MAX)}, got {patience!r}")
        self.audit = audit
        self.protect_ns = <int64_t> (PROTECT_NS * patience)
        self.answer_ns = <int64_t> (ANSWER_NS * patience)
        self.backoff_ns = <int64_t> (BACKOFF_NS * patience)
        self.backoff_max_ns = <int64_t> (BACKOFF_MAX_NS * patience)
        self.ring = <request_t*> calloc(capacity, sizeof(request_t))
        if self.ring == NULL:
            raise MemoryError("no memory for the request ring")
        self.mask = capacity - 1

    def __dealloc__(self):
        free(self.ring)

    cdef int64_t backoff(self, int refusals) noexcept nogil:
        """How long to wait after this number of refusals."""
        return min(self.backoff_ns << min(refusals, 12), self.backoff_max_ns)

    cdef request_t* ask(self, int64_t ts, bracket_state_t* s, order_t* o, const instrument_t* i, uint8_t action, uint8_t type, uint8_t flags,
                        int8_t side, int64_t stop) noexcept nogil:
        """Queue a request about order `o`, and audit it. The driver takes it out within the same step, so the ring cannot overrun unless the
        driver is broken; then the newest request would be lost, which is_full() lets the engine refuse entries before."""
        cdef request_t* r = &self.ring[self.head & self.mask]
        cdef audit_t* a
        r.ts = ts
        r.id = o.id
        r.price = 0 if type == ORDER_MARKET and action == ACTION_CREATE else o.price
        r.qty = o.qty
        r.stop = stop
        r.instrument = s.instrument
        r.side = side
        r.action = action
        r.type = type
        r.flags = flags
        # a close: its Reason, which a simulated venue repeats in its fill; an entry: the price that sized it, for the guard
        r.reserved = s.end if id_role(o.id) == ROLE_CLOSE else o.price if id_role(o.id) == ROLE_ENTRY else 0
        o.ts_asked = ts
        s.orders += 1
        a = self.audit.put(ts, AUDIT_REQUEST, 0, action, s.instrument, side, o.id)
        r.cause = a.seq
        a.of.request.price = price_of(i, o.price)
        a.of.request.qty = qty_of(i, o.qty)
        a.of.request.stop_price = price_of(i, stop)
        a.of.request.order_type = type
        a.of.request.request_flags = flags
        a.of.request.sequence = s.sequence
        a.of.request.last_price = price_of(i, s.last)
        a.of.request.role = id_role(o.id)
        self.head += 1
        return r


cdef int64_t order_id(int32_t instrument, int64_t sequence, int attempt, int role) noexcept nogil:
    """Deterministic: the same decision of the same run has the same id, so an order is recognised after any loss of state."""
    return (<int64_t> instrument << 40) | ((sequence & 0xFFFFFFF) << 12) | (<int64_t> (attempt & 255) << 4) | role


cdef void alarm(bracket_state_t* s, int kind, double value, double limit, int64_t id, int64_t now, RequestQueue out) noexcept nogil:
    cdef audit_t* a = out.audit.put(now, AUDIT_ALARM, 0, kind, s.instrument, s.spec.side, id)
    a.of.alarm.value = value
    a.of.alarm.limit = limit


cdef void ask_create(bracket_state_t* s, order_t* o, int role, const instrument_t* i, uint8_t type, uint8_t flags, int8_t side, int64_t stop,
                     int64_t now, RequestQueue out) noexcept nogil:
    """A new order in place of the ended one, with the id of the next attempt."""
    if o.status != O_NONE:
        o.attempt += 1
    o.executed = 0
    o.refusals = 0
    o.id = order_id(s.instrument, s.sequence, o.attempt, role)
    o.filled = 0
    o.status = O_SENT
    o.asked = ASKED_NOTHING
    o.unknown = 0
    out.ask(now, s, o, i, ACTION_CREATE, type, flags, side, stop)


cdef void ask_cancel(bracket_state_t* s, order_t* o, const instrument_t* i, int8_t side, int64_t now, RequestQueue out) noexcept nogil:
    if order_open(o) and o.asked != ASKED_CANCEL and now >= o.not_before:
        o.asked = ASKED_CANCEL
        out.ask(now, s, o, i, ACTION_CANCEL, ORDER_LIMIT, 0, side, 0)


cdef void order_restart(bracket_state_t* s, order_t* o, int64_t grace_ns, int64_t now, RequestQueue out) noexcept nogil:
    """The answer to the outstanding request was missed: its outcome is unknown until the venue is queried."""
    if order_open(o) and not o.unknown and (o.status == O_SENT or o.asked != ASKED_NOTHING):
        o.unknown = 1
        alarm(s, ALARM_UNKNOWN, (now - o.ts_asked) / 1e9, out.answer_ns / 1e9, o.id, now, out)
    if draining(o):
        o.unknown = 0
        o.ts_asked = now            # wait anew for the missing fills
    o.not_before = max(o.not_before, now + grace_ns)


cdef void bracket_restart(bracket_state_t* s, int64_t grace_ns, int64_t now, RequestQueue out) noexcept nogil:
    """Continue after a restart. Time limits of the machine count from now. Those of the trade (TTL, max hold) stay, but nothing is sent about it for
    `grace_ns`, because it may be over and the position may belong to another party."""
    if s.state == BRACKET_FLAT:
        return
    order_restart(s, &s.entry, grace_ns, now, out)
    order_restart(s, &s.stop, grace_ns, now, out)
    order_restart(s, &s.target, grace_ns, now, out)
    order_restart(s, &s.close, grace_ns, now, out)
    if s.overfill_deadline:
        s.overfill_deadline = now + grace_ns
    s.protect_deadline = now + grace_ns if bracket_position(s) > 0 and s.end == OK and (s.protect_deadline or s.stop.status != O_LIVE) else 0


ORDER_STATUS = ("none", "sent", "live", "ended")
ORDER_ASKED = ("", "amend", "cancel")


cdef list bracket_orders(const bracket_state_t* s, const instrument_t* i, object symbol):
    """The state of each order of the bracket, in the form of Engine.orders()."""
    cdef const order_t* o
    cdef const order_t* all[4]
    cdef int n, role
    all[0], all[1], all[2], all[3] = &s.entry, &s.stop, &s.target, &s.close
    out = []
    for n in range(4 if s.state != BRACKET_FLAT else 0):
        o = all[n]
        if o.status == O_NONE:
            continue
        role = id_role(o.id)
        out.append({
            "id": o.id, "role": schema.Role(role), "instrument": s.instrument, "symbol": symbol,
            "side": s.spec.side if role == ROLE_ENTRY else -s.spec.side, "status": ORDER_STATUS[o.status], "asked": ORDER_ASKED[o.asked],
            "unknown": bool(o.unknown), "price": price_of(i, o.price), "stop_price": price_of(i, s.stop.price) if role == ROLE_ENTRY else 0.0,
            "qty": qty_of(i, o.qty), "filled": qty_of(i, o.filled), "executed": qty_of(i, o.executed), "attempt": o.attempt, "ts_asked": o.ts_asked})
    return out
