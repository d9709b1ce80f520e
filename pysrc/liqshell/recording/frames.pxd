"""Frames on their way to disk: cimport this to plug a compiled tap into a live feed."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef struct block_t:              # frames one behind the other; what it holds follows it in memory
    block_t* next
    Py_ssize_t used
    Py_ssize_t room

cdef struct record_t:
    int64_t ts_recv
    int64_t size                  # of the frame, and its tag

cdef struct source_t:
    const char* head              # of a line, from behind "ts_recv" up to the stream; of a line of ours up to the value
    Py_ssize_t head_n
    int32_t kind
    int32_t name_count            # of keys that name a contract
    const char* key               # that says what a frame is
    Py_ssize_t key_n
    const char* names[4]
    Py_ssize_t name_n[4]

cdef class FrameTap:
    cdef int on_frame_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1

cdef class FrameBuffer(FrameTap):
    cdef block_t* first
    cdef block_t* last
    cdef block_t* spare
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t used
    cdef readonly int64_t frames
    cdef readonly int64_t dropped
    cdef int keep_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv, int64_t tag) except -1
    cdef int put_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv, int64_t tag) except -1

cdef class TaggedTap(FrameTap):
    cdef readonly FrameBuffer buffer
    cdef readonly int tag

cdef class LineWriter:
    cdef readonly FrameBuffer buffer
    cdef readonly list sources
    cdef source_t* table
    cdef block_t* chain           # taken from the buffer
    cdef Py_ssize_t at            # in the first of them
    cdef Py_ssize_t taken         # bytes of the buffer that became lines since begin()
    cdef char* out
    cdef Py_ssize_t out_n
    cdef Py_ssize_t out_room
    cdef int exports
    cdef readonly int64_t lines   # in the text
    cdef readonly int64_t last    # ts_recv of the last frame
    cdef int _refill(self) except -1
    cdef int _room(self, Py_ssize_t n) noexcept nogil
    cdef void _head(self, int64_t ts_recv, const source_t* source, const char* p, Py_ssize_t n) noexcept nogil
    cdef int _run(self, int64_t hour, Py_ssize_t most, block_t** done) noexcept nogil
