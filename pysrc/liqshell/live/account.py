"""The venue side of a trading run: the guard and the send, gateway and state, and the gateway's effects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import liqcore as lc
from liqcore.event import Control as Order
from liqcore.event import Gate, Kind, Role
from liqshell.config.load import Config
from liqshell.errors import VenueError
from liqshell.fields import SCALE
from liqshell.gateway.gateway import Gateway
from liqshell.gateway.settings import Settings
from liqshell.live import equity, opening, watchdog
from liqshell.live import limits_reload as limits
from liqshell.live.admission import Admission
from liqshell.live.adoption import Adoption
from liqshell.live.channel import Link
from liqshell.live.patience import PROGRESS_S
from liqshell.live.rest import Rest
from liqshell.live.run_context import RunContext
from liqshell.run.dispatch import Dispatch, PicowsWire
from liqshell.run.pipeline import LiveStart, Pipeline, hash_of, make_engine
from liqshell.run.sink import LiveSink
from liqshell.state.control import Kill
from liqshell.state.store import halt_reason
from liqshell.transport import Endpoint, endpoints
from liqshell.venues.bybit.orders import order_encoder
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.bybit.signing import AUTH_EXPIRY_MS, Keys
from liqshell.venues.effects import Call, Channel, Level, Notice
from liqshell.venues.order_port import Port

WIND_DOWN_S = 10.0  # to withdraw entries at the end; to flatten, three times that
UNBEGUN = "before the account was reconciled. Nothing was started; look at the account at the venue"
STALL_S = 2.0  # of the event loop, until entries are off
CALM_S = 1.0  # how long it must have turned again
LOOK_S = 0.2  # between two looks at what changes slowly: kill file, disk, market
RATE_WINDOW_S = 1.05
ENTRY_AGE_S = 2.0  # an entry decided longer ago does not leave any more (the fade wants it out within 3 s of the event)
REPEAT_S, NOTICES_MAX = 60.0, 1000  # the same notice is not logged again within; how many are remembered
_log = logging.getLogger("liqshell.live")
_LEVELS = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ALARM: logging.ERROR}


class LiveAccount:
    """confirm: see opening.confirm_or_refuse. resume: lift a halt that latched in the run before. flatten: close positions when the run ends in good
    order. adopt: positions of others to take over. keys: of the account. Life: open() -> bind() -> begin() -> turn() at every turn of the loop ->
    wind_down() -> close()."""

    _equity_s = 3.0  # to learn the equity where trades are open
    _patience = 1.0  # at least, at the speed of wall time
    _first_timeout_s = 1.0  # of a question that may be asked again at once

    def __init__(
        self,
        config: Config,
        keys: Keys,
        *,
        confirm: Callable[[str, str], bool] | None = None,
        resume: bool = False,
        flatten: bool = False,
        adopt: Sequence[Adoption] = (),
    ):
        self.config, self.flatten, self.adopt = config, flatten, tuple(adopt)
        endpoints(config.signed_urls, config.feed.ca)  # ConfigError, before anything is asked of anybody
        self.counters: Counter[str] = Counter()
        self.alarms: list[str] = []
        self.stalls = 0
        self.ready = asyncio.Event()
        self.failed: BaseException | None = None
        self._keys, self._confirm, self._resume = keys, confirm, resume
        self._tasks: set[asyncio.Task[None]] = set()
        self.limits_file: limits.LimitsFile | None = None  # watched, where the configuration is a file
        self._kill_applied = Kill.NO
        self._repairs = 0
        self._gates: dict[tuple[Gate, int], bool] = {}
        self._turned = self._looked = self._calm_at = 0.0
        self._ending = False
        self._repeat_at: dict[tuple[str, str, str], float] = {}
        self._watchdog: watchdog.Keeper | None = None
        self._admission: Admission

    # ---- the start ----

    async def open(self, run: RunContext, instruments: tuple[lc.Instrument, ...], settings_of: Callable[[LiveStart], dict[str, Any]]) -> LiveStart:
        """State folder, account, a person's word; with what the run begins."""
        self.run, self.instruments = run, instruments
        self._connect()
        self.patience = max(self.config.live.patience, self._patience * run.speed)
        self.dispatch: Dispatch | None = None
        self.state = opening.open_state(self.config, instruments)
        try:
            self._admission = self._make_admission()
            account = await self._admission.enter()
            engine = make_engine(settings_of(LiveStart(account.equity if account else 1.0, self.patience)), trust=True)
            restored = opening.restore(self.state, engine)
            if account and self.state.found.get("open") and await self._take_up_equity(engine):
                restored = engine.trade_snapshot()
            had = account.equity if account else engine.account.equity  # (where trades are open the restored one counts in any case)
            now = max(self.now(), int(self.state.found["now_ns"]))
            start = LiveStart(had, self.patience, restored, now)
            wanted = [f"{adoption.symbol}: adopts its position; places a stop first" for adoption in self.adopt]
            terms = opening.terms(self.config, account, self.state, hash_of(settings_of(start)), wanted)
            opening.confirm_or_refuse(self.config, terms, self._confirm)
            start = await self._admission.take_over(self.adopt, start, engine)
        except BaseException:
            self.state.close()
            await self.rest.close()
            raise
        return start

    def kept(self) -> tuple[Config, tuple[lc.Instrument, ...]] | None:
        """The contracts of the run before, where it left trades open that are to be supervised whatever the venue's list does."""
        return opening.kept_contracts(self.config)

    async def _take_up_equity(self, engine: lc.Engine) -> bool:
        """Whether the engine, restored with an open trade, was given the equity that the venue says."""
        now_ms = self.now() // 1_000_000 + self.offset_ms()
        try:
            rates = self.config.paper.maker_fee / SCALE, self.config.paper.taker_fee / SCALE
            reading = equity.take_up(self.state, engine, self.instruments, self._books(), now_ms, self.patience, rates)
            return await asyncio.wait_for(reading, self._equity_s)
        except (VenueError, TimeoutError) as why:  # open trades do not wait for it
            _log.warning(
                "equity stays %.2f, the value at the end of the last run: %s. Limits are shares of it",
                engine.account.equity,
                str(why) or "the account was not read in time",
            )
            return False

    def _books(self) -> equity.Books:
        return equity.BybitBooks(self._admission.body, self.state.prefix)

    def _connect(self) -> None:
        """The ways to the venue; nothing is sent yet."""
        feed, tls = self.config.feed, self.run.tls
        self.rest = Rest(feed.rest_url, self._keys, self.config.live.recv_window_ms, tls, self.now, self.offset_ms)
        urls = {Channel.PRIVATE: feed.private_url, Channel.ORDERS: feed.trade_url}
        self.links = {channel: Link(channel, Endpoint(url, tls), self._on_frame, self._on_channel) for channel, url in urls.items() if url}

    def _make_admission(self) -> Admission:
        return Admission(self.config, self.instruments, self.rest, self.run.patience, self.now, self.run.stopping)

    def _port(self, real: bool) -> Port:
        """The venue's language. real: at the pace of the wall."""
        return BybitPort(
            self._keys,
            self.state.prefix,
            self.engine.instruments,
            {channel: link.endpoint for channel, link in self.links.items()},
            wall_ms=None if real else self._login_ms,
            order_socket=bool(self.config.feed.trade_url),
        )

    def bind(self, pipeline: Pipeline, config_hash: str) -> None:
        """The pipeline and the recorder are there: put the last hop and the gateway to them."""
        run, state, config = self.run, self.state, self.config
        assert isinstance(pipeline.sink, LiveSink)
        self._config_hash = config_hash
        self.engine, self.sink = pipeline.engine, pipeline.sink
        most = config.limits
        self.guard = lc.Guard(
            pipeline.instruments,
            order_notional_max=most.order_notional_max,
            total_notional_max=most.exposure_max,
            collar=most.collar / SCALE,
            orders_per_minute_max=most.orders_per_minute_max,
            orders_per_signal_max=most.orders_per_signal_max,
            rate_window_s=min(60.0, RATE_WINDOW_S * run.speed),
            entry_age_s=ENTRY_AGE_S * self.patience,
        )
        if state.image.guard:
            self.guard.restore(state.image.guard)
        self.guard.follow(self.engine)
        self.guard.watch(state.control.address, state.control)
        self.wire = PicowsWire()
        encoder = order_encoder(state.prefix, pipeline.instruments, recv_window_ms=config.live.recv_window_ms)
        real = run.speed == 1.0  # a rehearsal stamps market time, as its venue does
        self.dispatch = Dispatch(self.engine, self.guard, encoder, state.image, self.wire, None if real else self._market_ms)
        self.dispatch.on_waiting = self._on_waiting
        self.sink.dispatch = self.dispatch
        port = self._port(real)
        leverage = {"": config.live.leverage} if config.live.leverage else {}
        self.gateway = Gateway(
            self.engine,
            self.dispatch,
            state.store,
            port,
            Settings(
                state.prefix,
                config.run.name,
                config.live.recv_window_ms,
                patience=self.patience,
                period_s=config.live.period_s,
                leverage=leverage,
                rescue_stop=config.live.stop_rescue / SCALE,
                watch_clock=real,
                first_timeout_s=self._first_timeout_s,
                special_treatment=config.feed.special_treatment,
                maker_fee=config.paper.maker_fee / SCALE,
                taker_fee=config.paper.taker_fee / SCALE,
            ),
            self,
        )
        self._halted = opening.halted_before(state)
        state.control.begin(state.prefix)
        if config.live.watchdog:
            self._watchdog = watchdog.Keeper(state.folder, state.control)
        state.store.put(
            "runs",
            prefix=state.prefix,
            started_ns=time.time_ns(),
            version=lc.__version__,
            config=str(run.folder),
            config_hash=config_hash,
            environment=config.feed.environment,
        )
        self._turned = time.monotonic()
        if self._admission.adopted:
            state.image.save(self.engine)
        for notice in self._admission.notices:
            self.notice(notice)

    async def begin(self) -> None:
        """Opens the private channels, queries everything and reconciles; our open trades are supervised from the start. VenueError where that cannot
        be done for as long as patience lasts, or at all: then nothing new was traded."""
        for link in self.links.values():
            self._spawn(link.run())
        halted = self._halted or self.guard.latched  # each of the two lines of limits has its own latch
        if halted and (self._resume or self.state.found.get("lifted")):
            self.guard.lift()
            self.report(self._control(Order.CONTROL_RESUME))
        elif halted:
            reason = halt_reason(self.state.store.path)
            why = f": {reason}" if reason else ""
            self.notice(Notice(Level.WARNING, "halted", f"entries are halted since the last run ({halted.name}{why}); --resume lifts the halt"))
        for finding in self._admission.halting:
            if finding.symbol not in self._admission.adopted:
                self.report(self._control(Order.CONTROL_HALT))
                self.notice(Notice(Level.ALARM, "halted", finding.text, finding.symbol))
        self.gateway.account.wait_for(self._admission.waits_for())
        for symbol, rows in (self._admission.facts.modes or {}).items():
            self.gateway.account.know(symbol, rows)
        self._input(self.gateway.start)
        answered = asyncio.ensure_future(self._admission.answered())
        answered.add_done_callback(lambda task: None if task.cancelled() or task.exception() else self._input(self.gateway.admitted))
        try:
            await self._reconciled(answered)
        finally:
            answered.cancel()
        if not self.gateway.ready:
            return
        self.state.control.running()
        self.ready.set()

    async def _reconciled(self, answered: asyncio.Future[None]) -> None:
        """Waits until the gateway is ready or the run is stopped."""
        patience, next_line = self.run.patience, time.monotonic() + PROGRESS_S
        while not (self.gateway.ready and answered.done()):
            if self.failed is not None:
                raise self.failed
            if answered.done():
                answered.result()
            problems, waiting = list(self.gateway.problems()), "; ".join(self.gateway.waiting_for())
            if problems or not patience.left_s:
                why = "; ".join(problems) or f"not within {patience.seconds:g} s ({waiting})"
                raise VenueError(
                    self.config.feed.rest_url,
                    f"this account cannot be reconciled: {why}",
                    "known orders, positions and stops",
                    "No entry was sent; our open trades were supervised. Look at the account at the venue",
                )
            if self.run.stopping():
                return
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + PROGRESS_S
                patience.report_progress(f"not reconciled yet: {waiting}")
            await asyncio.sleep(0.01)

    # ---- every turn of the loop ----

    def now(self) -> int:
        return self.run.clock.now_ns()

    def offset_ms(self) -> int:
        return self.dispatch.offset_ms if self.dispatch is not None else 0

    def _market_ms(self) -> int:
        return self.now() // 1_000_000

    def _login_ms(self) -> int:
        """Such that a login's ten seconds of validity are seconds of the wall."""
        return self._market_ms() + int(AUTH_EXPIRY_MS * (self.run.speed - 1.0))

    def turn(self, now: int) -> None:
        """Called by the loop's timers: heartbeat, the gateway's deadlines, and now and then what changes slowly."""
        if self.dispatch is None:
            return
        self.state.control.beat()
        at = time.monotonic()
        self._watch_stall(at)
        due = self.gateway.next_deadline
        if due is not None and due <= now:
            self._input(self.gateway.on_time)
        self._arm()
        if at - self._looked >= LOOK_S:
            self._looked = at
            self._look()
        if self.failed is not None:
            raise self.failed

    def _watch_stall(self, at: float) -> None:
        gap, self._turned = at - self._turned, at
        if gap > STALL_S:
            self.stalls += 1
            self._calm_at = at + CALM_S
            self.notice(Notice(Level.WARNING, "stall", f"the event loop did not run for {gap:.1f} s: entries are blocked"))
            self._gate(Gate.GATE_STALL, True)
        elif self._calm_at and at >= self._calm_at:
            self._calm_at = 0.0
            self._gate(Gate.GATE_STALL, False)

    def _look(self) -> None:
        control = self.state.control
        self.reload(force=False)
        control.refresh()
        if control.repairs != self._repairs:
            self._repairs = control.repairs
            self.guard.watch(control.address, control)
            self.notice(
                Notice(Level.ALARM, "control", f"the kill switch has damaged parts: {'; '.join(control.damaged) or 'they contradict one another'}")
            )
        kill = control.kill
        if kill > self._kill_applied:
            self._kill_applied = kill
            self.notice(Notice(Level.ALARM, "killed", f"the kill switch is on: {control.reason} ({control.by})"))
            self.report(self._control(Order.CONTROL_FLATTEN if kill == Kill.FLATTEN else Order.CONTROL_HALT))
        if control.watchdog:  # it saw what we did not; entries come back a moment after its word is gone
            self._calm_at = time.monotonic() + CALM_S
            if not self._gates.get((Gate.GATE_STALL, -1)):
                acted = " and has acted at the venue; restart to reconcile everything" if control.rescued_at_ns else ""
                self.notice(Notice(Level.ALARM, "watchdog", f"the watchdog blocks entries{acted}"))
            self._gate(Gate.GATE_STALL, True)
        if self._watchdog is not None and (wrong := self._watchdog.look()):
            self.notice(Notice(Level.ALARM, "watchdog", f"the watchdog {wrong}"))
        why = self.state.store.entries_off()
        if why and not self._gates.get((Gate.GATE_DISK, -1)):
            self.notice(Notice(Level.ALARM, "disk", why))
        self._gate(Gate.GATE_DISK, bool(why))
        for n in range(len(self.engine.instruments)):
            self._gate(Gate.GATE_MARKET, self.sink.diverges(n, self.config.live.divergence_max / SCALE, self.now()), n)
        if self.guard.latched and not self.counters["guard latched"]:
            self.notice(Notice(Level.ALARM, "guard latched", limits.breach_of(self.guard)))
        snapshot = self.guard.snapshot()
        if snapshot != self.state.image.guard:
            self.state.image.save_guard(snapshot)

    def _gate(self, gate: Gate, closed: bool, instrument: int = -1) -> None:
        if self._gates.get((gate, instrument), False) != closed:
            self._gates[gate, instrument] = closed
            self.report(self._control(Order.CONTROL_PAUSE if closed else Order.CONTROL_READY, gate, instrument))

    def _control(self, order: Order, gate: int = 0, instrument: int = -1) -> tuple[Any, ...]:
        now = self.now()
        return (now, now, 0.0, 0.0, 0.0, 0.0, 0, instrument, int(Kind.CONTROL), 0, int(gate), int(order))

    def _arm(self) -> None:
        """The wire sends only where the venue has accepted the login."""
        link = self.links.get(Channel.ORDERS)
        self.wire.transport = link.transport if link is not None and self.gateway.orders_ready else None

    # ---- inputs of the gateway ----

    def _input(self, method: Callable[..., None], *values: Any) -> None:
        """A call into the gateway. An exception in it is a fault of liqcore: the run ends in order, positions stay protected at the venue."""
        try:
            method(*values, self.now())
            self._arm()
        except Exception as why:
            _log.exception("the gateway failed")
            self._fail(why)

    def _fail(self, why: BaseException) -> None:
        if self.failed is None:
            self.failed = why
            self.notice(Notice(Level.ALARM, "failed", f"a fault of liqcore ({type(why).__name__}) ends the run"))
        self.run.stop()

    def _on_waiting(self) -> None:
        asyncio.get_running_loop().call_soon(lambda: self._input(self.gateway.collect))

    def _on_frame(self, channel: Channel, raw: bytes) -> None:
        self._input(self.gateway.on_frame, channel, raw)

    def _on_channel(self, channel: Channel, up: bool) -> None:
        self._arm()
        self._input(self.gateway.on_channel, channel, up)

    # ---- Effects ----

    def report(self, event: tuple[Any, ...]) -> None:
        """Into the engine, and into the recording in order with the frames."""
        self.run.report(event)

    def call(self, call: Call) -> None:
        self._spawn(self._call(call))

    async def _call(self, call: Call) -> None:
        answer = await self.rest.call(call)
        self._input(self.gateway.on_answer, call, answer)

    def send(self, channel: Channel, frame: bytes) -> bool:
        link = self.links.get(channel)
        return link is not None and link.send(frame)

    def connect(self, channel: Channel) -> None:
        if channel in self.links:
            self.links[channel].connect()

    def notice(self, notice: Notice) -> None:
        self.counters[notice.kind] += 1
        at, key = time.monotonic(), (notice.kind, notice.symbol, notice.text)
        if at < self._repeat_at.get(key, 0.0):  # what goes on is counted, not repeated every time
            return
        if len(self._repeat_at) >= NOTICES_MAX:
            self._repeat_at.clear()
        self._repeat_at[key] = at + REPEAT_S
        if notice.level == Level.ALARM and len(self.alarms) < 100:
            self.alarms.append(f"{notice.symbol + ': ' if notice.symbol else ''}{notice.text}")
        _log.log(_LEVELS[notice.level], "%s%s", f"{notice.symbol}: " if notice.symbol else "", notice.text)
        self.state.store.put(
            "notices", ts_ns=self.now(), prefix=self.state.prefix, level=int(notice.level), kind=notice.kind, symbol=notice.symbol, text=notice.text
        )

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of the account failed: %r", task.exception())
            self._fail(task.exception() or RuntimeError("a task of the account failed"))

    # ---- the end ----

    async def wind_down(self) -> str:
        """Good order: no new entries, resting ones withdrawn, positions left with their stops (or closed). How it ended; raises what failed."""
        if self._ending or self.dispatch is None:
            return ""
        self._ending = True
        was_halted = self.engine.risk.halted
        self._gate(Gate.GATE_START, True)
        if self.flatten or not was_halted:  # over a halt there is nothing to withdraw, and a day's must still end with its day
            self.report(self._control(Order.CONTROL_FLATTEN if self.flatten else Order.CONTROL_HALT))
        until = time.monotonic() + WIND_DOWN_S * (3.0 if self.flatten else 1.0)
        while self._working() and time.monotonic() < until and self.failed is None:
            self.turn(self.now())
            await asyncio.sleep(0.005)
        if not was_halted and self._kill_applied == Kill.NO:  # the next start must not find an unintended halt; the gate stays closed
            self.report(self._control(Order.CONTROL_RESUME))
        held = await self._held_at_end()
        left = "not cancelled in time: " + ", ".join(self._working()) if self._working() else ""
        if self.failed is not None:  # the state is no longer updated: no orderly end, and no goodbye to the watchdog
            raise self.failed
        ended = "; ".join(filter(None, [held, left]))
        self.notice(Notice(Level.INFO if ended == "flat" else Level.WARNING, "end", ended))
        return ended

    async def _held_at_end(self) -> str:
        """The positions by the venue's report, because a fill that could not be learnt is unknown here."""
        if not self.ready.is_set():
            return UNBEGUN
        since = self.now()
        self.gateway.reconcile_now(since)
        until = time.monotonic() + WIND_DOWN_S
        while (held := self.gateway.held_since(since)) is None and time.monotonic() < until and self.failed is None:
            self.turn(self.now())
            await asyncio.sleep(0.005)
        own = self._believed()
        if held is None:
            return f"our books show {_listed(own)}; the venue did not answer what it holds"
        if any(abs(own.get(symbol, 0.0) - held.get(symbol, 0.0)) > 1e-9 for symbol in {*own, *held}):
            return f"the venue holds {_listed(held)}; our books show {_listed(own)}"
        return f"held, with stops at the venue: {_listed(own)}" if own else "flat"

    def _believed(self) -> dict[str, float]:
        """Signed quantities by our books."""
        return {i.symbol: b["held"] * b["side"] for n, i in enumerate(self.engine.instruments) if (b := self.engine.bracket(n))["held"]}

    def _working(self) -> list[str]:
        """Entries that may still rest; when flattening also what is held."""
        entries = [order["symbol"] for order in self.engine.orders() if order["role"] == Role.ROLE_ENTRY and order["status"] != "ended"]
        held = [i.symbol for n, i in enumerate(self.engine.instruments) if self.engine.bracket(n)["held"]] if self.flatten else []
        return sorted({*entries, *held})

    async def close(self, ended: str) -> None:
        """Everything written, everything closed."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.rest.close()
        state = self.state
        if self.dispatch is not None:
            self.wire.transport = None
            state.image.save(self.engine)
            state.image.save_guard(self.guard.snapshot())
            state.store.put("runs", prefix=state.prefix, ended_ns=time.time_ns(), ended=ended or "failed", config_hash=self._config_hash)
            if ended:  # else the watchdog is right to look after the account
                state.control.goodbye()
        state.close()
        if self._watchdog is not None and ended:
            await asyncio.to_thread(self._watchdog.end)

    def reload(self, *, force: bool = True) -> None:
        """Lower limits to what the configuration file says now (force: also where it has not changed). Nothing can be raised."""
        reading = self.limits_file.changed(force=force) if self.limits_file is not None and self.dispatch is not None else None
        if reading is not None:
            limits.apply(reading, self.engine, self.guard, self.state.store, self, self.now(), "SIGHUP" if force else "file")

    def kill(self, reason: str, by: str) -> None:
        """The kill switch, from within: persists like any other."""
        self.state.control.set_kill(Kill.KILLED, reason, by)
        self._looked = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        if self.dispatch is None:
            return {}
        return {
            "prefix": self.state.prefix,
            "state": str(self.state.folder),
            "sent": self.dispatch.sent,
            "refused": self.dispatch.refused,
            "later": self.dispatch.later,
            "reports": self.sink.reports,
            "notices": dict(self.counters),
            "alarms": self.alarms,
            "stalls": self.stalls,
            "connects": {link.channel.name.lower(): link.connects for link in self.links.values()},
            "guard": {reason.name: count for reason, count in self.guard.refused.items()},
            "breach": limits.breach_of(self.guard),
            "gateway": self.gateway.status(),
        }


def _listed(held: Mapping[str, float]) -> str:
    """Contracts and signed quantities, in words."""
    return ", ".join(f"{symbol} {qty:g}" for symbol, qty in held.items()) or "nothing"
