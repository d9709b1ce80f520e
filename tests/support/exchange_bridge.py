"""An engine that trades on the emulated venue's model with no distance between them: the shortest possible gateway, for tests."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import orjson

import liqcore as lc
from liqcore.event import Action, OrderStatus, OrderType, Reason, Role
from liqshell.emulator.exchange import Exchange, Settings
from liqshell.emulator.market.contracts import BY_SYMBOL, Contract

LINK = "t-"
BOOKED = {
    "New": OrderStatus.ORDER_NEW,
    "Untriggered": OrderStatus.ORDER_NEW,
    "Triggered": OrderStatus.ORDER_TRIGGERED,
    "Filled": OrderStatus.ORDER_DONE,
    "Cancelled": OrderStatus.ORDER_CANCELLED,
    "Deactivated": OrderStatus.ORDER_CANCELLED,
}


def contracts_like(instruments) -> tuple[Contract, ...]:
    """Contracts of the emulated venue with the ticks and lots of these instruments (powers of ten)."""
    decimals = [(len(i.tick_size.partition(".")[2]), len(i.lot_size.partition(".")[2])) for i in instruments]
    return tuple(
        replace(BY_SYMBOL["ETHUSDT"], symbol=i.symbol, tick_decimals=tick, lot_decimals=lot, price_decimals=tick, lots_max=10**9)
        for i, (tick, lot) in zip(instruments, decimals, strict=True)
    )


class Bridge:
    """Engine and Exchange in step: the order of things at one moment is that of liqcore.Paper (requests arrive, then reports are heard)."""

    def __init__(self, engine: lc.Engine, settings: Settings, contracts: tuple[Contract, ...] = (), equity: float = 1e6):
        self.engine = engine
        self.exchange = Exchange(contracts or contracts_like(engine.instruments), settings, seed=1)
        self.account = self.exchange.open_account("key", "secret", equity)
        self.requests: deque = deque()
        self.reports: deque = deque()
        self.entries: dict[str, int] = {}  # symbol -> id of the latest entry: its stop is the position's
        self.codes: list[int] = []
        self.executions = 0

    def run(self, events: np.ndarray) -> None:
        for k in range(len(events)):
            now = int(events["ts_recv"][k])
            self.settle()
            while (due := min(filter(None, (self.exchange.next_ns, self.engine.next_deadline)), default=now + 1)) <= now:
                if due == self.exchange.next_ns:  # the venue first, as in Paper
                    self.exchange.advance(due)
                    self.hear()
                else:
                    self.engine.advance(due)
                    self.requests.extend(self.engine.drain())
                self.settle()
            self.exchange.advance(now)
            self.hear()
            self.settle()
            before = self.engine.events
            self.engine.run(events[k : k + 1])
            if self.engine.events != before:
                self.exchange.on_events(events[k : k + 1])
            self.requests.extend(self.engine.drain())
            self.hear()

    def settle(self) -> None:
        """Requests and reports of this moment, until nobody has anything to say."""
        while self.requests or self.reports:
            if self.requests:
                self.send(self.requests.popleft())
                self.hear()
            else:
                self.tell(*self.reports.popleft())
                self.requests.extend(self.engine.drain())

    def hear(self) -> None:
        for _, topic, ts, rows in self.exchange.take():
            self.reports.extend((topic, ts, row) for row in rows if topic in ("order", "execution"))

    # ---- requests ----

    def send(self, r) -> None:
        now, fields = self.engine.now, {"category": "linear", "symbol": r.symbol}
        attached = r.role == Role.ROLE_STOP and r.id >> 4 & 0xFF == 0
        if r.action == Action.ACTION_CREATE:
            fields |= self.create(r)
            if r.role == Role.ROLE_ENTRY:
                self.entries[r.symbol] = r.id
            answer = self.exchange.order("order.create", [fields], self.account, now)
        elif attached:
            stop = r.price_text if r.action == Action.ACTION_AMEND else "0"
            body = orjson.dumps(fields | {"positionIdx": 0, "tpslMode": "Full", "stopLoss": stop})
            answer = self.exchange.rest("POST", "/v5/position/trading-stop", "", body, self.account, now)
        else:
            fields["orderLinkId"] = f"{LINK}{r.id:x}"
            if r.action == Action.ACTION_AMEND:
                fields |= {"qty": r.qty_text} | ({"price": r.price_text} if r.type == OrderType.ORDER_LIMIT else {"triggerPrice": r.price_text})
            answer = self.exchange.order("order.amend" if r.action == Action.ACTION_AMEND else "order.cancel", [fields], self.account, now)
        self.codes.append(answer[0])
        if answer[0]:
            status = OrderStatus.ORDER_REJECTED if r.action == Action.ACTION_CREATE else OrderStatus.ORDER_REFUSED
            reason = Reason.END_REDUCE_ONLY if answer[0] == 110017 else Reason.END_VENUE
            self.reports.append(("refused", now, (r.id, status, reason)))

    def create(self, r) -> dict:
        fields = {
            "orderLinkId": f"{LINK}{r.id:x}",
            "side": "Buy" if r.side > 0 else "Sell",
            "qty": r.qty_text,
            "reduceOnly": r.reduce_only,
            "orderType": "Limit" if r.type == OrderType.ORDER_LIMIT else "Market",
        }
        if r.type == OrderType.ORDER_LIMIT:
            fields |= {"price": r.price_text, "timeInForce": "PostOnly" if r.post_only else "GTC"}
        elif r.type == OrderType.ORDER_STOP_MARKET:
            fields |= {"triggerPrice": r.price_text, "triggerDirection": 1 if r.side > 0 else 2}
        return fields | ({"stopLoss": r.stop_text} if r.stop_text and not r.reduce_only else {})

    # ---- reports ----

    def order_id(self, row) -> int:
        if row["orderLinkId"]:
            return int(row["orderLinkId"].removeprefix(LINK), 16)
        return self.entries[row["symbol"]] & ~0xFFF | Role.ROLE_STOP

    def tell(self, topic: str, ts: int, row) -> None:
        now = max(ts, self.engine.now)  # what the venue does by itself comes at its own time
        if topic == "refused":
            self.engine.on_order(ts, now, *row)
        elif topic == "execution":
            if row["execType"] == "Funding":
                self.engine.on_funding(
                    ts,
                    now,
                    row["symbol"],
                    1 if row["side"] == "Buy" else -1,
                    float(row["execPrice"]),
                    float(row["execQty"]),
                    float(row["execFee"]),
                    float(row["feeRate"]),
                )
                return
            self.executions += 1
            self.engine.on_fill(
                ts, now, self.order_id(row), float(row["execPrice"]), float(row["execQty"]), float(row["execFee"]), self.executions, row["isMaker"]
            )
        elif row["orderStatus"] in BOOKED:
            status, reason = BOOKED[row["orderStatus"]], Reason.OK
            if row["rejectReason"] == "EC_PostOnlyWillTakeLiquidity":
                status, reason = OrderStatus.ORDER_REJECTED, Reason.END_POST_ONLY
            elif row["cancelType"] in ("CancelByReduceOnly", "CancelByTpSlTsClear"):
                reason = Reason.END_REDUCE_ONLY
            self.engine.on_order(ts, now, self.order_id(row), status, reason, float(row["leavesQty"]), filled=float(row["cumExecQty"]))
