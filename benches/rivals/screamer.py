"""screamer: C++ streaming indicators."""

import screamer as sc

PACKAGE = "screamer"
NOTES = {"zscore_push": "sample std", "zscore_batch": "sample std"}


def quantile_push(window, q):
    return sc.RollingQuantile(window, q)


def quantile_batch(window, q):
    return lambda x: sc.RollingQuantile(window, q)(x)


def zscore_push(window):
    mean, std = sc.RollingMean(window), sc.RollingStd(window)

    def push(x):
        s = std(x)
        m = mean(x)
        return (x - m) / s if s > 0.0 else 0.0

    return push


def zscore_batch(window):
    return lambda x: (sc.RollingMean(window)(x), sc.RollingStd(window)(x))
