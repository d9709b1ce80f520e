"""What the gateway needs of a venue's language: words in, requests out. One object per venue implements it (bybit.py); it does no I/O and keeps no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from liqshell.gateway.effects import Answer, Channel
from liqshell.venues.reports import Execution, OrderReply, OrderState, Position, Wallet


class Verdict(IntEnum):
    """What to believe of one request."""

    ACCEPTED = 1                # taken; not yet booked
    DONE = 2                    # what was wanted is so already
    REJECTED = 3                # definitely not done
    UNKNOWN = 4                 # may have been done
    GONE = 5                    # no such order any more (or never): ask how it ended
    LANDED = 6                  # a duplicate id: the first attempt did land: ask
    LATER = 7                   # definitely not done: wait
    CLOCK = 8                   # definitely not done: our time stamp
    HALT_SYMBOL = 9             # definitely not done: this contract takes none now
    FATAL = 10                  # definitely not done, nor will anything be


class Word(IntEnum):
    """What a control message on a channel says."""

    AUTHENTICATED = 1
    SUBSCRIBED = 2
    PONG = 3
    REFUSED = 4                 # authentication or subscription refused; text says why
    RESTARTING = 5              # the venue will close this connection: open another
    MALFORMED = 6
    OTHER = 7


@dataclass(frozen=True, slots=True)
class Said:
    """A control message. fatal: repeating will not help (key, rights)."""

    word: Word
    text: str = ""
    fatal: bool = False


Message = OrderState | Execution | Position | Wallet | OrderReply | Said


@dataclass(frozen=True, slots=True)
class Ask:
    """A REST request before it has a number."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    weight: str = "query"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, read. ok: the items are the venue's truth (as of time_ms); otherwise nothing may be concluded from them.

    verdict: of the request. wait_s: how long the venue wants to be left alone, 0 = not said.
    """

    ok: bool
    verdict: Verdict
    code: int = 0
    text: str = ""
    items: Sequence[Any] = ()
    cursor: str = ""
    time_ms: int = 0
    wait_s: float = 0.0
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Filters of one contract as exact decimal texts; trading: whether it takes orders."""

    symbol: str
    tick_size: str
    lot_size: str
    trading: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """An order request in texts: what Dispatch could not send, to be sent by REST. action: liqcore Action. Fields as the venue's filters spell them."""

    action: int
    symbol: str
    link_id: str
    buy: bool
    type: int
    qty: str = ""
    price: str = ""
    stop: str = ""
    post_only: bool = False
    reduce_only: bool = False
    extra: dict[str, str] = field(default_factory=dict)


class Port(Protocol):
    """A venue's language. now_ms: our clock corrected to the venue's."""

    def auth(self, channel: Channel, now_ms: int) -> bytes: ...
    def subscribe(self) -> bytes: ...
    def ping(self, channel: Channel) -> bytes: ...
    def read(self, channel: Channel, raw: bytes) -> Sequence[Message]:
        """Every statement of a frame, in order. Never raises."""
        ...
    def reply_verdict(self, reply: OrderReply, action: int) -> Verdict: ...
    def link_id(self, order: int) -> str: ...
    def parse_link_id(self, link_id: str) -> tuple[str, int] | None: ...

    def ask_time(self) -> Ask: ...
    def ask_positions(self, symbol: str = "", cursor: str = "") -> Ask: ...
    def ask_open_orders(self, cursor: str = "") -> Ask: ...
    def ask_order(self, symbol: str, link_id: str = "", order_id: str = "", history: bool = False) -> Ask: ...
    def ask_executions(self, symbol: str = "", link_id: str = "", order_id: str = "", since_ms: int = 0, until_ms: int = 0, cursor: str = "") -> Ask: ...
    def ask_instruments(self, cursor: str = "") -> Ask: ...
    def order(self, wish: Wish) -> Ask: ...
    def cancel(self, symbol: str, link_id: str = "", order_id: str = "") -> Ask: ...
    def set_stop(self, symbol: str, price: str) -> Ask: ...
    def set_leverage(self, symbol: str, leverage: str) -> Ask: ...

    def time_of(self, answer: Answer) -> int | None:
        """The venue's time in ns, or None."""
        ...
    def orders_of(self, answer: Answer) -> Page: ...
    def executions_of(self, answer: Answer) -> Page: ...
    def positions_of(self, answer: Answer) -> Page: ...
    def instruments_of(self, answer: Answer) -> Page:
        """Items are Listings."""
        ...
    def result_of(self, answer: Answer, action: int) -> Page:
        """Of a request that changes something. action: liqcore Action, or STOP_ACTION, SETTING_ACTION."""
        ...


STOP_ACTION = 4
SETTING_ACTION = 5
