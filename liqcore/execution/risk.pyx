"""Risk: the last check before an entry is sent. Exits are never refused."""

from libc.string cimport memcpy

from liqcore.argument cimport real, whole
from liqcore.audit cimport AUDIT_ALARM, AUDIT_LIMIT, AUDIT_RISK
from liqcore.execution.order_state cimport ALARM_FILLS, BRACKET_FLAT, order_open
from liqcore.event cimport *
from liqcore.instrument cimport price_of, qty_of
from liqcore.market cimport quote_ended

from liqcore import event as schema

cdef int64_t MINUTE_NS = 60000000000
cdef int64_t DAY_NS = 86400000000000
cdef int MONTH_DAYS = 30
cdef int FILL_ENTRIES_MIN = 20       # fewer entries are no evidence: with a true share of 50 %, 20 entries show less than 40 % in 13 months of 100
LIMIT_NAMES = dict(zip(list(schema.Limit)[:11], ("order_notional_max", "exposure_max", "leverage_max", "positions_max", "orders_per_minute_max",
                                      "orders_per_signal_max", "daily_loss_max", "weekly_loss_max", "data_age_max_s", "event_age_max_s", "collar")))


cdef uint8_t hurdle(const signal_t* s, const market_t* m, const bracket_state_t* slot, int64_t now, RequestQueue out) noexcept nogil:
    """The reason that forbids an entry of any size."""
    if s.flags & SIGNAL_UNCERTAIN:
        return UNCERTAIN
    if s.flags & SIGNAL_STALE:
        return STALE_EVENT
    if slot.state != BRACKET_FLAT:
        return BRACKET_OPEN
    if now < slot.cooldown_until:
        return COOLDOWN
    if out.head - out.tail > out.mask // 2:
        return HALTED    # the requests are not drained: a new one would be sent at an unknown time, or be overwritten
    if m.last <= 0.0:
        return NO_PRICE
    return OK


cdef int first_gate(int32_t gates) noexcept nogil:
    """The lowest Gate that is closed, 0 = none."""
    cdef int gate = 0
    while gates and not gates & (1 << gate):
        gate += 1
    return gate


cdef double limit_value(const limits_t* l, int limit) noexcept nogil:
    """The value of a limit, in the unit of Risk's argument."""
    if limit == LIMIT_ORDER_NOTIONAL:
        return l.order_notional_max
    if limit == LIMIT_EXPOSURE:
        return l.exposure_max
    if limit == LIMIT_LEVERAGE:
        return l.leverage_max
    if limit == LIMIT_POSITIONS:
        return l.positions_max
    if limit == LIMIT_ORDERS_PER_MINUTE:
        return l.orders_per_minute_max
    if limit == LIMIT_ORDERS_PER_SIGNAL:
        return l.orders_per_signal_max
    if limit == LIMIT_DAILY_LOSS:
        return l.daily_loss_max
    if limit == LIMIT_WEEKLY_LOSS:
        return l.weekly_loss_max
    if limit == LIMIT_DATA_AGE:
        return l.data_age_max_ns / 1e9
    return l.event_age_max_ns / 1e9 if limit == LIMIT_EVENT_AGE else l.collar


cdef void set_limit(limits_t* l, int limit, double value) noexcept nogil:
    if limit == LIMIT_ORDER_NOTIONAL:
        l.order_notional_max = value
    elif limit == LIMIT_EXPOSURE:
        l.exposure_max = value
    elif limit == LIMIT_LEVERAGE:
        l.leverage_max = value
    elif limit == LIMIT_POSITIONS:
        l.positions_max = <int32_t> value
    elif limit == LIMIT_ORDERS_PER_MINUTE:
        l.orders_per_minute_max = <int32_t> value
    elif limit == LIMIT_ORDERS_PER_SIGNAL:
        l.orders_per_signal_max = <int32_t> value
    elif limit == LIMIT_DAILY_LOSS:
        l.daily_loss_max = value
    elif limit == LIMIT_WEEKLY_LOSS:
        l.weekly_loss_max = value
    elif limit == LIMIT_DATA_AGE:
        l.data_age_max_ns = <int64_t> (value * 1e9)
    elif limit == LIMIT_EVENT_AGE:
        l.event_age_max_ns = <int64_t> (value * 1e9)
    elif limit == LIMIT_COLLAR:
        l.collar = value


cdef class Risk:
    """Limits on by default. Amounts in quote currency, shares as fractions, times in seconds.

    order_notional_max: one entry. exposure_max: all positions and open entries. leverage_max: exposure / equity.
    positions_max: open brackets. orders_per_minute_max, orders_per_signal_max: entries sent.
    daily_loss_max, weekly_loss_max: share of the equity at 00:00 UTC (Monday for the week); a breach latches: the day's until the next day, the
    week's until an operator resumes. data_age_max_s: age of the last trade, from which entry prices count; event_age_max_s: age of the
    event behind the signal; collar: distance of the entry from the last trade. fill_rate_min: if less than this share of the resting entries of
    the last 30 whole days (at least 20 of them) were filled, entries have fill_rate_size times their size until the share is higher; 0 = off.
    """

    def __init__(self, *, order_notional_max=25_000.0, exposure_max=100_000.0, leverage_max=10.0, positions_max=4,
                 orders_per_minute_max=30, orders_per_signal_max=3, daily_loss_max=0.01, weekly_loss_max=0.02,
                 data_age_max_s=1.0, event_age_max_s=2.0, collar=0.02, fill_rate_min=0.0, fill_rate_size=0.5):
        for name, value, high in (("order_notional_max", order_notional_max, 1e12), ("exposure_max", exposure_max, 1e12),
                                  ("leverage_max", leverage_max, 1000.0), ("daily_loss_max", daily_loss_max, 1.0),
                                  ("weekly_loss_max", weekly_loss_max, 1.0), ("data_age_max_s", data_age_max_s, 1e6),
                                  ("event_age_max_s", event_age_max_s, 1e6), ("collar", collar, 1.0)):
            if not 0.0 < real(value, name) <= high:
                raise ValueError(f"{name}: expected a number above 0 and at most {high:g}, got {value!r}")
        if not 1 <= whole(positions_max, "positions_max") <= 100_000:
            raise ValueError(f"positions_max: expected 1 to 100000, got {positions_max}")
        if not 1 <= whole(orders_per_minute_max, "orders_per_minute_max") <= RATE_RING:
            raise ValueError(f"orders_per_minute_max: expected 1 to {int(RATE_RING)}, got {orders_per_minute_max}")
        if not 1 <= whole(orders_per_signal_max, "orders_per_signal_max") <= 4:
            raise ValueError(f"orders_per_signal_max: expected 1 to 4, got {orders_per_signal_max}")
        if not 0.0 <= real(fill_rate_min, "fill_rate_min") <= 1.0:
            raise ValueError(f"fill_rate_min: expected a share from 0 to 1, got {fill_rate_min!r}")
        if not 0.0 < real(fill_rate_size, "fill_rate_size") <= 1.0:
            raise ValueError(f"fill_rate_size: expected a factor above 0 and at most 1, got {fill_rate_size!r}")
        self.limits.fill_rate_min, self.limits.fill_rate_size = fill_rate_min, fill_rate_size
        self.latch.size = 1.0
        self.limits.order_notional_max = order_notional_max
        self.limits.exposure_max = exposure_max
        self.limits.leverage_max = leverage_max
        self.limits.positions_max = positions_max
        self.limits.orders_per_minute_max = orders_per_minute_max
        self.limits.orders_per_signal_max = orders_per_signal_max
        self.limits.daily_loss_max = daily_loss_max
        self.limits.weekly_loss_max = weekly_loss_max
        self.limits.data_age_max_ns = <int64_t> (<double> data_age_max_s * 1e9)
        self.limits.event_age_max_ns = <int64_t> (<double> event_age_max_s * 1e9)
        self.limits.collar = collar

    cdef int approve(self, const ask_t* ask, const instrument_t* i, const market_t* m, bracket_state_t* slots, int count, Account account,
                     int64_t now, AuditRing audit) noexcept nogil:
        """The verdict on one entry: OK or a Reason. It is audited with its numbers."""
        cdef double equity, limit = 0.0
        cdef int reason
        cdef load_t load = self.load_of(ask, slots, count, account, False, now)
        cdef audit_t* a
        self.watch(account, now, audit)
        equity = account.equity_now()
        reason, limit = self.rule(ask, i, m, load.exposure, equity, load.open_count, load.minute, price_of(i, ask.entry_ticks), now)
        a = audit.put(now, AUDIT_RISK, reason, ask.phase, ask.instrument, ask.side, ask.cause)
        a.of.risk.notional = ask.notional
        a.of.risk.limit = limit
        a.of.risk.exposure = load.exposure
        a.of.risk.open_brackets = load.open_count
        a.of.risk.orders_last_minute = load.minute
        a.of.risk.equity = equity
        a.of.risk.day_loss = account.ledger.day_equity - equity
        a.of.risk.week_loss = account.ledger.week_equity - equity
        return reason

    cdef int forecast(self, const ask_t* ask, const instrument_t* i, const market_t* m, bracket_state_t* slots, int count, Account account,
                      int64_t now) noexcept nogil:
        """The result of approve() if the instrument were flat now."""
        cdef load_t load = self.load_of(ask, slots, count, account, True, now)
        cdef int reason
        cdef double limit
        reason, limit = self.rule(ask, i, m, load.exposure, account.equity_now(), load.open_count, load.minute, price_of(i, ask.entry_ticks), now)
        return reason

    cdef load_t load_of(self, const ask_t* ask, bracket_state_t* slots, int count, Account account, bint flat, int64_t now) noexcept nogil:
        """The exposure beside the entry; flat: without that of the entry's own instrument."""
        cdef load_t load
        cdef int n
        cdef int64_t waiting
        cdef const bracket_state_t* s
        load.exposure, load.open_count, load.minute = 0.0, 0, 0
        for n in range(count):
            s = &slots[n]
            if n != ask.instrument or not flat:
                load.exposure += account.exposure_of(n)
            if s.state != BRACKET_FLAT and n != ask.instrument:
                load.open_count += 1
                # quantity without a report counts as filled
                waiting = s.entry.qty - s.entry.filled if order_open(&s.entry) else max(s.entry.executed - s.entry.filled, <int64_t> 0)
                load.exposure += qty_of(&account.instruments[n], waiting) * account.instruments[n].multiplier * \
                    price_of(&account.instruments[n], s.entry.price)
        for n in range(<int> min(self.latch.orders_head, <int64_t> RATE_RING)):
            if now - self.latch.order_times[n] < MINUTE_NS:
                load.minute += 1
        return load

    cdef (int, double) rule(self, const ask_t* ask, const instrument_t* i, const market_t* m, double exposure, double equity, int open_count,
                            int minute, double entry, int64_t now) noexcept nogil:
        """The first limit that the entry would break, and its value."""
        cdef const limits_t* l = &self.limits
        if self.latch.halted:
            return self.latch.halted, 0.0
        if m.gates:
            return NOT_READY, first_gate(m.gates)
        if ask.lots < i.lots_min or ask.notional < i.notional_min:
            return RISK_QTY, i.notional_min
        if ask.notional > l.order_notional_max:
            return RISK_NOTIONAL, l.order_notional_max
        if open_count >= l.positions_max:
            return RISK_POSITIONS, l.positions_max
        if exposure + ask.notional > l.exposure_max:
            return RISK_EXPOSURE, l.exposure_max
        if exposure + ask.notional > l.leverage_max * equity:
            return RISK_LEVERAGE, l.leverage_max * equity
        if minute >= l.orders_per_minute_max:
            return RISK_RATE, l.orders_per_minute_max
        if quote_ended(m, now):
            return QUOTE_ENDED, 0.0
        if now - m.ts_trade > l.data_age_max_ns:
            return RISK_STALE_DATA, l.data_age_max_ns / 1e9
        if entry > m.last * (1.0 + l.collar) or entry < m.last * (1.0 - l.collar):
            return RISK_COLLAR, l.collar
        return OK, 0.0

    cdef void count_order(self, int64_t now) noexcept nogil:
        self.latch.order_times[self.latch.orders_head & (RATE_RING - 1)] = now
        self.latch.orders_head += 1

    cdef void count_entry(self, bracket_state_t* s, int64_t now) noexcept nogil:
        """The bracket of the slot is over: count whether its entry, if it rested, had a fill."""
        cdef int day = now // DAY_NS % FILL_DAYS
        self.latch.fill_day = now // DAY_NS
        if s.counted or s.sequence == 0 or s.spec.entry_type != ORDER_LIMIT:
            return
        s.counted = 1
        if self.latch.placed[day] < 65535:
            self.latch.placed[day] += 1
            self.latch.filled[day] += s.entered > 0

    cdef void watch_fills(self, Account account, int64_t now, AuditRing audit) noexcept nogil:
        """A new day: the share of filled entries in the last 30 days decides the size of the next ones."""
        cdef int today = now // DAY_NS % FILL_DAYS, day, k
        cdef int64_t placed = 0, filled = 0
        cdef double size = 1.0
        cdef audit_t* a
        for k in range(<int> min(now // DAY_NS - self.latch.fill_day, <int64_t> FILL_DAYS) if self.latch.fill_day else 0):
            day = (today + FILL_DAYS - k) % FILL_DAYS
            self.latch.placed[day] = self.latch.filled[day] = 0
        self.latch.fill_day = now // DAY_NS
        for k in range(1, MONTH_DAYS + 1):
            day = (today + FILL_DAYS - k) % FILL_DAYS
            placed += self.latch.placed[day]
            filled += self.latch.filled[day]
        if placed >= FILL_ENTRIES_MIN and filled < self.limits.fill_rate_min * placed:
            size = self.limits.fill_rate_size
        if size == self.latch.size:
            return
        if size < self.latch.size:
            a = audit.put(now, AUDIT_ALARM, OK, ALARM_FILLS, ALL_INSTRUMENTS, 0, 0)
            a.of.alarm.value = filled / <double> placed
            a.of.alarm.limit = self.limits.fill_rate_min
            a.of.alarm.sample = placed
        a = audit.put(now, AUDIT_LIMIT, OK, CONTROL_LOWER, ALL_INSTRUMENTS, 0, 0)
        a.of.limit.value = self.latch.size
        a.of.limit.limit = size
        a.of.limit.equity = account.equity_now()
        a.of.limit.which = <int> LIMIT_SIZE
        self.latch.size = size

    cdef void latch_limit(self, uint8_t reason, double value, double limit, Account account, int64_t now, AuditRing audit) noexcept nogil:
        cdef audit_t* a = audit.put(now, AUDIT_LIMIT, reason, CONTROL_HALT, ALL_INSTRUMENTS, 0, 0)
        self.latch.halted = reason
        a.of.limit.value = value
        a.of.limit.limit = limit
        a.of.limit.equity = account.equity_now()

    cdef int watch(self, Account account, int64_t now, AuditRing audit) noexcept nogil:
        """Latch a loss limit that has been reached (open positions at mark count)."""
        cdef double equity
        if self.latch.halted == RISK_WEEKLY_LOSS or self.latch.halted == HALTED:
            return self.latch.halted
        equity = account.equity_now()
        if account.ledger.week_equity - equity >= self.limits.weekly_loss_max * account.ledger.week_equity:
            self.latch_limit(RISK_WEEKLY_LOSS, account.ledger.week_equity - equity,
                             self.limits.weekly_loss_max * account.ledger.week_equity, account, now, audit)
        elif not self.latch.halted and account.ledger.day_equity - equity >= self.limits.daily_loss_max * account.ledger.day_equity:
            self.latch_limit(RISK_DAILY_LOSS, account.ledger.day_equity - equity,
                             self.limits.daily_loss_max * account.ledger.day_equity, account, now, audit)
        return self.latch.halted

    cdef void control(self, uint8_t code, Account account, int64_t now, AuditRing audit) noexcept nogil:
        """Operator's HALT, RESUME, FLATTEN. RESUME lifts every latch; a loss limit then counts from the present equity, else it would latch again."""
        cdef audit_t* a
        if code == CONTROL_RESUME:
            if self.latch.halted == RISK_DAILY_LOSS or self.latch.halted == RISK_WEEKLY_LOSS:
                account.ledger.day_equity = account.equity_now()
            if self.latch.halted == RISK_WEEKLY_LOSS:
                account.ledger.week_equity = account.ledger.day_equity
            a = audit.put(now, AUDIT_LIMIT, self.latch.halted, CONTROL_RESUME, ALL_INSTRUMENTS, 0, 0)
            a.of.limit.equity = account.equity_now()
            self.latch.halted = OK
            self.latch.flatten = 0
            return
        self.latch.flatten = self.latch.flatten or code == CONTROL_FLATTEN
        self.latch_limit(HALTED, 0.0, 0.0, account, now, audit)

    cdef audit_t* gate(self, const event_t* e, market_t* m, int count, int64_t now, AuditRing audit) noexcept nogil:
        """A gate of these `count` instruments closes or opens. Only a change is audited; NULL = no change."""
        cdef int32_t bit = <int32_t> 1 << e.flags
        cdef int n, changed = 0, closed = 0
        cdef audit_t* a = NULL
        for n in range(count):
            changed += ((m[n].gates & bit) != 0) != (e.code == CONTROL_PAUSE)
            m[n].gates = m[n].gates | bit if e.code == CONTROL_PAUSE else m[n].gates & ~bit
            closed |= m[n].gates
        if changed:
            a = audit.put(now, AUDIT_LIMIT, NOT_READY, e.code, e.instrument, 0, 0)
            a.of.limit.gate = e.flags
            a.of.limit.gates_closed = closed
        return a

    cdef void lower(self, const event_t* e, Account account, int64_t now, AuditRing audit) noexcept nogil:
        """Make a limit stricter; whole numbers are at least 1. Only a change is audited. A loss limit that is already exceeded latches at the next
        check."""
        cdef double before = limit_value(&self.limits, e.flags)
        cdef audit_t* a
        if e.price >= before or (LIMIT_POSITIONS <= e.flags <= LIMIT_ORDERS_PER_SIGNAL and e.price < 1.0):
            return
        set_limit(&self.limits, e.flags, e.price)
        a = audit.put(now, AUDIT_LIMIT, OK, CONTROL_LOWER, ALL_INSTRUMENTS, 0, 0)
        a.of.limit.value = before
        a.of.limit.limit = limit_value(&self.limits, e.flags)
        a.of.limit.equity = account.equity_now()
        a.of.limit.which = e.flags

    cdef void new_day(self, int what, Account account, int64_t now, AuditRing audit) noexcept nogil:
        """The latch of the day's loss limit ends with the day; that of the week stays until a person reviews it and resumes."""
        cdef audit_t* a
        if self.latch.halted == RISK_DAILY_LOSS:
            a = audit.put(now, AUDIT_LIMIT, RISK_DAILY_LOSS, CONTROL_RESUME, ALL_INSTRUMENTS, 0, 0)
            a.of.limit.equity = account.equity_now()
            self.latch.halted = OK
        self.watch_fills(account, now, audit)

    @property
    def size(self) -> float:
        """Factor on the size of entries: below 1 after a month of few fills."""
        return self.latch.size

    def fills(self, int64_t now) -> tuple:
        """(resting entries that ended, those of them with a fill) in the 30 whole days before the day of `now` (ns) and in that day."""
        cdef int today = now // DAY_NS % FILL_DAYS, k
        days = [(today + FILL_DAYS - k) % FILL_DAYS for k in range(MONTH_DAYS + 1)]
        return sum([self.latch.placed[<int> day] for day in days]), sum([self.latch.filled[<int> day] for day in days])

    @property
    def halted(self):
        """The latched Reason, or Reason.OK."""
        return schema.Reason(self.latch.halted)

    @property
    def limits_now(self) -> dict:
        """The limits in force, by the names and in the units of the arguments."""
        return {name: limit_value(&self.limits, limit) for limit, name in LIMIT_NAMES.items()} | \
            {"fill_rate_min": self.limits.fill_rate_min, "fill_rate_size": self.limits.fill_rate_size}

    def snapshot(self) -> bytes:
        """Latches and counts, for restore()."""
        return (<char*> &self.latch)[:sizeof(latch_t)]

    def restore(self, bytes data):
        """Restore a snapshot(); ValueError for another version, or damage."""
        if <size_t> len(data) != sizeof(latch_t):
            raise ValueError(f"risk snapshot: expected {sizeof(latch_t)} bytes, got {len(data)}")
        memcpy(&self.latch, <const char*> data, sizeof(latch_t))
