"""The kernels under the features: sums per side, a value's course, candles, running cascades and the history of a feature on a grid of times.

A window of W ns is made of slots of W/120 (W/125 where that is not whole milliseconds), counted from 1970: at time t it holds the slot of t and
the 120 (125) before it. So memory does not depend on the number of events, and nothing is dropped. At every multiple of a slot the window is exactly
the last W; in between it reaches back at most one slot more. Slots are exact (128-bit integers, see window.h), and so are the sums read from them.

Times are never negative and never go back: validation refuses such events.
"""

from libc.math cimport NAN, fabs, fmax, fmin, isnan, sqrt
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t

from liqcore.kernels.quantile cimport quantile_count, quantile_push, quantile_reached, quantile_t
from liqcore.kernels.window cimport WINDOW_NOTIONAL_MAX

cdef extern from * nogil:
    """
    #include "kernels/window.h"
    enum { SLOT_RING = 128, SUMS_CELL_BYTES = 48 };   /* slots + 2 fit: the slot before the window is still there */

    typedef struct { window_sum_t sum[2]; double max; uint32_t count[2]; } sums_cell_t;
    typedef struct {
        sums_cell_t* cells;
        int64_t step_ns;
        int64_t slot;             /* running slot; -1 = none yet */
        int64_t ends;             /* first ns after it */
        int64_t count[2];
        window_sum_t sum[2];
        int64_t slots;
    } sums_t;

    static inline void sums_reset(sums_t* w) {
        memset(w->cells, 0, SLOT_RING * sizeof(sums_cell_t));
        w->slot = -1;
        w->ends = 0;
        w->sum[0] = w->sum[1] = 0;
        w->count[0] = w->count[1] = 0;
    }

    static void sums_roll(sums_t* w, int64_t ts) {
        int64_t to = ts / w->step_ns, from = w->slot;
        if (from < 0 || to - from > w->slots) {                        /* everything inside leaves */
            if (w->count[0] | w->count[1]) sums_reset(w);
        } else {
            for (int64_t k = from + 1; k <= to; k++) {
                sums_cell_t* cell = &w->cells[(uint64_t) (k - w->slots - 1) & (SLOT_RING - 1)];
                if (!(cell->count[0] | cell->count[1])) continue;
                for (int i = 0; i < 2; i++) {
                    w->sum[i] -= cell->sum[i];
                    w->count[i] -= cell->count[i];
                }
                memset(cell, 0, sizeof(*cell));
            }
        }
        w->slot = to;
        w->ends = (to + 1) * w->step_ns;
    }

    static inline void sums_advance(sums_t* w, int64_t ts) {
        if (ts >= w->ends) sums_roll(w, ts);
    }

    static inline void sums_push(sums_t* w, int64_t ts, int side, double x) {      /* x >= 0 */
        sums_advance(w, ts);
        sums_cell_t* cell = &w->cells[(uint64_t) w->slot & (SLOT_RING - 1)];
        int i = side < 0;
        x = x < WINDOW_NOTIONAL_MAX ? x : WINDOW_NOTIONAL_MAX;
        window_sum_t n = window_integer(x);
        cell->sum[i] += n;
        w->sum[i] += n;
        cell->count[i]++;
        w->count[i]++;
        if (x > cell->max) cell->max = x;
    }

    static inline double sums_long(const sums_t* w) { return window_double(w->sum[0]); }
    static inline double sums_short(const sums_t* w) { return window_double(w->sum[1]); }
    static inline double sums_total(const sums_t* w) { return window_double(w->sum[0] + w->sum[1]); }
    static inline double sums_net(const sums_t* w) {                   /* long - short of the exact sums, rounded once */
        window_sum_t net = w->sum[0] - w->sum[1];
        return net < 0 ? -window_double(-net) : window_double(net);
    }
    static inline double sums_max(const sums_t* w) {
        double most = 0.0;
        for (int k = 0; k < SLOT_RING; k++) if (w->cells[k].max > most) most = w->cells[k].max;
        return most;
    }
    static inline double sums_slot(const sums_t* w, int64_t slot) {
        const sums_cell_t* cell = &w->cells[(uint64_t) slot & (SLOT_RING - 1)];
        return window_double(cell->sum[0] + cell->sum[1]);
    }
    """
    enum:
        SLOT_RING
        SUMS_CELL_BYTES
    ctypedef struct sums_cell_t:
        pass
    ctypedef struct sums_t:
        sums_cell_t* cells
        int64_t step_ns
        int64_t slot
        int64_t ends
        int64_t slots
        int64_t count[2]
    void sums_reset(sums_t* w) noexcept
    void sums_advance(sums_t* w, int64_t ts) noexcept
    void sums_push(sums_t* w, int64_t ts, int side, double x) noexcept     # side: LONG or bought = +1, SHORT or sold = -1
    double sums_long(const sums_t* w) noexcept
    double sums_short(const sums_t* w) noexcept
    double sums_total(const sums_t* w) noexcept
    double sums_net(const sums_t* w) noexcept
    double sums_max(const sums_t* w) noexcept
    double sums_slot(const sums_t* w, int64_t slot) noexcept               # both sides of one slot of the window

ctypedef struct track_cell_t:    # one slot of a value over time
    double high                  # highest value in the slot, including that at its beginning
    double low
    double last

ctypedef struct track_t:         # a value that is valid until it changes: a price, open interest, a funding rate
    track_cell_t* cells
    int64_t step_ns
    int64_t slot
    int64_t ends
    int64_t slots
    double value                 # nan = not known

ctypedef struct bar_t:
    double open
    double high
    double low
    double close

cdef enum:
    ATR_BARS = 14

ctypedef struct candles_t:
    int64_t step_ns
    int64_t bar                  # running bar; -1 = none yet
    int64_t ends
    int64_t closed
    bar_t running
    bar_t done                   # the last complete one
    double ranges[ATR_BARS]      # true ranges; the newest at (closed - 1) mod ATR_BARS
    int64_t touched              # trades in the running bar

ctypedef struct burst_t:         # the running cascade of large liquidations, by the rule of cascade.pxd in chain mode
    quantile_t q
    int64_t gap_ns
    int64_t seen
    int64_t ts_last
    int64_t count                # large events of the chain
    double total

ctypedef struct course_t:        # result of a scan of the history, kept until the next sample
    int64_t at                   # grid index it holds for; -1 = none
    int64_t count                # known samples
    int64_t apart                # independent ones: their windows do not overlap
    double mean
    double std
    double least
    double most

ctypedef struct history_t:       # a feature's values on a grid of times, each as known just before its moment
    double* values               # ring by grid index
    int64_t step_ns
    int64_t first                # grid index of the first sample; -1 = none yet
    int64_t last
    int64_t samples
    int64_t room                 # samples + 2
    int64_t reach_ns             # length of a sample's window; 0 = a present value
    course_t course

cdef int build_slots(double** pool, int64_t bytes) except -1
cdef void track_roll(track_t* t, int64_t ts) noexcept nogil
cdef void candles_roll(candles_t* c, int64_t ts) noexcept nogil
cdef void track_clear(track_t* t) noexcept nogil
cdef void candles_clear(candles_t* c, int64_t step_ns) noexcept nogil
cdef double track_realised(const track_t* t) noexcept nogil
cdef double candles_atr(const candles_t* c) noexcept nogil
cdef double correlation(const sums_t* a, const sums_t* b) noexcept nogil
cdef int burst_init(burst_t* b, int64_t gap_ns) except -1
cdef void history_scan(history_t* h, int64_t index) noexcept nogil
cdef double history_rank(const history_t* h, int64_t index, double now) noexcept nogil


cdef inline void track_advance(track_t* t, int64_t ts) noexcept nogil:
    if ts >= t.ends:
        track_roll(t, ts)


cdef inline void track_push(track_t* t, int64_t ts, double x) noexcept nogil:
    cdef track_cell_t* cell
    track_advance(t, ts)
    cell = &t.cells[t.slot & (SLOT_RING - 1)]
    t.value = cell.last = x
    if not cell.high >= x:       # also if no value was known
        cell.high = x
    if not cell.low <= x:
        cell.low = x


cdef inline double track_before(const track_t* t) noexcept nogil:
    """The value at the beginning of the window."""
    return t.cells[(t.slot - t.slots - 1) & (SLOT_RING - 1)].last


cdef inline double track_spread(const track_t* t) noexcept nogil:
    """Highest minus lowest value in the window."""
    cdef double high = NAN, low = NAN
    cdef int64_t k
    for k in range(t.slot - t.slots, t.slot + 1):
        high = fmax(high, t.cells[k & (SLOT_RING - 1)].high)     # fmax and fmin ignore nan
        low = fmin(low, t.cells[k & (SLOT_RING - 1)].low)
    return high - low


cdef inline double track_mean(const track_t* t) noexcept nogil:
    """Mean of the values at the end of each complete slot; nan if one is not known."""
    cdef double total = 0.0
    cdef int64_t k
    for k in range(t.slot - t.slots, t.slot):
        total += t.cells[k & (SLOT_RING - 1)].last
    return total / t.slots


cdef inline void candles_advance(candles_t* c, int64_t ts) noexcept nogil:
    if ts >= c.ends:
        candles_roll(c, ts)


cdef inline void candles_push(candles_t* c, int64_t ts, double x) noexcept nogil:
    candles_advance(c, ts)
    if c.touched == 0:
        c.running.open = c.running.high = c.running.low = x
    c.running.high = fmax(c.running.high, x)
    c.running.low = fmin(c.running.low, x)
    c.running.close = x
    c.touched += 1


cdef inline void candles_gap(candles_t* c, int64_t ts) noexcept nogil:
    """The price is unknown from here on, until the next trade."""
    candles_advance(c, ts)
    c.running.open = c.running.high = c.running.low = c.running.close = NAN
    c.touched = 0


cdef inline void burst_push(burst_t* b, int64_t ts, double notional) noexcept nogil:
    cdef bint large = b.seen >= 100 and quantile_reached(&b.q, notional)
    quantile_push(&b.q, notional)
    b.seen += 1
    if not large:
        return
    if b.count > 0 and ts - b.ts_last > b.gap_ns:
        b.count = 0
        b.total = 0.0
    b.count += 1
    b.total += notional
    b.ts_last = ts


cdef inline bint burst_runs(const burst_t* b, int64_t now) noexcept nogil:
    return b.count >= 2 and now - b.ts_last <= b.gap_ns


cdef inline void history_take(history_t* h, int64_t index, double x) noexcept nogil:
    """Store the sample of a grid index. Samples come in order and without gaps."""
    if h.first < 0:
        h.first = index
    h.last = index
    h.values[index % h.room] = x
