/* The time window: a ring of entries, two 128-bit integer sums and two monotonic queues that are updated only when a maximum is read.
 * C because Cython has no 128-bit integers. */
#ifndef LIQCORE_WINDOW_H
#define LIQCORE_WINDOW_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_NOTIONAL_MAX 1099511627776.0    /* 2**40; times 2**22 entries times 2**64 stays below 2**127 */
enum { WINDOW_CAPACITY_MAX = 1 << 22 };

/* 8-byte alignment, so that a struct with a window needs no 16-byte alignment */
typedef __int128 window_sum_t __attribute__((aligned(8)));

typedef struct {
    window_sum_t sum;        /* in units of 2**-64 */
    int64_t first, last;     /* of the queue of candidates for the maximum: decreasing notional, increasing age */
    uint32_t* queue;         /* entry numbers, modulo 2**32 */
    int32_t count;
} window_side_t;

typedef struct window_t {
    int64_t* ts;             /* ring; the whole allocation starts here */
    double* notional;        /* negative for SHORT */
    window_side_t sides[2];  /* LONG, SHORT */
    int64_t horizon_ns;
    int64_t now;
    int64_t pushed;          /* entries since reset: the next one's slot is pushed & mask */
    int64_t expired;         /* entries since reset that are no longer inside: the oldest one's slot is expired & mask */
    int64_t dropped;
    int64_t queued;          /* entries since reset that the queues contain; reading a maximum updates them */
    int64_t ahead_from, ahead;   /* window_falls has summed the entries between them */
    window_sum_t ahead_sum;      /* their sum */
    uint32_t mask;
} window_t;

/* x in units of 2**-64; 0 < x <= 2**40. */
static inline __int128 window_integer(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int shift = (int) (bits >> 52) - 1023 - 52 + 64;       /* of the 53-bit integer mantissa; at most 52 for 2**40 */
    unsigned __int128 mantissa = (bits & 0xFFFFFFFFFFFFFULL) | 0x10000000000000ULL;
    if (__builtin_expect(shift < 0, 0)) return shift < -63 ? 0 : (__int128) (mantissa >> -shift);
    return (__int128) (mantissa << shift);
}

/* sum * 2**-64 in one rounding, to nearest even: the conversion rounds 63 leading bits, of which the lowest is set if any lower bit is set; the
scaling is exact. The same bits as (double) sum, at a third of the cost of its library call. sum >= 0. */ static inline double window_double(__int128
sum) {
    uint64_t high = (uint64_t) ((unsigned __int128) sum >> 64), low = (uint64_t) sum, bits;
    if (high == 0) {
        if (low >> 63) low = low >> 1 | (low & 1), high = 1;
        return (double) (int64_t) low * (high ? 0x1p-63 : 0x1p-64);
    }
    int zeros = __builtin_clzll(high);
    uint64_t top = zeros ? high << zeros | low >> (64 - zeros) : high;
    int64_t lead = (int64_t) (top >> 1 | (top & 1) | ((low << zeros) != 0));
    double scale;
    bits = (uint64_t) (1023 + 1 - zeros) << 52;            /* 2**(1 - zeros) */
    memcpy(&scale, &bits, 8);
    return (double) lead * scale;
}

static inline void window_reset(window_t* w) {
    for (int i = 0; i < 2; i++) {
        w->sides[i].sum = 0;
        w->sides[i].first = w->sides[i].last = 0;
        w->sides[i].count = 0;
    }
    w->now = INT64_MIN;
    w->pushed = w->expired = w->dropped = w->queued = w->ahead_from = w->ahead = 0;
    w->ahead_sum = 0;
}

/* 0, or -1 without memory. The caller checks horizon_ns >= 1 and capacity (a power of two). */
static inline int window_allocate(window_t* w, int64_t horizon_ns, int32_t capacity) {
    char* block = (char*) malloc((size_t) capacity * 24);
    memset(w, 0, sizeof(*w));
    if (!block) return -1;
    w->ts = (int64_t*) block;
    w->notional = (double*) (block + (size_t) capacity * 8);
    w->sides[0].queue = (uint32_t*) (block + (size_t) capacity * 16);
    w->sides[1].queue = w->sides[0].queue + capacity;
    w->horizon_ns = horizon_ns;
    w->mask = (uint32_t) capacity - 1;
    window_reset(w);
    return 0;
}

static inline void window_free(window_t* w) {
    free(w->ts);
    memset(w, 0, sizeof(*w));
}

static inline void window_expire_oldest(window_t* w) {
    uint32_t slot = (uint32_t) w->expired & w->mask;
    double x = w->notional[slot];
    window_side_t* side = &w->sides[x < 0];
    side->sum -= window_integer(x < 0 ? -x : x);
    side->count--;
    w->expired++;
}

static inline void window_advance(window_t* w, int64_t ts) {
    w->now = ts > w->now ? ts : w->now;
    /* unsigned: now - ts of an entry is never negative, and may exceed INT64_MAX */
    while (w->expired < w->pushed && (uint64_t) w->now - (uint64_t) w->ts[(uint32_t) w->expired & w->mask] > (uint64_t) w->horizon_ns)
        window_expire_oldest(w);
}

static inline void window_push(window_t* w, int64_t ts, int side_sign, double notional) {
    window_advance(w, ts);
    if (w->pushed - w->expired > (int64_t) w->mask) {
        window_expire_oldest(w);
        w->dropped++;
    }
    double x = notional < WINDOW_NOTIONAL_MAX ? notional : WINDOW_NOTIONAL_MAX;
    uint32_t slot = (uint32_t) w->pushed & w->mask;
    window_side_t* side = &w->sides[side_sign < 0];
    w->ts[slot] = w->now;
    w->notional[slot] = side_sign < 0 ? -x : x;
    side->sum += window_integer(x);
    side->count++;
    w->pushed++;
}

/* Update the queues: O(1) for each entry, once, and no cost if maxima are never read. */
static inline void window_queue(window_t* w) {
    for (int i = 0; i < 2; i++) {
        window_side_t* side = &w->sides[i];
        if (w->queued < w->expired) side->first = side->last;          /* all of it has expired */
        while (side->first < side->last && (int32_t) (side->queue[(uint32_t) side->first & w->mask] - (uint32_t) w->expired) < 0) side->first++;
    }
    for (int64_t entry = w->queued < w->expired ? w->expired : w->queued; entry < w->pushed; entry++) {
        double x = w->notional[(uint32_t) entry & w->mask];
        window_side_t* side = &w->sides[x < 0];
        x = x < 0 ? -x : x;
        while (side->last > side->first) {
            double tail = w->notional[side->queue[(uint32_t) (side->last - 1) & w->mask] & w->mask];
            if ((tail < 0 ? -tail : tail) > x) break;
            side->last--;
        }
        side->queue[(uint32_t) side->last++ & w->mask] = (uint32_t) entry;
    }
    w->queued = w->pushed;
}

static inline double window_side_max(window_t* w, int i) {
    window_queue(w);
    const window_side_t* side = &w->sides[i];
    if (side->last == side->first) return 0.0;
    double x = w->notional[side->queue[(uint32_t) side->first & w->mask] & w->mask];
    return x < 0 ? -x : x;
}

static inline double window_long(const window_t* w) { return window_double(w->sides[0].sum); }
static inline double window_short(const window_t* w) { return window_double(w->sides[1].sum); }
static inline double window_total(const window_t* w) { return window_double(w->sides[0].sum + w->sides[1].sum); }
static inline int window_count(const window_t* w) { return (int) (w->pushed - w->expired); }
static inline int window_long_count(const window_t* w) { return w->sides[0].count; }
static inline int window_short_count(const window_t* w) { return w->sides[1].count; }
static inline double window_long_max(window_t* w) { return window_side_max(w, 0); }
static inline double window_short_max(window_t* w) { return window_side_max(w, 1); }

/* First ns at which an entry is outside. */
static inline int64_t window_expiry(const window_t* w, int64_t entry) {
    int64_t ts = w->ts[(uint32_t) entry & w->mask];
    return ts > INT64_MAX - w->horizon_ns - 1 ? INT64_MAX : ts + w->horizon_ns + 1;
}

static inline int64_t window_next_expiry(const window_t* w) {
    return w->pushed == w->expired ? INT64_MAX : window_expiry(w, w->expired);
}

static inline __int128 window_entry(const window_t* w, int64_t entry) {
    double x = w->notional[(uint32_t) entry & w->mask];
    return window_integer(x < 0 ? -x : x);
}

/* The first expiry after which the total is below `level`, if nothing is pushed until then; INT64_MAX = none. The next call continues where this one
stopped: while `level` rises by no more than the pushed amounts, each entry is read once. */
static inline int64_t window_falls(window_t* w, double level) {
    const __int128 total = w->sides[0].sum + w->sides[1].sum;
    if (level <= 0.0) return INT64_MAX;
    if (w->ahead < w->expired || w->pushed - w->ahead_from > (int64_t) w->mask + 1) w->ahead_from = w->ahead = w->expired, w->ahead_sum = 0;
    for (; w->ahead_from < w->expired; w->ahead_from++) w->ahead_sum -= window_entry(w, w->ahead_from);
    if (window_double(total - w->ahead_sum) < level) w->ahead = w->expired, w->ahead_sum = 0;
    for (; w->ahead < w->pushed; w->ahead++) {
        const __int128 sum = w->ahead_sum + window_entry(w, w->ahead);
        if (window_double(total - sum) < level) return window_expiry(w, w->ahead);
        w->ahead_sum = sum;
    }
    return INT64_MAX;
}

#endif
