"""Plain-Python oracle of what becomes of the wishes of one moment, and of what waits for a verdict or a place."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Wish:
    instrument: int
    side: int
    notional: float
    confidence: int


def settled(wishes: list[Wish]) -> tuple[list[Wish], list[Wish]]:
    """(what goes on to risk, in this order, with what is left of its notional; what was netted away).

    By confidence, highest first, then by instrument, then as asked. On each instrument the first of each side take their common notional off both,
    until one side is left."""
    queue = sorted(wishes, key=lambda w: (-w.confidence, w.instrument))          # sorted() is stable
    left = [w.notional for w in queue]
    for instrument in {w.instrument for w in queue}:
        while True:
            heads = {side: next((k for k, w in enumerate(queue) if w.instrument == instrument and w.side == side and left[k] > 0), None)
                     for side in (1, -1)}
            if None in heads.values():
                break
            both = min(left[k] for k in heads.values())
            for k in heads.values():
                left[k] -= both
    return [replace(w, notional=n) for w, n in zip(queue, left) if n > 0], [w for w, n in zip(queue, left) if n <= 0]


@dataclass
class Place:
    """One instrument: the confidence of the bracket that is open (None = flat), and of the one that waits until it is closed."""
    open: int | None = None
    heir: int | None = None

    def wish(self, confidence: int, replaces: bool) -> str:
        """The Reason with which a wish that risk would allow is answered."""
        if self.open is None:
            self.open = confidence
            return "OK"
        if not replaces:
            return "BRACKET_OPEN"
        if confidence <= self.open or (self.heir is not None and confidence <= self.heir):
            return "WEAKER"
        self.heir = confidence
        return "REPLACING"

    def flat(self) -> bool:
        """The bracket is closed; whether another one opens in its place."""
        self.open, self.heir = self.heir, None
        return self.open is not None
