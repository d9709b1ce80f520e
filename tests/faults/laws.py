"""The laws by name: what each says, and whether it is on. A law that waits for a part of the program is here, is asked and counted, and breaks nothing
yet; a campaign in which a law was never asked has not looked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Law:
    """what: in words. often: whether every campaign of some hours asks it; ever: whether a long one does. on: whether it ends a run."""

    what: str
    often: bool = True
    ever: bool = True
    on: bool = True


LAWS: dict[str, Law] = {
    "protected": Law("a position has its stop, or gets it within 2 s"),
    "sent twice": Law("no create reaches the venue twice"),
    "duplicate": Law("one live order of each role of a bracket, one entry a contract"),
    "overfilled": Law("the entries of a bracket fill no more than was approved"),
    "limits": Law("notional, exposure, positions, entries a minute and a signal"),
    "certain": Law("no entry while anything is uncertain"),
    "killed": Law("a kill asks every resting entry back within a second"),
    "reconciled": Law("what is believed is what is, when things are quiet"),
    "no leaks": Law("no order at the venue that no bracket knows"),
    "no ghosts": Law("no order believed to rest that the venue has not"),
    "nothing unknown": Law("no outcome is unknown at the end"),
    "comes back": Law("entries are possible again when nothing is wrong"),
    "money": Law("what the engine counted is what the venue booked", often=False),
    "forgotten": Law("positions and entries end with their time limits"),
    "alarmed": Law("an outcome that stays unknown is an alarm"),
    "unexplained": Law("a position is never a riddle without somebody else's hand", often=False),
    "bounded": Law("queues and records stay bounded"),
    "ids": Law("our order ids can be read back", often=False, ever=False),
    "no exception": Law("nothing raises", often=False, ever=False),
    "judges": Law("both judges come to the same verdict"),
    "foreign": Law("a position of somebody else's is seen", often=False),
    "foreign contract": Law("a contract with a foreign position takes no entry", often=False),
    "foreign start": Law("a foreign position never ends a start: own trades are attended, the other contracts trade", often=False),
    "latched": Law("the last hop latches only on what no healthy engine asks: here never"),
    "burst": Law("a burst after a silence opens nothing"),
    "late": Law("an entry that waited too long is refused, and nothing else happens"),
    "day loss": Law("no entry beyond the loss limit of a day"),
    "week loss": Law("no entry beyond the loss limit of a week"),
    "disk": Law("no entry while the disk is full"),
    "stopping": Law("no entry from a process that was asked to stop"),
}
