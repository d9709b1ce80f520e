"""The wires: connections that deliver in order or die, and REST calls that come back late, changed or never.

TCP is modelled as its users see it. A lost packet is a delay that holds up what follows. A reset loses what is on its way, in both directions. Half
open means that neither side is told. What arrives is what was sent: nothing is corrupted below TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .clock import MS, NS, Clock
from .trace import Trace

RETRANSMIT_NS = (200 * MS, 800 * MS)


@dataclass(slots=True)
class Weather:
    """What the network is like at the moment; faults change it for a while.

    base_ns, spread_ns: one way latency = base + exponential(spread). loss: share of messages that are sent again. factor: on all latencies.
    """

    base_ns: int = 3 * MS
    spread_ns: int = 1 * MS
    loss: float = 0.001
    factor: float = 1.0

    def latency(self, draw: Random) -> int:
        wait = int((self.base_ns + draw.expovariate(1.0) * self.spread_ns) * self.factor)
        return wait + draw.randint(*RETRANSMIT_NS) if draw.random() < self.loss else wait


class Connection:
    """One websocket from connect to its end. The client's and the server's callbacks are set by their owners.

    Frames on their way when it dies are lost. A `hole` swallows them without telling anybody; `stall_until` holds the venue's frames back.
    """

    __slots__ = (
        "name",
        "number",
        "clock",
        "weather",
        "draw",
        "alive",
        "hole_up",
        "hole_down",
        "stall_until",
        "on_client",
        "on_server",
        "on_lost",
        "on_gone",
        "_up",
        "_down",
        "token",
    )

    def __init__(self, name: str, number: int, clock: Clock, weather: Weather, draw: Random):
        self.name, self.number, self.clock, self.weather, self.draw = name, number, clock, weather, draw
        self.alive = True
        self.hole_up = self.hole_down = False
        self.stall_until = 0
        self.on_client: Callable[[bytes], None] = _nobody  # a frame reaches the client
        self.on_server: Callable[[bytes], None] = _nobody
        self.on_lost: Callable[[], None] = _nothing  # the client learns that it is dead
        self.on_gone: Callable[[], None] = _nothing  # the server does
        self._up = self._down = clock.now
        self.token: Any = None  # the server's own

    def to_server(self, frame: bytes) -> None:
        if self.alive and not self.hole_up:
            self._up = max(self._up, self.clock.now + self.weather.latency(self.draw))
            self.clock.at(self._up, self._arrive_up, frame)

    def to_client(self, frame: bytes) -> None:
        if self.alive and not self.hole_down:
            self._down = max(self._down, self.stall_until, self.clock.now + self.weather.latency(self.draw))
            self.clock.at(self._down, self._arrive_down, frame)

    def _arrive_up(self, frame: bytes) -> None:
        if self.alive and not self.hole_up:
            self.on_server(frame)

    def _arrive_down(self, frame: bytes) -> None:
        if self.alive and not self.hole_down:
            self.on_client(frame)

    def die(self, *, told_client: bool = True) -> None:
        """Reset. The server learns at once; the client too, unless it has been killed itself."""
        if not self.alive:
            return
        self.alive = False
        self.on_gone()
        if told_client:
            self.clock.after(self.weather.latency(self.draw), self.on_lost)


def _nobody(frame: bytes) -> None:
    pass


def _nothing() -> None:
    pass


class Network:
    """Connections by name, the weather, and what faults do to both."""

    def __init__(self, clock: Clock, seed: int, trace: Trace, weather: Weather):
        self.clock, self.trace, self.weather = clock, trace, weather
        self.seed = seed
        self.connections: list[Connection] = []
        self.refuse_until: dict[str, int] = {}
        self.unnamed_until: dict[str, int] = {}  # until then the name of the venue cannot be resolved
        self.unnamed = 0  # requests that found no name
        self._numbers = 0
        self._calls = Random(f"{seed}/rest")
        self.rest_lost_up = self.rest_lost_down = 0.0  # shares of requests and of answers that vanish

    def connect(self, name: str) -> Connection | None:
        """A new connection, or None: refused."""
        if self.clock.now < max(self.refuse_until.get(name, 0), self.unnamed_until.get(name, 0)):
            return None
        self._numbers += 1
        made = Connection(name, self._numbers, self.clock, self.weather, Random(f"{self.seed}/{name}/{self._numbers}"))
        self.connections = [c for c in self.connections if c.alive]
        self.connections.append(made)
        return made

    def of(self, name: str) -> list[Connection]:
        return [c for c in self.connections if c.alive and name in (c.name, "all")]

    def rest(
        self,
        ask: Callable[[Callable[[int, bytes, dict[str, str]], None]], None],
        timeout_s: float,
        done: Callable[[int, bytes, dict[str, str], str], None],
    ) -> None:
        """Carry one request. ask(reply) is called at the venue, or not; it may reply once, now or later. done(status, body, headers, why) comes
        always, exactly once; status 0: no answer."""
        draw, clock = self._calls, self.clock
        lost_up, lost_down = draw.random() < self.rest_lost_up, draw.random() < self.rest_lost_down
        there, back = self.weather.latency(draw), self.weather.latency(draw)
        if clock.now < self.unnamed_until.get("rest", 0):
            self.unnamed += 1
            clock.after(there, done, 0, b"", {}, "Temporary failure in name resolution")
            return
        if clock.now < self.refuse_until.get("rest", 0):
            clock.after(there + back, done, 0, b"", {}, "connection refused")
            return
        timeout = clock.after(int(timeout_s * NS), lambda: finish(0, b"", {}, "timeout"))
        finished = False

        def finish(status: int, body: bytes, headers: dict[str, str], why: str) -> None:
            nonlocal finished
            if not finished:
                finished = True
                clock.call_off(timeout)
                done(status, body, headers, why)

        def reply(status: int, body: bytes, headers: dict[str, str]) -> None:
            if not lost_down:
                clock.after(back, finish, status, body, headers, "" if status else "connection lost")

        if not lost_up:
            clock.after(there, ask, reply)
