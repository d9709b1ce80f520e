/* First passage over a pyramid of minima and maxima: see first_passage.pxd.

A block is 64 neighbouring int32. The whole block is compared, and entries outside the range are masked out: a loop with an unpredictable number of
steps costs more. */

#ifndef LIQCORE_PASSAGE_H
#define LIQCORE_PASSAGE_H

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PASSAGE_LEVELS 6

typedef struct {
    int64_t count[PASSAGE_LEVELS];
    const int32_t *low[PASSAGE_LEVELS];
    const int32_t *high[PASSAGE_LEVELS];
    int32_t levels;
} pyramid_t;

/* a hint that this row of a column will be read soon; any address will do */
#if defined(__GNUC__)
#define passage_prefetch(address) __builtin_prefetch(address)
#else
#define passage_prefetch(address) ((void) (address))
#endif

enum { PASSAGE_BELOW = 1, PASSAGE_ABOVE = 2 };

static inline int64_t passage_min(int64_t a, int64_t b) { return a < b ? a : b; }

/* A bit for each of 64 neighbouring entries, set for a hit. */
static inline uint64_t passage_hits(const int32_t *low, const int32_t *high, int32_t floor, int32_t roof, int mode) {
    uint64_t hits = 0;
#if defined(__SSE2__)
    const __m128i least = _mm_set1_epi32(floor), most = _mm_set1_epi32(roof);
    for (int k = 0; k < 64; k += 16) {
        __m128i miss[4];
        for (int n = 0; n < 4; n++) {
            miss[n] = _mm_set1_epi32(-1);
            if (mode & PASSAGE_BELOW)
                miss[n] = _mm_cmpgt_epi32(_mm_loadu_si128((const __m128i *) (low + k) + n), least);
            if (mode & PASSAGE_ABOVE)
                miss[n] = _mm_and_si128(miss[n], _mm_cmpgt_epi32(most, _mm_loadu_si128((const __m128i *) (high + k) + n)));
        }
        hits |= (uint64_t) (uint16_t) ~_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(miss[0], miss[1]), _mm_packs_epi32(miss[2], miss[3]))) << k;
    }
#else
    int32_t any = 0;
    for (int k = 0; k < 64; k++)
        any |= ((mode & PASSAGE_BELOW) ? -(low[k] <= floor) : 0) | ((mode & PASSAGE_ABOVE) ? -(high[k] >= roof) : 0);
    for (int k = 0; any && k < 64; k++)
        hits |= (uint64_t) (((mode & PASSAGE_BELOW) && low[k] <= floor) || ((mode & PASSAGE_ABOVE) && high[k] >= roof)) << k;
#endif
    return hits;
}

/* The first hit in [i, end), or end. Both are in one block, of a level of `count` entries. */
static inline int64_t passage_hit(const int32_t *low, const int32_t *high, int64_t count, int64_t i, int64_t end, int32_t floor, int32_t roof,
                                  int mode) {
    const int64_t block = i & ~(int64_t) 63;
    uint64_t hits;
    if (block + 64 > count) {                    /* the last block of the level */
        while (i < end && !(((mode & PASSAGE_BELOW) && low[i] <= floor) || ((mode & PASSAGE_ABOVE) && high[i] >= roof)))
            i++;
        return i;
    }
    hits = passage_hits(low + block, high + block, floor, roof, mode) & ~(uint64_t) 0 << (i & 63);
    return hits ? passage_min(block + __builtin_ctzll(hits), end) : end;
}

/* Go up through the levels until a block has a hit, then down into it. Only the last entry of a level can reach beyond `stop`. If its hit is behind
`stop`, the way down finds none, and all entries before it have been compared. */
static inline int64_t passage_search(const pyramid_t *p, int64_t start, int64_t stop, int32_t floor, int32_t roof, int mode) {
    int64_t i = start, end, hit, entries;
    int level = 0;
    if (start >= stop)
        return stop;
    for (;;) {
        entries = ((stop - 1) >> (6 * level)) + 1;
        end = passage_min((i | 63) + 1, entries);
        hit = passage_hit(p->low[level], p->high[level], p->count[level], i, end, floor, roof, mode);
        if (hit < end)
            break;
        if (end == entries)
            return stop;
        i = end >> 6;
        level++;
    }
    while (level > 0) {
        level--;
        end = passage_min((hit + 1) << 6, ((stop - 1) >> (6 * level)) + 1);
        hit = passage_hit(p->low[level], p->high[level], p->count[level], hit << 6, end, floor, roof, mode);
        if (hit == end)
            return stop;
    }
    return hit;
}

static int64_t first_below(const pyramid_t *p, int64_t start, int64_t stop, int64_t level) {
    if (level < INT32_MIN)
        return stop;
    return passage_search(p, start, stop, level > INT32_MAX ? INT32_MAX : (int32_t) level, 0, PASSAGE_BELOW);
}

static int64_t first_above(const pyramid_t *p, int64_t start, int64_t stop, int64_t level) {
    if (level > INT32_MAX)
        return stop;
    return passage_search(p, start, stop, 0, level < INT32_MIN ? INT32_MIN : (int32_t) level, PASSAGE_ABOVE);
}

static int64_t first_outside(const pyramid_t *p, int64_t start, int64_t stop, int64_t low, int64_t high) {
    if (low < INT32_MIN)
        return first_above(p, start, stop, high);
    if (high > INT32_MAX)
        return first_below(p, start, stop, low);
    return passage_search(p, start, stop, low > INT32_MAX ? INT32_MAX : (int32_t) low, high < INT32_MIN ? INT32_MIN : (int32_t) high,
                          PASSAGE_BELOW | PASSAGE_ABOVE);
}

enum { PASSAGE_WIDE = 256 };                             /* from this distance of rows on a guess costs less than the bisection steps that it saves */

/* Narrow a pair with ts[low] < t <= ts[high], by the row of t if the rows were evenly spaced. */
static void passage_guess(const int64_t *ts, int64_t t, int64_t *low, int64_t *high) {
    const int64_t last = *high - 1;
    int64_t step = 8, guess = *low + (int64_t) ((double) (t - ts[*low]) / (double) (ts[*high] - ts[*low]) * (double) (*high - *low));
    guess = guess > last ? last : guess;
    if (ts[guess] < t) {
        for (*low = guess; *low + step < *high && ts[*low + step] < t; step <<= 1)
            *low += step;
        *high = passage_min(*low + step, *high);
    } else {
        for (*high = guess; *high - step > *low && ts[*high - step] >= t; step <<= 1)
            *high -= step;
        *low = *high - step > *low ? *high - step : *low;
    }
}

/* Doubling steps from `start`, then bisection, because most deadlines are near. At a large distance a guess comes first, because each row that
bisection reads is a cache miss. */
static int64_t rows_before(const int64_t *ts, int64_t start, int64_t stop, int64_t t) {
    int64_t step = 1, low = start, high;
    if (start >= stop || ts[start] >= t)
        return start < stop ? start : stop;
    while (low + step < stop && ts[low + step] < t) {        /* ts[low] < t */
        low += step;
        step <<= 1;
    }
    high = passage_min(low + step, stop);                    /* ts[high] >= t, or high == stop */
    if (high - low > PASSAGE_WIDE) {
        if (high == stop && ts[--high] < t)
            return stop;
        passage_guess(ts, t, &low, &high);
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (ts[middle] < t)
            low = middle;
        else
            high = middle;
    }
    return high;
}

#if defined(__GNUC__)
__attribute__((always_inline))
#endif
static inline void pyramid_level_of(const int32_t *low, const int32_t *high, int64_t count, int32_t *low_out, int32_t *high_out) {
    for (int64_t block = 0; block << 6 < count; block++) {
        int64_t first = block << 6, n = passage_min(64, count - first);
        const int32_t *l = low + first, *h = high + first;
        int32_t least = l[0], most = h[0];
        if (n == 64)
            for (int k = 0; k < 64; k++) {
                least = l[k] < least ? l[k] : least;
                most = h[k] > most ? h[k] : most;
            }
        else
            for (int k = 0; k < n; k++) {
                least = l[k] < least ? l[k] : least;
                most = h[k] > most ? h[k] : most;
            }
        low_out[block] = least;
        high_out[block] = most;
    }
}

#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx2")))
static void pyramid_level_avx2(const int32_t *low, const int32_t *high, int64_t count, int32_t *low_out, int32_t *high_out) {
    pyramid_level_of(low, high, count, low_out, high_out);
}
#endif

/* Build a level from the one below it: minima and maxima of 64 entries each. Plain x86-64 has no integer minimum; with AVX2 it takes a third of the
time. */
static void pyramid_level(const int32_t *low, const int32_t *high, int64_t count, int32_t *low_out, int32_t *high_out) {
#if defined(__GNUC__) && defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        pyramid_level_avx2(low, high, count, low_out, high_out);
        return;
    }
#endif
    pyramid_level_of(low, high, count, low_out, high_out);
}

#endif
