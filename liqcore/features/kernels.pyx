"""The kernels of the features: see feature_kernels.pxd. The classes are for those who want one of them alone, and for the tests."""

from libc.math cimport log
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqcore.kernels.quantile cimport quantile_init

from liqcore.features.spec import slots as slots_of


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
    """New slots begin with the value that stands."""
    cdef int64_t to = ts // t.step_ns, k
    cdef track_cell_t* cell
    for k in range(max(t.slot + 1, to - SLOT_RING + 1) if t.slot >= 0 else to, to + 1):
        cell = &t.cells[k & (SLOT_RING - 1)]
        cell.high = cell.low = cell.last = t.value
    t.slot = to
    t.ends = (to + 1) * t.step_ns


cdef double track_realised(const track_t* t) noexcept nogil:
    """Root of the summed squared log returns between the ends of the complete slots and what stood before them."""
    cdef double total = 0.0, before = track_before(t), last, r
    cdef int64_t k
    for k in range(t.slot - t.slots, t.slot):
        last = t.cells[k & (SLOT_RING - 1)].last
        if last != before:       # most slots of a quiet market; the logarithm of 1 is 0 all the same
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
    """Close the bars that ended. Those without a trade stand at the close before; of a long row of them only the last ones matter."""
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
    """Grid index of the first of the samples up to `index` that is there; above min(index, h.last) where none is."""
    return max(index - h.samples + 1, h.first, h.last - h.room + 1) if h.first >= 0 else index + 1


cdef void history_scan(history_t* h, int64_t index) noexcept nogil:
    """Count, mean, deviation and extremes of the known samples up to a grid index, the oldest first. Two passes, once per new sample and only
    if asked: nothing accumulates, so nothing drifts. A sample is independent of the one counted before where their windows do not overlap; of what
    stands, where it says something else."""
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


cdef int64_t _time(int64_t ts, int64_t ends, int64_t step_ns) except -1:
    """A time that may follow: not before the running slot."""
    if ts < 0 or ts < ends - step_ns:
        raise ValueError(f"ts: expected at least {max(ends - step_ns, 0)} ns (time does not go back), got {ts}")
    return ts


cdef int64_t _window(int64_t window_ns) except -1:
    if window_ns < 1_000_000 or window_ns % 1_000_000:
        raise ValueError(f"window_ns: expected whole milliseconds, at least one, got {window_ns}")
    return window_ns


cdef class SlotSums:
    """Sums, counts and the maximum per side of the last `window_ns`, in slots: push(ts, side, x), advance(ts), then read.

    Side +1 = long, bought; -1 = short, sold. Exact: see feature_kernels.pxd.
    """

    def __cinit__(self, int64_t window_ns):
        _window(window_ns)
        self.window_ns = window_ns
        build_slots(&self.pool, SLOT_RING * sizeof(sums_cell_t))
        self.c.cells = <sums_cell_t*> self.pool
        self.c.slots = slots_of(window_ns)
        self.c.step_ns = window_ns // self.c.slots
        sums_reset(&self.c)

    def __init__(self, int64_t window_ns):
        pass

    def __dealloc__(self):
        free(self.pool)

    def push(self, int64_t ts, int side, double x):
        """Add an entry. ValueError, and no change, for a bad side, a value outside [0, 2**40], or a ts before the running slot."""
        if side != 1 and side != -1:
            raise ValueError(f"side: expected 1 or -1, got {side}")
        if not 0.0 <= x <= WINDOW_NOTIONAL_MAX:
            raise ValueError(f"x: expected 0 to {WINDOW_NOTIONAL_MAX:.0f}, got {x!r}")
        sums_push(&self.c, _time(ts, self.c.ends, self.c.step_ns), side, x)

    def advance(self, int64_t ts):
        """Let time pass."""
        sums_advance(&self.c, _time(ts, self.c.ends, self.c.step_ns))

    @property
    def value(self):
        """Both sides."""
        return sums_total(&self.c)

    @property
    def long(self):
        return sums_long(&self.c)

    @property
    def short(self):
        return sums_short(&self.c)

    @property
    def net(self):
        """Long minus short, of the exact sums, rounded once."""
        return sums_net(&self.c)

    @property
    def max(self):
        """Largest entry of either side; 0 when empty."""
        return sums_max(&self.c)

    @property
    def count(self):
        return self.c.count[0] + self.c.count[1]

    @property
    def slots(self):
        return self.c.slots


cdef class Course:
    """A value that stands until it changes (a price, a rate), over the last `window_ns`: push(ts, x), advance(ts), then read; nan = not known."""

    def __cinit__(self, int64_t window_ns):
        _window(window_ns)
        self.window_ns = window_ns
        build_slots(&self.pool, SLOT_RING * sizeof(track_cell_t))
        self.c.cells = <track_cell_t*> self.pool
        self.c.slots = slots_of(window_ns)
        self.c.step_ns = window_ns // self.c.slots
        track_clear(&self.c)

    def __init__(self, int64_t window_ns):
        pass

    def __dealloc__(self):
        free(self.pool)

    def push(self, int64_t ts, double x):
        """The value from now on. ValueError, and no change, for one that is not finite, or a ts before the running slot."""
        if not fabs(x) < 1e300:
            raise ValueError(f"x: expected a finite number, got {x!r}")
        track_push(&self.c, _time(ts, self.c.ends, self.c.step_ns), x)

    def advance(self, int64_t ts):
        """Let time pass."""
        track_advance(&self.c, _time(ts, self.c.ends, self.c.step_ns))

    @property
    def value(self):
        return self.c.value

    @property
    def before(self):
        """What stood when the window began."""
        return track_before(&self.c)

    @property
    def spread(self):
        """Highest minus lowest."""
        return track_spread(&self.c)

    @property
    def mean(self):
        """Over time, complete slots only."""
        return track_mean(&self.c)

    @property
    def realised(self):
        """Root of the summed squared log returns from slot to slot."""
        return track_realised(&self.c)


cdef class Candles:
    """Candles of `window_ns` on the grid of UTC time: push(ts, price), advance(ts); then open, high, low, close of the last complete one, and atr."""

    def __cinit__(self, int64_t window_ns):
        candles_clear(&self.c, _window(window_ns))

    def __init__(self, int64_t window_ns):
        pass

    def push(self, int64_t ts, double price):
        """A trade. ValueError, and no change, for a price that is not positive and finite, or a ts before the running candle."""
        if not 0.0 < price < 1e300:
            raise ValueError(f"price: expected a positive finite number, got {price!r}")
        candles_push(&self.c, _time(ts, self.c.ends, self.c.step_ns), price)

    def advance(self, int64_t ts):
        """Let time pass."""
        candles_advance(&self.c, _time(ts, self.c.ends, self.c.step_ns))

    @property
    def value(self):
        """(open, high, low, close); nan while none is complete."""
        return self.c.done.open, self.c.done.high, self.c.done.low, self.c.done.close

    @property
    def atr(self):
        """Mean true range of the last 14 complete candles."""
        return candles_atr(&self.c)
