"""The pace of requests to a service: one at a time, a pause between them, and its rate headers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0  # of a pause that Retry-After asks for
WINDOW_S = 31 * 86_400.0  # the longest window that is counted: a month


def numbers(text: str) -> list[float]:
    """ "1, 15000" -> [1, 15000]; what is no number is left out."""
    out = []
    for part in text.split(","):
        try:
            out.append(float(part.strip().partition(";")[0]))
        except ValueError:
            continue
    return [one for one in out if 0.0 <= one < 1e12]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After of an answer (names in small letters), as seconds or as a date, which is held against the answer's own Date: RFC 9110, 10.2.3.
    None where it says nothing."""
    text = headers.get("retry-after", "")
    if found := numbers(text):
        return found[0]
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


class Pace:
    """interval_s: between requests, until headers say that a window is used up. Times are of the running loop."""

    def __init__(self, interval_s: float):
        self.interval_s = interval_s
        self._lock = asyncio.Lock()
        self._next_s = 0.0

    async def __aenter__(self) -> None:
        """Returns when a request may go out. TimeoutError is the caller's: it gives up waiting."""
        await self._lock.acquire()
        try:
            loop = asyncio.get_running_loop()
            while (left := self._next_s - loop.time()) > 0:
                await asyncio.sleep(left)
            self._next_s = loop.time() + self.interval_s
        except BaseException:
            self._lock.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()

    def wait_s(self) -> float:
        """How long the next request has to wait."""
        return max(0.0, self._next_s - asyncio.get_running_loop().time())

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Of an answer's headers (names in small letters): X-RateLimit-Remaining and -Reset, a number a window each; Retry-After."""
        now = asyncio.get_running_loop().time()
        remaining, reset = numbers(headers.get("x-ratelimit-remaining", "")), numbers(headers.get("x-ratelimit-reset", ""))
        for left, after in zip(remaining, reset, strict=False):
            if left < 1.0:
                self._next_s = max(self._next_s, now + min(after, WINDOW_S))
        said = retry_after_s(headers) if status in (429, 503) else None
        if status == 429 and said is None:
            said = max(self.interval_s, 1.0)
        if said is not None:
            self._next_s = max(self._next_s, now + min(said, LONGEST_S))
