"""The data that a driver needs about the venue: addresses, subscriptions of each connection, heartbeat, limits. Pure functions, no sockets."""

from collections.abc import Sequence

import orjson

from liqcore.event import Stream
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Addresses, Connection, Limits, Ping, Subscription

from .decoder import PublicDecoder
from .instruments import COMPLETENESS, TURNOVERS, VENUE, instruments_request, parse_instruments, parse_turnover

SYMBOLS_A_CONNECTION = 50
SURE = "marks"  # comes at least every 3 s while all is well, in a dead market too
STREAMS = {
    "trades": Stream.STREAM_TRADE,
    "quotes": Stream.STREAM_QUOTE,
    "liquidations": Stream.STREAM_LIQUIDATION,
    SURE: Stream.STREAM_MARK | Stream.STREAM_INDEX | Stream.STREAM_FUNDING | Stream.STREAM_OPEN_INTEREST,
}


def plan(symbols: Sequence[str], ws: str, only: int = ALL_STREAMS, whole: bool = False) -> tuple[Connection, ...]:
    """Which connections to open and what to ask for on each; only: bits of the Streams that are wanted."""
    channels = [channel for channel in STREAMS if only & STREAMS[channel]] or [SURE]
    out = []
    for number, at in enumerate(range(0, len(symbols), SYMBOLS_A_CONNECTION), 1):
        some = symbols[at : at + SYMBOLS_A_CONNECTION]
        asked = tuple(_subscription(f"{channel}.{name}") for name in some for channel in channels)
        sure = tuple(f"{SURE}.{name}" for name in some) if SURE in channels else ()
        out.append(Connection(f"public-{number}", f"{ws}/v1/public", asked, sure))
    return tuple(out)


def _subscription(name: str) -> Subscription:
    return Subscription(orjson.dumps({"op": "subscribe", "name": name}), (name,), (name,), (name.partition(".")[2],))


def streams(arg: str, symbols: Sequence[str]) -> tuple[Sequence[str], int]:
    """Whose streams, and which, come by one of a subscription's args."""
    channel, _, name = arg.partition(".")
    return (name,), int(STREAMS[channel])


ADAPTER = Adapter(
    venue=VENUE,
    completeness=COMPLETENESS,
    environments={"mainnet": Addresses("https://api.template.invalid", "wss://stream.template.invalid")},
    plan=plan,
    decoder=PublicDecoder,
    streams=streams,
    instruments=instruments_request,
    parse_instruments=parse_instruments,
    turnovers=TURNOVERS,
    parse_turnover=parse_turnover,
    ping=Ping(15.0, lambda sequence: b'{"op":"ping"}'),
    limits=Limits(send_interval_s=0.05),
    symbol=r"[A-Z0-9]{1,20}-PERP",
)
