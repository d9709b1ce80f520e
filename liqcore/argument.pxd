"""Arguments from Python as C numbers. A wrong type is a TypeError that names the argument."""

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.stdint cimport int32_t, int64_t

cdef int64_t slow_whole(object value, str name) except? -1
cdef double slow_real(object value, str name) except? -1.0
cdef bint truth(object value, str name) except -1
cdef str string(object value, str name)
cdef tuple several(object value, str name)
cdef object one_of(type kind, object value, str name)
cdef int32_t whole32(object value, str name) except? -1
cdef int describe(type owner, dict texts) except -1

cdef inline int64_t whole(object value, str name) except? -1:
    cdef int overflow = 0
    cdef long n
    if PyLong_CheckExact(value):
        n = PyLong_AsLongAndOverflow(value, &overflow)
        if overflow == 0:
            return n
    return slow_whole(value, name)

cdef inline double real(object value, str name) except? -1.0:
    return PyFloat_AS_DOUBLE(value) if PyFloat_CheckExact(value) else slow_real(value, name)
