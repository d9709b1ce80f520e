"""The hourly binary settles on the spot candle's close against its open, a tie is up; what beats the ask, not a bounce, is worth a bet."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore import SECOND
from liqshell.policies.hourly import HOUR, HourlyUp, Shift, distance, fee_per_share, hour_of, measured_shift, probability_up, settled_up

NOON = 1_772_452_800 * SECOND


def test_c21_up_is_close_at_or_above_open_and_a_tie_is_up():
    assert settled_up(64_000.0, 64_000.01)
    assert settled_up(64_000.0, 64_000.0), "a tie is up"
    assert not settled_up(64_000.0, 63_999.99)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="open and the close of a spot candle"):
            settled_up(64_000.0, bad)
        with pytest.raises(ValueError, match="open and the close of a spot candle"):
            settled_up(bad, 64_000.0)


def test_c21_a_bounce_is_not_a_close_above_the_open():
    """1 % below the open with ten minutes left: price may bounce by half of that and UP still pays nothing."""
    assert not settled_up(64_000.0, 63_360.0 * 1.005)
    chance = probability_up(63_360.0, 64_000.0, volatility=0.006, left_s=600.0)
    assert chance < 0.0001
    offer = HourlyUp().judge(NOON + 3000 * SECOND, True, 63_360.0, 64_000.0, 0.006, ask=0.05)
    assert not offer.buy and offer.value == pytest.approx(chance - 0.05 - 0.07 * 0.05 * 0.95) and "not worth the ask" in offer.why
    assert offer.share == 0.0


def test_c21_the_hour_is_that_of_utc():
    assert hour_of(NOON) == hour_of(NOON + HOUR - 1) == NOON and hour_of(NOON + HOUR) == NOON + HOUR


def test_c21_expected_value_is_probability_minus_ask_minus_fee():
    """The fee is the venue's formula, so the hurdle of an ask of one half is 0.5175."""
    judge = HourlyUp(value_min=0.02)
    at_par = {"price": 64_000.0, "open_price": 64_000.0, "volatility": 0.005}
    offer = judge.judge(NOON + 1800 * SECOND, True, **at_par, ask=0.46)
    assert (offer.probability, offer.buy, offer.calibrated) == (0.5, True, False)
    assert offer.value == pytest.approx(0.5 - 0.46 - 0.07 * 0.46 * 0.54)
    assert [round(100 * fee_per_share(p, 0.07), 2) for p in (0.5, 0.3, 0.1, 0.05)] == [1.75, 1.47, 0.63, 0.33]
    free = {"fee_rate": 0.0}
    assert not HourlyUp(**free, value_min=0.25).judge(NOON, True, **at_par, ask=0.25).buy, "exactly the least value is not more"
    assert HourlyUp(**free, value_min=0.249).judge(NOON, True, **at_par, ask=0.25).buy


def test_down_is_the_other_side_of_the_same_hour():
    at = {"price": 63_800.0, "open_price": 64_000.0, "volatility": 0.005, "ask": 0.4}
    up, down = (HourlyUp().judge(NOON + 1800 * SECOND, True, **at, up=side) for side in (True, False))
    assert up.probability + down.probability == pytest.approx(1.0) and up.buy is False and down.buy is True


@given(st.floats(0.02, 0.98), st.floats(0.0, 0.2), st.floats(0.0, 0.99), st.sampled_from([0.01, 0.001]), st.floats(1e-6, 0.02))
def test_the_highest_price_is_worth_the_stake_and_the_next_is_not(chance, least, rate, tick, stake):
    judge = HourlyUp(rate, least)
    price = judge.highest(chance, tick, stake)

    def kelly(p):
        cost = p + fee_per_share(p, rate)
        return min(0.02, 0.25 * (chance - cost) / (1.0 - cost)) if chance - cost > least else 0.0

    assert price == 0.0 or kelly(price) >= stake
    assert price + tick > 1.0 - tick / 2 or kelly(price + tick) < stake + 1e-12


@given(st.floats(50_000, 80_000), st.floats(0.02, 0.98), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_the_stake_is_a_share_of_kelly_and_never_above_the_cap(price, ask, kelly, cap):
    offer = HourlyUp(kelly=kelly, cap=cap).judge(NOON + 600 * SECOND, True, price, 64_000.0, 0.01, ask)
    assert 0.0 <= offer.share <= cap
    if offer.buy:
        cost = ask + fee_per_share(ask, 0.07)
        full = (offer.probability - cost) / (1.0 - cost)
        assert offer.share == pytest.approx(min(cap, kelly * full), abs=1e-12)
        # growth of log wealth is greatest at the full stake: the share that is staked is the cautious side of it
        assert offer.share <= full + 1e-12


def test_c21_one_trade_an_hour_and_none_without_the_rule():
    """An hour is used by an order that is out, not by a decision: one that was never sent leaves it free."""
    judge = HourlyUp(fee_rate=0.0)
    at = {"price": 64_100.0, "open_price": 64_000.0, "volatility": 0.005, "ask": 0.4}
    assert judge.judge(NOON + 60 * SECOND, False, **at).why == "the rule did not fire"
    assert judge.judge(NOON + 120 * SECOND, True, **at).buy
    assert judge.judge(NOON + 180 * SECOND, True, **at).buy, "nothing was sent yet"
    judge.made(NOON + 180 * SECOND)
    assert judge.judge(NOON + 3599 * SECOND, True, **at).why == "this hour has had its trade"
    assert judge.judge(NOON + 3600 * SECOND, True, **at).buy


@given(st.floats(50_000, 80_000), st.floats(50_000, 80_000), st.floats(1e-4, 0.05), st.floats(0.0, 3600.0))
def test_probability_is_a_probability_that_rises_with_price_and_knows_the_end(price, start, volatility, left):
    found = probability_up(price, start, volatility, left)
    assert 0.0 <= found <= 1.0
    assert probability_up(price * 1.01, start, volatility, left) >= found
    assert probability_up(price, start, volatility, 0.0) == float(settled_up(start, price)), "with nothing left the candle is what it is"
    assert (found >= 0.5) == (price >= start), "driftless: the likelier side is the one that price stands on"


def test_probability_is_that_of_a_simulated_driftless_walk():
    rng = np.random.default_rng(5)
    ends = 64_000.0 * 0.998 * np.exp(rng.normal(0.0, 0.006 * math.sqrt(0.5), 200_000))
    assert probability_up(64_000.0 * 0.998, 64_000.0, 0.006, 1800.0) == pytest.approx(np.mean(ends >= 64_000.0), abs=4 * 0.5 / math.sqrt(200_000))


def test_a_shift_counts_only_when_enough_hours_are_behind_it():
    few, many = Shift(1.0, hours=99), Shift(1.0, hours=100)
    assert probability_up(64_000.0, 64_000.0, 0.006, 1800.0, few) == 0.5 and not few.calibrated
    assert probability_up(64_000.0, 64_000.0, 0.006, 1800.0, many) == pytest.approx(0.8413, abs=1e-4)


@pytest.mark.parametrize("sides", [(1,), (-1,), (1, -1)])
def test_measured_shift_makes_the_mean_probability_the_share_of_hits(sides):
    """A bounce after a flush of longs and one after a flush of shorts are one effect: they do not cancel out."""
    rng = np.random.default_rng(6)
    fires = []
    for n in range(2000):
        side = sides[n % len(sides)]
        price, left = 64_000.0 * math.exp(rng.normal(-0.002 * side, 0.002)), rng.uniform(300, 3000)
        end = price * math.exp(0.006 * math.sqrt(left / 3600) * (rng.normal() + 0.4 * side))  # a bounce of 0.4 standard deviations
        fires.append(
            {"price": price, "open": 64_000.0, "side": side, "won": settled_up(64_000.0, end) == (side > 0), "volatility": 0.006, "left_s": left}
        )
    shift = measured_shift(fires)
    assert shift.calibrated and shift.hours == 2000 and shift.deviations == pytest.approx(0.4, abs=0.1)
    bet = HourlyUp(shift=shift)
    mean = np.mean(
        [
            bet.judge(NOON + round((3600 - f["left_s"]) * SECOND), True, f["price"], f["open"], f["volatility"], 0.5, f["side"] > 0).probability
            for f in fires
        ]
    )
    assert mean == pytest.approx(np.mean([f["won"] for f in fires]), abs=1e-6)
    assert measured_shift([]) == Shift() and not measured_shift(fires[:99]).calibrated


def test_what_is_not_known_is_no_certainty():
    """A volatility that is not known yet (nan) once made P(UP) 1 above the open, and every ask cheap; an ask that is not known is not paid."""
    at = {"price": 64_100.0, "open_price": 64_000.0}
    for volatility, ask in ((math.nan, 0.9), (0.005, math.nan)):
        judge = HourlyUp()
        offer = judge.judge(NOON + 60 * SECOND, True, **at, volatility=volatility, ask=ask)
        assert not offer.buy and offer.why == "volatility or ask not known" and math.isnan(offer.value)
        assert judge.judge(NOON + 120 * SECOND, True, **at, volatility=0.005, ask=0.4).buy, "the hour is not used up"
    known = {"price": 64_000.0, "open": 64_000.0, "side": 1, "won": True, "volatility": 0.006, "left_s": 600.0}
    assert measured_shift([known, known | {"volatility": math.nan}]).hours == 1
    for bad in (0.0, -1.0, math.nan, math.inf):
        for wrong in ({"price": bad}, {"open_price": bad}):
            with pytest.raises(ValueError, match="expected the price and the open of a spot candle"):
                HourlyUp().judge(NOON, True, **(at | wrong), volatility=0.005, ask=0.5)


def test_distance_with_nothing_left_or_no_volatility():
    assert distance(2.0, 1.0, 0.0, 100.0) == math.inf and distance(1.0, 2.0, 0.01, 0.0) == -math.inf and distance(1.0, 1.0, 0.01, 0.0) == math.inf
