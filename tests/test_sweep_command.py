"""`liqcore sweep`: its table is what backtests give, whatever was interrupted and wherever it was computed."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from recorded_run import SETTINGS, audit_of, record_run

import liqcore as lc
from liqshell.backtest import load_history, run_backtest
from liqshell.config import load
from liqshell.errors import ConfigError, DataError
from liqshell.sweep import page as pages
from liqshell.sweep import run as sweeps
from liqshell.sweep.parts import Parts
from liqshell.sweep.table import ALL, best, neighbours

COMMAND = [sys.executable, "-P", "-m", "liqshell"]
GRID = """
[sweep.policy]
take_profit = [0.001, 0.0015, 0.003]
stop_loss = [0.0015, 0.0025]
entry_offset = [0.0005, 0.0015]
[sweep.detector]
min_events = [2, 3]
"""
WIDE = "order_notional_max = 1e9\nexposure_max = 1e9\nleverage_max = 1000\npositions_max = 100\norders_per_minute_max = 1000\n" \
       "daily_loss_max = 1\nweekly_loss_max = 1\n"


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    record_run(folder / "market", hours=4, seed=12)
    file = folder / "grid.toml"
    file.write_text(f'[run]\nname = "grid"\nout = "{folder / "runs"}"\n{SETTINGS}{WIDE}[data]\nfiles = ["market"]\n[paper]\nfunding_interval_s = 0\n{GRID}')
    return file


@pytest.fixture(scope="module")
def swept(configured):
    return sweeps.run_sweep(load(configured))


def test_every_row_is_what_a_backtest_of_its_setting_gives(configured, swept, tmp_path):
    table = swept.table
    assert table["trades"].sum() > 100
    for at in (0, 5, len(swept.settings) - 1):
        config = load(configured, ["backtest.study=false", *(f"{name}={pages_value(value, name)}" for name, value in swept.settings[at].named.items())])
        audit = audit_of(run_backtest(config, tmp_path / str(at)))
        trades = audit[audit["kind"] == lc.AuditKind.AUDIT_TRADE]
        for n, symbol in enumerate(swept.symbols):
            row = np.flatnonzero(table["symbol"] == symbol)[at]
            mine = trades[trades["instrument"] == n]
            assert table["trades"][row] == len(mine)
            assert table["net"][row] == float(sum(mine["x"][:, 5].tolist()))
            assert table["fees"][row] == float(sum(mine["x"][:, 4].tolist()))
            assert table["wins"][row] == int((mine["x"][:, 5] > 0).sum())


def pages_value(value, name):
    from liqshell.sweep.table import shown
    return shown(name, value)


def test_rows_of_all_symbols_are_their_sums(swept):
    table, n = swept.table, len(swept.settings)
    own = table["symbol"] != ALL
    for name in ("trades", "signals", "entries"):
        assert (table[name][~own] == table[name][own].reshape(-1, n).sum(axis=0)).all()
    assert np.isnan(table["sharpe"][~own]).all()


def test_the_parquet_file_holds_the_table(swept):
    import pyarrow.parquet as pq

    read = pq.read_table(swept.folder / "sweep.parquet")
    assert read.column_names == list(swept.table)
    for name in ("symbol", "net", "policy.take_profit"):
        assert np.array_equal(np.array(read[name].to_pylist()), swept.table[name])


def test_a_killed_sweep_goes_on_and_ends_with_the_same_table(configured, swept, tmp_path):
    """Killed at random points, however often: the parts that were finished are kept, and the file is the same byte for byte."""
    whole = (swept.folder / "sweep.parquet").read_bytes()
    rng, out, left = random.Random(5), tmp_path / "killed", []
    command = [*COMMAND, "sweep", str(configured), "--out", str(out), "--set", "sweep.unit=2", "--set", f"run.out={tmp_path}"]
    for _ in range(12):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline, least = time.monotonic() + 60, len(list((out / "parts").glob("*.npy"))) + rng.choice((0, 1, 3, 9))
        while run.poll() is None and time.monotonic() < deadline and len(list((out / "parts").glob("*.npy"))) < least:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.02)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        left.append(len(list((out / "parts").glob("*.npy"))))
        if (out / "sweep.html").exists():
            break
    assert left == sorted(left)
    ended = subprocess.run([*command, "--json"], capture_output=True, check=True)
    assert json.loads(ended.stdout)["settings"] == len(swept.settings)
    assert (out / "sweep.parquet").read_bytes() == whole
    assert not list((out / "parts").glob("*.new"))


@pytest.mark.slow
def test_a_cluster_computes_the_same(configured, swept, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    found = sweeps.run_sweep(load(configured), tmp_path / "cluster", address="")
    assert found.computed == len(list((tmp_path / "cluster" / "parts").glob("*.npy")))
    assert (found.folder / "sweep.parquet").read_bytes() == (swept.folder / "sweep.parquet").read_bytes()


def test_a_damaged_part_is_named(configured, swept, tmp_path):
    out = tmp_path / "damaged"
    sweeps.run_sweep(load(configured), out)
    part = sorted((out / "parts").glob("*.npy"))[1]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match=part.name):
        sweeps.run_sweep(load(configured), out)
    part.unlink()
    again = sweeps.run_sweep(load(configured), out)
    assert again.computed == 1
    assert (out / "sweep.parquet").read_bytes() == (swept.folder / "sweep.parquet").read_bytes()


def test_a_folder_of_something_else_is_refused(configured, swept, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        sweeps.run_sweep(load(configured), tmp_path)
    with pytest.raises(ConfigError, match="holds another sweep"):
        sweeps.run_sweep(load(configured, ["paper.maker_fee=0.0001"]), swept.folder)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_restart_replaces_what_was_there(tmp_path):
    plan = {"a": 1}
    Parts(tmp_path / "x", plan, 2).save(0, np.zeros(3))
    assert Parts(tmp_path / "x", plan, 2).missing() == [1]
    with pytest.raises(ConfigError, match="restart"):
        Parts(tmp_path / "x", {"a": 2}, 2)
    assert Parts(tmp_path / "x", {"a": 2}, 2, restart=True).missing() == [0, 1]


@pytest.mark.parametrize(("change", "message"), [
    ("paper.fills=queue", r"\[paper\] fills.*[\s\S]*liqcore backtest"), ("paper.taker=walk", r"\[paper\] taker"), ("paper.leverage=5", r"\[paper\] leverage"),
    ("sweep.settings_max=3", "24 settings"), ("policy.equity_share=0.1", "equity_share")])
def test_what_a_sweep_cannot_do_is_said(configured, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        sweeps.run_sweep(load(configured, [change]), tmp_path / "out")


def test_nothing_varied_is_said(configured, tmp_path):
    text = configured.read_text().replace(GRID, "")
    file = configured.parent / "bare.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="nothing is varied"):
        sweeps.run_sweep(load(file), tmp_path / "out")


def test_a_policy_of_ones_own_is_refused(configured, tmp_path):
    file = configured.parent / "mood.py"
    file.write_text("import liqcore as lc\nclass Mood(lc.Policy):\n    def on_signal(self, s, m):\n"
                    "        return lc.Bracket(s.side, stop_loss=0.002, take_profit=0.001 * (1 + s.count % 3), notional=500) if s.phase == 2 else None\n")
    with pytest.raises(ConfigError, match=r"\[policy\] rule[\s\S]*liqcore backtest"):
        sweeps.run_sweep(load(configured, [f"policy.rule={file}:Mood"]), tmp_path / "out")


def test_neighbours_differ_by_one_step_of_one_parameter():
    axes = {"a": (1, 2, 3), "b": (1, 2), "c": (5,)}
    assert sorted(neighbours([None] * 6, axes, 2)) == [0, 3, 4]
    assert sorted(neighbours([None] * 6, axes, 0)) == [1, 2]


def test_best_puts_what_has_no_value_last():
    table = {"symbol": np.array(["A", "A", "A", "B"]), "net": np.array([1.0, np.nan, 3.0, 9.0])}
    assert best(table, "net", "A").tolist() == [2, 0, 1]


def test_the_page_says_what_the_table_allows(swept):
    summary = pages.write_sweep(swept)
    text = (swept.folder / "sweep.html").read_text()
    assert json.loads((swept.folder / "summary.json").read_text())["settings"] == len(swept.settings) == 24
    assert summary["verdict"].split(".")[0] in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("<svg") >= 2
    assert summary["luck"]["trials"] >= 24
    top = summary["best"][0]
    rows = np.flatnonzero(swept.table["symbol"] == swept.total)
    assert top["net"] == swept.table["net"][rows].max()


def test_signals_and_sides_are_those_of_the_engine(configured):
    """The halted walk asks the policy exactly what a trading run asks it."""
    from liqshell.backtest.swept import heard
    from liqshell.pipeline import settings

    config = load(configured)
    history = load_history(config)
    answers = heard(config, settings(config, history.instruments), history.tape, {})
    for n, found in enumerate(answers):
        assert (found.sides == np.where(found.signals["phase"] == lc.Phase.ACTIVE, found.signals["side"], 0)).all()
        assert (found.signals["instrument"] == n).all() and len(found.signals)

