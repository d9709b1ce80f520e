"""Paper trading: see paper.pxd."""

from liqcore.argument cimport describe, whole
from liqcore.event cimport *

from liqcore.event import as_events

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Paper:
    """An engine trading at a simulated venue. Feed it market events; it routes requests and reports between the two in order of time.

    The same events in the same order give the same audit stream, for any division into calls and any calls of advance() in between.
    """

    def __init__(self, Engine engine not None, SimVenue venue not None):
        if engine.instruments != venue.instruments:
            raise ValueError("Paper: engine and venue must be made with the same instruments in the same order")
        self.engine = engine
        self.venue = venue
        venue.market = engine.market

    cdef void pump(self) noexcept nogil:
        cdef request_t* r = self.engine.next_request()
        while r != NULL:
            self.venue.submit(r, r.ts)
            r = self.engine.next_request()

    cdef int64_t next_c(self, int* what) noexcept nogil:
        """Time and kind of the next action that is not a market event. At one moment the order is: arrivals at the venue, funding, ends of waits for
        a price, reports, the engine's own deadlines."""
        cdef int64_t at = self.venue.next_arrival(), t = self.venue.next_funding()
        what[0] = SERVE_ARRIVAL
        if t < at:
            at = t
            what[0] = SERVE_FUNDING
        t = self.venue.next_wait()
        if t < at:
            at = t
            what[0] = SERVE_WAIT
        t = self.venue.next_report()
        if t < at:
            at = t
            what[0] = SERVE_REPORT
        t = self.engine.wake()
        if t < at:
            at = t
            what[0] = SERVE_DEADLINE
        return at

    cdef int serve_c(self, int what) except -1:
        """Serve the action that next_c returned, at its own moment."""
        cdef event_t e
        if what == SERVE_ARRIVAL:
            self.venue.arrive()
        elif what == SERVE_FUNDING:
            self.venue.fund()
        elif what == SERVE_WAIT:
            self.venue.end_waits()
        elif what == SERVE_REPORT:
            e = self.venue.reports[self.venue.state.reports_tail & self.venue.mask]
            self.venue.state.reports_tail += 1
            self.engine.step_c(&e)
            self.pump()
        else:
            self.engine.advance_c(self.engine.wake())
            self.pump()
        return 0

    cdef int advance_c(self, int64_t now) except -1:
        """Serve all actions up to `now`, each at its own moment."""
        cdef int what = 0
        while self.next_c(&what) <= now:
            self.serve_c(what)
        return 0

    cdef int step_c(self, const event_t* e) except -1:
        if self.engine.clock.now <= e.ts_recv < TIME_MAX:
            self.advance_c(e.ts_recv)
        return self.hand_in_c(e)

    cdef int hand_in_c(self, const event_t* e) except -1:
        """Pass in a market event; earlier actions have been served."""
        cdef int64_t accepted = self.engine.clock.events
        self.engine.step_c(e)
        if self.engine.clock.events != accepted:
            self.venue.on_market(e)
        self.pump()
        return 0

    def run(self, events) -> list:
        """Feed an array of EVENT_DTYPE; returns the signals."""
        cdef Py_ssize_t n, count
        cdef size_t address
        cdef const event_t* e
        events = as_events(events)
        address = events.ctypes.data
        e = <const event_t*> address
        count = len(events)
        if count and e.ts_recv >= self.engine.clock.now:          # validation counts a time that goes back
            self.engine.check_times(e, "row 0: ")
        out = []
        for n in range(count):
            self.step_c(&e[n])
            if self.engine.emitted_count:
                out.extend(self.engine.take())
        return out

    def advance(self, ts) -> list:
        """Let time pass up to ts (ns). ValueError for a time in another unit."""
        cdef event_t e
        e.ts_event = e.ts_recv = whole(ts, "ts")
        e.kind = TIMER
        self.engine.check_times(&e, "advance: ")
        if e.ts_recv >= self.engine.clock.now:
            self.advance_c(e.ts_recv)
            self.engine.advance_c(e.ts_recv)
            self.pump()
        return list(self.engine.take())

    @property
    def next_deadline(self):
        """When advance() should be called next if nothing arrives before, ns; None = nothing is waiting."""
        cdef int what = 0
        cdef int64_t t = self.next_c(&what)
        return None if t == NEVER else t

    def snapshot(self) -> bytes:
        """Engine and venue together."""
        engine = self.engine.snapshot()
        return len(engine).to_bytes(8, "little") + engine + self.venue.snapshot()

    def restore(self, bytes data):
        """Restore a snapshot() of a Paper with the same instruments; ValueError for others."""
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 + size:
            raise ValueError("paper snapshot: truncated")
        self.venue.check(data[8 + size:])      # first, so that a refusal leaves both as they were
        self.engine.restore(data[8:8 + size])
        self.venue.restore(data[8 + size:])


describe(Paper, {"engine": "The Engine that trades.", "venue": "The SimVenue that it trades at."})
