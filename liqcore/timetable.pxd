"""When entries are allowed by the clock: hours of the UTC day, days of the week, and single windows without entries.

The engine asks at each moment at which the answer may change, and closes or opens GATE_HOURS and GATE_BLACKOUT. So the audit stream has each refusal
and its time, the same live, on paper, in replay and in a backtest.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

ctypedef struct window_t:        # no entries in [start, end)
    int64_t start                # ns UTC
    int64_t end
    int32_t instrument           # ALL_INSTRUMENTS, or an index
    int32_t number               # its place in the argument, from 1

cdef class Timetable:
    cdef uint8_t week[168]       # 1 = entries are allowed in this hour of the week, which begins on Monday 00:00 UTC
    cdef bint every_hour
    cdef bint own                # some window is for one instrument only
    cdef window_t* windows       # by start
    cdef int count
    cdef bint ever_closed(self) noexcept nogil
    cdef bint open_at(self, int64_t now) noexcept nogil
    cdef int32_t window_at(self, int32_t instrument, int64_t now) noexcept nogil
    cdef int64_t next_after(self, int64_t now) noexcept nogil
