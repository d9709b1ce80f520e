"""The Binance USD-M public side on loopback: routed websocket roots, the legacy root that has lost its /market streams, REST.

A stream that is asked for at the wrong root is acknowledged and never sent, as on the venue since 2026-04-23.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from liqshell.clock import NS
from liqshell.emulator.market import binance_frames as binance
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import decimal_text
from liqshell.emulator.market.synthetic_feed import Frame
from liqshell.emulator.server.binance_public import BinanceLane, binance_board
from liqshell.emulator.server.host import Host
from liqshell.emulator.server.public_sockets import Connection, Hub, message
from liqshell.emulator.server.public_venue import Answer, PublicVenue

# What the emulated Binance USD-M answers by REST about one contract. Field names: the venue's page of each path, 2026-07.
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FUNDING_MS = 8 * HOUR_MS
INTERVALS = {**{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)}, **{f"{n}h": n * HOUR_MS for n in (1, 2, 4, 6, 8, 12)},
             "1d": DAY_MS, "3d": 3 * DAY_MS}
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
ORDER_PATHS = ("/fapi/v1/order", "/fapi/v1/order/test", "/fapi/v1/algoOrder")
Query = Mapping[str, str]


class Refused(Exception):
    """A request that the venue refuses; args = (HTTP status, code, msg)."""


def missing(name: str) -> Refused:
    """A parameter that must be there is not, or is not readable."""
    return Refused(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _number(query: Query, name: str, most: int = 1 << 62) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise missing(name)
    return min(int(text), most)


def order(path: str, query: Query) -> Refused:
    """Why an order is not taken: what the venue has against its parameters, and then that nobody has a key here. Conditional orders have a path of
    their own since 2025-12-09."""
    kind = query.get("type", "")
    for name in ("symbol", "side", "type"):
        if not query.get(name):
            return missing(name)
    if path == "/fapi/v1/algoOrder":
        if kind in CONDITIONAL and kind != "TRAILING_STOP_MARKET" and not query.get("triggerPrice"):
            return missing("triggerPrice")
    elif kind in CONDITIONAL:
        return Refused(400, -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
    return Refused(401, -2015, "Invalid API-key, IP, or permissions for action")


def interest(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """openInterest."""
    return {"symbol": lane.contract.symbol, "openInterest": decimal_text(lane.interest, lane.contract.lot_decimals), "time": lane.ticker_ms or now_ms}


def premium(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """premiumIndex."""
    c, mark = lane.contract, binance.price_text(lane.contract, lane.mark)
    return {"symbol": c.symbol, "markPrice": mark, "indexPrice": binance.price_text(c, lane.index_price), "estimatedSettlePrice": mark,
            "lastFundingRate": binance.rate_text(lane.funding), "interestRate": "0.00010000",
            "nextFundingTime": (now_ms // FUNDING_MS + 1) * FUNDING_MS, "time": lane.ticker_ms or now_ms}


def depth(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """depth: one level."""
    bid, ask = lane.texts()
    return {"lastUpdateId": lane.update_id, "E": now_ms, "T": lane.quote_ms, "bids": [bid] if lane.bid else [], "asks": [ask] if lane.ask else []}


def book_ticker(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/bookTicker."""
    bid, ask = lane.texts()
    return {"symbol": lane.contract.symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1], "time": lane.quote_ms,
            "lastUpdateId": lane.update_id}


def price(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/price."""
    return {"symbol": lane.contract.symbol, "price": binance.price_text(lane.contract, lane.last), "time": lane.trade_ms or now_ms}


def day(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/24hr, as it follows from the candles. Trades are counted from the start of the market: of its made-up past there are candles only."""
    c = lane.contract
    out: dict[str, object] = {"symbol": c.symbol, "lastPrice": binance.price_text(c, lane.last), "closeTime": now_ms,
                              "openTime": now_ms - now_ms % MINUTE_MS - DAY_MS + MINUTE_MS}
    if not lane.bars.known:
        return out
    found, last = lane.bars.day(now_ms), lane.last / c.tick_power
    prices = {"openPrice": found.before, "highPrice": found.high, "lowPrice": found.low, "priceChange": last - found.before,
              "weightedAvgPrice": found.turnover / found.volume if found.volume else last}
    return out | {name: f"{value:.{c.price_decimals}f}" for name, value in prices.items()} | {
        "priceChangePercent": f"{(last / found.before - 1.0) * 100.0:.3f}", "lastQty": binance.qty_text(c, lane.prints[-1][2]),
        "volume": f"{found.volume:.{c.lot_decimals}f}", "quoteVolume": f"{found.turnover:.2f}", "firstId": lane.first_id, "lastId": lane.trade_id,
        "count": lane.trade_id - lane.first_id + 1}


def trades(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """trades: of the last moment with trades; more is not kept."""
    c = lane.contract
    return [{"id": lane.trade_id - k, "price": binance.price_text(c, ticks), "qty": binance.qty_text(c, lots),
             "quoteQty": f"{ticks / c.tick_power * lots / c.lot_power:.2f}", "time": lane.trade_ms, "isBuyerMaker": side < 0}
            for k, (side, ticks, lots) in enumerate(reversed(lane.prints))][::-1]


def aggregates(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """aggTrades: the last thousand are kept. From an id or a time on, the oldest first; else the latest."""
    limit, start, end, first = _number(query, "limit", 1_000) or 500, *(_number(query, name) for name in ("startTime", "endTime", "fromId"))
    found = [one for one in lane.kept if (first is None or int(str(one["a"])) >= first) and (start is None or int(str(one["T"])) >= start)
             and (end is None or int(str(one["T"])) <= end)]
    return found[-limit:] if first is None and start is None else found[:limit]


def funding(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """fundingRate: at the rate in force, oldest first, as far back as there are candles; with neither time the latest."""
    limit, start, end = _number(query, "limit", 1_000) or 100, _number(query, "startTime"), _number(query, "endTime")
    last = now_ms if end is None else min(end, now_ms)
    times = [int(row[0]) for row in lane.bars.rows(FUNDING_MS, now_ms, limit=1_000).tolist() if (start or 0) <= row[0] <= last]
    chosen = times[:limit] if start is not None else times[-limit:]
    out = []
    for ts in chosen:
        mark = lane.marks.klines(MINUTE_MS, now_ms, end=ts, limit=1)
        if mark:
            out.append({"symbol": lane.contract.symbol, "fundingTime": ts, "fundingRate": binance.rate_text(lane.funding), "markPrice": mark[0][1]})
    return out


def _candles(lane: BinanceLane, now_ms: int, query: Query, marks: bool) -> list[list[object]]:
    interval = INTERVALS.get(query.get("interval", ""))
    if not query.get("interval"):
        raise missing("interval")
    if interval is None:
        raise Refused(400, -1120, "Invalid interval.")
    limit, start, end = _number(query, "limit", 1_500) or 500, _number(query, "startTime"), _number(query, "endTime")
    if start is not None:                            # the first that begins at it or later
        start += -start % interval
    bars = lane.marks if marks else lane.bars
    found = bars.klines(interval, now_ms, start, None if start is not None else end, limit)
    out: list[list[object]] = []
    for bar in reversed(found):
        begin = int(bar[0])
        if end is None or begin <= end:
            volume, turnover = (bar[5], bar[6]) if not marks else ("0", "0")
            half = (f"{float(volume) / 2.0:.{lane.contract.lot_decimals}f}", f"{float(turnover) / 2.0:.4f}") if not marks else ("0", "0")
            out.append([begin, *bar[1:5], volume, begin + interval - 1, turnover, 1, *half, "0"])
    return out


def klines(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """klines of the venue's own prices. How many trades, and who took, is not known of a minute: 1 trade, half of it bought."""
    return _candles(lane, now_ms, query, False)


def mark_klines(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """markPriceKlines: no quantities."""
    return _candles(lane, now_ms, query, True)


MAKERS = {
    "/fapi/v1/openInterest": interest, "/fapi/v1/premiumIndex": premium, "/fapi/v1/depth": depth, "/fapi/v1/ticker/bookTicker": book_ticker,
    "/fapi/v1/trades": trades, "/fapi/v1/klines": klines, "/fapi/v1/markPriceKlines": mark_klines, "/fapi/v1/ticker/24hr": day,
    "/fapi/v1/ticker/price": price, "/fapi/v2/ticker/price": price, "/fapi/v1/aggTrades": aggregates, "/fapi/v1/fundingRate": funding}
OF_ALL = ("/fapi/v1/premiumIndex", "/fapi/v1/ticker/bookTicker", "/fapi/v1/ticker/24hr", "/fapi/v1/ticker/price", "/fapi/v2/ticker/price")


PING_S, PONG_S, LIFE_S = 180.0, 600.0, 86_400.0      # wall: the venue pings, waits for a pong, and ends a connection after a day
MESSAGES_PER_S = 10
STREAMS_MAX = 1_024
WEIGHT_PER_MINUTE = 2_400
WEIGHTS = {"/fapi/v1/depth": 20, "/fapi/v1/aggTrades": 20, "/fapi/v1/trades": 5, "/fapi/v1/ticker/24hr": 40, "/fapi/v1/klines": 5}


class BinanceConnection(Connection):
    """One client. category: the root it came by (public, market, private; '' = the legacy root). combined: frames are wrapped."""

    combined = False

    def __init__(self, hub: Hub, transport: asyncio.WriteTransport, conn_id: str, category: str) -> None:
        super().__init__(hub, transport, conn_id, category)
        self.asked: set[str] = set()                 # streams; `topics` has those of them that this root serves
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
        served = connection.category or "public"     # the legacy root keeps what /public has
        connection.topics = {name for name in connection.asked if binance.root_of(name) == served}
        self.count_wanted()

    def _answer(self, connection: Connection, text: str) -> None:
        assert isinstance(connection, BinanceConnection)
        if connection not in self.connections or connection.transport.is_closing() or connection.frozen(self.now_ns()):
            return
        now = asyncio.get_running_loop().time()
        if len(connection.message_times) == MESSAGES_PER_S and now - connection.message_times[0] < 1.0:
            self.idle_cuts += 1
            connection.transport.close()             # over the limit: disconnected
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
            return {"result": None, "id": number}    # also for names that do not exist
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
        self._weight = [0, 0]                        # minute, used

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
        whole = {"/fapi/v1/ping": lambda: b"{}", "/fapi/v1/time": lambda: orjson.dumps({"serverTime": now_ms}),
                 "/fapi/v1/exchangeInfo": lambda: binance.exchange_info(self.contracts, now_ms)}
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
