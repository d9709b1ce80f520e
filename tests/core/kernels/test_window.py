"""The time window: sums equal to fsum after any history, counts, maxima, expiry and overflow; stream, batch and oracle agree to the bit."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore.kernels.window import Window
from tests.oracle import window as oracle

pytestmark = pytest.mark.core


def row(w):
    return [w.long, w.short, w.total, w.long_count, w.short_count, w.long_max, w.short_max, w.dropped]


notionals = st.one_of(st.floats(2.0**-12, 2.0**40), st.sampled_from([1.0, 1e9, 0.1, 100.0]))
entries = st.lists(st.tuples(st.sampled_from([0, 0, 1, 3, 10, 40, 41, 1000]), st.sampled_from([1, -1]), notionals), min_size=1, max_size=150)


@settings(max_examples=300, deadline=None)
@given(entries, st.sampled_from([1, 10, 40, 500]), st.sampled_from([2, 8, 256]), st.integers(0, 150))
def test_three_implementations_agree(steps, horizon, capacity, cut):
    from liqcore import batch

    truth, kernel, ts, expected = oracle.Window(horizon, capacity), Window(horizon, capacity), -100, []
    times = []
    for i, (step, side, x) in enumerate(steps):
        if i == cut:  # continue in another instance
            image = kernel.snapshot()
            kernel = Window(horizon, capacity)
            kernel.restore(image)
            assert kernel.snapshot() == image
        ts += step
        times.append(ts)
        truth.push(ts, side, x)
        kernel.push(ts, side, x)
        expected.append(truth.row())
        assert row(kernel) == expected[-1]
        assert kernel.count == len(kernel) == len(truth.inside)
        assert kernel.next_expiry == truth.inside[0][0] + horizon + 1
        assert kernel.max == max(x for _, _, x in truth.inside)
        assert kernel.imbalance == (kernel.short - kernel.long) / kernel.total
    got = batch.window_sums(times, [s for _, s, _ in steps], [x for *_, x in steps], horizon, capacity)
    assert got.tolist() == expected
    while kernel.count:  # what next_expiry promises: not one ns earlier
        at, before = kernel.next_expiry, kernel.count
        kernel.advance(at - 1)
        assert kernel.count == before
        kernel.advance(at)
        truth.advance(at)
        assert kernel.count < before and row(kernel) == truth.row()
    assert row(kernel)[:7] == [0.0] * 7 and kernel.next_expiry is None and kernel.imbalance == 0.0 and kernel.value == 0.0


def falls_below(truth, level):
    """Each expiry tried by itself."""
    inside = list(truth.inside)
    while inside:
        ts = inside.pop(0)[0] + truth.horizon_ns + 1
        if math.fsum(x for _, _, x in inside) < level:
            return ts
    return None


@settings(max_examples=300, deadline=None)
@given(entries, st.sampled_from([10, 40, 500]), st.sampled_from([2, 8, 256]), st.integers(0, 150), st.data())
def test_when_the_total_falls_below_a_level(steps, horizon, capacity, cut, data):
    """Whatever was asked before: the answer of each moment is that of a search from the beginning."""
    truth, kernel, ts = oracle.Window(horizon, capacity), Window(horizon, capacity), 0
    for i, (step, side, x) in enumerate(steps):
        ts += step
        truth.push(ts, side, x)
        kernel.push(ts, side, x)
        if i == cut:
            kernel.restore(kernel.snapshot())
        if data.draw(st.booleans()):
            truth.advance(ts + step // 2)
            kernel.advance(ts := ts + step // 2)
        share = data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0, 1.1, 1e9, None]))
        level = truth.row()[2] * share if share is not None else data.draw(notionals)
        assert kernel.falls_below(level) == falls_below(truth, level)


def test_exact_after_a_million_updates():
    """Spikes of 1e9 among amounts of cents: nothing of them is left in the sums. A running float sum is off by more than a cent here."""
    rng = random.Random(4)
    horizon = 2000
    kernel, truth, naive, ts = Window(horizon, 1 << 12), oracle.Window(horizon, 1 << 12), 0.0, 0
    naive_worst = 0.0
    for i in range(1_000_000):
        ts += rng.randrange(0, 8)
        side = 1 if rng.random() < 0.5 else -1
        x = 1e9 * (1 + rng.random()) if rng.random() < 0.001 else rng.lognormvariate(0, 3) + 0.001
        kernel.push(ts, side, x)
        while truth.inside and ts - truth.inside[0][0] > horizon:
            naive -= truth.inside[0][2]
            truth.inside.popleft()
        truth.inside.append((ts, side, x))
        naive += x
        if i % 10_007 == 0:
            expected = truth.row()
            assert row(kernel) == expected
            naive_worst = max(naive_worst, abs(naive - expected[2]))
    assert kernel.dropped == 0
    assert naive_worst > 1e-7  # the test would notice a float sum


def test_tiny_notionals():
    """Below 2**-12 what lies under 2**-64 is lost on the way in, and the same on the way out: the sum returns to 0, never drifts."""
    w = Window(10, 64)
    for ts in range(100_000):
        w.push(ts, 1, 1e-12 / (1 + ts % 7))
    assert w.long == pytest.approx(math.fsum(1e-12 / (1 + ts % 7) for ts in range(100_000 - 11, 100_000)), abs=11 * 2.0**-64)
    w.push(200_000, 1, 5e-324)
    assert w.long == 0.0 and w.count == 1 and w.long_max == 5e-324


def test_time_near_the_ends_of_int64():
    w = Window(2**63 - 1, 8)
    w.push(-(2**63), 1, 1.0)
    w.push(-1, 1, 2.0)
    assert w.count == 2 and w.next_expiry == 0
    w.advance(2**63 - 1)  # 2**63 ns after the second: one more than the horizon
    assert w.count == 0
    w.push(2**63 - 1, -1, 1.0)
    assert w.next_expiry == 2**63 - 1


def test_bad_input_changes_nothing():
    w = Window(100, 8)
    w.push(50, 1, 10.0)
    image = w.snapshot()
    for ts, side, x in (
        (50, 0, 1.0),
        (50, 2, 1.0),
        (49, 1, 1.0),
        (50, 1, math.nan),
        (50, 1, math.inf),
        (50, 1, 0.0),
        (50, 1, -1.0),
        (50, 1, 2.0**41),
    ):
        with pytest.raises(ValueError, match="expected"):
            w.push(ts, side, x)
    with pytest.raises(ValueError, match="ts"):
        w.advance(49)
    assert w.snapshot() == image
    for horizon, capacity in ((0, 8), (-1, 8), (1, 3), (1, 1), (1, 0), (1, 1 << 23)):
        with pytest.raises(ValueError, match="expected"):
            Window(horizon, capacity)
    w.reset()
    w.push(0, 1, 1.0)  # time starts anew
    assert w.count == 1


def test_bad_snapshots_change_nothing():
    w = Window(100, 8)
    for i in range(12):
        w.push(i, 1 if i % 3 else -1, 10.0 + i)
    image = w.snapshot()
    damaged = bytearray(image)
    damaged[-16] = 99  # the last ts: later than now
    for bad in (b"", b"x" * 60, image[:-1], image + b"\0", Window(101, 8).snapshot(), Window(100, 16).snapshot(), bytes(damaged)):
        with pytest.raises(ValueError, match="snapshot"):
            w.restore(bad)
        assert w.snapshot() == image


def test_batch_refuses_what_the_stream_refuses():
    from liqcore import batch

    good = {"ts": [1, 2, 3], "side": [1, -1, 1], "notional": [1.0, 2.0, 3.0], "horizon_ns": 10, "capacity": 8}
    assert batch.window_sums(**good).shape == (3, len(batch.WINDOW_COLUMNS))
    for bad in (
        {"ts": [1, 3, 2]},
        {"side": [1, 0, 1]},
        {"notional": [1.0, math.nan, 1.0]},
        {"notional": [1.0, 2.0**41, 1.0]},
        {"horizon_ns": 0},
        {"capacity": 6},
        {"side": [1, 1]},
        {"notional": np.ones((3, 1))},
    ):
        with pytest.raises(ValueError, match="expected"):
            batch.window_sums(**(good | bad))


def test_maxima_asked_for_rarely():
    """The queues behind the maxima catch up when asked: after few or many pushes, expired or dropped entries, and on one side only."""
    rng = np.random.default_rng(4)
    window, truth, ts = Window(1000, 64), oracle.Window(1000, 64), 0
    for step in range(30_000):
        ts += int(rng.choice([0, 1, 10, 60, 3000], p=[0.2, 0.5, 0.19, 0.1, 0.01]))
        side, notional = (1 if rng.random() < 0.5 + 0.5 * (step // 1000 % 2) else -1), float(rng.integers(1, 50))
        window.push(ts, side, notional)
        truth.push(ts, side, notional)
        if rng.random() < (0.5 if step // 5000 % 2 else 0.005):
            row = truth.row()
            assert (window.long_max, window.short_max) == (row[5], row[6]), step
