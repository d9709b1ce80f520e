"""Broken files: named with the place and what was expected there, never half read in silence, never another error than DataError."""

import gzip
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from format_files import AGG, BUY, BYBIT, LOCAL, MS, SNAPSHOT, T0, TARDIS_L2, TARDIS_PRINTS, TARDIS_QUOTES, damaged, events, hft, write
from liqshell import formats
from liqshell.errors import DataError

US = T0 // 1000


def rows(count: int) -> list[str]:
    return [f"bybit,X,{US + n},{US + n},{n + 1},buy,{100 + random.Random(n).random():.4f},1" for n in range(count)]


def test_a_row_with_another_number_of_columns_is_named_by_its_line(tmp_path):
    lines = rows(400)
    lines[250] += ",extra"
    with pytest.raises(DataError, match=r"trades\.csv:252: 9 columns.*; expected 8: exchange,symbol"):
        events(write(tmp_path / "trades.csv", TARDIS_PRINTS, *lines))


def test_a_line_that_is_cut_off_at_the_end_is_named(tmp_path):
    path = write(tmp_path / "trades.csv", TARDIS_PRINTS, *rows(50))
    path.write_bytes(path.read_bytes()[:-25])
    with pytest.raises(DataError, match=r"trades\.csv:51: "):
        events(path)


@pytest.mark.parametrize(("cell", "text"), [("12x", "local_timestamp: '12x'; expected a whole number"), ("9" * 30, "expected a whole number")])
def test_a_cell_that_is_no_number_is_named_by_line_and_column(tmp_path, cell, text):
    lines = rows(20)
    lines[7] = f"bybit,X,{US},{cell},,buy,5,1"
    with pytest.raises(DataError, match=r"trades\.csv:9: " + text.replace("(", r"\(") if text.startswith("local") else text):
        events(write(tmp_path / "trades.csv", TARDIS_PRINTS, *lines))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_gzip_that_is_cut_is_an_error_whatever_was_read_before(tmp_path, share):
    path = write(tmp_path / "trades.csv.gz", TARDIS_PRINTS, *rows(5000))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"trades\.csv\.gz: the compressed file is damaged or incomplete"):
        events(path)


def test_a_gzip_with_a_flipped_byte_and_a_zip_with_one(tmp_path):
    for name in ("trades.csv.gz", "BTCUSDT-aggTrades-2024-08-05.zip"):
        lines = rows(3000) if name.endswith("gz") else [f"{n},{100 + n % 7},1,1,1,{T0 // MS + n},true" for n in range(3000)]
        path = write(tmp_path / name, TARDIS_PRINTS if name.endswith("gz") else AGG, *lines)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x55
        path.write_bytes(bytes(data))
        with pytest.raises(DataError):
            events(path)


def test_a_zip_of_two_files_and_an_empty_one(tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "y")
    with pytest.raises(DataError):
        formats.sniff(path)
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match="empty file"):
        formats.sniff(tmp_path / "empty.csv")
    with pytest.raises(DataError, match="no such file"):
        formats.sniff(tmp_path / "none.csv")


def test_an_npz_whose_array_ends_early(tmp_path):
    path = hft(tmp_path / "btcusdt_20240805.npz", [(2 | LOCAL | BUY, T0 + n, T0 + n, 5.0, 1.0) for n in range(100)])
    array = np.load(path)["data"]
    whole = tmp_path / "btcusdt_20240806.npy"
    np.save(whole, array)
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"row 98: the array ends here; expected 100 rows"):
        events(whole)


def test_a_parquet_that_is_cut_and_one_of_other_columns(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"ts_recv": [T0], "kind": ["TRADE"], "symbol": ["X"], "side": ["BUY"], "price": [1.0], "qty": [1.0]}), path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(DataError, match="not a Parquet file"):
        formats.read(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="columns a; expected ts_recv"):
        formats.read(path)


def test_a_header_that_is_almost_right_is_refused(tmp_path):
    with pytest.raises(DataError, match="no known format; it begins 'exchange,symbol,timestamp,local_time,"):
        formats.sniff(write(tmp_path / "trades.csv", TARDIS_PRINTS.replace("local_timestamp", "local_time"), *rows(3)))


def samples(folder):
    """One good file of every format, small."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    yield write(folder / "trades.csv", TARDIS_PRINTS, *rows(30))
    yield write(folder / "liquidations.csv.gz", TARDIS_PRINTS, *rows(30))
    yield write(folder / "q.csv", TARDIS_QUOTES, *(f"bybit,X,{US + n},{US + n},1,6,5,1" for n in range(30)))
    yield write(folder / "l2.csv", TARDIS_L2, *(f"bybit,X,{US + n},{US + n},true,{'bid' if n % 2 else 'ask'},{9 + n % 2 * -2},1" for n in range(30)))
    yield write(folder / "BTCUSDT-aggTrades-2024-08-05.zip", AGG, *(f"{n},{100 + n % 7},1,1,1,{T0 // MS + n},true" for n in range(30)))
    yield write(
        folder / "BTCUSDT-liquidationSnapshot-2024-08-05.csv",
        SNAPSHOT,
        *(f"{T0 // MS + n},SELL,LIMIT,IOC,7,57900,58000.5,FILLED,6,7" for n in range(30)),
    )
    yield write(folder / "BTCUSDT2024-08-05.csv.gz", BYBIT, *(f"{1722816000 + n}.5,X,Buy,1,{100 + n},Z,{n:036d},1,1,1" for n in range(30)))
    yield write(folder / "table.csv", "ts_ms,symbol,position,price,qty_base,notional_usd", *(f"{T0 // MS + n},X,long,5,1,5" for n in range(30)))
    yield hft(folder / "xusdt_20240805.npz", [(2 | LOCAL | BUY, T0 + n, T0 + n, 5.0, 1.0) for n in range(30)])
    path = folder / "x.parquet"
    pq.write_table(
        pa.table(
            {
                "ts_recv": [T0 + n for n in range(30)],
                "kind": ["TRADE"] * 30,
                "symbol": ["X"] * 30,
                "side": ["BUY"] * 30,
                "price": [1.0] * 30,
                "qty": [1.0] * 30,
            }
        ),
        path,
    )
    yield path
    line = (
        '{"ts":%d,"exchange":"bybit","source":"ws","stream":"publicTrade.X","symbol":"X","result":{"topic":"publicTrade.X","type":"snapshot","ts":%d,"data":['
        '{"T":%d,"s":"X","S":"Sell","v":"1","p":"5","i":"a","BT":false}]}}'
    )
    yield write(folder / "x.jsonl.gz", *(line % ((T0 // MS + n,) * 3) for n in range(30)))
    yield write(folder / "y.jsonl", *(line % ((T0 // MS + n,) * 3) for n in range(30)))


@pytest.mark.parametrize("where", [0, 1], ids=["in the file's own header", "in the list of files"])
def test_a_zip_whose_file_has_a_name_that_is_no_text_is_refused(tmp_path, where):
    """Both places say UTF-8 (bit 11 of the flags), and zipfile believes it."""
    path = write(tmp_path / "trades.zip", "a,b", "1,2")
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02") if where else 0
    name = data.find(b"trades.csv", at)
    data[at + (9 if where else 7)] |= 0x08
    data[name] = 0x83
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"trades\.zip: the compressed file is damaged or incomplete .*not text"):
        events(path)


NAMES = (
    "trades.csv",
    "liquidations.csv.gz",
    "q.csv",
    "l2.csv",
    "BTCUSDT-aggTrades-2024-08-05.zip",
    "BTCUSDT-liquidationSnapshot-2024-08-05.csv",
    "BTCUSDT2024-08-05.csv.gz",
    "table.csv",
    "xusdt_20240805.npz",
    "x.parquet",
    "x.jsonl.gz",
    "y.jsonl",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    found = {path.name: path for path in samples(folder)}
    assert tuple(found) == NAMES
    for path in found.values():
        assert len(events(path)) >= 1, path
    return {name: path.read_bytes() for name, path in found.items()}


def survives(path) -> None:
    """Read or refused; nothing else."""
    try:
        found = events(path)
    except DataError as why:
        assert path.name.split(".")[0] in str(why) and len(str(why)) < 4000
    else:
        assert found.dtype == lc.EVENT_DTYPE


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 1 << 30), inside=st.booleans())
def test_damaged_files_are_read_or_refused_and_nothing_else(good, tmp_path_factory, name, seed, inside):
    """Cut, bytes overwritten, pieces doubled; of gzips also the text inside."""
    draw = random.Random(seed)
    packed = inside and name.endswith(".gz")
    data = damaged(gzip.decompress(good[name]) if packed else good[name], draw)
    path = tmp_path_factory.mktemp("bad") / name
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    survives(path)


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    data=st.binary(max_size=300),
    magic=st.sampled_from([b"", b"\x1f\x8b\x08\0", b"PK\x03\x04", b"PAR1", b"\x28\xb5\x2f\xfd", b"\x93NUMPY\x01\0", b"{"]),
)
def test_rubbish_is_refused(tmp_path_factory, name, data, magic):
    path = tmp_path_factory.mktemp("rubbish") / name
    path.write_bytes(magic + data)
    survives(path)


@pytest.mark.parametrize("format", formats.FORMATS)
def test_rubbish_is_refused_also_where_the_caller_insists_on_a_format(tmp_path, format):
    for n, data in enumerate([b"", b"hello\n", b"\x1f\x8b\x08\0rubbish", b"PK\x03\x04rubbish", b"\0" * 1000, b"a,b\n1,2\n"]):
        path = tmp_path / f"BTCUSDT-trades-2024-08-0{n}.csv"
        path.write_bytes(data)
        with pytest.raises(DataError):
            for _ in formats.read(path, formats.Options(symbol="X"), format):
                pass
