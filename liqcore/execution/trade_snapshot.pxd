"""The state that must survive the process, as bytes: brackets, account, risk's latch, the time."""

from libc.stdint cimport int64_t

from liqcore.execution.account cimport Account
from liqcore.execution.risk cimport Risk
from liqcore.execution.order_state cimport bracket_state_t

cdef bytes trade_identity(tuple instruments)
cdef bytes trade_pack(tuple instruments, int64_t now, int64_t halt_applied, const bracket_state_t* slots, Account account, Risk risk)
cdef tuple trade_unpack(bytes data, tuple instruments, bracket_state_t* slots, Account account, Risk risk)
