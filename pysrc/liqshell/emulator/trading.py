"""Matching at the emulated venue: orders on their way into the book, and what the market does to those that rest."""

from .accounts import Account
from .entry import Entry
from .orders import Order
from .parameters import WATCHES, Fields, instrument

POST_ONLY_REASON = "EC_PostOnlyWillTakeLiquidity"
NOTHING_THERE = "EC_NoImmediateQtyToFill"
NOT_ALL_THERE = "EC_CancelForNoFullFill"


class Trading(Entry):
    """Orders of every account."""

    # ---- create ----

    def create(self, account: Account, fields: Fields, now_ns: int) -> Order:
        """A new order, as far as it gets at once; Refused where the venue does not take it."""
        n = instrument(self.index, self.halted, fields)
        order = self.read(account, n, fields, now_ns)
        self.judge(order)
        self.admit(order)
        if order.trigger:
            order.status = "Untriggered"
            slot = self.matcher.place(n, order.side, order.trigger, watch=WATCHES[order.trigger_by], direction=order.direction)
            self.enter(order, self.room(slot))
            self.say_order(order, now_ns)
        else:
            self.reserve(order)
            self.book(order, now_ns)
        self._moved[self.holding(account, n, order.idx)] = None
        self._paid[account] = None
        return order

    @staticmethod
    def room(slot: int) -> int:
        """The slot itself; the emulator has room for every order that the venue's limits let in."""
        if slot < 0:
            raise RuntimeError("the emulated venue is full: too many open orders")
        return slot

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
            self.finish(order, self.settings.post_only_status, now_ns, reject=POST_ONLY_REASON)
            return
        if order.tif in ("IOC", "FOK") and (not crosses or order.tif == "FOK" and m.shown(n, side) < order.left):
            self.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE if order.tif == "IOC" else NOT_ALL_THERE)
            return
        self.enter(order, self.room(m.place(n, side, order.price)))
        if not crosses:
            self.say_order(order, now_ns)
            return
        m.arrive(order.slot, now_ns)                                         # without a live quote it rests
        if not order.open:
            return
        if order.tif in ("IOC", "FOK"):
            self.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
        elif not order.done:
            self.say_order(order, now_ns)

    def _book_market(self, order: Order, touch: int, now_ns: int) -> None:
        m = self.matcher
        if touch == 0:
            self.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
            return
        self.enter(order, self.room(m.place(order.n, order.side, 0)))
        m.take(order.slot, order.cap)
        met = m.arrive(order.slot, now_ns)
        if order.open and met and self.settings.taker == "next":             # a reduce-only order that was larger than the position
            self.finish(order, "Cancelled", now_ns, cancel="CancelByReduceOnly" if order.reduce else "", reject=NOTHING_THERE)
        elif order.open and not order.done:
            self.say_order(order, now_ns)

    # ---- what the matcher reports ----

    def on_fill(self, slot: int, price: int, size: int, maker: bool, now_ns: int) -> int:
        """The matcher fills an order; returns what of it has been executed."""
        order = self.slots[slot]
        assert order is not None
        size = min(size, order.left)
        h = self.holding(order.account, order.n, order.idx)
        if order.reduce:
            size = min(size, h.reducible(order.side))
        if size <= 0:
            return 0
        held = h.size
        self.execute(order, price, size, maker, now_ns, "BustTrade" if order.creator == "CreateByLiq" else "Trade")
        opened = size - min(size, -held * order.side if held * order.side < 0 else 0)
        self.after_fill(order, opened, now_ns)
        return size

    def after_fill(self, order: Order, opened: int, now_ns: int) -> None:
        """What follows from an execution: the order's state, the stops, the margin, the messages."""
        h = order.account.holdings[order.n, order.idx]
        if order.left == 0:
            self.forget_stop(h, order)
            self.finish(order, "Filled", now_ns)
        else:
            order.status = "PartiallyFilled"
            self.say_order(order, now_ns)
        self.follow(h, now_ns)
        if opened:
            self.attach(h, order, opened, now_ns)
        if h.size == 0 and order.account.liquidating:
            order.account.liquidating = any(other.size for other in order.account.holdings.values())
            h.status = "Normal"
        self.watch_margin()
        self.flush(now_ns)

    def on_trigger(self, slot: int, now_ns: int) -> None:
        """A conditional order waits no longer."""
        order = self.slots[slot]
        assert order is not None
        if not self.activated(order, now_ns):
            self.trigger(order, now_ns)
        self.flush(now_ns)

    def trigger(self, order: Order, now_ns: int) -> None:
        """Untriggered -> Triggered, and on into the book; cancelled where nothing is left to reduce, or the margin for it is missing."""
        h = self.holding(order.account, order.n, order.idx)
        if order.close_on_trigger and order.qty == 0:
            order.qty, order.sent = h.reducible(order.side), None
        if order.trail:
            order.trigger, order.sent = self.matcher.trigger(order.slot), None
        if order.market:
            order.cap, order.sent = self._cap(order), None
        if not order.reduce:
            order.status = "New"
            before = self.available(order.account)
            self.reserve(order)
            after = self.available(order.account)
            if after < 0.0 and after < before:
                self.finish(order, "Cancelled", now_ns, reject="EC_Others")
                return
        order.status = "Triggered"
        self.say_order(order, now_ns)
        self.drop_twin(h, order, now_ns)
        self._moved[h] = None
        if order.reduce and not h.reducible(order.side):
            self.forget_stop(h, order)
            self.finish(order, "Cancelled", now_ns, cancel="CancelByReduceOnly")
        elif order.market:
            self.matcher.take(order.slot, order.cap)
        else:
            self.leave(order)
            self.book(order, now_ns)

    def on_capped(self, slot: int, now_ns: int) -> None:
        """The next price is worse than a market order may pay: what is left of it is cancelled."""
        order = self.slots[slot]
        assert order is not None
        self.forget_stop(self.holding(order.account, order.n, order.idx), order)
        self.finish(order, "Cancelled", now_ns, reject=NOTHING_THERE)
        self.flush(now_ns)
