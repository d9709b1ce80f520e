"""`liqcore runs`: real runs, sweeps and comparisons under one folder are listed, searched, compared and deleted; nothing else is touched."""

import json

import pytest
from test_cli import run

from liqshell.backtest import run_backtest
from liqshell.config.load import loads
from liqshell.report import make_report
from liqshell.report.verdicts import Measured
from liqshell.research import run_index as runs
from liqshell.sweep import page as pages
from liqshell.sweep import run as sweeps
from recorded_run import SETTINGS, record_run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A paper run with its recording, two backtests of it that differ in one number, and a sweep."""
    root = tmp_path_factory.mktemp("all")
    make_report(record_run(root / "paper", hours=1, seed=12))
    base = f'[run]\nout = "{root}"\n{SETTINGS}[data]\nfiles = ["{root / "paper"}"]\n[backtest]\nstudy = false\n'
    for name, target in (("near", 0.001), ("far", 0.003)):
        make_report(run_backtest(loads(base + f"[policy]\ntake_profit = {target}\n"), root / "tests" / name))
    pages.write_sweep(sweeps.run_sweep(loads(base + "[sweep.policy]\ntake_profit = [0.001, 0.002]\n"), root / "grid"))
    return root


@pytest.mark.slow
def test_everything_is_listed_with_its_verdict(root, capsys):
    found = {e.name: e for e in runs.index(root)}
    assert set(found) == {"paper", "tests/near", "tests/far", "grid"} and found["grid"].kind == "sweep" and found["paper"].what == "paper"
    report = json.loads((root / "tests" / "near" / "report.json").read_text())
    near = found["tests/near"]
    assert near.verdict == report["verdict"] and near.result.value == report["per_trade"]["mean"] and near.result.n == report["funnel"][-1]["n"] > 0
    assert near.synthetic and near.bytes == sum(f.stat().st_size for f in (root / "tests" / "near").iterdir())
    status, out, _ = run(capsys, "runs", root)
    assert status == 0 and report["verdict"] in out and "4 found" in out and str(root / "grid" / "sweep.html") in out
    status, out, _ = run(capsys, "runs", root, "--json")
    assert {one["name"] for one in json.loads(out)} == set(found)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("backtest",), {"tests/near", "tests/far"}),
        (("sweep", "fade"), {"grid"}),
        (("policy.take_profit=0.003",), {"tests/far"}),
        (("take_profit=0.001", "SOLUSDT"), {"tests/near"}),
        (("nothing-like-it",), set()),
    ],
)
def test_search(words, names, root, capsys):
    assert {e.name for e in runs.search(runs.index(root), words)} == names
    status, out, _ = run(capsys, "runs", root, *words)
    assert status == (0 if names else 1) and f"{len(names)} found" in out


def test_two_runs_are_compared_with_their_intervals_and_the_setting_that_differs(root, capsys):
    status, out, _ = run(capsys, "runs", root, "--compare", "near", "tests/far")
    assert status == 0 and "policy.take_profit: 0.001 | 0.003" in out and "n = " in out
    assert "Fewer than two of them have enough trades to show a difference." in out, "two hours"
    status, out, _ = run(capsys, "runs", root, "--compare", "near", "far", "--json")
    assert json.loads(out)["differ"] == {"policy.take_profit": ["0.001", "0.003"]}
    for wrong, words in (("near",), "two or more"), (("near", "nobody"), "no run, sweep or comparison has that name"):
        status, _, err = run(capsys, "runs", root, "--compare", *wrong)
        assert status == 2 and words in " ".join(err.split())


def entry(name, low, high, data="d"):
    return runs.Entry(name, runs.Path(name), "run", "backtest", "fade", (), 0, 0, data, False, 0, "", Measured((low + high) / 2, low, high, 50), {})


def test_a_difference_is_claimed_only_where_intervals_lie_apart_on_the_same_data():
    assert "overlap: no difference is shown" in runs.beside([entry("a", 1.0, 3.0), entry("b", 2.0, 5.0)])
    assert "at least two do not overlap" in runs.beside([entry("a", 1.0, 3.0), entry("b", 4.0, 5.0)])
    assert "Their data differ" in runs.beside([entry("a", 1.0, 3.0), entry("b", 4.0, 5.0, "e")])


def test_delete_takes_what_a_run_leaves_and_nothing_else(tmp_path, capsys):
    record_run(tmp_path / "one", hours=0.1)
    record_run(tmp_path / "two", hours=0.1)
    (tmp_path / "two" / "my notes.txt").write_text("keep me")
    status, _, err = run(capsys, "runs", tmp_path, "--delete", "two", "--yes")
    assert status == 2 and "my notes.txt" in err and (tmp_path / "two" / "audit.bin").exists()
    status, _, err = run(capsys, "runs", tmp_path, "--delete", "one")
    assert status == 2 and "no terminal for the prompt" in err and (tmp_path / "one").exists()
    status, out, _ = run(capsys, "runs", tmp_path, "--delete", "one", "--yes")
    assert status == 0 and "Deleted one" in out and not (tmp_path / "one").exists() and (tmp_path / "two").exists()
    record_run(tmp_path / "running", hours=0.1)
    found = json.loads((tmp_path / "running" / "run.json").read_text())
    (tmp_path / "running" / "run.json").write_text(json.dumps({key: value for key, value in found.items() if key != "ended_ns"}))
    status, _, err = run(capsys, "runs", tmp_path, "--delete", "running", "--yes")
    assert status == 2 and "may still run" in err and (tmp_path / "running").exists()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    assert {e.name: e.verdict for e in runs.index(tmp_path)}["torn"].startswith("no report.json")
    assert run(capsys, "runs", tmp_path / "nowhere")[0] == 2
