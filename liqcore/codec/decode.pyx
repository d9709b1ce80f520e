# cython: nonecheck=False
"""JSON frames to events, each frame read once.

A venue describes its frames by shape (`Shape`, with typed holes: `topic`, `symbol`, `side`, `decimal`, `millis`, ...). `Decoder` compiles the
description into flat tables. A frame that has the layout of an earlier one (same keys in the same order) is read by comparing its fixed text and
parsing only the holes; any other order of keys goes through a general scanner that knows the same shape. An unknown key is skipped with its value and
counted: venues add fields without notice. A frame with anything unusual (an escape, a missing or repeated key, a sign, an exponent, white space, an
unknown symbol, too many digits, a byte after the end) is returned with `NOT_MINE`, and the venue's general parser reads it. So this scanner may be
strict.

Numbers are correctly rounded: mantissa <= 2**53 over a power of ten <= 10**22 is one exact division; longer numbers are left to the general parser.
"""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from liqcore.event cimport STREAM_FUNDING, TICKER, event_t
from liqcore.codec.layout cimport *
from liqcore.event import EVENT_DTYPE
from liqcore.codec.shape import flatten, spread

cdef enum:                   # key_t.flags
    SIGNED = 1
    MAY_BE_EMPTY = 2         # "" does not change the value
    QUOTED = 4               # an integer as text

cdef enum:
    DEPTH_MAX = 6            # of the value of an unknown key
    SYMBOL_MAX = 64          # bytes


ctypedef struct scan_t:      # the state of reading one frame
    scan_window_t window
    slot_t slots[8]
    uint32_t present         # slots filled
    scan_name_t name
    int32_t instrument       # -1: no symbol seen yet
    int32_t row_first        # mark of the first row, -1: no rows
    int32_t resume           # offset behind the array of rows
    int32_t mark_count
    int32_t rows
    int32_t capacity
    int8_t side
    int8_t claimed           # the side by a second word, 0: not stated
    uint8_t fresh            # the mode states that carried values start anew
    uint8_t marking
    uint8_t predictable
    uint8_t in_row
    int64_t ts_recv
    event_t* out
    const shape_t* shape
    mark_t marks[MARKS_MAX]


cdef inline void mark(scan_t* s, const char* p, int size, uint8_t hole, uint8_t slot) noexcept nogil:
    cdef mark_t* m
    if not s.marking:
        return
    if s.mark_count >= MARKS_MAX:
        s.predictable = 0
        return
    m = &s.marks[s.mark_count]
    m.offset = <int32_t> (<size_t> p - s.window.origin)
    m.size = size
    m.hole = hole
    m.slot = slot
    s.mark_count += 1


cdef const char* scan_symbol(Decoder d, scan_t* s, const char* p) noexcept nogil:
    """Read the symbol at p up to its closing quote. All symbols of a frame (or of a row with its own symbol) must agree. NULL: they differ, or the
    symbol is not ours."""
    cdef scan_name_t name
    cdef int size
    p = scan_near(&s.window, p)
    size = <int> scan_name(p, &name)
    if size == 0:
        return NULL
    if s.instrument < 0:
        s.instrument = lookup(&d.t, name.word)
        if s.instrument < 0:
            return NULL
        s.name = name
        if s.in_row and not s.shape.own:
            s.predictable = 0   # a row has the symbol before the frame has it: a layout could not check that all rows agree
        mark(s, p, size, LOOKUP, NOWHERE)
    else:
        if not scan_name_same(&name, &s.name):
            return NULL
        mark(s, p, size, SYMBOL, NOWHERE)
    return p + size + 1


cdef const char* scan_quoted_decimal(scan_t* s, const char* p, uint8_t slot, uint8_t flags) noexcept nogil:
    """A quoted decimal number; p points behind the opening quote."""
    cdef double value = 0.0
    cdef int size, negative = 0
    if flags & MAY_BE_EMPTY and p[0] == 34:
        s.predictable = 0
        return p + 1
    if flags & SIGNED and p[0] == 45:
        s.predictable = 0
        negative = 1
        p += 1
    size = <int> scan_decimal(p, &value)
    if size == 0 or p[size] != 34:
        return NULL
    s.slots[slot].d = -value if negative else value
    s.present |= <uint32_t> 1 << slot
    mark(s, p, size, DECIMAL, slot)
    return p + size + 1


cdef const char* scan_text(scan_t* s, const char* p) noexcept nogil:
    """Skip quoted plain text."""
    cdef const char* start
    cdef uint32_t stops
    cdef size_t offset
    if p[0] != 34:
        return NULL
    start = p + 1
    offset = <size_t> start - s.window.origin
    p = start
    while True:
        p = scan_near(&s.window, p)
        stops = scan_stops(p)
        if stops:
            break
        p += 16
    p += __builtin_ctz(stops)
    if p[0] != 34:
        return NULL
    if s.marking:
        mark(s, p, 0, TEXT, NOWHERE)
        if s.predictable:
            s.marks[s.mark_count - 1].offset = <int32_t> offset
            s.marks[s.mark_count - 1].size = <int32_t> (<size_t> p - s.window.origin - offset)
    return p + 1


cdef const char* scan_rows(Decoder d, scan_t* s, const key_t* key, const char* p) noexcept nogil:
    """An array of objects, each written as one event when it is read. If the frame is refused later, the rows behind the caller's count are
    scratch."""
    cdef uint8_t marking = s.marking
    if p[0] != 91:
        return NULL
    p = scan_near(&s.window, p + 1)
    if p[0] == 93:
        s.predictable = 0
        return p + 1
    while True:
        memset(s.slots, 0, sizeof(s.slots))
        s.present = 0
        s.side = s.shape.side
        s.in_row = 1
        s.claimed = 0
        if s.shape.own:
            s.instrument = -1
        if s.rows == 0:
            s.row_first = s.mark_count
            mark(s, p, 0, ROW_BEGIN, NOWHERE)
        p = scan_object(d, s, &d.t.nodes[key.node], p)
        if p == NULL or (s.instrument < 0 and s.shape.own) or not s.present & 1 << TS or (s.claimed != 0 and s.claimed != s.side):
            return NULL
        if s.rows >= s.capacity:
            s.rows = OUT_TOO_SMALL
            return NULL
        emit(&s.out[s.rows], s.slots, s.shape, d.t.first + s.instrument, s.side, s.ts_recv)
        s.in_row = 0
        p = scan_near(&s.window, p)
        if s.rows == 0:
            mark(s, p, 0, ROW_END, NOWHERE)
            s.marking = 0
        s.rows += 1
        if p[0] != 44:
            break
        p = scan_near(&s.window, p + 1)
    if p[0] != 93:
        return NULL
    s.marking = marking
    s.resume = <int32_t> (<size_t> p + 1 - s.window.origin)
    return p + 1


cdef const char* scan_level(scan_t* s, const key_t* key, const char* p) noexcept nogil:
    """One book level: price and size, then any number of texts."""
    cdef int i
    if p[0] != 91 or p[1] != 91 or p[2] != 34:
        return NULL
    p = scan_quoted_decimal(s, p + 3, key.slot, 0)
    if p == NULL:
        return NULL
    p = scan_near(&s.window, p)
    if p[0] != 44 or p[1] != 34:
        return NULL
    p = scan_quoted_decimal(s, p + 2, <uint8_t> key.node, 0)
    if p == NULL:
        return NULL
    for i in range(key.flags):
        p = scan_near(&s.window, p)
        if p[0] != 44:
            return NULL
        p = scan_text(s, p + 1)
        if p == NULL:
            return NULL
    p = scan_near(&s.window, p)
    return p + 2 if p[0] == 93 and p[1] == 93 else NULL


cdef const char* scan_array(Decoder d, scan_t* s, const key_t* key, const char* p) noexcept nogil:
    """An array without rows: texts that are skipped, or a fixed number of objects."""
    cdef int i = 0
    if p[0] != 91:
        return NULL
    p = scan_near(&s.window, p + 1)
    if key.kind == TEXTS and p[0] == 93:
        return p + 1
    while True:
        if key.kind == LIST and i == key.flags:
            return NULL
        p = scan_text(s, p) if key.kind == TEXTS else scan_object(d, s, &d.t.nodes[key.node + i], p)
        if p == NULL:
            return NULL
        i += 1
        p = scan_near(&s.window, p)
        if p[0] != 44:
            break
        p = scan_near(&s.window, p + 1)
    if p[0] != 93 or (key.kind == LIST and i != key.flags):
        return NULL
    return p + 1


cdef const char* scan_value(Decoder d, scan_t* s, const key_t* key, const char* p) noexcept nogil:
    """Read the value at p as `key` describes it. Returns the position behind it; NULL refuses the frame."""
    cdef const text_t* t
    cdef int i, size
    cdef int64_t value = 0
    p = scan_near(&s.window, p)
    if key.kind == DECIMAL:
        return scan_quoted_decimal(s, p + 1, key.slot, key.flags) if p[0] == 34 else NULL
    elif key.kind == TEXT:
        return scan_text(s, p)
    elif key.kind == MILLIS or key.kind == INTEGER:
        if key.flags & QUOTED:
            if p[0] != 34:
                return NULL
            p += 1
        size = <int> scan_integer(p, &value)
        if size == 0 or (key.kind == MILLIS and value > MILLIS_MAX):
            return NULL
        s.slots[key.slot].i = value * 1000000 if key.kind == MILLIS else value
        s.present |= <uint32_t> 1 << key.slot
        mark(s, p, size, key.kind, key.slot)
        p += size
        if key.flags & QUOTED:
            return p + 1 if p[0] == 34 else NULL
        return p
    elif key.kind == SYMBOL:
        return scan_symbol(d, s, p + 1) if p[0] == 34 else NULL
    elif key.kind == LITERAL or key.kind == MODE or key.kind == SIDE or key.kind == TOPIC or key.kind == CLAIM:
        for i in range(key.text_count):
            t = &d.t.texts[key.text_first + i]
            if scan_same(p, t.text, t.mask):
                if key.kind == TOPIC:
                    return scan_symbol(d, s, p + t.size)
                if key.kind == MODE:
                    s.fresh = <uint8_t> t.value
                elif key.kind == SIDE:
                    s.side = t.value
                    mark(s, p, t.size, SIDE, <uint8_t> key.text_first)
                elif key.kind == CLAIM:
                    s.claimed = t.value
                    mark(s, p, t.size, CLAIM, <uint8_t> key.text_first)
                return p + t.size
        return NULL
    elif key.kind == FLAG:
        size = flag_size(p)
        mark(s, p, size, FLAG, NOWHERE)
        return p + size if size else NULL
    elif key.kind == RECORD:
        return scan_object(d, s, &d.t.nodes[key.node], p)
    elif key.kind == ROWS:
        return scan_rows(d, s, key, p)
    elif key.kind == LEVEL:
        return scan_level(s, key, p)
    return scan_array(d, s, key, p) if key.kind == TEXTS or key.kind == LIST else NULL


cdef inline const char* skip_digits(const char* p, int most) noexcept nogil:
    """The position behind 1 to `most` digits; NULL if there are none, or more."""
    cdef int n = 0
    while 48 <= p[n] <= 57 and n <= most:
        n += 1
    return p + n if 0 < n <= most else NULL


cdef const char* skip_number(const char* p) noexcept nogil:
    """The position behind the JSON number at p; NULL if there is none, or it has too many digits."""
    cdef const char* digits = p + (p[0] == 45)
    p = skip_digits(digits, 20)
    if p == NULL or (digits[0] == 48 and p - digits > 1):
        return NULL
    if p[0] == 46:
        p = skip_digits(p + 1, 18)
    if p != NULL and (p[0] == 101 or p[0] == 69):
        p = skip_digits(p + (2 if p[1] == 43 or p[1] == 45 else 1), 4)
    return p


cdef const char* skip_value(scan_t* s, const char* p, int depth) noexcept nogil:
    """Skip the value at p. Returns the position behind it; NULL if it is not plain JSON or nested too deeply."""
    cdef char closing
    p = scan_near(&s.window, p)
    if p[0] == 34:
        return scan_text(s, p)
    s.predictable = 0
    if p[0] == 123 or p[0] == 91:
        closing = p[0] + 2
        if depth == DEPTH_MAX:
            return NULL
        p = scan_near(&s.window, p + 1)
        if p[0] == closing:
            return p + 1
        while True:
            if closing == 125:
                p = scan_text(s, p)
                if p == NULL:
                    return NULL
                p = scan_near(&s.window, p)
                if p[0] != 58:
                    return NULL
                p += 1
            p = skip_value(s, p, depth + 1)
            if p == NULL:
                return NULL
            p = scan_near(&s.window, p)
            if p[0] != 44:
                break
            p = scan_near(&s.window, p + 1)
        return p + 1 if p[0] == closing else NULL
    if p[0] == 110 and p[1] == 117 and p[2] == 108 and p[3] == 108:       # null
        return p + 4
    return p + flag_size(p) if flag_size(p) else skip_number(p)


cdef const char* skip_key(Decoder d, scan_t* s, const char* p) noexcept nogil:
    """The position behind the unknown key at p and its value."""
    cdef char name[32]
    cdef int size = 0
    memset(name, 0, 32)
    while size < 31 and p[size + 1] != 34:
        name[size] = p[size + 1]
        size += 1
    p = scan_text(s, p)
    if p == NULL:
        return NULL
    p = scan_near(&s.window, p)
    if p[0] != 58:
        return NULL
    p = skip_value(s, p + 1, 0)
    if p != NULL:
        memcpy(d.unknown_name, name, 32)
        d.unknown += 1
    return p


cdef const char* scan_object(Decoder d, scan_t* s, const node_t* node, const char* p) noexcept nogil:
    """Read the object at p: known keys in any order, each at most once, with all required ones. Unknown keys are skipped. NULL refuses the frame."""
    cdef const key_t* keys = &d.t.keys[node.key_first]
    cdef uint64_t seen = 0
    cdef int k = 0, tries
    p = scan_near(&s.window, p)
    if p[0] != 123:
        return NULL
    p += 1
    while True:
        p = scan_near(&s.window, p)
        tries = 0
        while not scan_same(p, keys[k].name.text, keys[k].name.mask):   # the usual order makes the first or second try right
            k = k + 1 if k + 1 < node.key_count else 0
            tries += 1
            if tries == node.key_count:
                break
        if tries == node.key_count:
            p = skip_key(d, s, p)
        else:
            if seen >> k & 1:
                return NULL
            seen |= <uint64_t> 1 << k
            p = scan_value(d, s, &keys[k], p + keys[k].name.size)
            k = k + 1 if k + 1 < node.key_count else 0
        if p == NULL:
            return NULL
        p = scan_near(&s.window, p)
        if p[0] == 44:
            p += 1
        elif p[0] == 125:
            break
        else:
            return NULL
    return p + 1 if seen & node.required == node.required else NULL


cdef int finish(Decoder d, scan_t* s) noexcept nogil:
    """The event of a frame without rows."""
    if s.instrument < 0:
        return NOT_MINE
    if not s.present & 1 << TS:
        if s.present & 1 << TS_FALLBACK:
            s.slots[TS] = s.slots[TS_FALLBACK]
        elif s.shape.untimed:
            s.slots[TS].i = s.ts_recv
        else:
            return NOT_MINE
    if s.capacity < 1:
        return OUT_TOO_SMALL
    emit(s.out, s.slots, s.shape, d.t.first + s.instrument, s.side, s.ts_recv)
    return finish_ticker(d, s) if s.shape.kind == TICKER else 1


cdef int finish_ticker(Decoder d, scan_t* s) noexcept nogil:
    """The event of a ticker has the values of the frame. In a stream of changes it also has the values of earlier frames. These carried values change
    only here, when the whole frame has been accepted. A change older than the known values is left to the general parser, which counts it."""
    cdef event_t* last = &d.t.carry[s.instrument]
    cdef bint says = s.present & (1 << PRICE | 1 << QTY | 1 << AUX_PRICE | 1 << AUX_QTY) != 0
    cdef bint funding = s.present >> AUX_QTY & 1
    cdef int64_t id = s.slots[ID].i
    cdef int i
    if s.shape.carry:
        if s.fresh:
            memset(last, 0, sizeof(event_t))
        elif s.present >> ID & 1 and id < last.id:
            return NOT_MINE
        id = last.id = max(last.id, id)
        funding = funding or (last.kind == TICKER and not last.flags & STREAM_FUNDING)
        for i in range(PRICE, AUX_QTY + 1):
            if not s.present >> i & 1:
                (&s.out.price)[i - PRICE] = (&last.price)[i - PRICE]
    s.out.flags = unstated(s.out, funding)
    if says and s.shape.carry:
        last[0] = s.out[0]
        last.id = id
    return says


cdef int scan_frame(Decoder d, int32_t shape, layout_t* layout, const char* src, int n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil:
    """Read a frame as one shape, keys in any order. If the frame is not of this shape, none of its keys counts as unknown: an acknowledgement has
    other keys."""
    cdef int64_t unknown = d.unknown
    cdef char name[32]
    cdef int rows
    memcpy(name, d.unknown_name, 32)
    rows = scan_shape(d, shape, layout, src, n, ts_recv, out, capacity)
    if rows < 0:
        d.unknown = unknown
        memcpy(d.unknown_name, name, 32)
    return rows


cdef int scan_shape(Decoder d, int32_t shape, layout_t* layout, const char* src, int n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil:
    cdef scan_t s
    cdef int i
    cdef const char* p = scan_open(&s.window, src, n)
    s.shape = &d.t.shapes[shape]
    memset(s.slots, 0, sizeof(s.slots))
    s.present = 0
    s.side = s.shape.side
    s.fresh = 0
    s.instrument = -1
    s.row_first = -1
    s.in_row = 0
    s.resume = 0
    s.mark_count = 0
    s.rows = 0
    s.capacity = capacity
    s.predictable = s.shape.kind != TICKER   # frames of changing keys: predicting them costs more than it saves
    s.marking = s.predictable
    s.ts_recv = ts_recv
    s.out = out
    p = scan_object(d, &s, &d.t.nodes[s.shape.node], p)
    if p == NULL:
        return OUT_TOO_SMALL if s.rows == OUT_TOO_SMALL else NOT_MINE
    if scan_near(&s.window, p) != s.window.end:
        return NOT_MINE
    if not s.shape.rows:
        s.rows = finish(d, &s)
    elif not s.shape.own:
        if s.instrument < 0:
            return NOT_MINE
        for i in range(s.rows):         # the frame may have its symbol behind its rows
            out[i].instrument = d.t.first + s.instrument
    if s.rows > 0 and s.predictable:
        learn(layout, s.marks, s.mark_count, s.resume, shape, src, n)
    return s.rows


cdef int set_text(text_t* t, bytes text, int value) except -1:
    if not 0 < len(text) <= 32:
        raise ValueError(f"text of a shape: expected 1 to 32 bytes with its quotes, got {text!r}")
    memset(t, 0, sizeof(text_t))
    memcpy(t.text, PyBytes_AS_STRING(text), len(text))
    t.size = <uint8_t> len(text)
    t.mask = <uint32_t> ((<uint64_t> 1 << len(text)) - 1)
    t.value = <int8_t> value
    return 0


@cython.final
cdef class Decoder:
    """Frames of some shapes to events.

    shapes: list of Shape. symbols: the instruments' symbols; an event's `instrument` is the position here plus `first`. carried: array of EVENT_DTYPE
    with one row per symbol that holds the last event of shapes with carry; None = made here. The venue's general parser shares it, so that both
    readers continue from the same values. envelope: key of the text before "data" in frames {"stream":"...","data":{...}}, whose content is then read
    like a plain frame; "" = the venue wraps no frames.
    """

    def __init__(self, shapes, symbols, carried=None, *, int first=0, str envelope=""):
        cdef size_t address
        if self.t.keys != NULL:
            raise ValueError("a Decoder cannot be initialised twice")
        self.symbols = tuple(symbols)
        self._out = self.symbols   # no array yet
        self.carried = np.zeros(max(1, len(self.symbols)), EVENT_DTYPE) if carried is None else carried
        if self.carried.dtype != EVENT_DTYPE or self.carried.shape != (max(1, len(self.symbols)),) or not self.carried.flags.c_contiguous:
            raise ValueError(f"carried: expected a contiguous array of EVENT_DTYPE with one row for each of {len(self.symbols)} symbols")
        address = self.carried.ctypes.data
        self.t.carry = <event_t*> address
        if first < 0:
            raise ValueError(f"first: expected the number of an instrument, got {first}")
        self.t.first = first
        if envelope:
            set_text(&self.envelope, f'{{"{envelope}":"'.encode(), 0)
        self._compile(list(shapes))

    cdef int _compile(self, list shapes) except -1:
        cdef uint64_t at
        cdef scan_name_t* name
        cdef Py_ssize_t i
        keys, nodes, texts, roots = flatten(shapes)
        self.t.keys = <key_t*> calloc(len(keys) + 1, sizeof(key_t))
        self.t.nodes = <node_t*> calloc(len(nodes) + 1, sizeof(node_t))
        self.t.texts = <text_t*> calloc(len(texts) + 1, sizeof(text_t))
        self.t.shapes = <shape_t*> calloc(len(shapes) + 1, sizeof(shape_t))
        self.layouts = <layout_t*> calloc(LAYOUTS, sizeof(layout_t))
        self.t.index_mask = (1 << max(3, (2 * len(self.symbols)).bit_length())) - 1
        self.t.index = <int32_t*> calloc(self.t.index_mask + 1, sizeof(int32_t))
        self.t.names = <char*> calloc(len(self.symbols) + 1, 32)
        if not (self.t.keys and self.t.nodes and self.t.texts and self.t.shapes and self.layouts and self.t.index and self.t.names):
            raise MemoryError("no memory for the tables of a Decoder")
        for i, (text, value) in enumerate(texts):
            set_text(&self.t.texts[i], text.encode(), value)
        for i, (text, kind, slot, flags, node, text_first, text_count, _) in enumerate(keys):
            set_text(&self.t.keys[i].name, text.encode(), 0)
            self.t.keys[i].kind, self.t.keys[i].slot, self.t.keys[i].flags, self.t.keys[i].node = kind, slot, flags, node
            self.t.keys[i].text_first, self.t.keys[i].text_count = text_first, text_count
        for i, (key_first, key_count, required) in enumerate(nodes):
            self.t.nodes[i].key_first, self.t.nodes[i].key_count, self.t.nodes[i].required = key_first, key_count, required
        for i, shape in enumerate(shapes):
            set_text(&self.t.shapes[i].opening, shape.opening[:32].encode(), 0)
            self.t.shapes[i].node, self.t.shapes[i].kind, self.t.shapes[i].side = roots[i], shape.kind, shape.fixed_side
            self.t.shapes[i].carry = shape.carry
            self.t.shapes[i].rows, self.t.shapes[i].own, self.t.shapes[i].untimed = shape.has_rows, shape.rows_name_symbols, shape.untimed
        self.shape_count = len(shapes)
        for i in range(LAYOUTS):
            self.layouts[i].shape = -1
        self.at, self.spread = spread([shape.opening[:32].encode() for shape in shapes])
        for i in range(<Py_ssize_t> self.t.index_mask + 1):
            self.t.index[i] = -1
        for i, text in enumerate(self.symbols):
            raw = text.encode()
            if not 0 < len(raw) <= SYMBOL_MAX or b'"' in raw or b"\\" in raw or min(raw) < 32:
                raise ValueError(f"symbol: expected 1 to {SYMBOL_MAX} bytes of UTF-8 without control characters and quotes, got {text!r}")
            if len(raw) > NAME_MAX or not raw.isascii():
                continue            # its frames go to the general parser
            name = <scan_name_t*> (self.t.names + 32 * i)
            memcpy(name, PyBytes_AS_STRING(raw), len(raw))
            if lookup(&self.t, name.word) >= 0:
                raise ValueError(f"symbol {text!r} is given twice")
            at = scan_hash(name) & self.t.index_mask
            while self.t.index[at] >= 0:
                at = (at + 1) & self.t.index_mask
            self.t.index[at] = i
        return 0

    def __dealloc__(self):
        free(self.t.keys)
        free(self.t.nodes)
        free(self.t.texts)
        free(self.t.shapes)
        free(self.layouts)
        free(self.t.index)
        free(self.t.names)

    cdef int decode_c(self, const char* p, Py_ssize_t n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil:
        """Events of the frame p[0:n] into out; NOT_MINE, OUT_TOO_SMALL, or their number. Behind that number, rows of out are scratch."""
        cdef layout_t* layout
        cdef int i, rows
        cdef Py_ssize_t inner
        if n < 32 or n > 1 << 30:
            return NOT_MINE
        if self.envelope.size:
            inner = self.unwrap(p, n)
            if inner:
                p += inner
                n -= inner + 1
                if inner < 0 or n < 32:
                    return NOT_MINE
        layout = &self.layouts[scan_load8(p + self.at) * self.spread >> 59]
        if layout.shape >= 0:
            rows = predict(&self.t, layout, p, <int> n, ts_recv, out, capacity)
            if rows != NOT_MINE:
                self.predicted += 1
                return rows
        for i in range(self.shape_count):
            if scan_same(p, self.t.shapes[i].opening.text, self.t.shapes[i].opening.mask):
                self.scanned += 1
                return scan_frame(self, i, layout, p, <int> n, ts_recv, out, capacity)
        for i in range(self.shape_count):   # the topic does not come first
            rows = scan_frame(self, i, layout, p, <int> n, ts_recv, out, capacity)
            if rows != NOT_MINE:
                self.scanned += 1
                return rows
        return NOT_MINE

    cdef Py_ssize_t unwrap(self, const char* p, Py_ssize_t n) noexcept nogil:
        """Offset of the object that a frame of at least 32 bytes wraps; 0: the frame is not wrapped, -1: something unusual."""
        cdef Py_ssize_t i = self.envelope.size
        cdef uint32_t stops
        if not scan_same(p, self.envelope.text, self.envelope.mask):
            return 0
        while i + 32 <= n:
            stops = scan_stops(p + i)
            if stops:
                i += __builtin_ctz(stops)
                return i + 9 if i + 32 <= n and scan_same(p + i, b'","data":', (1 << 9) - 1) and p[n - 1] == 125 else -1
            i += 16
        return -1

    cdef int _attach(self, object out) except -1:
        cdef Py_buffer view
        if getattr(out, "dtype", None) != EVENT_DTYPE:
            raise ValueError(f"out: expected an array of EVENT_DTYPE, got {type(out).__name__} of {getattr(out, 'dtype', None)}")
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        self._rows = <event_t*> view.buf
        self._row_count = <int> min(view.len // <Py_ssize_t> sizeof(event_t), 2 ** 31 - 1)
        self._out = out   # holds the memory
        PyBuffer_Release(&view)
        return 0

    def decode(self, frame, int64_t ts_recv, out) -> int:
        """Events of a frame (bytes, or any buffer) into out, an array of EVENT_DTYPE. ts_recv: when we received it, ns UTC.

        Returns the number of events (0: recognised, but nothing changed), NOT_MINE (-1) if the general parser must read it, or
        OUT_TOO_SMALL (-2). Rows of out behind that number are scratch; nothing beyond out is ever written.
        """
        cdef Py_buffer view
        cdef int rows
        if out is not self._out:
            self._attach(out)
        if PyBytes_CheckExact(frame):
            return self.decode_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), ts_recv, self._rows, self._row_count)
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        rows = self.decode_c(<const char*> view.buf, view.len, ts_recv, self._rows, self._row_count)
        PyBuffer_Release(&view)
        return rows

    @property
    def unknown_key(self) -> str:
        """The last key that was skipped; '' if there was none."""
        return (<bytes> self.unknown_name[:32]).partition(b"\0")[0].decode(errors="replace")

    def forget(self):
        """Forget carried values and predicted layouts (a new connection starts with snapshots)."""
        cdef int i
        memset(self.t.carry, 0, sizeof(event_t) * max(1, len(self.symbols)))
        for i in range(LAYOUTS):
            self.layouts[i].shape = -1
