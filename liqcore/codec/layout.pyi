# Nothing for Python: C level only, see layout.pxd.
