"""What every detector is to the engine: one object per detector and setting, with the state of all instruments inside.

The engine calls push_c for each event of the kinds in `wants`, after the door and after the market was updated; timer_c when deadline_c of an
instrument has come; uncertain_c when the feed had a gap. Each call writes the signals it has to say into `out` (at most SIGNALS_MAX) and returns how
many; a detector in Python may return -1: then fail() raises what went wrong.
Deadlines up to an event's ts_recv have been served by the engine before push_c is called.

What a detector writes into a signal_t: ts = now; ts_start = first event of the episode; long/short_notional of it; threshold = the trigger in force;
z = the statistic it judges by (a z-score, a share, an intensity); score = 0 unless it has one; rolling = notional of its window; sequence = number of
its episode on this instrument; flags = `flags` of the call | SIGNAL_UNCERTAIN before uncertain_until. The engine sets `detector`.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t, market_t, signal_t

cdef enum:
    SIGNALS_MAX = 4          # room that a caller of push_c and timer_c gives
    NOTIONAL_GIVEN = 255     # no NotionalBasis of its own: the one that the engine is told to use

cdef class Detector:
    cdef readonly str kind   # what registry.make_detector calls it
    cdef readonly str name   # unique in an engine; presets, policies and reports call it so
    cdef readonly dict parameters    # by name, settled: given or default
    cdef readonly uint32_t wants     # one bit (1 << Kind) for each kind of event it looks at
    cdef readonly int64_t window_ns  # how far back it looks: for so long after a gap its signals are UNCERTAIN; 60 s unless a subclass says otherwise
    cdef uint8_t basis       # NotionalBasis that it takes notionals at; the first detector with one decides for those that have none
    cdef bint last_only      # of the market it looks at the last price only, and only when something is liquidated
    cdef AuditRing audit     # of its engine, where a kind writes down more than its signals; None = nowhere
    cdef int place           # in the engine, from 1
    cdef int32_t count       # instruments that it serves; 0 before open_c
    cdef bint claimed
    cdef object failure      # what a detector in Python raised; its call returned -1
    cdef dict set_parameters(self, str kind, str name, tuple table, dict given)
    cdef int claim(self) except -1
    cdef int fail(self) except -1
    cdef int open_c(self, tuple instruments) except -1
    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil
    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil
    cdef int64_t deadline_c(self, int32_t n) noexcept nogil
    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil
    cdef int phase_c(self, int32_t n) noexcept nogil
    cdef int64_t dropped_c(self, int32_t n) noexcept nogil
    cdef bytes save_c(self, int32_t n)
    cdef int load_c(self, int32_t n, bytes data) except -1
