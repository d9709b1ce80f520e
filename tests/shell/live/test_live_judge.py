"""A judge beside a live run: its verdicts enter the engine as recorded events, and the recording alone decides the same again."""

import asyncio
import hashlib
import json

import pytest

import liqcore as lc
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, DataError
from liqshell.judge.asked import rows_of
from liqshell.judge.past import RecordedJudge
from liqshell.judge.types import Answer, Outcome, Question
from liqshell.live import Session
from liqshell.live import session as session_module
from liqshell.recording import journal
from liqshell.run import backtest_parity as parity
from liqshell.run import replay

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
SETTINGS = """
[run]
name = "judged"
[feed]
rest = "{rest}"
ws = "{ws}"
symbols = {symbols}
[detector]
refresh_s = 0
warmup = 30
[policy]
judge_s = 60
[judge]
kind = "none"
[limits]
data_age_max_s = 30
event_age_max_s = 30
"""


def judged(folder, minutes, verdicts):
    """A paper run whose questions are answered in turn with `verdicts`, None = silence; how many were asked."""
    asked = []

    async def judge(session):
        while True:
            await asyncio.sleep(0.005)
            engine = session.pipeline.engine if session.pipeline else None
            for question in engine.questions() if engine else ():
                if question["id"] not in asked:
                    verdict = verdicts[len(asked) % len(verdicts)]
                    asked.append(question["id"])
                    if verdict is not None:
                        session.judge(question["id"], verdict)
                        session.judge(question["id"], lc.Judgment.JUDGE_CONFIRM)  # a second word changes nothing

    async def main():
        async with await serve(Config(seed=6, speed=60.0, lead_s=0.3)) as emulator:
            text = SETTINGS.format(rest=emulator.rest, ws=emulator.ws, symbols=list(SYMBOLS)).replace("'", '"')
            session = Session(loads(text), folder, emulator.clock, {"synthetic": True})
            judging = asyncio.create_task(judge(session))
            try:
                await session.run(emulator.feed.start_ns + int(minutes * 60 * lc.SECOND))
            finally:
                judging.cancel()

    asyncio.run(main())
    return len(asked), journal.load_audit(folder)


def test_a_judge_confirms_vetoes_or_is_silent_and_the_replay_is_the_same(tmp_path):
    folder = tmp_path / "run"
    asked, audit = judged(folder, 10, (lc.Judgment.JUDGE_CONFIRM, lc.Judgment.JUDGE_VETO, None))
    reasons = {lc.Reason(r) for r in audit["reason"][audit["kind"] == int(lc.AuditKind.AUDIT_JUDGE)].tolist()}
    assert asked >= 3 and {lc.Reason.JUDGING, lc.Reason.OK, lc.Reason.VETOED, lc.Reason.UNJUDGED} <= reasons, (asked, reasons)
    entries = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)) & (audit["x"][:, 7] == int(lc.Role.ROLE_ENTRY)) & (audit["phase"] == 1)]
    approved = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_JUDGE)) & (audit["reason"] == int(lc.Reason.OK))]
    assert 0 < len(entries) <= len(approved), "an entry that nobody confirmed"
    assert replay.prove(folder).identical
    assert parity.prove_as_backtest(folder).identical


class Script:
    """A judge of the tests: enters, vetoes, says nothing, fails, in turn. `seen`: what it was asked."""

    def __init__(self):
        self.seen, self.given, self.closed = [], {}, False

    async def answer(self, question):
        self.seen.append(question)
        await asyncio.sleep(0.01)
        turn = len(self.seen) % 4
        if turn == 0:
            raise RuntimeError("this judge fails now and then")
        action = ("enter", "don't enter", None)[turn - 1]
        self.given[question.number] = "ok" if action else "timeout"
        return Answer(
            question.number, action, 3 if action == "enter" else 0, "ok" if action else "timeout", f"key{question.number}", question.asked_ns
        )

    async def close(self):
        self.closed = True


def configured_run(folder, minutes, kind, monkeypatch=None, script=None):
    async def main():
        async with await serve(Config(seed=6, speed=60.0, lead_s=0.3)) as emulator:
            text = SETTINGS.format(rest=emulator.rest, ws=emulator.ws, symbols=list(SYMBOLS)).replace("'", '"').replace('"none"', f'"{kind}"')
            config = loads(text, ["run.out=" + json.dumps(str(folder.parent / "runs"))])
            session = Session(config, folder, emulator.clock, {"synthetic": True})
            await session.run(emulator.feed.start_ns + int(minutes * 60 * lc.SECOND))

    if script is not None:
        monkeypatch.setattr(session_module, "make_judge", lambda *given, **more: script)
    asyncio.run(main())
    return journal.load_audit(folder)


@pytest.mark.slow
def test_the_configured_judge_is_asked_and_its_answers_are_recorded(tmp_path, monkeypatch):
    """Confirmed, vetoed, without an answer and by a judge that fails; nothing enters without its word, and the recording alone decides the same."""
    folder, script = tmp_path / "run", Script()
    audit = configured_run(folder, 10, "rules", monkeypatch, script)
    rows = list(rows_of([str(folder)]))
    assert len(script.seen) >= 4 and script.closed
    numbers = [question.number for question in script.seen]
    assert numbers == sorted(set(numbers)) and {row["number"] for row in rows} <= set(numbers) and len(rows) >= len(numbers) * 3 // 4 - 1
    said = {row["number"]: row["status"] for row in rows}
    assert said.items() <= script.given.items()  # one that failed has no answer to keep
    assert set(list(script.given)[:-2]) <= set(said) and "timeout" in script.given.values(), "all but what the end of the run cut off"
    assert journal.load_manifest(folder)["judge"]["answered"]["failed"] >= 1
    judged_rows = audit[audit["kind"] == int(lc.AuditKind.AUDIT_JUDGE)]
    reasons = {lc.Reason(r) for r in judged_rows["reason"].tolist()}
    assert {lc.Reason.OK, lc.Reason.VETOED} <= reasons
    entered = sum(row["action"] == "enter" for row in rows)
    assert (judged_rows["reason"] == int(lc.Reason.OK)).sum() <= entered
    question = script.seen[0]
    assert (
        question.contract.startswith("bybit:") and question.asset in question.contract and question.deadline_ns - question.asked_ns == 60 * lc.SECOND
    )
    facts = json.loads(question.content)
    assert facts["contract"] == question.contract and facts["direction"] == question.direction and facts["signal"]["phase"] == int(lc.Phase.ACTIVE)
    assert json.dumps(facts, sort_keys=True, separators=(",", ":")).encode() == question.content
    assert journal.load_manifest(folder)["judge"]["hash"] == hashlib.sha256((folder / "judge.jsonl").read_bytes()).hexdigest()
    assert replay.prove(folder).identical and parity.prove_as_backtest(folder).identical


def test_rules_answer_without_a_network(tmp_path):
    """Plain code, no news: nothing speaks against it, so every question is confirmed."""
    audit = configured_run(tmp_path / "run", 6, "rules")
    reasons = audit["reason"][audit["kind"] == int(lc.AuditKind.AUDIT_JUDGE)]
    assert (reasons == int(lc.Reason.OK)).sum() >= 2 and not (reasons == int(lc.Reason.VETOED)).any()
    again = RecordedJudge(rows_of([str(tmp_path / "run")]))
    first = next(iter(rows_of([str(tmp_path / "run" / "judge.jsonl")])))
    outcome = Outcome("enter", 3)
    asked = Question(
        1,
        1,
        first["contract"],
        "BTC",
        first["direction"],
        first["asked_ns"],
        first["deadline_ns"],
        json.dumps(first["question"], sort_keys=True, separators=(",", ":")).encode(),
        {"supports": outcome, "none": outcome, "contradicts": Outcome("don't enter", 0)},
    )
    assert again.answer_past(asked).action == "enter"


def test_what_is_missing_for_the_judge_ends_a_run_before_anybody_is_asked(tmp_path, monkeypatch):
    """No key for a model elsewhere: the venue is not even contacted."""
    monkeypatch.delenv("LIQCORE_JUDGE_KEY", raising=False)
    text = SETTINGS.format(rest="http://127.0.0.1:1", ws="ws://127.0.0.1:1", symbols=list(SYMBOLS)).replace("'", '"')
    config = loads(text.replace('kind = "none"', 'kind = "openai"\nmodel = "m"\nbase_url = "https://judge.example/v1"'))
    with pytest.raises(ConfigError, match="no key for https://judge.example"):
        asyncio.run(Session(config, tmp_path / "run").run())
    assert not (tmp_path / "run").exists()


def test_the_last_line_of_a_killed_run_is_passed_over(tmp_path):
    (tmp_path / "judge.jsonl").write_text('{"key": "a"}\n{"key": "b"}\n{"key": "c')
    assert [row["key"] for row in rows_of([str(tmp_path)])] == ["a", "b"]


def test_a_policy_that_asks_nobody_is_refused(tmp_path):
    text = SETTINGS.format(rest="http://127.0.0.1:1", ws="ws://127.0.0.1:1", symbols=list(SYMBOLS)).replace("'", '"')
    with pytest.raises(ConfigError, match=r"policy.judge_s.*\[judge\] names no judge"):
        Session(loads(text.replace('[judge]\nkind = "none"\n', "")), tmp_path / "run")
    Session(loads(text), tmp_path / "run")
    Session(loads(text.replace("judge_s = 60", "judge_s = 0").replace('[judge]\nkind = "none"\n', "")), tmp_path / "run")


@pytest.mark.parametrize(
    "content, where",
    [(b"[1]\n", "judge.jsonl:1"), (b'{"a": 1}\nrubbish\n', "judge.jsonl:2"), (b"\xff\xfe", "cannot be read"), (None, "cannot be read")],
)
def test_rubbish_in_a_recorded_judge_names_its_line(tmp_path, content, where):
    if content is not None:
        (tmp_path / "judge.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=where):
        list(rows_of([str(tmp_path)]))
