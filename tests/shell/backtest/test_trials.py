"""The trial log: what counts as one trial, and that nobody loses lines of it unseen."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import liqcore as lc
from generated import generated
from liqshell.backtest import trials
from liqshell.backtest.trial_log import HEAD, Market, TrialLog, Trials, digest_of
from liqshell.config.load import loads
from liqshell.config.study_sections import Setting
from liqshell.errors import DataError

DAY = 24 * 3600 * lc.SECOND


def market(data="x", source="s", symbols=("ETHUSDT",), start=0, end=10, pieces=(), first=0, days=1):
    return Market(data, source, symbols, start, end, frozenset(pieces), first, days)


def add(log, where, *each, what="sweep", daily=None):
    log.add(Trials(what, where, np.array(each, np.uint64), len(each)), daily)


# ---- what counts ----


def test_a_setting_counts_once_whoever_tries_it(tmp_path):
    log = TrialLog(tmp_path / "deep" / "trials.jsonl")
    assert log.tried(market()).n == 0
    add(log, market(), 1, 2, 3)
    add(log, market(), 1, 2, 3)  # again
    add(log, market(), 1, 2, 3, what="forward")  # a walk over the same grid
    add(log, market(), 3, 4)  # a grid that overlaps
    assert log.tried(market()).n == 4 and len(log.path.read_text().splitlines()) == 2


def test_data_are_known_by_content(tmp_path):
    log = TrialLog(tmp_path / "trials.jsonl")
    mine = market("x", "store", start=0, end=10, pieces=["da", "db"])
    add(log, market("y", "elsewhere", ("ETHUSDT", "SOLUSDT"), 5, 20, ["db", "dc"]), 1)  # another span, store and contract, one day in common
    add(log, market("z", "store", start=0, end=10, pieces=["de"]), 2)  # another market under the same name and time
    add(log, market("x", "new store", start=0, end=10), 3)  # the same fingerprint
    add(log, market("w", "store", start=5, end=20), 4)  # nothing to compare: by name, contract and time
    add(log, market("v", "store", start=10, end=20), 5)  # begins where ours ends
    add(log, market("u", "store", ("SOLUSDT",), 0, 10), 6)  # another contract
    assert log.tried(mine).n == 3


def test_pieces_of_real_data_are_those_of_the_trades():
    whole, other = generated(5, ("SOLUSDT",), seed=5), generated(5, ("SOLUSDT",), seed=6)
    hour = DAY // 24
    part = dataclasses.replace(whole.between(whole.start_ns + hour // 2, whole.start_ns + 4 * hour), source="elsewhere", fingerprint="p")
    assert trials.market_of(whole).same(trials.market_of(part)) and len(trials.market_of(whole).pieces & trials.market_of(part).pieces) == 3
    assert not trials.market_of(whole).same(trials.market_of(dataclasses.replace(other, source=whole.source)))


GRID = "[sweep.policy]\ntake_profit = [0.001, 0.002]\nstop_loss = [0.002, 0.004]\n[sweep.detector]\nmin_events = [2, 3]\n"


def test_a_setting_is_what_decides_and_not_how_it_is_written():
    history = generated(1, ("SOLUSDT", "DOGEUSDT"), seed=5)
    config = loads(GRID)
    each = trials.identities(config, history, list(config.sweep.settings()))
    assert len(set(each.tolist())) == 8
    written = loads("[policy]\ntake_profit = 0.002\nstop_loss = 0.004\n[detector]\nmin_events = 3\n")
    assert trials.identities(written, history, [Setting()]) == each[-1:]
    wider = loads(GRID.replace("[0.001, 0.002]", "[0.001, 0.002, 0.003]").replace("min_events = [2, 3]", "min_events = [3]"))
    assert len(set(each.tolist()) & set(trials.identities(wider, history, list(wider.sweep.settings())).tolist())) == 4
    by_symbol = loads("[policy.symbols.SOLUSDT]\ntake_profit = 0.002\n" + GRID)  # the grid wins over it
    assert (trials.identities(by_symbol, history, list(by_symbol.sweep.settings())) == each).all()
    dearer = loads("[paper]\ntaker_fee = 0.001\n" + GRID)
    assert not set(trials.identities(dearer, history, list(dearer.sweep.settings())).tolist()) & set(each.tolist())


def test_the_log_of_a_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("LIQCORE_TRIALS", str(tmp_path / "env.jsonl"))
    assert TrialLog.of(loads("")).path == tmp_path / "env.jsonl"
    assert TrialLog.of(loads(f'[run]\ntrials = "{tmp_path}/own.jsonl"')).path == tmp_path / "own.jsonl"
    monkeypatch.delenv("LIQCORE_TRIALS")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert TrialLog.of(loads("")).path == tmp_path / "state" / "liqcore" / "trials.jsonl"


# ---- daily results ----


def test_daily_results_come_back_for_the_days_of_the_market(tmp_path):
    log, rng = TrialLog(tmp_path / "trials.jsonl"), np.random.default_rng(1)
    long, short = market("x", pieces=["da", "db"], first=100, days=30), market("y", pieces=["db"], first=105, days=10)
    daily = rng.normal(size=(30, 3))
    add(log, long, 7, 8, 9, daily=daily)
    add(log, short, 9, 10, daily=rng.normal(size=(10, 2)))
    add(log, short, 11)  # not kept
    found = log.tried(short)
    assert found.n == 5 and sorted(found.each.tolist()) == [7, 8, 9, 10] and found.daily.shape == (10, 4)
    assert found.daily[:, found.each.tolist().index(8)] == pytest.approx(daily[5:15, 1], abs=1e-6)
    assert log.tried(long).daily.shape == (30, 3)  # the short ones do not cover it
    for file in log.kept.iterdir():
        file.write_bytes(b"not an array")
    assert log.tried(short).daily.shape[1] == 0 and log.tried(short).n == 5


# ---- nothing is lost unseen ----


def filled(tmp_path):
    log = TrialLog(tmp_path / "state" / "trials.jsonl", [tmp_path / "runs", tmp_path / "store"])
    for n in range(5):
        add(log, market(), n)
    assert log.problems() == [] and (tmp_path / "runs" / HEAD).exists() and (tmp_path / "store" / HEAD).exists()
    return log


def test_a_whole_log_has_no_problem_and_is_chained(tmp_path):
    log = filled(tmp_path)
    lines = log.path.read_text().splitlines()
    import hashlib

    for a, b in zip(lines, lines[1:], strict=False):
        assert json.loads(b)["before"] == hashlib.sha256(a.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [], "is empty or gone"),
        (lambda lines: lines[:-1], "lacks lines"),
        (lambda lines: lines[:2] + lines[3:], "was changed before line 3"),
        (lambda lines: [lines[0].replace('"sweep"', '"other"'), *lines[1:]], "was changed before line 2"),
        (lambda lines: lines[1:], "was changed before line 1"),
    ],
)
def test_what_is_missing_is_told(tmp_path, change, says):
    log = filled(tmp_path)
    log.path.write_text("".join(f"{line}\n" for line in change(log.path.read_text().splitlines())))
    assert any(says in told for told in log.problems()) and log.tried(market()).problems
    add(log, market(), 99)
    assert log.problems(), "one more line hides nothing"


def test_a_deleted_log_is_told_of_by_store_or_runs(tmp_path):
    log = filled(tmp_path)
    log.path.unlink()
    (tmp_path / "runs" / HEAD).unlink()
    assert "is empty or gone: it had 5 when a run ended at" in log.problems()[0]
    moved = TrialLog(tmp_path / "other.jsonl", [tmp_path / "store"])
    assert "another log" in moved.problems()[0]
    (tmp_path / "store" / HEAD).unlink()
    assert moved.problems() == []


def test_a_torn_line_is_no_lie_and_a_wrong_one_is_an_error(tmp_path):
    log = filled(tmp_path)
    with log.path.open("a") as stream:
        stream.write('{"what": "swe')  # killed in the middle of a line
    assert log.tried(market()).n == 5
    add(log, market(), 50)
    assert log.tried(market()).n == 6 and log.problems() == []
    with log.path.open("a") as stream:
        stream.write('{"what": 3}\n' + log.path.read_text().splitlines()[0] + "\n")
    with pytest.raises(DataError, match=r"trials.jsonl:8"):
        log.tried(market())


def test_logs_of_before_are_read(tmp_path):
    old = {
        "at": "2026-01-01T00:00:00Z",
        "what": "sweep",
        "data": "x",
        "source": "s",
        "symbols": ["ETHUSDT"],
        "start_ns": 0,
        "end_ns": 10,
        "settings": 100,
        "key": digest_of("a"),
        "grid": {"policy.trail": [1]},
        "sharpe_n": 2,
        "sharpe_sum": 0.4,
        "sharpe_squares": 0.1,
    }
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "trials.jsonl").write_text(json.dumps(old) + "\n" + json.dumps(old | {"what": "forward"}) + "\n")
    log = TrialLog(tmp_path / "new.jsonl", older=[tmp_path / "store" / "trials.jsonl"])
    add(log, market(), 1)
    assert log.tried(market()).n == 101, "the same grid in two walks counts once"
    same = TrialLog(tmp_path / "store" / "trials.jsonl")
    add(same, market(), 1)  # a log of before that is written on
    assert same.tried(market()).n == 101 and same.problems() == []


@pytest.mark.slow
def test_many_processes_write_one_chain(tmp_path):
    code = (
        "import sys, numpy as np\nfrom liqshell.backtest.trial_log import *\nlog = TrialLog(sys.argv[1])\n"
        "for n in range(20): log.add(Trials('sweep', Market('x', 's', (), 0, 1), np.array([int(sys.argv[2]) * 100 + n], np.uint64), 1))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "t.jsonl"), str(k)], env=os.environ) for k in range(4)]
    assert [run.wait(120) for run in runs] == [0] * 4
    log = TrialLog(tmp_path / "t.jsonl")
    assert log.tried(market(symbols=())).n == 80 and log.problems() == []


def test_a_log_that_cannot_be_written_loses_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    history = generated(1, ("SOLUSDT",), seed=5)
    found = trials.log_trials(
        loads(f'[run]\ntrials = "{tmp_path}/file/trials.jsonl"\nout = "{tmp_path}"'), history, "backtest", np.ones(1, np.uint64), {}
    )
    assert found.n == 1 and "cannot be written" in found.problems[0]
