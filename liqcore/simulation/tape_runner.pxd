"""Walking a tape: the engine and the venue of a Paper, but only at the moments that can change something.

For every instrument with orders, a position or a bracket two price bounds say which trades and quotes matter; the pyramids of the tape find the next
one. The rows in between are folded: only the last trade and the last quote of them have an effect.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from liqcore.execution.account cimport Account
from liqcore.simulation.columns cimport rare_t, strip_t
from liqcore.engine cimport Engine
from liqcore.event cimport event_t
from liqcore.instrument cimport instrument_t
from liqcore.simulation.paper cimport Paper
from liqcore.policy cimport Policy
from liqcore.simulation.venue cimport SimVenue
from liqcore.simulation.tape cimport Tape

ctypedef struct bounds_t:        # a trade at or outside of these prices matters, a quote with ask <= low or bid >= high; ticks
    int64_t trade_low
    int64_t trade_high
    int64_t quote_low
    int64_t quote_high
    uint8_t every_trade
    uint8_t every_quote

ctypedef struct cursor_t:        # one instrument
    int64_t trades               # rows that engine and venue have received
    int64_t quotes
    bounds_t bounds
    int64_t hit_trade            # the next rows at the bounds; beyond the end if there is none
    int64_t hit_quote
    const int64_t* odd_trades    # rows that validation must check; ends with NEVER
    const int64_t* odd_quotes
    int64_t next_trade           # the next rows to stop at, for either reason
    int64_t next_quote
    int64_t next_ts              # the earlier of them; NEVER = none
    uint8_t quote_first          # it is the quote
    uint8_t watched              # on the list below
    uint8_t active               # has a bracket, orders or a position: must be kept up to date
    uint8_t calm                 # validation accepts all its events
    int64_t good_trades          # place of the last liquidation visited without an update of the market; -1 = none
    int64_t good_quotes

cdef class Walk:
    cdef readonly Paper paper
    cdef readonly Tape tape
    cdef readonly int64_t stops  # events and deadlines that were visited
    cdef Engine engine
    cdef SimVenue venue
    cdef Account account
    cdef int count
    cdef const strip_t* strips
    cdef const instrument_t* inst
    cdef const event_t* rare
    cdef const rare_t* place
    cdef int64_t rare_n
    cdef int64_t rare_next
    cdef bint moved              # liquidations are in a separate table
    cdef const event_t* moved_at
    cdef const rare_t* moved_place
    cdef int64_t moved_n
    cdef int64_t moved_next
    cdef const event_t* coming   # the next rare event, NULL = none is left
    cdef const rare_t* coming_place
    cdef cursor_t* cursors
    cdef int32_t* watch          # instruments that are active or have a row to stop at
    cdef int watch_n
    cdef int64_t at_ts           # position: instruments below at_instrument are done up to and including at_ts, those above it before at_ts
    cdef int32_t at_instrument
    cdef int64_t at_trades       # rows of at_instrument before the position
    cdef int64_t at_quotes
    cdef bint started
    cdef bint every_trade        # detectors or features want all of them
    cdef bint every_quote
    cdef bint plain              # detectors use the last price only, and there are no features
    cdef object judge            # the callable that answers questions, or None
    cdef list verdicts           # to come, in order: (ts, question, Judgment, confidence)
    cdef int64_t verdict_ts      # of the next one; NEVER = none
    cdef int64_t asked           # number of the latest question put to the judge
    cdef list _keep
    cdef int run_c(self, int64_t until, bint advance) except -1
    cdef int visit(self, int64_t due, int what, int64_t until, bint advance) except -1
    cdef int serve(self, int64_t due, int what) except -1
    cdef int step(self, int32_t n, bint rare) except -1
    cdef int put_questions(self) except -1
    cdef int hear(self) except -1
    cdef void find_coming(self) noexcept nogil
    cdef void pass_coming(self) noexcept nogil
    cdef void pass_tickers(self, int64_t end) noexcept nogil
    cdef int32_t select(self, int64_t* ts, bint* rare) noexcept nogil
    cdef int64_t undisturbed(self, int64_t due, int64_t until) noexcept nogil
    cdef int pass_liquidations(self, int64_t end, int64_t room) except -1
    cdef bint is_bare(self, int32_t n, const event_t* e) noexcept nogil
    cdef void bring_last(self, int32_t n, const rare_t* place) noexcept nogil
    cdef void look_ahead(self) noexcept nogil
    cdef bint leaves_by_phase(self, int32_t n) noexcept nogil
    cdef bint bare_deadline(self, int64_t due) noexcept nogil
    cdef void fold(self, int32_t n, int64_t trades, int64_t quotes) noexcept nogil
    cdef void catch_up(self, int32_t n) noexcept nogil
    cdef void catch_up_active(self) noexcept nogil
    cdef void catch_up_waiting(self, int64_t due) noexcept nogil
    cdef void catch_up_all(self) noexcept nogil
    cdef void refresh(self, int32_t n) noexcept nogil
    cdef void watch_over(self, int32_t n) noexcept nogil
    cdef void refresh_asked(self, int64_t since) noexcept nogil
    cdef void bound(self, int32_t n, bounds_t* b) noexcept nogil
    cdef void search(self, int32_t n, const bounds_t* b) noexcept nogil

cdef class MarketRefresh(Policy):
    cdef Walk walk
