"""Damaged captures and tables: each is read, with what was refused counted, or refused with its name; nothing else happens, and nothing is made up.
Of what is packed, every other file is damaged inside, so that it does not end at the checksum of its packing.
`python -m pytest -m campaign tests/shell/venues/test_fuzz_captures.py` damages each 10^5 times, or for a tenth of LIQCORE_CAMPAIGN_SECONDS."""

import gzip
import io
import itertools
import json
import math
import random
import tomllib
import zipfile
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_captures import LINEAR, SPOT, connect, recv, trade
from test_columns import MAP, NAMES, ROWS

import liqcore as lc
from campaigns import cases
from campaigns import seed as campaign_seed
from format_files import AGG, BYBIT, LOCAL, MS, T0, damaged, events, hft, tuples, write
from hyperliquid_ledger import Ledger, by_block, by_fill
from hyperliquid_ledger import write as pack
from liqshell.errors import ConfigError, DataError
from liqshell.formats import column_map
from liqshell.formats.proposal import propose

MAPPED = column_map.made(tomllib.loads(MAP), "map")
FORCED = '{"e":"forceOrder","E":1722816000001,"o":{"s":"BTCUSD_PERP","S":"SELL","o":"LIMIT","f":"IOC","q":"2","p":"58000","ap":"58100","X":"FILLED","l":"2","z":"2","T":1722816000000}}'
QUOTE = '{"stream":"btcusdt@bookTicker","data":{"u":5,"s":"BTCUSDT","b":"5","B":"1","a":"6","A":"1"}}'
SAMPLES = (
    "BYBIT.ws.1.0",
    "BYBIT.ws.2.0.gz",
    "v3.jsonl",
    "collector.txt",
    "page.json",
    "okx.json",
    "table.csv",
    "table.jsonl",
    "table.json",
    "table.parquet",
    "trades_BTC_20240805.jsonl",
    "l2_BTC_20240805.jsonl",
    "ctx_BTC_20240805.jsonl",
    "blocks.lz4",
    "fills.lz4",
    "aggs.csv",
    "BTCUSDT-aggTrades-2024-08-05.csv",
    "forced.csv",
    "forced.jsonl",
    "quotes.zip",
    "binance_margin_interest_btcusdt.csv",
    "btcusdt_20240805.npy",
    "btcusdt_20240805.npz",
    "ETHUSDT2024-08-05.csv",
    "BTCUSDT2024-08-05.csv",
    "ob.data.zip",
)
PACKED = (".gz", ".lz4", ".zip", ".npz")


def archived(path, ms: int, name: str) -> None:
    """A file in a zip archive: quotes by the minute, or an order book."""
    book = {
        "topic": "orderbook.500.X",
        "type": "snapshot",
        "ts": ms,
        "data": {"s": "X", "b": [["5", "1"]], "a": [["6", "1"]], "u": 1, "seq": 1},
        "cts": ms,
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "20240805_btcusdt_minute_quote_perp.csv" if name == "quotes.zip" else "x.data",
            "0,1,9,1,5,2,1,9,1,6,3\n60000,1,9,1,5.5,2,1,9,1,6.5,3\n" if name == "quotes.zip" else f"{json.dumps(book)}\n" * 3,
        )


def make(folder, name: str) -> bytes:
    """A small good file."""
    ms, path = T0 // MS, folder / name
    rows = [dict(zip(NAMES, row, strict=True)) for row in ROWS * 4]
    if name.startswith("BYBIT.ws"):
        write(
            path,
            f"{SPOT} <-> 1722816000.5",
            f"{SPOT} <- 1722816000.6: {{}}",
            *(f"1722816001.{n}23456: {trade(ms + n)}" for n in range(5)),
            f"{LINEAR} <-> 1722816000.6",
            *(f"1722816001.{n}: {trade(ms + n)}" for n in range(5)),
        )
    elif name == "v3.jsonl":
        write(
            path,
            connect("B.ws.1", LINEAR),
            *(recv("B.ws.1", ms + 1000 * n, trade(ms + 1000 * n)) for n in range(9)),
            connect("B.ws.2", SPOT),
            *(recv("B.ws.2", ms + 1000 * n, trade(ms + 1000 * n)) for n in range(9)),
        )
    elif name == "collector.txt":
        write(path, *(f"{T0 + n} {frame}" for n, frame in enumerate([FORCED, QUOTE, trade(ms)] * 3)))
    elif name == "page.json":
        one = {"execId": "a", "symbol": "X", "price": "5", "size": "3", "side": "Buy", "time": str(ms), "isBlockTrade": False}
        path.write_text(json.dumps({"retCode": 0, "result": {"category": "linear", "list": [one] * 3}}, indent=1))
    elif name == "okx.json":
        one = {"side": "sell", "posSide": "long", "bkPx": "58000", "sz": "13", "bkLoss": "0", "ccy": "", "ts": str(ms)}
        path.write_text(json.dumps({"code": "0", "data": [{"instType": "SWAP", "instId": "BTC-USDT-SWAP", "details": [one, one]}]}, indent=1))
    elif name == "table.csv":
        write(path, ",".join(NAMES), *(",".join(map(str, row.values())) for row in rows))
    elif name == "table.jsonl":
        write(path, *map(json.dumps, rows))
    elif name == "table.json":
        path.write_text(json.dumps(rows, indent=1))
    elif name == "table.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.startswith("trades_"):
        write(path, *(json.dumps({"ts": ms + 9000 * (n % 7), "px": 5.0, "sz": 1.0 + n, "side": "AB"[n % 2]}) for n in range(9)))
    elif name.startswith("l2_"):
        write(path, *(json.dumps({"ts": ms + n, "bids": [[5, 1], [4, 1]], "asks": [[6, 1 + n]]}) for n in range(9)))
    elif name.startswith("ctx_"):
        write(path, *(json.dumps({"ts": ms + 60_000 * n, "funding": -1e-5, "oi": 31.0 + n, "mark": 5.5, "oracle": 5.6}) for n in range(9)))
    elif name.endswith(".lz4"):
        pack(path, (by_block if name == "blocks.lz4" else by_fill)(Ledger(9, datetime.fromtimestamp(T0 / 1e9, UTC)).run(6)))
    elif name == "BTCUSDT-aggTrades-2024-08-05.csv":
        write(path, AGG, *(f"{n + 1},5.5,1.0,{n + 1},{n + 1},{ms + n},{str(bool(n % 2)).lower()}" for n in range(9)))
    elif name == "BTCUSDT2024-08-05.csv":
        write(path, BYBIT, *(f"{1722816000 + n}.5,BTCUSDT,Sell,1,{58000 + n},MinusTick,{n:08d}-0000-0000-0000-000000000000,1,1,1" for n in range(9)))
    elif name == "forced.jsonl":
        write(path, *(FORCED.replace("1722816000", str(1722816000 + n)) for n in range(9)))
    elif name == "aggs.csv":
        write(path, *(f"{ms + n}, BTCUSDT, {n + 1}, 5.5, 1.0,{ms + n}, {bool(n % 2)}" for n in range(9)))
    elif name == "forced.csv":
        write(path, *(f"BTC,BUY,LIMIT,IOC,2,5.5,5.4,FILLED,1,2,{ms + n},10" for n in range(9)))
    elif name in ("quotes.zip", "ob.data.zip"):
        archived(path, ms, name)
    elif "margin" in name:
        write(path, *(f"20240805 {n:02}:00:00,-0.0001" for n in range(9)))
    elif name.startswith("btcusdt"):
        hft(folder / "btcusdt_20240805.npz", [(103 + n % 2 | LOCAL, T0 + n // 2, T0 + n // 2, 5.0 + n % 2, 1.0) for n in range(20)])
        if name.endswith(".npy"):
            np.save(path, np.load(folder / "btcusdt_20240805.npz")["data"])
    else:
        write(path, *(f"{1722816000 + n}.5,ETHUSDT,Buy,1,{2400 + n},ZeroMinusTick,{n:08d}-0000-0000-0000-000000000000,1,1,1" for n in range(9)))
    return path.read_bytes()


def options(name: str) -> dict:
    return {"columns": MAPPED} if name.startswith("table") else {"venue": "binance_um"} if name in ("aggs.csv", "forced.csv", "quotes.zip") else {}


def damaged_inside(good: bytes, name: str, draw: random.Random) -> bytes:
    """What is packed is damaged and packed again."""
    if name.endswith(".gz"):
        return gzip.compress(damaged(gzip.decompress(good), draw), 1)
    if name.endswith(".lz4"):
        codec, packed = pa.Codec("lz4"), pa.input_stream(pa.BufferReader(good), compression="lz4").read()
        return codec.compress(damaged(packed, draw), asbytes=True)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as archive, zipfile.ZipFile(out, "w") as made:
        for member in archive.namelist():
            made.writestr(member, damaged(archive.read(member), draw))
    return out.getvalue()


def attack(folder, name: str, seeds: range) -> tuple[int, int]:
    """(read, refused) of so many damaged files."""
    good, read = make(folder, name), 0
    whole = events(folder / name, **options(name))
    assert len(whole) >= 1, name
    path = folder / "bad" / name
    path.parent.mkdir(exist_ok=True)
    for seed in seeds:
        inside = seed % 2 == 0 and name.endswith(PACKED)
        path.write_bytes(damaged_inside(good, name, random.Random(seed)) if inside else damaged(good, random.Random(seed)))
        seen: list = []
        try:
            found = events(path, seen, **options(name))
            assert found.dtype == lc.EVENT_DTYPE and len(found) <= 10 * len(whole), (name, seed)
            priced = found[found["kind"] != lc.Kind.TICKER]
            assert (priced["price"][priced["kind"] != lc.Kind.FEED] > 0).all() and (found["ts_recv"] > T0 // 2).all(), (name, seed)
            read += 1
        except DataError as why:
            assert path.name in str(why) and len(str(why)) < 4000, (name, seed, why)
        if name.startswith(("table", "aggs", "forced", "l2")) and seed % 10 == 0:
            try:
                propose(path)
            except DataError as why:
                assert path.name in str(why), (name, seed, why)
    return read, len(seeds) - read


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_captures_are_read_or_refused(tmp_path, name):
    read, refused = attack(tmp_path, name, range(60))
    assert read + refused == 60 and refused > 0


def test_a_header_as_python_2_wrote_it_is_read_without_a_warning(tmp_path):
    """NumPy warns of it (found by the campaign): the shape is a long integer."""
    whole = hft(tmp_path / "btcusdt_20240805.npz", [(103 | LOCAL, T0, T0, 5.0, 1.0), (104 | LOCAL, T0, T0, 6.0, 1.0)] * 10)
    path = tmp_path / "btcusdt_20240806.npy"
    np.save(path, np.load(whole)["data"])
    old = path.read_bytes()
    path.write_bytes(old.replace(b"(20,), } ", b"(20L,), }", 1))
    assert path.read_bytes() != old and tuples(events(path)) == tuples(events(whole))


def batches(seed):
    """Ranges of seeds, 10^5 in all, or as many as a campaign has time for."""
    for n in itertools.islice(cases(math.inf, gate=20, share=0.1), 2000):
        yield range(seed + 50 * n, seed + 50 * n + 50)


@pytest.mark.campaign
@pytest.mark.parametrize("name", SAMPLES)
def test_campaign(tmp_path, name):
    seed, read, refused = campaign_seed(), 0, 0
    for seeds in batches(seed):
        found = attack(tmp_path, name, seeds)
        read, refused = read + found[0], refused + found[1]
    print(f"campaign: {name} seed={seed} files={read + refused} read={read} refused={refused}")
    assert read + refused > 0


def attack_maps(folder, seeds: range) -> int:
    """How many of so many damaged maps were read; a map that is read says the same when it is written and read again."""
    path, read = folder / "map.toml", 0
    for seed in seeds:
        path.write_bytes(damaged(MAP.encode(), random.Random(seed)))
        try:
            found = column_map.load(path)
        except ConfigError as why:
            assert "map.toml" in str(why), (seed, why)
        else:
            assert column_map.made(tomllib.loads(found.text()), "again") == found, seed
            read += 1
    return read


def test_a_damaged_map_is_read_or_every_fault_named(tmp_path):
    assert 0 < attack_maps(tmp_path, range(200)) < 200


@pytest.mark.campaign
def test_campaign_of_maps(tmp_path):
    seed, read, count = campaign_seed(), 0, 0
    for seeds in batches(seed):
        read, count = read + attack_maps(tmp_path, seeds), count + len(seeds)
    print(f"campaign: map.toml seed={seed} files={count} read={read} refused={count - read}")
