# cython: language_level=3, embedsignature=False
"""Loops around the Hawkes kernel and the two liquidation maps, without Python in between. Built as probe.pyx is."""

cimport cython
from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

from liqcore.kernels.realised_map cimport RealisedDensity, density_push
from liqcore.event cimport LONG, SHORT
from liqcore.kernels.hawkes cimport Hawkes
from liqcore.kernels.estimated_map cimport EstimatedPending, pending_between, pending_interest, pending_trade


cdef class Sizes:
    """Notionals and a price that wanders by as much as a busy market, walked round and round."""
    cdef double* x
    cdef double* price
    cdef Py_ssize_t size, at
    cdef int64_t now

    def __cinit__(self, values, *args):
        cdef const double[::1] view = np.ascontiguousarray(values, dtype=np.float64)
        cdef const double[::1] path = 50_000.0 * np.exp(0.02 * np.sin(np.arange(len(values)) / 500.0) + 0.001 * np.sin(np.arange(len(values)) * 1.7))
        self.size = view.shape[0]
        self.x = <double*> calloc(self.size, sizeof(double))
        self.price = <double*> calloc(self.size, sizeof(double))
        memcpy(self.x, &view[0], self.size * sizeof(double))
        memcpy(self.price, &path[0], self.size * sizeof(double))
        self.now = 1_760_126_400_000_000_000

    def __dealloc__(self):
        free(self.x)
        free(self.price)

    cdef inline void next(self) noexcept nogil:
        self.at = self.at + 1 if self.at + 1 < self.size else 0


@cython.final
cdef class HawkesLoop(Sizes):
    """Liquidations of `instruments` contracts of one venue, one every 50 ms."""
    cdef Hawkes kernel
    cdef int32_t instruments

    def __init__(self, values, int instruments=1):
        self.kernel = Hawkes(instruments)
        self.instruments = instruments
        self.push(4096)

    def push(self, Py_ssize_t n):
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                self.now += 50_000_000
                self.kernel.push_c(<int32_t> (i % self.instruments), self.now, LONG if i & 4 else SHORT, self.x[self.at])
                self.next()

    def read(self, Py_ssize_t n):
        """Intensity of one side."""
        cdef Py_ssize_t i
        cdef double total = 0.0
        with nogil:
            for i in range(n):
                total += self.kernel.intensity_c(0, LONG, self.now + i)
        return total


@cython.final
cdef class PendingLoop(Sizes):
    """Trades every 50 ms, open interest once a second."""
    cdef EstimatedPending map
    cdef double interest

    def __init__(self, values):
        self.map = EstimatedPending()
        self.interest = 1e5
        self.push(20_000)

    def push(self, Py_ssize_t n):
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                self.now += 50_000_000
                pending_trade(&self.map.c, &self.map.config.c, self.now, self.price[self.at], 0.01, LONG if i & 4 else SHORT)
                if i % 20 == 0:
                    self.interest *= exp(1e-4 if i & 32 else -1e-4)
                    pending_interest(&self.map.c, &self.map.config.c, self.now, self.interest)
                self.next()

    def read(self, Py_ssize_t n):
        """Pending longs within 3 % below the price."""
        cdef Py_ssize_t i
        cdef double total = 0.0
        with nogil:
            for i in range(n):
                total += pending_between(&self.map.c, 0.97 * self.price[self.at], self.price[self.at], LONG)
                self.next()
        return total


@cython.final
cdef class DensityLoop(Sizes):
    """Liquidations every 50 ms; what is hot is decided once a minute."""
    cdef RealisedDensity map

    def __init__(self, values):
        self.map = RealisedDensity()
        self.push(20_000)

    def push(self, Py_ssize_t n):
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                self.now += 50_000_000
                density_push(&self.map.c, &self.map.config.c, self.now, LONG if i & 4 else SHORT, self.price[self.at], self.x[self.at])
                self.next()
