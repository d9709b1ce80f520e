"""One websocket of the account: connected at the gateway's request, and again with jitter after every loss; passes its messages on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

import picows

from liqshell.transport import Endpoint
from liqshell.venues.effects import Channel

RECONNECT_S = (0.2, 30.0)  # first and longest pause, with full jitter
HANDSHAKE_S = 5.0  # of the websocket
CONNECT_S = 10.0  # of all: name, TCP, TLS and websocket; what is swallowed on the way must not keep us from trying again
MESSAGE_MAX = 1 << 20
_log = logging.getLogger("liqshell.live")


class _Listener(picows.WSListener):
    """Whole messages to `on_message`; what is larger than MESSAGE_MAX ends the connection."""

    def __init__(self, on_message: Callable[[bytes], None], on_lost: Callable[[picows.WSTransport], None]):
        self._on_message = on_message
        self._on_lost = on_lost
        self._pieces = b""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION):
            self._pieces += frame.get_payload_as_bytes()
            if len(self._pieces) > MESSAGE_MAX:
                transport.disconnect()
            elif frame.fin:
                raw, self._pieces = self._pieces, b""
                self._on_message(raw)
        elif kind == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._on_lost(transport)


class Link:
    """on_frame(channel, raw), on_channel(channel, up): told what happens. connect() asks for a connection, a new one where there is one."""

    def __init__(self, channel: Channel, endpoint: Endpoint, on_frame: Callable[[Channel, bytes], None], on_channel: Callable[[Channel, bool], None]):
        self.channel = channel
        self.endpoint = endpoint
        self.transport: picows.WSTransport | None = None
        self.connects = 0
        self._on_frame = on_frame
        self._on_channel = on_channel
        self._wanted = asyncio.Event()
        self._attempt = 0

    def connect(self) -> None:
        """Return at once; on_channel(channel, True) follows when it stands."""
        if self.transport is not None:
            self.transport.disconnect(False)
        self._wanted.set()

    def send(self, frame: bytes) -> bool:
        """False where there is no connection."""
        if self.transport is None or self.transport.is_disconnected or self.transport.is_close_frame_sent:
            return False
        self.transport.send(picows.WSMsgType.TEXT, frame)
        return True

    async def run(self) -> None:
        """Serve connect() until cancelled; then the connection is closed."""
        try:
            while True:
                await self._wanted.wait()
                if self.transport is not None:  # the one that connect() has hung up on is about to report its end
                    await asyncio.sleep(0.01)
                    continue
                if self._attempt or self.connects:
                    await asyncio.sleep(random.uniform(0.0, min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(self._attempt, 10))))
                await self._open()
        finally:
            if self.transport is not None:
                transport, self.transport = self.transport, None  # its end is ours: not reported
                transport.disconnect()
                with contextlib.suppress(TimeoutError, picows.WSError, OSError):
                    await asyncio.wait_for(transport.wait_disconnected(), 1.0)

    async def _open(self) -> None:
        self._attempt += 1
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await picows.ws_connect(
                    lambda: _Listener(self._receive, self._lost),
                    self.endpoint.url,
                    ssl_context=self.endpoint.tls,
                    extra_headers=self.endpoint.headers(),
                    websocket_handshake_timeout=HANDSHAKE_S,
                    max_frame_size=MESSAGE_MAX,
                    max_redirects=0,
                    enable_auto_pong=True,
                )
        except (OSError, picows.WSError, TimeoutError) as why:
            _log.warning("%s: no connection (%s: %s)", self.channel.name, type(why).__name__, why)
            return
        if transport.is_disconnected:
            return
        self.transport = transport
        self.connects += 1
        self._wanted.clear()
        self._on_channel(self.channel, True)

    def _receive(self, raw: bytes) -> None:
        self._attempt = 0
        self._on_frame(self.channel, raw)

    def _lost(self, transport: picows.WSTransport) -> None:
        if transport is self.transport:
            self.transport = None
            self._wanted.set()  # what was wanted once is wanted again
            self._on_channel(self.channel, False)
