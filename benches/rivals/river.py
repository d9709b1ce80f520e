"""river: streaming statistics; its rolling quantile is in Rust."""

from river import stats, utils

PACKAGE = "river"


def quantile_push(window, q):
    quantile = stats.RollingQuantile(q=q, window_size=window)
    update, get = quantile.update, quantile.get

    def push(x):
        update(x)
        return get()

    return push


def zscore_push(window):
    mean = utils.Rolling(stats.Mean(), window_size=window)
    var = utils.Rolling(stats.Var(ddof=0), window_size=window)

    def push(x):
        mean.update(x)
        var.update(x)
        v = var.get()
        return (x - mean.get()) / v**0.5 if v > 0.0 else 0.0

    return push
