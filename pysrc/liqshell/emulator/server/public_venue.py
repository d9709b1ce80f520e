"""A venue beside Bybit as a server: its own port (and TLS port), websockets and REST of its public side, and the faults that apply to them.

A subclass defines the paths and the answers; this module has sockets, links and time.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Generic
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from liqshell.clock import NS
from liqshell.emulator.api.faults import Fault
from liqshell.emulator.market.bars import MadePast
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import Board, L
from liqshell.emulator.market.synthetic_feed import MS
from liqshell.emulator.server.control import guarded
from liqshell.emulator.server.host import Host
from liqshell.emulator.server.public_sockets import Hub

LABEL = "X-Liqcore-Market"
Answer = tuple[int, bytes]  # HTTP status and JSON


class PublicVenue(Generic[L]):
    """One such venue. name: as in [feed] venue. hub: of its websockets; board: of its frames."""

    name = ""

    def __init__(self, emulator: Host, hub: Hub, board: Board[L], contracts: Sequence[Contract]) -> None:
        self.emulator, self.hub, self.board, self.contracts = emulator, hub, board, list(contracts)
        self.by_symbol = dict(zip(self.symbols, board.lanes, strict=True))
        self.port = self.tls_port = 0
        self.requests = 0
        for lane, state in zip(board.lanes, emulator.states.values(), strict=True):
            lane.begin(None if state.seed is None else MadePast(lane.contract, state.seed))
        self._runner: web.AppRunner | None = None
        self._link = emulator.link(f"{self.name} public")
        self._rest_link = emulator.link(f"{self.name} REST", False)
        self._random = random.Random(f"{emulator.config.seed} {self.name}")

    # ---- what a venue says ----

    def routes(self) -> list[web.RouteDef]:
        """Websockets; REST is the rest."""
        raise NotImplementedError

    def rest(self, method: str, path: str, query: dict[str, str], now_ms: int) -> Answer:
        """Answer of a REST request."""
        raise NotImplementedError

    def farewell(self) -> None:
        """The message on the websockets before a maintenance closes them."""

    # ---- sockets ----

    async def start(self) -> None:
        """Bind."""
        app = web.Application(middlewares=[guarded])
        app.add_routes([*self.routes(), web.route("*", "/{path:.*}", self._rest)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.emulator.config.host, 0).start()
        self.port = self._runner.addresses[0][1]
        certificate = self.emulator.certificate
        if certificate is not None:
            await web.TCPSite(self._runner, self.emulator.config.host, 0, ssl_context=certificate.context).start()
            self.tls_port = self._runner.addresses[1][1]

    async def close(self) -> None:
        """Every connection, then the port."""
        self.hub.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    def ready(self) -> dict[str, object]:
        """Addresses for the line of `liqcore emulate`."""
        host = self.emulator.config.host
        line: dict[str, object] = {"rest": f"http://{host}:{self.port}", "ws": f"ws://{host}:{self.port}", "symbols": self.symbols}
        if self.tls_port:
            line["tls"] = {"rest": f"https://localhost:{self.tls_port}", "ws": f"wss://localhost:{self.tls_port}"}
        return line

    @property
    def symbols(self) -> list[str]:
        """Contract names as this venue writes them."""
        return [contract.symbol for contract in self.contracts]

    def status(self) -> dict[str, object]:
        """Counters."""
        return self.hub.counters() | {"requests": self.requests}

    async def _rest(self, request: web.Request) -> web.Response:
        """Any path that is no websocket's, over the link and the faults."""
        emulator, faults = self.emulator, self.emulator.faults
        self.requests += 1
        low, high = emulator.config.ack_delay_s
        wait = low + (high - low) * self._random.random()
        now = emulator.now_ns()
        wait += emulator.clock.to_wall(2 * (self._rest_link.due(now) - now)) / NS
        await asyncio.sleep(wait)
        now = emulator.now_ns()
        status, body = 503, b""
        if request.path == "/emulator/status":  # a client of this venue alone asks for the clock here
            status, body = 200, orjson.dumps(emulator.status())
        elif faults.named("refuse", now, "rest", self.name) and request.transport is not None:
            request.transport.abort()
        elif faults.active("maintenance", now, venue=self.name) is None:
            fault = faults.strike("http_error", now, "rest", "query", venue=self.name)
            if fault is not None:
                status = int(fault.code) or 500
            else:
                given = dict(request.query) | (dict(parse_qsl((await request.read()).decode("utf-8", "replace"))) if request.can_read_body else {})
                status, body = self.rest(request.method, request.path, given, now // MS)
        return web.Response(body=body, status=status, content_type="application/json", headers={LABEL: emulator.label})

    # ---- time ----

    def move(self, now: int) -> None:
        """Send what is due."""
        faults, hub = self.emulator.faults, self.hub
        frames = self.board.until(now)
        hub.refusing = (faults.active("maintenance", now, venue=self.name) or faults.active("refuse", now, "public", self.name)) is not None
        hub.stall(faults.active("stall", now, "public", self.name) is not None)
        frames = faults.apply(now, frames, self.name)
        due = self._link.due(now) if frames else now
        if due <= now:
            hub.send(frames)
        else:
            self.emulator.desk.later(due, lambda _: hub.send(frames))

    def on_fault(self, fault: Fault, now: int) -> None:
        """A fault begins."""
        public = fault.channel in ("", "public")
        if fault.venue not in ("", self.name):
            return
        if fault.kind == "maintenance" or (fault.kind == "refuse" and public):
            self.hub.refusing = True
        if fault.kind == "maintenance":
            self.farewell()
            self.hub.part()
        elif fault.kind == "drop" and public:
            self.hub.drop()
        elif fault.kind == "half_open" and public:
            self.hub.freeze(now + int(fault.duration_s * NS) if fault.duration_s else 1 << 62)
