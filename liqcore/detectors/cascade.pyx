"""The cascade detector: see cascade.pxd."""

from libc.math cimport NAN, fmax
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.audit cimport AUDIT_LAPSED, AUDIT_LARGE
from liqcore.argument cimport describe, real, whole, string
from liqcore.event cimport *
from liqcore.instrument cimport Instrument
from liqcore.kernels.quantile cimport (quantile_count, quantile_free, quantile_init, quantile_load, quantile_push, quantile_reached, quantile_save,
                               quantile_value)
from liqcore.kernels.window cimport (WINDOW_NOTIONAL_MAX, window_advance, window_falls, window_free, window_init, window_load, window_push,
                                     window_save, window_total)
from liqcore.kernels.zscore cimport segz_advance, segz_free, segz_init, segz_load, segz_push, segz_save, segz_value
from liqcore.snapshot cimport pack, unpack

from liqcore import event as schema
from liqcore.detectors.parameters import Parameter, resolve_parameters

SNAPSHOT_NAME = b"liqcore-cascade-2\n"

BASES = ("reported", "mark", "last")         # NotionalBasis
PARAMETERS = (
    Parameter("quantile", 0.95, 1e-9, 1 - 1e-9, "share", "a liquidation is large at or above this quantile of the instrument's last ones"),
    Parameter("window_events", 1000, 2, 1_000_000, "liquidations", "number of last liquidations that the quantile is taken of"),
    Parameter("window_s", 60.0, 1e-3, 1e6, "s", "largest time between two large liquidations of a cascade"),
    Parameter("min_events", 2, 1, 1_000_000, "liquidations", "number of large liquidations from which the cascade is ACTIVE"),
    Parameter("warmup", 100, 1, 1_000_000_000, "liquidations", "liquidations of an instrument before the first one that can be large"),
    Parameter("refresh_s", 0.0, 0.0, 1e8, "s", "time after which the threshold is computed again; 0 = before every event"),
    Parameter("mode", "chain", 0, 0, "", "window_s counts from the last large liquidation (chain) or from the first (anchored)",
              ("chain", "anchored")),
    Parameter("floor", 0.0, 0.0, 1e15, "quote currency", "least notional of a large liquidation (an absolute floor)"),
    Parameter("decay_s", 10.0, 1e-3, 1e5, "s", "time window of the rolling notional"),
    Parameter("fall", 0.6, 0.0, 1.0, "share", "DECELERATING when the rolling notional has fallen by more than this from its peak"),
    Parameter("segment_s", 60.0, 1e-3, 1e6, "s", "length of a segment of the z-score"),
    Parameter("baseline", 288, 2, 100_000, "segments", "number of completed segments that the z-score compares with"),
    Parameter("notional", "reported", 0, 0, "", "price of the notional; reported prices are bankruptcy prices on most venues", BASES),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int SEGMENTS_MIN = 30          # completed segments before a z-score means anything
cdef int DECAY_CAPACITY = 2048      # liquidations of one instrument inside the decay window; in a full window the oldest is dropped


cdef int cascade_init(cascade_t* c, const cascade_config_t* config, int32_t instrument, uint8_t flags) except -1:
    memset(c, 0, sizeof(cascade_t))
    c.p.instrument = instrument
    c.p.refreshed = -1
    c.p.flags = flags
    quantile_init(&c.q, config.quantile, config.window_events)
    window_init(&c.w, config.decay_ns, DECAY_CAPACITY)
    segz_init(&c.z, config.segment_ns, config.baseline, min(SEGMENTS_MIN, config.baseline))
    return 0


cdef void cascade_free(cascade_t* c) noexcept nogil:
    quantile_free(&c.q)
    window_free(&c.w)
    segz_free(&c.z)


cdef int emit_signal(cascade_t* c, int64_t now, uint8_t phase, uint8_t flags, signal_t* s) noexcept nogil:
    """Enter a phase and write its signal."""
    cdef double total = c.p.long_notional + c.p.short_notional
    c.p.phase = phase
    memset(s, 0, sizeof(signal_t))
    s.ts = now
    s.ts_start = c.p.ts_first
    s.long_notional = c.p.long_notional
    s.short_notional = c.p.short_notional
    s.threshold = c.p.large_threshold
    s.z = segz_value(&c.z)
    # 10 x the share of the large notional beyond one threshold: uncalibrated, not a probability
    s.score = 10.0 * (1.0 - c.p.large_threshold / total) if total > c.p.large_threshold else 0.0
    s.price = c.p.price
    s.rolling = window_total(&c.w)
    s.instrument = c.p.instrument
    s.count = c.p.count
    s.detector = DETECTOR_CASCADE
    s.phase = phase
    s.side = LONG if c.p.long_notional > c.p.short_notional else SHORT if c.p.short_notional > c.p.long_notional else c.p.last_side
    s.flags = c.p.flags | flags
    if now < c.p.uncertain_until:
        s.flags |= SIGNAL_UNCERTAIN
    s.sequence = c.p.sequence
    return 1


cdef bint is_large(cascade_t* c, const cascade_config_t* g, int64_t now, double notional) noexcept nogil:
    """Compare with the values before this event. In refresh mode the threshold is the last learnt one; else it is the present quantile."""
    if c.p.seen < g.warmup or quantile_count(&c.q) == 0:
        return False
    if g.refresh_ns == 0:
        if notional < g.floor or not quantile_reached(&c.q, notional):
            return False
        c.p.large_threshold = fmax(quantile_value(&c.q), g.floor)
        return True
    if c.p.refreshed < 0 or now - c.p.refreshed >= g.refresh_ns:
        c.p.threshold = quantile_value(&c.q)
        c.p.refreshed = now
    if notional < fmax(c.p.threshold, g.floor):
        return False
    c.p.large_threshold = fmax(c.p.threshold, g.floor)
    return True


cdef int count_large(cascade_t* c, const cascade_config_t* g, int64_t now, int8_t side, double notional, uint8_t flags,
                     signal_t* out) noexcept nogil:
    """One large event: begin a cascade or continue it. cascade_timer has already ended a cascade whose window has passed."""
    cdef int emitted = 0
    if c.p.phase == IDLE:
        c.p.sequence += 1
        c.p.count = 0
        c.p.long_notional = c.p.short_notional = 0.0
        c.p.ts_first = now
    c.p.ts_last = now
    c.p.last_side = side
    c.p.count += 1
    if side > 0:
        c.p.long_notional += notional
    else:
        c.p.short_notional += notional
    if c.p.phase == IDLE and g.min_events > 1:
        emitted = emit_signal(c, now, BUILDING, flags, out)
    elif c.p.phase <= BUILDING and c.p.count >= g.min_events:
        c.p.peak = window_total(&c.w)
        emitted = emit_signal(c, now, ACTIVE, flags, out)
    elif c.p.phase == DECELERATING and window_total(&c.w) >= (1.0 - g.fall) * c.p.peak:
        emitted = emit_signal(c, now, ACTIVE, flags, out)
    return emitted


cdef int cascade_push(cascade_t* c, const cascade_config_t* g, int64_t now, int8_t side, double notional, double price, uint8_t flags,
                      signal_t* out) noexcept nogil:
    """One liquidation, after cascade_timer(now). Returns the number of signals written; p.large tells whether it was large."""
    cdef int emitted = 0
    c.p.large = is_large(c, g, now, notional)
    quantile_push(&c.q, notional)
    c.p.seen += 1
    window_push(&c.w, now, side, notional)
    segz_push(&c.z, now, notional)
    c.p.price = price
    if c.p.large:
        emitted = count_large(c, g, now, side, notional, flags, out)
    if c.p.phase >= ACTIVE:
        c.p.peak = fmax(c.p.peak, window_total(&c.w))
    return emitted


cdef inline int64_t silence(const cascade_t* c, const cascade_config_t* g) noexcept nogil:
    """The first moment at which a large event would no longer belong to the cascade."""
    return (c.p.ts_first if g.anchored else c.p.ts_last) + g.window_ns + 1


cdef int cascade_timer(cascade_t* c, const cascade_config_t* g, int64_t now, signal_t* out) noexcept nogil:
    """Let time pass: the rolling notional decays, and a cascade without new large events ends."""
    c.p.lapsed = 0
    window_advance(&c.w, now)
    if c.p.phase == IDLE:
        return 0
    if now >= silence(c, g):
        segz_advance(&c.z, now)
        if c.p.phase == BUILDING:
            c.p.phase = IDLE
            c.p.lapsed = 1
            return 0
        emit_signal(c, now, EXHAUSTED, 0, out)
        c.p.phase = IDLE
        return 1
    if c.p.phase == ACTIVE and window_total(&c.w) < (1.0 - g.fall) * c.p.peak:
        segz_advance(&c.z, now)
        return emit_signal(c, now, DECELERATING, 0, out)
    return 0


cdef int64_t cascade_deadline(cascade_t* c, const cascade_config_t* g) noexcept nogil:
    """When cascade_timer must be called next."""
    if c.p.phase == IDLE:
        return NEVER
    if c.p.phase == ACTIVE:
        return min(silence(c, g), window_falls(&c.w, (1.0 - g.fall) * c.p.peak))
    return silence(c, g)


cdef double cascade_threshold(cascade_t* c, const cascade_config_t* g) noexcept nogil:
    """Threshold for the next event, quote currency; nan during warm-up."""
    if c.p.seen < g.warmup:
        return NAN
    return fmax(quantile_value(&c.q) if g.refresh_ns == 0 or c.p.refreshed < 0 else c.p.threshold, g.floor)


cdef void cascade_uncertain(cascade_t* c, int64_t until) noexcept nogil:
    """The feed had a gap, so counts may be incomplete. Forget the running cascade, keep the learnt distribution."""
    c.p.phase = IDLE
    c.p.count = 0
    c.p.long_notional = c.p.short_notional = 0.0
    c.p.uncertain_until = until


cdef bytes cascade_save(cascade_t* c):
    """The state of one detector: its plain part and those of its kernels."""
    return pack(SNAPSHOT_NAME, [(<char*> &c.p)[:sizeof(phase_t)], quantile_save(&c.q), window_save(&c.w), segz_save(&c.z)])


cdef int cascade_load(cascade_t* c, bytes data) except -1:
    """ValueError, and no change, unless the bytes are a snapshot of a detector with the same settings."""
    cdef list parts = unpack(SNAPSHOT_NAME, data, "cascade")
    cdef bytes quantile = quantile_save(&c.q), window = window_save(&c.w)
    if len(parts) != 4 or len(parts[0]) != <Py_ssize_t> sizeof(phase_t):
        raise ValueError("cascade snapshot: of another version of liqcore")
    try:
        quantile_load(&c.q, parts[1])
        window_load(&c.w, parts[2])
        segz_load(&c.z, parts[3])
    except ValueError:
        quantile_load(&c.q, quantile)
        window_load(&c.w, window)
        raise
    memcpy(&c.p, <const char*> <bytes> parts[0], sizeof(phase_t))
    return 0


cdef class CascadeConfig:
    """Settings of the cascade detector, by keyword; cascade.PARAMETERS has range, unit and meaning of each. The defaults are those of the published
    fade system, with a continuously learnt threshold. TypeError and ValueError name the setting.
    """

    def __init__(self, **settings):
        for p in PARAMETERS:
            if p.name in settings and not p.choices:        # numbers of NumPy are accepted, another type is a TypeError
                settings[p.name] = whole(settings[p.name], p.name) if isinstance(p.default, int) else real(settings[p.name], p.name)
        self.values = p = resolve_parameters("cascade", PARAMETERS, settings)
        self.c = cascade_config_t(quantile=p["quantile"], floor=p["floor"], fall=p["fall"], window_ns=round(p["window_s"] * 1e9),
                                  decay_ns=round(p["decay_s"] * 1e9), refresh_ns=round(p["refresh_s"] * 1e9),
                                  segment_ns=round(p["segment_s"] * 1e9), window_events=p["window_events"], min_events=p["min_events"],
                                  warmup=p["warmup"], baseline=p["baseline"], anchored=p["mode"] == "anchored",
                                  basis=BASES.index(p["notional"]))

    def as_dict(self) -> dict:
        """Everything that recreates it: CascadeConfig(**c.as_dict())."""
        return dict(self.values)

    def __eq__(self, other):
        return isinstance(other, CascadeConfig) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash(tuple(self.as_dict().values()))

    def __repr__(self):
        return "CascadeConfig(" + ", ".join(f"{k}={v!r}" for k, v in self.as_dict().items()) + ")"


cdef class CascadeDetector(Detector):
    """The cascade as one of an engine's detectors.

    config: CascadeConfig, or its settings as keywords. name: 'cascade' unless several of them run side by side.
    """

    def __init__(self, config=None, *, name="cascade", **settings):
        if config is not None and settings:
            raise TypeError("CascadeDetector: expected a CascadeConfig or its settings, not both: " + ", ".join(settings))
        if config is None:
            config = CascadeConfig(**settings)
        elif not isinstance(config, CascadeConfig):
            raise TypeError(f"config: expected a liqcore.CascadeConfig, got {type(config).__name__}")
        self.set_parameters("cascade", string(name, "name"), (), {})
        self.config = config
        self.parameters = config.as_dict()
        self.wants = 1 << LIQUIDATION
        self.window_ns = self.config.c.window_ns
        self.basis = self.config.c.basis
        self.last_only = True

    def __dealloc__(self):
        cdef int n
        if self.c != NULL:
            for n in range(self.count):
                cascade_free(&self.c[n])
        free(self.c)
        free(self.inst)

    cdef int open_c(self, tuple instruments) except -1:
        cdef int n
        self.claim()
        self.inst = <instrument_t*> calloc(len(instruments), sizeof(instrument_t))
        self.c = <cascade_t*> calloc(len(instruments), sizeof(cascade_t))
        if self.inst == NULL or self.c == NULL:
            raise MemoryError(f"no memory for {len(instruments)} cascades")
        for n in range(len(instruments)):
            self.inst[n] = (<Instrument?> instruments[n]).c
            # a flag of all signals of the instrument; the engine adds it, too
            cascade_init(&self.c[n], &self.config.c, n, SIGNAL_MARK_NOTIONAL if self.config.c.basis else 0)
            self.count = n + 1
        return 0

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef cascade_t* c = &self.c[e.instrument]
        cdef int emitted
        notional = notional_at(e, self.inst[e.instrument].multiplier, basis_price(self.config.c.basis, m, e.ts_recv))
        emitted = cascade_push(c, &self.config.c, e.ts_recv, e.side, notional, m.last if m.last > 0.0 else e.price, flags, out)
        if c.p.large and self.audit is not None:
            self.audit_large(c, e, notional)
        return emitted

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        cdef int emitted = cascade_timer(&self.c[n], &self.config.c, now, out)
        if self.c[n].p.lapsed and self.audit is not None:
            self.audit_lapsed(&self.c[n], now)
        return emitted

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        return cascade_deadline(&self.c[n], &self.config.c)

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        cascade_uncertain(&self.c[n], until)

    cdef bytes save_c(self, int32_t n):
        return cascade_save(&self.c[n])

    cdef int load_c(self, int32_t n, bytes data) except -1:
        return cascade_load(&self.c[n], data)

    cdef void audit_large(self, const cascade_t* c, const event_t* e, double notional) noexcept nogil:
        """Audit a liquidation that was large."""
        cdef audit_t* a = self.audit.put(e.ts_recv, AUDIT_LARGE, OK, c.p.phase, e.instrument, e.side, e.ts_event)
        a.of.large.notional = notional
        a.of.large.threshold = c.p.large_threshold
        a.of.large.count = c.p.count
        a.of.large.detector = self.place
        a.of.large.long_notional = c.p.long_notional
        a.of.large.short_notional = c.p.short_notional
        a.of.large.price = e.price
        a.of.large.qty = e.qty
        a.of.large.rolling = window_total(&c.w)

    cdef void audit_lapsed(self, const cascade_t* c, int64_t now) noexcept nogil:
        """Audit the end of a cascade that never became ACTIVE."""
        cdef audit_t* a = self.audit.put(now, AUDIT_LAPSED, OK, BUILDING, c.p.instrument, c.p.last_side, 0)
        a.of.lapsed.long_notional = c.p.long_notional
        a.of.lapsed.short_notional = c.p.short_notional
        a.of.lapsed.threshold = c.p.large_threshold
        a.of.lapsed.count = c.p.count
        a.of.lapsed.detector = self.place

    cdef int phase_c(self, int32_t n) noexcept nogil:
        return self.c[n].p.phase

    def threshold(self, int n) -> float:
        """Threshold for the next liquidation of the engine's instrument n, quote currency; nan during warm-up."""
        if not 0 <= n < self.count:
            raise IndexError(f"instrument {n}: expected 0 to {self.count - 1}")
        return cascade_threshold(&self.c[n], &self.config.c)


describe(CascadeDetector, {"config": "Its CascadeConfig."})


cdef class Cascade(Standalone):
    """The cascade detector on one instrument: Standalone(CascadeDetector(config)), with its phase and its threshold."""

    def __init__(self, CascadeConfig config=None):
        Standalone.__init__(self, CascadeDetector(config))

    @property
    def phase(self):
        """The present Phase."""
        return schema.Phase(self.detector.phase_c(0))

    @property
    def threshold(self):
        """Threshold for the next event, quote currency; nan during warm-up."""
        return self.detector.threshold(0)

    def restore(self, bytes data):
        """Restore a snapshot() of a Cascade with the same config, also one of an earlier version; ValueError for another."""
        if data.startswith(SNAPSHOT_NAME):
            self.idle()
            self.detector.load_c(0, data)
        else:
            Standalone.restore(self, data)
