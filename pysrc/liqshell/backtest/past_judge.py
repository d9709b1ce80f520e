"""A judge over the past, which a backtest, a sweep or a comparison asks while the tape runs.

settings["judge"] names the judge: "recorded" (answers of recordings by content key, after the time that they took), "rules" (plain code over the news
of recordings, after the declared latency), "none" (no answers), or a live model. The answers of a live model are CONTAMINATED: it may know what
happened.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import liqcore as lc
from liqshell.clock import NS
from liqshell.config.judge_sections import JudgeConfig, NewsConfig
from liqshell.config.load import Config
from liqshell.errors import ConfigError
from liqshell.judge.asked import FILE, line_of, question_of, rows_of, verdict_of
from liqshell.judge.types import Answer, Judge, PastJudge, Question
from liqshell.log import redact

PAST = ("rules", "recorded")  # kinds that answer about the past without knowledge of the outcome
LIVE = ("openai", "anthropic", "command")
MINUTE_S = 61.0  # after which the cap of a minute has room again


def asking(config: Config, symbols: Sequence[str]) -> list[str]:
    """The symbols whose policy asks a judge."""
    return [symbol for symbol in symbols if config.policy_for(symbol).judge_s > 0.0]


def asks_anew(config: Config, symbols: Sequence[str]) -> bool:
    """Whether a run over the past asks the judge of its configuration; verdicts that the data hold are then passed over."""
    return bool(asking(config, symbols)) and (config.judge.kind in PAST or config.judge.kind in LIVE and config.judge.past_model)


def judge_settings(config: Config, symbols: Sequence[str], verdicts: int) -> dict[str, Any]:
    """settings["judge"] of a run over the past; {} without a judge. verdicts: that the data hold. ConfigError where no entry could ever be
    confirmed, and where a model would be asked about the past."""
    judge, who = config.judge, asking(config, symbols)
    if not who or (verdicts and not asks_anew(config, symbols)):
        return {}
    if judge.kind is None:
        raise ConfigError(
            "policy.judge_s",
            f"above 0 ({', '.join(who[:3])}), but [judge] names no judge and these data hold no verdicts",
            "a judge",
            "Set [judge] kind to 'recorded' or 'rules', or judge_s = 0, or use a recording of a run with a judge",
        )
    if judge.kind in LIVE and not judge.past_model:
        raise ConfigError(
            "judge.kind",
            f"{judge.kind!r}: it may know what happened after the questions, and these data hold no verdicts",
            "'recorded' or 'rules' for data of the past",
            "With judge.past_model = true it is asked, and the result is marked CONTAMINATED",
        )
    found: dict[str, Any] = {
        "kind": judge.kind,
        "latency_s": judge.latency_s,
        "recordings": [str(Path(one).resolve()) for one in judge.recordings],
        "digest": _digest(judge.recordings),
        "hosts": list(config.news.hosts),
        "age_max_s": config.news.age_max_s,
        "names": dict(config.news.names or {}),
    }
    return found | ({"model": judge.model, "base_url": redact(judge.base_url), "program": list(judge.program)} if judge.kind in LIVE else {})


def refuse_model(config: Config, what: str) -> None:
    """ConfigError: what asks the same again and again asks no live model."""
    if config.judge.kind in LIVE and config.judge.past_model:
        raise ConfigError(
            "judge.kind",
            f"{config.judge.kind!r} in a {what}",
            "'recorded' or 'rules'",
            "Run `liqcore backtest` once with it, and name its folder in [judge] recordings with kind = 'recorded'",
        )


def _digest(places: Sequence[str]) -> str:
    seen = hashlib.sha256()
    for place in places:
        file = Path(place) / FILE if Path(place).is_dir() else Path(place)
        seen.update(file.read_bytes() if file.is_file() else b"")
    return seen.hexdigest() if places else ""


@lru_cache(maxsize=4)
def _rows(places: tuple[str, ...], digest: str) -> tuple[dict[str, Any], ...]:
    """Read once a process."""
    return tuple(rows_of(places))


def contaminated(config: Config) -> bool:
    """Whether the recorded answers of a configuration are, some of them, of a live model that was asked about the past."""
    places = tuple(str(Path(one).resolve()) for one in config.judge.recordings)
    return config.judge.kind == "recorded" and any(row.get("contaminated") for row in _rows(places, _digest(places)))


@dataclass(frozen=True)
class Told:
    """A question of a run and its answer. heard_ns: when the engine receives it; None = never."""

    question: Question
    answer: Answer
    heard_ns: int | None


class AskPast:
    """The callback of lc.Walk for questions. delay_s: later than the judge answers, with as much more time for it. contaminated: some answer is
    of a live model that was asked about the past. told: in order."""

    def __init__(self, judge: PastJudge, instruments: Sequence[lc.Instrument], delay_s: float = 0.0, contaminated: bool = False):
        self.judge, self.instruments, self._delay_ns, self.contaminated = judge, instruments, round(delay_s * NS), contaminated
        self.told: list[Told] = []

    def __call__(self, asked: Mapping[str, Any]) -> tuple[int, int, int] | None:
        question = question_of(asked, self.instruments[asked["instrument"]])
        question = replace(question, deadline_ns=question.deadline_ns - self._delay_ns)
        answer = self.judge.answer_past(question)
        over = answer.action is None and answer.answered_ns >= question.deadline_ns  # as live: see liqshell.live.judging
        heard = None if over or answer.status == "none" else max(answer.answered_ns, question.asked_ns) + self._delay_ns
        self.told.append(Told(question, answer, heard))
        return None if heard is None else (heard, *verdict_of(answer))

    def close(self) -> None:
        if isinstance(self.judge, ModelPast):
            self.judge.close()

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(one.answer.status for one in self.told).items()))

    def lines(self) -> str:
        """judge.jsonl."""
        more = {"contaminated": True} if self.contaminated else {}
        return "".join(line_of(one.question, one.answer, one.heard_ns, more) for one in self.told)


class ModelPast:
    """A live judge asked about the past: CONTAMINATED. The verdict comes after as much time as the answer took on the wall. Breaker and caps are
    those of a live run, and count with it: out is [run] out. Where the minute's cap is used up the backtest waits for the next; the day's cap leaves
    the rest without an answer."""

    def __init__(self, judge: JudgeConfig, values: Mapping[str, Any], out: str | Path):
        self._judge, self._values, self._out = judge, values, out
        self.now, self.speed = 0, 1.0
        self._begun = 0.0
        self._runner = asyncio.Runner()
        self._made: Judge | None = None
        self._used_up = False

    def now_ns(self) -> int:
        return self.now + round((time.monotonic() - self._begun) * NS)

    def answer_past(self, question: Question) -> Answer:
        return self._runner.run(self._ask(question))

    async def _ask(self, question: Question) -> Answer:
        from liqshell.judge.build import make_judge  # what a live judge needs: not for those who ask nobody

        if self._made is None:
            self._made = make_judge(self._judge, NewsConfig(hosts=tuple(self._values["hosts"])), self, self._out)
        until = time.monotonic() + MINUTE_S
        while True:
            self.now, self._begun = question.asked_ns, time.monotonic()
            answer = await self._made.answer(question)
            if answer.status != "budget" or self._used_up or time.monotonic() > until:
                break
            await asyncio.sleep(0.5)
        self._used_up = answer.status == "budget"
        return answer

    def close(self) -> None:
        if self._made is not None:
            self._runner.run(self._made.close())
        self._runner.close()


def asker(values: Mapping[str, Any], instruments: Sequence[lc.Instrument], model: JudgeConfig | None = None, out: str | Path = "") -> AskPast | None:
    """The judge of a run's settings; None if the run asks no judge. model: [judge] of a live one, out: where what it uses is kept. DataError where a
    recording cannot be read."""
    found = values.get("judge")
    if not found:
        return None
    rows = _rows(tuple(found["recordings"]), found["digest"])
    if found["kind"] in LIVE:
        if model is None:
            raise ConfigError("judge.kind", f"{found['kind']!r} together with a run", "the recorded answers of the run")
        return AskPast(ModelPast(model, found, out), instruments, contaminated=True)
    from liqshell.judge.build import make_past_judge, names_of, news_in

    names = names_of(NewsConfig(names=found["names"]))
    news = news_in(rows, names, found["age_max_s"]) if rows and found["kind"] == "rules" else None
    judge = make_past_judge(found["kind"], rows, news, hosts=tuple(found["hosts"]), age_max_s=found["age_max_s"], latency_s=found["latency_s"])
    return AskPast(judge, instruments, found.get("delay_s", 0.0), found["kind"] == "recorded" and any(row.get("contaminated") for row in rows))


def as_recorded(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the answers that a run has left in its folder, in the place of its judge."""
    return {**values, "judge": values["judge"] | {"kind": "recorded", "recordings": [str(folder)], "digest": _digest([str(folder)])}}


def later(values: Mapping[str, Any], delay_s: float) -> dict[str, Any]:
    """The settings with verdicts that come so much later, and brackets that wait so much longer for them."""
    brackets = {
        symbol: terms | ({"judge_s": terms["judge_s"] + delay_s} if terms.get("judge_s") else {}) for symbol, terms in values["brackets"].items()
    }
    return {**values, "brackets": brackets, "judge": values["judge"] | {"delay_s": delay_s}}


def unjudged(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run without a judge: for controls whose questions no judge was asked."""
    brackets = {
        symbol: {key: value for key, value in terms.items() if key not in ("judge_s", "without_news")} for symbol, terms in values["brackets"].items()
    }
    return {key: value for key, value in values.items() if key != "judge"} | {"brackets": brackets}
