"""The units of work of a sweep: one symbol, one detector setting, some rows of the grid.

Signals and what the policy answers to them depend on the detector only, so both are found once per detector and shared by all bracket settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.sweep import RESULT_DTYPE, Grid, Task
from liqshell.backtest.answers import Answers
from liqshell.backtest.sweep_kernel import of_contract


@dataclass(frozen=True)
class Unit:
    """Rows first to last (excluded) of the grid, for one detector and one instrument. number: its place in the table of results."""

    number: int
    detector: int
    instrument: int
    first: int
    last: int


class Work:
    """Everything that the units share. grids: one per instrument, all of one length; answers: [detector][instrument], [] where none is wanted;
    start_ns: of the span, whose first days may lie before the tape's first row. tape: None if the worker opens it."""

    def __init__(self, tape: lc.Tape | None, grids: list[np.ndarray], answers: list[list[Answers]], venue: dict[str, Any], start_ns: int):
        self.tape, self.grids, self.answers, self.venue, self.start_ns = tape, grids, answers, venue, start_ns
        self._task: tuple[tuple[int, int], Task] | None = None  # of the last unit: the next one is mostly of the same signals

    def alone(self, instrument: int) -> Work:
        """The work of one contract, as of a tape that holds no other."""
        answers = [[found[instrument].alone()] if found else [] for found in self.answers]
        return Work(None, [self.grids[instrument]], answers, of_contract(self.venue, instrument), self.start_ns)

    def compute(self, unit: Unit, threads: int | None = None) -> np.ndarray:
        """Rows of a unit, of kept_dtype()."""
        task = self._task_of(unit.detector, unit.instrument)
        daily = np.zeros((unit.last - unit.first, task.days))
        rows = task.sweep(Grid(self.grids[unit.instrument][unit.first : unit.last]), threads=threads, daily=daily)
        return kept(rows, daily)

    def _task_of(self, detector: int, instrument: int) -> Task:
        """Signals and market, ready for settings."""
        if self._task is None or self._task[0] != (detector, instrument):
            assert self.tape is not None
            found = self.answers[detector][instrument]
            self._task = (
                (detector, instrument),
                Task(
                    self.tape,
                    instrument,
                    found.signals,
                    found.sides,
                    places=found.places,
                    closed=found.closed,
                    start=self.start_ns,
                    **of_contract(self.venue, instrument),
                ),
            )
        return self._task[1]


def kept_dtype(days: int) -> np.dtype[Any]:
    """The stored result of a setting: RESULT_DTYPE, and its net result of each day."""
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
