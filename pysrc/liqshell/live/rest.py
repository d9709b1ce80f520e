"""REST calls to the venue: one pool of kept connections, each call signed at the moment of sending and sent at most once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from yarl import URL

from liqshell.errors import ConfigError
from liqshell.gateway.effects import Answer, Call
from liqshell.log import redact
from liqshell.venues.bybit_signing import Keys, rest_headers

BODY_BYTES_MAX = 1 << 20
LIST_BYTES_MAX = 8 << 20        # of public market data: the list of all contracts has nearly 1 MiB
CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 30.0
CONNECTIONS_MAX = 128           # more than the gateway's budget has out at once: a stop or a cancel never queues here behind slow questions


def tls_context(ca: str, *urls: str) -> ssl.SSLContext | None:
    """What certificates are judged by; None where no address uses TLS. ca: a PEM file that alone is trusted, "" = the system's authorities."""
    if not any(url.startswith(("https:", "wss:")) for url in urls):
        return None
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as why:
        raise ConfigError(f"feed.ca: {ca}", f"cannot be used: {why}", "a PEM file of an authority") from None


class Rest:
    """base: address of the venue. offset_ms: says how much the venue's clock is ahead of ours. now: the clock of Answer's times, ns.

    Nothing is repeated here, no redirect followed, no proxy asked, no cookie kept. More than 1 MiB (8 MiB of public market data) is no answer.
    """

    def __init__(self, base: str, keys: Keys | None, recv_window_ms: int, tls: ssl.SSLContext | None, now: Callable[[], int],
                 offset_ms: Callable[[], int] = lambda: 0):
        self.base = base
        self._keys = keys
        self._recv_window_ms = recv_window_ms
        self._tls = tls
        self._now = now
        self._offset_ms = offset_ms
        self._session: aiohttp.ClientSession | None = None

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(ssl=self._tls or True, keepalive_timeout=KEEP_ALIVE_S, limit=CONNECTIONS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, call: Call) -> Answer:
        """Send it, once; its Answer. Never raises for what a network or a venue does: status 0 and `why` say so."""
        sent = self._now()

        def none(why: str) -> Answer:
            return Answer(0, why=why, sent_ns=sent, received_ns=self._now())

        most = LIST_BYTES_MAX if call.weight == "market" else BODY_BYTES_MAX
        url = URL(self.base + call.path + ("?" + call.query if call.query else ""), encoded=True)
        options: dict[str, Any] = {"data": call.body.encode() if call.method == "POST" else None, "allow_redirects": False,
                                   "timeout": aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, call.timeout_s))}
        try:
            # the signature is made here, after which nothing waits but the socket
            async with self._pool().request(call.method, url, headers=self._headers(call), **options) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > most:
                        answer.close()
                        return none(f"an answer of more than {most} bytes")
                return Answer(answer.status, bytes(body), dict(answer.headers), sent_ns=sent, received_ns=self._now())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as why:
            return none(redact(f"{type(why).__name__}: {why}"[:200]))

    def _headers(self, call: Call) -> dict[str, str]:
        if self._keys is None:
            return {}
        payload = call.body if call.method == "POST" else call.query
        return rest_headers(self._keys, self._now() // 1_000_000 + self._offset_ms(), payload, self._recv_window_ms)
