"""CSV, block by block: plain blocks by liqcore.codec.plain_rows, all others by pyarrow. An error has the line and the expected value."""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from liqcore.codec.plain_rows import plain_rows
from liqshell.arrow_column import arrow_column, numpy_column
from liqshell.errors import DataError
from liqshell.formats.compression import arrow, as_text, head, line_blocks, opened

BLOCK_BYTES = 16 << 20
AHEAD = 2  # blocks that are parsed while the one before them is used: pyarrow needs no interpreter for it
ID_LIMIT, ID_DIGITS = (1 << 64) - 1, 20
INTEGER, NUMBER, LABEL, TEXT = "integer", "number", "word", "text"  # LABEL: few different ones


@dataclass(frozen=True)
class Layout:
    """Columns of a file in their order, and of those that are read their types. An empty cell is missing where `missing` allows it."""

    columns: tuple[str, ...]
    types: Mapping[str, str]
    header: bool = True
    delimiter: str = ","


class Columns:
    """One block of rows. line: of the first one, counted from 1."""

    def __init__(self, table: Any, line: int):
        self.table = table
        self.line = line
        self.rows = table.num_rows

    def integers(self, name: str) -> np.ndarray:
        return numpy_column(self._column(name))

    def numbers(self, name: str, missing: float = np.nan) -> np.ndarray:
        return numpy_column(self._column(name), missing)

    def labels(self, name: str) -> tuple[np.ndarray, list[str]]:
        """(index of the word of each row, words); an empty cell is the word ''."""
        column = self._column(name)
        labels = [word or "" for word in column.dictionary.to_pylist()]
        return numpy_column(column.indices, len(labels)), [*labels, ""]

    def mapped(self, name: str, meaning: Mapping[str, int], other: int = 0) -> np.ndarray:
        """The meaning of each word, whatever its case; `other` for words that have none."""
        indices, labels = self.labels(name)
        return np.array([meaning.get(word.strip().lower(), other) for word in labels], np.int8)[indices]

    def texts(self, name: str) -> list[str]:
        return [text or "" for text in self._column(name).to_pylist()]

    def ids(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(number, identity) of the id of each row as uint64, whatever the ids of other rows are. number: at most 2^64 - 1, 0 where the id is no
        whole number. identity, to find duplicates: the number if it is below that, or a hash of the text; 0 for an empty one."""
        pa = arrow("ids")
        column = self._column(name)
        try:
            numbers = numpy_column(column.cast(pa.uint64(), safe=True))
            if numbers.max(initial=0) < ID_LIMIT and not any(sign in bytes(column.buffers()[2] or b"") for sign in (b"x", b"X")):  # 0x1F is a text
                return numbers, numbers
        except pa.ArrowInvalid:
            pass
        texts = _bytes_of(column)
        whole, numbers = _whole_numbers(*texts)
        return numbers, np.where(whole & (numbers < ID_LIMIT), numbers, _hashes(*texts))

    def _column(self, name: str) -> Any:
        return self.table.column(name).chunk(0)


def _bytes_of(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """(bytes of all texts one after the other, where each begins and the last one ends)."""
    texts = column.fill_null("")
    ends = np.frombuffer(texts.buffers()[1] or bytes(4), np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(texts.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def _whole_numbers(data: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(where a text is a whole number, the number: at most 2^64 - 1)."""
    likely = np.flatnonzero(np.diff(ends))
    for part in (0, 1, 2):  # its first sign, its middle one and its last
        likely = likely[data[ends[likely] + (np.diff(ends)[likely] - 1) * part // 2] - ord("0") <= 9]
    rows, numbers, text = [], [], data.tobytes()
    for row, begin, end in zip(likely.tolist(), ends[likely].tolist(), ends[likely + 1].tolist(), strict=True):
        digits = text[begin:end]
        if digits.isdigit():
            digits = digits if len(digits) <= ID_DIGITS else digits.lstrip(b"0")
            rows.append(row)
            numbers.append(min(int(digits or 0), ID_LIMIT) if len(digits) <= ID_DIGITS else ID_LIMIT)
    whole, all_numbers = np.zeros(len(ends) - 1, bool), np.zeros(len(ends) - 1, np.uint64)
    whole[rows], all_numbers[rows] = True, numbers
    return whole, all_numbers


def _hashes(data: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """64-bit hash of texts by words of 8 bytes, each as if it stood alone: texts of one length (UUIDs) need no index of their bytes."""
    lengths = np.diff(ends)
    width = int(lengths.max(initial=0))
    padded = np.zeros((len(lengths), -(-max(width, 1) // 8) * 8), np.uint8)
    if len(lengths) and lengths.min() == width:
        padded[:, :width] = data.reshape(-1, width)
    else:
        rows = np.repeat(np.arange(len(lengths)), lengths)
        padded[rows, np.arange(len(data)) - np.repeat(ends[:-1], lengths)] = data
    mixed = np.zeros(len(lengths), np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    for n, words in enumerate(padded.view(np.uint64).T):
        more = (mixed ^ words) * prime
        mixed = np.where(lengths > 8 * n, more ^ (more >> np.uint64(32)), mixed)
    return mixed


def first_line(path: Path) -> str:
    """The first line of a file that is not blank, as text, '' where it is none. Of a long one, such as the settings of a run of 1,500 contracts, what
    `head` reads."""
    line = head(path).removeprefix(codecs.BOM_UTF8).lstrip().split(b"\n", 1)[0]
    if b"\0" in line:
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(line).strip()  # a character may be cut in two at the end
    except UnicodeDecodeError:
        return ""


def columns_of(line: str) -> tuple[str, ...]:
    return tuple(name.strip().strip('"') for name in line.split(","))


def read(path: Path, layout: Layout, member: str = "") -> Iterator[Columns]:
    """Blocks of rows. DataError with file and line where a row has another number of columns, or a cell is not what its column holds."""
    with opened(path, member) as stream:
        yield from _read(path, stream, layout, BLOCK_BYTES)


def _read(path: Path, stream: IO[bytes], layout: Layout, size: int) -> Iterator[Columns]:
    pa = arrow(str(path))
    line = 1
    if layout.header:
        while (read := stream.readline(1 << 16)) and not read.removeprefix(codecs.BOM_UTF8).strip():
            line += 1
        line += 1
    for data, parsed in ahead(line_blocks(stream, path, size), _parser(pa, layout)):
        try:
            table, lines = parsed.result()
        except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as why:
            raise _fault(path, data, line, layout, str(why)) from None
        if table is not None and table.num_rows:
            yield Columns(table, line)
        line += lines


def ahead(blocks: Iterable[bytes], parse: Callable[[bytes], Any]) -> Iterator[tuple[bytes, Future[Any]]]:
    """Each block, with what it is parsed to. Blocks are read and parsed in threads, before they are asked for."""
    waiting: deque[tuple[bytes, Future[Any]]] = deque()
    following = iter(blocks)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(AHEAD) as pool:
        coming = reader.submit(next, following, None)
        try:
            while (block := coming.result()) is not None:
                coming = reader.submit(next, following, None)
                waiting.append((block, pool.submit(parse, block)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _parser(pa: Any, layout: Layout) -> Callable[[bytes], tuple[Any, int]]:
    kinds = "".join(layout.types.get(name, "-")[0] for name in layout.columns)
    read = sorted(layout.types, key=layout.columns.index)

    def parse_block(data: bytes) -> tuple[Any, int]:
        columns, lines = plain_rows(data, kinds, layout.delimiter)
        if columns is not None:
            made = [_arrow_array(pa, layout.types[name], column) for name, column in zip(read, columns, strict=True)]
            return pa.Table.from_arrays(made, read), lines
        if data[:1].isspace() and data.isspace():
            return None, lines
        return _by_arrow(data, layout), lines

    return parse_block


def _arrow_array(pa: Any, kind: str, column: Any) -> Any:
    """A column of plain_rows as pyarrow reads it."""
    if kind == TEXT:
        offsets, texts = column
        return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(texts)])
    if kind == LABEL:
        indices, words = column
        return pa.DictionaryArray.from_arrays(arrow_column(indices), arrow_column(np.array(words, object)))
    return arrow_column(column)


def _by_arrow(data: bytes, layout: Layout) -> Any:
    import pyarrow as pa
    from pyarrow import csv as reader

    types = {INTEGER: pa.int64(), NUMBER: pa.float64(), LABEL: pa.dictionary(pa.int32(), pa.string()), TEXT: pa.string()}
    convert = reader.ConvertOptions(
        column_types={name: types[kind] for name, kind in layout.types.items()},
        include_columns=list(layout.types),
        null_values=[""],
        strings_can_be_null=True,
        true_values=[],
        false_values=[],
    )
    options = reader.ReadOptions(column_names=list(layout.columns), use_threads=False, block_size=len(data) + 1)
    return reader.read_csv(pa.BufferReader(data), options, reader.ParseOptions(delimiter=layout.delimiter), convert).combine_chunks()


def _fault(path: Path, data: bytes, line: int, layout: Layout, why: str) -> DataError:
    """The first row that is not as it should be."""
    try:
        for row in (rows := csv.reader(as_text(data), delimiter=layout.delimiter)):
            where = f"{path}:{line + rows.line_num - 1}"
            if not row:
                continue
            if len(row) != len(layout.columns):
                return DataError(
                    where,
                    f"{len(row)} columns: {','.join(row)[:80]!r}",
                    f"{len(layout.columns)}: {','.join(layout.columns)[:120]}",
                    "The file may be incomplete: fetch it again",
                )
            for name, kind in layout.types.items():
                cell = row[layout.columns.index(name)]
                if not _fits(cell, kind):
                    return DataError(
                        where,
                        f"{name}: {cell[:40]!r}",
                        "a whole number" if kind == INTEGER else f"a {kind}",
                        "The file may be damaged: fetch it again",
                    )
    except csv.Error as problem:
        return DataError(f"{path}:{line}", f"not CSV ({problem})", f"rows of {len(layout.columns)} columns")
    return DataError(f"{path}:{line}", f"not CSV ({why[:120]})", f"rows of {len(layout.columns)} columns from here on")


def _fits(cell: str, kind: str) -> bool:
    if "\ufffd" in cell or "\0" in cell:
        return False
    if not cell or kind in (LABEL, TEXT):
        return True
    try:
        if kind == INTEGER:
            return -(1 << 63) <= int(cell) < 1 << 63
        float(cell)
    except ValueError:
        return False
    return True


def missing(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    return [name for name in wanted if name not in found]
