"""The time window in Python, and its snapshots."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport fabs
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from liqcore.argument cimport whole, whole32

cdef struct window_image_t:             # head of a snapshot; entries (ts, signed notional) follow, oldest first
    char magic[4]
    int32_t version
    int64_t horizon_ns
    int64_t capacity
    int64_t now
    int64_t dropped
    int64_t count

cdef struct window_entry_t:
    int64_t ts
    double notional

cdef enum:
    WINDOW_VERSION = 1


cdef int window_init(window_t* w, int64_t horizon_ns, int capacity) except -1:
    """Allocate for entries of the last `horizon_ns`, at most `capacity` (a power of two, 2..2**22) of them. ValueError, MemoryError."""
    memset(w, 0, sizeof(window_t))
    if horizon_ns < 1:
        raise ValueError(f"horizon_ns: expected at least 1, got {horizon_ns}")
    if not (2 <= capacity <= WINDOW_CAPACITY_MAX) or capacity & (capacity - 1):
        raise ValueError(f"capacity: expected a power of two from 2 to {int(WINDOW_CAPACITY_MAX)}, got {capacity}")
    if window_allocate(w, horizon_ns, capacity) < 0:
        raise MemoryError(f"no memory for a window of {capacity} entries of 24 B")
    return 0


cdef bytes window_save(const window_t* w):
    """The configuration and the entries, oldest first: sums and maxima are functions of them, to the bit."""
    cdef window_image_t head
    cdef window_entry_t entry
    cdef int64_t i
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sizeof(head) + (w.pushed - w.expired) * sizeof(entry))
    cdef char* at = PyBytes_AS_STRING(out)
    memcpy(head.magic, b"LQWN", 4)
    head.version = WINDOW_VERSION
    head.horizon_ns = w.horizon_ns
    head.capacity = <int64_t> w.mask + 1
    head.now = w.now
    head.dropped = w.dropped
    head.count = w.pushed - w.expired
    memcpy(at, &head, sizeof(head))
    at += sizeof(head)
    for i in range(w.expired, w.pushed):
        entry.ts = w.ts[i & w.mask]
        entry.notional = w.notional[i & w.mask]
        memcpy(at, &entry, sizeof(entry))
        at += sizeof(entry)
    return out


cdef int window_load(window_t* w, bytes data) except -1:
    """Replace the contents by a snapshot of the same horizon and capacity. ValueError (and no change) for anything else."""
    cdef window_image_t head
    cdef window_entry_t entry
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef int64_t i, previous
    if PyBytes_GET_SIZE(data) < <Py_ssize_t> sizeof(head):
        raise ValueError(f"window snapshot: expected at least {sizeof(head)} bytes, got {len(data)}")
    memcpy(&head, at, sizeof(head))
    if head.magic[:4] != b"LQWN" or head.version != WINDOW_VERSION:
        raise ValueError(f"window snapshot: expected one of version {WINDOW_VERSION}, got bytes starting {data[:8]!r}")
    if head.horizon_ns != w.horizon_ns or head.capacity != <int64_t> w.mask + 1:
        raise ValueError(f"window snapshot: it is of {head.horizon_ns} ns and capacity {head.capacity}, "
                         f"this one is of {w.horizon_ns} ns and capacity {w.mask + 1}")
    if not (0 <= head.count <= head.capacity) or PyBytes_GET_SIZE(data) != <Py_ssize_t> (sizeof(head) + head.count * sizeof(entry)):
        raise ValueError(f"window snapshot: it says {head.count} entries, its length is {len(data)} bytes")
    at += sizeof(head)
    previous = head.now - head.horizon_ns if head.now >= INT64_MIN + head.horizon_ns else INT64_MIN
    for i in range(head.count):
        memcpy(&entry, at + i * sizeof(entry), sizeof(entry))
        if not (previous <= entry.ts <= head.now) or not (0.0 < fabs(entry.notional) <= WINDOW_NOTIONAL_MAX):
            raise ValueError(f"window snapshot: entry {i} ({entry.ts} ns, {entry.notional}) is out of order or out of range")
        previous = entry.ts
    window_reset(w)
    for i in range(head.count):
        memcpy(&entry, at + i * sizeof(entry), sizeof(entry))
        window_push(w, entry.ts, 1 if entry.notional > 0 else -1, fabs(entry.notional))
    window_advance(w, head.now)
    w.dropped = head.dropped
    return 0


cdef window_t* window_new(int64_t horizon_ns, int capacity) noexcept nogil:
    """For callers that have only the address (liqcore/batch): the configuration is checked already; NULL without memory."""
    cdef window_t* w = <window_t*> malloc(sizeof(window_t))
    if w != NULL and window_allocate(w, horizon_ns, capacity) < 0:
        free(w)
        return NULL
    return w


cdef void window_delete(window_t* w) noexcept nogil:
    window_free(w)
    free(w)


cdef void window_push_address(window_t* w, int64_t ts, int side, double notional) noexcept nogil:
    window_push(w, ts, side, notional)


cdef void window_read_address(window_t* w, double* out) noexcept nogil:
    """long, short, total, long_count, short_count, long_max, short_max, dropped: a row of batch.window_sums."""
    out[0] = window_long(w)
    out[1] = window_short(w)
    out[2] = window_total(w)
    out[3] = window_long_count(w)
    out[4] = window_short_count(w)
    out[5] = window_long_max(w)
    out[6] = window_short_max(w)
    out[7] = <double> w.dropped


cdef class Window:
    """Liquidated notional of the last `horizon_ns`, per side: sums, counts and maxima, exact (see window.pxd for the proof).

    An entry is inside while ts_now - ts <= horizon_ns. `capacity` is a power of two; when it is full the oldest entry leaves early and `dropped`
    counts it. Side is +1 for liquidated longs, -1 for liquidated shorts; notionals are in quote currency, times in ns.
    """

    def __cinit__(self, horizon_ns, capacity=4096):
        window_init(&self.c, whole(horizon_ns, "horizon_ns"), whole32(capacity, "capacity"))

    def __init__(self, horizon_ns, capacity=4096):
        pass

    def __dealloc__(self):
        window_free(&self.c)

    def push(self, int64_t ts, int side, double notional):
        """Add an entry. ValueError, and no change, for a bad side, a notional outside (0, 2**40], or a ts before the latest one."""
        if side != 1 and side != -1:
            raise ValueError(f"side: expected 1 (long) or -1 (short), got {side}")
        if not (0.0 < notional <= WINDOW_NOTIONAL_MAX):
            raise ValueError(f"notional: expected a number above 0 and at most {WINDOW_NOTIONAL_MAX:.0f}, got {notional!r}")
        if ts < self.c.now:
            raise ValueError(f"ts: expected at least {self.c.now} ns (time does not go back), got {ts}")
        window_push(&self.c, ts, side, notional)

    def advance(self, int64_t ts):
        """Let time pass: entries older than the horizon leave. ValueError for a ts before the latest one."""
        if ts < self.c.now:
            raise ValueError(f"ts: expected at least {self.c.now} ns (time does not go back), got {ts}")
        window_advance(&self.c, ts)

    @property
    def long(self):
        """Sum of liquidated longs."""
        return window_long(&self.c)

    @property
    def short(self):
        """Sum of the notional of shorts, quote currency."""
        return window_short(&self.c)

    @property
    def total(self):
        """Long plus short, of the exact sums, rounded once."""
        return window_total(&self.c)

    @property
    def value(self):
        """Same as total."""
        return window_total(&self.c)

    @property
    def imbalance(self):
        """(short - long) / total: -1 when only longs were liquidated, 0 when empty."""
        cdef double total = window_total(&self.c)
        return (window_short(&self.c) - window_long(&self.c)) / total if total > 0 else 0.0

    @property
    def count(self):
        """Entries inside."""
        return window_count(&self.c)

    @property
    def long_count(self):
        """Entries of longs inside."""
        return window_long_count(&self.c)

    @property
    def short_count(self):
        """Entries of shorts inside."""
        return window_short_count(&self.c)

    @property
    def long_max(self):
        """Largest liquidated long inside; 0 when there is none."""
        return window_long_max(&self.c)

    @property
    def short_max(self):
        """Largest notional of a short inside, quote currency."""
        return window_short_max(&self.c)

    @property
    def max(self):
        """Largest notional inside, quote currency."""
        return max(window_long_max(&self.c), window_short_max(&self.c))

    def falls_below(self, double level):
        """First ns at which the total is below `level`, quote currency, if nothing is pushed until then; None if it never is. If the total is already
        below it, the result is the next expiry."""
        cdef int64_t ts = window_falls(&self.c, level)
        return None if ts == INT64_MAX else ts

    @property
    def next_expiry(self):
        """First ns at which the oldest entry is outside; None when empty."""
        return None if window_count(&self.c) == 0 else window_next_expiry(&self.c)

    @property
    def dropped(self):
        """Entries that left early because the ring was full."""
        return self.c.dropped

    @property
    def horizon_ns(self):
        """Length of the window, ns."""
        return self.c.horizon_ns

    @property
    def capacity(self):
        """Entries kept at most."""
        return self.c.mask + 1

    def __len__(self):
        return window_count(&self.c)

    def reset(self):
        """Forget everything."""
        window_reset(&self.c)

    def snapshot(self):
        """The whole state, for restore()."""
        return window_save(&self.c)

    def restore(self, bytes data):
        """Continue from a snapshot of the same horizon and capacity; ValueError, and no change, otherwise."""
        window_load(&self.c, data)

    def __repr__(self):
        return f"Window(horizon_ns={self.c.horizon_ns}, count={window_count(&self.c)}, long={window_long(&self.c)}, short={window_short(&self.c)})"
