"""The audit ring, and the names of what its records hold."""

import numpy as np

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.event cimport OK, SIGNAL_STALE, SIGNAL_UNCERTAIN, STALE_EVENT, UNCERTAIN

from liqcore.event import AUDIT_DTYPE

#: per AuditKind: (what `phase` holds, names of x[0..7]); prices in quote currency, quantities in base units, unless the name says otherwise.
#: `count` (AUDIT_SIGNAL, AUDIT_LARGE, AUDIT_LAPSED) and `confidence` are numbered: see whose().
FIELDS = {
    AuditKind.AUDIT_REFUSED: ("Kind", ("price", "qty", "aux_price", "aux_qty", "reference_price", "ts_recv_ns_part", "ts_recv_s", "refused_count")),
    AuditKind.AUDIT_SIGNAL: ("Phase", ("long_notional", "short_notional", "threshold", "z", "score", "price", "count", "rolling")),
    AuditKind.AUDIT_POLICY: ("Phase", ("reference_price", "entry_offset", "take_profit", "stop_loss", "notional", "entry_ttl_s", "max_hold_s",
                                       "confidence")),
    AuditKind.AUDIT_RISK: ("Phase", ("notional", "limit", "exposure", "open_brackets", "orders_last_minute", "equity", "day_loss", "week_loss")),
    AuditKind.AUDIT_REQUEST: ("Action", ("price", "qty", "stop_price", "order_type", "request_flags", "sequence", "last_price", "role")),
    AuditKind.AUDIT_ORDER: ("OrderStatus", ("price", "qty", "role", "latency_ms", "unused4", "unused5", "unused6", "unused7")),
    AuditKind.AUDIT_FILL: ("FillReason", ("price", "qty", "fee", "flags", "position", "entry_price", "execution_id", "role")),
    AuditKind.AUDIT_BRACKET: ("BracketState", ("entry_price", "target_price", "stop_price", "qty", "filled", "position", "deadline_s", "sequence")),
    AuditKind.AUDIT_TRADE: ("Side", ("entry_price", "exit_price", "qty", "gross", "fees", "net", "hold_s", "entry_is_maker")),
    AuditKind.AUDIT_FEED: ("FeedState", ("gap_s", "uncertain_until_s", "streams", "unused3", "unused4", "unused5", "unused6", "unused7")),
    AuditKind.AUDIT_LIMIT: ("Control", ("value", "limit", "equity", "gate", "gates_closed", "which", "unused6", "unused7")),
    AuditKind.AUDIT_LAPSED: ("Phase", ("long_notional", "short_notional", "threshold", "count", "unused4", "unused5", "unused6", "unused7")),
    AuditKind.AUDIT_LARGE: ("Phase", ("notional", "threshold", "count", "long_notional", "short_notional", "price", "qty", "rolling")),
    AuditKind.AUDIT_FUNDING: ("Side", ("mark_price", "qty", "paid", "rate", "unused4", "unused5", "unused6", "unused7")),
    AuditKind.AUDIT_JUDGE: ("Judgment", ("question", "waited_s", "judge_s", "confidence", "notional", "reference_price", "last_price", "stop_loss")),
    AuditKind.AUDIT_ALARM: ("Alarm", ("value", "limit", "sample", "unused3", "unused4", "unused5", "unused6", "unused7")),
}


def whose(numbered) -> tuple:
    """(the number, the place from 1 of the detector or policy that it is of) of a `count` or a `confidence`: number + (place - 1) / 256."""
    number = np.floor(numbered)
    place = np.rint((numbered - number) * 256).astype(np.int64) + 1
    return (number.astype(np.int64), place) if np.ndim(numbered) else (int(number), int(place))


cdef class AuditRing:
    """A ring of the last `capacity` audit records (a power of two). The reader drains it; what it did not drain in time is counted in `lost`."""

    def __cinit__(self, int64_t capacity=65536, *args, **kwargs):
        if capacity < 16 or capacity & (capacity - 1):
            raise ValueError(f"audit capacity: expected a power of two >= 16, got {capacity}")
        self.ring = <audit_t*> calloc(capacity, sizeof(audit_t))
        if self.ring == NULL:
            raise MemoryError(f"no memory for {capacity} audit records of {sizeof(audit_t)} B")
        self.mask = capacity - 1

    def __init__(self, int64_t capacity=65536):
        pass

    def __dealloc__(self):
        free(self.ring)

    cdef audit_t* put(self, int64_t ts, uint8_t kind, uint8_t reason, uint8_t phase, int32_t instrument, int8_t side,
                      int64_t id) noexcept nogil:
        """A zeroed record with these fields set; the caller fills x. The oldest record is overwritten when the ring is full."""
        cdef audit_t* a = &self.ring[self.next_seq & self.mask]
        if self.next_seq - self.read_seq > self.mask:
            self.read_seq += 1
            self.lost += 1
        memset(a.x, 0, sizeof(a.x))
        a.seq = self.next_seq
        a.ts = ts
        a.id = id
        a.instrument = instrument
        a.kind = kind
        a.reason = reason
        a.phase = phase
        a.side = side
        self.next_seq += 1
        return a

    cdef void refused(self, int64_t now, const event_t* e, uint8_t reason, double good, int64_t count) noexcept nogil:
        """An event that the door refused. good: the last good price; count: refusals for this reason so far."""
        cdef audit_t* a = self.put(now, AUDIT_REFUSED, reason, e.kind, e.instrument, e.side, e.ts_event)
        a.x[0] = e.price
        a.x[1] = e.qty
        a.x[2] = e.aux_price
        a.x[3] = e.aux_qty
        a.x[4] = good
        a.x[5] = <double> (e.ts_recv % <int64_t> 1000000000)
        a.x[6] = <double> (e.ts_recv // <int64_t> 1000000000)
        a.x[7] = count

    cdef void signal(self, const signal_t* s) noexcept nogil:
        cdef uint8_t reason = UNCERTAIN if s.flags & SIGNAL_UNCERTAIN else STALE_EVENT if s.flags & SIGNAL_STALE else OK
        cdef audit_t* a = self.put(s.ts, AUDIT_SIGNAL, reason, s.phase, s.instrument, s.side, s.ts_start)
        a.x[0] = s.long_notional
        a.x[1] = s.short_notional
        a.x[2] = s.threshold
        a.x[3] = s.z
        a.x[4] = s.score
        a.x[5] = s.price
        a.x[6] = numbered(s.count, s.detector)
        a.x[7] = s.rolling

    def __len__(self):
        return self.next_seq - self.read_seq

    @property
    def capacity(self):
        return self.mask + 1

    @property
    def next_sequence(self):
        return self.next_seq

    def touch(self):
        """Commit the memory of the ring now, before the first record: a process that runs for months does not grow by filling it."""
        if self.next_seq == 0:
            memset(self.ring, 0, (self.mask + 1) * sizeof(audit_t))

    def drain(self):
        """All records since the last drain as an array of AUDIT_DTYPE (a copy), oldest first."""
        cdef int64_t count = self.next_seq - self.read_seq
        cdef int64_t start = self.read_seq & self.mask
        cdef int64_t first = min(count, self.mask + 1 - start)
        out = np.empty(count, AUDIT_DTYPE)
        cdef size_t address = out.ctypes.data
        memcpy(<void*> address, &self.ring[start], first * sizeof(audit_t))
        memcpy(<void*> (address + first * sizeof(audit_t)), self.ring, (count - first) * sizeof(audit_t))
        self.read_seq = self.next_seq
        return out
