"""polars: rolling expressions in Rust."""

import polars as pl

PACKAGE = "polars"


def quantile_batch(window, q):
    return lambda x: pl.Series(x).rolling_quantile(q, interpolation="linear", window_size=window).to_numpy()


def zscore_batch(window):
    def run(x):
        series = pl.Series(x)
        return series.rolling_mean(window).to_numpy(), series.rolling_std(window, ddof=0).to_numpy()

    return run
