"""The Hawkes kernel: equal to sums over all events whatever the history, right about simulated processes, and fitted to what data.md found."""

import itertools
import math
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import hawkes as oracle

from captures import needs_data, streams
from liqcore.kernels.hawkes import Hawkes, HawkesConfig

pytestmark = pytest.mark.core

SECOND = 10**9
START = 1_700_000_000 * SECOND
ESTIMATES = ("counts", "fit")

gaps = st.sampled_from([0, 0, 10**6, 5 * 10**7, 2 * 10**8, SECOND, 3 * SECOND, 40 * SECOND, 700 * SECOND, 4000 * SECOND, 3 * 86_400 * SECOND])
rows = st.lists(st.tuples(gaps, st.sampled_from([1, 1, 1, -1]), st.floats(1.0, 1e7), st.integers(0, 2)), min_size=1, max_size=80)
configs = st.fixed_dictionaries(
    {},
    optional={
        "fast": st.sampled_from([0.05, 0.3, 0.59]),
        "slow": st.sampled_from([0.0, 0.25, 0.3]),
        "cross": st.sampled_from([0.0, 0.05]),
        "fast_s": st.sampled_from([0.01, 0.06, 1.0]),
        "slow_s": st.sampled_from([1.5, 60.0]),
        "size_power": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "mark_max": st.sampled_from([1.0, 10.0]),
        "base_s": st.sampled_from([60.0, 21_600.0]),
        "prior_events": st.sampled_from([1.0, 10.0]),
        "bin_s": st.sampled_from([2.0, 60.0]),
        "branching_s": st.sampled_from([30.0, 7200.0]),
        "fit_events": st.sampled_from([10.0, 300.0]),
        "history_s": st.sampled_from([1800.0, 86_400.0]),
        "history_min_s": st.sampled_from([0.0, 600.0]),
    },
)


def same(a, b, error=1e-9):
    return a == b or math.isnan(a) and math.isnan(b) or abs(a - b) <= error * max(abs(a), abs(b), 1e-6)


@settings(max_examples=60, deadline=None)
@given(rows, configs, st.integers(1, 3), st.integers(0, 80))
def test_the_kernel_equals_sums_over_all_events(steps, options, instruments, cut):
    config = HawkesConfig(**options)
    truth, kernel, ts = oracle.Hawkes(instruments, **config.as_dict()), Hawkes(instruments, config), START
    times, marked = [], []
    for n, (gap, side, notional, who) in enumerate(steps):
        who %= instruments
        if n == cut:  # continue in another instance
            image = kernel.snapshot()
            kernel = Hawkes(instruments, config)
            kernel.restore(image)
            assert kernel.snapshot() == image
        ts += gap
        truth.push(ts, side, notional, who)
        kernel.push(ts, side, notional, who)
        times.append(ts)
        for i, s in ((who, side), ((who + 1) % instruments, side), (who, -side)):
            assert same(kernel.intensity(ts, s, i), truth.intensity(ts, s, i)), (n, i, s)
            assert same(kernel.rate(ts, s, i), truth.rate(ts, s, i)), (n, i, s)
        for which in ESTIMATES:
            # counts: 1 - sqrt(mean / variance) loses digits where the counts are nearly equal
            assert same(kernel.branching(which, who), truth.branching(which, who), 1e-7), (n, which)
            assert same(kernel.percentile(which, who), truth.percentile(which, who)), (n, which)
        marked.append([kernel.intensity(ts, side, who), kernel.rate(ts, side, who), kernel.branching("fit", who), kernel.branching("counts", who)])
    later = ts + 2 * SECOND
    assert same(kernel.intensity(later, 1), truth.intensity(later, 1))
    whole = Hawkes(instruments, config)
    arrays = [np.array(column) for column in zip(*steps, strict=True)]
    got = whole.run(np.array(times), arrays[1].astype(np.int8), arrays[2], (arrays[3] % instruments).astype(np.int32))
    assert np.array_equal(got, np.array(marked), equal_nan=True)  # whole arrays: bit for bit
    assert whole.snapshot() == kernel.snapshot()


@pytest.mark.parametrize(
    "bad", [{"side": [1, 0]}, {"ts": [START + 2, START + 1]}, {"notional": [1.0, math.nan]}, {"notional": [1.0]}, {"instrument": [0, 1]}]
)
def test_bad_arrays_are_refused_whole(bad):
    kernel = Hawkes(1)
    before = kernel.snapshot()
    with pytest.raises(ValueError, match="expected"):
        kernel.run(**{"ts": [START + 1, START + 2], "side": [1, -1], "notional": [1.0, 2.0], **bad})
    assert kernel.snapshot() == before


def test_exact_after_a_million_updates():
    """The recursion forgets its rounding as fast as it forgets its events: nothing builds up."""
    rng = np.random.default_rng(5)
    count = 1_000_000
    ts = START + np.cumsum(np.where(rng.random(count) < 0.8, rng.integers(0, 2 * 10**8, count), rng.integers(0, 60 * SECOND, count)))
    side = np.where(rng.random(count) < 0.6, 1, -1).astype(np.int8)
    notional = rng.lognormal(6.7, 2.0, count)
    notional[rng.integers(0, count, 50)] = 2.0**40
    config = HawkesConfig(size_power=0.0, base_s=3600.0)
    kernel = Hawkes(1, config)
    kernel.run(ts, side, notional)
    age = (ts[-1] - ts[side == 1]) * 1e-9
    want = {}
    for name, half_life in (("fast", 0.06), ("slow", 3.0), ("base", 3600.0)):
        want[name] = math.fsum(np.exp(-math.log(2) / half_life * age[age < 1000 * half_life]))
    rate = (want["base"] + 10.0) / (3600.0 / math.log(2) + 10.0 / (0.5 / 60.0))
    assert kernel.rate(int(ts[-1]), 1) == pytest.approx(rate, rel=1e-12)
    expected = 0.11 * rate + math.log(2) * (0.59 / 0.06 * want["fast"] + 0.30 / 3.0 * want["slow"])
    assert kernel.intensity(int(ts[-1]), 1) == pytest.approx(expected, rel=1e-11)


# ---- against simulated processes ----

FAST, SLOW = 0.5, 0.3
DECAY = (math.log(2) / 0.06, math.log(2) / 3.0)
RATE = 0.05  # events / s, all told
TRUE = {"fast": FAST, "slow": SLOW, "cross": 0.0, "size_power": 0.0}


def known(**changes) -> HawkesConfig:
    """The baseline is told, not learnt: a prior that outweighs all data."""
    return HawkesConfig(**(TRUE | {"prior_per_min": RATE * 60, "prior_events": 1e6, "base_s": 1e7} | changes))


def simulated(seed, seconds):
    rng = random.Random(seed)
    return oracle.simulate(rng, RATE * (1 - FAST - SLOW), FAST, SLOW, *DECAY, seconds)[0]


def compensators(times, config):
    """The integral of the kernel's own intensity between events, by Gauss-Legendre pieces as long as the kernels live."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    kernel, last, out = Hawkes(1, config), None, []
    for t in times:
        ts = START + round(t * SECOND)
        if last is not None:
            edges = [x for x in (0.0, 0.1, 0.4, 1.5, 6.0, 25.0) if x < (ts - last) / SECOND] + [(ts - last) / SECOND]
            out.append(
                sum(
                    0.5
                    * (b - a)
                    * sum(w * kernel.intensity(last + round((a + 0.5 * (b - a) * (x + 1)) * SECOND), 1) for x, w in zip(nodes, weights, strict=True))
                    for a, b in itertools.pairwise(edges)
                )
            )
        kernel.push(ts, 1, 1.0)
        last = ts
    return np.array(out)


def test_time_rescaling():
    """Expected events between events are exponential with mean 1: for the true process, and not for one with too little fast excitation."""
    from liqcore.batch.hawkes_fit import kolmogorov

    times = simulated(11, 40_000.0)
    assert len(times) > 1000
    distance, p = kolmogorov(compensators(times, known()))
    assert p > 0.01, (distance, p)
    assert kolmogorov(compensators(times, known(fast=0.2)))[1] < 1e-4


@pytest.mark.parametrize("horizon", [0.05, 1.0, 15.0, 300.0])
def test_expected_events_solve_the_linear_system(horizon):
    """For two instruments of one group, excited differently."""
    config = HawkesConfig(fast=0.5, slow=0.25, cross=0.1, size_power=0.0)
    kernel = Hawkes(2, config)
    ts = START
    for gap, who in ((0, 0), (1, 1), (2, 0), (10**7, 0), (10**9, 1), (0, 0), (5 * 10**7, 0)):
        ts += gap
        kernel.push(ts, 1, 100.0, who)
    truth = oracle.Hawkes(2, **config.as_dict())
    truth.events = [
        (START, 0, 1, 1.0),
        (START + 1, 1, 1, 1.0),
        (START + 3, 0, 1, 1.0),
        (START + 3 + 10**7, 0, 1, 1.0),
        (START + 3 + 10**7 + SECOND, 1, 1, 1.0),
        (START + 3 + 10**7 + SECOND, 0, 1, 1.0),
        (ts, 0, 1, 1.0),
    ]
    sums = {i: [truth.total(ts, 1, i, d, True) for d in (truth.fast_decay, truth.slow_decay)] for i in (0, 1, None)}
    own, everything, seconds = truth.counted(ts, 1, 0)
    base = (1 - truth.n) * truth.rate(ts, 1, 0)
    group_base = (1 - truth.n) * (everything + 20.0) / (seconds + 10.0 / (0.5 / 60.0))
    want = oracle.mean_horizon(
        0.5, 0.25, 0.1, truth.fast_decay, truth.slow_decay, horizon, base, sums[0], (own + 10) / (everything + 20), group_base, sums[None]
    )
    assert kernel.expected(ts, 1, horizon) == pytest.approx(want, rel=2e-5)
    assert kernel.expected_notional(ts, 1, horizon) == pytest.approx(100.0 * want, rel=2e-5)


def test_the_next_large_event_comes_as_often_as_promised():
    """Monte Carlo from one excited state: the share of continuations with a large event among them, against the generating function."""
    kernel = Hawkes(1, known())
    kernel.push(START, 1, 1.0)
    kernel.push(START + SECOND // 50, 1, 1.0)
    now = START + SECOND // 10
    state = [math.exp(-d * 0.1) + math.exp(-d * 0.08) for d in DECAY]
    rng, hits, events, trials = random.Random(3), 0, 0, 6000
    for _ in range(trials):
        f, s, t = *state, 0.0
        large = False
        while True:
            bound = RATE * 0.2 + FAST * DECAY[0] * f + SLOW * DECAY[1] * s
            step = rng.expovariate(bound)
            t += step
            if t > 15.0:
                break
            f, s = f * math.exp(-DECAY[0] * step), s * math.exp(-DECAY[1] * step)
            if rng.random() * bound <= RATE * 0.2 + FAST * DECAY[0] * f + SLOW * DECAY[1] * s:
                f, s, events = f + 1, s + 1, events + 1
                large = large or rng.random() < 0.2
        hits += large
    p = kernel.next_large(now, 1, 15.0, 0.2)
    assert abs(hits / trials - p) < 4 * math.sqrt(p * (1 - p) / trials), (hits / trials, p)
    assert events / trials == pytest.approx(kernel.expected(now, 1, 15.0), rel=0.1)
    assert p < 1 - math.exp(-0.2 * kernel.expected(now, 1, 15.0))  # clustering: less than if the expected events came independently
    assert kernel.next_large(now, 0, 15.0, 0.2) > p  # either side
    assert kernel.next_large(now, 1, 15.0, 0.05) < p and kernel.next_large(now, 1, 1.0, 0.2) < p


@pytest.mark.parametrize("branching", [0.3, 0.6, 0.85])
def test_both_estimates_find_the_branching_ratio(branching):
    rng = random.Random(8)
    share = branching / 0.8
    times, _ = oracle.simulate(rng, 0.1, FAST * share, SLOW * share, *DECAY, 40_000.0)
    ts = START + (np.array(times) * SECOND).astype(np.int64)
    config = HawkesConfig(**TRUE, branching_s=20_000.0, fit_events=2000.0, base_s=30_000.0)
    got = Hawkes(1, config).run(ts, np.ones(len(ts), np.int8), np.ones(len(ts)))
    assert got[-1, 2] == pytest.approx(branching, abs=0.1)  # the fit
    assert got[-1, 3] == pytest.approx(branching, abs=0.12)  # the counts


def test_the_fit_finds_the_parameters():
    from liqcore.batch.hawkes_fit import fit, kolmogorov, residuals

    times, marks = oracle.simulate(random.Random(2), 0.02, 0.5, 0.35, DECAY[0], DECAY[1], 60_000.0, lambda rng: rng.expovariate(1.0))
    found = fit(times, marks, start_s=0.0, end_s=60_000.0)
    assert found.branching == pytest.approx((0.5, 0.35), abs=0.06) and found.half_life_s == pytest.approx((0.06, 3.0), rel=0.15)
    assert found.base_per_s == pytest.approx(0.02, rel=0.15) and found.log_likelihood > found.log_likelihood_poisson + 1000
    assert kolmogorov(residuals(found, times, marks))[1] > 0.01
    for bad in (
        {"ts": times[:20]},
        {"ts": times[::-1]},
        {"ts": times, "end_s": 5.0},
        {"ts": times, "marks": marks[:-1]},
        {"ts": times, "half_life_s": ()},
    ):
        with pytest.raises(ValueError, match="expected"):
            fit(**bad)


#: data.md part 2: base per minute, branching fast and slow, half-lives; one kernel: branching, half-life
TABLE = {
    "BTC-USDT-SWAP": (0.21, 0.61, 0.29, 0.056, 1.5, 0.84, 0.20),
    "SOL-USDT-SWAP": (0.09, 0.59, 0.29, 0.10, 4.5, 0.79, 0.32),
    "DOGE-USDT-SWAP": (0.13, 0.57, 0.31, 0.09, 3.6, 0.77, 0.32),
    "BTCUSDT": (0.29, 0.66, 0.20, 5.8, 64.0, 0.79, 7.7),
}


@needs_data
@pytest.mark.parametrize("symbol", list(TABLE))
def test_the_fit_reproduces_the_table_of_the_captures(symbol):
    """Full feeds; and the throttled one, whose half-lives are those of the throttle, a hundred times too long."""
    from liqcore.batch.hawkes_fit import fit

    source = "liq-binance-btcusdt-2024-12" if symbol == "BTCUSDT" else "liq-okx-hyperliquid"
    stream = next(s for s in streams() if s.name == source and s.symbol == symbol)
    found, one = fit(stream.ts / 1e9), fit(stream.ts / 1e9, half_life_s=(0.5,))
    got = (found.base_per_s * 60, *found.branching, *found.half_life_s, *one.branching, *one.half_life_s)
    assert got == pytest.approx(TABLE[symbol], rel=0.05, abs=0.006)
    assert found.log_likelihood > one.log_likelihood > found.log_likelihood_poisson


# ---- what is particular ----


def test_a_group_shares_out_what_crosses():
    """An event raises everybody's intensity by the same total however many instruments there are; another group hears nothing of it."""
    for count in (1, 2, 50):
        kernel = Hawkes([0] * count + [1], HawkesConfig(fast=0.0, slow=0.0, cross=0.4))
        for n in range(count):
            kernel.push(START, 1, 100.0, n)
        before = [kernel.intensity(START, 1, n) for n in range(count + 1)]
        kernel.push(START, 1, 100.0, 0)
        after = [kernel.intensity(START, 1, n) for n in range(count + 1)]
        jump = sum(after[:count]) - sum(before[:count])
        assert jump == pytest.approx(0.4 * math.log(2) / 3.0, rel=0.02)  # the rest: its own baseline has risen
        assert after[count] == before[count]


def test_sides_do_not_excite_each_other():
    kernel = Hawkes(1)
    kernel.push(START, 1, 100.0)
    short = kernel.intensity(START, -1)
    kernel.push(START, 1, 100.0)
    assert kernel.intensity(START, -1) == short and kernel.intensity(START, 1) > 10 * short
    mirror = Hawkes(1)
    mirror.push(START, -1, 100.0)
    mirror.push(START, -1, 100.0)
    assert mirror.intensity(START, -1) == kernel.intensity(START, 1) and mirror.intensity(START, 1) == short


def test_size_counts():
    small, large = Hawkes(1), Hawkes(1)
    for kernel, last in ((small, 100.0), (large, 1e4)):
        for n in range(200):
            kernel.push(START + n * 100 * SECOND, 1, 100.0)
        kernel.push(START + 20_000 * SECOND, 1, last)
    now = START + 20_000 * SECOND
    assert large.intensity(now, 1) == pytest.approx(10.0 * small.intensity(now, 1), rel=1e-3)  # sqrt(100), which is also mark_max


def test_the_percentile_is_of_thirty_days_and_its_memory_constant():
    kernel = Hawkes(1, HawkesConfig(history_min_s=86_400.0))
    size = sys.getsizeof(kernel)
    assert size < 40_000
    calm, ts = [], START
    for n in range(4000):  # 55 days of lone events
        ts += 20 * 60 * SECOND
        kernel.push(ts, 1, 100.0)
        if n == 50:
            assert math.isnan(kernel.percentile("fit"))
        calm.append(kernel.percentile("fit"))
    for _ in range(60):  # and one burst
        ts += SECOND // 50
        kernel.push(ts, 1, 100.0)
    assert kernel.percentile("fit") > 0.99 and kernel.branching("fit") > kernel.branching("counts")
    assert calm[-1] < 0.9 and sys.getsizeof(kernel) == size
    for _ in range(31 * 72):  # a month later the burst is history
        ts += 20 * 60 * SECOND
        kernel.push(ts, 1, 100.0)
    assert kernel.branching("fit") == pytest.approx(0.0, abs=0.1)


def test_bad_input_changes_nothing():
    kernel = Hawkes(2)
    kernel.push(START, 1, 10.0)
    image = kernel.snapshot()
    for ts, side, x, who in (
        (START, 0, 1.0, 0),
        (START - 1, 1, 1.0, 0),
        (START, 1, math.nan, 0),
        (START, 1, 0.0, 0),
        (START, 1, 2.0**41, 0),
        (START, 1, 1.0, 2),
        (START, 1, 1.0, -1),
        (2**62, 1, 1.0, 0),
    ):
        with pytest.raises(ValueError, match="expected"):
            kernel.push(ts, side, x, who)
    with pytest.raises(ValueError, match="event 1"):
        kernel.run([START, START + 1], [1, 1], [1.0, math.inf])
    with pytest.raises(ValueError, match="expected"):
        kernel.branching("best")
    for bad in (
        b"",
        b"x" * 60,
        image[:-1],
        image + b"\0",
        Hawkes(2, HawkesConfig(fast=0.1)).snapshot(),
        Hawkes(3).snapshot(),
        Hawkes([0, 1]).snapshot(),
    ):
        with pytest.raises(ValueError, match="snapshot"):
            kernel.restore(bad)
    assert kernel.snapshot() == image
    for options in (
        {"fast": 0.9},
        {"fast": 0.0, "slow": 0.0, "cross": 0.0},
        {"fast": -0.1},
        {"slow_s": 0.01},
        {"size_power": 2.0},
        {"bin_s": 0.1, "history_s": 9e8},
        {"mark_max": math.nan},
    ):
        with pytest.raises(ValueError, match="expected"):
            HawkesConfig(**options)
    for groups in (0, [], [0, 2], [-1]):
        with pytest.raises(ValueError, match="groups"):
            Hawkes(groups)
    assert HawkesConfig(**HawkesConfig(fast=0.5).as_dict()) == HawkesConfig(fast=0.5)
