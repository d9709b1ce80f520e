/* The body of quantile.h, included once per index width: QUANTILE_INDEX, QUANTILE_BUCKET and QUANTILE_NAME(name) are set by it. */

static inline void QUANTILE_NAME(quantile_push)(quantile_t* s, double x) {
    QUANTILE_BUCKET* buckets = (QUANTILE_BUCKET*) s->buckets;
    QUANTILE_INDEX* next = (QUANTILE_INDEX*) s->next;
    int32_t slot = s->slot, cursor = s->cursor, below = s->below, bx = quantile_bucket(x);
    int fresh = s->fresh;
    if (__builtin_expect(s->count == s->window, 1)) {
        double y = s->values[slot];
        int32_t by = quantile_bucket(y);
        QUANTILE_BUCKET* old = &buckets[by];
        next[old->tail] = next[slot];                      /* the oldest value is the head of its list */
        old->count--;
        s->occupied[by >> 6] &= ~((uint64_t) (old->count == 0) << (by & 63));    /* no branch: emptiness is a coin toss in the tail */
        below -= by < cursor;
        /* both order statistics stay what they are when one value goes and one comes on the same side of them */
        fresh &= ((x <= s->lower) & (y < s->lower)) | ((x >= s->upper) & (y > s->upper)) | (x == y);
    } else {
        cursor = s->count ? cursor : bx;
        s->count++;
        quantile_set_rank(s);
        fresh = 0;
    }
    QUANTILE_BUCKET* own = &buckets[bx];
    QUANTILE_INDEX tail = own->count ? own->tail : (QUANTILE_INDEX) slot;
    next[slot] = next[tail];                               /* an empty bucket: slot becomes its own successor in the next line */
    next[tail] = (QUANTILE_INDEX) slot;
    own->tail = (QUANTILE_INDEX) slot;
    own->count++;
    s->occupied[bx >> 6] |= 1ULL << (bx & 63);
    s->values[slot] = x;
    s->slot = slot + 1 == s->window ? 0 : slot + 1;
    below += bx < cursor;
    while (s->rank < below) {
        cursor = quantile_previous_bucket(s->occupied, cursor);
        below -= (int32_t) buckets[cursor].count;
    }
    while (s->rank >= below + (int32_t) buckets[cursor].count) {
        below += (int32_t) buckets[cursor].count;
        cursor = quantile_next_bucket(s->occupied, cursor);
    }
    s->cursor = cursor;
    s->below = below;
    s->fresh = (uint8_t) fresh;
}

/* The bucket of the order statistic rank + 1 (of rank itself, where the value does not depend on rank + 1). */
static inline int32_t QUANTILE_NAME(quantile_upper_bucket)(const quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    if (s->fraction == 0.0 || s->rank + 1 < s->below + (int32_t) buckets[s->cursor].count) return s->cursor;
    return quantile_next_bucket(s->occupied, s->cursor);
}

/* Narrow [*low, *high] (bit patterns: positive doubles order like their bits) to a stretch that holds the r-th smallest member of a crowded
 * bucket and at most QUANTILE_SMALL members, by counting into 256 parts a pass. Returns r relative to the stretch. Ties end it at once. */
static int32_t QUANTILE_NAME(quantile_narrow)(const quantile_t* s, int32_t head, int32_t members, int32_t r, uint64_t* low, uint64_t* high) {
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    int linear = members > s->count / 8;                   /* a crowded window is read in order rather than chased through its links */
    int32_t steps = linear ? s->count : members;
    uint32_t parts[256];
    for (;;) {
        uint64_t least = ~0ULL, most = 0;
        int32_t inside = 0;
        for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
            uint64_t bits = quantile_bits(s->values[at]);
            if (bits < *low || bits > *high) continue;
            least = bits < least ? bits : least;
            most = bits > most ? bits : most;
            inside++;
        }
        *low = least;
        *high = most;
        if (inside <= QUANTILE_SMALL || least == most) return r;
        int shift = 64 - __builtin_clzll(most - least) - 8;
        shift = shift < 0 ? 0 : shift;
        memset(parts, 0, sizeof(parts));
        for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
            uint64_t bits = quantile_bits(s->values[at]);
            if (bits >= least && bits <= most) parts[(bits - least) >> shift]++;
        }
        uint64_t part = 0;
        while (r >= (int32_t) parts[part]) r -= (int32_t) parts[part++];
        *low = least + (part << shift);
        *high = least + ((part + 1) << shift) - 1;
        *high = *high < most ? *high : most;
    }
}

/* The r-th smallest member of bucket b, and (where above is wanted) the one after it, which is in the same bucket. */
static double QUANTILE_NAME(quantile_select)(const quantile_t* s, int32_t b, int32_t r, double* above) {
    const QUANTILE_BUCKET* bucket = &((const QUANTILE_BUCKET*) s->buckets)[b];
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    int32_t members = (int32_t) bucket->count, head = (int32_t) next[bucket->tail], rest = r, size = 0;
    uint64_t low = 0, high = ~0ULL;
    double sorted[QUANTILE_SMALL + 1], result;
    if (members > QUANTILE_SMALL) {
        /* bounds of the bucket: a linear pass sees the other buckets' values too */
        low = b == 0 ? 0 : (uint64_t) (b + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS);
        high = b == QUANTILE_BUCKETS - 1 ? ~0ULL : ((uint64_t) (b + 1 + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS)) - 1;
        rest = QUANTILE_NAME(quantile_narrow)(s, head, members, r, &low, &high);
    }
    if (low == high) {
        memcpy(&result, &low, 8);
    } else {
        for (int32_t i = 0, at = head; i < members; i++, at = (int32_t) next[at]) {
            double x = s->values[at];
            int32_t j = size;
            if (quantile_bits(x) < low || quantile_bits(x) > high) continue;
            for (; j > 0 && sorted[j - 1] > x; j--) sorted[j] = sorted[j - 1];
            sorted[j] = x;
            size++;
        }
        result = sorted[rest];
    }
    if (above) {
        if (rest + 1 < size) {
            *above = sorted[rest + 1];
        } else {                                           /* outside the stretch: a tie, or the least value above */
            int32_t not_above = 0;
            double least = __builtin_inf();
            for (int32_t i = 0, at = head; i < members; i++, at = (int32_t) next[at]) {
                double x = s->values[at];
                not_above += x <= result;
                least = x > result && x < least ? x : least;
            }
            *above = not_above > r + 1 ? result : least;
        }
    }
    return result;
}

static void QUANTILE_NAME(quantile_refresh)(quantile_t* s) {
    int32_t r = s->rank - s->below, upper = QUANTILE_NAME(quantile_upper_bucket)(s);
    if (s->fraction == 0.0) {
        s->lower = s->upper = s->value = QUANTILE_NAME(quantile_select)(s, s->cursor, r, NULL);
    } else {
        s->lower = QUANTILE_NAME(quantile_select)(s, s->cursor, r, upper == s->cursor ? &s->upper : NULL);
        if (upper != s->cursor) s->upper = QUANTILE_NAME(quantile_select)(s, upper, 0, NULL);
        s->value = quantile_lerp(s->lower, s->upper, s->fraction);
    }
    s->fresh = 1;
}
