"""From events to the columns of a tape, through the engine's own validation."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.simulation.columns cimport rare_t
from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

ctypedef struct growing_t:       # the columns of one instrument while they grow
    int64_t trades
    int64_t quotes
    int64_t trades_coming        # largest number from the array being pushed
    int64_t quotes_coming
    int64_t* trade_ts
    int32_t* trade_price
    int32_t* trade_lots
    int8_t* trade_side
    int64_t* quote_ts
    int32_t* quote_bid
    int32_t* quote_ask
    int32_t* quote_bid_lots
    int32_t* quote_ask_lots
    int64_t* quote_before
    event_t suspect[4]           # up to SUSPECTS - 1 implausible prices in a row, which the next one may confirm
    int64_t suspects

cdef class TapeBuilder:
    cdef readonly tuple instruments
    cdef int count
    cdef double band
    cdef instrument_t* inst
    cdef market_t* market
    cdef growing_t* strips
    cdef int64_t now
    cdef int64_t refusals[32]
    cdef int64_t rounded[3]      # prices, quantities, quantities cut to 2**31 - 1 lots
    cdef int64_t rare_n
    cdef event_t* rare
    cdef rare_t* place
    cdef list _tables            # per instrument (trades, quotes): dicts of arrays with room to grow
    cdef object _rare
    cdef object _place
    cdef void admit(self, const event_t* e) noexcept nogil
    cdef void suspect(self, const event_t* e) noexcept nogil
    cdef void admit_suspects(self, int32_t n) noexcept nogil
    cdef int32_t lots_near(self, const instrument_t* i, double qty, int64_t* off) noexcept nogil
    cdef int64_t fill(self, const event_t* e, int64_t count) noexcept nogil
