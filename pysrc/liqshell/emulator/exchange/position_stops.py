"""Protection of a position at the emulated venue: take-profit, stop-loss and trailing stop, as separate orders that follow its size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import STOP_LOSS, TAKE_PROFIT, TRAILING, Account, Holding
from liqshell.emulator.exchange.order_books import Books
from liqshell.emulator.exchange.order_entry import OrderRules
from liqshell.emulator.exchange.orders import CREATORS, Ids, Order, lots_text
from liqshell.emulator.exchange.parameters import WATCHES, Fields, Listing, choice, lots, text, ticks, whole
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.refusals import STOPS_NOT_MODIFIED, TOO_MANY_PARTIAL, bad, refused
from liqshell.emulator.exchange.settings import Settings

CLEARED = "CancelByTpSlTsClear"
PARTIAL_MAX = 20


@dataclass(eq=False)
class PositionStops:
    """The stops of positions. trigger: what happens to a conditional order whose moment has come: (order, now_ns)."""

    listing: Listing
    settings: Settings
    matcher: Matcher
    ids: Ids
    stream: PrivateStream
    books: Books
    rules: OrderRules
    trigger: Callable[[Order, int], None]

    # ---- making, moving, ending ----

    def _arm(self, order: Order, now_ns: int) -> None:
        """Into the matcher, and off at once where the price is already there."""
        slot = self.matcher.place(order.n, order.side, order.trigger, watch=WATCHES[order.trigger_by], direction=order.direction, trail=order.trail)
        self.books.enter(order, self.books.room(slot))
        self.stream.emit_order(order, now_ns)
        if self.matcher.reached(slot):
            self.trigger(order, now_ns)

    def _make(self, h: Holding, kind: str, trigger: int, by: str, qty: int, now_ns: int) -> Order:
        long = h.size > 0
        order = Order(h.account, self.ids.uid(), h.n, h.contract, -1 if long else 1, True, qty, now_ns)
        order.idx, order.kind, order.creator, order.status = h.idx, kind, CREATORS[kind], "Untriggered"
        order.reduce = order.close_on_trigger = True
        order.trigger, order.trigger_by, order.tpsl_mode = trigger, by or "LastPrice", "Partial" if kind.startswith("Partial") else "Full"
        falls = long == (not kind.endswith(TAKE_PROFIT))
        order.direction = -1 if falls else 1
        order.last_created = self.matcher.last(h.n)
        return order

    def set_stop(self, h: Holding, kind: str, trigger: int, by: str, now_ns: int) -> bool:
        """Give the whole position a stop-loss or take-profit; 0 takes it away. False where that changes nothing."""
        order = h.stops.get(kind)
        if order is not None and order.status != "Untriggered":  # on its way out already
            return False
        if order is None and not trigger or order is not None and order.trigger == trigger and by in ("", order.trigger_by):
            return False
        self.stream.moved[h] = None
        if order is not None and (not trigger or self.settings.stops_replace or by not in ("", order.trigger_by)):
            by = by or order.trigger_by
            del h.stops[kind]
            self.books.finish(order, "Deactivated", now_ns, cancel=CLEARED)
            order = None
        if not trigger:
            return True
        if order is None:
            order = h.stops[kind] = self._make(h, kind, trigger, by, abs(h.size), now_ns)
            self.books.admit(order)
            self._arm(order, now_ns)
            return True
        order.trigger, order.sent = trigger, None
        self.matcher.arm(order.slot, trigger)
        self.stream.emit_order(order, now_ns)
        if self.matcher.reached(order.slot):
            self.trigger(order, now_ns)
        return True

    def set_trailing(self, h: Holding, distance: int, active: int, now_ns: int) -> bool:
        """Give the position a trailing stop `distance` ticks behind the best price, counted from now or from when `active` is reached."""
        order = h.stops.get(TRAILING)
        if order is None and not distance or order is not None and (order.trail or order.cap) == distance and h.active == active:
            return False
        if order is not None and order.status != "Untriggered":
            return False
        self.stream.moved[h] = None
        if order is not None:
            del h.stops[TRAILING]
            self.books.finish(order, "Deactivated", now_ns, cancel=CLEARED)
        h.active = 0
        if distance:
            last, side = self.matcher.last(h.n), 1 if h.size > 0 else -1
            h.active = active if active and (last - active) * side < 0 else 0
            order = h.stops[TRAILING] = self._make(h, TRAILING, last - side * distance, "LastPrice", abs(h.size), now_ns)
            order.trail = distance
            self.books.admit(order)
            self._start_trailing(h, order, now_ns)
        return True

    def _start_trailing(self, h: Holding, order: Order, now_ns: int) -> None:
        """Wait for the activation price if there is one, else follow."""
        if not h.active:
            self._arm(order, now_ns)
            return
        slot = self.matcher.place(order.n, order.side, h.active, watch=WATCHES["LastPrice"], direction=-order.direction)
        self.books.enter(order, slot)
        self.stream.emit_order(order, now_ns)

    def activated(self, order: Order, now_ns: int) -> bool:
        """A trailing stop has reached its activation price: from now on it follows. False for any other order."""
        h = order.account.holdings.get((order.n, order.idx))
        if order.kind != TRAILING or h is None or not h.active:
            return False
        self.books.leave(order)
        h.active = 0
        order.trigger = self.matcher.last(h.n) + order.direction * order.trail
        order.sent = None
        self._arm(order, now_ns)
        return True

    def _pair(self, h: Holding, qty: int, sl: int, tp: int, by: tuple[str, str], limits: tuple[int, int], owner: Order | None, now_ns: int) -> None:
        """Partial stop-loss and take-profit for so many lots; one ends the other."""
        made: list[Order] = []
        for kind, trigger, who, limit in (("PartialStopLoss", sl, by[0], limits[0]), ("PartialTakeProfit", tp, by[1], limits[1])):
            if trigger:
                order = self._make(h, kind, trigger, who, qty, now_ns)
                order.owner, order.parent = owner, owner.link_id if owner else ""
                if limit:
                    order.market, order.price, order.tif = False, limit, "GTC"
                made.append(order)
                h.partial.append(order)
                self.books.admit(order)
        if len(made) == 2:
            made[0].twin, made[1].twin = made[1], made[0]
        for order in made:
            if order.open:
                self._arm(order, now_ns)

    # ---- following the position ----

    def attach(self, h: Holding, order: Order, opened: int, now_ns: int) -> None:
        """The stops of an entry go to its position with the first execution; partial ones grow with each."""
        if not (order.sl or order.tp) or opened <= 0 or h.size * order.side <= 0:
            return
        if order.tpsl_mode == "Partial":
            mine = [stop for stop in h.partial if stop.owner is order and stop.waiting]
            if not mine and len(h.partial) < PARTIAL_MAX:
                self._pair(h, opened, order.sl, order.tp, (order.sl_by, order.tp_by), (order.sl_limit, order.tp_limit), order, now_ns)
            for stop in mine:
                self._resize(stop, stop.qty + opened, now_ns)
            return
        first = order.done == opened
        for kind, trigger, by in ((STOP_LOSS, order.sl, order.sl_by), (TAKE_PROFIT, order.tp, order.tp_by)):
            if trigger and (first or kind not in h.stops):
                self.set_stop(h, kind, trigger, by, now_ns)

    def _resize(self, stop: Order, qty: int, now_ns: int) -> None:
        stop.qty, stop.sent = qty, None
        self.stream.emit_order(stop, now_ns)

    def follow(self, h: Holding, now_ns: int) -> None:
        """The position has changed: its stops cover what is held now; nothing is left of them when it is flat or has turned."""
        side = 1 if h.size > 0 else -1
        for stop in list(h.stops.values()):
            if h.size and stop.side == -side:
                if stop.left != abs(h.size):
                    self._resize(stop, stop.done + abs(h.size), now_ns)
            elif stop.open:
                self.drop(h, stop, now_ns)
        for stop in list(h.partial):
            if (h.size == 0 or stop.side == side) and stop.open:
                self.drop(h, stop, now_ns)
        if h.size == 0:
            h.active = 0
            for order in [o for o in h.account.open.values() if o.reduce and o.n == h.n and o.idx == h.idx]:
                if not (order.waiting and self.settings.conditional_survives) and order.open:
                    self.books.finish(order, "Deactivated" if order.waiting else "Cancelled", now_ns, cancel="CancelByReduceOnly")

    def drop(self, h: Holding, stop: Order, now_ns: int) -> None:
        """A stop of a position ends because there is nothing left for it."""
        self.forget_stop(h, stop)
        self.books.finish(stop, "Deactivated" if stop.waiting else "Cancelled", now_ns, cancel=CLEARED)

    @staticmethod
    def forget_stop(h: Holding, stop: Order) -> None:
        """It no longer belongs to the position."""
        if h.stops.get(stop.kind) is stop:
            del h.stops[stop.kind]
        elif stop in h.partial:
            h.partial.remove(stop)

    def drop_twin(self, h: Holding, stop: Order, now_ns: int) -> None:
        """The other one of a partial pair."""
        twin = stop.twin
        if twin is not None and twin.waiting:
            self.drop(h, twin, now_ns)

    def trading_stop(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """Set, move or remove what protects a position."""
        n = self.listing.number(fields)
        c = self.listing.contracts[n]
        idx = whole(fields, "positionIdx", 0)
        h = account.holdings.get((n, idx))
        if (idx != 0) != (n in account.hedge):
            raise bad("position idx not match position mode")
        if h is None or h.size == 0:
            raise bad("can not set tp/sl/ts for zero position")
        side = 1 if h.size > 0 else -1
        given: dict[str, tuple[int, str]] = {}
        for kind, name, key in ((STOP_LOSS, "stopLoss", "slTriggerBy"), (TAKE_PROFIT, "takeProfit", "tpTriggerBy")):
            if text(fields, name):
                by = choice(fields, key, WATCHES, "LastPrice") if text(fields, key) else ""
                given[kind] = ticks(c, fields, name), by
                self.rules.check_stop(side, kind, given[kind][0], self.rules.base(n, by), by, n)
        if choice(fields, "tpslMode", ("Full", "Partial"), "Full") == "Partial" and (text(fields, "slSize") or text(fields, "tpSize")):
            self._set_partial(h, fields, given, now_ns)
            return {}
        changed = [self.set_stop(h, kind, *values, now_ns) for kind, values in given.items()]
        if text(fields, "trailingStop"):
            changed.append(self.set_trailing(h, ticks(c, fields, "trailingStop"), ticks(c, fields, "activePrice"), now_ns))
        if not any(changed):
            raise refused(STOPS_NOT_MODIFIED)
        return {}

    def _set_partial(self, h: Holding, fields: Fields, given: dict[str, tuple[int, str]], now_ns: int) -> None:
        c = h.contract
        qty = max(lots(c, fields, "slSize"), lots(c, fields, "tpSize"))
        if text(fields, "slSize") and text(fields, "tpSize") and lots(c, fields, "slSize") != lots(c, fields, "tpSize"):
            raise bad("tpSize and slSize should be equal")
        if not 0 < qty <= abs(h.size):
            raise bad(f"tpslSize invalid, expected at most {lots_text(c, abs(h.size))}")
        if len(h.partial) >= PARTIAL_MAX:
            raise refused(TOO_MANY_PARTIAL)
        (sl, sl_by), (tp, tp_by) = given.get(STOP_LOSS, (0, "")), given.get(TAKE_PROFIT, (0, ""))
        if not sl and not tp:
            raise bad("params error: takeProfit or stopLoss invalid")
        limits = (
            ticks(c, fields, "slLimitPrice") if text(fields, "slOrderType") == "Limit" else 0,
            ticks(c, fields, "tpLimitPrice") if text(fields, "tpOrderType") == "Limit" else 0,
        )
        self._pair(h, qty, sl, tp, (sl_by, tp_by), limits, None, now_ns)
        self.stream.moved[h] = None
