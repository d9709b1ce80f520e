"""An order twice: as it rests at the venue, and as the engine believes it to be."""

from dataclasses import dataclass


@dataclass(eq=False)
class Resting:
    role: int
    attempt: int
    side: int
    price: int
    lots: int
    market: bool = False
    post_only: bool = False
    reduce_only: bool = False
    stop: int = 0
    filled: int = 0
    taking: bool = False  # a stop that has fired, the rest of a market order
    born: int = 0
    wait: int = 0  # of one that takes: until when it waits for somebody of its own side to trade
    why: int = 0  # of a close
    ahead: int | None = 0  # lots before it in the queue; None = not to be seen
    said: int = 0  # reports about it
    number: int = 1  # of the bracket

    @property
    def id(self) -> int:
        return self.number << 12 | self.attempt << 4 | self.role


@dataclass(eq=False)
class Belief:
    """What the engine believes of one of its orders."""

    lots: int = 0
    price: int = 0
    filled: int = 0
    attempt: int = -1
    state: str = "none"  # none, sent, live, ended
    asked: str = ""  # '', amend, cancel
    fired: bool = False  # stops
    not_before: int = 0

    @property
    def open(self) -> bool:
        return self.state in ("sent", "live")
