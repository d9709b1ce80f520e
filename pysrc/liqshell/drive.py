"""Running a tape: the paper engine over everything that was received, its audit ring drained as it fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

import liqcore as lc
from liqshell.pipeline import drain_audit

CALL_EVENTS = 8192               # between two drains of the audit ring


class Stepper:
    """lc.Walk's interface, visiting every event of an array in the order given."""

    def __init__(self, paper: lc.Paper, events: np.ndarray):
        self.paper = paper
        self.events = events
        self.at = 0

    def run(self, until: int | None = None) -> bool:
        """All of ts_recv <= `until` (ns) or to the end. False = the audit ring wants to be drained; call again."""
        stop = len(self.events) if until is None else int(np.searchsorted(self.events["ts_recv"], until, side="right"))
        part = self.events[self.at:min(stop, self.at + CALL_EVENTS)]
        self.paper.run(part)
        self.at += len(part)
        return self.at >= stop


def drive(walk: lc.Walk | Stepper, end_ns: int, moments: Iterable[int] = (), each: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
    """Run to the end of the tape and on to end_ns (what is due by then is served); the audit stream.

    moments: rising times (ns) at which `each(moment, new audit records)` is called, everything until then having been done; end_ns is the last.
    """
    parts: list[np.ndarray] = []
    for moment in _until(moments, end_ns):
        fresh = []
        while not walk.run(moment):
            fresh.append(drain_audit(walk.paper.engine))
        walk.paper.advance(moment)               # also where the tape ends before it
        fresh.append(drain_audit(walk.paper.engine))
        parts.append(np.concatenate(fresh))
        if each is not None:
            each(moment, parts[-1])
    return np.concatenate(parts)


def _until(moments: Iterable[int], end_ns: int) -> Iterator[int]:
    for moment in moments:
        if moment < end_ns:
            yield moment
    yield end_ns
