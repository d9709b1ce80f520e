"""Latency models: see latency.pxd."""

import numpy as np

from libc.stdint cimport int64_t, uint64_t

from liqcore.argument cimport describe, real, whole

SECONDS_MAX = 3600.0
SAMPLES_MAX = 1 << 24


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of x affects every bit of the result."""
    x = (x + <uint64_t> 0x9E3779B97F4A7C15)
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline int64_t draw(int64_t seed, int64_t order, int64_t what, int64_t way, int64_t count) noexcept nogil:
    """Index of a sample; `way` separates the draws of requests and reports."""
    cdef uint64_t h = mix(mix(mix(<uint64_t> seed ^ (<uint64_t> way << 56)) ^ <uint64_t> order) ^ <uint64_t> what)
    return <int64_t> (((h >> 32) * <uint64_t> count) >> 32)


cdef object nanoseconds(str name, object samples):
    """Checked samples in whole nanoseconds."""
    try:
        seconds = np.asarray(samples, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected latencies in seconds, got {samples!r} ({type(samples).__name__})") from None
    if seconds.ndim != 1 or not 0 < len(seconds) <= SAMPLES_MAX:
        raise ValueError(f"{name}: expected 1 to {SAMPLES_MAX} latencies in seconds, got an array of shape {seconds.shape}")
    bad = np.flatnonzero(~((seconds >= 0.0) & (seconds <= SECONDS_MAX)))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}]: expected seconds from 0 to {SECONDS_MAX:g}, got {seconds[bad[0]]!r}")
    return np.ascontiguousarray(np.rint(seconds * 1e9), dtype=np.int64)


cdef class Latency:
    """Latency from us to the venue (order) and of its reports back to us (ack), in seconds.

    order_s, ack_s: constants. order_samples, ack_samples: measured latencies, of which each request and report draws one; the constant of that way
    is then not used. The draw for a request depends on (seed, order id, action), that for a report on (seed, order id, number of the report), and on
    nothing else. Requests keep their order with any draws, and so do reports.
    """

    def __init__(self, *, order_s=0.05, ack_s=0.05, order_samples=None, ack_samples=None, seed=0):
        for name, value in (("order_s", order_s), ("ack_s", ack_s)):
            if not 0.0 <= real(value, name) <= SECONDS_MAX:
                raise ValueError(f"{name}: expected seconds from 0 to {SECONDS_MAX:g}, got {value!r}")
        order = None if order_samples is None else nanoseconds("order_samples", order_samples)
        ack = None if ack_samples is None else nanoseconds("ack_samples", ack_samples)
        cdef size_t address
        self.order_constant = round(<double> order_s * 1e9)
        self.ack_constant = round(<double> ack_s * 1e9)
        self.seed = whole(seed, "seed")
        self.order_samples = self.ack_samples = NULL
        self.order_count = self.ack_count = 0
        self._keep = (order, ack)
        if order is not None:
            address = order.ctypes.data
            self.order_samples, self.order_count = <int64_t*> address, len(order)
        if ack is not None:
            address = ack.ctypes.data
            self.ack_samples, self.ack_count = <int64_t*> address, len(ack)

    cdef int64_t order_c(self, int64_t order, int64_t action) noexcept nogil:
        if self.order_samples == NULL:
            return self.order_constant
        return self.order_samples[draw(self.seed, order, action, 1, self.order_count)]

    cdef int64_t ack_c(self, int64_t order, int64_t report) noexcept nogil:
        if self.ack_samples == NULL:
            return self.ack_constant
        return self.ack_samples[draw(self.seed, order, report, 2, self.ack_count)]

    def order_ns(self, int64_t order, int64_t action) -> int:
        """Latency of the request `action` (Action) for an order id, ns."""
        return self.order_c(order, action)

    def ack_ns(self, int64_t order, int64_t report) -> int:
        """Latency of the `report`-th report (from 0) on an order id, ns."""
        return self.ack_c(order, report)

    def as_dict(self) -> dict:
        """The settings that a snapshot must have been taken with: constants (ns), seed, and per way the number and checksum of the samples."""
        import zlib                     # not at import: the core starts in milliseconds

        order, ack = self._keep
        return {"order_ns": self.order_constant, "ack_ns": self.ack_constant, "seed": self.seed,
                "order_samples": None if order is None else [len(order), zlib.crc32(order.tobytes())],
                "ack_samples": None if ack is None else [len(ack), zlib.crc32(ack.tobytes())]}


describe(Latency, {"seed": "Seed of the draws."})
