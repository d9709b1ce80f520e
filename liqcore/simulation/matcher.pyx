"""The matching of an emulated venue: see matcher.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqcore.simulation.book cimport *
from liqcore.event cimport *
from liqcore.event import as_events
from liqcore.instrument cimport Instrument, price_of, ticks_of
from liqcore.market cimport (QUOTE_AGE_NS, last_ticks, mark_alive, market_broken, market_quote, market_ticker, market_trade, moved_last, quote_alive,
                             ticker_states, touch)


cdef class Matcher:
    """Orders of every account on the market data of one venue; matcher.pxd has the methods of `host`.

    instruments: in the order of the events' index. fills, taker, hidden, half_spread (one for all), print_wait_s: as in SimVenue; quote_age_s: as in
    Engine. capacity: largest number of orders at one time.
    """

    def __cinit__(self, instruments, *args, int capacity=4096, **kwargs):
        cdef int k
        self.instruments = tuple(instruments)
        self.count = len(self.instruments)
        if self.count == 0 or not 1 <= capacity <= 1 << 20:
            raise ValueError("Matcher: expected at least one Instrument and a capacity from 1 to 1048576 orders")
        self.capacity = capacity
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.markets = <market_t*> calloc(self.count, sizeof(market_t))
        self.lanes = <lane_t*> calloc(self.count, sizeof(lane_t))
        self.pool = <resting_t*> calloc(capacity, sizeof(resting_t))
        self.met_slot = <int32_t*> calloc(capacity, sizeof(int32_t))
        self.met_id = <int64_t*> calloc(capacity, sizeof(int64_t))
        if (self.inst == NULL or self.markets == NULL or self.lanes == NULL or self.pool == NULL or self.met_slot == NULL
                or self.met_id == NULL):
            raise MemoryError("no memory for the matcher")
        for k in range(self.count):
            self.inst[k] = (<Instrument?> self.instruments[k]).c
            self.lanes[k].first = self.lanes[k].last = -1
            self.lanes[k].dirty = 1
            self.lanes[k].guard_low = -INFINITY
            self.lanes[k].guard_high = INFINITY
        for k in range(capacity):
            self.pool[k].behind = k + 1 if k + 1 < capacity else -1
        self.wake = self.wait_next = NEVER

    def __init__(self, instruments, host, *, str fills="through", str taker="next", str hidden="wait", half_spread=None, double print_wait_s=5.0,
                 double quote_age_s=QUOTE_AGE_NS / 1e9, int capacity=4096):
        for name, value, known in (("fills", fills, ("through", "touch", "queue")), ("taker", taker, ("next", "walk")),
                                   ("hidden", hidden, ("none", "wait"))):
            if value not in known:
                raise ValueError(f"{name}: expected {' or '.join(map(repr, known))}, got {value!r}")
        if not 0.0 < print_wait_s <= 3600.0 or not 0.001 <= quote_age_s <= 1e9:
            raise ValueError(f"expected print_wait_s above 0 to 3600 and quote_age_s from 0.001 to 1e9, got {print_wait_s!r} and {quote_age_s!r}")
        self.half_spread = share_of(half_spread)
        self.print_wait_ns = max(round(print_wait_s * 1e9), 1)
        self.quote_age_ns = round(quote_age_s * 1e9)
        self.host = host
        self.fills = ("through", "touch", "queue").index(fills)
        self.walk = taker == "walk"
        self.hidden = hidden == "wait"

    def __dealloc__(self):
        free(self.inst)
        free(self.markets)
        free(self.lanes)
        free(self.pool)
        free(self.met_slot)
        free(self.met_id)

    # ---- the market ----

    def on_events(self, events):
        """Rows of EVENT_DTYPE in order of ts_recv. ValueError for an unknown instrument, or a time that goes back."""
        cdef Py_buffer buffer
        events = as_events(events)
        PyObject_GetBuffer(events, &buffer, PyBUF_SIMPLE)        # a third of the time of events.ctypes.data, because drivers pass single rows
        try:
            self.run_c(<const event_t*> buffer.buf, len(events))
        finally:
            PyBuffer_Release(&buffer)

    cdef int run_c(self, const event_t* e, Py_ssize_t count) except -1:
        cdef Py_ssize_t k
        for k in range(count):
            if e[k].ts_recv < self.now:
                raise ValueError(f"events[{k}].ts_recv: expected {self.now} or later (rows in order of time), got {e[k].ts_recv}")
            if e[k].kind == FEED:
                self.pass_time(e[k].ts_recv)
                self.feed(&e[k])
            elif e[k].kind == TRADE or e[k].kind == BBO or e[k].kind == TICKER:
                if not 0 <= e[k].instrument < self.count:
                    raise ValueError(f"events[{k}].instrument: expected 0 to {self.count - 1}, got {e[k].instrument}")
                self.step_c(&e[k])
            else:
                self.pass_time(e[k].ts_recv)
        return 0

    def pass_time(self, int64_t ts):
        """Let time pass until `ts`, without events that matter here."""
        while ts >= self.wake or ts >= self.wait_next:
            if self.wake <= self.wait_next:
                self.host.on_time(ts)
            else:
                self.end_waits()
        self.now = max(self.now, ts)

    cdef void feed(self, const event_t* e) noexcept nogil:
        """A connection was lost or dropped data: its values are no longer valid."""
        cdef int n
        for n in range(self.count):
            if e.code != FEED_UP and (e.instrument == n or e.instrument == ALL_INSTRUMENTS):
                market_broken(&self.markets[n], e.flags)

    cdef int step_c(self, const event_t* e) except -1:
        cdef int32_t n = e.instrument
        cdef market_t* m = &self.markets[n]
        cdef const instrument_t* i = &self.inst[n]
        cdef lane_t* l = &self.lanes[n]
        cdef int64_t trade
        cdef int32_t states
        if e.ts_recv >= self.wake or e.ts_recv >= self.wait_next:
            self.pass_time(e.ts_recv)
        self.now = e.ts_recv
        if l.dirty:
            self.bounds(n)
        if e.kind == TRADE:
            trade = ticks_of(i, e.price)
            if trade <= 0:
                return 0
            market_trade(m, e, i.tick)
            if l.live and (l.every or trade <= l.low or trade >= l.high):
                self.meet(e, trade, max(<int64_t> 1, quantity(i, e.qty)))
            if not mark_alive(m, e.ts_recv) and (e.price <= l.guard_low or e.price >= l.guard_high):
                self.host.on_mark(n, e.ts_recv)
        elif e.kind == BBO:
            market_quote(m, e, self.quote_age_ns)
            if l.live and (l.every or ticks_of(i, e.aux_price) <= l.low or ticks_of(i, e.price) >= l.high):
                self.meet(e, 0, 0)
        else:
            market_ticker(m, e)
            states = ticker_states(e)
            if states & STREAM_INDEX and l.live and (e.aux_price <= l.index_low or e.aux_price >= l.index_high):
                self.watch(n, WATCH_INDEX, e.aux_price, e.ts_recv)
            if states & STREAM_MARK:
                if l.live and (e.price <= l.mark_low or e.price >= l.mark_high):
                    self.watch(n, WATCH_MARK, e.price, e.ts_recv)
                if e.price <= l.guard_low or e.price >= l.guard_high:
                    self.host.on_mark(n, e.ts_recv)
        return 0

    cdef void bounds(self, int32_t n) noexcept nogil:
        """Compute the market events of this instrument that can change anything, once after a change of orders. All others then cost one
        comparison."""
        cdef lane_t* l = &self.lanes[n]
        cdef resting_t* r
        cdef double price
        cdef int32_t k = l.first
        l.dirty = 0
        l.low = -1
        l.high = NEVER
        l.every = False
        l.mark_low = l.index_low = -INFINITY
        l.mark_high = l.index_high = INFINITY
        while k >= 0:
            r = &self.pool[k]
            k = r.behind
            if r.o.type == ORDER_STOP_MARKET and r.watch != WATCH_LAST:
                price = price_of(&self.inst[n], r.o.price)
                if r.watch == WATCH_MARK and r.direction > 0:
                    l.mark_high = min(l.mark_high, price)
                elif r.watch == WATCH_MARK:
                    l.mark_low = max(l.mark_low, price)
                elif r.direction > 0:
                    l.index_high = min(l.index_high, price)
                else:
                    l.index_low = max(l.index_low, price)
                continue
            order_bounds(&r.o, r.direction, self.fills, &l.low, &l.high, &l.every)
            if r.trail and r.direction < 0:         # it follows every new extreme
                l.high = min(l.high, r.best + 1)
            elif r.trail:
                l.low = max(l.low, r.best - 1)

    cdef int32_t note(self, int32_t n) noexcept nogil:
        """List the orders of an instrument first, because the host may change them during matching."""
        cdef int32_t k = self.lanes[n].first, count = 0
        while k >= 0:
            self.met_slot[count] = k
            self.met_id[count] = self.pool[k].o.id
            count += 1
            k = self.pool[k].behind
        return count

    cdef int meet(self, const event_t* e, int64_t trade, int64_t lots) except -1:
        """Match the orders of an instrument with a trade (ticks, lots), or with trade = 0 with the present quote."""
        cdef int32_t n = e.instrument, count = self.note(n), k, slot
        cdef const market_t* m = &self.markets[n]
        cdef const instrument_t* i = &self.inst[n]
        cdef resting_t* r
        cdef int64_t price, some
        cdef uint8_t reason = 0
        self.serial += 1
        self.lanes[n].dirty = 1                     # queues shrink, triggers follow
        for k in range(count):                      # an order that takes goes first, because it was sent at an earlier event
            slot = self.met_slot[k]
            r = &self.pool[slot]
            if r.o.id != self.met_id[k] or not r.o.taking or r.o.since == self.serial:
                continue
            price = taker_price(m, i, r.o.side, trade, e.side, e.ts_recv, &reason)
            if price == 0:
                continue
            if r.cap and (price - r.cap) * r.o.side > 0:
                self.host.on_capped(slot, e.ts_recv)
                continue
            some = self.fill(slot, price, (lots if trade else shown(m, i, r.o.side)) if self.walk else <int64_t> NEVER, False, e.ts_recv)
            if self.walk and trade:                 # quantity taken by one order is not available to the next
                lots -= some
        for k in range(count):
            slot = self.met_slot[k]
            r = &self.pool[slot]
            if r.o.id != self.met_id[k] or r.o.taking or r.o.since == self.serial:
                continue
            if r.o.type == ORDER_STOP_MARKET:
                if trade and r.watch == WATCH_LAST:
                    if r.trail and (trade - r.best) * r.direction < 0:
                        r.best = trade
                        r.o.price = trade + r.direction * r.trail
                    if trigger_reached(trade, r.o.price, r.direction):
                        self.fire(slot, e.ts_recv)
                continue
            some = trade_meets(&r.o, self.fills, trade, lots, e.side, &reason) if trade else quote_meets(
                m, i, &r.o, self.fills, self.hidden, &reason, e.ts_recv)
            if some > 0:
                self.fill(slot, r.o.price, some, True, e.ts_recv)
        return 0

    cdef int watch(self, int32_t n, uint8_t which, double price, int64_t ts) except -1:
        """A mark or index price reaches triggers."""
        cdef int32_t count = self.note(n), k
        cdef resting_t* r
        self.serial += 1
        for k in range(count):
            r = &self.pool[self.met_slot[k]]
            if (r.o.id == self.met_id[k] and r.o.type == ORDER_STOP_MARKET and r.watch == which and not r.o.taking
                    and r.o.since != self.serial and self.reached_c(r)):
                self.fire(self.met_slot[k], ts)
        return 0

    cdef int start_waiting(self, resting_t* r, int64_t ts) except -1:
        """The order takes at the next known price."""
        self.takers += 1 - r.o.taking
        r.o.taking = 1
        r.o.since = self.serial
        r.o.wait = ts + self.print_wait_ns
        self.wait_next = min(self.wait_next, r.o.wait)
        self.lanes[r.instrument].dirty = 1
        return 0

    cdef int end_waits(self) except -1:
        """End the waits of orders that found no price in time: see SimVenue.end_wait."""
        cdef int64_t now = self.wait_next, price
        cdef const market_t* m
        cdef resting_t* r
        cdef int32_t n, k, count
        self.now = max(self.now, now)
        for n in range(self.count):
            m = &self.markets[n]
            count = self.note(n)
            for k in range(count):
                r = &self.pool[self.met_slot[k]]
                if r.o.id != self.met_id[k] or not r.o.taking:
                    continue
                if r.o.wait <= now:
                    # a trade before an interruption of the trades gives no price
                    price = 0 if m.broken & STREAM_TRADE else moved_last(m, &self.inst[n], r.o.side, self.half_spread)
                    if quote_alive(m, now):
                        r.o.wait = m.quote_until + 1
                    elif price and r.cap and (price - r.cap) * r.o.side > 0:
                        self.host.on_capped(self.met_slot[k], now)
                    elif price:
                        self.fill(self.met_slot[k], price, NEVER, False, now)
                    if r.o.id == self.met_id[k] and r.o.wait <= now:      # quantity that the host did not execute waits anew
                        r.o.wait = now + max(self.print_wait_ns, <int64_t> WAIT_AGAIN_NS)
        self.find_wait()
        return 0

    cdef void find_wait(self) noexcept nogil:
        """The time at which the first wait ends."""
        cdef int32_t n, k
        self.wait_next = NEVER
        for n in range(self.count if self.takers else 0):
            k = self.lanes[n].first
            while k >= 0:
                if self.pool[k].o.taking:
                    self.wait_next = min(self.wait_next, self.pool[k].o.wait)
                k = self.pool[k].behind

    cdef bint reached_c(self, const resting_t* r) noexcept nogil:
        cdef double price
        if r.watch == WATCH_LAST:
            return trigger_reached(last_ticks(&self.markets[r.instrument], &self.inst[r.instrument]), r.o.price, r.direction)
        price = self.markets[r.instrument].mark if r.watch == WATCH_MARK else self.markets[r.instrument].index
        return price > 0.0 and (price - price_of(&self.inst[r.instrument], r.o.price)) * r.direction >= 0.0

    cdef int fire(self, int32_t slot, int64_t ts) except -1:
        self.host.on_trigger(slot, ts)
        return 0

    cdef int64_t fill(self, int32_t slot, int64_t price, int64_t lots, bint maker, int64_t ts) except -1:
        return self.host.on_fill(slot, price, lots, maker, ts)

    # ---- orders ----

    cdef resting_t* live(self, int slot) except NULL:
        if not 0 <= slot < self.capacity or not self.pool[slot].o.live:
            raise IndexError(f"slot {slot}: no order is there")
        return &self.pool[slot]

    def place(self, int instrument, int side, int64_t price, *, int watch=-1, int direction=0, int64_t trail=0) -> int:
        """Add a new order; returns its slot, -1 if all are in use. arrive() matches it.

        A limit at `price` (ticks); with price 0 one that takes at the next price; with a Watch and a direction one that waits for its trigger at
        `price`, which follows the best price by `trail` ticks.
        """
        cdef int32_t slot = self.free_slot
        cdef resting_t* r
        cdef lane_t* l
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: expected 0 to {self.count - 1}")
        if slot < 0:
            return -1
        r = &self.pool[slot]
        l = &self.lanes[instrument]
        self.free_slot = r.behind
        memset(r, 0, sizeof(resting_t))
        self.ids += 1
        r.o.id = self.ids
        r.o.price = price
        r.o.side = side
        r.o.qty = NEVER                             # the host keeps the remaining quantity
        r.o.live = 1
        r.o.since = self.serial
        r.o.type = ORDER_LIMIT if price else ORDER_MARKET
        r.instrument = instrument
        r.before = l.last
        r.behind = -1
        if l.last >= 0:
            self.pool[l.last].behind = slot
        else:
            l.first = slot
        l.last = slot
        l.live += 1
        l.dirty = 1
        if watch >= 0:
            r.o.type = ORDER_STOP_MARKET
            r.watch = watch
            r.direction = direction
            r.trail = trail
            r.best = price - direction * trail
        elif price == 0:
            self.start_waiting(r, self.now)
        elif self.fills == FILLS_QUEUE:
            r.o.ahead = queue_ahead(&self.markets[instrument], &self.inst[instrument], &r.o, self.hidden, self.now)
        return slot

    def arrive(self, int slot, int64_t ts) -> bool:
        """An order that takes liquidity on arrival takes: the whole order at the live quote, or the shown quantity. False = no live quote: a market
        order waits for a price, a limit order rests."""
        cdef resting_t* r = self.live(slot)
        cdef const market_t* m = &self.markets[r.instrument]
        cdef int64_t near = touch(m, &self.inst[r.instrument], r.o.side, ts)
        if near:
            self.fill(slot, near, shown(m, &self.inst[r.instrument], r.o.side) if self.walk else <int64_t> NEVER, False, ts)
        return near != 0

    def take(self, int slot, int64_t cap=0):
        """The order takes at the next prices, none worse than `cap` (ticks; 0 = any): a market order's rest, a conditional order that has fired."""
        cdef resting_t* r = self.live(slot)
        r.o.type = ORDER_MARKET
        r.cap = cap
        r.trail = 0
        self.start_waiting(r, self.now)

    def rest(self, int slot, int64_t price, bint back=True):
        """A limit order moves to a price (a conditional limit order that has fired: to its own). back: it loses its place in the queue."""
        cdef resting_t* r = self.live(slot)
        r.o.type = ORDER_LIMIT
        r.o.price = price
        r.trail = 0
        if back and self.fills == FILLS_QUEUE:
            r.o.ahead = queue_ahead(&self.markets[r.instrument], &self.inst[r.instrument], &r.o, self.hidden, self.now)
        self.lanes[r.instrument].dirty = 1

    def arm(self, int slot, int64_t price, int64_t trail=0):
        """The trigger of a waiting order moves."""
        cdef resting_t* r = self.live(slot)
        r.o.price = price
        r.trail = trail
        r.best = price - r.direction * trail
        self.lanes[r.instrument].dirty = 1

    def remove(self, int slot):
        """Remove the order."""
        cdef resting_t* r = self.live(slot)
        cdef lane_t* l = &self.lanes[r.instrument]
        if r.before >= 0:
            self.pool[r.before].behind = r.behind
        else:
            l.first = r.behind
        if r.behind >= 0:
            self.pool[r.behind].before = r.before
        else:
            l.last = r.before
        l.live -= 1
        l.dirty = 1
        r.o.live = 0
        r.o.id = 0
        r.behind = self.free_slot
        self.free_slot = slot
        if r.o.taking:
            self.takers -= 1
            if self.takers == 0 or r.o.wait == self.wait_next:      # usually no other order takes, so no list is searched
                self.find_wait()

    # ---- queries ----

    def guard(self, int instrument, double low, double high):
        """Call host.on_mark when the mark (the last trade where no mark is known) is at or beyond these prices."""
        self.lanes[instrument].guard_low = low
        self.lanes[instrument].guard_high = high

    def reached(self, int slot) -> bool:
        """A conditional order's trigger is reached by the price it watches as it is now."""
        return self.reached_c(self.live(slot))

    def trigger(self, int slot) -> int:
        """Ticks of its limit, or of its trigger as it is now."""
        return self.live(slot).o.price

    def touch(self, int instrument, int side) -> int:
        """Ticks at which a buyer (side 1) or seller (-1) would take now; without a valid quote, the last trade moved against him; 0 = none."""
        cdef int64_t near = touch(&self.markets[instrument], &self.inst[instrument], side, self.now)
        return near if near else moved_last(&self.markets[instrument], &self.inst[instrument], side, self.half_spread)

    def shown(self, int instrument, int side) -> int:
        """Lots a taker would get at once: the shown quantity in the model 'walk', else without limit."""
        return shown(&self.markets[instrument], &self.inst[instrument], side) if self.walk else <int64_t> NEVER

    def last(self, int instrument) -> int:
        """Ticks of the last trade; 0 = none."""
        return last_ticks(&self.markets[instrument], &self.inst[instrument])

    def quote(self, int instrument) -> tuple[int, int]:
        """(bid, ask) in ticks; 0 = no live quote."""
        return (touch(&self.markets[instrument], &self.inst[instrument], -1, self.now),
                touch(&self.markets[instrument], &self.inst[instrument], 1, self.now))

    def prices(self, int instrument) -> tuple[float, float, float]:
        """(last, mark, index); an unknown value is the last trade, else the middle of the quote, else 0."""
        cdef const market_t* m = &self.markets[instrument]
        cdef double last = m.last if m.last > 0.0 or not quote_alive(m, self.now) else (m.bid + m.ask) / 2.0
        cdef double mark = m.mark if mark_alive(m, self.now) or m.ts_mark > 0 and m.ts_mark >= m.ts_trade else last
        return last, mark, m.index if m.index > 0.0 else mark

    def rate(self, int instrument) -> float:
        """The funding rate in force."""
        return self.markets[instrument].funding

    def waiting(self, int instrument) -> int:
        """Orders of an instrument, of every account."""
        return self.lanes[instrument].live
