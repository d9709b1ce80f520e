"""One life of the trading process: engine, guard, dispatch, image, store and gateway as live, driven by virtual time instead of an event loop.

Every effect that the process has on the world is a place where it can be killed. A killed process does nothing any more: what it had handed to the
wires is on its way, what stands in its files stays there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

import liqcore as lc
from liqcore.event import Control, Gate, Reason, Role
from liqshell.errors import DataError
from liqshell.run.dispatch import Wire
from liqshell.run.feed_listener import WireClock
from liqshell.run.sink import LateWatch
from liqshell.venues.effects import Answer, Call, Channel, Level, Notice

from . import life
from .books import ENTRY, role
from .bot import Bot
from .clock import MS, NS, Appointment
from .network import Connection
from .script import Kill

if TYPE_CHECKING:
    from .world import World

NAMES = {Channel.PRIVATE: "private", Channel.ORDERS: "orders"}
RECONNECT_S = (0.2, 10.0)
LOOK_NS = 200 * MS
WIND_LOOK_NS, WIND_DOWN_NS = 50 * MS, 10 * NS
LOSSES = (Reason.RISK_DAILY_LOSS, Reason.RISK_WEEKLY_LOSS)
SPIN_NS, SPIN_WAKES = MS, 2_000  # woken more often than that, the program is busy with a deadline that it does not serve


class Killed(BaseException):
    """The process ends here. Not an Exception: nothing in the program may catch it."""


class Line(Wire):
    """The order-entry wire of one process."""

    def __init__(self, process: Process):
        self.process = process

    def send(self, frame: Any) -> bool:
        return self.process.send_order(bytes(frame))


class Process:
    """A process from its start to its end. `alive` False: it has been killed, and hears nothing any more."""

    def __init__(self, world: World, bot: Bot, folder: Path, number: int):
        self.world, self.bot, self.folder, self.number = world, bot, folder, number
        self.clock, self.trace = world.clock, world.trace
        self.alive = True
        self.refused = ""  # why it could not start
        self.draw = Random(f"{world.script.seed}/process/{number}")
        self.links: dict[Channel, Connection | None] = {Channel.PRIVATE: None, Channel.ORDERS: None}
        self.attempts = {Channel.PRIVATE: 0, Channel.ORDERS: 0}
        self.connecting: dict[Channel, Appointment | None] = {Channel.PRIVATE: None, Channel.ORDERS: None}
        self.feed: Connection | None = None
        self.wire_clock = WireClock()
        self.up_ns = self.private_up_ns = 0  # when a channel, and when the private stream, last came up
        self.halted_ns = 0  # when entries were last seen to be halted
        self.read_since: set[str] = set()  # REST paths that have been read since then
        self.banned_ns = self.readmitted_ns = 0  # the latest HTTP 403 not followed by an answer (0 = none); the first answer after one
        self.unresolved: set[int] = set()  # orders of which an alarm has said that their outcome is unknown
        self.told_ns: dict[int, int] = {}  # instrument -> venue's time of its newest market data
        self.asked_back: set[int] = set()  # orders of which a cancel has left
        self.was_ready = False  # all gates have been open
        self.stopping = False  # asked to stop in good order
        self.disk_closed = False
        self.begun_ns = self.clock.now
        self.last_effect = ""
        self._later = 0  # requests that the last hop had no budget for
        self.frozen_until = 0  # until then the machine does not let it run: what comes meanwhile waits
        self.late = LateWatch(bot.late_ns)
        self._row = np.zeros(1, lc.EVENT_DTYPE)
        self._timer: Appointment | None = None
        self._gateway_due: int | None = None
        self._collecting = self._looking = False
        self._woken_ns = self._wakes = 0
        self.assemble()

    # ---- what a process is made of ----

    def assemble(self) -> None:
        bot = self.bot
        self.dispatch: Any = None
        self.gateway: Any = None
        self.store: Any = None
        self.image: Any = None
        self.guard: Any = None
        self.control: Any = None
        self.engine = bot.engine(self.world.venue.books()["equity"])
        self.wire = Line(self)
        try:
            self.world.make(self)
        except DataError as why:  # a person has to look
            self.refused = str(why)
            self.alive = False
            self.trace.say(self.clock.now, "refused", type(why).__name__)

    def bury(self) -> None:
        """Its files are closed, as the operating system would: what waited to be written is lost."""
        self.alive = False
        self.clock.call_off(self._timer)
        for file in (self.store, self.control):
            if file is not None:
                file.close()

    def housekeep(self) -> None:
        self.store.write()

    def look(self) -> None:
        """What the live session looks at a few times a second, as far as it can have changed."""
        self._looking = False
        snapshot = self.guard.snapshot()
        if snapshot != self.image.guard:
            self.effect("image", "guard")
            self.image.save_guard(snapshot)

    def guarded(self, what: Callable[..., None], *arguments: Any) -> None:
        """Call into the program from outside: everything enters here, and being killed ends here."""
        if not self.alive:
            return
        if self.clock.now < self.frozen_until:
            self.clock.at(self.frozen_until, self.guarded, what, *arguments)
            return
        try:
            what(*arguments)
            self.arm()
        except Killed:
            self.world.died(self)

    def effect(self, name: str, detail: str = "") -> None:
        """A boundary: the process may end before it."""
        if not self.alive:
            raise Killed
        self.last_effect = name
        if self.world.strikes(name):
            self.trace.say(self.clock.now, "killed", name, detail)
            self.world.counts[f"killed before {name}"] += 1
            raise Killed

    # ---- time ----

    def now(self) -> int:
        """The machine's clock: never back (as live), but not always right."""
        return self.wire_clock.read(self.clock.now + self.world.offset_ns, self.clock.now)

    def _when(self, due: int) -> int:
        """When the machine's clock will say `due`, if nobody sets it meanwhile."""
        slewed = self.wire_clock.monotonic_at(due)
        return due - self.world.offset_ns if slewed is None else slewed

    def arm(self) -> None:
        """See to it that somebody wakes us for the next deadline."""
        if not self.alive:
            return
        if self.dispatch.waiting and not self._collecting:
            self._collecting = True
            self.clock.at(self.clock.now, self.guarded, self.collect)
        due = self._gateway_due = self.gateway.next_deadline
        mine = self.engine.next_deadline
        if due is None or (mine is not None and mine < due):
            due = mine
        if due is None:
            return
        when = max(self._when(due), self.clock.now + 1)
        if self._timer is None or self._timer[2] is None or when < self._timer[0]:
            self.clock.call_off(self._timer)
            self._timer = self.clock.at(when, self.wake)

    def wake(self) -> None:
        self._timer = None
        if self.clock.now - self._woken_ns < SPIN_NS:
            self._wakes += 1
            if self._wakes > SPIN_WAKES:
                self.world.truth.fail("bounded", f"woken {self._wakes} times within {SPIN_NS / 1e6:g} ms: a deadline that nobody serves")
        else:
            self._woken_ns, self._wakes = self.clock.now, 0
        self.guarded(self.on_time)

    def on_time(self) -> None:
        now = self.now()
        self.engine.advance(now)
        self.dispatch.pump(now)
        if self._gateway_due is not None and self._gateway_due <= now:
            self.gateway.on_time(now)

    def collect(self) -> None:
        self._collecting = False
        self.gateway.collect(self.now())
        if self.guard.later != self._later:
            self._later = self.guard.later
            if any(sent.id & 15 == Role.ROLE_ENTRY for sent, _ in self.gateway.requests.held_back):
                self.world.states.deferred()

    def heed_kill(self) -> None:
        """The live process looks at the control page a few times a second."""
        now = self.now()
        if not self.control.kill:
            self.lift(now)
            return
        self.engine.on_control(now, Control.CONTROL_HALT)
        self.dispatch.pump(now)
        self.world.duties.killed(self)

    def heed_disk(self) -> None:
        """The live process looks at its disk a few times a second."""
        full = bool(self.store.entries_off())
        if full != self.disk_closed:
            self.disk_closed = full
            self.world.counts["felt disk_full"] += full
            self.engine.on_control(self.now(), Control.CONTROL_PAUSE if full else Control.CONTROL_READY, Gate.GATE_DISK)
            self.dispatch.pump(self.now())

    def stop(self, kill: Kill) -> None:
        """Good order, as live: no new entries, resting ones withdrawn, positions left with their stops."""
        self.stopping = True
        was_halted, now = bool(self.engine.risk.halted), self.now()
        self.engine.on_control(now, Control.CONTROL_PAUSE, Gate.GATE_START)
        if not was_halted:
            self.engine.on_control(now, Control.CONTROL_HALT)
        self.dispatch.pump(now)
        self.clock.after(WIND_LOOK_NS, self.guarded, self._wound, kill, was_halted, self.clock.now + WIND_DOWN_NS)

    def _wound(self, kill: Kill, was_halted: bool, until: int) -> None:
        entries = any(order["role"] == Role.ROLE_ENTRY and order["status"] != "ended" for order in self.engine.orders())
        if entries and self.clock.now < until:
            self.clock.after(WIND_LOOK_NS, self.guarded, self._wound, kill, was_halted, until)
            return
        if not was_halted and not self.control.kill:
            self.engine.on_control(self.now(), Control.CONTROL_RESUME)
        self.image.save(self.engine)
        self.image.save_guard(self.guard.snapshot())
        self.store.write()
        self.world.ended(self, kill)

    def resume(self) -> None:
        """A person allows entries again."""
        now = self.now()
        if not self.control.kill and not self.stopping:
            self.lift(now)

    def lift(self, now: int) -> None:
        if self.engine.risk.halted in LOSSES:
            self.world.duties.count_from_here()  # so does the engine
        self.engine.on_control(now, Control.CONTROL_RESUME)
        self.dispatch.pump(now)

    def read_only_since(self, symbol: str, then_ns: int) -> bool:
        """Whether nothing may enter on a contract, or entries have been halted for good at some moment since then."""
        gates = self.gateway.context.gates
        return gates.why(Gate.GATE_RECONCILE, self.gateway.context.index[symbol]) or self.halted_since(then_ns)

    def says_foreign(self, symbol: str) -> bool:
        """Whether it says itself that what the venue holds of a contract is not all ours, and lets nothing enter there."""
        shut = self.gateway.context.gates.why(Gate.GATE_RECONCILE, self.gateway.context.index[symbol])
        return shut and symbol in self.gateway.reconciler.foreign

    def halted_since(self, then_ns: int) -> bool:
        """Whether entries have been halted for good at some moment since then, or are."""
        return bool(self.engine.risk.halted) or self.halted_ns >= then_ns

    # ---- what it hears ----

    def begin(self) -> None:
        now = self.now()
        if self.engine.risk.halted and self.engine.risk.halted not in LOSSES:  # a person has looked, and starts it with --resume
            self.engine.on_control(now, Control.CONTROL_RESUME)
        self.gateway.start(now)
        self.heed_disk()
        self.connect_feed()

    def on_market(self, rows: np.ndarray) -> None:
        """A frame of the public feed: rows that nobody else needs any more."""
        if not self.alive:
            return
        if self.clock.now < self.frozen_until:
            self.clock.at(self.frozen_until, self.on_market, rows)
            return
        now = self.now()
        rows["ts_recv"] = now
        for n, ts in zip(rows["instrument"].tolist(), rows["ts_event"].tolist(), strict=True):
            if ts > self.told_ns.get(n, 0):
                self.told_ns[n] = ts
        try:
            if code := self.late.frame(rows):  # as live: what comes late opens nothing
                self.engine.on_control(now, code, Gate.GATE_LATE)
            self.engine.run(rows)
            if self.dispatch.pump(now):
                self.arm()
            else:  # the gateway knows nothing of the market: its deadline is as it was
                due = self.engine.next_deadline
                if due is not None and (self._timer is None or self._when(due) < self._timer[0]):
                    self.arm()
        except Killed:
            self.world.died(self)

    @property
    def idle(self) -> bool:
        """Nothing is held, wanted or asked for."""
        return not self.engine.orders()

    def on_frame(self, channel: Channel, raw: bytes) -> None:
        self.gateway.on_frame(channel, raw, self.now())
        self._look_ready()

    def _look_ready(self) -> None:
        if not self.was_ready and self.gateway.ready:
            self.was_ready = True
            self.world.ready(self)

    def on_lost(self, channel: Channel, link: Connection) -> None:
        if self.links[channel] is link:
            self.links[channel] = None
            self.trace.say(self.clock.now, "lost", NAMES[channel])
            self.gateway.on_channel(channel, False, self.now())
            self.redial(channel)

    def on_answer(self, call: Call, sent_ns: int, status: int, body: bytes, headers: dict[str, str], why: str) -> None:
        now = self.now()
        if status == 403:
            self.banned_ns = self.clock.now
        elif status == 200 and self.banned_ns:
            self.banned_ns, self.readmitted_ns = 0, self.clock.now
        self.trace.say(self.clock.now, "answer", call.number, call.path, status, why, body)
        if status == 200 and self.private_up_ns and sent_ns >= self.private_up_ns and b'"retCode":0' in body:
            self.read_since.add(call.path)
        self.gateway.on_answer(call, Answer(status, body, headers, why, sent_ns, now), now)
        self._look_ready()

    # ---- the public feed ----

    def connect_feed(self) -> None:
        link = self.world.network.connect("public") if self.alive else None
        if link is None:
            self.clock.after(int(self.draw.uniform(0.1, 3.0) * NS), self.guarded, self.connect_feed)
            return
        self.feed = link
        link.on_client = self.on_market  # type: ignore[assignment]
        link.on_lost = lambda: self.guarded(self.feed_lost, link)
        self.clock.after(2 * self.world.network.weather.latency(self.draw), self.guarded, self.feed_up, link)

    def feed_up(self, link: Connection) -> None:
        if link.alive and self.feed is link:
            now = self.now()
            self.engine.on_feed(now, now, lc.FeedState.FEED_UP)
            self.dispatch.pump(now)
            self.world.feeds(link)

    def feed_lost(self, link: Connection) -> None:
        if self.feed is link:
            self.feed = None
            now = self.now()
            self.engine.on_feed(now, now, lc.FeedState.FEED_DOWN)
            self.dispatch.pump(now)
            self.clock.after(int(self.draw.uniform(0.1, 3.0) * NS), self.guarded, self.connect_feed)

    # ---- what it does: Effects ----

    def report(self, event: tuple) -> None:
        self.effect("report", str(event))
        self._row[0] = event
        self.trace.say(self.clock.now, "report", *(value.item() if hasattr(value, "item") else value for value in event))
        self.engine.run(self._row)
        self.effect("image", "")
        if life.WRITES_IMAGE:
            self.image.save(self.engine, event[7])  # as the live sink does after each report
        self.dispatch.pump(self.now())

    def call(self, call: Call) -> None:
        self.effect("call", call.path)
        self.trace.say(self.clock.now, "call", call.number, call.method, call.path, call.query, call.body)
        self.world.request(self, call)
        self.effect("sent", call.path)

    def send(self, channel: Channel, frame: bytes) -> bool:
        self.effect("send", NAMES[channel])
        link = self.links[channel]
        if link is None:
            return False
        link.to_server(bytes(frame))
        self.effect("sent", NAMES[channel])
        return True

    def send_order(self, frame: bytes) -> bool:
        """Of Dispatch: the state image has been written, nothing has been sent yet."""
        if not self._looking:
            self._looking = True
            self.clock.after(LOOK_NS, self.guarded, self.look)
        self.effect("wire", "")
        link = self.links[Channel.ORDERS]
        if link is None or not self.gateway.orders_ready:
            return False
        if b"order.create" in frame and role(orjson.loads(frame)["args"][0]["orderLinkId"]) == ENTRY:
            self.world.states.leaves(self, link)
        self.world.leaves(self, frame)
        link.to_server(frame)
        self.effect("sent", "order")
        return True

    def connect(self, channel: Channel) -> None:
        self.effect("connect", NAMES[channel])
        link = self.links[channel]
        if link is not None:
            self.links[channel] = None
            link.die(told_client=False)
        self.redial(channel)

    def redial(self, channel: Channel) -> None:
        """Connect after a pause that grows with every failure."""
        if self.connecting[channel] is None:
            n = self.attempts[channel]
            self.attempts[channel] = n + 1
            pause = self.draw.uniform(0.0, min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(n, 10)))
            self.connecting[channel] = self.clock.after(int(pause * NS), self.guarded, self._dial, channel)

    def _dial(self, channel: Channel) -> None:
        link = self.world.dial(NAMES[channel])
        if link is None:
            self.connecting[channel] = None
            self.trace.say(self.clock.now, "refused", NAMES[channel])
            self.redial(channel)
            return
        link.on_client = lambda raw: self.guarded(self.on_frame, channel, raw)
        link.on_lost = lambda: self.guarded(self.on_lost, channel, link)
        self.clock.after(2 * self.world.network.weather.latency(self.draw), self.guarded, self._up, channel, link)

    def _up(self, channel: Channel, link: Connection) -> None:
        self.connecting[channel] = None
        if not link.alive:
            self.redial(channel)
            return
        self.links[channel] = link
        self.up_ns = self.clock.now
        if channel == Channel.PRIVATE:
            self.private_up_ns = self.now()
            self.read_since.clear()
        self.attempts[channel] = 0
        self.trace.say(self.clock.now, "up", NAMES[channel])
        self.gateway.on_channel(channel, True, self.now())

    def notice(self, notice: Notice) -> None:
        self.effect("notice", notice.kind)
        self.trace.say(self.clock.now, "notice", notice.level.name, notice.kind, notice.symbol, notice.text)
        if self.engine.risk.halted:
            self.halted_ns = self.clock.now
        if notice.level == Level.ALARM:
            self.world.person.alarmed(notice.kind)
            if notice.kind == "unresolved":
                self.unresolved.add(int(re.search(r"order 0x([0-9a-f]+)", notice.text)[1], 16))
