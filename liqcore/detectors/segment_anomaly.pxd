"""Anomaly: a completed time segment whose liquidated notional stands out from the baseline, nearly all of one side.

A segment is compared once, at its end, with the segments completed before it; it is not part of its own baseline. z by the kernel of zscore.pxd, with
the population standard deviation; z = 0 if that is 0 or too few segments are complete.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t, segments_t
from liqcore.event cimport event_t, market_t, signal_t

ctypedef struct anomaly_config_t:
    double z_min
    double z_normal
    double purity
    double floor_usd
    int64_t segment_ns

ctypedef struct anomaly_t:
    segments_t s
    episode_t e
    double long_notional         # of the running segment
    double short_notional
    int32_t count

cdef class Anomaly(Detector):
    cdef anomaly_config_t g
