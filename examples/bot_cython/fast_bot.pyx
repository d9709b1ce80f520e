# cython: language_level=3
"""A policy and a feed loop in Cython: no Python object per event. Built out of tree against an installed liqcore (setup.py beside this file)."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from liqcore.engine cimport Engine
from liqcore.event cimport ACTIVE, LIQCORE_ABI, LIQUIDATION, LONG, ORDER_LIMIT, SHORT, event_t, market_t, request_t, signal_t
from liqcore.instrument cimport SCALE, Instrument
from liqcore.policy cimport Policy
from liqcore.bracket_spec cimport bracket_t

import liqcore

if LIQCORE_ABI != liqcore.abi_version():       # the structs are baked into this binary
    raise ImportError("fast_bot was built against another version of liqcore; build it again")


cdef class FastFade(Policy):
    """The fade, answered in C."""

    cdef int on_signal_c(self, const signal_t* s, const market_t* m, Instrument instrument, bracket_t* out) except -1:
        if s.phase != ACTIVE:
            return 0
        out.side = s.side
        out.entry_type = ORDER_LIMIT
        out.entry_offset = 150_000              # 0.15 % in units of 1e-8
        out.take_profit = 150_000
        out.stop_loss = 250_000
        out.entry_ttl_ns = out.max_hold_ns = <int64_t> 1800 * 1_000_000_000
        out.cooldown_ns = <int64_t> 300 * 1_000_000_000
        out.notional = 2000.0
        return 1


def feed(Engine engine, int64_t ts, int count):
    """`count` liquidations of growing size a second apart, straight into the engine: (signals counted by phase ACTIVE, requests)."""
    cdef event_t e
    cdef request_t* r
    cdef int n, requests = 0
    memset(&e, 0, sizeof(e))
    e.kind = LIQUIDATION
    for n in range(count):
        e.ts_event = e.ts_recv = ts + n * <int64_t> 1_000_000_000
        e.price = 2500.0 - n * 0.01
        e.qty = 1.0 + n
        e.side = LONG if n % 50 else SHORT
        engine.step_c(&e)
        r = engine.next_request()
        while r != NULL:
            requests += 1
            r = engine.next_request()
    return requests
