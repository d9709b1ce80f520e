"""The state image: see image.pxd for the layout and the rule. docs/operate.md says what a person does with a damaged one."""

import mmap
import os
import time
from decimal import Decimal
from pathlib import Path

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.bracket cimport BRACKET_FLAT, EXECUTIONS_MAX, order_t, slot_position
from liqcore.event cimport LIQCORE_ABI
from liqcore.instrument cimport Instrument
from liqcore.risk cimport RATE_RING

from liqcore.bracket import BracketState
from liqcore.event import Reason
from liqshell.errors import DataError

IMAGE = "image.bin"
cdef uint64_t MAGIC = 0x314547414D49514C        # "LQIMAGE1"
cdef int64_t VERSION = 1
cdef uint64_t P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9
_LOOK = "Look at the account at the venue, then move the file out of the folder; the next start makes a new one and asks the venue for everything"
_STATUS = ("none", "sent", "live", "ended")


# ---- checksums: every step is a bijection of each word, so one changed word is always found; more with a chance of 2**-64 to be missed ----

cdef inline uint64_t rotl(uint64_t x, int n) noexcept nogil:
    return (x << n) | (x >> (64 - n))


cdef uint64_t fold(const void* data, Py_ssize_t words, uint64_t seed) noexcept nogil:
    """Four lanes, because one would wait for its own multiplication."""
    cdef const uint64_t* w = <const uint64_t*> data
    cdef uint64_t a = seed ^ P1, b = seed ^ P2, c = seed ^ P3, d = seed + P1
    cdef Py_ssize_t k = 0
    while k + 4 <= words:
        a = rotl(a ^ w[k], 29) * P1
        b = rotl(b ^ w[k + 1], 29) * P1
        c = rotl(c ^ w[k + 2], 29) * P1
        d = rotl(d ^ w[k + 3], 29) * P1
        k += 4
    while k < words:
        a = rotl(a ^ w[k], 29) * P1
        k += 1
    a = rotl(a, 31) * P2 ^ b
    a = rotl(a, 31) * P2 ^ c
    a = rotl(a, 31) * P2 ^ d
    return finish(a)


cdef inline uint64_t finish(uint64_t a) noexcept nogil:
    a ^= a >> 33
    a *= P2
    a ^= a >> 29
    a *= P3
    return a ^ (a >> 32)


cdef inline uint64_t piece(int64_t value, int64_t place) noexcept nogil:
    """One element's part in the running sum of a ring: changing one element costs one subtraction and one addition."""
    return finish(<uint64_t> value + <uint64_t> place * P1)


cdef uint64_t ring_sum(const int64_t* ring, int64_t length) noexcept nogil:
    cdef uint64_t total = 0
    cdef int64_t k
    for k in range(length):
        total += piece(ring[k], k)
    return total


cdef void copy_ring(int64_t* target, const int64_t* source, int64_t length, int64_t news, int64_t head, uint64_t* total) noexcept nogil:
    """Bring a ring up to date: the `news` elements before `head`, or all of it where news < 0."""
    cdef int64_t k, place
    if news < 0 or news >= length:
        memcpy(target, source, length * sizeof(int64_t))
        total[0] = ring_sum(target, length)
        return
    for k in range(head - news, head):
        place = k & (length - 1)
        total[0] += piece(source[place], place) - piece(target[place], place)
        target[place] = source[place]


cdef inline uint64_t place_seed(uint64_t sequence, int64_t kind, int64_t record) noexcept nogil:
    """A copy that was written for another place, or is not the write that it says it is, does not fit."""
    return sequence * P2 + <uint64_t> (kind * 1000003 + record) * P3


cdef inline uint64_t trade_check(const trade_t* t, uint64_t total, int record) noexcept nogil:
    cdef Py_ssize_t bytes_ = <const char*> &t.slot.executions[0] - <const char*> &t.position
    return finish(fold(&t.position, bytes_ // 8, place_seed(t.seal.sequence, 1, record)) * P1 ^ total)


cdef inline uint64_t whole_check(const whole_t* w, uint64_t total) noexcept nogil:
    cdef Py_ssize_t bytes_ = <const char*> &w.latch.order_times[0] - <const char*> &w.clock
    return finish(fold(&w.clock, bytes_ // 8, place_seed(w.seal.sequence, 2, 0)) * P1 ^ total)


cdef inline uint64_t guard_check(const guard_t* g) noexcept nogil:
    return fold(&g.length, (8 + GUARD_BYTES_MAX) // 8, place_seed(g.seal.sequence, 3, 0))


cdef inline bint trade_fits(const trade_t* t, int record) noexcept nogil:
    return t.seal.check == trade_check(t, ring_sum(t.slot.executions, EXECUTIONS_MAX), record)


cdef inline bint whole_fits(const whole_t* w) noexcept nogil:
    return w.seal.check == whole_check(w, ring_sum(w.latch.order_times, RATE_RING))


cdef inline bint guard_fits(const guard_t* g) noexcept nogil:
    return 0 <= g.length <= GUARD_BYTES_MAX and g.seal.check == guard_check(g)


cdef inline bint head_fits(const file_head_t* h) noexcept nogil:
    return h.check == fold(h, (<const char*> &h.check - <const char*> h) // 8, MAGIC)


cdef inline bint entry_fits(const entry_t* e, int record) noexcept nogil:
    return e.check == fold(e, (<const char*> &e.check - <const char*> e) // 8, place_seed(0, 4, record))


def checksum(bytes data, uint64_t seed=0) -> int:
    """The checksum of whole words of 8 bytes, for tests."""
    if len(data) % 8:
        raise ValueError(f"checksum: expected a multiple of 8 bytes, got {len(data)}")
    return fold(<const char*> data, len(data) // 8, seed)


# ---- layout: head, table of instruments, two wholes, two guards, two copies of each trade, all on pages of their own ----

cdef inline size_t pages(size_t size) noexcept nogil:
    return (size + PAGE - 1) // PAGE * PAGE


cdef inline size_t wholes_at(int records) noexcept nogil:
    return PAGE + pages(records * sizeof(entry_t))


cdef inline size_t guards_at(int records) noexcept nogil:
    return wholes_at(records) + 2 * pages(sizeof(whole_t))


cdef inline size_t trades_at(int records) noexcept nogil:
    return guards_at(records) + 2 * pages(sizeof(guard_t))


cdef size_t file_size(int records) noexcept nogil:
    return trades_at(records) + 2 * records * pages(sizeof(trade_t))


cdef int64_t layout_sizes() noexcept nogil:
    return ((sizeof(slot_t) * 31 + sizeof(position_t)) * 31 + sizeof(latch_t)) * 31 + sizeof(clock_t) * 7 + sizeof(ledger_t)


cdef void seal_entry(entry_t* e, int record) noexcept nogil:
    e.check = fold(e, (<char*> &e.check - <char*> e) // 8, place_seed(0, 4, record))


cdef void fill_entry(entry_t* e, Instrument i, int record):
    cdef bytes symbol = i.symbol.encode(), venue = i.venue.encode()
    memset(e, 0, sizeof(entry_t))
    memcpy(e.symbol, <const char*> symbol, len(symbol))
    memcpy(e.venue, <const char*> venue, len(venue))
    e.index = record
    e.tick_mantissa, e.tick_decimals, e.lot_mantissa, e.lot_decimals = i.c.tick_mantissa, i.c.tick_decimals, i.c.lot_mantissa, i.c.lot_decimals
    e.multiplier = i.c.multiplier
    seal_entry(e, record)


cdef bint same_units(const entry_t* e, Instrument i):
    """Whether prices in ticks and quantities in lots mean what they meant."""
    return (e.tick_mantissa == i.c.tick_mantissa and e.tick_decimals == i.c.tick_decimals and e.lot_mantissa == i.c.lot_mantissa
            and e.lot_decimals == i.c.lot_decimals and e.multiplier == i.c.multiplier)


cdef str symbol_of(const entry_t* e):
    return (<bytes> e.symbol).decode()


cdef void seal_blank(char* base, int records, int copy) noexcept nogil:
    """Copy number `copy` of every record of a new image: sequence 0 or 1, empty."""
    cdef whole_t* w = <whole_t*> (base + wholes_at(records) + copy * pages(sizeof(whole_t)))
    cdef guard_t* g = <guard_t*> (base + guards_at(records) + copy * pages(sizeof(guard_t)))
    cdef trade_t* t
    cdef int k
    w.seal.sequence = copy
    w.seal.check = whole_check(w, ring_sum(w.latch.order_times, RATE_RING))
    g.seal.sequence = copy
    g.seal.check = guard_check(g)
    for k in range(records):
        t = <trade_t*> (base + trades_at(records) + (2 * k + copy) * pages(sizeof(trade_t)))
        t.seal.sequence = copy
        t.seal.check = trade_check(t, ring_sum(t.slot.executions, EXECUTIONS_MAX), k)


# ---- finding the newest copy that fits ----

cdef const trade_t* newest(const char* base, int records, int record) noexcept nogil:
    """NULL where neither copy fits. A copy stands where its sequence number says."""
    cdef const trade_t* t
    cdef const trade_t* best = NULL
    cdef int copy
    for copy in range(2):
        t = <const trade_t*> (base + trades_at(records) + (2 * record + copy) * pages(sizeof(trade_t)))
        if trade_fits(t, record) and (t.seal.sequence & 1) == <uint64_t> copy and (best == NULL or t.seal.sequence > best.seal.sequence):
            best = t
    return best


cdef const whole_t* newest_whole(const char* base, int records) noexcept nogil:
    cdef const whole_t* w
    cdef const whole_t* best = NULL
    cdef int copy
    for copy in range(2):
        w = <const whole_t*> (base + wholes_at(records) + copy * pages(sizeof(whole_t)))
        if whole_fits(w) and (w.seal.sequence & 1) == <uint64_t> copy and (best == NULL or w.seal.sequence > best.seal.sequence):
            best = w
    return best


cdef const guard_t* newest_guard(const char* base, int records) noexcept nogil:
    cdef const guard_t* g
    cdef const guard_t* best = NULL
    cdef int copy
    for copy in range(2):
        g = <const guard_t*> (base + guards_at(records) + copy * pages(sizeof(guard_t)))
        if guard_fits(g) and (g.seal.sequence & 1) == <uint64_t> copy and (best == NULL or g.seal.sequence > best.seal.sequence):
            best = g
    return best


cdef bytearray read_file(path):
    try:
        return bytearray(path.read_bytes())
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror}", "a state image") from None


cdef str judge_head(bytearray data):
    """What is wrong with the head or the size: "" = nothing, "version: ..." = whole, but not of this version."""
    cdef const char* base = data
    cdef const file_head_t* h = <const file_head_t*> base
    if len(data) < PAGE:
        return f"{len(data)} bytes: truncated"
    if not head_fits(h):
        return "its head is damaged, or it is no state image"
    if h.version != VERSION or h.abi != LIQCORE_ABI or h.sizes != layout_sizes():
        return f"version: it was written by another version of liqcore (image {h.version}, ABI {h.abi})"
    if h.magic != MAGIC or not 0 < h.count <= 100_000 or len(data) != <Py_ssize_t> file_size(h.count):
        return f"{len(data)} bytes for {h.count} contracts, expected {file_size(h.count)}: truncated or cut together"
    return ""


cdef str judge(bytearray data):
    """judge_head(), and every record."""
    cdef const char* base = data
    cdef int k, records
    fault = judge_head(data)
    if fault:
        return fault
    records = (<const file_head_t*> base).count
    for k in range(records):
        if not entry_fits(<const entry_t*> (base + PAGE) + k, k):
            return f"the name of contract {k} is damaged"
        if newest(base, records, k) == NULL:
            return f"both copies of {symbol_of(<const entry_t*> (base + PAGE) + k)} are damaged"
    if newest_whole(base, records) == NULL:
        return "both copies of the account are damaged"
    if newest_guard(base, records) == NULL:
        return "both copies of the guard are damaged"
    return ""


# ---- for those who only look: rescue, people ----

cdef str exact(int64_t count, int64_t mantissa, int64_t decimals):
    """count * mantissa / 10**decimals as plain text."""
    return format(Decimal(int(count) * int(mantissa)).scaleb(-<int> decimals), "f")


cdef dict order_dict(const order_t* o, const entry_t* e, str role):
    return {"role": role, "id": o.id, "status": _STATUS[min(o.status, 3)], "asked": ("", "amend", "cancel")[min(o.asked, 2)],
            "unknown": bool(o.unknown), "price": exact(o.price, e.tick_mantissa, e.tick_decimals),
            "qty": exact(o.qty, e.lot_mantissa, e.lot_decimals), "filled": exact(o.filled, e.lot_mantissa, e.lot_decimals)}


cdef dict trade_dict(const trade_t* t, const entry_t* e):
    cdef const slot_t* s = &t.slot
    orders = [order_dict(&s.entry, e, "entry"), order_dict(&s.stop, e, "stop"), order_dict(&s.target, e, "target"), order_dict(&s.close, e, "close")]
    return {"symbol": symbol_of(e), "index": e.index, "state": BracketState(s.state).name.removeprefix("BRACKET_").lower(), "side": s.spec.side,
            "sequence": s.sequence, "position": exact(slot_position(s), e.lot_mantissa, e.lot_decimals),
            "stop_price": exact(s.stop.price, e.tick_mantissa, e.tick_decimals), "stop_loss": s.spec.stop_loss / 1e8, "orders": orders,
            "net": exact(t.position.lots, e.lot_mantissa, e.lot_decimals), "tick": exact(1, e.tick_mantissa, e.tick_decimals),
            "lot": exact(1, e.lot_mantissa, e.lot_decimals)}


def inspect(path) -> dict:
    """What an image says, for a person or a rescue; works on a running process's file, changes nothing. Quantities and prices are exact decimal texts.

    run, created_ns, now_ns, halted (a Reason), damaged (symbols of which no copy fits, "account"), trades: one dict per contract: symbol, index, state,
    side, sequence, position (held, absolute), net (signed, of the account), stop_price, stop_loss (share), tick, lot, orders (role, id, status, asked,
    unknown, price, qty, filled). DataError where head or size are wrong.
    """
    cdef bytearray data
    cdef const char* base
    cdef const trade_t* t
    cdef const whole_t* w
    cdef int k, records, tries
    path = Path(path)
    for tries in range(5):              # a running process may have rewritten both copies while we read
        data = read_file(path)
        base = data
        fault = judge_head(data)
        if fault:
            raise DataError(str(path), fault.removeprefix("version: "), "a state image of this version")
        if not judge(data):
            break
    records = (<const file_head_t*> base).count
    w = newest_whole(base, records)
    out = {"run": (<bytes> (<const file_head_t*> base).run).decode(), "created_ns": (<const file_head_t*> base).created_ns,
           "now_ns": w.clock.now if w != NULL and w.seal.sequence > 1 else 0, "halted": Reason(w.latch.halted) if w != NULL else Reason.OK,
           "damaged": [] if w != NULL else ["account"], "trades": []}
    for k in range(records):
        t = newest(base, records, k)
        if t == NULL or not entry_fits(<const entry_t*> (base + PAGE) + k, k):
            out["damaged"].append((<bytes> (<const entry_t*> (base + PAGE) + k).symbol).decode(errors="replace"))
        else:
            out["trades"].append(trade_dict(t, <const entry_t*> (base + PAGE) + k))
    return out


cdef class Image:
    """The state image of one state folder, mapped and ready to be written. Hold the folder's Lock before making one.

    path: the file. instruments: liqcore.Instrument in the order of the engine. run: prefix of order ids if the image has to be made (an existing one
    keeps its own: see `run`). created_ns: wall clock, ns UTC.

    An image of other instruments is carried over: contracts are matched by name, new ones start empty, those that are no longer configured are kept.
    DataError, and nothing changed, where a contract with an open trade is not configured, stands at another place or has another tick or lot. DataError
    where the file is damaged (it is renamed to image.bin.damaged-TIME, and as long as such a file lies there nothing starts) or of another version (it
    stays).
    """

    def __cinit__(self, *args, **kwargs):
        self.base = NULL
        self.twins = NULL

    def __init__(self, path, instruments, str run, int64_t created_ns):
        self.path = Path(path)
        self.instruments = tuple(instruments)
        self.count = len(self.instruments)
        if not self.count:
            raise ValueError("instruments: expected at least one")
        for i in self.instruments:
            if len((<Instrument?> i).symbol.encode()) > 31 or len(i.venue.encode()) > 23:
                raise ValueError(f"{i.symbol}: expected a name of at most 31 and a venue of at most 23 bytes")
        if not 0 < len(run.encode()) < 32:
            raise ValueError(f"run: expected 1 to 31 characters, got {run!r}")
        damaged = list(self.path.parent.glob(self.path.name + ".damaged-*"))
        if damaged:
            raise DataError(str(max(damaged)), "a damaged state image lies here, so what was believed of open trades is lost", "", _LOOK)
        if not self.path.exists():
            self.write_new(self.blank(list(self.instruments), run, created_ns))
        else:
            self.carry_over(read_file(self.path))
        self.map()

    def __dealloc__(self):
        free(self.twins)

    cdef file_head_t* head(self) noexcept nogil:
        return <file_head_t*> self.base

    cdef entry_t* entry_at(self, int record) noexcept nogil:
        return <entry_t*> (self.base + PAGE) + record

    cdef whole_t* whole_at(self, int copy) noexcept nogil:
        return <whole_t*> (self.base + wholes_at(self.records) + copy * pages(sizeof(whole_t)))

    cdef guard_t* guard_at(self, int copy) noexcept nogil:
        return <guard_t*> (self.base + guards_at(self.records) + copy * pages(sizeof(guard_t)))

    cdef trade_t* trade_at(self, int record, int copy) noexcept nogil:
        return <trade_t*> (self.base + trades_at(self.records) + (2 * record + copy) * pages(sizeof(trade_t)))

    # ---- writing: the hot path ----

    cdef void save_trade(self, const slot_t* slot, const position_t* position, int record) noexcept nogil:
        cdef twin_t* twin = &self.twins[record]
        cdef uint64_t sequence = twin.sequence + 1
        cdef int copy = sequence & 1
        cdef trade_t* t = self.trade_at(record, copy)
        cdef int64_t head = slot.executions_head, news = head - twin.ring_head[copy]
        if news < 0:                # the head goes up to 511 and then back to 256 (bracket.pyx)
            news = news + EXECUTIONS_MAX if head >= EXECUTIONS_MAX and twin.ring_head[copy] >= EXECUTIONS_MAX else -1
        if twin.ring_head[copy] < 0:
            news = -1
        t.position = position[0]
        memcpy(&t.slot, slot, <const char*> &slot.executions[0] - <const char*> slot)
        copy_ring(t.slot.executions, slot.executions, EXECUTIONS_MAX, news, head, &twin.ring_sum[copy])
        t.seal.sequence = sequence
        t.seal.check = trade_check(t, twin.ring_sum[copy], record)
        twin.ring_head[copy] = head
        twin.sequence = sequence

    cdef void save_whole(self, Engine engine) noexcept nogil:
        cdef twin_t* twin = &self.twins[self.records]
        cdef uint64_t sequence = twin.sequence + 1
        cdef int copy = sequence & 1
        cdef whole_t* w = self.whole_at(copy)
        cdef const latch_t* latch = &engine.risk.latch
        cdef int64_t news = latch.orders_head - twin.ring_head[copy] if twin.ring_head[copy] >= 0 else -1
        w.clock = engine.clock
        w.audit_seq = engine.audit.next_seq
        w.ledger = engine.account.ledger
        memcpy(&w.latch, latch, <const char*> &latch.order_times[0] - <const char*> latch)
        copy_ring(w.latch.order_times, latch.order_times, RATE_RING, news, latch.orders_head, &twin.ring_sum[copy])
        w.seal.sequence = sequence
        w.seal.check = whole_check(w, twin.ring_sum[copy])
        twin.ring_head[copy] = latch.orders_head
        twin.sequence = sequence

    cdef void save_c(self, Engine engine, int32_t n) noexcept nogil:
        """Write instrument n (or all where n < 0) and what concerns all. After every report and before every send; cannot fail: the file's room was
        taken at the start."""
        cdef int k
        if n >= 0:
            self.save_trade(&engine.slot[n], &engine.account.positions[n], n)
        else:
            for k in range(self.count):
                self.save_trade(&engine.slot[k], &engine.account.positions[k], k)
        self.save_whole(engine)
        self.saves += 1

    cdef int save_guard_c(self, const char* data, int64_t length) noexcept nogil:
        """The guard's latches, as bytes; -1 where they are too long."""
        cdef guard_t* g
        if not 0 <= length <= GUARD_BYTES_MAX:
            return -1
        self.guard_sequence += 1
        g = self.guard_at(self.guard_sequence & 1)
        g.length = length
        memcpy(g.data, data, length)
        memset(g.data + length, 0, GUARD_BYTES_MAX - length)
        g.seal.sequence = self.guard_sequence
        g.seal.check = guard_check(g)
        return 0

    def save(self, Engine engine not None, int instrument=-1):
        """Write one instrument, or all (-1): what save_c does, from Python. The engine must be that of these instruments."""
        self._same(engine)
        if not -1 <= instrument < self.count:
            raise ValueError(f"instrument: expected -1 (all) to {self.count - 1}, got {instrument}")
        self.save_c(engine, instrument)

    def save_guard(self, bytes data not None):
        """The guard's latches; at most 32768 bytes."""
        self._open()
        if self.save_guard_c(data, len(data)):
            raise ValueError(f"guard: expected at most {int(GUARD_BYTES_MAX)} bytes, got {len(data)}")

    @property
    def guard(self):
        """What save_guard() wrote last; b"" = nothing yet."""
        cdef guard_t* g
        self._open()
        g = self.guard_at(self.guard_sequence & 1)
        return <bytes> g.data[:g.length]

    def flush(self):
        """Ask the operating system to write it to the disk: for a power cut; a killed process needs nothing."""
        self._open()
        self.file.flush()

    def close(self):
        """Unmap. Nothing may be saved afterwards."""
        if self.base != NULL:
            self.base = NULL
            self.file.close()

    @property
    def run(self):
        """Prefix of the order ids: made with the image, kept as long as it lives, so that sequence numbers go on and no id repeats."""
        self._open()
        return (<bytes> self.head().run).decode()

    @property
    def created_ns(self):
        self._open()
        return self.head().created_ns

    def _open(self):
        if self.base == NULL:
            raise ValueError("the state image has been closed")

    def _same(self, Engine engine):
        self._open()
        if engine.instruments != self.instruments:
            raise ValueError("the engine has other instruments than the state image")

    # ---- reading back ----

    def restore(self, Engine engine not None) -> dict:
        """Put slots, account, latches and clock into a new engine, exactly as they were at the last save. Returns what was found:

        fresh (nothing was ever saved), run, now_ns (the engine's time then: events must not be older), open (symbols with an open trade), restored,
        kept (symbols of the image that are not configured), halted.
        """
        cdef int k
        cdef const trade_t* t
        cdef const whole_t* w
        cdef int64_t floor = 0
        self._same(engine)
        if engine.clock.events:
            raise ValueError("restore: expected an engine that has seen no event yet")
        w = self.whole_at(self.twins[self.records].sequence & 1)
        out = {"fresh": w.seal.sequence <= 1, "run": self.run, "now_ns": 0, "open": [], "restored": [], "kept": [], "halted": Reason.OK}
        for k in range(self.records):
            floor = max(floor, self.trade_at(k, self.twins[k].sequence & 1).slot.sequence)
        for k in range(self.count, self.records):
            out["kept"].append(symbol_of(self.entry_at(k)))
        if w.seal.sequence <= 1:
            return out
        engine.clock = w.clock
        engine.audit.next_seq = engine.audit.read_seq = w.audit_seq
        engine.account.ledger = w.ledger
        engine.risk.latch = w.latch
        out["now_ns"], out["halted"] = w.clock.now, Reason(w.latch.halted)
        for k in range(self.records):
            t = self.trade_at(k, self.twins[k].sequence & 1)
            if k >= self.count:     # what it earned stays in the equity
                engine.account.ledger.equity_start += t.position.realized - t.position.fees - t.position.funding
                continue
            engine.slot[k] = t.slot
            engine.account.positions[k] = t.position
            engine.slot[k].instrument = k
            symbol = self.instruments[k].symbol
            if t.slot.state == BRACKET_FLAT:
                # ids are (instrument's place, sequence): places may have changed, and an id is never used twice
                engine.slot[k].sequence = floor
            else:
                out["open"].append(symbol)
            if t.seal.sequence > 1:
                out["restored"].append(symbol)
            engine.reschedule(k)
        return out

    # ---- making, mapping, carrying over ----

    cdef map(self):
        cdef Py_buffer view
        cdef int k, copy
        cdef trade_t* t
        cdef guard_t* g
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.size = os.fstat(fd).st_size
            os.posix_fallocate(fd, 0, self.size)       # a hole would be a SIGBUS on a full disk, in the middle of an order
            self.file = mmap.mmap(fd, self.size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
        except OSError as why:
            raise DataError(str(self.path), f"cannot be mapped: {why.strerror}", f"room for {self.size} bytes") from None
        finally:
            os.close(fd)
        PyObject_GetBuffer(self.file, &view, PyBUF_WRITABLE)
        self.base = <char*> view.buf
        PyBuffer_Release(&view)     # self.file keeps it mapped; close() unmaps
        for k in range(0, <int> (self.size // PAGE)):
            self.file[k * PAGE] = self.file[k * PAGE]       # page faults now, not at the first order
        self.records = self.head().count
        self.twins = <twin_t*> calloc(self.records + 1, sizeof(twin_t))
        if self.twins == NULL:
            raise MemoryError("no memory for the state image")
        for k in range(self.records + 1):
            for copy in range(2):
                self.twins[k].ring_head[copy] = -1      # the first write to each copy writes all of it
        for k in range(self.records):
            self.twins[k].sequence = newest(self.base, self.records, k).seal.sequence
        self.twins[self.records].sequence = newest_whole(self.base, self.records).seal.sequence
        self.guard_sequence = newest_guard(self.base, self.records).seal.sequence

    cdef bytearray blank(self, list instruments, str run, int64_t created_ns, int more=0):
        """The bytes of a new image, with room for `more` records whose entries the caller fills in."""
        cdef int k, records = len(instruments) + more
        cdef bytearray data = bytearray(file_size(records))
        cdef char* base = data
        cdef file_head_t* h = <file_head_t*> base
        cdef bytes text = run.encode()
        h.magic, h.version, h.abi, h.count, h.sizes, h.created_ns = MAGIC, VERSION, LIQCORE_ABI, records, layout_sizes(), created_ns
        memcpy(h.run, <const char*> text, len(text))
        h.check = fold(h, (<char*> &h.check - <char*> h) // 8, MAGIC)
        for k in range(len(instruments)):
            fill_entry(<entry_t*> (base + PAGE) + k, instruments[k], k)
        for k in range(2):
            seal_blank(base, records, k)
        return data

    cdef carry_over(self, bytearray data):
        """Judge an existing image; where its table is not ours, write a new one with the same records."""
        cdef const char* base = data
        cdef const entry_t* e
        cdef int records, k
        fault = judge(data)
        if fault.startswith("version: "):
            raise DataError(str(self.path), fault.removeprefix("version: "), f"a state image of this version (ABI {int(LIQCORE_ABI)})",
                            "Finish open trades with the version that wrote it, then move the file out of the folder")
        if fault:
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
            os.rename(self.path, aside)
            raise DataError(str(self.path), f"{fault}. It has been renamed to {aside.name}", "an undamaged state image", _LOOK)
        records = (<const file_head_t*> base).count
        before, same = {}, records >= self.count
        for k in range(records):
            e = <const entry_t*> (base + PAGE) + k
            before[symbol_of(e)] = k
            if k < self.count:
                same = same and e.index == k and symbol_of(e) == self.instruments[k].symbol and same_units(e, self.instruments[k])
            else:
                same = same and e.index < 0
        if same:
            return
        self.refuse_open(data, before)
        self.write_new(self.move(data, before))

    cdef refuse_open(self, bytearray data, dict before):
        """An open trade whose contract is not what it was cannot be carried over."""
        cdef const char* base = data
        cdef const entry_t* e
        places = {i.symbol: k for k, i in enumerate(self.instruments)}
        for symbol, k in before.items():
            e = <const entry_t*> (base + PAGE) + <int> k
            if newest(base, len(before), k).slot.state == BRACKET_FLAT:
                continue
            where = f"{self.path}: {symbol}"
            if symbol not in places:
                raise DataError(where, "it has an open trade, and is not configured", "",
                                "Put it back into [feed] symbols until the trade is over, or close it at the venue and with `liqcore kill --flatten`")
            if places[symbol] != e.index:
                raise DataError(where, f"it has an open trade and was number {e.index} of [feed] symbols, now it is number {places[symbol]}", "",
                                "Order ids carry the number: add new symbols at the end until the trade is over")
            if not same_units(e, self.instruments[places[symbol]]):
                raise DataError(where, "it has an open trade, and the venue has changed its tick, lot or multiplier since", "",
                                "Close the trade at the venue or with `liqcore kill --flatten`, then move the image out of the folder")

    cdef bytearray move(self, bytearray data, dict before):
        cdef const char* old = data
        cdef char* new
        cdef entry_t* e
        cdef int k, copy, records, old_records = len(before)
        cdef trade_t t
        ours = {i.symbol for i in self.instruments}
        kept = [symbol for symbol in before if symbol not in ours]
        made = self.blank(list(self.instruments), (<bytes> (<const file_head_t*> old).run).decode(), (<const file_head_t*> old).created_ns, len(kept))
        new, records = made, self.count + len(kept)
        for k, symbol in enumerate(kept):
            e = <entry_t*> (new + PAGE) + self.count + <int> k
            memcpy(e, <const entry_t*> (old + PAGE) + <int> before[symbol], sizeof(entry_t))
            e.index = -1
            seal_entry(e, self.count + k)
        for k, symbol in enumerate([i.symbol for i in self.instruments] + kept):
            if symbol in before:
                for copy in range(2):
                    t = newest(old, old_records, before[symbol])[0]
                    t.seal.sequence += copy              # both copies: the same content under two following numbers
                    t.seal.check = trade_check(&t, ring_sum(t.slot.executions, EXECUTIONS_MAX), k)
                    memcpy(new + trades_at(records) + (2 * k + (t.seal.sequence & 1)) * pages(sizeof(trade_t)), &t, sizeof(trade_t))
        memcpy(new + wholes_at(records), old + wholes_at(old_records), trades_at(old_records) - wholes_at(old_records))
        return made

    cdef write_new(self, bytearray data):
        """Whole or not at all."""
        temporary = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, len(data))
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view):]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, self.path)
        except OSError as why:
            temporary.unlink(missing_ok=True)
            raise DataError(str(self.path), f"cannot be made: {why.strerror}", f"a folder that can be written, and room for {len(data)} bytes") from None
