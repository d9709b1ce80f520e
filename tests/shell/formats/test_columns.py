"""Column maps: any CSV, JSON lines or Parquet, what is proposed for it, times of the wrong unit, and the layouts that need no map."""

import gzip
import json
import tomllib
from codecs import BOM_UTF8
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from captures import DATA, needs_data
from format_files import BYBIT, LOCAL, MS, T0, events, hft, tuples, write
from liqshell import formats, store
from liqshell.cli import main
from liqshell.errors import ConfigError, DataError
from liqshell.formats import column_map, delimited, table_rows

LONG, SHORT = int(lc.Side.LONG), int(lc.Side.SHORT)
MAP = """
kind = "liquidation"
time = {column = "when", unit = "ms"}
side = {column = "dir", of = "order"}
price = "fill"
size = "lots"
notional = "usd"
symbol = {column = "coin", suffix = "USDT"}
venue = {column = "where", names = {binance = "binance_um"}}
contract_size = {ETHUSDT = 0.1}
"""
ROWS = [(T0 // MS, "SELL", 58000.5, 2, 116001.0, "BTC", "binance"), (T0 // MS + 5, "buy", 2400.25, 10, 2400.25, "ETHUSDT", "okx")]
NAMES = ("when", "dir", "fill", "lots", "usd", "coin", "where")
# side of the forced order: a sell closed a long, a buy closed a short
EXPECTED = [
    (lc.Kind.LIQUIDATION, T0, T0 + 50 * MS, LONG, 58000.5, 2.0, 116001.0, 0.0),
    (lc.Kind.LIQUIDATION, T0 + 5 * MS, T0 + 55 * MS, SHORT, 2400.25, 10.0, 2400.25, 0.0),
]


def mapped(path, text: str = MAP, reading: list | None = None, **options):
    return events(path, reading, columns=column_map.made(tomllib.loads(text), "map"), **options)


def tables(folder):
    """The same two rows in every shape."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    yield write(folder / "a.csv.gz", ",".join(NAMES), *(",".join(map(str, row)) for row in ROWS))
    yield write(folder / "b.jsonl", *(json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS))
    yield write(folder / "c.json", json.dumps([dict(zip(NAMES, map(str, row), strict=True)) for row in ROWS], indent=1))
    columns = {name: list(values) for name, values in zip(NAMES, zip(*ROWS, strict=True), strict=True)}
    pq.write_table(pa.table(columns), folder / "d.parquet")
    yield folder / "d.parquet"
    pq.write_table(pa.table(columns | {"when": pa.array(columns["when"], pa.timestamp("ms", tz="UTC"))}), folder / "e.parquet")
    yield folder / "e.parquet"


def test_a_map_reads_the_same_rows_from_csv_json_and_parquet(tmp_path):
    for path in tables(tmp_path):
        seen: list = []
        assert tuples(mapped(path, reading=seen)) == EXPECTED, path
        assert seen[0].contracts == [("binance_um", "BTCUSDT"), ("okx", "ETHUSDT")] and seen[0].received == "modelled"
        assert seen[0].rules["okx", "ETHUSDT"]["multiplier"] == 0.1 and "multiplier" not in seen[0].rules["binance_um", "BTCUSDT"]


TRADES = MAP.replace("liquidation", "trade").replace('"order"', '"taker"').replace('notional = "usd"\n', "") + 'id = "number"\n'


def numbered(folder, ids, **other):
    """Trades with these ids as CSV, JSON lines and Parquet; other: cells of the last row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [dict(zip(NAMES, (T0 // MS + n, "SELL", 5.5, 2.0, 11.0, "BTC", "okx"), strict=True)) | {"number": number} for n, number in enumerate(ids)]
    rows[-1] |= other
    names = list(rows[0])
    yield write(folder / "a.csv", ",".join(names), *(",".join(str(row[name]) for name in names) for row in rows))
    yield write(folder / "b.jsonl", *map(json.dumps, rows))
    yield write(folder / "c.json", json.dumps(rows, indent=1))
    columns = {name: [row[name] for row in rows] for name in names}
    pq.write_table(pa.table(columns | {"number": pa.array(ids, pa.uint64())}), folder / "d.parquet")
    yield folder / "d.parquet"


@pytest.mark.parametrize("ids", [[7, 1 << 62, (1 << 63) - 1], [7, 1 << 63, (1 << 64) - 1, 9, 9]])
def test_an_id_is_kept_where_there_is_room_for_it_and_counted_where_there_is_none(tmp_path, ids):
    large = sum(number >= 1 << 63 for number in ids)
    for path in numbered(tmp_path, ids):
        seen: list = []
        once = list(dict.fromkeys(ids))  # the same id again is the same row, however large it is
        assert mapped(path, TRADES, seen)["id"].tolist() == [number if number < 1 << 63 else 0 for number in once], path
        assert seen[0].counts["kept: an id of 2^63 or more, without it"] == large, path


MIXED_IDS = ["1", "2", "abc", "3", "x-1", "0x1F", "007", "31", str((1 << 63) - 1), str(1 << 63), str((1 << 64) - 1), str(1 << 64), "0" * 30 + "8"]


def number_of(text: str) -> int:
    """The event's id, in plain Python: a whole number below 2^63, else 0."""
    return int(text) if text.isdecimal() and text.isascii() and int(text) < 1 << 63 else 0


@pytest.mark.parametrize("block", [1 << 16, 100])
@pytest.mark.parametrize("last", ["3", "x-1", "31", "7", "8", str(1 << 64), "fresh", "longer than a word of eight"])
def test_an_id_means_the_same_whatever_the_ids_of_other_rows_and_blocks(tmp_path, monkeypatch, last, block):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for reader in (delimited, table_rows):
        monkeypatch.setattr(reader, "BLOCK_BYTES", block)
    monkeypatch.setattr(table_rows, "BLOCK_ROWS", max(block // 60, 1))
    ids = [*MIXED_IDS, *(f"a name of {'so ' * n}many" for n in range(4)), last]
    rows = [dict(zip(NAMES, (T0 // MS + n, "SELL", 5.5, 2.0, 11.0, "BTC", "okx"), strict=True)) | {"number": text} for n, text in enumerate(ids)]
    csv = ",".join(rows[0]) + "\n" + "\n".join(",".join(map(str, row.values())) for row in rows)
    numbers = {text: int(text) for text in ids if text.isdecimal() and text[0] != "0" and int(text) < 1 << 64}
    whole = [row | {"number": numbers.get(row["number"], row["number"])} for row in rows]
    for name, text in (("a.csv", csv), ("b.jsonl", "\n".join(map(json.dumps, rows))), ("c.jsonl", "\n".join(map(json.dumps, whole)))):
        (tmp_path / name).write_text(text)
        (tmp_path / f"newline-{name}").write_text(text + "\n")
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), tmp_path / "d.parquet")
    known: dict[object, str] = {}  # of one identity: a number by its value, a text by itself
    for text in ids:
        known.setdefault(int(text) if text.isdecimal() else text, text)
    for path in sorted(tmp_path.iterdir()):
        seen: list = []
        assert mapped(path, TRADES, seen)["id"].tolist() == [number_of(text) for text in known.values()], path
        counts = {"the same id again": len(ids) - len(known), "kept: an id of 2^63 or more, without it": 3 + (last == str(1 << 64))}
        assert {name: seen[0].counts[name] for name in counts} == counts, path


@pytest.mark.parametrize("cell", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_costs_its_row_in_every_shape(tmp_path, cell):
    for path in numbered(tmp_path, [1, 2, 3, 4], fill=cell):
        seen: list = []
        assert mapped(path, TRADES, seen)["id"].tolist() == [1, 2, 3], path
        assert seen[0].findings.refused == 1, path


@pytest.mark.parametrize("blank", ["\n", "\r\n \t\n", "\ufeff\n\n"])
def test_blank_lines_before_a_table_are_no_part_of_it(tmp_path, blank):
    for path in list(tables(tmp_path))[:3]:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        path.write_bytes(blank.encode() + raw)
        assert tuples(mapped(path)) == EXPECTED, path
    path = write(tmp_path / "f.csv", blank + ",".join(NAMES), *(",".join(map(str, row)) for row in ROWS), ",".join(["x"] * 7))
    with pytest.raises(DataError, match=rf"f\.csv:{blank.count(chr(10)) + 4}: when: 'x'"):
        mapped(path)


def test_a_nul_byte_is_named(tmp_path):
    path = write(tmp_path / "a.csv", ",".join(NAMES), *(",".join(map(str, row)) for row in ROWS))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + bytes(9))
    with pytest.raises(DataError, match=rf"byte {size} is a NUL \(0x00\)"):
        mapped(path)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_byte_order_mark_is_no_part_of_a_table(tmp_path, shape):
    path = list(tables(tmp_path))[shape]
    path.write_bytes(gzip.compress(BOM_UTF8 + gzip.decompress(path.read_bytes())) if path.suffix == ".gz" else BOM_UTF8 + path.read_bytes())
    assert tuples(mapped(path)) == EXPECTED


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("before", ["", "1722816000000000000 ", "1722816000.5: "])
def test_a_byte_order_mark_does_not_cost_the_first_line_of_frames(tmp_path, packed, before):
    lines = [
        f'{before}{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{T0 // MS},"data":[{{"T":{T0 // MS},"s":"BTCUSDT","S":"Buy","v":"0.{n + 1}","p":"58000.5",'
        f'"i":"6a1b4c5e-0000-5000-8000-{n:012d}"}}]}}\n'
        for n in range(3)
    ]
    path = tmp_path / ("frames.jsonl.gz" if packed is gzip.compress else "frames.jsonl")
    path.write_bytes(packed(BOM_UTF8 + "".join(lines).encode()))
    seen: list = []
    assert len(events(path, seen, venue="bybit")) == 3 and not seen[0].counts


def test_text_that_reads_nan_stays_text(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        *(json.dumps(dict(zip(NAMES, row, strict=True)) | {"coin": "NaN\\"}) for row in ROWS),
        '{"when": NaN, "coin": "-Infinity"}',
    )
    seen: list = []
    assert len(mapped(path, reading=seen, venue="okx")) == 2 and seen[0].symbols[0] == "NaN\\USDT"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(10**7, 5 * 10**7), st.integers(10**3, 10**6)), min_size=1, max_size=40),
    st.sampled_from([(18, 2), (18, 4), (38, 18), (60, 30)]),
)
def test_decimals_of_parquet_become_the_nearest_double(tmp_path_factory, numbers, size):
    import pyarrow as pa
    import pyarrow.parquet as pq

    precision, scale = size
    of = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    prices, sizes = (
        [Decimal(number).scaleb(-places) for number in column] for column, places in zip(zip(*numbers, strict=True), (2, 1), strict=True)
    )
    rows = [(T0 // MS + n, "SELL", "BTC", "okx") for n in range(len(numbers))]
    table = {name: list(values) for name, values in zip(("when", "dir", "coin", "where"), zip(*rows, strict=True), strict=True)}
    path = tmp_path_factory.mktemp("decimals") / "d.parquet"
    pq.write_table(pa.table(table | {"fill": pa.array(prices, of), "lots": pa.array(sizes, of)}), path)
    found = mapped(path, MAP.replace('notional = "usd"\n', ""))
    assert found["price"].tolist() == [float(price) for price in prices] and found["qty"].tolist() == [float(size) for size in sizes]


def test_import_by_a_map_and_columns_shows_the_rows(tmp_path, capsys):
    (tmp_path / "map.toml").write_text(MAP)
    path = next(iter(tables(tmp_path)))
    assert main(["import", str(path), "--columns", str(tmp_path / "map.toml"), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    assert store.open(tmp_path / "s").tape("binance_um:BTCUSDT").events()["aux_price"].tolist() == [116001.0]
    capsys.readouterr()
    assert main(["columns", str(path), "--columns", str(tmp_path / "map.toml")]) == 0
    shown = capsys.readouterr().out
    assert "2024-08-05T00:00:00 received 2024-08-05T00:00:00.05 binance_um:BTCUSDT LONG price 58000.5 size 2 notional 116001" in shown
    # what it prints is a map again, and the same
    (tmp_path / "again.toml").write_text(shown)
    assert column_map.load(tmp_path / "again.toml") == column_map.load(tmp_path / "map.toml")


@pytest.mark.parametrize(
    ("of", "word", "side"),
    [("position", "long", LONG), ("position", "Short", SHORT), ("position", "Buy", LONG), ("order", "Sell", LONG), ("order", "BUY", SHORT)],
)
def test_whose_side_it_is_decides_which_position_was_closed(tmp_path, of, word, side):
    text = MAP.replace('of = "order"', f'of = "{of}"')
    path = write(tmp_path / "a.csv", ",".join(NAMES), ",".join(map(str, (T0 // MS, word, 5, 1, 5, "BTC", "okx"))))
    assert mapped(path, text)["side"].tolist() == [side]


@pytest.mark.parametrize(("of", "word", "side"), [("taker", "buy", LONG), ("taker", "A", SHORT), ("maker", "true", SHORT), ("maker", "False", LONG)])
def test_the_takers_side_of_a_trade(tmp_path, of, word, side):
    text = f'kind = "trade"\ntime = {{column = "t", unit = "s"}}\nside = {{column = "m", of = "{of}"}}\nprice = "p"\nsize = "q"'
    path = write(tmp_path / "a.csv", "t,m,p,q", f"{T0 // 10**9}.25,{word},5,1")
    assert tuples(mapped(path, text, venue="okx", symbol="X")) == [(lc.Kind.TRADE, T0 + 250 * MS, T0 + 300 * MS, side, 5.0, 1.0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("said", "stamp", "likely"),
    [("s", T0 // MS, "ms"), ("ms", T0 // 10**9, "s"), ("us", T0 // MS, "ms"), ("ms", T0, "ns"), ("ns", T0 // 1000, "us"), ("iso", T0 // MS, "ms")],
)
def test_times_of_the_wrong_unit_are_refused_with_the_likely_one(tmp_path, said, stamp, likely):
    path = write(tmp_path / "a.csv", ",".join(NAMES), *(",".join(map(str, (stamp + n, "sell", 5, 1, 5, "BTC", "okx"))) for n in range(5)))
    with pytest.raises(DataError, match=rf'a\.csv:\d.*set unit = "{likely}"'):
        mapped(path, MAP.replace('unit = "ms"', f'unit = "{said}"'))


def test_a_time_without_an_offset_is_that_of_the_zone(tmp_path):
    text = MAP.replace('unit = "ms"', 'unit = "iso", zone = "+05:30"')
    path = write(tmp_path / "a.csv", ",".join(NAMES), "2024-08-05 05:30:00.25,sell,5,1,5,BTC,okx", "2024-08-05T00:00:01Z,sell,5,1,5,BTC,okx")
    assert mapped(path, text)["ts_event"].tolist() == [T0 + 250 * MS, T0 + 1000 * MS]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("1,sell,5,1,5,BTC", r"a\.csv:3: 6 columns.*expected 7"),
        (f"{T0 // MS},sell,5x,1,5,BTC,okx", r"a\.csv:3: fill: '5x'; expected a number"),
        (f"{T0 // MS},sell,5,1,5,,okx", r"a\.csv:3: no symbol"),
    ],
)
def test_a_bad_row_is_named_with_what_was_expected(tmp_path, row, text):
    good = ",".join(map(str, ROWS[0]))
    with pytest.raises(DataError, match=text):
        mapped(write(tmp_path / "a.csv", ",".join(NAMES), good, row, good))


def test_rows_without_a_side_are_counted(tmp_path):
    seen: list = []
    rows = [",".join(map(str, (T0 // MS + n, "sell" if n else "S", 5, 1, 5, "BTC", "okx"))) for n in range(5)]
    assert len(mapped(write(tmp_path / "a.csv", ",".join(NAMES), *rows), reading=seen)) == 4 and seen[0].counts["no side"] == 1


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["kind: is missing; expected trade, liquidation, quote, ticker"]),
        ('kind = "trade"', ["time: is missing", "side: is missing", "price: is missing", "size: is missing"]),
        ('kind = "quote"\ntime = {column = "t", unit = "h"}', ["unit: h, expected one of s, ms, us, ns", "bid: is missing", "ask_size: is missing"]),
        (
            MAP.replace('of = "order"', 'of = "me"') + 'colour = "x"',
            ["of: me, expected the owner of the side: taker, maker, position, order", "colour: no such column"],
        ),
        (MAP + "sort = 1\nheader = 0", ["sort: 1; expected true or false", "header: 0"]),
    ],
)
def test_every_fault_of_a_map_is_named(tmp_path, text, faults):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        column_map.load(tmp_path / "map.toml")
    assert all(fault in str(caught.value) for fault in faults), str(caught.value)


def test_a_file_that_goes_back_is_sorted_and_what_both_parts_say_counts_once(tmp_path):
    """A recorder was started beside itself: both wrote seconds 40 to 59, one of them two trades that are alike."""

    def rows(seconds):
        return [json.dumps({"ts": T0 // MS + 1000 * s, "px": 5.0 + s, "sz": 1.0, "side": "A"}) for s in seconds]

    path = write(tmp_path / "trades_BTC_20240805.jsonl.gz", *rows(range(60)), *rows([59]), *rows(range(40, 80)))
    seen: list = []
    found = events(path, seen)
    assert found["price"].tolist() == [5.0 + s for s in sorted([*range(80), 59])] and seen[0].contracts == [("hyperliquid", "BTC")]
    assert set(found["side"].tolist()) == {SHORT}  # A: the taker sold


def test_bybits_trades_without_a_header_are_those_with_one(tmp_path):
    futures = [
        f"{1722816000 + n}.5,ETHUSDT,{'Buy' if n % 2 else 'Sell'},1,{2400 + n},ZeroMinusTick,{n:08d}-0000-0000-0000-000000000000,1,1,1"
        for n in range(4)
    ]
    spot = [f"{n + 1},{T0 // MS + n},{2400 + n},0.5,{'buy' if n % 2 else 'sell'},0" for n in range(4)]
    for rows, header, name in (
        (futures, BYBIT, "ETHUSDT2024-08-05.csv.gz"),
        (spot, "id,timestamp,price,volume,side,rpi", "ETHUSDT_2024-08-05.csv.gz"),
    ):
        bare, whole = events(write(tmp_path / name, *rows)), events(write(tmp_path / "h" / name, header, *rows))
        assert len(bare) == 4 and bare.tobytes() == whole.tobytes()


def test_book_ticker_rows_of_hftbacktest_are_the_quotes_from_the_first_of_them_on(tmp_path):
    """Codes 103 (bid) and 104 (ask) of its converters. Depth makes the quotes before; afterwards it stands beside them."""
    buy, sell = LOCAL | 1 << 29, LOCAL | 1 << 28
    t = [T0 + n * MS for n in range(9)]
    rows = [
        (1 | buy, t[0], t[1], 5.0, 1.0),
        (1 | sell, t[0], t[1], 6.0, 1.0),
        (103 | LOCAL, t[1], t[2], 5.1, 2.0),
        (104 | LOCAL, t[1], t[2], 5.9, 3.0),
        (1 | buy, t[2], t[3], 5.5, 9.0),
        (2 | buy, t[3], t[4], 5.9, 1.0),
        (103 | buy, t[4], t[5], 5.2, 2.0),
        (104 | sell, t[4], t[5], 5.9, 3.0),
        (103 | LOCAL, t[5], t[5], 5.3, 2.0),
        (104 | LOCAL, t[5], t[5], 5.8, 1.0),
    ]
    seen: list = []
    found = tuples(events(hft(tmp_path / "btcusdt_20240805.npz", rows), seen))
    B, T = lc.Kind.BBO, lc.Kind.TRADE
    assert found == [
        (B, t[0], t[1], 0, 5.0, 1.0, 6.0, 1.0),
        (B, t[1], t[2], 0, 5.1, 2.0, 5.9, 3.0),
        (T, t[3], t[4], LONG, 5.9, 1.0, 0.0, 0.0),
        (B, t[4], t[5], 0, 5.2, 2.0, 5.9, 3.0),
        (B, t[5], t[5], 0, 5.3, 2.0, 5.8, 1.0),
    ]
    assert seen[0].counts["depth beside a bookTicker"] == 1


@pytest.mark.parametrize(("kind", "refused"), [("quote", ""), ("trade", "bars of trades: each is the sum of a minute")])
def test_lean_bars_are_quotes_at_their_end_and_bars_of_trades_are_refused(tmp_path, kind, refused):
    import zipfile

    path = tmp_path / "bybit_minute.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"20240805_btcusdt_minute_{kind}_perp.csv", "0,1,9,1,5,2,1,9,1,6,3\n60000,1,9,1,5.5,2,1,9,1,6.5,3\n")
    assert formats.sniff(path) == "lean"
    if refused:
        with pytest.raises(DataError, match=refused):
            events(path)
        return
    seen: list = []
    minute = 60_000 * MS
    assert tuples(events(path, seen, feed_latency_ms=0)) == [
        (lc.Kind.BBO, T0 + minute, T0 + minute, 0, 5.0, 2.0, 6.0, 3.0),
        (lc.Kind.BBO, T0 + 2 * minute, T0 + 2 * minute, 0, 5.5, 2.0, 6.5, 3.0),
    ]
    assert seen[0].contracts == [("bybit", "BTCUSDT")]


# ---- proposals for the tables at hand, against what their SOURCE.md says of them


@needs_data
@pytest.mark.parametrize(
    ("file", "kind", "entries"),
    [
        (
            "liq-binance-btcusdt-2024-12/liquidation_orders_source.csv.gz",
            "liquidation",
            {"price": "Average Price", "size": "Filled Quantity", "side": ("Side", "order"), "time": ("Trade Time (IST)", "iso"), "symbol": "Symbol"},
        ),
        ("liq-aster-2025-10/liquidations.csv", "liquidation", {"recv": ("timestamp", "iso"), "side": ("side", "order"), "notional": "value"}),
        (
            "liq-3venue-ethusdt-2026-04/liquidation_events.csv",
            "liquidation",
            {"side": ("side", "position"), "recv": ("inserted_ts", "ms"), "time": ("event_ts", "ms")},
        ),
        ("market-hourly-7venues/open_interest.csv.gz", "", {}),
        ("market-binance-oi5m-2025-12_2026-06/BTC_oi_5m.csv.gz", "ticker", {"open_interest": "oi"}),
        ("market-hourly-7venues/funding_rates.csv.gz", "ticker", {"funding": "funding_rate", "venue": "venue", "symbol": "coin"}),
        (
            "liq-binance-allmarket-2024-08/large_aggtrades_2024-08-15_16.csv.gz",
            "trade",
            {"price": "4", "size": "5", "side": ("7", "maker"), "time": ("6", "ms")},
        ),
    ],
)
def test_what_is_proposed_for_the_tables_at_hand(file, kind, entries):
    from liqshell.formats.proposal import propose

    found = propose(DATA / file)
    if not kind:
        assert found.map is None and found.lacking
        return
    assert found.map is not None and found.map.kind == kind
    for name, wanted in entries.items():
        entry = found.map.columns[name]
        assert (entry.column, entry.unit or entry.of) == wanted if isinstance(wanted, tuple) else entry.column == wanted


def test_columns_of_names_that_nobody_foresaw(tmp_path, capsys):
    """Sides are seen in the values; where something is lacking the map as far as it goes is TOML, and the columns left over are shown."""
    from liqshell import cli
    from liqshell.formats import column_map

    rows = [(1772409600.5 + n, "BTC-PERP", ("LONG", "SHORT")[n % 2], 50_000 + n, 1000 + n) for n in range(40)]
    whole, part = tmp_path / "mine.csv", tmp_path / "part.csv"
    whole.write_text("received,pair,who,px,amount_usd\n" + "".join(f"{t},{s},{side},{p},{usd}\n" for t, s, side, p, usd in rows))
    assert cli.main(["columns", str(whole), "--venue", "okx"]) == 1  # no name says what the rows are: it asks
    out = capsys.readouterr().out
    found = column_map.made(tomllib.loads(out), "out")
    assert found.kind == "liquidation" and found.columns["side"].of == "position" and found.columns["notional"].column == "amount_usd"
    assert "# to be decided: kind: taken as liquidations" in out and out.count("# mine.csv:") == 10 and "LONG price 50000 " in out
    part.write_text("received,pair,who,level\n" + "".join(f"{t},{s},{side},{p}\n" for t, s, side, p, _ in rows))
    assert cli.main(["columns", str(part)]) == 1
    out = capsys.readouterr().out
    assert tomllib.loads(out)["side"] == {"column": "who", "of": "position"} and "# not used: level, such as 50000, 50001, 50002" in out
    assert "# to be added: price" in out and "# to be added: venue" in out


@needs_data
def test_the_proposal_gives_the_normalized_table():
    """BTCUSDT forceOrders: upstream's columns by the proposed map against the table that was made of them by hand."""
    from liqshell.formats.proposal import propose

    folder = DATA / "liq-binance-btcusdt-2024-12"
    source = folder / "liquidation_orders_source.csv.gz"
    found = events(source, columns=propose(source).map, venue="binance_um")
    wanted = events(folder / "liquidations_normalized.csv.gz")
    assert len(found) == len(wanted) == 1097
    for name in ("ts_event", "side", "price", "qty"):
        assert (found[name] == wanted[name]).all()
    assert np.allclose(found["price"] * found["qty"], wanted["aux_price"], rtol=1e-9)


@pytest.mark.parametrize(
    ("texts", "zone", "ns"),
    [
        (["2024-08-05T00:00:00.123457001Z", "2024-08-05T00:00:01Z"], "", [123_457_001, 1_000_000_000]),
        (["2024-08-05 00:00:00.123457001", "2024-08-05 00:00:00.5"], "", [123_457_001, 500_000_000]),
        (["2024-08-05 05:30:00.000000009", "2024-08-05 05:30:01"], "+05:30", [9, 1_000_000_000]),
        (["2024-08-05T05:30:00.000000009+05:30", "2024-08-05T00:00:00.25Z"], "", [9, 250_000_000]),
        (["20240805T000000.000000007", "2024-08-05T00:00:00,5"], "", [7, 500_000_000]),
        (["2024-08-05T00:00:00.1234567899Z"], "", [123_456_789]),
    ],
)
def test_a_time_in_text_keeps_its_nanoseconds(tmp_path, texts, zone, ns):
    said = f'unit = "iso", zone = "{zone}"' if zone else 'unit = "iso"'
    path = write(tmp_path / "a.csv", ",".join(NAMES), *(f'"{text}",sell,5,1,5,BTC,okx' for text in texts))
    assert (mapped(path, MAP.replace('unit = "ms"', said))["ts_event"] - T0).tolist() == sorted(ns)


def test_times_in_text_are_read_at_once_as_one_by_one():
    """The array way gives what the single way gives, or nothing."""
    from liqshell.iso import all_ns, written_ns

    draw = np.random.default_rng(7)
    base = [
        "2024-08-05T00:00:00",
        "2024-02-29 23:59:59.123456789",
        "2024-02-30T00:00:00",
        "today",
        "2024-08-05T24:00:00",
        "2024-08-05T00:00:60",
        "1970-01-01T00:00:00",
        "2024-08-05T0٣:00:00",
        "3024-08-05T00:00:00",
        "2024-08-05T00:00:00.",
        "2024-08-05T00:00:00.1",
        "2024-08-05T00:00:00.1Z2",
        "2024-8-05T00:00:00.12",
    ]
    for _ in range(400):
        texts = [
            base[n] + ("Z" if z else "")
            for n, z in zip(draw.integers(0, len(base), 3), draw.integers(0, 2, 3) if draw.random() < 0.5 else [0] * 3, strict=True)
        ]
        found = all_ns(texts, "+02:00")
        if found is not None:
            assert found.tolist() == [written_ns(text, "+02:00") for text in texts], texts
    assert all_ns(["2024-02-29 23:59:59.123456789", "2024-08-05T00:00:00"]) is not None
