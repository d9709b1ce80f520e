"""A venue that answers as badly as a venue may: late, twice, out of order, partly, not at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import liqcore as lc
from liqcore.event import Action, OrderType

ENTRY, STOP, TARGET, CLOSE, LIQUIDATION, OUTSIDE = 1, 2, 3, 4, 5, 6


@dataclass
class Order:
    id: int
    side: int
    type: int
    qty: int
    price: int
    stop: int = 0
    reduce_only: bool = False
    filled: int = 0
    live: bool = False

    @property
    def role(self) -> int:
        return self.id & 15


@dataclass
class ModelVenue:
    """A venue whose truth (orders, position) is kept apart from what it has told so far. Lots and ticks; `tell` False = a venue that never states how
    much of an order was executed. Requests wait in `inbox`, reports in `reports` until somebody delivers them, in any order."""

    instrument: lc.Instrument
    tell: bool = True
    now: int = 0
    position: int = 0
    execution: int = 0
    orders: dict[int, Order] = field(default_factory=dict)
    inbox: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    fills: list = field(default_factory=list)  # (order id, side, ticks, lots, fee)

    def tick(self) -> int:
        self.now += 1
        return self.now

    def say(self, order: Order, status: int, reason: int = 0) -> None:
        filled = self.instrument.qty(order.filled) if self.tell else 0.0
        left = self.instrument.qty(max(0, order.qty - order.filled))
        price = self.instrument.price(order.price) if order.price else 0.0
        self.reports.append(("order", self.tick(), order.id, status, reason, left, filled, price))

    def process(self, k: int, verdict: str = "accept", reason: int = 0) -> None:
        """The k-th waiting request arrives."""
        r = self.inbox.pop(k)
        known = self.orders.get(r.id)
        if r.action == Action.ACTION_CREATE:
            assert known is None, f"the venue has seen id {r.id:#x} before"
            price = self.instrument.ticks(r.price) if r.price else 0
            order = Order(
                r.id, int(r.side), int(r.type), self.instrument.lots(r.qty), price, self.instrument.ticks(r.stop) if r.stop else 0, r.reduce_only
            )
            self.orders[r.id] = order
            if verdict == "reject" or (order.reduce_only and self.position * order.side >= 0):
                self.say(order, lc.OrderStatus.ORDER_REJECTED, reason)
                return
            order.live = True
            self.say(order, lc.OrderStatus.ORDER_NEW)
        elif known is None or not known.live or verdict == "reject":
            self.say(known or Order(r.id, int(r.side), 0, 0, 0), lc.OrderStatus.ORDER_REFUSED, lc.Reason.END_VENUE)
        elif r.action == Action.ACTION_CANCEL:
            self.end(known)
        else:
            known.price = self.instrument.ticks(r.price)
            if known.role != STOP:
                known.qty = max(self.instrument.lots(r.qty), known.filled)
            self.say(known, lc.OrderStatus.ORDER_NEW)

    def end(self, order: Order, reason: int = 0, status: int = lc.OrderStatus.ORDER_CANCELLED) -> None:
        order.live = False
        self.say(order, status, reason)

    def fill(self, order: Order, lots: int) -> int:
        """Execute up to `lots`; what was executed."""
        lots = min(lots, order.qty - order.filled)
        if order.reduce_only:
            lots = min(lots, abs(self.position) if self.position * order.side < 0 else 0)
        if lots <= 0:
            return 0
        order.filled += lots
        self.position += order.side * lots
        self.execution += 1
        price = order.price or 250000
        self.fills.append((order.id, order.side, price, lots))
        self.reports.append(("fill", self.tick(), order.id, self.instrument.price(price), self.instrument.qty(lots), self.execution))
        if order.filled >= order.qty:
            order.live = False
        if self.position == 0:
            for other in list(self.orders.values()):
                if other.live and other.reduce_only:
                    self.end(other, lc.Reason.END_REDUCE_ONLY)
        elif order.stop:
            self.attach(order)
        return lots

    def outside(self, bracket: int, lots: int) -> None:
        """Somebody else reduces the position; reported under the bracket's sequence."""
        side = -1 if self.position > 0 else 1
        lots = min(lots, abs(self.position))
        self.position += side * lots
        self.execution += 1
        order = (bracket & ~0xFFF) | OUTSIDE
        self.fills.append((order, side, 250000, lots))
        self.reports.append(("fill", self.tick(), order, 2500.0, self.instrument.qty(lots), self.execution))
        for other in list(self.orders.values()):
            if other.live and other.reduce_only and self.position == 0:
                self.end(other, lc.Reason.END_REDUCE_ONLY)
            elif other.live and other.role in (TARGET, CLOSE) and other.qty - other.filled > abs(self.position):
                other.qty = other.filled + abs(self.position)  # shrunk to what there is to reduce
                self.say(other, lc.OrderStatus.ORDER_NEW)

    def truth(self, id: int) -> None:
        """What the venue says when it is asked about an order and nothing about it is on its way any more."""
        known = self.orders.get(id)
        if known is None:
            self.say(Order(id, 0, 0, 0, 0), lc.OrderStatus.ORDER_REJECTED, lc.Reason.END_VENUE)
        else:
            self.say(known, lc.OrderStatus.ORDER_NEW if known.live else lc.OrderStatus.ORDER_CANCELLED)

    def attach(self, entry: Order, alive: bool = True) -> None:
        stop_id = (entry.id & ~0xFFF) | STOP
        known = self.orders.get(stop_id)
        if known is not None and known.live:
            return
        stop = Order(stop_id, -entry.side, int(OrderType.ORDER_STOP_MARKET), 1 << 30, entry.stop, 0, True)
        self.orders[stop_id] = stop
        stop.live = True
        self.say(stop, lc.OrderStatus.ORDER_NEW)

    def live(self) -> list[Order]:
        return [o for o in self.orders.values() if o.live]
