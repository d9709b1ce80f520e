"""The states that a campaign must have reached, by name: each a coincidence that a careful person would ask for. A campaign that has not been there has
not looked.

What they are told comes from the simulation: faults as they begin, executions as the venue books them, answers as they reach the process, births and
deaths. Of the program's inside only this is asked: whether its gates have all been open since its birth, whether an outcome is unknown to it, whether
an order waits for its rate budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import floor
from typing import TYPE_CHECKING, Any

from .books import ENTRY, role
from .clock import NS
from .script import PRESETS

if TYPE_CHECKING:
    from .network import Connection
    from .process import Process
    from .world import World

TARGET = 3  # role of an order: the last four bits of its number
FULL_HOURS, FULL_COUNT = 10_000.0, 100
JUDGED_HOURS = 2_500.0
SLOW_NS = 2 * NS
SOON_NS = 10 * NS
TWICE_NS = 60 * NS
QUERIES = ("http_error", "error", "rate_limit", "lose_ack")
LATE_PRIVATE = ("lose_private", "delay_private", "reorder_private", "execution_first")

# name of a state -> the words that make it up, in the order in which they are tested
STATES: dict[str, tuple[str, ...]] = {}


def _family(event: str, *contexts: str) -> None:
    STATES.update({f"{event} {context}".strip(): (event, context) for context in contexts})


_family(
    "query fault",
    "during a start",
    "during a start with an open position",
    "during a start with a resting entry",
    "during a start with an open position and a late fill",
    "with an open position",
    "while an outcome is unknown",
    "soon after a reconnect",
    "after the kill switch",
    "with a foreign position",
)
_family("query refused for rate", "during a start", "with an open position")
_family("query without an answer", "during a start", "with an open position")
_family("query answered 5xx", "during a start", "with an open position")
_family("query answered late", "during a start", "with an open position")
_family("name not resolved", "during a start", "with an open position")
_family(
    "entry fills",
    "",
    "while no process lives",
    "during a start",
    "while the private line is down",
    "while the order line is down",
    "while an outcome is unknown",
    "after the kill switch",
    "in pieces",
    "whose cancel has left",
    "while queries fail",
    "while the clock is wrong",
    "while the process stands still",
    "while private frames are late or lost",
)
_family("stop fills", "", "while no process lives", "during a start", "while the private line is down", "while queries fail")
_family("target fills", "")
_family("entry leaves", "into a line that is dead", "soon after the order line came back")
_family("cascade", "while the order line is down", "while the private line is down", "while no process lives", "during a start")
_family(
    "kill -9",
    "with an open position",
    "with a resting entry",
    "during a start",
    "during a start with an open position",
    "between a send and what follows",
    "before the image is written",
    "while an outcome is unknown",
    "while the kill switch is set",
    "twice within a minute",
    "with a disk that is full",
)
_family("asked to stop", "with an open position", "with a resting entry", "while a line is down", "with everything open")
_family(
    "start",
    "after an orderly stop with an open position",
    "with an image torn and an open position",
    "with an image lost and an open position",
    "with a store torn or lost",
    "with a foreign position",
    "while the venue is down",
    "with a disk that is full",
)
_family(
    "kill switch",
    "with an open position",
    "with a resting entry",
    "while the order line is down",
    "while the private line is down",
    "while an outcome is unknown",
    "lifted with an open position",
)
_family("entry decided", "that waits for rate budget", "that waits for rate budget in a cascade")
_family("entry deferred under", *PRESETS)
_family(
    "somebody",
    "opens where we hold nothing",
    "adds to our position",
    "reduces our position",
    "reduces while no process lives",
    "opens while no process lives",
)
_family("disk full", "with an open position", "with a resting entry")
_family("tick changed", "with an open position", "and an order of ours refused for it")
_family("delisted", "", "with an open position")
_family("hedge mode", "", "and an order of ours refused for it")
_family("venue forgets its ended orders", "", "with an open position", "while an outcome is unknown")
_family("position is", "split", "paid a dividend", "deleveraged", "liquidated")
_family("our winner is", "deleveraged")
_family("loss limit", "of the day reached", "of the week reached")
_family("guard latched", "")
NEVER_REACHED = {"guard latched": "a law: only a planted bug does"}


def needed(hours: float) -> int:
    """How often each state must have been reached in a campaign of so many simulated hours: 100 times in 10,000. In a short campaign a rare state is
    missing by chance: nothing is asked of it."""
    return floor(FULL_COUNT * min(1.0, hours / FULL_HOURS)) if hours >= JUDGED_HOURS else 0


def missing(counts: Mapping[str, int], hours: float) -> dict[str, int]:
    """The states that a campaign has not reached often enough, and how often it has."""
    least = needed(hours)
    return {name: counts.get(name, 0) for name in STATES if name not in NEVER_REACHED and counts.get(name, 0) < least}


class States:
    """Of one world."""

    def __init__(self, world: World):
        self.world = world
        self.counts: Counter[str] = Counter()
        self.late_fill = False  # an order of ours has been executed since the last process died, or during this start
        self.died_ns = -TWICE_NS
        self.in_order = False  # the last process ended in good order
        self.queries_until = 0
        self.late_until = 0

    def reach(self, name: str) -> None:
        assert name in STATES, name
        self.counts[name] += 1

    def _reach(self, event: str, contexts: Mapping[str, bool]) -> None:
        for context, holds in contexts.items():
            name = f"{event} {context}".strip()
            if holds and name in STATES:
                self.counts[name] += 1

    # ---- what is asked ----

    @property
    def starting(self) -> bool:
        process = self.world.process
        return process is not None and process.alive and not process.was_ready

    @property
    def doubt(self) -> bool:
        process = self.world.process
        return process is not None and process.alive and any(order["unknown"] for order in process.engine.orders())

    def _line_down(self, name: str) -> bool:
        process = self.world.process
        return process is not None and process.alive and not self.starting and not any(link.alive for link in self.world.network.of(name))

    # ---- what happens ----

    def fault(self, kind: str, until: int, options: Mapping[str, Any]) -> list[str]:
        """The states that a fault reaches, if it finds something to be done to: asked before it acts."""
        world, held, resting = self.world, self.world.second.held(), self.world.second.resting()
        if kind == "queries" or kind in QUERIES and options.get("operation", "") in ("", "query"):
            self.queries_until = max(self.queries_until, until)
        if kind in LATE_PRIVATE:
            self.late_until = max(self.late_until, until)
        dead = world.process is None
        found = {
            "adl": {"position is deleveraged": held},
            "liquidate": {"position is liquidated": held},
            "disk_full": {"disk full with an open position": held, "disk full with a resting entry": resting},
            "new_tick": {"tick changed with an open position": held},
            "delisted": {"delisted": True, "delisted with an open position": held},
            "restarted": {
                "venue forgets its ended orders": True,
                "venue forgets its ended orders with an open position": held,
                "venue forgets its ended orders while an outcome is unknown": kind == "restarted" and self.doubt,
            },
            "split": {"position is split": True},
            "dividend": {"position is paid a dividend": True},
            "manual_open": {"somebody opens where we hold nothing": True, "somebody opens while no process lives": dead},
            "manual_add": {"somebody adds to our position": held},
            "manual_reduce": {"somebody reduces our position": held, "somebody reduces while no process lives": held and dead},
            "names_lost": {"name not resolved during a start": self.starting, "name not resolved with an open position": held and not dead},
        }
        return [name for name, holds in found.get("manual_open" if kind == "foreign" else kind, {}).items() if holds]

    def filled(self, row: Mapping[str, Any]) -> None:
        """An execution is booked."""
        world, process = self.world, self.world.process
        link, kind = str(row.get("orderLinkId", "")), row.get("stopOrderType")
        what = "entry" if role(link) == ENTRY else "target" if role(link) == TARGET else "stop" if kind == "StopLoss" else ""
        if not what:
            return
        dead = process is None or not process.alive
        if dead or self.starting:
            self.late_fill = True
        alive = not dead
        number = int(link.rpartition("-")[2], 16) if link else -1
        self._reach(
            f"{what} fills",
            {
                "": True,
                "while no process lives": dead,
                "during a start": self.starting,
                "while the private line is down": alive and self._line_down("private"),
                "while the order line is down": alive and self._line_down("orders"),
                "while an outcome is unknown": self.doubt,
                "after the kill switch": world.killed_word,
                "in pieces": float(row.get("leavesQty") or 0.0) > 0.0,
                "whose cancel has left": process is not None and number in process.asked_back,
                "while queries fail": world.clock.now < self.queries_until,
                "while the clock is wrong": bool(world.offset_ns),
                "while the process stands still": process is not None and world.clock.now < process.frozen_until,
                "while private frames are late or lost": world.clock.now < self.late_until,
            },
        )

    def answered(self, process: Process, path: str, sent_ns: int, status: int, body: bytes) -> None:
        """The answer to a question has reached the process, or its absence."""
        world, held = self.world, self.world.second.held()
        bad = status != 200 or b'"retCode":0' not in body
        late = process.now() - sent_ns > SLOW_NS
        if not bad and not late:
            return
        where = {"during a start": self.starting, "with an open position": held}
        if late and status:
            self._reach("query answered late", where)
        if not bad:
            return
        word = (
            "refused for rate"
            if b'"retCode":10006' in body or status == 429
            else "without an answer"
            if not status
            else "answered 5xx"
            if status >= 500
            else ""
        )
        if word:
            self._reach(f"query {word}", where)
        self._reach(
            "query fault",
            where
            | {
                "during a start with an open position": self.starting and held,
                "during a start with a resting entry": self.starting and world.second.resting(),
                "during a start with an open position and a late fill": self.starting and held and self.late_fill,
                "while an outcome is unknown": self.doubt,
                "after the kill switch": world.killed_word,
                "soon after a reconnect": not self.starting and world.clock.now - process.up_ns < SOON_NS,
                "with a foreign position": bool(world.truth.foreign),
            },
        )

    def born(self, image: str, store: str) -> None:
        """A process begins; what it finds of its files."""
        world, held = self.world, self.world.second.held()
        self._reach(
            "start",
            {
                "after an orderly stop with an open position": self.in_order and held,
                "with an image torn and an open position": image == "torn" and held,
                "with an image lost and an open position": image == "lost" and held,
                "with a store torn or lost": store != "kept",
                "with a foreign position": bool(world.truth.foreign),
                "with a disk that is full": world.disk_is_full(),
                "while the venue is down": world.venue.faults.active("maintenance", world.clock.now) is not None,
            },
        )
        self.in_order = False

    def ready(self) -> None:
        """All gates are open for the first time in a life."""
        self.late_fill = False

    def dies(self, effect: str) -> None:
        """A process is killed before an effect."""
        world, now = self.world, self.world.clock.now
        held = world.second.held()
        process = world.process
        self._reach(
            "kill -9",
            {
                "with an open position": held,
                "with a resting entry": world.second.resting(),
                "during a start": process is not None and not process.was_ready,
                "during a start with an open position": process is not None and not process.was_ready and held,
                "between a send and what follows": effect == "sent",
                "before the image is written": effect == "image",
                "while an outcome is unknown": process is not None and any(order["unknown"] for order in process.engine.orders()),
                "while the kill switch is set": world.killed_word,
                "twice within a minute": now - self.died_ns < TWICE_NS,
                "with a disk that is full": world.disk_is_full(),
            },
        )
        self.died_ns, self.late_fill = now, False

    def stops(self) -> None:
        """A process is asked to stop in good order."""
        held, resting = self.world.second.held(), self.world.second.resting()
        self._reach(
            "asked to stop",
            {
                "with an open position": held,
                "with a resting entry": resting,
                "with everything open": held and resting,
                "while a line is down": self._line_down("private") or self._line_down("orders"),
            },
        )
        self.in_order, self.late_fill = True, False

    def word(self, on: bool) -> None:
        """The kill switch is set, or lifted."""
        held = self.world.second.held()
        if not on:
            self._reach("kill switch", {"lifted with an open position": held})
            return
        self._reach(
            "kill switch",
            {
                "with an open position": held,
                "with a resting entry": self.world.second.resting(),
                "while the order line is down": self._line_down("orders"),
                "while the private line is down": self._line_down("private"),
                "while an outcome is unknown": self.doubt,
            },
        )

    def deferred(self) -> None:
        """An entry was decided, and has to wait for the rate budget."""
        world = self.world
        self._reach(
            "entry decided",
            {"that waits for rate budget": True, "that waits for rate budget in a cascade": world.clock.now - world.cascade_ns < SOON_NS},
        )
        if world.bot.preset:
            self.reach(f"entry deferred under {world.bot.preset}")

    def leaves(self, process: Process, link: Connection) -> None:
        """An entry is handed to the wire."""
        self._reach(
            "entry leaves",
            {
                "into a line that is dead": link.hole_up or not link.alive,
                "soon after the order line came back": self.world.clock.now - process.up_ns < SOON_NS,
            },
        )

    def cascade(self) -> None:
        """Forced trades come in a burst."""
        self._reach(
            "cascade",
            {
                "while the order line is down": self._line_down("orders"),
                "while the private line is down": self._line_down("private"),
                "while no process lives": self.world.process is None,
                "during a start": self.starting,
            },
        )

    def refused(self, symbol: str, code: int) -> None:
        """The venue has refused an order of ours."""
        if code == 10001 and symbol in self.world.venue.coarse:
            self.reach("tick changed and an order of ours refused for it")
        if code == 10001 and symbol in self.world.venue.hedged:
            self.reach("hedge mode and an order of ours refused for it")
