"""Plain rows of CSV, read in C: the columns that Python's own csv, int and float give, and what pyarrow makes of the block; else a refusal."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore.codec.plain_rows import plain_rows
from liqshell.formats import delimited
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT, Layout

KINDS = {"i": INTEGER, "n": NUMBER, "w": LABEL, "t": TEXT}
DIGITS = st.text("0123456789", min_size=1, max_size=9)
WORDS = st.text("abcXYZ0189-_:. /", min_size=1, max_size=40)
CELLS = {
    "i": st.integers(0, 10**16 - 1).map(str),
    "n": st.builds(
        lambda sign, whole, point: sign + whole + (f".{point}" if point else ""), st.sampled_from(["", "-"]), DIGITS, DIGITS | st.just("")
    ),
    "w": st.sampled_from(["true", "false", "BTCUSDT", "1000PEPEUSDT", "x" * 31]),
    "t": WORDS,
    "-": st.text("abc019.- ", max_size=60),
}
STRANGE = st.sampled_from(
    [
        "",
        '"a,b"',
        '"',
        'a"b',
        "+1",
        "1e5",
        ".5",
        "5.",
        "nan",
        "inf",
        "007",
        "-0",
        "0x10",
        " 1",
        "1 ",
        "ä",
        "\ufffd",
        "\0",
        "a\0b",
        "\t",
        "\r",
        "1" * 17,
    ]
    + ["9" * 30, "0.30000000000000004", "9007199254740993", "90071992547409.93", "x" * 32, "-", "--1", "1.2.3", "\n", "\r\n", "\x1f", "\x7f"]
)


def layout_of(kinds: str, delimiter: str = ",") -> Layout:
    return Layout(tuple(f"c{n}" for n in range(len(kinds))), {f"c{n}": KINDS[k] for n, k in enumerate(kinds) if k != "-"}, False, delimiter)


def table_of(kinds: str, data: bytes, delimiter: str = ","):
    """(what the fast reader makes of it, what pyarrow does); None: refused."""
    layout = layout_of(kinds, delimiter)
    columns, _ = plain_rows(data, kinds, delimiter)
    fast = delimited._parser(pa, layout)(data)[0] if columns is not None else None
    try:
        slow = delimited._by_arrow(data, layout)
    except pa.ArrowInvalid:
        slow = None
    return fast, slow


def values(table) -> list[list]:
    return [[repr(value) for value in table.column(name).to_pylist()] for name in sorted(table.column_names)]  # repr: -0.0 is not 0.0


@given(st.data(), st.text("intw-", min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]))
def test_plain_rows_are_read_as_python_reads_them(data, kinds, delimiter):
    if kinds.strip("-") == "":
        kinds += "n"
    rows = data.draw(st.lists(st.tuples(*(CELLS[kind] for kind in kinds)), min_size=1, max_size=30))
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    columns, count = plain_rows(text.encode(), kinds, delimiter)
    assert count == len(rows)
    exact = all(len(cell.strip("-").replace(".", "")) < 16 for row in rows for cell, kind in zip(row, kinds, strict=True) if kind == "n")
    assert (columns is not None) or not exact
    if columns is None:
        return
    found = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    fast, slow = table_of(kinds, text.encode(), delimiter)
    make = {"i": int, "n": float, "w": str, "t": str}
    for n, kind in enumerate(kinds):
        if kind != "-":
            assert [repr(x) for x in fast.column(f"c{n}").to_pylist()] == [repr(make[kind](row[n])) for row in found]
    assert values(fast) == values(slow)


@given(st.data(), st.text("intw-", min_size=1, max_size=5))
def test_a_strange_cell_is_refused_or_read_as_pyarrow_reads_it(data, kinds):
    if kinds.strip("-") == "":
        kinds += "t"
    rows = data.draw(st.lists(st.lists(st.one_of(STRANGE, *(CELLS[kind] for kind in kinds)), min_size=1, max_size=len(kinds) + 1), max_size=8))
    good = data.draw(st.lists(st.tuples(*(CELLS[kind] for kind in kinds)), max_size=8))
    lines = [",".join(row) for row in [*rows, *good]]
    data.draw(st.randoms(use_true_random=False)).shuffle(lines)
    text = "\n".join(lines).encode() + data.draw(st.sampled_from([b"\n", b"", b"\r\n"]))
    fast, slow = table_of(kinds, text)
    if fast is not None:
        assert slow is not None and values(fast) == values(slow)


@given(st.data(), st.integers(1, 200))
def test_a_damaged_byte_is_refused_or_read_as_pyarrow_reads_it(data, rows):
    text = bytearray(b"".join(b"60%05d,104%03d.%d,0.%03d,17487360000%02d,%s\n" % (n, n, n % 10, n % 1000, n % 100, b"true") for n in range(rows)))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    fast, slow = table_of("inniw", bytes(text))
    if fast is not None:
        assert slow is not None and values(fast) == values(slow)


def test_every_length_of_the_last_line_and_every_place_near_the_end():
    """The reader looks 64 bytes ahead: the last bytes of a block are read in a copy."""
    for pad in range(140):
        for kinds, row in (("-n", b"x" * pad + b",1.25\n"), ("tn", b"y" * (pad + 1) + b",-7\n"), ("nw", b"3,%s\n" % (b"z" * (pad % 31 + 1)))):
            for rows in (1, 2, 3):
                fast, slow = table_of(kinds, row * rows)
                assert fast is not None and fast.num_rows == rows and values(fast) == values(slow)


@pytest.mark.parametrize("words", [512, 513])
def test_more_words_than_a_column_has_room_for_are_left_to_pyarrow(words):
    data = b"".join(b"S%d\n" % n for n in range(words))
    fast, slow = table_of("w", data)
    assert (fast is not None) == (words <= 512)
    assert slow.num_rows == words and (fast is None or values(fast) == values(slow))


def test_what_cannot_be_plain():
    assert plain_rows(b"", "n", ",") == (None, 0)
    assert plain_rows(b"1,2\n3,4", "nn", ",") == (None, 1)
    assert plain_rows(b"1\n", "n" * 65, ",") == (None, 1)
    with pytest.raises(TypeError):
        plain_rows("1\n", "n", ",")
    with pytest.raises(ValueError):
        plain_rows(b"1\n", "n", ",,")
    for delimiter in ("é", "1", ".", "-", "e", '"', "\n"):
        assert plain_rows(f"1{delimiter}2\n".encode(), "nn", delimiter)[0] is None


def test_an_archive_is_read_without_pyarrow_but_for_its_odd_block(tmp_path, monkeypatch):
    rows = [b"%d,%d.5,0.%03d,1,17487360000%02d,%s\n" % (n, 100 + n, n % 999 + 1, n % 100, b"true" if n % 3 else b"false") for n in range(5000)]
    rows[4321] = rows[4321].replace(b".5,", b".5e0,")
    file = tmp_path / "rows.csv"
    file.write_bytes(b"".join(rows))
    layout = Layout(
        ("id", "price", "qty", "x", "time", "maker"), {"id": INTEGER, "price": NUMBER, "qty": NUMBER, "time": INTEGER, "maker": LABEL}, False
    )
    asked = []
    plain = delimited._by_arrow
    monkeypatch.setattr(delimited, "_by_arrow", lambda data, layout: asked.append(len(data)) or plain(data, layout))
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 20_000)
    blocks = list(delimited.read(file, layout))
    assert len(blocks) > 8 and len(asked) == 1
    assert np.concatenate([block.integers("id") for block in blocks]).tolist() == list(range(5000))
    assert np.concatenate([block.numbers("price") for block in blocks]).tolist() == [100.5 + n for n in range(5000)]
    assert np.concatenate([block.mapped("maker", {"true": 1}) for block in blocks]).tolist() == [int(n % 3 > 0) for n in range(5000)]
