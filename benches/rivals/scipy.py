"""scipy.ndimage.percentile_filter: the fastest batch peer, with its O(log n) rank filter."""

from scipy.ndimage import percentile_filter

PACKAGE = "scipy"
NOTES = {"quantile_batch": "upper statistic; centred filter, shifted here by its origin"}


def quantile_batch(window, q):
    return lambda x: percentile_filter(x, q * 100.0, size=window, origin=window // 2 - (window % 2 == 0), mode="nearest")
