"""The account. Values in quote currency (linear contracts: notional = lots * lot size * multiplier * price)."""

from libc.math cimport fabs
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqcore.argument cimport real
from liqcore.audit cimport AUDIT_FUNDING, AuditRing
from liqcore.event cimport OK, audit_t, event_t
from liqcore.instrument cimport Instrument, instruments_of, qty_of

cdef int64_t DAY_NS = 86400000000000
cdef int64_t WEEK_NS = 7 * 86400000000000
cdef int64_t MONDAY_NS = 4 * 86400000000000        # 1970-01-05 was a Monday


cdef class Account:
    """Average-cost positions and equity of one run.

    equity: starting capital in quote currency. Day and week start at 00:00 UTC, the week on Monday.
    """

    def __cinit__(self, instruments, equity=10000.0, *args):
        cdef int n
        cdef double start = real(equity, "equity")
        instruments = instruments_of(instruments, False)
        if not 0.0 < start < 1e15:
            raise ValueError(f"equity: expected a positive amount, got {equity!r}")
        self.count = len(instruments)
        self.positions = <position_t*> calloc(max(1, self.count), sizeof(position_t))
        self.instruments = <instrument_t*> calloc(max(1, self.count), sizeof(instrument_t))
        if self.positions == NULL or self.instruments == NULL:
            raise MemoryError("no memory for the account")
        for n in range(self.count):
            self.instruments[n] = (<Instrument> instruments[n]).c
        self.ledger.equity_start = self.ledger.day_equity = self.ledger.week_equity = start

    def __init__(self, instruments, equity=10000.0):
        pass

    def __dealloc__(self):
        free(self.positions)
        free(self.instruments)

    cdef void fill(self, int32_t instrument, int side, int64_t ticks, int64_t lots, double fee) noexcept nogil:
        """One execution: side +1 bought, -1 sold."""
        cdef position_t* p = &self.positions[instrument]
        cdef const instrument_t* i = &self.instruments[instrument]
        cdef int64_t signed = side * lots
        cdef int64_t closing
        cdef double unit = i.tick * i.lot * i.multiplier
        cdef double average
        p.fees += fee
        if p.lots != 0 and (p.lots > 0) != (signed > 0):
            closing = signed if (signed if signed > 0 else -signed) <= (p.lots if p.lots > 0 else -p.lots) else -p.lots
            average = p.value / <double> p.lots
            p.realized += (average - <double> ticks) * <double> closing * unit
            p.value += average * <double> closing
            p.lots += closing
            signed -= closing
            if p.lots == 0:
                p.value = 0.0
        if signed != 0:
            p.lots += signed
            p.value += <double> ticks * <double> signed
        if p.mark == 0.0:
            p.mark = ticks * i.tick

    cdef void clear_owner(self, int32_t instrument) noexcept nogil:
        """No bracket is open, so there is no position. A remainder comes from exits of another party's position."""
        self.positions[instrument].lots = 0
        self.positions[instrument].value = 0.0

    cdef void fund(self, const event_t* e, int64_t id, int64_t now, AuditRing audit) noexcept nogil:
        """A FUNDING report, counted once per settlement (its ts_event) and audited; id: the entry of the bracket that it belongs to."""
        cdef position_t* p = &self.positions[e.instrument]
        cdef audit_t* a
        if e.ts_event <= p.funded:
            return
        p.funded = e.ts_event
        p.funding += e.aux_price
        a = audit.put(now, AUDIT_FUNDING, OK, 1 if e.side > 0 else 0, e.instrument, e.side, id)
        a.of.funding.mark_price = e.price
        a.of.funding.qty = e.qty
        a.of.funding.paid = e.aux_price
        a.of.funding.rate = e.aux_qty

    cdef void mark(self, int32_t instrument, double price) noexcept nogil:
        self.positions[instrument].mark = price

    cdef double unrealized(self, int32_t instrument) noexcept nogil:
        cdef position_t* p = &self.positions[instrument]
        cdef const instrument_t* i = &self.instruments[instrument]
        if p.lots == 0:
            return 0.0
        return (p.mark / i.tick * <double> p.lots - p.value) * i.tick * i.lot * i.multiplier

    cdef double exposure_of(self, int32_t instrument) noexcept nogil:
        """Absolute notional of the positions, at mark."""
        cdef position_t* p = &self.positions[instrument]
        return fabs(qty_of(&self.instruments[instrument], p.lots)) * self.instruments[instrument].multiplier * p.mark

    cdef double equity_now(self) noexcept nogil:
        cdef double total = self.ledger.equity_start
        cdef int n
        for n in range(self.count):
            total += self.positions[n].realized - self.positions[n].fees - self.positions[n].funding + self.unrealized(n)
        return total

    cdef int roll(self, int64_t now) noexcept nogil:
        """Start a new day or week if `now` is beyond the present one: 1 = a new day, 2 = a new week."""
        cdef double equity
        cdef int what = 0
        if now < self.ledger.day_ends:
            return 0
        equity = self.equity_now()
        what = 1
        self.ledger.day_ends = (now // DAY_NS + 1) * DAY_NS
        self.ledger.day_equity = equity
        if now >= self.ledger.week_ends:
            self.ledger.week_ends = ((now - MONDAY_NS) // WEEK_NS + 1) * WEEK_NS + MONDAY_NS
            self.ledger.week_equity = equity
            what = 2
        return what

    def on_fill(self, int instrument, int side, int64_t ticks, int64_t lots, double fee=0.0):
        """Count one execution (tests, and embedders that keep an account of their own)."""
        self._known(instrument)
        if side not in (1, -1) or ticks <= 0 or lots <= 0:
            raise ValueError(f"fill: expected side +1 or -1 and positive ticks and lots, got {side}, {ticks}, {lots}")
        self.fill(instrument, side, ticks, lots, fee)

    def on_mark(self, int instrument, double price):
        """Set the mark price of an instrument (index, quote currency), which values the open position."""
        self._known(instrument)
        self.mark(instrument, price)

    def on_time(self, int64_t now) -> int:
        """Let time pass to `now`, ns UTC; 1 = a new day has begun, 2 = a new week, too, 0 = neither."""
        return self.roll(now)

    def _known(self, int instrument):
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")

    @property
    def equity(self):
        """Starting capital plus realised and unrealised result, less fees and funding, quote currency."""
        return self.equity_now()

    @property
    def equity_start(self):
        """Starting capital, quote currency."""
        return self.ledger.equity_start

    @property
    def day_start_equity(self):
        """Equity at the last 00:00 UTC, or at the start if that is later, quote currency."""
        return self.ledger.day_equity

    @property
    def week_start_equity(self):
        """Equity at the last Monday 00:00 UTC, or at the start if that is later, quote currency."""
        return self.ledger.week_equity

    def position(self, int instrument) -> dict:
        """qty (signed, quantity units), entry_price (0 when flat), realized, fees, funding, unrealized, notional."""
        self._known(instrument)
        cdef position_t* p = &self.positions[instrument]
        cdef const instrument_t* i = &self.instruments[instrument]
        return {"qty": qty_of(i, p.lots), "entry_price": p.value / p.lots * i.tick if p.lots else 0.0, "realized": p.realized,
                "fees": p.fees, "funding": p.funding, "unrealized": self.unrealized(instrument),
                "notional": self.exposure_of(instrument)}

    def snapshot(self) -> bytes:
        """The whole state, for restore()."""
        return (<char*> &self.ledger)[:sizeof(ledger_t)] + (<char*> self.positions)[:self.count * sizeof(position_t)]

    def restore(self, bytes data):
        """Restore a snapshot() of an account with the same instruments; ValueError for others."""
        self.restore_first(data, self.count)

    def restore_first(self, bytes data, int count):
        """Restore an account that had only the first `count` instruments of this one."""
        cdef const char* p = data
        if count > self.count or <size_t> len(data) != sizeof(ledger_t) + count * sizeof(position_t):
            raise ValueError(f"account snapshot: expected {sizeof(ledger_t) + count * sizeof(position_t)} bytes for "
                             f"{count} of {self.count} instruments, got {len(data)}")
        memcpy(&self.ledger, p, sizeof(ledger_t))
        memcpy(self.positions, p + sizeof(ledger_t), count * sizeof(position_t))
