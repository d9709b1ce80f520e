"""Hourly files of a public archive -> a folder. Complete files are not fetched again, and partial ones are continued.

Any place that fsspec knows is a source: s3:// by the credentials of the user, http(s)://, a folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from liqshell import private
from liqshell.errors import ConfigError, DataError

PIECE_BYTES = 16 << 20
DAYS_MAX = 1000
INSTALL = "pip install 'liqcore[s3]'"
_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?")
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"requester_pays": True}}


@dataclass(frozen=True)
class Span:
    """Files of an archive from one day to another (None = to today): folder/YYYYMMDD/H.lz4."""

    folder: str
    first: date
    last: date | None = None

    def has(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Archive:
    """spans: where several have an hour, the first of them is taken."""

    source: str
    spans: tuple[Span, ...]


ARCHIVES = {
    "hyperliquid": Archive(
        "s3://hl-mainnet-node-data",
        (Span("node_fills_by_block/hourly", date(2025, 7, 27)), Span("node_fills/hourly", date(2025, 5, 25), date(2025, 7, 27))),
    )
}


@dataclass
class Plan:
    """The files to fetch: (address, size, file here) each; and the hours that the archive lacks."""

    source: str
    fs: Any
    files: list[tuple[str, int, Path]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(size for _, size, _ in self.files)

    @property
    def bytes_there(self) -> int:
        return sum(_have(file, size) for _, size, file in self.files)

    def fetch(self, notify: Callable[[str, float], None] = lambda name, done: None) -> list[Path]:
        """All files that are not there yet. notify: called with (file, share of the bytes done). DataError where one cannot be fetched; the fetched
        part is kept, and the next call continues after it."""
        done = 0
        for address, size, file in self.files:
            for count in self._one(address, size, file):
                notify(file.name, (done + count) / max(self.bytes, 1))
            done += size
        return [file for _, _, file in self.files]

    def _one(self, address: str, size: int, file: Path) -> Iterator[int]:
        if _have(file, size) == size and file.is_file():
            yield size
            return
        part = _part(file, size)
        private.folder(part.parent)
        with private.opened(part, "ab") as out:
            at = out.tell()
            while at < size:
                end = min(at + PIECE_BYTES, size)
                piece = asked(address, partial(self.fs.cat_file, address, start=at, end=end))
                if len(piece) != end - at:
                    raise DataError(
                        address,
                        f"{len(piece)} bytes for a request of bytes {at} to {end}",
                        "a source that serves parts of files, and a file that does not change",
                        "Run the same command again; fetched data are kept",
                    )
                out.write(piece)
                at = end
                yield at
        os.replace(part, file)


def _part(file: Path, size: int) -> Path:
    """A file that was begun. The size is in its name: one that has grown meanwhile is begun anew."""
    return file.with_name(f".{file.name}.{size}.part")


def _have(file: Path, size: int) -> int:
    if file.is_file() and file.stat().st_size == size:
        return size
    part = _part(file, size)
    return min(part.stat().st_size, size) if part.is_file() else 0


def days_of(text: str) -> list[date]:
    """2025-10-10, 2025-10-10..2025-10-12 (both included), or several of these with commas. ConfigError where it is none."""
    out: dict[date, None] = {}
    for one in text.split(","):
        found = _DAYS.fullmatch(one.strip())
        try:
            first, last = (date.fromisoformat(found[1]), date.fromisoformat(found[2] or found[1])) if found else (date.max, date.min)
        except ValueError:
            first, last = date.max, date.min
        if first > last or (last - first).days >= DAYS_MAX:
            raise ConfigError("--days", repr(one), "YYYY-MM-DD, or YYYY-MM-DD..YYYY-MM-DD")
        out |= {first + timedelta(n): None for n in range((last - first).days + 1)}
    return list(out)


def plan(venue: str, days: list[date], folder: Path, source: str = "") -> Plan:
    """Which files an archive has of these days. ConfigError where there is no archive of the venue or the day, where what reads it is not installed,
    and where it wants credentials; DataError where it cannot be read or has nothing of these days."""
    archive = ARCHIVES.get(venue)
    if archive is None:
        raise ConfigError("data get", repr(venue), f"one of {', '.join(ARCHIVES)}")
    before = [day for day in days if not any(span.has(day) for span in archive.spans)]
    if before:
        begins = min(span.first for span in archive.spans).isoformat()
        raise ConfigError("--days", before[0].isoformat(), f"{begins} or later: the archive begins there")
    source = source or archive.source
    fs, root = _filesystem(source)
    out = Plan(source, fs)
    for day in days:
        for hour in range(24):
            for span in (span for span in archive.spans if span.has(day)):
                name = f"{span.folder}/{day:%Y%m%d}/{hour}.lz4"
                address = f"{root.rstrip('/')}/{name}"
                try:
                    size = asked(address, partial(fs.info, address)).get("size")
                except FileNotFoundError:
                    continue
                if type(size) is not int:
                    raise DataError(address, "no size", "a source that gives the length of its files")
                out.files.append((address, size, folder / name))
                break
            else:
                out.missing.append(f"{day.isoformat()} {hour:02}h")
    if not out.files:
        raise DataError(
            source,
            f"no file of {days[0].isoformat()}{f' to {days[-1].isoformat()}' if len(days) > 1 else ''}",
            " or ".join(f"{span.folder}/YYYYMMDD/H.lz4" for span in archive.spans),
            "A file appears some time after its hour",
        )
    return out


def _filesystem(source: str) -> tuple[Any, str]:
    protocol = source.partition("://")[0] if "://" in source else "file"
    try:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(source, **_OPTIONS.get(protocol, {}))
    except ImportError as why:
        raise ConfigError(source, f"needs a package that is not installed ({why})", "fsspec, and s3fs for s3://", INSTALL) from None
    except ValueError as why:
        raise ConfigError("--source", f"{source!r}: {why}", "s3://BUCKET, https://HOST/PATH or a folder") from None
    return found


def asked(address: str, question: Callable[[], Any]) -> Any:
    """An answer of a source, FileNotFoundError, or an error that names the party at fault."""
    try:
        return question()
    except FileNotFoundError:
        raise
    except Exception as why:  # any error of a foreign filesystem
        name = type(why).__name__
        if isinstance(why, PermissionError) or "Credential" in name or "Token" in name:
            raise ConfigError(
                address,
                f"access refused ({name}: {why})",
                "credentials of an account that pays for the transfer",
                "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ) from None
        raise DataError(address, f"cannot be read ({name}: {why})", "a file of the archive", "Run the same command again; it continues") from None
