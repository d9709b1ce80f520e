/* Rolling quantile of a whole array to 0.4 %: the histogram alone.
 *
 * 128 buckets an octave, so that a bucket's middle is within 1 / 256 of all its values. The array is its own ring, the buckets cover its range, and
 * the cursor moves from bucket to bucket: O(1) a value for any window, without comparisons of values.
 */
#ifndef LIQCORE_QUANTILE_APPROXIMATE_H
#define LIQCORE_QUANTILE_APPROXIMATE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { APPROXIMATE_SHIFT = 52 - 7 };

static inline int64_t approximate_bucket(double x) {
    int64_t bits;
    memcpy(&bits, &x, 8);
    return bits >> APPROXIMATE_SHIFT;
}

/* Least and greatest of x into range[0] and range[1]. Returns n, or the index of the first value that is not positive and finite. */
static inline int64_t approximate_range(const double* x, int64_t n, double* range) {
    const int64_t infinity = (int64_t) 0x7FF << 52;
    int64_t least = infinity, most = 0, i, bits;
    for (i = 0; i < n; i++) {
        memcpy(&bits, &x[i], 8);                           /* positive doubles have the order of their bit patterns; negative ones have the sign bit
        */ if (bits <= 0 || bits >= infinity) return i;
        least = bits < least ? bits : least;
        most = bits > most ? bits : most;
    }
    memcpy(&range[0], &least, 8);
    memcpy(&range[1], &most, 8);
    return n;
}

/* y[i]: the middle of the bucket that holds the order statistic floor((n - 1) * q) of the n = min(i + 1, window) values up to x[i]. All of x are
 * positive and finite, from least to most. Returns 0, or -1 without memory. */
static inline int quantile_approximate(const double* x, double* y, int64_t n, double q, int64_t window, double least, double most) {
    const int64_t base = approximate_bucket(least), size = approximate_bucket(most) - base + 1;
    uint32_t* counts = (uint32_t*) calloc((size_t) size, sizeof(uint32_t));
    if (!counts) return -1;
    int64_t cursor = n > 0 ? approximate_bucket(x[0]) - base : 0, below = 0, rank = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t in = approximate_bucket(x[i]) - base;
        counts[in]++;
        below += in < cursor;
        if (__builtin_expect(i >= window, 1)) {
            int64_t out = approximate_bucket(x[i - window]) - base;
            counts[out]--;
            below -= out < cursor;
        } else {
            rank = (int64_t) ((double) i * q);
        }
        while (__builtin_expect(rank < below, 0)) {
            do cursor--; while (counts[cursor] == 0);
            below -= counts[cursor];
        }
        while (__builtin_expect(rank >= below + (int64_t) counts[cursor], 0)) {
            below += counts[cursor];
            do cursor++; while (counts[cursor] == 0);
        }
        int64_t middle = (cursor + base) << APPROXIMATE_SHIFT | (int64_t) 1 << (APPROXIMATE_SHIFT - 1);
        memcpy(&y[i], &middle, 8);
    }
    free(counts);
    return 0;
}
#endif
