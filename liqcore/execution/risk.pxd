"""Pre-trade limits, loss limits and the kill switch: a bracket is approved, or refused with a reason. A breach latches."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t

from liqcore.execution.account cimport Account
from liqcore.audit cimport AuditRing
from liqcore.execution.order_state cimport RequestQueue, bracket_state_t
from liqcore.event cimport audit_t, event_t, market_t, signal_t
from liqcore.instrument cimport instrument_t, lots_floor, price_of, qty_of
from liqcore.bracket_spec cimport bracket_prices, bracket_t

cdef enum:
    RATE_RING = 1024         # entries per minute can be limited to at most this
    FILL_DAYS = 32           # ring of days of the fill watch

ctypedef struct limits_t:
    double order_notional_max
    double exposure_max      # positions and open entries together
    double leverage_max      # exposure / equity
    double daily_loss_max    # share of the equity at the start of the UTC day
    double weekly_loss_max
    double collar            # distance of the entry price from the last trade, share
    int64_t data_age_max_ns
    int64_t event_age_max_ns
    int32_t positions_max
    int32_t orders_per_minute_max
    int32_t orders_per_signal_max
    double fill_rate_min
    double fill_rate_size

ctypedef struct latch_t:
    uint8_t halted           # Reason that latched, 0 = none: entries are refused until it is lifted
    uint8_t flatten
    uint16_t placed[32]      # resting entries that have ended, by day (UTC, modulo 32): see count_entry
    uint16_t filled[32]      # those of them with a fill
    int64_t fill_day         # the newest day of the ring, days since 1970; 0 = no entry was counted yet
    double size              # factor on the size of entries
    int64_t orders_head      # of the ring of order times
    int64_t order_times[1024]

ctypedef struct ask_t:       # an entry for approval
    int32_t instrument
    int64_t entry_ticks
    int64_t lots
    double notional
    int64_t cause            # for the audit: start of the cascade, or id of the rejected entry
    int8_t side
    uint8_t phase

ctypedef struct load_t:      # the exposure beside an entry
    double exposure          # positions and open entries, quote currency
    int32_t open_count       # brackets
    int32_t minute           # entries sent in the last minute

cdef uint8_t hurdle(const signal_t* s, const market_t* m, const bracket_state_t* slot, int64_t now, RequestQueue out) noexcept nogil

cdef inline void size_entry(ask_t* ask, const bracket_t* b, int64_t reference, double equity, double size, const instrument_t* i) noexcept nogil:
    """Price and quantity of an entry: the wanted notional, times `size`, in whole lots, at most the venue's largest order."""
    cdef int64_t stop
    cdef double wanted = (b.notional if b.notional > 0.0 else b.equity_share * equity) * size
    bracket_prices(b, reference, &ask.entry_ticks, &stop)
    ask.lots = min(lots_floor(i, wanted / (price_of(i, ask.entry_ticks) * i.multiplier)), i.lots_max)
    ask.notional = qty_of(i, ask.lots) * i.multiplier * price_of(i, ask.entry_ticks)

cdef inline void size_requote(ask_t* ask, const bracket_state_t* s, const instrument_t* i) noexcept nogil:
    """The next try of an entry that was rejected as post-only: the same lots at a new price."""
    cdef int64_t stop
    bracket_prices(&s.spec, s.last, &ask.entry_ticks, &stop)
    ask.instrument = s.instrument
    ask.side = s.spec.side
    ask.phase = 0
    ask.cause = s.entry.id
    ask.lots = s.entry.qty
    ask.notional = qty_of(i, ask.lots) * i.multiplier * price_of(i, ask.entry_ticks)

cdef class Risk:
    cdef limits_t limits
    cdef latch_t latch
    cdef int approve(self, const ask_t* ask, const instrument_t* i, const market_t* m, bracket_state_t* slots, int count, Account account,
                     int64_t now, AuditRing audit) noexcept nogil
    cdef int forecast(self, const ask_t* ask, const instrument_t* i, const market_t* m, bracket_state_t* slots, int count, Account account,
                      int64_t now) noexcept nogil
    cdef load_t load_of(self, const ask_t* ask, bracket_state_t* slots, int count, Account account, bint flat, int64_t now) noexcept nogil
    cdef (int, double) rule(self, const ask_t* ask, const instrument_t* i, const market_t* m, double exposure, double equity, int open_count,
                            int minute, double entry, int64_t now) noexcept nogil
    cdef void latch_limit(self, uint8_t reason, double value, double limit, Account account, int64_t now, AuditRing audit) noexcept nogil
    cdef void count_order(self, int64_t now) noexcept nogil
    cdef void count_entry(self, bracket_state_t* s, int64_t now) noexcept nogil
    cdef void watch_fills(self, Account account, int64_t now, AuditRing audit) noexcept nogil
    cdef int watch(self, Account account, int64_t now, AuditRing audit) noexcept nogil
    cdef void control(self, uint8_t code, Account account, int64_t now, AuditRing audit) noexcept nogil
    cdef audit_t* gate(self, const event_t* e, market_t* m, int count, int64_t now, AuditRing audit) noexcept nogil
    cdef void lower(self, const event_t* e, Account account, int64_t now, AuditRing audit) noexcept nogil
    cdef void new_day(self, int what, Account account, int64_t now, AuditRing audit) noexcept nogil
