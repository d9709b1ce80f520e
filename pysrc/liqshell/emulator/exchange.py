"""The model of a Bybit-V5 unified account on linear perpetuals: what the venue believes, and what it says about it. No sockets, clock or signatures.

Time is what the caller says: `now_ns` of a call, ts_recv of market data (a driver with a network of its own hands in market data at the venue's
time). Times must not run backwards. Two exchanges with the same seed that are told the same say the same, to the last id.

    exchange = Exchange(CONTRACTS, Settings(), seed=7)
    account = exchange.open_account("key", "secret", equity=10_000.0)
    exchange.on_events(rows)                                   # rows of EVENT_DTYPE; instrument = index into the contracts
    code, text, data, extra = exchange.order("order.create", [{"category": "linear", ...}], account, now_ns)
    code, text, result = exchange.rest("GET", "/v5/order/realtime", "category=linear&symbol=ETHUSDT", b"", account, now_ns)
    for account, topic, ts_ns, rows in exchange.take(): ...    # private stream, in the order in which the venue says it

ledger (money) <- triggers (stops) <- entry <- trading <- amending <- forced <- reads <- Exchange: one object in readable parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray

from .accounts import TOPICS, Account
from .forced import NEVER
from .orders import Order, acknowledgement
from .parameters import Fields, instrument, text, whole
from .reads import Reads
from .refusals import (
    BAD_PARAMETER,
    LEVERAGE_LIMIT,
    LEVERAGE_NOT_MODIFIED,
    MARGIN_MODE_FAILED,
    MODE_BLOCKED_BY_ORDERS,
    MODE_BLOCKED_BY_POSITION,
    MODE_NOT_MODIFIED,
    NO_BALANCE,
    NO_ROUTE,
    NOT_PERMITTED,
    UNIFIED_FORBIDDEN,
    Refused,
    bad,
    refused,
)
from .venue_settings import Settings

__all__ = ["BATCH_MAX", "OPERATIONS", "TOPICS", "Account", "Exchange", "Settings"]

OPERATIONS = ("order.create", "order.amend", "order.cancel", "order.create-batch", "order.amend-batch", "order.cancel-batch")
BATCH_MAX = 20
UNKNOWN_OPERATION = 10404
PUBLIC = {"/v5/market/price-limit": "price_limit"}
READS = {
    "/v5/order/realtime": "realtime", "/v5/order/history": "history", "/v5/execution/list": "executions", "/v5/position/list": "positions",
    "/v5/account/wallet-balance": "wallet", "/v5/account/fee-rate": "fee_rates", "/v5/account/info": "info", "/v5/user/query-api": "key_info",
    "/v5/position/closed-pnl": "closed_profit", "/v5/asset/coin/query-info": "coins", "/v5/account/query-dcp-info": "no_switch",
    "/v5/account/transaction-log": "transactions"}
WRITES = {
    "/v5/order/cancel-all": "cancel_all", "/v5/order/pre-check": "pre_check", "/v5/position/trading-stop": "trading_stop",
    "/v5/position/set-leverage": "set_leverage", "/v5/position/switch-mode": "switch_mode", "/v5/order/disconnected-cancel-all": "dead_man_switch",
    "/v5/account/set-margin-mode": "set_margin_mode", "/v5/position/switch-isolated": "no_isolation"}
ORDERS = {f"/v5/order/{operation.removeprefix('order.')}": operation for operation in OPERATIONS}


class Exchange(Reads):
    """The venue. `accounts`: by API key. `stale_ns`: GET answers about an account come from its state so long ago (0 = now); may be set at any time.
    `halted`: symbols that are not trading (orders are refused with 110074). `account.topics`: what is said on its private stream; take a topic out
    where nobody listens, to save the time."""

    def open_account(self, key: str, secret: str, equity: float = 10_000.0, *, name: str = "") -> Account:
        """A funded account; the secret is kept for whoever checks signatures (account.secret), and shows in no repr."""
        if key in self.accounts:
            raise ValueError(f"the emulated venue has an account with the key {key!r} already")
        if not 0.0 < equity < 1e12:
            raise ValueError(f"equity: expected a positive sum in USDT, got {equity!r}")
        account = Account(key, secret, 1_000_001 + len(self.accounts), name or f"account{len(self.accounts) + 1}", equity, self.settings.history_max)
        self.accounts[key] = account
        account.wallets.append((0, self.wallet_row(account)))
        return account

    # ---- the market and time ----

    def on_events(self, rows: NDArray[np.void]) -> None:
        """Market data in order of ts_recv (TRADE, BBO, TICKER; other kinds pass by). What is due before a row is done before it."""
        self.matcher.on_events(rows)

    def advance(self, now_ns: int) -> None:
        """Time passes: funding that is due by now_ns is settled."""
        self.matcher.pass_time(now_ns)

    @property
    def next_ns(self) -> int | None:
        """When advance() has something to do; None = never, as things stand."""
        funding = self.matcher.wake if self.held_now and self.settings.funding_interval_s > 0.0 else NEVER
        due = min(funding, self.matcher.wait_next)
        return None if due == NEVER else due

    # ---- requests ----

    def rest(self, method: str, path: str, query: str, body: bytes, account: Account | None, now_ns: int) -> tuple[int, str, dict[str, Any]]:
        """A REST request whose signature has been checked -> retCode, retMsg, result.

        query: raw, without '?'. account None: public paths only (others answer 10005). Unknown paths answer 10017; nothing is raised. The batch
        paths put their per-item codes into result["retExtInfo"], which the server moves to its place in the envelope.
        """
        now_ns = max(now_ns, self.matcher.now)
        self.matcher.pass_time(now_ns)
        try:
            fields: Fields = dict(parse_qsl(query, keep_blank_values=True)) if method == "GET" else _json(body)
            if method == "GET" and path in PUBLIC:
                return 0, "OK", getattr(self, PUBLIC[path])(fields, now_ns)
            known = READS if method == "GET" else WRITES if method == "POST" else {}
            if path not in known and not (method == "POST" and path in ORDERS):
                return NO_ROUTE, "Route not found", {}
            if account is None:
                return NOT_PERMITTED, "Permission denied, please check your API key permissions.", {}
            if path in known:
                with _Request(self, now_ns):
                    return 0, "OK", getattr(self, known[path])(account, fields, now_ns)
            code, message, data, extra = self.order(ORDERS[path], [fields], account, now_ns)
            return code, message, data | {"retExtInfo": extra} if extra else data
        except Refused as refusal:
            return refusal.code, refusal.text, {}

    def order(self, operation: str, args: Sequence[Mapping[str, Any]], account: Account, now_ns: int
              ) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        """An operation of the order-entry websocket (OPERATIONS) -> retCode, retMsg, data, retExtInfo. Unknown operations answer 10404."""
        now_ns = max(now_ns, self.matcher.now)
        self.matcher.pass_time(now_ns)
        if operation not in OPERATIONS:
            return UNKNOWN_OPERATION, f"op {operation} is not supported", {}, {}
        if not isinstance(args, Sequence) or len(args) != 1 or not isinstance(args[0], Mapping):
            return BAD_PARAMETER, "params error: args invalid, expected exactly one", {}, {}
        with _Request(self, now_ns):
            try:
                if operation.endswith("-batch"):
                    return self._batch(operation.removesuffix("-batch"), args[0], account, now_ns)
                return 0, "OK", dict(acknowledgement(self._single(operation, args[0], account, now_ns))), {}
            except Refused as refusal:
                return refusal.code, refusal.text, {}, {}

    def _single(self, operation: str, fields: Fields, account: Account, now_ns: int) -> Order:
        if operation == "order.create":
            return self.create(account, fields, now_ns)
        return (self.amend if operation == "order.amend" else self.cancel)(account, fields, now_ns)

    def _batch(self, operation: str, fields: Fields, account: Account, now_ns: int) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        category, requests = text(fields, "category"), fields.get("request")
        if category != "linear" or not isinstance(requests, Sequence) or not 1 <= len(requests) <= BATCH_MAX:
            raise bad("Illegal category" if category != "linear" else f"params error: request invalid, expected 1 to {BATCH_MAX} orders")
        done: list[dict[str, Any]] = []
        codes: list[dict[str, Any]] = []
        for one in requests:
            one = {**one, "category": category} if isinstance(one, Mapping) else {"category": category}
            row = {"category": category, "symbol": text(one, "symbol"), "orderId": text(one, "orderId"), "orderLinkId": text(one, "orderLinkId")}
            try:
                row.update(acknowledgement(self._single(operation, one, account, now_ns)))
                codes.append({"code": 0, "msg": "OK"})
            except Refused as refusal:
                codes.append({"code": refusal.code, "msg": refusal.text})
            if operation == "order.create":
                row["createAt"] = str(now_ns // 1_000_000) if row["orderId"] else ""
            done.append(row)
        return 0, "OK", {"list": done}, {"list": codes}

    # ---- settings of the account ----

    def set_leverage(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/set-leverage."""
        n = instrument(self.index, set(), fields)
        try:
            leverage, sell = float(text(fields, "buyLeverage")), float(text(fields, "sellLeverage"))
        except ValueError:
            raise bad("params error: buyLeverage or sellLeverage invalid") from None
        if leverage != sell or not leverage >= 1.0:
            raise bad("buy leverage not equal sell leverage" if leverage != sell else "leverage invalid")
        if leverage > self.contracts[n].leverage_max:
            raise refused(LEVERAGE_LIMIT)
        held = [self.holding(account, n, idx) for idx in ((1, 2) if n in account.hedge else (0,))]
        before = held[0].leverage
        if leverage == before:
            raise refused(LEVERAGE_NOT_MODIFIED)
        for h in held:
            h.leverage = leverage
        if leverage < before and self.available(account) < 0.0:
            for h in held:
                h.leverage = before
            raise refused(NO_BALANCE)
        self._moved.update(dict.fromkeys(held))
        return {}

    def switch_mode(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/switch-mode: 0 one-way, 3 hedge; of a symbol, or of all of a coin."""
        if text(fields, "category") != "linear":
            raise bad("Illegal category")
        mode, symbol = whole(fields, "mode", -1), text(fields, "symbol")
        if mode not in (0, 3) or not (symbol or text(fields, "coin")) or symbol and symbol not in self.index:
            raise bad("params error: " + ("mode" if mode not in (0, 3) else "symbol") + " invalid")
        chosen = {self.index[symbol]} if symbol else set(range(len(self.contracts)))
        changing = {n for n in chosen if (n in account.hedge) != (mode == 3)}
        if not changing:
            raise refused(MODE_NOT_MODIFIED)
        if any(h.size for (n, _), h in account.holdings.items() if n in changing):
            raise refused(MODE_BLOCKED_BY_POSITION)
        if any(order.n in changing for order in account.open.values()):
            raise refused(MODE_BLOCKED_BY_ORDERS)
        account.hedge = account.hedge | changing if mode == 3 else account.hedge - changing
        return {}

    def set_margin_mode(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/account/set-margin-mode: the account is in cross margin and stays so."""
        mode = text(fields, "setMarginMode")
        if mode not in ("REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN"):
            raise bad("params error: setMarginMode invalid")
        if mode != "REGULAR_MARGIN":
            raise refused(MARGIN_MODE_FAILED)
        return {"reasons": []}

    def no_isolation(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/switch-isolated: not of a unified account."""
        raise refused(UNIFIED_FORBIDDEN)

    def dead_man_switch(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/order/disconnected-cancel-all: institutions only."""
        raise refused(NOT_PERMITTED, "Permission denied, please check your API key permissions.")

    def pre_check(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/order/pre-check: what an order would do to the margin; nothing is created."""
        def rates() -> tuple[int, int]:
            equity, _, held, orders, kept = self.totals(account)
            return (round((held + orders) / equity * 10_000), round(kept / equity * 10_000)) if equity > 0.0 else (0, 0)
        n = instrument(self.index, self.halted, fields)
        order = self.read(account, n, fields, now_ns)
        self.judge(order)
        before = rates()
        self.reserve(order)
        after = rates()
        self.release(order)
        return {**acknowledgement(order), "preImrE4": before[0], "preMmrE4": before[1], "postImrE4": after[0], "postMmrE4": after[1]}

    # ---- what a test, or a person, does to an account ----

    def manual_trade(self, account: Account, symbol: str, side: Literal["Buy", "Sell"], qty: str, now_ns: int, *, reduce: bool = False) -> str:
        """A market order from the venue's own app (no orderLinkId): returns its orderId. Refused where the venue does not take it."""
        now_ns = max(now_ns, self.matcher.now)
        with _Request(self, now_ns):
            fields = {"category": "linear", "symbol": symbol, "side": side, "orderType": "Market", "qty": qty, "reduceOnly": reduce}
            return self.create(account, fields, now_ns).id

    def truth(self, account: Account) -> dict[str, Any]:
        """For tests: what is really so now, as numbers and without any staleness.

        {"positions": {(symbol, idx): {"qty" (signed), "entry", "stop_loss", "take_profit", "trailing", "stop_qty" (what resting stops and market
        orders would close)}}, "orders": [{"order_id", "link_id", "symbol", "idx", "side", "qty", "left", "price", "trigger", "reduce_only", "status",
        "kind"}], "balance", "equity", "available", "ended": {link_id: status}}.
        """
        positions = {}
        orders = []
        for (n, idx), h in account.holdings.items():
            if h.size:
                c, stops = h.contract, {kind: order for kind, order in h.stops.items() if order.open}
                loses = -1 if h.size > 0 else 1
                covering = [o for o in account.open.values() if o.n == n and o.idx == idx and o.reduce and o.side == loses
                            and (o.direction == loses if o.waiting else o.market)]
                positions[c.symbol, idx] = {
                    "qty": h.qty, "entry": h.entry, "trailing": stops["TrailingStop"].trail / c.tick_power if "TrailingStop" in stops else 0.0,
                    "stop_loss": stops["StopLoss"].trigger / c.tick_power if "StopLoss" in stops else 0.0,
                    "take_profit": stops["TakeProfit"].trigger / c.tick_power if "TakeProfit" in stops else 0.0,
                    "stop_qty": sum(o.left for o in covering) / c.lot_power}
        for o in account.open.values():
            c = o.contract
            orders.append({"order_id": o.id, "link_id": o.link_id, "symbol": c.symbol, "idx": o.idx, "side": o.side, "qty": o.qty / c.lot_power,
                           "left": o.left / c.lot_power, "price": o.price / c.tick_power, "trigger": o.trigger / c.tick_power,
                           "reduce_only": o.reduce, "status": o.status, "kind": o.kind})
        return {"positions": positions, "orders": orders, "balance": account.balance, "equity": self.totals(account)[0],
                "available": self.available(account), "ended": account.ended_links}


def _json(body: bytes) -> Fields:
    try:
        fields = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise bad("params error: the body is not JSON") from None
    if not isinstance(fields, dict):
        raise bad("params error: the body is not a JSON object")
    return fields


class _Request:
    """While it is handled nothing is pushed: what it does is said once, at its end."""

    __slots__ = ("exchange", "now_ns")

    def __init__(self, exchange: Exchange, now_ns: int) -> None:
        self.exchange, self.now_ns = exchange, now_ns

    def __enter__(self) -> None:
        self.exchange.held = True

    def __exit__(self, *_: object) -> None:
        self.exchange.held = False
        self.exchange.flush(self.now_ns)
