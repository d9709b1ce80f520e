"""Columns: see columns.pxd. Their checks, and their conversion to events."""

import numpy as np

from libc.stdint cimport int8_t, uint64_t

from liqcore.validate cimport validate_event
from liqcore.event cimport ALL_INSTRUMENTS, CONTROL, DELEVERAGE, FEED, LIQUIDATION, OK, TICKER, TIME_MAX, VENUE_STATE, VERDICT
from liqcore.market cimport QUOTE_AGE_NS, market_quote, market_trade

from liqcore.event import EVENT_DTYPE, as_events

PLACE_DTYPE = np.dtype([("trades_before", "<i8"), ("quotes_before", "<i8")])
TRADE_COLUMNS = {"ts": np.dtype("<i8"), "price": np.dtype("<i4"), "lots": np.dtype("<i4"), "side": np.dtype("i1")}
QUOTE_COLUMNS = {"ts": np.dtype("<i8"), "bid": np.dtype("<i4"), "ask": np.dtype("<i4"), "bid_lots": np.dtype("<i4"),
                 "ask_lots": np.dtype("<i4"), "trades_before": np.dtype("<i8")}


# ---- checks of columns: the passes are in flaws.h ----

cdef extern from "simulation/flaws.h" nogil:
    int trades_flaw(const int64_t* ts, const int32_t* price, const int32_t* lots, const int8_t* side, int64_t first, int64_t last)
    int quote_columns_flaw(const int64_t* ts, const int32_t* bid, const int32_t* ask, const int32_t* bid_lots, const int32_t* ask_lots,
                           const int64_t* before, int64_t first, int64_t last)

cdef enum:
    BLOCK = 1 << 14                  # trades: their columns, and those of the quotes among them, stay in the cache from one pass to the next


cdef int quotes_flaw(const quotes_t* q, const trades_t* t, int64_t first, int64_t last) noexcept nogil:
    cdef int flaws
    if first == last:
        return 0
    flaws = quote_columns_flaw(q.ts, q.bid, q.ask, q.bid_lots, q.ask_lots, q.trades_before, first, last)
    if flaws & FLAW_BEFORE or q.trades_before[first] < 0 or q.trades_before[last - 1] > t.n:
        return flaws | FLAW_BEFORE
    return flaws | (FLAW_PLACE if out_of_place(q, t, first, last) else 0)


cdef bint out_of_place(const quotes_t* q, const trades_t* t, int64_t first, int64_t last) noexcept nogil:
    """Whether a quote is placed behind a later trade, or before an earlier one. The places must not decrease and must be of existing trades. If the
    times have no flaw, all differences are exact, and a negative one has its sign bit set."""
    cdef int64_t i, k
    cdef uint64_t falls = 0
    while t.n and first < last and q.trades_before[first] == 0:
        falls |= <uint64_t> t.ts[0] - <uint64_t> q.ts[first]
        first += 1
    while t.n and first < last and q.trades_before[last - 1] == t.n:
        last -= 1
        falls |= <uint64_t> q.ts[last] - <uint64_t> t.ts[t.n - 1]
    for i in range(first, last if t.n else first):
        k = q.trades_before[i]
        falls |= (<uint64_t> q.ts[i] - <uint64_t> t.ts[k - 1]) | (<uint64_t> t.ts[k] - <uint64_t> q.ts[i])
    return falls >> 63


cdef int64_t quotes_until(const quotes_t* q, int64_t first, const trades_t* t, int64_t trade) noexcept nogil:
    """The first quote behind row `trade` of the trades, from number `first` on. If places decrease it is any number from `first` on."""
    cdef int64_t last = q.n, middle
    while first < last and trade < t.n:
        middle = first + (last - first) // 2
        if q.trades_before[middle] > trade:
            last = middle
        else:
            first = middle + 1
    return last


cdef int strip_flaws(const strip_t* s, int64_t first, int64_t last) noexcept nogil:
    """The flaws of some rows of trades, and << QUOTE_FLAWS those of the quotes among them: behind `first` (at the beginning also before it) and not
    behind `last`. Consecutive parts of the trades cover every quote."""
    cdef const trades_t* t = &s.trades
    cdef int64_t trade = first, until, quote, end, stop
    cdef int flaws = 0
    quote, stop = quotes_until(&s.quotes, 0, &s.trades, first) if first else 0, quotes_until(&s.quotes, 0, &s.trades, last)
    if quote > stop:
        return FLAW_BEFORE << QUOTE_FLAWS
    while trade < last or quote < stop:
        until = min(trade + BLOCK, last)
        end = min(quotes_until(&s.quotes, quote, &s.trades, until), stop) if until < last else stop
        flaws |= trades_flaw(t.ts, t.price, t.lots, t.side, trade, until) | quotes_flaw(&s.quotes, &s.trades, quote, end) << QUOTE_FLAWS
        trade, quote = until, end
    return flaws


cdef int64_t rare_flaw(const event_t* e, const rare_t* at, int64_t n, const strip_t* strips, rare_t* last, int count) noexcept nogil:
    """The first rare event out of order or at an impossible place, or -1. last: one zeroed place for each instrument."""
    cdef int64_t r, t, q
    cdef const strip_t* s
    for r in range(n):
        if not 0 <= e[r].ts_recv < TIME_MAX or not ALL_INSTRUMENTS <= e[r].instrument < count:
            return r
        if e[r].kind != LIQUIDATION and e[r].kind != TICKER and e[r].kind != FEED and e[r].kind != CONTROL and \
                e[r].kind != DELEVERAGE and e[r].kind != VENUE_STATE and (e[r].kind != VERDICT or e[r].instrument != ALL_INSTRUMENTS):
            return r
        if r > 0 and (e[r].ts_recv < e[r - 1].ts_recv or (e[r].ts_recv == e[r - 1].ts_recv and e[r].instrument < e[r - 1].instrument)):
            return r
        t = at[r].trades_before
        q = at[r].quotes_before
        if e[r].instrument == ALL_INSTRUMENTS:
            if t or q or (e[r].kind != FEED and e[r].kind != CONTROL and e[r].kind != VERDICT):
                return r
            continue
        s = &strips[e[r].instrument]
        if not last[e[r].instrument].trades_before <= t <= s.trades.n or not last[e[r].instrument].quotes_before <= q <= s.quotes.n:
            return r
        last[e[r].instrument] = at[r]
        if (t > 0 and s.trades.ts[t - 1] > e[r].ts_recv) or (t < s.trades.n and s.trades.ts[t] < e[r].ts_recv):
            return r
        if (q > 0 and s.quotes.ts[q - 1] > e[r].ts_recv) or (q < s.quotes.n and s.quotes.ts[q] < e[r].ts_recv):
            return r
        if (q > 0 and s.quotes.trades_before[q - 1] > t) or (q < s.quotes.n and s.quotes.trades_before[q] < t):
            return r
    return -1


# ---- rare events of several origins as one table: a heap of runs, the one with the next event on top ----

cdef struct run_t:
    const event_t* events        # in the order of a tape
    const rare_t* place
    int64_t n
    int64_t next
    int64_t trades_before        # added to its places
    int64_t quotes_before
    int64_t rank                 # at equal time and instrument the lower one is first
    int32_t instrument           # of all of its events
    bint own                     # each event has its own instead


cdef inline int32_t instrument_of_run(const run_t* run) noexcept nogil:
    return run.events[run.next].instrument if run.own else run.instrument


cdef inline bint is_before(const run_t* a, const run_t* b) noexcept nogil:
    cdef int64_t x = a.events[a.next].ts_recv, y = b.events[b.next].ts_recv
    if x != y:
        return x < y
    x, y = instrument_of_run(a), instrument_of_run(b)
    return x < y if x != y else a.rank < b.rank


cdef void sink(run_t** heap, int64_t count, int64_t at) noexcept nogil:
    """Move the run at `at` down to where it belongs."""
    cdef run_t* moved = heap[at]
    cdef int64_t child = 2 * at + 1
    while child < count:
        if child + 1 < count and is_before(heap[child + 1], heap[child]):
            child += 1
        if not is_before(heap[child], moved):
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = moved


cdef void merge_runs(run_t** heap, int64_t count, event_t* out, rare_t* place) noexcept nogil:
    cdef int64_t k
    cdef run_t* run
    for k in range(count // 2 - 1, -1, -1):
        sink(heap, count, k)
    k = 0
    while count:
        run = heap[0]
        out[k] = run.events[run.next]
        out[k].instrument = instrument_of_run(run)
        place[k].trades_before = run.place[run.next].trades_before + run.trades_before
        place[k].quotes_before = run.place[run.next].quotes_before + run.quotes_before
        k += 1
        run.next += 1
        if run.next == run.n:
            count -= 1
            heap[0] = heap[count]
        sink(heap, count, 0)


def merge_rare(runs, rare, place):
    """Several tables of rare events, each in the order of a tape, as one: by time, at one time by instrument, else in the order of the list.

    runs: (events, places, instrument of all of them or None = each its own, trades_before, quotes_before: added to the places). rare, place:
    room for the result.
    """
    cdef int64_t k, count, total = 0
    cdef size_t out, at
    held = [(as_events(events), np.ascontiguousarray(places), *more) for events, places, *more in runs if len(events)]
    for events, places, *_ in held:
        total += len(events)
        if places.dtype != PLACE_DTYPE or len(places) != len(events):
            raise ValueError(f"rare events: expected {len(events)} places of {PLACE_DTYPE}, got {len(places)} of {places.dtype}")
    if not len(rare) == len(place) == total or rare.dtype != EVENT_DTYPE or place.dtype != PLACE_DTYPE:
        raise ValueError(f"rare events: expected room for {total} events and places, got {len(rare)} and {len(place)}")
    count = len(held)
    kept, order = np.zeros(count * sizeof(run_t), np.uint8), np.zeros(count, np.uintp)
    cdef run_t* table = <run_t*> <size_t> kept.ctypes.data
    cdef run_t** heap = <run_t**> <size_t> order.ctypes.data
    for k, (events, places, instrument, trades_before, quotes_before) in enumerate(held):
        heap[k] = &table[k]
        table[k].events = <const event_t*> <size_t> events.ctypes.data
        table[k].place = <const rare_t*> <size_t> places.ctypes.data
        table[k].n, table[k].rank, table[k].own = len(events), k, instrument is None
        table[k].instrument = 0 if instrument is None else instrument
        table[k].trades_before, table[k].quotes_before = trades_before, quotes_before
    out, at = rare.ctypes.data, place.ctypes.data
    with nogil:
        merge_runs(heap, count, <event_t*> out, <rare_t*> at)


cdef int64_t merge(const strip_t* s, const instrument_t* i, int32_t n, const event_t* rare, const rare_t* place, const int64_t* which, int64_t rares,
                   event_t* out) noexcept nogil:
    """All events of one instrument in their order; which: its rare events."""
    cdef int64_t t = 0, q = 0, k = 0, r = 0
    while True:
        if r < rares and place[which[r]].trades_before <= t and place[which[r]].quotes_before <= q:
            out[k] = rare[which[r]]
            r += 1
        elif quote_is_next(s, t, q):
            quote_event(s, i, n, q, &out[k])
            q += 1
        elif t < s.trades.n:
            trade_event(s, i, n, t, &out[k])
            t += 1
        else:
            return k
        k += 1


cdef int64_t pyramid_min(const pyramid_t* p) noexcept nogil:
    cdef int64_t k, out = p.low[p.levels - 1][0]
    for k in range(p.count[p.levels - 1]):
        out = min(out, <int64_t> p.low[p.levels - 1][k])
    return out


cdef int64_t pyramid_max(const pyramid_t* p) noexcept nogil:
    cdef int64_t k, out = p.high[p.levels - 1][0]
    for k in range(p.count[p.levels - 1]):
        out = max(out, <int64_t> p.high[p.levels - 1][k])
    return out


cdef bint in_band(const strip_t* s, const instrument_t* i, const market_t* m, double band) noexcept nogil:
    """Whether no price of the strip is implausible relative to any other, or to the market before the strip."""
    cdef double least = s.price_min, most = max(s.price_max, s.ask_max)
    if m.good > 0.0:
        least = min(least, m.good)
        most = max(most, m.good)
    return m.suspects == 0 and most <= least * band * (1.0 - 1e-9) and qty_of(i, 0x7FFFFFFF) <= 1e15


cdef tuple search_odd(const strip_t* s, const instrument_t* i, const event_t* rare, const rare_t* place, object which, const market_t* before,
                      double band):
    """(rows of trades, rows of quotes) of one instrument that the validation of an engine with this band, and this market before the tape, may
    refuse, found by that validation. A caller that skips rows must not skip these. There are none if all is in_band. which: its rare events."""
    cdef market_t m = before[0]
    cdef int64_t t = 0, q = 0, r = 0, rares = len(which)
    cdef size_t address = which.ctypes.data
    cdef const int64_t* rows = <const int64_t*> address
    cdef event_t e
    cdef bint quote, odd
    trades, quotes = [], []
    while t < s.trades.n or q < s.quotes.n:
        if r < rares and place[rows[r]].trades_before <= t and place[rows[r]].quotes_before <= q:
            e = rare[rows[r]]
            e.instrument = 0
            r += 1
            if validate_event(&e, 0, &m, i, 1, band) == OK and e.kind == LIQUIDATION:
                m.good = e.price
            continue
        quote = quote_is_next(s, t, q)
        if quote:
            quote_event(s, i, 0, q, &e)
        else:
            trade_event(s, i, 0, t, &e)
        odd = m.suspects > 0
        if validate_event(&e, 0, &m, i, 1, band) != OK:
            odd = True
        elif quote:
            market_quote(&m, &e, QUOTE_AGE_NS)
        else:
            market_trade(&m, &e, i.tick)
        if odd:
            (quotes if quote else trades).append(q if quote else t)
        if quote:
            q += 1
        else:
            t += 1
    return np.array(trades, np.int64), np.array(quotes, np.int64)
