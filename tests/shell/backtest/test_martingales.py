"""No edge is claimed where there is none, whatever there is of quotes; a planted one is found. The whole of it: python -m tests.martingales."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from martingales import market as markets
from martingales.campaign import PLANTED_BPS, Case, Cell, campaign, configured, fills_of, judge, market
from martingales.verdicts import problems, table, unlikely
from test_report_study import outcome

import campaigns
from liqshell.backtest import run_backtest, variants
from liqshell.backtest.half_spread import settings_of
from liqshell.report import make_report
from liqshell.report.overfit import probabilistic_sharpe
from liqshell.report.robust import controls
from liqshell.report.statistics import spaced_mean
from liqshell.report.study import trades_of


@pytest.fixture(scope="module")
def path():
    return markets.path(0)


def test_the_market_knows_nothing(path):
    """The mid moves on without regard to who trades and who is closed; trades are at bid or ask; forced ones on the side of those who are closed."""
    assert (np.diff(path.ts) > markets.KNOWN_NS * 2).all() and len(path.ts) > 200_000
    assert np.diff(path.ts).max() <= 5_100_000_000  # whole quotes have no silences
    forced = path.forced != 0
    assert (path.aggressor[forced] == -path.forced[forced]).all() and 6 * markets.CASCADES <= forced.sum() < 12 * markets.CASCADES
    seconds = path.ts / 1e9
    later = path.mid[np.minimum(np.searchsorted(seconds, seconds[forced] + 60.0), len(path.mid) - 1)]
    gain = (later - path.mid[forced]) * path.forced[forced] / markets.TICKS_PER_BPS
    starts = np.flatnonzero(np.diff(path.ts[forced], prepend=0) > 60e9)
    by_cascade = np.add.reduceat(gain, starts) / np.diff(np.append(starts, len(gain)))
    assert abs(by_cascade.mean()) < 3.5 * by_cascade.std() / np.sqrt(len(by_cascade))
    per_second = np.diff(path.mid) / np.sqrt(np.diff(seconds)) / markets.TICKS_PER_BPS
    assert per_second.std() == pytest.approx(markets.VOLATILITY, rel=0.02) and abs(np.corrcoef(per_second, path.aggressor[:-1])[0, 1]) < 0.01
    same = path.aggressor[1:] == path.aggressor[:-1]
    assert same.mean() == pytest.approx(markets.SAME_SIDE, abs=0.01)


def test_a_planted_reversal_is_all_there_is_of_it(path):
    planted = markets.path(0, reversal_bps=3.0)
    assert (planted.ts == path.ts).all() and (planted.aggressor == path.aggressor).all()
    moved = (planted.mid - path.mid) / markets.TICKS_PER_BPS
    ends = np.flatnonzero(np.diff(path.ts[path.forced != 0], append=2**62) > 60e9)
    sides = path.forced[path.forced != 0][ends]
    assert moved[-1] == pytest.approx(3.0 * sides.sum()) and len(sides) == markets.CASCADES


@pytest.mark.parametrize(("quotes", "count"), [("whole", 1.0), ("none", 0.0), ("cut", 0.5), ("thin", 0.01)])
def test_quotes_are_the_true_bid_and_ask_as_far_as_they_are_kept(path, quotes, count):
    tape = markets.history(path, 8, quotes).tape
    shown, trades, n = tape.quotes(0), tape.trades(0), len(path.ts)
    assert len(shown["ts"]) == pytest.approx(count * n, rel=0.02) and len(trades["ts"]) == n
    assert (trades["price"] == path.mid + 800 * path.aggressor).all()
    at = np.searchsorted(path.ts, shown["ts"])
    assert (shown["bid"] == path.mid[at] - 800).all() and (shown["ask"] == path.mid[at] + 800).all()


@pytest.mark.parametrize("policy", ["market fade", "market follow", "post-only fade"])
@pytest.mark.parametrize("half", [1, 8])
def test_without_quotes_a_trade_is_worth_what_it_is_with_them(policy, half):
    """One market: the same path, so most of the chance is the same. What bid-ask bounce would add is up to 22 bps."""
    mean = {quotes: np.mean(judge(Case(0, Cell("free", half, quotes)), policy).bps) for quotes in ("whole", "none")}
    assert abs(mean["none"] - mean["whole"]) < 1.0, mean


@pytest.mark.slow
@pytest.mark.parametrize(("case", "edge"), [(Case(1, Cell("free", 1, "whole"), PLANTED_BPS), True), (Case(1, Cell("free", 1, "none")), False)])
def test_the_judge_is_the_report(case, edge, tmp_path):
    """The shortcut of the campaign against the whole way: backtest, study, report."""
    policy = "market fade"
    found = judge(case, policy)
    config = configured(policy, case.cell.fees, case.cell.half_bps)
    config = dataclasses.replace(
        config, run=dataclasses.replace(config.run, out=str(tmp_path)), backtest=dataclasses.replace(config.backtest, delays_s=(0.05,))
    )
    history = market(case.seed, case.planted, case.cell.half_bps, case.cell.quotes)
    summary = make_report(run_backtest(config, history=history)).summary
    assert bool(summary["controls"]["edge"]) is found.edge is edge, summary["controls"]["verdict"]
    assert summary["per_trade"]["mean"] == pytest.approx(np.mean(found.bps)) and summary["per_trade"]["n"] == len(found.bps)
    days = summary["daily_sharpe"]
    assert probabilistic_sharpe(days["value"] / 365**0.5, days["days"], 0.0, 3.0) == pytest.approx(found.deflated, abs=1e-9)


@pytest.mark.parametrize("half_spread", [None, 0.0008], ids=["measured", "configured"])
def test_the_last_resort_is_unbiased_too(half_spread):
    """A quiet contract without quotes (a trade in three seconds): a quarter of the takers are filled at the moved last trade."""
    means, fills = {}, {}
    for quotes in ("whole", "none"):
        config, bps = configured("market fade", "free", 8), []
        for seed in range(3):
            history = markets.history(markets.path(seed, busy=markets.QUIET), 8, quotes)
            values = settings_of(config, history)
            values["paper"] |= {} if half_spread is None else {"half_spread": half_spread}
            audit = variants.trade(values, history)
            bps += trades_of(audit, history.multipliers)["return_bps"]
            fills[quotes] = fills_of(audit)
        means[quotes] = np.mean(bps)
    assert fills["none"]["moved"] > 0.1 * sum(fills["none"].values())
    assert abs(means["none"] - means["whole"]) < 1.0, means


def test_controls_that_trade_more_than_the_run_do_not_make_an_edge_of_its_luck():
    """Nobody knows anything: 90 trades of the run; on the other side entries fill twice as often, so each draw has half of the run's trades and 180
    of the other side's (as where a post-only entry lies farther from the market than the one that is turned)."""
    rng, claimed = np.random.default_rng(1), 0
    for _ in range(400):
        own, turned = rng.normal(0.0, 12.0, 90) + 2.0, rng.normal(0.0, 12.0, 270) + 2.0
        draws = [np.concatenate([own[rng.random(90) < 0.5], turned[rng.random(270) < 0.5]]).mean() for _ in range(19)]
        real = spaced_mean(own.tolist(), (np.arange(90) * 3_600_000_000_000).tolist(), 60_000_000_000)
        found = controls(
            {
                "controls": [
                    {"kind": kind, "seed": 1, "draws": [outcome(v) for v in values]}
                    for kind, values in (("random_side", draws), ("inverted_side", [turned.mean()]))
                ]
            },
            real | {"few": False},
        )
        claimed += found["edge"]
    assert claimed <= 0.05 * 400 + 3 * np.sqrt(400 * 0.05 * 0.95), f"{claimed} of 400"


def test_chance_is_allowed_for_in_small_runs_only():
    assert not unlikely(1, 2, 0.05, above=True) and unlikely(5, 5, 0.05, above=True) and not unlikely(3, 5, 0.9, above=False)


@pytest.mark.campaign
def test_campaign():
    verdicts = campaign(range(1000, 1000 + campaigns.most(12, 1000)), seconds_max=campaigns.seconds(60.0))
    print(table(verdicts))
    assert not problems(verdicts), "\n".join(problems(verdicts))
