"""Reductions that nothing explained when they were found: booked at the mark, and put right when the venue's record of them is learnt after all.

The engine has counted the quantity by then and counts no execution twice, so only money is left to move: it goes the way of funding, the one report
about money alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from liqshell.gateway.context import Context
from liqshell.venues.effects import Level
from liqshell.gateway.settings import MS
from liqshell.gateway.events import funding_event
from liqshell.venues.reports import Execution

KEPT_MS = 3_600_000             # that long a record may turn up
LONG_AGO_NS = 10**17            # 1973: before all funding, and still a time in ns
GUESSES_MAX = 16                # of one contract


@dataclass(slots=True)
class Guess:
    """lots of them are not explained yet; price: by which they were booked; side: of the execution; from_ms .. to_ms: when it can have been.
    order: ours, by whose report they were booked, 0 = nobody's. fee: booked with each lot."""

    side: int
    lots: int
    price: float
    from_ms: int
    to_ms: int
    order: int = 0
    fee: float = 0.0


class Guessed:
    """By instrument."""

    def __init__(self, context: Context) -> None:
        self.c = context
        self._of: dict[int, list[Guess]] = {}
        self._funded: dict[int, int] = {}       # instrument -> time of the newest report about money alone, ns

    def book(self, n: int, x: Execution, from_ms: int, order: int = 0) -> None:
        """x is an execution that we have made up, where order is given: of that order of ours."""
        lots = self.c.lots(n, x.qty)
        self._of.setdefault(n, []).append(Guess(x.side, lots, x.price, from_ms, x.ts_ms, order, x.fee / max(lots, 1)))
        del self._of[n][:-GUESSES_MAX]

    def funded(self, n: int, ts_ms: int) -> None:
        """Funding was reported."""
        self._funded[n] = max(self._funded.get(n, 0), ts_ms * MS)

    def since_ms(self) -> int | None:
        """From when on records are still wanted; None = from no particular time."""
        old_ms = self.c.venue_ns() // MS - KEPT_MS
        for n, found in list(self._of.items()):
            self._of[n] = [guess for guess in found if guess.to_ms > old_ms]
            if not self._of[n]:
                del self._of[n]
        return min((guess.from_ms for found in self._of.values() for guess in found), default=None)

    def explain(self, n: int, x: Execution, order: int = 0) -> bool:
        """Whether this record, of an order of ours or (0) of nobody's, is of something that was booked without it. Then what it says differently has
        been booked."""
        guess = next((g for g in self._of.get(n, ()) if g.side == x.side and g.order == order and g.from_ms <= x.ts_ms <= g.to_ms), None)
        lots = self.c.lots(n, x.qty)
        if guess is None or lots <= 0:
            return False
        part = min(lots, guess.lots)
        unit = self.c.engine.instruments[n]
        paid = (x.fee / lots - guess.fee) * part + x.side * (x.price - guess.price) * unit.qty(part) * unit.multiplier
        guess.lots -= part
        if not guess.lots:
            self._of[n].remove(guess)
            if not self._of[n]:
                del self._of[n]
        self._pay(n, x, paid, unit.qty(part))
        self.c.counters["guesses put right"] += 1
        self.c.notice(Level.WARNING, "put right", f"{x.kind} of {unit.qty(part):g} was at {x.price:g}; it was booked at {guess.price:g} before the "
                      f"record arrived. The difference of {-paid:+.4f} is booked under funding", x.symbol)
        return True

    def _pay(self, n: int, x: Execution, paid: float, qty: float) -> None:
        """The engine takes such reports in the order of their times, and real funding of any time must still be taken: as early as will do."""
        c = self.c
        for ts_ns in (self._funded.get(n, LONG_AGO_NS) + 1, x.ts_ms * MS):
            before = c.engine.account.position(n)["funding"]
            event = funding_event(c.stamp(), n, -x.side, Execution(x.id, "", "", x.symbol, 0, x.price, qty, paid, False, x.kind, "", "", 0, 0))
            c.report((ts_ns, *event[1:]))
            if not paid or c.engine.account.position(n)["funding"] != before:
                self._funded[n] = ts_ns
                return
