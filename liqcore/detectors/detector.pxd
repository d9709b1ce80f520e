"""The interface of a detector to the engine: one object per detector and setting, with the state of all instruments.

The engine calls push_c for each event of the kinds in `wants`, after validation and after the market was updated; timer_c at the time of deadline_c
of an instrument; uncertain_c when the feed had a gap. Each call writes its signals into `out` (at most SIGNALS_MAX) and returns their number. A
detector in Python may return -1; then DetectorSet.fail() raises its exception.
Deadlines up to an event's ts_recv have been served by the engine before push_c is called.

Fields that a detector sets in a signal_t: ts = now; ts_start = first event of the episode; long/short_notional of the episode; threshold = the
trigger in force; z = its statistic (a z-score, a share, an intensity); score = 0 unless it has one; rolling = notional of its window; sequence =
number of the episode on this instrument; flags = `flags` of the call | SIGNAL_UNCERTAIN before uncertain_until. The engine sets `detector`.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t, market_t, signal_t

cdef enum:
    SIGNALS_MAX = 4          # size of the array that a caller of push_c and timer_c passes
    NOTIONAL_GIVEN = 255     # no NotionalBasis of its own: the engine's is used
    PARTS_MAX = 8

cdef enum:                   # the type of a part of an instrument's state
    PART_PLAIN = 1           # bytes: a snapshot copies them
    PART_EPISODE = 2         # an episode_t: plain, and it names its instrument
    PART_WINDOW = 3          # a window_t
    PART_SEGMENTS = 4        # a segz_t

ctypedef struct part_t:
    int what
    size_t at                # offset in the state, bytes
    size_t size              # of plain bytes and of an episode

cdef class Detector:
    cdef readonly str kind   # the name of its kind in registry.make_detector
    cdef readonly str name   # its name in presets, policies and reports; unique in an engine
    cdef readonly dict parameters    # by name: the given value or the default
    cdef readonly uint32_t wants     # one bit (1 << Kind) for each kind of event it uses
    cdef readonly int64_t window_ns  # its memory, and the time after a gap in which its signals are UNCERTAIN; 60 s unless a subclass sets it
    cdef uint8_t basis       # its NotionalBasis; the first detector with one decides for those without
    cdef bint last_only      # of the market it uses only the last price, and only at liquidations
    cdef AuditRing audit     # of its engine, for kinds that record more than their signals; None = no record
    cdef int place           # its place in the engine, from 1
    cdef int32_t count       # instruments that it serves; 0 before open_c
    cdef char* states        # `stride` bytes for each instrument; open_c zeroes them and calls begin_c for each
    cdef size_t stride
    cdef bytes snapshot_name
    cdef bytes settings          # in the form of a snapshot
    cdef part_t parts[PARTS_MAX]     # of a state, in the order of its snapshot
    cdef int part_count
    cdef int more            # further parts, which save_parts adds and load_more loads
    cdef bint claimed
    cdef object failure      # the exception of a detector in Python whose call returned -1
    cdef dict set_parameters(self, str kind, str name, tuple table, dict given)
    cdef int set_state(self, bytes snapshot_name, size_t stride, int more=*) except -1
    cdef int add_part(self, int what, const void* state, const void* part, size_t size=*) except -1
    cdef int claim(self) except -1
    cdef int fail(self) except -1
    cdef int open_c(self, tuple instruments) except -1
    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1
    cdef list save_parts(self, int32_t n)
    cdef int load_part(self, int32_t n, const part_t* part, bytes data) except -1
    cdef int load_more(self, int32_t n, list parts) except -1
    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil
    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil
    cdef int64_t deadline_c(self, int32_t n) noexcept nogil
    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil
    cdef int phase_c(self, int32_t n) noexcept nogil
    cdef int64_t dropped_c(self, int32_t n) noexcept nogil
    cdef bytes save_c(self, int32_t n)
    cdef int load_c(self, int32_t n, bytes data) except -1
