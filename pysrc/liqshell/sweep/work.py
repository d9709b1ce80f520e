"""What a sweep computes, cut into units: one symbol, one detector setting, some rows of the grid. The same object works here and on a cluster.

Signals and what the policy answers to them depend on the detector only, so both are found once per detector and shared by all bracket settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.sweep import RESULT_DTYPE, Grid, Task
from liqshell.backtest.answers import Answers
from liqshell.backtest.sweep_kernel import days_of, of_contract


@dataclass(frozen=True)
class Unit:
    """Rows first to last (excluded) of the grid, for one detector and one instrument. number: its place in the table of results."""

    number: int
    detector: int
    instrument: int
    first: int
    last: int


class Work:
    """Everything that the units share. tape: columns; grids: one per instrument, all of one length; answers: [detector][instrument]; start_ns: of the
    span, whose first days may lie before the tape's first row."""

    def __init__(self, instruments: Sequence[dict[str, Any]], columns: dict[str, Any], grids: list[np.ndarray], answers: list[list[Answers]],
                 venue: dict[str, Any], start_ns: int):
        self.tape = columns["tape"] if "tape" in columns else lc.Tape(tuple(lc.Instrument(**fields) for fields in instruments), columns)
        self.instruments, self.grids, self.answers, self.venue, self.start_ns = list(instruments), grids, answers, venue, start_ns
        self._task: tuple[tuple[int, int], Task] | None = None       # of the last unit: the next one is mostly of the same signals

    def payload(self) -> dict[str, Any]:
        """Arguments that make the same Work in another process."""
        return {"instruments": self.instruments, "columns": self.tape.parts(), "grids": self.grids, "answers": self.answers, "venue": self.venue,
                "start_ns": self.start_ns}

    def compute(self, unit: Unit, threads: int | None = None) -> np.ndarray:
        """Rows of a unit, of kept_dtype()."""
        task = self._task_of(unit.detector, unit.instrument)
        daily = np.zeros((unit.last - unit.first, task.days))
        rows = task.sweep(Grid(self.grids[unit.instrument][unit.first:unit.last]), threads=threads, daily=daily)
        before = np.zeros((len(daily), days_of(self.start_ns, self.venue["end"]) - task.days))
        return kept(rows, np.concatenate([before, daily], axis=1))

    def _task_of(self, detector: int, instrument: int) -> Task:
        """Signals and market, ready for settings."""
        if self._task is None or self._task[0] != (detector, instrument):
            found = self.answers[detector][instrument]
            self._task = (detector, instrument), Task(self.tape, instrument, found.signals, found.sides, places=found.places, closed=found.closed,
                                                      **of_contract(self.venue, instrument))
        return self._task[1]


def kept_dtype(days: int) -> np.dtype[Any]:
    """What is kept of a setting: RESULT_DTYPE, and its net result of each day."""
    return np.dtype([*RESULT_DTYPE.descr, ("daily", "<f8", (days,))])


def kept(results: np.ndarray, daily: np.ndarray) -> np.ndarray:
    """Both in one array of kept_dtype(). daily: (settings, days)."""
    out = np.empty(len(results), kept_dtype(daily.shape[1]))
    for name in RESULT_DTYPE.names or ():
        out[name] = results[name]
    out["daily"] = daily
    return out


def units_of(detectors: int, instruments: int, rows: int, chunk: int) -> list[Unit]:
    """All units, in the order of the table: by detector, instrument, row."""
    cells = [(d, n, first, min(first + chunk, rows)) for d in range(detectors) for n in range(instruments) for first in range(0, rows, chunk)]
    return [Unit(number, *cell) for number, cell in enumerate(cells)]

