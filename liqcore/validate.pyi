# Nothing for Python: C level only, see door.pxd.
