"""z-scores: of the running time segment against the completed ones (SegmentZ), over the last N values (RollingZ), exponentially weighted (EwZ).

C use: segz_init once, segz_push per value, segz_advance per wake-up, segz_value on demand, segz_free.

Mean and variance of a window come from two stacks (suffix aggregates of the older part, one running aggregate of the younger part) merged by
Chan's formula: nothing is ever subtracted from an aggregate, so a print of 1e9 has no effect once it has left the window. Sliding Welford, the usual
method, stays wrong after one. Each part is summed as deviations from a pivot, its own youngest or oldest value: equal values give exactly zero, and
the pivot is inside as long as the part is used, so a spike as pivot is harmless. Youngs & Cramer's update keeps the chain of dependent operations at
one addition, where Welford's has three. Chan, Golub, LeVeque (1983); two stacks: Tangwongsan, Hirzel, Schneider (2021), arXiv 2009.13768.
"""

from libc.math cimport INFINITY, NAN, exp2, sqrt
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t

cdef enum:
    BASELINE_MAX = 1048576

ctypedef struct moments_t:       # rolling mean and variance of the last `window` values
    double* values               # ring; the whole allocation starts here
    double* suffix_sum           # of (value - older_pivot) from this slot to the end of the older part
    double* suffix_square        # sum of squared deviations from their mean, likewise
    double* inverse              # 1 / n
    int32_t window
    int32_t count
    int32_t start                # slot of the oldest value
    int32_t older                # values in the older part
    int32_t younger              # values in the younger part
    double older_pivot           # youngest value of the older part
    double younger_pivot         # oldest value of the younger part
    double younger_sum           # of (value - younger_pivot)
    double younger_square
    double mean
    double square

ctypedef struct segz_t:
    moments_t m                  # sums of the completed segments
    int64_t segment_ns
    int64_t segment              # index of the running segment: floor(ts / segment_ns)
    int64_t ends                 # first ns after it; INT64_MIN before the first value
    int32_t min_segments
    int32_t count                # values in the running segment
    double current               # their sum
    double std                   # of the completed segments (population)

ctypedef struct ewz_t:
    double half_life_ns
    int64_t ts
    double weight                # sum of the weights; 0 before the first value
    double mean
    double square
    double value                 # z of the latest value against those before it
    int64_t count
    int64_t min_count

cdef int moments_init(moments_t* m, int window) except -1
cdef void moments_free(moments_t* m) noexcept nogil
cdef int segz_init(segz_t* z, int64_t segment_ns, int baseline, int min_segments) except -1
cdef void segz_free(segz_t* z) noexcept nogil
cdef void segz_close(segz_t* z, int64_t ts) noexcept nogil
cdef bytes segz_save(const segz_t* z)
cdef int segz_load(segz_t* z, bytes data) except -1


cdef inline void moments_reset(moments_t* m) noexcept nogil:
    m.count = m.start = m.older = m.younger = 0
    m.older_pivot = m.younger_pivot = m.younger_sum = m.younger_square = m.mean = m.square = 0.0


cdef inline void moments_flip(moments_t* m) noexcept nogil:
    """Make all values the older part: aggregate them from the youngest to the oldest, and keep every step."""
    cdef double total = 0.0, square = 0.0, pivot, x, d
    cdef int32_t slot = m.start + m.count - 1, i
    if slot >= m.window:
        slot -= m.window
    pivot = m.values[slot]
    for i in range(1, m.count + 1):
        x = m.values[slot] - pivot
        total += x
        d = i * x - total
        square += d * d * (m.inverse[i] * m.inverse[i - 1])
        m.suffix_sum[slot] = total
        m.suffix_square[slot] = square
        slot = slot - 1 if slot > 0 else m.window - 1
    m.older_pivot = pivot
    m.older = m.count
    m.younger = 0
    m.younger_sum = m.younger_square = 0.0


cdef inline void moments_merge(moments_t* m) noexcept nogil:
    """mean and square of the whole window from its two parts (Chan)."""
    cdef double mean, delta, share
    mean = m.younger_pivot + m.younger_sum * m.inverse[m.younger]
    if m.older == 0:
        m.mean = mean
        m.square = m.younger_square
        return
    m.mean = m.older_pivot + m.suffix_sum[m.start] * m.inverse[m.older]
    m.square = m.suffix_square[m.start]
    if m.younger > 0:
        delta = mean - m.mean
        share = m.younger * m.inverse[m.count]
        m.mean += delta * share
        m.square += m.younger_square + delta * delta * (share * m.older)


cdef inline void moments_add(moments_t* m, double x) noexcept nogil:
    """Drop the oldest value of a full window, add x; mean and square are stale until moments_merge."""
    cdef double d
    cdef int32_t slot
    if m.count == m.window:
        if m.older == 0:
            moments_flip(m)
        m.start = m.start + 1 if m.start + 1 < m.window else 0
        m.older -= 1
        m.count -= 1
    slot = m.start + m.count
    if slot >= m.window:
        slot -= m.window
    m.values[slot] = x
    if m.younger == 0:
        m.younger_pivot = x
    m.count += 1
    m.younger += 1
    x -= m.younger_pivot
    m.younger_sum += x
    d = m.younger * x - m.younger_sum
    m.younger_square += d * d * (m.inverse[m.younger] * m.inverse[m.younger - 1])


cdef inline double moments_std(const moments_t* m) noexcept nogil:
    """Population standard deviation; 0 while empty."""
    return sqrt(m.square * m.inverse[m.count]) if m.count > 0 else 0.0


cdef inline void segz_reset(segz_t* z) noexcept nogil:
    moments_reset(&z.m)
    z.segment = 0
    z.ends = INT64_MIN
    z.count = 0
    z.current = z.std = 0.0


cdef inline void segz_advance(segz_t* z, int64_t ts) noexcept nogil:
    """Let time pass: close the segments that ended. An earlier ts counts as the current time (validation refuses such events)."""
    if ts >= z.ends:
        segz_close(z, ts)


cdef inline void segz_push(segz_t* z, int64_t ts, double x) noexcept nogil:
    segz_advance(z, ts)
    z.current += x
    z.count += 1


cdef inline double segz_value(const segz_t* z) noexcept nogil:
    """z of the running segment's sum; 0 while fewer than min_segments are complete, and if they do not vary."""
    if z.m.count < z.min_segments or not (z.std > 0.0):
        return 0.0
    return (z.current - z.m.mean) / z.std


cdef inline void ewz_push(ewz_t* z, int64_t ts, double x) noexcept nogil:
    """An earlier ts counts as the current time."""
    cdef double keep, delta, std
    cdef int64_t elapsed = ts - z.ts if ts > z.ts else 0
    keep = exp2(-(<double> elapsed) / z.half_life_ns) if z.count > 0 else 0.0
    std = sqrt(z.square / z.weight) if z.count > 0 else 0.0
    z.value = (x - z.mean) / std if std > 0.0 and z.count >= z.min_count else 0.0
    z.weight = z.weight * keep + 1.0
    z.square = z.square * keep
    delta = x - z.mean
    z.mean += delta / z.weight
    z.square += delta * (x - z.mean)
    z.ts = ts if ts > z.ts or z.count == 0 else z.ts
    z.count += 1


cdef class SegmentZ:
    cdef segz_t c
    cdef int64_t now


cdef class RollingZ:
    cdef moments_t c
    cdef double _z(self, double x) noexcept nogil


cdef class EwZ:
    cdef ewz_t c
