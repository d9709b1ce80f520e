"""Snapshots as bytes: see snapshot.pyx."""

cdef enum:
    CHANGE_BLOCK = 64        # bytes that changes() writes or leaves out together
    ZERO_BLOCK = 256         # of earlier builds

cpdef bytes pack(bytes name, list parts)
cpdef list unpack(bytes name, bytes data, str what)
cdef bytes changes(const char* of, Py_ssize_t size)
cdef bytes unchanged(bytes data, Py_ssize_t size, bint of_zeros)
