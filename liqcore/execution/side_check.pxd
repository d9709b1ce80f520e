"""A running check that liquidations are read the right way round, by prices alone: whoever is closed by force is closed at a bad price. A long's
bankruptcy price (Bybit's p, most of OKX's bkPx) lies below mark, a short's above; the limit of a forced order (Binance's p, in aux_qty) below its
fill where a long is sold, above where a short is bought. A price that hardly differs from what it is compared with is a fill, and says nothing."""

from libc.stdint cimport int32_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t

cdef enum:
    SIDES_SAMPLE = 128           # liquidations that say something, between two verdicts

ctypedef struct side_check_t:    # one per venue
    int32_t agree
    int32_t sample

# mark: 0 where none is known, or an old one
cdef bint side_inverted(side_check_t* check, const event_t* e, double mark, AuditRing audit) noexcept nogil
