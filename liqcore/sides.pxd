"""A running check that liquidations are read the right way round: on every venue a long's bankruptcy price lies below mark, a short's above."""

from libc.stdint cimport int32_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport event_t

cdef enum:
    SIDES_SAMPLE = 128           # liquidations between two verdicts

ctypedef struct side_check_t:    # one per venue
    int32_t agree
    int32_t sample

cdef bint side_inverted(side_check_t* check, const event_t* e, double mark, AuditRing audit) noexcept nogil
