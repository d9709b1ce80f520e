"""The state image: what the engine believes of every trade, in a mapped file, written before every send.

Every record has two copies; a write goes to the older one, with a sequence number and a checksum over number, place and content. A process killed in
the middle of a write leaves one copy that fits its checksum and one that does not: the newest that fits counts.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from liqcore.account cimport ledger_t, position_t
from liqcore.bracket cimport slot_t
from liqcore.engine cimport Engine, clock_t
from liqcore.risk cimport latch_t

cdef enum:
    PAGE = 4096
    GUARD_BYTES_MAX = 32768

ctypedef struct file_head_t:    # page 0; written once, sealed by a checksum
    uint64_t magic
    int64_t version
    int64_t abi
    int64_t count               # of trade records
    int64_t sizes               # of the structs below, mixed: another compiler's layout is another image
    int64_t created_ns
    char run[32]
    uint64_t check

ctypedef struct entry_t:        # one instrument, as far as prices and quantities depend on it
    char symbol[32]
    char venue[24]
    int64_t index               # of the engine that wrote last: order ids carry it; -1 = no longer configured
    int64_t tick_mantissa
    int64_t tick_decimals
    int64_t lot_mantissa
    int64_t lot_decimals
    double multiplier
    uint64_t check

ctypedef struct seal_t:
    uint64_t sequence
    uint64_t check

ctypedef struct trade_t:        # one copy of one instrument: bracket and position always of the same moment
    seal_t seal
    position_t position
    slot_t slot                 # last, because its ring of executions is sealed by a running sum

ctypedef struct whole_t:        # one copy of what concerns all
    seal_t seal
    clock_t clock
    int64_t audit_seq
    ledger_t ledger
    latch_t latch               # last, because its ring of order times is sealed by a running sum

ctypedef struct guard_t:
    seal_t seal
    int64_t length
    char data[32768]

ctypedef struct twin_t:         # what the writer remembers of the two copies of a record
    uint64_t sequence           # of the newest
    uint64_t ring_sum[2]
    int64_t ring_head[2]

cdef class Image:
    cdef object file            # mmap
    cdef char* base
    cdef size_t size
    cdef int records
    cdef int count              # instruments of the engine: the first records
    cdef twin_t* twins          # per record, and one more for the whole
    cdef uint64_t guard_sequence
    cdef readonly object path
    cdef readonly tuple instruments
    cdef readonly int64_t saves
    cdef file_head_t* head(self) noexcept nogil
    cdef entry_t* entry_at(self, int record) noexcept nogil
    cdef whole_t* whole_at(self, int copy) noexcept nogil
    cdef guard_t* guard_at(self, int copy) noexcept nogil
    cdef trade_t* trade_at(self, int record, int copy) noexcept nogil
    cdef map(self)
    cdef bytearray blank(self, list instruments, str run, int64_t created_ns, int more=*)
    cdef carry_over(self, bytearray data)
    cdef refuse_open(self, bytearray data, dict before)
    cdef bytearray move(self, bytearray data, dict before)
    cdef write_new(self, bytearray data)
    cdef void save_trade(self, const slot_t* slot, const position_t* position, int record) noexcept nogil
    cdef void save_whole(self, Engine engine) noexcept nogil
    cdef void save_c(self, Engine engine, int32_t n) noexcept nogil
    cdef int save_guard_c(self, const char* data, int64_t length) noexcept nogil
