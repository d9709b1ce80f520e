"""Frames to events. C level: Decoder.decode_c, which touches no Python object."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from liqcore.event cimport event_t

cdef enum:
    NOT_MINE = -1            # not a described frame, or anything odd in one: ask the general parser
    OUT_TOO_SMALL = -2       # the frame has more events than `capacity`
    STEPS_MAX = 64           # of one predicted layout
    LAYOUTS = 32             # predicted layouts, a power of two

ctypedef union slot_t:
    int64_t i
    double d

ctypedef struct text_t:      # a piece of text to compare with; at most 32 bytes
    char text[32]
    uint32_t mask            # one bit for each byte that counts
    uint8_t size
    int8_t value             # what it means
    uint16_t reserved

ctypedef struct key_t:       # one key of an object and what its value must be
    text_t name              # "key": with quotes and colon
    uint8_t kind
    uint8_t slot
    uint8_t flags
    int32_t node             # RECORD, ROWS: the object inside
    int32_t text_first       # LITERAL, MODE, SIDE, TOPIC: the texts allowed
    int32_t text_count

ctypedef struct node_t:      # an object: its keys
    int32_t key_first
    int32_t key_count
    uint64_t required

ctypedef struct shape_t:
    text_t opening           # how a frame of this shape begins when its topic comes first, as it does
    int32_t node
    uint8_t kind             # event Kind
    int8_t side              # of events whose frames have none
    uint8_t carry
    uint8_t rows

ctypedef struct step_t:      # predicted layout: this text, then this hole
    text_t text
    uint8_t hole
    uint8_t slot

ctypedef struct layout_t:
    int32_t shape            # -1: nothing learnt yet
    int32_t count
    int32_t row_first        # step at which each row begins
    int32_t reserved
    step_t steps[STEPS_MAX]

cdef class Decoder:
    cdef key_t* keys
    cdef node_t* nodes
    cdef shape_t* shapes
    cdef text_t* texts
    cdef layout_t* layouts
    cdef char* names         # 32 zero-padded bytes a symbol
    cdef int32_t* table      # open addressing: symbol index or -1
    cdef event_t* carry      # last full values per instrument, of shapes with carry
    cdef uint64_t table_mask
    cdef uint64_t spread     # multiplier that sends the shapes' openings to different layouts
    cdef int shape_count
    cdef readonly tuple symbols
    cdef readonly object carried
    cdef readonly int64_t predicted, scanned   # frames by the predicted and by the general way
    cdef object _out         # the array handed to the last decode(), and where its rows are
    cdef event_t* _rows
    cdef int _row_count
    cdef int _compile(self, list shapes) except -1
    cdef int _attach(self, object out) except -1
    cdef int decode_c(self, const char* p, Py_ssize_t n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil
