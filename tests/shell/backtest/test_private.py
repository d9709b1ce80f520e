"""Runs, recordings, state and kill pages are their owner's alone, whatever the umask says."""

import os
import stat
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from liqshell import private
from liqshell.backtest.history import load_history
from liqshell.backtest.trial_log import Market, TrialLog, Trials
from liqshell.cli import main
from liqshell.config.load import loads
from liqshell.report import make_report
from live_process import COMMAND, Live, Venue, environment, write_config
from recorded_run import record_run


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def others(folder, but=()):
    """What below a folder, and the folder itself, is not 0700 or 0600."""
    return {
        str(path.relative_to(folder)): oct(mode(path))
        for path in [folder, *sorted(folder.rglob("*"))]
        if path.name not in but and mode(path) != (0o700 if path.is_dir() else 0o600)
    }


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o277])
def test_modes_do_not_follow_the_umask(tmp_path, mask):
    with umask(mask):
        folder = private.folder(tmp_path / "a" / "b")
        private.write(folder / "text", "é\n")
        with private.opened(folder / "text", "a", encoding="utf-8") as out:
            out.write("more\n")
    assert others(tmp_path / "a") == {} and (folder / "text").read_text() == "é\nmore\n"


def test_an_older_file_is_closed_and_a_folder_of_somebody_elses_choice_is_left(tmp_path):
    (tmp_path / "shared").mkdir(0o755)
    (tmp_path / "shared").chmod(0o755)
    old = tmp_path / "shared" / "run.json"
    old.write_text("1")
    old.chmod(0o644)
    private.folder(tmp_path / "shared")
    private.write(old, "2")
    assert mode(tmp_path / "shared") == 0o755 and mode(old) == 0o600 and old.read_text() == "2"
    os.mkfifo(tmp_path / "pipe", 0o622)
    (tmp_path / "pipe").chmod(0o622)
    with pytest.raises(OSError, match="a FIFO in place of a regular file"):
        private.descriptor(tmp_path / "pipe", os.O_RDWR)
    assert mode(tmp_path / "pipe") == 0o622, "only regular files are ours to close"
    with pytest.raises(OSError, match="File exists"):
        private.folder(old)


@pytest.mark.parametrize("mask", [0, 0o022])
def test_a_recorded_run_and_its_report(tmp_path, mask):
    with umask(mask):
        folder = record_run(tmp_path / "runs" / "one", hours=0.05)
        make_report(folder)
        config = loads(f'[run]\nout = "{tmp_path / "runs"}"\n')
        market = Market("d", "s", ("SOLUSDT",), 0, 1, first_day=0, days=1)
        log = TrialLog(tmp_path / "runs" / "kept" / "trials.jsonl", [config.run.out])
        log.add(Trials("backtest", market, np.ones(1, np.uint64), 1), np.zeros((1, 1)))
    assert {"report.html", "audit.bin", "run.json", "frames"} <= {path.name for path in folder.iterdir()}
    assert others(tmp_path / "runs") == {}


TABLE = "ts_ms,symbol,position,price,qty_base,notional_usd\n" + "".join(
    f"{1_772_452_800_000 + 1000 * n},ETHUSDT,long,2500,{1 + n % 7},0\n" for n in range(50)
)


@pytest.mark.parametrize("mask", [0, 0o022, 0o277])
def test_a_store_and_its_report(tmp_path, mask):
    """The page of an import was 0644, and so were the catalogue, the partitions and the columns; a new store was 0755."""
    (tmp_path / "t.csv").write_text(TABLE)
    with umask(mask):
        for name in ("t.csv", "u.csv"):
            (tmp_path / "u.csv").write_text(TABLE.replace("1772452", "1772453"))
            (tmp_path / "u.csv").chmod(0o600)
            assert main(["import", str(tmp_path / name), "--store", str(tmp_path / "a" / "store"), "--quiet"]) == 0
    assert others(tmp_path / "a") == {}
    assert {"report.html", "report.json", "catalogue.sqlite", ".lock"} <= {path.name for path in (tmp_path / "a" / "store").iterdir()}
    assert {path.suffix for path in (tmp_path / "a" / "store").rglob("*") if path.is_file()} > {".parquet"}


@pytest.mark.parametrize("mask", [0, 0o022])
def test_the_store_that_files_of_a_configuration_make_beside_the_runs(tmp_path, mask):
    (tmp_path / "t.csv").write_text(TABLE)
    with umask(mask):
        config = loads(f'[run]\nout = "{tmp_path / "runs"}"\n[feed]\nsymbols = ["ETHUSDT"]\n[data]\nfiles = ["{tmp_path / "t.csv"}"]\n')
        assert len(load_history(config, trades=False).liquidations) == 50
    assert list((tmp_path / "runs").glob(".imported-*/catalogue.sqlite")) and others(tmp_path / "runs") == {}


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0, 0o022])
def test_a_live_process_and_the_kill_command(tmp_path, mask):
    with umask(mask), Venue("--seed", 2, "--speed", 60, "--lead-s", 0.5) as venue:
        config = write_config(tmp_path, venue, watchdog=True)
        with Live(config, venue.keys(), out=tmp_path / "runs" / "one") as live:
            live.wait_reconciled()
            time.sleep(2.0)
            while_running = others(tmp_path / "runs")
            subprocess.run(
                [*COMMAND, "kill", str(config), "--reason", "test"], check=True, capture_output=True, env=environment(**venue.keys()), timeout=60
            )
            assert live.end() == 0, live.words()
    state = {path.name for path in Path(live.state).iterdir()}
    assert {"control", "store.sqlite", "image.bin", "rescue.json", "watchdog.log", "lock"} <= state
    assert while_running == {} and others(tmp_path / "runs") == {}
