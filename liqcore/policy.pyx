"""The base class of policies, for Python and for Cython."""


cdef class Market:
    """The market of the signal's instrument at this moment (a view: valid only during the call; prices in quote currency, 0 = never seen)."""

    def __init__(self):
        raise TypeError("a Market view is made by the engine and handed to on_signal")

    @property
    def last(self):
        return self.c.last if self.c != NULL else 0.0

    @property
    def bid(self):
        return self.c.bid if self.c != NULL else 0.0

    @property
    def ask(self):
        return self.c.ask if self.c != NULL else 0.0

    @property
    def bid_qty(self):
        return self.c.bid_qty if self.c != NULL else 0.0

    @property
    def ask_qty(self):
        return self.c.ask_qty if self.c != NULL else 0.0

    @property
    def mark(self):
        return self.c.mark if self.c != NULL else 0.0

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
    """Subclass and override `on_signal(signal, market) -> Bracket | None`.

    It is called at every phase change of every cascade. Return a Bracket to ask for a trade (risk may refuse it), or None.
    It must depend on its arguments only: no clock, no randomness, no memory of fills, so that live and backtest decide alike.
    A Cython subclass overrides `on_signal_c` instead: fill `out` and return 1, or return 0; -1 with an exception set stops the engine.
    """

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
            return 0
        if not isinstance(answer, Bracket):
            raise TypeError(f"{type(self).__name__}.on_signal: expected a liqcore.Bracket or None, got {type(answer).__name__}")
        out[0] = (<Bracket> answer).c
        return 1

    def answer(self, Signal signal not None, Market market not None):
        """What this policy answers, in whatever language it is written: a Bracket or None. For a policy that wraps another one."""
        cdef Bracket out = Bracket.__new__(Bracket)
        return out if market.c != NULL and self.on_signal_c(&signal.c, market.c, market.instrument, &out.c) else None

    def on_signal(self, signal, market):
        """Answer a signal. The default wants nothing: detection only."""
        return None
