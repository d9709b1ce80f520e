"""A policy's answers to the signals of the cascade detector in the form of liqcore.sweep: one side per signal, if every answer is the same bracket.

A policy sees market data only, never fills, so its answers are those of any execution: an engine that is halted asks and never trades.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.backtest.policy_log import BRACKET, NOTHING, Listened, listen
from liqshell.config.timetable import make_timetable


@dataclass(frozen=True)
class Answers:
    """signals: all of one instrument, SIGNAL_DTYPE. sides: the policy's side at each, int8, 0 = no entry. places: where each stands in the
    market. closed: when nothing may be entered, see Timetable.closed."""

    signals: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    closed: np.ndarray

    def within(self, start_ns: int, end_ns: int) -> Answers:
        """The same signals, those outside of [start_ns, end_ns) not acted upon."""
        ts = self.signals["ts"]
        return Answers(self.signals, np.where((ts >= start_ns) & (ts < end_ns), self.sides, 0).astype(np.int8), self.places, self.closed)

    def alone(self) -> Answers:
        """The same, as of a tape that holds no other contract."""
        signals = self.signals.copy()
        signals["instrument"] = 0
        return replace(self, signals=signals)


def answers_of(values: dict[str, Any], history: History) -> tuple[list[Answers], str]:
    """Signals of the cascade detector and the answers to them, per instrument; and why a grid of brackets would not be what the policy does, '' where
    it is. values: pipeline.settings of a run with no other detector."""
    listened = listen(values, history)
    why = inconstant(values, listened, [i.symbol for i in history.instruments])
    cascade, tape, rows = values["cascade"], history.tape, listened.rows
    signals, places = tape.signals(lc.CascadeConfig(**cascade), event_age_max_s=values["limits"]["event_age_max_s"], end=history.end_ns, places=True)
    asked = {key: k for k, key in enumerate(_keys(rows["signal_ts"], rows))}
    at = np.array([asked.get(key, -1) for key in _keys(signals["ts"], signals)], np.int64)
    if len(rows) != (at >= 0).sum() and not why:
        why = "the policy was asked at moments without a signal of the cascade detector"
    matched = at >= 0
    sides = np.zeros(len(signals), np.int8)
    sides[matched] = rows["side"][at[matched]]
    out = []
    timetable = make_timetable(values.get("timetable", {}))
    for n in range(len(tape.instruments)):
        mine = signals["instrument"] == n
        out.append(
            Answers(signals[mine], sides[mine], places[mine].view(np.int64).reshape(-1, 3), timetable.closed(n, int(tape.start), history.end_ns + 1))
        )
    return out, why


def _keys(ts: np.ndarray, rows: np.ndarray) -> list[tuple[int, ...]]:
    """The identity of a signal: a cascade can enter a phase again, even at the same time."""
    seen: Counter[tuple[int, ...]] = Counter()
    out = []
    for key in zip(ts.tolist(), *(rows[name].tolist() for name in ("instrument", "sequence", "phase")), strict=True):
        out.append((*key, seen[key]))
        seen[key] += 1
    return out


def inconstant(values: dict[str, Any], listened: Listened, symbols: list[str]) -> str:
    """Why the answers are not all the bracket of [policy], '' where they are."""
    made = {(symbol, side): lc.Bracket(side, **values["brackets"][symbol]) for symbol in symbols for side in (1, -1)}
    for row, answer in zip(listened.rows, listened.answers, strict=True):
        kind = int(row["answer"])
        if kind not in (NOTHING, BRACKET):
            return "a policy that closes by itself or answers later"
        if kind == BRACKET and answer != made[symbols[row["instrument"]], int(row["side"])]:
            return "a policy with brackets other than that of [policy]"
    return ""
