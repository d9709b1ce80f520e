"""Exact rolling quantile and the mergeable, time-sliced quantile sketch."""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY, NAN
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, real, whole, whole32

cdef extern from "kernels/quantile_approximate.h" nogil:
    int64_t approximate_range(const double* x, int64_t n, double* range)
    int quantile_approximate(const double* x, double* y, int64_t n, double q, int64_t window, double least, double most)

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
    """The configuration and the values, oldest first. Later results depend on nothing else, so nothing else is saved."""
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


def rolling_quantile_approximate(values, double quantile=0.95, int window=1000):
    """Quantile of the last `window` values after each of `values` (float64, positive and finite), to 0.4 %, for research at two to three times
    the speed of RollingQuantile.run.

    Element i is within a relative 1/256 of the order statistic floor((n - 1) * quantile) of the n = min(i + 1, window) values up to i. O(1) a
    value whatever the window; 512 B an octave between the least and the greatest value. ValueError for anything else.
    """
    cdef const double[::1] x = np.ascontiguousarray(values, dtype=np.float64)
    cdef int64_t n = x.shape[0], good
    cdef double[2] bounds
    cdef int failed
    if not (0.0 <= quantile <= 1.0):
        raise ValueError(f"quantile: expected a number from 0 to 1, got {quantile!r}")
    if not (QUANTILE_WINDOW_MIN <= window <= QUANTILE_WINDOW_MAX):
        raise ValueError(f"window: expected {QUANTILE_WINDOW_MIN}..{QUANTILE_WINDOW_MAX} values, got {window}")
    out = np.empty(n)
    cdef double[::1] y = out
    if n == 0:
        return out
    bounds[0] = bounds[1] = 0.0
    with nogil:
        good = approximate_range(&x[0], n, bounds)
        failed = quantile_approximate(&x[0], &y[0], n, quantile, window, bounds[0], bounds[1]) if good == n else 0
    if good != n:
        raise ValueError(f"values[{good}]: expected a positive finite number, got {x[good]!r}")
    if failed:
        raise MemoryError("no memory for the histogram of a rolling quantile")
    return out


cdef quantile_t* quantile_new(double q, int window) noexcept nogil:
    """For callers that have only the address (liqcore/batch): the configuration is checked already; NULL without memory."""
    cdef quantile_t* s = <quantile_t*> malloc(sizeof(quantile_t))
    if s != NULL and quantile_allocate(s, q, window) < 0:
        free(s)
        return NULL
    return s


cdef void quantile_delete(quantile_t* s) noexcept nogil:
    quantile_free(s)
    free(s)


cdef void quantile_push_address(quantile_t* s, double x) noexcept nogil:
    quantile_push(s, x)


cdef double quantile_value_address(quantile_t* s) noexcept nogil:
    return quantile_value(s)


cdef class RollingQuantile:
    """Exact quantile of the last `window` values: the same bits as `np.quantile(last_values, quantile)` (method 'linear').

    Values are positive and finite (notionals); anything else is a ValueError and changes nothing. O(1) a push, amortized, for values over a wide
    range (quantile.h states the worst case);
    at most 6 KiB + 10 B a value up to 65,535 values (11.5 KB + 12 B beyond). Definition: Hyndman & Fan (1996), type 7.
    """

    def __cinit__(self, quantile=0.95, window=1000):
        quantile_init(&self.c, real(quantile, "quantile"), whole32(window, "window"))

    def __init__(self, quantile=0.95, window=1000):
        pass

    def __dealloc__(self):
        quantile_free(&self.c)

    def push(self, double x):
        """Add a value, drop the oldest one of a full window, return the quantile of the values now inside."""
        if not (0.0 < x < INFINITY):
            raise ValueError(f"value: expected a positive finite number, got {x!r}")
        quantile_push(&self.c, x)
        return quantile_value(&self.c)

    def reached(self, double x):
        """Whether x >= value, exactly. The value is computed only if it is needed. False while empty, and for x that is not positive."""
        return x > 0.0 and quantile_reached(&self.c, x)

    def run(self, values):
        """Push a float64 array; returns the quantile after each value. ValueError, and no change, if one is not positive and finite."""
        cdef const double[::1] x = np.ascontiguousarray(values, dtype=np.float64)
        out = np.empty(x.shape[0])
        cdef double[::1] y = out
        cdef Py_ssize_t i, n = x.shape[0]
        for i in range(n):
            if not (0.0 < x[i] < INFINITY):
                raise ValueError(f"values[{i}]: expected a positive finite number, got {x[i]!r}")
        if n > 0:
            with nogil:
                quantile_run(&self.c, &x[0], &y[0], n)
        return out

    @property
    def value(self):
        """The quantile of the values inside; NaN while empty."""
        return quantile_value(&self.c)

    @property
    def count(self):
        """Values inside."""
        return self.c.count

    @property
    def window(self):
        """Values kept at most."""
        return self.c.window

    @property
    def quantile(self):
        """Which quantile, 0 to 1."""
        return self.c.q

    def values(self):
        """A copy of the values inside, oldest first."""
        cdef int32_t oldest = self.c.slot if self.c.count == self.c.window else 0
        return np.array([self.c.values[(oldest + i) % self.c.window] for i in range(self.c.count)], dtype=np.float64)

    def __sizeof__(self):
        return object.__sizeof__(self) + quantile_bytes(self.c.window)

    def reset(self):
        """Forget everything."""
        quantile_reset(&self.c)

    def snapshot(self):
        """The whole state, for restore()."""
        return quantile_save(&self.c)

    def restore(self, bytes data):
        """Continue from a snapshot of an instance with the same quantile and window; ValueError, and no change, otherwise."""
        quantile_load(&self.c, data)

    def __repr__(self):
        return f"RollingQuantile(quantile={self.c.q}, window={self.c.window}, count={self.c.count}, value={quantile_value(&self.c)})"


cdef struct sketch_image_t:             # per slice: sketch_slice_t, then that many sketch_cell_t in ascending order of bucket
    char magic[4]
    int32_t version
    int32_t bits
    int32_t slices
    int64_t slice_ns
    int64_t newest                      # INT64_MIN when empty
    int64_t rows                        # slices that are not empty, oldest first

cdef struct sketch_slice_t:
    int64_t slice
    int64_t cells

cdef struct sketch_cell_t:
    uint32_t bucket
    uint32_t count

cdef enum:
    SKETCH_VERSION = 1
    SKETCH_OCTAVE_MIN = -12             # buckets cover 2.4e-4 .. 1.1e12; outside, values count as those bounds
    SKETCH_OCTAVES = 52


cdef class QuantileSketch:
    """Quantiles of the last `slices` x `slice_ns`, within a relative error, in constant memory; sketches can be added.

    Values are counted in logarithmic buckets per time slice; old slices leave as time passes. `quantile(q)` is within `relative_error` of the order
    statistic floor(q * (count - 1)), for values from 2.4e-4 to 1.1e12. Merging the sketches of instruments, venues or processes gives exactly
    the sketch of all their values together, in any order; `snapshot()` is the wire form. Values may come out of order within the slices
    covered. Memory: (4 x slices + 8) x 52 x 2**ceil(log2(1 / (2 x relative_error))) bytes. After DDSketch (Masson, Rim, Lee, VLDB 2019).
    """

    def __cinit__(self, relative_error=0.01, slices=24, slice_ns=3_600_000_000_000, *, quantile=0.95):
        cdef int bits = 0
        cdef double error = real(relative_error, "relative_error"), middle = real(quantile, "quantile")
        cdef int count = whole32(slices, "slices")
        cdef int64_t length = whole(slice_ns, "slice_ns")
        if not (0.0005 <= error <= 0.25):
            raise ValueError(f"relative_error: expected 0.0005 to 0.25, got {relative_error!r}")
        if not (1 <= count <= 4096):
            raise ValueError(f"slices: expected 1..4096, got {slices}")
        if length < 1:
            raise ValueError(f"slice_ns: expected at least 1, got {slice_ns}")
        if not (0.0 <= middle <= 1.0):
            raise ValueError(f"quantile: expected a number from 0 to 1, got {quantile!r}")
        while 1.0 / (2 * (1 << bits) + 1) > error:      # half a bucket's width relative to its middle, at an octave's lower end
            bits += 1
        self.bits = bits
        self.buckets = SKETCH_OCTAVES << bits
        self.base = (1023 + SKETCH_OCTAVE_MIN) << bits
        self.relative_error = error
        self.slices = count
        self.slice_ns = length
        self.default_quantile = middle
        self.counts = <uint32_t*> calloc(<size_t> count * self.buckets, sizeof(uint32_t))
        self.totals = <int64_t*> calloc(self.buckets, sizeof(int64_t))
        if self.counts == NULL or self.totals == NULL:
            raise MemoryError(f"no memory for a sketch of {slices} slices of {self.buckets} buckets")
        self._clear()

    def __init__(self, relative_error=0.01, slices=24, slice_ns=3_600_000_000_000, *, quantile=0.95):
        pass

    def __dealloc__(self):
        free(self.counts)
        free(self.totals)

    cdef int32_t _bucket(self, double x) noexcept nogil:
        cdef uint64_t bits
        memcpy(&bits, &x, 8)
        cdef int32_t b = <int32_t> (bits >> (52 - self.bits)) - self.base
        return 0 if b < 0 else (b if b < self.buckets else self.buckets - 1)

    cdef int64_t _slice(self, int64_t ts) noexcept nogil:
        return ts // self.slice_ns if ts >= 0 else -1 - (-1 - ts) // self.slice_ns

    cdef void _clear(self) noexcept nogil:
        memset(self.counts, 0, <size_t> self.slices * self.buckets * sizeof(uint32_t))
        memset(self.totals, 0, <size_t> self.buckets * sizeof(int64_t))
        self.newest = INT64_MIN
        self.total = 0

    cdef void _roll(self, int64_t slice) noexcept nogil:
        """Make `slice` the newest: rows that leave are subtracted from the totals. It costs at most one pass over all rows."""
        cdef int64_t row
        cdef int32_t b
        cdef uint32_t* counts
        if self.newest == INT64_MIN or slice >= self.slices + self.newest:
            self._clear()
        else:
            for row in range(self.newest + 1, slice + 1):
                counts = self.counts + (row % self.slices + (self.slices if row % self.slices < 0 else 0)) * self.buckets
                for b in range(self.buckets):
                    self.totals[b] -= counts[b]
                    self.total -= counts[b]
                    counts[b] = 0
        self.newest = slice

    def push(self, int64_t ts, double x):
        """Add a value. ValueError, and no change, unless it is positive and finite and its slice is still covered."""
        if not (0.0 < x < INFINITY):
            raise ValueError(f"value: expected a positive finite number, got {x!r}")
        cdef int64_t slice = self._slice(ts), row
        if slice > self.newest:
            self._roll(slice)
        elif self.newest - slice >= self.slices:
            raise ValueError(f"ts: {ts} ns is before the {self.slices} slices of {self.slice_ns} ns that are covered")
        cdef int32_t b = self._bucket(x)
        row = slice % self.slices
        row += self.slices if row < 0 else 0
        self.counts[row * self.buckets + b] += 1
        self.totals[b] += 1
        self.total += 1

    def advance(self, int64_t ts):
        """Let time pass: slices that are too old leave. An earlier ts changes nothing."""
        cdef int64_t slice = self._slice(ts)
        if self.newest != INT64_MIN and slice > self.newest:
            self._roll(slice)

    cdef double _quantile(self, double q) noexcept nogil:
        cdef int64_t rank, seen = 0
        cdef int32_t b = 0
        cdef uint64_t bits
        cdef double low, high
        if self.total == 0:
            return NAN
        rank = <int64_t> (q * <double> (self.total - 1))
        while seen + self.totals[b] <= rank:
            seen += self.totals[b]
            b += 1
        bits = <uint64_t> (b + self.base) << (52 - self.bits)
        memcpy(&low, &bits, 8)
        bits = <uint64_t> (b + 1 + self.base) << (52 - self.bits)
        memcpy(&high, &bits, 8)
        return 2.0 * low * high / (low + high)       # the point whose relative error against both ends is the same

    def quantile(self, double q):
        """Estimate of the order statistic floor(q * (count - 1)); NaN while empty. ValueError for q outside 0..1."""
        if not (0.0 <= q <= 1.0):
            raise ValueError(f"quantile: expected a number from 0 to 1, got {q!r}")
        return self._quantile(q)

    @property
    def value(self):
        """The quantile given to the constructor (0.95)."""
        return self._quantile(self.default_quantile)

    @property
    def count(self):
        """Values inside."""
        return self.total

    def merge(self, other):
        """Add the contents of another sketch, or of its snapshot. ValueError, and no change, unless error, slices and slice_ns agree."""
        self._merge(other.snapshot() if isinstance(other, QuantileSketch) else other, False)

    def reset(self):
        """Forget everything."""
        self._clear()

    def snapshot(self):
        """The contents as bytes, equal for equal contents: only buckets that are not empty, 8 B each."""
        cdef sketch_image_t head
        cdef sketch_slice_t row
        cdef sketch_cell_t cell
        cdef const uint32_t* counts
        cdef int64_t slice
        cdef list out = []
        memcpy(head.magic, b"LQSK", 4)
        head.version = SKETCH_VERSION
        head.bits = self.bits
        head.slices = self.slices
        head.slice_ns = self.slice_ns
        head.newest = self.newest
        head.rows = 0
        for slice in range(self.newest - self.slices + 1, self.newest + 1) if self.total > 0 else ():
            counts = self.counts + (slice % self.slices + (self.slices if slice % self.slices < 0 else 0)) * self.buckets
            row.slice = slice
            row.cells = 0
            cells = bytearray()
            for b in range(self.buckets):
                if counts[b]:
                    cell.bucket = b
                    cell.count = counts[b]
                    cells += PyBytes_FromStringAndSize(<char*> &cell, sizeof(cell))
                    row.cells += 1
            if row.cells:
                head.rows += 1
                out.append(PyBytes_FromStringAndSize(<char*> &row, sizeof(row)))
                out.append(bytes(cells))
        return PyBytes_FromStringAndSize(<char*> &head, sizeof(head)) + b"".join(out)

    def restore(self, bytes data):
        """Replace the contents by a snapshot of the same configuration; ValueError, and no change, otherwise."""
        self._merge(data, True)

    cdef int _merge(self, bytes data, bint replace) except -1:
        cdef sketch_image_t head
        cdef sketch_slice_t row
        cdef sketch_cell_t cell
        cdef const char* start = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at
        cdef int64_t i, j, previous_slice, previous_bucket, slot
        cdef int64_t limit = INT64_MAX // self.slice_ns + 1
        cdef int apply                                # first pass checks everything, second one adds
        if size < <Py_ssize_t> sizeof(head):
            raise ValueError(f"sketch snapshot: expected at least {sizeof(head)} bytes, got {size}")
        memcpy(&head, start, sizeof(head))
        if head.magic[:4] != b"LQSK" or head.version != SKETCH_VERSION:
            raise ValueError(f"sketch snapshot: expected one of version {SKETCH_VERSION}, got bytes starting {data[:8]!r}")
        if head.bits != self.bits or head.slices != self.slices or head.slice_ns != self.slice_ns:
            raise ValueError(f"sketch snapshot: it has {head.slices} slices of {head.slice_ns} ns with 2**{head.bits} buckets an octave, "
                             f"this one {self.slices} of {self.slice_ns} ns with 2**{self.bits}")
        if not (0 <= head.rows <= head.slices) or (head.newest != INT64_MIN and not (-limit <= head.newest <= limit)) or (
                head.newest == INT64_MIN and head.rows):
            raise ValueError(f"sketch snapshot: {head.rows} slices, the newest {head.newest}, cannot be")
        for apply in range(2):
            at = sizeof(head)
            previous_slice = head.newest - head.slices if head.newest >= INT64_MIN + head.slices else INT64_MIN
            if apply and replace:
                self._clear()
            if apply and head.newest > self.newest:
                self._roll(head.newest)
            for i in range(head.rows):
                if size - at < <Py_ssize_t> sizeof(row):
                    raise ValueError("sketch snapshot: it is cut short")
                memcpy(&row, start + at, sizeof(row))
                at += sizeof(row)
                if not (previous_slice < row.slice <= head.newest) or not (0 < row.cells <= self.buckets):
                    raise ValueError(f"sketch snapshot: slice {row.slice} with {row.cells} buckets is out of order or out of range")
                if size - at < row.cells * <Py_ssize_t> sizeof(cell):
                    raise ValueError("sketch snapshot: it is cut short")
                previous_slice = row.slice
                previous_bucket = -1
                slot = row.slice % self.slices
                slot += self.slices if slot < 0 else 0
                for j in range(row.cells):
                    memcpy(&cell, start + at, sizeof(cell))
                    at += sizeof(cell)
                    if not (previous_bucket < <int64_t> cell.bucket < self.buckets) or cell.count == 0:
                        raise ValueError(f"sketch snapshot: bucket {cell.bucket} with count {cell.count} is out of order or out of range")
                    previous_bucket = cell.bucket
                    if self.newest != INT64_MIN and self.newest - row.slice >= self.slices and not (replace and not apply):
                        continue                      # too old for this sketch
                    if apply:
                        self.counts[slot * self.buckets + cell.bucket] += cell.count
                        self.totals[cell.bucket] += cell.count
                        self.total += cell.count
                    elif not replace and self._count(row.slice, slot, cell.bucket) + <int64_t> cell.count > <int64_t> 0xFFFFFFFF:
                        raise ValueError(f"sketch snapshot: slice {row.slice} would hold more than 2**32 - 1 values in one bucket")
            if at != size:
                raise ValueError(f"sketch snapshot: {size - at} bytes too many")
        return 0

    cdef int64_t _count(self, int64_t slice, int64_t slot, int64_t bucket) noexcept nogil:
        """Of a slice that may not be inside (its row then belongs to another one)."""
        if self.newest == INT64_MIN or slice > self.newest or self.newest - slice >= self.slices:
            return 0
        return self.counts[slot * self.buckets + bucket]

    def __sizeof__(self):
        return object.__sizeof__(self) + <size_t> self.buckets * (self.slices * sizeof(uint32_t) + sizeof(int64_t))

    def __repr__(self):
        return f"QuantileSketch(relative_error={self.relative_error}, slices={self.slices}, slice_ns={self.slice_ns}, count={self.total})"


describe(QuantileSketch, {"slice_ns": "Length of a time slice, ns.", "slices": "Slices kept.",
                          "relative_error": "Bound of the relative error of a quantile.",
                          "default_quantile": "Which quantile `value` gives, 0 to 1."})
