"""The gateway: keeps the engine's state of its orders equal to the venue's.

Plain Python, sans-I/O, deterministic: every input is a method call with the time, every wish an Effect. Unknown states are queried. An answer counts
only when it can no longer change, and no entry is sent until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from liqcore.event import Action, Gate, Role
from liqshell.gateway.account import AccountCheck
from liqshell.gateway.channels import make_links
from liqshell.gateway.context import Context
from liqshell.gateway.events import instrument_of, sequence_of
from liqshell.gateway.executions import Epochs, Executions
from liqshell.gateway.inflight import Flights
from liqshell.gateway.inquiry import Inquiries
from liqshell.gateway.reconcile import EPOCH_SLACK_MS, Reconciler
from liqshell.gateway.requests import Requests
from liqshell.gateway.settings import MS, Settings
from liqshell.gateway.stops import STOP_KINDS, Stops
from liqshell.gateway.watch import ClockWatch, ContractWatch
from liqshell.venues.effects import Answer, Call, Channel, Effects, Level
from liqshell.venues.order_port import ChannelNotice, Message, NoticeKind, Port
from liqshell.venues.reports import ENDED, TRADES, Execution, OrderReply, OrderState, Position, Wallet

SWEEP_S = 0.1  # while an order or a position is open: how often beliefs are compared with what is under way
ROUNDS_MAX = 1_000  # of dispatches that answer dispatches within one input
GIVE_UP_S = 120.0  # a call that the driver never answered


class Gateway:
    """engine: liqcore.Engine, restored where there was something to restore. dispatch: anything with take() -> list of Sent and
    again(sent, now) -> Sent (liqshell.run.dispatch.Dispatch), or None where the driver hands every Sent to on_sent. store: liqshell.state.Store or
    anything with its put() and reconciled_ms(), or None. port: the venue's language (venues.order_port.Port). effects: the driver.

    Inputs, each with the present time in ns (never going back). The driver calls them from one thread, never from within an Effect:

        start(now)                      once, after the engine is restored; asks for both channels by Effects.connect
        collect(now)                    soon after the engine dispatched something between inputs (Dispatch.on_waiting says when)
        on_sent(sent, now)              the same where there is no Dispatch to take from
        on_frame(channel, raw, now)     one websocket message of the account's channels
        on_answer(call, answer, now)    the outcome of an Effects.call, exactly once
        on_channel(channel, up, now)    connected (not yet authenticated) or lost
        on_time(now)                    at next_deadline, or any time

    None of them raises for anything that a venue can say.
    """

    def __init__(self, engine: Any, dispatch: Any, store: Any, port: Port, settings: Settings, effects: Effects) -> None:
        self.context = c = Context(engine, store, port, settings, effects)
        self.dispatch = dispatch
        self.flights = Flights()
        self.epochs = Epochs()
        self.inquiries = Inquiries(c)
        self.stops = Stops(c, self.epochs)
        self.executions = Executions(c, self.epochs, self.inquiries)
        self.requests = Requests(c, dispatch, self.flights, self.inquiries, self.stops)
        self.account = AccountCheck(c)
        self.links = make_links(c)
        self.reconciler = Reconciler(
            c, self.requests, self.inquiries, self.stops, self.executions, self.epochs, self.account, lambda: self.links[Channel.PRIVATE].ready
        )
        self.clock = ClockWatch(c, self._on_offset)
        self.contracts = ContractWatch(c)
        self.wallet: Wallet | None = None
        self._sent: deque[Any] = deque()
        self._started = False
        self._sweep_due: int | None = None
        self._outage = False  # the last answer said that REST does not work
        c.after_report = self._take
        self.inquiries.on_state = lambda order, state, asked_at: self._on_order(state, asked_at=asked_at)
        self.inquiries.on_absent = self.requests.on_absent
        self.inquiries.on_execution = lambda execution: self.executions.on_execution(execution, listed=True)
        self.inquiries.is_odd = lambda execution: execution.kind not in TRADES
        self.inquiries.book = self.executions.by_order
        self.executions.positions = self.stops.positions
        self.requests.on_named = self.executions.learn

    # ---- inputs ----

    def start(self, now: int) -> None:
        """Close the gates, connect, ask."""
        c = self.context
        c.now = now
        c.gates.start(now, clock=c.settings.watch_clock, symbols=len(c.symbols))
        self._started = True
        self.clock.start()
        self.contracts.start()
        self.account.start()
        self.reconciler.start()
        for channel, link in self.links.items():
            if channel == Channel.PRIVATE or c.port.has_order_socket:
                link.wanted()
        if not c.port.has_order_socket:
            c.gates.open(Gate.GATE_ORDERS)
        self._process()

    def on_sent(self, sent: Any, now: int) -> None:
        """Takes the last hop's result for one request."""
        self.context.now = max(now, self.context.now)
        self.context.forget_beliefs()
        self._sent.append(sent)
        self._process()

    def collect(self, now: int) -> None:
        """Take note of what Dispatch did."""
        self.context.now = max(now, self.context.now)
        self.context.forget_beliefs()
        self._process()

    def on_frame(self, channel: Channel, raw: bytes, now: int) -> None:
        """One message."""
        c = self._enter(now)
        for message in c.port.read(channel, raw):
            self._on_message(channel, message)
            self._drain()
        self._process()

    def on_answer(self, call: Call, answer: Answer, now: int) -> None:
        """The outcome of a REST request."""
        c = self._enter(now)
        handler = c.budget.answered(call)
        c.answered(answer)
        if c.port.is_ban(answer):
            c.counters["banned"] += 1
            c.budget.ban(now)
            c.notice(
                Level.ALARM,
                "banned",
                "the venue refuses our address for a while (HTTP 403): no REST requests until then; orders continue by websocket",
            )
        elif answer.status:
            c.budget.unban()
        self._note_reachable(answer)
        if handler is None:
            c.counters["answers without a request"] += 1
        else:
            handler(answer)
        self._process()

    def on_channel(self, channel: Channel, up: bool, now: int) -> None:
        """A websocket was connected or lost."""
        self._enter(now)
        self.links[channel].on_channel(up)
        if channel == Channel.ORDERS:
            self.requests.lose_all("the order socket was lost")
        elif not up:
            self.reconciler.soon(self.context.settings.recheck_s)
        self._process()

    def on_time(self, now: int) -> None:
        """Time has passed."""
        c = self._enter(now)
        for handler in c.budget.given_up(now - c.settings.ns(GIVE_UP_S)):
            handler(Answer(0, why="the driver never answered"))
        self._process()

    # ---- outputs ----

    @property
    def next_deadline(self) -> int | None:
        """When on_time should be called next, ns; None = nothing is waiting."""
        if not self._started:
            return None
        c = self.context
        times = [
            self._sweep_due,
            c.budget.due(c.now),
            self.clock.due(),
            self.contracts.due(),
            self.account.due(),
            self.reconciler.due(),
            self.inquiries.due(),
            self.stops.due(),
            c.budget.blocked_until(c.now) or None,
            *(link.due() for link in self.links.values()),
        ]
        return max(c.now + 1, min(t for t in times if t is not None)) if any(t is not None for t in times) else None

    @property
    def orders_ready(self) -> bool:
        """Whether the order-entry socket is authenticated: a Wire must not send before."""
        return self.links[Channel.ORDERS].ready

    @property
    def ready(self) -> bool:
        """No gate that concerns all contracts is closed, and of each contract it is known whether it may be traded."""
        return self._started and not self.context.gates.any_closed and self.contracts.known

    @property
    def quiet(self) -> bool:
        """Nothing is under way, in doubt or different: the engine's state agreed with the last reading."""
        busy = len(self.flights) or len(self.inquiries) or self.requests.held_back or self.context.budget.outstanding
        return not busy and self.reconciler.agreed

    def admitted(self, now: int) -> None:
        """Call when all answers that decide a start have arrived (see AccountCheck.wait_for)."""
        self._enter(now)
        self.account.admitted()
        self._process()

    def reconcile_now(self, now: int) -> None:
        """Read the account now, whatever the period."""
        self._enter(now)
        self.reconciler.soon()
        self._process()

    def held_since(self, since: int) -> dict[str, float] | None:
        """Signed quantities that the venue holds, by contract, as of a whole reading of the account that began at `since` (ns) or later; None where
        there is none."""
        found, c = self.reconciler, self.context
        if found.read_at is None or found.read_at < since:
            return None
        return {c.symbols[n]: c.engine.instruments[n].qty(abs(lots)) * (1 if lots > 0 else -1) for n, lots in found.held.items()}

    def status(self) -> dict[str, Any]:
        """For the report, the doctor and the progress line."""
        c = self.context
        return {
            "ready": self.ready,
            "gates": c.gates.status(),
            "problems": list(self.problems()),
            "unknown": [f"{order:#x}" for order in self.inquiries.hard],
            "in_flight": len(self.flights),
            "in_doubt": len(self.inquiries),
            "held_back": len(self.requests.held_back),
            "calls_waiting": c.budget.waiting,
            "calls_out": c.budget.outstanding,
            "clock_offset_ms": self.clock.offset_ns / MS,
            "clock_rtt_ms": self.clock.rtt_ns / MS,
            "clock_measured": self.clock.measured,
            "reconciled": self.reconciler.reconciled,
            "reconcile_failure": self.reconciler.last_failure if self.reconciler.failures else "",
            "foreign": {
                symbol: c.engine.instruments[c.index[symbol]].qty(lots) if lots > 0 else -c.engine.instruments[c.index[symbol]].qty(-lots)
                for symbol, lots in self.reconciler.foreign.items()
            },
            "differences": {c.symbols[n]: {"venue": d.venue, "belief": d.belief} for n, d in self.reconciler.differences.items()},
            "channels": {channel.name.lower(): link.stage.name.lower() for channel, link in self.links.items()},
            "equity": self.wallet.equity if self.wallet else 0.0,
            "available": self.wallet.available if self.wallet else 0.0,
            "counters": dict(sorted(c.counters.items())),
        }

    def problems(self) -> Sequence[str]:
        """Why the start is refused, in words; empty where it is not."""
        found = [f"{symbol}: {text}" for symbol, text in self.account.problems.items()]
        found += [f"{channel.name.lower()} channel: {link.fatal}" for channel, link in self.links.items() if link.fatal]
        return found

    def waiting_for(self) -> list[str]:
        """Why it is not ready, in words."""
        return list(dict.fromkeys(gate["why"] for gate in self.context.gates.status()))

    # ---- one input ----

    def _enter(self, now: int) -> Context:
        """The time of this input; what was dispatched before it comes first."""
        c = self.context
        c.now = max(now, c.now)
        c.forget_beliefs()
        self._drain()
        return c

    def _take(self) -> None:
        if self.dispatch is not None:
            self._sent.extend(self.dispatch.take())

    def _drain(self) -> None:
        """Every request that has left the engine, and those that these caused."""
        self._take()
        for _ in range(ROUNDS_MAX):
            if not self._sent:
                return
            sent = self._sent.popleft()
            if sent.action == Action.ACTION_CREATE and sent.id & 15 == Role.ROLE_ENTRY:
                c = self.context
                at_ms = (sent.ts + c.offset_ns) // MS - int(EPOCH_SLACK_MS * c.settings.patience)
                self.epochs.opened(sent.instrument, sequence_of(sent.id), at_ms)
            self.requests.on_sent(sent)
        self.context.halt("runaway", f"{ROUNDS_MAX} requests followed from one another at one moment: entries are halted")

    def _process(self) -> None:
        """After every input: requests noted, beliefs compared, questions asked, what waits sent."""
        c = self.context
        self._drain()
        if not self._started:
            return
        if c.clock_doubt:
            c.clock_doubt = False
            self.clock.measure_now()
        if self.requests.contract_doubt:
            self.requests.contract_doubt = False
            self.contracts.refresh_soon()
        self._update_rate_gate()
        if self.dispatch is not None and self.orders_ready and c.budget.banned(c.now):
            self.requests.leave_rest()
        self.requests.retry_held_back()
        self.requests.sweep()
        self._drain()
        self.inquiries.sweep()
        self.stops.sweep()
        for part in (self.reconciler, self.account, self.clock, self.contracts):
            part.sweep()
        for channel, link in self.links.items():
            if link.sweep() and channel == Channel.ORDERS:
                self.requests.lose_all("the order socket is dead")
        if self.account.ok and self.reconciler.reconciled and self.reconciler.agreed:
            c.gates.open(Gate.GATE_START)
        c.budget.pump(c.now)
        self._drain()
        busy = len(self.flights) or len(self.inquiries) or self.requests.held_back or c.beliefs()
        self._sweep_due = c.now + c.settings.ns(SWEEP_S) if busy else None

    def _note_reachable(self, answer: Answer) -> None:
        """After an outage everything that waits for its next try may try at once."""
        works = 200 <= answer.status < 300
        if works and self._outage:
            self.inquiries.ask_soon()
            self.stops.ask_soon()
            self.reconciler.way_is_back()
        self._outage = not works

    def _update_rate_gate(self) -> None:
        """Entries wait during a pause that the venue asked for."""
        c = self.context
        until = c.budget.blocked_until(c.now)
        if until:
            c.gates.close(Gate.GATE_RATE, "the venue asks for a pause", c.now)
        else:
            c.gates.open(Gate.GATE_RATE)

    def _on_offset(self, offset_ns: int) -> None:
        if self.dispatch is not None and hasattr(self.dispatch, "offset_ms"):
            self.dispatch.offset_ms = offset_ns // MS

    # ---- what the venue says ----

    def _on_message(self, channel: Channel, message: Message) -> None:
        c = self.context
        if isinstance(message, OrderReply):
            self.requests.on_reply(message)
            if c.port.is_restarting(message):
                self.links[channel].renew()
        elif isinstance(message, OrderState):
            self._on_order(message)
        elif isinstance(message, Execution):
            self.executions.on_execution(message)
        elif isinstance(message, Position):
            self._on_position(message)
        elif isinstance(message, Wallet):
            self.wallet = message
        else:
            self._on_notice(channel, message)
        c.counters["messages"] += 1

    def _on_notice(self, channel: Channel, notice: ChannelNotice) -> None:
        c = self.context
        if notice.kind in (NoticeKind.LOST_ROWS, NoticeKind.MALFORMED):
            c.counters["frames not understood"] += 1
            c.notice(Level.WARNING, "malformed", f"{channel.name.lower()} channel: {notice.text}")
            self.reconciler.soon(0.2 * c.settings.recheck_s)  # it may have told of a fill
            if channel == Channel.ORDERS:
                self.inquiries.ask_soon()
            return
        if not self.links[channel].on_notice(notice):
            return
        if channel == Channel.PRIVATE:
            self.reconciler.reconnected()
            self.stops.verify_all()
        self.inquiries.ask_soon()

    def _on_order(self, state: OrderState, *, asked_at: int = 0) -> None:
        """An order: of the stream (asked_at 0), or in the answer to a question about it."""
        c = self.context
        n = c.index.get(state.symbol)
        if n is None:
            return
        if not asked_at:
            c.touch(n)
        mine, order = c.ours(state.link_id)
        if order >= 0 and instrument_of(order) == n:
            self.executions.learn(state.order_id, order)
            if order & 15 == Role.ROLE_ENTRY and state.created_ms:
                self.epochs.refine(n, sequence_of(order), state.created_ms)
            belief = c.belief(order)
            if belief is not None:
                self.requests.on_state(order, state, asked_at=asked_at)
            elif state.standing not in ENDED:
                self.inquiries.doubt_position(n)  # alive, and no bracket knows it
        elif mine:
            if state.standing not in ENDED:
                self.inquiries.doubt_position(n)
        elif state.stop_kind in STOP_KINDS:
            self.stops.on_order(n, state)
        elif state.standing not in ENDED:
            c.counters["frames of foreign orders"] += 1

    def _on_position(self, position: Position) -> None:
        """The stream's word on a position: it may be ahead of the executions, or behind; what does not fit is read again a little later."""
        c = self.context
        n = c.index.get(position.symbol)
        if n is None:
            return
        self.stops.on_position(position)
        if c.lots(n, position.qty) * position.side != c.held(n):
            c.touch(n)
            self.reconciler.soon(c.settings.recheck_s)
