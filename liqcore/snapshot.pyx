"""The format of every snapshot: a name with its version, parts with their lengths, and a checksum over all of it."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from collections.abc import Sequence
from zlib import crc32

cdef extern from "Python.h":
    enum: PyBUF_READ

cdef enum:
    WORD = 8                 # bytes of a length, and of the checksum at the end
    WORDS = 8                # of a CHANGE_BLOCK


cdef inline char* put_word(char* to, uint64_t x) noexcept nogil:
    """Little-endian on any machine."""
    cdef int k
    for k in range(WORD):
        to[k] = <char> (x >> (8 * k))
    return to + WORD


cpdef bytes pack(bytes name, list parts):
    """The parts of one snapshot as bytes; unpack() gives them back."""
    cdef Py_ssize_t size = len(name) + WORD * (len(parts) + 1)
    cdef bytes part, out
    cdef char* to
    for part in parts:
        size += len(part)
    out = PyBytes_FromStringAndSize(NULL, size)
    to = out
    memcpy(to, <const char*> name, len(name))
    to += len(name)
    for part in parts:
        to = put_word(to, len(part))
        memcpy(to, <const char*> part, len(part))
        to += len(part)
    put_word(to, <uint32_t> crc32(PyMemoryView_FromMemory(<char*> out, size - WORD, PyBUF_READ)))
    return out


cpdef list unpack(bytes name, bytes data, str what):
    """The parts of a snapshot made by pack() under the same name; ValueError, naming its purpose, if anything is missing or damaged."""
    cdef Py_ssize_t size, end = len(data) - WORD, at = len(name)
    cdef list parts = []
    if not data.startswith(name):
        raise ValueError(f"{what} snapshot: not one, or of another version of liqcore: it starts with {data[:len(name)]!r}, expected {name!r}")
    if end < at or crc32(memoryview(data)[:end]) != int.from_bytes(data[end:], "little"):
        raise ValueError(f"{what} snapshot: truncated or damaged ({len(data)} bytes, the checksum does not fit); take it from another copy")
    while at < end:
        size = int.from_bytes(data[at:at + WORD], "little")
        parts.append(data[at + WORD:at + WORD + size])
        at += WORD + size
    return parts


cdef bint differs(const char* block, Py_ssize_t size) noexcept nogil:
    """True if a block differs from the block before it."""
    cdef Py_ssize_t k
    cdef uint64_t bits = 0, here[WORDS], before[WORDS]
    if size < CHANGE_BLOCK:
        return memcmp(block, block - CHANGE_BLOCK, size) != 0
    memcpy(here, block, CHANGE_BLOCK)
    memcpy(before, block - CHANGE_BLOCK, CHANGE_BLOCK)
    for k in range(WORDS):
        bits |= here[k] ^ before[k]
    return bits != 0


cdef bytes changes(const char* of, Py_ssize_t size):
    """A bit for each block, set if it differs from the one before it (the first: from zeros), and those blocks. Most cells of a ring were never used,
    or have the value of the cell before."""
    cdef Py_ssize_t k, n, used = 0, blocks = (size + CHANGE_BLOCK - 1) // CHANGE_BLOCK, head = (blocks + 7) // 8
    cdef char[CHANGE_BLOCK] zero
    cdef bytes bits = bytes(head), out
    cdef unsigned char* bit = <unsigned char*> <char*> bits
    cdef char* to
    memset(zero, 0, CHANGE_BLOCK)
    for k in range(blocks):
        n = min(CHANGE_BLOCK, size - k * CHANGE_BLOCK)
        if differs(of + k * CHANGE_BLOCK, n) if k else memcmp(of, zero, n) != 0:
            bit[k >> 3] |= 1 << (k & 7)
            used += n
    out = PyBytes_FromStringAndSize(NULL, head + used)
    to = <char*> out
    memcpy(to, bit, head)
    to += head
    for k in range(blocks):
        if bit[k >> 3] >> (k & 7) & 1:
            n = min(CHANGE_BLOCK, size - k * CHANGE_BLOCK)
            memcpy(to, of + k * CHANGE_BLOCK, n)
            to += n
    return out


cdef bytes unchanged(bytes data, Py_ssize_t size, bint of_zeros):
    """The argument of changes(); None if that was not `size` bytes. of_zeros: data of an earlier build, which left out only blocks of ZERO_BLOCK zero
    bytes."""
    cdef Py_ssize_t k, n, block = ZERO_BLOCK if of_zeros else CHANGE_BLOCK
    cdef Py_ssize_t blocks = (size + block - 1) // block, at = (blocks + 7) // 8, left = len(data) - at
    cdef bytes out
    cdef char* to
    cdef const unsigned char* bit = <const unsigned char*> <const char*> data
    if left < 0:
        return None
    out = bytes(size)
    to = out
    for k in range(blocks):
        n = min(block, size - k * block)
        if bit[k >> 3] >> (k & 7) & 1:
            left -= n
            if left < 0:
                return None
            memcpy(to + k * block, <const char*> data + at, n)
            at += n
        elif k and not of_zeros:
            memcpy(to + k * block, to + (k - 1) * block, n)
    return out if left == 0 else None


def fitting(name: bytes, data: bytes, what: str, settings: object, sizes: Sequence[int | None]) -> list[bytes]:
    """The parts after the first one, which is the repr of the settings of the snapshot. sizes: bytes of each part, None = the caller checks it.
    ValueError for other settings or other parts, and for all that unpack() refuses."""
    first, *parts = unpack(name, data, what) or [b""]
    if first != repr(settings).encode():
        raise ValueError(f"{what} snapshot: of other settings ({first.decode(errors='replace')}); these are {settings!r}")
    if len(parts) != len(sizes) or any(size not in (None, len(part)) for part, size in zip(parts, sizes, strict=True)):
        raise ValueError(f"{what} snapshot: of another version of liqcore")
    return parts


def same_first(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> int:
    """Number of instruments of a record of trades; ValueError unless they are our first ones, with the same ticks and lots. The venue's smallest and
    largest quantity may have changed. The value of a tick must be the same, because the record counts in ticks."""
    for n, old in enumerate(theirs):
        found = ours[n] if n < len(ours) else {}
        for key in ("venue", "symbol", "tick_size", "lot_size", "multiplier"):
            if found.get(key) != old.get(key):
                raise ValueError(f"trade snapshot: instrument {n} was {old['symbol']} with {key} {old.get(key)!r}, is "
                                 f"{found.get('symbol', 'missing')} with {found.get(key)!r}: order ids and prices would mean something else. Keep "
                                 "the order of the instruments and add new ones at the end; or close what is open by hand and begin with a new "
                                 "state folder")
    return len(theirs)
