"""Limits on questions to a judge: a breaker after failures, caps of questions, tokens and money. Times are ns UTC and arguments."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from liqshell import private

NS = 1_000_000_000
FAILURES, WITHIN_S, OFF_S = 5, 60.0, 300.0
MINUTE_NS = 60 * NS
_log = logging.getLogger("liqshell.judge.limits")


class Breaker:
    """Open after five failures within 60 s, for 300 s; and as long as a server has asked for."""

    def __init__(self) -> None:
        self._failures: deque[int] = deque(maxlen=FAILURES)
        self.until_ns = 0

    def is_open(self, now_ns: int) -> bool:
        return now_ns < self.until_ns

    def failed(self, now_ns: int) -> bool:
        """Whether it has opened by this failure."""
        self._failures.append(now_ns)
        if len(self._failures) == FAILURES and now_ns - self._failures[0] <= WITHIN_S * NS:
            self.hold(now_ns, OFF_S)
            self._failures.clear()
            return True
        return False

    def hold(self, now_ns: int, seconds: float) -> None:
        """Nothing for so long."""
        self.until_ns = max(self.until_ns, now_ns + int(min(seconds, 86_400.0) * NS))


class Caps:
    """Caps per minute and per day of UTC; 0 = none. path: what was used is kept there over restarts, None = nowhere.

    A question is counted with the most that it may take before it is asked (`reserve`), and with what it took afterwards (`settle`). One without an
    answer stays counted in full: it may have been paid for.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        questions_minute: int = 0,
        tokens_minute: int = 0,
        tokens_day: int = 0,
        usd_minute: float = 0.0,
        usd_day: float = 0.0,
    ):
        self._path = path
        self._minute_caps, self._day_caps = (questions_minute, tokens_minute, usd_minute), (0, tokens_day, usd_day)
        self._rows: list[tuple[int, int, float]] = []  # time, tokens, money: those of the last minute, of all processes
        self._open: dict[int, tuple[int, int, float]] = {}  # number -> row of an open question
        self._day, self._used = "", [0, 0, 0.0]
        self._number = 0
        self._kept = True  # the file has all that we know
        self._load()

    def reserve(self, now_ns: int, tokens: int, usd: float) -> int:
        """A number for settle(); 0 = a cap would be exceeded, and nothing is counted."""
        with self._shared() as known:
            self._turn(now_ns)
            minute = [len(self._rows), sum(row[1] for row in self._rows), sum(row[2] for row in self._rows)]
            for used, caps in ((minute, self._minute_caps), (self._used, self._day_caps)):
                if not known or any(cap and had + new > cap for had, new, cap in zip(used, (1, tokens, usd), caps, strict=True)):
                    return 0
            self._number += 1
            self._open[self._number] = (now_ns, tokens, usd)
            self._rows.append((now_ns, tokens, usd))
            self._add(1, tokens, usd)
            self._keep()
            return self._number

    def settle(self, number: int, now_ns: int, tokens: int, usd: float) -> None:
        """Books the actual use of a question once it is known."""
        with self._shared() as known:
            self._turn(now_ns)
            at, reserved, money = row = self._open.pop(number, (0, 0, 0.0))
            if known and row in self._rows:
                self._rows[self._rows.index(row)] = (at, tokens, usd)
                if _day(at) == self._day:
                    self._add(0, tokens - reserved, usd - money)
                self._keep()

    @property
    def today(self) -> tuple[int, int, float]:
        """Questions, tokens and money of the day of the last call."""
        return int(self._used[0]), int(self._used[1]), float(self._used[2])

    @contextmanager
    def _shared(self) -> Iterator[bool]:
        """With what other processes that keep it in the same file have used since; False where that is not known. One at a time."""
        if self._path is None:
            yield True
            return
        lock, known = None, True
        try:
            private.folder(self._path.parent)
            lock = private.opened(self._path.with_name(self._path.name + ".lock"), "a")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as why:
            _log.error("the usage of other processes is not known: %s: %s", self._path, why.strerror or why)
        try:
            if self._kept:
                try:
                    self._load()
                except ValueError as why:
                    _log.error("no questions are asked: %s", why)
                    known = False
            yield known
        finally:
            if lock is not None:
                lock.close()

    def _add(self, *more: float) -> None:
        self._used = [max(0, had + new) for had, new in zip(self._used, more, strict=True)]

    def _turn(self, now_ns: int) -> None:
        if (day := _day(now_ns)) > self._day:  # a clock that steps back does not give a day's budget twice
            self._day, self._used = day, [0, 0, 0.0]
        self._rows = [row for row in self._rows if now_ns - row[0] < MINUTE_NS]

    def _load(self) -> None:
        if self._path is None or not self._path.exists():
            return
        try:
            found: Mapping[str, Any] = json.loads(self._path.read_text())
            day, used = str(found["day"]), [int(found["questions"]), int(found["tokens"]), float(found["usd"])]
            rows = [(int(at), int(tokens), float(usd)) for at, tokens, usd in found["minute"]]
            if not all(0.0 <= one < inf for one in (*used, *(one for row in rows for one in row))):
                raise ValueError("a number below 0, or none")  # nan passes every cap, and what is below 0 adds to it
        except (OSError, ValueError, KeyError, TypeError) as why:
            # unknown is not zero: with a cap, no question is asked until the operator has looked
            raise ValueError(f"{self._path}: not a record of the judge's usage ({type(why).__name__}); delete it to begin at zero") from None
        self._day, self._used = day, used
        self._rows = rows

    def _keep(self) -> None:
        if self._path is None:
            return
        text = json.dumps({"day": self._day, "questions": self._used[0], "tokens": self._used[1], "usd": self._used[2], "minute": self._rows})
        beside = self._path.with_name(self._path.name + ".new")
        try:
            private.folder(self._path.parent)
            private.write(beside, text)
            os.replace(beside, self._path)
            self._kept = True
        except OSError as why:
            self._kept = False
            _log.error("the judge's usage cannot be saved: %s: %s", self._path, why.strerror or why)


def _day(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // NS, UTC).strftime("%Y-%m-%d")
