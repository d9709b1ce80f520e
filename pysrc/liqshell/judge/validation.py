"""The valid content of an answer's text. An answer that is not exactly in the requested form gives no entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from liqshell.judge.prompt import NOTES, SCHEMA, VERSION, symbol_of
from liqshell.judge.types import Action, News, Outcome, Question
from liqshell.news.items import Item, clean, independent

NOTE_MAX = 240
TEXT_MAX = 64 << 10
STRENGTH: Mapping[str, int] = {"don't enter": 0, "hold": 1, "enter": 2}
CONFIDENCE: Mapping[str, int] = {"low": 1, "medium": 2, "high": 3}
HOSTS_MIN = 2  # independent ones, for "supports"
NO_ENTRY = Outcome("don't enter", 0)


class Invalid(ValueError):
    """Why an answer is not used."""


class Verdict(NamedTuple):
    """status: "ok" or "vetoed_by_matrix". outcome: the weaker of the answer's and of what the policy states for that grade."""

    status: str
    outcome: Outcome
    grade: News


def key_of(question: Question, judge: Mapping[str, Any]) -> str:
    """The content key of a question to a judge. judge: its kind, model and parameters."""
    facts = [question.contract, question.direction, question.content.decode(), VERSION, dict(judge)]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode(), digest_size=20).hexdigest()


def _no_constant(name: str) -> Any:
    raise Invalid(f"{name} is not a JSON number")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a key appears twice")
    return found


def parsed(text: str) -> dict[str, Any]:
    """The JSON object that a text is, wholly. Invalid for prose or fences around it, NaN, keys twice, more than 64 KiB."""
    if len(text) > TEXT_MAX:
        raise Invalid(f"{len(text)} characters, at most {TEXT_MAX}")
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_pairs)
    except Invalid:
        raise
    except (ValueError, RecursionError):
        raise Invalid("not JSON alone") from None
    if not isinstance(found, dict):
        raise Invalid("no JSON object")
    return found


def checked(found: Mapping[str, Any], question: Question, items: Sequence[Item]) -> dict[str, Any]:
    """The fields of an answer, each as the schema and the question have it; notes cleaned. Invalid names the first that is not."""
    if found.keys() != set(SCHEMA["required"]):
        raise Invalid("fields other than the schema's")
    for name, rule in SCHEMA["properties"].items():
        if "enum" in rule and not (isinstance(found[name], str) and found[name] in rule["enum"]):
            raise Invalid(f"{name}: a value not in the schema")
    if found["symbol"] != symbol_of(question) or found["direction"] != question.direction:
        raise Invalid("a symbol or direction other than the question's")
    out = dict(found)
    for name in NOTES:
        if not isinstance(found[name], str):
            raise Invalid(f"{name}: no text")
        out[name] = clean(found[name], TEXT_MAX)
        if len(out[name]) > NOTE_MAX:
            raise Invalid(f"{name}: more than {NOTE_MAX} characters")
    evidence = found["evidence"]
    if not isinstance(evidence, list) or not all(type(one) is int and 1 <= one <= len(items) for one in evidence):
        raise Invalid("evidence: numbers that are not of the items")
    out["evidence"] = sorted(set(evidence))
    if found["news"] != "none" and not evidence:
        raise Invalid("evidence: none, though news is given")
    return out


def weaker(one: Outcome, other: Outcome) -> Outcome:
    """The weaker action, the lower confidence; no entry has confidence 0."""
    action = min(one.action, other.action, key=lambda a: STRENGTH[a])
    return Outcome(action, min(one.confidence, other.confidence)) if action == "enter" else Outcome(action, 0)


def stated(question: Question, grade: News) -> Outcome:
    """The policy's value for a grade; no entry for "contradicts" and for grades without a value."""
    return NO_ENTRY if grade == "contradicts" else question.outcomes.get(grade, NO_ENTRY)


def judged(found: Mapping[str, Any], question: Question, items: Sequence[Item]) -> Verdict:
    """The result of an answer. Invalid where it is none. "supports" from fewer than two independent hosts is "none"."""
    answer = checked(found, question, items)
    grade = cast(News, answer["news"])
    allowed = stated(question, grade)
    if grade == "supports" and independent(items[n - 1] for n in answer["evidence"]) < HOSTS_MIN:
        grade, allowed = "none", weaker(allowed, stated(question, "none"))
    said = Outcome(cast(Action, answer["action"]), CONFIDENCE[answer["confidence"]])
    status = "vetoed_by_matrix" if STRENGTH[said.action] > STRENGTH[allowed.action] else "ok"
    return Verdict(status, weaker(said, allowed), grade)
