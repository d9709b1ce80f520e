# cython: language_level=3, embedsignature=False
"""Loops around liqcore's C-level API: what a kernel costs to those who cimport it, without Python in between; and the sinks of the wire
benches.

Built by benches/build.py with the package's own flags. The callgrind client requests do nothing outside of valgrind.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

import numpy as np

from liqcore.codec.encode cimport OrderEncoder
from liqcore.engine cimport Engine
from liqcore.event cimport ACTION_CREATE, ACTIVE, LONG, ORDER_LIMIT, POST_ONLY, ROLE_ENTRY, SHORT, event_t, market_t, request_t, signal_t
from liqcore.guard cimport Guard
from liqcore.instrument cimport Instrument
from liqcore.kernels.first_passage cimport first_outside, pyramid_t
from liqcore.policy cimport Policy
from liqcore.kernels.quantile cimport quantile_bytes, quantile_free, quantile_init, quantile_push, quantile_reached, quantile_t, quantile_value
from liqcore.codec.decode cimport Decoder
from liqcore.execution.order_state cimport order_id
from liqcore.simulation.tape cimport Tape
from liqcore.bracket_spec cimport Bracket, bracket_t
from liqcore.kernels.window cimport window_advance, window_free, window_init, window_long, window_push, window_short, window_t
from liqcore.kernels.zscore cimport moments_add, moments_free, moments_init, moments_merge, moments_std, moments_t
from liqshell.run.dispatch cimport Dispatch
from liqshell.run.feed_listener cimport EventSink

cdef extern from *:
    """
    #if defined(__has_include)
    #if __has_include(<valgrind/callgrind.h>)
    #include <valgrind/callgrind.h>
    #endif
    #endif
    #ifndef CALLGRIND_START_INSTRUMENTATION
    #define LIQ_CAN_COUNT 0
    #define CALLGRIND_START_INSTRUMENTATION
    #define CALLGRIND_STOP_INSTRUMENTATION
    #define CALLGRIND_ZERO_STATS
    #define CALLGRIND_DUMP_STATS_AT(label)
    #else
    #define LIQ_CAN_COUNT 1
    #endif
    static void liq_count_start(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
    static void liq_count_stop(const char* label) { CALLGRIND_DUMP_STATS_AT(label); CALLGRIND_STOP_INSTRUMENTATION; (void) label; }
    """
    int LIQ_CAN_COUNT
    void liq_count_start() nogil
    void liq_count_stop(const char* label) nogil

CAN_COUNT = bool(LIQ_CAN_COUNT)


def count_start():
    """Callgrind: begin to count instructions."""
    liq_count_start()


def count_stop(bytes label):
    """Callgrind: write what was counted since count_start to a file that names this label."""
    liq_count_stop(label)


cdef class Values:
    """A stream of values, walked round and round; a copy, so that nobody can free it under the loop."""
    cdef double* x
    cdef Py_ssize_t size, at

    def __cinit__(self, values, *args):
        cdef const double[::1] view = np.ascontiguousarray(values, dtype=np.float64)
        self.size = view.shape[0]
        self.x = <double*> calloc(self.size, sizeof(double))
        memcpy(self.x, &view[0], self.size * sizeof(double))

    def __dealloc__(self):
        free(self.x)

    cdef inline double next(self) noexcept nogil:
        cdef double x = self.x[self.at]
        self.at += 1
        if self.at == self.size:
            self.at = 0
        return x


@cython.final
cdef class QuantileLoop(Values):
    """One rolling quantile, its window filled."""
    cdef quantile_t q

    def __init__(self, values, double q, int window):
        cdef int i
        quantile_init(&self.q, q, window)
        for i in range(window):
            quantile_push(&self.q, self.next())

    def __dealloc__(self):
        quantile_free(&self.q)

    def push(self, Py_ssize_t n):
        """Push n values, the exact quantile wanted after each."""
        cdef double total = 0.0
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                quantile_push(&self.q, self.next())
                total += quantile_value(&self.q)
        return total

    def decide(self, Py_ssize_t n):
        """n times: is x at or above the quantile? Then push x."""
        cdef Py_ssize_t i, large = 0
        cdef double x
        with nogil:
            for i in range(n):
                x = self.next()
                large += quantile_reached(&self.q, x)
                quantile_push(&self.q, x)
        return large

    def decisions(self, Py_ssize_t n):
        """The decision about each of n values, as bools; the first is about values[window]."""
        out = np.zeros(n, dtype=np.uint8)
        cdef uint8_t[::1] view = out
        cdef Py_ssize_t i
        cdef double x
        for i in range(n):
            x = self.next()
            view[i] = quantile_reached(&self.q, x)
            quantile_push(&self.q, x)
        return out.astype(bool)


@cython.final
cdef class ManyQuantiles(Values):
    """One rolling quantile a symbol: caches are cold, as in life."""
    cdef quantile_t* q
    cdef int32_t* symbol
    cdef int symbols
    cdef readonly Py_ssize_t bytes_fixed, bytes_event

    def __init__(self, values, symbol, int symbols, double q, int window):
        cdef const int32_t[::1] view = np.ascontiguousarray(symbol, dtype=np.int32)
        cdef int i
        self.symbols = symbols
        self.q = <quantile_t*> calloc(symbols, sizeof(quantile_t))
        self.symbol = <int32_t*> calloc(self.size, sizeof(int32_t))
        memcpy(self.symbol, &view[0], self.size * sizeof(int32_t))
        for i in range(symbols):
            quantile_init(&self.q[i], q, window)
        self.bytes_event = quantile_bytes(window + 1) - quantile_bytes(window)
        self.bytes_fixed = quantile_bytes(window) - window * self.bytes_event + sizeof(quantile_t)
        self.decide(self.size)

    def __dealloc__(self):
        cdef int i
        if self.q != NULL:
            for i in range(self.symbols):
                quantile_free(&self.q[i])
        free(self.q)
        free(self.symbol)

    def decide(self, Py_ssize_t n):
        cdef Py_ssize_t i, large = 0
        cdef quantile_t* q
        cdef double x
        with nogil:
            for i in range(n):
                q = &self.q[self.symbol[self.at]]
                x = self.next()
                large += quantile_reached(q, x)
                quantile_push(q, x)
        return large


@cython.final
cdef class ZscoreLoop(Values):
    cdef moments_t m

    def __init__(self, values, int window):
        moments_init(&self.m, window)
        self.push(2 * window)

    def __dealloc__(self):
        moments_free(&self.m)

    def push(self, Py_ssize_t n):
        cdef double total = 0.0
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                moments_add(&self.m, self.next())
                moments_merge(&self.m)
                total += self.m.mean + moments_std(&self.m)
        return total


@cython.final
cdef class WindowLoop(Values):
    """The 60 s signed window: one event every 50 ms, so about 1,200 inside."""
    cdef window_t w
    cdef int64_t now

    def __init__(self, values):
        window_init(&self.w, 60_000_000_000, 4096)
        self.push(4096)

    def __dealloc__(self):
        window_free(&self.w)

    def push(self, Py_ssize_t n):
        cdef double total = 0.0
        cdef Py_ssize_t i
        with nogil:
            for i in range(n):
                self.now += 50_000_000
                window_push(&self.w, self.now, LONG if i & 1 else SHORT, self.next())
                total += window_short(&self.w) - window_long(&self.w)
        return total


cdef class Frames:
    """Distinct frames, one after the other in memory, walked round and round."""
    cdef char* text
    cdef int64_t* start
    cdef Py_ssize_t count, at

    def load(self, list frames):
        cdef Py_ssize_t i, total = 0
        free(self.text)
        free(self.start)
        self.count = len(frames)
        self.at = 0
        self.text = <char*> calloc(sum([len(f) + 64 for f in frames]), 1)     # apart: as if each had come into its own buffer
        self.start = <int64_t*> calloc(2 * self.count, sizeof(int64_t))
        for i in range(self.count):
            memcpy(self.text + total, PyBytes_AS_STRING(frames[i]), PyBytes_GET_SIZE(frames[i]))
            self.start[2 * i] = total
            self.start[2 * i + 1] = PyBytes_GET_SIZE(frames[i])
            total += PyBytes_GET_SIZE(frames[i]) + 64

    def __dealloc__(self):
        free(self.text)
        free(self.start)


@cython.final
cdef class DecodeLoop(Frames):
    cdef Decoder decoder
    cdef event_t out[512]

    def __init__(self, Decoder decoder, list frames):
        self.decoder = decoder
        self.load(frames)
        if self.run(len(frames)) < len(frames):
            raise ValueError(f"a frame was handed back: {frames[0][:120]!r}")

    def run(self, Py_ssize_t n):
        """Decode n frames; returns the number of events."""
        cdef Py_ssize_t i, events = 0
        cdef int got
        with nogil:
            for i in range(n):
                got = self.decoder.decode_c(self.text + self.start[2 * self.at], self.start[2 * self.at + 1], 1, self.out, 512)
                events += got if got > 0 else -1_000_000_000
                self.at = self.at + 1 if self.at + 1 < self.count else 0
        return events


@cython.final
cdef class EncodeLoop:
    cdef OrderEncoder encoder
    cdef request_t* requests
    cdef Py_ssize_t count, at
    cdef char out[1024]

    def __init__(self, OrderEncoder encoder, requests):
        raw = requests.tobytes()
        self.encoder = encoder
        self.count = len(requests)
        self.requests = <request_t*> calloc(self.count, sizeof(request_t))
        memcpy(self.requests, PyBytes_AS_STRING(raw), self.count * sizeof(request_t))

    def __dealloc__(self):
        free(self.requests)

    def run(self, Py_ssize_t n):
        cdef Py_ssize_t i, size = 0
        with nogil:
            for i in range(n):
                size += self.encoder.encode_c(&self.requests[self.at], self.requests[self.at].ts // 1_000_000, self.out, sizeof(self.out))
                self.at = self.at + 1 if self.at + 1 < self.count else 0
        return size


@cython.final
cdef class GuardLoop:
    """Requests through the guard, three tenths of a second apart."""
    cdef Guard guard
    cdef request_t* requests
    cdef Py_ssize_t count, at
    cdef int64_t now
    cdef double price

    def __init__(self, Guard guard, requests, double price):
        raw = requests.tobytes()
        self.guard = guard
        self.count = len(requests)
        self.price = price
        self.requests = <request_t*> calloc(self.count, sizeof(request_t))
        memcpy(self.requests, PyBytes_AS_STRING(raw), self.count * sizeof(request_t))

    def __dealloc__(self):
        free(self.requests)

    def run(self, Py_ssize_t n):
        """How many passed."""
        cdef Py_ssize_t i, passed = 0
        with nogil:
            for i in range(n):
                self.now += 300_000_000
                passed += self.guard.check_c(&self.requests[self.at], self.now, self.price) == 0
                self.at = self.at + 1 if self.at + 1 < self.count else 0
        return passed


@cython.final
cdef class Reaction(Frames):
    """Frame -> events -> P95 of 1000, z over 288, signed 60 s window -> order bytes: the same task as the rivals' reaction()."""
    cdef Decoder decoder
    cdef OrderEncoder encoder
    cdef quantile_t q
    cdef moments_t z
    cdef window_t w
    cdef request_t order
    cdef event_t events[512]
    cdef char out[1024]              # 16 bytes in front for the websocket header
    cdef double tick
    cdef int64_t round_ns, later_ns      # so that time goes on when the frames start anew

    def __init__(self, Decoder decoder, OrderEncoder encoder, int instrument, double tick=1e-5, int64_t round_ns=0):
        self.decoder = decoder
        self.round_ns = round_ns
        self.encoder = encoder
        self.tick = tick
        quantile_init(&self.q, 0.95, 1000)
        moments_init(&self.z, 288)
        window_init(&self.w, 60_000_000_000, 4096)
        memset(&self.order, 0, sizeof(request_t))
        self.order.instrument = instrument
        self.order.action = ACTION_CREATE
        self.order.type = ORDER_LIMIT
        self.order.flags = POST_ONLY
        self.order.qty = 1

    def __dealloc__(self):
        quantile_free(&self.q)
        moments_free(&self.z)
        window_free(&self.w)

    cdef int react_to(self, const event_t* events, int n) noexcept nogil:
        """Kernels over the events, then the order into self.out + 16; returns its size or a negative number."""
        cdef int i
        cdef double notional, z
        cdef bint large = False
        cdef const event_t* e = events
        for i in range(n):
            e = &events[i]
            notional = e.price * e.qty
            large = quantile_reached(&self.q, notional)
            quantile_push(&self.q, notional)
            moments_add(&self.z, notional)
            moments_merge(&self.z)
            window_push(&self.w, e.ts_event + self.later_ns, e.side, notional)
        z = (notional - self.z.mean) / moments_std(&self.z) if self.z.count > 1 else 0.0
        self.order.side = LONG if window_long(&self.w) > window_short(&self.w) else SHORT
        self.order.price = <int64_t> (e.price * (0.9985 if z > 0.0 or large else 0.998) / self.tick)
        self.order.id += 1
        self.order.cause += 1
        return self.encoder.encode_c(&self.order, e.ts_event // 1_000_000, self.out + 16, sizeof(self.out) - 16)

    cdef int react_c(self, const char* frame, Py_ssize_t size, int64_t ts_recv) noexcept nogil:
        cdef int n = self.decoder.decode_c(frame, size, ts_recv, self.events, 512)
        return self.react_to(self.events, n) if n > 0 else -1

    def react(self, bytes frame):
        """One Python call: frame bytes to order bytes."""
        cdef int size = self.react_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), 1)
        if size < 0:
            raise ValueError(f"frame not recognised: {frame[:120]!r}")
        return PyBytes_FromStringAndSize(self.out + 16, size)

    def run(self, Py_ssize_t n):
        """n loaded frames without Python; returns the bytes made."""
        cdef Py_ssize_t i, total = 0
        cdef int size
        with nogil:
            for i in range(n):
                size = self.react_c(self.text + self.start[2 * self.at], self.start[2 * self.at + 1], 1)
                total += size if size > 0 else -1_000_000_000
                self.at += 1
                if self.at == self.count:
                    self.at = 0
                    self.later_ns += self.round_ns
        if total < 0:
            raise ValueError("a frame was handed back")
        return total


@cython.final
cdef class EngineLoop:
    """Engine.step over prepared events; time goes on from round to round."""
    cdef Engine engine
    cdef event_t* events
    cdef Py_ssize_t count, at
    cdef int64_t span

    def __init__(self, Engine engine, events):
        raw = events.tobytes()
        self.engine = engine
        self.count = len(events)
        self.events = <event_t*> calloc(self.count, sizeof(event_t))
        memcpy(self.events, PyBytes_AS_STRING(raw), self.count * sizeof(event_t))
        self.span = self.events[self.count - 1].ts_recv - self.events[0].ts_recv + 1_000_000_000
        self.run(min(self.count, 20_000))

    def __dealloc__(self):
        free(self.events)

    def run(self, Py_ssize_t n):
        cdef Py_ssize_t i
        cdef event_t* e
        for i in range(n):
            e = &self.events[self.at]
            self.engine.step_c(e)
            e.ts_recv += self.span
            e.ts_event += self.span
            self.at = self.at + 1 if self.at + 1 < self.count else 0
            if not i & 1023:
                self.engine.audit.drain()


cdef class Fade(Policy):
    """A policy without Python in it: one of two brackets for every ACTIVE signal."""
    cdef Bracket long_side, short_side

    def __init__(self, Bracket long_side not None, Bracket short_side not None):
        self.long_side, self.short_side = long_side, short_side

    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1:
        if s.phase != ACTIVE:
            return 0
        out[0] = self.long_side.c if s.side > 0 else self.short_side.c
        return 1


@cython.final
cdef class PassageLoop:
    """First-passage queries over the trades of a tape: from row after row, to `distance` ticks away in either direction."""
    cdef Tape tape
    cdef int64_t distance

    def __init__(self, Tape tape not None, int64_t distance):
        self.tape, self.distance = tape, distance

    def run(self, Py_ssize_t n):
        cdef const pyramid_t* p = &self.tape.strips[0].trades.index
        cdef int64_t rows = self.tape.strips[0].trades.n, found = 0, start = 0, level
        cdef Py_ssize_t i
        for i in range(n):
            start = (start + 7919) % rows
            level = p.low[0][start]
            found += first_outside(p, start, rows, level - self.distance, level + self.distance)
        return found


@cython.final
cdef class ReactionSink(EventSink):
    """Wire: an order for every frame, from kernels to socket without a Python object."""
    cdef Reaction reaction
    cdef public WSTransport transport

    def __init__(self, Reaction reaction):
        self.reaction = reaction

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        cdef int size = self.reaction.react_to(events, n)
        if size < 0:
            raise ValueError("no order for these events")
        self.transport.send_reuse_external_buffer(WSMsgType.TEXT, self.reaction.out + 16, size)
        return 0


@cython.final
cdef class LiveReactionSink(EventSink):
    """Wire: a live run, with an order for every frame (the engine answers few: the request that it would make is put into its queue)."""
    cdef Engine engine
    cdef Dispatch dispatch
    cdef int64_t sequence

    def __init__(self, Engine engine, Dispatch dispatch):
        self.engine = engine
        self.dispatch = dispatch

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        cdef int i
        cdef const event_t* e = &events[n - 1]
        cdef request_t* r
        for i in range(n):
            self.engine.step_c(&events[i])
        self.sequence += 1
        r = &self.engine.out.ring[self.engine.out.head & self.engine.out.mask]
        memset(r, 0, sizeof(request_t))
        r.id = order_id(e.instrument, self.sequence, 0, ROLE_ENTRY)
        r.price = <int64_t> (e.price * 0.9985 / self.engine.inst[e.instrument].tick)
        r.stop = r.price >> 3            # far below the last trade, which is not that of the frames
        r.qty = 1000
        r.cause, r.ts = self.sequence, self.sequence * 1_000_000_000
        r.instrument = e.instrument
        r.side = LONG
        r.action = ACTION_CREATE
        r.type = ORDER_LIMIT
        r.flags = POST_ONLY
        self.engine.out.head += 1
        self.dispatch.pump_c(self.sequence * 1_000_000_000)       # the guard's minute: one entry a second
        if self.dispatch.sent != self.sequence:
            raise ValueError(f"an order did not leave: {self.dispatch.take()[-1]}")
        if not self.sequence & 255:
            self.dispatch.take(), self.engine.audit.drain()
        return 0


@cython.final
cdef class CountingSink(EventSink):
    """Wire: kernels over every frame, one message after `left` frames."""
    cdef Reaction reaction
    cdef Py_ssize_t left
    cdef public WSTransport transport

    def __init__(self, Reaction reaction, Py_ssize_t left):
        self.reaction = reaction
        self.left = left

    cdef int on_events_c(self, const event_t* events, int n, const char* raw, Py_ssize_t raw_n, int64_t ts_recv) except -1:
        self.reaction.react_to(events, n)
        self.left -= 1
        if self.left == 0:
            self.transport.send(WSMsgType.TEXT, b"done")
        return 0


@cython.final
cdef class CountingListener(WSListener):
    """Wire: the transport alone, nothing decoded."""
    cdef Py_ssize_t left

    def __init__(self, Py_ssize_t left):
        self.left = left

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self.left -= 1
        if self.left == 0:
            transport.send(WSMsgType.TEXT, b"done")
