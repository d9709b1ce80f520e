"""Shared parts of the detectors other than the cascade: the running episode of an instrument, and time segments that exclude gaps in the feed."""

from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int32_t, int64_t, uint8_t
from libc.string cimport memset

from liqcore.event cimport IDLE, SIGNAL_CENSORED, SIGNAL_MARK_NOTIONAL, SIGNAL_STALE, SIGNAL_UNCERTAIN, event_t, market_t, signal_t
from liqcore.kernels.window cimport window_reset, window_t
from liqcore.kernels.zscore cimport segz_advance, segz_push, segz_t

ctypedef struct episode_t:       # plain: a snapshot is a copy
    double long_notional
    double short_notional
    double threshold
    double price                 # of the last trade, or of the last liquidation if no trade is known
    int64_t ts_first
    int64_t ts_last
    int64_t uncertain_until      # ns: signals before are UNCERTAIN
    int32_t instrument
    int32_t count
    int32_t sequence
    uint8_t phase
    int8_t side
    uint8_t flags                # SignalFlag that every signal carries (censored feed, mark notional)

ctypedef struct segments_t:      # the baseline of equal segments; only complete ones enter it
    segz_t z
    int64_t whole_from           # ns: events before belong to a segment that the start or a gap has cut
    uint8_t cut                  # set by a start or a gap: the next event sets whole_from


cdef inline void episode_reset(episode_t* e, int32_t instrument, uint8_t flags) noexcept nogil:
    memset(e, 0, sizeof(episode_t))
    e.instrument = instrument
    e.flags = flags
    e.uncertain_until = INT64_MIN


cdef inline void episode_begin(episode_t* e, int64_t now, int8_t side, int32_t sequence) noexcept nogil:
    e.sequence = sequence
    e.ts_first = e.ts_last = now
    e.side = side
    e.count = 0
    e.long_notional = e.short_notional = 0.0


cdef inline void episode_add(episode_t* e, int8_t side, double notional) noexcept nogil:
    if side > 0:
        e.long_notional += notional
    else:
        e.short_notional += notional


cdef inline void episode_see(episode_t* e, const event_t* event, const market_t* m, uint8_t flags) noexcept nogil:
    """Keep price and basis of the latest liquidation, because timers have neither."""
    e.price = m.last if m.last > 0.0 else event.price
    e.flags = (e.flags & SIGNAL_CENSORED) | (flags & (SIGNAL_CENSORED | SIGNAL_MARK_NOTIONAL))


cdef inline int episode_emit(episode_t* e, int64_t now, uint8_t phase, uint8_t flags, double z, double rolling, signal_t* s) noexcept nogil:
    """Enter a phase and write its signal. After EXHAUSTED the caller ends the episode."""
    memset(s, 0, sizeof(signal_t))
    s.ts = now
    s.ts_start = e.ts_first
    s.long_notional = e.long_notional
    s.short_notional = e.short_notional
    s.threshold = e.threshold
    s.z = z
    s.price = e.price
    s.rolling = rolling
    s.instrument = e.instrument
    s.count = e.count
    s.phase = phase
    s.side = e.side
    s.flags = e.flags | (flags & SIGNAL_STALE)
    if now < e.uncertain_until:
        s.flags |= SIGNAL_UNCERTAIN
    s.sequence = e.sequence
    e.phase = phase
    return 1


cdef inline void window_anew(window_t* w) noexcept nogil:
    """Empty the window, but keep the count of liquidations that were dropped early."""
    cdef int64_t dropped = w.dropped
    window_reset(w)
    w.dropped = dropped


cdef inline void segments_cut(segments_t* s) noexcept nogil:
    """A start, or a gap in the feed: the running segment is incomplete, and what was before is unknown, not zero."""
    s.z.ends = INT64_MIN
    s.z.current = 0.0
    s.z.count = 0
    s.cut = 1


cdef inline bint segments_open(segments_t* s, int64_t now) noexcept nogil:
    """Whether an event at `now` belongs to a complete segment. The first complete segment is the first that begins after the first event. It and all
    later ones enter the baseline, also empty ones."""
    if s.cut:
        s.cut = 0
        s.whole_from = (now // s.z.segment_ns + 1) * s.z.segment_ns
        s.z.segment = s.whole_from // s.z.segment_ns
        s.z.ends = s.whole_from + s.z.segment_ns if s.whole_from <= INT64_MAX - s.z.segment_ns else INT64_MAX
    return now >= s.whole_from


cdef inline void segments_push(segments_t* s, int64_t now, double x) noexcept nogil:
    if segments_open(s, now):
        segz_push(&s.z, now, x)


cdef inline void segments_advance(segments_t* s, int64_t now) noexcept nogil:
    """Let time pass if a segment runs."""
    if s.z.ends != INT64_MIN:
        segz_advance(&s.z, now)
