"""What a ticker states, venue by venue, and what it does not; late ones; and trades off the book, whose prices are none."""

import json

import orjson
import pytest
from test_bybit import SYMBOLS, TICKER, TRADE

from liqcore.event import Kind, Stream
from liqshell.venues.adapters import adapter_of
from liqshell.venues.bybit.decoder import PublicDecoder
from liqshell.venues.frames import FrameKind
from venue_frames import BINANCE, HYPERLIQUID, OKX, TS, both
from venue_frames import SYMBOLS as NAMES

NS = 1_000_000
MARK, INDEX, FUNDING, INTEREST = (int(bit) for bit in (Stream.STREAM_MARK, Stream.STREAM_INDEX, Stream.STREAM_FUNDING, Stream.STREAM_OPEN_INTEREST))


def ticker(kind: str, cs: int | None, **data: str) -> bytes:
    """A ticker of BTCUSDT as the venue writes it; cs None: without a number."""
    message = {"topic": "tickers.BTCUSDT", "type": kind, "data": {"symbol": "BTCUSDT", **data}} | ({} if cs is None else {"cs": cs})
    return orjson.dumps(message | {"ts": 1786310818584})


def said(decoder: PublicDecoder, frame: bytes) -> list[tuple]:
    """(mark, open interest, index, funding rate, not stated) of each event; both ways agree, also from white space."""
    spaced, copy = json.dumps(json.loads(frame)).encode(), PublicDecoder(SYMBOLS)
    copy.carried[:] = decoder.carried
    found = both(decoder, frame)[1]
    assert repr(copy.read(spaced, TS)) == repr(found) and copy.carried.tobytes() == decoder.carried.tobytes()
    return [(*event[2:6], event[10]) for event in found.events]


def test_ticker_deltas_carry_what_is_known():
    """Page tickers: a delta leaves out what has not changed. It is stated once it has been said, and not before."""
    decoder = PublicDecoder(SYMBOLS)
    assert said(decoder, TICKER) == [(65117.44, 59891.732, 65137.76, -0.0001, 0)]
    assert said(decoder, ticker("delta", 753843900398, bid1Price="65114.20", bid1Size="6.124")) == []
    assert said(decoder, ticker("delta", 753843900399, indexPrice="65000.5")) == [(65117.44, 59891.732, 65000.5, -0.0001, 0)]
    assert said(decoder, ticker("delta", None, markPrice="65001")) == [(65001.0, 59891.732, 65000.5, -0.0001, 0)]
    # a snapshot begins anew, and what it does not say is not known, as in a pre-market contract or a dated one
    assert said(decoder, ticker("snapshot", 3, markPrice="1.5", fundingRate="")) == [(1.5, 0.0, 0.0, 0.0, INDEX | FUNDING | INTEREST)]
    assert said(decoder, ticker("delta", 4, openInterest="7")) == [(1.5, 7.0, 0.0, 0.0, INDEX | FUNDING)]
    assert said(decoder, ticker("delta", 5, fundingRate="0")) == [(1.5, 7.0, 0.0, 0.0, INDEX)]  # a rate, and it is 0
    assert said(decoder, ticker("delta", 6, markPrice="2")) == [(2.0, 7.0, 0.0, 0.0, INDEX)]
    decoder.forget()
    assert said(decoder, ticker("delta", 7, markPrice="3")) == [(3.0, 0.0, 0.0, 0.0, INDEX | FUNDING | INTEREST)]


def test_what_is_forgotten_is_that_of_the_contracts_named():
    decoder = PublicDecoder(SYMBOLS, 10)
    other = TICKER.replace(b"BTCUSDT", b"ETHUSDT")
    both(decoder, TICKER), both(decoder, other)
    decoder.forget((10, 11))
    assert decoder.carried["kind"].tolist() == [0, 0, Kind.TICKER, 0, 0]
    assert [e[10] for e in both(decoder, other.replace(b"snapshot", b"delta"))[1].events] == [0]


def test_a_late_change_of_a_ticker_is_counted_and_changes_nothing():
    """`cs`, page tickers: the cross sequence. A change that was overtaken says what was true earlier; a snapshot is always what is true."""
    decoder = PublicDecoder(SYMBOLS)
    both(decoder, TICKER)  # 753843900397
    assert said(decoder, ticker("delta", 753843900400, markPrice="65200")) == [(65200.0, 59891.732, 65137.76, -0.0001, 0)]
    before = decoder.carried.tobytes()
    for late in (ticker("delta", 753843900399, markPrice="65000", fundingRate="0.5"), ticker("delta", 753843900399, bid1Price="1")):
        scanned, general = both(decoder, late)
        assert scanned is None and (general.kind, general.reason, general.events) == (FrameKind.OTHER, "late ticker", [])
        assert decoder.carried.tobytes() == before
    assert said(decoder, ticker("delta", 753843900400, openInterest="1")) == [(65200.0, 1.0, 65137.76, -0.0001, 0)]  # of the same moment
    assert both(decoder, ticker("delta", 753843900399, bid1Price="1"))[1].reason == "late ticker"
    assert said(decoder, ticker("delta", 753843900410, bid1Price="1")) == []  # nothing of ours, but later
    assert both(decoder, ticker("delta", 753843900409, markPrice="1"))[1].reason == "late ticker"
    assert said(decoder, ticker("snapshot", 5, markPrice="65300")) == [(65300.0, 0.0, 0.0, 0.0, INDEX | FUNDING | INTEREST)]
    assert said(decoder, ticker("delta", 6, markPrice="65301"))[0][0] == 65301.0


# --- trades off the book ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learnt", [False, True])
def test_a_block_trade_is_no_price_and_is_counted(learnt):
    """Page publicTrade: BT = block trade. RPI is a trade in the book, at a price that retail orders alone get: it stays."""
    decoder = PublicDecoder(SYMBOLS)
    if learnt:
        both(decoder, TRADE)
    scanned, general = both(decoder, TRADE.replace(b'"BT":false', b'"BT":true'))
    assert scanned is None and (general.kind, general.reason, general.events) == (FrameKind.OTHER, "trade off the market", [])
    assert general.dropped == {"trade off the market": 1}
    assert len(both(decoder, TRADE.replace(b'"RPI":false', b'"RPI":true'))[0]) == 1
    row = orjson.loads(TRADE)["data"][0]
    rows = [row | {"p": str(65000 + n), "BT": n in (1, 3)} for n in range(5)]
    scanned, general = both(decoder, orjson.dumps(orjson.loads(TRADE) | {"data": rows}))
    assert scanned is None and general.kind == FrameKind.EVENTS and general.dropped == {"trade off the market": 2}
    assert [event[2] for event in general.events] == [65000.0, 65002.0, 65004.0]
    del row["BT"]  # frames before 2023 do not have it
    assert len(both(decoder, orjson.dumps(orjson.loads(TRADE) | {"data": [row]}))[1].events) == 1


# --- the other venues -------------------------------------------------------------------------------------------------------------------------


def stated(decoder, frame: bytes) -> list[tuple]:
    """(mark, open interest, index, funding rate, not stated) of each event; both ways agree."""
    return [(*event[2:6], event[10]) for event in both(decoder, frame)[1].events]


def test_binance_a_mark_says_nothing_of_open_interest_and_a_poll_of_nothing_else():
    decoder = adapter_of("binance").decoder(NAMES["binance_um"])
    polled = decoder.read(b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}', TS)
    assert polled.events == [(1589437530011 * NS, TS, 0.0, 10659.509, 0.0, 0.0, 0, 0, Kind.TICKER, 0, MARK | INDEX | FUNDING, 0)]
    for _ in range(2):
        assert stated(decoder, BINANCE["ticker"]) == [(82794.15, 0.0, 82784.62, -0.00038167, INTEREST)]
    dated = BINANCE["ticker"].replace(b'"r":"-0.00038167"', b'"r":""').replace(b'"i":"82784.62",', b"")  # a delivery contract has no rate
    assert stated(decoder, dated) == [(82794.15, 0.0, 0.0, 0.0, INDEX | FUNDING | INTEREST)]
    assert stated(decoder, dated.replace(b'"r":""', b'"r":"0.00000000"')) == [(82794.15, 0.0, 0.0, 0.0, INDEX | INTEREST)]


def test_okx_each_channel_states_its_own():
    decoder = adapter_of("okx").decoder(NAMES["okx"])
    index = b'{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"2.1675","ts":"1640131290649"}]}'
    funding = (
        b'{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"fundingRate":"-0.0001","fundingTime":"1640131200000",'
        b'"instId":"BTC-USDT-SWAP","instType":"SWAP","nextFundingRate":""}]}'
    )
    for _ in range(2):
        assert stated(decoder, OKX["ticker"]) == [(2.1729, 0.0, 0.0, 0.0, INDEX | FUNDING | INTEREST)]
        assert stated(decoder, OKX["interest"]) == [(0.0, 644195.0, 0.0, 0.0, MARK | INDEX | FUNDING)]
        assert stated(decoder, index) == [(0.0, 0.0, 2.1675, 0.0, MARK | FUNDING | INTEREST)] * 2  # of the swap and of the dated contract
        assert stated(decoder, funding) == [(0.0, 0.0, 0.0, -0.0001, MARK | INDEX | INTEREST)]
        assert stated(decoder, funding.replace(b"-0.0001", b"0")) == [(0.0, 0.0, 0.0, 0.0, MARK | INDEX | INTEREST)]
        assert stated(decoder, funding.replace(b"-0.0001", b"")) == []


@pytest.mark.parametrize(
    ("field", "bit", "place"), [("markPx", MARK, 0), ("openInterest", INTEREST, 1), ("oraclePx", INDEX, 2), ("funding", FUNDING, 3)]
)
@pytest.mark.parametrize("absent", [True, False])
def test_hyperliquid_null_or_absent_is_not_stated(field, bit, place, absent):
    decoder = adapter_of("hyperliquid").decoder(NAMES["hyperliquid"])
    (whole,) = stated(decoder, HYPERLIQUID["ticker"])
    assert whole == (0.19963, 18617460.0, 0.1995, -0.00004863, 0)
    message = orjson.loads(HYPERLIQUID["ticker"])
    message["data"]["ctx"][field] = None
    if absent:
        del message["data"]["ctx"][field]
    assert stated(decoder, orjson.dumps(message)) == [(*whole[:place], 0.0, *whole[place + 1 : 4], bit)]
