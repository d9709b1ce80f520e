"""The kill switch on the disk: two control pages with checksums, the rows of the store, and the file KILL.

A reader takes the most cautious of its values. A lost or damaged part cannot lift a kill: "not killed" needs two whole parts of the three, and no
part with another value.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from liqshell.input_file import content, opened
from liqshell.state.store import STORE, connect

CONTROL, TWIN, KILL_FILE = "control", "control.twin", "KILL"
PAGES = (CONTROL, TWIN)
SIZE = 4096
MAGIC = 0x31_4C_52_54_4E_4F_43_4C  # "LCONTRL1"
VERSION = 2
OLD = 1  # of before: one page without a checksum
LOCK_S = 1.0  # to wait for another writer of the pages; then it is done without
UNKNOWN = "liqcore"  # who has killed where it is not known whether anybody has
_log = logging.getLogger("liqshell.state")


class Kill(IntEnum):
    """The kill word."""

    NO = 0
    KILLED = 1  # no entries; working entries are cancelled; stops and targets stay
    FLATTEN = 2  # and positions are closed


class Page(ctypes.Structure):
    """A control page. kill and watchdog are one aligned 64-bit word for who only asks "may an entry pass?", and two words for the two who write.
    level is what the word has to be, under the checksum: the word is set first, so it may be ahead for a moment, and never behind."""

    _fields_ = [
        ("magic", ctypes.c_int64),
        ("version", ctypes.c_int64),
        ("kill", ctypes.c_int32),
        ("watchdog", ctypes.c_int32),
        ("killed_at_ns", ctypes.c_int64),
        ("reason", ctypes.c_char * 256),
        ("by", ctypes.c_char * 64),
        ("heartbeat_ns", ctypes.c_int64),
        ("pid", ctypes.c_int64),
        ("pid_started", ctypes.c_int64),
        ("life", ctypes.c_int64),
        ("entries", ctypes.c_int64),
        ("watchdog_pid", ctypes.c_int64),
        ("watchdog_at_ns", ctypes.c_int64),
        ("patience", ctypes.c_double),
        ("prefix", ctypes.c_char * 32),
        ("boot", ctypes.c_char * 64),
        ("rescued_at_ns", ctypes.c_int64),
        ("level", ctypes.c_int64),
        ("checksum", ctypes.c_uint64),
    ]


# what the checksum covers; the rest is written all the time, by several processes
SEALED = ("magic", "version", "level", "killed_at_ns", "reason", "by", "pid", "pid_started", "life", "patience", "prefix", "boot")
SPANS = tuple((getattr(Page, name).offset, getattr(Page, name).offset + getattr(Page, name).size) for name in SEALED)


def sealed(raw: bytes) -> bytes:
    """The bytes that the checksum of a page covers."""
    return b"".join(raw[first:end] for first, end in SPANS)


def checksum(raw: bytes) -> int:
    """Of a page, as it has to be."""
    return int.from_bytes(hashlib.blake2b(sealed(raw), digest_size=8).digest(), "little")


def fault(raw: bytes) -> str:
    """The fault of a page; "" = none. One of an old version has no checksum."""
    if len(raw) != SIZE:
        return f"{len(raw)} bytes in place of {SIZE}"
    page = Page.from_buffer_copy(raw)
    if page.magic != MAGIC:
        return "empty" if not any(raw) else "not a control page"
    if page.version == OLD:
        return ""
    if page.version != VERSION:
        return f"of version {page.version}"
    if page.checksum != checksum(raw):
        return "its checksum does not hold"
    return "" if page.kill >= page.level else "its kill word was cleared"


def kill_of(word: int) -> Kill:
    """The kill word as it has to be understood: whatever is not NO kills."""
    return Kill.FLATTEN if word == Kill.FLATTEN else Kill.KILLED if word else Kill.NO


def kill_of_page(page: Page) -> Kill:
    """The kill of a page: its word, or its level where that says more."""
    return max(kill_of(page.kill), kill_of(page.level) if page.version == VERSION else Kill.NO)


@dataclass(frozen=True)
class Claim:
    """The state of one part."""

    kill: Kill
    reason: str = ""
    by: str = ""
    at_ns: int = 0


@dataclass(frozen=True)
class Found:
    """The state of a folder's switch. damaged: each part that is damaged or missing, with what is wrong with it. pages: the bytes of the whole
    ones, by name. stored: what the store says, None = it cannot be asked. newer: the pages are of a version to come."""

    claim: Claim
    damaged: tuple[str, ...]
    pages: dict[str, bytes]
    stored: Claim | None
    newer: bool = False


def look(folder: Path, remembered: bytes = b"") -> Found:
    """Read everything, change nothing; alone(folder) is held. remembered: the page as this process has seen it last, b"" = never."""
    raws = {name: _read(folder / name) for name in PAGES}
    faults = {name: "missing" if raw is None else fault(raw) for name, raw in raws.items()}
    old = [name for name, raw in raws.items() if raw is not None and not faults[name] and Page.from_buffer_copy(raw).version == OLD]
    if len(old) == 1 and raws[TWIN if old == [CONTROL] else CONTROL] is not None:
        faults[old[0]] = "of an old version, with a twin"
    stored, store_fault = last_kill(folder / STORE)
    used = stored is not None or store_fault or any(raw is not None for raw in raws.values()) or (folder / "image.bin").exists()
    pages = {name: raw for name, raw in raws.items() if raw is not None and not faults[name]}
    damaged = [f"{name}: {faults[name]}" for name in PAGES if used and faults[name] and old != [CONTROL]]
    damaged += [f"{STORE}: {store_fault}"] if store_fault else []
    claims = [claim for raw in (*raws.values(), remembered) if raw and (claim := _claim(raw, not fault(raw))).kill]
    claims += [one for one in (stored, _file(folder)) if one is not None and one.kill]
    if not claims and used and len(pages) + (stored is not None) + bool(remembered) < 2 and old != [CONTROL]:
        claims.append(Claim(Kill.KILLED, f"the kill switch is damaged: {'; '.join(damaged)}"[:255], UNKNOWN, time.time_ns()))
    most = max((claim.kill for claim in claims), default=Kill.NO)
    spoken = next((claim for claim in claims if claim.reason or claim.by), Claim(most))
    versions = {Page.from_buffer_copy(raw).version for raw in raws.values() if raw is not None and len(raw) == SIZE}
    newer = all(raws.values()) and len(versions) == 1 and all(VERSION < version < 1 << 16 for version in versions)
    return Found(Claim(most, spoken.reason, spoken.by, spoken.at_ns), tuple(damaged), pages, stored, newer)


def last_kill(path: Path) -> tuple[Claim | None, str]:
    """(what the last kill or lift in a store says, what is wrong with the store). (None, "") where there is no store."""
    if not path.exists():
        return None, ""
    try:
        with contextlib.closing(connect(path)) as database:
            row = database.execute(
                "SELECT action, reason, by, ts_ns FROM kills WHERE action IN ('kill', 'flatten', 'lift') ORDER BY number DESC LIMIT 1"
            ).fetchone()
    except (sqlite3.Error, UnicodeDecodeError, OSError) as why:
        return None, f"cannot be read: {why}"
    if row is None or row[0] == "lift":
        return Claim(Kill.NO), ""
    return Claim(Kill.FLATTEN if row[0] == "flatten" else Kill.KILLED, str(row[1] or ""), str(row[2] or ""), int(row[3] or 0)), ""


def _claim(raw: bytes, whole: bool) -> Claim:
    """Of a page; of a damaged one only a set word counts."""
    if len(raw) < ctypes.sizeof(Page):
        return Claim(Kill.NO)
    page = Page.from_buffer_copy(raw)
    if not whole:
        return Claim(kill_of(page.kill) if page.magic == MAGIC else Kill.NO)
    return Claim(kill_of_page(page), bytes(page.reason).decode(errors="replace"), bytes(page.by).decode(errors="replace"), page.killed_at_ns)


def _file(folder: Path) -> Claim | None:
    """Of the file KILL: whatever is in it, it kills."""
    path = folder / KILL_FILE
    try:
        level = Kill.FLATTEN if content(path)[:7] == b"FLATTEN" else Kill.KILLED
    except FileNotFoundError:
        return None
    except OSError:
        level = Kill.KILLED
    return Claim(level, "file KILL", "file")


def _read(path: Path) -> bytes | None:
    """A page's bytes; None = there is none. b"" where it cannot be read."""
    try:
        fd = opened(path)
    except FileNotFoundError:
        return None
    except OSError:
        return b""
    with contextlib.closing(os.fdopen(fd, "rb", buffering=0)) as file:
        return file.read(SIZE + 1) or b""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process writes the pages of a folder meanwhile. One that stands still in there is waited for a second only."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    _log.warning("%s: another process has not finished writing the control page", folder)
                    break
            time.sleep(0.002)
        yield
    finally:
        os.close(fd)
