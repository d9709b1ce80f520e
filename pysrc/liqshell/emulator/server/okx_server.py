"""The OKX V5 public side on loopback: one websocket with text pings, per-argument acknowledgements and errors, notices; REST.

A client that sends nothing for 30 s is disconnected; more than 480 subscriptions an hour on one connection are refused.
"""

import asyncio

import orjson
from aiohttp import web

from liqshell.emulator.market import okx_frames as okx
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.server import okx_rest
from liqshell.emulator.server.host import Host
from liqshell.emulator.server.okx_public import OkxLane, okx_board
from liqshell.emulator.server.public_sockets import Connection, Hub, message
from liqshell.emulator.server.public_venue import Answer, PublicVenue

IDLE_S = 30.0
REQUESTS_PER_HOUR = 480
DOES_NOT_EXIST, INVALID, TOO_MANY = "60018", "60012", "60014"


class OkxConnection(Connection):
    """One client."""

    def __init__(self, hub: Hub, transport: asyncio.WriteTransport, conn_id: str, category: str) -> None:
        super().__init__(hub, transport, conn_id, category)
        self.subscriptions = 0
        self.since_s = asyncio.get_running_loop().time()


class OkxHub(Hub):
    """All clients of /ws/v5/public."""

    connection_type = OkxConnection

    def _answer(self, connection: Connection, text: str) -> None:
        assert isinstance(connection, OkxConnection)
        if connection not in self.connections or connection.frozen(self.now_ns()):
            return
        if text == "ping":
            connection.write(message(b"pong"))
            return
        try:
            request = orjson.loads(text)
            op, args, number = request["op"], request["args"], request.get("id")
            if op not in ("subscribe", "unsubscribe") or not isinstance(args, list) or not args:
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            connection.write(message(okx.event("error", connection.conn_id, code=INVALID, msg=f"Invalid request: {text[:200]}")))
            return
        for arg in args:
            connection.write(message(self._one(connection, op, arg, number)))
            if op == "subscribe" and (first := self.first_frame(_topic(arg), self.now_ns() // 1_000_000)) is not None and _topic(arg) in self.topics:
                connection.write(message(first))
        self.count_wanted()

    def _one(self, connection: OkxConnection, op: str, arg: object, number: object) -> bytes:
        """The answer to one argument: each is accepted or refused by itself."""
        now = asyncio.get_running_loop().time()
        if now - connection.since_s > 3_600.0:
            connection.since_s, connection.subscriptions = now, 0
        connection.subscriptions += 1
        if connection.subscriptions > REQUESTS_PER_HOUR:
            return okx.event("error", connection.conn_id, number, code=TOO_MANY, msg="Requests too frequent")
        topic = _topic(arg)
        if topic not in self.topics:
            shown = ",".join(f"{key}:{value}" for key, value in arg.items()) if isinstance(arg, dict) else str(arg)
            return okx.event(
                "error",
                connection.conn_id,
                number,
                code=DOES_NOT_EXIST,
                msg=f"Wrong URL or {shown} doesn't exist. Please use the correct URL, channel and parameters referring to API document.",
            )
        if op == "subscribe":
            connection.topics.add(topic)
        else:
            connection.topics.discard(topic)
        return okx.event(op, connection.conn_id, number, arg=arg)


def _topic(arg: object) -> str:
    """Our name of a channel and its instrument or type; '' for what is no such thing."""
    if not isinstance(arg, dict):
        return ""
    where = arg.get("instType") if arg.get("channel") in okx.BY_TYPE else arg.get("instId")
    return f"{arg.get('channel')}:{where}"


class OkxNeighbour(PublicVenue[OkxLane]):
    """See the module."""

    name = "okx"

    def __init__(self, emulator: Host, contracts: list[Contract]) -> None:
        wanted: set[str] = set()
        config = emulator.config
        board = okx_board(contracts, wanted, config.okx_one_per_second)
        topics = {f"{channel}:{kind}" for channel in okx.BY_TYPE for kind in okx.TYPES}
        for lane in board.lanes:
            topics.update(lane.topics.values())
        hub = OkxHub((), emulator.now_ns, wanted, self._first, config.seed, config.ack_delay_s, config.buffer_max, IDLE_S, topics)
        super().__init__(emulator, hub, board, contracts)

    @property
    def symbols(self) -> list[str]:
        return [okx.inst_id(contract) for contract in self.contracts]

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/v5/{category:public|business|private}", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await self.hub.handle(request, request.match_info["category"])

    def farewell(self) -> None:
        for connection in self.hub.connections:
            connection.write(message(okx.notice(connection.conn_id)))

    def _first(self, topic: str, now_ms: int) -> bytes | None:
        """Channels of states begin with the state; channels of happenings with the next one."""
        channel, _, inst = topic.partition(":")
        if topic == "instruments:SWAP":
            return okx.frame({"channel": channel, "instType": inst}, [okx.instrument(c) for c in self.contracts])
        if topic == "adl-warning:SWAP":
            return okx.frame(
                {"channel": channel, "instType": inst},
                [
                    {
                        "instType": inst,
                        "instFamily": okx.inst_id(c).removesuffix("-SWAP"),
                        "ccy": "USDT",
                        "state": "normal",
                        "bal": "250000000",
                        "adlBal": "0",
                        "adlRecBal": "8000",
                        "maxBal": "",
                        "maxBalTs": "",
                        "adlType": "",
                        "ts": str(now_ms),
                    }
                    for c in self.contracts
                ],
            )
        lane = self.by_symbol.get(inst if channel != "index-tickers" else inst + "-SWAP")
        if lane is None:
            return None
        if channel in ("bbo-tbt", "books5"):
            return lane.book_frame(channel) if lane.bid else None
        if channel in ("mark-price", "index-tickers", "open-interest", "funding-rate", "tickers", "price-limit") and lane.mark:
            return lane.value_frame(channel, now_ms)
        return None

    def rest(self, method: str, path: str, query: dict[str, str], now_ms: int) -> Answer:
        if method != "GET":
            return 405, okx.envelope([], "50115", "Invalid request type")
        kind, inst = query.get("instType", "SWAP"), query.get("instId", "")
        if path == "/api/v5/public/time":
            return 200, okx.envelope([{"ts": str(now_ms)}])
        channels = {
            "/api/v5/public/open-interest": "open-interest",
            "/api/v5/public/mark-price": "mark-price",
            "/api/v5/market/ticker": "tickers",
            "/api/v5/public/funding-rate": "funding-rate",
            "/api/v5/market/tickers": "tickers",
            "/api/v5/market/index-tickers": "index-tickers",
            "/api/v5/public/price-limit": "price-limit",
        }
        if kind not in okx.TYPES:
            return 200, okx.envelope([], "51000", "Parameter instType error")
        name = path.removeprefix("/api/v5/market/")
        candles, funding = name in okx_rest.MOST, path == "/api/v5/public/funding-rate-history"
        if (
            not candles
            and not funding
            and path not in channels
            and path not in ("/api/v5/public/instruments", "/api/v5/market/books", "/api/v5/market/trades")
        ):
            return 404, okx.envelope([], "50404", "Not Found")
        wanted = inst + "-SWAP" if path.endswith("index-tickers") and inst else inst
        lanes = [lane for lane in self.board.lanes if wanted in ("", lane.inst)] if kind == "SWAP" else []
        if inst and not lanes:
            return 200, okx.envelope([], "51001", "Instrument ID doesn't exist")
        if candles or funding:
            try:
                if not inst:
                    raise okx_rest.Refused("50014", "Parameter instId can not be empty.")
                rows: object = okx_rest.candles(lanes[0], name, query, now_ms) if candles else okx_rest.funding(lanes[0], query, now_ms)
            except okx_rest.Refused as refusal:
                return 200, okx.envelope([], *refusal.args)
            return 200, okx.envelope(rows)  # type: ignore[arg-type]
        if path == "/api/v5/public/instruments":
            return 200, okx.envelope([okx.instrument(lane.contract) for lane in lanes])
        if path == "/api/v5/market/books":
            return 200, okx.envelope([okx.book_row(*lane.texts(), lane.quote_ms, lane.update_id) for lane in lanes if lane.bid])
        if path == "/api/v5/market/trades":
            return 200, okx.envelope(
                [
                    okx.trade_row(
                        lane.inst, lane.trade_id - k, okx.price_text(lane.contract, ticks), okx.size_text(lane.contract, lots), side, lane.trade_ms, 1
                    )
                    for lane in lanes
                    for k, (side, ticks, lots) in enumerate(reversed(lane.prints))
                ]
            )
        return 200, okx.envelope([lane.value_row(channels[path], now_ms) for lane in lanes])
