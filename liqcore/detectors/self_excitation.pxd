"""Self-excitation alarms, kind `hawkes`: more liquidations of one side are expected than usual, and the market excites itself more than usual.

Statistic: events of the side expected within `horizon_s` by the Hawkes kernel (hawkes.pxd), divided by the number that its rate of the last hours
gives. A side becomes ACTIVE at one of its events if the statistic is at or above `times` and the branching ratio is at or above `percentile` of its
own history. It is EXHAUSTED when the statistic is below `back`, tested at each event and every `check_s` after it. Each side has its own episodes.
"""

from libc.stdint cimport int32_t, int64_t

from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t
from liqcore.kernels.hawkes cimport Hawkes, hawkes_plan_t

ctypedef struct self_excitation_config_t:
    double times
    double back
    double percentile
    double floor_usd
    int64_t check_ns
    int32_t estimate         # BranchingEstimate

ctypedef struct self_excitation_t:
    episode_t side[2]        # LONG, SHORT
    int64_t check[2]         # when the statistic is tested next; meaningless while idle
    int32_t sequence

cdef class SelfExcitation(Detector):
    cdef readonly Hawkes kernel      # None before the detector serves an engine
    cdef self_excitation_config_t g
    cdef hawkes_plan_t plan
    cdef object shape                # HawkesConfig
    cdef double statistic(self, int32_t n, int side, int64_t now) noexcept nogil
    cdef int emit_signal(self, int32_t n, int k, int64_t now, int phase, int flags, double value, void* out) noexcept nogil
