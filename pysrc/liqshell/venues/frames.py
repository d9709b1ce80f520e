"""The common part of all decoders: the kind of a frame, the parsing of its numbers, and the two ways of reading it.

A venue writes a subclass of `FrameDecoder` with its shapes (liqcore.codec.shape) for the frames that are worth being fast at, and `message` for all
others.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import orjson

from liqcore.codec.decode import Decoder
from liqcore.codec.shape import Shape
from liqcore.event import EVENT_DTYPE, Kind, PoolFlag, Statement, Stream

FRAME_BYTES_MAX = 1 << 20  # larger frames are not our market data
MILLIS_MAX = 9_223_372_036_854  # ns must fit in int64
INTEGER_MAX = 2**63 - 1
# what a ticker may state: field of an event row -> its Stream. A funding rate of 0 is a rate; the others are unknown where they are 0
TICKER = {
    "price": int(Stream.STREAM_MARK),
    "qty": int(Stream.STREAM_OPEN_INTEREST),
    "aux_price": int(Stream.STREAM_INDEX),
    "aux_qty": int(Stream.STREAM_FUNDING),
}
_NO_BALANCE, _NO_DRAWDOWN, _NO_DISTANCE = (int(flag) for flag in PoolFlag)  # plain numbers: a frame may hold a whole market
_POOL = int(Statement.STATES_POOL)
OFF_BOOK = "trade off the market"  # a price that was agreed on, or set: a block trade, the insurance fund, deleveraging


class FrameKind(IntEnum):
    """The kind of a frame."""

    EVENTS = 1  # market data; possibly no event (a ticker without a change of our fields, an empty book side)
    ACK = 2  # a subscribe, unsubscribe or auth request succeeded
    ACK_FAILED = 3
    PONG = 4
    OTHER = 5  # well-formed and not for us: kline, deeper books, contracts not subscribed, other operations
    MALFORMED = 6
    RECONNECT = 7  # the venue will close this connection: open another one now


@dataclass(slots=True)
class Frame:
    """A frame read by the general path.

    reason: of MALFORMED, OTHER and RECONNECT, one of a small set of words, for counters; detail: for people, with the value at fault. topics: of
    ACK_FAILED the topics that the venue named (empty where it named none), of ACK those it listed, of EVENTS the one topic. acks: of ACK and
    ACK_FAILED the names, as in Subscription.acks, that need not be waited for any longer. dropped: rows of the frame that gave no event, by reason;
    the others did.
    """

    kind: FrameKind
    events: list[tuple] = field(default_factory=list)
    reason: str = ""
    detail: str = ""
    topics: tuple[str, ...] = ()
    req_id: str = ""
    acks: tuple[str, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)


class Refused(Exception):
    """A frame, or a row of one, cannot be read: (reason, detail). Never leaves the venues' modules."""


class Unwanted(Exception):
    """A row is well-formed and not for us: (reason, detail). Never leaves the venues' modules."""


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_TYPES: dict[Any, str] = {dict: "an object", list: "an array", str: "text"}
_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def plain(number: str) -> str:
    """'0.10000000' -> '0.1': a decimal text without what makes equal numbers look different."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def decimal(row: dict, key: str) -> float:
    """A plain decimal number as text, from 0 on."""
    value = row.get(key)
    if type(value) is not str or not _DECIMAL.fullmatch(value) or len(value) > 64:
        raise Refused("bad number", f"{key}: expected a decimal number as text, got {shown(value)}")
    return float(value)


def signed(row: dict, key: str) -> float:
    """The same, possibly with a minus sign."""
    value = row.get(key)
    if type(value) is str and value.startswith("-"):
        return -decimal({key: value[1:]}, key)
    return decimal(row, key)


def stated(row: dict, key: str) -> float | None:
    """A finite number as text or as a number, of either sign; None where it is not there, or empty."""
    value = row.get(key)
    if type(value) is float and math.isfinite(value):
        return value
    if value is None or value == "":
        return None
    if type(value) is str:
        return signed(row, key)
    if type(value) is not int:
        raise Refused("bad number", f"{key}: expected a number, got {shown(value)}")
    return float(value)  # a longer one than 64 bits is none in JSON as it is read here


def integer(row: dict, key: str, maximum: int = INTEGER_MAX) -> int:
    value = row.get(key)
    if type(value) is not int or not 0 <= value <= maximum:
        raise Refused("bad integer", f"{key}: expected an integer from 0 to {maximum}, got {shown(value)}")
    return value


def digits(row: dict, key: str, maximum: int = INTEGER_MAX) -> int:
    """A whole number as text."""
    value = row.get(key)
    if type(value) is not str or not _DIGITS.fullmatch(value) or int(value) > maximum:
        raise Refused("bad integer", f"{key}: expected digits as text, up to {maximum}, got {shown(value)}")
    return int(value)


def millis(row: dict, key: str) -> int:
    """A time in ms as an integer; ns."""
    return integer(row, key, MILLIS_MAX) * 1_000_000


def digit_millis(row: dict, key: str) -> int:
    """A time in ms as text; ns."""
    return digits(row, key, MILLIS_MAX) * 1_000_000


def typed(value: Any, kind: type, where: str) -> Any:
    if type(value) is not kind:
        raise Refused("bad structure", f"{where}: expected {_TYPES[kind]}, got {shown(value)}")
    return value


def word(row: dict, key: str, most: int = 64) -> str:
    value = row.get(key)
    if type(value) is not str or not 0 < len(value) <= most:
        raise Refused("bad structure", f"{key}: expected text, got {shown(value)}")
    return value


def side(row: dict, key: str, sides: Mapping[Any, int]) -> int:
    value = row.get(key)
    if type(value) not in (str, bool) or value not in sides:
        raise Refused("bad side", f"{key}: expected {' or '.join(map(str, sides))}, got {shown(value)}")
    return int(sides[value])


class FrameDecoder:
    """Frames of a venue's public stream to events.

    symbols: the instruments' symbols as the venue writes them. first: index of the first of them in the engine; the others follow it. shapes,
    envelope: see liqcore.codec.decode.Decoder. `decode` takes the fast way first (liqcore.codec.decode, also callable from Cython
    as `decoder.scan`), and the general way for what that hands back. Both share what earlier changes have said of each symbol's ticker. Answers to
    polls (Adapter.polls) are frames like any other.
    """

    def __init__(self, symbols: Sequence[str], first: int, shapes: Sequence[Shape], envelope: str = ""):
        self.symbols = tuple(symbols)
        self.first = first
        self.carried = np.zeros(max(1, len(self.symbols)), EVENT_DTYPE)
        self.carries = any(shape.carry for shape in shapes)  # whether what a frame gives depends on those before it
        self.scan = Decoder(shapes, self.symbols, self.carried, first=first, envelope=envelope)
        self._index = {s: i for i, s in enumerate(self.symbols)}

    def decode(self, frame: bytes | bytearray | memoryview, ts_recv: int, out: np.ndarray) -> int | Frame:
        """Events of a frame into out (EVENT_DTYPE), their number as int; or a Frame where it needed the general path.

        frame: bytes or buffer. ts_recv: ns UTC. A Frame of kind EVENTS has its events also in out[:len(frame.events)]; where they are more than
        out can hold, ValueError (Bybit sends at most 1024 trades a frame).
        """
        count = self.scan.decode(frame, ts_recv, out)
        if count >= 0:
            return count
        result = self.read(frame, ts_recv)
        if len(result.events) > len(out):
            raise ValueError(f"out: {len(result.events)} events in one frame, room for {len(out)}")
        if result.events:
            out[: len(result.events)] = result.events
        return result

    def read(self, frame: bytes | bytearray | memoryview | str, ts_recv: int) -> Frame:
        """Any frame, by the general path. Never raises for what a frame holds; ts_recv in ns UTC."""
        if isinstance(frame, str) or len(frame) > FRAME_BYTES_MAX:
            return Frame(
                FrameKind.MALFORMED,
                reason="too large" if not isinstance(frame, str) else "not bytes",
                detail=f"{len(frame)} bytes, the limit is {FRAME_BYTES_MAX}",
            )
        if len(frame) < 16 and (plain := self.plain(bytes(frame))) is not None:
            return plain
        try:
            message = orjson.loads(frame)
        except (orjson.JSONDecodeError, RecursionError) as error:
            return Frame(FrameKind.MALFORMED, reason="not JSON", detail=f"{error}; begins {bytes(frame[:40])!r}")
        try:
            return self.array(message, ts_recv) if type(message) is list else self.message(typed(message, dict, "frame"), ts_recv)
        except Refused as refused:
            return Frame(FrameKind.MALFORMED, [], *refused.args)
        except Unwanted as unwanted:
            return Frame(FrameKind.OTHER, [], *unwanted.args)

    def plain(self, frame: bytes) -> Frame | None:
        """A short frame that need not be JSON (a text pong): subclasses."""
        return None

    def array(self, found: list, ts_recv: int) -> Frame:
        """A frame that is a JSON array: subclasses of venues that send such."""
        raise Refused("bad structure", f"expected an object, got {shown(found)}")

    def message(self, message: dict, ts_recv: int) -> Frame:
        """A frame that is a JSON object: subclasses. Refused and Unwanted are for the whole frame."""
        raise NotImplementedError

    def forget(self, instruments: Iterable[int] | None = None) -> None:
        """Forget the ticker values of these instruments of the engine (None = of all): what a new connection says comes first."""
        if instruments is None:
            self.scan.forget()
            return
        mine = [n - self.first for n in instruments if 0 <= n - self.first < len(self.symbols)]
        self.carried[mine] = np.zeros(1, EVENT_DTYPE)

    # ---- what subclasses use

    def index(self, symbol: object) -> int:
        """Place of a symbol; Unwanted for symbols that are not ours (venues send whole markets)."""
        found = self._index.get(symbol) if type(symbol) is str else None
        if found is None:
            if type(symbol) is not str:
                raise Refused("bad structure", f"symbol: expected text, got {shown(symbol)}")
            raise Unwanted("other contract", f"{shown(symbol)}: not among the {len(self.symbols)} symbols subscribed")
        return found

    def event(
        self,
        kind: Kind,
        index: int,
        ts_event: int,
        ts_recv: int,
        price: float,
        qty: float,
        aux_price: float = 0.0,
        aux_qty: float = 0.0,
        *,
        number: int = 0,
        side: int = 0,
        flags: int = 0,
        code: int = 0,
    ) -> tuple:
        return ts_event, ts_recv, price, qty, aux_price, aux_qty, number, self.first + index, int(kind), side, flags, code

    def limits(self, index: int, ts_event: int, ts_recv: int, buy_max: float | None, sell_min: float | None) -> list[tuple]:
        """The prices beyond which the venue takes no order; None = it states none."""
        return [self.event(Kind.VENUE_STATE, index, ts_event, ts_recv, buy_max or 0.0, 0.0, sell_min or 0.0, code=int(Statement.STATES_LIMITS))]

    def pool(
        self, index: int, ts_event: int, ts_recv: int, balance: float | None, drawdown: float | None = None, distance: float | None = None
    ) -> list[tuple]:
        """The insurance pool behind a contract, see event.STATES_POOL; None = not stated. Nothing came: no event."""
        flags = _NO_BALANCE * (balance is None) | _NO_DRAWDOWN * (drawdown is None) | _NO_DISTANCE * (distance is None)
        if flags == _NO_BALANCE | _NO_DRAWDOWN | _NO_DISTANCE:
            return []
        return [
            self.event(Kind.VENUE_STATE, index, ts_event, ts_recv, 0.0, balance or 0.0, distance or 0.0, drawdown or 0.0, flags=flags, code=_POOL)
        ]

    def ticker(self, index: int, ts_event: int, ts_recv: int, values: dict[str, float], number: int = 0) -> list[tuple]:
        """The event of a ticker that states these values ("price" mark, "qty" open interest, "aux_price" index, "aux_qty" funding rate) and no
        others. None came: no event."""
        if not values:
            return []
        flags = sum(bit for name, bit in TICKER.items() if not (values.get(name, 0.0) > 0.0 or name == "aux_qty" and name in values))
        return [self.event(Kind.TICKER, index, ts_event, ts_recv, *(values.get(name, 0.0) for name in TICKER), number=number, flags=flags)]

    def change(self, index: int, ts_event: int, ts_recv: int, values: dict[str, float], number: int, *, fresh: bool) -> list[tuple]:
        """The same of a stream that tells changes: what did not come is as it was, and stated, too, once it has come. number: 0 = none; one that
        is smaller than one before says what was true earlier: Unwanted. fresh: everything begins anew."""
        if fresh:
            self.carried[index] = np.zeros(1, EVENT_DTYPE)[0]
        last = self.carried[index]
        if number and number < last["id"]:
            raise Unwanted("late ticker", f"number {number} after {last['id']}")
        largest = last["id"] = max(int(last["id"]), number)
        if not values:
            return []
        known = {name: float(last[name]) for name, bit in TICKER.items() if last["kind"] and not last["flags"] & bit}
        (event,) = self.ticker(index, ts_event, ts_recv, known | values, number)
        self.carried[index] = event
        self.carried[index]["id"] = largest
        return [event]

    def rows(self, frame: Frame, found: list, read: Any) -> Frame:
        """read(row) -> events, over the rows of a frame; a row that cannot be used is counted in `frame.dropped` and the others count. A frame none
        of whose rows could be used is what its first row is."""
        worst: Frame | None = None
        for row in found:
            try:
                frame.events += read(row)
                continue
            except Refused as why:
                failed = Frame(FrameKind.MALFORMED, [], *why.args)
            except Unwanted as why:
                failed = Frame(FrameKind.OTHER, [], *why.args)
            frame.dropped[failed.reason] += 1
            if worst is None or failed.kind > worst.kind:
                worst = failed
        if worst is not None and sum(frame.dropped.values()) == len(found):
            frame.kind, frame.reason, frame.detail = worst.kind, worst.reason, worst.detail
        return frame
