"""The cascade detector over arrays: bit for bit what the engine says, on captures and on hard generated streams."""

import math

import numpy as np
import pytest
from captures import large_streams, needs_data, streams
from captures import market as captured_market
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import EAGER, instruments
from markets import market as generated_market
from test_detect import CONFIGS, OPTIONS, SHAPES, generated

from liqcore import (
    SECOND,
    SIGNAL_DTYPE,
    Cascade,
    CascadeConfig,
    Engine,
    Instrument,
    Risk,
)
from liqcore.batch_cascade import cascade, cascades

FIELDS = [name for name in SIGNAL_DTYPE.names if name != "instrument"]


def as_rows(signals) -> list[tuple]:
    """Signal objects or SIGNAL_DTYPE rows, every field, z to the bit."""
    if isinstance(signals, np.ndarray):
        return [tuple(row[name].item() for name in FIELDS) for row in signals]
    return [tuple(float(getattr(s, name)) if SIGNAL_DTYPE[name].kind == "f" else int(getattr(s, name)) for name in FIELDS) for s in signals]


@needs_data
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stream", large_streams(), ids=lambda stream: f"{stream.name}-{stream.symbol}")
def test_batch_equals_the_engine_to_the_bit_on_captures(stream, name):
    config = CascadeConfig(**CONFIGS[name])
    expected_rows = as_rows(Engine([stream.instrument()], config).run(stream.events()))
    assert as_rows(cascade(stream.ts, stream.side, stream.notional, config, price=stream.price)) == expected_rows


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(1, 400), OPTIONS)
def test_batch_equals_the_stream_to_the_bit_on_generated_streams(shape, seed, count, options):
    ts, side, notional = generated(shape, seed, count)
    detector = Cascade(CascadeConfig(**options))
    said = [s for row in zip(ts, side, notional, strict=True) for s in detector.push(*row)]
    assert as_rows(cascade(ts, side, notional, CascadeConfig(**options))) == as_rows(said)
    end = ts[-1] + 500 * SECOND
    assert as_rows(cascade(ts, side, notional, CascadeConfig(**options), until=end)) == as_rows(said + detector.advance(end))


def test_batch_equals_the_stream_in_a_burst_denser_than_the_decay_window_and_at_extreme_notionals():
    r = np.random.default_rng(5)
    ts, side = np.arange(6000) * 1000, r.choice([1, -1], 6000)
    for notional in (np.exp(r.normal(7, 2, 6000)), np.minimum(np.exp(r.normal(0, 12, 6000)), 2.0 ** 40), np.where(r.random(6000) < 0.1, 2.0 ** 40, 1e-9)):
        config = CascadeConfig(warmup=1, quantile=0.5, window_events=100)
        detector = Cascade(config)
        said = [s for row in zip(ts.tolist(), side.tolist(), notional.tolist(), strict=True) for s in detector.push(*row)]
        assert as_rows(cascade(ts, side, notional, config)) == as_rows(said)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 2.0]))
def test_batch_of_a_whole_feed_equals_the_engine_in_order(seed, age):
    rows = generated_market(seed, 2000, 3)
    said = Engine(instruments(3), EAGER, None, Risk(event_age_max_s=age)).run(rows)
    got = cascades(rows, instruments(3), EAGER, event_age_max_s=age)
    assert got["instrument"].tolist() == [s.instrument for s in said]
    assert as_rows(got) == as_rows(said)


@needs_data
def test_batch_of_all_captures_equals_the_engine():
    config = CascadeConfig(warmup=5, quantile=0.8)
    picked = [stream for stream in streams() if stream.name == "liq-binance-allmarket-2024-08"]
    originals, events = captured_market(picked)
    names = [Instrument(f"{n}:{i.symbol}", tick_size=i.tick_size, completeness=2) for n, i in enumerate(originals)]
    said = Engine(names, config).run(events)
    assert len(said) > 20 and as_rows(cascades(events, names, config)) == as_rows(said)


@pytest.mark.parametrize(("ts", "side", "notional", "price", "match"), [
    ([2, 1], [1, 1], [1.0, 1.0], None, "ts: decreases, at index 1"), ([1, 2], [1, 0], [1.0, 1.0], None, "side.*index 1"),
    ([1, 2], [1, 1], [1.0, math.nan], None, "notional.*index 1"), ([1, 2], [1, 1], [0.0, 1.0], None, "notional.*index 0"),
    ([1, 2], [1], [1.0, 1.0], None, "one length"), ([1], [1], [1.0], [1.0, 2.0], "one length"), ([-1], [1], [1.0], None, "negative"),
    ([1], [1], [2.0 ** 41], None, "notional.*index 0")])
def test_batch_names_what_is_wrong_with_its_arrays(ts, side, notional, price, match):
    with pytest.raises(ValueError, match=match):
        cascade(ts, side, notional, price=price)


def test_batch_of_nothing_is_nothing():
    assert len(cascade([], [], [])) == 0
