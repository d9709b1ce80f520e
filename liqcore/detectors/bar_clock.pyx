"""Bars as signals: see bar_clock.pxd."""

from liqcore.detectors.detector cimport PART_PLAIN
from liqcore.detectors.episode cimport *
from liqcore.event cimport *

from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME = b"liqcore-bars-1\n"
PARAMETERS = (Parameter("period_s", 60.0, 0.1, 604_800.0, "s", "length of a bar; bars end at the multiples of it since 1970-01-01 00:00 UTC"),)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Bars(Detector):
    """A signal at the end of every bar. Bars(name="bars", period_s=60).

    Signal: phase ACTIVE, side 0; ts = the bar's end, ts_start = its start; count, long and short notional, rolling = liquidations within it; price =
    the last price at the latest liquidation or ticker; z = the imbalance (short - long) / total; threshold = 0.
    """

    def __init__(self, str name="bars", **parameters):
        cdef bars_t d
        p = self.set_parameters("bars", name, PARAMETERS, parameters)
        self.wants = 1 << <int> LIQUIDATION | 1 << <int> TICKER
        self.period_ns = self.window_ns = round(p["period_s"] * 1e9)
        self.set_state(SNAPSHOT_NAME, sizeof(d))
        self.add_part(PART_PLAIN, &d, &d, sizeof(d))

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        episode_reset(&(<bars_t*> self.states + n).e, n, flags)
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef bars_t* d = <bars_t*> self.states + e.instrument
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
        cdef bars_t* d = <bars_t*> self.states + n
        cdef double total = d.e.long_notional + d.e.short_notional
        d.e.ts_first = d.ends - self.period_ns
        d.e.sequence += 1
        episode_emit(&d.e, now, ACTIVE, 0, (d.e.short_notional - d.e.long_notional) / total if total > 0.0 else 0.0, total, out)
        d.e.count = 0
        d.e.long_notional = d.e.short_notional = 0.0
        d.ends += self.period_ns
        return 1

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        cdef int64_t ends = (<bars_t*> self.states + n).ends
        return ends if ends != 0 else NEVER

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """Bars continue over a gap in the feed, but their counts may be incomplete."""
        (<bars_t*> self.states + n).e.uncertain_until = until

    cdef int load_more(self, int32_t n, list parts) except -1:
        (<bars_t*> self.states + n).e.instrument = n
        return 0
