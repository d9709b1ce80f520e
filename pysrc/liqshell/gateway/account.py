"""Whether the account is set up as the engine assumes: one-way positions, the leverage that was configured. Checked at the start, symbol by
symbol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from liqcore.event import Gate
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.ownership import mode_fault
from liqshell.venues.effects import Answer, Level
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Position


class AccountCheck:
    """ok: every symbol was asked, and fits. problems: what does not, in words for a person."""

    def __init__(self, context: Context) -> None:
        self.c = context
        self.problems: dict[str, str] = {}
        self._left: set[int] = set(range(len(context.symbols)))
        self._asking: set[int] = set()
        self._due: int | None = None
        self._tries: Counter[int] = Counter()
        self._again: dict[int, int] = {}  # instrument -> not before
        self._set: dict[int, int] = {}  # times that leverage was set
        self._awaited = ""

    @property
    def ok(self) -> bool:
        return not self._left and not self.problems and not self._awaited

    def wait_for(self, why: str) -> None:
        """The start is not complete: there are no entries before admitted()."""
        self._awaited = why

    def know(self, symbol: str, rows: Sequence[Position]) -> None:
        """Takes the driver's recent reading of a contract; a correct one is not queried again."""
        n = self.c.index.get(symbol)
        wanted = self.c.settings.leverage.get(symbol, self.c.settings.leverage.get("", 0.0))
        if n is not None and not mode_fault(rows) and (not wanted or any(abs(p.leverage - wanted) <= 1e-9 for p in rows)):
            self._left.discard(n)

    def admitted(self) -> None:
        self._awaited = ""

    def start(self) -> None:
        self._due = self.c.now
        if self._awaited:
            self.c.gates.close(Gate.GATE_START, self._awaited, self.c.now)

    def due(self) -> int | None:
        times = [self._again.get(n, self._due or 0) for n in self._left - self._asking]
        return min(times, default=None) if self._due is not None else None

    def sweep(self) -> None:
        due = self.due()
        if self._due is None or due is None or self.c.now < due:
            return
        for n in sorted(self._left - self._asking):
            if self.c.now >= self._again.get(n, self._due):
                self._asking.add(n)
                self._ask(n)

    def _ask(self, n: int) -> None:
        c, tries = self.c, self._tries[n]
        self._tries[n] += 1

        def answered(answer: Answer) -> None:
            self._asking.discard(n)
            page = c.port.positions_of(answer)
            c.note_answer(page, "query")
            if not page.ok:
                self._again[n] = c.again_at(tries, answer.sent_ns or c.now)
                c.gates.close(Gate.GATE_START, f"the account does not answer: {page.text}", c.now)
                return
            # a fault is being repaired: look again, at growing intervals
            self._again[n] = c.now + c.settings.ns(min(60.0, 1.6 ** min(tries + 1, 12)))
            self._check_setup(n, [p for p in page.items if isinstance(p, Position) and p.symbol == c.symbols[n]])

        def dropped() -> None:
            self._asking.discard(n)
            self._again[n] = c.again_at(tries, c.now)

        c.ask(
            c.port.ask_positions(c.symbols[n]), answered, Urgency.WATCH, f"set-up of {c.symbols[n]}", on_dropped=dropped, timeout_s=c.timeout_s(tries)
        )

    def _check_setup(self, n: int, rows: Sequence[Position]) -> None:
        c = self.c
        symbol = c.symbols[n]
        if fault := mode_fault(rows):
            self._wrong(n, fault)
            return
        wanted = c.settings.leverage.get(symbol, c.settings.leverage.get("", 0.0))
        has = next((p.leverage for p in rows if p.leverage > 0.0), 0.0)
        if wanted and has and abs(has - wanted) > 1e-9:
            if self._set.get(n, 0) >= 3:
                self._wrong(n, f"the leverage is {has:g}, configured is {wanted:g}, and it cannot be set")
                return
            self._set[n] = self._set.get(n, 0) + 1
            self._set_leverage(n, wanted)
            return
        self.problems.pop(symbol, None)
        self._left.discard(n)

    def _wrong(self, n: int, text: str) -> None:
        symbol = self.c.symbols[n]
        self.problems[symbol] = text
        self.c.gates.close(Gate.GATE_START, f"{symbol}: {text}", self.c.now)
        self.c.notice(Level.ALARM, "account", text, symbol)

    def _set_leverage(self, n: int, wanted: float) -> None:
        c = self.c

        def answered(answer: Answer) -> None:
            page = c.port.result_of(answer, Asked.SETTING)
            c.note_answer(page, "setting")
            if page.outcome in (Outcome.LATER, Outcome.UNKNOWN, Outcome.CLOCK):
                self._set[n] -= 1  # nothing is wrong with the account: look again after the pause, and set it if it is still to be set
                c.gates.close(Gate.GATE_START, f"{c.symbols[n]}: leverage not set yet: {page.code} {page.text}", c.now)
                return
            if not page.ok:
                self.problems[c.symbols[n]] = f"leverage {wanted:g} cannot be set: {page.code} {page.text}"
            self._again[n] = c.now + c.settings.ns(0.2)

        c.notice(Level.INFO, "leverage", f"set to {wanted:g}", c.symbols[n])
        c.ask(c.port.set_leverage(c.symbols[n], f"{wanted:g}"), answered, Urgency.WATCH, f"leverage of {c.symbols[n]}")

    def on_positions(self, rows: Sequence[Position]) -> None:
        """A reading of positions: it also shows hedge mode, if the user switched to it."""
        for p in rows:
            n = self.c.index.get(p.symbol)
            if n is not None and p.index != 0 and p.qty > 0.0:
                self._left.add(n)
                self._wrong(n, "a hedge-mode position; this engine trades one-way accounts only")
