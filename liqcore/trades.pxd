"""What must survive the process, as bytes: brackets, account, risk's latch, the time."""

from libc.stdint cimport int64_t

from liqcore.account cimport Account
from liqcore.risk cimport Risk
from liqcore.slot cimport slot_t

cdef bytes trade_identity(tuple instruments)
cdef bytes trade_pack(tuple instruments, int64_t now, int64_t halt_heeded, const slot_t* slots, Account account, Risk risk)
cdef tuple trade_unpack(bytes data, tuple instruments, slot_t* slots, Account account, Risk risk)
