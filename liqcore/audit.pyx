"""The audit ring, and the names of what its records hold."""

from collections import namedtuple
from functools import cache

import numpy as np

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.event cimport *

from liqcore.event import AUDIT_DTYPE


def _form(body):
    """The dtype of a record that holds the fields of a C struct. The argument is a view of one such struct."""
    found = np.asarray(body).dtype
    header = [(name, AUDIT_DTYPE.fields[name]) for name in AUDIT_DTYPE.names if name != "x"]
    first = AUDIT_DTYPE.fields["x"][1]
    fields = header + [(name, (_plain(dtype), first + offset)) for name, (dtype, offset) in found.fields.items() if name != "unused"]
    return np.dtype({"names": [name for name, _ in fields], "formats": [dtype for _, (dtype, _) in fields],
                     "offsets": [offset for _, (_, offset) in fields], "itemsize": AUDIT_DTYPE.itemsize})


def _plain(dtype):
    """A C array char[n] becomes one text of n bytes."""
    return np.dtype(("S", dtype.itemsize)) if dtype.subdtype else dtype


def _forms() -> dict:
    cdef audit_body_t b
    cdef double[::1] typed = np.zeros(1)         # without one, Cython 3.3 does not declare what the views below need from its shared module
    memset(&b, 0, sizeof(b))
    return {name: _form(body) for name, body in (
        ("refused", <audit_refused_t[:1]> &b.refused), ("signal", <audit_signal_t[:1]> &b.signal), ("policy", <audit_policy_t[:1]> &b.policy),
        ("risk", <audit_risk_t[:1]> &b.risk), ("request", <audit_request_t[:1]> &b.request), ("order", <audit_order_t[:1]> &b.order),
        ("fill", <audit_fill_t[:1]> &b.fill), ("bracket", <audit_bracket_t[:1]> &b.bracket), ("trade", <audit_trade_t[:1]> &b.trade),
        ("feed", <audit_feed_t[:1]> &b.feed), ("limit", <audit_limit_t[:1]> &b.limit), ("lapsed", <audit_lapsed_t[:1]> &b.lapsed),
        ("large", <audit_large_t[:1]> &b.large), ("alarm", <audit_alarm_t[:1]> &b.alarm), ("funding", <audit_funding_t[:1]> &b.funding),
        ("judge", <audit_judge_t[:1]> &b.judge), ("declined", <audit_declined_t[:1]> &b.declined), ("gave_way", <audit_gave_way_t[:1]> &b.gave_way))}


_FORMS = _forms()

#: Reasons of an AUDIT_POLICY that states a condition instead of a bracket; Reasons of an AUDIT_RISK that names the intent that won
DECLINED = frozenset((NO_TRADE, ASK_LATER, POLICY_LEAVE))
GAVE_WAY = frozenset((NETTED, WEAKER, BRACKET_OPEN, REPLACING))

#: the dtypes of an AUDIT_POLICY and of an AUDIT_RISK with such a Reason
DECLINED_DTYPE, GAVE_WAY_DTYPE = _FORMS["declined"], _FORMS["gave_way"]

#: per AuditKind the dtype of its records: the fields of AUDIT_DTYPE, with the fields of the kind in place of x
VIEWS = {kind: _FORMS[kind.name.removeprefix("AUDIT_").lower()] for kind in AuditKind}

_PHASES = ("Kind", "Phase", "Phase", "Phase", "Action", "OrderStatus", "FillReason", "BracketState", "Side", "FeedState", "Control", "Phase", "Phase",
           "Alarm", "Side", "Judgment")

#: per AuditKind: (meaning of `phase`, names of its own fields in order); event.pxd has units and meanings
FIELDS = {kind: (phase, VIEWS[kind].names[len(AUDIT_DTYPE.names) - 1:]) for kind, phase in zip(AuditKind, _PHASES, strict=True)}


@cache
def _row(dtype):
    """The named tuple of records of this dtype. It is made at its first use, because all 18 take as long as the rest of an import."""
    return namedtuple(next(name for name, form in _FORMS.items() if form is dtype), dtype.names)


def form(kind, reason=0):
    """The dtype by which a record of this AuditKind and Reason is read."""
    if kind == AUDIT_POLICY and reason in DECLINED:
        return DECLINED_DTYPE
    return GAVE_WAY_DTYPE if kind == AUDIT_RISK and reason in GAVE_WAY else VIEWS[kind]


def view(records, kind):
    """The records of one kind, in their order, with its fields by name (VIEWS). An AUDIT_POLICY or an AUDIT_RISK of some Reasons has another form:
    such rows are read by DECLINED_DTYPE or GAVE_WAY_DTYPE, or by named() and rows(), which choose by themselves."""
    return records[records["kind"] == kind].view(VIEWS[kind])


def named(record):
    """One record of AUDIT_DTYPE with the fields of its kind by name."""
    return record.view(form(record["kind"], record["reason"]))


def rows(records) -> list:
    """Each record as a named tuple of its kind, in order: for loops over many records."""
    out = [None] * len(records)
    what = records["kind"].astype(np.uint16) << 8 | records["reason"] * np.isin(records["kind"], (AUDIT_POLICY, AUDIT_RISK))
    for code in np.unique(what).tolist():
        at = np.flatnonzero(what == code)
        dtype = form(code >> 8, code & 255)
        for k, row in zip(at.tolist(), map(_row(dtype)._make, records[at].view(dtype).tolist()), strict=True):
            out[k] = row
    return out


def converted(records):
    """Records of abi_version() 6 in the present format. In version 6 the number of a detector or policy was the fraction of a double: see whose()."""
    out = records.copy()
    kind, x, gave_way = out["kind"], out["x"], np.isin(out["reason"], list(GAVE_WAY))
    for of, place, which in ((AUDIT_SIGNAL, 6, True), (AUDIT_LARGE, 2, True), (AUDIT_LAPSED, 3, True), (AUDIT_POLICY, 7, True),
                             (AUDIT_JUDGE, 3, out["instrument"] >= 0), (AUDIT_RISK, 1, gave_way & (x[:, 2:4] != 0.0).any(axis=1))):
        at = np.flatnonzero((kind == of) & which)
        pair = np.stack(whose(x[at, place]), axis=1).astype("<i4")
        x[at, place] = np.ascontiguousarray(pair).view("<f8")[:, 0]
    return out


def whose(numbered) -> tuple:
    """Split a `count` or `confidence` of a record of abi_version() 6 into (the number, the place of its detector or policy, from 1). Such records
    hold number + (place - 1) / 256. Present records have a field for each."""
    number = np.floor(numbered)
    place = np.rint((numbered - number) * 256).astype(np.int64) + 1
    return (number.astype(np.int64), place) if np.ndim(numbered) else (int(number), int(place))


def declined(record) -> tuple | None:
    """The condition of a policy's answer that is no bracket: (its name, the value found, the threshold). record: an AUDIT_POLICY record whose reason
    is NO_TRADE or ASK_LATER (the condition was not met, or not yet) or POLICY_LEAVE (the policy closes because of it), in the form of AUDIT_DTYPE,
    named() or rows(), or its x alone. None if the policy named no condition. A value of nan was not known; a threshold of nan means there is none."""
    if isinstance(record, np.ndarray):
        x, record = record, np.zeros(1, AUDIT_DTYPE)[0]
        record["x"] = x
    if isinstance(record, np.void):
        record = _row(DECLINED_DTYPE)._make(record.view(DECLINED_DTYPE).item())
    return (record.condition.decode(errors="replace"), record.value, record.threshold) if record.condition else None


cdef class AuditRing:
    """A ring of the last `capacity` audit records (a power of two). The reader drains it. `lost` counts the records that were overwritten before they
    were drained."""

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
        """A zeroed record with these fields set; the caller fills the fields of its kind. In a full ring it overwrites the oldest record."""
        cdef audit_t* a = &self.ring[self.next_seq & self.mask]
        if self.next_seq - self.read_seq > self.mask:
            self.read_seq += 1
            self.lost += 1
        memset(&a.of, 0, sizeof(a.of))
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
        """An event that validation refused. good: the last good price; count: refusals for this reason so far."""
        cdef audit_t* a = self.put(now, AUDIT_REFUSED, reason, e.kind, e.instrument, e.side, e.ts_event)
        a.of.refused.price = e.price
        a.of.refused.qty = e.qty
        a.of.refused.aux_price = e.aux_price
        a.of.refused.aux_qty = e.aux_qty
        a.of.refused.reference_price = good
        a.of.refused.ts_recv_ns_part = <double> (e.ts_recv % <int64_t> 1000000000)
        a.of.refused.ts_recv_s = <double> (e.ts_recv // <int64_t> 1000000000)
        a.of.refused.refused_count = count

    cdef void signal(self, const signal_t* s) noexcept nogil:
        cdef uint8_t reason = UNCERTAIN if s.flags & SIGNAL_UNCERTAIN else STALE_EVENT if s.flags & SIGNAL_STALE else OK
        cdef audit_t* a = self.put(s.ts, AUDIT_SIGNAL, reason, s.phase, s.instrument, s.side, s.ts_start)
        a.of.signal.long_notional = s.long_notional
        a.of.signal.short_notional = s.short_notional
        a.of.signal.threshold = s.threshold
        a.of.signal.z = s.z
        a.of.signal.score = s.score
        a.of.signal.price = s.price
        a.of.signal.count = s.count
        a.of.signal.detector = s.detector
        a.of.signal.rolling = s.rolling

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
