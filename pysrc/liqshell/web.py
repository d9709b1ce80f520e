"""One HTTP request to a service that is not the venue (a model, a news search), with a deadline that also holds if the server hangs or sends very
slowly.

No redirect is followed, no proxy asked, no cookie kept, nothing repeated but once where no connection was made. A key leaves over verified TLS or to
this machine only (transport.py).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

from liqshell.log import redact
from liqshell.transport import Endpoint, tls_context

CONNECT_S = 1.0
AGAIN_S = 2.0  # a second attempt, after a connection that was not made, needs at least so much time
BYTES_MAX = 1 << 20
AGENT = {"User-Agent": "liqcore"}  # some refuse that of Python's own client


class Reply(NamedTuple):
    """status 0 = no answer, and `why` says why: "timeout", "connect", "too_long" or "broken". bytes of an answer that was cut are not kept."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    why: str = ""
    detail: str = ""


class Web:
    """base: address; ConfigError where it is none, or where `headers` carry a key and it is neither TLS nor this machine. headers: sent with every
    request. ca: a PEM file that alone is trusted, "" = the system's authorities."""

    def __init__(self, base: str, headers: Mapping[str, str] | None = None, ca: str = "", *, secret: bool = False, bytes_max: int = BYTES_MAX):
        self._address = base.rstrip("/")
        self.base = redact(self._address)  # as it may be shown and recorded: an address may hold a password
        self._tls: ssl.SSLContext | None = tls_context(ca, base)
        self._endpoint = Endpoint(self._address, self._tls) if secret else None
        self._headers, self._bytes_max = dict(headers or {}), bytes_max
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Web({self.base!r})"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(ssl=self._tls or True, limit=16)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def ask(self, method: str, target: str, until_s: float, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer, or why there is none by `until_s` (time of the running loop). target: path and query, or "" for the base itself. headers: of
        this request alone."""
        loop = asyncio.get_running_loop()
        reply = Reply(0, why="timeout")
        for attempt in (0, 1):
            try:
                async with asyncio.timeout_at(until_s):
                    return await self._once(method, target, body, headers or {})
            except TimeoutError as why:
                # the whole time is over, or no connection was made within its own
                connecting = isinstance(why, aiohttp.ConnectionTimeoutError) and loop.time() < until_s
                if not connecting:
                    return Reply(0, why="timeout")
                reply = Reply(0, why="connect", detail=f"no connection within {CONNECT_S:g} s")
            except aiohttp.ClientConnectorError as why:
                reply = Reply(0, why="connect", detail=redact(f"{type(why).__name__}: {why}"[:200]))
            except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as why:
                return Reply(0, why="broken", detail=redact(f"{type(why).__name__}: {why}"[:200]))
            if attempt or until_s - loop.time() < AGAIN_S:
                return reply
        return reply

    async def _once(self, method: str, target: str, body: bytes | None, own: Mapping[str, str]) -> Reply:
        headers, url = {**self._headers, **own}, self._address
        if self._endpoint is not None:
            self._endpoint.vouch()
            headers |= self._endpoint.headers()
            url = self._endpoint.url
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        async with self._pool().request(
            method, URL(url + target, encoded=True), headers=headers, data=body, allow_redirects=False, timeout=timeout
        ) as answer:
            found = bytearray()
            async for chunk in answer.content.iter_chunked(65_536):
                found += chunk
                if len(found) > self._bytes_max:
                    answer.close()
                    return Reply(0, why="too_long", detail=f"an answer of more than {self._bytes_max} bytes")
            return Reply(answer.status, bytes(found), {name.lower(): value for name, value in answer.headers.items()})
