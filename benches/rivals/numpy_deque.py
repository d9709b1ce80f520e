"""What the guide scripts do: a deque, and NumPy over a copy of it at every event."""

from collections import deque

import numpy as np

PACKAGE = "numpy"


def quantile_push(window, q):
    held = deque(maxlen=window)
    percent = q * 100.0

    def push(x):
        held.append(x)
        return np.percentile(held, percent)

    return push


def quantile_batch(window, q):
    from numpy.lib.stride_tricks import sliding_window_view

    return lambda x: np.quantile(sliding_window_view(x, window), q, axis=1)


def zscore_push(window):
    held = deque(maxlen=window)

    def push(x):
        held.append(x)
        a = np.array(held)
        std = a.std()
        return (x - a.mean()) / std if std > 0.0 else 0.0

    return push
