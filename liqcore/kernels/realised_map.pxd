"""RealisedDensity: prices at which positions were liquidated. REALISED: sums of observed events, forgotten with time.

Notional of the liquidations per price cell (a step in quote currency, such as 100, or in basis points), separate by side, fading exponentially.
A cell is hot if its notional, both sides together, is at or above a quantile of the cells that are not empty; adjacent hot cells are one zone. The
hot cells are determined anew at the first liquidation after `refresh`. In between zones are fixed, and reading them costs a bit scan.

C use: density_init once; density_push per liquidation; density_between, density_zone, density_below, density_above on demand.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

from liqcore.kernels.price_ladder cimport ladder_t

ctypedef struct density_config_t:
    double step              # quote currency of a cell, or 0: cells of bin_bps
    double bin_bps
    double half_life_s       # 0 = never forgets
    double quantile          # of the cells that are not empty
    double floor             # least notional of a hot cell, quote currency
    int64_t refresh_ns
    int32_t cells
    int32_t occupied_min     # least number of cells that are not empty, for zones

ctypedef struct density_t:
    ladder_t ladder[2]       # notional by price: LONG, SHORT
    double* scratch          # for the quantile
    uint64_t* hot            # one bit a cell, by slot of the ring
    int64_t hot_low          # first index of `hot`; INT64_MIN = no zones
    int64_t version          # grows whenever zones may have changed
    int64_t ts               # time up to which the amounts have faded
    int64_t refreshed
    double threshold         # quote currency, at the last refresh; nan = too few cells
    double total[2]          # now inside
    double added[2]          # totals since the start
    double faded[2]          # with time
    double dropped[2]        # beyond the map

ctypedef struct zone_t:
    double low               # lower edge of its lowest cell
    double high              # upper edge of its highest
    double long_notional     # now inside
    double short_notional
    int64_t first            # cells
    int64_t last

cdef int density_init(density_t* d, const density_config_t* g) except -1
cdef void density_free(density_t* d) noexcept nogil
cdef void density_push(density_t* d, const density_config_t* g, int64_t now, int8_t side, double price, double notional) noexcept nogil
cdef void density_forget(density_t* d, const density_config_t* g, int64_t now) noexcept nogil
cdef void density_refresh(density_t* d, const density_config_t* g, int64_t now) noexcept nogil
cdef double density_between(const density_t* d, double low, double high, int side) noexcept nogil      # quote currency; side 0: both
cdef bint density_zone(const density_t* d, double price, zone_t* out) noexcept nogil       # the zone that the price is in
cdef bint density_below(const density_t* d, double price, zone_t* out) noexcept nogil      # the nearest one that ends at or below the price
cdef bint density_above(const density_t* d, double price, zone_t* out) noexcept nogil
cdef bytes density_save(const density_t* d)
cdef int density_load(density_t* d, bytes data) except -1

cdef class DensityConfig:
    cdef density_config_t c

cdef class RealisedDensity:
    cdef density_t c
    cdef readonly DensityConfig config
    cdef int64_t now
    cdef int _checked(self, int64_t ts) except -1
