"""Imbalance: more than `share` of the notional liquidated within `window_s` is of one side.

The canonical number is (short - long) / total; the published systems use the long share. long_share_of and imbalance_of convert: 70 % is +-0.4,
75 % is +-0.5.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.kernels.window cimport window_t

ctypedef struct imbalance_config_t:
    double share
    double normal
    double floor_usd
    int64_t window_ns
    int32_t min_events

ctypedef struct imbalance_t:
    window_t w
    episode_t e

cdef class Imbalance(Detector):
    cdef imbalance_config_t g
