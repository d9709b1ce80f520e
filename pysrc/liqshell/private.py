"""Folders and files that only their owner can read: runs, recordings, state, reports, kill pages. The umask has no effect: under umask 0 others can
read nothing, and under umask 0277 the owner can use everything."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Any

from liqshell import input_file

FOLDER, FILE = 0o700, 0o600


def folder(path: str | Path) -> Path:
    """Make a folder and what is missing above it. An existing folder keeps its mode: it may be shared on purpose. OSError as mkdir."""
    path = Path(path)
    missing = []
    at = path
    while not at.exists() and at != at.parent:
        missing.append(at)
        at = at.parent
    for one in reversed(missing):
        one.mkdir(FOLDER, exist_ok=True)
        one.chmod(FOLDER)
    if not path.is_dir():
        path.mkdir()  # says what is in its place
    return path


def descriptor(path: str | Path, flags: int) -> int:
    """input_file.opened, with the mode of a private file, also of a file that is there. OSError as that; close it."""
    handle = input_file.opened(path, flags, FILE)
    try:
        found = os.fstat(handle)
        if stat.S_IMODE(found.st_mode) != FILE and found.st_uid == os.geteuid():
            os.fchmod(handle, FILE)
    except OSError:
        os.close(handle)
        raise
    return handle


def opened(path: str | Path, mode: str = "w", **more: Any) -> IO[Any]:
    """open() for writing."""
    return open(path, mode, opener=descriptor, **more)


def write(path: str | Path, text: str) -> None:
    """The whole text as UTF-8 in the place of what was there."""
    with opened(path, encoding="utf-8") as out:
        out.write(text)
