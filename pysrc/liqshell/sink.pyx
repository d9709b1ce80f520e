"""The end of the feed: events of one frame go into the paper engine, in one crossing, live and in replay alike."""

from libc.math cimport log2
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from liqcore.event import as_events

from liqcore.event cimport ALL_INSTRUMENTS, FEED, FEED_DOWN, FEED_GAP, LIQUIDATION, event_t
from liqcore.paper cimport Paper
from liqshell.wire cimport EventSink


cdef inline int64_t monotonic() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef inline void note(int64_t* histogram, int64_t ns) noexcept nogil:
    histogram[min(LATENCY_BUCKETS - 1, <int> (log2(<double> ns) * 10.0)) if ns > 0 else 0] += 1


cdef dict summary(const int64_t* histogram):
    """n and quantiles in ns; a bucket stands for its geometric middle."""
    cdef int64_t total = 0, seen = 0
    cdef int k
    for k in range(LATENCY_BUCKETS):
        total += histogram[k]
    out = {"n": total}
    wanted = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (1.0, "max")]
    for k in range(LATENCY_BUCKETS):
        seen += histogram[k]
        while wanted and total and seen >= wanted[0][0] * total and seen > 0:
            out[wanted.pop(0)[1]] = 2.0 ** ((k + 0.5) / 10.0)
    return out


cdef class PaperSink(EventSink):
    """Feeds a liqcore.Paper. A silence longer than gap_ns between two frames with events becomes a FEED_GAP before the second: quotes are repeated
    every 3 s even in a dead market, so silence means that data is missing. It follows from the times of receipt alone, so a replay finds it too.

    on_signals(signals): called with the signals of a frame, after everything that trades has been done.
    """

    def __init__(self, Paper paper not None, int64_t gap_ns, on_signals=None):
        if gap_ns <= 0:
            raise ValueError(f"gap_ns: expected a positive time, got {gap_ns}")
        self.paper = paper
        self.gap_ns = gap_ns
        self.on_signals = on_signals
        self.last_recv = 0

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        return self.take(events, n)

    cdef int take(self, const event_t* events, Py_ssize_t n) except -1:
        cdef Py_ssize_t k
        cdef event_t gap
        cdef int64_t begun = monotonic(), spent, asked = self.paper.engine.out.head
        if n == 0:
            return 0
        if self.last_recv and events[0].ts_recv - self.last_recv > self.gap_ns:
            self.gaps += 1
            self.feed(FEED_GAP, self.last_recv, events[0].ts_recv)
        for k in range(n):
            if events[k].kind == LIQUIDATION:
                note(self.delay_ns, events[k].ts_recv - events[k].ts_event)
            self.paper.step_c(&events[k])
        self.last_recv = events[n - 1].ts_recv
        self.frames += 1
        self.events += n
        spent = monotonic() - begun
        note(self.step_ns, spent)
        if self.paper.engine.out.head != asked:
            note(self.order_ns, spent)
        if self.paper.engine.said_count:
            signals = self.paper.engine.take()
            if self.on_signals is not None:
                self.on_signals(signals)
        return 0

    def rows(self, events):
        """The events of one frame as an array of EVENT_DTYPE: the way of frames that needed the general parser, and of replay."""
        cdef size_t address
        events = as_events(events)
        address = events.ctypes.data
        self.take(<const event_t*> address, len(events))

    def feed(self, int state, int64_t ts_event, int64_t ts_recv):
        """The feed's state changed; ts_event = last good data."""
        cdef event_t e
        e.ts_event = ts_event
        e.ts_recv = max(ts_recv, self.paper.engine.clock.now)
        e.price = e.qty = e.aux_price = e.aux_qty = 0.0
        e.id = 0
        e.instrument = ALL_INSTRUMENTS
        e.kind = FEED
        e.side = 0
        e.flags = 0
        e.code = state
        if state == FEED_DOWN:
            self.last_recv = 0
        self.paper.step_c(&e)

    @property
    def last_ts_recv(self):
        """Receipt of the last frame with events, ns; 0 = none since the feed came up."""
        return self.last_recv

    def latency(self) -> dict:
        """Histograms in ns (7 % relative error): step (decoded -> done), order (the same, where something was asked), delay (venue -> us)."""
        return {"step_ns": summary(self.step_ns), "order_ns": summary(self.order_ns), "delay_ns": summary(self.delay_ns)}
