"""z-scores: exact two-pass oracle within 1e-12, also after 1e9 spikes; stream and Numba batch equal to the bit; snapshots continue to the bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore.kernels.zscore import EwZ, RollingZ, SegmentZ
from tests.oracle import zscore as oracle

pytestmark = pytest.mark.core


def same_z(got, expected, z):
    """Equal within 1e-12 of the larger of z itself and the ratio mean/std (the conditioning of the subtraction)."""
    return abs(got - expected) <= 1e-12 * max(1.0, abs(expected), z)


steps = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 7, 10, 25, 300]), st.one_of(st.integers(0, 1000), st.sampled_from([1e9, 0.5, -3.25]))),
    min_size=1,
    max_size=150,
)


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(2, 12), st.integers(0, 150), st.sampled_from([-1000, 0, 1_700_000_000_000_000_000]))
def test_three_implementations_agree(events, baseline, cut, origin):
    from liqcore import batch

    least = min(3, baseline)
    truth, kernel, ts, got, times = oracle.SegmentZ(10, baseline, least), SegmentZ(10, baseline, least), origin, [], []
    for i, (step, x) in enumerate(events):
        if i == cut:  # continue in another instance
            image = kernel.snapshot()
            kernel = SegmentZ(10, baseline, least)
            kernel.restore(image)
            assert kernel.snapshot() == image
        ts += step
        times.append(ts)
        expected = truth.push(ts, x)
        got.append(kernel.push(ts, x))
        done = truth.completed
        mean, std = oracle.moments(done)
        assert kernel.count == len(done) and kernel.next_boundary == (ts // 10 + 1) * 10
        assert abs(kernel.mean - mean) <= 1e-12 * max(map(abs, done), default=0)
        assert abs(kernel.std - std) <= 1e-12 * max(map(abs, done), default=0)
        if expected == 0.0 or std > 1e-9 * max(map(abs, done)):
            assert same_z(got[-1], expected, abs(mean) / std if std else 0.0)
    assert batch.segment_z(times, [float(x) for _, x in events], 10, baseline, least).tolist() == got


def test_spikes_leave_no_trace():
    """One 1e9 print, then ordinary values: once it has left the window the error is that of a fresh two-pass computation."""
    rng = np.random.default_rng(2)
    x = np.exp(rng.normal(2, 1.0, 30_000))
    x[::5000] = 1e9
    means, stds = RollingZ(288).run(x)
    for i in list(range(287, 30_000, 997)) + [5000, 5287, 5288, 5289, 10_288]:
        mean, std = oracle.moments(x[max(0, i - 287) : i + 1].tolist())
        assert abs(means[i] / mean - 1) <= 1e-12 and abs(stds[i] / std - 1) <= 1e-12, i


@pytest.mark.parametrize("name", ["offset", "silence", "drift", "tiny", "ties"])
def test_hard_streams(name):
    rng = np.random.default_rng(9)
    n = 4000
    x = {
        "offset": 1e9 + rng.normal(size=n),
        "silence": np.where(np.arange(n) < 2000, 1e6 * rng.random(n), 0.0),
        "drift": np.exp(np.linspace(-20, 20, n)),
        "tiny": 1e-12 * rng.random(n),
        "ties": rng.integers(1, 3, n) * 1.0,
    }[name]
    for window in (2, 3, 50, 288):
        means, stds = RollingZ(window).run(x)
        stream = RollingZ(window)
        for i in range(n):
            z = stream.push(x[i])
            assert stream.mean == means[i] and stream.std == stds[i] and stream.value == z
            if i % 41 == 0:
                inside = x[max(0, i - window + 1) : i + 1]
                mean, std = oracle.moments(inside.tolist())
                assert abs(means[i] - mean) <= 1e-14 * abs(inside).max()
                assert abs(stds[i] - std) <= 1e-14 * abs(inside).max()
                if len(set(inside)) == 1:
                    assert z == 0.0 and stds[i] == 0.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=120), st.integers(2, 20), st.integers(0, 120))
def test_rolling_z(xs, window, cut):
    truth, kernel = oracle.RollingZ(window), RollingZ(window)
    for i, x in enumerate(xs):
        if i == cut:
            image = kernel.snapshot()
            kernel = RollingZ(window)
            kernel.restore(image)
            assert kernel.snapshot() == image
        assert kernel.push(x) == pytest.approx(truth.push(x), abs=1e-12)


def test_snapshot_continues_to_the_bit():
    """Rounding depends on where the two stacks meet: a snapshot taken anywhere keeps it."""
    rng = np.random.default_rng(8)
    x = np.exp(rng.normal(8, 1.8, 500))
    for cut in range(0, 200, 7):
        a, b = RollingZ(37), RollingZ(37)
        a.run(x[:cut])
        b.restore(a.snapshot())
        for left, right in zip(a.run(x[cut:]), b.run(x[cut:]), strict=True):
            assert left.tolist() == right.tolist()
        e, f = EwZ(10), EwZ(10)
        for i in range(cut):
            e.push(i, x[i])
        f.restore(e.snapshot())
        assert [e.push(i, x[i]) for i in range(cut, 300)] == [f.push(i, x[i]) for i in range(cut, 300)]


def test_a_gap_costs_and_counts_at_most_the_baseline():
    z = SegmentZ(10, 20, 5)
    for i in range(100):
        z.push(i * 10, 5.0 + i % 3)
    assert z.std > 0
    z.advance(10**18)  # 10**17 empty segments
    assert z.count == 20 and z.mean == 0.0 and z.std == 0.0 and z.value == 0.0
    z.push(10**18, 7.0)
    assert z.value == 0.0  # no variation, no z
    z.push(10**18 + 10, 7.0)
    assert abs(z.mean - 7.0 / 20) < 1e-15 and z.value > 0
    z.reset()
    assert z.count == 0 and z.next_boundary is None
    z.push(0, 1.0)  # time starts anew
    z.advance(2**63 - 1)
    assert z.next_boundary == 2**63 - 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.01, 1e4)), min_size=1, max_size=80))
def test_exponentially_weighted(events):
    truth, kernel, ts = oracle.EwZ(50, 4), EwZ(50, 4), 10**12
    for step, x in events:
        ts += step
        expected, got = truth.push(ts, x), kernel.push(ts, x)
        mean, std = truth.moments(ts)
        assert kernel.mean == pytest.approx(mean, rel=1e-11) and kernel.std == pytest.approx(std, rel=1e-6, abs=1e-6 * abs(mean))
        if std > 1e-3 * abs(mean) and abs(expected) < 1e6:
            assert got == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_bad_input_changes_nothing():
    from liqcore import batch

    for kernel, pushes in ((SegmentZ(10, 5), [(9, 1.0), (10, math.nan), (10, math.inf)]), (EwZ(10), [(9, 1.0), (10, math.nan), (10, -math.inf)])):
        for i in range(30):
            kernel.push(i * 3 if i < 4 else 10 + i, 1.0 + i)
        latest = kernel.snapshot()
        for _, x in pushes:
            with pytest.raises(ValueError, match="expected"):
                kernel.push(5 if math.isfinite(x) else 100, x)
            assert kernel.snapshot() == latest
        for bad in (b"", b"x" * 80, latest[:-1], latest + b"\0", RollingZ(5).snapshot()):
            with pytest.raises(ValueError, match="snapshot"):
                kernel.restore(bad)
            assert kernel.snapshot() == latest
    rolling = RollingZ(5)
    rolling.push(1.0)
    image = rolling.snapshot()
    for bad in (b"", image[:-1], RollingZ(6).snapshot(), SegmentZ(10, 5).snapshot()):
        with pytest.raises(ValueError, match="snapshot"):
            rolling.restore(bad)
    with pytest.raises(ValueError, match="finite"):
        rolling.push(math.nan)
    with pytest.raises(ValueError, match=r"values\[1\]"):
        rolling.run([1.0, math.inf])
    assert rolling.snapshot() == image
    for make in (
        lambda: SegmentZ(0),
        lambda: SegmentZ(10, 1),
        lambda: SegmentZ(10, 5, 6),
        lambda: SegmentZ(10, 5, 0),
        lambda: EwZ(0),
        lambda: EwZ(1, 0),
        lambda: RollingZ(1),
        lambda: batch.segment_z([2, 1], [1.0, 1.0], 10),
        lambda: batch.segment_z([1], [math.nan], 10),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
