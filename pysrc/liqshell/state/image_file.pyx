"""The file of the state image: layout, checksums, search for the newest valid copy, and reading without changes (see image_file.pxd)."""

from decimal import Decimal
from pathlib import Path

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from liqcore.execution.order_state cimport EXECUTIONS_MAX, order_t, bracket_position
from liqcore.event cimport STATE_ABI
from liqcore.instrument cimport Instrument
from liqcore.execution.risk cimport RATE_RING

from liqcore.execution.order_state import BracketState
from liqcore.event import Reason
from liqshell.errors import DataError
from liqshell.input_file import content

cdef uint64_t IMAGE_MAGIC = 0x314547414D49514C      # "LQIMAGE1"
cdef uint64_t P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9
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


cdef uint64_t trade_check(const trade_t* t, uint64_t total, int record) noexcept nogil:
    cdef Py_ssize_t bytes_ = <const char*> &t.slot.executions[0] - <const char*> &t.position
    return finish(fold(&t.position, bytes_ // 8, place_seed(t.seal.sequence, 1, record)) * P1 ^ total)


cdef uint64_t whole_check(const whole_t* w, uint64_t total) noexcept nogil:
    cdef Py_ssize_t bytes_ = <const char*> &w.latch.order_times[0] - <const char*> &w.now
    return finish(fold(&w.now, bytes_ // 8, place_seed(w.seal.sequence, 2, 0)) * P1 ^ total)


cdef uint64_t guard_check(const guard_t* g) noexcept nogil:
    return fold(&g.length, 1 + (g.length + 7) // 8, place_seed(g.seal.sequence, 3, 0))     # zeros fill the last word


cdef bint trade_fits(const trade_t* t, int record) noexcept nogil:
    return t.seal.check == trade_check(t, ring_sum(t.slot.executions, EXECUTIONS_MAX), record)


cdef bint whole_fits(const whole_t* w) noexcept nogil:
    return w.seal.check == whole_check(w, ring_sum(w.latch.order_times, RATE_RING))


cdef inline bint guard_fits(const guard_t* g) noexcept nogil:
    return 0 <= g.length <= GUARD_BYTES_MAX and g.seal.check == guard_check(g)


cdef inline bint head_fits(const file_head_t* h) noexcept nogil:
    return h.check == fold(h, (<const char*> &h.check - <const char*> h) // 8, IMAGE_MAGIC)


cdef inline bint entry_fits(const entry_t* e, int record) noexcept nogil:
    return e.check == fold(e, (<const char*> &e.check - <const char*> e) // 8, place_seed(0, 4, record))


def checksum(bytes data, uint64_t seed=0) -> int:
    """The checksum of whole words of 8 bytes, for tests."""
    if len(data) % 8:
        raise ValueError(f"checksum: expected a multiple of 8 bytes, got {len(data)}")
    return fold(<const char*> data, len(data) // 8, seed)


cdef int64_t layout_sizes() noexcept nogil:
    return ((sizeof(bracket_state_t) * 31 + sizeof(position_t)) * 31 + sizeof(latch_t)) * 31 + sizeof(ledger_t)


cdef void seal_head(file_head_t* h) noexcept nogil:
    h.magic = IMAGE_MAGIC
    h.check = fold(h, (<char*> &h.check - <char*> h) // 8, IMAGE_MAGIC)


cdef void seal_entry(entry_t* e, int record) noexcept nogil:
    e.check = fold(e, (<char*> &e.check - <char*> e) // 8, place_seed(0, 4, record))


cdef void fill_entry(entry_t* e, Instrument i, str name, int record):
    cdef bytes symbol = name.encode(), venue = i.venue.encode()
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
        return bytearray(content(path))
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror}", "a state image") from None


cdef str head_fault(bytearray data):
    """What is wrong with the head or the size: "" = nothing, "version: ..." = whole, but not of this version."""
    cdef const char* base = data
    cdef const file_head_t* h = <const file_head_t*> base
    if len(data) < PAGE:
        return f"{len(data)} bytes: truncated"
    if not head_fits(h):
        return "its head is damaged, or it is no state image"
    if h.version != IMAGE_VERSION or h.abi != STATE_ABI or h.sizes != layout_sizes():
        return f"version: it was written by another version of liqcore (image {h.version}, ABI {h.abi})"
    if h.magic != IMAGE_MAGIC or not 0 < h.count <= 100_000 or len(data) != <Py_ssize_t> file_size(h.count):
        return f"{len(data)} bytes for {h.count} contracts, expected {file_size(h.count)}: truncated or cut together"
    return ""


cdef str file_fault(bytearray data):
    """head_fault(), and what is wrong with a record."""
    cdef const char* base = data
    cdef int k, records
    fault = head_fault(data)
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
            "qty": exact(o.qty, e.lot_mantissa, e.lot_decimals), "filled": exact(o.filled, e.lot_mantissa, e.lot_decimals),
            "executed": exact(o.executed, e.lot_mantissa, e.lot_decimals)}


cdef dict trade_dict(const trade_t* t, const entry_t* e):
    cdef const bracket_state_t* s = &t.slot
    orders = [order_dict(&s.entry, e, "entry"), order_dict(&s.stop, e, "stop"), order_dict(&s.target, e, "target"), order_dict(&s.close, e, "close")]
    return {"symbol": symbol_of(e), "index": e.index, "state": BracketState(s.state).name.removeprefix("BRACKET_").lower(), "side": s.spec.side,
            "sequence": s.sequence, "position": exact(bracket_position(s), e.lot_mantissa, e.lot_decimals),
            "stop_price": exact(s.stop.price, e.tick_mantissa, e.tick_decimals), "stop_loss": s.spec.stop_loss / 1e8, "orders": orders,
            "net": exact(t.position.lots, e.lot_mantissa, e.lot_decimals), "tick": exact(1, e.tick_mantissa, e.tick_decimals),
            "lot": exact(1, e.lot_mantissa, e.lot_decimals)}


def inspect(path) -> dict:
    """What an image says, for a person or a rescue; works on a running process's file, changes nothing.

    Returns run, created_ns, now_ns, halted (a Reason), damaged (symbols of which no copy fits, "account"), trades: one dict per contract: symbol,
    index, state, side, sequence, position (held, absolute), net (signed, of the account), stop_price, stop_loss (share), tick, lot, orders (role, id,
    status, asked, unknown, price, qty, filled, executed as the venue says). Quantities and prices are exact decimal texts. DataError where head or
    size are wrong.
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
        fault = head_fault(data)
        if fault:
            raise DataError(str(path), fault.removeprefix("version: "), "a state image of this version")
        if not file_fault(data):
            break
    records = (<const file_head_t*> base).count
    w = newest_whole(base, records)
    out = {"run": (<bytes> (<const file_head_t*> base).run).decode(), "created_ns": (<const file_head_t*> base).created_ns,
           "now_ns": w.now if w != NULL and w.seal.sequence > 1 else 0, "halted": Reason(w.latch.halted) if w != NULL else Reason.OK,
           "damaged": [] if w != NULL else ["account"], "trades": []}
    for k in range(records):
        t = newest(base, records, k)
        if t == NULL or not entry_fits(<const entry_t*> (base + PAGE) + k, k):
            out["damaged"].append((<bytes> (<const entry_t*> (base + PAGE) + k).symbol).decode(errors="replace"))
        else:
            out["trades"].append(trade_dict(t, <const entry_t*> (base + PAGE) + k))
    return out
