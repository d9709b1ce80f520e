"""Binance USD-M, OKX and Hyperliquid: what their frames mean, in words, by shape and by the general path; what is refused, and what is counted."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell.venues.adapters import ADAPTERS, adapter_of
from liqshell.venues.binance import decoder as binance
from liqshell.venues.frames import FrameKind
from liqshell.venues.hyperliquid import decoder as hyperliquid
from liqshell.venues.okx import decoder as okx
from venue_frames import BINANCE, FRAMES, HYPERLIQUID, OKX, SYMBOLS, TS, both

NS = 1_000_000
FORCED = [("binance_um", "long", Side.LONG), ("binance_um", "short", Side.SHORT), ("okx", "long", Side.LONG), ("okx", "short", Side.SHORT)]


def decoder_of(venue, first=0):
    return adapter_of(venue).decoder(SYMBOLS[venue], first)


def events_of(venue, frame):
    """Read twice, so that the second reading goes by the layout learnt from the first; all ways agree."""
    decoder = decoder_of(venue)
    first, general = both(decoder, frame)
    again, _ = both(decoder, frame)
    assert first == again
    return [dict(zip(EVENT_DTYPE.names, row, strict=True)) for row in general.events]


# --- sides ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "name", "side"), FORCED)
def test_the_side_of_a_forced_order_is_the_opposite_of_the_position_it_closes(venue, name, side):
    (event,) = events_of(venue, FRAMES[venue][name])
    assert event["kind"] == Kind.LIQUIDATION and event["side"] == side and event["instrument"] == 0


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize(("name", "side"), [("bought", Side.LONG), ("sold", Side.SHORT)])
def test_the_side_of_a_trade_is_the_takers(venue, name, side):
    assert {(e["kind"], e["side"]) for e in events_of(venue, FRAMES[venue][name])} == {(Kind.TRADE, side)}


def test_bybit_is_the_one_that_states_the_position():
    """The same word, opposite meaning: never compare raw sides across venues."""
    frame = b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTCUSDT","S":"Buy","v":"1","p":"2"}]}'
    out = np.zeros(1, EVENT_DTYPE)
    assert adapter_of("bybit").decoder(["BTCUSDT"]).decode(frame, TS, out) == 1 and out[0]["side"] == Side.LONG
    assert events_of("binance_um", BINANCE["short"])[0]["side"] == Side.SHORT  # S = "BUY"


# --- values -----------------------------------------------------------------------------------------------------------------------------------


def test_binance_liquidation_is_what_was_filled_at_the_average_price():
    (event,) = events_of("binance_um", BINANCE["long"])
    assert (event["price"], event["qty"], event["ts_event"]) == (82651.90, 0.190, 1791565602120 * NS)
    partly = BINANCE["long"].replace(b'"q":"0.190"', b'"q":"0.250"')
    assert events_of("binance_um", partly)[0]["qty"] == 0.190  # z, not q nor l


def test_binance_values():
    (trade,) = events_of("binance_um", BINANCE["bought"])
    assert (trade["price"], trade["qty"], trade["id"], trade["ts_event"]) == (82100.1, 0.1, 5933014, 1698871323059 * NS)
    (quote,) = events_of("binance_um", BINANCE["quote"])
    assert (quote["price"], quote["qty"], quote["aux_price"], quote["aux_qty"], quote["ts_event"]) == (
        82100.1,
        31.21,
        82100.2,
        40.66,
        1568014460891 * NS,
    )


def test_okx_values_are_contracts():
    (event,) = events_of("okx", OKX["long"])
    assert (event["price"], event["qty"], event["aux_price"], event["ts_event"]) == (82655.7, 8.55, 0.0, 1791565600771 * NS)
    (trade,) = events_of("okx", OKX["bought"])
    assert (trade["price"], trade["qty"], trade["id"]) == (42219.9, 0.12, 130639474)
    (quote,) = events_of("okx", OKX["quote"])
    assert (quote["price"], quote["qty"], quote["aux_price"], quote["aux_qty"], quote["id"]) == (38632.3, 990.0, 38632.4, 727.0, 363996337)
    assert len(events_of("okx", OKX["sold"])) == 2


def test_hyperliquid_values():
    (trade,) = events_of("hyperliquid", HYPERLIQUID["bought"])
    assert (trade["price"], trade["qty"], trade["id"]) == (69998.0, 0.00714, 1125899906842623)  # a 16-digit tid goes the fast way too
    assert [e["instrument"] for e in events_of("hyperliquid", HYPERLIQUID["sold"])] == [1, 0]  # each row says whose it is
    (quote,) = events_of("hyperliquid", HYPERLIQUID["quote"])
    assert (quote["price"], quote["aux_price"]) == (107575.0, 107576.0)
    (ticker,) = events_of("hyperliquid", HYPERLIQUID["ticker"])
    assert (ticker["price"], ticker["qty"], ticker["aux_price"], ticker["aux_qty"]) == (0.19963, 18617460.0, 0.1995, -0.00004863)
    assert ticker["ts_event"] == TS  # the venue gives none


@pytest.mark.parametrize(
    ("venue", "name"),
    [(venue, name) for venue, found in FRAMES.items() for name in found if (venue, name) not in {("okx", "long"), ("okx", "short")}],
)
def test_hot_frames_go_by_shape(venue, name):
    scanned, _ = both(decoder_of(venue), FRAMES[venue][name])
    assert scanned is not None


@pytest.mark.parametrize("name", ["long", "short"])
def test_okx_liquidations_go_by_shape_where_no_contract_is_inverse(name):
    """Also when the contract is named behind its rows, and by the layout learnt from the first frame; sides that disagree do not."""
    decoder = okx.PublicDecoder(["ETH-USDT-SWAP", "BTC-USDT-SWAP"], 3)
    for _ in range(3):
        scanned, general = both(decoder, OKX[name])
        assert scanned == general.events and [e[7] for e in scanned] == [4]
        assert both(decoder, OKX[name].replace(b'"side":"sell"', b'"side":"buy"').replace(b'"posSide":"net"', b'"posSide":"long"'))[0] is None
    assert decoder.scan.predicted >= 2
    assert both(okx.PublicDecoder(["BTC-USDT-SWAP", "BTC-USD-SWAP"]), OKX[name])[0] is None  # a notional may have to be stated


@pytest.mark.parametrize("venue", FRAMES)
def test_the_first_instrument_of_a_venue_has_its_number_in_the_engine(venue):
    for frame in FRAMES[venue].values():
        near, far = both(decoder_of(venue), frame)[1], both(decoder_of(venue, 700), frame)[1]
        assert [e[7] + 700 for e in near.events] == [e[7] for e in far.events]


# --- binance ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in BINANCE if name != "long"])
def test_binance_raw_and_combined_are_the_same(name):
    wrapped = b'{"stream":"btcusdt@' + name.encode() + b'","data":' + BINANCE[name] + b"}"
    assert both(decoder_of("binance_um"), wrapped)[0] == both(decoder_of("binance_um"), BINANCE[name])[0] is not None


@pytest.mark.parametrize("place", ["top", "inside"])
@pytest.mark.parametrize(("status", "events"), [(1, 1), (2, 0)])
def test_binance_coin_margined_orders_are_left_out_and_counted(place, status, events):
    """st at the top (the documentation) or inside o (the wire, 2026-10): quantities of st 2 are contracts of 10 or 100 dollars."""
    message = {
        "e": "forceOrder",
        "E": 1,
        **({"st": status} if place == "top" else {}),
        "o": {
            "s": "BTCUSDT",
            "S": "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": "1",
            "p": "9",
            "ap": "9",
            "X": "FILLED",
            "l": "1",
            "z": "1",
            "T": 1,
            **({"st": status} if place == "inside" else {}),
        },
    }
    frame = both(decoder_of("binance_um"), orjson.dumps(message))[1]
    assert len(frame.events) == events and (frame.kind, frame.reason) == ((FrameKind.EVENTS, "") if events else (FrameKind.OTHER, "coin-margined"))


@pytest.mark.parametrize(("symbol", "reason"), [("BTCUSD_PERP", "other contract"), ("XRPUSDT", "other contract")])
def test_binance_all_market_stream_brings_contracts_of_others(symbol, reason):
    scanned, frame = both(decoder_of("binance_um"), BINANCE["long"].replace(b'"s":"BTCUSDT"', b'"s":"' + symbol.encode() + b'"'))
    assert scanned is None and (frame.kind, frame.reason, frame.events) == (FrameKind.OTHER, reason, [])


def test_binance_array_of_orders_gives_all_of_them():
    rows = [orjson.loads(BINANCE["short"]) for _ in range(3)]
    rows[1]["o"]["s"], rows[2]["o"]["ap"] = "XRPUSDT", "NaN"
    for frame in (orjson.dumps(rows), orjson.dumps({"stream": "!forceOrder@arr", "data": rows})):
        found = decoder_of("binance_um").read(frame, TS)
        assert found.kind == FrameKind.EVENTS and len(found.events) == 1 and found.dropped == {"other contract": 1, "bad number": 1}


@pytest.mark.parametrize("status", ["NEW", "CANCELED", "REJECTED"])
def test_binance_order_that_is_not_filled_is_counted_not_summed(status):
    scanned, frame = both(decoder_of("binance_um"), BINANCE["long"].replace(b"FILLED", status.encode()))
    assert scanned is None and (frame.kind, frame.reason) == (FrameKind.OTHER, f"order {status}")


@pytest.mark.parametrize("status", ["PARTIALLY_FILLED", "EXPIRED", "EXPIRED_IN_MATCH"])
def test_binance_order_that_ended_with_a_filled_part_is_a_liquidation_of_that_part(status):
    order = orjson.loads(BINANCE["long"])
    filled = both(decoder_of("binance_um"), BINANCE["long"])[0][0]
    forced = order.get("data", order)["o"]
    forced |= {"X": status, "z": "0.005"}
    found = both(decoder_of("binance_um"), orjson.dumps(order))[1]
    assert [event[2:4] for event in found.events] == [(filled[2], 0.005)]
    forced["z"] = "0"
    assert both(decoder_of("binance_um"), orjson.dumps(order))[1].reason == f"order {status}"


def test_binance_trades_off_the_market_are_not_flow():
    frame = b'{"e":"trade","E":1574381164089,"T":1574381164086,"s":"BTCUSDT","t":10934580,"p":"7627.60","q":"0.044","X":"MARKET","m":false}'
    assert both(decoder_of("binance_um"), frame)[0][0][9] == Side.LONG
    for kind in (b"INSURANCE_FUND", b"ADL"):
        assert both(decoder_of("binance_um"), frame.replace(b"MARKET", kind))[1].reason == "trade off the market"


@pytest.mark.parametrize(
    ("frame", "kind", "req_id"),
    [
        ('{"result":null,"id":12}', FrameKind.ACK, "12"),
        ('{"id":1000,"result":null}', FrameKind.ACK, "1000"),
        ('{"code":2,"msg":"Invalid request: unknown variant","id":4}', FrameKind.ACK_FAILED, "4"),
        ('{"error":{"code":3,"msg":"Invalid JSON"},"id":5}', FrameKind.ACK_FAILED, "5"),
        ('{"code":-1121,"msg":"Invalid symbol."}', FrameKind.ACK_FAILED, ""),
        ('{"e":"serverShutdown","E":1770123456789}', FrameKind.RECONNECT, ""),
        ('{"e":"kline","E":1,"s":"BTCUSDT","k":{}}', FrameKind.OTHER, ""),
        ('{"stream":"x","data":{"e":"depthUpdate"}}', FrameKind.OTHER, ""),
    ],
)
def test_binance_control_frames(frame, kind, req_id):
    scanned, found = both(decoder_of("binance_um"), frame.encode())
    assert scanned is None and (found.kind, found.req_id, found.acks) == (kind, req_id, (req_id,) if req_id else ())


# --- okx --------------------------------------------------------------------------------------------------------------------------------------


def market(*entries):
    return orjson.dumps(
        {
            "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
            "data": [
                {
                    "instType": "SWAP",
                    "instId": name,
                    "details": [
                        {"side": side, "posSide": position, "bkPx": price, "sz": "1", "bkLoss": "0", "ccy": "", "ts": str(ts)}
                        for side, position, price, ts in details
                    ],
                }
                for name, details in entries
            ],
        }
    )


def test_okx_every_detail_of_every_contract_is_an_event():
    frame = market(
        ("BTC-USDT-SWAP", [("sell", "long", "1", 5), ("sell", "net", "2", 6), ("buy", "short", "3", 4)]),
        ("IOST-USDT-SWAP", [("sell", "net", "9", 1)] * 4),
        ("ETH-USDT-SWAP", [("buy", "net", "4", 7)] * 2),
    )
    found = decoder_of("okx").read(frame, TS)
    assert [(e[7], e[9], e[2], e[0]) for e in found.events] == [
        (0, Side.LONG, 1.0, 5 * NS),
        (0, Side.LONG, 2.0, 6 * NS),
        (0, Side.SHORT, 3.0, 4 * NS),
        (2, Side.SHORT, 4.0, 7 * NS),
        (2, Side.SHORT, 4.0, 7 * NS),
    ]
    assert found.dropped == {"other contract": 4}  # of a whole market; and two equal rows are two positions


def test_okx_rows_come_out_of_order_and_late():
    """Once eight minutes: the time is the venue's, the order is that of receipt."""
    late = TS // NS - 480_000
    found = decoder_of("okx").read(market(("BTC-USDT-SWAP", [("sell", "net", "1", TS // NS), ("sell", "net", "1", late)])), TS)
    assert [e[0] for e in found.events] == [TS // NS * NS, late * NS] and {e[1] for e in found.events} == {TS}


def test_okx_sides_that_contradict_each_other_are_refused_by_row():
    found = decoder_of("okx").read(market(("BTC-USDT-SWAP", [("sell", "short", "1", 5), ("buy", "short", "2", 5), ("buy", "SHORT", "2", 5)])), TS)
    assert [e[2] for e in found.events] == [2.0] and found.dropped == {"sides disagree": 1, "bad side": 1}


@pytest.mark.parametrize("rubbish", ["details", 3, None, {}, [], [3], [{}], {"side": "sell"}])
def test_okx_bad_details_are_counted(rubbish):
    entry = {"instId": "BTC-USDT-SWAP", "details": rubbish}
    found = decoder_of("okx").read(orjson.dumps({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [entry]}), TS)
    assert not found.events and (found.kind == FrameKind.MALFORMED or rubbish == [])


def test_okx_inverse_contracts_state_their_dollars():
    frame = market(("BTC-USD-SWAP", [("sell", "net", "50000", 5)]))
    assert decoder_of("okx").read(frame, TS).events[0][4] == 100.0  # by its name
    assert okx.PublicDecoder(["BTC-USD-SWAP"], 0, {"BTC-USD-SWAP": 50.0}).read(frame, TS).events[0][4] == 50.0


def test_okx_index_price_is_that_of_all_contracts_on_it():
    frame = b'{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"2.1675","ts":"1640131290649"}]}'
    assert [(e[7], e[4]) for e in decoder_of("okx").read(frame, TS).events] == [(0, 2.1675), (3, 2.1675)]


@pytest.mark.parametrize(
    ("frame", "kind", "acks", "reason"),
    [
        (b"pong", FrameKind.PONG, (), ""),
        (b'{"event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"connId":"x"}', FrameKind.ACK, ("trades:BTC-USDT-SWAP",), ""),
        (
            b'{"event":"subscribe","arg":{"channel":"liquidation-orders","instType":"SWAP"},"connId":"x"}',
            FrameKind.ACK,
            ("liquidation-orders:SWAP",),
            "",
        ),
        (
            b'{"event":"error","code":"60018","msg":"Wrong URL or channel:trades,instId:XX-USDT-SWAP doesn\'t exist.","connId":"x"}',
            FrameKind.ACK_FAILED,
            ("trades:XX-USDT-SWAP",),
            "request refused",
        ),
        (b'{"event":"error","code":"60012","msg":"Invalid request: {}","connId":"x"}', FrameKind.ACK_FAILED, (), "request refused"),
        (b'{"event":"error","id":"3","code":"60014","msg":"Requests too frequent","connId":"x"}', FrameKind.RECONNECT, (), "too many requests"),
        (
            b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade.","connId":"x"}',
            FrameKind.RECONNECT,
            (),
            "service upgrade",
        ),
        (b'{"event":"channel-conn-count","channel":"orders","connCount":"2"}', FrameKind.OTHER, (), "event channel-conn-count"),
        (b'{"table":"swap/liquidation","data":[{"size":"8"}]}', FrameKind.OTHER, (), "unknown message"),
        (b'{"arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"data":[]}', FrameKind.OTHER, (), "channel candle"),
        (b'{"arg":{"channel":"books5","instId":"BTC-USDT-SWAP"},"data":[]}', FrameKind.OTHER, (), "unknown channel"),
    ],
)
def test_okx_control_frames(frame, kind, acks, reason):
    scanned, found = both(decoder_of("okx"), frame)
    assert scanned is None and (found.kind, found.acks, found.reason) == (kind, acks, reason)


# --- hyperliquid ------------------------------------------------------------------------------------------------------------------------------


def test_hyperliquid_has_no_liquidation_feed_and_none_is_made_up():
    adapter = adapter_of("hyperliquid")
    assert not adapter.liquidations
    assert not any(shape.kind == Kind.LIQUIDATION for shape in hyperliquid.SHAPES)
    fill = (
        b'{"channel":"user","data":{"fills":[{"coin":"BTC","px":"66653.0","sz":"0.001","side":"A","time":1781528065899,"liquidation":'
        b'{"liquidatedUser":"0x36","markPx":"66607.0","method":"market"}}]}}'
    )
    assert both(decoder_of("hyperliquid"), fill)[1].kind == FrameKind.OTHER


@pytest.mark.parametrize("field", ["midPx", "impactPxs", "premium"])
def test_hyperliquid_null_says_nothing(field):
    message = orjson.loads(HYPERLIQUID["ticker"])
    message["data"]["ctx"][field] = None
    scanned, found = both(decoder_of("hyperliquid"), orjson.dumps(message))
    assert scanned is None and found.events[0][2:6] == (0.19963, 18617460.0, 0.1995, -0.00004863)


def test_hyperliquid_numbers_may_be_numbers():
    message = orjson.loads(HYPERLIQUID["ticker"])
    message["data"]["ctx"] |= {"markPx": 0.5, "funding": -0.25, "openInterest": 3}
    assert both(decoder_of("hyperliquid"), orjson.dumps(message))[1].events[0][2:6] == (0.5, 3.0, 0.1995, -0.25)
    message["data"]["ctx"]["markPx"] = -1
    assert both(decoder_of("hyperliquid"), orjson.dumps(message))[1].reason == "bad number"


@pytest.mark.parametrize("bbo", ["[null,null]", '[{"px":"1","sz":"2","n":1},null]', '[{"px":"1","sz":"2","n":1}]', "[]"])
def test_hyperliquid_half_a_book_has_no_price_on_that_side(bbo):
    """The engine's door refuses such a quote, and the quote before it ends."""
    found = both(decoder_of("hyperliquid"), f'{{"channel":"bbo","data":{{"coin":"BTC","time":1,"bbo":{bbo}}}}}'.encode())[1]
    one_side = (1.0, 2.0) if "px" in bbo else (0.0, 0.0)
    assert found.kind == FrameKind.EVENTS and [event[2:6] for event in found.events] == [(*one_side, 0.0, 0.0)]


def test_okx_half_a_book_has_no_price_on_that_side():
    frame = b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[],"bids":[["1","2","0","1"]],"ts":"1","seqId":3}]}'
    found = both(decoder_of("okx"), frame)[1]
    assert found.kind == FrameKind.EVENTS and [event[2:6] for event in found.events] == [(1.0, 2.0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("frame", "kind", "acks"),
    [
        ('{"channel":"pong"}', FrameKind.PONG, ()),
        (
            '{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"trades","coin":"BTC"}}}',
            FrameKind.ACK,
            ("trades:BTC",),
        ),
        (json.dumps({"channel": "error", "data": 'Invalid subscription {"type":"bbo","coin":"XX"}'}), FrameKind.ACK_FAILED, ("bbo:XX",)),
        (json.dumps({"channel": "error", "data": 'Already subscribed: {"type":"bbo","coin":"BTC"}'}), FrameKind.ACK, ("bbo:BTC",)),
        (json.dumps({"channel": "error", "data": "Error parsing JSON"}), FrameKind.ACK_FAILED, ()),
        ('{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[],[]]}}', FrameKind.OTHER, ()),
    ],
)
def test_hyperliquid_control_frames(frame, kind, acks):
    found = both(decoder_of("hyperliquid"), frame.encode())[1]
    assert (found.kind, found.acks) == (kind, acks)


# --- rubbish ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "old", "new", "reason"),
    [
        ("binance_um", b'"ap":"82651.90"', b'"ap":"NaN"', "bad number"),
        ("binance_um", b'"ap":"82651.90"', b'"ap":"-1"', "bad number"),
        ("binance_um", b'"z":"0.190"', b'"z":null', "bad number"),
        ("binance_um", b'"z":"0.190"', b'"z":0.19', "bad number"),
        ("binance_um", b'"S":"SELL"', b'"S":"sell"', "bad side"),
        ("binance_um", b'"S":"SELL"', b'"S":["SELL"]', "bad side"),
        ("binance_um", b'"T":1791565602120', b'"T":"1791565602120"', "bad integer"),
        ("binance_um", b'"T":1791565602120', b'"T":9223372036855', "bad integer"),
        ("binance_um", b'"st":1', b'"st":3', "bad integer"),
        ("binance_um", b'"s":"BTCUSDT"', b'"s":7', "bad structure"),
        ("okx", b'"bkPx":"82655.7"', b'"bkPx":""', "bad number"),
        ("okx", b'"sz":"8.55"', b'"sz":"1e3"', "bad number"),
        ("okx", b'"ts":"1791565600771"', b'"ts":1791565600771', "bad integer"),
        ("okx", b'"ts":"1791565600771"', b'"ts":"-1"', "bad integer"),
        ("okx", b'"side":"sell"', b'"side":"Sell"', "bad side"),
        ("okx", b'"instId":"BTC-USDT-SWAP"', b'"instId":null', "bad structure"),
        ("okx", b'"data":[', b'"data":[[],', "bad structure"),
        ("okx", b'{"channel":"liquidation-orders","instType":"SWAP"}', b"3", "bad structure"),
    ],
)
def test_rubbish_in_a_liquidation_has_a_reason(venue, old, new, reason):
    frame = FRAMES[venue]["long"]
    assert old in frame
    scanned, found = both(decoder_of(venue), frame.replace(old, new))
    assert scanned is None and (found.kind == FrameKind.MALFORMED and found.reason == reason or found.dropped[reason] == 1)


@pytest.mark.parametrize("venue", ADAPTERS)
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "bad structure"),
        (b"3", "bad structure"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 2000, "not JSON"),
        (b" " * (1 << 20) + b"{}", "too large"),
    ],
)
def test_rubbish_is_malformed_at_every_venue(venue, frame, reason):
    found = adapter_of(venue).decoder(["BTCUSDT"]).read(frame, TS)
    assert (found.kind, found.reason) == (FrameKind.MALFORMED, reason) and found.detail


@pytest.mark.parametrize("venue", ADAPTERS)
def test_counters_cannot_grow_with_what_a_stranger_sends(venue):
    decoder = adapter_of(venue).decoder(["BTCUSDT"])
    made = [
        {"e": "x{}"},
        {"stream": "x", "data": {"e": "{}"}},
        {"arg": {"channel": "{}", "instId": "BTCUSDT"}, "data": []},
        {"event": "{}"},
        {"channel": "{}"},
        {"e": "forceOrder", "o": {"s": "BTCUSDT", "X": "{}"}},
        {"topic": "{}"},
        {"op": "{}"},
    ]
    assert len({decoder.read(json.dumps(one).replace("{}", f"v{n}").encode(), TS).reason for one in made for n in range(20)}) <= 12


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from(["trades", "bbo", "forceOrder", "aggTrade", "BTCUSDT", "liquidation-orders", "subscribe", "error", "1"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "e",
                        "o",
                        "s",
                        "S",
                        "st",
                        "stream",
                        "data",
                        "arg",
                        "channel",
                        "instId",
                        "details",
                        "event",
                        "code",
                        "msg",
                        "coin",
                        "ctx",
                        "bbo",
                        "id",
                        "error",
                        "result",
                        "openInterest",
                        "symbol",
                        "subscription",
                        "type",
                        "topic",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_exception_leaves_a_decoder(value):
    raw = json.dumps(value).encode()
    for adapter in ADAPTERS.values():
        decoder = adapter.decoder(["BTCUSDT"])
        both(decoder, raw)


def test_names_of_venues():
    assert adapter_of("Binance") is ADAPTERS["binance_um"] is binance.ADAPTER and adapter_of("okex-swap") is okx.ADAPTER
    with pytest.raises(ValueError, match="expected one of bybit, binance_um, okx, hyperliquid, got 'ftx'"):
        adapter_of("ftx")
