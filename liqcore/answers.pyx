"""From signals to brackets: see answers.pxd.

A moment is one event's step, or all deadlines that fall on one nanosecond. What policies want in it is collected, and then judged by confidence,
highest first; among equals by instrument, then as asked. Opposite wishes on one instrument are netted before.
"""

from libc.math cimport fmin
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqcore.audit cimport AUDIT_ALARM, AUDIT_POLICY, AUDIT_RISK
from liqcore.bracket cimport bracket_leave, bracket_open
from liqcore.event cimport *
from liqcore.instrument cimport price_of, ticks_of
from liqcore.policy cimport ANSWER_BRACKET, ANSWER_LATER, ANSWER_LEAVE, ANSWER_NOTHING
from liqcore.risk cimport ask_t, hurdle, size_entry
from liqcore.slot cimport ALARM_POLICY, BRACKET_FLAT
from liqcore.terms cimport audit_answer, check_bracket

from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-answers-1\n"
POLICIES_MAX = 255


cdef class Answers:
    """Made by the engine. policies: liqcore.Policy objects; detectors: names of the engine's; shared: feature -> (place, may all read it)."""

    def __cinit__(self, tuple policies, tuple instruments, tuple detectors, Features features, Risk risk, Account account, AuditRing audit, Outbox out,
                  dict shared):
        cdef int p, n
        self.policies = policies
        self.instruments, self.names, self.features = instruments, detectors, features
        self.risk, self.account, self.audit, self.out = risk, account, audit, out
        self.count = len(instruments)
        self.wishes_max = 256 + 4 * self.count
        p = max(len(self.policies), 1)
        self.hears = <uint8_t*> calloc(p * 256, 1)
        self.trades = <uint8_t*> calloc(p * self.count, 1)
        self.wishes = <wish_t*> calloc(self.wishes_max, sizeof(wish_t))
        self.order = <int32_t*> calloc(self.wishes_max, sizeof(int32_t))
        self.touched = <int32_t*> calloc(self.count, sizeof(int32_t))
        if self.hears == NULL or self.trades == NULL or self.wishes == NULL or self.order == NULL or self.touched == NULL:
            raise MemoryError(f"no memory for the answers of {self.count} instruments")
        self.places = []
        for p in range(len(self.policies)):
            policy = self.policies[p]
            listens = _names("detectors", policy, policy.detectors, detectors)
            for n in range(len(detectors)):
                self.hears[p * 256 + n + 1] = not listens or detectors[n] in listens
            wants = _names("symbols", policy, policy.symbols, [i.symbol for i in instruments] + [i.key for i in instruments])
            for n in range(self.count):
                self.trades[p * self.count + n] = not wants or instruments[n].symbol in wants or instruments[n].key in wants
            own = _names("features", policy, policy.features, None)
            self.places.append({name: place for name, place in shared.items() if place[1] or name in own or features.names[place[0]] in own})
            self.places[p] = {name: place[0] for name, place in self.places[p].items()}

    def __dealloc__(self):
        free(self.hears)
        free(self.trades)
        free(self.wishes)
        free(self.order)
        free(self.touched)

    cdef void point(self, instrument_t* inst, market_t* market, slot_t* slot) noexcept:
        self.inst, self.market, self.slot = inst, market, slot

    # ---- asking ----

    cdef int hear(self, const signal_t* s, int64_t now) except -1:
        """A signal, to every policy that listens to it."""
        cdef int p
        for p in range(len(self.policies)):
            if self.hears[p * 256 + s.detector] and self.trades[p * self.count + s.instrument]:
                self.ask(p, s, now)
        return 0

    cdef int ask_policy(self, int p, const signal_t* s, bracket_t* b, int64_t now) except -1:
        """The policy's answer. One that raises has lost its right to trade: entries halt, exits go on, and the caller gets the exception."""
        cdef audit_t* a
        cdef Policy policy = self.policies[p]
        cdef market_t* m = &self.market[s.instrument]
        try:
            if self.usher is not None:
                self.usher.on_signal_c(s, m, self.instruments[s.instrument], b)
            policy.view.show(now, self.names[s.detector - 1], s.instrument, self.features, self.places[p])
            return policy.on_signal_c(s, m, self.instruments[s.instrument], b)
        except BaseException:
            a = self.audit.put(now, AUDIT_ALARM, OK, ALARM_POLICY, s.instrument, s.side, s.ts_start)
            a.x[0] = s.count
            self.risk.control(CONTROL_HALT, self.account, now, self.audit)
            raise

    cdef int ask(self, int p, const signal_t* s, int64_t now) except -1:
        """Ask one policy, and note what it wants; settle() comes at the end of the moment."""
        cdef bracket_t b
        cdef int what
        memset(&b, 0, sizeof(b))
        what = self.ask_policy(p, s, &b, now)
        if what == ANSWER_BRACKET:
            self.wish(p, s, &b, now)
        elif what == ANSWER_LEAVE:
            self.leave(p, s, now)
        else:
            self.audit.put(now, AUDIT_POLICY, NO_TRADE, s.phase, s.instrument, 0, s.ts_start)
        return 0

    cdef void wish(self, int p, const signal_t* s, bracket_t* b, int64_t now) noexcept nogil:
        cdef const instrument_t* i = &self.inst[s.instrument]
        cdef int64_t reference = b.reference if b.reference > 0 else max(ticks_of(i, self.market[s.instrument].last), <int64_t> 0)
        cdef uint8_t reason = BAD_BRACKET if check_bracket(b) else OK
        cdef wish_t* w
        b.requotes_max = min(<int> b.requotes_max, self.risk.limits.orders_per_signal_max - 1)
        audit_answer(b, s, price_of(i, reference), reason, p + 1, now, self.audit)
        if reason != OK:
            return
        if self.wishes_n == self.wishes_max:
            self.settle(now)            # more than a moment can hold: what there is goes first
        w = &self.wishes[self.wishes_n]
        self.wishes_n += 1
        w.b = b[0]
        w.s = s[0]
        w.policy = p
        w.notional = b.notional if b.notional > 0.0 else b.equity_share * self.account.equity_now()

    cdef void leave(self, int p, const signal_t* s, int64_t now) noexcept nogil:
        """Close what this policy has open on the instrument."""
        cdef slot_t* slot = &self.slot[s.instrument]
        self.audit.put(now, AUDIT_POLICY, POLICY_LEAVE, s.phase, s.instrument, 0, s.ts_start)
        if slot.state != BRACKET_FLAT and slot.owner == p + 1:
            bracket_leave(slot, &self.inst[s.instrument], END_POLICY, now, self.out)
            self.touch(s.instrument)

    # ---- the end of the moment ----

    cdef void settle(self, int64_t now) noexcept nogil:
        """Judge what was wanted at this moment."""
        cdef int k
        if self.wishes_n == 0:
            return
        self.arrange()
        self.net(now)
        for k in range(self.wishes_n):
            if self.wishes[self.order[k]].notional > 0.0:
                self.judge(&self.wishes[self.order[k]], now)
        self.wishes_n = 0

    cdef void arrange(self) noexcept nogil:
        """By confidence, highest first, then by instrument; else as asked."""
        cdef int k, j
        cdef wish_t* w
        cdef wish_t* other
        for k in range(self.wishes_n):
            w = &self.wishes[k]
            j = k
            while j > 0:
                other = &self.wishes[self.order[j - 1]]
                if other.b.confidence > w.b.confidence or (other.b.confidence == w.b.confidence and other.s.instrument <= w.s.instrument):
                    break
                self.order[j] = self.order[j - 1]
                j -= 1
            self.order[j] = k

    cdef void net(self, int64_t now) noexcept nogil:
        """Opposite wishes on one instrument: the first of each side cancel each other, until one side is left."""
        cdef int k, j
        cdef wish_t* w
        cdef wish_t* other
        cdef double both
        for k in range(self.wishes_n):
            w = &self.wishes[self.order[k]]
            for j in range(k + 1, self.wishes_n):
                other = &self.wishes[self.order[j]]
                if other.s.instrument != w.s.instrument or other.b.side == w.b.side or w.notional <= 0.0 or other.notional <= 0.0:
                    continue
                both = fmin(w.notional, other.notional)
                self.lessen(w, both, now)
                self.lessen(other, both, now)

    cdef void lessen(self, wish_t* w, double notional, int64_t now) noexcept nogil:
        """Take the other side's notional off a wish; nothing left = it is refused."""
        cdef audit_t* a
        w.notional -= notional
        w.b.notional = w.notional
        w.b.equity_share = 0.0
        if w.notional <= 0.0:
            a = self.audit.put(now, AUDIT_RISK, NETTED, w.s.phase, w.s.instrument, w.b.side, w.s.ts_start)
            a.x[0] = notional

    cdef void judge(self, wish_t* w, int64_t now) noexcept nogil:
        """Ask risk; open the bracket or say why not."""
        cdef ask_t ask
        cdef int32_t n = w.s.instrument
        cdef slot_t* slot = &self.slot[n]
        cdef int64_t reference = w.b.reference if w.b.reference > 0 else max(ticks_of(&self.inst[n], self.market[n].last), <int64_t> 0)
        cdef uint8_t reason = hurdle(&w.s, &self.market[n], slot, now, self.out)
        if reason == OK:
            size_entry(&ask, &w.b, reference, self.account.equity_now(), &self.inst[n])
            ask.instrument = n
            ask.side = w.b.side
            ask.phase = w.s.phase
            ask.cause = w.s.ts_start
            reason = self.risk.judge(&ask, &self.inst[n], &self.market[n], self.slot, self.count, self.account, now, self.audit)
        else:
            self.audit.put(now, AUDIT_RISK, reason, w.s.phase, n, w.b.side, w.s.ts_start)
        if reason == OK:
            bracket_open(slot, &w.b, &self.inst[n], reference, ask.lots, w.s.sequence, now, self.out)
            slot.owner = w.policy + 1
            slot.detector = w.s.detector
            self.touch(n)

    cdef void touch(self, int32_t n) noexcept nogil:
        cdef int k
        for k in range(self.touched_n):
            if self.touched[k] == n:
                return
        self.touched[self.touched_n] = n
        self.touched_n += 1

    # ---- snapshots ----

    cdef bytes save(self):
        return pack(SNAPSHOT_NAME, [policy.snapshot() for policy in self.policies])

    cdef int load(self, bytes data) except -1:
        """What the policies remembered. A policy that refuses its part leaves the others as they were."""
        cdef list parts = unpack(SNAPSHOT_NAME, data, "answers")
        if any(parts) and len(parts) != len(self.policies):
            raise ValueError(f"engine snapshot: taken with {len(parts)} policies that remember, this engine has {len(self.policies)}")
        done = []
        try:
            for policy, part in zip(self.policies, parts if any(parts) else [b""] * len(self.policies)):
                before = policy.snapshot()
                policy.restore(part)
                done.append((policy, before))
        except ValueError:
            for policy, before in done:
                policy.restore(before)
            raise
        return 0


cdef tuple policies_of(policy):
    """A policy, several, or None, as a tuple."""
    if policy is None or isinstance(policy, Policy):
        return () if policy is None else (policy,)
    if not isinstance(policy, (list, tuple)) or not all(isinstance(p, Policy) for p in policy):
        raise TypeError(f"policy: expected a liqcore.Policy or a sequence of them, got {policy!r}")
    if len({id(p) for p in policy}) != len(policy) or len(policy) > POLICIES_MAX:
        raise ValueError(f"policy: expected at most {POLICIES_MAX} different Policy objects")
    return tuple(policy)


cdef tuple _names(str what, policy, names, known):
    """A policy's declaration as a tuple of str, each of which is known."""
    where = f"{type(policy).__name__}.{what}"
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{where}: expected a tuple of names, got {names!r}")
    for name in names:
        if known is not None and name not in known:
            raise ValueError(f"{where}: {name!r} is not in this engine; expected some of {', '.join(known)}")
    return tuple(names)
