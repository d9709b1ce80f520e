"""The live process itself, started as a user starts it: killed at any moment, ended in good order, told to stop, and searched for secrets."""

import os
import random
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

import campaigns
from liqshell.recording import journal
from liqshell.recording.packing import SUFFIX, frame_files
from liqshell.run import replay
from liqshell.state.control import Control, Kill
from liqshell.state.store import Store
from liqshell.venues.bybit.orders import parse_order_link_id
from live_process import COMMAND, Live, Venue, environment, write_config
from recorder_lines import unpacked

SPEED = 60.0
RECOVERY_S = 10.0
NAKED_S = 2.0
# what a restart says that does not know what it holds
SURPRISES = ("foreign position", "position gone", "lost bracket", "stop lost", "overfilled")
OPEN_WAIT_S = 8.0  # so long a kill waits for something to be open: a detector learns anew after every start
SLACK = 6.0  # machines that run the tests beside others are that much slower
MARKET = "entry_offset = 0\nentry = 'market'\nmax_hold_s = 90\ntake_profit = 0.002\nstop_loss = 0.004\n"
# held for many lives: else nine of ten kills hit a process that has nothing open, as a detector learns anew after every start
HELD = "entry_offset = 0\nentry = 'market'\nmax_hold_s = 1800\ntake_profit = 0.02\nstop_loss = 0.01\n"


def entries(truth):
    """Resting or working entry orders of ours by bracket (instrument and sequence)."""
    found = {}
    for order in truth["orders"]:
        parsed = parse_order_link_id(order["link_id"] or "")
        if parsed and parsed[1] & 15 == 1 and not order["reduce_only"]:
            found.setdefault(parsed[1] >> 12, []).append(order)
    return found


def naked(truth):
    """Positions that no stop covers whole, by place."""
    return {place: position for place, position in truth["positions"].items() if position["stop_qty"] < abs(position["qty"])}


def naked_for(venue, seconds):
    """Those that were naked all that time."""
    until, found = time.monotonic() + seconds, naked(venue.truth())
    while found and time.monotonic() < until:
        time.sleep(0.05)
        found = {place: position for place, position in naked(venue.truth()).items() if place in found}
    return found


def kills(folder, count, *, seed, wait_s=(0.05, 3.0), open_wait_s=0.0, speed=SPEED, policy=MARKET):
    """kill -9 at `count` random moments, a restart after each; what was found wrong, seconds each recovery took, the last truth, and at how many kills
    the venue had a position or an entry of ours: a campaign that kills nothing but idle processes shows nothing. open_wait_s: so long each kill waits
    for one (a machine that does other things trades late)."""
    rng, times, wrong, busy = random.Random(seed), [], [], 0
    with Venue("--seed", seed, "--speed", speed, "--lead-s", 0.5) as venue:
        config = write_config(folder, venue, policy=policy)
        for n in range(count + 1):
            with Live(config, venue.keys(), out=folder / f"run{n}", log=folder / f"live{n}.log") as live:
                times.append(live.wait_reconciled(RECOVERY_S * SLACK))
                truth = venue.truth()
                wrong += [f"{n}: {len(found)} live orders of bracket {bracket}" for bracket, found in entries(truth).items() if len(found) > 1]
                if found := naked_for(venue, NAKED_S):
                    wrong.append(f"{n}: without a stop after the restart: {found}")
                if n == count:
                    status = live.end()
                    if status:
                        wrong.append(f"the last run ended with {status}: {live.words()}")
                    break
                time.sleep(rng.uniform(*wait_s))
                truth, until = venue.truth(), time.monotonic() + open_wait_s
                while not (truth["positions"] or entries(truth)) and time.monotonic() < until:
                    time.sleep(0.02)
                    truth = venue.truth()
                wrong += [f"{n}: {len(found)} live orders of bracket {bracket}" for bracket, found in entries(truth).items() if len(found) > 1]
                busy += bool(truth["positions"] or entries(truth))
                live.kill()
        truth = venue.truth()
    with closing(Store(live.state)) as store:
        notices = store.rows("notices")
    wrong += [f"{row['kind']}: {row['symbol']} {row['text']}" for row in notices if row["kind"] in SURPRISES]
    assert notices, "the store of the notices is empty: nothing was searched"
    return wrong, times, truth, busy


def check(folder, count, wrong, times, truth):
    """What every such campaign must show."""
    assert not wrong, wrong
    assert not naked(truth), truth
    assert not entries(truth), "entries rest after an end in good order"
    manifest = journal.load_manifest(folder / f"run{count}")
    assert manifest["account"]["alarms"] == [], manifest["account"]["alarms"]
    assert manifest["account"]["gateway"]["unknown"] == []
    for n in range(count + 1):
        if n < count and not frame_files(folder / f"run{n}" / journal.FRAMES):
            continue  # killed before a first line of the recording reached the disk
        verdict = replay.prove(folder / f"run{n}")
        assert verdict.identical, (n, verdict)


@pytest.mark.slow
def test_a_killed_process_takes_up_where_the_venue_stands(tmp_path):
    wrong, times, truth, busy = kills(tmp_path, 3, seed=2, wait_s=(0.5, 2.5), open_wait_s=10.0 * SLACK)
    check(tmp_path, 3, wrong, times, truth)
    assert busy, "nothing was open at any of the kills"
    assert max(times) < RECOVERY_S * SLACK


def recovery_s(took):
    """What a campaign may ask of the restarts it has seen: a handful, beside other tests, tell little of the machine's speed."""
    return RECOVERY_S if len(took) >= 100 else RECOVERY_S * SLACK


@pytest.mark.campaign
def test_five_hundred_kills(tmp_path):
    """LIQCORE_KILLS (default 500) moments; 10 s are the requirement here, without slack where the campaign has room for a hundred."""
    count, done, took, open_at = int(os.environ.get("LIQCORE_KILLS", "500")), 0, [], 0
    seconds = campaigns.seconds(7200.0)
    until = time.monotonic() + seconds
    while done < count and time.monotonic() < until:
        batch = min(20 if seconds > 300.0 else 5, count - done)
        folder = tmp_path / f"batch{done}"
        folder.mkdir()
        wrong, times, truth, busy = kills(folder, batch, seed=done + 11, open_wait_s=OPEN_WAIT_S, policy=MARKET if done // batch % 2 else HELD)
        check(folder, batch, wrong, times, truth)
        done, took, open_at = done + batch, took + times, open_at + busy
        print(f"{done} kills, {open_at} of them with something open, slowest recovery {max(took):.2f} s", flush=True)
    assert done < 20 or open_at >= done / 5, f"something was open at only {open_at} of {done} kills"
    assert max(took) < recovery_s(took), f"a restart took {max(took):.1f} s"


@pytest.mark.slow
def test_an_end_in_good_order_and_a_kill_from_outside(tmp_path):
    """SIGTERM: exit status 0, entries withdrawn. Then SIGUSR1 kills, and the next start is refused until a person lifts it."""
    with Venue("--seed", 2, "--speed", SPEED, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, watchdog=True)
        with Live(config, venue.keys(), out=tmp_path / "one") as live:
            live.wait_reconciled()
            time.sleep(1.0)
            live.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert live.end() == 0, live.words()
        assert not entries(venue.truth())
        with Live(config, venue.keys(), out=tmp_path / "two") as live:
            live.wait_reconciled()
            live.process.send_signal(signal.SIGUSR1)
            until = time.monotonic() + 60.0
            control = Control(live.state)
            while control.kill == Kill.NO and time.monotonic() < until:
                time.sleep(0.01)
            assert control.kill == Kill.KILLED
            control.close()
            assert live.end() == 0, live.words()
        assert not entries(venue.truth())
        again = subprocess.run(
            [*COMMAND, "live", str(config), "--live"], capture_output=True, text=True, env=environment(**venue.keys()), timeout=180
        )
    assert again.returncode == 2 and "the kill switch is on (SIGUSR1" in again.stderr, again.stderr


@pytest.mark.slow
def test_real_orders_need_the_mode_the_flag_and_keys(tmp_path):
    with Venue("--seed", 2, "--speed", SPEED) as venue:
        config = write_config(tmp_path, venue)

        def said(*arguments, **keys):
            clean = {name: value for name, value in environment(**keys).items() if keys or not name.startswith("LIQCORE_API")}
            done = subprocess.run([*COMMAND, "live", str(config), *arguments], capture_output=True, text=True, env=clean, timeout=180)
            return done.returncode, "".join(line for line in done.stderr.splitlines(True) if not line.startswith("log: "))

        assert said(**venue.keys()) == (
            2,
            f"liqcore: {config}: run.mode: 'live', but --live is missing; expected both for real orders, none for paper trading\n",
        )
        status, text = said("--live")
        assert status == 2 and "no API key" in text
        status, text = said("--live", LIQCORE_API_KEY="wrong-key-of-nobody", LIQCORE_API_SECRET="wrong-secret-of-nobody")
        assert status == 1 and "the venue does not accept the key" in text and "nobody" not in text
        config.write_text(config.read_text().replace('mode = "live"', 'mode = "paper"'))
        status, text = said("--live", **venue.keys())
        assert status == 2 and "run.mode is 'paper'" in text


@pytest.mark.slow
def test_no_secret_is_found_anywhere_in_what_a_run_leaves(tmp_path):
    """A crash and an end in good order; every file of run, state and log is searched for key and secret."""
    with Venue("--seed", 2, "--speed", SPEED, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, policy=MARKET, watchdog=True)
        with Live(config, venue.keys(), out=tmp_path / "crashed") as live:
            live.wait_reconciled()
            time.sleep(1.5)
            live.process.send_signal(signal.SIGABRT)
            live.process.wait(120)
        with Live(config, venue.keys(), out=tmp_path / "whole") as live:
            live.wait_reconciled()
            arguments = Path(f"/proc/{live.process.pid}/cmdline").read_bytes()
            time.sleep(1.0)
            assert live.end() == 0, live.words()
        secrets = [value.encode() for value in venue.keys().values()]
        read = 0
        assert not any(secret in arguments for secret in secrets)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                data += unpacked(path) if path.name.endswith(SUFFIX) else b""
                read += len(data)
                assert not any(secret in data for secret in secrets), path
    assert read > 100_000, "nothing was searched"


@pytest.mark.slow
def test_a_blocked_loop_stops_entries_and_is_rescued_from_outside(tmp_path):
    """SIGSTOP: the loop stands still for good. The watchdog takes the entries off, then acts at the venue with a connection of its own."""
    with Venue("--seed", 2, "--speed", 5, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, watchdog=True)
        with Live(config, venue.keys(), out=tmp_path / "run") as live:
            live.wait_reconciled()
            control = Control(live.state)
            begun = time.monotonic()
            live.process.send_signal(signal.SIGSTOP)
            while not control.watchdog and time.monotonic() - begun < 120.0:
                time.sleep(0.02)
            off = time.monotonic() - begun
            assert control.watchdog, "entries are not off"
            killed = subprocess.run([*COMMAND, "kill", str(config)], capture_output=True, text=True, env=environment(**venue.keys()), timeout=180)
            assert killed.returncode == 0, killed.stdout + killed.stderr
            assert control.kill == Kill.KILLED and not entries(venue.truth())
            live.process.send_signal(signal.SIGCONT)
            assert live.end() == 0, live.words()
            control.close()
    assert 1.9 <= off < 2.0 + SLACK, off


LATE = """import liqcore as lc


class Late(lc.CustomDetector):
    def start(self):
        self.seen = 0

    def on_event(self, event):
        self.seen += 1
        if self.seen == 60:
            raise ValueError("late")
"""


@pytest.mark.slow
def test_a_detector_that_raises_ends_with_its_place_and_a_report(tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    with Venue("--seed", 5, "--speed", SPEED, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, more='[detectors.late]\nkind = "late.py:Late"\n', policy=HELD)
        with Live(config, venue.keys(), out=tmp_path / "run") as live:
            assert live.process.wait(120) == 2, live.words()
            truth = venue.truth()
    assert f"{tmp_path}/late.py:11, on_event: the detector raised ValueError: late" in live.words() and "fault of liqcore" not in live.words()
    assert (tmp_path / "run" / "report.html").exists() and f"Report: {tmp_path}/run/report.html" in live.words()
    assert not naked(truth) and not entries(truth)
