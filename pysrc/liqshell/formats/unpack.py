"""The bytes of a file, whatever it is packed with: plain, gzip, zip, zstandard. Recognised by content. A packing that is torn is a DataError."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from liqshell.errors import ConfigError, DataError

GZIP, ZIP, ZSTD, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PAR1"
HEAD_BYTES = 1 << 16
TORN = (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError, RuntimeError)


def arrow(what: str) -> Any:
    """The module pyarrow; ConfigError with the remedy where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise ConfigError(what, "needs pyarrow, which is not installed", "", "pip install pyarrow") from None
    return pyarrow


@contextmanager
def opened(path: Path, member: str = "") -> Iterator[IO[bytes]]:
    """The unpacked stream. member: of a zip; the only file in it where none is named. Errors of the packing, also while reading inside the
    `with`, are DataErrors that name the file."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
        if magic[:2] == GZIP:
            with gzip.open(path, "rb") as stream:
                yield stream            # type: ignore[misc]
        elif magic == ZIP:
            with zipfile.ZipFile(path) as archive, archive.open(member or _only(path, archive)) as stream:
                yield stream
        elif magic == ZSTD:
            with arrow(str(path)).input_stream(str(path), compression="zstd") as packed, io.BufferedReader(packed, 1 << 18) as stream:
                yield stream
        else:
            with path.open("rb") as stream:
                yield stream
    except TORN as why:
        raise DataError(str(path), f"the packing is damaged or cut ({why})", "a whole file", "Fetch it again") from None
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "a file") from None


def members(path: Path) -> list[str]:
    """Files inside a zip, [] where it is none."""
    try:
        with path.open("rb") as raw:
            if raw.read(4) != ZIP:
                return []
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except TORN as why:
        raise DataError(str(path), f"the packing is damaged or cut ({why})", "a whole file", "Fetch it again") from None
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "a file") from None


def head(path: Path, size: int = HEAD_BYTES) -> bytes:
    """The first unpacked bytes; of a torn packing what comes before the tear. DataError where nothing does."""
    data = b""
    try:
        with opened(path) as stream:
            while len(data) < size and (piece := stream.read1(4096)):       # type: ignore[attr-defined]
                data += piece
    except DataError:
        if not data:
            raise
    return data[:size]


def _only(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise DataError(str(path), f"a zip with {len(names)} files", "a zip with one file", "Unpack it, then import the files")
    return names[0]


def line_blocks(stream: IO[bytes], path: Path, size: int) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time; the last line need not end."""
    tail = b""
    while block := stream.read(size):
        end = block.rfind(b"\n") + 1
        if not end:
            tail += block
            if len(tail) > 64 * size:
                raise DataError(str(path), f"a line longer than {len(tail)} bytes", "lines of text")
            continue
        yield tail + block[:end]
        tail = block[end:]
    if tail:
        yield tail


def as_text(data: bytes) -> io.StringIO:
    return io.StringIO(data.decode("utf-8", "replace"), newline="")
