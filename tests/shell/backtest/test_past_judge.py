"""A judge over the past: recorded answers and rules at their latency, unknown questions unjudged, a live model refused or CONTAMINATED."""

import asyncio
import json

import numpy as np
import pytest
from liqcore.audit import AuditKind
from liqshell.backtest.past_judge import AskPast, asker
from liqshell.config.load import loads
from liqshell.emulator.server import Config as Market
from liqshell.emulator.server import serve
from liqshell.errors import ConfigError
from liqshell.judge.asked import rows_of
from liqshell.judge.types import Answer
from liqshell.live import Session
from liqshell.live import session as session_module
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.run.pipeline import make_paper
from liqshell.run.recorded_events import read_events
from liqshell.run.tape_driver import drive

import liqcore as lc

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT"]
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
kind = "rules"
[limits]
data_age_max_s = 30
event_age_max_s = 30
"""


class Turns:
    """Enters with 3, vetoes, holds, fails, enters with 1, says nothing in time, in turn; each answer takes its own time."""

    def __init__(self, clock):
        self.n, self.clock = 0, clock

    async def answer(self, question):
        turn = self.n % 6
        self.n += 1
        await asyncio.sleep(0.01 + 0.02 * turn)
        action, status = (("enter", "ok"), ("don't enter", "ok"), ("hold", "ok"), (None, "invalid"), ("enter", "ok"), (None, "timeout"))[turn]
        key = __import__("liqshell.judge.validation", fromlist=["key_of"]).key_of(question, IDENTITY)
        return Answer(question.number, action, (3, 0, 0, 0, 1, 0)[turn], status, key, self.clock.now_ns(), "none" if status == "ok" else None,
                      {"judge": IDENTITY})

    async def close(self):
        pass


IDENTITY = {"kind": "turns"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A paper run of ten minutes whose judge answers in turns."""
    folder = tmp_path_factory.mktemp("judged") / "run"

    async def main():
        async with await serve(Market(seed=6, speed=60.0, lead_s=0.3)) as emulator:
            text = SETTINGS.format(rest=emulator.rest, ws=emulator.ws, symbols=json.dumps(SYMBOLS))
            session = Session(loads(text, ["run.out=" + json.dumps(str(folder.parent / "runs"))]), folder, emulator.clock, {"synthetic": True})
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session_module, "make_judge", lambda *given, **more: Turns(session.wire_clock))
                await session.run(emulator.feed.start_ns + 12 * 60 * lc.SECOND)

    asyncio.run(main())
    return folder


def walked(folder, change=lambda rows: rows, kind="recorded", **more):
    """The run's own settings and data without its verdicts, with a judge of its own: audit and the asker."""
    found = read_events(folder / journal.FRAMES)
    values = found.values | {"judge": {"kind": kind, "recordings": [str(folder)], "digest": str(more), "hosts": [], "age_max_s": 86_400.0,
                                       "latency_s": 0.5, "names": {}} | more}
    paper = make_paper(values)
    events = found.events[found.events["kind"] != int(lc.Kind.VERDICT)]
    assert len(events) < len(found.events)
    builder = lc.TapeBuilder(paper.engine.instruments)
    builder.push(change(events))
    judge = asker(values, paper.engine.instruments)
    audit = drive(lc.Walk(paper, lc.Tape(builder.instruments, builder.take()), judge), found.ended_ns)
    return audit, judge


def test_the_backtest_with_recorded_answers_is_the_live_run(run):
    """No verdict is left in the data: they come again by the content of the questions, at the same nanoseconds; the same audit stream, byte for byte."""
    live = journal.load_audit(run)
    judged = live[live["kind"] == int(AuditKind.AUDIT_JUDGE)]
    reasons = {lc.Reason(int(r)).name for r in judged["reason"]}
    assert {"JUDGING", "OK", "VETOED", "UNJUDGED"} <= reasons and (live["kind"] == int(AuditKind.AUDIT_TRADE)).any()
    audit, judge = walked(run)
    assert "unknown_key" not in judge.counts and len(judge.told) == len(list(rows_of([str(run)])))
    assert audit.tobytes() == live.tobytes()
    assert replay.prove(run).identical


def test_an_unknown_question_is_unjudged_and_counted(run):
    """The same liquidations, a millisecond later: other moments, other questions."""
    def moved(events):
        events = events.copy()
        events["ts_recv"] += 1_000_000
        return events

    audit, judge = walked(run, moved)
    assert set(judge.counts) == {"unknown_key"} and judge.counts["unknown_key"] > 3
    words = audit[(audit["kind"] == int(AuditKind.AUDIT_JUDGE)) & (audit["reason"] != int(lc.Reason.JUDGING))]
    assert set(words["reason"].tolist()) == {int(lc.Reason.UNJUDGED)} and not (audit["kind"] == int(AuditKind.AUDIT_TRADE)).any()


def test_rules_answer_after_their_declared_latency(run):
    audit, judge = walked(run, kind="rules", latency_s=2.5)
    assert set(judge.counts) == {"ok"} and len(judge.told) > 3
    asked = audit[(audit["kind"] == int(AuditKind.AUDIT_JUDGE)) & (audit["reason"] == int(lc.Reason.JUDGING))]
    heard = lc.audit.view(audit[audit["reason"] == int(lc.Reason.OK)], AuditKind.AUDIT_JUDGE)
    assert len(asked) >= len(heard) > 3 and np.allclose(heard["waited_s"], 2.5)
    late, judge = walked(run, kind="rules", latency_s=61.0)
    assert set(judge.counts) == {"timeout"} and not (late["kind"] == int(AuditKind.AUDIT_TRADE)).any()


def test_nobody_is_silence(run):
    audit, judge = walked(run, kind="none")
    assert set(judge.counts) == {"none"}
    words = lc.audit.view(audit[audit["reason"] == int(lc.Reason.UNJUDGED)], AuditKind.AUDIT_JUDGE)
    assert len(words) == len(judge.told) and np.allclose(words["waited_s"], 60.0)


def test_an_answer_is_the_same_for_every_size_and_confidence(run):
    """What a judge may know holds neither size nor confidence: a sweep over them finds the recorded answers."""
    row = next(rows_of([str(run)]))
    assert not {"notional", "confidence", "outcomes"} & row["question"].keys() and row["question"]["signal"]["ts"] == row["asked_ns"]


CONFIG = "[data]\nfiles = ['x']\n[policy]\njudge_s = 10\n"


@pytest.mark.parametrize(("judge", "verdicts", "where", "what"), [
    ("", 0, "policy.judge_s", "names nobody"), ("kind = 'openai'\nmodel = 'm'", 0, "judge.kind", "past_model"),
    ("kind = 'command'\nprogram = ['x']", 0, "judge.kind", "may know what happened")])
def test_what_cannot_answer_about_the_past_is_refused(judge, verdicts, where, what):
    from liqshell.backtest.past_judge import judge_settings

    with pytest.raises(ConfigError, match=what) as why:
        judge_settings(loads(CONFIG + f"[judge]\n{judge}\n"), ["BTCUSDT"], verdicts)
    assert why.value.where == where


def test_who_is_asked():
    from liqshell.backtest.past_judge import judge_settings, refuse_model

    def found(judge, verdicts=0, policy="judge_s = 10"):
        return judge_settings(loads(f"[policy]\n{policy}\n[judge]\n{judge}\n"), ["BTCUSDT"], verdicts)

    assert found("kind = 'rules'")["kind"] == "rules" and found("kind = 'none'")["kind"] == "none"
    assert found("kind = 'openai'\nmodel = 'm'", verdicts=3) == {} and found("", verdicts=3) == {}, "the data's own verdicts"
    assert found("kind = 'rules'", verdicts=3)["kind"] == "rules" and found("kind = 'rules'", policy="judge_s = 0") == {}
    model = "kind = 'openai'\nmodel = 'm'\npast_model = true"
    assert found(model, verdicts=3)["kind"] == "openai"
    with pytest.raises(ConfigError, match="in a sweep"):
        refuse_model(loads(f"[judge]\n{model}\n"), "sweep")
    with pytest.raises(ConfigError, match="beside a run"):
        asker({"judge": found(model)}, ())


def test_the_old_key_says_what_takes_its_place():
    with pytest.raises(ConfigError, match=r"judge.without_news: a key that is no more.*\[policy\] without_news"):
        loads("[judge]\nkind = 'rules'\nwithout_news = 'enter'\n")
    assert AskPast is not None
