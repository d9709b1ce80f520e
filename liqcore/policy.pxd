"""What a policy sees and answers. Policies see market data only, never fills: signals and brackets of a data set are computed once."""

from libc.stdint cimport int32_t, int64_t

from liqcore.event cimport Signal, market_t, signal_t
from liqcore.instrument cimport Instrument, instrument_t
from liqcore.terms cimport Bracket, bracket_t

cdef class Market:
    cdef const market_t* c
    cdef readonly Instrument instrument

cdef class Policy:
    cdef Market view
    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1
