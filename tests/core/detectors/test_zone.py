"""The zone detector: equal to its oracle; in words what it says when the price comes back to where much was liquidated, from either side."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.zone import ZoneOracle
from test_excited import row

from detector_rig import START, alone
from liqcore import LONG, SECOND, SHORT, Engine, Instrument, Standalone
from liqcore.detectors.registry import make_detector, parameters
from liqcore.event import EVENT_DTYPE, SIGNAL_DTYPE, Kind, Phase, SignalFlag

pytestmark = pytest.mark.core

LOUD = {"half_life_s": 0.0, "quantile": 0.6, "refresh_s": 0.0, "occupied_min": 2, "away_s": 10.0, "bin_bps": 50.0, "cells": 256}
options = st.fixed_dictionaries(
    {"occupied_min": st.sampled_from([1, 2, 4]), "bin_bps": st.sampled_from([20.0, 100.0]), "cells": st.just(256)},
    optional={
        "half_life_s": st.sampled_from([0.0, 3600.0]),
        "quantile": st.sampled_from([0.3, 0.8]),
        "refresh_s": st.sampled_from([0.0, 60.0]),
        "sides": st.sampled_from(["matching", "any"]),
        "away_s": st.sampled_from([0.0, 10.0]),
        "leave_bps": st.sampled_from([0.0, 50.0]),
        "cascade_share": st.sampled_from([0.1, 0.5]),
        "stay_s": st.sampled_from([60.0, 3600.0]),
        "zone_usd": st.sampled_from([0.0, 20_000.0]),
        "floor_usd": st.sampled_from([0.0, 5000.0]),
        "step": st.sampled_from([0.0, 0.5]),
    },
)
moves = st.lists(
    st.tuples(
        st.sampled_from(["trade", "trade", "trade", "liquidation"]),
        st.sampled_from([0, SECOND, 20 * SECOND, 400 * SECOND]),
        st.integers(-8, 8),
        st.sampled_from([1, -1]),
        st.floats(100.0, 1e5),
    ),
    min_size=1,
    max_size=120,
)


def event(kind, ts, side, price, notional):
    out = np.zeros(1, EVENT_DTYPE)
    out["kind"], out["ts_event"], out["ts_recv"], out["side"], out["price"] = kind, ts, ts, side, price
    out["qty"], out["aux_price"] = notional / price, notional if kind == Kind.LIQUIDATION else 0.0
    return out


def tell(lone, what, ts, side, price, notional=1000.0):
    return lone.run(event(Kind.TRADE if what == "trade" else Kind.LIQUIDATION, ts, side, price, notional))


@settings(max_examples=100, deadline=None)
@given(moves, options, st.integers(0, 120))
def test_the_detector_equals_its_oracle(walk, chosen, cut):
    oracle = ZoneOracle(**{p.name: p.default for p in parameters("zone")} | chosen)
    lone, ts, said = alone("zone", chosen), START, 0
    for n, (what, gap, level, side, notional) in enumerate(walk):
        if n == cut:
            other = alone("zone", chosen)
            other.restore(lone.snapshot())
            assert other.snapshot() == lone.snapshot()
            lone = other
        ts += gap
        price = 100.0 * math.exp(0.0037 * level)  # a small grid: prices come back
        got = tell(lone, what, ts, side, price, notional)
        want = oracle.trade(ts, price) if what == "trade" else oracle.liquidation(ts, side, price, notional)
        if oracle.map.ambiguous:
            return
        assert [row(s)[0] for s in got] == [row(s)[0] for s in want], (n, got, want)
        for g, w in zip(got, want, strict=True):
            assert np.allclose(row(g)[1], row(w)[1], rtol=1e-7, atol=1e-3), (g, w)
        said += len(got)
    ts += 10_000 * SECOND
    assert [row(s)[0] for s in lone.advance(ts)] == [row(s)[0] for s in oracle.advance(ts)]


@pytest.mark.parametrize("seed", range(6))
def test_a_feed_of_several_in_an_engine_and_in_streams_of_their_own(seed):
    """Long walks that come back again and again, at prices of a grid (on the edges of cells too), late events among them."""
    r, count = np.random.default_rng(seed), 6000
    events = np.zeros(count, EVENT_DTYPE)
    events["ts_recv"] = START + np.cumsum(r.choice([0, SECOND // 10, SECOND, 30 * SECOND], count))
    events["ts_event"] = events["ts_recv"] - r.choice([0, 3 * SECOND], count, p=[0.9, 0.1])
    events["kind"], events["side"] = r.choice([int(Kind.LIQUIDATION), int(Kind.TRADE)], count, p=[0.3, 0.7]), r.choice([1, -1], count)
    events["instrument"], events["qty"] = r.integers(0, 3, count), np.round(r.lognormal(0, 2, count), 3) + 0.001
    events["price"] = 100.0 + np.round(8.0 * np.sin(np.arange(count) / 300.0) + np.cumsum(r.normal(0, 0.05, count)).clip(-6, 6), 1)
    chosen = {**LOUD, "sides": "any", "step": [0.0, 0.5][seed % 2], "bin_bps": 30.0, "quantile": 0.8, "half_life_s": [0.0, 3600.0][seed // 2 % 2]}
    instruments = [Instrument("A"), Instrument("B", venue="okx", multiplier=0.01, completeness=2), Instrument("C")]
    engine = Engine(instruments, detectors=[make_detector("zone", **chosen)])
    signals = [s for n in range(count) for s in engine.run(events[n : n + 1])]
    alone = Standalone.run_all([Standalone(make_detector("zone", **chosen), i) for i in instruments], events)
    assert engine.refused == {} and len(signals) > 30
    fields = [name for name in SIGNAL_DTYPE.names if name not in ("instrument", "flags")]
    for n, said in enumerate(alone):  # which event was late is the engine's to say
        own = [s for s in signals if s.instrument == n]
        assert [[getattr(s, name) for name in fields] for s in own] == [[getattr(s, name) for name in fields] for s in said]
        assert [s.flags & ~SignalFlag.SIGNAL_STALE for s in own] == [s.flags for s in said]


def flushed(side):
    """100 -> 96 (or 104) with heavy liquidations there, small ones elsewhere, and back to 100: a zone of liquidated longs below, or of shorts above."""
    lone, ts = alone("zone", LOUD), START
    far = 100.0 - 4.0 * side
    for n, (price, notional) in enumerate(
        [(100.0, 200.0), (99.0 if side > 0 else 101.0, 300.0), (far, 50_000.0), (far, 60_000.0), (98.0 if side > 0 else 102.0, 100.0), (100.0, 100.0)]
    ):
        ts += SECOND
        assert not tell(lone, "trade", ts, -side, price)
        assert not tell(lone, "liquidation", ts, side if n != 5 else -side, price, notional)
    for _ in range(3):
        ts += 60 * SECOND
        assert not tell(lone, "trade", ts, side, 100.0 + 1.1 * side)
    return lone, ts, far


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_the_price_comes_back_and_bounces(side):
    """After a flush of longs at 96 the price comes down to it again: ACTIVE, side LONG (the bounce buys), and once it is 0.5 % above the zone
    EXHAUSTED with z = 1. After a flush of shorts at 104 all of it mirrored: side SHORT, the bounce sells."""
    lone, ts, far = flushed(side)
    said = tell(lone, "trade", ts + SECOND, -side, far)
    assert [(s.phase, s.side) for s in said] == [(Phase.ACTIVE, side)]
    assert (said[0].long_notional if side > 0 else said[0].short_notional) == pytest.approx(110_000.0)
    assert said[0].price == far and said[0].z >= 1.0
    assert not tell(lone, "trade", ts + 2 * SECOND, side, far * (1 + 0.002 * side))
    said = tell(lone, "trade", ts + 3 * SECOND, side, far * (1 + 0.012 * side))
    assert [(s.phase, s.side, s.z) for s in said] == [(Phase.EXHAUSTED, side, 1.0)]


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_the_price_goes_through(side):
    lone, ts, far = flushed(side)
    assert tell(lone, "trade", ts + SECOND, -side, far)
    said = tell(lone, "trade", ts + 2 * SECOND, -side, far * (1 - 0.012 * side))
    assert [(s.phase, s.side, s.z) for s in said] == [(Phase.EXHAUSTED, side, -1.0)]


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_cascade_through_the_zone_ends_it(side):
    """Stop on a cascade through the zone: as much of the side as half of what the zone holds. Liquidations of the other side are no such thing."""
    lone, ts, far = flushed(side)
    assert tell(lone, "trade", ts + SECOND, -side, far)
    assert not tell(lone, "liquidation", ts + 2 * SECOND, -side, far, 1e6)
    assert not tell(lone, "liquidation", ts + 3 * SECOND, side, far, 50_000.0)
    said = tell(lone, "liquidation", ts + 4 * SECOND, side, far, 6_000.0)
    assert [(s.phase, s.side, s.z, s.rolling) for s in said] == [(Phase.EXHAUSTED, side, -1.0, 56_000.0)]


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_it_says_nothing_while_the_market_makes_the_zone_nor_of_the_wrong_side(side):
    """Trades at the zone while it forms are no return to it (flushed() asserts that); nor is a zone of longs one when the price comes up to it."""
    lone, ts, far = flushed(side)
    beyond = far * (1 - 0.03 * side)
    assert not tell(lone, "trade", ts + SECOND, -side, beyond)  # jumped over it
    assert not tell(lone, "trade", ts + 600 * SECOND, side, far)  # back up to a zone of liquidated longs
    for n in range(5):
        assert not tell(lone, "trade", ts + (601 + n) * SECOND, side, far)
    assert lone.next_deadline is None


def test_an_episode_ends_by_itself_and_a_gap_ends_it_silently():
    lone, ts, far = flushed(LONG)
    assert tell(lone, "trade", ts + SECOND, SHORT, far)
    assert lone.next_deadline == ts + 3601 * SECOND
    (over,) = lone.advance(ts + 3601 * SECOND)
    assert (over.phase, over.z, over.ts) == (Phase.EXHAUSTED, 0.0, ts + 3601 * SECOND)
    lone, ts, far = flushed(LONG)
    assert tell(lone, "trade", ts + SECOND, SHORT, far)
    lone.uncertain(ts + 60 * SECOND)
    assert lone.next_deadline is None
    assert not tell(lone, "trade", ts + 100 * SECOND, SHORT, far)  # where it came from is not known


def test_bad_parameters_and_snapshots():
    for bad, what in (({"cells": 1000}, "cells"), ({"quantile": 1.0}, "quantile"), ({"sides": "all"}, "sides"), ({"leave": 1}, "leave")):
        with pytest.raises(ValueError, match=f"zone.*{what}"):
            make_detector("zone", **bad)
    lone = flushed(LONG)[0]
    image = lone.snapshot()
    for bad in (b"", image[:-1], alone("zone", {}).snapshot()):
        with pytest.raises(ValueError, match="snapshot"):
            lone.restore(bad)
    assert lone.snapshot() == image
    d = make_detector("zone", step=100.0)
    assert make_detector(**d.as_dict()).as_dict() == d.as_dict() and d.wants == 1 << 1 | 1 << 2
