"""The account's websockets over real connections: input goes to the desk, its output to the client."""

import asyncio
import re
from collections.abc import Callable

from aiohttp import WSMsgType, web

from liqshell.emulator.api.account_api import Ending, Session
from liqshell.emulator.api.network_link import Link
from liqshell.emulator.server.host import Host
from liqshell.emulator.server.public_sockets import message

_ACTIVE = re.compile(r"(\d{1,4})(s|m)", re.ASCII)


class Line:
    """One connection."""

    def __init__(self, session: Session, transport: asyncio.WriteTransport, towards: Link, back: Link) -> None:
        self.session, self.transport, self.towards, self.back = session, transport, towards, back


class AccountSockets:
    """All connections to /v5/private and /v5/trade."""

    def __init__(self, emulator: Host, link: Callable[[str], Link], buffer_max: int) -> None:
        self.emulator, self.link, self.buffer_max = emulator, link, buffer_max
        self.lines: dict[Session, Line] = {}
        self.slow_consumers = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The websocket route."""
        emulator, transport = self.emulator, request.transport
        assert transport is not None
        session = emulator.desk.connect(request.path, emulator.now_ns(), ip=request.remote or "", max_active_s=_seconds(request.query_string))
        if session is None:
            transport.abort()
            return web.Response(status=503)
        ws = web.WebSocketResponse(compress=False, autoping=False, max_msg_size=1 << 20)
        line = self.lines[session] = Line(session, transport, self.link(f"to {session.conn_id}"), self.link(f"from {session.conn_id}"))
        try:
            await ws.prepare(request)
            await self._read(ws, line)
        finally:
            self.lines.pop(session, None)
            emulator.desk.disconnect(session)
        return ws

    async def _read(self, ws: web.WebSocketResponse, line: Line) -> None:
        emulator, session = self.emulator, line.session
        async for received in ws:
            if received.type is WSMsgType.PING:
                session.read_ns = now = emulator.now_ns()
                if now >= session.frozen_until:
                    self.write(line, message(received.data, 0xA))
            elif received.type is WSMsgType.TEXT:
                self._request(line, received.data.encode())
            elif received.type is WSMsgType.BINARY:
                self._request(line, received.data)

    def _request(self, line: Line, data: bytes) -> None:
        self.emulator.enter(line.towards, lambda now_ns: self.emulator.desk.receive(line.session, data, now_ns))

    def deliver(self, session: Session, what: "bytes | Ending", now_ns: int) -> None:
        """Something that the desk says."""
        line = self.lines.get(session)
        if line is None:
            return
        if isinstance(what, Ending):
            if what is Ending.CLOSE:
                self.write(line, message(b"\x03\xe8", 0x8))
                line.transport.close()
            else:
                line.transport.abort()
            return
        due = line.back.due(now_ns)
        if due <= now_ns:
            self.write(line, message(what))
        else:
            self.emulator.desk.later(due, lambda _: self.write(line, message(what)))

    def write(self, line: Line, data: bytes) -> None:
        """Queue bytes; a client that is too far behind is cut off."""
        if line.transport.is_closing():
            return
        line.transport.write(data)
        if line.transport.get_write_buffer_size() > self.buffer_max:
            self.slow_consumers += 1
            line.transport.abort()

    def drop(self) -> None:
        """Reset every connection."""
        for line in tuple(self.lines.values()):
            line.transport.abort()


def _seconds(query: str) -> float | None:
    """max_active_time of a connection's address: 30s to 10m."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "max_active_time" and (match := _ACTIVE.fullmatch(value)):
            return int(match[1]) * (60.0 if match[2] == "m" else 1.0)
    return None
