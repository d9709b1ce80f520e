"""The segment anomaly detector: see segment_anomaly.pxd."""

from liqcore.detectors.detector cimport PART_EPISODE, PART_PLAIN, PART_SEGMENTS
from liqcore.detectors.episode cimport *
from liqcore.event cimport *
from liqcore.kernels.zscore cimport segz_init, segz_value

from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME = b"liqcore-anomaly-1\n"
PARAMETERS = (
    Parameter("segment_s", 300.0, 1e-3, 1e6, "s", "the baseline is cut into equal segments of this length (the document gives none: ours)"),
    Parameter("baseline", 288, 2, 100_000, "segments", "number of completed segments in the history (ours: a day)"),
    Parameter("min_segments", 12, 1, 100_000, "segments", "completed segments before z is computed (until then it is 0); at most `baseline` (ours)"),
    Parameter("z_min", 3.0, 0.0, 1e6, "standard deviations", "least z of a segment for ACTIVE (the document gives none: ours)"),
    Parameter("z_normal", 1.0, -1e6, 1e6, "standard deviations", "an ACTIVE anomaly continues while z is at least this (hysteresis; ours); "
              "at most `z_min`"),
    Parameter("purity", 0.75, 0.5, 1.0, "share of one side", "least share of one side for ACTIVE (long share above 75 % or below 25 %)"),
    Parameter("floor_usd", 50_000.0, 0.0, 1e15, "quote currency", "least notional of a segment for ACTIVE (the document's MIN_VALUE; ours)"),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef int emit(anomaly_t* d, int64_t now, uint8_t phase, double z, signal_t* out) noexcept nogil:
    """Write a signal with the numbers of the segment that ends now."""
    d.e.long_notional = d.long_notional
    d.e.short_notional = d.short_notional
    d.e.count = d.count
    return episode_emit(&d.e, now, phase, 0, z, d.s.z.current, out)


cdef int anomaly_push(anomaly_t* d, int64_t now, int8_t side, double notional) noexcept nogil:
    """One liquidation, after anomaly_timer(now): it only adds to the running segment."""
    if not segments_open(&d.s, now):
        return 0
    segments_push(&d.s, now, notional)
    if side > 0:
        d.long_notional += notional
    else:
        d.short_notional += notional
    d.count += 1
    return 0


cdef int anomaly_timer(anomaly_t* d, const anomaly_config_t* g, int64_t now, signal_t* out) noexcept nogil:
    """End the running segment."""
    cdef double z, total, share = 0.5
    cdef int8_t side
    cdef int emitted = 0
    cdef bint pure
    if d.s.z.ends == INT64_MIN or now < d.s.z.ends:
        return 0
    z = segz_value(&d.s.z)
    total = d.long_notional + d.short_notional
    side = LONG if d.long_notional >= d.short_notional else SHORT
    if total > 0.0:
        share = (d.long_notional if side > 0 else d.short_notional) / total
    pure = share > g.purity
    if d.e.phase == ACTIVE and not (z >= g.z_normal and pure and side == d.e.side):
        emitted = emit(d, now, EXHAUSTED, z, out)
        d.e.phase = IDLE
    if d.e.phase == IDLE and z >= g.z_min and z > 0.0 and pure and total >= g.floor_usd:
        episode_begin(&d.e, d.s.z.segment * d.s.z.segment_ns, side, d.e.sequence + 1)
        emitted += emit(d, now, ACTIVE, z, out + emitted)
    segments_advance(&d.s, now)
    d.long_notional = d.short_notional = 0.0
    d.count = 0
    return emitted


cdef int64_t anomaly_deadline(const anomaly_t* d) noexcept nogil:
    """The end of the running segment, if something depends on it."""
    return d.s.z.ends if d.s.z.ends != INT64_MIN and (d.count > 0 or d.e.phase != IDLE) else NEVER


cdef class Anomaly(Detector):
    """Segments that stand out. Anomaly(name="anomaly", **parameters); the parameters are the rows of segment_anomaly.PARAMETERS.

    ACTIVE at the end of a segment that qualifies (z, one-sidedness, floor); EXHAUSTED at the end of the first later one that no longer does. Signal:
    ts = the segment's end; ts_start = the start of the first segment; count, long and short notional, rolling = of the segment that ended; z = its z;
    threshold = z_min. The grades of `trend` use s.z and the purity max(s.long_notional, s.short_notional) / s.notional.
    """

    def __init__(self, str name="anomaly", **parameters):
        cdef anomaly_t d
        p = self.set_parameters("anomaly", name, PARAMETERS, parameters)
        for low, high in (("z_normal", "z_min"), ("min_segments", "baseline")):
            if p[low] > p[high]:
                raise ValueError(f"detector anomaly, {low}: expected at most {high} ({p[high]}), got {p[low]}")
        self.wants = 1 << <int> LIQUIDATION
        self.window_ns = round(p["segment_s"] * 1e9)
        self.g = anomaly_config_t(z_min=p["z_min"], z_normal=p["z_normal"], purity=p["purity"], floor_usd=p["floor_usd"],
                                  segment_ns=self.window_ns)
        self.set_state(SNAPSHOT_NAME, sizeof(d))
        self.add_part(PART_SEGMENTS, &d, &d.s)
        self.add_part(PART_EPISODE, &d, &d.e)
        self.add_part(PART_PLAIN, &d, &d.long_notional, sizeof(d.long_notional))
        self.add_part(PART_PLAIN, &d, &d.short_notional, sizeof(d.short_notional))
        self.add_part(PART_PLAIN, &d, &d.count, sizeof(d.count))
        self.add_part(PART_PLAIN, &d, &d.s.whole_from, sizeof(d.s.whole_from))
        self.add_part(PART_PLAIN, &d, &d.s.cut, sizeof(d.s.cut))

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef anomaly_t* d = <anomaly_t*> self.states + n
        segz_init(&d.s.z, self.g.segment_ns, self.parameters["baseline"], self.parameters["min_segments"])
        segments_cut(&d.s)
        episode_reset(&d.e, n, flags)
        d.e.threshold = self.g.z_min
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef anomaly_t* d = <anomaly_t*> self.states + e.instrument
        episode_see(&d.e, e, m, flags)
        return anomaly_push(d, e.ts_recv, e.side, notional)

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        return anomaly_timer(<anomaly_t*> self.states + n, &self.g, now, out)

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return anomaly_deadline(<anomaly_t*> self.states + n)

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """The running segment is incomplete: it gives no signal and does not enter the baseline."""
        cdef anomaly_t* d = <anomaly_t*> self.states + n
        Detector.uncertain_c(self, n, until)
        d.long_notional = d.short_notional = 0.0
        d.count = 0
