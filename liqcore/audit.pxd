"""The audit stream: fixed-size records of everything that was decided. The dashboard, the report and the parity tests read it and nothing else."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.event cimport audit_t, event_t, signal_t

cpdef enum AuditKind:        # what a record of each kind holds is in event.pxd: audit_refused_t and so on
    """The kind of an audit record. AUDIT_FIELDS has, for each kind, the meaning of `phase` and the names of its fields."""
    AUDIT_REFUSED = 1        # validation refused an event
    AUDIT_SIGNAL = 2
    AUDIT_POLICY = 3         # a policy's answer to a signal: a bracket, or nothing and the reason
    AUDIT_RISK = 4           # the verdict of risk on a bracket
    AUDIT_REQUEST = 5        # a request to the venue
    AUDIT_ORDER = 6          # the venue's report on an order
    AUDIT_FILL = 7
    AUDIT_BRACKET = 8        # a bracket changed state
    AUDIT_TRADE = 9          # a round trip was closed: the result
    AUDIT_FEED = 10          # the feed went down, had a gap, came back, has re-warmed
    AUDIT_LIMIT = 11         # a limit latched, was lifted, control events
    AUDIT_LAPSED = 12        # a cascade that never became ACTIVE was given up
    AUDIT_LARGE = 13         # one large liquidation counted by the detector
    AUDIT_ALARM = 14         # a person must look at this (side check, missing stop)
    AUDIT_FUNDING = 15       # funding was paid or received on a position
    AUDIT_JUDGE = 16         # a question was put to the outside judge, or answered

cdef class AuditRing:
    cdef audit_t* ring
    cdef int64_t mask
    cdef int64_t next_seq    # sequence number of the next record
    cdef int64_t read_seq    # first record not yet drained
    cdef readonly int64_t lost
    cdef audit_t* put(self, int64_t ts, uint8_t kind, uint8_t reason, uint8_t phase, int32_t instrument, int8_t side,
                      int64_t id) noexcept nogil
    cdef void refused(self, int64_t now, const event_t* e, uint8_t reason, double good, int64_t count) noexcept nogil
    cdef void signal(self, const signal_t* s) noexcept nogil
