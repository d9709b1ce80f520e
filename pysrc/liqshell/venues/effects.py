"""The interface between the gateway, which decides without I/O, and its driver, which does only I/O: live sockets, or a simulated network.

Every input of the gateway is a method call with the time; every output is one of the Effects. So a whole trading process can be
run on a virtual clock, and be killed between any two effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol


class Channel(IntEnum):
    """A websocket of the account."""

    PRIVATE = 1  # the venue's reports
    ORDERS = 2  # order entry


@dataclass(frozen=True, slots=True)
class Call:
    """One REST request. The driver stamps and signs it at the moment of sending and answers exactly once. It is sent at most once; a question (GET)
    whose answer is overdue may be sent a second time.

    number: ours, in order. query: as it will be sent and signed, without '?'. body: "" for GET. weight: name of the rate budget that it draws on.
    about: the gateway's own note, handed back.
    """

    number: int
    method: str
    path: str
    query: str = ""
    body: str = ""
    timeout_s: float = 5.0
    weight: str = "query"
    about: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a Call. status 0: no answer (timeout, connection lost): whether the venue acted on it is unknown. *_ns: our clock."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    sent_ns: int = 0
    received_ns: int = 0


class Level(IntEnum):
    """How loud a notice is."""

    INFO = 1
    WARNING = 2
    ALARM = 3  # a person should look now


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person, the log and the report should know. kind: one word of a small set, for counters. Never contains a secret."""

    level: Level
    kind: str
    text: str
    symbol: str = ""


class Effects(Protocol):
    """The actions of a driver for the gateway. Times are the caller's: none of these reads a clock on the gateway's behalf."""

    def report(self, event: tuple) -> None:
        """One event for the engine (an EVENT_DTYPE row as a tuple, ts_recv = now): recorded, stepped, and what the engine asks for in return
        dispatched, before this returns."""

    def call(self, call: Call) -> None:
        """Begin a REST request; Gateway.on_answer(call, answer, now) follows exactly once, later."""

    def send(self, channel: Channel, frame: bytes) -> bool:
        """Send a websocket message; False where the channel is down (nothing was sent)."""

    def connect(self, channel: Channel) -> None:
        """(Re)connect a channel after the pause the driver chooses; Gateway.on_channel(channel, up, now) follows."""

    def notice(self, notice: Notice) -> None:
        """Log, count, report."""
