"""The file of the state image: the engine's state of every trade.

Every record has two copies; a write goes to the older one, with a sequence number and a checksum over number, place and content. A process killed in
the middle of a write leaves one copy that fits its checksum and one that does not: the newest that fits counts.
"""

from libc.stdint cimport int64_t, uint64_t

from liqcore.execution.account cimport ledger_t, position_t
from liqcore.execution.order_state cimport bracket_state_t
from liqcore.instrument cimport Instrument
from liqcore.execution.risk cimport latch_t

cdef enum:
    PAGE = 4096
    GUARD_BYTES_MAX = 262144    # some 4000 instruments
    IMAGE_VERSION = 2

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
    bracket_state_t slot                 # last, because its ring of executions is sealed by a running sum

ctypedef struct whole_t:        # one copy of what concerns all
    seal_t seal
    int64_t now
    int64_t halt_applied
    ledger_t ledger
    latch_t latch               # last, because its ring of order times is sealed by a running sum

ctypedef struct guard_t:
    seal_t seal
    int64_t length
    char data[262144]

# head, table of instruments, two wholes, two guards, two copies of each trade, all on pages of their own

cdef inline size_t pages(size_t size) noexcept nogil:
    return (size + PAGE - 1) // PAGE * PAGE

cdef inline size_t wholes_at(int records) noexcept nogil:
    return PAGE + pages(records * sizeof(entry_t))

cdef inline size_t guards_at(int records) noexcept nogil:
    return wholes_at(records) + 2 * pages(sizeof(whole_t))

cdef inline size_t trades_at(int records) noexcept nogil:
    return guards_at(records) + 2 * pages(sizeof(guard_t))

cdef inline size_t file_size(int records) noexcept nogil:
    return trades_at(records) + 2 * records * pages(sizeof(trade_t))

cdef int64_t layout_sizes() noexcept nogil
cdef uint64_t ring_sum(const int64_t* ring, int64_t length) noexcept nogil
cdef void copy_ring(int64_t* target, const int64_t* source, int64_t length, int64_t news, int64_t head, uint64_t* total) noexcept nogil
cdef uint64_t trade_check(const trade_t* t, uint64_t total, int record) noexcept nogil
cdef uint64_t whole_check(const whole_t* w, uint64_t total) noexcept nogil
cdef bint trade_fits(const trade_t* t, int record) noexcept nogil
cdef bint whole_fits(const whole_t* w) noexcept nogil
cdef uint64_t guard_check(const guard_t* g) noexcept nogil
cdef void seal_head(file_head_t* h) noexcept nogil
cdef void seal_entry(entry_t* e, int record) noexcept nogil
cdef void seal_blank(char* base, int records, int copy) noexcept nogil
cdef void fill_entry(entry_t* e, Instrument i, str name, int record)
cdef bint same_units(const entry_t* e, Instrument i)
cdef str symbol_of(const entry_t* e)
cdef const trade_t* newest(const char* base, int records, int record) noexcept nogil
cdef const whole_t* newest_whole(const char* base, int records) noexcept nogil
cdef const guard_t* newest_guard(const char* base, int records) noexcept nogil
cdef bytearray read_file(object path)
cdef str file_fault(bytearray data)
