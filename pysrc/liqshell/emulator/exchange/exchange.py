"""The model of a Bybit-V5 unified account on linear perpetuals: the venue's state and its messages. No sockets, clock or signatures.

The caller gives the time: `now_ns` of a call, ts_recv of market data (a driver with its own network gives market data at the venue's time). Times
must not run backwards. Two exchanges with the same seed and the same input give the same output, ids included.

    exchange = Exchange(CONTRACTS, Settings(), seed=7)
    account = exchange.open_account("key", "secret", equity=10_000.0)
    exchange.on_events(rows)                                   # rows of EVENT_DTYPE; instrument = index into the contracts
    code, text, data, extra = exchange.order("order.create", [{"category": "linear", ...}], account, now_ns)
    code, text, result = exchange.rest("GET", "/v5/order/realtime", "category=linear&symbol=ETHUSDT", b"", account, now_ns)
    for account, topic, ts_ns, rows in exchange.take(): ...    # private stream, in the order in which the venue says it

The exchange takes requests; each part that does them says in its constructor what it needs: Positions (accounts, margin), PrivateStream, Ledger
(executions), Books (orders and their places in the matcher), OrderRules, Matching with PositionStops, OrderChanges, Liquidation, RestReads.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray

from liqcore.instrument import Instrument
from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.account_settings import AccountSettings
from liqshell.emulator.exchange.accounts import TOPICS, Account
from liqshell.emulator.exchange.ledger import Ledger
from liqshell.emulator.exchange.liquidation import NEVER, Liquidation
from liqshell.emulator.exchange.matching import Matching
from liqshell.emulator.exchange.order_books import CAPACITY, Books
from liqshell.emulator.exchange.order_changes import OrderChanges
from liqshell.emulator.exchange.order_entry import OrderRules
from liqshell.emulator.exchange.orders import Ids, Order, acknowledgement
from liqshell.emulator.exchange.parameters import Fields, Listing, text
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream, StreamMessage
from liqshell.emulator.exchange.refusals import (
    BAD_PARAMETER,
    NO_ROUTE,
    NOT_PERMITTED,
    Refused,
    bad,
)
from liqshell.emulator.exchange.rest_reads import RestReads
from liqshell.emulator.exchange.settings import Settings
from liqshell.emulator.market.contracts import Contract

__all__ = ["BATCH_MAX", "OPERATIONS", "TOPICS", "Account", "Exchange", "Settings"]

OPERATIONS = ("order.create", "order.amend", "order.cancel", "order.create-batch", "order.amend-batch", "order.cancel-batch")
BATCH_MAX = 20
UNKNOWN_OPERATION = 10404
READS = {  # path -> part and method of it
    "/v5/order/realtime": "reads.realtime",
    "/v5/order/history": "reads.history",
    "/v5/execution/list": "reads.executions",
    "/v5/position/list": "reads.position_list",
    "/v5/account/wallet-balance": "reads.wallet",
    "/v5/account/fee-rate": "reads.fee_rates",
    "/v5/account/info": "reads.info",
    "/v5/position/closed-pnl": "reads.closed_profit",
    "/v5/asset/coin/query-info": "reads.coins",
    "/v5/account/query-dcp-info": "reads.no_switch",
    "/v5/account/transaction-log": "reads.transactions",
    "/v5/account/collateral-info": "reads.collateral",
    "/v5/asset/coin-greeks": "reads.greeks",
}
WRITES = {
    "/v5/order/cancel-all": "changes.cancel_all",
    "/v5/order/pre-check": "rules.pre_check",
    "/v5/position/trading-stop": "matching.stops.trading_stop",
    "/v5/position/set-leverage": "account_settings.set_leverage",
    "/v5/position/switch-mode": "account_settings.switch_mode",
    "/v5/order/disconnected-cancel-all": "account_settings.dead_man_switch",
    "/v5/account/set-margin-mode": "account_settings.set_margin_mode",
    "/v5/position/switch-isolated": "account_settings.no_isolation",
}
ORDERS = {f"/v5/order/{operation.removeprefix('order.')}": operation for operation in OPERATIONS}


def instrument_of(contract: Contract) -> Instrument:
    """A contract in the form of the core."""
    return Instrument(
        contract.symbol,
        venue="bybit",
        tick_size=f"{10.0**-contract.tick_decimals:.{contract.tick_decimals}f}",
        lot_size=f"{10.0**-contract.lot_decimals:.{contract.lot_decimals}f}",
        min_notional=5.0,
    )


class Exchange:
    """The venue. `account.topics`: the topics of its private stream; remove a topic without listeners to save time."""

    def __init__(self, contracts: Sequence[Contract], settings: Settings | None = None, seed: int = 0) -> None:
        self.settings = s = settings or Settings()
        self.listing, self.ids = Listing(contracts), Ids(seed)
        self.matcher = Matcher(
            [instrument_of(contract) for contract in self.listing.contracts],
            self,
            fills=s.fills,
            taker=s.taker,
            hidden=s.hidden,
            half_spread=s.half_spread,
            print_wait_s=s.print_wait_s,
            quote_age_s=s.quote_age_s,
            capacity=CAPACITY,
        )
        self.matcher.wake = 0  # the first event or request tells the time
        self.positions = Positions(self.listing, s, self.matcher)
        self.stream = PrivateStream(self.positions)
        self.ledger = Ledger(s, self.matcher, self.ids, self.positions, self.stream)
        self.books = Books(s, self.matcher, self.ids, self.positions, self.stream)
        self.rules = OrderRules(self.listing, s, self.matcher, self.ids, self.positions, self.books)
        self.matching = Matching(self.listing, s, self.matcher, self.ids, self.positions, self.stream, self.books, self.ledger, self.rules)
        self.changes = OrderChanges(self.listing, s, self.matcher, self.positions, self.stream, self.books, self.rules, self.matching.stops)
        self.liquidation = Liquidation(
            self.listing, s, self.matcher, self.ids, self.positions, self.stream, self.books, self.ledger, self.matching, self.changes
        )
        self.reads = RestReads(self.listing, s, self.positions)
        self.account_settings = AccountSettings(self.listing, self.positions, self.stream)
        # what the matcher reports goes straight to the part that acts on it
        self.on_fill, self.on_trigger, self.on_capped = self.matching.on_fill, self.matching.on_trigger, self.matching.on_capped
        self.on_mark, self.on_time = self.liquidation.on_mark, self.liquidation.on_time
        # what a test, or a person, does to an account
        self.liquidate, self.deleverage = self.liquidation.liquidate, self.liquidation.deleverage
        self._handlers = {path: attrgetter(name)(self) for path, name in (READS | WRITES).items()}
        self.contracts, self.index = self.listing.contracts, self.listing.index  # index: symbol -> place among the contracts
        self.accounts = self.positions.accounts  # by API key

    @property
    def halted(self) -> set[str]:
        """Symbols that are not trading: their orders are refused with 110074. May be set at any time."""
        return self.listing.halted

    @halted.setter
    def halted(self, symbols: set[str]) -> None:
        self.listing.halted = symbols

    @property
    def stale_ns(self) -> int:
        """GET answers about an account come from its state so long ago; 0 = now. May be set at any time."""
        return self.reads.stale_ns

    @stale_ns.setter
    def stale_ns(self, age_ns: int) -> None:
        self.reads.stale_ns = age_ns

    def open_account(self, key: str, secret: str, equity: float = 10_000.0, *, name: str = "") -> Account:
        """A funded account; the secret is kept for the check of signatures (account.secret) and is in no repr."""
        if key in self.accounts:
            raise ValueError(f"the emulated venue already has an account with the key {key!r}")
        if not 0.0 < equity < 1e12:
            raise ValueError(f"equity: expected a positive sum in USDT, got {equity!r}")
        account = Account(key, secret, 1_000_001 + len(self.accounts), name or f"account{len(self.accounts) + 1}", equity, self.settings.history_max)
        self.accounts[key] = account
        account.wallets.append((0, self.positions.wallet_row(account)))
        return account

    # ---- the market and time ----

    def on_events(self, rows: NDArray[np.void]) -> None:
        """Market data in order of ts_recv (TRADE, BBO, TICKER; other kinds pass by). Actions that are due before a row happen before it."""
        self.matcher.on_events(rows)

    def advance(self, now_ns: int) -> None:
        """Time passes: funding that is due by now_ns is settled."""
        self.matcher.pass_time(now_ns)

    @property
    def next_ns(self) -> int | None:
        """When advance() has something to do; None = never, as things stand."""
        funding = self.matcher.wake if self.positions.held_now and self.settings.funding_interval_s > 0.0 else NEVER
        due = min(funding, self.matcher.wait_next)
        return None if due == NEVER else due

    # ---- requests ----

    def rest(self, method: str, path: str, query: str, body: bytes, account: Account | None, now_ns: int) -> tuple[int, str, dict[str, Any]]:
        """A REST request whose signature has been checked -> retCode, retMsg, result.

        query: raw, without '?'. account None: answers 10005. Unknown paths answer 10017; nothing is raised. The batch paths put their
        per-item codes into result["retExtInfo"], which the server moves to its place in the envelope.
        """
        now_ns = max(now_ns, self.matcher.now)
        self.matcher.pass_time(now_ns)
        try:
            fields: Fields = dict(parse_qsl(query, keep_blank_values=True)) if method == "GET" else _json(body)
            known = READS if method == "GET" else WRITES if method == "POST" else {}
            if path not in known and not (method == "POST" and path in ORDERS):
                return NO_ROUTE, "Route not found", {}
            if account is None:
                return NOT_PERMITTED, "Permission denied, please check your API key permissions.", {}
            if path in known:
                with self.stream.together(now_ns):
                    return 0, "OK", self._handlers[path](account, fields, now_ns)
            code, message, data, extra = self.order(ORDERS[path], [fields], account, now_ns)
            return code, message, data | {"retExtInfo": extra} if extra else data
        except Refused as refusal:
            return refusal.code, refusal.text, {}

    def order(
        self, operation: str, args: Sequence[Mapping[str, Any]], account: Account, now_ns: int
    ) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        """An operation of the order-entry websocket (OPERATIONS) -> retCode, retMsg, data, retExtInfo. Unknown operations answer 10404."""
        now_ns = max(now_ns, self.matcher.now)
        self.matcher.pass_time(now_ns)
        if operation not in OPERATIONS:
            return UNKNOWN_OPERATION, f"op {operation} is not supported", {}, {}
        if not isinstance(args, Sequence) or len(args) != 1 or not isinstance(args[0], Mapping):
            return BAD_PARAMETER, "params error: args invalid, expected exactly one", {}, {}
        with self.stream.together(now_ns):
            try:
                if operation.endswith("-batch"):
                    return self._batch(operation.removesuffix("-batch"), args[0], account, now_ns)
                return 0, "OK", dict(acknowledgement(self._single(operation, args[0], account, now_ns))), {}
            except Refused as refusal:
                return refusal.code, refusal.text, {}, {}

    def _single(self, operation: str, fields: Fields, account: Account, now_ns: int) -> Order:
        if operation == "order.create":
            return self.matching.create(account, fields, now_ns)
        return (self.changes.amend if operation == "order.amend" else self.changes.cancel)(account, fields, now_ns)

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

    def take(self) -> list[StreamMessage]:
        """All messages on the private streams since the last call: (account, topic, time ns, rows of `data`), in order.
        The rows are the venue's JSON objects; they are shared with the model: encode or copy, never change them."""
        return self.stream.take()

    def manual_trade(self, account: Account, symbol: str, side: Literal["Buy", "Sell"], qty: str, now_ns: int, *, reduce: bool = False) -> str:
        """A market order from the venue's own app (no orderLinkId): returns its orderId. Refused where the venue does not take it."""
        now_ns = max(now_ns, self.matcher.now)
        with self.stream.together(now_ns):
            fields = {"category": "linear", "symbol": symbol, "side": side, "orderType": "Market", "qty": qty, "reduceOnly": reduce}
            return self.matching.create(account, fields, now_ns).id

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
                covering = [
                    o
                    for o in account.open.values()
                    if o.n == n and o.idx == idx and o.reduce and o.side == loses and (o.direction == loses if o.waiting else o.market)
                ]
                positions[c.symbol, idx] = {
                    "qty": h.qty,
                    "entry": h.entry,
                    "trailing": stops["TrailingStop"].trail / c.tick_power if "TrailingStop" in stops else 0.0,
                    "stop_loss": stops["StopLoss"].trigger / c.tick_power if "StopLoss" in stops else 0.0,
                    "take_profit": stops["TakeProfit"].trigger / c.tick_power if "TakeProfit" in stops else 0.0,
                    "stop_qty": sum(o.left for o in covering) / c.lot_power,
                }
        for o in account.open.values():
            c = o.contract
            orders.append(
                {
                    "order_id": o.id,
                    "link_id": o.link_id,
                    "symbol": c.symbol,
                    "idx": o.idx,
                    "side": o.side,
                    "qty": o.qty / c.lot_power,
                    "left": o.left / c.lot_power,
                    "price": o.price / c.tick_power,
                    "trigger": o.trigger / c.tick_power,
                    "reduce_only": o.reduce,
                    "status": o.status,
                    "kind": o.kind,
                }
            )
        return {
            "positions": positions,
            "orders": orders,
            "balance": account.balance,
            "equity": self.positions.totals(account)[0],
            "available": self.positions.available(account),
            "ended": account.ended_links,
        }


def _json(body: bytes) -> Fields:
    try:
        fields = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise bad("params error: the body is not JSON") from None
    if not isinstance(fields, dict):
        raise bad("params error: the body is not a JSON object")
    return fields
