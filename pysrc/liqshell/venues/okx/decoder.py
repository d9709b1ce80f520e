"""OKX v5 swaps and futures: public frames to events, subscriptions. Pure functions and classes, no sockets.

`side` of liquidation-orders is the side of the FORCED ORDER: sell = a long was closed by force; `posSide` is long or short in hedge mode, net in
one-way mode, and where it says more than `side` both must agree. One frame holds several contracts of the whole market, each with several
`details`: every one is an event. `bkPx` is the price of the transaction with the liquidation account. Rows come out of order, once eight minutes
late. Quantities are contracts: x ctVal x ctMult = base units, which the instrument knows as its multiplier; inverse contracts are worth fixed
dollars, so their liquidations state their notional. Whether the venue shows all of them is not known (it says that it does not).

`adl-warning` comes for each family of contracts: once a minute while `state` is normal, each second in a warning. Most of its numbers are empty then.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from liqcore.codec.shape import Shape, claim, decimal, integer, level, literal, millis, only, optional, record, rows, side, symbol, text
from liqcore.event import Completeness, Kind, Side, Stream
from liqshell.venues import frames as read
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Addresses, Connection, Limits, Ping, Subscription
from liqshell.venues.frames import Frame, FrameDecoder, FrameKind, Refused, Unwanted, shown, typed
from liqshell.venues.okx.instruments import TURNOVERS, dollars, instruments_request, parse_instruments, parse_turnover

VENUE = "okx"
PING_INTERVAL_S = 15.0  # the venue hangs up after 30 s of silence
SYMBOLS_A_CONNECTION = 64  # seven subscriptions each: the venue may count them one by one, of which it takes 480 an hour
ARGS_A_FRAME = 50  # 480 requests an hour and connection: few large ones
SURE = "mark-price"  # at least every 10 s
LIMITS, WARNINGS = "price-limit", "adl-warning"
CHANNELS = ("trades", "bbo-tbt", SURE, "open-interest", "funding-rate", LIMITS)
LIQUIDATIONS, INDEX = "liquidation-orders", "index-tickers"
STREAMS = {
    "trades": Stream.STREAM_TRADE,
    "bbo-tbt": Stream.STREAM_QUOTE,
    SURE: Stream.STREAM_MARK,
    "open-interest": Stream.STREAM_OPEN_INTEREST,
    "funding-rate": Stream.STREAM_FUNDING,
    LIQUIDATIONS: Stream.STREAM_LIQUIDATION,
    INDEX: Stream.STREAM_INDEX,
    LIMITS: Stream.STREAM_VENUE,
    WARNINGS: Stream.STREAM_VENUE,
}
UPGRADE = "64008"  # notice: this connection will be closed in about a minute
TOO_MANY = "60014"  # more requests than a connection may send: only another one helps, asking again for less does not
_OTHER_CHANNELS = frozenset(
    ("tickers", "books", "books-l2-tbt", "books50-l2-tbt", "instruments", "status", "trades-all", "estimated-price", "candle")
)

LIQUIDATED_SIDE = {"sell": Side.LONG, "buy": Side.SHORT}
POSITION_SIDE = {"long": int(Side.LONG), "short": int(Side.SHORT), "net": 0}
TAKER_SIDE = {"buy": Side.LONG, "sell": Side.SHORT}


def _channel(name: str) -> dict:
    return {"arg": record({"channel": literal(name), "instId": symbol()})}


# one contract, any number of details; of inverse contracts the notional is to be stated, which no shape can
FORCED = Shape(
    Kind.LIQUIDATION,
    {
        "arg": record({"channel": literal(LIQUIDATIONS), "instType": text()}),
        "data": only(
            {
                "details": rows(
                    {
                        "bkLoss": text(),
                        "bkPx": decimal("price"),
                        "ccy": text(),
                        "posSide": claim(POSITION_SIDE),
                        "side": side(LIQUIDATED_SIDE),
                        "sz": decimal("qty"),
                        "ts": millis("ts_event", quoted=True),
                    }
                ),
                "instFamily": text(),
                "instId": symbol(),
                "instType": text(),
                "uly": text(),
            }
        ),
    },
)
SHAPES = (
    Shape(
        Kind.TRADE,
        _channel("trades")
        | {
            "data": rows(
                {
                    "instId": symbol(),
                    "tradeId": integer("id", quoted=True),
                    "px": decimal("price"),
                    "sz": decimal("qty"),
                    "side": side(TAKER_SIDE),
                    "ts": millis("ts_event", quoted=True),
                    "count": optional(text()),
                    "source": optional(text()),
                    "seqId": optional(integer()),
                }
            )
        },
    ),
    Shape(
        Kind.BBO,
        _channel("bbo-tbt")
        | {
            "data": rows(
                {
                    "asks": level("aux_price", "aux_qty", more=2),
                    "bids": level("price", "qty", more=2),
                    "ts": millis("ts_event", quoted=True),
                    "seqId": optional(integer("id")),
                }
            )
        },
    ),
    Shape(
        Kind.TICKER,
        _channel("mark-price")
        | {"data": only({"instId": symbol(), "instType": text(), "markPx": decimal("price"), "ts": millis("ts_event", quoted=True)})},
    ),
    Shape(
        Kind.TICKER,
        _channel("open-interest")
        | {
            "data": only(
                {
                    "instId": symbol(),
                    "instType": text(),
                    "oi": decimal("qty"),
                    "oiCcy": optional(text()),
                    "oiUsd": optional(text()),
                    "ts": millis("ts_event", quoted=True),
                }
            )
        },
    ),
)


class PublicDecoder(FrameDecoder):
    """faces: symbol -> USD of one contract, of inverse contracts (parse_instruments); those not in it are guessed by their names."""

    def __init__(self, symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None):
        self.faces = [(faces or {}).get(name, dollars(name)) for name in symbols]
        super().__init__(symbols, first, SHAPES if any(self.faces) else (FORCED, *SHAPES))
        self._of_index: dict[str, list[int]] = {}
        self._of_family: dict[tuple[str, str], list[int]] = {}
        for n, name in enumerate(self.symbols):
            self._of_index.setdefault(index_of(name), []).append(n)
            self._of_family.setdefault((market_of(name), family_of(name)), []).append(n)
        self._readers = {
            "trades": self._trade,
            "bbo-tbt": self._quote,
            "mark-price": self._mark,
            "open-interest": self._open_interest,
            "funding-rate": self._funding,
            INDEX: self._index_price,
            LIMITS: self._limits,
        }

    def plain(self, frame: bytes) -> Frame | None:
        return Frame(FrameKind.PONG) if frame == b"pong" else None

    def message(self, message: dict, ts_recv: int) -> Frame:
        if "event" in message:
            return control_frame(message)
        if "arg" not in message:
            return Frame(FrameKind.OTHER, reason="unknown message", detail=shown(message))
        arg = typed(message["arg"], dict, "arg")
        channel = arg.get("channel")
        data = typed(message.get("data"), list, "data")
        if channel == LIQUIDATIONS:
            found = [(entry, one) for entry in data for one in _details(entry)]
            return self.rows(Frame(FrameKind.EVENTS, topics=(LIQUIDATIONS,)), found, lambda pair: self._liquidation(pair[0], pair[1], ts_recv))
        if channel == WARNINGS:
            return self.rows(Frame(FrameKind.EVENTS, topics=(WARNINGS,)), data, lambda row: self._warning(typed(row, dict, "data[]"), ts_recv))
        reader = self._readers.get(channel) if type(channel) is str else None
        if reader is None:
            family = "candle" if str(channel).startswith("candle") else channel  # few words for counters
            raise Unwanted(f"channel {family}" if type(channel) is str and family in _OTHER_CHANNELS else "unknown channel", shown(channel))
        name = read.word(arg, "instId")
        index = -1 if channel == INDEX else self.index(name)
        return self.rows(Frame(FrameKind.EVENTS, topics=(f"{channel}:{name}",)), data, lambda row: reader(typed(row, dict, "data[]"), ts_recv, index))

    def _same(self, row: dict, index: int) -> None:
        if row.get("instId") != self.symbols[index]:
            raise Refused("wrong symbol", f"instId: expected {self.symbols[index]!r} as in arg, got {shown(row.get('instId'))}")

    def _liquidation(self, entry: Any, row: Any, ts_recv: int) -> list[tuple]:
        entry = typed(entry, dict, "data[]")
        index = self.index(entry.get("instId"))
        row = typed(row, dict, "details[]")
        closed, position = read.side(row, "side", LIQUIDATED_SIDE), row.get("posSide", "net")
        if type(position) is not str or position not in POSITION_SIDE:
            raise Refused("bad side", f"posSide: expected long, short or net, got {shown(position)}")
        if POSITION_SIDE[position] not in (0, closed):
            raise Refused("sides disagree", f"side {row['side']!r} closes a {'long' if closed > 0 else 'short'}, posSide is {position!r}")
        qty = read.decimal(row, "sz")
        return [
            self.event(
                Kind.LIQUIDATION, index, read.digit_millis(row, "ts"), ts_recv, read.decimal(row, "bkPx"), qty, qty * self.faces[index], side=closed
            )
        ]

    def _trade(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        self._same(row, index)
        return [
            self.event(
                Kind.TRADE,
                index,
                read.digit_millis(row, "ts"),
                ts_recv,
                read.decimal(row, "px"),
                read.decimal(row, "sz"),
                number=read.digits(row, "tradeId"),
                side=read.side(row, "side", TAKER_SIDE),
            )
        ]

    def _quote(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        bid, ask = _best(row, "bids"), _best(row, "asks")
        ts_event, sequence = read.digit_millis(row, "ts"), row.get("seqId", 0)
        number = sequence if type(sequence) is int and 0 <= sequence <= read.INTEGER_MAX else 0
        return [self.event(Kind.BBO, index, ts_event, ts_recv, *bid, *ask, number=number)]

    def _mark(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        self._same(row, index)
        return self.ticker(index, read.digit_millis(row, "ts"), ts_recv, {"price": read.decimal(row, "markPx")})

    def _open_interest(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        self._same(row, index)
        return self.ticker(index, read.digit_millis(row, "ts"), ts_recv, {"qty": read.decimal(row, "oi")})

    def _funding(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        """The rate of the running interval. Older frames have no time (fundingTime is in the future)."""
        self._same(row, index)
        if row.get("fundingRate", "") == "":
            return []
        return self.ticker(index, read.digit_millis(row, "ts") if row.get("ts") else ts_recv, ts_recv, {"aux_qty": read.signed(row, "fundingRate")})

    def _index_price(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        """One index is that of several contracts: an event each."""
        found = self._of_index.get(read.word(row, "instId"))
        if found is None:
            raise Unwanted("other contract", shown(row["instId"]))
        ts_event, price = read.digit_millis(row, "ts"), read.decimal(row, "idxPx")
        return [event for n in found for event in self.ticker(n, ts_event, ts_recv, {"aux_price": price})]

    def _limits(self, row: dict, ts_recv: int, index: int) -> list[tuple]:
        """Empty where the contract has none at the moment (`enabled` false)."""
        self._same(row, index)
        both = [read.stated(row, key) if row.get("enabled") is not False else None for key in ("buyLmt", "sellLmt")]
        return self.limits(index, read.digit_millis(row, "ts"), ts_recv, *both)

    def _warning(self, row: dict, ts_recv: int) -> list[tuple]:
        """One pool is that of all contracts of a family: an event each."""
        found = self._of_family.get((read.word(row, "instType"), read.word(row, "instFamily")), ())
        balance, highest, dropped = (read.stated(row, key) for key in ("bal", "maxBal", "decRate"))
        if dropped is None and balance is not None and highest:
            dropped = max(0.0, 1.0 - balance / highest)
        ts_event, distance = read.digit_millis(row, "ts"), adl_distance(row)
        return [event for n in found for event in self.pool(n, ts_event, ts_recv, balance, abs(dropped) if dropped is not None else None, distance)]


def adl_distance(row: dict) -> float:
    """The distance to deleveraging, 0..1: 1 in a normal state, 0 during it. In a warning the nearer of two: the pool's balance between
    its highest and the one that triggers, the rate of its decline on its way to where deleveraging starts or, if that is less, stops. A warning
    without those numbers is 0."""
    state = read.word(row, "state")
    if state not in ("normal", "warning", "adl"):
        raise Refused("bad structure", f"state: expected normal, warning or adl, got {shown(state)}")
    balance, highest, trigger, rate = (read.stated(row, key) for key in ("bal", "maxBal", "adlBal", "decRate"))
    edges = [abs(edge) for edge in (read.stated(row, "adlRate"), read.stated(row, "adlRecRate")) if edge]
    ways = [1.0] if state == "normal" else [0.0] if state == "adl" else []
    if balance is not None and trigger is not None and (balance <= trigger or (highest is not None and highest > trigger)):
        ways.append(0.0 if highest is None or balance <= trigger else (balance - trigger) / (highest - trigger))
    if rate is not None and edges:
        ways.append(1.0 - abs(rate) / min(edges))
    return min(max(min(ways, default=0.0), 0.0), 1.0)


def _details(entry: Any) -> list:
    """The liquidations of one contract; where they are none, one thing that _liquidation refuses."""
    found = entry.get("details") if type(entry) is dict else None
    return found if type(found) is list else [found]


def _best(row: dict, key: str) -> tuple[float, float]:
    """Price and quantity of the best level; zeros where the side is empty, which ends the quote before."""
    levels = typed(row.get(key), list, key)
    if not levels:
        return 0.0, 0.0
    best = typed(levels[0], list, f"{key}[0]")
    if len(best) < 2:
        raise Refused("bad structure", f"{key}[0]: expected [price, size, ...], got {shown(best)}")
    return read.decimal({key: best[0]}, key), read.decimal({key: best[1]}, key)


def index_of(symbol_text: str) -> str:
    """The index of a contract: BTC-USDT of BTC-USDT-SWAP, ETH-USD of ETH-USD_UM_XPERP-310404."""
    return "-".join(part.partition("_")[0] for part in symbol_text.split("-")[:2])


def family_of(symbol_text: str) -> str:
    """The instFamily of a contract: BTC-USDT of BTC-USDT-SWAP, ETH-USD_UM_XPERP of ETH-USD_UM_XPERP-310404."""
    return symbol_text.rpartition("-")[0]


def market_of(symbol_text: str) -> str:
    """The instType of a contract."""
    return "SWAP" if symbol_text.endswith("-SWAP") else "FUTURES"


_NAMED = re.compile(r"channel:\s*([a-z0-9-]+)\s*,\s*(?:instId|instType):\s*([A-Z0-9_-]+)", re.ASCII)
_EVENTS = frozenset(("subscribe", "unsubscribe", "error", "notice", "login", "channel-conn-count", "channel-conn-count-error"))


def control_frame(message: dict) -> Frame:
    """Every arg of a request is acknowledged by itself; a refusal names one in its text, or none."""
    event, text_of = message["event"], message.get("msg", "")
    text_of = text_of if type(text_of) is str else ""
    req_id = message.get("id", "")
    req_id = str(req_id) if type(req_id) in (str, int) else ""
    if event in ("subscribe", "unsubscribe"):
        arg = message.get("arg")
        name = _name(arg) if type(arg) is dict else ""
        return Frame(FrameKind.ACK, topics=(name,) if name else (), req_id=req_id, acks=(name,) if name else ())
    if event == "error" and str(message.get("code")) == TOO_MANY:
        return Frame(FrameKind.RECONNECT, reason="too many requests", detail=shown(text_of), req_id=req_id)
    if event in ("error", "channel-conn-count-error"):
        named = _NAMED.search(text_of)
        acks = (f"{named[1]}:{named[2]}",) if named else ()
        return Frame(
            FrameKind.ACK_FAILED,
            reason="request refused",
            detail=shown(f"{message.get('code', '')} {text_of}"),
            topics=acks,
            req_id=req_id,
            acks=acks,
        )
    if event == "notice" and message.get("code") == UPGRADE:
        return Frame(FrameKind.RECONNECT, reason="service upgrade", detail=shown(text_of))
    known = type(event) is str and event in _EVENTS
    return Frame(FrameKind.OTHER, reason=f"event {event}" if known else "unknown event", detail=shown(message), req_id=req_id)


def _name(arg: dict) -> str:
    return f"{arg.get('channel', '')}:{arg.get('instId', arg.get('instType', ''))}"


def _subscription(args: list[dict], number: int) -> Subscription:
    symbols = tuple(dict.fromkeys(arg["instId"] for arg in args if "instId" in arg and arg["channel"] != INDEX))
    return Subscription(
        orjson.dumps({"id": str(number), "op": "subscribe", "args": args}), tuple(map(_name, args)), tuple(map(_name, args)), symbols, str(number)
    )


def plan(symbols: Sequence[str], ws: str, only: int = ALL_STREAMS, whole: bool = False) -> tuple[Connection, ...]:
    """64 contracts a connection. Topics of whole markets (those of our contracts) are on the first. Where only
    liquidations are wanted, the mark of the first contract is the sign that the connection is alive."""
    out: list[Connection] = []
    markets = dict.fromkeys(map(market_of, symbols))
    channels = [channel for channel in CHANNELS if only & STREAMS[channel]]
    if not channels:
        symbols, channels, only = symbols[:1], [SURE], only & ~Stream.STREAM_INDEX
    number = 1
    for n, at in enumerate(range(0, len(symbols), SYMBOLS_A_CONNECTION), 1):
        some = symbols[at : at + SYMBOLS_A_CONNECTION]
        told = [channel for channel in (LIQUIDATIONS, WARNINGS) if only & STREAMS[channel]] if n == 1 else []
        args: list[dict] = [{"channel": channel, "instType": market} for channel in told for market in markets]
        args += [{"channel": channel, "instId": name} for name in some for channel in channels]
        args += [{"channel": INDEX, "instId": name} for name in dict.fromkeys(map(index_of, some))] if only & Stream.STREAM_INDEX else []
        frames = [_subscription(args[k : k + ARGS_A_FRAME], number + k // ARGS_A_FRAME) for k in range(0, len(args), ARGS_A_FRAME)]
        number += len(frames)
        out.append(Connection(f"public-{n}", f"{ws}/ws/v5/public", tuple(frames), tuple(f"{SURE}:{name}" for name in some if SURE in channels)))
    return tuple(out)


def retry(subscription: Subscription, refused: Frame) -> tuple[Subscription, ...]:
    """A refusal that names an arg leaves the others standing. One that names none: halves, until an arg is alone."""
    if refused.acks or len(subscription.args) < 2:
        return ()
    args, number, middle = orjson.loads(subscription.frame)["args"], int(subscription.id), len(subscription.args) // 2
    return _subscription(args[:middle], 2 * number + 1_000_000), _subscription(args[middle:], 2 * number + 1_000_001)


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    """Liquidations and warnings are those of a whole market, an index is that of several contracts."""
    channel, _, name = arg.partition(":")
    whose = {LIQUIDATIONS: market_of, WARNINGS: market_of, INDEX: index_of}.get(channel)
    return (name,) if whose is None else [one for one in symbols if whose(one) == name], int(STREAMS[channel])


ADAPTER = Adapter(
    venue=VENUE,
    completeness=Completeness.COMPLETENESS_UNKNOWN,
    decoder=PublicDecoder,
    plan=plan,
    retry=retry,
    streams=streams,
    environments={
        "mainnet": Addresses("https://www.okx.com", "wss://ws.okx.com"),
        "testnet": Addresses("https://www.okx.com", "wss://wspap.okx.com"),
    },
    turnovers=TURNOVERS,
    parse_turnover=parse_turnover,
    captured_as=("okex", "okex-swap", "okex-futures"),
    hosts=(".okx.com", ".okex.com"),
    kind_key="channel",
    symbol_keys=("instId",),
    channels=("liquidation-orders", "trades", "bbo-tbt", "mark-price", "open-interest", "funding-rate"),
    instruments=instruments_request,
    parse_instruments=parse_instruments,
    ping=Ping(PING_INTERVAL_S, lambda sequence: b"ping"),
    limits=Limits(send_interval_s=0.1, connect_interval_s=0.4),
    symbol=r"[A-Z0-9]{1,20}-[A-Z]{2,8}(_[A-Z0-9_]{1,16})?-(SWAP|[0-9]{6})",
)
