"""Bybit V5 linear with the interface of all venues (Adapter). Its wire format is in decoder.py."""

from collections.abc import Iterable, Sequence

from liqcore.event import Completeness, Stream
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Addresses, Connection, Limits, Ping, Request, Subscription
from liqshell.venues.bybit import decoder as bybit
from liqshell.venues.bybit import instruments as bybit_instruments
from liqshell.venues.frames import Frame

_PATH = "/v5/public/linear"
QUOTES, SPARE = "orderbook.1", 60  # characters of the topic of the quotes of one contract
STREAMS = {
    "allLiquidation": Stream.STREAM_LIQUIDATION,
    "publicTrade": Stream.STREAM_TRADE,
    "orderbook.1": Stream.STREAM_QUOTE,
    "tickers": Stream.STREAM_MARK | Stream.STREAM_INDEX | Stream.STREAM_FUNDING | Stream.STREAM_OPEN_INTEREST,
    **dict.fromkeys((*bybit.LIMITS, *bybit.COIN_TOPICS), Stream.STREAM_VENUE),
}


def _subscriptions(symbols: Sequence[str], topics: Sequence[str]) -> tuple[Subscription, ...]:
    return tuple(
        Subscription(frame, (req_id,), tuple(f"{topic}.{name}" for topic in topics), (name,), req_id)
        for name, (req_id, frame) in zip(symbols, bybit.subscribe_frames(symbols, topics), strict=True)
    )


def _beside(names: Iterable[str], topics: Sequence[str]) -> tuple[Subscription, ...]:
    """The optional topics of a contract, one per request: only a refused topic is left out. names: symbols, or coins."""
    return tuple(
        Subscription(frame, (req_id,), (f"{topic}.{name}",), (name,) if topic in bybit.LIMITS else (), req_id)
        for topic in topics
        for name in names
        for req_id, frame in bybit.subscribe_frames([name], [topic], f"sub-{topic}")
    )


def _connection(number: int, symbols: Sequence[str], coins: Iterable[str], ws: str, topics: Sequence[str], limits: Sequence[str]) -> Connection:
    """Quotes are repeated after 3 s in which nothing has changed; tickers and trades come when there is something to say. Without quotes, those of
    the first contract are the sign that the connection is alive."""
    asked, more = _subscriptions(symbols, topics), (*_beside(symbols, limits), *_beside(coins, bybit.COIN_TOPICS))
    if QUOTES in topics:
        return Connection(f"linear-{number}", ws + _PATH, (*asked, *more), tuple(f"{QUOTES}.{name}" for name in symbols))
    first = symbols[0]
    req_id, frame = bybit.subscribe_frames([first], [*topics, QUOTES])[0]
    sure = Subscription(frame, (req_id,), tuple(f"{topic}.{first}" for topic in (*topics, QUOTES)), (first,), req_id)
    return Connection(f"linear-{number}", ws + _PATH, (sure, *asked[1:], *more), (f"{QUOTES}.{first}",))


def plan(symbols: Sequence[str], ws: str, only: int = ALL_STREAMS, whole: bool = False) -> tuple[Connection, ...]:
    """As few connections as the number of characters that one may subscribe to allows. Topics by coin are on the first."""
    topics = [topic for topic in bybit.TOPICS if only & STREAMS[topic]]
    limits = bybit.LIMITS if only & Stream.STREAM_VENUE else ()
    out: list[Connection] = []
    some: list[str] = []
    coins = list(dict.fromkeys(map(bybit.coin_of, symbols))) if limits else []
    spare = SPARE * (QUOTES not in topics)
    size = spare + sum(len(topic) + 1 + len(coin) for topic in bybit.COIN_TOPICS for coin in coins)
    for name in symbols:
        cost = sum(len(topic) + 1 + len(name) for topic in (*topics, *limits))
        if size + cost > bybit.SUBSCRIBE_CHARS_MAX:
            out.append(_connection(len(out) + 1, some, coins, ws, topics, limits))
            some, coins, size = [], [], spare
        some.append(name)
        size += cost
    if some:
        out.append(_connection(len(out) + 1, some, coins, ws, topics, limits))
    return tuple(out)


def retry(subscription: Subscription, refused: Frame) -> tuple[Subscription, ...]:
    """One unknown topic makes the venue refuse the whole request: the others again, where it names those it does not know."""
    named = {topic.rpartition(".")[0] for topic in refused.topics}
    left = [stem for stem in (arg.rpartition(".")[0] for arg in subscription.args) if stem not in named]
    return _subscriptions(subscription.symbols, left) if named and left else ()


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    topic, _, name = arg.rpartition(".")
    whose = [one for one in symbols if bybit.coin_of(one) == name] if topic in bybit.COIN_TOPICS else (name,)
    return whose, int(STREAMS[topic])


ADAPTER = Adapter(
    venue=bybit.VENUE,
    completeness=Completeness.COMPLETENESS_FULL,
    decoder=bybit.PublicDecoder,
    plan=plan,
    retry=retry,
    environments={
        "mainnet": Addresses("https://api.bybit.com", *["wss://stream.bybit.com"] * 3),
        "testnet": Addresses("https://api-testnet.bybit.com", *["wss://stream-testnet.bybit.com"] * 3),
        # demo trading has no public stream of its own and no websocket order entry
        "demo": Addresses("https://api-demo.bybit.com", "wss://stream.bybit.com", "wss://stream-demo.bybit.com"),
    },
    private_path="/v5/private",
    trade_path="/v5/trade",
    hosts=("/v5/public/",),
    channels=("allLiquidation.", "liquidation.", "publicTrade.", "orderbook.1.", "tickers."),
    instruments=lambda cursor: Request(bybit_instruments.instruments_path(cursor)),
    parse_instruments=bybit_instruments.parse_instruments,
    turnovers=bybit_instruments.TURNOVERS,
    parse_turnover=bybit_instruments.parse_turnover,
    gap_s=5.0,  # every quote is repeated after 3 s
    streams=streams,
    ping=Ping(bybit.PING_INTERVAL_S, bybit.ping_frame),
    limits=Limits(connect_interval_s=0.6, connections_max=1000),
    symbol=r"[A-Z0-9]{2,30}(-[A-Z0-9]{1,12})*",
)
