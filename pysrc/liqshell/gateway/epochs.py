"""To which bracket a venue's time belongs. An attached stop and what others do to a position carry no id of ours: only the time tells them apart.

All times are the venue's, in ms. A bracket's epoch begins after the last execution of the one before it: what was created by then was that one's.
"""

from __future__ import annotations

from collections import deque

EPOCHS_KEPT = 16


class Epochs:
    """Of each instrument: (sequence, first ms), oldest first."""

    def __init__(self) -> None:
        self._of: dict[int, deque[tuple[int, int]]] = {}
        self._executed: dict[int, tuple[int, int]] = {}         # (sequence, ms) of the latest execution

    def opened(self, n: int, sequence: int, at_ms: int) -> None:
        """A bracket's entry was sent, not before at_ms."""
        known = self._of.setdefault(n, deque(maxlen=EPOCHS_KEPT))
        if not known or known[-1][0] != sequence:
            last, ts_ms = self._executed.get(n, (sequence, 0))
            known.append((sequence, at_ms if last == sequence else max(at_ms, ts_ms + 1)))

    def refine(self, n: int, sequence: int, created_ms: int) -> None:
        """The venue says when it made the entry; only later than what is known helps."""
        known = self._of.get(n)
        if known and known[-1][0] == sequence and created_ms > known[-1][1]:
            known[-1] = (sequence, created_ms)

    def executed(self, n: int, sequence: int, ts_ms: int, current: int) -> None:
        """An execution of a bracket: its epoch has begun by then, and while it is the latest, the next begins after it."""
        known = self._of.get(n)
        if known and known[-1][0] == sequence and ts_ms < known[-1][1]:
            known[-1] = (sequence, ts_ms)
        if sequence == current:
            last, before_ms = self._executed.get(n, (sequence, 0))
            self._executed[n] = (sequence, max(ts_ms, before_ms) if last == sequence else ts_ms)

    def first_ms(self, n: int) -> int:
        """Where the latest epoch begins; 0 = not known."""
        known = self._of.get(n)
        return known[-1][1] if known else 0

    def at(self, n: int, ts_ms: int, current: int) -> int:
        """Sequence of the bracket that something of that time belongs to; what is older than all that is known belongs to none (-1)."""
        known = self._of.get(n)
        if not known:
            return current
        for sequence, first in reversed(known):
            if ts_ms >= first:
                return sequence
        return -1
