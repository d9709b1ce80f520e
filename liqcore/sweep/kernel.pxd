"""Settings side by side: each call is processed for all settings before the next one."""

from libc.stdint cimport int32_t, int64_t

from liqcore.sweep.records cimport bracket_t, call_t, phase_t, report_t, request_t, result_t, setting_t, terms_t
from liqcore.sweep.rows cimport columns_t
from liqcore.sweep.tables cimport exit_t, level_t, opening_t

ctypedef struct trial_t:         # the state of one setting that a bracket uses
    int64_t ttl
    int64_t hold
    int64_t cooldown
    int32_t entry                # number of its entry
    int32_t general              # its brackets run in life.pxd
    int64_t row                  # of the setting and of its result
    int32_t target               # its rows in the tables
    int32_t stop
    int32_t close
    int32_t wins
    int32_t ended[4]             # brackets by their end: END_TTL and the three after it
    int64_t hold_ns
    int64_t hold_ns_max
    int64_t cooled               # calls during its cooldowns, counted as in `passed`
    int64_t midnight             # end of the day of the last result
    double gross                 # in the order of exit_t
    double fees
    double net
    double notional
    double net_squares
    double today                 # net of that day so far
    double peak                  # of the cumulative net
    double drawdown_max

ctypedef struct group_t:         # neighbouring settings with the same entry
    int32_t first
    int32_t last
    int32_t target               # the rows of targets and of stops added by it
    int32_t targets_end
    int32_t stop
    int32_t stops_end

ctypedef struct block_t:         # the data of one thread
    const columns_t* m
    const terms_t* g
    const call_t* calls
    const int64_t* call_ts       # NEVER behind the last one
    const int32_t* slot          # first call of each span of 2**slot_bits ns since the first one
    int64_t slot_bits
    int64_t slots
    const int64_t* passed        # before each call: number of calls, and in the upper half of those with a reason of their own
    int64_t calls_n
    const phase_t* phases
    int64_t phases_n
    const setting_t* settings
    result_t* results
    trial_t* trials
    int64_t n
    group_t* groups
    int64_t groups_n
    int64_t* take_profits        # of each row of targets
    int64_t* stop_losses         # of each row of stops
    int32_t* waits               # the next call that each setting can answer
    int32_t* free                # the settings that can answer a call
    double* daily
    int64_t days
    int64_t first_day
    exit_t* targets              # the tables
    exit_t* stops
    exit_t* closes
    level_t* levels              # first of stops, then of targets: by price; a later level overwrites an earlier one
    int64_t levels_mask
    opening_t opening
    int64_t life_max             # longest time to live and longest hold
    bracket_t bracket

cdef class Market:
    cdef columns_t m
    cdef readonly object columns
    cdef tuple _alive            # owners of the pointers' memory
    cdef object _fill(self, block_t* b, terms, settings, calls, phases)
