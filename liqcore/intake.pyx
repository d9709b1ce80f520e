"""Events as method calls: see intake.pxd. Whatever is wrong with one is for the door to refuse and count; nothing here raises for bad data."""

from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact

from liqcore.event cimport *


cdef class Intake:
    """The methods by which an Engine is fed. Instruments are names or indices; times ns UTC; each call returns the signals that it caused."""

    cdef tuple enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                     double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code):
        raise NotImplementedError("Intake: only an Engine takes events")

    cdef int _index(self, object instrument) except? -1:
        """Index of a name or an index; an unknown one becomes an index that the door refuses and counts."""
        cdef int overflow = 0
        cdef long n
        if PyLong_CheckExact(instrument):   # the usual one, without comparing Python objects
            n = PyLong_AsLongAndOverflow(instrument, &overflow)
            return <int> n if overflow == 0 and -1 <= n < 0x7FFFFFFF else 0x7FFFFFFF
        if isinstance(instrument, str):
            return self.index.get(instrument, 0x7FFFFFFF)
        return instrument if -1 <= instrument < 0x7FFFFFFF else 0x7FFFFFFF

    def on_liquidation(self, int64_t ts_event, int64_t ts_recv, instrument, int side, double price, double qty, double notional=0.0) -> tuple:
        """A forced close: side LONG (+1) or SHORT (-1) of the position. notional in quote currency if the source states it. -> signals"""
        return self.enter(ts_event, ts_recv, self._index(instrument), LIQUIDATION, side, price, qty, notional, 0.0, 0, 0, 0)

    def on_trade(self, int64_t ts_event, int64_t ts_recv, instrument, int side, double price, double qty) -> tuple:
        """A public trade; side = aggressor, +1 bought."""
        return self.enter(ts_event, ts_recv, self._index(instrument), TRADE, side, price, qty, 0.0, 0.0, 0, 0, 0)

    def on_bbo(self, int64_t ts_event, int64_t ts_recv, instrument, double bid, double bid_qty, double ask, double ask_qty) -> tuple:
        """Best bid and ask."""
        return self.enter(ts_event, ts_recv, self._index(instrument), BBO, 0, bid, bid_qty, ask, ask_qty, 0, 0, 0)

    def on_ticker(self, int64_t ts_event, int64_t ts_recv, instrument, double mark, double index=0.0, double open_interest=0.0,
                  funding=None) -> tuple:
        """Mark and index price, open interest (base units), funding rate per interval. 0 = not stated; of the rate, for which 0 is a value, None."""
        cdef uint8_t unstated = STREAM_FUNDING if funding is None else 0
        return self.enter(ts_event, ts_recv, self._index(instrument), TICKER, 0, mark, open_interest, index, 0.0 if funding is None else funding, 0,
                          unstated, 0)

    def on_feed(self, int64_t ts_event, int64_t ts_recv, state, instrument=ALL_INSTRUMENTS, streams=0) -> tuple:
        """The feed's FeedState; ts_event = last good data; streams: the Stream bits that it is about, 0 = all. What these streams said no longer
        holds after DOWN or GAP; where liquidations are among them, nothing is entered until the feed was UP for a detector window."""
        return self.enter(ts_event, ts_recv, self._index(instrument), FEED, 0, 0.0, 0.0, 0.0, 0.0, 0, int(streams), int(state))

    def on_control(self, int64_t ts_recv, control, gate=0, instrument=ALL_INSTRUMENTS) -> tuple:
        """An operator's Control (HALT, RESUME, FLATTEN), or a Gate that closes (PAUSE) or opens (READY) for one instrument or for all."""
        return self.enter(ts_recv, ts_recv, self._index(instrument), CONTROL, 0, 0.0, 0.0, 0.0, 0.0, 0, int(gate), int(control))

    def on_limit(self, int64_t ts_recv, limit, double value) -> tuple:
        """A Limit of risk becomes stricter, in the unit of Risk's argument. What would loosen it changes nothing; see Risk.limits_now."""
        return self.enter(ts_recv, ts_recv, ALL_INSTRUMENTS, CONTROL, 0, value, 0.0, 0.0, 0.0, 0, int(limit), CONTROL_LOWER)

    def on_order(self, int64_t ts_event, int64_t ts_recv, int64_t order, status, reason=0, double qty=0.0, double price=0.0,
                 double filled=0.0) -> tuple:
        """The venue's report on one of our orders: OrderStatus, the Reason if it ended, resting quantity. filled: executed so far; give it where the
        venue says it: an order that ended with more executed than has been reported is waited for, whatever the order of the reports."""
        return self.enter(ts_event, ts_recv, <int> (order >> 40), ORDER, 0, price, qty, 0.0, filled, order, int(reason), int(status))

    def on_fill(self, int64_t ts_event, int64_t ts_recv, int64_t order, double price, double qty, double fee, int64_t execution,
                bint maker=False, reason=FILL_CROSS) -> tuple:
        """One execution of one of our orders; execution: the venue's id as an integer below 2**53, repeated reports are counted once."""
        return self.enter(ts_event, ts_recv, <int> (order >> 40), FILL, 0, price, qty, fee, <double> execution, order, FILL_MAKER if maker else 0,
                          int(reason))

    def on_funding(self, int64_t ts_event, int64_t ts_recv, instrument, int side, double mark, double qty, double paid, double rate=0.0) -> tuple:
        """Funding of a position (side, qty held) at ts_event: paid > 0, received < 0, in quote currency. A repeated report is counted once."""
        return self.enter(ts_event, ts_recv, self._index(instrument), FUNDING, side, mark, qty, paid, rate, 0, 0, 0)

    def on_verdict(self, int64_t ts_recv, int64_t question, judgment) -> tuple:
        """An outside judge's Judgment of a question (Engine.questions): JUDGE_CONFIRM or JUDGE_VETO. Late, repeated and unknown ones are counted."""
        return self.enter(ts_recv, ts_recv, ALL_INSTRUMENTS, VERDICT, 0, 0.0, 0.0, 0.0, 0.0, question, 0, int(judgment))

    def advance(self, int64_t ts) -> tuple:
        """Let time pass up to ts (ns) without an event: deadlines are served. Going back is refused and counted."""
        return self.enter(ts, ts, ALL_INSTRUMENTS, TIMER, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0)
