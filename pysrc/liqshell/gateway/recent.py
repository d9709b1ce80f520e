"""A table of the latest so many names in memory that is allocated once: a process that trades for months does not grow by filling it."""

from __future__ import annotations

import hashlib

import numpy as np


class Recent:
    """capacity: names kept; the oldest gives way. Names are known by a 64-bit fingerprint: of 16,384 of them two coincide once in 10**11 tables."""

    def __init__(self, capacity: int):
        self._marks = np.zeros(capacity, np.int64)          # 0 = nothing here
        self._values = np.zeros(capacity, np.int64)
        self._values.fill(0)                                # touched now: zeros() alone leaves the pages to be committed one by one
        self._marks.fill(0)
        self._next = 0

    def __contains__(self, name: str) -> bool:
        return self._at(self._mark(name)) is not None

    def get(self, name: str) -> int | None:
        """The number kept with a name, None where it is not known (any more)."""
        at = self._at(self._mark(name))
        return None if at is None else int(self._values[at])

    def put(self, name: str, value: int = 0) -> None:
        """Keep a name; where it is known already, its number becomes this one and its age stays."""
        mark = self._mark(name)
        at = self._at(mark)
        if at is None:
            at, self._next = self._next, (self._next + 1) % len(self._marks)
            self._marks[at] = mark
        self._values[at] = value

    def _at(self, mark: int) -> int | None:
        found = self._marks == mark
        at = int(found.argmax())
        return at if found[at] else None

    @staticmethod
    def _mark(name: str) -> int:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little", signed=True) or 1
