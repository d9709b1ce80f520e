"""The Binance USD-M public side on loopback: routed websocket roots, the legacy root that has lost its /market streams, REST.

A stream that is asked for at the wrong root is acknowledged and never sent, as on the venue since 2026-04-23.
"""

import asyncio
from collections import deque
from typing import Any

import orjson
from aiohttp import web

from liqshell.clock import NS
from liqshell.emulator.market import binance_frames as binance
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.synthetic_feed import Frame
from liqshell.emulator.server.binance_public import BinanceLane, binance_board
from liqshell.emulator.server.binance_rest import MAKERS, OF_ALL, ORDER_PATHS, Refused, missing, order
from liqshell.emulator.server.host import Host
from liqshell.emulator.server.public_sockets import Connection, Hub, message
from liqshell.emulator.server.public_venue import Answer, PublicVenue

PING_S, PONG_S, LIFE_S = 180.0, 600.0, 86_400.0  # wall: the venue pings, waits for a pong, and ends a connection after a day
MESSAGES_PER_S = 10
STREAMS_MAX = 1_024
WEIGHT_PER_MINUTE = 2_400
WEIGHTS = {"/fapi/v1/depth": 20, "/fapi/v1/aggTrades": 20, "/fapi/v1/trades": 5, "/fapi/v1/ticker/24hr": 40, "/fapi/v1/klines": 5}


class BinanceConnection(Connection):
    """One client. category: the root it came by (public, market, private; '' = the legacy root). combined: frames are wrapped."""

    combined = False

    def __init__(self, hub: Hub, transport: asyncio.WriteTransport, conn_id: str, category: str) -> None:
        super().__init__(hub, transport, conn_id, category)
        self.asked: set[str] = set()  # streams; `topics` has those of them that this root serves
        self.message_times: deque[float] = deque(maxlen=MESSAGES_PER_S)
        self.opened_s = self.pinged_s = asyncio.get_running_loop().time()


class BinanceHub(Hub):
    """All clients."""

    connection_type = BinanceConnection

    def opened(self, connection: Connection, request: web.Request) -> None:
        assert isinstance(connection, BinanceConnection)
        connection.combined = "stream" in request.path.rsplit("/", 1)[-1] or request.path.endswith("/stream")
        given = request.query.get("streams", "") if connection.combined else request.match_info.get("streams", "")
        self._take(connection, [name for name in given.split("/") if name])

    def _take(self, connection: BinanceConnection, names: list[str]) -> None:
        connection.asked.update(names)
        served = connection.category or "public"  # the legacy root keeps what /public has
        connection.topics = {name for name in connection.asked if binance.root_of(name) == served}
        self.count_wanted()

    def _answer(self, connection: Connection, text: str) -> None:
        assert isinstance(connection, BinanceConnection)
        if connection not in self.connections or connection.transport.is_closing() or connection.frozen(self.now_ns()):
            return
        now = asyncio.get_running_loop().time()
        if len(connection.message_times) == MESSAGES_PER_S and now - connection.message_times[0] < 1.0:
            self.idle_cuts += 1
            connection.transport.close()  # over the limit: disconnected
            return
        connection.message_times.append(now)
        connection.write(message(orjson.dumps(self._reply(connection, text))))

    def _reply(self, connection: BinanceConnection, text: str) -> dict[str, Any]:
        try:
            request = orjson.loads(text)
            method, params, number = request["method"], request.get("params"), request.get("id")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(connection.asked), "id": number}
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
                return {"error": {"code": 2, "msg": "Invalid request: params must be an array of stream names"}, "id": number}
            if method == "SUBSCRIBE":
                if len(connection.asked.union(params)) > STREAMS_MAX:
                    return {"error": {"code": 2, "msg": f"Invalid request: more than {STREAMS_MAX} streams"}, "id": number}
                self._take(connection, params)
            else:
                connection.asked.difference_update(params)
                self._take(connection, [])
            return {"result": None, "id": number}  # also for names that do not exist
        if method in ("SET_PROPERTY", "GET_PROPERTY") and isinstance(params, list) and params and params[0] == "combined":
            if method == "GET_PROPERTY":
                return {"result": connection.combined, "id": number}
            connection.combined = bool(params[-1])
            return {"result": None, "id": number}
        return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method!r}"}, "id": number}

    def shaped(self, connection: Connection, frame: Frame, data: bytes) -> bytes:
        """Raw or wrapped."""
        assert isinstance(connection, BinanceConnection)
        return message(binance.wrapped(frame.topic, frame.payload)) if connection.combined else data

    def cut_idle(self, now: float) -> None:
        """The venue pings; who does not answer, and who is a day old, is cut off."""
        for connection in tuple(self.connections):
            assert isinstance(connection, BinanceConnection)
            if now - connection.opened_s > LIFE_S or now - connection.last_read > PONG_S:
                self.idle_cuts += 1
                connection.transport.close()
            elif now - connection.pinged_s > PING_S and not connection.frozen(self.now_ns()):
                connection.pinged_s = now
                connection.write(message(str(self.now_ns() // 1_000_000).encode(), 0x9))


class BinanceNeighbour(PublicVenue[BinanceLane]):
    """See the module."""

    name = "binance"

    def __init__(self, emulator: Host, contracts: list[Contract]) -> None:
        wanted: set[str] = set()
        config = emulator.config
        hub = BinanceHub((), emulator.now_ns, wanted, lambda topic, ms: None, config.seed, config.ack_delay_s, config.buffer_max)
        super().__init__(emulator, hub, binance_board(contracts, wanted), contracts)
        self._weight = [0, 0]  # minute, used

    def routes(self) -> list[web.RouteDef]:
        out = []
        for root in ("/public", "/market", "/private", ""):
            for path in ("/ws", "/ws/{streams}", "/stream"):
                out.append(web.get(root + path, self._root(root[1:])))
        return out

    def _root(self, category: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.hub.handle(request, category)

        return handle

    def farewell(self) -> None:
        payload = message(orjson.dumps({"e": "serverShutdown", "E": self.emulator.now_ns() // 1_000_000}))
        for connection in self.hub.connections:
            connection.write(payload)

    def rest(self, method: str, path: str, query: dict[str, str], now_ms: int) -> Answer:
        known = path in MAKERS or path in ("/fapi/v1/ping", "/fapi/v1/time", "/fapi/v1/exchangeInfo")
        if method == "POST" and path in ORDER_PATHS:
            return _refused(order(path, query))
        if method != "GET" or not known:
            return 404, binance.error(-5000, f"Path {path}, Method {method} is invalid")
        weight = WEIGHTS.get(path, 1)
        minute = self.emulator.now_ns() // (60 * NS)
        self._weight = [minute, (self._weight[1] if self._weight[0] == minute else 0) + weight]
        if self._weight[1] > WEIGHT_PER_MINUTE * self.emulator.config.limit_factor:
            return 429, binance.error(-1003, "Too many requests; current limit of IP is 2400 requests per minute.")
        whole = {
            "/fapi/v1/ping": lambda: b"{}",
            "/fapi/v1/time": lambda: orjson.dumps({"serverTime": now_ms}),
            "/fapi/v1/exchangeInfo": lambda: binance.exchange_info(self.contracts, now_ms),
        }
        if path in whole:
            return 200, whole[path]()
        symbol, make = query.get("symbol", ""), MAKERS[path]
        try:
            if not symbol and path in OF_ALL:
                return 200, orjson.dumps([make(lane, now_ms, query) for lane in self.board.lanes])
            if not symbol:
                raise missing("symbol")
            lane = self.by_symbol.get(symbol)
            if lane is None:
                raise Refused(400, -1121, "Invalid symbol.")
            return 200, orjson.dumps(make(lane, now_ms, query))
        except Refused as refusal:
            return _refused(refusal)


def _refused(refusal: Refused) -> Answer:
    status, code, text = refusal.args
    return status, binance.error(code, text)
