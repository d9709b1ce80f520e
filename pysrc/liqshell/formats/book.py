"""The best bid and ask of a book that is sent as changes of its levels."""

from __future__ import annotations

import heapq
import math

BID, ASK = 0, 1
REPEAT_NS = 3_000_000_000  # a book that speaks while its best levels rest gives them again once in so long: a quote is no older than its book


class Top:
    """One contract's book, of which only the best levels are ever asked for.

    Levels are in one dict per side; a heap finds the best one and drops removed ones when it meets them, so a change costs O(log n).
    """

    def __init__(self) -> None:
        self.sizes: tuple[dict[float, float], dict[float, float]] = {}, {}
        self._heaps: tuple[list[float], list[float]] = [], []  # bids as negative prices: both give their smallest

    def clear(self) -> None:
        for side in (BID, ASK):
            self.sizes[side].clear()
            self._heaps[side].clear()

    def set(self, side: int, price: float, size: float) -> None:
        """A level has this size now; 0 or less: it is gone."""
        levels = self.sizes[side]
        if size > 0.0:
            if price not in levels:
                heapq.heappush(self._heaps[side], price if side else -price)
            levels[price] = size
        else:
            levels.pop(price, None)

    def drop(self, side: int, price: float) -> None:
        """Levels from the best one to this price, itself included, are gone (hftbacktest's DEPTH_CLEAR); a price of 0 or NaN: the whole side."""
        levels = self.sizes[side]
        if not price > 0.0 or math.isinf(price):
            levels.clear()
        elif side:
            for level in [level for level in levels if level <= price]:
                del levels[level]
        else:
            for level in [level for level in levels if level >= price]:
                del levels[level]

    def best(self) -> tuple[float, float, float, float] | None:
        """(bid, bid size, ask, ask size); None while a side is empty or the book is crossed."""
        bids, asks = self.sizes
        down, up = self._heaps
        while down and -down[0] not in bids:
            heapq.heappop(down)
        while up and up[0] not in asks:
            heapq.heappop(up)
        if not down or not up or -down[0] >= up[0]:
            return None
        return -down[0], bids[-down[0]], up[0], asks[up[0]]
