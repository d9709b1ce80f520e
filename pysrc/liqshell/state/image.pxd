"""The writer of the state image: see image_file.pxd for the file, image.pyx for the class."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from liqcore.execution.account cimport position_t
from liqcore.execution.order_state cimport bracket_state_t
from liqcore.engine cimport Engine
from liqshell.state.image_file cimport entry_t, file_head_t, guard_t, trade_t, whole_t

ctypedef struct twin_t:         # the writer's memory of the two copies of a record
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
    cdef list torn              # per record, and one more for the whole: only one copy fitted when it was mapped
    cdef readonly object path
    cdef readonly tuple instruments
    cdef tuple names            # of the records: symbols; keys if an earlier venue has the same symbol
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
    cdef void save_trade(self, const bracket_state_t* slot, const position_t* position, int record) noexcept nogil
    cdef void save_whole(self, Engine engine) noexcept nogil
    cdef void save_c(self, Engine engine, int32_t n) noexcept nogil
    cdef int save_guard_c(self, const char* data, int64_t length) noexcept nogil
