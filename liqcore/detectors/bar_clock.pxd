"""Bars: a signal of each instrument at every multiple of `period_s` since 1970, so that a policy is asked on every new bar.

Only liquidations and tickers are used, so a backtest need not stop at every trade. The first of them starts an instrument's bars; an instrument
without events has none. The signal has the liquidated notional of the bar that ended.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t
from liqcore.event cimport event_t, market_t, signal_t

ctypedef struct bars_t:
    episode_t e
    int64_t ends                 # ns: end of the running bar; 0 before the first event

cdef class Bars(Detector):
    cdef int64_t period_ns
