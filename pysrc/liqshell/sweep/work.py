"""What a sweep computes, cut into units: one symbol, one detector setting, some rows of the grid. The same object works here and on a cluster.

Signals and what the policy answers to them depend on the detector only, so both are found once per detector and shared by all bracket settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.sweep import Grid, locate, signals_of, sweep
from liqshell.errors import InvariantError
from liqshell.rules import make_policy

STALE = 2                            # SignalFlag


@dataclass(frozen=True)
class Unit:
    """Rows first to last (excluded) of the grid, for one detector and one instrument. number: its place in the table of results."""

    number: int
    detector: int
    instrument: int
    first: int
    last: int


@dataclass(frozen=True)
class Answers:
    """signals: all of one instrument, SIGNAL_DTYPE. sides: what the policy wants at each, int8, 0 = nothing. places: where each stands in the
    market."""

    signals: np.ndarray
    sides: np.ndarray
    places: np.ndarray


def answers_of(tape: lc.Tape, cascade: dict[str, Any], make: Callable[[], lc.Policy | None], limits: dict[str, Any]) -> list[Answers]:
    """Signals of a detector and the policy's answers, per instrument: the engine walks the tape, halted, so that it asks and never trades."""
    engine = lc.Engine(tape.instruments, lc.CascadeConfig(**cascade), make(), lc.Risk(**limits), audit_capacity=1 << 18)
    engine.on_control(tape.start, lc.Control.CONTROL_HALT)
    walk = lc.Walk(lc.Paper(engine, lc.SimVenue(tape.instruments)), tape)
    parts, done = [], False
    while not done:
        done = walk.run()
        parts.append(engine.audit.drain())
    audit = np.concatenate(parts)
    asked = audit[np.isin(audit["kind"], (lc.AuditKind.AUDIT_SIGNAL, lc.AuditKind.AUDIT_POLICY))]
    said = np.flatnonzero(asked["kind"] == lc.AuditKind.AUDIT_SIGNAL)
    answered = np.flatnonzero(asked["kind"] == lc.AuditKind.AUDIT_POLICY)
    side = np.zeros(len(asked), np.int8)
    side[answered] = asked["side"][answered]
    after = np.minimum(said + 1, max(len(asked) - 1, 0))              # the answer to a signal is the record after it
    sides = np.where(asked["kind"][after] == lc.AuditKind.AUDIT_POLICY, side[after], 0).astype(np.int8)
    signals = tape.signals(lc.CascadeConfig(**cascade))
    if len(signals) != len(said):
        raise InvariantError("sweep", f"{len(signals)} signals of the tape, {len(said)} of the engine", "the same")
    # which event was too old is the run's limit, not the tape's
    signals["flags"] = signals["flags"] & ~np.uint8(STALE) | np.where(asked["reason"][said] == lc.Reason.STALE_EVENT, STALE, 0).astype(np.uint8)
    out = []
    for n in range(len(tape.instruments)):
        mine = signals["instrument"] == n
        out.append(Answers(signals[mine], sides[mine], _places(tape, n, signals[mine], cascade)))
    return out


def _places(tape: lc.Tape, instrument: int, signals: np.ndarray, cascade: dict[str, Any]) -> np.ndarray:
    try:
        return locate(tape, instrument, signals)
    except ValueError:                   # liquidations of one moment with trades between them: only who sees the events knows which it was
        return signals_of(tape, instrument, lc.CascadeConfig(**cascade))[1]


class Work:
    """Everything that the units share. tape: columns; grids: one per instrument, all of one length; answers: [detector][instrument]."""

    def __init__(self, instruments: Sequence[dict[str, Any]], columns: dict[str, Any], grids: list[np.ndarray], answers: list[list[Answers]],
                 venue: dict[str, Any]):
        self.tape = columns["tape"] if "tape" in columns else lc.Tape(tuple(lc.Instrument(**fields) for fields in instruments), columns)
        self.instruments, self.grids, self.answers, self.venue = list(instruments), grids, answers, venue

    def payload(self) -> dict[str, Any]:
        """Arguments that make the same Work in another process."""
        return {"instruments": self.instruments, "columns": self.tape.parts(), "grids": self.grids, "answers": self.answers, "venue": self.venue}

    def compute(self, unit: Unit, threads: int | None = None) -> np.ndarray:
        """RESULT rows of a unit."""
        found = self.answers[unit.detector][unit.instrument]
        return sweep(self.tape, unit.instrument, found.signals, found.sides, Grid(self.grids[unit.instrument][unit.first:unit.last]),
                     places=found.places, threads=threads, **self.venue)


def units_of(detectors: int, instruments: int, rows: int, chunk: int) -> list[Unit]:
    """All units, in the order of the table: by detector, instrument, row."""
    cells = [(d, n, first, min(first + chunk, rows)) for d in range(detectors) for n in range(instruments) for first in range(0, rows, chunk)]
    return [Unit(number, *cell) for number, cell in enumerate(cells)]


def policy_maker(values: dict[str, Any]) -> Callable[[], lc.Policy]:
    """Makes the policy of a run's settings."""
    return lambda: make_policy(values["rule"], values["brackets"], values.get("rule_sha256"))
