"""The simulated venue: paper trading, replay and backtest use the same one.

The venue lives on the time line of receipt (ts_recv): an order that leaves at t arrives at t + order latency and meets the market as it is known
there; what becomes of it is reported after the ack latency.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.event cimport event_t, request_t
from liqcore.instrument cimport instrument_t

cdef enum:
    ORDERS_MAX = 16          # live orders of one instrument; one more is rejected

ctypedef struct sim_order_t:
    int64_t id
    int64_t price            # ticks: limit, or trigger
    int64_t qty              # lots
    int64_t filled
    int64_t stop             # ticks: stop-loss to attach to the position
    int8_t side
    uint8_t type
    uint8_t flags
    uint8_t live
    uint8_t triggered
    int64_t since            # market event during which it came to be: it meets the next one

ctypedef struct book_t:      # one instrument; plain data
    int64_t bid              # ticks, 0 = unknown
    int64_t ask
    int64_t last
    int64_t position         # lots, signed
    int32_t live             # orders, so that a tick without orders costs one compare
    int32_t reserved
    sim_order_t orders[16]

ctypedef struct sim_t:
    int64_t arrivals_head
    int64_t arrivals_tail
    int64_t reports_head
    int64_t reports_tail
    int64_t execution        # id of the last one
    int64_t serial           # market events so far
    int64_t lost             # reports dropped because the ring was full: a broken driver

cdef class SimVenue:
    cdef readonly tuple instruments
    cdef int count
    cdef int touch
    cdef double maker_fee
    cdef double taker_fee
    cdef int64_t order_latency_ns
    cdef int64_t ack_latency_ns
    cdef instrument_t* inst
    cdef book_t* books
    cdef sim_t state
    cdef request_t* arrivals     # ts = time of arrival
    cdef event_t* reports        # ts_recv = time of delivery
    cdef int64_t mask
    cdef int submit(self, const request_t* r, int64_t now) noexcept nogil
    cdef void on_market(self, const event_t* e) noexcept nogil
    cdef void arrive(self) noexcept nogil
    cdef int64_t next_arrival(self) noexcept nogil
    cdef int64_t next_report(self) noexcept nogil
    cdef event_t* report(self, const sim_order_t* o, int32_t n, uint8_t kind, uint8_t code, uint8_t flags, int64_t now) noexcept nogil
    cdef void fill(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t reason, bint maker, int64_t now) noexcept nogil
    cdef void end(self, int32_t n, sim_order_t* o, uint8_t status, uint8_t reason, int64_t now) noexcept nogil
    cdef void protect(self, int32_t n, sim_order_t entry, int64_t now) noexcept nogil
    cdef void trigger(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil
    cdef int _known(self, int instrument) except -1
    cdef void clear(self, int32_t n, int64_t now) noexcept nogil
    cdef void create(self, const request_t* r) noexcept nogil
    cdef void match(self, int32_t n, sim_order_t* o, const event_t* e, int64_t trade, int64_t lots) noexcept nogil
