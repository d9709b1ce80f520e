"""The rows of CSV, JSON lines (or one JSON array) and Parquet, as columns of the types that are asked for."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from liqshell.errors import DataError
from liqshell.formats import delimited, json_columns
from liqshell.formats.compression import PARQUET, arrow, head, line_blocks, opened
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT, Columns, Layout, ahead

BLOCK_BYTES = 8 << 20
BLOCK_ROWS = 1 << 18
ARRAY_BYTES_MAX = 512 << 20
_INT64 = 1 << 63
# what Python writes for numbers that JSON does not have; texts are taken whole
_NO_NUMBER = re.compile(rb'("(?:[^"\\]|\\.)*")|-?\b(?:NaN|Infinity)\b')


def shape_of(path: Path) -> str:
    """csv | json | parquet, by content. DataError for anything else."""
    data = head(path, 1 << 12)
    if data[:4] == PARQUET:
        return "parquet"
    refuse_encoding(path, data)
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        raise DataError(str(path), "an empty file", "rows of CSV, JSON lines or Parquet")
    if text[:1] in (b"{", b"["):
        return "json"
    if b"\0" in data:
        hint = "A file that was cut while it was written may end in such bytes: fetch it again"
        raise DataError(str(path), f"no text: byte {data.index(0)} is a NUL (0x00)", "rows of CSV, JSON lines or Parquet", hint)
    if not delimited.first_line(path):
        raise DataError(str(path), "no text", "rows of CSV, JSON lines or Parquet")
    return "csv"


def refuse_encoding(path: Path, data: bytes) -> None:
    """DataError where the first bytes of a file are text in another encoding than UTF-8."""
    mark = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}.get(data[:2], "")
    if mark:
        raise DataError(
            str(path), f"text in UTF-16 (its byte order mark is {mark})", "UTF-8", f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > NEW"
        )
    line = data.split(b"\n", 1)[0]
    if b"\0" in data or sum(32 <= sign < 127 or sign in b"\t\r\n" for sign in data) < 0.8 * len(data):
        return  # no text at all
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)  # a letter may be cut at the end
    except UnicodeDecodeError as why:
        at = "its first line" if why.start < len(line) else f"byte {why.start}"
        raise DataError(
            str(path),
            f"text that is not UTF-8 ({at} has 0x{data[why.start]:02x}, in Latin-1 {chr(data[why.start])!r})",
            "UTF-8",
            f"If it is Latin-1: iconv -f LATIN1 -t UTF-8 {path.name} > NEW",
        ) from None


def rows_of(path: Path, types: Mapping[str, str], header: bool = True, delimiter: str = ",") -> Iterator[Columns]:
    """Blocks of rows. types: column -> INTEGER, NUMBER, WORD or TEXT. DataError with file, row, what was found and what was expected."""
    shape = shape_of(path)
    if shape == "csv":
        yield from delimited.read(path, _layout(path, types, header, delimiter))
    else:
        yield from _parquet(path, types) if shape == "parquet" else _json(path, types)


def names_of(path: Path, header: bool = True, delimiter: str = ",") -> tuple[str, ...]:
    """The columns of a file; of JSON lines those of the first row, down into objects and the first two of each array."""
    shape = shape_of(path)
    if shape == "csv":
        names = tuple(name.strip().strip('"') for name in delimited.first_line(path).split(delimiter))
        return names if header else tuple(str(n) for n in range(1, len(names) + 1))
    if shape == "parquet":
        pa = arrow(str(path))
        with _opened(path, pa) as file:
            return tuple(_flat(file.schema_arrow.empty_table()).column_names)
    row = next(objects_of(path), None)
    return tuple(_paths(row[1])) if row is not None else ()


def timestamps_of(path: Path) -> set[str]:
    """The columns of a Parquet file that are times by their type; none of another file."""
    if shape_of(path) != "parquet":
        return set()
    pa = arrow(str(path))
    with _opened(path, pa) as file:
        schema = _flat(file.schema_arrow.empty_table()).schema
        return {one.name for one in schema if pa.types.is_timestamp(one.type)}


def _layout(path: Path, types: Mapping[str, str], header: bool, delimiter: str) -> Layout:
    names = names_of(path, header, delimiter)
    for name in types:
        if names.count(name) != 1:
            raise DataError(
                f"{path}:1",
                f"column {name!r} " + ("appears twice" if name in names else f"is not among {', '.join(names)[:160]}"),
                "each column of the map once",
                "Correct the map: `liqcore columns FILE` proposes one",
            )
    return Layout(names, dict(types), header, delimiter)


# ---- JSON


def objects_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or number of the row, object) of JSON lines, or of one array."""
    line = 1
    for block in _blocks(path):
        yield from _objects(path, block, line)
        line += block.count(b"\n")


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines; an array whole."""
    with opened(path) as stream:
        blocks = line_blocks(stream, path, BLOCK_BYTES, ARRAY_BYTES_MAX)
        first = next(blocks, b"").removeprefix(codecs.BOM_UTF8)
        if _is_array(first):
            for more in blocks:
                first += more
                if len(first) > ARRAY_BYTES_MAX:
                    raise DataError(str(path), f"an array of more than {ARRAY_BYTES_MAX >> 20} MB", "JSON lines", "Write one object a line")
        yield first
        yield from blocks


def _objects(path: Path, block: bytes, line: int) -> Iterator[tuple[int, dict[str, Any]]]:
    if line == 1 and _is_array(block):
        yield from enumerate(_dicts(path, 1, _loaded(path, 1, block)), 1)
        return
    for number, text in enumerate(block.split(b"\n")[: None if not block.endswith(b"\n") else -1], line):
        if text and not text.isspace():
            yield from ((number, row) for row in _dicts(path, number, _loaded(path, number, text)))


def _is_array(block: bytes) -> bool:
    """Whether a file that begins so is one array. One that ends on its line is one of several."""
    text = block.lstrip()
    return text[:1] == b"[" and not text.split(b"\n", 1)[0].rstrip().endswith(b"]")


def _loaded(path: Path, line: int, text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as why:
        plain = _NO_NUMBER.sub(lambda found: found[1] or b"null", text) if b"NaN" in text or b"Infinity" in text else text
        if plain != text:
            return _loaded(path, line, plain)  # no number costs its row, as in CSV
        raise DataError(
            f"{path}:{line}", f"not JSON ({why}): {text[:60]!r}", "a JSON object on each line", "The file may be incomplete: fetch it again"
        ) from None


def _dicts(path: Path, line: int, found: Any) -> list[dict[str, Any]]:
    rows = found if isinstance(found, list) else [found]
    for row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}:{line}", f"found {type(row).__name__}", "a JSON object in each row")
    return rows


def _paths(row: dict[str, Any], begin: str = "") -> Iterator[str]:
    for key, value in row.items():
        for one, inner in [(f"{begin}{key}", value)] if not isinstance(value, list) else _places(f"{begin}{key}", value):
            if isinstance(inner, dict):
                yield from _paths(inner, f"{one}.")
            else:
                yield one


def _places(name: str, values: list[Any]) -> Iterator[tuple[str, Any]]:
    for n, value in enumerate(values[:2]):
        yield from _places(f"{name}.{n}", value) if isinstance(value, list) else [(f"{name}.{n}", value)]


def _json(path: Path, types: Mapping[str, str]) -> Iterator[Columns]:
    pa = arrow(str(path))
    rows = _Rows(path, types)
    line = 1
    for block, parsed in ahead(_blocks(path), partial(json_columns.table_of, pa, types=types)):
        table = parsed.result()
        if table is not None:
            yield from rows.taken(pa)
            yield Columns(table, line)
        else:
            for number, row in _objects(path, block, line):
                rows.add(number, row)
                if rows.count >= BLOCK_ROWS:
                    yield from rows.taken(pa)
        line += block.count(b"\n")
    yield from rows.taken(pa)


class _Rows:
    """Rows that are read one by one, on their way to columns."""

    def __init__(self, path: Path, types: Mapping[str, str]):
        self._path, self._types = path, types
        self._keys = {name: name.split(".") for name in types}
        self._lists: dict[str, list[Any]] = {name: [] for name in types}
        self._first = self.count = 0

    def add(self, line: int, row: dict[str, Any]) -> None:
        self._first = self._first if self.count else line
        self.count += 1
        for name, kind in self._types.items():
            self._lists[name].append(_value(self._path, line, name, at(row, name, self._keys[name]), kind))

    def taken(self, pa: Any) -> Iterator[Columns]:
        """The rows added, if any."""
        if self.count:
            yield _columns(pa, self._lists, self._types, self._first)
            self._lists, self.count = {name: [] for name in self._types}, 0


def at(row: Any, name: str, keys: list[str]) -> Any:
    """The value of a JSON row at a path such as o.ap or bids.0.1; None if it is missing."""
    if isinstance(row, dict) and name in row:
        return row[name]
    for key in keys:
        row = row.get(key) if isinstance(row, dict) else row[int(key)] if isinstance(row, list) and key.isdigit() and int(key) < len(row) else None
    return row


def _value(path: Path, line: int, name: str, value: Any, kind: str) -> Any:
    if value is None or value == "":
        return None
    try:
        if kind == INTEGER and not isinstance(value, bool | dict | list):
            number = int(value) if not isinstance(value, float) or value.is_integer() else None
            if number is not None and -_INT64 <= number < _INT64:
                return number
        elif kind == NUMBER and not isinstance(value, bool | dict | list):
            return float(value)
        elif kind in (LABEL, TEXT) and not isinstance(value, dict | list):
            return str(value)
    except (ValueError, OverflowError):
        pass
    raise DataError(
        f"{path}:{line}", f"{name}: {str(value)[:40]!r}", "a whole number" if kind == INTEGER else f"a {kind}", "Correct the map or the file"
    )


def _columns(pa: Any, lists: Mapping[str, list[Any]], types: Mapping[str, str], line: int) -> Columns:
    kinds = {INTEGER: pa.int64(), NUMBER: pa.float64(), LABEL: pa.string(), TEXT: pa.string()}
    made = {
        name: pa.array([_clean(value) for value in values] if types[name] in (LABEL, TEXT) else values, kinds[types[name]])
        for name, values in lists.items()
    }
    return Columns(pa.table({name: array.dictionary_encode() if types[name] == LABEL else array for name, array in made.items()}), line)


def _clean(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


# ---- Parquet


def _opened(path: Path, pa: Any) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(str(path))
    except (pa.ArrowException, OSError, ValueError) as why:
        raise DataError(str(path), f"not a Parquet file ({str(why)[:100]})", "a complete Parquet file", "Fetch it or create it again") from None


def _flat(table: Any) -> Any:
    import pyarrow as pa

    while any(pa.types.is_struct(one.type) for one in table.schema):
        table = table.flatten()
    return table


def _parquet(path: Path, types: Mapping[str, str]) -> Iterator[Columns]:
    pa = arrow(str(path))
    kinds = {INTEGER: pa.int64(), NUMBER: pa.float64(), LABEL: pa.string(), TEXT: pa.string()}
    row = 1
    with _opened(path, pa) as file:
        try:
            for batch in file.iter_batches(BLOCK_ROWS):
                table = _flat(pa.Table.from_batches([batch]))
                made: dict[str, Any] = {}
                for name, kind in types.items():
                    if table.column_names.count(name) != 1:
                        raise DataError(
                            str(path),
                            f"no column {name!r} among {', '.join(table.column_names)[:160]}",
                            "the columns of the map",
                            "Correct the map: `liqcore columns FILE` proposes one",
                        )
                    made[name] = _cast(pa, path, row, name, table.column(name).combine_chunks(), kind, kinds[kind])
                if batch.num_rows:
                    yield Columns(pa.table(made), row)
                row += batch.num_rows
        except (pa.ArrowException, OSError, ValueError) as why:
            raise DataError(
                f"{path}:row {row}", f"cannot be read on ({str(why)[:100]})", "a complete Parquet file", "Fetch it or create it again"
            ) from None


def parquet_rows(path: Path, count: int) -> list[list[Any]]:
    """The first rows of a Parquet file."""
    pa = arrow(str(path))
    with _opened(path, pa) as file:
        try:
            batch = next(file.iter_batches(count), None)
            return [] if batch is None else [list(row.values()) for row in _flat(pa.Table.from_batches([batch])).to_pylist()]
        except (pa.ArrowException, OSError, ValueError) as why:
            raise DataError(str(path), f"cannot be read ({str(why)[:100]})", "a complete Parquet file", "Fetch it or create it again") from None


def _cast(pa: Any, path: Path, row: int, name: str, column: Any, kind: str, wanted: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    try:
        if pa.types.is_timestamp(column.type) and kind == INTEGER:
            return column.cast(pa.timestamp("ns", tz=column.type.tz)).cast(pa.int64())
        if pa.types.is_decimal(column.type) and kind == NUMBER:
            column = column.cast(pa.string())  # its digits give the nearest double; Arrow's own way may be one beside it
        found = column.cast(wanted)
        found.validate(full=True)
        return found.dictionary_encode() if kind == LABEL else found
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as why:
        raise DataError(f"{path}:row {row}", f"{name} is {column.type} ({str(why)[:80]})", f"a {kind}", "Correct the map or the file") from None
