"""How far away the venue is: one direction of one connection, with the delay and the losses of a network as a TCP stream shows them."""

import random
from collections.abc import Callable

RETRANSMIT_S = 0.2                                   # the shortest time-out after which a lost segment is sent again


class Link:
    """latency_s: one way, wall seconds. loss: share of messages whose packet is lost once or more; what follows such a message waits behind it."""

    def __init__(self, latency_s: float, loss: float, wall: Callable[[float], int], seed: str) -> None:
        self.latency_s, self.loss, self.wall = latency_s, loss, wall
        self._random = random.Random(seed)
        self._last = 0

    def due(self, now_ns: int) -> int:
        """Market time at which a message sent now arrives; never before one that was sent earlier."""
        if not self.latency_s and not self.loss:
            return now_ns
        wait = self.latency_s
        while self.loss and self._random.random() < self.loss:
            wait += max(RETRANSMIT_S, 3.0 * self.latency_s)
        self._last = max(self._last, now_ns + self.wall(wait))
        return self._last
