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
    queue = sorted(wishes, key=lambda w: (-w.confidence, w.instrument))  # sorted() is stable
    left = [w.notional for w in queue]
    for instrument in {w.instrument for w in queue}:
        while True:
            heads = {
                side: next((k for k, w in enumerate(queue) if w.instrument == instrument and w.side == side and left[k] > 0), None)
                for side in (1, -1)
            }
            if None in heads.values():
                break
            both = min(left[k] for k in heads.values())
            for k in heads.values():
                left[k] -= both
    return [replace(w, notional=n) for w, n in zip(queue, left, strict=True) if n > 0], [w for w, n in zip(queue, left, strict=True) if n <= 0]


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


@dataclass(frozen=True)
class Asked:
    """A question of one moment. gives: what news that supports, and none, give: 'enter', 1 to 3, 'hold', "don't enter"."""

    instrument: int
    confidence: int
    deadline: int
    gives: tuple = ("enter", "enter")

    @property
    def cap(self) -> float:
        """The highest confidence that an answer leaves; 0 = nothing is entered whatever is said."""
        return max(float("inf") if one == "enter" else one if isinstance(one, int) else 0 for one in self.gives)


def entered(batch: list[Asked], said: list[tuple[int, int, str, int]]) -> list[tuple[int, int, int]]:
    """(time, instrument, confidence) of the entries of a batch, in their order. said: (time, place in the batch, CONFIRM | VETO | HOLD | FAILED,
    confidence stated, 0 = not), by time.

    The effective confidence is the lowest of the wish's, of what the policy's grades give, and of what is stated. Confirmed ones are entered
    together when none is open any more, each at its deadline at the latest; by confidence, then by instrument, then as asked. One that states no
    confidence is entered alone, at once. The first word on a question counts, before its deadline."""
    out, open_, confirmed = [], dict(enumerate(batch)), {}

    def release(now: int) -> None:
        ready = [k for k in confirmed if not open_ or batch[k].deadline <= now]
        for k in sorted(ready, key=lambda k: (-confirmed[k], batch[k].instrument, k)):
            out.append((now, batch[k].instrument, confirmed.pop(k)))

    def expire(until: int) -> None:
        for moment in sorted({q.deadline for q in batch if q.deadline <= until}):
            for k in [k for k in open_ if batch[k].deadline <= moment]:
                del open_[k]
            release(moment)

    for ts, k, word, stated in said:
        expire(ts)
        if k not in open_:
            continue
        question = open_.pop(k)
        if word == "CONFIRM" and question.cap > 0:
            effective = int(min(question.confidence, question.cap, stated or float("inf")))
            if stated:
                confirmed[k] = effective
            else:
                out.append((ts, question.instrument, effective))
        release(ts)
    expire(max(q.deadline for q in batch))
    return out
