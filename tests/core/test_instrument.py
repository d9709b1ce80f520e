"""Ticks and lots are exact: text, doubles and integers convert without a doubt about the last digit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore import Completeness, Instrument

pytestmark = pytest.mark.core

STEPS = st.sampled_from(["1", "0.5", "0.1", "0.05", "0.01", "0.25", "0.001", "0.00001", "0.0000001", "10", "100", "0.0025"])
COUNTS = st.integers(1, 2**35 - 1)


@given(STEPS, COUNTS)
def test_a_tick_count_is_its_exact_decimal_and_comes_back(step, count):
    i = Instrument("X", tick_size=step, lot_size=step)
    exact = Decimal(step) * count
    assert Decimal(i.price_text(count)) == exact == Decimal(i.qty_text(count))
    assert i.price(count) == float(exact), "the double nearest to the decimal"
    assert i.ticks(float(exact)) == count
    assert i.lots(float(exact)) == count
    assert len(i.price_text(count).partition(".")[2]) == len(step.partition(".")[2])


@given(STEPS, st.floats(1e-6, 1e8))
def test_prices_go_to_the_nearest_tick_and_quantities_never_up(step, value):
    i = Instrument("X", tick_size=step, lot_size=step)
    size = Fraction(step)
    if Fraction(value) / size >= 2**35:
        with pytest.raises(ValueError, match="not a price"):
            i.ticks(value)
        return
    assert abs(i.ticks(value) * size - Fraction(value)) <= size / 2 * (1 + Fraction(1, 10**9))
    lots = i.lots(value)
    assert lots * size <= Fraction(value) * (1 + Fraction(2, 10**12)) and (lots + 1) * size > Fraction(value) * (1 - Fraction(1, 10**12))


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_what_is_no_price_is_said(price):
    with pytest.raises(ValueError, match="X: not a price"):
        Instrument("X").ticks(price)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"symbol": ""}, "symbol"),
        ({"tick_size": "0"}, "tick_size"),
        ({"tick_size": "-1"}, "tick_size"),
        ({"tick_size": "1e-8"}, "tick_size"),
        ({"lot_size": "nan"}, "lot_size"),
        ({"lot_size": "abc"}, "lot_size"),
        ({"tick_size": "0.1234567"}, "significant digits"),
        ({"multiplier": 0.0}, "multiplier"),
        ({"multiplier": float("inf")}, "multiplier"),
        ({"min_notional": -1.0}, "min_notional"),
        ({"min_qty": 5, "max_qty": 1}, "max_qty"),
    ],
)
def test_settings_out_of_range_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        Instrument(**({"symbol": "X"} | options))


def test_an_instrument_recreates_itself_and_compares_by_content():
    i = Instrument(
        "ETHUSDT",
        venue="bybit",
        tick_size="0.01",
        lot_size="0.01",
        multiplier=0.1,
        min_qty="0.02",
        max_qty="500",
        min_notional=5.0,
        completeness=Completeness.COMPLETENESS_FULL,
    )
    again = Instrument(**i.as_dict())
    assert again == i and hash(again) == hash(i)
    assert (again.min_lots, again.max_lots, again.multiplier, again.min_notional) == (2, 50_000, 0.1, 5.0)
    assert again != Instrument(**(i.as_dict() | {"tick_size": "0.05"}))
    assert Instrument(**Instrument("X").as_dict()) == Instrument("X")
