"""Order requests without a final answer: sent, accepted by the venue, or of unknown outcome. Bounded; one per order and action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from liqcore.event import Action, Role

FLIGHTS_MAX = 4096


class Stage(IntEnum):
    """How much is known of a request."""

    QUEUED = 1  # waits for room; not sent
    WAITING = 2  # sent, no reply
    ACCEPTED = 3  # the venue took it; whether it is booked is not known
    UNKNOWN = 4  # no reply will come, or none that says anything


@dataclass(slots=True)
class Flight:
    """One request. ts: when it was sent, our clock. expires: when, by our clock, the venue can no longer take it. tries: times that it was sent after
    definite refusals. queued: since when it waits for REST."""

    id: int
    action: int
    cause: int
    sent: Any
    ts: int
    expires: int
    stage: Stage = Stage.WAITING
    by_socket: bool = True
    accepted: int = 0
    tries: int = 0
    queued: int = 0

    @property
    def role(self) -> int:
        return self.id & 15

    @property
    def instrument(self) -> int:
        return self.id >> 40

    @property
    def is_entry(self) -> bool:
        return self.action == Action.ACTION_CREATE and self.role == Role.ROLE_ENTRY


class Flights:
    """The table."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[int, int], Flight] = {}

    def add(self, flight: Flight) -> Flight | None:
        """The flight that it takes the place of, if any. At its bound the table gives up the oldest, which the engine's own belief still knows of."""
        before = self._by_key.pop((flight.id, flight.action), None)
        if len(self._by_key) >= FLIGHTS_MAX:
            del self._by_key[next(iter(self._by_key))]
        self._by_key[flight.id, flight.action] = flight
        return before

    def get(self, order: int, action: int) -> Flight | None:
        return self._by_key.get((order, action))

    def of(self, order: int) -> list[Flight]:
        """Every request about one order."""
        return [
            f
            for action in (Action.ACTION_CREATE, Action.ACTION_AMEND, Action.ACTION_CANCEL)
            if (f := self._by_key.get((order, int(action)))) is not None
        ]

    def drop(self, flight: Flight) -> None:
        if self._by_key.get((flight.id, flight.action)) is flight:
            del self._by_key[flight.id, flight.action]

    def waiting(self, *, by_socket: bool) -> list[Flight]:
        """Sent on that way and not answered."""
        return [f for f in self._by_key.values() if f.stage == Stage.WAITING and f.by_socket == by_socket]

    def all(self) -> list[Flight]:
        return list(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)
