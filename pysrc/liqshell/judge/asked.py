"""Conversions between the engine and a judge: a question in the judge's form, and an answer in the engine's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import liqcore as lc
from liqshell.errors import DataError
from liqshell.judge.types import Answer, Outcome, Question

FILE = "judge.jsonl"  # in the folder of a run: what was asked and answered, one JSON object a line
SIGNAL = ("phase", "side", "z", "score", "count", "long_notional", "short_notional", "rolling", "threshold", "ts", "ts_start", "flags")


def question_of(asked: Mapping[str, Any], instrument: lc.Instrument) -> Question:
    """A question of Engine.questions(). Its content is all that the judge may know: the signal with its time, and the policy's content. Size and
    confidence are left out, so an answer is valid for every size and matrix. "direction" of what the policy tells is what it would do by itself,
    where a control trades the other side of it."""
    told = dict(asked["content"])
    direction: Literal["LONG", "SHORT"] = "LONG" if told.pop("direction", "LONG" if asked["side"] > 0 else "SHORT") == "LONG" else "SHORT"
    signal, contract = asked["signal"], instrument.key
    facts = told | {
        "contract": contract,
        "detector": asked["detector"],
        "direction": direction,
        "signal": {name: plain(getattr(signal, name)) for name in SIGNAL},
    }
    content = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return Question(
        int(asked["id"]),
        int(asked["batch"]),
        contract,
        instrument.asset,
        direction,
        int(asked["ts"]),
        int(asked["deadline"]),
        content,
        {grade: Outcome(action, confidence) for grade, (action, confidence) in asked["outcomes"].items()},
    )


def plain(value: Any) -> Any:
    """A number of a signal as JSON has it: what is not finite is null."""
    value = int(value) if isinstance(value, int) else float(value)
    return value if isfinite(value) else None


def verdict_of(answer: Answer) -> tuple[lc.Judgment, int]:
    """Judgment and confidence, as Engine.on_verdict takes them. Without a usable answer the engine no longer waits for one."""
    if answer.action == "enter":
        return lc.Judgment.JUDGE_CONFIRM, max(1, min(3, answer.confidence))
    return {"hold": lc.Judgment.JUDGE_HOLD, "don't enter": lc.Judgment.JUDGE_VETO, None: lc.Judgment.JUDGE_FAILED}[answer.action], 0


def line_of(question: Question, answer: Answer, heard_ns: int | None, more: Mapping[str, Any] = {}) -> str:
    """A line of judge.jsonl."""
    row = asdict(answer) | {
        "heard_ns": heard_ns,
        "batch": question.batch,
        "question": json.loads(question.content),
        "contract": question.contract,
        "direction": question.direction,
        "asked_ns": question.asked_ns,
        "deadline_ns": question.deadline_ns,
        "outcomes": {grade: asdict(outcome) for grade, outcome in question.outcomes.items()},
    }
    return json.dumps(row | dict(more), sort_keys=True, default=str) + "\n"


def rows_of(places: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines of recorded judges: folders of runs, or their judge.jsonl. DataError names file and line."""
    for place in places:
        file = Path(place) / FILE if Path(place).is_dir() else Path(place)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as why:
            raise DataError(str(file), f"cannot be read: {why}", "the judge.jsonl of a run with a judge") from None
        for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):  # a killed run leaves half of its last line
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DataError(f"{file}:{number}", "no JSON object", "a line as a run writes it")
            yield row
