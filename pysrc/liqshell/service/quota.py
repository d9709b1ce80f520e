"""The quota of a key: one token bucket for live values and one for history, stated in the headers of draft-ietf-httpapi-ratelimit-headers."""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_S = 60


@dataclass
class Bucket:
    """amount: of a window, refilled evenly; 0 = without limit."""

    name: str
    amount: int
    left: float = 0.0
    at: float = -1.0

    def take(self, cost: int, now: float) -> tuple[bool, list[tuple[bytes, bytes]]]:
        """(whether there was enough, headers). now: seconds of a clock that never goes back. A cost above the amount is taken from a full bucket."""
        if not self.amount:
            return True, []
        rate = self.amount / WINDOW_S
        self.left = self.amount if self.at < 0 else min(self.amount, self.left + (now - self.at) * rate)
        self.at = now
        wanted = min(cost, self.amount)
        good = self.left >= wanted
        self.left -= wanted if good else 0
        wait = math.ceil((wanted - self.left) / rate) if not good else math.ceil((self.amount - self.left) / rate)
        headers = [
            (b"ratelimit-policy", f'"{self.name}";q={self.amount};w={WINDOW_S}'.encode()),
            (b"ratelimit", f'"{self.name}";r={int(self.left)};t={wait}'.encode()),
        ]
        return good, headers if good else [*headers, (b"retry-after", str(wait).encode())]
