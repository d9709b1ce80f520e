"""Inputs and outputs of the account side of the emulated venue, and the interface of its parts to the whole."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from liqshell.emulator.api.account_faults import Interference
from liqshell.emulator.api.faults import Faults
from liqshell.emulator.exchange.exchange import Exchange
from liqshell.emulator.exchange.keys import Key, Times
from liqshell.emulator.exchange.rate_limits import Limits

PRIVATE_PATH, TRADE_PATH = "/v5/private", "/v5/trade"


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request as it came: query without '?', body and query undecoded (they are what is signed); header names in any case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Response:
    """A REST answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Ending(IntEnum):
    """How a connection ends. An answer that is merely lost ends nothing: the client's own time-out must. RESET: refused or torn."""

    CLOSE = 1
    RESET = 2


class Delivery(NamedTuple):
    """Something that leaves the venue now. to: a Session, or the ticket of a request."""

    to: Hashable
    what: bytes | Response | Ending


class OrderAnswer(NamedTuple):
    """The answer to an order operation of the websocket. code: retCode, 0 = done. header: of the answer. late_s: wall seconds that it waits."""

    code: int
    message: str
    data: dict[str, Any]
    extra: dict[str, Any]
    header: dict[str, str]
    late_s: float = 0.0


class AccountHost(Protocol):
    """The account side as its sessions and its order requests see it. refused, answered, turned_away: counters."""

    exchange: Exchange
    faults: Faults
    interference: Interference
    times: Times
    limits: Limits
    keys: dict[str, Key]
    market: Callable[[str, str, int], tuple[int, str, object]] | None
    refused: Counter[int]
    answered: Counter[str]
    turned_away: int

    def arrived(self, now_ns: int, session: Any = None) -> bool:
        """An order request has been received: faults may begin with it. False where it is lost with the connection that it came by."""

    def later(self, due_ns: int, act: Callable[..., None], *arguments: Any) -> None:
        """Call act(*arguments, now_ns) when it is due."""

    def answer(self, to: Hashable, what: bytes | Response | Ending, now_ns: int, wait_s: float = 0.0) -> None:
        """Send an answer after the configured delay and wait_s."""

    def publish(self, now_ns: int) -> None:
        """Send the exchange's messages to the subscribers."""
