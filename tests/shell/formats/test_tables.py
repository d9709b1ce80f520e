"""Event tables: what is in the file comes out, in order; what cannot be used is accounted for, row by row."""

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqcore as lc
from liqshell import formats
from liqshell.cli import main
from liqshell.errors import DataError
from liqshell.formats.event_tables import COLUMNS, is_table, read_tables

DATA = Path(os.environ.get("LIQCORE_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
T0 = 1_772_452_800_000
HEADER = "ts_ms,symbol,position,price,qty_base,notional_usd\n"


def write(folder: Path, rows: str, name: str = "t.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_columns_in_any_order_with_others_between(tmp_path):
    path = write(tmp_path, "x,70000.5,BTCUSDT,0.25,long,17500.125,1700000000123\n", header="note,price,symbol,qty_base,position,notional_usd,ts_ms\n")
    table = read_tables([path])
    event = table.events[0]
    assert event["ts_event"] == event["ts_recv"] - 50_000_000 == 1_700_000_000_123_000_000  # receipt is modelled (docs/formats.md)
    assert (event["price"], event["qty"], event["aux_price"], event["side"]) == (70000.5, 0.25, 17500.125, lc.LONG)
    assert event["kind"] == lc.Kind.LIQUIDATION and table.symbols == ["BTCUSDT"] and table.venues == [""]


def test_rows_are_sorted_and_ties_keep_their_order(tmp_path):
    first = write(tmp_path, f"{T0 + 3},A,long,1,1,1\n{T0 + 1},A,short,2,1,1\n{T0 + 2},A,long,3,1,1\n", "1.csv")
    second = write(tmp_path, f"{T0 + 2},B,short,4,1,1\n{T0 + 1},B,long,5,1,1\n", "2.csv")
    assert list(read_tables([first, second]).events["price"]) == [2.0, 5.0, 3.0, 4.0, 1.0]


def test_decimals_of_a_millisecond_are_exact(tmp_path):
    table = read_tables([write(tmp_path, "1700000000123.4567891,A,long,1,1,1\n1700000000123.,A,long,1,1,1\n1.7e12,A,long,1,1,\n")])
    assert list(table.events["ts_event"]) == [1_700_000_000_000_000_000, 1_700_000_000_123_000_000, 1_700_000_000_123_456_789]
    assert table.events["aux_price"][0] == 0.0


#: not from 2009 to 2116: seconds, microseconds, and what is near to none
TIMES = ("1772452800", "1772452800.5", "1230940799999", "1772452800000000", "1772452800000000.5", "9" * 30, "inf", "nan")


def test_bad_rows_are_skipped_counted_and_named(tmp_path):
    good = f"{T0},A,LONG ,1,1,1\n"
    path = write(
        tmp_path,
        good + f"{T0},A,unknown,1,1,1\n{T0},A,long,nan,1,1\n{T0},A,long,0,1,1\n{T0},A,long,1,-1,1\nx,A,long,1,1,1\n-4,A,long,1,1,1\n"
        f"\n9,A,long\n{T0},,long,1,1,1\n{T0},A,long,1,1,inf\n" + "".join(f"{time},A,long,1,1,1\n" for time in TIMES),
    )
    table = read_tables([path])
    assert len(table.events) == 1 and table.rows == 18
    assert table.skipped == Counter(
        {"time before 2009: another unit?": 4, "time after 2116: another unit?": 4, "not a number": 2}
        | {"out of range": 4, "position is neither long nor short": 1, "too few columns": 1, "no symbol": 1}
    )
    assert table.shown[0] == f"{path}:3: position is neither long nor short: 'unknown'"
    assert len(table.shown) == 5


def test_two_venues_of_one_symbol_stay_apart(tmp_path):
    path = write(
        tmp_path,
        f"{T0},bybit,BTCUSDT,long,1,1,1\n{T0 + 1},okx,BTCUSDT,long,1,1,1\n",
        header="ts_ms,venue,symbol,position,price,qty_base,notional_usd\n",
    )
    table = read_tables([path])
    assert table.symbols == ["BTCUSDT", "BTCUSDT"] and table.venues == ["bybit", "okx"] and list(table.events["instrument"]) == [0, 1]


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("exchange,symbol,side,qty,price,notional_usd,event_ts\n", "missing columns ts_ms, position, qty_base (found: exchange"),
        (HEADER.strip() + ",price\n", "column price appears twice"),
        ("", "the file is empty"),
    ],
)
def test_wrong_headers_say_what_is_missing(tmp_path, header, part):
    with pytest.raises(DataError) as caught:
        read_tables([write(tmp_path, "", header=header)])
    assert part in str(caught.value)


def test_no_usable_row_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="1 x position is neither long nor short"):
        read_tables([write(tmp_path, "1,A,unknown,1,1,1\n")])


@pytest.mark.parametrize("command", ["detect", "agree", "import"])
def test_a_table_in_seconds_and_one_that_is_mostly_refused_are_errors_of_the_file(tmp_path, capsys, command):
    """docs/formats.md, Validation: a time before 2009 is refused, and so is a file of which more than half is."""
    rows = [f"{T0 + 1000 * n},BTCUSDT,long,100,1,100\n" for n in range(30)]
    seconds = write(tmp_path, "".join(f"{T0 // 1000 + n},BTCUSDT,long,100,1,100\n" for n in range(30)), "s.csv")
    mostly = write(tmp_path, "".join([*rows[:10], *(row.replace(",", ";") for row in rows[10:])]), "m.csv")
    half = write(tmp_path, "".join([*rows[:15], *(row.replace("long", "?") for row in rows[15:])]), "h.csv")
    more = ["--store", str(tmp_path / "store")] if command == "import" else []
    for path, found in (
        (seconds, "30 of 30 rows are invalid: 30 x time before 2009: another unit?"),
        (mostly, "20 of 30 rows are invalid: 20 x too few"),
    ):
        status = main([command, str(path), *more])
        told = capsys.readouterr()
        assert status == (1 if command == "import" else 2), path
        assert found in " ".join((told.out + told.err).split()), told
    assert main([command, str(half), *more]) == 0
    with pytest.raises(DataError, match="20 of 30"):  # each file for itself
        read_tables([half, half, mostly])


def test_blank_lines_before_the_header_are_no_rows(tmp_path):
    path = write(tmp_path, f"{T0},A,long,1,1,1\n", header="\n  \r\n" + HEADER)
    assert is_table(path) and read_tables([path]).rows == 1 and formats.sniff(path) == "event_table"
    with formats.read(path) as reading:
        assert [len(found) for _, _, found in reading] == [1]


def test_cut_gzip_and_binary_are_errors(tmp_path):
    whole = gzip.compress((HEADER + "1,A,long,1,1,1\n" * 9999).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-40])
    with pytest.raises(DataError, match=r"cut\.csv\.gz:\d+: the gzip file is damaged"):
        read_tables([tmp_path / "cut.csv.gz"])
    (tmp_path / "bin.csv").write_bytes(HEADER.encode() + b"\xff\x00\x80\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_tables([tmp_path / "bin.csv"])
    with pytest.raises(DataError, match="cannot be read"):
        read_tables([tmp_path / "absent.csv"])


def test_what_is_a_table(tmp_path):
    assert is_table(write(tmp_path, ""))
    for name, raw in (("a.jsonl", b'{"ts":1,"b":2}\n'), ("b.gz", gzip.compress(b'{"ts":1,"b":2}\n')), ("c", b"\x00\xff,"), ("d", b"")):
        (tmp_path / name).write_bytes(raw)
        assert not is_table(tmp_path / name)


NUMBER = st.floats(0.0001, 1e9).map(repr)


@given(
    st.lists(
        st.tuples(
            st.integers(10**12, 10**13).map(str),
            st.sampled_from(["A", "B-C", "1000PEPE"]),
            st.sampled_from(["long", "short"]),
            NUMBER,
            NUMBER,
            NUMBER,
        ),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_is_written_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([COLUMNS, *rows])
    usable = [row for row in rows if 1_230_940_800_000 <= int(row[0]) <= 0x4000000000000000 // 10**6]  # 2009 to 2116
    if not usable or 2 * len(usable) < len(rows) and len(rows) >= 20:  # docs/formats.md, Validation: more than half refused
        with pytest.raises(DataError, match=f"{len(rows) - len(usable)} of {len(rows)} rows are invalid"):
            read_tables([path])
        return
    table = read_tables([path])
    ordered = sorted(usable, key=lambda row: int(row[0]))
    assert list(table.events["ts_event"]) == [int(row[0]) * 1_000_000 for row in ordered]
    assert [table.symbols[i] for i in table.events["instrument"]] == [row[1] for row in ordered]
    for column, field in ((3, "price"), (4, "qty"), (5, "aux_price")):
        assert list(table.events[field]) == [float(row[column]) for row in ordered]


def captures() -> list[Path]:
    return sorted(p for p in DATA.glob("liq-*/*normalized.csv*"))


@pytest.mark.skipif(not captures(), reason=f"no liquidation captures under {DATA} (set LIQCORE_DATA)")
def test_every_capture_against_a_plain_reading():
    for path in captures():
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        usable = sorted((row for row in rows if row["position"] in ("long", "short")), key=lambda row: int(row["ts_ms"]))
        if not usable:
            with pytest.raises(DataError, match=f"{len(rows)} x position is neither long nor short"):
                read_tables([path])
            continue
        table = read_tables([path])
        assert table.rows == len(rows) and len(table.events) == len(usable)
        assert np.array_equal(table.events["aux_price"], [float(row["notional_usd"]) for row in usable])
        assert [table.symbols[i] for i in table.events["instrument"]] == [row["symbol"] for row in usable]
        assert [int(s) for s in table.events["side"]] == [1 if row["position"] == "long" else -1 for row in usable]


@pytest.mark.skipif(not (DATA / "liq-3venue-ethusdt-2026-04").is_dir(), reason=f"no 3-venue capture under {DATA} (set LIQCORE_DATA)")
def test_a_capture_with_other_columns_says_which_are_missing():
    with pytest.raises(DataError, match="missing columns ts_ms, position, qty_base"):
        read_tables([DATA / "liq-3venue-ethusdt-2026-04" / "liquidation_events.csv"])


def latin_1(tmp_path, rows=150):
    lines = [f"{T0 + 1000 * n},ETHUSDT,long,2500,{1 + n % 7},0" for n in range(rows)]
    lines[60:60] = [f"{T0 + 60_500},ÉTH,long,2500,3,0", f"{T0 + 60_600},ETHUSDT,größte,2500,3,0"]
    (tmp_path / "l1.csv").write_bytes((HEADER + "\n".join(lines) + "\n").encode("latin-1"))
    return tmp_path / "l1.csv"


def test_a_name_in_latin_1_costs_its_row(tmp_path):
    """It cost the file, which was then a recording whose first line is not JSON."""
    path = latin_1(tmp_path)
    assert is_table(path)
    table = read_tables([path])
    assert table.symbols == ["ETHUSDT"] and len(table.events) == 150 and table.rows == 152 and table.skipped == {"not UTF-8 text": 2}
    assert table.shown[0].startswith(f"{path}:62: not UTF-8 text: '{T0 + 60_500},\\udcc9TH,long") and table.shown[1].startswith(f"{path}:63: ")
    path.write_bytes(path.read_bytes().replace(b",notional_usd", b",notional_usd,note", 1).replace(b",7,0\n", b",7,0,caf\xe9\n"))
    assert len(read_tables([path]).events) == 150, "what is not read need not be readable"
    (tmp_path / "v.csv").write_text("venue," + HEADER + f"okx,{T0},A,long,1,1,1\n", encoding="utf-8")
    (tmp_path / "v.csv").write_bytes((tmp_path / "v.csv").read_bytes() + f"ökx,{T0},A,long,1,1,1\n".encode("latin-1"))
    assert read_tables([tmp_path / "v.csv"]).venues == ["okx"] and read_tables([tmp_path / "v.csv"]).skipped == {"not UTF-8 text": 1}


def test_detect_and_import_name_it_and_go_on(tmp_path, capsys):
    path = latin_1(tmp_path)
    assert main(["detect", str(path)]) == 0
    told = capsys.readouterr()
    assert f"skipped {path}:62: not UTF-8 text" in told.err and "skipped rows: 2 of 152: not UTF-8 text" in told.err and "150 events" in told.err
    assert main(["import", str(path), "--store", str(tmp_path / "store"), "--quiet"]) == 0
    report = (tmp_path / "store" / "report.json").read_text()
    assert (
        f"the first row that was counted: {path}:62: not UTF-8 text" in capsys.readouterr().err
        and "l1.csv:62: not UTF-8 text" in report
        and '"not UTF-8 text": 2' in report
    )
