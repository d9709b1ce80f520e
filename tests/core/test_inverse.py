"""Inverse contracts in files: a contract is worth dollars (venues.md 0.2: `v` of Bybit inverse is already USD; OKX sz x ctVal), whatever reads them."""

import json

import numpy as np
import pytest

import liqcore as lc
from format_files import BYBIT, MS, T0, events, write
from liqshell import store
from liqshell.cli import main
from liqshell.formats import column_map

ADDRESS = "wss://stream.bybit.com/v5/public/inverse"
START = T0 // MS
INVERSE_NOTE = "inverse contracts: quantities are contracts, each worth dollars"


def forced(ms: int, usd: float, symbol: str = "BTCUSD", price: str = "50000.0") -> str:
    return json.dumps(
        {
            "topic": f"allLiquidation.{symbol}",
            "type": "snapshot",
            "ts": ms + 400,
            "data": [{"T": ms, "s": symbol, "S": "Buy", "v": str(usd), "p": price}],
        }
    )


def _older(path, frames):
    return write(path / "BYBIT.ws.1.0", f"{ADDRESS} <-> {START / 1e3}", *(f"{ms / 1e3}: {frame}" for ms, frame in frames))


def _newer(path, frames):
    return write(
        path / "a.jsonl",
        json.dumps({"t": "connect", "conn": "BYBIT.ws.1", "ts": START / 1e3, "addr": ADDRESS}),
        *(json.dumps({"t": "recv", "conn": "BYBIT.ws.1", "ts": ms / 1e3, "data": frame}) for ms, frame in frames),
    )


def _collected(path, frames):
    return write(path / "c.gz", *(f"{ms * MS} {frame}" for ms, frame in frames))


def _raw(path, frames):
    return write(path / "r.jsonl", *(frame for _, frame in frames))


def _hourly(path, frames):
    return write(
        path / "s4.jsonl",
        *(
            json.dumps(
                {"ts": ms, "exchange": "bybit", "source": "ws", "stream": "allLiquidation.BTCUSD", "symbol": "BTCUSD", "result": json.loads(frame)}
            )
            for ms, frame in frames
        ),
    )


WRITERS = [_older, _newer, _collected, _raw, _hourly]


@pytest.mark.parametrize("symbol", ["BTCUSD", "ETHUSDU26"])
@pytest.mark.parametrize("written", WRITERS)
def test_a_liquidation_of_twenty_dollars_is_one_of_twenty_dollars(tmp_path, written, symbol):
    if written is _hourly and symbol != "BTCUSD":
        return
    seen: list = []
    found = events(written(tmp_path, [(START + 500, forced(START, 20, symbol))]), seen)
    assert seen[0].contracts == [("bybit", symbol)]
    assert [(e["side"], e["price"], e["qty"], e["aux_price"]) for e in found] == [(lc.Side.LONG, 50_000.0, 20.0, 20.0)]
    assert any(note.startswith(INVERSE_NOTE) for note in seen[0].notes)


@pytest.mark.parametrize("written", WRITERS)
def test_linear_contracts_state_nothing(tmp_path, written):
    if written is _hourly:
        return
    seen: list = []
    assert events(written(tmp_path, [(START + 500, forced(START, 20, "BTCUSDT"))]), seen)["aux_price"].tolist() == [0.0]
    assert not any(note.startswith(INVERSE_NOTE) for note in seen[0].notes)


def test_detect_features_and_a_store_count_dollars(tmp_path, capsys):
    """196 liquidations of 20 USD and four of 50: 60 a minute would be 50,000 times as much as coins."""
    frames = [(START + 12_000 * n + 500, forced(START + 12_000 * n, 20 if n < 196 else 50)) for n in range(200)]
    path = _older(tmp_path, frames)
    assert main(["detect", str(path)]) in (0, None)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["threshold"] == 20.0
    assert main(["features", str(path), "-f", "liquidations.liq_volume@1m", "--every", "1m"]) in (0, None)
    rows = capsys.readouterr().out.splitlines()
    assert max(float(row.rpartition(",")[2]) for row in rows[-3:]) <= 250.0 and any(float(row.rpartition(",")[2]) == 100.0 for row in rows[5:20])
    assert main(["import", str(path), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    held = store.open(tmp_path / "s").tape("bybit:BTCUSD").events()
    forced_rows = held[held["kind"] == lc.Kind.LIQUIDATION]
    assert forced_rows["aux_price"].tolist() == [20.0] * 196 + [50.0] * 4
    parquet = pytest.importorskip("pyarrow.parquet")
    (kept,) = (tmp_path / "s").glob("bybit/BTCUSD/liquidations/*.parquet")
    assert sum(parquet.read_table(kept)["notional"].to_pylist()) == 196 * 20.0 + 4 * 50.0


def test_trades_quotes_and_tickers_of_inverse_stay_in_contracts_and_a_note_says_so(tmp_path):
    trade = json.dumps(
        {
            "topic": "publicTrade.BTCUSD",
            "type": "snapshot",
            "ts": START,
            "data": [
                {
                    "T": START,
                    "s": "BTCUSD",
                    "S": "Sell",
                    "v": "7",
                    "p": "50000.5",
                    "L": "PlusTick",
                    "i": "0000000a-0000-5000-8000-000000000001",
                    "BT": False,
                }
            ],
        }
    )
    book = json.dumps(
        {
            "topic": "orderbook.1.BTCUSD",
            "type": "snapshot",
            "ts": START + 1,
            "cts": START + 1,
            "data": {"s": "BTCUSD", "b": [["50000.0", "300"]], "a": [["50000.5", "400"]], "u": 5, "seq": 9},
        }
    )
    ticker = json.dumps(
        {
            "topic": "tickers.BTCUSD",
            "type": "snapshot",
            "cs": 4,
            "ts": START + 2,
            "data": {"symbol": "BTCUSD", "markPrice": "50001.0", "openInterest": "123456"},
        }
    )
    seen: list = []
    found = events(_newer(tmp_path, [(START + 10 * n, frame) for n, frame in enumerate((trade, book, ticker), 1)]), seen)
    assert [(lc.Kind(int(e["kind"])), e["price"], e["qty"], e["aux_price"]) for e in found] == [
        (lc.Kind.TRADE, 50000.5, 7.0, 0.0),
        (lc.Kind.BBO, 50000.0, 300.0, 50000.5),
        (lc.Kind.TICKER, 50001.0, 123456.0, 0.0),
    ]
    assert any(note.startswith(INVERSE_NOTE) for note in seen[0].notes)
    seen.clear()
    events(
        write(tmp_path / "BTCUSD2024-08-05.csv", BYBIT, f"{T0 / 1e9},BTCUSD,Buy,7,50000.5,PlusTick,0000000a-0000-5000-8000-000000000001,1,1,1"), seen
    )
    assert any(note.startswith(INVERSE_NOTE) for note in seen[0].notes)


@pytest.mark.parametrize(
    ("name", "size", "notional"),
    [("BTC-USD-SWAP", 13, 1300.0), ("ETH-USD-SWAP", 13, 130.0), ("BTC-USD-261225", 13, 1300.0), ("BTC-USDT-SWAP", 13, 0.0)],
)
def test_inverse_contracts_of_okx_are_worth_their_face(tmp_path, name, size, notional):
    frame = json.dumps(
        {
            "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
            "data": [
                {
                    "instType": "SWAP",
                    "instId": name,
                    "uly": "BTC-USD",
                    "instFamily": "BTC-USD",
                    "details": [{"side": "sell", "posSide": "long", "bkPx": "50000", "sz": str(size), "bkLoss": "0", "ccy": "", "ts": str(START)}],
                }
            ],
        }
    )
    assert events(_collected(tmp_path, [(START + 5, frame)]))["aux_price"].tolist() == [notional]


def test_tables_of_inverse_contracts_state_it_too_where_they_do_not_say_it(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = write(tmp_path / "x.csv", "t,side,px,v,usd", f"{START},long,50000,20,", f"{START + 1},short,50000,30,31")
    table = column_map.made(
        {
            "kind": "liquidation",
            "time": {"column": "t", "unit": "ms"},
            "side": {"column": "side", "of": "position"},
            "price": "px",
            "size": "v",
            "symbol": {"value": "BTCUSD"},
            "venue": {"value": "bybit"},
            "notional": "usd",
        },
        "map",
    )
    assert events(path, columns=table)["aux_price"].tolist() == [20.0, 31.0]
    pq.write_table(pa.table({"ts_recv": [T0], "side": ["long"], "price": [50000.0], "qty": [20.0], "kind": ["liquidation"]}), tmp_path / "x.parquet")
    assert events(tmp_path / "x.parquet", venue="bybit", symbol="BTCUSD")["aux_price"].tolist() == [20.0]


def test_an_event_table_has_coins_and_is_left_as_it_is(tmp_path):
    """Its column is qty_base: 0.0004 BTC at 50,000 are 20 USD."""
    path = write(tmp_path / "t.csv", "ts_ms,venue,symbol,position,price,qty_base,notional_usd", f"{START},bybit,BTCUSD,long,50000,0.0004,0")
    seen: list = []
    found = events(path, seen)
    notional = np.where(found["aux_price"] > 0, found["aux_price"], found["price"] * found["qty"])
    assert notional.tolist() == [20.0] and seen[0].format == "event_table"
