"""The operations that the gateway needs, each in terms of ccxt's unified methods; results are plain JSON values. Every one is made at most once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import aiohttp

import liqcore as lc
from liqshell.errors import ConfigError, VenueError
from liqshell.log import protect, redact
from liqshell.state.prefix import TIME_CHARS, is_ours
from liqshell.transport import SAFE, Endpoint, tls_context
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.ccxt.mapping import order_row, outcome_of, position_row, trade_row
from liqshell.venues.effects import Answer, Call
from liqshell.venues.outcome import Asked, Outcome

NEEDED = ("createOrder", "cancelOrder", "fetchOpenOrders", "fetchMyTrades", "fetchPositions", "fetchBalance")
EXCHANGES = {"bybit": "bybit", "binance_um": "binanceusdm", "okx": "okx"}  # ccxt's name of our venues
PASSPHRASE = "LIQCORE_API_PASSPHRASE"  # in the environment, for venues whose keys have one (OKX)
# whether the total of ccxt's balance has in it what open positions would bring (binance: marginBalance, OKX: eq; Bybit: walletBalance)
OPEN_COUNTS = {"bybit": False, "binanceusdm": True, "okx": True, "myokx": True, "okxus": True}
SYMBOLS_MAX = 10  # each is polled: more would use up what a venue allows
ROWS_MAX = 50  # orders of a question: the most that every venue gives
FILLS_MAX = 100  # executions of a question, and how many questions a span of time may take
PAGES_MAX = 20
IDS_MAX = 20_000
LOOKS_MAX = 3  # for the order of an execution; then its owner is unknown
OKX = ("okx", "myokx", "okxus")
SEPARATOR = dict.fromkeys(OKX, "Z")  # of the prefix and the number in a client order id; OKX takes letters and digits only, 32 of them
# asked beside what is asked for open orders, to see the stops that do_stop places: OKX has several kinds, and ccxt asks for another by default
STOPS = dict.fromkeys(OKX, {"trigger": True, "ordType": "conditional"})
CHANGES = {"create": Asked.CREATE, "amend": Asked.AMEND, "cancel": Asked.CANCEL, "stop": Asked.STOP, "leverage": Asked.SETTING}

_FIRST: ContextVar[bool] = ContextVar("first", default=False)  # requests of this task do not wait for those that change something


@contextmanager
def _first() -> Iterator[None]:
    mark = _FIRST.set(True)
    try:
        yield
    finally:
        _FIRST.reset(mark)


def make_exchange(name: str, keys: Keys, rest: str = "", ca: str = "") -> Any:
    """A ccxt exchange. rest: another address for all of its REST, "" = its own. ca: a PEM file that alone is trusted, "" = the system's authorities.
    ConfigError where there is no such exchange or no ccxt, or where nothing signed may go to one of its addresses."""
    try:
        import ccxt.async_support as ccxt
    except ImportError:
        raise ConfigError("[live] via", "ccxt is not installed", "pip install 'liqcore[ccxt]'") from None
    if name not in ccxt.exchanges:
        raise ConfigError("[live] exchange", f"found {name!r}", "an exchange of ccxt, such as 'binanceusdm'")
    kinds = ["swap"] if name in OKX else ["linear"]
    phrase = os.environ.get(PASSPHRASE, "")
    if phrase:
        protect(phrase)
    made = getattr(ccxt, name)(
        {
            "apiKey": keys.key,
            "secret": "redacted",
            "password": phrase,
            "enableRateLimit": True,
            "options": {"defaultType": "swap", "fetchMarkets": {"types": kinds}, "fetchCurrencies": False},
        }
    )
    needs = {what for what, wanted in made.requiredCredentials.items() if wanted}
    if odd := needs - {"apiKey", "secret", "password"}:
        raise ConfigError("[live] exchange", f"{name} signs with {', '.join(sorted(odd))}", "a venue of API keys")
    if "password" in needs and not phrase:
        raise ConfigError(f"keys for {name}", "no passphrase", f"{PASSPHRASE} in the environment")

    over = _on_endpoints(made, rest, ca)

    def sign(request: bytes, secret: bytes, algorithm: Any = hashlib.sha256, digest: str = "hex") -> str:
        """In the place of ccxt's: the secret never becomes a text in its hands, which it might print."""
        if algorithm is not hashlib.sha256:
            raise ConfigError("[live] exchange", f"{name} does not sign with HMAC-SHA256", "a venue with HMAC-SHA256 signatures")
        made_hex = keys.sign(request, over)
        return made_hex if digest == "hex" else base64.b64encode(bytes.fromhex(made_hex)).decode()

    made.hmac = sign
    return made


def _on_endpoints(made: Any, rest: str, ca: str) -> Endpoint:
    """Bind an exchange of ccxt to the endpoints that may get signed requests: its addresses, its TLS, no redirect. Returns the first of them."""
    tls = tls_context(ca, "https:")
    if rest:
        pinned = Endpoint(rest, tls)
        made.urls["api"] = _each(made.urls["api"], lambda url: pinned.url)
        made.headers = {**made.headers, **pinned.headers()}
    own: list[Endpoint] = []
    _each(made.urls["api"], lambda url: own.append(Endpoint(made.implode_hostname(url), tls)))
    open_session, fetch = made.open, made.fetch

    async def refuse(session: Any, context: Any, redirect: Any) -> None:
        raise aiohttp.ClientConnectionError("the venue answers with a redirect; a signed request does not follow it")

    def opened(lazy: bool = False) -> None:
        if made.session is None and not (lazy and getattr(made, "closed_by_user", False)):
            made.ssl_context, redirects = tls, aiohttp.TraceConfig()
            redirects.on_request_redirect.append(refuse)
            made.tcp_connector = aiohttp.TCPConnector(ssl=tls or True)
            made.session = aiohttp.ClientSession(connector=made.tcp_connector, trace_configs=[redirects])
        open_session(lazy)

    async def fetched(url: str, *rest: Any, **named: Any) -> Any:
        if not url.startswith("https://") and not any(one.covers(url) for one in own):
            raise ConfigError(url.partition("?")[0], "not encrypted, and not an address of this exchange", SAFE)
        return await fetch(url, *rest, **named)

    made.open, made.fetch = opened, fetched
    return own[0]


def _each(urls: Any, make: Callable[[str], Any]) -> Any:
    """The addresses of an exchange, which ccxt keeps in tables of tables, each as `make` says."""
    return {key: _each(value, make) for key, value in urls.items()} if isinstance(urls, dict) else make(urls) if isinstance(urls, str) else urls


class Exchange:
    """exchange: of ccxt. instruments: those that are traded, as in the engine. prefix: of our client order ids. now_ms: the clock of what has no
    time.

    Takes the place of live.rest.Rest: call(Call) -> Answer, whose path is an operation here and whose body is its arguments.
    """

    def __init__(self, exchange: Any, instruments: Sequence[lc.Instrument], prefix: str, now_ms: Callable[[], int]):
        self.exchange = exchange
        self.base = f"ccxt {exchange.id}"
        self.separator = SEPARATOR.get(exchange.id, "-")
        self.prefix = prefix
        self.now_ms = now_ms
        self.instruments = {i.symbol: i for i in instruments}
        self.unified: dict[str, str] = {}  # our symbol -> ccxt's
        self.links: OrderedDict[str, str] = OrderedDict()  # order id -> client order id
        self.sent: dict[str, int] = {}  # symbol -> when one of our orders was last on its way, now_ms
        self._stops = STOPS.get(exchange.id, {"trigger": True})
        self._locks = {symbol: asyncio.Lock() for symbol in self.instruments}
        self._looks: dict[str, int] = {}  # order id of an execution -> how often its order was looked for in vain
        self._last_stop = 0
        self._bare: set[str] = set()  # contracts without one of our stops, by the last look
        self._changes, self._idle = 0, asyncio.Event()
        self._idle.set()
        if hasattr(exchange, "throttle"):
            self._throttle, exchange.throttle = exchange.throttle, self._take_turn

    async def open(self) -> None:
        """Load the markets; VenueError with everything that this exchange cannot do for us."""
        x = self.exchange
        try:
            markets = await x.load_markets()
        except Exception as why:
            raise VenueError(self.base, f"no list of markets: {type(why).__name__} {redact(str(why)[:200])}", "a list of contracts") from None
        missing = [name for name in NEEDED if not x.has.get(name)]
        if missing:
            raise VenueError(self.base, f"cannot {', '.join(missing)}", "all data that a reconciliation needs", "Trade at another venue")
        by_id = {market["id"]: symbol for symbol, market in markets.items() if market.get("swap") and market.get("linear")}
        unknown = [symbol for symbol in self.instruments if symbol not in by_id]
        if unknown:
            raise VenueError(self.base, f"does not list {', '.join(unknown)}", "the symbols of [feed]")
        self.unified = {symbol: by_id[symbol] for symbol in self.instruments}
        for symbol, i in self.instruments.items():  # sizes go out as the engine counts them
            size = float(markets[self.unified[symbol]].get("contractSize") or 1.0)
            if abs(size - i.multiplier) > 1e-9 * i.multiplier:
                raise VenueError(
                    self.base,
                    f"a contract of {symbol} has the size {size:g} here and {i.multiplier:g} at the venue of the feed",
                    "contracts of one size",
                    "Trade at the venue of the feed",
                )
        if len(self.unified) > SYMBOLS_MAX:
            raise VenueError(self.base, f"{len(self.unified)} symbols", f"at most {SYMBOLS_MAX}: an account without a stream is polled")
        if x.has.get("fetchPositionMode"):
            mode = await self._quietly(x.fetch_position_mode(next(iter(self.unified.values()))))
            if mode and mode.get("hedged"):
                raise VenueError(self.base, "the account is in hedge mode", "one-way mode", "Switch it at the venue")

    async def close(self) -> None:
        await self.exchange.close()

    async def balance(self) -> tuple[float, float]:
        """(equity, available) in the quote currency. Raises what ccxt raises."""
        found = await self.exchange.fetch_balance()
        quote = self.exchange.market(next(iter(self.unified.values())))["settle"]
        own = found.get(quote) or {}
        return float(own.get("total") or 0.0), float(own.get("free") or 0.0)

    async def cash(self) -> float | None:
        """The cash without the result of open positions; None if this exchange's total is not known to be with or without it. Raises
        what ccxt raises."""
        if self.exchange.id not in OPEN_COUNTS:
            return None
        total, _ = await self.balance()
        if not OPEN_COUNTS[self.exchange.id]:
            return total
        rows = await self.exchange.fetch_positions()
        return total - sum(float(row.get("unrealizedPnl") or 0.0) for row in rows)

    # ---- calls of the gateway ----

    @contextmanager
    def _before_questions(self) -> Iterator[None]:
        """Requests of this task come first. ccxt's queue has one order for all: a stop would wait behind the questions of a reading."""
        self._changes += 1
        self._idle.clear()
        try:
            with _first():
                yield
        finally:
            self._changes -= 1
            if not self._changes:
                self._idle.set()

    async def _take_turn(self, cost: Any = None) -> Any:
        while self._changes and not _FIRST.get():
            await self._idle.wait()
        return await self._throttle(cost)

    async def call(self, call: Call) -> Answer:
        """Do it, once; never raises for what a network or a venue does."""
        sent = self.now_ms() * 1_000_000
        asked = CHANGES.get(call.path, Asked.QUERY)
        try:
            async with asyncio.timeout(call.timeout_s):
                with self._before_questions() if call.path in CHANGES else nullcontext():
                    body = await self._operation(call.path)(**json.loads(call.body or "{}"))
        except Exception as why:  # ccxt raises its own, aiohttp's, and KeyErrors of answers that it did not expect
            outcome = outcome_of(why, asked)
            if outcome == Outcome.UNKNOWN:
                return Answer(0, why=redact(f"{type(why).__name__}: {why}"[:200]), sent_ns=sent, received_ns=self.now_ms() * 1_000_000)
            body = {"outcome": int(outcome), "text": redact(f"{type(why).__name__}: {why}"[:200])}
        return Answer(200, json.dumps(body).encode(), sent_ns=sent, received_ns=self.now_ms() * 1_000_000)

    def _operation(self, name: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        found: Callable[..., Awaitable[dict[str, Any]]] = getattr(self, f"do_{name}")
        return found

    # ---- questions ----

    async def do_time(self) -> dict[str, Any]:
        return {"outcome": int(Outcome.DONE), "ms": await self.exchange.fetch_time()}

    async def do_instruments(self) -> dict[str, Any]:
        """Only whether they trade: ticks and lots were asked for at the start, by the venue's own words."""
        markets = await self.exchange.load_markets(True)
        rows = [
            [symbol, i.tick_size, i.lot_size] for symbol, i in self.instruments.items() if markets[self.unified[symbol]].get("active") is not False
        ]
        return {"outcome": int(Outcome.DONE), "items": rows}

    async def do_open_orders(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for symbol in self.unified:
            rows += await self.open_orders(symbol)
        return {"outcome": int(Outcome.DONE), "items": rows}

    async def do_order(self, symbol: str, link: str, past: bool = False) -> dict[str, Any]:
        rows = await (self.past_orders(symbol) if past else self.open_orders(symbol))
        return {"outcome": int(Outcome.DONE), "items": [row for row in rows if row["link_id"] == link]}

    async def do_executions(self, since: int = 0, symbol: str = "", link: str = "") -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for one in [symbol] if symbol else self.unified:
            rows += await self.trades(one, since)
        return {"outcome": int(Outcome.DONE), "items": [row for row in rows if not link or row["link_id"] == link]}

    async def do_positions(self, symbol: str = "") -> dict[str, Any]:
        with self._before_questions() if symbol else nullcontext():  # of one contract: whether its position has a stop
            rows = [await self.position(one) for one in ([symbol] if symbol else self.unified)]
        return {"outcome": int(Outcome.DONE), "items": rows}

    async def open_orders(self, symbol: str) -> list[dict[str, Any]]:
        """Orders that may still do something, stops among them."""
        unified, found = self.unified[symbol], {}
        for params in ({}, self._stops):
            for order in await self.exchange.fetch_open_orders(unified, params=params):
                found[order["id"]] = order
        return [self.row(order, symbol) for order in found.values()]

    async def past_orders(self, symbol: str) -> list[dict[str, Any]]:
        """Orders of any end, the newest."""
        unified, x, found = self.unified[symbol], self.exchange, {}
        ways = (
            {"fetchOrders": x.fetch_orders}
            if x.has.get("fetchOrders") is True
            else {"fetchClosedOrders": x.fetch_closed_orders, "fetchCanceledOrders": x.fetch_canceled_orders}
        )
        for name, ask in ways.items():
            for order in await ask(unified, None, ROWS_MAX) if x.has.get(name) else ():
                found[order["id"]] = order
        return [self.row(order, symbol) for order in found.values()]

    def row(self, order: dict[str, Any], symbol: str) -> dict[str, Any]:
        link = order.get("clientOrderId") or (order.get("info") or {}).get("algoClOrdId") or ""  # OKX: of a stop, and of what it becomes
        if link:
            self.learn(order["id"], link)
        return order_row(order, symbol, link or self.links.get(order["id"], ""), self.is_stop(link), self.now_ms())

    def learn(self, order_id: str | None, link: str) -> None:
        """Which client id an order has: executions do not say."""
        if order_id:
            self.links[order_id] = link
            if len(self.links) > IDS_MAX:
                self.links.popitem(last=False)

    def is_stop(self, link: str) -> bool:
        """A client order id of a stop that we put, in this life of the run or in one whose state was lost."""
        run, found, number = link.rpartition(self.separator)
        return bool(found) and number.startswith("s") and (run == self.prefix or is_ours(run, self.prefix[:-TIME_CHARS]))

    async def trades(self, symbol: str, since: int = 0) -> list[dict[str, Any]]:
        """Executions, each with the client id of its order."""
        found, market = await self._fills(symbol, since), self.exchange.market(self.unified[symbol])
        if {trade["order"] for trade in found} - self.links.keys():
            await self.open_orders(symbol)
            await self.past_orders(symbol)
        for order in {trade["order"] for trade in found} - self.links.keys():  # another party's; or the venue is late with its list
            self._looks[order] = self._looks.get(order, 0) + 1
            if self._looks[order] >= LOOKS_MAX:
                del self._looks[order]
                self.learn(order, "")
        out = []
        for trade in found:
            link = self.links.get(trade["order"], "")
            out.append(trade_row(trade, symbol, "" if self.is_stop(link) else link, self.is_stop(link), market))
        return out

    async def _fills(self, symbol: str, since: int) -> list[dict[str, Any]]:
        """All executions since a time, where none is given the newest. A full answer was cut, at its new end or at its old one: which, depends on the
        venue, so both are asked for."""
        found: dict[str, dict[str, Any]] = {}

        async def ask(begin: int, **more: int) -> bool:
            """Whether there may be more."""
            rows = await self.exchange.fetch_my_trades(self.unified[symbol], begin or None, FILLS_MAX, more)
            new = {row["id"]: row for row in rows if row["id"] not in found}
            found.update(new)
            return len(rows) >= ROWS_MAX and bool(new)

        if await ask(since) and since:
            for _ in range(PAGES_MAX):
                if not await ask(max(row["timestamp"] for row in found.values())):
                    break
            for _ in range(PAGES_MAX):
                oldest = min(row["timestamp"] for row in found.values())
                if oldest <= since or not await ask(since, until=oldest):
                    break
        return sorted(found.values(), key=lambda row: row["timestamp"])

    # ---- the position and its stop ----

    async def position(self, symbol: str) -> dict[str, Any]:
        """The position, with the trigger of the stops that cover all of it. Stops of ours that protect nothing any more are withdrawn."""
        return (await self.look(symbol))[1]

    async def look(self, symbol: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Orders that may still do something, and the position as `position` has it: one round of questions for both."""
        async with self._locks[symbol]:
            with _first():  # a stop may wait for the lock: who has it does not wait for the stop
                return await self._look(symbol)

    async def _look(self, symbol: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        position = await self._held(symbol)
        orders = await self.open_orders(symbol)
        own = [row for row in orders if _is_ours(row)]
        (self._bare.discard if own else self._bare.add)(symbol)
        if own and not position["qty"]:
            position = await self._held(symbol)  # it may have been opened, and protected, between the two questions
            if not position["qty"]:
                for order in own:
                    await self._quietly(self._cancel_stop(order, symbol))
                orders = [row for row in orders if not _is_ours(row)]
        stops = [row for row in orders if _protects(row, position)]
        covered = sum(order["qty"] - order["executed"] for order in stops)
        if stops and covered >= position["qty"] * (1.0 - 1e-9):
            triggers = [order["trigger"] for order in stops]
            position["stop_loss"] = min(triggers) if position["side"] > 0 else max(triggers)  # the last that would act
        return orders, position

    async def _held(self, symbol: str) -> dict[str, Any]:
        rows = await self.exchange.fetch_positions([self.unified[symbol]])
        open_ = [row for row in rows if row.get("symbol") == self.unified[symbol] and float(row.get("contracts") or 0.0)]
        return position_row(open_[0] if open_ else {}, symbol, self.now_ms())

    async def _cancel_stop(self, order: dict[str, Any], symbol: str) -> None:
        await self.exchange.cancel_order(order["order_id"], self.unified[symbol], {"trigger": True})

    async def do_stop(self, symbol: str, price: str) -> dict[str, Any]:
        """The stop of the position at this price: the new one first, then the others go, so that there is one at every moment."""
        async with self._locks[symbol]:
            position = await self._held(symbol)
            if not position["qty"]:
                return {"outcome": int(Outcome.DONE), "text": "nothing is held"}
            bare = symbol in self._bare  # the stop goes out before it is looked for what it replaces
            stops = [] if bare else [row for row in await self.open_orders(symbol) if _is_ours(row)]
            whole = [one for one in stops if one["trigger"] == float(price) and one["qty"] - one["executed"] >= position["qty"] * (1.0 - 1e-9)]
            if not whole:
                self._last_stop = max(self._last_stop + 1, self.now_ms())
                link = f"{self.prefix}{self.separator}s{self._last_stop:x}"  # at most 31 characters: OKX takes 32
                params = {"stopLossPrice": float(price), "reduceOnly": True, "clientOrderId": link}
                if self.exchange.id in OKX:
                    params["algoClOrdId"] = link  # ccxt sends the other only, under the name that it has on orders that are no stops
                made = await self.exchange.create_order(
                    self.unified[symbol], "market", "sell" if position["side"] > 0 else "buy", position["qty"], None, params
                )
                self.learn(made.get("id"), link)
                self._bare.discard(symbol)
            for one in stops:
                if one is not (whole[0] if whole else None):
                    await self._quietly(self._cancel_stop(one, symbol))
            return {"outcome": int(Outcome.ACCEPTED)}

    async def _quietly(self, work: Awaitable[Any]) -> Any:
        """The result of a call, None if it fails; the next look repeats it."""
        try:
            return await work
        except Exception:  # whatever ccxt makes of it
            return None

    # ---- orders ----

    async def do_create(
        self, symbol: str, link: str, side: int, qty: str, price: str = "", post_only: bool = False, reduce_only: bool = False, trigger: str = ""
    ) -> dict[str, Any]:
        params: dict[str, Any] = {"clientOrderId": link, "reduceOnly": reduce_only}
        self.sent[symbol] = self.now_ms()
        if post_only:
            params["postOnly"] = True
        if trigger:
            params["stopLossPrice"] = float(trigger)
        made = await self.exchange.create_order(
            self.unified[symbol], "limit" if price else "market", "buy" if side > 0 else "sell", float(qty), float(price) if price else None, params
        )
        self.learn(made.get("id"), link)
        return {"outcome": int(Outcome.ACCEPTED), "order_id": made.get("id") or ""}

    async def do_amend(self, symbol: str, link: str, side: int, qty: str = "", price: str = "") -> dict[str, Any]:
        order = await self._find(symbol, link)
        if order is None:
            return {"outcome": int(Outcome.GONE), "text": "the order does not exist"}
        made = await self.exchange.edit_order(
            order["order_id"],
            self.unified[symbol],
            "limit",
            "buy" if side > 0 else "sell",
            float(qty) if qty else order["qty"],
            float(price) if price else order["price"],
        )
        self.learn(made.get("id"), link)
        return {"outcome": int(Outcome.ACCEPTED), "order_id": made.get("id") or ""}

    async def do_cancel(self, symbol: str, link: str = "", order_id: str = "") -> dict[str, Any]:
        if not order_id:
            order = await self._find(symbol, link)
            if order is None:
                return {"outcome": int(Outcome.GONE), "text": "the order does not exist"}
            order_id = order["order_id"]
        await self.exchange.cancel_order(order_id, self.unified[symbol])
        return {"outcome": int(Outcome.ACCEPTED)}

    async def _find(self, symbol: str, link: str) -> dict[str, Any] | None:
        return next((row for row in await self.open_orders(symbol) if row["link_id"] == link), None)

    async def do_leverage(self, symbol: str, leverage: str) -> dict[str, Any]:
        try:
            await self.exchange.set_leverage(float(leverage), self.unified[symbol])
        except Exception as why:
            if "not modified" not in str(why):
                raise
        return {"outcome": int(Outcome.DONE)}


def _is_ours(order: dict[str, Any]) -> bool:
    """A stop that do_stop placed: the only orders that are moved and withdrawn here."""
    return bool(order["stop_kind"] == "StopLoss" and order["trigger"])


def _protects(order: dict[str, Any], position: dict[str, Any]) -> bool:
    """Whether an order would close the position where it loses. Another party's order counts only if it cannot open a position and the market has not
    reached it; one on the other side is a take-profit."""
    if not order["trigger"] or not position["qty"] or order["side"] != -position["side"]:
        return False
    loses = position["mark"] > 0.0 and (position["mark"] - order["trigger"]) * position["side"] > 0.0
    return _is_ours(order) or bool(order["reduce_only"] and loses)
