"""The network to the venue: one direction of one connection, with the delays and losses of a network as a TCP stream has them."""

import random
from collections.abc import Callable

RETRANSMIT_S = 0.2  # the shortest time-out after which a lost segment is sent again


class Link:
    """latency_s: one way, wall seconds. loss: share of messages whose packet is lost once or more; what follows such a message waits behind it,
    unless each has a connection of its own (ordered False)."""

    def __init__(self, latency_s: float, loss: float, wall: Callable[[float], int], seed: str, ordered: bool = True) -> None:
        self.latency_s, self.loss, self.wall, self.ordered = latency_s, loss, wall, ordered
        self._random = random.Random(seed)
        self._last = 0

    def due(self, now_ns: int) -> int:
        """Market time at which a message sent now arrives."""
        if not self.latency_s and not self.loss:
            return now_ns
        wait = self.latency_s
        while self.loss and self._random.random() < self.loss:
            wait += max(RETRANSMIT_S, 3.0 * self.latency_s)
        due = now_ns + self.wall(wait)
        if self.ordered:
            due = self._last = max(self._last, due)
        return due
