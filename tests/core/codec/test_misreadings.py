"""How public libraries misread liquidations, shown on the libraries themselves where they are installed: what they get of a frame, and what we get.

Nothing is sent anywhere: their parsers are called with the frame. Sides in the names of tests: the position that was closed by force.
"""

import asyncio
import importlib

import orjson
import pytest

from liqcore.event import Side
from liqshell.venues.adapters import adapter_of
from liqshell.venues.bybit import adapter as bybit_public
from liqshell.venues.frames import FrameKind
from venue_frames import BINANCE, OKX, TS

BYBIT = orjson.dumps(
    {
        "topic": "allLiquidation.BTCUSDT",
        "type": "snapshot",
        "ts": 1791565601482,
        "data": [{"T": 1791565600992 + n, "s": "BTCUSDT", "S": "Buy", "v": f"0.00{n + 1}", "p": f"8239{n}.90"} for n in range(5)],
    }
)
OKX_MANY = orjson.dumps(
    {
        "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
        "data": [
            {
                "instType": "SWAP",
                "instId": name,
                "uly": name[:8],
                "instFamily": name[:8],
                "details": [
                    {"side": "sell", "posSide": "long", "bkPx": f"{n + 1}", "sz": "1", "bkLoss": "0", "ccy": "", "ts": str(1791565600771 + n)}
                    for n in range(3)
                ],
            }
            for name in ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
        ],
    }
)


def ours(venue, symbols, frame):
    """(symbol, liquidated side, price, qty) of every event."""
    return [(symbols[e[7]], Side(e[9]), e[2], e[3]) for e in adapter_of(venue).decoder(symbols).read(frame, TS).events]


def ccxt_pro(name):
    return getattr(pytest.importorskip("ccxt.pro", reason="ccxt is not installed"), name)


def watched(exchange, frame):
    """What a caller of watch_liquidations gets of a frame (the first answer of its future), and what is left in the cache."""

    async def run():
        client_of = importlib.import_module("ccxt.async_support.base.ws.client").Client
        made = exchange()
        client = client_of("ws://nowhere", lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None, {})
        try:
            future = client.future("liquidations")
            made.handle_liquidation(client, orjson.loads(frame))
            return await asyncio.wait_for(future, 60), list(made.liquidations)
        finally:
            await made.close()

    return asyncio.run(run())


def test_ccxt_first_row_of_a_bybit_frame_only():
    got, kept = watched(ccxt_pro("bybit"), BYBIT)
    assert len(got) == 1 and len(kept) == 5  # four of five never reach the caller
    assert [row[3] for row in ours("bybit", ["BTCUSDT"], BYBIT)] == [0.001, 0.002, 0.003, 0.004, 0.005]


def test_ccxt_first_detail_of_an_okx_contract_only():
    got, kept = watched(ccxt_pro("okx"), OKX_MANY)
    assert len(got) == 1 and [row["price"] for row in kept] == [1.0, 1.0]  # six liquidations, two of them seen, one handed out
    assert [row[2] for row in ours("okx", ["BTC-USDT-SWAP", "ETH-USDT-SWAP"], OKX_MANY)] == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]


def test_ccxt_raw_side_means_opposite_things_on_two_venues():
    """Longs are closed by force in both frames. ccxt calls one of them a buy, the other a sell."""
    (first, *_), _ = watched(ccxt_pro("bybit"), BYBIT)
    (second, *_), _ = watched(ccxt_pro("binance"), orjson.dumps(orjson.loads(BINANCE["long"])["data"]))
    assert (first["side"], second["side"]) == ("buy", "sell")
    assert {row[1] for row in ours("bybit", ["BTCUSDT"], BYBIT)} == {row[1] for row in ours("binance", ["BTCUSDT"], BINANCE["long"])} == {Side.LONG}


def test_ccxt_last_fill_instead_of_all_that_was_filled():
    (got, *_), _ = watched(ccxt_pro("binance"), orjson.dumps(orjson.loads(BINANCE["long"])["data"]))
    assert got["contracts"] == 0.155  # l; z is 0.190
    assert ours("binance", ["BTCUSDT"], BINANCE["long"])[0][3] == 0.190


def test_ccxt_does_not_know_what_an_okx_contract_is_worth():
    (got, *_), _ = watched(ccxt_pro("okx"), OKX["long"])
    assert got["contracts"] == 8.55 and got["baseValue"] is None  # 8.55 contracts are 0.0855 BTC: the instrument knows its multiplier


def cryptofeed_reading(exchange, method, frame):
    """What a callback for LIQUIDATIONS gets."""
    module = pytest.importorskip("cryptofeed.exchanges", reason="cryptofeed is not installed")
    made, got = object.__new__(getattr(module, exchange)), []

    async def callback(kind, data, receipt_timestamp):
        got.append(data)

    made.callback, made.exchange_symbol_to_std_symbol, made.timestamp_normalize = callback, lambda symbol: symbol, lambda ts: ts / 1000
    asyncio.run(getattr(made, method)(orjson.loads(frame), 1.0))
    return got


def test_cryptofeed_limit_price_and_ordered_quantity():
    """q at p: what the forced order was allowed to do. It was filled 38 bps better."""
    frame = orjson.dumps(orjson.loads(BINANCE["long"].replace(b'"q":"0.190"', b'"q":"0.500"'))["data"])
    (got,) = cryptofeed_reading("Binance", "_liquidations", frame)
    assert (float(got.price), float(got.quantity), got.side) == (82338.30, 0.5, "sell")
    assert ours("binance", ["BTCUSDT"], frame) == [("BTCUSDT", Side.LONG, 82651.90, 0.190)]


def test_cryptofeed_expects_an_object_where_bybit_sends_an_array():
    with pytest.raises(TypeError):
        cryptofeed_reading("Bybit", "_liquidation", BYBIT)
    assert len(ours("bybit", ["BTCUSDT"], BYBIT)) == 5


def test_cryptofeed_dead_topic():
    """It subscribes liquidation.*, which the venue removed; a refused subscription is a line in its log. Ours is a failed acknowledgement that names it."""
    bybit = pytest.importorskip("cryptofeed.exchanges", reason="cryptofeed is not installed").Bybit
    assert bybit.websocket_channels["liquidations"] == "liquidation"
    topics = [arg for sub in bybit_public.plan(["BTCUSDT"], "ws://x")[0].subscriptions for arg in sub.args]
    assert "allLiquidation.BTCUSDT" in topics and not any(topic.startswith("liquidation.") for topic in topics)
    refused = (
        adapter_of("bybit")
        .decoder(["BTCUSDT"])
        .read(b'{"success":false,"ret_msg":"error:handler not found,topic:liquidation.BTCUSDT","req_id":"sub-BTCUSDT","op":"subscribe"}', TS)
    )
    assert (refused.kind, refused.topics, refused.acks) == (FrameKind.ACK_FAILED, ("liquidation.BTCUSDT",), ("sub-BTCUSDT",))


def test_cryptofeed_old_root_is_silent():
    """An un-routed connection to Binance has carried quotes only since 2026-04-23: no liquidation, no trade, no error."""
    futures = pytest.importorskip("cryptofeed.exchanges", reason="cryptofeed is not installed").BinanceFutures
    assert not any(route in end.address for end in futures.websocket_endpoints for route in ("/market", "/public"))
    routed = {
        one.url: {arg.partition("@")[2] for sub in one.subscriptions for arg in sub.args}
        for one in adapter_of("binance").plan(["BTCUSDT"], "wss://fstream.binance.com")
    }
    assert routed == {
        "wss://fstream.binance.com/public/ws": {"bookTicker"},
        "wss://fstream.binance.com/market/ws": {"aggTrade", "forceOrder", "markPrice@1s"},
    }


def test_pybit_dead_topic_only_warns(monkeypatch, caplog):
    """liquidation_stream subscribes the removed topic and tells so in a warning; all_liquidation_stream is the one that lives."""
    trading = pytest.importorskip("pybit.unified_trading", reason="pybit is not installed")
    asked = []
    made = object.__new__(trading.WebSocket)
    made.subscribe = lambda topic, callback, symbol=None, *_, **__: asked.append(topic)
    made._validate_public_topic = lambda: None
    if hasattr(made, "liquidation_stream"):
        made.liquidation_stream("BTCUSDT", print)
    made.all_liquidation_stream("BTCUSDT", print)
    assert asked[-1].startswith("allLiquidation.") and asked[:-1] in ([], ["liquidation.{symbol}"])
    assert not any(arg.startswith("liquidation.") for sub in bybit_public.plan(["BTCUSDT"], "ws://x")[0].subscriptions for arg in sub.args)


def test_the_old_topic_of_old_recordings_is_one_object_and_the_same_side():
    frame = (
        b'{"data":{"price":"0.03803","side":"Buy","size":"1637","symbol":"BTCUSDT","updatedTime":1673251091822},"topic":"liquidation.BTCUSDT","ts":1}'
    )
    assert ours("bybit", ["BTCUSDT"], frame) == [("BTCUSDT", Side.LONG, 0.03803, 1637.0)]
