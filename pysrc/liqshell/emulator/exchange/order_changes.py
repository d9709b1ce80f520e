"""Amending and cancelling at the emulated venue."""

from collections.abc import Iterable
from typing import Any

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import STOP_LOSS, TAKE_PROFIT, TRAILING, Account
from liqshell.emulator.exchange.matching import POST_ONLY_REASON
from liqshell.emulator.exchange.order_books import Books
from liqshell.emulator.exchange.order_entry import OrderRules
from liqshell.emulator.exchange.orders import Order, acknowledgement
from liqshell.emulator.exchange.parameters import WATCHES, Fields, Listing, choice, lots, text, ticks
from liqshell.emulator.exchange.position_stops import PositionStops
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.refusals import (
    NO_ORDER,
    ORDER_CANCELLED,
    ORDER_FILLED,
    TRIGGER_MUST_FALL,
    TRIGGER_MUST_RISE,
    bad,
    refused,
)
from liqshell.emulator.exchange.settings import Settings

UNCHANGED = "The order remains unchanged as the parameters entered match the existing ones."
STOP_KINDS = ("StopLoss", "TakeProfit", "PartialStopLoss", "PartialTakeProfit")
FILTERS: dict[str, tuple[str, ...] | None] = {
    "": None,
    "Order": ("",),
    "OpenOrder": ("",),
    "StopOrder": ("Stop", "TrailingStop", *STOP_KINDS),
    "tpslOrder": STOP_KINDS,
}


class OrderChanges:
    """Changing and ending orders."""

    def __init__(
        self,
        listing: Listing,
        settings: Settings,
        matcher: Matcher,
        positions: Positions,
        stream: PrivateStream,
        books: Books,
        rules: OrderRules,
        stops: PositionStops,
    ) -> None:
        self.listing, self.settings, self.matcher, self.positions, self.stream, self.books = listing, settings, matcher, positions, stream, books
        self.rules, self.stops = rules, stops

    def find(self, account: Account, fields: Fields, now_ns: int, action: str = "cancel") -> Order:
        """The open order that a request is about; orderId wins over orderLinkId."""
        missing = f"order not exists or too late to {action}"
        self.listing.number(fields, trading=False)
        order_id, link = text(fields, "orderId"), text(fields, "orderLinkId")
        if not order_id and not link:
            raise bad("params error: orderId or orderLinkId is required")
        order = account.orders.get(order_id) if order_id else account.links.get(link)
        if order is None or order.contract.symbol != text(fields, "symbol"):
            raise refused(NO_ORDER, missing)
        if not order.open and not self._races(order, now_ns):
            if self.settings.ended_codes:
                raise refused(ORDER_FILLED if order.status == "Filled" else ORDER_CANCELLED)
            raise refused(NO_ORDER, missing)
        return order

    def _races(self, order: Order, now_ns: int) -> bool:
        return order.status == "Filled" and now_ns - order.versions[-1][0] <= self.settings.filled_twice_s * 1e9 and order.cancel_type == "UNKNOWN"

    def cancel(self, account: Account, fields: Fields, now_ns: int) -> Order:
        """End an open order."""
        order = self.find(account, fields, now_ns)
        if not order.open:  # the cancel has raced the fill: the venue says Filled once more
            order.cancel_type, order.reject = "CancelByUser", "EC_OrigClOrdIDDoesNotExist"
            self.stream.emit_order(order, now_ns)
            return order
        self.withdraw((order,), now_ns)
        return order

    def withdraw(self, orders: Iterable[Order], now_ns: int, cancel: str = "CancelByUser") -> None:
        """Cancel orders; a position's stop goes as when it is removed from the position, and takes the other one of its pair along."""
        for order in orders:
            if not order.open:
                continue
            h = self.positions.holding(order.account, order.n, order.idx)
            self.stops.forget_stop(h, order)
            ours = order.kind in ("", "Stop")
            self.books.finish(
                order,
                "Deactivated" if order.waiting else "Cancelled",
                now_ns,
                cancel=cancel if ours else "CancelByTpSlTsClear",
                reject="EC_PerCancelRequest" if cancel == "CancelByUser" else "",
            )
            self.stops.drop_twin(h, order, now_ns)
            self.stream.moved[h] = None
            self.stream.paid[order.account] = None

    def cancel_all(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """Cancel the orders of a symbol or of everything: at most 500, position stops included unless orderFilter says otherwise."""
        if text(fields, "category") != "linear":
            raise bad("Illegal category")
        symbol = text(fields, "symbol")
        if not (symbol or text(fields, "baseCoin") or text(fields, "settleCoin")):
            raise bad("params error: symbol, baseCoin or settleCoin is required")
        if symbol and symbol not in self.listing.index:
            raise bad("params error: symbol invalid " + symbol)
        kinds = FILTERS[choice(fields, "orderFilter", tuple(FILTERS), "")]
        if text(fields, "stopOrderType") == "Stop":
            kinds = ("Stop",)
        base = text(fields, "baseCoin")
        chosen = [
            o
            for o in account.open.values()
            if (not symbol or o.contract.symbol == symbol) and (not base or o.contract.base == base) and (kinds is None or o.kind in kinds)
        ][:500]
        if text(fields, "settleCoin") not in ("", "USDT"):
            chosen = []
        self.withdraw(chosen, now_ns)
        return {"list": [dict(acknowledgement(o)) for o in chosen], "success": "1"}

    def amend(self, account: Account, fields: Fields, now_ns: int) -> Order:
        """Change price, quantity, trigger or attached stops of an open order: all that is asked for, or nothing."""
        order = self.find(account, fields, now_ns, "replace")
        if not order.open:
            raise refused(NO_ORDER, "order not exists or too late to replace")
        c = order.contract
        price, qty = ticks(c, fields, "price"), lots(c, fields, "qty")
        trigger = ticks(c, fields, "triggerPrice")
        if qty == 0 or 0 < qty <= order.done:
            raise bad("params error: Qty invalid")
        if qty > c.lots_max:
            raise bad("The number of contracts exceeds maximum limit allowed: too large")
        if trigger and not order.waiting or price and order.market:
            raise bad("params error: price invalid")
        if order.market and not order.waiting or order.kind == TRAILING or qty > 0 and order.kind not in ("", "Stop"):
            raise bad("Order does not support modification: it is on its way, or follows its position")
        stops = self._wanted_stops(order, fields, price)
        same = price in (0, order.price) and qty in (-1, order.qty) and trigger in (0, order.trigger)
        if same and all(getattr(order, name) == value for name, value in stops.items()):
            raise bad(UNCHANGED)
        if order.waiting:
            self._amend_waiting(order, price, qty, trigger, stops, now_ns)
        else:
            self._amend_booked(order, price, qty, stops, now_ns)
        self.stream.moved[self.positions.holding(account, order.n, order.idx)] = None
        self.stream.paid[account] = None
        return order

    def _wanted_stops(self, order: Order, fields: Fields, price: int) -> dict[str, Any]:
        """Attached stops as they shall be, by attribute of Order: only for the executions to come. "0" removes."""
        c = order.contract
        base = price or order.price or self.matcher.touch(order.n, order.side)
        wanted: dict[str, Any] = {}
        for name, key, kind, at, by in (
            ("stopLoss", "slTriggerBy", STOP_LOSS, "sl", "sl_by"),
            ("takeProfit", "tpTriggerBy", TAKE_PROFIT, "tp", "tp_by"),
        ):
            if text(fields, name):
                value, watch = ticks(c, fields, name), choice(fields, key, WATCHES, getattr(order, by) or "LastPrice")
                if value and order.reduce:
                    raise bad("reduceOnly order can not set tp/sl")
                self.rules.check_stop(order.side, kind, value, base, watch, order.n)
                if value or getattr(order, at):
                    wanted |= {at: value, by: watch, "tpsl_mode": order.tpsl_mode or "Full"}
        return wanted

    def _amend_waiting(self, order: Order, price: int, qty: int, trigger: int, stops: dict[str, Any], now_ns: int) -> None:
        if trigger:
            base = self.rules.base(order.n, order.trigger_by)
            if base and (trigger - base) * order.direction <= 0:
                raise refused(TRIGGER_MUST_RISE if order.direction > 0 else TRIGGER_MUST_FALL)
            order.trigger = trigger
            self.matcher.arm(order.slot, trigger)
        self._change(order, price, qty, stops)
        self.stream.emit_order(order, now_ns)

    @staticmethod
    def _change(order: Order, price: int, qty: int, stops: dict[str, Any]) -> None:
        order.price, order.qty, order.sent = price or order.price, qty if qty > 0 else order.qty, None
        for name, value in stops.items():
            setattr(order, name, value)

    def _amend_booked(self, order: Order, price: int, qty: int, stops: dict[str, Any], now_ns: int) -> None:
        before = order.price, order.qty
        self.positions.release(order)
        self._change(order, price, qty, {})
        try:
            if (order.price, order.qty) != before:
                self.rules.check_price(order)
                if not order.reduce:
                    self.rules.check_margin(order)
        except Exception:
            order.price, order.qty, order.sent = *before, None
            raise
        finally:
            self.positions.reserve(order)
        self._change(order, 0, 0, stops)
        if (order.price, order.qty) == before:
            self.stream.emit_order(order, now_ns)
            return
        touch = self.matcher.touch(order.n, order.side)
        crosses = touch > 0 and (touch - order.price) * order.side <= 0
        if crosses and order.tif == "PostOnly":
            self.books.finish(order, self.settings.post_only_status, now_ns, reject=POST_ONLY_REASON)
            return
        self.matcher.rest(order.slot, order.price, order.price != before[0] or order.qty > before[1])
        if crosses:
            self.matcher.arrive(order.slot, now_ns)
        if order.open:
            self.stream.emit_order(order, now_ns)
