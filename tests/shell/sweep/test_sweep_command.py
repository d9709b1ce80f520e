"""`liqcore sweep`: its table is what backtests give, whatever was interrupted and wherever it was computed."""

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore.sweep import Grid
from liqshell.backtest import load_history, run_backtest
from liqshell.backtest.history import described
from liqshell.backtest.sweep_kernel import grids_of
from liqshell.backtest.trial_log import TrialLog
from liqshell.backtest.trials import market_of
from liqshell.config.load import load, loads
from liqshell.config.study_sections import Setting
from liqshell.errors import ConfigError, DataError
from liqshell.sweep import page as pages
from liqshell.sweep import run as sweeps
from liqshell.sweep.parts import Parts
from liqshell.sweep.table import ALL, best, neighbours
from recorded_run import SETTINGS, audit_of, record_run

COMMAND = [sys.executable, "-P", "-m", "liqshell"]
GRID = """
[sweep.policy]
take_profit = [0.001, 0.0015, 0.003]
stop_loss = [0.0015, 0.0025]
entry_offset = [0.0005, 0.0015]
[sweep.detector]
min_events = [2, 3]
"""
WIDE = (
    "order_notional_max = 1e9\nexposure_max = 1e9\nleverage_max = 1000\npositions_max = 100\norders_per_minute_max = 1000\n"
    "daily_loss_max = 1\nweekly_loss_max = 1\n"
)


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    record_run(folder / "market", hours=3, seed=12)
    file = folder / "grid.toml"
    file.write_text(
        f'[run]\nname = "grid"\nout = "{folder / "runs"}"\n{SETTINGS}{WIDE}[data]\nfiles = ["market"]\n[paper]\nfunding_interval_s = 0\n{GRID}'
    )
    return file


@pytest.fixture(scope="module")
def swept(configured):
    return sweeps.run_sweep(load(configured))


@pytest.mark.slow
def test_every_row_is_what_a_backtest_of_its_setting_gives(configured, swept, tmp_path):
    table = swept.table
    assert table["trades"].sum() > 100
    for at in (0, 5, len(swept.settings) - 1):
        config = load(
            configured, ["backtest.study=false", *(f"{name}={pages_value(value, name)}" for name, value in swept.settings[at].named.items())]
        )
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


def test_the_parquet_file_holds_the_table(swept):
    import pyarrow.parquet as pq

    read = pq.read_table(swept.folder / "sweep.parquet")
    assert read.column_names == list(swept.table)
    for name in ("symbol", "net", "policy.take_profit"):
        assert np.array_equal(np.array(read[name].to_pylist()), swept.table[name])


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("paper.fills=queue", r"\[paper\] fills"),
        ("paper.taker=walk", r"\[paper\] taker"),
        ("paper.leverage=5", r"\[paper\] leverage"),
        ("policy.equity_share=0.1", "equity_share"),
    ],
)
def test_what_the_kernel_cannot_do_is_said(configured, tmp_path, change, message):
    with pytest.raises(ConfigError, match=f"sweep.by: 'kernel', which does not support .*{message}"):
        sweeps.run_sweep(load(configured, [change, "sweep.by=kernel"]), tmp_path / "out")


def test_too_large_a_grid_is_said(configured, tmp_path):
    with pytest.raises(ConfigError, match="24 settings"):
        sweeps.run_sweep(load(configured, ["sweep.settings_max=3"]), tmp_path / "out")


KEYS = (
    "signals",
    "refused_open",
    "refused_cooldown",
    "refused_data",
    "refused_risk",
    "entries",
    "filled",
    "trades",
    "wins",
    "targets",
    "stops",
    "max_holds",
    "phases",
    "others",
    "unfilled_ttl",
    "unfilled_post_only",
    "unfilled_other",
    "entry_makers",
    "hold_ns",
    "hold_ns_max",
    "gross",
    "fees",
    "net",
    "net_squares",
    "left_open",
)
NEAR = ("notional", "drawdown_max")


@pytest.mark.parametrize(("offsets", "more"), [("[0.0005, 0.0015]", []), ("[0.0, 0.0001]", ["policy.requotes=3"])])
def test_the_kernel_and_the_walks_give_the_same_table(configured, swept, tmp_path, offsets, more):
    """Two ways, written apart: the same rows, counted and added up from the trades, whatever the way. Close entries are rejected as post-only and sent
    again: a bracket is counted once."""
    few = ["sweep.by=backtest", "sweep.policy.take_profit=[0.001]", f"sweep.policy.entry_offset={offsets}", *more]
    walked = sweeps.run_sweep(load(configured, few), tmp_path / "walked")
    kernel = sweeps.run_sweep(load(configured, few[1:]), tmp_path / "kernel")
    assert (walked.by, kernel.by, swept.by) == ("backtest", "kernel", "kernel") and kernel.table["trades"].sum() > 100
    assert "one backtest for each setting, as asked" in pages.way(walked) and "sweep kernel" in pages.way(kernel)
    for name in KEYS:
        assert np.array_equal(walked.table[name], kernel.table[name], equal_nan=True), name
    for name in NEAR:
        assert np.allclose(walked.table[name], kernel.table[name], rtol=1e-12, atol=1e-9, equal_nan=True), name
    assert list(walked.table) == list(kernel.table)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["kernel", "backtest"])
def test_days_before_the_first_row_are_counted_and_kept_in_the_trial_log(configured, tmp_path, monkeypatch, by):
    """The span begins two days before the first row of the tape."""
    few = [
        f"sweep.by={by}",
        "sweep.policy.take_profit=[0.001]",
        "sweep.policy.entry_offset=[0.0005, 0.0015]",
        f"run.trials={tmp_path / 'trials.jsonl'}",
        f"run.out={tmp_path}",
    ]
    config = load(configured, few)
    plain = sweeps.run_sweep(config, tmp_path / "plain")
    late = load_history(config)
    late = described(dataclasses.replace(late, start_ns=late.start_ns - 2 * sweeps.DAY_NS, parts=[]))
    monkeypatch.setattr(sweeps, "load_history", lambda config: late)
    found = sweeps.run_sweep(config, tmp_path / "late")
    assert found.by == by and len(found.daily) == len(plain.daily) + 2 == len(found.whole) and not found.whole[:2].any() and found.problems == ()
    assert np.array_equal(found.daily[2:], plain.daily) and not found.daily[:2].any() and np.array_equal(found.table["net"], plain.table["net"])
    kept = TrialLog.of(config).tried(market_of(late))
    assert kept.daily.shape == found.daily.shape and np.allclose(kept.daily[:, np.argsort(kept.each)].sum(), found.daily.sum(), rtol=1e-5)


@pytest.mark.slow
def test_days_that_were_asked_for_and_are_not_in_the_data_are_said(configured, tmp_path):
    found = load_history(load(configured))
    first = np.datetime64(found.start_ns // sweeps.DAY_NS, "D")
    asked = [f"data.start={first - 3}T00:00:00Z", f"data.end={first + 3}T00:00:00Z"]
    told = load_history(load(configured, asked)).problems
    assert [line.partition(": ")[2] for line in told] == [
        "3 days of the requested span before it have no data",
        "2 days of the requested span after it have no data",
    ]
    assert load_history(load(configured, [f"data.start={first}T00:00:00Z", f"data.end={first + 1}T00:00:00Z"])).problems == [] == found.problems
    few = ["sweep.policy.take_profit=[0.001]", "sweep.policy.entry_offset=[0.0005]", f"run.trials={tmp_path / 'trials.jsonl'}"]
    swept = sweeps.run_sweep(load(configured, [*asked, *few]), tmp_path / "out")
    pages.write_sweep(swept)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["data_problems"] == told
    assert f"Data: {told[0]}." in (tmp_path / "out" / "sweep.html").read_text()


def test_walks_go_on_where_they_were(configured, tmp_path):
    few = ["sweep.by=backtest", "sweep.policy.take_profit=[0.001]", "sweep.policy.entry_offset=[0.0005]"]
    out = tmp_path / "walked"
    first = sweeps.run_sweep(load(configured, few), out)
    assert first.computed == len(first.settings) == 4
    (out / "parts" / "000002.npy").unlink()
    before = (out / "sweep.parquet").read_bytes()
    assert sweeps.run_sweep(load(configured, few), out).computed == 1 and (out / "sweep.parquet").read_bytes() == before


def test_nothing_varied_is_said(configured, tmp_path):
    text = configured.read_text().replace(GRID, "")
    file = configured.parent / "bare.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="nothing is varied"):
        sweeps.run_sweep(load(file), tmp_path / "out")


def test_a_policy_whose_brackets_change_is_walked(configured, tmp_path):
    """Its own file, its own numbers: nothing of the grid's bracket but what it asks for."""
    file = configured.parent / "mood.py"
    file.write_text(
        "import liqcore as lc\nclass Mood(lc.Policy):\n    def __init__(self, default, brackets, parameters):\n"
        "        self.terms, self.share = brackets, parameters['SOLUSDT']['share']\n"
        "    def on_signal(self, s, m):\n        terms = dict(self.terms[m.instrument.symbol]) | {'notional': self.share * (1 + s.count % 3)}\n"
        "        return lc.Bracket(s.side, **terms) if s.phase == 2 else None\n"
    )
    grid = configured.parent / "mood.toml"
    grid.write_text(
        configured.read_text().replace(
            GRID, f'[policy]\nrule = "{file}:Mood"\n[sweep.parameters]\nshare = [100, 200.5]\n[sweep.policy]\ntake_profit = [0.001, 0.002]\n'
        )
    )
    found = sweeps.run_sweep(load(grid), tmp_path / "out")
    assert found.by == "backtest" and "with brackets other than" in found.why and "with brackets other than" in pages.way(found)
    assert [s.named for s in found.settings][0] == {"parameters.share": 100, "policy.take_profit": 100_000}
    ones = found.table["symbol"] == "SOLUSDT"
    assert found.table["parameters.share"][ones].tolist() == [100, 100, 200.5, 200.5] and found.table["trades"].sum() > 20
    assert 1.9 < found.table["notional"][ones][2] / found.table["notional"][ones][0] < 2.1
    with pytest.raises(ConfigError, match=r"sweep.by: 'kernel', which does not support a policy with brackets"):
        sweeps.run_sweep(load(grid, ["sweep.by=kernel"]), tmp_path / "kernel")
    pages.write_sweep(found)
    assert json.loads((found.folder / "summary.json").read_text())["by"] == "backtest"


def test_values_of_parameters_and_detectors_are_judged_when_the_file_is_read(configured):
    text = configured.read_text()
    for wrong, where in (
        ("[sweep.parameters]\nnonsense = [1]\n", "sweep.parameters.nonsense"),
        ("[sweep.detectors.dollar]\namount = [1e6]\n", "sweep.detectors.dollar.amount"),
        ("[sweep.parameters]\nx = {from = 1, to = 2}\n", "sweep.parameters"),
    ):
        with pytest.raises(ConfigError) as why:
            loads(text + wrong, "grid.toml")
        assert where in str(why.value)


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
    from liqshell.backtest.sweep_kernel import answers_for
    from liqshell.config.study_sections import Setting

    config = load(configured)
    history = load_history(config)
    answers, why = answers_for(config, history, Setting())
    assert not why
    for n, found in enumerate(answers):
        assert (found.sides == np.where(found.signals["phase"] == lc.Phase.ACTIVE, found.signals["side"], 0)).all()
        assert (found.signals["instrument"] == n).all() and len(found.signals)


def test_a_setting_of_few_trades_is_not_praised(configured, swept):
    """Three hours: no setting can rest on five days, whatever it shows (a page said t = 461 of two trades, and praised thousands of 13)."""
    summary = pages.write_sweep(swept)
    assert (swept.table["trades"] < 30).any() and np.isnan(swept.table["net_t"]).all() and np.isnan(swept.table["net_low"]).all()
    assert summary["judged"] == summary["gains_beyond_chance"] == 0 and summary["best"][0]["net_low"] is None
    assert "No setting has enough trades for a verdict" in summary["verdict"] and "no evidence for or against" in summary["verdict"]
    assert "no interval: 30 trades on 5 days are needed" in summary["verdict"]
    written = json.loads((swept.folder / "summary.json").read_text())
    assert written["days"] == 0 == written["luck"]["days"] and np.isnan(swept.table["sharpe"]).all(), "three hours are no day"
    assert "less than a whole day" in summary["verdict"] and "1 day" not in (swept.folder / "sweep.html").read_text()
    page = (swept.folder / "sweep.html").read_text().partition("<body")[2]
    assert 'class="pos"' not in page and 'class="neg"' not in page and "The most stable" not in page and "It is also the middle" not in page
    assert ">95 %</th>" in page


@pytest.mark.slow
def test_a_row_leads_to_its_backtest_and_back(configured, tmp_path):
    few = ["sweep.policy.take_profit=[0.001]", "sweep.policy.entry_offset=[0.0005]", "sweep.detector.min_events=[2]"]
    found = sweeps.run_sweep(load(configured, few), tmp_path / "sweep")
    pages.write_sweep(found)
    before = (tmp_path / "sweep" / "sweep.html").read_text()
    assert "rows/1" not in before and f"--row {tmp_path / 'sweep'}:ROW" in before
    sets = [part for change in few for part in ("--set", change)]
    made = subprocess.run(
        [*COMMAND, "backtest", str(configured), "--row", f"{tmp_path / 'sweep'}:1", *sets, "--quick", "--json"], capture_output=True, check=True
    )
    report = json.loads(made.stdout)
    assert report["sweep"]["row"] == 1 and report["sweep"]["net"] == pytest.approx(found.table["net"][-1]) == pytest.approx(report["money"]["net"])
    assert report["sweep"]["trades"] == report["funnel"][-1]["n"]
    page = (tmp_path / "sweep" / "rows" / "1" / "report.html").read_text()
    assert 'Row 1 of a <a href="../../sweep.html">sweep</a>' in page
    assert '<a href="rows/1/report.html">1</a>' in (tmp_path / "sweep" / "sweep.html").read_text()
    assert "The kernel of the sweep has no account" not in page and "limits (exposure" in (tmp_path / "sweep" / "sweep.html").read_text()
    bounded = ["--set", "limits.leverage_max=0.001", "--out", str(tmp_path / "bounded")]
    made = subprocess.run(
        [*COMMAND, "backtest", str(configured), "--row", f"{tmp_path / 'sweep'}:1", *sets, *bounded, "--quick"],
        capture_output=True,
        check=True,
        text=True,
    )
    told = " ".join(made.stdout.replace("│", " ").split())
    assert "Row 1 of a sweep, which has it at" in told and "The kernel of the sweep has no account. Here acted: leverage limit (" in told
    pages.write_sweep(found)
    assert '<a href="rows/1/report.html">1</a>' in (tmp_path / "sweep" / "sweep.html").read_text()
    for wrong, words in ((f"{tmp_path / 'sweep'}:7", "of the configuration 2"), (f"{tmp_path}:1", "not a row of a finished sweep")):
        bad = subprocess.run([*COMMAND, "backtest", str(configured), "--row", wrong, *sets], capture_output=True, text=True)
        assert bad.returncode == 2 and words in " ".join(bad.stderr.split()), bad.stderr


def test_a_rule_that_asks_the_numbers_of_its_own_bracket_is_run_by_backtests(configured, tmp_path):
    """It declines by them, so one setting's answers are not another's."""
    file = tmp_path / "picky.py"
    file.write_text(
        "import liqcore as lc\nclass Picky(lc.Policy):\n    def __init__(self, default, brackets):\n"
        "        self.terms = brackets\n    def on_signal(self, s, m):\n        terms = self.terms[m.instrument.symbol]\n"
        "        odd = float(terms['take_profit']) > 0.002 and s.sequence % 2\n"
        "        return lc.Bracket(s.side, **terms) if s.phase == 2 and not odd else None\n"
    )
    with pytest.raises(
        ConfigError, match=r"sweep.by: 'kernel', which does not support a policy whose entry depends on the numbers of its own bracket"
    ):
        sweeps.run_sweep(load(configured, [f'policy.rule="{file}:Picky"', 'sweep.by="kernel"']), tmp_path / "out")


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_settings_read_axis_by_axis_are_those_read_one_by_one(data):
    config = loads('[feed]\nsymbols = ["ETHUSDT", "BTCUSDT"]\n[policy]\npreset = "fade"\n[policy.symbols.BTCUSDT]\ntake_profit = 0.003\n')
    values = {
        "entry": ["post_only", "market"],
        "entry_offset": [0, 50_000, 150_000],
        "take_profit": [100_000, 150_000],
        "trail": [0, 200_000],
        "stop_loss": [150_000, 250_000, 400_000],
        "entry_ttl_s": [60.0, 900.0],
        "max_hold_s": [300.0, 1800.0],
        "cooldown_s": [0.0, 300.0],
        "exit_phase": ["none", "exhausted"],
        "requotes": [0, 1],
    }
    axes = data.draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=4, unique=True))
    wanted = data.draw(st.lists(st.fixed_dictionaries({name: st.sampled_from(values[name]) for name in axes}), min_size=1, max_size=8))
    each = [
        [
            {
                name: value
                for name, value in config.with_setting(Setting(own)).policy_for(symbol).bracket_arguments().items()
                if name != "equity_share"
            }
            for own in wanted
        ]
        for symbol in config.feed.symbols
    ]
    found = grids_of(config, config.feed.symbols, wanted)
    assert [grid.rows.tobytes() for grid in found] == [np.concatenate([Grid.product(**row).rows for row in rows]).tobytes() for rows in each]
