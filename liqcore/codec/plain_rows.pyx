"""Plain rows: see plain_rows.pxd."""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint32_t, uintptr_t
from libc.string cimport memcpy

import numpy as np

cdef extern from "codec/scan_text.h" nogil:
    ctypedef struct scan_window_t:
        uintptr_t origin
    const char* scan_near(scan_window_t* w, const char* p)
    const char* scan_open(scan_window_t* w, const char* src, size_t n)
    uint32_t scan_integer(const char* p, int64_t* value)
    uint32_t scan_decimal(const char* p, double* value)
    size_t scan_lines(const char* p, size_t n)
    uint32_t scan_cell(const char* p, char delimiter)
    void scan_take(const char* p, uint32_t size, scan_name_t* name)
    uint32_t scan_hash(const scan_name_t* a)
    int scan_name_same(const scan_name_t* a, const scan_name_t* b)

cdef enum:
    COLUMNS_MAX = 64
    PIECE = 16            # bytes that scan_cell looks at
    WORD_BYTES = 31       # of a scan_name_t


cdef class _Column:
    """One column that is read; `array` and `texts` own what `c` points to."""

    def __cinit__(self, str kind, Py_ssize_t rows, Py_ssize_t size):
        self.c.kind = ord(kind)
        self.array = np.zeros(rows + 1, {"n": np.float64, "i": np.int64}.get(kind, np.int32))
        self.c.values = <void*> <uintptr_t> self.array.ctypes.data
        if kind == "t":
            self.texts = np.empty(size, np.uint8)
            self.c.text = <char*> <uintptr_t> self.texts.ctypes.data


cdef object _result(_Column column, bytes data, Py_ssize_t rows):
    cdef column_t* c = &column.c
    if c.kind == c"t":
        return column.array, column.texts[: c.filled]
    if c.kind == c"w":
        return column.array[:rows], [data[c.begins[i] : c.begins[i] + c.sizes[i]].decode() for i in range(c.words)]
    return column.array[:rows]


def plain_rows(bytes data not None, str kinds not None, str delimiter not None):
    """The columns of all rows of `data`, and how many rows there are; None for the columns if any row is not plain.

    data       whole lines, each ended by a newline
    kinds      a letter for each column of a row: i whole number, n number, w one of at most 512 words, t text, - not read
    delimiter  one ASCII character that no number has

    Of each column that is read: an int64 or float64 array; (int32 index of the word of each row, words); (int32 offsets, one more than rows; their
    bytes as uint8), the layout of Arrow's strings.
    """
    cdef Py_ssize_t i, size = len(data), rows = 0, read
    cdef const char* raw = data
    cdef column_t* columns[COLUMNS_MAX]
    cdef int count = <int> len(kinds)
    cdef char end = <char> (ord(delimiter) & 0x7F)
    with nogil:
        rows = <Py_ssize_t> scan_lines(raw, <size_t> size)
    if not delimiter.isascii() or delimiter.isalnum() or delimiter in '.-"\r\n':
        return None, rows
    if count > COLUMNS_MAX or size > INT32_MAX or not data.endswith(b"\n"):
        return None, rows
    made = [_Column(kind, rows, size) if kind != "-" else None for kind in kinds]
    for i in range(count):
        columns[i] = &(<_Column> made[i]).c if made[i] is not None else NULL
    with nogil:
        read = _read(raw, size, rows, columns, count, end)
    if read < rows:
        return None, rows
    return [_result(column, data, rows) for column in made if column is not None], rows


cdef Py_ssize_t _read(const char* data, Py_ssize_t size, Py_ssize_t rows, column_t** columns, int count, char delimiter) noexcept nogil:
    """Rows before the first one that is not plain."""
    cdef scan_window_t w
    cdef const char* p = scan_open(&w, data, <size_t> size)
    cdef Py_ssize_t row
    cdef int i
    for row in range(rows):
        for i in range(count):
            p = _cell(&w, scan_near(&w, p), columns[i], row, delimiter)
            if p == NULL or p[0] != (c"\n" if i == count - 1 else delimiter):
                return row
            p += 1
    return rows


cdef inline const char* _cell(scan_window_t* w, const char* p, column_t* column, Py_ssize_t row, char delimiter) noexcept nogil:
    """Behind the cell at p; NULL if it is not plain."""
    cdef uint32_t k
    cdef char kind = column.kind if column != NULL else c"-"
    if kind == c"n":
        return _number(p, &(<double*> column.values)[row])
    if kind == c"i":
        k = scan_integer(p, &(<int64_t*> column.values)[row])
        return p + k if k else NULL
    if kind == c"w":
        return _word(w, p, delimiter, column, &(<int32_t*> column.values)[row])
    return _text(w, p, delimiter, column, row)


cdef inline const char* _number(const char* p, double* value) noexcept nogil:
    cdef uint32_t negative = p[0] == c"-", k = scan_decimal(p + negative, value)
    if negative:
        value[0] = -value[0]
    return p + negative + k if k else NULL


cdef const char* _word(scan_window_t* w, const char* p, char delimiter, column_t* column, int32_t* index) noexcept nogil:
    cdef scan_name_t name
    cdef uint32_t slot, k = scan_cell(p, delimiter)
    if k == PIECE:
        k += scan_cell(p + PIECE, delimiter)
    if k == 0 or k > WORD_BYTES:
        return NULL
    scan_take(p, k, &name)
    slot = scan_hash(&name) & (SLOTS - 1)
    while column.slots[slot]:
        index[0] = column.slots[slot] - 1
        if scan_name_same(&column.names[index[0]], &name):
            return p + k
        slot = (slot + 1) & (SLOTS - 1)
    index[0] = column.words
    if column.words == WORDS_MAX:
        return NULL
    column.names[column.words] = name
    column.begins[column.words] = <int64_t> (<uintptr_t> p - w.origin)
    column.sizes[column.words] = k
    column.words += 1
    column.slots[slot] = column.words
    return p + k


cdef const char* _text(scan_window_t* w, const char* p, char delimiter, column_t* column, Py_ssize_t row) noexcept nogil:
    """A text, or a cell that is not read."""
    cdef uint32_t k = PIECE
    cdef int32_t before = column.filled if column != NULL else -1
    while k == PIECE:
        k = scan_cell(p, delimiter)
        if column != NULL:
            memcpy(column.text + column.filled, p, k)
            column.filled += <int32_t> k
        p = scan_near(w, p + k)
    if column == NULL:
        return p
    (<int32_t*> column.values)[row + 1] = column.filled
    return p if column.filled > before else NULL
