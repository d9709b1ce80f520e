"""A way to the venue's REST that answers as it is told to: what a start meets on a bad day. The websockets go straight to the venue."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class Relay:
    """answer: given (path, how often that path was asked before), None = pass it on; an integer = that HTTP status; bytes = that body; "lost" = no answer.
    Paths of the emulator itself always pass. Starts to listen with listen()."""

    def __init__(self, venue: str, answer=lambda path, n: None):
        self.venue, self.answer, self.asked = venue, answer, Counter()
        self.runner = None
        self.port = 0

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        told = None if request.path.startswith("/emulator") else self.answer(request.path, self.asked[request.path])
        self.asked[request.path] += 1
        if told == "lost":
            await asyncio.sleep(60.0)
        if isinstance(told, int):
            return web.Response(status=told, text="<html>busy</html>")
        if isinstance(told, bytes):
            return web.Response(body=told, content_type="application/json")
        headers = {key: value for key, value in request.headers.items() if key.startswith("X-BAPI") or key == "Content-Type"}
        async with self.session.request(request.method, self.venue + request.path_qs, data=await request.read() or None, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    async def listen(self) -> None:
        self.session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.handle)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            await self.session.close()


@asynccontextmanager
async def relaying(venue: str, answer=lambda path, n: None):
    relay = Relay(venue, answer)
    await relay.listen()
    try:
        yield relay
    finally:
        await relay.close()


def code(number: int) -> bytes:
    """An answer with a result code."""
    return b'{"retCode":%d,"retMsg":"told so","result":{},"retExtInfo":{},"time":1}' % number
