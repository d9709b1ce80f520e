"""Lines of a run's recording to events, a block at a time: the envelope is ours, so one pass finds the frames and passes them to the decoders.

A line that differs from the recorder's form for a frame of one of the venues, or whose frame a decoder refuses, is not consumed: lines.py reads it
like a line of any recording.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp

import numpy as np

from liqcore.codec.decode cimport Decoder
from liqcore.event cimport LIQUIDATION, event_t
from liqcore.event import EVENT_DTYPE

cdef int64_t TIME_MAX = <int64_t> 1 << 62
cdef int64_t TENTH_MAX = ((<int64_t> 1 << 62) - 1) // 5 - 1       # ten times that and a digit is an int64
cdef const char* HEAD = b'{"ts":'
cdef const char* RECV = b',"ts_recv":'
cdef const char* EXCHANGE = b',"exchange":"'
cdef const char* STREAM = b'","source":"ws","stream":"'
cdef const char* SYMBOL = b'","symbol":"'
cdef const char* RESULT = b'","result":'


@cython.final
cdef class LineScan:
    """venues: of each its name in the lines, its Decoder, and the silence that means missing data (0 = none does).

    run() stops at a line that is not its own (`found` = -1), or behind one whose events want a closer look: those of a liquidation, or behind a
    silence. Then `found` is the number of its events, `venue` their venue, `ts` the time of receipt, and frame() the content.
    """

    def __init__(self, venues):
        if len(venues) > VENUES_MAX:
            raise ValueError(f"venues: expected at most {VENUES_MAX}, got {len(venues)}")
        self.held = [(str(name).encode(), decoder) for name, decoder, _ in venues]
        self.last = np.zeros(max(1, len(venues)), np.int64)
        self.last_view = self.last
        for n, (_, decoder, gap_ns) in enumerate(venues):
            if not isinstance(decoder, Decoder):
                raise TypeError(f"venues: expected a Decoder, got {type(decoder).__name__}")
            self.table[n].name, self.table[n].name_n = PyBytes_AS_STRING(self.held[n][0]), len(self.held[n][0])
            self.table[n].decoder, self.table[n].gap_ns = <void*> decoder, gap_ns
        self.count = len(venues)

    def run(self, bytes text not None, Py_ssize_t at, out, int64_t[::1] numbers, Py_ssize_t row, int64_t number):
        """From text[at] on, where a line begins. Events into out (EVENT_DTYPE) from `row` on, the number of their line into `numbers` (the first is
        `number`); `rows` = behind the last event, `lines` = how many were read."""
        cdef const uint8_t[::1] raw
        cdef event_t* events
        cdef const char* start
        cdef Py_ssize_t size
        if out.dtype != EVENT_DTYPE or len(out) != len(numbers) or not out.flags.c_contiguous or not 0 <= row <= len(out) or not at >= 0:
            raise ValueError("out: expected a contiguous array of EVENT_DTYPE as long as that of numbers, with room from `row` on")
        raw = out.view(np.uint8)
        events = <event_t*> &raw[0]
        start, size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        with nogil:
            self._run(start, size, at, events, &numbers[0], row, numbers.shape[0], number)

    def frame(self, bytes text not None):
        """Of the line at which run() has stopped with events."""
        return text[self.begin:self.end]

    cdef void _run(self, const char* text, Py_ssize_t n, Py_ssize_t at, event_t* out, int64_t* numbers, Py_ssize_t row, Py_ssize_t room,
                   int64_t number) noexcept nogil:
        cdef const char* stop
        cdef Py_ssize_t i
        cdef int found
        cdef int64_t before, ts = 0
        self.lines, self.found = 0, -1
        while at < n and room - row >= 2 * FRAME_EVENTS_MAX:
            stop = <const char*> memchr(text + at, 10, n - at)
            if stop == NULL or not self._line(text + at, stop, text):
                break
            found = (<Decoder> self.table[self.venue].decoder).decode_c(text + self.begin, self.end - self.begin, self.ts, &out[row],
                                                                       FRAME_EVENTS_MAX)
            if found < 0:
                break
            at, ts = stop - text + 1, self.ts
            for i in range(row, row + found):
                numbers[i] = number
            self.lines += 1
            number += 1
            if found:
                before = self.last_view[self.venue]
                if out[row].kind == LIQUIDATION or (before and self.table[self.venue].gap_ns and self.ts - before > self.table[self.venue].gap_ns):
                    self.found = found
                    break
                self.last_view[self.venue] = self.ts
                row += found
        self.at, self.rows, self.ts = at, row, ts

    cdef int _line(self, const char* p, const char* end, const char* text) noexcept nogil:
        """Whether p[:end] is what the recorder writes for a frame of one of the venues; then the frame's position, venue and time of receipt."""
        cdef int64_t ts = 0
        cdef int v
        cdef const char* begin
        if end - p < 90 or p[end - p - 1] != 125 or memcmp(p, HEAD, 6) != 0:
            return 0
        p = digits(p + 6, 18, &ts)
        if p == NULL or end - p < 80 or memcmp(p, RECV, 11) != 0:
            return 0
        p = digits(p + 11, 19, &ts)
        if p == NULL or ts <= 0 or ts >= TIME_MAX or end - p < 13 or memcmp(p, EXCHANGE, 13) != 0:
            return 0
        p += 13
        for v in range(self.count):
            if end - p > self.table[v].name_n and memcmp(p, self.table[v].name, self.table[v].name_n) == 0 and p[self.table[v].name_n] == 34:
                break
        else:
            return 0
        p += self.table[v].name_n
        if end - p < 26 or memcmp(p, STREAM, 26) != 0:
            return 0
        begin = p + 26
        p = plain(begin, end)
        if end - p < 12 or memcmp(p, SYMBOL, 12) != 0 or (p - begin >= 8 and memcmp(begin, b"liqcore.", 8) == 0):
            return 0
        p = plain(p + 12, end)
        if end - p < 11 or memcmp(p, RESULT, 11) != 0:
            return 0
        self.begin, self.end = p + 11 - text, end - 1 - text
        self.ts, self.venue = ts, v
        return self.begin <= self.end


cdef inline const char* digits(const char* p, int most, int64_t* value) noexcept nogil:
    """Behind 1 to `most` digits of a number below 2**63; NULL: there are none, or more."""
    cdef int64_t found = 0
    cdef int n = 0
    while 48 <= p[n] <= 57 and n < most:
        if n == 18 and found > TENTH_MAX:
            return NULL
        found = found * 10 + p[n] - 48
        n += 1
    value[0] = found
    return p + n if n and not 48 <= p[n] <= 57 else NULL


cdef inline const char* plain(const char* p, const char* end) noexcept nogil:
    """Behind the characters of a label: ASCII that can be shown, without quotes and escapes."""
    while p < end and 32 <= p[0] < 127 and p[0] != 34 and p[0] != 92:
        p += 1
    return p
