"""The emulated venue on loopback: public and account websockets, order entry and REST, on a plain port and a TLS port if wanted, fed by a generated
or a recorded market. The desk (api.account_api) handles accounts; this module has sockets and time."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from aiohttp import web

from liqshell.clock import NS, STANDSTILL, Clock
from liqshell.emulator.api.account_api import AccountApi, Ending, Response, Session, Times
from liqshell.emulator.api.faults import Fault, Faults, restart_frames
from liqshell.emulator.api.network_link import Link
from liqshell.emulator.api.types import PRIVATE_PATH, TRADE_PATH
from liqshell.emulator.binary.spot import OfContract, Walk
from liqshell.emulator.exchange.exchange import Exchange
from liqshell.emulator.exchange.rate_limits import Limits
from liqshell.emulator.exchange.saved_accounts import Keeper, Saved, load, restore
from liqshell.emulator.exchange.settings import Settings
from liqshell.emulator.market.agents import Cascade
from liqshell.emulator.market.candles import Candles
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.depth import Depth
from liqshell.emulator.market.safety import Safety
from liqshell.emulator.market.synthetic_feed import BOOK_SILENCE_MS, Frame, SyntheticFeed
from liqshell.emulator.server.account_sockets import AccountSockets
from liqshell.emulator.server.binance_server import BinanceNeighbour
from liqshell.emulator.server.binary_server import BinaryVenue
from liqshell.emulator.server.control import guarded
from liqshell.emulator.server.exchange_feed import Feeder
from liqshell.emulator.server.market_queries import MarketQueries
from liqshell.emulator.server.okx_server import OkxNeighbour
from liqshell.emulator.server.options import Config, Feed, feed_of
from liqshell.emulator.server.outside import Outside
from liqshell.emulator.server.public_sockets import Hub
from liqshell.emulator.server.public_venue import PublicVenue
from liqshell.emulator.server.rest import Rest
from liqshell.emulator.server.tls import Certificate

TICK_S = 0.0005  # frames due within so much wall time leave together


def neighbours(emulator: "Emulator", contracts: list[Contract]) -> list[PublicVenue]:
    """The other venues of the configuration."""
    makers: dict[str, Callable[[], PublicVenue]] = {
        "binance": lambda: BinanceNeighbour(emulator, contracts),
        "okx": lambda: OkxNeighbour(emulator, contracts),
    }
    return [makers[name]() for name in dict.fromkeys(emulator.config.venues) if name in makers]


class Emulator:
    """A running emulator. `clock` is the market's; hand `clock.as_dict()` to other processes. `keys`: of the accounts."""

    def __init__(self, config: Config, feed: Feed, saved: Saved | None = None) -> None:
        self.config, self.feed, self.states, self.synthetic = config, feed, feed.states, feed.synthetic
        self.label = "SYNTHETIC" if feed.synthetic else "RECORDING"
        self.clock = Clock(config.speed, feed.start_ns)
        self.faults = Faults(config.seed, feed.start_ns, config.faults)
        recorded: set[str] = getattr(feed, "topics", set())
        settings = Settings(**config.venue)  # type: ignore[arg-type]
        self.beside = (Depth(self.states, config.orderbook_500), Candles(self.states), Safety(self.states, settings.price_limit))
        for one in self.beside:
            one.topics -= recorded  # a recording's own are better
        self.hub = Hub(
            self.states,
            lambda: self.clock.now_ns(),
            feed.wanted,
            self._first_frame,
            config.seed,
            config.ack_delay_s,
            config.buffer_max,
            config.idle_s,
            recorded.union(*(one.topics for one in self.beside)),
        )
        contracts = [state.contract for state in self.states.values()]
        self.times = Times(speed=config.speed)
        exchange = Exchange(contracts, settings, config.seed)
        self.desk = AccountApi(
            exchange,
            self.faults,
            times=self.times,
            limits=Limits(config.limit_factor),
            seed=config.seed,
            ack_delay_s=config.ack_delay_s,
            stream_delay_s=config.stream_delay_s,
            idle_s=config.idle_s,
            market=MarketQueries(self.states),
            contracts=contracts,
        )
        self.desk.on_fault = self._on_fault
        self.keys = [self.desk.open_account(config.equity) for _ in range(config.accounts)]
        self.feeder = Feeder(self.desk, list(self.states))
        self.keeper: Keeper | None = None
        if config.state:
            self.keeper = Keeper(Path(config.state), exchange, self.states, config.seed, lambda: exchange.stream.changes + len(exchange.accounts))
        self._saved = saved
        self.sockets = AccountSockets(self, self.link, config.buffer_max)
        self._rest = Rest(self)
        self._public = self.link("public")
        self._towards, self._back = self.link("towards REST", False), self.link("back from REST", False)
        self.finished = asyncio.Event()  # the feed has ended
        self.lag_ns_max = 0
        self._wake = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.pump: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = self._now_ns = 0
        self._extra: list[Frame] = []
        self.certificate: Certificate | None = None
        self._opening_ns = 0  # when the books are said again, before the market begins
        self.port = self.tls_port = 0
        self.neighbours = neighbours(self, contracts)
        self.outside = Outside(config.seed, config.outside_faults, config.host, self.now_ns) if config.judge or config.news else None
        self.binary: BinaryVenue | None = None
        feed.taps += [one.board.take for one in self.neighbours]

    def link(self, name: str, ordered: bool = True) -> Link:
        """One direction of one connection."""
        return Link(self.config.latency_s, self.config.loss, self.times.wall, f"{self.config.seed} {name}", ordered)

    @property
    def rest(self) -> str:
        """Base address of REST."""
        return f"http://{self.config.host}:{self.port}"

    @property
    def ws(self) -> str:
        """Base address of websockets; the paths below it are the venue's."""
        return f"ws://{self.config.host}:{self.port}"

    def ready(self) -> dict[str, object]:
        """The data that a client needs, as in the JSON line of `liqcore emulate`. The keys are those of emulated accounts: no secret is lost."""
        clock = Clock(self.config.speed, self.feed.start_ns) if self.clock.speed == STANDSTILL else self.clock
        line: dict[str, object] = {
            "rest": self.rest,
            "ws": self.ws,
            "synthetic": self.synthetic,
            "market": self.label,
            "seed": self.config.seed,
            "clock": clock.as_dict(),
            "symbols": list(self.states),
        }
        if isinstance(self.feed, SyntheticFeed):
            line["scale"] = self.feed.market.parameters.scale
        if self.keys:
            line |= {"api_key": self.keys[0].key, "api_secret": self.keys[0].secret}
        if len(self.keys) > 1:
            line["accounts"] = [{"api_key": one.key, "api_secret": one.secret} for one in self.keys]
        if self.certificate is not None:
            host = f"localhost:{self.tls_port}"
            line["tls"] = {"rest": f"https://{host}", "ws": f"wss://{host}", "ca": self.certificate.ca}
        if self.neighbours:
            own = {key: line[key] for key in ("rest", "ws", "symbols", "tls") if key in line}
            line["venues"] = {"bybit": own} | {one.name: one.ready() for one in self.neighbours}
        if self.outside is not None:
            line |= {"judge": self.outside.url + "/v1"} if self.config.judge else {}
            line |= {"news": self.outside.url} if self.config.news else {}
        if self.binary is not None:
            line["binary"] = self.binary.url
        return line

    def truth(self) -> list[Cascade]:
        """Ground truth: the cascades that have ended by now; empty for a recording."""
        now = self.clock.now_ns()
        return [cascade for cascade in self.feed.market.truth if cascade.end_ns <= now] if isinstance(self.feed, SyntheticFeed) else []

    def status(self) -> dict[str, object]:
        """Counters."""
        return {
            "market": self.label,
            "seed": self.config.seed,
            "clock": self.clock.as_dict(),
            "now_ns": self.clock.now_ns(),
            "finished": self.finished.is_set(),
            **self.hub.counters(),
            "lag_ns_max": self.lag_ns_max,
            "faults": self.faults.fired,
            "struck": dict(self.faults.struck),
            "account": self.desk.status(),
            "unread": self.feeder.unread,
            "venues": {one.name: one.status() for one in self.neighbours},
        }

    def _first_frame(self, topic: str, ts_ms: int) -> bytes | None:
        for one in self.beside:
            if topic in one.topics:
                return one.first_frame(topic, ts_ms)
        state = self.states.get(topic.rsplit(".", 1)[1])
        return state.first_frame(topic, ts_ms) if state else None

    def wake(self) -> None:
        """Look at the clock and the faults now."""
        self._wake.set()

    async def start(self) -> "Emulator":
        """Bind and begin; market time starts when this returns (or with the first subscription, see wait_for_client)."""
        if self._saved is not None:
            self._go_on(self._saved)
        if self.keeper is not None:
            self.keeper.keep(self.feed.start_ns, always=True)  # a file that cannot be written is found now
        app = web.Application(middlewares=[guarded])
        app.router.add_get("/v5/public/{category:linear|inverse|spot|option}", self.hub.handle)
        for path in (PRIVATE_PATH, TRADE_PATH):
            app.router.add_get(path, self.sockets.handle)
        app.add_routes(self._rest.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.config.host, self.config.port).start()
        self.port = self._runner.addresses[0][1]
        if self.config.tls:
            self.certificate = Certificate()
            await web.TCPSite(self._runner, self.config.host, self.config.tls_port, ssl_context=self.certificate.context).start()
            self.tls_port = self._runner.addresses[1][1]
        for one in self.neighbours:
            await one.start()
        if self.outside is not None:
            await self.outside.start()
        self.feed.prepare()
        lead_ns = int(self.config.lead_s * self.config.speed * NS)
        self._set_clock(Clock(self.config.speed, None if self.config.at_now else self.feed.start_ns - lead_ns))
        if self.config.at_now:
            self._move(self.now_ns())  # what has happened until now, before anybody looks
        if self.config.binary:
            self.binary = await self._binary().start()
        self.pump = asyncio.create_task(self._pump(), name="emulator")
        return self

    def _binary(self) -> BinaryVenue:
        """The hourly binary in the same market time; it settles on the contract BTCUSDT, where there is one with a past."""
        config, state = self.config, self.states.get("BTCUSDT")
        spot = OfContract(state) if state is not None and state.seed is not None else Walk(config.seed, self.now_ns())
        return BinaryVenue(config.seed, config.binary_faults, config.host, self.clock, spot=spot, lag_s=config.binary_lag_s)

    def _go_on(self, saved: Saved) -> None:
        """Accounts as they were left; their stops are watched from the first moment on, whether anybody connects or not."""
        now, exchange = self.feed.start_ns, self.desk.exchange
        restore(Path(self.config.state), saved, exchange, self.states, now)
        self._attend(now)
        exchange.positions.watch_margin()

    def now_ns(self) -> int:
        """Market time, which never runs back, not even where waiting for a client sets the clock anew."""
        self._now_ns = max(self._now_ns, self.clock.now_ns())
        return self._now_ns

    def _set_clock(self, clock: Clock) -> None:
        self.clock = clock
        self._anchor()

    def _anchor(self) -> None:
        """UTC beside market time; again every second, as the system's clock may be stepped."""
        self.times.market_ns, self.times.utc_ns, self.times.speed = self.clock.now_ns(), time.time_ns(), self.clock.speed

    async def close(self) -> None:
        """Stop sending, close every connection and the ports."""
        if self.pump is not None:
            self.pump.cancel()
            await asyncio.gather(self.pump, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self.keeper is not None:
            self.keeper.keep(self.now_ns(), always=True)
        self.hub.drop()
        self.sockets.drop()
        self._rest.tear()
        for one in self.neighbours:
            await one.close()
        if self.outside is not None:
            await self.outside.close()
        if self.binary is not None:
            await self.binary.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self.certificate is not None:
            self.certificate.close()

    async def __aenter__(self) -> "Emulator":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _pump(self) -> None:
        """Send what is due, for ever."""
        if self.config.wait_for_client:
            self._set_clock(Clock(STANDSTILL, self.feed.start_ns))  # answers take their time, though the market has none
            hubs = [self.hub, *(one.hub for one in self.neighbours)]
            while not any(connection.topics for hub in hubs for connection in hub.connections):
                self._deliver(self.now_ns())
                await asyncio.sleep(0.001)
            self._set_clock(Clock(self.config.speed, self.feed.start_ns))
        loop = asyncio.get_running_loop()
        every_second = loop.time() + 1.0
        while True:
            due = self.feed.next_ns
            now = self.now_ns()
            if due is not None:
                self.lag_ns_max = max(self.lag_ns_max, now - due)
            self._move(now)
            self._deliver(now)
            if self.feed.next_ns is None:
                self.finished.set()
            if loop.time() >= every_second:
                every_second = loop.time() + 1.0
                for hub in (self.hub, *(one.hub for one in self.neighbours)):
                    hub.cut_idle(loop.time())
                self._anchor()
                if self.keeper is not None:
                    self.keeper.keep(now)
            await self._pause()

    async def _pause(self) -> None:
        """Until the next frame or fault is due; generate ahead first, so that this is done while nothing is due."""
        begins = self.feed.start_ns
        due = min(self._opening_ns, begins) if self.clock.now_ns() < begins else self.feed.next_ns
        waiting = (due, self.faults.next_ns, *(one.board.next_ns for one in self.neighbours))
        times = [t for t in waiting if t is not None]
        wall_s = self.clock.to_wall(min(times) - self.clock.now_ns()) / NS if times else 1.0
        if wall_s > 0.002 or self.clock.speed > 20:
            self.feed.prepare()
        self._wake.clear()
        try:
            async with asyncio.timeout(min(max(wall_s, TICK_S), 1.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _move(self, now: int) -> None:
        """The market up to now: the exchange sees it as it is, the clients as the faults leave it."""
        frames = self._before(now) if now < self.feed.start_ns else self.feed.until(now)
        for beside in self.beside:
            frames += beside.frames(self.hub.wanted, now // 1_000_000)
        if self.hub.always:
            self.feeder.feed(frames, now)
        self.desk.begin(now, max((frame.cascade for frame in frames), default=0))
        if self._extra:
            frames, self._extra = frames + self._extra, []
        down = self.faults.active("maintenance", now) is not None
        self.hub.refusing = down or self.faults.active("refuse", now, "public") is not None
        self.hub.stall(self.faults.active("stall", now, "public") is not None)
        frames = self.faults.apply(now, frames)
        due = self._public.due(now) if frames else now
        if due <= now:
            self.hub.send(frames)
        else:
            self.desk.later(due, lambda _: self.hub.send(frames))
        for one in self.neighbours:
            one.move(now)

    def _before(self, now: int) -> list[Frame]:
        """The answer while the market has not begun."""
        if now < self._opening_ns:
            return []
        self._opening_ns = now + BOOK_SILENCE_MS * 1_000_000
        return self.feed.opening(now)

    def _on_fault(self, fault: Fault, now: int) -> None:
        """The public side of a fault that begins."""
        for one in self.neighbours:
            one.on_fault(fault, now)
        if fault.venue not in ("", "bybit"):
            return
        public = fault.channel in ("", "public")
        if fault.kind == "maintenance" or (fault.kind == "refuse" and public):
            self.hub.refusing = True  # at once: a disconnected client comes back within microseconds
        if fault.kind == "maintenance" or (fault.kind == "drop" and public):
            self.hub.drop()
        elif fault.kind == "half_open" and public:
            self.hub.freeze(now + int(fault.duration_s * NS) if fault.duration_s else 1 << 62)
        elif fault.kind == "book_restart":
            self._extra += restart_frames(self.states.values(), now // 1_000_000)
        elif fault.kind == "book_gap":
            for state in self.states.values():
                state.u += 1_000

    def enter(self, link: Link | None, act: Callable[[int], None], attend: bool = True) -> None:
        """Something comes in, over a link (None: that of REST): act(market time) when it has arrived. attend: it is about an account."""
        now = self.now_ns()
        if attend:
            self._attend(now)
        due = (self._towards if link is None else link).due(now)
        if due <= now:
            self._move(now)  # the order meets the market of its own moment
            act(now)
        else:
            self.desk.later(due, act)
        self._deliver(now)

    def _attend(self, now: int) -> None:
        """An account is used for the first time: from now on the exchange is shown the market. Before, nobody pays for that."""
        if not self.hub.always:
            self.hub.always = self.feeder.topics & self.hub.topics
            self.hub.count_wanted()
            self.feeder.begin(list(self.states.values()), now)

    def _deliver(self, now: int) -> None:
        """Send what the desk has to say, and come back when it has more."""
        for to, what in self.desk.take(now):
            if isinstance(to, Session):
                assert not isinstance(what, Response)
                self.sockets.deliver(to, what, now)
            else:
                self._answer(to, what, now)
        self._arm(now)

    def _answer(self, ticket: Hashable, what: object, now: int) -> None:
        assert isinstance(ticket, int) and isinstance(what, Response | Ending)
        due = self._back.due(now)
        if due <= now:
            self._rest.answer(ticket, what)
        else:
            self.desk.later(due, lambda _: self._rest.answer(ticket, what))

    def _arm(self, now: int) -> None:
        due = self.desk.next_ns
        if due is None or (self._timer is not None and now < self._timer_ns <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due
        wall_s = min(max(self.clock.to_wall(due - now) / NS, 0.0), 1.0)
        self._timer = asyncio.get_running_loop().call_later(wall_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._deliver(self.now_ns())


async def serve(config: Config | None = None, feed: Feed | None = None) -> Emulator:
    """Start an emulator in the running event loop. Close it with `await emulator.close()` or use it as an async context manager."""
    config = config or Config()
    saved = load(Path(config.state), config.seed) if config.state else None
    return await Emulator(config, feed or feed_of(config, saved), saved).start()


async def _orphaned(parent: int) -> None:
    """Return when the process that started this one is gone, however it ended: a SIGKILL leaves it no moment to stop us."""
    while os.getppid() == parent:
        await asyncio.sleep(0.2)


async def _main(config: Config, parent: int | None = None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with await serve(config) as emulator:
        print(json.dumps(emulator.ready()), flush=True)
        assert emulator.pump is not None
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait()), emulator.pump]
        if config.hours is not None or config.from_:
            waits.append(asyncio.create_task(emulator.finished.wait()))
        if parent is not None:
            waits.append(asyncio.create_task(_orphaned(parent)))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if emulator.pump.done():
            emulator.pump.result()  # the market has stopped for an error: say it and end, rather than stand still for ever
        for task in waits:
            task.cancel()
        if not stop.is_set():
            await asyncio.sleep(0.2)  # let clients read the last frames
    return 0


def run(config: Config | None = None, *, parent: int | None = None, **options: Any) -> int:
    """The `liqcore emulate` command: print one JSON line when ready, serve until SIGTERM, SIGINT or the end of the market; exit status.

    options: fields of Config, where no Config is given. parent: end when that process is gone.
    """
    config = config or Config(**options)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_main(config, parent))
    return uvloop.run(_main(config, parent))
