"""Whether the best of many is luck: against plain definitions, against `arch`, on worthless settings and on planted ones."""

import math

import numpy as np
import pytest

import luck_table
from liqshell.report import luck
from liqshell.report.robust import selected


def draws(days, settings, seed, sd=1.0):
    return np.random.default_rng(seed).normal(0.0, sd, (days, settings))


def test_resamples_are_runs_of_the_mean_length():
    counts = luck.resamples(50, 2000, 4.0, np.random.default_rng(1))
    assert (counts.sum(axis=1) == 50).all() and counts.mean() == pytest.approx(1.0) and counts.min() == 0
    whole = luck.resamples(7, 100, 1e12, np.random.default_rng(1))  # one run that goes round the end: every day once
    assert (whole == 1).all()
    assert luck.resamples(400, 2000, 1.0, np.random.default_rng(1)).var() == pytest.approx(1.0, abs=0.02)  # independent days: Poisson-like


@pytest.mark.parametrize("seed", range(3))
def test_a_definition_that_loops(seed):
    """p of the reality check by resampled tables, one by one."""
    daily = draws(25, 6, seed) + np.array([0.4, 0, 0, -0.1, -0.9, 0])
    t, counts = luck.t_values(daily), luck.resamples(25, 300, 3.0, np.random.default_rng(9))
    above = 0
    for weights in counts.astype(int):
        most = 0.0
        for k in range(6):
            mine, mean = np.repeat(daily[:, k], weights), daily[:, k].mean()
            spread = max(mine.std(ddof=1), 0.2 * daily[:, k].std(ddof=1))
            value = 5.0 * (mine.mean() - mean) / spread
            most = max(most, value if t[k] >= -math.sqrt(2 * math.log(math.log(25))) else value + t[k])
        above += most >= t.max()
    assert luck.superior(daily, t, draws=300, hits=300, block=3.0, seed=9) == (1 + above) / 301


def test_arch_says_the_same_where_there_are_many_days():
    """Measured by the sample's own spread (Hansen) or by that of each resample (ours): with 400 days there is no difference beyond the draws."""
    bootstrap = pytest.importorskip("arch.bootstrap", reason="arch is not installed: the referee of the SPA test")
    for seed, edge in ((1, 0.0), (2, 0.08), (3, 0.12), (4, 0.16)):
        daily = draws(400, 12, seed)
        daily[:, 0] += edge
        referee = bootstrap.SPA(np.zeros(400), -daily, block_size=2, reps=4000, bootstrap="stationary", studentize=True, nested=False, seed=seed)
        referee.compute()
        assert luck.superior(daily, luck.t_values(daily), draws=4000, hits=4000) == pytest.approx(float(referee.pvalues["consistent"]), abs=0.03)


def test_days_that_hang_together_widen_the_error():
    rng = np.random.default_rng(1)
    found = [luck.errors_grow(luck_table.drawn("autocorrelated", 60, 100, rng)) for _ in range(20)]
    assert np.mean(found) == pytest.approx(1.3 / 0.7, abs=0.2)  # of an AR(1) with 0.3
    assert np.mean([luck.errors_grow(draws(60, 100, n)) for n in range(20)]) < 1.1
    assert luck.errors_grow(np.zeros((30, 4))) == 1.0 and luck.errors_grow(-draws(60, 100, 1) * np.resize([1, -1], 60)[:, None]) >= 1.0


def test_what_was_tried_counts_once():
    base = draws(60, 5, 1)
    same = np.repeat(base, 40, axis=1) + draws(60, 200, 2, 0.05)
    assert luck.independent(same, luck.t_values(same)) == 5
    assert luck.independent(draws(60, 30, 3), luck.t_values(draws(60, 30, 3))) > 25
    assert luck.independent(np.zeros((60, 3)), luck.t_values(np.zeros((60, 3)))) == 0


def test_the_gap_that_the_winner_never_met_is_in_the_shape_of_all():
    """A setting that met none of the gaps that others met looks like an edge to itself alone."""
    rng = np.random.default_rng(3)
    daily = luck_table.drawn("gaps", 30, 20, rng)
    spared = np.flatnonzero(daily.min(axis=0) > -0.03)
    alone = daily[:, spared[[np.argmax(luck.t_values(daily[:, spared]))]]]
    assert luck.by_shape(alone, luck.t_values(alone), 20) < 0.2 < luck.by_shape(daily, luck.t_values(daily), 20)


def test_days_needed_are_those_after_which_the_ratio_stands_out():
    daily = draws(60, 20, 5)
    found = luck.assess(daily + np.eye(20)[0] * 0.5)
    from liqshell.report.overfit import probabilistic_sharpe

    assert probabilistic_sharpe(
        found["sharpe_daily"], found["days_needed"], found["skew"], found["kurtosis"], found["hurdle_daily"]
    ) == pytest.approx(0.95)


def test_one_setting_among_others_is_judged_by_its_own_t():
    daily = draws(60, 30, 8)
    daily[:, 4] += 0.75
    t = luck.t_values(daily, luck.errors_grow(daily))
    best, other = luck.assess(daily), luck.assess(daily, of=7)
    assert best["best"] == 4 and best["edge"] and luck.assess(daily, of=4) == best
    assert other["t"] == t[7] and not other["edge"] and other["p_superior"] > best["p_superior"]
    assert other["worst"] == daily[:, 7].min() and other["worst_all"] == daily.min()
    grid = luck.assess_best(daily[:, 10:], daily[:, :10], 30)
    assert grid["best"] == int(np.argmax(luck.t_values(daily[:, 10:]))) and grid["settings"] == 20 and not grid["edge"]


def test_no_edge_where_the_results_of_most_settings_are_not_at_hand():
    daily = draws(60, 4, 8)
    daily[:, 1] += 1.0
    assert luck.assess(daily, 8)["edge"] is True and luck.assess(daily, 9)["edge"] is None


def test_too_little_says_nothing():
    assert luck.assess(draws(19, 5, 1))["edge"] is None
    for nothing in (np.zeros((40, 5)), np.zeros((40, 0))):
        assert luck.assess(nothing)["edge"] is None
    losing = luck.assess(draws(40, 5, 1) - 3.0)
    assert losing["edge"] is False and losing["p_superior"] == losing["p_shape"] == 1.0


def test_earlier_trials_raise_the_hurdle():
    daily = draws(60, 20, 5)
    daily[:, 7] += 0.62
    few, many = luck.assess(daily), luck.assess(daily, 100_000)
    assert few["best"] == many["best"] == 7 and few["edge"] and not many["edge"]
    assert many["p_shape"] > few["p_shape"] and many["deflated"] < few["deflated"] and many["tried"] == 100_000
    assert luck.assess(daily) == few  # the same draws each time


@pytest.mark.parametrize("kind", luck_table.KINDS)
def test_worthless_settings_are_seldom_called_an_edge(kind):
    """40 draws of the smallest cell; the whole table is `python -m tests.luck_table`. At 5 % more than 6 of 40 have one chance in a hundred."""
    assert luck_table.share(kind, 30, 20, 40, 1) <= 6 / 40


@pytest.mark.parametrize("kind", luck_table.KINDS[:2])
def test_a_planted_edge_is_found(kind):
    assert luck_table.share(kind, 60, 100, 10, 2, luck_table.EDGE) >= 0.8


# ---- controls, after the choice ----


def test_p_after_the_choice_is_a_tail_of_student_extended_by_sidak():
    """Student's t with 19 degrees of freedom has its upper 2.5 % point at 2.0930 and its upper 0.05 % point at 3.8834 (tables)."""
    draws = np.linspace(-1.0, 1.0, 20)
    error = draws.std(ddof=1) * math.sqrt(1 + 1 / 20)
    for point, tail in ((2.0930, 0.025), (3.8834, 0.0005)):
        for tried in (2.0, 100.0):
            found = selected(point * error, draws.tolist(), tried)
            assert found == pytest.approx(max(1 / 21, 1 - (1 - tail) ** tried), rel=0.02)
    assert selected(0.96, draws.tolist(), 1.0) == 2 / 21 and selected(9.0, draws.tolist(), 1.0) == 1 / 21  # Phipson, Smyth
    assert selected(9.0, [0.0] * 20, 5.0) == 1.0 and selected(9.0, [0.0, 1.0], 5.0) == 1.0
    assert selected(0.96, draws.tolist(), 10.0) >= 1 - (1 - 1 / 21) ** 10, "more draws did as well than their tail says"


@pytest.mark.parametrize("kind", luck_table.KINDS[:3])
def test_the_best_of_worthless_settings_seldom_beats_its_controls(kind):
    assert luck_table.control_share(kind, 150, 20, 60, 1) <= 8 / 60
