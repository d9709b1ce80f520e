"""REST requests in order of urgency, within the venue's limits, each sent at most once.

A second of the venue's is counted as a sliding window. Of each budget a part is kept back for what protects: entries may use half of it, housekeeping
four fifths, cancels and exits all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from liqshell.venues.effects import Answer, Call
from liqshell.venues.order_port import Ask

QUEUE_MAX = 1024
BAN_FIRST, BAN_LONGEST = 30, 600  # windows (seconds) of silence after a ban of the address
Handler = Callable[[Answer], None]


class Urgency(IntEnum):
    """Lower goes first."""

    SAVE = 0  # cancels, exits, stops: may use the whole budget
    ASK = 1  # of one order or position that is in doubt
    ENTER = 2
    WATCH = 3  # reconciliation, clock, instruments


_SHARE = {Urgency.SAVE: 1.0, Urgency.ASK: 0.9, Urgency.ENTER: 0.5, Urgency.WATCH: 0.8}


@dataclass(order=True, slots=True)
class _Waiting:
    urgency: int
    number: int
    ask: Ask = field(compare=False)
    handler: Handler = field(compare=False)
    about: str = field(compare=False)
    wanted: Callable[[], bool] | None = field(compare=False)
    until: int = field(compare=False)
    on_sent: Callable[[int], None] | None = field(compare=False)
    on_dropped: Callable[[], None] | None = field(compare=False)
    timeout_s: float = field(compare=False, default=0.0)


class Budget:
    """send(call): to the driver. rates: requests a second by weight; what is not listed has the rate of "query"."""

    def __init__(self, send: Callable[[Call], None], rates: Mapping[str, float], window_ns: int, timeout_s: float) -> None:
        self._send = send
        self._rates = dict(rates)
        self._window_ns = window_ns
        self._timeout_s = timeout_s
        self._spent: dict[str, deque[int]] = {}
        self._blocked: dict[str, int] = {}  # weight, or "" = everything -> until
        self._queue: list[_Waiting] = []
        self._number = 0
        self._open: dict[int, tuple[Handler, int]] = {}
        self._bans = 0  # in a row
        self.calls = 0
        self.dropped = 0

    def submit(
        self,
        ask: Ask,
        handler: Handler,
        now: int,
        urgency: Urgency = Urgency.ASK,
        about: str = "",
        *,
        wanted: Callable[[], bool] | None = None,
        until: int = 0,
        on_sent: Callable[[int], None] | None = None,
        on_dropped: Callable[[], None] | None = None,
        timeout_s: float = 0.0,
    ) -> None:
        """Send now, or as soon as there is room. wanted(): called again before sending. until: not later than that (0 = whenever). on_sent(now),
        on_dropped(): its outcome. timeout_s: for its answer, 0 = the usual. handler(answer) is called exactly once if it was sent."""
        self._number += 1
        item = _Waiting(int(urgency), self._number, ask, handler, about, wanted, until, on_sent, on_dropped, timeout_s)
        given_up = None
        if len(self._queue) >= QUEUE_MAX:
            given_up = max(self._queue)  # the least urgent, and of those the latest
            if given_up.urgency <= item.urgency:
                self._drop(item)
                return
            self._queue.remove(given_up)
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, item)
        if given_up is not None:
            self._drop(given_up)
        self.pump(now)

    def pump(self, now: int) -> None:
        """Send what may be sent."""
        kept: list[_Waiting] = []
        while self._queue:
            item = heapq.heappop(self._queue)
            if (item.until and now > item.until) or (item.wanted is not None and not item.wanted()):
                self._drop(item)
            elif self._room(item, now):
                self._go(item, now)
            else:
                kept.append(item)
        for item in kept:
            heapq.heappush(self._queue, item)

    def _drop(self, item: _Waiting) -> None:
        self.dropped += 1
        if item.on_dropped is not None:
            item.on_dropped()

    def _room(self, item: _Waiting, now: int) -> bool:
        weight = item.ask.weight
        if self._blocked.get("", 0) > now or self._blocked.get(weight, 0) > now:
            return False
        if self._bans and self._open:
            return False  # after a ban one request tries whether it is over
        spent = self._spent.setdefault(weight, deque())
        while spent and spent[0] <= now - self._window_ns:
            spent.popleft()
        return len(spent) < max(1.0, self._rate(weight) * _SHARE[Urgency(item.urgency)])

    def _rate(self, weight: str) -> float:
        return self._rates.get(weight, self._rates["query"])

    def _go(self, item: _Waiting, now: int) -> None:
        self._spent[item.ask.weight].append(now)
        self.calls += 1
        call = Call(
            item.number, item.ask.method, item.ask.path, item.ask.query, item.ask.body, item.timeout_s or self._timeout_s, item.ask.weight, item.about
        )
        self._open[item.number] = (item.handler, now)
        if item.on_sent is not None:
            item.on_sent(now)
        self._send(call)

    def answered(self, call: Call) -> Handler | None:
        """The caller that waits for the answer; None if none does (answered twice, or given up)."""
        found = self._open.pop(call.number, None)
        return found[0] if found else None

    def given_up(self, before: int) -> list[Handler]:
        """Handlers of calls sent before that time: a driver that lost one would let us wait for ever."""
        lost = [number for number, (_, sent) in self._open.items() if sent < before]
        return [self._open.pop(number)[0] for number in lost]

    def block(self, until: int, weight: str = "") -> None:
        """Nothing of this weight, or nothing at all, before that time."""
        self._blocked[weight] = max(self._blocked.get(weight, 0), until)

    def ban(self, now: int) -> None:
        """The venue refuses the whole address. Requests prolong it, but only a request can show whether it is over; so they become rarer."""
        if self._blocked.get("", 0) > now:
            return  # others that were on their way when it began
        self.block(now + int(min(BAN_LONGEST, BAN_FIRST * 2 ** min(self._bans, 10)) * self._window_ns))
        self._bans += 1

    def unban(self) -> None:
        """Something was answered."""
        self._bans = 0

    def banned(self, now: int) -> bool:
        """Whether the address is banned, as far as we know."""
        return self._bans > 0 and self._blocked.get("", 0) > now

    def blocked_until(self, now: int) -> int:
        """The latest end of a block that still holds; 0 = none does."""
        for weight in [weight for weight, until in self._blocked.items() if until <= now]:
            del self._blocked[weight]
        return max(self._blocked.values(), default=0)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def outstanding(self) -> int:
        return len(self._open)

    def due(self, now: int) -> int | None:
        """When pump() may have something to do."""
        if not self._queue or (self._bans and self._open and self._blocked.get("", 0) <= now):
            return None  # nothing waits, or the answer to the one that tries is waited for
        soon = []
        for item in self._queue:
            weight = item.ask.weight
            until = max(self._blocked.get("", 0), self._blocked.get(weight, 0))
            spent = self._spent.get(weight)
            soon.append(until if until > now else spent[0] + self._window_ns if spent else now + self._window_ns // 10)
            if item.until:
                soon.append(item.until + 1)
        return max(now + self._window_ns // 100, min(soon))
