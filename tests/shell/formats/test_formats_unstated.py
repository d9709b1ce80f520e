"""What a source does not state stays unstated on its way, and what it goes on stating does not grow old."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import liqcore as lc
from format_files import T0
from liqshell import formats, store


def test_partitions_of_a_store_are_read_as_they_are(tmp_path):
    """What is not stated is null there, and not stated again when it is read: funding, limits, and the streams of a mark."""
    rows = np.zeros(6, lc.EVENT_DTYPE)
    rows["ts_recv"] = rows["ts_event"] = T0 + np.arange(6) * lc.SECOND
    rows["kind"] = [lc.Kind.TICKER, lc.Kind.TICKER, lc.Kind.LIQUIDATION, lc.Kind.LIQUIDATION, lc.Kind.FEED, lc.Kind.FEED]
    rows["price"], rows["qty"] = [100.0, 0.0, 99.0, 98.0, 0, 0], [7.0, 0.0, 1.0, 2.0, 0, 0]
    rows["aux_qty"], rows["side"] = [0.0, 0.0, 97.5, 0.0, 0, 0], [0, 0, 1, -1, 0, 0]
    rows["flags"], rows["code"] = [16, 8 | 16 | 32 | 64, 0, 0, 4, 0], [0, 0, 0, 0, 2, 1]
    source = tmp_path / "rows.parquet"
    columns = {name: rows[name] for name in rows.dtype.names if name != "instrument"}
    pq.write_table(pa.table(columns | {"symbol": ["X"] * 6, "venue": ["bybit"] * 6}), source)
    assert not store.fill(tmp_path / "a", [source]).broken
    files = sorted((tmp_path / "a" / "bybit").rglob("*.parquet"))
    assert len(files) == 3 and not store.fill(tmp_path / "b", files, formats.Options(venue="bybit", symbol="X")).broken
    first, second = (store.open(tmp_path / name).tape("X").rare for name in "ab")
    assert first.tobytes() == second.tobytes() and len(first) == 6
    for name in ("price", "qty", "aux_qty", "flags", "code", "side"):
        assert first[name].tolist() == rows[name].tolist()


def test_a_book_that_speaks_and_rests_says_its_best_levels_again(tmp_path):
    """A quote would be taken for dead after 10 s though its book was there all the time."""
    lines = ["exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount"]
    for n in range(0, 60_000, 250):  # the same levels every 250 ms for a minute
        at = T0 // 1000 + n * 1000
        lines.append(f"binance-futures,X,{at},{at + 10},101,2,100,3")
    path = tmp_path / "binance-futures_book_snapshot_5_2024-08-05_X.csv"
    path.write_text("\n".join(lines) + "\n")
    with formats.read(path) as reading:
        found = np.concatenate([rows for _, _, rows in reading])
    steps = np.diff(found["ts_recv"])
    assert 19 <= len(found) <= 22 and steps.max() <= 6 * lc.SECOND and set(found["price"]) == {100.0}


def test_a_derivative_ticker_without_a_rate_does_not_state_one(tmp_path):
    at = T0 // 1000
    path = tmp_path / "derivative_ticker.csv"
    path.write_text(
        "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,"
        f"mark_price\nbybit,X,{at},{at},,,,5,,99,100\nbybit,X,{at},{at + 1},,0,,5,,99,100\n"
    )
    with formats.read(path) as reading:
        found = np.concatenate([rows for _, _, rows in reading])
    assert found["flags"].tolist() == [32, 0] and found["aux_qty"].tolist() == [0.0, 0.0] and found["price"].tolist() == [100.0, 100.0]
