"""Columns between NumPy and Arrow by their bytes: the same as pyarrow's own way, which imports pandas."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell.arrow_column import arrow_column, nulls_of, numpy_column

TYPES = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.timestamp("ns", tz="UTC"),
]
NUMBERS = ["u1", "i1", "i4", "i8", "u8", "f4", "f8"]


@st.composite
def columns(draw):
    """Of every type, with nulls or without, cut out of a longer one, whole or in chunks."""
    kind = draw(st.sampled_from(TYPES))
    value = st.floats(width=32) if pa.types.is_floating(kind) else st.integers(0, 100)
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        one = pa.array(draw(st.lists(st.one_of(st.none(), value) if draw(st.booleans()) else value, max_size=30)), kind)
        start = draw(st.integers(0, len(one)))
        pieces.append(one.slice(start, draw(st.integers(0, len(one) - start))))
    return pa.chunked_array(pieces, kind) if draw(st.booleans()) else pieces[0]


@settings(max_examples=300, deadline=None)
@given(columns(), st.sampled_from([0, 7]))
def test_numbers_of_arrow_are_those_of_pyarrow(column, missing):
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    expected = [missing if value is None else value for value in plain.to_pylist()]
    found = numpy_column(column, missing)
    assert np.array_equal(found, np.array(expected, found.dtype), equal_nan=found.dtype.kind == "f")
    assert found.dtype == plain.fill_null(0).to_numpy(**({} if isinstance(plain, pa.ChunkedArray) else {"zero_copy_only": False})).dtype
    assert nulls_of(column).tolist() == [value is None for value in plain.to_pylist()]


def test_nan_stands_for_a_missing_double():
    assert np.array_equal(numpy_column(pa.array([1.0, None, -0.0]), np.nan), [1.0, np.nan, -0.0], equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NUMBERS), st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40), st.booleans())
def test_a_mask_becomes_nulls(name, rows, strided):
    values, missing = np.array([value for value, _ in rows], name), np.array([gone for _, gone in rows], bool)
    values = np.repeat(values, 2)[::2] if strided else values
    for mask in (missing, None):
        found = arrow_column(values, mask)
        found.validate(full=True)
        assert found.equals(pa.array(np.ascontiguousarray(values), mask=mask))


def test_an_import_loads_neither_pandas_nor_the_functions_of_arrow(tmp_path):
    """They take half a second of every process that imports, and are there wherever somebody installed pandas."""
    pytest.importorskip("pandas", reason="pandas is not installed: nothing could load it")
    (tmp_path / "BTCUSDT-trades-2024-08-05.csv").write_text("".join(f"{n},58000.5,0.25,14500.1,{1722816000000 + n},true\n" for n in range(30)))
    script = f"""import sys
from liqshell import store
outcome = store.fill({str(tmp_path / "store")!r}, [{str(tmp_path / "BTCUSDT-trades-2024-08-05.csv")!r}])
store.open({str(tmp_path / "store")!r}).tape("BTCUSDT")
assert outcome.imported and not outcome.broken
print(sorted({{"pandas", "pyarrow.compute"}} & sys.modules.keys()))"""
    assert subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
