"""The dtype of the rows of Engine.view(), made from the C struct."""

import numpy as np

cdef view_t _row
cdef view_t[::1] _rows = <view_t[:1]> &_row

VIEW_DTYPE = np.asarray(_rows).dtype
