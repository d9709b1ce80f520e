"""Shared state of the gateway's parts: the present time, the engine's known state, the outputs, and the counters."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from liqcore.event import Control, Gate, Role
from liqshell.gateway.budget import Budget, Handler, Urgency
from liqshell.gateway.events import Event, control_event, instrument_of, order_number
from liqshell.gateway.settings import NS, Settings
from liqshell.state.prefix import is_ours
from liqshell.venues.effects import Answer, Effects, Level, Notice
from liqshell.venues.order_port import Ask, Page, Port
from liqshell.venues.outcome import Asked, Outcome

# The gates that the gateway closes and opens: each change is told once, to the engine and in words.
ALL = -1
# (gate, instrument) whose state at the start is closed until something is known
_CLOSED_AT_START = (Gate.GATE_START, Gate.GATE_PRIVATE, Gate.GATE_ORDERS, Gate.GATE_RECONCILE, Gate.GATE_CLOCK)
_OPEN_AT_START = (Gate.GATE_UNKNOWN, Gate.GATE_RATE)


class Gates:
    """report(code, gate, instrument): puts a CONTROL event before the engine. The engine has one bit a gate and contract; here a gate may be closed
    for a contract and for all at once, and what is closed for a contract stays so when that of all opens."""

    def __init__(self, report: Callable[[int, int, int], None]) -> None:
        self._report = report
        self._closed: dict[tuple[int, int], tuple[int, str]] = {}
        self._symbols = 0

    def start(self, now: int, *, clock: bool, symbols: int) -> None:
        """Report the state of every gate to the engine: a restored engine may have gates of an earlier process."""
        self._symbols = symbols
        for gate in _CLOSED_AT_START:
            if gate != Gate.GATE_CLOCK or clock:
                self.close(gate, "not known yet", now)
        for gate in (*_OPEN_AT_START, *(() if clock else (Gate.GATE_CLOCK,))):
            self._report(Control.CONTROL_READY, gate, ALL)
        for n in range(symbols):
            self.close(Gate.GATE_SYMBOL, "its contract rules are not known yet", now, n)

    def close(self, gate: int, why: str, now: int, instrument: int = ALL) -> bool:
        """True where it was open."""
        before = self._closed.get((gate, instrument))
        self._closed[gate, instrument] = (before[0] if before else now, why)
        if before is None and not self._is_shut(gate, instrument):
            self._report(Control.CONTROL_PAUSE, gate, instrument)
        return before is None

    def open(self, gate: int, instrument: int = ALL) -> bool:
        """True where it was closed."""
        if self._closed.pop((gate, instrument), None) is None:
            return False
        still = [n for n in range(self._symbols) if (gate, n) in self._closed] if instrument == ALL else []
        if still:
            for n in range(self._symbols):
                if n not in still:
                    self._report(Control.CONTROL_READY, gate, n)
        elif not self._is_shut(gate, instrument):
            self._report(Control.CONTROL_READY, gate, instrument)
        return True

    def _is_shut(self, gate: int, instrument: int) -> bool:
        """Whether the engine has the gate of a contract closed for the sake of all."""
        return instrument != ALL and (gate, ALL) in self._closed

    def why(self, gate: int, instrument: int = ALL) -> str:
        return self._closed.get((gate, instrument), (0, ""))[1]

    @property
    def any_closed(self) -> bool:
        """Whether one is closed that concerns all contracts."""
        return any(instrument == ALL for _, instrument in self._closed)

    def status(self) -> list[dict[str, Any]]:
        """Closed gates: name, instrument (-1 = all), since (ns), why."""
        return [
            {"gate": Gate(gate).name, "instrument": instrument, "since": since, "why": why}
            for (gate, instrument), (since, why) in self._closed.items()
        ]


NOTICE_EVERY_S = 30.0  # of one kind about one symbol; alarms of a new text pass
HALT_EVERY_S = 5.0
TALKED_S = 5.0  # a venue that has answered a question within this is not down
TALKING_PAUSE_S = 0.5  # the longest pause before such a venue is asked again; the budget bounds how much it is asked in all
QUICK_S, ROUND_TRIPS = 0.4, 4.0  # the first wait for an answer of such a venue: at least, and in round trips of the slower of its answers
FADES = 0.9  # of what a slow answer counts, with every later one
KINDS_MAX = 2048


class Context:
    """now: the time of the input being served; only Gateway sets it."""

    def __init__(self, engine: Any, store: Any, port: Port, settings: Settings, effects: Effects) -> None:
        self.engine = engine
        self.store = store
        self.port = port
        self.settings = settings
        self.effects = effects
        self.now = 0
        self.offset_ns = 0  # venue - us
        self.talked: int | None = None  # when a question was last answered
        self.round_trip = 0  # of the slower of its latest answers, ns
        self.clock_doubt = False  # one of our time stamps was refused: measure
        self.counters: Counter[str] = Counter()
        # the contracts of the venue that is traded stand first in the engine; those of other venues are watched only, and no business of ours
        venue = engine.instruments[0].venue
        self.symbols = tuple(i.symbol for i in engine.instruments if i.venue == venue)
        self.index = {symbol: n for n, symbol in enumerate(self.symbols)}
        self.touched_at: dict[int, int] = {}  # instrument -> when the private stream, or we, last did something about it
        self.after_report: Callable[[], None] = lambda: None
        self._beliefs: dict[int, dict[str, Any]] | None = None
        self._halted: dict[tuple[str, str], int] = {}
        self._noticed: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()
        rates = {"order": settings.order_rate, "setting": settings.stop_rate, "query": settings.query_rate, "market": settings.query_rate}
        self.budget = Budget(effects.call, rates, settings.ns(1.0), settings.call_timeout_s)
        self.gates = Gates(lambda code, gate, instrument: self.report(control_event(self.stamp(), code, gate, instrument)))

    # ---- time ----

    def stamp(self) -> int:
        """Time of an event for the engine, which never goes back."""
        return max(self.now, self.engine.now)

    def venue_ns(self) -> int:
        """The present by the venue's clock, as far as we know it."""
        return self.now + self.offset_ns

    def expiry(self, ts: int) -> int:
        """When, by our clock, a request stamped at ts can no longer be taken by the venue, however late it looks at it."""
        window = self.settings.recv_window_ms / 1e3 + self.settings.margin_s
        return ts + self.settings.ns(window) + max(0, -self.offset_ns)

    # ---- the engine ----

    def report(self, event: Event) -> None:
        """Into the engine; what it asks for in return has been dispatched when this returns."""
        self._beliefs = None
        self.counters["events"] += 1
        self.effects.report(event)
        self._beliefs = None
        self.after_report()

    def halt(self, kind: str, text: str, symbol: str = "") -> None:
        """Read-only, and an alarm; the same again only after a while, but then, too: a person may have resumed too early."""
        last = self._halted.get((kind, symbol))
        if last is None or self.now - last >= HALT_EVERY_S * NS:
            self._halted[kind, symbol] = self.now
            self.counters["halts"] += 1
            self.report(control_event(self.stamp(), Control.CONTROL_HALT))
        self.notice(Level.ALARM, kind, text, symbol)

    def forget_beliefs(self) -> None:
        self._beliefs = None

    def beliefs(self) -> dict[int, dict[str, Any]]:
        """The engine's state of each order of its open brackets, by id (Engine.orders)."""
        if self._beliefs is None:
            self._beliefs = {order["id"]: order for order in self.engine.orders()}
        return self._beliefs

    def belief(self, order: int) -> dict[str, Any] | None:
        return self.beliefs().get(order)

    def bracket(self, n: int) -> dict[str, Any]:
        return self.engine.bracket(n)

    def is_open(self, n: int) -> bool:
        """Whether the instrument has a bracket under way."""
        return int(self.bracket(n)["state"]) != 0

    def held(self, n: int) -> int:
        """Lots held by the engine's state, signed. A quantity that an ended bracket left unexplained does not count as held."""
        bracket = self.bracket(n)
        if not int(bracket["state"]):
            return 0
        return int(self.engine.instruments[n].lots(abs(bracket["held"]))) * (1 if bracket["held"] >= 0 else -1) * int(bracket["side"])

    def lots(self, n: int, qty: float) -> int:
        return int(self.engine.instruments[n].lots(qty))

    def number(self, n: int, role: Role) -> int:
        """Id under which an order without one of ours is reported for the instrument's present bracket."""
        return order_number(n, self.bracket(n)["sequence"], role)

    def touch(self, n: int) -> None:
        """Something happened to the instrument: a reading that began before says nothing about it."""
        self.touched_at[n] = self.now

    def ours(self, link_id: str) -> tuple[bool, int]:
        """(by its name ours, order id or -1 where no bracket of this run can have it)."""
        parsed = self.port.parse_link_id(link_id)
        if parsed is None:
            return False, -1
        run, order = parsed
        if run == self.settings.run:
            return True, order if 0 <= order >> 40 < len(self.symbols) and 1 <= order & 15 <= Role.ROLE_CLOSE else -1
        return bool(self.settings.name) and is_ours(run, self.settings.name), -1

    # ---- the ways out ----

    def ask(self, ask: Ask, handler: Handler, urgency: Urgency = Urgency.ASK, about: str = "", **more: Any) -> None:
        self.budget.submit(ask, handler, self.now, urgency, about, **more)

    def cancel_entry(self, order: int, link_id: str, about: str) -> None:
        """Cancel an entry of ours that rests, while the engine has not seen its end."""

        def wanted() -> bool:
            belief = self.belief(order)
            return belief is not None and belief["status"] != "ended"

        self.ask(
            self.port.cancel(self.symbols[instrument_of(order)], link_id),
            lambda answer: self.note_answer(self.port.result_of(answer, Asked.CANCEL), "order"),
            Urgency.SAVE,
            about,
            wanted=wanted,
        )

    @property
    def talks(self) -> bool:
        """Whether the venue has answered a question a moment ago: it is not down."""
        return self.talked is not None and self.now - self.talked < self.settings.ns(TALKED_S)

    def again_at(self, tries: int, asked: int) -> int:
        """When a question that was asked then and has failed so many times is asked again. Of a venue that answers others the wait for an answer that
        was lost counts as pause."""
        pause = self.settings.again_ns(tries, TALKING_PAUSE_S if self.talks else 5.0)
        return max(self.now, asked + pause) if self.talks else self.now + pause

    def timeout_s(self, tries: int) -> float:
        """For the answer to a question that has failed so many times. A venue that answers others in a known time has lost one that takes a few times
        as long; each later wait is longer, up to that for a venue of which nothing is known."""
        usual = self.settings.timeout_s(tries)
        if not self.talks or not self.round_trip:
            return usual
        quick = max(QUICK_S, ROUND_TRIPS * self.round_trip / self.settings.ns(1.0))
        return float(min(usual, quick * 1.6 ** max(0, min(tries, 16) - 1)))

    def answered(self, answer: Answer) -> None:
        """An answer has come: how long it took."""
        if answer.status and answer.received_ns > answer.sent_ns > 0:
            self.round_trip = max(answer.received_ns - answer.sent_ns, int(FADES * self.round_trip))

    def notice(self, level: Level, kind: str, text: str, symbol: str = "") -> None:
        """Always counted; sent at most every NOTICE_EVERY_S per kind and symbol unless it is news."""
        self.counters[f"notice {kind}"] += 1
        last, before = self._noticed.get((kind, symbol), (0, ""))
        if last and self.now - last < NOTICE_EVERY_S * NS and (level < Level.ALARM or before == text):
            return
        self._noticed[kind, symbol] = (self.now, text)
        self._noticed.move_to_end((kind, symbol))
        if len(self._noticed) > KINDS_MAX:
            self._noticed.popitem(last=False)
        self.effects.notice(Notice(level, kind, text, symbol))

    def note_answer(self, page: Page, weight: str) -> None:
        """Notes an answer of any kind: blocks the budget when the venue asks for a pause, counts refused times and fatal answers."""
        if page.ok:
            self.talked = self.now
        if page.outcome == Outcome.LATER and (page.wait_s > 0.0 or (page.code > 0 and not page.passing)):
            self.budget.block(self.now + self.settings.ns(page.wait_s or 1.0), weight)
            self.counters["rate limited"] += 1
        elif page.outcome == Outcome.CLOCK:
            self.clock_doubt = True  # a clock that was set makes every question fail until it is measured again
            self.counters["time stamps refused"] += 1
        elif page.outcome == Outcome.FATAL:
            self.counters["fatal answers"] += 1
            self.halt("rights", f"the venue rejects us permanently: {page.code} {page.text}. Check the API key and its rights; entries are halted")
