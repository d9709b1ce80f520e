"""The configured judge beside a live run: questions of the engine go to it, its answers come back as events of the recording.

The trading loop never waits for it. Questions and answers are in judge.jsonl of the run, one JSON object per line.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import liqcore as lc
from liqshell import private
from liqshell.config.load import Config
from liqshell.errors import ConfigError
from liqshell.judge.asked import FILE, line_of, question_of, verdict_of
from liqshell.judge.types import Answer, Judge, Question
from liqshell.run.feed_listener import WireClock

LOOK_S = 0.01  # how often the engine is asked for its questions
_log = logging.getLogger("liqshell.judge")


@dataclass(frozen=True)
class RunTime:
    """The clock of a run, for the judge's deadlines. speed: of the run; the wire's own says 0 for the pace of the wall."""

    wire: WireClock
    speed: float

    def now_ns(self) -> int:
        return self.wire.now_ns()


def refuse_unanswered(config: Config) -> None:
    """ConfigError if a policy asks a judge and none is configured."""
    asking = [symbol for symbol in config.feed.named if config.policy_for(symbol).judge_s > 0.0]
    if config.judge.kind is None and (asking or (config.feed.whole and (config.policy.judge_s or 0.0) > 0.0)):
        raise ConfigError(
            "policy.judge_s",
            f"above 0 ({', '.join(asking[:3]) or 'all contracts'}), and [judge] names no judge, so no entry could be confirmed",
            "[judge] kind",
            "Set [judge] kind, or judge_s = 0; kind = 'none' where your own program calls Session.judge",
        )


class Judging:
    """judge: who is asked. engine(): the run's, None before it is there. verdict(question, judgment, confidence): into the recording; the event's
    time, None where it came too late. folder: of the run. `answered`: by status."""

    def __init__(self, judge: Judge, engine: Callable[[], lc.Engine | None], verdict: Callable[[int, lc.Judgment, int], int | None], folder: Path):
        self.judge, self.answered = judge, dict[str, int]()
        self._engine, self._verdict, self._file = engine, verdict, folder / FILE
        self._asked = 0  # the latest question that was taken; they are numbered in order
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled; what is out then is not waited for."""
        try:
            while True:
                engine = self._engine()
                for asked in engine.questions() if engine is not None else ():
                    if asked["id"] > self._asked:
                        self._asked = asked["id"]
                        task = asyncio.create_task(self._one(asked, engine.instruments[asked["instrument"]]))  # type: ignore[union-attr]
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, asked: Mapping[str, Any], instrument: lc.Instrument) -> None:
        try:
            question = question_of(asked, instrument)
            answer = await self.judge.answer(question)
        except Exception as why:  # a judge that fails is no reason to stop trading: nothing is entered without its word
            _log.error("question %d: the judge failed with %s: %s", asked["id"], type(why).__name__, why)
            self.answered["failed"] = self.answered.get("failed", 0) + 1
            self._verdict(asked["id"], lc.Judgment.JUDGE_FAILED, 0)
            return
        self.answered[answer.status] = self.answered.get(answer.status, 0) + 1
        over = answer.action is None and answer.answered_ns >= question.deadline_ns  # the engine waits no longer
        self._keep(question, answer, None if over else self._verdict(question.number, *verdict_of(answer)))

    def _keep(self, question: Question, answer: Answer, heard_ns: int | None) -> None:
        """heard_ns: when the engine heard of it."""
        try:
            with private.opened(self._file, "a", encoding="utf-8") as out:
                out.write(line_of(question, answer, heard_ns))
        except OSError as why:
            _log.error("%s: an answer cannot be kept: %s", self._file, why)

    def as_dict(self) -> dict[str, Any]:
        """For run.json: what became of the questions, and the SHA-256 of judge.jsonl."""
        kept = self._file.read_bytes() if self._file.exists() else b""
        return {"answered": dict(sorted(self.answered.items())), "hash": hashlib.sha256(kept).hexdigest() if kept else ""}
