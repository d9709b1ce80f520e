"""The guard: see guard.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, real
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, instruments_of, price_of, qty_of
from liqcore.request cimport Request
from liqcore.execution.order_state cimport BRACKET_FLAT, id_role, id_sequence
from liqcore.snapshot cimport pack, unpack

from liqcore import event as schema

SNAPSHOT_NAME = b"liqcore-guard-2\n"
# name -> bytes of the state and of a track. Version 1 ended before the breach and before entered_ns
SNAPSHOTS = {SNAPSHOT_NAME: (sizeof(guard_state_t), sizeof(guard_track_t)), b"liqcore-guard-1\n": (2072, 32)}
cdef int64_t MINUTE_NS = 60000000000
cdef int64_t SEQUENCES = 0x10000000        # sequences of brackets count modulo this

# name -> (smallest, largest, integer); a lower value is stricter, except for the reserve, of which a larger one is
LIMITS = {"order_notional_max": (0.0, 1e12, False), "total_notional_max": (0.0, 1e12, False), "collar": (0.0, 1.0, False),
          "rate_max": (1, GUARD_RING, True), "rate_reserve": (0, GUARD_RING - 1, True), "orders_per_minute_max": (1, GUARD_RING, True),
          "orders_per_signal_max": (1, 16, True), "requests_per_bracket_max": (1, 1_000_000, True)}


cdef inline bint opens(const request_t* r) noexcept nogil:
    """True if it can enlarge a position: every request that is not a cancel and not marked as reducing."""
    return r.action != ACTION_CANCEL and not r.flags & REDUCE_ONLY


cdef inline double decided_at(const request_t* r, const instrument_t* i, double last_price) noexcept nogil:
    """The price by which an entry was sized; if not stated, the last trade."""
    return price_of(i, r.price) if r.price > 0 else price_of(i, r.reserved) if r.reserved > 0 else last_price


def _valid(name: str, value: object) -> float | int:
    """The checked value of a limit; ValueError if it is not valid."""
    low, high, whole = LIMITS[name]
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not (low <= value <= high if whole else low < value <= high):
        raise ValueError(f"{name}: expected {'an integer from' if whole else 'a number above'} {low:g} to {high:g}, got {value!r}")
    return value


cdef class Guard:
    """A second, independent set of limits, checked right before a request is sent. Amounts in quote currency, shares as fractions.

    instruments: as in the Engine. order_notional_max: one entry. total_notional_max: all entries of brackets that are not over. collar: distance
    of an entry from the last trade. orders_per_minute_max, orders_per_signal_max: entries. requests_per_bracket_max: requests of any kind; more latch
    the guard, and exits continue. rate_max: requests in any rate_window_s; rate_reserve: how many of them entries may not use. The window is a little
    longer than the venue's second, because requests may arrive closer together than they were sent. entry_age_s: an entry that was decided longer ago
    is refused, because a process that was stopped decides at past deadlines.

    Breach lists every refusal that latches. Any other refusal concerns its request only.
    """

    def __cinit__(self, instruments, *args, **kwargs):
        cdef int n
        self.instruments = instruments_of(instruments, False)
        self.count = len(self.instruments)
        self.inst = <instrument_t*> calloc(max(1, self.count), sizeof(instrument_t))
        self.tracks = <guard_track_t*> calloc(max(1, self.count), sizeof(guard_track_t))
        self.active = <int32_t*> calloc(max(1, self.count), sizeof(int32_t))
        if self.inst == NULL or self.tracks == NULL or self.active == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c

    def __init__(self, instruments, *, order_notional_max=25_000.0, total_notional_max=100_000.0, collar=0.02,
                 orders_per_minute_max=30, orders_per_signal_max=3, requests_per_bracket_max=700, rate_max=10, rate_reserve=4,
                 rate_window_s=1.05, entry_age_s=2.0):
        given = {"order_notional_max": order_notional_max, "total_notional_max": total_notional_max, "collar": collar, "rate_max": rate_max,
                 "rate_reserve": rate_reserve, "orders_per_minute_max": orders_per_minute_max, "orders_per_signal_max": orders_per_signal_max,
                 "requests_per_bracket_max": requests_per_bracket_max}
        for name, value in given.items():
            self._set(name, _valid(name, value))
        if rate_reserve >= rate_max:
            raise ValueError(f"rate_reserve: expected fewer than rate_max, {rate_max}, got {rate_reserve}: no entry could ever be sent")
        if not 0.001 <= real(rate_window_s, "rate_window_s") <= 60.0:
            raise ValueError(f"rate_window_s: expected a number from 0.001 to 60, got {rate_window_s!r}")
        if not 0.001 <= real(entry_age_s, "entry_age_s") <= 4e9:
            raise ValueError(f"entry_age_s: expected a number from 0.001 to 4e9, got {entry_age_s!r}")
        self.lowered_ns = -1
        self.limits.rate_window_ns = <int64_t> (<double> rate_window_s * 1e9)
        self.limits.entry_age_ns = <int64_t> (<double> entry_age_s * 1e9)

    def __dealloc__(self):
        free(self.inst)
        free(self.tracks)
        free(self.active)

    # ---- the check ----

    cdef uint8_t check_c(self, const request_t* r, int64_t now, double last_price) noexcept nogil:
        """OK: send it; it is counted. GUARD_LATER: the budget is used up. Else the Reason: it must never be sent. now: ns, never decreasing."""
        cdef guard_track_t* t
        cdef uint8_t reason
        cdef int64_t room = self.limits.rate_max
        if 0 <= r.instrument < self.count and r.id >> 40 == r.instrument and ACTION_CREATE <= r.action <= ACTION_CANCEL:
            t = &self.tracks[r.instrument]
            reason = self.limit_c(r, t, now, last_price)
        else:
            reason = self.breach_c(r, BREACH_ADDRESS, RISK_GUARD, r.instrument, self.count, now)
        if reason != OK:
            self.refused_by[reason] += 1
            return reason
        if opens(r):
            room -= self.limits.rate_reserve
        if self.sent_head >= room and now - self.sent_times[(self.sent_head - room) & (GUARD_RING - 1)] < self.limits.rate_window_ns:
            self.later += 1
            return GUARD_LATER
        if opens(r):
            self.enter_c(r, t, now, qty_of(&self.inst[r.instrument], r.qty) * self.inst[r.instrument].multiplier *
                         decided_at(r, &self.inst[r.instrument], last_price))
        if t.sequence == id_sequence(r.id):
            t.requests += 1
        self.spend_c(now)
        self.passed += 1
        return OK

    cdef uint8_t limit_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil:
        """The first reason against it, or OK. If no entry is allowed, no other rule for entries is checked. The age is checked before the form,
        because a form that was valid at the decision may be invalid now."""
        if t.sequence == id_sequence(r.id) and t.requests >= self.limits.requests_per_bracket_max:
            self.breach_c(r, BREACH_REQUESTS, RISK_PER_SIGNAL, t.requests + 1, self.limits.requests_per_bracket_max, now)
        if not opens(r):
            return self.form_c(r, now)
        if self.word != NULL and self.word[0] != 0:
            return HALTED
        if self.state.latched:
            return self.state.latched
        if self.state.entries_off:
            return HALTED
        if now - r.ts > self.limits.entry_age_ns:
            return STALE_EVENT
        return self.entry_c(r, t, now, last_price) if self.form_c(r, now) == OK else <uint8_t> RISK_GUARD

    cdef uint8_t entry_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil:
        """Check a well-formed, recent entry against the market and the limits. A limit that became stricter after its decision refuses it without a
        latch."""
        cdef const guard_limits_t* l = &self.limits
        cdef const instrument_t* i = &self.inst[r.instrument]
        cdef bint same = t.sequence == id_sequence(r.id), known = r.ts > self.lowered_ns and (r.price > 0 or r.reserved > 0)
        cdef double price = decided_at(r, i, last_price), notional
        if not last_price > 0.0:
            return NO_PRICE
        if not last_price * (1.0 - l.collar) <= price <= last_price * (1.0 + l.collar):
            return RISK_COLLAR
        if (last_price - price_of(i, r.stop)) * r.side <= 0.0:
            return STOP_PASSED
        notional = qty_of(i, r.qty) * i.multiplier * price
        if not notional <= l.order_notional_max:
            if not known:
                return RISK_NOTIONAL
            return self.breach_c(r, BREACH_NOTIONAL, RISK_NOTIONAL, notional, l.order_notional_max, now)
        if r.id == t.last_entry:
            return OK
        if t.sequence != 0 and ((id_sequence(r.id) - t.sequence) & (SEQUENCES - 1)) > SEQUENCES // 2:
            if r.ts <= t.entered_ns:            # it waited while the next bracket's entry passed
                return STALE_EVENT
            return self.breach_c(r, BREACH_OLD_BRACKET, RISK_GUARD, id_sequence(r.id), t.sequence, now)
        if same and t.entries >= l.orders_per_signal_max:
            if r.ts <= self.lowered_ns:
                return RISK_PER_SIGNAL
            return self.breach_c(r, BREACH_PER_SIGNAL, RISK_PER_SIGNAL, t.entries + 1, l.orders_per_signal_max, now)
        if self.state.entries_head >= l.orders_per_minute_max and \
                now - self.state.entry_times[(self.state.entries_head - l.orders_per_minute_max) & (GUARD_RING - 1)] < MINUTE_NS:
            return RISK_RATE
        if not self.others_c(r.instrument) + (t.notional if same else 0.0) + notional <= l.total_notional_max:
            return RISK_EXPOSURE
        return OK

    cdef uint8_t form_c(self, const request_t* r, int64_t now) noexcept nogil:
        """OK if it agrees with its id: an entry with a stop on the correct side, an exit that reduces. The market is not used."""
        cdef int role = id_role(r.id)
        cdef int64_t price = r.price if r.price > 0 else r.reserved
        if r.action == ACTION_CANCEL:
            return OK
        if r.qty <= 0 or r.price < 0 or (r.side != LONG and r.side != SHORT):
            return self.breach_c(r, BREACH_QTY, RISK_GUARD, r.qty, 1, now)
        if not opens(r):
            return OK if ROLE_STOP <= role <= ROLE_CLOSE else self.breach_c(r, BREACH_EXIT, RISK_GUARD, role, 0, now)
        if role != ROLE_ENTRY or r.action != ACTION_CREATE or (r.type == ORDER_MARKET) != (r.price == 0):
            return self.breach_c(r, BREACH_ENTRY, RISK_GUARD, role, <int> ROLE_ENTRY, now)
        if r.stop <= 0:
            return self.breach_c(r, BREACH_NO_STOP, RISK_GUARD, r.stop, 1, now)
        if price > 0 and (price - r.stop) * r.side <= 0:
            return self.breach_c(r, BREACH_STOP_SIDE, RISK_GUARD, price_of(&self.inst[r.instrument], r.stop),
                                 price_of(&self.inst[r.instrument], price), now)
        return OK

    cdef uint8_t breach_c(self, const request_t* r, uint8_t breach, uint8_t reason, double found, double allowed, int64_t now) noexcept nogil:
        """Latch: no healthy engine makes this request. The first breach is kept until a person lifts it."""
        if not self.state.latched:
            self.state.latched = reason
            self.state.latched_ns = now
            self.state.breach = breach
            self.state.breach_instrument = r.instrument
            self.state.found = found
            self.state.allowed = allowed
        return reason

    cdef double others_c(self, int32_t instrument) noexcept nogil:
        """Notional as sent of the other instruments' brackets. Brackets that are over are dropped."""
        cdef double total = 0.0
        cdef int n = 0
        cdef int32_t k
        while n < self.active_count:
            k = self.active[n]
            if self.engine is not None and self.engine.slot[k].state == BRACKET_FLAT:
                self.tracks[k].notional = 0.0
            if self.tracks[k].notional == 0.0:
                self.active_count -= 1
                self.active[n] = self.active[self.active_count]
                continue
            if k != instrument:
                total += self.tracks[k].notional
            n += 1
        return total

    cdef void enter_c(self, const request_t* r, guard_track_t* t, int64_t now, double notional) noexcept nogil:
        """Count an entry that passes. A repetition of it (because it could not be sent) is not a second order."""
        if r.id == t.last_entry:
            return
        if t.sequence != id_sequence(r.id):
            t.sequence = id_sequence(r.id)
            t.entries = t.requests = 0
            t.entered_ns = now
            if t.notional > 0.0:
                t.notional = 0.0
            else:
                self.listed_c(r.instrument)
        elif t.notional == 0.0:
            self.listed_c(r.instrument)
        t.last_entry = r.id
        t.entries += 1
        t.notional += notional
        self.state.entry_times[self.state.entries_head & (GUARD_RING - 1)] = now
        self.state.entries_head += 1

    cdef void listed_c(self, int32_t instrument) noexcept nogil:
        """Add an instrument to the list of those with notional, once."""
        cdef int n
        for n in range(self.active_count):
            if self.active[n] == instrument:
                return
        self.active[self.active_count] = instrument
        self.active_count += 1

    cdef void spend_c(self, int64_t now) noexcept nogil:
        self.sent_times[self.sent_head & (GUARD_RING - 1)] = now
        self.sent_head += 1

    # ---- from Python ----

    def check(self, request, int64_t now, double last_price) -> tuple:
        """(Verdict, Reason) of a request (a Request, a row of REQUEST_DTYPE, or its bytes) that is about to be sent at `now` (ns, not going back)
        while the last trade was at `last_price` (0 = unknown). One that passes is counted as sent."""
        cdef Py_buffer view
        cdef request_t row
        cdef uint8_t reason
        if isinstance(request, Request):
            row = (<Request> request).c
        else:
            PyObject_GetBuffer(request, &view, PyBUF_SIMPLE)
            try:
                if view.len != sizeof(request_t):
                    raise ValueError(f"request: expected one row of REQUEST_DTYPE ({sizeof(request_t)} bytes), got {view.len} bytes")
                memcpy(&row, view.buf, sizeof(request_t))
            finally:
                PyBuffer_Release(&view)
        reason = self.check_c(&row, now, last_price)
        if reason == GUARD_LATER:
            return Verdict.LATER, schema.Reason.RISK_RATE
        return (Verdict.PASS if reason == OK else Verdict.REFUSE), schema.Reason(reason)

    def follow(self, Engine engine not None):
        """Follow the brackets of this engine: entries of a bracket that has ended no longer count."""
        if engine.instruments != self.instruments:
            raise ValueError("Guard: engine and guard must be made with the same instruments in the same order")
        self.engine = engine

    def release(self, int instrument):
        """End the count of this instrument's entries, for programs that do not follow an engine."""
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")
        self.tracks[instrument].notional = 0.0

    def watch(self, size_t address, owner=None):
        """Read the kill word, an int64, at this address before every entry: not 0 = killed. owner: kept alive as long as the guard. 0 = no word."""
        if address % 8:
            raise ValueError(f"watch: expected the address of an int64, a multiple of 8, got {address:#x}")
        self.word = <const volatile int64_t*> address
        self.word_owner = owner

    def spend(self, int64_t now):
        """Count a request that was sent on another channel against the venue's rate limit."""
        self.spend_c(now)

    def room(self, int64_t now, bint entry=False) -> int:
        """Number of requests that the rate limit allows at `now` (ns)."""
        cdef int64_t most = self.limits.rate_max - (self.limits.rate_reserve if entry else 0), used = 0
        while used < most and used < self.sent_head and \
                now - self.sent_times[(self.sent_head - 1 - used) & (GUARD_RING - 1)] < self.limits.rate_window_ns:
            used += 1
        return most - used

    def room_at(self, int64_t now, bint entry=False) -> int:
        """Time at which the rate limit allows one more request, ns; `now` if it does already."""
        cdef int64_t most = self.limits.rate_max - (self.limits.rate_reserve if entry else 0)
        if self.sent_head < most:
            return now
        return max(now, self.sent_times[(self.sent_head - most) & (GUARD_RING - 1)] + self.limits.rate_window_ns)

    @property
    def killed(self) -> bool:
        """Whether the kill word is set."""
        return self.word != NULL and self.word[0] != 0

    @property
    def latched(self):
        """The Reason of the first breach, or Reason.OK."""
        return schema.Reason(self.state.latched)

    @property
    def latched_ns(self):
        """Time of the latch, ns; 0 = not latched."""
        return self.state.latched_ns

    @property
    def breach(self):
        """(Breach, instrument, found, allowed) of the first breach since the last lift(); Breach has the meaning of the two numbers. None if there
        was none. instrument: index."""
        if not self.state.latched:
            return None
        return Breach(self.state.breach), self.state.breach_instrument, self.state.found, self.state.allowed

    @property
    def entries_off(self):
        """Whether all entries are refused; may be set."""
        return bool(self.state.entries_off)

    @entries_off.setter
    def entries_off(self, bint value):
        self.state.entries_off = value

    @property
    def refused(self) -> dict:
        """Number of refused requests, by Reason."""
        return {schema.Reason(n): self.refused_by[n] for n in range(256) if self.refused_by[n]}

    def lift(self):
        """Remove the latch after a person's check: entries may pass again. Entries that were sent remain counted."""
        self.state.latched = self.state.breach = OK
        self.state.latched_ns = 0

    def as_sent(self, int instrument) -> dict:
        """Counts of an instrument: sequence of its latest bracket, entries, requests, notional (quote currency)."""
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")
        cdef guard_track_t* t = &self.tracks[instrument]
        return {"sequence": t.sequence, "entries": t.entries, "requests": t.requests, "notional": t.notional}

    @property
    def limits_now(self) -> dict:
        """The limits in force, by name."""
        return {"order_notional_max": self.limits.order_notional_max, "total_notional_max": self.limits.total_notional_max,
                "collar": self.limits.collar, "rate_max": self.limits.rate_max, "rate_reserve": self.limits.rate_reserve,
                "orders_per_minute_max": self.limits.orders_per_minute_max, "orders_per_signal_max": self.limits.orders_per_signal_max,
                "requests_per_bracket_max": self.limits.requests_per_bracket_max}

    def _set(self, name: str, value):
        if name == "order_notional_max":
            self.limits.order_notional_max = value
        elif name == "total_notional_max":
            self.limits.total_notional_max = value
        elif name == "collar":
            self.limits.collar = value
        elif name == "rate_max":
            self.limits.rate_max = value
        elif name == "rate_reserve":
            self.limits.rate_reserve = value
        elif name == "orders_per_minute_max":
            self.limits.orders_per_minute_max = value
        elif name == "orders_per_signal_max":
            self.limits.orders_per_signal_max = value
        else:
            self.limits.requests_per_bracket_max = value

    def lower(self, limits, int64_t now=0) -> list:
        """Make limits stricter while running: a mapping of names to values; `entries_off` may be set to True. A value that would loosen a limit, or
        an unknown name, changes nothing and gives one sentence in the returned list; the others apply at once. now: ns; an entry that was decided
        until then and breaks a limit is refused without a latch. 0 = the time of the engine that is followed."""
        refused = []
        self.lowered_ns = max(self.lowered_ns, now or (self.engine.clock.now if self.engine is not None else 0))
        for name, value in limits.items():
            limit = self.limits_now
            try:
                if name == "entries_off":
                    if value is not True:
                        raise ValueError(f"entries_off: expected true, got {value!r}: entries are let in again by a person, not by a file")
                    self.state.entries_off = 1
                    continue
                if name not in LIMITS:
                    raise ValueError(f"{name}: expected one of {', '.join(LIMITS)}, entries_off")
                _valid(name, value)
                if value < limit[name] if name == "rate_reserve" else value > limit[name]:
                    raise ValueError(f"{name}: {value!r} would loosen the limit of {limit[name]!r}; limits are loosened by a restart only")
                if value >= limit["rate_max"] if name == "rate_reserve" else name == "rate_max" and value <= limit["rate_reserve"]:
                    raise ValueError(f"{name}: {value!r} would leave nothing for entries; set entries_off to say so")
                self._set(name, value)
            except ValueError as wrong:
                refused.append(str(wrong))
        return refused

    # ---- snapshot ----

    def snapshot(self) -> bytes:
        """The state that a restart must keep: the latch, entries off, the entries of the last minute and the counts of each instrument, without the
        limits and the rate of the last second."""
        return pack(SNAPSHOT_NAME, [",".join(self._names()).encode(), (<char*> &self.state)[:sizeof(guard_state_t)],
                                    (<char*> self.tracks)[:self.count * sizeof(guard_track_t)]])

    def restore(self, bytes data):
        """Restore a snapshot(). Instruments are matched by name: new ones begin empty, the counts of missing ones are dropped (a contract with an
        open trade cannot be removed, see the state image). ValueError, and nothing changed, for damage."""
        cdef int n
        cdef bytes row
        name = next((name for name in SNAPSHOTS if data.startswith(name)), SNAPSHOT_NAME)
        state, track = SNAPSHOTS[name]
        parts = unpack(name, data, "guard")
        if len(parts) != 3 or len(parts[1]) != state or len(parts[2]) % track:
            raise ValueError("guard snapshot: not one of this version of liqcore")
        then, rows = parts[0].decode().split(","), parts[2]
        if len(rows) != len(then) * track:
            raise ValueError(f"guard snapshot: {len(then)} names for {len(rows) // track} instruments")
        places = {key: rows[k * track:(k + 1) * track] for k, key in enumerate(then)}
        memset(&self.state, 0, sizeof(guard_state_t))
        memcpy(&self.state, <const char*> <bytes> parts[1], <size_t> state)
        memset(self.tracks, 0, self.count * sizeof(guard_track_t))
        self.active_count = 0
        for n, key in enumerate(self._names()):
            if key not in places:
                continue
            row = places[key]
            memcpy(&self.tracks[n], <const char*> row, <size_t> track)
            if self.tracks[n].notional > 0.0:
                self.active[self.active_count] = n
                self.active_count += 1

    def _names(self) -> list:
        """Names of the instruments in snapshots, all different (a symbol may be traded at several venues)."""
        return [i.key for i in self.instruments]


describe(Guard, {"instruments": "The instruments, in the order of their indexes.", "passed": "Number of requests that passed.",
                 "later": "Number of requests that got Verdict.LATER."})
