"""REST calls to the venue: one pool of kept connections, each call signed at the moment of sending and sent at most once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import aiohttp
from yarl import URL

from liqshell.venues.effects import Answer, Call
from liqshell.rest import Signer, bytes_max, failure, too_long
from liqshell.venues.bybit.signing import Keys

CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 30.0
CONNECTIONS_MAX = 128           # more than the gateway's budget has out at once: a stop or a cancel never queues here behind slow questions


class Rest:
    """base: address of the venue; ConfigError where there are keys and nothing signed may go there. offset_ms: says how much the venue's clock is
    ahead of ours. now: the clock of Answer's times, ns.

    Nothing is repeated here, no redirect followed, no proxy asked, no cookie kept. More than 1 MiB (8 MiB of public market data) is no answer.
    """

    def __init__(self, base: str, keys: Keys | None, recv_window_ms: int, tls: ssl.SSLContext | None, now: Callable[[], int],
                 offset_ms: Callable[[], int] = lambda: 0):
        self.base = base
        self._tls = tls
        self._signer = Signer(base, keys, recv_window_ms, tls)
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

        most, pool = bytes_max(call.weight), self._pool()
        timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, call.timeout_s))
        try:
            # the signature is made here, after which nothing waits but the socket
            out = self._signer.outgoing(call.method, call.path, call.query, call.body, self._now() // 1_000_000 + self._offset_ms())
            async with pool.request(call.method, URL(self._signer.url + out.target, encoded=True), headers=out.headers, data=out.body,
                                    allow_redirects=False, timeout=timeout) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > most:
                        answer.close()
                        return none(too_long(call.weight))
                return Answer(answer.status, bytes(body), dict(answer.headers), sent_ns=sent, received_ns=self._now())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as why:
            return none(failure(why, call.timeout_s))
