"""Virtual time: a queue of what is to happen. Nothing sleeps, and equal times are served in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

NS = 1_000_000_000
MS = 1_000_000
NEVER = 0x7FFFFFFFFFFFFFFF

Appointment = list  # [when_ns, number, what | None, arguments]: a list, so that it can be called off in place


class Clock:
    """now_ns only ever moves in `step`."""

    def __init__(self, now_ns: int):
        self.now = now_ns
        self.served = 0
        self._queue: list[Appointment] = []
        self._number = 0

    def at(self, when_ns: int, what: Callable[..., None], *arguments: Any) -> Appointment:
        """Call `what(*arguments)` at when_ns, or as soon as possible where that is past."""
        self._number += 1
        appointment = [max(when_ns, self.now), self._number, what, arguments]
        heappush(self._queue, appointment)
        return appointment

    def after(self, pause_ns: int, what: Callable[..., None], *arguments: Any) -> Appointment:
        return self.at(self.now + pause_ns, what, *arguments)

    @staticmethod
    def call_off(appointment: Appointment | None) -> None:
        if appointment is not None:
            appointment[2] = None

    def run(self, until_ns: int) -> None:
        """Serve everything up to until_ns, which may ask for more."""
        queue = self._queue
        while queue and queue[0][0] <= until_ns:
            when, _, what, arguments = heappop(queue)
            if what is None:
                continue
            self.now = when
            self.served += 1
            what(*arguments)
        self.now = max(self.now, until_ns)

    @property
    def pending(self) -> int:
        return len(self._queue)
