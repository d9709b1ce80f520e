"""The matching of an emulated venue: any number of orders of any number of accounts, on market data. The decisions are those of book.pxd, so an order
fills here exactly as in SimVenue. The host, a Python object, handles the effects of a fill (positions, money, messages):

    host.on_fill(slot, price, lots, maker, ts) -> lots executed    price ticks; at most `lots`. The order stays unless the host removes it
    host.on_trigger(slot, ts)                                      a conditional order has been triggered
    host.on_capped(slot, ts)                                       a taker would have to pay more than its cap
    host.on_mark(instrument, ts)                                   the mark has left the range given by guard()
    host.on_time(ts)                                               `wake` has been reached; called before the event at ts

A host may place, move and remove orders in these calls. An order meets the events after the one during which it was created.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.simulation.book cimport sim_order_t
from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

cpdef enum Watch:            # which price triggers a conditional order
    WATCH_LAST = 0
    WATCH_MARK = 1
    WATCH_INDEX = 2

ctypedef struct resting_t:
    sim_order_t o            # id: unique, never used again. A conditional order that waits has type ORDER_STOP_MARKET, price = its trigger
    int64_t trail            # ticks between the best price since it was placed and the trigger; 0 = the trigger is fixed
    int64_t best             # ticks
    int64_t cap              # ticks: the worst price to take at; 0 = any
    int32_t instrument
    int32_t before           # neighbours of the same instrument, oldest first; -1 = none
    int32_t behind           # of a free slot: the next free one
    uint8_t watch
    int8_t direction         # of the trigger: 1 = fires when the price rises to it, -1 falls

ctypedef struct lane_t:      # one instrument
    int32_t first            # oldest order; -1 = none
    int32_t last
    int32_t live
    int32_t dirty            # the bounds below must be computed again
    int64_t low              # trades and quotes between these prices change nothing
    int64_t high
    double mark_low          # marks strictly between these prices change nothing
    double mark_high
    double index_low
    double index_high
    double guard_low         # the host is called for a mark at or beyond these
    double guard_high
    bint every

cdef class Matcher:
    cdef readonly tuple instruments
    cdef readonly int capacity
    cdef public int64_t wake         # ns: when the host wants on_time
    cdef readonly int64_t now        # ts_recv of the last event
    cdef object host
    cdef int count
    cdef int fills
    cdef bint walk
    cdef bint hidden
    cdef int64_t half_spread
    cdef int64_t print_wait_ns
    cdef int64_t quote_age_ns
    cdef readonly int64_t wait_next  # ns: the next end of a wait for a price, which pass_time() serves; NEVER = none waits
    cdef int32_t takers              # orders that wait for a price
    cdef int64_t serial
    cdef int64_t ids
    cdef int32_t free_slot
    cdef instrument_t* inst
    cdef market_t* markets
    cdef lane_t* lanes
    cdef resting_t* pool
    cdef int32_t* met_slot           # orders of one instrument, listed before any is matched
    cdef int64_t* met_id
    cdef int run_c(self, const event_t* e, Py_ssize_t count) except -1
    cdef int step_c(self, const event_t* e) except -1
    cdef void feed(self, const event_t* e) noexcept nogil
    cdef int start_waiting(self, resting_t* r, int64_t ts) except -1
    cdef int end_waits(self) except -1
    cdef void find_wait(self) noexcept nogil
    cdef void bounds(self, int32_t n) noexcept nogil
    cdef int meet(self, const event_t* e, int64_t trade, int64_t lots) except -1
    cdef int watch(self, int32_t n, uint8_t which, double price, int64_t ts) except -1
    cdef int64_t fill(self, int32_t slot, int64_t price, int64_t lots, bint maker, int64_t ts) except -1
    cdef int32_t note(self, int32_t n) noexcept nogil
    cdef bint reached_c(self, const resting_t* r) noexcept nogil
    cdef int fire(self, int32_t slot, int64_t ts) except -1
    cdef resting_t* live(self, int slot) except NULL
