"""The base class of detectors: see detector.pxd."""

from liqcore.argument cimport describe, string
from liqcore.detectors.parameters import resolve_parameters


cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Detector:
    """One detector with one setting, for all instruments of one Engine. Subclasses are compiled; they say what they look at in `wants`.

    name: how presets, policies and reports call it. A Detector serves one engine: open_c raises RuntimeError the second time.
    """

    def __cinit__(self, *args, **kwargs):
        self.kind = self.name = ""
        self.parameters = {}
        self.window_ns = 60000000000
        self.basis = NOTIONAL_GIVEN

    cdef dict set_parameters(self, str kind, str name, tuple table, dict given):
        """For __init__: take the name and the parameters, which are returned; ValueError that names the one that is wrong."""
        if self.claimed:
            raise RuntimeError(f"detector {self.name}: it already serves an engine; make another one")
        self.parameters = resolve_parameters(kind, table, given)
        self.kind, self.name = kind, string(name, "name")
        return self.parameters

    cdef int claim(self) except -1:
        """For open_c, before it allocates."""
        if self.claimed:
            raise RuntimeError(f"detector {self.name}: it already serves an engine; make another one")
        self.claimed = True
        return 0

    cdef int fail(self) except -1:
        """Raise what a call that returned -1 has met."""
        failure, self.failure = self.failure, None
        raise failure

    cdef int open_c(self, tuple instruments) except -1:
        """Allocate the state of these liqcore.Instruments; afterwards nothing is allocated. `count` says whose state stands."""
        raise NotImplementedError(f"{type(self).__name__}: a detector overrides open_c")

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        """One event of a kind in `wants`; notional: of a liquidation, by the price the engine is told to use, else 0; m: its market, updated."""
        return 0

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        """deadline_c(n) <= now has come."""
        return 0

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        """When timer_c must be called next for instrument n."""
        return NEVER

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """What was counted may be half of the truth: end the episode silently, keep what was learnt. until: when the data will have been whole for
        window_ns, NEVER while the feed is down."""
        pass

    cdef int phase_c(self, int32_t n) noexcept nogil:
        """The phase that instrument n is in; -1 = the one that was said last."""
        return -1

    cdef int64_t dropped_c(self, int32_t n) noexcept nogil:
        """Of instrument n: see `dropped`."""
        return 0

    cdef bytes save_c(self, int32_t n):
        return b""

    cdef int load_c(self, int32_t n, bytes data) except -1:
        """ValueError, and no change, unless the bytes are save_c of the same detector with the same setting."""
        return 0

    def threshold(self, int n) -> float:
        """What the next liquidation of the engine's instrument n will be compared with, quote currency; TypeError of kinds that do not know it."""
        raise TypeError(f"detector {self.name!r}: only cascades have a threshold that is known ahead")

    @property
    def dropped(self) -> int:
        """Liquidations, of all instruments, that gave way to newer ones before their time because a window was full: its sums and counts were bounds
        from below. Not 0 = raise `window_events`. Always 0 of kinds without a window of liquidations."""
        cdef int32_t n
        cdef int64_t total = 0
        for n in range(self.count):
            total += self.dropped_c(n)
        return total

    def as_dict(self) -> dict:
        """Everything that recreates it: registry.make_detector(**d.as_dict())."""
        return {"kind": self.kind, "name": self.name, **self.parameters}

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}" + "".join(f", {k}={v!r}" for k, v in self.parameters.items()) + ")"


describe(Detector, {"kind": "What make_detector calls it.", "name": "Its name, one of its own in an engine.",
                    "parameters": "Its settings by name, given or default.",
                    "wants": "Kinds of events that it looks at: one bit (1 << Kind) for each.",
                    "window_ns": "How far back it looks, ns: for so long after a gap its signals are uncertain."})
