"""The records of a sweep: settings, calls, results, and one bracket on its way. They are the dtypes of records.py and grid.py.

The bracket has the state of execution/bracket.pxd and simulation/venue.pxd, reduced to a venue that always answers and answers in order.
"""

from libc.stdint cimport int64_t, uint8_t

cdef enum:
    ENTRY = 1                    # roles
    STOP = 2
    TARGET = 3
    CLOSE = 4
    ROLES = 5
    CREATE = 1                   # actions of requests
    AMEND = 2
    CANCEL = 3
    NONE = 0                     # the engine's known status of an order
    SENT = 1
    LIVE = 2
    ENDED = 3
    NEW = 1                      # reports
    REJECTED = 2
    CANCELLED = 3
    TRIGGERED = 4
    DONE = 5
    FILL = 8
    LIMIT_ENTRY = 1
    MARKET_ENTRY = 2
    REQUESTS_RUNAWAY = 600       # requests of one bracket after which the engine would latch a halt
    REPORTS = 4096               # reports on their way at most, as at the simulated venue
    ARRIVALS = 64
    ATTEMPTS_MAX = 5
    EXECUTIONS_MAX = 256
    REASON_QTY = 41
    REASON_NOTIONAL = 42
    REASON_STALE_DATA = 49
    REASON_COLLAR = 50
    REASON_QUOTE_ENDED = 54
    END_TTL = 60
    END_TARGET = 61
    END_STOP = 62
    END_MAX_HOLD = 63
    END_PHASE = 64
    END_POST_ONLY = 65
    END_VENUE = 69
    END_REDUCE = 70

cdef enum:
    NEVER = 0x7FFFFFFFFFFFFFFF
    SCALE = 100000000
    DAY_NS = 86400000000000
    ANSWER_NS = 5000000000
    LATE_NS = 60000000000
    WAIT_AGAIN_NS = 1000000000
    BACKOFF_NS = 100000000
    BACKOFF_MAX_NS = 30000000000

ctypedef struct setting_t:       # GRID_DTYPE
    int64_t entry_type
    int64_t entry_offset
    int64_t take_profit
    int64_t stop_loss
    int64_t trail
    int64_t entry_ttl_ns
    int64_t max_hold_ns
    int64_t cooldown_ns
    int64_t exit_phase
    int64_t requotes
    double notional

ctypedef struct terms_t:         # constants of a whole sweep
    int64_t touch
    int64_t order_latency
    int64_t ack_latency
    int64_t data_age_max
    int64_t quote_age
    int64_t print_wait
    int64_t half_spread
    int64_t slow
    int64_t tick_mantissa
    int64_t lot_mantissa
    int64_t lots_min
    int64_t lots_max
    int64_t requotes_max
    int64_t end
    double maker_fee
    double taker_fee
    double tick_power
    double lot_power
    double tick
    double lot
    double multiplier
    double notional_min
    double notional_max
    double collar

ctypedef struct call_t:          # a signal that the policy acts on, with values common to all settings
    int64_t ts
    int64_t timed
    int64_t trade
    int64_t quote
    int64_t side
    int64_t reference
    int64_t last
    int64_t reason
    int64_t ended
    int64_t stale
    int64_t closed
    int64_t sequence
    int64_t row

ctypedef struct phase_t:         # every signal of the instrument, for exits by phase
    int64_t ts
    int64_t timed
    int64_t trade
    int64_t quote
    int64_t phase
    int64_t sequence

ctypedef struct result_t:        # RESULT_DTYPE
    int64_t signals
    int64_t refused_open
    int64_t refused_cooldown
    int64_t refused_data
    int64_t refused_risk
    int64_t entries
    int64_t filled
    int64_t trades
    int64_t wins
    int64_t targets
    int64_t stops
    int64_t max_holds
    int64_t phases
    int64_t others
    int64_t unfilled_ttl
    int64_t unfilled_post_only
    int64_t unfilled_other
    int64_t entry_makers
    int64_t hold_ns
    int64_t hold_ns_max
    int64_t days
    int64_t runaways
    double gross
    double fees
    double net
    double net_squares
    double drawdown_max
    double daily_squares
    double notional
    int64_t open_side
    int64_t open_lots
    double open_price
    double open_fees
    int64_t lost

ctypedef packed struct trade_t:  # TRADE_DTYPE
    int64_t signal
    int64_t ts_signal
    int64_t ts_open
    int64_t ts_exit
    int64_t ts_flat
    int64_t lots
    double entry_price
    double exit_price
    double gross
    double fees
    double net
    signed char side
    uint8_t reason
    uint8_t entry_is_maker
    uint8_t open

ctypedef struct order_t:         # an order twice: the engine's state, and the venue's (from `live` on)
    int64_t status
    int64_t asked
    int64_t price
    int64_t qty
    int64_t filled
    int64_t attempt
    int64_t not_before
    int64_t ts_asked
    int64_t unknown
    int64_t triggered
    int64_t live
    int64_t at
    int64_t size
    int64_t done
    int64_t made
    int64_t taking
    int64_t wait
    int64_t place

ctypedef struct request_t:
    int64_t ts
    int64_t action
    int64_t role
    int64_t attempt
    int64_t price
    int64_t qty
    int64_t stop
    int64_t passive

ctypedef struct report_t:
    int64_t ts
    int64_t kind
    int64_t role
    int64_t attempt
    int64_t price
    int64_t lots
    int64_t maker
    int64_t reason
    double fee

ctypedef struct bracket_t:       # a bracket, its state at the venue, and its position in the market
    int64_t active
    int64_t side
    int64_t reference
    int64_t entered
    int64_t exited
    int64_t best
    int64_t best_row
    int64_t entry_deadline
    int64_t hold_deadline
    int64_t ts_open
    int64_t ts_exit
    int64_t end
    int64_t requotes
    int64_t entry_maker
    int64_t last_exit
    int64_t entry_end
    int64_t target_taker
    int64_t executions
    int64_t requests
    int64_t opened_at
    int64_t finished
    double entry_value
    double exit_value
    double fees
    int64_t position
    int64_t fired
    int64_t attached
    int64_t last
    int64_t bid
    int64_t ask
    int64_t now
    int64_t seen
    int64_t trade
    int64_t quote
    int64_t known
    int64_t next_trade
    int64_t next_quote
    int64_t next_ts
    int64_t wait_at
    int64_t asked_head
    int64_t asked_tail
    int64_t reports_head
    int64_t reports_tail
    int64_t lost
    order_t o[5]                 # by role
    request_t* asked             # rings of ARRIVALS requests and REPORTS reports on their way
    report_t* reports
