"""The questions to a run's policies and their answers, without trading: the events of a comparison, and the base rates of their conditions.

A policy sees market data only, never fills. So its answers on a data set are computed once, by a halted engine: it asks the policy and never trades.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.backtest.variants import Around
from liqshell.run.pipeline import make_paper
from liqshell.run.tape_driver import drive

#: one question. ts: when it was asked; liquidated: dominant side of the signal, 0 = none; side: of the bracket that was wanted, 0 = none
SIGNAL_DTYPE = np.dtype(
    [
        ("ts", "i8"),
        ("signal_ts", "i8"),
        ("sequence", "i8"),
        ("instrument", "i4"),
        ("detector", "u1"),
        ("phase", "u1"),
        ("flags", "u1"),
        ("liquidated", "i1"),
        ("side", "i1"),
        ("answer", "u1"),
    ]
)
NOTHING, BRACKET, LEAVE, LATER = 0, 1, 2, 3


@dataclass
class Conditions:
    """How often each condition of a rule held when it was asked. known: questions at which all were known."""

    asked: int = 0
    known: int = 0
    held: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    together: int = 0

    def add(self, found: Mapping[str, bool | None]) -> None:
        self.asked += 1
        for name, value in found.items():
            if value is not None:
                self.seen[name] += 1
                self.held[name] += bool(value)
        if all(value is not None for value in found.values()):
            self.known += 1
            self.together += all(found.values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "known": self.known,
            "together": self.together,
            "conditions": [{"name": name, "known": self.seen[name], "held": self.held[name]} for name in self.seen],
        }


class Listening(Around):
    """Writes down every question and its answer."""

    def __init__(self, inner: lc.Policy, rows: list[tuple[Any, ...]], answers: list[Any], conditions: dict[str, Conditions]):
        super().__init__(inner)
        self._rows, self._answers, self._conditions = rows, answers, conditions
        self._conditions_of = getattr(inner, "conditions", None)
        self._name = type(inner).__name__

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> Any:
        if self._conditions_of is not None:
            found = self._conditions_of(signal, market)
            if found:
                self._conditions.setdefault(self._name, Conditions()).add(found)
        answer = self.inner.answer(signal, market)
        kind = (
            NOTHING
            if answer is None or isinstance(answer, lc.Declined)
            else BRACKET
            if isinstance(answer, lc.Bracket)
            else LATER
            if hasattr(answer, "at_ns")
            else LEAVE
        )
        self._rows.append(
            (
                getattr(market, "now", signal.ts),
                signal.ts,
                signal.sequence,
                signal.instrument,
                signal.detector,
                int(signal.phase),
                int(signal.flags),
                int(signal.side),
                answer.side if isinstance(answer, lc.Bracket) else 0,
                kind,
            )
        )
        self._answers.append(answer)
        return answer


@dataclass(frozen=True)
class Listened:
    """rows: HEARD_DTYPE in order; conditions: by the name of the policy's class, of those that tell them; answers: as they were given, row by row
    (not kept where they go to another process)."""

    rows: np.ndarray
    conditions: dict[str, Conditions]
    answers: list[Any] = field(default_factory=list)

    @property
    def wanted(self) -> np.ndarray:
        """The questions that were answered with a bracket."""
        return self.rows[self.rows["answer"] == BRACKET]


def listen(values: dict[str, Any], history: History) -> Listened:
    """Everything that the policies of a run are asked over a history. values: pipeline.settings."""
    rows: list[tuple[Any, ...]] = []
    answers: list[Any] = []
    conditions: dict[str, Conditions] = {}
    paper = make_paper(values, lambda inner: Listening(inner, rows, answers, conditions), trust=True)
    paper.engine.on_control(history.tape.start, lc.Control.CONTROL_HALT)
    drive(lc.Walk(paper, history.tape), history.end_ns)
    return Listened(np.array(rows, SIGNAL_DTYPE), conditions, answers)
