"""The report's statistics against published examples, SciPy where it is installed, and brute force."""

import math
from itertools import combinations
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liqshell.report import overfit, statistics

number = st.floats(-1e4, 1e4, allow_nan=False).map(lambda v: round(v, 4))
plain = settings(max_examples=80, deadline=None)


# ---- intervals ----


def test_intervals_equal_those_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed: its quantiles are the reference here")
    for n in (0, 1, 2, 5, 17, 60, 199, 200):
        low, high = statistics.poisson(n)
        assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0, rel=1e-6, abs=1e-9)
        assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * n + 2) / 2, rel=1e-6)
    for n in (201, 1000, 50_000):
        assert statistics.poisson(n) == pytest.approx((stats.chi2.ppf(0.025, 2 * n) / 2, stats.chi2.ppf(0.975, 2 * n + 2) / 2), rel=2e-4)
    for df in (1, 2, 3, 4, 7, 20, 200, 5000):
        assert statistics.t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-3)
    values = np.random.default_rng(1).normal(0.2, 1.0, 40)
    test = statistics.mean_test(values)
    assert test["t"] == pytest.approx(stats.ttest_1samp(values, 0.0).statistic)
    assert (overfit.moments(values)) == pytest.approx((stats.skew(values), stats.kurtosis(values, fisher=False)))


def test_wilson_covers_what_it_says():
    rng = np.random.default_rng(3)
    for p, n in ((0.7, 20), (0.5, 9), (0.95, 60)):
        hits = sum(low <= p <= high for low, high in (statistics.wilson(int(k), n) for k in rng.binomial(n, p, 2000)))
        assert 0.92 < hits / 2000 <= 1.0


# ---- means whose values hang together ----


@plain
@given(st.lists(number, min_size=5, max_size=30))
def test_clusters_of_one_are_the_plain_t_test(values):
    assume(max(values) - min(values) > 1e-2)
    found, plain_test = statistics.clustered_mean(values, range(len(values))), statistics.mean_test(values)
    assert found["t"] == pytest.approx(plain_test["t"], rel=1e-9, abs=1e-9)
    assert found["low"] == pytest.approx(plain_test["low"], rel=1e-9, abs=1e-6)


@plain
@given(st.lists(st.tuples(number, st.integers(0, 8)), min_size=3, max_size=40))
def test_clustered_error_equals_brute_force(rows):
    values, days = [v for v, _ in rows], [d for _, d in rows]
    groups = sorted(set(days))
    found = statistics.clustered_mean(values, days)
    assert found["clusters"] == len(groups) and found["n"] == len(rows)
    if len(groups) < 5:
        assert found["t"] is None and found["low"] is None
        return
    centre = math.fsum(values) / len(values)
    total = math.fsum(math.fsum(v - centre for v, d in rows if d == g) ** 2 for g in groups)
    assert found["error"] == pytest.approx(math.sqrt(len(groups) / (len(groups) - 1) * total) / len(values), rel=1e-9, abs=1e-9)


def test_trades_that_repeat_within_a_day_do_not_count_as_more_evidence():
    rng = np.random.default_rng(5)
    days = rng.normal(0.5, 1.0, 25)
    once = statistics.clustered_mean(days, range(25))
    often = statistics.clustered_mean(np.repeat(days, 16), np.repeat(np.arange(25), 16))
    assert often["t"] == pytest.approx(once["t"]) and often["n"] == 400
    assert statistics.mean_test(np.repeat(days, 16).tolist())["t"] > 3.5 * once["t"], "the plain t statistic is fooled"


def test_trades_of_few_days_are_clustered_by_stretches_longer_than_they_were_held():
    """Forty trades of one burst are one observation; with five days the days decide; what is held for long needs long stretches."""
    rng, hour, day = np.random.default_rng(6), statistics.HOUR_NS, statistics.DAY_NS
    burst = statistics.spaced_mean(rng.normal(5.0, 1.0, 40), [k * 1_000_000_000 for k in range(40)], 60 * 10**9)
    assert (burst["n"], burst["clusters"], burst["cluster_ns"]) == (40, 1, hour) and burst["low"] is burst["high"] is burst["t"] is None
    path = rng.normal(0.0, 1.0, 8)
    at = [k // 5 * 2 * hour + k % 5 * 10**9 for k in range(40)]
    shared = statistics.spaced_mean(np.repeat(path, 5), at, 60 * 10**9)
    assert shared["clusters"] == 8 and shared["t"] == pytest.approx(statistics.mean_test(path.tolist())["t"])
    assert (shared["high"] - shared["low"]) > 2.0 * (lambda t: t["high"] - t["low"])(statistics.mean_test(np.repeat(path, 5).tolist()))
    long = statistics.spaced_mean(np.repeat(path, 5), at, 3 * hour)
    assert (long["cluster_ns"], long["clusters"], long["low"]) == (6 * hour, 3, None), "two hours apart is no distance for what is held for three"
    days = statistics.spaced_mean(np.repeat(path, 5), [k // 5 * day + k % 5 * hour for k in range(40)], 60 * 10**9)
    assert (days["cluster_ns"], days["clusters"]) == (day, 8) and days["t"] == pytest.approx(shared["t"])
    assert statistics.spaced_mean([], [], 0)["mean"] is None


def test_wrong_lengths_are_an_error():
    with pytest.raises(ValueError, match="2 values, 1 clusters"):
        statistics.clustered_mean([1.0, 2.0], [1])


# ---- resampling ----


def test_stationary_bootstrap_is_repeatable_and_keeps_blocks():
    values = np.arange(40.0)
    one, again, other = (statistics.stationary_bootstrap(values, 300, seed=s) for s in (4, 4, 5))
    assert np.array_equal(one, again) and not np.array_equal(one, other) and one.shape == (300, 40)
    assert set(np.unique(one)) <= set(values)
    joined = np.mean(np.diff(one, axis=1) % 40 == 1)
    assert joined == pytest.approx(1 - 40 ** (-1 / 3), abs=0.05), "a block goes on with probability 1 - 1/length"
    whole = statistics.stationary_bootstrap(values, 50, block=1e12, seed=1)
    assert all(np.array_equal(np.sort(row), values) for row in whole), "one endless block is the series, turned"
    assert statistics.stationary_bootstrap(values[:9]) is None


def test_bootstrap_of_dependent_days_is_wider():
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 1, 400)
    dependent = np.convolve(noise, np.ones(8) / 8, "valid")
    blocks = statistics.stationary_bootstrap(dependent, 800, block=20, seed=2).mean(axis=1).std()
    single = statistics.stationary_bootstrap(dependent, 800, block=1, seed=2).mean(axis=1).std()
    assert single == pytest.approx(dependent.std() / math.sqrt(len(dependent)), rel=0.1) and blocks > 1.8 * single


def test_day_bootstrap_covers_the_truth_and_says_when_it_cannot():
    rng = np.random.default_rng(8)
    hits = 0
    for seed in range(60):
        level = rng.normal(1.0, 1.0, 30)
        values, days = (level[:, None] + rng.normal(0, 0.3, (30, 5))).ravel(), np.repeat(np.arange(30), 5)
        found = statistics.day_bootstrap(values, days, draws=300, seed=seed)
        hits += found["low"] <= 1.0 <= found["high"]
    assert hits >= 50, f"{hits} of 60 intervals held the truth"
    few = statistics.day_bootstrap([1.0] * 9, range(9))
    assert few["low"] is None and "9 days" in few["why"] and "10 are needed" in few["why"]
    alike = statistics.day_bootstrap([2.0] * 40, [k % 12 for k in range(40)])
    assert alike["low"] == alike["high"] == pytest.approx(2.0) and alike == statistics.day_bootstrap([2.0] * 40, [k % 12 for k in range(40)])


# ---- what a strategy needs and what it cost ----


def test_break_even_of_the_published_fade():
    planned = statistics.break_even_planned(0.0015, 0.0025, 0.0002, 0.0002, 0.00055)
    assert planned == pytest.approx(0.747, abs=5e-4), "74.7 % against 73 % claimed"
    assert statistics.break_even_planned(0.0015, 0.0025, 0.0, 0.0, 0.0) == pytest.approx(0.625)
    assert statistics.break_even_planned(0.0003, 0.0025, 0.0002, 0.0002, 0.00055) == 1.0
    assert statistics.break_even(0.0, 1.0) is None and statistics.break_even(3.0, 0.0) == 0.0


@plain
@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_break_even_leaves_nothing(win, loss):
    p = statistics.break_even(win, loss)
    assert p * win - (1 - p) * loss == pytest.approx(0.0, abs=1e-9 * (win + loss))


@plain
@given(st.lists(number, max_size=60), st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_expected_shortfall_equals_the_mean_of_the_worst(values, level):
    found = statistics.expected_shortfall(values, level)
    fine = sorted(v for v in values for _ in range(100))  # a hundredth of a value is a value here
    worst = fine[: round(len(values) * level * 100)]
    if len(values) * level < 1 - 1e-9:
        assert found is None
    else:
        assert found == pytest.approx(mean(worst), rel=1e-6, abs=1e-6)


@plain
@given(st.lists(st.integers(1, 500), min_size=1, max_size=40))
def test_drawdown_equals_brute_force(accounts):
    points = [(n * 10, float(v)) for n, v in enumerate(accounts)]
    found = statistics.drawdown(points)
    shares = [((a - b) / a, n, m) for n, a in enumerate(accounts) for m, b in enumerate(accounts) if m > n]
    worst = max([s[0] for s in shares], default=0.0)
    assert found["share"] == pytest.approx(max(0.0, worst))
    if worst > 0:
        top, bottom = found["peak_ns"] // 10, found["trough_ns"] // 10
        assert (accounts[top] - accounts[bottom]) / accounts[top] == pytest.approx(worst) and accounts[top] == max(accounts[: bottom + 1])
        back = next((n for n in range(bottom, len(accounts)) if accounts[n] >= accounts[top]), None)
        assert found["recovered_ns"] == (None if back is None else back * 10)
    else:
        assert found["peak_ns"] is None
    below = 0
    for n, value in enumerate(accounts):
        if value < max(accounts[: n + 1]):
            begin = max(m for m in range(n) if accounts[m] == max(accounts[: m + 1]))
            end = next((m for m in range(n, len(accounts)) if accounts[m] >= accounts[begin]), len(accounts) - 1)
            below = max(below, end - begin)
    assert found["longest_ns"] == below * 10


def test_drawdown_of_nothing():
    assert statistics.drawdown([])["share"] == 0.0 and statistics.drawdown([(5, 100.0)])["longest_ns"] == 0


@plain
@given(st.lists(st.floats(-10, 200, allow_nan=False), max_size=50))
def test_histogram_counts_everything_once(values):
    edges = [0.0, 1.0, 10.0, 60.0]
    bins = statistics.histogram(values, edges)
    assert sum(b["n"] for b in bins) == len(values) and len(bins) == 5
    for b in bins:
        assert b["n"] == sum((b["low"] is None or v >= b["low"]) and (b["high"] is None or v < b["high"]) for v in values)


# ---- Sharpe ratios ----


def test_daily_sharpe_and_its_intervals():
    returns = np.random.default_rng(2).normal(0.001, 0.01, 120)
    found = statistics.daily_sharpe(returns.tolist())
    value = mean(returns.tolist()) / stdev(returns.tolist())
    assert found["value"] == pytest.approx(value * math.sqrt(365)) and found["days"] == 120
    half = statistics.t_quantile(119) * math.sqrt((1 + value * value / 2) / 120) * math.sqrt(365)  # Lo 2002, eq. 9 per period
    assert found["high"] - found["value"] == pytest.approx(half) == pytest.approx(found["value"] - found["low"])
    assert found["bootstrap_low"] < found["value"] < found["bootstrap_high"]
    assert found["bootstrap_high"] - found["bootstrap_low"] == pytest.approx(2 * half, rel=0.3)
    assert statistics.daily_sharpe(returns.tolist()) == found, "seeded"
    assert statistics.daily_sharpe([0.01] * 5)["value"] is None and statistics.daily_sharpe([])["value"] is None
    assert statistics.daily_sharpe(returns[:9].tolist())["bootstrap_low"] is None


# Lopez de Prado, Lipton, Zoonekynd (2026), SSRN 5520741: mean 0.036, sd 0.079, skewness -2.448, kurtosis 10.164 over 24 months. The figures are
# published with three decimals (github.com/zoonek/2025-sharpe-ratio); what lies between is the formula of the paper, worked out by hand
SSRN = {"skew": -2.448, "kurtosis": 10.164}


def test_examples_of_ssrn_5520741():
    value = 0.036 / 0.079
    assert overfit.sharpe_error(value, 24, **SSRN) == pytest.approx(0.329, abs=5e-4)
    assert overfit.sharpe_error(value, 24, 0.0, 3.0) == pytest.approx(0.214, abs=5e-4)
    assert overfit.probabilistic_sharpe(value, 24, **SSRN) == pytest.approx(0.987, abs=5e-4)
    assert overfit.probabilistic_sharpe(value, 24, **SSRN, benchmark=0.1) == pytest.approx(0.939, abs=5e-4)
    assert overfit.track_record_needed(value, 0.0, **SSRN) == pytest.approx(13.029, abs=5e-4)


def test_examples_of_ssrn_5520741_to_six_digits():
    """By the closed forms: Phi(x) = erfc(-x / sqrt 2) / 2, and 1.6448536269514722 is the upper 5 % point of the normal distribution."""
    value, phi = 0.036 / 0.079, lambda x: math.erfc(-x / math.sqrt(2)) / 2
    at = math.sqrt((1 + 2.448 * 0.1 + 9.164 / 4 * 0.01) / 24)
    assert overfit.sharpe_error(value, 24, **SSRN) == pytest.approx(math.sqrt((1 + 2.448 * value + 2.291 * value * value) / 24), abs=1e-9)
    assert overfit.probabilistic_sharpe(value, 24, **SSRN) == pytest.approx(phi(value * math.sqrt(24)), abs=1e-9)
    assert overfit.probabilistic_sharpe(value, 24, **SSRN, benchmark=0.1) == pytest.approx(phi((value - 0.1) / at), abs=1e-9)
    assert overfit.track_record_needed(value, 0.0, **SSRN) == pytest.approx((1.6448536269514722 / value) ** 2, abs=1e-6)
    assert overfit.track_record_needed(0.1, 0.1, **SSRN) is None


def test_expected_maximum_of_the_paper():
    """Bailey, Lopez de Prado (2014), numerical example: 100 trials of annual variance 1/2."""
    assert overfit.expected_maximum(100, math.sqrt(0.5 / 250)) == pytest.approx(0.1132, abs=1e-4)


def test_expected_maximum_is_that_of_random_trials():
    rng = np.random.default_rng(4)
    for trials in (10, 100, 300):
        assert overfit.expected_maximum(trials, 2.0) == pytest.approx(rng.normal(0, 2.0, (4000, trials)).max(axis=1).mean(), rel=0.08)
    assert overfit.expected_maximum(1, 2.0) == 0.0


# ---- the probability of overfitting ----


def brute_force_pbo(matrix, splits):
    edges = [k * len(matrix) // splits for k in range(splits + 1)]
    blocks = [matrix[a:b] for a, b in zip(edges, edges[1:], strict=False)]

    def ratio(days):
        return mean(days) / stdev(days) if max(days) - min(days) > 1e-12 else 0.0

    verdicts, losses = [], []
    for way in combinations(range(splits), splits // 2):
        seen = [row for k in way for row in blocks[k]]
        unseen = [row for k in range(splits) if k not in way for row in blocks[k]]
        count = len(matrix[0])
        inside = [ratio([row[c] for row in seen]) for c in range(count)]
        outside = [ratio([row[c] for row in unseen]) for c in range(count)]
        best = inside.index(max(inside))
        rank = (sum(v < outside[best] for v in outside) + (sum(v == outside[best] for v in outside) + 1) / 2) / (count + 1)
        verdicts.append(1.0 if rank < 0.5 else 0.5 if rank == 0.5 else 0.0)
        losses.append(sum(row[best] for row in unseen) < 0)
    return mean(verdicts), mean(losses), len(verdicts)


def test_overfitting_equals_brute_force():
    for seed, days, count, splits in ((1, 24, 7, 6), (2, 33, 4, 8), (3, 40, 12, 4)):
        matrix = np.random.default_rng(seed).normal(0, 1, (days, count))
        found = overfit.overfitting(matrix, splits)
        pbo, loss, ways = brute_force_pbo(matrix.tolist(), splits)
        assert (found["pbo"], found["loss"], found["ways"]) == (pytest.approx(pbo), pytest.approx(loss), ways)
        assert found["days"] == days


def test_overfitting_tells_skill_from_luck():
    rng = np.random.default_rng(9)
    luck = np.mean([overfit.overfitting(rng.normal(0, 1, (64, 20)), 8)["pbo"] for _ in range(60)])
    assert luck == pytest.approx(0.5, abs=0.08)
    skill = rng.normal(0, 1, (64, 20))
    skill[:, 3] += 2.0
    found = overfit.overfitting(skill)
    assert found["pbo"] < 0.01 and found["loss"] == 0.0 and found["ways"] == 12870
    assert overfit.overfitting(np.tile(skill, (1, 150)))["splits"] < found["splits"], "many settings: fewer splits, so that it ends"


def test_overfitting_of_little_and_of_rubbish():
    assert overfit.overfitting(np.zeros((7, 5)))["pbo"] is None and overfit.overfitting(np.ones((40, 1)))["pbo"] is None
    assert overfit.overfitting(np.zeros((40, 5)))["pbo"] is None, "with 0 trades nothing is said"
    some = np.random.default_rng(1).normal(0, 1, (40, 6)) * [1, 1, 1, 0, 0, 0]
    assert overfit.overfitting(some) == overfit.overfitting(some[:, :3]), "who never traded is no rival"
    with pytest.raises(ValueError, match="2 are needed"):
        overfit.overfitting(np.zeros(4))
    with pytest.raises(ValueError, match="not finite"):
        overfit.overfitting(np.full((8, 2), np.nan))
