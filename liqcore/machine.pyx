"""The event path: see machine.pxd. The order inside a step is fixed: door, time, state, features, detectors, policies, risk, bracket."""

from libc.math cimport rint
from libc.stdlib cimport calloc, free

from liqcore.answers cimport Answers, policies_of
from liqcore.audit cimport AUDIT_FEED, AUDIT_RISK
from liqcore.bank cimport Bank
from liqcore.bracket cimport bracket_deadline, bracket_leave, bracket_report, bracket_timer, bracket_trade, bracket_withdraw
from liqcore.detect cimport CascadeDetector, basis_price, cascade_deadline, cascade_push, cascade_t, notional_at
from liqcore.door cimport door
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, lots_of, price_of, qty_of, ticks_of
from liqcore.market cimport (QUOTE_AGE_NS, mark_alive, market_broken, market_liquidation, market_quote, market_ticker,
                             market_trade, ticker_states)
from liqcore.risk cimport ask_t, size_requote
from liqcore.sides cimport side_inverted
from liqcore.slot cimport BRACKET_FLAT, Outbox, id_role, slot_t

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t MARK_FRESH_NS = 5000000000
cdef int REQUESTS_RUNAWAY = 600    # requests of one bracket; more means that something runs wild


cdef class Machine:
    """What liqcore.Engine is made of; see there."""

    def __cinit__(self, instruments, *args, audit_capacity=65536, double patience=1.0, **kwargs):
        cdef int n
        names = [instruments] if isinstance(instruments, (str, Instrument)) else list(instruments)
        if not 0 < len(names) <= 100_000:
            raise ValueError(f"instruments: expected 1 to 100000 names or Instruments, got {len(names)}")
        self.instruments = tuple(i if isinstance(i, Instrument) else Instrument(i) for i in names)
        self.count = len(self.instruments)
        self.index = _index_of(self.instruments)
        venues = sorted({i.venue for i in self.instruments})
        self.venues = len(venues)
        self.audit = AuditRing(audit_capacity)
        self.out = Outbox(self.audit, 4096, patience)
        self.patience = patience
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.market = <market_t*> calloc(self.count, sizeof(market_t))
        self.slot = <slot_t*> calloc(self.count, sizeof(slot_t))
        self.due = <int64_t*> calloc(self.count, sizeof(int64_t))
        self.venue_of = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.side_checks = <side_check_t*> calloc(self.venues, sizeof(side_check_t))
        self.said_capacity = 64 + 4 * self.count
        self.said = <signal_t*> calloc(self.said_capacity, sizeof(signal_t))
        if (self.inst == NULL or self.market == NULL or self.slot == NULL or self.due == NULL or self.venue_of == NULL or self.side_checks == NULL
                or self.said == NULL):
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
            self.venue_of[n] = venues.index(self.instruments[n].venue)
            self.slot[n].instrument = n
            self.due[n] = NEVER
        self.due_next = NEVER
        self.clock.now = -NEVER

    def __init__(self, instruments, config=None, policy=None, risk=None, *, detectors=None, features=(), double equity=10_000.0,
                 audit_capacity=65536, double band=10.0, double patience=1.0, double quote_age_s=QUOTE_AGE_NS / 1e9):
        if len({i.key for i in self.instruments}) != self.count:
            raise ValueError("instruments: the same name twice: " + ", ".join(i.key for i in self.instruments))
        if self.bank is not None:
            raise RuntimeError("Engine.__init__ called twice: make a new Engine")
        if not 1.5 <= band <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        if config is not None and detectors is not None:
            raise ValueError("Engine: expected config (of one cascade detector) or detectors, not both")
        if not 0.001 <= quote_age_s <= 1e9:
            raise ValueError(f"quote_age_s: expected seconds from 0.001 to 1e9, got {quote_age_s!r}")
        self.band = band
        self.quote_age_ns = <int64_t> rint(quote_age_s * 1e9)
        self.risk = Risk() if risk is None else risk
        self.account = Account(self.instruments, equity)
        policies = policies_of(policy)
        self._declare(features, policies)
        self.bank = Bank([CascadeDetector(config)] if detectors is None else detectors, self.instruments, self.audit)
        self.config = self.bank.cascade.config if self.bank.cascade is not None else None
        self.answers = Answers(policies, self.instruments, tuple([d.name for d in self.bank.detectors]), self.features, self.risk, self.account,
                               self.audit, self.out, self.known_features)
        self.answers.point(self.inst, self.market, self.slot)
        self.wants = self.bank.wants | self.features.wants

    def _declare(self, features, policies):
        """One Features for all that is declared; known_features: name -> (its place, whether everybody may read it)."""
        asked = {}
        for names, shared in [(features, True), *[(p.features, False) for p in policies]]:
            if isinstance(names, str):
                raise TypeError(f"features: expected a sequence of names, got {names!r}")
            for name in names:
                asked[name] = asked.get(name, False) or shared
        canonical = {name: Features((name,)).names[0] for name in asked}
        self.features = Features(tuple(dict.fromkeys(canonical.values())))
        self.features.open_c(self.instruments)
        self.known_features = {}
        for name, shared in asked.items():
            for spelling in (name, canonical[name]):
                before = self.known_features.get(spelling, (0, False))
                self.known_features[spelling] = (self.features.names.index(canonical[name]), before[1] or shared)

    def __dealloc__(self):
        free(self.inst)
        free(self.market)
        free(self.slot)
        free(self.due)
        free(self.venue_of)
        free(self.side_checks)
        free(self.said)

    # ---- time ----

    cdef void reschedule(self, int32_t n) noexcept nogil:
        """Instrument n's deadlines have changed."""
        cdef int64_t before = self.due[n]
        cdef int64_t due = self.deadline(n)
        if due == before:
            return
        self.due[n] = due
        if due <= self.due_next:
            self.due_next = due
        elif before == self.due_next:
            self.find_next()

    cdef inline int64_t deadline(self, int32_t n) noexcept nogil:
        cdef int64_t due = self.answers.waiting.next_due[n]
        if self.slot[n].state != BRACKET_FLAT:
            due = min(due, bracket_deadline(&self.slot[n], self.out))
        if self.bank.size == 1 and self.bank.cascade is not None:
            return min(due, cascade_deadline(&self.bank.cascade.c[n], &self.bank.cascade.config.c))
        return min(due, self.bank.deadline(n))

    cdef void find_next(self) noexcept nogil:
        cdef int n
        self.due_next = NEVER
        for n in range(self.count):
            self.due_next = min(self.due_next, self.due[n])

    cdef void reschedule_touched(self) noexcept nogil:
        """The instruments that answers have changed."""
        cdef int k
        for k in range(self.answers.touched_n):
            self.reschedule(self.answers.touched[k])
        self.answers.touched_n = 0

    cdef int64_t wake(self) noexcept nogil:
        """When advance_c must be called next."""
        return min(self.due_next, self.account.ledger.day_ends) if self.account.ledger.day_ends else self.due_next

    cdef int advance_c(self, int64_t now) except -1:
        """Serve every deadline up to `now`, each at its own moment and in order of time: what the engine does never depends on when it was woken."""
        cdef int64_t since
        if self.account.ledger.day_ends == 0:
            self.account.roll(now)
            if self.features.wants and self.features.started < 0:
                self.features.start(now)        # a feed that is up and quiet is knowledge, too
        while min(self.due_next, self.account.ledger.day_ends) <= now:
            if self.account.ledger.day_ends <= self.due_next:
                self.clock.now = max(self.clock.now, self.account.ledger.day_ends)
                self.risk.new_day(self.account.roll(self.clock.now), self.account, self.clock.now, self.audit)
                continue
            self.clock.now = max(self.clock.now, self.due_next)
            since = self.out.head
            try:
                self.moment(self.due_next)
            finally:
                if self.risk.latch.halted != self.clock.halt_heeded:
                    self.heed_halt()
                self.after_requests(since)
        self.clock.now = max(self.clock.now, now)
        return 0

    cdef int moment(self, int64_t due) except -1:
        """All deadlines of one moment: first the detectors of every instrument, then what is made of their signals, then the brackets."""
        cdef int n
        try:
            for n in range(self.count):
                if self.due[n] == due:
                    self.hear(self.bank.timer(n, self.clock.now))
                    self.answers.timer(n, self.clock.now)
        finally:                        # a policy may raise: what was done until then stands, and time must go on
            self.answers.settle(self.clock.now)
            for n in range(self.count):
                if self.due[n] == due:
                    self.time_out(n)
            self.find_next()
            self.reschedule_touched()
        return 0

    cdef void time_out(self, int n) noexcept nogil:
        """The bracket's deadline, if that is what has come; and when the next one will."""
        if bracket_deadline(&self.slot[n], self.out) <= self.clock.now:
            if bracket_timer(&self.slot[n], &self.inst[n], self.clock.now, self.out) < 0:
                self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
            if self.slot[n].state == BRACKET_FLAT:
                self.account.disown(n)
                self.answers.succeed(n, self.clock.now)
        self.due[n] = self.deadline(n)

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
            self.on_liquidation_c(e)
        elif e.kind == TRADE:
            m = &self.market[e.instrument]
            s = &self.slot[e.instrument]
            market_trade(m, e, self.inst[e.instrument].tick)
            if not mark_alive(m, e.ts_recv):
                self.account.mark(e.instrument, e.price)
            if s.state != BRACKET_FLAT:
                bracket_trade(s, &self.inst[e.instrument], ticks_of(&self.inst[e.instrument], e.price), self.clock.now, self.out)
                self.reschedule(e.instrument)
            if self.wants & (1 << TRADE):
                self.observe(e, 0.0)
        elif e.kind == BBO:
            market_quote(&self.market[e.instrument], e, self.quote_age_ns)
            if self.wants & (1 << BBO):
                self.observe(e, 0.0)
        elif e.kind == TICKER:
            market_ticker(&self.market[e.instrument], e)
            if ticker_states(e) & STREAM_MARK:
                self.account.mark(e.instrument, e.price)
            if self.wants & (1 << TICKER):
                self.observe(e, 0.0)
        elif e.kind == ORDER or e.kind == FILL:
            self.on_report(e)
        elif e.kind == FUNDING:
            self.account.fund(e, self.slot[e.instrument].entry.id, self.clock.now, self.audit)
            self.risk.watch(self.account, self.clock.now, self.audit)
        elif e.kind == FEED:
            self.on_feed_c(e)
        elif e.kind == VERDICT:
            self.answers.verdict(e.id, e.code, self.clock.now)
            self.reschedule_touched()
        else:
            self.control_c(e)
        if self.risk.latch.halted != self.clock.halt_heeded:
            self.heed_halt()
        if self.out.head != since:
            self.after_requests(since)
        return 0

    # ---- events ----

    cdef int on_liquidation_c(self, const event_t* e) except -1:
        cdef market_t* m = &self.market[e.instrument]
        cdef double mark
        cdef int count
        market_liquidation(m, e)
        if m.mark > 0.0 or e.aux_qty > 0.0:
            mark = m.mark if mark_alive(m, e.ts_recv) and e.ts_recv - m.ts_mark <= MARK_FRESH_NS else 0.0
            if side_inverted(&self.side_checks[self.venue_of[e.instrument]], e, mark, self.audit):
                self.risk.control(CONTROL_HALT, self.account, e.ts_recv, self.audit)
        if not lone_cascade(self):
            return self.observe(e, notional_at(e, self.inst[e.instrument].multiplier, basis_price(self.bank.basis, m, e.ts_recv)))
        count = push_lone(self.bank.cascade, e, m, SIGNAL_STALE if e.ts_recv - e.ts_event > self.risk.limits.event_age_max_ns else 0, self.bank.said)
        if count == 0:
            if self.bank.cascade.c[e.instrument].p.phase != IDLE:       # else it waited for nothing, and does not now
                self.reschedule(e.instrument)
            return 0
        self.bank.finish(0, 0, count, e.ts_recv)
        return heard(self, e.instrument, count)

    cdef int observe(self, const event_t* e, double notional) except -1:
        """An accepted market event, its market updated: to features, then to detectors, and what they say to policies."""
        cdef market_t* m = &self.market[e.instrument]
        cdef int count
        if self.features.wants >> e.kind & 1:
            self.features.push_c(e, notional, m)
        count = self.bank.push(e, notional, m, SIGNAL_STALE if e.ts_recv - e.ts_event > self.risk.limits.event_age_max_ns else 0)
        if count == 0:
            self.reschedule(e.instrument)
            return 0
        return heard(self, e.instrument, count)

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
            self.answers.succeed(e.instrument, self.clock.now)
        self.reschedule(e.instrument)
        self.reschedule_touched()
        return 0

    cdef void judge_requote(self, slot_t* s, const instrument_t* i) noexcept nogil:
        """A post-only entry was rejected; its next try is an entry like any other, at a new price and time: risk may refuse it. The feed must have
        been whole since the try before: while the connection is down nothing is entered, also on a signal that was certain."""
        cdef ask_t ask
        size_requote(&ask, s, i)
        if self.bank.whole_since[s.instrument] >= s.entry.ts_asked:      # NEVER = it is down
            self.audit.put(self.clock.now, AUDIT_RISK, UNCERTAIN, ask.phase, ask.instrument, ask.side, ask.cause)
            s.requotes = s.spec.requotes_max
        elif self.risk.judge(&ask, i, &self.market[s.instrument], self.slot, self.count, self.account, self.clock.now, self.audit) != OK:
            s.requotes = s.spec.requotes_max

    cdef void on_feed_c(self, const event_t* e) noexcept nogil:
        """Down or gap: what its streams said no longer holds. Where liquidations are among them, running episodes are forgotten and nothing is
        entered until the feed has been whole for a detector window."""
        cdef int first = 0 if e.instrument == ALL_INSTRUMENTS else e.instrument
        cdef int last = self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1
        cdef int n
        cdef bint down, blind = e.flags == 0 or e.flags & STREAM_LIQUIDATION
        cdef audit_t* a = self.audit.put(self.clock.now, AUDIT_FEED, OK, e.code, e.instrument, 0, e.ts_event)
        a.x[0] = (self.clock.now - e.ts_event) / 1e9
        a.x[1] = 0.0 if not blind else self.bank.window_ns / 1e9 if e.code != FEED_DOWN else -1.0
        a.x[2] = e.flags
        for n in range(first, last):
            if e.code != FEED_UP:
                market_broken(&self.market[n], e.flags)
            down = self.bank.whole_since[n] == NEVER
            if blind and self.bank.feed(n, e.code, self.clock.now):
                if e.code == FEED_DOWN:
                    self.features.down_c(n, self.clock.now)
                elif (e.code == FEED_UP) == down:        # back again; or a gap of a feed that is up
                    self.features.gap_c(n, self.clock.now)
                self.answers.waiting.mark(n, SIGNAL_UNCERTAIN)
                self.reschedule(n)

    cdef void control_c(self, const event_t* e) noexcept nogil:
        """An operator's word; or a gate: what rests may stay, what is held is never touched by one."""
        cdef int n
        if e.code == CONTROL_PAUSE or e.code == CONTROL_READY:
            n = max(e.instrument, 0)
            self.risk.gate(e, &self.market[n], self.count if e.instrument == ALL_INSTRUMENTS else 1, self.clock.now, self.audit)
            if e.code == CONTROL_PAUSE:
                self.answers.withdraw(e.instrument, -1, NOT_READY, self.clock.now)
                self.reschedule_touched()
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
        if self.risk.latch.halted:
            self.answers.withdraw(ALL_INSTRUMENTS, -1, self.risk.latch.halted, self.clock.now)
            self.reschedule_touched()
        for n in range(self.count if self.risk.latch.halted else 0):
            bracket_withdraw(&self.slot[n], &self.inst[n], self.clock.now, self.out)
            self.reschedule(n)

    # ---- signals ----

    cdef int hear(self, int count) except -1:
        """What the detectors have said just now."""
        cdef int k
        for k in range(count):
            self.speak(&self.bank.said[k])
        return 0

    cdef int speak(self, const signal_t* s) except -1:
        cdef slot_t* slot = &self.slot[s.instrument]
        self.audit.signal(s)
        if self.said_count < self.said_capacity:
            self.said[self.said_count] = s[0]
            self.said_count += 1
        else:
            self.said_lost += 1
        if slot.state != BRACKET_FLAT and slot.spec.exit_phase and s.phase >= slot.spec.exit_phase and slot.signal_sequence == s.sequence and \
                slot.detector == s.detector:
            bracket_leave(slot, &self.inst[s.instrument], END_PHASE, self.clock.now, self.out)
            self.answers.touch(s.instrument)
        return self.answers.hear(s, self.clock.now)

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


cdef inline bint lone_cascade(Machine self) noexcept nogil:
    """One cascade and nothing else looks at the market: the usual engine, whose path is short."""
    return self.bank.size == 1 and self.bank.cascade is not None and self.features.wants == 0


cdef inline int push_lone(CascadeDetector d, const event_t* e, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
    """CascadeDetector.push_c, without its call."""
    cdef cascade_t* c = &d.c[e.instrument]
    cdef double notional = notional_at(e, d.inst[e.instrument].multiplier, basis_price(d.config.c.basis, m, e.ts_recv))
    cdef int said = cascade_push(c, &d.config.c, e.ts_recv, e.side, notional, m.last if m.last > 0.0 else e.price, flags, out)
    if c.p.large:
        d.audit_large(c, e, notional)
    return said


cdef int heard(Machine self, int32_t n, int count) except -1:
    """What an event of instrument n made the detectors say."""
    try:
        self.hear(count)
    finally:                        # a policy may raise: what was done until then stands, and time must go on
        self.answers.settle(self.clock.now)
        self.reschedule_touched()
        self.reschedule(n)
    return 0


cdef dict _index_of(tuple instruments):
    """Every name that means one instrument: 'venue:symbol', and the symbol where it is there once."""
    symbols = [i.symbol for i in instruments]
    index = {i.key: n for n, i in enumerate(instruments)}
    index.update({i.symbol: n for n, i in enumerate(instruments) if symbols.count(i.symbol) == 1})
    return index
