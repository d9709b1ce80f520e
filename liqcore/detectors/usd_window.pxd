"""Dollar window: more than `trigger_usd` of one side liquidated within `window_s`, counting prints of at least `min_usd`.

Each side of each instrument runs its own state machine, so a squeeze inside a flush is detected. It gives signals at changes of phase only. After an
episode a side is armed again when its volume has fallen below `rearm` times the trigger, or when the volume since the episode is above the trigger by
itself. (The published system fires again at every event, and for longs only.)
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t
from liqcore.event cimport event_t, market_t, signal_t
from liqcore.kernels.window cimport window_t

ctypedef struct dollar_config_t:
    double min_usd
    double trigger_usd
    double rearm
    double fall
    int64_t window_ns
    int64_t silence_ns

ctypedef struct lane_t:          # one side
    episode_t e
    double peak                  # of the volume since ACTIVE
    uint8_t spent                # an episode has ended: no new one until the side is armed again

ctypedef struct dollar_t:
    window_t w                   # prints of at least min_usd
    lane_t lanes[2]              # LONG, SHORT
    int32_t sequence

cdef class Dollar(Detector):
    cdef dollar_config_t g
