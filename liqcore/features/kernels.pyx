"""The kernels of the features: see kernels.pxd."""

from libc.math cimport log
from libc.stdlib cimport calloc
from libc.string cimport memset

from liqcore.kernels.quantile cimport quantile_init


cdef int build_slots(double** pool, int64_t bytes) except -1:
    """Memory for rings, zeroed."""
    pool[0] = <double*> calloc(max(bytes, 8), 1)
    if pool[0] == NULL:
        raise MemoryError(f"no memory for {bytes} bytes of features: ask for fewer of them, or for fewer instruments")
    return 0


cdef void track_clear(track_t* t) noexcept nogil:
    cdef int k
    t.slot = -1
    t.ends = 0
    t.value = NAN
    for k in range(SLOT_RING):
        t.cells[k].high = t.cells[k].low = t.cells[k].last = NAN


cdef void candles_clear(candles_t* c, int64_t step_ns) noexcept nogil:
    cdef int k
    memset(c, 0, sizeof(candles_t))
    c.step_ns = step_ns
    c.bar = -1
    c.running.open = c.running.high = c.running.low = c.running.close = NAN
    c.done = c.running
    for k in range(ATR_BARS):
        c.ranges[k] = NAN


cdef void track_roll(track_t* t, int64_t ts) noexcept nogil:
    """New slots begin with the present value."""
    cdef int64_t to = ts // t.step_ns, k
    cdef track_cell_t* cell
    for k in range(max(t.slot + 1, to - SLOT_RING + 1) if t.slot >= 0 else to, to + 1):
        cell = &t.cells[k & (SLOT_RING - 1)]
        cell.high = cell.low = cell.last = t.value
    t.slot = to
    t.ends = (to + 1) * t.step_ns


cdef double track_realised(const track_t* t) noexcept nogil:
    """Root of the summed squared log returns between the ends of the complete slots, from the value before them."""
    cdef double total = 0.0, before = track_before(t), last, r
    cdef int64_t k
    for k in range(t.slot - t.slots, t.slot):
        last = t.cells[k & (SLOT_RING - 1)].last
        if last != before:       # in a quiet market most slots are equal, and the logarithm of 1 is 0
            r = log(last / before)
            total += r * r
        before = last
    return sqrt(total)


cdef void close_bar(candles_t* c) noexcept nogil:
    cdef double before = c.done.close
    c.ranges[c.closed % ATR_BARS] = max(c.running.high - c.running.low, fabs(c.running.high - before), fabs(c.running.low - before)) \
        if before == before else NAN
    c.closed += 1
    c.done = c.running
    c.running.open = c.running.high = c.running.low = c.done.close
    c.touched = 0


cdef void candles_roll(candles_t* c, int64_t ts) noexcept nogil:
    """Close the bars that ended. A bar without a trade has the last close. Of many such bars only the last ones matter."""
    cdef int64_t to = ts // c.step_ns, k
    if c.bar >= 0:
        for k in range(min(to - c.bar, ATR_BARS + 2)):
            close_bar(c)
    c.bar = to
    c.ends = (to + 1) * c.step_ns


cdef double candles_atr(const candles_t* c) noexcept nogil:
    """Mean of the true ranges, the oldest first."""
    cdef double total = 0.0
    cdef int64_t k
    for k in range(c.closed, c.closed + ATR_BARS):
        total += c.ranges[k % ATR_BARS]
    return total / ATR_BARS


cdef double correlation(const sums_t* a, const sums_t* b) noexcept nogil:
    """Pearson's, of the sums of the complete slots of two windows of the same length at the same time."""
    cdef double mean_a = 0.0, mean_b = 0.0, aa = 0.0, bb = 0.0, ab = 0.0, x, y
    cdef int64_t k, first = a.slot - a.slots
    for k in range(first, a.slot):
        mean_a += sums_slot(a, k)
        mean_b += sums_slot(b, k)
    mean_a /= a.slots
    mean_b /= a.slots
    for k in range(first, a.slot):
        x = sums_slot(a, k) - mean_a
        y = sums_slot(b, k) - mean_b
        aa += x * x
        bb += y * y
        ab += x * y
    return ab / sqrt(aa * bb) if aa > 0.0 and bb > 0.0 else NAN


cdef int burst_init(burst_t* b, int64_t gap_ns) except -1:
    memset(b, 0, sizeof(burst_t))
    b.gap_ns = gap_ns
    return quantile_init(&b.q, 0.95, 1000)


cdef inline int64_t history_from(const history_t* h, int64_t index) noexcept nogil:
    """Grid index of the first stored sample up to `index`; above min(index, h.last) if there is none."""
    return max(index - h.samples + 1, h.first, h.last - h.room + 1) if h.first >= 0 else index + 1


cdef void history_scan(history_t* h, int64_t index) noexcept nogil:
    """Count, mean, deviation and extremes of the known samples up to a grid index, the oldest first. Two passes, once per new sample and only if
    needed: nothing accumulates, so nothing drifts. A sample is independent of the last independent one if their windows do not overlap; a sample of a
    present value, if it differs."""
    cdef course_t* c = &h.course
    cdef int64_t k, at, first = history_from(h, index), last = min(index, h.last), latest = 0, count = 0, apart = 0
    cdef double x, total = 0.0, square = 0.0, before = NAN, least = NAN, most = NAN, mean
    c.at = index
    at = first % h.room              # one division a scan, not one a sample
    for k in range(first, last + 1):
        x = h.values[at]
        at = at + 1 if at + 1 < h.room else 0
        if x == x:
            if count == 0 or ((k - latest) * h.step_ns >= h.reach_ns if h.reach_ns else x != before):
                apart += 1
                latest, before = k, x
            count += 1
            total += x
            if not least < x:        # also where nothing was known
                least = x
            if not most > x:
                most = x
    c.count, c.apart, c.least, c.most, c.mean, c.std = count, apart, least, most, NAN, NAN
    if count == 0:
        return
    c.mean = mean = total / count
    at = first % h.room
    for k in range(first, last + 1):
        x = h.values[at]
        at = at + 1 if at + 1 < h.room else 0
        if x == x:
            square += (x - mean) * (x - mean)
    c.std = sqrt(square / count)


cdef double history_rank(const history_t* h, int64_t index, double now) noexcept nogil:
    """Share of the known samples below `now`, equal ones counting half."""
    cdef int64_t k, first = history_from(h, index), at = first % h.room, count = 0, twice = 0
    cdef double x
    for k in range(first, min(index, h.last) + 1):
        x = h.values[at]
        at = at + 1 if at + 1 < h.room else 0
        if x == x:
            count += 1
            twice += 2 if x < now else 1 if x == now else 0
    return <double> twice / (2.0 * count) if count > 0 else NAN
