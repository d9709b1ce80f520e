"""The emulated venue: one loopback port with the public websocket and market REST, fed by a generated or a recorded market."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from aiohttp import web

from ..clock import NS, Clock
from .contracts import CONTRACTS
from .faults import Faults, restart_frames
from .market import BLOCK_NS, START_NS, Cascade, Market, Parameters
from .rest import Rest
from .sockets import Hub
from .state import SymbolState
from .synthetic import Frame, SyntheticFeed
from .tape import TapeFeed

TICK_S = 0.0005                                      # frames due within so much wall time leave together
SYMBOLS = tuple(contract.symbol for contract in CONTRACTS)


class Feed(Protocol):
    """Where frames come from."""

    synthetic: bool
    wanted: set[str]
    states: dict[str, SymbolState]

    @property
    def start_ns(self) -> int: ...
    @property
    def next_ns(self) -> int | None: ...
    def until(self, now_ns: int) -> list[Frame]: ...
    def prepare(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Config:
    """What to emulate. Port 0 = any free one; start_ns None = the generator's default, or the recording's own first time."""

    seed: int = 0
    speed: float = 1.0
    symbols: tuple[str, ...] = SYMBOLS
    hours: float | None = None                       # generated market: stop sending after so much market time; None = never
    start_ns: int | None = None
    from_: tuple[str, ...] = ()                      # recordings; empty = generated market
    host: str = "127.0.0.1"
    port: int = 0
    faults: tuple[Mapping[str, object], ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)        # further fields of market.Parameters
    ack_delay_s: tuple[float, float] = (0.001, 0.003)
    buffer_max: int = 8 << 20
    idle_s: float = 600.0
    wait_for_client: bool = False                    # market time stands still until somebody has subscribed
    lead_s: float = 0.0                              # wall seconds from being ready to the first frame: time to connect without missing any

    def __post_init__(self) -> None:
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError:
            loopback = self.host == "localhost"
        if not loopback:
            raise ValueError(f"the emulator serves loopback addresses only, got host {self.host!r}; use 127.0.0.1")
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"hours must be positive, got {self.hours!r}")


def _feed(config: Config) -> Feed:
    if config.from_:
        return TapeFeed(map(Path, config.from_), config.start_ns)
    start = START_NS if config.start_ns is None else config.start_ns
    market = Market(Parameters(seed=config.seed, symbols=config.symbols, start_ns=start, **config.parameters))      # type: ignore[arg-type]
    return SyntheticFeed(market, None if config.hours is None else start + int(config.hours * 3600 * NS))


class Emulator:
    """A running emulator. `clock` is the market's; hand `clock.as_dict()` to other processes."""

    def __init__(self, config: Config, feed: Feed) -> None:
        self.config, self.feed, self.states, self.synthetic = config, feed, feed.states, feed.synthetic
        self.label = "SYNTHETIC" if feed.synthetic else "RECORDING"
        self.clock = Clock(config.speed, feed.start_ns)
        self.faults = Faults(config.seed, feed.start_ns, config.faults)
        self.hub = Hub(self.states, lambda: self.clock.now_ns(), feed.wanted, self._first_frame, config.seed, config.ack_delay_s,
                       config.buffer_max, config.idle_s, getattr(feed, "topics", ()))
        self.finished = asyncio.Event()              # the feed has ended
        self.lag_ns_max = 0
        self._wake = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def rest(self) -> str:
        """Base address of REST."""
        return f"http://{self.config.host}:{self.port}"

    @property
    def ws(self) -> str:
        """Base address of websockets; the paths below it are the venue's."""
        return f"ws://{self.config.host}:{self.port}"

    def ready(self) -> dict[str, object]:
        """What a client needs to know, as the JSON line of `liqcore emulate` says it."""
        return {"rest": self.rest, "ws": self.ws, "synthetic": self.synthetic, "market": self.label, "seed": self.config.seed,
                "clock": self.clock.as_dict(), "symbols": list(self.states)}

    def truth(self) -> list[Cascade]:
        """Ground truth: the cascades that have ended by now; empty for a recording."""
        now = self.clock.now_ns()
        return [cascade for cascade in self.feed.market.truth if cascade.end_ns <= now] if isinstance(self.feed, SyntheticFeed) else []

    def status(self) -> dict[str, object]:
        """Counters."""
        hub = self.hub
        return {"market": self.label, "seed": self.config.seed, "clock": self.clock.as_dict(), "now_ns": self.clock.now_ns(),
                "finished": self.finished.is_set(), "connections": len(hub.connections), "connected": hub.connected, "refused": hub.refused,
                "slow_consumers": hub.slow_consumers, "idle_cuts": hub.idle_cuts, "frames_sent": hub.frames_sent,
                "lag_ns_max": self.lag_ns_max, "faults": self.faults.fired}

    def _first_frame(self, topic: str, ts_ms: int) -> bytes | None:
        state = self.states.get(topic.rsplit(".", 1)[1])
        return state.first_frame(topic, ts_ms) if state else None

    def wake(self) -> None:
        """Look at the clock and the faults now."""
        self._wake.set()

    async def start(self) -> "Emulator":
        """Bind and begin; market time starts when this returns (or with the first subscription, see wait_for_client)."""
        app = web.Application()
        app.add_routes(Rest(self).routes())
        app.router.add_get("/v5/public/linear", self.hub.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.feed.prepare()
        self.clock = Clock(self.config.speed, self.feed.start_ns - int(self.config.lead_s * self.config.speed * NS))
        self._task = asyncio.create_task(self._pump(), name="emulator")
        return self

    async def close(self) -> None:
        """Stop sending, close every connection and the port."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.hub.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> "Emulator":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _pump(self) -> None:
        """Send what is due, for ever."""
        if self.config.wait_for_client:
            while not self.feed.wanted:
                await asyncio.sleep(0.001)
            self.clock = Clock(self.config.speed, self.feed.start_ns)
        loop = asyncio.get_running_loop()
        idle_check = loop.time() + 1.0
        while True:
            due = self.feed.next_ns
            now = self.clock.now_ns()
            if due is not None:
                self.lag_ns_max = max(self.lag_ns_max, now - due)
            frames = self.feed.until(now)
            self._send(now, frames)
            if self.feed.next_ns is None:
                self.finished.set()
            if loop.time() >= idle_check:
                idle_check = loop.time() + 1.0
                self.hub.cut_idle(loop.time())
            await self._pause()

    async def _pause(self) -> None:
        """Until the next frame or fault is due; generate ahead first, so that this is done while nothing is due."""
        times = [t for t in (self.feed.next_ns, self.faults.next_ns) if t is not None]
        wall_s = self.clock.to_wall(min(times) - self.clock.now_ns()) / NS if times else 1.0
        if wall_s > 0.002 or self.clock.speed > 20:
            self.feed.prepare()
        self._wake.clear()
        try:
            async with asyncio.timeout(min(max(wall_s, TICK_S), 1.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _send(self, now: int, frames: list[Frame]) -> None:
        for fault in self.faults.begin(now, max((frame.cascade for frame in frames), default=0)):
            if fault.kind == "drop":
                self.hub.drop()
            elif fault.kind == "half_open":
                self.hub.freeze(now + int(fault.duration_s * NS) if fault.duration_s else 1 << 62)
            elif fault.kind == "book_restart":
                frames += restart_frames(self.states.values(), now // 1_000_000)
        self.hub.refusing = self.faults.active("refuse", now) is not None
        self.hub.stall(self.faults.active("stall", now) is not None)
        self.hub.send(self.faults.apply(now, frames))


async def serve(config: Config | None = None, feed: Feed | None = None) -> Emulator:
    """Start an emulator in the running event loop. Close it with `await emulator.close()` or use it as an async context manager."""
    config = config or Config()
    return await Emulator(config, feed or _feed(config)).start()


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
        waits: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
        if config.hours is not None or config.from_:
            waits.append(asyncio.create_task(emulator.finished.wait()))
        if parent is not None:
            waits.append(asyncio.create_task(_orphaned(parent)))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not stop.is_set():
            await asyncio.sleep(0.2)                 # let clients read the last frames
    return 0


def run(seed: int = 0, speed: float = 1.0, from_: Sequence[str | Path] = (), host: str = "127.0.0.1", port: int = 0,
        start_ns: int | None = None, symbols: Iterable[str] = SYMBOLS, hours: float | None = None,
        faults: Iterable[Mapping[str, object]] = (), parameters: Mapping[str, object] | None = None,
        wait_for_client: bool = False, lead_s: float = 0.0, parent: int | None = None) -> int:
    """The `liqcore emulate` command: print one JSON line when ready, serve until SIGTERM, SIGINT or the end of the market; exit status."""
    config = Config(seed=seed, speed=speed, symbols=tuple(symbols), hours=hours, start_ns=start_ns, from_=tuple(map(str, from_)), host=host,
                    port=port, faults=tuple(faults), parameters=parameters or {}, wait_for_client=wait_for_client, lead_s=lead_s)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_main(config, parent))
    return uvloop.run(_main(config, parent))


if __name__ == "__main__":
    sys.exit(run())


__all__ = ["BLOCK_NS", "Config", "Emulator", "run", "serve"]
