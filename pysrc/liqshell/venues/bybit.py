"""Bybit V5 linear: public frames to events, subscriptions. Pure functions and classes, no sockets. Orders are in bybit_orders, instrument
filters in bybit_instruments.

Sides (venue documentation, page all-liquidation): `S` of allLiquidation is the side of the POSITION: Buy = a long was closed by force. `S` of
publicTrade is the taker's side. Prices of liquidations are bankruptcy prices, not fills. A block trade (`BT`) was agreed on off the book: its price
is none of the market's. Tickers tell changes, whose order is `cs`: one that comes late does not count.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from liqcore.event import Kind, Side
from liqcore.shape import Shape, decimal, false, flag, integer, level, literal, millis, mode, optional, record, rows, side, symbol, text, topic
from liqshell.venues.frames import FRAME_BYTES_MAX, OFF_BOOK, Frame, FrameDecoder, FrameKind, Refused, shown, signed, typed
from liqshell.venues.frames import decimal as decimal_of
from liqshell.venues.frames import integer as integer_of
from liqshell.venues.frames import millis as millis_of
from liqshell.venues.frames import side as side_of

__all__ = ["ENDPOINTS", "FRAME_BYTES_MAX", "PING_INTERVAL_S", "SHAPES", "TOPICS", "VENUE", "Endpoint", "Frame", "FrameKind", "PublicDecoder",
           "control_frame", "ping_frame", "shown", "subscribe_frames", "unsubscribe_frame"]

VENUE = "bybit"
PING_INTERVAL_S = 20
SUBSCRIBE_CHARS_MAX = 21_000     # all args of one public connection
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
                      "L": optional(text()), "i": text(), "BT": optional(false()), "RPI": optional(flag()), "seq": optional(integer("id"))}),
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


class PublicDecoder(FrameDecoder):
    """Frames of the public stream to events. Venue: an absent key of a ticker has not changed."""

    def __init__(self, symbols: Sequence[str], first: int = 0):
        super().__init__(symbols, first, SHAPES)
        self._readers = {"allLiquidation": self._liquidations, "liquidation": self._old_liquidation, "publicTrade": self._trades,
                         "orderbook.1": self._book, "tickers": self._ticker}

    def message(self, message: dict, ts_recv: int) -> Frame:
        return self._topic(message, ts_recv) if "topic" in message else control_frame(message)

    def _topic(self, message: dict, ts_recv: int) -> Frame:
        name = message["topic"]
        if type(name) is not str:
            raise Refused("bad structure", f"topic: expected text, got {shown(name)}")
        stem, _, symbol_text = name.rpartition(".")
        reader = self._readers.get(stem)
        if reader is None:
            family = name.split(".")[0]   # counters must not grow with what a stranger sends
            return Frame(FrameKind.OTHER, reason=f"topic {family}" if family in _OTHER_TOPICS else "unknown topic", detail=shown(name))
        index = self._index.get(symbol_text)
        if index is None:
            raise Refused("unknown symbol", f"{shown(name)}: not among the {len(self.symbols)} symbols subscribed")
        frame = Frame(FrameKind.EVENTS, topics=(name,))
        frame.events = reader(message, ts_recv, index, frame.dropped)
        if frame.dropped and not frame.events:
            frame.kind, frame.reason = FrameKind.OTHER, OFF_BOOK
        return frame

    def _row_symbol(self, row: dict, key: str, index: int) -> None:
        if row.get(key) != self.symbols[index]:
            raise Refused("wrong symbol", f"{key}: expected {self.symbols[index]!r} as in the topic, got {shown(row.get(key))}")

    def _liquidations(self, message: dict, ts_recv: int, index: int, dropped: Counter[str]) -> list[tuple]:
        events = []
        for row in typed(message.get("data"), list, "data"):
            row = typed(row, dict, "data[]")
            self._row_symbol(row, "s", index)
            events.append(self.event(Kind.LIQUIDATION, index, millis_of(row, "T"), ts_recv, decimal_of(row, "p"), decimal_of(row, "v"),
                                     side=side_of(row, "S", LIQUIDATED_SIDE)))
        return events

    def _old_liquidation(self, message: dict, ts_recv: int, index: int, dropped: Counter[str]) -> list[tuple]:
        """liquidation.{symbol}: one object, at most one a second; deprecated 2025-02, in old recordings."""
        row = typed(message.get("data"), dict, "data")
        self._row_symbol(row, "symbol", index)
        return [self.event(Kind.LIQUIDATION, index, millis_of(row, "updatedTime"), ts_recv, decimal_of(row, "price"), decimal_of(row, "size"),
                           side=side_of(row, "side", LIQUIDATED_SIDE))]

    def _trades(self, message: dict, ts_recv: int, index: int, dropped: Counter[str]) -> list[tuple]:
        events = []
        for row in typed(message.get("data"), list, "data"):
            row = typed(row, dict, "data[]")
            self._row_symbol(row, "s", index)
            sequence = integer_of(row, "seq") if "seq" in row else 0
            if row.get("BT") not in (None, False):
                dropped[OFF_BOOK] += 1
                continue
            events.append(self.event(Kind.TRADE, index, millis_of(row, "T"), ts_recv, decimal_of(row, "p"), decimal_of(row, "v"), number=sequence,
                                     side=side_of(row, "S", TAKER_SIDE)))
        return events

    def _book(self, message: dict, ts_recv: int, index: int, dropped: Counter[str]) -> list[tuple]:
        """Best bid and ask. Level 1 has been snapshot-only since 2025-03; a delta of an older recording says too little alone: no event."""
        data = typed(message.get("data"), dict, "data")
        self._row_symbol(data, "s", index)
        sides = []
        for key in ("b", "a"):
            levels = typed(data.get(key), list, key)
            if levels:
                best = typed(levels[0], list, f"{key}[0]")
                if len(best) != 2:
                    raise Refused("bad structure", f"{key}[0]: expected [price, size], got {shown(best)}")
                sides.append((decimal_of({key: best[0]}, key), decimal_of({key: best[1]}, key)))
        ts_event = millis_of(message, "cts" if "cts" in message else "ts")
        update = integer_of(data, "u")
        if message.get("type") != "snapshot" or len(sides) < 2:
            return []
        return [self.event(Kind.BBO, index, ts_event, ts_recv, *sides[0], *sides[1], number=update)]

    def _ticker(self, message: dict, ts_recv: int, index: int, dropped: Counter[str]) -> list[tuple]:
        data = typed(message.get("data"), dict, "data")
        self._row_symbol(data, "symbol", index)
        kind = message.get("type")
        if kind not in ("snapshot", "delta"):
            raise Refused("bad structure", f"type: expected snapshot or delta, got {shown(kind)}")
        values = {}
        for key, name in (("markPrice", "price"), ("openInterest", "qty"), ("indexPrice", "aux_price"), ("fundingRate", "aux_qty")):
            raw = data.get(key, "")
            if raw == "":
                continue
            values[name] = signed(data, key) if key == "fundingRate" else decimal_of(data, key)
        ts_event, sequence = millis_of(message, "ts"), (integer_of(message, "cs") if "cs" in message else 0)
        return self.change(index, ts_event, ts_recv, values, sequence, fresh=kind == "snapshot")


_NAMED_TOPICS = re.compile(r"topic:\s*([\w.]+(?:,[\w.]+)*)", re.ASCII | re.IGNORECASE)
_OPERATIONS = frozenset(("subscribe", "unsubscribe", "auth", "ping", "pong", "order.create", "order.amend", "order.cancel"))


def _topics_of(data: dict, key: str) -> tuple[str, ...]:
    found = data.get(key)
    return tuple(t for t in found if type(t) is str) if type(found) is list else ()


def control_frame(message: dict) -> Frame:
    """A frame without a topic: the acknowledgement or pong in it. All shapes of the public, private, trade and option streams."""
    req_id = message.get("req_id", message.get("reqId", ""))
    req_id = str(req_id) if type(req_id) in (str, int) else ""
    acks = (req_id,) if req_id else ()
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
            return Frame(FrameKind.ACK_FAILED, reason="subscribe refused", detail=shown(text_of or failed), topics=failed, req_id=req_id, acks=acks)
        return Frame(FrameKind.ACK, topics=_topics_of(data, "successTopics"), req_id=req_id, acks=acks)
    if operation in ("subscribe", "unsubscribe", "auth"):
        code = message.get("retCode", 0)
        if message.get("success", code == 0) is True and code == 0:
            return Frame(FrameKind.ACK, req_id=req_id, acks=acks)
        named = _NAMED_TOPICS.search(text_of)
        return Frame(FrameKind.ACK_FAILED, reason=f"{operation} refused", detail=shown(text_of), req_id=req_id, acks=acks,
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
