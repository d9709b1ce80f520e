"""The base class of detectors: see detector.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from liqcore.argument cimport describe, string
from liqcore.detectors.episode cimport episode_t, segments_cut, segments_t, window_anew
from liqcore.event cimport COMPLETENESS_CENSORED, IDLE, SIGNAL_CENSORED
from liqcore.instrument cimport Instrument
from liqcore.kernels.window cimport window_free, window_load, window_save, window_t
from liqcore.kernels.zscore cimport segz_free, segz_load, segz_save, segz_t
from liqcore.snapshot cimport pack

from liqcore.detectors.parameters import resolve_parameters
from liqcore.snapshot import fitting


cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Detector:
    """One detector with one setting, for all instruments of one Engine. Subclasses are compiled; `wants` has the kinds of events that they use.

    name: its name in presets, policies and reports. A Detector serves one engine: open_c raises RuntimeError the second time.
    """

    def __cinit__(self, *args, **kwargs):
        self.kind = self.name = ""
        self.parameters = {}
        self.window_ns = 60000000000
        self.basis = NOTIONAL_GIVEN

    cdef dict set_parameters(self, str kind, str name, tuple table, dict given):
        """For __init__: check and keep the name and the parameters. Returns the parameters; ValueError names the wrong one."""
        if self.claimed:
            raise RuntimeError(f"detector {self.name}: it already serves an engine; make another one")
        self.parameters = resolve_parameters(kind, table, given)
        self.kind, self.name, self.settings = kind, string(name, "name"), repr(self.parameters).encode()
        return self.parameters

    cdef int set_state(self, bytes snapshot_name, size_t stride, int more=0) except -1:
        """For __init__: a state of `stride` bytes for each instrument. add_part declares the parts of its snapshot; `more` parts follow them."""
        self.snapshot_name, self.stride, self.more, self.part_count = snapshot_name, stride, more, 0
        return 0

    cdef int add_part(self, int what, const void* state, const void* part, size_t size=0) except -1:
        """For __init__: declare the next part of a snapshot, by its offset in any state. Fields outside of all parts begin anew after a restore."""
        if self.part_count == PARTS_MAX:
            raise RuntimeError(f"detector {self.kind}: more than {PARTS_MAX} parts")
        self.parts[self.part_count] = part_t(what=what, at=<const char*> part - <const char*> state,
                                             size=sizeof(episode_t) if what == PART_EPISODE else size)
        self.part_count += 1
        return 0

    def __dealloc__(self):
        cdef int n, i
        cdef char* at
        for n in range(self.count if self.states != NULL else 0):
            for i in range(self.part_count):
                at = self.states + n * self.stride + self.parts[i].at
                if self.parts[i].what == PART_WINDOW:
                    window_free(<window_t*> at)
                elif self.parts[i].what == PART_SEGMENTS:
                    segz_free(<segz_t*> at)
        free(self.states)

    cdef int claim(self) except -1:
        """For open_c, before it allocates."""
        if self.claimed:
            raise RuntimeError(f"detector {self.name}: it already serves an engine; make another one")
        self.claimed = True
        return 0

    cdef int fail(self) except -1:
        """Raise the exception of a call that returned -1."""
        failure, self.failure = self.failure, None
        raise failure

    cdef int open_c(self, tuple instruments) except -1:
        """Allocate the state of these liqcore.Instruments; afterwards nothing is allocated. `count` is the number of instruments with a state."""
        cdef int32_t n
        self.claim()
        self.states = <char*> calloc(len(instruments), self.stride)
        if self.states == NULL:
            raise MemoryError(f"no memory for a detector of {len(instruments)} instruments")
        for n in range(len(instruments)):
            self.count = n + 1           # if begin_c fails, __dealloc__ frees what it has allocated
            self.begin_c(n, instruments[n], SIGNAL_CENSORED if (<Instrument?> instruments[n]).c.completeness == COMPLETENESS_CENSORED else 0)
        return 0

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        """Initialise the zeroed state of a liqcore.Instrument, the engine's number n. flags: SignalFlag of all its signals."""
        raise NotImplementedError(f"{type(self).__name__}: a detector overrides begin_c")

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        """One event of a kind in `wants`. notional: of a liquidation, at the price that the engine is configured to use, else 0. m: the updated
        market."""
        return 0

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        """The time of deadline_c(n) has come."""
        return 0

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        """When timer_c must be called next for instrument n."""
        return NEVER

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        """The feed had a gap, so counts may be incomplete: end the episode without a signal, keep what was learnt. until: the time at which the data
        will have been complete for window_ns, NEVER while the feed is down. This default resets windows and episodes and keeps the baselines of
        complete segments."""
        cdef int i
        cdef char* at
        for i in range(self.part_count):
            at = self.states + n * self.stride + self.parts[i].at
            if self.parts[i].what == PART_WINDOW:
                window_anew(<window_t*> at)
            elif self.parts[i].what == PART_SEGMENTS:
                segments_cut(<segments_t*> at)
            elif self.parts[i].what == PART_EPISODE:
                (<episode_t*> at).phase = IDLE
                (<episode_t*> at).uncertain_until = until

    cdef int phase_c(self, int32_t n) noexcept nogil:
        """The phase of instrument n; -1 = that of its last signal."""
        return -1

    cdef int64_t dropped_c(self, int32_t n) noexcept nogil:
        """Of instrument n: see `dropped`."""
        cdef int i
        cdef int64_t total = 0
        for i in range(self.part_count):
            if self.parts[i].what == PART_WINDOW:
                total += (<window_t*> (self.states + n * self.stride + self.parts[i].at)).dropped
        return total

    cdef list save_parts(self, int32_t n):
        """The parts of instrument n's state, in the form of its snapshot."""
        cdef int i
        cdef char* at
        out = []
        for i in range(self.part_count):
            at = self.states + n * self.stride + self.parts[i].at
            out.append(window_save(<window_t*> at) if self.parts[i].what == PART_WINDOW else
                       segz_save(<segz_t*> at) if self.parts[i].what == PART_SEGMENTS else at[:self.parts[i].size])
        return out

    cdef int load_part(self, int32_t n, const part_t* part, bytes data) except -1:
        cdef char* at = self.states + n * self.stride + part.at
        if part.what == PART_WINDOW:
            window_load(<window_t*> at, data)
        elif part.what == PART_SEGMENTS:
            segz_load(<segz_t*> at, data)
        else:
            memcpy(at, <const char*> data, part.size)
            if part.what == PART_EPISODE:
                (<episode_t*> at).instrument = n
        return 0

    cdef bytes save_c(self, int32_t n):
        return pack(self.snapshot_name, [self.settings, *self.save_parts(n)])

    cdef int load_c(self, int32_t n, bytes data) except -1:
        """Load the bytes of save_c; ValueError, and no change, unless they are of the same detector with the same setting."""
        cdef Py_ssize_t i, k
        sizes = [self.parts[i].size or None for i in range(self.part_count)] + [None] * self.more
        new, before = fitting(self.snapshot_name, data, self.kind, self.parameters, sizes), self.save_parts(n)
        i = 0
        try:
            for i in range(self.part_count):
                self.load_part(n, &self.parts[i], new[i])
            i = self.part_count
            self.load_more(n, new[i:])
        except Exception:
            for k in range(i):
                self.load_part(n, &self.parts[k], before[k])
            raise
        return 0

    cdef int load_more(self, int32_t n, list parts) except -1:
        """Load the further parts that save_parts added, all of them or ValueError. The declared parts are loaded already."""
        return 0

    def threshold(self, int n) -> float:
        """Threshold for the next liquidation of the engine's instrument n, quote currency; TypeError for kinds without one."""
        raise TypeError(f"detector {self.name!r}: only cascades have a threshold that is known ahead")

    @property
    def dropped(self) -> int:
        """Number of liquidations, of all instruments, that were dropped early because a window was full. Sums and counts were then lower bounds. If
        it is not 0, raise `window_events`. Always 0 for kinds without a window of liquidations."""
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


describe(Detector, {"kind": "Its kind, as make_detector takes it.", "name": "Its name, unique in an engine.",
                    "parameters": "Its settings by name, given or default.",
                    "wants": "Kinds of events that it uses: one bit (1 << Kind) for each.",
                    "window_ns": "Length of the time that its values depend on, ns. Its signals are uncertain for this time after a gap."})
