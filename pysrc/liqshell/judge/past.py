"""Judges of the past, without a socket: recorded answers by their content key, the rules over recorded news, none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, cast

from liqshell.clock import NS
from liqshell.judge.rules import Rules, answer_text
from liqshell.judge.types import NEWS, Action, Answer, Outcome, Question
from liqshell.judge.validation import NO_ENTRY, STRENGTH, judged, key_of, parsed, stated, weaker
from liqshell.news.items import select
from liqshell.news.sources import RecordedNews


class NoJudge:
    """Answers nothing; a live question is answered as one of the past."""

    def answer_past(self, question: Question) -> Answer:
        return Answer(question.number, None, 0, "none", "", question.asked_ns)

    async def answer(self, question: Question) -> Answer:
        return self.answer_past(question)

    async def close(self) -> None:
        pass


class RecordedJudge(NoJudge):
    """Answers of recorded streams by content key, of any judge in them. `rows`: of the stream: key, status, action, confidence,
    news_grade, request (with "judge"), asked_ns, answered_ns, heard_ns (when the engine heard of it). counts: answers by status; "unknown_key" = no
    judge was asked that.

    The answer counts after as much time as it took then, and is again held against what the policy states now.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]):
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._judges: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            judge = (row.get("request") or {}).get("judge")
            if row.get("key") and isinstance(judge, Mapping):
                self._rows.setdefault(str(row["key"]), row)
                self._judges.setdefault(repr(sorted(judge.items())), judge)
        self.counts: Counter[str] = Counter()

    def answer_past(self, question: Question) -> Answer:
        keys = [key_of(question, judge) for judge in self._judges.values()]
        key = next((key for key in keys if key in self._rows), "")
        if not key:
            self.counts["unknown_key"] += 1
            return Answer(question.number, None, 0, "unknown_key", keys[0] if keys else "", question.asked_ns)
        row = self._rows[key]
        action, status, grade = row.get("action"), str(row.get("status", "invalid")), row.get("news_grade")
        heard = int(row.get("heard_ns") or row.get("answered_ns", 0))
        waited = max(0, heard - int(row.get("asked_ns", heard)))
        outcome = NO_ENTRY
        if status == "ok" and action in STRENGTH and grade in NEWS:
            outcome = weaker(Outcome(cast(Action, action), int(row.get("confidence", 0))), stated(question, grade))
        elif status == "ok":
            status = "invalid"
        answered = question.asked_ns + waited
        if status == "ok" and answered > question.deadline_ns:
            status = "timeout"
        self.counts[status] += 1
        return Answer(
            question.number,
            outcome.action if status == "ok" else None,
            outcome.confidence if status == "ok" else 0,
            status,
            key,
            answered,
            grade,
            row.get("request"),
            row.get("response"),
            row.get("usage") or {},
            float(row.get("cost", 0.0)),
            tuple(row.get("news") or ()),
        )


class RulesPast:
    """The rules over what a recording has of the news: items that had been received when they answer, latency_s after the question. news None =
    without news."""

    def __init__(self, news: RecordedNews | None = None, *, hosts: tuple[str, ...] = (), age_max_s: float = 86_400.0, latency_s: float = 0.0):
        self._news, self._hosts, self._age_max_s, self._latency_ns = news, hosts, age_max_s, round(latency_s * NS)

    def answer_past(self, question: Question) -> Answer:
        at = question.asked_ns + self._latency_ns
        if at > question.deadline_ns:
            return Answer(question.number, None, 0, "timeout", key_of(question, Rules.identity), at, request={"judge": dict(Rules.identity)})
        found = self._news.known(question.asset, at) if self._news is not None else []
        items = select(found, at, age_max_s=self._age_max_s, hosts=self._hosts).items
        text = answer_text(question, items)
        verdict = judged(parsed(text), question, items)
        return Answer(
            question.number,
            verdict.outcome.action,
            verdict.outcome.confidence,
            "ok",
            key_of(question, Rules.identity),
            at,
            verdict.grade,
            {"judge": dict(Rules.identity)},
            text,
            {},
            0.0,
            tuple(asdict(item) for item in items),
        )
