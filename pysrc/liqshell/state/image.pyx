"""The state image: the engine's state of every trade, in a mapped file, written before every send (layout and rule: image_file.pxd)."""

import mmap
import os
import time
from pathlib import Path

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from liqcore.execution.order_state cimport BRACKET_FLAT, EXECUTIONS_MAX
from liqcore.event cimport STATE_ABI
from liqcore.instrument cimport Instrument
from liqcore.execution.risk cimport RATE_RING, latch_t
from liqshell.state.image_file cimport *

from liqcore.event import Reason
from liqshell.errors import DataError
from liqshell.input_file import opened

IMAGE = "image.bin"
_LOOK = "Look at the account at the venue, then move the file out of the folder; the next start makes a new one and asks the venue for everything"


cdef class Image:
    """The state image of one state folder, mapped and ready to be written. Hold the folder's Lock before making one.

    path: the file. instruments: liqcore.Instrument in the order of the engine. run: prefix of order ids if the image has to be made (an existing one
    keeps its own: see `run`). created_ns: wall clock, ns UTC.

    An image of other instruments is carried over: contracts are matched by name, new ones start empty, those that are no longer configured are kept.
    DataError, and nothing changed, if a contract with an open trade is not configured, has another place, or another tick or lot. DataError if the
    file is damaged (it is renamed to image.bin.damaged-TIME, and while such a file exists nothing starts) or of another version (it stays).
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
        symbols = [i.symbol for i in self.instruments]
        self.names = tuple([i.key if i.symbol in symbols[:k] else i.symbol for k, i in enumerate(self.instruments)])
        for name, i in zip(self.names, self.instruments):
            if len(name.encode()) > 31 or len((<Instrument?> i).venue.encode()) > 23:
                raise ValueError(f"{name}: expected a name of at most 31 and a venue of at most 23 bytes")
        if not 0 < len(run.encode()) < 32:
            raise ValueError(f"run: expected 1 to 31 characters, got {run!r}")
        damaged = list(self.path.parent.glob(self.path.name + ".damaged-*"))
        if damaged:
            raise DataError(str(max(damaged)), "a damaged state image, so the state of open trades is lost", "", _LOOK)
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

    cdef void save_trade(self, const bracket_state_t* slot, const position_t* position, int record) noexcept nogil:
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
        w.now = engine.clock.now
        w.halt_applied = engine.clock.halt_applied
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
        memset(g.data + length, 0, min(<int64_t> 8, GUARD_BYTES_MAX - length))      # of the last word that is sealed
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
        """The guard's latches; at most 262144 bytes."""
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

    def restore(self, Engine engine not None, equity=None) -> dict:
        """Put slots, account, latches and clock into a new engine, exactly as they were at the last save. equity: the account's present equity at the
        venue. Deposits and withdrawals may have changed it, and limits are shares of it, so it is used if no trade is open. With an open trade,
        executions since then are still to be reported and would count twice; at_equity() then sets the equity without them. Returns the content:

        fresh (nothing was ever saved), run, now_ns (the engine's time then: events must not be older), open (symbols with an open trade), restored,
        kept (symbols of the image that are not configured), halted, torn (records of which only one copy fits: the last write was incomplete, or the
        disk changed data; the state of the write before counts).
        """
        cdef int k
        cdef const trade_t* t
        cdef const whole_t* w
        cdef int64_t floor = 0
        self._same(engine)
        if engine.clock.events:
            raise ValueError("restore: expected an engine that has seen no event yet")
        w = self.whole_at(self.twins[self.records].sequence & 1)
        out = {"fresh": w.seal.sequence <= 1, "run": self.run, "now_ns": 0, "open": [], "restored": [], "kept": [], "halted": Reason.OK,
               "torn": [symbol_of(self.entry_at(k)) for k in range(self.records) if self.torn[k]] + ["account"] * self.torn[self.records]}
        for k in range(self.records):
            floor = max(floor, self.trade_at(k, self.twins[k].sequence & 1).slot.sequence)
        for k in range(self.count, self.records):
            out["kept"].append(symbol_of(self.entry_at(k)))
        if w.seal.sequence <= 1:
            return out
        engine.clock.now = w.now
        engine.clock.halt_applied = w.halt_applied
        engine.account.ledger = w.ledger
        engine.risk.latch = w.latch
        out["now_ns"], out["halted"] = w.now, Reason(w.latch.halted)
        for k in range(self.count):
            t = self.trade_at(k, self.twins[k].sequence & 1)
            engine.slot[k] = t.slot
            engine.account.positions[k] = t.position
            engine.slot[k].instrument = k
            symbol = self.names[k]
            if t.slot.state == BRACKET_FLAT:
                # ids are (instrument's place, sequence): places may have changed, and an id is never used twice
                engine.slot[k].sequence = floor
            else:
                out["open"].append(symbol)
            if t.seal.sequence > 1:
                out["restored"].append(symbol)
            engine.reschedule(k)
        if equity is not None and not out["open"]:
            self.at_equity(engine, equity)
        return out

    def at_equity(self, Engine engine, double equity):
        """Begin with the account's present equity. The losses of the day and of the week stay the same as shares of it."""
        cdef double before = engine.account.equity_now()
        if not 0.0 < equity < 1e15:
            raise ValueError(f"equity: expected a positive amount, got {equity!r}")
        if before > 0.0:
            engine.account.ledger.day_equity *= equity / before
            engine.account.ledger.week_equity *= equity / before
        engine.account.ledger.equity_start += equity - before

    # ---- making, mapping, carrying over ----

    cdef map(self):
        cdef Py_buffer view
        cdef int k, copy
        cdef trade_t* t
        cdef guard_t* g
        fd = opened(self.path, os.O_RDWR)
        try:
            self.size = os.fstat(fd).st_size
            os.posix_fallocate(fd, 0, self.size)       # a hole would be a SIGBUS on a full disk, in the middle of an order
            self.file = mmap.mmap(fd, self.size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
        except OSError as why:
            raise DataError(str(self.path), f"cannot be mapped: {why.strerror}", f"free space for {self.size} bytes") from None
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
        self.torn = [not (trade_fits(self.trade_at(k, 0), k) and trade_fits(self.trade_at(k, 1), k)) for k in range(self.records)]
        self.torn.append(not (whole_fits(self.whole_at(0)) and whole_fits(self.whole_at(1))))
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
        h.version, h.abi, h.count, h.sizes, h.created_ns = IMAGE_VERSION, STATE_ABI, records, layout_sizes(), created_ns
        memcpy(h.run, <const char*> text, len(text))
        seal_head(h)
        for k in range(len(instruments)):
            fill_entry(<entry_t*> (base + PAGE) + k, instruments[k], self.names[k], k)
        for k in range(2):
            seal_blank(base, records, k)
        return data

    cdef carry_over(self, bytearray data):
        """Judge an existing image; where its table is not ours, write a new one with the same records."""
        cdef const char* base = data
        cdef const entry_t* e
        cdef int records, k
        fault = file_fault(data)
        if fault.startswith("version: "):
            raise DataError(str(self.path), fault.removeprefix("version: "), f"a state image of this version (ABI {int(STATE_ABI)})",
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
                same = same and e.index == k and symbol_of(e) == self.names[k] and same_units(e, self.instruments[k])
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
        places = {name: k for k, name in enumerate(self.names)}
        for symbol, k in before.items():
            e = <const entry_t*> (base + PAGE) + <int> k
            if newest(base, len(before), k).slot.state == BRACKET_FLAT:
                continue
            where = f"{self.path}: {symbol}"
            if symbol not in places:
                raise DataError(where, "it has an open trade and is not configured", "",
                                "Add it to [feed] symbols until the trade has ended, or close it at the venue and with `liqcore kill --flatten`")
            if places[symbol] != e.index:
                raise DataError(where, f"it has an open trade as number {e.index} of [feed] symbols, and is now number {places[symbol]}", "",
                                "Order ids contain the number: add new symbols at the end until the trade has ended")
            if not same_units(e, self.instruments[places[symbol]]):
                raise DataError(where, "it has an open trade, and the venue has since changed its tick, lot or multiplier", "",
                                "Close the trade at the venue or with `liqcore kill --flatten`, then move the image out of the folder")

    cdef bytearray move(self, bytearray data, dict before):
        cdef const char* old = data
        cdef char* new
        cdef entry_t* e
        cdef int k, copy, records, old_records = len(before)
        cdef trade_t t
        cdef whole_t w
        kept = [symbol for symbol in before if symbol not in self.names]
        made = self.blank(list(self.instruments), (<bytes> (<const file_head_t*> old).run).decode(), (<const file_head_t*> old).created_ns, len(kept))
        new, records = made, self.count + len(kept)
        for k, symbol in enumerate(kept):
            e = <entry_t*> (new + PAGE) + self.count + <int> k
            memcpy(e, <const entry_t*> (old + PAGE) + <int> before[symbol], sizeof(entry_t))
            e.index = -1
            seal_entry(e, self.count + k)
        w = newest_whole(old, old_records)[0]
        for k, symbol in enumerate([*self.names, *kept]):
            if symbol in before:
                t = newest(old, old_records, before[symbol])[0]
                if k >= self.count:     # what it earned stays in the equity, once
                    w.ledger.equity_start += t.position.realized - t.position.fees - t.position.funding
                    t.position.realized = t.position.fees = t.position.funding = 0.0
                for copy in range(2):
                    t.seal.sequence += copy              # both copies: the same content under two following numbers
                    t.seal.check = trade_check(&t, ring_sum(t.slot.executions, EXECUTIONS_MAX), k)
                    memcpy(new + trades_at(records) + (2 * k + (t.seal.sequence & 1)) * pages(sizeof(trade_t)), &t, sizeof(trade_t))
        memcpy(new + wholes_at(records), old + wholes_at(old_records), trades_at(old_records) - wholes_at(old_records))
        for copy in range(2):
            w.seal.sequence += copy
            w.seal.check = whole_check(&w, ring_sum(w.latch.order_times, RATE_RING))
            memcpy(new + wholes_at(records) + (w.seal.sequence & 1) * pages(sizeof(whole_t)), &w, sizeof(whole_t))
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
            raise DataError(str(self.path), f"cannot be made: {why.strerror}",
                            f"a folder that can be written, and room for {len(data)} bytes") from None
