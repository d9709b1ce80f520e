"""The state of features: see state.pxd. Everything is allocated by open_c."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.math cimport NAN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.argument cimport describe, several, string
from liqcore.kernels.realised_map cimport DensityConfig, density_free, density_init, density_load, density_save, density_t
from liqcore.event cimport market_t
from liqcore.features.formulas cimport *
from liqcore.features.kernels cimport *
from liqcore.features.log cimport *
from liqcore.kernels.hawkes cimport Hawkes, hawkes_plan, hawkes_plan_t, hawkes_t
from liqcore.instrument cimport Instrument, instrument_t
from liqcore.kernels.estimated_map cimport PendingConfig, pending_free, pending_init, pending_load, pending_save, pending_t
from liqcore.kernels.quantile cimport quantile_bytes, quantile_free, quantile_load, quantile_save, quantile_t
from liqcore.snapshot cimport ZERO_BLOCK, CHANGE_BLOCK, changes, pack, unchanged, unpack

from liqcore.features.custom import CustomFeature, refuse_two
from liqcore.features.formulas import FORMULAS, TRANSFORMS
from liqcore.features.spec import ENTRIES, LAGS, SAMPLES_KNOWN, TURNS_MAX, plan, room, slots
from liqcore.features.table import FORCED, LARGE_SHARE, LIQUIDATION

SNAPSHOT_NAME = b"liqcore-features-5\n"
ZERO_NAME = b"liqcore-features-4\n"       # of earlier builds, which left out only zeros
WHOLE_NAME = b"liqcore-features-3\n"      # and of still earlier ones, which left out nothing
OTHER = "features snapshot: of other features or instruments than these, or of another version of liqcore"
cdef struct log_entry_t:
    int64_t ts
    double x
    double y

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
SUMS = ("liquidations", "trades", "ofi", "deleveraged")           # sources by kind of kernel, in the order of their columns
TRACKS = ("price", "oi", "funding")
KINDS = (SUMS, TRACKS, ("candles",), ("cascade",), ("hawkes",), ("pending",), ("density",))
FED = {"liquidations": FED_LIQUIDATIONS, "cascade": FED_LIQUIDATIONS, "trades": FED_TRADES, "ofi": FED_QUOTES,
       "deleveraged": FED_DELEVERAGED, "price": FED_PRICE, "oi": FED_INTEREST,
       "funding": FED_FUNDING, "pending": FED_PENDING, "density": FED_DENSITY}
if sorted(FORMULAS) != sorted(ENTRIES):
    raise ImportError(f"liqcore was built for another table of features: {sorted(set(FORMULAS) ^ set(ENTRIES))}; rebuild it")


cdef bytes log_save(const log_t* l):
    """The stored entries, oldest first."""
    cdef int64_t k, many = l.total - l.low
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 24 * (1 + many))
    cdef log_entry_t* to = <log_entry_t*> <char*> out
    cdef int64_t head[3]
    head[0], head[1], head[2] = l.low, l.total, l.lost
    memcpy(to, head, 24)
    for k in range(many):
        to[1 + k].ts = l.ts[(l.low + k) & l.mask]
        to[1 + k].x = l.x[(l.low + k) & l.mask]
        to[1 + k].y = l.y[(l.low + k) & l.mask] if l.y != NULL else 0.0
    return out


cdef int64_t log_load(log_t* l, bytes data, int64_t at) except -1:
    """Load the image at `at`; returns its length."""
    cdef int64_t k, left = len(data) - at
    cdef const log_entry_t* of = <const log_entry_t*> (<const char*> data + at)
    cdef int64_t head[3]
    if left >= 24:
        memcpy(head, of, 24)
    if left < 24 or not 0 <= head[0] <= head[1] or head[1] - head[0] > min(l.mask + 1, left // 24 - 1):
        raise ValueError("features snapshot: a log is cut short")
    l.low, l.total, l.lost = head[0], head[1], head[2]
    for k in range(l.total - l.low):
        l.ts[(l.low + k) & l.mask] = of[1 + k].ts
        l.x[(l.low + k) & l.mask] = of[1 + k].x
        if l.y != NULL:
            l.y[(l.low + k) & l.mask] = of[1 + k].y
    return 24 * (1 + l.total - l.low)


cdef class FeatureState:
    """The plan of some names, and the kernels of all instruments for it."""

    def __init__(self, names=()):
        if self.plan is not None:
            raise RuntimeError("called twice: make a new one")
        asked = [name if isinstance(name, CustomFeature) else string(name, "names") for name in several(names, "names")]
        refuse_two(asked)
        asked += dict.fromkeys(need for name in asked if isinstance(name, CustomFeature) for need in name.needs)
        self.plan = plan([name.needs[0] if isinstance(name, CustomFeature) else name for name in asked])
        self.names = tuple([name if isinstance(name, CustomFeature) else f.text for name, f in zip(asked, self.plan.features)])
        self.wants = sum(1 << kind for kind in self.plan.kinds)
        self.instruments = ()
        self.started = -1
        self.index = {name: n for n, name in reversed(list(enumerate(self.names)))}
        self.own = [(name.function, [self.index[need] for need in name.needs]) if isinstance(name, CustomFeature) else None for name in self.names]

    def __dealloc__(self):
        self._free()

    cdef int _free(self) except -1:
        cdef Py_ssize_t k
        if self.bursts != NULL:
            for k in range(self.count * self.columns[3]):
                quantile_free(&self.bursts[k].q)
        for k in range(self.rows):
            if self.pending != NULL:
                pending_free(&self.pending[k])
            if self.density != NULL:
                density_free(&self.density[k])
        for block in (<size_t> self.base, <size_t> self.reader, <size_t> self.base_of, <size_t> self.target, <size_t> self.bitcoin,
                      <size_t> self.fellow, <size_t> self.known, <size_t> self.sums, <size_t> self.tracks, <size_t> self.candles,
                      <size_t> self.bursts, <size_t> self.histories, <size_t> self.horizons, <size_t> self.pending, <size_t> self.density,
                      <size_t> self.pool, <size_t> self.inst, <size_t> self.market, <size_t> self.logs, <size_t> self.prints,
                      <size_t> self.bars, <size_t> self.cursors, <size_t> self.print_cursors, <size_t> self.behind, <size_t> self.venue_of,
                      <size_t> self.state_base, <size_t> self.bar_base, <size_t> self.past, <size_t> self.has_data):
            free(<void*> <size_t> block)
        return 0

    # ---- allocation, once ----

    cdef int open_c(self, tuple instruments) except -1:
        """Allocate for these liqcore.Instruments. ValueError if a name reads an asset that none of them has."""
        cdef int n
        if self.count:
            raise RuntimeError("Features: opened twice; make a new one")
        if not instruments:
            raise ValueError("instruments: expected at least one")
        self.instruments = instruments
        self.count = len(instruments)
        self.made_of = "\n".join([*self.names, *(f"{i.key} {i.asset} {i.multiplier!r}" for i in instruments)]).encode()
        self.places = {}                # symbols only if unique among the venues, as in an Engine
        for n in range(self.count):
            self.places[instruments[n].symbol] = -1 if instruments[n].symbol in self.places else n
        self.places = {symbol: place for symbol, place in self.places.items() if place >= 0}
        for n in range(self.count):
            self.places[instruments[n].key] = n
        self._build_plan()
        self._build_links()
        self._build_kernels()
        self._build_maps()
        self._build_past()
        self._count_without_data()
        self.due_across = NEVER
        return 0

    cdef int _build_plan(self) except -1:
        """The plan as C arrays: kernels of one kind, and of one stream, get neighbouring columns."""
        cdef int n
        self.order = columns = [sorted((k for k in self.plan.kernels if k[0] in kind), key=lambda k: kind.index(k[0])) for kind in KINDS]
        place = {kernel: column for kernels in columns for column, kernel in enumerate(kernels)}
        for n in range(4):
            self.columns[n] = len(columns[n])
        self.columns[4] = len(self.plan.histories)
        for n in range(4):
            self.streams[n] = sum(SUMS.index(source) <= n for source, _ in columns[0])
        for n in range(3):
            self.streams[FED_PRICE + n] = sum(TRACKS.index(source) <= n for source, _ in columns[1])
        self.bases = len(self.plan.bases)
        self.followers = len(self._followed())
        self.rows = self.count * (1 + self.followers)
        self.base = <base_t*> calloc(self.bases + 1, sizeof(base_t))
        self.reader = <reader_t*> calloc(len(self.names) + 1, sizeof(reader_t))
        self.base_of = <int32_t*> calloc(self.columns[4] + 1, sizeof(int32_t))
        if self.base == NULL or self.reader == NULL or self.base_of == NULL:
            raise MemoryError("no memory for the plan of the features")
        followed = self._followed()
        for n, (key, kernel, window_ns) in enumerate(self.plan.bases):
            entry = ENTRIES[key]
            self.base[n].formula = FORMULAS.index(key)
            self.base[n].column = place[self.plan.kernels[kernel]] if kernel >= 0 else -1
            self.base[n].window_ns = window_ns
            self.base[n].across = entry.across
            self.base[n].streams = entry.streams
            self.base[n].stream = (entry.streams & -entry.streams).bit_length() - 1
            self.base[n].fed = FED.get(entry.source, -1)
            remembered = self._remembered(entry.source) if entry.source in ("state", "candles") else []
            self.base[n].past = remembered.index(n) if n in remembered else -1
        for n, (_, base, transform, history, time_ns, least) in enumerate(self.plan.readers):
            self.reader[n].base = base
            self.reader[n].custom = self.own[n] is not None
            self.reader[n].history = history
            self.reader[n].transform = TRANSFORMS.index(transform)
            self.reader[n].time_ns = time_ns
            self.reader[n].room = room(time_ns)
            self.reader[n].follower = followed.index(time_ns) if transform in LAGS and time_ns in followed else -1
            self.reader[n].apart = transform == "zscore" or least > 0
            samples = self.plan.histories[history][2] if history >= 0 else 0
            self.reader[n].least = (least or SAMPLES_KNOWN if self.reader[n].apart else min(SAMPLES_KNOWN, samples) if transform == "rank"
                                    else 1 if transform in ("n", "n_eff") else samples)
        for n, (base, *_) in enumerate(self.plan.histories):
            self.base_of[n] = base
        return 0

    def _source(self, int base) -> str:
        return ENTRIES[self.plan.bases[base][0]].source

    def _remembered(self, *sources) -> list:
        """Bases of some sources that a lag reads."""
        return sorted({base for base, _ in self.plan.lags if self._source(base) in sources})

    def _span(self, int base) -> int:
        """The longest lag of a base."""
        return max([time_ns for b, time_ns in self.plan.lags if b == base])

    def _followed(self) -> list:
        """Delays of the followers: the lags of all bases except present values and candles."""
        return sorted({time_ns for base, time_ns in self.plan.lags if self._source(base) not in ("state", "candles")})

    def _place(self, str asset, int n) -> int:
        """The contract of an asset that instrument n reads: that of its own venue if there is one, else the first; -1 = none."""
        same = [k for k, i in enumerate(self.instruments) if i.asset.upper() == asset]
        own = [k for k in same if self.instruments[k].venue == self.instruments[n].venue]
        return (own or same or [-1])[0]

    cdef int _build_links(self) except -1:
        """Find the instruments that each instrument reads."""
        cdef int n, r
        self.target = <int32_t*> calloc(len(self.names) * self.count + 1, sizeof(int32_t))
        self.bitcoin = <int32_t*> calloc(self.rows, sizeof(int32_t))
        self.fellow = <int32_t*> calloc(self.rows, sizeof(int32_t))
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
        for n in range(self.count, self.rows):
            self.bitcoin[n] = self.bitcoin[n % self.count] + n - n % self.count if self.bitcoin[n % self.count] >= 0 else -1
            self.fellow[n] = self.fellow[n % self.count] + n - n % self.count
        return 0

    def _users(self) -> list:
        """For each base, the instruments that need it."""
        everyone = set(range(self.count))
        firsts = [next(n for n, i in enumerate(self.instruments) if i.venue == venue) for venue in {i.venue for i in self.instruments}]
        return [everyone if assets is None else {self._place(asset, n) for asset in assets for n in firsts} for assets in self.plan.assets]

    def _rows_of(self, list users) -> list:
        """The same with the rows of the followers."""
        followed = self._followed()
        return [users[b] | {n + self.count * (1 + f) for f, time_ns in enumerate(followed) if (b, time_ns) in self.plan.lags for n in users[b]}
                for b in range(self.bases)]

    cdef int _build_kernels(self) except -1:
        """Rings for the instruments that need them, in one block."""
        cdef int n, k, c = self.rows
        cdef int64_t size = 0
        self.known = <known_t*> calloc(c, sizeof(known_t))
        self.sums = <sums_t*> calloc(c * self.columns[0] + 1, sizeof(sums_t))
        self.tracks = <track_t*> calloc(c * self.columns[1] + 1, sizeof(track_t))
        self.candles = <candles_t*> calloc(c * self.columns[2] + 1, sizeof(candles_t))
        self.bursts = <burst_t*> calloc(c * self.columns[3] + 1, sizeof(burst_t))
        self.histories = <history_t*> calloc(c * self.columns[4] + 1, sizeof(history_t))
        if (self.known == NULL or self.sums == NULL or self.tracks == NULL or self.candles == NULL or self.bursts == NULL or self.histories == NULL):
            raise MemoryError(f"no memory for the features of {c} instruments")
        instruments = self._users()
        users = self._rows_of(instruments)
        of_kernel = {kernel: set().union(*(users[b] for b, base in enumerate(self.plan.bases) if base[1] == k))
                     for k, kernel in enumerate(self.plan.kernels)}
        whose = [[of_kernel[kernel] for kernel in kernels] for kernels in self.order[:4]] + [[instruments[base] for base, *_ in self.plan.histories]]
        rooms = [[SLOT_RING * SUMS_CELL_BYTES] * self.columns[0], [SLOT_RING * sizeof(track_cell_t)] * self.columns[1], [0] * self.columns[2],
                 [0] * self.columns[3], [8 * (samples + 2) for _, _, samples, _ in self.plan.histories]]
        self.pool_bytes = sum(len(who) * each for k in range(5) for who, each in zip(whose[k], rooms[k]))
        build_slots(&self.pool, self.pool_bytes)
        for n in range(c):
            self.known[n].due = 0 if n < self.count else NEVER       # the first event begins the histories
            self.known[n].silent = (1 << STREAMS) - 1
            for k in range(STREAMS):
                self.known[n].since[k] = self.known[n].ts_stated[k] = NEVER
            forget(&self.known[n], 0xFF)
            size = self._build_rings(n, size, whose, rooms)
        self.nbytes += self.pool_bytes + c * (sizeof(known_t) + self.columns[0] * sizeof(sums_t) + self.columns[1] * sizeof(track_t)
                                              + self.columns[2] * sizeof(candles_t) + self.columns[3] * sizeof(burst_t)
                                              + self.columns[4] * sizeof(history_t) + 4 * len(self.names))
        return 0

    cdef int _build_maps(self) except -1:
        """The kernels with their own memory: excitation (instruments of one venue excite each other), and the two maps."""
        cdef int n
        if self.order[4]:
            venues = list(dict.fromkeys(i.venue for i in self.instruments))
            lagged = self.followers if self._remembered("hawkes") else 0       # each follower has venues of its own
            self.hawkes = Hawkes([venues.index(i.venue) + len(venues) * f for f in range(1 + lagged) for i in self.instruments])
            self.horizons = <hawkes_plan_t*> calloc(len(self.order[4]), sizeof(hawkes_plan_t))
            if self.horizons == NULL:
                raise MemoryError("no memory for the horizons of hawkes.next_large")
            for n, (_, window_ns) in enumerate(self.order[4]):
                if window_ns:
                    hawkes_plan(&self.horizons[n], &self.hawkes.g, window_ns / 1e9, LARGE_SHARE)
            self.nbytes += self.hawkes.instruments * <int64_t> sizeof(hawkes_t)
        rows = self._rows_of(self._users())
        self.pending_rows, self.density_rows = [sorted(set().union(*(rows[b] for b in range(self.bases) if self._source(b) == source)))
                                                for source in ("pending", "density")]
        if self.order[5]:
            self.pending_config = PendingConfig()
            self.pending = <pending_t*> calloc(self.rows, sizeof(pending_t))
            for n in self.pending_rows if self.pending != NULL else ():
                pending_init(&self.pending[n], &self.pending_config.c)
            self.nbytes += len(self.pending_rows) * (2 * 8 * <int64_t> self.pending_config.c.cells + <int64_t> sizeof(pending_t))
        if self.order[6]:
            self.density_config = DensityConfig()
            self.density = <density_t*> calloc(self.rows, sizeof(density_t))
            for n in self.density_rows if self.density != NULL else ():
                density_init(&self.density[n], &self.density_config.c)
            self.nbytes += len(self.density_rows) * (3 * 8 * <int64_t> self.density_config.c.cells + <int64_t> sizeof(density_t))
        if (self.order[5] and self.pending == NULL) or (self.order[6] and self.density == NULL):
            raise MemoryError(f"no memory for the maps of {self.count} instruments")
        return 0

    cdef int64_t _build_rings(self, int n, int64_t size, list whose, list rooms) except -1:
        """The kernels of one instrument. `size`: used part of the block; returns the new one."""
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
        for j, (_, step_ns, samples, reach_ns) in enumerate(self.plan.histories):
            h = &self.histories[n * self.columns[4] + j]
            h.step_ns, h.samples, h.room, h.reach_ns = step_ns, samples, samples + 2, reach_ns
            h.first = h.last = h.course.at = -1
            if n in whose[4][j]:
                h.values = <double*> (pool + size)
                size += rooms[4][j]
        return size

    # ---- memory for lags ----

    def _asked(self) -> dict:
        """Log -> (capacity, the longest lag, whether its entries are two numbers, number of entries that a lag may use). A log is
        (instrument, place), or (-1, venue)."""
        states, venues, out = self._remembered("state"), list(dict.fromkeys(i.venue for i in self.instruments)), {}
        users = self._users()

        def ask(log, many, time_ns, two=False):
            before = out.get(log, (0, 0, two, 0))
            out[log] = (max(before[0], 1 << (many + 1).bit_length()), max(before[1], time_ns), two, max(before[3], many))
        for b, time_ns in self.plan.lags:
            source = self._source(b)
            for n in users[b]:
                if source == "state":
                    ask((n, FEEDS + STREAMS + states.index(b)), room(time_ns), time_ns)
                elif source != "candles":
                    ask((n, FEEDS + self.base[b].stream), TURNS_MAX, time_ns)
                    if source == "hawkes":
                        ask((-1, venues.index(self.instruments[n].venue)), room(time_ns), time_ns, True)
                    else:
                        ask((n, FED[source]), room(time_ns), time_ns, source in ("pending", "density"))
        return out

    cdef int _build_past(self) except -1:
        """Allocate logs and candles of the past, and the positions of the followers in them."""
        cdef int n, j
        cdef int64_t size = 0, cells = 0
        states, candles, venues = self._remembered("state"), self._remembered("candles"), list(dict.fromkeys(i.venue for i in self.instruments))
        keys = [self.plan.bases[b][0] for b in states]
        self.last_state, self.oi_state, self.spread_state = [keys.index(key) if key in keys else -1
                                                             for key in ("price.last", "oi.oi", "flow.spread_bps")]
        self.states, self.bar_count, self.venues, self.log_width = len(states), len(candles), len(venues), FEEDS + STREAMS + len(states)
        asked = self._asked()
        self.logged = len(asked) > 0
        sizes = [self._span(b) // self.plan.bases[b][2] + 2 for b in candles]
        users = self._users()
        self.logs = <log_t*> calloc(self.count * self.log_width, sizeof(log_t))
        self.prints = <log_t*> calloc(self.venues, sizeof(log_t))
        self.bars = <bars_t*> calloc(self.count * self.bar_count + 1, sizeof(bars_t))
        self.cursors = <int64_t*> calloc(self.rows * FEEDS, sizeof(int64_t))
        self.print_cursors = <int64_t*> calloc((1 + self.followers) * self.venues, sizeof(int64_t))
        self.behind = <int64_t*> calloc(self.followers + 1, sizeof(int64_t))
        self.venue_of = <int32_t*> calloc(self.count, sizeof(int32_t))
        self.state_base = <int32_t*> calloc(self.states + 1, sizeof(int32_t))
        self.bar_base = <int32_t*> calloc(self.bar_count + 1, sizeof(int32_t))
        self.has_data = <uint8_t*> calloc(self.count, 1)
        cells = sum(len(users[b]) * many for b, many in zip(candles, sizes)) * <int64_t> sizeof(bar_cell_t)
        size = sum(many * (24 if two else 16) for many, _, two, _ in asked.values())
        build_slots(&self.past, size + cells)
        self.bar_cells, self.bar_bytes = self.past + size // 8, cells
        self.nbytes += size + cells + self.count * self.log_width * <int64_t> sizeof(log_t)
        if (self.logs == NULL or self.prints == NULL or self.bars == NULL or self.cursors == NULL or self.print_cursors == NULL
                or self.behind == NULL or self.venue_of == NULL or self.state_base == NULL or self.bar_base == NULL or self.has_data == NULL):
            raise MemoryError(f"no memory for the past of {self.count} instruments")
        for n in range(self.rows * FEEDS):
            self.cursors[n] = NEVER         # it follows no log, except for those below
        followed = self._followed()
        for n, time_ns in enumerate(followed):
            self.behind[n] = time_ns
        for b, time_ns in self.plan.lags:
            for n in users[b] if time_ns in followed and self.base[b].fed >= 0 else ():
                self.cursors[(followed.index(time_ns) * self.count + n) * FEEDS + self.base[b].fed] = 0
        for n in range(self.count):
            self.venue_of[n] = venues.index(self.instruments[n].venue)
        for n in range(self.count * self.log_width):
            self.logs[n].mask = -1
        for n in range(self.venues):
            self.prints[n].mask = -1
        for j in range(self.states):
            self.state_base[j] = states[j]
        self._build_logs(asked, candles, sizes)
        return 0

    cdef int _build_logs(self, dict asked, list candles, list sizes) except -1:
        """Assign parts of the memory of the past."""
        cdef int n, j
        cdef int64_t size = 0, many, keep_ns
        cdef log_t* l
        users = self._users()
        for (n, j), (many, keep_ns, two, room_of) in asked.items():
            l = &self.prints[j] if n < 0 else &self.logs[n * self.log_width + j]
            l.mask, l.keep_ns, l.room = many - 1, keep_ns, room_of
            l.ts = <int64_t*> (self.past + size)
            l.x = self.past + size + many
            l.y = self.past + size + 2 * many if two else NULL
            size += many * (3 if two else 2)
        for j, b in enumerate(candles):
            self.bar_base[j] = b
            for n in users[b]:
                self.bars[n * self.bar_count + j] = bars_t(cells=<bar_cell_t*> (self.past + size), size=sizes[j], lag_ns=self._span(b))
                size += sizes[j] * 3
        return 0

    cdef int _count_without_data(self) except -1:
        """Count the instruments without an event. If a venue is known to publish liquidations, their features are known from the first event of any
        stream on, so until then all events are needed."""
        self.without_data = 0
        if any(ENTRIES[key].streams & FORCED for key, _, _ in self.plan.bases):
            self.without_data = sum(not self.has_data[n] and self.inst[n].completeness for n in range(self.count))
        return 0

    def describe(self) -> list:
        """A list of dicts, one for each feature: its meaning, and for each instrument the contract that it reads and the completeness of its data.

        Features of liquidations carry the completeness of the feed: a CENSORED feed shows a sample of a cascade. Do not compare its volumes with
        those of another feed, or add them.
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
        """(address, bytes) of the blocks that a snapshot copies unchanged."""
        return [(<size_t> &self.started, 8), (<size_t> &self.due_across, 8), (<size_t> &self.now, 8), (<size_t> &self.accepted, 8),
                (<size_t> self.turned_away, sizeof(self.turned_away)), (<size_t> self.market, self.count * sizeof(market_t)),
                (<size_t> self.known, self.rows * sizeof(known_t)), (<size_t> self.candles, self.count * self.columns[2] * sizeof(candles_t)),
                (<size_t> self.pool, self.pool_bytes), (<size_t> self.has_data, self.count), (<size_t> self.cursors, self.rows * FEEDS * 8),
                (<size_t> self.print_cursors, (1 + self.followers) * self.venues * 8), (<size_t> self.bar_cells, self.bar_bytes)]

    cdef bytes save_c(self):
        """The complete state without addresses."""
        cdef Py_ssize_t k
        cdef bytes sums = (<char*> self.sums)[:self.rows * self.columns[0] * sizeof(sums_t)]
        cdef bytes tracks = (<char*> self.tracks)[:self.rows * self.columns[1] * sizeof(track_t)]
        cdef bytes histories = (<char*> self.histories)[:self.count * self.columns[4] * sizeof(history_t)]
        cdef bytes bursts = (<char*> self.bursts)[:self.rows * self.columns[3] * sizeof(burst_t)]
        cdef list parts = [changes(<const char*> <size_t> at, size) for at, size in self.plain()]
        for k in range(self.rows * self.columns[0]):
            (<sums_t*> <char*> sums)[k].cells = NULL
        for k in range(self.rows * self.columns[1]):
            (<track_t*> <char*> tracks)[k].cells = NULL
        for k in range(self.count * self.columns[4]):
            (<history_t*> <char*> histories)[k].values = NULL
            (<history_t*> <char*> histories)[k].course.at = -1
        for k in range(self.rows * self.columns[3]):
            memset(&(<burst_t*> <char*> bursts)[k].q, 0, sizeof(quantile_t))
        return pack(SNAPSHOT_NAME, [self.made_of, *parts, sums, tracks, histories, bursts,
                                    b"".join([log_save(<const log_t*> <size_t> at) for at in self._logs()]),
                                    *(quantile_save(&self.bursts[k].q) for k in range(self.rows * self.columns[3]) if self.bursts[k].gap_ns),
                                    *self._maps()])

    cdef list _maps(self):
        """Snapshots of the kernels with their own memory."""
        cdef int n
        cdef list out = []
        if self.hawkes is not None:
            out = [self.hawkes.save_groups_c(), *[self.hawkes.save_c(n) for n in range(self.hawkes.instruments)]]
        out += [pending_save(&self.pending[n]) for n in self.pending_rows]
        out += [density_save(&self.density[n]) for n in self.density_rows]
        return out

    cdef list _logs(self):
        """Addresses of the logs in use."""
        cdef int64_t k, count = self.count * self.log_width
        return [<size_t> (&self.logs[k] if k < count else &self.prints[k - count]) for k in range(count + self.venues)
                if (self.logs[k].mask if k < count else self.prints[k - count].mask) >= 0]

    def _parts(self, bytes data) -> list:
        """The parts of a snapshot, unpacked to their full length."""
        name = next((name for name in (WHOLE_NAME, ZERO_NAME) if data.startswith(name)), SNAPSHOT_NAME)
        cdef list parts = unpack(name, data, "features"), plain = self.plain()
        if name != WHOLE_NAME and parts[0] == self.made_of:
            parts[1:1 + len(plain)] = [unchanged(part, size, name == ZERO_NAME) for part, (_, size) in zip(parts[1:], plain)]
            if None in parts:
                raise ValueError(OTHER)
        return parts

    cdef int load_c(self, bytes data) except -1:
        """Load a snapshot; ValueError, and no change, unless it is of the same names and instruments."""
        cdef list parts = self._parts(data), sizes = [size for _, size in self.plain()] + [
            self.rows * self.columns[0] * sizeof(sums_t), self.rows * self.columns[1] * sizeof(track_t),
            self.count * self.columns[4] * sizeof(history_t), self.rows * self.columns[3] * sizeof(burst_t)]
        cdef Py_ssize_t k, bursts = sum([1 for k in range(self.rows * self.columns[3]) if self.bursts[k].gap_ns])
        cdef Py_ssize_t alive = bursts + len(self.pending_rows) + len(self.density_rows)
        alive += 1 + self.hawkes.instruments if self.hawkes is not None else 0
        if (len(parts) != 2 + len(sizes) + alive or parts[0] != self.made_of
                or [len(part) for part in parts[1:1 + len(sizes)]] != sizes):
            raise ValueError(OTHER)
        if not alive and not parts[1 + len(sizes)] and not self._logs():      # no part can be refused any more
            self._put(parts)
            return 0
        cdef list own = self._parts(self.save_c())
        try:
            self._put(parts)
        except ValueError:              # from a kernel with its own snapshot
            self._put(own)
            raise
        return 0

    def _put(self, list parts):
        """Load the parts of save_c."""
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
        for k in range(self.rows * self.columns[0]):
            w = &self.sums[k]
            cells = w.cells
            w[0] = (<sums_t*> <char*> <bytes> parts[0])[k]
            w.cells = cells
        for k in range(self.rows * self.columns[1]):
            t = &self.tracks[k]
            course = t.cells
            t[0] = (<track_t*> <char*> <bytes> parts[1])[k]
            t.cells = course
        for k in range(self.count * self.columns[4]):
            h = &self.histories[k]
            values = h.values
            h[0] = (<history_t*> <char*> <bytes> parts[2])[k]
            h.values = values
        at = 0
        for place in self._logs():
            at += log_load(<log_t*> <size_t> place, parts[4], at)
        if at != len(parts[4]):
            raise ValueError("features snapshot: its logs are of another length than they say")
        at = 5
        for k in range(self.rows * self.columns[3]):
            b = &self.bursts[k]
            q = b.q
            b[0] = (<burst_t*> <char*> <bytes> parts[3])[k]
            b.q = q
            if b.gap_ns:
                quantile_load(&b.q, parts[at])
                at += 1
        if self.hawkes is not None:
            self.hawkes.load_groups_c(parts[at])
            for k in range(self.hawkes.instruments):
                self.hawkes.load_c(k, parts[at + 1 + k])
            at += 1 + self.hawkes.instruments
        for k in self.pending_rows:
            pending_load(&self.pending[k], parts[at])
            at += 1
        for k in self.density_rows:
            density_load(&self.density[k], parts[at])
            at += 1
        self._count_without_data()


describe(FeatureState, {"names": "Canonical names of the features, in the order asked for.",
                        "wants": "Kinds of events that they need: one bit (1 << Kind) for each.",
                        "instruments": "The instruments, in the order of their indexes. Empty until it is known.",
                        "nbytes": "Memory of the state, bytes."})
