from liqcore.event cimport request_t
from liqcore.instrument cimport Instrument

cdef class Request:
    cdef request_t c
    cdef readonly Instrument instrument
    @staticmethod
    cdef Request of(const request_t* r, Instrument instrument)
