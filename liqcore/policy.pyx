"""The base class of policies, for Python and for Cython, and the answers that are no bracket."""

from libc.math cimport NAN
from libc.string cimport memcpy, memset, strlen

from liqcore.argument cimport describe, real, whole, string
from liqcore.event cimport STREAM_OPEN_INTEREST
from liqcore.market cimport index_alive, mark_alive, quote_alive


cdef class Declined:
    """Answer of a policy: no trade, because this condition was not met. The audit record of the question contains it. Leave and Later take one,
    too: the condition for which the policy closes, or for which it waits.

    condition: its name, at most 32 bytes of printable UTF-8, such as 'funding at least'. value: the value found, nan = not known; threshold: the
    value it was compared with, nan = none. ValueError if the name does not fit.
    """

    def __init__(self, condition, value=NAN, threshold=NAN):
        cdef bytes name = string(condition, "condition").encode()
        if not condition.isprintable() or not 0 < len(name) <= CONDITION_BYTES:
            raise ValueError(f"condition: expected a name of 1 to {CONDITION_BYTES} printable bytes, got {condition!r} ({len(name)})")
        self.c.value, self.c.threshold = real(value, "value"), real(threshold, "threshold")
        memset(self.c.name, 0, CONDITION_BYTES)
        memcpy(self.c.name, <const char*> name, len(name))

    @property
    def condition(self):
        """Name of the condition that was not met."""
        return self.c.name[:CONDITION_BYTES].rstrip(b"\0").decode(errors="replace")

    @property
    def value(self):
        """The value found; nan = not known."""
        return self.c.value

    @property
    def threshold(self):
        """The value expected; nan = there is none."""
        return self.c.threshold

    def __repr__(self):
        return f"Declined({self.condition!r}, {self.value!r}, {self.threshold!r})"


cdef class Leave:
    """Answer of a policy: close this policy's position on the signal's instrument at market, and withdraw its waiting entries.

    why: the condition for which it closes; None = none is named.
    """

    def __init__(self, Declined why=None):
        self.why = why

    def __repr__(self):
        return f"Leave({self.why!r})" if self.why is not None else "Leave()"


cdef class Later:
    """Answer of a policy: call it again with this signal at `at_ns` (engine time, ns; after Market.now).

    why: the condition that is not met yet; None = it names none.
    """

    def __init__(self, at_ns, Declined why=None):
        self.at_ns = whole(at_ns, "at_ns")
        self.why = why

    def __repr__(self):
        return f"Later({self.at_ns}, {self.why!r})" if self.why is not None else f"Later({self.at_ns})"


cdef class Market:
    """The market of the signal's instrument at this moment. A view: valid only during the call. Prices in quote currency; 0 = never received, or
    expired."""

    def __init__(self):
        raise TypeError("a Market view is made by the engine and handed to on_signal")

    cdef void show(self, int64_t now, str detector, int32_t index, Features features, dict places):
        self.now = now
        self.detector = detector
        self.index = index
        self.features = features
        self.places = places

    def feature(self, str name) -> float:
        """A feature of the signal's instrument as known at this moment; nan = not known yet. KeyError unless the policy declared it in `features`, or
        the engine was made with it."""
        place = self.places.get(name) if self.places is not None and self.c != NULL else None
        if place is None:
            raise KeyError(f"feature {name!r}: expected one of {', '.join(self.places or ()) or 'none: the policy declares no features'}")
        return self.features.known_c(place, self.index, self.now)

    @property
    def last(self):
        """Last trade, quote currency; 0 = none yet."""
        return self.c.last if self.c != NULL else 0.0

    @property
    def bid(self):
        """Best bid, quote currency; 0 = no live quote: never received, or expired (market.pxd)."""
        return self.c.bid if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def ask(self):
        """Best ask, quote currency; 0 = no live quote."""
        return self.c.ask if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def bid_qty(self):
        """Quantity at the best bid, the venue's quantity units; 0 = no live quote."""
        return self.c.bid_qty if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def ask_qty(self):
        """Quantity at the best ask, the venue's quantity units; 0 = no live quote."""
        return self.c.ask_qty if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def mark(self):
        """Mark price, quote currency; 0 = none of the last minute, or its feed was interrupted since then."""
        return self.c.mark if self.c != NULL and mark_alive(self.c, self.now) else 0.0

    @property
    def index(self):
        """Index price, quote currency; 0 = none of the last minute, or its feed was interrupted since then."""
        return self.c.index if self.c != NULL and index_alive(self.c, self.now) else 0.0

    @property
    def open_interest(self):
        """Open interest, the venue's quantity units (times Instrument.multiplier: base units); 0 = not stated, or its feed was interrupted since."""
        return self.c.open_interest if self.c != NULL and not self.c.broken & STREAM_OPEN_INTEREST else 0.0

    @property
    def funding(self):
        """Funding rate as last stated, a share of notional an interval; 0 also if none was stated."""
        return self.c.funding if self.c != NULL else 0.0


cdef class Policy:
    """Subclass and override `on_signal(signal, market) -> Bracket | Leave | Later | Declined | None`.

    The engine calls it at every phase change of its detectors. Return a Bracket for a trade (risk may refuse it), Leave() to close the policy's
    position there, Later(at_ns) to be called again, self.decline(condition, value, threshold) to name the condition that was not met, or None
    without a reason. Leave(why) and Later(at_ns, why) name a condition, too: why = self.decline(...).
    The answer must depend on the arguments and on earlier signals and features only: no clock (market.now is the time), no randomness, no memory of
    fills. Then live trading and backtest make the same decisions. snapshot() and restore() keep such memory.
    A Cython subclass overrides `on_signal_c` instead: fill `out` and return 1, or return 0 (after self.decline_c(...) to name a reason); -1 with an
    exception set stops the engine.

    detectors: names of its detectors; () = all. features: names for market.feature(name). symbols: symbols or 'venue:symbol' keys
    that it trades; () = all. Class attributes, or set in __init__ before the engine is made.
    """
    detectors = ()
    features = ()
    symbols = ()

    def __cinit__(self, *args, **kwargs):
        self.view = Market.__new__(Market)

    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1:
        self.view.c = m
        self.view.instrument = instrument
        try:
            answer = self.on_signal(Signal.of(s), self.view)
        finally:
            self.view.c = NULL
        if answer is None:
            return ANSWER_NOTHING
        if isinstance(answer, Declined):
            self.declined = (<Declined> answer).c
            return ANSWER_NOTHING
        if isinstance(answer, Bracket):
            out[0] = (<Bracket> answer).c
            return ANSWER_BRACKET
        if isinstance(answer, Leave):
            if (<Leave> answer).why is not None:
                self.declined = (<Leave> answer).why.c
            return ANSWER_LEAVE
        if not isinstance(answer, Later):
            raise TypeError(f"{type(self).__name__}.on_signal: expected a liqcore.Bracket, Leave, Later, Declined or None, "
                            f"got {type(answer).__name__}")
        self.later_ns = (<Later> answer).at_ns
        if (<Later> answer).why is not None:
            self.declined = (<Later> answer).why.c
        return ANSWER_LATER

    def answer(self, Signal signal not None, Market market not None):
        """The answer of this policy, written in Python or in Cython: a Bracket, Leave, Later, Declined or None. For a policy that wraps another
        one."""
        cdef Bracket out = Bracket.__new__(Bracket)
        cdef Declined declined = None
        cdef int what
        if market.c == NULL:
            return None
        self.view.show(market.now, market.detector, market.index, market.features, market.places)
        self.declined.name[0] = 0
        what = self.on_signal_c(&signal.c, market.c, market.instrument, &out.c)
        if self.declined.name[0]:
            declined = Declined.__new__(Declined)
            declined.c = self.declined
        if what == ANSWER_LATER:
            return Later(self.later_ns, declined)
        return out if what == ANSWER_BRACKET else Leave(declined) if what == ANSWER_LEAVE else declined

    cdef int decline_c(self, const char* name, double value, double threshold) noexcept nogil:
        """For Cython: note the condition of this answer (longer names are cut); returns ANSWER_NOTHING. Return ANSWER_LATER or ANSWER_LEAVE after
        it to name the condition of these."""
        cdef size_t size = strlen(name)
        memset(self.declined.name, 0, CONDITION_BYTES)
        memcpy(self.declined.name, name, size if size < CONDITION_BYTES else CONDITION_BYTES)
        self.declined.value, self.declined.threshold = value, threshold
        return ANSWER_NOTHING

    def decline(self, str condition, double value=NAN, double threshold=NAN):
        """The answer without a trade, with its condition: see Declined."""
        return Declined(condition, value, threshold)

    def on_signal(self, signal, market):
        """Answer a signal. The default answers None: detection only."""
        return None

    def question(self, signal, market) -> dict:
        """Facts for the judge about a bracket with judge_s, as JSON values without nan. Called once, right after on_signal, with the same signal and
        market; it must change nothing. The default gives no facts."""
        return {}

    cdef str question_c(self, const signal_t* s, const market_t* m, Instrument instrument):
        """question() as canonical JSON: sorted keys, shortest numbers."""
        from json import dumps          # not at import: the core starts in milliseconds

        self.view.c = m
        self.view.instrument = instrument
        try:
            told = self.question(Signal.of(s), self.view)
        finally:
            self.view.c = NULL
        if not isinstance(told, dict):
            raise TypeError(f"{type(self).__name__}.question: expected a dict of JSON values, got {type(told).__name__}")
        try:
            return dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as why:
            raise ValueError(f"{type(self).__name__}.question: expected JSON values, no nan and no infinity: {why}") from None

    def snapshot(self) -> bytes:
        """Its memory, for Engine.snapshot(). The default has none."""
        return b""

    def restore(self, bytes data):
        """Restore the memory of a snapshot(); ValueError if it does not fit."""
        if data:
            raise ValueError(f"{type(self).__name__}: the snapshot is of a policy that remembers; this one has no restore()")


describe(Market, {"instrument": "The Instrument of the signal.", "now": "Engine time, ns UTC.",
                  "detector": "Name of the detector that gave the signal."})
describe(Later, {"at_ns": "Time of the next call, ns UTC.", "why": "The condition that is not met yet, a Declined, or None."})
describe(Leave, {"why": "The condition for which it leaves, a Declined, or None."})
