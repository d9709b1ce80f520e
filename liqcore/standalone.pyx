"""A detector on its own: see standalone.pxd."""

from libc.math cimport isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from liqcore.detector cimport SIGNALS_MAX
from liqcore.event cimport *
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_ticker, market_trade

from liqcore.event import as_events
from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-standalone-1\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Standalone:
    """A Detector on one instrument: feed it liquidations, get its signals. The same code that an Engine runs, deadlines included.

    detector: a fresh one (registry.make_detector). instrument: liqcore.Instrument or a name. Times are ns and never go back.
    """

    def __init__(self, Detector detector not None, instrument="X"):
        if self.detector is not None:
            raise RuntimeError("Standalone.__init__ called twice: make a new one")
        self.instrument = instrument if isinstance(instrument, Instrument) else Instrument(instrument)
        detector.open_c((self.instrument,))
        self.detector = detector
        self.now = -NEVER
        self.said = []

    cdef int keep(self, const signal_t* s, int count) except -1:
        cdef int n
        cdef signal_t own
        for n in range(count):
            own = s[n]
            own.detector = 1
            self.said.append(Signal.of(&own))
        return 0

    cdef int pass_time(self, int64_t ts) except -1:
        cdef signal_t out[SIGNALS_MAX]
        cdef int64_t due = self.detector.deadline_c(0)
        while due <= ts:
            self.keep(out, self.detector.timer_c(0, due, out))
            due = self.detector.deadline_c(0)
        self.now = ts
        return 0

    cdef int feed(self, const event_t* e) except -1:
        cdef signal_t out[SIGNALS_MAX]
        cdef double notional = 0.0
        if e.ts_recv < self.now or not 0 <= e.ts_recv < TIME_MAX:
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
        self.feed(&e)
        return self.take()

    def run(self, events) -> list:
        """Market events (EVENT_DTYPE, instrument 0, in order of ts_recv) in order; returns the signals."""
        cdef Py_ssize_t n, count
        cdef size_t address
        cdef const event_t* e
        events = as_events(events)
        if len(events) and (events["instrument"].any() or not (events["kind"] <= TICKER).all()):
            raise ValueError("events: expected market events of instrument 0 only (an Engine takes the others)")
        address = events.ctypes.data
        e = <const event_t*> address
        count = len(events)
        for n in range(count):
            self.feed(&e[n])
        return self.take()

    def advance(self, int64_t ts) -> list:
        """Let time pass up to and including ts."""
        if ts < self.now:
            raise ValueError(f"ts: expected at least {self.now} ns (time does not go back), got {ts}")
        self.pass_time(ts)
        return self.take()

    def uncertain(self, int64_t until) -> None:
        """The feed had a gap: the running episode is forgotten; signals before `until` are UNCERTAIN."""
        self.detector.uncertain_c(0, until)

    def take(self) -> list:
        """What has been said and not yet been handed out (a call that raised leaves it)."""
        out, self.said = self.said, []
        return out

    @property
    def next_deadline(self):
        """When advance() should be called next, ns; None = nothing is waiting."""
        cdef int64_t due = self.detector.deadline_c(0)
        return None if due == NEVER else due

    def snapshot(self) -> bytes:
        return pack(SNAPSHOT_NAME, [(<char*> &self.now)[:sizeof(self.now)], (<char*> &self.market)[:sizeof(market_t)], self.detector.save_c(0)])

    def restore(self, bytes data):
        """Continue from a snapshot of the same detector with the same settings; ValueError, and no change, otherwise."""
        cdef list parts = unpack(SNAPSHOT_NAME, data, "detector")
        if len(parts) != 3 or len(parts[0]) != sizeof(self.now) or len(parts[1]) != sizeof(market_t):
            raise ValueError("detector snapshot: of another version of liqcore")
        self.detector.load_c(0, parts[2])
        memcpy(&self.now, <const char*> <bytes> parts[0], sizeof(self.now))
        memcpy(&self.market, <const char*> <bytes> parts[1], sizeof(market_t))

    def __repr__(self):
        return f"Standalone({self.detector!r}, {self.instrument.symbol!r})"
