"""JSON lines become columns at once or row by row, and nobody can tell which: compared with Python's own reading of each line."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell import formats, store
from liqshell.errors import DataError
from liqshell.formats import column_map, json_columns, table_rows
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT
from store_files import partitions

TYPES = {"n": NUMBER, "i": INTEGER, "w": LABEL, "t": TEXT}
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12).map(lambda d: format(d, "f"))
#: values as JSON says them; the first of each are those of a file as it should be
SAID = {
    "n": st.one_of(DECIMALS, DECIMALS.map(json.dumps), st.floats(allow_nan=False, allow_infinity=False).map(repr)),
    "i": st.integers(-(2**63), 2**63 - 1).map(str),
    "w": st.sampled_from(['"BUY"', '"sell"', "true", "false", "1", "-1", '"1"']),
    "t": st.one_of(st.integers(0, 2**63 - 1).map(str), st.text(max_size=5).map(json.dumps)),
}
STRANGE = st.sampled_from(
    [
        '""',
        "null",
        '"+1"',
        '" 2"',
        '"1_0"',
        '"nan"',
        '"-inf"',
        '"1e400"',
        "-0",
        "-0.0",
        "1e5",
        "5e-324",
        "0.1e-400",
        '"x"',
        "[]",
        "{}",
        "NaN",
        "Infinity",
        "01",
        "1.",
        "true",
        '"0x10"',
        "1.0",
        "9223372036854775808",
        '"é"',
        r'"\u00e9"',
        r'"\ud800"',
    ]
)


def plainly(lines: list[str]) -> list[list] | None:
    """Each column by Python alone; None where the file is wrong."""
    out: list[list] = [[], [], [], []]
    for line in lines:
        try:
            row = json.loads(line, parse_constant=lambda word: None)  # NaN is no number: missing, as in CSV
            json.dumps(row, ensure_ascii=False).encode()  # half of a pair of surrogates is no text
            assert not any(isinstance(value, float) and np.isinf(value) for value in row.values())
            for column, (name, kind) in zip(out, TYPES.items(), strict=True):
                value = row.get(name)
                if value is None or value == "":
                    column.append({NUMBER: None, INTEGER: 0, LABEL: "", TEXT: ""}[kind])
                    continue
                assert not isinstance(value, list | dict) and not (isinstance(value, bool) and kind in (INTEGER, NUMBER))
                if kind == INTEGER:
                    assert not isinstance(value, float) or value.is_integer()
                    assert -(2**63) <= int(value) < 2**63
                column.append(int(value) if kind == INTEGER else float(value).hex() if kind == NUMBER else str(value))
        except (ValueError, AssertionError, OverflowError):
            return None
    return out


def read(path) -> list[list] | None:
    """The same as the reader has it."""
    out: list[list] = [[], [], [], []]
    try:
        for block in table_rows.rows_of(path, TYPES):
            numbers, (index, words) = block.numbers("n"), block.labels("w")
            there = block.table.column("n").chunk(0).is_valid().to_pylist()
            out[0] += [float(value).hex() if known else None for value, known in zip(numbers, there, strict=True)]
            out[1] += block.integers("i").tolist()
            out[2] += [words[n] for n in index]
            out[3] += block.texts("t")
    except DataError:
        return None
    return out


@st.composite
def files(draw):
    """Lines of a file: mostly of one kind a column, as files are, some with a value, a key or an end of line that is strange."""
    number = draw(st.sampled_from([DECIMALS, DECIMALS.map(json.dumps), SAID["n"]]))
    text = draw(st.sampled_from([st.integers(0, 2**63 - 1).map(str), st.text(alphabet="abc12-", min_size=1, max_size=5).map(json.dumps), SAID["t"]]))
    word = draw(st.sampled_from([st.sampled_from(['"BUY"', '"SELL"']), st.sampled_from(["true", "false"]), SAID["w"]]))
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        values = {"n": draw(number), "i": draw(SAID["i"]), "w": draw(word), "t": draw(text), "more": draw(st.sampled_from(["1", '[{"a": 2}]']))}
        if draw(st.integers(0, 9)) == 0:
            values[draw(st.sampled_from(list(values)))] = draw(STRANGE)
        names = draw(st.permutations(list(values)))[draw(st.integers(0, 20)) == 0 :]
        pairs = [f'"{name}": {values[name]}' for name in names] + (['"n": 7'] if draw(st.integers(0, 30)) == 0 else [])
        lines.append("{" + ", ".join(pairs) + "}")
    return lines, draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n"])), draw(st.booleans())


@settings(max_examples=400, deadline=None)
@given(files())
def test_every_value_is_what_python_reads_on_its_line(tmp_path_factory, given_):
    lines, end, ended = given_
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes((end.join(lines) + (end if ended else "")).encode("utf-8", "surrogatepass"))
    assert read(path) == plainly(lines)


def test_files_as_they_should_be_are_read_at_once():
    """Otherwise the test above compares the rows with themselves."""
    block = b'{"n": 1.5, "i": 3, "w": "BUY", "t": 77, "o": {"x": [1]}}\n{"t": 78, "n": 2, "i": 4, "w": "SELL"}\n'
    table = json_columns.table_of(pa, block, TYPES)
    assert table.column("n").to_pylist() == [1.5, 2.0] and table.column("t").to_pylist() == ["77", "78"]
    texts = block.replace(b"1.5", b'"1.5"').replace(b": 2,", b': "2e0",').replace(b"77", b'"a-7"').replace(b"78", b'"b-8"')
    assert json_columns.table_of(pa, texts, TYPES).column("n").to_pylist() == [1.5, 2.0]


@pytest.mark.parametrize(
    "block",
    [
        b'{"n": 1}{"n": 2}\n{"n":\n3}\n',
        b'{"n": 1}\n\n{"n": 2}\n',
        b'{"n": 1}\r\n',
        b'{"n": 1}\n[{"n": 2}]\n',
        b'{"n": NaN}\n',
        b'{"n": -0}\n',
        b'{"n": 1, "n": 2}\n',
        b'{"n": 1}\n{"n": "2"}\n',
        b'{"n": "nan"}\n',
        '{"n": 1, "x": "é"}\n'.encode(),
        b'{"n": 1e999}\n',
        b'{"n": 1',
        b"",
        b"\n",
        b'{"x": {"n": 1}}\n',
    ],
)
def test_what_could_mean_something_else_is_left_to_the_rows(block):
    assert json_columns.table_of(pa, block, {"n": NUMBER}) is None


def trades(rows: int, seed: int, quoted: bool) -> bytes:
    rng = np.random.default_rng(seed)
    ts, price = 1_770_595_200_000 + np.sort(rng.integers(0, 3 * 86_400_000, rows)), 20_000 + np.cumsum(rng.integers(-3, 4, rows))
    form = '{"ts":%d,"px":"%.2f","sz":"%.3f","side":"%s"}' if quoted else '{"ts":%d,"px":%.2f,"sz":%.3f,"side":"%s"}'
    columns = ts, price / 100, rng.integers(1, 9000, rows) / 1000, np.where(rng.random(rows) < 0.5, "A", "B")
    return "".join(form % value + "\n" for value in zip(*(column.tolist() for column in columns), strict=True)).encode()


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_both_ways_make_the_same_partitions(tmp_path, monkeypatch, quoted, mapped):
    """A known layout, which sorts, and a map; some blocks of which have to be read by rows; in blocks of every size."""
    data = trades(6000, 3, quoted)
    lines = data.split(b"\n")
    lines[4000] = lines[4000][:-1] + ',"note":"é"}'.encode()
    path = tmp_path / "trades_BTC_20260209.jsonl"
    path.write_bytes(b"\n".join(lines))
    map_ = {
        "kind": "trade",
        "time": {"column": "ts", "unit": "ms"},
        "side": {"column": "side", "of": "taker"},
        "price": "px",
        "size": "sz",
        "symbol": {"value": "BTC"},
        "venue": {"value": "hyperliquid"},
    }
    options = formats.Options(columns=column_map.made(map_, "map")) if mapped else None
    seen, whole = [], json_columns.table_of
    for n, (size, taken) in enumerate([(1 << 20, lambda *a, **k: None), (1 << 20, whole), (50_000, whole), (997, whole)]):

        def counted(*given, taken=taken, **named):
            table = taken(*given, **named)
            seen.append(table is not None)
            return table

        monkeypatch.setattr(table_rows, "BLOCK_BYTES", size)
        monkeypatch.setattr(json_columns, "table_of", counted)
        assert not store.fill(tmp_path / str(n), [path], options).broken
    assert any(seen) and not all(seen[1:])
    assert partitions(tmp_path / "0") == partitions(tmp_path / "1") == partitions(tmp_path / "2") == partitions(tmp_path / "3")
