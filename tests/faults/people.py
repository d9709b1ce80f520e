"""Whom an alarm calls: somebody who looks at the account in the venue's own app, and puts in order what a program must not decide alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clock import NS, Appointment
from .end import believed, held
from .life import IMAGE, STORE

if TYPE_CHECKING:
    from .world import World

CALLS = ("foreign position", "position gone", "rights", "runaway")  # alarms after which entries stay off until somebody has looked
UNEXPLAINED = ("foreign position", "position gone")  # which nobody may cause but somebody else, or the loss of an image
PERSON_NS = 30 * NS  # until a person who was called has come
RESUME_NS = 60 * NS  # until he lets it trade again
SETTLED_NS = 120 * NS  # from his visit until everything must agree again


class Person:
    """Of one world."""

    def __init__(self, world: World):
        self.world = world
        self.coming: Appointment | None = None
        self.visited_ns = world.start - SETTLED_NS

    @property
    def busy(self) -> bool:
        """Whether the program has, rightly, given up, and waits for somebody who is on his way or has just been there."""
        return self.coming is not None or self.world.clock.now - self.visited_ns < SETTLED_NS

    def alarmed(self, kind: str) -> None:
        """An alarm of the running process."""
        world = self.world
        world.counts[f"alarm {kind}"] += 1
        if kind in UNEXPLAINED:
            world.truth.ask("unexplained")
        if kind in UNEXPLAINED and not world.image_lost and world.clock.now > world.others_ns and not world.truth.resized:
            world.truth.fail("unexplained", "the program does not know where a position comes from, and nobody but itself has traded")
        if kind in UNEXPLAINED:
            world.money_unknown = True  # what somebody else earned or lost is not in our books
        process = world.process
        readable = kind == "foreign position" and process is not None and not process.engine.risk.halted
        if kind in CALLS and not readable and self.coming is None:  # a contract that is read-only needs nobody
            self.coming = world.clock.after(PERSON_NS, self._visit)

    def _visit(self) -> None:
        """He closes what nobody can explain, and lets it trade again."""
        self.coming = None
        world, process = self.world, self.world.process
        if process is None or not process.alive:
            return
        theirs, ours = held(world), believed(process)
        found = [symbol for symbol in sorted(theirs) if abs(theirs[symbol] - ours[symbol]) > 1e-9]
        world.trace.say(world.clock.now, "person", "comes", *found)
        world.counts["persons"] += 1
        for symbol in found:
            world.money_unknown = True
            self._close(symbol)
        self.visited_ns = world.clock.now
        world.clock.after(RESUME_NS, process.guarded, process.resume)

    def _close(self, symbol: str) -> None:
        """As soon as the venue lets him: it may have halted the contract."""
        if self.world.venue.close_manually(symbol):
            self.world.truth.foreign.discard(symbol)
        else:
            self.world.clock.after(5 * NS, self._close, symbol)

    def put_in_order(self) -> None:
        """A start was refused: he closes what is open, puts damaged files aside, and starts again."""
        world = self.world
        world.trace.say(world.clock.now, "person", "puts things in order")
        world.counts["persons"] += 1
        world.money_unknown = True
        for contract in world.venue.contracts:
            world.venue.close_manually(contract.symbol)
        for name in (IMAGE, STORE):
            for file in world.folder.glob(name + "*"):
                file.unlink()
        world.duties.count_from_here()
        world.truth.minute.clear()  # the entries of the last minute stood in the files that he has put aside
        world.clock.after(5 * NS, world.begin)
