"""REST calls: one pool of kept connections, each call signed at the moment of sending. A call that may change something is sent at most once."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Callable
from dataclasses import replace

import aiohttp
from yarl import URL

from liqshell.rest import Signer, bytes_max, failure, too_long
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.effects import Answer, Call

CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 30.0
MISSED_S, MISSED_TIMES = 0.25, 5.0  # a question is sent again after so long: at least, and in times of a quick answer
USUAL_RISES = 1.1  # how fast that time follows a venue that has become slower, from answer to answer
TALKED_S = 5.0  # a venue that has answered within this is not down
CONNECTIONS_MAX = 128  # more than the gateway's budget has out at once: a stop or a cancel never queues here behind slow questions


class Rest:
    """base: address of the venue; ConfigError where there are keys and nothing signed may go there. offset_ms: says how much the venue's clock is
    ahead of ours. now: the clock of Answer's times, ns.

    Nothing that may change something is repeated here, no redirect followed, no proxy asked, no cookie kept. More than 1 MiB (8 MiB of public market
    data) is no answer.
    """

    def __init__(
        self,
        base: str,
        keys: Keys | None,
        recv_window_ms: int,
        tls: ssl.SSLContext | None,
        now: Callable[[], int],
        offset_ms: Callable[[], int] = lambda: 0,
    ):
        self.base = base
        self._tls = tls
        self._signer = Signer(base, keys, recv_window_ms, tls)
        self._now = now
        self._offset_ms = offset_ms
        self._session: aiohttp.ClientSession | None = None
        self._usual_s = 0.0  # what a quick answer takes, of late
        self._answered = -math.inf

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(ssl=self._tls or True, keepalive_timeout=KEEP_ALIVE_S, limit=CONNECTIONS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, call: Call) -> Answer:
        """Its Answer. Never raises for what a network or a venue does: status 0 and `why` say so. Whatever may change something is sent once. A
        question that waits much longer than others of late is sent a second time, where the venue answers others: its answer was probably lost. Both
        end with the call's own time."""
        if call.method != "GET":
            return await self._send(call)
        first = asyncio.ensure_future(self._send(call))
        out, missed_s = {first}, max(MISSED_S, MISSED_TIMES * self._usual_s)
        try:
            await asyncio.wait(out, timeout=missed_s)
            if not first.done() and missed_s < call.timeout_s and time.monotonic() < self._answered + TALKED_S:
                out.add(asyncio.ensure_future(self._send(replace(call, timeout_s=call.timeout_s - missed_s))))
            waiting = out
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if one.result().status:
                        return one.result()
            return first.result()
        finally:
            for one in out:
                one.cancel()

    async def _send(self, call: Call) -> Answer:
        began = time.monotonic()
        answer = await self._request(call)
        if answer.status:
            self._answered = time.monotonic()
            self._usual_s = min(self._answered - began, USUAL_RISES * self._usual_s if self._usual_s else math.inf)
        return answer

    async def _request(self, call: Call) -> Answer:
        sent = self._now()

        def none(why: str) -> Answer:
            return Answer(0, why=why, sent_ns=sent, received_ns=self._now())

        most, pool = bytes_max(call.weight), self._pool()
        timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, call.timeout_s))
        try:
            # the signature is made here, after which nothing waits but the socket
            out = self._signer.outgoing(call.method, call.path, call.query, call.body, self._now() // 1_000_000 + self._offset_ms())
            async with pool.request(
                call.method,
                URL(self._signer.url + out.target, encoded=True),
                headers=out.headers,
                data=out.body,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > most:
                        answer.close()
                        return none(too_long(call.weight))
                return Answer(answer.status, bytes(body), dict(answer.headers), sent_ns=sent, received_ns=self._now())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as why:
            return none(failure(why, call.timeout_s))
