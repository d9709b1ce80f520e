/* Integers, hexadecimal and exact decimals into a buffer. The caller guarantees room: 40 bytes a number, and 16 bytes of slack behind a copy. */
#ifndef LIQCORE_SCAN_PRINT_H
#define LIQCORE_SCAN_PRINT_H

#include <stdint.h>
#include <string.h>

/* The eight digits of a value below 10**8 in reading order: halves, pairs and digits are split in parallel. */
static inline uint64_t scan_eight_digits(uint32_t value) {
    uint64_t x = (uint64_t) (value / 10000) | (uint64_t) (value % 10000) << 32;
    uint64_t pairs = (x * 10486 >> 20) & 0x0000007F0000007FULL;
    x = pairs | (x - 100 * pairs) << 16;
    uint64_t tens = (x * 103 >> 10) & 0x000F000F000F000FULL;
    return (tens | (x - 10 * tens) << 8) + 0x3030303030303030ULL;
}

/* Write the digits of value so that they end at `end`, with zeros before them, at most 24 bytes. Returns the number of digits. */
static inline int scan_digits_before(char* end, uint64_t value) {
    char* p = end - 8;
    uint64_t x;
    for (; value >= 100000000; value /= 100000000, p -= 8) {
        x = scan_eight_digits((uint32_t) (value % 100000000));
        memcpy(p, &x, 8);
    }
    x = scan_eight_digits((uint32_t) value);
    memcpy(p, &x, 8);
    int zeros = __builtin_ctzll((x & 0x0F0F0F0F0F0F0F0FULL) | 1ULL << 56) / 8;        /* the last digit stays, also if it is 0 */
    return (int) (end - p) - zeros;
}

static inline int scan_print_integer(char* out, uint64_t value) {
    char digits[48] = {0};
    int n = scan_digits_before(digits + 24, value);
    memcpy(out, digits + 24 - n, 24);
    return n;
}

/* count * mantissa / 10**decimals with all decimals of the step. Returns the length (at most 34), or -1 if the product overflows. */
static inline int scan_print_decimal(char* out, int64_t count, int64_t mantissa, int decimals) {
    char digits[64];
    int64_t value;
    int n, whole;
    if (count < 0 || decimals < 0 || decimals > 12 || __builtin_mul_overflow(count, mantissa, &value))
        return -1;
    memset(digits, '0', sizeof digits);
    n = scan_digits_before(digits + 40, (uint64_t) value);
    if (n < decimals + 1)
        n = decimals + 1;
    whole = n - decimals;
    memcpy(out, digits + 40 - n, 24);                      /* whole blocks: the length of a copy is known to the compiler */
    if (decimals == 0)
        return whole;
    out[whole] = '.';
    memcpy(out + whole + 1, digits + 40 - decimals, 16);
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
