"""Signals of a tape: see tape_signals.pxd. The result is that of Engine.run; where the code differs from the engine's, its effect on signals is the
same."""

import numpy as np

from libc.stdlib cimport calloc, free

from liqcore.simulation.columns cimport fold_market, quote_event, quote_is_next, trade_event
from liqcore.detectors.cascade cimport SIGNALS_PER_CALL, cascade_deadline, cascade_free, cascade_init, cascade_push, cascade_timer, cascade_uncertain
from liqcore.validate cimport validate_event
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, price_of
from liqcore.market cimport QUOTE_AGE_NS, mark_alive, market_broken, market_quote, market_ticker, market_trade

from liqcore.event import SIGNAL_DTYPE
from liqcore.simulation.columns import PLACE_DTYPE

SPOT_DTYPE = np.dtype([*PLACE_DTYPE.descr, ("gaps_before", "<i8")])
assert SPOT_DTYPE.itemsize == sizeof(spot_t)

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t CHUNK = 4096                       # signals


cdef uint8_t validate_alone(const event_t* e, market_t* m, const instrument_t* i, double band) noexcept nogil:
    """Validate an event with the market of this one instrument."""
    cdef event_t own = e[0]
    own.instrument = 0
    return validate_event(&own, 0, m, i, 1, band)


cdef class TapeDetector:
    """The detectors of one engine, without the engine. Made by Tape.signals(), which explains the arguments."""

    def __cinit__(self, tuple instruments, config=None, double band=10.0, double event_age_max_s=2.0):
        cdef int n
        cdef uint8_t flags
        if not 1.5 <= band <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        if not 0.0 < event_age_max_s <= 1e6:
            raise ValueError(f"event_age_max_s: expected a number above 0 and at most 1e+06, got {event_age_max_s!r}")
        self.event_age_max = <int64_t> (event_age_max_s * 1e9)
        self.instruments = instruments
        self.count = len(instruments)
        self.band = band
        self.config = CascadeConfig() if config is None else config
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.cursors = <detector_cursor_t*> calloc(self.count, sizeof(detector_cursor_t))
        if self.inst == NULL or self.cursors == NULL:
            raise MemoryError(f"no memory for {self.count} detectors")
        self._keep = []
        self.due_next = NEVER
        self.now = -NEVER
        for n in range(self.count):
            self.inst[n] = (<Instrument?> instruments[n]).c
            flags = SIGNAL_CENSORED if self.inst[n].completeness == COMPLETENESS_CENSORED else 0
            if self.config.c.basis:
                flags |= SIGNAL_MARK_NOTIONAL
            cascade_init(&self.cursors[n].cascade, &self.config.c, n, flags)
            self.cursors[n].due = NEVER

    def __init__(self, tuple instruments, config=None, double band=10.0, double event_age_max_s=2.0):
        pass

    def __dealloc__(self):
        cdef int n
        if self.cursors != NULL:
            for n in range(self.count):
                cascade_free(&self.cursors[n].cascade)
        free(self.cursors)
        free(self.inst)

    cdef void point(self, const strip_t* strips, const event_t* rare, const rare_t* place, int64_t rare_n, int64_t end) noexcept:
        self.strips = strips
        self.rare = rare
        self.place = place
        self.rare_n = rare_n
        self.end = end

    cdef int odd(self, int n, tuple rows, bint calm) except -1:
        """The rows of instrument n that validation must check, see columns.odd_rows."""
        cdef size_t trades, quotes
        self.cursors[n].calm = calm
        kept = [np.append(r, NEVER) for r in rows]
        self._keep.append(kept)
        trades, quotes = kept[0].ctypes.data, kept[1].ctypes.data
        self.cursors[n].odd_trades = <const int64_t*> trades
        self.cursors[n].odd_quotes = <const int64_t*> quotes
        return 0

    cdef void reschedule(self, int32_t n) noexcept nogil:
        cdef int64_t before = self.cursors[n].due, due = cascade_deadline(&self.cursors[n].cascade, &self.config.c)
        cdef int k
        if due == before:
            return
        self.cursors[n].due = due
        if due <= self.due_next:
            self.due_next = due
        elif before == self.due_next:
            self.due_next = NEVER
            for k in range(self.count):
                self.due_next = min(self.due_next, self.cursors[k].due)

    cdef void serve(self, int64_t until) noexcept nogil:
        """The detectors' deadlines, each at its own moment."""
        cdef int n
        while self.due_next <= until and self.room - self.emitted >= SIGNALS_PER_CALL:
            n = 0
            while self.cursors[n].due != self.due_next:
                n += 1
            self.now = max(self.now, self.due_next)
            self.where[self.emitted].place.trades_before = self.where[self.emitted].place.quotes_before = self.where[self.emitted].gaps = -1
            self.emitted += cascade_timer(&self.cursors[n].cascade, &self.config.c, self.now, &self.out[self.emitted])
            self.reschedule(n)

    cdef void catch_up(self, int32_t n, int64_t trades, int64_t quotes) noexcept nogil:
        """Update the market of one instrument to these rows."""
        cdef detector_cursor_t* cursor = &self.cursors[n]
        cdef const strip_t* s = &self.strips[n]
        cdef const instrument_t* i = &self.inst[n]
        cdef int64_t t, q
        cdef event_t e
        while cursor.odd_trades[0] < trades or cursor.odd_quotes[0] < quotes:
            t, q = cursor.odd_trades[0], cursor.odd_quotes[0]
            if q < quotes and (t >= trades or quote_is_next(s, t, q)):
                t = s.quotes.trades_before[q]
                fold_market(s, i, &cursor.market, cursor.trades, t, cursor.quotes, q, QUOTE_AGE_NS)
                quote_event(s, i, n, q, &e)
                if validate_alone(&e, &cursor.market, i, self.band) == OK:
                    market_quote(&cursor.market, &e, QUOTE_AGE_NS)
                cursor.odd_quotes += 1
                cursor.trades, cursor.quotes = t, q + 1
                continue
            q = cursor.quotes
            while q < s.quotes.n and s.quotes.trades_before[q] <= t:
                q += 1
            fold_market(s, i, &cursor.market, cursor.trades, t, cursor.quotes, q, QUOTE_AGE_NS)
            trade_event(s, i, n, t, &e)
            if validate_alone(&e, &cursor.market, i, self.band) == OK:
                market_trade(&cursor.market, &e, i.tick)
            cursor.odd_trades += 1
            cursor.trades, cursor.quotes = t + 1, q
        fold_market(s, i, &cursor.market, cursor.trades, trades, cursor.quotes, quotes, QUOTE_AGE_NS)
        cursor.trades, cursor.quotes = trades, quotes

    cdef double last_price(self, const event_t* e) noexcept nogil:
        """The last trade before the present rare event; 0 = there was none."""
        cdef int64_t trades = self.place[self.at].trades_before
        if not self.cursors[e.instrument].calm:
            return self.cursors[e.instrument].market.last
        return price_of(&self.inst[e.instrument], self.strips[e.instrument].trades.price[trades - 1]) if trades > 0 else 0.0

    cdef void on_liquidation(self, const event_t* e) noexcept nogil:
        """As in the engine, but the last price is looked up only if a signal can contain it."""
        cdef detector_cursor_t* cursor = &self.cursors[e.instrument]
        cdef double price = e.price, notional = e.aux_price, last
        cdef int64_t before = self.emitted
        if self.config.c.basis == 1 and mark_alive(&cursor.market, e.ts_recv):
            price = cursor.market.mark
            notional = 0.0
        elif self.config.c.basis == 2:
            last = self.last_price(e)
            if last > 0.0:
                price = last
                notional = 0.0
        if notional <= 0.0:
            notional = e.qty * self.inst[e.instrument].multiplier * price
        self.emitted += cascade_push(&cursor.cascade, &self.config.c, e.ts_recv, e.side, notional, e.price,
                                     SIGNAL_STALE if e.ts_recv - e.ts_event > self.event_age_max else 0, &self.out[self.emitted])
        if cursor.cascade.p.phase != IDLE or self.emitted > before:
            last = self.last_price(e)
            cursor.cascade.p.price = last if last > 0.0 else e.price
            for before in range(before, self.emitted):
                self.out[before].price = cursor.cascade.p.price
                self.where[before].place, self.where[before].gaps = self.place[self.at], cursor.gaps
        self.reschedule(e.instrument)

    cdef void on_feed(self, const event_t* e) noexcept nogil:
        cdef int64_t until = NEVER if e.code == FEED_DOWN else self.now + self.config.c.window_ns
        cdef int first = 0 if e.instrument == ALL_INSTRUMENTS else e.instrument
        cdef int last = self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1
        cdef int n
        cdef cascade_t* c
        for n in range(first, last):
            c = &self.cursors[n].cascade
            if e.code != FEED_UP:
                self.cursors[n].gaps += e.flags == 0 or e.flags & STREAM_QUOTE != 0
                market_broken(&self.cursors[n].market, e.flags)
            if e.flags and not e.flags & STREAM_LIQUIDATION:
                continue
            if e.code != FEED_UP or c.p.uncertain_until > self.now:
                cascade_uncertain(c, max(until, c.p.uncertain_until) if e.code == FEED_GAP else until)
                self.reschedule(n)

    cdef bint run(self) noexcept nogil:
        """True = the tape is done; False = `out` is full: call again with an empty one."""
        cdef const event_t* e
        cdef detector_cursor_t* cursor
        while self.at < self.rare_n and self.rare[self.at].ts_recv <= self.end:
            e = &self.rare[self.at]
            self.serve(e.ts_recv)
            if self.room - self.emitted < SIGNALS_PER_CALL:
                return False
            self.now = e.ts_recv
            if e.kind == FEED:
                if 0 <= e.ts_event < TIME_MAX and 1 <= e.code <= 3:
                    self.on_feed(e)
            elif e.instrument >= 0 and e.kind != CONTROL:
                cursor = &self.cursors[e.instrument]
                if not cursor.calm:
                    self.catch_up(e.instrument, self.place[self.at].trades_before, self.place[self.at].quotes_before)
                if not cursor.calm and validate_alone(e, &cursor.market, &self.inst[e.instrument], self.band) != OK:
                    pass
                elif e.kind == LIQUIDATION:
                    cursor.market.good = e.price
                    self.on_liquidation(e)
                elif e.kind == TICKER:
                    market_ticker(&cursor.market, e)
            self.at += 1
        self.serve(self.end)
        return self.room - self.emitted >= SIGNALS_PER_CALL

    cdef tuple listen(self):
        """The signals, and the place of the event behind each."""
        cdef bint done = False
        cdef size_t address, places
        parts = []
        while not done:
            chunk = np.empty(CHUNK, SIGNAL_DTYPE)
            where = np.empty(CHUNK, SPOT_DTYPE)
            address, places = chunk.ctypes.data, where.ctypes.data
            self.out, self.where = <signal_t*> address, <spot_t*> places
            self.room, self.emitted = CHUNK, 0
            with nogil:
                done = self.run()
            parts.append((chunk[:self.emitted], where[:self.emitted]))
        self.out, self.where = NULL, NULL
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(part) for part in zip(*parts))
