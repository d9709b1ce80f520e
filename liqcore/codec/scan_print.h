/* Integers, hexadecimal and exact decimals into a buffer. The caller guarantees room: 24 bytes a number, and 16 bytes of slack behind a copy. */
#ifndef LIQCORE_SCAN_PRINT_H
#define LIQCORE_SCAN_PRINT_H

#include <stdint.h>
#include <string.h>

static const char SCAN_PAIRS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566"
    "676869707172737475767778798081828384858687888990919293949596979899";

/* Digits of value, right-aligned so that they end at `end`. Returns how many. */
static inline int scan_digits_before(char* end, uint64_t value) {
    char* p = end;
    while (value >= 100) {
        p -= 2;
        memcpy(p, SCAN_PAIRS + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        p -= 2;
        memcpy(p, SCAN_PAIRS + 2 * value, 2);
    } else {
        *--p = (char) ('0' + value);
    }
    return (int) (end - p);
}

static inline int scan_print_integer(char* out, uint64_t value) {
    char digits[24];
    int n = scan_digits_before(digits + 24, value);
    memcpy(out, digits + 24 - n, (size_t) n);
    return n;
}

/* count * mantissa / 10**decimals with all decimals of the step. Returns the length (at most 34), or -1 where the product overflows. */
static inline int scan_print_decimal(char* out, int64_t count, int64_t mantissa, int decimals) {
    char digits[40];
    int64_t value;
    int n, whole;
    if (count < 0 || decimals < 0 || decimals > 12 || __builtin_mul_overflow(count, mantissa, &value))
        return -1;
    memset(digits, '0', sizeof digits);
    n = scan_digits_before(digits + 40, (uint64_t) value);
    if (n < decimals + 1)
        n = decimals + 1;
    whole = n - decimals;
    memcpy(out, digits + 40 - n, (size_t) whole);
    if (decimals == 0)
        return whole;
    out[whole] = '.';
    memcpy(out + whole + 1, digits + 40 - decimals, (size_t) decimals);
    return n + 1;
}

static inline int scan_print_hex(char* out, uint64_t value) {
    int n = value ? (67 - __builtin_clzll(value)) / 4 : 1;
    for (int i = n - 1; i >= 0; i--) {
        out[i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    return n;
}

/* Copies in whole 16-byte blocks: may write up to 15 bytes beyond size, and read as many beyond the text. */
static inline void scan_copy(char* out, const char* text, int size) {
    int i = 0;
    do {
        memcpy(out + i, text + i, 16);
        i += 16;
    } while (i < size);
}
#endif
