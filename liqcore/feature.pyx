"""Features: see feature.pxd, and feature_spec.py for their names."""

from libc.math cimport NAN

import numpy as np

from liqcore.density cimport density_push
from liqcore.door cimport door
from liqcore.event cimport *
from liqcore.feature_formulas cimport *
from liqcore.feature_kernels cimport *
from liqcore.hawkes cimport BRANCHING_FIT
from liqcore.instrument cimport Instrument
from liqcore.feature_state cimport FeatureState, base_t, reader_t
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_ticker, market_trade
from liqcore.pending cimport pending_interest, pending_trade

from liqcore import event as schema
from liqcore.event import as_events
from liqcore.feature_spec import canonical

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef double BAND = 10.0             # of the door, as in an Engine


cdef class Features(FeatureState):
    """The features of some names for all instruments of one Engine; or on its own: `Features(names, instruments)`, then push(events) and read(...).

    names: such as 'liquidations.liq_imbalance@15m:zscore' (docs/features.md has the table). ValueError for a name that is not known.
    instruments: names or liqcore.Instrument, whose index events carry; an Engine sets its own.

    Everything is decided by ts_recv, in the order of the events; what is read at a time depends on nothing later, nor on when else was read.
    A value is nan while it is not known: before the first event, for one window after a gap, and without the data that it needs.
    """

    def __init__(self, names=(), instruments=None):
        FeatureState.__init__(self, names)
        if instruments is not None:
            several = [instruments] if isinstance(instruments, (str, Instrument)) else instruments
            self.open_c(tuple([i if isinstance(i, Instrument) else Instrument(i) for i in several]))

    # ---- what enters ----

    cdef void start(self, int64_t now) noexcept nogil:
        """The first that is heard of anything: from here on nothing is missing."""
        cdef int n, j
        cdef history_t* h
        self.started = now
        for n in range(self.count):
            if self.known[n].since == NEVER:
                self.known[n].since = now
            for j in range(self.columns[4]):
                h = &self.histories[n * self.columns[4] + j]
                if h.values == NULL:
                    continue
                h.first = now // h.step_ns + 1
                h.last = h.first - 1
                if self.base[self.base_of[j]].across:
                    self.due_across = min(self.due_across, h.first * h.step_ns)
                else:
                    self.known[n].due = min(self.known[n].due, h.first * h.step_ns)

    cdef void sample(self, int32_t n, int64_t now) noexcept nogil:
        """An instrument's own histories up to now, moment by moment: each holds what was known just before its moment. Of a long silence only the
        moments that a history still holds are filled in."""
        cdef known_t* k = &self.known[n]
        cdef history_t* first = &self.histories[n * self.columns[4]]
        cdef history_t* h
        cdef int64_t at
        cdef int j
        for j in range(self.columns[4]):
            h = first + j
            if h.values != NULL and not self.base[self.base_of[j]].across and now // h.step_ns - h.last > h.room:
                h.last = now // h.step_ns - h.room
                h.first = h.last + 1
        k.due = NEVER
        for j in range(self.columns[4]):
            if first[j].values != NULL and not self.base[self.base_of[j]].across:
                k.due = min(k.due, (first[j].last + 1) * first[j].step_ns)
        while k.due <= now:
            at = k.due
            k.due = NEVER
            for j in range(self.columns[4]):
                h = first + j
                if h.values == NULL or self.base[self.base_of[j]].across:
                    continue
                if (h.last + 1) * h.step_ns == at:
                    history_take(h, h.last + 1, self.value(self.base_of[j], n, at))
                k.due = min(k.due, (h.last + 1) * h.step_ns)

    cdef void sample_across(self, int64_t now) noexcept nogil:
        """The same for histories that read several instruments: all of them at once, before any hears of something later."""
        cdef history_t* h
        cdef int64_t at
        cdef int n, j
        for j in range(self.count * self.columns[4]):
            h = &self.histories[j]
            if self.base[self.base_of[j % self.columns[4]]].across and now // h.step_ns - h.last > h.room:
                h.last = now // h.step_ns - h.room
                h.first = h.last + 1
        self.due_across = NEVER
        for j in range(self.columns[4]):
            if self.base[self.base_of[j]].across:
                self.due_across = min(self.due_across, (self.histories[j].last + 1) * self.histories[j].step_ns)
        while self.due_across <= now:
            at = self.due_across
            self.due_across = NEVER
            for n in range(self.count):
                if self.known[n].due <= at:
                    self.sample(n, at)
            for j in range(self.columns[4]):
                if not self.base[self.base_of[j]].across:
                    continue
                for n in range(self.count):
                    h = &self.histories[n * self.columns[4] + j]
                    if (h.last + 1) * h.step_ns == at:
                        history_take(h, h.last + 1, self.value(self.base_of[j], n, at))
                h = &self.histories[j]          # they all are at the same moment
                self.due_across = min(self.due_across, (h.last + 1) * h.step_ns)

    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil:
        """One accepted event of a kind in `wants`; notional: of a liquidation, else 0."""
        cdef int32_t n = e.instrument
        cdef int64_t ts = e.ts_recv
        cdef sums_t* w = &self.sums[n * self.columns[0]]
        cdef track_t* t = &self.tracks[n * self.columns[1]]
        cdef known_t* k = &self.known[n]
        cdef int j
        if self.started < 0:
            self.start(ts)
        if self.due_across <= ts:
            self.sample_across(ts)
        if k.due <= ts:
            self.sample(n, ts)
        if e.kind == LIQUIDATION:
            for j in range(self.streams[0]):
                if w[j].cells != NULL:
                    sums_push(&w[j], ts, e.side, notional)
            for j in range(self.columns[3]):
                if self.bursts[n * self.columns[3] + j].gap_ns:
                    burst_push(&self.bursts[n * self.columns[3] + j], ts, notional)
            if self.horizons != NULL:
                self.hawkes.push_c(n, ts, e.side, notional)
            if self.density != NULL:
                # where the market stood: the reported price is a bankruptcy price on most venues (C6)
                density_push(&self.density[n], &self.density_config.c, ts, e.side, k.last if k.last == k.last else e.price, notional)
        elif e.kind == TRADE:
            k.last = e.price
            for j in range(self.streams[0], self.streams[1]):
                if w[j].cells != NULL:
                    sums_push(&w[j], ts, e.side, e.qty * self.inst[n].multiplier * e.price)
            for j in range(self.streams[3]):
                if t[j].cells != NULL:
                    track_push(&t[j], ts, e.price)
            for j in range(self.columns[2]):
                candles_push(&self.candles[n * self.columns[2] + j], ts, e.price)
            if self.pending != NULL:
                pending_trade(&self.pending[n], &self.pending_config.c, ts, e.price, e.qty * self.inst[n].multiplier, e.side)
        elif e.kind == BBO:
            for j in range(self.streams[1], self.streams[2]):
                if w[j].cells != NULL:
                    quote_flow(&w[j], k, e, self.inst[n].multiplier)
            k.bid, k.bid_qty, k.ask, k.ask_qty = e.price, e.qty, e.aux_price, e.aux_qty
        elif e.kind == TICKER:
            self.ticker(e, k, t)

    cdef void ticker(self, const event_t* e, known_t* k, track_t* t) noexcept nogil:
        """0 = the venue has not said. A rate may be 0, but no venue's first one is: until another is heard, 0 is not known."""
        cdef double interest = e.qty * self.inst[e.instrument].multiplier
        cdef int j
        if e.price > 0.0:
            k.mark = e.price
        if e.aux_price > 0.0:
            k.index = e.aux_price
        if e.qty > 0.0:
            k.oi = interest
            if self.pending != NULL:
                pending_interest(&self.pending[e.instrument], &self.pending_config.c, e.ts_recv, interest)
            for j in range(self.streams[3], self.streams[4]):
                if t[j].cells != NULL:
                    track_push(&t[j], e.ts_recv, interest)
        if e.aux_qty != 0.0 or k.funding == k.funding:
            k.funding = e.aux_qty
            for j in range(self.streams[4], self.streams[5]):
                if t[j].cells != NULL:
                    track_push(&t[j], e.ts_recv, e.aux_qty)

    cdef void gap_c(self, int32_t n, int64_t now) noexcept nogil:
        """Data of this instrument is missing up to now."""
        cdef int j
        if self.started < 0:
            self.start(now)
        if self.due_across <= now:
            self.sample_across(now)
        if self.known[n].due <= now:
            self.sample(n, now)
        forget(&self.known[n])
        self.known[n].since = now
        for j in range(self.columns[1]):
            if self.tracks[n * self.columns[1] + j].cells != NULL:
                track_push(&self.tracks[n * self.columns[1] + j], now, NAN)
        for j in range(self.columns[2]):
            candles_gap(&self.candles[n * self.columns[2] + j], now)
        if self.horizons != NULL:
            self.hawkes.gap_c(n)
        for j in range(self.columns[3]):
            self.bursts[n * self.columns[3] + j].count = 0
            self.bursts[n * self.columns[3] + j].total = 0.0

    cdef void down_c(self, int32_t n, int64_t now) noexcept nogil:
        """Data of this instrument is missing from now on, until gap_c says that it is back."""
        self.gap_c(n, now)
        self.known[n].since = NEVER

    # ---- what is read ----

    cdef double value(self, int32_t b, int32_t n, int64_t now) noexcept nogil:
        """A feature without its transform; the histories are up to date."""
        cdef const base_t* f = &self.base[b]
        cdef known_t* k = &self.known[n]
        cdef sums_t* w
        cdef track_t* t
        cdef candles_t* c
        cdef burst_t* r
        if f.across:
            return self.value_across(f, n, now)
        if k.since > now:
            return NAN
        if f.column < 0:
            return value_state(f.formula, k)
        if f.formula == PENDING_BELOW or f.formula == PENDING_ABOVE:
            return value_pending(&self.pending[n], self.pending_config.c.half_life_s, k.last, f.window_ns * 1e-6,
                                 1 if f.formula == PENDING_BELOW else -1, now)
        if f.formula == REALISED_BELOW or f.formula == REALISED_ABOVE:
            return value_density(&self.density[n], self.density_config.c.half_life_s, k.last, f.window_ns * 1e-6,
                                 1 if f.formula == REALISED_BELOW else -1, now)
        if f.formula <= LIQ_SHARE or FLOW_OFI <= f.formula <= FLOW_COUNT:
            w = &self.sums[n * self.columns[0] + f.column]
            sums_advance(w, now)
            return value_sums(f.formula, w, f.window_ns) if whole(w.slot, w.slots, w.step_ns, k) else NAN
        if f.formula == LIQ_FLAG or f.formula == LIQ_SIZE:
            r = &self.bursts[n * self.columns[3] + f.column]
            if r.seen < 100 or now - f.window_ns < k.since:
                return NAN
            return 0.0 if not burst_runs(r, now) else 1.0 if f.formula == LIQ_FLAG else r.total
        if PRICE_OPEN <= f.formula <= PRICE_CLOSE or f.formula == VOLATILITY_ATR or f.formula == VOLATILITY_NATR:
            c = &self.candles[n * self.columns[2] + f.column]
            candles_advance(c, now)
            return value_candles(f.formula, c, k)
        t = &self.tracks[n * self.columns[1] + f.column]
        track_advance(t, now)
        return value_track(f.formula, t) if stands(t, k) else NAN

    cdef double value_across(self, const base_t* f, int32_t n, int64_t now) noexcept nogil:
        """What reads other instruments too; their own histories are taken first, because reading moves their windows on."""
        cdef sums_t* w = &self.sums[n * self.columns[0] + f.column]
        cdef sums_t* other
        cdef track_t* t
        cdef double total = 0.0, mean
        cdef int32_t i = n, count = 0
        if HAWKES_LONG <= f.formula <= HAWKES_LARGE:
            if self.known[n].since > now:
                return NAN
            if f.formula == HAWKES_LARGE:
                return self.hawkes.next_large_c(&self.horizons[f.column], n, 0, now)
            if f.formula == HAWKES_BRANCHING:
                return self.hawkes.percentile_c(n, BRANCHING_FIT)
            return 60.0 * self.hawkes.intensity_c(n, 1 if f.formula == HAWKES_LONG else -1, now)
        if f.formula == LIQ_CORRELATION:
            i = self.bitcoin[n]
            if self.known[i].due <= now:
                self.sample(i, now)
            other = &self.sums[i * self.columns[0] + f.column]
            sums_advance(w, now)
            sums_advance(other, now)
            if not whole(w.slot, w.slots, w.step_ns, &self.known[n]) or not whole(w.slot, w.slots, w.step_ns, &self.known[i]):
                return NAN
            return correlation(w, other)
        while self.fellow[i] > i:           # the mean is the same for all of them: begin with the first
            i = self.fellow[i]
        n = i = self.fellow[i]
        while True:
            if self.known[i].due <= now:
                self.sample(i, now)
            t = &self.tracks[i * self.columns[1] + f.column]
            track_advance(t, now)
            mean = track_mean(t) if stands(t, &self.known[i]) else NAN
            if mean == mean:
                total += mean
                count += 1
            i = self.fellow[i]
            if i == n:
                return total / count if count > 0 else NAN

    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil:
        """The feature (index into names) of an instrument at `now`; nan while it is not known."""
        cdef const reader_t* r = &self.reader[feature]
        cdef int32_t n = self.target[feature * self.count + instrument]
        cdef history_t* h
        cdef int64_t index
        cdef double x
        if self.started < 0:
            return NAN
        if self.due_across <= now:
            self.sample_across(now)
        if self.known[n].due <= now:
            self.sample(n, now)
        if r.transform == NONE:
            return self.value(r.base, n, now)
        h = &self.histories[n * self.columns[4] + r.history]
        if r.transform == LAG or r.transform == CHANGE:
            x = history_at(h, (now - r.time_ns) // h.step_ns) if now >= r.time_ns else NAN
            return x if r.transform == LAG else self.value(r.base, n, now) - x
        index = now // h.step_ns
        if MEAN <= r.transform <= MIN and (index - h.samples + 1) * h.step_ns - self.base[r.base].window_ns < self.known[n].since:
            return NAN                      # the history spans a gap
        if h.course.at != index:
            history_scan(h, index)
        x = self.value(r.base, n, now) if r.transform == ZSCORE or r.transform == RANK else NAN
        return judged(h, r.transform, index, x)

    # ---- from Python, without an engine ----

    def push(self, events) -> int:
        """Feed an array of liqcore.EVENT_DTYPE, in order of ts_recv; returns how many were accepted.

        What an Engine's door would refuse is refused and counted in `refused`, and changes nothing; reports of orders and control are passed over.
        """
        cdef const event_t* e
        cdef market_t* m
        cdef const event_t* first
        cdef size_t address
        cdef Py_ssize_t i
        cdef int64_t before = self.accepted
        cdef uint8_t reason
        self._opened()
        events = as_events(events)
        address = events.ctypes.data
        first = <const event_t*> address
        for i in range(len(events)):
            e = first + i
            reason = door(e, self.now, self.market, self.inst, self.count, BAND)
            if reason != OK:
                self.turned_away[reason] += 1
                continue
            self.now = e.ts_recv
            self.accepted += 1
            if e.kind == FEED:
                self.feed(e)
                continue
            if e.kind > TICKER:
                continue
            m = &self.market[e.instrument]
            if e.kind == TRADE:
                market_trade(m, e, self.inst[e.instrument].tick)
            elif e.kind == BBO:
                market_quote(m, e, QUOTE_AGE_NS)
            elif e.kind == TICKER:
                market_ticker(m, e)
            else:
                m.good = e.price
            if self.wants >> e.kind & 1:
                self.push_c(e, 0.0 if e.kind != LIQUIDATION else e.aux_price if e.aux_price > 0.0
                            else e.qty * self.inst[e.instrument].multiplier * e.price, m)
        return self.accepted - before

    cdef void feed(self, const event_t* e) noexcept nogil:
        """A feed's state, for one instrument or for all."""
        cdef int n
        for n in range(0 if e.instrument == ALL_INSTRUMENTS else e.instrument, self.count if e.instrument == ALL_INSTRUMENTS else e.instrument + 1):
            if e.code == FEED_DOWN:
                self.down_c(n, e.ts_recv)
            elif (e.code == FEED_UP) == (self.started >= 0 and self.known[n].since == NEVER):    # back again; or a gap of a feed that is up
                self.gap_c(n, e.ts_recv)

    def read(self, name, instrument=0, ts=None) -> float:
        """A feature of an instrument (name or index) as known at ts (ns; default: of the last event); nan = not known.

        KeyError for a feature or an instrument that is not here, ValueError for a ts before the last event: the past is read with
        liqcore.batch_feature, or with `liqcore features`.
        """
        return self.read_c(self._feature(name), self._instrument(instrument), self._moment(ts))

    def table(self, ts=None):
        """All features of all instruments at ts: float64 of shape (instruments, names)."""
        cdef int64_t now = self._moment(ts)
        cdef int n, r
        out = np.empty((self.count, len(self.names)))
        cdef double[:, ::1] view = out
        for n in range(self.count):
            for r in range(len(self.names)):
                view[n, r] = self.read_c(r, n, now)
        return out

    cdef int _opened(self) except -1:
        if not self.count:
            raise RuntimeError("Features: no instruments; make it with Features(names, instruments)")
        return 0

    cdef int64_t _moment(self, object ts) except -1:
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

    def snapshot(self) -> bytes:
        self._opened()
        return self.save_c()

    def restore(self, bytes data):
        """Continue from a snapshot of the same features and instruments; ValueError, and no change, otherwise."""
        self._opened()
        self.load_c(data)

    def __repr__(self):
        return f"Features({list(self.names)!r}, {[i.key for i in self.instruments]!r})"
