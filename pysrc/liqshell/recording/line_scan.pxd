"""Lines of a run's recording to events, a block at a time."""

from libc.stdint cimport int64_t

from liqcore.event cimport event_t

cdef enum:
    VENUES_MAX = 64
    FRAME_EVENTS_MAX = 4096

cdef struct venue_t:
    const char* name
    Py_ssize_t name_n
    void* decoder                 # a Decoder that the LineScan holds
    int64_t gap_ns

cdef class LineScan:
    cdef venue_t[VENUES_MAX] table
    cdef int count
    cdef list held
    cdef readonly object last     # int64 of each venue: ts_recv of its last frame with events
    cdef int64_t[::1] last_view
    cdef readonly Py_ssize_t at   # in the text: behind the last line
    cdef readonly Py_ssize_t lines, rows
    cdef readonly int64_t ts      # ts_recv of the last line
    cdef readonly int venue, found
    cdef Py_ssize_t begin, end

    cdef void _run(self, const char* text, Py_ssize_t n, Py_ssize_t at, event_t* out, int64_t* numbers, Py_ssize_t row, Py_ssize_t room,
                   int64_t number) noexcept nogil
    cdef int _line(self, const char* p, const char* end, const char* text) noexcept nogil
