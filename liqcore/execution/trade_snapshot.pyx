"""Trade snapshots: see trade_snapshot.pxd. Parts, packed by liqcore.snapshot under TRADE_NAME:

0. identity: instruments and units of the other parts (Engine.trade_identity())
1. engine.clock.now, engine.clock.halt_applied: int64, little-endian
2. bracket_state_t of each instrument
3. ledger_t, then position_t of each instrument
4. latch_t

So a state image with copies of these structs can be packed and passed to Engine.trade_restore().
"""

from libc.string cimport memcpy

from liqcore.event cimport STATE_ABI
from liqcore.execution.risk cimport latch_t
from liqcore.snapshot cimport pack, unpack

from liqcore.snapshot import same_first

TRADE_NAME = b"liqcore-trade-1\n"


cdef bytes trade_identity(tuple instruments):
    import json                     # not at import: the core starts in milliseconds

    return json.dumps({"abi": STATE_ABI, "slot": sizeof(bracket_state_t), "latch": sizeof(latch_t),
                       "instruments": [i.as_dict() for i in instruments]},
                      sort_keys=True).encode()


cdef bytes trade_pack(tuple instruments, int64_t now, int64_t halt_applied, const bracket_state_t* slots, Account account, Risk risk):
    times = now.to_bytes(8, "little", signed=True) + halt_applied.to_bytes(8, "little")
    return pack(TRADE_NAME, [trade_identity(instruments), times, (<const char*> slots)[:len(instruments) * sizeof(bracket_state_t)],
                             account.snapshot(),
                             risk.snapshot()])


cdef tuple trade_unpack(bytes data, tuple instruments, bracket_state_t* slots, Account account, Risk risk):
    """Restore slots, account and risk; returns clock.now and clock.halt_applied. All checks are done before the first change."""
    import json

    cdef list parts = unpack(TRADE_NAME, data, "trade")
    cdef int n
    if len(parts) != 5 or len(parts[1]) != 16:
        raise ValueError("trade snapshot: not one of this version of liqcore")
    then, ours = json.loads(parts[0]), json.loads(trade_identity(instruments))
    if {**then, "instruments": 0} != {**ours, "instruments": 0}:
        raise ValueError(f"trade snapshot: written by another version of liqcore (abi {then.get('abi')}, this is {STATE_ABI}): let the version "
                         "that wrote it close what is open")
    n = same_first(ours["instruments"], then["instruments"])
    if <size_t> len(parts[2]) != n * sizeof(bracket_state_t) or <size_t> len(parts[4]) != sizeof(latch_t):
        raise ValueError("trade snapshot: not one of this version of liqcore")
    account.restore_first(parts[3], n)
    risk.restore(parts[4])
    memcpy(slots, <const char*> <bytes> parts[2], n * sizeof(bracket_state_t))
    return int.from_bytes(parts[1][:8], "little", signed=True), int.from_bytes(parts[1][8:], "little")
