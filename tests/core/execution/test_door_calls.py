"""What a caller sees of the door: a Refused in the return, ValueError with strict=True, the argument's name in a TypeError, the likely unit of a time."""

import numpy as np
import pytest

import liqcore as lc

NS = 1_700_000_123_456_789_000
LIQUIDATION = (NS, NS, "ETHUSDT", lc.LONG, 2500.0, 1.0)


def refused(*arguments):
    """The Refused of a fresh engine; that of a strict one raises the same words, and both count it."""
    loose, strict = lc.Engine(["ETHUSDT"]), lc.Engine(["ETHUSDT"], strict=True)
    told = loose.on_liquidation(*arguments)
    assert isinstance(told, lc.Refused) and told == () and not told and list(told) == []
    with pytest.raises(ValueError) as caught:
        strict.on_liquidation(*arguments)
    assert str(caught.value) == told.text and loose.refused == strict.refused == {told.reason: 1}
    assert loose.events == 0 and told.kind == lc.Kind.LIQUIDATION and told.text in repr(told)
    return told


@pytest.mark.parametrize(("unit", "factor"), [("seconds", 10**9), ("milliseconds", 10**6), ("microseconds", 10**3)])
def test_a_time_in_another_unit_is_refused_with_that_unit(unit, factor):
    ts = NS // factor
    for name, times in (("ts_recv", (ts, ts)), ("ts_event", (ts, NS)), ("ts_recv", (NS, ts))):
        told = refused(*times, *LIQUIDATION[2:])
        assert told.reason == lc.Reason.BAD_TIME
        assert told.text == f"LIQUIDATION refused, BAD_TIME: {name} = {ts} looks like {unit}; expected nanoseconds UTC: multiply by {factor:,}"


FIRST = {
    "on_liquidation": lambda ts: (ts, ts, *LIQUIDATION[2:]),
    "on_bbo": lambda ts: (ts, ts, 0, 1.0, 1.0, 2.0, 1.0),
    "on_control": lambda ts: (ts, lc.Control.CONTROL_HALT),
    "on_limit": lambda ts: (ts, lc.Limit.LIMIT_POSITIONS, 1.0),
    "advance": lambda ts: (ts,),
}


@pytest.mark.parametrize("method", FIRST)
@pytest.mark.parametrize(
    ("ts", "unit"),
    [
        (1_700_000_000, "seconds"),
        (1_900_000_000, "seconds"),
        (1_500_000_000, "seconds"),
        (1_700_000_000_000, "milliseconds"),
        (1_700_000_000_000_000, "microseconds"),
    ],
)
def test_a_round_time_in_another_unit_is_refused_by_every_call(method, ts, unit):
    told = getattr(lc.Engine(["ETHUSDT"]), method)(*FIRST[method](ts))
    assert told.reason == lc.Reason.BAD_TIME and f"ts_recv = {ts} looks like {unit}" in told.text
    with pytest.raises(ValueError, match=unit):
        getattr(lc.Engine(["ETHUSDT"], strict=True), method)(*FIRST[method](ts))


@pytest.mark.parametrize("method", FIRST)
def test_true_is_no_time(method):
    with pytest.raises(TypeError, match=r"^ts\w*: expected a whole number: nanoseconds UTC, as .* got True \(bool\)"):
        getattr(lc.Engine(["ETHUSDT"]), method)(*FIRST[method](True))


def test_a_time_that_is_missing_is_refused_beside_one_that_is_there():
    for times in ((0, NS), (NS, 0), (-5, NS)):
        told = refused(*times, *LIQUIDATION[2:])
        assert told.reason == lc.Reason.BAD_TIME and "expected" in told.text and "nanoseconds UTC" in told.text
    engine = lc.Engine(["ETHUSDT"], strict=True)
    engine.on_feed(0, NS, lc.FeedState.FEED_UP)  # nothing has been good yet
    with pytest.raises(ValueError, match="ts_event = 0 beside ts_recv"):
        engine.on_funding(0, NS, 0, lc.LONG, 2500.0, 1.0, 0.1)


@pytest.mark.parametrize("first", [0, 1, 5 * lc.SECOND, 86_400 * lc.SECOND])
def test_a_market_of_ones_own_does_not_go_on_today(first):
    """What came first was no time of today: a placeholder, or a clock that counts from the start of the machine."""
    engine = lc.Engine(["ETHUSDT"])
    engine.on_liquidation(first, first, *LIQUIDATION[2:])
    told = engine.on_liquidation(*LIQUIDATION)
    assert told.reason == lc.Reason.BAD_TIME and told.text.endswith(
        f"while an earlier call said that it is {first}; expected all times in nanoseconds UTC"
    )
    assert engine.now == first and engine.on_liquidation(first + lc.SECOND, first + lc.SECOND, *LIQUIDATION[2:]) == ()


def test_paper_refuses_them_too():
    instrument = lc.Instrument("ETHUSDT")
    for ts in (1_700_000_000, 1_700_000_000_000):
        with pytest.raises(ValueError, match=f"advance: ts_recv = {ts} looks like (milli)?seconds"):
            lc.Paper(lc.Engine([instrument]), lc.SimVenue([instrument])).advance(ts)
    paper = lc.Paper(lc.Engine([instrument]), lc.SimVenue([instrument]))
    paper.advance(NS)
    with pytest.raises(ValueError, match="looks like milliseconds"):
        paper.advance(NS // 10**6)
    rows = np.zeros(1, lc.EVENT_DTYPE)
    rows["kind"], rows["side"], rows["price"], rows["qty"], rows["ts_event"], rows["ts_recv"] = (
        int(lc.Kind.TRADE),
        1,
        2500.0,
        1.0,
        1_700_000_000,
        1_700_000_000,
    )
    for run in (lc.Engine([instrument]).run, lc.Paper(lc.Engine([instrument]), lc.SimVenue([instrument])).run):
        with pytest.raises(ValueError, match="row 0: ts_recv = 1700000000 looks like seconds"):
            run(rows)
    with pytest.raises(TypeError, match="^ts: expected a whole number"):
        paper.advance(1.5)


def test_after_right_times_a_wrong_one_is_named_too():
    engine = lc.Engine(["ETHUSDT"])
    assert engine.on_liquidation(*LIQUIDATION) == () and engine.events == 1
    told = engine.on_trade(NS // 10**6, NS // 10**6, "ETHUSDT", lc.LONG, 2500.0, 1.0)
    assert "looks like milliseconds" in told.text
    assert "lies 5 ns before the engine's time" in engine.on_trade(NS, NS - 5, 0, lc.LONG, 2500.0, 1.0).text
    assert "looks like milliseconds" in engine.advance(NS // 10**6).text


@pytest.mark.parametrize("start", [0, 1, lc.SECOND, 2 * lc.SECOND, 3600 * lc.SECOND, 86_400 * lc.SECOND, 10**18])
def test_a_market_of_ones_own_may_begin_at_any_round_time(start):
    engine = lc.Engine(["ETHUSDT"], strict=True)
    for n in range(3):
        engine.on_liquidation(start + n, start + n, "ETHUSDT", lc.LONG, 2500.0, 1.0)
    assert engine.events == 3


def test_an_array_in_another_unit_is_an_error_and_strict_names_the_row():
    rows = np.zeros(3, lc.EVENT_DTYPE)
    rows["kind"], rows["side"], rows["price"], rows["qty"] = int(lc.Kind.LIQUIDATION), 1, 2500.0, 1.0
    rows["ts_event"] = rows["ts_recv"] = NS // 10**6
    with pytest.raises(ValueError, match="row 0: ts_recv = .* looks like milliseconds"):
        lc.Engine(["ETHUSDT"]).run(rows)
    rows["ts_event"] = rows["ts_recv"] = NS
    rows["price"][1] = -1.0
    with pytest.raises(ValueError, match="row 1: LIQUIDATION refused, BAD_PRICE: price -1, qty 1"):
        lc.Engine(["ETHUSDT"], strict=True).run(rows)
    engine = lc.Engine(["ETHUSDT"])
    assert engine.run(rows) == [] and engine.refused == {lc.Reason.BAD_PRICE: 1} and engine.events == 2


@pytest.mark.parametrize(
    ("changed", "reason", "says"),
    [
        ({2: "BTCUSDT"}, lc.Reason.BAD_INSTRUMENT, "expected ETHUSDT, or an index from 0 to 0"),
        ({2: 1}, lc.Reason.BAD_INSTRUMENT, "no such instrument"),
        ({3: 0}, lc.Reason.BAD_SIDE, "side 0; expected LONG (1) or SHORT (-1)"),
        ({3: 1000}, lc.Reason.BAD_SIDE, "side 0"),
        ({4: -1.0}, lc.Reason.BAD_PRICE, "price -1"),
        ({4: float("nan")}, lc.Reason.BAD_PRICE, "price nan"),
        ({5: 0}, lc.Reason.BAD_QTY, "qty 0"),
        ({0: -1}, lc.Reason.BAD_TIME, "ts_event = -1; expected nanoseconds UTC from 1970 to 2116"),
    ],
)
def test_every_reason_has_words(changed, reason, says):
    told = refused(*[changed.get(n, value) for n, value in enumerate(LIQUIDATION)])
    assert told.reason == reason and says in told.text


CALLS = [
    ("on_liquidation", LIQUIDATION, ("ts_event", "ts_recv", "instrument", "side", "price", "qty")),
    ("on_trade", LIQUIDATION, ("ts_event", "ts_recv", "instrument", "side", "price", "qty")),
    ("on_bbo", (NS, NS, 0, 1.0, 1.0, 2.0, 1.0), ("ts_event", "ts_recv", "instrument", "bid", "bid_qty", "ask", "ask_qty")),
    ("on_ticker", (NS, NS, 0, 1.0, 1.0, 2.0, 0.0), ("ts_event", "ts_recv", "instrument", "mark", "index", "open_interest", "funding")),
    ("on_feed", (NS, NS, 1, 0, 0), ("ts_event", "ts_recv", "state", "instrument", "streams")),
    ("on_control", (NS, 1, 0, 0), ("ts_recv", "control", "gate", "instrument")),
    ("on_limit", (NS, 1, 5.0), ("ts_recv", "limit", "value")),
    ("on_order", (NS, NS, 1, 1, 0, 1.0, 1.0, 0.0), ("ts_event", "ts_recv", "order", "status", "reason", "qty", "price", "filled")),
    ("on_fill", (NS, NS, 1, 1.0, 1.0, 0.0, 1), ("ts_event", "ts_recv", "order", "price", "qty", "fee", "execution")),
    ("on_funding", (NS, NS, 0, 1, 1.0, 1.0, 0.0, 0.0), ("ts_event", "ts_recv", "instrument", "side", "mark", "qty", "paid", "rate")),
    ("on_verdict", (NS, 1, 1), ("ts_recv", "question", "judgment")),
    ("advance", (NS,), ("ts",)),
]


@pytest.mark.parametrize(("method", "arguments", "names"), CALLS, ids=[call[0] for call in CALLS])
def test_a_type_error_names_the_argument(method, arguments, names):
    for place, name in enumerate(names):
        for wrong in ([], b"x", {}):
            given = [wrong if n == place else value for n, value in enumerate(arguments)]
            with pytest.raises(TypeError, match=f"^{name}: expected a (whole )?n"):
                getattr(lc.Engine(["ETHUSDT"]), method)(*given)
    given = [1.5 if n == 0 else value for n, value in enumerate(arguments)]
    with pytest.raises(TypeError, match=f"^{names[0]}: expected a whole number: nanoseconds UTC, as time.time_ns"):
        getattr(lc.Engine(["ETHUSDT"]), method)(*given)


def test_numbers_of_numpy_and_enums_are_taken():
    engine = lc.Engine(["ETHUSDT"], strict=True)
    engine.on_liquidation(np.int64(NS), np.uint64(NS), np.int32(0), np.int8(1), np.float32(2500), 1)
    assert engine.events == 1
    with pytest.raises(OverflowError, match="ts_recv: expected a whole number of 64 bits"):
        engine.on_liquidation(NS, 2**70, "ETHUSDT", lc.LONG, 1.0, 1.0)
    with pytest.raises(ValueError, match="status: expected 0 to 255, got 1000"):
        engine.on_order(NS, NS, 1, 1000)
