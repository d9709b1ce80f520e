"""The imbalance detector: see imbalance.pxd."""

from liqcore.detectors.detector cimport PART_EPISODE, PART_WINDOW
from liqcore.detectors.episode cimport *
from liqcore.event cimport *
from liqcore.kernels.window cimport (window_advance, window_count, window_init, window_long, window_next_expiry, window_push, window_short,
                                     window_total)

from liqcore.detectors.parameters import Parameter, power_of_two

SNAPSHOT_NAME = b"liqcore-imbalance-1\n"
PARAMETERS = (
    Parameter("window_s", 300.0, 1e-3, 1e5, "s", "window of the share (the document gives none: ours)"),
    Parameter("share", 0.7, 0.5, 1.0, "share of one side", "ACTIVE when one side has a larger share; 0.7 is an imbalance of +-0.4"),
    Parameter("normal", 0.6, 0.5, 1.0, "share of one side", "EXHAUSTED when the share of the side is at most this (hysteresis; ours); at most "
              "`share`"),
    Parameter("floor_usd", 100_000.0, 0.0, 1e15, "quote currency", "least notional inside the window for ACTIVE (an absolute floor; ours)"),
    Parameter("min_events", 5, 1, 1_000_000, "liquidations", "least number inside the window for ACTIVE: a single one is always one-sided (ours); "
              "at most `window_events`"),
    Parameter("window_events", 8192, 2, 1_000_000, "liquidations, a power of two", "capacity of the window, 24 B each; "
              "when it is full the oldest are dropped (27 a second for 300 s; ours)"),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


def long_share_of(double imbalance) -> float:
    """The share of liquidated longs from (short - long) / total: -0.4 -> 0.7. The documents call it longRatio."""
    return (1.0 - imbalance) / 2.0


def imbalance_of(double long_share) -> float:
    """(short - long) / total from the share of liquidated longs: 0.75 -> -0.5."""
    return 1.0 - 2.0 * long_share


cdef inline double share_of(const imbalance_t* d, int8_t side) noexcept nogil:
    """Share of a side; 0.5 when nothing is inside."""
    cdef double total = window_total(&d.w)
    return (window_long(&d.w) if side > 0 else window_short(&d.w)) / total if total > 0.0 else 0.5


cdef int emit(imbalance_t* d, int64_t now, uint8_t phase, uint8_t flags, signal_t* out) noexcept nogil:
    d.e.long_notional = window_long(&d.w)
    d.e.short_notional = window_short(&d.w)
    d.e.count = window_count(&d.w)
    return episode_emit(&d.e, now, phase, flags, share_of(d, d.e.side), window_total(&d.w), out)


cdef int end(imbalance_t* d, const imbalance_config_t* g, int64_t now, uint8_t flags, signal_t* out) noexcept nogil:
    """Write EXHAUSTED if the running episode is over."""
    if d.e.phase == IDLE or window_count(&d.w) > 0 and share_of(d, d.e.side) > g.normal:
        return 0
    emit(d, now, EXHAUSTED, flags, out)
    d.e.phase = IDLE
    return 1


cdef int imbalance_push(imbalance_t* d, const imbalance_config_t* g, int64_t now, int8_t side, double notional, uint8_t flags,
                        signal_t* out) noexcept nogil:
    """One liquidation, after imbalance_timer(now)."""
    cdef int emitted
    cdef double longs, shorts, total
    window_push(&d.w, now, side, notional)
    emitted = end(d, g, now, flags, out)
    if d.e.phase != IDLE or window_count(&d.w) < g.min_events:
        return emitted
    total = window_total(&d.w)
    if total < g.floor_usd:
        return emitted
    longs = window_long(&d.w)
    shorts = window_short(&d.w)
    if (longs if longs >= shorts else shorts) / total > g.share:
        episode_begin(&d.e, d.w.ts[d.w.expired & d.w.mask], LONG if longs >= shorts else SHORT, d.e.sequence + 1)
        emitted += emit(d, now, ACTIVE, flags, out + emitted)
    return emitted


cdef int imbalance_timer(imbalance_t* d, const imbalance_config_t* g, int64_t now, signal_t* out) noexcept nogil:
    """Let time pass: old liquidations leave, and the share returns to normal. An episode begins only at a liquidation."""
    window_advance(&d.w, now)
    return end(d, g, now, 0, out)


cdef int64_t imbalance_deadline(const imbalance_t* d) noexcept nogil:
    return NEVER if d.e.phase == IDLE else window_next_expiry(&d.w)


cdef class Imbalance(Detector):
    """One-sidedness of liquidations. Imbalance(name="imbalance", **parameters); the parameters are the rows of imbalance.PARAMETERS.

    ACTIVE at the liquidation that takes one side's share of the window above `share`, EXHAUSTED when that side has no more than `normal` or nothing
    is inside. Signal: ts_start = the oldest liquidation inside when it became ACTIVE; count, long and short notional, rolling = liquidations inside
    now; z = the share of the side; threshold = share.
    """

    def __init__(self, str name="imbalance", **parameters):
        cdef imbalance_t d
        p = self.set_parameters("imbalance", name, PARAMETERS, parameters)
        power_of_two("imbalance", "window_events", p)
        if p["normal"] > p["share"]:
            raise ValueError(f"detector imbalance, normal: expected at most share ({p['share']}), got {p['normal']}")
        if p["min_events"] > p["window_events"]:
            raise ValueError(f"detector imbalance, min_events: expected at most window_events ({p['window_events']}), got {p['min_events']}")
        self.wants = 1 << <int> LIQUIDATION
        self.window_ns = round(p["window_s"] * 1e9)
        self.g = imbalance_config_t(share=p["share"], normal=p["normal"], floor_usd=p["floor_usd"], window_ns=round(p["window_s"] * 1e9),
                                    min_events=p["min_events"])
        self.set_state(SNAPSHOT_NAME, sizeof(d))
        self.add_part(PART_EPISODE, &d, &d.e)
        self.add_part(PART_WINDOW, &d, &d.w)

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef imbalance_t* d = <imbalance_t*> self.states + n
        window_init(&d.w, self.g.window_ns, self.parameters["window_events"])
        episode_reset(&d.e, n, flags)
        d.e.threshold = self.g.share
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef imbalance_t* d = <imbalance_t*> self.states + e.instrument
        episode_see(&d.e, e, m, flags)
        return imbalance_push(d, &self.g, e.ts_recv, e.side, notional, flags, out)

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        return imbalance_timer(<imbalance_t*> self.states + n, &self.g, now, out)

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return imbalance_deadline(<imbalance_t*> self.states + n)
