"""The base class of policies, for Python and for Cython, and the answers that are no bracket."""

from liqcore.market cimport mark_alive, quote_alive


cdef class Leave:
    """Answer of a policy: close at market what this policy has open on the signal's instrument, and take back what it waits to open."""

    def __repr__(self):
        return "Leave()"


cdef class Later:
    """Answer of a policy: ask me again with this signal at `at_ns` (engine time, ns; after Market.now)."""

    def __init__(self, int64_t at_ns):
        self.at_ns = at_ns

    def __repr__(self):
        return f"Later({self.at_ns})"


cdef class Market:
    """The market of the signal's instrument at this moment. A view: valid only during the call. Prices in quote currency; 0 = never seen, or it holds
    no longer."""

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
        return self.features.read_c(place, self.index, self.now)

    @property
    def last(self):
        return self.c.last if self.c != NULL else 0.0

    @property
    def bid(self):
        """Best bid; 0 = no live quote: never seen, or ended (market.pxd)."""
        return self.c.bid if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def ask(self):
        return self.c.ask if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def bid_qty(self):
        return self.c.bid_qty if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def ask_qty(self):
        return self.c.ask_qty if self.c != NULL and quote_alive(self.c, self.now) else 0.0

    @property
    def mark(self):
        """Mark price; 0 = none that holds."""
        return self.c.mark if self.c != NULL and mark_alive(self.c, self.now) else 0.0

    @property
    def index(self):
        return self.c.index if self.c != NULL else 0.0

    @property
    def open_interest(self):
        return self.c.open_interest if self.c != NULL else 0.0

    @property
    def funding(self):
        return self.c.funding if self.c != NULL else 0.0


cdef class Policy:
    """Subclass and override `on_signal(signal, market) -> Bracket | Leave | Later | None`.

    It is called at every phase change of every detector that it listens to. Return a Bracket to ask for a trade (risk may refuse it), Leave() to
    close what it has open there, Later(at_ns) to be asked again, or None.
    It must depend on what it is shown only: no clock (market.now is the time), no randomness, no memory of fills, so that live and backtest decide
    alike. What it remembers of signals and features goes into snapshot() and comes back with restore().
    A Cython subclass overrides `on_signal_c` instead: fill `out` and return 1, or return 0; -1 with an exception set stops the engine.

    detectors: names of those that it listens to; () = all. features: names that market.feature(name) knows. symbols: symbols or 'venue:symbol' keys
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
        if isinstance(answer, Bracket):
            out[0] = (<Bracket> answer).c
            return ANSWER_BRACKET
        if isinstance(answer, Leave):
            return ANSWER_LEAVE
        if not isinstance(answer, Later):
            raise TypeError(f"{type(self).__name__}.on_signal: expected a liqcore.Bracket, Leave, Later or None, got {type(answer).__name__}")
        self.later_ns = (<Later> answer).at_ns
        return ANSWER_LATER

    def answer(self, Signal signal not None, Market market not None):
        """What this policy answers, in whatever language it is written: a Bracket, Leave, Later or None. For a policy that wraps another one."""
        cdef Bracket out = Bracket.__new__(Bracket)
        cdef int what
        if market.c == NULL:
            return None
        self.view.show(market.now, market.detector, market.index, market.features, market.places)
        what = self.on_signal_c(&signal.c, market.c, market.instrument, &out.c)
        if what == ANSWER_LATER:
            return Later(self.later_ns)
        return out if what == ANSWER_BRACKET else Leave() if what == ANSWER_LEAVE else None

    def on_signal(self, signal, market):
        """Answer a signal. The default wants nothing: detection only."""
        return None

    def snapshot(self) -> bytes:
        """What it remembers, for Engine.snapshot(). The default remembers nothing."""
        return b""

    def restore(self, bytes data):
        """Take up what snapshot() gave; ValueError where that cannot be."""
        if data:
            raise ValueError(f"{type(self).__name__}: the snapshot is of a policy that remembers; this one has no restore()")
