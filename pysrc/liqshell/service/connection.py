"""A connection of `liqcore serve` with limits on idle clients. uvicorn itself limits only the time between requests."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from liqshell.service.problems import Problem
from liqshell.service.web import FULL, unread

CONNECTIONS_MAX = 1000
URL_BYTES_MAX = 65_535  # of httptools.parse_url
REQUEST_S = 60.0  # that a request may take to arrive, from the connection or from its first byte to its last
TAKE_S = 30.0  # that a client may take nothing of an answer that waits for it


class Connection(HttpToolsProtocol):
    """Ends where a request stays incomplete (a slow client, or one that opens connections only), and where an answer is not read. An unreadable
    request and a surplus connection are answered like every other problem."""

    _request: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_request()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_request()

    def on_url(self, url: bytes) -> None:
        if len(self.url) <= URL_BYTES_MAX:  # a longer one is refused behind its headers, so what follows is not kept
            super().on_url(url)

    def on_headers_complete(self) -> None:
        self.scope[FULL] = max(len(self.connections), len(self.tasks)) >= CONNECTIONS_MAX  # type: ignore[literal-required]
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        long = len(getattr(self, "url", b"")) > URL_BYTES_MAX
        headers, body = unread(Problem("bad-request", f"an address of more than {URL_BYTES_MAX} bytes" if long else msg))
        headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        self.transport.write(STATUS_LINE[400] + b"".join(b"%b: %b\r\n" % one for one in headers) + b"\r\n" + body)
        self.transport.close()

    def on_message_complete(self) -> None:
        _cancel(self._request)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        _cancel(self._answer)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._request)
        _cancel(self._answer)
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        _cancel(self._request)
        self._request = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _expect_reader(self, before: int) -> None:
        """before: bytes that waited TAKE_S ago. abort, not close: a close would wait for the client that does not read."""
        _cancel(self._answer)
        self._answer = self.loop.call_later(TAKE_S, self._check_reader, before)

    def _check_reader(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting >= before:
            self.transport.abort()
        else:
            self._expect_reader(waiting)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
