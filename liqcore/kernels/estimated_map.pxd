"""EstimatedPending: prices at which open positions would be liquidated. ESTIMATED: a guess from public data, never an observation.

A rise of open interest counts as new positions: long and short by the taker flow since the last report (or half and half), entered at the
volume-weighted price of that flow (or the current price), with leverages from a stated prior. Each has a liquidation price by the isolated-margin
formula. Its quantity stays in that price cell until the price reaches it (consumed), open interest falls by more than consumption explains (decayed,
all levels alike) or time passes (forgotten). Invariant per side: added = consumed + decayed + forgotten + present.

C use: pending_init once; pending_trade, pending_price, pending_interest per event; pending_between on demand.
"""

from libc.stdint cimport int8_t, int32_t, int64_t

from liqcore.kernels.price_ladder cimport ladder_t

cdef enum:
    TIERS_MAX = 16

ctypedef struct pending_config_t:
    double share[TIERS_MAX]          # of new open interest, sums to 1
    double long_ratio[TIERS_MAX]     # liquidation price / entry price
    double short_ratio[TIERS_MAX]
    double half_life_s               # of a level without other changes; 0 = never
    double credit_half_life_s        # half-life with which consumed quantity explains a fall of open interest
    double bin_bps
    int32_t tiers
    int32_t cells
    int32_t even                     # half and half instead of taker flow

ctypedef struct pending_side_t:
    ladder_t ladder                  # quantities by liquidation price
    double edge                      # no level is beyond this price; LONG: the highest level, SHORT: the lowest
    double volume                    # taker volume since the last open interest, base units
    double value                     # its price x quantity
    double added                     # totals since the start, base units
    double consumed
    double decayed                   # with falling open interest
    double forgotten                 # with time, or beyond the map

ctypedef struct pending_t:
    pending_side_t side[2]           # LONG, SHORT
    double interest                  # last open interest, base units; 0 = none yet
    double price                     # last
    double credit                    # consumed quantity not yet matched by a fall of open interest
    int64_t ts                       # time up to which the levels have faded
    int64_t ts_credit

cdef int pending_init(pending_t* p, const pending_config_t* g) except -1
cdef void pending_free(pending_t* p) noexcept nogil
cdef void pending_trade(pending_t* p, const pending_config_t* g, int64_t now, double price, double qty, int8_t side) noexcept nogil
cdef void pending_cross(pending_t* p, const pending_config_t* g, int64_t now, double price) noexcept nogil
cdef void pending_interest(pending_t* p, const pending_config_t* g, int64_t now, double interest) noexcept nogil
cdef void pending_forget(pending_t* p, const pending_config_t* g, int64_t now) noexcept nogil
cdef double pending_between(const pending_t* p, double low, double high, int side) noexcept nogil      # quote currency; levels from low to high
cdef bytes pending_save(const pending_t* p)
cdef int pending_load(pending_t* p, bytes data) except -1

cdef inline void pending_price(pending_t* p, const pending_config_t* g, int64_t now, double price) noexcept nogil:
    """Set the price (last trade, or mark, by which the venue liquidates). Levels that it has reached are consumed."""
    p.price = price
    if price <= p.side[0].edge or price >= p.side[1].edge:
        pending_cross(p, g, now, price)

cdef class PendingConfig:
    cdef pending_config_t c
    cdef readonly tuple tiers
    cdef readonly tuple maintenance

cdef class EstimatedPending:
    cdef pending_t c
    cdef readonly PendingConfig config
    cdef int64_t now
    cdef int _checked(self, int64_t ts, double x, str name) except -1
