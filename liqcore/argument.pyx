"""Arguments from Python: see argument.pxd."""

import operator

cdef extern from "Python.h":
    ctypedef struct PyGetSetDef:
        const char* doc
    ctypedef struct PyGetSetDescrObject:
        PyGetSetDef* d_getset

cdef list KEPT = []              # texts that descriptors point to


cdef int64_t slow_whole(object value, str name) except? -1:
    """The value of a whole number that is not a plain int (an enum, a NumPy integer). Anything else is an error that names the argument."""
    cdef int overflow = 0
    cdef long n
    hint = ": nanoseconds UTC, as time.time_ns() gives them" if name.startswith("ts") else ""
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number{hint}, got {value!r} (bool)")
    try:
        n = PyLong_AsLongAndOverflow(operator.index(value), &overflow)
    except TypeError:
        raise TypeError(f"{name}: expected a whole number{hint}, got {value!r} ({type(value).__name__})") from None
    if overflow:
        raise OverflowError(f"{name}: expected a whole number of 64 bits, got {value!r}")
    return n


cdef double slow_real(object value, str name) except? -1.0:
    if not isinstance(value, bool):
        try:
            return value
        except TypeError:
            pass
        except OverflowError as why:
            raise OverflowError(f"{name}: {why}") from None
    raise TypeError(f"{name}: expected a number, got {value!r} ({type(value).__name__})") from None


cdef bint truth(object value, str name) except -1:
    """True or False, also NumPy's; a word such as "no" would count as true."""
    if value is True or value is False or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {value!r} ({type(value).__name__})")


cdef str string(object value, str name):
    if isinstance(value, str):
        return value
    raise TypeError(f"{name}: expected text, got {value!r} ({type(value).__name__})")


cdef tuple several(object value, str name):
    if isinstance(value, str):
        raise TypeError(f"{name}: expected several, such as a list, got the text {value!r}")
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(f"{name}: expected several, such as a list, got {value!r} ({type(value).__name__})") from None


cdef object one_of(type kind, object value, str name):
    """An object of this class; None = the default."""
    if value is None or isinstance(value, kind):
        return value
    raise TypeError(f"{name}: expected a liqcore.{kind.__name__}, got {value!r} ({type(value).__name__})")


cdef int32_t whole32(object value, str name) except? -1:
    """A whole number of 32 bits."""
    cdef int64_t n = whole(value, name)
    if not -0x80000000 <= n <= 0x7FFFFFFF:
        raise OverflowError(f"{name}: expected a whole number of 32 bits, got {value!r}")
    return <int32_t> n


cdef int describe(type owner, dict texts) except -1:
    """Set docstrings of attributes that Cython generates (`cdef readonly`); Cython has no syntax for them."""
    cdef object found
    cdef bytes text
    for name, doc_text in texts.items():
        found, text = owner.__dict__[name], doc_text.encode()
        if type(found).__name__ != "getset_descriptor":
            raise TypeError(f"{owner.__name__}.{name}: expected an attribute of Cython's own, got a {type(found).__name__}")
        KEPT.append(text)
        (<PyGetSetDescrObject*> found).d_getset.doc = text
    return 0
