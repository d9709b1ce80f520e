"""The emulated venue's model by hand: one account, one symbol, prices given for a long and mirrored about 2500 for a short."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqcore.event import Kind
from liqshell.emulator.exchange import Exchange, Settings
from liqshell.emulator.market.contracts import CONTRACTS

LONG, SHORT = 1, -1
T0 = 1_772_452_800 * lc.SECOND  # a Monday, 12:00 UTC: four hours to the next funding
ETH = 1  # index in CONTRACTS


class Floor:
    """side: of the trader; "open" is then the side that opens, "close" the other."""

    def __init__(self, side: int = LONG, equity: float = 10_000.0, quotes: bool = True, seed: int = 7, **settings: Any):
        self.side, self.now, self.links = side, T0, 0
        self.exchange = Exchange(CONTRACTS, Settings(**settings), seed)
        self.account = self.exchange.open_account("key", "secret", equity)
        self.rows: dict[str, list[dict]] = {}
        self.open, self.close = ("Buy", "Sell") if side > 0 else ("Sell", "Buy")
        if quotes:
            self.ticker(2500.0)
            self.quote(2499.99, 2500.01)
            self.trade(2500.0)
        self.hear()

    # ---- the market ----

    def price(self, long: float) -> float:
        return round(long if self.side > 0 else 5000.0 - long, 2)

    def text(self, long: float) -> str:
        return f"{self.price(long):.2f}"

    def put(self, **fields: Any) -> None:
        row = np.zeros(1, lc.EVENT_DTYPE)
        self.now += 1000
        row["ts_event"] = row["ts_recv"] = self.now
        row["instrument"] = ETH
        for name, value in fields.items():
            row[name] = value
        self.exchange.on_events(row)

    def trade(self, price: float, qty: float = 1.0, aggressor: int = -1) -> None:
        """aggressor: +1 = the side that we open with."""
        self.put(kind=Kind.TRADE, side=aggressor * self.side, price=self.price(price), qty=qty)

    def quote(self, near: float, far: float, near_qty: float = 5.0, far_qty: float = 5.0) -> None:
        """near: where an opening order rests, far: what it takes from."""
        self.shown = near, far, near_qty, far_qty
        (low, low_qty), (high, high_qty) = sorted(((self.price(near), near_qty), (self.price(far), far_qty)))
        self.put(kind=Kind.BBO, price=low, qty=low_qty, aux_price=high, aux_qty=high_qty)

    def ticker(self, mark: float, index: float = 0.0, rate: float = 0.0) -> None:
        self.put(kind=Kind.TICKER, price=self.price(mark), aux_price=self.price(index) if index else 0.0, aux_qty=rate)

    # ---- requests ----

    def ask(self, operation: str, **fields: Any) -> tuple[int, dict]:
        self.now += 1000
        code, text, data, _ = self.exchange.order(operation, [{"category": "linear", "symbol": "ETHUSDT", **fields}], self.account, self.now)
        assert code == 0 or text, "a refusal says why"
        self.hear()
        return code, data

    def create(self, side: str = "", **fields: Any) -> tuple[int, str]:
        """(code, orderLinkId)."""
        if "orderLinkId" not in fields:
            self.links += 1
            fields["orderLinkId"] = f"L{self.links}"
        fields = {"side": side or self.open, "orderType": "Limit" if "price" in fields else "Market", "qty": "1"} | fields
        return self.ask("order.create", **fields)[0], fields["orderLinkId"]

    def limit(self, price: float, side: str = "", **fields: Any) -> tuple[int, str]:
        return self.create(side, price=self.text(price), **({"timeInForce": "PostOnly"} | fields))

    def cancel(self, link: str) -> int:
        return self.ask("order.cancel", orderLinkId=link)[0]

    def amend(self, link: str, **fields: Any) -> int:
        return self.ask("order.amend", orderLinkId=link, **fields)[0]

    def post(self, path: str, **fields: Any) -> tuple[int, dict]:
        self.now += 1000
        code, _, result = self.exchange.rest(
            "POST", path, "", orjson.dumps({"category": "linear", "symbol": "ETHUSDT", **fields}), self.account, self.now
        )
        self.hear()
        return code, result

    def stop(self, **fields: Any) -> int:
        """trading-stop."""
        return self.post("/v5/position/trading-stop", **({"tpslMode": "Full", "positionIdx": 0} | fields))[0]

    def get(self, path: str, query: str = "category=linear&symbol=ETHUSDT") -> dict:
        code, text, result = self.exchange.rest("GET", path, query, b"", self.account, self.now)
        assert code == 0, text
        return result

    def enter(self, qty: str = "1", **fields: Any) -> str:
        """A position at 2500 by a maker's fill."""
        code, link = self.limit(2499.5, qty=qty, **fields)
        assert code == 0
        self.trade(2499.4)
        self.quote(*self.shown)  # that trade was through the book, which then stands where it was
        self.hear()
        return link

    # ---- what is said ----

    def hear(self) -> dict[str, list[dict]]:
        """The private stream since the last call, by topic; also kept in `rows`."""
        out: dict[str, list[dict]] = {}
        for _, topic, _, rows in self.exchange.take():
            out.setdefault(topic, []).extend(rows)
            self.rows.setdefault(topic, []).extend(rows)
        self.last = out
        return out

    def states(self, link: str) -> list[str]:
        """Every status that the stream has told of an order."""
        return [row["orderStatus"] for row in self.rows.get("order", []) if row["orderLinkId"] == link]

    def kind(self, kind: str) -> dict:
        """The latest word on the latest order of a stopOrderType."""
        return [row for row in self.rows["order"] if row["stopOrderType"] == kind][-1]

    @property
    def truth(self) -> dict:
        return self.exchange.truth(self.account)

    @property
    def held(self) -> float:
        """Signed quantity, + = the side that we open with."""
        return sum(p["qty"] for p in self.truth["positions"].values()) * self.side
