/* First passage over a pyramid of minima and maxima: see passage.pxd.

Plain loops over at most 64 neighbouring int32 without a branch inside: GCC makes vector code of them for whatever the build may assume (SSE2 in the
wheels). A block is asked first whether it has a hit at all, and only then where: the answer to the first question is nearly always no. */

#ifndef LIQCORE_PASSAGE_H
#define LIQCORE_PASSAGE_H

#include <stdint.h>

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

/* the first of [i, end) that is a hit, or end */
static inline int64_t passage_hit(const int32_t *low, const int32_t *high, int64_t i, int64_t end, int32_t floor, int32_t roof, int mode) {
    int32_t any = 0;
    for (int64_t k = i; k < end; k++)
        any |= ((mode & PASSAGE_BELOW) ? -(low[k] <= floor) : 0) | ((mode & PASSAGE_ABOVE) ? -(high[k] >= roof) : 0);
    if (!any)
        return end;
    while (!(((mode & PASSAGE_BELOW) && low[i] <= floor) || ((mode & PASSAGE_ABOVE) && high[i] >= roof)))
        i++;
    return i;
}

static inline int64_t passage_min(int64_t a, int64_t b) { return a < b ? a : b; }

/* Up through the levels until a block has a hit, then down into it. Entries of a level that reach beyond `stop` are the last of it: a hit that lies
behind `stop` is found missing on the way down, and everything before it has been seen. */
static inline int64_t passage_search(const pyramid_t *p, int64_t start, int64_t stop, int32_t floor, int32_t roof, int mode) {
    int64_t i = start, end, hit, entries;
    int level = 0;
    if (start >= stop)
        return stop;
    for (;;) {
        entries = ((stop - 1) >> (6 * level)) + 1;
        end = passage_min((i | 63) + 1, entries);
        hit = passage_hit(p->low[level], p->high[level], i, end, floor, roof, mode);
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
        hit = passage_hit(p->low[level], p->high[level], hit << 6, end, floor, roof, mode);
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

/* Doubling steps from `start`, then halving: what is near costs little, and deadlines are near. */
static int64_t rows_before(const int64_t *ts, int64_t start, int64_t stop, int64_t t) {
    int64_t step = 1, low = start, high;
    if (start >= stop || ts[start] >= t)
        return start < stop ? start : stop;
    while (low + step < stop && ts[low + step] < t) {        /* ts[low] < t */
        low += step;
        step <<= 1;
    }
    high = passage_min(low + step, stop);                    /* ts[high] >= t, or high == stop */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (ts[middle] < t)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* One level out of the one below it: minima and maxima of 64 entries each. */
static void pyramid_level(const int32_t *low, const int32_t *high, int64_t count, int32_t *low_out, int32_t *high_out) {
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

#endif
