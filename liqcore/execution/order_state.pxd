"""The known state of the orders of one instrument's trade: plain data, which only the bracket machine (bracket.pyx) changes, and which snapshots and
state images copy. And the queue of its requests to the venue."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t

from liqcore.audit cimport AuditRing
from liqcore.event cimport request_t
from liqcore.instrument cimport instrument_t
from liqcore.bracket_spec cimport bracket_t

cdef enum:
    EXECUTIONS_MAX = 256        # executions of one bracket; one more and the entry is cancelled
    ATTEMPTS_MAX = 5            # of placing a target or a close order before an alarm is raised; a close is tried for ever, at a falling rate
    PATIENCE_MAX = 1000
    NEVER = 0x7FFFFFFFFFFFFFFF

cpdef enum BracketState:
    """The state of a bracket: from flat, by entry and position, to flat again."""
    BRACKET_FLAT = 0
    BRACKET_ENTERING = 1        # the entry is out, nothing filled
    BRACKET_HOLDING = 2         # a position, protected by a stop at the venue
    BRACKET_LEAVING = 3         # the exit has been decided, the position is being closed at market
    BRACKET_WINDING = 4         # flat again, waiting until the last orders are confirmed as ended

cdef enum:                      # order_t.status; it never decreases
    O_NONE = 0
    O_SENT = 1                  # create was sent, no answer yet
    O_LIVE = 2
    O_ENDED = 3

cdef enum:                      # order_t.asked: the one request outstanding on a live order
    ASKED_NOTHING = 0
    ASKED_AMEND = 1
    ASKED_CANCEL = 2

cpdef enum Alarm:
    """A fault in the orders of a bracket. It is audited as an AUDIT_ALARM."""
    ALARM_UNPROTECTED = 1       # no stop confirmed in time after a fill
    ALARM_UNKNOWN = 2           # a request has not been answered in time: its outcome is unknown
    ALARM_STUCK = 3             # attempts to place an exit are used up
    ALARM_OVERFILL = 4          # more exits than entries: the venue's position is not ours
    ALARM_FOREIGN = 5           # a report for an order that is not ours
    ALARM_SIDE = 6              # reported liquidation prices lie on the wrong side of mark: is the side map wrong?
    ALARM_EXECUTIONS = 7        # more executions than the state can hold
    ALARM_POLICY = 9            # a policy or a detector of yours raised: entries are halted
    ALARM_LATE = 8              # a fill of a bracket that had ended: the position it opened is closed
    ALARM_LIQUIDATED = 10       # the venue closes, or has closed, the position by force
    ALARM_OUTSIDE = 11          # somebody else reduced the position
    ALARM_WAITING = 12          # a policy defers without end, or too many decisions are pending: the newest is dropped
    ALARM_FILLS = 13            # too few of a month's resting entries were filled: entries are smaller from now on

ctypedef struct order_t:
    int64_t id
    int64_t price               # ticks
    int64_t qty                 # lots
    int64_t filled
    int64_t executed            # executed lots by the venue's reports; more than `filled` while reports of fills are on their way
    int64_t ts_asked            # of the outstanding request
    int64_t ts_reported         # the venue's time of the latest accepted report (the id of a stop can end and be alive again)
    int64_t before              # value before the outstanding amend: ticks of a stop, else lots
    int64_t not_before          # a refused request is not repeated before this time
    uint8_t status
    uint8_t asked
    uint8_t attempt
    uint8_t unknown             # the outstanding request was not answered in time
    uint8_t refusals            # of cancels in a row
    uint8_t fired               # stops: by the venue's report it is a market order now; it may fill in parts

ctypedef struct bracket_state_t:         # one per instrument; plain data, so that a snapshot is a copy
    bracket_t spec
    order_t entry
    order_t stop
    order_t target
    order_t close
    int64_t reference           # ticks, resolved
    int64_t entered             # lots bought (long) or sold (short)
    int64_t exited
    int64_t last                # ticks: last trade price seen while the bracket lives
    int64_t best                # ticks: best trade price since the first fill, for the trail
    int64_t entry_deadline
    int64_t hold_deadline
    int64_t protect_deadline    # a stop must be confirmed by then; 0 = it is
    int64_t overfill_deadline   # more exited than entered: an alarm unless late reports explain it by then; 0 = no
    int64_t cooldown_until
    int64_t ts_open             # first fill
    int64_t ts_exit             # last exit fill
    double entry_value          # sum of ticks * lots of entry fills
    double exit_value
    double fees
    int64_t sequence            # number of this instrument's bracket: part of the order ids
    int32_t instrument
    int32_t executions_count    # of this bracket
    int32_t executions_head     # of the ring below, which outlives the bracket
    int16_t owner               # place of the policy whose intent it is, from 1
    uint8_t detector            # number of the detector whose signal it answered, from 1
    uint8_t counted             # its entry has been counted by the fill watch
    int32_t signal_sequence     # cascade that it answered
    int32_t orders              # requests sent for this bracket
    uint8_t state
    uint8_t end                 # Reason, once the exit is decided
    uint8_t requotes
    uint8_t entry_maker
    uint8_t overfilled
    uint8_t last_exit           # Role of the last exit fill
    uint8_t entry_end           # Reason with which the entry order ended
    uint8_t target_taker        # the post-only target would have crossed: place it as a plain limit
    int64_t executions[256]     # (execution id << 4 | role) of counted executions: the last 256 of the instrument

cdef class RequestQueue:
    """Requests waiting for the driver, and the audit ring."""
    cdef AuditRing audit
    cdef request_t* ring
    cdef int64_t mask
    cdef int64_t head
    cdef int64_t tail
    cdef int64_t protect_ns     # how long a stop may be unconfirmed; the engine's patience multiplies these four
    cdef int64_t answer_ns      # how long a request may stay unanswered before its outcome is unknown
    cdef int64_t backoff_ns     # first pause after a refusal
    cdef int64_t backoff_max_ns
    cdef int64_t backoff(self, int refusals) noexcept nogil
    cdef request_t* ask(self, int64_t ts, bracket_state_t* s, order_t* o, const instrument_t* i, uint8_t action, uint8_t type, uint8_t flags,
                        int8_t side, int64_t stop) noexcept nogil

cdef void alarm(bracket_state_t* s, int kind, double value, double limit, int64_t id, int64_t now, RequestQueue out) noexcept nogil
cdef void ask_create(bracket_state_t* s, order_t* o, int role, const instrument_t* i, uint8_t type, uint8_t flags, int8_t side, int64_t stop,
                     int64_t now, RequestQueue out) noexcept nogil
cdef void ask_cancel(bracket_state_t* s, order_t* o, const instrument_t* i, int8_t side, int64_t now, RequestQueue out) noexcept nogil
cdef int64_t order_id(int32_t instrument, int64_t sequence, int attempt, int role) noexcept nogil

cdef inline int id_role(int64_t id) noexcept nogil:
    return <int> (id & 15)

cdef inline int64_t id_sequence(int64_t id) noexcept nogil:
    return (id >> 12) & 0xFFFFFFF

cdef inline bint order_open(const order_t* o) noexcept nogil:
    return o.status == O_SENT or o.status == O_LIVE

cdef inline bint draining(const order_t* o) noexcept nogil:
    """The order has ended, but some fills that the venue counts have not been reported yet."""
    return o.status == O_ENDED and o.executed > o.filled

cdef inline bint order_pending(const order_t* o) noexcept nogil:
    return order_open(o) or draining(o)

cdef inline int64_t unheard(const order_t* o, int64_t now, RequestQueue out) noexcept nogil:
    """Executed lots by the venue's reports whose fills may be on their way. Only for a limited time: they may have been counted under another
    order."""
    return o.executed - o.filled if o.executed > o.filled and now < o.ts_asked + out.protect_ns else 0

cdef inline int64_t bracket_position(const bracket_state_t* s) noexcept nogil:
    """Lots of the position, positive for both sides."""
    return s.entered - s.exited

cdef void bracket_restart(bracket_state_t* s, int64_t grace_ns, int64_t now, RequestQueue out) noexcept nogil
cdef list bracket_orders(const bracket_state_t* s, const instrument_t* i, object symbol)
