"""The event-rate detector: see event_rate.pxd."""

from liqcore.detectors.detector cimport PART_EPISODE, PART_PLAIN, PART_SEGMENTS, PART_WINDOW
from liqcore.detectors.episode cimport *
from liqcore.event cimport *
from liqcore.kernels.window cimport (window_advance, window_count, window_init, window_long, window_next_expiry, window_push, window_short,
                                     window_total)
from liqcore.kernels.zscore cimport segz_init

from liqcore.detectors.parameters import Parameter, power_of_two

SNAPSHOT_NAME = b"liqcore-rate-1\n"
PARAMETERS = (
    Parameter("window_s", 60.0, 1e-3, 1e5, "s", "window of the rate, and length of a segment of the baseline"),
    Parameter("sigma", 3.0, 0.0, 1e6, "standard deviations", "ACTIVE when the rate is above mean + sigma x std of the baseline"),
    Parameter("sigma_normal", 1.0, -1e6, 1e6, "standard deviations", "EXHAUSTED when the rate is at most mean + this x std, both as of ACTIVE "
              "(hysteresis; ours); at most `sigma`"),
    Parameter("baseline", 360, 2, 100_000, "segments", "number of completed segments in the baseline (ours: six hours)"),
    Parameter("min_segments", 30, 1, 100_000, "segments", "completed segments before the first signal; at most `baseline` (ours)"),
    Parameter("floor_per_minute", 5.0, 0.0, 1e6, "liquidations a minute", "least rate for ACTIVE (an absolute floor; ours)"),
    Parameter("window_events", 2048, 2, 1_000_000, "liquidations, a power of two", "capacity of the window, 24 B each; "
              "beyond it the rate is known from below (34 a second for 60 s; ours)"),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef inline bint full(const rate_t* d) noexcept nogil:
    return window_count(&d.w) > <int> d.w.mask


cdef inline double known(const rate_t* d) noexcept nogil:
    """Number of liquidations inside. In a full window it is a lower bound; then the count of the running segment, which is all inside, may be
    larger."""
    cdef double count = window_count(&d.w)
    return d.s.z.current if full(d) and d.s.z.current > count else count


cdef int emit(rate_t* d, int64_t now, uint8_t phase, uint8_t flags, double count, signal_t* out) noexcept nogil:
    cdef double std = d.s.z.std
    d.e.long_notional = window_long(&d.w)
    d.e.short_notional = window_short(&d.w)
    d.e.count = <int32_t> count
    if d.e.long_notional != d.e.short_notional:
        d.e.side = LONG if d.e.long_notional > d.e.short_notional else SHORT
    return episode_emit(&d.e, now, phase, flags, (count - d.s.z.m.mean) / std if std > 0.0 else 0.0, window_total(&d.w), out)


cdef int rate_push(rate_t* d, const rate_config_t* g, int64_t now, int8_t side, double notional, uint8_t flags, signal_t* out) noexcept nogil:
    """One liquidation, after rate_timer(now)."""
    cdef int emitted = 0
    cdef double bound, count
    window_push(&d.w, now, side, notional)
    segments_push(&d.s, now, 1.0)
    if d.e.phase != IDLE or d.s.z.m.count < d.s.z.min_segments or not d.s.z.std > 0.0:
        return 0
    bound = d.s.z.m.mean + g.sigma * d.s.z.std
    count = known(d)
    if count > bound and count * g.per_minute >= g.floor_per_minute:
        episode_begin(&d.e, d.w.ts[d.w.expired & d.w.mask], side, d.e.sequence + 1)
        d.e.threshold = bound * g.per_minute
        d.normal = d.s.z.m.mean + g.sigma_normal * d.s.z.std
        emitted = emit(d, now, ACTIVE, flags, count, out)
    return emitted


cdef int rate_timer(rate_t* d, const rate_config_t* g, int64_t now, signal_t* out) noexcept nogil:
    """Let time pass: old liquidations leave, and the rate falls. After one has left, the count inside is exact. In a full window none leaves; then
    the count of a segment that ends is the count inside."""
    cdef double count
    window_advance(&d.w, now)
    if d.e.phase == IDLE or full(d) and now < d.s.z.ends:
        return 0
    count = d.s.z.current if full(d) else window_count(&d.w)
    if count > 0.0 and count > d.normal:
        if full(d):
            segments_advance(&d.s, now)
        return 0
    segments_advance(&d.s, now)
    emit(d, now, EXHAUSTED, 0, count, out)
    d.e.phase = IDLE
    return 1


cdef int64_t rate_deadline(const rate_t* d) noexcept nogil:
    if d.e.phase == IDLE:
        return NEVER
    return min(window_next_expiry(&d.w), d.s.z.ends) if full(d) else window_next_expiry(&d.w)


cdef class Rate(Detector):
    """Spikes of the event rate. Rate(name="rate", **parameters); the parameters are the rows of event_rate.PARAMETERS.

    ACTIVE at the liquidation that takes the rate above the bound, EXHAUSTED when the rate is normal again. Signal: ts_start = the oldest liquidation
    inside the window then; count, long and short notional, rolling = liquidations inside now (of a full window: of the newest `window_events`, and
    count is a lower bound); side = the one with more notional; z = of the rate against the baseline; threshold = the bound, liquidations a minute.
    """

    def __init__(self, str name="rate", **parameters):
        cdef rate_t d
        p = self.set_parameters("rate", name, PARAMETERS, parameters)
        power_of_two("rate", "window_events", p)
        for low, high in (("sigma_normal", "sigma"), ("min_segments", "baseline")):
            if p[low] > p[high]:
                raise ValueError(f"detector rate, {low}: expected at most {high} ({p[high]}), got {p[low]}")
        self.wants = 1 << <int> LIQUIDATION
        self.window_ns = round(p["window_s"] * 1e9)
        self.g = rate_config_t(sigma=p["sigma"], sigma_normal=p["sigma_normal"], per_minute=60.0 / p["window_s"],
                               floor_per_minute=p["floor_per_minute"], window_ns=self.window_ns)
        self.set_state(SNAPSHOT_NAME, sizeof(d))
        self.add_part(PART_WINDOW, &d, &d.w)
        self.add_part(PART_SEGMENTS, &d, &d.s)
        self.add_part(PART_EPISODE, &d, &d.e)
        self.add_part(PART_PLAIN, &d, &d.normal, sizeof(d.normal))
        self.add_part(PART_PLAIN, &d, &d.s.whole_from, sizeof(d.s.whole_from))
        self.add_part(PART_PLAIN, &d, &d.s.cut, sizeof(d.s.cut))

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef rate_t* d = <rate_t*> self.states + n
        window_init(&d.w, self.g.window_ns, self.parameters["window_events"])
        segz_init(&d.s.z, self.g.window_ns, self.parameters["baseline"], self.parameters["min_segments"])
        segments_cut(&d.s)
        episode_reset(&d.e, n, flags)
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef rate_t* d = <rate_t*> self.states + e.instrument
        episode_see(&d.e, e, m, flags)
        return rate_push(d, &self.g, e.ts_recv, e.side, notional, flags, out)

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        return rate_timer(<rate_t*> self.states + n, &self.g, now, out)

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return rate_deadline(<rate_t*> self.states + n)
