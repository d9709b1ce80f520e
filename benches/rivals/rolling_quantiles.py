"""rolling-quantiles: C heaps. Not every Python version has a build of it."""

import rolling_quantiles as rq

PACKAGE = "rolling-quantiles"
NOTES = {"quantile_push": "lower statistic", "quantile_batch": "lower statistic"}


def quantile_push(window, q):
    return rq.Pipeline(rq.LowPass(window=window, portion=1, subsample_rate=1, quantile=q)).feed


def quantile_batch(window, q):
    return lambda x: rq.Pipeline(rq.LowPass(window=window, portion=1, subsample_rate=1, quantile=q)).feed(x)
