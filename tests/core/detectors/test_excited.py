"""The self-excitation detector: equal to its oracle, silent where it must be, the same whoever wakes it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.excited import ExcitedOracle, shared_kernel

from captures import large_streams, needs_data
from detector_rig import SHAPES, START, alone, generated
from liqcore import EVENT_DTYPE, LONG, SECOND, SHORT, Engine, Instrument, Kind, Standalone
from liqcore.detectors.registry import make_detector, parameters
from liqcore.event import Phase, SignalFlag

pytestmark = pytest.mark.core

LOUD = {"times": 20.0, "back": 5.0, "percentile": 0.0}
options = st.fixed_dictionaries(
    {"times": st.sampled_from([3.0, 20.0, 100.0]), "back": st.sampled_from([1.0, 3.0])},
    optional={
        "percentile": st.sampled_from([0.0, 0.3]),
        "estimate": st.sampled_from(["fit", "counts"]),
        "horizon_s": st.sampled_from([1.0, 15.0]),
        "floor_usd": st.sampled_from([0.0, 20_000.0]),
        "check_s": st.sampled_from([0.1, 0.5, 10.0]),
        "slow": st.sampled_from([0.1, 0.25]),
        "size_power": st.sampled_from([0.0, 0.5]),
        "history_min_s": st.sampled_from([0.0, 600.0]),
        "bin_s": st.just(5.0),
        "history_s": st.just(86_400.0),
        "fit_events": st.just(20.0),
    },
)


def defaults():
    return {p.name: p.default for p in parameters("hawkes")}


def row(s):
    """Everything that a signal says; of an oracle's Said too."""
    plain = isinstance(s.phase, str)
    return (
        (
            s.ts,
            s.ts_start,
            s.phase if plain else s.phase.name,
            int(s.side),
            s.count,
            s.sequence,
            s.uncertain if plain else bool(s.flags & SignalFlag.SIGNAL_UNCERTAIN),
        ),
        (s.long_notional, s.short_notional, s.price, s.threshold, s.z, s.rolling),
    )


def assert_same(signals, says):
    got, want = [row(s) for s in signals], [row(s) for s in says]
    assert [g[0] for g in got] == [w[0] for w in want]
    for g, w in zip(got, want, strict=True):
        assert np.allclose(g[1], w[1], rtol=1e-5, atol=1e-9), (g, w)


@settings(max_examples=60, deadline=None)
@given(options, st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(0, 2**16))
def test_the_detector_equals_its_oracle(chosen, shape, seed, count, where):
    ts, side, notional = generated(shape, seed, count)
    oracle, detector = ExcitedOracle(**defaults() | chosen), alone("hawkes", chosen)
    for n in range(count):
        if n == where % count:  # a restart in between changes nothing
            other = alone("hawkes", chosen)
            other.restore(detector.snapshot())
            assert other.snapshot() == detector.snapshot()
            detector = other
        assert_same(detector.push(ts[n], side[n], notional[n], 1.0 + n), oracle.push(ts[n], side[n], notional[n], 1.0 + n))
    end = ts[-1] + 4000 * SECOND
    assert_same(detector.advance(end), oracle.advance(end))
    assert detector.next_deadline is None  # back to usual


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1))
def test_the_instruments_of_a_venue_equal_their_oracles(shape, seed):
    """A feed of five instruments of two venues, trades between the liquidations, some of them late: in an engine, against kernels that they share."""
    venues, count = ("bybit", "okx", "bybit", "bybit", "okx"), 60
    instruments = [Instrument(name, venue=venue) for name, venue in zip("ABCDE", venues, strict=True)]
    ts, side, notional = generated(shape, seed, count)
    r, events = np.random.default_rng(seed), np.zeros(count, EVENT_DTYPE)
    events["ts_recv"], events["side"], events["instrument"] = ts, side, r.integers(0, 5, count)
    events["ts_event"] = events["ts_recv"] - r.choice([0, 3 * SECOND], count, p=[0.9, 0.1])
    events["kind"] = r.choice([int(Kind.LIQUIDATION), int(Kind.TRADE)], count, p=[0.8, 0.2])
    events["price"], events["qty"] = 100.0 + r.integers(0, 5, count), np.minimum(notional, 2.0**30) / 100.0
    chosen = {**LOUD, "cross": 0.15, "slow": 0.2, "times": 5.0, "back": 2.0, "check_s": 3.0}
    engine = Engine(instruments, detectors=[make_detector("hawkes", **chosen)])
    signals = [s for n in range(count) for s in engine.run(events[n : n + 1])]
    kernels = {venue: shared_kernel(venues.count(venue), **defaults() | chosen) for venue in set(venues)}
    oracles = [ExcitedOracle(kernels[venue], venues[:n].count(venue), **defaults() | chosen) for n, venue in enumerate(venues)]
    says, last = [[] for _ in oracles], [0.0] * len(oracles)
    for e in events:
        now, n = int(e["ts_recv"]), int(e["instrument"])
        for k, oracle in enumerate(oracles):  # who waits looks before anything comes that excites it
            says[k] += oracle.advance(now)
        if e["kind"] == Kind.TRADE:
            last[n] = float(e["price"])
        else:
            says[n] += oracles[n].push(now, int(e["side"]), float(e["qty"] * e["price"]), last[n] or float(e["price"]))
    assert engine.refused == {}
    for n in range(len(oracles)):
        assert_same([s for s in signals if s.instrument == n], says[n])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(2, 200), st.integers(1, 199))
def test_what_is_said_of_a_beginning_never_depends_on_the_rest(shape, seed, count, cut):
    rows = list(zip(*generated(shape, seed, count), strict=True))
    cut %= count
    whole, woken = alone("hawkes", LOUD), alone("hawkes", LOUD)
    first = [s for row in rows[:cut] for s in whole.push(*row)]
    [whole.push(*row) for row in rows[cut:]]
    often = []
    for at, side, notional in rows[:cut]:
        for k in (3, 2, 1):
            often += woken.advance(max(at - k * SECOND // 3, woken.now, START))
        often += woken.push(at, side, notional)
    assert often == first


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_flush_is_an_alarm_of_its_side(side):
    """A quiet hour, one event a minute; then fifteen events within a second. ACTIVE inside it, EXHAUSTED seconds after it, the other side silent."""
    lone = alone("hawkes", {"percentile": 0.0, "size_power": 0.0})
    ts, said = START, []
    for n in range(60):
        ts += 60 * SECOND
        said += lone.push(ts, side if n % 2 else -side, 1000.0, 100.0)
    assert not said
    ts += 60 * SECOND
    for _ in range(15):
        ts += SECOND // 15
        said += lone.push(ts, side, 1000.0, 99.0)
    said += lone.advance(ts + 60 * SECOND)
    assert [(s.phase, s.side) for s in said] == [(Phase.ACTIVE, side), (Phase.EXHAUSTED, side)]
    active, over = said
    assert active.ts_start == active.ts and active.z >= active.threshold == 100.0 and 0 < active.score <= 10
    assert over.z < 30.0 and ts < over.ts <= ts + 30 * SECOND and over.count > 5
    assert (over.long_notional if side > 0 else over.short_notional) == over.count * 1000.0
    assert (over.short_notional if side > 0 else over.long_notional) == 0.0


def test_an_unknown_percentile_is_not_passed():
    """A branching ratio without a history to compare it with raises no alarm; with one it does where it stands high, as in a burst after calm."""
    said = {}
    for percentile, history in ((0.0, 21_600.0), (0.5, 21_600.0), (0.5, 60.0)):
        lone = alone("hawkes", {**LOUD, "times": 60.0, "percentile": percentile, "history_min_s": history})
        ts = START
        for _ in range(40):
            ts += 60 * SECOND
            lone.push(ts, LONG, 1000.0)
        said[percentile, history] = [s for n in range(30) for s in lone.push(ts + n * SECOND // 20, LONG, 1000.0)]
    assert said[0.0, 21_600.0] and said[0.5, 60.0] and not said[0.5, 21_600.0]


def test_instruments_of_one_venue_hear_each_other():
    """A burst of BTC makes more events of ETH to be expected where both are of one venue; across venues it changes nothing."""

    def expected(venue, burst):
        detector = make_detector("hawkes", **LOUD, cross=0.3, fast=0.3, slow=0.2)
        engine = Engine([Instrument("BTCUSDT", venue="bybit"), Instrument("ETHUSDT", venue=venue)], detectors=[detector])
        ts = START
        for n in range(120):
            ts += 30 * SECOND
            engine.on_liquidation(ts, ts, n % 2, LONG, 100.0, 10.0)
        for n in range(burst):
            engine.on_liquidation(ts + n, ts + n, 0, LONG, 100.0, 10.0)
        return detector.kernel.expected(ts + SECOND, LONG, 15.0, 1)

    assert expected("bybit", 20) > 2 * expected("bybit", 0)
    assert expected("okx", 20) == expected("okx", 0)


def test_a_gap_ends_the_episode_and_marks_what_follows():
    lone = alone("hawkes", LOUD)
    ts = START
    for _ in range(5):
        ts += SECOND // 20
        lone.push(ts, LONG, 1000.0)
    assert lone.next_deadline is not None
    lone.uncertain(ts + 60 * SECOND)
    assert lone.next_deadline is None
    said = [s for k in range(5) for s in lone.push(ts + k * SECOND // 20, LONG, 1000.0)]
    assert said and all(s.flags & SignalFlag.SIGNAL_UNCERTAIN for s in said)


@needs_data
def test_alarms_on_the_full_captures():
    """With its defaults: a few to some dozen alarms a day, longer and larger than chance; every alarm ends."""
    for stream in large_streams():
        if not stream.symbol.endswith("-SWAP"):
            continue
        said = alone("hawkes", {}, stream.instrument()).run(stream.events())
        days = (stream.ts[-1] - stream.ts[0]) / 86_400e9
        ends = [s for s in said if s.phase == Phase.EXHAUSTED]
        assert 5 < len(ends) / days < 200, stream.symbol
        assert abs(len(said) - 2 * len(ends)) <= 2
        share = sum(s.long_notional + s.short_notional for s in ends) / stream.notional.sum()
        time = sum(s.ts - s.ts_start for s in ends) / (stream.ts[-1] - stream.ts[0])
        assert share > 20 * time, (stream.symbol, share, time)


def test_bad_parameters_and_snapshots():
    for bad, what in (
        ({"times": 0.5}, "times"),
        ({"back": 200.0}, "back"),
        ({"fast": 0.9}, "fast"),
        ({"estimate": "best"}, "estimate"),
        ({"slow_s": 0.01}, "fast_s"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"percentile": 1.5}, "percentile"),
    ):
        with pytest.raises(ValueError, match=f"hawkes.*{what}"):
            make_detector("hawkes", **bad)
    one, other = alone("hawkes", LOUD), alone("hawkes", {})
    one.push(START, LONG, 100.0)
    image = one.snapshot()
    for bad in (b"", image[:-1], other.snapshot()):
        with pytest.raises(ValueError, match="snapshot"):
            one.restore(bad)
    assert one.snapshot() == image
    d = make_detector("hawkes", name="h", times=50.0)
    again = make_detector(**d.as_dict())
    assert again.as_dict() == d.as_dict() and again.wants == d.wants == 1 << 1
    Standalone(d)
    with pytest.raises(RuntimeError, match="already serves"):
        Standalone(d)
