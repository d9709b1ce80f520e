"""The rules of the anomaly, rate and bars detectors, one by one; and all detectors side by side in an engine."""

import numpy as np
import pytest

from captures import large_streams, market, needs_data
from detector_rig import LOUD, ORACLES, START, alone
from liqcore import EVENT_DTYPE, LONG, SECOND, SHORT, Engine, FeedState, Instrument, Kind, Standalone
from liqcore.detectors.registry import make_detector
from liqcore.event import SIGNAL_DTYPE, SignalFlag

KINDS = sorted(ORACLES)
MINUTE = 60 * SECOND
BASE = START // (300 * SECOND) * 300 * SECOND


def names(signals) -> list[str]:
    return [s.phase.name for s in signals]


# ---- anomaly ----


def learnt(count: int = 20, side: int = LONG, **options):
    """Segments of 300 s with 10,000 and 12,000 in turn: mean 11,000, population deviation 1,000."""
    d = alone("anomaly", options)
    d.push(BASE - 1, side, 1e9)  # of the segment that we came into: not learnt
    for n in range(count):
        assert d.push(BASE + n * 300 * SECOND, side, 10_000.0 if n % 2 else 12_000.0) == []
    return d, BASE + count * 300 * SECOND


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_segment_that_stands_out_is_said_at_its_end(side):
    """Judged once a segment, against the population deviation of the segments before it, itself not among them; both sides."""
    d, at = learnt()
    assert d.push(at, side, 60_000.0) == [] and d.push(at + SECOND, -side, 5_000.0) == []
    (active,) = d.advance(at + 300 * SECOND)
    assert (active.ts, active.ts_start, active.phase.name, active.side, active.count) == (at + 300 * SECOND, at, "ACTIVE", side, 2)
    assert active.z == pytest.approx((65_000 - 11_000) / 1_000) and active.notional == active.rolling == 65_000.0
    assert d.push(at + 301 * SECOND, side, 40_000.0) == []
    assert d.advance(at + 600 * SECOND) == []  # goes on: z is above z_normal, the same side
    (over,) = d.advance(at + 900 * SECOND)
    assert (over.ts, over.phase.name, over.count, over.sequence) == (at + 900 * SECOND, "EXHAUSTED", 0, 1) and over.z < 0.0


def test_purity_is_above_75_percent():
    for longs, says in ((75_000.0, []), (75_001.0, ["ACTIVE"]), (25_000.0, []), (24_999.0, ["ACTIVE"])):
        d, at = learnt()
        d.push(at, LONG, longs)
        d.push(at, SHORT, 100_000.0 - longs)
        assert names(d.advance(at + 300 * SECOND)) == says, longs


def test_without_deviation_history_or_floor_nothing_is_an_anomaly():
    d = alone("anomaly", {})
    d.push(BASE - 1, LONG, 1e9)
    for n in range(30):
        d.push(BASE + n * 300 * SECOND, LONG, 10_000.0)
    d.push(BASE + 30 * 300 * SECOND, LONG, 1e9)
    assert d.advance(BASE + 31 * 300 * SECOND) == []  # std = 0: z = 0
    d, at = learnt(10)
    d.push(at, LONG, 1e9)
    assert d.advance(at + 300 * SECOND) == []  # ten segments are no history
    d, at = learnt()
    d.push(at, LONG, 49_999.0)
    assert d.advance(at + 300 * SECOND) == []  # z = 39, but below the floor


def test_a_turn_of_side_ends_one_anomaly_and_begins_another():
    d, at = learnt()
    d.push(at, LONG, 1e6)
    d.push(at + 300 * SECOND, SHORT, 5e6)
    said = d.advance(at + 600 * SECOND)
    assert [(s.phase.name, s.side, s.sequence) for s in said] == [("EXHAUSTED", LONG, 1), ("ACTIVE", SHORT, 2)]


def test_a_segment_that_a_gap_has_cut_is_neither_judged_nor_learnt():
    d, at = learnt()
    d.push(at, LONG, 1e6)
    d.uncertain(at + 10 * SECOND)
    d.push(at + 20 * SECOND, LONG, 1e6)  # of the same segment: it is not whole
    assert d.advance(at + 300 * SECOND) == []
    d.push(at + 300 * SECOND, LONG, 60_000.0)
    (active,) = d.advance(at + 600 * SECOND)
    assert active.z == pytest.approx(49.0)  # against the twenty learnt before the gap


def test_the_segment_that_a_start_falls_into_is_neither_judged_nor_learnt():
    """It holds what came after the start only: a baseline of it is too low, and what stands out in it is half seen."""
    for before in (299, 1):  # s into the segment
        d = alone("anomaly", {"min_segments": 2, "z_min": 1.0})
        for n in range(50):  # as a whole it would be the largest of all
            d.push(BASE - before * SECOND + n, LONG, 1e6)
        assert d.next_deadline is None
        for n in range(1, 20):  # the first whole segment is empty, and is learnt: 0, then 12,000 and 10,000
            d.push(BASE + n * 300 * SECOND, LONG, 10_000.0 if n % 2 else 12_000.0)
        d.push(BASE + 20 * 300 * SECOND, LONG, 60_000.0)
        (active,) = d.advance(BASE + 21 * 300 * SECOND)
        values = np.array([0.0, *(10_000.0 if n % 2 else 12_000.0 for n in range(1, 20))])
        assert active.z == pytest.approx((60_000 - values.mean()) / values.std())


# ---- rate ----


def calm(minutes: int = 40, **options):
    """One and three liquidations a minute in turn: mean 2, deviation 1."""
    d = alone("rate", options)
    d.push(BASE - 1, LONG, 1000.0)  # of the segment that we came into: not learnt
    for minute in range(minutes):
        for n in range(3 if minute % 2 else 1):
            assert d.push(BASE + minute * MINUTE + n * SECOND, LONG, 1000.0) == []
    return d, BASE + minutes * MINUTE


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_rate_above_three_sigma_is_a_spike_until_it_is_normal(side):
    """Mean 2 + 3 x 1 = 5 a minute; above it, at the sixth."""
    d, at = calm()
    at += MINUTE // 2  # an empty half minute between
    said = [s for n in range(10) for s in d.push(at + n * SECOND, side, 1000.0)]
    (active,) = said
    assert (active.ts, active.phase.name, active.side, active.count) == (at + 5 * SECOND, "ACTIVE", side, 6)
    assert active.threshold == pytest.approx(5.0) and active.z == pytest.approx(4.0) and active.ts_start == at
    (over,) = d.advance(at + 600 * SECOND)
    assert (over.phase.name, over.count) == ("EXHAUSTED", 3) and over.ts == at + 6 * SECOND + MINUTE + 1  # 3 = mean + 1 sigma: normal


def test_the_rate_needs_its_floor_and_its_history():
    d, at = calm(floor_per_minute=8.0)
    assert [s.count for n in range(10) for s in d.push(at + MINUTE // 2 + n * SECOND, LONG, 1.0)] == [8]
    d, at = calm(20)
    assert [s for n in range(50) for s in d.push(at + MINUTE // 2 + n, LONG, 1.0)] == []


def hourly(per_hour: int, hours: int, **options):
    """So many an hour, and a tenth more in every other one, evenly; then the made detector, it alone, and the start of the next hour."""
    made = make_detector("rate", window_s=3600.0, min_segments=4, **options)
    d, hour = Standalone(made, "X"), 3600 * SECOND
    start, said = BASE // hour * hour + hour, []
    said += d.push(start - 1, LONG, 1.0)
    for n in range(hours):
        count = per_hour + (per_hour // 10 if n % 2 else 0)
        for k in range(count):
            said += d.push(start + n * hour + k * hour // count, LONG, 1.0)
    return made, d, start + hours * hour, said


@pytest.mark.parametrize("room", [1024, 65_536])
@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_rate_is_heard_though_its_bound_is_beyond_the_window(room, side):
    """2,000 an hour is usual, more than the window of 1,024 holds: at 18 times that the running segment's count is beyond mean + 3 sigma. It ends at
    the end of the first hour that was usual again: in a full window only that is known for certain; with room enough, when the old ones have left."""
    made, d, at, said = hourly(2000, 8, window_events=room)
    hour = 3600 * SECOND
    assert said == []
    burst = [s for k in range(36_000) for s in d.push(at + k * hour // 36_000, side, 1.0)]
    (active,) = burst
    assert active.phase.name == "ACTIVE" and active.count > 2050 + 3 * 50 and active.threshold * 60 == pytest.approx(2100 + 3 * 100)
    assert active.ts < at + hour // 8 and (made.dropped > 0) == (room == 1024)
    (over,) = [s for n in (1, 2) for k in range(2000) for s in d.push(at + n * hour + k * hour // 2000, side, 1.0)]
    assert over.phase.name == "EXHAUSTED" and over.count <= 2100 + 100 and at + hour < over.ts <= at + 2 * hour
    assert over.ts == at + 2 * hour or room == 65_536


# ---- bars ----


def test_bars_end_at_multiples_of_the_period_and_carry_what_was_liquidated():
    """A signal at every bar; and a policy that looks at bars is asked though nothing happened."""
    d = alone("bars", {"period_s": 60.0})
    assert d.advance(BASE) == [] and d.next_deadline is None  # nothing was ever heard of it
    d.push(BASE + 10 * SECOND, LONG, 100.0, 5.0)
    d.push(BASE + 20 * SECOND, SHORT, 300.0, 6.0)
    first, second, third = d.advance(BASE + 3 * MINUTE)
    assert (first.ts, first.ts_start, first.count, first.long_notional, first.short_notional) == (BASE + MINUTE, BASE, 2, 100.0, 300.0)
    assert (first.z, first.price, int(first.side), first.side.name, first.phase.name) == (0.5, 6.0, 0, "NONE", "ACTIVE")
    assert [(s.ts, s.count, s.sequence, s.price) for s in (second, third)] == [(BASE + 2 * MINUTE, 0, 2, 6.0), (BASE + 3 * MINUTE, 0, 3, 6.0)]
    assert repr(first).count("NONE") == 1


def test_a_ticker_starts_the_bars_of_an_instrument_without_liquidations():
    engine = Engine(["AUSDT", "BUSDT"], detectors=[make_detector("bars", "minute")])
    engine.on_ticker(BASE, BASE, 1, 10.0)
    said = engine.advance(BASE + 2 * MINUTE)
    assert [(s.instrument, s.ts - BASE) for s in said] == [(1, MINUTE), (1, 2 * MINUTE)]


# ---- side by side ----


@needs_data
def test_side_by_side_in_an_engine_each_says_what_it_says_alone():
    streams = large_streams()[::3]
    instruments, events = market(streams)
    instruments = [Instrument(f"{n}:{i.symbol}", tick_size=i.tick_size) for n, i in enumerate(instruments)]
    options, week = LOUD | {"bars": {"period_s": 604_800.0}}, 7 * 86_400 * SECOND
    engine = Engine(instruments, detectors=[make_detector(kind, **options[kind]) for kind in KINDS])
    signals, last, before = [], int(events["ts_recv"][-1]), 0
    for at in [*range(int(events["ts_recv"][0]), last, week), last + 1]:  # a call hands out so many signals at most: a year of silence has more bars
        signals += [*engine.run(events[(events["ts_recv"] >= before) & (events["ts_recv"] < at)]), *engine.advance(at - 1)]
        before = at
    assert engine.refused == {}
    assert len({s.detector for s in signals}) == len(KINDS)
    for k, kind in enumerate(KINDS):
        for n, stream in enumerate(streams):
            own = [s for s in signals if (s.detector, s.instrument) == (k + 1, n)]
            d = alone(kind, options[kind])
            says = d.run(stream.events())
            says += d.advance(last)
            fields = [name for name in SIGNAL_DTYPE.names if name not in ("detector", "instrument")]
            assert [[getattr(s, name) for name in fields] for s in own] == [[getattr(s, name) for name in fields] for s in says], (kind, stream.name)


@pytest.mark.parametrize("kind", ["dollar", "imbalance"])
def test_after_a_gap_a_detector_is_uncertain_for_as_long_as_it_looks_back(kind):
    options = {
        "dollar": {"min_usd": 0.0, "trigger_usd": 1000.0, "window_s": 90.0},
        "imbalance": {"floor_usd": 0.0, "min_events": 1, "window_s": 90.0},
    }[kind]
    for after, uncertain in ((89 * SECOND, True), (90 * SECOND, False)):
        engine = Engine(["AUSDT"], detectors=[make_detector(kind, **options)])
        engine.on_liquidation(BASE, BASE, 0, LONG, 10.0, 1.0)
        engine.on_feed(BASE + SECOND, BASE + SECOND, FeedState.FEED_GAP)
        at = BASE + SECOND + after
        said = engine.on_liquidation(at, at, 0, LONG, 10.0, 1e4)
        assert names(said)[-1] == "ACTIVE"
        assert {bool(s.flags & SignalFlag.SIGNAL_UNCERTAIN) for s in said} == {uncertain}
        assert said[-1].long_notional == 1e5  # what was seen before the gap is not in it


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_of_the_engine_carries_every_detector(kind):
    events, r = np.zeros(400, EVENT_DTYPE), np.random.default_rng(5)
    events["ts_recv"] = events["ts_event"] = BASE + np.cumsum(r.integers(0, 20 * SECOND, len(events)))
    events["kind"], events["side"], events["price"] = Kind.LIQUIDATION, r.choice([1, -1], len(events)), 10.0
    events["qty"] = np.exp(r.normal(7, 2, len(events)))
    whole, first, second = (Engine(["AUSDT"], detectors=[make_detector(k, k + "!", **LOUD[k]) for k in sorted({kind, "dollar"})]) for _ in range(3))
    says = whole.run(events)
    before = first.run(events[:170])
    second.restore(first.snapshot())
    assert before + second.run(events[170:]) == says and says
    assert second.snapshot() == whole.snapshot()
