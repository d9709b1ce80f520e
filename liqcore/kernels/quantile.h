/* Exact rolling quantile, O(1) amortized for values over a wide range: a logarithmic histogram whose buckets are linked lists in the value ring, and
a short sorted run of the order statistics around the wanted rank.
 *
 * Why this design. The bucket of a positive double is the top of its bit pattern (no logarithm). The window expires in order of arrival, so a
 * bucket's list is a stack, newest first, that is cut off after `count` members: expiry is one decrement, and no link is ever repaired. The run
 * (`near`) makes the result exact: a value below or above it only shifts its rank, without a branch; the few values inside are inserted or deleted.
 * All other work is done when the rank has left the run: the cursor moves to the bucket of the rank, and the run is gathered again from that bucket
 * and its neighbours (some ten values for heavy-tailed notionals; a crowded bucket is first narrowed by counting). So nothing is rebuilt as a whole,
 * and drift, bursts and ties need no special case. The worst case is a whole window inside one bucket (values within 3 %) that also drifts: a
 * gathering then costs O(members of the bucket), about 50 ns a push at 1,000 values and 1 us at 10,000.
 *
 * Positive doubles have the order of their bit patterns, so the run's bounds are kept and compared as integers.
 *
 * It is C, not Cython, because it is compiled twice: 16-bit indices up to 65,535 values (10 B a value), 32-bit beyond.
 */
#ifndef LIQCORE_QUANTILE_H
#define LIQCORE_QUANTILE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUANTILE_BUCKET_BITS = 5,                              /* 32 buckets an octave */
    QUANTILE_OCTAVE_MIN = -8,                              /* buckets cover 4e-3 .. 4.3e9; what lies outside shares the edge buckets: */
    QUANTILE_OCTAVES = 40,                                 /* still exact, because members are always compared by value */
    QUANTILE_BUCKETS = QUANTILE_OCTAVES << QUANTILE_BUCKET_BITS,
    QUANTILE_WORDS = QUANTILE_BUCKETS / 64,
    QUANTILE_BASE = (1023 + QUANTILE_OCTAVE_MIN) << QUANTILE_BUCKET_BITS,
    QUANTILE_NEAR = 64,                                    /* order statistics kept sorted around the rank, at most */
    QUANTILE_WINDOW_MIN = 2,
    QUANTILE_WINDOW_MAX = 1000000
};

typedef struct { uint16_t count, head; } quantile_bucket16_t;
typedef struct { uint32_t count, head; } quantile_bucket32_t;

typedef struct quantile_t {
    double* values;          /* ring of the last `window` values; the whole allocation starts here */
    void* next;              /* per slot: the next older value of the same bucket */
    void* buckets;           /* per bucket: members, and the youngest one's slot */
    uint64_t* occupied;      /* bit per bucket: clear only if it is empty (a push sets it, a search that finds an empty bucket clears it) */
    int32_t window;
    int32_t count;
    int32_t slot;            /* where the next value goes (= the oldest when full) */
    int32_t cursor;          /* a bucket; after quantile_settle, the one that holds the order statistic `rank` */
    int32_t below;           /* values in the buckets before it */
    int32_t rank;            /* floor((count - 1) * q) */
    double fraction;         /* (count - 1) * q - rank */
    double q;
    uint64_t near_low;       /* bits of near[0]; values with bits in [near_low, near_low + near_span) lie within the run */
    uint64_t near_span;      /* 0 when there is none */
    int32_t near_at;         /* position in the run of the order statistic `rank`, if it is inside */
    uint32_t near_end;       /* the run has all that the value depends on if 0 <= near_at < near_end */
    int32_t near_count;
    int32_t near_slot;       /* `slot` when it was gathered */
    uint8_t wide;            /* 32-bit indices */
    double near[QUANTILE_NEAR];
} quantile_t;

static inline uint64_t quantile_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}

static inline int32_t quantile_bucket(double x) {
    int32_t b = (int32_t) (quantile_bits(x) >> (52 - QUANTILE_BUCKET_BITS)) - QUANTILE_BASE;
    b = b < 0 ? 0 : b;
    return b < QUANTILE_BUCKETS ? b : QUANTILE_BUCKETS - 1;
}

/* NumPy's 'linear' arithmetic, to the bit: virtual index (n - 1) * q, and a lerp from the nearer end. */
static inline double quantile_lerp(double a, double b, double t) {
    double difference = b - a;
    return t >= 0.5 ? b - difference * (1.0 - t) : a + difference * t;
}

static inline void quantile_set_rank(quantile_t* s) {
    double index = (double) (s->count - 1) * s->q;
    s->rank = (int32_t) index;
    s->fraction = index - (double) s->rank;
    if (index >= (double) (s->count - 1)) {
        s->rank = s->count - 1;
        s->fraction = 0.0;
    }
}

/* Call after any change of the run or of the rank's fraction. */
static inline void quantile_near_bound(quantile_t* s) {
    int32_t end = s->near_count - (s->fraction > 0.0);
    s->near_end = end < 0 ? 0 : (uint32_t) end;
    s->near_low = s->near_count ? quantile_bits(s->near[0]) : INT64_MAX;
    s->near_span = s->near_count ? quantile_bits(s->near[s->near_count - 1]) - s->near_low + 1 : 0;
}

/* Drop the run; quantile_value gathers it again. */
static inline void quantile_forget(quantile_t* s) {
    s->near_count = s->near_at = 0;
    quantile_near_bound(s);
}

/* The end at which the rank left the run, if soon after the run was gathered: +1 at the top, -1 at the bottom; 0 = no trend. With a trend (a burst)
the next run is long in that direction; without one a long run would only be changed by more pushes. */ static inline int quantile_trend(const
quantile_t* s) {
    int32_t pushes = s->slot - s->near_slot;
    pushes += pushes < 0 ? s->window : 0;
    return pushes > s->near_count || s->near_count == 0 ? 0 : s->near_at < 0 ? -1 : 1;
}

/* Whether the run has all that the value depends on. */
static inline int quantile_is_near(const quantile_t* s) { return (uint32_t) s->near_at < s->near_end; }

/* The value, from a run that holds it. */
static inline double quantile_read(const quantile_t* s) {
    const double* at = s->near + s->near_at;
    return s->fraction > 0.0 ? quantile_lerp(at[0], at[1], s->fraction) : at[0];
}

/* Number of values of the run below x. Counted, not searched, because the branches of a search are mispredicted. */
static inline int32_t quantile_near_less(const quantile_t* s, double x) {
    int64_t less = 0;
    for (int32_t i = 0; i < s->near_count; i++) less += s->near[i] < x;
    return (int32_t) less;
}

/* y, which is in the run, leaves the window. Any of several equal values may be deleted. */
static inline void quantile_near_delete(quantile_t* s, double y) {
    int32_t i = quantile_near_less(s, y), last = --s->near_count;
    for (; i < last; i++) s->near[i] = s->near[i + 1];
}

/* x, which lies within the run, enters. A full run loses the end that is farther from the rank. */
static inline void quantile_near_insert(quantile_t* s, double x) {
    int32_t i = s->near_count;
    if (i == QUANTILE_NEAR) {
        if (s->near_at > QUANTILE_NEAR / 2) {
            memmove(s->near, s->near + 1, (QUANTILE_NEAR - 1) * sizeof(double));
            s->near_at--;
            if (x < s->near[0]) {                          /* it is between the value that left and the rest */
                s->near_at--;
                s->near_count--;
                return;
            }
        } else if (x > s->near[QUANTILE_NEAR - 2]) {
            s->near_count--;
            return;
        }
        i = --s->near_count;
    }
    for (; i > 0 && s->near[i - 1] > x; i--) s->near[i] = s->near[i - 1];
    s->near[i] = x;
    s->near_count++;
}

/* A push touches the run: x enters within [near_low, near_low + near_span), or y leaves there, or both. */
static __attribute__((noinline)) void quantile_near_update(quantile_t* s, double x, double y) {
    int64_t low = (int64_t) s->near_low, from_x = (int64_t) quantile_bits(x) - low;
    uint64_t span = s->near_span;
    if (x == y) return;                                    /* a tie: no change */
    if (quantile_bits(y) - s->near_low < span) quantile_near_delete(s, y);
    if (s->near_count && from_x >= 0) {
        /* after a deletion at an end x may be outside of the remaining run: then it only shifts the rank */
        if (x < s->near[0]) s->near_at--;
        else if (x <= s->near[s->near_count - 1]) quantile_near_insert(s, x);
    }
    quantile_near_bound(s);
}

#define QUANTILE_JOIN_(a, b) a##b
#define QUANTILE_JOIN(a, b) QUANTILE_JOIN_(a, b)

#define QUANTILE_INDEX uint16_t
#define QUANTILE_BUCKET quantile_bucket16_t
#define QUANTILE_NAME(name) QUANTILE_JOIN(name, 16)
#include "quantile_kernel.h"
#undef QUANTILE_INDEX
#undef QUANTILE_BUCKET
#undef QUANTILE_NAME

#define QUANTILE_INDEX uint32_t
#define QUANTILE_BUCKET quantile_bucket32_t
#define QUANTILE_NAME(name) QUANTILE_JOIN(name, 32)
#include "quantile_kernel.h"
#undef QUANTILE_INDEX
#undef QUANTILE_BUCKET
#undef QUANTILE_NAME

/* Bytes of the one allocation behind an instance of this window. */
static inline size_t quantile_bytes(int32_t window) {
    size_t index = window > 65535 ? 4 : 2;
    return (size_t) window * (8 + index) + QUANTILE_WORDS * 8 + QUANTILE_BUCKETS * 2 * index;
}

static inline void quantile_reset(quantile_t* s) {
    memset(s->buckets, 0, QUANTILE_BUCKETS * (s->wide ? sizeof(quantile_bucket32_t) : sizeof(quantile_bucket16_t)));
    memset(s->occupied, 0, QUANTILE_WORDS * 8);
    s->count = s->slot = s->cursor = s->below = s->rank = 0;
    s->fraction = 0.0;
    quantile_forget(s);
}

/* 0, or -1 without memory. The caller checks q and window. */
static inline int quantile_allocate(quantile_t* s, double q, int32_t window) {
    size_t index = window > 65535 ? 4 : 2;
    char* block = (char*) calloc(1, quantile_bytes(window));
    memset(s, 0, sizeof(*s));
    if (!block) return -1;
    s->values = (double*) block;
    s->occupied = (uint64_t*) (block + (size_t) window * 8);
    s->buckets = block + (size_t) window * 8 + QUANTILE_WORDS * 8;
    s->next = (char*) s->buckets + QUANTILE_BUCKETS * 2 * index;
    s->window = window;
    s->q = q;
    s->wide = window > 65535;
    quantile_reset(s);
    return 0;
}

static inline void quantile_free(quantile_t* s) {
    free(s->values);
    memset(s, 0, sizeof(*s));
}

/* x must be positive and finite: validation checks it, not this function. */
static inline void quantile_push(quantile_t* s, double x) {
    if (s->wide) quantile_push32(s, x); else quantile_push16(s, x);
}

/* NaN while empty. */
static inline double quantile_value(quantile_t* s) {
    if (__builtin_expect(!quantile_is_near(s), 0)) {
        if (s->count == 0) return __builtin_nan("");
        if (s->wide) quantile_gather32(s); else quantile_gather16(s);
    }
    return quantile_read(s);
}

static inline void quantile_run(quantile_t* s, const double* x, double* y, int64_t n) {
    if (s->wide) quantile_run32(s, x, y, n); else quantile_run16(s, x, y, n);
}

/* Without the run, the buckets decide most cases: 1 or 0, or -1 if the value is needed. */
static __attribute__((noinline)) int quantile_reached_bucket(quantile_t* s, double x) {
    int32_t b = quantile_bucket(x);
    if (s->count == 0) return 0;
    if (s->wide) quantile_settle32(s); else quantile_settle16(s);
    if (b < s->cursor) return 0;
    return b > s->cursor && b > (s->wide ? quantile_upper_bucket32(s) : quantile_upper_bucket16(s)) ? 1 : -1;
}

/* Exactly x >= quantile_value(s); false while empty. x must be positive. */
static inline int quantile_reached(quantile_t* s, double x) {
    if (__builtin_expect(!quantile_is_near(s), 0)) {
        int reached = quantile_reached_bucket(s, x);
        if (reached >= 0) return reached;
    } else {
        int64_t from = (int64_t) (quantile_bits(x) - s->near_low);
        if (from < 0) return 0;
        if ((uint64_t) from >= s->near_span) return 1;
    }
    return x >= quantile_value(s);
}

static inline int quantile_count(const quantile_t* s) { return s->count; }

#endif
