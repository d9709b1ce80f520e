"""Matching at the emulated venue: new orders, and the effect of market events on resting orders."""

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import Account
from liqshell.emulator.exchange.ledger import Ledger
from liqshell.emulator.exchange.order_books import Books
from liqshell.emulator.exchange.order_entry import OrderRules
from liqshell.emulator.exchange.orders import Ids, Order
from liqshell.emulator.exchange.parameters import WATCHES, Fields, Listing
from liqshell.emulator.exchange.position_stops import PositionStops
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.settings import Settings

POST_ONLY_REASON = "EC_PostOnlyWillTakeLiquidity"
NOTHING_THERE = "EC_NoImmediateQtyToFill"
NOT_ALL_THERE = "EC_CancelForNoFullFill"


class Matching:
    """Orders of every account."""

    def __init__(
        self,
        listing: Listing,
        settings: Settings,
        matcher: Matcher,
        ids: Ids,
        positions: Positions,
        stream: PrivateStream,
        books: Books,
        ledger: Ledger,
        rules: OrderRules,
    ) -> None:
        self.listing, self.settings, self.matcher, self.positions, self.stream = listing, settings, matcher, positions, stream
        self.books, self.ledger, self.rules = books, ledger, rules
        self.stops = PositionStops(listing, settings, matcher, ids, stream, books, rules, trigger=self.trigger)

    # ---- create ----

    def create(self, account: Account, fields: Fields, now_ns: int) -> Order:
        """A new order, as far as it gets at once; Refused where the venue does not take it."""
        n = self.listing.number(fields)
        order = self.rules.read(account, n, fields, now_ns)
        self.rules.check_new(order)
        self.books.admit(order)
        if order.trigger:
            order.status = "Untriggered"
            slot = self.matcher.place(n, order.side, order.trigger, watch=WATCHES[order.trigger_by], direction=order.direction)
            self.books.enter(order, self.books.room(slot))
            self.stream.emit_order(order, now_ns)
        else:
            self.positions.reserve(order)
            self.book(order, now_ns)
        self.stream.moved[self.positions.holding(account, n, order.idx)] = None
        self.stream.paid[account] = None
        return order

    # ---- into the book ----

    def book(self, order: Order, now_ns: int) -> None:
        """An order meets the market: it takes, rests or ends."""
        n, side, m = order.n, order.side, self.matcher
        touch = m.touch(n, side)
        order.status = "New"
        if order.market:
            self._book_market(order, touch, now_ns)
            return
        crosses = touch > 0 and (touch - order.price) * side <= 0
        if order.tif == "PostOnly" and crosses:
            self.books.finish(order, self.settings.post_only_status, now_ns, reject=POST_ONLY_REASON)
            return
        if order.tif in ("IOC", "FOK") and (not crosses or order.tif == "FOK" and m.shown(n, side) < order.left):
            self.books.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE if order.tif == "IOC" else NOT_ALL_THERE)
            return
        self.books.enter(order, self.books.room(m.place(n, side, order.price)))
        if not crosses:
            self.stream.emit_order(order, now_ns)
            return
        m.arrive(order.slot, now_ns)  # without a live quote it rests
        if not order.open:
            return
        if order.tif in ("IOC", "FOK"):
            self.books.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
        elif not order.done:
            self.stream.emit_order(order, now_ns)

    def _book_market(self, order: Order, touch: int, now_ns: int) -> None:
        m = self.matcher
        if touch == 0:
            self.books.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
            return
        self.books.enter(order, self.books.room(m.place(order.n, order.side, 0)))
        m.take(order.slot, order.cap)
        met = m.arrive(order.slot, now_ns)
        if order.open and met and self.settings.taker == "next":  # a reduce-only order that was larger than the position
            self.books.finish(order, "Cancelled", now_ns, cancel="CancelByReduceOnly" if order.reduce else "", reject=NOTHING_THERE)
        elif order.open and not order.done:
            self.stream.emit_order(order, now_ns)

    # ---- what the matcher reports ----

    def on_fill(self, slot: int, price: int, size: int, maker: bool, now_ns: int) -> int:
        """The matcher fills an order; returns what of it has been executed."""
        order = self.books.slots[slot]
        assert order is not None
        size = min(size, order.left)
        h = self.positions.holding(order.account, order.n, order.idx)
        if order.reduce:
            size = min(size, h.reducible(order.side))
        if size <= 0:
            return 0
        held = h.size
        self.ledger.execute(order, price, size, maker, now_ns, "BustTrade" if order.creator == "CreateByLiq" else "Trade")
        opened = size - min(size, -held * order.side if held * order.side < 0 else 0)
        self.after_fill(order, opened, now_ns)
        return size

    def after_fill(self, order: Order, opened: int, now_ns: int) -> None:
        """Applies the results of an execution: the order's state, the stops, the margin, the messages."""
        h = order.account.holdings[order.n, order.idx]
        if order.left == 0:
            self.stops.forget_stop(h, order)
            self.books.finish(order, "Filled", now_ns)
        else:
            order.status = "PartiallyFilled"
            self.stream.emit_order(order, now_ns)
        self.stops.follow(h, now_ns)
        if opened:
            self.stops.attach(h, order, opened, now_ns)
        if h.size == 0 and order.account.liquidating:
            order.account.liquidating = any(other.size for other in order.account.holdings.values())
            h.status = "Normal"
        self.positions.watch_margin()
        self.stream.flush(now_ns)

    def on_trigger(self, slot: int, now_ns: int) -> None:
        """A conditional order waits no longer."""
        order = self.books.slots[slot]
        assert order is not None
        if not self.stops.activated(order, now_ns):
            self.trigger(order, now_ns)
        self.stream.flush(now_ns)

    def trigger(self, order: Order, now_ns: int) -> None:
        """Untriggered -> Triggered, and on into the book; cancelled where nothing is left to reduce, or the margin for it is missing."""
        h = self.positions.holding(order.account, order.n, order.idx)
        if order.close_on_trigger and order.qty == 0:
            order.qty, order.sent = h.reducible(order.side), None
        if order.trail:
            order.trigger, order.sent = self.matcher.trigger(order.slot), None
        if order.market:
            order.cap, order.sent = self.rules.cap(order), None
        if not order.reduce:
            order.status = "New"
            before = self.positions.available(order.account)
            self.positions.reserve(order)
            after = self.positions.available(order.account)
            if after < 0.0 and after < before:
                self.books.finish(order, "Cancelled", now_ns, reject="EC_Others")
                return
        order.status = "Triggered"
        self.stream.emit_order(order, now_ns)
        self.stops.drop_twin(h, order, now_ns)
        self.stream.moved[h] = None
        if order.reduce and not h.reducible(order.side):
            self.stops.forget_stop(h, order)
            self.books.finish(order, "Cancelled", now_ns, cancel="CancelByReduceOnly")
        elif order.market:
            self.matcher.take(order.slot, order.cap)
        else:
            self.books.leave(order)
            self.book(order, now_ns)

    def on_capped(self, slot: int, now_ns: int) -> None:
        """The next price is worse than a market order may pay: what is left of it is cancelled."""
        order = self.books.slots[slot]
        assert order is not None
        self.stops.forget_stop(self.positions.holding(order.account, order.n, order.idx), order)
        self.books.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
        self.stream.flush(now_ns)
