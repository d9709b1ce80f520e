"""What a policy answers to the signals of a tape: found once, whatever is then done with the answers.

A policy sees market data only, never fills, so its answers are those of any execution. The engine walks the tape, halted: it asks and never trades.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import InvariantError

STALE = 2                            # SignalFlag


@dataclass(frozen=True)
class Answers:
    """signals: all of one instrument, SIGNAL_DTYPE. sides: what the policy wants at each, int8, 0 = nothing. places: where each stands in the
    market."""

    signals: np.ndarray
    sides: np.ndarray
    places: np.ndarray

    def within(self, start_ns: int, end_ns: int) -> Answers:
        """The same signals, those outside of [start_ns, end_ns) not acted upon."""
        ts = self.signals["ts"]
        return Answers(self.signals, np.where((ts >= start_ns) & (ts < end_ns), self.sides, 0).astype(np.int8), self.places)


def answers_of(tape: lc.Tape, cascade: dict[str, Any], make: Callable[[], lc.Policy | None], limits: dict[str, Any]) -> list[Answers]:
    """Signals of a detector and the policy's answers, per instrument."""
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
    from liqcore.sweep import locate, signals_of      # numba: only for those who sweep

    try:
        return locate(tape, instrument, signals)
    except ValueError:                   # liquidations of one moment with trades between them: only who sees the events knows which it was
        return signals_of(tape, instrument, lc.CascadeConfig(**cascade))[1]
