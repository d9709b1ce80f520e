"""The end of the feed: the events of one frame go to the engine and its requests to the venue, in one call, in the same way live and in replay.

There are two venues: the simulated one (PaperSink), and the gateway's (LiveSink), whose answers arrive later as reports. There is no other
difference.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport fabs, log2
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import numpy as np

from liqcore.event import as_events

from liqcore.engine cimport Engine
from liqcore.event cimport (ALL_INSTRUMENTS, CONTROL, CONTROL_PAUSE, CONTROL_READY, FEED, FEED_DOWN, FEED_GAP, GATE_LATE, GATE_SYMBOL, LIQUIDATION,
                            TRADE, event_t, market_t)
from liqcore.market cimport last_holds, mark_alive
from liqcore.simulation.paper cimport Paper
from liqshell.run.dispatch cimport Dispatch
from liqshell.run.feed_listener cimport EventSink

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t USUAL_NS = 300000000000        # the usual way of a trade is that of the last five to ten minutes

#: a contract in a bin of time: highest, lowest and last price of its trades (0 = no trade), receipt of its last liquidation (ns, 0 = none), counts
PULSE_DTYPE = np.dtype([("high", "f8"), ("low", "f8"), ("last", "f8"), ("ts_liquidation", "i8"), ("trades", "i4"), ("liquidations", "i4")])
assert PULSE_DTYPE.itemsize == sizeof(pulse_t)


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
    wanted = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")]
    for k in range(LATENCY_BUCKETS):
        seen += histogram[k]
        while wanted and total and seen >= wanted[0][0] * total and seen > 0:
            out[wanted.pop(0)[1]] = 2.0 ** ((k + 0.5) / 10.0)
    return out


cdef class EngineSink(EventSink):
    """The common part of both venues. A silence longer than gap_ns between two frames with events becomes a FEED_GAP before the second: quotes are
    repeated every 3 s even in a dead market, so silence means that data is missing. It depends on the times of receipt alone, so a replay finds it,
    too.

    on_signals(signals): called with the signals of a frame, after all trading actions.
    """

    def __init__(self, Engine engine not None, int64_t gap_ns, on_signals=None):
        if gap_ns <= 0:
            raise ValueError(f"gap_ns: expected a positive time, got {gap_ns}")
        self.engine = engine
        self.gap_ns = gap_ns
        self.on_signals = on_signals
        self.last_recv = 0

    cdef int step_c(self, const event_t* e) except -1:
        """Process one event: the engine, then its requests."""
        raise NotImplementedError("EngineSink: made as PaperSink or LiveSink")

    cdef int advance_c(self, int64_t ts) except -1:
        """Time has passed without an event."""
        raise NotImplementedError("EngineSink: made as PaperSink or LiveSink")

    cdef int64_t next_c(self) except? -1:
        """When advance_c should be called next."""
        return self.engine.wake()

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        return self.take(events, n)

    cdef int take(self, const event_t* events, Py_ssize_t n) except -1:
        if n == 0:
            return 0
        if self.last_recv and events[0].ts_recv - self.last_recv > self.gap_ns:
            self.gaps += 1
            self.mark_c(ALL_INSTRUMENTS, FEED_GAP, self.last_recv, events[0].ts_recv, 0)
        self.pass_c(events, n)
        self.last_recv = events[n - 1].ts_recv
        return 0

    cdef int pass_c(self, const event_t* events, Py_ssize_t n) except -1:
        """The events of one frame into the engine, without a look at silence."""
        cdef Py_ssize_t k
        cdef int64_t begun = monotonic(), spent, asked = self.engine.out.head
        for k in range(n):
            if events[k].kind == LIQUIDATION:
                note(self.delay_ns, events[k].ts_recv - events[k].ts_event)
            self.step_c(&events[k])
        self.frames += 1
        self.events += n
        spent = monotonic() - begun
        note(self.step_ns, spent)
        if self.engine.out.head != asked:
            note(self.order_ns, spent)
        return self.emit_signals()

    cdef int emit_signals(self) except -1:
        if self.engine.emitted_count:
            signals = self.engine.take()
            if self.on_signals is not None:
                self.on_signals(signals)
        return 0

    cdef int report_c(self, const event_t* e) except -1:
        return self.step_c(e)

    def report(self, event):
        """One event that did not come from a feed (an array of one EVENT_DTYPE row): the venue's or the operator's of a live run, a judge's of
        any run. It is processed, and the engine's requests are sent. Its ts_recv is raised to the engine's time if it is earlier. Returns the
        processed row as bytes, for the recording."""
        cdef size_t address
        cdef event_t e
        rows = as_events(event)
        if len(rows) != 1:
            raise ValueError(f"report: expected one event, got {len(rows)}")
        address = rows.ctypes.data
        e = (<const event_t*> address)[0]
        e.ts_recv = max(e.ts_recv, self.engine.clock.now)
        self.report_c(&e)
        self.emit_signals()
        return (<const char*> &e)[:sizeof(event_t)]

    def rows(self, events):
        """The events of one frame as an array of EVENT_DTYPE: the way of frames that needed the general parser, and of replay."""
        cdef size_t address
        events = as_events(events)
        address = events.ctypes.data
        self.take(<const event_t*> address, len(events))

    def feed(self, int state, int64_t ts_event, int64_t ts_recv):
        """The feed's state changed; ts_event = last good data."""
        if state == FEED_DOWN:
            self.last_recv = 0
        self.mark_c(ALL_INSTRUMENTS, state, ts_event, ts_recv, 0)

    cdef int mark_c(self, int instrument, int state, int64_t ts_event, int64_t ts_recv, int streams) except -1:
        """These Streams (0 = all) of an instrument, or of all, have changed their state."""
        cdef event_t e
        e.ts_event = ts_event
        e.ts_recv = max(ts_recv, self.engine.clock.now)
        e.price = e.qty = e.aux_price = e.aux_qty = 0.0
        e.id = 0
        e.instrument = instrument
        e.kind = FEED
        e.side = 0
        e.flags = streams
        e.code = state
        return self.step_c(&e)

    def advance(self, int64_t ts):
        """Let time pass up to ts (ns): deadlines, and at a simulated venue its answers. A time that has passed does nothing."""
        if ts > self.engine.clock.now:
            self.advance_c(ts)
            self.emit_signals()

    @property
    def next_deadline(self):
        """When advance() should be called next if nothing arrives before, ns; None = nothing is waiting."""
        cdef int64_t t = self.next_c()
        return None if t == NEVER else t

    @property
    def last_ts_recv(self):
        """Receipt of the last frame with events, ns; 0 = none since the feed came up."""
        return self.last_recv

    def latency(self) -> dict:
        """Histograms in ns (7 % relative error): step (decoded -> done), order (the same, where something was asked: live, until it was on the
        socket), delay (venue -> us)."""
        return {"step_ns": summary(self.step_ns), "order_ns": summary(self.order_ns), "delay_ns": summary(self.delay_ns)}


cdef class PaperSink(EngineSink):
    """The venue is the simulated one of a liqcore.Paper."""

    def __init__(self, Paper paper not None, int64_t gap_ns, on_signals=None):
        EngineSink.__init__(self, paper.engine, gap_ns, on_signals)
        self.paper = paper

    cdef int step_c(self, const event_t* e) except -1:
        return self.paper.step_c(e)

    cdef int advance_c(self, int64_t ts) except -1:
        self.paper.advance_c(ts)
        self.paper.engine.advance_c(ts)
        self.paper.pump()
        return 0

    cdef int64_t next_c(self) except? -1:
        cdef int what = 0
        return self.paper.next_c(&what)


cdef class LiveSink(EngineSink):
    """The venue is a real one: requests are sent through `dispatch`, answers enter by report(). dispatch None = replay of a live run: its requests
    were sent then, and are discarded now."""

    def __init__(self, Engine engine not None, int64_t gap_ns, on_signals=None):
        EngineSink.__init__(self, engine, gap_ns, on_signals)
        self.dispatch = None

    cdef int pump(self) except -1:
        if self.dispatch is None:
            self.engine.out.tail = self.engine.out.head
            return 0
        return 0 if self.dispatch.pump_c(self.engine.clock.now) >= 0 else -1

    cdef int step_c(self, const event_t* e) except -1:
        try:
            self.engine.step_c(e)
        finally:                    # a policy may raise: earlier requests, above all exits, are sent
            self.pump()
        return 0

    cdef int advance_c(self, int64_t ts) except -1:
        try:
            self.engine.advance_c(ts)
        finally:
            self.pump()
        return 0

    cdef int report_c(self, const event_t* e) except -1:
        self.reports += 1
        self.step_c(e)
        if self.dispatch is not None and 0 <= e.instrument < self.engine.count:
            self.dispatch.save_c(e.instrument)
        return 0

    def diverges(self, int instrument, double share, int64_t now) -> bool:
        """Whether mark and last price are further apart than this share of the mark; False while one of them is not valid. now: ns."""
        cdef market_t* m
        if not 0 <= instrument < self.engine.count:
            raise IndexError(f"no instrument {instrument}")
        m = &self.engine.market[instrument]
        return mark_alive(m, now) and last_holds(m) and fabs(m.last - m.mark) > share * m.mark


cdef class LateWatch:
    """Whether the trades of a venue are late: their delay from the venue to us is late_ns longer than usual, so prices are old at receipt.

    The usual delay is the shortest of the last five to ten minutes, which includes the difference of the two clocks. It is at most late_ns, so a
    venue that is late from its first trade on counts as late. Trades are in time again after they have been in time for late_ns. Quotes do not count,
    because venues repeat that of a quiet contract with its old time.
    """

    def __init__(self, int64_t late_ns):
        if late_ns <= 0:
            raise ValueError(f"late_ns: expected a positive time, got {late_ns}")
        self.late_ns = late_ns
        self.usual_ns[0] = self.usual_ns[1] = NEVER

    cdef int update(self, const event_t* events, Py_ssize_t n) noexcept nogil:
        """The events of one frame, of which the newest trade counts: CONTROL_PAUSE when they begin to be late, CONTROL_READY when they are in time
        again, else 0."""
        cdef int64_t ts = events[0].ts_recv, newest = 0, way, usual
        cdef Py_ssize_t k
        for k in range(n):
            if events[k].kind == TRADE and events[k].ts_event > newest:
                newest = events[k].ts_event
        if newest == 0:
            return 0
        if ts >= self.usual_since + USUAL_NS:
            self.usual_ns[1] = self.usual_ns[0] if ts < self.usual_since + 2 * USUAL_NS else NEVER
            self.usual_ns[0] = NEVER
            self.usual_since = ts
        way = ts - newest
        usual = min(self.late_ns, min(self.usual_ns[0], self.usual_ns[1]))
        self.usual_ns[0] = min(self.usual_ns[0], way)
        if way - usual > self.late_ns:
            way = self.until
            self.until = ts + self.late_ns
            if way:
                return 0
            self.count += 1
            return CONTROL_PAUSE
        if self.until and ts > self.until:
            self.until = 0
            return CONTROL_READY
        return 0

    def frame(self, events) -> int:
        """The same of an array of EVENT_DTYPE."""
        cdef size_t address
        events = as_events(events)
        address = events.ctypes.data
        return self.update(<const event_t*> address, len(events)) if len(events) else 0


cdef class VenueSink(EventSink):
    """One venue's frames for an EngineSink, if several venues share an engine: its silences and interruptions concern its own instruments alone.

    first, count: the venue's instruments in the engine; count -1 = all there are, whose marks are one event for all. watched: they are not
    traded: before anything else, the gate of each is closed (GATE_SYMBOL), and nobody opens it.

    late_ns: of the LateWatch; 0 = none. When trades come late, GATE_LATE is closed before the frame goes anywhere. It follows from the frames alone,
    so a replay finds it too.
    """

    def __init__(self, EngineSink sink not None, int64_t gap_ns, int first=0, int count=-1, watched=False, int64_t late_ns=0):
        if gap_ns <= 0:
            raise ValueError(f"gap_ns: expected a positive time, got {gap_ns}")
        if count != -1 and not (count > 0 and 0 <= first <= sink.engine.count - count):
            raise ValueError(f"first, count: {first}, {count} are not instruments of an engine of {sink.engine.count}")
        self.sink = sink
        self.gap_ns = gap_ns
        self.first = first
        self.count = count
        self.watched = watched
        self.late = LateWatch(late_ns) if late_ns else None
        self.last_recv = self.gap_recv = 0

    def __dealloc__(self):
        PyMem_RawFree(self.pulses)

    def watch(self, int64_t bin_ns, on_pulse not None):
        """From now on, on_pulse(begin of the bin in ns, an array of PULSE_DTYPE, one row a contract of the venue) is called for every bin of bin_ns
        (counted from 1970) in which the venue's stream delivered something, by the first frame after it, before that frame goes anywhere."""
        if bin_ns <= 0 or self.pulses != NULL:
            raise ValueError(f"watch: expected a positive time, once, got {bin_ns}")
        self.pulses = <pulse_t*> PyMem_RawCalloc(self.width(), sizeof(pulse_t))
        if self.pulses == NULL:
            raise MemoryError(f"VenueSink: no memory for {self.width()} contracts")
        self.pulse_ns, self.pulse_since, self.on_pulse = bin_ns, 0, on_pulse

    cdef int width(self) noexcept:
        """How many contracts the venue has."""
        return self.count if self.count != -1 else self.sink.engine.count

    cdef int feel(self, const event_t* events, Py_ssize_t n) except -1:
        """Add to the bin; a finished bin is reported."""
        cdef int64_t ts = events[0].ts_recv
        cdef int count = self.width(), where
        cdef Py_ssize_t k
        cdef pulse_t* p
        cdef char[::1] view
        if ts >= self.pulse_since + self.pulse_ns:
            if self.pulse_since:
                rows = np.empty(count, PULSE_DTYPE)
                view = rows.view("S1").view(np.int8)
                memcpy(&view[0], self.pulses, count * sizeof(pulse_t))
                memset(self.pulses, 0, count * sizeof(pulse_t))
                self.on_pulse(self.pulse_since, rows)
            self.pulse_since = ts - ts % self.pulse_ns
        for k in range(n):
            where = events[k].instrument - self.first
            if not 0 <= where < count:
                continue
            p = &self.pulses[where]
            if events[k].kind == TRADE:
                p.high = max(p.high, events[k].price)
                p.low = min(p.low, events[k].price) if p.trades else events[k].price
                p.last = events[k].price
                p.trades += 1
            elif events[k].kind == LIQUIDATION:
                p.ts_liquidation = events[k].ts_recv
                p.liquidations += 1
        return 0

    cdef int begin(self, int64_t ts_recv) except -1:
        """The first event of a venue that is watched only."""
        cdef int n
        self.watched = False
        for n in range(self.first, self.first + self.width()):
            self.gate(n, CONTROL_PAUSE, GATE_SYMBOL, ts_recv)
        return 0

    cdef int time(self, const event_t* events, Py_ssize_t n) except -1:
        """GATE_LATE of all contracts of the venue closes or opens, where the trades of this frame say so."""
        cdef int64_t ts_recv = events[0].ts_recv
        cdef int code
        if not self.late.usual_since and self.sink.engine.market[self.first].gates >> GATE_LATE & 1:
            self.late.until = 1             # as the process before left it
        code = self.late.update(events, n)
        if code == 0:
            return 0
        if self.count == -1:
            return self.gate(ALL_INSTRUMENTS, code, GATE_LATE, ts_recv)
        for n in range(self.first, self.first + self.count):
            self.gate(n, code, GATE_LATE, ts_recv)
        return 0

    cdef int gate(self, int instrument, int code, int gate, int64_t ts_recv) except -1:
        """A gate of a contract closes (CONTROL_PAUSE) or opens (CONTROL_READY)."""
        cdef event_t e
        memset(&e, 0, sizeof(e))
        e.ts_recv = e.ts_event = max(ts_recv, self.sink.engine.clock.now)
        e.kind, e.code, e.flags, e.instrument = CONTROL, code, gate, instrument
        return self.sink.step_c(&e)

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        return self.take(events, n)

    cdef int take(self, const event_t* events, Py_ssize_t n) except -1:
        if n == 0:
            return 0
        if self.watched:
            self.begin(events[0].ts_recv)
        if self.last_recv and events[0].ts_recv - self.last_recv > self.gap_ns:
            self.gaps += 1
            self.sink.gaps += 1
            self.gap_recv = events[0].ts_recv
            self.mark(FEED_GAP, self.last_recv, self.gap_recv)
        if self.late is not None:
            self.time(events, n)
        if self.pulses != NULL:
            self.feel(events, n)
        self.sink.pass_c(events, n)
        self.last_recv = events[n - 1].ts_recv
        self.frames += 1
        self.events += n
        return 0

    cdef int mark(self, int state, int64_t ts_event, int64_t ts_recv) except -1:
        cdef int n
        if self.watched:
            self.begin(ts_recv)
        if self.count == -1:
            return self.sink.mark_c(ALL_INSTRUMENTS, state, ts_event, ts_recv, 0)
        for n in range(self.first, self.first + self.count):
            self.sink.mark_c(n, state, ts_event, ts_recv, 0)
        return 0

    def rows(self, events):
        """The events of one frame as an array of EVENT_DTYPE: frames that needed the general parser, and replay."""
        cdef size_t address
        events = as_events(events)
        address = events.ctypes.data
        self.take(<const event_t*> address, len(events))

    def polled(self, events):
        """The same for an answer to a poll, which is no activity of the stream."""
        cdef size_t address
        events = as_events(events)
        address = events.ctypes.data
        if len(events):
            if self.watched:
                self.begin(events["ts_recv"][0])
            self.sink.pass_c(<const event_t*> address, len(events))
            self.events += len(events)

    def feed(self, int state, int64_t ts_event, int64_t ts_recv, concerns=None):
        """The venue's feed came up, went down or has a gap; ts_event = last good data. concerns: pairs of an instrument of the engine (-1 = all) and
        its Stream bits (0 = all), where it is not the whole feed."""
        if state == FEED_DOWN:
            self.last_recv = 0
        if state == FEED_GAP:
            self.gaps += 1
            self.sink.gaps += 1
        if concerns is None:
            self.mark(state, ts_event, ts_recv)
        else:
            if self.watched:
                self.begin(ts_recv)
            for n, streams in concerns:
                self.sink.mark_c(n, state, ts_event, ts_recv, streams)
        self.sink.emit_signals()

    @property
    def last_ts_recv(self):
        """Receipt of the last frame with events, ns; 0 = none since the feed came up."""
        return self.last_recv


cdef class ConnectionSink(EventSink):
    """The frames of one connection for its venue's sink. A silence of this connection while others of the venue send is reported to on_gap(last
    receipt, receipt of the frame that ends it), before that frame is processed. The caller knows the affected contracts, and records it. The venue's
    sink finds a silence of the whole venue.

    gap_ns: silence that means missing data; 0 = the connection has no regular events, so silence has no meaning.
    """

    def __init__(self, VenueSink venue not None, int64_t gap_ns, on_gap=None):
        if gap_ns < 0:
            raise ValueError(f"gap_ns: expected a time, or 0, got {gap_ns}")
        self.venue = venue
        self.gap_ns = gap_ns
        self.on_gap = on_gap
        self.last_recv = 0

    cdef int on_receipt(self, int64_t ts_recv) except -1:
        """Note activity. A silence of the whole venue has been reported as such."""
        cdef int64_t last = max(self.last_recv, self.venue.gap_recv) if self.last_recv else 0
        self.last_recv = ts_recv
        if not last or not self.gap_ns or ts_recv - last <= self.gap_ns or self.on_gap is None:
            return 0
        if not self.venue.last_recv or ts_recv - self.venue.last_recv <= self.venue.gap_ns:
            self.on_gap(last, ts_recv)
        return 0

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        if n > 0:
            self.on_receipt(events[0].ts_recv)
        return self.venue.take(events, n)

    def rows(self, events):
        """The events of one frame as an array of EVENT_DTYPE: frames that needed the general parser."""
        if len(events):
            self.on_receipt(events["ts_recv"][0])
        self.venue.rows(events)

    def down(self):
        """The connection was lost, which replaces its silence."""
        self.last_recv = 0
