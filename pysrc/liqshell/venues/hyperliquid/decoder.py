"""Hyperliquid perpetuals: public frames to events, subscriptions. Pure functions and classes, no sockets.

The venue has NO public feed of liquidations, and none is made up here: trades, best bid and ask, mark, oracle, funding and open interest are all
there is. Only the files of a node have them: frames of the channel "node_fills", made by liqshell.live.node. `side` of a trade is the taker's: B
bought, A sold. activeAssetCtx has no time: the event's is that of receipt. Its funding is the rate of one hour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from liqcore.codec.shape import Shape, decimal, integer, literal, millis, optional, pair, record, rows, side, symbol, text, texts
from liqcore.event import Completeness, Kind, Side, Stream
from liqshell import backstops
from liqshell.venues import frames as read
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Addresses, Connection, Limits, Ping, Subscription
from liqshell.venues.frames import Frame, FrameDecoder, FrameKind, Refused, Unwanted, shown, typed
from liqshell.venues.hyperliquid.fills import Fills
from liqshell.venues.hyperliquid.instruments import TURNOVERS, instruments_request, parse_instruments, parse_turnover

VENUE = "hyperliquid"
PING_INTERVAL_S = 30.0  # the venue hangs up after 60 s of silence
SUBSCRIPTIONS_MAX = 1000  # of one address, over all its connections
SYMBOLS_A_CONNECTION = 100
STREAMS = {
    "trades": Stream.STREAM_TRADE,
    "bbo": Stream.STREAM_QUOTE,
    "activeAssetCtx": Stream.STREAM_MARK | Stream.STREAM_INDEX | Stream.STREAM_FUNDING | Stream.STREAM_OPEN_INTEREST,
}
TYPES = tuple(STREAMS)
TAKER_SIDE = {"B": Side.LONG, "A": Side.SHORT}
_OTHER_CHANNELS = frozenset(("l2Book", "allMids", "candle", "activeSpotAssetCtx", "user", "userFills", "userEvents", "notification", "webData2"))

SHAPES = (
    Shape(
        Kind.TRADE,
        {
            "channel": literal("trades"),
            "data": rows(
                {
                    "coin": symbol(),
                    "side": side(TAKER_SIDE),
                    "px": decimal("price"),
                    "sz": decimal("qty"),
                    "time": millis("ts_event"),
                    "hash": text(),
                    "tid": integer("id"),
                    "users": optional(texts()),
                }
            ),
        },
    ),
    Shape(
        Kind.BBO,
        {
            "channel": literal("bbo"),
            "data": record(
                {
                    "coin": symbol(),
                    "time": millis("ts_event"),
                    "bbo": pair(
                        {"px": decimal("price"), "sz": decimal("qty"), "n": integer()},
                        {"px": decimal("aux_price"), "sz": decimal("aux_qty"), "n": integer()},
                    ),
                }
            ),
        },
    ),
    Shape(
        Kind.TICKER,
        {
            "channel": literal("activeAssetCtx"),
            "data": record(
                {
                    "coin": symbol(),
                    "ctx": record(
                        {
                            "funding": optional(decimal("aux_qty", signed=True)),
                            "openInterest": optional(decimal("qty")),
                            "prevDayPx": optional(text()),
                            "dayNtlVlm": optional(text()),
                            "premium": optional(text()),
                            "oraclePx": optional(decimal("aux_price")),
                            "markPx": optional(decimal("price")),
                            "midPx": optional(text()),
                            "impactPxs": optional(texts()),
                            "dayBaseVlm": optional(text()),
                        }
                    ),
                }
            ),
        },
        untimed=True,
    ),
)


class PublicDecoder(FrameDecoder):
    def __init__(self, symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None):
        super().__init__(symbols, first, SHAPES)

    def message(self, message: dict, ts_recv: int) -> Frame:
        channel = message.get("channel")
        if channel == "trades":
            return self.rows(
                Frame(FrameKind.EVENTS, topics=("trades",)),
                typed(message.get("data"), list, "data"),
                lambda row: self._trade(typed(row, dict, "data[]"), ts_recv),
            )
        if channel == "bbo":
            return Frame(FrameKind.EVENTS, self._quote(typed(message.get("data"), dict, "data"), ts_recv), topics=("bbo",))
        if channel == "activeAssetCtx":
            return Frame(FrameKind.EVENTS, self._context(typed(message.get("data"), dict, "data"), ts_recv), topics=("activeAssetCtx",))
        if channel == "node_fills":
            return self._fills(typed(message.get("data"), list, "data"), ts_recv)
        return control_frame(message)

    def _fills(self, legs: list, ts_recv: int) -> Frame:
        """Of a node's files (liqshell.live.node), of which only liquidations are taken: trades come by their own channel."""
        frame = Frame(FrameKind.EVENTS, topics=("node_fills",))
        fills = Fills(lambda coin: self.first + self._index[coin] if coin in self._index else -1)
        rows = fills.rows(legs, ts_recv, lambda reason, detail: frame.dropped.update((reason,)))
        frame.events = [row for row in rows if row[8] in (Kind.LIQUIDATION, Kind.DELEVERAGE)]
        frame.dropped.update(backstops.NAME for row in rows if row[8] == backstops.BACKSTOP)
        return frame

    def _trade(self, row: dict, ts_recv: int) -> list[tuple]:
        index = self.index(row.get("coin"))
        return [
            self.event(
                Kind.TRADE,
                index,
                read.millis(row, "time"),
                ts_recv,
                read.decimal(row, "px"),
                read.decimal(row, "sz"),
                number=read.integer(row, "tid"),
                side=read.side(row, "side", TAKER_SIDE),
            )
        ]

    def _quote(self, data: dict, ts_recv: int) -> list[tuple]:
        index, ts_event = self.index(data.get("coin")), read.millis(data, "time")
        sides = typed(data.get("bbo"), list, "bbo")
        bid, ask = (EMPTY if one is None else typed(one, dict, "bbo[]") for one in [*sides, None, None][:2])
        return [
            self.event(
                Kind.BBO, index, ts_event, ts_recv, read.decimal(bid, "px"), read.decimal(bid, "sz"), read.decimal(ask, "px"), read.decimal(ask, "sz")
            )
        ]

    def _context(self, data: dict, ts_recv: int) -> list[tuple]:
        index, context = self.index(data.get("coin")), typed(data.get("ctx"), dict, "ctx")
        values = {
            name: _amount(context, key)
            for key, name in (("markPx", "price"), ("openInterest", "qty"), ("oraclePx", "aux_price"), ("funding", "aux_qty"))
            if context.get(key) is not None
        }
        return self.ticker(index, ts_recv, ts_recv, values)


EMPTY = {"px": "0", "sz": "0"}  # a side of the book without orders: the quote before ends


def _amount(row: dict, key: str) -> float:
    """A number as text, or, as the documentation has it, a number; only funding may be negative."""
    value = row[key]
    if type(value) in (int, float):
        if not math.isfinite(value) or value < 0 and key != "funding":
            raise Refused("bad number", f"{key}: got {shown(value)}")
        return float(value)
    return read.signed(row, key) if key == "funding" else read.decimal(row, key)


def control_frame(message: dict) -> Frame:
    channel, data = message.get("channel"), message.get("data")
    if channel == "pong":
        return Frame(FrameKind.PONG)
    if channel == "subscriptionResponse":
        name = _name(data.get("subscription")) if type(data) is dict else ""
        return Frame(FrameKind.ACK, topics=(name,) if name else (), acks=(name,) if name else ())
    if channel == "error":
        said = data if type(data) is str else ""
        at = said.find("{")
        try:
            asked = orjson.loads(said[at:]) if at >= 0 else None
        except orjson.JSONDecodeError:
            asked = None
        name = _name(asked.get("subscription", asked) if type(asked) is dict else None)
        kind = FrameKind.ACK if said.startswith("Already subscribed") else FrameKind.ACK_FAILED
        return Frame(
            kind,
            reason="" if kind == FrameKind.ACK else "request refused",
            detail=shown(said),
            topics=(name,) if name else (),
            acks=(name,) if name else (),
        )
    known = type(channel) is str and channel in _OTHER_CHANNELS
    raise Unwanted(f"channel {channel}" if known else "unknown channel", shown(message))


def _name(subscription: Any) -> str:
    if type(subscription) is not dict or type(subscription.get("type")) is not str:
        return ""
    return f"{subscription['type']}:{subscription.get('coin', '')}"


def plan(symbols: Sequence[str], ws: str, only: int = ALL_STREAMS, whole: bool = False) -> tuple[Connection, ...]:
    """One subscription a frame, because a frame takes one (of a refused one nothing is left to ask for). ValueError for more contracts than one
    address may subscribe to."""
    types = [kind for kind in TYPES if only & STREAMS[kind]]
    if len(symbols) * len(types) > SUBSCRIPTIONS_MAX:
        raise ValueError(
            f"symbols: {len(symbols)} contracts need {len(symbols) * len(types)} subscriptions, the venue allows one address "
            f"{SUBSCRIPTIONS_MAX}: at most {SUBSCRIPTIONS_MAX // len(types)} contracts"
        )
    out = []
    for n, at in enumerate(range(0, len(symbols) if types else 0, SYMBOLS_A_CONNECTION), 1):
        asked = [
            Subscription(
                orjson.dumps({"method": "subscribe", "subscription": {"type": kind, "coin": name}}), (f"{kind}:{name}",), (f"{kind}:{name}",), (name,)
            )
            for name in symbols[at : at + SYMBOLS_A_CONNECTION]
            for kind in types
        ]
        out.append(Connection(f"public-{n}", f"{ws}/ws", tuple(asked)))
    return tuple(out)


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    kind, _, name = arg.partition(":")
    return (name,), int(STREAMS[kind])


ADAPTER = Adapter(
    venue=VENUE,
    completeness=Completeness.COMPLETENESS_UNKNOWN,
    liquidations=False,
    decoder=PublicDecoder,
    plan=plan,
    streams=streams,
    environments={
        "mainnet": Addresses("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz"),
        "testnet": Addresses("https://api.hyperliquid-testnet.xyz", "wss://api.hyperliquid-testnet.xyz"),
    },
    turnovers=TURNOVERS,
    parse_turnover=parse_turnover,
    hosts=("hyperliquid.xyz",),
    kind_key="channel",
    symbol_keys=("coin",),
    channels=TYPES,
    instruments=instruments_request,
    parse_instruments=parse_instruments,
    ping=Ping(PING_INTERVAL_S, lambda sequence: b'{"method":"ping"}'),
    limits=Limits(send_interval_s=0.05, connect_interval_s=2.0, connections_max=10, subscriptions_max=SUBSCRIPTIONS_MAX),
    symbol=r"([a-z][a-z0-9]{0,15}:)?k?[A-Z0-9]{1,20}",
)
