"""A request of the engine to a venue, as a Python value."""

from liqcore.argument cimport describe
from liqcore.event cimport POST_ONLY, REDUCE_ONLY, request_t

from liqcore.event import Action, OrderType, Role, Side


cdef class Request:
    """One order request: create, amend or cancel. `id` is ours and deterministic; quantities and prices as exact text are in qty_text, price_text and
    stop_text (None if there is none). An entry's stop must be attached to the order, or placed at once when the entry fills."""

    @staticmethod
    cdef Request of(const request_t* r, Instrument instrument):
        cdef Request out = Request.__new__(Request)
        out.c = r[0]
        out.instrument = instrument
        return out

    @property
    def ts(self):
        """Engine time at which it was decided, ns UTC."""
        return self.c.ts

    @property
    def id(self):
        """Our order id, the same after a restart: give it to on_order and on_fill."""
        return self.c.id

    @property
    def stop_id(self):
        """Id under which the attached stop of an entry is to be reported (on_order, on_fill)."""
        return (self.c.id & ~0xFFF) | 2

    @property
    def symbol(self):
        """Symbol of the contract, as the instrument has it."""
        return self.instrument.symbol

    @property
    def action(self):
        """An Action: create, amend or cancel."""
        return Action(self.c.action)

    @property
    def type(self):
        """An OrderType: limit, market or stop-market."""
        return OrderType(self.c.type)

    @property
    def role(self):
        """The Role of the order: entry, stop, target or close."""
        return Role(self.c.id & 15)

    @property
    def side(self):
        """LONG buys, SHORT sells."""
        return Side(self.c.side)

    @property
    def post_only(self):
        """Whether the venue must reject the order if it would take liquidity."""
        return bool(self.c.flags & POST_ONLY)

    @property
    def reduce_only(self):
        """Whether the order may only make a position smaller."""
        return bool(self.c.flags & REDUCE_ONLY)

    @property
    def qty(self):
        """Quantity in the venue's quantity units (base units / multiplier)."""
        return self.instrument.qty(self.c.qty)

    @property
    def price(self):
        """Limit price, or trigger of a stop, quote currency; None for a market order."""
        return self.instrument.price(self.c.price) if self.c.price else None

    @property
    def stop(self):
        """Trigger of the stop-loss attached to an entry, quote currency; None if there is none."""
        return self.instrument.price(self.c.stop) if self.c.stop else None

    @property
    def qty_text(self):
        """The quantity as exact decimal text with all decimals of the lot, as it goes to the venue."""
        return self.instrument.qty_text(self.c.qty)

    @property
    def price_text(self):
        """The price as exact decimal text with all decimals of the tick; None for a market order."""
        return self.instrument.price_text(self.c.price) if self.c.price else None

    @property
    def stop_text(self):
        """The attached stop's trigger as exact decimal text; None if there is none."""
        return self.instrument.price_text(self.c.stop) if self.c.stop else None

    def __repr__(self):
        return (f"Request({self.action.name} {self.role.name} {self.symbol} {'BUY' if self.c.side > 0 else 'SELL'} {self.qty_text}"
                f"{' @ ' + self.price_text if self.c.price else ''}{' stop ' + self.stop_text if self.c.stop else ''}"
                f"{' post-only' if self.post_only else ''}{' reduce-only' if self.reduce_only else ''}, id={self.c.id:#x})")


describe(Request, {"instrument": "The Instrument that it is about."})
