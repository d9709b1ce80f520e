/* The body of quantile.h, included once per index width: QUANTILE_INDEX, QUANTILE_BUCKET and QUANTILE_NAME(name) are set by it. */

static inline void QUANTILE_NAME(quantile_push)(quantile_t* s, double x) {
    QUANTILE_BUCKET* buckets = (QUANTILE_BUCKET*) s->buckets;
    QUANTILE_INDEX* next = (QUANTILE_INDEX*) s->next;
    int32_t slot = s->slot, cursor = s->cursor, below = s->below, bx = quantile_bucket(x);
    double y = __builtin_nan("");
    if (__builtin_expect(s->count == s->window, 1)) {
        y = s->values[slot];
        int32_t by = quantile_bucket(y);
        QUANTILE_BUCKET* old = &buckets[by];
        next[old->tail] = next[slot];                      /* the oldest value is the head of its list */
        old->count--;
        s->occupied[by >> 6] &= ~((uint64_t) (old->count == 0) << (by & 63));    /* no branch: emptiness is a coin toss in the tail */
        below -= by < cursor;
    } else {
        cursor = s->count ? cursor : bx;
        s->count++;
        quantile_set_rank(s);
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
    double low = s->near_low, high = s->near_high;
    s->near_rank += (x < low) - (y < low);
    if (__builtin_expect(((x >= low) & (x <= high)) | ((y >= low) & (y <= high)), 0)) {
        if ((y >= low) & (y <= high)) quantile_near_delete(s, y);
        /* after a deletion at an end x may lie beside the run that is left: then it only shifts it */
        if (x >= low) {
            if (x < s->near_low) s->near_rank++;
            else if (x <= s->near_high) quantile_near_insert(s, x);
        }
    }
}

/* The bucket of the order statistic rank + 1 (of rank itself, where the value does not depend on rank + 1). */
static inline int32_t QUANTILE_NAME(quantile_upper_bucket)(const quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    if (s->fraction == 0.0 || s->rank + 1 < s->below + (int32_t) buckets[s->cursor].count) return s->cursor;
    return quantile_next_bucket(s->occupied, s->cursor);
}

/* Gather the run where the rank's bucket is crowded. Only values with bit patterns (positive doubles order like their bits) in a stretch are
 * looked at; each round counts them in 256 equal parts and keeps the part that holds the r-th, with as many neighbours as the run takes.
 * `members` values from `head` along the links are seen; a crowded window is read in order of the ring instead. Ties end it at once. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather_crowded)(quantile_t* s, int32_t head, int32_t members, int32_t r,
                                                                               uint64_t low, uint64_t high) {
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    const int linear = members > s->count / 8;
    const int32_t steps = linear ? s->count : members;
    int32_t inside = members, first_rank = s->rank - r;    /* of the stretch: members, and the order statistic of its least */
    uint32_t parts[256];
    for (;;) {
        uint64_t least = ~0ULL, most = 0;
        for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
            uint64_t bits = quantile_bits(s->values[at]);
            int in = (bits >= low) & (bits <= high);
            least = in & (bits < least) ? bits : least;
            most = in & (bits > most) ? bits : most;
        }
        low = least;
        high = most;
        if (inside <= QUANTILE_NEAR || low == high) break;
        int shift = 64 - __builtin_clzll(high - low) - 8;
        shift = shift < 0 ? 0 : shift;
        memset(parts, 0, sizeof(parts));
        for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
            uint64_t bits = quantile_bits(s->values[at]);
            if ((bits >= low) & (bits <= high)) parts[(bits - low) >> shift]++;
        }
        int32_t from = 0, to, before = 0;
        while (r >= before + (int32_t) parts[from]) before += (int32_t) parts[from++];
        to = from;
        inside = (int32_t) parts[from];
        for (int grown = 1; grown && inside < QUANTILE_NEAR;) {
            grown = 0;
            if (to < 255 && inside + (int32_t) parts[to + 1] <= QUANTILE_NEAR) { inside += (int32_t) parts[++to]; grown = 1; }
            if (from > 0 && inside + (int32_t) parts[from - 1] <= QUANTILE_NEAR) {
                inside += (int32_t) parts[--from];
                before -= (int32_t) parts[from];
                grown = 1;
            }
        }
        r -= before;
        first_rank += before;
        uint64_t top = low + ((uint64_t) (to + 1) << shift) - 1;
        high = top < high ? top : high;
        low += (uint64_t) from << shift;
    }
    if (low == high) {                                     /* equal values: a run around the rank */
        int32_t from = r > QUANTILE_NEAR / 2 ? r - QUANTILE_NEAR / 2 : 0;
        s->near_rank = first_rank + from;
        s->near_count = inside - from < QUANTILE_NEAR ? inside - from : QUANTILE_NEAR;
        for (int32_t i = 0; i < s->near_count; i++) memcpy(&s->near[i], &low, 8);
        return;
    }
    s->near_rank = first_rank;
    s->near_count = 0;
    for (int32_t i = 0, at = linear ? 0 : head; i < steps; i++, at = linear ? at + 1 : (int32_t) next[at]) {
        double x = s->values[at];
        int32_t j = s->near_count;
        if (quantile_bits(x) < low || quantile_bits(x) > high) continue;
        for (; j > 0 && s->near[j - 1] > x; j--) s->near[j] = s->near[j - 1];
        s->near[j] = x;
        s->near_count++;
    }
}

/* Insert the members of a bucket into the run, sorted; there is room. */
static void QUANTILE_NAME(quantile_gather_bucket)(quantile_t* s, int32_t b) {
    const QUANTILE_BUCKET* bucket = &((const QUANTILE_BUCKET*) s->buckets)[b];
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    int32_t at = (int32_t) bucket->tail;
    for (int32_t i = (int32_t) bucket->count; i > 0; i--) {
        double x = s->values[at];
        int32_t j = s->near_count++;
        for (; j > 0 && s->near[j - 1] > x; j--) s->near[j] = s->near[j - 1];
        s->near[j] = x;
        at = (int32_t) next[at];
    }
}

/* The order statistic rank + 1 where it did not make it into the run: the least value above it, in this bucket or the next. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather_upper)(quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    double top = s->near[s->near_count - 1], least = __builtin_inf();
    int32_t b = s->rank + 1 < s->below + (int32_t) buckets[s->cursor].count ? s->cursor : quantile_next_bucket(s->occupied, s->cursor);
    int32_t at = (int32_t) buckets[b].tail;
    for (int32_t i = (int32_t) buckets[b].count; i > 0; i--, at = (int32_t) next[at]) {
        double x = s->values[at];
        least = x > top && x < least ? x : least;
    }
    if (s->near_count == QUANTILE_NEAR) {
        memmove(s->near, s->near + 1, (QUANTILE_NEAR - 1) * sizeof(double));
        s->near_rank++;
        s->near_count--;
    }
    s->near[s->near_count++] = least;
}

/* Fill the run with order statistics around the rank: whole buckets, the rank's and neighbours, while they fit. */
static __attribute__((noinline)) void QUANTILE_NAME(quantile_gather)(quantile_t* s) {
    const QUANTILE_BUCKET* buckets = (const QUANTILE_BUCKET*) s->buckets;
    const QUANTILE_INDEX* next = (const QUANTILE_INDEX*) s->next;
    int32_t from = s->cursor, to = s->cursor, before = s->below, after = s->below + (int32_t) buckets[s->cursor].count, other;
    if (after - before > QUANTILE_NEAR) {
        /* the edge buckets also hold everything beyond them */
        uint64_t low = from == 0 ? 0 : (uint64_t) (from + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS);
        uint64_t high = from == QUANTILE_BUCKETS - 1 ? ~0ULL : ((uint64_t) (from + 1 + QUANTILE_BASE) << (52 - QUANTILE_BUCKET_BITS)) - 1;
        QUANTILE_NAME(quantile_gather_crowded)(s, (int32_t) next[buckets[from].tail], after - before, s->rank - before, low, high);
    } else {
        /* a longer run is gathered less often but touched by more pushes */
        int32_t enough = s->window / 48;
        enough = enough < 4 ? 4 : enough > 16 ? 16 : enough;
        s->near_count = 0;
        QUANTILE_NAME(quantile_gather_bucket)(s, s->cursor);
        for (int growing = 1; growing && s->near_count < enough;) {
            growing = 0;
            if (after < s->count && s->near_count + (int32_t) buckets[other = quantile_next_bucket(s->occupied, to)].count <= QUANTILE_NEAR) {
                QUANTILE_NAME(quantile_gather_bucket)(s, to = other);
                after += (int32_t) buckets[other].count;
                growing = 1;
            }
            if (before > 0 && s->near_count + (int32_t) buckets[other = quantile_previous_bucket(s->occupied, from)].count <= QUANTILE_NEAR) {
                QUANTILE_NAME(quantile_gather_bucket)(s, from = other);
                before -= (int32_t) buckets[other].count;
                growing = 1;
            }
        }
        s->near_rank = before;
    }
    if (!quantile_is_near(s)) QUANTILE_NAME(quantile_gather_upper)(s);
    s->near_low = s->near[0];
    s->near_high = s->near[s->near_count - 1];
}

/* Push x[i] and read the value into y[i]; one width for the whole array. */
static void QUANTILE_NAME(quantile_run)(quantile_t* s, const double* x, double* y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        QUANTILE_NAME(quantile_push)(s, x[i]);
        if (__builtin_expect(!quantile_is_near(s), 0)) QUANTILE_NAME(quantile_gather)(s);
        y[i] = quantile_read(s);
    }
}
