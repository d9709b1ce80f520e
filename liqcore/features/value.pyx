"""The values of features: see value.pxd. A row is the present kernels of an instrument, or those of a follower, which has a delay."""

from libc.math cimport INFINITY, NAN, fabs, isinf

from liqcore.kernels.realised_map cimport density_push
from liqcore.event cimport STREAM_TRADE
from liqcore.features.formulas cimport *
from liqcore.features.kernels cimport *
from liqcore.features.log cimport *
from liqcore.features.state cimport *
from liqcore.kernels.hawkes cimport BRANCHING_FIT
from liqcore.kernels.estimated_map cimport pending_interest, pending_trade

from liqcore.features.spec import TURNS_MAX
from liqcore.user_error import user_error

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t TURNS = TURNS_MAX


cdef class FeatureValues(FeatureState):
    """The state of features with its readings."""

    # ---- input of the kernels ----

    cdef void take(self, int32_t row, int fed, int64_t ts, double x, double y) noexcept nogil:
        """Pass an entry of a log to the kernels of a row. Sums: signed by side, nan = data was lost. Tracks: the value. Maps: the price, and the
        signed quantity or notional; for open interest no price."""
        cdef sums_t* w
        cdef track_t* t
        cdef burst_t* b
        cdef int j
        if fed <= FED_DELEVERAGED:
            w = &self.sums[row * self.columns[0]]
            for j in range(self.streams[fed - 1] if fed > 0 else 0, self.streams[fed] if x == x else 0):
                if w[j].cells != NULL:
                    sums_push(&w[j], ts, 1 if x > 0.0 else -1, fabs(x))
            for j in range(self.columns[3] if fed == FED_LIQUIDATIONS else 0):
                b = &self.bursts[row * self.columns[3] + j]
                if x != x:
                    b.count = 0
                    b.total = 0.0
                elif b.gap_ns:
                    burst_push(b, ts, fabs(x))
        elif fed <= FED_FUNDING:
            t = &self.tracks[row * self.columns[1]]
            for j in range(self.streams[fed - 1] if fed > FED_PRICE else 0, self.streams[fed]):
                if t[j].cells != NULL:
                    track_push(&t[j], ts, x)
        elif fed == FED_DENSITY:
            density_push(&self.density[row], &self.density_config.c, ts, 1 if y > 0.0 else -1, x, fabs(y))
        elif x == x:
            pending_trade(&self.pending[row], &self.pending_config.c, ts, x, fabs(y), 1 if y > 0.0 else -1)
        else:
            pending_interest(&self.pending[row], &self.pending_config.c, ts, y)

    cdef void keep(self, int32_t n, int fed, int64_t ts, double x, double y) noexcept nogil:
        """Log an input for the followers, and advance them by up to two entries, so that a reading has little to do. If the log is full, followers
        that still need its first entry take it now. They are then ahead of their delay, which a reading detects by the number of entries since."""
        cdef log_t* l = &self.logs[n * self.log_width + fed]
        cdef int64_t* cursor
        cdef int64_t until
        cdef int f, step
        if FED_PRICE <= fed <= FED_FUNDING and alike(log_x(l, l.total), x):
            return
        for f in range(self.followers):
            cursor = &self.cursors[(f * self.count + n) * FEEDS + fed]
            until = ts - self.behind[f]
            for step in range(2):
                if cursor[0] < l.total and (l.ts[cursor[0] & l.mask] < until or (cursor[0] == l.low and log_full(l))):
                    self.take_next(n + self.count * (1 + f), fed, l, cursor)
        log_add(l, ts, x, y)

    cdef void take_next(self, int32_t row, int fed, const log_t* l, int64_t* cursor) noexcept nogil:
        """Pass the next entry of a log to a follower."""
        cdef int64_t at = cursor[0] & l.mask
        self.take(row, fed, l.ts[at], l.x[at], l.y[at] if l.y != NULL else 0.0)
        cursor[0] += 1

    cdef void keep_print(self, int32_t n, int64_t ts, double x) noexcept nogil:
        """The same for a liquidation of excitation, for which the instruments of a venue share one log. nan: data was lost."""
        cdef log_t* l = &self.prints[self.venue_of[n]]
        cdef int64_t* cursor
        cdef int64_t until
        cdef int f, step
        for f in range(self.followers):
            cursor = &self.print_cursors[f * self.venues + self.venue_of[n]]
            until = ts - self.behind[f]
            for step in range(2):
                if cursor[0] < l.total and (l.ts[cursor[0] & l.mask] < until or (cursor[0] == l.low and log_full(l))):
                    self.take_print(f, l, cursor)
        log_add(l, ts, x, n)

    cdef void take_print(self, int f, const log_t* l, int64_t* cursor) noexcept nogil:
        """Pass the next entry to a follower's excitation."""
        cdef int64_t at = cursor[0] & l.mask
        cdef int32_t row = <int32_t> l.y[at] + self.count * (1 + f)
        if row < self.hawkes.instruments:
            if l.x[at] == l.x[at]:
                self.hawkes.push_c(row, l.ts[at], 1 if l.x[at] > 0.0 else -1, fabs(l.x[at]))
            else:
                self.hawkes.gap_c(row)
        cursor[0] += 1

    cdef void roll(self, int32_t n, int column, int64_t now) noexcept nogil:
        """End candles up to `now`, one by one if a later reading needs each of them."""
        cdef candles_t* c = &self.candles[n * self.columns[2] + column]
        cdef bars_t* b
        cdef int64_t bar, to, most = 0
        cdef int j
        if now < c.ends:
            return
        for j in range(self.bar_count):
            b = &self.bars[n * self.bar_count + j]
            if self.base[self.bar_base[j]].column == column and b.cells != NULL:
                most = max(most, b.size)
        to = now // c.step_ns
        if most and c.bar >= 0 and to - most > c.bar:
            candles_roll(c, (to - most) * c.step_ns)
        for bar in range(c.bar + 1 if most and c.bar >= 0 else to, to):
            self.roll_bar(n, column, bar)
        self.roll_bar(n, column, to)

    cdef void roll_bar(self, int32_t n, int column, int64_t bar) noexcept nogil:
        """Advance one candle kernel and the features made of it by one candle."""
        cdef candles_t* c = &self.candles[n * self.columns[2] + column]
        cdef bars_t* b
        cdef int j
        candles_roll(c, bar * c.step_ns)
        for j in range(self.bar_count):
            b = &self.bars[n * self.bar_count + j]
            if self.base[self.bar_base[j]].column == column and b.cells != NULL:
                bars_set(b, bar, value_candles(self.base[self.bar_base[j]].formula, c, self.known[n].since[OF_TRADE]))

    # ---- histories ----

    cdef void start(self, int64_t now) noexcept nogil:
        """Begin the histories at the first event."""
        cdef int n, j
        cdef history_t* h
        self.started = now
        for n in range(self.count):
            self.known[n].due = NEVER
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
        """Fill an instrument's own histories up to now. Each sample is the value known just before its moment. After a long silence only the samples
        that the history can hold are computed."""
        cdef known_t* k = &self.known[n]
        cdef history_t* first = &self.histories[n * self.columns[4]]
        cdef history_t* h
        cdef int64_t at, due = NEVER, following
        cdef int j, count = self.columns[4]
        for j in range(count):
            h = first + j
            if h.values == NULL or self.base[self.base_of[j]].across:
                continue
            if now >= (h.last + 1 + h.room) * h.step_ns:
                h.last = now // h.step_ns - h.room
                h.first = h.last + 1
            due = min(due, (h.last + 1) * h.step_ns)
        while due <= now:
            at, due = due, NEVER
            for j in range(count):
                h = first + j
                if h.values == NULL or self.base[self.base_of[j]].across:
                    continue
                following = (h.last + 1) * h.step_ns
                if following == at:
                    history_take(h, h.last + 1, self.value(self.base_of[j], n, at))
                    following += h.step_ns
                due = min(due, following)
        k.due = due

    cdef void sample_across(self, int64_t now) noexcept nogil:
        """The same for histories that read several instruments, all at once, before any later event."""
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
                h = &self.histories[j]          # all have the same last sample
                self.due_across = min(self.due_across, (h.last + 1) * h.step_ns)

    # ---- reading ----

    cdef double value(self, int32_t b, int32_t row, int64_t now) noexcept nogil:
        """A feature without its transform; the histories are up to date."""
        cdef const base_t* f = &self.base[b]
        cdef known_t* k = &self.known[row]
        cdef sums_t* w
        cdef track_t* t
        cdef burst_t* r
        if f.across:
            return self.value_across(f, row, now)
        if f.column < 0:
            return value_state(f.formula, k, now)
        if f.formula == PENDING_BELOW or f.formula == PENDING_ABOVE:
            return value_pending(&self.pending[row], self.pending_config.c.half_life_s, k.last if k.oi == k.oi else NAN, f.window_ns * 1e-6,
                                 1 if f.formula == PENDING_BELOW else -1, now)
        if REALISED_BELOW <= f.formula <= REALISED_SHORT_ABOVE:
            return value_density(&self.density[row], self.density_config.c.half_life_s, k.last if k.since[OF_FORCED] <= now else NAN,
                                 f.window_ns * 1e-6, f.formula, now)
        if f.formula <= LIQ_SHARE or FLOW_OFI <= f.formula <= FLOW_COUNT or f.formula == RISK_DELEVERAGED:
            w = &self.sums[row * self.columns[0] + f.column]
            sums_advance(w, now)
            return value_sums(f.formula, w, f.window_ns) if whole(w, k.since[f.stream]) else NAN
        if f.formula == LIQ_FLAG or f.formula == LIQ_SIZE:
            r = &self.bursts[row * self.columns[3] + f.column]
            if r.seen < 100 or now - f.window_ns < k.since[OF_FORCED]:
                return NAN
            return 0.0 if not burst_runs(r, now) else 1.0 if f.formula == LIQ_FLAG else r.total
        if PRICE_OPEN <= f.formula <= PRICE_CLOSE or f.formula == VOLATILITY_ATR or f.formula == VOLATILITY_NATR:
            self.roll(row, f.column, now)
            return value_candles(f.formula, &self.candles[row * self.columns[2] + f.column], k.since[OF_TRADE])
        t = &self.tracks[row * self.columns[1] + f.column]
        track_advance(t, now)
        return value_track(f.formula, t) if stands(t, k.since[f.stream]) else NAN

    cdef double value_across(self, const base_t* f, int32_t row, int64_t now) noexcept nogil:
        """A feature that reads other instruments, too. Their own histories are filled first, because a reading advances their windows."""
        cdef sums_t* w = &self.sums[row * self.columns[0] + f.column]
        cdef sums_t* other
        cdef track_t* t
        cdef double total = 0.0, mean
        cdef int32_t i = row, count = 0
        if HAWKES_LONG <= f.formula <= HAWKES_LARGE:
            if self.known[row].since[OF_FORCED] > now:
                return NAN
            if f.formula == HAWKES_LARGE:
                return self.hawkes.next_large_c(&self.horizons[f.column], row, 0, now)
            if f.formula == HAWKES_BRANCHING:
                return self.hawkes.percentile_c(row, BRANCHING_FIT)
            return 60.0 * self.hawkes.intensity_c(row, 1 if f.formula == HAWKES_LONG else -1, now)
        if f.formula == LIQ_CORRELATION:
            i = self.bitcoin[row]
            if self.known[i].due <= now:
                self.sample(i, now)
            other = &self.sums[i * self.columns[0] + f.column]
            sums_advance(w, now)
            sums_advance(other, now)
            if not whole(w, self.known[row].since[OF_FORCED]) or not whole(w, self.known[i].since[OF_FORCED]):
                return NAN
            return correlation(w, other)
        while self.fellow[i] > i:           # all have the same mean: begin with the first instrument
            i = self.fellow[i]
        row = i = self.fellow[i]
        while True:
            if self.known[i].due <= now:
                self.sample(i, now)
            t = &self.tracks[i * self.columns[1] + f.column]
            track_advance(t, now)
            mean = track_mean(t) if stands(t, self.known[i].since[OF_FUNDING]) else NAN
            if mean == mean:
                total += mean
                count += 1
            i = self.fellow[i]
            if i == row:
                return total / count if count > 0 else NAN

    # ---- values of some time ago ----

    cdef void ended(self, int32_t n, int64_t now) noexcept nogil:
        """Log the end of a quote that is too old at `now`, at the moment of its end, for lags."""
        cdef log_t* l = &self.logs[n * self.log_width + FEEDS + STREAMS + self.spread_state]
        cdef int64_t until = self.known[n].quote_until
        cdef double x = log_x(l, l.total)
        if l.mask >= 0 and 0 < until < now and x == x:
            log_set(l, until + 1, NAN)

    cdef double stood(self, int state, int32_t n, int64_t t, int64_t room) noexcept nogil:
        """The present value as of t; nan if it is no longer kept."""
        cdef const log_t* l = &self.logs[n * self.log_width + FEEDS + STREAMS + state]
        cdef int64_t at = log_at(l, t)
        return log_x(l, at) if l.total - at <= room else NAN

    cdef bint follow(self, const base_t* f, const reader_t* r, int32_t n, int64_t t) noexcept nogil:
        """Advance the follower's kernel of an instrument to t. False = there were more entries since than are kept."""
        cdef int32_t row = n + self.count * (1 + r.follower)
        cdef known_t* k = &self.known[row]
        cdef const log_t* l = &self.logs[n * self.log_width + FEEDS + f.stream]
        cdef int64_t at = log_at(l, t)
        cdef int64_t* cursor
        cdef double x = log_x(l, at)
        if l.total - at > TURNS:
            return False
        k.since[f.stream] = (<int64_t*> &x)[0] if x == x else NEVER
        if f.fed < 0:
            return self.follow_prints(r, n, t)
        l = &self.logs[n * self.log_width + f.fed]
        at = log_at(l, t)
        if l.total - at > r.room:
            return False
        cursor = &self.cursors[(r.follower * self.count + n) * FEEDS + f.fed]
        while cursor[0] < at:
            self.take_next(row, f.fed, l, cursor)
        if f.fed == FED_PENDING or f.fed == FED_DENSITY:
            k.last = self.stood(self.last_state, n, t, r.room)
            k.oi = self.stood(self.oi_state, n, t, r.room) if f.fed == FED_PENDING else NAN
        return True

    cdef bint follow_prints(self, const reader_t* r, int32_t n, int64_t t) noexcept nogil:
        """The same for the venue's excitation."""
        cdef const log_t* l = &self.prints[self.venue_of[n]]
        cdef int64_t* cursor = &self.print_cursors[r.follower * self.venues + self.venue_of[n]]
        cdef int64_t at = log_at(l, t)
        if l.total - at > r.room:
            return False
        while cursor[0] < at:
            self.take_print(r.follower, l, cursor)
        return True

    cdef double lagged(self, const reader_t* r, int32_t n, int64_t now) noexcept nogil:
        """A feature as known exactly r.time_ns ago, after all events up to and including that ns."""
        cdef const base_t* f = &self.base[r.base]
        cdef int64_t t = now - r.time_ns
        cdef int32_t i
        if t < 0:
            return NAN
        if f.column < 0:
            if f.past == self.spread_state:
                self.ended(n, now)
            return self.stood(f.past, n, t, r.room)
        if f.past >= 0:
            self.roll(n, f.column, now)
            return bars_at(&self.bars[n * self.bar_count + f.past], t // f.window_ns, t)
        if not self.follow(f, r, n, t):
            return NAN
        if f.formula == LIQ_CORRELATION and not self.follow(f, r, self.bitcoin[n], t):
            return NAN
        if f.formula == FUNDING_MEAN:
            i = self.fellow[n]
            while i != n:
                if not self.follow(f, r, i, t):
                    return NAN
                i = self.fellow[i]
        return self.value(r.base, n + self.count * (1 + r.follower), t)

    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil:
        """The feature (index into names) of an instrument at `now`; nan while it is not known."""
        cdef const reader_t* r = &self.reader[feature]
        cdef int32_t n = self.target[feature * self.count + instrument]
        cdef history_t* h
        cdef int64_t index
        cdef double x
        if self.started < 0:
            return NAN
        if r.custom:
            with gil:
                return self.computed(feature, instrument, now)
        if self.due_across <= now:
            self.sample_across(now)
        if self.known[n].due <= now:
            self.sample(n, now)
        if r.transform == NONE:
            return self.value(r.base, n, now)
        if r.transform == LAG:
            return self.lagged(r, n, now)
        if r.transform == CHANGE:
            return self.value(r.base, n, now) - self.lagged(r, n, now)
        h = &self.histories[n * self.columns[4] + r.history]
        index = now // h.step_ns
        if MEAN <= r.transform <= MIN and ((index - h.samples + 1) * h.step_ns - self.base[r.base].window_ns
                                           < whole_since(&self.known[n], self.base[r.base].streams)):
            return NAN                      # the history spans a gap
        if h.course.at != index:
            history_scan(h, index)
        x = self.value(r.base, n, now) if r.transform == ZSCORE or r.transform == RANK else NAN
        return history_transform(h, r.transform, r.least, r.apart, index, x)

    cdef double computed(self, int feature, int32_t instrument, int64_t now) noexcept:
        """A user's feature; nan if its function raised: known_c then raises the exception."""
        cdef double value
        try:
            function, needs = self.own[feature]
            found = function(*[self.read_c(need, instrument, now) for need in needs])
            if found is None:
                return NAN
            try:
                value = found
            except (TypeError, OverflowError):
                value = INFINITY
            if isinf(value):
                raise ValueError(f"feature {self.names[feature]}: expected a finite number, nan or None, got {found!r}")
            return value
        except BaseException as why:
            self.failure = user_error(why, f"feature {self.names[feature]}, its function", "", self.own[feature][0])
            return NAN

    cdef double known_c(self, int feature, int32_t instrument, int64_t now) except? -1.0:
        """read_c with exceptions."""
        cdef double found = self.read_c(feature, instrument, now)
        self.raise_failure()
        return found

    cdef int raise_failure(self) except -1:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return 0
