"""The kill switch, the watchdog and lowered limits with the live process as a user starts it, against the emulated venue over sockets."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_rescue import within_s

from liqshell.run import replay
from liqshell.state.control import Control, Kill
from liqshell.state.store import Store
from live_process import COMMAND, Live, Venue, environment, write_config
from loopback_venue import KEY, SECRET

ROOT = Path(__file__).parents[3]
RESTING = "entry_offset = 0.01\nentry_ttl_s = 3600\n"  # entries that rest for ever


@pytest.fixture
def venue():
    with Venue("--seed", 7, "--speed", 150, "--lead-s", 1) as venue:
        yield venue


def wait(condition, seconds=180.0, step=0.02):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(step)
    raise AssertionError("not within the time")


def entries(venue):
    """Working entries at the venue, by the venue's truth."""
    return [order for order in venue.truth()["orders"] if not order["reduce_only"] and not order["kind"]]


HOP = """
import sys, time
import liqcore as lc
from desk import Desk, limits
from liqshell.state.control import Control
control = Control(sys.argv[1])
desk = Desk(risk=limits())
entry, = desk.liquidate()
last, passed, until = 0, 0, time.monotonic() + 120
while time.monotonic() < until:             # nobody serves a loop: nothing but an entry and the guard in front of it, a new one each time
    guard = lc.Guard([desk.instrument], order_notional_max=1e9, total_notional_max=1e12, collar=0.9)
    guard.watch(control.address, control)
    asked = time.monotonic_ns()
    verdict, reason = guard.check(entry, 10**18, 2500.0)
    if verdict != lc.Verdict.PASS:
        break
    last, passed = asked, passed + 1
    if passed == 1000:
        print("ready", flush=True)
print(last, passed, reason.name, guard.killed, flush=True)
"""


def test_no_entry_passes_the_last_hop_after_the_switch(tmp_path):
    Control(tmp_path).close()
    hop = subprocess.Popen(
        [sys.executable, "-c", HOP, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'pysrc'}:{ROOT / 'tests' / 'support'}"),
    )
    try:
        assert hop.stdout.readline() == "ready\n"
        control = Control(tmp_path)
        control.set_kill(Kill.KILLED, "test", "test")
        set_at = time.monotonic_ns()
        last, passed, reason, killed = hop.stdout.readline().split()
        assert killed == "True" and int(passed) >= 1000, (passed, reason)
        assert int(last) < set_at  # asked after the switch was set: none of these passes
    finally:
        hop.kill()
        hop.wait()
        hop.stdout.close()


@pytest.mark.slow
def test_a_stopped_process_is_killed_within_a_second_and_sends_nothing_when_it_goes_on(venue, tmp_path):
    config = write_config(tmp_path, venue, venue.ready["symbols"], policy=RESTING)
    with Live(config, venue.keys(), out=tmp_path / "run") as live:
        live.wait_reconciled()
        wait(lambda: entries(venue))
        live.process.send_signal(signal.SIGSTOP)  # blocked in whatever it does
        control = Control(live.state)
        kill = subprocess.Popen(
            [*COMMAND, "kill", str(config), "--reason", "test"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**venue.keys()),
            cwd=tmp_path,
        )
        wait(lambda: control.kill, step=0.001)
        set_at = time.monotonic()
        wait(lambda: not entries(venue), step=0.005)
        took = time.monotonic() - set_at
        said, _ = kill.communicate(timeout=180)
        assert kill.returncode == 0 and "cancelled" in said, said
        assert took < within_s(1.0), f"{took:.2f} s"
        live.process.send_signal(signal.SIGCONT)  # with a backlog of market data
        time.sleep(3.0)
        assert not entries(venue) and control.kill == Kill.KILLED
        assert live.end() in (0, 1), live.words()
        again = Live(config, venue.keys(), out=tmp_path / "again")
        assert again.process.wait(180) == 2 and "the kill switch is on (test" in again.words()
        secret = venue.ready["api_secret"]
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
        assert secret not in said


@pytest.mark.slow  # the watchdog's own tests do the same with a process that only beats
@pytest.mark.parametrize("how", ["killed", "stuck"])
def test_the_watchdog_of_a_live_process_acts_when_it_is_gone_or_stuck(venue, tmp_path, how):
    config = write_config(tmp_path, venue, policy=RESTING, watchdog=True)
    with Live(config, venue.keys(), out=tmp_path / "run") as live:
        live.wait_reconciled()
        wait(lambda: entries(venue))
        log = live.state / "watchdog.log"
        wait(lambda: Control(live.state).watched_age_s < 1.0)
        live.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        wait(lambda: not entries(venue), 40.0)
        for name, held in venue.truth()["positions"].items():
            assert held["stop_qty"] > 0, (name, held)
        wait(lambda: "rescue number 1" in log.read_text() and Control(live.state).rescued_at_ns, 20.0)
        assert Control(live.state).watchdog
        with contextlib.suppress(ProcessLookupError):
            live.process.kill()
        live.process.wait()
        wait(lambda: "nothing more to watch" in log.read_text(), 20.0)
        text = log.read_text()
        assert venue.ready["api_secret"] not in text and KEY not in text and SECRET not in text


@pytest.mark.slow
def test_limits_go_down_with_the_file_and_the_run_replays(venue, tmp_path):
    config = write_config(tmp_path, venue)
    with Live(config, venue.keys(), out=tmp_path / "run") as live:
        live.wait_reconciled()
        text = config.read_text()
        config.write_text(text.replace("[limits]\n", "[limits]\nexposure_max = 1234\nleverage_max = 11\n"))

        def rows():
            with contextlib.suppress(Exception):
                import sqlite3

                with contextlib.closing(sqlite3.connect(live.state / "store.sqlite")) as database:
                    return database.execute("SELECT name, after, source, verdict FROM limits ORDER BY number").fetchall()

        wait(lambda: len(rows() or ()) >= 2)
        config.write_text(text.replace("[limits]\n", "[limits]\nexposure_max = 1000\ncollar = oops\n"))
        wait(lambda: len(rows()) >= 3)
        os.kill(live.process.pid, signal.SIGHUP)
        wait(lambda: len(rows()) >= 4)
        assert live.end() in (0, 1), live.words()
    found = Store(live.state)
    lowered, refused, *wrong = found.rows("limits")
    found.close()
    assert (lowered["name"], lowered["before"], lowered["after"], lowered["source"]) == ("exposure_max", 100_000.0, 1234.0, "file")
    assert "leverage_max: 11 is looser than the 10 in force" in refused["verdict"]
    assert all(row["verdict"].endswith(": the limits are unchanged") for row in wrong) and wrong[-1]["source"] == "SIGHUP"
    assert replay.prove(tmp_path / "run").identical
