"""The watchdog: what it makes of heartbeats, sleeps and deaths (on a clock of the test's), and that the real process acts and ends (on a real one)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_rescue import KEYS, RUN, canaries, hold, link, no_canary_in, rest_entry

from desk import LONG, both
from liqshell.live import watchdog
from liqshell.live.emergency import Rescue, Result
from liqshell.live.watchdog import NS, Verdict, Watch
from liqshell.state import control as control_module
from liqshell.state.control import Control, Kill, Life
from liqshell.state.sheet import Sheet
from loopback_venue import KEY, SECRET, LoopbackVenue

ROOT = Path(__file__).parents[3]
WELL, OFF, RESCUE, OVER = Verdict.WELL, Verdict.ENTRIES_OFF, Verdict.RESCUE, Verdict.OVER


class Machine:
    """A live process and a watchdog on one clock; nothing sleeps."""

    def __init__(self, folder, monkeypatch, patience=1.0):
        self.now = 1_000 * NS
        self.slept = 0
        monkeypatch.setattr(control_module.time, "monotonic_ns", lambda: self.now)
        self.control = Control(folder)
        self.control.begin(RUN, patience)
        self.control.running()
        self.watch = Watch(folder)

    def look(self):
        return self.watch.look(self.now, self.now + self.slept)

    def run(self, seconds, beating=True, alone=False):
        """Verdicts of a span, looking ten times a second unless the watchdog stands still too."""
        seen = []
        for _ in range(round(seconds * 10)):
            self.now += NS // 10
            if beating:
                self.control.beat()
            if not alone:
                seen.append(self.look())
        return seen


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def test_a_beating_process_is_left_alone(machine):
    assert set(machine.run(60)) == {WELL} and not machine.control.watchdog


def test_a_short_stall_takes_entries_away_and_gives_them_back(machine):
    seen = machine.run(5.0, beating=False)
    assert seen[:20] == [WELL] * 20 and set(seen[21:]) == {OFF} and machine.control.watchdog
    machine.run(4.5)
    assert machine.control.watchdog
    machine.run(1.5)
    assert not machine.control.watchdog


def test_a_long_stall_is_rescued_once_and_entries_stay_off(machine):
    seen = machine.run(10.5, beating=False)
    assert seen.count(RESCUE) >= 1 and seen.index(RESCUE) == 100
    machine.watch.done(Result(reached=True), machine.now)
    assert machine.control.rescued_at_ns and RESCUE not in machine.run(60, beating=False)
    assert set(machine.run(60)) == {WELL} and machine.control.watchdog  # back, but what it believed is old: it must be restarted


def test_a_rescue_that_did_not_come_through_is_repeated_slower_and_slower_and_not_for_ever(machine):
    machine.run(10.0, beating=False)
    count, first = 0, machine.now
    while machine.look() != OVER and machine.now < first + 10_000 * NS:
        if machine.look() == RESCUE:
            count += 1
            machine.watch.done(Result(reached=False, remains=["?"]), machine.now)
        machine.now += NS // 2
        if machine.watch.rescues >= watchdog.RESCUES_MAX:
            break
    assert 90 < count <= watchdog.RESCUES_MAX and 2_000 < (machine.now - first) / NS < 10_000


def test_patience_stretches_and_a_start_has_more_time(tmp_path, monkeypatch):
    slow = Machine(tmp_path / "a", monkeypatch, patience=5.0)
    assert set(slow.run(9.9, beating=False)) == {WELL} and RESCUE in slow.run(41, beating=False)
    starting = Machine(tmp_path / "b", monkeypatch)
    starting.control.begin(RUN)
    assert starting.control.life == Life.STARTING and set(starting.run(11.9, beating=False)) == {WELL}


def test_the_machine_slept(machine, caplog):
    """CLOCK_MONOTONIC stands still in a suspend: nobody missed a heartbeat."""
    machine.run(5)
    machine.slept += 3600 * NS
    assert set(machine.run(1, beating=False)) == {WELL} and not machine.control.watchdog
    assert "slept for 3600.0 s" in caplog.text and "without supervision" in caplog.text


def test_the_watchdog_stood_still_too(machine, caplog):
    """A frozen container, a stopped virtual machine: the clock went on and neither of us did."""
    machine.run(5)
    machine.run(30, beating=False, alone=True)
    assert machine.look() == WELL and set(machine.run(1.8, beating=False)) == {WELL}
    assert "did not run for 30" in caplog.text
    assert OFF in machine.run(1.0, beating=False)  # it does not stay excused


def test_goodbye_ends_it_and_a_dead_process_does_not(machine, monkeypatch):
    machine.run(1)
    monkeypatch.setattr(Control, "process_alive", lambda self: False)
    assert machine.look() == WELL and machine.look() == RESCUE and machine.control.watchdog
    machine.watch.done(Result(reached=True), machine.now)
    assert machine.look() == OVER
    machine.control.goodbye()
    assert machine.look() == OVER


def test_nobody_to_watch(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch)
    machine.control.goodbye()
    machine.watch = Watch(tmp_path)
    assert set(machine.run(59)) == {WELL} and OVER in machine.run(3)


def test_a_restarted_process_has_a_watchdog_of_its_own(machine, monkeypatch):
    monkeypatch.setattr(control_module.os, "getpid", lambda: 1)
    machine.control.begin(RUN)
    assert machine.look() == OVER


def test_the_kill_file_becomes_the_word(machine):
    machine.control.kill_file.touch()
    machine.look()
    assert machine.control._page.kill == Kill.KILLED and machine.control.reason == "file KILL"


# ---- the real process ----

LIVE = """
import sys, time
from liqshell.live import watchdog
from liqshell.state.control import Control
folder, seconds, ending = sys.argv[1], float(sys.argv[2]), sys.argv[3]
control = Control(folder)
control.begin("fadekz1a2b3c", 0.1)          # a tenth of the patience: 0.2 s and 1 s
control.running()
child = watchdog.start([folder])
print(child.pid, flush=True)
until = time.monotonic() + seconds
while time.monotonic() < until:
    control.beat()
    time.sleep(0.02)
if ending == "goodbye":
    control.goodbye()
elif ending == "stuck":
    time.sleep(60)
"""


def live(folder, seconds, ending):
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE, str(folder), str(seconds), ending],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}", "LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": SECRET},
    )
    return process, int(process.stdout.readline())


def gone(pid, within_s=120.0):
    until = time.monotonic() + within_s
    while control_module.process_start(pid) >= 0 and time.monotonic() < until:
        time.sleep(0.02)
    return control_module.process_start(pid) < 0


@both
@pytest.mark.parametrize("ending", ["killed", "stuck", "goodbye", "interrupted"])
def test_the_process_rescues_what_died_or_is_stuck_and_only_that(tmp_path, side, ending):
    if side != LONG and ending in ("goodbye", "interrupted"):
        pytest.skip("nothing depends on the side here")
    with LoopbackVenue() as venue:
        Sheet(venue.url, "testnet", "fade", ("ETHUSDT",)).save(tmp_path)
        hold(venue, side)
        rest_entry(venue, side, link(1, 5))
        process, pid = live(tmp_path, 60.0 if ending in ("killed", "interrupted") else 1.5, ending)
        try:
            log = tmp_path / watchdog.LOG
            until = time.monotonic() + 120.0
            while Control(tmp_path).watched_age_s > 1.0 and time.monotonic() < until:
                time.sleep(0.02)
            if ending == "killed":
                os.kill(process.pid, signal.SIGKILL)
            elif (
                ending == "interrupted"
            ):  # Ctrl-C goes to the whole group of the terminal: the live process ends with a goodbye, not the watchdog before
                os.killpg(process.pid, signal.SIGINT)
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
                assert not gone(pid, 0.5)
            if ending == "stuck":
                until = time.monotonic() + 120.0
                while not Control(tmp_path).rescued_at_ns and time.monotonic() < until:
                    time.sleep(0.05)
                process.kill()  # and then it is gone for good: nothing more to do
            assert gone(pid), log.read_text()
            text = log.read_text()
            if ending == "goodbye":
                assert venue.position() == (side * 0.5, 0.0) and link(1, 5) in venue.links and not venue.requests
                assert "nothing more to watch" in text
            else:
                assert venue.position()[1] > 0.0 and not venue.links - {"StopLoss"}, text
                assert "rescue number 1" in text and Control(tmp_path).watchdog
            canaries(text)
            no_canary_in(tmp_path)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            if not gone(pid, 0.0):
                os.kill(pid, signal.SIGKILL)


def test_a_watchdog_that_is_gone_or_looks_no_more_is_replaced(tmp_path, monkeypatch):
    """Killed by whoever was short of memory, nobody missed it: the live process went on unwatched."""
    monkeypatch.setattr(watchdog, "PAUSE_S", 0.0)
    monkeypatch.setattr(watchdog, "UNSEEN_S", 1.0)
    Sheet("http://127.0.0.1:9", "testnet", "fade", ("ETHUSDT",)).save(tmp_path)
    control = Control(tmp_path)
    control.begin(RUN)
    keeper = watchdog.Keeper(tmp_path, control)

    def wait(condition, seconds=120.0):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            control.beat()
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError("not within the time")

    try:
        wait(lambda: control.watched_age_s < 0.5)
        assert keeper.look() == ""
        first = control._page.watchdog_pid
        os.kill(first, signal.SIGKILL)
        assert wait(keeper.look) == "had ended (status -9); another one was started"
        second = wait(lambda: control._page.watchdog_pid != first and control._page.watchdog_pid)
        os.kill(second, signal.SIGSTOP)
        assert wait(keeper.look) == "had not reported for 1 s; another one was started"
        wait(lambda: control._page.watchdog_pid not in (first, second) and control.watched_age_s < 0.5)
        assert gone(second)
    finally:
        control.goodbye()
        keeper.end()
    assert gone(control._page.watchdog_pid)


def test_no_secret_in_a_traceback_of_what_holds_one():
    """A fault of our own in the middle of a rescue, with everything that a traceback can show."""
    import io
    import traceback

    class Broken(Rescue):
        def positions(self):
            raise RuntimeError("planted")

    rescue = Broken("/nowhere", Sheet("http://127.0.0.1:9", "testnet", "fade", ("ETHUSDT",)), KEYS)
    with pytest.raises(RuntimeError) as caught:
        rescue.act()
    rescue.client.close()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "planted" in shown
    canaries(shown, repr(vars(rescue)), repr(vars(rescue.client)), json.dumps(vars(rescue), default=str))
    assert KEYS.key not in io.StringIO(shown).read()


def test_usage_and_faults_are_said(tmp_path):
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}
    done = subprocess.run([sys.executable, "-m", "liqshell.live.watchdog"], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 2 and "usage" in done.stderr
    done = subprocess.run([sys.executable, "-m", "liqshell.live.watchdog", str(tmp_path)], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 2 and "rescue.json" in done.stderr
