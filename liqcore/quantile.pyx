# cython: language_level=3
"""Exact rolling quantile and the mergeable, time-sliced quantile sketch."""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY, NAN
from libc.string cimport memcpy, memset

cdef struct quantile_image_t:           # head of a snapshot; the values follow, oldest first
    char magic[4]
    int32_t version
    double q
    int32_t window
    int32_t count

cdef enum:
    QUANTILE_VERSION = 1


cdef int quantile_init(quantile_t* s, double q, int window) except -1:
    """Allocate for the q-quantile (0..1) of the last `window` (2..1,000,000) values. ValueError, MemoryError."""
    memset(s, 0, sizeof(quantile_t))
    if not (0.0 <= q <= 1.0):
        raise ValueError(f"quantile: expected a number from 0 to 1, got {q!r}")
    if not (QUANTILE_WINDOW_MIN <= window <= QUANTILE_WINDOW_MAX):
        raise ValueError(f"window: expected {QUANTILE_WINDOW_MIN}..{QUANTILE_WINDOW_MAX} values, got {window}")
    if quantile_allocate(s, q, window) < 0:
        raise MemoryError(f"no memory for a rolling quantile over {window} values ({quantile_bytes(window)} B)")
    return 0


cdef bytes quantile_save(const quantile_t* s):
    """The configuration and the values, oldest first. What follows a load depends on nothing else, so nothing else is kept."""
    cdef quantile_image_t head
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sizeof(head) + s.count * sizeof(double))
    cdef char* at = PyBytes_AS_STRING(out)
    cdef int32_t oldest = s.slot if s.count == s.window else 0
    cdef int32_t first = min(s.count, s.window - oldest)
    memcpy(head.magic, b"LQRQ", 4)
    head.version = QUANTILE_VERSION
    head.q = s.q
    head.window = s.window
    head.count = s.count
    memcpy(at, &head, sizeof(head))
    at += sizeof(head)
    memcpy(at, s.values + oldest, first * sizeof(double))
    memcpy(at + first * sizeof(double), s.values, (s.count - first) * sizeof(double))
    return out


cdef int quantile_load(quantile_t* s, bytes data) except -1:
    """Replace the contents by a snapshot of the same configuration. ValueError (and no change) for anything else."""
    cdef quantile_image_t head
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef double x
    cdef int32_t i
    if PyBytes_GET_SIZE(data) < <Py_ssize_t> sizeof(head):
        raise ValueError(f"rolling quantile snapshot: expected at least {sizeof(head)} bytes, got {len(data)}")
    memcpy(&head, at, sizeof(head))
    if head.magic[:4] != b"LQRQ" or head.version != QUANTILE_VERSION:
        raise ValueError(f"rolling quantile snapshot: expected one of version {QUANTILE_VERSION}, got bytes starting {data[:8]!r}")
    if head.q != s.q or head.window != s.window:
        raise ValueError(f"rolling quantile snapshot: it is of quantile {head.q} over {head.window} values, "
                         f"this one is of {s.q} over {s.window}")
    if not (0 <= head.count <= head.window) or PyBytes_GET_SIZE(data) != <Py_ssize_t> (sizeof(head) + head.count * sizeof(double)):
        raise ValueError(f"rolling quantile snapshot: it says {head.count} values, its length is {len(data)} bytes")
    at += sizeof(head)
    for i in range(head.count):
        memcpy(&x, at + i * sizeof(double), sizeof(double))
        if not (0.0 < x < INFINITY):
            raise ValueError(f"rolling quantile snapshot: value {i} is {x!r}, expected positive finite numbers")
    quantile_reset(s)
    for i in range(head.count):
        memcpy(&x, at + i * sizeof(double), sizeof(double))
        quantile_push(s, x)
    return 0


cdef class RollingQuantile:
    """Exact quantile of the last `window` values: the same bits as `np.quantile(last_values, quantile)` (method 'linear').

    Values are positive and finite (notionals); anything else is a ValueError and changes nothing. O(1) a push whatever the window, no rebuilds;
    6 KB + 10 B a value up to 65,535 values (11.5 KB + 12 B beyond). Definition: Hyndman & Fan (1996), type 7.
    """

    def __cinit__(self, double quantile=0.95, int window=1000):
        quantile_init(&self.c, quantile, window)

    def __init__(self, double quantile=0.95, int window=1000):
        pass

    def __dealloc__(self):
        quantile_free(&self.c)

    def push(self, double x):
        """Add a value, drop the oldest one of a full window, return the quantile of what is inside now."""
        if not (0.0 < x < INFINITY):
            raise ValueError(f"value: expected a positive finite number, got {x!r}")
        quantile_push(&self.c, x)
        return quantile_value(&self.c)

    def reached(self, double x):
        """Whether x >= value, exactly, without computing the value where its bucket decides. False while empty."""
        return quantile_reached(&self.c, x)

    def run(self, values):
        """Push a float64 array; returns the quantile after each value. ValueError, and no change, if one is not positive and finite."""
        cdef const double[::1] x = np.ascontiguousarray(values, dtype=np.float64)
        out = np.empty(x.shape[0])
        cdef double[::1] y = out
        cdef Py_ssize_t i, n = x.shape[0]
        for i in range(n):
            if not (0.0 < x[i] < INFINITY):
                raise ValueError(f"values[{i}]: expected a positive finite number, got {x[i]!r}")
        with nogil:
            for i in range(n):
                quantile_push(&self.c, x[i])
                y[i] = quantile_value(&self.c)
        return out

    @property
    def value(self):
        """The quantile of what is inside; NaN while empty."""
        return quantile_value(&self.c)

    @property
    def count(self):
        return self.c.count

    @property
    def window(self):
        return self.c.window

    @property
    def quantile(self):
        return self.c.q

    def values(self):
        """A copy of what is inside, oldest first."""
        cdef int32_t oldest = self.c.slot if self.c.count == self.c.window else 0
        return np.array([self.c.values[(oldest + i) % self.c.window] for i in range(self.c.count)], dtype=np.float64)

    def __sizeof__(self):
        return object.__sizeof__(self) + quantile_bytes(self.c.window)

    def reset(self):
        quantile_reset(&self.c)

    def snapshot(self):
        return quantile_save(&self.c)

    def restore(self, bytes data):
        """Continue from a snapshot of an instance with the same quantile and window; ValueError, and no change, otherwise."""
        quantile_load(&self.c, data)

    def __repr__(self):
        return f"RollingQuantile(quantile={self.c.q}, window={self.c.window}, count={self.c.count}, value={quantile_value(&self.c)})"
