"""The terms of a trade: see bracket_spec.pxd. Both sides use the same lines; only the price rules and the sign of `side` depend on the side."""

from numbers import Real

from liqcore.argument cimport real, truth, whole, whole32
from liqcore.audit cimport AUDIT_POLICY
from liqcore.event cimport *
from liqcore.instrument cimport SCALE, TICKS_MAX, scale_ticks


_GIVES = {"enter": GIVES_ENTRY, "hold": GIVES_HOLD, "don't enter": GIVES_NOTHING}


cdef int64_t stop_price(int8_t side, int64_t fill, int64_t fraction) noexcept nogil:
    """Rounded towards the entry: never risk more than the stated fraction."""
    return scale_ticks(fill, -fraction, 1) if side > 0 else scale_ticks(fill, fraction, 0)


cdef int64_t target_price(int8_t side, int64_t fill, int64_t fraction, int64_t reference) noexcept nogil:
    """Rounded towards the reference, because the fade's target is the price before the cascade."""
    cdef int64_t product = fill * (<int64_t> SCALE + (fraction if side > 0 else -fraction))
    return scale_ticks(fill, fraction if side > 0 else -fraction, 1 if product < reference * <int64_t> SCALE else 0)


cdef void bracket_prices(const bracket_t* b, int64_t reference, int64_t* entry, int64_t* stop) noexcept nogil:
    """Entry limit rounded away from the market (a resting order gives no more than it must), and the stop that goes with it."""
    if b.entry_type == ORDER_MARKET:
        entry[0] = reference
    elif b.side > 0:
        entry[0] = scale_ticks(reference, -b.entry_offset, 0)
    else:
        entry[0] = scale_ticks(reference, b.entry_offset, 1)
    stop[0] = stop_price(b.side, entry[0], b.stop_loss)


cdef bint trail_stop(const bracket_t* b, int64_t entry, int64_t best, int64_t stop, int64_t* price) noexcept nogil:
    """The stop that the trail wants, in ticks, from the average entry and the best price since. It is worth an amend only from a tenth of the trail's
    distance on, because requests are limited. So the stop at the venue lags this rule by less than a tenth of that distance, plus the latency of the
    amend. A trail of profit begins when the best profit has reached `trail_from`. The stop never loosens: max() for a long, min() for a short."""
    cdef int64_t gain = (best - entry) * b.side, kept
    if b.trail_basis == TRAIL_PRICE:
        price[0] = stop_price(b.side, best, b.trail)
        return (price[0] - stop) * b.side * 10 >= scale_ticks(best, b.trail, 1) - best
    # a share of the profit is given back; rounded down, so that the stop is on the entry's side of the best price
    kept = scale_ticks(gain, -b.trail, 0) if gain > 0 else 0
    price[0] = entry + kept * b.side
    if gain <= 0 or gain < scale_ticks(entry, b.trail_from, 1) - entry:
        return False
    return (price[0] - stop) * b.side > 0 and (price[0] - stop) * b.side * 10 >= gain - kept


cdef int judge_cap(const bracket_t* b) noexcept nogil:
    """The highest confidence that any answer of the judge can give the bracket; 0 = no answer gives an entry."""
    return max(_cap(b.with_news), _cap(b.without_news))


cdef int _cap(uint8_t gives) noexcept nogil:
    return 0 if gives >= GIVES_HOLD else gives if gives else ANY_CONFIDENCE


cdef int check_bracket(const bracket_t* b) noexcept nogil:
    """0 if the bracket is valid, else the number of the rule that it breaks."""
    cdef int64_t half = SCALE // 2
    if b.side != LONG and b.side != SHORT:
        return 1
    if b.entry_type != ORDER_LIMIT and b.entry_type != ORDER_MARKET:
        return 2
    if not (0 <= b.entry_offset <= half and 0 <= b.take_profit <= half and 0 < b.stop_loss <= half
            and 0 <= b.trail <= (half if b.trail_basis == TRAIL_PRICE else SCALE - 1)):
        return 3
    if b.entry_ttl_ns <= 0 or b.max_hold_ns <= 0 or b.cooldown_ns < 0:
        return 4
    if not (0.0 < b.notional < 1e15 or 0.0 < b.equity_share <= 1000.0):
        return 5
    if b.reference < 0 or b.reference >= <int64_t> TICKS_MAX or b.exit_phase > EXHAUSTED or b.requotes_max > 3:
        return 6
    if b.with_news > GIVES_NOTHING or b.without_news > GIVES_NOTHING or (b.judge_ns == 0 and (b.with_news or b.without_news)):
        return 8
    if b.judge_ns < 0 or b.trail_basis > TRAIL_PROFIT or not 0 <= b.trail_from <= (half if b.trail_basis == TRAIL_PROFIT else 0):
        return 7
    return 0


cdef void audit_answer(const bracket_t* b, const signal_t* s, double reference, uint8_t reason, int policy, int64_t now,
                       AuditRing audit) noexcept nogil:
    """Write the answer of a policy (its place, from 1) to a signal; reference: price that the entry offset counts from."""
    cdef audit_t* a = audit.put(now, AUDIT_POLICY, reason, s.phase, s.instrument, b.side, s.ts_start)
    a.of.policy.reference_price = reference
    a.of.policy.entry_offset = b.entry_offset / <double> SCALE
    a.of.policy.take_profit = b.take_profit / <double> SCALE
    a.of.policy.stop_loss = b.stop_loss / <double> SCALE
    a.of.policy.notional = b.notional
    a.of.policy.entry_ttl_s = b.entry_ttl_ns / 1e9
    a.of.policy.max_hold_s = b.max_hold_ns / 1e9
    a.of.policy.confidence = b.confidence
    a.of.policy.policy = policy


cdef int64_t _fraction(str name, object value, double high) except? -1:
    """A fraction such as 0.0015 as an exact count of 1e-8."""
    from decimal import Decimal, InvalidOperation       # not at import: the core starts in milliseconds

    if isinstance(value, bool) or not isinstance(value, (Real, Decimal, str)):
        raise TypeError(f"{name}: expected a number, or a decimal number as text, got {value!r} ({type(value).__name__})")
    try:
        scaled = Decimal(repr(float(value)) if isinstance(value, float) else str(value)) * SCALE
    except InvalidOperation:
        raise ValueError(f"{name}: expected a fraction from 0 to {high} (0.0015 = 0.15 %), got {value!r}") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or not 0 <= scaled <= high * SCALE:
        raise ValueError(f"{name}: expected a fraction from 0 to {high} with at most 8 decimals (0.0015 = 0.15 %), got {value!r}")
    return int(scaled)


cdef int64_t _seconds(str name, object value) except? -1:
    cdef double seconds = real(value, name)
    if not 0.0 <= seconds <= 1e8:
        raise ValueError(f"{name}: expected seconds from 0 to 1e8, got {value!r}")
    return round(seconds * 1e9)


cdef uint8_t _gives(str name, object value) except? 255:
    """The action for a grade of the news, as the number that bracket_t holds."""
    if isinstance(value, str) and value in _GIVES:
        return _GIVES[value]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 3:
        raise ValueError(f"{name}: expected 'enter', a confidence from 1 to 3, 'hold' or \"don't enter\", got {value!r}")
    return value


cdef int _side(object value) except? -1000:
    cdef int64_t side = whole(value, "side")
    if side != 1 and side != -1:
        raise ValueError(f"side: expected LONG (1) or SHORT (-1), got {value!r}")
    return <int> side


cdef dict outcomes_of(const bracket_t* b):
    """See Bracket.outcomes. A bracket whose own confidence is not on the judge's scale counts as 3 there."""
    top = b.confidence if 1 <= b.confidence <= 3 else 3
    found = {}
    for grade, gives in (("supports", b.with_news), ("none", b.without_news)):
        found[grade] = ("enter", min(top, gives) if gives else top) if gives < GIVES_HOLD else ("hold" if gives == GIVES_HOLD else "don't enter", 0)
    return found | {"contradicts": ("don't enter", 0)}


cdef class Bracket:
    """The intent of a policy: an entry with its exits. Fractions are of price (0.0015 = 0.15 %), times in seconds, notional in quote currency.

    side: LONG buys below the market, SHORT sells above. entry: 'post_only' (limit at entry_offset from the reference) or 'market'.
    reference: price that the offset counts from; None = last trade. stop_loss is required: no position without a stop.
    trail: trailing distance, never looser than stop_loss (below 1 with trail_basis='profit'). exit_phase: leave at market when the cascade reaches
    this Phase.
    quantity: either `notional`, or `equity_share` of the account. requotes: new tries after a post-only reject (0-3).
    trail_basis: 'price' (the trail is a share of the best price since the fill) or 'profit' (of the best profit); trail_from: with 'profit', the
    profit, a share of the entry price, that the trade must have reached before the trail begins. The stop at the venue is moved in steps of at
    least a tenth of the trail's distance, so it lags the rule by less than that.
    confidence: intents of one moment are processed by confidence, highest first. replaces: a bracket of lower confidence that is open on the
    instrument is closed first. judge_s: a judge must confirm the entry within this time (Engine.questions, Engine.on_verdict), else there is no
    entry; 0 = no judge. with_news, without_news: the action for the judge's grades "supports" and "none": 'enter', a confidence from 1 to 3 (the
    entry, with this confidence at most), 'hold' or "don't enter"; "contradicts" never allows an entry. If neither allows one, the judge is still
    asked, and there is no entry with any verdict.
    """

    def __init__(self, side, *, stop_loss, take_profit=0, entry="post_only", entry_offset=0, reference=0, trail=0, entry_ttl_s=1800,
                 max_hold_s=1800, cooldown_s=300, notional=0.0, equity_share=0.0, confidence=0, exit_phase=0, requotes=0, judge_s=0.0, replaces=False,
                 trail_basis="price", trail_from=0, with_news="enter", without_news="enter"):
        if entry not in ("post_only", "market"):
            raise ValueError(f"entry: expected 'post_only' or 'market', got {entry!r}")
        self.c.side = _side(side)
        self.c.entry_type = ORDER_LIMIT if entry == "post_only" else ORDER_MARKET
        self.c.entry_offset = _fraction("entry_offset", entry_offset, 0.5)
        self.c.take_profit = _fraction("take_profit", take_profit, 0.5)
        self.c.stop_loss = _fraction("stop_loss", stop_loss, 0.5)
        self.c.trail = _fraction("trail", trail, 0.5 if trail_basis == "price" else 0.99999999)
        self.c.entry_ttl_ns = _seconds("entry_ttl_s", entry_ttl_s)
        self.c.max_hold_ns = _seconds("max_hold_s", max_hold_s)
        self.c.cooldown_ns = _seconds("cooldown_s", cooldown_s)
        self.c.notional = real(notional, "notional")
        self.c.equity_share = real(equity_share, "equity_share")
        self.c.confidence = whole32(confidence, "confidence")
        self.c.exit_phase = whole32(exit_phase, "exit_phase")
        self.c.requotes_max = whole32(requotes, "requotes")
        self.c.reference = whole(reference, "reference")
        self.c.judge_ns = _seconds("judge_s", judge_s)
        self.c.replaces = truth(replaces, "replaces")
        self.c.with_news, self.c.without_news = _gives("with_news", with_news), _gives("without_news", without_news)
        if trail_basis not in ("price", "profit"):
            raise ValueError(f"trail_basis: expected 'price' or 'profit', got {trail_basis!r}")
        self.c.trail_basis = TRAIL_PRICE if trail_basis == "price" else TRAIL_PROFIT
        self.c.trail_from = <int32_t> _fraction("trail_from", trail_from, 0.5)
        rule = check_bracket(&self.c)
        if rule:
            raise ValueError(("", "side: LONG or SHORT", "entry: post_only or market", "stop_loss must be above 0; fractions at most 0.5",
                              "entry_ttl_s and max_hold_s must be above 0", "notional (or equity_share) must be above 0",
                              "reference, exit_phase (0-4) or requotes (0-3) out of range",
                              "judge_s or trail_basis out of range, or trail_from without a trail of profit",
                              "with_news and without_news say what a judge's answer gives: judge_s must be above 0")[rule])

    @property
    def side(self):
        """1 = buys, -1 = sells."""
        return self.c.side

    @property
    def confidence(self):
        """Intents of one moment are processed by confidence, highest first."""
        return self.c.confidence

    @property
    def outcomes(self):
        """Action for each grade of the news: grade -> (action, confidence from 1 to 3, 0 without an entry); {} without a judge."""
        return outcomes_of(&self.c) if self.c.judge_ns > 0 else {}

    @property
    def reference(self):
        """Ticks; 0 = last trade."""
        return self.c.reference

    def __eq__(self, other):
        """Whether both ask for exactly the same."""
        cdef const bracket_t* a = &self.c
        cdef const bracket_t* b
        if not isinstance(other, Bracket):
            return NotImplemented
        b = &(<Bracket> other).c
        return (a.reference == b.reference and a.entry_offset == b.entry_offset and a.take_profit == b.take_profit and a.stop_loss == b.stop_loss
                and a.trail == b.trail and a.entry_ttl_ns == b.entry_ttl_ns and a.max_hold_ns == b.max_hold_ns and a.cooldown_ns == b.cooldown_ns
                and a.judge_ns == b.judge_ns and a.notional == b.notional and a.equity_share == b.equity_share and a.confidence == b.confidence
                and a.side == b.side and a.entry_type == b.entry_type and a.exit_phase == b.exit_phase and a.requotes_max == b.requotes_max
                and a.replaces == b.replaces and a.trail_basis == b.trail_basis and a.trail_from == b.trail_from
                and a.with_news == b.with_news and a.without_news == b.without_news)

    __hash__ = None

    def turned(self, side):
        """The same terms for the other side or this one: LONG or SHORT. For controls with the inverted or a random side."""
        cdef Bracket out = Bracket.__new__(Bracket)
        out.c = self.c
        out.c.side = _side(side)
        return out

    def prices(self, instrument, double reference_price) -> dict:
        """Entry, take-profit and stop-loss prices as exact text for a reference price, if the entry fills at its limit."""
        cdef int64_t entry, stop, reference = instrument.ticks(reference_price)
        bracket_prices(&self.c, reference, &entry, &stop)
        target = target_price(self.c.side, entry, self.c.take_profit, reference)
        return {"entry": instrument.price_text(entry), "take_profit": instrument.price_text(target),
                "stop_loss": instrument.price_text(stop)}
