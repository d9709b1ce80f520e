"""The engine. machine.pxd says what it is made of, and how an event goes through it; here is what is added for callers from Python."""

from liqcore.machine cimport Machine

cdef class Engine(Machine):
    cdef tuple take(self)
    cdef int _known(self, object instrument) except -1
