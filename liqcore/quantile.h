/* Exact rolling quantile in O(1): a logarithmic histogram whose buckets are first-in-first-out lists threaded through the value ring, and a
 * short sorted run of the order statistics around the wanted rank.
 *
 * Why this shape. The bucket of a positive double is the top of its bit pattern (no logarithm), so a push is two counter updates and a cursor
 * that follows the bucket holding the wanted rank. The window expires in order of arrival, so the expiring value is always the head of its own
 * bucket's list: a circular single link (one index a value, one tail a bucket) is enough. The sorted run (`near`) makes the answer exact: a value
 * below or above it only shifts its rank, which needs no branch; the few that fall inside are inserted or deleted. When the rank has wandered
 * out of the run, the run is gathered again from the members of the cursor's bucket and its neighbours (some ten values for heavy-tailed
 * notionals); a crowded bucket is first narrowed by counting. So nothing is ever rebuilt as a whole, and drift, bursts and ties are ordinary.
 *
 * It is C, not Cython, because it is written twice: 16-bit indices up to 65,535 values (10 B a value), 32-bit beyond.
 */
#ifndef LIQCORE_QUANTILE_H
#define LIQCORE_QUANTILE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUANTILE_BUCKET_BITS = 5,                              /* 32 buckets an octave */
    QUANTILE_OCTAVE_MIN = -12,                             /* buckets cover 2.4e-4 .. 4.3e9; what lies outside shares the edge buckets: */
    QUANTILE_OCTAVES = 44,                                 /* still exact, because members are always compared by value */
    QUANTILE_BUCKETS = QUANTILE_OCTAVES << QUANTILE_BUCKET_BITS,
    QUANTILE_WORDS = QUANTILE_BUCKETS / 64,
    QUANTILE_BASE = (1023 + QUANTILE_OCTAVE_MIN) << QUANTILE_BUCKET_BITS,
    QUANTILE_NEAR = 24,                                    /* order statistics kept sorted around the rank */
    QUANTILE_WINDOW_MIN = 2,
    QUANTILE_WINDOW_MAX = 1000000
};

typedef struct { uint16_t count, tail; } quantile_bucket16_t;
typedef struct { uint32_t count, tail; } quantile_bucket32_t;

typedef struct quantile_t {
    double* values;          /* ring of the last `window` values; the whole allocation starts here */
    void* next;              /* per slot: next younger value of the same bucket, circular */
    void* buckets;           /* per bucket: members, and the youngest one's slot */
    uint64_t* occupied;      /* bit per bucket */
    int32_t window;
    int32_t count;
    int32_t slot;            /* where the next value goes (= the oldest when full) */
    int32_t cursor;          /* bucket that holds the order statistic `rank` */
    int32_t below;           /* values in the buckets before it */
    int32_t rank;            /* floor((count - 1) * q) */
    double fraction;         /* (count - 1) * q - rank */
    double q;
    double near_low;         /* first and last of the run; NaN (compares false with everything) when there is none */
    double near_high;
    int32_t near_rank;       /* order statistic of near[0] */
    int32_t near_count;
    double near[QUANTILE_NEAR];
    uint8_t wide;            /* 32-bit indices */
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

/* Smallest occupied bucket above b, largest below b; the caller knows that there is one. */
static inline int32_t quantile_next_bucket(const uint64_t* occupied, int32_t b) {
    int32_t word = (b + 1) >> 6;
    uint64_t bits = occupied[word] & (~0ULL << ((b + 1) & 63));
    while (!bits) bits = occupied[++word];
    return (word << 6) + __builtin_ctzll(bits);
}

static inline int32_t quantile_previous_bucket(const uint64_t* occupied, int32_t b) {
    int32_t word = (b - 1) >> 6;
    uint64_t bits = occupied[word] & (~0ULL >> (63 - ((b - 1) & 63)));
    while (!bits) bits = occupied[--word];
    return (word << 6) + 63 - __builtin_clzll(bits);
}

/* NumPy's 'linear' arithmetic, to the bit: virtual index (n - 1) * q, and a lerp that works from the nearer end. */
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

/* Drop the run; quantile_value gathers it again. */
static inline void quantile_forget(quantile_t* s) {
    s->near_rank = s->near_count = 0;
    s->near_low = s->near_high = __builtin_nan("");
}

/* Whether the run holds all that the value depends on. */
static inline int quantile_is_near(const quantile_t* s) {
    return (s->rank >= s->near_rank) & (s->rank + (s->fraction > 0.0) < s->near_rank + s->near_count);
}

/* The value, from a run that holds it. */
static inline double quantile_read(const quantile_t* s) {
    const double* at = s->near + (s->rank - s->near_rank);
    return s->fraction > 0.0 ? quantile_lerp(at[0], at[1], s->fraction) : at[0];
}

/* y, which lies within the run, leaves the window: which of several equal values is deleted makes no difference. */
static __attribute__((noinline)) void quantile_near_delete(quantile_t* s, double y) {
    int32_t i = 0, last = s->near_count - 1;
    while (s->near[i] < y) i++;
    for (; i < last; i++) s->near[i] = s->near[i + 1];
    s->near_count = last;
    if (last == 0) {
        quantile_forget(s);
    } else {
        s->near_low = s->near[0];
        s->near_high = s->near[last - 1];
    }
}

/* x, which lies within the run, enters. A full run loses the end that is farther from the rank. */
static __attribute__((noinline)) void quantile_near_insert(quantile_t* s, double x) {
    int32_t i = s->near_count;
    if (i == QUANTILE_NEAR) {
        if (s->rank - s->near_rank > QUANTILE_NEAR / 2) {
            memmove(s->near, s->near + 1, (QUANTILE_NEAR - 1) * sizeof(double));
            s->near_rank++;
            if (x < s->near[0]) {                          /* it fell between the one that left and the rest */
                s->near_rank++;
                s->near_count--;
                s->near_low = s->near[0];
                return;
            }
        } else if (x > s->near[QUANTILE_NEAR - 2]) {
            s->near_count--;
            s->near_high = s->near[QUANTILE_NEAR - 2];
            return;
        }
        i--;
    }
    for (; i > 0 && s->near[i - 1] > x; i--) s->near[i] = s->near[i - 1];
    s->near[i] = x;
    s->near_count += s->near_count < QUANTILE_NEAR;
    s->near_low = s->near[0];
    s->near_high = s->near[s->near_count - 1];
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

/* 0, or -1 where there is no memory. q and window are the caller's to check. */
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

/* x must be positive and finite: checked at the door, not here. */
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

/* Exactly x >= quantile_value(s); false while empty. */
static inline int quantile_reached(quantile_t* s, double x) {
    if (__builtin_expect(quantile_is_near(s), 1)) {
        if (x < s->near_low) return 0;
        if (x > s->near_high) return 1;
    } else {
        int32_t b = quantile_bucket(x);
        if (b < s->cursor || s->count == 0) return 0;
        if (b > s->cursor && b > (s->wide ? quantile_upper_bucket32(s) : quantile_upper_bucket16(s))) return 1;
    }
    return x >= quantile_value(s);
}

static inline int quantile_count(const quantile_t* s) { return s->count; }

#endif
