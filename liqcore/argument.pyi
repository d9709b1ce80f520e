# Nothing for Python: C level only, see argument.pxd.
