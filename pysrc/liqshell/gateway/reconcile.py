"""The venue's positions, orders, executions and stops against the engine's. Compared at the start, after every reconnect, on a period, and after
every inconsistency.

Executions and the ends of orders are facts, however old the answer. Absent orders and positions may be stale under high load: a difference has
effects only after readings that agree, without a report in between. A failed reading has no meaning; it never means "flat".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from liqcore.event import Gate, Role
from liqshell.gateway.account import AccountCheck
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.events import instrument_of, order_number, sequence_of
from liqshell.gateway.executions import MISSING, Epochs, Executions, unlisted
from liqshell.gateway.inflight import Stage
from liqshell.gateway.inquiry import LEARN_S, Inquiries
from liqshell.gateway.ownership import Ownership, ownership
from liqshell.gateway.reading import Reading
from liqshell.gateway.requests import Requests
from liqshell.gateway.stops import STOP_KINDS, Stops
from liqshell.venues.effects import Answer, Level
from liqshell.venues.outcome import Asked
from liqshell.venues.reports import ENDED, OrderState, Position

DAY_MS = 86_400_000
EPOCH_SLACK_MS = 1_500  # our clock may be so far from the venue's
AGREE_ENOUGH = 2  # readings that say the same
MISSING_ENOUGH = 4  # of a position that shrank and no execution says why
PARTLY_MAX = 4  # failures in a row after which a venue is no longer pressed, though it answers some of a reading
FOREIGN_MAX = 1_024
FOREIGN_AGAIN_S = 600.0  # between two alarms about the same position of another party
BACK_MAX_MS = 3_600_000  # the span of queried executions while a position has no known owner: one of ours may explain it late


@dataclass(slots=True)
class Difference:
    """Lots at the venue and by the engine, signed. acted: it was judged, and what follows from it was done. foreign: it is not ours. alarmed: when
    the latest alarm of it was."""

    venue: int
    belief: int
    readings: int
    since: int
    acted: bool = False
    foreign: bool = False
    alarmed: int = 0


@dataclass(eq=False)
class Reconciler:
    """private_ready(): whether the stream is up; without it readings are more frequent."""

    c: Context
    requests: Requests
    inquiries: Inquiries
    stops: Stops
    executions: Executions
    epochs: Epochs
    account: AccountCheck
    private_ready: Callable[[], bool]
    rounds: int = 0
    failures: int = 0  # in a row
    silent: int = 0  # those after which the venue is not pressed
    last_failure: str = ""
    reconciled_ms: int = 0  # the venue's time up to which everything is known to agree
    reconciled: int = 0  # the same on our clock; 0 = never in this life
    read_at: int | None = None  # when the latest whole reading began
    held: dict[int, int] = field(default_factory=dict)  # what the venue held by it: signed lots, none of them 0
    differences: dict[int, Difference] = field(default_factory=dict)
    _strays: dict[str, int] = field(default_factory=dict)  # orders that no bracket knows: in how many readings in a row
    _foreign: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _lost: set[int] = field(default_factory=set)  # instruments with one of our positions whose bracket is lost
    _reading: Reading | None = None
    _due: int | None = None
    _begun: int = 0  # the latest reading

    def start(self) -> None:
        """Begin; nothing is traded before a first whole reading agrees."""
        c = self.c
        venue_ms = c.venue_ns() // 1_000_000
        self.reconciled_ms = c.store.reconciled_ms()[0] if c.store is not None else 0
        self.executions.baseline_ms = self.reconciled_ms or venue_ms
        self.executions.funds_from_ms = 0 if self.reconciled_ms else venue_ms  # (later the engine itself knows what it has counted)
        self._due = c.now

    @property
    def agreed(self) -> bool:
        """No difference can still be explained: a difference belongs to another party, and its contract is read-only."""
        return all(found.foreign for found in self.differences.values())

    @property
    def foreign(self) -> dict[str, int]:
        """Contracts with a position that we did not open: signed lots that are not ours."""
        return {self.c.symbols[n]: found.venue - found.belief for n, found in self.differences.items() if found.foreign}

    def soon(self, pause_s: float = 0.0) -> None:
        """Something does not add up."""
        if self._reading is not None and not pause_s:
            self._reading.hurry()
        if self._due is not None:
            self._due = min(self._due, self.c.now + self.c.settings.ns(pause_s))

    def way_is_back(self) -> None:
        """Something was answered after something was not: what waits for its next try waits no more. A reading that is whole is not made again."""
        if self._reading is not None:
            self._reading.hurry()
        elif self.failures and self._due is not None:
            self._due = min(self._due, self.c.now)

    def reconnected(self) -> None:
        """The private stream is ready again: messages sent in the meantime are lost. Nothing read so far counts."""
        if self._reading is not None:  # one that is under way is not waited for
            self._reading.abandon()
            self._reading = None
        self._due = self.c.now if self._due is not None else None
        self.c.gates.close(Gate.GATE_RECONCILE, "not reconciled since the private stream came up", self.c.now)
        self.soon()

    def sweep(self) -> None:
        if self.inquiries.doubted:
            self.inquiries.doubted.clear()
            self.soon(0.2 * self.c.settings.recheck_s)
        due = self.due()
        if due is None or self.c.now < due:
            return
        if self._reading is not None:
            self._reading.sweep()
            return
        self._begun = self.c.now
        self._due = self._begun + self.c.settings.ns(self.c.settings.period_s)
        since = (
            self.reconciled_ms - int(self.c.settings.overlap_s * self.c.settings.patience * 1000)
            if self.reconciled_ms
            else self.c.venue_ns() // 1_000_000 - DAY_MS
        )
        since = min(since, self.executions.guessed.since_ms() or since)
        unknown = [(c_symbol, link) for c_symbol, link, n in self._entries() if not self.epochs.first_ms(n)]
        self._reading = Reading(self.c, since, unknown, self._read, self._positions, self._in_trouble, self.silent)
        self._reading.start()

    def _in_trouble(self, why: str) -> None:
        """The reading under way has met a question that was not answered: it is asked again, and nothing enters meanwhile."""
        self.c.gates.close(Gate.GATE_RECONCILE, f"the venue does not answer: {why}", self.c.now)

    def _entries(self) -> list[tuple[str, str, int]]:
        """Entries of the open brackets."""
        c = self.c
        return [(b["symbol"], c.port.link_id(b["id"]), b["instrument"]) for b in c.beliefs().values() if b["role"] == Role.ROLE_ENTRY]

    def due(self) -> int | None:
        if self._reading is not None:
            return self._reading.due()
        if self._due is None:
            return None
        # (after a failure the pause is what _read has set)
        return self._due if self.failures else min(self._due, self._begun + self.c.settings.ns(self._pace_s()))

    def _pace_s(self) -> float:
        """With an open position, a lost report (such as a cancelled stop) must not wait for the long period, because nothing else finds it."""
        c = self.c
        if not self.private_ready():
            return c.settings.blind_period_s
        return c.settings.held_period_s if any(c.held(n) for n in {b["instrument"] for b in c.beliefs().values()}) else c.settings.period_s

    def _positions(self, rows: list[Position]) -> None:
        """Takes the positions held before the rest of the answer has arrived and even if it never arrives."""
        for position in rows:
            n = self.c.index.get(position.symbol)
            if n is not None and position.index == 0 and position.qty > 0.0:
                self.stops.on_position(position)
                if position.stop_loss <= 0.0 and self.c.is_open(n):
                    self.stops.hurry(n)

    # ---- a reading is there ----

    def _read(self, reading: Reading) -> None:
        c = self.c
        if reading is not self._reading:
            return
        self._reading = None
        self.rounds += 1
        if reading.failed:
            self.failures += 1
            partly = reading.answered and self.failures <= PARTLY_MAX
            self.silent = 0 if partly else self.silent + 1
            self.last_failure = reading.failed
            c.counters["reconciles failed"] += 1
            c.gates.close(Gate.GATE_RECONCILE, f"the venue does not answer: {reading.failed}", c.now)
            c.notice(Level.WARNING, "reconcile", f"failed: {reading.failed}")
            longest = min(c.settings.period_s, c.settings.blind_period_s) if c.beliefs() else c.settings.period_s
            slow = c.settings.ns(min(longest, c.settings.recheck_s * 1.6 ** min(self.failures, 16)))
            self._due = c.again_at(self.failures, c.now) if partly else c.now + slow
            return
        self.failures = self.silent = 0
        rows = {c.index[p.symbol]: p for p in reading.positions if p.symbol in c.index and p.index == 0 and p.qty > 0.0}
        self.read_at, self.held = reading.began, {n: c.lots(n, row.qty) * row.side for n, row in rows.items()}
        self.account.on_positions(reading.positions)
        for state in reading.entries:
            self._learn_entry(state)
        for _, link, n in self._entries():
            if not self.epochs.first_ms(n):  # the venue does not know it: nothing before we asked for it is its
                _, order = c.ours(link)
                belief = c.belief(order)
                asked = belief["ts_asked"] if belief is not None else c.now
                self.epochs.opened(n, sequence_of(order), (asked + c.offset_ns) // 1_000_000 - EPOCH_SLACK_MS)
        for position in rows.values():
            self.stops.on_position(position)
        self._orders(reading, rows)
        for execution in sorted(reading.executions, key=lambda x: x.ts_ms):
            self.executions.on_execution(execution, listed=True)
        self._absent(reading)
        agreed = True
        for n in range(len(c.symbols)):
            agreed &= self._compare(n, rows.get(n), reading)
        self._conclude(reading, agreed)

    def _learn_entry(self, state: OrderState) -> None:
        _, order = self.c.ours(state.link_id)
        if order >= 0:
            n = instrument_of(order)
            self.epochs.opened(n, sequence_of(order), state.created_ms)
            self.executions.learn(state.order_id, order)
            self.requests.on_state(order, state, asked_at=self.c.now)

    def _conclude(self, reading: Reading, agreed: bool) -> None:
        c = self.c
        if not agreed:
            self.soon(c.settings.recheck_s)
            return
        since = min((found.since + c.offset_ns for found in self.differences.values()), default=0) // 1_000_000
        back_ms = max(since, reading.began_venue_ms - BACK_MAX_MS) if self.differences else reading.began_venue_ms
        self.reconciled_ms = max(self.reconciled_ms, back_ms)
        self.reconciled = c.now
        c.counters["reconciles"] += 1
        if c.store is not None:
            c.store.put(
                "reconciled",
                ts_ns=c.now,
                prefix=c.settings.run,
                venue_ms=self.reconciled_ms,
                execution_ms=self.executions.latest_ms,
                differences=len(self.differences),
                text=", ".join(self.foreign),
            )
        c.gates.open(Gate.GATE_RECONCILE)
        if self.account.ok:
            c.gates.open(Gate.GATE_START)

    # ---- orders ----

    def _orders(self, reading: Reading, rows: dict[int, Position]) -> None:
        """Every open order that the venue lists."""
        c = self.c
        strays: dict[str, int] = {}
        for state in reading.orders:
            n = c.index.get(state.symbol)
            if n is None or state.standing in ENDED:
                continue
            mine, order = c.ours(state.link_id)
            if state.stop_kind in STOP_KINDS and not mine:
                self.stops.on_order(n, state)
                continue
            if order >= 0 and instrument_of(order) == n:
                self.executions.learn(state.order_id, order)
                belief = c.belief(order)
                if belief is not None and belief["status"] != "ended":
                    self.requests.on_state(order, state, asked_at=reading.began)
                    continue
            if mine:
                strays[state.order_id] = self._strays.get(state.order_id, 0) + 1
                self._stray(n, order, state, rows.get(n), strays[state.order_id])
            elif state.order_id not in self._foreign:
                self._foreign[state.order_id] = c.now
                if len(self._foreign) > FOREIGN_MAX:
                    self._foreign.popitem(last=False)
                c.counters["orders of others"] += 1
                c.notice(Level.WARNING, "foreign order", f"an order that is not ours: {state.link_id or state.order_id}", state.symbol)
        self._strays = strays

    def _stray(self, n: int, order: int, state: OrderState, row: Position | None, readings: int) -> None:
        """An order of ours, by its name, that no bracket under way knows. An entry must never fill; an exit may be all that a position has."""
        c = self.c
        entry = not state.reduce_only
        held = row is not None and row.side * state.side < 0
        if not entry and held and not c.is_open(n):
            c.notice(Level.WARNING, "exit kept", f"keeps exit order {state.link_id} of a lost bracket: it can only reduce", state.symbol)
            return
        if not entry and readings < AGREE_ENOUGH:
            self.soon(c.settings.recheck_s)
            return
        c.counters["strays cancelled"] += 1
        what = "entry" if entry else "exit"
        c.notice(Level.WARNING, "stray", f"{what} order {state.link_id} belongs to no open bracket: cancelled", state.symbol)

        def wanted() -> bool:
            belief = c.belief(order) if order >= 0 else None
            return belief is None or belief["status"] == "ended"

        def answered(answer: Answer) -> None:
            c.note_answer(c.port.result_of(answer, Asked.CANCEL), "order")
            self.soon(c.settings.recheck_s)

        c.ask(c.port.cancel(state.symbol, state.link_id), answered, Urgency.SAVE, f"cancel stray {state.link_id}", wanted=wanted)

    def _absent(self, reading: Reading) -> None:
        """Orders open by the engine that the list lacks: each is queried by its id."""
        c = self.c
        listed = {state.link_id for state in reading.orders}
        for order, belief in list(c.beliefs().items()):
            if belief["status"] == "ended" or belief["role"] == Role.ROLE_STOP or c.port.link_id(order) in listed:
                continue
            if c.touched_at.get(belief["instrument"], 0) >= reading.began or any(f.stage != Stage.UNKNOWN for f in self.requests.flights.of(order)):
                continue  # news on the way: its own timers ask
            self.inquiries.begin(order, self.requests.doubtable(order, belief), "not in the venue's list of open orders")

    # ---- positions ----

    def _compare(self, n: int, row: Position | None, reading: Reading) -> bool:
        """True if venue and engine agree on an instrument by this reading."""
        c = self.c
        venue = c.lots(n, row.qty) * row.side if row is not None else 0
        belief = c.held(n)
        if venue == belief:
            if self.differences.pop(n, None) is not None:
                c.notice(Level.INFO, "agreed", f"positions agree again at {_signed(c.engine.instruments[n], venue)}", c.symbols[n])
            c.gates.open(Gate.GATE_RECONCILE, n)
            self.executions.forget_strays(n)
            self._lost.discard(n)
            if venue and row is not None and row.stop_loss <= 0.0:
                self.stops.hurry(n)
            return True
        found = self.differences.get(n)
        foreign = found is not None and found.foreign  # and stays so, however much of it there is
        if c.touched_at.get(n, 0) >= reading.began or self._is_stale(n, row):
            return foreign  # things moved while we read
        if self.inquiries.about(n) or any(f.stage == Stage.WAITING for f in self.requests.flights.all() if f.instrument == n):
            return foreign  # an order in doubt may explain it
        if found is None or (found.venue, found.belief) != (venue, belief):
            found = self.differences[n] = Difference(venue, belief, 0, c.now, foreign=foreign)
        found.readings += 1
        c.counters["differences"] += found.readings == 1
        unit = c.engine.instruments[n]
        c.gates.close(Gate.GATE_RECONCILE, f"the venue holds {_signed(unit, venue)}, our books show {_signed(unit, belief)}", c.now, n)
        if found.readings >= AGREE_ENOUGH:
            self._act(n, found, row, reading)
        return found.foreign

    def _is_stale(self, n: int, row: Position | None) -> bool:
        """Older than a recent report of the stream about this position: no answer is later than that."""
        known = self.stops.positions.get(n)
        if known is None or row is None or known.updated_ms <= row.updated_ms:
            return False
        return self.c.venue_ns() < known.updated_ms * 1_000_000 + self.c.settings.ns(self.c.settings.stale_s)

    def _act(self, n: int, found: Difference, row: Position | None, reading: Reading) -> None:
        c = self.c
        self.executions.match_strays(n)
        if c.held(n) == found.venue or (not found.venue and self.executions.delivered(n)):
            return
        if ownership(found.venue, found.belief, int(c.bracket(n)["side"])) == Ownership.LESS:
            # answers may be late; a refused reduction is not: the matching engine itself says that there is nothing
            wait_s = 5.0 * c.settings.recheck_s if self.requests.flat.get(n, 0) >= found.since else 2.0 * c.settings.stale_s
            if not found.acted and found.readings >= MISSING_ENOUGH and c.now >= found.since + c.settings.ns(wait_s):
                found.acted = True
                self._reduced(n, found, row)
            elif found.acted:
                c.notice(
                    Level.ALARM,
                    "position gone",
                    f"our books show {_signed(c.engine.instruments[n], found.belief)}, the venue holds "
                    f"{_signed(c.engine.instruments[n], found.venue)}, and no execution explains the difference",
                    c.symbols[n],
                )
            return
        if row is not None and row.stop_loss <= 0.0:
            self._protect(n, row, reading)
        if not found.foreign and (mine := self._partly_filled(n, found, reading)) is not None:
            order, executed = mine
            if c.now < found.since + c.settings.ns(LEARN_S) or self.executions.by_order(order, 0.0, executed):
                self.soon(c.settings.recheck_s)
                return
        self._foreign_position(n, found, reading)

    def _partly_filled(self, n: int, found: Difference, reading: Reading) -> tuple[int, float] | None:
        """Our entry and its executed quantity, if its fills explain the whole surplus: then the surplus is ours."""
        c = self.c
        for state in reading.orders:
            _, order = c.ours(state.link_id)
            belief = c.belief(order) if order >= 0 and instrument_of(order) == n and order & 15 == Role.ROLE_ENTRY else None
            if (
                belief is not None
                and belief["status"] != "ended"
                and found.venue - found.belief == state.side * (c.lots(n, state.executed) - c.lots(n, belief["filled"]))
            ):
                return order, state.executed
        return None

    def _foreign_position(self, n: int, found: Difference, reading: Reading) -> None:
        """More than we opened: the contract is read-only until it is gone or adopted; everything else trades. If this program's records of the
        account are lost, other losses are unknown: then no entry is sent until the operator resumes."""
        c, unit = self.c, self.c.engine.instruments[n]
        found.foreign = True
        lost = any(c.ours(link)[0] and c.ours(link)[1] < 0 for link in self._names(c.symbols[n], reading))
        if lost and not found.acted:
            c.halt(
                "foreign position",
                f"the venue holds {_signed(unit, found.venue)}, of which {_signed(unit, found.belief)} is ours; the state "
                "folder of this name that opened it is lost. No entries until the positions agree and a person resumes",
                c.symbols[n],
            )
        elif not found.acted or c.now >= found.alarmed + c.settings.ns(FOREIGN_AGAIN_S):
            c.notice(
                Level.ALARM,
                "foreign position",
                f"the venue holds {_signed(unit, found.venue)}, of which {_signed(unit, found.belief)} is "
                "ours: another party trades this contract. It is read-only until that position is closed, or adopted by a start with --adopt "
                f"{c.symbols[n]}; the others continue",
                c.symbols[n],
            )
        else:
            return
        found.acted, found.alarmed = True, c.now

    def _reduced(self, n: int, found: Difference, row: Position | None) -> None:
        """The position is smaller for no known reason: the engine receives an outside reduction at the mark."""
        c = self.c
        known = row or self.stops.positions.get(n)
        price = (known.mark or known.entry) if known is not None else 0.0
        price = price or self.stops.wanted_ticks(n) * float(c.engine.instruments[n].tick_size)
        lots = abs(found.belief) - abs(found.venue)
        sequence = c.bracket(n)["sequence"]
        side, qty, ts_ms = -1 if found.belief > 0 else 1, c.engine.instruments[n].qty(lots), c.venue_ns() // 1_000_000
        name = f"missing-{c.symbols[n]}-{sequence}-{found.belief}-{found.venue}-{found.since}"
        x = unlisted(name, c.symbols[n], side, price, qty, 0.0, MISSING, ts_ms)
        c.counters["reductions without execution"] += 1
        self.executions.guessed.book(n, x, max(self.epochs.first_ms(n), self.reconciled_ms - int(c.settings.overlap_s * 1000)))
        self.executions.report(n, x, order_number(n, sequence, Role.ROLE_OUTSIDE))

    @staticmethod
    def _names(symbol: str, reading: Reading) -> list[str]:
        """Ids of what was ordered and executed of a contract."""
        return [o.link_id for o in reading.orders if o.symbol == symbol] + [x.link_id for x in reading.executions if x.symbol == symbol]

    def _protect(self, n: int, row: Position, reading: Reading) -> None:
        """A position that the engine cannot explain, without a stop. Ours by name: it gets one. Another party's position is not touched."""
        c = self.c
        if c.is_open(n) and row.side == c.bracket(n)["side"]:
            self.stops.hurry(n)  # the stop is the whole position's
            return
        if n not in self._lost and not any(c.ours(link)[0] for link in self._names(row.symbol, reading)):
            return
        self._lost.add(n)
        unit = c.engine.instruments[n]
        price = (row.mark or row.entry) * (1.0 - row.side * c.settings.rescue_stop)
        if price <= 0.0:  # nothing to measure from: the next reading may have it
            c.notice(Level.ALARM, "lost bracket", f"{row.qty:g} of a lost bracket of ours has no stop and no known price", row.symbol)
            self.soon(c.settings.recheck_s)
            return
        text = unit.price_text(unit.ticks(price))
        c.counters["stops of lost brackets"] += 1
        c.notice(Level.ALARM, "lost bracket", f"{row.qty:g} of a lost bracket of ours has no stop: one is placed at {text}", row.symbol)

        def answered(answer: Answer) -> None:
            page = c.port.result_of(answer, Asked.STOP)
            c.note_answer(page, "setting")
            if not page.ok:
                c.notice(Level.ALARM, "stop not placed", f"{page.code} {page.text}", row.symbol)
            self.soon(c.settings.recheck_s)

        c.ask(c.port.set_stop(row.symbol, text), answered, Urgency.SAVE, f"stop of {row.symbol}")


def _signed(unit: object, lots: int) -> str:
    return f"{unit.qty(lots):g}" if lots >= 0 else f"-{unit.qty(-lots):g}"  # type: ignore[attr-defined]
