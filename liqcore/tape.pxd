"""Market history as columns: what a backtest and a sweep read. Prices are integer ticks, quantities integer lots, times ns of receipt.

17 bytes a trade, 32 a quote; liquidations, tickers and feed marks are rare and stay whole events. The columns may be memory-mapped files.

Order. Events of one instrument stand in the order in which they were received. `trades_before` of a quote, and `trades_before` and `quotes_before` of a
rare event, say where in the dense columns it belongs, so nothing is lost. Between instruments the order is by ts_recv; at equal times ALL_INSTRUMENTS
comes first, then the lower index. So a tape has exactly one order, and Tape.events() gives it back.
"""

from libc.stdint cimport int8_t, int32_t, int64_t

from liqcore.event cimport event_t
from liqcore.passage cimport pyramid_t

ctypedef struct trades_t:
    int64_t n
    const int64_t* ts            # ts_recv, ns, does not fall
    const int32_t* price         # ticks
    const int32_t* lots          # quantities above 2**31 - 1 lots stand as that
    const int8_t* side           # aggressor: +1 bought, -1 sold
    pyramid_t index

ctypedef struct quotes_t:
    int64_t n
    const int64_t* ts
    const int32_t* bid           # ticks
    const int32_t* ask
    const int32_t* bid_lots
    const int32_t* ask_lots
    const int64_t* trades_before # trades of the instrument that came before this quote
    pyramid_t index              # low = ask, high = bid

ctypedef struct strip_t:         # the dense history of one instrument
    trades_t trades
    quotes_t quotes

ctypedef struct rare_t:          # where a rare event stands in the dense history of its instrument (0, 0 for ALL_INSTRUMENTS)
    int64_t trades_before
    int64_t quotes_before

cdef class Tape:
    cdef readonly tuple instruments
    cdef int count
    cdef strip_t* strips
    cdef const event_t* rare     # LIQUIDATION, TICKER, FEED, CONTROL in the order of the tape
    cdef rare_t* place
    cdef int64_t rare_n
    cdef object _keep            # the arrays that the pointers point into
