"""The state of features: see feature_state.pxd. Everything is allocated by open_c."""

from libc.math cimport NAN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.density cimport DensityConfig, density_free, density_init, density_load, density_save, density_t
from liqcore.event cimport market_t
from liqcore.feature_formulas cimport *
from liqcore.feature_kernels cimport *
from liqcore.hawkes cimport Hawkes, hawkes_plan, hawkes_plan_t, hawkes_t
from liqcore.instrument cimport Instrument, instrument_t
from liqcore.pending cimport PendingConfig, pending_free, pending_init, pending_load, pending_save, pending_t
from liqcore.quantile cimport quantile_bytes, quantile_free, quantile_load, quantile_save, quantile_t

from liqcore.feature_formulas import FORMULAS, TRANSFORMS
from liqcore.feature_spec import ENTRIES, plan, slots
from liqcore.feature_table import LARGE_SHARE, LIQUIDATION
from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-features-1\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
SUMS = ("liquidations", "trades", "ofi")           # sources by kind of kernel, in the order of their columns
TRACKS = ("price", "oi", "funding")
KINDS = (SUMS, TRACKS, ("candles",), ("cascade",), ("hawkes",), ("pending",), ("density",))
if sorted(FORMULAS) != sorted(ENTRIES):
    raise ImportError(f"liqcore was built for another table of features: {sorted(set(FORMULAS) ^ set(ENTRIES))}; rebuild it")


cdef class FeatureState:
    """The plan of some names, and the kernels of all instruments for it."""

    def __init__(self, names=()):
        if self.plan is not None:
            raise RuntimeError("called twice: make a new one")
        if isinstance(names, str):
            raise TypeError(f"names: expected a sequence of names, got {names!r}")
        self.plan = plan(names)
        self.names = tuple(f.text for f in self.plan.features)
        self.wants = sum(1 << kind for kind in self.plan.kinds)
        self.instruments = ()
        self.started = -1
        self.index = {name: n for n, name in reversed(list(enumerate(self.names)))}

    def __dealloc__(self):
        self._free()

    cdef int _free(self) except -1:
        cdef Py_ssize_t k
        if self.bursts != NULL:
            for k in range(self.count * self.columns[3]):
                quantile_free(&self.bursts[k].q)
        for k in range(self.count):
            if self.pending != NULL:
                pending_free(&self.pending[k])
            if self.density != NULL:
                density_free(&self.density[k])
        for block in (<size_t> self.base, <size_t> self.reader, <size_t> self.base_of, <size_t> self.target, <size_t> self.bitcoin,
                      <size_t> self.fellow, <size_t> self.known, <size_t> self.sums, <size_t> self.tracks, <size_t> self.candles,
                      <size_t> self.bursts, <size_t> self.histories, <size_t> self.horizons, <size_t> self.pending,
                      <size_t> self.density, <size_t> self.pool, <size_t> self.inst, <size_t> self.market):
            free(<void*> <size_t> block)
        return 0

    # ---- what is allocated, once ----

    cdef int open_c(self, tuple instruments) except -1:
        """Allocate for these liqcore.Instruments. ValueError where a name looks at an asset that none of them has."""
        cdef int n
        if self.count:
            raise RuntimeError("Features: opened twice; make a new one")
        if not instruments:
            raise ValueError("instruments: expected at least one")
        self.instruments = instruments
        self.count = len(instruments)
        self.places = {}                # symbols only where one venue alone has them, as in an Engine
        for n in range(self.count):
            self.places[instruments[n].symbol] = -1 if instruments[n].symbol in self.places else n
        self.places = {symbol: place for symbol, place in self.places.items() if place >= 0}
        for n in range(self.count):
            self.places[instruments[n].key] = n
        self._build_plan()
        self._build_links()
        self._build_kernels()
        self._build_maps()
        self.due_across = NEVER
        return 0

    cdef int _build_plan(self) except -1:
        """The plan as C arrays: kernels of one kind get neighbouring columns, those of one stream too."""
        cdef int n
        self.order = columns = [sorted((k for k in self.plan.kernels if k[0] in kind), key=lambda k: kind.index(k[0])) for kind in KINDS]
        place = {kernel: column for kernels in columns for column, kernel in enumerate(kernels)}
        for n in range(4):
            self.columns[n] = len(columns[n])
        self.columns[4] = len(self.plan.histories)
        for n in range(3):
            self.streams[n] = sum(SUMS.index(source) <= n for source, _ in columns[0])
            self.streams[3 + n] = sum(TRACKS.index(source) <= n for source, _ in columns[1])
        self.bases = len(self.plan.bases)
        self.base = <base_t*> calloc(self.bases + 1, sizeof(base_t))
        self.reader = <reader_t*> calloc(len(self.names) + 1, sizeof(reader_t))
        self.base_of = <int32_t*> calloc(self.columns[4] + 1, sizeof(int32_t))
        if self.base == NULL or self.reader == NULL or self.base_of == NULL:
            raise MemoryError("no memory for the plan of the features")
        for n, (key, kernel, window_ns) in enumerate(self.plan.bases):
            self.base[n].formula = FORMULAS.index(key)
            self.base[n].column = place[self.plan.kernels[kernel]] if kernel >= 0 else -1
            self.base[n].window_ns = window_ns
            self.base[n].across = ENTRIES[key].across
        for n, (_, base, transform, history, time_ns) in enumerate(self.plan.readers):
            self.reader[n].base = base
            self.reader[n].history = history
            self.reader[n].transform = TRANSFORMS.index(transform)
            self.reader[n].time_ns = time_ns
        for n, (base, _, _) in enumerate(self.plan.histories):
            self.base_of[n] = base
        return 0

    def _place(self, str asset, int n) -> int:
        """The contract of an asset that instrument n looks at: of its own venue if there is one, else the first; -1 = none."""
        same = [k for k, i in enumerate(self.instruments) if i.asset.upper() == asset]
        own = [k for k in same if self.instruments[k].venue == self.instruments[n].venue]
        return (own or same or [-1])[0]

    cdef int _build_links(self) except -1:
        """Who looks at whom."""
        cdef int n, r
        self.target = <int32_t*> calloc(len(self.names) * self.count + 1, sizeof(int32_t))
        self.bitcoin = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.fellow = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.inst = <instrument_t*> calloc(self.count, sizeof(instrument_t))
        self.market = <market_t*> calloc(self.count, sizeof(market_t))
        if self.target == NULL or self.bitcoin == NULL or self.fellow == NULL or self.inst == NULL or self.market == NULL:
            raise MemoryError(f"no memory for {self.count} instruments")
        found = {}
        circles = {}
        for n in range(self.count):
            circles.setdefault(self.instruments[n].asset.upper(), []).append(n)
        for circle in circles.values():
            for n in range(len(circle)):
                self.fellow[circle[n]] = circle[(n + 1) % len(circle)]
        assets = {asset for asset, *_ in self.plan.readers if asset} | {"BTC"}
        for asset in assets:
            for venue in {i.venue for i in self.instruments}:
                found[asset, venue] = self._place(asset, next(n for n, i in enumerate(self.instruments) if i.venue == venue))
        for n in range(self.count):
            self.inst[n] = (<Instrument> self.instruments[n]).c
            self.bitcoin[n] = found["BTC", self.instruments[n].venue]
            for r, (asset, base, *_) in enumerate(self.plan.readers):
                looks_at = asset or ("BTC" if self.plan.bases[base][0] == "liquidations.liq_correlation" else "")
                if looks_at and looks_at not in circles:
                    raise ValueError(f"feature {self.names[r]!r}: it looks at {looks_at}, and no instrument here is of that asset "
                                     f"(there are: {', '.join(sorted(circles))}); add one")
                self.target[r * self.count + n] = found[asset, self.instruments[n].venue] if asset else n
        return 0

    def _users(self) -> list:
        """Of each base, the instruments that need it."""
        everyone = set(range(self.count))
        return [everyone if self.plan.assets[b] is None else
                {self.target[r * self.count + n] for r, reader in enumerate(self.plan.readers) if reader[1] == b for n in range(self.count)}
                for b in range(self.bases)]

    cdef int _build_kernels(self) except -1:
        """Rings for the instruments that need them, in one block."""
        cdef int n, c = self.count
        cdef int64_t size = 0
        self.known = <known_t*> calloc(c, sizeof(known_t))
        self.sums = <sums_t*> calloc(c * self.columns[0] + 1, sizeof(sums_t))
        self.tracks = <track_t*> calloc(c * self.columns[1] + 1, sizeof(track_t))
        self.candles = <candles_t*> calloc(c * self.columns[2] + 1, sizeof(candles_t))
        self.bursts = <burst_t*> calloc(c * self.columns[3] + 1, sizeof(burst_t))
        self.histories = <history_t*> calloc(c * self.columns[4] + 1, sizeof(history_t))
        if (self.known == NULL or self.sums == NULL or self.tracks == NULL or self.candles == NULL or self.bursts == NULL or self.histories == NULL):
            raise MemoryError(f"no memory for the features of {c} instruments")
        users = self._users()
        of_kernel = {kernel: set().union(*(users[b] for b, base in enumerate(self.plan.bases) if base[1] == k))
                     for k, kernel in enumerate(self.plan.kernels)}
        whose = [[of_kernel[kernel] for kernel in kernels] for kernels in self.order[:4]] + [[users[base] for base, _, _ in self.plan.histories]]
        rooms = [[SLOT_RING * SUMS_CELL_BYTES] * self.columns[0], [SLOT_RING * sizeof(track_cell_t)] * self.columns[1], [0] * self.columns[2],
                 [0] * self.columns[3], [8 * (samples + 2) for _, _, samples in self.plan.histories]]
        self.pool_bytes = sum(len(who) * room for k in range(5) for who, room in zip(whose[k], rooms[k]))
        build_slots(&self.pool, self.pool_bytes)
        for n in range(c):
            self.known[n].since = self.known[n].due = NEVER
            forget(&self.known[n])
            size = self._build_rings(n, size, whose, rooms)
        self.nbytes += self.pool_bytes + c * (sizeof(known_t) + self.columns[0] * sizeof(sums_t) + self.columns[1] * sizeof(track_t)
                                              + self.columns[2] * sizeof(candles_t) + self.columns[3] * sizeof(burst_t)
                                              + self.columns[4] * sizeof(history_t) + 4 * len(self.names))
        return 0

    cdef int _build_maps(self) except -1:
        """The kernels with a life of their own: excitation (instruments of one venue excite each other), and the two maps."""
        cdef int n
        if self.order[4]:
            venues = list(dict.fromkeys(i.venue for i in self.instruments))
            self.hawkes = Hawkes([venues.index(i.venue) for i in self.instruments])
            self.horizons = <hawkes_plan_t*> calloc(len(self.order[4]), sizeof(hawkes_plan_t))
            if self.horizons == NULL:
                raise MemoryError("no memory for the horizons of hawkes.next_large")
            for n, (_, window_ns) in enumerate(self.order[4]):
                if window_ns:
                    hawkes_plan(&self.horizons[n], &self.hawkes.g, window_ns / 1e9, LARGE_SHARE)
            self.nbytes += self.count * <int64_t> sizeof(hawkes_t)
        if self.order[5]:
            self.pending_config = PendingConfig()
            self.pending = <pending_t*> calloc(self.count, sizeof(pending_t))
            for n in range(self.count if self.pending != NULL else 0):
                pending_init(&self.pending[n], &self.pending_config.c)
            self.nbytes += self.count * (2 * 8 * <int64_t> self.pending_config.c.cells + <int64_t> sizeof(pending_t))
        if self.order[6]:
            self.density_config = DensityConfig()
            self.density = <density_t*> calloc(self.count, sizeof(density_t))
            for n in range(self.count if self.density != NULL else 0):
                density_init(&self.density[n], &self.density_config.c)
            self.nbytes += self.count * (3 * 8 * <int64_t> self.density_config.c.cells + <int64_t> sizeof(density_t))
        if (self.order[5] and self.pending == NULL) or (self.order[6] and self.density == NULL):
            raise MemoryError(f"no memory for the maps of {self.count} instruments")
        return 0

    cdef int64_t _build_rings(self, int n, int64_t size, list whose, list rooms) except -1:
        """The kernels of one instrument; `size`: of the block, as far as it is given out."""
        cdef sums_t* w
        cdef track_t* t
        cdef history_t* h
        cdef char* pool = <char*> self.pool
        cdef int j
        for j, (_, window_ns) in enumerate(self.order[0]):
            w = &self.sums[n * self.columns[0] + j]
            w.slots = slots(window_ns)
            w.step_ns = window_ns // w.slots
            if n in whose[0][j]:
                w.cells = <sums_cell_t*> (pool + size)
                sums_reset(w)
                size += rooms[0][j]
        for j, (_, window_ns) in enumerate(self.order[1]):
            t = &self.tracks[n * self.columns[1] + j]
            t.slots = slots(window_ns)
            t.step_ns = window_ns // t.slots
            if n in whose[1][j]:
                t.cells = <track_cell_t*> (pool + size)
                track_clear(t)
                size += rooms[1][j]
        for j, (_, window_ns) in enumerate(self.order[2]):
            candles_clear(&self.candles[n * self.columns[2] + j], window_ns)
        for j, (_, window_ns) in enumerate(self.order[3]):
            if n in whose[3][j]:
                burst_init(&self.bursts[n * self.columns[3] + j], window_ns)
                self.nbytes += <int64_t> quantile_bytes(1000)
        for j, (_, step_ns, samples) in enumerate(self.plan.histories):
            h = &self.histories[n * self.columns[4] + j]
            h.step_ns, h.samples, h.room = step_ns, samples, samples + 2
            h.first = h.last = h.course.at = -1
            if n in whose[4][j]:
                h.values = <double*> (pool + size)
                size += rooms[4][j]
        return size

    def describe(self) -> list:
        """What each feature is, and for each instrument whose data it reads and how complete that is: list of dicts, one a name.

        Features of liquidations carry the completeness of the feed: what a CENSORED feed shows of a cascade is a sample, and its volumes must not be
        compared with, nor added to, those of another.
        """
        out = []
        for r, f in enumerate(self.plan.features):
            of = {}
            for n, i in enumerate(self.instruments):
                source = self.instruments[self.target[r * self.count + n]]
                of[i.key] = {"source": source.key}
                if f.entry.kind == LIQUIDATION:
                    of[i.key]["completeness"] = source.completeness.name.removeprefix("COMPLETENESS_").lower()
            out.append({"name": f.text, "unit": f.unit, "meaning": f.entry.meaning, "window_ns": f.window_ns, "transform": f.transform,
                        "history_ns": f.step_ns * f.samples, "step_ns": f.step_ns, "instruments": of})
        return out

    # ---- snapshots ----

    cdef list plain(self):
        """(address, bytes) of what a snapshot copies as it is."""
        return [(<size_t> &self.started, 8), (<size_t> &self.due_across, 8), (<size_t> &self.now, 8), (<size_t> &self.accepted, 8),
                (<size_t> self.turned_away, sizeof(self.turned_away)), (<size_t> self.market, self.count * sizeof(market_t)),
                (<size_t> self.known, self.count * sizeof(known_t)), (<size_t> self.candles, self.count * self.columns[2] * sizeof(candles_t)),
                (<size_t> self.pool, self.pool_bytes)]

    def _made_of(self) -> bytes:
        """What a snapshot fits: the names, and the instruments in their order."""
        return "\n".join([*self.names, *(f"{i.key} {i.asset} {i.multiplier!r}" for i in self.instruments)]).encode()

    cdef bytes save_c(self):
        """Everything; of what holds addresses, all but those."""
        cdef Py_ssize_t k
        cdef bytes sums = (<char*> self.sums)[:self.count * self.columns[0] * sizeof(sums_t)]
        cdef bytes tracks = (<char*> self.tracks)[:self.count * self.columns[1] * sizeof(track_t)]
        cdef bytes histories = (<char*> self.histories)[:self.count * self.columns[4] * sizeof(history_t)]
        cdef bytes bursts = (<char*> self.bursts)[:self.count * self.columns[3] * sizeof(burst_t)]
        cdef list parts = [(<char*> <size_t> at)[:size] for at, size in self.plain()]
        for k in range(self.count * self.columns[0]):
            (<sums_t*> <char*> sums)[k].cells = NULL
        for k in range(self.count * self.columns[1]):
            (<track_t*> <char*> tracks)[k].cells = NULL
        for k in range(self.count * self.columns[4]):
            (<history_t*> <char*> histories)[k].values = NULL
            (<history_t*> <char*> histories)[k].course.at = -1
        for k in range(self.count * self.columns[3]):
            memset(&(<burst_t*> <char*> bursts)[k].q, 0, sizeof(quantile_t))
        return pack(SNAPSHOT_NAME, [self._made_of(), *parts, sums, tracks, histories, bursts,
                                    *(quantile_save(&self.bursts[k].q) for k in range(self.count * self.columns[3]) if self.bursts[k].gap_ns),
                                    *self._maps()])

    cdef list _maps(self):
        """Snapshots of the kernels with a life of their own."""
        cdef int n
        cdef list out = []
        if self.hawkes is not None:
            out = [self.hawkes.save_groups_c(), *[self.hawkes.save_c(n) for n in range(self.count)]]
        if self.pending != NULL:
            out += [pending_save(&self.pending[n]) for n in range(self.count)]
        if self.density != NULL:
            out += [density_save(&self.density[n]) for n in range(self.count)]
        return out

    cdef int load_c(self, bytes data) except -1:
        """ValueError, and no change, unless the bytes are a snapshot of the same names and instruments."""
        cdef list parts = unpack(SNAPSHOT_NAME, data, "features"), sizes = [size for _, size in self.plain()] + [
            self.count * self.columns[0] * sizeof(sums_t), self.count * self.columns[1] * sizeof(track_t),
            self.count * self.columns[4] * sizeof(history_t), self.count * self.columns[3] * sizeof(burst_t)]
        cdef bytes before = self.save_c()
        cdef list own = unpack(SNAPSHOT_NAME, before, "features")
        if len(parts) != len(own) or parts[0] != own[0] or [len(part) for part in parts[1:1 + len(sizes)]] != sizes:
            raise ValueError("features snapshot: of other features or instruments than these, or of another version of liqcore")
        try:
            self._put(parts)
        except ValueError:              # of a kernel with a snapshot of its own
            self._put(own)
            raise
        return 0

    def _put(self, list parts):
        """What save_c has packed."""
        cdef Py_ssize_t k, at
        cdef list plain = self.plain()
        cdef sums_t* w
        cdef track_t* t
        cdef history_t* h
        cdef burst_t* b
        cdef sums_cell_t* cells
        cdef track_cell_t* course
        cdef double* values
        cdef quantile_t q
        for (at, size), part in zip(plain, parts[1:]):
            memcpy(<void*> at, <char*> <bytes> part, size)
        parts = parts[1 + len(plain):]
        for k in range(self.count * self.columns[0]):
            w = &self.sums[k]
            cells = w.cells
            w[0] = (<sums_t*> <char*> <bytes> parts[0])[k]
            w.cells = cells
        for k in range(self.count * self.columns[1]):
            t = &self.tracks[k]
            course = t.cells
            t[0] = (<track_t*> <char*> <bytes> parts[1])[k]
            t.cells = course
        for k in range(self.count * self.columns[4]):
            h = &self.histories[k]
            values = h.values
            h[0] = (<history_t*> <char*> <bytes> parts[2])[k]
            h.values = values
        at = 4
        for k in range(self.count * self.columns[3]):
            b = &self.bursts[k]
            q = b.q
            b[0] = (<burst_t*> <char*> <bytes> parts[3])[k]
            b.q = q
            if b.gap_ns:
                quantile_load(&b.q, parts[at])
                at += 1
        if self.hawkes is not None:
            self.hawkes.load_groups_c(parts[at])
            for k in range(self.count):
                self.hawkes.load_c(k, parts[at + 1 + k])
            at += 1 + self.count
        for k in range(self.count if self.pending != NULL else 0):
            pending_load(&self.pending[k], parts[at])
            at += 1
        for k in range(self.count if self.density != NULL else 0):
            density_load(&self.density[k], parts[at])
            at += 1
