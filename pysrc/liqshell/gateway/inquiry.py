"""Queries of single orders at the venue, until the answer can no longer change.

An order counts as absent only if order/realtime and order/history both lack it in two queries, both begun after the last time at which the venue
could have taken the request, and no execution of it exists. A failed query is not an answer and is repeated alone: earlier answers either can no
longer change or belong to a query that does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from liqcore.event import Gate, OrderStatus, Role
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.events import instrument_of, order_event
from liqshell.venues.effects import Answer, Level
from liqshell.venues.order_port import Page
from liqshell.venues.reports import Execution, OrderState

INQUIRIES_MAX = 512
FIRST_S, LONGEST_S = 0.25, 30.0
PAUSES_S = ((30.0, 1.0), (300.0, 4.0))  # the longest pause until a doubt is so old; an outage may end at any moment
TOGETHER_PER_S = 10.0  # all doubts together ask about so often at most
ABSENT_ENOUGH = 2
LATE_S = 60.0  # so late an answer may be. Until then a reading that lacks the order begins its asking anew; not for ever, because
# readings may come faster than its own askings
LEARN_S = 3.0  # an order whose executions are listed with a kind that we do not know is booked by its own report after so long
LEARN_ASKINGS = 2
FORGOTTEN_ENOUGH = 2  # askings in which neither list has an order that was executed: it is over, and the venue has forgotten it


class Question(IntEnum):
    """Those of one asking, in their order."""

    OPEN = 0  # is it open?
    PAST = 1  # has it ended?
    EXECUTED = 2  # was it executed? Once both lists lack it for good


@dataclass(slots=True)
class Inquiry:
    """One order in doubt. hard: its outcome is unknown, so no entry may leave. expires: when a request about it can no longer be taken.
    absent: askings after that in which neither list has it; forgotten: those of them in which it had been executed all the same. question: the one
    of the present asking whose turn it is; since: when that asking began; failures: of late, for the pause and the patience with the next answer."""

    order: int
    began: int
    expires: int
    why: str
    hard: bool = False
    askings: int = 0
    absent: int = 0
    forgotten: int = 0
    due: int = 0
    question: Question = Question.OPEN
    since: int = 0
    failures: int = 0
    asking: bool = False
    alarmed: bool = False
    dead: bool = False


@dataclass(slots=True)
class Drain:
    """An order that ended with more executed than was reported. answered: askings that the venue has answered; odd: an answer lists an
    execution of the order with a kind that we do not know: more will not be learnt."""

    began: int
    due: int
    askings: int = 0
    answered: int = 0
    odd: bool = False
    asking: bool = False
    alarmed: bool = False


class Inquiries:
    """on_state(order, state, asked_at), on_absent(order, venue_ns, executed), on_execution(execution),
    book(order, price) -> whether it was booked, is_odd(execution): set by the gateway."""

    def __init__(self, context: Context) -> None:
        self.c = context
        self.on_state: Callable[..., None] = lambda order, state, asked_at: None
        self.on_absent: Callable[[int, int, float], None] = lambda order, venue_ns, executed: None
        self.on_execution: Callable[[Execution], None] = lambda execution: None
        self.book: Callable[[int, float], bool] = lambda order, price: False
        self.is_odd: Callable[[Execution], bool] = lambda execution: False
        self.prices: dict[int, float] = {}  # of orders that have ended: what they say that they were executed at
        self._open: dict[int, Inquiry] = {}
        self._drains: dict[int, Drain] = {}
        self.doubted: set[int] = set()  # instruments whose position should be compared at once
        self.alarms = 0

    def begin(self, order: int, expires: int, why: str, *, hard: bool = False) -> None:
        """Ask about an order, at once and until it is settled."""
        c = self.c
        found = self._open.get(order)
        if found is None:
            if len(self._open) >= INQUIRIES_MAX:
                c.counters["inquiries dropped"] += 1  # the engine still believes it open: the next sweep begins it again
                return
            found = self._open[order] = Inquiry(order, c.now, expires, why, due=c.now)
            c.counters["inquiries"] += 1
        elif expires > found.expires and (expires > c.now or c.now < found.began + c.settings.ns(LATE_S)):
            found.expires, found.absent, found.question = expires, 0, Question.OPEN
        if hard and not found.hard:
            self._harden(found, why)

    def _harden(self, inquiry: Inquiry, why: str) -> None:
        """From now on it counts as unknown: entries off, exposure kept."""
        c = self.c
        inquiry.hard = True
        c.gates.close(Gate.GATE_UNKNOWN, f"order {inquiry.order:#x}: {why}", c.now)
        belief = c.belief(inquiry.order)
        if belief is not None and not belief["unknown"]:
            c.report(order_event(c.stamp(), c.venue_ns(), inquiry.order, OrderStatus.ORDER_UNKNOWN))

    def end(self, order: int) -> None:
        """It is settled."""
        found = self._open.pop(order, None)
        if found is not None:
            found.dead = True
            self._gate()

    def _gate(self) -> None:
        if not any(i.hard for i in self._open.values()):
            self.c.gates.open(Gate.GATE_UNKNOWN)

    def doubt_position(self, instrument: int) -> None:
        """Something about an instrument does not add up: compare positions at once."""
        self.doubted.add(instrument)

    def about(self, instrument: int) -> bool:
        """Whether an order of this instrument is in doubt."""
        return any(instrument_of(order) == instrument for order in (*self._open, *self._drains))

    @property
    def hard(self) -> list[int]:
        """Orders of unknown outcome."""
        return [i.order for i in self._open.values() if i.hard]

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, order: int) -> bool:
        """Whether an order is being asked about."""
        return order in self._open

    # ---- time ----

    def sweep(self) -> None:
        """Ask what is due; forget what the engine no longer wonders about; raise the alarm about what takes too long."""
        c, s = self.c, self.c.settings
        for inquiry in list(self._open.values()):
            belief = c.belief(inquiry.order)
            if belief is None or belief["status"] == "ended":
                self.end(inquiry.order)
                continue
            if belief["unknown"] and not inquiry.hard:
                self._harden(inquiry, inquiry.why)  # the engine has waited long enough: nothing may enter meanwhile
            if not inquiry.alarmed and inquiry.hard and c.now >= inquiry.began + s.ns(s.alarm_s):
                inquiry.alarmed = True
                self.alarms += 1
                c.notice(
                    Level.ALARM,
                    "unresolved",
                    f"the outcome of order {inquiry.order:#x} has been unknown for {s.alarm_s:g} s ({inquiry.why}) "
                    f"after {inquiry.askings} queries; entries stay blocked, queries continue. Look at the account at the "
                    "venue",
                    belief["symbol"],
                )
            if not inquiry.asking and c.now >= inquiry.due:
                self._ask(inquiry)
        for order, belief in list(c.beliefs().items()):
            if belief["status"] == "ended" and belief["executed"] > belief["filled"]:
                drain = self._drains.setdefault(order, Drain(c.now, c.now + s.ns(0.3)))
                if not drain.alarmed and c.now >= drain.began + s.ns(s.alarm_s):
                    drain.alarmed = True
                    self.alarms += 1
                    c.notice(
                        Level.ALARM,
                        "unresolved",
                        f"order {order:#x} ended with {belief['executed']:g} executed, of which "
                        f"{belief['filled']:g} are known after {s.alarm_s:g} s and {drain.askings} queries; queries continue. Look at the "
                        "account at the venue",
                        belief["symbol"],
                    )
                waited = c.now >= drain.began + s.ns(LEARN_S if drain.odd else s.stale_s)
                if waited and drain.answered >= LEARN_ASKINGS and self.book(order, self.prices.get(order, 0.0)):
                    self.doubted.add(belief["instrument"])
                elif not drain.asking and c.now >= drain.due:
                    self._ask_executions(order, drain)
        for order in [order for order in self.prices if c.belief(order) is None]:
            del self.prices[order]
        for order in [order for order in self._drains if (b := c.belief(order)) is None or b["status"] != "ended" or b["executed"] <= b["filled"]]:
            del self._drains[order]  # also of an order that turned out to be alive: an inquiry without a query must not be due

    def due(self) -> int | None:
        """When sweep() has something to do."""
        times = [i.due for i in self._open.values() if not i.asking] + [d.due for d in self._drains.values() if not d.asking]
        return min(times, default=None)

    def ask_soon(self) -> None:
        """A way to the venue is back."""
        for inquiry in self._open.values():
            inquiry.due = min(inquiry.due, self.c.now)

    # ---- one asking ----

    def _pause(self, askings: int, began: int) -> int:
        """At a falling rate; but while an outage may end at any moment, never long."""
        ns = self.c.settings.ns
        longest = next((pause for age, pause in PAUSES_S if self.c.now < began + ns(age)), LONGEST_S)
        return ns(max(min(longest, FIRST_S * 1.6 ** min(askings, 20)), (len(self._open) + len(self._drains)) / TOGETHER_PER_S))

    def _ask(self, inquiry: Inquiry) -> None:
        c = self.c
        inquiry.asking = True
        if inquiry.question == Question.OPEN:
            inquiry.since = c.now
        link, question, since = c.port.link_id(inquiry.order), inquiry.question, inquiry.since
        symbol = c.symbols[instrument_of(inquiry.order)]
        read = c.port.executions_of if question == Question.EXECUTED else c.port.orders_of

        def answered(answer: Answer) -> None:
            if inquiry.dead:
                return
            page = read(answer)
            c.note_answer(page, "query")
            mine = [item for item in page.items if isinstance(item, (OrderState, Execution)) and item.link_id == link]
            if not page.ok:
                self._failed(inquiry, page)
                return
            inquiry.failures //= 2
            if question == Question.EXECUTED:
                self._executed(inquiry, [item for item in mine if isinstance(item, Execution)])
            elif mine:
                inquiry.absent = 0
                self._again(inquiry)  # on_state ends it where that settles it
                self.on_state(inquiry.order, max((item for item in mine if isinstance(item, OrderState)), key=lambda state: state.updated_ms), since)
            elif question == Question.OPEN:
                self._next(inquiry, Question.PAST)
            else:
                self._absent(inquiry)

        ask = (
            c.port.ask_executions(symbol=symbol, link_id=link)
            if question == Question.EXECUTED
            else c.port.ask_order(symbol, link, past=question == Question.PAST)
        )
        c.ask(
            ask,
            answered,
            Urgency.ASK,
            f"{('state', 'history', 'executions')[question]} of {link}",
            wanted=lambda: not inquiry.dead,
            on_dropped=lambda: self._again(inquiry),
            timeout_s=c.timeout_s(inquiry.failures),
        )

    def _again(self, inquiry: Inquiry) -> None:
        """Another asking, from its first question on."""
        inquiry.asking, inquiry.question = False, Question.OPEN
        inquiry.askings += 1
        inquiry.due = self.c.now + self._pause(inquiry.askings, inquiry.began)

    def _next(self, inquiry: Inquiry, question: Question) -> None:
        inquiry.question = question
        self._ask(inquiry)

    def _failed(self, inquiry: Inquiry, page: Page) -> None:
        """The same question once more."""
        c = self.c
        c.counters["questions failed"] += 1
        if not inquiry.hard and inquiry.askings >= 1:
            self._harden(inquiry, f"no answer: {page.text}")
        inquiry.asking = False
        inquiry.askings += 1
        inquiry.failures += 1
        inquiry.due = c.now + self._pause(inquiry.failures, inquiry.began)

    def _absent(self, inquiry: Inquiry) -> None:
        """Neither list has it."""
        c = self.c
        inquiry.absent = inquiry.absent + 1 if inquiry.since > inquiry.expires else 0
        if not inquiry.hard:
            self._harden(inquiry, inquiry.why)
            if inquiry.dead:
                return
        if inquiry.absent >= ABSENT_ENOUGH:
            self._next(inquiry, Question.EXECUTED)
            return
        self._again(inquiry)
        if inquiry.absent:
            # for an exit every moment counts; an entry can wait for an answer that is late
            inquiry.due = c.now + c.settings.ns(c.settings.absent_s * (1.0 if inquiry.order & 15 != Role.ROLE_ENTRY else 4.0))
        elif inquiry.expires >= c.now:
            inquiry.due = min(inquiry.due, inquiry.expires + 1)  # then it can be known

    def _executed(self, inquiry: Inquiry, mine: list[Execution]) -> None:
        """Counts the executions of an order that is in neither list."""
        for execution in sorted(mine, key=lambda x: x.ts_ms):
            self.on_execution(execution)
        inquiry.forgotten += bool(mine)
        if inquiry.absent < ABSENT_ENOUGH:
            self._again(inquiry)  # a later request about it has left meanwhile
        elif not mine or inquiry.forgotten >= FORGOTTEN_ENOUGH:
            self.end(inquiry.order)
            self.on_absent(inquiry.order, self.c.venue_ns(), sum(x.qty for x in mine))
        else:
            self._again(inquiry)

    def _ask_executions(self, order: int, drain: Drain) -> None:
        """Fills that the venue counts and that were not reported."""
        c = self.c
        drain.asking = True
        drain.askings += 1
        link = c.port.link_id(order)
        symbol = c.symbols[instrument_of(order)]

        def finish() -> None:
            drain.asking = False
            drain.due = c.now + self._pause(drain.askings, drain.began)

        def answered(answer: Answer) -> None:
            finish()
            page = c.port.executions_of(answer)
            c.note_answer(page, "query")
            drain.answered += page.ok
            for execution in sorted((x for x in page.items if page.ok and isinstance(x, Execution)), key=lambda x: x.ts_ms):
                drain.odd |= execution.link_id == link and self.is_odd(execution)
                self.on_execution(execution)

        # the attached stop has none of our ids at the venue: by symbol
        stop = order & 15 == Role.ROLE_STOP
        c.counters["missing fills asked"] += 1
        c.ask(
            c.port.ask_executions(symbol=symbol, link_id="" if stop else link),
            answered,
            Urgency.ASK,
            f"executions of {link}",
            on_dropped=finish,
            timeout_s=c.timeout_s(drain.askings),
        )
