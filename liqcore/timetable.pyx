"""When entries are allowed by the clock: see timetable.pxd."""

import numpy as np

from libc.stdlib cimport calloc, free

from liqcore.argument cimport several, whole
from liqcore.event cimport ALL_INSTRUMENTS, TIME_MAX

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t HOUR_NS = 3600000000000
cdef int WEEK_HOURS = 168
cdef int EPOCH_HOUR = 72         # 1970-01-01 was a Thursday
WINDOWS_MAX = 100_000


cdef class Timetable:
    """Hours and windows for entries. Open positions stay, and exits continue.

    hours: of the UTC day (0 to 23) in which entries are allowed, () = all; weekdays: the same of the week, Monday is 0. windows: (start, end) or
    (start, end, instrument), ns UTC: no entries in [start, end), of one instrument (its index in the engine) or of all. They may overlap.
    """

    def __init__(self, *, hours=(), weekdays=(), windows=()):
        cdef int k
        hours, weekdays = several(hours, "hours"), several(weekdays, "weekdays")
        for name, found, most in (("hours", hours, 23), ("weekdays", weekdays, 6)):
            if len(set(found)) != len(found) or not all(isinstance(one, int) and 0 <= one <= most for one in found):
                raise ValueError(f"{name}: expected different whole numbers from 0 to {most}, got {found!r}")
        for k in range(WEEK_HOURS):
            self.week[k] = (not hours or k % 24 in hours) and (not weekdays or k // 24 in weekdays)
        self.every_hour = all(self.week[k] for k in range(WEEK_HOURS))
        rows = [(*[whole(one, "windows") for one in several(row, "windows")], ALL_INSTRUMENTS) for row in several(windows, "windows")]
        if any(not 3 <= len(row) <= 4 for row in rows):
            raise ValueError(f"windows: expected (start, end) or (start, end, index of an instrument), got {windows!r}")
        rows = [row[:3] for row in rows]
        for start, end, instrument in rows:
            if not 0 <= start < end < <int64_t> TIME_MAX or not ALL_INSTRUMENTS <= instrument < 100_000:
                raise ValueError(f"windows: expected (start, end) in ns UTC with start before end, and the index of an instrument; got "
                                 f"({start}, {end}, {instrument})")
        if len(rows) > WINDOWS_MAX:
            raise ValueError(f"windows: expected at most {WINDOWS_MAX}, got {len(rows)}")
        free(self.windows)
        self.count = len(rows)
        self.own = any(instrument != ALL_INSTRUMENTS for _, _, instrument in rows)
        self.windows = <window_t*> calloc(max(self.count, 1), sizeof(window_t))
        if self.windows == NULL:
            raise MemoryError(f"no memory for {self.count} windows")
        for k, (number, (start, end, instrument)) in enumerate(sorted(enumerate(rows, 1), key=lambda one: (one[1], one[0]))):
            self.windows[k] = window_t(start, end, instrument, number)

    def __dealloc__(self):
        free(self.windows)

    cdef bint open_at(self, int64_t now) noexcept nogil:
        """Whether the hour allows entries."""
        return self.week[(now // HOUR_NS + EPOCH_HOUR) % WEEK_HOURS]

    cdef int32_t window_at(self, int32_t instrument, int64_t now) noexcept nogil:
        """Number of the first window that blocks the instrument, 0 = none. ALL_INSTRUMENTS: of the windows that block all."""
        cdef int k
        cdef const window_t* w
        for k in range(self.count):
            w = &self.windows[k]
            if w.start > now:
                return 0
            if now < w.end and (w.instrument == ALL_INSTRUMENTS or w.instrument == instrument):
                return w.number
        return 0

    cdef int64_t next_after(self, int64_t now) noexcept nogil:
        """The next time at which an answer may change."""
        cdef int64_t due = NEVER, hour = now // HOUR_NS
        cdef int k
        if not self.every_hour:
            for k in range(1, WEEK_HOURS + 1):
                if self.open_at((hour + k) * HOUR_NS) != self.open_at(now):
                    due = (hour + k) * HOUR_NS
                    break
        for k in range(self.count):
            if self.windows[k].start > now:
                return min(due, self.windows[k].start)
            if self.windows[k].end > now:
                due = min(due, self.windows[k].end)
        return due

    cdef bint ever_closed(self) noexcept nogil:
        return not self.every_hour or self.count > 0

    @property
    def closes(self) -> bool:
        """Whether entries are ever blocked."""
        return bool(self.ever_closed())

    def allows(self, int64_t now, int instrument=ALL_INSTRUMENTS) -> bool:
        """Whether an instrument may be entered at `now`, ns UTC."""
        return bool(self.open_at(now)) and not self.window_at(instrument, now)

    def closed(self, int instrument, int64_t start, int64_t end):
        """The spans of [start, end) in which the instrument may not be entered, as one rising int64 array: from, to, from, to, ..."""
        cdef int64_t at = start
        cdef bint was = False
        edges = []
        while at < end:
            if self.allows(at, instrument) == was:
                was = not was
                edges.append(at)
            at = self.next_after(at)
        if was:
            edges.append(end)
        return np.array(edges, np.int64)
