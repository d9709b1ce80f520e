"""One run: a script, a venue, a network and the lives of a trading process between them."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson

from liqcore.event import Kind, Reason, Role
from liqshell.emulator.api.account_api import Request
from liqshell.emulator.exchange import Settings as VenueSettings
from liqshell.state.control import Kill as Kills
from liqshell.transport import Endpoint
from liqshell.venues.bybit.orders import parse_order_link_id
from liqshell.venues.bybit.signing import Keys, rest_headers
from liqshell.venues.effects import Call

from . import agreement
from .acts import act
from .books import Books
from .bot import bot_of
from .clock import MS, NS, Clock
from .duties import Duties
from .end import at_rest, compare
from .life import NAME, assemble, spoil
from .market import HOUR_NS, Hour, contracts, damaged, hour
from .network import Connection, Network, Weather
from .people import PERSON_NS, Person
from .process import LOSSES, Process
from .script import ASKED, QUIET_S, Fault, Kill, Script
from .states import States
from .trace import Trace
from .truth import Broken, Truth, Violation
from .venue import Venue

START_NS = 1_772_452_800 * NS  # a Monday, 12:00 UTC
HARMLESS = (
    "drop_stop",
    "cancel_stops",
    "kill_word",
    "double_filled",
    "post_only_rejected",
    "manual_reduce",
    "manual_open",
    "adl",
    "liquidate",
    "reject_stop",
    "cancel_rest",
    "foreign",
    "manual_add",
    "budget",
    "disk_full",
    "new_tick",
    "delisted",
    "hedge",
    "split",
    "dividend",
    "adl_winner",
)  # for what can be heard and done
UNKNOWN_NS = 5_300 * MS  # the machine's own 5 s without an answer, and two looks of the gateway
RECONCILED = ("/v5/position/list", "/v5/order/realtime", "/v5/execution/list")
NOT_OURS = ("foreign", "manual_add")  # while somebody else holds a position everything else must be as it is without him
OTHERS = (
    "manual_reduce",
    "manual_open",
    "adl",
    "liquidate",
    "foreign",
    "manual_add",
    "delisted",
    "split",
    "dividend",
)  # somebody else changes positions
OTHERS_NS = 660 * NS  # that long may it take until that is known (an address is banned for ten minutes)
HOUSEKEEPING_NS = 10 * NS
ENTRY_AGE_NS = 2_100 * MS  # of the last hop 2 s, and a slew of the clock
CASCADE_OVER_NS = 10 * NS
CASCADE_ROWS, CASCADE_USD = 2, 20_000.0  # forced trades of one moment, and what one of them is worth
Plant = Callable[[Any], None]  # a mutant: changes a world before it begins


@dataclass(slots=True)
class Outcome:
    """Of a run. asked_hours: of the script; hours: until the violation, if there was one. counts, fired: what happened, and the faults by kind.
    disagreement: of the two judges, in words. states: how often each was reached. starts: seconds
    from each birth, or the end of the faults after it, until all gates were open.
    asked: how often each law was."""

    seed: int
    asked_hours: float
    hours: float
    violation: Violation | None
    tail: list[str]
    digest: str
    counts: Counter[str]
    fired: Counter[str]
    worst_naked_s: float
    cpu_s: float
    disagreement: str
    states: Counter[str]
    starts: list[float]
    asked: Counter[str]


@dataclass(slots=True)
class Armed:
    """What waits for an order or a fill."""

    on: str
    what: Fault | Kill


class World:
    """Everything of a run. `plant` changes it before the first process begins."""

    def __init__(self, script: Script, folder: Path, keep: int = 4000, plant: Plant | None = None):
        self.script, self.folder, self.keep, self.plant = script, folder, keep, plant
        self.r = Random(f"world/{script.seed}")
        self.start = START_NS + self.r.randrange(24) * HOUR_NS
        self.clock = Clock(self.start)
        self.trace = Trace(self.start, self.keep)
        self.weather = Weather(int(script.base_ms * MS), int(script.spread_ms * MS), script.loss)
        self.network = Network(self.clock, script.seed, self.trace, self.weather)
        self.bot = bot_of(script, contracts(script.symbols))
        caps = self.bot.caps()
        self.second = Books(caps.exposure, caps.positions, self.start)
        self.venue = Venue(self, script.symbols, self._venue_settings())
        self.keys, self.endpoint = Keys(self.venue.key.key, self.venue.key.secret), Endpoint("http://127.0.0.1:1")
        self.truth = Truth(self.clock, self.trace, caps, self.venue.books, NAME, self.able_since)
        self.offset_ns = 0
        self.killed_word = False
        self.killed_until = self.start
        self.process: Process | None = None
        self.lives = 0
        self.born_ns = 0
        self.counts: Counter[str] = Counter()
        self.fired: Counter[str] = Counter()
        self.armed: list[Armed] = []
        self.kills: list[Kill] = []
        self.acting: list[int] = []  # ends of the faults that act
        self.left: list[tuple[str, str]] = []  # what the next process finds of image and store
        self.person = Person(self)
        self.duties = Duties(self)
        self.states = States(self)
        self.cascade_ns = self.disk_full_ns = self.disk_full_until = self.start - 3600 * NS
        self.lost: Any = None  # why entries were halted when that was last looked at
        self.start_times: list[float] = []  # seconds from a birth, or the end of the last fault after it, until all gates were open
        self.bad_market_until = self.clock_right_ns = self.start
        self.bad = Random(f"bad/{script.seed}")
        self.money_unknown = self.image_lost = False
        self.opened_ns: dict[str, int] = {}  # symbol -> when somebody else last opened a position of it
        self.trouble_ended_ns = self.disturbed_ns = self.frames_lost_ns = self.others_ns = self.start
        self.end = self.start + int(script.hours * 3600 * NS)
        self.quiet = max(self.start + NS, self.end - int(QUIET_S * NS))
        self._hour: Hour | None = None
        self._number = -1
        self._feed: Connection | None = None

    def _venue_settings(self) -> VenueSettings:
        r = self.r
        return VenueSettings(
            fills=r.choice(("through", "touch", "queue")),
            taker=r.choice(("next", "walk")),
            post_only_status=r.choice(("Cancelled", "Rejected")),
            conditional_survives=r.random() < 0.5,
            stops_replace=r.random() < 0.5,
            filled_twice_s=r.choice((0.0, 1.0)),
            ended_codes=r.random() < 0.5,
            slippage=r.choice((0.05, 0.002)),
        )

    # ---- the run ----

    def run(self) -> None:
        """Until the end of the script, or a Broken."""
        clock = self.clock
        if self.plant is not None:
            self.plant(self)
        self._next_hour()
        for fault in self.script.faults:
            clock.at(self.start + int(fault.at_s * NS), self._arm, fault.on, fault)
        for kill in self.script.kills:
            clock.at(self.start + int(kill.at_s * NS), self._arm, kill.on, kill)
        clock.at(self.start + NS, self.begin)
        clock.at(self.start + HOUSEKEEPING_NS, self._housekeep)
        clock.at(self.quiet, self._calm)
        clock.run(self.end)
        at_rest(self)

    def begin(self) -> None:
        """A process starts; not while the kill switch is set."""
        if self.killed_word:
            self.clock.after(2 * NS, self.begin)
            return
        image = store = "kept"
        self.happens("start")
        if self.left:
            image, store = self.left.pop()
            spoil(self.folder, image, store, self)
            self.image_lost |= image != "kept"
            self.money_unknown |= self.image_lost
            if image != "kept":
                self.duties.count_from_here()
        self.states.born(image, store)
        self.lives += 1
        self.born_ns = self.clock.now
        self.trace.say(self.clock.now, "begins", self.lives)
        self.process = process = Process(self, self.bot, self.folder, self.lives)
        if process.refused:
            self.counts["starts refused"] += 1
            self._bury(process)
            self.clock.after(PERSON_NS, self.person.put_in_order)
            return
        process.guarded(process.begin)

    def make(self, process: Process) -> None:
        assemble(self, process)

    def died(self, process: Process) -> None:
        """It was killed: its connections are closed by the operating system, its files stay as they are."""
        kill = self.kills.pop(0)
        self.states.dies(kill.effect if kill.effect != "any" else process.last_effect)
        process.alive = False
        self.counts["kills"] += 1
        self._buried(process, kill)

    def ended(self, process: Process, kill: Kill) -> None:
        """It has stopped in good order, as it was asked to."""
        process.alive = False
        self.counts["stops"] += 1
        self.trace.say(self.clock.now, "ended", process.number)
        self._buried(process, kill)

    def _buried(self, process: Process, kill: Kill) -> None:
        self._bury(process)
        self.left = [(kill.image, kill.store)]
        self.happens("death")
        self.clock.at(min(self.clock.now + int(kill.pause_s * NS), max(self.clock.now, self.quiet) + NS), self.begin)

    def ready(self, process: Process) -> None:
        """All gates of a process are open for the first time."""
        shut = self.truth.foreign or self.venue.hedged or self.venue.coarse or self.killed_word or self.disk_is_full()
        if not shut and len(self.venue.listing) == len(self.venue.contracts):  # what rightly keeps entries off is no slow start
            self.start_times.append((self.clock.now - max(self.born_ns, self.disturbed_ns)) / NS)
        self.states.ready()

    def _bury(self, process: Process) -> None:
        process.bury()
        for link in [*process.links.values(), process.feed]:
            if link is not None:
                link.die(told_client=False)
        self.process = None

    def _housekeep(self) -> None:
        """What the live process writes to disk now and then, and what only a simulation looks at."""
        process = self.process
        if process is not None and process.alive:
            records = process.engine.audit.drain()
            if process.engine.audit.lost:
                self.truth.fail("bounded", f"{process.engine.audit.lost} audit records were lost")
            if len(records):
                self.trace.feed(records.tobytes())
            process.guarded(process.housekeep)
            halted = process.engine.risk.halted
            if halted in LOSSES and halted != self.lost:
                self.seen(f"loss limit of the {'day' if halted == Reason.RISK_DAILY_LOSS else 'week'} reached")
            self.lost = halted
            compare(self)
            self.duties.look()
        self.second.look(self.clock.now)
        if self.clock.pending > 20_000:
            self.truth.fail("bounded", f"{self.clock.pending} things wait in the world's queue")
        self.clock.after(HOUSEKEEPING_NS, self._housekeep)

    # ---- the market ----

    def _next_hour(self) -> None:
        self._number += 1
        last = self._hour.last if self._hour is not None else None
        self._hour = hour(self.script.seed, self._number, self.script.symbols, last, self.start)
        self.clock.at(self._hour.times[0], self._market, 0)

    def _market(self, n: int) -> None:
        """The n-th moment of the hour at which something is traded. While nobody holds or wants anything, calm stretches are told at once: as a
        stream that was late would do."""
        found = self._hour
        assert found is not None
        end = found.calm[n]
        if end > n + 1 and self.truth.flat and (self.process is None or not self.process.alive or self.process.idle):
            self.clock.at(found.times[end - 1], self._tell, n, end)
        else:
            self._tell(n, n + 1)

    def _tell(self, n: int, end: int) -> None:
        found = self._hour
        assert found is not None
        rows = found.rows[found.starts[n] : found.starts[end]]
        if end > n + 1:
            rows["ts_recv"] = self.clock.now
        self.venue.on_market(rows)
        if (rows["kind"] == Kind.LIQUIDATION).sum() >= CASCADE_ROWS:
            self._forced(rows)
        if self._feed is not None:
            self._feed.to_client(damaged(self.bad, rows) if self.clock.now < self.bad_market_until else rows)  # type: ignore[arg-type]
        if end < len(found.times):
            self.clock.at(found.times[end], self._market, end)
        else:
            self._next_hour()

    def _forced(self, rows: np.ndarray) -> None:
        forced = rows[rows["kind"] == Kind.LIQUIDATION]
        if (forced["price"] * forced["qty"]).max() >= CASCADE_USD:
            if self.clock.now - self.cascade_ns > CASCADE_OVER_NS:
                self.states.cascade()
            self.cascade_ns = self.clock.now
            self.happens("cascade")

    def feeds(self, link: Connection) -> None:
        """The public stream goes to this connection from now on."""
        self._feed = link

    # ---- wires ----

    def dial(self, name: str) -> Connection | None:
        link = self.network.connect(name)
        return link if link is not None and self.venue.accept(name, link) else None

    def request(self, process: Process, call: Call) -> None:
        """A REST request leaves: stamped and signed now."""
        sent_ns = process.now()
        payload = call.query if call.method == "GET" else call.body
        headers = rest_headers(self.keys, self.endpoint, sent_ns // MS + process.dispatch.offset_ms, payload)
        request = Request(call.method, call.path, call.query, call.body.encode(), headers)
        if call.method == "POST":
            self.leaving(process, call.path, call.body)

        def done(status: int, body: bytes, headers: dict[str, str], why: str) -> None:
            if call.method == "GET" and process.alive:
                self.states.answered(process, call.path, sent_ns, status, body)
            process.guarded(process.on_answer, call, sent_ns, status, body, headers, why)

        self.network.rest(lambda reply: self.venue.request(request, reply), call.timeout_s, done)

    def leaves(self, process: Process, frame: bytes) -> None:
        """An order frame is about to leave on the websocket."""
        message = orjson.loads(frame)
        self.trace.say(self.clock.now, "leaves", frame)
        for one in message["args"]:
            self.second.sent(self.clock.now, message["op"], one)
            self._judge(process, message["op"], one)

    def leaving(self, process: Process, path: str, body: str) -> None:
        if path in ("/v5/order/create", "/v5/order/cancel"):
            self.second.sent(self.clock.now, path, orjson.loads(body))
            self._judge(process, path.removeprefix("/v5/").replace("/", "."), orjson.loads(body))

    def _judge(self, process: Process, operation: str, wish: dict[str, Any]) -> None:
        """No entry while anything is uncertain."""
        found = parse_order_link_id(str(wish.get("orderLinkId", "")))
        if operation == "order.cancel" and found is not None:
            process.asked_back.add(found[1])
        if operation != "order.create" or found is None or found[1] & 15 != Role.ROLE_ENTRY:
            return
        self.truth.entry_leaves(wish["orderLinkId"])
        law, status = "certain", ""
        self.truth.ask(law)
        if self.killed_word:
            status = "the kill switch is set"
        elif closed := [gate for gate in process.gateway.status()["gates"] if gate["instrument"] in (-1, found[1] >> 40)]:
            status = f"a gate is closed: {closed}"
        elif any(link is None for link in process.links.values()):
            status = "a connection is known to be down"
        elif not process.read_since.issuperset(RECONCILED):
            status = f"since the private stream came up only {sorted(process.read_since)} have been read"
        elif (belief := next((order for order in process.engine.orders() if order["id"] == found[1]), None)) is not None and self._waited(
            process, belief
        ):
            law, status = "late", f"it was decided {(process.now() - belief['ts_asked']) / NS:.3f} s ago"
        elif unknown := [
            order
            for order in process.engine.orders()
            if order["unknown"] and order["role"] != Role.ROLE_STOP and process.now() - order["ts_asked"] > UNKNOWN_NS
        ]:  # a stop on its way is a stop: here or there
            status = f"an order's outcome is unknown: {unknown}"
        else:
            law, status = self.duties.entry_leaves(process, found[1] >> 40)
        if status:
            self.truth.fail(law, f"an entry leaves ({wish['orderLinkId']}) although {status}")

    def _waited(self, process: Process, belief: dict[str, Any]) -> bool:
        """Whether an entry that leaves was decided too long ago."""
        self.truth.ask("late")
        return bool(process.now() - belief["ts_asked"] > ENTRY_AGE_NS)

    def set_kill(self, on: bool) -> None:
        """`liqcore kill`, typed by somebody else on the same machine, or taken back."""
        self.killed_word = on
        self.second.killed(self.clock.now, on)
        self.states.word(on)
        process = self.process
        self.trace.say(self.clock.now, "kill word", on)
        if process is None:
            return
        if on:
            process.control.set_kill(Kills.KILLED, "somebody", "simulation")
        else:
            process.control.lift()
        self.clock.after(self.r.randrange(50, 250) * MS, process.guarded, process.heed_kill)

    def disk_is_full(self) -> bool:
        return self.clock.now < self.disk_full_until

    def heed_disk(self) -> None:
        """The process looks at its disk a few times a second."""
        if self.process is not None:
            self.process.guarded(self.process.heed_disk)

    def others(self) -> None:
        """Somebody else changes a position now."""
        self.others_ns = max(self.others_ns, self.clock.now + OTHERS_NS)

    def seen(self, state: str) -> None:
        """A state of states.STATES has been reached."""
        self.states.reach(state)

    # ---- faults ----

    def _arm(self, on: str, what: Fault | Kill) -> None:
        if self.clock.now >= self.quiet:
            return
        if on == "time":
            self.counts["sprung time"] += 1
            self._spring(what)
        else:
            self.armed.append(Armed(on, what))

    def happens(self, what: str) -> None:
        """An order has reached the venue, or an execution has happened there."""
        ready = [armed for armed in self.armed if armed.on == what]
        if ready:
            self.armed = [armed for armed in self.armed if armed.on != what]
            self.counts[f"sprung {what}"] += len(ready)
            for armed in ready:
                self._spring(armed.what)

    def _spring(self, what: Fault | Kill) -> None:
        if isinstance(what, Kill) and what.effect == ASKED:
            if self.process is not None and self.process.alive and not self.process.stopping:
                self.states.stops()
                self.process.guarded(self.process.stop, what)
        elif isinstance(what, Kill):
            self.kills.append(what)
        else:
            self.clock.after(int(what.after_ms * MS), self._act, what)

    def _act(self, fault: Fault) -> None:
        if self.clock.now >= self.end - int(QUIET_S * NS) > self.start:
            self.counts["after the calm"] += self.clock.now < self.quiet
        if self.clock.now < self.quiet:
            self.fired[fault.kind] += 1
            until = min(self.clock.now + int(fault.duration_s * NS), self.quiet)
            if fault.kind not in NOT_OURS:
                self.acting = [end for end in self.acting if end > self.clock.now] + [until]
                self.trouble_ended_ns = max(self.trouble_ended_ns, until)
            if fault.kind in OTHERS:
                self.others_ns = max(self.others_ns, until + OTHERS_NS)
            if fault.kind not in HARMLESS:
                self.disturbed_ns = max(self.disturbed_ns, until)
            if fault.kind == "lose_private":
                self.frames_lost_ns = max(self.frames_lost_ns, until)
            self.second.trouble(self.clock.now, fault.kind, until, int(fault.options.get("code", 0) or 0))
            reached = self.states.fault(fault.kind, until, fault.options)
            self.trace.say(self.clock.now, "fault", fault.kind, fault.duration_s, str(fault.options))
            if act(self, fault, until):
                self.states.counts.update(reached)

    def strikes(self, effect: str) -> bool:
        """Whether the process is killed before this effect."""
        if not self.kills:
            return False
        kill = self.kills[0]
        if kill.effect not in ("any", effect):
            return False
        if kill.skip > 0:
            kill.skip -= 1
            return False
        return True

    def _calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.armed.clear()
        self.kills.clear()
        self.trace.say(self.clock.now, "calm")

    @property
    def troubled(self) -> bool:
        """Whether a fault acts at the moment."""
        return any(end > self.clock.now for end in self.acting)

    def able_since(self) -> int | None:
        """Since when the program can hear of something and act upon it; None: it cannot."""
        process = self.process
        if process is None or not process.alive or self.disturbed_ns > self.clock.now:
            return None
        if any(link is None or not link.alive for link in process.links.values()) or not process.gateway.orders_ready:
            return None
        if process.banned_ns and self.clock.now - process.banned_ns < OTHERS_NS:  # told to keep away: what happened before cannot be asked for
            return None
        return max(self.born_ns + 5 * NS, self.disturbed_ns, process.up_ns, process.readmitted_ns)


def run(script: Script, *, keep: int = 4000, plant: Plant | None = None, lines: int = 50) -> Outcome:
    """A run of a script: the same script on the same commit gives the same outcome, to the last byte of its digest."""
    began = time.process_time()
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="liqcore-faults-", dir=shared if shared.is_dir() else None))
    script = Script.of_json(script.to_json())  # kills are counted down in place
    violation = None
    world = World(script, folder, keep, plant)
    try:
        world.run()
    except Broken as broken:
        violation = broken.violation
    except Exception as why:
        for line in traceback.format_exc(limit=-8).splitlines():
            world.trace.say(world.clock.now, "raised", line)
        violation = Violation("no exception", (world.clock.now - world.start) / NS, f"{type(why).__name__}: {why}")
    finally:
        if world.process is not None:
            world.process.alive = False
            world._bury(world.process)
        shutil.rmtree(folder, ignore_errors=True)
    world.second.look(world.clock.now)
    said = agreement.disagreement(violation, world.second, world.start)
    world.truth.ask("judges")
    if said and violation is None:
        violation = Violation("judges", (world.clock.now - world.start) / NS, said)
    counts = world.counts + world.truth.counts
    counts["lives"] = world.lives
    counts["felt names_lost"] = world.network.unnamed
    counts["judge frames"], counts["judge covered"] = world.second.frames, world.second.covered
    counts.update({f"struck {kind}": count for kind, count in world.venue.faults.struck.items()})
    return Outcome(
        script.seed,
        script.hours,
        (world.clock.now - world.start) / NS / 3600,
        violation,
        world.trace.tail(lines),
        world.trace.digest,
        counts,
        world.fired,
        world.truth.worst_naked_ns / NS,
        time.process_time() - began,
        said,
        world.states.counts,
        world.start_times,
        world.truth.asked,
    )
