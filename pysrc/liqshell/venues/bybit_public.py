"""Bybit V5 linear behind the shape of all venues (Adapter). What it says on the wire is in bybit."""

from collections.abc import Mapping, Sequence

from liqcore.event import Completeness, Stream
from liqshell.venues import bybit, bybit_instruments
from liqshell.venues.adapter import Adapter, Addresses, Connection, Limits, Ping, Request, Subscription
from liqshell.venues.frames import Frame

_PATH = "/v5/public/linear"
STREAMS = {"allLiquidation": Stream.STREAM_LIQUIDATION, "publicTrade": Stream.STREAM_TRADE, "orderbook.1": Stream.STREAM_QUOTE,
           "tickers": Stream.STREAM_MARK | Stream.STREAM_INDEX | Stream.STREAM_FUNDING | Stream.STREAM_OPEN_INTEREST}


def decoder(symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None) -> bybit.PublicDecoder:
    return bybit.PublicDecoder(symbols, first)


def _subscriptions(symbols: Sequence[str], topics: Sequence[str]) -> tuple[Subscription, ...]:
    return tuple(Subscription(frame, (req_id,), tuple(f"{topic}.{name}" for topic in topics), (name,), req_id)
                 for name, (req_id, frame) in zip(symbols, bybit.subscribe_frames(symbols, topics), strict=True))


def _connection(number: int, symbols: Sequence[str], ws: str) -> Connection:
    """Quotes are repeated after 3 s in which nothing has changed; tickers and trades come when there is something to say."""
    return Connection(f"linear-{number}", ws + _PATH, _subscriptions(symbols, bybit.TOPICS), tuple(f"orderbook.1.{name}" for name in symbols))


def plan(symbols: Sequence[str], ws: str) -> tuple[Connection, ...]:
    """As few connections as the number of characters that one may subscribe to allows."""
    out: list[Connection] = []
    some: list[str] = []
    size = 0
    for name in symbols:
        cost = sum(len(topic) + 1 + len(name) for topic in bybit.TOPICS)
        if size + cost > bybit.SUBSCRIBE_CHARS_MAX:
            out.append(_connection(len(out) + 1, some, ws))
            some, size = [], 0
        some.append(name)
        size += cost
    if some:
        out.append(_connection(len(out) + 1, some, ws))
    return tuple(out)


def retry(subscription: Subscription, refused: Frame) -> tuple[Subscription, ...]:
    """One unknown topic makes the venue refuse the whole request: the others again, where it names those it does not know."""
    named = {topic.rpartition(".")[0] for topic in refused.topics}
    left = [stem for stem in (arg.rpartition(".")[0] for arg in subscription.args) if stem not in named]
    return _subscriptions(subscription.symbols, left) if named and left else ()


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    topic, _, name = arg.rpartition(".")
    return (name,), int(STREAMS[topic])


ADAPTER = Adapter(
    venue=bybit.VENUE, completeness=Completeness.COMPLETENESS_FULL, decoder=decoder, plan=plan, retry=retry,
    environments={name: Addresses(found.rest, found.public.removesuffix(_PATH)) for name, found in bybit.ENDPOINTS.items()},
    instruments=lambda cursor: Request(bybit_instruments.instruments_path(cursor)), parse_instruments=bybit_instruments.parse_instruments,
    gap_s=5.0,                             # every quote is repeated after 3 s
    streams=streams,
    ping=Ping(bybit.PING_INTERVAL_S, bybit.ping_frame), limits=Limits(connect_interval_s=0.6, connections_max=1000),
    symbol=r"[A-Z0-9]{2,30}(-[A-Z0-9]{1,12})*")
