"""A question to the judge, its answer, and the interface of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Action = Literal["enter", "hold", "don't enter"]
News = Literal["supports", "none", "contradicts"]
NEWS: tuple[News, ...] = ("supports", "none", "contradicts")


@dataclass(frozen=True)
class Outcome:
    """The value of the policy's matrix for one grade of the news. confidence: 1 (low) to 3 (high), 0 without an entry."""

    action: Action
    confidence: int


@dataclass(frozen=True)
class Question:
    """One intent of a policy that waits for the judge.

    number: of Engine.questions. batch: questions of one moment share it. contract: "venue:SYMBOL". asset: the base coin. direction: what the policy
    would open. asked_ns, deadline_ns: ns UTC. content: canonical JSON (sorted keys, shortest floats) of the facts that the policy gives, without
    news. outcomes: what the policy's matrix gives for each grade of the news.
    """

    number: int
    batch: int
    contract: str
    asset: str
    direction: Literal["LONG", "SHORT"]
    asked_ns: int
    deadline_ns: int
    content: bytes
    outcomes: Mapping[News, Outcome]


@dataclass(frozen=True)
class Answer:
    """A judge's answer after validation and the policy's matrix: action and confidence are the weaker of both.

    status: "ok", or why there is no usable answer ("timeout", "http_429", "refused", "invalid", "budget", "breaker", "unknown_key", ...); then
    action is None and nothing is entered. key: hex digest of question, prompt version, model and parameters. cost: in the currency of the
    configuration's prices. request, response: as sent and received, without secrets. news: the items given to the judge, as plain dicts.
    """

    number: int
    action: Action | None
    confidence: int
    status: str
    key: str
    answered_ns: int
    news_grade: News | None = None
    request: Any = None
    response: Any = None
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    news: tuple[Mapping[str, Any], ...] = ()


class Judge(Protocol):
    """A judge of live questions. `answer` keeps the question's deadline and never raises for what the outside world does."""

    async def answer(self, question: Question) -> Answer: ...

    async def close(self) -> None: ...


class PastJudge(Protocol):
    """A judge of past questions: deterministic and without a socket ("rules", "recorded", "none")."""

    def answer_past(self, question: Question) -> Answer: ...
