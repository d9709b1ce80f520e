"""The account against fractions, and the turn of days and weeks."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.account import AccountOracle, day_of, week_of

import liqcore as lc

pytestmark = pytest.mark.core

DAY = 86_400 * lc.SECOND

fills = st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 10**7), st.integers(1, 10**6), st.floats(-10.0, 10.0)), min_size=1, max_size=40)
instruments = st.sampled_from([("0.01", "0.001", 1.0), ("0.5", "1", 0.01), ("0.00001", "10", 1.0), ("0.05", "0.1", 10.0)])


@settings(max_examples=200, deadline=None)
@given(fills, instruments, st.integers(1, 10**7))
def test_fills_are_fraction_arithmetic(fills, spec, mark):
    tick, lot, multiplier = spec
    instrument = lc.Instrument("X", tick_size=tick, lot_size=lot, multiplier=multiplier)
    account = lc.Account([instrument], 10_000.0)
    oracle = AccountOracle(10_000, Fraction(tick) * Fraction(lot) * Fraction(multiplier))
    turnover = Fraction(10_000)
    for side, ticks, lots, fee in fills:
        account.on_fill(0, side, ticks, lots, fee)
        oracle.fill(side, ticks, lots, fee)
        turnover += ticks * lots * oracle.unit
        assert account.position(0)["qty"] == instrument.qty(oracle.lots)
    account.on_mark(0, instrument.price(mark))
    oracle.mark = Fraction(mark)
    turnover += mark * abs(oracle.lots) * oracle.unit
    bound = float(turnover) * 1e-12  # doubles: a few roundings a fill, relative to what was moved
    position = account.position(0)
    assert position["unrealized"] == pytest.approx(float(oracle.unrealized), abs=bound)
    assert position["realized"] == pytest.approx(float(oracle.realized), abs=bound)
    assert account.equity == pytest.approx(float(oracle.equity), abs=bound)
    assert position["notional"] == pytest.approx(float(abs(oracle.lots) * mark * oracle.unit), abs=bound)
    if oracle.lots == 0:
        assert position["entry_price"] == 0.0 and position["unrealized"] == 0.0


@pytest.mark.parametrize("side", [1, -1])
def test_unrealized_sign(side):
    instrument = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")
    account = lc.Account([instrument], 1000.0)
    account.on_fill(0, side, 250_000, 2000, 0.5)
    account.on_mark(0, 2510.0)
    assert account.position(0)["unrealized"] == pytest.approx(20.0 * side) and account.equity == pytest.approx(1000.0 + 20.0 * side - 0.5)
    account.on_fill(0, -side, 251_000, 5000, 0.0)  # through zero: 2 closed at +-20, 3 opened the other way
    position = account.position(0)
    assert position["qty"] == -3.0 * side and position["entry_price"] == pytest.approx(2510.0) and position["realized"] == pytest.approx(20.0 * side)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(5 * DAY, 30_000 * DAY), min_size=2, max_size=20).map(sorted))
def test_days_and_weeks_are_utc(times):
    """on_time answers 1 on a new UTC day and 2 on a new week (Monday 00:00 UTC), whatever was slept through."""
    account = lc.Account([lc.Instrument("X")], 1000.0)
    assert account.on_time(times[0]) == 2
    for before, now in zip(times, times[1:], strict=False):
        expected = 0 if day_of(before) == day_of(now) else 1 if week_of(before) == week_of(now) else 2
        assert account.on_time(now) == expected, (before, now)


def test_day_boundary_to_the_nanosecond():
    monday = 1_700_438_400 * lc.SECOND  # 2023-11-20 00:00 UTC
    account = lc.Account([lc.Instrument("X")], 1000.0)
    account.on_time(monday - 1)
    account.on_fill(0, 1, 100, 1, 7.0)
    assert account.on_time(monday - 1) == 0 and account.day_start_equity == 1000.0
    assert account.on_time(monday) == 2 and account.day_start_equity == account.week_start_equity == pytest.approx(993.0)
    assert account.on_time(monday + DAY - 1) == 0 and account.on_time(monday + DAY) == 1


def test_bad_input_is_refused():
    account = lc.Account([lc.Instrument("X")])
    for bad in ((0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (0, 1, 1, -5)):
        with pytest.raises(ValueError, match="fill: expected"):
            account.on_fill(*bad)
    with pytest.raises(IndexError, match="instrument 1"):
        account.on_fill(1, 1, 1, 1)
    with pytest.raises(ValueError, match="equity"):
        lc.Account([], 0.0)
    with pytest.raises(ValueError, match="account snapshot"):
        account.restore(b"x")


@given(fills)
def test_snapshot_continues(fills):
    instruments = [lc.Instrument("X")]
    one, two = lc.Account(instruments), lc.Account(instruments)
    for n, (side, ticks, lots, fee) in enumerate(fills):
        if n == len(fills) // 2:
            two.restore(one.snapshot())
        for account in (one,) if n < len(fills) // 2 else (one, two):
            account.on_fill(0, side, ticks, lots, fee)
    assert one.snapshot() == two.snapshot()
