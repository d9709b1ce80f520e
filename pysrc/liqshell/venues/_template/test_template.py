"""Tests of the venue: `python -m pytest test_template.py`. Copy them with the venue, and replace the frames by real ones of its documentation."""

import re

import numpy as np
import orjson

from liqcore.event import EVENT_DTYPE, Kind, Side, Stream
from liqshell.venues.frames import FrameKind

from .adapter import ADAPTER

MS = 1_000_000
FRAMES = {  # as the venue's documentation shows them -> kind, price, qty, aux_price, aux_qty, side
    b'{"channel":"trades","symbol":"BTC-PERP","ts":1700000000000,"id":7,"side":"buy","price":"37000.5","qty":"0.25"}': (
        Kind.TRADE,
        37000.5,
        0.25,
        0.0,
        0.0,
        Side.LONG,
    ),
    b'{"channel":"quotes","symbol":"BTC-PERP","ts":1700000000000,"bid":"37000.0","bid_qty":"2","ask":"37000.5","ask_qty":"3"}': (
        Kind.BBO,
        37000.0,
        2.0,
        37000.5,
        3.0,
        0,
    ),
    b'{"channel":"liquidations","symbol":"BTC-PERP","ts":1700000000000,"side":"sell","price":"36990","qty":"4"}':  # a sell order: a long
    (Kind.LIQUIDATION, 36990.0, 4.0, 0.0, 0.0, Side.LONG),
    b'{"channel":"marks","symbol":"BTC-PERP","ts":1700000000000,"mark":"37001","index":"37002","funding":"-0.0001","oi":"900"}': (
        Kind.TICKER,
        37001.0,
        900.0,
        37002.0,
        -0.0001,
        0,
    ),
}


def rows(found, out):
    return [tuple(out[n]) for n in range(found)] if isinstance(found, int) else found.events


def test_each_frame_gives_its_event_on_both_paths():
    for frame, (kind, price, qty, aux_price, aux_qty, side) in FRAMES.items():
        decoder, out = ADAPTER.decoder(["BTC-PERP"], first=3), np.zeros(4, EVENT_DTYPE)
        fast, general = rows(decoder.decode(frame, 5, out), out), decoder.read(frame, 5).events
        (event,) = np.array(fast, EVENT_DTYPE)
        assert np.array(general, EVENT_DTYPE).tolist() == [event.tolist()]
        assert (event["kind"], event["price"], event["qty"], event["aux_price"], event["aux_qty"]) == (kind, price, qty, aux_price, aux_qty)
        assert (event["side"], event["instrument"], event["ts_event"], event["ts_recv"]) == (side, 3, 1_700_000_000_000 * MS, 5)


def test_what_cannot_be_read_gives_no_event_and_a_reason():
    decoder = ADAPTER.decoder(["BTC-PERP"])
    for wrong, kind in (
        (b'{"channel":"trades","symbol":"BTC-PERP","ts":1,"id":1,"side":"hold","price":"1","qty":"1"}', FrameKind.MALFORMED),
        (b'{"channel":"trades","symbol":"BTC-PERP","ts":1,"id":1,"side":"buy","price":"-1","qty":"1"}', FrameKind.MALFORMED),
        (b'{"channel":"trades","symbol":"ETH-PERP","ts":1,"id":1,"side":"buy","price":"1","qty":"1"}', FrameKind.OTHER),
        (b'{"channel":"candles","symbol":"BTC-PERP","ts":1}', FrameKind.OTHER),
        (b"not json at all.", FrameKind.MALFORMED),
    ):
        found = decoder.read(wrong, 5)
        assert found.kind == kind and not found.events and found.reason


def test_what_is_sent_is_acknowledged_by_name():
    decoder = ADAPTER.decoder(["BTC-PERP"])
    for connection in ADAPTER.plan(["BTC-PERP", "ETH-PERP"], "ws://x"):
        for one in connection.subscriptions:
            name = orjson.loads(one.frame)["name"]
            assert decoder.read(orjson.dumps({"op": "subscribed", "name": name}), 1).acks == one.acks
            refused = decoder.read(orjson.dumps({"op": "error", "name": name, "why": "unknown"}), 1)
            assert refused.kind == FrameKind.ACK_FAILED and refused.acks == one.acks
    assert decoder.read(b'{"op":"pong"}     ', 1).kind == FrameKind.PONG


def test_every_contract_and_stream_is_asked_for_once():
    symbols = [f"S{n}-PERP" for n in range(120)]
    connections = ADAPTER.plan(symbols, "ws://x")
    carried = [ADAPTER.carries(one, symbols) for one in connections]
    wanted = int(Stream.STREAM_LIQUIDATION | Stream.STREAM_TRADE | Stream.STREAM_QUOTE | Stream.STREAM_MARK)
    assert len(connections) == 3 and sorted(name for one in carried for name in one) == sorted(symbols)
    assert all(bits & wanted == wanted for one in carried for bits in one.values())
    (only,) = ADAPTER.plan(["BTC-PERP"], "ws://x", int(Stream.STREAM_LIQUIDATION))
    assert [one.args for one in only.subscriptions] == [("liquidations.BTC-PERP",)]


def test_contracts():
    answer = {
        "contracts": [
            {"symbol": "BTC-PERP", "status": "trading", "tick": "0.5", "lot": "0.001", "min": "0.001", "base": "BTC", "quote": "USDT"},
            {"symbol": "OLD-PERP", "status": "closed", "tick": "0.5", "lot": "0.001", "min": "0.001", "base": "OLD", "quote": "USDT"},
            {"symbol": "BAD-PERP", "status": "trading", "tick": "x", "lot": "0.001", "min": "0.001", "base": "BAD", "quote": "USDT"},
        ],
        "next": "2",
    }
    page = ADAPTER.parse_instruments(orjson.dumps(answer), "")
    (found,) = page.instruments
    assert (found.symbol, found.venue, found.asset, str(found.tick_size)) == ("BTC-PERP", ADAPTER.venue, "BTC", "0.5")
    assert page.cursor == "2" and page.states == {"OLD-PERP": "closed"} and page.quotes == {"BTC-PERP": "USDT"}
    assert len(page.refused) == 1 and "BAD-PERP" in page.refused[0]
    assert ADAPTER.instruments("2").path.endswith("cursor=2")
    assert ADAPTER.parse_turnover(b'{"tickers":[{"symbol":"BTC-PERP","turnover":"5e6"}]}') == {"BTC-PERP": 5e6}


def test_names():
    assert re.fullmatch(ADAPTER.symbol, "BTC-PERP") and not re.fullmatch(ADAPTER.symbol, 'x"y')
