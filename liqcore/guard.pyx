"""The guard: see guard.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.event cimport *
from liqcore.instrument cimport Instrument, price_of, qty_of
from liqcore.request cimport Request
from liqcore.slot cimport BRACKET_FLAT, id_role, id_sequence

from liqcore import event as schema
from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-guard-1\n"
cdef int64_t MINUTE_NS = 60000000000
cdef int64_t SEQUENCES = 0x10000000        # sequences of brackets count modulo this

# name -> (smallest, largest, integer); lowering one makes it stricter, but for the reserve, which is stricter when it is larger
LIMITS = {"order_notional_max": (0.0, 1e12, False), "total_notional_max": (0.0, 1e12, False), "collar": (0.0, 1.0, False),
          "rate_max": (1, GUARD_RING, True), "rate_reserve": (0, GUARD_RING - 1, True), "orders_per_minute_max": (1, GUARD_RING, True),
          "orders_per_signal_max": (1, 16, True), "requests_per_bracket_max": (1, 1_000_000, True)}


cdef inline bint opens(const request_t* r) noexcept nogil:
    """Whether it can make a position larger: whatever is not a cancel and is not marked as reducing."""
    return r.action != ACTION_CANCEL and not r.flags & REDUCE_ONLY


def _valid(name: str, value: object) -> float | int:
    """The value of a limit; ValueError where it is none."""
    low, high, whole = LIMITS[name]
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not (low <= value <= high if whole else low < value <= high):
        raise ValueError(f"{name}: expected {'an integer from' if whole else 'a number above'} {low:g} to {high:g}, got {value!r}")
    return value


cdef class Guard:
    """The second line of limits, for the last hop. Amounts in quote currency, shares as fractions.

    instruments: as in the Engine. order_notional_max: one entry. total_notional_max: all entries of brackets that are not over. collar: distance
    of an entry from the last trade. orders_per_minute_max, orders_per_signal_max: entries. requests_per_bracket_max: requests of any kind; more
    latches, and exits go on. rate_max, rate_reserve: requests in any rate_window_s, and how many of them are not for entries; the window is a
    little longer than the venue's second, because what leaves a second apart may arrive closer together. entry_age_s: an entry that was decided
    longer ago is refused: a process that stood still decides at past deadlines, and what was right then need not be now.
    """

    def __cinit__(self, instruments, *args, **kwargs):
        cdef int n
        self.instruments = tuple(instruments)
        self.count = len(self.instruments)
        self.inst = <instrument_t*> calloc(max(1, self.count), sizeof(instrument_t))
        self.tracks = <guard_track_t*> calloc(max(1, self.count), sizeof(guard_track_t))
        self.active = <int32_t*> calloc(max(1, self.count), sizeof(int32_t))
        if self.inst == NULL or self.tracks == NULL or self.active == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument?> self.instruments[n]).c

    def __init__(self, instruments, *, double order_notional_max=25_000.0, double total_notional_max=100_000.0, double collar=0.02,
                 int orders_per_minute_max=30, int orders_per_signal_max=3, int requests_per_bracket_max=700, int rate_max=10, int rate_reserve=4,
                 double rate_window_s=1.05, double entry_age_s=2.0):
        given = {"order_notional_max": order_notional_max, "total_notional_max": total_notional_max, "collar": collar, "rate_max": rate_max,
                 "rate_reserve": rate_reserve, "orders_per_minute_max": orders_per_minute_max, "orders_per_signal_max": orders_per_signal_max,
                 "requests_per_bracket_max": requests_per_bracket_max}
        for name, value in given.items():
            self._set(name, _valid(name, value))
        if rate_reserve >= rate_max:
            raise ValueError(f"rate_reserve: expected fewer than rate_max, {rate_max}, got {rate_reserve}: no entry could ever be sent")
        if not 0.001 <= rate_window_s <= 60.0:
            raise ValueError(f"rate_window_s: expected a number from 0.001 to 60, got {rate_window_s!r}")
        if not 0.001 <= entry_age_s <= 4e9:
            raise ValueError(f"entry_age_s: expected a number from 0.001 to 4e9, got {entry_age_s!r}")
        self.limits.rate_window_ns = <int64_t> (rate_window_s * 1e9)
        self.limits.entry_age_ns = <int64_t> (entry_age_s * 1e9)

    def __dealloc__(self):
        free(self.inst)
        free(self.tracks)
        free(self.active)

    # ---- the check ----

    cdef uint8_t check_c(self, const request_t* r, int64_t now, double last_price) noexcept nogil:
        """OK: send it, it is counted. GUARD_LATER: the budget is used up. Else the Reason why it must never be sent. now: ns, not going back."""
        cdef guard_track_t* t
        cdef uint8_t reason = RISK_GUARD
        cdef int64_t room = self.limits.rate_max
        if 0 <= r.instrument < self.count and r.id >> 40 == r.instrument and ACTION_CREATE <= r.action <= ACTION_CANCEL:
            t = &self.tracks[r.instrument]
            reason = self.limit_c(r, t, now, last_price)
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
                         (price_of(&self.inst[r.instrument], r.price) if r.price > 0 else last_price))
        if t.sequence == id_sequence(r.id):
            t.requests += 1
        self.spend_c(now)
        self.passed += 1
        return OK

    cdef uint8_t limit_c(self, const request_t* r, guard_track_t* t, int64_t now, double last_price) noexcept nogil:
        """The first thing that forbids it, or OK. What can only come of a broken engine latches."""
        cdef const guard_limits_t* l = &self.limits
        cdef bint again = r.id == t.last_entry, same = t.sequence == id_sequence(r.id)
        cdef uint8_t reason = self.form_c(r, last_price)
        cdef double notional
        if same and t.requests >= l.requests_per_bracket_max and not self.state.latched:
            self.state.latched = RISK_PER_SIGNAL
            self.state.latched_ns = now
        if reason == OK and not opens(r):
            return OK
        if reason == OK:
            if self.word != NULL and self.word[0] != 0:
                return HALTED
            if self.state.latched:
                return self.state.latched
            if self.state.entries_off:
                return HALTED
            if now - r.ts > l.entry_age_ns:
                return STALE_EVENT
            if not last_price > 0.0:
                return NO_PRICE
            if r.price > 0 and not (last_price * (1.0 - l.collar) <= price_of(&self.inst[r.instrument], r.price) <= last_price * (1.0 + l.collar)):
                return RISK_COLLAR
            notional = qty_of(&self.inst[r.instrument], r.qty) * self.inst[r.instrument].multiplier * \
                (price_of(&self.inst[r.instrument], r.price) if r.price > 0 else last_price)
            if not notional <= l.order_notional_max:
                reason = RISK_NOTIONAL
            elif again:
                return OK
            elif t.sequence != 0 and ((id_sequence(r.id) - t.sequence) & (SEQUENCES - 1)) > SEQUENCES // 2:
                reason = RISK_GUARD             # a bracket from before: an old decision is being repeated
            elif same and t.entries >= l.orders_per_signal_max:
                reason = RISK_PER_SIGNAL
            elif self.state.entries_head >= l.orders_per_minute_max and \
                    now - self.state.entry_times[(self.state.entries_head - l.orders_per_minute_max) & (GUARD_RING - 1)] < MINUTE_NS:
                reason = RISK_RATE
            elif not self.others_c(r.instrument) + (t.notional if same else 0.0) + notional <= l.total_notional_max:
                reason = RISK_EXPOSURE
        if reason != OK and not self.state.latched:
            self.state.latched = reason
            self.state.latched_ns = now
        return reason

    cdef uint8_t form_c(self, const request_t* r, double last_price) noexcept nogil:
        """Whether it is what its id says: an entry with a stop on the right side of it, an exit that reduces."""
        cdef int role = id_role(r.id)
        cdef double price
        if r.action == ACTION_CANCEL:
            return OK
        if r.qty <= 0 or r.price < 0 or (r.side != LONG and r.side != SHORT):
            return RISK_GUARD
        if not opens(r):
            return OK if ROLE_STOP <= role <= ROLE_CLOSE else RISK_GUARD
        if role != ROLE_ENTRY or r.action != ACTION_CREATE or r.stop <= 0 or (r.type == ORDER_MARKET) != (r.price == 0):
            return RISK_GUARD
        price = price_of(&self.inst[r.instrument], r.price) if r.price > 0 else last_price
        return RISK_GUARD if (price - price_of(&self.inst[r.instrument], r.stop)) * r.side <= 0.0 and price > 0.0 else OK

    cdef double others_c(self, int32_t instrument) noexcept nogil:
        """Notional as sent of the other instruments' brackets; those that are over are dropped."""
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
        """Count an entry that passes. The same one once more (it could not be sent) is no second order."""
        if r.id == t.last_entry:
            return
        if t.sequence != id_sequence(r.id):
            t.sequence = id_sequence(r.id)
            t.entries = t.requests = 0
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
        """Into the list of those with notional, once."""
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
        """Take from this engine when a bracket is over: what was sent for it then counts no more."""
        if engine.instruments != self.instruments:
            raise ValueError("Guard: engine and guard must be made with the same instruments in the same order")
        self.engine = engine

    def release(self, int instrument):
        """What was sent of this instrument is over. For those who do not follow an engine."""
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
        """Count a request against the venue's budget that went another way."""
        self.spend_c(now)

    def room(self, int64_t now, bint entry=False) -> int:
        """Requests that the budget allows at `now`."""
        cdef int64_t most = self.limits.rate_max - (self.limits.rate_reserve if entry else 0), used = 0
        while used < most and used < self.sent_head and \
                now - self.sent_times[(self.sent_head - 1 - used) & (GUARD_RING - 1)] < self.limits.rate_window_ns:
            used += 1
        return most - used

    def room_at(self, int64_t now, bint entry=False) -> int:
        """When there is room for one more request, ns: `now` where there is."""
        cdef int64_t most = self.limits.rate_max - (self.limits.rate_reserve if entry else 0)
        if self.sent_head < most:
            return now
        return max(now, self.sent_times[(self.sent_head - most) & (GUARD_RING - 1)] + self.limits.rate_window_ns)

    @property
    def killed(self) -> bool:
        """The kill word as it stands."""
        return self.word != NULL and self.word[0] != 0

    @property
    def latched(self):
        """The Reason of the first breach, or Reason.OK."""
        return schema.Reason(self.state.latched)

    @property
    def latched_ns(self):
        return self.state.latched_ns

    @property
    def entries_off(self):
        return bool(self.state.entries_off)

    @entries_off.setter
    def entries_off(self, bint value):
        self.state.entries_off = value

    @property
    def refused(self) -> dict:
        """How many were refused, by Reason."""
        return {schema.Reason(n): self.refused_by[n] for n in range(256) if self.refused_by[n]}

    def lift(self):
        """A person has looked: entries may pass again. What had been sent stays counted."""
        self.state.latched = OK
        self.state.latched_ns = 0

    def as_sent(self, int instrument) -> dict:
        """What is counted of an instrument: sequence of its latest bracket, entries, requests, notional."""
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

    def lower(self, limits) -> list:
        """Make limits stricter while running: a mapping of names to values; `entries_off` may be set to True. What would loosen one, or is none, is
        left as it was and said in the list that is returned, one sentence each; the others are in force at once."""
        refused = []
        for name, value in limits.items():
            now = self.limits_now
            try:
                if name == "entries_off":
                    if value is not True:
                        raise ValueError(f"entries_off: expected true, got {value!r}: entries are let in again by a person, not by a file")
                    self.state.entries_off = 1
                    continue
                if name not in LIMITS:
                    raise ValueError(f"{name}: expected one of {', '.join(LIMITS)}, entries_off")
                _valid(name, value)
                if value < now[name] if name == "rate_reserve" else value > now[name]:
                    raise ValueError(f"{name}: {value!r} would loosen the limit of {now[name]!r}; limits are loosened by a restart only")
                if value >= now["rate_max"] if name == "rate_reserve" else name == "rate_max" and value <= now["rate_reserve"]:
                    raise ValueError(f"{name}: {value!r} would leave nothing for entries; set entries_off to say so")
                self._set(name, value)
            except ValueError as wrong:
                refused.append(str(wrong))
        return refused

    # ---- snapshot ----

    def snapshot(self) -> bytes:
        """What must survive the process: the latch, entries off, the entries of the last minute, what was sent of each instrument. Not the limits,
        not the budget of the last second."""
        return pack(SNAPSHOT_NAME, [",".join(self._names()).encode(), (<char*> &self.state)[:sizeof(guard_state_t)],
                                    (<char*> self.tracks)[:self.count * sizeof(guard_track_t)]])

    def restore(self, bytes data):
        """Take up what snapshot() left. Instruments are matched by name: new ones begin empty, what was sent of one that is gone counts no more (a
        contract with an open trade cannot be taken out, see the state image). ValueError, and nothing changed, for damage."""
        cdef int n, k
        cdef bytes rows
        parts = unpack(SNAPSHOT_NAME, data, "guard")
        if len(parts) != 3 or <size_t> len(parts[1]) != sizeof(guard_state_t) or len(parts[2]) % sizeof(guard_track_t):
            raise ValueError("guard snapshot: not one of this version of liqcore")
        then, rows = parts[0].decode().split(","), parts[2]
        if <size_t> len(rows) != len(then) * sizeof(guard_track_t):
            raise ValueError(f"guard snapshot: {len(then)} names for {len(rows) // sizeof(guard_track_t)} instruments")
        places = {name: k for k, name in enumerate(then)}
        memcpy(&self.state, <const char*> <bytes> parts[1], sizeof(guard_state_t))
        memset(self.tracks, 0, self.count * sizeof(guard_track_t))
        self.active_count = 0
        for n, name in enumerate(self._names()):
            if name not in places:
                continue
            k = places[name]
            self.tracks[n] = (<const guard_track_t*> <const char*> rows)[k]
            if self.tracks[n].notional > 0.0:
                self.active[self.active_count] = n
                self.active_count += 1

    def _names(self) -> list:
        """As snapshots call the instruments; no two alike (a symbol may be traded at several venues)."""
        return [i.key for i in self.instruments]
