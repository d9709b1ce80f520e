"""Bybit V5 linear: public frames to events, subscriptions. Pure functions and classes, no sockets. Orders are in bybit_orders, instrument
filters in bybit_instruments.

Sides (venue documentation, page all-liquidation): `S` of allLiquidation is the side of the POSITION: Buy = a long was closed by force. `S` of
publicTrade is the taker's side. Prices of liquidations are bankruptcy prices, not fills.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import orjson

from liqcore.event import EVENT_DTYPE, Kind, Side
from liqcore.scan import Decoder
from liqcore.shape import (Shape, decimal, flag, integer, level, literal, millis, mode, optional, record, rows, side, symbol, text, topic)

VENUE = "bybit"
PING_INTERVAL_S = 20
FRAME_BYTES_MAX = 1 << 20        # larger frames are not market data of ours
SUBSCRIBE_CHARS_MAX = 21_000     # all args of one public connection
MILLIS_MAX = 9_223_372_036_854   # ns must fit in int64
TOPICS = ("allLiquidation", "publicTrade", "orderbook.1", "tickers")
_OTHER_TOPICS = frozenset(("kline", "orderbook", "adlAlert", "insurance", "priceLimit", "liquidation", "order", "execution", "position", "wallet"))

LIQUIDATED_SIDE = {"Buy": Side.LONG, "Sell": Side.SHORT}
TAKER_SIDE = {"Buy": Side.LONG, "Sell": Side.SHORT}


@dataclass(frozen=True)
class Endpoint:
    """Where one environment lives. Demo trading has no public stream of its own and no websocket order entry."""

    public: str
    rest: str
    private: str
    trade: str | None


ENDPOINTS = {
    "mainnet": Endpoint("wss://stream.bybit.com/v5/public/linear", "https://api.bybit.com", "wss://stream.bybit.com/v5/private",
                        "wss://stream.bybit.com/v5/trade"),
    "testnet": Endpoint("wss://stream-testnet.bybit.com/v5/public/linear", "https://api-testnet.bybit.com",
                        "wss://stream-testnet.bybit.com/v5/private", "wss://stream-testnet.bybit.com/v5/trade"),
    "demo": Endpoint("wss://stream.bybit.com/v5/public/linear", "https://api-demo.bybit.com", "wss://stream-demo.bybit.com/v5/private", None),
}

# The frames worth being fast at. Anything that differs from these goes to PublicDecoder.read.
SHAPES = (
    Shape(Kind.LIQUIDATION, {
        "topic": topic("allLiquidation."), "type": literal("snapshot"), "ts": integer(),
        "data": rows({"T": millis("ts_event"), "s": symbol(), "S": side(LIQUIDATED_SIDE), "v": decimal("qty"), "p": decimal("price")}),
    }),
    Shape(Kind.TRADE, {
        "topic": topic("publicTrade."), "type": literal("snapshot"), "ts": integer(),
        "data": rows({"T": millis("ts_event"), "s": symbol(), "S": side(TAKER_SIDE), "v": decimal("qty"), "p": decimal("price"),
                      "L": optional(text()), "i": text(), "BT": optional(flag()), "RPI": optional(flag()), "seq": optional(integer("id"))}),
    }),
    Shape(Kind.BBO, {
        "topic": topic("orderbook.1."), "ts": millis("ts_fallback"), "type": literal("snapshot"),
        "data": record({"s": symbol(), "b": level("price", "qty"), "a": level("aux_price", "aux_qty"), "u": integer("id"),
                        "seq": optional(integer())}),
        "cts": optional(millis("ts_event")),
    }),
    Shape(Kind.TICKER, {
        "topic": topic("tickers."), "type": mode({"snapshot": True, "delta": False}),
        "data": record({
            "symbol": symbol(), "tickDirection": optional(text()), "price24hPcnt": optional(text()), "lastPrice": optional(text()),
            "prevPrice24h": optional(text()), "highPrice24h": optional(text()), "lowPrice24h": optional(text()), "prevPrice1h": optional(text()),
            "markPrice": optional(decimal("price", may_be_empty=True)), "indexPrice": optional(decimal("aux_price", may_be_empty=True)),
            "openInterest": optional(decimal("qty", may_be_empty=True)), "openInterestValue": optional(text()),
            "turnover24h": optional(text()), "volume24h": optional(text()), "fundingIntervalHour": optional(text()), "fundingCap": optional(text()),
            "singleOpenInterest": optional(text()), "singleOpenInterestValue": optional(text()), "nextFundingTime": optional(text()),
            "fundingRate": optional(decimal("aux_qty", signed=True, may_be_empty=True)),
            "bid1Price": optional(text()), "bid1Size": optional(text()), "ask1Price": optional(text()), "ask1Size": optional(text()),
            "preOpenPrice": optional(text()), "preQty": optional(text()), "curPreListingPhase": optional(text()),
            "basis": optional(text()), "basisRate": optional(text()), "deliveryTime": optional(text()), "deliveryFeeRate": optional(text()),
            "predictedDeliveryPrice": optional(text())}),
        "cs": optional(integer("id")), "ts": millis("ts_event"),
    }, carry=True),
)


class FrameKind(IntEnum):
    """What a frame turned out to be."""

    EVENTS = 1      # market data; possibly no event (a ticker of which nothing of ours changed, an empty book side)
    ACK = 2         # a subscribe, unsubscribe or auth request succeeded
    ACK_FAILED = 3
    PONG = 4
    OTHER = 5       # well-formed and not for us: kline, deeper books, other operations
    MALFORMED = 6


@dataclass(slots=True)
class Frame:
    """A frame read by the general path.

    reason: of MALFORMED and OTHER, one of a small set of words, for counters; detail: for people, with the value at fault. topics: of ACK_FAILED the
    topics that the venue named (empty where it named none), of ACK those it listed, of EVENTS the one topic.
    """

    kind: FrameKind
    events: list[tuple] = field(default_factory=list)
    reason: str = ""
    detail: str = ""
    topics: tuple[str, ...] = ()
    req_id: str = ""


class _Refused(Exception):
    """A frame cannot be read: (reason, detail). Never leaves this module."""


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def _decimal(row: dict, key: str) -> float:
    value = row.get(key)
    if type(value) is not str or not _DECIMAL.fullmatch(value) or len(value) > 64:
        raise _Refused("bad number", f"{key}: expected a decimal number as text, got {shown(value)}")
    return float(value)


def _integer(row: dict, key: str, maximum: int) -> int:
    value = row.get(key)
    if type(value) is not int or not 0 <= value <= maximum:
        raise _Refused("bad integer", f"{key}: expected an integer from 0 to {maximum}, got {shown(value)}")
    return value


def _millis(row: dict, key: str) -> int:
    return _integer(row, key, MILLIS_MAX) * 1_000_000


def _typed(value: Any, kind: type, where: str) -> Any:
    if type(value) is not kind:
        raise _Refused("bad structure", f"{where}: expected {'an object' if kind is dict else 'an array'}, got {shown(value)}")
    return value


def shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


class PublicDecoder:
    """Frames of the public stream to events.

    symbols: the instruments' symbols, in the order of their index. `decode` takes the fast way first (liqcore.scan, also callable from Cython as
    `decoder.scan`), and the general way for what that hands back. Both share the last ticker values of each symbol, so tickers always carry
    full values (venue: an absent key has not changed).
    """

    def __init__(self, symbols: Sequence[str]):
        self.symbols = tuple(symbols)
        self.carried = np.zeros(max(1, len(self.symbols)), EVENT_DTYPE)
        self.scan = Decoder(SHAPES, self.symbols, self.carried)
        self._index = {s: i for i, s in enumerate(self.symbols)}
        self._readers = {"allLiquidation": self._liquidations, "liquidation": self._old_liquidation, "publicTrade": self._trades,
                         "orderbook.1": self._book, "tickers": self._ticker}

    def decode(self, frame: bytes | bytearray | memoryview, ts_recv: int, out: np.ndarray) -> int | Frame:
        """Events of a frame into out (EVENT_DTYPE), their number as int; or a Frame where it needed the general path.

        frame: bytes or buffer. ts_recv: ns UTC. A Frame of kind EVENTS has its events also in out[:len(frame.events)]; where they are more than
        out can hold, ValueError (the venue sends at most 1024 trades a frame).
        """
        count = self.scan.decode(frame, ts_recv, out)
        if count >= 0:
            return count
        result = self.read(frame, ts_recv)
        if len(result.events) > len(out):
            raise ValueError(f"out: {len(result.events)} events in one frame, room for {len(out)}")
        if result.events:
            out[:len(result.events)] = result.events
        return result

    def read(self, frame: bytes | bytearray | memoryview | str, ts_recv: int) -> Frame:
        """Any frame, by the general path. Never raises for what a frame holds; ts_recv in ns UTC."""
        if isinstance(frame, str) or len(frame) > FRAME_BYTES_MAX:
            return Frame(FrameKind.MALFORMED, reason="too large" if not isinstance(frame, str) else "not bytes",
                         detail=f"{len(frame)} bytes, the limit is {FRAME_BYTES_MAX}")
        try:
            message = orjson.loads(frame)
        except (orjson.JSONDecodeError, RecursionError) as error:
            return Frame(FrameKind.MALFORMED, reason="not JSON", detail=f"{error}; begins {bytes(frame[:40])!r}")
        if type(message) is not dict:
            return Frame(FrameKind.MALFORMED, reason="bad structure", detail=f"expected an object, got {shown(message)}")
        try:
            return self._topic(message, ts_recv) if "topic" in message else control_frame(message)
        except _Refused as refused:
            return Frame(FrameKind.MALFORMED, [], *refused.args)

    def forget(self) -> None:
        """Forget the ticker values: on a new connection the venue starts with snapshots."""
        self.scan.forget()

    def _topic(self, message: dict, ts_recv: int) -> Frame:
        name = message["topic"]
        if type(name) is not str:
            raise _Refused("bad structure", f"topic: expected text, got {shown(name)}")
        stem, _, symbol_text = name.rpartition(".")
        reader = self._readers.get(stem)
        if reader is None:
            family = name.split(".")[0]   # counters must not grow with what a stranger sends
            return Frame(FrameKind.OTHER, reason=f"topic {family}" if family in _OTHER_TOPICS else "unknown topic", detail=shown(name))
        index = self._index.get(symbol_text)
        if index is None:
            raise _Refused("unknown symbol", f"{shown(name)}: not among the {len(self.symbols)} symbols subscribed")
        return Frame(FrameKind.EVENTS, reader(message, ts_recv, index), topics=(name,))

    def _row_symbol(self, row: dict, key: str, index: int) -> None:
        if row.get(key) != self.symbols[index]:
            raise _Refused("wrong symbol", f"{key}: expected {self.symbols[index]!r} as in the topic, got {shown(row.get(key))}")

    def _side(self, row: dict, key: str, sides: dict) -> int:
        value = row.get(key)
        if type(value) is not str or value not in sides:
            raise _Refused("bad side", f"{key}: expected Buy or Sell, got {shown(value)}")
        return int(sides[value])

    def _liquidations(self, message: dict, ts_recv: int, index: int) -> list[tuple]:
        events = []
        for row in _typed(message.get("data"), list, "data"):
            row = _typed(row, dict, "data[]")
            self._row_symbol(row, "s", index)
            events.append((_millis(row, "T"), ts_recv, _decimal(row, "p"), _decimal(row, "v"), 0.0, 0.0, 0, index, int(Kind.LIQUIDATION),
                           self._side(row, "S", LIQUIDATED_SIDE), 0, 0))
        return events

    def _old_liquidation(self, message: dict, ts_recv: int, index: int) -> list[tuple]:
        """liquidation.{symbol}: one object, at most one a second; deprecated 2025-02, in old recordings."""
        row = _typed(message.get("data"), dict, "data")
        self._row_symbol(row, "symbol", index)
        return [(_millis(row, "updatedTime"), ts_recv, _decimal(row, "price"), _decimal(row, "size"), 0.0, 0.0, 0, index, int(Kind.LIQUIDATION),
                 self._side(row, "side", LIQUIDATED_SIDE), 0, 0)]

    def _trades(self, message: dict, ts_recv: int, index: int) -> list[tuple]:
        events = []
        for row in _typed(message.get("data"), list, "data"):
            row = _typed(row, dict, "data[]")
            self._row_symbol(row, "s", index)
            sequence = _integer(row, "seq", 2 ** 63 - 1) if "seq" in row else 0
            events.append((_millis(row, "T"), ts_recv, _decimal(row, "p"), _decimal(row, "v"), 0.0, 0.0, sequence, index, int(Kind.TRADE),
                           self._side(row, "S", TAKER_SIDE), 0, 0))
        return events

    def _book(self, message: dict, ts_recv: int, index: int) -> list[tuple]:
        """Best bid and ask. Level 1 has been snapshot-only since 2025-03; a delta of an older recording says too little alone: no event."""
        data = _typed(message.get("data"), dict, "data")
        self._row_symbol(data, "s", index)
        sides = []
        for key in ("b", "a"):
            levels = _typed(data.get(key), list, key)
            if levels:
                best = _typed(levels[0], list, f"{key}[0]")
                if len(best) != 2:
                    raise _Refused("bad structure", f"{key}[0]: expected [price, size], got {shown(best)}")
                sides.append((_decimal({key: best[0]}, key), _decimal({key: best[1]}, key)))
        ts_event = _millis(message, "cts" if "cts" in message else "ts")
        update = _integer(data, "u", 2 ** 63 - 1)
        if message.get("type") != "snapshot" or len(sides) < 2:
            return []
        return [(ts_event, ts_recv, *sides[0], *sides[1], update, index, int(Kind.BBO), 0, 0, 0)]

    def _ticker(self, message: dict, ts_recv: int, index: int) -> list[tuple]:
        data = _typed(message.get("data"), dict, "data")
        self._row_symbol(data, "symbol", index)
        kind = message.get("type")
        if kind not in ("snapshot", "delta"):
            raise _Refused("bad structure", f"type: expected snapshot or delta, got {shown(kind)}")
        values = {}
        for key, name in (("markPrice", "price"), ("openInterest", "qty"), ("indexPrice", "aux_price"), ("fundingRate", "aux_qty")):
            raw = data.get(key, "")
            if raw == "":
                continue
            negative = key == "fundingRate" and type(raw) is str and raw.startswith("-")
            number = _decimal({key: raw[1:]} if negative else data, key)
            values[name] = -number if negative else number
        ts_event, sequence = _millis(message, "ts"), (_integer(message, "cs", 2 ** 63 - 1) if "cs" in message else 0)
        if kind == "snapshot":
            self.carried[index] = 0
        if not values:
            return []
        last = self.carried[index]
        price, qty, aux_price, aux_qty = (values.get(name, float(last[name])) for name in ("price", "qty", "aux_price", "aux_qty"))
        event = (ts_event, ts_recv, price, qty, aux_price, aux_qty, sequence, index, int(Kind.TICKER), 0, 0, 0)
        self.carried[index] = event
        return [event]


_NAMED_TOPICS = re.compile(r"topic:\s*([\w.]+(?:,[\w.]+)*)", re.ASCII | re.IGNORECASE)
_OPERATIONS = frozenset(("subscribe", "unsubscribe", "auth", "ping", "pong", "order.create", "order.amend", "order.cancel"))


def _topics_of(data: dict, key: str) -> tuple[str, ...]:
    found = data.get(key)
    return tuple(t for t in found if type(t) is str) if type(found) is list else ()


def control_frame(message: dict) -> Frame:
    """A frame without a topic: the acknowledgement or pong in it. All shapes of the public, private, trade and option streams."""
    req_id = message.get("req_id", message.get("reqId", ""))
    req_id = str(req_id) if type(req_id) in (str, int) else ""
    request = message.get("request")
    operation = message.get("op", request.get("op") if type(request) is dict else None)
    text_of = message.get("ret_msg", message.get("retMsg", ""))
    text_of = text_of if type(text_of) is str else ""
    if operation == "pong" or (operation == "ping" and message.get("success") is not False):
        return Frame(FrameKind.PONG, req_id=req_id)
    if message.get("type") == "COMMAND_RESP":
        data = message.get("data")
        if type(data) is not dict:
            data = {}
        failed = _topics_of(data, "failTopics")
        if failed or message.get("success") is not True:
            return Frame(FrameKind.ACK_FAILED, reason="subscribe refused", detail=shown(text_of or failed), topics=failed, req_id=req_id)
        return Frame(FrameKind.ACK, topics=_topics_of(data, "successTopics"), req_id=req_id)
    if operation in ("subscribe", "unsubscribe", "auth"):
        code = message.get("retCode", 0)
        if message.get("success", code == 0) is True and code == 0:
            return Frame(FrameKind.ACK, req_id=req_id)
        named = _NAMED_TOPICS.search(text_of)
        return Frame(FrameKind.ACK_FAILED, reason=f"{operation} refused", detail=shown(text_of), req_id=req_id,
                     topics=tuple(named.group(1).split(",")) if named else ())
    known = type(operation) is str and operation in _OPERATIONS
    return Frame(FrameKind.OTHER, reason=f"operation {operation}" if known else "unknown operation", detail=shown(message), req_id=req_id)


def subscribe_frames(symbols: Iterable[str], topics: Iterable[str] = TOPICS) -> list[tuple[str, bytes]]:
    """(req_id, frame) for each symbol. One symbol a frame, because one unknown topic makes the venue refuse all args of a frame.

    ValueError where all args together exceed what one connection may subscribe: use several connections.
    """
    frames, chars = [], 0
    topics = tuple(topics)
    for name in symbols:
        args = [f"{topic_name}.{name}" for topic_name in topics]
        chars += sum(map(len, args))
        req_id = f"sub-{name}"
        frames.append((req_id, orjson.dumps({"req_id": req_id, "op": "subscribe", "args": args})))
    if chars > SUBSCRIBE_CHARS_MAX:
        raise ValueError(f"symbols: their {len(frames) * len(topics)} topics have {chars} characters, one connection takes {SUBSCRIBE_CHARS_MAX}; "
                         f"use {-(-chars // SUBSCRIBE_CHARS_MAX)} connections")
    return frames


def unsubscribe_frame(symbol_name: str, topics: Iterable[str] = TOPICS) -> tuple[str, bytes]:
    """(req_id, frame) that ends the topics of one symbol."""
    req_id = f"unsub-{symbol_name}"
    return req_id, orjson.dumps({"req_id": req_id, "op": "unsubscribe", "args": [f"{t}.{symbol_name}" for t in topics]})


def ping_frame(sequence: int) -> bytes:
    """The JSON ping, due every PING_INTERVAL_S; its pong repeats the req_id. A websocket protocol ping is the driver's second, separate one."""
    return orjson.dumps({"req_id": f"ping-{sequence}", "op": "ping"})
