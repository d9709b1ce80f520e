"""Detectors over whole arrays: many instruments in parallel say what one stream for each says, and what the plain-Python oracle says."""

import contextlib
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import large_streams, market, needs_data
from detector_rig import LOUD, OPTIONS, ORACLES, SHAPES, START, alone, assert_same, generated
from liqcore import EVENT_DTYPE, SECOND, Instrument, Kind, Standalone
from liqcore.detectors.registry import KINDS, make_detector


def feed(shape: str, seed: int, count: int, instruments: int) -> np.ndarray:
    """Liquidations of several instruments, in order of receipt."""
    r, events = np.random.default_rng(seed), np.zeros(count, EVENT_DTYPE)
    events["ts_recv"], events["side"], events["aux_price"] = generated(shape, seed, count)
    events["ts_event"], events["kind"], events["price"] = events["ts_recv"], Kind.LIQUIDATION, 1.0 + np.arange(count)
    events["qty"], events["instrument"] = 1.0, r.integers(0, instruments, count)
    return events


def own(events: np.ndarray, n: int) -> np.ndarray:
    out = events[events["instrument"] == n]
    out["instrument"] = 0
    return out


@pytest.mark.parametrize("kind", sorted(ORACLES))
@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(1, 6), st.sampled_from([1, 2, 7]))
def test_each_stream_says_what_its_oracle_says(kind, data, shape, seed, count, instruments, threads):
    options = data.draw(OPTIONS[kind])
    events = feed(shape, seed, count, instruments)
    streams = [alone(kind, options) for _ in range(instruments)]
    said = Standalone.run_all(streams, events, threads)
    for n in range(instruments):
        oracle = ORACLES[kind](**options)
        rows = own(events, n)[["ts_recv", "side", "aux_price", "price"]].tolist()
        says = [s for row in rows for s in oracle.push(*row)]
        if not getattr(oracle, "ambiguous", False):
            assert_same(said[n], says)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [2, 3])
def test_in_pieces_and_one_by_one_it_is_the_same(kind, threads):
    """And the state that is left is the same; trades, quotes and tickers among the liquidations."""
    options, events = LOUD.get(kind, {}), feed("bursts", 5, 4000, 5)
    events["kind"] = np.random.default_rng(1).choice([int(k) for k in (Kind.LIQUIDATION, Kind.TRADE, Kind.BBO, Kind.TICKER)], len(events))
    events["price"] = 100.0 + events["price"] % 7
    whole, parts, single = ([alone(kind, options, Instrument(name, multiplier=0.1)) for name in "ABCDE"] for _ in range(3))
    said = Standalone.run_all(whole, events, threads)
    first, second = Standalone.run_all(parts, events[:1717], threads), Standalone.run_all(parts, events[1717:], 1)
    assert [a + b for a, b in zip(first, second, strict=True)] == said == [s.run(own(events, n)) for n, s in enumerate(single)]
    assert [s.snapshot() for s in whole] == [s.snapshot() for s in parts] == [s.snapshot() for s in single]


@needs_data
def test_all_captures_at_once():
    streams = large_streams()[::3]
    instruments, events = market(streams)
    for kind in ("cascade", "dollar", "rate"):
        said = Standalone.run_all([alone(kind, {}, i) for i in instruments], events)
        assert said == [alone(kind, {}, i).run(own(events, n)) for n, i in enumerate(instruments)] and any(said)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("instrument", 3), r"events\[70\]: expected a market event of instrument 0 to 2, got kind 1 of instrument 3"),
        (("instrument", -1), "got kind 1 of instrument -1"),
        (("kind", Kind.FEED), "got kind 6"),
    ],
)
def test_events_of_others_are_named_and_nothing_is_taken(change, says):
    events, streams = feed("calm", 1, 100, 3), [alone("dollar", {}) for _ in range(3)]
    events[change[0]][70] = change[1]
    before = [s.snapshot() for s in streams]
    with pytest.raises(ValueError, match=says):
        Standalone.run_all(streams, events)
    assert [s.snapshot() for s in streams] == before


@pytest.mark.parametrize("threads", [1, 2])
def test_time_that_goes_back_is_named(threads):
    events, streams = feed("bursts", 1, 300, 2), [alone("imbalance", LOUD["imbalance"], name) for name in ("AUSDT", "BUSDT")]
    events["ts_recv"][np.flatnonzero(events["instrument"] == 1)[100]] = START - SECOND
    place = int(np.flatnonzero(events["ts_recv"] < START)[0])
    with pytest.raises(ValueError, match=rf"events\[{place}\], .*BUSDT.*time does not go back"):
        Standalone.run_all(streams, events, threads)
    assert streams[1].take() == alone("imbalance", LOUD["imbalance"]).run(own(events[:place], 1)) != []  # and is not lost


def test_streams_must_be_of_their_own():
    one = alone("dollar", {})
    for bad in ([], [one, one], [one, "BTCUSDT"], [one, None]):
        with pytest.raises(ValueError, match="streams: expected at least one Standalone"):
            Standalone.run_all(bad, feed("calm", 1, 5, 1))
    with pytest.raises(ValueError, match="threads: expected at least 1, got 0"):
        Standalone.run_all([one], feed("calm", 1, 5, 1), 0)
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        Standalone.run_all([one], np.zeros(3))


def test_a_stream_that_runs_in_another_thread_is_left_alone():
    """run() does not hold the GIL: this thread goes on meanwhile, and is told so where it touches the stream."""
    events = feed("bursts", 2, 200_000, 1)
    want = alone("cascade", {}).run(events)
    for _ in range(100):
        stream, said, refused = Standalone(make_detector("cascade")), [], set()

        def run(stream=stream, said=said):
            with contextlib.suppress(RuntimeError):  # this thread was in it at the moment: once more
                said.extend(stream.run(events))

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive() and len(refused) < 2:
            for name, touch in (("snapshot", stream.snapshot), ("run", lambda s=stream: s.run(events[:0]))):
                try:
                    touch()
                except RuntimeError as error:
                    assert "running in another thread" in str(error)
                    refused.add(name)
        thread.join()
        assert said in ([], want)
        if said and len(refused) == 2:
            return
    raise AssertionError("the stream never ran beside this thread")
