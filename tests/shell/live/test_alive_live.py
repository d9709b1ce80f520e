"""Liquidations that stop beside living trades, over real sockets against the loopback venue: alarm, mark, gap, report, replay, recovery."""

import asyncio
import json

import pytest
from test_live import configuration, entries, feed_marks

import liqcore as lc
import run_folder
from liqshell.emulator.server import Config, serve
from liqshell.live import Session
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.recorder import FEED
from liqshell.recording.streams import BITS
from liqshell.report import make_report
from liqshell.run import replay

MINUTE = 60 * lc.SECOND


def lose(folder, speed=120.0, most_min=600):
    """A run in which the venue drops every liquidation once the judge has learnt from two hours, until they are suspect, and goes on for ten minutes
    after they have come back; (manifest, when the fault began). A machine that stands still only delays it."""

    async def main():
        async with await serve(Config(seed=1, speed=speed, lead_s=0.3)) as emulator:
            session = Session(configuration(emulator, data_age_max_s=60.0, event_age_max_s=60.0), folder, emulator.clock, {"synthetic": True})

            async def watch():
                while session._silence is None or session._silence.alive.seen[-1, 0] < 720:
                    await asyncio.sleep(0.05)
                while not session.suspect:
                    emulator.faults.add({"kind": "lose_liquidations", "duration_s": 0.5 * speed, "probability": 1.0})
                    await asyncio.sleep(0.2)
                while session.suspect:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(600.0 / speed)
                session.stop()

            watcher = asyncio.create_task(watch())
            try:
                manifest = await session.run(emulator.feed.start_ns + most_min * MINUTE)
            finally:
                watcher.cancel()
            return manifest, emulator.status()["faults"][0]["at_ns"]

    return asyncio.run(main())


@pytest.mark.slow
def test_lost_liquidations_are_found_marked_and_said(tmp_path, caplog):
    """Everything but liquidations goes on. The stream becomes suspect: an alarm in plain words, no entries, a gap in the recording from the last
    liquidation on, which ends by itself with the first one that comes, and a report that does not blame the market."""
    folder = tmp_path / "run"  # two and a half minutes at 120 x real time
    manifest, lost = lose(folder)
    audit, verdict = journal.load_audit(folder), replay.prove(folder)
    assert verdict.identical, verdict
    [told] = manifest["counters"]["venues"]["bybit"]["suspect"]
    print({key: round((told[key] - lost) / MINUTE, 1) for key in ("since", "at", "until")}, told["text"])
    assert told["since"] < lost + MINUTE and told["ended"] == "an event came"
    reconnects = manifest["counters"]["reconnects"]
    assert told["at"] < lost + 60 * MINUTE or reconnects, "an hour, as two are little to learn from; each new connection begins a silence anew"
    assert told["symbols"] == list(manifest["config"]["feed"]["symbols"])

    frames = list(recording.read(folder / journal.FRAMES))
    marks = [(one.ts_recv, json.loads(one.frame)) for one in frames if one.stream == FEED]
    mine = [(ts, mark) for ts, mark in marks if mark["connection"] == "liquidations"]
    assert [(mark["state"], mark["parts"]) for _, mark in mine] == [(state, [{"streams": BITS["liquidations"]}]) for state in (2, 1)]
    (found, down), (back, _) = mine
    came = [one.ts_recv for one in frames if one.stream.startswith("allLiquidation")]
    before = [ts for ts in came if ts < found]
    assert down["ts_event"] == told["since"] == max(before), "the gap begins at the last liquidation that came"
    assert back == pytest.approx(min(ts for ts in came if ts > found), abs=30 * lc.SECOND)
    assert sum(found > one.ts_recv > told["since"] and one.stream.startswith("publicTrade") for one in frames) > 100

    asked = entries(audit)["ts"]
    assert not ((asked >= found) & (asked < back)).any()
    gap = feed_marks(audit, lc.FeedState.FEED_DOWN)
    assert [int(row["id"]) for row in gap if row["x"][2] == BITS["liquidations"]] == [told["since"]]
    [alarm] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert alarm.startswith("ALARM: bybit: liquidations of all 5 contracts have stopped: none since 2026-03-04 ")
    assert "below 1 in 1,000,000. No entries on it until one arrives" in alarm

    summary = make_report(folder).summary
    assert all(row["gap_s"] >= (back - told["since"]) / 1e9 - 1 for row in summary["instruments"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "STREAM SUSPECT." in page and "such a silence is improbable for this stream" in page


def test_a_suspect_stream_is_said_in_place_of_a_quiet_market(tmp_path):
    """A run without large liquidations whose stream stopped: the first reason is the stream."""
    folder = run_folder.make_run(tmp_path / "still", hours=0.2, symbols=("SOLUSDT",), policy=run_folder.Fade(notional=1e-9))
    manifest = json.loads((folder / "run.json").read_text())
    started = manifest["started_ns"]
    told = {"venue": "bybit", "symbols": ["SOLUSDT"], "since": started + 10**9, "at": started + 60 * 10**9, "until": None, "ended": "", "text": ""}
    manifest["counters"] = manifest.get("counters", {}) | {"venues": {"bybit": {"suspect": [told, 7]}}}
    (folder / "run.json").write_text(json.dumps(manifest))
    report = make_report(folder)
    assert report.summary["feed"]["suspect"] == [told]
    page = report.html.read_text(encoding="utf-8")
    assert "STREAM SUSPECT." in page and "to the end of the run. Trades continued" in page
    assert not report.summary["trades"] and report.summary["silence"][0].startswith(
        "Stream suspect: bybit: liquidations of SOLUSDT are missing from 20"
    )
