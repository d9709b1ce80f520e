/* The body of quantile.h, included once per index width: QUANTILE_INDEX, QUANTILE_BUCKET and QUANTILE_NAME(name) are set by it. */

/* The window is not full: no value leaves, and the rank moves. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_grow)(quantile_t* s, double x) {
    int32_t rank = s->rank;
    if (s->count == 0) s->cursor = quantile_bucket(x);
    s->count++;
    quantile_set_rank(s);
    s->near_at += s->rank - rank;
    quantile_near_bound(s);
}

static inline void QUANTILE_NAME(quantile_push)(quantile_t* s, double x) {
    QUANTILE_BUCKET* buckets = (QUANTILE_BUCKET*) s->buckets;
    int32_t slot = s->slot, bx = quantile_bucket(x), below = 0;
    uint64_t absent = INT64_MAX;                           /* bits above every value's */
    double y;
    memcpy(&y, &absent, 8);
    if (__builtin_expect(s->count == s->window, 1)) {
        y = s->values[slot];
        int32_t by = quantile_bucket(y);
        buckets[by].count--;                               /* the oldest value is the end of its list */
        below -= by < s->cursor;
    } else {
        QUANTILE_NAME(quantile_grow)(s, x);
    }
    s->below += below + (bx < s->cursor);
    ((QUANTILE_INDEX*) s->next)[slot] = buckets[bx].head;
    buckets[bx].head = (QUANTILE_INDEX) slot;
    buckets[bx].count++;
    s->occupied[bx >> 6] |= 1ULL << (bx & 63);
    s->values[slot] = x;
    s->slot = slot + 1 == s->window ? 0 : slot + 1;
    int64_t from_x = (int64_t) (quantile_bits(x) - s->near_low), from_y = (int64_t) (quantile_bits(y) - s->near_low);
    s->near_at += (int32_t) (from_x >> 63) - (int32_t) (from_y >> 63);
    if (__builtin_expect(((uint64_t) from_x < s->near_span) | ((uint64_t) from_y < s->near_span), 0)) quantile_near_update(s, x, y);
}

/* Smallest occupied bucket above b, largest below b; the caller knows that there is one. */
static inline int32_t QUANTILE_NAME(quantile_next_bucket)(const quantile_t* s, int32_t b) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    for (;;) {
        int32_t word = ++b >> 6;
        uint64_t bits = s->occupied[word] & (~0ULL << (b & 63));
        while (!bits) bits = s->occupied[++word];
        b = (word << 6) + __builtin_ctzll(bits);
        if (buckets[b].count) return b;
        s->occupied[word] &= ~(1ULL << (b & 63));
    }
}

static inline int32_t QUANTILE_NAME(quantile_previous_bucket)(const quantile_t* s, int32_t b) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    for (;;) {
        int32_t word = --b >> 6;
        uint64_t bits = s->occupied[word] & (~0ULL >> (63 - (b & 63)));
        while (!bits) bits = s->occupied[--word];
        b = (word << 6) + 63 - __builtin_clzll(bits);
        if (buckets[b].count) return b;
        s->occupied[word] &= ~(1ULL << (b & 63));
    }
}

/* Move the cursor to the bucket of the order statistic `rank`. */
static inline void QUANTILE_NAME(quantile_settle)(quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    while (s->rank < s->below) {
        s->cursor = QUANTILE_NAME(quantile_previous_bucket)(s, s->cursor);
        s->below -= (int32_t) buckets[s->cursor].count;
    }
    while (s->rank >= s->below + (int32_t) buckets[s->cursor].count) {
        s->below += (int32_t) buckets[s->cursor].count;
        s->cursor = QUANTILE_NAME(quantile_next_bucket)(s, s->cursor);
    }
}

/* The bucket of the order statistic rank + 1 (of rank itself, where the value does not depend on rank + 1); the cursor is settled. */
static inline int32_t QUANTILE_NAME(quantile_upper_bucket)(const quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    if (s->fraction == 0.0 || s->rank + 1 < s->below + (int32_t) buckets[s->cursor].count) return s->cursor;
    return QUANTILE_NAME(quantile_next_bucket)(s, s->cursor);
}

/* Gather the run if the rank's bucket is crowded. Each round counts the values of a range of bit patterns in 256 equal parts and keeps the part with
the r-th value, with as many neighbours as the run can hold. `members` values are read from `head` along the links; if they are a large part of the
window, it is read in order of the ring instead. Ties end the search at once. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather_crowded)(quantile_t* s, int32_t head, int32_t members, int32_t r,
                                                                           uint64_t low, uint64_t high, int trend) {
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    const int linear = members > s->count / 8;
    const int32_t steps = linear ? s->count : members;
    int32_t inside = members, first_rank = s->rank - r;    /* of the range: members, and the order statistic of its least */
    uint32_t parts[256];
    for (int round = 0;; round++) {
        if (round > 0 || high - low >= 1ULL << 52) {       /* the first round uses the bucket's own bounds, unless it is an edge bucket */
            uint64_t least = ~0ULL, most = 0;
            for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
                uint64_t bits = quantile_bits(s->values[at]);
                int in = (bits >= low) & (bits <= high);
                least = in & (bits < least) ? bits : least;
                most = in & (bits > most) ? bits : most;
            }
            low = least;
            high = most;
        }
        if (low == high) break;
        int shift = 64 - __builtin_clzll(high - low) - 8;
        shift = shift < 0 ? 0 : shift;
        memset(parts, 0, sizeof(parts));
        for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
            uint64_t from = quantile_bits(s->values[at]) - low;
            if (from <= high - low) parts[from >> shift]++;
        }
        int32_t from = 0, to, before = 0;
        while (r >= before + (int32_t) parts[from]) before += (int32_t) parts[from++];
        to = from;
        inside = (int32_t) parts[from];
        for (int up = 1, down = 1; (up | down) && inside < (trend ? QUANTILE_NEAR : QUANTILE_NEAR * 5 / 8);) {
            up = up && (trend >= 0 || r + 2 >= before + inside) && to < 255 && inside + (int32_t) parts[to + 1] <= QUANTILE_NEAR;
            if (up) inside += (int32_t) parts[++to];
            down = down && (trend <= 0 || r < before + 2) && from > 0 && inside + (int32_t) parts[from - 1] <= QUANTILE_NEAR;
            if (down) inside += (int32_t) parts[--from], before -= (int32_t) parts[from];
        }
        r -= before;
        first_rank += before;
        uint64_t top = low + ((uint64_t) (to + 1) << shift) - 1;
        high = top < high ? top : high;
        low += (uint64_t) from << shift;
        if (inside <= QUANTILE_NEAR) break;
    }
    if (low == high) {                                     /* equal values: a run around the rank */
        int32_t from = r > QUANTILE_NEAR / 2 ? r - QUANTILE_NEAR / 2 : 0;
        s->near_at = s->rank - first_rank - from;
        s->near_count = inside - from < QUANTILE_NEAR ? inside - from : QUANTILE_NEAR;
        for (int32_t i = 0; i < s->near_count; i++) memcpy(&s->near[i], &low, 8);
        return;
    }
    s->near_at = s->rank - first_rank;
    s->near_count = 0;
    for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
        double x = s->values[at];
        int32_t j = s->near_count;
        if (quantile_bits(x) - low > high - low) continue;
        for (; j > 0 && s->near[j - 1] > x; j--) s->near[j] = s->near[j - 1];
        s->near[j] = x;
        s->near_count++;
    }
}

/* Append the members of a bucket to the run, sorted. The run's values are smaller, and there is room. */
static inline void QUANTILE_NAME(quantile_gather_bucket)(quantile_t* s, int32_t b) {
    const QUANTILE_BUCKET* bucket = &((const QUANTILE_BUCKET*) s->buckets)[b];
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    int32_t at = (int32_t) bucket->head;
    for (int32_t i = (int32_t) bucket->count; i > 0; i--) {
        double x = s->values[at];
        int32_t j = s->near_count++;
        for (; j > 0 && s->near[j - 1] > x; j--) s->near[j] = s->near[j - 1];
        s->near[j] = x;
        at = (int32_t) next[at];
    }
}

/* Append the order statistic rank + 1 if it is not in the run: the least value above it, in this bucket or the next. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather_upper)(quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    double top = s->near[s->near_count - 1], least = __builtin_inf();
    int32_t b = s->rank + 1 < s->below + (int32_t) buckets[s->cursor].count ? s->cursor : QUANTILE_NAME(quantile_next_bucket)(s, s->cursor);
    int32_t at = (int32_t) buckets[b].head;
    for (int32_t i = (int32_t) buckets[b].count; i > 0; i--, at = (int32_t) next[at]) {
        double x = s->values[at];
        least = x > top && x < least ? x : least;
    }
    if (s->near_count == QUANTILE_NEAR) {
        memmove(s->near, s->near + 1, (QUANTILE_NEAR - 1) * sizeof(double));
        s->near_at--;
        s->near_count--;
    }
    s->near[s->near_count++] = least;
}

/* Fill the run with order statistics around the rank: whole buckets, the rank's and neighbours, while they fit. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather)(quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    QUANTILE_NAME(quantile_settle)(s);
    const int trend = quantile_trend(s);
    int32_t from = s->cursor, to = s->cursor, before = s->below, after = s->below + (int32_t) buckets[s->cursor].count, other, members;
    if (after - before > QUANTILE_NEAR) {
        /* the edge buckets also have all values beyond them */
        uint64_t low = from == 0 ? 0 : (uint64_t) (from + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS);
        uint64_t high = from == QUANTILE_BUCKETS - 1 ? ~0ULL : ((uint64_t) (from + 1 + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS)) - 1;
        QUANTILE_NAME(quantile_gather_crowded)(s, (int32_t) buckets[from].head, after - before, s->rank - before, low, high, trend);
    } else {
        int32_t enough = s->window / 48;
        enough = enough < 4 ? 4 : enough > 12 ? 12 : enough;
        if (trend != 0) enough = 24;
        for (int up = 1, down = 1; (up | down) && after - before < enough;) {
            up = up && (trend >= 0 || s->rank + 2 >= after) && after < s->count;
            if (up) {
                members = (int32_t) buckets[other = QUANTILE_NAME(quantile_next_bucket)(s, to)].count;
                up = after - before + members <= QUANTILE_NEAR;
                if (up) to = other, after += members;
            }
            down = down && (trend <= 0 || s->rank < before + 2) && before > 0;
            if (down) {
                members = (int32_t) buckets[other = QUANTILE_NAME(quantile_previous_bucket)(s, from)].count;
                down = after - before + members <= QUANTILE_NEAR;
                if (down) from = other, before -= members;
            }
        }
        s->near_count = 0;
        s->near_at = s->rank - before;
        for (int32_t b = from;; b = QUANTILE_NAME(quantile_next_bucket)(s, b)) {
            QUANTILE_NAME(quantile_gather_bucket)(s, b);
            if (b == to) break;
        }
    }
    quantile_near_bound(s);
    if (!quantile_is_near(s)) {
        QUANTILE_NAME(quantile_gather_upper)(s);
        quantile_near_bound(s);
    }
    s->near_slot = s->slot;
}

/* Push x[i] and read the value into y[i]; one width for the whole array. */
static void QUANTILE_NAME(quantile_run)(quantile_t* s, const double* x, double* y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        QUANTILE_NAME(quantile_push)(s, x[i]);
        if (__builtin_expect(!quantile_is_near(s), 0)) QUANTILE_NAME(quantile_gather)(s);
        y[i] = quantile_read(s);
    }
}
