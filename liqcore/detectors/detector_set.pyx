"""The detectors of an engine: see detector_set.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqcore.detectors.detector cimport NOTIONAL_GIVEN, SIGNALS_MAX, Detector
from liqcore.event cimport *
from liqcore.instrument cimport Instrument

from liqcore.user_error import told

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
DETECTORS_MAX = 255              # signal_t.detector is a byte


cdef class DetectorSet:
    """The engine's only access to its detectors. detectors: Detector objects of different names, in the order of their numbers."""

    def __cinit__(self, detectors, tuple instruments, AuditRing audit):
        cdef int k, n
        self.detectors = tuple(detectors)
        self.size, self.count = len(self.detectors), len(instruments)
        for d in self.detectors:
            if not isinstance(d, Detector):
                raise TypeError(f"detectors: expected liqcore.Detector objects, got {type(d).__name__}")
        names = [d.name for d in self.detectors]
        if len(set(names)) != len(names):
            raise ValueError("detectors: the same name twice: " + ", ".join(names))
        if self.size > DETECTORS_MAX:
            raise ValueError(f"detectors: expected at most {DETECTORS_MAX}, got {self.size}")
        self.each = <PyObject**> calloc(self.size + 1, sizeof(PyObject*))
        self.want = <uint32_t*> calloc(self.size + 1, sizeof(uint32_t))
        self.window = <int64_t*> calloc(self.size + 1, sizeof(int64_t))
        self.mark = <uint8_t*> calloc(self.size + 1, 1)
        self.censored = <uint8_t*> calloc(self.count, 1)
        self.phases = <uint8_t*> calloc(self.size * self.count + 1, 1)
        self.whole_since = <int64_t*> calloc(self.count, sizeof(int64_t))
        self.emitted = <signal_t*> calloc((self.size + 1) * SIGNALS_MAX, sizeof(signal_t))
        if (self.each == NULL or self.want == NULL or self.window == NULL or self.mark == NULL or self.censored == NULL or self.phases == NULL
                or self.whole_since == NULL or self.emitted == NULL):
            raise MemoryError(f"no memory for {self.size} detectors of {self.count} instruments")
        for k in range(self.size):
            self.open_one(k, self.detectors[k], instruments, audit)
        for n in range(self.count):
            self.whole_since[n] = -NEVER
            self.censored[n] = SIGNAL_CENSORED if (<Instrument> instruments[n]).c.completeness == COMPLETENESS_CENSORED else 0
        for k in range(self.size):
            self.mark[k] = SIGNAL_MARK_NOTIONAL if self.basis and (<Detector> self.each[k]).basis == NOTIONAL_GIVEN else 0

    def open_one(self, int k, Detector d, tuple instruments, AuditRing audit):
        d.open_c(instruments)
        self.each[k] = <PyObject*> d
        self.want[k], self.window[k] = d.wants, d.window_ns
        self.wants |= d.wants
        self.window_ns = max(self.window_ns, d.window_ns)
        d.audit, d.place = audit, k + 1
        if d.basis != NOTIONAL_GIVEN and not self.based:
            self.basis, self.based = d.basis, True
        if self.cascade is None and isinstance(d, CascadeDetector):
            self.cascade = d

    def __dealloc__(self):
        free(self.each)
        free(self.want)
        free(self.window)
        free(self.mark)
        free(self.censored)
        free(self.phases)
        free(self.whole_since)
        free(self.emitted)

    cdef int push(self, const event_t* e, double notional, const market_t* m, uint8_t flags) noexcept nogil:
        """One event, after its market was updated. Returns the number of signals in `emitted`, or -1 - number if detectors in Python raised; then
        fail() raises, and the other detectors have seen the event."""
        cdef int k, count = 0, found
        cdef bint raised = False
        for k in range(self.size):
            if self.want[k] >> e.kind & 1:
                found = (<Detector> self.each[k]).push_c(e, notional, m, flags, &self.emitted[count])
                if found > 0:
                    self.finish(k, count, count + found, e.ts_recv)
                    count += found
                elif found < 0:
                    raised = True
        return -1 - count if raised else count

    cdef int timer(self, int32_t n, int64_t now) noexcept nogil:
        """Serve the deadlines of one instrument up to `now`. Returns as push does."""
        cdef int k, count = 0, found
        cdef bint raised = False
        for k in range(self.size):
            if (<Detector> self.each[k]).deadline_c(n) <= now:
                found = (<Detector> self.each[k]).timer_c(n, now, &self.emitted[count])
                if found > 0:
                    self.finish(k, count, count + found, now)
                    count += found
                elif found < 0:
                    raised = True
        return -1 - count if raised else count

    cdef int fail(self) except -1:
        """Raise the first exception of the last call; its notes name the others. An interrupt is raised before errors, so that it never becomes a
        note."""
        failures = []
        for d in self.detectors:
            if (<Detector> d).failure is not None:
                failures.append((<Detector> d).failure)
                (<Detector> d).failure = None
        failures.sort(key=lambda why: isinstance(why, Exception))
        for other in failures[1:]:
            if other is not failures[0]:
                owner = getattr(other, "liqcore_owner", "a detector")     # an exception with slots keeps no attribute
                failures[0].add_note(f"{owner} raised at the same event: {told(other)}")
        raise failures[0]

    cdef int64_t deadline(self, int32_t n) noexcept nogil:
        cdef int64_t t = NEVER
        cdef int k
        for k in range(self.size):
            t = min(t, (<Detector> self.each[k]).deadline_c(n))
        return t

    cdef int finish(self, int k, int first, int last, int64_t now) noexcept nogil:
        """Set the fields of a signal of detector k that only the engine can set."""
        cdef signal_t* s
        cdef int j
        for j in range(first, last):
            s = &self.emitted[j]
            s.detector = k + 1
            s.flags |= self.mark[k] | self.censored[s.instrument]
            if self.whole_since[s.instrument] == NEVER or now < self.whole_since[s.instrument] + self.window[k]:
                s.flags |= SIGNAL_UNCERTAIN
            self.phases[k * self.count + s.instrument] = s.phase if s.phase != EXHAUSTED else IDLE
        return 0

    cdef bint uncertain(self, int32_t n, int64_t now) noexcept nogil:
        """Whether some detector has not been re-warmed."""
        return self.whole_since[n] == NEVER or now < self.whole_since[n] + self.window_ns

    cdef bint feed(self, int32_t n, uint8_t code, int64_t now) noexcept nogil:
        """The feed of an instrument went down, had a gap, or is up again. Running episodes are forgotten, and signals are uncertain until the feed
        has been complete for a detector's window. False = no change: the feed was complete and still is."""
        cdef int k
        if code == FEED_UP and not self.uncertain(n, now):
            return False
        if code == FEED_DOWN:
            self.whole_since[n] = NEVER
        elif code == FEED_UP or self.whole_since[n] != NEVER:       # a gap does not end the time in which the feed is down
            self.whole_since[n] = now
        for k in range(self.size):
            (<Detector> self.each[k]).uncertain_c(n, NEVER if self.whole_since[n] == NEVER else now + self.window[k])
            self.phases[k * self.count + n] = IDLE
        return True

    def place(self, detector) -> int:
        """Index of a detector by name or number (from 1); KeyError."""
        for k in range(self.size):
            if detector == self.detectors[k].name or (isinstance(detector, int) and detector == k + 1):
                return k
        raise KeyError(f"detector {detector!r}: expected one of {', '.join(d.name for d in self.detectors) or 'none: the engine has no detectors'}")

    def phase(self, int k, int n) -> int:
        """The phase in the last signal of detector k for instrument n; for a cascade its present phase."""
        cdef int own = (<Detector> self.each[k]).phase_c(n)
        return own if own >= 0 else self.phases[k * self.count + n]

    cdef list save(self):
        cdef int k, n
        parts = [(<char*> self.whole_since)[:self.count * sizeof(int64_t)], (<char*> self.phases)[:self.size * self.count]]
        return parts + [(<Detector> self.each[k]).save_c(n) for k in range(self.size) for n in range(self.count)]

    cdef int load(self, list parts) except -1:
        """ValueError, and no change, unless the parts are save() of a set of the same detectors and instruments."""
        cdef int done = 0, k
        if len(parts) != 2 + self.size * self.count or len(parts[0]) != self.count * <Py_ssize_t> sizeof(int64_t) \
                or len(parts[1]) != self.size * self.count:
            raise ValueError("detectors: the snapshot is of other detectors or instruments")
        before = self.save()
        try:
            for done in range(self.size * self.count):
                (<Detector> self.each[done // self.count]).load_c(done % self.count, parts[2 + done])
        except ValueError:
            for k in range(done):
                (<Detector> self.each[k // self.count]).load_c(k % self.count, before[2 + k])
            raise
        memcpy(self.whole_since, <const char*> <bytes> parts[0], self.count * sizeof(int64_t))
        memcpy(self.phases, <const char*> <bytes> parts[1], self.size * self.count)
        return 0
