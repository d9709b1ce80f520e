"""First passage: see first_passage.pxd; the searches are in passage.h."""

import numpy as np

from liqcore.argument cimport describe, truth

INDEX = ("low", "high", "offsets")


cdef const int32_t* _ticks(object column, str name) except? NULL:
    """The address of a column, which must be int32 and contiguous."""
    cdef size_t address
    if not isinstance(column, np.ndarray) or column.dtype != np.int32 or column.ndim != 1 or not column.flags.c_contiguous:
        raise TypeError(f"{name}: expected a one-dimensional contiguous NumPy array of int32")
    address = column.ctypes.data
    return <const int32_t*> address


def offsets_of(Py_ssize_t rows):
    """Offset of each level above a column of `rows` rows in the flat arrays, and their length at the end (int64)."""
    out, count, total = [0], rows, 0
    while count > 64:
        count = (count + 63) // 64
        total += count
        out.append(total)
    return np.array(out, np.int64)


cdef class Passage:
    """First passages over the columns low and high (int32 ticks; high = low if only one is given).

    index: the upper levels from an earlier `Passage.index` (a dict of low, high: int32, offsets: int64), so that they need not be built again. They
    are checked against the columns unless trusted. For quotes give the ask as low and the bid as high.
    """

    def __init__(self, low, high=None, index=None, *, trusted=False):
        cdef bint sound = truth(trusted, "trusted")
        cdef int64_t rows, size
        high = low if high is None else high
        _ticks(low, "low")
        _ticks(high, "high")
        if len(low) != len(high):
            raise ValueError(f"high: expected as many rows as low has ({len(low)}), got {len(high)}")
        self.low, self.high = low, high
        rows = len(low)
        offsets = offsets_of(rows)
        size = offsets[len(offsets) - 1]
        if index is None or not sound:
            built = {"low": np.empty(size, np.int32), "high": np.empty(size, np.int32), "offsets": offsets}
            self._point(built)
            self._build()
        if index is not None:
            for name in INDEX:
                if not isinstance(index, dict) or name not in index:
                    raise ValueError(f"index: expected a dict of {', '.join(INDEX)}, got one without {name}")
            if not np.array_equal(index["offsets"], offsets) or len(index["low"]) != size or len(index["high"]) != size:
                raise ValueError(f"index: not one of a column of {rows} rows; leave it out to have it built")
            if not sound and not (np.array_equal(index["low"], built["low"]) and np.array_equal(index["high"], built["high"])):
                raise ValueError("index: does not fit the column (damaged, or of other data); leave it out to have it built")
            self._point(index)

    cdef _point(self, dict index):
        cdef const int32_t* low = _ticks(index["low"], "index low")
        cdef const int32_t* high = _ticks(index["high"], "index high")
        cdef int n
        offsets = index["offsets"]
        self.index = index
        self.c.levels = len(offsets)
        self.c.count[0] = len(self.low)
        self.c.low[0] = _ticks(self.low, "low")
        self.c.high[0] = _ticks(self.high, "high")
        for n in range(1, self.c.levels):
            self.c.count[n] = offsets[n] - offsets[n - 1]
            self.c.low[n] = low + <int64_t> offsets[n - 1]
            self.c.high[n] = high + <int64_t> offsets[n - 1]

    cdef _build(self):
        cdef int n
        with nogil:
            for n in range(1, self.c.levels):
                pyramid_level(self.c.low[n - 1], self.c.high[n - 1], self.c.count[n - 1], <int32_t*> self.c.low[n], <int32_t*> self.c.high[n])

    def __len__(self):
        return self.c.count[0]

    cdef int _range(self, int64_t start, int64_t stop) except -1:
        if not 0 <= start <= stop <= self.c.count[0]:
            raise IndexError(f"rows {start} to {stop}: expected 0 <= start <= stop <= {self.c.count[0]}")
        return 0

    def first_below(self, int64_t start, int64_t stop, int64_t level) -> int:
        """First row in [start, stop) with low <= level; stop if there is none."""
        self._range(start, stop)
        return first_below(&self.c, start, stop, level)

    def first_above(self, int64_t start, int64_t stop, int64_t level) -> int:
        """First row in [start, stop) with high >= level; stop if there is none."""
        self._range(start, stop)
        return first_above(&self.c, start, stop, level)

    def first_outside(self, int64_t start, int64_t stop, int64_t low, int64_t high) -> int:
        """First row in [start, stop) with low <= `low` or high >= `high`; stop if there is none."""
        self._range(start, stop)
        return first_outside(&self.c, start, stop, low, high)


def rows_before_ts(ts, int64_t start, int64_t stop, int64_t t) -> int:
    """First row in [start, stop) whose time is t or later, in a column of int64 ns that does not decrease; stop if there is none."""
    cdef size_t address
    if not isinstance(ts, np.ndarray) or ts.dtype != np.int64 or ts.ndim != 1 or not ts.flags.c_contiguous:
        raise TypeError("ts: expected a one-dimensional contiguous NumPy array of int64")
    if not 0 <= start <= stop <= len(ts):
        raise IndexError(f"rows {start} to {stop}: expected 0 <= start <= stop <= {len(ts)}")
    address = ts.ctypes.data
    return rows_before(<const int64_t*> address, start, stop, t)


describe(Passage, {"low": "The column of low ticks, int32.", "high": "The column of high ticks, int32.",
                   "index": "The levels above the columns: low, high, offsets, as the constructor takes them."})
