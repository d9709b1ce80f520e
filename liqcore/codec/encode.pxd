"""Requests to bytes. C level: OrderEncoder.encode_c, which touches no Python object."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.event cimport request_t
from liqcore.instrument cimport instrument_t

cdef enum:
    NO_MESSAGE = -1          # no template for this request, unknown instrument, or a number out of range
    NO_ROOM = -2             # the buffer is smaller than size_max

ctypedef struct piece_t:     # order template: this text, then this hole
    int32_t text_first       # into OrderEncoder.text
    int32_t text_size
    int32_t hole

cdef class OrderEncoder:
    cdef piece_t* pieces
    cdef int32_t* programs   # by variant: first piece, or -1
    cdef char* text
    cdef char* names
    cdef uint8_t* name_sizes
    cdef instrument_t* instruments
    cdef int count
    cdef readonly int size_max
    cdef readonly tuple symbols
    cdef char* scratch
    cdef int encode_c(self, const request_t* request, int64_t now_ms, char* out, int cap) noexcept nogil
