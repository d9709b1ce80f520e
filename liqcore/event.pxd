"""The one schema: input of the engine (event_t), state of a market (market_t), signals (signal_t), requests to a venue (request_t), and the audit
(audit_t). All are flat and without pointers. Each has a NumPy dtype that is compared with it at import (event.pyx)."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    LIQCORE_ABI = 8          # raised whenever a struct or an enum below changes
    STATE_ABI = 6            # its value at the last change of a struct in recordings, snapshots or state images: those since then are read
    ALL_INSTRUMENTS = -1     # event_t.instrument of an event that concerns every instrument (FEED, CONTROL, TIMER)
    TIME_MAX = 0x4000000000000000    # ns: 2116-02-20. Times lie in [0, TIME_MAX), so that sums and differences of times never overflow

cpdef enum Side:
    """LONG or SHORT. A liquidation has the side of the position that was closed by force. An order has LONG to buy and SHORT to sell; a
    trade has the side of its aggressor."""
    SHORT = -1               # liquidations: side of the position that was closed by force. Orders, trades: SELL
    LONG = 1                 # orders, trades (aggressor): BUY

cpdef enum Kind:
    """The kind of an event. It decides what the fields of the event mean (event.pxd)."""
    LIQUIDATION = 1          # price, qty; aux_price = notional in quote currency if the source states it, else 0; aux_qty = limit of the
                             #   forced order if stated (its fill is the price), else 0
    TRADE = 2                # price, qty; side = aggressor
    BBO = 3                  # price, qty = best bid; aux_price, aux_qty = best ask
    TICKER = 4               # price = mark price or 0, aux_price = index price or 0, qty = open interest in contracts or 0, aux_qty = funding rate;
                             #   0 = not stated; flags = the Streams that it does not state (a funding rate of 0 is a rate)
    TIMER = 5                # only ts_recv: time has passed
    FEED = 6                 # code = FeedState; the market-data feed of one instrument, or of all; flags = the Streams concerned, 0 = all of them
    ORDER = 7                # venue report: id = order, code = OrderStatus, flags = Reason, price, qty = resting quantity,
                             #   aux_qty = executed so far (cumulative; 0 if the venue does not say)
    FILL = 8                 # venue report: id = order, price, qty, aux_price = fee paid in quote, aux_qty = execution id (integer < 2**53),
                             #   code = FillReason, flags = FillFlag bits
    CONTROL = 9              # code = Control
    FUNDING = 10             # venue report: price = mark it was settled at, qty = position held (absolute), aux_price = amount paid (> 0) or received
                             #   in quote, aux_qty = rate, side = side of the position
    VERDICT = 11             # an outside judge's answer: id = number of the question (Engine.questions), code = Judgment; aux_qty = confidence,
                             #   1 to 3: entered with those of its batch; 0 = not stated: it alone, at once
    DELEVERAGE = 12          # a winner's position that the venue closed by auto-deleveraging: fields as of a LIQUIDATION; no detector sees it
    VENUE_STATE = 13         # a venue's own safety data; code = Statement, which determines the meaning of the fields

cpdef enum Stream:           # bits: the streams of an instrument; each has its own time of receipt and its own validity (market.pxd)
    """Bits: the data streams of an instrument. Each stream has its own time of receipt and its own validity."""
    STREAM_LIQUIDATION = 1
    STREAM_TRADE = 2
    STREAM_QUOTE = 4
    STREAM_MARK = 8
    STREAM_INDEX = 16
    STREAM_FUNDING = 32
    STREAM_OPEN_INTEREST = 64
    STREAM_VENUE = 128       # VENUE_STATE. A DELEVERAGE comes with the liquidations

cdef enum:
    STREAM_ALL = 255

cpdef enum Statement:        # what a VENUE_STATE states
    """The content of an event of kind VENUE_STATE: price limits or the insurance pool."""
    STATES_LIMITS = 1        # price = the highest price of a buy order, aux_price = the lowest of a sell order; 0 = none
    STATES_POOL = 2          # qty = balance of the insurance pool behind the contract, in its coin, of any sign; aux_qty = share of it lost in 8 h;
                             #   aux_price = distance to auto-deleveraging: 1 = far, 0 = it runs or may run; flags = PoolFlags of what is not stated

cpdef enum PoolFlag:
    """Bits: the values that a statement about the insurance pool does not contain."""
    POOL_NO_BALANCE = 1
    POOL_NO_DRAWDOWN = 2
    POOL_NO_DISTANCE = 4

cpdef enum Judgment:         # a judge confirms an intent of a policy, or not; it never chooses side, size or price
    """The answer of an outside judge to a question. A judge never chooses side, size or price."""
    JUDGE_CONFIRM = 1
    JUDGE_VETO = 2
    JUDGE_HOLD = 3           # wait: no entry, though nothing is against it
    JUDGE_FAILED = 4         # it was asked and gave no valid answer: unjudged, without further waiting

cpdef enum Phase:
    """The phase of a cascade. A detector reports each change of phase as a Signal."""
    IDLE = 0
    BUILDING = 1
    ACTIVE = 2
    DECELERATING = 3
    EXHAUSTED = 4

cpdef enum Completeness:
    """How much of the liquidations a venue's public feed contains: all, a sample, or unknown."""
    COMPLETENESS_UNKNOWN = 0
    COMPLETENESS_FULL = 1
    COMPLETENESS_CENSORED = 2

cpdef enum FeedState:
    """The state of a market-data feed: connected, disconnected, or connected with data known to be missing."""
    FEED_UP = 1
    FEED_DOWN = 2            # connection lost: events meanwhile are unknown
    FEED_GAP = 3             # data is known to be missing though the connection is up

cpdef enum Control:
    """A command to the engine (Engine.on_control) from an operator, or from the driver that closes and opens gates."""
    CONTROL_HALT = 1         # no new entries until RESUME; exits continue
    CONTROL_RESUME = 2
    CONTROL_FLATTEN = 3      # halt, cancel entries, close positions at market
    CONTROL_PAUSE = 4        # flags = Gate that closes, for one instrument or for all: no entries while any gate is closed; what rests may stay
    CONTROL_READY = 5        # flags = Gate that opens
    CONTROL_LOWER = 6        # flags = Limit, price = its new value: takes effect only where it is stricter than the one in force

cpdef enum Limit:            # the limits of Risk, each in the unit of its argument
    """The limits of Risk that Engine.on_limit can make stricter during a run. Each has the unit of its argument of Risk."""
    LIMIT_ORDER_NOTIONAL = 1
    LIMIT_EXPOSURE = 2
    LIMIT_LEVERAGE = 3
    LIMIT_POSITIONS = 4
    LIMIT_ORDERS_PER_MINUTE = 5
    LIMIT_ORDERS_PER_SIGNAL = 6
    LIMIT_DAILY_LOSS = 7
    LIMIT_WEEKLY_LOSS = 8
    LIMIT_DATA_AGE = 9
    LIMIT_EVENT_AGE = 10
    LIMIT_COLLAR = 11
    LIMIT_SIZE = 12          # factor on the size of entries; the fill watch sets it, no event may

cpdef enum Gate:             # why an entry at the venue is not safe at present; unlike a halt it opens by itself
    """A reason why the venue cannot be trusted with an entry at present. Unlike a halt, a gate opens without an operator."""
    GATE_START = 1           # not reconciled since the start
    GATE_PRIVATE = 2         # no private stream: fills would not be received
    GATE_ORDERS = 3          # no way to send orders
    GATE_RECONCILE = 4       # the venue's state differs from ours, or it cannot be read
    GATE_UNKNOWN = 5         # an order whose outcome is unknown
    GATE_CLOCK = 6           # our clock is too far from the venue's
    GATE_RATE = 7            # the venue refuses temporarily: rate limit, ban, overload, maintenance
    GATE_DISK = 8            # too little room for state and recording
    GATE_STALL = 9           # the event loop stood still
    GATE_SYMBOL = 10         # the venue does not trade this instrument at the moment, or its filters are unknown
    GATE_MARKET = 11         # crossed or stale market, mark far from last
    GATE_LATE = 12           # trades arrive later than usual, by the venue's own times: prices are old when they arrive
    GATE_HOURS = 13          # outside the hours or days of the timetable. This gate and the next follow from the time alone; no event may set them
    GATE_BLACKOUT = 14       # a window of the timetable: news, maintenance

cpdef enum OrderStatus:
    """The status of one of our orders, as the venue reports it (Engine.on_order)."""
    ORDER_NEW = 1            # the venue has it (resting, or a stop waiting for its trigger)
    ORDER_REJECTED = 2
    ORDER_CANCELLED = 3
    ORDER_TRIGGERED = 4      # a stop has been triggered and is now a market order
    ORDER_DONE = 5           # nothing more will come: completely filled
    ORDER_UNKNOWN = 6        # outcome of the request is unknown: counts as exposure until the venue has been queried
    ORDER_REFUSED = 7        # an amend or cancel was refused: the order is as it was (REJECTED = it was never created)

cpdef enum FillReason:
    """The reason why the simulated venue filled an order. Fills of a real venue have FILL_CROSS."""
    FILL_CROSS = 1           # taker: met a resting order on arrival
    FILL_THROUGH = 2         # maker: a trade strictly beyond our price
    FILL_TOUCH = 3           # maker: a trade at our price (model 'touch')
    FILL_QUEUE = 4           # maker: the queue ahead of us was consumed
    FILL_STOP = 5            # taker: a triggered stop
    FILL_TIMEOUT = 6         # taker: closed because max hold elapsed
    FILL_LIQUIDATED = 7      # taker: the venue closed the position by force (role ROLE_LIQUIDATION)
    FILL_CLOSE = 8           # taker: closed at market for another reason than time (phase, control, no protection)

cpdef enum FillFlag:         # bits of event_t.flags of a FILL. A taker without FILL_PRINT and FILL_MOVED met a live quote
    """Bits of a fill: maker or taker, and the price of a taker where no quote was valid."""
    FILL_MAKER = 1
    FILL_PRINT = 2           # no live quote: at the first later trade of an aggressor of the order's own side
    FILL_MOVED = 4           # no live quote and no such trade in time: at the last trade, moved by the spread against the order

cpdef enum Role:             # the low 4 bits of an order id: what the order is for
    """The purpose of an order: the low 4 bits of its id."""
    ROLE_ENTRY = 1
    ROLE_STOP = 2
    ROLE_TARGET = 3
    ROLE_CLOSE = 4
    ROLE_LIQUIDATION = 5     # not ours: the venue's own order that closes our position by force; it comes as FILLs under the bracket's sequence
    ROLE_OUTSIDE = 6         # not ours: somebody else reduced our position (a person, another program, ADL); FILLs under the bracket's sequence

cpdef enum Action:
    """The operation of a request: create, amend or cancel an order."""
    ACTION_CREATE = 1
    ACTION_AMEND = 2
    ACTION_CANCEL = 3

cpdef enum OrderType:
    """The type of an order: limit, market, or a stop that becomes a market order."""
    ORDER_LIMIT = 1
    ORDER_MARKET = 2
    ORDER_STOP_MARKET = 3

cpdef enum RequestFlag:
    """Bits of a request: post-only, reduce-only."""
    POST_ONLY = 1
    REDUCE_ONLY = 2

cpdef enum SignalFlag:
    """Bits of a signal: reasons to trust it less."""
    SIGNAL_UNCERTAIN = 1     # the feed had a gap and the detector has not re-warmed: information only, never an entry
    SIGNAL_STALE = 2         # the event behind it reached us later than max_age: never an entry
    SIGNAL_CENSORED = 4      # the feed shows only a sample of the liquidations
    SIGNAL_MARK_NOTIONAL = 8 # notional at mark (or last trade) instead of the reported price

cpdef enum Reason:           # why something was refused, rejected, cancelled or not done; shared by validation, risk, bracket and venue
    """The reason why something was refused, rejected, cancelled or not done. Validation, policy, risk, bracket and venue share these numbers.
    0 = OK."""
    OK = 0
    # validation
    BAD_INSTRUMENT = 1
    BAD_KIND = 2
    BAD_SIDE = 3
    BAD_PRICE = 4            # NaN, inf, zero or negative
    BAD_QTY = 5
    BAD_TIME = 6             # ts_recv went back, or a time before 1970 or after 2116
    BAD_BAND = 7             # price implausibly far from the last good one
    BAD_BOOK = 8             # crossed book
    BAD_CODE = 9
    # the policy and the bracket
    NO_TRADE = 20            # the policy saw the signal and wants no trade
    PHASE = 21               # the policy does not act in this phase
    BRACKET_OPEN = 22        # one open bracket per instrument
    COOLDOWN = 23
    UNCERTAIN = 24           # feed gap: detector not re-warmed
    STALE_EVENT = 25         # the event behind the signal is too old
    NO_PRICE = 26            # no last trade to place an order at
    BAD_BRACKET = 27         # the policy's bracket contradicts itself
    NETTED = 28              # opposite intents of one moment on one instrument cancelled each other
    ASK_LATER = 29           # the policy wants to be asked again
    POLICY_LEAVE = 30        # the policy wants its position closed
    WEAKER = 31              # not more confident than the bracket that is open
    JUDGING = 32             # it waits for an outside verdict
    VETOED = 33
    UNJUDGED = 34            # no verdict came in time: no entry
    REPLACING = 35           # waits until the weaker bracket that is open has been closed
    # risk
    HALTED = 40
    RISK_QTY = 41            # below the venue's minimum after rounding
    RISK_NOTIONAL = 42       # one order too large
    RISK_EXPOSURE = 43       # all positions and open entries together too large
    RISK_POSITIONS = 44      # too many open brackets
    RISK_RATE = 45           # orders per minute
    RISK_PER_SIGNAL = 46     # orders per signal
    RISK_DAILY_LOSS = 47
    RISK_WEEKLY_LOSS = 48
    RISK_STALE_DATA = 49     # no fresh market data for this instrument
    RISK_COLLAR = 50         # order price too far from the market
    RISK_LEVERAGE = 51
    NOT_READY = 52           # a gate is closed (Gate): see CONTROL_PAUSE
    RISK_GUARD = 53          # refused by the guard before the send, after risk had approved
    QUOTE_ENDED = 54         # there were quotes, and the last one is no longer valid
    STOP_PASSED = 55         # the guard: the market is already beyond the stop of the entry
    # why an order or position ended
    END_TTL = 60             # the entry's time to live ended, and it was cancelled
    END_TARGET = 61
    END_STOP = 62
    END_MAX_HOLD = 63
    END_PHASE = 64           # the cascade reached the phase of exit_phase
    END_POST_ONLY = 65       # post-only order would have crossed
    END_CONTROL = 66         # kill switch or operator
    END_UNPROTECTED = 67     # the stop was rejected or missing: closed at market
    END_REPLACED = 68
    END_VENUE = 69           # the venue cancelled or rejected it
    END_REDUCE_ONLY = 70     # nothing left to reduce
    END_LIQUIDATED = 71      # the venue liquidated the position
    END_OUTSIDE = 72         # somebody else closed it
    END_POLICY = 73          # the policy closed it

ctypedef struct event_t:     # 64 bytes
    int64_t ts_event         # the venue's time, ns UTC
    int64_t ts_recv          # our time of receipt, ns UTC; the engine's time
    double price
    double qty               # base units (contracts for contract venues; the instrument knows the multiplier)
    double aux_price
    double aux_qty
    int64_t id               # order id of a venue report, else the venue's sequence or 0
    int32_t instrument       # index into the engine's instruments
    uint8_t kind
    int8_t side
    uint8_t flags
    uint8_t code

ctypedef struct signal_t:    # 88 bytes
    int64_t ts               # engine time (ts_recv of the event, or the deadline that passed), ns
    int64_t ts_start         # first large event of the cascade, ns
    double long_notional     # of the large events of this cascade
    double short_notional
    double threshold         # threshold of the latest large event (quantile, or the floor if higher)
    double z                 # z-score of the current segment's notional against the baseline
    double score             # 0..10, uncalibrated
    double price             # last trade price, or the event's own where none is known
    double rolling           # notional of all liquidations in the last decay window
    int32_t instrument
    int32_t count            # large events so far
    uint8_t detector         # place in Engine.detectors, from 1
    uint8_t phase
    int8_t side              # dominant liquidated side
    uint8_t flags
    int32_t sequence         # number of the cascade on this instrument

ctypedef struct request_t:   # 64 bytes
    int64_t ts               # engine time at which it was decided, ns
    int64_t id               # our order id: see bracket.pxd
    int64_t price            # ticks: limit price, or trigger of a stop; 0 for market
    int64_t qty              # lots
    int64_t stop             # ticks: stop-loss attached to an entry; 0 = none
    int64_t cause            # audit sequence of the decision
    int32_t instrument
    int8_t side              # LONG = buy
    uint8_t action
    uint8_t type
    uint8_t flags
    int64_t reserved         # a close: Reason of the exit, which a simulated venue repeats in its fill; an entry: the price in ticks that it was
                             #   sized by; else 0

# The content of an audit record, one struct for each kind. audit.pyx makes a NumPy dtype of the same names from it. Prices and money in quote
# currency, quantities in base units, unless the name says otherwise. A policy or a detector is named by its place in the engine, from 1; 0 = none.

ctypedef struct audit_refused_t:     # phase = Kind
    double price
    double qty
    double aux_price
    double aux_qty
    double reference_price   # the last good one
    double ts_recv_ns_part
    double ts_recv_s
    double refused_count     # for this reason so far

ctypedef struct audit_signal_t:      # phase = Phase, id = first large event of the cascade, ns
    double long_notional
    double short_notional
    double threshold
    double z
    double score
    double price
    int32_t count
    int32_t detector
    double rolling

ctypedef struct audit_policy_t:      # a bracket that a policy wants; phase = Phase
    double reference_price   # price that the entry offset counts from
    double entry_offset
    double take_profit
    double stop_loss
    double notional
    double entry_ttl_s
    double max_hold_s
    int32_t confidence
    int32_t policy

ctypedef struct audit_declined_t:    # a policy's answer that is no bracket: Reason NO_TRADE, ASK_LATER or POLICY_LEAVE; phase = Phase
    double value             # of the condition; nan = not known
    double threshold         # nan = there is none
    char condition[32]       # its name, UTF-8, zero-padded; empty = the policy named none
    double later_s           # ASK_LATER: seconds until the policy is asked again
    int32_t unused
    int32_t policy

ctypedef struct audit_risk_t:        # phase = Phase
    double notional
    double limit
    double exposure
    double open_brackets
    double orders_last_minute
    double equity
    double day_loss
    double week_loss

ctypedef struct audit_gave_way_t:     # an intent that another one stops: Reason NETTED, WEAKER, BRACKET_OPEN or REPLACING; phase = Phase
    double notional
    int32_t other_confidence # of the intent or bracket that won, or (REPLACING) that it replaces
    int32_t other_policy
    double other_wish        # sequence of that intent's AUDIT_POLICY record; 0 = it is the open bracket
    double other_bracket     # that bracket's sequence on the instrument, as in its AUDIT_BRACKET records

ctypedef struct audit_request_t:     # phase = Action
    double price
    double qty
    double stop_price
    double order_type
    double request_flags
    double sequence
    double last_price
    double role

ctypedef struct audit_order_t:       # phase = OrderStatus
    double price
    double qty
    double role
    double latency_ms

ctypedef struct audit_fill_t:        # phase = FillReason
    double price
    double qty
    double fee
    double flags
    double position
    double entry_price
    double execution_id
    double role

ctypedef struct audit_bracket_t:     # phase = BracketState
    double entry_price
    double target_price
    double stop_price
    double qty
    double filled
    double position
    double deadline_s
    double sequence

ctypedef struct audit_trade_t:       # phase = Side
    double entry_price
    double exit_price
    double qty
    double gross
    double fees
    double net
    double hold_s
    double entry_is_maker

ctypedef struct audit_feed_t:        # phase = FeedState
    double gap_s
    double uncertain_until_s
    double streams

ctypedef struct audit_limit_t:       # phase = Control
    double value
    double limit
    double equity
    double gate
    double gates_closed
    double which             # Limit of a CONTROL_LOWER; window of the timetable of a CONTROL_PAUSE

ctypedef struct audit_lapsed_t:      # phase = Phase
    double long_notional
    double short_notional
    double threshold
    int32_t count
    int32_t detector

ctypedef struct audit_large_t:       # phase = Phase
    double notional
    double threshold
    int32_t count
    int32_t detector
    double long_notional
    double short_notional
    double price
    double qty
    double rolling

ctypedef struct audit_alarm_t:       # phase = Alarm
    double value
    double limit
    double sample

ctypedef struct audit_funding_t:     # phase = Side
    double mark_price
    double qty
    double paid
    double rate

ctypedef struct audit_judge_t:       # phase = Judgment
    double question
    double waited_s
    double judge_s
    int32_t confidence
    int32_t policy
    double notional
    double reference_price
    double last_price
    double stop_loss

ctypedef union audit_body_t:         # 64 bytes
    double x[8]
    audit_refused_t refused
    audit_signal_t signal
    audit_policy_t policy
    audit_declined_t declined
    audit_risk_t risk
    audit_gave_way_t gave_way
    audit_request_t request
    audit_order_t order
    audit_fill_t fill
    audit_bracket_t bracket
    audit_trade_t trade
    audit_feed_t feed
    audit_limit_t limit
    audit_lapsed_t lapsed
    audit_large_t large
    audit_alarm_t alarm
    audit_funding_t funding
    audit_judge_t judge

ctypedef struct audit_t:     # 96 bytes
    int64_t seq
    int64_t ts               # engine time, ns
    int64_t id               # order id, or ts_event of the event behind it, or 0
    int32_t instrument
    uint8_t kind             # AuditKind (audit.pxd): which member of `of` it is
    uint8_t reason           # Reason
    uint8_t phase            # Phase, OrderStatus, Action, ...: see the structs
    int8_t side
    audit_body_t of

cdef enum:
    SPREADS = 16             # quotes whose spread is remembered

ctypedef struct market_t:    # the known market of one instrument, in quote currency; 0 = never stated. market.pxd updates and reads it
    double last
    double bid
    double bid_qty
    double ask
    double ask_qty
    double mark
    double index
    double open_interest
    double funding
    int64_t ts_trade         # of receipt, ns; 0 = never. One for each stream
    int64_t ts_quote
    int64_t ts_mark
    int64_t ts_index
    int64_t ts_funding
    int64_t ts_open_interest
    int64_t ts_liquidation
    int64_t quote_until      # ns: bid and ask are valid up to and including this moment, unless ended before; 0 = never quoted, or ended
    int64_t quote_doubt      # ns: a trade contradicts the quote, and a new quote may follow until this moment; 0 = no contradiction
    int64_t quotes           # so far
    int32_t broken           # bits of Stream: interrupted, and without an event since
    int32_t last_side        # aggressor of the last trade
    double spreads[16]       # of the latest quotes, at their number modulo SPREADS
    double good              # validation: last accepted price of any kind
    double suspect           # validation: an implausible price that may be confirmed by the next ones
    int32_t suspects
    int32_t gates            # one bit (1 << Gate) a closed gate: no entries while any is closed

cdef class Signal:
    cdef signal_t c
    @staticmethod
    cdef Signal of(const signal_t* s)
