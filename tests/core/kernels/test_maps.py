"""The two liquidation maps: equal to their oracles, conserving what goes in, bounded, and not to be mistaken for each other."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import density as realised
from oracle import pending as estimated

from captures import needs_data, streams
from liqcore.kernels.estimated_map import TIERS, EstimatedPending, PendingConfig, liquidation_price
from liqcore.kernels.realised_map import DensityConfig, RealisedDensity

SECOND = 10**9
START = 1_700_000_000 * SECOND


def close(a, b, error=1e-9, least=1e-6):
    return abs(a - b) <= error * max(abs(a), abs(b)) + least


steps = st.lists(
    st.tuples(
        st.sampled_from(["trade", "trade", "trade", "price", "interest", "interest", "advance"]),
        st.sampled_from([0, 1, SECOND, 60 * SECOND, 3600 * SECOND, 5 * 86_400 * SECOND]),
        st.floats(-0.02, 0.02),
        st.floats(0.5, 2.0),
        st.sampled_from([1, -1]),
    ),
    min_size=1,
    max_size=80,
)
pending_options = st.fixed_dictionaries(
    {},
    optional={
        "tiers": st.sampled_from([TIERS, ((20.0, 1.0),), ((100.0, 3.0), (2.0, 1.0))]),
        "maintenance": st.sampled_from([0.0, 0.005]),
        "split": st.sampled_from(["flow", "even"]),
        "bin_bps": st.sampled_from([1.0, 10.0, 100.0]),
        "cells": st.sampled_from([128, 2048]),
        "half_life_s": st.sampled_from([0.0, 3600.0, 259_200.0]),
        "credit_half_life_s": st.sampled_from([1.0, 60.0]),
    },
)


@settings(max_examples=150, deadline=None)
@given(steps, pending_options, st.integers(0, 80))
def test_the_estimated_map_equals_its_oracle(walk, options, cut):
    config = PendingConfig(**options)
    truth, made, ts, price, interest = estimated.EstimatedPending(**config.as_dict()), EstimatedPending(config), START, 100.0, 1e6
    told = None
    for n, (what, gap, move, factor, side) in enumerate(walk):
        if n == cut:
            image = made.snapshot()
            made = EstimatedPending(config)
            made.restore(image)
            assert made.snapshot() == image
        ts += gap
        price *= math.exp(move)
        interest *= factor
        arguments = {"trade": (ts, price, factor, side), "price": (ts, price), "interest": (ts, interest), "advance": (ts,)}[what]
        getattr(truth, what)(*arguments)
        getattr(made, what)(*arguments)
        for s in (1, -1):
            ours, theirs = made.totals(s), truth.totals(s)
            assert all(close(ours[k], theirs[k], least=1e-6 * 1e6) for k in theirs), (n, ours, theirs)
            # what came in is what was consumed, decayed, was forgotten, or is still there
            assert close(ours["added"], ours["consumed"] + ours["decayed"] + ours["forgotten"] + ours["present"]), ours
        for low, high in ((price * 0.97, price), (price, price * 1.03), (1e-3, 1e6), (price, price * 0.9)):
            for s in (1, -1, 0):
                assert close(made.between(low, high, s), truth.between(low, high, s), least=1.0)
        told = price if what in ("trade", "price") else told
        assert told is None or all(level < told for level, _ in made.levels(1)) and all(level > told for level, _ in made.levels(-1))
    assert sum(x for _, x in made.levels(1)) == pytest.approx(made.between(1e-9, 1e15, 1))


density_options = st.fixed_dictionaries(
    {},
    optional={
        "step": st.sampled_from([0.0, 0.25, 100.0]),
        "bin_bps": st.sampled_from([10.0, 100.0]),
        "cells": st.sampled_from([128, 2048]),
        "half_life_s": st.sampled_from([0.0, 3600.0, 604_800.0]),
        "quantile": st.sampled_from([0.5, 0.9]),
        "floor": st.sampled_from([0.0, 5000.0]),
        "refresh_s": st.sampled_from([0.0, 60.0]),
        "occupied_min": st.sampled_from([1, 5]),
    },
)
pushes = st.lists(
    st.tuples(
        st.sampled_from([0, SECOND, 30 * SECOND, 600 * SECOND, 86_400 * SECOND]),
        st.sampled_from([1, -1]),
        st.floats(-0.05, 0.05),
        st.floats(1.0, 1e6),
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(pushes, density_options, st.integers(0, 80))
def test_the_realised_map_equals_its_oracle(rows, options, cut):
    config = DensityConfig(**options)
    truth, made, ts, price = realised.RealisedDensity(**config.as_dict()), RealisedDensity(config), START, 100.0
    for n, (gap, side, move, notional) in enumerate(rows):
        if n == cut:
            image = made.snapshot()
            made = RealisedDensity(config)
            made.restore(image)
        ts += gap
        price *= math.exp(move)
        truth.push(ts, side, price, notional)
        made.push(ts, side, price, notional)
        for s in (1, -1):
            ours = made.totals(s)
            assert close(ours["added"], truth.added[s]) and close(ours["dropped"], truth.dropped[s], least=1e-3)
            assert close(ours["present"], math.fsum(truth.amounts(s).values()))
            assert close(ours["added"], ours["faded"] + ours["dropped"] + ours["present"])
        for low, high in ((price * 0.97, price * 1.03), (price * 0.8, price), (1e-3, 1e6)):
            for s in (1, -1, 0):
                assert close(made.between(low, high, s), truth.between(low, high, s))
        if truth.ambiguous:
            return
        assert close(made.threshold, truth.threshold) or math.isnan(made.threshold) and math.isnan(truth.threshold)
        for at in (price, price * 1.01, price * 0.95):
            for got, want in ((made.zone(at), truth.zone(at)), (made.below(at), truth.beside(at, False)), (made.above(at), truth.beside(at, True))):
                assert (got is None) == (want is None), (n, at, got, want)
                assert got is None or all(close(got[k], want[k]) for k in want), (got, want)
                assert got is None or got["low"] < got["high"]


def test_liquidation_prices():
    """Isolated margin, by hand: 100x long from 100 with 0.5 % maintenance has 1 of margin and is liquidated where 100 - L + 1 = ... = 0.5 % of L."""
    for side, leverage, rate in ((1, 100, 0.005), (-1, 100, 0.005), (1, 5, 0.01), (-1, 5, 0.01)):
        at = liquidation_price(100.0, side, leverage, rate)
        margin = 100.0 / leverage + side * (at - 100.0)  # per unit: what is left of it
        assert margin == pytest.approx(rate * at)
    # second tier of a margin schedule: maintenance 1 %, deduction 50 for 10 units (5 a unit), entry 1000, 20x
    at = liquidation_price(1000.0, 1, 20, 0.01, 5.0)
    assert 50.0 + (at - 1000.0) == pytest.approx(0.01 * at - 5.0)
    for bad in ((100.0, 0, 10.0), (100.0, 1, 1.0), (100.0, 1, 200.0), (0.0, 1, 10.0), (math.nan, 1, 10.0)):
        with pytest.raises(ValueError, match="expected"):
            liquidation_price(*bad)


@pytest.mark.parametrize("side", [1, -1])
def test_a_level_is_consumed_once_and_explains_the_fall_of_open_interest(side):
    made = EstimatedPending(PendingConfig(tiers=((50.0, 0.5), (10.0, 0.5)), half_life_s=0.0))
    made.price(START, 100.0)
    made.interest(START, 1000.0)
    made.trade(START + 1, 100.0, 5.0, side)  # takers of this side only
    made.interest(START + 2, 1100.0)
    assert made.totals(side)["present"] == pytest.approx(100.0) and made.totals(-side)["added"] == 0.0
    near, far = (liquidation_price(100.0, side, leverage) for leverage in (50.0, 10.0))
    assert made.between(min(near, 100.0) * 0.998, max(near, 100.0) * 1.002, side) == pytest.approx(50.0 * near, rel=1e-3)
    made.price(START + 3, near * (1 - 0.002 * side))
    assert made.totals(side) == pytest.approx({"added": 100.0, "consumed": 50.0, "decayed": 0.0, "forgotten": 0.0, "present": 50.0})
    made.price(START + 4, 100.0)
    made.price(START + 5, near * (1 - 0.002 * side))  # crossing again finds nothing
    assert made.totals(side)["consumed"] == pytest.approx(50.0)
    made.interest(START + 6, 1050.0)  # the fall that the liquidations explain takes nothing from the others
    assert made.totals(side)["present"] == pytest.approx(50.0, abs=1e-3)
    made.interest(START + 7, 525.0)  # the next one does: half of the positions were closed
    assert made.totals(side)["present"] == pytest.approx(25.0, rel=1e-3)
    assert made.between(far * 0.99, far * 1.01, side) == pytest.approx(25.0 * far, rel=2e-3)


def test_the_price_of_a_bad_print_does_not_wipe_the_map_silently():
    """What leaves the map is accounted for as forgotten, never lost."""
    made = EstimatedPending(PendingConfig(cells=128, half_life_s=0.0))
    made.price(START, 100.0)
    made.interest(START, 1000.0)
    made.interest(START + 1, 2000.0)
    made.price(START + 2, 101.0)
    made.trade(START + 3, 5000.0, 1.0, 1)
    made.interest(START + 4, 3000.0)
    for side in (1, -1):
        t = made.totals(side)
        assert t["added"] == pytest.approx(t["consumed"] + t["decayed"] + t["forgotten"] + t["present"], rel=1e-12)
    assert made.totals(1)["forgotten"] > 0


def test_memory_is_bounded_and_a_long_run_conserves():
    rng = np.random.default_rng(9)
    made, ts, price, interest = EstimatedPending(), START, 50_000.0, 1e5
    size = len(made.snapshot())
    for _ in range(100_000):
        ts += int(rng.integers(0, SECOND))
        price *= math.exp(rng.normal(0, 3e-4))
        made.trade(ts, price, float(rng.exponential(0.1)), 1 if rng.random() < 0.5 else -1)
        if rng.random() < 0.1:
            interest *= math.exp(rng.normal(0, 2e-3))
            made.interest(ts, interest)
    for side in (1, -1):
        t = made.totals(side)
        assert t["added"] == pytest.approx(t["consumed"] + t["decayed"] + t["forgotten"] + t["present"], rel=1e-9)
        assert min(t.values()) > 0
    assert len(made.snapshot()) < size + 2 * 2048 * 16 + 100 and sys.getsizeof(made) < 1000


@needs_data
def test_realised_density_of_a_capture():
    """Every dollar of it is on the map, and the zones hold far more than their share of the cells."""
    stream = next(s for s in streams() if s.symbol == "BTC-USDT-SWAP")
    made = RealisedDensity(DensityConfig(step=100.0, half_life_s=0.0))
    for row in zip(stream.ts.tolist(), stream.side.tolist(), stream.price.tolist(), stream.notional.tolist(), strict=True):
        made.push(*row)
    made.refresh()
    assert made.between(1.0, 1e7) == pytest.approx(stream.notional.sum())
    assert made.between(1.0, 1e7, 1) == pytest.approx(stream.notional[stream.side > 0].sum())
    zones, at = [], 1.0
    while zone := made.above(at):
        zones.append(zone)
        at = zone["high"] - 1.0
    share = sum(z["long_notional"] + z["short_notional"] for z in zones) / stream.notional.sum()
    assert len(zones) > 1 and share > 0.3 and all(z["high"] % 100 == 0 for z in zones)


def test_the_two_maps_are_two_things():
    """A guess about the open positions, and a memory of closed ones. Neither takes what the other is made of."""
    assert EstimatedPending.label == "ESTIMATED" and RealisedDensity.label == "REALISED"
    assert not hasattr(EstimatedPending(), "push") and not hasattr(RealisedDensity(), "interest")
    with pytest.raises(ValueError, match="snapshot"):
        RealisedDensity().restore(EstimatedPending().snapshot())
    with pytest.raises(ValueError, match="snapshot"):
        EstimatedPending().restore(RealisedDensity().snapshot())


def test_bad_input_changes_nothing():
    made, density = EstimatedPending(), RealisedDensity()
    made.price(START, 100.0)
    made.interest(START, 100.0)
    made.interest(START, 200.0)
    density.push(START, 1, 100.0, 1000.0)
    images = made.snapshot(), density.snapshot()
    for call, arguments in (
        (made.trade, (START, 0.0, 1.0, 1)),
        (made.trade, (START, 1.0, math.nan, 1)),
        (made.trade, (START, 1.0, 1.0, 0)),
        (made.price, (START - 1, 1.0)),
        (made.interest, (START, -1.0)),
        (made.advance, (0,)),
        (density.push, (START, 2, 1.0, 1.0)),
        (density.push, (START, 1, math.inf, 1.0)),
        (density.push, (START, 1, 1.0, 0.0)),
        (density.push, (START - 1, 1, 1.0, 1.0)),
        (density.advance, (-1,)),
    ):
        with pytest.raises(ValueError, match="expected"):
            call(*arguments)
    for map_, image, other in (
        (made, images[0], EstimatedPending(PendingConfig(cells=128))),
        (density, images[1], RealisedDensity(DensityConfig(cells=128))),
    ):
        for bad in (b"", image[:-1], image + b"\0", other.snapshot(), bytes(len(image))):
            with pytest.raises(ValueError, match="snapshot"):
                map_.restore(bad)
    assert (made.snapshot(), density.snapshot()) == images
    assert made.between(200.0, 100.0) == 0.0 == density.between(math.nan, 1.0)
    for options in (
        {"tiers": ()},
        {"tiers": ((10.0, -1.0),)},
        {"tiers": ((1.0, 1.0),)},
        {"maintenance": 0.5},
        {"maintenance": (0.1,)},
        {"split": "odd"},
        {"cells": 100},
        {"bin_bps": 0.0},
    ):
        with pytest.raises(ValueError, match="expected"):
            PendingConfig(**options)
    for options in ({"quantile": 1.0}, {"cells": 129}, {"step": -1.0}, {"occupied_min": 0}):
        with pytest.raises(ValueError, match="expected"):
            DensityConfig(**options)
    assert PendingConfig(**PendingConfig(split="even").as_dict()) == PendingConfig(split="even")
    assert DensityConfig(**DensityConfig(step=100.0).as_dict()) == DensityConfig(step=100.0)


@pytest.mark.parametrize("step", [100.0, 0.0])
def test_prices_that_no_market_has_are_answered(step):
    """Beyond every cell number: the lowest and the highest zone are still the nearest, and nothing runs for ever."""
    made = RealisedDensity(DensityConfig(step=step, occupied_min=1, half_life_s=0.0, quantile=0.1))
    for n in range(30):
        made.push(START + n, 1, 50_000.0 * 1.01**n, 1e6)
    made.refresh()
    for far in (1e9, 1e30, 1e300, math.inf):
        assert made.below(far) == made.below(1e6) is not None and made.above(far) is None and made.zone(far) is None
    assert made.above(1e-300) == made.above(1.0) is not None and made.below(1e-300) is None
    assert made.between(1e-300, 1e300) == made.between(1.0, 1e9) == 3e7


def test_cells_too_small_for_their_prices_are_kept_apart_from_the_rest():
    """1e-9 wide, at prices up to the largest there is: counted, and a snapshot continues."""
    made, back = (RealisedDensity(DensityConfig(step=1e-9, occupied_min=1)) for _ in range(2))
    for n, price in enumerate((1e7, 2.0**40, 1e-3, 2.0**40)):
        made.push(START + n, 1, price, 1e6)
        totals = made.totals(1)
        assert totals["added"] == pytest.approx(totals["faded"] + totals["dropped"] + totals["present"])
        back.restore(made.snapshot())
        assert back.snapshot() == made.snapshot() and back.cells(1) == made.cells(1)


def test_the_threshold_is_what_a_cell_must_hold():
    made = RealisedDensity(DensityConfig(occupied_min=1, half_life_s=0.0, floor=5000.0))
    for n in range(30):
        made.push(START + n, 1, 100.0 * 1.01**n, 1000.0 * (1 + n % 2 * 5))
    made.refresh()
    assert made.threshold == 6000.0 and made.zone(101.0) and not made.zone(100.0)
    made = RealisedDensity(DensityConfig(occupied_min=1, half_life_s=0.0, floor=50_000.0))
    for n in range(30):
        made.push(START + n, 1, 100.0 * 1.01**n, 6000.0)
    made.refresh()
    assert made.threshold == 50_000.0 and not made.zone(101.0)
