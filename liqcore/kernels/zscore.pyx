"""The z-scores in Python, and their snapshots."""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport fabs
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from liqcore.argument cimport whole, whole32

cdef struct moments_image_t:            # the values follow, oldest first
    int32_t window
    int32_t count
    int32_t older                       # the boundary of the two parts, on which later rounding depends
    int32_t reserved

cdef struct segz_image_t:               # a moments image follows
    char magic[4]
    int32_t version
    int64_t segment_ns
    int64_t segment
    int64_t ends
    int32_t min_segments
    int32_t count
    double current

cdef struct rolling_image_t:            # a moments image follows
    char magic[4]
    int32_t version

cdef struct ewz_image_t:
    char magic[4]
    int32_t version
    ewz_t c

cdef enum:
    ZSCORE_VERSION = 1


cdef int moments_init(moments_t* m, int window) except -1:
    """Allocate for the mean and variance of the last `window` (2..2**20) values."""
    cdef int i
    memset(m, 0, sizeof(moments_t))
    if not (2 <= window <= BASELINE_MAX):
        raise ValueError(f"window: expected 2..{int(BASELINE_MAX)} values, got {window}")
    m.values = <double*> malloc((4 * <size_t> window + 1) * sizeof(double))
    if m.values == NULL:
        raise MemoryError(f"no memory for a mean and variance over {window} values of 32 B")
    m.suffix_sum = m.values + window
    m.suffix_square = m.suffix_sum + window
    m.inverse = m.suffix_square + window
    m.window = window
    m.inverse[0] = 0.0
    for i in range(1, window + 1):
        m.inverse[i] = 1.0 / i
    moments_reset(m)
    return 0


cdef void moments_free(moments_t* m) noexcept nogil:
    free(m.values)
    memset(m, 0, sizeof(moments_t))


cdef bytes moments_save(const moments_t* m):
    cdef moments_image_t head
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sizeof(head) + m.count * sizeof(double))
    cdef char* at = PyBytes_AS_STRING(out)
    cdef int32_t first = min(m.count, m.window - m.start)
    memset(&head, 0, sizeof(head))
    head.window = m.window
    head.count = m.count
    head.older = m.older
    memcpy(at, &head, sizeof(head))
    memcpy(at + sizeof(head), m.values + m.start, first * sizeof(double))
    memcpy(at + sizeof(head) + first * sizeof(double), m.values, (m.count - first) * sizeof(double))
    return out


cdef int moments_load(moments_t* m, const char* at, Py_ssize_t size, str what) except -1:
    """ValueError, and no change, unless the bytes are an image for the same window."""
    cdef moments_image_t head
    cdef double x
    cdef int32_t i
    if size < <Py_ssize_t> sizeof(head):
        raise ValueError(f"{what} snapshot: it is cut short")
    memcpy(&head, at, sizeof(head))
    if head.window != m.window:
        raise ValueError(f"{what} snapshot: it is of a window of {head.window}, this one is of {m.window}")
    if not (0 <= head.older <= head.count <= head.window) or size != <Py_ssize_t> (sizeof(head) + head.count * sizeof(double)):
        raise ValueError(f"{what} snapshot: it says {head.count} values ({head.older} older), which its length does not fit")
    at += sizeof(head)
    for i in range(head.count):
        memcpy(&x, at + i * sizeof(double), sizeof(double))
        if not (fabs(x) < INFINITY):
            raise ValueError(f"{what} snapshot: value {i} is {x!r}, expected finite numbers")
    moments_reset(m)
    for i in range(head.count):
        memcpy(&x, at + i * sizeof(double), sizeof(double))
        moments_add(m, x)
        if i + 1 == head.older:
            moments_flip(m)
    moments_merge(m)
    return 0


cdef int segz_init(segz_t* z, int64_t segment_ns, int baseline, int min_segments) except -1:
    """Allocate for a baseline of the last `baseline` completed segments of `segment_ns`; z is 0 until `min_segments` of them are complete."""
    memset(z, 0, sizeof(segz_t))
    if segment_ns < 1:
        raise ValueError(f"segment_ns: expected at least 1, got {segment_ns}")
    if not (2 <= baseline <= BASELINE_MAX):
        raise ValueError(f"baseline: expected 2..{int(BASELINE_MAX)} segments, got {baseline}")
    if not (1 <= min_segments <= baseline):
        raise ValueError(f"min_segments: expected 1..{baseline} (the baseline), got {min_segments}")
    moments_init(&z.m, baseline)
    z.segment_ns = segment_ns
    z.min_segments = min_segments
    segz_reset(z)
    return 0


cdef void segz_free(segz_t* z) noexcept nogil:
    moments_free(&z.m)


cdef int64_t _segment_of(int64_t ts, int64_t segment_ns) noexcept nogil:
    """floor(ts / segment_ns), also before 1970."""
    return ts // segment_ns if ts >= 0 else -1 - (-1 - ts) // segment_ns


cdef void segz_close(segz_t* z, int64_t ts) noexcept nogil:
    """Slow path of segz_advance: at most `baseline` additions for a gap of any length."""
    cdef int64_t segment = _segment_of(ts, z.segment_ns)
    cdef int64_t empty
    if z.ends != INT64_MIN:
        moments_add(&z.m, z.current)
        empty = segment - z.segment - 1
        if empty > z.m.window:
            empty = z.m.window
        while empty > 0:
            moments_add(&z.m, 0.0)
            empty -= 1
        moments_merge(&z.m)
        z.std = moments_std(&z.m)
    z.segment = segment
    z.ends = (segment + 1) * z.segment_ns if segment < INT64_MAX // z.segment_ns else INT64_MAX
    z.current = 0.0
    z.count = 0


cdef bytes segz_save(const segz_t* z):
    cdef segz_image_t head
    memset(&head, 0, sizeof(head))
    memcpy(head.magic, b"LQSZ", 4)
    head.version = ZSCORE_VERSION
    head.segment_ns = z.segment_ns
    head.segment = z.segment
    head.ends = z.ends
    head.min_segments = z.min_segments
    head.count = z.count
    head.current = z.current
    return PyBytes_FromStringAndSize(<char*> &head, sizeof(head)) + moments_save(&z.m)


cdef int segz_load(segz_t* z, bytes data) except -1:
    """Replace the contents by a snapshot of the same configuration. ValueError (and no change) for anything else."""
    cdef segz_image_t head
    if PyBytes_GET_SIZE(data) < <Py_ssize_t> sizeof(head):
        raise ValueError(f"segment z snapshot: expected at least {sizeof(head)} bytes, got {len(data)}")
    memcpy(&head, PyBytes_AS_STRING(data), sizeof(head))
    if head.magic[:4] != b"LQSZ" or head.version != ZSCORE_VERSION:
        raise ValueError(f"segment z snapshot: expected one of version {ZSCORE_VERSION}, got bytes starting {data[:8]!r}")
    if head.segment_ns != z.segment_ns or head.min_segments != z.min_segments:
        raise ValueError(f"segment z snapshot: it is of segments of {head.segment_ns} ns, at least {head.min_segments}; "
                         f"this one is of {z.segment_ns} ns, at least {z.min_segments}")
    if head.count < 0 or not (fabs(head.current) < INFINITY):
        raise ValueError(f"segment z snapshot: running segment of {head.count} values and sum {head.current}")
    if head.ends != INT64_MIN and head.ends != INT64_MAX and head.ends != (head.segment + 1) * head.segment_ns:
        raise ValueError(f"segment z snapshot: segment {head.segment} cannot end at {head.ends} ns")
    moments_load(&z.m, PyBytes_AS_STRING(data) + sizeof(head), PyBytes_GET_SIZE(data) - sizeof(head), "segment z")
    z.segment = head.segment
    z.ends = head.ends
    z.count = head.count
    z.current = head.current
    z.std = moments_std(&z.m)
    return 0


cdef class SegmentZ:
    """z-score of the running time segment's sum against the last `baseline` completed segments.

    Segment k is floor(ts / segment_ns); empty segments count as 0; the first segment counts from its first value. z = (sum - mean) / std with
    the population std; 0 while fewer than `min_segments` (default: 12 or the baseline) are complete, and if std is 0. O(1) amortised; a gap costs at
    most `baseline` steps. Relative error of mean and std below 1e-12, also after 1e9 spikes (zscore.pxd says why).
    """

    def __cinit__(self, segment_ns, baseline=288, min_segments=None):
        cdef int32_t segments = whole32(baseline, "baseline")
        segz_init(&self.c, whole(segment_ns, "segment_ns"), segments,
                  min(12, segments) if min_segments is None else whole32(min_segments, "min_segments"))
        self.now = INT64_MIN

    def __init__(self, segment_ns, baseline=288, min_segments=None):
        pass

    def __dealloc__(self):
        segz_free(&self.c)

    def push(self, int64_t ts, double x):
        """Add x to its segment; returns z. ValueError, and no change, for a value that is not finite or a ts before the latest one."""
        if not (fabs(x) < INFINITY):
            raise ValueError(f"value: expected a finite number, got {x!r}")
        if ts < self.now:
            raise ValueError(f"ts: expected at least {self.now} ns (time does not go back), got {ts}")
        self.now = ts
        segz_push(&self.c, ts, x)
        return segz_value(&self.c)

    def advance(self, int64_t ts):
        """Let time pass; returns z."""
        if ts < self.now:
            raise ValueError(f"ts: expected at least {self.now} ns (time does not go back), got {ts}")
        self.now = ts
        segz_advance(&self.c, ts)
        return segz_value(&self.c)

    @property
    def value(self):
        """z of the running segment."""
        return segz_value(&self.c)

    @property
    def current(self):
        """Sum of the running segment."""
        return self.c.current

    @property
    def mean(self):
        """Mean of the completed segments of the baseline; 0 if there is none."""
        return self.c.m.mean

    @property
    def std(self):
        """Population standard deviation of the complete segments."""
        return self.c.std

    @property
    def count(self):
        """Completed segments in the baseline."""
        return self.c.m.count

    @property
    def next_boundary(self):
        """First ns after the running segment; None before the first value."""
        return None if self.c.ends == INT64_MIN else self.c.ends

    @property
    def segment_ns(self):
        """Length of a segment, ns."""
        return self.c.segment_ns

    @property
    def baseline(self):
        """Complete segments compared with."""
        return self.c.m.window

    @property
    def min_segments(self):
        """Least number of complete segments; with fewer z = 0."""
        return self.c.min_segments

    def reset(self):
        """Forget everything."""
        segz_reset(&self.c)
        self.now = INT64_MIN

    def snapshot(self):
        """The whole state, for restore()."""
        return segz_save(&self.c)

    def restore(self, bytes data):
        """Continue from a snapshot of the same configuration; ValueError, and no change, otherwise."""
        segz_load(&self.c, data)
        self.now = INT64_MIN if self.c.ends == INT64_MIN else self.c.segment * self.c.segment_ns

    def __repr__(self):
        return f"SegmentZ(segment_ns={self.c.segment_ns}, count={self.c.m.count}, current={self.c.current}, z={segz_value(&self.c)})"


cdef enum:
    MOMENTS_SPAN = 256                  # values merged at once


cdef void moments_span(const moments_t* m, int32_t first, int32_t last, int32_t slot, double* mean, double* std) noexcept nogil:
    """moments_merge and moments_std for `first` to `last` - 1 younger values (at most MOMENTS_SPAN) of a full window, whose oldest values are at
    `slot` and behind. On entry mean and std have the younger part's sum and square. No step depends on another, so compilers vectorise it."""
    cdef const double* suffix_sum = m.suffix_sum + slot
    cdef const double* suffix_square = m.suffix_square + slot
    cdef const double* up = m.inverse + first
    cdef double[MOMENTS_SPAN] down       # reading backwards would prevent vectorisation
    cdef double older_pivot = m.older_pivot, younger_pivot = m.younger_pivot, all = m.inverse[m.window], middle, delta, share
    cdef int32_t younger = first, older = m.window - first    # 32 bits, because SSE2 can convert these to doubles
    cdef Py_ssize_t k
    for k in range(last - first):
        down[k] = m.inverse[older - k]
    for k in range(last - first):
        middle = older_pivot + suffix_sum[k] * down[k]
        delta = younger_pivot + mean[k] * up[k] - middle
        share = younger * all
        mean[k] = middle + delta * share
        std[k] = sqrt((suffix_square[k] + (std[k] + delta * delta * (share * older))) * all)
        younger += 1
        older -= 1


cdef Py_ssize_t moments_block(moments_t* m, const double* x, double* mean, double* std) noexcept nogil:
    """Add `window` - 1 values to a full window with an empty older part: first all younger sums, then all merges. The operations and their order are
    those of moments_add and moments_merge."""
    cdef int32_t window = m.window, slot, k, turn
    cdef double* values = m.values
    cdef const double* inverse = m.inverse
    cdef double total = 0.0, square = 0.0, pivot = x[0], value, d
    moments_flip(m)
    slot = m.start
    m.younger_pivot = pivot
    for k in range(1, window):
        values[slot] = x[k - 1]
        slot = slot + 1 if slot + 1 < window else 0
        value = x[k - 1] - pivot
        total += value
        d = k * value - total
        square += d * d * (inverse[k] * inverse[k - 1])
        mean[k - 1] = total
        std[k - 1] = square
    k = 1
    while k < window:
        turn = window - m.start if k < window - m.start else window     # until the oldest value's slot reaches the ring's beginning, or the end
        turn = min(turn, k + <int32_t> MOMENTS_SPAN)
        moments_span(m, k, turn, m.start + k if k < window - m.start else m.start + k - window, mean + k - 1, std + k - 1)
        k = turn
    m.start = slot
    m.older = 1
    m.younger = window - 1
    m.younger_sum = total
    m.younger_square = square
    return window - 1


cdef void moments_stream(moments_t* shared, const double* x, double* mean, double* std, Py_ssize_t n) noexcept nogil:
    """moments_add, moments_merge and moments_std for each value."""
    cdef moments_t m = shared[0]         # a copy without other pointers to it: its fields stay in registers
    cdef Py_ssize_t i
    for i in range(n):
        moments_add(&m, x[i])
        moments_merge(&m)
        mean[i] = m.mean
        std[i] = moments_std(&m)
    shared[0] = m


cdef void moments_run(moments_t* m, const double* x, double* mean, double* std, Py_ssize_t n) noexcept nogil:
    """Mean and std after each value, a whole window at a time if possible."""
    cdef Py_ssize_t i = 0, step
    while i < n:
        if m.count == m.window and m.older == 0 and n - i >= m.window - 1:
            step = moments_block(m, x + i, mean + i, std + i)
            moments_merge(m)
        else:
            step = m.window - m.count if m.count < m.window else m.older if m.older > 0 else n - i
            step = min(step, n - i)
            moments_stream(m, x + i, mean + i, std + i, step)
        i += step


cdef class RollingZ:
    """z-score of each value within the last `window` values, itself included: (x - mean) / population std; 0 if std is 0."""

    def __cinit__(self, int window=288):
        moments_init(&self.c, window)

    def __init__(self, int window=288):
        pass

    def __dealloc__(self):
        moments_free(&self.c)

    cdef double _z(self, double x) noexcept nogil:
        cdef double std = moments_std(&self.c)
        return (x - self.c.mean) / std if std > 0.0 else 0.0

    def push(self, double x):
        """Add a finite value; returns its z."""
        if not (fabs(x) < INFINITY):
            raise ValueError(f"value: expected a finite number, got {x!r}")
        moments_add(&self.c, x)
        moments_merge(&self.c)
        return self._z(x)

    def run(self, values):
        """Push a float64 array; returns (mean, std) after each value. ValueError, and no change, if one is not finite."""
        cdef const double[::1] x = np.ascontiguousarray(values, dtype=np.float64)
        cdef Py_ssize_t i, n = x.shape[0]
        means = np.empty(n)
        stds = np.empty(n)
        cdef double[::1] mean_view = means
        cdef double[::1] std_view = stds
        for i in range(n):
            if not (fabs(x[i]) < INFINITY):
                raise ValueError(f"values[{i}]: expected a finite number, got {x[i]!r}")
        if n > 0:
            moments_run(&self.c, &x[0], &mean_view[0], &std_view[0], n)
        return means, stds

    @property
    def value(self):
        """z of the latest value; 0 while empty."""
        if self.c.count == 0:
            return 0.0
        return self._z(self.c.values[(self.c.start + self.c.count - 1) % self.c.window])

    @property
    def mean(self):
        return self.c.mean

    @property
    def std(self):
        return moments_std(&self.c)

    @property
    def count(self):
        return self.c.count

    @property
    def window(self):
        return self.c.window

    def reset(self):
        moments_reset(&self.c)

    def snapshot(self):
        cdef rolling_image_t head
        memcpy(head.magic, b"LQRZ", 4)
        head.version = ZSCORE_VERSION
        return PyBytes_FromStringAndSize(<char*> &head, sizeof(head)) + moments_save(&self.c)

    def restore(self, bytes data):
        """Continue from a snapshot of the same window; ValueError, and no change, otherwise."""
        cdef rolling_image_t head
        if PyBytes_GET_SIZE(data) < <Py_ssize_t> sizeof(head):
            raise ValueError(f"rolling z snapshot: expected at least {sizeof(head)} bytes, got {len(data)}")
        memcpy(&head, PyBytes_AS_STRING(data), sizeof(head))
        if head.magic[:4] != b"LQRZ" or head.version != ZSCORE_VERSION:
            raise ValueError(f"rolling z snapshot: expected one of version {ZSCORE_VERSION}, got bytes starting {data[:8]!r}")
        moments_load(&self.c, PyBytes_AS_STRING(data) + sizeof(head), PyBytes_GET_SIZE(data) - sizeof(head), "rolling z")

    def __repr__(self):
        return f"RollingZ(window={self.c.window}, count={self.c.count}, mean={self.c.mean}, std={moments_std(&self.c)})"


cdef class EwZ:
    """Exponentially weighted z-score: of each value against the weighted mean and population std of those before it.

    The weight of a value halves every `half_life_ns`. z = 0 for the first `min_count` values and if std is 0. Incremental form: West (1979).
    """

    def __cinit__(self, int64_t half_life_ns, int64_t min_count=12):
        if half_life_ns < 1:
            raise ValueError(f"half_life_ns: expected at least 1, got {half_life_ns}")
        if min_count < 1:
            raise ValueError(f"min_count: expected at least 1, got {min_count}")
        self.c.half_life_ns = <double> half_life_ns
        self.c.min_count = min_count
        self.reset()

    def __init__(self, int64_t half_life_ns, int64_t min_count=12):
        pass

    def push(self, int64_t ts, double x):
        """Returns z of x, then adds x. ValueError, and no change, for a value that is not finite or a ts before the latest one."""
        if not (fabs(x) < INFINITY):
            raise ValueError(f"value: expected a finite number, got {x!r}")
        if ts < self.c.ts:
            raise ValueError(f"ts: expected at least {self.c.ts} ns (time does not go back), got {ts}")
        ewz_push(&self.c, ts, x)
        return self.c.value

    @property
    def value(self):
        return self.c.value

    @property
    def mean(self):
        return self.c.mean

    @property
    def std(self):
        return sqrt(self.c.square / self.c.weight) if self.c.count > 0 else 0.0

    @property
    def count(self):
        return self.c.count

    def reset(self):
        self.c.ts = INT64_MIN
        self.c.weight = self.c.mean = self.c.square = self.c.value = 0.0
        self.c.count = 0

    def snapshot(self):
        cdef ewz_image_t head
        memset(&head, 0, sizeof(head))
        memcpy(head.magic, b"LQEZ", 4)
        head.version = ZSCORE_VERSION
        head.c = self.c
        return PyBytes_FromStringAndSize(<char*> &head, sizeof(head))

    def restore(self, bytes data):
        """Continue from a snapshot of the same configuration; ValueError, and no change, otherwise."""
        cdef ewz_image_t head
        if PyBytes_GET_SIZE(data) != <Py_ssize_t> sizeof(head):
            raise ValueError(f"exponential z snapshot: expected {sizeof(head)} bytes, got {len(data)}")
        memcpy(&head, PyBytes_AS_STRING(data), sizeof(head))
        if head.magic[:4] != b"LQEZ" or head.version != ZSCORE_VERSION:
            raise ValueError(f"exponential z snapshot: expected one of version {ZSCORE_VERSION}, got bytes starting {data[:8]!r}")
        if head.c.half_life_ns != self.c.half_life_ns or head.c.min_count != self.c.min_count:
            raise ValueError(f"exponential z snapshot: it is of half-life {head.c.half_life_ns:.0f} ns, this one of {self.c.half_life_ns:.0f} ns")
        if not (head.c.count >= 0 and head.c.weight >= 0.0 and head.c.square >= 0.0 and fabs(head.c.mean) < INFINITY
                and head.c.weight < INFINITY and head.c.square < INFINITY and fabs(head.c.value) < INFINITY):
            raise ValueError("exponential z snapshot: its numbers are not finite or negative")
        self.c = head.c

    def __repr__(self):
        return f"EwZ(half_life_ns={self.c.half_life_ns:.0f}, count={self.c.count}, mean={self.c.mean}, z={self.c.value})"
