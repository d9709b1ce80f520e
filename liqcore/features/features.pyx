"""Features: see features.pxd, and spec.py for their names."""

from libc.math cimport NAN, fabs

import numpy as np

from liqcore.validate cimport validate_event
from liqcore.event cimport *
from liqcore.features.formulas cimport *
from liqcore.features.kernels cimport *
from liqcore.features.log cimport *
from liqcore.features.state cimport *
from liqcore.features.value cimport FeatureValues
from liqcore.instrument cimport Instrument, instruments_of
from liqcore.market cimport QUOTE_AGE_NS, market_broken, market_liquidation, market_quote, market_ticker, market_trade, no_market, ticker_states

from liqcore import event as schema
from liqcore.event import as_events
from liqcore.features.spec import canonical

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef double BAND = 10.0             # of validation, as in an Engine


# One function for each kind of event; push_c is their only caller.

cdef inline void liquidation(Features self, const event_t* e, known_t* k, double notional) noexcept nogil:
    cdef int32_t n = e.instrument
    cdef sums_t* w = &self.sums[n * self.columns[0]]
    cdef double signed = notional if e.side > 0 else -notional
    cdef int j
    if k.silent & STREAM_LIQUIDATION:
        self.has_data[n] = 1
        self.stream_began(n, OF_FORCED, e.ts_recv)
    if self.logged and self.logs[n * self.log_width + FED_LIQUIDATIONS].mask >= 0:
        self.keep(n, FED_LIQUIDATIONS, e.ts_recv, signed, 0.0)
    for j in range(self.streams[0]):
        if w[j].cells != NULL:
            sums_push(&w[j], e.ts_recv, e.side, notional)
    for j in range(self.columns[3]):
        if self.bursts[n * self.columns[3] + j].gap_ns:
            burst_push(&self.bursts[n * self.columns[3] + j], e.ts_recv, notional)
    if self.horizons != NULL:
        if self.prints[self.venue_of[n]].mask >= 0:
            self.keep_print(n, e.ts_recv, signed)
        self.hawkes.push_c(n, e.ts_recv, e.side, notional)
    if self.density != NULL:
        # at the market's price: the reported price is a bankruptcy price on most venues
        self.enter(n, FED_DENSITY, e.ts_recv, k.last if k.last == k.last else e.price, signed)


cdef inline void trade(Features self, const event_t* e, known_t* k) noexcept nogil:
    cdef int32_t n = e.instrument
    cdef sums_t* w = &self.sums[n * self.columns[0]]
    cdef track_t* t = &self.tracks[n * self.columns[1]]
    cdef double qty = e.qty * self.inst[n].multiplier
    cdef int j
    for j in range(self.columns[2]):
        self.roll(n, j, e.ts_recv)
        candles_push(&self.candles[n * self.columns[2] + j], e.ts_recv, e.price)
    if k.silent & STREAM_TRADE:
        self.stream_began(n, OF_TRADE, e.ts_recv)
    k.last = e.price
    if self.logged and self.logs[n * self.log_width + FED_TRADES].mask >= 0:
        self.keep(n, FED_TRADES, e.ts_recv, qty * e.price if e.side > 0 else -(qty * e.price), 0.0)
    for j in range(self.streams[0], self.streams[1]):
        if w[j].cells != NULL:
            sums_push(&w[j], e.ts_recv, e.side, qty * e.price)
    if self.logged and self.logs[n * self.log_width + FED_PRICE].mask >= 0:
        self.keep(n, FED_PRICE, e.ts_recv, e.price, 0.0)
    for j in range(self.streams[FED_PRICE]):
        if t[j].cells != NULL:
            track_push(&t[j], e.ts_recv, e.price)
    if self.pending != NULL:
        self.enter(n, FED_PENDING, e.ts_recv, e.price, qty if e.side > 0 else -qty)


cdef inline void quote(Features self, const event_t* e, known_t* k) noexcept nogil:
    cdef int32_t n = e.instrument
    cdef int64_t ts = e.ts_recv
    cdef sums_t* w = &self.sums[n * self.columns[0]]
    cdef double bid, ask, multiplier = self.inst[n].multiplier
    cdef int j
    if k.silent & STREAM_QUOTE:
        self.stream_began(n, OF_QUOTE, ts)
    if k.follows:
        bid = bid_flow(k, e)
        ask = ask_flow(k, e)
        if self.logged and self.logs[n * self.log_width + FED_QUOTES].mask >= 0:
            if bid != 0.0:
                self.keep(n, FED_QUOTES, ts, bid * multiplier, 0.0)
            if ask != 0.0:
                self.keep(n, FED_QUOTES, ts, ask * multiplier, 0.0)
        for j in range(self.streams[1], self.streams[2]):
            if w[j].cells != NULL:
                if bid != 0.0:
                    sums_push(&w[j], ts, 1 if bid > 0.0 else -1, fabs(bid) * multiplier)
                if ask != 0.0:
                    sums_push(&w[j], ts, 1 if ask > 0.0 else -1, fabs(ask) * multiplier)
    k.bid, k.bid_qty, k.ask, k.ask_qty = e.price, e.qty, e.aux_price, e.aux_qty
    k.follows = 1


cdef inline void ticker(Features self, const event_t* e, known_t* k) noexcept nogil:
    """Values that the ticker does not state are unchanged."""
    cdef int32_t n = e.instrument, states = ticker_states(e)
    cdef int64_t ts = e.ts_recv
    cdef track_t* t = &self.tracks[n * self.columns[1]]
    cdef int j, s
    if states & k.silent:
        for s in range(OF_MARK, STREAMS):
            if states & k.silent & 1 << s:
                self.stream_began(n, s, ts)
    if states & STREAM_MARK:
        k.mark = e.price
    if states & STREAM_INDEX:
        k.index = e.aux_price
    if states & STREAM_OPEN_INTEREST:
        k.oi = e.qty * self.inst[n].multiplier
        if self.pending != NULL:
            self.enter(n, FED_PENDING, ts, NAN, k.oi)
        if self.logged and self.logs[n * self.log_width + FED_INTEREST].mask >= 0:
            self.keep(n, FED_INTEREST, ts, k.oi, 0.0)
        for j in range(self.streams[FED_PRICE], self.streams[FED_INTEREST]):
            if t[j].cells != NULL:
                track_push(&t[j], ts, k.oi)
    if states & STREAM_FUNDING:
        k.funding = e.aux_qty
        if self.logged and self.logs[n * self.log_width + FED_FUNDING].mask >= 0:
            self.keep(n, FED_FUNDING, ts, k.funding, 0.0)
        for j in range(self.streams[FED_INTEREST], self.streams[FED_FUNDING]):
            if t[j].cells != NULL:
                track_push(&t[j], ts, k.funding)


cdef inline void deleverage(Features self, const event_t* e, known_t* k, double notional) noexcept nogil:
    if k.silent & 1 << OF_DELEVERAGED:
        self.stream_began(e.instrument, OF_DELEVERAGED, e.ts_recv)
    if self.streams[FED_DELEVERAGED] > self.streams[FED_QUOTES]:
        self.enter(e.instrument, FED_DELEVERAGED, e.ts_recv, notional if e.side > 0 else -notional, 0.0)


cdef inline void venue_state(Features self, const event_t* e, known_t* k) noexcept nogil:
    """A price limit that no longer exists becomes unknown."""
    if k.silent & STREAM_VENUE:
        self.stream_began(e.instrument, OF_VENUE, e.ts_recv)
    if e.code == STATES_LIMITS:
        k.buy_max = e.price if e.price > 0.0 else NAN
        k.sell_min = e.aux_price if e.aux_price > 0.0 else NAN
        return
    if not e.flags & POOL_NO_BALANCE:
        k.pool = e.qty
    if not e.flags & POOL_NO_DRAWDOWN:
        k.drawdown = e.aux_qty
    if not e.flags & POOL_NO_DISTANCE:
        k.distance = e.aux_price


cdef class Features(FeatureValues):
    """The features of some names for all instruments of one Engine; or on its own: `Features(names, instruments)`, then push(events) and read(...).

    names: such as 'liquidations.liq_imbalance@15m:zscore' (docs/features.md has the table). ValueError for a name that is not known.
    instruments: names or liqcore.Instrument, whose index events carry; an Engine sets its own.

    Values depend on ts_recv and on the order of the events only. A value at a time depends on nothing later, and not on other readings.
    A value is nan while it is not known: before a contract's first event, for one window after a gap, and without the data that it needs.
    """

    def __init__(self, names=(), instruments=None):
        FeatureValues.__init__(self, names)
        if instruments is not None:
            self.open_c(instruments_of(instruments, True))

    # ---- input ----

    cdef void first_event_c(self, const event_t* e) noexcept nogil:
        """A market event of any kind, before push_c. The first event of an instrument shows that its data is received, and so are its liquidations if
        the venue is known to publish them."""
        cdef known_t* k
        if (not LIQUIDATION <= e.kind <= TICKER or self.has_data[e.instrument]
                or self.inst[e.instrument].completeness == COMPLETENESS_UNKNOWN):
            return
        self.has_data[e.instrument] = 1
        self.without_data -= 1
        k = &self.known[e.instrument]
        self.until(e.instrument, e.ts_recv)
        if not k.down & STREAM_LIQUIDATION:
            k.since[OF_FORCED] = e.ts_recv
            self.turned(e.instrument, OF_FORCED, e.ts_recv)

    cdef void until(self, int32_t n, int64_t now) noexcept nogil:
        """Take the samples that are due before an event at `now`."""
        if self.started < 0:
            self.start(now)
        if self.due_across <= now:
            self.sample_across(now)
        if self.known[n].due <= now:
            self.sample(n, now)

    cdef void turned(self, int32_t n, int stream, int64_t now) noexcept nogil:
        """Record a change of `since`, the time since which a stream is complete."""
        cdef log_t* l = &self.logs[n * self.log_width + FEEDS + stream]
        cdef known_t* k = &self.known[n]
        k.silent = k.silent | 1 << stream if k.since[stream] == NEVER else k.silent & ~(1 << stream)
        if l.mask >= 0:
            log_set(l, now, (<double*> &k.since[stream])[0])

    cdef void stream_began(self, int32_t n, int stream, int64_t now) noexcept nogil:
        """The first event of a stream, or the first since its feed is up again."""
        cdef known_t* k = &self.known[n]
        if not k.down >> stream & 1:
            k.since[stream] = k.ts_stated[stream] if k.ts_stated[stream] != NEVER else now
            self.turned(n, stream, now)

    cdef void stand(self, int32_t n, int64_t now) noexcept nogil:
        """Log the present values for lags, after each event."""
        cdef log_t* l = &self.logs[n * self.log_width + FEEDS + STREAMS]
        cdef int j
        for j in range(self.states):
            if l[j].mask >= 0:
                log_set(&l[j], now, value_state(self.base[self.state_base[j]].formula, &self.known[n], now))

    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil:
        """One accepted event of a kind in `wants`; notional: of a liquidation or deleveraging, else 0."""
        cdef int32_t n = e.instrument
        cdef int64_t ts = e.ts_recv
        cdef known_t* k = &self.known[n]
        if k.due <= ts or self.due_across <= ts:
            self.until(n, ts)
        if self.logged and self.spread_state >= 0:
            self.ended(n, ts)
        if e.kind == LIQUIDATION:
            liquidation(self, e, k, notional)
        elif e.kind == TRADE:
            trade(self, e, k)
            k.quote_until = m.quote_until
        elif e.kind == BBO:
            quote(self, e, k)
            k.quote_until = m.quote_until
        elif e.kind == TICKER:
            ticker(self, e, k)
        elif e.kind == DELEVERAGE:
            deleverage(self, e, k, notional)
        elif e.kind == VENUE_STATE:
            venue_state(self, e, k)
        if self.logged and self.states:
            self.stand(n, ts)

    cdef void enter(self, int32_t n, int fed, int64_t ts, double x, double y) noexcept nogil:
        """Pass a value to the kernels, and to their log."""
        if self.logs[n * self.log_width + fed].mask >= 0:
            self.keep(n, fed, ts, x, y)
        self.take(n, fed, ts, x, y)

    cdef void feed_c(self, int32_t n, uint8_t code, uint8_t streams, int64_t now) noexcept nogil:
        """The feed of an instrument's Streams (0 = all) went down, is up, or dropped data. Present values become unknown as in market.market_broken.
        A window is complete again from the time at which the feed is up, or had its gap."""
        cdef known_t* k = &self.known[n]
        cdef int32_t affected = (streams if streams else 0xFF) & ((1 << STREAMS) - 1), bit, lost = 0
        cdef int j, s
        if affected & STREAM_LIQUIDATION:
            affected |= 1 << OF_DELEVERAGED
        self.until(n, now)
        if affected & STREAM_LIQUIDATION and not self.has_data[n]:
            # of UNKNOWN completeness: UP restores only streams that had data before, or that it names
            if self.inst[n].completeness != COMPLETENESS_UNKNOWN:
                self.has_data[n] = 1
                self.without_data -= self.without_data > 0
            elif code == FEED_UP:
                self.has_data[n] = streams & STREAM_LIQUIDATION or not k.down & STREAM_LIQUIDATION
        if self.spread_state >= 0:
            self.ended(n, now)
        for j in range(self.columns[2]):
            self.roll(n, j, now)
        for s in range(STREAMS):
            bit = 1 << s
            if not affected & bit or (code == FEED_UP and not k.down & bit and (k.ts_stated[s] != NEVER or k.since[s] != NEVER)):
                continue
            if code != FEED_UP or k.down & bit:
                lost |= bit
            if code == FEED_GAP and k.down & bit:
                continue
            k.down = k.down | bit if code == FEED_DOWN else k.down & ~bit
            k.ts_stated[s] = NEVER if code == FEED_DOWN else now
            k.since[s] = k.ts_stated[s] if s == OF_FORCED and self.has_data[n] else NEVER
            self.turned(n, s, now)
        if k.silent & STREAM_LIQUIDATION and self.has_data[n]:       # it is named for the first time
            self.stream_began(n, OF_FORCED, now)
        if code != FEED_UP:
            forget(k, affected)
        self.lose(n, lost, now)
        if self.states:
            self.stand(n, now)

    cdef void lose(self, int32_t n, int32_t streams, int64_t now) noexcept nogil:
        """Data of these streams was lost: running kernels begin anew."""
        cdef int j
        if streams & STREAM_LIQUIDATION:
            if self.columns[3] or self.logs[n * self.log_width + FED_LIQUIDATIONS].mask >= 0:
                self.enter(n, FED_LIQUIDATIONS, now, NAN, 0.0)
            if self.horizons != NULL:
                if self.prints[self.venue_of[n]].mask >= 0:
                    self.keep_print(n, now, NAN)
                self.hawkes.gap_c(n)
        if streams & STREAM_TRADE:
            if self.streams[FED_PRICE] > 0:
                self.enter(n, FED_PRICE, now, NAN, 0.0)
            for j in range(self.columns[2]):
                candles_gap(&self.candles[n * self.columns[2] + j], now)
            for j in range(self.bar_count):
                if self.bars[n * self.bar_count + j].cells != NULL:
                    bars_break(&self.bars[n * self.bar_count + j], now // self.base[self.bar_base[j]].window_ns, now)
        if streams & STREAM_QUOTE:
            self.known[n].follows = 0
        if streams & STREAM_OPEN_INTEREST and self.streams[FED_INTEREST] > self.streams[FED_PRICE]:
            self.enter(n, FED_INTEREST, now, NAN, 0.0)
        if streams & STREAM_FUNDING and self.streams[FED_FUNDING] > self.streams[FED_INTEREST]:
            self.enter(n, FED_FUNDING, now, NAN, 0.0)

    # ---- from Python, without an engine ----

    def push(self, events) -> int:
        """Feed an array of liqcore.EVENT_DTYPE, in order of ts_recv; returns how many were accepted.

        Events that an Engine would refuse are refused, are counted in `refused` and change nothing; reports of orders and commands are ignored.
        Other threads run meanwhile: no two of them may use one Features at a time.
        """
        cdef int64_t before = self.accepted
        cdef size_t address
        cdef Py_ssize_t count
        self._opened()
        events = as_events(events)
        address, count = events.ctypes.data, len(events)
        with nogil:
            self.push_all(<const event_t*> address, count)
        return self.accepted - before

    def rows(self, events, ts, instruments, names):
        """Feed events as push does, and read at given times. Returns float64 of shape (rows, names).

        ts: a time of each row (ns, rising, none before the last event or reading). instruments: the index of each row's contract. names: as for read.
        A row has the values after all events up to and including its time. Events after the last row's time are fed, too. Other threads run
        meanwhile.
        """
        cdef Py_ssize_t r, c, low = 0, high = 0, count
        cdef size_t address
        cdef int64_t before = self.now
        self._opened()
        events = as_events(events)
        times, whose = np.ascontiguousarray(ts, np.int64), np.ascontiguousarray(instruments, np.int32)
        which = np.array([self._feature(name) for name in names], np.int32)
        if times.shape != whose.shape or times.ndim != 1:
            raise ValueError(f"rows: times of shape {times.shape} and instruments of shape {whose.shape}; expected one of each for a row")
        found = np.empty((len(times), len(which)))
        address, count = events.ctypes.data, len(events)
        cdef const event_t* first = <const event_t*> address
        address = times.ctypes.data
        cdef const int64_t* at = <const int64_t*> address
        address = whose.ctypes.data
        cdef const int32_t* instrument = <const int32_t*> address
        address = which.ctypes.data
        cdef const int32_t* column = <const int32_t*> address
        address = found.ctypes.data
        cdef double* out = <double*> address
        cdef Py_ssize_t rows = len(times), columns = len(which)
        for r in range(rows):
            if not before <= at[r] < <int64_t> TIME_MAX:
                raise ValueError(f"ts: expected rising times from {self.now} ns on, the time of the last event or reading")
            if not 0 <= instrument[r] < self.count:
                raise ValueError(f"instruments: expected 0 to {self.count - 1}, got {whose.min()} to {whose.max()}")
            before = at[r]
        with nogil:
            for r in range(rows):
                while high < count and first[high].ts_recv <= at[r]:
                    high += 1
                self.push_all(first + low, high - low)
                low = high
                self.now = at[r]
                for c in range(columns):
                    out[r * columns + c] = self.read_c(column[c], instrument[r], at[r])
            self.push_all(first + low, count - low)
        self.raise_failure()
        return found

    cdef void push_all(self, const event_t* first, Py_ssize_t count) noexcept nogil:
        cdef const event_t* e
        cdef market_t* m
        cdef Py_ssize_t i
        cdef uint8_t reason
        for i in range(count):
            e = first + i
            reason = validate_event(e, self.now, self.market, self.inst, self.count, BAND)
            if reason != OK:
                self.turned_away[reason] += 1
                if reason != BAD_TIME and reason != BAD_INSTRUMENT and no_market(e):
                    market_broken(&self.market[e.instrument], STREAM_QUOTE)
                continue
            self.now = e.ts_recv
            self.accepted += 1
            if e.kind == FEED:
                self.feed(e)
                continue
            if TICKER < e.kind < DELEVERAGE:
                continue
            if self.without_data:
                self.first_event_c(e)
            m = &self.market[e.instrument]
            if not self.wants >> e.kind & 1:
                if LIQUIDATION <= e.kind < TICKER:       # no feature reads it, but validation compares later prices with it
                    m.good = e.price
                continue
            if e.kind == TRADE:
                market_trade(m, e, self.inst[e.instrument].tick)
            elif e.kind == BBO:
                market_quote(m, e, QUOTE_AGE_NS)
            elif e.kind == TICKER:
                market_ticker(m, e)
            elif e.kind == LIQUIDATION:
                market_liquidation(m, e)
            self.push_c(e, 0.0 if e.kind != LIQUIDATION and e.kind != DELEVERAGE else e.aux_price if e.aux_price > 0.0
                        else e.qty * self.inst[e.instrument].multiplier * e.price, m)

    cdef void feed(self, const event_t* e) noexcept nogil:
        """A feed's state, for one instrument or for all."""
        cdef int n
        for n in range(0 if e.instrument == ALL_INSTRUMENTS else e.instrument, self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1):
            if e.code != FEED_UP:
                market_broken(&self.market[n], e.flags)
            self.feed_c(n, e.code, e.flags, e.ts_recv)

    def read(self, name, instrument=0, ts=None) -> float:
        """A feature of an instrument (name or index) as known at ts (ns; default: of the last event); nan = not known.

        KeyError for an unknown feature or instrument, ValueError for a ts before the last event. To read the past use lag(T), a Features with only
        the events up to then, or `liqcore features`.
        """
        return self.known_c(self._feature(name), self._instrument(instrument), self._time(ts))

    def table(self, ts=None):
        """All features of all instruments at ts: float64 of shape (instruments, names)."""
        cdef int64_t now = self._time(ts)
        cdef int n, r
        out = np.empty((self.count, len(self.names)))
        cdef double[:, ::1] view = out
        for n in range(self.count):
            for r in range(len(self.names)):
                view[n, r] = self.known_c(r, n, now)
        return out

    cdef int _opened(self) except -1:
        if not self.count:
            raise RuntimeError("Features: no instruments; make it with Features(names, instruments)")
        return 0

    cdef int64_t _time(self, object ts) except -1:
        self._opened()
        if ts is not None:
            if not self.now <= ts < <int64_t> TIME_MAX:
                raise ValueError(f"ts: expected at least {self.now} ns, the time of the last event or reading, got {ts}")
            self.now = ts
        return self.now

    cdef int _feature(self, object name) except -1:
        if name not in self.index and (not isinstance(name, str) or canonical(name) not in self.index):
            raise KeyError(f"feature {name!r}: not one of those asked for ({', '.join(self.names)})")
        return self.index[name] if name in self.index else self.index[canonical(name)]

    cdef int _instrument(self, object instrument) except -1:
        if isinstance(instrument, int) and 0 <= instrument < self.count:
            return instrument
        if instrument not in self.places:
            raise KeyError(f"instrument {instrument!r}: not one of {', '.join(i.key for i in self.instruments)}")
        return self.places[instrument]

    @property
    def refused(self):
        """Events that push() refused, by Reason."""
        return {schema.Reason(n): self.turned_away[n] for n in range(128) if self.turned_away[n]}

    @property
    def lost(self):
        """Number of changes that were dropped before the longest lag of their log had passed. If it is not 0, some lags were unknown."""
        self._opened()
        return sum([(<const log_t*> <size_t> at).lost for at in self._logs()])

    def snapshot(self) -> bytes:
        """The whole state, for restore()."""
        self._opened()
        return self.save_c()

    def restore(self, bytes data):
        """Continue from a snapshot of the same features and instruments; ValueError, and no change, otherwise."""
        self._opened()
        self.load_c(data)

    def __repr__(self):
        return f"Features({list(self.names)!r}, {[i.key for i in self.instruments]!r})"
