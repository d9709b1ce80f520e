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
    fired: bool = False
    born: int = 0
    why: int = 0                # of a close


@dataclass(eq=False)
class Belief:
    """What the engine believes of one of its orders."""
    lots: int = 0
    price: int = 0
    filled: int = 0
    attempt: int = -1
    state: str = "none"         # none, sent, live, ended
    asked: str = ""             # '', amend, cancel
    not_before: int = 0

    @property
    def open(self) -> bool:
        return self.state in ("sent", "live")
