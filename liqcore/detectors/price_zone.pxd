"""Realised zones, kind `zone`: the price returns to a level with many liquidations.

A zone is a run of hot cells of the realised map (realised_map.pxd), dominated by one liquidated side. The price enters it from outside,
`away_s` or longer after it was last inside any zone: ACTIVE. side is the liquidated side of that approach: LONG if the price came down into a zone of
liquidated longs (their forced sales are over, a bounce trade BUYS), SHORT if it came up into one of liquidated shorts (a bounce trade SELLS). As with
the fade, a trade along `side` is the bounce. EXHAUSTED, with z = 1 when the price left by more than `leave_bps` on the side it came from (bounced), z
= -1 when it left through the far side or liquidations of that side since ACTIVE reached `cascade_share` of the zone's notional (a cascade goes
through it), z = 0 after `stay_s`.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.kernels.realised_map cimport DensityConfig, density_t
from liqcore.detectors.detector cimport Detector
from liqcore.detectors.episode cimport episode_t
from liqcore.event cimport signal_t

ctypedef struct zone_config_t:
    double leave             # as a ratio: 1 + leave_bps / 1e4
    double cascade_share
    double zone_usd
    int64_t away_ns
    int64_t stay_ns
    int32_t any_side

ctypedef struct standing_t:      # plain: a snapshot is a copy
    episode_t e
    double low               # of the zone of the running episode
    double high
    double held              # notional of the zone when the episode began
    double through           # liquidated of its side since
    double free_low          # while idle: trades between these prices change nothing
    double free_high
    double previous          # price of the last trade; 0 = none
    int64_t version          # of the density from which free_low and free_high were computed
    int64_t ts_inside        # last time in any zone; ns
    int32_t inside           # the last trade was in a zone

ctypedef struct zone_state_t:
    standing_t standing
    density_t density

cdef class Zone(Detector):
    cdef zone_config_t g
    cdef DensityConfig cells
    cdef int look(self, int32_t n, int64_t now, double price, uint8_t flags, signal_t* out) noexcept nogil
    cdef int leave(self, int32_t n, int64_t now, double verdict, uint8_t flags, signal_t* out) noexcept nogil
