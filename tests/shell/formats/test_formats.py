"""Every format of others: what it is recognised by, and rows of its publisher's layout against events worked out by hand."""

import gzip
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from captures import DATA, needs_data
from format_files import (
    AGG,
    BOOK_TICKER,
    BUY,
    BYBIT,
    EXCH,
    LOCAL,
    MS,
    SELL,
    SNAPSHOT,
    T0,
    TARDIS_L2,
    TARDIS_PRINTS,
    TARDIS_QUOTES,
    TARDIS_TICKER,
    events,
    hft,
    tuples,
    write,
)
from liqshell import formats
from liqshell.errors import DataError
from liqshell.formats.book import Top

L, S = int(lc.Side.LONG), int(lc.Side.SHORT)
LIQ, TRADE, BBO, TICKER = lc.Kind.LIQUIDATION, lc.Kind.TRADE, lc.Kind.BBO, lc.Kind.TICKER
US = T0 // 1000
DELAY = round(formats.FEED_LATENCY_MS * MS)


# ---- Tardis


def test_tardis_trades_keep_both_times_and_the_takers_side(tmp_path):
    path = write(
        tmp_path / "binance-futures_trades_2024-08-05_BTCUSDT.csv.gz",
        TARDIS_PRINTS,
        f"binance-futures,BTCUSDT,{US},{US + 3123},5214,buy,58000.5,0.25",
        f"binance-futures,BTCUSDT,{US + 1},{US + 4000},5215,sell,58000.4,1",
    )
    seen = []
    assert formats.sniff(path) == "tardis"
    assert tuples(events(path, seen)) == [
        (TRADE, T0, T0 + 3_123_000, L, 58000.5, 0.25, 0, 0),
        (TRADE, T0 + 1000, T0 + 4_000_000, S, 58000.4, 1.0, 0, 0),
    ]
    assert seen[0].contracts == [("binance_um", "BTCUSDT")] and seen[0].received == "recorded"
    assert events(path)["id"].tolist() == [5214, 5215]


def test_tardis_liquidations_name_the_order_so_a_sell_closes_a_long(tmp_path):
    path = write(
        tmp_path / "okex-swap_liquidations_2024-08-05_SWAPS.csv",
        TARDIS_PRINTS,
        f"okex-swap,BTC-USDT-SWAP,{US},{US + 5},,sell,58000.5,12",
        f"okex-swap,ETH-USDT-SWAP,{US},{US + 5},,buy,2400.1,3",
    )
    seen = []
    assert tuples(events(path, seen, multipliers={"BTC-USDT-SWAP": 0.01})) == [
        (LIQ, T0, T0 + 5000, L, 58000.5, 12, 0, 0),
        (LIQ, T0, T0 + 5000, S, 2400.1, 3, 0, 0),
    ]
    assert seen[0].rules == {
        ("okx", "BTC-USDT-SWAP"): {"completeness": "UNKNOWN", "multiplier": 0.01},
        ("okx", "ETH-USDT-SWAP"): {"completeness": "UNKNOWN"},
    }
    assert any("contracts" in note for note in seen[0].notes)


def test_tardis_says_where_a_side_is_uncertain_and_where_bybit_was_censored(tmp_path):
    path = write(
        tmp_path / "liquidations" / "x.csv",
        TARDIS_PRINTS,
        f"bybit,BTCUSDT,{US},{US + 5},,sell,58000.5,12",
        f"deribit,BTC-PERPETUAL,{US},{US + 5},,sell,58000.5,12",
    )
    seen = []
    assert events(path, seen)["side"].tolist() == [L, L]
    assert seen[0].rules["bybit", "BTCUSDT"]["completeness"] == "CENSORED"  # August 2024: the old topic
    assert [note for note in seen[0].notes if "UNCERTAIN" in note and note.startswith("deribit")] and not any(
        n.startswith("bybit") for n in seen[0].notes
    )


def test_tardis_trades_and_liquidations_look_alike_so_an_unnamed_file_is_refused(tmp_path):
    path = write(tmp_path / "BTCUSDT.csv", TARDIS_PRINTS, f"bybit,BTCUSDT,{US},{US},,sell,58000.5,12")
    with pytest.raises(DataError, match="trades or liquidations"):
        formats.read(path)
    assert events(path, kind="liquidations")["kind"].tolist() == [LIQ]


def test_tardis_quotes_and_the_top_of_snapshots(tmp_path):
    quotes = write(
        tmp_path / "q.csv", TARDIS_QUOTES, f"bybit,BTCUSDT,{US},{US + 1},1.5,58000.6,58000.5,2", f"bybit,BTCUSDT,{US + 1},{US + 2},1.5,58000.6,,"
    )
    seen = []
    assert tuples(events(quotes, seen)) == [(BBO, T0, T0 + 1000, 0, 58000.5, 2, 58000.6, 1.5)]
    assert seen[0].counts["quotes with an empty side"] == 1
    head = "exchange,symbol,timestamp,local_timestamp," + ",".join(
        f"asks[{n}].price,asks[{n}].amount,bids[{n}].price,bids[{n}].amount" for n in range(5)
    )
    deep = ",".join(["58001,1,57999,1"] * 4)
    book = write(
        tmp_path / "b.csv.zip",
        head,
        f"bybit,BTCUSDT,{US},{US + 1},58000.6,1.5,58000.5,2,{deep}",
        f"bybit,BTCUSDT,{US},{US + 2},58000.6,1.5,58000.5,2,{deep}",
        f"bybit,BTCUSDT,{US},{US + 3},58000.6,1,58000.5,2,{deep}",
    )
    assert tuples(events(book)) == [(BBO, T0, T0 + 1000, 0, 58000.5, 2, 58000.6, 1.5), (BBO, T0, T0 + 3000, 0, 58000.5, 2, 58000.6, 1)]


def test_tardis_book_changes_become_quotes_when_a_whole_message_has_moved_the_top(tmp_path):
    def row(ms, snapshot, side, price, amount):
        return f"bybit,BTCUSDT,{US + ms},{US + ms + 5},{snapshot},{side},{price},{amount}"

    path = write(
        tmp_path / "l2.csv",
        TARDIS_L2,
        row(0, "false", "bid", 1, 1),
        row(10, "true", "bid", 99, 1),
        row(10, "true", "bid", 98, 2),
        row(10, "true", "ask", 101, 3),
        row(20, "false", "bid", 99, 0),
        row(20, "false", "bid", 100, 5),  # one message: 99 and 98 are never the best in between
        row(30, "false", "bid", 97, 1),  # below the top: nothing
        row(40, "false", "ask", 101, 0),  # an empty side: no quote
        row(50, "false", "ask", 102, 1),
        row(60, "false", "bid", 102, 1),  # crossed: no quote
        row(70, "true", "bid", 90, 1),
        row(70, "true", "ask", 91, 1),
    )  # a snapshot begins the book anew
    seen = []
    got = [(t[1] - T0, t[4], t[5], t[6], t[7]) for t in tuples(events(path, seen, limits=formats.Limits(band=1e9)))]
    assert got == [(10_000, 99, 1, 101, 3), (20_000, 100, 5, 101, 3), (50_000, 100, 5, 102, 1), (70_000, 90, 1, 91, 1)]
    assert seen[0].counts["changes before the first snapshot"] == 1


def test_tardis_tickers_carry_mark_index_interest_and_funding(tmp_path):
    path = write(
        tmp_path / "t.csv",
        TARDIS_TICKER,
        f"bybit,BTCUSDT,{US},{US + 9},,-0.0001,,51000.5,58000,58001.5,58002.5",
        f"bybit,BTCUSDT,{US + 1},{US + 10},,,,,,,58002",
    )
    assert tuples(events(path)) == [
        (TICKER, T0, T0 + 9000, 0, 58002.5, 51000.5, 58001.5, -0.0001),
        (TICKER, T0 + 1000, T0 + 10_000, 0, 58002, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("exchange", "symbol", "worth"),
    [
        ("binance-delivery", "BTCUSD_PERP", 100),
        ("binance-delivery", "ETHUSD_PERP", 10),
        ("bybit", "BTCUSD", 1),
        ("bybit", "BTCUSDZ24", 1),
        ("bybit", "BTCUSDT", 0),
        ("okex-swap", "BTC-USD-SWAP", 100),
        ("okex-swap", "ETH-USD-SWAP", 10),
        ("okex-swap", "BTC-USDT-SWAP", 0),
        ("bitmex", "XBTUSD", 1),
        ("bitmex", "XBTUSDT", 0),
        ("deribit", "BTC-PERPETUAL", 1),
        ("deribit", "BTC_USDC-PERPETUAL", 0),
    ],
)
def test_liquidations_of_inverse_contracts_state_their_notional(tmp_path, exchange, symbol, worth):
    path = write(tmp_path / "liquidations.csv", TARDIS_PRINTS, f"{exchange},{symbol},{US},{US},,sell,58000,7")
    assert events(path)["aux_price"].tolist() == [7 * worth]


# ---- Binance


@pytest.mark.parametrize("header", [True, False])
def test_binance_agg_trades_in_a_zip_with_and_without_header(tmp_path, header):
    rows = [f"26,58000.5,0.25,40,41,{T0 // MS},true", f"27,58000.6,1,42,42,{T0 // MS + 1},false"]
    path = write(tmp_path / "BTCUSDT-aggTrades-2024-08-05.zip", *([AGG] if header else []), *rows)
    seen = []
    assert formats.sniff(path) == "binance"
    # the buyer was the maker: the taker sold
    assert tuples(events(path, seen)) == [(TRADE, T0, T0 + DELAY, S, 58000.5, 0.25, 0, 0), (TRADE, T0 + MS, T0 + MS + DELAY, L, 58000.6, 1, 0, 0)]
    assert seen[0].received == "modelled" and seen[0].contracts == [("binance_um", "BTCUSDT")] and events(path)["id"].tolist() == [26, 27]
    assert seen[0].rules["binance_um", "BTCUSDT"]["completeness"] == "CENSORED"


def test_binance_spot_is_known_by_its_columns_and_counts_in_microseconds(tmp_path):
    path = write(tmp_path / "BTCUSDT-trades-2025-08-05.zip", f"1,100.5,2,201,{T0 // 1000 + 7},True,True")
    seen = []
    assert tuples(events(path, seen, feed_latency_ms=0)) == [(TRADE, T0 + 7000, T0 + 7000, S, 100.5, 2, 0, 0)]
    assert seen[0].contracts == [("binance", "BTCUSDT")]


def test_binance_book_ticker(tmp_path):
    path = write(tmp_path / "BTCUSDT-bookTicker-2024-03-05.zip", BOOK_TICKER, f"9,100.1,2,100.2,3,{T0 // MS},{T0 // MS + 4}")
    assert tuples(events(path)) == [(BBO, T0, T0 + DELAY, 0, 100.1, 2, 100.2, 3)]


def test_binance_liquidation_snapshot_is_censored_doubled_and_names_the_order(tmp_path):
    ms = T0 // MS
    rows = [f"{ms},SELL,LIMIT,IOC,7,57900,58000.5,FILLED,6,7"] * 2 + [f"{ms + 2000},BUY,LIMIT,IOC,4,58900,58100.5,FILLED,4,4"] * 2
    path = write(tmp_path / "BTCUSD_PERP-liquidationSnapshot-2024-08-05.zip", SNAPSHOT, *rows)
    seen = []
    # contracts of 100 USD; the price is the average fill
    assert tuples(events(path, seen)) == [
        (LIQ, T0, T0 + DELAY, L, 58000.5, 7, 700, 0),
        (LIQ, T0 + 2000 * MS, T0 + 2000 * MS + DELAY, S, 58100.5, 4, 400, 0),
    ]
    assert seen[0].counts == {"the same liquidation again, of a feed that has one a second": 2}
    assert seen[0].contracts == [("binance_cm", "BTCUSD_PERP")] and seen[0].rules["binance_cm", "BTCUSD_PERP"]["completeness"] == "CENSORED"
    bare = write(tmp_path / "ETHUSDT-liquidationSnapshot-2023-01-05.zip", *rows)
    assert tuples(events(bare))[0] == (LIQ, T0, T0 + DELAY, L, 58000.5, 7, 0, 0)


def test_a_file_that_does_not_say_its_contract_is_refused_until_told(tmp_path):
    path = write(tmp_path / "august.csv", AGG, f"26,58000.5,0.25,40,41,{T0 // MS},true")
    with pytest.raises(DataError, match="nor its name gives the contract"):
        formats.read(path)
    seen = []
    events(path, seen, symbol="ETHUSDT", venue="binance_um")
    assert seen[0].contracts == [("binance_um", "ETHUSDT")]


AGG_ROW = f"26,58000.5,0.25,40,41,{T0 // MS},true"
SPOT_ROWS = ("id,timestamp,price,volume,side,rpi", f"1,{T0 // MS},58000.5,0.25,sell,0")


@pytest.mark.parametrize(
    ("name", "rows", "symbol"),
    [
        ("币安人生USDT-aggTrades-2024-08-05.csv", (AGG, AGG_ROW), "币安人生USDT"),
        ("我踏马来了USDT-aggTrades-2024-08-05.zip", (AGG, AGG_ROW), "我踏马来了USDT"),
        ("BTCUSDT_241227-aggTrades-2024-08-05.csv", (AGG, AGG_ROW), "BTCUSDT_241227"),
        ("BTCUSDT-aggTrades-2024-08-05 (1).csv", (AGG, AGG_ROW), "BTCUSDT"),
        *(
            (f"{before}-aggTrades-2024-08-05.csv", (AGG, AGG_ROW), None)
            for before in ("foo.BTCUSDT", "x_BTCUSDT", "café-USDT", "my BTCUSDT", "BTC-USDT", "btcusdt")
        ),
        ("币安人生USDT_2024-08-05.csv", SPOT_ROWS, "币安人生USDT"),
        ("1000PEPEUSDT-2024-08.csv.gz", SPOT_ROWS, "1000PEPEUSDT"),
        ("foo.BTCUSDT_2024-08-05.csv", SPOT_ROWS, None),
        ("BTC-USDT_2024-08-05.csv", SPOT_ROWS, None),
        ("2024-08-05.csv", SPOT_ROWS, None),
        ("binance_btcusdt.csv", ("20240805 00:00:00,0.0001",), "BTCUSDT"),
        ("binance_币安人生usdt.csv", ("20240805 00:00:00,0.0001",), "币安人生USDT"),
        ("binance_foo_btcusdt.csv", ("20240805 00:00:00,0.0001",), None),
    ],
)
def test_the_contract_is_all_that_the_name_of_a_file_has_before_the_kind_or_the_day(tmp_path, name, rows, symbol):
    path = write(tmp_path / name, *rows)
    if symbol is None:
        with pytest.raises(DataError, match="neither the file nor"):
            formats.read(path)
        return
    seen = []
    assert len(events(path, seen)) and [found for _, found in seen[0].contracts] == [symbol]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("btcusdt_20240805", "BTCUSDT"),
        ("binance_btcusdt_20240805", "BTCUSDT"),
        ("binance_um_1000pepeusdt20240805", "1000PEPEUSDT"),
        ("btcusd_perp_20240805", "BTCUSD_PERP"),
        ("ethusd_perp_20240805", "ETHUSD_PERP"),
        ("btcusdt_240927_20240805", "BTCUSDT_240927"),
        ("币安人生usdt_20240805", "币安人生USDT"),
        ("foo.btcusdt_20240805", None),
        ("20240805", None),
    ],
)
def test_hftbacktests_contract_is_all_that_the_name_has_before_the_day_but_the_venue(tmp_path, name, symbol):
    path = hft(tmp_path / f"{name}.npz", [(2 | LOCAL | BUY, T0, T0, 5.0, 1.0)])
    if symbol is None:
        with pytest.raises(DataError, match="neither the file nor"):
            formats.read(path)
        return
    seen = []
    assert len(events(path, seen)) == 1 and seen[0].contracts == [("binance_um", symbol)]


# ---- Bybit


def test_bybit_trades_of_futures_and_of_spot(tmp_path):
    path = write(
        tmp_path / "BTCUSDT2024-08-05.csv.gz",
        BYBIT,
        "1722816000.0647,BTCUSDT,Sell,0.25,58000.5,PlusTick,6a1b4c5e-0000-5000-8000-000000000001,1,1,1",
        "1722816000.1,BTCUSDT,Buy,1,58000.6,PlusTick,6a1b4c5e-0000-5000-8000-000000000002,1,1,1",
    )
    assert formats.sniff(path) == "bybit_trades"
    at = T0 + 64_700_000
    assert tuples(events(path)) == [
        (TRADE, at, at + DELAY, S, 58000.5, 0.25, 0, 0),
        (TRADE, T0 + 100 * MS, T0 + 100 * MS + DELAY, L, 58000.6, 1, 0, 0),
    ]
    spot = write(tmp_path / "BTCUSDT_2024-08-05.csv", "id,timestamp,price,volume,side,rpi", f"1,{T0 // MS},58000.5,0.25,sell,0")
    seen = []
    assert tuples(events(spot, seen)) == [(TRADE, T0, T0 + DELAY, S, 58000.5, 0.25, 0, 0)] and seen[0].contracts == [("bybit_spot", "BTCUSDT")]


def test_bybit_files_with_the_newest_trade_first_are_turned_round(tmp_path):
    path = write(
        tmp_path / "BTCUSDT2020-01-05.csv", BYBIT, *(f"{1722816000 + n}.5,BTCUSDT,Sell,1,{100 + n},PlusTick,{n:036d},1,1,1" for n in range(30, 0, -1))
    )
    seen = []
    assert events(path, seen)["price"].tolist() == [100 + n for n in range(1, 31)]
    assert any("reversed" in note for note in seen[0].notes)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1_600_000_000_0000, 1_900_000_000_0000), min_size=1, max_size=40))
def test_bybit_seconds_come_back_to_the_digit(tmp_path_factory, stamps):
    stamps = sorted(stamps)
    path = write(
        tmp_path_factory.mktemp("b") / "BTCUSDT2024-08-05.csv",
        BYBIT,
        *(f"{Decimal(ts) / 10_000},BTCUSDT,Buy,1,100,PlusTick,{n:036d},1,1,1" for n, ts in enumerate(stamps, 1)),
    )
    assert events(path)["ts_event"].tolist() == [ts * 100_000 for ts in stamps]


# ---- hftbacktest


def test_hftbacktest_gives_trades_and_the_quotes_that_its_depth_makes(tmp_path):
    both = EXCH | LOCAL
    path = hft(
        tmp_path / "btcusdt_20240805.npz",
        [
            (4 | both | BUY, T0, T0 + 10, 99.0, 1.0),
            (4 | both | SELL, T0, T0 + 10, 101.0, 2.0),
            (2 | both | SELL, T0 + 5, T0 + 20, 99.0, 0.5),
            (1 | EXCH | BUY, T0 + 6, T0 + 30, 100.0, 7.0),
            (1 | LOCAL | BUY, T0 + 6, T0 + 30, 100.0, 7.0),
            (3 | both | BUY, T0 + 7, T0 + 40, 99.5, 0.0),
            (10 | both | BUY, T0 + 8, T0 + 50, 99.5, 0.0),
        ],
    )
    seen = []
    assert formats.sniff(path) == "hftbacktest"
    assert tuples(events(path, seen)) == [
        (BBO, T0, T0 + 10, 0, 99, 1, 101, 2),
        (TRADE, T0 + 5, T0 + 20, S, 99, 0.5, 0, 0),
        (BBO, T0 + 6, T0 + 30, 0, 100, 7, 101, 2),
        (BBO, T0 + 7, T0 + 40, 0, 99, 1, 101, 2),
    ]  # cleared down to 99.5: 99 is left
    assert seen[0].contracts == [("binance_um", "BTCUSDT")] and seen[0].received == "recorded"
    assert seen[0].counts == {"rows of the exchange's side only": 1, "rows not used: orders, fills, events of users": 1}


def test_hftbacktest_agrees_with_the_module_itself(tmp_path):
    types = pytest.importorskip("hftbacktest", reason="hftbacktest is not installed").types
    from liqshell.formats import hftbacktest as ours

    assert (types.LOCAL_EVENT, types.BUY_EVENT, types.SELL_EVENT) == (ours.LOCAL, ours.BUY, ours.SELL)
    assert (types.DEPTH_EVENT, types.TRADE_EVENT, types.DEPTH_CLEAR_EVENT, types.DEPTH_SNAPSHOT_EVENT) == (
        ours.DEPTH,
        ours.TRADE,
        ours.CLEAR,
        ours.SNAPSHOT,
    )
    data = np.zeros(3, types.event_dtype)
    data["ev"], data["exch_ts"], data["local_ts"], data["px"], data["qty"] = (
        types.TRADE_EVENT | types.LOCAL_EVENT | types.BUY_EVENT,
        T0,
        T0 + 1,
        5.0,
        1.0,
    )
    np.savez(tmp_path / "xrpusdt_20240805.npz", data=data)
    assert events(tmp_path / "xrpusdt_20240805.npz")["side"].tolist() == [L] * 3


def test_hftbacktest_1_is_refused_with_the_reason(tmp_path):
    np.savez(tmp_path / "btcusdt_20230805.npz", data=np.zeros((5, 6)))
    with pytest.raises(DataError, match="hftbacktest 1"):
        formats.read(tmp_path / "btcusdt_20230805.npz")


@needs_data
@pytest.mark.slow
def test_a_real_capture_through_hftbacktests_own_converter_has_its_trades_and_the_venues_best_prices(tmp_path):
    convert = pytest.importorskip("hftbacktest.data.utils.binancefutures", reason="hftbacktest is not installed").convert
    source = DATA / "market-hftbacktest-binance-2024-08" / "usdm_btcusdt_20240808.gz"
    np.savez(tmp_path / "btcusdt_20240808.npz", data=convert(str(source)))
    found = events(tmp_path / "btcusdt_20240808.npz")
    trades, quotes = found[found["kind"] == TRADE], found[found["kind"] == BBO]
    told, best, turnover = 0, [], 0.0
    for line in gzip.decompress(source.read_bytes()).splitlines():
        frame = json.loads(line.partition(b" ")[2])
        data = frame.get("data", {})
        if frame.get("stream", "").endswith("@trade"):
            told, turnover = told + 1, turnover + float(data["p"]) * float(data["q"])
        elif frame.get("stream", "").endswith("@bookTicker"):
            best.append((data["T"] * MS, float(data["b"]), float(data["a"])))
    assert len(trades) == told and (trades["price"] * trades["qty"]).sum() == pytest.approx(turnover, rel=1e-9)
    # the venue's own best prices at the time of each of ours: a stream of its own, so a few of a thousand fall between two updates
    stamps, bids, asks = (np.array(column) for column in zip(*best, strict=True))
    at = np.searchsorted(stamps, quotes["ts_event"], side="right") - 1
    known = at >= 0
    assert np.mean(quotes["price"][known] == bids[at[known]]) > 0.99 and np.mean(quotes["aux_price"][known] == asks[at[known]]) > 0.99


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["set", "drop", "clear"]), st.integers(0, 1), st.integers(1, 12), st.integers(0, 3)), max_size=60))
def test_the_best_levels_are_those_of_a_book_kept_the_plain_way(steps):
    book, plain = Top(), ({}, {})
    for what, side, price, size in steps:
        if what == "set":
            book.set(side, float(price), float(size))
            plain[side][float(price)] = float(size)
        elif what == "drop":
            book.drop(side, float(price))
            for level in list(plain[side]):
                if level <= price if side else level >= price:
                    plain[side][level] = 0.0
        else:
            book.clear()
            plain = ({}, {})
        bids, asks = ({level: size for level, size in half.items() if size} for half in plain)
        expected = None
        if bids and asks and max(bids) < min(asks):
            expected = (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
        assert book.best() == expected


# ---- ours


def test_event_tables(tmp_path):
    path = write(
        tmp_path / "t.csv",
        "ts_ms,symbol,position,price,qty_base,notional_usd,venue",
        f"{T0 // MS + 5},BTCUSDT,short,58000.5,2,116001,okx",
        f"{T0 // MS},BTCUSDT,long,58000,1,,okx",
        f"{T0 // MS},BTCUSDT,sideways,58000,1,,okx",
    )
    seen = []
    assert formats.sniff(path) == "event_table"
    assert tuples(events(path, seen)) == [(LIQ, T0, T0 + DELAY, L, 58000, 1, 0, 0), (LIQ, T0 + 5 * MS, T0 + 5 * MS + DELAY, S, 58000.5, 2, 116001, 0)]
    assert seen[0].contracts == [("okx", "BTCUSDT")] and seen[0].counts == {"position is neither long nor short": 1} and ":4:" in seen[0].shown[0]


def test_parquet_of_events_and_of_one_kind(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "long.parquet"
    pq.write_table(
        pa.table(
            {
                "ts_event": [T0, T0, T0],
                "ts_recv": [T0 + 1, T0 + 2, T0 + 3],
                "kind": ["TRADE", "liquidation", "BBO"],
                "side": ["BUY", "SHORT", None],
                "venue": ["okx"] * 3,
                "symbol": ["A", "B", "A"],
                "price": [5.0, 6.0, 4.0],
                "qty": [1.0, 2.0, 3.0],
                "aux_price": [0.0, 12.0, 4.5],
                "aux_qty": [0.0, 0.0, 1.0],
            }
        ),
        path,
    )
    seen = []
    assert formats.sniff(path) == "parquet"
    assert tuples(events(path, seen)) == [(TRADE, T0, T0 + 1, L, 5, 1, 0, 0), (LIQ, T0, T0 + 2, S, 6, 2, 12, 0), (BBO, T0, T0 + 3, 0, 4, 3, 4.5, 1)]
    assert seen[0].contracts == [("okx", "A"), ("okx", "B")]
    quotes = tmp_path / "quotes.parquet"
    pq.write_table(
        pa.table({"ts_recv": pa.array([T0], pa.timestamp("ns", "UTC")), "bid": [4.0], "bid_qty": [3.0], "ask": [4.5], "ask_qty": [1.0]}), quotes
    )
    assert tuples(events(quotes, symbol="A", venue="okx")) == [(BBO, T0, T0, 0, 4, 3, 4.5, 1)]
    with pytest.raises(DataError, match="no column symbol"):
        formats.read(quotes)


EVENT = st.tuples(
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.floats(1, 9),
    st.floats(0.5, 2),
    st.floats(9.5, 20),
    st.floats(0, 5),
    st.sampled_from([1, -1]),
    st.integers(0, 2),
)


def test_an_id_of_parquet_that_events_have_no_room_for_is_left_out_and_counted(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [5, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    rows = {"ts_event": [T0 + n for n in range(4)], "side": ["BUY"] * 4, "price": [1.5] * 4, "qty": [2.0] * 4, "id": pa.array(ids, pa.uint64())}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    seen = []
    assert events(tmp_path / "x.parquet", seen, venue="bybit", symbol="BTCUSDT")["id"].tolist() == [5, (1 << 63) - 1, 0, 0]
    assert seen[0].counts["kept: an id of 2^63 or more, without it"] == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=50), st.booleans())
def test_events_of_every_kind_come_back_from_parquet_as_they_were(tmp_path_factory, given_rows, numbers):
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = np.zeros(len(given_rows), lc.EVENT_DTYPE)
    for n, (kind, delay, price, qty, aux_price, aux_qty, side, instrument) in enumerate(given_rows):
        wanted[n] = (
            T0 + n * MS,
            T0 + n * MS + delay % MS,
            price,
            qty,
            aux_price if kind != TRADE else 0,
            aux_qty if kind in (BBO, TICKER) else 0,
            n + 1,
            instrument,
            kind,
            side if kind in (LIQ, TRADE) else 0,
            0,
            0,
        )
    words = {LIQ: {1: "LONG", -1: "SHORT"}, TRADE: {1: "BUY", -1: "SELL"}}
    kinds = wanted["kind"].tolist()
    path = tmp_path_factory.mktemp("p") / "x.parquet"
    pq.write_table(
        pa.table(
            {
                **{name: wanted[name] for name in ("ts_event", "ts_recv", "price", "qty", "aux_price", "aux_qty", "id")},
                "venue": ["okx"] * len(kinds),
                "symbol": [f"S{n}" for n in wanted["instrument"]],
                "kind": wanted["kind"] if numbers else [lc.Kind(kind).name for kind in kinds],
                "side": wanted["side"]
                if numbers
                else [words.get(kind, {}).get(side) for kind, side in zip(kinds, wanted["side"].tolist(), strict=True)],
            }
        ),
        path,
    )
    seen = []
    got = events(path, seen, limits=formats.Limits(band=1e6))
    names = np.array([int(symbol[1:]) for symbol in seen[0].symbols])
    got["instrument"] = names[got["instrument"]]
    assert got.tobytes() == wanted.tobytes() and not seen[0].findings.refused


# ---- all

NUMBER = st.decimals(Decimal("0.01"), Decimal(99999), places=2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), NUMBER, NUMBER, st.booleans()), min_size=1, max_size=60),
    st.sampled_from(["tardis", "binance", "bybit", "parquet", "hft"]),
)
def test_what_is_written_is_read_back_in_every_layout_of_trades(tmp_path_factory, rows, layout):
    folder = tmp_path_factory.mktemp("f")
    ts = (
        [T0 + 1000 * MS * n + 1000 * (us % 1000) for n, (us, *_) in enumerate(rows)]
        if layout not in ("binance",)
        else [T0 + 1000 * MS * n for n in range(len(rows))]
    )
    if layout == "bybit":
        ts = [t // 100_000 * 100_000 for t in ts]
    if layout == "tardis":
        path = write(
            folder / "trades.csv.gz",
            TARDIS_PRINTS,
            *(f"bybit,X,{t // 1000},{t // 1000},,{'buy' if b else 'sell'},{p},{q}" for t, (_, p, q, b) in zip(ts, rows, strict=True)),
        )
    elif layout == "binance":
        path = write(
            folder / "X-aggTrades-2024-08-05.zip",
            *(f"{n},{p},{q},1,1,{t // MS},{str(not b).lower()}" for n, (t, (_, p, q, b)) in enumerate(zip(ts, rows, strict=True))),
        )
        path = path.rename(folder / "XUSDT-aggTrades-2024-08-05.zip")
    elif layout == "bybit":
        path = write(
            folder / "x.csv",
            BYBIT,
            *(
                f"{Decimal(t) / 10**9},X,{'Buy' if b else 'Sell'},{q},{p},Z,{n:036d},1,1,1"
                for n, (t, (_, p, q, b)) in enumerate(zip(ts, rows, strict=True), 1)
            ),
        )
    elif layout == "hft":
        path = hft(
            folder / "xusdt_20240805.npz",
            [(2 | LOCAL | (BUY if b else SELL), t, t, float(p), float(q)) for t, (_, p, q, b) in zip(ts, rows, strict=True)],
        )
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = folder / "x.parquet"
        pq.write_table(
            pa.table(
                {
                    "ts_recv": ts,
                    "symbol": ["X"] * len(ts),
                    "price": [float(r[1]) for r in rows],
                    "qty": [float(r[2]) for r in rows],
                    "side": ["BUY" if r[3] else "SELL" for r in rows],
                }
            ),
            path,
        )
    got = events(path, limits=formats.Limits(band=1e12))
    assert (
        got["ts_event"].tolist() == ts and got["price"].tolist() == [float(r[1]) for r in rows] and got["qty"].tolist() == [float(r[2]) for r in rows]
    )
    assert got["side"].tolist() == [L if r[3] else S for r in rows] and set(got["kind"].tolist()) == {TRADE}


def test_blocks_of_a_few_bytes_give_what_one_block_gives(tmp_path, monkeypatch):
    from liqshell.formats import delimited

    path = write(
        tmp_path / "trades.csv.gz",
        TARDIS_PRINTS,
        *(f"bybit,{'AB'[n % 2]},{US + 1000 * n},{US + 1000 * n + n * 7919 % 4000},{n},buy,{100 + n % 5},{1 + n % 3}" for n in range(1, 500)),
    )
    whole = events(path)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 700)
    small = events(path)
    order = ("ts_recv", "instrument", "ts_event")
    assert len(whole) == 499 and np.sort(whole, order=order).tobytes() == np.sort(small, order=order).tobytes()


def test_zstandard_is_unpacked(tmp_path):
    import pyarrow as pa

    lines = "\n".join([TARDIS_PRINTS, f"bybit,X,{US},{US},,buy,5,1", ""]).encode()
    path = tmp_path / "trades.csv.zst"
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(lines)
    assert events(path)["price"].tolist() == [5.0]


@pytest.mark.parametrize(
    "first", ["a,b,c", "when,price,quantity,side,tradeId", "0,0.3066,0.3067,0.3066,0.3067,88126", "hello", "1723161253937085768 {}"]
)
def test_what_is_of_no_format_is_refused_by_name(tmp_path, first):
    with pytest.raises(DataError, match=r"x\.csv: no known format; it begins"):
        formats.sniff(write(tmp_path / "x.csv", first, "1,2,3"))


def test_files_of_a_folder(tmp_path):
    for name in (
        "b.csv",
        "a/c.csv.gz",
        "a/readme.md",
        ".hidden.csv",
        "run/frames/2026-01-01_00.jsonl.gz",
        "run/frames/manifest.json",
        "run/trades.csv",
    ):
        write(tmp_path / name, "x")
    assert [str(p.relative_to(tmp_path)) for p in formats.files_of(tmp_path)] == ["a/c.csv.gz", "b.csv", "run/frames/2026-01-01_00.jsonl.gz"]


@needs_data
def test_the_stored_captures_of_event_tables_are_read_or_refused_with_a_reason():
    rows = 0
    for path in sorted(DATA.glob("*/liquidations*normalized.csv*")):
        try:
            rows += len(events(path))
        except DataError as why:
            assert "neither long nor short" in str(why) or "goes back" in str(why) or "no column" in str(why), why
    assert rows > 1000
