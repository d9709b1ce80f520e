"""A running check by prices that the sides of liquidations are read correctly: a forced close has a bad price. The bankruptcy price of a long
(Bybit's p, most of OKX's bkPx) is below mark, that of a short above. The limit of a forced order (Binance's p, in aux_qty) is below its fill if a
long is sold, above if a short is bought. A price very close to the compared one is a fill and does not count."""

from libc.stdint cimport int32_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t

cdef enum:
    SIDES_SAMPLE = 128           # liquidations that count, between two verdicts

ctypedef struct side_check_t:    # one per venue
    int32_t agree
    int32_t sample

# mark: 0 where none is known, or an old one
cdef bint side_inverted(side_check_t* check, const event_t* e, double mark, AuditRing audit) noexcept nogil
