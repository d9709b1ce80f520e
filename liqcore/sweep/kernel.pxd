"""Settings side by side: what becomes of every call, for all settings before the next one."""

from libc.stdint cimport int32_t, int64_t

from liqcore.sweep.records cimport bracket_t, call_t, phase_t, report_t, request_t, result_t, setting_t, terms_t
from liqcore.sweep.rows cimport columns_t
from liqcore.sweep.tables cimport entry_t, exit_t, fired_t, opening_t

ctypedef struct trial_t:         # one setting on its way through the calls
    int32_t entry                # its rows in the tables
    int32_t target
    int32_t stop
    int32_t close
    bint general                 # its brackets are left to life.pxd
    setting_t p                  # a copy: what is read together lies together
    double day                   # day of the last result, its net so far, peak of the cumulative net
    double today
    double peak

ctypedef struct block_t:         # what one thread works with
    const columns_t* m
    const terms_t* g
    const call_t* calls
    const int64_t* call_ts
    const int64_t* flawed        # calls with a reason of their own, before each call
    int64_t calls_n
    const phase_t* phases
    int64_t phases_n
    const setting_t* settings
    result_t* results
    trial_t* trials
    int64_t n
    int32_t* waits               # the call that each setting can answer next
    double* daily
    int64_t days
    int64_t first_day
    entry_t* entries
    exit_t* targets
    exit_t* stops
    exit_t* closes
    fired_t* fired               # stops by level: an open hash, where a later level takes the place of an earlier one
    int64_t fired_mask
    opening_t opening
    int64_t life_max             # longest time to live and longest hold
    bracket_t bracket

cdef class Market:
    cdef columns_t m
    cdef readonly object columns
    cdef tuple _alive            # what the pointers point into
    cdef object _fill(self, block_t* b, terms, settings, calls, phases)
    cdef object _ring(self, block_t* b)
