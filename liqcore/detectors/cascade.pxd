"""The P95 cascade detector: one cascade_t per instrument, composed of an exact rolling quantile, a window and a segment z-score.

An event is large when its notional is at or above the threshold, read before the event enters and only after `warmup` events. `min_events` large
events make a cascade ACTIVE; in chain mode each must come within the window of the last one, in anchored mode within the window of the first.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.single cimport Standalone
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.instrument cimport instrument_t
from liqcore.market cimport mark_alive
from liqcore.kernels.quantile cimport quantile_t
from liqcore.kernels.window cimport window_t
from liqcore.kernels.zscore cimport segz_t

cdef enum:
    DETECTOR_CASCADE = 1
    SIGNALS_PER_CALL = 4     # size of the array that a caller of cascade_push and cascade_timer must pass

cpdef enum NotionalBasis:
    NOTIONAL_REPORTED = 0
    NOTIONAL_MARK = 1
    NOTIONAL_LAST = 2

ctypedef struct cascade_config_t:
    double quantile
    double floor             # a large event has at least this notional, quote currency
    double fall              # share that the rolling notional must fall from its peak: DECELERATING
    int64_t window_ns
    int64_t decay_ns         # horizon of the rolling notional
    int64_t refresh_ns       # the threshold is learnt anew after this time; 0 = before every event
    int64_t segment_ns       # of the z-score
    int32_t window_events
    int32_t min_events
    int32_t warmup
    int32_t baseline         # segments of the z-score
    uint8_t anchored
    uint8_t basis            # NotionalBasis

ctypedef struct phase_t:     # the plain part: a snapshot is a copy
    double threshold         # as last learnt (refresh mode)
    double large_threshold   # of the latest large event
    double long_notional
    double short_notional
    double peak              # of the rolling notional since ACTIVE
    double price
    int64_t refreshed        # ns; -1 = never
    int64_t seen             # events that have entered
    int64_t ts_first         # large event of this cascade
    int64_t ts_last
    int64_t uncertain_until  # ns: signals before are UNCERTAIN
    int32_t instrument
    int32_t count
    int32_t sequence
    uint8_t phase
    int8_t last_side
    uint8_t flags            # SignalFlag that every signal carries (censored feed, mark notional)
    uint8_t large            # the last push was large
    uint8_t lapsed           # in the last call a cascade ended that never became ACTIVE

ctypedef struct cascade_t:
    phase_t p
    quantile_t q
    window_t w
    segz_t z

cdef int cascade_init(cascade_t* c, const cascade_config_t* config, int32_t instrument, uint8_t flags) except -1
cdef void cascade_free(cascade_t* c) noexcept nogil
cdef int cascade_push(cascade_t* c, const cascade_config_t* g, int64_t now, int8_t side, double notional, double price, uint8_t flags,
                      signal_t* out) noexcept nogil
cdef int cascade_timer(cascade_t* c, const cascade_config_t* g, int64_t now, signal_t* out) noexcept nogil
cdef int64_t cascade_deadline(cascade_t* c, const cascade_config_t* g) noexcept nogil
cdef double cascade_threshold(cascade_t* c, const cascade_config_t* g) noexcept nogil
cdef void cascade_uncertain(cascade_t* c, int64_t until) noexcept nogil

cdef inline double basis_price(uint8_t basis, const market_t* m, int64_t now) noexcept nogil:
    """The price for a liquidation's notional; 0 = the reported one."""
    if basis == NOTIONAL_MARK:
        return m.mark if mark_alive(m, now) else 0.0
    return m.last if basis == NOTIONAL_LAST else 0.0

cdef inline double notional_at(const event_t* e, double multiplier, double price) noexcept nogil:
    """Notional of a liquidation at a price. Price 0: the notional of the source if stated, else at the reported price."""
    if price > 0.0:
        return e.qty * multiplier * price
    return e.aux_price if e.aux_price > 0.0 else e.qty * multiplier * e.price

cdef class CascadeConfig:
    cdef cascade_config_t c
    cdef dict values             # by name, as in PARAMETERS

cdef bytes cascade_save(cascade_t* c)
cdef int cascade_load(cascade_t* c, bytes data) except -1

cdef class CascadeDetector(Detector):
    cdef readonly CascadeConfig config
    cdef cascade_t* c            # per instrument
    cdef instrument_t* inst
    cdef void audit_large(self, const cascade_t* c, const event_t* e, double notional) noexcept nogil
    cdef void audit_lapsed(self, const cascade_t* c, int64_t now) noexcept nogil

cdef class Cascade(Standalone):
    pass
