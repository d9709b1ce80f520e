# Nothing for Python: C level only, see sides.pxd.
