"""The simulated venue: see venue.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, real, whole32
from liqcore.simulation.book cimport *
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, instruments_of, price_of, qty_of, ticks_of
from liqcore.simulation.latency cimport Latency
from liqcore.market cimport last_ticks, mark_alive, moved_last, quote_alive, funding_price, ticker_states, touch
from liqcore.execution.order_state cimport id_role

from liqcore.fees import MAKER_FEE, TAKER_FEE

SNAPSHOT_MAGIC = b"liqcore-simvenue-3\n"
FILLS = ("through", "touch", "queue")
TAKERS = ("next", "walk")
HIDDEN = ("none", "wait")


cdef class SimVenue:
    """A venue simulated from public trades, best bid/ask and tickers. All arguments but the instruments are by name.

    fills, of a resting order: 'through', all of it when a trade or the opposite quote goes strictly beyond its price. 'touch', also by a trade at its
    price, by the trade's quantity. 'queue', as 'through', and trades against it at its price first consume the quantity shown there at its arrival,
    then fill it; hidden='wait': behind the best price an order waits until its level is shown, 'none': such a level counts as empty. taker, of a
    market order, a triggered stop and a limit that crosses: 'next', all of it at the next price; 'walk', at each event at most the quantity shown or
    traded, the rest at the next event. The price is never better than a live quote. Without a live quote it is that of the first later trade of an
    aggressor of its own side, or after print_wait_s that of the last trade moved by half_spread against the order. The same price decides whether a
    post-only order would cross.
    half_spread: share of the price, one for all or one an instrument; None = half of the mean spread of the last 16 quotes, or a tick if there never
    was a quote.
    maker_fee, taker_fee: shares of notional. latency: a Latency, instead of the constants order_latency_s and ack_latency_s.
    funding_interval_s: positions pay or receive funding at its multiples (UTC), 0 = never. leverage: isolated margin of a position is 1 / leverage
    of its entry value; it is liquidated when the rest falls to maintenance_margin, 0 = never.
    """

    def __cinit__(self, instruments, *args, capacity=4096, **kwargs):
        cdef int n, places = whole32(capacity, "capacity")
        self.instruments = instruments_of(instruments, False)
        self.count = len(self.instruments)
        if self.count == 0 or places < 16 or places & (places - 1):
            raise ValueError("SimVenue: expected at least one Instrument and a capacity that is a power of two >= 16")
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.books = <book_t*> calloc(self.count, sizeof(book_t))
        self.arrivals = <request_t*> calloc(places, sizeof(request_t))
        self.reports = <event_t*> calloc(places, sizeof(event_t))
        self.half_spread = <int64_t*> calloc(self.count, sizeof(int64_t))
        self.mask = places - 1
        if self.inst == NULL or self.books == NULL or self.arrivals == NULL or self.reports == NULL or self.half_spread == NULL:
            raise MemoryError("no memory for the simulated venue")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
            self.books[n].funding_at = self.books[n].wait_next = NEVER
        self.state.funding_next = self.state.wait_next = NEVER

    def __init__(self, instruments, *, fills="through", taker="next", hidden="wait", maker_fee=MAKER_FEE,
                 taker_fee=TAKER_FEE, Latency latency=None, order_latency_s=0.05, ack_latency_s=0.05,
                 funding_interval_s=28800.0, leverage=0.0, maintenance_margin=0.005, half_spread=None, print_wait_s=5.0,
                 capacity=4096):
        for name, value, known in (("fills", fills, FILLS), ("taker", taker, TAKERS), ("hidden", hidden, HIDDEN)):
            if value not in known:
                raise ValueError(f"{name}: expected {' or '.join(map(repr, known))}, got {value!r}")
        for name, fee in (("maker_fee", maker_fee), ("taker_fee", taker_fee)):
            if not -0.01 <= real(fee, name) <= 0.01:
                raise ValueError(f"{name}: expected a share of notional from -0.01 to 0.01 (0.0002 = 2 bps), got {fee!r}")
        for name, seconds in (("order_latency_s", order_latency_s), ("ack_latency_s", ack_latency_s)):
            if not 0.0 <= real(seconds, name) <= 3600.0:
                raise ValueError(f"{name}: expected seconds from 0 to 3600, got {seconds!r}")
        for name, value in (("funding_interval_s", funding_interval_s), ("leverage", leverage), ("maintenance_margin", maintenance_margin),
                            ("print_wait_s", print_wait_s)):
            real(value, name)
        if funding_interval_s != 0.0 and not 60.0 <= funding_interval_s <= 604800.0:
            raise ValueError(f"funding_interval_s: expected seconds from 60 to 604800, or 0 for no funding, got {funding_interval_s!r}")
        if leverage != 0.0 and not 1.0 <= leverage <= 1000.0:
            raise ValueError(f"leverage: expected 1 to 1000, or 0 for a position that is never liquidated, got {leverage!r}")
        if not 0.0 <= maintenance_margin < 1.0 or leverage != 0.0 and maintenance_margin >= 1.0 / leverage:
            raise ValueError(f"maintenance_margin: expected a share from 0 to below 1 / leverage, got {maintenance_margin!r}")
        if not 0.0 < print_wait_s <= 3600.0:
            raise ValueError(f"print_wait_s: expected seconds above 0 and at most 3600, got {print_wait_s!r}")
        for n, share in enumerate(shares_of(half_spread, self.count)):
            self.half_spread[n] = share
        self.print_wait_ns = max(round(<double> print_wait_s * 1e9), 1)
        self.fills = FILLS.index(fills)
        self.walk = taker == "walk"
        self.hidden = hidden == "wait"
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee
        self.latency = Latency(order_s=order_latency_s, ack_s=ack_latency_s) if latency is None else latency
        self.funding_ns = round(<double> funding_interval_s * 1e9)
        self.leverage = leverage
        self.margin = 1.0 / <double> leverage - <double> maintenance_margin if leverage != 0.0 else 0.0

    def __dealloc__(self):
        free(self.inst)
        free(self.books)
        free(self.arrivals)
        free(self.reports)
        free(self.half_spread)

    # ---- requests and reports ----

    cdef int submit(self, const request_t* r, int64_t now) noexcept nogil:
        """Send a request to the venue."""
        cdef request_t* a = &self.arrivals[self.state.arrivals_head & self.mask]
        if self.state.arrivals_head - self.state.arrivals_tail > self.mask:
            self.state.lost += 1
            return -1
        a[0] = r[0]
        a.ts = max(self.state.last_arrival, now + self.latency.order_c(r.id, r.action))
        self.state.last_arrival = a.ts
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

    cdef int64_t next_funding(self) noexcept nogil:
        """When fund() must be called; NEVER while nothing is held."""
        return self.state.funding_next

    cdef int64_t next_wait(self) noexcept nogil:
        """Latest time for the next call of end_waits(); the waiting order may have gone meanwhile. NEVER if no order waits."""
        return self.state.wait_next

    cdef void bounds(self, int32_t n, int64_t* low, int64_t* high, bint* every) noexcept nogil:
        """The market events of instrument n that can change anything here: a trade at or below `low` or at or above `high` (ticks), a quote with its
        ask at or below `low` or its bid at or above `high`; `every`: any trade or quote. Tickers must never be skipped."""
        book_bounds(&self.books[n], self.fills, low, high, every)

    cdef event_t* put(self, int32_t n, uint8_t kind, int64_t id, int64_t number, int64_t now) noexcept nogil:
        """Queue an empty report; `number` among the reports on this id."""
        cdef event_t* e
        if self.state.reports_head - self.state.reports_tail > self.mask:
            self.state.lost += 1
            self.state.reports_tail += 1
        e = &self.reports[self.state.reports_head & self.mask]
        self.state.reports_head += 1
        memset(e, 0, sizeof(event_t))
        e.ts_event = now
        e.ts_recv = max(self.state.last_report, now + self.latency.ack_c(id, number))
        self.state.last_report = e.ts_recv
        e.id = id
        e.instrument = n
        e.kind = kind
        return e

    cdef event_t* report(self, sim_order_t* o, int32_t n, uint8_t kind, uint8_t code, uint8_t flags, int64_t now) noexcept nogil:
        cdef event_t* e = self.put(n, kind, o.id, o.report_count, now)
        o.report_count += 1
        e.price = price_of(&self.inst[n], o.price)
        e.qty = qty_of(&self.inst[n], o.qty - o.filled)
        e.aux_qty = qty_of(&self.inst[n], o.filled)
        e.side = o.side
        e.flags = flags
        e.code = code
        return e

    # ---- orders ----

    cdef void end(self, int32_t n, sim_order_t* o, uint8_t status, uint8_t reason, int64_t now) noexcept nogil:
        o.live = 0
        self.books[n].live -= 1
        if (o.id & 15) != ROLE_LIQUIDATION:     # not our order: only its fills are reported
            self.report(o, n, ORDER, status, reason, now)

    cdef void clear(self, int32_t n, int64_t now) noexcept nogil:
        """The position is closed: cancel orders that reduce, with the attached stop."""
        cdef sim_order_t* o
        cdef int k
        for k in range(ORDERS_MAX):
            o = &self.books[n].orders[k]
            if o.live and o.flags & REDUCE_ONLY:
                self.end(n, o, ORDER_CANCELLED, END_REDUCE_ONLY, now)

    cdef void protect(self, int32_t n, sim_order_t entry, int64_t now) noexcept nogil:
        """Place the entry's stop after its first fill. It covers the whole position at its trigger. The entry is passed by value, because a
        completely filled entry gives its place to the stop."""
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
        """Fire a stop whose trigger the last price has reached, also when it is placed or moved there. So a trade beyond an entry and its stop fills
        both, the stop at the next price."""
        if not o.taking and trigger_reached(last_ticks(&self.market[n], &self.inst[n]), o.price, o.side):
            self.start_waiting(n, o, now)
            self.report(o, n, ORDER, ORDER_TRIGGERED, OK, now)

    cdef void schedule(self, int32_t n, int64_t now) noexcept nogil:
        """Schedule the next funding after a position was opened, turned or closed."""
        cdef int64_t paid = self.funding_ns if self.books[n].position else 0
        cdef int k
        self.books[n].funding_at = (now // paid + 1) * paid if paid else NEVER
        self.state.funding_next = NEVER
        for k in range(self.count):
            self.state.funding_next = min(self.state.funding_next, self.books[k].funding_at)

    cdef void fill(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t reason, uint8_t flags, int64_t now) noexcept nogil:
        """An execution of at most `lots`; a reduce-only order never turns the position, a stop covers all of it."""
        cdef book_t* b = &self.books[n]
        cdef int64_t before = b.position, held = book_held(b)
        cdef event_t* e
        lots = min(lots, held if o.type == ORDER_STOP_MARKET else o.qty - o.filled)
        if o.flags & REDUCE_ONLY:
            lots = min(lots, held)
        if lots <= 0:
            return
        o.filled += lots
        book_move(b, o.side, price, lots, self.margin)
        if before == 0 or b.position == 0 or (before > 0) != (b.position > 0):
            b.opened = o.id
            self.schedule(n, now)
        self.state.execution += 1
        e = self.report(o, n, FILL, reason, flags, now)
        e.price = price_of(&self.inst[n], price)
        e.qty = qty_of(&self.inst[n], lots)
        e.aux_price = e.price * e.qty * self.inst[n].multiplier * (self.maker_fee if flags & FILL_MAKER else self.taker_fee)
        e.aux_qty = <double> self.state.execution
        if (lots == held) if o.type == ORDER_STOP_MARKET else (o.filled >= o.qty):
            self.end(n, o, ORDER_DONE, OK, now)
        if b.position == 0:
            self.clear(n, now)
        elif o.stop != 0:
            self.protect(n, o[0], now)

    cdef uint8_t refusal(self, const request_t* r, int64_t near, bint crosses) noexcept nogil:
        """The reason against a new order on its arrival, or OK. near: the price at which it would take; 0 = unknown."""
        cdef const instrument_t* i = &self.inst[r.instrument]
        cdef book_t* b = &self.books[r.instrument]
        cdef bint market = r.type == ORDER_MARKET
        if b.liquidating:
            return END_LIQUIDATED
        if b.live == ORDERS_MAX or (market and near == 0):
            return END_VENUE
        if r.flags & REDUCE_ONLY and b.position * r.side >= 0:
            return END_REDUCE_ONLY
        if r.flags & POST_ONLY and not market and crosses:
            return END_POST_ONLY
        if r.qty <= 0 or r.qty > i.lots_max or not (market or r.price > 0):
            return END_VENUE
        if r.flags & REDUCE_ONLY:       # a position may always be closed
            return OK
        if r.qty < i.lots_min or qty_of(i, r.qty) * i.multiplier * price_of(i, near if market else r.price) < i.notional_min:
            return END_VENUE
        return OK

    cdef void create(self, const request_t* r) noexcept nogil:
        cdef int32_t n = r.instrument
        cdef book_t* b = &self.books[n]
        cdef const market_t* m = &self.market[n]
        cdef const instrument_t* i = &self.inst[n]
        cdef int64_t near = touch(m, i, r.side, r.ts)
        cdef int64_t known = near if near else moved_last(m, i, r.side, self.half_spread[n])
        cdef bint market = r.type == ORDER_MARKET
        # only a live quote shows that an order takes at once; a post-only order is refused if it might
        cdef bint crosses = book_crosses(known if r.flags & POST_ONLY else near, r.price, r.side)
        cdef uint8_t reason = self.refusal(r, known, crosses)
        cdef sim_order_t fresh
        cdef sim_order_t* o = &b.orders[0]
        memset(&fresh, 0, sizeof(fresh))
        fresh.id = r.id
        fresh.price = r.price
        fresh.qty = r.qty
        fresh.side = r.side
        if reason != OK:
            self.report(&fresh, n, ORDER, ORDER_REJECTED, reason, r.ts)
            return
        while o.live:
            o += 1
        fresh.stop = r.stop
        fresh.type = r.type
        fresh.flags = r.flags
        fresh.reason = <uint8_t> r.reserved if id_role(r.id) == ROLE_CLOSE else 0
        fresh.live = 1
        fresh.since = self.state.serial
        if self.fills == FILLS_QUEUE and not market:
            fresh.ahead = queue_ahead(m, i, &fresh, self.hidden, r.ts)
        o[0] = fresh
        b.live += 1
        self.report(o, n, ORDER, ORDER_NEW, OK, r.ts)
        if market and (self.walk or near == 0):
            self.start_waiting(n, o, r.ts)
        if near and (market or (r.type == ORDER_LIMIT and crosses)):
            self.take_now(n, o, near, shown(m, i, r.side) if self.walk else r.qty, 0, r.ts)

    cdef void amend(self, const request_t* r, sim_order_t* o) noexcept nogil:
        """Amend an order: a smaller quantity keeps its place in the queue; a larger one, or another price, goes to its end."""
        cdef bint back = r.price != o.price or r.qty > o.qty
        o.price = r.price
        o.qty = max(r.qty, o.filled)
        if o.qty == o.filled and o.type != ORDER_STOP_MARKET:
            self.end(r.instrument, o, ORDER_CANCELLED, OK, r.ts)
            return
        if back and self.fills == FILLS_QUEUE and o.type == ORDER_LIMIT:
            o.ahead = queue_ahead(&self.market[r.instrument], &self.inst[r.instrument], o, self.hidden, r.ts)
        self.report(o, r.instrument, ORDER, ORDER_NEW, OK, r.ts)
        if o.type == ORDER_STOP_MARKET:
            self.trigger(r.instrument, o, r.ts)

    cdef void arrive(self) noexcept nogil:
        """The oldest request reaches the venue."""
        cdef request_t* r = &self.arrivals[self.state.arrivals_tail & self.mask]
        cdef sim_order_t* o
        cdef sim_order_t missing
        self.state.arrivals_tail += 1
        if r.action == ACTION_CREATE:
            self.create(r)
            return
        o = book_order(&self.books[r.instrument], r.id)
        if o == NULL:
            memset(&missing, 0, sizeof(missing))
            missing.id = r.id
            missing.side = r.side
            self.report(&missing, r.instrument, ORDER, ORDER_REFUSED, END_VENUE, r.ts)
        elif r.action == ACTION_CANCEL:
            self.end(r.instrument, o, ORDER_CANCELLED, OK, r.ts)
        else:
            self.amend(r, o)

    # ---- matching ----

    cdef void take_now(self, int32_t n, sim_order_t* o, int64_t price, int64_t lots, uint8_t flags, int64_t now) noexcept nogil:
        """An order takes. The rest of a market order of the model 'next', which only reduces, is cancelled."""
        cdef int64_t id = o.id
        cdef bint market = o.type == ORDER_MARKET
        self.fill(n, o, price, lots, taker_reason(o), flags, now)
        if market and not self.walk and o.live and o.id == id:      # the stop may have taken a filled entry's place
            self.end(n, o, ORDER_CANCELLED, END_REDUCE_ONLY, now)

    cdef void take(self, int32_t n, const event_t* e, int64_t trade, int64_t lots) noexcept nogil:
        """Orders that wait for the next price take at it."""
        cdef book_t* b = &self.books[n]
        cdef sim_order_t* o
        cdef int64_t price, held
        cdef uint8_t flags = 0
        cdef int k
        for k in range(ORDERS_MAX):
            o = &b.orders[k]
            if not o.live or not o.taking or o.since == self.state.serial:
                continue
            price = taker_price(&self.market[n], &self.inst[n], o.side, trade, e.side, e.ts_recv, &flags)
            if price == 0:
                continue
            if not self.walk:
                self.take_now(n, o, price, NEVER, flags, e.ts_recv)
                continue
            if not trade:
                lots = shown(&self.market[n], &self.inst[n], o.side)
            held = b.position
            self.take_now(n, o, price, lots, flags, e.ts_recv)
            if trade:                   # quantity taken by one order is not available to the next
                lots -= (b.position - held) * (1 if b.position > held else -1)

    cdef void start_waiting(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil:
        """The order takes at the next known price."""
        o.taking = 1
        o.since = self.state.serial
        o.wait = now + self.print_wait_ns
        self.books[n].wait_next = min(self.books[n].wait_next, o.wait)
        self.state.wait_next = min(self.state.wait_next, o.wait)

    cdef void end_wait(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil:
        """The order found no price in time. With a live quote it waits for the next event until that quote ends."""
        cdef int64_t price = moved_last(&self.market[n], &self.inst[n], o.side, self.half_spread[n])
        if quote_alive(&self.market[n], now):
            o.wait = self.market[n].quote_until + 1
        elif price == 0 or self.market[n].broken & STREAM_TRADE:       # a trade before the interruption gives no price
            o.wait = now + max(self.print_wait_ns, <int64_t> WAIT_AGAIN_NS)
        else:
            self.take_now(n, o, price, NEVER, FILL_MOVED, now)

    cdef void end_waits(self) noexcept nogil:
        """End every wait that is over at `now`."""
        cdef int64_t now = self.state.wait_next
        cdef book_t* b
        cdef sim_order_t* o
        cdef int n, k
        self.state.wait_next = NEVER
        for n in range(self.count):
            b = &self.books[n]
            if b.wait_next <= now:
                for k in range(ORDERS_MAX):
                    o = &b.orders[k]
                    if o.live and o.taking and o.wait <= now:
                        self.end_wait(n, o, now)
                book_wait(b)
            self.state.wait_next = min(self.state.wait_next, b.wait_next)

    cdef void meet_trade(self, int32_t n, sim_order_t* o, const event_t* e, int64_t trade, int64_t lots) noexcept nogil:
        """One resting order against a trade (ticks, lots)."""
        cdef uint8_t reason = 0
        if o.type == ORDER_STOP_MARKET:
            self.trigger(n, o, e.ts_recv)
            return
        lots = trade_meets(o, self.fills, trade, lots, e.side, &reason)
        if lots > 0:
            self.fill(n, o, o.price, lots, reason, FILL_MAKER, e.ts_recv)

    cdef void meet_quote(self, int32_t n, sim_order_t* o, int64_t now) noexcept nogil:
        """One resting order against the present quote."""
        cdef uint8_t reason = 0
        cdef int64_t lots
        if o.type == ORDER_STOP_MARKET:
            return
        lots = quote_meets(&self.market[n], &self.inst[n], o, self.fills, self.hidden, &reason, now)
        if lots > 0:
            self.fill(n, o, o.price, lots, reason, FILL_MAKER, now)

    cdef void on_market(self, const event_t* e) noexcept nogil:
        """A trade, a quote or a ticker that the engine's validation has accepted."""
        cdef int32_t n = e.instrument
        cdef book_t* b
        cdef int64_t trade = 0, lots = 0
        cdef int k
        if e.kind == TICKER and ticker_states(e) & STREAM_MARK:
            self.check_liquidation(n, e.price, e.ts_recv)
        if e.kind != TRADE and e.kind != BBO:
            return
        b = &self.books[n]
        if b.live == 0 and b.liquidation == 0:
            return
        if e.kind == TRADE:
            trade = ticks_of(&self.inst[n], e.price)
            lots = max(<int64_t> 1, quantity(&self.inst[n], e.qty))
        self.state.serial += 1
        if b.wait_next != NEVER:            # an order that takes goes first, because it was sent at an earlier event
            self.take(n, e, trade, lots)
        for k in range(ORDERS_MAX):
            if b.orders[k].live and not b.orders[k].taking and b.orders[k].since != self.state.serial:
                if trade:
                    self.meet_trade(n, &b.orders[k], e, trade, lots)
                else:
                    self.meet_quote(n, &b.orders[k], e.ts_recv)
        if trade and not mark_alive(&self.market[n], e.ts_recv):
            self.check_liquidation(n, price_of(&self.inst[n], trade), e.ts_recv)

    # ---- actions of the venue itself ----

    cdef void fund(self) noexcept nogil:
        """Funding of every position that was opened before this moment and is still held: longs pay shorts when the rate is positive."""
        cdef int64_t now = self.state.funding_next, next_one = NEVER
        cdef const instrument_t* i
        cdef const market_t* m
        cdef book_t* b
        cdef event_t* e
        cdef int n, side
        for n in range(self.count):
            b = &self.books[n]
            m = &self.market[n]
            i = &self.inst[n]
            if b.funding_at <= now:
                side = 1 if b.position > 0 else -1
                b.funding_at = now + self.funding_ns
                e = self.put(n, FUNDING, now, n, now)
                e.price = funding_price(m, side, now)
                e.qty = qty_of(i, b.position * side)
                e.aux_price = e.price * e.qty * i.multiplier * m.funding * side
                e.aux_qty = m.funding
                e.side = side
            next_one = min(next_one, b.funding_at)
        self.state.funding_next = next_one

    cdef void check_liquidation(self, int32_t n, double price, int64_t now) noexcept nogil:
        """Liquidate if the price has reached the level, unless an order of ours is already closing the position at the next price."""
        cdef book_t* b = &self.books[n]
        if b.liquidation == 0 or b.liquidating or (price - price_of(&self.inst[n], b.liquidation)) * b.position > 0.0:
            return
        if not book_leaving(b):
            self.liquidate(n, now)

    cdef void liquidate(self, int32_t n, int64_t now) noexcept nogil:
        """The venue cancels our orders and closes the position at the next price, like a stop."""
        cdef book_t* b = &self.books[n]
        cdef sim_order_t* o = &b.orders[0]
        cdef int k
        for k in range(ORDERS_MAX):
            if b.orders[k].live:
                self.end(n, &b.orders[k], ORDER_CANCELLED, END_LIQUIDATED, now)
        memset(o, 0, sizeof(sim_order_t))
        o.id = (b.opened & ~<int64_t> 0xFFF) | ROLE_LIQUIDATION
        o.price = b.liquidation
        o.qty = book_held(b)
        o.side = -1 if b.position > 0 else 1
        o.type = ORDER_STOP_MARKET
        o.flags = REDUCE_ONLY
        o.live = 1
        self.start_waiting(n, o, now)
        b.live = 1
        b.liquidating = 1

    # ---- from Python ----

    cdef int _known(self, int instrument) except -1:
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")
        return 0

    def _identity(self) -> bytes:
        import json

        return json.dumps({"abi": STATE_ABI, "instruments": [i.as_dict() for i in self.instruments], "fills": self.fills,
                           "walk": bool(self.walk), "hidden": bool(self.hidden), "fees": [self.maker_fee, self.taker_fee],
                           "latency": self.latency.as_dict(), "funding_ns": self.funding_ns, "leverage": self.leverage, "margin": self.margin,
                           "half_spread": [self.half_spread[n] for n in range(self.count)], "print_wait_ns": self.print_wait_ns,
                           "capacity": self.mask + 1}, sort_keys=True).encode()

    def orders(self, int instrument) -> list:
        """Live orders of an instrument: dicts of id, price, qty (remaining), side, type, stop, triggered, ahead (the quantity ahead of it in the
        queue; None = its level has not been shown yet)."""
        cdef int k
        cdef sim_order_t* o
        out = []
        self._known(instrument)
        for k in range(ORDERS_MAX):
            o = &self.books[instrument].orders[k]
            if o.live:
                out.append({"id": o.id, "price": price_of(&self.inst[instrument], o.price), "side": o.side, "type": o.type,
                            "qty": qty_of(&self.inst[instrument], o.qty - o.filled), "stop": price_of(&self.inst[instrument], o.stop),
                            "triggered": bool(o.taking),
                            "ahead": None if o.ahead == AHEAD_UNKNOWN else qty_of(&self.inst[instrument], o.ahead)})
        return out

    def position(self, int instrument) -> float:
        """Signed quantity held at the venue."""
        self._known(instrument)
        return qty_of(&self.inst[instrument], self.books[instrument].position)

    def reach(self, int instrument) -> tuple[float, float, bool]:
        """(low, high, every): the market events that can change the orders of this instrument. Trades at or below `low` or at or above `high`, quotes
        with the ask at or below `low` or the bid at or above `high`; or, if `every`, any trade or quote."""
        cdef int64_t low, high
        cdef bint every
        self._known(instrument)
        self.bounds(instrument, &low, &high, &every)
        return (price_of(&self.inst[instrument], low) if low > 0 else 0.0,
                price_of(&self.inst[instrument], high) if high != NEVER else float("inf"), bool(every))

    def liquidation_price(self, int instrument) -> float:
        """Price at which the venue closes the position by force, quote currency; 0 = no position, or never."""
        self._known(instrument)
        return price_of(&self.inst[instrument], self.books[instrument].liquidation)

    @property
    def lost(self):
        """Requests or reports dropped because a ring was full; anything but 0 is a defect of the driver."""
        return self.state.lost

    def snapshot(self) -> bytes:
        """The whole state, for restore()."""
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
        """Restore a snapshot() of a venue with the same instruments; ValueError for others."""
        cdef const char* p
        cdef size_t books = self.count * sizeof(book_t), ring = (self.mask + 1) * sizeof(request_t)
        self.check(data)
        data = data[len(SNAPSHOT_MAGIC) + 8 + len(self._identity()):]
        p = data
        memcpy(&self.state, p, sizeof(sim_t))
        memcpy(self.books, p + sizeof(sim_t), books)
        memcpy(self.arrivals, p + sizeof(sim_t) + books, ring)
        memcpy(self.reports, p + sizeof(sim_t) + books + ring, (self.mask + 1) * sizeof(event_t))


describe(SimVenue, {"instruments": "The instruments, in the order of their indexes.", "latency": "The Latency of requests and reports."})
