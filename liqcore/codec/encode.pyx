"""Order requests to the bytes of a venue's message. The venue's adapter gives the template once."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqcore.event cimport request_t
from liqcore.instrument cimport Instrument, instrument_t

cdef extern from "codec/scan_print.h" nogil:
    int scan_print_decimal(char* out, int64_t count, int64_t mantissa, int decimals)
    int scan_print_integer(char* out, uint64_t value)
    int scan_print_hex(char* out, uint64_t value)
    void scan_copy(char* out, const char* text, int size)

cdef enum:
    NAME_MAX = 31

cdef enum:                   # holes of an order template
    HOLE_NONE = 0
    HOLE_SYMBOL = 1
    HOLE_PRICE = 2
    HOLE_QTY = 3
    HOLE_STOP = 4
    HOLE_ID = 5
    HOLE_CAUSE = 6
    HOLE_NOW_MS = 7

cdef enum:
    VARIANTS = 1024
    HOLE_SIZE_MAX = 40


class Hole:
    """The values that an order template leaves open. PRICE, QTY, STOP: exact decimal text; ID, CAUSE: hexadecimal; NOW_MS: milliseconds UTC."""

    SYMBOL, PRICE, QTY, STOP, ID, CAUSE, NOW_MS = range(1, 8)


class Variant:
    """Which request a template is for. Enum values of liqcore.event; has_*: the number is not zero."""

    def __init__(self, action, type, side, post_only, reduce_only, has_price, has_qty, has_stop):
        self.action, self.type, self.side, self.post_only, self.reduce_only = action, type, side, post_only, reduce_only
        self.has_price, self.has_qty, self.has_stop = has_price, has_qty, has_stop


cdef inline int variant_of(const request_t* r) noexcept nogil:
    return ((r.action & 3) << 8 | (r.type & 3) << 6 | (r.side > 0) << 5 | (r.flags & 1) << 4 | (r.flags >> 1 & 1) << 3
            | (r.price > 0) << 2 | (r.qty > 0) << 1 | (r.stop > 0))


@cython.final
cdef class OrderEncoder:
    """Requests to a venue's bytes.

    template: function of a Variant that returns the message as a list of text and Hole numbers, or None if the venue has no such request; it
    is called once for each variant, here. instruments: list of Instrument, by index; their exact tick and lot steps print the numbers.
    """

    def __init__(self, template, instruments):
        cdef Instrument one
        cdef Py_ssize_t i
        if self.programs != NULL:
            raise ValueError("an OrderEncoder cannot be initialised twice")
        pieces, blob, programs = _templates(template)
        self.count = len(instruments)
        self.symbols = tuple(i.symbol for i in instruments)
        self.pieces = <piece_t*> calloc(len(pieces) + 1, sizeof(piece_t))
        self.programs = <int32_t*> calloc(VARIANTS, sizeof(int32_t))
        self.text = <char*> calloc(len(blob) + 16, 1)
        self.names = <char*> calloc(self.count + 1, 32)
        self.name_sizes = <uint8_t*> calloc(self.count + 1, 1)
        self.instruments = <instrument_t*> calloc(self.count + 1, sizeof(instrument_t))
        self.size_max = 16 + max((sum(size + HOLE_SIZE_MAX for _, size, _ in run) for run in _runs(pieces)), default=0)
        self.scratch = <char*> calloc(self.size_max, 1)
        if not (self.pieces and self.programs and self.text and self.names and self.name_sizes and self.instruments and self.scratch):
            raise MemoryError("no memory for the tables of an OrderEncoder")
        memcpy(self.text, PyBytes_AS_STRING(blob), len(blob))
        for i, (first, size, hole) in enumerate(pieces):
            self.pieces[i].text_first, self.pieces[i].text_size, self.pieces[i].hole = first, size, hole
        for i in range(VARIANTS):
            self.programs[i] = programs[i]
        for i, one in enumerate(instruments):
            raw = one.symbol.encode()
            if not 0 < len(raw) <= NAME_MAX:
                raise ValueError(f"symbol: expected 1 to {NAME_MAX} characters, got {one.symbol!r}")
            memcpy(self.names + 32 * i, PyBytes_AS_STRING(raw), len(raw))
            self.name_sizes[i] = <uint8_t> len(raw)
            self.instruments[i] = one.c

    def __dealloc__(self):
        free(self.pieces)
        free(self.programs)
        free(self.text)
        free(self.names)
        free(self.name_sizes)
        free(self.instruments)
        free(self.scratch)

    cdef int encode_c(self, const request_t* request, int64_t now_ms, char* out, int cap) noexcept nogil:
        """The message for a request into out; cap must be at least size_max. Returns its length, NO_ROOM, or NO_MESSAGE: no template for it, an
        unknown instrument, or a number out of range."""
        cdef const piece_t* piece
        cdef const instrument_t* i
        cdef char* p = out
        cdef int size
        if cap < self.size_max:
            return NO_ROOM
        if not 0 <= request.instrument < self.count or request.price < 0 or request.qty < 0 or request.stop < 0 or now_ms < 0:
            return NO_MESSAGE
        size = self.programs[variant_of(request)]
        if size < 0 or request.action > 3 or request.type > 3:
            return NO_MESSAGE
        i = &self.instruments[request.instrument]
        piece = &self.pieces[size]
        while True:
            scan_copy(p, self.text + piece.text_first, piece.text_size)
            p += piece.text_size
            if piece.hole == HOLE_NONE:
                return <int> (p - out)
            elif piece.hole == HOLE_ID:
                size = scan_print_hex(p, <uint64_t> request.id)
            elif piece.hole == HOLE_CAUSE:
                size = scan_print_hex(p, <uint64_t> request.cause)
            elif piece.hole == HOLE_NOW_MS:
                size = scan_print_integer(p, <uint64_t> now_ms)
            elif piece.hole == HOLE_SYMBOL:
                size = self.name_sizes[request.instrument]
                scan_copy(p, self.names + 32 * request.instrument, size)
            elif piece.hole == HOLE_PRICE:
                size = scan_print_decimal(p, request.price, i.tick_mantissa, i.tick_decimals)
            elif piece.hole == HOLE_STOP:
                size = scan_print_decimal(p, request.stop, i.tick_mantissa, i.tick_decimals)
            else:
                size = scan_print_decimal(p, request.qty, i.lot_mantissa, i.lot_decimals)
            if size < 0:
                return NO_MESSAGE
            p += size
            piece += 1

    def encode(self, request, int64_t ts_ms) -> bytes:
        """The message for one request (a row of REQUEST_DTYPE, or its 64 bytes), stamped ts_ms. ValueError if the venue has none for it."""
        cdef Py_buffer view
        cdef request_t row
        cdef int size
        PyObject_GetBuffer(request, &view, PyBUF_SIMPLE)
        try:
            if view.len != sizeof(request_t):
                raise ValueError(f"request: expected one row of REQUEST_DTYPE ({sizeof(request_t)} bytes), got {view.len} bytes")
            memcpy(&row, view.buf, sizeof(request_t))
        finally:
            PyBuffer_Release(&view)
        size = self.encode_c(&row, ts_ms, self.scratch, self.size_max)
        if size < 0:
            raise ValueError(f"request: no message for action {row.action}, type {row.type}, flags {row.flags} of instrument {row.instrument} with "
                             f"price {row.price}, qty {row.qty}, stop {row.stop} ticks/lots: unknown instrument, no such order, or out of range")
        return PyBytes_FromStringAndSize(self.scratch, size)


def _templates(template):
    """All variants of a template as (pieces, text, first piece by variant or -1); equal messages are kept once."""
    pieces, blob, programs, known = [], bytearray(), [-1] * VARIANTS, {}
    for number in range(VARIANTS):
        action, kind = number >> 8 & 3, number >> 6 & 3
        if not action:
            continue
        message = template(Variant(action, kind, 1 if number >> 5 & 1 else -1, bool(number >> 4 & 1), bool(number >> 3 & 1), bool(number >> 2 & 1),
                                   bool(number >> 1 & 1), bool(number & 1)))
        if message is None:
            continue
        message = tuple(message)
        if message not in known:
            known[message] = len(pieces)
            text = b""
            for part in (*message, HOLE_NONE):
                if isinstance(part, str):
                    text += part.encode()
                    continue
                if not HOLE_NONE <= part <= HOLE_NOW_MS:
                    raise ValueError(f"order template: expected text or a Hole, got {part!r}")
                pieces.append((len(blob), len(text), part))
                blob += text
                text = b""
        programs[number] = known[message]
    return pieces, bytes(blob), programs


def _runs(pieces):
    run = []
    for piece in pieces:
        run.append(piece)
        if piece[2] == HOLE_NONE:
            yield run
            run = []
