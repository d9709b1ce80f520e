"""The detectors beside the cascade: plain-Python oracle == Cython stream, on random and bursty streams and on every capture."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import needs_data, streams
from detector_rig import LOUD, OPTIONS, ORACLES, SHAPES, START, alone, assert_same, generated
from liqcore import LONG, SECOND, SHORT, Completeness, Instrument, Standalone
from liqcore.detectors.registry import KINDS, make_detector, parameters
from liqcore.event import SignalFlag
from liqcore.snapshot import pack, unpack

pytestmark = pytest.mark.core

KIND = sorted(ORACLES)


@pytest.mark.parametrize("kind", KIND)
@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(0, 2**16))
def test_generated_streams_equal_the_oracle(kind, data, shape, seed, count, where):
    options = data.draw(OPTIONS[kind])
    ts, side, notional = generated(shape, seed, count)
    oracle, detector = ORACLES[kind](**options), alone(kind, options)
    for n in range(count):
        if n == where % count:  # a restart in between changes nothing
            other = alone(kind, options)
            other.restore(detector.snapshot())
            detector = other
        if n == where * 7 % count:  # and a gap is forgotten alike
            until = ts[n] + data.draw(st.sampled_from([0, SECOND, 600 * SECOND]))
            assert_same(detector.advance(ts[n]), oracle.advance(ts[n]))
            detector.uncertain(until)
            oracle.uncertain(until)
        says = oracle.push(ts[n], side[n], notional[n], 1.0 + n)
        if getattr(oracle, "ambiguous", False):  # it hangs on the last bit of a mean or a deviation
            return
        assert_same(detector.push(ts[n], side[n], notional[n], 1.0 + n), says)
    end = ts[-1] + 4000 * SECOND
    says = oracle.advance(end)
    if not getattr(oracle, "ambiguous", False):
        assert_same(detector.advance(end), says)


@needs_data
@pytest.mark.parametrize("kind", KIND)
@pytest.mark.parametrize("options", ["default", "loud"])
def test_every_capture_equals_the_oracle(kind, options):
    chosen = LOUD[kind] if options == "loud" else {}
    said = 0
    for stream in streams():
        oracle, detector = ORACLES[kind](**chosen), alone(kind, chosen, stream.instrument())
        rows = list(zip(stream.ts.tolist(), stream.side.tolist(), stream.notional.tolist(), stream.price.tolist(), strict=True))
        signals = [s for row in rows for s in detector.push(*row)]
        says = [s for row in rows for s in oracle.push(*row)]
        assert_same(signals, says)
        assert not getattr(oracle, "ambiguous", False)
        whole = alone(kind, chosen, stream.instrument())
        assert whole.run(stream.events()) == signals
        assert whole.snapshot() == detector.snapshot()
        said += len(signals)
    assert options == "default" or said > 100


@pytest.mark.parametrize("kind", KIND)
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(2, 200), st.integers(1, 199))
def test_what_is_said_of_a_beginning_never_depends_on_the_rest(kind, shape, seed, count, cut):
    """The prefix law; and waking up more often than needed changes nothing."""
    ts, side, notional = generated(shape, seed, count)
    rows = list(zip(ts, side, notional, strict=True))
    cut %= count
    whole, part, woken = alone(kind, LOUD[kind]), alone(kind, LOUD[kind]), alone(kind, LOUD[kind])
    first = [s for row in rows[:cut] for s in whole.push(*row)]
    [whole.push(*row) for row in rows[cut:]]
    assert [s for row in rows[:cut] for s in part.push(*row)] == first
    r, often = random.Random(seed), []
    for row in rows[:cut]:
        for at in sorted(r.randint(max(woken.now, START), row[0]) for _ in range(3)):
            often += woken.advance(at)
        often += woken.push(*row)
    assert often == first


@pytest.mark.parametrize("kind", KIND)
def test_phases_come_in_order_and_sequences_count_up(kind):
    follows = {None: {"BUILDING", "ACTIVE"}, "BUILDING": {"ACTIVE"}, "ACTIVE": {"DECELERATING", "EXHAUSTED"}, "DECELERATING": {"ACTIVE", "EXHAUSTED"}}
    for seed in range(12):
        detector, last = alone(kind, LOUD[kind]), {}
        for row in zip(*generated(SHAPES[seed % len(SHAPES)], seed, 300), strict=True):
            for s in detector.push(*row):
                before = last.get(s.sequence)
                assert s.phase.name in follows[before], (before, s)
                assert before is not None or s.sequence == max(last, default=0) + 1
                last[s.sequence] = s.phase.name


@pytest.mark.parametrize("kind", KIND)
def test_both_sides_are_one_another_mirrored(kind):
    ts, side, notional = generated("onesided", 3, 300)
    one, other = alone(kind, LOUD[kind]), alone(kind, LOUD[kind])
    long_says = [s for row in zip(ts, side, notional, strict=True) for s in one.push(*row)]
    short_says = [s for t, sd, x in zip(ts, side, notional, strict=True) for s in other.push(t, -sd, x)]
    assert long_says and {int(s.side) for s in long_says} <= ({0} if kind == "bars" else {LONG, SHORT})
    assert [(s.ts, s.phase, s.side, s.long_notional, s.short_notional, s.imbalance) for s in long_says] == [
        (s.ts, s.phase, -int(s.side), s.short_notional, s.long_notional, -s.imbalance) for s in short_says
    ]


@pytest.mark.parametrize("kind", KIND)
def test_a_damaged_or_foreign_snapshot_is_refused_and_changes_nothing(kind):
    detector = alone(kind, LOUD[kind])
    for row in zip(*generated("bursts", 1, 100), strict=True):
        detector.push(*row)
    before = detector.snapshot()
    foreign = alone(kind, {})
    other = alone(next(k for k in KIND if k != kind), {})
    for bad in (b"", before[:-1], before[:90], before + b"x", foreign.snapshot(), other.snapshot()):
        with pytest.raises(ValueError, match="snapshot"):
            detector.restore(bad)
        assert detector.snapshot() == before


@pytest.mark.parametrize("kind", [*KIND, "zone", "hawkes"])
def test_a_snapshot_of_another_layout_is_refused_and_changes_nothing(kind):
    """Whole and of the same settings, but by a build whose parts were others."""
    detector = alone(kind, {})
    detector.push(0, LONG, 1000.0, 10.0)
    before = detector.snapshot()
    outside = before[: before.index(b"\n") + 1]
    now, market, inner = unpack(outside, before, "")
    name = inner[: inner.index(b"\n") + 1]
    parts = unpack(name, inner, "")
    for bad in ([], parts[:1], parts[:-1], [*parts, b"x"], [parts[0], *(part + b"x" for part in parts[1:])]):
        with pytest.raises(ValueError, match="snapshot"):
            detector.restore(pack(outside, [now, market, pack(name, bad)]))
        assert detector.snapshot() == before


@pytest.mark.parametrize("kind", KIND)
def test_a_detector_serves_one_engine(kind):
    made = make_detector(kind)
    Standalone(made)
    with pytest.raises(RuntimeError, match="already serves"):
        Standalone(made)
    with pytest.raises(RuntimeError, match="already serves"):
        made.__init__(kind)


@pytest.mark.parametrize("kind", KIND)
def test_a_detector_that_is_initialised_twice_has_the_state_of_one(kind):
    made = make_detector(kind)
    made.__init__(kind)
    twice = Standalone(made)
    once = Standalone(make_detector(kind))
    assert twice.snapshot() == once.snapshot()
    once.restore(twice.snapshot())


@pytest.mark.parametrize("kind", KIND)
def test_a_censored_feed_stands_in_every_signal(kind):
    instrument = Instrument("BTCUSDT", completeness=Completeness.COMPLETENESS_CENSORED)
    detector = alone(kind, LOUD[kind], instrument)
    signals = [s for row in zip(*generated("bursts", 2, 300), strict=True) for s in detector.push(*row)]
    assert signals and all(s.flags == SignalFlag.SIGNAL_CENSORED for s in signals)


WINDOWED = ("dollar", "imbalance", "rate")


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_burst_denser_than_the_window_remembers_only_its_newest_liquidations_and_says_so(kind):
    """window_events of one instrument; more, and the oldest give way and are counted, also over gaps and restarts."""
    options = LOUD[kind] | {"window_events": 1024}
    made = make_detector(kind, **options)
    detector, oracle, r = Standalone(made, "X"), ORACLES[kind](**options), random.Random(3)
    for n in range(1200):
        row = (START + n * 1000, r.choice((1, 1, -1)), r.lognormvariate(9, 2), 1.0)
        assert_same(detector.push(*row), oracle.push(*row))
    assert_same(detector.advance(START + 4000 * SECOND), oracle.advance(START + 4000 * SECOND))
    assert made.dropped == oracle.inside.dropped > 30
    detector.uncertain(START)
    again = make_detector(kind, **options)
    Standalone(again, "X").restore(detector.snapshot())
    assert again.dropped == made.dropped
    with pytest.raises(ValueError, match=f"{kind} snapshot: of other settings"):
        alone(kind, options | {"window_events": 2048}).restore(detector.snapshot())


@pytest.mark.parametrize("kind", WINDOWED)
def test_window_events_is_a_power_of_two_and_room_for_what_is_asked(kind):
    with pytest.raises(ValueError, match=f"detector {kind}, window_events: expected a power of two, such as 2048 or 4096, got 3000"):
        make_detector(kind, window_events=3000)
    if kind == "imbalance":
        with pytest.raises(ValueError, match=r"min_events: expected at most window_events \(4\), got 5"):
            make_detector(kind, window_events=4)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_burst_of_thousands_of_small_prints_is_heard_where_there_is_room(side):
    """12,000 prints of $500 in a minute are 6 M; of the newest 2,048 it is one million."""
    for room, says in ((2048, ["BUILDING"]), (16_384, ["BUILDING", "ACTIVE"])):
        made = make_detector("dollar", min_usd=0.0, window_events=room)
        d = Standalone(made, "X")
        assert [s.phase.name for n in range(12_000) for s in d.push(n * SECOND // 200, side, 500.0)] == says
        assert made.dropped == max(0, 12_000 - room)


# ---- the registry ----


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_and_recreates_itself(kind):
    made = make_detector(kind, "mine")
    assert made.name == "mine" and made.as_dict()["kind"] == kind
    again = make_detector(**made.as_dict())
    assert again.as_dict() == made.as_dict()
    for p in parameters(kind):
        assert made.as_dict()[p.name] == p.default and p.meaning
        assert p.choices or p.low <= p.default <= p.high
    assert make_detector(kind).name == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_out_of_range_names_parameter_range_and_value(kind):
    for p in parameters(kind):
        for bad in ("wrong", None, 1) if p.choices else (p.low - 1.0, p.high * 2 + 1.0, float("nan"), float("inf"), "1", None, True):
            with pytest.raises(ValueError, match=rf"detector {kind}, {p.name}: expected .*, got "):
                make_detector(kind, **{p.name: bad})
        if isinstance(p.default, int):
            with pytest.raises(ValueError, match="a whole number"):
                make_detector(kind, **{p.name: p.default + 0.5})


def test_unknown_kinds_parameters_and_names_say_what_there_is():
    with pytest.raises(ValueError, match=r"detector kind: expected one of .*dollar.*, got 'casade'"):
        make_detector("casade")
    with pytest.raises(ValueError, match=r"no parameter is called 'min'; expected min_usd, window_s"):
        make_detector("dollar", min=5)
    with pytest.raises(ValueError, match="name: expected a word"):
        make_detector("dollar", " x ")
    with pytest.raises(ValueError, match="normal: expected at most share"):
        make_detector("imbalance", share=0.6, normal=0.65)


@pytest.mark.parametrize("bad", [(1, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf")), (1, 2.0**41), (2, 5.0), (1, 5.0, -1.0)])
def test_a_detector_alone_refuses_what_the_door_would(bad):
    detector = alone("dollar", {})
    with pytest.raises(ValueError, match="side"):
        detector.push(10**12, *bad)
    detector.push(10**12, 1, 5.0)
    with pytest.raises(ValueError, match="time does not go back"):
        detector.push(10**12 - 1, 1, 5.0)
    with pytest.raises(ValueError, match="time does not go back"):
        detector.advance(5)


# ---- the rules, one by one ----


def row(s) -> tuple:
    return (s.ts // SECOND, s.phase.name, s.side.name, s.sequence, s.count)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_dollar_long_flush_and_short_squeeze_by_the_numbers_of_s3(side):
    """Prints of 50,000 or more count, above 5,000,000 of one side in 90 s it is ACTIVE; 60 % down it decelerates; it does
    not fire again at every event, and both sides are seen."""
    d = alone("dollar", {})
    assert d.push(0, side, 49_999.99) == []
    (building,) = d.push(10 * SECOND, side, 50_000.0)
    assert row(building) == (10, "BUILDING", side.name, 1, 1)
    assert d.push(12 * SECOND, side, 4_950_000.0) == []  # 5,000,000 is not above
    (active,) = d.push(13 * SECOND, side, 50_000.0)
    assert row(active) == (13, "ACTIVE", side.name, 1, 3)
    assert (active.ts_start, active.rolling, active.z, active.threshold) == (10 * SECOND, 5_050_000.0, 1.01, 5e6)
    assert active.imbalance == (-1.0 if side == LONG else 1.0)
    for n in range(20):
        assert d.push((14 + n) * SECOND, side, 50_000.0) == []  # no fire again
    (slow,) = d.advance(102 * SECOND + 1)
    assert row(slow) == (93, "EXHAUSTED", side.name, 1, 23)


def test_dollar_decelerates_at_sixty_percent_and_speeds_up_above_its_peak_only():
    d = alone("dollar", {"silence_s": 300.0, "rearm": 0.2})
    d.push(0, LONG, 6e6)
    d.push(60 * SECOND, LONG, 1e6)
    (slow,) = d.advance(100 * SECOND)
    assert (slow.ts, slow.phase.name, slow.rolling) == (90 * SECOND + 1, "DECELERATING", 1e6)
    assert d.push(101 * SECOND, LONG, 5.9e6) == []  # 6.9 M: the peak was 7 M
    (again,) = d.push(102 * SECOND, LONG, 2e5)
    assert (again.phase.name, again.sequence, again.rolling) == ("ACTIVE", 1, 7.1e6)


def test_dollar_is_armed_again_when_the_volume_has_fallen():
    d = alone("dollar", {"silence_s": 10.0})
    assert [s.phase.name for s in d.push(0, SHORT, 6e6)] == ["BUILDING", "ACTIVE"]
    assert [s.phase.name for s in d.push(20 * SECOND, SHORT, 1e6)] == ["EXHAUSTED"]  # 6 M inside: spent
    assert d.push(95 * SECOND, SHORT, 6e6) != []  # 1 M inside: armed
    assert d.push(96 * SECOND, LONG, 6e6)[0].sequence == 3  # the other side never was spent


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_dollar_hears_a_larger_flush_right_after_one(side):
    """The first ends in silence with 6 M still inside; what follows never lets the volume fall, and is fifty times as large."""
    d = alone("dollar", {})
    assert [s.phase.name for s in d.push(0, side, 6e6)] == ["BUILDING", "ACTIVE"]
    assert [s.phase.name for s in d.advance(61 * SECOND)] == ["EXHAUSTED"]
    signals = [s for n in range(60) for s in d.push((74 + n) * SECOND, side, 5e6)]
    assert [s.phase.name for s in signals] == ["BUILDING", "ACTIVE"] and signals[0].side == side and signals[1].rolling > 6e6
    assert signals[1].ts == 75 * SECOND  # with the second print: 10 M since the first ended


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_dollar_small_prints_do_not_keep_an_episode_for_ever(side):
    """A cascade that is over ends though somebody is liquidated every minute: else its peak would hide every smaller cascade of the day."""
    d, said = alone("dollar", {"min_usd": 0.0, "silence_s": 120.0}), []
    for start in (0, 1800):
        for n in range(2 if start else 3):
            said += d.push((start + n) * SECOND, side, 3e6)
        for minute in range(1, 29):
            said += d.push((start + minute * 60) * SECOND, side, 100.0)
            said += d.push((start + minute * 60 + 30) * SECOND, -side, 100.0)
    found = [(s.ts // SECOND, s.phase.name) for s in said if s.side == side and s.phase.name != "BUILDING"]
    assert found == [
        (1, "ACTIVE"),
        (91, "DECELERATING"),
        (92, "EXHAUSTED"),  # 9 M, 3 M, nothing: 2.5 M is half the trigger
        (1801, "ACTIVE"),
        (1891, "DECELERATING"),
        (1891, "EXHAUSTED"),
    ]  # 6 M, then 60 % and half the trigger at once


def test_dollar_forgets_a_slow_start():
    """ts_start, from which momentum counts its 5 to 15 s, is the first print that is still inside when the trigger is reached."""
    d = alone("dollar", {})
    for n in range(5):
        d.push(n * 60 * SECOND, LONG, 60_000.0)
    (active,) = d.push(241 * SECOND, LONG, 6e6)
    assert (active.ts_start // SECOND, active.count, active.long_notional) == (180, 3, 6.12e6)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_imbalance_needs_more_than_seventy_percent_and_a_floor(side):
    d = alone("imbalance", {"min_events": 2})
    assert d.push(0, -side, 60_000.0) == []  # one-sided, but below the floor and alone
    assert d.push(SECOND, side, 140_000.0) == []  # exactly 70 %
    (active,) = d.push(2 * SECOND, side, 1.0)
    assert row(active) == (2, "ACTIVE", side.name, 1, 3)
    assert abs(active.imbalance) > 0.4 and active.imbalance < 0 if side == LONG else active.imbalance > 0.4
    assert d.push(3 * SECOND, -side, 33_000.0) == []  # 60.09 %: not normal yet
    (normal,) = d.push(4 * SECOND, -side, 1000.0)
    assert row(normal) == (4, "EXHAUSTED", side.name, 1, 5) and normal.z <= 0.6


def test_imbalance_ends_when_the_window_is_empty_or_turns():
    d = alone("imbalance", {"min_events": 1})
    d.push(0, LONG, 1e6)
    (over,) = d.advance(1000 * SECOND)
    assert (over.ts, over.phase.name, over.rolling, over.z) == (300 * SECOND + 1, "EXHAUSTED", 0.0, 0.5)
    d.push(1001 * SECOND, LONG, 1e6)
    assert [(s.phase.name, s.side) for s in d.push(1002 * SECOND, SHORT, 9e6)] == [("EXHAUSTED", LONG), ("ACTIVE", SHORT)]


@given(st.floats(-1.0, 1.0))
def test_imbalance_and_long_share_convert_into_one_another(imbalance):
    """(short - long) / total against longRatio."""
    from liqcore.detectors.imbalance import imbalance_of, long_share_of

    assert long_share_of(-0.4) == pytest.approx(0.7) and long_share_of(0.5) == 0.25
    assert imbalance_of(0.75) == -0.5 and imbalance_of(0.3) == pytest.approx(0.4)
    assert imbalance_of(long_share_of(imbalance)) == pytest.approx(imbalance, abs=1e-15)
