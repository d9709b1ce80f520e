"""The self-excitation detector: see self_excitation.pxd."""

from libc.stdint cimport int8_t, uint8_t

from liqcore.detectors.detector cimport PART_PLAIN
from liqcore.detectors.episode cimport episode_add, episode_begin, episode_reset, episode_see, episode_emit
from liqcore.event cimport *
from liqcore.kernels.hawkes cimport BRANCHING_COUNTS, BRANCHING_FIT, HawkesConfig, hawkes_plan

from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME = b"liqcore-excited-1\n"
PARAMETERS = (
    Parameter("times", 100.0, 1.0, 1e6, "x usual", "ACTIVE when the expected number of events is at least this multiple of the usual one (ours; 3x "
              "in public code, of another statistic)"),
    Parameter("back", 30.0, 1.0, 1e6, "x usual", "EXHAUSTED when it is below this multiple (hysteresis; at most `times`)"),
    Parameter("percentile", 0.5, 0.0, 1.0, "", "least percentile of the branching ratio in its own history for ACTIVE; 0 = any"),
    Parameter("estimate", "fit", 0, 0, "", "source of the branching ratio: the exponentially weighted fit, or mean and variance of counts",
              ("fit", "counts")),
    Parameter("horizon_s", 15.0, 0.001, 86_400.0, "s", "time ahead in which events are expected"),
    Parameter("large_share", 0.05, 1e-6, 1.0, "", "share of events that count as large: the score is 10 x P(a large one within the horizon)"),
    Parameter("floor_usd", 0.0, 0.0, 1e15, "quote currency", "a smaller event never begins an episode"),
    Parameter("check_s", 0.5, 0.001, 3600.0, "s", "time between two evaluations without an event"),
    Parameter("fast", 0.59, 0.0, 0.998, "", "branching ratio of the fast kernel: events caused by an average event"),
    Parameter("slow", 0.25, 0.0, 0.998, "", "branching ratio of the slow kernel"),
    Parameter("cross", 0.05, 0.0, 0.998, "", "branching ratio over all instruments of the venue together"),
    Parameter("fast_s", 0.06, 1e-4, 1e4, "s", "half-life of the fast kernel"),
    Parameter("slow_s", 3.0, 1e-3, 1e5, "s", "half-life of the slow kernel"),
    Parameter("size_power", 0.5, 0.0, 1.0, "", "weight of an event: its size to this power; 0 = equal weights"),
    Parameter("mark_max", 10.0, 1.0, 1e6, "", "largest weight of an event; the mean is 1"),
    Parameter("base_s", 21_600.0, 60.0, 1e8, "s", "half-life of the usual rate"),
    Parameter("prior_per_min", 0.5, 1e-6, 1e6, "events/min", "usual rate of a side before events were seen"),
    Parameter("prior_events", 10.0, 1.0, 1e6, "events", "weight of this rate, as a number of events"),
    Parameter("bin_s", 60.0, 0.1, 1e5, "s", "length of a bin of the counts and of the history"),
    Parameter("branching_s", 7200.0, 1.0, 1e8, "s", "half-life of the branching ratio from counts"),
    Parameter("fit_events", 300.0, 10.0, 1e9, "events", "number of events that the fit remembers"),
    Parameter("history_s", 2_592_000.0, 60.0, 1e9, "s", "length of the history of the percentile"),
    Parameter("history_min_s", 21_600.0, 0.0, 1e9, "s", "least history before a percentile is known; until then a `percentile` above 0 keeps the "
              "detector silent"),
)
_OWN = ("times", "back", "percentile", "estimate", "horizon_s", "large_share", "floor_usd", "check_s")
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class SelfExcitation(Detector):
    """Self-excitation alarms, each liquidated side on its own. SelfExcitation(name="hawkes", **parameters); the parameters are the rows of
    self_excitation.PARAMETERS.

    Signal: side = the excited side; ts_start = the event at which the episode began; count, long and short notional = events of that side since; z =
    the statistic (times usual); threshold = `times`; score = 10 x the probability of a large event of the side within the horizon (the model's,
    uncalibrated); rolling = notional expected within the horizon. Instruments of one venue are one group of the kernel.
    """

    def __init__(self, str name="hawkes", **parameters):
        cdef self_excitation_t d
        p = self.set_parameters("hawkes", name, PARAMETERS, parameters)
        if p["back"] > p["times"]:
            raise ValueError(f"detector hawkes, back: expected at most times ({p['times']:g}), got {p['back']!r}")
        try:
            self.shape = HawkesConfig(**{k: v for k, v in p.items() if k not in _OWN})
        except ValueError as why:
            raise ValueError(f"detector hawkes, {why}") from None
        self.wants = 1 << <int> LIQUIDATION
        self.window_ns = round(max(p["horizon_s"], 10.0 * p["slow_s"]) * 1e9)      # events before that have no effect any more
        self.g = self_excitation_config_t(times=p["times"], back=p["back"], percentile=p["percentile"], floor_usd=p["floor_usd"],
                                          check_ns=round(p["check_s"] * 1e9), estimate=BRANCHING_FIT if p["estimate"] == "fit" else BRANCHING_COUNTS)
        self.set_state(SNAPSHOT_NAME, sizeof(d), more=2)
        self.add_part(PART_PLAIN, &d, &d, sizeof(d))
        hawkes_plan(&self.plan, &(<HawkesConfig> self.shape).c, p["horizon_s"], p["large_share"])

    cdef int open_c(self, tuple instruments) except -1:
        Detector.open_c(self, instruments)
        venues = sorted({i.venue for i in instruments})
        self.kernel = Hawkes([venues.index(i.venue) for i in instruments], self.shape)
        return 0

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        cdef int k
        for k in range(2):
            episode_reset(&x.side[k], n, flags)
            x.side[k].threshold = self.g.times
        return 0

    cdef double statistic(self, int32_t n, int side, int64_t now) noexcept nogil:
        return self.kernel.expected_c(&self.plan, n, side, now) / (self.kernel.rate_c(n, side, now) * self.plan.horizon_s)

    cdef int emit_signal(self, int32_t n, int k, int64_t now, int phase, int flags, double value, void* out) noexcept nogil:
        cdef int side = SHORT if k else LONG
        cdef signal_t* s = <signal_t*> out
        cdef double expected = self.kernel.expected_c(&self.plan, n, side, now) * self.kernel.h[n].size_mean
        episode_emit(&(<self_excitation_t*> self.states + n).side[k], now, phase, flags, value, expected, s)
        s.score = 10.0 * self.kernel.next_large_c(&self.plan, n, side, now)
        return 1

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef int32_t n = e.instrument
        cdef int k = e.side < 0
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        cdef episode_t* own = &x.side[k]
        cdef double value
        episode_see(&x.side[0], e, m, flags)
        episode_see(&x.side[1], e, m, flags)
        self.kernel.push_c(n, e.ts_recv, e.side, notional)
        x.check[k] = e.ts_recv + self.g.check_ns
        if own.phase == ACTIVE:
            own.count += 1
            episode_add(own, e.side, notional)
            value = self.statistic(n, e.side, e.ts_recv)
            if value < self.g.back:
                self.emit_signal(n, k, e.ts_recv, EXHAUSTED, flags, value, out)
                own.phase = IDLE
                return 1
            return 0
        if notional < self.g.floor_usd:
            return 0
        value = self.statistic(n, e.side, e.ts_recv)
        # written so that an unknown percentile (nan) fails
        if value < self.g.times or (self.g.percentile > 0.0 and not self.kernel.percentile_c(n, self.g.estimate) >= self.g.percentile):
            return 0
        x.sequence += 1
        episode_begin(own, e.ts_recv, e.side, x.sequence)
        own.count = 1
        episode_add(own, e.side, notional)
        return self.emit_signal(n, k, e.ts_recv, ACTIVE, flags, value, out)

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        cdef int k, emitted = 0
        cdef double value
        for k in range(2):
            if x.side[k].phase != ACTIVE or x.check[k] > now:
                continue
            x.check[k] = now + self.g.check_ns
            value = self.statistic(n, SHORT if k else LONG, now)
            if value < self.g.back:
                emitted += self.emit_signal(n, k, now, EXHAUSTED, 0, value, out + emitted)
                x.side[k].phase = IDLE
        return emitted

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        cdef int64_t due = NEVER
        cdef int k
        for k in range(2):
            if x.side[k].phase == ACTIVE:
                due = min(due, x.check[k])
        return due

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        cdef int k
        for k in range(2):
            x.side[k].phase = IDLE
            x.side[k].uncertain_until = until
        self.kernel.gap_c(n)

    cdef list save_parts(self, int32_t n):
        return [*Detector.save_parts(self, n), self.kernel.save_c(n), self.kernel.save_groups_c()]

    cdef int load_more(self, int32_t n, list parts) except -1:
        cdef self_excitation_t* x = <self_excitation_t*> self.states + n
        before = self.kernel.save_c(n)
        self.kernel.load_c(n, parts[0])
        try:
            self.kernel.load_groups_c(parts[1])
        except ValueError:
            self.kernel.load_c(n, before)
            raise
        x.side[0].instrument = x.side[1].instrument = n
        return 0
