"""The emulated binary venue on loopback: Gamma's lists, the order book's REST and websockets, and Binance's spot candles, all at one address."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from liqshell.clock import Clock
from liqshell.emulator.binary.exchange import SYMBOL, BinaryExchange, Hour, Wallet
from liqshell.emulator.binary.faults import BinaryFault
from liqshell.emulator.binary.spot import HOUR, NS, Spot, Walk
from liqshell.emulator.server.control import guarded
from liqshell.venues.polymarket import signing

TURN_S = 0.005
SKEW_S = 60  # of the wall, in signatures
SPOT_NEWS_NS = 250_000_000
TOKENS_MAX = 500
PAGE, FIRST, END = 100, "MA==", "LTE="  # of trades; cursors are numbers as base64: 0 and -1
MS = 1_000_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(eq=False)
class Listener:
    """One websocket. tokens: subscribed on a market stream; owner: API key of a user stream; streams: of spot."""

    socket: web.WebSocketResponse
    kind: str
    tokens: set[str] = field(default_factory=set)
    owner: str = ""
    streams: set[str] = field(default_factory=set)


class _Denied(Exception):
    pass


class BinaryVenue:
    """clock: market time; None = a clock of its own at `speed`. spot: what it settles on; None = a walk by seed. check: orders' signatures are
    checked, which needs eth-account."""

    def __init__(
        self,
        seed: int = 0,
        faults: Sequence[Mapping[str, Any]] = (),
        host: str = "127.0.0.1",
        clock: Clock | None = None,
        speed: float = 1.0,
        start: int | None = None,
        spot: Spot | None = None,
        lag_s: float = 20.0,
        check: bool = True,
        port: int = 0,
    ):
        self.seed, self.host, self.port, self.check = seed, host, port, check
        self.clock = clock or Clock(speed, start)
        now = self.clock.now_ns()
        self.spot = spot or Walk(seed, now)
        self.exchange = BinaryExchange(self.spot, now, seed, [BinaryFault.of(one) for one in faults], lag_s=lag_s)
        self.exchange.heartbeat_ns = round(self.exchange.heartbeat_ns * max(1.0, self.clock.speed))
        self.listeners: set[Listener] = set()
        self.requests = 0
        self._last, self._spot_said = now, 0
        self._runner: web.AppRunner | None = None
        self._pump_task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def now(self) -> int:
        self._last = max(self._last, self.clock.now_ns())
        return self._last

    async def start(self) -> BinaryVenue:
        app = web.Application(middlewares=[guarded], client_max_size=1 << 20)
        gets: dict[str, Handler] = {
            "/events": self._events,
            "/markets": self._markets,
            "/book": self._book,
            "/midpoint": self._mid,
            "/tick-size": self._of_token(lambda hour: {"minimum_tick_size": float(hour.tick)}),
            "/neg-risk": self._of_token(lambda hour: {"neg_risk": False}),
            "/fee-rate": self._of_token(lambda hour: {"base_fee": 1000}),
            "/clob-markets/{condition}": self._clob_market,
            "/markets-by-token/{token}": self._by_token,
            "/time": self._time,
            "/ok": self._always("OK"),
            "/version": self._always({"version": 2}),
            "/auth/derive-api-key": self._api_key,
            "/auth/api-keys": self._private(self._api_keys),
            "/data/orders": self._private(self._orders),
            "/data/order/{id}": self._private(self._order),
            "/data/trades": self._private(self._trades),
            "/balance-allowance": self._private(self._balance),
            "/balance-allowance/update": self._private(self._balance),
            "/api/v3/klines": self._klines,
            "/ws/market": self._market_ws,
            "/ws/user": self._user_ws,
            "/stream": self._spot_ws,
            "/emulator/status": self._status,
        }
        cancels = ("/order", "/orders", "/cancel-all", "/cancel-market-orders")
        app.add_routes(
            [
                *(web.get(path, handler) for path, handler in gets.items()),
                web.post("/auth/api-key", self._api_key),
                web.post("/order", self._private(self._post)),
                *(web.post(path, self._private(self._beat)) for path in ("/heartbeats", "/v1/heartbeats")),
                *(web.delete(path, self._private(self._cancel)) for path in cancels),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self._pump_task = asyncio.create_task(self._pump(), name="binary venue")
        return self

    async def close(self) -> None:
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        for one in list(self.listeners):
            await one.socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> BinaryVenue:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _pump(self) -> None:
        """Time passes; sends the events."""
        while True:
            now = self.now()
            self.exchange.advance(now)
            if self.exchange.active("drop"):
                for one in list(self.listeners):
                    self._tear(one)
            await self._tell()
            if now - self._spot_said >= max(SPOT_NEWS_NS, int(TURN_S * self.clock.speed * NS)):
                self._spot_said = now
                await self._tell_spot(now)
            await asyncio.sleep(TURN_S)

    async def _tell(self) -> None:
        market, self.exchange.market_news = self.exchange.market_news, []
        user, self.exchange.user_news = self.exchange.user_news, []
        silent = self.exchange.active("silent")
        for one in list(self.listeners):
            if one.kind == "market" and not silent:
                mine = [event for token, event in market if token in one.tokens]
                if self.exchange.active("no_book"):
                    mine = [event for event in mine if event["event_type"] != "book"]
                for event in mine:
                    await self._send(one, orjson.dumps(event))
            elif one.kind == "user":
                for owner, event in user:
                    if owner == one.owner:
                        await self._send(one, orjson.dumps(event))

    async def _tell_spot(self, now: int) -> None:
        rows = self.spot.candles(now, 1)
        if not rows or self.exchange.active("silent"):
            return
        start, open_, close = rows[-1]
        name, ms = SYMBOL.lower(), now // MS
        kline = {
            "e": "kline",
            "E": ms,
            "s": SYMBOL,
            "k": {
                "t": start // MS,
                "T": (start + HOUR) // MS - 1,
                "s": SYMBOL,
                "i": "1h",
                "o": f"{open_:.2f}",
                "c": f"{close:.2f}",
                "h": f"{max(open_, close):.2f}",
                "l": f"{min(open_, close):.2f}",
                "x": False,
            },
        }
        trade = {"e": "aggTrade", "E": ms, "s": SYMBOL, "a": ms, "p": f"{close:.2f}", "q": "0.01", "T": ms, "m": False}
        for one in list(self.listeners):
            for stream, data in ((f"{name}@kline_1h", kline), (f"{name}@aggTrade", trade)):
                if stream in one.streams:
                    await self._send(one, orjson.dumps({"stream": stream, "data": data}))

    async def _send(self, one: Listener, raw: bytes) -> None:
        try:
            await one.socket.send_str(raw.decode())
        except (ConnectionError, RuntimeError):
            self.listeners.discard(one)

    def _tear(self, one: Listener) -> None:
        self.listeners.discard(one)
        transport = one.socket._req.transport if one.socket._req is not None else None
        if transport is not None:
            transport.abort()

    # ---- public REST ----

    def _json(self, value: Any, status: int = 200) -> web.Response:
        return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")

    def _moved(self) -> BinaryExchange:
        """The exchange as it is now."""
        self.requests += 1
        self.exchange.advance(self.now())
        return self.exchange

    def _none(self) -> web.Response:
        return self._json({"error": "No orderbook exists for the requested token id"}, 404)

    def _hour(self, request: web.Request) -> Hour | None:
        exchange = self._moved()
        found = exchange.hour_of_token(request.query.get("token_id", ""))
        return None if exchange.active("late_market") else found

    async def _events(self, request: web.Request) -> web.Response:
        exchange = self._moved()
        if exchange.active("no_gamma"):
            return self._json({"error": "Service Unavailable"}, 503)
        closed = request.query.get("closed", "false") == "true"
        rows = [one for one in sorted(exchange.hours.values(), key=lambda one: one.start) if bool(one.winner) == closed]
        return self._json(
            [
                {
                    "id": str(one.start // HOUR),
                    "slug": one.slug,
                    "seriesSlug": "btc-up-or-down-hourly",
                    "closed": closed,
                    "markets": [exchange.listed(one)],
                }
                for one in rows[: int(request.query.get("limit", 100))]
            ]
        )

    async def _markets(self, request: web.Request) -> web.Response:
        exchange = self._moved()
        closed, slug, conditions = request.query.get("closed"), request.query.get("slug"), request.query.getall("condition_ids", [])
        rows = [
            one
            for one in exchange.hours.values()
            if (closed is None or bool(one.winner) == (closed == "true"))
            and (slug is None or one.slug == slug)
            and (not conditions or one.condition in conditions)
        ]
        return self._json([exchange.listed(one) for one in rows])

    async def _book(self, request: web.Request) -> web.Response:
        hour = self._hour(request)
        if hour is None or request.query["token_id"] not in hour.levels:
            return self._none()
        return self._json({key: value for key, value in self.exchange.book(hour, request.query["token_id"]).items() if key != "event_type"})

    async def _mid(self, request: web.Request) -> web.Response:
        hour = self._hour(request)
        bids, asks = hour.levels.get(request.query["token_id"], ({}, {})) if hour is not None else ({}, {})
        return self._json({"mid": str((max(bids) + min(asks)) / 2)}) if bids and asks else self._none()

    def _of_token(self, made: Callable[[Hour], Any]) -> Handler:
        """What is asked of one token of an hour."""

        async def handle(request: web.Request) -> web.Response:
            hour = self._hour(request)
            return self._none() if hour is None else self._json(made(hour))

        return handle

    def _always(self, value: Any) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return self._json(value)

        return handle

    async def _clob_market(self, request: web.Request) -> web.Response:
        found = next((one for one in self._moved().hours.values() if one.condition == request.match_info["condition"]), None)
        if found is None:
            return self._json({"error": "market not found"}, 404)
        return self._json(
            {
                "c": found.condition,
                "t": [{"t": token, "o": side} for token, side in zip(found.tokens, ("Up", "Down"), strict=True)],
                "mts": float(found.tick),
                "mos": 5,
                "nr": False,
                "fd": {"r": float(self.exchange.rate), "e": 1, "to": True},
                "itode": True,
            }
        )

    async def _by_token(self, request: web.Request) -> web.Response:
        found = self._moved().hour_of_token(request.match_info["token"])
        return (
            self._none()
            if found is None
            else self._json({"condition_id": found.condition, "primary_token_id": found.tokens[0], "secondary_token_id": found.tokens[1]})
        )

    async def _time(self, request: web.Request) -> web.Response:
        return self._json(int(time.time()))  # signatures are judged by the wall clock whatever the market's speed

    async def _klines(self, request: web.Request) -> web.Response:
        if request.query.get("symbol") != SYMBOL or request.query.get("interval") != "1h":
            return self._json({"code": -1121, "msg": "Invalid symbol."}, 400)
        now, limit = self.now(), min(int(request.query.get("limit", 500)), 1000)
        return self._json(
            [
                [start // MS, f"{o:.2f}", f"{max(o, c):.2f}", f"{min(o, c):.2f}", f"{c:.2f}", "1", (start + HOUR) // MS - 1, "1", 1, "1", "1", "0"]
                for start, o, c in self.spot.candles(now, limit)
            ]
        )

    async def _status(self, request: web.Request) -> web.Response:
        return self._json(
            {
                "market": "SYNTHETIC",
                "seed": self.seed,
                "clock": self.clock.as_dict(),
                "now_ns": self.now(),
                "struck": self.exchange.struck,
                "posted": self.exchange.posted,
                "wallets": len(self.exchange.wallets),
                "requests": self.requests,
            }
        )

    # ---- private REST ----

    async def _api_key(self, request: web.Request) -> web.Response:
        exchange = self._moved()
        try:
            if abs(time.time() - int(request.headers.get("POLY_TIMESTAMP", "0"))) > SKEW_S:
                raise ValueError("Invalid L1 Request headers")
            wallet = exchange.account(signing.l1_signer(request.headers))
        except ValueError:
            return self._json({"error": "Invalid L1 Request headers"}, 401)
        return self._json({"apiKey": wallet.key, "secret": wallet.secret, "passphrase": wallet.passphrase})

    def _private(self, act: Callable[[web.Request, Wallet, str], Awaitable[web.StreamResponse]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = (await request.read()).decode("utf-8", "replace")
            try:
                wallet = self._who(request, body)
            except (_Denied, ValueError):
                return self._json({"error": "Unauthorized/Invalid api key"}, 401)
            self._moved()
            return await act(request, wallet, body)

        return handle

    def _who(self, request: web.Request, body: str) -> Wallet:
        headers = request.headers
        wallet = self.exchange.wallets.get(headers.get("POLY_API_KEY", ""))
        if wallet is None or headers.get("POLY_PASSPHRASE") != wallet.passphrase or headers.get("POLY_ADDRESS", "").lower() != wallet.address.lower():
            raise _Denied
        stamp = headers.get("POLY_TIMESTAMP", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > SKEW_S:
            raise _Denied
        if signing.l2_signature(wallet.secret, stamp, request.method, request.path, body) != headers.get("POLY_SIGNATURE"):
            raise _Denied
        return wallet

    async def _api_keys(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        return self._json({"apiKeys": [wallet.key]})

    async def _post(self, request: web.Request, wallet: Wallet, body: str) -> web.StreamResponse:
        exchange = self.exchange
        try:
            found = orjson.loads(body)
            order, signature = signing.order_in(found)
            kind, post_only = found.get("orderType"), found.get("postOnly") is True
            if kind not in ("GTC", "GTD", "FOK", "FAK") or found.get("owner") != wallet.key or post_only and kind in ("FOK", "FAK"):
                raise ValueError("orderType, owner or postOnly")
            order_id = signing.order_hash(order)
            if self.check and (signing.recovered(order, signature).lower() != order.signer.lower() or order.signer.lower() != wallet.address.lower()):
                raise ValueError("invalid signature")
            expiration = int(found["order"].get("expiration") or 0)
        except (ValueError, TypeError, AttributeError) as why:
            return self._json({"error": f"Invalid order payload ({why})"}, 400)
        answer = exchange.post(wallet, order, order_id, kind, post_only, expiration)
        if exchange.strikes("http_500"):
            return self._json({"error": "internal error"}, 500)
        if exchange.strikes("lose_ack"):
            if request.transport is not None:
                request.transport.abort()
            return self._json({}, 500)
        if exchange.strikes("slow_ack"):
            await asyncio.sleep(1.0)
        return self._json(answer, 200 if answer["success"] else 400)

    async def _cancel(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        exchange = self.exchange
        try:
            given = orjson.loads(body) if body else {}
            open_ = exchange.open_orders(wallet)
            if request.path == "/cancel-all":
                ids = [one.id for one in open_]
            elif request.path == "/cancel-market-orders":
                hour = {token: one.condition for one in exchange.hours.values() for token in one.tokens}
                ids = [
                    one.id
                    for one in open_
                    if given.get("market") in (None, "", hour.get(one.order.token)) and given.get("asset_id") in (None, "", one.order.token)
                ]
            else:
                ids = [given["orderID"]] if request.path == "/order" else [str(one) for one in given][:1000]
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._json({"error": "Invalid order payload"}, 400)
        answers = {one: exchange.cancel(wallet, one) for one in ids}
        return self._json(
            {"canceled": [one for one, why in answers.items() if not why], "not_canceled": {one: why for one, why in answers.items() if why}}
        )

    async def _orders(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        return self._json(
            {"data": [self.exchange.order_row(one) for one in self.exchange.open_orders(wallet)], "next_cursor": END, "limit": PAGE, "count": 0}
        )

    async def _order(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        """Of the open ones only, as at the venue."""
        one = self.exchange.orders.get(request.match_info["id"])
        return self._json(self.exchange.order_row(one) if one is not None and one.owner == wallet.key and one.status == "LIVE" else None)

    async def _trades(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        mine = [
            one
            for one in self.exchange.trades
            if one["owner"] == wallet.key and all(request.query.get(key) in (None, one[key]) for key in ("id", "market", "asset_id"))
        ]
        try:
            first = int(base64.b64decode(request.query.get("next_cursor", "") or FIRST, validate=True))
        except ValueError:
            return self._json({"error": "Invalid next_cursor"}, 400)
        page = mine[first : first + PAGE] if first >= 0 else []
        more = base64.b64encode(str(first + PAGE).encode()).decode() if first >= 0 and first + PAGE < len(mine) else END
        return self._json({"data": page, "next_cursor": more, "limit": PAGE, "count": len(page)})

    async def _balance(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        token = request.query.get("token_id", "")
        have = wallet.tokens.get(token, Decimal(0)) if request.query.get("asset_type") == "CONDITIONAL" else wallet.cash
        return self._json({"balance": str(int(have * 1_000_000)), "allowances": {signing.EXCHANGE: str(10**24)}})

    async def _beat(self, request: web.Request, wallet: Wallet, body: str) -> web.Response:
        """Both forms: with the id of the one before, and without."""
        if request.path == "/heartbeats":
            self.exchange.beat(wallet, wallet.beat_id)
            return self._json({"status": "ok"})
        try:
            given = str(orjson.loads(body or "{}").get("heartbeat_id") or "")
        except (ValueError, AttributeError):
            return self._json({"error_msg": "Invalid Heartbeat ID"}, 400)
        good, following = self.exchange.beat(wallet, given)
        refused = {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": following}
        return self._json({"heartbeat_id": following} if good else refused, 200 if good else 400)

    # ---- websockets ----

    async def _open(self, request: web.Request, kind: str) -> Listener:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        one = Listener(socket, kind)
        self.listeners.add(one)
        return one

    async def _frames(self, one: Listener, act: Callable[[Any], Awaitable[bool]]) -> web.WebSocketResponse:
        """Each frame that is JSON goes to act, until it says no."""
        with contextlib.suppress(ConnectionError):
            async for message in one.socket:
                if message.type != WSMsgType.TEXT:
                    continue
                if message.data == "PING":
                    await one.socket.send_str("PONG")
                    continue
                try:
                    go_on = await act(orjson.loads(message.data))
                except (ValueError, KeyError, TypeError, AttributeError):
                    await one.socket.send_str("INVALID OPERATION")
                    continue
                if not go_on:
                    await one.socket.close()
        self.listeners.discard(one)
        return one.socket

    async def _market_ws(self, request: web.Request) -> web.WebSocketResponse:
        one = await self._open(request, "market")

        async def act(frame: Any) -> bool:
            tokens = {str(token) for token in frame["assets_ids"]}
            if frame.get("operation") == "unsubscribe":
                one.tokens -= tokens
                return True
            if frame.get("operation") != "subscribe" and (frame.get("type") or "").lower() != "market" or len(one.tokens | tokens) > TOKENS_MAX:
                return False
            new, one.tokens = tokens - one.tokens, one.tokens | tokens
            exchange = self._moved()
            books = [
                exchange.book(hour, token) for token in sorted(new) if (hour := exchange.hour_of_token(token)) is not None and token in hour.levels
            ]
            if books and not exchange.active("no_book"):
                await self._send(one, orjson.dumps(books))  # an array, as the venue sends the first ones
            return True

        return await self._frames(one, act)

    async def _user_ws(self, request: web.Request) -> web.WebSocketResponse:
        one = await self._open(request, "user")

        async def act(frame: Any) -> bool:
            auth = frame["auth"]
            wallet = self.exchange.wallets.get(auth["apiKey"])
            if wallet is None or (auth["secret"], auth["passphrase"]) != (wallet.secret, wallet.passphrase):
                return False
            one.owner = wallet.key
            return True

        return await self._frames(one, act)

    async def _spot_ws(self, request: web.Request) -> web.WebSocketResponse:
        one = await self._open(request, "spot")
        one.streams = set(request.query.get("streams", "").split("/"))

        async def act(frame: Any) -> bool:
            return True

        return await self._frames(one, act)
