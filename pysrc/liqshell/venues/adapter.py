"""The interface of all venues: addresses, connections with their subscriptions, heartbeat, limits, polls, instruments, and the decoder. Plain data
and pure functions: the driver (liqshell.live) owns sockets, clocks and retries.

    adapter = adapters.adapter_of("binance_um")
    for connection in adapter.plan(symbols, adapter.environments["mainnet"].ws):
        open connection.url; send each subscription.frame; wait for every name in subscription.acks
    decoder = adapter.decoder(symbols, first)            # one for all connections of the venue
    for poll in adapter.polls(symbols): every poll.every_s ask poll.request, hand the answer to the decoder like a frame
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from liqcore.event import Completeness, Stream
from liqcore.instrument import Instrument
from liqshell.venues.frames import Frame, FrameDecoder


@dataclass(frozen=True)
class Addresses:
    """Where one environment lives: the paths are the adapter's. A test venue or a proxy is an Addresses of its own. private, trade: of the account's
    stream and of order entry by websocket; "" = there is none, or we have no gateway for the venue."""

    rest: str
    ws: str
    private: str = ""
    trade: str = ""


@dataclass(frozen=True)
class Request:
    """What to ask by REST: the path is added to Addresses.rest. No keys: everything here is public."""

    path: str
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True)
class Subscription:
    """One frame to send, and the names that must be acknowledged (Frame.acks) before what it asks for is known to come. A refusal (ACK_FAILED) is
    about the subscription that has one of its acks, or its req_id as id; without both it cannot be attributed. args: what it asks for, by the
    venue's words; symbols: the contracts it is for, () = a whole market."""

    frame: bytes
    acks: tuple[str, ...]
    args: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Connection:
    """One websocket. sure: those of its subscriptions' args that say something at least every `Adapter.gap_s`, in a dead market too, as long as all
    is well: repeated quotes and marks, never liquidations. Where there are some, silence is a loss even while pings are answered; () = nothing is
    certain."""

    name: str
    url: str
    subscriptions: tuple[Subscription, ...]
    sure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ping:
    """The venue's own heartbeat. make(sequence) -> the frame to send every interval_s. Where a venue has none (Binance), the protocol's ping and
    pong are all there is: `Adapter.ping` is None."""

    interval_s: float
    make: Callable[[int], bytes]


@dataclass(frozen=True)
class Limits:
    """What the venue allows one address. 0 = nothing is known. send_interval_s: least time between two frames that we send on one connection.
    connect_interval_s: between two connections. life_s: the venue closes a connection at this age, so leave it before."""

    send_interval_s: float = 0.0
    connect_interval_s: float = 0.0
    connections_max: int = 0
    life_s: float = 0.0
    subscriptions_max: int = 0  # of one connection: args, streams


@dataclass(frozen=True)
class Poll:
    """What the venue gives by REST only. The answer goes to the decoder like a frame, and into the recording as one."""

    name: str
    request: Request
    every_s: float
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True)
class InstrumentPage:
    """Contracts of one answer. cursor: for the next page, empty at the last. refused: what could not be used, and why. faces: symbol -> USD of one
    contract, of inverse ones (see docs/venues.md). quotes: symbol -> the currency that its prices are in. states: symbol -> the venue's word, of
    those that are listed and do not trade as others do (post_only, Delivering, ...). special: symbol -> why the venue watches over it. codes:
    symbol -> what stays when the symbol is renamed."""

    instruments: list[Instrument]
    cursor: str
    refused: list[str]
    faces: dict[str, float] = field(default_factory=dict)
    quotes: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)


def turnover_rows(what: str, answer: bytes, rows: Callable[[Any], Iterable[tuple[str, float]]]) -> dict[str, float]:
    """symbol -> turnover out of an answer of JSON; rows(parsed) -> the pairs. ValueError where it is not what was asked for."""
    try:
        return {name: value for name, value in rows(orjson.loads(answer)) if type(name) is str and math.isfinite(value) and value >= 0.0}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{what}: got {answer[:80]!r} ({type(error).__name__} {error})") from None


_FACTOR = re.compile(r"(10{3,6}|1M(?=[A-Z]{4})|k)([A-Z][A-Z0-9]*)|([A-Z]+)(10{3,6})")


def asset_and_factor(base: str) -> tuple[str, int]:
    """A base coin as venues write it -> (the asset under one name, how many of it are one unit of quantity): PEPE, 1000 of 1000PEPE and of kPEPE.

    Price x quantity is the same money whatever the factor; prices and quantities of two venues are comparable only after it."""
    found = _FACTOR.fullmatch(base)
    if not found or found[1] == "k" and len(found[2]) < 3:
        return base, 1
    if found[4]:
        return found[3], int(found[4])
    return found[2], {"1M": 1_000_000, "k": 1000}.get(found[1]) or int(found[1])


def _after(keys: Sequence[str], value: bytes) -> re.Pattern[bytes]:
    """Matches text of this form under one of the keys of a JSON object."""
    return re.compile(rb'"(?:%s)"\s*:\s*"(%s)"' % ("|".join(keys).encode(), value))


ALL_STREAMS = sum(Stream)  # a bit each
GAP_S = 12.0  # where nothing else is said: OKX's slowest sign of life is a mark after 10 s


@dataclass(frozen=True)
class Adapter:
    """A venue's public side.

    venue: its name in Instrument.venue, recordings and stores. completeness: what its public liquidation feed shows; liquidations False = it has
    none. plan(symbols, ws root, only=ALL_STREAMS, whole=False) -> connections; ValueError where the venue does not take so many. only: the bits of
    the Streams that are wanted, and where that leaves nothing that is sure to come, something that is. whole: the symbols are a whole market: one
    stream for all of them where the venue has it. decoder(symbols, first=0, faces={}) ->
    FrameDecoder; faces: of InstrumentPage. retry(subscription, refused) -> what to ask instead of a subscription that the venue refused (() =
    nothing is left). instruments(cursor) -> Request, parse_instruments(answer, cursor) -> page: from cursor "" on until the page's cursor is "".
    turnovers: what to ask for the turnover of all contracts, parse_turnover(answer) -> symbol -> quote currency of 24 h (ValueError).
    polls(symbols) -> what to ask by REST, each at its own pace. streams(arg, symbols) -> what comes by one of a subscription's args: of which of the
    symbols, and the bits of the Streams.

    private_path, trade_path: of the account's stream and of order entry; "" = its account is not ours to speak to. aliases: other names that a
    configuration may give it; captured_as: those that captures have for it besides. hosts: parts of a websocket address that only its public
    connections have. kind_key, symbol_keys: keys of a frame that say what it is and of which contracts; "" and () = its topic says both. channels:
    how the kinds or topics begin that hold what a detector reads.
    """

    venue: str
    completeness: Completeness
    environments: Mapping[str, Addresses]
    plan: Callable[..., tuple[Connection, ...]]
    decoder: Callable[..., FrameDecoder]
    instruments: Callable[[str], Request]
    parse_instruments: Callable[[bytes, str], InstrumentPage]
    turnovers: tuple[Request, ...]
    parse_turnover: Callable[[bytes], dict[str, float]]
    retry: Callable[[Subscription, Frame], tuple[Subscription, ...]] = lambda subscription, refused: ()
    ping: Ping | None = None
    limits: Limits = Limits()
    polls: Callable[[Sequence[str]], tuple[Poll, ...]] = lambda symbols: ()
    liquidations: bool = True
    symbol: str = r"[A-Z0-9]{2,30}"  # what its contract names look like
    gap_s: float = GAP_S  # silence of the whole venue, or of what is sure on a connection, that means missing data
    streams: Callable[[str, Sequence[str]], tuple[Sequence[str], int]] = lambda arg, symbols: (symbols, ALL_STREAMS)
    private_path: str = ""
    trade_path: str = ""
    aliases: tuple[str, ...] = ()
    captured_as: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    kind_key: str = ""
    symbol_keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("",)

    @cached_property
    def names_in(self) -> re.Pattern[bytes] | None:
        """Finds every contract that a frame names, known or not; None if the topic names it."""
        return _after(self.symbol_keys, rb'[^"\x00-\x1f]{1,200}') if self.symbol_keys else None

    @cached_property
    def labels(self) -> tuple[re.Pattern[bytes], re.Pattern[bytes]] | None:
        """Find what a frame is, and the first contract that it names; None where the topic says both."""
        return (_after((self.kind_key,), rb"[A-Za-z0-9_-]{1,40}"), _after(self.symbol_keys, rb"[A-Za-z0-9_@:/-]{1,40}")) if self.kind_key else None

    def carries(self, connection: Connection, symbols: Sequence[str]) -> dict[str, int]:
        """What a connection brings: the bits of the Streams by symbol."""
        out: dict[str, int] = {}
        for one in connection.subscriptions:
            for arg in one.args:
                whose, bits = self.streams(arg, symbols)
                for name in whose:
                    out[name] = out.get(name, 0) | bits
        return out
