"""A judge over the past: recorded answers and rules at their latency, unknown questions unjudged, a live model refused or CONTAMINATED."""

import asyncio
import io
import json
import socket
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from rich.console import Console

import liqcore as lc
from generated import generated
from liqcore.audit import AuditKind
from liqshell import cli
from liqshell.backtest import run_backtest, shadows
from liqshell.backtest.past_judge import AskPast, asker
from liqshell.config.load import loads
from liqshell.emulator.server import Config as Market
from liqshell.emulator.server import serve
from liqshell.errors import ConfigError
from liqshell.gate.verify import assess
from liqshell.judge.asked import FILE, rows_of
from liqshell.judge.types import Answer, Outcome, Question
from liqshell.judge.validation import key_of
from liqshell.live import Session
from liqshell.live import session as session_module
from liqshell.recording import journal
from liqshell.report import judging, load_run, make_report, print_report
from liqshell.report.narrative import story
from liqshell.report.verdicts import WHY
from liqshell.research.compare import page as compare_page
from liqshell.research.compare.run import run_compare
from liqshell.research.compare.terminal import show as print_compared
from liqshell.run import replay
from liqshell.run.backtest_parity import prove_as_backtest
from liqshell.run.pipeline import make_paper, settings
from liqshell.run.recorded_events import read_events
from liqshell.run.tape_driver import drive
from liqshell.sweep.page import print_sweep, write_sweep
from liqshell.sweep.run import run_sweep

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
    """Enters with 3, vetoes, holds, fails, enters with 1, refusesthing in time, in turn; each answer takes its own time."""

    def __init__(self, clock):
        self.n, self.clock = 0, clock

    async def answer(self, question):
        turn = self.n % 6
        self.n += 1
        await asyncio.sleep(0.01 + 0.02 * turn)
        action, status = (("enter", "ok"), ("don't enter", "ok"), ("hold", "ok"), (None, "invalid"), ("enter", "ok"), (None, "timeout"))[turn]
        return Answer(
            question.number,
            action,
            (3, 0, 0, 0, 1, 0)[turn],
            status,
            key_of(question, IDENTITY),
            self.clock.now_ns(),
            "none" if status == "ok" else None,
            {"judge": IDENTITY},
        )

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


def with_a_model(emulator):
    """Model, announcements and feed of the emulator's outside."""
    text, outside = SETTINGS.format(rest=emulator.rest, ws=emulator.ws, symbols=json.dumps(SYMBOLS)), emulator.outside.url
    return text.replace(
        'kind = "rules"',
        f'kind = "openai"\nmodel = "stub"\nbase_url = "{outside}/v1"\nquestions_minute = 10000\n[news]\n'
        f'announcements = true\nannouncements_url = "{outside}"\nfeeds = ["{outside}/rss"]',
    )


@pytest.mark.slow
def test_a_run_with_a_model_and_news_replays_without_a_socket(tmp_path, monkeypatch):
    """Model, announcements and feed of the loopback outside; then no socket can be made: the recording alone replays, and with the recorded answers a
    backtest of the data makes the same decisions."""
    folder = tmp_path / "run"

    async def main():
        async with await serve(Market(seed=6, speed=60.0, lead_s=0.3, judge=True, news=True)) as emulator:
            session = Session(
                loads(with_a_model(emulator), ["run.out=" + json.dumps(str(tmp_path / "runs"))]), folder, emulator.clock, {"synthetic": True}
            )
            await session.run(emulator.feed.start_ns + 10 * 60 * lc.SECOND)

    asyncio.run(main())

    def no_socket(*given, **more):
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", no_socket)
    told = list(rows_of([str(folder)]))
    assert len(told) >= 2 and any(row["news"] for row in told) and {row["status"] for row in told} & {"ok"}
    assert replay.prove(folder).identical and prove_as_backtest(folder).identical
    audit, judge = walked(folder)
    assert audit.tobytes() == journal.load_audit(folder).tobytes() and "unknown_key" not in judge.counts


def rows_by_contract(folder, kind, *names):
    """Records of an audit: time, contract, side and what is named."""
    symbols = [one.symbol for one in load_run(folder).instruments]
    rows = lc.audit.view(journal.load_audit(folder), kind)
    return [(row["ts"].item(), symbols[row["instrument"]], *(row[name].item() for name in ("side", *names))) for row in rows]


@pytest.mark.slow
def test_an_imported_recording_backtested_with_its_recorded_answers_gives_the_same_trades(tmp_path, capsys):
    """The way of the manual, by its commands: paper run with a model and news, import of its recording, backtest of the store with kind = "recorded"."""
    folder = tmp_path / "run"

    async def main():
        async with await serve(Market(seed=6, speed=60.0, lead_s=0.3, judge=True, news=True)) as emulator:
            session = Session(
                loads(with_a_model(emulator), ["run.out=" + json.dumps(str(tmp_path / "runs"))]), folder, emulator.clock, {"synthetic": True}
            )
            await session.run(emulator.feed.start_ns + 12 * 60 * lc.SECOND)

    asyncio.run(main())
    assert cli.main(["import", str(folder), "--store", str(tmp_path / "store")]) == 0
    (tmp_path / "b.toml").write_text(
        SETTINGS.format(rest="", ws="", symbols=json.dumps(SYMBOLS))
        .replace('rest = ""\nws = ""\n', "")
        .replace('kind = "rules"', f"kind = 'recorded'\nrecordings = ['{folder}']")
        + f"[data]\nstore = '{tmp_path / 'store'}'\n[backtest]\nstudy = false\n"
    )
    assert cli.main(["backtest", str(tmp_path / "b.toml"), "--out", str(tmp_path / "b")]) == 0
    for kind, names in (
        (AuditKind.AUDIT_TRADE, ("qty", "entry_price", "exit_price", "fees", "net", "reason")),
        (AuditKind.AUDIT_REQUEST, ("qty", "price", "role")),
        (AuditKind.AUDIT_FILL, ("qty", "price", "fee")),
    ):
        ours = rows_by_contract(folder, kind, *names)
        assert ours and rows_by_contract(tmp_path / "b", kind, *names) == ours, kind
    told, again = (list(rows_of([str(one)])) for one in (folder, tmp_path / "b"))
    assert [(row["key"], row["action"], row["heard_ns"]) for row in again] == [(row["key"], row["action"], row["heard_ns"]) for row in told]


def walked(folder, change=lambda rows: rows, kind="recorded", **more):
    """The run's own settings and data without its verdicts, with a judge of its own: audit and the asker."""
    found = read_events(folder / journal.FRAMES)
    values = found.values | {
        "judge": {"kind": kind, "recordings": [str(folder)], "digest": str(more), "hosts": [], "age_max_s": 86_400.0, "latency_s": 0.5, "names": {}}
        | more
    }
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
    assert set(judge.counts) == {"ok"} and len(judge.told) >= 2  # a slow machine asks less
    asked = audit[(audit["kind"] == int(AuditKind.AUDIT_JUDGE)) & (audit["reason"] == int(lc.Reason.JUDGING))]
    heard = lc.audit.view(audit[audit["reason"] == int(lc.Reason.OK)], AuditKind.AUDIT_JUDGE)
    assert len(asked) >= len(heard) >= 2 and np.allclose(heard["waited_s"], 2.5)
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


def backtest(run, folder, judge, more=""):
    text = (
        f"[run]\nname = 'b'\nout = '{folder.parent}'\n[feed]\nsymbols = {json.dumps(SYMBOLS)}\n[detector]\nrefresh_s = 0\nwarmup = 30\n"
        f"[policy]\njudge_s = 60\n{more}[data]\nfiles = ['{run}']\n[limits]\ndata_age_max_s = 30\nevent_age_max_s = 30\n"
        f"[backtest]\ndelays_s = [0, 1]\nrandom_draws = 2\n[judge]\n{judge}\n"
    )
    return make_report(run_backtest(loads(text), folder))


def test_the_report_judges_the_judge(run, tmp_path):
    """Recorded answers through the command's own path: every question has its answer and its shadow, and the page says what it was worth."""
    report = backtest(run, tmp_path / "b", f"kind = 'recorded'\nrecordings = ['{run}']")
    found = report.figures["judge"]
    told = list(rows_of([str(tmp_path / "b")]))
    assert found["answered"].keys() <= {"ok", "invalid", "timeout"} and sum(found["answered"].values()) == len(told) > 3 and not found["contaminated"]
    e = found["evaluation"]
    groups = {row["what"]: row for row in e["groups"]}
    assert groups["confirmed"]["questions"] == sum(row["action"] == "enter" for row in told)
    assert sum(row["questions"] for row in groups.values()) == len(told) and 0 < sum(row["n"] for row in groups.values()) <= len(told)
    assert {row["who"] for row in e["controls"]} == {"the judge", "always yes", "always no", "rules", "rules, shuffled news", "random, as many"}
    assert e["adds"] is None and "cannot show whether the judge adds" in e["verdict"], "so few questions"
    page = report.html.read_text()
    assert 'id="judge"' in page and "always yes" in page and "CONTAMINATED" not in page and 'id="desk"' in page and "Latest signals" in page
    desk = report.figures["desk"]
    assert len(desk["signals"]) == min(len(told), 50) and desk["account"]["stop_loss"] == 0.0025
    delays = {row["delay_s"]: row["entries"] for row in report.figures["delays"]["rows"]}
    assert delays[0.0] > 0, "the study asks the same recorded answers"


def test_shadows_are_the_trades_of_a_run_that_confirms_everything(run, tmp_path):
    """A judge that always says yes leaves no trade to be imagined: where places and limits do not bind, shadow and trade are the same."""
    report = backtest(run, tmp_path / "b", "kind = 'rules'\nlatency_s = 0.5")
    e = report.figures["judge"]["evaluation"]
    confirmed, judge = e["groups"][0], e["controls"][0]
    assert confirmed["n"] >= len(report.summary["trades"]) > 0 and judge["agrees"] == 1.0
    known = {(int(ts)) for ts in json.loads((tmp_path / "b" / "study.json").read_text())["judge"]["closed_ns"] if ts}
    closed = lc.audit.view(journal.load_audit(tmp_path / "b"), AuditKind.AUDIT_TRADE)["ts"].tolist()
    assert set(closed) <= known


PROGRAM = """
import json, sys
asked = json.load(sys.stdin)
print(json.dumps({"symbol": asked["symbol"], "direction": asked["direction"], "action": "enter", "confidence": "high", "news": "none",
    "news_event": "none", "liq_note": "l", "trend_note": "t", "news_note": "n", "action_reason": "because", "evidence": []}))
"""


def test_a_live_model_on_the_past_is_said_to_be_contaminated(run, tmp_path, capsys):
    """In page, JSON and terminal; and so is whatever takes its answers as recorded ones."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = f"kind = 'command'\nprogram = [{json.dumps(sys.executable)}, {json.dumps(str(program))}]\n"
    report = backtest(run, tmp_path / "b", command + "past_model = true")
    assert report.figures["judge"]["contaminated"] and report.figures["judge"]["evaluation"]["verdict"].startswith("CONTAMINATED")
    assert report.figures["judge"]["answered"].keys() == {"ok"} and "CONTAMINATED." in report.html.read_text()
    assert report.figures["desk"]["signals"][0]["action_reason"] == "because"
    console = Console(record=True, width=200, file=io.StringIO())
    print_report(report.summary, console)
    assert "CONTAMINATED" in console.export_text()
    assert report.figures["verdict"].startswith("CONTAMINATED: ") and "CONTAMINATED: " in report.html.read_text()
    assert not [row for row in report.figures["belief"] if row["state"] == "good"]
    again = backtest(run, tmp_path / "c", f"kind = 'recorded'\nrecordings = ['{tmp_path / 'b'}']")
    assert again.figures["judge"]["contaminated"] and again.figures["judge"]["answered"].keys() == {"ok"}
    assert any("CONTAMINATED" in line for line in again.figures["problems"])
    for one in (report, again):
        rows = assess(one.html.parent)
        assert rows and all("a live model answered questions about the past" in row["missing"] for row in rows), "it verifies nothing"
    settings = studied(run, tmp_path, "[backtest]\nstudy = false\n")
    settings = replace(settings, judge=replace(settings.judge, recordings=(str(tmp_path / "b"),)))
    found = compare_page.write(run_compare(settings, ["fade"], tmp_path / "compared"))
    assert [one["contaminated"] for one in found["presets"]] == [True] and found["conclusion"].startswith("CONTAMINATED: fade.")
    assert "CONTAMINATED: fade." in (tmp_path / "compared" / "compare.html").read_text()
    print_compared(found)
    assert "CONTAMINATED: fade." in capsys.readouterr().out
    swept = run_sweep(replace(studied(run, tmp_path, "[sweep.policy]\ntake_profit = [0.001]\n"), judge=settings.judge), tmp_path / "swept")
    print_sweep(swept, write_sweep(swept))
    said, data = "CONTAMINATED: a live model answered questions about the past. ", "CONTAMINATED: some answers in [judge] recordings"
    summary = json.loads((tmp_path / "swept" / "summary.json").read_text())
    assert summary["verdict"].startswith(said) and summary["contaminated"] and any(data in line for line in summary["data_problems"])
    shown, page = " ".join(capsys.readouterr().out.split()), (tmp_path / "swept" / "sweep.html").read_text()
    assert said.strip() in shown and WHY in shown and said in page and WHY in page


def test_a_walk_forward_with_answers_of_such_a_model_says_so(run, tmp_path):
    """Its folds take the recorded answers, so what is left out of sample is no less contaminated."""
    lines = [json.dumps(row | {"contaminated": True}) for row in rows_of([str(run)])]
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / FILE).write_text("\n".join(lines) + "\n")
    more = (
        "[sweep.policy]\ntake_profit = [0.001, 0.003]\n[backtest]\ndelays_s = [0]\nrandom_draws = 1\n"
        "[forward]\ntrain_days = 0.003\ntest_days = 0.001\ntrades_min = 1\n"
    )
    settings = studied(run, tmp_path, more)
    settings = replace(
        settings,
        judge=replace(settings.judge, recordings=(str(tmp_path / "asked"),)),
        policy=replace(settings.policy, max_hold_s=60.0, entry_ttl_s=30.0),
    )
    report = make_report(run_backtest(settings, tmp_path / "walked", forward=True))
    said = "CONTAMINATED: a live model answered questions about the past. "
    assert report.figures["forward"]["verdict"].startswith(said) and report.figures["verdict"].startswith(said)
    assert not [row for row in report.figures["belief"] if row["state"] == "good"] and said in report.html.read_text()
    console = Console(record=True, width=200, file=io.StringIO())
    print_report(report.summary, console)
    assert said.strip() in " ".join(console.export_text().split())


def studied(run, folder, more):
    return loads(
        f"[run]\nout = '{folder}'\n[feed]\nsymbols = {json.dumps(SYMBOLS)}\n[detector]\nrefresh_s = 0\nwarmup = 30\n[policy]\njudge_s = 60\n"
        f"[data]\nfiles = ['{run}']\n[limits]\ndata_age_max_s = 30\nevent_age_max_s = 30\n[judge]\nkind = 'recorded'\nrecordings = ['{run}']\n{more}"
    )


def test_a_sweep_asks_the_recorded_answers_for_every_cell(run, tmp_path):
    """Whole backtests, since the kernel knows no judge; each enters what was confirmed and nothing else, whatever the terms of the bracket."""
    found = run_sweep(studied(run, tmp_path, "[sweep.policy]\ntake_profit = [0.001, 0.003]\nstop_loss = [0.002, 0.004]\n"), tmp_path / "s")
    assert found.by == "backtest" and "judge_s" in found.why
    confirmed, entries = sum(row["action"] == "enter" for row in rows_of([str(run)])), np.asarray(found.table["entries"]).reshape(-1, 4)
    assert (entries[-1] > 0).all() and (entries[-1] <= confirmed).all() and (entries[:-1].sum(axis=0) == entries[-1]).all()


def test_a_comparison_asks_too(run, tmp_path):
    compared = run_compare(studied(run, tmp_path, "[backtest]\nstudy = false\n"), ["fade"], tmp_path / "c")
    assert len(compared.rows) == 1 and not compared.failed
    told = list(rows_of([str(tmp_path / "c" / "presets" / "fade")]))
    assert {one["status"] for one in told} <= {"ok", "invalid", "timeout"} and len(told) == len(list(rows_of([str(run)])))


CONFIG = "[data]\nfiles = ['x']\n[policy]\njudge_s = 10\n"


@pytest.mark.parametrize(
    ("judge", "verdicts", "where", "what"),
    [
        ("", 0, "policy.judge_s", "names no judge"),
        ("kind = 'openai'\nmodel = 'm'", 0, "judge.kind", "past_model"),
        ("kind = 'command'\nprogram = ['x']", 0, "judge.kind", "may know what happened"),
    ],
)
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
    with pytest.raises(ConfigError, match="together with a run"):
        asker({"judge": found(model)}, ())


class Refuses(BaseHTTPRequestHandler):
    """A model's server that is broken, and counts."""

    def do_POST(self):
        self.server.asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(500)
        self.end_headers()

    def log_message(self, *given):
        pass


@pytest.mark.parametrize(
    ("caps", "asked", "rest"),
    [("questions_minute = 1000", 5, "breaker"), ("questions_minute = 1000\ntokens_day = 4000", 1, "budget"), ("questions_minute = 2", 5, "breaker")],
)
def test_a_model_on_the_past_is_asked_within_caps_and_breaker(tmp_path, monkeypatch, caps, asked, rest):
    """One budget for the whole backtest, kept beside the runs: a day's cap ends it, a minute's is waited for, five failures end it."""
    from liqshell.backtest import past_judge
    from liqshell.judge import limits

    monkeypatch.setattr(limits, "MINUTE_NS", lc.SECOND)  # the cap of a minute, of a second here
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        config = loads(f"[judge]\nkind = 'openai'\nmodel = 'm'\nbase_url = 'http://127.0.0.1:{server.server_port}/v1'\npast_model = true\n{caps}\n")
        judge = past_judge.ModelPast(config.judge, {"hosts": []}, tmp_path)
        monkeypatch.setattr(past_judge, "MINUTE_S", 2.0)
        outcomes = {"supports": Outcome("enter", 3), "none": Outcome("enter", 2), "contradicts": Outcome("don't enter", 0)}
        said = []
        for k in range(8):
            at = 1_792_241_400 * lc.SECOND + k * lc.SECOND
            said.append(
                judge.answer_past(
                    Question(
                        k + 1, 1, "bybit:BTCUSDT", "BTC", "LONG", at, at + 5 * lc.SECOND, b'{"contract":"bybit:BTCUSDT","direction":"LONG"}', outcomes
                    )
                ).status
            )
        judge.close()
        assert said == ["http_500"] * asked + [rest] * (8 - asked) and server.asked == asked
        assert json.loads((tmp_path / "judge-usage.json").read_text())["questions"] == asked
    finally:
        server.shutdown()
        server.server_close()


def test_the_old_key_says_what_takes_its_place():
    with pytest.raises(ConfigError, match=r"judge.without_news: a key that no longer exists.*\[policy\] without_news"):
        loads("[judge]\nkind = 'rules'\nwithout_news = 'enter'\n")
    assert AskPast is not None


class Says:
    """A judge by a function of the question: whether to enter."""

    def __init__(self, enters):
        self.enters = enters

    def answer_past(self, question):
        yes = self.enters(question)
        return Answer(question.number, "enter" if yes else "don't enter", 3 if yes else 0, "ok", "k", question.asked_ns + 300_000_000, "none")


@pytest.mark.slow
def test_the_whole_chain_on_nine_days_of_a_made_market():
    """From the tape to the sentence: a judge that knows what comes of its questions is found to add something, one that knows and lies to do worse,
    and of twenty coins at most two are taken for somebody who knows. A shadow is the same whatever was said."""
    history = generated(220.0, ("SOLUSDT",), seed=3)
    config = loads("[policy]\njudge_s=10\n[judge]\nkind='rules'\n[detector]\nrefresh_s=0\nwarmup=30\n")
    values = shadows.alone(settings(config, history.instruments))  # a losing run is not to be halted in the middle

    def judge_of(enters):
        asking = AskPast(Says(enters), history.instruments)
        audit = drive(lc.Walk(make_paper(values), history.tape, asking), history.end_ns)
        return asking.told, shadows.judged(values, history, audit, asking.told, 1, False)

    told, everything = judge_of(lambda question: True)
    assert len(told) > 200
    net = {shadows.key_of(one.question): x for one, x in zip(told, everything["net"], strict=True) if x is not None}
    knows, found = judge_of(lambda question: net.get(shadows.key_of(question), 0.0) > 0.0)
    known = {shadows.key_of(one.question): x for one, x in zip(knows, found["net"], strict=True) if x is not None}
    assert all(known[key] == pytest.approx(net[key], rel=1e-9, abs=1e-9) for key in known.keys() & net.keys()) and len(known) >= 0.8 * len(net)
    right = judging.summarise(found)
    assert right["adds"] is True and right["difference"]["mean_bps"] > 10.0 and right["groups"][0]["mean_bps"] > right["groups"][1]["mean_bps"]
    lies = judging.summarise(judge_of(lambda question: net.get(shadows.key_of(question), 0.0) < 0.0)[1])
    assert lies["adds"] is False
    assert "It did worse." in lies["verdict"]
    coins = [
        judging.summarise(judge_of(lambda question, seed=seed: np.random.default_rng([seed, question.asked_ns]).random() < 0.5)[1])
        for seed in range(20)
    ]
    assert sum(one["adds"] is True for one in coins) <= 2 and all("adds nothing" in one["verdict"] for one in coins if one["adds"] is False)


def test_the_story_of_a_question_in_words(run):
    lines = [line.text for line in story(load_run(run)) if line.text.startswith("The judge")]
    for words in ("is asked about", "confirms with confidence 0", "refuses", "answers hold", "gives no valid answer"):
        assert any(words in line for line in lines), words
