"""The common part of all live judges: deadline, breaker, caps, news, validation. Kinds differ only in how they get the text of an answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from liqshell.clock import NS, MarketTime
from liqshell.config.judge_sections import PriceConfig
from liqshell.judge.limits import Breaker, Caps
from liqshell.judge.prompt import user_text
from liqshell.judge.providers import Cut, Provider, Refused, wire
from liqshell.judge.types import Answer, Question
from liqshell.judge.validation import Invalid, judged, key_of, parsed
from liqshell.log import holds_secret, redact, redact_value
from liqshell.news.items import Item, NewsError, NewsSource, Selected, select_in_turns
from liqshell.news.pace import retry_after_s
from liqshell.web import Reply, Web

_log = logging.getLogger("liqshell.judge")
BYTES_PER_TOKEN = 2  # a bound from below for JSON and English: what is reserved is rather too much


class Told(NamedTuple):
    """The answer of a provider to a question. status "ok": text is an answer to be validated. held_s: the pause that the provider asks for."""

    status: str
    text: str = ""
    response: Any = None
    usage: Mapping[str, int] = {}
    held_s: float = 0.0


class Way(Protocol):
    """How a question is asked. identity: kind, model and parameters, a part of every key."""

    identity: Mapping[str, Any]

    def request(self, question: Question, items: Sequence[Item]) -> dict[str, Any]:
        """The request as it is recorded, without secrets."""

    async def ask(self, request: Mapping[str, Any], until_s: float) -> Told: ...

    def most(self, request: Mapping[str, Any]) -> Mapping[str, int]:
        """The most that it may take, as usage."""

    async def close(self) -> None: ...


@dataclass
class Asking:
    """The judge that asks in one way. news None: the question is asked without news. wall: of breaker and caps, ns UTC. counts: answers by status."""

    way: Way
    clock: MarketTime
    timeout_s: float
    caps: Caps
    price: PriceConfig = field(default_factory=PriceConfig)
    news: NewsSource | None = None
    news_timeout_s: float = 1.5
    hosts: Sequence[str] = ()
    age_max_s: float = 86_400.0
    concurrency: int = 4
    wall: Callable[[], int] = time.time_ns
    breaker: Breaker = field(default_factory=Breaker)
    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)  # items of news that were not shown, by reason

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.concurrency)

    async def close(self) -> None:
        await self.way.close()
        if self.news is not None:
            await self.news.close()

    async def answer(self, question: Question) -> Answer:
        """Within the question's deadline, whatever the outside does."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (question.deadline_ns - self.clock.now_ns()) / self.clock.speed / NS
        progress: dict[str, Any] = {"late": "busy"}  # what is known when the time is over
        try:
            async with asyncio.timeout_at(until), self._places:
                told = await self._told(question, until, progress)
        except TimeoutError:
            told = Told(progress["late"])
            if told.status == "timeout":  # else no query was sent, which is no failure of the provider
                self._failed(told.status)
        return self._finished(question, told, progress)

    async def _told(self, question: Question, until: float, progress: dict[str, Any]) -> Told:
        loop = asyncio.get_running_loop()
        if self.breaker.is_open(self.wall()):
            return Told("breaker")
        progress["late"] = "no_news"
        try:
            chosen = await self._news(question)
        except NewsError as why:
            _log.warning("question %d has no news: %s", question.number, redact(str(why)))
            return Told("no_news")
        progress["items"] = chosen.items
        request = progress["request"] = self.way.request(question, chosen.items)
        most = self.way.most(request)
        number = self.caps.reserve(self.wall(), most.get("input", 0) + most.get("output", 0), self.cost(most))
        if not number:
            return Told("budget")
        progress["cost"] = self.cost(most)  # it may have to be paid, though no answer says so
        progress["late"] = "timeout"
        told = await self.way.ask(request, min(until, loop.time() + self.timeout_s))
        if told.held_s:
            self.breaker.hold(self.wall(), told.held_s)
        if told.usage:
            progress["cost"] = self.cost(told.usage)
            self.caps.settle(number, self.wall(), told.usage.get("input", 0) + told.usage.get("output", 0), progress["cost"])
        elif told.status == "connect":
            progress["cost"] = 0.0
            self.caps.settle(number, self.wall(), 0, 0.0)
        if told.status not in ("ok", "refused"):
            self._failed(told.status)
        return told

    async def _news(self, question: Question) -> Selected:
        if self.news is None:
            return Selected((), {})
        try:
            async with asyncio.timeout(self.news_timeout_s):
                found = await self.news.about(question.asset, self.clock.now_ns())
        except TimeoutError as why:
            raise NewsError(f"no answer within {self.news_timeout_s:g} s") from why
        chosen = await select_in_turns(found, self.clock.now_ns(), age_max_s=self.age_max_s, hosts=self.hosts)
        for reason, count in chosen.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        return chosen

    def _failed(self, status: str) -> None:
        if self.breaker.failed(self.wall()):
            _log.error("five failures of the judge within a minute, the last one %s: no questions for 300 s", status)

    def _finished(self, question: Question, told: Told, progress: Mapping[str, Any]) -> Answer:
        items: tuple[Item, ...] = progress.get("items", ())
        status, action, confidence, grade, cost = told.status, None, 0, None, progress.get("cost", 0.0)
        if status == "ok":
            try:
                verdict = judged(parsed(told.text), question, items)
                status, grade = verdict.status, verdict.grade
                if status == "ok":
                    action, confidence = verdict.outcome.action, verdict.outcome.confidence
            except Invalid as why:
                _log.warning("question %d: the answer is not used: %s", question.number, why)
                status = "invalid"
                self._failed(status)
        self.counts[status] = self.counts.get(status, 0) + 1
        return Answer(
            question.number,
            action,
            confidence,
            status,
            key_of(question, self.way.identity),
            self.clock.now_ns(),
            grade,
            {"judge": dict(self.way.identity), **progress.get("request", {})},
            told.response,
            told.usage,
            cost,
            tuple(asdict(item) for item in items),
        )

    def cost(self, usage: Mapping[str, int]) -> float:
        """US dollars, by the table of prices."""
        cached = min(usage.get("cached", 0), usage.get("input", 0))
        of_cached = self.price.input if self.price.cached is None else self.price.cached
        return ((usage.get("input", 0) - cached) * self.price.input + cached * of_cached + usage.get("output", 0) * self.price.output) / 1e6


class Model:
    """A way: a model by HTTP. strict: whether its server takes the schema; else a JSON object is asked for and validation alone decides."""

    def __init__(self, kind: str, provider: Provider, web: Web, model: str, max_tokens: int, effort: str | None):
        self.identity: Mapping[str, Any] = {"kind": kind, "model": model, "max_tokens": max_tokens, "effort": effort or ""}
        self._provider, self._web, self._max_tokens = provider, web, max_tokens
        self.strict = True

    async def close(self) -> None:
        await self._web.close()

    def request(self, question: Question, items: Sequence[Item]) -> dict[str, Any]:
        return {"url": self._web.base + self._provider.target, "body": self._provider.body(user_text(question, items), self.strict)}

    def most(self, request: Mapping[str, Any]) -> Mapping[str, int]:
        return {"input": len(wire(request["body"])) // BYTES_PER_TOKEN, "output": self._max_tokens}

    async def ask(self, request: Mapping[str, Any], until_s: float) -> Told:
        reply = await self._web.ask("POST", self._provider.target, until_s, wire(request["body"]))
        if reply.status == 0:
            if reply.detail:
                _log.warning("the judge at %s: %s", self._web.base, reply.detail)
            return Told(reply.why)
        response = shown_response(reply)
        if reply.status != 200:
            self._learn(reply)
            asked_s = retry_after_s(reply.headers)
            held_s = asked_s if asked_s is not None else 1.0 if reply.status == 429 else 0.0
            return Told(f"http_{reply.status}", response=response, held_s=held_s)
        try:
            said = self._provider.read(parsed_body(reply.body))
        except Refused:
            return Told("refused", response=response)
        except Cut:
            return Told("cut", response=response)
        except Invalid as why:
            _log.warning("the judge at %s: %s", self._web.base, why)
            return Told("invalid", response=response)
        return Told("ok", said.text, response, said.usage)

    def _learn(self, reply: Reply) -> None:
        """A server that refuses the schema is asked for a JSON object from the next question on."""
        about_it = any(word in reply.body for word in (b"schema", b"response_format", b"output_config", b"grammar"))
        if self.strict and reply.status in (400, 422) and about_it:
            self.strict = False
            _log.warning("the judge at %s rejects the schema: questions ask for a JSON object from now on", self._web.base)


def parsed_body(body: bytes) -> Any:
    """A response as JSON; Invalid where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Invalid("no JSON in the response") from None


def shown_response(reply: Reply) -> Any:
    """A response as it is recorded: JSON where it is, else the beginning of its text. A secret that a server repeats is masked."""
    text = reply.body.decode("utf-8", "replace")
    try:
        found = json.loads(text) if len(text) <= 262_144 else text[:4_096]
    except (ValueError, RecursionError):
        found = text[:4_096]
    return redact_value("", found) if holds_secret(text) else found
