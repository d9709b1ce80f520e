"""What was learnt, over real sockets: sessions one after the other, a process that is killed, and what status line, doctor and report say of it."""

import asyncio
import dataclasses
import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from test_live import configuration

import liqcore as lc
from liqshell.config.sections import WarmConfig
from liqshell.doctor import checks
from liqshell.doctor.facts import Facts
from liqshell.doctor.kept import read_kept
from liqshell.emulator.server import Config, serve
from liqshell.live import Session
from liqshell.live.learnt_keeper import Keeper
from liqshell.progress import describe
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.report import make_report
from liqshell.run import replay
from liqshell.run.warm_up import Warmer
from liqshell.state.learnt import learnt_file, load
from live_process import COMMAND, Live, Venue, environment, write_config
from warm_rig import differing, run_through

SYMBOLS = ("ETHUSDT", "SOLUSDT", "DOGEUSDT")


def first_values(folder: Path) -> dict:
    """Settings of a run as its recording has them."""
    return json.loads(next(iter(recording.read(folder))).frame)


@pytest.mark.slow
def test_paper_sessions_go_on_where_the_one_before_ended(tmp_path):
    said, folders = [], [tmp_path / f"run{k}" for k in range(3)]

    async def main():
        async with await serve(Config(seed=6, speed=120.0, lead_s=0.3)) as emulator:
            config = configuration(emulator, SYMBOLS)
            config = dataclasses.replace(config, run=dataclasses.replace(config.run, out=str(tmp_path)))
            for folder in folders:
                keeper = Keeper(WarmConfig(every_s=1.0), learnt_file(tmp_path, "test"), name="test", out=tmp_path)
                session = Session(config, folder, emulator.clock, {"synthetic": True}, keeper=keeper)
                await session.run(emulator.clock.now_ns() + 5 * 60 * lc.SECOND, lambda s: said.append(describe(s)))
            kept = read_kept(config, emulator.clock.now_ns(), 120.0)
            late = read_kept(config, emulator.clock.now_ns() + 200 * 3600 * lc.SECOND, 120.0)
            other = read_kept(dataclasses.replace(config, detector=dataclasses.replace(config.detector, warmup=31)), emulator.clock.now_ns(), 120.0)
            return kept, late, other

    kept, late, other = asyncio.run(main())
    told = [journal.load_manifest(folder)["warm"] for folder in folders]
    assert [one["began"] for one in told] == ["cold", "warm", "warm"] and not any(one["refused"] for one in told), told
    assert told[2]["contracts"] == told[1]["ended"] and all(one["images"] >= 2 and not one["trouble"] for one in told)
    assert all(replay.prove(folder).identical for folder in folders) and len(told[2]["holes"]) == 1
    # run.json says which state it was; the recording has it
    assert journal.load_manifest(folders[2])["settings"]["learnt"].startswith("sha256 ") and len(first_values(folders[2])["learnt"]) > 1000
    assert "learnt" not in first_values(folders[0])
    hashes = {journal.load_manifest(folder)["config_hash"] for folder in folders}
    assert len(hashes) == 1, "what a run begins with is no part of its configuration"
    whole, image = run_through(first_values(folders[0]), folders, stop=False), load(learnt_file(tmp_path, "test"))
    assert differing(image.engine, whole.engine.snapshot(), len(SYMBOLS)) == []
    # the status line, doctor and the report
    assert any("warm 0/3: ETHUSDT" in line and "/30" in line for line in said), said[:3]
    ready = sum(row["seen"] == 30 for row in told[2]["ended"])
    assert ready and any(f"warm {n}/3" in line for line in said for n in (1, 2, 3)), said[-1]  # (the last line is from before the end)
    (good,) = checks._kept(Facts(kept=kept, now_ns=image.until_ns + 3600 * lc.SECOND))
    assert (
        good.verdict == "ok" and "ends 1.0 h ago" in good.text and re.search(r"ETHUSDT [1-3]\d/30", good.text) and "with 2 interruptions" in good.text
    ), good
    for wrong, why in ((late, "age_max_h"), (other, "detector.cascade.warmup was 30, is 31")):
        (check,) = checks._kept(Facts(kept=wrong, now_ns=1))
        assert check.verdict == "warn" and why in check.text and "test.bin" in check.text and check.action
    (none,) = checks._kept(Facts(kept=dataclasses.replace(kept, learnt=None)))
    assert none.verdict == "ok" and "no learnt state" in none.text
    report = make_report(folders[2])
    page, rows = report.html.read_text(), report.summary["warm"]
    assert "What was learnt before" in page and "The run began warm, with what was learnt from" in page and str(learnt_file(tmp_path, "test")) in page
    assert [row["seen_start"] for row in rows["contracts"]] == [row["seen"] for row in told[1]["ended"]] and rows["missing_s"] > 0.0


@pytest.mark.slow
def test_a_killed_live_process_has_learnt_what_it_recorded(tmp_path):
    """kill -9, restart, SIGTERM: real orders at the emulated venue. The second begins with the tail of the first, and so on."""
    with Venue("--seed", 2, "--speed", 60, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, policy="entry_offset = 0\nentry = 'market'\nmax_hold_s = 90\n", more="[warm]\nevery_s = 2\n")
        folders = [tmp_path / "runs" / f"run{k}" for k in range(3)]
        for k, folder in enumerate(folders):
            with Live(config, venue.keys(), out=folder, log=tmp_path / f"live{k}.log") as live:
                live.wait_reconciled()
                time.sleep(5.0)
                if k < 2:
                    live.kill()
                else:
                    assert live.end() == 0, live.words()
        doctor = subprocess.run(
            [*COMMAND, "doctor", str(config), "--json", "--samples", "3"], capture_output=True, text=True, env=environment(**venue.keys())
        )
    told = [journal.load_manifest(folder)["warm"] for folder in folders]
    assert [one["began"] for one in told] == ["cold", "warm", "warm"] and not any(one["refused"] for one in told), told
    for folder in folders:
        verdict = replay.prove(folder)
        assert verdict.identical and verdict.records > 3, verdict
    values = {key: value for key, value in first_values(folders[0]).items() if key not in ("restored", "learnt")} | {"restored": ""}
    whole, image = run_through(values, folders), load(learnt_file(tmp_path / "runs", "proof"))
    warmer = Warmer(values)
    warmer.resume(image, "x")
    assert differing(warmer.close().engine, whole.engine.snapshot(), 3) == [] and image.head["ended"]
    assert any(row["seen"] for row in told[2]["contracts"])
    (found,) = (check for check in json.loads(doctor.stdout)["checks"] if check["id"] == "learnt")
    assert found["verdict"] == "ok" and "/20" in found["text"], found


@pytest.mark.slow
def test_the_command_learns_from_what_it_is_told(tmp_path):
    """--warm-from another run, --cold, and what is refused on the command line."""
    with Venue("--seed", 3, "--speed", 120, "--lead-s", 0.3) as venue:
        config = write_config(tmp_path, venue, more="")
        config.write_text(config.read_text().replace('mode = "live"\n', ""))
        recorded, third = tmp_path / "recorded", tmp_path / "third"
        symbols = venue.ready["symbols"][:3]

        def run(*arguments):
            return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment())

        done = run("record", "--symbols", *symbols, "--rest", venue.ready["rest"], "--ws", venue.ready["ws"], "--out", recorded, "--for-s", 4)
        assert done.returncode == 0, done.stderr
        done = run("live", config, "--warm-from", recorded, "--out", tmp_path / "second", "--for-s", 2)
        assert done.returncode == 0 and "The run began warm, with what was learnt from" in done.stdout.replace("\n", " "), done.stdout + done.stderr
        assert journal.load_manifest(tmp_path / "second")["warm"]["from"] == [str(recorded)]
        done = run("live", config, "--cold", "--out", third, "--for-s", 1)
        assert done.returncode == 0 and journal.load_manifest(third)["warm"]["began"] == "cold", done.stderr
        for arguments, why in (
            (("--cold", "--warm-from", recorded), "given together with --warm-from"),
            (("--warm-from", tmp_path / "no"), "no such file"),
        ):
            done = run("live", config, *arguments, "--for-s", 1)
            assert done.returncode == 2 and why in done.stderr, done.stderr
