/* Exact rolling quantile in O(1): a logarithmic histogram whose buckets are first-in-first-out lists threaded through the value ring.
 *
 * Why this shape. The bucket of a positive double is the top of its bit pattern (no logarithm), so a push is two counter updates and a cursor
 * that follows the bucket holding the wanted rank. What makes the answer exact is that values of one bucket are chained: only the few members
 * of the cursor's bucket (about W/1000 of them for heavy-tailed notionals) are looked at when the exact value is wanted. The window
 * expires in order of arrival, so the expiring value is always the head of its own list: a circular single link (one index a value, one tail a
 * bucket) is enough. No rebuild exists, hence no latency spikes; drift, bursts and ties are ordinary pushes.
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
    QUANTILE_SMALL = 24,                                   /* members sorted on the stack; more are first narrowed by counting */
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
    double lower, upper;     /* order statistics rank and rank + 1, when fresh */
    double value;
    double q;
    uint8_t fresh;
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
    s->lower = s->upper = s->value = __builtin_nan("");
    s->fresh = 1;
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

static inline double quantile_value(quantile_t* s) {
    if (!s->fresh) {
        if (s->wide) quantile_refresh32(s); else quantile_refresh16(s);
    }
    return s->value;
}

/* Exactly x >= quantile_value(s); false while empty. Nearly always decided by the bucket alone. */
static inline int quantile_reached(quantile_t* s, double x) {
    int32_t b = quantile_bucket(x);
    if (b < s->cursor || s->count == 0) return 0;
    if (b > s->cursor) {
        int32_t last = s->wide ? quantile_upper_bucket32(s) : quantile_upper_bucket16(s);
        if (b > last) return 1;
    }
    return x >= quantile_value(s);
}

static inline int quantile_count(const quantile_t* s) { return s->count; }

#endif
