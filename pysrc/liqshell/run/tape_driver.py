"""Runs a tape: the paper engine over all received events, with its audit ring drained as it fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

import liqcore as lc
from liqshell.run.pipeline import drain_audit

CALL_EVENTS = 8192  # between two drains of the audit ring


class Stepper:
    """lc.Walk's interface, visiting every event of an array in the order given."""

    def __init__(self, paper: lc.Paper, events: np.ndarray):
        self.paper = paper
        self.events = events
        self.at = 0

    def run(self, until: int | None = None) -> bool:
        """All of ts_recv <= `until` (ns) or to the end. False = the audit ring must be drained; call again."""
        stop = len(self.events) if until is None else int(np.searchsorted(self.events["ts_recv"], until, side="right"))
        part = self.events[self.at : min(stop, self.at + CALL_EVENTS)]
        self.paper.run(part)
        self.at += len(part)
        return self.at >= stop


def drive(walk: lc.Walk | Stepper, end_ns: int, stops: Iterable[int] = (), each: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
    """Run to the end of the tape and on to end_ns (what is due by then is served); the audit stream.

    stops: rising times (ns) at which `each(moment, new audit records)` is called, everything until then having been done; end_ns is the last.
    """
    parts: list[np.ndarray] = []
    for stop in _until(stops, end_ns):
        fresh = []
        while not walk.run(stop):
            fresh.append(drain_audit(walk.paper.engine))
        walk.paper.advance(stop)  # also where the tape ends before it
        fresh.append(drain_audit(walk.paper.engine))
        parts.append(np.concatenate(fresh))
        if each is not None:
            each(stop, parts[-1])
    return np.concatenate(parts)


def _until(stops: Iterable[int], end_ns: int) -> Iterator[int]:
    for stop in stops:
        if stop < end_ns:
            yield stop
    yield end_ns
