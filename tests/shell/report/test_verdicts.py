"""What may be said of a number: no verdict without an interval, none on too few, and never a tick beside a sentence that says no."""

import json

import numpy as np
import pytest

import study_folder
from liqshell.gate import items
from liqshell.report import load_run, make_report, verdicts
from liqshell.report.expected import compare
from liqshell.report.trades import Trades
from liqshell.report.verdicts import Measured


@pytest.mark.parametrize(
    ("low", "high", "n", "sign", "against"),
    [
        (1.0, 3.0, 30, "gain", "as claimed"),
        (1.0, 3.0, 29, "too few", "too few"),
        (None, None, 400, "too few", "too few"),
        (-3.0, -1.0, 30, "loss", "below"),
        (-1.0, 3.0, 30, "zero", "not contradicted"),
        (6.0, 9.0, 30, "gain", "above"),
    ],
)
def test_a_number_becomes_a_word_by_its_interval_and_its_n(low, high, n, sign, against):
    found = Measured(2.0, low, high, n)
    assert (found.sign, found.against(0.5, 5.0)) == (sign, against) and bool(found.missing) == (sign == "too few")
    assert Measured(None).against(0.0, 1.0) == "cannot tell" and Measured(None).sign == "too few"


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    """2,000 samples of 25 values: the truth lies inside in 95 %, within what chance leaves (3 sd are 1.5 points)."""
    drawn = np.random.default_rng(1).exponential(size=(2000, 25))
    inside = sum(m.low <= np.log(2) <= m.high for m in map(verdicts.of_median, drawn.tolist()))
    assert inside / 2000 > 0.935
    assert verdicts.of_median([1.0] * 5).low is None and verdicts.of_median([]).value is None


def row(delay_s, mean, half=0.5, n=400):
    return {"delay_s": delay_s, "mean_bps": mean, "low_bps": mean - half, "high_bps": mean + half, "trades": n}


@pytest.mark.parametrize(
    ("rows", "state", "words"),
    [
        ([row(0.05, 1.0, 3.0), row(60.0, 0.4, 3.0)], "open", "at no delay is the gain beyond chance"),  # ticked until now
        ([row(0.05, 4.0, n=12), row(60.0, 4.0, n=12)], "open", "every delay has too few trades"),
        ([row(0.05, 4.0), row(60.0, 4.0)], "good", "at 2 of 2 delays"),
        ([row(0.05, 4.0), row(60.0, -4.0)], "bad", "the slowest 50 ms"),
        ([row(5.0, 4.0), row(60.0, -4.0)], "open", "at 1 of 2 delays"),
        ([row(0.05, -4.0), row(60.0, -4.0)], "bad", "no delay covers its costs"),
    ],
)
def test_a_slower_reaction_is_ticked_by_what_its_sentence_says(rows, state, words):
    found, told = verdicts.delays(rows)
    assert found == state and words in told


def summary_of(n):
    """What Promised and observed reads, of n trades of 2 bps on one day."""
    trades = [{"hold_s": 90.0 + k} for k in range(n)]
    return {
        "trades": Trades({name: np.array([t[name] for t in trades]) for name in trades[0]}),
        "exits": [{"reason": "target", "n": n}],
        "win_rate": {"share": 1.0, "low": 0.9, "high": 1.0, "n": n},
        "per_trade": {"n": n, "mean": 2.5, "low": 2.2, "high": 2.8, "clusters": 6, "cluster_s": 3600.0},
        "covered_instrument_hours": 24.0,
        "money": {"net": 5.0, "notional": 2000.0 * n, "max_drawdown_on_account": 0.01, "equity_start": 1e4},
        "days": [],
        "instruments": [{}],
        "daily_sharpe": {"value": 3.0, "low": -40.0, "high": 46.0, "days": 2},
    }


@pytest.mark.parametrize("measure", ["hold_s", "net_per_day", "max_drawdown", "daily_sharpe", "win_rate", "net_bps", "exits.target"])
def test_a_promise_is_not_judged_on_eighteen_trades_or_without_an_interval(measure, tmp_path):
    """The written system's own numbers beside 18 trades of one day: "as claimed" until now for those that had no interval."""
    run = load_run(study_folder.make_backtest(tmp_path / "run", count=20, days=0.1, size=1, with_study=False))
    found = compare(run, {"expected": [{"id": "x", "measure": measure, "low": -1e9, "high": 1e9}]}, summary_of(18))[0]
    assert found["verdict"] == "too few" and found["why"], found


def test_json_terminal_and_page_say_the_same(tmp_path):
    report = make_report(study_folder.make_backtest(tmp_path / "run", days=6.0, count=20_000, size=1, folds=1, draws=3))
    found = json.loads(report.json.read_text())
    assert found["verdict"] == verdicts.verdict(found) and found["belief"] == verdicts.belief(found)
    page = report.html.read_text()
    for line in found["belief"]:
        assert line["answer"].split("'")[0].split("&")[0] in page
    assert found["delays"]["state"] == found["belief"][2]["state"] or "Not passed" in found["belief"][2]["answer"]


def test_a_gate_judges_by_the_same_intervals():
    assert [items.inside(*span, 0.5, 0.8) for span in ((0.55, 0.7), (0.1, 0.4), (0.4, 0.6), (None, None), (0.9, 0.95))] == [
        items.PASS,
        items.FAIL,
        items.THIN,
        items.THIN,
        items.FAIL,
    ]
