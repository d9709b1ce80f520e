"""The simulated venue: see simulate.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.event cimport *
from liqcore.instrument cimport Instrument, lots_of, price_of, qty_of, ticks_of

SNAPSHOT_MAGIC = b"liqcore-simvenue-1\n"

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class SimVenue:
    """A venue made of public trades and best bid/ask.

    fills: 'through' fills a resting order when a trade (or the opposite quote) goes strictly beyond its price; 'touch' also when a trade is at its
    price, by the quantity of the trade. Post-only is judged on arrival. A stop-market order triggers on the last price and fills as taker at the
    next price, never better than the quote. Fees are shares of notional per role. Latencies in seconds, constant.
    """

    def __cinit__(self, instruments, *args, int capacity=4096, **kwargs):
        cdef int n
        self.instruments = tuple(instruments)
        self.count = len(self.instruments)
        if self.count == 0 or capacity < 16 or capacity & (capacity - 1):
            raise ValueError("SimVenue: expected at least one Instrument and a capacity that is a power of two >= 16")
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.books = <book_t*> calloc(self.count, sizeof(book_t))
        self.arrivals = <request_t*> calloc(capacity, sizeof(request_t))
        self.reports = <event_t*> calloc(capacity, sizeof(event_t))
        self.mask = capacity - 1
        if self.inst == NULL or self.books == NULL or self.arrivals == NULL or self.reports == NULL:
            raise MemoryError("no memory for the simulated venue")
        for n in range(self.count):
            self.inst[n] = (<Instrument?> self.instruments[n]).c

    def __init__(self, instruments, *, str fills="through", double maker_fee=0.0002, double taker_fee=0.00055, double order_latency_s=0.05,
                 double ack_latency_s=0.05, int capacity=4096):
        if fills not in ("through", "touch"):
            raise ValueError(f"fills: expected 'through' or 'touch', got {fills!r}")
        for name, value in (("maker_fee", maker_fee), ("taker_fee", taker_fee)):
            if not -0.01 <= value <= 0.01:
                raise ValueError(f"{name}: expected a share of notional from -0.01 to 0.01 (0.0002 = 2 bps), got {value!r}")
        for name, value in (("order_latency_s", order_latency_s), ("ack_latency_s", ack_latency_s)):
            if not 0.0 <= value <= 3600.0:
                raise ValueError(f"{name}: expected seconds from 0 to 3600, got {value!r}")
        self.touch = fills == "touch"
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee
        self.order_latency_ns = round(order_latency_s * 1e9)
        self.ack_latency_ns = round(ack_latency_s * 1e9)

    def __dealloc__(self):
        free(self.inst)
        free(self.books)
        free(self.arrivals)
        free(self.reports)

    # ---- in and out ----

    cdef int submit(self, const request_t* r, int64_t now) noexcept nogil:
        """A request leaves for the venue."""
        cdef request_t* a = &self.arrivals[self.state.arrivals_head & self.mask]
        if self.state.arrivals_head - self.state.arrivals_tail > self.mask:
            self.state.lost += 1
            return -1
        a[0] = r[0]
        a.ts = now + self.order_latency_ns
        self.state.arrivals_head += 1
        return 0

    cdef int64_t next_arrival(self) noexcept nogil:
        if self.state.arrivals_tail == self.state.arrivals_head:
            return NEVER
        return self.arrivals[self.state.arrivals_tail & self.mask].ts

    cdef int64_t next_report(self) noexcept nogil:
        if self.state.reports_tail == self.state.reports_head:
            return NEVER
        return self.reports[self.state.reports_tail & self.mask].ts_recv

    cdef event_t* report(self, const sim_order_t* o, int32_t n, uint8_t kind, uint8_t code, uint8_t flags, int64_t now) noexcept nogil:
        cdef event_t* e
        if self.state.reports_head - self.state.reports_tail > self.mask:
            self.state.lost += 1
            self.state.reports_tail += 1
        e = &self.reports[self.state.reports_head & self.mask]
        self.state.reports_head += 1
        memset(e, 0, sizeof(event_t))
        e.ts_event = now
        e.ts_recv = now + self.ack_latency_ns
        e.price = price_of(&self.inst[n], o.price)
        e.qty = qty_of(&self.inst[n], o.qty - o.filled)
        e.aux_qty = qty_of(&self.inst[n], o.filled)
        e.id = o.id
        e.instrument = n
        e.kind = kind
        e.side = o.side
        e.flags = flags
        e.code = code
        return e

    # ---- orders ----

    cdef void end(self, int32_t n, sim_order_t* o, uint8_t status, uint8_t reason, int64_t now) noexcept nogil:
        o.live = 0
        self.books[n].live -= 1
        self.report(o, n, ORDER, status, reason, now)

    cdef void clear(self, int32_t n, int64_t now) noexcept nogil:
        """The position is gone: nothing is left to reduce, and the attached stop goes with it."""
        cdef sim_order_t* o
        cdef int k
        for k in range(ORDERS_MAX):
            o = &self.books[n].orders[k]
            if o.live and o.flags & REDUCE_ONLY:
                self.end(n, o, ORDER_CANCELLED, END_REDUCE_ONLY, now)

    cdef void protect(self, int32_t n, sim_order_t entry, int64_t now) noexcept nogil:
        """The entry's stop follows its first fill; it covers whatever the position is when it triggers. The entry comes by value: when it is
        completely filled, its place is the one that the stop takes."""
        cdef int64_t id = (entry.id & ~<int64_t> 0xFFF) | ROLE_STOP
        cdef sim_order_t* o
        cdef sim_order_t* room = NULL
        cdef int k
        for k in range(ORDERS_MAX):
            o = &self.books[n].orders[k]
            if o.live and o.id == id:
                return
            if not o.live and room == NULL:
                room = o
        if room == NULL:
            return
        memset(room, 0, sizeof(sim_order_t))
        room.id = id
        room.price = entry.stop
        room.qty = entry.qty
        room.side = -entry.side
        room.type = ORDER_STOP_MARKET
        room.flags = REDUCE_ONLY
        room.live = 1
        room.since = self.state.serial
        self.books[n].live += 1
        self.report(room, n, ORDER, ORDER_NEW, OK, now)
        self.trigger(n, room, now)

    cdef void trigger(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil:
        """A stop whose trigger the last price has reached fires, also when it is placed or moved there: the trade that swept through an entry and
        its stop takes both, the stop at the next price."""
        if not o.triggered and self.books[n].last and (self.books[n].last - o.price) * o.side >= 0:
            o.triggered = 1
            o.since = self.state.serial
            self.report(o, n, ORDER, ORDER_TRIGGERED, OK, now)

    cdef void fill(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t reason, bint maker, int64_t now) noexcept nogil:
        """An execution of at most `lots`; a reduce-only order never turns the position."""
        cdef book_t* b = &self.books[n]
        cdef int64_t held = b.position if b.position > 0 else -b.position
        cdef event_t* e
        lots = min(lots, o.qty - o.filled) if o.type != ORDER_STOP_MARKET else held
        if o.flags & REDUCE_ONLY:
            lots = min(lots, held)
        if lots <= 0:
            return
        o.filled += lots
        b.position += o.side * lots
        self.state.execution += 1
        e = self.report(o, n, FILL, reason, FILL_MAKER if maker else 0, now)
        e.price = price_of(&self.inst[n], price)
        e.qty = qty_of(&self.inst[n], lots)
        e.aux_price = e.price * e.qty * self.inst[n].multiplier * (self.maker_fee if maker else self.taker_fee)
        e.aux_qty = <double> self.state.execution
        if o.filled >= o.qty or o.type == ORDER_STOP_MARKET:
            self.end(n, o, ORDER_DONE, OK, now)
        if b.position == 0:
            self.clear(n, now)
        elif o.stop != 0:
            self.protect(n, o[0], now)

    cdef void create(self, const request_t* r) noexcept nogil:
        cdef int32_t n = r.instrument
        cdef book_t* b = &self.books[n]
        cdef sim_order_t* o = NULL
        cdef sim_order_t refused
        cdef int64_t touch = (b.ask if b.ask else b.last) if r.side > 0 else (b.bid if b.bid else b.last)
        cdef bint crosses = touch > 0 and (touch - r.price) * r.side <= 0
        cdef int k
        cdef uint8_t reason = OK
        for k in range(ORDERS_MAX):
            if not b.orders[k].live:
                o = &b.orders[k]
                break
        if o == NULL or (r.type == ORDER_MARKET and touch == 0):
            reason = END_VENUE
        elif r.flags & REDUCE_ONLY and b.position * r.side >= 0:
            reason = END_REDUCE_ONLY
        elif r.flags & POST_ONLY and r.type == ORDER_LIMIT and crosses:
            reason = END_POST_ONLY
        if reason != OK:
            memset(&refused, 0, sizeof(refused))
            refused.id = r.id
            refused.price = r.price
            refused.qty = r.qty
            refused.side = r.side
            self.report(&refused, n, ORDER, ORDER_REJECTED, reason, r.ts)
            return
        memset(o, 0, sizeof(sim_order_t))
        o.id = r.id
        o.price = r.price
        o.qty = r.qty
        o.stop = r.stop
        o.side = r.side
        o.type = r.type
        o.flags = r.flags
        o.live = 1
        o.since = self.state.serial
        b.live += 1
        self.report(o, n, ORDER, ORDER_NEW, OK, r.ts)
        if r.type == ORDER_MARKET:
            self.fill(n, o, touch, r.qty, FILL_TIMEOUT if (r.id & 15) == ROLE_CLOSE else FILL_CROSS, False, r.ts)
            if o.live and o.id == r.id:         # a filled entry's place may have been taken by its stop
                self.end(n, o, ORDER_CANCELLED, END_REDUCE_ONLY, r.ts)
        elif r.type == ORDER_LIMIT and crosses:
            self.fill(n, o, touch, r.qty, FILL_CROSS, False, r.ts)

    cdef void arrive(self) noexcept nogil:
        """The oldest request reaches the venue."""
        cdef request_t* r = &self.arrivals[self.state.arrivals_tail & self.mask]
        cdef sim_order_t* o = NULL
        cdef sim_order_t missing
        cdef int k
        self.state.arrivals_tail += 1
        if r.action == ACTION_CREATE:
            self.create(r)
            return
        for k in range(ORDERS_MAX):
            if self.books[r.instrument].orders[k].live and self.books[r.instrument].orders[k].id == r.id:
                o = &self.books[r.instrument].orders[k]
        if o == NULL:
            memset(&missing, 0, sizeof(missing))
            missing.id = r.id
            missing.side = r.side
            self.report(&missing, r.instrument, ORDER, ORDER_REFUSED, END_VENUE, r.ts)
        elif r.action == ACTION_CANCEL:
            self.end(r.instrument, o, ORDER_CANCELLED, OK, r.ts)
        else:
            o.price = r.price
            o.qty = max(r.qty, o.filled)
            if o.qty == o.filled and o.type != ORDER_STOP_MARKET:
                self.end(r.instrument, o, ORDER_CANCELLED, OK, r.ts)
            else:
                self.report(o, r.instrument, ORDER, ORDER_NEW, OK, r.ts)
                if o.type == ORDER_STOP_MARKET:
                    self.trigger(r.instrument, o, r.ts)

    # ---- matching ----

    cdef void match(self, int32_t n, sim_order_t* o, const event_t* e, int64_t trade, int64_t lots) noexcept nogil:
        """One resting order against one market event: `trade` is its price in ticks, or 0 for a quote."""
        cdef book_t* b = &self.books[n]
        cdef int64_t opposite = b.ask if o.side > 0 else b.bid
        cdef int64_t price
        if o.type == ORDER_STOP_MARKET:
            if o.triggered:
                price = opposite if opposite else b.last
                if trade and (trade - price) * o.side > 0:
                    price = trade
                self.fill(n, o, price, o.qty, FILL_STOP, False, e.ts_recv)
            elif trade:
                self.trigger(n, o, e.ts_recv)
        elif trade and (trade - o.price) * o.side < 0:
            self.fill(n, o, o.price, o.qty, FILL_THROUGH, True, e.ts_recv)
        elif trade == o.price and self.touch:
            self.fill(n, o, o.price, lots, FILL_TOUCH, True, e.ts_recv)
        elif not trade and opposite and (opposite - o.price) * o.side < 0:
            self.fill(n, o, o.price, o.qty, FILL_THROUGH, True, e.ts_recv)

    cdef void on_market(self, const event_t* e) noexcept nogil:
        """A trade or a quote that the engine's door has let in."""
        cdef int32_t n = e.instrument
        cdef book_t* b = &self.books[n]
        cdef int64_t trade = 0, lots = 0
        cdef int k
        if e.kind == TRADE:
            trade = ticks_of(&self.inst[n], e.price)
            lots = max(<int64_t> 1, lots_of(&self.inst[n], e.qty))
            b.last = trade
        elif e.kind == BBO:
            b.bid = ticks_of(&self.inst[n], e.price)
            b.ask = ticks_of(&self.inst[n], e.aux_price)
        else:
            return
        if b.live == 0:
            return
        self.state.serial += 1
        # a stop that has fired goes first: it is on its way since an earlier event
        for k in range(ORDERS_MAX):
            if b.orders[k].live and b.orders[k].triggered and b.orders[k].since != self.state.serial:
                self.match(n, &b.orders[k], e, trade, lots)
        for k in range(ORDERS_MAX):
            if b.orders[k].live and not b.orders[k].triggered and b.orders[k].since != self.state.serial:
                self.match(n, &b.orders[k], e, trade, lots)

    # ---- from Python ----

    cdef int _known(self, int instrument) except -1:
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")
        return 0

    def _identity(self) -> bytes:
        import json

        return json.dumps({"abi": LIQCORE_ABI, "instruments": [i.as_dict() for i in self.instruments], "touch": self.touch,
                           "fees": [self.maker_fee, self.taker_fee], "latency_ns": [self.order_latency_ns, self.ack_latency_ns],
                           "capacity": self.mask + 1}, sort_keys=True).encode()

    def orders(self, int instrument) -> list:
        """Live orders of an instrument: dicts of id, price, qty (remaining), side, type, stop, triggered."""
        cdef int k
        cdef sim_order_t* o
        out = []
        self._known(instrument)
        for k in range(ORDERS_MAX):
            o = &self.books[instrument].orders[k]
            if o.live:
                out.append({"id": o.id, "price": price_of(&self.inst[instrument], o.price), "side": o.side, "type": o.type,
                            "qty": qty_of(&self.inst[instrument], o.qty - o.filled), "stop": price_of(&self.inst[instrument], o.stop),
                            "triggered": bool(o.triggered)})
        return out

    def position(self, int instrument) -> float:
        """Signed quantity held at the venue."""
        self._known(instrument)
        return qty_of(&self.inst[instrument], self.books[instrument].position)

    @property
    def lost(self):
        """Requests or reports dropped because a ring was full; anything but 0 is a defect of the driver."""
        return self.state.lost

    def snapshot(self) -> bytes:
        identity = self._identity()
        return (SNAPSHOT_MAGIC + len(identity).to_bytes(8, "little") + identity + (<char*> &self.state)[:sizeof(sim_t)]
                + (<char*> self.books)[:self.count * sizeof(book_t)]
                + (<char*> self.arrivals)[:(self.mask + 1) * sizeof(request_t)] + (<char*> self.reports)[:(self.mask + 1) * sizeof(event_t)])

    def check(self, bytes data):
        """ValueError unless `data` is a snapshot of a venue like this one."""
        identity = self._identity()
        head = SNAPSHOT_MAGIC + len(identity).to_bytes(8, "little") + identity
        size = len(head) + sizeof(sim_t) + self.count * sizeof(book_t) + (self.mask + 1) * (sizeof(request_t) + sizeof(event_t))
        if data[:len(SNAPSHOT_MAGIC)] != SNAPSHOT_MAGIC:
            raise ValueError("simulated venue snapshot: damaged, or not one of this version of liqcore")
        if data[:len(head)] != head:
            raise ValueError("simulated venue snapshot: taken with other instruments or settings; make the SimVenue with the same ones")
        if <size_t> len(data) != size:
            raise ValueError(f"simulated venue snapshot: expected {size} bytes, got {len(data)}")

    def restore(self, bytes data):
        cdef const char* p
        cdef size_t books = self.count * sizeof(book_t), ring = (self.mask + 1) * sizeof(request_t)
        self.check(data)
        data = data[len(SNAPSHOT_MAGIC) + 8 + len(self._identity()):]
        p = data
        memcpy(&self.state, p, sizeof(sim_t))
        memcpy(self.books, p + sizeof(sim_t), books)
        memcpy(self.arrivals, p + sizeof(sim_t) + books, ring)
        memcpy(self.reports, p + sizeof(sim_t) + books + ring, (self.mask + 1) * sizeof(event_t))
