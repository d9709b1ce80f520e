# Nothing for Python: C level only, see bracket.pxd.
