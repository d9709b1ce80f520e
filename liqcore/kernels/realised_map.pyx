"""The realised map in Python, and its snapshots: see realised_map.pxd."""

import math

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport INFINITY, NAN, exp2
from libc.stdint cimport INT64_MIN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.kernels.price_ladder cimport (ladder_add, ladder_centre, ladder_edge, ladder_fade, ladder_first, ladder_free, ladder_index,
                                           ladder_init, ladder_last, ladder_load, ladder_move, ladder_next, ladder_reset, ladder_save, ladder_sum,
                                           ladder_total)
from liqcore.snapshot cimport pack, unpack

from liqcore.snapshot import fitting

SNAPSHOT_NAME = b"liqcore-density-1\n"
cdef double NOTIONAL_MAX = 1099511627776.0      # 2**40
cdef double EMPTY = 1.0                         # quote currency: a cell that has faded to less counts as empty

cdef struct density_image_t:     # everything but ladders and bits
    int64_t hot_low
    int64_t version
    int64_t ts
    int64_t refreshed
    double threshold
    double total[2]
    double added[2]
    double faded[2]
    double dropped[2]


cdef void density_clear(density_t* d) noexcept nogil:
    cdef int k
    for k in range(2):
        ladder_reset(&d.ladder[k])
        d.total[k] = d.added[k] = d.faded[k] = d.dropped[k] = 0.0
    memset(d.hot, 0, d.ladder[0].cells // 8)
    d.hot_low = d.ts = d.refreshed = INT64_MIN
    d.threshold = NAN
    d.version += 1


cdef int density_init(density_t* d, const density_config_t* g) except -1:
    """Allocate. ValueError, MemoryError."""
    cdef int k
    cdef bint logarithmic = not g.step > 0.0
    memset(d, 0, sizeof(density_t))
    for k in range(2):
        ladder_init(&d.ladder[k], math.log1p(g.bin_bps / 1e4) if logarithmic else g.step, logarithmic, g.cells)
    d.scratch = <double*> calloc(g.cells, sizeof(double))
    d.hot = <uint64_t*> calloc(g.cells // 64, sizeof(uint64_t))
    if d.scratch == NULL or d.hot == NULL:
        raise MemoryError(f"no memory for {g.cells} price cells")
    density_clear(d)
    return 0


cdef void density_free(density_t* d) noexcept nogil:
    ladder_free(&d.ladder[0])
    ladder_free(&d.ladder[1])
    free(d.scratch)
    free(d.hot)
    d.scratch = NULL
    d.hot = NULL


cdef void density_forget(density_t* d, const density_config_t* g, int64_t now) noexcept nogil:
    """Let time pass: all cells fade alike, so the hot cells do not change until the next refresh."""
    cdef double keep
    cdef int k
    if d.ts == INT64_MIN:
        d.ts = now
    elif now > d.ts:
        if g.half_life_s > 0.0:
            keep = exp2(-((now - d.ts) * 1e-9) / g.half_life_s)
            for k in range(2):
                d.faded[k] += d.total[k] * (1.0 - keep)
                d.total[k] *= keep
                ladder_fade(&d.ladder[k], keep)
        d.ts = now


cdef void density_push(density_t* d, const density_config_t* g, int64_t now, int8_t side, double price, double notional) noexcept nogil:
    """One liquidation at its price."""
    cdef int k = side < 0
    cdef ladder_t* own = &d.ladder[k]
    cdef ladder_t* other = &d.ladder[1 - k]
    cdef int64_t before = own.low
    cdef double gone
    density_forget(d, g, now)
    if d.refreshed == INT64_MIN:
        d.refreshed = now
    d.added[k] += notional
    d.total[k] += notional
    gone = ladder_add(own, ladder_index(own, price), notional)
    if own.low != before:                            # both sides have the same range of prices
        d.dropped[k] += gone
        d.total[k] -= gone
        if before == INT64_MIN:
            other.low = own.low
        else:
            gone = ladder_move(other, own.low if own.low < before else own.low + own.cells - 1)
            d.dropped[1 - k] += gone
            d.total[1 - k] -= gone
        density_refresh(d, g, now)
    elif now - d.refreshed >= g.refresh_ns:
        density_refresh(d, g, now)


cdef double _select(double* x, int n, int k) noexcept nogil:
    """The k-th smallest of n (Hoare's quickselect, middle pivot)."""
    cdef int left = 0, right = n - 1, i, j
    cdef double pivot, swap
    while left < right:
        pivot = x[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while x[i] < pivot:
                i += 1
            while x[j] > pivot:
                j -= 1
            if i <= j:
                swap = x[i]
                x[i] = x[j]
                x[j] = swap
                i += 1
                j -= 1
        if k <= j:
            right = j
        elif k >= i:
            left = i
        else:
            break
    return x[k]


cdef void density_refresh(density_t* d, const density_config_t* g, int64_t now) noexcept nogil:
    """Determine the hot cells anew."""
    cdef ladder_t* a = &d.ladder[0]
    cdef ladder_t* b = &d.ladder[1]
    cdef int32_t slot
    cdef int n = 0
    cdef double amount
    d.refreshed = now
    d.version += 1
    memset(d.hot, 0, a.cells // 8)
    d.hot_low = INT64_MIN
    d.threshold = NAN
    for slot in range(a.cells):
        amount = a.cell[slot] * a.scale + b.cell[slot] * b.scale
        if amount >= EMPTY:
            d.scratch[n] = amount
            n += 1
    d.total[0] = ladder_total(a)                     # removes the drift of the running sum
    d.total[1] = ladder_total(b)
    if n < g.occupied_min or n == 0:
        return
    d.threshold = max(_select(d.scratch, n, <int> (g.quantile * (n - 1))), g.floor)
    d.hot_low = a.low
    for slot in range(a.cells):
        if a.cell[slot] * a.scale + b.cell[slot] * b.scale >= d.threshold:
            d.hot[slot // 64] |= <uint64_t> 1 << (slot % 64)


cdef double density_between(const density_t* d, double low, double high, int side) noexcept nogil:
    """Realised notional after fading of cells whose centre is from low to high; side LONG, SHORT, or 0 for both."""
    cdef double total = 0.0
    cdef int k
    if not (0.0 < low <= high < INFINITY):
        return 0.0
    for k in range(2):
        if side == 0 or (side < 0) == k:
            total += ladder_sum(&d.ladder[k], ladder_first(&d.ladder[k], low), ladder_last(&d.ladder[k], high))
    return total


cdef inline bint _hot(const density_t* d, int64_t index) noexcept nogil:
    cdef int32_t slot = <int32_t> (index & (d.ladder[0].cells - 1))
    return index >= d.hot_low and index < d.hot_low + d.ladder[0].cells and (d.hot[slot // 64] >> (slot % 64)) & 1


cdef bint _describe(const density_t* d, int64_t index, zone_t* out) noexcept nogil:
    """The zone around a hot cell."""
    cdef const ladder_t* l = &d.ladder[0]
    out.first = out.last = index
    while _hot(d, out.first - 1):
        out.first -= 1
    while _hot(d, out.last + 1):
        out.last += 1
    out.low = ladder_edge(l, out.first)
    out.high = ladder_edge(l, out.last + 1)
    out.long_notional = ladder_sum(&d.ladder[0], out.first, out.last)
    out.short_notional = ladder_sum(&d.ladder[1], out.first, out.last)
    return True


cdef bint density_zone(const density_t* d, double price, zone_t* out) noexcept nogil:
    cdef int64_t index
    if d.hot_low == INT64_MIN:
        return False
    index = ladder_index(&d.ladder[0], price)
    return _hot(d, index) and _describe(d, index, out)


cdef bint density_below(const density_t* d, double price, zone_t* out) noexcept nogil:
    """The nearest zone below the price, not counting one that the price is in."""
    cdef int64_t index
    cdef int32_t slot
    if d.hot_low == INT64_MIN:
        return False
    index = min(ladder_index(&d.ladder[0], price), d.hot_low + d.ladder[0].cells)
    while _hot(d, index):
        index -= 1
    index -= 1
    while index >= d.hot_low:
        slot = <int32_t> (index & (d.ladder[0].cells - 1))
        if slot % 64 == 63 and d.hot[slot // 64] == 0:
            index -= 64
        elif _hot(d, index):
            return _describe(d, index, out)
        else:
            index -= 1
    return False


cdef bint density_above(const density_t* d, double price, zone_t* out) noexcept nogil:
    """The nearest zone above the price, not counting one that the price is in."""
    cdef int64_t index
    cdef int32_t slot
    if d.hot_low == INT64_MIN:
        return False
    index = max(ladder_index(&d.ladder[0], price), d.hot_low - 1)
    while _hot(d, index):
        index += 1
    index += 1
    while index < d.hot_low + d.ladder[0].cells:
        slot = <int32_t> (index & (d.ladder[0].cells - 1))
        if slot % 64 == 0 and d.hot[slot // 64] == 0:
            index += 64
        elif _hot(d, index):
            return _describe(d, index, out)
        else:
            index += 1
    return False


cdef bytes density_save(const density_t* d):
    cdef density_image_t image
    image.hot_low, image.version, image.ts, image.refreshed, image.threshold = d.hot_low, d.version, d.ts, d.refreshed, d.threshold
    memcpy(&image.total[0], &d.total[0], 8 * sizeof(double))
    return pack(SNAPSHOT_NAME, [(<char*> &image)[:sizeof(image)], (<char*> d.hot)[:d.ladder[0].cells // 8],
                                ladder_save(&d.ladder[0]), ladder_save(&d.ladder[1])])


cdef int density_load(density_t* d, bytes data) except -1:
    """ValueError, and no change, unless the bytes are a snapshot of a map of the same cells."""
    cdef density_image_t image
    cdef list parts = unpack(SNAPSHOT_NAME, data, "density map")
    cdef bytes before = ladder_save(&d.ladder[0])
    if len(parts) != 4 or len(parts[0]) != <Py_ssize_t> sizeof(image):
        raise ValueError("density map snapshot: of another version of liqcore")
    if len(parts[1]) != d.ladder[0].cells // 8:
        raise ValueError(f"density map snapshot: it is of {8 * len(parts[1])} cells, this one has {d.ladder[0].cells}")
    ladder_load(&d.ladder[0], parts[2], "density map")
    try:
        ladder_load(&d.ladder[1], parts[3], "density map")
    except ValueError:
        ladder_load(&d.ladder[0], before, "density map")
        raise
    memcpy(&image, PyBytes_AS_STRING(parts[0]), sizeof(image))
    memcpy(d.hot, PyBytes_AS_STRING(parts[1]), len(parts[1]))
    d.hot_low, d.ts, d.refreshed, d.threshold = image.hot_low, image.ts, image.refreshed, image.threshold
    d.version = image.version
    memcpy(&d.total[0], &image.total[0], 8 * sizeof(double))
    return 0


cdef class DensityConfig:
    """Settings of the realised map.

    step: width of a price cell in quote currency (100 = per 100 dollars), or 0: bin_bps wide. cells: how many (a power of two). half_life_s: of an
    amount, 0 = it never fades. quantile: cells at or above this quantile of the cells that are not empty are hot, if they have at least `floor`
    (notional). refresh_s: interval of this decision; occupied_min: least number of cells that are not empty.
    """

    def __init__(self, *, double step=0.0, double bin_bps=10.0, int cells=2048, double half_life_s=604_800.0, double quantile=0.9, double floor=0.0,
                 double refresh_s=60.0, int occupied_min=20):
        for name, value, low, high in (("step", step, 0.0, 1e9), ("bin_bps", bin_bps, 0.1, 1000.0), ("half_life_s", half_life_s, 0.0, 1e9),
                                       ("floor", floor, 0.0, 1e15), ("refresh_s", refresh_s, 0.0, 1e8), ("occupied_min", occupied_min, 1, 65_536)):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value!r}")
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"quantile: expected a number between 0 and 1, got {quantile!r}")
        if not 128 <= cells <= 65_536 or cells & (cells - 1):
            raise ValueError(f"cells: expected a power of two from 128 to 65536, got {cells}")
        if 0.0 < step < 1e-9:
            raise ValueError(f"step: expected 0 or at least 1e-9, got {step!r}")
        self.c.step = step
        self.c.bin_bps = bin_bps
        self.c.cells = cells
        self.c.half_life_s = half_life_s
        self.c.quantile = quantile
        self.c.floor = floor
        self.c.refresh_ns = round(refresh_s * 1e9)
        self.c.occupied_min = occupied_min

    def as_dict(self) -> dict:
        """Everything that recreates it: DensityConfig(**c.as_dict())."""
        return {"step": self.c.step, "bin_bps": self.c.bin_bps, "cells": self.c.cells, "half_life_s": self.c.half_life_s, "quantile": self.c.quantile,
                "floor": self.c.floor, "refresh_s": self.c.refresh_ns / 1e9, "occupied_min": self.c.occupied_min}

    def __eq__(self, other):
        return isinstance(other, DensityConfig) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash(tuple(self.as_dict().values()))

    def __repr__(self):
        return "DensityConfig(" + ", ".join(f"{k}={v!r}" for k, v in self.as_dict().items()) + ")"


cdef dict _as_dict(const zone_t* z):
    return {"low": z.low, "high": z.high, "long_notional": z.long_notional, "short_notional": z.short_notional, "cells": z.last - z.first + 1}


cdef class RealisedDensity:
    """The map of one instrument: push() per liquidation; between(), zone(), below(), above() on demand. REALISED: observed events only.

    Prices and notionals in quote currency, times in ns and never before the latest. The map is as complete as the feed.
    """
    label = "REALISED"

    def __cinit__(self, DensityConfig config=None):
        self.config = DensityConfig() if config is None else config
        self.now = INT64_MIN
        density_init(&self.c, &self.config.c)

    def __init__(self, DensityConfig config=None):
        pass

    def __dealloc__(self):
        density_free(&self.c)

    cdef int _checked(self, int64_t ts) except -1:
        if not max(self.now, 0) <= ts < 0x4000000000000000:
            raise ValueError(f"ts: expected at least {max(self.now, 0)} ns (time does not go back, and begins in 1970), got {ts}")
        return 0

    def push(self, int64_t ts, int side, double price, double notional):
        """One liquidation. ValueError, and no change, for a bad side, price or notional, or a ts before the latest one."""
        self._checked(ts)
        if side not in (1, -1):
            raise ValueError(f"side: expected 1 (long) or -1 (short), got {side!r}")
        if not 0.0 < price <= NOTIONAL_MAX or not 0.0 < notional <= NOTIONAL_MAX:
            raise ValueError(f"expected a price and a notional above 0 and at most {NOTIONAL_MAX:.0f}, got {price!r}, {notional!r}")
        self.now = ts
        density_push(&self.c, &self.config.c, ts, side, price, notional)

    def advance(self, int64_t ts):
        """Let time pass."""
        self._checked(ts)
        self.now = ts
        density_forget(&self.c, &self.config.c, ts)

    def refresh(self):
        """Determine the hot cells now (else at the first liquidation after refresh_s)."""
        density_refresh(&self.c, &self.config.c, max(self.now, 0))

    def between(self, double low, double high, int side=0):
        """Notional after fading of cells whose centre is from low to high; side: 1 longs, -1 shorts, 0 both. 0 if low > high."""
        return density_between(&self.c, low, high, side)

    def zone(self, double price):
        """The zone that contains the price: dict of low, high, long_notional, short_notional, cells; None if there is none."""
        cdef zone_t z
        return _as_dict(&z) if price > 0.0 and density_zone(&self.c, price, &z) else None

    def below(self, double price):
        """The nearest zone below the price, as in zone()."""
        cdef zone_t z
        return _as_dict(&z) if price > 0.0 and density_below(&self.c, price, &z) else None

    def above(self, double price):
        """The nearest zone above the price, as in zone()."""
        cdef zone_t z
        return _as_dict(&z) if price > 0.0 and density_above(&self.c, price, &z) else None

    def cells(self, int side) -> list:
        """(price, notional) of the cells that are not empty, by price. It walks the map."""
        cdef ladder_t* l = &self.c.ladder[side < 0]
        cdef int64_t index = ladder_next(l, INT64_MIN + 1, 0.0)
        out = []
        while index != INT64_MIN:
            out.append((ladder_centre(l, index), ladder_sum(l, index, index)))
            index = ladder_next(l, index + 1, 0.0)
        return out

    @property
    def threshold(self):
        """Least notional of a hot cell at the last refresh, quote currency; nan while too few cells are not empty."""
        return self.c.threshold

    def totals(self, int side) -> dict:
        """Notional of one side since the start: added = faded + dropped (beyond the map) + present."""
        cdef int k = side < 0
        return {"added": self.c.added[k], "faded": self.c.faded[k], "dropped": self.c.dropped[k], "present": ladder_total(&self.c.ladder[k])}

    def reset(self):
        density_clear(&self.c)
        self.now = INT64_MIN

    def snapshot(self) -> bytes:
        return pack(SNAPSHOT_NAME, [repr(self.config).encode(), density_save(&self.c), str(self.now).encode()])

    def restore(self, bytes data):
        """Continue from a snapshot of the same configuration; ValueError, and no change, otherwise."""
        cdef list parts = fitting(SNAPSHOT_NAME, data, "density map", self.config, (None, None))
        density_load(&self.c, parts[0])
        self.now = int(parts[1])

    def __repr__(self):
        return f"RealisedDensity(long={self.c.total[0]:g}, short={self.c.total[1]:g}, threshold={self.c.threshold:g})"
