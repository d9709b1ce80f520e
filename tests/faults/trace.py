"""What happened, line by line: the end of it goes into a failure report, all of it into a digest that two runs of a seed must share."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from typing import Any

KEPT = 4000  # lines


class Trace:
    """say(): one line. Numbers, texts and bytes only: the repr of anything else may hold an address, and the digest would differ."""

    def __init__(self, start_ns: int, keep: int = KEPT):
        self.start = start_ns
        self.lines: deque[tuple] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()
        self._digest = hashlib.blake2b(digest_size=16)

    def say(self, now_ns: int, what: str, *facts: Any) -> None:
        line = (now_ns, what, *facts)
        self.lines.append(line)
        self.counts[what] += 1
        self._digest.update(repr(line).encode())

    def feed(self, data: bytes) -> None:
        """Bytes that the digest shall cover and no line shows (the audit stream)."""
        self._digest.update(data)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def tail(self, count: int = 50) -> list[str]:
        return [
            f"{(line[0] - self.start) / 1e9:12.6f} {line[1]:<10} " + " ".join(str(fact)[:400] for fact in line[2:])
            for line in list(self.lines)[-count:]
        ]
