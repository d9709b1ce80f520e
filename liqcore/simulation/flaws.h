/* Flaws of columns of trades and quotes: passes without a branch, one bit for each kind of flaw. If the times are within [0, 2^62), all
   differences are exact, and a negative one has its sign bit set. */
#ifndef LIQCORE_FLAWS_H
#define LIQCORE_FLAWS_H

#include <stdint.h>

enum { FLAW_TIME = 1, FLAW_PRICE = 2, FLAW_LOTS = 4, FLAW_SIDE = 8, FLAW_BEFORE = 16, FLAW_PLACE = 32 };

#if defined(__GNUC__)
#define FLAWS_INLINE static inline __attribute__((always_inline))
#else
#define FLAWS_INLINE static inline
#endif

FLAWS_INLINE int time_flaw(const int64_t *ts, int64_t first, int64_t last) {
    uint64_t seen = first < last ? (uint64_t) ts[first] : 0, falls = 0;
    for (int64_t i = first > 1 ? first : 1; i < last; i++) {
        seen |= (uint64_t) ts[i];
        falls |= (uint64_t) ts[i] - (uint64_t) ts[i - 1];
    }
    return falls >> 63 || seen >> 62 ? FLAW_TIME : 0;
}

FLAWS_INLINE int trades_flaw_of(const int64_t *ts, const int32_t *price, const int32_t *lots, const int8_t *side, int64_t first, int64_t last) {
    uint32_t prices = 0, sizes = 0;
    uint8_t sides = 0;
    for (int64_t i = first; i < last; i++) {
        sizes |= (uint32_t) lots[i] | ((uint32_t) lots[i] - 1);   /* its sign bit: not above 0 */
        prices |= (uint32_t) price[i] | ((uint32_t) price[i] - 1);
    }
    for (int64_t i = first; i < last; i++)
        sides |= (uint8_t) ((side[i] != 1) & (side[i] != -1));
    return time_flaw(ts, first, last) | (sizes >> 31 ? FLAW_LOTS : 0) | (prices >> 31 ? FLAW_PRICE : 0) | (sides ? FLAW_SIDE : 0);
}

/* FLAW_BEFORE: trades_before falls. */
FLAWS_INLINE int quotes_flaw_of(const int64_t *ts, const int32_t *bid, const int32_t *ask, const int32_t *bid_lots, const int32_t *ask_lots,
                                const int64_t *before, int64_t first, int64_t last) {
    uint32_t prices = 0, sizes = 0;
    int64_t falls = 0;
    for (int64_t i = first; i < last; i++) {
        sizes |= (uint32_t) (bid_lots[i] | ask_lots[i]);
        prices |= (uint32_t) bid[i] | ((uint32_t) bid[i] - 1) | (uint32_t) -(int32_t) (ask[i] <= bid[i]);
    }
    for (int64_t i = first > 1 ? first : 1; i < last; i++)
        falls |= before[i] < before[i - 1];
    return time_flaw(ts, first, last) | (sizes >> 31 ? FLAW_LOTS : 0) | (prices >> 31 ? FLAW_PRICE : 0) | (falls ? FLAW_BEFORE : 0);
}

#if defined(__GNUC__) && defined(__x86_64__)
#define FLAWS_AVX2 1
__attribute__((target("avx2")))
static int trades_flaw_avx2(const int64_t *ts, const int32_t *price, const int32_t *lots, const int8_t *side, int64_t first, int64_t last) {
    return trades_flaw_of(ts, price, lots, side, first, last);
}

__attribute__((target("avx2")))
static int quotes_flaw_avx2(const int64_t *ts, const int32_t *bid, const int32_t *ask, const int32_t *bid_lots, const int32_t *ask_lots,
                            const int64_t *before, int64_t first, int64_t last) {
    return quotes_flaw_of(ts, bid, ask, bid_lots, ask_lots, before, first, last);
}
#endif

static int trades_flaw(const int64_t *ts, const int32_t *price, const int32_t *lots, const int8_t *side, int64_t first, int64_t last) {
#ifdef FLAWS_AVX2
    if (__builtin_cpu_supports("avx2"))
        return trades_flaw_avx2(ts, price, lots, side, first, last);
#endif
    return trades_flaw_of(ts, price, lots, side, first, last);
}

static int quote_columns_flaw(const int64_t *ts, const int32_t *bid, const int32_t *ask, const int32_t *bid_lots, const int32_t *ask_lots,
                       const int64_t *before, int64_t first, int64_t last) {
#ifdef FLAWS_AVX2
    if (__builtin_cpu_supports("avx2"))
        return quotes_flaw_avx2(ts, bid, ask, bid_lots, ask_lots, before, first, last);
#endif
    return quotes_flaw_of(ts, bid, ask, bid_lots, ask_lots, before, first, last);
}
#endif
