"""Rate: liquidations of an instrument come faster than mean + sigma standard deviations of its own baseline.

The rate is the count of the last window; the baseline is the counts of the completed segments of the same length, of both sides together. Both are
given per minute.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t, segments_t
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.kernels.window cimport window_t

ctypedef struct rate_config_t:
    double sigma
    double sigma_normal
    double per_minute            # rate of one liquidation inside the window
    double floor_per_minute
    int64_t window_ns

ctypedef struct rate_t:
    window_t w
    segments_t s
    episode_t e
    double normal                # count inside at which the running episode ends; fixed when it began

cdef class Rate(Detector):
    cdef rate_config_t g
