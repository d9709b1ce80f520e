"""Rolling quantile: the oracle, NumPy, the compiled stream and the Numba batch agree to the bit on every kind of stream; sketch within its error."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore.kernels.quantile import QuantileSketch, RollingQuantile, rolling_quantile_approximate
from tests.oracle import quantile as oracle

pytestmark = pytest.mark.core

QUANTILES = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)


def streams(n, seed=7):
    """Heavy tails, drift, bursts, monotone runs, ties, spikes, tiny and absurd magnitudes: prototypes were wrong exactly there."""
    rng = np.random.default_rng(seed)
    heavy = np.exp(rng.normal(8, 1.8, n))
    burst = heavy.copy()
    burst[(np.arange(n) // 300) % 10 == 3] *= 50
    spiked = heavy.copy()
    spiked[::97] = 1e9
    steps = np.where(np.arange(n) % 400 < 200, 1.0, 1e6)
    return {
        "heavy": heavy,
        "drift": np.exp(rng.normal(8, 1, n) + np.linspace(0, 12, n)),
        "decay": np.exp(rng.normal(8, 1, n) - np.linspace(0, 12, n)),
        "burst": burst,
        "spiked": spiked,
        "rise": np.linspace(1, 1e6, n),
        "fall": np.linspace(1e6, 1, n),
        "constant": np.full(n, 7.0),
        "ties": rng.integers(1, 5, n) * 100.0,
        "near ties": np.nextafter(rng.integers(1, 4, n) * 100.0, rng.choice([0, np.inf], n)),
        "narrow": 1000 + rng.random(n),
        "tiny": 1e-12 * (rng.random(n) + 0.01),
        "wild": np.exp(rng.normal(0, 100, n)),
        "steps": steps * (1 + 1e-6 * rng.random(n)),
        "huge": 1e300 * (1 + rng.random(n)),
        "subnormal": 5e-324 * rng.integers(1, 50, n),
    }


@pytest.mark.parametrize("name", streams(1))
@pytest.mark.parametrize("window", [2, 3, 7, 48, 100, 1000])
def test_equals_numpy_to_the_bit(name, window):
    n = 2 * window + 300
    x = streams(n)[name]
    for q in QUANTILES:
        got = RollingQuantile(q, window).run(x)
        for i in range(0, n, max(1, n // 60)):
            assert got[i] == np.quantile(x[max(0, i - window + 1) : i + 1], q), (name, window, q, i)


@pytest.mark.parametrize("name", streams(1))
def test_decision_is_exact(name):
    """reached(x) is x >= np.quantile(...), on all values, on ties with the quantile and one bit beside it; with and without reading values."""
    x = streams(900)[name]
    for window, q in ((2, 0.95), (64, 0.95), (250, 0.5), (250, 0.99), (250, 1.0)):
        silent, reading, truth = RollingQuantile(q, window), RollingQuantile(q, window), oracle.RollingQuantile(q, window)
        assert not silent.reached(1e300)
        assert not reading.reached(math.nan)
        for i, v in enumerate(x.tolist()):
            if i:
                for probe in (v, truth.value, math.nextafter(truth.value, 0), math.nextafter(truth.value, math.inf)):
                    assert silent.reached(probe) == (probe >= truth.value), (name, window, q, i)
            if i % 37 == 0:  # a fresh instance has no sorted run: its buckets decide
                silent.restore(silent.snapshot())
            silent.push(v)
            assert reading.push(v) == truth.push(v), (name, window, q, i)


finite = st.floats(min_value=5e-324, max_value=1e300)
values = st.lists(st.one_of(finite, st.sampled_from([1.0, 2.0, 1e9, 1e-12, 100.0]), st.floats(99.0, 101.0)), min_size=1, max_size=200)


@settings(max_examples=300, deadline=None)
@given(values, st.sampled_from([*QUANTILES, 0.123456789]), st.integers(2, 60), st.integers(0, 200))
def test_three_implementations_agree(xs, q, window, cut):
    from liqcore import batch

    truth, kernel = oracle.RollingQuantile(q, window), RollingQuantile(q, window)
    expected = [truth.push(x) for x in xs]
    got = []
    for i, x in enumerate(xs):
        if i == cut:  # continue in another instance
            image = kernel.snapshot()
            kernel = RollingQuantile(q, window)
            kernel.restore(image)
            assert kernel.snapshot() == image
        got.append(kernel.push(x))
    before, after = batch.rolling_quantile(xs, q, window)
    assert got == expected
    assert after.tolist() == expected
    assert np.array_equal(before, [math.nan, *expected[:-1]], equal_nan=True)
    assert RollingQuantile(q, window).run(np.array(xs)).tolist() == expected


@pytest.mark.parametrize("window", [1000, 65_535, 65_536])
def test_a_million_values(window):
    """Long runs, both index widths, and the last window that fits 16-bit indices: compared at sampled points."""
    rng = np.random.default_rng(11)
    n = 1_000_000
    x = np.exp(rng.normal(8, 1.8, n) + np.sin(np.arange(n) / 40_000) * 4)
    x[rng.random(n) < 1e-4] = 1e9
    kernel = RollingQuantile(0.95, window)
    got = kernel.run(x)
    for i in rng.integers(0, n, 40).tolist() + [window - 1, window, n - 1]:
        assert got[i] == np.quantile(x[max(0, i - window + 1) : i + 1], 0.95)
    assert np.array_equal(kernel.values(), x[-window:])
    kernel.reset()
    assert kernel.count == 0 and math.isnan(kernel.value)
    assert np.array_equal(kernel.run(x[:2000]), got[:2000])


def test_bad_values_change_nothing():
    kernel = RollingQuantile(0.95, 10)
    kernel.run(np.arange(1.0, 20.0))
    image = kernel.snapshot()
    for bad in (math.nan, math.inf, -math.inf, 0.0, -1.0, -0.0):
        with pytest.raises(ValueError, match="positive finite"):
            kernel.push(bad)
        with pytest.raises(ValueError, match=r"values\[2\]"):
            kernel.run(np.array([1.0, 2.0, bad]))
        assert kernel.snapshot() == image
    for q, window in ((-0.1, 10), (1.1, 10), (math.nan, 10), (0.5, 1), (0.5, 1_000_001)):
        with pytest.raises(ValueError, match="expected"):
            RollingQuantile(q, window)


def test_bad_snapshots_change_nothing():
    kernel = RollingQuantile(0.95, 10)
    kernel.run(np.arange(1.0, 8.0))
    image = kernel.snapshot()
    other = RollingQuantile(0.9, 10)
    other.push(1.0)
    damaged = bytearray(image)
    damaged[-1] = 0xFF  # the sign of the last value
    for bad in (b"", b"x" * 40, image[:-1], image + b"\0", other.snapshot(), RollingQuantile(0.95, 11).snapshot(), bytes(damaged)):
        with pytest.raises(ValueError, match="snapshot"):
            kernel.restore(bad)
        assert kernel.snapshot() == image


def test_memory_is_bounded():
    assert RollingQuantile(0.95, 1000).__sizeof__() <= 6 * 1024 + 10 * 1000
    with pytest.raises(TypeError):
        pickle.dumps(RollingQuantile())


@pytest.mark.parametrize("name", streams(1))
@pytest.mark.parametrize("window", [2, 7, 100, 1000])
def test_approximation_keeps_its_error(name, window):
    """Within 1 / 256 of the lower order statistic, for all normal numbers of any magnitude (subnormal ones have no relative precision)."""
    n = 2 * window + 300
    x = np.maximum(streams(n)[name], np.finfo(float).tiny)
    for q in QUANTILES:
        got = rolling_quantile_approximate(x, q, window)
        for i in range(0, n, max(1, n // 60)):
            inside = np.sort(x[max(0, i - window + 1) : i + 1])
            assert abs(got[i] / inside[int((len(inside) - 1) * q)] - 1) <= 1 / 256, (name, window, q, i)


def test_approximation_refuses_rubbish():
    for bad in (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, -5e-324):
        with pytest.raises(ValueError, match=r"values\[1\]: expected a positive finite number"):
            rolling_quantile_approximate([1.0, bad, 2.0])
    for q, window in ((-0.1, 10), (1.1, 10), (math.nan, 10), (0.5, 1), (0.5, 1_000_001)):
        with pytest.raises(ValueError, match="expected"):
            rolling_quantile_approximate([1.0], q, window)
    assert rolling_quantile_approximate([]).size == 0


def test_threshold_refresh():
    """Taken when warm-up ends and at the first value a refresh period later; continuous where the period is 0."""
    from liqcore import batch

    rng = np.random.default_rng(5)
    x = np.exp(rng.normal(8, 1.8, 2000))
    ts = np.cumsum(rng.integers(0, 100, 2000))
    truth, expected, taken = oracle.RollingQuantile(0.95, 300), [], None
    for t, v in zip(ts.tolist(), x.tolist(), strict=True):
        if len(expected) >= 100 and (taken is None or t - taken[0] >= 5000):
            taken = (t, truth.value)
        expected.append(math.nan if taken is None else taken[1])
        truth.push(v)
    assert np.array_equal(batch.rolling_threshold(ts, x, 0.95, 300, 100, 5000), expected, equal_nan=True)
    continuous = batch.rolling_threshold(ts, x, 0.95, 300, 100)
    assert np.isnan(continuous[:100]).all() and np.array_equal(continuous[100:], batch.rolling_quantile(x, 0.95, 300)[0][100:])
    for bad in ({"ts": ts[::-1]}, {"values": -x}, {"warmup": 0}, {"refresh_ns": -1}, {"window": 1}, {"quantile": 2.0}, {"values": x[1:]}):
        with pytest.raises(ValueError, match="expected"):
            batch.rolling_threshold(**{"ts": ts, "values": x} | bad)


events = st.lists(st.tuples(st.integers(0, 60), st.floats(3e-4, 1e12)), min_size=1, max_size=120)


@settings(max_examples=200, deadline=None)
@given(events, st.sampled_from([0.0, 0.5, 0.95, 1.0]), st.sampled_from([0.001, 0.01, 0.1]))
def test_sketch_keeps_its_error(pairs, q, error):
    sketch, truth, ts = QuantileSketch(error, 5, 100), oracle.Sketch(5, 100), -500  # also before 1970
    for step, x in pairs:
        ts += step
        sketch.push(ts, x)
        truth.push(ts, x)
        assert sketch.count == sum(row.total() for row in truth.rows.values())
        assert abs(sketch.quantile(q) / truth.quantile(q) - 1) <= error * (1 + 1e-12)
    sketch.advance(ts + 500)
    assert sketch.count == 0 and math.isnan(sketch.value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1000), st.floats(1e-6, 1e15)), max_size=80), st.permutations([0, 1, 2]))
def test_sketches_add_up_in_any_order(pairs, order):
    """Merging what three processes saw gives, to the byte, the sketch of one that saw everything; also over the wire."""
    whole, parts = QuantileSketch(0.01, 4, 100), [QuantileSketch(0.01, 4, 100) for _ in range(3)]
    for who, ts, x in sorted(pairs, key=lambda p: p[1]):
        whole.push(ts, x)
        parts[who].push(ts, x)
    images = [p.snapshot() for p in parts]
    merged = QuantileSketch(0.01, 4, 100)
    for i in order:
        merged.merge(images[i] if i else parts[i])
    assert merged.snapshot() == whole.snapshot()
    assert [p.snapshot() for p in parts] == images
    back = QuantileSketch(0.01, 4, 100)
    back.push(123456, 5.0)  # replaced, not added to
    back.restore(whole.snapshot())
    assert back.snapshot() == whole.snapshot() and back.count == whole.count


def test_sketch_refuses_rubbish():
    sketch = QuantileSketch(0.01, 4, 100)
    for i in range(50):
        sketch.push(i * 10, 10.0 + i)
    image = sketch.snapshot()
    for ts, x in ((500, math.nan), (500, 0.0), (500, -1.0), (500, math.inf), (0, 1.0)):
        with pytest.raises(ValueError, match="value|ts"):
            sketch.push(ts, x)
    wrong = [b"", image[:-1], image[:50], image + b"\0" * 8, QuantileSketch(0.02, 4, 100).snapshot(), QuantileSketch(0.01, 5, 100).snapshot()]
    rng = np.random.default_rng(3)
    for bad in wrong:
        for method in (sketch.merge, sketch.restore):
            with pytest.raises(ValueError, match="sketch snapshot"):
                method(bad)
    assert sketch.snapshot() == image
    for _ in range(2000):  # a damaged image is refused or means another valid content; it never breaks the instance
        damaged = bytearray(image)
        damaged[rng.integers(len(image))] ^= 1 << rng.integers(8)
        victim = QuantileSketch(0.01, 4, 100)
        try:
            victim.restore(bytes(damaged))
        except ValueError:
            assert victim.count == 0
        else:
            assert victim.count > 0 and victim.quantile(1.0) > 0
    for bad in ({"relative_error": 0.0}, {"slices": 0}, {"slice_ns": 0}, {"quantile": 2.0}):
        with pytest.raises(ValueError, match="expected"):
            QuantileSketch(**bad)
