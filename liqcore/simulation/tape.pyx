"""Tapes: see tape.pxd. Everything is checked once, when a tape is made, at the speed of memory. Readers do not check again."""

from functools import partial, reduce
from operator import or_

import numpy as np

from libc.math cimport INFINITY
from libc.stdint cimport INT32_MAX, int8_t, int32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from liqcore.argument cimport describe, truth, whole32
from liqcore.simulation.columns cimport (FLAW_BEFORE, FLAW_LOTS, FLAW_PRICE, FLAW_SIDE, FLAW_TIME, QUOTE_FLAWS, in_band, merge, pyramid_max,
                                         pyramid_min, rank_quotes, rare_before, rare_flaw, search_odd, strip_flaws)
from liqcore.validate cimport validate_event
from liqcore.event cimport ALL_INSTRUMENTS, LIQUIDATION, OK, TICKER
from liqcore.instrument cimport Instrument, instruments_of, price_of
from liqcore.simulation.tape_signals cimport TapeDetector
from liqcore.kernels.first_passage cimport Passage, rows_before

from liqcore.parallel import in_threads
from liqcore.simulation.columns import PLACE_DTYPE, QUOTE_COLUMNS, TRADE_COLUMNS, merge_rare
from liqcore.event import EVENT_DTYPE, as_events
from liqcore.simulation.tape_builder import TapeBuilder

cdef int64_t TIME_END = <int64_t> 1 << 62     # event.TIME_MAX as a 64-bit variable, for Python and min()


cdef size_t _address(object array):
    return array.ctypes.data


def _columns_of(object given, dict columns, str where):
    """The arrays of one table, each with its dtype, contiguous, and all of the same length."""
    out = {}
    for name, dtype in columns.items():
        if name not in given:
            raise ValueError(f"{where}: no column {name}; expected {', '.join(columns)}")
        column = given[name]
        if not isinstance(column, np.ndarray) or column.dtype != dtype or column.ndim != 1:
            raise TypeError(f"{where}: column {name}: expected a one-dimensional NumPy array of {dtype}, got "
                            f"{getattr(column, 'dtype', type(column).__name__)}")
        out[name] = np.ascontiguousarray(column)
    if len({len(column) for column in out.values()}) != 1:
        raise ValueError(f"{where}: columns of different lengths: " + ", ".join(f"{name} {len(c)}" for name, c in out.items()))
    return out


def _join(list parts, int count):
    """Join consecutive parts: concatenated columns, with continued places."""
    for part in parts:
        if len(part["strips"]) != count:
            raise ValueError(f"tape: expected one strip for each of {count} instruments, got {len(part['strips'])}")
    if len(parts) == 1:
        return parts[0]
    strips, shifts = [], np.zeros((len(parts), count + 1, 2), np.int64)
    for n in range(count):
        trades = [_columns_of(p["strips"][n]["trades"], TRADE_COLUMNS, f"part {k}, instrument {n}, trades") for k, p in enumerate(parts)]
        quotes = [_columns_of(p["strips"][n]["quotes"], QUOTE_COLUMNS, f"part {k}, instrument {n}, quotes") for k, p in enumerate(parts)]
        shifts[1:, n, 0] = np.cumsum([len(t["ts"]) for t in trades])[:len(parts) - 1]
        shifts[1:, n, 1] = np.cumsum([len(q["ts"]) for q in quotes])[:len(parts) - 1]
        strips.append({"trades": {name: np.concatenate([t[name] for t in trades]) for name in TRADE_COLUMNS},
                       "quotes": {name: np.concatenate([q[name] for q in quotes]) for name in QUOTE_COLUMNS if name != "trades_before"}
                       | {"trades_before": np.concatenate([q["trades_before"] + shifts[k, n, 0] for k, q in enumerate(quotes)])}})
    places = []
    for k, part in enumerate(parts):
        place, which = part["place"].copy(), part["rare"]["instrument"]
        if len(place) != len(which) or (len(which) and not -1 <= which.min() <= which.max() < count):
            raise ValueError(f"part {k}: rare events and places: expected as many of each, of instruments -1 to {count - 1}")
        which = np.where(which < 0, count, which)
        place["trades_before"] += shifts[k, which, 0]
        place["quotes_before"] += shifts[k, which, 1]
        places.append(place)
    return _ordered(strips, np.concatenate([part["rare"] for part in parts]), np.concatenate(places))


def _ordered(list strips, rare, place):
    """Sort rare events in the order of a tape: by time, at equal times ALL_INSTRUMENTS first, then by instrument, else unchanged."""
    order = np.lexsort((rare["instrument"], rare["ts_recv"]))
    return {"strips": strips, "rare": rare.take(order), "place": place.take(order)}


cdef class Tape:
    """The market events of some instruments over some time, as columns.

    instruments: names or liqcore.Instrument. parts: a result of TapeBuilder.take(), or a list of such parts or tapes in order of time:
    {"strips": [{"trades": {ts, price, lots, side}, "quotes": {ts, bid, ask, bid_lots, ask_lots, trades_before}} per instrument],
    "rare": EVENT_DTYPE array, "place": PLACE_DTYPE array}. The arrays are used directly (a single part is not copied) and must not change; they may
    be memory maps. "index" in trades or quotes: the pyramid, as in Tape.index; a missing one is built. trusted: the columns and indexes are known to
    be valid (a store has checked them), so they are not checked again. threads: number of threads that check columns and build indexes.

    TypeError or ValueError, naming instrument, table and row, if columns contradict each other.
    """

    def __cinit__(self, instruments, *args, **kwargs):
        cdef int n
        self.instruments = instruments_of(instruments, True)
        self.count = len(self.instruments)
        if self.count == 0:
            raise ValueError("tape: expected at least one instrument")
        self.strips = <strip_t*> calloc(self.count, sizeof(strip_t))
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.still = <still_t*> calloc(self.count, sizeof(still_t))
        if self.strips == NULL or self.inst == NULL or self.still == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c

    def __init__(self, instruments, parts, *, trusted=False, threads=1):
        cdef int n
        if self._columns is not None:
            raise RuntimeError("Tape.__init__ called twice: make a new Tape")
        cdef bint sound = truth(trusted, "trusted")
        parts = list(parts) if isinstance(parts, (list, tuple)) else [parts]
        if not all(isinstance(part, (dict, Tape)) for part in parts):
            raise TypeError(f"parts: expected what TapeBuilder.take() gave, or a list of that and of tapes, got {parts!r}")
        parts = _join([part.parts() if isinstance(part, Tape) else part for part in parts], self.count)
        if len(parts["strips"]) != self.count:
            raise ValueError(f"tape: expected one strip for each of {self.count} instruments, got {len(parts['strips'])}")
        self._columns, self._indexes, self._keep = [], [], []
        cdef int32_t workers = whole32(threads, "threads")
        if workers < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        for n in range(self.count):
            self._point(n, parts["strips"][n])
        self._hold(as_events(parts["rare"]), np.ascontiguousarray(parts["place"]))
        if self._place.dtype != PLACE_DTYPE or self._place.shape != self._rare.shape:
            raise ValueError(f"tape: place: expected {len(self._rare)} rows of {PLACE_DTYPE}, one for each rare event")
        self._read([(strip["trades"].get("index"), strip["quotes"].get("index")) for strip in parts["strips"]], sound, workers)

    def _hold(self, rare, place):
        self._rare, self._place = rare, place
        self.rare_n = len(rare)
        self.rare_at = <const event_t*> _address(rare)
        self.place_at = <const rare_t*> _address(place)

    def __dealloc__(self):
        free(self.strips)
        free(self.inst)
        free(self.still)

    def _point(self, int n, strip):
        """Point one strip at its arrays."""
        cdef strip_t* s = &self.strips[n]
        where = self.instruments[n].symbol
        t = _columns_of(strip["trades"], TRADE_COLUMNS, f"tape: {where}: trades")
        q = _columns_of(strip["quotes"], QUOTE_COLUMNS, f"tape: {where}: quotes")
        self._columns.append((t, q))
        s.trades.n = len(t["ts"])
        s.trades.ts = <const int64_t*> _address(t["ts"])
        s.trades.price = <const int32_t*> _address(t["price"])
        s.trades.lots = <const int32_t*> _address(t["lots"])
        s.trades.side = <const int8_t*> _address(t["side"])
        s.quotes.n = len(q["ts"])
        s.quotes.ts = <const int64_t*> _address(q["ts"])
        s.quotes.bid = <const int32_t*> _address(q["bid"])
        s.quotes.ask = <const int32_t*> _address(q["ask"])
        s.quotes.bid_lots = <const int32_t*> _address(q["bid_lots"])
        s.quotes.ask_lots = <const int32_t*> _address(q["ask_lots"])
        s.quotes.trades_before = <const int64_t*> _address(q["trades_before"])

    def _read(self, list indexes, bint trusted, int threads):
        """Check all columns and build missing pyramids, in several threads. indexes: the given pyramids of trades and quotes."""
        cdef int n, parts = 1 if threads == 1 else max(1, 4 * threads // self.count)
        cdef int64_t rows
        pyramids, prices, checks = [], [], [] if trusted else [partial(self._rare_flaw, self._rare, self._place)]
        for n, (of_trades, of_quotes) in enumerate(indexes):
            t, q = self._columns[n]
            pyramids += [partial(Passage, t["price"], None, of_trades, trusted=trusted),
                         partial(Passage, q["ask"], q["bid"], of_quotes, trusted=trusted)]
            rows = self.strips[n].trades.n
            checks += [] if trusted else [partial(self._flaws, n, rows * k // parts, rows * (k + 1) // parts) for k in range(parts)]
            prices += [partial(q["bid"].min, initial=INT32_MAX), partial(q["ask"].max, initial=0)]
        work = [*pyramids, self._scan_rare, *prices, *checks]                # the longest first
        done = in_threads(lambda part: part(), work, threads)
        if checks:
            first = len(work) - len(checks)
            for n in range(self.count):
                self._complain(n, reduce(or_, done[first + 1 + n * parts:first + 1 + (n + 1) * parts]))
            self._complain_rare(self._rare, self._place, done[first])
        self._indexes = [[done[2 * n], done[2 * n + 1], None] for n in range(self.count)]
        for n in range(self.count):
            self.strips[n].trades.index = (<Passage> self._indexes[n][0]).c
            self.strips[n].quotes.index = (<Passage> self._indexes[n][1]).c
            self._measure(n, *done[len(pyramids) + 1 + 2 * n:len(pyramids) + 3 + 2 * n])
        self._span(self.rare_at, self.rare_at + self.rare_n - 1 if self.rare_n else NULL)

    def _flaws(self, int n, int64_t first, int64_t last):
        """The flaws of some trades of a strip and the quotes among them."""
        cdef int flaws
        with nogil:
            flaws = strip_flaws(&self.strips[n], first, last)
        return flaws

    def _complain(self, int n, int flaws):
        """Raise the first fault of a strip, if there is one."""
        t, q = self._columns[n]
        if flaws & (1 << QUOTE_FLAWS) - 1:
            self._complain_of(f"tape: {self.instruments[n].symbol}: trades", t, flaws & (1 << QUOTE_FLAWS) - 1)
        if flaws:
            self._complain_of(f"tape: {self.instruments[n].symbol}: quotes", q, flaws >> QUOTE_FLAWS, t["ts"])

    def _complain_of(self, str where, dict c, int flaws, trades_ts=None):
        """Find the first flawed row and describe its fault."""
        ts = c["ts"]
        if flaws & FLAW_TIME:
            bad = (ts < 0) | (ts >= TIME_END) | np.concatenate([[False], ts[1:] < ts[:len(ts) - 1]])
            what = "ts: expected ns since 1970 that do not fall"
        elif flaws & FLAW_PRICE:
            bad = (c["bid"] <= 0) | (c["ask"] <= c["bid"]) if "bid" in c else c["price"] <= 0
            what = "expected a bid of at least one tick and an ask above it" if "bid" in c else "price: expected at least one tick"
        elif flaws & FLAW_LOTS:
            bad = (c["bid_lots"] < 0) | (c["ask_lots"] < 0) if "bid" in c else c["lots"] <= 0
            what = "expected quantities in lots that are not negative" if "bid" in c else "lots: expected at least one"
        elif flaws & FLAW_SIDE:
            bad = (c["side"] != 1) & (c["side"] != -1)
            what = "side: expected +1 (bought) or -1 (sold)"
        elif flaws & FLAW_BEFORE:
            k = c["trades_before"]
            bad = (k < 0) | (k > len(trades_ts)) | np.concatenate([[False], k[1:] < k[:len(k) - 1]])
            what = f"trades_before: expected counts from 0 to {len(trades_ts)} that do not fall"
        else:
            padded = np.concatenate([[-1], trades_ts, [TIME_END]])
            bad = (padded[c["trades_before"]] > ts) | (padded[c["trades_before"] + 1] < ts)
            what = "trades_before: the trades at that place were received at other times"
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{where}, row {row}: {what}, got " + ", ".join(f"{name} {column[row]}" for name, column in c.items()))

    def _rare_flaw(self, rare, place):
        """The first row of rare events that cannot be where it is, or -1."""
        cdef int64_t row, n = len(rare)
        last = np.zeros(self.count, PLACE_DTYPE)
        cdef rare_t* at = <rare_t*> _address(last)
        cdef const event_t* events = <const event_t*> _address(rare)
        cdef const rare_t* places = <const rare_t*> _address(place)
        with nogil:
            row = rare_flaw(events, places, n, self.strips, at, self.count)
        return row

    def _complain_rare(self, rare, place, int64_t row):
        if row >= 0:
            raise ValueError(f"tape: rare events, row {row}: expected LIQUIDATION, TICKER, FEED, CONTROL, VERDICT, DELEVERAGE or "
                             "VENUE_STATE in order of ts_recv (at equal "
                             f"times by instrument) at its place between trades and quotes, got {rare[row]} at {place[row]}")

    cdef void say(self, int32_t n, const event_t* e, bint moves) noexcept nogil:
        """Add the effect of a liquidation or ticker to its strip. moves: with_liquidations replaces it."""
        cdef market_t fresh
        cdef event_t own = e[0]
        cdef strip_t* s = &self.strips[n]
        memset(&fresh, 0, sizeof(fresh))
        own.instrument = 0
        if validate_event(&own, 0, &fresh, &self.inst[n], 1, 10.0) != OK:
            s.unsound += 1
            self.still[n].unsound += not moves
        elif own.price > 0.0:
            s.price_min = min(s.price_min, own.price)
            s.price_max = max(s.price_max, own.price)
            if not moves:
                self.still[n].price_min = min(self.still[n].price_min, own.price)
                self.still[n].price_max = max(self.still[n].price_max, own.price)

    def _scan_rare(self):
        """Count the rare events that with_liquidations does not replace, and add the effect of all to their strips. They may not be checked yet."""
        cdef int64_t r
        cdef int n
        cdef const event_t* e
        for n in range(self.count):
            self.still[n].price_min, self.still[n].price_max, self.still[n].unsound = INFINITY, 0.0, 0
            self.strips[n].price_min, self.strips[n].price_max = INFINITY, 0.0
        self.still_n, self.still_first, self.still_last = 0, -1, -1
        with nogil:
            for r in range(self.rare_n):
                e = &self.rare_at[r]
                if e.kind != LIQUIDATION:
                    self.still_n += 1
                    self.still_last = r
                    if self.still_first < 0:
                        self.still_first = r
                if (e.kind == LIQUIDATION or e.kind == TICKER) and 0 <= e.instrument < self.count:
                    self.say(e.instrument, e, e.kind == LIQUIDATION)

    def _measure(self, int n, int32_t bid_min, int32_t ask_max):
        """Add trades and quotes to the range of prices that validation compares."""
        cdef strip_t* s = &self.strips[n]
        cdef still_t* still = &self.still[n]
        cdef double low = INFINITY, high = 0.0
        if s.trades.n:
            low, high = price_of(&self.inst[n], pyramid_min(&s.trades.index)), price_of(&self.inst[n], pyramid_max(&s.trades.index))
        if s.quotes.n:
            low, high = min(low, price_of(&self.inst[n], bid_min)), max(high, price_of(&self.inst[n], pyramid_max(&s.quotes.index)))
            s.ask_max = price_of(&self.inst[n], ask_max)
        s.price_min, s.price_max = min(s.price_min, low), max(s.price_max, high)
        still.price_min, still.price_max = min(still.price_min, low), max(still.price_max, high)

    cdef _span(self, const event_t* first, const event_t* last):
        """Set start and end, with the first and the last rare event; NULL: there is none."""
        cdef const strip_t* s
        cdef int n
        self.start, self.end, self.last_ts, self.last_instrument = TIME_END, 0, -1, 0
        if last != NULL:
            self.start, self.end, self.last_ts, self.last_instrument = first.ts_recv, last.ts_recv, last.ts_recv, last.instrument
        for n in range(self.count):
            s = &self.strips[n]
            if s.trades.n:
                self.start, self.end = min(self.start, s.trades.ts[0]), max(self.end, s.trades.ts[s.trades.n - 1])
            if s.quotes.n:
                self.start, self.end = min(self.start, s.quotes.ts[0]), max(self.end, s.quotes.ts[s.quotes.n - 1])
        if self.start == TIME_END:
            self.start = 0

    cdef bint calm(self, int n, const market_t* m, double band):
        """Whether the validation of such an engine accepts all of this instrument's events; then its state need not be updated."""
        return self.strips[n].unsound == 0 and in_band(&self.strips[n], &self.inst[n], m, band)

    cdef tuple odd_rows(self, int n, const market_t* m, double band):
        if in_band(&self.strips[n], &self.inst[n], m, band):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        which = np.flatnonzero(self.rare["instrument"] == n)
        return search_odd(&self.strips[n], &self.inst[n], self.rare_at, self.place_at, which, m, band)

    # ---- reading ----

    @property
    def rare(self):
        """Events other than trades and quotes, EVENT_DTYPE, in the order of the tape."""
        self._join_moved()
        return self._rare

    @property
    def place(self):
        """The place of each rare event among trades and quotes."""
        self._join_moved()
        return self._place

    cdef int _join_moved(self) except -1:
        """One table of rare events, for Python readers; a tape runner reads both tables."""
        if self.moved:
            stays = self._rare["kind"] != LIQUIDATION
            total = self.still_n + self.moved_n
            rare, place = np.empty(total, EVENT_DTYPE), np.empty(total, PLACE_DTYPE)
            still = self._rare.compress(stays), self._place.compress(stays)
            merge_rare([(self._moved, self._moved_place, None, 0, 0), (*still, None, 0, 0)], rare, place)
            self._keep.append((self._rare, self._place))
            self._hold(rare, place)
            self.moved = False
            rows = np.flatnonzero(rare["kind"] != LIQUIDATION)
            self.still_first, self.still_last = (rows[0], rows[len(rows) - 1]) if len(rows) else (-1, -1)
        return 0

    def __len__(self):
        """Number of events."""
        cdef int n
        cdef int64_t total = self.still_n + self.moved_n if self.moved else self.rare_n
        for n in range(self.count):
            total += self.strips[n].trades.n + self.strips[n].quotes.n
        return total

    def _known(self, int n):
        if not 0 <= n < self.count:
            raise IndexError(f"instrument {n}: expected 0 to {self.count - 1}")

    def events(self, instrument=None):
        """All events in the tape's one order as an EVENT_DTYPE array (a copy); ts_event of dense rows is ts_recv. instrument: its events only."""
        cdef int n
        cdef int64_t at = 0
        if instrument is not None:
            self._known(instrument)
        instruments = range(self.count) if instrument is None else (instrument,)
        common = self.rare[self.rare["instrument"] == ALL_INSTRUMENTS] if instrument is None else self.rare[:0]
        sizes = [self.strips[<int> n].trades.n + self.strips[<int> n].quotes.n + np.count_nonzero(self.rare["instrument"] == n) for n in instruments]
        out = np.empty(len(common) + sum(sizes), EVENT_DTYPE)
        out[:len(common)] = common
        at = len(common)
        for n in instruments:
            at += self._merge(n, out, at)
        if len(common) or len(sizes) > 1:
            out = out.take(np.argsort(out["ts_recv"], kind="stable"))
        return out

    def _merge(self, int n, out, int64_t at):
        which = np.flatnonzero(self.rare["instrument"] == n)
        cdef event_t* target = <event_t*> _address(out)
        cdef const int64_t* rows = <const int64_t*> _address(which)
        cdef int64_t count = len(which)
        with nogil:
            count = merge(&self.strips[n], &self.inst[n], n, self.rare_at, self.place_at, rows, count, target + at)
        return count

    def trades(self, int instrument) -> dict:
        """Columns of an instrument's trades: ts (ns), price (ticks), lots, side (+1 bought). Read-only views."""
        self._known(instrument)
        return {name: _read_only(column) for name, column in self._columns[instrument][0].items()}

    def quotes(self, int instrument) -> dict:
        """Columns of an instrument's best bids and asks: ts (ns), bid, ask (ticks), bid_lots, ask_lots, trades_before. Read-only views."""
        self._known(instrument)
        return {name: _read_only(column) for name, column in self._columns[instrument][1].items()}

    def index(self, int instrument) -> dict:
        """{"trades": ..., "quotes": ...}: the pyramids above the columns, each a dict of low, high (int32, flat) and offsets (int64). They may be
        saved beside the columns; liqcore.kernels.first_passage searches them. For quotes low is of the ask, high of the bid."""
        self._known(instrument)
        trades, quotes, _ = self._indexes[instrument]
        return {"trades": dict(trades.index), "quotes": dict(quotes.index)}

    def rank(self, int instrument):
        """Number of an instrument's quotes before each 64th trade row, then of all quotes (int32): the start of a search for the quotes before a
        trade. Computed at the first call."""
        cdef const strip_t* s
        cdef int32_t* out
        self._known(instrument)
        if self._indexes[instrument][2] is None:
            s = &self.strips[instrument]
            rank = np.zeros((s.trades.n >> 6) + 2, np.int32)
            out = <int32_t*> _address(rank)
            with nogil:
                rank_quotes(s, out)
            self._indexes[instrument][2] = rank
        return self._indexes[instrument][2]

    @property
    def nbytes(self):
        """Bytes of columns, pyramids and rare events."""
        total = self.rare.nbytes + self.place.nbytes
        for columns, indexes in zip(self._columns, self._indexes):
            total += sum(c.nbytes for table in columns for c in table.values()) + sum(c.nbytes for p in indexes[:2] for c in p.index.values())
        return total

    # ---- tapes out of tapes ----

    @staticmethod
    def of(instruments, events, double band=10.0):
        """A tape of an EVENT_DTYPE array in order of ts_recv (see TapeBuilder)."""
        builder = TapeBuilder(instruments, band=band)
        builder.push(events)
        return Tape(builder.instruments, builder.take())

    def parts(self) -> dict:
        """Its arrays with the pyramids: Tape(tape.instruments, tape.parts()) is the same tape, and a list of parts is joined."""
        strips = [{"trades": columns[0] | {"index": indexes[0].index}, "quotes": columns[1] | {"index": indexes[1].index}}
                  for columns, indexes in zip(self._columns, self._indexes)]
        return {"strips": strips, "rare": self.rare, "place": self.place}

    def between(self, int64_t start, int64_t end):
        """The tape of start <= ts_recv < end (ns). The columns are shared, not copied."""
        cdef int n
        cdef int64_t t0, t1, q0, q1
        strips = []
        first, last = np.searchsorted(self.rare["ts_recv"], [start, end])
        rare, place = self.rare[first:last], self.place[first:last].copy()
        for n in range(self.count):
            t0 = rows_before(self.strips[n].trades.ts, 0, self.strips[n].trades.n, start)
            t1 = rows_before(self.strips[n].trades.ts, t0, self.strips[n].trades.n, end)
            q0 = rows_before(self.strips[n].quotes.ts, 0, self.strips[n].quotes.n, start)
            q1 = rows_before(self.strips[n].quotes.ts, q0, self.strips[n].quotes.n, end)
            trades, quotes = self._columns[n]
            strips.append({"trades": {name: c[t0:t1] for name, c in trades.items()},
                           "quotes": {name: c[q0:q1] - t0 if name == "trades_before" else c[q0:q1] for name, c in quotes.items()}})
            mine = rare["instrument"] == n
            place["trades_before"][mine] -= t0
            place["quotes_before"][mine] -= q0
        built = Tape(self.instruments, {"strips": strips, "rare": rare, "place": place}, trusted=True)
        return built

    def with_liquidations(self, events):
        """The same tape with other liquidations (EVENT_DTYPE array, any order): each is placed before all other events received at its time. The
        columns are shared. For controls: liquidations moved to random times, or their sides drawn anew."""
        cdef int n
        events = as_events(events)
        if len(events) and not ((events["kind"] == LIQUIDATION).all() and 0 <= events["instrument"].min()
                                and events["instrument"].max() < self.count):
            raise ValueError(f"with_liquidations: expected events of kind LIQUIDATION of instruments 0 to {self.count - 1}")
        place = np.zeros(len(events), PLACE_DTYPE)
        for n in range(self.count):
            mine = events["instrument"] == n
            place["trades_before"][mine] = np.searchsorted(self._columns[n][0]["ts"], events["ts_recv"][mine])
            place["quotes_before"][mine] = np.searchsorted(self._columns[n][1]["ts"], events["ts_recv"][mine])
        order = np.lexsort((events["instrument"], events["ts_recv"]))
        return self._with_moved(events.take(order), place.take(order))

    cdef Tape _with_moved(self, events, place):
        """A tape with the same columns and rare events, and the liquidations, in order, in a separate table."""
        cdef Tape out = Tape.__new__(Tape, self.instruments)
        cdef int n
        cdef int64_t r
        self._join_moved()
        self._complain_rare(events, place, self._rare_flaw(events, place))
        out._columns, out._indexes, out._keep = self._columns, self._indexes, []
        out._hold(self._rare, self._place)
        out._moved, out._moved_place, out.moved, out.moved_n = events, place, True, len(events)
        out.moved_at, out.moved_place_at = <const event_t*> _address(events), <const rare_t*> _address(place)
        out.still_n, out.still_first, out.still_last = self.still_n, self.still_first, self.still_last
        for n in range(self.count):
            out.strips[n], out.still[n] = self.strips[n], self.still[n]
            out.strips[n].price_min, out.strips[n].price_max = self.still[n].price_min, self.still[n].price_max
            out.strips[n].unsound = self.still[n].unsound
        for r in range(out.moved_n):
            out.say(out.moved_at[r].instrument, &out.moved_at[r], True)
        out._span_moved()
        return out

    cdef _span_moved(self):
        cdef const event_t* first = &self.rare_at[self.still_first] if self.still_n else NULL
        cdef const event_t* last = &self.rare_at[self.still_last] if self.still_n else NULL
        if self.moved_n:
            if first == NULL or self.moved_at[0].ts_recv < first.ts_recv:
                first = self.moved_at
            if last == NULL or not rare_before(&self.moved_at[self.moved_n - 1], last):
                last = &self.moved_at[self.moved_n - 1]
        self._span(first, last)

    def signals(self, config=None, double band=10.0, *, double event_age_max_s=2.0, end=None, bint places=False):
        """The signals of Engine(instruments, config, None, Risk(event_age_max_s=event_age_max_s), band=band).run(tape.events()), as an array of
        SIGNAL_DTYPE, without visiting every trade.

        end: let time pass until then, ns, and no further (None = time of the last event). places: return (signals, places). The place of a signal is
        that of its liquidation in the history of its instrument: trades_before, quotes_before, gaps_before (interruptions of the quotes); -1 in all =
        a deadline caused it.
        """
        cdef int n
        cdef market_t fresh
        memset(&fresh, 0, sizeof(fresh))
        cdef TapeDetector listener = TapeDetector(self.instruments, config, band, event_age_max_s)
        self._join_moved()
        listener.point(self.strips, self.rare_at, self.place_at, self.rare_n, self.end if end is None else end)
        for n in range(self.count):
            listener.odd(n, self.odd_rows(n, &fresh, band), self.calm(n, &fresh, band))
        found = listener.listen()
        return found if places else found[0]


def _read_only(column):
    view = column.view()
    view.flags.writeable = False
    return view


describe(Tape, {"instruments": "The instruments, in the order of their indexes.",
                "start": "Time of the first event, ns UTC.",
                "end": "Time of the last event, ns UTC."})
