"""Self-excitation of liquidations: a size-marked Hawkes process per instrument and liquidated side, with a factor that all instruments share.

    intensity_i(t) = base_i + sum over own events j of  w_j (fast b_f e^(-b_f (t - t_j)) + slow b_s e^(-b_s (t - t_j)))
                            + cross p_i  sum over the group's events j of  w_j b_s e^(-b_s (t - t_j))          [events / s]

w_j: mark of an event, its size**size_power over the running mean of that (mean about 1). fast, slow: direct children of an average event through each
kernel; cross: those spread over the whole group (the instruments of one venue), each instrument getting its share p_i of the group's events, so
that the branching ratio fast + slow + cross does not grow with the number of instruments and an event costs O(1), not O(instruments). base_i = (1 -
branching) x the event rate of i over the last hours. Exponential kernels make the sums recursive: S <- S e^(-b dt) + w (Ozaki 1979).

Branching, two estimates. COUNTS: 1 - 1/sqrt(var/mean) of the counts in equal bins, no model (Hardiman, Bouchaud 2014, arXiv 1403.5227). FIT:
exponentially weighted online EM of the kernels' total weight with the shape kept: the mean probability that an event was triggered (Cappe, Moulines
2009). The absolute level has little meaning (fits give about 1 in every period: arXiv 1302.1405), so both are read as a percentile of their own last
30 days.

C use: the class Hawkes holds the arrays; push_c per liquidation, the *_c readers on demand, hawkes_plan once per horizon.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    HISTORY_SLICES = 30      # the oldest slice of the history is dropped as a whole
    HISTORY_BUCKETS = 128    # resolution of a percentile's argument: 1/128 of branching ratio

cpdef enum BranchingEstimate:
    BRANCHING_COUNTS = 0
    BRANCHING_FIT = 1

ctypedef struct hawkes_config_t:
    double fast              # branching ratios
    double slow
    double cross
    double fast_decay        # 1/s: ln 2 / half-life
    double slow_decay
    double base_decay
    double size_power
    double mark_max
    double prior_rate        # events a second and side, before any data
    double prior_events      # weight of the prior, in events
    double bin_keep          # weight that a bin loses to the next: 2**-(bin / half-life)
    double fit_step          # 1 / memory of the fit in events
    int64_t bin_ns
    int64_t slice_ns         # history / HISTORY_SLICES
    int32_t history_bins_min # before a percentile is known

ctypedef struct excitation_t:    # one side of one instrument, or of a group; as of ts
    int64_t ts
    double fast              # sum of w e^(-b_f age)
    double slow
    double count             # events weighted by 2**(-age / half-life of the baseline)
    double elapsed           # of a group: seconds since its first event, weighted alike

ctypedef struct hawkes_t:    # one instrument
    excitation_t side[2]     # LONG, SHORT
    double mark_mean         # of size**size_power
    double size_mean         # quote currency
    int64_t events
    int64_t bin              # index of the running bin; INT64_MIN before the first event
    int64_t slice            # newest slice of the history
    double first             # weighted moments of the counts of completed bins
    double second
    double weight
    double fit               # BRANCHING_FIT
    double counts            # BRANCHING_COUNTS; nan before 30 bins
    int32_t in_bin           # events
    int32_t group
    int32_t bins             # completed, at most 2**30
    uint32_t total[2][HISTORY_BUCKETS]
    uint16_t history[2][HISTORY_SLICES][HISTORY_BUCKETS]

ctypedef struct hawkes_group_t:
    excitation_t side[2]
    int32_t instruments

ctypedef struct hawkes_plan_t:   # coefficients of a horizon's readings, which are linear in the state; computed once
    double horizon_s
    double large_share       # of the events that count as large
    double mean[6]           # expected events: x base_i, fast_i, slow_i, and p_i x (base, fast, slow of the group)
    double quiet[6]          # log of the probability that none of them is large, likewise

cdef int hawkes_plan(hawkes_plan_t* out, const hawkes_config_t* g, double horizon_s, double large_share) except -1

cdef class HawkesConfig:
    cdef hawkes_config_t c
    cdef dict _given

cdef class Hawkes:
    cdef readonly HawkesConfig config
    cdef readonly int instruments
    cdef readonly int groups
    cdef hawkes_config_t g
    cdef hawkes_t* h
    cdef hawkes_group_t* group
    cdef int64_t now
    cdef double _project(self, const double* k, int32_t n, int side, int64_t now) noexcept nogil
    cdef int _checked(self, instrument, side, ts) except -1
    cdef void push_c(self, int32_t n, int64_t now, int8_t side, double notional) noexcept nogil
    cdef double intensity_c(self, int32_t n, int8_t side, int64_t now) noexcept nogil                  # events / s
    cdef double rate_c(self, int32_t n, int8_t side, int64_t now) noexcept nogil                       # events / s over the last hours: the baseline
    cdef double expected_c(self, const hawkes_plan_t* p, int32_t n, int8_t side, int64_t now) noexcept nogil       # events within the horizon
    cdef double next_large_c(self, const hawkes_plan_t* p, int32_t n, int8_t side, int64_t now) noexcept nogil     # probability; side 0: of either
    cdef double branching_c(self, int32_t n, int which) noexcept nogil                                 # nan while not known
    cdef double percentile_c(self, int32_t n, int which) noexcept nogil                                # 0..1 of its own history; nan while not known
    cdef void gap_c(self, int32_t n) noexcept nogil      # data of n is missing: the running bin is not counted
    cdef bytes save_c(self, int32_t n)
    cdef int load_c(self, int32_t n, bytes data) except -1
    cdef bytes save_groups_c(self)
    cdef int load_groups_c(self, bytes data) except -1
