"""Bybit V5 linear: public frames to events, subscriptions. Pure functions and classes, no sockets. Orders are in orders.py, instrument filters in
instruments.py.

Sides (venue documentation, page all-liquidation): `S` of allLiquidation is the side of the POSITION: Buy = a long was closed by force. `S` of
publicTrade is the taker's side. Prices of liquidations are bankruptcy prices, not fills. A block trade (`BT`) was agreed on off the book: its price
is none of the market's. Tickers tell changes, whose order is `cs`: one that comes late does not count.

`adlAlert` and `insurance` come for all contracts of a coin. Deleveraging begins where the pool has nothing left, or where it is above `adl_tt` and a
contract's share lost of it in 8 hours (`pr`, a loss is below 0) passes `i_pr`; it goes on until `adl_sr`. The venue's sample has `pr` above 0, which
its formula does not allow: what that means is not known, so the distance counts its size and the drawdown is not stated.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from liqcore.codec.shape import Shape, decimal, false, flag, integer, level, literal, millis, mode, optional, record, rows, side, symbol, text, topic
from liqcore.event import Kind, Side
from liqshell.venues.frames import (
    OFF_BOOK,
    Frame,
    FrameDecoder,
    FrameKind,
    Refused,
    Unwanted,
    digit_millis,
    shown,
    signed,
    stated,
    typed,
)
from liqshell.venues.frames import decimal as decimal_of
from liqshell.venues.frames import integer as integer_of
from liqshell.venues.frames import millis as millis_of
from liqshell.venues.frames import side as side_of

VENUE = "bybit"
PING_INTERVAL_S = 20
SUBSCRIBE_CHARS_MAX = 21_000  # all args of one public connection
TOPICS = ("allLiquidation", "publicTrade", "orderbook.1", "tickers")
LIMITS = ("priceLimit",)  # of a contract; asked for apart, so that a refusal costs nothing else
COIN_TOPICS = ("adlAlert", "insurance")
_OTHER_TOPICS = frozenset(("kline", "orderbook", "liquidation", "order", "execution", "position", "wallet"))

LIQUIDATED_SIDE = {"Buy": Side.LONG, "Sell": Side.SHORT}
TAKER_SIDE = {"Buy": Side.LONG, "Sell": Side.SHORT}

# The frames worth being fast at. Anything that differs from these goes to PublicDecoder.read.
SHAPES = (
    Shape(
        Kind.LIQUIDATION,
        {
            "topic": topic("allLiquidation."),
            "type": literal("snapshot"),
            "ts": integer(),
            "data": rows({"T": millis("ts_event"), "s": symbol(), "S": side(LIQUIDATED_SIDE), "v": decimal("qty"), "p": decimal("price")}),
        },
    ),
    Shape(
        Kind.TRADE,
        {
            "topic": topic("publicTrade."),
            "type": literal("snapshot"),
            "ts": integer(),
            "data": rows(
                {
                    "T": millis("ts_event"),
                    "s": symbol(),
                    "S": side(TAKER_SIDE),
                    "v": decimal("qty"),
                    "p": decimal("price"),
                    "L": optional(text()),
                    "i": text(),
                    "BT": optional(false()),
                    "RPI": optional(flag()),
                    "seq": optional(integer("id")),
                }
            ),
        },
    ),
    Shape(
        Kind.BBO,
        {
            "topic": topic("orderbook.1."),
            "ts": millis("ts_fallback"),
            "type": literal("snapshot"),
            "data": record(
                {"s": symbol(), "b": level("price", "qty"), "a": level("aux_price", "aux_qty"), "u": integer("id"), "seq": optional(integer())}
            ),
            "cts": optional(millis("ts_event")),
        },
    ),
    Shape(
        Kind.TICKER,
        {
            "topic": topic("tickers."),
            "type": mode({"snapshot": True, "delta": False}),
            "data": record(
                {
                    "symbol": symbol(),
                    "tickDirection": optional(text()),
                    "price24hPcnt": optional(text()),
                    "lastPrice": optional(text()),
                    "prevPrice24h": optional(text()),
                    "highPrice24h": optional(text()),
                    "lowPrice24h": optional(text()),
                    "prevPrice1h": optional(text()),
                    "markPrice": optional(decimal("price", may_be_empty=True)),
                    "indexPrice": optional(decimal("aux_price", may_be_empty=True)),
                    "openInterest": optional(decimal("qty", may_be_empty=True)),
                    "openInterestValue": optional(text()),
                    "turnover24h": optional(text()),
                    "volume24h": optional(text()),
                    "fundingIntervalHour": optional(text()),
                    "fundingCap": optional(text()),
                    "singleOpenInterest": optional(text()),
                    "singleOpenInterestValue": optional(text()),
                    "nextFundingTime": optional(text()),
                    "fundingRate": optional(decimal("aux_qty", signed=True, may_be_empty=True)),
                    "bid1Price": optional(text()),
                    "bid1Size": optional(text()),
                    "ask1Price": optional(text()),
                    "ask1Size": optional(text()),
                    "preOpenPrice": optional(text()),
                    "preQty": optional(text()),
                    "curPreListingPhase": optional(text()),
                    "basis": optional(text()),
                    "basisRate": optional(text()),
                    "deliveryTime": optional(text()),
                    "deliveryFeeRate": optional(text()),
                    "predictedDeliveryPrice": optional(text()),
                }
            ),
            "cs": optional(integer("id")),
            "ts": millis("ts_event"),
        },
        carry=True,
    ),
)


class PublicDecoder(FrameDecoder):
    """Frames of the public stream to events. Venue: an absent key of a ticker has not changed."""

    def __init__(self, symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None):
        super().__init__(symbols, first, SHAPES)
        self._readers = {
            "allLiquidation": self._liquidations,
            "liquidation": self._old_liquidation,
            "publicTrade": self._trades,
            "orderbook.1": self._book,
            "tickers": self._ticker,
            "priceLimit": self._limits,
        }
        self._coin_readers = {"adlAlert": self._alert, "insurance": self._insurance}

    def message(self, message: dict, ts_recv: int) -> Frame:
        return self._topic(message, ts_recv) if "topic" in message else control_frame(message)

    def _topic(self, message: dict, ts_recv: int) -> Frame:
        name = message["topic"]
        if type(name) is not str:
            raise Refused("bad structure", f"topic: expected text, got {shown(name)}")
        stem, _, symbol_text = name.rpartition(".")
        if stem in self._coin_readers:
            return self._coin_readers[stem](message, ts_recv, Frame(FrameKind.EVENTS, topics=(name,)))
        reader = self._readers.get(stem)
        if reader is None:
            family = name.split(".")[0]  # counters must not grow with what a stranger sends
            return Frame(FrameKind.OTHER, reason=f"topic {family}" if family in _OTHER_TOPICS else "unknown topic", detail=shown(name))
        index = self._index.get(symbol_text)
        if index is None:
            raise Refused("unknown symbol", f"{shown(name)}: not among the {len(self.symbols)} symbols subscribed")
        frame = Frame(FrameKind.EVENTS, topics=(name,))
        return reader(message, ts_recv, index, frame)

    def _row(self, row: object, key: str, index: int) -> dict:
        """A row about the symbol of the topic."""
        found: dict = typed(row, dict, "data[]")
        if found.get(key) != self.symbols[index]:
            raise Refused("wrong symbol", f"{key}: expected {self.symbols[index]!r} as in the topic, got {shown(found.get(key))}")
        return found

    def _liquidations(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        def read(row: object) -> list[tuple]:
            found = self._row(row, "s", index)
            return [
                self.event(
                    Kind.LIQUIDATION,
                    index,
                    millis_of(found, "T"),
                    ts_recv,
                    decimal_of(found, "p"),
                    decimal_of(found, "v"),
                    side=side_of(found, "S", LIQUIDATED_SIDE),
                )
            ]

        return self.rows(frame, typed(message.get("data"), list, "data"), read)

    def _old_liquidation(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        """liquidation.{symbol}: one object, at most one a second; deprecated 2025-02, in old recordings."""
        row = self._row(message.get("data"), "symbol", index)
        frame.events = [
            self.event(
                Kind.LIQUIDATION,
                index,
                millis_of(row, "updatedTime"),
                ts_recv,
                decimal_of(row, "price"),
                decimal_of(row, "size"),
                side=side_of(row, "side", LIQUIDATED_SIDE),
            )
        ]
        return frame

    def _trades(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        def read(row: object) -> list[tuple]:
            found = self._row(row, "s", index)
            if found.get("BT") not in (None, False):
                raise Unwanted(OFF_BOOK, "BT")
            return [
                self.event(
                    Kind.TRADE,
                    index,
                    millis_of(found, "T"),
                    ts_recv,
                    decimal_of(found, "p"),
                    decimal_of(found, "v"),
                    number=integer_of(found, "seq") if "seq" in found else 0,
                    side=side_of(found, "S", TAKER_SIDE),
                )
            ]

        return self.rows(frame, typed(message.get("data"), list, "data"), read)

    def _book(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        """Best bid and ask; of an empty side price and quantity are 0, which ends the quote before. Level 1 has been snapshot-only since 2025-03; a
        delta of an older recording says too little alone: no event."""
        data = self._row(message.get("data"), "s", index)
        sides = []
        for key in ("b", "a"):
            levels = typed(data.get(key), list, key)
            best = typed(levels[0], list, f"{key}[0]") if levels else ["0", "0"]
            if len(best) != 2:
                raise Refused("bad structure", f"{key}[0]: expected [price, size], got {shown(best)}")
            sides.append((decimal_of({key: best[0]}, key), decimal_of({key: best[1]}, key)))
        ts_event = millis_of(message, "cts" if "cts" in message else "ts")
        update = integer_of(data, "u")
        if message.get("type") == "snapshot":
            frame.events = [self.event(Kind.BBO, index, ts_event, ts_recv, *sides[0], *sides[1], number=update)]
        return frame

    def _ticker(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        """A field that cannot be read is counted, and the others count."""
        data = self._row(message.get("data"), "symbol", index)
        kind = message.get("type")
        if kind not in ("snapshot", "delta"):
            raise Refused("bad structure", f"type: expected snapshot or delta, got {shown(kind)}")
        found: dict[str, Any] = {}
        worst: Refused | None = None
        for key, name, read, row in (
            ("markPrice", "price", decimal_of, data),
            ("openInterest", "qty", decimal_of, data),
            ("indexPrice", "aux_price", decimal_of, data),
            ("fundingRate", "aux_qty", signed, data),
            ("cs", "cs", integer_of, message),
        ):
            if row.get(key, "") == "":
                continue
            try:
                found[name] = read(row, key)
            except Refused as why:
                frame.dropped[why.args[0]] += 1
                worst = why
        sequence = found.pop("cs", 0)
        if worst is not None and not found:
            raise worst
        frame.events = self.change(index, millis_of(message, "ts"), ts_recv, found, sequence, fresh=kind == "snapshot")
        return frame

    def _limits(self, message: dict, ts_recv: int, index: int, frame: Frame) -> Frame:
        data = self._row(message.get("data"), "symbol", index)
        frame.events = self.limits(index, millis_of(message, "ts"), ts_recv, stated(data, "buyLmt"), stated(data, "sellLmt"))
        return frame

    def _alert(self, message: dict, ts_recv: int, frame: Frame) -> Frame:
        ts_event = millis_of(message, "ts")

        def read(row: object) -> list[tuple]:
            found: dict = typed(row, dict, "data[]")
            balance, ratio, start, stop, least = (stated(found, key) for key in ("b", "pr", "i_pr", "adl_sr", "adl_tt"))
            return self.pool(
                self.index(found.get("s")),
                ts_event,
                ts_recv,
                balance,
                None if ratio is None or ratio > 0.0 else abs(ratio),
                adl_distance(balance, ratio, start, stop, least),
            )

        return self.rows(frame, self._ours(message, "s"), read)

    def _insurance(self, message: dict, ts_recv: int, frame: Frame) -> Frame:
        """Balances that have changed; the venue states none of pools shared by several contracts, so `symbols` is usually one."""
        ts_frame = millis_of(message, "ts")

        def read(row: object) -> list[tuple]:
            found: dict = typed(row, dict, "data[]")
            ts_event = digit_millis(found, "updateTime") if type(found.get("updateTime")) is str else ts_frame
            return [
                event
                for name in typed(found.get("symbols"), str, "symbols").split(",")
                if name.strip() in self._index
                for event in self.pool(self._index[name.strip()], ts_event, ts_recv, stated(found, "balance"))
            ]

        return self.rows(frame, self._ours(message, ""), read)

    def _ours(self, message: dict, key: str) -> list:
        """The rows of a whole coin that are about our contracts, or cannot be read."""
        found: list = typed(message.get("data"), list, "data")
        return [row for row in found if type(row) is not dict or not key or type(row.get(key)) is not str or row[key] in self._index]


def adl_distance(balance: float | None, ratio: float | None, start: float | None, stop: float | None, least: float | None) -> float | None:
    """What is left of the way to deleveraging, 0..1: of the pool's balance (b) while it is below `least` (adl_tt), else of the loss (pr) on its
    way to the nearer of where deleveraging starts (i_pr) and ends (adl_sr), between which it may still run. None = too little was stated."""
    if balance is None:
        return None
    if balance <= 0.0:
        return 0.0
    if least is not None and balance <= least:
        return balance / least
    edges = [abs(edge) for edge in (start, stop) if edge]
    return None if ratio is None or not edges else max(0.0, 1.0 - abs(ratio) / min(edges))


def coin_of(symbol_text: str) -> str:
    """The coin whose topics concern a linear contract."""
    return "USDT" if "USDT" in symbol_text else "USDC"


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
        return Frame(
            FrameKind.ACK_FAILED,
            reason=f"{operation} refused",
            detail=shown(text_of),
            req_id=req_id,
            acks=acks,
            topics=tuple(named.group(1).split(",")) if named else (),
        )
    known = type(operation) is str and operation in _OPERATIONS
    return Frame(FrameKind.OTHER, reason=f"operation {operation}" if known else "unknown operation", detail=shown(message), req_id=req_id)


def subscribe_frames(symbols: Iterable[str], topics: Iterable[str] = TOPICS, prefix: str = "sub") -> list[tuple[str, bytes]]:
    """(req_id, frame) for each symbol (or coin). One symbol a frame, because one unknown topic makes the venue refuse all args of a frame.

    ValueError where all args together exceed what one connection may subscribe: use several connections.
    """
    frames, chars = [], 0
    topics = tuple(topics)
    for name in symbols:
        args = [f"{topic_name}.{name}" for topic_name in topics]
        chars += sum(map(len, args))
        req_id = f"{prefix}-{name}"
        frames.append((req_id, orjson.dumps({"req_id": req_id, "op": "subscribe", "args": args})))
    if chars > SUBSCRIBE_CHARS_MAX:
        raise ValueError(
            f"symbols: their {len(frames) * len(topics)} topics have {chars} characters, one connection takes {SUBSCRIBE_CHARS_MAX}; "
            f"use {-(-chars // SUBSCRIBE_CHARS_MAX)} connections"
        )
    return frames


def ping_frame(sequence: int) -> bytes:
    """The JSON ping, due every PING_INTERVAL_S; its pong repeats the req_id. A websocket protocol ping is the driver's second, separate one."""
    return orjson.dumps({"req_id": f"ping-{sequence}", "op": "ping"})
