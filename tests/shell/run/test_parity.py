"""`liqcore replay RUN --as backtest`: the recording of a run as a tape, against what the run decided."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from liqshell import formats
from liqshell.config.load import loads
from liqshell.errors import ConfigError, DataError
from liqshell.recording import journal
from liqshell.recording.packing import frame_files
from liqshell.report.run import load_run
from liqshell.run.backtest_parity import first_difference, prove_as_backtest
from liqshell.run.recorded_events import read_events
from liqshell.run.replay import prove
from recorded_run import SETTINGS, audit_of, of_kind, record_run
from recorder_lines import as_before, member, unpacked


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("parity") / "run", hours=1.5, cut_s=40.0)


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


def edit(folder: Path, change, first: int = 0) -> None:
    """Rewrite the lines of a recording, from the file of this number on."""
    for file in frame_files(folder / "frames")[first:]:
        lines = unpacked(file).decode().splitlines()
        file.write_bytes(member("".join(line + "\n" for line in change(lines)).encode()))


@pytest.mark.slow
def test_a_run_that_was_packed_with_gzip_is_identical(run, copy):
    """As runs were recorded before: the replay, the backtest and the events are those of the same run as it is packed now."""
    before, _ = read_events(copy / "frames").events, as_before(copy / "frames")
    assert {file.suffix for file in frame_files(copy / "frames")} == {".gz"} and {file.suffix for file in frame_files(run / "frames")} == {".zst"}
    assert read_events(copy / "frames").events.tobytes() == before.tobytes() and len(before)
    assert prove(copy).identical and prove_as_backtest(copy).identical
    assert b"".join(part.tobytes() for part in formats.read(copy).ordered()) == b"".join(part.tobytes() for part in formats.read(run).ordered())


def test_a_run_with_a_gap_is_identical_as_a_backtest(run):
    audit = audit_of(run)
    assert len(of_kind(audit, lc.AuditKind.AUDIT_FILL)) and len(of_kind(audit, lc.AuditKind.AUDIT_FEED)) >= 3
    found = prove_as_backtest(run)
    assert found.identical and found.how == "processed as a tape" and found.difference == ""
    assert found.verdict.records == len(audit)
    assert prove(run).identical


def test_a_run_of_struct_version_6_is_replayed_and_reported_as_today(run, copy):
    """There the number of a detector or a policy was a fraction: count + (place - 1) / 256, in the double that holds both today."""
    places = {
        "AUDIT_SIGNAL": (6, "count", "detector"),
        "AUDIT_LARGE": (2, "count", "detector"),
        "AUDIT_LAPSED": (3, "count", "detector"),
        "AUDIT_POLICY": (7, "confidence", "policy"),
    }
    audit = audit_of(copy).copy()
    for k, row in enumerate(lc.audit.rows(audit)):
        kind = lc.AuditKind(row.kind).name
        if kind in places:
            at, number, whose = places[kind]
            audit["x"][k, at] = getattr(row, number, 0) + (getattr(row, whose) - 1) / 256
    assert set(places) <= {lc.AuditKind(kind).name for kind in audit["kind"]} and audit.tobytes() != audit_of(run).tobytes()
    (copy / journal.AUDIT).write_bytes(audit.tobytes())
    journal.update(copy, abi=6)
    edit(copy, lambda lines: [line.replace(f'"abi":{lc.abi_version()}', '"abi":6') for line in lines])
    assert read_events(copy / journal.FRAMES).values["abi"] == 6
    assert audit_of(copy).tobytes() == load_run(copy).audit.tobytes() == audit_of(run).tobytes()
    assert prove(copy).identical and prove_as_backtest(copy).identical


@pytest.mark.slow  # an hour of the market over sockets, four processes
def test_the_command_on_a_demo_run_over_sockets(tmp_path):
    folder = tmp_path / "demo"
    command = [sys.executable, "-P", "-m", "liqshell"]
    done = subprocess.run(
        [*command, "demo", "--paper", "--speed", "600", "--hours", "1", "--seed", "3", "--out", str(folder), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for way in ("live", "backtest"):
        done = subprocess.run([*command, "replay", str(folder), "--as", way], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stdout.startswith("identical: "), done.stdout + done.stderr
    done = subprocess.run([*command, "replay", str(folder), "--as", "backtest", "--json"], capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout)["identical"] is True and json.loads(done.stdout)["records"] == len(audit_of(folder))


def test_a_tampered_audit_is_shown_on_both_sides(copy):
    audit = audit_of(copy).copy()
    at = int(np.flatnonzero(audit["kind"] == int(lc.AuditKind.AUDIT_RISK))[1])
    audit["x"][at, 0] += 1.0
    (copy / journal.AUDIT).write_bytes(audit.tobytes())
    found = prove_as_backtest(copy)
    assert not found.identical and found.verdict.first_difference == at
    head, run, made = found.difference.splitlines()
    assert head == f"record {at} differs in notional"
    assert "kind=RISK" in run and f"notional={float(audit['x'][at, 0])!r}" in run
    assert f"notional={float(audit['x'][at, 0]) - 1.0!r}" in made


def test_another_setting_is_named_by_the_first_record_that_it_changes(copy):
    def change(lines):
        return [re.sub(r'"take_profit":"0\.0015\d*"', '"take_profit":"0.002"', line) if '"liqcore.meta"' in line else line for line in lines]

    edit(copy, change)
    found = prove_as_backtest(copy)
    assert not found.identical and "kind=POLICY" in found.difference
    assert "differs in take_profit" in found.difference and "take_profit=0.0015" in found.difference and "take_profit=0.002" in found.difference
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", "replay", str(copy), "--as", "backtest"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "DIFFERENT" in done.stdout and "differs in take_profit" in done.stdout


def test_a_lost_record_is_said_to_be_missing(copy):
    audit = audit_of(copy)
    (copy / journal.AUDIT).write_bytes(audit[:-1].tobytes())
    found = prove_as_backtest(copy)
    assert not found.identical and f"record {len(audit) - 1} exists only in the backtest" in found.difference
    assert "exists only in the run" in first_difference(audit, audit[:3], 3, ["A", "B"])


def test_a_killed_run_is_compared_as_far_as_both_reach(copy):
    edit(copy, lambda lines: lines[:-40], -1)  # no end mark
    found = prove_as_backtest(copy)
    assert found.identical and found.verdict.cut and 0 < found.verdict.replayed <= found.verdict.records


def test_events_that_the_door_refuses_are_stepped_in_the_recorded_order(tmp_path):
    """A feed whose second half was received earlier than its first: the live run refused it and said so; a tape has no place for it."""
    folder = record_run(tmp_path / "run", hours=0.2)
    frames = folder / "frames"

    def swap(lines):
        moved = [n for n, line in enumerate(lines) if '"publicTrade' in line][50]
        early = re.sub(r'"ts_recv":(\d+)', lambda m: f'"ts_recv":{int(m[1]) - 60_000_000_000}', lines[moved])
        return [*lines[:moved], early, *lines[moved + 1 :]]

    edit(folder, swap)
    # what the live path makes of this recording is the run now
    from liqshell.run import replay

    _, audit, _, _ = replay.run(frames)
    (folder / journal.AUDIT).write_bytes(audit.tobytes())
    assert len(of_kind(audit, lc.AuditKind.AUDIT_REFUSED))
    found = prove_as_backtest(folder)
    assert found.identical and "validation refuses 2 of its events (BAD_TIME)" in found.how


def test_a_policy_in_a_file_is_run_only_with_consent_and_only_unchanged(tmp_path):
    policy = tmp_path / "mine.py"
    policy.write_text(
        "import liqcore as lc\n\n\nclass Mine(lc.Policy):\n    def on_signal(self, signal, market):\n"
        "        if signal.phase == lc.Phase.ACTIVE:\n"
        "            return lc.Bracket(signal.side, entry='market', stop_loss=0.004, take_profit=0.004, notional=500)\n"
    )
    config = loads(SETTINGS + f'[policy]\nrule = "{policy}:Mine"\n')
    folder = record_run(tmp_path / "run", hours=0.7, config=config)
    assert len(of_kind(audit_of(folder), lc.AuditKind.AUDIT_FILL))
    for check in (prove, prove_as_backtest):
        with pytest.raises(ConfigError, match="--trust-policy"):
            check(folder)
        assert check(folder, trust=True).identical
    policy.write_text(policy.read_text().replace("500", "501"))
    with pytest.raises(ConfigError, match="has changed since the run"):
        prove_as_backtest(folder, trust=True)


def test_what_is_not_a_run_is_refused(tmp_path, run):
    with pytest.raises(DataError):
        prove_as_backtest(tmp_path)
    frames = tmp_path / "x" / "frames"
    frames.mkdir(parents=True)
    shutil.copy(run / journal.AUDIT, tmp_path / "x")
    with gzip.open(frames / "2026-03-04_13.jsonl.gz", "wt") as stream:
        stream.write('{"topic":"publicTrade.ETHUSDT","ts":1772629200000,"data":[]}\n')
    with pytest.raises(DataError, match="does not begin with the settings"):
        prove_as_backtest(tmp_path / "x")
    with pytest.raises(DataError, match="does not begin with the settings"):
        read_events(frames)
