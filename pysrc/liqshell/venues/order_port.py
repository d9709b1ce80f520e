"""The gateway's interface to a venue's protocol: terms in, requests out. One object per venue implements it (bybit/port.py), without I/O or clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from liqshell.venues.effects import Answer, Channel
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Execution, OrderReply, OrderState, Position, Wallet


class NoticeKind(IntEnum):
    """The meaning of a control message on a channel."""

    AUTHENTICATED = 1
    SUBSCRIBED = 2
    PONG = 3
    REFUSED = 4  # authentication or subscription refused; text says why
    LOST_ROWS = 5  # rows of a report could not be read: what they said has to be asked for
    MALFORMED = 6
    OTHER = 7


@dataclass(frozen=True, slots=True)
class ChannelNotice:
    """A control message, or what is wrong with one. fatal: repeating will not help (key, rights)."""

    kind: NoticeKind
    text: str = ""
    fatal: bool = False


Message = OrderState | Execution | Position | Wallet | OrderReply | ChannelNotice


class Ask(NamedTuple):
    """A REST request before it has a number: Call(number, *ask[:4], weight=ask.weight). query: without '?'. weight: name of the rate budget."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    weight: str = "query"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, read. ok: the items are what the venue says; otherwise nothing may be concluded from them.

    outcome: of the request. wait_s: the pause that the venue asks for, 0 = not stated. passing: the venue was in trouble, which says nothing
    about our pace.
    """

    ok: bool
    outcome: Outcome
    code: int = 0
    text: str = ""
    items: Sequence[Any] = ()
    cursor: str = ""
    wait_s: float = 0.0
    order_id: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Filters of one contract as exact decimal texts. A contract that does not trade is not listed. special: why the venue watches over it."""

    symbol: str
    tick_size: str
    lot_size: str
    special: str = ""


class Port(Protocol):
    """A venue's language. `sent` is what Dispatch says of a request (liqshell.run.dispatch.Sent). now_ms: our clock."""

    has_order_socket: bool  # False: every order goes by REST (demo trading)
    attaches_stops: bool  # False: the stop of an entry is set once it is filled

    def auth(self, channel: Channel, now_ms: int) -> bytes: ...
    def subscribe(self) -> bytes: ...
    def ping(self, channel: Channel) -> bytes: ...
    def read(self, channel: Channel, raw: bytes) -> Sequence[Message]: ...
    def outcome(self, reply: OrderReply, asked: Asked) -> Outcome: ...
    def is_ban(self, answer: Answer) -> bool:
        """The whole address is refused, not one request."""
        ...

    def is_restarting(self, reply: OrderReply) -> bool:
        """The venue will close this connection: another is to be opened."""
        ...

    def link_id(self, order: int) -> str: ...
    def parse_link_id(self, link_id: str) -> tuple[str, int] | None: ...
    def parse_request_id(self, request_id: str) -> tuple[int, int, int] | None: ...
    def reason(self, state: OrderState) -> int: ...

    def ask_time(self) -> Ask: ...
    def ask_positions(self, symbol: str = "", cursor: str = "") -> Ask: ...
    def ask_open_orders(self, cursor: str = "") -> Ask: ...
    def ask_order(self, symbol: str, link_id: str, *, past: bool = False) -> Ask: ...
    def ask_executions(self, since_ms: int = 0, until_ms: int = 0, cursor: str = "", *, symbol: str = "", link_id: str = "") -> Ask: ...
    def ask_instruments(self, cursor: str = "") -> Ask: ...
    def order(self, sent: Any) -> Ask | None: ...
    def cancel(self, symbol: str, link_id: str = "", order_id: str = "") -> Ask: ...
    def set_stop(self, symbol: str, price: str) -> Ask: ...
    def set_leverage(self, symbol: str, leverage: str) -> Ask: ...

    def time_of(self, answer: Answer) -> int | None: ...
    def orders_of(self, answer: Answer) -> Page: ...
    def executions_of(self, answer: Answer) -> Page: ...
    def positions_of(self, answer: Answer) -> Page: ...
    def instruments_of(self, answer: Answer) -> Page: ...
    def result_of(self, answer: Answer, asked: Asked) -> Page: ...
