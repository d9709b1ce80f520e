"""Bars as signals: see bars.pxd."""

from libc.stdlib cimport free
from libc.string cimport memcpy

from liqcore.detectors.episode cimport *
from liqcore.event cimport *
from liqcore.instrument cimport Instrument

from liqcore.detectors.parameters import Parameter
from liqcore.snapshot import fitting, pack

SNAPSHOT_NAME = b"liqcore-bars-1\n"
PARAMETERS = (Parameter("period_s", 60.0, 0.1, 604_800.0, "s", "length of a bar; bars end at the multiples of it since 1970-01-01 00:00 UTC"),)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Bars(Detector):
    """A signal at the end of every bar. Bars(name="bars", period_s=60).

    Signal: phase ACTIVE, side 0; ts = the bar's end, ts_start = its start; count, long and short notional, rolling = what was liquidated within it;
    price = the last known at the latest liquidation or ticker; z = the imbalance (short - long) / total; threshold = 0.
    """

    def __init__(self, str name="bars", **parameters):
        p = self.set_parameters("bars", name, PARAMETERS, parameters)
        self.wants = 1 << <int> LIQUIDATION | 1 << <int> TICKER
        self.period_ns = self.window_ns = round(p["period_s"] * 1e9)

    def __dealloc__(self):
        free(self.of)

    cdef int open_c(self, tuple instruments) except -1:
        cdef int n
        self.claim()
        self.of = <bars_t*> states_alloc(len(instruments), sizeof(bars_t))
        self.count = len(instruments)
        for n in range(self.count):
            episode_reset(&self.of[n].e, n, SIGNAL_CENSORED if (<Instrument> instruments[n]).c.completeness == COMPLETENESS_CENSORED else 0)
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef bars_t* d = &self.of[e.instrument]
        if d.ends == 0:
            d.ends = (e.ts_recv // self.period_ns + 1) * self.period_ns
        if e.kind == LIQUIDATION:
            episode_see(&d.e, e, m, flags)
            d.e.count += 1
            episode_add(&d.e, e.side, notional)
        elif m.last > 0.0:
            d.e.price = m.last
        elif d.e.price == 0.0:
            d.e.price = m.mark
        return 0

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        cdef bars_t* d = &self.of[n]
        cdef double total = d.e.long_notional + d.e.short_notional
        d.e.ts_first = d.ends - self.period_ns
        d.e.sequence += 1
        episode_emit(&d.e, now, ACTIVE, 0, (d.e.short_notional - d.e.long_notional) / total if total > 0.0 else 0.0, total, out)
        d.e.count = 0
        d.e.long_notional = d.e.short_notional = 0.0
        d.ends += self.period_ns
        return 1

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return self.of[n].ends if self.of[n].ends != 0 else NEVER

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """Bars go on: time is no feed. What they have counted may be half of the truth."""
        self.of[n].e.uncertain_until = until

    cdef bytes save_c(self, int32_t n):
        return pack(SNAPSHOT_NAME, [repr(self.parameters).encode(), (<char*> &self.of[n])[:sizeof(bars_t)]])

    cdef int load_c(self, int32_t n, bytes data) except -1:
        cdef list parts = fitting(SNAPSHOT_NAME, data, "bars", self.parameters, (sizeof(bars_t),))
        memcpy(&self.of[n], <const char*> <bytes> parts[0], sizeof(bars_t))
        self.of[n].e.instrument = n
        return 0
