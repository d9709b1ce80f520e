"""The engine: see engine.pxd. The order inside a step is fixed: validation, time, state, features, detectors, policies, risk, brackets."""

import operator

import numpy as np

from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.math cimport rint
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, one_of, real, several, truth, whole, whole32, string
from liqcore.audit cimport AUDIT_ALARM, AUDIT_FEED, AUDIT_RISK
from liqcore.detectors.cascade cimport basis_price, cascade_deadline, cascade_push, cascade_t, CascadeDetector, notional_at
from liqcore.detectors.detector cimport Detector
from liqcore.detectors.detector_set cimport DetectorSet
from liqcore.event cimport *
from liqcore.execution.bracket cimport bracket_deadline, bracket_leave, bracket_report, bracket_timer, bracket_trade, bracket_withdraw
from liqcore.execution.decisions cimport Decisions, policies_of
from liqcore.execution.order_state cimport (ALARM_POLICY, BRACKET_FLAT, bracket_orders, bracket_position, bracket_restart, bracket_state_t, id_role,
                                            RequestQueue)
from liqcore.execution.pending_decisions cimport tally_t
from liqcore.execution.risk cimport ask_t, size_requote
from liqcore.execution.side_check cimport side_check_t, side_inverted
from liqcore.execution.trade_snapshot cimport trade_identity, trade_pack, trade_unpack
from liqcore.instrument cimport Instrument, instruments_of, lots_of, price_of, qty_of, ticks_of
from liqcore.market cimport (last_holds, mark_alive, market_broken, market_liquidation, market_quote, market_ticker, market_trade, no_market,
                             QUOTE_AGE_NS, quote_alive, STATE_AGE_NS, ticker_states)
from liqcore.request cimport Request
from liqcore.snapshot cimport changes, pack, unchanged, unpack
from liqcore.validate cimport validate_event
from liqcore.view cimport view_row, view_t

from liqcore import event as schema
from liqcore.event import as_events
from liqcore.execution import order_state as life
from liqcore.features.custom import CustomFeature, refuse_two
from liqcore.refused import Refused, times_text

SNAPSHOT_NAME = b"liqcore-engine-5\n"
WHOLE_NAME = b"liqcore-engine-4\n"         # of earlier builds, which wrote empty brackets in full
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t EARLY = 10_000_000_000_000_000          # ns: 1970-04-26. No market data is older; a number below it may be of another unit
cdef int64_t TEN_EARLY = 10 * EARLY
cdef int64_t SINCE_2015 = 1_420_070_400, UNTIL_2040 = 2_208_988_800         # s
cdef int64_t SECONDS_UNTIL = 2_000_000_000           # s: 2033-05-18. A larger number may be the 2nd second of a synthetic market, in ns
cdef int64_t MARK_FRESH_NS = 5000000000
cdef int REQUESTS_RUNAWAY = 600    # requests of one bracket; more are a defect


cdef inline int side_of(object value) except? -1000:
    """LONG or SHORT; anything else becomes a side that validation refuses."""
    cdef int64_t n = whole(value, "side")
    return <int> n if -128 <= n <= 127 else 0


cdef uint8_t code_of(object value, str name) except? 255:
    """A value of one of the enums."""
    cdef int64_t n = whole(value, name)
    if not 0 <= n <= 255:
        raise ValueError(f"{name}: expected 0 to 255, got {value!r}")
    return <uint8_t> n


cdef bint not_nanoseconds(int64_t ts_event, int64_t ts_recv, int64_t now, uint8_t kind) noexcept nogil:
    """Whether these times cannot all be ns: one is of today and another of early 1970, or the first time is of these years in another unit. A
    synthetic market may begin at 0; its times then stay near 0."""
    if ts_event < 0 or ts_recv < 0:                  # no valid time: validation refuses it
        return False
    if ts_recv >= TEN_EARLY:
        return -NEVER < now < EARLY or (ts_event < EARLY and not (ts_event == 0 and (kind == FEED or kind == ORDER or kind == FILL)))
    if ts_recv >= EARLY:
        return False
    if now >= TEN_EARLY or ts_event >= TEN_EARLY:
        return True
    if now > -NEVER:
        return False
    return SINCE_2015 <= ts_recv < SECONDS_UNTIL or SINCE_2015 <= ts_recv // 1000 < UNTIL_2040 or SINCE_2015 <= ts_recv // 1000000 < UNTIL_2040


cdef view_t _row
VIEW_DTYPE = np.asarray(<view_t[:1]> &_row).dtype       # rows of Engine.view(), from the C struct


cdef class Engine:
    """Detects cascades in a stream of events and trades them with brackets.

    instruments: names or liqcore.Instrument; the index of each is what events carry; a symbol may occur once for each venue. config: CascadeConfig,
    short for detectors=[CascadeDetector(config)], which is the default. detectors: Detector objects with different names. policy: a liqcore.Policy,
    several of them, or None for detection only. features: names for feature(), in addition to those that the policies declare. risk:
    liqcore.Risk. equity: starting capital. audit_capacity: records kept until drained (a power of two). band: a price more than this factor away from
    the last good one is refused. patience (1 to 1000): factor on the time limits of machine and network (a stop's confirmation, an answer,
    back-offs), not on those of the market; for rehearsals faster than real time. With 1 a position is without a stop for at most 2 s. quote_age_s:
    largest age of a valid best bid and ask (market.pxd has the other conditions). timetable: liqcore.Timetable, None = entries at any time. strict:
    an event that validation refuses raises ValueError at the call; otherwise it is counted in `refused` and the call returns a Refused.

    Feed it with on_liquidation(...), on_trade(...), ... (each returns the signals it caused, or a Refused), or run(array). Take the order requests
    with drain(), and bring the venue's answers back with on_order and on_fill. Time is an argument: nothing happens between calls.
    """

    def __cinit__(self, instruments, *args, audit_capacity=65536, patience=1.0, **kwargs):
        cdef int n
        self.instruments = instruments_of(instruments, True)
        self.count = len(self.instruments)
        if not 0 < self.count <= 100_000:
            raise ValueError(f"instruments: expected 1 to 100000 names or Instruments, got {self.count}")
        self.index = _index_of(self.instruments)
        venues = sorted({i.venue for i in self.instruments})
        self.venues = len(venues)
        self.audit = AuditRing(whole32(audit_capacity, "audit_capacity"))
        self.patience = real(patience, "patience")
        self.out = RequestQueue(self.audit, 4096, self.patience)
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.market = <market_t*> calloc(self.count, sizeof(market_t))
        self.slot = <bracket_state_t*> calloc(self.count, sizeof(bracket_state_t))
        self.due = <int64_t*> calloc(self.count, sizeof(int64_t))
        self.venue_of = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.side_checks = <side_check_t*> calloc(self.venues, sizeof(side_check_t))
        self.emitted_capacity = 64 + 4 * self.count
        self.emitted = <signal_t*> calloc(self.emitted_capacity, sizeof(signal_t))
        if (self.inst == NULL or self.market == NULL or self.slot == NULL or self.due == NULL or self.venue_of == NULL or self.side_checks == NULL
                or self.emitted == NULL):
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
            self.venue_of[n] = venues.index(self.instruments[n].venue)
            self.slot[n].instrument = n
            self.due[n] = NEVER
        self.due_next = NEVER
        self.clock.now = -NEVER

    def __init__(self, instruments, config=None, policy=None, risk=None, *, detectors=None, features=(), equity=10_000.0, audit_capacity=65536,
                 band=10.0, patience=1.0, quote_age_s=QUOTE_AGE_NS / 1e9, timetable=None, strict=False):
        if len({i.key for i in self.instruments}) != self.count:
            raise ValueError("instruments: the same name twice: " + ", ".join(i.key for i in self.instruments))
        if self.detector_set is not None:
            raise RuntimeError("Engine.__init__ called twice: make a new Engine")
        if not 1.5 <= real(band, "band") <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        if config is not None and detectors is not None:
            raise ValueError("Engine: expected config (of one cascade detector) or detectors, not both")
        if not 0.001 <= real(quote_age_s, "quote_age_s") <= 1e9:
            raise ValueError(f"quote_age_s: expected seconds from 0.001 to 1e9, got {quote_age_s!r}")
        self.band = band
        self.strict = truth(strict, "strict")
        self.quote_age_ns = <int64_t> rint(<double> quote_age_s * 1e9)
        self.risk = one_of(Risk, risk, "risk") or Risk()
        self.account = Account(self.instruments, equity)
        self.timetable = one_of(Timetable, timetable, "timetable") or Timetable()
        self.hours_next = NEVER
        policies = policies_of(policy)
        self._declare(features, policies)
        chosen = [CascadeDetector(config)] if detectors is None else several(detectors, "detectors")
        self.detector_set = DetectorSet(chosen, self.instruments, self.audit)
        self.config = self.detector_set.cascade.config if self.detector_set.cascade is not None else None
        self.answers = Decisions(policies, self.instruments, tuple([d.name for d in self.detector_set.detectors]), self.features, self.risk,
                                 self.account, self.audit, self.out, self.known_features)
        self.answers.point(self.inst, self.market, self.slot)
        self.want()

    cdef void want(self) noexcept nogil:
        """Kinds of events that detectors or features use. All market events until features know the start of each feed."""
        self.wants = self.detector_set.wants | self.features.wants
        if self.features.without_data:
            self.wants |= 1 << LIQUIDATION | 1 << TRADE | 1 << BBO | 1 << TICKER

    def _declare(self, features, policies):
        """One Features for all declared names; known_features: name -> (its place, whether every policy may read it)."""
        asked = {}
        refuse_two([name for names in [features, *[p.features for p in policies]] for name in several(names, "features")])
        for names, shared in [(features, True), *[(p.features, False) for p in policies]]:
            for name in several(names, "features"):
                if not isinstance(name, CustomFeature):
                    string(name, "features")
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
        free(self.emitted)

    # ---- time ----

    cdef void reschedule(self, int32_t n) noexcept nogil:
        """Update the schedule after instrument n's deadlines have changed."""
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
        if self.detector_set.size == 1 and self.detector_set.cascade is not None:
            return min(due, cascade_deadline(&self.detector_set.cascade.c[n], &self.detector_set.cascade.config.c))
        return min(due, self.detector_set.deadline(n))

    cdef void find_next(self) noexcept nogil:
        cdef int n
        self.due_next = NEVER
        for n in range(self.count):
            self.due_next = min(self.due_next, self.due[n])

    cdef void reschedule_touched(self) noexcept nogil:
        """Reschedule the instruments that `answers` has changed."""
        cdef int k
        for k in range(self.answers.touched_n):
            self.reschedule(self.answers.touched[k])
        self.answers.touched_n = 0

    cdef int64_t wake(self) noexcept nogil:
        """When advance_c must be called next."""
        return min(self.due_next, self.turn) if self.turn else self.due_next

    cdef int advance_c(self, int64_t now) except -1:
        """Serve every deadline up to `now`, each at its own moment and in order of time. So decisions do not depend on the times of the calls."""
        cdef int64_t since
        if self.account.ledger.day_ends == 0:
            self.account.roll(now)
            if self.features.wants and self.features.started < 0:
                self.features.start(now)
            if self.timetable.ever_closed():
                self.hours_next = now
            self.turned()
        while min(self.due_next, self.turn) <= now:
            if self.turn <= self.due_next:
                self.clock.now = max(self.clock.now, self.turn)
                since = self.out.head
                self.turn_over()
                self.after_requests(since)          # others may have waited for what a gate withdraws
                continue
            self.clock.now = max(self.clock.now, self.due_next)
            since = self.out.head
            try:
                self.run_deadlines(self.due_next)
            finally:
                self.finish(since)
        self.clock.now = max(self.clock.now, now)
        return 0

    cdef void turned(self) noexcept nogil:
        self.turn = min(self.account.ledger.day_ends, self.hours_next) if self.account.ledger.day_ends else 0

    cdef void return_to(self) noexcept nogil:
        """Called after a restore: the timetable of the earlier engine may have been another one."""
        cdef int n, gate
        self.hours_next = NEVER
        if self.account.ledger.day_ends and self.clock.now >= 0:
            if self.timetable.ever_closed():
                self.hours_next = self.timetable.next_after(self.clock.now)
            for n in range(self.count):
                for gate in range(GATE_HOURS, GATE_BLACKOUT + 1):
                    if (self.market[n].gates >> gate & 1) != (self.closed_by(gate, n) != 0):
                        self.hours_next = self.clock.now
        self.turned()

    cdef void turn_over(self) noexcept nogil:
        """The day ends, or the timetable has a change."""
        if self.account.ledger.day_ends <= self.clock.now:
            self.risk.new_day(self.account.roll(self.clock.now), self.account, self.clock.now, self.audit)
        if self.hours_next <= self.clock.now:
            self.keep_hours()
        self.turned()

    cdef void keep_hours(self) noexcept nogil:
        """Close and open the gates of the timetable. One record if it is the same for all instruments."""
        cdef int gate
        cdef int32_t n
        for gate in range(GATE_HOURS, GATE_BLACKOUT + 1):
            if gate == GATE_HOURS or not self.timetable.own:
                self.set_gate(gate, ALL_INSTRUMENTS, self.closed_by(gate, ALL_INSTRUMENTS))
                continue
            for n in range(self.count):
                self.set_gate(gate, n, self.closed_by(gate, n))
        self.hours_next = self.timetable.next_after(self.clock.now)

    cdef int32_t closed_by(self, int gate, int32_t n) noexcept nogil:
        """0 = open; else the number of the window, or -1 for the hours."""
        if gate == GATE_HOURS:
            return 0 if self.timetable.open_at(self.clock.now) else -1
        return self.timetable.window_at(n, self.clock.now)

    cdef void set_gate(self, int gate, int32_t n, int32_t window) noexcept nogil:
        """Open or close a gate as an event would."""
        cdef event_t e
        cdef audit_t* a
        memset(&e, 0, sizeof(event_t))
        e.code = CONTROL_PAUSE if window else CONTROL_READY
        e.flags = gate
        e.instrument = n
        a = self.risk.gate(&e, &self.market[max(n, 0)], self.count if n == ALL_INSTRUMENTS else 1, self.clock.now, self.audit)
        if a == NULL:
            return
        a.of.limit.which = max(window, 0)
        if window:
            self.answers.withdraw(n, -1, NOT_READY, self.clock.now)
            self.answers.resolve_intents(self.clock.now)
            self.reschedule_touched()

    cdef int run_deadlines(self, int64_t due) except -1:
        """All deadlines of one moment: first the detectors of every instrument, then the intents from their signals, then the brackets."""
        cdef int n
        try:
            for n in range(self.count):
                if self.due[n] == due:
                    self.on_signals(self.detector_set.timer(n, self.clock.now))
                    self.answers.timer(n, self.clock.now)
        finally:                        # a policy may raise: what was done so far is kept, and time must continue
            self.answers.resolve_intents(self.clock.now)
            for n in range(self.count):
                if self.due[n] == due:
                    self.time_out(n)
            self.find_next()
            self.reschedule_touched()
        return 0

    cdef void time_out(self, int n) noexcept nogil:
        """Serve the bracket's deadline if it is due, and schedule the next one."""
        if bracket_deadline(&self.slot[n], self.out) <= self.clock.now:
            if bracket_timer(&self.slot[n], &self.inst[n], self.clock.now, self.out) < 0:
                self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
            if self.slot[n].state == BRACKET_FLAT:
                self.over(n)
        self.due[n] = self.deadline(n)

    cdef void over(self, int32_t n) noexcept nogil:
        """Called when the instrument's bracket is over; further calls change nothing."""
        self.account.clear_owner(n)
        self.risk.count_entry(&self.slot[n], self.clock.now)
        self.answers.promote_replacement(n, self.clock.now)

    # ---- validation ----

    cdef int refuse(self, const event_t* e, uint8_t reason) noexcept nogil:
        """Count and audit it. Nothing else changes, but a quote without a market (crossed, one-sided) ends the quote before it. The time of receipt
        has passed all the same, so the place of the record in the audit stream does not depend on calls of advance()."""
        self.clock.refused[reason] += 1
        self.refusal = reason
        if reason != BAD_TIME and reason != BAD_INSTRUMENT and no_market(e):
            market_broken(&self.market[e.instrument], STREAM_QUOTE)
        self.audit.refused(self.clock.now, e, reason, self.market[e.instrument].good if 0 <= e.instrument < self.count else 0.0,
                           self.clock.refused[reason])
        return 0

    cdef int step_c(self, const event_t* e) except -1:
        """One event through the whole engine. 0 = accepted or refused (the audit says which); -1 = a policy raised."""
        cdef market_t* m
        cdef bracket_state_t* s
        cdef int64_t since
        cdef uint8_t reason = validate_event(e, self.clock.now, self.market, self.inst, self.count, self.band)
        if reason == BAD_TIME and not (e.ts_recv >= self.clock.now and 0 <= e.ts_recv < TIME_MAX):
            return self.refuse(e, reason)
        if self.due_next <= e.ts_recv or e.ts_recv >= self.turn:
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
        elif e.kind == DELEVERAGE or e.kind == VENUE_STATE:
            if self.wants >> e.kind & 1:
                self.observe(e, notional_at(e, self.inst[e.instrument].multiplier, 0.0) if e.kind == DELEVERAGE else 0.0)
        elif e.kind == VERDICT:
            self.answers.verdict(e.id, e.code, <int> e.aux_qty, self.clock.now)
            self.reschedule_touched()
        else:
            self.control_c(e)
        self.finish(since)
        return 0

    cdef void finish(self, int64_t since) noexcept nogil:
        """Called after each event and after deadlines. since: out.head before it."""
        if self.risk.latch.halted != self.clock.halt_applied:
            self.apply_halt()
        self.after_requests(since)

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
            return self.observe(e, notional_at(e, self.inst[e.instrument].multiplier, basis_price(self.detector_set.basis, m, e.ts_recv)))
        count = push_lone(self.detector_set.cascade, e, m, SIGNAL_STALE if e.ts_recv - e.ts_event > self.risk.limits.event_age_max_ns else 0,
                          self.detector_set.emitted)
        if count == 0:
            if self.detector_set.cascade.c[e.instrument].p.phase != IDLE:       # an IDLE cascade has no deadline, before and after
                self.reschedule(e.instrument)
            return 0
        self.detector_set.finish(0, 0, count, e.ts_recv)
        return after_signals(self, e.instrument, count)

    cdef int observe(self, const event_t* e, double notional) except -1:
        """An accepted market event, after its market was updated: to features, then to detectors, and their signals to policies."""
        cdef market_t* m = &self.market[e.instrument]
        cdef int count
        if self.features.without_data:
            self.features.first_event_c(e)
            self.want()
        if self.features.wants >> e.kind & 1:
            self.features.push_c(e, notional, m)
        if not self.detector_set.wants >> e.kind & 1:
            return 0                    # no deadline has changed
        count = self.detector_set.push(e, notional, m, SIGNAL_STALE if e.ts_recv - e.ts_event > self.risk.limits.event_age_max_ns else 0)
        if count == 0:
            self.reschedule(e.instrument)
            return 0
        return after_signals(self, e.instrument, count)

    cdef int on_report(self, const event_t* e) except -1:
        """A venue's report of an order: the only input that changes the account."""
        cdef instrument_t* i = &self.inst[e.instrument]
        cdef bracket_state_t* s = &self.slot[e.instrument]
        cdef int side, counted
        if e.kind == ORDER and e.flags == END_POST_ONLY and e.id == s.entry.id and s.requotes < s.spec.requotes_max:
            self.approve_requote(s, i)
        counted = bracket_report(s, e, i, self.clock.now, self.out)
        if counted > 0:
            side = s.spec.side if id_role(e.id) == ROLE_ENTRY else -s.spec.side
            self.account.fill(e.instrument, side, ticks_of(i, e.price), lots_of(i, e.qty), e.aux_price)
            self.risk.watch(self.account, self.clock.now, self.audit)
        elif counted < 0:
            self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
        if s.state == BRACKET_FLAT:
            self.over(e.instrument)
        self.reschedule(e.instrument)
        self.reschedule_touched()
        return 0

    cdef void approve_requote(self, bracket_state_t* s, const instrument_t* i) noexcept nogil:
        """A post-only entry was rejected. Its next try is an entry like any other, at a new price and time, so risk may refuse it. The feed must have
        been whole since the last try: during an interruption no entry is made, also on a signal that was certain."""
        cdef ask_t ask
        size_requote(&ask, s, i)
        if self.detector_set.whole_since[s.instrument] >= s.entry.ts_asked:      # NEVER = it is down
            self.audit.put(self.clock.now, AUDIT_RISK, UNCERTAIN, ask.phase, ask.instrument, ask.side, ask.cause)
            s.requotes = s.spec.requotes_max
        elif self.risk.approve(&ask, i, &self.market[s.instrument], self.slot, self.count, self.account, self.clock.now, self.audit) != OK:
            s.requotes = s.spec.requotes_max

    cdef void on_feed_c(self, const event_t* e) noexcept nogil:
        """After DOWN or GAP the values of its streams are no longer valid. If liquidations are among them, running episodes are forgotten and there
        are no entries until the feed has been whole for a detector window."""
        cdef int first = 0 if e.instrument == ALL_INSTRUMENTS else e.instrument
        cdef int last = self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1
        cdef int n
        cdef bint blind = e.flags == 0 or e.flags & STREAM_LIQUIDATION
        cdef audit_t* a = self.audit.put(self.clock.now, AUDIT_FEED, OK, e.code, e.instrument, 0, e.ts_event)
        a.of.feed.gap_s = (self.clock.now - e.ts_event) / 1e9
        a.of.feed.uncertain_until_s = 0.0 if not blind else self.detector_set.window_ns / 1e9 if e.code != FEED_DOWN else -1.0
        a.of.feed.streams = e.flags
        for n in range(first, last):
            if e.code != FEED_UP:
                market_broken(&self.market[n], e.flags)
            if self.features.wants:
                self.features.feed_c(n, e.code, e.flags, self.clock.now)
                self.want()
            if blind and self.detector_set.feed(n, e.code, self.clock.now):
                self.answers.waiting.mark(n, SIGNAL_UNCERTAIN)
                self.reschedule(n)

    cdef void control_c(self, const event_t* e) noexcept nogil:
        """A command of an operator, or a gate. A gate cancels no resting order and closes no position."""
        cdef int n
        if e.code == CONTROL_PAUSE or e.code == CONTROL_READY:
            n = max(e.instrument, 0)
            self.risk.gate(e, &self.market[n], self.count if e.instrument == ALL_INSTRUMENTS else 1, self.clock.now, self.audit)
            if e.code == CONTROL_PAUSE:
                self.answers.withdraw(e.instrument, -1, NOT_READY, self.clock.now)
                self.answers.resolve_intents(self.clock.now)
                self.reschedule_touched()
            return
        if e.code == CONTROL_LOWER:
            self.risk.lower(e, self.account, self.clock.now, self.audit)
            return
        self.risk.control(e.code, self.account, self.clock.now, self.audit)
        for n in range(self.count if e.code == CONTROL_FLATTEN else 0):
            bracket_leave(&self.slot[n], &self.inst[n], END_CONTROL, self.clock.now, self.out)
            self.reschedule(n)

    cdef void apply_halt(self) noexcept nogil:
        """A halt was latched or lifted: resting entries are cancelled, positions stay protected."""
        cdef int n
        self.clock.halt_applied = self.risk.latch.halted
        if self.risk.latch.halted:
            self.answers.withdraw(ALL_INSTRUMENTS, -1, self.risk.latch.halted, self.clock.now)
            self.reschedule_touched()
        for n in range(self.count if self.risk.latch.halted else 0):
            bracket_withdraw(&self.slot[n], &self.inst[n], self.clock.now, self.out)
            self.reschedule(n)

    # ---- signals ----

    cdef int on_signals(self, int count) except -1:
        """The new signals of the detectors; below 0: see DetectorSet.push."""
        cdef int k
        if count < 0:                   # as after a policy's exception: entries halt, exits continue, the caller gets the exception
            self.audit.put(self.clock.now, AUDIT_ALARM, OK, ALARM_POLICY, ALL_INSTRUMENTS, 0, 0)
            self.risk.control(CONTROL_HALT, self.account, self.clock.now, self.audit)
        for k in range(count if count >= 0 else -1 - count):
            self.emit_signal(&self.detector_set.emitted[k])
        return 0 if count >= 0 else self.detector_set.fail()

    cdef int emit_signal(self, const signal_t* s) except -1:
        cdef bracket_state_t* slot = &self.slot[s.instrument]
        self.audit.signal(s)
        if self.emitted_count < self.emitted_capacity:
            self.emitted[self.emitted_count] = s[0]
            self.emitted_count += 1
        else:
            self.emitted_lost += 1
        if slot.state != BRACKET_FLAT and slot.spec.exit_phase and s.phase >= slot.spec.exit_phase and slot.signal_sequence == s.sequence and \
                slot.detector == s.detector:
            bracket_leave(slot, &self.inst[s.instrument], END_PHASE, self.clock.now, self.out)
            self.answers.touch(s.instrument)
        return self.answers.on_signal(s, self.clock.now)

    cdef void after_requests(self, int64_t since) noexcept nogil:
        """Count the new requests. A bracket with too many requests latches the halt."""
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

    # ---- input from Python, with the names and units of a bot author. TypeError names the argument ----

    cdef int _index(self, object instrument) except? -1:
        """Index of a name or an index; an unknown one becomes an index that validation refuses and counts."""
        cdef int overflow = 0
        cdef long n
        if PyLong_CheckExact(instrument):   # the usual case, without comparing Python objects
            n = PyLong_AsLongAndOverflow(instrument, &overflow)
            return <int> n if overflow == 0 and -1 <= n < 0x7FFFFFFF else 0x7FFFFFFF
        if isinstance(instrument, str):
            return self.index.get(instrument, 0x7FFFFFFF)
        try:
            instrument = operator.index(instrument)
        except TypeError:
            raise TypeError(f"instrument: expected a name or an index, got {instrument!r} ({type(instrument).__name__})") from None
        return instrument if -1 <= instrument < 0x7FFFFFFF else 0x7FFFFFFF

    def on_liquidation(self, ts_event, ts_recv, instrument, side, price, qty, notional=0.0):
        """A forced close: side LONG (+1) or SHORT (-1) of the position. notional in quote currency if the source states it. -> signals"""
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), LIQUIDATION, side_of(side),
                          real(price, "price"), real(qty, "qty"), real(notional, "notional"), 0.0, 0, 0, 0)

    def on_trade(self, ts_event, ts_recv, instrument, side, price, qty):
        """A public trade; side = aggressor, +1 bought."""
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), TRADE, side_of(side), real(price, "price"),
                          real(qty, "qty"), 0.0, 0.0, 0, 0, 0)

    def on_bbo(self, ts_event, ts_recv, instrument, bid, bid_qty, ask, ask_qty):
        """Best bid and ask."""
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), BBO, 0, real(bid, "bid"),
                          real(bid_qty, "bid_qty"), real(ask, "ask"), real(ask_qty, "ask_qty"), 0, 0, 0)

    def on_ticker(self, ts_event, ts_recv, instrument, mark, index=0.0, open_interest=0.0, funding=None):
        """Mark and index price, open interest (quantity units), funding rate an interval. 0 = not stated. A rate that is not stated: None."""
        cdef uint8_t unstated = STREAM_FUNDING if funding is None else 0
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), TICKER, 0, real(mark, "mark"),
                          real(open_interest, "open_interest"), real(index, "index"), 0.0 if funding is None else real(funding, "funding"), 0,
                          unstated, 0)

    def on_feed(self, ts_event, ts_recv, state, instrument=ALL_INSTRUMENTS, streams=0):
        """The feed's FeedState. ts_event: time of the last good data. streams: bits of Stream, 0 = all; other bits are refused. After DOWN or GAP
        the values of these streams are no longer valid; if liquidations are among them, there are no entries until the feed was UP for a
        detector's window."""
        cdef int64_t about = whole(streams, "streams")
        cdef bint known = 0 <= about <= STREAM_ALL
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), FEED, 0, 0.0, 0.0, 0.0, 0.0, 0,
                          <uint8_t> about if known else 0, code_of(state, "state") if known else 0)

    def on_control(self, ts_recv, control, gate=0, instrument=ALL_INSTRUMENTS):
        """An operator's Control (HALT, RESUME, FLATTEN), or a Gate that closes (PAUSE) or opens (READY) for one instrument or for all."""
        cdef int64_t ts = whole(ts_recv, "ts_recv")
        return self.enter(ts, ts, self._index(instrument), CONTROL, 0, 0.0, 0.0, 0.0, 0.0, 0, code_of(gate, "gate"), code_of(control, "control"))

    def on_limit(self, ts_recv, limit, value):
        """Make a Limit of risk stricter, in the unit of Risk's argument. A looser value changes nothing; see Risk.limits_now."""
        cdef int64_t ts = whole(ts_recv, "ts_recv")
        return self.enter(ts, ts, ALL_INSTRUMENTS, CONTROL, 0, real(value, "value"), 0.0, 0.0, 0.0, 0, code_of(limit, "limit"), CONTROL_LOWER)

    def on_order(self, ts_event, ts_recv, order, status, reason=0, qty=0.0, price=0.0, filled=0.0):
        """The venue's report on one of our orders: OrderStatus, the Reason if it ended, resting quantity. filled: quantity executed so far, if the
        venue reports it. An order that has ended waits for the fills of this quantity, in any order."""
        cdef int64_t number = whole(order, "order")
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), <int> (number >> 40), ORDER, 0, real(price, "price"),
                          real(qty, "qty"), 0.0, real(filled, "filled"), number, code_of(reason, "reason"), code_of(status, "status"))

    def on_fill(self, ts_event, ts_recv, order, price, qty, fee, execution, maker=False, reason=FILL_CROSS):
        """One execution of one of our orders; execution: the venue's id as an integer below 2**53, repeated reports are counted once."""
        cdef int64_t number = whole(order, "order")
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), <int> (number >> 40), FILL, 0, real(price, "price"),
                          real(qty, "qty"), real(fee, "fee"), <double> whole(execution, "execution"), number, FILL_MAKER if maker else 0,
                          code_of(reason, "reason"))

    def on_funding(self, ts_event, ts_recv, instrument, side, mark, qty, paid, rate=0.0):
        """Funding of a position (side, qty held) at ts_event: paid > 0, received < 0, in quote currency. A repeated report is counted once."""
        return self.enter(whole(ts_event, "ts_event"), whole(ts_recv, "ts_recv"), self._index(instrument), FUNDING, side_of(side), real(mark, "mark"),
                          real(qty, "qty"), real(paid, "paid"), real(rate, "rate"), 0, 0, 0)

    def on_verdict(self, ts_recv, question, judgment, confidence=0):
        """An outside judge's Judgment of a question (Engine.questions). Late, repeated and unknown ones are counted. confidence: 1 to 3, of a
        JUDGE_CONFIRM: the intent's confidence is lowered to it, and the intent is entered with the others of its batch; 0 = not stated: the intent
        is entered at once with its own confidence."""
        cdef int64_t ts = whole(ts_recv, "ts_recv")
        return self.enter(ts, ts, ALL_INSTRUMENTS, VERDICT, 0, 0.0, 0.0, 0.0, <double> whole(confidence, "confidence"),
                          whole(question, "question"), 0, code_of(judgment, "judgment"))

    def advance(self, ts):
        """Let time pass up to ts (ns) without an event: deadlines are processed. A time before the present one is refused and counted."""
        cdef int64_t at = whole(ts, "ts")
        return self.enter(at, at, ALL_INSTRUMENTS, TIMER, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0)

    cdef tuple take(self):
        """The signals of this call."""
        cdef int n
        if self.emitted_count == 0:
            return ()
        out = tuple([Signal.of(&self.emitted[n]) for n in range(self.emitted_count)])
        self.emitted_count = 0
        return out

    cdef object enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                      double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code):
        cdef event_t e
        cdef int64_t accepted = self.clock.events
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
        if (ts_event < EARLY or ts_recv < EARLY or self.clock.now < EARLY) and not_nanoseconds(ts_event, ts_recv, self.clock.now, kind):
            self.refuse(&e, BAD_TIME)
            return self.refused_call(&e)
        self.step_c(&e)
        return self.take() if self.clock.events != accepted else self.refused_call(&e)

    cdef int check_times(self, const event_t* e, str where) except -1:
        """ValueError for times that cannot be ns, for calls that return no Refused. ts_event of a recording may be 0 (not stated), and times may be
        of today after an invalid first row at 0."""
        if not -NEVER < self.clock.now < EARLY and not_nanoseconds(e.ts_event, e.ts_recv, self.clock.now, FEED):
            raise ValueError(where + times_text(e.ts_event, e.ts_recv, self.now))
        return 0

    cdef object refused_call(self, const event_t* e):
        """The Refused that a call returns, or the error that it raises, for an event that validation has refused."""
        answer = Refused(self.take(), schema.Reason(self.refusal), schema.Kind(e.kind), e[0], self.now, list(self.index))
        if self.strict:
            raise ValueError(answer.text)
        return answer

    cdef tuple strictly(self, const event_t* e, Py_ssize_t n):
        """Process one row of an array; a refusal raises."""
        cdef int64_t accepted = self.clock.events
        self.step_c(e)
        if self.clock.events == accepted:
            raise ValueError(f"row {n}: {Refused((), schema.Reason(self.refusal), schema.Kind(e.kind), e[0], self.now, list(self.index)).text}")
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
        if count and e.ts_recv >= self.clock.now:          # validation counts a time that goes back
            self.check_times(e, "row 0: ")
        out = []
        if self.strict:
            for n in range(count):
                out.extend(self.strictly(&e[n], n))
            return out
        for n in range(count):
            self.step_c(&e[n])
            if self.emitted_count:
                for k in range(self.emitted_count):
                    out.append(Signal.of(&self.emitted[k]))
                self.emitted_count = 0
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
        """Number of accepted events."""
        return self.clock.events

    @property
    def refused(self) -> dict:
        """Number of events that validation refused, by Reason."""
        return {schema.Reason(n): self.clock.refused[n] for n in range(32) if self.clock.refused[n]}

    def threshold(self, instrument, detector=1) -> float:
        """Threshold of a cascade detector (by name or number) for the instrument's next liquidation, quote currency; nan during warm-up."""
        return self.detector_set.detectors[self.detector_set.place(detector)].threshold(self._known(instrument))

    def phase(self, instrument, detector=1):
        """Phase of the instrument by one detector (its name or number): the present one of a cascade detector, the last reported one of others."""
        return schema.Phase(self.detector_set.phase(self.detector_set.place(detector), self._known(instrument)))

    def holds(self, instrument, now=None) -> int:
        """The valid streams as bits of Stream: a quote that may be traded against, a mark of the last minute, a trade of the last minute. now: ns,
        by default the engine's time. Other streams are not checked."""
        cdef market_t* m = &self.market[self._known(instrument)]
        cdef int64_t t = self.clock.now if now is None else now
        return ((STREAM_QUOTE if quote_alive(m, t) else 0) | (STREAM_MARK if mark_alive(m, t) else 0)
                | (STREAM_TRADE if last_holds(m) and t - m.ts_trade <= <int64_t> STATE_AGE_NS else 0))

    def feature(self, str name, instrument) -> float:
        """A feature as known now, nan = not known yet; KeyError for one that neither the engine nor a policy declared."""
        if name not in self.known_features:
            raise KeyError(f"feature {name!r}: expected one of {', '.join(self.known_features) or 'none: no features are declared'}")
        return self.features.known_c(self.known_features[name][0], self._known(instrument), self.clock.now)

    def view(self, out=None):
        """The present state: an array with a row for each instrument, whose fields are explained in liqcore/view.pxd. out: an array of VIEW_DTYPE
        to write into. Reading it has no effect on decisions."""
        out = np.zeros(self.count, VIEW_DTYPE) if out is None else out
        cdef view_t[::1] rows = out
        cdef int n
        if rows.shape[0] != self.count:
            raise ValueError(f"out: expected {self.count} rows, one for each instrument; it has {rows.shape[0]}")
        for n in range(self.count):
            view_row(&rows[n], &self.inst[n], &self.market[n], &self.slot[n], self.account, self.detector_set.cascade, n)
        return out

    def questions(self) -> list:
        """The questions that wait for a verdict, oldest first, as dicts: id, batch (the questions of one moment share it), ts (asked, ns), deadline
        (ns), instrument (index), symbol, side, confidence, notional, policy (place), detector (name), signal, outcomes (Bracket.outcomes), content
        (the result of Policy.question). Answer with on_verdict(ts, id, Judgment.JUDGE_CONFIRM, confidence) before the deadline."""
        return self.answers.questions()

    @property
    def verdicts(self) -> dict:
        """Number of questions by outcome: asked, confirmed, vetoed, unjudged (no verdict in time), and verdicts ignored."""
        cdef tally_t* t = &self.answers.waiting.tally
        return {"asked": t.asked, "confirmed": t.confirmed, "vetoed": t.vetoed, "unjudged": t.unjudged, "ignored": t.ignored}

    @property
    def detectors(self) -> tuple:
        """Number k of a signal (signal.detector) is detectors[k - 1]."""
        return self.detector_set.detectors

    @property
    def policies(self) -> tuple:
        """The policies, in the order of their places."""
        return self.answers.policies

    @property
    def policy(self):
        """The policy, the first of several, or None."""
        return self.answers.policies[0] if self.answers.policies else None

    def bracket(self, instrument) -> dict:
        """The instrument's bracket: state, side, quantity held (base units), cooldown_until (ns)."""
        cdef bracket_state_t* s = &self.slot[self._known(instrument)]
        return {"state": life.BracketState(s.state), "side": s.spec.side, "held": qty_of(&self.inst[s.instrument], bracket_position(s)),
                "sequence": s.sequence, "cooldown_until": s.cooldown_until, "end": schema.Reason(s.end)}

    def orders(self, instrument=None) -> list:
        """The known state of each order of each open bracket, as dicts: id, role, instrument (index), symbol, side, status ('sent', 'live',
        'ended'), asked ('', 'amend', 'cancel': the request on its way), unknown, price (limit, or trigger of the stop; 0 = market), stop_price
        (attached to the entry), qty, filled, executed (base units), attempt, ts_asked (ns)."""
        which = range(self.count) if instrument is None else [self._known(instrument)]
        return [order for n in which for order in bracket_orders(&self.slot[<int> n], &self.inst[<int> n], self.instruments[n].symbol)]

    def gates(self, instrument) -> tuple:
        """The Gates that are closed for the instrument, lowest first; empty = no gate blocks entries."""
        cdef int32_t closed = self.market[self._known(instrument)].gates
        return tuple([gate for gate in schema.Gate if closed & (1 << <int> gate)])

    cdef int _known(self, object instrument) except -1:
        cdef int n = self._index(instrument)
        if not 0 <= n < self.count:
            raise KeyError(f"instrument {instrument!r}: expected one of {', '.join(self.index)}")
        return n

    # ---- snapshot ----

    cdef bytes _identity(self):
        """The settings that a snapshot must have been taken with. They never change."""
        import json                     # not at import: the core starts in milliseconds

        if self.identity is None:
            self.identity = json.dumps(sort_keys=True, obj={
                "abi": STATE_ABI, "band": self.band, "patience": self.patience, "quote_age_ns": self.quote_age_ns, "features": self.features.names,
                "instruments": [i.as_dict() for i in self.instruments], "detectors": [d.as_dict() for d in self.detector_set.detectors]}).encode()
        return self.identity

    def snapshot(self) -> bytes:
        """The complete state on which later decisions depend (without the content of the audit ring and undrained requests)."""
        if self.out.head != self.out.tail:
            raise RuntimeError("snapshot: drain() the pending requests first, they would be lost")
        parts = [self._identity(), (<char*> &self.clock)[:sizeof(clock_t)], (<char*> &self.audit.next_seq)[:8],
                 (<char*> self.market)[:self.count * sizeof(market_t)], changes(<const char*> self.slot, self.count * sizeof(bracket_state_t)),
                 (<char*> self.side_checks)[:self.venues * sizeof(side_check_t)], self.account.snapshot(), self.risk.snapshot(),
                 self.features.save_c(), self.answers.save()]
        return pack(SNAPSHOT_NAME, parts + self.detector_set.save())

    def restore(self, bytes data):
        """Continue where snapshot() was taken. ValueError (and nothing changed) for other instruments, settings or versions, or damage."""
        cdef int n
        cdef list parts = unpack(WHOLE_NAME if data.startswith(WHOLE_NAME) else SNAPSHOT_NAME, data, "engine")
        sizes = [sizeof(clock_t), 8, self.count * sizeof(market_t), self.count * sizeof(bracket_state_t), self.venues * sizeof(side_check_t)]
        if parts and parts[0] != self._identity():
            raise ValueError("engine snapshot: taken with other instruments or settings; make the Engine with the same ones: "
                             + parts[0].decode(errors="replace"))
        if not data.startswith(WHOLE_NAME):
            parts[4:5] = [unchanged(part, sizes[3], False) or b"" for part in parts[4:5]]
        if len(parts) < 10 or [len(part) for part in parts[1:6]] != sizes:
            raise ValueError("engine snapshot: not one of this version of liqcore")
        # settings and checksum fit; only a policy's own memory can still fail, so it is restored first
        self.answers.load(parts[9])
        self.detector_set.load(parts[10:])
        self.features.load_c(parts[8])
        self.want()
        self.account.restore(parts[6])
        self.risk.restore(parts[7])
        memcpy(&self.clock, <const char*> <bytes> parts[1], sizeof(clock_t))
        self.audit.next_seq = self.audit.read_seq = int.from_bytes(parts[2], "little")
        memcpy(self.market, <const char*> <bytes> parts[3], self.count * sizeof(market_t))
        memcpy(self.slot, <const char*> <bytes> parts[4], self.count * sizeof(bracket_state_t))
        memcpy(self.side_checks, <const char*> <bytes> parts[5], self.venues * sizeof(side_check_t))
        self.out.head = self.out.tail = self.emitted_count = 0
        for n in range(self.count):
            self.reschedule(n)
        self.return_to()

    def trade_identity(self) -> bytes:
        """Instruments and units of the trades: the first part of a trade_snapshot(), and the head of a state image."""
        return trade_identity(self.instruments)

    def trade_snapshot(self) -> bytes:
        """The state that a restart must keep: brackets and their orders, account, risk's latch and the time, without market and detectors. Its parts
        are listed in execution/trade_snapshot.pyx."""
        return trade_pack(self.instruments, self.clock.now, self.clock.halt_applied, self.slot, self.account, self.risk)

    def trade_restore(self, bytes data):
        """Load the trades of a trade_snapshot() or a state image; resume() must follow. Instruments may have been added at the end. ValueError, and
        no change, for other instruments, another version, or damage."""
        cdef int n
        self.clock.now, self.clock.halt_applied = trade_unpack(data, self.instruments, self.slot, self.account, self.risk)
        self.answers.waiting.forget()
        self.out.head = self.out.tail = 0
        for n in range(self.count):
            self.reschedule(n)
        self.return_to()

    def resume(self, int64_t now, double grace_s=2.0):
        """Continue at `now` (ns) after trade_restore(), before any other call. Every request without an answer has an unknown outcome (see orders()).
        For `grace_s` seconds (times patience) nothing is sent about a trade; query the venue in this time. After it, an overdue time to live or max
        hold is processed."""
        cdef int n
        if now < self.clock.now or not 0 <= now < TIME_MAX or not 0.0 <= grace_s <= 3600.0:
            raise ValueError(f"resume: expected a time from {self.clock.now} on and a grace of 0 to 3600 s, got {now} and {grace_s!r}")
        self.clock.now = now
        for n in range(self.count):
            bracket_restart(&self.slot[n], <int64_t> (grace_s * self.patience * 1e9), now, self.out)
            self.reschedule(n)


cdef inline bint lone_cascade(Engine self) noexcept nogil:
    """True if one cascade is the only user of market events: the usual engine, with a short path."""
    return self.detector_set.size == 1 and self.detector_set.cascade is not None and self.features.wants == 0


cdef inline int push_lone(CascadeDetector d, const event_t* e, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
    """CascadeDetector.push_c as an inline function."""
    cdef cascade_t* c = &d.c[e.instrument]
    cdef double notional = notional_at(e, d.inst[e.instrument].multiplier, basis_price(d.config.c.basis, m, e.ts_recv))
    cdef int answer = cascade_push(c, &d.config.c, e.ts_recv, e.side, notional, m.last if m.last > 0.0 else e.price, flags, out)
    if c.p.large:
        d.audit_large(c, e, notional)
    return answer


cdef int after_signals(Engine self, int32_t n, int count) except -1:
    """Process the signals that an event of instrument n caused."""
    try:
        self.on_signals(count)
    finally:                        # a policy may raise: what was done so far is kept, and time must continue
        self.answers.resolve_intents(self.clock.now)
        self.reschedule_touched()
        self.reschedule(n)
    return 0


cdef dict _index_of(tuple instruments):
    """Every name of one instrument: 'venue:symbol', and the symbol if it is unique."""
    symbols = [i.symbol for i in instruments]
    index = {i.key: n for n, i in enumerate(instruments)}
    index.update({i.symbol: n for n, i in enumerate(instruments) if symbols.count(i.symbol) == 1})
    return index


describe(Engine, {"instruments": "The instruments, in the order of their indexes.",
                   "config": "CascadeConfig of the first cascade among the detectors, or None.", "features": "The Features that are declared.",
                   "risk": "The limits: a Risk.", "account": "Positions and equity: an Account.",
                   "timetable": "When entries are allowed: a Timetable.", "audit": "The ring of audit records: drain() takes what is new.",
                   "patience": "Factor on the time limits of machine and network.",
                   "strict": "Whether an event that validation refuses raises at the call."})
