"""What comes in from Python, one method per kind of event: the names and units that a bot author sees."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef class Intake:
    cdef dict index              # of each instrument's name
    cdef tuple enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                     double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code)
    cdef int _index(self, object instrument) except? -1
