"""Bybit frames: golden frames, both ways of reading them against each other and against the oracle, acknowledgements, subscriptions."""

import gzip
import itertools
import json
import os
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell.venues.bybit import decoder as bybit
from liqshell.venues.bybit.adapter import ADAPTER
from liqshell.venues.bybit.decoder import Frame, FrameKind, PublicDecoder
from tests.oracle import bybit as oracle

DATA = Path(os.environ.get("LIQCORE_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "frames-tardis-node").is_dir(), reason=f"no captures at {DATA}: set LIQCORE_DATA")

# Frames as the venue sent them (October 2026, February 2025) or as its documentation shows them
LIQUIDATIONS = [
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":[{"T":1791565600992,"s":"BTCUSDT","S":"Buy","v":"0.006",'
    b'"p":"82396.90"},{"T":1791565601058,"s":"BTCUSDT","S":"Buy","v":"0.038","p":"82394.30"}]}',
    b'{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000",'
    b'"p":"0.04499"}]}',
]
TRADE = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310819681,"data":[{"T":1786310819680,"s":"BTCUSDT","S":"Sell","v":"0.004",'
    b'"p":"65114.20","L":"MinusTick","i":"a9188a0a-82bc-50de-be60-03eedbe3cdd7","BT":false,"RPI":false,"seq":753843954913}]}'
)
BOOK = (
    b'{"topic":"orderbook.1.BTCUSDT","ts":1786310818130,"type":"snapshot","data":{"s":"BTCUSDT","b":[["65114.20","6.054"]],'
    b'"a":[["65114.30","10.470"]],"u":15076953,"seq":753843913870},"cts":1786310818129}'
)
TICKER = (
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"ZeroPlusTick","price24hPcnt":"0.001624",'
    b'"lastPrice":"65114.30","prevPrice24h":"65008.70","markPrice":"65117.44","indexPrice":"65137.76","openInterest":"59891.732",'
    b'"nextFundingTime":"1786320000000","fundingRate":"-0.0001","bid1Price":"65114.20","preOpenPrice":""},"cs":753843900397,"ts":1786310817583}'
)
SYMBOLS = ["BTCUSDT", "ROSEUSDT", "ETHUSDT", "1000PEPEUSDT", "SOLUSDT"]
FRAMES = [*LIQUIDATIONS, TRADE, BOOK, TICKER]
TS = 1_791_565_601_600_000_000


def both(decoder: PublicDecoder, frame: bytes, out: np.ndarray | None = None) -> tuple[list | None, Frame]:
    """(events by scan or None, Frame by the general path), each from the same carried values; the general path's new values stay."""
    out = np.zeros(512, EVENT_DTYPE) if out is None else out
    before = decoder.carried.copy()
    count = decoder.scan.decode(frame, TS, out)
    scanned = out[:count].tolist() if count >= 0 else None
    after = decoder.carried.copy()
    decoder.carried[:] = before
    general = decoder.read(frame, TS)
    if scanned is not None:
        assert decoder.carried.tobytes() == after.tobytes()
    else:
        assert after.tobytes() == before.tobytes(), "a frame that scan handed back changed the carried values"
    return scanned, general


def agree(decoder: PublicDecoder, frame: bytes, out: np.ndarray | None = None) -> bool:
    """Scan and the general path say the same, or scan hands back. True where scan took it."""
    scanned, general = both(decoder, frame, out)
    if scanned is not None:
        assert general.kind == FrameKind.EVENTS, (frame, general)
        assert repr(scanned) == repr(general.events), frame  # repr: also -0.0 and every last bit
    return scanned is not None


def same_as_oracle(decoder: PublicDecoder, found: list[tuple], expected: list[dict]) -> None:
    rows = [dict(zip(EVENT_DTYPE.names, e, strict=True)) for e in found]
    assert [{**r, "symbol": decoder.symbols[r["instrument"]]} for r in rows] == [
        {**dict.fromkeys(EVENT_DTYPE.names, 0), "instrument": decoder.symbols.index(e["symbol"]), "ts_recv": TS, **e} for e in expected
    ]


def capture() -> list[bytes]:
    """Every received frame of the Bybit capture, and the current-protocol frames of the two frame collections."""
    frames = []
    with gzip.open(DATA / "market-bybit-v5-rawws-2026-08" / "BYBIT_BTC_SOL.jsonl.gz", "rt") as lines:
        for line in lines:
            record = json.loads(line)
            if record["t"] == "recv":
                frames.append(record["data"].encode())
    frames += (DATA / "frames-tardis-node" / "bybit.jsonl").read_bytes().splitlines()
    for path in sorted((DATA / "frames-nautilus" / "bybit").glob("ws_*.json")):
        raw = path.read_bytes()
        frames += [raw, orjson.dumps(orjson.loads(raw))]
    return frames


# --- sides ------------------------------------------------------------------------------------------------------------------------------------


def test_buy_means_that_a_long_was_liquidated():
    decoder = PublicDecoder(SYMBOLS)
    for frame, side in zip(LIQUIDATIONS, (Side.LONG, Side.SHORT), strict=True):
        scanned, general = both(decoder, frame)
        assert [e[9] for e in scanned] == [side] * len(scanned)
        assert [e[9] for e in general.events] == [side] * len(scanned)


def test_flipping_the_side_map_would_be_noticed(monkeypatch):
    """The same assertion fails when the map is the other way round, on both ways."""
    flipped = {"Buy": Side.SHORT, "Sell": Side.LONG}
    monkeypatch.setattr(bybit, "LIQUIDATED_SIDE", flipped)
    shapes = (
        bybit.Shape(
            Kind.LIQUIDATION,
            {
                **bybit.SHAPES[0].keys,
                "data": bybit.rows(
                    {
                        "T": bybit.millis("ts_event"),
                        "s": bybit.symbol(),
                        "S": bybit.side(flipped),
                        "v": bybit.decimal("qty"),
                        "p": bybit.decimal("price"),
                    }
                ),
            },
        ),
    )
    monkeypatch.setattr(bybit, "SHAPES", shapes)
    with pytest.raises(AssertionError):
        test_buy_means_that_a_long_was_liquidated()
    decoder = PublicDecoder(SYMBOLS)
    scanned, general = both(decoder, LIQUIDATIONS[0])
    assert {e[9] for e in scanned} == {e[9] for e in general.events} == {Side.SHORT}


def test_trade_side_is_the_taker():
    assert both(PublicDecoder(SYMBOLS), TRADE)[1].events[0][9] == Side.SHORT


# --- golden frames ----------------------------------------------------------------------------------------------------------------------------


def test_golden_values():
    decoder = PublicDecoder(SYMBOLS)
    expected = {
        TRADE: [(1786310819680000000, TS, 65114.2, 0.004, 0.0, 0.0, 753843954913, 0, Kind.TRADE, -1, 0, 0)],
        BOOK: [(1786310818129000000, TS, 65114.2, 6.054, 65114.3, 10.47, 15076953, 0, Kind.BBO, 0, 0, 0)],
        TICKER: [(1786310817583000000, TS, 65117.44, 59891.732, 65137.76, -0.0001, 753843900397, 0, Kind.TICKER, 0, 0, 0)],
        LIQUIDATIONS[1]: [(1739502302929000000, TS, 0.04499, 20000.0, 0.0, 0.0, 0, 1, Kind.LIQUIDATION, -1, 0, 0)],
    }
    for frame, events in expected.items():
        for _ in range(3):  # the first time by the general scanner, then by the predicted layout
            scanned, general = both(decoder, frame)
            assert scanned == general.events == events
    assert decoder.scan.predicted == 6 and decoder.scan.scanned == 6


def test_old_liquidation_object():
    frame = b'{"data":{"price":"0.03803","side":"Buy","size":"1637","symbol":"ROSEUSDT","updatedTime":1673251091822},"topic":"liquidation.ROSEUSDT","ts":1673251091822,"type":"snapshot"}'
    scanned, general = both(PublicDecoder(SYMBOLS), frame)
    assert scanned is None
    assert general.events == [(1673251091822000000, TS, 0.03803, 1637.0, 0.0, 0.0, 0, 1, Kind.LIQUIDATION, Side.LONG, 0, 0)]


@needs_data
def test_captured_frames_agree():
    """Scan == general path == oracle on every captured frame, in order, and every frame is given a kind."""
    frames = capture()
    symbols = sorted({json.loads(f)["topic"].rpartition(".")[2] for f in frames if b'"topic"' in f} - {""})
    decoder, taken, last, kinds = PublicDecoder(symbols), 0, {}, []
    for frame in frames:
        taken += agree(decoder, frame)
        general = decoder.read(frame, TS)
        kinds.append(general.kind)
        message = json.loads(frame)
        stem = message.get("topic", "").rpartition(".")[0]
        if general.kind == FrameKind.EVENTS:
            same_as_oracle(decoder, general.events, oracle.events(frame, last))
        elif stem in bybit.TOPICS and (general.reason not in ("late ticker", "trade off the market") or oracle.events(frame, last)):
            pytest.fail(f"{general} for {frame[:200]}")
    assert kinds.count(FrameKind.ACK) >= 24
    assert taken >= 300, "the capture has hundreds of tickers and trades of the shapes that scan knows"


@needs_data
def test_capture_goes_through_scan_where_it_is_linear():
    """Of the linear trades and tickers of August 2026 nothing is left to the general path."""
    decoder, out = PublicDecoder(["BTCUSDT", "SOLUSDT"]), np.zeros(1024, EVENT_DTYPE)
    refused = []
    for frame in capture():
        linear = frame.startswith((b'{"topic":"publicTrade.', b'{"topic":"tickers.')) and b'"2290000' not in frame and b'USDT"' in frame
        if linear and decoder.scan.decode(frame, TS, out) < 0 and b"usdIndexPrice" not in frame and b"1786310" in frame:
            refused.append(frame)
    assert refused == []


# --- both ways agree --------------------------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.decimals(min_value=0, max_value=10**9, places=4).map(lambda d: format(d, "f")),
    st.tuples(st.integers(0, 10**10), st.text("0123456789", min_size=1, max_size=12)).map(lambda t: f"{t[0]}.{t[1]}"),
    st.integers(0, 10**18).map(str),
    st.sampled_from(
        [
            "0",
            "0.0",
            "1",
            "00.5",
            "0.1",
            "9007199254740993",
            "0.30000000000000004",
            "",
            "-1",
            "1e5",
            "NaN",
            "Infinity",
            ".5",
            "5.",
            " 1",
            "1_0",
            "١",
            "+1",
            "0x10",
            "1,0",
        ]
    ),
)
GOOD = st.tuples(st.integers(0, 10**6), st.text("0123456789", max_size=6)).map(lambda t: f"{t[0]}.{t[1]}" if t[1] else str(t[0]))
MS = st.one_of(
    st.integers(1_500_000_000_000, 1_900_000_000_000), st.sampled_from([0, 1, 9_223_372_036_854, 9_223_372_036_855, -1, 2**63, 1.5, True, None, "1"])
)
TIMES = st.integers(1_500_000_000_000, 1_900_000_000_000)


@st.composite
def messages(draw, numbers=GOOD, times=TIMES):
    name = draw(st.sampled_from([*SYMBOLS, *SYMBOLS, "XUSDT"]))
    kind = draw(st.sampled_from(["liquidation", "trade", "book", "ticker"]))
    sides = st.sampled_from(["Buy", "Sell"])
    if kind == "liquidation":
        row = st.fixed_dictionaries({"T": times, "s": st.just(name), "S": sides, "v": numbers, "p": numbers})
        return {"topic": f"allLiquidation.{name}", "type": "snapshot", "ts": draw(times), "data": draw(st.lists(row, max_size=8))}
    if kind == "trade":
        row = st.fixed_dictionaries(
            {
                "T": times,
                "s": st.just(name),
                "S": sides,
                "v": numbers,
                "p": numbers,
                "L": st.sampled_from(["PlusTick", ""]),
                "i": st.text(max_size=70),
            },
            optional={"BT": st.booleans(), "RPI": st.booleans(), "seq": st.integers(0, 2**63 - 1)},
        )
        return {"topic": f"publicTrade.{name}", "type": "snapshot", "ts": draw(times), "data": draw(st.lists(row, max_size=6))}
    if kind == "book":
        side_levels = st.lists(st.tuples(numbers, numbers).map(list), max_size=2) if draw(st.booleans()) else st.tuples(st.tuples(numbers, numbers))
        message = {
            "topic": f"orderbook.1.{name}",
            "ts": draw(times),
            "type": draw(st.sampled_from(["snapshot", "snapshot", "delta"])),
            "data": {"s": name, "b": draw(side_levels), "a": draw(side_levels), "u": draw(st.integers(0, 10**15)), "seq": 5},
        }
        return {**message, "cts": draw(times)} if draw(st.booleans()) else message
    fields = st.fixed_dictionaries(
        {"symbol": st.just(name)},
        optional={
            "markPrice": numbers,
            "indexPrice": numbers,
            "openInterest": numbers,
            "lastPrice": numbers,
            "bid1Price": numbers,
            "fundingRate": st.one_of(numbers, numbers.map(lambda n: "-" + n)),
            "nextFundingTime": st.just("1"),
            "unknownKey": st.just(1),
        },
    )
    return {
        "topic": f"tickers.{name}",
        "type": draw(st.sampled_from(["snapshot", "delta"])),
        "data": draw(fields),
        "cs": draw(st.integers(3, 6)),
        "ts": draw(times),
    }


def shuffled(value, rng: random.Random):
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {k: shuffled(value[k], rng) for k in keys}
    return [shuffled(v, rng) for v in value] if isinstance(value, list | tuple) else value


@settings(max_examples=150, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_generated_frames_agree(sequence, rng, shuffle):
    decoder, last = PublicDecoder(SYMBOLS), {}
    for message in sequence:
        frame = orjson.dumps(shuffled(message, rng) if shuffle else message)
        general = both(decoder, frame)[1]
        if agree(decoder, frame) or general.kind == FrameKind.EVENTS:
            same_as_oracle(decoder, decoder.read(frame, TS).events, oracle.events(frame, last))
        elif general.reason in ("late ticker", "trade off the market"):
            assert oracle.events(frame, last) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(messages(NUMBERS, MS), min_size=1, max_size=12))
def test_generated_odd_frames_agree(sequence):
    decoder = PublicDecoder(SYMBOLS)
    for message in sequence:
        agree(decoder, orjson.dumps(message))
        agree(decoder, json.dumps(message).encode())  # white space


def test_every_order_of_keys():
    decoder = PublicDecoder(SYMBOLS)
    for frame in (LIQUIDATIONS[0], BOOK):
        message, orders = json.loads(frame), 0
        inner = message["data"][0] if isinstance(message["data"], list) else message["data"]
        for keys in itertools.permutations(inner):
            data = {k: inner[k] for k in keys}
            for outer in itertools.permutations(message):
                changed = {
                    k: ([data, *message["data"][1:]] if isinstance(message["data"], list) else data) if k == "data" else message[k] for k in outer
                }
                orders += 1
                if orders % 7 == 0:  # each permutation of each object is met, the product of both is sampled
                    assert agree(decoder, orjson.dumps(changed)), changed


@pytest.mark.parametrize("frame", FRAMES)
def test_every_corrupted_byte(frame):
    """Any byte at any position: scan hands back, or both ways say the same. Predicted and general scanner."""
    decoder, out = PublicDecoder(SYMBOLS), np.zeros(16, EVENT_DTYPE)
    taken = 0
    for position in range(len(frame)):
        for byte in {
            0,
            1,
            31,
            34,
            44,
            45,
            46,
            47,
            48,
            49,
            57,
            58,
            66,
            69,
            92,
            93,
            101,
            125,
            127,
            128,
            255,
            frame[position] ^ 1,
            frame[position] ^ 32,
        }:
            bad = frame[:position] + bytes([byte]) + frame[position + 1 :]
            decoder.scan.decode(frame, TS, out)  # learn the good layout
            taken += agree(decoder, bad, out)
    assert taken > 0


@pytest.mark.parametrize("frame", FRAMES)
def test_every_truncation_and_trailing_bytes(frame):
    decoder, out = PublicDecoder(SYMBOLS), np.zeros(16, EVENT_DTYPE)
    assert decoder.scan.decode(frame, TS, out) > 0
    for size in range(len(frame)):
        assert decoder.scan.decode(frame[:size], TS, out) == -1
        assert decoder.read(frame[:size], TS).kind == FrameKind.MALFORMED
    for tail in (b" ", b"\n", b"}", b",", b"\0", b'{"a":1}'):
        assert decoder.scan.decode(frame + tail, TS, out) == -1
        agree(decoder, frame + tail, out)


def test_200_rows_in_order():
    rows = [
        {"T": 1739502302929 + i % 7, "s": "ROSEUSDT", "S": "Buy" if i % 3 else "Sell", "v": str(i + 1), "p": f"0.0{4000 + i}"} for i in range(200)
    ]
    frame = orjson.dumps({"topic": "allLiquidation.ROSEUSDT", "type": "snapshot", "ts": 1739502303204, "data": rows})
    decoder, out = PublicDecoder(SYMBOLS), np.zeros(200, EVENT_DTYPE)
    for _ in range(2):
        scanned, general = both(decoder, frame, out)
        assert scanned == general.events and len(scanned) == 200
        assert [e[3] for e in scanned] == [float(i + 1) for i in range(200)]
        assert [e[9] for e in scanned] == [1 if i % 3 else -1 for i in range(200)]
    assert decoder.scan.decode(frame, TS, np.zeros(199, EVENT_DTYPE)) == -2
    with pytest.raises(ValueError, match="200 events in one frame, room for 199"):
        decoder.scan.forget()
        PublicDecoder(SYMBOLS).decode(frame.replace(b'{"topic"', b'{ "topic"'), TS, np.zeros(199, EVENT_DTYPE))


def test_nothing_is_written_behind_the_room():
    rows = [{"T": 1, "s": "ROSEUSDT", "S": "Buy", "v": "1", "p": "2"}] * 9
    frame = orjson.dumps({"topic": "allLiquidation.ROSEUSDT", "type": "snapshot", "ts": 3, "data": rows})
    memory = np.full(12 * 64, 0x5A, "u1")
    out = memory.view(EVENT_DTYPE)[:4]
    decoder = PublicDecoder(SYMBOLS)
    for _ in range(3):
        assert decoder.scan.decode(frame, TS, out) == -2
        assert (memory[4 * 64 :] == 0x5A).all()
        assert decoder.scan.decode(orjson.dumps({**json.loads(frame), "data": rows[:4]}), TS, out) == 4
        assert (memory[4 * 64 :] == 0x5A).all()


@pytest.mark.parametrize(
    ("frame", "stem"),
    [
        ({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 9}, {"S": "Buy", "v": "0.5", "p": "100"}),
        ({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 9}, {"S": "Buy", "v": "0.5", "p": "100", "L": "PlusTick", "i": "x", "BT": False}),
    ],
)
def test_a_bad_row_costs_a_row(frame, stem):
    """Fifty rows of which one has a defect: forty-nine events, and one counted reason."""
    for key, bad, reason in (
        ("p", "1e5", "bad number"),
        ("v", 3, "bad number"),
        ("S", "Up", "bad side"),
        ("T", "7", "bad integer"),
        ("s", "OTHER", "wrong symbol"),
    ):
        rows = [stem | {"T": 1_000 + n, "s": "BTCUSDT"} for n in range(50)]
        rows[17] |= {key: bad}
        found = PublicDecoder(SYMBOLS).read(orjson.dumps(frame | {"data": rows}), TS)
        assert found.kind == FrameKind.EVENTS and found.dropped == {reason: 1}
        assert [event[0] for event in found.events] == [(1_000 + n) * 10**6 for n in range(50) if n != 17]
    alone = PublicDecoder(SYMBOLS).read(orjson.dumps(frame | {"data": [stem | {"T": "7", "s": "BTCUSDT"}]}), TS)
    assert (alone.kind, alone.reason, alone.events) == (FrameKind.MALFORMED, "bad integer", [])


@pytest.mark.parametrize(
    ("key", "value", "lost"),
    [
        ("openInterest", "1e5", "qty"),
        ("indexPrice", 7, "aux_price"),
        ("fundingRate", "abc", "aux_qty"),
        ("cs", "12", ""),
        ("cs", 2**63, ""),
        ("cs", None, ""),
    ],
)
def test_a_bad_field_costs_a_field_of_a_ticker(key, value, lost):
    data = {"symbol": "BTCUSDT", "markPrice": "100", "indexPrice": "101", "openInterest": "7", "fundingRate": "0.0001"}
    message = {"topic": "tickers.BTCUSDT", "type": "snapshot", "cs": 5, "ts": 9, "data": data}
    (message if key == "cs" else data)[key] = value
    found = PublicDecoder(SYMBOLS).read(orjson.dumps(message), TS)
    (event,) = found.events
    want = {"price": 100.0, "qty": 7.0, "aux_price": 101.0, "aux_qty": 0.0001} | ({lost: 0.0} if lost else {})
    assert dict(zip(("price", "qty", "aux_price", "aux_qty"), event[2:6], strict=True)) == want and sum(found.dropped.values()) == 1


def test_an_empty_side_of_the_book_has_no_price():
    """The engine's door refuses such a quote, and the quote before it ends."""
    decoder = PublicDecoder(SYMBOLS)
    whole, general = both(decoder, BOOK.replace(b'[["65114.30","10.470"]]', b"[]"))
    assert whole is None and general.kind == FrameKind.EVENTS
    (event,), (before,) = general.events, both(decoder, BOOK)[0]
    assert sorted([event[2:4], event[4:6]]) == sorted([(0.0, 0.0), before[2:4] if event[2] else before[4:6]])


# --- what is not market data ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "kind", "topics", "req_id"),
    [
        ('{"success":true,"ret_msg":"","conn_id":"x","req_id":"sub-BTCUSDT","op":"subscribe"}', FrameKind.ACK, (), "sub-BTCUSDT"),
        ('{"success":true,"ret_msg":"subscribe","conn_id":"x","op":"subscribe"}', FrameKind.ACK, (), ""),
        ('{"success":true,"ret_msg":"","conn_id":"x","request":{"op":"subscribe","args":["trade.BTCUSD"]}}', FrameKind.ACK, (), ""),
        ('{"success":true,"data":{"failTopics":[],"successTopics":["a.B"]},"type":"COMMAND_RESP","conn_id":"x"}', FrameKind.ACK, ("a.B",), ""),
        (
            '{"success":true,"data":{"failTopics":["c.D"],"successTopics":["a.B"]},"type":"COMMAND_RESP","conn_id":"x"}',
            FrameKind.ACK_FAILED,
            ("c.D",),
            "",
        ),
        (
            '{"success":false,"ret_msg":"error:handler not found,topic:orderbook.500.BTCUSDT","req_id":7,"op":"subscribe"}',
            FrameKind.ACK_FAILED,
            ("orderbook.500.BTCUSDT",),
            "7",
        ),
        (
            '{"success":false,"ret_msg":"Invalid topic: invalid.topic.BTCUSDT","conn_id":"x","op":"subscribe"}',
            FrameKind.ACK_FAILED,
            ("invalid.topic.BTCUSDT",),
            "",
        ),
        ('{"success":false,"ret_msg":"","op":"subscribe"}', FrameKind.ACK_FAILED, (), ""),
        ('{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"ping-3","op":"ping"}', FrameKind.PONG, (), "ping-3"),
        ('{"req_id":"1","op":"pong","args":["1675418560633"],"conn_id":"x"}', FrameKind.PONG, (), "1"),
        ('{"retCode":0,"retMsg":"OK","op":"pong","data":["1"],"connId":"x"}', FrameKind.PONG, (), ""),
        ('{"op":"auth","success":true,"retCode":0,"retMsg":"","connId":"x"}', FrameKind.ACK, (), ""),
        ('{"reqId":"a","retCode":0,"retMsg":"OK","op":"auth","connId":"x"}', FrameKind.ACK, (), "a"),
        ('{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey","connId":"x"}', FrameKind.ACK_FAILED, (), ""),
        ('{"topic":"kline.1.BTCUSDT","data":[],"ts":1,"type":"snapshot"}', FrameKind.OTHER, (), ""),
        ('{"topic":"orderbook.200.BTCUSDT","data":{},"ts":1,"type":"delta"}', FrameKind.OTHER, (), ""),
        ('{"op":"order.create","retCode":0,"reqId":"c1-2"}', FrameKind.OTHER, (), "c1-2"),
        ("{}", FrameKind.OTHER, (), ""),
    ],
)
def test_control_frames(frame, kind, topics, req_id):
    result = PublicDecoder(SYMBOLS).read(frame.encode(), TS)
    assert (result.kind, result.topics, result.req_id) == (kind, topics, req_id)
    assert PublicDecoder(SYMBOLS).scan.decode(frame.encode(), TS, np.zeros(4, EVENT_DTYPE)) == -1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "bad structure"),
        (b"[1]", "bad structure"),
        (b"\xff\xfe\x00binary", "not JSON"),
        (b"[" * 2000, "not JSON"),
        (b'{"topic":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b" " * (1 << 20) + b"{}", "too large"),
        (b'{"topic":3}', "bad structure"),
        (LIQUIDATIONS[1].replace(b'"20000"', b'"NaN"'), "bad number"),
        (LIQUIDATIONS[1].replace(b'"20000"', b'"-1"'), "bad number"),
        (LIQUIDATIONS[1].replace(b'"20000"', b"20000"), "bad number"),
        (LIQUIDATIONS[1].replace(b'"20000"', b'"1e9"'), "bad number"),
        (LIQUIDATIONS[1].replace(b'"Sell"', b'"sell"'), "bad side"),
        (LIQUIDATIONS[1].replace(b"1739502302929", b'"1739502302929"'), "bad integer"),
        (LIQUIDATIONS[1].replace(b"1739502302929", b"1e30"), "bad integer"),
        (LIQUIDATIONS[1].replace(b"ROSEUSDT", b"DOGEUSDT"), "unknown symbol"),
        (LIQUIDATIONS[1].replace(b'"s":"ROSEUSDT"', b'"s":"BTCUSDT"'), "wrong symbol"),
        (LIQUIDATIONS[1].replace(b"[{", b"{").replace(b"}]", b"}"), "bad structure"),
        (LIQUIDATIONS[1].replace(b"[{", b"[[").replace(b"}]", b"]]"), "not JSON"),
        (b'{"topic":"tickers.BTCUSDT","type":"x","data":{"symbol":"BTCUSDT"},"ts":1}', "bad structure"),
    ],
)
def test_rubbish_has_a_reason(frame, reason):
    decoder = PublicDecoder(SYMBOLS)
    result = decoder.read(frame, TS)
    assert (result.kind, result.reason, result.events) == (FrameKind.MALFORMED, reason, [])
    assert result.detail and len(result.detail) < 400
    assert decoder.scan.decode(frame, TS, np.zeros(4, EVENT_DTYPE)) == -1


def test_counters_cannot_grow_with_what_a_stranger_sends():
    decoder = PublicDecoder(SYMBOLS)
    reasons = {decoder.read(orjson.dumps({"topic": f"t{i}.X{i}"}), TS).reason for i in range(50)}
    reasons |= {decoder.read(orjson.dumps({"op": f"o{i}"}), TS).reason for i in range(50)}
    assert reasons == {"unknown topic", "unknown operation"}


# --- what we send -----------------------------------------------------------------------------------------------------------------------------


def test_one_symbol_a_subscribe_frame():
    frames = bybit.subscribe_frames(["BTCUSDT", "ETHUSDT"])
    assert [r for r, _ in frames] == ["sub-BTCUSDT", "sub-ETHUSDT"]
    assert json.loads(frames[1][1]) == {
        "req_id": "sub-ETHUSDT",
        "op": "subscribe",
        "args": ["allLiquidation.ETHUSDT", "publicTrade.ETHUSDT", "orderbook.1.ETHUSDT", "tickers.ETHUSDT"],
    }
    with pytest.raises(ValueError, match="use 3 connections"):
        bybit.subscribe_frames([f"SYM{i:04}USDT" for i in range(500)])
    assert json.loads(bybit.ping_frame(3)) == {"req_id": "ping-3", "op": "ping"}


def test_endpoints():
    places = ADAPTER.environments
    assert places["demo"].ws == places["mainnet"].ws and places["demo"].trade == ""
    assert all("testnet" in address for address in (places["testnet"].rest, places["testnet"].ws, places["testnet"].private, places["testnet"].trade))
