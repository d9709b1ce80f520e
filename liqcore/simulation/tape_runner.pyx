"""The tape runner: see tape_runner.pxd. The audit stream and the final state are byte for byte those of Paper.run(tape.events())."""

import numpy as np

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset

from liqcore.argument cimport describe
from liqcore.simulation.book cimport book_t
from liqcore.execution.bracket cimport bracket_deadline
from liqcore.simulation.columns cimport fold_market, quote_event, quote_is_next, rare_before, trade_event
from liqcore.detectors.detector cimport Detector
from liqcore.execution.account cimport position_t
from liqcore.event cimport ALL_INSTRUMENTS, BBO, CONTROL, FEED, LIQUIDATION, OK, STREAM_MARK, TICKER, TRADE, VERDICT, market_t, signal_t
from liqcore.instrument cimport Instrument, price_of
from liqcore.market cimport mark_alive, market_ticker, ticker_states
from liqcore.simulation.paper cimport SERVE_ARRIVAL, SERVE_DEADLINE, SERVE_REPORT, SERVE_WAIT
from liqcore.kernels.first_passage cimport first_above, first_below, first_outside, passage_prefetch, pyramid_t, rows_before
from liqcore.execution.side_check cimport SIDES_SAMPLE
from liqcore.execution.order_state cimport BRACKET_FLAT, bracket_position, bracket_state_t
from liqcore.bracket_spec cimport bracket_t, trail_stop

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t AUDIT_MIN = 256                     # records; those of one event must fit into the other half of the ring


cdef int64_t first_hit(const pyramid_t* p, int64_t start, int64_t stop, int64_t low, int64_t high) noexcept nogil:
    """The first row outside of the bounds. Prices are positive, and usually only one bound is set."""
    if low <= 0:
        return stop if high == NEVER else first_above(p, start, stop, high)
    return first_below(p, start, stop, low) if high == NEVER else first_outside(p, start, stop, low, high)


cdef class Walk:
    """Runs the events of a tape through a Paper, without visiting trades and quotes that change nothing.

    paper: a liqcore.Paper of the same instruments, fresh or at the end of an earlier tape. tape: a liqcore.Tape. Policies, risk, latencies and fill
    models are unchanged: the audit stream, and Paper.snapshot() afterwards, equal those of Paper.run(tape.events()) byte for byte.
    The signals are in the audit stream, as records of kind AUDIT_SIGNAL.

    judge: called with each question (a dict of Engine.questions) at its moment; returns None, or (ts, Judgment, confidence), as Engine.on_verdict
    takes them: the verdict enters at that time, before the market events of that time.
    """

    def __cinit__(self, Paper paper not None, Tape tape not None, judge=None):
        self.count = tape.count
        self.cursors = <cursor_t*> calloc(self.count, sizeof(cursor_t))
        self.watch = <int32_t*> calloc(self.count, sizeof(int32_t))
        if self.cursors == NULL or self.watch == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")

    def __init__(self, Paper paper not None, Tape tape not None, judge=None):
        if paper.engine.instruments != tape.instruments:
            raise ValueError("Walk: engine and tape must have the same instruments in the same order")
        if paper.engine.audit.mask + 1 < AUDIT_MIN:
            raise ValueError(f"Walk: expected an engine with audit_capacity of at least {AUDIT_MIN}, got {paper.engine.audit.mask + 1}")
        if judge is not None and not callable(judge):
            raise TypeError(f"Walk: judge: expected a function of a question, or None, got {judge!r}")
        self.paper = paper
        self.engine, self.venue, self.account = paper.engine, paper.venue, paper.engine.account
        self.tape = tape
        self.strips, self.inst = tape.strips, tape.inst
        self.rare, self.place, self.rare_n, self.moved = tape.rare_at, tape.place_at, tape.rare_n, tape.moved
        self.moved_at, self.moved_place, self.moved_n = tape.moved_at, tape.moved_place_at, tape.moved_n
        self.find_coming()
        self.at_ts = -1
        self.at_instrument = -1
        self.judge, self.verdicts, self.verdict_ts = judge, [], NEVER
        self.asked = self.engine.answers.waiting.tally.last
        self.every_trade = (self.engine.detector_set.wants | self.engine.features.wants) >> TRADE & 1
        self.every_quote = (self.engine.detector_set.wants | self.engine.features.wants) >> BBO & 1
        self.plain = self.engine.features.wants == 0
        for d in self.engine.detectors:
            self.plain = self.plain and (<Detector> d).last_only

    def __dealloc__(self):
        free(self.cursors)
        free(self.watch)

    def _last_row(self):
        """The dense row that ends the tape: (instrument, row, is it a quote); instrument -1 if a rare event does."""
        cdef const strip_t* s
        cdef int n, last = -1
        cdef int64_t ts = -1
        for n in range(self.count):
            s = &self.strips[n]
            if s.trades.n and s.trades.ts[s.trades.n - 1] >= ts:
                last, ts = n, s.trades.ts[s.trades.n - 1]
            if s.quotes.n and s.quotes.ts[s.quotes.n - 1] >= ts:
                last, ts = n, s.quotes.ts[s.quotes.n - 1]
        if last < 0:
            return -1, 0, 0
        s = &self.strips[last]
        if self.tape.last_ts >= 0 and (self.tape.last_ts, self.tape.last_instrument) > (ts, last):
            return -1, 0, 0
        if s.quotes.n and (s.trades.n == 0 or s.quotes.trades_before[s.quotes.n - 1] == s.trades.n):
            return last, s.quotes.n - 1, 1
        return last, s.trades.n - 1, 0

    def run(self, until=None) -> bool:
        """Continue to the end of the tape, or through all events of ts <= until (ns) and the deadlines until then, as if Paper.advance(until)
        followed.

        True = done. False = the audit ring is half full: drain it (engine.audit.drain()) and call run again with the same argument. Between calls the
        Paper may be read and snapshots taken. ValueError if the engine's time is after the rest of the tape. An exception of a policy is raised to
        the caller; the next call continues after that event.
        """
        cdef int64_t limit = NEVER if until is None else until
        cdef MarketRefresh market_refresh = MarketRefresh.__new__(MarketRefresh)
        cdef int n
        self._begin(limit)
        for n in range(self.count):
            self.refresh(n)
        market_refresh.walk = self
        self.engine.answers.market_refresh = market_refresh
        try:
            return self.run_c(limit, until is not None) != 0
        finally:
            self.engine.answers.market_refresh = None
            self.catch_up_all()

    def _begin(self, int64_t limit):
        """Check that the tape is not before the engine's time. At the first event, start the first day."""
        cdef const strip_t* s
        cdef int64_t first = self.coming.ts_recv if self.coming != NULL else NEVER
        cdef int n
        for n in range(self.count):
            s = &self.strips[n]
            if self.cursors[n].trades < s.trades.n:
                first = min(first, s.trades.ts[self.cursors[n].trades])
            if self.cursors[n].quotes < s.quotes.n:
                first = min(first, s.quotes.ts[self.cursors[n].quotes])
        if first < self.engine.clock.now:
            raise ValueError(f"Walk: the tape goes on at {first} ns, before the engine's time ({self.engine.clock.now} ns)")
        if not self.started:
            self._find_odd_rows()
            self.started = first <= limit and first != NEVER
            if self.started and self.account.ledger.day_ends == 0:
                self.engine.advance_c(first)

    def _find_odd_rows(self):
        """Find the rows at which every run must stop."""
        cdef size_t trades, quotes
        cdef int n
        last, row, is_quote = self._last_row()
        self._keep = []
        for n in range(self.count):
            odd = [rows.tolist() for rows in self.tape.odd_rows(n, &self.engine.market[n], self.engine.band)]
            if self.engine.features.without_data:                 # the first event of an instrument matters to features
                for rows in odd:
                    if 0 not in rows:
                        rows.insert(0, 0)
            if n == last and row not in odd[is_quote]:       # so that deadlines before the last event are served before it
                odd[is_quote].append(row)
            arrays = [np.array([*rows, NEVER], np.int64) for rows in odd]
            self._keep.append(arrays)
            self.cursors[n].calm = self.tape.calm(n, &self.engine.market[n], self.engine.band)
            self.cursors[n].good_trades = self.cursors[n].good_quotes = -1
            trades, quotes = arrays[0].ctypes.data, arrays[1].ctypes.data
            self.cursors[n].odd_trades = <const int64_t*> trades
            self.cursors[n].odd_quotes = <const int64_t*> quotes

    cdef int run_c(self, int64_t until, bint advance) except -1:
        cdef int64_t due, half = (self.engine.audit.mask + 1) // 2
        cdef int what = 0
        while self.engine.audit.next_seq - self.engine.audit.read_seq <= half:
            due = self.paper.next_c(&what)
            if self.coming != NULL and self.coming.kind == TICKER and not self.engine.wants >> TICKER & 1:
                self.pass_tickers(self.undisturbed(due, until))
            if self.coming != NULL and self.coming.kind == LIQUIDATION and self.plain and self.pass_liquidations(self.undisturbed(due, until), half):
                pass                    # the next deadline may have changed
            elif self.visit(due, what, until, advance):
                return 1
            self.engine.emitted_count = 0
            if self.judge is not None and self.engine.answers.waiting.tally.last != self.asked:
                self.put_questions()
        return 0

    cdef int visit(self, int64_t due, int what, int64_t until, bint advance) except -1:
        """Visit the next event of any kind. Returns 1 at the end. due, what: of Paper.next_c."""
        cdef int64_t ts
        cdef bint rare, heard
        cdef int32_t n = self.select(&ts, &rare)
        heard = self.verdict_ts <= ts and self.verdict_ts != NEVER
        ts = min(ts, self.verdict_ts)
        if due <= ts and due <= until and (advance or ts != NEVER):
            self.serve(due, what)
        elif heard and ts <= until:
            self.hear()
        elif ts <= until and ts != NEVER:
            self.step(n, rare)
        else:
            if advance and until >= self.engine.clock.now:
                self.at_ts, self.at_instrument = until, self.count
                self.catch_up_all()
                self.paper.advance_c(until)
                self.engine.advance_c(until)
                self.paper.pump()
            return 1
        return 0

    cdef int put_questions(self) except -1:
        """Put new questions to the judge. Their numbers increase."""
        for question in self.engine.questions():
            if question["id"] > self.asked:
                answer = self.judge(question)
                if answer is not None:
                    ts, judgment, confidence = answer
                    self.verdicts.append((max(ts, self.engine.clock.now), question["id"], int(judgment), confidence))
        self.verdicts.sort()
        self.asked = self.engine.answers.waiting.tally.last
        self.verdict_ts = self.verdicts[0][0] if self.verdicts else NEVER
        return 0

    cdef int hear(self) except -1:
        """Pass the next verdict to the engine, at its time."""
        cdef event_t e
        cdef int64_t since = self.engine.out.head
        ts, number, judgment, confidence = self.verdicts.pop(0)
        self.verdict_ts = self.verdicts[0][0] if self.verdicts else NEVER
        memset(&e, 0, sizeof(event_t))
        e.ts_event = e.ts_recv = ts
        e.kind, e.instrument, e.id, e.code, e.aux_qty = VERDICT, ALL_INSTRUMENTS, number, judgment, confidence
        self.stops += 1
        if e.ts_recv > self.at_ts:
            self.at_ts, self.at_instrument = e.ts_recv, -1
        self.catch_up_active()
        self.catch_up_waiting(NEVER - 1)
        try:
            self.paper.hand_in_c(&e)
        finally:
            self.refresh_asked(since)
        return 0

    cdef void find_coming(self) noexcept nogil:
        """Find the next rare event, of the tape or of the liquidations that replace its own. At equal time and instrument the latter come first."""
        while self.moved and self.rare_next < self.rare_n and self.rare[self.rare_next].kind == LIQUIDATION:
            self.rare_next += 1
        self.coming = &self.rare[self.rare_next] if self.rare_next < self.rare_n else NULL
        self.coming_place = &self.place[self.rare_next]
        if self.moved and self.moved_next < self.moved_n and (self.coming == NULL or not rare_before(self.coming, &self.moved_at[self.moved_next])):
            self.coming, self.coming_place = &self.moved_at[self.moved_next], &self.moved_place[self.moved_next]

    cdef void pass_coming(self) noexcept nogil:
        if self.moved and self.coming.kind == LIQUIDATION:
            self.moved_next += 1
        else:
            self.rare_next += 1
        self.find_coming()

    cdef int64_t undisturbed(self, int64_t due, int64_t until) noexcept nogil:
        """Time before which there are only rare events: no deadline, and no trade or quote to visit."""
        cdef int64_t end = min(min(due, self.verdict_ts), until + 1 if until < NEVER else until)
        cdef int k
        for k in range(self.watch_n):
            end = min(end, self.cursors[self.watch[k]].next_ts)
        return end

    cdef int pass_liquidations(self, int64_t end, int64_t room) except -1:
        """Visit the liquidations before `end` one after the other, as `step` does, while each needs only the last price and no other event can come
        between. room: limit of waiting audit records. Returns their number."""
        cdef Engine engine = self.engine
        cdef const event_t* e = self.coming
        cdef int64_t since = engine.out.head
        cdef int passed = 0
        while (e != NULL and e.kind == LIQUIDATION and e.ts_recv < end and e.ts_recv < engine.due_next and e.ts_recv < engine.turn
               and engine.out.head == since and engine.audit.next_seq - engine.audit.read_seq <= room and self.is_bare(e.instrument, e)
               and (self.judge is None or engine.answers.waiting.tally.last == self.asked)):
            passed += 1
            self.stops += 1
            self.bring_last(e.instrument, self.coming_place)
            self.at_ts, self.at_instrument = e.ts_recv, e.instrument
            self.pass_coming()
            engine.emitted_count = 0
            engine.clock.now = e.ts_recv
            engine.clock.events += 1
            try:
                engine.on_liquidation_c(e)
                if engine.out.head != since or engine.risk.latch.halted != engine.clock.halt_applied:
                    engine.finish(since)
                    self.paper.pump()
            finally:
                self.refresh_asked(since)
            e = self.coming
        return passed

    cdef void pass_tickers(self, int64_t end) noexcept nogil:
        """Process the tickers before `end` that change only the market of their instrument: it has no bracket, order or position, and validation
        accepts all its events. Its trades and quotes, and other instruments, stay behind, because tickers do not depend on them."""
        cdef const event_t* e = NULL
        cdef const event_t* moved = &self.moved_at[self.moved_next] if self.moved and self.moved_next < self.moved_n else NULL
        cdef const event_t* passed = NULL
        cdef market_t* markets = self.engine.market
        cdef position_t* positions = self.account.positions
        cdef const cursor_t* c
        cdef int64_t row = self.rare_next, count = 0
        end = min(end, min(self.engine.due_next, self.engine.turn))
        for row in range(row, self.rare_n):
            e = &self.rare[row]
            if e.kind == TICKER:
                c = &self.cursors[e.instrument]
                if e.ts_recv >= end or c.active or not c.calm or moved != NULL and not rare_before(e, moved):
                    break
                market_ticker(&markets[e.instrument], e)
                if ticker_states(e) & STREAM_MARK:
                    positions[e.instrument].mark = e.price
                passed = e
                count += 1
            elif not (self.moved and e.kind == LIQUIDATION):
                break
        if passed == NULL:
            return
        row = passed - self.rare
        self.at_ts, self.at_instrument = passed.ts_recv, passed.instrument
        self.at_trades, self.at_quotes = self.place[row].trades_before, self.place[row].quotes_before
        self.engine.clock.now = passed.ts_recv
        self.engine.clock.events += count
        self.rare_next = row + 1
        self.find_coming()

    cdef int32_t select(self, int64_t* ts, bint* rare) noexcept nogil:
        """The next event to visit: its instrument and time, and whether it is a rare one. ts = NEVER: none is left."""
        cdef int32_t n, best = -2
        cdef const cursor_t* c
        cdef const rare_t* place = self.coming_place
        cdef int k
        ts[0] = NEVER
        rare[0] = self.coming != NULL
        if rare[0]:
            ts[0] = self.coming.ts_recv
            best = self.coming.instrument
        for k in range(self.watch_n):
            n = self.watch[k]
            c = &self.cursors[n]
            if c.next_ts > ts[0] or c.next_ts == NEVER or (c.next_ts == ts[0] and n > best):
                continue
            if rare[0] and n == best and c.next_ts == ts[0]:     # at equal time and instrument the place decides
                if place.quotes_before <= c.next_quote if c.quote_first else place.trades_before <= c.next_trade:
                    continue
            ts[0] = c.next_ts
            best = n
            rare[0] = False
        return best

    cdef int step(self, int32_t n, bint rare) except -1:
        """Visit one event: fold the rows before it, then pass it to the engine and the venue."""
        cdef event_t e
        cdef const event_t* visited = &e
        cdef cursor_t* c = &self.cursors[n] if n >= 0 else NULL
        cdef const strip_t* s = &self.strips[n] if n >= 0 else NULL
        cdef int64_t row, since = self.engine.out.head
        cdef bint bare = False, waits = False, broken = False
        self.stops += 1
        if rare:
            visited = self.coming
            bare = n >= 0 and self.is_bare(n, visited)
            if bare:
                self.bring_last(n, self.coming_place)
            elif n >= 0:
                self.at_trades, self.at_quotes = self.coming_place.trades_before, self.coming_place.quotes_before
                self.fold(n, self.at_trades, self.at_quotes)
            waits = visited.kind == VERDICT or visited.kind == CONTROL
            broken = visited.kind == FEED
        elif c.quote_first:
            row = c.next_quote
            quote_event(s, &self.inst[n], n, row, &e)
            self.fold(n, s.quotes.trades_before[row], row)
        else:
            row = c.next_trade
            trade_event(s, &self.inst[n], n, row, &e)
            self.fold(n, row, rows_before(s.quotes.trades_before, max(c.quotes, c.good_quotes), s.quotes.n, row + 1))
        if not rare:
            self.at_trades, self.at_quotes = c.trades, c.quotes
        self.at_ts, self.at_instrument = visited.ts_recv, n
        if broken and n < 0:            # it ends values before it, but none after it
            self.catch_up_all()
        elif not bare:
            self.catch_up_active()
        if waits:
            self.catch_up_waiting(NEVER - 1)
        if rare:                        # move behind the event before it is passed in, because a policy may raise
            self.pass_coming()
        else:
            c.quotes += c.quote_first
            c.trades += not c.quote_first
            self.at_trades, self.at_quotes = c.trades, c.quotes
        try:
            self.paper.hand_in_c(visited)
        finally:
            # of rare events only a mark can move the venue by itself; others change bounds only by requests
            if not rare or (visited.kind == TICKER and c.active):
                self.refresh(n)
            self.refresh_asked(since)
        return 0

    cdef int serve(self, int64_t due, int what) except -1:
        """Serve an action that is not a market event, before the market events of the same time, unless these are done."""
        cdef int32_t n = -1
        cdef int64_t since = self.engine.out.head
        cdef bint bare
        self.stops += 1
        if due > self.at_ts:
            self.at_ts, self.at_instrument = due, -2
        if what == SERVE_ARRIVAL:
            n = self.venue.arrivals[self.venue.state.arrivals_tail & self.venue.mask].instrument
        elif what == SERVE_REPORT:
            n = self.venue.reports[self.venue.state.reports_tail & self.venue.mask].instrument
        if n >= 0:
            self.catch_up(n)
        if what != SERVE_DEADLINE or not self.bare_deadline(due):
            self.catch_up_active()
        if self.engine.answers.waiting.size:
            # the timetable and a halt may withdraw all pending decisions, and confirmed ones wait for others
            bare = what == SERVE_DEADLINE and due < self.engine.hours_next and not self.engine.answers.waiting.confirmed()
            self.catch_up_waiting(due if bare else NEVER - 1)
        try:
            self.paper.serve_c(what)
        finally:
            if n >= 0:
                self.refresh(n)
            for n in range(self.count if what == SERVE_WAIT else 0):
                if self.cursors[n].active:
                    self.refresh(n)
            self.refresh_asked(since)
        return 0

    # ---- advancing engine and venue over rows that change nothing ----

    cdef bint is_bare(self, int32_t n, const event_t* e) noexcept nogil:
        """Whether only the last price must be updated before a rare event. The rest of the market is updated when a policy is asked, or at a later
        event. True for a liquidation if validation accepts all events, no bracket exits by phase, and the check of sides cannot halt trading at this
        event (a halt makes requests with the last price)."""
        return (self.plain and e.kind == LIQUIDATION and self.cursors[n].calm and not self.leaves_by_phase(n)
                and (self.engine.side_checks[self.engine.venue_of[n]].sample + 1 < SIDES_SAMPLE
                     or self.engine.market[n].mark <= 0.0 and e.aux_qty <= 0.0))

    cdef void bring_last(self, int32_t n, const rare_t* place) noexcept nogil:
        cdef cursor_t* c = &self.cursors[n]
        self.look_ahead()
        self.at_trades, self.at_quotes = place.trades_before, place.quotes_before
        if self.at_trades > c.trades:
            self.engine.market[n].last = price_of(&self.inst[n], self.strips[n].trades.price[self.at_trades - 1])
        c.good_trades, c.good_quotes = self.at_trades, self.at_quotes

    cdef void look_ahead(self) noexcept nogil:
        """Prefetch the last price before a liquidation some events ahead, because its address is not predictable."""
        cdef int64_t r = self.moved_next + 1 if self.moved else self.rare_next + 8, n = self.moved_n if self.moved else self.rare_n
        cdef const event_t* e = self.moved_at if self.moved else self.rare
        cdef const rare_t* place = self.moved_place if self.moved else self.place
        if r < n and e[r].instrument >= 0:
            passage_prefetch(&self.strips[e[r].instrument].trades.price[place[r].trades_before] - 1)

    cdef bint leaves_by_phase(self, int32_t n) noexcept nogil:
        return self.engine.slot[n].state != BRACKET_FLAT and self.engine.slot[n].spec.exit_phase != 0

    cdef bint bare_deadline(self, int64_t due) noexcept nogil:
        """True if only detectors are due: they read no market, and a policy that receives their signal updates it."""
        cdef int n
        if self.engine.turn <= due or (self.engine.answers.waiting.size and self.engine.answers.waiting.confirmed()):
            return False
        for n in range(self.count):
            if self.engine.due[n] <= due and self.cursors[n].active and (
                    self.leaves_by_phase(n) or bracket_deadline(&self.engine.slot[n], self.engine.out) <= due):
                return False
        return True

    cdef void fold(self, int32_t n, int64_t trades, int64_t quotes) noexcept nogil:
        """Update instrument n up to these rows."""
        cdef cursor_t* c = &self.cursors[n]
        cdef const strip_t* s = &self.strips[n]
        cdef market_t* m = &self.engine.market[n]
        cdef book_t* b = &self.venue.books[n]
        cdef int64_t rows = trades - c.trades + quotes - c.quotes
        cdef bint traded = trades > c.trades, quoted = quotes > c.quotes
        cdef double good = m.good
        if rows == 0:
            return
        fold_market(s, &self.inst[n], m, c.trades, trades, c.quotes, quotes, self.engine.quote_age_ns)
        if trades == c.good_trades and quotes == c.good_quotes:
            m.good = good           # a liquidation after these rows has already been visited
        self.engine.clock.events += rows
        if traded:
            self.engine.clock.now = max(self.engine.clock.now, s.trades.ts[trades - 1])
            if not mark_alive(m, m.ts_trade):
                self.account.mark(n, m.last)
            if self.engine.slot[n].state != BRACKET_FLAT:
                self.engine.slot[n].last = s.trades.price[trades - 1]
        if quoted:
            self.engine.clock.now = max(self.engine.clock.now, s.quotes.ts[quotes - 1])
        if b.live or b.liquidation:
            self.venue.state.serial += rows
        c.trades = trades
        c.quotes = quotes

    cdef void catch_up(self, int32_t n) noexcept nogil:
        """Update instrument n up to the position of the run."""
        cdef const strip_t* s = &self.strips[n]
        cdef cursor_t* c = &self.cursors[n]
        cdef int64_t t = self.at_ts + (n < self.at_instrument)
        if n == self.at_instrument:
            self.fold(n, self.at_trades, self.at_quotes)
        else:
            # the last liquidation visited without an update is just before the position
            self.fold(n, rows_before(s.trades.ts, max(c.trades, c.good_trades), s.trades.n, t),
                      rows_before(s.quotes.ts, max(c.quotes, c.good_quotes), s.quotes.n, t))

    cdef void catch_up_active(self) noexcept nogil:
        """Update all active instruments, because the event may read all brackets and positions: equity, exposure, a halt."""
        cdef int k
        for k in range(self.watch_n):
            if self.cursors[self.watch[k]].active:
                self.catch_up(self.watch[k])

    cdef void catch_up_waiting(self, int64_t due) noexcept nogil:
        """Update the instruments with pending decisions until `due`, because these will read the market."""
        cdef int n
        if self.engine.answers.waiting.size:
            for n in range(self.count):
                if self.engine.answers.waiting.next_due[n] <= due:
                    self.catch_up(n)

    cdef void catch_up_all(self) noexcept nogil:
        """Update every instrument, so that the Paper can be read."""
        cdef int n
        for n in range(self.count):
            self.catch_up(n)

    # ---- which rows matter ----

    cdef void bound(self, int32_t n, bounds_t* b) noexcept nogil:
        """Bounds of the venue's orders, and of the trail: a new best price, or any trade while the stop is behind it."""
        cdef const bracket_state_t* s = &self.engine.slot[n]
        cdef bint every = False
        cdef int64_t price
        self.venue.bounds(n, &b.trade_low, &b.trade_high, &every)
        b.quote_low, b.quote_high = b.trade_low, b.trade_high
        b.every_trade = b.every_quote = every
        if s.state == BRACKET_FLAT or s.spec.trail == 0 or bracket_position(s) <= 0 or s.end != OK:
            return
        if trail_stop(&s.spec, <int64_t> (s.entry_value / s.entered + 0.5), s.best, s.stop.price, &price):
            b.every_trade = True
        elif s.spec.side > 0:
            b.trade_high = min(b.trade_high, s.best + 1)
        else:
            b.trade_low = max(b.trade_low, s.best - 1)

    cdef void search(self, int32_t n, const bounds_t* b) noexcept nogil:
        """Find the next rows at the bounds. A result for the same bounds is valid until it is reached."""
        cdef cursor_t* c = &self.cursors[n]
        cdef const strip_t* s = &self.strips[n]
        cdef bint same = memcmp(&c.bounds, b, sizeof(bounds_t)) == 0
        if b.every_trade or self.every_trade:
            c.hit_trade = c.trades
        elif not same or c.hit_trade < c.trades:
            c.hit_trade = first_hit(&s.trades.index, c.trades, s.trades.n, b.trade_low, b.trade_high)
        if b.every_quote or self.every_quote:
            c.hit_quote = c.quotes
        elif not same or c.hit_quote < c.quotes:
            c.hit_quote = first_hit(&s.quotes.index, c.quotes, s.quotes.n, b.quote_low, b.quote_high)
        c.bounds = b[0]

    cdef void refresh(self, int32_t n) noexcept nogil:
        """Recompute the next stop of instrument n and whether it must be watched."""
        cdef cursor_t* c = &self.cursors[n]
        cdef const strip_t* s = &self.strips[n]
        cdef const book_t* book = &self.venue.books[n]
        cdef bounds_t b
        cdef bint wanted
        c.active = self.engine.slot[n].state != BRACKET_FLAT or book.live != 0 or book.position != 0 or self.account.positions[n].lots != 0
        if not (c.active or c.watched or self.every_trade or self.every_quote) and c.odd_trades[0] >= s.trades.n and c.odd_quotes[0] >= s.quotes.n:
            return
        while c.odd_trades[0] < c.trades:
            c.odd_trades += 1
        while c.odd_quotes[0] < c.quotes:
            c.odd_quotes += 1
        if c.active:
            memset(&b, 0, sizeof(b))
            self.bound(n, &b)
            self.search(n, &b)
        else:
            memset(&c.bounds, 0xFF, sizeof(bounds_t))
            c.hit_trade = c.trades if self.every_trade else s.trades.n
            c.hit_quote = c.quotes if self.every_quote else s.quotes.n
        c.next_trade = min(min(c.hit_trade, c.odd_trades[0]), s.trades.n)
        c.next_quote = min(min(c.hit_quote, c.odd_quotes[0]), s.quotes.n)
        c.quote_first = quote_is_next(s, c.next_trade, c.next_quote)
        if c.quote_first:
            c.next_ts = s.quotes.ts[c.next_quote]
        else:
            c.next_ts = s.trades.ts[c.next_trade] if c.next_trade < s.trades.n else NEVER
        wanted = c.active != 0 or c.next_ts != NEVER
        if wanted != (c.watched != 0):
            self.watch_over(n)

    cdef void watch_over(self, int32_t n) noexcept nogil:
        """Add an instrument to the list, or remove it."""
        cdef cursor_t* c = &self.cursors[n]
        cdef int k = 0
        c.watched = not c.watched
        if c.watched:
            self.watch[self.watch_n] = n
            self.watch_n += 1
            return
        while self.watch[k] != n:
            k += 1
        self.watch_n -= 1
        self.watch[k] = self.watch[self.watch_n]

    cdef void refresh_asked(self, int64_t since) noexcept nogil:
        """Refresh the instruments with new requests."""
        cdef int64_t k
        for k in range(since, self.engine.out.head):
            self.refresh(self.engine.out.ring[k & self.engine.out.mask].instrument)


cdef class MarketRefresh(Policy):
    """Called before each policy during a run: it updates the market that the policy sees, and the state that risk reads afterwards."""

    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1:
        self.walk.catch_up(s.instrument)
        self.walk.catch_up_active()
        # a policy that leaves can withdraw decisions that others wait for
        if self.walk.engine.answers.waiting.size and self.walk.engine.answers.waiting.confirmed():
            self.walk.catch_up_waiting(NEVER - 1)
        return 0


describe(Walk, {"paper": "The Paper that is run.", "tape": "The Tape that is walked.",
                "stops": "Events and deadlines that were visited one by one."})
