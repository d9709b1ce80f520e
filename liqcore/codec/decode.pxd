"""Frames to events. C level: Decoder.decode_c, which touches no Python object."""

from libc.stdint cimport int64_t, uint64_t

from liqcore.event cimport event_t
from liqcore.codec.layout cimport layout_t, tables_t, text_t

cdef enum:
    NOT_MINE = -1            # no shape matches, or the frame has something unusual: use the general parser
    OUT_TOO_SMALL = -2       # the frame has more events than `capacity`

cdef class Decoder:
    cdef tables_t t
    cdef layout_t* layouts
    cdef uint64_t spread     # multiplier that sends the shapes' openings to different layouts
    cdef int shape_count
    cdef int at              # offset of the eight bytes that tell the shapes apart
    cdef text_t envelope     # the beginning of a frame wrapped in {"stream":"...","data": }; size 0: frames are not wrapped
    cdef readonly tuple symbols
    cdef readonly object carried
    cdef readonly int64_t predicted, scanned   # frames read by a predicted layout, and by the general scanner
    cdef readonly int64_t unknown              # keys that were skipped, in frames that were read key by key
    cdef char unknown_name[32]                 # the last of them
    cdef object _out         # the array of the last decode(), and the address of its rows
    cdef event_t* _rows
    cdef int _row_count
    cdef int _compile(self, list shapes) except -1
    cdef int _attach(self, object out) except -1
    cdef Py_ssize_t unwrap(self, const char* p, Py_ssize_t n) noexcept nogil
    cdef int decode_c(self, const char* p, Py_ssize_t n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil
