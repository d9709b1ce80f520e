"""The dollar window: see usd_window.pxd."""

from libc.math cimport fmax

from liqcore.detectors.detector cimport PART_PLAIN, PART_WINDOW
from liqcore.detectors.episode cimport *
from liqcore.event cimport *
from liqcore.kernels.window cimport window_advance, window_init, window_long, window_next_expiry, window_push, window_short

from liqcore.detectors.parameters import Parameter, power_of_two

SNAPSHOT_NAME = b"liqcore-dollar-1\n"
PARAMETERS = (
    Parameter("min_usd", 50_000.0, 0.0, 1e12, "quote currency", "smaller liquidations are ignored"),
    Parameter("window_s", 90.0, 1e-3, 1e5, "s", "rolling window"),
    Parameter("trigger_usd", 5_000_000.0, 1.0, 1e15, "quote currency", "ACTIVE when the volume of one side inside the window exceeds this"),
    Parameter("fall", 0.6, 0.0, 1.0, "share", "DECELERATING when the volume has fallen by more than this from its peak"),
    Parameter("silence_s", 60.0, 1e-3, 1e5, "s", "EXHAUSTED at the latest this long after the last liquidation of the side (ours; the document "
              "speaks of 60 to 120 s)"),
    Parameter("rearm", 0.5, 0.0, 1.0, "share of the trigger", "EXHAUSTED when a decelerating side's volume is below it; no other episode begins "
              "before, unless the volume since then exceeds the trigger (ours)"),
    Parameter("window_events", 2048, 2, 1_000_000, "liquidations, a power of two", "capacity of the window, 24 B each; "
              "when it is full the oldest are dropped (2,048 of min_usd are $100 M; ours)"),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef inline double volume(const dollar_t* d, int8_t side) noexcept nogil:
    return window_long(&d.w) if side > 0 else window_short(&d.w)


cdef int emit(dollar_t* d, const dollar_config_t* g, lane_t* lane, int64_t now, uint8_t phase, uint8_t flags, signal_t* out) noexcept nogil:
    cdef double now_inside = volume(d, lane.e.side)
    return episode_emit(&lane.e, now, phase, flags, now_inside / g.trigger_usd, now_inside, out)


cdef void recount(dollar_t* d, lane_t* lane) noexcept nogil:
    """The trigger was reached long after BUILDING began: the episode begins with the oldest print of its side that is still inside."""
    cdef int64_t i, first = d.w.expired
    cdef double x
    while (d.w.notional[first & d.w.mask] < 0) != (lane.e.side < 0):
        first += 1
    lane.e.ts_first = d.w.ts[first & d.w.mask]
    lane.e.long_notional = lane.e.short_notional = 0.0
    lane.e.count = 0
    for i in range(first, d.w.pushed):
        x = d.w.notional[i & d.w.mask]
        episode_add(&lane.e, SHORT if x < 0 else LONG, -x if x < 0 else x)
        lane.e.count += (x < 0) == (lane.e.side < 0)


cdef double since(const dollar_t* d, const lane_t* lane, int8_t side) noexcept nogil:
    """Volume of a side inside the window since its last episode; computed only while the side is spent."""
    cdef int64_t i = d.w.pushed - 1
    cdef double x, total = 0.0
    while i >= d.w.expired and d.w.ts[i & d.w.mask] > lane.e.ts_last:
        x = d.w.notional[i & d.w.mask] * side
        if x > 0.0:
            total += x
        i -= 1
    return total


cdef int dollar_push(dollar_t* d, const dollar_config_t* g, int64_t now, int8_t side, double notional, uint8_t flags, signal_t* out) noexcept nogil:
    """One liquidation, after dollar_timer(now)."""
    cdef lane_t* lane = &d.lanes[side < 0]
    cdef lane_t* other = &d.lanes[side > 0]
    cdef double inside
    cdef int emitted = 0
    if notional < g.min_usd:
        return 0
    window_advance(&d.w, now)
    if lane.spent and volume(d, side) < g.rearm * g.trigger_usd:
        lane.spent = 0
    window_push(&d.w, now, side, notional)
    if other.e.phase != IDLE:
        episode_add(&other.e, side, notional)
    if lane.spent and since(d, lane, side) > g.trigger_usd:
        lane.spent = 0                   # a separate flush right after the last one, whose rest may still be inside
    if lane.spent:
        return 0
    if lane.e.phase == IDLE:
        d.sequence += 1
        episode_begin(&lane.e, now, side, d.sequence)
    lane.e.ts_last = now
    lane.e.count += 1
    episode_add(&lane.e, side, notional)
    if lane.e.phase == IDLE:
        emitted = emit(d, g, lane, now, BUILDING, flags, out)
    inside = volume(d, side)
    if lane.e.phase == BUILDING and inside > g.trigger_usd:
        if now - lane.e.ts_first > g.window_ns:
            recount(d, lane)
        emitted += emit(d, g, lane, now, ACTIVE, flags, out + emitted)
        lane.peak = inside
    elif lane.e.phase == DECELERATING and inside > lane.peak:
        emitted += emit(d, g, lane, now, ACTIVE, flags, out + emitted)
    if lane.e.phase >= ACTIVE:
        lane.peak = fmax(lane.peak, inside)
    return emitted


cdef int lane_timer(dollar_t* d, const dollar_config_t* g, lane_t* lane, int64_t now, signal_t* out) noexcept nogil:
    cdef int emitted = 0
    if lane.e.phase == BUILDING:
        if now - lane.e.ts_last > g.window_ns:
            lane.e.phase = IDLE
    elif lane.e.phase != IDLE and now - lane.e.ts_last > g.silence_ns:
        emit(d, g, lane, now, EXHAUSTED, 0, out)
        lane.e.phase = IDLE
        lane.spent = 1
        return 1
    else:
        if lane.e.phase == ACTIVE and volume(d, lane.e.side) < (1.0 - g.fall) * lane.peak:
            emitted = emit(d, g, lane, now, DECELERATING, 0, out)
        # not by silence alone: one small print a minute would prolong the episode and its peak, and hide the next cascade
        if lane.e.phase == DECELERATING and volume(d, lane.e.side) < g.rearm * g.trigger_usd:
            emitted += emit(d, g, lane, now, EXHAUSTED, 0, out + emitted)
            lane.e.phase = IDLE
            lane.spent = 1
    return emitted


cdef int dollar_timer(dollar_t* d, const dollar_config_t* g, int64_t now, signal_t* out) noexcept nogil:
    """Let time pass: volume leaves the window, sides become silent. Signals of LONG come before those of SHORT."""
    cdef int emitted
    window_advance(&d.w, now)
    emitted = lane_timer(d, g, &d.lanes[0], now, out)
    return emitted + lane_timer(d, g, &d.lanes[1], now, out + emitted)


cdef int64_t dollar_deadline(const dollar_t* d, const dollar_config_t* g) noexcept nogil:
    """When dollar_timer must be called next."""
    cdef int64_t due = NEVER
    cdef int i
    for i in range(2):
        if d.lanes[i].e.phase == BUILDING:
            due = min(due, d.lanes[i].e.ts_last + g.window_ns + 1)
        elif d.lanes[i].e.phase != IDLE:
            due = min(due, d.lanes[i].e.ts_last + g.silence_ns + 1)
            due = min(due, window_next_expiry(&d.w))
    return due


cdef class Dollar(Detector):
    """Dollar window of liquidations, both sides. Dollar(name="dollar", **parameters); the parameters are the rows of usd_window.PARAMETERS.

    BUILDING at the first print of at least min_usd, ACTIVE when the side's volume inside the window is above the trigger, DECELERATING when it has
    fallen from its peak (ACTIVE again only above that peak), EXHAUSTED when it has then fallen below rearm x trigger, or in silence.
    Signal: ts_start = the first print; count = prints of the side; long and short notional = prints since;
    rolling = volume of the side inside the window; z = rolling / trigger; threshold = trigger.
    """

    def __init__(self, str name="dollar", **parameters):
        cdef dollar_t d
        p = self.set_parameters("dollar", name, PARAMETERS, parameters)
        power_of_two("dollar", "window_events", p)
        self.wants = 1 << <int> LIQUIDATION
        self.window_ns = round(p["window_s"] * 1e9)
        self.g = dollar_config_t(min_usd=p["min_usd"], trigger_usd=p["trigger_usd"], rearm=p["rearm"], fall=p["fall"],
                                 window_ns=round(p["window_s"] * 1e9), silence_ns=round(p["silence_s"] * 1e9))
        self.set_state(SNAPSHOT_NAME, sizeof(d))
        self.add_part(PART_PLAIN, &d, d.lanes, sizeof(d.lanes))
        self.add_part(PART_PLAIN, &d, &d.sequence, sizeof(d.sequence))
        self.add_part(PART_WINDOW, &d, &d.w)

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef dollar_t* d = <dollar_t*> self.states + n
        cdef int i
        window_init(&d.w, self.g.window_ns, self.parameters["window_events"])
        for i in range(2):
            episode_reset(&d.lanes[i].e, n, flags)
            d.lanes[i].e.threshold = self.g.trigger_usd
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef dollar_t* d = <dollar_t*> self.states + e.instrument
        episode_see(&d.lanes[0].e, e, m, flags)
        episode_see(&d.lanes[1].e, e, m, flags)
        return dollar_push(d, &self.g, e.ts_recv, e.side, notional, flags, out)

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        return dollar_timer(<dollar_t*> self.states + n, &self.g, now, out)

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return dollar_deadline(<dollar_t*> self.states + n, &self.g)

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """Begin anew: later signals use only events after the gap."""
        cdef dollar_t* d = <dollar_t*> self.states + n
        cdef int i
        Detector.uncertain_c(self, n, until)
        for i in range(2):
            d.lanes[i].spent = 0
            d.lanes[i].e.phase = IDLE
            d.lanes[i].e.uncertain_until = until

    cdef int load_more(self, int32_t n, list parts) except -1:
        cdef dollar_t* d = <dollar_t*> self.states + n
        d.lanes[0].e.instrument = d.lanes[1].e.instrument = n
        return 0
