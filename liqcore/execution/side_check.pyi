# Nothing for Python: C level only, see side_check.pxd.
