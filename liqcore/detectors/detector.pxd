"""What every detector is to the engine: one object per detector and setting, with the state of all instruments inside.

The engine calls push_c for each event of the kinds in `wants`, after validation and after the market was updated; timer_c when deadline_c of an
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
    PARTS_MAX = 8

cdef enum:                   # what a part of an instrument's state is
    PART_PLAIN = 1           # bytes: a snapshot copies them
    PART_EPISODE = 2         # an episode_t: plain, and it names its instrument
    PART_WINDOW = 3          # a window_t
    PART_SEGMENTS = 4        # a segz_t

ctypedef struct part_t:
    int what
    size_t at                # bytes from the begin of the state
    size_t size              # of plain bytes and of an episode

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
    cdef char* states        # `stride` bytes for each of them, zeroed by open_c, which calls begin_c for each
    cdef size_t stride
    cdef bytes snapshot_name
    cdef bytes settings          # as a snapshot says them
    cdef part_t parts[PARTS_MAX]     # of a state, in the order of its snapshot
    cdef int part_count
    cdef int more            # parts behind those, which save_parts adds and load_more takes
    cdef bint claimed
    cdef object failure      # what a detector in Python raised; its call returned -1
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
