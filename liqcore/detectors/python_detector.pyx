"""Detectors in Python: see python_detector.pxd, and custom.py for the class that a user derives from."""

from libc.math cimport isfinite
from libc.string cimport memset

from liqcore.argument cimport describe, real, whole
from liqcore.detectors.detector cimport PART_PLAIN, SIGNALS_MAX
from liqcore.event cimport *

from liqcore.detectors.custom import CALLS, PHASES_AT_ONCE_MAX, TIMERS_MAX, CustomDetector, MarketEvent, PhaseChange
from liqcore.detectors.parameters import own_table
from liqcore.user_error import method_problems, user_error
from liqcore import event as schema

SNAPSHOT_NAME = b"liqcore-python-detector-1\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t LATEST = TIME_MAX
cdef tuple KIND = (None, *[schema.Kind(k) for k in range(1, 5)])
assert SIGNALS_MAX == PHASES_AT_ONCE_MAX


cdef class PythonDetector(Detector):
    """A CustomDetector as a Detector of an engine. PythonDetector(rule, name, parameters, kind): liqcore.make_detector(rule, name, **parameters)
    makes one.

    rule: a class that derives from liqcore.CustomDetector. kind: what as_dict, snapshots and reports call the class; "" = module:Class.
    TypeError or ValueError names the fault of the class or of a parameter; an exception of its own start() passes through.
    """

    def __init__(self, rule, str name, dict parameters, str kind=""):
        cdef python_state_t d
        if not isinstance(rule, type) or not issubclass(rule, CustomDetector):
            raise TypeError(f"detector {name}: expected a class that derives from liqcore.CustomDetector, got {rule!r}")
        called = kind or f"{rule.__module__}:{rule.__qualname__}"
        wrong = method_problems(rule, CustomDetector, CALLS, "on_event", True)
        if wrong:
            raise TypeError(f"detector {called}: {'; '.join(wrong)}")
        p = self.set_parameters(called, name, own_table(called, rule.PARAMETERS), parameters)
        try:
            known = [int(k) for k in rule.KINDS]
        except (TypeError, ValueError):
            known = []
        if not known or any(k < LIQUIDATION or k > TICKER for k in known):
            raise ValueError(f"detector {called}, KINDS: expected some of LIQUIDATION, TRADE, BBO and TICKER, got {rule.KINDS!r}")
        window_s = p.get("window_s", rule.window_s)
        if isinstance(window_s, bool) or not isinstance(window_s, (int, float)) or not 0.0 < window_s <= 1e8:
            raise ValueError(f"detector {called}, window_s: expected seconds above 0 and at most 1e8, got {window_s!r}")
        self.rule = rule
        self.instruments, self.each, self.timers, self.since = [], [], [], []
        self.wants = 0
        for k in known:
            self.wants |= 1 << <int> k
        self.window_ns = round(window_s * 1e9)
        self.set_state(SNAPSHOT_NAME, sizeof(d), more=1)
        self.add_part(PART_PLAIN, &d, &d, sizeof(d))

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        (<python_state_t*> self.states + n).uncertain_until = -NEVER
        try:
            made = self.rule(dict(self.parameters), instrument)
            made.restore(made.snapshot())             # a state that cannot be kept is an error before the run, not at its first restart
        except BaseException as why:
            raise self.owned(why, "start")
        self.instruments.append(instrument)
        self.each.append(made)
        self.timers.append(0)
        self.since.append(0)
        try:
            return self.look_ahead(n, -1)
        except BaseException as why:
            raise self.owned(why, "deadline")

    cdef int look_ahead(self, int32_t n, int64_t now) except -1:
        """Ask for its next deadline, which must be after `now`."""
        due = self.each[n].deadline()
        (<python_state_t*> self.states + n).deadline = NEVER
        if due is None:
            return 0
        if type(due) is not int:
            due = whole(due, f"detector {self.name}, deadline()")
        if not now < due < LATEST:
            raise ValueError(f"detector {self.name}, deadline(): expected None or a time after {now} and before {LATEST} ns UTC, got {due!r}")
        (<python_state_t*> self.states + n).deadline = due
        return 0

    cdef int check_pace(self, int32_t n, int64_t now) except -1:
        """ValueError if its deadlines are so close together that market time would not advance."""
        cdef int64_t passed = now - <int64_t> self.since[n]
        self.timers[n] += 1
        if self.timers[n] > TIMERS_MAX + passed // 1_000_000:
            raise ValueError(f"detector {self.name}, deadline(): on_timer was called {self.timers[n]} times within {passed} ns after the latest "
                             f"event; expected at most {TIMERS_MAX} times, and once more for each millisecond")
        return 0

    cdef int emit(self, int32_t n, int64_t now, uint8_t flags, object answer, signal_t* out) except -1:
        """Make signals of what a method returned. If one is wrong, none is made."""
        cdef python_state_t* d = <python_state_t*> self.states + n
        cdef signal_t* s
        cdef int count = 0
        cdef int64_t of_episode
        if answer is None:
            return 0
        changes = (answer,) if isinstance(answer, PhaseChange) else answer
        if not isinstance(changes, (list, tuple)) or len(changes) > SIGNALS_MAX or not all(isinstance(one, PhaseChange) for one in changes):
            raise TypeError(f"detector {self.name}: expected None, a PhaseChange or at most {SIGNALS_MAX} of them, got {answer!r}")
        for one in changes:
            if one.phase not in (BUILDING, ACTIVE, DECELERATING, EXHAUSTED) or one.side not in (-1, 0, 1):
                raise ValueError(f"detector {self.name}: expected a phase but IDLE and a side of -1, 0 or 1, got {one!r}")
            s = out + count
            memset(s, 0, sizeof(signal_t))
            s.long_notional, s.short_notional = real(one.long_notional, "long_notional"), real(one.short_notional, "short_notional")
            s.threshold, s.z = real(one.threshold, "threshold"), real(one.z, "z")
            s.score, s.rolling = real(one.score, "score"), real(one.rolling, "rolling")
            of_episode = whole(one.count, "count")
            if not 0 <= of_episode < 2 ** 31 or not 0.0 <= s.score <= 10.0:
                raise ValueError(f"detector {self.name}: expected a count from 0 to 2147483647 and a score from 0 to 10, got {one!r}")
            s.count = <int32_t> of_episode
            if not (isfinite(s.long_notional) and isfinite(s.short_notional) and isfinite(s.threshold) and isfinite(s.z) and isfinite(s.score)
                    and isfinite(s.rolling)):
                raise ValueError(f"detector {self.name}: expected finite numbers, got {one!r}")
            if d.phase == IDLE:
                d.sequence += 1
                d.ts_start = now
            d.side, d.phase = one.side, IDLE if one.phase == EXHAUSTED else one.phase
            s.ts, s.ts_start, s.price, s.sequence = now, d.ts_start, d.price, d.sequence
            s.instrument, s.phase, s.side = n, one.phase, d.side
            s.flags = d.flags & (SIGNAL_CENSORED | SIGNAL_MARK_NOTIONAL) | flags & SIGNAL_STALE
            if now < d.uncertain_until:
                s.flags |= SIGNAL_UNCERTAIN
            count += 1
        return count

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef python_state_t* d = <python_state_t*> self.states + e.instrument
        cdef int count
        d.price = m.last if m.last > 0.0 else e.price if e.price > 0.0 else d.price
        d.flags = flags
        with gil:
            try:
                if self.failure is not None:
                    return -1
                self.timers[e.instrument], self.since[e.instrument] = 0, e.ts_recv
                seen = MarketEvent(KIND[e.kind], e.ts_recv, e.ts_event, e.side, e.price, e.qty, notional, e.aux_price, e.aux_qty, m.last)
                count = self.emit(e.instrument, e.ts_recv, flags, self.each[e.instrument].on_event(seen), out)
                self.look_ahead(e.instrument, e.ts_recv)
                return count
            except BaseException as why:
                return self.blame(why, "on_event")

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        cdef python_state_t* d = <python_state_t*> self.states + n
        cdef int64_t due = d.deadline
        cdef int count
        d.deadline = NEVER
        with gil:
            try:
                if self.failure is not None:
                    return -1
                if due == 0:            # on_gap raised, and the exception was reported with another instrument's
                    return 0
                self.check_pace(n, now)
                count = self.emit(n, now, 0, self.each[n].on_timer(now), out)
                self.look_ahead(n, now)
                return count
            except BaseException as why:
                return self.blame(why, "on_timer")

    cdef int blame(self, why, str method) noexcept:
        if self.failure is None:
            self.failure = self.owned(why, method)
        return -1

    cdef object owned(self, object why, str method):
        """The exception of one of its methods, with the name of its owner."""
        return user_error(why, f"detector {self.name} ({self.rule.__qualname__}), {method}", "", getattr(self.rule, method), self.rule.on_event)

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return (<python_state_t*> self.states + n).deadline

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        cdef python_state_t* d = <python_state_t*> self.states + n
        d.phase = IDLE
        d.uncertain_until = until
        d.deadline = NEVER
        with gil:
            try:
                self.each[n].on_gap(until)
                self.look_ahead(n, -1)
            except BaseException as why:
                self.blame(why, "on_gap")
            if self.failure is not None:          # a deadline at 0: the caller gets the exception before the next event
                d.deadline = 0

    cdef list save_parts(self, int32_t n):
        try:
            kept = self.each[n].snapshot()
            if not isinstance(kept, bytes):
                raise TypeError(f"detector {self.name}, snapshot(): expected bytes, got a {type(kept).__name__}")
        except BaseException as why:
            raise self.owned(why, "snapshot")
        return [*Detector.save_parts(self, n), kept]

    cdef int load_more(self, int32_t n, list parts) except -1:
        try:
            made = self.rule(dict(self.parameters), self.instruments[n])
            made.restore(parts[0])
        except BaseException as why:
            raise self.owned(why, "restore")
        self.each[n] = made
        self.timers[n], self.since[n] = 0, 0
        return 0


describe(PythonDetector, {"rule": "The class that derives from liqcore.CustomDetector."})
