"""The schema in Python: enums, NumPy dtypes and the proof that they equal the C structs."""

import numpy as np

EVENT_DTYPE = np.dtype([
    ("ts_event", "<i8"), ("ts_recv", "<i8"), ("price", "<f8"), ("qty", "<f8"), ("aux_price", "<f8"), ("aux_qty", "<f8"), ("id", "<i8"),
    ("instrument", "<i4"), ("kind", "u1"), ("side", "i1"), ("flags", "u1"), ("code", "u1")])

SIGNAL_DTYPE = np.dtype([
    ("ts", "<i8"), ("ts_start", "<i8"), ("long_notional", "<f8"), ("short_notional", "<f8"), ("threshold", "<f8"), ("z", "<f8"),
    ("score", "<f8"), ("price", "<f8"), ("rolling", "<f8"), ("instrument", "<i4"), ("count", "<i4"), ("detector", "u1"), ("phase", "u1"),
    ("side", "i1"), ("flags", "u1"), ("sequence", "<i4")])

REQUEST_DTYPE = np.dtype([
    ("ts", "<i8"), ("id", "<i8"), ("price", "<i8"), ("qty", "<i8"), ("stop", "<i8"), ("cause", "<i8"), ("instrument", "<i4"),
    ("side", "i1"), ("action", "u1"), ("type", "u1"), ("flags", "u1"), ("reserved", "<i8")])

AUDIT_DTYPE = np.dtype([
    ("seq", "<i8"), ("ts", "<i8"), ("id", "<i8"), ("instrument", "<i4"), ("kind", "u1"), ("reason", "u1"), ("phase", "u1"), ("side", "i1"),
    ("x", "<f8", 8)])


def as_events(events):
    """The array itself if it is contiguous, else a contiguous copy; TypeError unless it is one-dimensional of EVENT_DTYPE."""
    if not isinstance(events, np.ndarray) or events.dtype != EVENT_DTYPE or events.ndim != 1:
        raise TypeError("events: expected a one-dimensional NumPy array of liqcore.EVENT_DTYPE")
    return np.ascontiguousarray(events)


def abi_version() -> int:
    """The ABI number. A binary built against the .pxd files must compare it with its own LIQCORE_ABI before it passes a struct."""
    return LIQCORE_ABI


def reads_abi(number) -> bool:
    """Whether recordings and states of this abi_version() can be read. Audit records of 6 are converted: see audit.converted()."""
    return isinstance(number, int) and STATE_ABI <= number <= LIQCORE_ABI


cdef int _same(object dtype, size_t size, list offsets) except -1:
    """Raise ImportError unless the dtype has the C struct's size and field offsets."""
    actual = [dtype.fields[name][1] for name in dtype.names]
    if dtype.itemsize != size or actual != offsets:
        raise ImportError(f"liqcore was built with another struct layout than it runs with: {dtype} is {dtype.itemsize} B at {actual}, "
                          f"C has {size} B at {offsets}; rebuild liqcore")
    return 0


cdef int _prove_layout() except -1:
    cdef event_t e
    cdef signal_t s
    cdef request_t r
    cdef audit_t a
    cdef char* b = <char*> &e
    _same(EVENT_DTYPE, sizeof(event_t), [
        <char*> &e.ts_event - b, <char*> &e.ts_recv - b, <char*> &e.price - b, <char*> &e.qty - b, <char*> &e.aux_price - b,
        <char*> &e.aux_qty - b, <char*> &e.id - b, <char*> &e.instrument - b, <char*> &e.kind - b, <char*> &e.side - b,
        <char*> &e.flags - b, <char*> &e.code - b])
    b = <char*> &s
    _same(SIGNAL_DTYPE, sizeof(signal_t), [
        <char*> &s.ts - b, <char*> &s.ts_start - b, <char*> &s.long_notional - b, <char*> &s.short_notional - b,
        <char*> &s.threshold - b, <char*> &s.z - b, <char*> &s.score - b, <char*> &s.price - b, <char*> &s.rolling - b,
        <char*> &s.instrument - b, <char*> &s.count - b, <char*> &s.detector - b, <char*> &s.phase - b, <char*> &s.side - b,
        <char*> &s.flags - b, <char*> &s.sequence - b])
    b = <char*> &r
    _same(REQUEST_DTYPE, sizeof(request_t), [
        <char*> &r.ts - b, <char*> &r.id - b, <char*> &r.price - b, <char*> &r.qty - b, <char*> &r.stop - b, <char*> &r.cause - b,
        <char*> &r.instrument - b, <char*> &r.side - b, <char*> &r.action - b, <char*> &r.type - b, <char*> &r.flags - b,
        <char*> &r.reserved - b])
    b = <char*> &a
    _same(AUDIT_DTYPE, sizeof(audit_t), [
        <char*> &a.seq - b, <char*> &a.ts - b, <char*> &a.id - b, <char*> &a.instrument - b, <char*> &a.kind - b,
        <char*> &a.reason - b, <char*> &a.phase - b, <char*> &a.side - b, <char*> &a.of - b])
    return 0


_prove_layout()


cdef class Signal:
    """A change of phase, reported by a detector. Signals compare, hash and print by content.

    Times are ns UTC; notionals and prices in quote currency. `side` is the liquidated side (LONG = +1: longs were closed by force).
    """

    @staticmethod
    cdef Signal of(const signal_t* s):
        cdef Signal out = Signal.__new__(Signal)
        out.c = s[0]
        return out

    @property
    def ts(self):
        """Engine time of the signal, ns UTC: ts_recv of the event behind it, or the deadline that passed."""
        return self.c.ts

    @property
    def ts_start(self):
        """First large event of the cascade, ns UTC."""
        return self.c.ts_start

    @property
    def instrument(self):
        """Index of the instrument in Engine.instruments."""
        return self.c.instrument

    @property
    def detector(self):
        """Number of the detector that reported it: its place in Engine.detectors, from 1."""
        return self.c.detector

    @property
    def phase(self):
        """The Phase that begins."""
        return PHASES[self.c.phase]

    @property
    def side(self):
        """Dominant liquidated side (Side): LONG = longs were closed by force; 0 if there is none."""
        return LONG_SIDE if self.c.side > 0 else SHORT_SIDE if self.c.side < 0 else NO_SIDE

    @property
    def flags(self):
        """Bits of SignalFlag, 0 = none: uncertain, stale, censored, valued at the mark price."""
        return self.c.flags

    @property
    def count(self):
        """Large events of the cascade so far."""
        return self.c.count

    @property
    def sequence(self):
        """Number of the cascade on this instrument."""
        return self.c.sequence

    @property
    def long_notional(self):
        """Notional of the large events of this cascade that closed longs, quote currency."""
        return self.c.long_notional

    @property
    def short_notional(self):
        """Notional of the large events of this cascade that closed shorts, quote currency."""
        return self.c.short_notional

    @property
    def notional(self):
        """Long plus short, quote currency."""
        return self.c.long_notional + self.c.short_notional

    @property
    def imbalance(self):
        """(short - long) / total: -1 when only longs were liquidated."""
        cdef double total = self.c.long_notional + self.c.short_notional
        return (self.c.short_notional - self.c.long_notional) / total if total > 0 else 0.0

    @property
    def threshold(self):
        """Threshold of the latest large event (the quantile, or the floor if that is higher), quote currency."""
        return self.c.threshold

    @property
    def z(self):
        """z-score of the running segment's notional against the baseline, standard deviations; 0 = not known."""
        return self.c.z

    @property
    def score(self):
        """Strength from 0 to 10, uncalibrated."""
        return self.c.score

    @property
    def price(self):
        """Last trade price at the time of the signal, quote currency; the event's own price if none is known."""
        return self.c.price

    @property
    def rolling(self):
        """Notional of all liquidations in the last decay window, quote currency."""
        return self.c.rolling

    def as_dict(self) -> dict:
        """The fields by name, enums as their members."""
        return {name: getattr(self, name) for name in (
            "ts", "ts_start", "instrument", "detector", "phase", "side", "flags", "count", "sequence", "long_notional", "short_notional",
            "threshold", "z", "score", "price", "rolling")}

    def __eq__(self, other):
        return isinstance(other, Signal) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash((self.c.ts, self.c.instrument, self.c.phase, self.c.sequence))

    def __repr__(self):
        return (f"Signal(ts={self.c.ts}, instrument={self.c.instrument}, phase={self.phase.name}, side={self.side.name}, "
                f"count={self.c.count}, long_notional={self.c.long_notional}, short_notional={self.c.short_notional}, "
                f"threshold={self.c.threshold}, price={self.c.price})")


PHASES = tuple(Phase)


class NoSide(int):
    """Side 0, of a signal without a side: a bar."""
    name = "NONE"


NO_SIDE = NoSide(0)
LONG_SIDE = Side.LONG
SHORT_SIDE = Side.SHORT
