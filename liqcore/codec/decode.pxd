"""Frames to events. C level: Decoder.decode_c, which touches no Python object."""

from libc.stdint cimport int64_t, uint64_t

from liqcore.event cimport event_t
from liqcore.codec.layout cimport layout_t, tables_t, text_t

cdef enum:
    NOT_MINE = -1            # not a described frame, or anything odd in one: ask the general parser
    OUT_TOO_SMALL = -2       # the frame has more events than `capacity`

cdef class Decoder:
    cdef tables_t t
    cdef layout_t* layouts
    cdef uint64_t spread     # multiplier that sends the shapes' openings to different layouts
    cdef int shape_count
    cdef int at              # where in a frame the eight bytes stand that tell the shapes apart
    cdef text_t envelope     # how a frame begins that is wrapped in {"stream":"...","data": }; size 0: none is
    cdef readonly tuple symbols
    cdef readonly object carried
    cdef readonly int64_t predicted, scanned   # frames by the predicted and by the general way
    cdef readonly int64_t unknown              # keys that were read over, in frames that were looked at key by key
    cdef char unknown_name[32]                 # the last of them
    cdef object _out         # the array handed to the last decode(), and where its rows are
    cdef event_t* _rows
    cdef int _row_count
    cdef int _compile(self, list shapes) except -1
    cdef int _attach(self, object out) except -1
    cdef Py_ssize_t unwrap(self, const char* p, Py_ssize_t n) noexcept nogil
    cdef int decode_c(self, const char* p, Py_ssize_t n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil
