"""HTTP of the emulator: the venue's REST, which the desk answers, and the emulator's own paths (/emulator/...)."""

import asyncio
from dataclasses import asdict

import orjson
from aiohttp import web

from liqshell.emulator.api.account_api import Ending, Request, Response
from liqshell.emulator.server.host import Host

LABEL = "X-Liqcore-Market"  # SYNTHETIC or RECORDING on every answer
LOST_S = 60.0  # a request whose answer is lost is held so long (wall time), then torn


class Rest:
    """Routes of one emulator."""

    def __init__(self, emulator: Host) -> None:
        self.emulator = emulator
        self.waiting: dict[int, asyncio.Future[Response | Ending]] = {}
        self._tickets = 0

    def routes(self) -> list[web.RouteDef]:
        """Everything served by http."""
        return [
            web.get("/emulator/truth", self.truth),
            web.get("/emulator/status", self.status),
            web.post("/emulator/fault", self.fault),
            web.get("/emulator/account", self.account),
            web.route("*", "/{path:.*}", self.venue),
        ]

    async def venue(self, request: web.Request) -> web.Response:
        """Any path of the venue: the desk is handed exactly what was sent, as that is what was signed."""
        emulator = self.emulator
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        self._tickets += 1
        ticket = self._tickets
        future = self.waiting[ticket] = asyncio.get_running_loop().create_future()
        asked = Request(request.method, path, query, body, dict(request.headers), request.remote or "")
        try:
            emulator.enter(None, lambda now_ns: emulator.desk.request(ticket, asked, now_ns), not path.startswith("/v5/market/"))
            async with asyncio.timeout(LOST_S):
                answer = await future
        except TimeoutError:
            answer = Ending.RESET
        finally:
            self.waiting.pop(ticket, None)
        if isinstance(answer, Ending):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers | {LABEL: emulator.label})

    def answer(self, ticket: int, what: Response | Ending) -> None:
        """The desk's answer to a request."""
        future = self.waiting.get(ticket)
        if future is not None and not future.done():
            future.set_result(what)

    def tear(self) -> None:
        """End what still waits."""
        for ticket in tuple(self.waiting):
            self.answer(ticket, Ending.RESET)

    def _json(self, body: bytes, status: int = 200) -> web.Response:
        return web.Response(body=body, status=status, content_type="application/json", headers={LABEL: self.emulator.label})

    async def truth(self, request: web.Request) -> web.Response:
        """Ground truth of the generator: the cascades that have ended. Not part of the venue's API."""
        found = [asdict(cascade) for cascade in self.emulator.truth()]
        return self._json(orjson.dumps({"synthetic": self.emulator.synthetic, "cascades": found}))

    async def status(self, request: web.Request) -> web.Response:
        """Counters of the emulator, its clock and the faults so far."""
        return self._json(orjson.dumps(self.emulator.status()))

    async def account(self, request: web.Request) -> web.Response:
        """The true state of each account, without staleness. Not part of the venue's API."""
        desk = self.emulator.desk
        return self._json(orjson.dumps({key: _plain(desk.exchange.truth(one.account)) for key, one in desk.keys.items()}))

    async def fault(self, request: web.Request) -> web.Response:
        """POST a fault, or a list of them; see api.faults.KINDS."""
        try:
            specs = orjson.loads(await request.read())
            for spec in specs if isinstance(specs, list) else [specs]:
                self.emulator.faults.add(spec)
        except (orjson.JSONDecodeError, ValueError, TypeError) as error:
            return self._json(orjson.dumps({"error": str(error)}), 400)
        self.emulator.wake()
        await asyncio.sleep(0)
        return self._json(orjson.dumps({"ok": True}))


def _plain(truth: dict[str, object]) -> dict[str, object]:
    """JSON has no tuples for keys: positions by SYMBOL or SYMBOL/index."""
    positions = truth["positions"]
    assert isinstance(positions, dict)
    named = {symbol if not index else f"{symbol}/{index}": one for (symbol, index), one in positions.items()}
    return {**truth, "positions": named}
