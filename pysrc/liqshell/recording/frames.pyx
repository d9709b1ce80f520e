"""Frames between the socket and the disk: copied once, and turned into lines of a recording without the interpreter's lock.

A line is built here where its frame is plain JSON on one line, which nearly all frames are: objects, arrays, strings of UTF-8 with simple escapes,
numbers without an exponent, to a bounded depth. Any other frame goes back to the recorder, which uses a JSON parser, and wraps a frame that is not
JSON. So this reader of JSON may be strict.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

cdef extern from "codec/scan_text.h" nogil:
    uint32_t scan_stops(const char* p)
    uint64_t scan_load8(const char* p)
    int __builtin_ctz(unsigned int x)

cdef int TAG_SHIFT = 48           # of record_t.size: its upper bits are the tag
cdef int64_t SIZE_MASK = (<int64_t> 1 << 48) - 1
cdef Py_ssize_t BLOCK = 1 << 20   # bytes of frames that are allocated at once
cdef Py_ssize_t AHEAD = 32        # that may be read behind a frame
cdef int64_t HOUR_NS = 3600000000000
cdef int LABEL_BYTES = 400        # at the head of a frame, where its labels are looked for
cdef int DEPTH_MAX = 64
cdef int DIGITS_MAX = 40
cdef int SOURCES_MAX = 1024

cdef enum:                        # source_t.kind
    BY_TOPIC = 0
    BY_KEYS = 1
    OWN = 2                       # a line of the recorder's own

cdef enum:                        # bits of CLASSES
    TOPIC_CHAR = 1
    KIND_CHAR = 2
    NAME_CHAR = 4
    SPACE = 8

cdef uint8_t[256] CLASSES
memset(CLASSES, 0, sizeof(CLASSES))
for _byte in range(128):
    _char = chr(_byte)
    CLASSES[_byte] = (TOPIC_CHAR * (_char.isalnum() or _char in "_.:@!-") | KIND_CHAR * (_char.isalnum() or _char in "_-")
                      | NAME_CHAR * (_char.isalnum() or _char in "_@:/-") | SPACE * (_char in " \t\n\r\x0b\x0c"))

RECORD_BYTES = sizeof(record_t)   # what a waiting frame takes besides its bytes


cdef class FrameTap:
    """Sees the raw bytes of every data message after the sink has. Cython: override on_frame_c. Python: override on_frame."""

    cdef int on_frame_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        self.on_frame(PyBytes_FromStringAndSize(raw, raw_n), ts_recv)
        return 0

    def on_frame(self, raw, ts_recv):
        """Raw bytes and time of receipt in ns of one message."""
        raise NotImplementedError("FrameTap: override on_frame in Python or on_frame_c in Cython")


@cython.final
cdef class FrameBuffer(FrameTap):
    """A tap that only copies: frames wait in memory until a LineWriter takes them. It is filled under the interpreter's lock.

    capacity: bytes that may wait; each frame takes its size and RECORD_BYTES. A frame that does not fit is not kept and is counted in `dropped`: a
    recording with dropped > 0 has a hole and must state it.
    """

    def __cinit__(self, *args, **kwargs):
        self.first = self.last = self.spare = NULL

    def __init__(self, capacity=1 << 28):
        if not 0 < capacity <= 1 << 40:
            raise ValueError(f"FrameBuffer: capacity must lie in 1 .. 2**40 bytes, got {capacity!r}")
        self.capacity = capacity

    def __dealloc__(self):
        release(self.first)
        release(self.spare)

    cdef int on_frame_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        return self.keep_c(raw, raw_n, ts_recv, 0)

    cdef int keep_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv, int64_t tag) except -1:
        if self.used + <Py_ssize_t> sizeof(record_t) + raw_n > self.capacity:
            self.dropped += 1
            return 0
        return self.put_c(raw, raw_n, ts_recv, tag)

    cdef int put_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv, int64_t tag) except -1:
        """Whether there is room or not."""
        cdef Py_ssize_t need = sizeof(record_t) + raw_n
        cdef block_t* block = self.last
        cdef record_t head
        cdef char* at
        if block == NULL or block.room - block.used < need:
            block = self.spare if need <= BLOCK else NULL
            if block != NULL:
                self.spare = NULL
            else:
                block = <block_t*> PyMem_RawMalloc(sizeof(block_t) + max(BLOCK, need) + AHEAD)
                if block == NULL:
                    self.dropped += 1
                    return 0
                block.room = max(BLOCK, need)
            block.next, block.used = NULL, 0
            if self.last == NULL:
                self.first = block
            else:
                self.last.next = block
            self.last = block
        head.ts_recv = ts_recv
        head.size = raw_n | tag << TAG_SHIFT
        at = <char*> (block + 1) + block.used
        memcpy(at, &head, sizeof(head))
        memcpy(at + sizeof(head), raw, raw_n)
        block.used += need
        self.used += need
        self.frames += 1
        return 0

    def tagged(self, tag):
        """A tap that writes into this buffer and marks each frame with `tag` (0 to 32767), so that several feeds keep their common order."""
        return TaggedTap(self, tag)


@cython.final
cdef class TaggedTap(FrameTap):
    """Made by FrameBuffer.tagged."""

    def __init__(self, FrameBuffer buffer not None, tag):
        if not 0 <= tag < 32768:
            raise ValueError(f"tag: expected 0 to 32767, got {tag!r}")
        self.buffer = buffer
        self.tag = tag

    cdef int on_frame_c(self, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        return self.buffer.keep_c(raw, raw_n, ts_recv, self.tag)

    def keep(self, bytes raw not None, int64_t ts_recv):
        """A message that no listener received, such as the answer to a REST request."""
        self.buffer.keep_c(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), ts_recv, self.tag)

    def put(self, bytes raw not None, int64_t ts_recv):
        """The same for a message that must be kept, with or without room."""
        self.buffer.put_c(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), ts_recv, self.tag)


cdef void release(block_t* block) noexcept nogil:
    cdef block_t* following
    while block != NULL:
        following = block.next
        PyMem_RawFree(block)
        block = following


@cython.final
cdef class LineWriter:
    """Waiting frames to lines. The text of the lines is its buffer (memoryview(writer)), valid until begin() is called again.

    One thread at a time; another one may fill the buffer meanwhile.
    """

    def __cinit__(self, *args, **kwargs):
        self.table, self.chain, self.out = NULL, NULL, NULL

    def __init__(self, FrameBuffer buffer not None):
        self.buffer = buffer
        self.sources = []
        self.table = <source_t*> PyMem_RawMalloc(SOURCES_MAX * sizeof(source_t))      # never moves: another thread reads it
        if self.table == NULL:
            raise MemoryError("LineWriter: no memory for the table of sources")

    def __dealloc__(self):
        release(self.chain)
        PyMem_RawFree(self.out)
        PyMem_RawFree(self.table)

    def source(self, bytes head not None, str kind_key="", tuple names=()):
        """The tap for frames of one origin. head: of their lines, from behind the time of receipt to the opening quote of the stream. kind_key,
        names: keys that say what a frame is and of which contract; without them its topic says both."""
        return self._add(head, BY_KEYS if kind_key else BY_TOPIC, kind_key, names)

    def own(self, bytes head not None):
        """The tap for lines of our own of one stream. head: as of `source`, but up to the value."""
        return self._add(head, OWN, "", ())

    def _add(self, bytes head, int kind, str key, tuple names):
        cdef source_t* source
        cdef int n = len(self.sources)
        if len(names) > 4 or n == SOURCES_MAX:
            raise ValueError(f"expected at most 4 keys that name a contract and {SOURCES_MAX} sources, got {len(names)} and {n + 1}")
        texts = [head, key.encode(), *(name.encode() for name in names)]
        self.sources.append(texts)               # holds what the table points to
        source = &self.table[n]
        source.kind, source.name_count = kind, len(names)
        source.head, source.head_n = PyBytes_AS_STRING(texts[0]), len(texts[0])
        source.key, source.key_n = PyBytes_AS_STRING(texts[1]), len(texts[1])
        for n in range(len(names)):
            source.names[n], source.name_n[n] = PyBytes_AS_STRING(texts[2 + n]), len(texts[2 + n])
        return self.buffer.tagged(len(self.sources) - 1)

    def begin(self, int64_t hour):
        """Empty the text. Returns the hour (since 1970) of the next frame, or `hour` if that is later; -1: nothing waits."""
        cdef record_t head
        if self.exports:
            raise BufferError("the text of the lines is still in use")
        self.buffer.used -= self.taken
        self.out_n = self.lines = self.taken = 0
        if not self._refill():
            return -1
        memcpy(&head, <char*> (self.chain + 1) + self.at, sizeof(head))
        return max(hour, hour_of(head.ts_recv))

    cdef int _refill(self) except -1:
        """Whether a frame waits. Under the interpreter's lock, as the filling of the buffer."""
        if self.chain == NULL:
            self.chain, self.buffer.first, self.buffer.last, self.at = self.buffer.first, NULL, NULL, 0
        return self.chain != NULL

    def run(self, int64_t hour, Py_ssize_t most):
        """Lines of the frames of `hour`, until they are `most` bytes or nothing waits: None. Or the bytes of a frame that is not plain JSON: its
        line stands up to where the frame is, to be ended by `end`."""
        cdef block_t* done = NULL
        cdef block_t* block
        cdef record_t head
        cdef int state
        with nogil:
            state = self._run(hour, most, &done)
        while done != NULL:
            block, done = done, done.next
            if self.buffer.spare == NULL and block.room == BLOCK:
                block.next, self.buffer.spare = NULL, block
            else:
                PyMem_RawFree(block)
        if state < 0:
            raise MemoryError("LineWriter: no memory for lines")
        if state == 0:
            return None
        memcpy(&head, <char*> (self.chain + 1) + self.at, sizeof(head))
        frame = PyBytes_FromStringAndSize(<char*> (self.chain + 1) + self.at + sizeof(head), head.size & SIZE_MASK)
        self._step()
        return frame

    def _step(self):
        """Past the frame at hand, which may be the last of its block."""
        cdef record_t head
        cdef block_t* block = self.chain
        memcpy(&head, <char*> (block + 1) + self.at, sizeof(head))
        self.at += sizeof(head) + (head.size & SIZE_MASK)
        self.taken += sizeof(head) + (head.size & SIZE_MASK)
        if self.at == block.used:
            self.chain, self.at = block.next, 0
            PyMem_RawFree(block)

    def end(self, bytes tail not None):
        """The rest of a line that `run` has left open: what follows the symbol."""
        cdef Py_ssize_t n = len(tail)
        if self._room(n + 2) < 0:
            raise MemoryError("LineWriter: no memory for lines")
        memcpy(self.out + self.out_n, PyBytes_AS_STRING(tail), n)
        memcpy(self.out + self.out_n + n, b"}\n", 2)
        self.out_n += n + 2
        self.lines += 1

    def add(self, bytes line not None):
        """A whole line."""
        cdef Py_ssize_t n = len(line)
        if self._room(n) < 0:
            raise MemoryError("LineWriter: no memory for lines")
        memcpy(self.out + self.out_n, PyBytes_AS_STRING(line), n)
        self.out_n += n
        self.lines += 1

    cdef int _room(self, Py_ssize_t n) noexcept nogil:
        cdef char* grown
        if self.out_n + n > self.out_room:
            grown = <char*> PyMem_RawRealloc(self.out, 2 * (self.out_n + n) + 4096)
            if grown == NULL:
                return -1
            self.out, self.out_room = grown, 2 * (self.out_n + n) + 4096
        return 0

    cdef int _run(self, int64_t hour, Py_ssize_t most, block_t** done) noexcept nogil:
        """0: all frames, or enough; 1: a frame goes back to the caller; -1: no memory."""
        cdef block_t* block
        cdef record_t head
        cdef Py_ssize_t n, mark
        cdef const source_t* source
        cdef char* p
        while self.chain != NULL and self.out_n < most:
            block = self.chain
            p = <char*> (block + 1) + self.at
            memcpy(&head, p, sizeof(head))
            if max(hour, hour_of(head.ts_recv)) != hour:
                return 0
            n = head.size & SIZE_MASK
            p += sizeof(head)
            source = &self.table[head.size >> TAG_SHIFT]
            if self._room(n + source.head_n + 512) < 0:
                return -1
            self.last = head.ts_recv
            self._head(head.ts_recv, source, p, n)
            if source.kind != OWN:
                if not is_plain(p, n):
                    return 1
                memcpy(self.out + self.out_n, b'"result":', 9)
                self.out_n += 9
            memcpy(self.out + self.out_n, p, n)
            memcpy(self.out + self.out_n + n, b"}\n", 2)
            self.out_n += n + 2
            self.lines += 1
            self.at += sizeof(head) + n
            self.taken += sizeof(head) + n
            if self.at == block.used:
                self.chain, self.at = block.next, 0
                block.next = done[0]
                done[0] = block
        return 0

    cdef void _head(self, int64_t ts_recv, const source_t* source, const char* p, Py_ssize_t n) noexcept nogil:
        """A line up to its frame. There is room."""
        cdef char* o = self.out + self.out_n
        cdef const char* text = NULL
        cdef const char* dot
        cdef Py_ssize_t size, k
        cdef int64_t ms = ts_recv // 1000000
        if ms * 1000000 > ts_recv:               # rounds towards minus infinity, as Python does
            ms -= 1
        o = number(append(o, b'{"ts":', 6), ms)
        o = number(append(o, b',"ts_recv":', 11), ts_recv)
        o = append(o, source.head, source.head_n)
        if source.kind != OWN:
            n = min(n, LABEL_BYTES)
            if source.kind == BY_TOPIC:
                size = value_of(p, n, b"topic", 5, TOPIC_CHAR, 120, &text)
                if size >= 8 and memcmp(text, b"liqcore.", 8) == 0:      # a venue cannot forge a line of ours
                    size = 0
                o = append(append(o, text, size), b'","symbol":"', 12)
                k = size
                while k and text[k - 1] != 46:
                    k -= 1
                if k:
                    o = append(o, text + k, size - k)
            else:
                size = value_of(p, n, source.key, source.key_n, KIND_CHAR, 40, &text)
                o = append(append(o, text, size), b'","symbol":"', 12)
                size = first_name(p, n, source, &text)
                o = append(o, text, size)
            o = append(o, b'",', 2)
        self.out_n = o - self.out

    @property
    def digest(self):
        """XXH64 of the text, as zstandard has it behind a frame: its lowest four bytes, little-endian."""
        cdef uint64_t found
        with nogil:
            found = xxh64(<const uint8_t*> self.out, self.out_n)
        return (found & 0xFFFFFFFF).to_bytes(4, "little")

    def __len__(self):
        return self.out_n

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.out, self.out_n, 1, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.exports -= 1


cdef inline int64_t hour_of(int64_t ts) noexcept nogil:
    cdef int64_t hour = ts // HOUR_NS
    return hour - 1 if hour * HOUR_NS > ts else hour


cdef inline char* append(char* o, const char* text, Py_ssize_t n) noexcept nogil:
    if n > 0:
        memcpy(o, text, n)
    return o + n


cdef inline char* number(char* o, int64_t value) noexcept nogil:
    cdef char[24] digits
    cdef int n = 24
    cdef uint64_t rest = <uint64_t> value if value >= 0 else 0 - <uint64_t> value
    if value < 0:
        o[0] = 45
        o += 1
    while True:
        n -= 1
        digits[n] = <char> (48 + rest % 10)
        rest = rest // 10
        if rest == 0:
            break
    return append(o, &digits[n], 24 - n)


cdef Py_ssize_t value_at(const char* p, Py_ssize_t n, Py_ssize_t i, uint8_t chars, int most, const char** text) noexcept nogil:
    """Size of the text value behind a key whose closing quote stands before p[i]; 0: it is none of these characters."""
    cdef Py_ssize_t begin
    while i < n and CLASSES[<uint8_t> p[i]] & SPACE:
        i += 1
    if i >= n or p[i] != 58:
        return 0
    i += 1
    while i < n and CLASSES[<uint8_t> p[i]] & SPACE:
        i += 1
    if i >= n or p[i] != 34:
        return 0
    i += 1
    begin = i
    while i < n and CLASSES[<uint8_t> p[i]] & chars:
        i += 1
    if i == begin or i - begin > most or i >= n or p[i] != 34:
        return 0
    text[0] = p + begin
    return i - begin


cdef inline int is_key(const char* p, Py_ssize_t n, Py_ssize_t i, const char* key, Py_ssize_t key_n) noexcept nogil:
    """Whether this key stands behind the quote before p[i], with the quote that ends it."""
    return i + key_n < n and p[i + key_n] == 34 and memcmp(p + i, key, key_n) == 0


cdef Py_ssize_t value_of(const char* p, Py_ssize_t n, const char* key, Py_ssize_t key_n, uint8_t chars, int most, const char** text) noexcept nogil:
    """The first such value under this key; its size, 0: none."""
    cdef const char* found = p
    cdef Py_ssize_t i = 0, size
    while i < n:
        found = <const char*> memchr(p + i, 34, n - i)
        if found == NULL:
            return 0
        i = found - p + 1
        if is_key(p, n, i, key, key_n):
            size = value_at(p, n, i + key_n + 1, chars, most, text)
            if size:
                return size
    return 0


cdef Py_ssize_t first_name(const char* p, Py_ssize_t n, const source_t* source, const char** text) noexcept nogil:
    """The first contract that a frame names under one of the keys."""
    cdef const char* found = p
    cdef Py_ssize_t i = 0, size
    cdef int k
    while i < n:
        found = <const char*> memchr(p + i, 34, n - i)
        if found == NULL:
            return 0
        i = found - p + 1
        for k in range(source.name_count):
            if is_key(p, n, i, source.names[k], source.name_n[k]):
                size = value_at(p, n, i + source.name_n[k] + 1, NAME_CHAR, 40, text)
                if size:
                    return size
    return 0


cdef const char* skip_string(const char* p, const char* end) noexcept nogil:
    """Behind the closing quote of a string whose opening quote stands before p; NULL: not plain. AHEAD bytes behind `end` can be read."""
    cdef uint32_t stops
    cdef uint8_t c
    while p < end:
        stops = scan_stops(p)
        if stops == 0:
            p += 16
            continue
        p += __builtin_ctz(stops)
        if p >= end:
            return NULL
        c = <uint8_t> p[0]
        if c == 34:
            return p + 1
        if c == 92:
            if p + 1 >= end or memchr(b'"\\/bfnrt', p[1], 8) == NULL:
                return NULL
            p += 2
        elif c < 0x80:
            return NULL                          # a control character
        else:
            c = utf8(<const uint8_t*> p, end - p)
            if c == 0:
                return NULL
            p += c
    return NULL


cdef inline int utf8(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """Bytes of the character of more than one byte at p; 0: it is none."""
    if n >= 2 and 0xC2 <= p[0] <= 0xDF and p[1] & 0xC0 == 0x80:
        return 2
    if n >= 3 and 0xE0 <= p[0] <= 0xEF and p[1] & 0xC0 == 0x80 and p[2] & 0xC0 == 0x80:
        return 3 if not (p[0] == 0xE0 and p[1] < 0xA0) and not (p[0] == 0xED and p[1] > 0x9F) else 0
    if n >= 4 and 0xF0 <= p[0] <= 0xF4 and p[1] & 0xC0 == 0x80 and p[2] & 0xC0 == 0x80 and p[3] & 0xC0 == 0x80:
        return 4 if not (p[0] == 0xF0 and p[1] < 0x90) and not (p[0] == 0xF4 and p[1] > 0x8F) else 0
    return 0


cdef const char* skip_digits(const char* p, const char* end) noexcept nogil:
    """Behind 1 to DIGITS_MAX digits; NULL: there are none, or more."""
    cdef const char* begin = p
    while p < end and 48 <= p[0] <= 57:
        p += 1
    return p if 0 < p - begin <= DIGITS_MAX else NULL


cdef const char* skip_scalar(const char* p, const char* end) noexcept nogil:
    """Behind a number without an exponent, true, false or null; NULL: neither."""
    cdef const char* begin
    if end - p >= 4 and (memcmp(p, b"true", 4) == 0 or memcmp(p, b"null", 4) == 0):
        return p + 4
    if end - p >= 5 and memcmp(p, b"false", 5) == 0:
        return p + 5
    begin = p + (p[0] == 45)
    p = skip_digits(begin, end)
    if p == NULL or (begin[0] == 48 and p - begin > 1):
        return NULL
    if p < end and p[0] == 46:
        p = skip_digits(p + 1, end)
    return p if p == NULL or p >= end or (p[0] != 101 and p[0] != 69) else NULL


cdef inline const char* skip_blank(const char* p, const char* end) noexcept nogil:
    while p < end and (p[0] == 32 or p[0] == 9):
        p += 1
    return p


cdef const char* skip_key(const char* p, const char* end) noexcept nogil:
    """Behind the colon of the key at p; NULL: there is none."""
    p = skip_blank(p, end)
    if p >= end or p[0] != 34:
        return NULL
    p = skip_string(p + 1, end)
    if p == NULL:
        return NULL
    p = skip_blank(p, end)
    return p + 1 if p < end and p[0] == 58 else NULL


cdef int is_plain(const char* p, Py_ssize_t n) noexcept nogil:
    """Whether p[0:n] is JSON on one line that needs no closer look. AHEAD bytes behind it can be read."""
    cdef const char* end = p + n
    cdef uint64_t objects = 0                    # a bit for each open level: 1 = an object
    cdef int depth = 0
    cdef char c
    while True:
        p = skip_blank(p, end)                   # a value begins here
        if p >= end:
            return 0
        c = p[0]
        if c == 123 or c == 91:
            if depth == DEPTH_MAX:
                return 0
            depth += 1
            objects = objects << 1 | (c == 123)
            p = skip_blank(p + 1, end)
            if p >= end:
                return 0
            if p[0] != c + 2:
                if c == 123:
                    p = skip_key(p, end)
                    if p == NULL:
                        return 0
                continue
        else:
            p = skip_string(p + 1, end) if c == 34 else skip_scalar(p, end)
            if p == NULL:
                return 0
            p -= 1                               # onto its last character, as an empty object or array is on its bracket
            c = 0
        while True:                              # a value has ended at p
            if c != 0:
                depth -= 1
                objects >>= 1
            p = skip_blank(p + 1, end)
            if depth == 0:
                return p == end
            if p >= end:
                return 0
            c = p[0]
            if c == 44:
                if objects & 1:
                    p = skip_key(p + 1, end)
                    if p == NULL:
                        return 0
                else:
                    p += 1
                break
            if c != (125 if objects & 1 else 93):
                return 0


cdef uint64_t P1 = 0x9E3779B185EBCA87u
cdef uint64_t P2 = 0xC2B2AE3D27D4EB4Fu
cdef uint64_t P3 = 0x165667B19E3779F9u
cdef uint64_t P4 = 0x85EBCA77C2B2AE63u
cdef uint64_t P5 = 0x27D4EB2F165667C5u


cdef inline uint64_t turned(uint64_t x, int n) noexcept nogil:
    return x << n | x >> (64 - n)


cdef inline uint64_t mixed(uint64_t acc, uint64_t lane) noexcept nogil:
    return turned(acc + lane * P2, 31) * P1


cdef uint64_t xxh64(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """XXH64 with seed 0 (Collet, "xxHash fast digest algorithm", section XXH64)."""
    cdef uint64_t h, a = P1 + P2, b = P2, c = 0, d = 0 - P1
    cdef Py_ssize_t i = 0
    cdef uint32_t word
    if n >= 32:
        while i + 32 <= n:
            a = mixed(a, scan_load8(<const char*> p + i))
            b = mixed(b, scan_load8(<const char*> p + i + 8))
            c = mixed(c, scan_load8(<const char*> p + i + 16))
            d = mixed(d, scan_load8(<const char*> p + i + 24))
            i += 32
        h = turned(a, 1) + turned(b, 7) + turned(c, 12) + turned(d, 18)
        h = (h ^ mixed(0, a)) * P1 + P4
        h = (h ^ mixed(0, b)) * P1 + P4
        h = (h ^ mixed(0, c)) * P1 + P4
        h = (h ^ mixed(0, d)) * P1 + P4
    else:
        h = P5
    h += n
    while i + 8 <= n:
        h = turned(h ^ mixed(0, scan_load8(<const char*> p + i)), 27) * P1 + P4
        i += 8
    if i + 4 <= n:
        memcpy(&word, p + i, 4)
        h = turned(h ^ word * P1, 23) * P2 + P3
        i += 4
    while i < n:
        h = turned(h ^ p[i] * P5, 11) * P1
        i += 1
    h = (h ^ h >> 33) * P2
    h = (h ^ h >> 29) * P3
    return h ^ h >> 32
