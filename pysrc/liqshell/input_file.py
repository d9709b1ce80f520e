"""Checks of files from other programs: only regular files, of a bounded unpacked size, with contract names of a bounded length.

A few hundred bytes can unpack to a gigabyte. Market data packs to a tenth, seldom to a fiftieth: what unpacks to more than UNPACKED_RATIO times its
file, and to more than UNPACKED_FREE at all, is refused while it is read, before it fills memory or disk.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from liqshell.errors import ConfigError, DataError

UNPACKED_FREE = 256 << 20  # bytes that any file may unpack to
UNPACKED_RATIO = 200  # times its own size beyond that
LINE_BYTES_MAX = 64 << 20
NAME_BYTES_MAX = 64  # of a contract: what a decoder takes
_BUFFER = 1 << 18
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/+(.+)", re.DOTALL)
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))


def address_of(path: str | Path) -> str:
    """The address that a text is, or a path that was made of one, such as s3://BUCKET/PATH; '' where it is a path of this machine."""
    found = _ADDRESS.fullmatch(str(path))
    return f"{found[1]}://{'/' if found[1] == 'file' else ''}{found[2]}" if found else ""


def existing(paths: Iterable[Path], expected: str, option: str = "") -> None:
    """ConfigError, naming the first path (and the option that named it), where there is none."""
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{option} {path}".lstrip(), "no such file or folder", expected)


def regular(path: str | Path, expected: str = "a file", error: type[DataError] | type[ConfigError] = DataError) -> Path:
    """The path. DataError (or `error`) where it is a folder, a FIFO, a device or a socket, or cannot be looked at: reading one of these would wait,
    or never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError as why:
        raise error(str(path), f"cannot be read: {why.strerror or why}", expected) from None
    if not stat.S_ISREG(mode):
        what = next((word for is_one, word in _KINDS if is_one(mode)), "no file")
        raise error(str(path), what, f"{expected}: a regular file", "Copy its content into a file" if what in ("a FIFO", "a socket") else "")
    return Path(path)


def opened(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """os.open of a regular file, made where `flags` say so: it never waits for the other end of a FIFO and never reads a device. OSError as os.open,
    and for what is no regular file; close it."""
    handle = -1
    try:
        handle = os.open(path, (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_CLOEXEC, mode)
        if odd := _odd(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, odd, str(path))
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except OSError as why:
        if handle >= 0:
            os.close(handle)
        odd = odd_there(path) if why.errno in (errno.ENXIO, errno.EISDIR) else ""  # of a FIFO without a reader, a socket, a folder
        if odd:
            raise OSError(errno.EINVAL, odd, str(path)) from None
        raise
    return handle


def odd_there(path: str | Path) -> str:
    """Names what is in place of a regular file; "" for a regular file, for nothing, and without the right to look."""
    try:
        return _odd(os.stat(path).st_mode)
    except OSError:
        return ""


def _odd(mode: int) -> str:
    return "" if stat.S_ISREG(mode) else f"{next((word for is_one, word in _KINDS if is_one(mode)), 'no file')} in place of a regular file"


def content(path: str | Path) -> bytes:
    """All bytes of a regular file. OSError as `opened`."""
    with os.fdopen(opened(path), "rb") as stream:
        return stream.read()


def toml(path: str | Path, expected: str) -> dict[str, Any]:
    """The tables of a TOML file. ConfigError where it is none."""
    try:
        return tomllib.loads(regular(path, expected, ConfigError).read_text())
    except OSError as why:
        raise ConfigError(str(path), f"cannot be read: {why.strerror}", expected) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        raise ConfigError(str(path), f"is not TOML ({why})") from None


class Meter:
    """Counts what a file unpacks to. DataError beyond its allowance."""

    def __init__(self, path: str | Path):
        self.path = path
        self.packed = os.stat(path).st_size
        self.most = max(UNPACKED_FREE, UNPACKED_RATIO * self.packed)
        self.count = 0

    def add(self, count: int) -> None:
        """So many bytes more."""
        self.count += count
        if self.count > self.most:
            raise DataError(
                str(self.path),
                f"{self.packed} bytes that unpack to more than {self.most}",
                f"market data: at most {UNPACKED_RATIO} times the file, or {UNPACKED_FREE >> 20} MB",
                "If you trust the file, unpack it and give the plain file",
            )


class _Metered(io.RawIOBase):
    def __init__(self, inner: Any, meter: Meter):
        self._inner, self._meter = inner, meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._meter.add(len(data))
        buffer[: len(data)] = data
        return len(data)


def metered(stream: Any, path: str | Path) -> io.BufferedReader:
    """An unpacking stream under the allowance of its file."""
    return io.BufferedReader(_Metered(stream, Meter(path)), _BUFFER)


@contextmanager
def text(path: str | Path, expected: str = "a CSV file, plain or gzip", errors: str = "strict") -> Iterator[IO[str]]:
    """A text file, plain or gzip, newlines as they are. DataError where it cannot be opened; errors of reading are the caller's.
    errors: the handling of bytes that are not UTF-8, as in open()."""
    regular(path, expected)
    try:
        raw = open(path, "rb")  # noqa: SIM115
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", expected) from None
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if packed else raw as unpacked:
            bytes_ = metered(unpacked, path) if packed else unpacked
            with io.TextIOWrapper(bytes_, encoding="utf-8-sig", errors=errors, newline="") as stream:
                yield stream


def lines(stream: IO[str], path: str | Path) -> Iterator[str]:
    """Lines of a text, each of a bounded length; DataError at a longer one."""
    while line := stream.readline(LINE_BYTES_MAX):
        if len(line) == LINE_BYTES_MAX:
            raise DataError(str(path), f"a line longer than {LINE_BYTES_MAX} characters", "lines of text")
        yield line


def is_name(name: str) -> bool:
    """Whether this can be the name of a contract: UTF-8 text of bounded length without quotes, control or other unprintable characters."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return 0 < len(raw) <= NAME_BYTES_MAX and name.isprintable() and '"' not in name and "\\" not in name
