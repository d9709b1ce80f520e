"""The live path over real sockets against the loopback venue: recording, replay, faults in the middle of a cascade, kill -9."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from emulator_client import away, watch_pauses
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, VenueError
from liqshell.live import Session
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.journal import code_hash
from liqshell.recording.packing import frame_files
from liqshell.run import replay

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
SPEED = 120.0
NS = lc.SECOND


def configuration(emulator, symbols=SYMBOLS, spin=False, **limits):
    ages = {"data_age_max_s": 12.0, "event_age_max_s": 12.0} | limits
    lines = "\n".join(f"{key} = {value}" for key, value in ages.items())
    return loads(
        f'[run]\nname = "test"\nspin = {str(spin).lower()}\n[feed]\nrest = "{emulator.rest}"\nws = "{emulator.ws}"\nsymbols = {json.dumps(list(symbols))}\n'
        f"[detector]\nrefresh_s = 0\nwarmup = 30\n[limits]\n{lines}\n"
    )


def live(folder, minutes, faults=(), seed=6, speed=SPEED, **limits):
    """Run the live path for some market minutes (the first cascade of seed 6 is in the fifth); (manifest, audit, replay verdict, emulator status and the pauses of this process)."""
    pauses = []

    async def main():
        async with await serve(Config(seed=seed, speed=speed, faults=tuple(faults), lead_s=0.3)) as emulator:
            watcher = asyncio.create_task(watch_pauses(emulator.clock, pauses))
            session = Session(configuration(emulator, **limits), folder, emulator.clock, {"synthetic": True})
            try:
                manifest = await session.run(emulator.feed.start_ns + int(minutes * 60 * NS))
            finally:
                watcher.cancel()
            return manifest, emulator.status()

    manifest, status = asyncio.run(main())
    return manifest, journal.load_audit(folder), replay.prove(folder), status | {"pauses": pauses}


def of_kind(audit, kind):
    return audit[audit["kind"] == int(kind)]


def entries(audit):
    """Entry orders asked for."""
    requests = of_kind(audit, lc.AuditKind.AUDIT_REQUEST)
    return requests[(requests["phase"] == 1) & (requests["x"][:, 7] == int(lc.Role.ROLE_ENTRY))]


def feed_marks(audit, state):
    marks = of_kind(audit, lc.AuditKind.AUDIT_FEED)
    return marks[marks["phase"] == int(state)]


def test_a_run_is_recorded_and_replays_to_the_same_bytes(tmp_path):
    folder = tmp_path / "run"
    manifest, audit, verdict, _ = live(folder, 10)
    assert verdict.identical and verdict.records == len(audit) > 0, verdict
    assert manifest["counters"]["refused"] == {} and manifest["counters"]["record"]["whole"]
    assert manifest["counters"]["frames"] > 1000 and manifest["audit_records"] == len(audit)
    assert manifest["latency"]["frame_to_step_us"]["n"] == manifest["counters"]["frames"]
    assert manifest["synthetic"] is True and manifest["grade"] == "contradicted" and manifest["code_hash"] == code_hash()
    assert (audit["seq"] == np.arange(len(audit))).all() and (np.diff(audit["ts"]) >= 0).all()
    phases = set(of_kind(audit, lc.AuditKind.AUDIT_SIGNAL)["phase"])
    assert int(lc.Phase.ACTIVE) in phases, "no cascade in this market: choose another seed"


@pytest.mark.slow
def test_a_run_that_polls_decides_the_same_way(tmp_path):
    manifest, audit, verdict, _ = live(tmp_path / "run", 6, spin=True)
    assert verdict.identical and len(audit) > 0 and manifest["counters"]["frames"] > 300 and manifest["counters"]["reconnects"] == 0


def test_a_tampered_recording_is_found_out(tmp_path):
    """Replay must be able to fail: one audit bit changed, and one liquidation's size changed."""
    folder = tmp_path / "run"
    live(folder, 6)
    path = folder / journal.AUDIT
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    verdict = replay.prove(folder)
    assert not verdict.identical and verdict.first_difference == len(data) // 2 // lc.AUDIT_DTYPE.itemsize


@pytest.mark.parametrize("kind", ["drop", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("stall", "half_open", "lose_liquidations"))])
def test_fault_in_the_middle_of_a_cascade(tmp_path, kind):
    """The feed is cut, stalled, half-open for 30 s of market time in a cascade: the gap is recorded, nothing is entered until the feed has been
    whole for a detector window, and the run goes on by itself."""
    fault = {"kind": kind, "on_cascade": 2, "duration_s": 30.0}
    manifest, audit, verdict, status = live(tmp_path / "run", 12, [fault])
    assert verdict.identical, verdict
    assert [f["kind"] for f in status["faults"]] == [kind], status["faults"]
    if kind == "lose_liquidations":
        # half a minute of missing prints in a feed that is alive is nothing that can be seen (test_alive_live: hours). The run must simply survive it
        for gap in feed_marks(audit, lc.FeedState.FEED_GAP):
            silent = int(gap["x"][0] * NS)
            assert away(status["pauses"], int(gap["ts"]) - silent, int(gap["ts"])) > silent / 2, f"a gap that this machine did not make: {gap}"
        assert manifest["counters"]["reconnects"] == 0
        return
    down = feed_marks(audit, lc.FeedState.FEED_DOWN if kind == "drop" else lc.FeedState.FEED_GAP)
    down = down[down["ts"] >= status["faults"][0]["at_ns"]]  # a busy machine may have had gaps before
    assert len(down) >= 1, of_kind(audit, lc.AuditKind.AUDIT_FEED)
    lost = int(down["ts"][0])
    back = lost
    if kind == "drop":
        ups = feed_marks(audit, lc.FeedState.FEED_UP)["ts"]
        back = int(ups[ups > lost][0])
        assert manifest["counters"]["reconnects"] >= 1
    window = int(60 * NS)
    inside = entries(audit)
    assert not ((inside["ts"] >= lost) & (inside["ts"] < back + window)).any(), "an entry was sent before the detector had re-warmed"
    assert audit["ts"][-1] > back + window, "nothing happened after the fault: the run did not recover"


def test_late_liquidations_are_seen_but_never_traded(tmp_path):
    """Every liquidation comes 30 s late: signals are STALE, and no order follows from them."""
    fault = {"kind": "delay_liquidations", "at_s": 0.0, "duration_s": 1e6, "delay_s": 30.0, "jitter_s": 5.0}
    manifest, audit, verdict, _ = live(tmp_path / "run", 8, [fault])
    assert verdict.identical
    active = of_kind(audit, lc.AuditKind.AUDIT_SIGNAL)
    assert (active["phase"] == int(lc.Phase.ACTIVE)).any()
    assert len(entries(audit)) == 0
    assert int(lc.Reason.STALE_EVENT) in of_kind(audit, lc.AuditKind.AUDIT_RISK)["reason"]


def test_inverted_sides_raise_the_alarm_and_halt(tmp_path):
    """If Buy and Sell ever changed places, bankruptcy prices would lie on the wrong side of mark: alarm, and entries stop."""
    fault = {"kind": "invert_side", "at_s": 0.0, "duration_s": 1e6}
    _, audit, verdict, _ = live(tmp_path / "run", 10, [fault])
    assert verdict.identical
    alarms = of_kind(audit, lc.AuditKind.AUDIT_ALARM)
    alarms = alarms[alarms["phase"] == int(lc.Alarm.ALARM_SIDE)]
    assert len(alarms) >= 1 and alarms["x"][0, 0] < 0.5
    halts = of_kind(audit, lc.AuditKind.AUDIT_LIMIT)
    halted = int(halts["ts"][halts["reason"] == int(lc.Reason.HALTED)][0])
    assert not (entries(audit)["ts"] > halted).any()


def test_reconnects_when_a_connection_goes_silent_for_good(tmp_path):
    """Half-open for ever: TCP stands, nothing comes, not even a pong. Liveness is by pong, so the run reconnects and goes on."""
    fault = {"kind": "half_open", "at_s": 60.0, "duration_s": 0.0}
    manifest, audit, verdict, _ = live(tmp_path / "run", 8, [fault])
    assert verdict.identical
    assert manifest["counters"]["reconnects"] >= 1
    down = int(feed_marks(audit, lc.FeedState.FEED_DOWN)["ts"][0])
    assert (feed_marks(audit, lc.FeedState.FEED_UP)["ts"] > down).any()


def test_kill_9_leaves_a_recording_that_replays(tmp_path):
    """A killed process leaves whole members and whole audit records: the replay reproduces the audit that was saved, as a prefix."""
    folder = tmp_path / "run"
    emulate = subprocess.Popen(
        [sys.executable, "-P", "-m", "liqshell", "emulate", "--seed", "6", "--speed", "120"], stdout=subprocess.PIPE, text=True, env=_environment()
    )
    try:
        ready = json.loads(emulate.stdout.readline())
        code = (
            "import asyncio, json, sys\nfrom pathlib import Path\nfrom liqshell.clock import Clock\nfrom liqshell.config.load import loads\n"
            "from liqshell.live import Session\nready = json.loads(sys.argv[1])\n"
            'config = loads(\'[run]\\nname="k"\\n[feed]\\nrest="%s"\\nws="%s"\\nsymbols=["ETHUSDT","SOLUSDT"]\\n'
            "[detector]\\nwarmup=20\\nrefresh_s=0\\n' % (ready['rest'], ready['ws']))\n"
            "asyncio.run(Session(config, Path(sys.argv[2]), Clock.from_dict(ready['clock'])).run())\n"
        )
        child = subprocess.Popen([sys.executable, "-P", "-c", code, json.dumps(ready), str(folder)], env=_environment())
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and not frame_files(folder / "frames"):
            time.sleep(0.1)
        audit = folder / journal.AUDIT
        while time.monotonic() < deadline and not (audit.exists() and audit.stat().st_size >= 20 * lc.AUDIT_DTYPE.itemsize):
            time.sleep(0.1)
        assert time.monotonic() < deadline, "the run recorded nothing in three minutes"
        time.sleep(2.0)
        child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        emulate.terminate()
        emulate.communicate()
    verdict = replay.prove(folder)
    assert verdict.identical and verdict.cut and min(verdict.records, verdict.replayed) > 0, verdict
    path = folder / journal.AUDIT
    data = bytearray(path.read_bytes())
    data[40] ^= 1  # being cut excuses a missing tail, nothing else
    path.write_bytes(data)
    assert not replay.prove(folder).identical


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "pysrc")])}


def test_a_venue_that_is_not_there_is_named(tmp_path):
    config = loads('[feed]\nrest = "http://127.0.0.1:9"\nws = "ws://127.0.0.1:9"\nsymbols = ["ETHUSDT"]\n')
    with pytest.raises(VenueError, match="127.0.0.1:9"):
        asyncio.run(Session(config, tmp_path / "run", start_patience_s=0.5).run())


def test_an_unknown_symbol_is_named_with_the_nearest(tmp_path):
    async def main():
        async with await serve(Config(seed=1)) as emulator:
            await Session(configuration(emulator, ("ETHUSDT", "DOGUSDT")), tmp_path / "run").run()

    with pytest.raises(ConfigError) as caught:
        asyncio.run(main())
    assert "DOGUSDT" in str(caught.value) and "DOGEUSDT" in str(caught.value)


def test_a_run_never_overwrites_another(tmp_path):
    (tmp_path / "something").write_text("mine")

    async def main():
        async with await serve(Config(seed=1)) as emulator:
            await Session(configuration(emulator), tmp_path).run()

    with pytest.raises(ConfigError, match="not empty"):
        asyncio.run(main())
    assert (tmp_path / "something").read_text() == "mine"


def test_replay_refuses_what_is_no_run(tmp_path):
    from liqshell.errors import DataError

    with pytest.raises(DataError, match="cannot be read"):
        replay.prove(tmp_path)
    (tmp_path / "x.jsonl").write_text('{"ts":1,"ts_recv":1000000,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":{}}\n')
    with pytest.raises(DataError, match="settings of a run"):
        replay.run(tmp_path)
    assert recording.read(tmp_path / "x.jsonl") is not None
