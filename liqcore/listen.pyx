"""The listener: see listen.pxd. It says what Engine.run says; each line that differs in form from the engine's has the same effect on signals."""

import numpy as np

from libc.stdlib cimport calloc, free

from liqcore.columns cimport fold_market, quote_event, quote_is_next, trade_event
from liqcore.detect cimport SIGNALS_PER_CALL, cascade_deadline, cascade_free, cascade_init, cascade_push, cascade_timer, cascade_uncertain
from liqcore.door cimport door
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, price_of
from liqcore.market cimport QUOTE_AGE_NS, mark_alive, market_broken, market_quote, market_ticker, market_trade

from liqcore.event import SIGNAL_DTYPE

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t EVENT_AGE_MAX_NS = 2000000000      # what liqcore.Risk has by default: older events make STALE signals
cdef int64_t CHUNK = 4096                       # signals


cdef uint8_t door_of(const event_t* e, market_t* m, const instrument_t* i, double band) noexcept nogil:
    """The door, asked with the market of this one instrument."""
    cdef event_t own = e[0]
    own.instrument = 0
    return door(&own, 0, m, i, 1, band)


cdef class Listener:
    """The detectors of one engine, without the engine. Made by Tape.signals()."""

    def __cinit__(self, tuple instruments, config=None, double band=10.0):
        cdef int n
        cdef uint8_t flags
        if not 1.5 <= band <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        self.instruments = instruments
        self.count = len(instruments)
        self.band = band
        self.config = CascadeConfig() if config is None else config
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.ears = <ear_t*> calloc(self.count, sizeof(ear_t))
        if self.inst == NULL or self.ears == NULL:
            raise MemoryError(f"no memory for {self.count} detectors")
        self._keep = []
        self.due_next = NEVER
        self.now = -NEVER
        for n in range(self.count):
            self.inst[n] = (<Instrument?> instruments[n]).c
            flags = SIGNAL_CENSORED if self.inst[n].completeness == COMPLETENESS_CENSORED else 0
            if self.config.c.basis:
                flags |= SIGNAL_MARK_NOTIONAL
            cascade_init(&self.ears[n].cascade, &self.config.c, n, flags)
            self.ears[n].due = NEVER

    def __init__(self, tuple instruments, config=None, double band=10.0):
        pass

    def __dealloc__(self):
        cdef int n
        if self.ears != NULL:
            for n in range(self.count):
                cascade_free(&self.ears[n].cascade)
        free(self.ears)
        free(self.inst)

    cdef void point(self, const strip_t* strips, const event_t* rare, const rare_t* place, int64_t rare_n, int64_t end) noexcept:
        self.strips = strips
        self.rare = rare
        self.place = place
        self.rare_n = rare_n
        self.end = end

    cdef int odd(self, int n, tuple rows, bint calm) except -1:
        """The rows of instrument n that must be taken to the door, see columns.odd_rows."""
        cdef size_t trades, quotes
        self.ears[n].calm = calm
        kept = [np.append(r, NEVER) for r in rows]
        self._keep.append(kept)
        trades, quotes = kept[0].ctypes.data, kept[1].ctypes.data
        self.ears[n].odd_trades = <const int64_t*> trades
        self.ears[n].odd_quotes = <const int64_t*> quotes
        return 0

    cdef void reschedule(self, int32_t n) noexcept nogil:
        cdef int64_t before = self.ears[n].due, due = cascade_deadline(&self.ears[n].cascade, &self.config.c)
        cdef int k
        if due == before:
            return
        self.ears[n].due = due
        if due <= self.due_next:
            self.due_next = due
        elif before == self.due_next:
            self.due_next = NEVER
            for k in range(self.count):
                self.due_next = min(self.due_next, self.ears[k].due)

    cdef void serve(self, int64_t until) noexcept nogil:
        """The detectors' deadlines, each at its own moment."""
        cdef int n
        while self.due_next <= until and self.room - self.said >= SIGNALS_PER_CALL:
            n = 0
            while self.ears[n].due != self.due_next:
                n += 1
            self.now = max(self.now, self.due_next)
            self.said += cascade_timer(&self.ears[n].cascade, &self.config.c, self.now, &self.out[self.said])
            self.reschedule(n)

    cdef void catch_up(self, int32_t n, int64_t trades, int64_t quotes) noexcept nogil:
        """Bring the market of one instrument to these rows."""
        cdef ear_t* ear = &self.ears[n]
        cdef const strip_t* s = &self.strips[n]
        cdef const instrument_t* i = &self.inst[n]
        cdef int64_t t, q
        cdef event_t e
        while ear.odd_trades[0] < trades or ear.odd_quotes[0] < quotes:
            t, q = ear.odd_trades[0], ear.odd_quotes[0]
            if q < quotes and (t >= trades or quote_is_next(s, t, q)):
                t = s.quotes.trades_before[q]
                fold_market(s, i, &ear.market, ear.trades, t, ear.quotes, q, QUOTE_AGE_NS)
                quote_event(s, i, n, q, &e)
                if door_of(&e, &ear.market, i, self.band) == OK:
                    market_quote(&ear.market, &e, QUOTE_AGE_NS)
                ear.odd_quotes += 1
                ear.trades, ear.quotes = t, q + 1
                continue
            q = ear.quotes
            while q < s.quotes.n and s.quotes.trades_before[q] <= t:
                q += 1
            fold_market(s, i, &ear.market, ear.trades, t, ear.quotes, q, QUOTE_AGE_NS)
            trade_event(s, i, n, t, &e)
            if door_of(&e, &ear.market, i, self.band) == OK:
                market_trade(&ear.market, &e, i.tick)
            ear.odd_trades += 1
            ear.trades, ear.quotes = t + 1, q
        fold_market(s, i, &ear.market, ear.trades, trades, ear.quotes, quotes, QUOTE_AGE_NS)
        ear.trades, ear.quotes = trades, quotes

    cdef double last_price(self, const event_t* e) noexcept nogil:
        """The last trade before the rare event at which the listener is; 0 = there was none."""
        cdef int64_t trades = self.place[self.at].trades_before
        if not self.ears[e.instrument].calm:
            return self.ears[e.instrument].market.last
        return price_of(&self.inst[e.instrument], self.strips[e.instrument].trades.price[trades - 1]) if trades > 0 else 0.0

    cdef void on_liquidation(self, const event_t* e) noexcept nogil:
        """As in the engine; but the last price is looked up only where a signal can carry it."""
        cdef ear_t* ear = &self.ears[e.instrument]
        cdef double price = e.price, notional = e.aux_price, last
        cdef int64_t before = self.said
        if self.config.c.basis == 1 and mark_alive(&ear.market, e.ts_recv):
            price = ear.market.mark
            notional = 0.0
        elif self.config.c.basis == 2:
            last = self.last_price(e)
            if last > 0.0:
                price = last
                notional = 0.0
        if notional <= 0.0:
            notional = e.qty * self.inst[e.instrument].multiplier * price
        self.said += cascade_push(&ear.cascade, &self.config.c, e.ts_recv, e.side, notional, e.price,
                                  SIGNAL_STALE if e.ts_recv - e.ts_event > EVENT_AGE_MAX_NS else 0, &self.out[self.said])
        if ear.cascade.p.phase != IDLE or self.said > before:
            last = self.last_price(e)
            ear.cascade.p.price = last if last > 0.0 else e.price
            for before in range(before, self.said):
                self.out[before].price = ear.cascade.p.price
        self.reschedule(e.instrument)

    cdef void on_feed(self, const event_t* e) noexcept nogil:
        cdef int64_t until = NEVER if e.code == FEED_DOWN else self.now + self.config.c.window_ns
        cdef int first = 0 if e.instrument == ALL_INSTRUMENTS else e.instrument
        cdef int last = self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1
        cdef int n
        cdef cascade_t* c
        for n in range(first, last):
            c = &self.ears[n].cascade
            if e.code != FEED_UP:
                market_broken(&self.ears[n].market, e.flags)
            if e.flags and not e.flags & STREAM_LIQUIDATION:
                continue
            if e.code != FEED_UP or c.p.uncertain_until > self.now:
                cascade_uncertain(c, max(until, c.p.uncertain_until) if e.code == FEED_GAP else until)
                self.reschedule(n)

    cdef bint run(self) noexcept nogil:
        """True = the tape is done; False = `out` is full: call again with an empty one."""
        cdef const event_t* e
        cdef ear_t* ear
        while self.at < self.rare_n:
            e = &self.rare[self.at]
            self.serve(e.ts_recv)
            if self.room - self.said < SIGNALS_PER_CALL:
                return False
            self.now = e.ts_recv
            if e.kind == FEED:
                if 0 <= e.ts_event < TIME_MAX and 1 <= e.code <= 3:
                    self.on_feed(e)
            elif e.instrument >= 0 and e.kind != CONTROL:
                ear = &self.ears[e.instrument]
                if not ear.calm:
                    self.catch_up(e.instrument, self.place[self.at].trades_before, self.place[self.at].quotes_before)
                if not ear.calm and door_of(e, &ear.market, &self.inst[e.instrument], self.band) != OK:
                    pass
                elif e.kind == LIQUIDATION:
                    ear.market.good = e.price
                    self.on_liquidation(e)
                else:
                    market_ticker(&ear.market, e)
            self.at += 1
        self.serve(self.end)
        return self.room - self.said >= SIGNALS_PER_CALL

    cdef object listen(self):
        cdef bint done = False
        cdef size_t address
        parts = []
        while not done:
            chunk = np.empty(CHUNK, SIGNAL_DTYPE)
            address = chunk.ctypes.data
            self.out = <signal_t*> address
            self.room, self.said = CHUNK, 0
            with nogil:
                done = self.run()
            parts.append(chunk[:self.said])
        self.out = NULL
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
