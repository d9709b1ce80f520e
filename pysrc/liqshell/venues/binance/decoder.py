"""Binance USD-M futures: public frames to events, subscriptions, the poll of open interest. Pure functions and classes, no sockets.

`S` of a forceOrder is the side of the FORCED ORDER: SELL = a long was closed by force. Its price here is the average fill `ap` and its quantity
what was filled, `z`; `p` is the limit of the order, about 39 bps worse: aux_qty, by which the engine checks that sides are read rightly. `m` of a
trade: the buyer was the maker, so the taker sold. At most one liquidation a second and contract is sent (the largest, before 2026-04 said to be the
latest): the feed is CENSORED. Since 2026-06-30 the all-market stream carries the coin-margined contracts too (`st` 2, at the top or inside `o`),
whose quantities are contracts: they are counted and left out.
"""

from collections.abc import Mapping, Sequence

import orjson

from liqcore.codec.shape import Shape, decimal, integer, literal, millis, number, optional, record, side, side_flag, symbol, text
from liqcore.event import Completeness, Kind, Side, Stream
from liqshell.venues import frames as read
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Addresses, Connection, Limits, Poll, Request, Subscription
from liqshell.venues.binance.instruments import TURNOVERS, instruments_request, parse_instruments, parse_turnover
from liqshell.venues.frames import OFF_BOOK, Frame, FrameDecoder, FrameKind, Refused, Unwanted, shown, typed

VENUE = "binance_um"
STREAMS_MAX = 300  # of one connection; the venue allows 1024, the big clients ask for 200
STREAMS_A_FRAME = 50  # keeps a request well below 4 kB
POLL_WEIGHT_A_MINUTE = 600  # of the 2400 that one address has for everything, USD-M and COIN-M together
POLL_INTERVAL_S = 10.0
SURE = "markPrice@1s"  # quotes come only when they change
ROUTES = {"public": ("bookTicker",), "market": ("aggTrade", "forceOrder", SURE)}  # since 2026-04 a stream comes on its own route only

ALL_FORCED, ALL_MARKS = "!forceOrder@arr", "!markPrice@arr"  # of the whole market; marks every 3 s, with @1s every second

STREAMS = {
    "bookTicker": Stream.STREAM_QUOTE,
    "aggTrade": Stream.STREAM_TRADE,
    "forceOrder": Stream.STREAM_LIQUIDATION,
    SURE: Stream.STREAM_MARK | Stream.STREAM_INDEX | Stream.STREAM_FUNDING,
}  # open interest is polled

LIQUIDATED_SIDE = {"SELL": Side.LONG, "BUY": Side.SHORT}
BUYER_IS_MAKER = {True: Side.SHORT, False: Side.LONG}
_USD_M, _COIN_M = 1, 2
_OTHER_EVENTS = frozenset(
    (
        "depthUpdate",
        "kline",
        "24hrTicker",
        "24hrMiniTicker",
        "continuous_kline",
        "contractInfo",
        "assetIndexUpdate",
        "compositeIndex",
        "indexPriceUpdate",
    )
)
_CLOSED = ("FILLED", "PARTIALLY_FILLED", "EXPIRED", "EXPIRED_IN_MATCH")  # where something was filled, so much was closed by force
_STATUSES = frozenset(("NEW", "PARTIALLY_FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH"))

_OURS = {"ps": optional(text()), "st": optional(number(_USD_M))}
_ORDER = {
    "s": symbol(),
    "S": side(LIQUIDATED_SIDE),
    "o": text(),
    "f": text(),
    "q": decimal(),
    "p": decimal("aux_qty"),
    "ap": decimal("price"),
    "X": literal("FILLED"),
    "l": decimal(),
    "z": decimal("qty"),
    "T": millis("ts_event"),
} | _OURS
SHAPES = (
    Shape(Kind.LIQUIDATION, {"e": literal("forceOrder"), "E": integer()} | _OURS | {"o": record(_ORDER)}),
    Shape(
        Kind.TRADE,
        {
            "e": literal("aggTrade"),
            "E": integer(),
            "a": integer("id"),
            "s": symbol(),
            "p": decimal("price"),
            "q": decimal("qty"),
            "nq": optional(decimal()),
            "f": integer(),
            "l": integer(),
            "T": millis("ts_event"),
            "X": optional(literal("MARKET")),
            "m": side_flag(Side.SHORT, Side.LONG),
        }
        | _OURS,
    ),
    Shape(
        Kind.TRADE,
        {  # not subscribed to, but what some record
            "e": literal("trade"),
            "E": integer(),
            "T": millis("ts_event"),
            "s": symbol(),
            "t": integer("id"),
            "p": decimal("price"),
            "q": decimal("qty"),
            "X": literal("MARKET"),
            "m": side_flag(Side.SHORT, Side.LONG),
        }
        | _OURS,
    ),
    Shape(
        Kind.BBO,
        {
            "e": literal("bookTicker"),
            "u": integer("id"),
            "s": symbol(),
            "b": decimal("price"),
            "B": decimal("qty"),
            "a": decimal("aux_price"),
            "A": decimal("aux_qty"),
            "T": millis("ts_event"),
            "E": integer(),
        }
        | _OURS,
    ),
    Shape(
        Kind.TICKER,
        {
            "e": literal("markPriceUpdate"),
            "E": millis("ts_event"),
            "s": symbol(),
            "p": decimal("price"),
            "ap": optional(decimal()),
            "P": optional(decimal(may_be_empty=True)),
            "i": optional(decimal("aux_price", may_be_empty=True)),
            "r": optional(decimal("aux_qty", signed=True, may_be_empty=True)),
            "T": optional(integer()),
        }
        | _OURS,
    ),
)


class PublicDecoder(FrameDecoder):
    """Raw frames, frames of a combined stream ({"stream": ..., "data": ...}), arrays of either, and answers of the open-interest poll."""

    def __init__(self, symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None):
        super().__init__(symbols, first, SHAPES, "stream")

    def message(self, message: dict, ts_recv: int) -> Frame:
        if "stream" in message and "data" in message:
            typed(message["stream"], str, "stream")
            data = message["data"]
            if type(data) is list:
                return self.rows(Frame(FrameKind.EVENTS), data, lambda row: self._row(typed(row, dict, "data[]"), ts_recv))
            message = typed(data, dict, "data")
        if "e" not in message:
            return self._open_interest(message, ts_recv) if "openInterest" in message else control_frame(message)
        if message["e"] == "serverShutdown":
            return Frame(FrameKind.RECONNECT, reason="server shutdown", detail=shown(message))
        return Frame(FrameKind.EVENTS, self._row(message, ts_recv))

    def array(self, found: list, ts_recv: int) -> Frame:
        """`!forceOrder@arr` and `!markPrice@arr` of a connection that is not combined."""
        return self.rows(Frame(FrameKind.EVENTS), found, lambda row: self._row(typed(row, dict, "frame[]"), ts_recv))

    def _row(self, row: dict, ts_recv: int) -> list[tuple]:
        kind = row.get("e")
        if kind == "forceOrder":
            return self._forced(row, ts_recv)
        if kind == "aggTrade" or kind == "trade":
            return self._trade(row, ts_recv, "a" if kind == "aggTrade" else "t")
        if kind == "bookTicker":
            return self._quote(row, ts_recv)
        if kind == "markPriceUpdate":
            return self._mark(row, ts_recv)
        raise Unwanted(f"event {kind}" if type(kind) is str and kind in _OTHER_EVENTS else "unknown event", shown(kind))

    def _mine(self, row: dict, *more: dict) -> int:
        """Index of the row's contract; Unwanted for what is coin-margined."""
        for one in (row, *more):
            if "st" in one and one["st"] != _USD_M:
                if one["st"] == _COIN_M:
                    raise Unwanted("coin-margined", shown(row.get("s", row.get("o"))))
                raise Refused("bad integer", f"st: expected {_USD_M} or {_COIN_M}, got {shown(one['st'])}")
        return self.index(row.get("s"))

    def _forced(self, row: dict, ts_recv: int) -> list[tuple]:
        order = typed(row.get("o"), dict, "o")
        index = self._mine(order, row)
        status = order.get("X")
        if status not in _CLOSED or status != "FILLED" and read.decimal(order, "z") == 0.0:
            raise Unwanted(f"order {status}" if type(status) is str and status in _STATUSES else "order of unknown status", shown(order))
        return [
            self.event(
                Kind.LIQUIDATION,
                index,
                read.millis(order, "T"),
                ts_recv,
                read.decimal(order, "ap"),
                read.decimal(order, "z"),
                aux_qty=read.decimal(order, "p"),
                side=read.side(order, "S", LIQUIDATED_SIDE),
            )
        ]

    def _trade(self, row: dict, ts_recv: int, number_key: str) -> list[tuple]:
        index = self._mine(row)
        if row.get("X", "MARKET") != "MARKET":  # insurance fund, ADL; today @trade alone says so
            raise Unwanted(OFF_BOOK, shown(row["X"]))
        return [
            self.event(
                Kind.TRADE,
                index,
                read.millis(row, "T"),
                ts_recv,
                read.decimal(row, "p"),
                read.decimal(row, "q"),
                number=read.integer(row, number_key) if number_key in row else 0,
                side=read.side(row, "m", BUYER_IS_MAKER),
            )
        ]

    def _quote(self, row: dict, ts_recv: int) -> list[tuple]:
        return [
            self.event(
                Kind.BBO,
                self._mine(row),
                read.millis(row, "T"),
                ts_recv,
                read.decimal(row, "b"),
                read.decimal(row, "B"),
                read.decimal(row, "a"),
                read.decimal(row, "A"),
                number=read.integer(row, "u"),
            )
        ]

    def _mark(self, row: dict, ts_recv: int) -> list[tuple]:
        index, values = self._mine(row), {"price": read.decimal(row, "p")}
        if row.get("i", "") != "":
            values["aux_price"] = read.decimal(row, "i")
        if row.get("r", "") != "":  # of a delivery contract
            values["aux_qty"] = read.signed(row, "r")
        return self.ticker(index, read.millis(row, "E"), ts_recv, values)

    def _open_interest(self, message: dict, ts_recv: int) -> Frame:
        index = self.index(message.get("symbol"))
        ts_event = read.millis(message, "time") if "time" in message else ts_recv
        return Frame(FrameKind.EVENTS, self.ticker(index, ts_event, ts_recv, {"qty": read.decimal(message, "openInterest")}))


def control_frame(message: dict) -> Frame:
    """Answers to SUBSCRIBE. The venue accepts names of streams that do not exist: an acknowledgement proves nothing."""
    found = message.get("id")
    req_id = str(found) if type(found) in (int, str) else ""
    error = message.get("error", message if "code" in message and "msg" in message else None)
    acks = (req_id,) if req_id else ()
    if error is not None:
        text_of = error.get("msg", error) if type(error) is dict else error
        return Frame(FrameKind.ACK_FAILED, reason="request refused", detail=shown(text_of), req_id=req_id, acks=acks)
    if "result" in message:
        return Frame(FrameKind.ACK, req_id=req_id, acks=acks)
    return Frame(FrameKind.OTHER, reason="unknown message", detail=shown(message), req_id=req_id)


def _subscription(streams: tuple[str, ...], number: int, symbols: tuple[str, ...]) -> Subscription:
    return Subscription(orjson.dumps({"method": "SUBSCRIBE", "params": streams, "id": number}), (str(number),), streams, symbols, str(number))


def subscriptions(streams: Sequence[str], first_id: int = 1) -> tuple[Subscription, ...]:
    """SUBSCRIBE frames for these streams, with the ids from first_id on."""
    out = []
    for n, at in enumerate(range(0, len(streams), STREAMS_A_FRAME), first_id):
        some = tuple(streams[at : at + STREAMS_A_FRAME])
        symbols = tuple(dict.fromkeys(name.partition("@")[0].upper() for name in some if not name.startswith("!")))
        out.append(_subscription(some, n, symbols))
    return tuple(out)


def plan(symbols: Sequence[str], ws: str, only: int = ALL_STREAMS, whole: bool = False) -> tuple[Connection, ...]:
    """Quotes on the route /public, all else on /market; as many connections as the streams need. Ids are unique over all of them. For a whole market,
    or for liquidations only, one connection has the liquidations and marks of all contracts."""
    out: list[Connection] = []
    number = 1
    single = whole or not only & ~Stream.STREAM_LIQUIDATION
    if single:
        marks = ALL_MARKS + "@1s" * bool(only & STREAMS[SURE])
        asked = subscriptions([ALL_FORCED, marks], number)
        number += len(asked)
        out.append(Connection("market-all", f"{ws}/market/ws", asked, (marks,)))
    for route, all_kinds in ROUTES.items():
        kinds = [kind for kind in all_kinds if only & STREAMS[kind] and not (single and kind in ("forceOrder", SURE))]
        each = STREAMS_MAX // max(len(kinds), 1)
        for n, at in enumerate(range(0, len(symbols) if kinds else 0, each), 1):
            streams = [f"{name.lower()}@{kind}" for name in symbols[at : at + each] for kind in kinds]
            asked = subscriptions(streams, number)
            number += len(asked)
            out.append(Connection(f"{route}-{n}", f"{ws}/{route}/ws", asked, tuple(name for name in streams if name.endswith(SURE))))
    return tuple(out)


def retry(subscription: Subscription, refused: Frame) -> tuple[Subscription, ...]:
    """The venue names no stream: halves, until one is alone, which is then given up."""
    if len(subscription.args) < 2:
        return ()
    middle, number = len(subscription.args) // 2, int(subscription.acks[0])
    return (
        _subscription(subscription.args[:middle], 2 * number + 1_000_000, subscription.symbols),
        _subscription(subscription.args[middle:], 2 * number + 1_000_001, subscription.symbols),
    )


def polls(symbols: Sequence[str]) -> tuple[Poll, ...]:
    """Open interest has no stream. The interval grows with the number of contracts, so that a quarter of the address's weight is enough."""
    every_s = max(POLL_INTERVAL_S, len(symbols) * 60.0 / POLL_WEIGHT_A_MINUTE)
    return tuple(Poll(f"open interest {name}", Request(f"/fapi/v1/openInterest?symbol={name}"), every_s, (name,)) for name in symbols)


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    name, _, kind = arg.partition("@")
    if name.startswith("!"):
        return symbols, int(STREAMS["forceOrder" if arg == ALL_FORCED else SURE])
    return (name.upper(),), int(STREAMS[kind])


ADAPTER = Adapter(
    venue=VENUE,
    completeness=Completeness.COMPLETENESS_CENSORED,
    decoder=PublicDecoder,
    plan=plan,
    retry=retry,
    polls=polls,
    streams=streams,
    environments={
        "mainnet": Addresses("https://fapi.binance.com", "wss://fstream.binance.com"),
        "testnet": Addresses("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com"),
    },
    turnovers=TURNOVERS,
    parse_turnover=parse_turnover,
    instruments=instruments_request,
    parse_instruments=parse_instruments,
    gap_s=5.0,  # a mark price comes every second
    aliases=("binance",),
    captured_as=("binance_futures", "binance-futures"),
    hosts=("fstream.binance",),
    kind_key="e",
    symbol_keys=("s", "symbol"),
    channels=("forceOrder", "aggTrade", "trade", "bookTicker", "markPriceUpdate"),
    symbol=r"\w{2,40}",  # dated ones have a "_", some names are not ASCII
    limits=Limits(send_interval_s=0.2, connections_max=300, life_s=86_000.0, subscriptions_max=STREAMS_MAX),
)
