# Nothing for Python: C level only, see validate.pxd.
