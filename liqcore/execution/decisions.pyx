"""From signals to brackets: see decisions.pxd.

A moment is one event's step, or all deadlines of one nanosecond. The intents of a moment are collected. Opposite intents on one instrument are
netted. Then they are processed by confidence, highest first; among equals by instrument, then in the order of the policies' answers. An intent with
judge_ns waits for its verdict. The questions of one moment are a batch: confirmed intents are entered together, by their confidence after the
verdict, when no question of the batch is open, and each at its own deadline at the latest. Risk checks an intent and its price at its entry. An
intent that replaces waits until the weaker bracket has been closed.
"""

from libc.math cimport fmin
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.audit cimport AUDIT_ALARM, AUDIT_JUDGE, AUDIT_POLICY, AUDIT_RISK
from liqcore.execution.bracket cimport bracket_leave, bracket_open
from liqcore.event cimport *
from liqcore.instrument cimport price_of, ticks_of
from liqcore.policy cimport ANSWER_BRACKET, ANSWER_LATER, ANSWER_LEAVE, CONDITION_BYTES, declined_t
from liqcore.execution.risk cimport ask_t, hurdle, size_entry
from liqcore.execution.order_state cimport ALARM_POLICY, ALARM_WAITING, BRACKET_FLAT
from liqcore.bracket_spec cimport audit_answer, check_bracket, judge_cap, outcomes_of
from liqcore.execution.pending_decisions cimport WAIT_ASK, WAIT_BATCH, WAIT_FLAT, WAIT_VERDICT
from liqcore.snapshot cimport pack, unpack

from liqcore.user_error import user_error

SNAPSHOT_NAME = b"liqcore-answers-3\n"
WITHOUT_BATCHES = b"liqcore-answers-2\n"        # of versions without batches of questions
POLICIES_MAX = 255
cdef int ASKS_MAX = 100000         # times that a policy may put off one signal
cdef int64_t WAIT_OVER = 0x7FFFFFFFFFFFFFFF


cdef class Decisions:
    """Made by the engine. policies: liqcore.Policy objects; detectors: the engine's, by name; shared: feature -> (place, whether every policy may
    read it)."""

    def __cinit__(self, tuple policies, tuple instruments, tuple detectors, Features features, Risk risk, Account account, AuditRing audit,
                  RequestQueue out, dict shared):
        cdef int p, n
        self.policies = policies
        self.instruments, self.names, self.features = instruments, detectors, features
        self.risk, self.account, self.audit, self.out = risk, account, audit, out
        self.count = len(instruments)
        self.waiting = PendingDecisions(self.count)
        self.contents = {}
        self.intents_max = 256 + 4 * self.count
        p = max(len(self.policies), 1)
        self.listens_to = <uint8_t*> calloc(p * 256, 1)
        self.trades = <uint8_t*> calloc(p * self.count, 1)
        self.intents = <intent_t*> calloc(self.intents_max, sizeof(intent_t))
        self.order = <int32_t*> calloc(self.intents_max, sizeof(int32_t))
        self.touched = <int32_t*> calloc(self.count, sizeof(int32_t))
        if self.listens_to == NULL or self.trades == NULL or self.intents == NULL or self.order == NULL or self.touched == NULL:
            raise MemoryError(f"no memory for the answers of {self.count} instruments")
        self.places = []
        for p in range(len(self.policies)):
            policy = self.policies[p]
            listens = _names("detectors", policy, policy.detectors, detectors)
            for n in range(len(detectors)):
                self.listens_to[p * 256 + n + 1] = not listens or detectors[n] in listens
            wants = _names("symbols", policy, policy.symbols, [i.symbol for i in instruments] + [i.key for i in instruments])
            for n in range(self.count):
                self.trades[p * self.count + n] = not wants or instruments[n].symbol in wants or instruments[n].key in wants
            own = _names("features", policy, policy.features, None)
            self.places.append({name: place for name, place in shared.items() if place[1] or name in own or features.names[place[0]] in own})
            self.places[p] = {name: place[0] for name, place in self.places[p].items()}

    def __dealloc__(self):
        free(self.listens_to)
        free(self.trades)
        free(self.intents)
        free(self.order)
        free(self.touched)

    cdef void point(self, instrument_t* inst, market_t* market, bracket_state_t* slot) noexcept:
        self.inst, self.market, self.slot = inst, market, slot

    # ---- asking ----

    cdef int on_signal(self, const signal_t* s, int64_t now) except -1:
        """Pass a signal to every policy that listens to it."""
        cdef int p
        for p in range(len(self.policies)):
            if self.listens_to[p * 256 + s.detector] and self.trades[p * self.count + s.instrument]:
                self.ask(p, s, 0, now)
        return 0

    cdef int ask_policy(self, int p, const signal_t* s, bracket_t* b, int64_t now) except -1:
        """The policy's answer. After an exception entries halt, exits continue, and the caller gets the exception."""
        cdef audit_t* a
        cdef Policy policy = self.policies[p]
        cdef market_t* m = &self.market[s.instrument]
        cdef str method = "on_signal"
        try:
            if self.market_refresh is not None:
                self.market_refresh.on_signal_c(s, m, self.instruments[s.instrument], b)
            policy.view.show(now, self.names[s.detector - 1], s.instrument, self.features, self.places[p])
            policy.declined.name[0] = 0
            what = policy.on_signal_c(s, m, self.instruments[s.instrument], b)
            if what == ANSWER_BRACKET and b.judge_ns > 0:
                method = "question"
                self.content = policy.question_c(s, m, self.instruments[s.instrument])
            if what == ANSWER_LATER and not now < policy.later_ns < TIME_MAX:
                raise ValueError(f"{type(policy).__name__}: Later: expected a time after market.now ({now}), got {policy.later_ns}")
            return what
        except BaseException as why:
            a = self.audit.put(now, AUDIT_ALARM, OK, ALARM_POLICY, s.instrument, s.side, s.ts_start)
            a.of.alarm.value = s.count
            self.risk.control(CONTROL_HALT, self.account, now, self.audit)
            raise user_error(why, f"policy {type(policy).__name__}, {method}", type(policy).__module__, getattr(type(policy), method))

    cdef int ask(self, int p, const signal_t* s, int asks, int64_t now) except -1:
        """Ask one policy and note its intent; resolve_intents() processes it at the end of the moment."""
        cdef bracket_t b
        cdef int what
        cdef int64_t asked = self.audit.next_seq
        cdef Policy policy = <Policy> self.policies[p]
        memset(&b, 0, sizeof(b))
        what = self.ask_policy(p, s, &b, now)
        if what == ANSWER_BRACKET:
            self.add_intent(p, s, &b, now)
            if b.judge_ns > 0 and self.intents_n and self.intents[self.intents_n - 1].asked == asked:
                self.keep_content(asked, self.content)
        elif what == ANSWER_LEAVE:
            self.leave(p, s, &policy.declined, now)
        elif what == ANSWER_LATER:
            self.defer(p, s, asks + 1, policy.later_ns, &policy.declined, now)
        else:
            self.record_answer(p, s, NO_TRADE, &policy.declined, now)
        return 0

    cdef int keep_content(self, int64_t asked, str content) except -1:
        """Keep the judge's content of an intent; contents without an intent or a question are dropped."""
        cdef int k
        alive = {self.intents[k].asked for k in range(self.intents_n)}
        alive.update([self.waiting.each[k].w.asked for k in range(self.waiting.size) if self.waiting.each[k].what == WAIT_VERDICT])
        self.contents = {number: told for number, told in self.contents.items() if number in alive}
        self.contents[asked] = content
        return 0

    cdef audit_t* record_answer(self, int p, const signal_t* s, uint8_t reason, const declined_t* why, int64_t now) noexcept nogil:
        """Audit an answer that is no bracket, with its condition if the policy named one (audit.declined reads it)."""
        cdef audit_t* a = self.audit.put(now, AUDIT_POLICY, reason, s.phase, s.instrument, 0, s.ts_start)
        a.of.declined.policy = p + 1
        if why.name[0]:
            a.of.declined.value = why.value
            a.of.declined.threshold = why.threshold
            memcpy(a.of.declined.condition, why.name, CONDITION_BYTES)
        return a

    cdef void defer(self, int p, const signal_t* s, int asks, int64_t due, const declined_t* why, int64_t now) noexcept nogil:
        """Ask the policy again at `due`. Without room in the table, or after too many deferrals, this is dropped with a record."""
        cdef intent_t w
        cdef audit_t* a
        memset(&w, 0, sizeof(w))
        w.s = s[0]
        w.policy = p
        w.asks = asks
        if asks > ASKS_MAX or self.waiting.add(WAIT_ASK, &w, due, now) == NULL:
            a = self.audit.put(now, AUDIT_ALARM, OK, ALARM_WAITING, s.instrument, s.side, s.ts_start)
            a.of.alarm.value = asks if asks > ASKS_MAX else self.waiting.size
            a.of.alarm.limit = ASKS_MAX if asks > ASKS_MAX else self.waiting.capacity
            self.record_answer(p, s, NO_TRADE, why, now)
            return
        self.record_answer(p, s, ASK_LATER, why, now).of.declined.later_s = (due - now) / 1e9
        self.touch(s.instrument)

    cdef void add_intent(self, int p, const signal_t* s, bracket_t* b, int64_t now) noexcept nogil:
        cdef const instrument_t* i = &self.inst[s.instrument]
        cdef int64_t reference = b.reference if b.reference > 0 else max(ticks_of(i, self.market[s.instrument].last), <int64_t> 0)
        cdef uint8_t reason = BAD_BRACKET if check_bracket(b) else OK
        cdef intent_t* w
        cdef int64_t asked = self.audit.next_seq
        b.requotes_max = min(<int> b.requotes_max, self.risk.limits.orders_per_signal_max - 1)
        audit_answer(b, s, price_of(i, reference), reason, p + 1, now, self.audit)
        if reason != OK:
            return
        if self.intents_n == self.intents_max:
            self.resolve_intents(now)            # the table of this moment is full: process its intents first
        w = &self.intents[self.intents_n]
        self.intents_n += 1
        w.b = b[0]
        w.s = s[0]
        w.policy = p
        w.asked = asked
        w.notional = b.notional if b.notional > 0.0 else b.equity_share * self.account.equity_now()

    cdef void leave(self, int p, const signal_t* s, const declined_t* why, int64_t now) noexcept nogil:
        """Close this policy's position on the instrument, and withdraw its intents: those that wait and those of this moment."""
        cdef bracket_state_t* slot = &self.slot[s.instrument]
        cdef intent_t* w
        cdef int k
        self.record_answer(p, s, POLICY_LEAVE, why, now)
        for k in range(self.intents_n):
            w = &self.intents[k]
            if w.policy == p and w.s.instrument == s.instrument and w.notional > 0.0:
                self.refuse(w, POLICY_LEAVE, w.notional, now)
                w.notional = 0.0
        self.withdraw(s.instrument, p, POLICY_LEAVE, now)
        if slot.state != BRACKET_FLAT and slot.owner == p + 1:
            bracket_leave(slot, &self.inst[s.instrument], END_POLICY, now, self.out)
            self.touch(s.instrument)

    # ---- the end of the moment ----

    cdef void resolve_intents(self, int64_t now) noexcept nogil:
        """Process the intents of this moment."""
        cdef int k
        cdef intent_t* w
        if self.ripe:
            self.release(now)
        if self.intents_n == 0:
            return
        self.arrange()
        self.net(now)
        self.batch = 0
        for k in range(self.intents_n):
            w = &self.intents[self.order[k]]
            if w.notional <= 0.0:
                continue
            if w.b.judge_ns > 0:
                self.question(w, now)
            else:
                self.enter(w, False, now)
        self.intents_n = 0

    cdef void arrange(self) noexcept nogil:
        """Sort by confidence, highest first, then by instrument; else in the order of the answers."""
        cdef int k, j
        cdef intent_t* w
        cdef intent_t* other
        for k in range(self.intents_n):
            w = &self.intents[k]
            j = k
            while j > 0:
                other = &self.intents[self.order[j - 1]]
                if other.b.confidence > w.b.confidence or (other.b.confidence == w.b.confidence and other.s.instrument <= w.s.instrument):
                    break
                self.order[j] = self.order[j - 1]
                j -= 1
            self.order[j] = k

    cdef void net(self, int64_t now) noexcept nogil:
        """Net opposite intents on one instrument: the first of each side cancel each other, until one side is left."""
        cdef int k, j
        cdef intent_t* w
        cdef intent_t* other
        cdef double both
        for k in range(self.intents_n):
            w = &self.intents[self.order[k]]
            for j in range(k + 1, self.intents_n):
                other = &self.intents[self.order[j]]
                if other.s.instrument != w.s.instrument or other.b.side == w.b.side or w.notional <= 0.0 or other.notional <= 0.0:
                    continue
                if judge_cap(&w.b) == 0 or judge_cap(&other.b) == 0:
                    continue            # it can never be entered
                both = fmin(w.notional, other.notional)
                self.net_down(w, other, both, now)
                self.net_down(other, w, both, now)

    cdef void net_down(self, intent_t* w, const intent_t* other, double notional, int64_t now) noexcept nogil:
        """Subtract the other side's notional from an intent. With nothing left it is refused. Two equal intents cancel each other."""
        w.notional -= notional
        w.b.notional = w.notional
        w.b.equity_share = 0.0
        if w.notional <= 0.0:
            self.refuse_for(w, NETTED, notional, other, now)

    cdef void refuse(self, const intent_t* w, uint8_t reason, double value, int64_t now) noexcept nogil:
        """Audit the refusal of an intent, without risk's numbers."""
        self.audit.put(now, AUDIT_RISK, reason, w.s.phase, w.s.instrument, w.b.side, w.s.ts_start).of.risk.notional = value

    cdef void refuse_for(self, const intent_t* w, uint8_t reason, double value, const intent_t* other, int64_t now) noexcept nogil:
        """The same, naming the cause: another intent, or (NULL) the open bracket."""
        cdef audit_t* a = self.audit.put(now, AUDIT_RISK, reason, w.s.phase, w.s.instrument, w.b.side, w.s.ts_start)
        cdef const bracket_state_t* slot = &self.slot[w.s.instrument]
        a.of.gave_way.notional = value
        if other != NULL:
            a.of.gave_way.other_confidence = other.b.confidence
            a.of.gave_way.other_policy = other.policy + 1
            a.of.gave_way.other_wish = other.asked
        else:
            a.of.gave_way.other_confidence = slot.spec.confidence
            a.of.gave_way.other_policy = max(<int> slot.owner, 1)
            a.of.gave_way.other_bracket = slot.sequence

    cdef void enter(self, intent_t* w, bint heir, int64_t now) noexcept nogil:
        """Ask risk; open the bracket or record the reason. heir: a bracket was closed to make room for it, so its cooldown does not count."""
        cdef ask_t ask
        cdef int32_t n = w.s.instrument
        cdef bracket_state_t* slot = &self.slot[n]
        cdef int64_t cooldown = slot.cooldown_until
        cdef int64_t reference = w.b.reference if w.b.reference > 0 else max(ticks_of(&self.inst[n], self.market[n].last), <int64_t> 0)
        cdef uint8_t reason
        if heir and slot.end == END_REPLACED:
            slot.cooldown_until = 0
        reason = hurdle(&w.s, &self.market[n], slot, now, self.out)
        slot.cooldown_until = cooldown
        if reason == BRACKET_OPEN and w.b.replaces:
            self.replace(w, reference, now)
            return
        if reason == BRACKET_OPEN:
            self.refuse_for(w, reason, 0.0, NULL, now)
            return
        if reason != OK:
            self.refuse(w, reason, 0.0, now)
            return
        self.size(&ask, w, reference)
        if self.risk.approve(&ask, &self.inst[n], &self.market[n], self.slot, self.count, self.account, now, self.audit) == OK:
            bracket_open(slot, &w.b, &self.inst[n], reference, ask.lots, w.s.sequence, now, self.out)
            slot.owner = w.policy + 1
            slot.detector = w.s.detector
            self.touch(n)

    cdef void size(self, ask_t* ask, const intent_t* w, int64_t reference) noexcept nogil:
        size_entry(ask, &w.b, reference, self.account.equity_now(), self.risk.latch.size, &self.inst[w.s.instrument])
        ask.instrument = w.s.instrument
        ask.side = w.b.side
        ask.phase = w.s.phase
        ask.cause = w.s.ts_start

    # ---- an intent replaces a weaker bracket ----

    cdef void replace(self, intent_t* w, int64_t reference, int64_t now) noexcept nogil:
        """Close the open bracket for an intent of higher confidence, unless risk would refuse that anyway. The intent waits for a bounded time. After
        the close risk decides again."""
        cdef ask_t ask
        cdef int32_t n = w.s.instrument
        cdef bracket_state_t* slot = &self.slot[n]
        cdef int k = self.waiting.find(WAIT_FLAT, n, -1)
        cdef uint8_t reason
        if w.b.confidence <= slot.spec.confidence or (k >= 0 and w.b.confidence <= self.waiting.each[k].w.b.confidence):
            self.refuse_for(w, WEAKER, k >= 0, NULL if w.b.confidence <= slot.spec.confidence else &self.waiting.each[k].w, now)
            return
        self.size(&ask, w, reference)
        reason = self.risk.forecast(&ask, &self.inst[n], &self.market[n], self.slot, self.count, self.account, now)
        if reason == OK and self.waiting.size == self.waiting.capacity and k < 0:
            reason = BRACKET_OPEN
        if reason != OK:
            self.refuse(w, reason, ask.notional, now)
            return
        if k >= 0:
            self.refuse_for(&self.waiting.each[k].w, WEAKER, 1.0, w, now)
            self.waiting.remove(k)
        self.waiting.add(WAIT_FLAT, w, now + self.out.answer_ns, now)
        self.refuse_for(w, REPLACING, ask.notional, NULL, now)
        bracket_leave(slot, &self.inst[n], END_REPLACED, now, self.out)
        self.touch(n)
        if slot.state == BRACKET_FLAT:
            self.promote_replacement(n, now)

    cdef void promote_replacement(self, int32_t n, int64_t now) noexcept nogil:
        """The instrument is flat: enter the intent that waited for it."""
        cdef int k = self.waiting.find(WAIT_FLAT, n, -1)
        cdef intent_t w
        if k >= 0:
            w = self.waiting.each[k].w
            self.waiting.remove(k)
            self.touch(n)
            self.enter(&w, True, now)

    # ---- the outside judge ----

    cdef void question(self, const intent_t* w, int64_t now) noexcept nogil:
        """Make an intent a question to the judge, unless risk would refuse its entry at this time anyway."""
        cdef int32_t n = w.s.instrument
        cdef bracket_state_t* slot = &self.slot[n]
        cdef waiting_t* x
        cdef uint8_t reason = hurdle(&w.s, &self.market[n], slot, now, self.out)
        if reason == BRACKET_OPEN and w.b.replaces:
            reason = OK if w.b.confidence > slot.spec.confidence else WEAKER
        if reason == OK:
            reason = self.risk.latch.halted if self.risk.latch.halted else NOT_READY if self.market[n].gates else OK
        x = self.waiting.add(WAIT_VERDICT, w, now + w.b.judge_ns, now) if reason == OK else NULL
        if x == NULL:
            if reason == BRACKET_OPEN or reason == WEAKER:
                self.refuse_for(w, reason, w.notional, NULL, now)
            else:
                self.refuse(w, reason if reason != OK else UNJUDGED, w.notional, now)
            return
        self.batch = self.batch if self.batch else x.number
        x.batch = self.batch
        self.audit_judge(x, JUDGING, 0, now)
        self.touch(n)

    cdef void verdict(self, int64_t number, uint8_t code, int confidence, int64_t now) noexcept nogil:
        """The judge's verdict. Only the first answer to an open question counts. A confirmed intent is entered with its batch if the verdict has a
        confidence, else (0) now, with its own confidence. If no grade of the news allows an entry, no answer gives one."""
        cdef int k = self.waiting.find_question(number)
        cdef waiting_t x
        cdef audit_t* a
        if k < 0:
            self.waiting.tally.ignored += 1
            a = self.audit.put(now, AUDIT_JUDGE, UNJUDGED, code, ALL_INSTRUMENTS, 0, 0)
            a.of.judge.question = <double> number
            return
        self.ripe = True
        self.touch(self.waiting.each[k].w.s.instrument)
        if code == JUDGE_CONFIRM and judge_cap(&self.waiting.each[k].w.b):
            self.confirm(k, confidence, now)
        else:
            x = self.waiting.each[k]
            self.waiting.remove(k)
            self.audit_judge(&x, UNJUDGED if code == JUDGE_FAILED else VETOED, code, now)
            if code == JUDGE_FAILED:
                self.waiting.tally.unjudged += 1
            else:
                self.waiting.tally.vetoed += 1
        self.release(now)

    cdef void confirm(self, int k, int confidence, int64_t now) noexcept nogil:
        cdef waiting_t* x = &self.waiting.each[k]
        cdef intent_t w
        self.waiting.tally.confirmed += 1
        x.w.b.confidence = min(x.w.b.confidence, <int32_t> judge_cap(&x.w.b))
        if confidence:
            x.w.b.confidence = min(x.w.b.confidence, <int32_t> confidence)
        self.audit_judge(x, OK, JUDGE_CONFIRM, now)
        x.what = WAIT_BATCH
        if confidence == 0:
            w = x.w
            self.waiting.remove(k)
            self.enter(&w, False, now)

    cdef void release(self, int64_t now) noexcept nogil:
        """Enter the confirmed intents that no longer wait, by confidence."""
        cdef intent_t w
        cdef int k = self.waiting.next_confirmed()
        self.ripe = False
        while k >= 0:
            w = self.waiting.each[k].w
            self.waiting.remove(k)
            self.touch(w.s.instrument)
            self.enter(&w, False, now)
            k = self.waiting.next_confirmed()

    cdef void audit_judge(self, const waiting_t* x, uint8_t reason, uint8_t code, int64_t now) noexcept nogil:
        cdef int32_t n = x.w.s.instrument
        cdef audit_t* a = self.audit.put(now, AUDIT_JUDGE, reason, code, n, x.w.b.side, x.w.s.ts_start)
        a.of.judge.question = <double> x.number
        a.of.judge.waited_s = (now - x.since) / 1e9
        a.of.judge.judge_s = x.w.b.judge_ns / 1e9
        a.of.judge.confidence = x.w.b.confidence
        a.of.judge.policy = x.w.policy + 1
        a.of.judge.notional = x.w.notional
        a.of.judge.reference_price = price_of(&self.inst[n], x.w.b.reference)
        a.of.judge.last_price = self.market[n].last
        a.of.judge.stop_loss = x.w.b.stop_loss * 1e-8

    # ---- pending decisions ----

    cdef int timer(self, int32_t n, int64_t now) except -1:
        """Serve the deadlines of an instrument's pending decisions, in their order of arrival."""
        cdef waiting_t x
        cdef int k
        while self.waiting.next_due[n] <= now:
            k = self.waiting.find_due(n, now)
            if self.waiting.each[k].what == WAIT_BATCH:          # at the end of the moment: see resolve_intents
                self.waiting.each[k].due = WAIT_OVER
                self.waiting.schedule(n)
                self.ripe = True
                continue
            x = self.waiting.each[k]
            self.waiting.remove(k)
            if x.what == WAIT_ASK:
                self.ask(x.w.policy, &x.w.s, x.w.asks, now)
            elif x.what == WAIT_VERDICT:
                self.waiting.tally.unjudged += 1
                self.ripe = True
                self.audit_judge(&x, UNJUDGED, 0, now)
            else:
                self.refuse_for(&x.w, BRACKET_OPEN, x.w.notional, NULL, now)
        return 0

    cdef void withdraw(self, int32_t n, int policy, uint8_t reason, int64_t now) noexcept nogil:
        """Refuse the waiting intents of one instrument or all, of one policy or (-1) all. Policies that asked to be asked again are still asked."""
        cdef int k = 0
        cdef waiting_t* x
        while k < self.waiting.size:
            x = &self.waiting.each[k]
            if x.what == WAIT_ASK or (n != ALL_INSTRUMENTS and x.w.s.instrument != n) or (policy >= 0 and x.w.policy != policy):
                k += 1
                continue
            if x.what == WAIT_VERDICT:
                self.ripe = True
                self.audit_judge(x, reason, 0, now)
            else:
                self.refuse(&x.w, reason, x.w.notional, now)
            self.touch(x.w.s.instrument)
            self.waiting.remove(k)

    def questions(self) -> list:
        """See Engine.questions()."""
        from json import loads          # not at import: the core starts in milliseconds

        cdef int k
        cdef waiting_t* x
        out = []
        for k in range(self.waiting.size):
            x = &self.waiting.each[k]
            if x.what == WAIT_VERDICT:
                out.append({"id": x.number, "batch": x.batch, "ts": x.since, "deadline": x.due, "instrument": x.w.s.instrument,
                            "symbol": self.instruments[x.w.s.instrument].symbol, "side": x.w.b.side, "confidence": x.w.b.confidence,
                            "notional": x.w.notional, "policy": x.w.policy, "detector": self.names[x.w.s.detector - 1], "signal": Signal.of(&x.w.s),
                            "outcomes": outcomes_of(&x.w.b), "content": loads(self.contents.get(x.w.asked, "{}"))})
        return out

    cdef void touch(self, int32_t n) noexcept nogil:
        cdef int k
        for k in range(self.touched_n):
            if self.touched[k] == n:
                return
        self.touched[self.touched_n] = n
        self.touched_n += 1

    # ---- snapshots ----

    cdef bytes save(self):
        from json import dumps

        contents = dumps({str(number): told for number, told in self.contents.items()}, sort_keys=True) if self.contents else ""
        return pack(SNAPSHOT_NAME, [self.waiting.save(), contents.encode()] + [policy.snapshot() for policy in self.policies])

    cdef int load(self, bytes data) except -1:
        """Restore the pending decisions and the policies' memories. If a policy refuses its part, the others stay unchanged."""
        from json import loads

        cdef bint batches = not data.startswith(WITHOUT_BATCHES)
        cdef list parts = unpack(SNAPSHOT_NAME if batches else WITHOUT_BATCHES, data, "answers")
        cdef list memories = parts[2:] if batches else parts[1:]
        contents = {int(number): told for number, told in loads(parts[1]).items()} if batches and parts[1] else {}
        if any(memories) and len(memories) != len(self.policies):
            raise ValueError(f"engine snapshot: taken with {len(memories)} policies that remember, this engine has {len(self.policies)}")
        waiting = self.waiting.save()
        self.waiting.load(parts[0], len(self.policies), batches)
        done = []
        try:
            for policy, part in zip(self.policies, memories if any(memories) else [b""] * len(self.policies)):
                before = policy.snapshot()
                policy.restore(part)
                done.append((policy, before))
        except ValueError:
            self.waiting.load(waiting, len(self.policies), True)
            for policy, before in done:
                policy.restore(before)
            raise
        self.contents = contents
        return 0


cdef tuple policies_of(policy):
    """One policy, several, or None, as a tuple."""
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
