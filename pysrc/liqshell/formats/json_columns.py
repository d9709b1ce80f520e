"""JSON lines at the speed of pyarrow: a block of lines becomes columns at once if the result is bit-identical to reading it row by row.

It does where each line is one object of plain ASCII, and a column has one kind of value throughout: numbers, texts, or true and false. table_rows.py
reads everything else row by row and reports its faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from liqshell.arrow_column import arrow_column, numpy_column
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT

_LAX = (b"NaN", b"Inf")  # numbers to pyarrow only
_NEGATIVE_ZERO = np.iinfo(np.int64).min


def table_of(pa: Any, block: bytes, types: Mapping[str, str]) -> Any | None:
    """The requested columns in the form of delimited.Columns; None where rows have to be read one by one."""
    from pyarrow import json

    lines = _lines(block)
    kinds = _kinds(pa, block, types) if lines and not any("." in name for name in types) else None
    if kinds is None:
        return None
    options = json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    parse = json.ParseOptions(explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore")
    try:
        table = json.read_json(pa.BufferReader(block), options, parse).combine_chunks()
        if table.num_rows != lines:
            return None
        made = {name: _as(pa, table.column(name).chunk(0), kind) for name, kind in types.items()}
    except pa.ArrowInvalid:
        return None
    return pa.table(made) if all(map(_plain, made.values(), types.values())) else None


def _lines(block: bytes) -> int:
    """How many lines, where each is an object of its own; 0 where they are not."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    begun, ended = block.startswith(b"{") + block.count(b"\n{"), block.count(b"}\n") + block.endswith(b"}")
    return lines if lines == begun == ended and block.isascii() and not any(word in block for word in _LAX) else 0


def _kinds(pa: Any, block: bytes, types: Mapping[str, str]) -> list[tuple[str, Any]] | None:
    """The kinds of the columns in the first row. Paths into objects and arrays are for the others."""
    try:
        row = orjson.loads(block[: block.find(b"\n")] if b"\n" in block else block)
    except orjson.JSONDecodeError:
        return None
    out = []
    for name, kind in types.items():
        value = row.get(name)
        if isinstance(value, str) and kind != INTEGER:
            out.append((name, pa.string()))
        elif isinstance(value, bool) and kind == LABEL:
            out.append((name, pa.bool_()))
        elif isinstance(value, int | float) and not isinstance(value, bool) and (kind == NUMBER or isinstance(value, int)):
            out.append((name, pa.float64() if kind == NUMBER else pa.int64()))
        else:
            return None
    return out


def _as(pa: Any, column: Any, kind: str) -> Any:
    """A column of the type that is asked for. ArrowInvalid where a text is no number to pyarrow: Python knows more of them."""
    if kind in (INTEGER, NUMBER):
        return column.cast(pa.int64() if kind == INTEGER else pa.float64())
    if kind == TEXT:
        return column.cast(pa.string())
    coded = column.dictionary_encode()
    words = [str(word) for word in coded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(coded.indices, arrow_column(np.array(words)))


def _plain(column: Any, kind: str) -> bool:
    """Whether nothing in it could mean another thing to Python: a number without end, -0 (a whole number to JSON), an empty text."""
    if kind == NUMBER:
        values = numpy_column(column)
        return bool(np.isfinite(values).all()) and not (values.view(np.int64) == _NEGATIVE_ZERO).any()
    return kind != TEXT or 0 not in np.diff(np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1])
