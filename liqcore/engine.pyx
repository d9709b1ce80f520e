"""The engine: see engine.pxd. The order inside a step is fixed: door, time, state, detector, policy, risk, bracket."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.audit cimport AUDIT_ALARM, AUDIT_FEED, AUDIT_POLICY, AUDIT_RISK
from liqcore.bracket cimport (bracket_deadline, bracket_leave, bracket_open, bracket_report, bracket_timer, bracket_trade, bracket_withdraw)
from liqcore.detect cimport (SIGNALS_PER_CALL, cascade_audit_lapsed, cascade_audit_large, cascade_deadline, cascade_free, cascade_init,
                             cascade_load, cascade_push, cascade_save, cascade_threshold, cascade_timer, cascade_uncertain)
from liqcore.door cimport door
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, lots_of, price_of, qty_of, ticks_of
from liqcore.market cimport market_bbo, market_ticker, market_trade
from liqcore.request cimport Request
from liqcore.risk cimport ask_t, hurdle, size_entry, size_requote
from liqcore.sides cimport side_inverted
from liqcore.slot cimport ALARM_POLICY, BRACKET_FLAT, id_role, slot_orders, slot_position, slot_restart
from liqcore.terms cimport audit_answer, bracket_t, check_bracket
from liqcore.trades cimport trade_identity, trade_pack, trade_unpack

from liqcore import event as schema
from liqcore import slot as life
from liqcore.event import as_events
from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-engine-3\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t MARK_FRESH_NS = 5000000000
cdef int REQUESTS_RUNAWAY = 600    # requests of one bracket; more means that something runs wild


cdef class Engine:
    """Recognises cascades in a stream of events and answers them with brackets.

    instruments: names or liqcore.Instrument; the index of each is what events carry. config: CascadeConfig. policy: a liqcore.Policy, or None
    for detection only. risk: liqcore.Risk. equity: starting capital. audit_capacity: records kept until drained (a power of two).
    band: a price more than this factor away from the last good one is refused. patience (1 to 1000): stretches the limits that measure the
    machine and the network, not the market (a stop's confirmation, an answer, back-offs), for rehearsals faster than real time; law L7 holds at 1.

    Feed it with on_liquidation(...), on_trade(...), ... (each returns the signals it caused), or run(array). Take the order requests with
    drain(), and bring the venue's answers back with on_order and on_fill. Time is data: nothing happens between calls.
    """

    def __cinit__(self, instruments, *args, audit_capacity=65536, double patience=1.0, **kwargs):
        cdef int n
        names = [instruments] if isinstance(instruments, (str, Instrument)) else list(instruments)
        if not 0 < len(names) <= 100_000:
            raise ValueError(f"instruments: expected 1 to 100000 names or Instruments, got {len(names)}")
        self.instruments = tuple(i if isinstance(i, Instrument) else Instrument(i) for i in names)
        self.count = len(self.instruments)
        self.index = {i.symbol: n for n, i in enumerate(self.instruments)}
        venues = sorted({i.venue for i in self.instruments})
        self.venues = len(venues)
        self.audit = AuditRing(audit_capacity)
        self.out = Outbox(self.audit, 4096, patience)
        self.patience = patience
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.market = <market_t*> calloc(self.count, sizeof(market_t))
        self.cascade = <cascade_t*> calloc(self.count, sizeof(cascade_t))
        self.slot = <slot_t*> calloc(self.count, sizeof(slot_t))
        self.due = <int64_t*> calloc(self.count, sizeof(int64_t))
        self.venue_of = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.side_checks = <side_check_t*> calloc(self.venues, sizeof(side_check_t))
        self.said_capacity = 64 + 4 * self.count
        self.said = <signal_t*> calloc(self.said_capacity, sizeof(signal_t))
        if (self.inst == NULL or self.market == NULL or self.cascade == NULL or self.slot == NULL or self.due == NULL
                or self.venue_of == NULL or self.side_checks == NULL or self.said == NULL):
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
            self.venue_of[n] = venues.index(self.instruments[n].venue)
            self.slot[n].instrument = n
            self.due[n] = NEVER
        self.due_next = NEVER
        self.clock.now = -NEVER

    def __init__(self, instruments, config=None, policy=None, risk=None, *, double equity=10_000.0, audit_capacity=65536,
                 double band=10.0, double patience=1.0):
        cdef int n
        cdef uint8_t flags
        if len(self.index) != self.count:
            raise ValueError("instruments: the same name twice: " + ", ".join(i.symbol for i in self.instruments))
        if self.config is not None:
            raise RuntimeError("Engine.__init__ called twice: make a new Engine")
        if policy is not None and not isinstance(policy, Policy):
            raise TypeError(f"policy: expected a liqcore.Policy, got {type(policy).__name__}")
        if not 1.5 <= band <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        self.band = band
        self.policy = policy
        self.risk = Risk() if risk is None else risk
        self.account = Account(self.instruments, equity)
        config = CascadeConfig() if config is None else config
        for n in range(self.count):
            flags = SIGNAL_CENSORED if self.inst[n].completeness == COMPLETENESS_CENSORED else 0
            if (<CascadeConfig?> config).c.basis:
                flags |= SIGNAL_MARK_NOTIONAL
            cascade_init(&self.cascade[n], &(<CascadeConfig> config).c, n, flags)
        self.config = config

    def __dealloc__(self):
        cdef int n
        if self.cascade != NULL:
            for n in range(self.count):
                cascade_free(&self.cascade[n])
        free(self.inst)
        free(self.market)
        free(self.cascade)
        free(self.slot)
        free(self.due)
        free(self.venue_of)
        free(self.side_checks)
        free(self.said)

    # ---- time ----

    cdef void reschedule(self, int32_t n) noexcept nogil:
        """Instrument n's deadlines have changed."""
        cdef int64_t before = self.due[n]
        cdef int64_t due = min(cascade_deadline(&self.cascade[n], &self.config.c), bracket_deadline(&self.slot[n], self.out))
        cdef int i
        if due == before:
            return
        self.due[n] = due
        if due <= self.due_next:
            self.due_next = due
        elif before == self.due_next:
            self.due_next = NEVER
            for i in range(self.count):
                self.due_next = min(self.due_next, self.due[i])

    cdef int64_t wake(self) noexcept nogil:
        """When advance_c must be called next."""
        return min(self.due_next, self.account.ledger.day_ends) if self.account.ledger.day_ends else self.due_next

    cdef int advance_c(self, int64_t now) except -1:
        """Serve every deadline up to `now`, each at its own moment and in order of time: what the engine does never depends on when it was woken."""
        cdef int64_t since
        cdef int n
        if self.account.ledger.day_ends == 0:
            self.account.roll(now)
        while min(self.due_next, self.account.ledger.day_ends) <= now:
            if self.account.ledger.day_ends <= self.due_next:
                self.clock.now = max(self.clock.now, self.account.ledger.day_ends)
                self.risk.new_day(self.account.roll(self.clock.now), self.account, self.clock.now, self.audit)
                continue
            n = 0
            while self.due[n] != self.due_next:
                n += 1
            self.clock.now = max(self.clock.now, self.due_next)
            since = self.out.head
            try:
                self.serve(n)
            finally:
                if self.risk.latch.halted != self.clock.halt_heeded:
                    self.heed_halt()
                self.after_requests(since)
                self.reschedule(n)
        self.clock.now = max(self.clock.now, now)
        return 0

    cdef int serve(self, int n) except -1:
        """The deadlines of one instrument at this moment: detector first, then bracket."""
        cdef signal_t said[SIGNALS_PER_CALL]
        cdef int k, count
        if cascade_deadline(&self.cascade[n], &self.config.c) <= self.clock.now:
            count = cascade_timer(&self.cascade[n], &self.config.c, self.clock.now, said)
            if self.cascade[n].p.lapsed:
                cascade_audit_lapsed(&self.cascade[n], self.clock.now, self.audit)
            for k in range(count):
                self.speak(&said[k])
        if bracket_deadline(&self.slot[n], self.out) <= self.clock.now:
            if bracket_timer(&self.slot[n], &self.inst[n], self.clock.now, self.out) < 0:
                self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
            if self.slot[n].state == BRACKET_FLAT:
                self.account.disown(n)
        return 0

    # ---- the door ----

    cdef int refuse(self, const event_t* e, uint8_t reason) noexcept nogil:
        """Count it, say it, change nothing. Its time has passed all the same (it is ours, not the event's): so where the record stands in the
        audit stream does not depend on whether advance() was called before."""
        self.clock.refused[reason] += 1
        self.audit.refused(self.clock.now, e, reason, self.market[e.instrument].good if 0 <= e.instrument < self.count else 0.0,
                           self.clock.refused[reason])
        return 0

    cdef int step_c(self, const event_t* e) except -1:
        """One event through the whole engine. 0 = accepted or refused (the audit says which); -1 = a policy raised."""
        cdef market_t* m
        cdef slot_t* s
        cdef int64_t since
        cdef uint8_t reason = door(e, self.clock.now, self.market, self.inst, self.count, self.band)
        if reason == BAD_TIME and not (e.ts_recv >= self.clock.now and 0 <= e.ts_recv < TIME_MAX):
            return self.refuse(e, reason)
        if self.due_next <= e.ts_recv or e.ts_recv >= self.account.ledger.day_ends:
            self.advance_c(e.ts_recv)
        self.clock.now = e.ts_recv
        if reason != OK:
            return self.refuse(e, reason)
        self.clock.events += 1
        if e.kind == TIMER:
            return 0
        since = self.out.head
        if e.kind == LIQUIDATION:
            try:
                self.on_liquidation_c(e)
            finally:                    # a policy may raise: what was done until then stands, and time must go on
                self.reschedule(e.instrument)
        elif e.kind == TRADE:
            m = &self.market[e.instrument]
            s = &self.slot[e.instrument]
            market_trade(m, e)
            if m.mark == 0.0:
                self.account.mark(e.instrument, e.price)
            if s.state != BRACKET_FLAT:
                bracket_trade(s, &self.inst[e.instrument], ticks_of(&self.inst[e.instrument], e.price), self.clock.now, self.out)
                self.reschedule(e.instrument)
        elif e.kind == BBO:
            market_bbo(&self.market[e.instrument], e)
        elif e.kind == TICKER:
            market_ticker(&self.market[e.instrument], e)
            if e.price > 0.0:
                self.account.mark(e.instrument, e.price)
        elif e.kind == ORDER or e.kind == FILL:
            self.on_report(e)
        elif e.kind == FUNDING:
            self.account.fund(e, self.slot[e.instrument].entry.id, self.clock.now, self.audit)
            self.risk.watch(self.account, self.clock.now, self.audit)
        elif e.kind == FEED:
            self.on_feed_c(e)
        else:
            self.control_c(e)
        if self.risk.latch.halted != self.clock.halt_heeded:
            self.heed_halt()
        if self.out.head != since:
            self.after_requests(since)
        return 0

    # ---- events ----

    cdef int on_liquidation_c(self, const event_t* e) except -1:
        cdef signal_t said[SIGNALS_PER_CALL]
        cdef market_t* m = &self.market[e.instrument]
        cdef cascade_t* c = &self.cascade[e.instrument]
        cdef double price = e.price, notional = e.aux_price
        cdef uint8_t flags = 0
        cdef int n, count
        m.good = e.price
        if self.config.c.basis and (m.mark if self.config.c.basis == 1 else m.last) > 0.0:
            price = m.mark if self.config.c.basis == 1 else m.last
            notional = 0.0
        if notional <= 0.0:
            notional = e.qty * self.inst[e.instrument].multiplier * price
        if e.ts_recv - e.ts_event > self.risk.limits.event_age_max_ns:
            flags = SIGNAL_STALE
        if m.mark > 0.0 and e.ts_recv - m.ts_ticker <= MARK_FRESH_NS:
            if side_inverted(&self.side_checks[self.venue_of[e.instrument]], e, m.mark, self.audit):
                self.risk.control(CONTROL_HALT, self.account, e.ts_recv, self.audit)
        count = cascade_push(c, &self.config.c, e.ts_recv, e.side, notional, m.last if m.last > 0.0 else e.price, flags, said)
        if c.p.large:
            cascade_audit_large(c, e, notional, self.audit)
        for n in range(count):
            self.speak(&said[n])
        return 0

    cdef int on_report(self, const event_t* e) except -1:
        """What the venue says of an order: the only thing that changes the account."""
        cdef instrument_t* i = &self.inst[e.instrument]
        cdef slot_t* s = &self.slot[e.instrument]
        cdef int side
        cdef int counted
        if e.kind == ORDER and e.flags == END_POST_ONLY and e.id == s.entry.id and s.requotes < s.spec.requotes_max:
            self.judge_requote(s, i)
        counted = bracket_report(s, e, i, self.clock.now, self.out)
        if counted > 0:
            side = s.spec.side if id_role(e.id) == ROLE_ENTRY else -s.spec.side
            self.account.fill(e.instrument, side, ticks_of(i, e.price), lots_of(i, e.qty), e.aux_price)
            self.risk.watch(self.account, self.clock.now, self.audit)
        elif counted < 0:
            self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
        if s.state == BRACKET_FLAT:
            self.account.disown(e.instrument)
        self.reschedule(e.instrument)
        return 0

    cdef void judge_requote(self, slot_t* s, const instrument_t* i) noexcept nogil:
        """A post-only entry was rejected; its next try is an entry like any other, at a new price and time: risk may refuse it."""
        cdef ask_t ask
        size_requote(&ask, s, i)
        if self.risk.judge(&ask, i, &self.market[s.instrument], self.slot, self.count, self.account, self.clock.now, self.audit) != OK:
            s.requotes = s.spec.requotes_max

    cdef void on_feed_c(self, const event_t* e) noexcept nogil:
        """Down or gap: running cascades are forgotten and nothing is entered until the feed has been whole for a detector window."""
        cdef int64_t until = NEVER if e.code == FEED_DOWN else self.clock.now + self.config.c.window_ns
        cdef cascade_t* c
        cdef int first = 0 if e.instrument == ALL_INSTRUMENTS else e.instrument
        cdef int last = self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1
        cdef int n
        cdef audit_t* a = self.audit.put(self.clock.now, AUDIT_FEED, OK, e.code, e.instrument, 0, e.ts_event)
        a.x[0] = (self.clock.now - e.ts_event) / 1e9
        a.x[1] = (until - self.clock.now) / 1e9 if until != NEVER else -1.0
        for n in range(first, last):
            c = &self.cascade[n]
            if e.code != FEED_UP or c.p.uncertain_until > self.clock.now:
                # a gap while the feed is down does not bring it up
                cascade_uncertain(c, max(until, c.p.uncertain_until) if e.code == FEED_GAP else until)
                self.reschedule(n)

    cdef void control_c(self, const event_t* e) noexcept nogil:
        """An operator's word; or a gate: what rests may stay, what is held is never touched by one."""
        cdef int n
        if e.code == CONTROL_PAUSE or e.code == CONTROL_READY:
            n = max(e.instrument, 0)
            self.risk.gate(e, &self.market[n], self.count if e.instrument == ALL_INSTRUMENTS else 1, self.clock.now, self.audit)
            return
        if e.code == CONTROL_LOWER:
            self.risk.lower(e, self.account, self.clock.now, self.audit)
            return
        self.risk.control(e.code, self.account, self.clock.now, self.audit)
        for n in range(self.count if e.code == CONTROL_FLATTEN else 0):
            bracket_leave(&self.slot[n], &self.inst[n], END_CONTROL, self.clock.now, self.out)
            self.reschedule(n)

    cdef void heed_halt(self) noexcept nogil:
        """A halt has latched, whoever latched it, or was lifted: entries that rest are withdrawn, what is held stays protected."""
        cdef int n
        self.clock.halt_heeded = self.risk.latch.halted
        for n in range(self.count if self.risk.latch.halted else 0):
            bracket_withdraw(&self.slot[n], &self.inst[n], self.clock.now, self.out)
            self.reschedule(n)

    # ---- signal -> policy -> risk -> bracket ----

    cdef int speak(self, const signal_t* s) except -1:
        self.audit.signal(s)
        if self.said_count < self.said_capacity:
            self.said[self.said_count] = s[0]
            self.said_count += 1
        else:
            self.said_lost += 1
        if self.slot[s.instrument].state != BRACKET_FLAT and self.slot[s.instrument].signal_sequence == s.sequence and \
                self.slot[s.instrument].spec.exit_phase and s.phase >= self.slot[s.instrument].spec.exit_phase:
            bracket_leave(&self.slot[s.instrument], &self.inst[s.instrument], END_PHASE, self.clock.now, self.out)
        if self.policy is not None:
            self.answer(s)
        return 0

    cdef int ask_policy(self, const signal_t* s, const market_t* m, bracket_t* b) except -1:
        """The policy's answer. One that raises has lost its right to trade: entries halt, exits go on, and the caller gets the exception."""
        cdef audit_t* a
        try:
            return self.policy.on_signal_c(s, m, self.instruments[s.instrument], b)
        except BaseException:
            a = self.audit.put(self.clock.now, AUDIT_ALARM, OK, ALARM_POLICY, s.instrument, s.side, s.ts_start)
            a.x[0] = s.count
            self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
            raise

    cdef int answer(self, const signal_t* s) except -1:
        """Ask the policy, then risk; open the bracket or say why not."""
        cdef bracket_t b
        cdef ask_t ask
        cdef market_t* m = &self.market[s.instrument]
        cdef instrument_t* i = &self.inst[s.instrument]
        cdef slot_t* slot = &self.slot[s.instrument]
        cdef int64_t reference
        cdef uint8_t reason
        memset(&b, 0, sizeof(b))
        if not self.ask_policy(s, m, &b):
            self.audit.put(self.clock.now, AUDIT_POLICY, NO_TRADE, s.phase, s.instrument, 0, s.ts_start)
            return 0
        reason = BAD_BRACKET if check_bracket(&b) else OK
        b.requotes_max = min(<int> b.requotes_max, self.risk.limits.orders_per_signal_max - 1)
        reference = b.reference if b.reference > 0 else max(ticks_of(i, m.last), <int64_t> 0)
        audit_answer(&b, s, price_of(i, reference), reason, self.clock.now, self.audit)
        if reason != OK:
            return 0
        reason = hurdle(s, m, slot, self.clock.now, self.out)
        if reason == OK:
            size_entry(&ask, &b, reference, self.account.equity_now(), i)
            ask.instrument = s.instrument
            ask.side = b.side
            ask.phase = s.phase
            ask.cause = s.ts_start
            reason = self.risk.judge(&ask, i, m, self.slot, self.count, self.account, self.clock.now, self.audit)
        else:
            self.audit.put(self.clock.now, AUDIT_RISK, reason, s.phase, s.instrument, b.side, s.ts_start)
        if reason == OK:
            bracket_open(slot, &b, i, reference, ask.lots, s.sequence, self.clock.now, self.out)
            self.reschedule(s.instrument)
        return 0

    cdef void after_requests(self, int64_t since) noexcept nogil:
        """Count what was sent; a bracket that asks without end latches the halt."""
        cdef int64_t k
        cdef request_t* r
        for k in range(since, self.out.head):
            r = &self.out.ring[k & self.out.mask]
            if r.action == ACTION_CREATE and id_role(r.id) == ROLE_ENTRY:
                self.risk.count_order(r.ts)
            if self.slot[r.instrument].orders > REQUESTS_RUNAWAY and not self.risk.latch.halted:
                self.risk.latch_limit(RISK_PER_SIGNAL, self.slot[r.instrument].orders, REQUESTS_RUNAWAY, self.account, r.ts, self.audit)

    cdef request_t* next_request(self) noexcept nogil:
        """The oldest request not yet taken, or NULL."""
        cdef request_t* r
        if self.out.tail == self.out.head:
            return NULL
        r = &self.out.ring[self.out.tail & self.out.mask]
        self.out.tail += 1
        return r

    # ---- from Python ----

    cdef tuple take(self):
        """The signals of this call."""
        cdef int n
        if self.said_count == 0:
            return ()
        out = tuple([Signal.of(&self.said[n]) for n in range(self.said_count)])
        self.said_count = 0
        return out

    cdef tuple enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                     double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code):
        cdef event_t e
        e.ts_event = ts_event
        e.ts_recv = ts_recv
        e.price = price
        e.qty = qty
        e.aux_price = aux_price
        e.aux_qty = aux_qty
        e.id = id
        e.instrument = instrument
        e.kind = kind
        e.side = side if -128 <= side <= 127 else 0
        e.flags = flags
        e.code = code
        self.step_c(&e)
        return self.take()

    def run(self, events) -> list:
        """Feed an array of EVENT_DTYPE in order and return all signals."""
        cdef Py_ssize_t n, count
        cdef int k
        cdef size_t address
        cdef const event_t* e
        events = as_events(events)
        address = events.ctypes.data
        e = <const event_t*> address
        count = len(events)
        out = []
        for n in range(count):
            self.step_c(&e[n])
            if self.said_count:
                for k in range(self.said_count):
                    out.append(Signal.of(&self.said[k]))
                self.said_count = 0
        return out

    def drain(self) -> list:
        """Order requests decided since the last call, oldest first, as liqcore.Request objects for the embedder to send."""
        cdef request_t* r = self.next_request()
        out = []
        while r != NULL:
            out.append(Request.of(r, self.instruments[r.instrument]))
            r = self.next_request()
        return out

    @property
    def now(self):
        """Engine time, ns: the latest ts_recv or deadline."""
        return self.clock.now if self.clock.now > -NEVER else 0

    @property
    def next_deadline(self):
        """When advance() should be called next if nothing arrives before, ns; None = nothing is waiting."""
        cdef int64_t t = self.wake()
        return None if t == NEVER else t

    @property
    def events(self):
        """Accepted so far."""
        return self.clock.events

    @property
    def refused(self) -> dict:
        """What the door refused, by Reason."""
        return {schema.Reason(n): self.clock.refused[n] for n in range(32) if self.clock.refused[n]}

    def threshold(self, instrument) -> float:
        """What the next liquidation of the instrument will be compared with; nan during warm-up."""
        return cascade_threshold(&self.cascade[self._known(instrument)], &self.config.c)

    def phase(self, instrument):
        """Phase of the instrument's cascade."""
        return schema.Phase(self.cascade[self._known(instrument)].p.phase)

    def bracket(self, instrument) -> dict:
        """The instrument's bracket: state, side, quantity held (base units), cooldown_until (ns)."""
        cdef slot_t* s = &self.slot[self._known(instrument)]
        return {"state": life.BracketState(s.state), "side": s.spec.side, "held": qty_of(&self.inst[s.instrument], slot_position(s)),
                "sequence": s.sequence, "cooldown_until": s.cooldown_until, "end": schema.Reason(s.end)}

    def orders(self, instrument=None) -> list:
        """What is believed of each order of each open bracket, as dicts: id, role, instrument (index), symbol, side, status ('sent', 'live',
        'ended'), asked ('', 'amend', 'cancel': the request on its way), unknown, price (limit, or trigger of the stop; 0 = market), stop_price
        (attached to the entry), qty, filled, executed (base units), attempt, ts_asked (ns)."""
        which = range(self.count) if instrument is None else [self._known(instrument)]
        return [order for n in which for order in slot_orders(&self.slot[<int> n], &self.inst[<int> n], self.instruments[n].symbol)]

    def gates(self, instrument) -> tuple:
        """The Gates that are closed for the instrument, lowest first; empty = entries are allowed as far as gates go."""
        cdef int32_t closed = self.market[self._known(instrument)].gates
        return tuple([gate for gate in schema.Gate if closed & (1 << <int> gate)])

    cdef int _known(self, object instrument) except -1:
        cdef int n = self._index(instrument)
        if not 0 <= n < self.count:
            raise KeyError(f"instrument {instrument!r}: expected one of {', '.join(self.index)}")
        return n

    # ---- snapshot ----

    def _identity(self) -> bytes:
        """What a snapshot must have been taken with."""
        import json                     # not at import: the core starts in milliseconds

        return json.dumps({"abi": LIQCORE_ABI, "instruments": [i.as_dict() for i in self.instruments], "config": self.config.as_dict(),
                           "band": self.band, "patience": self.patience}, sort_keys=True).encode()

    def snapshot(self) -> bytes:
        """Everything that decides what comes next (the audit ring's content and undrained requests are not part of it)."""
        cdef int n
        cdef int64_t seq = self.audit.next_seq
        if self.out.head != self.out.tail:
            raise RuntimeError("snapshot: drain() the pending requests first, they would be lost")
        parts = [self._identity(), (<char*> &self.clock)[:sizeof(clock_t)], seq.to_bytes(8, "little"),
                 (<char*> self.market)[:self.count * sizeof(market_t)], (<char*> self.slot)[:self.count * sizeof(slot_t)],
                 (<char*> self.side_checks)[:self.venues * sizeof(side_check_t)], self.account.snapshot(), self.risk.snapshot()]
        parts += [cascade_save(&self.cascade[n]) for n in range(self.count)]
        return pack(SNAPSHOT_NAME, parts)

    def restore(self, bytes data):
        """Continue where snapshot() was taken. ValueError (and nothing changed) for other instruments, settings or versions, or damage."""
        cdef int n
        cdef list parts = unpack(SNAPSHOT_NAME, data, "engine")
        sizes = [sizeof(clock_t), 8, self.count * sizeof(market_t), self.count * sizeof(slot_t), self.venues * sizeof(side_check_t)]
        if parts[0] != self._identity():
            raise ValueError("engine snapshot: taken with other instruments or settings; make the Engine with the same ones: "
                             + parts[0].decode(errors="replace"))
        if len(parts) != 8 + self.count or [len(part) for part in parts[1:6]] != sizes:
            raise ValueError("engine snapshot: not one of this version of liqcore")
        # settings and checksum fit: from here on nothing can fail
        for n in range(self.count):
            cascade_load(&self.cascade[n], parts[8 + n])
        self.account.restore(parts[6])
        self.risk.restore(parts[7])
        memcpy(&self.clock, <const char*> <bytes> parts[1], sizeof(clock_t))
        self.audit.next_seq = self.audit.read_seq = int.from_bytes(parts[2], "little")
        memcpy(self.market, <const char*> <bytes> parts[3], self.count * sizeof(market_t))
        memcpy(self.slot, <const char*> <bytes> parts[4], self.count * sizeof(slot_t))
        memcpy(self.side_checks, <const char*> <bytes> parts[5], self.venues * sizeof(side_check_t))
        self.out.head = self.out.tail = 0
        self.said_count = 0
        for n in range(self.count):
            self.reschedule(n)

    def trade_identity(self) -> bytes:
        """What trades are counted in: the first part of a trade_snapshot(), and the head of a state image."""
        return trade_identity(self.instruments)

    def trade_snapshot(self) -> bytes:
        """What must survive the process: brackets and their orders, account, risk's latch, the time. Not the market, not the detectors: those are
        learnt anew. Its parts are said in trades.pyx."""
        return trade_pack(self.instruments, self.clock.now, self.clock.halt_heeded, self.slot, self.account, self.risk)

    def trade_restore(self, bytes data):
        """Take up the trades where trade_snapshot(), or a state image, left them; resume() must follow. Instruments may have been added at the end.
        ValueError (and nothing changed) for others, another version, or damage."""
        cdef int n
        self.clock.now, self.clock.halt_heeded = trade_unpack(data, self.instruments, self.slot, self.account, self.risk)
        self.out.head = self.out.tail = 0
        for n in range(self.count):
            self.reschedule(n)

    def resume(self, int64_t now, double grace_s=2.0):
        """Call it after trade_restore(), before anything else: the world went on until `now`. Every request without an answer is of unknown outcome
        (see orders()), and nothing is sent about a trade for `grace_s` seconds (times patience), in which the venue is to be asked. Time to live and
        max hold are not forgotten: what is overdue then happens."""
        cdef int n
        if now < self.clock.now or not 0 <= now < TIME_MAX or not 0.0 <= grace_s <= 3600.0:
            raise ValueError(f"resume: expected a time from {self.clock.now} on and a grace of 0 to 3600 s, got {now} and {grace_s!r}")
        self.clock.now = now
        for n in range(self.count):
            slot_restart(&self.slot[n], <int64_t> (grace_s * self.patience * 1e9), now, self.out)
            self.reschedule(n)
