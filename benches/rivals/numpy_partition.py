"""NumPy without the deque: a ring array and one partial sort."""

import numpy as np

PACKAGE = "numpy"
NOTES = {"quantile_push": "lower statistic"}


def quantile_push(window, q):
    ring = np.zeros(window)
    k = int((window - 1) * q)
    at = 0

    def push(x):
        nonlocal at
        ring[at] = x
        at = at + 1 if at + 1 < window else 0
        return np.partition(ring, k)[k]

    return push
