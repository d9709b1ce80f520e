"""The tables that a Decoder compiles shapes into, and the predicted layouts: how the last frame of a kind was laid out."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from liqcore.event cimport STREAM_FUNDING, STREAM_INDEX, STREAM_MARK, STREAM_OPEN_INTEREST, event_t

cdef extern from "codec/scan_text.h" nogil:
    ctypedef struct scan_window_t:
        const char* limit
        const char* end
        size_t origin
    ctypedef struct scan_name_t:
        uint64_t word[4]
    const char* scan_near(scan_window_t* w, const char* p)
    const char* scan_open(scan_window_t* w, const char* src, size_t n)
    uint64_t scan_load8(const char* p)
    int scan_same(const char* p, const char* text, uint32_t mask)
    uint32_t scan_guess(uint32_t n, uint32_t guess)
    uint32_t scan_integer_size(const char* p)
    uint32_t scan_integer(const char* p, int64_t* value)
    uint32_t scan_decimal(const char* p, double* value)
    uint32_t scan_stops(const char* p)
    uint32_t scan_name(const char* p, scan_name_t* name)
    uint64_t scan_hash(const scan_name_t* a)
    int scan_name_same(const scan_name_t* a, const scan_name_t* b)
    int64_t MILLIS_MAX "SCAN_MILLIS_MAX"
    int __builtin_ctz(unsigned int x)

cdef enum:
    REFUSED = -1             # another layout, or anything odd
    FULL = -2                # more events than there is room for
    STEPS_MAX = 64           # of one layout
    LAYOUTS = 32             # a power of two
    MARKS_MAX = 64
    NAME_MAX = 31

cdef enum:                   # what a value must be
    TOPIC = 1                # text: a fixed prefix, then a symbol
    SYMBOL = 2               # the same symbol
    LITERAL = 3              # one fixed text
    MODE = 4                 # one of some fixed texts; the value says whether carried values start anew
    SIDE = 5                 # one of two fixed texts
    DECIMAL = 6              # a decimal number as text
    MILLIS = 7               # a JSON integer, milliseconds UTC, kept as ns
    INTEGER = 8
    TEXT = 9                 # any plain text, skipped
    FLAG = 10                # true or false, skipped
    RECORD = 11              # an object
    ROWS = 12                # an array of objects, one event each
    LEVEL = 13               # [["price","qty"]], perhaps with texts behind them
    TEXTS = 14               # an array of plain texts, skipped
    LIST = 15                # an array of exactly `flags` objects, each with its own keys
    CLAIM = 16               # a second word on the side: one of two texts that must agree with it, or a third that has no side
    # only in layouts
    LOOKUP = 20              # a symbol: find its instrument
    NOTHING = 21
    ROW_BEGIN = 22
    ROW_END = 23
    FINISH = 24
    COUNTED = 25             # an integer that is not used

cdef enum:                   # where a number goes
    TS = 0
    TS_FALLBACK = 1
    PRICE = 2
    QTY = 3
    AUX_PRICE = 4
    AUX_QTY = 5
    ID = 6
    NOWHERE = 7

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
    text_t opening           # the beginning of a frame of this shape, whose topic comes first
    int32_t node
    uint8_t kind             # event Kind
    int8_t side              # of events whose frames have none
    uint8_t carry
    uint8_t rows
    uint8_t own              # every row names its own symbol
    uint8_t untimed          # the venue gives no time: the event has that of receipt

ctypedef struct step_t:      # predicted layout: this text, then this hole
    text_t text
    uint64_t word            # its first 8 bytes
    uint64_t word_mask
    uint8_t hole
    uint8_t slot
    uint8_t guess            # length of the hole when it was learnt

ctypedef struct tables_t:    # shapes, compiled
    key_t* keys
    node_t* nodes
    shape_t* shapes
    text_t* texts
    char* names              # 32 zero-padded bytes a symbol
    int32_t first            # number of the first symbol's instrument
    int32_t* index           # open addressing: number of a symbol, or -1
    uint64_t index_mask
    event_t* carry           # last event per instrument of shapes with carry; its id is the largest so far

ctypedef struct layout_t:
    int32_t shape            # -1: nothing learnt yet
    int32_t count
    int32_t row_first        # step that begins a row after a comma
    int32_t row_tail         # step behind the array of rows
    step_t steps[STEPS_MAX]

ctypedef struct mark_t:      # one hole seen by the general scanner: what a layout is learnt from
    int32_t offset
    int32_t size
    uint8_t hole
    uint8_t slot


cdef inline void emit(event_t* e, const slot_t* slots, const shape_t* shape, int32_t instrument, int8_t side, int64_t ts_recv) noexcept nogil:
    e.ts_event = slots[TS].i
    e.ts_recv = ts_recv
    e.price = slots[PRICE].d
    e.qty = slots[QTY].d
    e.aux_price = slots[AUX_PRICE].d
    e.aux_qty = slots[AUX_QTY].d
    e.id = slots[ID].i
    e.instrument = instrument
    e.kind = shape.kind
    e.side = side
    e.flags = 0
    e.code = 0


cdef inline uint8_t unstated(const event_t* e, bint funding) noexcept nogil:
    """The flags of a TICKER: the Streams that it does not state. funding: it states a funding rate, which may be 0."""
    return ((0 if e.price > 0.0 else STREAM_MARK) | (0 if e.aux_price > 0.0 else STREAM_INDEX) | (0 if e.qty > 0.0 else STREAM_OPEN_INTEREST)
            | (0 if funding else STREAM_FUNDING))


cdef inline int flag_size(const char* p) noexcept nogil:
    """4 for true, 5 for false, else 0."""
    if p[0] == 116 and p[1] == 114 and p[2] == 117 and p[3] == 101:
        return 4
    if p[0] == 102 and p[1] == 97 and p[2] == 108 and p[3] == 115 and p[4] == 101:
        return 5
    return 0


cdef int32_t lookup(const tables_t* t, const uint64_t* name) noexcept nogil
cdef void learn(layout_t* layout, const mark_t* marks, int count, int resume, int32_t shape, const char* src, int n) noexcept nogil
cdef int predict(const tables_t* t, const layout_t* layout, const char* src, int n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil
