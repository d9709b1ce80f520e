"""Order entry of the emulated venue: reading of a create request, and the reasons for a rejection."""

from typing import Any

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import STOP_LOSS, TAKE_PROFIT, Account
from liqshell.emulator.exchange.order_books import CAPACITY, RESERVED, Books
from liqshell.emulator.exchange.orders import CREATORS, Ids, Order, acknowledgement, ticks_text
from liqshell.emulator.exchange.parameters import (
    SIDES,
    WATCHES,
    Fields,
    Listing,
    choice,
    flag,
    link_id,
    lots,
    text,
    ticks,
    whole,
)
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.refusals import (
    LINK_ID_TAKEN,
    NO_MARGIN,
    NOTHING_TO_REDUCE,
    NOTIONAL_TOO_SMALL,
    OUT_OF_RANGE,
    TOLERANCE_OUT_OF_RANGE,
    TOO_MANY_CONDITIONAL,
    TOO_MANY_ORDERS,
    TRIGGER_MUST_FALL,
    TRIGGER_MUST_RISE,
    WOULD_LIQUIDATE,
    bad,
    refused,
)
from liqshell.emulator.exchange.settings import Settings

NOTIONAL_MIN = 5.0
LIMIT_TIFS = ("GTC", "IOC", "FOK", "PostOnly", "RPI")
HEDGE_LONG = 1
NAMES = {STOP_LOSS: "StopLoss", TAKE_PROFIT: "TakeProfit"}


class OrderRules:
    """Reading and judging new orders."""

    def __init__(self, listing: Listing, settings: Settings, matcher: Matcher, ids: Ids, positions: Positions, books: Books) -> None:
        self.listing, self.settings, self.matcher, self.ids, self.positions, self.books = listing, settings, matcher, ids, positions, books

    def read(self, account: Account, n: int, fields: Fields, now_ns: int) -> Order:
        """The order that the fields describe; nothing has happened yet."""
        c = self.listing.contracts[n]
        side = SIDES[choice(fields, "side", SIDES)]
        market = choice(fields, "orderType", ("Limit", "Market")) == "Market"
        qty = lots(c, fields, "qty")
        if qty < 0:
            raise bad("params error: Qty invalid")
        order = Order(account, self.ids.uid(), n, c, side, market, qty, now_ns)
        order.link_id = link_id(fields)
        order.idx = self._index(account, n, fields)
        order.reduce, order.close_on_trigger = flag(fields, "reduceOnly"), flag(fields, "closeOnTrigger")
        if order.close_on_trigger:  # can only close, too
            order.reduce = True
        if order.idx and (side > 0) != (order.idx == HEDGE_LONG):  # in hedge mode the other side can only close
            order.reduce = True
        order.tif = "IOC" if market else choice(fields, "timeInForce", LIMIT_TIFS, "GTC")
        if market:
            choice(fields, "timeInForce", LIMIT_TIFS, "IOC")
        else:
            order.price = ticks(c, fields, "price")
        order.last_created = self.matcher.last(n)
        if order.tif == "RPI":
            order.tif = "PostOnly"
        if qty == 0 and order.reduce and order.close_on_trigger:
            h = account.holdings.get((n, order.idx))
            order.qty = min(h.reducible(side) if h else 0, c.lots_max)
        self._read_trigger(order, fields)
        self._read_stops(order, fields)
        self._read_slippage(order, fields)
        return order

    def _index(self, account: Account, n: int, fields: Fields) -> int:
        idx = whole(fields, "positionIdx", 0)
        if idx not in (0, 1, 2) or (idx != 0) != (n in account.hedge):
            raise bad("position idx not match position mode")
        return idx

    def _read_trigger(self, order: Order, fields: Fields) -> None:
        order.trigger = ticks(order.contract, fields, "triggerPrice")
        direction = whole(fields, "triggerDirection", 0)
        if not order.trigger:
            if direction or text(fields, "triggerBy") or text(fields, "orderFilter") in ("StopOrder", "tpslOrder"):
                raise bad("params error: TriggerPrice invalid")  # a stop that lacks its trigger must not become a market order
            return
        if direction not in (1, 2):
            raise bad("params error: TriggerDirection invalid")
        order.kind, order.creator, order.direction = "Stop", CREATORS["Stop"], 1 if direction == 1 else -1
        order.trigger_by = choice(fields, "triggerBy", WATCHES, "LastPrice")
        base = self.base(order.n, order.trigger_by)
        if base and (order.trigger - base) * order.direction <= 0:
            word, sign, code = ("Rising", "<=", TRIGGER_MUST_RISE) if direction == 1 else ("Falling", ">=", TRIGGER_MUST_FALL)
            c = order.contract
            raise refused(
                code, f"expect {word}, but trigger_price[{ticks_text(c, order.trigger)}] {sign} current[{ticks_text(c, base)}]??{order.trigger_by}"
            )

    def _read_stops(self, order: Order, fields: Fields) -> None:
        """Take-profit and stop-loss on the order."""
        c = order.contract
        order.tp, order.sl = ticks(c, fields, "takeProfit"), ticks(c, fields, "stopLoss")
        if not (order.tp or order.sl):
            return
        if order.reduce:
            raise bad("reduceOnly order can not set tp/sl")
        order.tpsl_mode = choice(fields, "tpslMode", ("Full", "Partial"), "Full")
        order.tp_by = choice(fields, "tpTriggerBy", WATCHES, "LastPrice") if order.tp else ""
        order.sl_by = choice(fields, "slTriggerBy", WATCHES, "LastPrice") if order.sl else ""
        limits = text(fields, "tpOrderType") == "Limit", text(fields, "slOrderType") == "Limit"
        if any(limits) and order.tpsl_mode == "Full":
            raise bad("tpslMode Full only supports market tp/sl")
        order.tp_limit, order.sl_limit = (
            ticks(c, fields, name) if limit else 0 for name, limit in zip(("tpLimitPrice", "slLimitPrice"), limits, strict=True)
        )
        base = order.price or order.trigger or self.matcher.touch(order.n, order.side)
        self.check_stop(order.side, STOP_LOSS, order.sl, base, order.sl_by, order.n)
        self.check_stop(order.side, TAKE_PROFIT, order.tp, base, order.tp_by, order.n)

    def _read_slippage(self, order: Order, fields: Fields) -> None:
        """How far a market order goes."""
        kind, amount = text(fields, "slippageToleranceType"), text(fields, "slippageTolerance")
        if not order.market or not (kind or amount):
            return
        try:
            size = float(amount)
        except ValueError:
            size = 0.0
        if kind not in ("TickSize", "Percent") or not (1 <= size <= 10_000 if kind == "TickSize" else 0.01 <= size <= 10.0):
            raise refused(TOLERANCE_OUT_OF_RANGE)
        order.slippage = kind, amount

    def cap(self, order: Order) -> int:
        """The worst price a market order pays, ticks; 0 = no price is known."""
        touch = self.matcher.touch(order.n, order.side)
        kind, amount = order.slippage
        away = int(float(amount)) if kind == "TickSize" else int(touch * (float(amount) / 100.0 if kind == "Percent" else self.settings.slippage))
        return max(touch + order.side * away, 1) if touch else 0

    def check_new(self, order: Order) -> None:
        """Everything that the venue may have against a new order."""
        account = order.account
        if order.link_id and order.link_id in account.used_links:
            raise refused(LINK_ID_TAKEN)
        if account.liquidating:
            raise refused(WOULD_LIQUIDATE)
        if order.trigger:
            if account.active(order.n, True) >= self.settings.conditional_max:
                raise refused(TOO_MANY_CONDITIONAL)
        elif len(account.open) >= self.settings.orders_max and account.active(order.n, False) >= self.settings.orders_max:
            raise refused(TOO_MANY_ORDERS)
        if self.books.resting >= CAPACITY - RESERVED:  # the emulator's own limit
            raise refused(TOO_MANY_ORDERS)
        if not order.market and order.price <= 0:
            raise bad("params error: price invalid")
        if order.reduce and not order.trigger:
            self._check_reducible(order)
        self._check_size(order)
        if order.market:
            order.cap = self.cap(order)
        elif not order.trigger:
            self.check_price(order)
        if not order.reduce and not order.trigger:
            self.check_margin(order)

    def _check_reducible(self, order: Order) -> None:
        h = order.account.holdings.get((order.n, order.idx))
        room = h.reducible(order.side) if h else 0
        if self.settings.reduce_only_total:
            room -= sum(
                o.left
                for o in order.account.open.values()
                if o.n == order.n and o.idx == order.idx and o.reduce and o.side == order.side and not o.waiting
            )
            order.qty = min(order.qty, max(room, 0))
        if room <= 0:
            raise refused(NOTHING_TO_REDUCE)

    def _check_size(self, order: Order) -> None:
        c = order.contract
        if order.qty < 1 and not (order.trigger and order.close_on_trigger):
            raise bad("The number of contracts exceeds minimum limit allowed")
        if order.qty > c.lots_max and not order.reduce:
            raise bad("The number of contracts exceeds maximum limit allowed: too large")
        price = order.price or order.trigger or self.matcher.touch(order.n, order.side)
        if not order.reduce and price and order.qty / c.lot_power * price / c.tick_power < NOTIONAL_MIN:
            raise refused(NOTIONAL_TOO_SMALL)

    def price_limits(self, n: int) -> tuple[int, int]:
        """(highest bid, lowest offer) that are accepted, ticks; 0 = as no mark is known, any."""
        mark, c = self.positions.mark(n), self.listing.contracts[n]
        share = self.settings.price_limit
        return int(mark * (1.0 + share) * c.tick_power), -int(-mark * (1.0 - share) * c.tick_power)

    def check_price(self, order: Order) -> None:
        highest, lowest = self.price_limits(order.n)
        if highest and (order.price > highest if order.side > 0 else order.price < lowest):
            raise refused(OUT_OF_RANGE)

    def check_margin(self, order: Order) -> None:
        """The account can pay for what the order would add."""
        before = self.positions.available(order.account)
        self.positions.reserve(order)
        after = self.positions.available(order.account)
        self.positions.release(order)
        if after < 0.0 and after < before:  # what adds nothing is taken however poor the account is
            raise refused(NO_MARGIN)

    # ---- prices of stops ----

    def check_stop(self, side: int, name: str, trigger: int, base: int, by: str, n: int) -> None:
        """A stop must be on its side of the price it starts from (ticks)."""
        wanted = -side if name == STOP_LOSS else side
        if trigger and base and (trigger - base) * wanted <= 0 and self.settings.wrong_side_stops == "refuse":
            c = self.listing.contracts[n]
            word = "higher" if wanted > 0 else "lower"
            raise bad(
                f"{NAMES[name]}:{ticks_text(c, trigger)} set for {'Buy' if side > 0 else 'Sell'} position should be {word} than "
                f"base_price:{ticks_text(c, base)}??{by or 'LastPrice'}"
            )

    def base(self, n: int, by: str) -> int:
        """The price that a trigger watches, ticks."""
        return round(self.matcher.prices(n)[WATCHES[by or "LastPrice"]] * self.listing.contracts[n].tick_power)

    def pre_check(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/order/pre-check: what an order would do to the margin; nothing is created."""

        def rates() -> tuple[int, int]:
            equity, _, held, orders, kept = self.positions.totals(account)
            return (round((held + orders) / equity * 10_000), round(kept / equity * 10_000)) if equity > 0.0 else (0, 0)

        n = self.listing.number(fields)
        order = self.read(account, n, fields, now_ns)
        self.check_new(order)
        before = rates()
        self.positions.reserve(order)
        after = rates()
        self.positions.release(order)
        return {**acknowledgement(order), "preImrE4": before[0], "preMmrE4": before[1], "postImrE4": after[0], "postMmrE4": after[1]}
