"""Do the controls tell an edge from none? Two generated markets, alike but for one thing: the impact of a forced order stays, or it decays."""

import dataclasses

import numpy as np
import pytest

from generated import generated
from liqshell.backtest import run_backtest
from liqshell.config.load import loads
from liqshell.report import make_report
from liqshell.report.statistics import mean_test
from recorded_run import study_of

FADE = """
[detector]
warmup = 30
refresh_s = 0
[policy]
entry_offset = 0.002
take_profit = 0.003
stop_loss = 0.02
entry_ttl_s = 60
max_hold_s = 60
cooldown_s = 10
[limits]
daily_loss_max = 0.9
weekly_loss_max = 0.9
[backtest]
delays_s = [1, 30]
random_draws = 19
"""


# far wilder than the real one, so that an edge of many times the fees is there to be found or not: impact of a forced order ten times as large
WILD = {
    "impact_scale": 10.0,
    "half_life_s": 10.0,
    "market_bps": 1.8,
    "bursts_per_hour": 12.0,
    "own_bursts_per_hour": 8.0,
    "burst_bps": 7.0,
    "own_burst": 13.0,
    "burst_index": 3.0,
    "regime_sigma": 0.25,
    "pulse_sigma": 0.0,
    "lifetime_s": 3_600.0,
    "margin_spread": 1.0,
}


def study(tmp_path_factory, name, **market):
    """The same fade on 60 hours of a market: its own trades, the means of its controls, and what the report says."""
    history = generated(60, ("SOLUSDT",), seed=4, tickers=False, **WILD, **market)
    config = loads(FADE)
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, out=str(tmp_path_factory.mktemp(name))))
    folder = run_backtest(config, history=history)
    summary = make_report(folder).summary
    controls = {c["kind"]: [d["mean_bps"] for d in c["draws"] if d["mean_bps"] is not None] for c in study_of(folder)["controls"]}
    delays = [d["outcome"]["mean_bps"] for d in study_of(folder)["delays"]]
    return [trade["net_bps"] for trade in summary["trades"]], controls, delays, summary


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    return study(tmp_path_factory, "lasting", permanent_share=1.0)


@pytest.fixture(scope="module")
def decaying(tmp_path_factory):
    return study(tmp_path_factory, "decaying", permanent_share=0.0)


@pytest.mark.slow  # 8 s of processor time
def test_where_nothing_reverts_there_is_no_edge_beyond_the_controls(lasting):
    trades, controls, _, summary = lasting
    assert len(trades) >= 30 and np.mean(trades) < 0
    for kind in ("random_side", "random_time"):
        assert np.mean([value >= np.mean(trades) for value in controls[kind]]) > 0.05, kind
    assert summary["controls"]["edge"] is not True


@pytest.mark.slow  # 8 s of processor time
def test_where_impact_decays_the_fade_beats_every_control(decaying):
    trades, controls, delays, summary = decaying
    test = mean_test(trades)
    assert len(trades) >= 30 and test["low"] > 0
    for kind, values in controls.items():
        assert max(values) < test["mean"], kind
    assert np.mean(controls["inverted_side"]) < 0 < test["mean"]
    assert delays[1] < test["mean"]  # half a minute later the impact is gone, and so is the edge
    assert summary["controls"]["edge"] is True


@pytest.mark.slow
def test_the_same_events_are_worth_more_where_they_revert(lasting, decaying):
    assert np.mean(decaying[0]) - np.mean(lasting[0]) > 10.0
