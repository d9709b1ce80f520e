"""The time for which a start repeats questions to a venue that cannot answer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from liqshell.errors import VenueError
from liqshell.live.start import PATIENCE_S

T = TypeVar("T")
FIRST_S, LONGEST_S = 0.25, 5.0  # pauses between two tries
LOOK_S = 0.1  # how soon a wish to stop is heeded
PROGRESS_S = 5.0  # between two progress lines about the same thing
_log = logging.getLogger("liqshell.live")


class Patience:
    """seconds: of the whole start, from now on. stopping(): True when the start is to end. Errors that do not pass end it at once."""

    def __init__(self, seconds: float = PATIENCE_S, stopping: Callable[[], bool] = lambda: False):
        self.seconds = seconds
        self.began = time.monotonic()
        self._stopping = stopping
        self._reported: dict[str, float] = {}

    @property
    def left_s(self) -> float:
        return max(0.0, self.began + self.seconds - time.monotonic())

    def report_progress(self, why: str) -> None:
        """A progress line; the same one now and then only."""
        now = time.monotonic()
        if now >= self._reported.get(why, 0.0):
            self._reported = {text: until for text, until in self._reported.items() if until > now} | {why: now + PROGRESS_S}
            _log.warning("start: %s; asks again, %.0f s left", why, self.left_s)

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What attempt() brings, tried again with growing pauses while its VenueError may pass. Raises the last error when the patience is used up or
        the start is to end."""
        tries = 0
        while True:
            try:
                return await attempt()
            except VenueError as why:
                if not why.passing or not self.left_s or self._stopping():
                    raise
                self.report_progress(str(why))
            await self.pause(tries)
            tries += 1

    async def pause(self, tries: int) -> None:
        """Before try number `tries` + 1."""
        until = time.monotonic() + min(self.left_s, LONGEST_S, FIRST_S * 1.7 ** min(tries, 20)) * random.uniform(0.8, 1.0)
        while (left := until - time.monotonic()) > 0.0 and not self._stopping():
            await asyncio.sleep(min(LOOK_S, left))
