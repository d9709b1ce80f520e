# Nothing for Python: C level only, see book.pxd.
