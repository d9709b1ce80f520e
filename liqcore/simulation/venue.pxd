"""The simulated venue: paper trading, replay and backtest use the same one.

The venue lives on the time line of receipt (ts_recv): an order sent at t arrives at t + order latency and meets the market known at that time; its
results are reported after the ack latency. The driver keeps the market (market.pxd; Paper's is the engine's), serves arrivals, funding and waits at
their own times, then passes in the market event.

An order that takes meets a live quote. Without one it waits for the first later trade of an aggressor of its own side, for `print_wait_s` at most;
then it is filled at the last trade, moved against it (market.pxd, moved_last). No order is filled at a price of the past.

For a driver that skips market events: bounds() returns those that can change anything here.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.simulation.book cimport book_t, sim_order_t
from liqcore.event cimport event_t, market_t, request_t
from liqcore.instrument cimport instrument_t
from liqcore.simulation.latency cimport Latency

ctypedef struct sim_t:
    int64_t arrivals_head
    int64_t arrivals_tail
    int64_t reports_head
    int64_t reports_tail
    int64_t last_arrival     # requests keep their order: no arrival before this
    int64_t last_report
    int64_t funding_next     # the earliest funding_at
    int64_t wait_next        # the earliest wait_next of the books
    int64_t execution        # id of the last one
    int64_t serial           # number of market events that met orders
    int64_t lost             # reports dropped because the ring was full: a broken driver

cdef class SimVenue:
    cdef readonly tuple instruments
    cdef readonly Latency latency
    cdef int count
    cdef int fills
    cdef bint walk               # takers get the shown or traded quantity, not the whole order at one price
    cdef bint hidden             # levels behind the best count as full until they are shown
    cdef double maker_fee
    cdef double taker_fee
    cdef double leverage
    cdef double margin           # distance from entry to liquidation, share: 1 / leverage - maintenance margin; 0 = never liquidated
    cdef int64_t funding_ns
    cdef int64_t print_wait_ns
    cdef int64_t* half_spread    # of each instrument, parts of SCALE of the price; -1 = as quoted
    cdef const market_t* market  # the driver's
    cdef instrument_t* inst
    cdef book_t* books
    cdef sim_t state
    cdef request_t* arrivals     # ts = time of arrival
    cdef event_t* reports        # ts_recv = time of delivery
    cdef int64_t mask
    # the driver
    cdef int submit(self, const request_t* r, int64_t now) noexcept nogil
    cdef void on_market(self, const event_t* e) noexcept nogil
    cdef void arrive(self) noexcept nogil
    cdef void fund(self) noexcept nogil
    cdef int64_t next_arrival(self) noexcept nogil
    cdef int64_t next_report(self) noexcept nogil
    cdef int64_t next_funding(self) noexcept nogil
    cdef int64_t next_wait(self) noexcept nogil
    cdef void end_waits(self) noexcept nogil
    cdef void bounds(self, int32_t n, int64_t* low, int64_t* high, bint* every) noexcept nogil
    # inside
    cdef event_t* put(self, int32_t n, uint8_t kind, int64_t id, int64_t number, int64_t now) noexcept nogil
    cdef event_t* report(self, sim_order_t* o, int32_t n, uint8_t kind, uint8_t code, uint8_t flags, int64_t now) noexcept nogil
    cdef void fill(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t reason, uint8_t flags, int64_t now) noexcept nogil
    cdef void schedule(self, int32_t n, int64_t now) noexcept nogil
    cdef void end(self, int32_t n, sim_order_t* o, uint8_t status, uint8_t reason, int64_t now) noexcept nogil
    cdef void protect(self, int32_t n, sim_order_t entry, int64_t now) noexcept nogil
    cdef void trigger(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil
    cdef void clear(self, int32_t n, int64_t now) noexcept nogil
    cdef void take_now(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t flags, int64_t now) noexcept nogil
    cdef void start_waiting(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil
    cdef void end_wait(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil
    cdef uint8_t refusal(self, const request_t* r, int64_t near, bint crosses) noexcept nogil
    cdef void create(self, const request_t* r) noexcept nogil
    cdef void amend(self, const request_t* r, sim_order_t* o) noexcept nogil
    cdef void take(self, int32_t n, const event_t* e, int64_t trade, int64_t lots) noexcept nogil
    cdef void meet_trade(self, int32_t n, sim_order_t* o, const event_t* e, int64_t trade, int64_t lots) noexcept nogil
    cdef void meet_quote(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil
    cdef void check_liquidation(self, int32_t n, double price, int64_t now) noexcept nogil
    cdef void liquidate(self, int32_t n, int64_t now) noexcept nogil
    cdef int _known(self, int instrument) except -1
