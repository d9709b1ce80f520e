"""The cascade detector: the plain-Python oracle, the engine in every way of feeding it, and the class on its own say the same, bit for bit."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.detect import CascadeOracle

from captures import large_streams, market, needs_data, streams
from liqcore import (
    LONG,
    SECOND,
    SHORT,
    Cascade,
    CascadeConfig,
    Engine,
    Instrument,
    Phase,
)
from liqcore.event import SignalFlag

pytestmark = pytest.mark.core

CONFIGS = {
    "chain": {},
    "anchored": {"mode": "anchored"},
    "chain hourly": {"refresh_s": 3600.0},
    "anchored hourly": {"mode": "anchored", "refresh_s": 3600.0},
    "early": {"quantile": 0.8, "warmup": 5, "window_events": 50, "min_events": 3, "window_s": 5.0, "decay_s": 2.0},
    "early anchored hourly": {"quantile": 0.9, "warmup": 1, "window_events": 7, "mode": "anchored", "refresh_s": 3600.0, "window_s": 1.0},
    "floor": {"quantile": 0.5, "floor": 5_000.0, "warmup": 20, "fall": 0.3},
    "single": {"min_events": 1, "warmup": 50, "window_events": 200, "segment_s": 10.0, "baseline": 40, "quantile": 0.99},
}


def oracle_of(options: dict) -> CascadeOracle:
    seconds = {name: round(options[name + "_s"] * 1e9) for name in ("window", "refresh", "decay", "segment") if name + "_s" in options}
    plain = {name: value for name, value in options.items() if not name.endswith("_s") and name != "mode"}
    return CascadeOracle(**plain, **{name + "_ns": value for name, value in seconds.items()}, anchored=options.get("mode") == "anchored")


def expected(stream, options: dict) -> list:
    oracle = oracle_of(options)
    rows = zip(stream.ts.tolist(), stream.side.tolist(), stream.notional.tolist(), stream.price.tolist(), strict=True)
    return [said for row in rows for said in oracle.push(*row)]


def exact(said) -> tuple:
    """What must agree to the last bit; of an oracle's Said or of the engine's Signal."""
    phase = said.phase if isinstance(said.phase, str) else said.phase.name
    return (
        said.ts,
        phase,
        int(said.side),
        said.count,
        said.long_notional,
        said.short_notional,
        said.threshold,
        said.sequence,
        said.price,
        said.rolling,
        said.score,
    )


def assert_same(signals, oracle_says):
    assert [exact(s) for s in signals] == [exact(s) for s in oracle_says]
    for signal, said in zip(signals, oracle_says, strict=True):
        assert abs(signal.z - said.z) <= said.z_error, (signal, said)


def cut(count: int, seed: int, pieces: int = 9) -> list[slice]:
    edges = sorted({0, count, *random.Random(seed).choices(range(count + 1), k=pieces)})
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]


@needs_data
def test_the_captures_are_there():
    assert len(large_streams()) >= 7
    assert sum(len(stream.ts) for stream in streams()) > 7000


@needs_data
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stream", large_streams(), ids=lambda stream: f"{stream.name}-{stream.symbol}")
def test_capture_equals_the_oracle_in_every_way_of_feeding(stream, name):
    config = CascadeConfig(**CONFIGS[name])
    says = expected(stream, CONFIGS[name])
    events = stream.events()

    def engine():
        return Engine([stream.instrument()], config)

    whole = engine()
    assert_same(whole.run(events), says)
    assert whole.refused == {}

    single = engine()
    rows = zip(stream.ts.tolist(), stream.side.tolist(), stream.price.tolist(), stream.qty.tolist(), stream.notional.tolist(), strict=True)
    streamed = [signal for ts, side, price, qty, notional in rows for signal in single.on_liquidation(ts, ts, 0, side, price, qty, notional)]
    assert_same(streamed, says)

    chunked, restored = engine(), engine()
    in_chunks, after_restore = [], []
    for piece in cut(len(events), seed=len(events)):
        in_chunks += chunked.run(events[piece])
        snapshot = restored.snapshot()
        restored = engine()
        restored.restore(snapshot)
        after_restore += restored.run(events[piece])
    assert in_chunks == after_restore == streamed
    assert chunked.snapshot() == whole.snapshot()

    alone = Cascade(config)
    rows = zip(stream.ts.tolist(), stream.side.tolist(), stream.notional.tolist(), stream.price.tolist(), strict=True)
    assert_same([signal for row in rows for signal in alone.push(*row)], says)


@needs_data
@pytest.mark.parametrize("mode", ["chain", "anchored"])
def test_all_captures_as_one_feed_keep_instruments_apart(mode):
    options = {"mode": mode, "warmup": 5, "quantile": 0.8}
    instruments, events = market([stream for stream in streams() if stream.name != "liq-okx-hyperliquid"])
    names = [f"{n}:{i.symbol}" for n, i in enumerate(instruments)]
    engine = Engine([Instrument(name, tick_size=i.tick_size) for name, i in zip(names, instruments, strict=True)], CascadeConfig(**options))
    signals = engine.run(events)
    assert signals and len(instruments) > 50
    now = int(events["ts_recv"][-1])
    for n in range(len(instruments)):
        oracle = oracle_of(options)
        own = events[events["instrument"] == n]
        says = [said for e in own for said in oracle.push(int(e["ts_recv"]), int(e["side"]), float(e["aux_price"]), float(e["price"]))]
        assert_same([s for s in signals if s.instrument == n], says + oracle.advance(now))


@needs_data
def test_the_notional_is_quantity_times_multiplier_times_price_where_the_source_states_none():
    stream = large_streams()[0]
    events = stream.events(stated=False)
    events["qty"] /= 0.01
    instrument = Instrument(stream.symbol, tick_size="0.01", multiplier=0.01)
    oracle = oracle_of({})
    rows = zip(stream.ts.tolist(), stream.side.tolist(), (events["qty"] * 0.01 * stream.price).tolist(), stream.price.tolist(), strict=True)
    assert_same(Engine([instrument]).run(events), [said for row in rows for said in oracle.push(*row)])


# ---- generated streams ----

SHAPES = ("drift", "rising", "falling", "ties", "spikes", "bursts", "gaps", "mixed")


def generated(shape: str, seed: int, count: int) -> tuple[list[int], list[int], list[float]]:
    """Times, sides and notionals of one hard shape; prototypes were wrong exactly on these."""
    r = np.random.default_rng(seed)
    notional = np.exp(r.normal(7.0, 2.0, count))
    gaps = r.integers(0, 20 * SECOND, count)
    if shape == "drift":
        notional *= np.exp(np.linspace(0.0, r.normal(0, 6), count))
    elif shape == "rising":
        notional = np.sort(notional)
    elif shape == "falling":
        notional = np.sort(notional)[::-1].copy()
    elif shape == "ties":
        notional = r.choice([10.0, 10.0, 10.0, 20.0, 30.0], count)
    elif shape == "spikes":
        notional[r.random(count) < 0.03] = 1e9
    elif shape == "bursts":
        gaps = np.where(r.random(count) < 0.9, r.integers(0, SECOND // 100, count), gaps)
    elif shape == "gaps":
        gaps = np.where(r.random(count) < 0.03, r.integers(0, 5 * 86_400 * SECOND, count), gaps)
    else:
        gaps = np.where(r.random(count) < 0.7, 0, gaps * 4)
        notional = np.where(r.random(count) < 0.3, np.round(notional, -3) + 1.0, notional)
        notional[r.random(count) < 0.01] = 1e9
        gaps[r.random(count) < 0.01] = 86_400 * SECOND * int(r.integers(1, 40))
    sides = r.choice([1, -1], count, p=(p := r.random(), 1.0 - p))
    notional = np.clip(notional, 0.001, 2.0**40)  # below 2**-12 the rolling notional loses what is below 2**-64 (window.pxd)
    return (1_700_000_000 * SECOND + np.cumsum(gaps)).tolist(), sides.tolist(), notional.tolist()


OPTIONS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["chain", "anchored"]),
        "refresh_s": st.sampled_from([0.0, 0.0, 60.0, 3600.0]),
        "quantile": st.sampled_from([0.05, 0.5, 0.8, 0.95, 0.999]),
        "floor": st.sampled_from([0.0, 0.0, 1000.0, 1e6]),
        "min_events": st.integers(1, 4),
        "warmup": st.sampled_from([1, 2, 30, 100]),
        "window_events": st.sampled_from([2, 3, 17, 100, 1000]),
        "window_s": st.sampled_from([0.001, 1.0, 15.0, 60.0]),
        "decay_s": st.sampled_from([0.5, 10.0, 90.0]),
        "fall": st.sampled_from([0.0, 0.3, 0.6, 1.0]),
        "segment_s": st.sampled_from([1.0, 60.0]),
        "baseline": st.sampled_from([2, 40]),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(1, 400), OPTIONS, st.integers(0, 2**16))
def test_generated_streams_equal_the_oracle(shape, seed, count, options, where):
    ts, side, notional = generated(shape, seed, count)
    oracle, detector, config = oracle_of(options), None, CascadeConfig(**options)
    detector = Cascade(config)
    for n in range(count):
        if n == where % count:
            other = Cascade(config)
            other.restore(detector.snapshot())
            detector = other
        assert_same(detector.push(ts[n], side[n], notional[n], 1.0 + n), oracle.push(ts[n], side[n], notional[n], 1.0 + n))
    end = ts[-1] + 200 * SECOND
    assert_same(detector.advance(end), oracle.advance(end))


def test_a_burst_denser_than_the_decay_window_remembers_only_its_newest_events():
    """2,048 liquidations of one instrument inside the decay window; more, and the rolling notional leaves out the oldest."""
    options = {"warmup": 1, "quantile": 0.5, "window_events": 100}
    detector, oracle, r = Cascade(CascadeConfig(**options)), oracle_of(options), random.Random(3)
    for n in range(5000):
        row = (n * 1000, r.choice((1, -1)), r.lognormvariate(7, 2), 1.0)
        assert_same(detector.push(*row), oracle.push(*row))
    signals = detector.advance(60 * SECOND + 5_000_000)
    assert_same(signals, oracle.advance(60 * SECOND + 5_000_000))
    assert [s.phase for s in signals] == [Phase.DECELERATING, Phase.EXHAUSTED]


# ---- the rules, one by one ----


def warm(config: CascadeConfig, count: int = 100) -> Cascade:
    """A detector that has learnt `count` liquidations of 100, an hour apart from what follows: its threshold is 100."""
    detector = Cascade(config)
    for n in range(count):
        detector.push(n, 1, 100.0 - n * 1e-9)
    return detector


def phases(signals) -> list[str]:
    return [s.phase.name for s in signals]


def test_nothing_is_large_before_the_warm_up_is_over():
    """A threshold is learnt, never assumed; until enough is known there is none, and the detector is silent."""
    detector = Cascade(CascadeConfig(warmup=100))
    for n in range(100):
        assert math.isnan(detector.threshold)
        assert detector.push(n * SECOND, LONG, 1e6 * (n + 1)) == []
    assert detector.threshold == float(np.quantile([1e6 * (n + 1) for n in range(100)], 0.95))
    assert phases(detector.push(100 * SECOND, LONG, 1e9)) == ["BUILDING"]


def test_thresholds_scale_with_the_data_so_none_is_hard_coded():
    """The same stream in other units of money gives the same cascades, and thresholds in those units (powers of two: to the bit)."""
    ts, side, notional = generated("mixed", 5, 600)

    def run(factor):
        detector = Cascade(CascadeConfig(warmup=30))
        return [s for row in zip(ts, side, [x * factor for x in notional], strict=True) for s in detector.push(*row)]

    base, scaled = run(1.0), run(2.0**-13)
    assert len(base) > 10
    assert [(s.ts, s.phase, s.side, s.count, s.threshold) for s in base] == [(s.ts, s.phase, s.side, s.count, s.threshold * 2.0**13) for s in scaled]


def test_the_threshold_is_read_before_the_event_enters():
    detector = warm(CascadeConfig(quantile=0.5))
    before = detector.threshold
    (signal,) = detector.push(3600 * SECOND, SHORT, 1e9)
    assert signal.threshold == before
    assert detector.threshold > before


def test_an_event_equal_to_the_threshold_is_large_and_one_just_below_is_not():
    config = CascadeConfig(floor=5000.0)
    assert phases(warm(config).push(3600 * SECOND, LONG, 5000.0)) == ["BUILDING"]
    assert warm(config).push(3600 * SECOND, LONG, math.nextafter(5000.0, 0.0)) == []


def test_chain_and_anchored_differ_when_a_run_outlives_the_window():
    """The guide's text against its own code: the text opens one fixed 60 s window, the code chains any gap of at most 60 s."""

    def run(mode):
        detector = warm(CascadeConfig(mode=mode))
        out = []
        for at in (0, 40, 80, 120):
            out += detector.push((3600 + at) * SECOND, LONG, 1e6)
        return [(s.ts // SECOND - 3600, s.phase.name, s.sequence, s.count) for s in out if s.phase != Phase.DECELERATING]

    assert run("chain") == [(0, "BUILDING", 1, 1), (40, "ACTIVE", 1, 2), (80, "ACTIVE", 1, 3), (120, "ACTIVE", 1, 4)]
    assert run("anchored") == [(0, "BUILDING", 1, 1), (40, "ACTIVE", 1, 2), (60, "EXHAUSTED", 1, 2), (80, "BUILDING", 2, 1), (120, "ACTIVE", 2, 2)]


@pytest.mark.parametrize(("gap", "belongs"), [(60 * SECOND, True), (60 * SECOND + 1, False)])
@pytest.mark.parametrize("mode", ["chain", "anchored"])
def test_the_window_includes_its_last_nanosecond(mode, gap, belongs):
    detector = warm(CascadeConfig(mode=mode))
    start = 3600 * SECOND
    detector.push(start, LONG, 1e6)
    assert phases(detector.push(start + gap, LONG, 1e6)) == (["ACTIVE"] if belongs else ["BUILDING"])


def test_a_cascade_slows_when_its_rolling_notional_has_fallen_and_ends_in_silence():
    detector = warm(CascadeConfig())
    start = 3600 * SECOND
    detector.push(start, SHORT, 1e6)
    detector.push(start + SECOND, SHORT, 5e5)
    assert detector.phase == Phase.ACTIVE
    slow, done = detector.advance(start + 1000 * SECOND)
    assert (slow.phase, slow.ts, slow.rolling) == (Phase.DECELERATING, start + 10 * SECOND + 1, 5e5)
    assert (done.phase, done.ts, done.rolling) == (Phase.EXHAUSTED, start + 61 * SECOND + 1, 0.0)
    assert detector.phase == Phase.IDLE
    detector.push(start + 2000 * SECOND, SHORT, 1e6)
    assert detector.push(start + 2001 * SECOND, SHORT, 1e6)[0].sequence == 2


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_side_and_imbalance_follow_the_liquidated_side(side):
    """The side is that of the position closed by force; imbalance = (short - long) / total."""
    detector = warm(CascadeConfig())
    detector.push(3600 * SECOND, side, 3e6)
    (signal,) = detector.push(3601 * SECOND, -side, 1e6)
    assert signal.side == side
    assert signal.imbalance == (-0.5 if side == LONG else 0.5)
    assert (signal.long_notional, signal.short_notional) == ((3e6, 1e6) if side == LONG else (1e6, 3e6))
    assert signal.notional == 4e6


def test_a_tie_of_sides_goes_to_the_latest():
    for last in (LONG, SHORT):
        detector = warm(CascadeConfig())
        detector.push(3600 * SECOND, -last, 1e6)
        assert detector.push(3601 * SECOND, last, 1e6)[0].side == last


@pytest.mark.parametrize("refresh_s", [0.0, 3600.0])
def test_a_refreshed_threshold_waits_for_its_hour(refresh_s):
    detector = Cascade(CascadeConfig(warmup=10, refresh_s=refresh_s, quantile=0.5))
    for n in range(10):
        detector.push(n * SECOND, LONG, 100.0)
    detector.push(20 * SECOND, LONG, 10.0)  # learns the first threshold: 100
    for n in range(40):
        detector.push((30 + n) * SECOND, LONG, 10.0)
    at = 20 * SECOND + 3600 * SECOND
    detector.advance(at - 2)
    assert phases(detector.push(at - 1, LONG, 50.0)) == (["BUILDING"] if refresh_s == 0.0 else [])
    assert phases(detector.push(at, LONG, 50.0)) == (["ACTIVE"] if refresh_s == 0.0 else ["BUILDING"])


# ---- settings and snapshots ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantile", 0.0),
        ("quantile", 1.0),
        ("quantile", math.nan),
        ("window_s", 0.0),
        ("window_s", math.nan),
        ("refresh_s", -1.0),
        ("decay_s", math.inf),
        ("segment_s", 0.0),
        ("fall", 1.1),
        ("floor", -1.0),
        ("window_events", 1),
        ("min_events", 0),
        ("warmup", 0),
        ("baseline", 1),
        ("mode", "both"),
        ("notional", "fair"),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        CascadeConfig(**{name: value})


@given(OPTIONS)
def test_settings_recreate_themselves(options):
    config = CascadeConfig(**options)
    again = CascadeConfig(**config.as_dict())
    assert again == config and hash(again) == hash(config) and repr(again) == repr(config)
    assert eval(repr(config)) == config


@pytest.mark.parametrize("bad", [b"", b"x" * 7, b"\x08" + b"\0" * 7 + b"x" * 8, b"\xff" * 64])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(bad):
    detector = warm(CascadeConfig())
    before = detector.snapshot()
    for data in (bad, before[:-1], before[:200], before + b"x"):
        with pytest.raises(ValueError, match="snapshot"):
            detector.restore(data)
        assert detector.snapshot() == before


@pytest.mark.parametrize("other", [{"window_events": 999}, {"quantile": 0.9}, {"decay_s": 11.0}, {"segment_s": 61.0}, {"baseline": 287}])
def test_a_snapshot_of_other_kernel_settings_is_refused_and_changes_nothing(other):
    detector = warm(CascadeConfig(**other))
    before = detector.snapshot()
    with pytest.raises(ValueError, match="snapshot"):
        detector.restore(warm(CascadeConfig()).snapshot())
    assert detector.snapshot() == before


@pytest.mark.parametrize("bad", [(0, 1.0), (1, 0.0), (1, -1.0), (1, math.nan), (1, math.inf), (1, 2.0**41), (2, 5.0)])
def test_the_detector_alone_refuses_what_the_door_would(bad):
    detector = warm(CascadeConfig())
    before = detector.snapshot()
    with pytest.raises(ValueError, match="side"):
        detector.push(10**12, *bad)
    assert detector.snapshot() == before


def test_the_signal_says_what_it_was_made_from():
    from liqcore import Completeness

    for basis, completeness, flags in (
        ("reported", Completeness.COMPLETENESS_FULL, 0),
        ("reported", Completeness.COMPLETENESS_CENSORED, SignalFlag.SIGNAL_CENSORED),
        ("mark", Completeness.COMPLETENESS_FULL, SignalFlag.SIGNAL_MARK_NOTIONAL),
    ):
        engine = Engine([Instrument("BTCUSDT", completeness=completeness)], CascadeConfig(warmup=1, min_events=1, notional=basis))
        engine.on_liquidation(0, 0, 0, LONG, 100.0, 1.0)
        (signal,) = engine.on_liquidation(SECOND, SECOND, 0, LONG, 100.0, 1.0)
        assert signal.flags == flags


@pytest.mark.parametrize(("basis", "price"), [("reported", 100.0), ("mark", 90.0), ("last", 95.0)])
def test_the_notional_is_taken_at_the_configured_price(basis, price):
    engine = Engine(["BTCUSDT"], CascadeConfig(warmup=1, min_events=1, notional=basis))
    engine.on_liquidation(0, 0, 0, LONG, 100.0, 0.001)
    engine.on_ticker(1, 1, 0, 90.0)
    engine.on_trade(1, 1, 0, LONG, 95.0, 1.0)
    (signal,) = engine.on_liquidation(SECOND, SECOND, 0, LONG, 100.0, 2.0)
    assert signal.long_notional == 2.0 * price
    assert signal.price == 95.0
