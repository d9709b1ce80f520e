"""The state of features: the plan of their names as C arrays, and the kernels of every instrument. No Python objects are used after open_c."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from liqcore.kernels.realised_map cimport DensityConfig, density_t
from liqcore.event cimport market_t
from liqcore.features.formulas cimport known_t
from liqcore.features.kernels cimport burst_t, candles_t, history_t, sums_t, track_t
from liqcore.features.log cimport bars_t, log_t
from liqcore.kernels.hawkes cimport Hawkes, hawkes_plan_t
from liqcore.instrument cimport instrument_t
from liqcore.kernels.estimated_map cimport PendingConfig, pending_t

cdef enum:                       # inputs of the kernels: of sums, tracks, and the maps
    FED_LIQUIDATIONS, FED_TRADES, FED_QUOTES, FED_DELEVERAGED, FED_PRICE, FED_INTEREST, FED_FUNDING, FED_PENDING, FED_DENSITY, FEEDS

ctypedef struct base_t:          # a feature without its transform
    int64_t window_ns
    int32_t formula              # Formula
    int32_t column               # of its kernel among those of one kind; -1 = none
    int32_t streams              # bits of event.Stream that it depends on
    int32_t stream               # the first of them by number
    int32_t fed                  # input of its kernel; -1 = no kernel, or a candle, or hawkes
    int32_t past                 # place of its log among those of present values, or of its candles among those kept for lags; -1 = neither
    uint8_t across               # reads other instruments too

ctypedef struct reader_t:        # one name asked for
    int64_t time_ns
    int64_t least                # samples from which on it is known
    int64_t room                 # changes that a lag keeps
    int32_t base
    int32_t history              # -1 = none
    int32_t transform            # Transform
    int32_t follower             # the set of kernels that follows with a delay; -1 = none
    uint8_t apart                # `least` counts independent samples
    uint8_t custom               # a user's function: see FeatureState.own

# An instrument has one row of present kernels, and one for each lag of a window: the followers. The logs feed the followers up to the time of a
# reading. A full log feeds its first entry to them before it is overwritten. Row of follower f: n + count * (1 + f).
cdef class FeatureState:
    cdef readonly tuple names        # canonical, in the order asked for
    cdef readonly uint32_t wants     # one bit (1 << Kind) for each kind of event that they need
    cdef readonly tuple instruments  # empty until open_c
    cdef readonly int64_t nbytes     # memory of the state
    cdef bytes made_of               # identity of a snapshot: the names, and the instruments in their order
    cdef object plan
    cdef list own                    # by name: (function, places of its needs), or None
    cdef object failure              # the exception of such a function
    cdef list order                  # kernels of each kind, by column
    cdef dict index                  # place of each name
    cdef dict places                 # of instruments' keys and symbols
    cdef int count
    cdef int rows                    # count * (1 + followers)
    cdef int followers
    cdef int columns[5]              # kernels of each kind an instrument has: sums, tracks, candles, bursts, histories
    cdef int streams[7]              # by input, the end of its sums (of liquidations, trades, quotes, deleveragings), or of its tracks
    cdef int bases
    cdef base_t* base
    cdef reader_t* reader
    cdef int32_t* base_of            # base of each history
    cdef int32_t* target             # instrument that reader r reads for instrument n: r * count + n
    cdef int32_t* bitcoin            # BTC's contract for each instrument; -1 = none
    cdef int32_t* fellow             # next instrument of the same asset, in a circle
    cdef known_t* known
    cdef sums_t* sums
    cdef track_t* tracks
    cdef candles_t* candles
    cdef burst_t* bursts
    cdef history_t* histories
    cdef Hawkes hawkes               # None if no name needs it; so the pointers below are NULL
    cdef hawkes_plan_t* horizons     # of each window of hawkes.next_large
    cdef pending_t* pending          # one an instrument
    cdef density_t* density
    cdef PendingConfig pending_config
    cdef DensityConfig density_config
    cdef double* pool                # rings of all of them
    cdef int64_t pool_bytes
    cdef log_t* logs                 # n * log_width + inputs, streams (their `since`), present values
    cdef log_t* prints               # of each venue: its liquidations, for hawkes.*
    cdef bars_t* bars                # n * bar_count + place
    cdef int64_t* cursors            # of a follower in each log of an input: (f * count + n) * FEEDS + input
    cdef int64_t* print_cursors      # f * venues + venue
    cdef int64_t* behind             # delay of each follower
    cdef int32_t* venue_of
    cdef int32_t* state_base         # base of each log of a present value
    cdef int32_t* bar_base
    cdef double* past                # memory of the logs
    cdef double* bar_cells           # and of candles, within it
    cdef int64_t bar_bytes
    cdef uint8_t* has_data              # by instrument: its liquidations are received
    cdef int log_width
    cdef bint logged                 # some name has a lag
    cdef int states
    cdef int bar_count
    cdef int venues
    cdef int last_state              # place of price.last and oi.oi among the present values; -1 = not there
    cdef int oi_state
    cdef int spread_state
    cdef list pending_rows           # rows that have a map
    cdef list density_rows
    cdef int without_data                 # instruments without any event yet; counted only for features of liquidations
    cdef int64_t started             # ns of the first event; -1 = none yet
    cdef int64_t due_across          # next sample of a history that reads several instruments
    cdef int64_t now                 # of push() and read() from Python, with the counters below
    cdef int64_t accepted
    cdef int64_t turned_away[128]    # by Reason
    cdef instrument_t* inst
    cdef market_t* market
    cdef int open_c(self, tuple instruments) except -1
    cdef bytes save_c(self)
    cdef int load_c(self, bytes data) except -1
    cdef list plain(self)
    cdef int _free(self) except -1
    cdef int _build_plan(self) except -1
    cdef int _build_kernels(self) except -1
    cdef int _build_links(self) except -1
    cdef int _build_maps(self) except -1
    cdef int _build_past(self) except -1
    cdef int _build_logs(self, dict asked, list candles, list sizes) except -1
    cdef int _count_without_data(self) except -1
    cdef list _maps(self)
    cdef int64_t _build_rings(self, int n, int64_t size, list whose, list rooms) except -1
    cdef list _logs(self)
