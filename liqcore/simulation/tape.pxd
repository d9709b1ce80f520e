"""A tape: the checked market history of some instruments as columns, see columns.pxd."""

from libc.stdint cimport int32_t, int64_t

from liqcore.simulation.columns cimport rare_t, strip_t
from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

ctypedef struct still_t:         # of a strip_t without liquidations
    double price_min
    double price_max
    int64_t unsound

cdef class Tape:
    cdef readonly tuple instruments
    cdef readonly int64_t start
    cdef readonly int64_t end
    cdef int count
    cdef strip_t* strips
    cdef instrument_t* inst
    cdef const event_t* rare_at  # events other than trades and quotes, in the order of the tape
    cdef const rare_t* place_at
    cdef int64_t rare_n
    cdef bint moved              # its liquidations are replaced by those below, see with_liquidations
    cdef const event_t* moved_at
    cdef const rare_t* moved_place_at
    cdef int64_t moved_n
    cdef still_t* still          # per instrument, the effect on its strip of rare events other than liquidations
    cdef int64_t still_n         # these events, the first and the last of them
    cdef int64_t still_first
    cdef int64_t still_last
    cdef int64_t last_ts         # of the last rare event; -1 = there is none
    cdef int32_t last_instrument
    cdef object _rare
    cdef object _place
    cdef object _moved
    cdef object _moved_place
    cdef list _keep              # tables that a walk may still read
    cdef int _join_moved(self) except -1
    cdef Tape _with_moved(self, events, place)
    cdef _span(self, const event_t* first, const event_t* last)
    cdef _span_moved(self)
    cdef list _columns           # per instrument (trades, quotes): dicts of the arrays that the pointers point into
    cdef list _indexes           # per instrument (Passage of the trades, Passage of the quotes)
    cdef bint calm(self, int n, const market_t* m, double band)
    cdef tuple odd_rows(self, int n, const market_t* m, double band)
    cdef void say(self, int32_t n, const event_t* e, bint moves) noexcept nogil
