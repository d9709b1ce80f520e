# cython: language_level=3, embedsignature=False
"""A loop around the simulated venue: what a row of the market costs there, without the engine."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqcore.event cimport BBO, TICKER, TRADE, event_t, market_t, request_t
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_ticker, market_trade
from liqcore.simulation.venue cimport SimVenue


@cython.final
cdef class MatchLoop:
    """SimVenue.on_market over the rows of a market, with orders that rest away from it. The market is kept here, as an engine keeps it."""
    cdef SimVenue venue
    cdef market_t* market
    cdef event_t* events
    cdef Py_ssize_t count, at

    def __init__(self, SimVenue venue not None, events, requests):
        cdef const request_t* r
        cdef Py_ssize_t k
        raw, self.count, self.venue = events.tobytes(), len(events), venue
        self.events = <event_t*> calloc(self.count, sizeof(event_t))
        memcpy(self.events, PyBytes_AS_STRING(raw), self.count * sizeof(event_t))
        self.market = <market_t*> calloc(venue.count, sizeof(market_t))
        venue.market = self.market
        asked = requests.tobytes()
        r = <const request_t*> PyBytes_AS_STRING(asked)
        self.meet(&self.events[0])
        for k in range(len(requests)):
            venue.submit(&r[k], self.events[0].ts_recv)
            venue.arrive()

    def __dealloc__(self):
        free(self.market)
        free(self.events)

    cdef inline void meet(self, const event_t* e) noexcept nogil:
        cdef market_t* m = &self.market[e.instrument]
        if e.kind == TRADE:
            market_trade(m, e, self.venue.inst[e.instrument].tick)
        elif e.kind == BBO:
            market_quote(m, e, QUOTE_AGE_NS)
        elif e.kind == TICKER:
            market_ticker(m, e)
        self.venue.on_market(e)

    def run(self, Py_ssize_t n):
        cdef Py_ssize_t i
        for i in range(n):
            self.meet(&self.events[self.at])
            self.at = self.at + 1 if self.at + 1 < self.count else 0
