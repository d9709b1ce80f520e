"""The builder: see tape_builder.pxd."""

import numpy as np

from libc.math cimport fabs
from libc.stdlib cimport calloc, free

from liqcore.argument cimport describe, real
from liqcore.validate cimport SUSPECTS, validate_event
from liqcore.event cimport *
from liqcore.instrument cimport Instrument, instruments_of, lots_of, price_of, qty_of, ticks_of
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_trade, no_market, quotes_interrupted

from liqcore import event as schema
from liqcore.simulation.columns import PLACE_DTYPE, QUOTE_COLUMNS, TRADE_COLUMNS
from liqcore.event import EVENT_DTYPE, as_events

cdef int64_t INT32_MAX = 0x7FFFFFFF
cdef double GRID = 1e-5             # of a tick or lot: error of a double that counts as unrounded
MARKET_KINDS = (schema.Kind.LIQUIDATION, schema.Kind.TRADE, schema.Kind.BBO, schema.Kind.TICKER, schema.Kind.TIMER, schema.Kind.FEED,
                schema.Kind.CONTROL, schema.Kind.VERDICT, schema.Kind.DELEVERAGE, schema.Kind.VENUE_STATE)


cdef size_t _address(object array):
    return array.ctypes.data


cdef class TapeBuilder:
    """Makes the parts of a Tape from events.

    push(events) any number of times, in order of ts_recv; take() returns the columns since the last take(). Each event is first rounded to the
    grid of its instrument. Then the engine's validation checks it (`band` as in Engine), so that an engine accepts every event of the tape.
    Refused events are dropped and counted in `refused`, rounded prices in `off_grid`. Timers only advance the time. Implausible prices that the next
    ones confirm (a relisting) are refused and counted, but are on the tape, because an engine must refuse them to accept the new level at the same
    event. They are dropped if another event of the instrument came between them (an interruption); then an engine refuses four more.
    """

    def __cinit__(self, instruments, *args, **kwargs):
        cdef int n
        self.instruments = instruments_of(instruments, True)
        self.count = len(self.instruments)
        if self.count == 0:
            raise ValueError("instruments: expected at least one name or Instrument")
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.market = <market_t*> calloc(self.count, sizeof(market_t))
        self.strips = <growing_t*> calloc(self.count, sizeof(growing_t))
        if self.inst == NULL or self.market == NULL or self.strips == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
        self._empty()

    def __init__(self, instruments, *, band=10.0):
        if not 1.5 <= real(band, "band") <= 1e6:
            raise ValueError(f"band: expected a factor from 1.5 to 1e6, got {band!r}")
        self.band = band

    def __dealloc__(self):
        free(self.inst)
        free(self.market)
        free(self.strips)

    def _empty(self):
        self._tables = [tuple({name: np.empty(0, dtype) for name, dtype in columns.items()} for columns in (TRADE_COLUMNS, QUOTE_COLUMNS))
                        for _ in range(self.count)]
        self._rare, self._place, self.rare_n = np.empty(0, EVENT_DTYPE), np.empty(0, PLACE_DTYPE), 0

    def push(self, events):
        """Market events (EVENT_DTYPE) in order of ts_recv. ValueError for reports of a venue, which belong to a run and not to a market, and for
        prices of 2**31 ticks and more (the tick size is wrong); after the latter the builder must not be used any more."""
        cdef const event_t* e
        cdef int64_t row, count
        events = as_events(events)
        foreign = np.flatnonzero(~np.isin(events["kind"], MARKET_KINDS) & (events["kind"] >= LIQUIDATION) & (events["kind"] <= FUNDING))
        if len(foreign):
            raise ValueError(f"row {foreign[0]}: expected market events, got a {schema.Kind(events['kind'][foreign[0]]).name}: leave out what a "
                             "venue reports of orders")
        self._make_room(events)
        e = <const event_t*> _address(events)
        count = len(events)
        with nogil:
            row = self.fill(e, count)
        if row >= 0:
            symbol = self.instruments[events["instrument"][row]]
            raise ValueError(f"row {row}: {symbol.symbol}: price {max(events['price'][row], events['aux_price'][row])} is 2**31 ticks of "
                             f"{symbol.tick_size} or more: is the tick size right?")

    def _make_room(self, events):
        """Make room before rows are written."""
        cdef growing_t* s
        cdef int n
        instrument, kind = events["instrument"], events["kind"]
        known = (instrument >= 0) & (instrument < self.count)
        coming = [np.bincount(instrument[known & (kind == k)], minlength=self.count) for k in (TRADE, BBO)]
        for n in range(self.count):
            s = &self.strips[n]
            trades, quotes = self._tables[n]
            _grow(trades, s.trades, s.trades + s.suspects + coming[0][n])
            _grow(quotes, s.quotes, s.quotes + s.suspects + coming[1][n])
            s.trade_ts = <int64_t*> _address(trades["ts"])
            s.trade_price = <int32_t*> _address(trades["price"])
            s.trade_lots = <int32_t*> _address(trades["lots"])
            s.trade_side = <int8_t*> _address(trades["side"])
            s.quote_ts = <int64_t*> _address(quotes["ts"])
            s.quote_bid = <int32_t*> _address(quotes["bid"])
            s.quote_ask = <int32_t*> _address(quotes["ask"])
            s.quote_bid_lots = <int32_t*> _address(quotes["bid_lots"])
            s.quote_ask_lots = <int32_t*> _address(quotes["ask_lots"])
            s.quote_before = <int64_t*> _address(quotes["trades_before"])
        rare = {"rare": self._rare, "place": self._place}
        quotes = events[kind == BBO]        # a quote that is crossed, perhaps only after rounding, is a rare event
        narrow = ~(quotes["aux_price"] - quotes["price"] > 2.0 * max(float(i.tick_size) for i in self.instruments)) | ~(quotes["price"] > 0.0)
        waiting = sum(self.strips[n].suspects for n in range(self.count))
        _grow(rare, self.rare_n, self.rare_n + waiting + len(events) - np.count_nonzero(kind == TRADE) - len(quotes) + np.count_nonzero(narrow))
        self._rare, self._place = rare["rare"], rare["place"]
        self.rare = <event_t*> _address(self._rare)
        self.place = <rare_t*> _address(self._place)

    cdef int32_t lots_near(self, const instrument_t* i, double qty, int64_t* off) noexcept nogil:
        """The lots of a quantity, at least one. off: 0 = on the grid, 1 = rounded, 2 = cut."""
        cdef int64_t lots = lots_of(i, qty)
        off[0] = 0
        if qty == 0.0:
            return 0
        if lots < 0 or lots > INT32_MAX:
            off[0] = 2
            return <int32_t> INT32_MAX
        if fabs(qty / i.lot - <double> lots) > GRID:
            off[0] = 1
        return <int32_t> max(lots, <int64_t> 1)

    cdef int64_t fill(self, const event_t* e, int64_t count) noexcept nogil:
        """Write events to the columns. Returns the row of a price that does not fit, or -1."""
        cdef int64_t row, ticks = 0, aux_ticks = 0, off = 0, aux_off = 0, before = 0
        cdef double doubted = 0.0
        cdef bint known
        cdef uint8_t reason
        cdef event_t r
        cdef instrument_t* i = self.inst
        for row in range(count):
            r = e[row]
            if (r.kind == TRADE or r.kind == BBO) and 0 <= r.instrument < self.count:
                i = &self.inst[r.instrument]
                ticks, aux_ticks = ticks_of(i, r.price), ticks_of(i, r.aux_price)
                off = aux_off = 0
                if 0 < ticks <= INT32_MAX:
                    r.price = price_of(i, ticks)
                if r.kind == BBO and 0 < aux_ticks <= INT32_MAX:
                    r.aux_price = price_of(i, aux_ticks)
                # quantities that validation refuses stay unchanged
                if 0.0 <= r.qty <= (1e15 if r.kind == TRADE else 1e300) and (r.qty > 0.0 or r.kind == BBO):
                    r.qty = qty_of(i, self.lots_near(i, r.qty, &off))
                if r.kind == BBO and 0.0 <= r.aux_qty <= 1e300:
                    r.aux_qty = qty_of(i, self.lots_near(i, r.aux_qty, &aux_off))
            known = 0 <= r.instrument < self.count
            if known:
                before, doubted = self.market[r.instrument].suspects, self.market[r.instrument].suspect
            reason = validate_event(&r, self.now, self.market, self.inst, self.count, self.band)
            if reason == OK or (r.ts_recv >= self.now and 0 <= r.ts_recv < TIME_MAX):
                self.now = r.ts_recv
            if reason != OK:
                self.refusals[reason] += 1
                if reason == BAD_BAND and (before != self.market[r.instrument].suspects or doubted != self.market[r.instrument].suspect):
                    self.suspect(&r)
                if reason == BAD_TIME or reason == BAD_INSTRUMENT or not no_market(&r):
                    continue
                quotes_interrupted(&r)
                self.admit(&r)
                continue
            if r.kind == TRADE or r.kind == BBO:
                if ticks > INT32_MAX or (r.kind == BBO and aux_ticks > INT32_MAX):
                    return row
                self.rounded[0] += fabs(e[row].price / i.tick - <double> ticks) > GRID
                self.rounded[0] += r.kind == BBO and fabs(e[row].aux_price / i.tick - <double> aux_ticks) > GRID
                self.rounded[1] += (off == 1) + (aux_off == 1)
                self.rounded[2] += (off == 2) + (aux_off == 2)
            if known and before == SUSPECTS - 1 and self.market[r.instrument].suspects == 0:
                self.admit_suspects(r.instrument)
            self.admit(&r)
        return -1

    cdef void suspect(self, const event_t* e) noexcept nogil:
        """Keep an implausible price, which later ones may confirm."""
        cdef growing_t* s = &self.strips[e.instrument]
        cdef instrument_t* i = &self.inst[e.instrument]
        cdef int64_t waiting = self.market[e.instrument].suspects - 1
        if waiting == 0:
            s.suspects = 0
        if s.suspects == waiting and max(ticks_of(i, e.price), ticks_of(i, e.aux_price)) <= INT32_MAX:
            s.suspect[waiting] = e[0]
            s.suspects += 1

    cdef void admit_suspects(self, int32_t n) noexcept nogil:
        """The new price level is confirmed: put the refused prices on the tape, at their place, because no other event was admitted since. They stay
        refused: the state of validation is unchanged."""
        cdef growing_t* s = &self.strips[n]
        cdef market_t known = self.market[n]
        cdef int64_t k
        if s.suspects == SUSPECTS - 1:
            for k in range(SUSPECTS - 1):
                self.admit(&s.suspect[k])
            self.market[n] = known

    cdef void admit(self, const event_t* e) noexcept nogil:
        """An event that validation has accepted, on the grid: store it, and keep the values that validation compares with."""
        cdef growing_t* s
        cdef instrument_t* i
        cdef int n
        if e.kind == TIMER:
            return
        for n in range(self.count if e.instrument < 0 else 0):
            self.strips[n].suspects = 0
        if e.instrument >= 0:
            self.strips[e.instrument].suspects = 0
        if e.kind == TRADE:
            s, i = &self.strips[e.instrument], &self.inst[e.instrument]
            s.trade_ts[s.trades] = e.ts_recv
            s.trade_price[s.trades] = <int32_t> ticks_of(i, e.price)
            s.trade_lots[s.trades] = <int32_t> lots_of(i, e.qty)
            s.trade_side[s.trades] = e.side
            s.trades += 1
            market_trade(&self.market[e.instrument], e, i.tick)
            return
        if e.kind == BBO:
            s, i = &self.strips[e.instrument], &self.inst[e.instrument]
            s.quote_ts[s.quotes] = e.ts_recv
            s.quote_bid[s.quotes] = <int32_t> ticks_of(i, e.price)
            s.quote_ask[s.quotes] = <int32_t> ticks_of(i, e.aux_price)
            s.quote_bid_lots[s.quotes] = <int32_t> lots_of(i, e.qty)
            s.quote_ask_lots[s.quotes] = <int32_t> lots_of(i, e.aux_qty)
            s.quote_before[s.quotes] = s.trades
            s.quotes += 1
            market_quote(&self.market[e.instrument], e, QUOTE_AGE_NS)
            return
        if e.kind == LIQUIDATION:
            self.market[e.instrument].good = e.price
        self.rare[self.rare_n] = e[0]
        self.place[self.rare_n].trades_before = self.strips[e.instrument].trades if e.instrument >= 0 else 0
        self.place[self.rare_n].quotes_before = self.strips[e.instrument].quotes if e.instrument >= 0 else 0
        self.rare_n += 1

    def take(self) -> dict:
        """The part of a tape that was pushed since the last take(). Validation keeps its state."""
        cdef int n
        strips = []
        for n in range(self.count):
            trades, quotes = self._tables[n]
            strips.append({"trades": {name: column[:self.strips[n].trades].copy() for name, column in trades.items()},
                           "quotes": {name: column[:self.strips[n].quotes].copy() for name, column in quotes.items()}})
            self.strips[n].trades = self.strips[n].quotes = 0
        rare, place = self._rare[:self.rare_n], self._place[:self.rare_n]
        order = np.lexsort((rare["instrument"], rare["ts_recv"]))
        self._empty()
        return {"strips": strips, "rare": rare.take(order), "place": place.take(order)}

    @property
    def refused(self) -> dict:
        """Number of events that validation refused, by Reason."""
        return {schema.Reason(n): self.refusals[n] for n in range(32) if self.refusals[n]}

    @property
    def off_grid(self) -> dict:
        """Number of prices and quantities of accepted events that were rounded to the tick or lot, and of quantities cut to 2**31 - 1 lots."""
        return {"price": self.rounded[0], "qty": self.rounded[1], "cut": self.rounded[2]}


def _grow(dict columns, int64_t used, int64_t wanted):
    """Make room for `wanted` rows, and half as many more, so that growth is rare."""
    for name, column in columns.items():
        if len(column) < wanted:
            larger = np.empty(max(wanted, used + used // 2), column.dtype)
            larger[:used] = column[:used]
            columns[name] = larger


describe(TapeBuilder, {"instruments": "The instruments, in the order of their indexes."})
