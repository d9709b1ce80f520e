/* Text at the speed of words: compare a piece of a frame, read its numbers, find the end of its strings.

   Little-endian x86-64 (SSE2 is part of the base instruction set) and arm64; -DLIQCORE_SCAN_PORTABLE selects the word-at-a-time code everywhere.
   Every function may read up to SCAN_AHEAD bytes from its pointer: the caller guarantees that they exist (scan_window_t) and that the bytes behind
   the frame are zero. Zero matches no comparison and no digit. */
#ifndef LIQCORE_SCAN_TEXT_H
#define LIQCORE_SCAN_TEXT_H

#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "liqcore.codec.decode needs a little-endian machine"
#endif
#if defined(__SSE2__) && !defined(LIQCORE_SCAN_PORTABLE)
#include <emmintrin.h>
#define SCAN_SSE2 1
#endif

#define SCAN_AHEAD 64
#define SCAN_TEXT 32
#define SCAN_MILLIS_MAX INT64_C(9223372036854)   /* nanoseconds must fit in int64 */

/* A view of a frame that can be read SCAN_AHEAD bytes beyond any position in it. The frame itself is read in place; only its last bytes are
   copied (`tail`, followed by zeros), and a position that comes too near the end continues there (scan_near). */
typedef struct {
    const char* limit;   /* beyond this position reading continues in the tail */
    const char* end;     /* valid once in the tail */
    uintptr_t shift;     /* tail position minus source position */
    uintptr_t origin;    /* position minus origin = offset in the frame */
    char tail[SCAN_AHEAD * 2 + 16];
} scan_window_t;

static inline const char* scan_near(scan_window_t* w, const char* p) {
    if (__builtin_expect(p > w->limit, 0)) {
        p = (const char*) ((uintptr_t) p + w->shift);
        w->origin += w->shift;
        w->limit = (const char*) UINTPTR_MAX;
    }
    return p;
}

static inline const char* scan_open(scan_window_t* w, const char* src, size_t n) {
    size_t k = n < SCAN_AHEAD ? n : SCAN_AHEAD;
    if (n >= SCAN_AHEAD)
        memcpy(w->tail, src + n - SCAN_AHEAD, SCAN_AHEAD);
    else
        memcpy(w->tail, src, n);
    memset(w->tail + k, 0, SCAN_AHEAD + 16);
    w->end = w->tail + k;
    w->shift = (uintptr_t) w->tail - (uintptr_t) (src + n - k);
    w->origin = (uintptr_t) src;
    w->limit = src + (n - k);
    if (n < SCAN_AHEAD)
        w->limit = NULL;   /* every position is near the end */
    return scan_near(w, src);
}

static inline uint64_t scan_load8(const char* p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* 1 where the first bytes of p equal those of text; mask has one bit for each byte that counts (at most SCAN_TEXT). */
static inline int scan_same(const char* p, const char* text, uint32_t mask) {
#ifdef SCAN_SSE2
    __m128i a = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i*) p), _mm_loadu_si128((const __m128i*) text));
    uint32_t equal = (uint32_t) _mm_movemask_epi8(a);
    if (mask > 0xffffu) {
        __m128i b = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i*) (p + 16)), _mm_loadu_si128((const __m128i*) (text + 16)));
        equal |= (uint32_t) _mm_movemask_epi8(b) << 16;
    }
    return (mask & ~equal) == 0;
#else
    return memcmp(p, text, mask ? 32 - __builtin_clz(mask) : 0) == 0;
#endif
}

/* Bit i is set where byte i of the 16 at p is not a digit. */
static inline uint32_t scan_nondigits(const char* p) {
#ifdef SCAN_SSE2
    __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i*) p), _mm_set1_epi8('0'));
    return (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(x, _mm_set1_epi8(10)), x));
#else
    uint32_t out = 0;
    for (int i = 0; i < 2; i++) {
        uint64_t v = scan_load8(p + 8 * i) ^ 0x3030303030303030u;
        uint64_t m = (((v & 0x7f7f7f7f7f7f7f7fu) + 0x7676767676767676u) | v) & 0x8080808080808080u;
        out |= (uint32_t) (((m >> 7) * 0x0102040810204080u) >> 56) << (8 * i);
    }
    return out;
#endif
}

/* Value of the first n (0..8) digits of v, whose bytes are 0..9 each. */
static inline uint64_t scan_value8(uint64_t v, uint32_t n) {
    uint32_t half = 4 * (8 - n);   /* two shifts: one of 64 would be undefined */
    v = (v << half) << half;
    v = v * 10 + (v >> 8);
    return (((v & 0x000000ff000000ffu) * 0x000f424000000064u) + (((v >> 16) & 0x000000ff000000ffu) * 0x0000271000000001u)) >> 32;
}

static inline uint64_t scan_digits8(const char* p, uint32_t n) {
    return scan_value8(scan_load8(p) ^ 0x3030303030303030u, n);
}

/* n. If n equals the guess, the processor can continue with the guess before n is computed. */
static inline uint32_t scan_guess(uint32_t n, uint32_t guess) {
    if (__builtin_expect(n == guess, 1)) {
        __asm__("" : "+r"(guess));
        return guess;
    }
    return n;
}

static const uint64_t SCAN_POWER[17] = {1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
    10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull, 10000000000000000ull};
static const double SCAN_SCALE[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22};

/* Length of a JSON integer of 1..16 digits, no sign, no leading zero; else 0. */
static inline uint32_t scan_integer_size(const char* p) {
    uint32_t k = (uint32_t) __builtin_ctz(scan_nondigits(p) | 0x10000u);
    if (__builtin_expect(k > 15, 0) && (uint32_t) (unsigned char) p[16] - '0' <= 9)
        return 0;
    return k > 1 && *p == '0' ? 0 : k;
}

/* The same with its value. */
static inline uint32_t scan_integer(const char* p, int64_t* value) {
    uint32_t k = scan_integer_size(p);
    if (k == 0)
        return 0;
    if (k <= 8)
        *value = (int64_t) scan_digits8(p, k);
    else
        *value = (int64_t) (scan_digits8(p, 8) * SCAN_POWER[k - 8] + scan_digits8(p + 8, k - 8));
    return k;
}

/* Up to 17 digits and a point: the rare long number. */
static inline uint32_t scan_decimal_long(const char* p, double* value) {
    uint64_t mantissa = 0;
    uint32_t i = 0, digits = 0, fraction = 0, point = 0;
    for (; i < 20; i++) {
        uint32_t c = (uint32_t) (unsigned char) p[i] - '0';
        if (c <= 9) {
            mantissa = mantissa * 10 + c;
            fraction += point;
            digits++;
        } else if (p[i] == '.' && !point && digits) {
            point = 1;
        } else {
            break;
        }
    }
    if (digits == 0 || digits > 17 || i == 20 || (point && fraction == 0) || mantissa > (1ull << 53))
        return 0;
    *value = (double) mantissa / SCAN_SCALE[fraction];
    return i;
}

/* A plain decimal number (digits, optionally a point and digits): the nearest double. Its mantissa fits in 53 bits and the power of ten is
   exact, so that the one division rounds correctly; anything longer is refused (returns 0), else returns the length. */
static inline uint32_t scan_decimal(const char* p, double* value) {
    uint32_t other = scan_nondigits(p) | 0x10000u;
    uint32_t whole = (uint32_t) __builtin_ctz(other);
    uint32_t point = p[whole] == '.';
    uint32_t rest = other & (other - 1);
    uint32_t stop = point ? (uint32_t) __builtin_ctz(rest | 0x20000u) : whole;
    uint32_t fraction = stop - whole - point;
    uint64_t mantissa;
    if (whole == 0 || (point && fraction == 0))
        return 0;
    if (__builtin_expect(stop <= 8, 1)) {   /* all of it in one word: close the gap where the point was */
        uint64_t v = scan_load8(p) ^ 0x3030303030303030u, below = ((uint64_t) 1 << (8 * whole & 63)) - 1;
        if (whole < 8)
            v = (v & below) | ((v >> 8 * point) & ~below);
        mantissa = scan_value8(v, stop - point);
        *value = (double) (int64_t) mantissa / SCAN_SCALE[fraction];
        return stop;
    }
    if (__builtin_expect(whole > 8 || fraction > 8 || stop > 15, 0))
        return scan_decimal_long(p, value);
    mantissa = scan_digits8(p, whole) * SCAN_POWER[fraction] + scan_digits8(p + whole + point, fraction);
    if (__builtin_expect(mantissa > (1ull << 53), 0))
        return 0;
    *value = (double) (int64_t) mantissa / SCAN_SCALE[fraction];
    return stop;
}

/* Bytes among the 16 at p that end plain text: the quote, `other`, or a byte that plain text cannot contain (control byte, not ASCII). */
static inline uint32_t scan_stops_at(const char* p, char other) {
#ifdef SCAN_SSE2
    __m128i x = _mm_loadu_si128((const __m128i*) p);
    __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8(other)));
    return (uint32_t) _mm_movemask_epi8(_mm_or_si128(stop, _mm_cmplt_epi8(x, _mm_set1_epi8(0x20))));
#else
    uint32_t out = 0;
    for (int i = 0; i < 16; i++)
        out |= (uint32_t) (p[i] == '"' || p[i] == other || (signed char) p[i] < 0x20) << i;
    return out;
#endif
}

/* The same of JSON, where a backslash is no plain text. */
static inline uint32_t scan_stops(const char* p) {
    return scan_stops_at(p, '\\');
}

/* Bytes among the 16 at p before the end of a cell of a delimited row; a cell that is not plain ends there, too. */
static inline uint32_t scan_cell(const char* p, char delimiter) {
    return (uint32_t) __builtin_ctz(scan_stops_at(p, delimiter) | 0x10000u);
}

/* Newlines among n bytes. */
static inline size_t scan_lines(const char* p, size_t n) {
    size_t lines = 0, i = 0;
    for (; i + 128 <= n; i += 128) {
        unsigned char some = 0;   /* a sum of bytes is summed in vectors */
        for (int k = 0; k < 128; k++)
            some = (unsigned char) (some + (p[i + k] == '\n'));
        lines += some;
    }
    for (; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

typedef struct { uint64_t word[4]; } scan_name_t;

static const unsigned char SCAN_ONES[64] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

/* The first `size` bytes at p (at most 31), zero-padded. */
static inline void scan_take(const char* p, uint32_t size, scan_name_t* name) {
    for (int i = 0; i < 4; i++)
        name->word[i] = scan_load8(p + 8 * i) & scan_load8((const char*) SCAN_ONES + 32 - size + 8 * i);
}

/* The plain text before the next quote, zero-padded. Returns its length (1..31), or 0 if it is not plain, empty or too long. */
static inline uint32_t scan_name(const char* p, scan_name_t* name) {
    uint32_t stops = scan_stops(p), k;
    if (__builtin_expect(stops == 0, 0))
        stops = scan_stops(p + 16) << 16;
    if (stops == 0)
        return 0;
    k = (uint32_t) __builtin_ctz(stops);
    if (p[k] != '"')
        return 0;
    scan_take(p, k, name);
    return k;
}

static inline uint64_t scan_hash(const scan_name_t* a) {
    uint64_t h = a->word[0] * 0x9e3779b97f4a7c15u ^ a->word[1] * 0xc2b2ae3d27d4eb4fu ^ a->word[2] * 0x165667b19e3779f9u ^ a->word[3];
    return (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u >> 32;
}

static inline int scan_name_same(const scan_name_t* a, const scan_name_t* b) {
    return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) | (a->word[3] ^ b->word[3])) == 0;
}
#endif
