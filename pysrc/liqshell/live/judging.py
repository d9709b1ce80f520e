"""The configured judge beside a live run: questions of the engine go to it, its answers come back as events of the recording.

The trading loop never waits for it. What was asked and answered stands in judge.jsonl of the run, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import liqcore as lc
from liqshell import private
from liqshell.config.load import Config
from liqshell.errors import ConfigError, DataError
from liqshell.judge.types import Answer, Judge, News, Outcome, Question
from liqshell.run.feed_listener import WireClock

FILE = "judge.jsonl"
LOOK_S = 0.01                   # how often the engine is asked for its questions
SIGNAL = ("phase", "side", "z", "score", "count", "long_notional", "short_notional", "rolling", "threshold", "ts", "ts_start", "flags")
_log = logging.getLogger("liqshell.judge")


@dataclass(frozen=True)
class RunTime:
    """The clock of a run, for the judge's deadlines. speed: of the run; the wire's own says 0 for the pace of the wall."""

    wire: WireClock
    speed: float

    def now_ns(self) -> int:
        return self.wire.now_ns()


def refuse_unanswered(config: Config) -> None:
    """ConfigError where a policy asks a judge and nobody says which."""
    asking = [symbol for symbol in config.feed.named if config.policy_for(symbol).judge_s > 0.0]
    if config.judge.kind is None and (asking or (config.feed.whole and (config.policy.judge_s or 0.0) > 0.0)):
        raise ConfigError("policy.judge_s", f"above 0 ({', '.join(asking[:3]) or 'all contracts'}), and [judge] names nobody: no entry would ever be "
                          "confirmed", "[judge] kind", "Set [judge] kind, or judge_s = 0; kind = 'none' where your own program calls Session.judge")


def question_of(asked: Mapping[str, Any], instrument: lc.Instrument, without_news: str) -> Question:
    """A question of Engine.questions() in the judge's shape. without_news: action where no news speaks for or against it."""
    confidence = max(1, min(3, int(asked["confidence"]) or 3))
    signal = asked["signal"]
    contract = instrument.key
    direction: Literal["LONG", "SHORT"] = "LONG" if asked["side"] > 0 else "SHORT"
    facts = {"confidence": confidence, "contract": contract, "detector": asked["detector"], "direction": direction, "notional": asked["notional"],
             "signal": {name: plain(getattr(signal, name)) for name in SIGNAL}}
    enter, never = Outcome("enter", confidence), Outcome("don't enter", 0)
    outcomes: dict[News, Outcome] = {"supports": enter, "none": enter if without_news == "enter" else never, "contradicts": never}
    content = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return Question(int(asked["id"]), int(asked["ts"]), contract, instrument.asset, direction, int(asked["ts"]), int(asked["deadline"]),
                    content, outcomes)


def plain(value: Any) -> Any:
    """A number of a signal as JSON has it: what is not finite is null."""
    value = int(value) if isinstance(value, int) else float(value)
    return value if value == value and abs(value) != float("inf") else None


class Judging:
    """judge: who is asked. engine(): the run's, None before it is there. verdict(question, judgment): into the recording. folder: of the run.
    without_news: see question_of. `answered`: by status."""

    def __init__(self, judge: Judge, engine: Callable[[], lc.Engine | None], verdict: Callable[[int, lc.Judgment], None], folder: Path,
                 without_news: str = "enter"):
        self.judge, self.answered = judge, dict[str, int]()
        self._engine, self._verdict, self._file, self._without_news = engine, verdict, folder / FILE, without_news
        self._asked = 0                 # the latest question that was taken; they are numbered in order
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled; what is out then is not waited for."""
        try:
            while True:
                engine = self._engine()
                for asked in engine.questions() if engine is not None else ():
                    if asked["id"] > self._asked:
                        self._asked = asked["id"]
                        task = asyncio.create_task(self._one(asked, engine.instruments[asked["instrument"]]))      # type: ignore[union-attr]
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, asked: Mapping[str, Any], instrument: lc.Instrument) -> None:
        try:
            question = question_of(asked, instrument, self._without_news)
            answer = await self.judge.answer(question)
        except Exception as why:        # a judge that fails is no reason to stop trading: nothing is entered without its word
            _log.error("question %d: the judge failed: %s: %s", asked["id"], type(why).__name__, why)
            self.answered["failed"] = self.answered.get("failed", 0) + 1
            return
        self.answered[answer.status] = self.answered.get(answer.status, 0) + 1
        self._keep(question, answer)
        if answer.action is not None:
            self._verdict(question.number, lc.Judgment.JUDGE_CONFIRM if answer.action == "enter" else lc.Judgment.JUDGE_VETO)

    def _keep(self, question: Question, answer: Answer) -> None:
        row = asdict(answer) | {"question": json.loads(question.content), "contract": question.contract, "direction": question.direction,
                                "asked_ns": question.asked_ns, "deadline_ns": question.deadline_ns}
        try:
            with private.opened(self._file, "a", encoding="utf-8") as out:
                out.write(json.dumps(row, sort_keys=True, default=str) + "\n")
        except OSError as why:
            _log.error("%s: an answer cannot be kept: %s", self._file, why)

    def as_dict(self) -> dict[str, Any]:
        """For run.json: what became of the questions, and the SHA-256 of judge.jsonl."""
        kept = self._file.read_bytes() if self._file.exists() else b""
        return {"answered": dict(sorted(self.answered.items())), "hash": hashlib.sha256(kept).hexdigest() if kept else ""}


def rows_of(places: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines of recorded judges: folders of runs, or their judge.jsonl. DataError names file and line."""
    for place in places:
        file = Path(place) / FILE if Path(place).is_dir() else Path(place)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as why:
            raise DataError(str(file), f"cannot be read: {why}", "the judge.jsonl of a run whose judge was asked") from None
        for number, line in enumerate(text[:text.rfind("\n") + 1].splitlines(), 1):        # a killed run leaves half of its last line
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DataError(f"{file}:{number}", "no JSON object", "a line that a run has written")
            yield row
