"""What is asked of the venues: connections, subscriptions, heartbeats, polls, what follows a refusal; contracts from their REST answers."""

import re
from dataclasses import astuple
from pathlib import Path

import numpy as np
import orjson
import pytest
from yarl import URL

import liqshell
from liqcore.event import EVENT_DTYPE, Kind
from liqshell.venues.adapter import Adapter, Request, asset_and_factor
from liqshell.venues.adapters import ADAPTERS, adapter_of
from liqshell.venues.binance import decoder as binance
from liqshell.venues.binance import instruments as binance_instruments
from liqshell.venues.frames import Frame, FrameKind
from liqshell.venues.hyperliquid import decoder as hyperliquid
from liqshell.venues.hyperliquid import instruments as hyperliquid_instruments
from liqshell.venues.okx import decoder as okx
from liqshell.venues.okx import instruments as okx_instruments

MANY = {
    "bybit": [f"S{n}USDT" for n in range(500)],
    "binance_um": [f"S{n}USDT" for n in range(500)],
    "okx": [f"S{n}-USDT-SWAP" for n in range(500)],
    "hyperliquid": [f"S{n}" for n in range(333)],
}


def asked(venue, symbols):
    """(connections, every name that is to be acknowledged)."""
    adapter = ADAPTERS[venue]
    connections = adapter.plan(symbols, "ws://x")
    return connections, [ack for one in connections for sub in one.subscriptions for ack in sub.acks]


@pytest.mark.parametrize("venue", ADAPTERS)
def test_plans_of_many_contracts_keep_the_limits(venue):
    adapter = ADAPTERS[venue]
    connections, acks = asked(venue, MANY[venue])
    assert len(set(acks)) == len(acks) and len({one.name for one in connections}) == len(connections)
    assert all(one.url.startswith("ws://x/") for one in connections)
    covered = {name for one in connections for sub in one.subscriptions for name in sub.symbols}
    assert covered == set(MANY[venue])
    assert not adapter.limits.connections_max or len(connections) <= adapter.limits.connections_max
    for one in connections:
        assert sum(len(sub.frame) for sub in one.subscriptions) < 64_000 and max(len(sub.frame) for sub in one.subscriptions) < 4_096
        if venue == "okx":
            assert len(one.subscriptions) < 480
        if venue == "binance_um":
            assert sum(len(sub.args) for sub in one.subscriptions) <= adapter.limits.subscriptions_max
    assert adapter.plan([], "ws://x") == ()


@pytest.mark.parametrize("venue", ADAPTERS)
def test_names_of_contracts(venue):
    good = {"bybit": "1000PEPEUSDT", "binance_um": "1000PEPEUSDT", "okx": "PEPE-USDT-SWAP", "hyperliquid": "kPEPE"}[venue]

    assert re.fullmatch(ADAPTERS[venue].symbol, good) and not re.fullmatch(ADAPTERS[venue].symbol, 'x"y')


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [
        ("binance_um", "BTCUSDT_260925"),
        ("binance_um", "币安人生USDT"),
        ("okx", "ETH-USD_UM_XPERP-310404"),
        ("okx", "BTC-USD-260925"),
        ("hyperliquid", "xyz:TSLA"),
        ("hyperliquid", "flx:GOLD"),
    ],
)
def test_names_of_today(venue, symbol):
    """venues.md, part 7: dated and non-ASCII contracts, X-Perps, builders' perpetuals are subscribed to and decoded like any other."""
    adapter = ADAPTERS[venue]
    assert re.fullmatch(adapter.symbol, symbol)
    connections = adapter.plan([symbol], "ws://x")
    carried = sum(adapter.carries(one, [symbol]).get(symbol, 0) for one in connections)
    assert carried & 2 and orjson.loads(connections[0].subscriptions[0].frame)
    trade = {
        "binance_um": {"e": "aggTrade", "E": 1, "a": 5, "s": symbol, "p": "2.5", "q": "3", "f": 1, "l": 1, "T": 1, "m": False},
        "okx": {
            "arg": {"channel": "trades", "instId": symbol},
            "data": [{"instId": symbol, "tradeId": "5", "px": "2.5", "sz": "3", "side": "buy", "ts": "1"}],
        },
        "hyperliquid": {"channel": "trades", "data": [{"coin": symbol, "side": "B", "px": "2.5", "sz": "3", "time": 1, "hash": "0x0", "tid": 5}]},
    }
    out = np.zeros(4, EVENT_DTYPE)
    found = adapter.decoder([symbol]).decode(orjson.dumps(trade[venue]), 7, out)
    assert (found if isinstance(found, int) else len(found.events)) == 1
    assert (out[0]["kind"], out[0]["price"], out[0]["qty"], out[0]["side"]) == (Kind.TRADE, 2.5, 3.0, 1)


def test_the_index_of_an_x_perp():
    (connection,) = okx.plan(["ETH-USD_UM_XPERP-310404", "ETH-USD-SWAP"], "ws://x")
    assert [arg for one in connection.subscriptions for arg in one.args if arg.startswith("index")] == ["index-tickers:ETH-USD"]


def test_builders_perpetuals_are_listed_page_by_page():
    def asked(cursor):
        return orjson.loads(hyperliquid_instruments.instruments_request(cursor).body)

    def page(found, cursor):
        return hyperliquid_instruments.parse_instruments(orjson.dumps(found), cursor)

    contract = {"szDecimals": 2, "maxLeverage": 5}
    own = page({"universe": [contract | {"name": "BTC"}]}, "")
    assert asked("") == {"type": "meta"} and [i.symbol for i in own.instruments] == ["BTC"] and asked(own.cursor) == {"type": "perpDexs"}
    builders = page([None, {"name": "xyz", "fullName": "XYZ"}, {"name": "b/d"}, {"name": "flx"}], own.cursor)
    assert builders.instruments == [] and asked(builders.cursor) == {"type": "meta", "dex": "xyz"}
    first = page({"universe": [contract | {"name": "xyz:TSLA"}]}, builders.cursor)
    assert [(i.symbol, i.asset) for i in first.instruments] == [("xyz:TSLA", "TSLA")] and asked(first.cursor) == {"type": "meta", "dex": "flx"}
    assert page({"universe": []}, first.cursor).cursor == ""
    for bad in ({"universe": 3}, [{"nme": "x"}], 7):
        with pytest.raises(ValueError, match="perpDexs"):
            page(bad, "?")


def test_binance_streams_come_on_their_own_routes_only():
    """Since 2026-04 an un-routed connection keeps quotes and loses liquidations, trades and marks, silently."""
    connections, _ = asked("binance_um", ["BTCUSDT"])
    streams = {one.url: [stream for sub in one.subscriptions for stream in sub.args] for one in connections}
    assert streams == {
        "ws://x/public/ws": ["btcusdt@bookTicker"],
        "ws://x/market/ws": ["btcusdt@aggTrade", "btcusdt@forceOrder", "btcusdt@markPrice@1s"],
    }
    assert orjson.loads(connections[0].subscriptions[0].frame) == {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}
    assert binance.ADAPTER.ping is None  # the venue pings, by the protocol


def test_binance_open_interest_is_polled_within_the_weight():
    (one,) = binance.polls(["BTCUSDT"])
    assert (one.request, one.every_s) == (Request("/fapi/v1/openInterest?symbol=BTCUSDT"), 10.0)
    many = binance.polls(MANY["binance_um"])
    assert len(many) / many[0].every_s * 60 <= binance.POLL_WEIGHT_A_MINUTE


def test_no_built_in_address_names_a_port():
    """OKX closed its port 8443 on 31 October 2026; every venue answers at the port of its scheme."""
    addresses = [address for venue in ADAPTERS.values() for place in venue.environments.values() for address in astuple(place) if address]
    assert len(addresses) >= 15
    for address in addresses:
        assert URL(address).explicit_port is None, address


def test_okx_subscribes_the_liquidations_of_whole_markets_once():
    connections, acks = asked("okx", ["BTC-USDT-SWAP", "BTC-USDT-261225", *MANY["okx"]])
    assert [ack for ack in acks if ack.startswith("liquidation-orders")] == ["liquidation-orders:SWAP", "liquidation-orders:FUTURES"]
    assert acks.count("index-tickers:BTC-USDT") == 1
    assert okx.ADAPTER.ping.make(7) == b"ping" and okx.ADAPTER.ping.interval_s < 30
    assert len(connections) == 8  # 452 contracts, 64 on each


def test_hyperliquid_says_how_many_contracts_one_address_may_have():
    with pytest.raises(ValueError, match="at most 333 contracts"):
        hyperliquid.plan([f"S{n}" for n in range(334)], "ws://x")
    frame = hyperliquid.plan(["kPEPE"], "ws://x")[0].subscriptions[0].frame
    assert orjson.loads(frame) == {"method": "subscribe", "subscription": {"type": "trades", "coin": "kPEPE"}}
    assert orjson.loads(hyperliquid.ADAPTER.ping.make(1)) == {"method": "ping"}


def all_but_one(venue, bad, symbols, refusal):
    """What is subscribed to in the end by a driver that asks again as retry() says, at a venue that refuses what names `bad`."""
    adapter, got, rounds = ADAPTERS[venue], set(), 0
    waiting = [sub for one in adapter.plan(symbols, "ws://x") for sub in one.subscriptions]
    while waiting:
        sub, rounds = waiting.pop(), rounds + 1
        assert rounds < 1000
        if any(bad in arg for arg in sub.args):
            waiting += adapter.retry(sub, refusal(sub))
        else:
            got |= set(sub.args)
    return got, {arg for one in adapter.plan(symbols, "ws://x") for sub in one.subscriptions for arg in sub.args}


@pytest.mark.parametrize(
    ("venue", "bad", "symbols"),
    [("binance_um", "ethusdt@forceOrder", ["BTCUSDT", "ETHUSDT", "XRPUSDT"]), ("okx", "trades:ETH-USDT-SWAP", ["BTC-USDT-SWAP", "ETH-USDT-SWAP"])],
)
def test_a_refusal_that_names_nothing_costs_only_the_bad_one(venue, bad, symbols):
    got, wanted = all_but_one(venue, bad, symbols, lambda sub: Frame(FrameKind.ACK_FAILED, acks=() if venue == "okx" else sub.acks))
    assert wanted - got == {bad}


def test_bybit_is_asked_again_for_what_it_did_not_name():
    sub = ADAPTERS["bybit"].plan(["BTCUSDT"], "ws://x")[0].subscriptions[0]
    (again,) = ADAPTERS["bybit"].retry(sub, Frame(FrameKind.ACK_FAILED, topics=("allLiquidation.BTCUSDT",)))
    assert again.args == ("publicTrade.BTCUSDT", "orderbook.1.BTCUSDT", "tickers.BTCUSDT") and again.acks == sub.acks
    assert ADAPTERS["bybit"].retry(sub, Frame(FrameKind.ACK_FAILED)) == ()


# --- contracts --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "asset", "factor"),
    [
        ("BTC", "BTC", 1),
        ("1000PEPE", "PEPE", 1000),
        ("kPEPE", "PEPE", 1000),
        ("10000SATS", "SATS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("SHIB1000", "SHIB", 1000),
        ("1INCH", "1INCH", 1),
        ("1000X", "X", 1000),
        ("KAVA", "KAVA", 1),
        ("KSM", "KSM", 1),
    ],
)
def test_multiplied_coins_are_one_asset(base, asset, factor):
    assert asset_and_factor(base) == (asset, factor)


def contract(**changes):
    return {
        "symbol": "1000PEPEUSDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "baseAsset": "1000PEPE",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.0000100"},
            {"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "300000000"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    } | changes


def test_binance_instruments():
    page = binance_instruments.parse_instruments(
        orjson.dumps(
            {
                "symbols": [
                    contract(),
                    contract(symbol="A", status="SETTLING"),
                    contract(symbol="B", contractType=""),
                    contract(symbol="C", filters=[]),
                    7,
                    contract(symbol="BTCUSD_PERP", marginAsset="1000PEPE"),
                ]
            }
        )
    )
    (one,) = page.instruments
    assert (one.key, one.asset, one.tick_size, one.lot_size, one.min_notional, one.multiplier) == (
        "binance_um:1000PEPEUSDT",
        "PEPE",
        "0.00001",
        "1",
        5.0,
        1.0,
    )
    assert one.completeness.name == "COMPLETENESS_CENSORED" and page.cursor == "" and one.max_lots == 300_000_000
    market = [*contract()["filters"], {"filterType": "MARKET_LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "40000000"}]
    (small,) = binance_instruments.parse_instruments(orjson.dumps({"symbols": [contract(filters=market)]})).instruments
    assert small.max_lots == 40_000_000  # what is entered must be closed by one market order
    assert len(page.refused) == 4 and "coin-margined" in page.refused[-1]


def test_okx_instruments_that_cannot_be_used_are_listed():
    good = {
        "instId": "PEPE-USDT-SWAP",
        "instType": "SWAP",
        "state": "live",
        "ctType": "linear",
        "ctVal": "10000000",
        "ctMult": "1",
        "ctValCcy": "PEPE",
        "tickSz": "0.000000001",
        "lotSz": "0.1",
        "minSz": "0.1",
        "maxLmtSz": "1e20",
    }
    page = okx_instruments.parse_instruments(
        orjson.dumps(
            {
                "code": "0",
                "data": [
                    good,
                    good | {"instId": "A", "ctVal": ""},
                    good | {"instId": "B", "state": "suspend"},
                    good | {"instId": "C", "ctType": "inverse"},
                    {"state": "live"},
                ],
            }
        )
    )
    (one,) = page.instruments
    assert (one.multiplier, one.asset, one.max_lots) == (1e7, "PEPE", (1 << 35) - 1) and len(page.refused) == 3
    (small,) = okx_instruments.parse_instruments(orjson.dumps({"code": "0", "data": [good | {"maxLmtSz": "500", "maxMktSz": "20"}]})).instruments
    assert small.max_lots == 200  # what is entered must be closed by one market order
    assert okx_instruments.instruments_request(page.cursor).path.endswith("instType=FUTURES")


@pytest.mark.parametrize(
    "parse", [binance_instruments.parse_instruments, okx_instruments.parse_instruments, hyperliquid_instruments.parse_instruments]
)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"<html>", b'{"code":"50011","msg":"Too Many Requests","data":[]}', b'{"code":-1003,"msg":"banned"}']
)
def test_answers_that_are_no_list_of_contracts(parse, body):
    with pytest.raises(ValueError, match="instruments|exchangeInfo|meta"):
        parse(body)


def test_hyperliquid_contracts_that_cannot_be_used_are_listed():
    page = hyperliquid_instruments.parse_instruments(
        orjson.dumps(
            {
                "universe": [
                    {"name": "kPEPE", "szDecimals": 0},
                    {"name": "OLD", "szDecimals": 1, "isDelisted": True},
                    {"name": "X", "szDecimals": 9},
                    {"szDecimals": 1},
                    None,
                ]
            }
        )
    )
    assert [(one.symbol, one.asset, one.lot_size, one.tick_size) for one in page.instruments] == [("kPEPE", "PEPE", "1", "0.000001")]
    assert len(page.refused) == 3
    assert adapter_of("hyperliquid").instruments("") == Request("/info", "POST", b'{"type":"meta"}')


def test_what_a_feed_is_worth_is_said_once():
    """Files, event tables and live feeds of one venue are of one class, under every name; docs/venues.md has the classes."""
    from liqshell.formats.reading import COMPLETENESS

    assert {
        "bybit": "FULL",
        "aster": "CENSORED",
        **dict.fromkeys(("binance_um", "binance_cm", "binance", "binance_futures", "binance-futures"), "CENSORED"),
    } == COMPLETENESS


def test_only_adapters_name_the_addresses_of_a_venue():
    """Adding a venue is a file and a line in adapters.py."""
    shell = Path(liqshell.__file__).parent
    facts = [address.partition("://")[2] for one in ADAPTERS.values() for place in one.environments.values() for address in astuple(place) if address]
    assert len(facts) > 15
    found = {
        (path.name, fact)
        for path in shell.rglob("*.py")
        if not {"venues", "emulator", "formats"} & set(path.relative_to(shell).parts)
        for fact in facts
        if re.search(r"(?<!such as https://)" + re.escape(fact), re.sub(r'"""(?:.|\n)*?"""', "", path.read_text()))
    }
    assert found == {("unaddressed.py", "stream.bybit.com")}  # of captures without addresses: two markets under one host


def test_a_venue_may_say_less_and_is_read_by_its_topics():
    bare = Adapter("new", *[None] * 10)
    assert bare.labels is None and bare.names_in is None and "whatever".startswith(bare.channels) and not bare.private_path
    assert [name.decode() for name in okx.ADAPTER.names_in.findall(b'{"instId":"BTC-USDT-SWAP"},{"instId": "X"}')] == ["BTC-USDT-SWAP", "X"]
