"""A detector on its own: see single.pxd."""

from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, string
from liqcore.detectors.detector cimport SIGNALS_MAX
from liqcore.event cimport *
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_ticker, market_trade
from liqcore.snapshot cimport pack, unpack

import numpy as np

from liqcore.event import as_events
from liqcore.parallel import in_threads

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject** ob_item

SNAPSHOT_NAME = b"liqcore-standalone-1\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Standalone:
    """A Detector on one instrument: feed it liquidations, get its signals. It runs the code of an Engine, deadlines included.

    detector: a fresh one (registry.make_detector). instrument: liqcore.Instrument or a name. Times are ns and never go back.
    """

    def __init__(self, Detector detector not None, instrument="X"):
        if self.detector is not None:
            raise RuntimeError("Standalone.__init__ called twice: make a new one")
        self.instrument = instrument if isinstance(instrument, Instrument) else Instrument(string(instrument, "instrument"))
        detector.open_c((self.instrument,))
        self.detector = detector
        self.now = -NEVER
        self.emitted = []

    cdef int idle(self) except -1:
        if self.running:
            raise RuntimeError(f"{self!r} is running in another thread")
        return 0

    cdef int gather(self) except -1:
        cdef int n
        for n in range(self.fresh_n):
            self.emitted.append(Signal.of(&self.fresh[n]))
        self.fresh_n = 0
        return 0

    cdef int keep(self, const signal_t* s, int count) except -1 nogil:
        cdef int n
        if count < 0:
            with gil:
                self.detector.fail()
        if self.fresh_n + count > FRESH_MAX:
            with gil:
                self.gather()
        for n in range(count):
            self.fresh[self.fresh_n] = s[n]
            self.fresh[self.fresh_n].detector = 1
            self.fresh_n += 1
        return 0

    cdef int pass_time(self, int64_t ts) except -1 nogil:
        cdef signal_t out[SIGNALS_MAX]
        cdef int64_t due = self.detector.deadline_c(0)
        while due <= ts:
            self.keep(out, self.detector.timer_c(0, due, out))
            due = self.detector.deadline_c(0)
        self.now = ts
        return 0

    cdef int feed(self, const event_t* e) except -1 nogil:
        cdef signal_t out[SIGNALS_MAX]
        cdef double notional = 0.0
        if e.ts_recv < self.now or not 0 <= e.ts_recv < TIME_MAX:
            with gil:
                raise ValueError(f"ts: expected a time from {max(self.now, 0)} ns on (time does not go back), got {e.ts_recv}")
        self.pass_time(e.ts_recv)
        if e.kind == LIQUIDATION:
            notional = e.aux_price if e.aux_price > 0.0 else e.qty * self.instrument.c.multiplier * e.price
        elif e.kind == TRADE:
            market_trade(&self.market, e, self.instrument.c.tick)
        elif e.kind == BBO:
            market_quote(&self.market, e, QUOTE_AGE_NS)
        elif e.kind == TICKER:
            market_ticker(&self.market, e)
        if e.kind < 32 and self.detector.wants >> e.kind & 1:
            self.keep(out, self.detector.push_c(e, notional, &self.market, 0, out))
        return 0

    def push(self, int64_t ts, int side, double notional, double price=0.0) -> list:
        """One liquidation: side LONG or SHORT (the one closed by force), notional in quote currency. Returns the signals, earlier ones first."""
        cdef event_t e
        if not (0.0 < notional <= 1099511627776.0) or side not in (1, -1) or not isfinite(price) or price < 0.0:
            raise ValueError("expected side LONG or SHORT, a notional above 0 and at most 2**40 and a price of at least 0, "
                             f"got {side!r}, {notional!r}, {price!r}")
        memset(&e, 0, sizeof(e))
        e.ts_event = e.ts_recv = ts
        e.kind = LIQUIDATION
        e.side = side
        e.aux_price = notional
        e.price = price
        e.qty = notional / price if price > 0.0 else notional
        self.idle()
        self.feed(&e)
        return self.take()

    def run(self, events) -> list:
        """Market events (EVENT_DTYPE, instrument 0, in order of ts_recv) in order; returns the signals. Other threads run meanwhile."""
        return Standalone.run_all((self,), events)[0]

    @staticmethod
    def run_all(streams, events, int threads=2) -> list:
        """A feed of many instruments, each in a stream of its own, in parallel. Returns the signals of each stream, equal to those of run().

        streams: Standalones, streams[k] for the events of instrument k. events: market events (EVENT_DTYPE), each instrument's in order of ts_recv.
        threads: how many at once, each on a CPU. ValueError names the invalid event; the streams have then processed different numbers of events.
        """
        cdef Standalone stream
        cdef list each = list(streams)
        if not each or not all(isinstance(stream, Standalone) for stream in each) or len(set(map(id, each))) < len(each):
            raise ValueError(f"streams: expected at least one Standalone, none of them twice, got {each!r}")
        if threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        events = as_events(events)
        counts = _counts(events, len(each))
        owners, loads = np.zeros(len(each), np.int32), [0] * min(threads, len(each))
        for n in np.argsort(-counts, kind="stable").tolist():          # the largest first, each to the thread with the least work
            owners[n] = loads.index(min(loads))
            loads[owners[n]] += counts[n]
        for stream in each:
            stream.idle()
        try:
            for stream in each:
                stream.running = True
            in_threads(lambda mine: _run_share(each, owners, mine, events), range(len(loads)), len(loads))
        finally:
            for stream in each:
                stream.running = False
        return [stream.take() for stream in each]

    def advance(self, int64_t ts) -> list:
        """Let time pass up to and including ts."""
        self.idle()
        if ts < self.now:
            raise ValueError(f"ts: expected at least {self.now} ns (time does not go back), got {ts}")
        self.pass_time(ts)
        return self.take()

    def uncertain(self, int64_t until) -> None:
        """The feed had a gap: the running episode is forgotten, and signals before `until` are UNCERTAIN."""
        self.idle()
        self.detector.uncertain_c(0, until)

    def take(self) -> list:
        """Signals that were not returned yet (after a call that raised)."""
        self.idle()
        self.gather()
        out, self.emitted = self.emitted, []
        return out

    @property
    def next_deadline(self):
        """When advance() should be called next, ns; None = nothing is waiting."""
        cdef int64_t due = self.detector.deadline_c(0)
        return None if due == NEVER else due

    def snapshot(self) -> bytes:
        """The detector's whole state, for restore()."""
        self.idle()
        return pack(SNAPSHOT_NAME, [(<char*> &self.now)[:sizeof(self.now)], (<char*> &self.market)[:sizeof(market_t)], self.detector.save_c(0)])

    def restore(self, bytes data):
        """Continue from a snapshot of the same detector with the same settings; ValueError, and no change, otherwise."""
        cdef list parts = unpack(SNAPSHOT_NAME, data, "detector")
        self.idle()
        if len(parts) != 3 or len(parts[0]) != sizeof(self.now) or len(parts[1]) != sizeof(market_t):
            raise ValueError("detector snapshot: of another version of liqcore")
        self.detector.load_c(0, parts[2])
        memcpy(&self.now, <const char*> <bytes> parts[0], sizeof(self.now))
        memcpy(&self.market, <const char*> <bytes> parts[1], sizeof(market_t))

    def __repr__(self):
        return f"Standalone({self.detector!r}, {self.instrument.symbol!r})"


def _counts(events, Py_ssize_t count):
    """Events of each instrument; ValueError unless they are market events of instruments 0 .. count - 1."""
    cdef size_t address = events.ctypes.data
    cdef const event_t* e = <const event_t*> address
    cdef Py_ssize_t n, size = len(events)
    out = np.zeros(count, np.int64)
    cdef int64_t[::1] found = out
    with nogil:
        for n in range(size):
            if e[n].kind > TICKER or not 0 <= e[n].instrument < count:
                break
            found[e[n].instrument] += 1
        else:
            n = size
    if n < size:
        raise ValueError(f"events[{n}]: expected a market event of instrument {f'0 to {count - 1}' if count > 1 else '0 only'}, got kind {e[n].kind} "
                         f"of instrument {e[n].instrument} (an Engine takes the others)")
    return out


def _run_share(list streams, const int32_t[::1] owners, int32_t mine, events) -> None:
    """One thread's work: the events of its instruments, in the order of the feed."""
    cdef PyObject** each = (<PyListObject*> streams).ob_item
    cdef size_t address = events.ctypes.data
    cdef const event_t* e = <const event_t*> address
    cdef Py_ssize_t n = 0, size = len(events)
    cdef event_t own
    try:
        with nogil:
            for n in range(size):
                if owners[e[n].instrument] == mine:
                    own = e[n]
                    own.instrument = 0
                    (<Standalone> each[e[n].instrument]).feed(&own)
    except ValueError as error:
        raise ValueError(f"events[{n}], {streams[e[n].instrument].instrument!r}: {error}") from None


describe(Standalone, {"detector": "The Detector that is fed.", "instrument": "The Instrument of its events.",
                      "now": "Latest time given, ns UTC."})
