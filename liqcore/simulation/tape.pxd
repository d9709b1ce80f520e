"""A tape: the market history of some instruments as columns, see columns.pxd, checked and held together."""

from libc.stdint cimport int64_t

from liqcore.simulation.columns cimport rare_t, strip_t
from liqcore.event cimport event_t, market_t
from liqcore.instrument cimport instrument_t

cdef class Tape:
    cdef readonly tuple instruments
    cdef readonly object rare    # what is neither trade nor quote, in the order of the tape
    cdef readonly object place
    cdef readonly int64_t start
    cdef readonly int64_t end
    cdef int count
    cdef strip_t* strips
    cdef instrument_t* inst
    cdef const event_t* rare_at
    cdef const rare_t* place_at
    cdef int64_t rare_n
    cdef list _columns           # per instrument (trades, quotes): dicts of the arrays that the pointers point into
    cdef list _indexes           # per instrument (Passage of the trades, Passage of the quotes)
    cdef tuple _unmoved          # rare events that are no liquidations, and their places; made when they are wanted
    cdef bint calm(self, int n, const market_t* m, double band)
    cdef tuple odd_rows(self, int n, const market_t* m, double band)
