"""Bybit's deeper books (orderbook.50, .200, ...) in recordings of other programs: their best levels as quotes, if no orderbook.1 was recorded.

A snapshot begins the book, a delta changes levels (size 0: gone). Update ids grow by one; after a missing one the book is not known until the next
snapshot.
"""

from __future__ import annotations

from math import inf

import orjson

from liqcore.event import Kind
from liqshell.formats.book import ASK, BID, REPEAT_NS, Top

_KIND = int(Kind.BBO)


class DeepBook:
    """One contract's book. lost: deltas that could not be applied because one before them, or the snapshot, is missing."""

    def __init__(self) -> None:
        self._top = Top()
        self._update = -1  # id of the last frame; -1: the book is not known
        self._last: tuple[float, ...] = ()  # the best levels that were given, and when
        self.lost = 0

    @property
    def known(self) -> bool:
        return self._update >= 0

    def forget(self) -> None:
        """Changes were missed: nothing is known before the next snapshot."""
        self._update = -1

    def event(self, frame: bytes, ts_recv: int, instrument: int) -> tuple | None:
        """A row of EVENT_DTYPE if the best levels have changed or must be sent again. ValueError where the frame is no book."""
        try:
            message = orjson.loads(frame)
            data, snapshot = message["data"], message["type"] == "snapshot"
            update, ts = int(data["u"]), int(message.get("cts", message["ts"])) * 1_000_000
            levels = [(side, float(price), float(size)) for side, key in ((BID, "b"), (ASK, "a")) for price, size in data[key]]
        except (orjson.JSONDecodeError, KeyError, TypeError, OverflowError, AttributeError) as why:
            raise ValueError(f"no book: {why}") from None
        if not 0 <= ts < 1 << 62 or not 0 <= update < 1 << 62 or not all(0.0 < price < inf and 0.0 <= size < inf for _, price, size in levels):
            raise ValueError("no book: a time, number, price or size that cannot be")
        if snapshot:
            self._top.clear()
        elif update != self._update + 1 or self._update < 0:
            self._update = -1
            self.lost += 1
            return None
        self._update = update
        for level in levels:
            self._top.set(*level)
        best = self._top.best()
        if best is None or (*best, ts_recv // REPEAT_NS) == self._last:
            return None
        self._last = *best, ts_recv // REPEAT_NS
        return ts, ts_recv, *best, update, instrument, _KIND, 0, 0, 0
