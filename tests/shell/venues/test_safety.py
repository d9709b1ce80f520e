"""What a venue says of its safety, and the winners whose positions it closes: read from frames, let in, kept, passed over by whatever trades."""

import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_walk import same_run

import liqcore as lc
from feature_streams import same
from liqcore import EVENT_DTYPE, LONG, SECOND, SHORT, Engine, Tape, TapeBuilder
from liqcore.event import FeedState, Kind, PoolFlag, Reason, Statement, Stream
from liqshell.venues.bybit.adapter import ADAPTER as BYBIT
from liqshell.venues.bybit.decoder import PublicDecoder
from liqshell.venues.frames import FrameKind
from liqshell.venues.okx import decoder as okx
from liqshell.venues.okx.decoder import ADAPTER as OKX
from markets import EAGER, START, Fade, instruments, market, paper

LIMITS, POOL = Statement.STATES_LIMITS, Statement.STATES_POOL
NO_BALANCE, NO_DRAWDOWN, NO_DISTANCE = PoolFlag
RISK = ("risk.adl_distance", "risk.pool", "risk.pool_drawdown", "risk.limit_up_bps", "risk.limit_down_bps", "risk.deleveraged@1h")


def read(decoder, message) -> np.ndarray:
    frame = decoder.read(orjson.dumps(message), 7)
    assert frame.kind == FrameKind.EVENTS, frame
    return np.array(frame.events, EVENT_DTYPE)


# ---- frames: the venues' own samples

ALERT = {
    "topic": "adlAlert.USDT",
    "type": "snapshot",
    "ts": 1757736794000,
    "data": [
        {"c": "USDT", "s": "FWOGUSDT", "b": -5421.29889888, "mb": -5421.29889888, "i_pr": -0.3, "pr": 0, "adl_tt": 10000, "adl_sr": -0.25},
        {"c": "USDT", "s": "ZORAUSDT", "b": 19873.46255153, "mb": 19874.97612833, "i_pr": -0.3, "pr": 0.000174, "adl_tt": 10000, "adl_sr": -0.25},
        {"c": "USDT", "s": "BERAUSDT", "b": 453.36427074, "mb": 453.36427074, "i_pr": -0.3, "pr": 0.24576, "adl_tt": 10000, "adl_sr": -0.25},
    ],
}


def test_bybit_alerts_of_a_whole_coin():
    """The first pool is empty: deleveraging runs. The second is far from it. The third has 4.5 % of the balance below which only its end counts. What a
    ratio above 0 means is not known: no drawdown, and its size shortens the distance."""
    fwog, bera, zora = read(PublicDecoder(["FWOGUSDT", "BERAUSDT", "NONEUSDT", "ZORAUSDT"], 10), ALERT)[[0, 2, 1]]
    assert [int(e["instrument"]) for e in (fwog, bera, zora)] == [10, 11, 13]
    for e, balance, drawdown, distance, flags in (
        (fwog, -5421.29889888, 0.0, 0.0, 0),
        (zora, 19873.46255153, 0.0, 1 - 0.000174 / 0.25, NO_DRAWDOWN),
        (bera, 453.36427074, 0.0, 0.045336427074, NO_DRAWDOWN),
    ):
        assert (e["kind"], e["code"], e["flags"], e["ts_event"], e["ts_recv"]) == (Kind.VENUE_STATE, POOL, flags, 1757736794000 * 10**6, 7)
        assert (e["qty"], e["aux_qty"], e["price"]) == (balance, drawdown, 0.0) and e["aux_price"] == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize(
    ("row", "drawdown", "distance"),
    [
        ({"b": 1_000_000, "pr": -0.10}, 0.10, 0.6),
        ({"b": "1000000", "pr": "-0.10", "i_pr": "-0.3", "adl_sr": "-0.25", "adl_tt": "1"}, 0.10, 0.6),
        ({"b": 1e6, "pr": -0.27}, 0.27, 0.0),  # past where it stops, before where it starts: it may still run
        ({"b": 1e6, "pr": -0.35}, 0.35, 0.0),
        ({"b": 0, "pr": 0}, 0.0, 0.0),
        ({"b": 1e6, "pr": 0, "adl_sr": ""}, 0.0, 1.0),
        ({"b": 1e6, "pr": -0.15, "adl_sr": None}, 0.15, 0.5),
        ({"b": 1e6, "pr": "", "mb": ""}, None, None),
        ({"b": "", "pr": -0.1}, 0.1, None),
        ({"b": 1e6, "pr": -0.1, "i_pr": "", "adl_sr": ""}, 0.1, None),
    ],
)
def test_bybit_distance_to_deleveraging(row, drawdown, distance):
    base = {"c": "USDT", "s": "AUSDT", "b": 1e6, "mb": "", "i_pr": -0.3, "pr": 0, "adl_tt": 10_000, "adl_sr": -0.25}
    (e,) = read(PublicDecoder(["AUSDT"]), ALERT | {"data": [base | row]})
    assert bool(e["flags"] & NO_DRAWDOWN) == (drawdown is None) and bool(e["flags"] & NO_DISTANCE) == (distance is None)
    assert e["aux_qty"] == pytest.approx(drawdown or 0.0) and e["aux_price"] == pytest.approx(distance or 0.0, abs=1e-12)


def test_bybit_a_bad_alert_costs_a_row():
    bad = [{"s": "AUSDT", "b": True}, {"s": "AUSDT", "b": "x"}, 7, {"s": 5, "b": 1}, {"s": "OTHERUSDT", "b": "not read"}, {"s": "AUSDT"}]
    frame = PublicDecoder(["AUSDT"]).read(orjson.dumps(ALERT | {"data": [*bad, {"s": "AUSDT", "b": 5.0}]}), 7)
    assert frame.kind == FrameKind.EVENTS and len(frame.events) == 1 and frame.dropped == {"bad number": 2, "bad structure": 2}


def test_bybit_insurance_tells_balances():
    decoder = PublicDecoder(["GRIFFAINUSDT", "GOATUSDT"])
    rows = [
        {"coin": "USDT", "symbols": name, "balance": balance, "updateTime": "1747722929500"}
        for name, balance in (("GRIFFAINUSDT", "25614.92972633"), ("CGPTUSDT", "100000.27064825"), ("XTERUSDT,GOATUSDT", "-20352.32665441"))
    ]
    events = read(decoder, {"topic": "insurance.USDT", "type": "delta", "ts": 1747722930000, "data": rows})
    assert events["instrument"].tolist() == [0, 1] and events["qty"].tolist() == [25614.92972633, -20352.32665441]
    assert set(events["flags"]) == {NO_DRAWDOWN | NO_DISTANCE} and set(events["ts_event"]) == {1747722929500 * 10**6}


@pytest.mark.parametrize(
    ("high", "low", "expected"), [("109524.9", "94857.3", (109524.9, 94857.3)), ("", "94857.3", (0.0, 94857.3)), ("", "", (0.0, 0.0))]
)
def test_bybit_price_limits(high, low, expected):
    message = {"topic": "priceLimit.BTCUSDT", "ts": 1750059683782, "data": {"symbol": "BTCUSDT", "buyLmt": high, "sellLmt": low}}
    (e,) = read(PublicDecoder(["BTCUSDT"], 3), message)
    assert (e["kind"], e["code"], e["instrument"], e["ts_event"]) == (Kind.VENUE_STATE, LIMITS, 3, 1750059683782 * 10**6)
    assert (e["price"], e["aux_price"], e["qty"], e["aux_qty"], e["flags"]) == (*expected, 0.0, 0.0, 0)


def test_okx_price_limits():
    arg, row = (
        {"channel": "price-limit", "instId": "BTC-USDT-SWAP"},
        {"instId": "BTC-USDT-SWAP", "buyLmt": "70500.5", "sellLmt": "69500", "ts": "1597026383085"},
    )
    decoder = okx.PublicDecoder(["BTC-USDT-SWAP"])
    for more, expected in (
        ({"enabled": True}, (70500.5, 69500.0)),
        ({}, (70500.5, 69500.0)),
        ({"enabled": False}, (0.0, 0.0)),
        ({"buyLmt": "", "sellLmt": "", "enabled": False}, (0.0, 0.0)),
    ):
        (e,) = read(decoder, {"arg": arg, "data": [row | more]})
        assert (e["kind"], e["code"], e["price"], e["aux_price"], e["ts_event"]) == (Kind.VENUE_STATE, LIMITS, *expected, 1597026383085 * 10**6)


WARNING = {
    "maxBal": "",
    "adlRecBal": "8000.0",
    "bal": "280784384.9564228289548144",
    "instType": "FUTURES",
    "ccy": "USDT",
    "instFamily": "BTC-USDT",
    "maxBalTs": "",
    "adlType": "",
    "state": "normal",
    "adlBal": "0",
    "ts": "1700210763001",
}


@pytest.mark.parametrize(
    ("more", "drawdown", "distance"),
    [
        ({}, None, 1.0),
        ({"state": "adl"}, None, 0.0),
        ({"state": "warning"}, None, 0.0),  # a warning without a number: near
        ({"state": "warning", "maxBal": "561568769.9128456579096288"}, 0.5, 0.5),
        ({"state": "warning", "maxBal": "", "decRate": "0.24", "adlRate": "0.3", "adlRecRate": "0.25"}, 0.24, 0.04),
        ({"state": "warning", "decRate": "-0.24", "adlRate": "-0.3"}, 0.24, 0.2),
        ({"bal": "-5", "state": "warning"}, None, 0.0),
        ({"bal": "0"}, None, 0.0),
        ({"state": "adl", "decRate": "0.01", "adlRate": "0.3"}, 0.01, 0.0),
    ],
)
def test_okx_warnings(more, drawdown, distance):
    """A family's pool is that of each of its contracts of the market."""
    decoder = okx.PublicDecoder(["BTC-USDT-SWAP", "BTC-USDT-261225", "BTC-USDT-270326", "ETH-USDT-261225"])
    events = read(decoder, {"arg": {"channel": "adl-warning", "instType": "FUTURES", "instFamily": "BTC-USDT"}, "data": [WARNING | more]})
    assert events["instrument"].tolist() == [1, 2] and set(events["code"]) == {POOL} and set(events["ts_event"]) == {1700210763001 * 10**6}
    assert events["qty"][0] == float((WARNING | more)["bal"]) and bool(events["flags"][0] & NO_DRAWDOWN) == (drawdown is None)
    assert events["aux_qty"][0] == pytest.approx(drawdown or 0.0) and events["aux_price"][0] == pytest.approx(distance)


def test_okx_a_state_that_is_none_is_counted():
    decoder = okx.PublicDecoder(["BTC-USDT-SWAP"])
    bad = [WARNING | {"instType": "SWAP"} | more for more in ({"state": "2"}, {"bal": "x"}, {"ts": 5}, {"instFamily": None})]
    frame = decoder.read(orjson.dumps({"arg": {"channel": "adl-warning", "instType": "SWAP"}, "data": [*bad, WARNING | {"instType": "SWAP"}]}), 7)
    assert len(frame.events) == 1 and sum(frame.dropped.values()) == 4


def test_a_refused_topic_of_these_costs_nothing_else():
    """Each is a request of its own at Bybit; at OKX a refusal names it."""
    (connection,) = BYBIT.plan(["AUSDT", "BPERP"], "wss://x")
    beside = [one for one in connection.subscriptions if one.args[0].startswith(("priceLimit", "adlAlert", "insurance"))]
    assert sorted(one.args for one in beside) == [
        ("adlAlert.USDC",),
        ("adlAlert.USDT",),
        ("insurance.USDC",),
        ("insurance.USDT",),
        ("priceLimit.AUSDT",),
        ("priceLimit.BPERP",),
    ]
    assert len({one.id for one in connection.subscriptions}) == len(connection.subscriptions) == 8
    for one in beside:
        refused = PublicDecoder(["AUSDT"]).read(
            orjson.dumps(
                {"success": False, "ret_msg": f"error:handler not found,topic:{one.args[0]}", "conn_id": "c", "req_id": one.id, "op": "subscribe"}
            ),
            7,
        )
        assert refused.kind == FrameKind.ACK_FAILED and refused.acks == (one.id,) and BYBIT.retry(one, refused) == ()
    assert BYBIT.streams("adlAlert.USDT", ["AUSDT", "BPERP"]) == (["AUSDT"], Stream.STREAM_VENUE)
    assert OKX.streams("adl-warning:SWAP", ["A-USDT-SWAP", "A-USDT-261225"]) == (["A-USDT-SWAP"], Stream.STREAM_VENUE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
        lambda x: (
            st.lists(x, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["s", "b", "pr", "i_pr", "symbols", "balance", "updateTime", "state", "bal", "ts", "instType", "instFamily", "buyLmt", "symbol"]
                ),
                x,
            )
        ),
    )
)
@settings(deadline=None, max_examples=300)
def test_rubbish_in_these_frames_never_leaves_a_decoder(data):
    for topic in ("adlAlert.USDT", "insurance.USDT", "priceLimit.AUSDT"):
        PublicDecoder(["AUSDT"]).read(json.dumps({"topic": topic, "ts": 5, "data": data}).encode(), 7)
    for arg in ({"channel": "adl-warning", "instType": "SWAP"}, {"channel": "price-limit", "instId": "A-USDT-SWAP"}):
        okx.PublicDecoder(["A-USDT-SWAP"]).read(json.dumps({"arg": arg, "data": data}).encode(), 7)


# ---- features


def row(kind: Kind, ts_s: float, **fields) -> np.ndarray:
    e = np.zeros(1, EVENT_DTYPE)
    e["kind"], e["ts_recv"], e["ts_event"] = kind, START + int(ts_s * SECOND), START + int(ts_s * SECOND)
    for name, value in fields.items():
        e[name] = value
    return e


def test_they_are_unknown_until_said_and_after_a_gap_of_their_stream():
    features = lc.Features(RISK, "BTCUSDT")

    def now() -> list[float]:
        return [features.read(name) for name in RISK]

    features.push(row(Kind.TRADE, 0, side=1, price=100.0, qty=1.0))
    assert all(map(math.isnan, now()))
    features.push(row(Kind.VENUE_STATE, 1, code=LIMITS, price=101.0, aux_price=99.5))
    assert now()[3:5] == [(101.0 / 100.0 - 1.0) * 1e4, (1.0 - 99.5 / 100.0) * 1e4] and math.isnan(now()[0])
    features.push(row(Kind.VENUE_STATE, 2, code=POOL, qty=-7.5, flags=NO_DRAWDOWN | NO_DISTANCE))
    features.push(row(Kind.VENUE_STATE, 3, code=POOL, qty=8.0, aux_price=0.25, aux_qty=0.5, flags=NO_BALANCE))
    assert now()[:3] == [0.25, -7.5, 0.5]
    features.push(row(Kind.TRADE, 4, side=1, price=102.0, qty=1.0))
    assert now()[3] == (101.0 / 102.0 - 1.0) * 1e4 < 0.0  # trading beyond its limit
    features.push(row(Kind.VENUE_STATE, 5, code=LIMITS, price=0.0, aux_price=99.0))
    assert math.isnan(now()[3]) and now()[4] == (1.0 - 99.0 / 102.0) * 1e4
    features.push(row(Kind.FEED, 6, code=FeedState.FEED_GAP, flags=Stream.STREAM_QUOTE | Stream.STREAM_LIQUIDATION))
    assert now()[:3] == [0.25, -7.5, 0.5] and not math.isnan(now()[4])
    features.push(row(Kind.FEED, 7, code=FeedState.FEED_GAP, flags=Stream.STREAM_VENUE))
    assert all(map(math.isnan, now())) and features.refused == {}


def test_deleveraged_is_known_from_the_first_one_on_where_the_feed_was_up_for_the_window():
    features, kinds = lc.Features(RISK[-1:] + ("liquidations.liq_volume@1h",), lc.Instrument("BTC", multiplier=0.5)), []
    for e in (
        row(Kind.FEED, 0, code=FeedState.FEED_UP, instrument=-1),
        row(Kind.LIQUIDATION, 3601, side=1, price=100.0, qty=2.0),
        row(Kind.VENUE_STATE, 3602, code=POOL, qty=1.0),
        row(Kind.DELEVERAGE, 3900, side=SHORT, price=99.0, qty=4.0),
        row(Kind.DELEVERAGE, 3901, side=LONG, price=99.0, qty=4.0, aux_price=200.25),
        row(Kind.TIMER, 3902, instrument=0),
        row(Kind.FEED, 3903, code=FeedState.FEED_GAP, flags=Stream.STREAM_LIQUIDATION, instrument=0),
    ):
        features.push(e)
        kinds.append([features.read(name) for name in features.names])
    deleveraged, liquidated = np.array(kinds).T
    assert np.array_equal(deleveraged, [np.nan] * 3 + [198.0, 398.25, 398.25, np.nan], equal_nan=True)  # 4 x 0.5 x 99, and as stated
    assert np.array_equal(liquidated[1:], [100.0] * 5 + [np.nan], equal_nan=True)  # never part of it


# ---- the core


def sprinkled(events: np.ndarray, seed: int, size: int = 2) -> np.ndarray:
    """The same with such rows between them."""
    r = np.random.default_rng(seed)
    count = len(events) // 4
    after = np.sort(r.integers(0, len(events), count))
    more = np.zeros(count, EVENT_DTYPE)
    more["ts_recv"] = more["ts_event"] = events["ts_recv"][after]
    more["instrument"], more["side"], more["qty"] = r.integers(0, size, count), r.choice([-1, 1], count), 1000.0
    more["kind"] = r.choice([Kind.DELEVERAGE, Kind.VENUE_STATE], count)
    more["code"] = np.where(more["kind"] == Kind.VENUE_STATE, r.choice([1, 2], count), 0)
    more["price"] = np.where(more["code"] == POOL, 0.0, np.exp(r.normal(8, 2, count)))  # far from the market, at times
    more["aux_price"] = np.where(more["code"] == POOL, r.choice([0.0, 0.5, 1.0], count), 0.0)
    return np.insert(events, after + 1, more)


FEATURES = ("risk.adl_distance", "risk.limit_up_bps", "risk.deleveraged@5m", "liquidations.liq_volume@1m")


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_no_signal_no_order_and_no_record_is_another_for_them(seed, feed, features):
    """Not a byte of the audit, with or without features that read them: they are counted, and nothing else."""
    plain = market(seed, 800, feed=feed)
    found = []
    for events in (plain, sprinkled(plain, seed)):
        engine = Engine(instruments(), EAGER, Fade(), features=FEATURES if features else ())
        signals = engine.run(events)
        found.append((signals, engine.audit.drain().tobytes(), list(map(repr, engine.drain())), engine.account.equity, engine.events))
        assert engine.refused == {}
    assert found[0][:4] == found[1][:4] and found[1][4] - found[0][4] == len(plain) // 4


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_tapes_keep_them_and_walks_pass_over_them(seed, feed):
    events = sprinkled(market(seed, 800, feed=feed), seed)
    order = np.lexsort((events["instrument"], events["ts_recv"]))
    tape = Tape.of(instruments(), events)
    rare = np.isin(events["kind"], (Kind.DELEVERAGE, Kind.VENUE_STATE))
    kept = tape.rare[np.isin(tape.rare["kind"], (Kind.DELEVERAGE, Kind.VENUE_STATE))]
    assert kept.tobytes() == events[order][rare[order]].tobytes() and len(tape.events()) == len(events)
    same_run(tape, paper)
    signals = Engine(instruments(), EAGER).run(tape.events())
    assert [s.ts for s in signals] == tape.signals(EAGER, 10.0)["ts"].tolist()


def test_a_tape_takes_them_of_a_contract_only():
    builder = TapeBuilder(instruments())
    builder.push(
        np.concatenate([row(Kind.VENUE_STATE, 1, code=POOL, instrument=-1), row(Kind.DELEVERAGE, 1, side=LONG, price=1.0, qty=1.0, instrument=-1)])
    )
    assert builder.refused == {Reason.BAD_INSTRUMENT: 2}
    part = TapeBuilder(instruments()).take()
    with pytest.raises(ValueError, match="rare events, row 0: .*DELEVERAGE"):
        Tape(instruments(), part | {"rare": row(Kind.ORDER, 1, code=1), "place": np.zeros(1, part["place"].dtype)})


def test_an_engine_and_features_alone_agree_on_them():
    events = sprinkled(market(5, 3000, feed=True), 5)
    engine, alone, known = Engine(instruments(), EAGER, features=FEATURES), lc.Features(FEATURES, instruments()), set()
    for piece in np.array_split(events, 30):
        engine.run(piece)
        alone.push(piece)
        for n in range(2):
            read = [alone.read(name, n, engine.now) for name in FEATURES]
            assert all(same(engine.feature(name, n), x) for name, x in zip(FEATURES, read, strict=True))
            known |= {name for name, x in zip(FEATURES, read, strict=True) if x > 0.0}
    assert known == set(FEATURES)
