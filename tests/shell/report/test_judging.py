"""The judge that is judged: the size of its test on null markets, its power on planted effects, and what the numbers say of small known cases."""

import json
import math

import numpy as np
import pytest

from liqshell.report.judging import CHANCE, against, summarise

DAY_NS = 86_400_000_000_000


def rows(net_bps, action, days, confidence=None, **more):
    n = len(net_bps)
    return {
        "contaminated": False,
        "seed": 1,
        "asked_ns": [int(d) * DAY_NS + k for k, d in enumerate(days)],
        "contract": ["bybit:BTCUSDT"] * n,
        "direction": ["LONG"] * n,
        "status": ["ok" if a else "timeout" for a in action],
        "action": list(action),
        "confidence": list(confidence or [3 if a == "enter" else 0 for a in action]),
        "enterable": [True] * n,
        "waited_s": [0.3] * n,
        "cost": [0.01] * n,
        "drift_bps": [1.0] * n,
        "net": [None if x is None else x / 10.0 for x in net_bps],
        "net_bps": list(net_bps),
        "closed_ns": [1] * n,
        "rules": [a == "enter" for a in action],
        "shuffled": [False] * n,
    } | more


def market(draw, per_day, days, shared):
    """Net results in bps: a shock that the trades of a day share, fat tails, a mean of -3."""
    of = np.repeat(np.arange(days), per_day)
    return -3.0 + shared * draw.standard_normal(days)[of] + 20.0 * draw.standard_t(4, len(of)), of


@pytest.mark.parametrize(
    ("per_day", "days", "shared", "by_day"),
    [(4, 12, 0.0, False), (6, 30, 15.0, False), (3, 40, 15.0, True), (8, 10, 10.0, True), (2, 60, 30.0, True)],
)
def test_size_on_markets_in_which_the_judge_knows_nothing(per_day, days, shared, by_day):
    """Verdicts by coin, or all of a day alike (a quiet day of news), on results that a day shares: "adds" in at most 5 of 100 runs, two-sided 10."""
    draw, adds, outside, n = np.random.default_rng(5), 0, 0, 800
    for _ in range(n):
        bps, of = market(draw, per_day, days, shared)
        entered = draw.random(days)[of] < 0.5 if by_day else draw.random(len(of)) < 0.5
        found = against(bps, entered, of)
        if found["low_bps"] is not None:
            adds += found["low_bps"] > 0.0
            outside += found["low_bps"] > 0.0 or found["high_bps"] < 0.0
    assert adds / n <= 0.05 and outside / n <= 0.085, (adds / n, outside / n)
    assert outside / n > 0.005, "a test that never says anything has no size to speak of"


@pytest.mark.parametrize("sign", [1, -1])
def test_power_on_a_planted_effect(sign):
    """A judge that is right about 20 bps in 180 questions of 45 days is seen nine times of ten; one that is wrong by as much never."""
    draw, seen, n = np.random.default_rng(6), 0, 200
    for _ in range(n):
        bps, of = market(draw, 4, 45, 5.0)
        entered = draw.random(len(of)) < 0.5
        found = summarise(rows((bps + sign * 20.0 * entered).tolist(), ["enter" if e else "don't enter" for e in entered], of))
        seen += bool(found["adds"])
    assert seen / n >= 0.9 if sign > 0 else seen == 0


def test_a_losing_strategy_is_no_merit_of_a_coin():
    """Every trade loses: whatever was refused was saved, and the judge still adds nothing."""
    draw = np.random.default_rng(1)
    bps, of = market(draw, 6, 40, 5.0)
    entered = draw.random(len(of)) < 0.5
    found = summarise(rows((bps - 30.0).tolist(), ["enter" if e else "don't enter" for e in entered], of))
    assert found["saved"] > 0.0 and found["adds"] is False and found["verdict"].startswith("The judge adds nothing")
    assert json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("n", [0, 1, 5, 29])
def test_few_questions_say_nothing(n):
    found = summarise(rows([float(k) for k in range(n)], ["enter" if k % 2 else "hold" for k in range(n)], range(n)))
    if n == 0:
        assert found is not None and found["questions"] == 0
    assert found["adds"] is None and "cannot show whether the judge adds" in found["verdict"] and json.dumps(found, allow_nan=False)


def test_a_judge_that_always_says_the_same_cannot_be_compared():
    for word in ("enter", "don't enter", None):
        found = summarise(rows([1.0, -1.0] * 40, [word] * 80, list(range(80))))
        assert found["adds"] is None and found["difference"]["mean_bps"] is None and json.dumps(found, allow_nan=False)


def test_numbers_of_a_small_case_by_hand():
    action = ["enter", "enter", "don't enter", "hold", None, "hold"]
    found = summarise(
        rows(
            [10.0, -20.0, -40.0, 30.0, 5.0, None],
            action,
            [1, 1, 2, 2, 3, 3],
            [3, 1, 0, 0, 0, 0],
            enterable=[True] * 5 + [False],
            drift_bps=[1.0, 3.0, None, None, None, None],
            rules=[True, False, False, True, True, True],
            cost=[0.1] * 6,
        )
    )
    groups = {row["what"]: row for row in found["groups"]}
    assert [groups[name]["questions"] for name in ("confirmed", "vetoed", "unjudged")] == [2, 2, 1] and found["only_held"] == 1
    assert groups["confirmed"]["mean_bps"] == -5.0 and groups["vetoed"]["mean_bps"] == -5.0 and groups["vetoed"]["net"] == pytest.approx(-1.0)
    assert found["saved"] == pytest.approx(1.0) and found["cost_per_entry"] == pytest.approx(0.3) and found["drift_bps"]["mean"] == 2.0
    assert found["brier"]["score"] == pytest.approx(((CHANCE[3] - 1) ** 2 + CHANCE[1] ** 2) / 2) and found["brier"]["base"] == 0.25
    controls = {row["who"]: row for row in found["controls"]}
    assert controls["always yes"]["entered"] == 5 and controls["always no"]["net"] == 0.0 and controls["rules"]["entered"] == 3
    assert controls["rules"]["agrees"] == pytest.approx(2 / 5) and controls["the judge"]["agrees"] == 1.0
    assert controls["random, as many"]["mean_bps"] == pytest.approx((10 - 20 - 40 + 30 + 5) / 5)


def test_contaminated_is_said_first():
    found = summarise(rows([1.0, -1.0] * 40, ["enter", "hold"] * 40, list(range(80)), contaminated=True))
    assert found["verdict"].startswith("CONTAMINATED") and found["contaminated"]


def test_the_difference_is_that_of_the_plain_t_test_where_each_day_has_one():
    """With one question a day the error is White's, close to Welch's for many."""
    draw = np.random.default_rng(2)
    bps, entered = draw.standard_normal(400) * 10.0, draw.random(400) < 0.4
    found = against(bps, entered, np.arange(400))
    welch = math.sqrt(bps[entered].var(ddof=1) / entered.sum() + bps[~entered].var(ddof=1) / (~entered).sum())
    assert found["mean_bps"] / found["t"] == pytest.approx(welch, rel=0.02)
