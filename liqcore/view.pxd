"""The present state of one instrument in one flat row, for observers of a run. Reading changes nothing."""

from libc.math cimport NAN
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from liqcore.detectors.cascade cimport CascadeDetector, cascade_t, cascade_threshold
from liqcore.event cimport market_t
from liqcore.execution.account cimport Account, position_t
from liqcore.execution.order_state cimport BRACKET_FLAT, NEVER, O_LIVE, bracket_position, bracket_state_t
from liqcore.instrument cimport instrument_t, price_of, qty_of
from liqcore.kernels.zscore cimport segz_value

ctypedef struct view_t:
    int64_t ts_trade             # of receipt, ns; 0 = never
    int64_t ts_quote
    int64_t ts_mark
    int64_t quote_until          # ns: bid and ask are valid up to and including this moment; 0 = they are not
    int64_t deadline             # ns: when the entry is cancelled, or the position is closed for its age; 0 = no bracket
    double last                  # quote currency; 0 = never stated
    double bid
    double ask
    double mark
    double threshold             # of the first cascade detector; nan during its warm-up, and without one
    double long_notional         # liquidated in its running cascade, quote currency
    double short_notional
    double z                     # of its running segment, as of the last liquidation or wake-up
    double position              # base units, signed
    double entry_price           # mean price of the position; 0 = none
    double unrealized            # at the price that the account is valued at, quote currency
    double realized              # since the start, gross
    double best                  # best trade price since the first fill; 0 = no position
    double stop                  # trigger price; 0 = no stop
    double target                # limit price; 0 = no target
    int32_t count                # large liquidations in the running cascade
    int32_t gates                # one bit (1 << Gate) a closed gate
    int32_t interrupted          # bits of Stream: interrupted, and without an event since
    uint8_t phase                # Phase of the first cascade detector
    uint8_t state                # BracketState
    uint8_t stop_confirmed       # the venue has confirmed the stop
    int8_t side                  # of the bracket; 0 = none

cdef inline double _price(int64_t ticks, const instrument_t* i) noexcept nogil:
    return price_of(i, ticks) if ticks > 0 else 0.0

cdef inline void view_row(view_t* v, const instrument_t* i, const market_t* m, const bracket_state_t* s, Account account,
                          CascadeDetector d, int n) noexcept:
    """Fill the row of instrument n. d: the first cascade detector, or None."""
    cdef const position_t* p = &account.positions[n]
    cdef cascade_t* c
    cdef int64_t held = bracket_position(s)
    v.ts_trade, v.ts_quote, v.ts_mark, v.quote_until = m.ts_trade, m.ts_quote, m.ts_mark, m.quote_until
    v.last, v.bid, v.ask, v.mark = m.last, m.bid, m.ask, m.mark
    v.gates, v.interrupted = m.gates, m.broken
    v.threshold = v.long_notional = v.short_notional = v.z = 0.0
    v.count, v.phase = 0, 0
    if d is not None:
        c = &d.c[n]
        v.threshold = cascade_threshold(c, &d.config.c)
        v.long_notional, v.short_notional = c.p.long_notional, c.p.short_notional
        v.z = segz_value(&c.z)
        v.count, v.phase = c.p.count, c.p.phase
    else:
        v.threshold = NAN
    v.position = qty_of(i, p.lots)
    v.entry_price = p.value / <double> p.lots * i.tick if p.lots != 0 else 0.0
    v.unrealized, v.realized = account.unrealized(n), p.realized
    v.state = s.state
    v.deadline, v.best, v.stop, v.target, v.stop_confirmed, v.side = 0, 0.0, 0.0, 0.0, 0, 0
    if s.state != BRACKET_FLAT:
        v.side = s.spec.side
        v.deadline = s.hold_deadline if held != 0 and s.hold_deadline < <int64_t> NEVER else s.entry_deadline if held == 0 else 0
        v.best = _price(s.best, i) if held != 0 else 0.0
        v.stop, v.target = _price(s.stop.price, i), _price(s.target.price, i)
        v.stop_confirmed = s.stop.status == O_LIVE
