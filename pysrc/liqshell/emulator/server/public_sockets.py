"""The public websocket of the emulated venue: subscriptions, pings, and sending frames to many clients cheaply.

Frames are made into websocket messages once and written to the transport in one call per client and moment; a client that does not read is
cut off when its send buffer exceeds a limit. aiohttp does the handshake and reads; an offer of permessage-deflate is declined.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable

import orjson
from aiohttp import WSMsgType, web

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.synthetic_feed import Frame

ARGS_MAX = 21_000  # characters of topics on one connection
IDLE_S = 600.0  # a client that sends nothing for so long (wall time) is cut off


def message(payload: bytes, opcode: int = 1) -> bytes:
    """One unfragmented, unmasked websocket message."""
    n = len(payload)
    if n < 126:
        return bytes((0x80 | opcode, n)) + payload
    if n < 65_536:
        return bytes((0x80 | opcode, 126)) + n.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + n.to_bytes(8, "big") + payload


class Connection:
    """One client."""

    def __init__(self, hub: "Hub", transport: asyncio.WriteTransport, conn_id: str, category: str) -> None:
        self.hub, self.transport, self.conn_id, self.category = hub, transport, conn_id, category
        self.topics: set[str] = set()
        self.frozen_until = 0  # market ns; half-open
        self.last_read = 0.0

    def write(self, data: bytes) -> None:
        """Queue bytes; a client that is too far behind is cut off."""
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > self.hub.buffer_max:
            self.hub.slow_consumers += 1
            self.transport.abort()

    def frozen(self, now_ns: int) -> bool:
        """Whether this connection is half-open at the moment."""
        return now_ns < self.frozen_until


class Hub:
    """All clients of /v5/public/... Only linear has topics. always: topics that are built without a client. Other venues' hubs build on
    it."""

    connection_type = Connection

    def __init__(
        self,
        symbols: Iterable[str],
        now_ns: Callable[[], int],
        wanted: set[str],
        first_frame: Callable[[str, int], bytes | None],
        seed: int = 0,
        ack_delay_s: tuple[float, float] = (0.001, 0.003),
        buffer_max: int = 8 << 20,
        idle_s: float = IDLE_S,
        extra_topics: Iterable[str] = (),
    ) -> None:
        self.topics = {f"{name}.{symbol}" for name in bybit.SERVED for symbol in symbols} | set(extra_topics)
        self.always: set[str] = set()
        self.now_ns, self.wanted, self.first_frame = now_ns, wanted, first_frame
        self.ack_delay_s, self.buffer_max, self.idle_s = ack_delay_s, buffer_max, idle_s
        self.connections: set[Connection] = set()
        self.refusing = False
        self.connected = self.slow_consumers = self.refused = self.frames_sent = self.idle_cuts = 0
        self._stalled: list[Frame] | None = None
        self._random = random.Random(seed)
        self._ids = itertools.count(1)

    async def handle(self, request: web.Request, category: str | None = None) -> web.StreamResponse:
        """The websocket route. category: which of the venue's streams; by default as the path says."""
        transport = request.transport
        assert transport is not None
        if self.refusing:
            self.refused += 1
            transport.abort()
            return web.Response(status=503)
        ws = web.WebSocketResponse(compress=False, autoping=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        category = request.match_info.get("category", "linear") if category is None else category
        connection = self.connection_type(self, transport, f"synthetic-{next(self._ids):06d}", category)
        connection.last_read = asyncio.get_running_loop().time()
        self.connections.add(connection)
        self.connected += 1
        self.opened(connection, request)
        try:
            await self._read(ws, connection)
        finally:
            self.connections.discard(connection)
            self.count_wanted()
        return ws

    def opened(self, connection: Connection, request: web.Request) -> None:
        """A client has connected: where a venue lets it subscribe by the path."""

    async def _read(self, ws: web.WebSocketResponse, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        async for received in ws:
            connection.last_read = loop.time()
            if received.type is WSMsgType.PING:
                if not connection.frozen(self.now_ns()):
                    connection.write(message(received.data, 0xA))
            elif received.type is WSMsgType.TEXT:
                delay = self.ack_delay_s[0] + (self.ack_delay_s[1] - self.ack_delay_s[0]) * self._random.random()
                loop.call_later(delay, self._answer, connection, received.data)

    def _answer(self, connection: Connection, text: str) -> None:
        """One JSON request."""
        if connection not in self.connections or connection.frozen(self.now_ns()):
            return
        try:
            request = orjson.loads(text)
            op, req_id, args = request.get("op", ""), request.get("req_id"), request.get("args") or []
        except (orjson.JSONDecodeError, AttributeError):
            connection.write(message(bybit.ack("", connection.conn_id, None, False, "Invalid JSON")))
            return
        if op == "ping":
            connection.write(message(bybit.ack("ping", connection.conn_id, "" if req_id is None else req_id, True, "pong")))
        elif op in ("subscribe", "unsubscribe") and isinstance(args, list) and all(isinstance(topic, str) for topic in args):
            self._subscribe(connection, op, req_id, args)
        else:
            connection.write(message(bybit.ack(str(op), connection.conn_id, req_id, False, f"error:request not supported,op:{op}")))

    def _subscribe(self, connection: Connection, op: str, req_id: object, args: list[str]) -> None:
        topics = self.topics if connection.category == bybit.CATEGORY else ()
        unknown = next((topic for topic in args if topic not in topics), None)
        if connection.category == "option":
            connection.write(message(bybit.option_ack(connection.conn_id, args)))
            return
        problem = ""
        if unknown is not None:
            problem = bybit.refusal(unknown)  # one bad topic fails its whole batch
        elif op == "subscribe" and sum(map(len, connection.topics.union(args))) > ARGS_MAX:
            problem = "error:args too long"
        # the venue's own acks carry an empty req_id where the request had none
        connection.write(message(bybit.ack(op, connection.conn_id, "" if req_id is None else req_id, not problem, problem)))
        if problem:
            return
        if op == "unsubscribe":
            connection.topics.difference_update(args)
        else:
            ts = self.now_ns() // 1_000_000
            fresh = [topic for topic in args if topic not in connection.topics]
            connection.topics.update(args)
            for topic in fresh:
                frame = self.first_frame(topic, ts)
                if frame is not None:
                    connection.write(message(frame))
        self.count_wanted()

    def counters(self) -> dict[str, object]:
        """Of its connections, for status answers."""
        names = ("connected", "refused", "slow_consumers", "idle_cuts", "frames_sent")
        return {"connections": len(self.connections)} | {name: getattr(self, name) for name in names}

    def count_wanted(self) -> None:
        """Give the feed the topics to make frames of."""
        # the set object is shared with the feed: change it in place
        self.wanted.clear()
        self.wanted.update(self.always)
        for connection in self.connections:
            self.wanted.update(connection.topics)

    def send(self, frames: list[Frame]) -> None:
        """Write frames to everybody who has subscribed to them."""
        if self._stalled is not None:
            self._stalled += frames
            return
        if not frames or not self.connections:
            return
        now = self.now_ns()
        ready = [(frame, message(frame.payload)) for frame in frames]
        for connection in tuple(self.connections):
            if connection.frozen(now):
                continue
            chosen = [self.shaped(connection, frame, data) for frame, data in ready if frame.topic in connection.topics]
            if chosen:
                self.frames_sent += len(chosen)
                connection.write(b"".join(chosen))

    def shaped(self, connection: Connection, frame: Frame, data: bytes) -> bytes:
        """A frame in this client's form; data: its message."""
        return data

    def stall(self, on: bool) -> None:
        """Hold everything back, or let it go at once."""
        if on and self._stalled is None:
            self._stalled = []
        elif not on and self._stalled is not None:
            held, self._stalled = self._stalled, None
            self.send(held)

    def drop(self) -> None:
        """Reset every connection."""
        for connection in tuple(self.connections):
            connection.transport.abort()

    def part(self) -> None:
        """Close every connection once what was written has gone out."""
        for connection in tuple(self.connections):
            connection.transport.close()

    def freeze(self, until_ns: int) -> None:
        """Make every present connection half-open."""
        for connection in self.connections:
            connection.frozen_until = until_ns

    def cut_idle(self, now: float) -> None:
        """Close connections whose client has sent nothing for idle_s of wall time."""
        for connection in tuple(self.connections):
            if now - connection.last_read > self.idle_s:
                self.idle_cuts += 1
                connection.transport.close()
