"""The accounts of the emulated venue in a file: money, positions, orders with their states, and the prices of the market.
It is written after changes once a second, and at the end, to a temporary file that then replaces it: a kill at any moment leaves a complete file.

What is long over is kept short: the last orders, executions and bookings of an account, and every orderLinkId ever used.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

import orjson

from liqshell import input_file
from liqshell.emulator.exchange.accounts import TRAILING, Account, Closing, Holding
from liqshell.emulator.exchange.exchange import Exchange
from liqshell.emulator.exchange.orders import Order
from liqshell.emulator.exchange.parameters import WATCHES
from liqshell.emulator.market.market_state import SymbolState
from liqshell.errors import DataError

VERSION = 1
ROWS_KEPT = 500  # of what is over, for each account
MONEY = ("balance", "start", "realised")
PLAIN = (int, str, float, bool)
POSITION = (
    "leverage",
    *(one.name for one in fields(Holding) if one.type in PLAIN and one.default is not MISSING and one.name not in ("buys", "sells")),
)
ORDER = tuple(one.name for one in fields(Order) if one.type in PLAIN and one.default is not MISSING and one.name != "slot")


@dataclass
class Saved:
    """The content of a file; market_ns: when it was written. accounts: by API key. market: by symbol, {"ticker": ..., "bid": ..., "ask": ...}."""

    market_ns: int = 0
    seed: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    market: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def prices(self) -> dict[str, float]:
        """The last price of each symbol."""
        return {symbol: float(one["ticker"]["lastPrice"]) for symbol, one in self.market.items() if one["ticker"].get("lastPrice")}


def load(path: Path, seed: int) -> Saved | None:
    """The content of a file; None if there is none yet. DataError where it cannot be read or belongs to another market: nothing is begun
    anew silently."""
    try:
        raw = input_file.content(path)
    except FileNotFoundError:
        return None
    except OSError as why:
        raise DataError(str(path), why.strerror or str(why), "a file of an emulator's accounts") from why
    aside = "Move the file to begin with new accounts"
    try:
        found = orjson.loads(raw)
        version, saved = found.pop("version"), Saved(**found)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as why:
        raise DataError(str(path), f"not a file of the emulator: {why}", "JSON of this version", aside) from why
    if version != VERSION:
        raise DataError(str(path), f"version {version!r}", f"version {VERSION}", aside)
    if saved.seed != seed:
        raise DataError(
            str(path),
            f"accounts of seed {saved.seed}",
            f"seed {seed}, because keys depend on it",
            f"Start with --seed {saved.seed}, or move the file",
        )
    return saved


class Keeper:
    """Writes the accounts of one exchange. changed: a number that grows with everything that happens to an account."""

    def __init__(self, path: Path, exchange: Exchange, states: Mapping[str, SymbolState], seed: int, changed: Callable[[], int]) -> None:
        self.path, self.exchange, self.states, self.seed, self._changed = path, exchange, states, seed, changed
        self._written = -1

    def keep(self, now_ns: int, always: bool = False) -> None:
        """Write what has changed since the last time."""
        changed = self._changed()
        if changed == self._written and not always:
            return
        exchange = self.exchange
        market = {symbol: {"ticker": state.ticker, "bid": state.bid, "ask": state.ask} for symbol, state in self.states.items()}
        body = {
            "version": VERSION,
            "market_ns": now_ns,
            "seed": self.seed,
            "counters": exchange.ids.counters(),
            "accounts": {key: _account(exchange, one) for key, one in exchange.accounts.items()},
            "market": market,
        }
        beside = self.path.with_name(self.path.name + ".new")
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(orjson.dumps(body))
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as why:
            raise DataError(str(self.path), why.strerror or str(why), "a writable file") from why
        self._written = changed


def _fields(one: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(one, name) for name in names}


def _account(exchange: Exchange, account: Account) -> dict[str, Any]:
    ended = list(account.ended)[-ROWS_KEPT:]
    symbols = [contract.symbol for contract in exchange.contracts]
    return {
        "money": _fields(account, MONEY),
        "hedge": [symbols[n] for n in sorted(account.hedge)],
        "liquidating": account.liquidating,
        "positions": [
            {
                "symbol": h.contract.symbol,
                "idx": h.idx,
                **_fields(h, POSITION),
                "stops": {kind: o.id for kind, o in h.stops.items()},
                "partial": [o.id for o in h.partial],
            }
            for h in account.holdings.values()
        ],
        "open": [_order(exchange, one) for one in account.open.values()],
        "ended": [_order(exchange, one) for one in ended],
        "used_links": sorted(account.used_links),
        "ended_links": account.ended_links,
        "executions": list(account.executions)[-ROWS_KEPT:],
        "log": list(account.log)[-ROWS_KEPT:],
        "closings": [(ts, row, tuple(part)) for ts, row, part in list(account.closings)[-ROWS_KEPT:]],
    }


def _order(exchange: Exchange, order: Order) -> dict[str, Any]:
    out = {
        "id": order.id,
        "symbol": order.contract.symbol,
        "side": order.side,
        "market": order.market,
        "qty": order.qty,
        **_fields(order, ORDER),
        "slippage": order.slippage,
        "owner": order.owner.id if order.owner else "",
        "twin": order.twin.id if order.twin else "",
    }
    if order.slot >= 0 and order.trail and not order.account.holdings[order.n, order.idx].active:
        out["followed"] = exchange.matcher.trigger(order.slot)  # to where a trailing stop has moved
    return out


def restore(path: Path, saved: Saved, exchange: Exchange, states: Mapping[str, SymbolState], now_ns: int) -> None:
    """Into an exchange whose accounts have been opened, and the market's first state. DataError where the file does not fit them."""
    try:
        for key, one in saved.accounts.items():
            account = exchange.accounts.get(key)
            if account is not None:  # fewer accounts are offered than there were
                _restore(exchange, account, one, now_ns)
        exchange.ids.recount(saved.counters, Random(f"{saved.seed} {saved.counters}"))
        for symbol, found in saved.market.items():
            state = states.get(symbol)
            if state is not None and found["bid"] and found["ask"]:
                state.ticker, state.bid, state.ask = dict(found["ticker"]), tuple(found["bid"]), tuple(found["ask"])
                state.book_ms = now_ns // 1_000_000
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as why:
        raise DataError(
            str(path),
            f"does not fit this market: {type(why).__name__} {why}",
            ", ".join(states),
            "Start with the contracts of the file, or move the file",
        ) from why


def _restore(exchange: Exchange, account: Account, found: Mapping[str, Any], now_ns: int) -> None:
    for name in MONEY:
        setattr(account, name, float(found["money"][name]))
    account.hedge = {exchange.index[symbol] for symbol in found["hedge"]}
    account.liquidating = bool(found["liquidating"])
    account.used_links, account.ended_links = set(found["used_links"]), dict(found["ended_links"])
    most = exchange.settings.history_max
    account.executions = deque(((int(ts), row) for ts, row in found["executions"]), maxlen=most)
    account.log = deque(((int(ts), row, float(balance), float(size)) for ts, row, balance, size in found["log"]), maxlen=most)
    account.closings = deque(((int(ts), row, Closing(*part)) for ts, row, part in found["closings"]), maxlen=most)
    for one in found["positions"]:
        h = exchange.positions.holding(account, exchange.index[one["symbol"]], int(one["idx"]))
        for name in POSITION:
            setattr(h, name, one[name])
        if h.size:
            exchange.positions.held_now.add(h)
    orders: dict[str, tuple[Order, Mapping[str, Any]]] = {}
    for one in (*found["ended"], *found["open"]):
        order = _made(exchange, account, one)
        orders[order.id] = order, one
        account.orders[order.id] = order
        if order.link_id:
            account.links[order.link_id] = order
        order.versions.append((now_ns, order.row()))
    for order, one in orders.values():
        order.owner, order.twin = (orders[one[name]][0] if one[name] in orders else None for name in ("owner", "twin"))
    account.ended.extend(orders[one["id"]][0] for one in found["ended"])
    for one in found["positions"]:
        h = exchange.positions.holding(account, exchange.index[one["symbol"]], int(one["idx"]))
        h.stops = {kind: orders[order_id][0] for kind, order_id in one["stops"].items()}
        h.partial = [orders[order_id][0] for order_id in one["partial"]]
    for one in found["open"]:
        order = orders[one["id"]][0]
        account.open[order.id] = order
        exchange.positions.reserve(order)
        _rest(exchange, order, exchange.positions.holding(account, order.n, order.idx), int(one.get("followed", order.trigger)))
    account.wallets[:] = [(now_ns, exchange.positions.wallet_row(account))]


def _made(exchange: Exchange, account: Account, one: Mapping[str, Any]) -> Order:
    n = exchange.index[one["symbol"]]
    order = Order(account, str(one["id"]), n, exchange.contracts[n], int(one["side"]), bool(one["market"]), int(one["qty"]), 0)
    for name in ORDER:
        setattr(order, name, one[name])
    order.slippage = (one["slippage"][0], one["slippage"][1])
    return order


def _rest(exchange: Exchange, order: Order, h: Holding, trigger: int) -> None:
    """Its place in the matcher: on its trigger, in the book, or waiting for the next price."""
    matcher, n, side = exchange.matcher, order.n, order.side
    if order.waiting:
        if order.kind == TRAILING and h.active:
            slot = matcher.place(n, side, h.active, watch=WATCHES["LastPrice"], direction=-order.direction)
        else:
            slot = matcher.place(n, side, trigger, watch=WATCHES[order.trigger_by], direction=order.direction, trail=order.trail)
    else:
        slot = matcher.place(n, side, 0 if order.market else order.price)
    exchange.books.enter(order, exchange.books.room(slot))
    if order.market and not order.waiting:
        matcher.take(slot, order.cap)
