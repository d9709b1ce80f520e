"""The bytes of a plain file or one in gzip, zip, zstandard or LZ4 frames. Recognised by content. A torn packing is a DataError, and
so is one that unpacks to more than market data does (input_file.py)."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from liqshell.errors import ConfigError, DataError
from liqshell.input_file import LINE_BYTES_MAX, metered, regular

GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
ARROW = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}  # what pyarrow unpacks
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
    regular(path)
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
        if magic[:2] == GZIP:
            with gzip.open(path, "rb") as stream:
                yield metered(stream, path)
        elif magic == ZIP:
            with _named(zipfile.ZipFile, path) as archive, _named(archive.open, member or _only(path, archive)) as stream:
                yield metered(stream, path)
        elif magic in ARROW:
            with arrow(str(path)).input_stream(str(path), compression=ARROW[magic]) as stream:
                yield metered(stream, path)
        else:
            with path.open("rb") as stream:
                yield stream
    except TORN as why:
        raise DataError(str(path), f"the compressed file is damaged or incomplete ({why})", "a whole file", "Fetch it again") from None
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "a file") from None


def members(path: Path) -> list[str]:
    """Files inside a zip, [] where it is none."""
    regular(path)
    try:
        with path.open("rb") as raw:
            if raw.read(4) != ZIP:
                return []
        with _named(zipfile.ZipFile, path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except TORN as why:
        raise DataError(str(path), f"the compressed file is damaged or incomplete ({why})", "a whole file", "Fetch it again") from None
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "a file") from None


def head(path: Path, size: int = HEAD_BYTES) -> bytes:
    """The first unpacked bytes; of a torn packing what comes before the tear. DataError where nothing does."""
    data = b""
    try:
        with opened(path) as stream:
            while len(data) < size and (piece := stream.read1(4096)):  # type: ignore[attr-defined]
                data += piece
    except DataError:
        if not data:
            raise
    return data[:size]


def _named(call: Callable[[Any], Any], what: Any) -> Any:
    """zipfile decodes the names of the files in a zip; one that is no text means a damaged zip."""
    try:
        return call(what)
    except UnicodeDecodeError as why:
        raise zipfile.BadZipFile(f"the name of a file in it is not text: {why.reason}") from None


def _only(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise DataError(str(path), f"a zip with {len(names)} files", "a zip with one file", "Unpack it, then import the files")
    return names[0]


def line_blocks(stream: IO[bytes], path: Path, size: int, longest: int = LINE_BYTES_MAX) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time; the last line need not end. DataError at a line of more than `longest` bytes."""
    begun: list[bytes] = []
    held = 0
    while block := stream.read(size):
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, memoryview(block)[:end]])
            begun, held = [block[end:]], len(block) - end
            continue
        begun.append(block)
        held += len(block)
        if held > longest:
            raise DataError(str(path), f"a line longer than {longest} bytes", "lines of text")
    if held:
        yield b"".join(begun)


def as_text(data: bytes) -> io.StringIO:
    return io.StringIO(data.decode("utf-8", "replace"), newline="")
