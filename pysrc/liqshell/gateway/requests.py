"""The life of order requests between engine and venue: sent, answered, lost, sent another way, found again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from liqcore.event import Action, Gate, OrderStatus, Reason, Role
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.events import order_event, state_event
from liqshell.gateway.inflight import Flight, Flights, Stage
from liqshell.gateway.inquiry import Inquiries
from liqshell.gateway.settings import MS
from liqshell.gateway.stops import Stops
from liqshell.venues.effects import Answer, Level
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import ENDED, OrderReply, OrderState

SENT, REFUSED = 1, 2  # liqshell.run.dispatch.Fate
BUDGET, DOUBT = 1, 4  # liqshell.run.dispatch.Why
OLD_REJECT_S = 2.0  # a post-only reject older than that is no reason for another try: as of events, see Risk
STUCK_S = 10.0  # an exit that cannot be sent for so long is an alarm
AGAIN_S = 1.0  # what waits for REST in vain tries the socket so often
TRIES_MAX = 5  # of one request that the venue definitely did not take
_ACTIONS = {int(Action.ACTION_CREATE): "create", int(Action.ACTION_AMEND): "amend", int(Action.ACTION_CANCEL): "cancel"}


class Requests:
    """dispatch: see Gateway."""

    def __init__(self, context: Context, dispatch: Any, flights: Flights, inquiries: Inquiries, stops: Stops) -> None:
        self.c = context
        self.dispatch = dispatch
        self.flights = flights
        self.inquiries = inquiries
        self.stops = stops
        self.held_back: deque[tuple[Any, int]] = deque()  # (sent, not before) of what the last hop had no room for
        self.flat: dict[int, int] = {}  # instrument -> when the venue last said that there is nothing to reduce
        self._seen: dict[int, int] = {}  # order -> when it was last known to be alive
        self.on_named: Callable[[str, int], None] = lambda order_id, order: None  # the venue's id of one of our orders
        self.contract_doubt = False  # a contract was refused: look at what is listed

    # ---- what Dispatch did ----

    def on_sent(self, sent: Any) -> None:
        """One request left the engine."""
        c = self.c
        c.touch(sent.instrument)
        self._keep(sent)
        if sent.fate == REFUSED:
            c.counters["refused by guard"] += 1
            c.notice(
                Level.WARNING,
                "guard",
                f"the guard refused to {_ACTIONS.get(sent.action, '?')} {sent.id:#x}: {sent.reason.name}",
                c.symbols[sent.instrument],
            )
            self._refuse(sent.id, sent.action, sent.reason)
            return
        if sent.fate == SENT:
            flight = self._fly(sent, Stage.WAITING, by_socket=True)
            if sent.why == DOUBT:
                self.lose(flight, "the socket failed during the send")
            return
        if sent.id & 15 == Role.ROLE_STOP:
            self.stops.move(sent)
        elif sent.why == BUDGET:
            self.held_back.append((sent, c.now + c.settings.ns(0.1)))
        else:
            self._by_rest(sent)

    def _keep(self, sent: Any) -> None:
        if self.c.store is None:
            return
        instrument = self.c.engine.instruments[sent.instrument]
        self.c.store.put(
            "orders",
            ts_ns=sent.ts,
            prefix=self.c.settings.run,
            id=sent.id,
            symbol=instrument.symbol,
            action=_ACTIONS.get(sent.action, "?"),
            type=str(int(sent.type)),
            side=sent.side,
            price=instrument.price_text(sent.price) if sent.price else "",
            qty=instrument.qty_text(sent.qty),
            stop=instrument.price_text(sent.stop) if sent.stop else "",
            flags=sent.flags,
            fate=str(int(sent.fate)),
            reason=str(int(sent.why)),
        )

    def _fly(self, sent: Any, stage: Stage, *, by_socket: bool) -> Flight:
        flight = Flight(sent.id, int(sent.action), sent.cause, sent, sent.ts, self.c.expiry(sent.ts), stage, by_socket)
        self.flights.add(flight)
        return flight

    def retry_held_back(self) -> None:
        """Sends the requests again that the last hop had no room for, through the same checks."""
        c = self.c
        for _ in range(len(self.held_back)):
            sent, due = self.held_back.popleft()
            if not self.wanted(sent.id, sent.action):
                continue
            if self._is_stale_entry(sent):
                self._refuse(sent.id, sent.action, Reason.NOT_READY)
            elif c.now < due:
                self.held_back.append((sent, due))
            else:
                self.on_sent(self.dispatch.again(sent, c.now))

    def _is_stale_entry(self, sent: Any) -> bool:
        """An entry that waited too long, or one of whose gates has closed while it waited."""
        entry = sent.action == Action.ACTION_CREATE and sent.id & 15 == Role.ROLE_ENTRY
        late = self.c.now > sent.decided + self.c.settings.ns(self.c.settings.entry_age_s)
        return entry and (late or bool(self.c.engine.gates(sent.instrument)))

    def wanted(self, order: int, action: int) -> bool:
        """Whether the engine still waits for this request."""
        belief = self.c.belief(order)
        if belief is None:
            return False
        if action == Action.ACTION_CREATE:
            return bool(belief["status"] == "sent")
        return belief["status"] in ("sent", "live") and belief["asked"] == _ACTIONS[action]

    # ---- the second way ----

    def _by_rest(self, sent: Any, tries: int = 0) -> None:
        """Cancels and exits as soon as there is room; an entry now or never."""
        c = self.c
        ask = c.port.order(sent)
        if ask is None:
            c.counters["no form"] += 1
            self._refuse(sent.id, sent.action, Reason.END_VENUE)
            return
        flight = self._fly(sent, Stage.QUEUED, by_socket=False)
        flight.tries = tries

        def on_sent(now: int) -> None:
            flight.stage, flight.ts, flight.expires = Stage.WAITING, now, self.c.expiry(now)

        def current() -> bool:  # else it has gone another way
            return self.flights.get(flight.id, flight.action) is flight and self.wanted(flight.id, flight.action)

        def on_dropped() -> None:
            if current():
                self.flights.drop(flight)
                self._refuse(flight.id, flight.action, Reason.NOT_READY)
            self.flights.drop(flight)

        flight.queued = c.now
        c.counters["orders by rest"] += 1
        entry = flight.is_entry
        c.ask(
            ask,
            lambda answer: self.on_result(flight, answer),
            Urgency.ENTER if entry else Urgency.SAVE,
            f"{_ACTIONS[flight.action]} {sent.id:#x}",
            wanted=current,
            until=sent.decided + c.settings.ns(c.settings.entry_age_s) if entry else 0,
            on_sent=on_sent,
            on_dropped=on_dropped,
        )

    def leave_rest(self) -> None:
        """REST is to be left alone for minutes, and the order socket is up: what waits for REST goes that way (an entry only while the last hop
        finds it young enough). None of it was sent."""
        for flight in self.flights.all():
            if flight.stage == Stage.QUEUED and self.c.now >= flight.queued + self.c.settings.ns(AGAIN_S):
                self.flights.drop(flight)
                if self.wanted(flight.id, flight.action):
                    self.c.counters["orders back by socket"] += 1
                    self.on_sent(self.dispatch.again(flight.sent, self.c.now))

    def on_result(self, flight: Flight, answer: Answer) -> None:
        """The REST answer to an order request."""
        page = self.c.port.result_of(answer, Asked(flight.action))
        self.c.note_answer(page, "order")
        if flight.action == Action.ACTION_CREATE and page.ok:
            self.on_named(page.order_id, flight.id)
        self.interpret_reply(flight, page.outcome, page.code, page.text, page.wait_s)

    # ---- replies of the order socket ----

    def on_reply(self, reply: OrderReply) -> None:
        """One reply. It is matched by request id, else by order, else only where there is no doubt whose it is."""
        c = self.c
        key = c.port.parse_request_id(reply.request_id)
        if key is not None:
            flight = self.flights.get(key[2], int(key[0]))
            if flight is None or (flight.cause and flight.cause != key[1]):
                c.counters["replies too late"] += 1
                return
        else:
            candidates = self.flights.waiting(by_socket=True)
            late = any(f.stage == Stage.UNKNOWN and f.by_socket and f.cause for f in self.flights.all())  # whose reply may still come
            parsed = c.port.parse_link_id(reply.link_id)
            if parsed is not None:
                candidates, late = [f for f in candidates if f.id == parsed[1]], False
            if len(candidates) != 1 or late:
                c.counters["replies without an owner"] += 1
                for flight in candidates:
                    self.lose(flight, f"a reply that names no request: {reply.code} {reply.message}")
                return
            flight = candidates[0]
        if flight.stage not in (Stage.WAITING, Stage.UNKNOWN):
            c.counters["replies twice"] += 1
            return
        named = c.port.parse_link_id(reply.link_id)
        if flight.action == Action.ACTION_CREATE and reply.code == 0 and (named is None or named[1] == flight.id):
            self.on_named(reply.order_id, flight.id)
        wait_s = max(0.0, min(60.0, reply.reset_ms / 1e3 - c.venue_ns() / 1e9)) if reply.reset_ms else 0.0
        self.interpret_reply(flight, c.port.outcome(reply, Asked(flight.action)), reply.code, reply.message, wait_s)

    def interpret_reply(self, flight: Flight, outcome: Outcome, code: int, text: str, wait_s: float = 0.0) -> None:
        """Translates a definite or indefinite answer to a request into the engine's report."""
        c = self.c
        symbol = c.symbols[flight.instrument]
        c.touch(flight.instrument)
        if outcome == Outcome.ACCEPTED:
            flight.stage, flight.accepted = Stage.ACCEPTED, c.now
        elif outcome == Outcome.UNKNOWN:
            self.lose(flight, f"{code} {text}")
        elif outcome in (Outcome.GONE, Outcome.LANDED) or (outcome == Outcome.DONE and flight.action != Action.ACTION_CREATE):
            flight.stage = Stage.UNKNOWN
            self.inquiries.begin(flight.id, self.decidable(flight), f"{code} {text}")
        elif outcome == Outcome.LATER:
            self._later(flight, f"{code} {text}", wait_s)
        else:
            # REJECTED, REPRICE, CLOCK, HALT_SYMBOL, FATAL, and an exit that finds nothing left to reduce
            c.counters[f"rejected {code}"] += 1
            self.flights.drop(flight)
            if not self.flights.of(flight.id):
                self.inquiries.end(flight.id)
            reason = Reason.END_REDUCE_ONLY if outcome == Outcome.DONE else Reason.END_VENUE
            self._refuse(flight.id, flight.action, reason)
            self._beyond(flight, outcome, code, text, symbol)

    def _beyond(self, flight: Flight, outcome: Outcome, code: int, text: str, symbol: str) -> None:
        """Acts on a definite refusal that concerns more than the request: clock, contract, account."""
        c = self.c
        what = f"{_ACTIONS[flight.action]} {flight.id:#x}: {code} {text}"
        if outcome == Outcome.CLOCK:
            c.clock_doubt = True
            c.notice(Level.WARNING, "clock", f"the venue rejected our time stamp; {what}", symbol)
        elif outcome == Outcome.HALT_SYMBOL:
            self.contract_doubt = True
            c.gates.close(Gate.GATE_SYMBOL, f"{code} {text}", c.now, flight.instrument)
            c.notice(Level.WARNING, "symbol", f"the venue accepts no such orders at present; {what}", symbol)
        elif outcome == Outcome.FATAL:
            c.halt("rights", f"the venue rejects us permanently; {what}. Check the API key and its rights; entries are halted", symbol)
        elif outcome == Outcome.DONE:
            self.flat[flight.instrument] = c.now
            self.inquiries.doubt_position(flight.instrument)
        else:
            c.notice(Level.INFO, "rejected", what, symbol)

    def _later(self, flight: Flight, text: str, wait_s: float) -> None:
        """Definitely not taken, because of the pace. An entry is never sent again; a protective order is, if it is still wanted."""
        c = self.c
        self.flights.drop(flight)
        pause = c.settings.ns(wait_s or 0.2 * 2**flight.tries)
        c.budget.block(c.now + pause, "order")
        c.counters["rate limited"] += 1
        c.notice(Level.WARNING, "rate", text, c.symbols[flight.instrument])
        if flight.is_entry or flight.tries >= TRIES_MAX or flight.sent is None:
            self._refuse(flight.id, flight.action, Reason.END_VENUE)
        else:
            self._by_rest(flight.sent, flight.tries + 1)

    def _refuse(self, order: int, action: int, reason: int) -> None:
        """Report to the engine that a request was definitely not carried out."""
        status = OrderStatus.ORDER_REJECTED if action == Action.ACTION_CREATE else OrderStatus.ORDER_REFUSED
        self.c.report(order_event(self.c.stamp(), self.c.venue_ns(), order, status, reason))

    # ---- outcomes without a report ----

    def lose(self, flight: Flight, why: str) -> None:
        """The outcome of a request is unknown, from now until the venue has been asked."""
        if flight.stage == Stage.UNKNOWN:
            return
        c = self.c
        flight.stage = Stage.UNKNOWN
        c.counters["unknown"] += 1
        c.notice(Level.WARNING, "unknown", f"outcome of {_ACTIONS[flight.action]} {flight.id:#x} unknown: {why}", c.symbols[flight.instrument])
        self.inquiries.begin(flight.id, self.decidable(flight), why, hard=True)

    def lose_all(self, why: str) -> None:
        """The order socket is gone: what was under way on it may have arrived or not."""
        for flight in self.flights.waiting(by_socket=True):
            self.lose(flight, why)

    def sweep(self) -> None:
        """Compare the engine's pending requests with those under way, and query the rest."""
        c, s = self.c, self.c.settings
        for flight in self.flights.all():
            if flight.stage == Stage.QUEUED:
                if not flight.is_entry and c.now >= flight.queued + s.ns(STUCK_S):
                    c.notice(
                        Level.ALARM,
                        "unresolved",
                        f"order {flight.id:#x} has waited for more than {STUCK_S:g} s: the order socket is down, and REST is paused",
                        c.symbols[flight.instrument],
                    )
                continue
            if not self.wanted(flight.id, flight.action):
                if c.now > flight.expires:
                    self.flights.drop(flight)
            elif flight.stage == Stage.WAITING and c.now >= flight.ts + s.ns(s.answer_s):
                self.lose(flight, "no reply in time")
            elif flight.stage == Stage.ACCEPTED and c.now >= flight.accepted + s.ns(s.confirm_s):
                self.inquiries.begin(flight.id, self.decidable(flight), "accepted, but no report followed")
        for order in [order for order in self._seen if order not in c.beliefs()]:
            del self._seen[order]
        waiting = {sent.id for sent, _ in self.held_back}
        for order, belief in list(c.beliefs().items()):
            if belief["role"] == Role.ROLE_STOP or order in waiting or belief["status"] == "ended":
                continue
            action = 1 if belief["status"] == "sent" else {"amend": 2, "cancel": 3}.get(belief["asked"], 0)
            if belief["asked"] == "cancel":
                action = 3
            if action and self.flights.get(order, action) is None and c.now >= belief["ts_asked"] + s.ns(s.answer_s):
                # of an earlier process, or its reply came and the engine does not know it: no one waits for it
                self.flights.add(Flight(order, action, 0, None, belief["ts_asked"], self.c.expiry(belief["ts_asked"]), Stage.UNKNOWN))
                self.inquiries.begin(order, self.c.expiry(belief["ts_asked"]), "sent by an earlier process, or forgotten", hard=True)
            elif belief["unknown"] and not action:
                self.inquiries.begin(order, c.now, "the engine does not know the outcome")
            elif (
                belief["status"] == "live"
                and belief["role"] == Role.ROLE_CLOSE
                and c.now >= belief["ts_asked"] + s.ns(s.confirm_s)
                and order not in self.inquiries
            ):  # it stands at every look: begun anew at each, its asking would not end
                # filled in part: the rest has ended by now, and without a position the next reading is half a minute away
                self.inquiries.begin(order, self.doubtable(order, belief), "a market order does not rest")

    # ---- what the venue says of an order ----

    def on_state(self, order: int, state: OrderState, *, asked_at: int = 0) -> None:
        """An order of a bracket under way as the venue has it: by stream, or in an answer to a question asked at asked_at (0 = stream)."""
        c = self.c
        belief = c.belief(order)
        if belief is None:
            return
        ended = state.standing in ENDED
        if ended:
            for flight in self.flights.of(order):
                self.flights.drop(flight)
            self.inquiries.end(order)
            if state.executed > 0.0:
                self.inquiries.prices[order] = state.average or state.price
            reason = c.port.reason(state)
            age = c.venue_ns() - state.updated_ms * MS
            if reason == Reason.END_POST_ONLY and order & 15 == Role.ROLE_ENTRY and age > c.settings.ns(OLD_REJECT_S):
                c.counters["old rejects"] += 1  # the market has moved on: the engine must not answer it with a new price
                reason = Reason.END_VENUE
            c.report(state_event(c.stamp(), order, state, reason, created=belief["status"] != "sent" or state.executed > 0))
            return
        if order & 15 == Role.ROLE_ENTRY:
            self.stops.on_entry(order, state)
        if not asked_at:
            self._seen[order] = c.now
        create = self.flights.get(order, Action.ACTION_CREATE)
        if create is not None:
            self.flights.drop(create)
        amend, cancel = self.flights.get(order, Action.ACTION_AMEND), self.flights.get(order, Action.ACTION_CANCEL)
        verdict = OrderStatus.ORDER_NEW
        if belief["asked"] == "amend" and not self._is_as_wanted(belief, state):
            # it may still be on its way: only what is asked after that time can tell
            if not (asked_at and (amend is None or asked_at > amend.expires)):
                if belief["status"] == "sent":
                    c.counters["amend before create"] += 1
                return
            verdict = OrderStatus.ORDER_REFUSED
        elif belief["asked"] == "cancel":
            if not (asked_at and (cancel is None or asked_at > cancel.ts + c.settings.ns(1.0))):
                if belief["status"] == "sent":
                    c.report(state_event(c.stamp(), order, state, Reason.OK, created=True))
                return
            verdict = OrderStatus.ORDER_REFUSED  # a cancel may be repeated: the engine will, at a falling rate
        for done in (amend, cancel):
            if done is not None:
                self.flights.drop(done)
        self.inquiries.end(order)
        if verdict == OrderStatus.ORDER_REFUSED:
            self._refuse(order, Action.ACTION_AMEND, Reason.END_VENUE)
        elif belief["status"] != "live" or belief["asked"] or belief["unknown"]:
            c.report(state_event(c.stamp(), order, state, Reason.OK, created=True))

    def _is_as_wanted(self, belief: dict[str, Any], state: OrderState) -> bool:
        instrument = self.c.engine.instruments[belief["instrument"]]
        same_price = not state.price or instrument.ticks(state.price) == instrument.ticks(belief["price"])
        return bool(same_price and instrument.lots(state.qty) == instrument.lots(belief["qty"]))

    def doubtable(self, order: int, belief: dict[str, Any]) -> int:
        """From when on an answer that does not have the order may say something. Answers are late in a storm; what was alive a moment ago is."""
        if belief["status"] == "sent":
            return self.c.expiry(belief["ts_asked"])
        alive = max(self.c.now, self._seen.get(order, belief["ts_asked"]) + self.c.settings.ns(self.c.settings.stale_s))
        return max(alive, self.c.expiry(belief["ts_asked"])) if belief["asked"] else alive

    def decidable(self, flight: Flight) -> int:
        """The same of a request under way. What the venue took, or showed a moment ago, is rather missing from an answer that is late than not
        there. (A close may be sent twice: it can only reduce.)"""
        known = max(flight.accepted if flight.action == Action.ACTION_CREATE else 0, self._seen.get(flight.id, 0))
        if not known or flight.role == Role.ROLE_CLOSE:
            return flight.expires
        return max(flight.expires, known + self.c.settings.ns(self.c.settings.stale_s))

    def on_absent(self, order: int, venue_ns: int, executed: float = 0.0) -> None:
        """The venue has been asked twice, after the last moment at which it could have been taken: there is no such order, or (executed > 0)
        there was one, and the venue has forgotten it since."""
        c = self.c
        belief = c.belief(order)
        for flight in self.flights.of(order):
            self.flights.drop(flight)
        if belief is None:
            return
        c.counters["absent"] += 1
        created = belief["status"] != "sent" or executed > 0.0
        c.notice(
            Level.WARNING,
            "absent",
            f"order {order:#x} {'is gone' if created else 'never arrived'}: the venue does not know it"
            + (f" but that {executed:g} of it were executed" if executed else ""),
            c.symbols[belief["instrument"]],
        )
        whole = executed >= belief["qty"] * (1.0 - 1e-9)
        status = OrderStatus.ORDER_DONE if whole else OrderStatus.ORDER_CANCELLED if created else OrderStatus.ORDER_REJECTED
        c.report(order_event(c.stamp(), venue_ns, order, status, Reason.OK if whole else Reason.END_VENUE, executed=executed))
