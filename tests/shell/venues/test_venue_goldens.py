"""Raw frames of each venue as others recorded them (../shared/data), through decode: what they are, by hand; and whole captures, by both ways."""

import gzip
import json
import re
from collections import Counter

import numpy as np
import orjson
import pytest

from captures import DATA, needs_data
from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell.venues.adapters import adapter_of
from liqshell.venues.frames import FrameKind
from liqshell.venues.hyperliquid import instruments as hyperliquid_instruments
from liqshell.venues.okx import instruments as okx_instruments
from venue_frames import both

pytestmark = needs_data
LIQUIDATION, TRADE, BBO, TICKER = (int(kind) for kind in (Kind.LIQUIDATION, Kind.TRADE, Kind.BBO, Kind.TICKER))
LONG, SHORT = int(Side.LONG), int(Side.SHORT)


def lines(name: str) -> list[bytes]:
    path = DATA / name
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).splitlines()


def whole(name: str) -> bytes:
    """A pretty-printed frame as it would be on the wire."""
    return orjson.dumps(json.loads((DATA / name).read_text()))


def rows(venue, symbols, frame):
    """(kind, symbol, side, price, qty, ts_event in ms) of a frame's events."""
    decoder = adapter_of(venue).decoder(symbols)
    return [(e[8], symbols[e[7]], e[9], e[2], e[3], e[0] // 10**6) for e in both(decoder, frame)[1].events]


def find(name, *words):
    return next(line for line in lines(name) if all(word.encode() in line for word in words))


@pytest.mark.parametrize(
    ("venue", "file", "words", "symbol", "expected"),
    [
        ("binance", "frames-tardis-node/binance_um.jsonl", ("forceOrder",), "BTCUSDT", (LIQUIDATION, SHORT, 4706.04, 0.014, 1584059031421)),
        ("binance", "frames-tardis-node/binance_um.jsonl", ("aggTrade",), "BTCUSDT", (TRADE, LONG, 10223.74, 0.236, 1568693103463)),
        ("binance", "frames-tardis-node/binance_um.jsonl", ("bookTicker",), "BTCUSDT", (BBO, 0, 33134.42, 0.170, 1612137603568)),
        ("binance", "frames-tardis-node/binance_um.jsonl", ("markPrice@1s", 'BTCUSDT"'), "BTCUSDT", (TICKER, 0, 11857.56, 0.0, 1597536008000)),
        (
            "okx",
            "frames-tardis-node/okx_futures.jsonl",
            ("liquidation-orders",),
            "XRP-USD-230929",
            (LIQUIDATION, SHORT, 0.55205, 39.0, 1680173247614),
        ),
        ("okx", "frames-tardis-node/okx_swap.jsonl", ('"trades"',), "BTC-USDT-SWAP", (TRADE, LONG, 48938.5, 5.0, 1640131236050)),
        ("okx", "frames-tardis-node/okx_swap.jsonl", ("bbo-tbt",), "BTC-USDT-SWAP", (BBO, 0, 38632.3, 990.0, 1651761120004)),
        ("okx", "frames-tardis-node/okx_swap.jsonl", ("open-interest",), "WNCG-USDT-SWAP", (TICKER, 0, 0.0, 644195.0, 1640131258756)),
        ("okx", "frames-crypto-msg-parser/okx.jsonl", ('"trades"', "SWAP"), "BTC-USD-SWAP", (TRADE, SHORT, 43574.9, 1.0, 1646312664791)),
        ("hyperliquid", "frames-tardis-node/hyperliquid.jsonl", ("696560709859024",), "BTC", (TRADE, LONG, 69998.0, 0.00714, 1730160007572)),
        ("hyperliquid", "frames-tardis-node/hyperliquid.jsonl", ("611279506717453",), "FXS", (TRADE, SHORT, 1.9008, 10.5, 1730160015113)),
    ],
)
def test_frames_that_others_recorded(venue, file, words, symbol, expected):
    kind, side, price, qty, ts = expected
    assert rows(venue, [symbol], find(file, *words)) == [(kind, symbol, side, price, qty, ts)]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("futures__market_data_json__liquidation_stream.json", (LIQUIDATION, "BTCUSDT", LONG, 9910.12345678, 0.014, 1568014460893)),
        ("futures__market_data_json__agg_trade_stream.json", (TRADE, "BTCUSDT", SHORT, 0.001, 100.0, 123456785)),
        ("futures__market_data_json__mark_price_stream.json", (TICKER, "BTCUSDT", 0, 11794.15, 0.0, 1562305380000)),
        ("futures__market_data_json__book_ticker_stream.json", (BBO, "BNBUSDT", 0, 25.3519, 31.21, 1568014460891)),
    ],
)
def test_binance_frames_of_the_documentation(file, expected):
    assert rows("binance", ["BTCUSDT", "BNBUSDT"], whole(f"frames-nautilus/binance/{file}")) == [expected]


@pytest.mark.parametrize(
    ("file", "symbol", "expected"),
    [
        ("ws_bbo_tbt.json", "BTC-USDT", (BBO, "BTC-USDT", 0, 8476.97, 256.0, 1597026383085)),
        ("ws_trades.json", "BTC-USD", (TRADE, "BTC-USD", LONG, 42219.9, 0.12060306, 1630048897897)),
        ("ws_funding_rate.json", "BTC-USDT-SWAP", (TICKER, "BTC-USDT-SWAP", 0, 0.0, 0.0, 1744590349506)),
    ],
)
def test_okx_frames_of_the_documentation(file, symbol, expected):
    assert rows("okx", [symbol], whole(f"frames-nautilus/okx/{file}")) == [expected]


def test_coin_margined_frames_are_none_of_ours():
    decoder = adapter_of("binance").decoder(["BTCUSDT", "ETHUSDT", "BNBUSDT"])
    found = [decoder.read(line, 7) for line in lines("frames-tardis-node/binance_cm.jsonl")]
    assert not [frame for frame in found if frame.events] and {frame.kind for frame in found} <= {FrameKind.OTHER, FrameKind.ACK}


def test_the_capture_of_hftbacktest_by_both_ways():
    """88,000 frames of five minutes: every one by shape, and a sample compared with the general path."""
    decoder, out, counts = adapter_of("binance").decoder(["BTCUSDT"]), np.zeros(8, EVENT_DTYPE), Counter()
    for n, line in enumerate(lines("market-hftbacktest-binance-2024-08/usdm_btcusdt_20240808.gz")):
        frame = line.partition(b" ")[2]
        counts[decoder.scan.decode(frame, 7, out)] += 1
        if n % 20 == 0:
            both(decoder, frame)
    assert counts == {1: 66_089 + 21_313, -1: 6_551 + 1}  # depth and its snapshot are handed back
    assert decoder.scan.predicted > 0.99 * counts[1]


@pytest.mark.parametrize(("venue", "file", "least"), [("binance", "BINANCE_FUTURES", 500), ("okx", "OKX", 60)])
def test_captures_of_cryptofeed_by_both_ways(venue, file, least):
    raw = [line.partition(b": ")[2] for line in lines(f"market-cryptofeed-rawws-2021/{file}.ws.1.0.gz") if re.match(rb"\d+\.\d+: ", line)]
    names = {name for line in raw for name in re.findall(rb'"(?:s|instId)":"([A-Z0-9-]+)"', line)}
    decoder = adapter_of(venue).decoder(sorted(name.decode() for name in names))
    by_shape = [both(decoder, frame)[0] for frame in raw]
    assert sum(one is not None for one in by_shape) >= least
    assert all(decoder.read(frame, 7).kind != FrameKind.MALFORMED for frame in raw)


# --- instruments ------------------------------------------------------------------------------------------------------------------------------


def test_okx_contract_values():
    page = okx_instruments.parse_instruments(whole("frames-nautilus/okx/http_get_instruments_swap.json"))
    found = {one.symbol: one for one in page.instruments}
    assert not page.refused and page.cursor == "FUTURES"
    assert (found["BTC-USDT-SWAP"].multiplier, found["ETH-USDT-SWAP"].multiplier, found["BTC-USDT-SWAP"].asset) == (0.01, 0.1, "BTC")
    assert page.faces == {"BTC-USD-SWAP": 100.0}
    assert found["BTC-USD-SWAP"].min_lots == (1 << 35) - 1  # to be watched only: no order is that large
    futures = okx_instruments.parse_instruments(whole("frames-nautilus/okx/http_get_instruments_futures.json"))
    assert len(futures.instruments) == 6 == len(futures.faces) and futures.cursor == "" and not futures.refused


def test_hyperliquid_instruments():
    page = hyperliquid_instruments.parse_instruments(whole("frames-nautilus/hyperliquid/http_meta_perp_sample.json"))
    assert [(one.symbol, one.tick_size, one.lot_size, one.asset) for one in page.instruments] == [
        ("BTC", "0.1", "0.00001", "BTC"),
        ("ETH", "0.01", "0.0001", "ETH"),
        ("ATOM", "0.0001", "0.01", "ATOM"),
    ]
    assert not page.refused
