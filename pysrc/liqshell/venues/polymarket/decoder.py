"""Frames of the market stream, of REST books and of Binance spot to messages. Nothing raises: what cannot be read is a Malformed with its reason.

Prices and sizes are Decimal, as the venue writes them; times ns. The order of a book's levels is not to be trusted: best is the highest bid and the
lowest ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

MS = 1_000_000
LEVELS_MAX = 2000
ZERO, ONE = Decimal(0), Decimal(1)
Level = tuple[Decimal, Decimal]
_NEEDLESS = {"PONG", "PING", "best_bid_ask", "new_market"}
_OF_BOOKS = {"book", "price_change", "tick_size_change"}


@dataclass(frozen=True)
class Book:
    """The whole book of a token. tick: where the answer says it."""

    market: str
    token: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    ts_event: int
    tick: Decimal | None = None


@dataclass(frozen=True)
class Change:
    """The new total at one price of a token; size 0 = gone. buy: a bid. best_bid, best_ask: of the token's book when all of its changes in this event
    are made; 0 = that side is empty, None = not said."""

    market: str
    token: str
    price: Decimal
    size: Decimal
    buy: bool
    ts_event: int
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None


@dataclass(frozen=True)
class Trade:
    """A trade. buy: the taker bought."""

    market: str
    token: str
    price: Decimal
    size: Decimal
    buy: bool
    ts_event: int


@dataclass(frozen=True)
class TickChange:
    """The least step of a token's price has changed: its book is to be read anew."""

    market: str
    token: str
    tick: Decimal
    ts_event: int


@dataclass(frozen=True)
class Resolved:
    """The venue says which token is paid, and the name of that outcome; "" = it does not say the name."""

    market: str
    winner: str
    ts_event: int
    outcome: str = ""


@dataclass(frozen=True)
class Candle:
    """A spot candle. final: the next one exists, so that it does not change any more."""

    symbol: str
    start_ns: int
    open: float
    close: float
    final: bool
    ts_event: int


@dataclass(frozen=True)
class SpotTrade:
    symbol: str
    price: float
    ts_event: int


@dataclass(frozen=True)
class Other:
    """Well-formed, and nothing that is needed: a pong, best_bid_ask, new_market, or a kind that is new, which is not known."""

    kind: str

    @property
    def known(self) -> bool:
        return self.kind in _NEEDLESS


@dataclass(frozen=True)
class Malformed:
    """A message that cannot be read. books: the tokens whose book it may concern; None = unknown."""

    reason: str
    books: frozenset[str] | None = frozenset()


Message = Book | Change | Trade | TickChange | Resolved | Candle | SpotTrade | Other | Malformed


class _Bad(ValueError):
    pass


def decode(frame: bytes) -> list[Message]:
    """The messages of a frame of the market stream: one event, or an array of them."""
    if frame in (b"PONG", b"PING"):
        return [Other(frame.decode())]
    try:
        found = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return [Malformed(f"not JSON: {frame[:60]!r}", None)]
    out: list[Message] = []
    for one in found if isinstance(found, list) else [found]:
        try:
            out += _event(one)
        except _Bad as why:
            out.append(Malformed(str(why), _books_of(one)))
    return out


def _books_of(e: Any) -> frozenset[str] | None:
    """The tokens whose books an unreadable event may concern."""
    kind = e.get("event_type") if isinstance(e, dict) else None
    if not isinstance(kind, str):
        return None
    if kind not in _OF_BOOKS:
        return frozenset()
    rows = e.get("price_changes") if kind == "price_change" else [e]
    named = [row.get("asset_id") if isinstance(row, dict) else None for row in rows] if isinstance(rows, list) else []
    tokens = [one for one in named if isinstance(one, str)]
    return frozenset(tokens) if tokens and len(tokens) == len(named) else None


def decode_book(answer: bytes) -> Message:
    """The answer of GET /book."""
    return _whole(answer, _book)


def decode_spot(frame: bytes) -> list[Message]:
    """A frame of Binance spot: a kline or a trade, alone or wrapped with its stream."""
    message = _whole(frame, _spot)
    return [message]


def decode_klines(answer: bytes, symbol: str) -> list[Message]:
    """The answer of GET /api/v3/klines of one-hour candles, in order. Each but the last is final."""
    try:
        rows = orjson.loads(answer)
        if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) < 7 for row in rows):
            raise _Bad(f"klines: got {answer[:60]!r}")
        starts = [_ms(row[0]) for row in rows]
        if starts != sorted(set(starts)):
            raise _Bad("klines: not in order of time")
        return [
            Candle(symbol, start, _price(row[1]), _price(row[4]), n < len(rows) - 1, _ms(row[6]))
            for n, (start, row) in enumerate(zip(starts, rows, strict=True))
        ]
    except (_Bad, orjson.JSONDecodeError) as why:
        return [Malformed(str(why))]


def _whole(frame: bytes, read: Any) -> Message:
    try:
        found = orjson.loads(frame)
        if not isinstance(found, dict):
            raise _Bad(f"no object: {frame[:60]!r}")
        message: Message = read(found)
        return message
    except (_Bad, orjson.JSONDecodeError) as why:
        return Malformed(str(why))


def _event(e: Any) -> list[Message]:
    if not isinstance(e, dict):
        raise _Bad(f"no object: {str(e)[:60]!r}")
    kind = e.get("event_type")
    if kind == "book":
        return [_book(e)]
    if kind == "price_change":
        rows = e.get("price_changes")
        if not isinstance(rows, list) or len(rows) > LEVELS_MAX or any(not isinstance(row, dict) for row in rows):
            raise _Bad("price_changes: no list of objects")
        last = {str(row.get("asset_id")): n for n, row in enumerate(rows)}  # what it says of the best is of the time after all of them
        return [
            Change(
                _text(e, "market"),
                _text(row, "asset_id"),
                _share_price(row.get("price")),
                _size(row.get("size")),
                _buy(row),
                _ts(e),
                *(_best(row.get(key)) if last[row["asset_id"]] == n else None for key in ("best_bid", "best_ask")),
            )
            for n, row in enumerate(rows)
        ]
    if kind == "last_trade_price":
        size = _size(e.get("size"))
        if size == ZERO:
            raise _Bad("size: a trade of nothing")
        return [Trade(_text(e, "market"), _text(e, "asset_id"), _share_price(e.get("price")), size, _buy(e), _ts(e))]
    if kind == "tick_size_change":
        return [TickChange(_text(e, "market"), _text(e, "asset_id"), _share_price(e.get("new_tick_size")), _ts(e))]
    if kind == "market_resolved":
        return [Resolved(_text(e, "market"), _text(e, "winning_asset_id"), _ts(e), str(e.get("winning_outcome") or "")[:40])]
    if isinstance(kind, str):
        return [Other(kind[:40])]
    raise _Bad(f"event_type: got {str(kind)[:40]!r}")


def _book(e: dict[str, Any]) -> Book:
    sides = []
    for key in ("bids", "asks"):
        rows = e.get(key)
        if not isinstance(rows, list) or len(rows) > LEVELS_MAX or any(not isinstance(row, dict) for row in rows):
            raise _Bad(f"{key}: no list of levels")
        levels = [(_share_price(row.get("price")), _size(row.get("size"))) for row in rows]
        if len({price for price, _ in levels}) != len(levels):
            raise _Bad(f"{key}: a price twice")
        sides.append(tuple(level for level in levels if level[1] > ZERO))
    bids, asks = sides
    if bids and asks and max(bids)[0] >= min(asks)[0]:
        raise _Bad(f"a crossed book: {max(bids)[0]} and {min(asks)[0]}")
    tick = _share_price(e["tick_size"]) if e.get("tick_size") is not None else None
    return Book(_text(e, "market"), _text(e, "asset_id"), bids, asks, _ts(e), tick)


def _spot(found: dict[str, Any]) -> Message:
    e = found["data"] if isinstance(found.get("data"), dict) else found
    kind = e.get("e")
    if kind == "kline":
        k = e.get("k")
        if not isinstance(k, dict):
            raise _Bad("k: no object")
        if k.get("i") != "1h":
            return Other(f"kline {str(k.get('i'))[:8]}")
        # x says that the candle's time is over; final it is when the next one exists
        return Candle(_text(k, "s"), _ms(k.get("t")), _price(k.get("o")), _price(k.get("c")), False, _ms(e.get("E")))
    if kind in ("trade", "aggTrade"):
        return SpotTrade(_text(e, "s"), _price(e.get("p")), _ms(e.get("E")))
    return Other(str(kind)[:40])


def _text(e: dict[str, Any], key: str) -> str:
    value = e.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 80:
        raise _Bad(f"{key}: got {str(value)[:40]!r}")
    return value


def _buy(e: dict[str, Any]) -> bool:
    if e.get("side") not in ("BUY", "SELL"):
        raise _Bad(f"side: got {str(e.get('side'))[:20]!r}")
    return bool(e["side"] == "BUY")


def _decimal(value: Any, what: str) -> Decimal:
    if isinstance(value, str) and 0 < len(value) <= 40:
        try:
            found = Decimal(value)
        except InvalidOperation:
            found = Decimal("nan")
        if found.is_finite() and -20 <= int(found.as_tuple().exponent) <= 20:
            return found
    raise _Bad(f"{what}: got {str(value)[:40]!r}")


def _share_price(value: Any) -> Decimal:
    found = _decimal(value, "price")
    if not ZERO < found < ONE:
        raise _Bad(f"price: {value} is not between 0 and 1")
    return found


def _best(value: Any) -> Decimal | None:
    """None if not stated; 0, or the other end of the range, if that side is empty."""
    if value is None or value == "":
        return None
    found = _decimal(value, "best price")
    if not ZERO <= found <= ONE:
        raise _Bad(f"best price: {value} is not between 0 and 1")
    return ZERO if found == ONE else found


def _size(value: Any) -> Decimal:
    found = _decimal(value, "size")
    if not ZERO <= found < Decimal(10) ** 12:
        raise _Bad(f"size: got {value}")
    return found


def _price(value: Any) -> float:
    found = _decimal(value, "price")
    if not ZERO < found < Decimal(10) ** 12:
        raise _Bad(f"price: got {value}")
    return float(found)


def _ts(e: dict[str, Any]) -> int:
    value = e.get("timestamp")
    return _ms(int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value)


def _ms(value: Any) -> int:
    if type(value) is not int or not 0 < value < (1 << 62) // MS:
        raise _Bad(f"time: got {str(value)[:30]!r}")
    return value * MS
