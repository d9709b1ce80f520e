"""A strip file: the columns of one contract over some time in the form of lc.Tape, for memory mapping.

    16 bytes magic and version, 4 bytes length and 4 bytes CRC of the header (JSON), the header, the columns, each from a multiple of 64 bytes on.

A strip is a cache: it can always be made again from partitions, and is, when it is missing, of another version, cut or made from something else.
Written once, front to back by blocks, under another name, and moved into place when it is whole. Numbers are little-endian.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqcore.kernels.first_passage import Passage
from liqcore.simulation.columns import PLACE_DTYPE, QUOTE_COLUMNS, TRADE_COLUMNS
from liqshell import private

MAGIC = b"liqcore strip\0\0\1"
HEADER_BYTES = 8192
ALIGN = 64
CGROUP = Path("/sys/fs/cgroup")
BLOCK_ROWS = 1 << 20  # of one column that are copied at once
_TABLES: dict[str, dict[str, np.dtype[Any]]] = {
    "trades": TRADE_COLUMNS,
    "quotes": QUOTE_COLUMNS,
    "rare": {"event": EVENT_DTYPE, "place": PLACE_DTYPE},
}


class Stale(Exception):
    """The file cannot be used; it is to be made again. Never leaves the store."""


@dataclass
class Strip:
    """A mapped strip. `parts` is what lc.Tape takes for one instrument; rare events carry instrument 0, or -1."""

    path: Path
    about: dict[str, Any]
    trades: dict[str, Any]
    quotes: dict[str, Any]
    rare: np.ndarray
    place: np.ndarray


class StripWriter:
    """append() parts in order of time, then finish(). rows: at most so many of each table will come."""

    def __init__(self, path: Path, trades_max: int, quotes_max: int, rare_max: int):
        private.folder(path.parent)
        self._path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}")
        self._file = private.descriptor(self._aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._columns: dict[str, list[Any]] = {}  # name -> [dtype, offset, rows, crc]
        self._room = {"trades": trades_max, "quotes": quotes_max, "rare": rare_max}
        self.rows = {"trades": 0, "quotes": 0, "rare": 0}
        at = HEADER_BYTES
        for table, columns in _TABLES.items():
            for name, dtype in columns.items():
                self._columns[f"{table}.{name}"] = [dtype, at, 0, 0]
                at = _aligned(at + self._room[table] * dtype.itemsize)
        self._end = at

    def append(self, trades: dict[str, Any], quotes: dict[str, Any], rare: np.ndarray, place: np.ndarray) -> None:
        """Columns that follow what is there; their places count from their own start."""
        before, before_quotes = self.rows["trades"], self.rows["quotes"]
        for table, columns in (("trades", trades), ("quotes", quotes)):
            for name in _TABLES[table]:
                for start in range(0, len(columns[name]), BLOCK_ROWS):
                    block = columns[name][start : start + BLOCK_ROWS]
                    self._write(f"{table}.{name}", block + before if name == "trades_before" else block)
            self._count(table, len(columns["ts"]))
        shifted = np.array(place)
        shifted["trades_before"] += before
        shifted["quotes_before"] += before_quotes
        self._write("rare.event", rare)
        self._write("rare.place", shifted)
        self._count("rare", len(rare))

    def finish(self, about: dict[str, Any]) -> None:
        """Build the indexes over the columns and put the file in its place."""
        os.ftruncate(self._file, max(self._end, os.fstat(self._file).st_size))
        for table, low, high in (("trades", "price", None), ("quotes", "ask", "bid")):
            index = Passage(self._column(f"{table}.{low}"), self._column(f"{table}.{high}") if high else None).index
            for name, array in index.items():
                self._columns[f"{table}.index.{name}"] = [array.dtype, self._end, 0, 0]
                self._write(f"{table}.index.{name}", array)
                self._end = _aligned(self._end + array.nbytes)
        os.ftruncate(self._file, self._end)
        columns = {name: [dtype.descr if dtype.names else dtype.str, *rest] for name, (dtype, *rest) in self._columns.items()}
        header = json.dumps({**about, "size": self._end, "columns": columns}).encode()
        if len(header) > HEADER_BYTES - 24:
            raise ValueError(f"strip header of {len(header)} bytes")
        os.pwrite(self._file, MAGIC + len(header).to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little") + header, 0)
        os.fsync(self._file)
        os.close(self._file)
        os.replace(self._aside, self._path)

    def abandon(self) -> None:
        os.close(self._file)
        self._aside.unlink(missing_ok=True)

    def _count(self, table: str, rows: int) -> None:
        self.rows[table] += rows
        if self.rows[table] > self._room[table]:
            raise ValueError(f"{self._path}: {self.rows[table]} rows of {table}, room for {self._room[table]}")

    def _write(self, name: str, values: np.ndarray) -> None:
        column = self._columns[name]
        raw = np.ascontiguousarray(values, column[0]).data.cast("B") if len(values) else memoryview(b"")
        column[3] = zlib.crc32(raw, column[3])
        at = column[1] + column[2] * column[0].itemsize
        while raw:
            done = os.pwrite(self._file, raw, at)
            raw, at = raw[done:], at + done
        column[2] += len(values)

    def _column(self, name: str) -> np.ndarray:
        dtype, offset, rows, _ = self._columns[name]
        return np.memmap(self._aside, dtype, "r", offset, (rows,)) if rows else np.zeros(0, dtype)


def together(columns: Sequence[np.ndarray], aside: Path | None) -> np.ndarray:
    """Pieces of one column behind each other, for this process alone: in memory, or mapped from a file without a name in the folder `aside`."""
    if len(columns) == 1:
        return columns[0]
    out = room(columns[0].dtype, sum(map(len, columns)), aside)
    np.concatenate(columns, out=out)
    return out


def room(dtype: np.dtype[Any], rows: int, aside: Path | None) -> np.ndarray:
    """Space for a column: see `together`. The file has no name from the start, so that no crash leaves it."""
    if aside is None or not rows:
        return np.empty(rows, dtype)
    private.folder(aside)
    path = aside / f".columns.{os.getpid()}.{threading.get_ident()}"
    with os.fdopen(private.descriptor(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), "r+b") as file:
        path.unlink()
        return np.memmap(file, dtype, "r+", shape=(rows,)).view(np.ndarray)


def free_memory() -> int:
    """Bytes that the machine has left, or the container where that has less; 0 where nothing says."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) << 10)
    for folder, limit, used in (("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes")):
        with contextlib.suppress(OSError, ValueError):  # "max": without a limit
            found.append(max(0, int((CGROUP / folder / limit).read_text()) - int((CGROUP / folder / used).read_text())))
    return min(found, default=0)


def read_ahead(paths: Iterable[Path]) -> None:
    """Ask the system to read files that are mapped soon: a page that is missing when it is touched costs more than all else."""
    for path in paths if hasattr(os, "posix_fadvise") else ():
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _aligned(at: int) -> int:
    return (at + ALIGN - 1) // ALIGN * ALIGN


def open_strip(path: Path, key: str) -> Strip:
    """Map a strip. Raises Stale where the file is missing, not whole, of another version, or not made from what `key` names."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        raise Stale("missing") from None
    length = int.from_bytes(head[16:20], "little")
    raw = head[24 : 24 + length]
    if head[:16] != MAGIC or len(raw) != length or zlib.crc32(raw) != int.from_bytes(head[20:24], "little"):
        raise Stale("its header is damaged or of another version")
    about = json.loads(raw)
    if about["key"] != key:
        raise Stale("made from other partitions")
    if about["size"] != size:
        raise Stale("cut")
    found: dict[str, dict[str, Any]] = {"trades": {}, "quotes": {}, "rare": {}}
    buffer = np.memmap(path, np.uint8, "r")
    for name, (dtype, offset, rows, _) in about["columns"].items():
        table, _, column = name.partition(".")
        kind = np.dtype([tuple(field) for field in dtype] if isinstance(dtype, list) else dtype)
        values = buffer[offset : offset + rows * kind.itemsize].view(np.ndarray).view(kind)
        if column.startswith("index."):
            found[table].setdefault("index", {})[column.removeprefix("index.")] = values
        else:
            found[table][column] = values
    return Strip(path, about, found["trades"], found["quotes"], found["rare"]["event"], found["rare"]["place"])


def verify(strip: Strip) -> str:
    """Read a strip through; '' or the name of the first column that is not what was written."""
    buffer = np.memmap(strip.path, np.uint8, "r")
    for name, (dtype, offset, rows, crc) in strip.about["columns"].items():
        size = rows * np.dtype([tuple(field) for field in dtype] if isinstance(dtype, list) else dtype).itemsize
        if zlib.crc32(buffer[offset : offset + size].data) != crc:
            return str(name)
    return ""
