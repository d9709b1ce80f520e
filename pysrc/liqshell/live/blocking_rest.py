"""Signed REST without an event loop, for actions while the loop is stuck or has ended.

One connection a thread, kept alive. Only requests that may safely be repeated go through here: questions, cancels, stops of a position, reduce-only
closes. So a request without an answer is repeated, a bounded number of times.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.parse
from dataclasses import dataclass

from liqshell.rest import Signer, bytes_max, failure, too_long
from liqshell.transport import tls_context
from liqshell.venues.bybit.rest_requests import Request, server_time
from liqshell.venues.bybit.rest_responses import interpret_reply, parse_server_time, reset_ms
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.outcome import Asked, Outcome

PAUSE_S = (0.05, 1.0)  # between attempts: first, longest
RATE_PAUSE_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """status 0: no answer. outcome: what became of it. body: b"" where there is none. text: for people."""

    status: int
    body: bytes
    outcome: Outcome
    code: int
    text: str


class Pacer:
    """At most `rate` requests a second after a first burst of as many, whoever asks."""

    def __init__(self, rate: float):
        self._rate, self._room, self._at = rate, rate, time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._room = min(self._rate, self._room + (now - self._at) * self._rate) - 1.0
            self._at = now
            pause = -self._room / self._rate
        if pause > 0.0:
            time.sleep(pause)


class RestClient:
    """rest: such as https://api.bybit.com. until: time.monotonic() after which nothing is begun. ca: PEM file of the only authority that is trusted,
    "" = the system's. ConfigError where rest is no address or nothing signed may go there, or ca cannot be used."""

    def __init__(
        self,
        rest: str,
        keys: Keys,
        *,
        recv_window_ms: int = 5000,
        timeout_s: float = 3.0,
        attempts: int = 4,
        until: float | None = None,
        order_rate: float = 8.0,
        ca: str = "",
    ):
        self._tls = tls_context(ca, rest)
        self._signer = Signer(rest, keys, recv_window_ms, self._tls)
        parts = urllib.parse.urlsplit(self._signer.url)
        self._secure, self._host, self._port, self._base = parts.scheme == "https", parts.hostname or "", parts.port, parts.path
        self._timeout_s, self._attempts, self._until = timeout_s, attempts, until
        self._local = threading.local()
        self._all: list[http.client.HTTPConnection] = []
        self._orders = Pacer(order_rate)
        self._offset_ms = 0  # venue's clock - ours, once it had to be asked

    def ask(self, request: Request, asked: Asked = Asked.QUERY) -> Reply:
        """Send, and again while the outcome is not known and it makes sense. Never raises for the venue or the network."""
        pause, reply = PAUSE_S[0], Reply(0, b"", Outcome.UNKNOWN, -1, "not sent: no time left")
        for attempt in range(self._attempts):
            if self._until is not None and time.monotonic() > self._until:
                break
            if request.weight == "order":
                self._orders.wait()
            status, body, headers, why = self._once(request)
            verdict = interpret_reply(status, body, asked)
            reply = Reply(
                status,
                body,
                verdict.outcome,
                verdict.code,
                why or f"{verdict.code}: {verdict.message}" if verdict.code >= 0 else why or verdict.message,
            )
            if verdict.outcome == Outcome.CLOCK and attempt == 0:
                self._measure()
            elif verdict.outcome == Outcome.LATER:
                begins_ms = reset_ms(headers)
                ahead_s = (begins_ms - (time.time() * 1000.0 + self._offset_ms)) / 1000.0 if begins_ms else 0.0
                time.sleep(min(max(ahead_s, pause), RATE_PAUSE_MAX_S))
            elif verdict.outcome == Outcome.UNKNOWN:
                time.sleep(pause)
            else:
                return reply
            pause = min(pause * 2.0, PAUSE_S[1])
        return reply

    def close(self) -> None:
        """Every connection; when no thread asks any more."""
        while self._all:
            self._all.pop().close()

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None

    def _measure(self) -> None:
        """Where our time stamps are refused, the venue's clock is asked once."""
        begun = time.time() * 1000.0
        status, body, _, _ = self._once(server_time())
        found = parse_server_time(body)
        if status == 200 and found.ok and found.value is not None:
            self._offset_ms = int(found.value / 1e6 - (begun + time.time() * 1000.0) / 2.0)

    def _once(self, request: Request) -> tuple[int, bytes, dict[str, str], str]:
        out = self._signer.outgoing(request.method, request.path, request.query, request.body, int(time.time() * 1000) + self._offset_ms)
        most = bytes_max(request.weight)
        for fresh in (False, True):  # a kept connection may have been closed by the other side: that attempt does not count
            connection = getattr(self._local, "connection", None)
            reused = connection is not None
            try:
                if connection is None:
                    connection = self._local.connection = self._connect()
                connection.request(request.method, self._base + out.target, out.body, out.headers)
                answer = connection.getresponse()
                body = answer.read(most + 1)
                if len(body) > most:
                    self._drop(connection)
                    return 0, b"", {}, too_long(request.weight)
                return answer.status, body, dict(answer.getheaders()), ""
            except (OSError, http.client.HTTPException) as why:
                if connection is not None:
                    self._drop(connection)
                if not reused or fresh:
                    return 0, b"", {}, f"{self._host}: {failure(why, self._timeout_s)}"
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        made = (
            http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        )
        self._all.append(made)
        return made
