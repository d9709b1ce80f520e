"""A judge beside a live run: its verdicts enter the engine as recorded events, and the recording alone decides the same again."""

import asyncio

from liqshell.recording import journal
from liqshell.run import backtest_parity as parity
from liqshell.run import replay
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.live import Session

import liqcore as lc

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
                        session.judge(question["id"], lc.Judgment.JUDGE_CONFIRM)        # a second word changes nothing

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
