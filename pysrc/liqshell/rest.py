"""The common part of REST clients: sending a request, the limit of an answer's size, the names of failures, pages.

There are two clients: live/rest.py on the event loop, live/blocking_rest.py without one.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Generator
from typing import NamedTuple, TypeVar

from liqshell.log import redact
from liqshell.transport import Endpoint
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.rest_responses import Parsed
from liqshell.venues.bybit.signing import Keys, rest_headers

T = TypeVar("T")
BODY_BYTES_MAX = 1 << 20
LIST_BYTES_MAX = 8 << 20  # of public market data: the list of all contracts has nearly 1 MiB
PAGES_MAX = 50
Pages = Generator[Request, Parsed[tuple[T, ...]], Parsed[tuple[T, ...]]]


class Outgoing(NamedTuple):
    """A request as it is sent: target is path and query, body None for GET."""

    target: str
    headers: dict[str, str]
    body: bytes | None


class Signer:
    """base: address of the venue; ConfigError where it is none, where there are keys and nothing signed may go there, or where tls does not check.
    keys None: nothing is signed. url: what to connect to."""

    def __init__(self, base: str, keys: Keys | None, recv_window_ms: int, tls: ssl.SSLContext | None):
        self._keys, self._window = keys, recv_window_ms
        self._endpoint = Endpoint(base, tls) if keys is not None else None
        self.url = (self._endpoint.url if self._endpoint is not None else base).rstrip("/")

    def outgoing(self, method: str, path: str, query: str, body: str, now_ms: int) -> Outgoing:
        """Signed for this moment, ms by the venue's clock."""
        headers = {}
        if self._keys is not None and self._endpoint is not None:
            headers = rest_headers(self._keys, self._endpoint, now_ms, query if method == "GET" else body, self._window) | self._endpoint.headers()
        return Outgoing(path + (f"?{query}" if query else ""), headers, None if method == "GET" else body.encode())


def bytes_max(weight: str) -> int:
    """Of an answer; more is no answer."""
    return LIST_BYTES_MAX if weight == "market" else BODY_BYTES_MAX


def too_long(weight: str) -> str:
    """Of an answer that has more."""
    return f"an answer of more than {bytes_max(weight)} bytes"


def failure(why: BaseException, timeout_s: float) -> str:
    """Why there is no answer, without secrets."""
    return f"no answer within {timeout_s:g} s" if isinstance(why, TimeoutError) else redact(f"{type(why).__name__}: {why}"[:200])


def paged(build: Callable[[str], Request]) -> Pages[T]:
    """A list of several pages: yields what to ask and takes the page. Returns all rows, or what could not be read: half a list is none, and
    neither is one without an end. build(cursor) -> Request."""
    out: list[T] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        found = yield build(cursor)
        if not found.ok or found.value is None:
            return found
        out += found.value
        cursor = found.cursor
        if not cursor or not found.value:
            return Parsed(True, tuple(out), 0)
    return Parsed(False, reason=f"more than {PAGES_MAX} pages")


def walk(pages: Pages[T], ask: Callable[[Request], Parsed[tuple[T, ...]]]) -> Parsed[tuple[T, ...]]:
    """Ask for one page after the other."""
    try:
        request = next(pages)
        while True:
            request = pages.send(ask(request))
    except StopIteration as end:
        found: Parsed[tuple[T, ...]] = end.value
        return found


async def walk_async(pages: Pages[T], ask: Callable[[Request], Awaitable[Parsed[tuple[T, ...]]]]) -> Parsed[tuple[T, ...]]:
    """The same on the event loop."""
    try:
        request = next(pages)
        while True:
            request = pages.send(await ask(request))
    except StopIteration as end:
        found: Parsed[tuple[T, ...]] = end.value
        return found
