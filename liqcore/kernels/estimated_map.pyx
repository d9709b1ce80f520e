"""The estimated map in Python, and its snapshots: see estimated_map.pxd."""

import math

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport INFINITY, exp2
from libc.stdint cimport INT64_MIN
from libc.string cimport memcpy, memset

from liqcore.event cimport TICKER, TRADE, event_t
from liqcore.kernels.price_ladder cimport (ladder_add, ladder_centre, ladder_fade, ladder_first, ladder_free, ladder_index, ladder_init,
                                           ladder_last, ladder_load, ladder_next, ladder_previous, ladder_reset, ladder_save, ladder_take,
                                           ladder_total, ladder_value)
from liqcore.snapshot cimport pack, unpack

from liqcore.event import as_events
from liqcore.snapshot import fitting

SNAPSHOT_NAME = b"liqcore-pending-1\n"

#: (leverage, share of new open interest). A prior, not a measurement: venues publish no leverage distribution. It puts most open interest at
#: moderate leverage, because large accounts use little, and is the first thing that `liqcore maps` lets you try to beat.
TIERS = ((100.0, 0.10), (50.0, 0.15), (25.0, 0.25), (10.0, 0.30), (5.0, 0.20))

cdef struct pending_image_t:     # everything but the ladders
    double interest
    double price
    double credit
    int64_t ts
    int64_t ts_credit
    double side[2][7]


cdef void pending_clear(pending_t* p) noexcept nogil:
    cdef int k
    for k in range(2):
        ladder_reset(&p.side[k].ladder)
        p.side[k].edge = INFINITY if k else 0.0
        p.side[k].volume = p.side[k].value = p.side[k].added = p.side[k].consumed = p.side[k].decayed = p.side[k].forgotten = 0.0
    p.interest = p.price = p.credit = 0.0
    p.ts = p.ts_credit = INT64_MIN


cdef int pending_init(pending_t* p, const pending_config_t* g) except -1:
    """Allocate. ValueError, MemoryError."""
    cdef int k
    memset(p, 0, sizeof(pending_t))
    for k in range(2):
        ladder_init(&p.side[k].ladder, math.log1p(g.bin_bps / 1e4), True, g.cells)
    pending_clear(p)
    return 0


cdef void pending_free(pending_t* p) noexcept nogil:
    ladder_free(&p.side[0].ladder)
    ladder_free(&p.side[1].ladder)


cdef void pending_trade(pending_t* p, const pending_config_t* g, int64_t now, double price, double qty, int8_t side) noexcept nogil:
    """A trade (side of the taker, qty in base units): taker flow, and the price."""
    cdef pending_side_t* taker = &p.side[side < 0]
    taker.volume += qty
    taker.value += price * qty
    pending_price(p, g, now, price)


cdef void fade_credit(pending_t* p, const pending_config_t* g, int64_t now) noexcept nogil:
    """Let the credit fade, because a fall of open interest much later has another cause."""
    if now > p.ts_credit:
        if p.credit > 0.0:
            p.credit *= exp2(-((now - p.ts_credit) * 1e-9) / g.credit_half_life_s)
        p.ts_credit = now


cdef void pending_cross(pending_t* p, const pending_config_t* g, int64_t now, double price) noexcept nogil:
    """Consume the levels that the price has reached. Their quantity explains a later fall of open interest (credit)."""
    cdef pending_side_t* longs = &p.side[0]
    cdef pending_side_t* shorts = &p.side[1]
    cdef int64_t index
    cdef double taken
    fade_credit(p, g, now)
    if price <= longs.edge:
        index = ladder_first(&longs.ladder, price)
        taken = ladder_take(&longs.ladder, index, ladder_index(&longs.ladder, longs.edge) + 1)
        longs.consumed += taken
        p.credit += taken
        index = ladder_previous(&longs.ladder, index - 1, 0.0)
        longs.edge = ladder_centre(&longs.ladder, index) if index != INT64_MIN else 0.0
    if price >= shorts.edge:
        index = ladder_last(&shorts.ladder, price)
        taken = ladder_take(&shorts.ladder, ladder_index(&shorts.ladder, shorts.edge) - 1, index)
        shorts.consumed += taken
        p.credit += taken
        index = ladder_next(&shorts.ladder, index + 1, 0.0)
        shorts.edge = ladder_centre(&shorts.ladder, index) if index != INT64_MIN else INFINITY


cdef void pending_forget(pending_t* p, const pending_config_t* g, int64_t now) noexcept nogil:
    """Let time pass: all levels fade alike."""
    cdef double keep
    cdef int k
    if p.ts == INT64_MIN:
        p.ts = now
    elif now > p.ts:
        if g.half_life_s > 0.0:
            keep = exp2(-((now - p.ts) * 1e-9) / g.half_life_s)
            for k in range(2):
                p.side[k].forgotten += ladder_total(&p.side[k].ladder) * (1.0 - keep)
                ladder_fade(&p.side[k].ladder, keep)
        p.ts = now


cdef void place(pending_t* p, const pending_config_t* g, int k, double qty) noexcept nogil:
    """Add the levels of new positions of one side, by leverage. A level that the price has already passed is consumed at once."""
    cdef pending_side_t* s = &p.side[k]
    cdef double entry = s.value / s.volume if s.volume > 0.0 else p.price
    cdef double level, amount
    cdef int64_t index
    cdef int tier
    for tier in range(g.tiers):
        amount = qty * g.share[tier]
        if amount <= 0.0:
            continue
        s.added += amount
        index = ladder_index(&s.ladder, entry * (g.short_ratio[tier] if k else g.long_ratio[tier]))
        level = ladder_centre(&s.ladder, index)
        if level <= p.price if k else level >= p.price:
            s.consumed += amount
            continue
        s.forgotten += ladder_add(&s.ladder, index, amount)
        if level < s.edge if k else level > s.edge:
            s.edge = level


cdef void pending_interest(pending_t* p, const pending_config_t* g, int64_t now, double interest) noexcept nogil:
    """Set open interest (base units, > 0)."""
    cdef double change = interest - p.interest, flow, longs, keep, explained
    cdef int k
    pending_forget(p, g, now)
    fade_credit(p, g, now)
    if p.interest > 0.0 and p.price > 0.0:
        if change > 0.0:
            flow = p.side[0].volume + p.side[1].volume
            longs = 0.5 if g.even or flow <= 0.0 else p.side[0].volume / flow
            place(p, g, 0, change * longs)
            place(p, g, 1, change * (1.0 - longs))
        elif change < 0.0:
            explained = min(p.credit, -change)
            p.credit -= explained
            keep = interest / (p.interest - explained)
            for k in range(2):
                p.side[k].decayed += ladder_total(&p.side[k].ladder) * (1.0 - keep)
                ladder_fade(&p.side[k].ladder, keep)
    p.interest = interest
    for k in range(2):
        p.side[k].volume = p.side[k].value = 0.0


cdef double pending_between(const pending_t* p, double low, double high, int side) noexcept nogil:
    """Estimated notional (quote currency, at the liquidation price) of levels from low to high; side LONG, SHORT, or 0 for both."""
    cdef double total = 0.0
    cdef int k
    if not (0.0 < low <= high < INFINITY):
        return 0.0
    for k in range(2):
        if side == 0 or (side < 0) == k:
            total += ladder_value(&p.side[k].ladder, ladder_first(&p.side[k].ladder, low), ladder_last(&p.side[k].ladder, high))
    return total


cdef bytes pending_save(const pending_t* p):
    cdef pending_image_t image
    cdef int k
    image.interest, image.price, image.credit, image.ts, image.ts_credit = p.interest, p.price, p.credit, p.ts, p.ts_credit
    for k in range(2):
        memcpy(&image.side[k][0], &p.side[k].edge, 7 * sizeof(double))
    return pack(SNAPSHOT_NAME, [(<char*> &image)[:sizeof(image)], ladder_save(&p.side[0].ladder), ladder_save(&p.side[1].ladder)])


cdef int pending_load(pending_t* p, bytes data) except -1:
    """ValueError, and no change, unless the bytes are a snapshot of a map of the same cells."""
    cdef pending_image_t image
    cdef list parts = unpack(SNAPSHOT_NAME, data, "pending map")
    cdef bytes before = ladder_save(&p.side[0].ladder)
    cdef int k
    if len(parts) != 3 or len(parts[0]) != <Py_ssize_t> sizeof(image):
        raise ValueError("pending map snapshot: of another version of liqcore")
    ladder_load(&p.side[0].ladder, parts[1], "pending map")
    try:
        ladder_load(&p.side[1].ladder, parts[2], "pending map")
    except ValueError:
        ladder_load(&p.side[0].ladder, before, "pending map")
        raise
    memcpy(&image, PyBytes_AS_STRING(parts[0]), sizeof(image))
    p.interest, p.price, p.credit, p.ts, p.ts_credit = image.interest, image.price, image.credit, image.ts, image.ts_credit
    for k in range(2):
        memcpy(&p.side[k].edge, &image.side[k][0], 7 * sizeof(double))
    return 0


def liquidation_price(double entry, int side, double leverage, double maintenance=0.005, double deduction=0.0) -> float:
    """Liquidation price of a position with isolated margin: long (entry (1 - 1/leverage) - deduction) / (1 - maintenance), short mirrored.

    maintenance: maintenance margin rate of the position's size tier; deduction: the tier's maintenance amount divided by the quantity (0 in the first
    tier). ValueError if the margin is below maintenance at entry.
    """
    if side not in (1, -1):
        raise ValueError(f"side: expected 1 (long) or -1 (short), got {side!r}")
    if not 0.0 < entry < math.inf or not 1.0 < leverage <= 1e4 or not 0.0 <= maintenance < 1.0 / leverage or not 0.0 <= deduction < entry:
        raise ValueError("expected an entry above 0, a leverage above 1, a maintenance margin rate below 1 / leverage and a deduction from 0 to the "
                         f"entry, got {entry!r}, {leverage!r}, {maintenance!r}, {deduction!r}")
    return (entry * (1.0 - side / leverage) - side * deduction) / (1.0 - side * maintenance)


cdef class PendingConfig:
    """Assumptions of the estimated map.

    tiers: (leverage, share of new open interest) pairs; shares are scaled to sum 1. maintenance: maintenance margin rate, one for all tiers or one a
    tier. split: 'flow' (long and short by taker volume since the last report) or 'even'. bin_bps, cells: width and number (a power of two) of price
    cells. half_life_s: of a level, 0 = never. credit_half_life_s: half-life with which consumed quantity explains a fall.
    """

    def __init__(self, *, tiers=TIERS, maintenance=0.005, str split="flow", double bin_bps=10.0, int cells=2048, double half_life_s=259_200.0,
                 double credit_half_life_s=60.0):
        cdef int n
        given = tuple((float(leverage), float(share)) for leverage, share in tiers)
        rates = (float(maintenance),) * len(given) if isinstance(maintenance, (int, float)) else tuple(float(m) for m in maintenance)
        if not 1 <= len(given) <= TIERS_MAX or not all(share > 0.0 for _, share in given):
            raise ValueError(f"tiers: expected 1 to {int(TIERS_MAX)} pairs of a leverage and a share above 0, got {tiers!r}")
        if len(rates) != len(given):
            raise ValueError(f"maintenance: expected one rate or {len(given)}, got {len(rates)}")
        if split not in ("flow", "even"):
            raise ValueError(f"split: expected 'flow' or 'even', got {split!r}")
        for name, value, low, high in (("bin_bps", bin_bps, 0.1, 1000.0), ("half_life_s", half_life_s, 0.0, 1e9),
                                       ("credit_half_life_s", credit_half_life_s, 0.1, 1e6)):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value!r}")
        if not 128 <= cells <= 65_536 or cells & (cells - 1):
            raise ValueError(f"cells: expected a power of two from 128 to 65536, got {cells}")
        total = math.fsum(share for _, share in given)
        for n, ((leverage, share), rate) in enumerate(zip(given, rates, strict=True)):
            self.c.share[n] = share / total
            self.c.long_ratio[n] = liquidation_price(1.0, 1, leverage, rate)
            self.c.short_ratio[n] = liquidation_price(1.0, -1, leverage, rate)
        self.tiers, self.maintenance = given, rates
        self.c.tiers = len(given)
        self.c.even = split == "even"
        self.c.bin_bps = bin_bps
        self.c.cells = cells
        self.c.half_life_s = half_life_s
        self.c.credit_half_life_s = credit_half_life_s

    def as_dict(self) -> dict:
        """Everything that recreates it: PendingConfig(**c.as_dict())."""
        return {"tiers": self.tiers, "maintenance": self.maintenance, "split": "even" if self.c.even else "flow", "bin_bps": self.c.bin_bps,
                "cells": self.c.cells, "half_life_s": self.c.half_life_s, "credit_half_life_s": self.c.credit_half_life_s}

    def __eq__(self, other):
        return isinstance(other, PendingConfig) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash(tuple(self.as_dict().values()))

    def __repr__(self):
        return "PendingConfig(" + ", ".join(f"{k}={v!r}" for k, v in self.as_dict().items()) + ")"


cdef class EstimatedPending:
    """The map of one instrument: trade(), price() and interest() as data comes, between() on demand. ESTIMATED, never an observation.

    Quantities are in base units (contracts x multiplier), notionals in quote currency at the liquidation price, times in ns and never before the
    latest.
    """
    label = "ESTIMATED"

    def __cinit__(self, PendingConfig config=None):
        self.config = PendingConfig() if config is None else config
        self.now = INT64_MIN
        pending_init(&self.c, &self.config.c)

    def __init__(self, PendingConfig config=None):
        pass

    def __dealloc__(self):
        pending_free(&self.c)

    cdef int _checked(self, int64_t ts, double x, str name) except -1:
        if not 0.0 < x < 1e15:
            raise ValueError(f"{name}: expected a number above 0 and below 1e15, got {x!r}")
        if not max(self.now, 0) <= ts < 0x4000000000000000:
            raise ValueError(f"ts: expected at least {max(self.now, 0)} ns (time does not go back, and begins in 1970), got {ts}")
        return 0

    def trade(self, int64_t ts, double price, double qty, int side):
        """A trade: taker flow and the price; side: of the taker, 1 = bought."""
        self._checked(ts, price, "price")
        self._checked(ts, qty, "qty")
        if side not in (1, -1):
            raise ValueError(f"side: expected 1 (taker bought) or -1 (taker sold), got {side!r}")
        self.now = ts
        pending_trade(&self.c, &self.config.c, ts, price, qty, side)

    def price(self, int64_t ts, double price):
        """Set the price: a mark price, by which venues liquidate, or a last price."""
        self._checked(ts, price, "price")
        self.now = ts
        pending_price(&self.c, &self.config.c, ts, price)

    def interest(self, int64_t ts, double interest):
        """Set open interest, base units. The first value is only the start of the count."""
        self._checked(ts, interest, "interest")
        self.now = ts
        pending_interest(&self.c, &self.config.c, ts, interest)

    def run(self, events, double multiplier=1.0):
        """Market events (EVENT_DTYPE, one contract, in order of ts_recv): trades are taker flow and price, tickers mark price (if stated) and open
        interest; other events are skipped. multiplier: base units of one quantity unit. Events that the calls above would refuse are a ValueError."""
        cdef size_t address
        cdef const event_t* e
        cdef Py_ssize_t n, count
        events = as_events(events)
        address = events.ctypes.data
        e = <const event_t*> address
        count = len(events)
        if not 0.0 < multiplier < 1e12:
            raise ValueError(f"multiplier: expected a number above 0 and below 1e12, got {multiplier!r}")
        for n in range(count):
            if e[n].kind == TRADE:
                self.trade(e[n].ts_recv, e[n].price, e[n].qty * multiplier, e[n].side)
            elif e[n].kind == TICKER:
                if e[n].price > 0.0:
                    self.price(e[n].ts_recv, e[n].price)
                if e[n].qty > 0.0:
                    self.interest(e[n].ts_recv, e[n].qty * multiplier)

    def advance(self, int64_t ts):
        """Let time pass."""
        self._checked(ts, 1.0, "ts")
        self.now = ts
        pending_forget(&self.c, &self.config.c, ts)

    def between(self, double low, double high, int side=0):
        """Estimated notional of levels whose price is from low to high; side: 1 longs, -1 shorts, 0 both. 0 if low > high."""
        return pending_between(&self.c, low, high, side)

    def levels(self, int side, double low=0.0, double high=math.inf) -> list:
        """(price, notional) of the cells that hold anything, by price. Walks the map: for people and scorers."""
        cdef pending_side_t* s = &self.c.side[side < 0]
        cdef int64_t index = ladder_next(&s.ladder, INT64_MIN + 1, 0.0)
        out = []
        while index != INT64_MIN:
            price = ladder_centre(&s.ladder, index)
            if low <= price <= high:
                out.append((price, ladder_value(&s.ladder, index, index)))
            index = ladder_next(&s.ladder, index + 1, 0.0)
        return out

    def totals(self, int side) -> dict:
        """Base units of one side since the start: added = consumed + decayed + forgotten + present."""
        cdef pending_side_t* s = &self.c.side[side < 0]
        return {"added": s.added, "consumed": s.consumed, "decayed": s.decayed, "forgotten": s.forgotten, "present": ladder_total(&s.ladder)}

    def reset(self):
        pending_clear(&self.c)
        self.now = INT64_MIN

    def snapshot(self) -> bytes:
        return pack(SNAPSHOT_NAME, [repr(self.config).encode(), pending_save(&self.c), str(self.now).encode()])

    def restore(self, bytes data):
        """Continue from a snapshot of the same configuration; ValueError, and no change, otherwise."""
        cdef list parts = fitting(SNAPSHOT_NAME, data, "pending map", self.config, (None, None))
        pending_load(&self.c, parts[0])
        self.now = int(parts[1])

    def __repr__(self):
        return (f"EstimatedPending(long={ladder_total(&self.c.side[0].ladder):g}, short={ladder_total(&self.c.side[1].ladder):g}, "
                f"interest={self.c.interest:g})")
