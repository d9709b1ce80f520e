"""pandas: rolling windows over a Series; and a Series of the deque at every event, as some scripts do."""

from collections import deque

import pandas as pd

PACKAGE = "pandas"


def quantile_push(window, q):
    held = deque(maxlen=window)

    def push(x):
        held.append(x)
        return pd.Series(held).quantile(q)

    return push


def quantile_batch(window, q):
    return lambda x: pd.Series(x).rolling(window).quantile(q).to_numpy()


def zscore_batch(window):
    def run(x):
        rolling = pd.Series(x).rolling(window)
        return rolling.mean().to_numpy(), rolling.std(ddof=0).to_numpy()

    return run
